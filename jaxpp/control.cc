// control.cc -- the parts of control flow that are compositions of other primitives: the dtype of
// weak carries, scans with checkpoints, and scans of associative functions.
#include "jaxpp/control.h"

#include "jaxpp/core/jaxpr.h"
#include "jaxpp/lax.h"

namespace jaxpp::internal {

void structure_error(const char* who, const char* what, const char* id, Loc loc) {
  fail<TypeError>(std::string(who) + ": " + what + ".", loc, id);
}

void settle_weak_carry(FlatFn body, Results& carry, Args xs, const WeakMask& weak, const char* who,
                       Loc loc) {
  if (std::find(weak.begin(), weak.end(), true) == weak.end() || weak.size() != carry.size())
    return;
  std::vector<Type> types;
  for (const Array& c : carry) types.push_back(c.type());
  for (const Array& x : xs) {
    if (x.ndim() == 0) return;  // scan reports it
    types.push_back(make_type(x.dtype(), Shape(x.shape().begin() + 1, x.shape().end())));
  }
  TrailFrame frame(who, loc);
  std::vector<Type> out = trace_to_jaxpr(types, body).jaxpr->out_types();
  for (std::size_t i = 0; i < carry.size() && i < out.size(); ++i) {
    DType d = carry[i].dtype(), wanted = out[i]->dtype;
    if (weak[i] && d != wanted && promote_types(d, wanted) == wanted)
      carry[i] = lax::convert_element_type(carry[i], wanted, loc);
  }
}

// A scan over segments of `every` steps, each a checkpointed scan; the steps left over come last
// in running order.
void scan_checkpointed(FlatFn body, Args init, Args xs, std::int64_t length, bool reverse,
                       std::int64_t unroll, std::int64_t every, Results& out, Loc loc) {
  for (const Array& x : xs)
    if (x.ndim() > 0 && length < 0) length = x.shape()[0];
  bool regular = length >= 0;
  for (const Array& x : xs) regular = regular && x.ndim() > 0 && x.shape()[0] == length;
  const std::int64_t segments = regular ? length / every : 0, main = segments * every,
                     rest = length - main;
  if (segments < 2) return scan_flat(body, init, xs, length, reverse, unroll, out, loc);
  const std::size_t n = init.size();
  const std::int64_t main_from = reverse ? rest : 0, rest_from = reverse ? 0 : main;
  auto part = [&](const Array& x, std::int64_t from, std::int64_t count) {
    return lax::slice_in_dim(x, from, from + count, 0, loc);
  };
  auto reshaped = [&](const Array& x, const Dims& leading, std::size_t drop) {
    Shape s = leading;
    s.append(x.shape().begin() + std::ptrdiff_t(drop), x.shape().end());
    return lax::reshape(x, s, loc);
  };
  Results segmented, y;
  for (const Array& x : xs)
    segmented.push_back(reshaped(part(x, main_from, main), {segments, every}, 1));
  auto segment = [&](Args in, Results& result) {
    auto steps = [&](Args seg, Results& r) {
      scan_flat(body, seg.first(n), seg.subspan(n), every, reverse, unroll, r, loc);
    };
    checkpoint_flat(flat(steps), in, nullptr, result, loc);
  };
  scan_flat(flat(segment), init, args(segmented), segments, reverse, 1, y, loc);
  for (std::size_t i = n; i < y.size(); ++i) y[i] = reshaped(y[i], {main}, 2);
  if (rest > 0) {
    Results last, tail;
    for (const Array& x : xs) last.push_back(part(x, rest_from, rest));
    scan_flat(body, args(y).first(n), args(last), rest, reverse, unroll, tail, loc);
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (i < n) {
        y[i] = tail[i];
        continue;
      }
      const Array both[] = {reverse ? tail[i] : y[i], reverse ? y[i] : tail[i]};
      y[i] = lax::concatenate(both, 0, loc);
    }
  }
  out.append(y.begin(), y.end());
}

namespace {
// Combines neighbours, scans the half as many results, and fills in the elements between:
//   odd = scan(x0*x1, x2*x3, ...);   even = x0, odd[0]*x2, odd[1]*x4, ...
// The depth of the recursion is the logarithm of the length.
struct AssociativeScan {
  FlatFn op;
  std::int64_t axis;
  Loc loc;

  Array strided(const Array& x, std::int64_t from, std::int64_t to, std::int64_t step) const {
    Dims start(x.shape().size(), 0), limit = x.shape(), strides(x.shape().size(), 1);
    start[std::size_t(axis)] = from;
    limit[std::size_t(axis)] = std::max(from, to);
    strides[std::size_t(axis)] = step;
    return lax::slice(x, start, limit, strides, loc);
  }
  Results combine(const Results& a, const Results& b) const {
    Borrowed in(args(a));
    in.append(args(b));
    Results y;
    op(in, y);
    if (y.size() != a.size())
      fail<TypeError>(
          "associative_scan: the function returns another number of arrays than xs has.", loc,
          "E31");
    return y;
  }
  // even[0], odd[0], even[1], odd[1], ...; there are as many of both, or one more even one.
  Array interleave(const Array& even, const Array& odd) const {
    std::int64_t n = odd.shape()[std::size_t(axis)];
    Shape merged = odd.shape();
    merged[std::size_t(axis)] = 2 * n;
    const Array pairs[] = {strided(even, 0, n, 1), odd};
    Array y = lax::reshape(lax::stack(pairs, axis + 1, loc), merged, loc);
    if (even.shape()[std::size_t(axis)] == n) return y;
    const Array all[] = {y, strided(even, n, n + 1, 1)};
    return lax::concatenate(all, axis, loc);
  }
  Results run(const Results& x) const {
    const std::int64_t n = x[0].shape()[std::size_t(axis)];
    if (n < 2) return x;
    auto each = [&](const Results& v, std::int64_t from, std::int64_t to, std::int64_t step) {
      Results r;
      for (const Array& a : v) r.push_back(strided(a, from, to, step));
      return r;
    };
    Results odd = run(combine(each(x, 0, n - 1, 2), each(x, 1, n, 2)));
    Results even = each(x, 0, 1, 1), y;
    if (n > 2) {
      Results later = combine(each(odd, 0, (n - 1) / 2, 1), each(x, 2, n, 2));
      for (std::size_t i = 0; i < even.size(); ++i) {
        const Array both[] = {even[i], later[i]};
        even[i] = lax::concatenate(both, axis, loc);
      }
    }
    for (std::size_t i = 0; i < x.size(); ++i) y.push_back(interleave(even[i], odd[i]));
    return y;
  }
};
}  // namespace

void associative_scan_flat(FlatFn op, Args xs, bool reverse, std::int64_t axis, Results& out,
                           Loc loc) {
  if (xs.empty()) return;
  TrailFrame frame("associative_scan", loc);
  if (axis < 0) axis += xs[0].ndim();
  for (const Array& x : xs)
    if (axis < 0 || axis >= x.ndim() ||
        x.shape()[std::size_t(axis)] != xs[0].shape()[std::size_t(axis)])
      fail<TypeError>("associative_scan: all arrays need the same size along axis " +
                          std::to_string(axis) + ", got " + xs[0].type()->str() + " and " +
                          x.type()->str() + ".",
                      loc, "E30");
  auto turned = [&](Args v) {
    Results r;
    for (const Array& a : v) r.push_back(reverse ? lax::rev(a, {axis}, loc) : a);
    return r;
  };
  // Reversed, the later element stands first: op(a, b) still sees its operands in the order they
  // are combined.
  Results y = turned(args(AssociativeScan{op, axis, loc}.run(turned(xs))));
  out.append(y.begin(), y.end());
}

}  // namespace jaxpp::internal
