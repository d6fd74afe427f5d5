// llvm_test.cc -- IR text to code: what it computes, what is said when it cannot be compiled.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "backends/cpu/llvm.h"
#include "jaxpp/core/error.h"
#include "tests/message.h"

using namespace jaxpp;
using native::compile_ir;

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
  CHECK(s == std::string(99, '\0') + "x");
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

TEST_CASE("LLVM: assembly", "[llvm]") {
  if (no_llvm()) return;
  CHECK_THAT(native::assembly(axpy(2)), Catch::Contains("axpy:"));
  CHECK_THAT(native::optimized_ir(axpy(2)), Catch::Contains("define void @axpy"));
}
