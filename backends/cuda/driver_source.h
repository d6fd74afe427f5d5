// driver_source.h -- what can be read off the text of kernels.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace jaxpp::cuda {

/// With line numbers, for messages.
std::string numbered(std::string_view source);

struct KernelText {
  std::string name;
  std::string launch_bound;  // the first argument of __launch_bounds__; "" without
};
/// The functions declared `__global__ void [__launch_bounds__(N)] name(`, outside comments and strings.
std::vector<KernelText> kernels_of(std::string_view source);

/// The same text, line for line, with every declaration `extern __shared__ T name[];` as
/// `T* const name = reinterpret_cast<T*>(jx_dynamic);`.
std::string with_dynamic_shared(std::string_view source);

}  // namespace jaxpp::cuda
