// device_test.cc -- arrays on devices, jit there, and what is said where there is none.  The device is the emulated GPU.
#include <catch2/catch.hpp>
#include "checks.h"
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;

namespace {
bool has_emulation() {
  static const bool has = !devices(Device::Platform::cuda_emu).empty();
  if (!has) WARN("skipped: " << why_no_devices(Device::Platform::cuda_emu));
  return has;
}
}  // namespace

TEST_CASE("devices: names") {
  CHECK(to_string(cpu()) == "cpu");
  CHECK(devices(Device::Platform::cpu) == std::vector<Device>{cpu()});
  CHECK(Array(1.0).device() == cpu());
  if (devices(Device::Platform::cuda).empty()) {
    const std::string why = why_no_devices(Device::Platform::cuda);
    CHECK(why.find("libcuda.so.1") != std::string::npos);  // what was searched
    CHECK(message([] { gpu(); }).find(why) != std::string::npos);
    CHECK_THROWS_AS(gpu(), DeviceError);
  }
  if (!has_emulation()) return;
  CHECK(to_string(emulated_gpu()) == "cuda-emu:0");
}

TEST_CASE("devices: arrays go there and back") {
  if (!has_emulation()) return;
  Array x = linspace(0., 1., 1000), d = device_put(x, emulated_gpu());
  CHECK(d.device() == emulated_gpu());
  CHECK(d.block_until_ready().dtype() == f64);
  CHECK(array_equal(d, x));  // read on the host
  CHECK(device_put(d, cpu()).device() == cpu());
  CHECK(array_equal(device_put(d, cpu()), x));
  CHECK(double(device_put(Array(2.5), emulated_gpu())) == 2.5);
  CHECK(device_put(zeros({0, 3}), emulated_gpu()).to_vector().empty());
  struct Pair {
    Array a, b;
  };
  Pair p = device_put(Pair{x, x + 1.0}, emulated_gpu());
  CHECK(p.b.device() == emulated_gpu());
}

TEST_CASE("devices: jit runs where it is told, where its arguments are, or by scope") {
  if (!has_emulation()) return;
  auto f = [](Array x) { return sum(sin(x) * x); };
  Array x = linspace(0., 1., 1000), d = device_put(x, emulated_gpu());
  const double want = double(f(x));
  Array by_option = jit(f, {.device = emulated_gpu()})(x), by_place = jit(f)(d),
        on_host = jit(f)(x);
  CHECK(by_option.device() == emulated_gpu());
  CHECK(by_place.device() == emulated_gpu());
  CHECK(on_host.device() == cpu());
  for (const Array& y : {by_option, by_place, on_host}) CHECK(double(y) == Approx(want));
  {
    auto scope = default_device(emulated_gpu());
    CHECK(jit(f)(x).device() == emulated_gpu());
    CHECK(device_put(x).device() == emulated_gpu());
  }
  CHECK(jit(f)(x).device() == cpu());
  CHECK(jit(f, {.device = cpu()})(d).device() == cpu());
}

TEST_CASE("devices: eager operations on device arrays run there") {
  if (!has_emulation()) return;
  Array d = device_put(linspace(0.f, 1.f, 100), emulated_gpu());
  Array y = exp(d) + 1.0;
  CHECK(y.device() == emulated_gpu());
  CHECK(testing::compare("exp", {y}, {exp(device_put(d, cpu())) + 1.0}, 1e-6) == "");
  CHECK(double(grad([](Array v) { return sum(v * v); })(d)(3)) == Approx(2 * 3 / 99.));
}

TEST_CASE("devices: donation, captured arrays, results handed through, errors") {
  if (!has_emulation()) return;
  const Array table = linspace(0.f, 1.f, 64);
  auto step = jit([table](Array x) { return x * 2.0 + table; }, {.device = emulated_gpu()});
  Array x = device_put(ones({64}), emulated_gpu());
  for (int i = 0; i < 3; ++i) x = step(std::move(x));
  CHECK(testing::compare("donated", {x}, {8.0 + 7.0 * table}, 1e-6) == "");
  auto both = jit([](Array a, Array b) { return std::tuple(a, b + 1.0, a, Array(3.f)); },
                  {.device = emulated_gpu()});
  auto [a, b, c, d] = both(table, table);
  CHECK(array_equal(a, table));
  CHECK(array_equal(c, table));
  CHECK(float(d) == 3.f);
  auto fails = jit(
      [](Array v) {
        return pure_callback([](Array) -> Array { throw std::runtime_error("from the host"); },
                             v.type(), v);
      },
      {.device = emulated_gpu()});
  CHECK_THROWS_WITH(fails(table), Catch::Contains("from the host"));
  CHECK(float(step(table)(63)) == Approx(3));  // the device still works
}

TEST_CASE("devices: what a compiled program shows") {
  auto f = [](Array x) { return sum(exp(x)); };
  Array x = linspace(0.f, 1.f, 1000);
  auto on_cpu = jit(f).compile(x);
  CHECK(on_cpu.loops().find("parallel i0 < 1000") != std::string::npos);
  CHECK(on_cpu.cuda() == "");
  CHECK(on_cpu.memory().arguments == 4000);
  CHECK(on_cpu.memory().outputs == 4);
  CHECK(on_cpu.cost().transcendentals == 1000);
  CHECK(on_cpu.cost().bytes_read == 4000);
  CHECK(double(on_cpu(x)) == Approx(double(f(x))));  // it can be called
  if (!has_emulation()) return;
  auto on_gpu = jit(f, {.device = emulated_gpu()}).compile(x);
  CHECK(on_gpu.cuda().find("__global__") != std::string::npos);
  CHECK(on_gpu.cost().fallbacks.empty());
  CHECK(on_gpu.cost().kernels >= 1);
  auto sorts = jit([](Array v) { return sort(v) * 2.0; }, {.device = emulated_gpu()}).compile(x);
  REQUIRE(sorts.cost().fallbacks.size() == 1);
  CHECK(sorts.cost().fallbacks[0].find("sort") != std::string::npos);
  CHECK(testing::compare("sort", {sorts(x)}, {2.0 * sort(x)}, 1e-6) == "");
}
