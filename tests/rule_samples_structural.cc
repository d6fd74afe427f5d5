// rule_samples_structural.cc -- samples of the primitives with parameters: shape, reductions, sorting, contraction,
// indexing, linear algebra, random bits, and elementwise ones that are not rows of the table.
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/primitives.h"
#include "jaxpp/ops/zero_maps.h"
#include "rule_samples.h"

namespace jaxpp::testing {
namespace {

using Make = std::function<Arrays(Random&)>;

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
Make real(std::vector<Shape> shapes, DType d = DType::f64) {
  return [=](Random& r) {
    Arrays x;
    for (auto& s : shapes)
      x.push_back(is_integer(d) ? r.array(d, s, 0, 9) : r.array(d, s, 0.25, 0.85, true));
    return x;
  };
}
Make separated(std::vector<Shape> shapes) {
  return [=](Random& r) {
    Arrays x;
    for (auto& s : shapes) x.push_back(distinct(r, s));
    return x;
  };
}
// n different numbers in [0, limit), as [n, 1] int32: row indices.
Array rows(Random& r, std::int64_t n, std::int64_t limit) {
  std::vector<std::int32_t> all, v;
  for (std::int64_t i = 0; i < limit; ++i) all.push_back(std::int32_t(i));
  for (std::int64_t i = 0; i < n; ++i) {
    const auto k = std::size_t(r.integer(0, std::int64_t(all.size()) - 1));
    v.push_back(all[k]);
    all.erase(all.begin() + std::ptrdiff_t(k));
  }
  return Array(std::span<const std::int32_t>(v), Shape{n, 1});
}
Array int_scalar(Random& r, std::int64_t low, std::int64_t high) {
  return Array(std::int32_t(r.integer(low, high)));
}

class List {
 public:
  std::vector<Sample> samples;
  Sample& operator()(const std::string& name, const Primitive& p, Fn f, Make make) {
    samples.push_back({std::string(p.name) + " " + name, {&p}, std::move(f), std::move(make), {}});
    return samples.back();
  }
};

JaxprPtr scalar_program(const std::function<Array(const Array&, const Array&)>& f) {
  auto body = [&](Args x, Results& y) { y.push_back(f(x[0], x[1])); };
  Type t[] = {scalar_type(DType::f64), scalar_type(DType::f64)};
  return internal::trace_to_jaxpr(t, internal::flat(body)).jaxpr;
}

void elementwise(List& add) {
  auto choose = [](DType d, Shape which, Shape cases, int n) {
    return [=](Random& r) {
      Arrays x{is_bool(d) ? r.array(d, which, 0, 1) : r.array(d, which, 0, double(n))};
      for (int i = 0; i < n; ++i) x.push_back(r.array(DType::f64, cases, 0.25, 0.85, true));
      return x;
    };
  };
  add("bool", select_n_p, apply(select_n_p), choose(DType::b1, {2, 3}, {2, 3}, 2));
  for (const Primitive* p : {&zero_mul_p, &zero_div_p, &zeros_mul_p}) {
    add("", *p, apply(*p), real({{2, 3}, {2, 3}}));
    add("of a scalar", *p, apply(*p), real({{}, {2, 3}}));
    add("by a row", *p, apply(*p), real({{2, 3}, {1, 3}}));
  }
  add("one bool", select_n_p, apply(select_n_p), choose(DType::b1, {}, {2, 3}, 2));
  add("of three", select_n_p, apply(select_n_p), choose(DType::i32, {3}, {3}, 3)).options.batches =
      24;
  add("", clamp_p, apply(clamp_p), [](Random& r) {
    return Arrays{r.array(DType::f64, {2, 3}, -0.6, -0.3),
                  r.array(DType::f64, {2, 3}, 0.05, 0.9, true),
                  r.array(DType::f64, {2, 3}, 0.3, 0.6)};
  });
  add("scalar bounds", clamp_p, apply(clamp_p), [](Random& r) {
    return Arrays{r.array(DType::f64, {}, -0.6, -0.5),
                  r.array(DType::f64, {2, 3}, 0.55, 0.95, true), r.array(DType::f64, {}, 0.3, 0.4)};
  });
  add("", regularized_incomplete_beta_p, apply(regularized_incomplete_beta_p), [](Random& r) {
    return Arrays{r.array(DType::f64, {2, 3}, 0.6, 2.5), r.array(DType::f64, {2, 3}, 0.6, 2.5),
                  r.array(DType::f64, {2, 3}, 0.2, 0.8)};
  }).options.constant = {0, 1};
  for (auto [from, to] : {std::pair{DType::f64, DType::f32},
                          {DType::f64, DType::c128},
                          {DType::c128, DType::f64},
                          {DType::f64, DType::i32},
                          {DType::i32, DType::f64},
                          {DType::b1, DType::f32},
                          {DType::f32, DType::f64}}) {
    auto& s = add(std::string(name(from)) + " to " + name(to), convert_element_type_p,
                  apply(convert_element_type_p, ConvertParams{to}), real({{2, 3}}, from));
    s.options.differences = from != DType::f32;
    s.options.double_only = true;
  }
  for (std::int64_t y : {3, 1, 0, -2})
    add("to " + std::to_string(y), integer_pow_p, apply(integer_pow_p, PowParams{y}),
        [](Random& r) {
          return Arrays{r.array(DType::f64, {2, 3}, 0.6, 1.5, true)};
        });
  for (auto m : {RoundingMethod::AWAY_FROM_ZERO, RoundingMethod::TO_NEAREST_EVEN})
    add(m == RoundingMethod::AWAY_FROM_ZERO ? "away" : "even", round_p,
        apply(round_p, RoundParams{m}), [](Random& r) {
          return Arrays{r.array(DType::f64, {2, 3}, 0.6, 1.4, true)};
        });
  add("exact", reduce_precision_p, apply(reduce_precision_p, PrecisionParams{11, 52}),
      real({{2, 3}}));
  add("bf16", reduce_precision_p, apply(reduce_precision_p, PrecisionParams{8, 7}), real({{2, 3}}))
      .options.derivatives = false;  // tangents are rounded too
  add("f64 u32", bitcast_convert_type_p, apply(bitcast_convert_type_p, ConvertParams{DType::u32}),
      real({{2, 3}}))
      .options.double_only = true;
  add("u8 i32", bitcast_convert_type_p, apply(bitcast_convert_type_p, ConvertParams{DType::i32}),
      real({{2, 4}}, DType::u8));
  add("", stop_gradient_p, apply(stop_gradient_p), real({{2, 3}})).options.differences = false;
  add("", complex_p, apply(complex_p), real({{2, 3}, {2, 3}}));
  add("", real_p, apply(real_p), real({{2, 3}}, DType::c128));
  add("", imag_p, apply(imag_p), real({{2, 3}}, DType::c128));
  add("", conj_p, apply(conj_p), real({{2, 3}}, DType::c128));
}

void shapes(List& add) {
  add("", broadcast_in_dim_p, apply(broadcast_in_dim_p, BroadcastParams{{1, 2}, {4, 2, 3}}),
      real({{2, 1}}));
  add("scalar", broadcast_in_dim_p, apply(broadcast_in_dim_p, BroadcastParams{{}, {2, 3}}),
      real({{}}));
  add("", reshape_p, apply(reshape_p, ReshapeParams{{}, {3, 2}}), real({{2, 3}}));
  add("permuted", reshape_p, apply(reshape_p, ReshapeParams{Dims{1, 0}, {6}}), real({{2, 3}}));
  add("", transpose_p, apply(transpose_p, TransposeParams{{2, 0, 1}}), real({{2, 3, 4}}));
  add("", squeeze_p, apply(squeeze_p, DimensionsParams{{1}}), real({{2, 1, 3}}));
  add("", expand_dims_p, apply(expand_dims_p, DimensionsParams{{0, 2}}), real({{2, 3}}));
  add("", concatenate_p, apply(concatenate_p, ConcatenateParams{1}),
      real({{2, 3}, {2, 1}, {2, 2}}));
  add("", stack_p, apply(stack_p, AxisParams{1}), real({{2, 3}, {2, 3}}));
  add("", unstack_p, apply(unstack_p, UnstackParams{1, 3}), real({{2, 3}}));
  add("", split_p, apply(split_p, SplitParams{0, {1, 3}}), real({{4, 2}}));
  add("", tile_p, apply(tile_p, TileParams{{2, 3}}), real({{2, 2}}));
  add("", slice_p, apply(slice_p, SliceParams{{3, 3}, {1, 0}, {}}), real({{4, 3}}));
  add("strided", slice_p, apply(slice_p, SliceParams{{5, 3}, {0, 1}, Dims{2, 1}}), real({{5, 3}}));
  add("", add_slice_p, apply(add_slice_p, SliceParams{{5, 3}, {0, 1}, Dims{2, 1}}),
      real({{5, 3}, {3, 2}}));
  add("", pad_p, apply(pad_p, PadParams{{{1, 2, 1}, {-1, 0, 0}}}), real({{2, 3}, {}}));
  add("negative", pad_p, apply(pad_p, PadParams{{{-1, -1, 0}}}), real({{5}, {}}));
  add("", rev_p, apply(rev_p, DimensionsParams{{0, 1}}), real({{2, 3}}));
  add("", iota_p, apply(iota_p, IotaParams{1, DType::f64, {2, 3}}), real({}));
  add("", iota_2x32_shape_p, apply(iota_2x32_shape_p, ShapeParams{{2, 3}}), real({}));
  add("", empty_p, apply(empty_p, EmptyParams{DType::f64, {2, 3}}), real({}));
}

void reductions(List& add) {
  for (auto axes : {Dims{0}, Dims{1}, Dims{0, 1}, Dims{}}) {
    const std::string at = to_string(axes);
    for (auto* p : {&reduce_sum_p, &reduce_max_p, &reduce_min_p, &reduce_prod_p})
      add(at, *p, apply(*p, AxesParams{axes}), separated({{2, 3}}));
    for (auto* p : {&reduce_and_p, &reduce_or_p, &reduce_xor_p})
      for (DType d : {DType::b1, DType::i32})
        add(at + name(d), *p, apply(*p, AxesParams{axes}), real({{2, 3}}, d));
  }
  add("rank 3", reduce_sum_p, apply(reduce_sum_p, AxesParams{{0, 2}}), real({{2, 3, 2}}));
  add("complex", reduce_sum_p, apply(reduce_sum_p, AxesParams{{1}}), real({{2, 3}}, DType::c128));
  add("complex", reduce_prod_p, apply(reduce_prod_p, AxesParams{{1}}), real({{2, 3}}, DType::c128));
  for (auto* p : {&argmax_p, &argmin_p})
    for (std::int64_t axis : {0, 1})
      add(std::to_string(axis), *p, apply(*p, ArgParams{{axis}, DType::i32}), separated({{3, 4}}));
  auto sum = scalar_program([](const Array& a, const Array& b) { return lax::add(a, b); });
  auto& general = add("", reduce_p, apply(reduce_p, ReduceParams{{1}, sum}), real({{2, 3}, {}}));
  general.options.derivatives = reduce_p.jvp != nullptr;
  general.options.constant = {1};
  general.options.double_only = true;
  general.options.batches = 4;
  for (bool reverse : {false, true})
    for (std::int64_t axis : {0, 1})
      for (auto* p : {&cumsum_p, &cumprod_p, &cummax_p, &cummin_p, &cumlogsumexp_p})
        add((reverse ? "reverse " : "") + std::to_string(axis), *p,
            apply(*p, CumParams{axis, reverse}), separated({{3, 4}}));
  add("", sort_p, apply(sort_p, SortParams{0, true, 1}), separated({{4, 2}}));
  add("two operands", sort_p, apply(sort_p, SortParams{1, true, 1, 2}),
      separated({{2, 4}, {2, 4}}));
  add("two keys", sort_p, apply(sort_p, SortParams{0, true, 2, 3}), [](Random& r) {
    return Arrays{r.array(DType::i32, {5}, 0, 2), distinct(r, {5}), distinct(r, {5})};
  });
  add("", top_k_p, apply(top_k_p, TopKParams{1, 2}), separated({{3, 4}}));
  add("", approx_top_k_p, apply(approx_top_k_p, ApproxTopKParams{.k = 2, .reduction_dimension = 1}),
      separated({{3, 4}}));
  add("least", approx_top_k_p,
      apply(approx_top_k_p, ApproxTopKParams{.is_max_k = false, .k = 2, .reduction_dimension = -2}),
      separated({{4, 2}}));
  add("axis 0", top_k_p, apply(top_k_p, TopKParams{0, 2}), separated({{4, 2}}));
}

void contraction(List& add) {
  add("matmul", dot_general_p, apply(dot_general_p, DotParams{{{1}, {0}, {}, {}}, {}}),
      real({{2, 3}, {3, 4}}));
  add("batch", dot_general_p, apply(dot_general_p, DotParams{{{2}, {1}, {0}, {0}}, {}}),
      real({{2, 3, 4}, {2, 4, 5}}));
  add("odd order", dot_general_p, apply(dot_general_p, DotParams{{{0, 2}, {2, 1}, {1}, {0}}, {}}),
      real({{2, 3, 4}, {3, 4, 2}}));
  add("outer", dot_general_p, apply(dot_general_p, DotParams{{{}, {}, {}, {}}, {}}),
      real({{2}, {3}}));
  add("inner", dot_general_p, apply(dot_general_p, DotParams{{{0}, {0}, {}, {}}, {}}),
      real({{3}, {3}}));
  add("complex", dot_general_p, apply(dot_general_p, DotParams{{{1}, {0}, {}, {}}, {}}),
      real({{2, 3}, {3, 2}}, DType::c128));
  add("preferred", dot_general_p, apply(dot_general_p, DotParams{{{1}, {0}, {}, {}}, DType::f64}),
      real({{2, 3}, {3, 2}}, DType::f32))
      .options.derivatives = false;
}

void indexing(List& add) {
  const GatherDims take_rows{{1}, {0}, {0}, {}, {}};
  auto row_gather = [&](IndexMode mode, std::optional<Number> fill) {
    return apply(gather_p, GatherParams{take_rows, fill, false, mode, {1, 3}, false});
  };
  auto row_index = [](std::int64_t limit) {
    return [=](Random& r) {
      return Arrays{r.array(DType::f64, {4, 3}, 0.25, 0.85, true),
                    r.array(DType::i32, {2, 1}, 0, double(limit))};
    };
  };
  add("rows", gather_p, row_gather(IndexMode::CLIP, {}), row_index(4));
  add("fill", gather_p, row_gather(IndexMode::FILL_OR_DROP, Number(0.0)), row_index(7));
  add("windows", gather_p,
      apply(gather_p,
            GatherParams{{{1, 2}, {}, {0, 1}, {}, {}}, {}, false, IndexMode::CLIP, {2, 2}, false}),
      [](Random& r) {
        return Arrays{r.array(DType::f64, {4, 3}, 0.25, 0.85, true),
                      r.array(DType::i32, {3, 2}, 0, 5)};
      });
  add("batched", gather_p,
      apply(gather_p,
            GatherParams{{{}, {1}, {1}, {0}, {0}}, {}, false, IndexMode::CLIP, {1, 1}, false}),
      [](Random& r) {
        return Arrays{r.array(DType::f64, {2, 4}, 0.25, 0.85, true),
                      r.array(DType::i32, {2, 3, 1}, 0, 4)};
      });
  const ScatterDims put_rows{{1}, {0}, {0}, {}, {}};
  struct Case {
    const Primitive* p;
    bool unique;
  };
  for (auto [p, unique] :
       {Case{&scatter_p, true}, Case{&scatter_add_p, false}, Case{&scatter_sub_p, false},
        Case{&scatter_mul_p, true}, Case{&scatter_min_p, true}, Case{&scatter_max_p, true}}) {
    auto make = [unique = unique](std::int64_t limit) {
      return [=](Random& r) {
        return Arrays{distinct(r, {4, 3}),
                      unique ? rows(r, 2, limit) : r.array(DType::i32, {2, 1}, 0, double(limit)),
                      lax::add(distinct(r, {2, 3}), Array(0.011))};
      };
    };
    for (auto mode : {IndexMode::CLIP, IndexMode::FILL_OR_DROP}) {
      auto& s = add(mode == IndexMode::CLIP ? "clip" : "drop", *p,
                    apply(*p, ScatterParams{put_rows, false, mode, unique}),
                    make(mode == IndexMode::CLIP ? 4 : 6));
      s.options.derivatives = p->jvp != nullptr;
      s.options.batches = 24;
    }
  }
  add("batched", scatter_add_p,
      apply(scatter_add_p,
            ScatterParams{{{}, {1}, {1}, {0}, {0}}, false, IndexMode::FILL_OR_DROP, false}),
      [](Random& r) {
        return Arrays{distinct(r, {2, 4}), r.array(DType::i32, {2, 3, 1}, 0, 5),
                      distinct(r, {2, 3})};
      });
  add("", dynamic_slice_p, apply(dynamic_slice_p, DynamicSliceParams{{2, 2}}), [](Random& r) {
    return Arrays{r.array(DType::f64, {4, 3}, 0.25, 0.85, true), int_scalar(r, -1, 4),
                  int_scalar(r, 0, 2)};
  });
  add("", dynamic_update_slice_p, apply(dynamic_update_slice_p), [](Random& r) {
    return Arrays{r.array(DType::f64, {4, 3}, 0.25, 0.85, true),
                  r.array(DType::f64, {2, 2}, 0.25, 0.85, true), int_scalar(r, -1, 4),
                  int_scalar(r, 0, 2)};
  });
}

Array diagonal(double v, std::int64_t n) {
  std::vector<double> d(std::size_t(n * n));
  for (std::int64_t i = 0; i < n; ++i) d[std::size_t(i * n + i)] = v;
  return Array(std::span<const double>(d), Shape{n, n});
}
void linear_algebra(List& add) {
  // Derivatives hold for symmetric matrices, so differences must move along those.
  add(
      "", cholesky_p,
      [](Args x, Results& y) {
        Array s = lax::add(x[0], lax::transpose(x[0], {1, 0}));
        y.push_back(lax::cholesky(lax::add(s, diagonal(5, 3).astype(s.dtype()))));
      },
      real({{3, 3}}));
  for (bool left : {true, false})
    for (bool lower : {true, false})
      for (bool transposed : {true, false})
        for (bool unit : {true, false}) {
          TriangularSolveParams p{false, left, lower, transposed, unit};
          auto& s = add(std::string(left ? "left" : "right") + (lower ? " lower" : " upper") +
                            (transposed ? " transposed" : "") + (unit ? " unit" : ""),
                        triangular_solve_p, apply(triangular_solve_p, p), [](Random& r) {
                          return Arrays{lax::add(r.array(DType::f64, {3, 3}, 0.25, 0.85, true),
                                                 diagonal(3, 3)),
                                        r.array(DType::f64, {3, 3}, 0.25, 0.85, true)};
                        });
          if (unit || transposed) s.options.order = 1;
          s.options.batches = 16;
        }
  add(
      "", lu_p,
      [](Args x, Results& y) {
        for (auto& r : lax::lu(lax::add(x[0], diagonal(4, 3).astype(x[0].dtype())))) y.push_back(r);
      },
      real({{3, 3}}));
  add("", lu_pivots_to_permutation_p, apply(lu_pivots_to_permutation_p, PermutationParams{4}),
      [](Random& r) {
        std::vector<std::int32_t> pivots;
        for (std::int32_t i = 0; i < 3; ++i) pivots.push_back(std::int32_t(r.integer(i, 3)));
        return Arrays{Array(std::span<const std::int32_t>(pivots))};
      });
  for (bool log_space : {false, true}) {
    auto keys_and_shapes = [](Random& r) {
      auto word = [&] { return r.array(DType::u32, {3}, 0, 4e9); };
      return Arrays{word(), word(), r.array(DType::f64, {3}, 0.3, 4)};
    };
    auto sample = [=](Args x) { return lax::random_gamma(x[0], x[1], x[2], log_space); };
    const std::string name = log_space ? "log" : "";
    Options& o = add(name, random_gamma_p, apply(random_gamma_p, RandomGammaParams{log_space}),
                     keys_and_shapes)
                     .options;
    o.differences = false, o.order = 1, o.double_only = true;
    // By its derivative a sample keeps its probability: 0 = 0, unless a sign is wrong.
    Options& p = add(
                     name + " probability", random_gamma_p,
                     [=](Args x, Results& y) {
                       const Array s = sample(x);
                       const Array q = lax::igamma(x[2], log_space ? lax::exp(s) : s);
                       y.push_back(lax::sub(q, lax::stop_gradient(q)));
                     },
                     keys_and_shapes)
                     .options;
    p.order = 1, p.double_only = true;
  }
  add("", threefry2x32_p, apply(threefry2x32_p), [](Random& r) {
    auto word = [&](const Shape& s) { return r.array(DType::u32, s, 0, 4e9); };
    return Arrays{word({}), word({}), word({3}), word({3})};
  });
}

}  // namespace

std::vector<Sample> structural_samples() {
  List add;
  elementwise(add);
  shapes(add);
  reductions(add);
  contraction(add);
  indexing(add);
  linear_algebra(add);
  return std::move(add.samples);
}

}  // namespace jaxpp::testing
