// rules.h -- what the rules of several families share.
#pragma once
#include "jaxpp/core/trace.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::internal {

/// Shape rules report what is wrong; the caller adds the location.
[[noreturn]] void rule_error(const std::string& what);
inline void need(bool ok, const char* op, const char* what) {
  if (!ok) [[unlikely]]
    rule_error(std::string(op) + ": " + what);
}
/// need(), with a message that is only made when it is wanted: text() gives it.
template <class Text>
void check(bool ok, const char* op, Text text) {
  if (!ok) [[unlikely]]
    rule_error(std::string(op) + ": " + text());
}
Array add_tangents(const Array& a, const Array& b);  // null is zero
Array instantiate(const Array& tangent, Type t);     // null becomes zeros
bool has_tangent(Type t);

/// The jvp of a linear primitive of one operand is the primitive itself.
void linear_jvp(JvpRule& r);
Dims without(std::size_t rank, const Dims& a, const Dims& b = {});  // 0..rank-1, less a and b
Dims iota_dims(std::size_t n);
Dims inverse(const Dims& permutation);
Dims pick(const Shape& shape, const Dims& which);
Dims shifted(const Dims& dims,
             int axis);  // dimension numbers, seen with a new axis inserted at `axis`
std::int64_t position(const Dims& d, std::int64_t v);  // index of v in d, or -1
/// A dimension number in 0..rank-1 (negative counts from the end), or throws.
std::int64_t canonical_axis(std::int64_t axis, std::size_t rank, const char* op);
/// A negative axis counted from the end; one that does not exist is left for the shape rule to report.
inline std::int64_t wrap_axis(std::int64_t axis, std::size_t rank) {
  return axis < 0 && axis + std::int64_t(rank) >= 0 ? axis + std::int64_t(rank) : axis;
}
Dims wrap_axes(const Dims& axes, std::size_t rank);
/// The rank of an operand; 0 for a null array, which the primitive will report.
inline std::size_t rank_of(const Array& x) { return x.defined() ? x.shape().size() : 0; }
/// Throws unless `dims` are distinct dimension numbers in 0..rank-1 (of an operand of type t).
void check_dims(const Dims& dims, std::size_t rank, const char* op, const char* what, Type t);
void check_axis(std::int64_t axis, std::size_t rank, const char* op, Type t);
/// x with its batch on dimension `at`; an unmapped value (axis -1) is broadcast along it.
Array batch_at(const Array& x, int axis, std::int64_t size, std::int64_t at);
/// The jvp rule of a primitive of one result, inside another rule: y and dy (zeros where it is a symbolic zero).
void apply_jvp(const Primitive& p, Args x, Args dx, Params params, Array* y, Array* dy);
/// y[i] = x[0] * x[1] * ... * x[i] along `axis` for an associative operation, in log depth, under any transform.
/// combine takes (a..., b...) and gives (a * b)...; it must work on arrays of any size of the axis.
void associative_scan(FlatFn combine, Args x, std::int64_t axis, bool reverse, Results& y);
/// x[index] along `axis`; index has x's rank, and its sizes but on the axis.
Array take_along(const Array& x, const Array& index, std::int64_t axis);

}  // namespace jaxpp::internal
