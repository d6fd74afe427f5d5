// emulator_compile.h -- kernels as a shared library of the host: compiled by whatever C++ compiler is there, loaded.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/emulator_launch.h"

namespace jaxpp::cuda::emulation {

struct Compiler {
  std::string path, version;
};
/// JAXPP_CXX, or the first of g++, clang++, c++ in PATH; null and *why if there is none.
const Compiler* host_compiler(std::string* why);
/// The bytes of a shared library, through the caches.  Throws Error with the compiler's messages.
std::shared_ptr<const std::string> compile_for_host(const std::string& source);

class LoadedImage {
 public:
  explicit LoadedImage(const std::string& bytes);
  ~LoadedImage();
  LoadedImage(const LoadedImage&) = delete;
  struct Function {
    const Kernel* kernel = nullptr;
    std::vector<Launch::Range> shared;
    int static_shared = 0;
  };
  /// By name; throws Error if there is no such kernel.
  const Function& function(const char* name) const;
  const Image& image() const { return *image_; }

 private:
  void find_shared(const std::string& bytes);
  void* handle_ = nullptr;
  int file_ = -1;
  const Image* image_ = nullptr;
  std::vector<Function> functions_;
};

}  // namespace jaxpp::cuda::emulation
