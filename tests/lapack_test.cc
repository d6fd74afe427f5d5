// lapack_test.cc -- factorisations give back the matrix, whoever computes them.  JAXPP_BLAS=0 runs them on Eigen.
#include "backends/host/lapack.h"
#include <Eigen/Dense>
#include <random>
#include "backends/host/factor.h"
#include "guarded.h"
#include "jaxpp/threads.h"

using namespace jaxpp::host;

namespace {

template <class T>
using Dense = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

template <class T>
Dense<T> random(int m, int n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  return Dense<T>::NullaryExpr(m, n, [&](Eigen::Index, Eigen::Index) {
    if constexpr (is_complex_v<T>)
      return T(Real<T>(normal(generator)), Real<T>(normal(generator)));
    else
      return T(normal(generator));
  });
}
template <class T>
Dense<T> positive(int n) {
  const Dense<T> g = random<T>(n, n, 1);
  return g * g.adjoint() + Dense<T>::Identity(n, n);
}
// Of a result whose elements are of order n.
template <class T>
void close(const Dense<T>& x, const Dense<T>& y) {
  REQUIRE(x.rows() == y.rows());
  REQUIRE(x.cols() == y.cols());
  const double scale = 1 + double(y.cwiseAbs().maxCoeff()),
               eps = double(std::numeric_limits<Real<T>>::epsilon());
  CHECK(double((x - y).cwiseAbs().maxCoeff()) < 50 * double(x.rows() + x.cols()) * eps * scale);
}
template <class T>
Dense<T> identity(Eigen::Index n) {
  return Dense<T>::Identity(n, n);
}

// A copy of a matrix that ends, or whose spare memory ends, where a page begins that may not be touched.
template <class T>
class Edge {
 public:
  explicit Edge(const Dense<T>& a, std::int64_t spare = 0)
      : memory_(std::size_t(a.size() + spare) * sizeof(T), jaxpp::testing::Side::end) {
    std::copy_n(a.data(), a.size(), data());
  }
  T* data() { return reinterpret_cast<T*>(memory_.data); }

 private:
  jaxpp::testing::Guarded memory_;
};

// A matrix with the memory behind it that LAPACK may read; given back at the end of the expression.
template <class T>
class Spared {
 public:
  explicit Spared(Dense<T>& a) : a_(a), memory_(std::size_t(a.size() + spare(a.rows()))) {
    std::copy_n(a.data(), a.size(), memory_.data());
  }
  Spared(const Spared&) = delete;
  ~Spared() { std::copy_n(memory_.data(), a_.size(), a_.data()); }
  T* data() { return memory_.data(); }

 private:
  Dense<T>& a_;
  std::vector<T> memory_;
};

}  // namespace

TEMPLATE_TEST_CASE("factorisations touch nothing beyond the matrix and its spare memory",
                   "[lapack]", float, double, std::complex<float>, std::complex<double>) {
  using T = TestType;
  using R = Real<T>;
  for (const int n : {5, 33, 70, 128, 140}) {
    const Dense<T> a = positive<T>(n), g = random<T>(n, n, 2);
    const auto columns = [](const Dense<T>& x) { return Edge<T>(x, spare(x.rows())); };
    Edge<R> w{Dense<R>(n, 1)};
    for (const bool lower : {true, false}) {
      CHECK(potrf(lower, n, Edge(a).data(), n));
      for (const bool vectors : {true, false})
        CHECK(syevd(vectors, lower, n, columns(a).data(), n, w.data()));
      CHECK(eigh(lower, n, columns(a).data(), w.data()));
      for (const Op op : {Op::none, Op::transpose, Op::adjoint})
        for (const bool left : {true, false})
          trsm(left, lower, op, false, n, n, Edge(a).data(), n, Edge(g).data(), n);
    }
    CHECK(cholesky(n, Edge(a).data()));
    CHECK(gees(n, columns(g).data(), n, columns(g).data(), n));
    for (const int m : {n, n + 30}) {
      const Dense<T> tall = random<T>(m, n, 3);
      std::vector<std::int32_t> pivots(static_cast<std::size_t>(m));
      getrf(m, n, Edge(tall).data(), m, pivots.data());
      lu(m, n, Edge(tall).data(), pivots.data());
      Edge<T> q = columns(tall), tau{Dense<T>(n, 1)};
      geqrf(m, n, q.data(), m, tau.data());
      orgqr(m, n, n, q.data(), m, tau.data());
      Edge<T> u = columns(Dense<T>(m, m)), vh = columns(Dense<T>(n, n));
      for (const Vectors v : {Vectors::none, Vectors::thin, Vectors::full})
        CHECK(gesdd(v, m, n, columns(tall).data(), m, w.data(), u.data(), m, vh.data(), n));
    }
  }
}

TEMPLATE_TEST_CASE("factorisations", "[lapack]", float, double, std::complex<float>,
                   std::complex<double>) {
  using T = TestType;
  SECTION("potrf") {
    for (const int n : {1, 5, 70})
      for (const bool lower : {true, false}) {
        const Dense<T> a = positive<T>(n);
        Dense<T> f = a;
        REQUIRE(potrf(lower, n, f.data(), n));
        if (lower) {
          const Dense<T> l = f.template triangularView<Eigen::Lower>();
          close<T>(l * l.adjoint(), a);
          if (n > 1) CHECK(f(0, n - 1) == a(0, n - 1));
        } else {
          const Dense<T> u = f.template triangularView<Eigen::Upper>();
          close<T>(u.adjoint() * u, a);
          if (n > 1) CHECK(f(n - 1, 0) == a(n - 1, 0));
        }
      }
    Dense<T> negative = -positive<T>(6);
    CHECK(!potrf(true, 6, negative.data(), 6));
    Dense<T> nan = positive<T>(6);
    nan(3, 2) = T(NAN);
    CHECK(!potrf(true, 6, nan.data(), 6));
    CHECK(potrf<T>(true, 0, nullptr, 1));
  }
  SECTION("getrf") {
    for (const auto& [m, n] :
         std::vector<std::pair<int, int>>{{1, 1}, {7, 4}, {4, 7}, {60, 60}, {70, 90}, {90, 70}}) {
      Dense<T> a = random<T>(m, n, 2), f = a;
      const int k = std::min(m, n);
      std::vector<std::int32_t> pivots(std::size_t(k), -1);
      getrf(m, n, f.data(), m, pivots.data());
      Dense<T> l = f.leftCols(k).template triangularView<Eigen::UnitLower>();
      Dense<T> u = f.topRows(k).template triangularView<Eigen::Upper>();
      for (int i = 0; i < k; ++i) {
        REQUIRE(pivots[std::size_t(i)] >= i);
        REQUIRE(pivots[std::size_t(i)] < m);
        a.row(i).swap(a.row(pivots[std::size_t(i)]));
      }
      close<T>(l * u, a);
    }
    Dense<T> zero = Dense<T>::Zero(3, 3);
    std::int32_t pivots[3];
    getrf(3, 3, zero.data(), 3, pivots);
    CHECK(zero == Dense<T>::Zero(3, 3));
    CHECK(pivots[2] == 2);
  }
  SECTION("trsm") {
    const int m = 9, n = 6;
    for (const bool left : {true, false})
      for (const bool lower : {true, false})
        for (const bool unit : {true, false})
          for (const Op op : {Op::none, Op::transpose, Op::adjoint}) {
            const int size = left ? m : n;
            const Dense<T> a = random<T>(size, size, 3) * T(0.1) + T(2) * identity<T>(size),
                           b = random<T>(m, n, 4);
            Dense<T> x = b, triangle;
            trsm(left, lower, op, unit, m, n, a.data(), size, x.data(), m);
            if (lower)
              triangle = a.template triangularView<Eigen::Lower>();
            else
              triangle = a.template triangularView<Eigen::Upper>();
            if (unit) triangle.diagonal().setOnes();
            if (op == Op::transpose) triangle.transposeInPlace();
            if (op == Op::adjoint) triangle = triangle.adjoint().eval();
            close<T>(left ? Dense<T>(triangle * x) : Dense<T>(x * triangle), b);
          }
  }
  SECTION("geqrf and orgqr") {
    for (const auto& [m, n] : std::vector<std::pair<int, int>>{{1, 1}, {8, 5}, {5, 8}, {70, 40}}) {
      const Dense<T> a = random<T>(m, n, 5);
      const int k = std::min(m, n);
      Dense<T> f = a, tau(k, 1);
      geqrf(m, n, Spared(f).data(), m, tau.data());
      const Dense<T> r = f.topRows(k).template triangularView<Eigen::Upper>();
      Dense<T> q = f.leftCols(k);
      orgqr(m, k, k, Spared(q).data(), m, tau.data());
      close<T>(q * r, a);
      close<T>(q.adjoint() * q, identity<T>(k));
      Dense<T> whole = Dense<T>::Zero(m, m);  // all of q
      whole.leftCols(k) = f.leftCols(k);
      orgqr(m, m, k, Spared(whole).data(), m, tau.data());
      close<T>(whole.adjoint() * whole, identity<T>(m));
      close<T>(whole.leftCols(k), q);
      Dense<T> product = identity<T>(m);  // of the reflectors I - tau v v^H, whoever made them
      for (int i = k; i-- > 0;) {
        Dense<T> v = f.col(i);
        v.topRows(i).setZero();
        v(i) = T(1);
        product -= tau(i) * (v * (v.adjoint() * product));
      }
      close<T>(whole, product);
    }
  }
  SECTION("gees") {
    for (const int n : {1, 2, 40}) {
      const Dense<T> a = random<T>(n, n, 9);
      Dense<T> t = a, z(n, n);
      REQUIRE(gees(n, Spared(t).data(), n, Spared(z).data(), n));
      close<T>(z * t * z.adjoint(), a);
      close<T>(z.adjoint() * z, identity<T>(n));
      for (int i = 0; i < n; ++i)
        for (int j = 0; j + (is_complex_v<T> ? 0 : 1) < i; ++j) CHECK(std::abs(t(i, j)) == 0);
    }
  }
  SECTION("syevd") {
    for (const int n : {1, 2, 40})
      for (const bool lower : {true, false}) {
        const Dense<T> g = random<T>(n, n, 6), a = g + g.adjoint();
        Dense<T> half = a, v;
        if (lower)
          half.template triangularView<Eigen::StrictlyUpper>().setConstant(T(NAN));
        else
          half.template triangularView<Eigen::StrictlyLower>().setConstant(T(NAN));
        v = half;
        Dense<Real<T>> w(n, 1), only(n, 1);
        REQUIRE(syevd(true, lower, n, Spared(v).data(), n, w.data()));
        close<T>(a * v, v * w.col(0).asDiagonal().toDenseMatrix().template cast<T>());
        close<T>(v.adjoint() * v, identity<T>(n));
        CHECK(std::is_sorted(w.data(), w.data() + n));
        REQUIRE(syevd(false, lower, n, Spared(half).data(), n, only.data()));
        close<Real<T>>(only, w);
      }
  }
  SECTION("gesdd") {
    for (const auto& [m, n] : std::vector<std::pair<int, int>>{{1, 1}, {9, 5}, {5, 9}, {40, 40}})
      for (const Vectors vectors : {Vectors::none, Vectors::thin, Vectors::full}) {
        const Dense<T> a = random<T>(m, n, 7);
        const int k = std::min(m, n);
        const bool full = vectors == Vectors::full;
        Dense<T> f = a, u(m, full ? m : k), vh(full ? n : k, n);
        Dense<Real<T>> s(k, 1);
        REQUIRE(gesdd(vectors, m, n, Spared(f).data(), m, s.data(), Spared(u).data(), m,
                      Spared(vh).data(), vh.rows()));
        CHECK(std::is_sorted(s.data(), s.data() + k, std::greater<>()));
        CHECK(double(s.squaredNorm()) == Approx(double(a.squaredNorm())).epsilon(1e-4));
        if (vectors == Vectors::none) continue;
        close<T>(u.leftCols(k) * s.col(0).asDiagonal() * vh.topRows(k), a);
        close<T>(u.adjoint() * u, identity<T>(u.cols()));
        close<T>(vh * vh.adjoint(), identity<T>(vh.rows()));
      }
  }
}
TEMPLATE_TEST_CASE("large factorisations in rows", "[lapack]", float, double, std::complex<float>,
                   std::complex<double>) {
  using T = TestType;
  using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const int before = jaxpp::num_threads();
  for (const int n : {1, 64, 128, 129, 300, 460}) {
    const Rows a = random<T>(n, n, 8) + T(Real<T>(3 * n)) * identity<T>(n),
               h = (a + a.adjoint()) / T(2);
    Rows one = h, three = h;
    jaxpp::set_num_threads(1);
    REQUIRE(cholesky(n, one.data()));
    jaxpp::set_num_threads(3);
    REQUIRE(cholesky(n, three.data()));
    const Dense<T> l = one.template triangularView<Eigen::Lower>(),
                   again = three.template triangularView<Eigen::Lower>();
    CHECK(l == again);
    close<T>(l * l.adjoint(), h);
    Rows negative = h;
    negative(n - 1, n - 1) = T(-1);
    CHECK(!cholesky(n, negative.data()));
  }
  for (const auto& [m, n] : std::vector<std::pair<int, int>>{
           {1, 1}, {128, 128}, {129, 200}, {200, 129}, {300, 300}, {460, 130}, {130, 460}}) {
    const int k = std::min(m, n);
    Rows a = random<T>(m, n, 9), one = a, three = a;
    std::vector<std::int32_t> pivots(static_cast<std::size_t>(k)), again(pivots);
    jaxpp::set_num_threads(1);
    lu(m, n, one.data(), pivots.data());
    jaxpp::set_num_threads(3);
    lu(m, n, three.data(), again.data());
    CHECK(one == three);
    CHECK(pivots == again);
    const Dense<T> l = one.leftCols(k).template triangularView<Eigen::UnitLower>(),
                   u = one.topRows(k).template triangularView<Eigen::Upper>();
    CHECK(double(l.cwiseAbs().maxCoeff()) <= (is_complex_v<T> ? 1.5 : 1.0));  // largest first
    for (int i = 0; i < k; ++i) a.row(i).swap(a.row(pivots[std::size_t(i)]));
    close<T>(l * u, a);
  }
  for (const int n : {1, 128, 129, 300})
    for (const bool lower : {true, false})
      for (const double scale : {1.0, 1e-30, 1e30}) {
        const Dense<T> g = random<T>(n, n, 10), a = g + g.adjoint();
        Dense<T> half = a * T(Real<T>(scale)), three;
        if (lower)
          half.template triangularView<Eigen::StrictlyUpper>().setConstant(T(NAN));
        else
          half.template triangularView<Eigen::StrictlyLower>().setConstant(T(NAN));
        three = half;
        Dense<Real<T>> w(n, 1), again(n, 1);
        jaxpp::set_num_threads(1);
        REQUIRE(eigh(lower, n, Spared(half).data(), w.data()));
        jaxpp::set_num_threads(3);
        REQUIRE(eigh(lower, n, Spared(three).data(), again.data()));
        CHECK(half == three);
        CHECK(w == again);
        CHECK(std::is_sorted(w.data(), w.data() + n));
        w /= Real<T>(scale);
        close<T>(a * half, half * w.col(0).asDiagonal().toDenseMatrix().template cast<T>());
        close<T>(half.adjoint() * half, identity<T>(n));
      }
  for (const int n :
       {129, 300})  // nothing to join; everything the same; one eigenvalue that is not zero
    for (const Dense<T>& a : {Dense<T>(Dense<T>::Zero(n, n)), Dense<T>(identity<T>(n)),
                              Dense<T>(Dense<T>::Constant(n, n, T(1))),
                              Dense<T>(random<T>(n, 1, 11)
                                           .col(0)
                                           .cwiseAbs()
                                           .asDiagonal()
                                           .toDenseMatrix()
                                           .template cast<T>())}) {
      Dense<T> v = a;
      Dense<Real<T>> w(n, 1);
      REQUIRE(eigh(true, n, Spared(v).data(), w.data()));
      CHECK(std::is_sorted(w.data(), w.data() + n));
      close<T>(a * v, v * w.col(0).asDiagonal().toDenseMatrix().template cast<T>());
      close<T>(v.adjoint() * v, identity<T>(n));
    }
  jaxpp::set_num_threads(before);
}
TEST_CASE("who computes matrices is said", "[lapack]") {
  const std::string words = libraries();
  CHECK((words.find("OpenBLAS") == 0 || words.find("Eigen") == 0 || std::getenv("JAXPP_BLAS")));
}
