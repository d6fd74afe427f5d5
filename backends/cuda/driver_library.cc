// driver_library.cc -- finds and opens libcuda, NVRTC and cuBLASLt.
//
// Nothing of CUDA is linked: one program runs on machines with a GPU, with a toolkit only, and with neither.  A library
// is opened when something of it is first needed (cuBLASLt has half a gigabyte), and stays open.
#include "backends/cuda/driver_library.h"

#include <dlfcn.h>
#include <glob.h>
#include <unistd.h>

#include <cstdlib>

namespace jaxpp::cuda {

Surroundings Surroundings::of_this_process() {
  Surroundings s;
  s.variable = [](const char* name) {
    const char* v = std::getenv(name);
    return std::string(v ? v : "");
  };
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n > 0) {
    s.executable_folder.assign(path, std::size_t(n));
    s.executable_folder.resize(s.executable_folder.rfind('/'));
  }
  return s;
}

namespace {

struct Place {
  std::string folder;  // may have wildcards; "": wherever the loader looks
  std::string because;
};

// The environment that `python3` on the command line would run in.
std::string python_prefix(const std::string& path) {
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    const std::string folder = path.substr(at, end - at);
    if (folder.ends_with("/bin") && ::access((folder + "/python3").c_str(), X_OK) == 0)
      return folder.substr(0, folder.size() - 4);
    at = end + 1;
  }
  return "";
}

std::vector<Place> places(const LibraryName& name, const Surroundings& s) {
  std::vector<Place> p;
  auto toolkit = [&](const std::string& root, const std::string& because) {
    for (const char* below : {"/lib64", "/lib"}) p.push_back({root + below, because});
  };
  if (const std::string own = s.variable("JAXPP_CUDA_PATH"); !own.empty()) {
    p.push_back({own, "JAXPP_CUDA_PATH"});
    toolkit(own, "JAXPP_CUDA_PATH");
    for (const std::string& wheel : name.wheels)
      p.push_back({own + "/" + wheel, "JAXPP_CUDA_PATH"});
  }
  for (const char* v : {"CUDA_HOME", "CUDA_PATH"})
    if (const std::string root = s.variable(v); !root.empty()) toolkit(root, v);
  if (s.loader) p.push_back({"", ""});
  if (!s.default_toolkit.empty())
    p.push_back({s.default_toolkit + "/lib64", "the toolkit's usual folder"});
  for (const std::string& folder : name.folders) p.push_back({folder, "the driver's usual folder"});
  for (const std::string& wheel : name.wheels) {
    if (!s.executable_folder.empty())
      p.push_back({s.executable_folder + "/" + wheel, "beside the executable"});
    auto environment = [&](const std::string& prefix, const std::string& because) {
      if (!prefix.empty()) p.push_back({prefix + "/lib/python3*/site-packages/" + wheel, because});
    };
    environment(s.variable("VIRTUAL_ENV"), "VIRTUAL_ENV");
    environment(s.variable("CONDA_PREFIX"), "CONDA_PREFIX");
    environment(python_prefix(s.variable("PATH")), "python3 on PATH");
    if (const std::string home = s.variable("HOME"); !home.empty())
      environment(home + "/.local", "Python packages of the user");
  }
  return p;
}

std::vector<std::string> expand(const std::string& pattern) {
  if (pattern.find('*') == pattern.npos) return {pattern};
  std::vector<std::string> all;
  ::glob_t found;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (std::size_t i = found.gl_pathc; i-- > 0;)
      all.push_back(found.gl_pathv[i]);  // newest Python first
  ::globfree(&found);
  return all;
}

}  // namespace

void* open_library(const LibraryName& name, const Surroundings& s, std::string& why) {
  std::string sonames, searched;
  for (const std::string& so : name.sonames) sonames += (sonames.empty() ? "" : ", ") + so;
  for (const Place& place : places(name, s)) {
    searched += "\n  " + (place.folder.empty()
                              ? "the search path of the dynamic loader (LD_LIBRARY_PATH, ldconfig)"
                              : place.folder + "  (" + place.because + ")");
    for (const std::string& so : name.sonames) {
      for (const std::string& file :
           place.folder.empty() ? std::vector{so} : expand(place.folder + "/" + so)) {
        if (!place.folder.empty() && ::access(file.c_str(), F_OK) != 0) continue;
        if (void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
        if (!place.folder.empty()) searched += std::string("\n    cannot be used: ") + ::dlerror();
      }
    }
  }
  why = std::string(name.what) + " (" + sonames + ") was not found.  Searched:" + searched;
  return nullptr;
}

LibraryName nvrtc_name() {
  return {"NVRTC",
          {"libnvrtc.so.13", "libnvrtc.so.12"},
          {"nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"},
          {}};
}

namespace {

template <class F>
void bind(void* handle, F& function, const char* symbol, std::string& missing) {
  function = reinterpret_cast<F>(::dlsym(handle, symbol));
  if (!function) missing += (missing.empty() ? "" : ", ") + std::string(symbol);
}
template <class Api, class Bind>
Loaded<Api> load(const LibraryName& name, Bind bind_all) {
  Loaded<Api> l;
  void* handle = open_library(name, Surroundings::of_this_process(), l.why);
  if (!handle) return l;
  std::string missing;
  bind_all(handle, l.api, missing);
  if (!missing.empty())
    l.why = std::string(name.what) + " on this machine is too old: it lacks " + missing + ".";
  return l;
}

}  // namespace

#define JAXPP_ROW(RESULT, NAME, SYMBOL, ARGUMENTS) bind(handle, api.NAME, SYMBOL, missing);
const Loaded<api::CudaDriver>& cuda_library() {
  static const auto& l = *new auto([] {
    auto found = load<api::CudaDriver>(
        {"The CUDA driver", {"libcuda.so.1"}, {}, {"/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"}},
        [](void* handle, api::CudaDriver& api, std::string& missing) {
          JAXPP_CUDA_DRIVER(JAXPP_ROW)
        });
    if (found.ok())
      if (const int e = found.api.cuInit(0); e) {
        const char *code = "an unknown error", *text = "";
        found.api.cuGetErrorName(e, &code);
        found.api.cuGetErrorString(e, &text);
        found.why =
            std::string("The CUDA driver does not start: cuInit: ") + code + ": " + text + ".";
      }
    return found;
  }());
  return l;
}
const Loaded<api::Nvrtc>& nvrtc_library() {
  static const auto& l = *new auto(load<api::Nvrtc>(
      nvrtc_name(),
      [](void* handle, api::Nvrtc& api, std::string& missing) { JAXPP_NVRTC(JAXPP_ROW) }));
  return l;
}
const Loaded<api::CublasLt>& cublaslt_library() {
  static const auto& l = *new auto(load<api::CublasLt>(
      {"cuBLASLt",
       {"libcublasLt.so.13", "libcublasLt.so.12"},
       {"nvidia/cu13/lib", "nvidia/cublas/lib"},
       {}},
      [](void* handle, api::CublasLt& api, std::string& missing) { JAXPP_CUBLASLT(JAXPP_ROW) }));
  return l;
}
#undef JAXPP_ROW

}  // namespace jaxpp::cuda
