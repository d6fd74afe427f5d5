// call_kernels.cc -- calls and control flow outside of jit: each runs as a compiled program of its own.
#include <algorithm>
#include "backends/cpu/executable.h"
#include "backends/eager/kernels.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::internal {

void custom_lin_eval(const CustomLinParams&, Args in, Results& dy);  // transforms/custom.cc

namespace {

template <class P>
void call_kernel(Args in, Params p, Array* out) {
  run_jaxpr(*p.as<P>().jaxpr, in, out);
}
void custom_call_kernel(Args in, Params p, Array* out) {
  run_jaxpr(*p.as<CustomParams>().call_jaxpr, in, out);
}
void custom_lin_kernel(Args in, Params p, Array* out) {
  Results dy;
  custom_lin_eval(p.as<CustomLinParams>(), in, dy);
  for (Array& a : dy) *out++ = std::move(a);
}

// A loop is a program of one equation.
template <const Primitive& P>
void loop_kernel(Args in, Params p, Array* out) {
  run_jaxpr(*program_of(P, in, p, Loc()), {const_cast<Array*>(in.data()), in.size()}, out, false,
            {.eager = true});
}

void cond_kernel(Args in, Params q, Array* out) {
  auto& b = q.as<CondParams>().branches;
  if (in[0].ndim()) return loop_kernel<cond_p>(in, q, out);  // each lane has a branch of its own
  std::int32_t i = *in[0].data<std::int32_t>(), last = std::int32_t(b.size()) - 1;
  run_jaxpr(*b[std::size_t(std::clamp(i, 0, last))], in.subspan(1), out);
}

}  // namespace

void install_call_kernels() {
  install_allocating<call_kernel<CallParams>>(jit_p);
  install_allocating<call_kernel<RematParams>>(remat_p);
  install_allocating<custom_call_kernel>(custom_jvp_call_p);
  install_allocating<custom_call_kernel>(custom_vjp_call_p);
  install_allocating<custom_lin_kernel>(custom_lin_p);
  install_allocating<loop_kernel<scan_p>>(scan_p);
  install_allocating<loop_kernel<while_p>>(while_p);
  install_allocating<cond_kernel>(cond_p);
}

}  // namespace jaxpp::internal
