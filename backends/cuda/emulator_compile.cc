// emulator_compile.cc -- runs the host's compiler on the text of kernels, with the shim before and a table behind it.
//
// Options: -O1, because kernels of tests run briefly and compile often; no contraction and no instructions beyond the
// architecture's base, so that results do not depend on the machine; checks for alignment, bounds and shifts, which call
// functions of the shim; hidden symbols, since kernels of many libraries have the same names.
#include "backends/cuda/emulator_compile.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>

#include "backends/cache/disk_cache.h"
#include "backends/cuda/driver_source.h"
#include "jaxpp/core/error.h"

namespace jaxpp::cuda::emulation {
namespace {

constexpr char kShim[] =
#include "backends/cuda/emulator_shim.inc"
    ;
const std::vector<std::string> kFlags = {"-std=c++20",
                                         "-O1",
                                         "-shared",
                                         "-fPIC",
                                         "-w",
                                         "-fvisibility=hidden",
                                         "-fno-exceptions",
                                         "-fno-rtti",
                                         "-fno-asynchronous-unwind-tables",
                                         "-fno-strict-aliasing",
                                         "-fwrapv",
                                         "-ffp-contract=off",
                                         "-fno-math-errno",
                                         "-fstack-clash-protection",
                                         "-fsanitize=alignment,bounds,shift",
                                         "-nostdlib"};

std::string read_file(const std::string& path) {
  std::ifstream f(path, std::ios::binary);
  std::ostringstream s;
  s << f.rdbuf();
  return s.str();
}

// A folder that disappears with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code none;
    path_ = (std::filesystem::temp_directory_path(none) / "jaxpp-XXXXXX").string();
    if (!::mkdtemp(path_.data()))
      throw Error("cannot make a folder " + path_ + ": " + std::strerror(errno) + ".");
  }
  ~TemporaryFolder() {
    std::error_code none;
    std::filesystem::remove_all(path_, none);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Runs a program with its output in a file; its exit status, or -1.
int run_program(const std::vector<std::string>& command, const std::string& output) {
  std::vector<char*> argv;
  for (const std::string& a : command) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&files, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_t child = -1;
  const int failed = ::posix_spawn(&child, argv[0], &files, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  if (failed) return -1;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string find_program(const std::string& name) {
  if (name.find('/') != name.npos) return ::access(name.c_str(), X_OK) == 0 ? name : "";
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (const std::string file = folder + "/" + name; ::access(file.c_str(), X_OK) == 0)
      return file;
  return "";
}

}  // namespace

const Compiler* host_compiler(std::string* why) {
  static std::mutex mutex;
  static std::map<std::string, Compiler> known;
  const char* own = std::getenv("JAXPP_CXX");
  std::vector<std::string> names = {"g++", "clang++", "c++"};
  if (own && *own) names = {own};
  for (const std::string& name : names) {
    const std::string path = find_program(name);
    if (path.empty()) continue;
    std::lock_guard lock(mutex);
    Compiler& c = known[path];
    if (c.path.empty()) {
      const TemporaryFolder folder;
      if (run_program({path, "--version"}, folder / "version") != 0) continue;
      c = {path, read_file(folder / "version")};
    }
    return &c;
  }
  if (why) {
    const char* path = std::getenv("PATH");
    *why = "The emulated device needs a C++ compiler, and none was found.  Searched: " +
           (own && *own ? "JAXPP_CXX=" + std::string(own)
                        : "g++, clang++, c++ in PATH=" + std::string(path ? path : "")) +
           ".  JAXPP_CXX names one.";
  }
  return nullptr;
}

std::shared_ptr<const std::string> compile_for_host(const std::string& source) {
  std::string why;
  const Compiler* compiler = host_compiler(&why);
  if (!compiler) throw Error(why);
  std::string text = std::string(kShim) + "#line 1 \"kernels.cu\"\n" + with_dynamic_shared(source) +
                     "\n#line 1 \"kernels\"\nstatic const jx_kernel jx_kernels[] = {";
  for (const KernelText& k : kernels_of(source))
    text += "\nJX_KERNEL(" + k.name + ", " +
            (k.launch_bound.empty() ? "0" : "int(" + k.launch_bound + ")") + ")";
  text +=
      "};\nextern \"C\" __attribute__((visibility(\"default\"))) const jx_image_type jx_image = "
      "{jx_kernels, "
      "sizeof jx_kernels / sizeof *jx_kernels, &jx_now, &jx_emulator, __bss_start, _end};\n";

  static internal::DiskCache& cache = *new internal::DiskCache("cuda-emu");
  struct utsname machine;
  ::uname(&machine);
  std::string flags;
  for (const std::string& f : kFlags) flags += f + " ";
  return cache.get({machine.machine, compiler->path, compiler->version, flags, text}, [&] {
    const TemporaryFolder folder;
    std::ofstream(folder / "kernels.cc") << text;
    std::vector<std::string> command = {compiler->path};
    command.insert(command.end(), kFlags.begin(), kFlags.end());
    for (const std::string& a : {std::string("-o"), folder / "kernels.so", folder / "kernels.cc",
                                 std::string("-lm"), std::string("-lc")})
      command.push_back(a);
    const int status = run_program(command, folder / "log");
    std::string image = read_file(folder / "kernels.so");
    if (status != 0 || image.empty())
      throw Error(compiler->path +
                  " cannot compile the generated kernels for the emulated device:\n" +
                  read_file(folder / "log") + "\n" + numbered(source));
    return image;
  });
}

// The library lives in a file without a name.  dlopen takes two libraries of the same path for one, so the descriptor,
// which is part of the path, stays open.
LoadedImage::LoadedImage(const std::string& bytes) {
  file_ = ::memfd_create("jaxpp-kernels", MFD_CLOEXEC);
  std::size_t written = 0;
  while (file_ >= 0 && written < bytes.size()) {
    const ssize_t n = ::write(file_, bytes.data() + written, bytes.size() - written);
    if (n <= 0) break;
    written += std::size_t(n);
  }
  if (written == bytes.size())
    handle_ = ::dlopen(("/proc/self/fd/" + std::to_string(file_)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_) image_ = static_cast<const Image*>(::dlsym(handle_, "jx_image"));
  if (!image_) {
    const char* error = ::dlerror();
    const std::string what = error ? error : std::strerror(errno);
    if (handle_) ::dlclose(handle_);
    if (file_ >= 0) ::close(file_);
    throw Error("cannot load the kernels that were compiled for the emulated device: " + what +
                ".");
  }
  find_shared(bytes);
}
LoadedImage::~LoadedImage() {
  ::dlclose(handle_);
  ::close(file_);
}

// Which shared memory is whose: a static variable of function f is called _ZZ<length>f...E<name>.  What belongs to no
// kernel is some inlined function's, and any kernel may use it.
void LoadedImage::find_shared(const std::string& bytes) {
  link_map* map = nullptr;
  ::dlinfo(handle_, RTLD_DI_LINKMAP, &map);
  for (int i = 0; i < image_->count; ++i) functions_.push_back({&image_->kernels[i], {}, 0});
  auto at = [&]<class T>(std::size_t offset, T& to) {
    if (offset + sizeof to > bytes.size()) return false;
    std::memcpy(&to, bytes.data() + offset, sizeof to);
    return true;
  };
  ElfW(Ehdr) header;
  if (!at(0, header)) return;
  bool found = false;
  for (std::size_t s = 0; s < header.e_shnum; ++s) {
    ElfW(Shdr) table, names;
    if (!at(header.e_shoff + s * sizeof table, table) || table.sh_type != SHT_SYMTAB) continue;
    if (!at(header.e_shoff + table.sh_link * sizeof names, names)) continue;
    found = true;
    for (std::size_t k = 0; k < table.sh_size / sizeof(ElfW(Sym)); ++k) {
      ElfW(Sym) symbol;
      if (!at(table.sh_offset + k * sizeof symbol, symbol)) break;
      char* begin = reinterpret_cast<char*>(map->l_addr + symbol.st_value);
      if ((symbol.st_info & 15) != STT_OBJECT || begin < image_->shared_begin ||
          begin >= image_->shared_end)
        continue;
      const char* name = bytes.data() + names.sh_offset + symbol.st_name;
      Function* owner = nullptr;
      for (Function& f : functions_) {
        const std::string prefix =
            "_ZZ" + std::to_string(std::strlen(f.kernel->name)) + f.kernel->name + "E";
        if (std::strncmp(name, prefix.c_str(), prefix.size()) == 0) owner = &f;
      }
      for (Function& f : functions_)
        if (!owner || owner == &f) f.shared.push_back({begin, std::size_t(symbol.st_size)});
      if (owner) owner->static_shared += int(symbol.st_size);
    }
  }
  if (!found)  // no table of symbols: it may all be anybody's
    for (Function& f : functions_)
      f.shared = {{image_->shared_begin, std::size_t(image_->shared_end - image_->shared_begin)}};
}

const LoadedImage::Function& LoadedImage::function(const char* name) const {
  for (const Function& f : functions_)
    if (std::strcmp(f.kernel->name, name) == 0) return f;
  throw Error(std::string("there is no kernel ") + name + " in this module.");
}

}  // namespace jaxpp::cuda::emulation
