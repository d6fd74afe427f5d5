// eigen_test.cc -- Eigen interop: conversions copy once, views never, and the ambiguous product
// does not compile.
#include "jaxpp/eigen.h"
#include <Eigen/Dense>
#include <catch2/catch.hpp>

namespace {

using jaxpp::Array, jaxpp::view, jaxpp::view_transposed, jaxpp::adopt, jaxpp::adopt_transposed;
using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::MatrixXd sample() {
  Eigen::MatrixXd m(2, 3);
  m << 1, 2, 3, 4, 5, 6;
  return m;
}

TEST_CASE("eigen: matrices of either layout convert row by row") {
  const std::vector<double> rows = {1, 2, 3, 4, 5, 6};
  Array a = sample();
  CHECK(a.shape() == jaxpp::Shape{2, 3});
  CHECK(a.dtype() == jaxpp::f64);
  CHECK(a.to_vector() == rows);
  CHECK(Array(RowMatrix(sample())).to_vector() == rows);
  CHECK(Array(2 * sample()).to_vector() == std::vector<double>{2, 4, 6, 8, 10, 12});
  CHECK(Array(sample().transpose()).to_vector() == std::vector<double>{1, 4, 2, 5, 3, 6});
  CHECK(Array(sample() * sample().transpose()).to_vector() == std::vector<double>{14, 32, 32, 77});
  CHECK(Array(sample().array().square()).to_vector() == std::vector<double>{1, 4, 9, 16, 25, 36});
  CHECK(Array(Eigen::Vector2d(2, 3).asDiagonal()).to_vector() == std::vector<double>{2, 0, 0, 3});
  CHECK(Array(sample().block(0, 1, 2, 2)).to_vector() == std::vector<double>{2, 3, 5, 6});
}

TEST_CASE("eigen: vectors have rank 1, and element types are kept") {
  CHECK(Array(Eigen::VectorXd::LinSpaced(3, 0, 1)).shape() == jaxpp::Shape{3});
  CHECK(Array(Eigen::RowVector2f(1, 2)).shape() == jaxpp::Shape{2});
  CHECK(Array(Eigen::Vector3f(1, 2, 3)).dtype() == jaxpp::f32);
  CHECK(Array(Eigen::Vector3i(1, 2, 3)).dtype() == jaxpp::i32);
  CHECK(Array(Eigen::Vector2cd(1, 2)).dtype() == jaxpp::c128);
  CHECK(Array(Eigen::Matrix<bool, 2, 1>(true, false)).dtype() == jaxpp::b1);
  CHECK(Array(sample().row(1)).to_vector() == std::vector<double>{4, 5, 6});
  CHECK(Array(sample().col(1)).to_vector() == std::vector<double>{2, 5});
}

TEST_CASE("eigen: arithmetic mixes, the result is an Array") {
  Eigen::MatrixXd M = sample();
  Array x = jaxpp::ones({2, 3}, jaxpp::f64);
  const std::vector<double> sum = {2, 3, 4, 5, 6, 7};
  CHECK((x + M).to_vector() == sum);
  CHECK((M + x).to_vector() == sum);
  CHECK((2. * M - x).to_vector() == std::vector<double>{1, 3, 5, 7, 9, 11});
  CHECK((x / M).to_vector()[1] == 0.5);
  CHECK((M.array() * x).to_vector() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(matmul(M, transpose(x)).to_vector() == std::vector<double>{6, 6, 15, 15});
  CHECK(jaxpp::maximum(M, 3.5).to_vector()[0] == 3.5);
}

template <class A, class B>
concept Multiplies = requires(const A& a, const B& b) {
  a* b;
};
static_assert(!Multiplies<Eigen::MatrixXd, Array> && !Multiplies<Array, Eigen::MatrixXd>);
static_assert(!Multiplies<Eigen::Vector3d, Array> && Multiplies<Eigen::ArrayXd, Array> &&
              Multiplies<double, Array>);

TEST_CASE("eigen: a view shares memory") {
  RowMatrix r = sample();
  Array v = view(r);
  CHECK(v.span<double>().data() == r.data());
  CHECK(v.shape() == jaxpp::Shape{2, 3});
  Eigen::MatrixXd c = sample();
  Array t = view_transposed(c);
  CHECK(t.span<double>().data() == c.data());
  CHECK(t.shape() == jaxpp::Shape{3, 2});
  CHECK(transpose(t).to_vector() == v.to_vector());
  Eigen::VectorXd e = Eigen::VectorXd::Ones(4);
  CHECK(view(e).span<double>().data() == e.data());
  auto block = r.block(0, 0, 2, 2);
  CHECK_THROWS_AS(view(block), jaxpp::TypeError);
}

TEST_CASE("eigen: adopt moves the memory, and frees it with the last Array") {
  RowMatrix r = sample();
  const double* data = r.data();
  Array a = adopt(std::move(r));
  CHECK(a.span<double>().data() == data);
  Array b = a + 1.;
  a = Array();
  CHECK(b.to_vector()[5] == 7);
  Eigen::MatrixXd c = sample();
  data = c.data();
  Array t = adopt_transposed(std::move(c));
  CHECK(t.span<double>().data() == data);
  CHECK(t.shape() == jaxpp::Shape{3, 2});
}

TEST_CASE("eigen: maps onto Arrays") {
  Array x = {{1., 2., 3.}, {4., 5., 6.}};
  auto m = jaxpp::as_eigen<double>(x);
  CHECK(m.data() == x.span<double>().data());
  CHECK(m(1, 0) == 4);
  CHECK(Eigen::MatrixXd(m) == sample());
  CHECK(jaxpp::as_eigen_vector<double>(x).sum() == 21);
  CHECK(jaxpp::to_eigen<double>(x + 1.)(0, 0) == 2);
  CHECK(jaxpp::to_eigen<float>(x)(1, 2) == 6.f);
  CHECK_THROWS_AS(jaxpp::as_eigen<float>(x), jaxpp::TypeError);
  Array cube = jaxpp::zeros({2, 2, 2}, jaxpp::f64);
  CHECK_THROWS_AS(jaxpp::as_eigen<double>(cube), jaxpp::TypeError);
}

}  // namespace
