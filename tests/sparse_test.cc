// sparse_test.cc -- sparsity patterns contain every nonzero of every primitive's derivatives; colourings are valid; values
// are those of the dense Jacobian.
#include "jaxpp/sparse.h"
#include <catch2/catch.hpp>
#include <set>
#include "jaxpp/jacobian.h"
#include "jaxpp/jaxpp.h"
#include "jaxpp/sparse_eigen.h"
#include "rule_samples.h"

using namespace jaxpp;
using jaxpp::testing::Arrays, jaxpp::testing::Fn, jaxpp::testing::Random;

namespace {

bool is_inexact_array(const Array& a) { return is_float(a.dtype()) || is_complex(a.dtype()); }

// ---- Flat functions of any types as functions of real numbers
/// The real and imaginary parts of the inexact arguments are variables, those of the inexact results the values.
struct RealPart {
  Fn f;
  Arrays x;
  std::vector<int> constant;
  bool varies(std::size_t i) const {
    return is_inexact_array(x[i]) &&
           std::find(constant.begin(), constant.end(), int(i)) == constant.end();
  }
  Arrays arguments() const {
    Arrays v;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!varies(i)) continue;
      v.push_back(is_complex(x[i].dtype()) ? real(x[i]) : x[i]);
      if (is_complex(x[i].dtype())) v.push_back(imag(x[i]));
    }
    return v;
  }
  void operator()(internal::Args v, internal::Results& out) const {
    internal::Results all, y;
    std::size_t k = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!varies(i))
        all.push_back(x[i]);
      else if (is_complex(x[i].dtype())) {
        all.push_back(lax::complex(v[k], v[k + 1]));
        k += 2;
      } else
        all.push_back(v[k++]);
    }
    f(args(all), y);
    for (const Array& a : y) {
      if (!is_inexact_array(a)) continue;
      out.push_back(is_complex(a.dtype()) ? real(a) : a);
      if (is_complex(a.dtype())) out.push_back(imag(a));
    }
  }
};
/// [results, arguments], in f64.
Array dense_jacobian(internal::FlatFn f, const Arrays& x, const internal::Results& y) {
  internal::Results blocks;
  internal::jacobian_flat(f, x, internal::JacobianMode::forward, {}, blocks, "jacfwd",
                          Loc::current());
  std::vector<Array> rows;
  for (std::size_t o = 0; o < y.size(); ++o) {
    std::vector<Array> row;
    for (std::size_t i = 0; i < x.size(); ++i)
      row.push_back(lax::reshape(blocks[o * x.size() + i].astype(f64), {y[o].size(), x[i].size()}));
    rows.push_back(lax::concatenate(row, 1));
  }
  return lax::concatenate(rows, 0);
}
/// What is wrong with the pattern of f at x, or with the values computed by it.
std::string wrong(const Fn& f, const Arrays& x, const std::vector<int>& constant, bool reverse) {
  RealPart g{f, x, constant};
  const Arrays v = g.arguments();
  internal::Results y;
  g(v, y);
  std::vector<int> wrt;
  for (std::size_t i = 0; i < v.size(); ++i) wrt.push_back(int(i));
  if (v.empty() || y.empty()) return "";
  const auto flat = internal::flat(g);
  const auto loc = Loc::current();
  const Array dense = dense_jacobian(flat, v, y);
  for (SparseMode mode : {SparseMode::forward, SparseMode::reverse}) {
    if (mode == SparseMode::reverse && !reverse) continue;
    SparseOptions options;
    options.mode = mode;
    const auto plan = internal::sparse_plan(flat, v, wrt, false, options, "sparse_jacobian", loc);
    const SparsityPattern& p = *plan->pattern;
    if (dense.shape() != Shape{p.rows, p.cols}) return "another size";
    if (any(logical_and(logical_not(p.to_dense()), dense != 0.)).item<bool>())
      return "a nonzero is not in the pattern";
    const Array values = internal::sparse_values(flat, v, *plan, "sparse_jacobian", loc);
    const double tolerance = values.dtype() == f64 ? 1e-10 : values.dtype() == f32 ? 1e-4 : 0.1;
    if (!allclose(p.to_dense(values.astype(f64)), dense, tolerance, tolerance, true))
      return mode == SparseMode::forward ? "values by columns differ" : "values by rows differ";
  }
  return "";
}
/// Of all samples, and of their first derivatives in both directions.
void check_samples(const std::vector<testing::Sample>& samples) {
  for (auto& s : samples) {
    const testing::Options& o = s.options;
    if (!o.derivatives) continue;
    Random random(testing::seed_of(s.name) + 1);
    const std::string error = testing::guarded(s.name, [&] {
      for (int point = 0; point < 2; ++point) {
        const Arrays x = s.make(random);
        std::string e = wrong(s.f, x, o.constant, o.reverse);
        if (!e.empty()) return e;
        if (o.order < 2 || point > 0) continue;
        const Fn forward = testing::pushforward(s.f, x.size(), o);
        e = wrong(forward, testing::with_tangents(random, x, o), o.constant, o.reverse);
        if (!e.empty()) return "of jvp: " + e;
        if (!o.reverse) continue;
        const Arrays y = testing::evaluate(s.f, x);
        const Fn backward = testing::pullback(s.f, x.size(), o);
        e = wrong(backward, testing::with_cotangents(random, x, y), o.constant, true);
        if (!e.empty()) return "of vjp: " + e;
      }
      return std::string();
    });
    CHECK(error == "");
  }
}

// ---- Colourings
bool colors_columns(const SparsityPattern& p, const Coloring& c) {
  const SparsityPattern rows = p.transpose();
  for (std::int64_t i = 0; i < p.rows; ++i) {
    std::set<int> seen;
    for (auto j : rows.column(i))
      if (!seen.insert(c.color[std::size_t(j)]).second) return false;
  }
  return true;
}
/// Neighbours differ, and no path of four vertices has two colours.
bool is_star_coloring(const SparsityPattern& p, const Coloring& c) {
  auto color = [&](std::int32_t v) { return c.color[std::size_t(v)]; };
  for (std::int32_t b = 0; b < p.cols; ++b)
    for (auto d : p.column(b)) {
      if (d == b) continue;
      if (color(b) == color(d)) return false;
      for (auto a : p.column(b))
        for (auto e : p.column(d))
          if (a != b && e != d && a != d && e != b && a != e && color(a) == color(d) &&
              color(e) == color(b))
            return false;
    }
  return true;
}
SparsityPattern random_pattern(Random& random, std::int64_t rows, std::int64_t cols, double density,
                               bool symmetric) {
  std::vector<std::int64_t> r, c;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j)
      if (random.uniform(0, 1) < density) {
        r.push_back(i);
        c.push_back(j);
        if (symmetric) {
          r.push_back(j);
          c.push_back(i);
        }
      }
  return SparsityPattern::of(rows, cols, r, c);
}

// ---- Functions
const auto rosenbrock = [](Array x) {
  Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return sum(100 * square(tail - square(head)) + square(1 - head));
};
/// Residuals of a bundle adjustment: observation k sees point points[k] by camera cameras[k], a pinhole with rotation
/// (a vector), centre, focal length and one distortion.  [observations, 2]
struct Bundle {
  Array camera, point, seen;
  Array operator()(Array cameras, Array points) const {
    const auto project = [](Array c, Array p) {
      const Array w = c(Slice(0, 3)), angle = sqrt(sum(square(w)) + 1e-12);
      const Array axis = w / angle, q = p - c(Slice(3, 6));
      const Array cross = stack({axis(1) * q(2) - axis(2) * q(1), axis(2) * q(0) - axis(0) * q(2),
                                 axis(0) * q(1) - axis(1) * q(0)});
      const Array turned =
          q * cos(angle) + cross * sin(angle) + axis * sum(axis * q) * (1 - cos(angle));
      const Array flat = turned(Slice(0, 2)) / turned(2);
      return flat * (1 + c(7) * sum(square(flat))) * c(6);
    };
    return vmap(project)(take(cameras, camera, 0), take(points, point, 0)) - seen;
  }
};
Bundle bundle(std::int64_t cameras, std::int64_t points, std::int64_t observations) {
  Random random(5);
  std::vector<std::int32_t> c, p;
  for (std::int64_t k = 0; k < observations; ++k) {
    c.push_back(std::int32_t(random.integer(0, cameras - 1)));
    p.push_back(std::int32_t(random.integer(0, points - 1)));
  }
  return {Array(c), Array(p), random.array(f64, {observations, 2}, -1, 1)};
}
SparsityPattern band(std::int64_t n, std::int64_t low, std::int64_t high) {
  std::vector<std::int64_t> r, c;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = std::max<std::int64_t>(0, i - low); j <= std::min(n - 1, i + high); ++j) {
      r.push_back(i);
      c.push_back(j);
    }
  return SparsityPattern::of(n, n, r, c);
}
bool near(const Array& a, const Array& b) { return allclose(a, b, 1e-10, 1e-10); }
bool same(const Array& a, const Array& b) {
  return a.shape() == b.shape() && all(a == b).item<bool>();
}
Array point(std::int64_t n) { return sin(arange(n).astype(f64) * 0.7) + 0.3; }

}  // namespace

TEST_CASE("sparse: patterns contain all nonzeros: elementwise primitives", "[sparse]") {
  check_samples(testing::elementwise_samples());
}
TEST_CASE("sparse: patterns contain all nonzeros: structural primitives", "[sparse]") {
  check_samples(testing::structural_samples());
}
TEST_CASE("sparse: patterns contain all nonzeros: analysis", "[sparse]") {
  check_samples(testing::analysis_samples());
}
TEST_CASE("sparse: patterns contain all nonzeros: calls", "[sparse]") {
  check_samples(testing::call_samples());
}

TEST_CASE("sparse: patterns of common programs are exact", "[sparse]") {
  const Array x = point(6);
  const auto diagonal = band(6, 0, 0);
  CHECK(sparsity([](Array v) { return sin(v) * v; })(x) == diagonal);
  CHECK(sparsity([](Array v) { return jit([](Array w) { return exp(w); })(v); })(x) == diagonal);
  CHECK(sparsity([](Array v) { return vmap([](Array w) { return w * w; })(v); })(x) == diagonal);
  CHECK(sparsity([](Array v) { return where(v > 0.5, sin(v), 2 * v); })(x) == diagonal);
  CHECK(sparsity([](Array v) { return checkpoint([](Array w) { return cos(w); })(v); })(x) ==
        diagonal);
  CHECK(sparsity([](Array v) { return lax::stop_gradient(v, Loc::current()) + 1; })(x).nnz() == 0);
  CHECK(sparsity([](Array v) { return roll(v, 1); })(x).nnz() == 6);
  CHECK(sparsity([](Array v) { return cumsum(v, 0); })(x) == band(6, 6, 0));
  CHECK(sparsity([](Array v) { return sum(v * v); })(x).nnz() == 6);
  CHECK(sparsity([](Array v) { return sort(v); })(x).nnz() == 36);
  // constants are seen: a banded matrix, a selection, a mask
  const Array second = eye(6, f64) * 2. - eye(6, 6, 1, f64);
  CHECK(sparsity([=](Array v) { return matmul(second, v); })(x) == band(6, 0, 1));
  const Array chosen = {4, 4, 1};
  CHECK(sparsity([=](Array v) { return take(v, chosen); })(x) ==
        SparsityPattern::of(3, 6, std::vector<std::int64_t>{0, 1, 2},
                            std::vector<std::int64_t>{4, 4, 1}));
  CHECK(
      sparsity([=](Array v) { return zeros({6}, f64).at(chosen).add(v(Slice(0, 3))); })(x).nnz() ==
      3);
  // loops: a running recurrence; elements of the state that stay apart; an unknown number of iterations
  const auto recurrence = [](Array v) {
    return scan([](Array c, Array e) { return std::pair(c * e, c + e); }, Array(1.), v).second;
  };
  CHECK(sparsity(recurrence)(x) == band(6, 6, 0));
  const auto steps = [](Array v) {
    return fori_loop(
        0, 3, [](Array, Array w) { return sin(w); }, v);
  };
  CHECK(sparsity(steps)(x) == diagonal);
  const auto until = [](Array v) {
    return while_loop([](Array w) { return sum(w) > 1.; }, [](Array w) { return w * 0.5; }, v);
  };
  CHECK(sparsity(until)(x) == diagonal);
  const auto spread = [](Array v) {
    return while_loop([](Array w) { return sum(w) > 1.; }, [](Array w) { return w + roll(w, 1); },
                      v);
  };
  CHECK(sparsity(spread)(x).nnz() == 36);
  const auto choice = [](Array v) {
    return cond(
        v(0) > 0., [](Array w) { return sin(w); }, [](Array w) { return w(Slice(None, None, -1)); },
        v);
  };
  CHECK(sparsity(choice)(x).nnz() == 12);
  CHECK(sparsity(grad(rosenbrock))(x) == band(6, 1, 1));
}

TEST_CASE("sparse: patterns of long loops", "[sparse]") {
  // Too long to be unrolled: what is stacked still knows its own row of x.
  const std::int64_t n = 30'000;
  const Array x = point(n);
  const auto rows = [](Array v) { return jaxpp::map([](Array e) { return sin(e) * e; }, v); };
  CHECK(sparsity(rows)(x) == band(n, 0, 0));
  // A carry that everything is added to, one that stays as it is, and one that depends on a constant of the loop.
  const auto loop = [](Array v, Array w) {
    using Carry = std::tuple<Array, Array, Array>;
    const auto body = [&](Carry c, Array e) {
      auto [all, first, other] = c;
      return std::pair(Carry(all + sin(e), first, other * w(1)), e * first);
    };
    auto [c, y] = scan(body, Carry(w(2), w(0), ones_like(w(0))), v);
    return concatenate({stack({std::get<0>(c), std::get<1>(c), std::get<2>(c)}), y}, 0);
  };
  const Array w = {1., 2., 3.};
  const SparsityPattern by_x = sparsity(loop)(x, w), by_w = sparsity<1>(loop)(x, w);
  CHECK(by_x.nnz() == 2 * n);
  CHECK((by_x.contains(0, 7) && by_x.contains(3 + 7, 7) && !by_x.contains(1, 7)));
  CHECK(by_w.nnz() == 3 + n);
  CHECK(
      (by_w.contains(0, 2) && by_w.contains(1, 0) && by_w.contains(2, 1) && by_w.contains(10, 0)));
  // The same in few steps, against the Jacobian.
  const Array few = point(5);
  CHECK(near(sparse_jacobian<0, 1>(loop, std::tuple(few, w))(few, w).to_dense(),
             concatenate({jacobian<0>(loop)(few, w), jacobian<1>(loop)(few, w)}, 1)));
  const auto decay = [](Array v) {
    return fori_loop(
        0, 1'000'000, [](Array, Array c) { return sin(c) * 0.5; }, v);
  };
  CHECK(sparsity(decay)(few) == band(5, 0, 0));
  const auto turn = [](Array v) {
    return fori_loop(
        0, 1'000'000, [](Array, Array c) { return c + roll(c, 1); }, v);
  };
  CHECK(sparsity(turn)(few).nnz() == 25);
}

TEST_CASE("sparse: patterns of batches are block diagonal", "[sparse]") {
  const Array b = reshape(point(6), {3, 2}),
              a = stack({eye(2, f64) * 2., eye(2, f64), eye(2, f64)}) + 0.1;
  const auto solve = [=](Array v) {
    return vmap([](Array m, Array r) { return linalg::solve(m, r); })(a, v);
  };
  CHECK(sparsity(solve)(b).nnz() == 12);
  CHECK(sparsity([](Array m) { return linalg::cholesky(m); })(a).nnz() <= 3 * 16);
  CHECK(sparsity([](Array m) { return linalg::inv(m); })(a).nnz() == 3 * 16);
  CHECK(sparsity([](Array v) { return sort(v, 1); })(b).nnz() == 12);
  CHECK(sparsity([](Array v) { return nn::softmax(v, -1); })(b).nnz() == 12);
  CHECK(sparsity([](Array v) { return cumprod(v, 1); })(b).nnz() <= 12);
}

TEST_CASE("sparse: arguments, trees and sizes of patterns", "[sparse]") {
  const Array x = point(4), a = point(4) + 1;
  const auto f = [](Array v, Array w) { return v * w(Slice(None, None, -1)); };
  CHECK(sparsity(f)(x, a) == band(4, 0, 0));
  CHECK(sparsity<1>(f)(x, a).transpose() == sparsity<1>(f)(x, a));
  const SparsityPattern both = sparsity<0, 1>(f)(x, a);
  CHECK((both.rows == 4 && both.cols == 8 && both.nnz() == 8));
  CHECK((both.contains(1, 1) && both.contains(1, 6) && !both.contains(1, 5)));
  const auto tree = [](std::pair<Array, Array> p) {
    return std::vector<Array>{p.first, p.second * p.second};
  };
  CHECK(sparsity(tree)(std::pair(x, a)) == band(8, 0, 0));
  const SparsityPattern none = sparsity([](Array v) { return v; })(zeros({0}, f64));
  CHECK((none.rows == 0 && none.cols == 0 && none.nnz() == 0));
  CHECK(sparse_jacobian([](Array v) { return sin(v); }, zeros({0}, f64))
            .values(zeros({0}, f64))
            .size() == 0);
  const auto [row, col] = both.coordinates();
  CHECK(same(col, Array{0, 1, 2, 3, 4, 5, 6, 7}));
  CHECK((band(5, 1, 0) | band(5, 0, 1)) == band(5, 1, 1));
  CHECK((band(5, 1, 0) & band(5, 0, 1)) == band(5, 0, 0));
  CHECK(same(band(3, 1, 0).to_dense(),
             Array{{true, false, false}, {true, true, false}, {false, true, true}}));
}

TEST_CASE("sparse: colourings are valid, and few where few are possible", "[sparse]") {
  Random random(3);
  for (int round = 0; round < 60; ++round) {
    const std::int64_t rows = random.integer(1, 30), cols = random.integer(1, 30);
    const double density = random.uniform(0.02, 0.4);
    const SparsityPattern p = random_pattern(random, rows, cols, density, false);
    CHECK(colors_columns(p, color_columns(p)));
    CHECK(colors_columns(p.transpose(), color_rows(p)));
    const SparsityPattern s = random_pattern(random, cols, cols, density / 2, true);
    CHECK(is_star_coloring(s, color_star(s)));
  }
  CHECK(color_columns(band(10'000, 2, 2)).count == 5);
  CHECK(color_star(band(10'000, 1, 1)).count == 3);
  // An arrow: columns share the dense row, but its star needs two colours.
  const std::int64_t n = 1000;
  std::vector<std::int64_t> r, c;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j : {std::int64_t(0), i}) {
      r.insert(r.end(), {i, j});
      c.insert(c.end(), {j, i});
    }
  }
  const SparsityPattern arrow = SparsityPattern::of(n, n, r, c);
  CHECK(color_columns(arrow).count == n);
  CHECK(color_star(arrow).count == 2);
}

TEST_CASE("sparse: the Hessian of Rosenbrock's function", "[sparse]") {
  for (std::int64_t n : {2, 5, 100}) {
    const Array x = point(n), dense = hessian(rosenbrock)(x);
    const auto h = sparse_hessian(rosenbrock, x);
    CHECK(h.pattern() == band(n, 1, 1));
    CHECK(h.colors() == std::min<std::int64_t>(n, 3));
    CHECK(near(h(x).to_dense(), dense));
    CHECK(near(h(2 * x).to_dense(), hessian(rosenbrock)(2 * x)));
  }
  // 10^4 unknowns: against the three diagonals by hand
  const std::int64_t n = 10'000;
  const Array x = point(n);
  const auto h = sparse_hessian(rosenbrock, x);
  CHECK(h.colors() == 3);
  CHECK(h.nnz() == 3 * n - 2);
  Eigen::SparseMatrix<double> m = to_eigen(h(x));
  const auto v = x.span<double>();
  auto at = [&](std::int64_t i) { return v[std::size_t(i)]; };
  double worst = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    double d = i > 0 ? 200 : 0;
    if (i + 1 < n) {
      d += 1200 * at(i) * at(i) - 400 * at(i + 1) + 2;
      worst = std::max(worst, std::abs(m.coeff(int(i + 1), int(i)) + 400 * at(i)));
      worst = std::max(worst, std::abs(m.coeff(int(i), int(i + 1)) + 400 * at(i)));
    }
    worst = std::max(worst, std::abs(m.coeff(int(i), int(i)) - d));
  }
  CHECK(worst < 1e-9);
  refill(m, h(2 * x));
  CHECK(m.coeff(1, 0) == Approx(-800 * at(0)));
  CHECK(to_eigen<float>(h(x)).coeff(1, 0) == Approx(-400 * at(0)));
}

TEST_CASE("sparse: the Jacobian of a bundle adjustment", "[sparse]") {
  const auto check_dense = [](SparseMode mode) {
    const Bundle f = bundle(3, 12, 30);
    const Array cameras = Random(1).array(f64, {3, 8}, 0.1, 0.9),
                points = Random(2).array(f64, {12, 3}, 2, 3);
    const auto j = sparse_jacobian<0, 1>(f, std::tuple(cameras, points), {.mode = mode});
    const auto [by_cameras, by_points] = jacobian<0, 1>(f)(cameras, points);
    const Array dense =
        concatenate({reshape(by_cameras, {60, 24}), reshape(by_points, {60, 36})}, 1);
    CHECK(near(j(cameras, points).to_dense(), dense));
    CHECK(j.nnz() == 60 * 11);
    return j.colors();
  };
  CHECK(check_dense(SparseMode::forward) ==
        11);  // eight of a camera, three of a point: as a row has entries
  check_dense(SparseMode::reverse);
  const Bundle f = bundle(50, 2000, 10'000);
  const Array cameras = Random(1).array(f64, {50, 8}, 0.1, 0.9),
              points = Random(2).array(f64, {2000, 3}, 2, 3);
  const auto j = sparse_jacobian<0, 1>(f, std::tuple(cameras, points));
  CHECK(j.forward());
  CHECK(j.colors() == 11);
  CHECK(j.nnz() == 20'000 * 11);
  // products with a vector
  const Array v = Random(3).array(f64, {400}, -1, 1), w = Random(4).array(f64, {6000}, -1, 1);
  const auto [y, dy] =
      jvp(f, std::tuple(cameras, points), std::tuple(reshape(v, {50, 8}), reshape(w, {2000, 3})));
  const Eigen::SparseMatrix<double> m = to_eigen(j(cameras, points));
  Eigen::VectorXd all(6400);
  for (int i = 0; i < 6400; ++i)
    all[i] = i < 400 ? v.span<double>()[std::size_t(i)] : w.span<double>()[std::size_t(i - 400)];
  const Eigen::VectorXd product = m * all;
  const Array want = ravel(dy);
  double worst = 0;
  const double largest = max(abs(want)).item<double>();
  for (int i = 0; i < 20'000; ++i)
    worst = std::max(worst, std::abs(product[i] - want.span<double>()[std::size_t(i)]));
  CHECK(worst < 1e-12 * largest);
}

TEST_CASE("sparse: Hessians with an arrow and with a constant part", "[sparse]") {
  const auto f = [](Array x) { return x(0) * sum(sin(x)) + sum(x * x * x); };
  const Array x = point(40);
  const auto h = sparse_hessian(f, x);
  CHECK(h.colors() == 2);
  CHECK(h.nnz() == 40 + 2 * 39);
  CHECK(near(h(x).to_dense(), hessian(f)(x)));
  const auto weighted = [](Array scale, Array y) { return sum(scale * square(square(y))); };
  const auto by_second = sparse_hessian<1>(weighted, std::tuple(x, x));
  CHECK(near(by_second(x, x + 1).to_dense(), hessian<1>(weighted)(x, x + 1)));
}

namespace {
struct Spring {
  Array ends, lengths;
};
}  // namespace

TEST_CASE("sparse: the Hessian by all leaves of a struct", "[sparse]") {
  const auto energy = [](Spring s) {
    return sum(s.lengths * square(s.ends(Slice(1, None)) - s.ends(Slice(None, -1)))) +
           sum(sin(s.lengths));
  };
  const Spring at = {point(5), point(4) + 2};
  const auto h = sparse_hessian(energy, at);
  const auto raveled = [&](Array v) { return energy(Spring{v(Slice(0, 5)), v(Slice(5, None))}); };
  CHECK(near(h(at).to_dense(), hessian(raveled)(concatenate({at.ends, at.lengths}, 0))));
  CHECK(h.nnz() == (3 * 5 - 2) + 2 * 2 * 4 + 4);
  CHECK(h.pattern() == h.pattern().transpose());
  CHECK(is_star_coloring(h.pattern(), h.coloring()));
}

TEST_CASE("sparse: values are traced, mapped and differentiated", "[sparse]") {
  const auto f = [](Array x) { return x * x * roll(x, 1); };
  const Array x = point(5);
  for (SparseMode mode : {SparseMode::forward, SparseMode::reverse}) {
    const auto j = sparse_jacobian(f, x, {.mode = mode});
    const auto values = [=](Array v) { return j.values(v); };
    CHECK(near(jit(values)(x), values(x)));
    const Array both = stack({x, x + 1});
    CHECK(near(vmap(values)(both)(1), values(x + 1)));
    CHECK(near(vmap(values, {.in_axes = 1})(transpose(both))(1), values(x + 1)));
    const auto loss = [=](Array v) { return sum(sin(j.values(v))); };
    const auto dense_loss = [=](Array v) { return sum(sin(jacobian(f)(v))); };
    CHECK(near(grad(loss)(x), grad(dense_loss)(x)));
    CHECK(near(hessian(loss)(x), hessian(dense_loss)(x)));
    // in a trace, the structure may be found too: only types matter
    const auto inside = [=](Array v) { return sparse_jacobian(f, v, {.mode = mode}).values(v); };
    CHECK(near(jit(inside)(x), values(x)));
    CHECK(near(vmap(inside)(both)(1), values(x + 1)));
  }
  const Array single = x.astype(f32);
  CHECK(sparse_jacobian(f, single).values(single).dtype() == f32);
}

TEST_CASE("sparse: a given pattern, and what is refused", "[sparse]") {
  const Array x = point(4);
  const auto f = [](Array v) { return sin(v); };
  SparseOptions diagonal{.pattern = band(4, 0, 0)};
  CHECK(near(sparse_jacobian(f, x, diagonal).values(x), cos(x)));
  const SparseOptions larger{.pattern = band(5, 0, 0)};
  CHECK_THROWS_WITH(sparse_jacobian(f, x, larger),
                    Catch::Contains("[5, 5]") && Catch::Contains("E181"));
  const SparseOptions lower{.pattern = band(4, 1, 0)};
  CHECK_THROWS_WITH(sparse_hessian(rosenbrock, x, lower), Catch::Contains("not symmetric"));
  const auto j = sparse_jacobian(f, x);
  CHECK_THROWS_WITH(j.values(x.astype(f32)), Catch::Contains("f64[4]") && Catch::Contains("E182"));
  CHECK_THROWS_AS(sparse_jacobian(f, Array{1, 2}), TypeError);
  CHECK_THROWS_WITH(
      SparsityPattern::of(2, 2, std::vector<std::int64_t>{2}, std::vector<std::int64_t>{0}),
      Catch::Contains("(2, 0)"));
  Eigen::SparseMatrix<double> other(4, 4);
  CHECK_THROWS_WITH(refill(other, j(x)), Catch::Contains("another structure"));
}
