// executable.cc -- what a jitted function is on the CPU: passes, loop program, schedule, memory plan, machine code (or,
// without LLVM, the interpreter).
#include "backends/cpu/executable.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include "backends/cpu/native.h"
#include "backends/cpu/object.h"
#include "backends/loops/interpret.h"
#include "backends/loops/loops.h"
#include "backends/loops/outputs.h"
#include "backends/passes/passes.h"
#include "jaxpp/core/profile.h"

namespace jaxpp::internal {
namespace {

using profile::Slice;

// Once in a process: somebody who waits for slow code wants to know why it is slow.
void warn_of_interpreter(const std::string& why) {
  static std::once_flag once;
  std::call_once(once, [&] {
    std::fprintf(stderr,
                 "jaxpp: %s: functions under jit are interpreted, which is slower.  "
                 "JAXPP_EXECUTOR=interpreter asks for that, without this line.\n",
                 why.c_str());
  });
}
// JAXPP_EXECUTOR=interpreter in the environment: no machine code.
bool use_interpreter() {
  const char* e = std::getenv("JAXPP_EXECUTOR");
  if ((e && std::string_view(e) == "interpreter") || !native::llvm_available()) return true;
  std::string why;
  if (native::can_load_code(&why)) return false;
  warn_of_interpreter(why);
  return true;
}
constexpr int kMostChunks = 32;
using Clock = std::chrono::steady_clock;
double milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}
// Control flow outside of jit that the interpreter has done before a compiler would be ready: some thousand operations.
bool is_brief(const loops::Program& p) {
  const loops::Cost c = loops::cost(p);
  return c.flops + 10 * c.transcendentals < 50000;
}
// JAXPP_CONTRACT=0: no fused multiply-add but those of the elementary functions.
bool contract() {
  const char* e = std::getenv("JAXPP_CONTRACT");
  return !(e && std::string_view(e) == "0");
}

loops::Program build_program(const JaxprBody& j) {
  Slice slice("build", "build");
  return loops::build(j);
}
void schedule_program(loops::Program& p, bool interpreted) {
  Slice slice("build", "schedule");
  loops::Target target;
  if (!interpreted) {
    target.vector_bytes = native::machine().vector_bytes;
    target.max_chunks = kMostChunks;
  }
  loops::schedule(p, target);
  loops::plan_memory(p);
}

class LoopExecutable final : public Executable {
 public:
  LoopExecutable(JaxprPtr j, const CompileTarget& target, double passes_ms)
      : jaxpr_(std::move(j)), outputs_(*jaxpr_, body_) {
    Slice slice("compile", "compile");
    times_.passes = passes_ms;
    const auto start = Clock::now();
    loops::Program p = build_program(body_);
    const bool interpreted = use_interpreter() || (target.eager && is_brief(p));
    schedule_program(p, interpreted);
    times_.build = milliseconds(start);
    if (interpreted)
      interpreter_ = std::make_unique<loops::Interpreter>(std::move(p));
    else
      native_ =
          std::make_unique<native::NativeProgram>(std::move(p), target.contract && contract());
    types_ = body_.out_types();
    for (const loops::Buffer& b : program().buffers)
      if (b.role == loops::Buffer::Role::output && b.donor >= 0 &&
          !outputs_.hands_through(std::size_t(b.donor)) &&
          body_.types[body_.invars[std::size_t(b.donor)]] == types_[std::size_t(b.index)])
        donations_.push_back({std::size_t(b.index), std::size_t(b.donor)});
  }
  void run(std::span<Array> in, Array* out, bool donate) const override;
  std::string loops() const override { return print(program()); }
  std::string llvm() const override { return native_ ? native_->ir() : ""; }
  std::string assembly() const override { return native_ ? native_->assembly() : ""; }
  CompileTimes times() const override {
    CompileTimes t = times_;
    if (native_) {
      const native::Stages s = native_->stages();
      t.generate = native_->generate_milliseconds();
      t.parse = s.parse, t.optimize = s.optimize, t.codegen = s.generate, t.link = s.link;
      t.cached = s.cached;
    }
    return t;
  }
  bool run_raw(const void* const* in, void* const* out) const override;
  MemoryUse memory() const override {
    const loops::Memory m = loops::memory(program());
    return {m.arguments, m.outputs, m.constants, m.arena};
  }
  CostEstimate cost() const override {
    const loops::Cost c = loops::cost(program());
    return {.flops = c.flops,
            .transcendentals = c.transcendentals,
            .bytes_read = c.bytes_read,
            .bytes_written = c.bytes_written,
            .loops = c.loops,
            .calls = c.calls,
            .kernels = 0,
            .fallbacks = {}};
  }

 private:
  JaxprPtr jaxpr_;
  JaxprBody body_;  // what is computed: jaxpr_ without outputs that are handed through
  loops::Outputs outputs_;
  // One of them
  std::unique_ptr<loops::Interpreter> interpreter_;
  std::unique_ptr<native::NativeProgram> native_;
  void execute(const void* const* in, void* const* out) const {
    const auto n_in = std::size_t(program().inputs), n_out = std::size_t(program().outputs);
    if (native_)
      native_->run({in, n_in}, {out, n_out});
    else
      interpreter_->run({in, n_in}, {out, n_out});
  }
  CompileTimes times_;
  const loops::Program& program() const {
    return native_ ? native_->program() : interpreter_->program();
  }
  std::vector<Type> types_;  // of the program's outputs
  struct Donation {
    std::size_t output, input;
  };
  std::vector<Donation> donations_;
};

bool LoopExecutable::run_raw(const void* const* in, void* const* out) const {
  if (outputs_.all_computed()) [[likely]] {
    execute(in, out);
    return true;
  }
  std::vector<void*> computed(types_.size());
  for (std::size_t i = 0; i < outputs_.size(); ++i)
    if (const auto k = outputs_.computed(i)) computed[*k] = out[i];
  execute(in, computed.data());
  outputs_.copy_rest(in, body_.in_types(), computed.data(), types_, out);
  return true;
}
void LoopExecutable::run(std::span<Array> in, Array* out, bool donate) const {
  Slice slice("run", "cpu");
  SmallVec<const void*, 16> from;
  SmallVec<void*, 16> to;
  for (const Array& a : in) from.push_back(a.data<char>());
  Results apart;
  Array* computed = out;
  if (!outputs_.all_computed()) {
    apart.resize(types_.size());
    computed = apart.data();
  }
  if (donate) {
    for (std::size_t i = 0; i < types_.size(); ++i) computed[i] = Array();
    for (auto [output, input] : donations_)
      if (in[input].unique()) computed[output] = std::move(in[input]);
  }
  for (std::size_t i = 0; i < types_.size(); ++i) {
    if (!donate || !computed[i].defined()) computed[i] = Array::make(types_[i]);
    to.push_back(computed[i].data<char>());
  }
  execute(from.data(), to.data());
  if (!outputs_.all_computed()) outputs_.assemble(in, {computed, types_.size()}, out);
}

}  // namespace

std::shared_ptr<const Executable> compile_for_cpu(const JaxprBody& j, const CompileTarget& target) {
  const auto start = Clock::now();
  JaxprPtr better = [&] {
    Slice slice("passes", "optimize");
    return passes::optimize(j);
  }();
  return std::make_shared<LoopExecutable>(std::move(better), target, milliseconds(start));
}

}  // namespace jaxpp::internal
