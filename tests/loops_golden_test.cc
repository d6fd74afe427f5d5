// loops_golden_test.cc -- the loop programs of tests/golden/programs.cc as text: tests/golden/loops/NAME.txt.
// JAXPP_UPDATE_GOLDEN=1 writes the texts anew: read the difference before committing it.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include "backends/loops/loops.h"
#include "checks.h"
#include "golden/programs.h"

using namespace jaxpp;
using namespace jaxpp::testing;

namespace {
const GoldenProgram& golden(const std::string& name) {
  for (auto& p : golden_programs())
    if (p.name == name) return p;
  throw std::logic_error("no golden program " + name);
}
std::string with_comment(const GoldenProgram& p) {
  std::istringstream why(p.why);
  std::string text, line;
  while (std::getline(why, line)) text += "# " + line + "\n";
  return text + p.loops(p.inputs);
}
std::int64_t largest_temporary(const std::string& text) {
  std::int64_t most = 0;
  for (auto& b : loops::parse(text).buffers)
    if ((b.role == loops::Buffer::Role::temp || b.role == loops::Buffer::Role::local) &&
        b.name.find("_parts") == std::string::npos)  // those are for each work item
      most = std::max(most, b.size);
  return most;
}
}  // namespace

TEST_CASE("loop programs: golden texts") {
  const std::string folder = JAXPP_SOURCE_DIR "/tests/golden/loops";
  const bool update = std::getenv("JAXPP_UPDATE_GOLDEN") != nullptr;
  for (const GoldenProgram& p : golden_programs()) {
    INFO(p.name);
    const std::string text = with_comment(p);
    const std::string path = folder + "/" + p.name + ".txt";
    if (update) {
      std::filesystem::create_directories(folder);
      std::ofstream(path) << text;
    }
    std::ifstream in(path);
    std::stringstream want;
    want << in.rdbuf();
    CHECK(text == want.str());
    const loops::Program parsed = loops::parse(p.loops(p.inputs));
    loops::verify(parsed);
    CHECK(loops::print(parsed) == p.loops(p.inputs));
  }
}

TEST_CASE("loop programs: the golden programs give what eager evaluation gives") {
  for (const GoldenProgram& p : golden_programs()) {
    INFO(p.name);
    CHECK(compare(p.name, p.jitted(p.inputs, cpu()), p.run(p.inputs), 2e-5) == "");
  }
}

TEST_CASE("loop programs: promises of the golden programs, in numbers") {
  auto cost = [](const char* name) {
    auto& p = golden(name);
    return p.cost(p.inputs, cpu());
  };
  auto temporary = [](const char* name) {
    auto& p = golden(name);
    return largest_temporary(p.loops(p.inputs));
  };
  SECTION("one pass over memory") {
    const CostEstimate c = cost("wave_value_and_grad");
    CHECK(c.loops == 1);
    CHECK(c.bytes_read == 4000);
    CHECK(c.bytes_written == 4000 + 2 * 4);  // the gradient; the sum, set to zero and added to
  }
  SECTION("row kernels") {
    for (const char* name : {"softmax", "softmax_grad", "layernorm", "layernorm_grad"}) {
      INFO(name);
      CHECK(temporary(name) <= 300);
    }
  }
  SECTION("a mixture model stores no point x component x dimension") {
    CHECK(temporary("gmm") <= 10 * 8);
    CHECK(temporary("gmm_grad") <= 10 * 8);
  }
  SECTION("lanes out of time") {
    for (const char* name : {"lorenz_vmap", "lorenz_vmap_grad", "collatz_vmap"}) {
      INFO(name);
      CHECK(cost(name).loops == 1);
    }
    CHECK(temporary("lorenz_vmap") == 1);
    CHECK(temporary("collatz_vmap") == 1);
  }
  SECTION("a chain of views is one loop, which holds a row of what is padded") {
    CHECK(cost("views").loops == 1);
    CHECK(temporary("views") <= 19);
  }
  SECTION("a training step: matrix products, and the loops between them") {
    CHECK(cost("mlp_step").calls == 5);
    CHECK(cost("mlp_step").loops <= 10);
  }
}
