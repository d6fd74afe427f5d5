// product_test.cc -- products of all sizes and layouts against sums, and their bits against the number of threads.
#include "backends/host/product.h"
#include <complex>
#include <cstring>
#include <random>
#include "backends/host/library.h"
#include "jaxpp/jaxpp.h"
#include "jaxpp/threads.h"

using namespace jaxpp;
using host::Matrices, host::products, host::ProductSizes;

namespace {

template <class T>
std::vector<T> random_elements(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> number(-4, 4);
  std::vector<T> x(n);
  for (T& v : x)
    if constexpr (host::is_complex_v<T>)
      v = T(host::Real<T>(number(generator)), host::Real<T>(number(generator)));
    else
      v = T(number(generator));
  return x;
}
template <class T>
double epsilon() {
  if constexpr (std::is_integral_v<T>)
    return 0;
  else
    return double(std::numeric_limits<host::Real<T>>::epsilon());
}
struct Threads {
  int before = num_threads();
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
};

// In rows, or in columns, with `gap` unused elements behind each.
template <class T>
struct Operand {
  std::vector<T> data;
  Matrices<T> view;
  Operand(std::int64_t count, std::int64_t rows, std::int64_t cols, bool in_rows, std::int64_t gap,
          unsigned seed) {
    const std::int64_t line = (in_rows ? cols : rows) + gap, next = line * (in_rows ? rows : cols);
    data = random_elements<T>(std::size_t(count * next), seed);
    view = {data.data(), in_rows ? line : 1, in_rows ? 1 : line, next};
  }
};

template <class T>
void check_product(std::int64_t count, ProductSizes s, bool a_rows, bool b_rows, std::int64_t gap) {
  const Operand<T> a(count, s.m, s.k, a_rows, gap, 1), b(count, s.k, s.n, b_rows, gap, 2);
  // A NaN that was there before must not stay.
  std::vector<T> y(std::size_t(count * s.m * s.n), T(std::numeric_limits<double>::quiet_NaN())),
      again(y);
  {
    Threads scope(1);
    products<T>(count, a.view, b.view, y.data(), s);
  }
  {
    Threads scope(3);
    products<T>(count, a.view, b.view, again.data(), s);
  }
  CHECK((y.empty() || std::memcmp(y.data(), again.data(), y.size() * sizeof(T)) == 0));
  double worst = 0;
  for (std::int64_t p = 0; p < count; ++p)
    for (std::int64_t i = 0; i < s.m; i += 1 + s.m / 50)
      for (std::int64_t j = 0; j < s.n; j += 1 + s.n / 50) {
        std::complex<double> sum = 0;
        for (std::int64_t l = 0; l < s.k; ++l)
          sum +=
              std::complex<double>(a.view.data[p * a.view.next + i * a.view.row + l * a.view.col]) *
              std::complex<double>(b.view.data[p * b.view.next + l * b.view.row + j * b.view.col]);
        const auto error =
            std::abs(std::complex<double>(y[std::size_t((p * s.m + i) * s.n + j)]) - sum);
        if (!(error <= worst)) worst = error;  // a NaN too
      }
  INFO(count << " x " << s.m << " x " << s.n << " x " << s.k << (a_rows ? " rows" : " columns")
             << (b_rows ? " rows" : " columns") << " gap " << gap);
  CHECK(worst <= 100 * epsilon<T>() * double(s.k + 10));
}

}  // namespace

TEMPLATE_TEST_CASE("products", "[product]", float, double, std::complex<float>,
                   std::complex<double>, std::int32_t, std::int64_t) {
  using T = TestType;
  const std::vector<ProductSizes> sizes = {
      {1, 1, 1},     {3, 2, 4},   {8, 8, 8},    {9, 8, 8},     {16, 16, 16}, {33, 17, 65},
      {1, 40, 50},   {40, 1, 50}, {1, 1, 3000}, {1, 300, 700}, {700, 1, 40}, {130, 260, 1},
      {260, 130, 3}, {5, 7, 0},   {0, 3, 3},    {150, 200, 80}};
  for (const auto& s : sizes)
    for (const bool a_rows : {true, false})
      for (const bool b_rows : {true, false}) {
        check_product<T>(1, s, a_rows, b_rows, 0);
        check_product<T>(1, s, a_rows, b_rows, 3);
        check_product<T>(5, s, a_rows, b_rows, 0);
      }
  check_product<T>(300, {3, 3, 3}, true, true, 0);
  check_product<T>(300, {8, 8, 9}, true, false, 1);
  check_product<T>(70, {20, 30, 25}, false, true, 0);
}
TEST_CASE("large products are cut into tiles", "[product]") {
  check_product<float>(1, {300, 500, 200}, true, true, 0);
  check_product<float>(1, {1000, 130, 333}, false, false, 0);
  check_product<double>(1, {130, 1000, 333}, false, true, 5);
  check_product<float>(3, {260, 300, 400}, true, false, 0);
  check_product<float>(1, {3000, 1, 501}, true, true, 0);
  check_product<float>(1, {1, 3000, 501}, true, false, 0);
  check_product<double>(1, {1, 1, 300'000}, true, false, 0);
}
TEST_CASE("strides of which none is 1", "[product]") {
  const std::vector<float> a = random_elements<float>(600, 1), b = random_elements<float>(600, 2);
  float y[6 * 5];
  products<float>(1, {a.data(), 22, 2}, {b.data(), 30, 3}, y, {6, 5, 10});
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 5; ++j) {
      double sum = 0;
      for (int l = 0; l < 10; ++l)
        sum += double(a[std::size_t(i * 22 + l * 2)]) * double(b[std::size_t(l * 30 + j * 3)]);
      CHECK(y[i * 5 + j] == Approx(sum).margin(1e-4));
    }
}
TEST_CASE("dot_general joins batch dimensions", "[product]") {
  const Array x = lax::reshape(linspace(-1., 1., 2 * 3 * 4 * 5), {2, 3, 4, 5}),
              y = lax::reshape(linspace(0., 2., 2 * 3 * 5 * 6), {2, 3, 5, 6});
  const Array z = matmul(x, y), swapped = matmul(swapaxes(x, 0, 1), swapaxes(y, 0, 1));
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j) {
      const Array one = matmul(x(i, j), y(i, j));
      CHECK(double(max(abs(z(i, j) - one))) < 1e-14);
      CHECK(double(max(abs(swapped(j, i) - one))) < 1e-14);
    }
}
