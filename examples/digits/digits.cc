// digits.cc -- a network learns to read handwritten digits; then a jaxpr, a nested derivative and a vmap.
//
//   digits [DATA.csv [CURVE.svg]]
//
// 1,797 images of 8 x 8 pixels (see NOTICE), 1,438 to learn from and 359 to be tested on.  The parameters are a plain
// struct, the loss a lambda, and the training step the compiled gradient of that lambda.
#include <jaxpp/jaxpp.h>
#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include "plot.h"

using namespace jaxpp;

namespace {

struct Layer {
  Array w, b;
};
struct Mlp {
  Layer hidden, out;
};
struct Data {
  Array images;  // f32[n, 64], pixels in [0, 1]
  Array labels;  // i32[n]
};

constexpr int kTrain = 1438, kBatch = 64, kHidden = 128, kEpochs = 40;

Data read_digits(const std::string& path) {
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
  if (labels.size() <= kTrain) throw std::runtime_error(path + ": no digits there");
  return {Array(pixels).reshape({-1, 64}), Array(labels)};
}

Layer dense(random::Key key, int in, int out) {
  return {random::normal(key, {in, out}) * std::sqrt(2.0 / in), zeros({out})};
}

Array logits(const Mlp& m, const Array& x) {
  Array h = nn::relu(matmul(x, m.hidden.w) + m.hidden.b);
  return matmul(h, m.out.w) + m.out.b;
}

Array cross_entropy(const Mlp& m, Array x, Array y) {
  return -mean(sum(nn::one_hot(y, 10) * nn::log_softmax(logits(m, x)), -1));
}

double accuracy(const Mlp& m, const Data& d) {
  return double(mean((argmax(logits(m, d.images), -1) == d.labels).astype(f32)));
}

/// On a terminal: a bar that is redrawn.  Elsewhere: nothing.
void show_progress(int epoch, double loss) {
  static const bool terminal = isatty(STDOUT_FILENO);
  if (!terminal) return;
  const int width = 40, done = width * (epoch + 1) / kEpochs;
  std::printf("\r[%s%s] epoch %2d/%d  loss %.4f", std::string(std::size_t(done), '#').c_str(),
              std::string(std::size_t(width - done), '.').c_str(), epoch + 1, kEpochs, loss);
  if (epoch + 1 == kEpochs) std::printf("\n");
  std::fflush(stdout);
}

void train_and_test(const std::string& data_path, const std::string& curve_path) {
  auto [split_key, hidden_key, out_key, batch_key] = random::split<4>(random::key(0));
  Data all = read_digits(data_path);
  Array order = random::permutation(split_key, int(all.labels.size()));
  Array first = order(Slice(None, kTrain)), rest = order(Slice(kTrain, None));
  Data train{all.images(first), all.labels(first)}, test{all.images(rest), all.labels(rest)};

  Mlp model{dense(hidden_key, 64, kHidden), dense(out_key, kHidden, 10)};
  auto adam = optim::adam(2e-3);
  auto state = adam.init(model);
  auto step = jit([adam](Mlp m, auto s, Array x, Array y) {
    auto [loss, g] = value_and_grad(cross_entropy)(m, x, y);
    std::tie(m, s) = adam.update(m, g, s);
    return std::tuple(m, s, loss);
  });

  const auto start = std::chrono::steady_clock::now();
  std::vector<double> curve;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    Array shuffled = random::permutation(random::fold_in(batch_key, epoch), kTrain);
    for (int i = 0; i + kBatch <= kTrain; i += kBatch) {
      Array batch = shuffled(Slice(i, i + kBatch)), loss;
      // Moved in, assigned back: the step may overwrite the old parameters.
      std::tie(model, state, loss) =
          step(std::move(model), std::move(state), train.images(batch), train.labels(batch));
      curve.push_back(double(loss));
    }
    show_progress(epoch, curve.back());
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%zu steps in %.1f s, loss %.4f, train accuracy %.1f %%\n", curve.size(), seconds,
              curve.back(), 100 * accuracy(model, train));
  std::printf("test accuracy %.1f %%\n", 100 * accuracy(model, test));
  write_loss_curve(curve_path, curve, "Cross entropy of a 64-128-10 network on handwritten digits");
  std::printf("loss curve: %s\n", curve_path.c_str());
}

void show_transforms() {
  auto f = [](Array x) { return sin(x) * x; };
  std::cout << "\nThe gradient of sin(x) * x, as a jaxpr:\n" << make_jaxpr(grad(f))(2.0);
  std::printf("\n\nIts third derivative at 2: %.12f\n", double(grad(grad(grad(f)))(2.0)));
  std::cout << "Its gradient at 0, 1, 2, 3, by vmap: " << vmap(grad(f))(Array{0., 1., 2., 3.})
            << "\n";
}

}  // namespace

int main(int argc, char** argv) try {
  train_and_test(argc > 1 ? argv[1] : JAXPP_SOURCE_DIR "/examples/digits/digits.csv",
                 argc > 2 ? argv[2] : "digits_loss.svg");
  show_transforms();
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
