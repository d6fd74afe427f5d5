// conv_test.cc -- convolutions against their definition, in all their kernels; and the functions on them.
#include <catch2/catch.hpp>
#include "jaxpp/convolve.h"
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {
double distance(const Array& x, const Array& y) { return double(max(abs(x - y))); }
Array samples(int seed, const Shape& shape, DType d = f64) {
  return random::normal(random::key(std::uint64_t(seed)), shape, d);
}
// One spatial dimension, by the definition.
Array naive(const Array& lhs, const Array& rhs, std::int64_t stride, std::int64_t low,
            std::int64_t high, std::int64_t lhs_dilation, std::int64_t rhs_dilation,
            std::int64_t groups) {
  const std::int64_t n = lhs.shape(0), in = rhs.shape(1), out = rhs.shape(0), size = lhs.shape(2),
                     window = rhs.shape(2);
  const std::int64_t padded = (size - 1) * lhs_dilation + 1 + low + high,
                     results = (padded - (window - 1) * rhs_dilation - 1) / stride + 1;
  std::vector<double> y(std::size_t(n * out * results), 0.);
  const double *l = lhs.data<double>(), *r = rhs.data<double>();
  for (std::int64_t b = 0; b < n; ++b)
    for (std::int64_t o = 0; o < out; ++o)
      for (std::int64_t p = 0; p < results; ++p)
        for (std::int64_t i = 0; i < in; ++i)
          for (std::int64_t k = 0; k < window; ++k) {
            const std::int64_t x = p * stride + k * rhs_dilation - low;
            if (x < 0 || x % lhs_dilation || x / lhs_dilation >= size) continue;
            const std::int64_t feature = o / (out / groups) * in + i;
            y[std::size_t((b * out + o) * results + p)] +=
                l[(b * lhs.shape(1) + feature) * size + x / lhs_dilation] *
                r[(o * in + i) * window + k];
          }
  return Array(std::span<const double>(y), Shape{n, out, results});
}
}  // namespace

TEST_CASE("conv: every kernel gives the definition", "[conv]") {
  struct Case {
    Shape lhs, rhs;
    std::int64_t stride, low, high, lhs_dilation, rhs_dilation, groups;
  };
  for (const Case& c : {Case{{2, 3, 20}, {4, 3, 3}, 1, 0, 0, 1, 1, 1},
                        Case{{2, 4, 20}, {6, 2, 3}, 2, 1, 3, 1, 2, 2},
                        Case{{2, 3, 11}, {4, 3, 4}, 3, 2, -2, 2, 1, 1},
                        Case{{1, 3, 30}, {2, 3, 4}, 2, 5, 7, 3, 2, 1},
                        Case{{2, 16, 700}, {5, 16, 4}, 1, 2, 1, 1, 3, 1},  // shifts of long lines
                        Case{{2, 32, 300}, {4, 16, 3}, 1, -3, 2, 1, 1, 2},
                        Case{{9, 2, 150}, {3, 2, 140}, 2, 3, 4, 1, 1, 1},  // long windows
                        Case{{300, 2, 9}, {3, 2, 9}, 1, 1, 1, 1, 1, 1},    // strips over the batch
                        Case{{2, 1200, 4}, {3, 1200, 2}, 1, 0, 0, 1, 1, 1}}) {  // blocks of the sum
    ConvParams p;
    p.window_strides = {c.stride};
    p.padding = {{c.low, c.high}};
    p.lhs_dilation = {c.lhs_dilation};
    p.rhs_dilation = {c.rhs_dilation};
    p.feature_group_count = c.groups;
    const Array x = samples(1, c.lhs), w = samples(2, c.rhs);
    const Array want =
        naive(x, w, c.stride, c.low, c.high, c.lhs_dilation, c.rhs_dilation, c.groups);
    INFO(x.type()->str() << " " << w.type()->str());
    CHECK(distance(lax::conv_general_dilated(x, w, p), want) < 1e-11);
    CHECK(distance(jit([p](Array a, Array b) { return lax::conv_general_dilated(a, b, p); })(x, w),
                   want) < 1e-11);
    // Other layouts are other strides.
    p.dimension_numbers = lax::conv_dimension_numbers("NWC", "WIO", "NWC");
    const Array last =
        lax::conv_general_dilated(transpose(x, {0, 2, 1}), transpose(w, {2, 1, 0}), p);
    CHECK(distance(transpose(last, {0, 2, 1}), want) < 1e-11);
    p.dimension_numbers = lax::conv_dimension_numbers("CWN", "IWO", "CWN");
    const Array batch =
        lax::conv_general_dilated(transpose(x, {1, 2, 0}), transpose(w, {1, 2, 0}), p);
    CHECK(distance(transpose(batch, {2, 0, 1}), want) < 1e-11);
  }
}
TEST_CASE("conv: padding, element types, functions on it", "[conv]") {
  const Array x = samples(3, {2, 3, 7, 6}), w = samples(4, {5, 3, 3, 2});
  CHECK(lax::conv(x, w, {2, 1}, "SAME").shape() == Shape{2, 5, 4, 6});
  CHECK(lax::conv(x, w, {2, 1}, "VALID").shape() == Shape{2, 5, 3, 5});
  CHECK(distance(lax::conv_with_general_padding(x, w, {1, 1}, {{0, 0}, {0, 0}}),
                 lax::conv(x, w, {1, 1}, "VALID")) == 0);
  const Array half = lax::conv(x.astype(bf16), w.astype(bf16), {1, 1}, "VALID");
  CHECK(half.dtype() == bf16);
  CHECK(lax::conv(x.astype(bf16), w.astype(bf16), {1, 1}, "VALID", f32).dtype() == f32);
  CHECK(distance(half.astype(f64), lax::conv(x, w, {1, 1}, "VALID")) < 0.5);
  // The transposed convolution undoes the shape of a strided one.
  const Array image = samples(5, {1, 8, 8, 4}), kernel = samples(6, {3, 3, 4, 2});
  CHECK(lax::conv_transpose(image, kernel, {2, 2}, "SAME").shape() == Shape{1, 16, 16, 2});
  CHECK(lax::conv_transpose(image, kernel, {2, 2}, "VALID").shape() == Shape{1, 17, 17, 2});
}
TEST_CASE("conv: convolve and correlate", "[conv]") {
  const Array x{1., 2., 3.}, y{0., 1., 0.5};
  CHECK(distance(convolve(x, y), Array{0., 1., 2.5, 4., 1.5}) == 0);  // numpy's example
  CHECK(distance(convolve(x, y, "same"), Array{1., 2.5, 4.}) == 0);
  CHECK(distance(convolve(x, y, "valid"), Array{2.5}) == 0);
  CHECK(distance(correlate(x, y), Array{3.5}) == 0);
  CHECK(distance(correlate(x, y, "full"), Array{0.5, 2., 3.5, 3., 0.}) == 0);
  CHECK(distance(correlate(Array{1., 2.}, Array{1., 0., 2.}, "full"), Array{2., 4., 1., 2.}) == 0);
  check_grads([](Array a, Array b) { return convolve(a, b); }, std::tuple(x, Array{2., 3.}));
  CHECK_THROWS_AS(convolve(x, ones({2, 2})), TypeError);
  CHECK_THROWS_AS(convolve(x, zeros({0})), TypeError);
  CHECK_THROWS_AS(correlate(x, y, "some"), TypeError);
}
TEST_CASE("conv: errors name the operands", "[conv]") {
  const Array x = ones({2, 3, 8}), w = ones({4, 3, 3});
  CHECK_THROWS_AS(lax::conv(x, ones({4, 2, 3}), {1}, "VALID"), TypeError);
  CHECK_THROWS_AS(lax::conv(x, w, {1}, "same"), TypeError);
  CHECK_THROWS_AS(lax::conv(x, w, {0}, "VALID"), TypeError);
  CHECK_THROWS_AS(lax::conv(x, ones({4, 3}), {1}, "VALID"), TypeError);
  CHECK_THROWS_AS(lax::conv_dimension_numbers("NCX", "OIW", "NCW"), TypeError);
}
