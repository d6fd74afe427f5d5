// native.cc -- runs generated code.
//
// Generated code has no unwind information.  What a kernel throws is kept; a jump leaves the code, which owns nothing; and
// then it is thrown again.
#include "backends/cpu/native.h"
#include <chrono>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include "backends/cpu/codegen.h"
#include "backends/cpu/runtime.h"
#include "backends/host/frame.h"
#include "backends/host/pool.h"
#include "backends/loops/kernel_call.h"
#include "jaxpp/core/profile.h"

namespace jaxpp::native {
namespace {

using namespace internal;

// Code generation of a function takes more than linear time at level 2: instructions from which on it is level 0's.
constexpr std::size_t kLongFunction = 12000, kLongModule = 100000;
// Compiled at the same time.  Not by the number of threads: code on disk is found by its text.
constexpr std::size_t kMostModules = 8;

// What a run has beside the program.
struct State : Runtime {
  const void* impl;
  std::jmp_buf* exit;
  std::exception_ptr error;
};

}  // namespace

struct NativeProgram::Impl {
  loops::Program program;
  bool contract;
  Generated generated;
  std::shared_ptr<const Code> code;
  Entry entry = nullptr;
  Stages stages;
  double generate_milliseconds = 0;
  bool poison = std::getenv("JAXPP_POISON") != nullptr;
  std::vector<const void*> constants;
  std::vector<loops::KernelCall> calls;

  CodeOptions options() const {
    const char* quick =
        std::getenv("JAXPP_QUICK");  // 1: compiles in half the time, for slower code
    return {.quick = generated.longest > kLongFunction || generated.instructions > kLongModule ||
                     (quick && std::string_view(quick) == "1")};
  }

  static const Impl& of(const Runtime* r) {
    return *static_cast<const Impl*>(static_cast<const State*>(r)->impl);
  }
  static void call(const Runtime* r, std::int64_t k, void** operands) {
    auto* state = const_cast<State*>(static_cast<const State*>(r));
    try {
      return of(r).calls[std::size_t(k)].run(operands);
    } catch (...) {
      state->error = std::current_exception();
    }
    std::longjmp(*state->exit, 1);
  }
  static void block(const Runtime* r, std::int64_t k, void** operands, std::int64_t n) {
    of(r).generated.blocks[std::size_t(k)].run(operands, n);
  }
  // What a chunk throws, or the want of memory or threads for it: as a value, for no exception may reach generated code.
  static std::exception_ptr run_chunks(const State& state, Part part, std::int64_t chunks) {
    std::mutex mutex;
    std::exception_ptr error;
    try {
      host::parallel_for(chunks, [&](std::int64_t chunk) {
        host::Frame frame(of(&state).generated.scratch);
        if (of(&state).poison) [[unlikely]]
          std::memset(frame.data, 0xff, of(&state).generated.scratch);
        State own = state;
        std::jmp_buf exit;
        own.exit = &exit;
        if (!setjmp(exit)) {
          part(&own, frame.data, chunk);
        } else {
          std::lock_guard lock(mutex);
          if (!error) error = own.error;
        }
      });
    } catch (...) {
      if (!error) error = std::current_exception();
    }
    return error;
  }
  static void parallel(const Runtime* r, Part part, std::int64_t chunks) {
    auto* state = const_cast<State*>(static_cast<const State*>(r));
    state->error = run_chunks(*state, part, chunks);
    if (state->error) std::longjmp(*state->exit, 1);
  }
};

NativeProgram::NativeProgram(loops::Program p, bool contract) : impl_(std::make_unique<Impl>()) {
  Impl& m = *impl_;
  m.program = std::move(p);
  m.contract = contract;
  {
    profile::Slice slice("compile", "generate");
    const auto start = std::chrono::steady_clock::now();
    m.generated = generate(m.program, machine(), contract, kMostModules);
    m.generate_milliseconds =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
  for (const Array& a : m.generated.constants) m.constants.push_back(a.data<char>());
  for (const loops::Call* c : m.generated.calls) m.calls.emplace_back(*c);
  m.code = compile_modules(m.generated.modules, m.options(), &m.stages);
  m.entry = reinterpret_cast<Entry>(m.code->find("run"));
  m.generated.modules = {};
}
NativeProgram::~NativeProgram() = default;
const loops::Program& NativeProgram::program() const { return impl_->program; }
double NativeProgram::generate_milliseconds() const { return impl_->generate_milliseconds; }
Stages NativeProgram::stages() const { return impl_->stages; }
std::string NativeProgram::ir() const {
  return generate(impl_->program, machine(), impl_->contract).modules[0];
}
std::string NativeProgram::assembly() const { return native::assembly(ir(), impl_->options()); }

void NativeProgram::run(std::span<const void* const> in, std::span<void* const> out) const {
  const Impl& m = *impl_;
  const std::size_t arena = m.generated.arena, bytes = arena + m.generated.scratch;
  host::Frame frame(bytes);
  if (m.poison) [[unlikely]] {
    std::memset(frame.data, 0xff, bytes);
    loops::poison_outputs(m.program, in, out);
  }
  State state;
  state.in = in.data();
  state.out = out.data();
  state.arena = frame.data;
  state.constants = m.constants.data();
  state.parallel = Impl::parallel;
  state.call = Impl::call;
  state.block = Impl::block;
  state.impl = &m;
  char* const scratch = frame.data + arena;
  if (m.calls.empty() && !m.generated.parallel) return m.entry(&state, scratch);
  std::jmp_buf exit;
  state.exit = &exit;
  if (!setjmp(exit)) return m.entry(&state, scratch);
  std::rethrow_exception(state.error);
}

}  // namespace jaxpp::native
