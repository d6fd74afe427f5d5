// backend.cc -- the executor behind jaxpp/core/backend.h: kernels for eager execution, flat plans for jaxprs.
#include "backends/eager/kernels.h"
#include "backends/plan/plan.h"

namespace jaxpp::internal {
namespace {

void install_kernels() {
  install_elementwise_kernels();
  install_shape_kernels();
  install_reduce_kernels();
  install_sort_kernels();
  install_dot_kernels();
  install_indexing_kernels();
  install_linalg_kernels();
  install_random_kernels();
  install_control_kernels();
  install_call_kernels();
}

constexpr Backend kBackend{.install_kernels = install_kernels, .compile = make_plan};

}  // namespace

const Backend& backend() { return kBackend; }

}  // namespace jaxpp::internal
