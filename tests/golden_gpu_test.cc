// golden_gpu_test.cc -- the programs of tests/golden/programs.cc on the emulated GPU, and their kernels through NVRTC.
#include <catch2/catch.hpp>
#include "backends/cuda/driver.h"
#include "checks.h"
#include "emulation.h"
#include "golden/programs.h"

using namespace jaxpp;
using namespace jaxpp::testing;

namespace {
const GoldenProgram& golden(const std::string& name) {
  for (auto& p : golden_programs())
    if (p.name == name) return p;
  throw std::logic_error("no golden program " + name);
}
}  // namespace

TEST_CASE("golden programs on the emulated GPU", "[gpu]") {
  if (!has_emulation()) return;
  for (const GoldenProgram& p : golden_programs()) {
    INFO(p.name);
    CHECK(compare(p.name, p.jitted(p.inputs, emulated_gpu()), p.run(p.inputs), 3e-5) == "");
    CHECK(p.cost(p.inputs, emulated_gpu()).fallbacks == std::vector<std::string>{});
  }
}

TEST_CASE("golden programs: launches", "[gpu]") {
  if (!has_emulation()) return;
  auto launches = [](const char* name) {
    auto& p = golden(name);
    return p.cost(p.inputs, emulated_gpu()).kernels;
  };
  for (const char* name : {"softmax", "softmax_grad", "layernorm", "lorenz_vmap",
                           "lorenz_vmap_grad", "collatz_vmap", "cumsum", "gather", "views"}) {
    INFO(name);
    CHECK(launches(name) == 1);
  }
  CHECK(launches("matmul_bias_relu") == 2);     // the product, and the loop after it
  CHECK(launches("wave_value_and_grad") <= 2);  // partial sums, and their sum
}

TEST_CASE("golden programs: kernels through NVRTC for sm_90", "[gpu]") {
  if (!has_emulation()) return;
  for (const GoldenProgram& p : golden_programs()) {
    INFO(p.name);
    std::string why;
    const auto cubin = cuda::nvrtc_compile(p.cuda(p.inputs), "sm_90", true, &why);
    if (!cubin) {
      WARN("skipped: " << why);
      return;
    }
    for (const cuda::Usage& u : cubin->usage) {
      INFO(u.kernel);
      CHECK(u.spill_bytes == 0);
    }
    // Contiguous arrays of float are loaded four at a time.
    if (p.name == "wave_value_and_grad") CHECK(cubin->ptx.find(".v4.f32") != std::string::npos);
  }
}

TEST_CASE("threefry on the emulated GPU gives the bits of the CPU", "[gpu]") {
  if (!has_emulation()) return;
  const random::Key key = random::key(42);
  auto bits = [&](Device d, DType t) {
    return jit([=](random::Key k) { return random::uniform(k, {1000}, t); }, {.device = d})(key);
  };
  for (DType t : {f32, f64}) CHECK(array_equal(bits(emulated_gpu(), t), bits(cpu(), t)));
  auto words = [&](Device d) {
    return jit([](random::Key k) { return random::bits(k, {33, 31}); }, {.device = d})(key);
  };
  CHECK(array_equal(words(emulated_gpu()), words(cpu())));
}
