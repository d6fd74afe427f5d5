// native.cc -- runs generated code.
//
// Generated code has no unwind information.  What a kernel throws is kept; a jump leaves the code, which owns nothing; and
// then it is thrown again.
#include "backends/cpu/native.h"
#include <algorithm>
#include <chrono>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include "backends/cpu/codegen.h"
#include "backends/cpu/runtime.h"
#include "backends/eager/block_ops.h"
#include "backends/eager/kernels.h"
#include "backends/host/frame.h"
#include "backends/host/pool.h"
#include "jaxpp/core/error.h"
#include "jaxpp/core/profile.h"

namespace jaxpp::native {
namespace {

using namespace internal;
using loops::Buffer;

std::size_t bytes_of(Type t) { return std::size_t(t->size) * width(t->dtype); }
std::size_t bytes_of(const Buffer& b) { return std::size_t(b.size) * width(b.dtype); }
// Code generation of a function takes more than linear time at level 2: instructions from which on it is level 0's.
constexpr std::size_t kLongFunction = 12000, kLongModule = 100000;

// What a run has beside the program.
struct State : Runtime {
  const void* impl;
  std::jmp_buf* exit;
  std::exception_ptr error;
};

Array view(Type t, void* data) { return Array::view(t->dtype, t->shape, data, nullptr, nullptr); }

void run_call(const loops::Call& c, void** operands) {
  const Kernel& kernel = kernel_of(*c.prim, c.loc);
  SmallVec<Array, 4> x, y;
  for (const auto& o : c.in) {
    void* const at = *operands++;
    if (kernel.allocates) {
      x.push_back(Array::make(o.type));
      if (o.type->size) std::memcpy(x.back().data<char>(), at, bytes_of(o.type));
    } else {
      x.push_back(view(o.type, at));
    }
  }
  for (std::size_t i = 0; i < c.out.size(); ++i)
    y.push_back(kernel.allocates ? Array() : view(c.out[i].type, operands[i]));
  try {
    kernel.run({x.data(), x.size()}, c.view(), y.data());
  } catch (const RuleError& e) {
    fail(e.what(), c.loc, "E11");
  }
  if (!kernel.allocates) return;
  for (std::size_t i = 0; i < c.out.size(); ++i)
    if (const std::size_t n = bytes_of(c.out[i].type))
      std::memcpy(operands[i], y[i].data<char>(), n);
}

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
  std::size_t arena = 0, scratch = 0;

  CodeOptions options() const {
    return {.quick = generated.longest > kLongFunction || generated.instructions > kLongModule};
  }

  static const Impl& of(const Runtime* r) {
    return *static_cast<const Impl*>(static_cast<const State*>(r)->impl);
  }
  static void call(const Runtime* r, std::int64_t k, void** operands) {
    auto* state = const_cast<State*>(static_cast<const State*>(r));
    try {
      return run_call(*of(r).generated.calls[std::size_t(k)], operands);
    } catch (...) {
      state->error = std::current_exception();
    }
    std::longjmp(*state->exit, 1);
  }
  static void block(const Runtime* r, std::int64_t k, void** operands, std::int64_t n) {
    of(r).generated.blocks[std::size_t(k)].run(operands, n);
  }
  static void parallel(const Runtime* r, Part part, std::int64_t chunks) {
    auto* state = const_cast<State*>(static_cast<const State*>(r));
    const Impl& m = of(r);
    std::mutex mutex;
    std::exception_ptr error;
    host::parallel_for(chunks, [&](std::int64_t chunk) {
      host::Frame frame(m.scratch);
      if (m.generated.calls.empty()) return part(r, frame.data, chunk);
      State own = *state;
      std::jmp_buf exit;
      own.exit = &exit;
      if (!setjmp(exit)) {
        part(&own, frame.data, chunk);
      } else {
        std::lock_guard lock(mutex);
        if (!error) error = own.error;
      }
    });
    if (!error) return;
    state->error = error;
    std::longjmp(*state->exit, 1);
  }
};

NativeProgram::NativeProgram(loops::Program p, bool contract) : impl_(std::make_unique<Impl>()) {
  Impl& m = *impl_;
  m.program = std::move(p);
  m.contract = contract;
  {
    profile::Slice slice("compile", "generate");
    const auto start = std::chrono::steady_clock::now();
    m.generated = generate(m.program, machine(), contract);
    m.generate_milliseconds =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
  for (const Array& a : m.generated.constants) m.constants.push_back(a.data<char>());
  m.arena = host::aligned(std::size_t(m.generated.arena));
  m.scratch = host::aligned(std::size_t(m.generated.scratch));
  m.code = compile_ir(m.generated.ir, m.options(), &m.stages);
  m.entry = reinterpret_cast<Entry>(m.code->find("run"));
  m.generated.ir = {};
}
NativeProgram::~NativeProgram() = default;
const loops::Program& NativeProgram::program() const { return impl_->program; }
double NativeProgram::generate_milliseconds() const { return impl_->generate_milliseconds; }
Stages NativeProgram::stages() const { return impl_->stages; }
std::string NativeProgram::ir() const {
  return generate(impl_->program, machine(), impl_->contract).ir;
}
std::string NativeProgram::assembly() const { return native::assembly(ir(), impl_->options()); }

void NativeProgram::run(std::span<const void* const> in, std::span<void* const> out) const {
  const Impl& m = *impl_;
  host::Frame frame(m.arena + m.scratch);
  if (m.poison) [[unlikely]] {
    std::memset(frame.data, 0xff, m.arena + m.scratch);
    for (const Buffer& b : m.program.buffers)
      if (b.role == Buffer::Role::output && b.size)
        if (void* to = out[std::size_t(b.index)]; std::find(in.begin(), in.end(), to) == in.end())
          std::memset(to, 0xff, bytes_of(b));
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
  char* const scratch = frame.data + m.arena;
  if (m.generated.calls.empty()) return m.entry(&state, scratch);
  std::jmp_buf exit;
  state.exit = &exit;
  if (!setjmp(exit)) return m.entry(&state, scratch);
  std::rethrow_exception(state.error);
}

}  // namespace jaxpp::native
