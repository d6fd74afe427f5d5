// arity.cc -- how many operands each built-in primitive takes, so that readers of text and JSON can refuse an equation
// before its shape rule looks at operands that are not there.
#include <unordered_map>
#include "jaxpp/core/check.h"
#include "jaxpp/ops/linalg.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::internal {
namespace {
constexpr std::size_t kAny = std::size_t(-1);
const std::unordered_map<const Primitive*, OperandRange>& table() {
  static const auto& t = *new std::unordered_map<const Primitive*, OperandRange>{
#define UNARY(id, ...) {&id##_p, {1, 1}},
#define BINARY(id, ...) {&id##_p, {2, 2}},
#define COMPARE(id, ...) {&id##_p, {2, 2}},
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
      {&select_n_p, {2, kAny}},
      {&clamp_p, {3, 3}},
      {&regularized_incomplete_beta_p, {3, 3}},
      {&convert_element_type_p, {1, 1}},
      {&integer_pow_p, {1, 1}},
      {&round_p, {1, 1}},
      {&reduce_precision_p, {1, 1}},
      {&bitcast_convert_type_p, {1, 1}},
      {&stop_gradient_p, {1, 1}},
      {&complex_p, {2, 2}},
      {&real_p, {1, 1}},
      {&imag_p, {1, 1}},
      {&conj_p, {1, 1}},
      {&broadcast_in_dim_p, {1, 1}},
      {&reshape_p, {1, 1}},
      {&transpose_p, {1, 1}},
      {&squeeze_p, {1, 1}},
      {&expand_dims_p, {1, 1}},
      {&concatenate_p, {1, kAny}},
      {&stack_p, {1, kAny}},
      {&unstack_p, {1, 1}},
      {&split_p, {1, 1}},
      {&tile_p, {1, 1}},
      {&slice_p, {1, 1}},
      {&add_slice_p, {2, 2}},
      {&pad_p, {2, 2}},
      {&rev_p, {1, 1}},
      {&iota_p, {0, 0}},
      {&iota_2x32_shape_p, {0, 0}},
      {&empty_p, {0, 0}},
      {&reduce_sum_p, {1, 1}},
      {&reduce_max_p, {1, 1}},
      {&reduce_min_p, {1, 1}},
      {&reduce_prod_p, {1, 1}},
      {&reduce_and_p, {1, 1}},
      {&reduce_or_p, {1, 1}},
      {&reduce_xor_p, {1, 1}},
      {&argmax_p, {1, 1}},
      {&argmin_p, {1, 1}},
      {&reduce_p, {2, kAny}},
      {&cumsum_p, {1, 1}},
      {&cumprod_p, {1, 1}},
      {&cummax_p, {1, 1}},
      {&cummin_p, {1, 1}},
      {&cumlogsumexp_p, {1, 1}},
      {&sort_p, {1, kAny}},
      {&top_k_p, {1, 1}},
      {&approx_top_k_p, {1, 1}},
      {&dot_general_p, {2, 2}},
      {&gather_p, {2, 2}},
      {&scatter_p, {3, 3}},
      {&scatter_add_p, {3, 3}},
      {&scatter_sub_p, {3, 3}},
      {&scatter_mul_p, {3, 3}},
      {&scatter_min_p, {3, 3}},
      {&scatter_max_p, {3, 3}},
      {&dynamic_slice_p, {1, kAny}},
      {&dynamic_update_slice_p, {2, kAny}},
      {&cholesky_p, {1, 1}},
      {&triangular_solve_p, {2, 2}},
      {&lu_p, {1, 1}},
      {&lu_pivots_to_permutation_p, {1, 1}},
      {&geqrf_p, {1, 1}},
      {&schur_p, {1, 1}},
      {&threefry2x32_p, {4, 4}},
      {&rng_bit_generator_p, {1, 1}},
      {&random_gamma_p, {3, 3}},
      {&cond_p, {1, kAny}},
      {&name_p, {1, 1}},
      {&psum_p, {1, 1}},
      {&pmax_p, {1, 1}},
      {&pmin_p, {1, 1}},
      {&ppermute_p, {1, 1}},
      {&all_gather_p, {1, 1}},
      {&all_to_all_p, {1, 1}},
      {&reduce_scatter_p, {1, 1}},
      {&axis_index_p, {0, 0}},
  };
  return t;
}
}  // namespace

OperandRange operand_range(const Primitive& p) {
  auto it = table().find(&p);
  return it == table().end() ? OperandRange{0, kAny} : it->second;
}

}  // namespace jaxpp::internal
