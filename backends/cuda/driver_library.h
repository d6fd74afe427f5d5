// driver_library.h -- shared libraries that a machine may or may not have, opened at run time.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "backends/cuda/driver_api.h"

namespace jaxpp::cuda {

struct LibraryName {
  const char* what;                  // "NVRTC"
  std::vector<std::string> sonames;  // newest first
  std::vector<std::string> wheels;   // folders below a Python environment's packages
  std::vector<std::string> folders;  // where else installers put it
};
/// What the search depends on; tests put their own here.
struct Surroundings {
  std::function<std::string(const char*)> variable;  // of the environment; "" if unset
  std::string executable_folder;
  std::string default_toolkit = "/usr/local/cuda";
  bool loader = true;  // the dynamic loader's own search path, too
  static Surroundings of_this_process();
};
/// Opens the first that is found: JAXPP_CUDA_PATH, CUDA_HOME, CUDA_PATH, the loader's own search path, the toolkit's
/// conventional folder, beside the executable, Python packages.  Null: then why has the places searched.
void* open_library(const LibraryName&, const Surroundings&, std::string& why);

/// A library's functions; each library is opened when it is first asked for, once.
template <class Api>
struct Loaded {
  Api api;
  std::string why;  // not empty: not usable, and why
  bool ok() const { return why.empty(); }
};
const Loaded<api::CudaDriver>& cuda_library();
const Loaded<api::Nvrtc>& nvrtc_library();
const Loaded<api::CublasLt>& cublaslt_library();

LibraryName nvrtc_name();

}  // namespace jaxpp::cuda
