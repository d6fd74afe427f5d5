// control_kernels.cc -- kernels of operations that compute nothing: identities, host callbacks, and collectives, which
// only tell that their axis is not bound.
#include "backends/eager/kernels.h"
#include "jaxpp/ops/host_fn.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {
namespace {

void identity(Args x, Params, Array* y) { std::copy(x.begin(), x.end(), y); }

// The host function sees concrete arrays and computes eagerly, whatever is being traced around the call.
template <class P>
void call_host(const char* op, Args x, const P& params, Results& y) {
  UserScope eager(nullptr);
  host_fn(params.callback, op).fn(x, y);
}
void debug_callback(Args x, Params params, Array*) {
  Results ignored;
  call_host("debug_callback", x, params.as<CallbackParams>(), ignored);
}
template <const Primitive& P, class ParamsOf>
void callback(Args x, Params params, Array* y) {
  auto& p = params.as<ParamsOf>();
  Results out;
  call_host(P.name, x, p, out);
  check_results(P.name, p.out_types, out);
  std::move(out.begin(), out.end(), y);
}

const std::string& axis_of(const CollectiveParams& p) {
  static const std::string none;
  return p.axes.empty() ? none : p.axes[0];
}
template <class P>
const std::string& axis_of(const P& p) {
  return p.axis_name;
}
template <const Primitive& P, class ParamsOf>
void unbound(Args, Params params, Array*) {
  const std::string& axis = axis_of(params.as<ParamsOf>());
  rule_error(std::string(P.name) + ": axis name \"" + axis +
             "\" is not bound: run it inside vmap(f, {.axis_name = \"" + axis + "\"}).");
}

}  // namespace

void install_control_kernels() {
  install_allocating<identity>(name_p);
  install_allocating<identity>(optimization_barrier_p);
  install_allocating<identity>(device_put_p);
  install_allocating<debug_callback>(debug_callback_p);
  install_allocating<callback<pure_callback_p, CallbackParams>>(pure_callback_p);
  install_allocating<callback<io_callback_p, IoCallbackParams>>(io_callback_p);
  install_allocating<unbound<psum_p, CollectiveParams>>(psum_p);
  install_allocating<unbound<pmax_p, CollectiveParams>>(pmax_p);
  install_allocating<unbound<pmin_p, CollectiveParams>>(pmin_p);
  install_allocating<unbound<ppermute_p, PermuteParams>>(ppermute_p);
  install_allocating<unbound<all_gather_p, AllGatherParams>>(all_gather_p);
  install_allocating<unbound<all_to_all_p, AllToAllParams>>(all_to_all_p);
  install_allocating<unbound<reduce_scatter_p, ReduceScatterParams>>(reduce_scatter_p);
  install_allocating<unbound<axis_index_p, AxisNameParams>>(axis_index_p);
}

}  // namespace jaxpp::internal
