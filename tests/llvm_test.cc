// llvm_test.cc -- IR text to code: what it computes, what is said when it cannot be compiled.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "backends/cache/disk_cache.h"
#include "backends/cpu/llvm.h"
#include "backends/cpu/llvm_codegen.h"
#include "backends/cpu/llvm_progress.h"
#include "backends/cpu/object.h"
#include "jaxpp/core/error.h"
#include "jaxpp/jaxpp.h"
#include "tests/message.h"

using namespace jaxpp;
using native::compile_ir;
namespace fs = std::filesystem;

namespace {

bool no_llvm() {
  std::string why;
  if (native::llvm_available(&why)) return false;
  WARN("skipped: " + why);
  return true;
}
template <class F>
F* function(const std::shared_ptr<const native::Code>& code, std::string_view name) {
  void* f = code->find(name);
  REQUIRE(f);
  return reinterpret_cast<F*>(f);
}

// y[i] = c * x[i] + i, in vectors of 16.
std::string axpy(double c) {
  return R"(define void @axpy(ptr noalias %x, ptr noalias %y, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %p = getelementptr float, ptr %x, i64 %i
  %v = load <16 x float>, ptr %p, align 4
  %s = insertelement <16 x i64> zeroinitializer, i64 %i, i32 0
  %b = shufflevector <16 x i64> %s, <16 x i64> zeroinitializer, <16 x i32> zeroinitializer
  %j = add <16 x i64> %b, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %f = sitofp <16 x i64> %j to <16 x float>
  %m = fmul <16 x float> %v, splat (float )" +
         std::to_string(c) + R"()
  %r = fadd <16 x float> %m, %f
  %q = getelementptr float, ptr %y, i64 %i
  store <16 x float> %r, ptr %q, align 4
  %next = add i64 %i, 16
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
})";
}
using Axpy = void(const float*, float*, std::int64_t);
void check_axpy(const native::Code& code, float c) {
  std::vector<float> x(64), y(64, -1);
  for (int i = 0; i < 64; ++i) x[std::size_t(i)] = float(i) * 0.5f;
  reinterpret_cast<void (*)(const float*, float*, std::int64_t)>(code.find("axpy"))(x.data(),
                                                                                    y.data(), 64);
  for (int i = 0; i < 64; ++i) REQUIRE(y[std::size_t(i)] == c * float(i) * 0.5f + float(i));
}

}  // namespace

TEST_CASE("LLVM: the machine", "[llvm]") {
  const native::Machine& m = native::machine();
  CHECK(!m.cpu.empty());
  CHECK((m.vector_bytes == 16 || m.vector_bytes == 32 || m.vector_bytes == 64));
#if defined(__x86_64__)
  if (!std::getenv("JAXPP_CPU")) {
    CHECK(m.avx2 == bool(__builtin_cpu_supports("avx2")));
    CHECK(m.avx512 == bool(__builtin_cpu_supports("avx512vl")));
    CHECK(m.fma == bool(__builtin_cpu_supports("fma")));
  }
#endif
}

TEST_CASE("LLVM: text to code", "[llvm]") {
  if (no_llvm()) return;
  for (bool quick : {false, true}) {
    native::Stages stages;
    auto code = compile_ir(axpy(3), {.quick = quick}, &stages);
    check_axpy(*code, 3);
    CHECK(code->find("axp") == nullptr);
    CHECK(code->find("") == nullptr);
    CHECK(code->size() >= 4096);
    CHECK(stages.link > 0);
  }
}

TEST_CASE("LLVM: functions of the runtime, tables, calls, addresses of functions", "[llvm]") {
  if (no_llvm()) return;
  auto code = compile_ir(R"(
@table = private unnamed_addr constant [4 x double] [double 2.0, double 3.0, double 5.0, double 7.0]
@pointers = private unnamed_addr constant [2 x ptr] [ptr @one, ptr @two]
declare double @host(double)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare double @llvm.sin.f64(double)
define internal double @one(double %x) noinline { 
  %r = fadd double %x, 1.0 
  ret double %r 
}
define double @two(double %x) noinline { 
  %r = call double @one(double %x) 
  ret double %r 
}
define double @remainder(double %a, double %b) { 
  %r = frem double %a, %b 
  ret double %r 
}
define float @remainderf(float %a, float %b) { 
  %r = frem float %a, %b 
  ret float %r 
}
define double @sine(double %a) { 
  %r = call double @llvm.sin.f64(double %a) 
  ret double %r 
}
define void @clear(ptr %p, i64 %n) { 
  call void @llvm.memset.p0.i64(ptr %p, i8 0, i64 %n, i1 false) 
  ret void 
}
define double @entry(i64 %i) {
  %p = getelementptr double, ptr @table, i64 %i
  %r = load double, ptr %p
  ret double %r
}
define double @indirect(i64 %i, double %x) {
  %p = getelementptr ptr, ptr @pointers, i64 %i
  %f = load ptr, ptr %p
  %r = call double %f(double %x)
  ret double %r
}
define double @call_host(double %x) {
  %r = call double @host(double %x)
  %s = fadd double %r, 0.5
  ret double %s
}
define ptr @address() { 
  ret ptr @host 
}
define i32 @chosen(i32 %n) {
  switch i32 %n, label %other [ i32 0, label %a 
    i32 1, label %b 
    i32 2, label %c 
    i32 3, label %d 
    i32 4, label %e ]
a:
  call void @clear(ptr null, i64 0)
  br label %other
b:
  ret i32 11
c:
  ret i32 -7
d:
  ret i32 99
e:
  ret i32 1000
other:
  ret i32 5
}
)",
                         {.resolve = [](std::string_view name) -> void* {
                           if (name != "host") return nullptr;
                           return reinterpret_cast<void*>(+[](double x) { return 10 * x; });
                         }});
  CHECK(function<double(double, double)>(code, "remainder")(7.5, 2) == 1.5);
  CHECK(function<float(float, float)>(code, "remainderf")(7.5f, 2) == 1.5f);
  CHECK(function<double(double)>(code, "sine")(1) == std::sin(1.0));
  std::string s(100, 'x');
  function<void(char*, std::int64_t)>(code, "clear")(s.data(), 99);
  std::string cleared(100, '\0');
  cleared.back() = 'x';
  CHECK(s == cleared);
  for (int i = 0; i < 4; ++i)
    CHECK(function<double(std::int64_t)>(code, "entry")(i) == (const double[]){2, 3, 5, 7}[i]);
  for (int i = 0; i < 2; ++i)
    CHECK(function<double(std::int64_t, double)>(code, "indirect")(i, 4) == 5);
  CHECK(function<double(double)>(code, "call_host")(4) == 40.5);
  using F = double(double);
  CHECK(function<F*()>(code, "address")()(3) == 30);
  for (int i = 0; i < 6; ++i)
    CHECK(function<int(int)>(code, "chosen")(i) == (const int[]){5, 11, -7, 99, 1000, 5}[i]);
  CHECK(code->find("one") == nullptr);  // internal
}

TEST_CASE("LLVM: what cannot be compiled", "[llvm]") {
  if (no_llvm()) return;
  auto error = [](const std::string& ir) { return message([&] { compile_ir(ir, {}); }); };
  const std::string parse = error("define void @f() {\n  %x = add i32 1, true\n  ret void\n}");
  CHECK_THAT(parse, Catch::Contains("LLVM cannot parse: ir:2:19: error: ") &&
                        Catch::Contains("%x = add i32 1, true") && Catch::Contains("[E61]"));
  CHECK_THAT(error("define void @f() {"), Catch::Contains("[E61]"));
  // LLVM ends the process for these, if it is let.
  CHECK_THAT(
      error("define void @f() { call void asm sideeffect \"nonsense\", \"\"() \n ret void }"),
      Catch::Contains("[E61]"));
  CHECK_THAT(
      error("declare ptr @llvm.thread.pointer.p0(i32)\ndeclare i32 @llvm.eh.typeid.for.p0(ptr)\n"
            "declare void @llvm.amdgcn.s.barrier()\n"
            "define void @f() { call void @llvm.amdgcn.s.barrier()\n ret void }"),
      Catch::Contains("[E61]"));
  CHECK_THAT(error("declare void @nobody()\ndefine void @f() { call void @nobody()\n ret void }"),
             Catch::Contains("\"nobody\"") && Catch::Contains("[E62]"));
  CHECK_THAT(error("@g = global i32 0\ndefine void @f() { store i32 1, ptr @g\n ret void }"),
             Catch::Contains("writable") && Catch::Contains("[E62]"));
  // And it still works.
  check_axpy(*compile_ir(axpy(2), {}), 2);
}

TEST_CASE("LLVM: threads compile at the same time", "[llvm]") {
  if (no_llvm()) return;
  std::vector<std::thread> threads;
  std::vector<std::shared_ptr<const native::Code>> code(16);
  for (std::size_t t = 0; t < code.size(); ++t)
    threads.emplace_back([&, t] { code[t] = compile_ir(axpy(double(t)), {.quick = t % 2 == 1}); });
  for (auto& t : threads) t.join();
  for (std::size_t t = 0; t < code.size(); ++t) check_axpy(*code[t], float(t));
}

// ---- What the environment asks for: read once, so by processes of their own

namespace {
// Runs the hidden test case of this program named `test`.  True if it passes.
bool passes(const char* test, const char* variable, const char* value) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv(variable, value, 1);
    ::setenv("JAXPP_CACHE", "0", 1);
    if (!std::freopen("/dev/null", "w", stdout)) ::_exit(2);
    ::execl("/proc/self/exe", "jaxpp_tests", test, nullptr);
    ::_exit(2);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
}  // namespace

TEST_CASE("LLVM child: less than this machine", "[.]") {
  const native::Machine& m = native::machine();
  const std::string asked = std::getenv("JAXPP_CPU");
  CHECK(m.vector_bytes <= (asked == "generic" ? 16 : asked == "avx2" ? 32 : 64));
  CHECK((m.cpu == "native" || m.cpu.starts_with("x86-64")));
  check_axpy(*compile_ir(axpy(3)), 3);
}
TEST_CASE("LLVM child: an unknown processor", "[.]") {
  const std::string said = message([] { native::machine(); });
  CHECK_THAT(said, Catch::Contains("\"z80\"") && Catch::Contains("[E63]"));
}
TEST_CASE("LLVM child: no such library", "[.]") {
  std::string why;
  CHECK_FALSE(native::llvm_available(&why));
  CHECK_THAT(why, Catch::Contains("/nowhere/libLLVM.so"));
  CHECK_THAT(message([] { compile_ir(axpy(3)); }),
             Catch::Contains("/nowhere/libLLVM.so") && Catch::Contains("[E60]"));
}
TEST_CASE("LLVM child: not a library", "[.]") {
  CHECK(native::llvm_available());  // it is not opened to see
  for (int i = 0; i < 2; ++i)
    CHECK_THAT(message([] { compile_ir(axpy(3)); }),
               Catch::Contains("cannot be opened") && Catch::Contains("[E60]"));
}
TEST_CASE("LLVM: what the environment asks for", "[llvm]") {
  if (no_llvm()) return;
#if defined(__x86_64__)
  for (const char* cpu : {"generic", "avx2", "avx512"})
    CHECK(passes("LLVM child: less than this machine", "JAXPP_CPU", cpu));
#endif
  CHECK(passes("LLVM child: an unknown processor", "JAXPP_CPU", "z80"));
  CHECK(passes("LLVM child: no such library", "JAXPP_LLVM_LIBRARY", "/nowhere/libLLVM.so"));
  CHECK(passes("LLVM child: not a library", "JAXPP_LLVM_LIBRARY", "/etc/passwd"));
}

// ---- The cache

namespace {
struct Folder {
  std::string path = "/tmp/jaxpp-test-XXXXXX";
  Folder() { REQUIRE(::mkdtemp(path.data())); }
  ~Folder() { fs::remove_all(path); }
  std::string only_file() const {
    std::vector<std::string> all;
    for (const auto& e : fs::directory_iterator(path)) all.push_back(e.path());
    REQUIRE(all.size() == 1);
    return all[0];
  }
};
std::string read(const std::string& file) {
  std::ostringstream s;
  s << std::ifstream(file, std::ios::binary).rdbuf();
  return s.str();
}
void write(const std::string& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}
// Through a cache of its own, with nothing in memory; true if LLVM was asked.
bool compiled(const std::string& folder, float c, const native::CodeOptions& options = {}) {
  internal::DiskCache cache({.folder = folder});
  native::Stages stages;
  check_axpy(*native::load_object(*native::object_of(cache, axpy(c), options, stages)), c);
  REQUIRE(stages.cached == (cache.counts().disk == 1));
  return !stages.cached;
}
}  // namespace

TEST_CASE("LLVM cache: what makes another key", "[llvm]") {
  if (no_llvm()) return;
  Folder f;
  CHECK(compiled(f.path, 2));
  CHECK_FALSE(compiled(f.path, 2));
  CHECK_FALSE(compiled(f.path, 2, {.name = "another name"}));
  CHECK(compiled(f.path, 3));
  CHECK(compiled(f.path, 2, {.quick = true}));
  CHECK_FALSE(compiled(f.path, 2));
}
TEST_CASE("LLVM cache: a damaged object is compiled again", "[llvm]") {
  if (no_llvm()) return;
  Folder f;
  CHECK(compiled(f.path, 2, {.quick = true}));
  const std::string file = f.only_file(), good = read(file);
  auto again = [&](const std::string& bytes) {
    write(file, bytes);
    REQUIRE(compiled(f.path, 2, {.quick = true}));
    REQUIRE(read(file) == good);
  };
  for (std::size_t n = 0; n < good.size(); n += good.size() / 40) again(good.substr(0, n));
  for (std::size_t bit = 3; bit < good.size() * 8; bit += good.size() / 5) {
    std::string bad = good;
    bad[bit / 8] = char(bad[bit / 8] ^ 1 << bit % 8);
    again(bad);
  }
}
TEST_CASE("LLVM cache: threads and processes at the same time", "[llvm]") {
  if (no_llvm()) return;
  Folder f;
  std::vector<pid_t> children;
  for (int p = 0; p < 4; ++p) {
    const pid_t child = ::fork();
    if (child == 0) {
      int wrong = 0;
      for (int i = 0; i < 12; ++i) {
        internal::DiskCache cache({.folder = f.path, .capacity = 20000});  // sweeps, too
        native::Stages stages;
        const float c = float((i + p) % 6);
        auto object = native::object_of(cache, axpy(c), {.quick = true}, stages);
        auto code = native::load_object(*object);
        float x[16] = {1}, y[16] = {};
        reinterpret_cast<Axpy*>(code->find("axpy"))(x, y, 16);
        wrong += y[0] != c;
      }
      ::_exit(wrong ? 1 : 0);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  internal::DiskCache cache({.folder = f.path});
  std::atomic<int> made = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t)
    threads.emplace_back([&] {
      native::Stages stages;
      native::object_of(cache, axpy(100), {}, stages);
      made += !stages.cached;
    });
  for (auto& t : threads) t.join();
  CHECK(made == 1);
}
TEST_CASE("LLVM cache: a writer is killed", "[llvm]") {
  if (no_llvm()) return;
  Folder f;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    if (child == 0)
      for (int i = 0;; ++i) {  // writes without end
        internal::DiskCache cache({.folder = f.path});
        cache.get({"large", std::to_string(i % 4)}, [] { return std::string(1 << 20, 'x'); });
        native::Stages stages;
        native::object_of(cache, axpy(i % 8), {.quick = true}, stages);
        for (const auto& e : fs::directory_iterator(f.path)) ::unlink(e.path().c_str());
      }
    ::usleep(useconds_t(1000 + 700 * round));
    ::kill(child, SIGKILL);
    int status;
    ::waitpid(child, &status, 0);
    compiled(f.path, float(round % 8), {.quick = true});  // whatever is there: the code is right
    internal::DiskCache cache({.folder = f.path});
    for (int i = 0; i < 4; ++i)
      REQUIRE(*cache.get({"large", std::to_string(i)}, [] { return std::string(1 << 20, 'x'); }) ==
              std::string(1 << 20, 'x'));
  }
}

// ---- Where memory cannot be made executable

namespace {
// Of linux/prctl.h from Linux 6.3 on.
constexpr int kSetMdwe = 65;
constexpr long kRefuseExecGain = 1;
// From here on the process cannot make memory executable.  False where the kernel (before 6.3) has no such rule.
bool forbid_executable_memory() { return ::prctl(kSetMdwe, kRefuseExecGain, 0L, 0L, 0L) == 0; }
}  // namespace
TEST_CASE("LLVM child: no executable memory", "[.]") {
  const auto f = jit([](Array x) { return sum(sin(x) * x); });
  const Array x = linspace(0., 1., 1000), y = linspace(0., 2., 500);
  const double before = f(x).item<double>();
  if (!forbid_executable_memory()) return;
  CHECK_THAT(message([] { compile_ir(axpy(3)); }), Catch::Contains("[E62]"));
  const std::string said = "/tmp/jaxpp-test-stderr-" + std::to_string(::getpid());
  std::fflush(stderr);
  const int old = ::dup(2);
  REQUIRE(std::freopen(said.c_str(), "w", stderr));
  const double code = f(x).item<double>();  // what is there stays
  const Array interpreted = f(y), again = jit([](Array v) { return cos(v) + 1; })(y);
  std::fflush(stderr);
  ::dup2(old, 2);
  const std::string text = read(said);
  fs::remove(said);
  CHECK(code == before);
  CHECK(allclose(interpreted, sum(sin(y) * y)));
  CHECK(allclose(again, cos(y) + 1));
  CHECK_THAT(text, Catch::Contains("forbids executable memory"));
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
}
TEST_CASE("LLVM: without executable memory jit interprets, and says so once", "[llvm]") {
  if (no_llvm()) return;
  CHECK(passes("LLVM child: no executable memory", "JAXPP_NUM_THREADS", "2"));
}

// ---- Without memory

#if defined(__has_feature)
#define JAXPP_SANITIZER __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JAXPP_SANITIZER 1
#endif
#ifndef JAXPP_SANITIZER
TEST_CASE("LLVM child: out of memory", "[.]") {
  std::string large = "define void @k(ptr %p) {\n  %v0 = load double, ptr %p\n";
  for (int i = 1; i < 50000; ++i)
    large += "  %v" + std::to_string(i) + " = fadd double %v" + std::to_string(i - 1) + ", 1.0\n";
  large += "  store double %v49999, ptr %p\n  ret void\n}\n";
  native::optimized_ir(axpy(1));  // libLLVM is open
  int errors = 0, fine = 0;
  for (int megabytes = 1; megabytes < 1000 && !fine; megabytes *= 2) {
    const pid_t child = ::fork();
    if (child == 0) {
      long pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      const auto limit = rlim_t(pages * ::sysconf(_SC_PAGESIZE) + (long(megabytes) << 20));
      const rlimit r{limit, limit};
      ::setrlimit(RLIMIT_AS, &r);
      try {
        native::Stages stages;
        native::generate(large, true, native::Output::object, stages);
      } catch (const Error& e) {
        ::_exit(std::string(e.what()).find("[E61]") != std::string::npos ? 7 : 8);
      } catch (const std::bad_alloc&) {
        ::_exit(7);
      }
      ::_exit(0);
    }
    int status = 1;
    ::waitpid(child, &status, 0);
    INFO(megabytes << " MiB: status " << status);
    REQUIRE(WIFEXITED(status));
    REQUIRE((WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0));
    ++(WEXITSTATUS(status) ? errors : fine);
  }
  CHECK(errors > 0);
  CHECK(fine > 0);
}
// From no memory to enough: temporaries of the function, then of its parts on other threads, then the threads themselves.
TEST_CASE("LLVM child: calls without memory", "[.]") {
  const auto f = jit([](Array x) {
                   const Array a = sort(x(None) * x(All, None));
                   return sum(nn::softmax(a) * cumsum(a, 1));
                 }).compile(linspace(0., 1., 2000));
  const Array x = linspace(0., 1., 2000);
  const void* const in[] = {x.data<char>()};
  int errors = 0, fine = 0;
  for (double megabytes = 1; megabytes < 2000 && fine < 2; megabytes *= 1.5) {
    const pid_t child = ::fork();
    if (child == 0) {
      long pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      const auto limit = rlim_t(double(pages * ::sysconf(_SC_PAGESIZE)) + megabytes * (1 << 20));
      rlimit r{};
      ::getrlimit(RLIMIT_AS, &r);
      const rlimit less{limit, r.rlim_max};
      ::setrlimit(RLIMIT_AS, &less);
      double y = 0, again = 0;
      void *out[] = {&y}, *out_again[] = {&again};
      bool failed = false;
      try {
        f.call(in, out);
      } catch (const std::exception&) {
        failed = true;
      }
      ::setrlimit(RLIMIT_AS, &r);
      f.call(in, out_again);  // and it works again
      ::_exit(failed ? 7 : y == again ? 0 : 8);
    }
    int status = 1;
    ::waitpid(child, &status, 0);
    INFO(megabytes << " MiB: status " << status);
    REQUIRE(WIFEXITED(status));
    REQUIRE((WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0));
    ++(WEXITSTATUS(status) ? errors : fine);
  }
  CHECK(errors > 0);
  CHECK(fine > 0);
}
TEST_CASE("LLVM: a call without memory is an error", "[llvm]") {
  if (no_llvm()) return;
  CHECK(passes("LLVM child: calls without memory", "JAXPP_NUM_THREADS", "3"));
}
TEST_CASE("LLVM: out of memory is an error", "[llvm]") {
  if (no_llvm()) return;
  // In a process that has no free memory left from other tests.
  CHECK(passes("LLVM child: out of memory", "JAXPP_CACHE_BYTES", "0"));
}
#endif

// ---- What a person sees

TEST_CASE("progress line", "[llvm]") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  auto text = [&](double seconds) {
    {
      native::ProgressLine line("step (12 operations)",
                                {.file = ends[1], .after = 0.02, .interval = 0.01});
      std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    }
    REQUIRE(::write(ends[1], "|", 1) == 1);
    std::string all(4096, '\0');
    all.resize(std::size_t(::read(ends[0], all.data(), all.size())));
    return all;
  };
  CHECK(text(0) == "|");
  const std::string s = text(0.06);
  CHECK_THAT(s, Catch::StartsWith("\rjaxpp: compiling step (12 operations) ... 0.0 s\r") &&
                    Catch::EndsWith(" s\n|"));
  ::close(ends[0]);
  ::close(ends[1]);
  native::ProgressLine nothing("", {});
}
TEST_CASE("LLVM: assembly", "[llvm]") {
  if (no_llvm()) return;
  CHECK_THAT(native::assembly(axpy(2)), Catch::Contains("axpy:"));
  CHECK_THAT(native::optimized_ir(axpy(2)), Catch::Contains("define void @axpy"));
}
