// analysis.cc -- rows of workloads.md whose primitives have kernels of libraries: convolutions (N2, S7), the Fourier
// transform (S4), eigenvalues, singular values and QR (M5, M6, M7).
#include <complex>

#include "benchmarks/bench.h"
#include "benchmarks/programs.h"
#include "jaxpp/fft.h"

using namespace jaxpp;

namespace {

using bench::Layer;
struct Cnn {
  Layer conv1, conv2, dense;
};
ConvParams convolution(const ConvDims& dimensions, std::vector<Dims> padding, Dims strides) {
  ConvParams p;
  p.dimension_numbers = dimensions;
  p.padding = std::move(padding);
  p.window_strides = std::move(strides);
  return p;
}
/// Images [batch, height, width, channels], weights [3, 3, in, out], a margin of one pixel.
Array convolved(const Layer& l, Array x, std::int64_t stride) {
  const auto dimensions = lax::conv_dimension_numbers("NHWC", "HWIO", "NHWC");
  return lax::conv_general_dilated(x, l.w,
                                   convolution(dimensions, {{1, 1}, {1, 1}}, {stride, stride})) +
         l.b;
}
Array cnn_loss(Cnn p, Array x, Array y) {
  x = nn::relu(convolved(p.conv1, x, 1));
  x = nn::relu(convolved(p.conv2, x, 2));
  x = x.reshape({x.shape(0), -1});
  return bench::cross_entropy(matmul(x, p.dense.w) + p.dense.b, y);
}

Array square_matrix() { return bench::random_array(46, {256, 256}); }
Array symmetric_matrix() {
  Array g = bench::random_array<double>(46, {256, 256});
  return ((g + transpose(g)) / 2).astype(f32);
}

}  // namespace

void bench::register_analysis() {
  add("N2", 0, {}, [] {
    Cnn p = {{affine(55, {3, 3, 3, 16}, 0, std::pow(27, -0.5)), zeros({16})},
             {affine(56, {3, 3, 16, 32}, 0, std::pow(144, -0.5)), zeros({32})},
             {affine(57, {8192, 10}, 0, std::pow(8192, -0.5)), zeros({10})}};
    return training(cnn_loss, p, random_array(58, {32, 32, 32, 3}), labels(32, 10));
  });
  add(
      "M5_eigh", 256, {},
      [] { return run(jit([](Array a) { return lax::eigh(a); }), symmetric_matrix()); },
      [](const auto& vectors_and_values) { return vectors_and_values.second; });
  add(
      "M6_svd", 256, {},
      [] {
        auto svd = [](Array a) {
          SvdParams thin;
          thin.full_matrices = false;
          return lax::svd(a, thin);
        };
        return run(jit(svd), square_matrix());
      },
      [](const auto& s_u_vt) { return s_u_vt[0]; });
  add(
      "M7_qr", 256, {},
      [] {
        auto qr = [](Array a) { return lax::qr(a, QrParams{false, false}); };
        return run(jit(qr), square_matrix());
      },
      [](const auto& q_r) { return abs(q_r[1]); });
  add("S4", 0, {}, [] {
    const std::int64_t n = 1 << 20;
    Array x = lax::complex(random_array(125, {n}), random_array(126, {n}));
    return run(jit([](Array z) { return fft::fft(z); }), x);
  });
  add("S7", 0, {.gflop = 2e-9 * 16 * 64 * 64 * 9 * 4088}, [] {
    auto convolve = [](Array x, Array w) {
      const auto dimensions = lax::conv_dimension_numbers("NCH", "OIH", "NCH");
      return lax::conv_general_dilated(x, w, convolution(dimensions, {{0, 0}}, {1}));
    };
    return run(jit(convolve), random_array(127, {16, 64, 4096}),
               affine(128, {64, 64, 9}, 0, 1.0 / 24));
  });
}
