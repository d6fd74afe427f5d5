// codegen.cc -- a loop program becomes a module of kernels and the steps that run them.
#include "backends/cuda/codegen.h"
#include "backends/cuda/codegen_kernel.h"
#include "backends/cuda/prelude.h"
#include "backends/loops/loops.h"

namespace jaxpp::cuda {
namespace {

// Whether a unit is left with nothing to do: what it would store, its readers do without.
bool does_nothing(const Loop& l, const Unit& u) {
  bool nothing = true;
  each_access(l.body, [&](const Access& a) { nothing &= a.load || u.skips.count(a.buffer); });
  return nothing;
}

}  // namespace

Code generate(const loops::Program& program, int) {  // the device's size must not change results
  Scheduled s = schedule_for_device(program);
  plan_memory(s.program);
  Code code;
  code.program = std::move(s.program);
  const Facts facts(code.program);
  std::string kernels;
  int elementary = 0, number = 0;
  for (std::size_t i = 0; i < s.units.size(); ++i) {
    const Unit& u = s.units[i];
    const Node& n = code.program.body[i];
    Step step;
    if (u.form == Form::host) {
      step.kind = Step::Kind::host;
      step.node = i;
      step.why = u.why;
    } else if (u.form == Form::gemm) {
      step.kind = Step::Kind::gemm;
      step.gemm = u.gemm;
      step.a = u.a;
      step.b = u.b;
      step.c = u.c;
    } else {
      const Loop& l = *n.as<Loop>();
      if (does_nothing(l, u)) continue;
      Kernel k = print_kernel(facts, l, u, number++);
      kernels += "\n" + k.text;
      elementary += k.elementary;
      step.kind = Step::Kind::kernel;
      step.name = std::move(k.name);
      step.grid = k.grid;
      step.block = k.block;
      step.buffers = std::move(k.buffers);
    }
    code.steps.push_back(std::move(step));
  }
  // In a namespace of their own, the prelude's names hide those that CUDA has built in.
  if (!kernels.empty())
    code.source = "namespace jaxpp {\n" + prelude(kernels, elementary) + kernels +
                  "\n}  // namespace jaxpp\nusing namespace jaxpp;\n";
  return code;
}

}  // namespace jaxpp::cuda
