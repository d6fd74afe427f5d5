// nvrtc.cc -- CUDA C++ to machine code by NVIDIA's run-time compiler, through the caches.
//
// The result is a cubin, not PTX: it needs no further compilation in the driver.  Sources include nothing, so -minimal
// (no built-in runtime declarations) applies; a compiler that does not know it, or -split-compile, goes without.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "backends/cache/disk_cache.h"
#include "backends/cuda/driver.h"
#include "backends/cuda/driver_library.h"
#include "backends/cuda/driver_source.h"
#include "jaxpp/core/error.h"

namespace jaxpp::cuda {
namespace {

using Options = std::vector<std::string>;

// A program of NVRTC's, for the length of a scope.
class Program {
 public:
  Program(const api::Nvrtc& n, const std::string& source) : n_(n) {
    check("nvrtcCreateProgram",
          n_.nvrtcCreateProgram(&p_, source.c_str(), "kernels.cu", 0, nullptr, nullptr));
  }
  Program(const Program&) = delete;
  ~Program() { n_.nvrtcDestroyProgram(&p_); }

  int compile(const Options& options) {
    std::vector<const char*> text;
    for (const std::string& o : options) text.push_back(o.c_str());
    return n_.nvrtcCompileProgram(p_, int(text.size()), text.data());
  }
  void check(const char* call, int result) const {
    if (result != api::kNVRTC_SUCCESS)
      throw Error(std::string(call) + ": " + n_.nvrtcGetErrorString(result) + ".");
  }
  std::string log() const {
    return text("nvrtcGetProgramLog", n_.nvrtcGetProgramLogSize, n_.nvrtcGetProgramLog, 1);
  }
  std::string cubin() const {
    return text("nvrtcGetCUBIN", n_.nvrtcGetCUBINSize, n_.nvrtcGetCUBIN, 0);
  }
  std::string ptx() const { return text("nvrtcGetPTX", n_.nvrtcGetPTXSize, n_.nvrtcGetPTX, 1); }

 private:
  template <class Size, class Get>
  std::string text(const char* call, Size size, Get get, std::size_t terminator) const {
    std::size_t n = 0;
    check(call, size(p_, &n));
    std::string s(n, '\0');
    if (n) check(call, get(p_, s.data()));
    s.resize(n - std::min(n, terminator));
    return s;
  }
  const api::Nvrtc& n_;
  api::nvrtcProgram p_ = nullptr;
};

// The number before `word` in a line like "Used 32 registers, 64 bytes smem"; 0 if it is not there.
int number_before(std::string_view line, std::string_view word) {
  const std::size_t at = line.find(word);
  if (at == line.npos || at == 0) return 0;
  const std::size_t end = line.find_last_of("0123456789", at) + 1;
  const std::size_t begin = line.find_last_not_of("0123456789", end - 1) + 1;
  int n = 0;
  std::from_chars(line.data() + begin, line.data() + end, n);
  return n;
}
// What ptxas -v says:
//   ptxas info    : Compiling entry function 'k' for 'sm_90'
//   ptxas info    : Function properties for k
//       0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
//   ptxas info    : Used 32 registers, used 1 barriers, 64 bytes smem
std::vector<Usage> usage_of(std::string_view log) {
  std::vector<Usage> all;
  bool of_entry = false;
  std::string_view properties_for = "Function properties for ",
                   entry = "Compiling entry function '";
  while (!log.empty()) {
    const std::string_view line = log.substr(0, log.find('\n'));
    log.remove_prefix(std::min(log.size(), line.size() + 1));
    if (const auto at = line.find(entry); at != line.npos) {
      const std::string_view name = line.substr(at + entry.size());
      all.push_back({.kernel = std::string(name.substr(0, name.find('\'')))});
      of_entry = true;
    } else if (const auto p = line.find(properties_for); p != line.npos) {
      of_entry = !all.empty() && line.substr(p + properties_for.size()) == all.back().kernel;
    } else if (of_entry && line.find("bytes stack frame") != line.npos) {
      all.back().stack_bytes = number_before(line, " bytes stack frame");
      all.back().spill_bytes =
          number_before(line, " bytes spill stores") + number_before(line, " bytes spill loads");
    } else if (of_entry && line.find("Used ") != line.npos) {
      all.back().registers = number_before(line, " registers");
      all.back().shared_bytes = number_before(line, " bytes smem");
    }
  }
  return all;
}

// A Cubin as bytes: its strings, each after its size.
std::string pack(const Cubin& c) {
  std::string s;
  for (const std::string* field : {&c.image, &c.ptx, &c.log}) {
    const std::uint64_t n = field->size();
    s.append(reinterpret_cast<const char*>(&n), sizeof n) += *field;
  }
  return s;
}
Cubin unpack(std::string_view s) {
  Cubin c;
  for (std::string* field : {&c.image, &c.ptx, &c.log}) {
    std::uint64_t n;
    std::memcpy(&n, s.data(), sizeof n);
    *field = s.substr(sizeof n, n);
    s.remove_prefix(sizeof n + n);
  }
  c.usage = usage_of(c.log);
  return c;
}

// sm_N if the compiler knows it, else the best virtual architecture below, whose PTX the driver compiles further.
std::string target(const api::Nvrtc& n, const std::string& architecture) {
  int count = 0, wanted = 0, best = 0;
  if (!architecture.starts_with("sm_") ||
      n.nvrtcGetNumSupportedArchs(&count) != api::kNVRTC_SUCCESS)
    return architecture;
  const char* digits = architecture.c_str() + 3;
  const auto end = std::from_chars(digits, architecture.c_str() + architecture.size(), wanted).ptr;
  std::vector<int> known(std::size_t(count) + 1);
  if (*end || n.nvrtcGetSupportedArchs(known.data()) != api::kNVRTC_SUCCESS) return architecture;
  known.pop_back();
  for (int a : known)
    if (a <= wanted) best = std::max(best, a);
  return best == wanted || !best ? architecture : "compute_" + std::to_string(best);
}

Cubin compile(const api::Nvrtc& n, const std::string& source, Options options, std::size_t optional,
              bool with_ptx) {
  Program program(n, source);
  int result = program.compile(options);
  if (result == api::kNVRTC_ERROR_INVALID_OPTION) {  // an old one, without the optional ones
    options.resize(options.size() - optional);
    result = program.compile(options);
  }
  Cubin c;
  c.log = program.log();
  if (result == api::kNVRTC_ERROR_COMPILATION)
    throw Error("NVRTC cannot compile the generated kernels:\n" + c.log + "\n" + numbered(source));
  program.check("nvrtcCompileProgram", result);
  c.image = program.cubin();
  if (with_ptx || c.image.empty()) c.ptx = program.ptx();
  if (c.image.empty()) c.image = c.ptx;  // for a virtual architecture (compute_90)
  return c;
}

}  // namespace

std::shared_ptr<const Cubin> nvrtc_compile(const std::string& source,
                                           const std::string& architecture, bool with_ptx,
                                           std::string* why) {
  const auto& library = nvrtc_library();
  if (!library.ok()) {
    if (why) *why = library.why;
    return nullptr;
  }
  static internal::DiskCache& cache = *new internal::DiskCache("cuda");
  int major = 0, minor = 0;
  library.api.nvrtcVersion(&major, &minor);
  // The last ones are optional.
  const Options options = {"-arch=" + target(library.api, architecture), "-std=c++20",
                           "--ptxas-options=-v", "-minimal", "-split-compile=0"};
  std::string text;
  for (const std::string& o : options) text += o + " ";
  const auto bytes =
      cache.get({"nvrtc", std::to_string(major) + "." + std::to_string(minor), text,
                 with_ptx ? "ptx" : "", source},
                [&] { return pack(compile(library.api, source, options, 2, with_ptx)); });
  return std::make_shared<const Cubin>(unpack(*bytes));
}

}  // namespace jaxpp::cuda
