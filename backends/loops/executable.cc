// executable.cc -- what a jitted function is on the CPU: passes, loop program, schedule, memory plan, interpreter.
#include "backends/loops/executable.h"
#include "backends/loops/interpret.h"
#include "backends/loops/loops.h"
#include "backends/loops/outputs.h"
#include "backends/passes/passes.h"
#include "jaxpp/core/profile.h"

namespace jaxpp::internal {
namespace {

using profile::Slice;

loops::Program make_program(const JaxprBody& j) {
  loops::Program p = [&] {
    Slice slice("build", "build");
    return loops::build(j);
  }();
  Slice slice("build", "schedule");
  loops::schedule(p, {});
  loops::plan_memory(p);
  return p;
}

class LoopExecutable final : public Executable {
 public:
  explicit LoopExecutable(JaxprPtr j) : jaxpr_(std::move(j)), outputs_(*jaxpr_, body_) {
    Slice slice("compile", "compile");
    run_ = std::make_unique<loops::Interpreter>(make_program(body_));
    types_ = body_.out_types();
    for (const loops::Buffer& b : run_->program().buffers)
      if (b.role == loops::Buffer::Role::output && b.donor >= 0 &&
          !outputs_.hands_through(std::size_t(b.donor)) &&
          body_.types[body_.invars[std::size_t(b.donor)]] == types_[std::size_t(b.index)])
        donations_.push_back({std::size_t(b.index), std::size_t(b.donor)});
  }
  void run(std::span<Array> in, Array* out, bool donate) const override;
  std::string loops() const override { return print(run_->program()); }
  std::string cuda() const override { return ""; }
  MemoryUse memory() const override {
    const loops::Memory m = loops::memory(run_->program());
    return {m.arguments, m.outputs, m.constants, m.arena};
  }
  CostEstimate cost() const override {
    const loops::Cost c = loops::cost(run_->program());
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
  std::unique_ptr<loops::Interpreter> run_;
  std::vector<Type> types_;  // of the program's outputs
  struct Donation {
    std::size_t output, input;
  };
  std::vector<Donation> donations_;
};

void LoopExecutable::run(std::span<Array> in, Array* out, bool donate) const {
  Slice slice("run", "cpu");
  SmallVec<const void*, 16> from;
  SmallVec<void*, 8> to;
  Results computed(types_.size());
  for (const Array& a : in) from.push_back(a.data<char>());
  if (donate)
    for (auto [output, input] : donations_)
      if (in[input].unique()) computed[output] = std::move(in[input]);
  for (std::size_t i = 0; i < types_.size(); ++i) {
    if (!computed[i].defined()) computed[i] = Array::make(types_[i]);
    to.push_back(computed[i].data<char>());
  }
  run_->run({from.data(), from.size()}, {to.data(), to.size()});
  outputs_.assemble(in, {computed.data(), computed.size()}, out);
}

}  // namespace

std::shared_ptr<const Executable> compile_for_cpu(const JaxprBody& j) {
  JaxprPtr better = [&] {
    Slice slice("passes", "optimize");
    return passes::optimize(j);
  }();
  return std::make_shared<LoopExecutable>(std::move(better));
}

}  // namespace jaxpp::internal
