// primitives.h -- the built-in primitives, by family.  Rows of elementwise.def come first.
#pragma once
#include "jaxpp/core/primitive.h"
#include "jaxpp/ops/params.h"

namespace jaxpp {

#define UNARY(name, ...) extern const Primitive name##_p;
#define BINARY(name, ...) extern const Primitive name##_p;
#define COMPARE(name, ...) extern const Primitive name##_p;
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE

// elementwise.cc: elementwise with parameters, or more than two operands
extern const Primitive select_n_p, clamp_p, regularized_incomplete_beta_p, convert_element_type_p,
    integer_pow_p, round_p, reduce_precision_p, bitcast_convert_type_p, stop_gradient_p;
// complex.cc
extern const Primitive complex_p, real_p, imag_p, conj_p;
// shape.cc
extern const Primitive broadcast_in_dim_p, reshape_p, transpose_p, squeeze_p, expand_dims_p,
    concatenate_p, stack_p, unstack_p, split_p, tile_p, slice_p, add_slice_p, pad_p, rev_p, iota_p,
    iota_2x32_shape_p, empty_p;
// reduce.cc
extern const Primitive reduce_sum_p, reduce_max_p, reduce_min_p, reduce_prod_p, reduce_and_p,
    reduce_or_p, reduce_xor_p, argmax_p, argmin_p, reduce_p;
// cumulative.cc, sort.cc
extern const Primitive cumsum_p, cumprod_p, cummax_p, cummin_p, cumlogsumexp_p, sort_p, top_k_p,
    approx_top_k_p;
// dot.cc
extern const Primitive dot_general_p;
// conv.cc, fft.cc, window.cc
extern const Primitive conv_general_dilated_p, fft_p, reduce_window_p, reduce_window_sum_p,
    reduce_window_max_p, reduce_window_min_p, select_and_scatter_add_p, select_and_gather_add_p;
// indexing.cc
extern const Primitive gather_p, scatter_p, scatter_add_p, scatter_sub_p, scatter_mul_p,
    scatter_min_p, scatter_max_p, dynamic_slice_p, dynamic_update_slice_p;
// linalg.cc
extern const Primitive cholesky_p, triangular_solve_p, lu_p, lu_pivots_to_permutation_p;
// decompositions.cc, tridiagonal.cc
extern const Primitive householder_product_p, qr_p, eigh_p, svd_p, eig_p, tridiagonal_solve_p;
// random.cc
extern const Primitive threefry2x32_p, rng_bit_generator_p, random_gamma_p;
// calls.cc, scan.cc, while.cc, cond.cc, custom.cc, linear_solve.cc (transforms/)
extern const Primitive jit_p, remat_p, scan_p, while_p, cond_p, custom_jvp_call_p,
    custom_vjp_call_p, custom_lin_p, custom_linear_solve_p;
// host.cc: identities with a meaning, and callbacks
extern const Primitive name_p, optimization_barrier_p, device_put_p, debug_callback_p,
    pure_callback_p;
// collectives.cc
extern const Primitive psum_p, pmax_p, pmin_p, ppermute_p, all_gather_p, all_to_all_p,
    reduce_scatter_p, axis_index_p;

}  // namespace jaxpp
