// call_kernels.cc -- how calls and control flow run: loops over the executables of their bodies.
//
// The carry of a loop is donated to each iteration, so that updates of a large carry happen in place.  Slices of xs are
// views.
#include <algorithm>
#include "backends/eager/kernels.h"
#include "backends/plan/plan.h"
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

std::size_t bytes(Type t) { return std::size_t(t->size) * width(t->dtype); }

void scan_kernel(Args in, Params q, Array* out) {
  auto& p = q.as<ScanParams>();
  const JaxprBody& j = *p.jaxpr;
  const auto consts = std::size_t(p.num_consts), carry = std::size_t(p.num_carry);
  std::vector<Type> types = j.in_types(), outs = j.out_types();
  std::vector<Array> x(in.begin(), in.end()), y(j.outs.size());
  for (std::size_t i = carry; i < y.size(); ++i) {
    Shape s = outs[i]->shape;
    s.insert(0, p.length);
    out[i] = Array::make(make_type(outs[i]->dtype, s));
  }
  for (std::int64_t step = 0; step < p.length; ++step) {
    const auto at = std::size_t(p.reverse ? p.length - 1 - step : step);
    for (std::size_t i = consts + carry; i < x.size(); ++i)
      x[i] = Array::alias(in[i], types[i], at * bytes(types[i]));
    run_jaxpr(j, x, y.data(), true);
    for (std::size_t i = 0; i < consts; ++i)
      if (!x[i].defined()) x[i] = in[i];
    for (std::size_t i = 0; i < carry; ++i) x[consts + i] = std::move(y[i]);
    for (std::size_t i = carry; i < y.size(); ++i)
      if (std::size_t n = bytes(outs[i]))
        std::memcpy(out[i].data<char>() + at * n, y[i].data<char>(), n);
  }
  for (std::size_t i = 0; i < carry; ++i) out[i] = std::move(x[consts + i]);
}

void while_kernel(Args in, Params q, Array* out) {
  auto& p = q.as<WhileParams>();
  const JaxprBody &cond = *p.cond_jaxpr, &body = *p.body_jaxpr;
  const auto nc = std::size_t(p.cond_nconsts), nb = std::size_t(p.body_nconsts),
             carry = body.outs.size();
  std::vector<Array> c(in.begin(), in.begin() + std::ptrdiff_t(nc)),
      b(in.begin() + std::ptrdiff_t(nc), in.end()), y(carry);
  c.resize(nc + carry);
  for (;;) {
    for (std::size_t i = 0; i < carry; ++i) c[nc + i] = b[nb + i];
    Array more;
    run_jaxpr(cond, Args(c), &more);
    for (std::size_t i = 0; i < carry; ++i) c[nc + i] = Array();  // the body may then work in place
    if (!*more.data<bool>()) break;
    run_jaxpr(body, b, y.data(), true);
    for (std::size_t i = 0; i < carry; ++i) b[nb + i] = std::move(y[i]);
  }
  for (std::size_t i = 0; i < carry; ++i) out[i] = std::move(b[nb + i]);
}

void cond_kernel(Args in, Params q, Array* out) {
  auto& b = q.as<CondParams>().branches;
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
  install_allocating<scan_kernel>(scan_p);
  install_allocating<while_kernel>(while_p);
  install_allocating<cond_kernel>(cond_p);
}

}  // namespace jaxpp::internal
