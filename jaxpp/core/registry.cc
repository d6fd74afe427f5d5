// registry.cc -- all primitives by name: what the parser and the JSON reader look up and the rule checks walk.
// An explicit list: nothing relies on the static initialisers of a static library.
#include <map>
#include <mutex>
#include "jaxpp/ops/bounded.h"
#include "jaxpp/ops/host_fn.h"
#include "jaxpp/ops/linalg.h"
#include "jaxpp/ops/primitives.h"
#include "jaxpp/ops/zero_maps.h"

namespace jaxpp {
namespace {

const Primitive* const kBuiltIn[] = {
#define UNARY(name, ...) &name##_p,
#define BINARY(name, ...) &name##_p,
#define COMPARE(name, ...) &name##_p,
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
    &select_n_p,
    &clamp_p,
    &regularized_incomplete_beta_p,
    &convert_element_type_p,
    &integer_pow_p,
    &round_p,
    &reduce_precision_p,
    &bitcast_convert_type_p,
    &stop_gradient_p,
    &complex_p,
    &real_p,
    &imag_p,
    &conj_p,
    &broadcast_in_dim_p,
    &reshape_p,
    &transpose_p,
    &squeeze_p,
    &expand_dims_p,
    &concatenate_p,
    &stack_p,
    &unstack_p,
    &split_p,
    &tile_p,
    &slice_p,
    &add_slice_p,
    &pad_p,
    &rev_p,
    &iota_p,
    &iota_2x32_shape_p,
    &empty_p,
    &reduce_sum_p,
    &reduce_max_p,
    &reduce_min_p,
    &reduce_prod_p,
    &reduce_and_p,
    &reduce_or_p,
    &reduce_xor_p,
    &argmax_p,
    &argmin_p,
    &reduce_p,
    &cumsum_p,
    &cumprod_p,
    &cummax_p,
    &cummin_p,
    &cumlogsumexp_p,
    &sort_p,
    &top_k_p,
    &approx_top_k_p,
    &dot_general_p,
    &conv_general_dilated_p,
    &fft_p,
    &reduce_window_p,
    &reduce_window_sum_p,
    &reduce_window_max_p,
    &reduce_window_min_p,
    &select_and_scatter_add_p,
    &select_and_gather_add_p,
    &gather_p,
    &scatter_p,
    &scatter_add_p,
    &scatter_sub_p,
    &scatter_mul_p,
    &scatter_min_p,
    &scatter_max_p,
    &dynamic_slice_p,
    &dynamic_update_slice_p,
    &cholesky_p,
    &triangular_solve_p,
    &lu_p,
    &lu_pivots_to_permutation_p,
    &qr_p,
    &geqrf_p,
    &householder_product_p,
    &eigh_p,
    &svd_p,
    &eig_p,
    &schur_p,
    &tridiagonal_solve_p,
    &threefry2x32_p,
    &rng_bit_generator_p,
    &random_gamma_p,
    &jit_p,
    &remat_p,
    &scan_p,
    &while_p,
    &bounded_while_p,
    &counted_scan_p,
    &cond_p,
    &custom_jvp_call_p,
    &custom_vjp_call_p,
    &custom_lin_p,
    &custom_linear_solve_p,
    &name_p,
    &optimization_barrier_p,
    &device_put_p,
    &debug_callback_p,
    &pure_callback_p,
    &io_callback_p,
    &psum_p,
    &pmax_p,
    &pmin_p,
    &ppermute_p,
    &all_gather_p,
    &all_to_all_p,
    &reduce_scatter_p,
    &axis_index_p,
    &zero_mul_p,
    &zero_div_p,
    &zeros_mul_p};

struct Registry {
  std::mutex mutex;
  std::map<std::string, const Primitive*, std::less<>> by_name;
  Registry() {
    for (const Primitive* p : kBuiltIn) by_name.emplace(p->name, p);
  }
};
Registry& registry() {
  static auto& r = *new Registry;
  return r;
}

}  // namespace

const Primitive* find_primitive(std::string_view name) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  auto it = r.by_name.find(name);
  return it == r.by_name.end() ? nullptr : it->second;
}
std::vector<const Primitive*> all_primitives() {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  std::vector<const Primitive*> v;
  for (auto& [name, p] : r.by_name) v.push_back(p);
  return v;
}
void register_primitive(const Primitive& p) {
  if (!p.shape)
    throw Error(std::string("register_primitive: ") + p.name + " has no shape rule.  [E13]");
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  auto [it, fresh] = r.by_name.emplace(p.name, &p);
  if (!fresh && it->second != &p)
    throw Error(std::string("register_primitive: there is already a primitive `") + p.name +
                "`.  [E13]");
}

}  // namespace jaxpp
