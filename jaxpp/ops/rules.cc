// rules.cc -- what the rules of several families share: symbolic zeros, dimension numbers, batch
// axes.
//
// Dimension numbers in the IR are never negative; the lax functions count negative ones from the
// end.
#include "jaxpp/ops/rules.h"
#include <algorithm>
#include <numeric>

namespace jaxpp {
namespace internal {

void rule_error(const std::string& what) { throw RuleError(what); }

// ---- Tangents
Array add_tangents(const Array& a, const Array& b) {
  return !a.defined() ? b : !b.defined() ? a : lax::add_any(a, b);
}
Array instantiate(const Array& tangent, Type t) {
  return tangent.defined() ? tangent : lax::full(t, 0);
}
bool has_tangent(Type t) { return is_inexact(t->dtype); }

void linear_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  r.prim.bind(r.dx, r.params, r.dy, Loc::current());
}
void apply_jvp(const Primitive& p, Args x, Args dx, Params params, Array* y, Array* dy) {
  *dy = Array();
  if (!p.differentiable ||
      std::none_of(dx.begin(), dx.end(), [](const Array& t) { return t.defined(); })) {
    p.bind(x, params, y, Loc::current());
  } else {
    if (!p.jvp) rule_error(std::string(p.name) + ": has no jvp rule.");
    JvpRule rule{p, x, dx, params, y, dy};
    p.jvp(rule);
  }
  if (has_tangent(y->type())) *dy = instantiate(*dy, y->type());
}

// ---- Dimension numbers
Dims without(std::size_t rank, const Dims& a, const Dims& b) {
  Dims d;
  for (std::int64_t i = 0; i < std::int64_t(rank); ++i)
    if (position(a, i) < 0 && position(b, i) < 0) d.push_back(i);
  return d;
}
Dims iota_dims(std::size_t n) {
  Dims d(n, 0);
  std::iota(d.begin(), d.end(), 0);
  return d;
}
Dims inverse(const Dims& permutation) {
  Dims d(permutation.size(), 0);
  for (std::size_t i = 0; i < permutation.size(); ++i)
    d[std::size_t(permutation[i])] = std::int64_t(i);
  return d;
}
Dims pick(const Shape& shape, const Dims& which) {
  Dims d;
  for (auto i : which) d.push_back(shape[std::size_t(i)]);
  return d;
}
Dims shifted(const Dims& dims, int axis) {
  Dims d;
  for (auto v : dims) d.push_back(v + (v >= axis));
  return d;
}
std::int64_t position(const Dims& d, std::int64_t v) {
  auto at = std::find(d.begin(), d.end(), v);
  return at == d.end() ? -1 : at - d.begin();
}
std::int64_t canonical_axis(std::int64_t axis, std::size_t rank, const char* op) {
  std::int64_t n = std::int64_t(rank), i = axis < 0 ? axis + n : axis;
  if (i < 0 || i >= n)
    rule_error(std::string(op) + ": axis " + std::to_string(axis) + " is out of range for rank " +
               std::to_string(rank) + ".");
  return i;
}
Dims wrap_axes(const Dims& axes, std::size_t rank) {
  Dims d;
  for (auto a : axes) d.push_back(wrap_axis(a, rank));
  return d;
}
void check_dims(const Dims& dims, std::size_t rank, const char* op, const char* what, Type t) {
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] < 0 || dims[i] >= std::int64_t(rank)) [[unlikely]]
      rule_error(std::string(op) + ": " + what + " " + std::to_string(dims[i]) +
                 " is out of range, operand " + t->str() + ".");
    for (std::size_t k = 0; k < i; ++k)
      if (dims[k] == dims[i]) [[unlikely]]
        rule_error(std::string(op) + ": " + what + " " + std::to_string(dims[i]) +
                   " is given twice, operand " + t->str() + ".");
  }
}
void check_axis(std::int64_t axis, std::size_t rank, const char* op, Type t) {
  if (axis < 0 || axis >= std::int64_t(rank)) [[unlikely]]
    rule_error(std::string(op) + ": there is no axis " + std::to_string(axis) + ", operand " +
               t->str() + ".");
}

// ---- Batch axes
Array batch_at(const Array& x, int axis, std::int64_t size, std::int64_t at) {
  if (axis >= 0) return lax::move_axis(x, axis, at);
  Shape shape = x.shape();
  shape.insert(std::size_t(at), size);
  return lax::broadcast_in_dim(x, shape, shifted(iota_dims(x.shape().size()), int(at)));
}

}  // namespace internal

Array lax::move_axis(const Array& x, std::int64_t from, std::int64_t to) {
  if (from == to) return x;
  Dims permutation = internal::iota_dims(x.shape().size());
  permutation.erase(std::size_t(from));
  permutation.insert(std::size_t(to), from);
  return transpose(x, permutation);
}
Array lax::batch_to_front(const Array& x, int axis, std::int64_t size) {
  return internal::batch_at(x, axis, size, 0);
}

}  // namespace jaxpp
