// fft_test.cc -- jaxpp::fft against the definition, numpy's values and itself.
#include "jaxpp/fft.h"
#include <catch2/catch.hpp>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {
double distance(const Array& x, const Array& y) { return double(max(abs(x - y))); }
Array samples(int seed, const Shape& shape, DType d = f64) {
  return random::normal(random::key(std::uint64_t(seed)), shape, d);
}
Array complex_samples(int seed, const Shape& shape) {
  return lax::complex(samples(seed, shape), samples(seed + 1, shape));
}
// The matrix of the transform.
Array dft(std::int64_t n) {
  const Array jk = outer(arange(n, i64), arange(n, i64)) % n;
  const Array angle = jk.astype(f64) * (-2 * M_PI / double(n));
  return lax::complex(cos(angle), sin(angle));
}
}  // namespace

TEST_CASE("fft: any length, by its definition", "[fft]") {
  // Powers, products of small primes, primes with and without a radix of their own, long transforms in two halves.
  for (std::int64_t n :
       {1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 31, 37, 64, 74, 97, 120, 128, 210, 343, 1000, 1009}) {
    INFO(n);
    const Array x = complex_samples(int(n), {n}), y = matmul(dft(n), x);
    CHECK(distance(fft::fft(x), y) < 1e-13 * double(n));
    CHECK(distance(fft::ifft(y), x) < 1e-13 * double(n));
    const Array r = samples(int(n) + 7, {3, n});
    const Array whole = matmul(r.astype(c128), dft(n));
    CHECK(distance(fft::rfft(r), whole(All, Slice(0, n / 2 + 1))) < 1e-13 * double(n));
    CHECK(distance(fft::irfft(fft::rfft(r), n), r) < 1e-13 * double(n));
  }
}
TEST_CASE("fft: batches along any axis agree with one transform at a time", "[fft]") {
  for (std::int64_t n : {6, 37, 130, 8192}) {
    const std::int64_t batch = n > 1000 ? 3 : 21;  // more than one bundle, the last one not full
    const Array x = complex_samples(int(n), {batch, n}), rows = fft::fft(x);
    const Array columns = fft::fft(transpose(x), {}, 0);
    CHECK(distance(transpose(columns), rows) < 1e-11);
    for (std::int64_t i : {std::int64_t(0), batch - 1})
      CHECK(distance(fft::fft(x(i)), rows(i)) < 1e-11);
  }
  const Array x = complex_samples(1, {2, 3, 4, 5});
  Array y = x;
  for (int axis : {1, 2, 3}) y = fft::fft(y, {}, axis);
  CHECK(distance(fft::fftn(x, {}, {1, 2, 3}), y) < 1e-12);
  CHECK(distance(fft::ifftn(fft::fftn(x)), x) < 1e-14);
  const Array r = samples(2, {3, 4, 7});
  CHECK(distance(fft::irfftn(fft::rfftn(r), Dims{3, 4, 7}), r) < 1e-14);
  CHECK(distance(fft::irfft2(fft::rfft2(r), Dims{4, 7}), r) < 1e-14);
  CHECK(distance(fft::ifft2(fft::fft2(r)), r) < 1e-14);
  CHECK(fft::fft(samples(3, {4}, f32)).dtype() == c64);
  CHECK(fft::fft(zeros({0, 4})).shape() == Shape{0, 4});
}
TEST_CASE("fft: sizes, norms, frequencies, shifts", "[fft]") {
  const Array x{1., 2., 3., 4.};
  const Array y = fft::fft(x);
  CHECK(distance(real(y), Array{10., -2., -2., -2.}) < 1e-15);
  CHECK(distance(imag(y), Array{0., 2., 0., -2.}) < 1e-15);
  CHECK(distance(fft::fft(x, 2), Array{3., -1.}) < 1e-15);
  CHECK(distance(fft::fft(x, 6), fft::fft(concatenate({x, zeros({2}, f64)}))) < 1e-15);
  CHECK(distance(fft::fft(x, {}, -1, fft::Norm::ortho), y / 2) < 1e-15);
  CHECK(distance(fft::fft(x, {}, -1, fft::Norm::forward), y / 4) < 1e-15);
  for (auto norm : {fft::Norm::backward, fft::Norm::ortho, fft::Norm::forward})
    CHECK(distance(fft::ifft(fft::fft(x, {}, -1, norm), {}, -1, norm), x) < 1e-15);
  CHECK(distance(fft::hfft(fft::ihfft(x), 4), x) < 1e-15);
  CHECK(array_equal(fft::fftfreq(5, 0.5, f64), Array{0., 1., 2., -2., -1.} / 2.5));
  CHECK(array_equal(fft::rfftfreq(4, 1, f64), Array{0., 0.25, 0.5}));
  CHECK(array_equal(fft::fftshift(arange(5)), Array{3, 4, 0, 1, 2}));
  CHECK(array_equal(fft::ifftshift(fft::fftshift(arange(5))), arange(5)));
}
TEST_CASE("fft: derivatives, vmap and jit", "[fft]") {
  const Array x = samples(5, {6});
  auto power = [](Array v) {
    const Array y = fft::rfft(v);
    return sum(real(y * conj(y)));
  };
  check_grads(power, std::tuple(x));
  check_grads([](Array v) { return fft::irfft(fft::rfft(v) * fft::rfft(v), 6); }, std::tuple(x));
  CHECK(distance(jit(power)(x), power(x)) <= 1e-13);
  CHECK(distance(grad(power)(x), jit(grad(power))(x)) == 0);
  const Array many = samples(6, {4, 6});
  CHECK(distance(vmap([](Array v) { return fft::fft(v); })(many), fft::fft(many)) < 1e-15);
}
TEST_CASE("fft: errors", "[fft]") {
  const Array x = ones({4}, f64);
  CHECK_THROWS_AS(fft::fft(x, 0), TypeError);
  CHECK_THROWS_AS(fft::fft(x, 4, 1), Error);
  CHECK_THROWS_AS(fft::rfft(fft::fft(x)), TypeError);
  CHECK_THROWS_AS(fft::fftn(x, Dims{2, 2}), TypeError);
  CHECK_THROWS_AS(fft::fftfreq(0), TypeError);
  CHECK_THROWS_AS(lax::fft(x, FftType::FFT, {4}), TypeError);
}
