// rule_samples_analysis.cc -- samples of convolutions, windows, Fourier transforms and matrix decompositions.
#include <algorithm>
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/linalg.h"
#include "jaxpp/ops/primitives.h"
#include "rule_samples.h"

namespace jaxpp::testing {
namespace {

using Make = std::function<Arrays(Random&)>;

Make arrays(std::vector<Shape> shapes, DType d = DType::f64) {
  return [=](Random& r) {
    Arrays x;
    for (auto& s : shapes)
      x.push_back(is_integer(d) ? r.array(d, s, 0, 9) : r.array(d, s, 0.25, 0.85, true));
    return x;
  };
}
// Distinct values, at least 0.05 apart: nothing is near a tie.
Array distinct(Random& random, const Shape& shape) {
  const std::int64_t n = make_type(DType::f64, shape)->size;
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i)
    v.push_back(0.25 * double(i - n / 2) + random.uniform(0.05, 0.2));
  for (std::int64_t i = n; i-- > 1;)
    std::swap(v[std::size_t(i)], v[std::size_t(random.integer(0, i))]);
  return Array(std::span<const double>(v), shape);
}
class List {
 public:
  std::vector<Sample> samples;
  Options& operator()(const std::string& name, const Primitive& p, Fn f, Make make) {
    samples.push_back({std::string(p.name) + " " + name, {&p}, std::move(f), std::move(make), {}});
    return samples.back().options;
  }
};

// ---- Convolutions
void convolutions(List& add) {
  const ConvDims plain1{{0, 1, 2}, {0, 1, 2}, {0, 1, 2}},
      plain2{{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}},
      last2{{0, 3, 1, 2}, {3, 2, 0, 1}, {0, 3, 1, 2}};
  auto conv = [&](const char* name, const ConvParams& p, Shape lhs, Shape rhs, int order = 1,
                  DType d = DType::f64) {
    Options& o = add(name, conv_general_dilated_p, apply(conv_general_dilated_p, p),
                     arrays({std::move(lhs), std::move(rhs)}, d));
    o.order = order;
    o.batches = 16;
    o.derivatives = is_inexact(d);
  };
  const Dims one{1}, ones{1, 1};
  conv("1-D", {1, plain1, 1, one, {{0, 0}}, {}, one, one}, {2, 3, 6}, {4, 3, 3}, 2);
  conv("1-D, everything", {1, plain1, 1, {2}, {{2, -1}}, {}, {3}, {2}}, {1, 2, 6}, {2, 2, 3}, 2);
  conv("cropped", {1, plain1, 1, {2}, {{-1, -2}}, {}, one, one}, {1, 1, 6}, {2, 1, 2});
  conv("channels last", {1, last2, 1, ones, {{1, 1}, {1, 0}}, {}, ones, {2, 1}}, {2, 5, 4, 2},
       {3, 2, 2, 3});
  conv("channels last, dilated", {1, last2, 1, {1, 2}, {{1, 1}, {0, 2}}, {}, {2, 1}, {1, 2}},
       {1, 5, 3, 2}, {2, 2, 2, 2});
  conv("feature groups", {1, plain2, 2, ones, {{1, 0}, {0, 1}}, {}, ones, ones}, {2, 4, 3, 3},
       {4, 2, 2, 2});
  conv("depthwise, channels last", {1, last2, 3, ones, {{1, 1}, {1, 1}}, {}, ones, ones},
       {1, 3, 3, 3}, {3, 3, 1, 3});
  conv("batch groups", {2, plain1, 1, one, {{0, 1}}, {}, one, one}, {4, 2, 4}, {4, 2, 2});
  conv("no spatial dimension", {1, {{0, 1}, {1, 0}, {0, 1}}, 1, {}, {}, {}, {}, {}}, {3, 2},
       {2, 4});
  conv("empty result", {1, plain1, 1, one, {{0, 0}}, {}, one, one}, {2, 3, 2}, {4, 3, 3});
  conv("integers", {1, plain1, 1, one, {{1, 1}}, {}, one, one}, {2, 2, 5}, {3, 2, 3}, 1,
       DType::i32);
  conv("complex", {1, plain1, 1, one, {{1, 0}}, {}, one, one}, {1, 2, 4}, {2, 2, 2}, 1,
       DType::c128);
}

// ---- Windows
JaxprPtr scalar_program(const std::function<Array(const Array&, const Array&)>& f) {
  auto body = [&](Args x, Results& y) { y.push_back(f(x[0], x[1])); };
  Type t[] = {scalar_type(DType::f64), scalar_type(DType::f64)};
  return internal::trace_to_jaxpr(t, internal::flat(body)).jaxpr;
}
void windows(List& add) {
  const WindowParams plain{{1, 1}, {{0, 0}, {0, 0}}, {1, 1}, {2, 2}, {1, 1}},
      every{{2, 1}, {{1, 0}, {1, 2}}, {1, 2}, {2, 3}, {1, 2}};
  auto separated = [](std::vector<Shape> shapes) {
    return [=](Random& r) {
      Arrays x;
      for (auto& s : shapes) x.push_back(distinct(r, s));
      return x;
    };
  };
  for (const Primitive* p : {&reduce_window_sum_p, &reduce_window_max_p, &reduce_window_min_p}) {
    add("", *p, apply(*p, plain), separated({{3, 4}}));
    // A window may hold nothing but filling; its maximum is then infinite.
    WindowParams q = every;
    if (p != &reduce_window_sum_p) {
      q.padding = {{0, 0}, {1, 1}};
      q.window_dilation = {1, 1};
    }
    add("strides, padding, holes", *p, apply(*p, q), separated({{3, 5}}));
  }
  auto step = scalar_program([](const Array& a, const Array& b) {
    return lax::sub(lax::add(a, b), lax::mul(a, b));  // 1 - (1 - a)(1 - b)
  });
  Options& general =
      add("", reduce_window_p,
          apply(reduce_window_p,
                ReduceWindowParams{{1, 1}, step, {{1, 0}, {0, 0}}, {1, 1}, {2, 2}, {1, 2}}),
          arrays({{3, 4}, {}}));
  general.order = 1;
  general.double_only = true;
  for (SelectPrim s : {SelectPrim::ge, SelectPrim::le}) {
    const char* name = s == SelectPrim::ge ? "ge" : "le";
    Options& a = add(name, select_and_scatter_add_p,
                     apply(select_and_scatter_add_p,
                           SelectAndScatterParams{{{0, 0}, {1, 1}}, s, {2, 2}, {1, 2}}),
                     separated({{2, 3}, {3, 4}}));
    a.constant = {1};
    Options& b =
        add(name, select_and_gather_add_p,
            apply(select_and_gather_add_p,
                  SelectAndGatherParams{{1, 2}, {{0, 0}, {1, 0}}, s, {1, 1}, {2, 2}, {1, 2}}),
            separated({{3, 4}, {3, 4}}));
    b.constant = {1};
  }
}

// ---- Fourier transforms
void transforms(List& add) {
  const auto c = DType::c128;
  add("5", fft_p, apply(fft_p, FftParams{{5}, FftType::FFT}), arrays({{2, 5}}, c)).order = 1;
  add("3 x 4", fft_p, apply(fft_p, FftParams{{3, 4}, FftType::FFT}), arrays({{3, 4}}, c)).order = 1;
  add("inverse", fft_p, apply(fft_p, FftParams{{6}, FftType::IFFT}), arrays({{6}}, c)).order = 1;
  for (std::int64_t n : {1, 5, 6}) {
    const std::string name = std::to_string(n);
    add("real " + name, fft_p, apply(fft_p, FftParams{{2, n}, FftType::RFFT}), arrays({{2, n}}))
        .order = 1;
    add("to real " + name, fft_p, apply(fft_p, FftParams{{2, n}, FftType::IRFFT}),
        arrays({{2, n / 2 + 1}}, c))
        .order = 1;
  }
}

// ---- Decompositions.  Functions of the factors that do not depend on their free signs and phases.
Array matmul(const Array& x, const Array& y) { return lax::dot_general(x, y, {{1}, {0}, {}, {}}); }
Array adjoint(const Array& x) {
  const Array t = lax::transpose(x, {1, 0});
  return is_complex(x.dtype()) ? lax::conj(t) : t;
}
Array modulus(const Array& x) { return lax::abs(x); }
Array graded(DType d, std::int64_t m, std::int64_t n) {  // well apart: 1, 3, 5, ... on the diagonal
  std::vector<double> v(std::size_t(m * n));
  for (std::int64_t i = 0; i < std::min(m, n); ++i) v[std::size_t(i * n + i)] = double(2 * i + 1);
  return lax::convert_element_type(Array(std::span<const double>(v), Shape{m, n}), d);
}
void decompositions(List& add) {
  for (DType d : {DType::f64, DType::c128}) {
    const std::string type = is_complex(d) ? "complex " : "";
    for (auto [m, n] : {std::pair<std::int64_t, std::int64_t>{3, 3}, {4, 2}, {2, 4}}) {
      const std::string size = type + std::to_string(m) + " x " + std::to_string(n);
      auto near_graded = [m = m, n = n](const Array& x) {
        return lax::add(x, graded(x.dtype(), m, n));
      };
      Options& q = add(
          size, qr_p,
          [=](Args x, Results& y) {
            const auto f = lax::qr(near_graded(x[0]), {.full_matrices = false});
            y.push_back(lax::mul(f[0], f[0]));
            y.push_back(modulus(f[1]));
          },
          arrays({{m, n}}, d));
      q.batches = 4;
      if (is_complex(d) || m != n) q.order = 1;
      if (is_complex(d)) q.tolerance = 1e-6;
      Options& s = add(
          size, svd_p,
          [=](Args x, Results& y) {
            const auto f = lax::svd(near_graded(x[0]), {true, false, {}});
            y.push_back(f[0]);
            y.push_back(modulus(f[1]));
            y.push_back(matmul(f[1], f[2]));
            y.push_back(lax::svd(near_graded(x[0]), {false, false, {}})[0]);
          },
          arrays({{m, n}}, d));
      s.batches = 4;
      s.order = is_complex(d) || m != n ? 1 : 2;
    }
    auto hermitian = [](const Array& x) {
      return lax::add(lax::add(x, adjoint(x)), graded(x.dtype(), 3, 3));
    };
    Options& e = add(
        type, eigh_p,
        [=](Args x, Results& y) {
          const auto [v, w] = lax::eigh(hermitian(x[0]));
          y.push_back(w);
          y.push_back(modulus(v));
        },
        arrays({{3, 3}}, d));
    e.batches = 4;
    if (is_complex(d)) e.order = 1;
    Options& g = add(
        type, eig_p,
        [=](Args x, Results& y) {
          const auto f =
              lax::eig(lax::add(x[0], graded(x[0].dtype(), 3, 3)),
                       {.compute_left_eigenvectors = false, .enable_eigvec_derivs = true});
          // Symmetric functions: the order of eigenvalues is free.
          y.push_back(lax::reduce_sum(lax::mul(f[0], lax::mul(f[0], f[0])), {0}));
          y.push_back(lax::reduce_sum(lax::mul(modulus(f[1]), modulus(f[1])), {1}));
        },
        arrays({{3, 3}}, d));
    g.batches = 4;
    g.order = 1;
    Options& h =
        add(type, householder_product_p, apply(householder_product_p), arrays({{4, 3}, {2}}, d));
    h.order = 1;
    h.batches = 9;
    // Neither has a derivative, as in JAX.
    add(type, geqrf_p, apply(geqrf_p), arrays({{4, 3}}, d)).derivatives = false;
    Options& s = add(type, schur_p, apply(schur_p), arrays({{4, 4}}, d));
    s.derivatives = false;
    s.double_only = true;
  }
  Options& t = add(
      "", tridiagonal_solve_p,
      [](Args x, Results& y) {
        y.push_back(
            lax::tridiagonal_solve(x[0], lax::add(x[1], lax::full_like(x[1], 4)), x[2], x[3]));
      },
      arrays({{4}, {4}, {4}, {4, 2}}));
  t.batches = 16;
}
}  // namespace

std::vector<Sample> analysis_samples() {
  List add;
  convolutions(add);
  windows(add);
  transforms(add);
  decompositions(add);
  return std::move(add.samples);
}

}  // namespace jaxpp::testing
