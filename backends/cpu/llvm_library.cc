// llvm_library.cc -- which libLLVM, its functions, and what it does when it fails.
//
// The file is looked for here, not by dlopen: so that its identity, a part of the key of cached code, is known without
// opening 130 MB.
#include "backends/cpu/llvm_library.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "jaxpp/core/error.h"

namespace jaxpp::native {
namespace {

constexpr int kVersions[] = {19, 20, 21};  // the one that is tested first

// Never closed: its destructors would run while other threads compile.
constexpr int kOpen = RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE;

std::string variable(const char* name) {
  const char* v = std::getenv(name);
  return v ? v : "";
}
std::vector<std::string> names(int version) {
  const std::string v = std::to_string(version);
  return {"libLLVM.so." + v + ".1", "libLLVM-" + v + ".so.1", "libLLVM-" + v + ".so"};
}
std::vector<std::string> folders(int version) {
  std::vector<std::string> all;
  const std::string path = variable("LD_LIBRARY_PATH");
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    if (end > at) all.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  const std::string v = std::to_string(version);
#if defined(__aarch64__)
  all.push_back("/usr/lib/aarch64-linux-gnu");
#else
  all.push_back("/usr/lib/x86_64-linux-gnu");
#endif
  for (const char* folder : {"/usr/lib64", "/usr/lib", "/usr/local/lib"}) all.push_back(folder);
  all.push_back("/usr/lib/llvm-" + v + "/lib");
  all.push_back("/usr/lib64/llvm" + v + "/lib");
  return all;
}

// "" if there is no such file.
std::string identity(const std::string& path) {
  struct stat s;
  if (::stat(path.c_str(), &s) != 0 || !S_ISREG(s.st_mode)) return "";
  return path + ":" + std::to_string(s.st_size) + ":" + std::to_string(s.st_mtim.tv_sec) + "." +
         std::to_string(s.st_mtim.tv_nsec);
}

LlvmFile search() {
  LlvmFile f;
#if !defined(__x86_64__)
  f.why = "Machine code of this processor cannot be loaded yet, only of x86-64.";
  return f;
#endif
  if (const std::string own = variable("JAXPP_LLVM_LIBRARY"); !own.empty()) {
    f.identity = identity(own);
    if (f.identity.empty())
      f.why = "JAXPP_LLVM_LIBRARY is \"" + own + "\", which is no file.";
    else
      f.path = own;
    return f;
  }
  for (int version : kVersions)
    for (const std::string& folder : folders(version))
      for (const std::string& name : names(version))
        if (f.identity = identity(folder + "/" + name); !f.identity.empty()) {
          f.path = folder + "/" + name;
          return f;
        }
  for (int version : kVersions)  // elsewhere: then only the loader knows, and it has to be opened
    for (const std::string& name : names(version)) {
      void* handle = ::dlopen(name.c_str(), kOpen);
      link_map* map = nullptr;
      if (!handle || ::dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) continue;
      f.path = map->l_name;
      f.identity = identity(f.path);
      return f;
    }
  f.why =
      "libLLVM (version 19, 20 or 21) was not found.  On Debian and Ubuntu: apt install libllvm19; "
      "elsewhere JAXPP_LLVM_LIBRARY=/path/to/libLLVM.so names it.";
  return f;
}

}  // namespace

const LlvmFile& find_llvm() {
  static const auto& found = *new LlvmFile(search());
  return found;
}

// ---- Fatal errors
//
// LLVM ends the process where it cannot go on: out of memory, an instruction that the machine has no code for.  If its
// handler returns, LLVM calls exit.  So the handler throws, through frames that are compiled without exceptions but have
// unwind tables; what those frames own is leaked.  Other users of LLVM in this process keep its behaviour.
namespace {
thread_local int fatal_errors_throw = 0;

void give_up(const char* reason) {
  if (!fatal_errors_throw) return;
  LlvmGaveUp e;
  std::snprintf(e.reason, sizeof e.reason, "%s", reason ? reason : "");
  throw e;
}
}  // namespace

FatalErrorsThrow::FatalErrorsThrow() { ++fatal_errors_throw; }
FatalErrorsThrow::~FatalErrorsThrow() { --fatal_errors_throw; }

// ---- Opening
namespace {

api::Llvm open() {
  const LlvmFile& file = find_llvm();
  auto unusable = [&](const std::string& what) {
    internal::fail<Error>("LLVM: " + what, Loc(), "E60",
                          "JAXPP_LLVM_LIBRARY=path names another library.");
  };
  if (file.path.empty()) throw Error("LLVM: " + file.why + "  [E60]");
  void* handle = ::dlopen(file.path.c_str(), kOpen);
  if (!handle) {
    const char* why = ::dlerror();
    unusable(file.path + " cannot be opened: " + (why ? why : "unknown error") + ".");
  }
  api::Llvm l;
  std::string missing;
  auto bind = [&](auto& function, const char* symbol) {
    function =
        reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, symbol));
    if (!function) missing += (missing.empty() ? "" : ", ") + std::string(symbol);
  };
#define JAXPP_ROW(RESULT, NAME, ARGUMENTS) bind(l.NAME, #NAME);
  JAXPP_LLVM_API(JAXPP_ROW)
  JAXPP_LLVM_TARGET(JAXPP_ROW)
#undef JAXPP_ROW
  if (!missing.empty()) unusable(file.path + " lacks " + missing + ".");
  unsigned major = 0, minor = 0, patch = 0;
  l.LLVMGetVersion(&major, &minor, &patch);
  if (major < unsigned(kVersions[0]))
    unusable(file.path + " is version " + std::to_string(major) + "; " +
             std::to_string(kVersions[0]) + " or newer is needed.");
  l.LLVMInstallFatalErrorHandler(give_up);
  // C has no name for the handler of failed allocations.
  using Handler = void (*)(void*, const char*, bool);
  if (void* install = ::dlsym(handle, "_ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_"))
    reinterpret_cast<void (*)(Handler, void*)>(install)(
        [](void*, const char* reason, bool) { give_up(reason); }, nullptr);
#define JAXPP_ROW(RESULT, NAME, ARGUMENTS) l.NAME();
  JAXPP_LLVM_TARGET(JAXPP_ROW)
#undef JAXPP_ROW
  return l;
}

}  // namespace

const api::Llvm& llvm() {
  static const auto& l = *new api::Llvm(open());  // tried again after an exception
  return l;
}

}  // namespace jaxpp::native
