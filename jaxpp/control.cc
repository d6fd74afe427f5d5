// control.cc -- the parts of control flow that are compositions of other primitives: the dtype of
// weak carries, scans with checkpoints, and scans of associative functions.
#include "jaxpp/control.h"

#include <cmath>

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

namespace {
// The lengths of segments, of segments of segments, ...
std::vector<std::int64_t> segment_lengths(Checkpointing checkpoint, std::int64_t length) {
  if (checkpoint == Checkpointing::sqrt)
    return {std::max<std::int64_t>(1, std::llround(std::sqrt(double(length))))};
  if (checkpoint != Checkpointing::log) return {checkpoint.interval()};
  constexpr std::int64_t kSegments = 8;
  std::vector<std::int64_t> lengths;
  while ((length /= kSegments) > 1) lengths.push_back(length);
  return lengths;
}

// A scan over segments, each a checkpointed scan, of segments again if there are more lengths; the steps left over come
// last in running order.
struct SegmentedScan {
  FlatFn body;
  std::size_t n_carry;
  bool reverse;
  std::int64_t unroll;
  Loc loc;

  Array part(const Array& x, std::int64_t from, std::int64_t count) const {
    return count == x.shape()[0] ? x : lax::slice_in_dim(x, from, from + count, 0, loc);
  }
  Array reshaped(const Array& x, const Dims& leading, std::size_t drop) const {
    Shape s = leading;
    s.append(x.shape().begin() + std::ptrdiff_t(drop), x.shape().end());
    return lax::reshape(x, s, loc);
  }
  void run(Args init, Args xs, std::int64_t length, std::span<const std::int64_t> lengths,
           Results& y) const {
    while (!lengths.empty() && length / lengths[0] < 2) lengths = lengths.subspan(1);
    if (lengths.empty()) return scan_flat(body, init, xs, length, reverse, unroll, y, loc);
    const std::int64_t every = lengths[0], segments = length / every, main = segments * every,
                       rest = length - main;
    const std::int64_t main_from = reverse ? rest : 0, rest_from = reverse ? 0 : main;
    Results segmented;
    for (const Array& x : xs)
      segmented.push_back(reshaped(part(x, main_from, main), {segments, every}, 1));
    auto segment = [&](Args in, Results& result) {
      auto steps = [&](Args seg, Results& r) {
        run(seg.first(n_carry), seg.subspan(n_carry), every, lengths.subspan(1), r);
      };
      checkpoint_flat(flat(steps), in, nullptr, result, loc);
    };
    scan_flat(flat(segment), init, args(segmented), segments, reverse, 1, y, loc);
    for (std::size_t i = n_carry; i < y.size(); ++i) y[i] = reshaped(y[i], {main}, 2);
    if (rest > 0) add_rest(xs, rest_from, rest, y);
  }
  void add_rest(Args xs, std::int64_t from, std::int64_t count, Results& y) const {
    Results last, tail;
    for (const Array& x : xs) last.push_back(part(x, from, count));
    scan_flat(body, args(y).first(n_carry), args(last), count, reverse, unroll, tail, loc);
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (i < n_carry) {
        y[i] = tail[i];
        continue;
      }
      const Array both[] = {reverse ? tail[i] : y[i], reverse ? y[i] : tail[i]};
      y[i] = lax::concatenate(both, 0, loc);
    }
  }
};
}  // namespace

void scan_checkpointed(FlatFn body, Args init, Args xs, std::int64_t length, bool reverse,
                       std::int64_t unroll, Checkpointing checkpoint, Results& out, Loc loc) {
  if (checkpoint.interval() < Checkpointing::log.interval())
    fail("scan: checkpoint is " + std::to_string(checkpoint.interval()) + ".", loc, "E30",
         "Give a positive number of steps, Checkpointing::sqrt or Checkpointing::log.");
  for (const Array& x : xs)
    if (x.ndim() > 0 && length < 0) length = x.shape()[0];
  bool regular = length >= 0;
  for (const Array& x : xs) regular = regular && x.ndim() > 0 && x.shape()[0] == length;
  if (!regular) return scan_flat(body, init, xs, length, reverse, unroll, out, loc);
  Results y;
  SegmentedScan{body, init.size(), reverse, unroll, loc}.run(
      init, xs, length, segment_lengths(checkpoint, length), y);
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
