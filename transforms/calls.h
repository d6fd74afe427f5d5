// calls.h -- what the rules of calls and control flow share: masks over operands, and calls of transformed jaxprs.
#pragma once
#include "jaxpp/ops/rules.h"
#include "transforms/transforms.h"

namespace jaxpp::internal {

inline Mask defined(Args a) {
  Mask m;
  for (const Array& x : a) m.push_back(x.defined());
  return m;
}
inline Mask mapped(const BatchRule& b) {
  Mask m;
  for (std::size_t i = 0; i < b.x.size(); ++i) m.push_back(b.axis[i] >= 0);
  return m;
}
inline Mask part(const Mask& m, std::size_t from, std::size_t to) {
  return Mask(m.begin() + from, m.begin() + to);
}
/// ORs the first n of m into `into` from `offset` on; true if that changed anything.
inline bool merge(Mask& into, const Mask& m, std::size_t n, std::size_t offset = 0) {
  bool grew = false;
  for (std::size_t i = 0; i < n; ++i)
    if (m[i] && !into[offset + i]) grew = into[offset + i] = true;
  return grew;
}
inline Results call(const Primitive& p, Args in, Params params) {
  Results out(p.outputs(params));
  p.bind(in, params, out.data(), Loc::current());
  return out;
}
/// Records a call that is linear in its tangent operands: the result of a linearize rule.
inline Results record(const JvpRule& r, const Primitive& p, Args in, Params params) {
  Results out(p.outputs(params));
  r.tangent->process(p, in, params, out.data(), Loc::current());
  return out;
}
inline void push_defined(Borrowed& to, Args from) {
  for (const Array& a : from)
    if (a.defined()) to.push(a);
}
/// Operands of a batched call: mapped ones have the batch on axis 0.
inline Results batch_operands(const BatchRule& b) {
  Results in;
  for (std::size_t i = 0; i < b.x.size(); ++i)
    in.push_back(b.axis[i] < 0 ? b.x[i] : lax::move_axis(b.x[i], b.axis[i], 0));
  return in;
}
std::string mask_key(const char* what, const Mask& a, const Mask& b = {});
void check_inputs(const char* op, const JaxprBody& j, Types in);
/// `primal` then its tangents: (y..., dy of active...) -> r.y, r.dy.
void unpack_jvp(JvpRule& r, const Results& out, const Mask& active);
/// t with a leading axis of size n.
Type stacked(Type t, std::int64_t n);

}  // namespace jaxpp::internal
