// backend.cc -- the executors behind jaxpp/core/backend.h: kernels for eager execution, loop programs for jaxprs.
#include "backends/cpu/executable.h"
#include "backends/cuda/cuda.h"
#include "backends/eager/kernels.h"

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
  install_conv_kernels();
  install_fft_kernels();
  install_window_kernels();
  install_decomposition_kernels();
  install_random_kernels();
  install_control_kernels();
  install_call_kernels();
}

std::shared_ptr<const Executable> compile(const JaxprBody& j, const CompileTarget& target) {
  return target.device == cpu() ? compile_for_cpu(j, target) : cuda::compile(j, target.device);
}
std::vector<Device> list_devices(Device::Platform p, std::string* why) {
  if (p == Device::Platform::cpu) return {cpu()};
  return cuda::devices(p, why);
}

constexpr Backend kBackend{.install_kernels = install_kernels,
                           .compile = compile,
                           .devices = list_devices,
                           .to_device = cuda::to_device,
                           .device_of = cuda::device_of,
                           .fetch = cuda::fetch,
                           .wait = cuda::wait};

}  // namespace

const Backend& backend() { return kBackend; }

}  // namespace jaxpp::internal
