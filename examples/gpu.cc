// gpu.cc -- the same programs on a GPU: a network that learns digits, and an ensemble of Lorenz systems.
//
// Runs on the first CUDA device; where there is none, on the emulated one, which compiles the very kernels that a GPU
// would get for the CPU (and takes its time: fewer steps).
#include <jaxpp/jaxpp.h>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

using namespace jaxpp;

namespace {

// ---- Digits: 64 pixels -> 64 -> 10
struct Layer {
  Array w, b;
};
struct Mlp {
  Layer hidden, out;
};
Array logits(const Mlp& m, const Array& x) {
  return matmul(nn::relu(matmul(x, m.hidden.w) + m.hidden.b), m.out.w) + m.out.b;
}
Array cross_entropy(const Mlp& m, Array x, Array y) {
  return -mean(sum(nn::one_hot(y, 10) * nn::log_softmax(logits(m, x)), -1));
}

std::pair<Array, Array> read_digits(const std::string& path) {
  std::ifstream file(path);
  std::vector<float> pixels;
  std::vector<int> labels;
  for (std::string line, field; std::getline(file, line);) {
    std::stringstream fields(line);
    for (int i = 0; i < 64 && std::getline(fields, field, ','); ++i)
      pixels.push_back(std::stof(field) / 16);
    std::getline(fields, field);
    labels.push_back(std::stoi(field));
  }
  return {Array(pixels).reshape({-1, 64}), Array(labels)};
}

double train(Device device, int steps) {
  auto [images, labels] = read_digits(JAXPP_SOURCE_DIR "/examples/digits/digits.csv");
  auto [k1, k2] = random::split(random::key(0));
  Mlp model = device_put(Mlp{{random::normal(k1, {64, 64}) * 0.15, zeros({64})},
                             {random::normal(k2, {64, 10}) * 0.15, zeros({10})}},
                         device);
  Array x = device_put(images, device), y = device_put(labels, device);

  auto step = jit(
      [](Mlp m, Array a, Array b) {
        auto [loss, g] = value_and_grad(cross_entropy)(m, a, b);
        return std::pair(tree_map([](Array p, Array dp) { return p - 0.5 * dp; }, m, g), loss);
      },
      {.device = device, .name = "step"});
  Array loss;
  for (int i = 0; i < steps; ++i)
    std::tie(model, loss) = step(std::move(model), x, y);  // returns before the device is done

  const auto cost = step.compile(model, x, y).cost();
  std::printf("a training step: %lld launches, %zu parts left to the CPU\n",
              static_cast<long long>(cost.kernels), cost.fallbacks.size());
  auto accuracy = jit([](Mlp m, Array a, Array b) {
    return mean((argmax(logits(m, a), -1).astype(i32) == b).astype(f32));
  });
  return double(accuracy(model, x, y));
}

// ---- Lorenz: many trajectories; vmap of a scan is one kernel, a thread each
struct State {
  Array x, y, z;
};
Array lorenz(Array x0, Array rho) {
  auto step = [rho](State s, NoneType) {
    const double dt = 0.005;
    return std::pair(State{s.x + dt * 10.0 * (s.y - s.x), s.y + dt * (s.x * (rho - s.z) - s.y),
                           s.z + dt * (s.x * s.y - 8.0 / 3 * s.z)},
                     None);
  };
  return scan(step, State{x0, x0 + 1.0, x0 + 20.0}, None, {.length = 100}).first.z;
}

}  // namespace

int main() try {
  const bool real = !devices(Device::Platform::cuda).empty();
  if (!real) std::cout << why_no_devices(Device::Platform::cuda) << "\nSo: the emulation.\n\n";
  const Device device = real ? gpu() : emulated_gpu();

  const double accuracy = train(device, real ? 500 : 60);
  std::printf("digits: %.0f %% of the training images are read rightly\n\n", 100 * accuracy);

  Array x0 = device_put(linspace(-1.f, 1.f, 4096), device);
  Array rho = device_put(linspace(20.f, 30.f, 4096), device);
  auto ensemble = jit(vmap(lorenz));
  std::printf("mean z of 4096 Lorenz systems: %.3f\n\n", double(mean(ensemble(x0, rho))));
  std::cout << "Their kernel:\n" << ensemble.compile(x0, rho).cuda();
  return accuracy > 0.8 ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
