// programs.h -- the programs whose compiled form is kept as text: each stands for a promise about what the loop program
// does not do (a second pass over memory, an array that nobody asked for).  The golden tests read their loops; the tests
// of the emulated GPU run their kernels.
#pragma once
#include <functional>
#include <string>
#include <vector>
#include "jaxpp/jaxpp.h"

namespace jaxpp::testing {

struct GoldenProgram {
  std::string name;
  std::string why;  // what the text shows, and why it matters
  std::vector<Array> inputs;
  std::function<std::vector<Array>(const std::vector<Array>&)> run;  // un-jitted
  std::function<std::vector<Array>(const std::vector<Array>&, Device)> jitted;
  std::function<std::string(const std::vector<Array>&)> loops;
  std::function<std::string(const std::vector<Array>&)> cuda;  // compiled for the emulated GPU
  std::function<CostEstimate(const std::vector<Array>&, Device)> cost;
};
const std::vector<GoldenProgram>& golden_programs();

}  // namespace jaxpp::testing
