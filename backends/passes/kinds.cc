// kinds.cc -- primitives by kind; see kinds.h.
#include "backends/passes/kinds.h"
#include <unordered_map>
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {
namespace {

constexpr const Primitive* kViews[] = {&iota_p,    &broadcast_in_dim_p, &reshape_p, &transpose_p,
                                       &squeeze_p, &expand_dims_p,      &slice_p,   &rev_p,
                                       &copy_p,    &stop_gradient_p};
constexpr const Primitive* kMoves[] = {&pad_p,
                                       &concatenate_p,
                                       &stack_p,
                                       &unstack_p,
                                       &split_p,
                                       &tile_p,
                                       &add_slice_p,
                                       &gather_p,
                                       &empty_p,
                                       &dynamic_slice_p,
                                       &dynamic_update_slice_p};
constexpr const Primitive* kElementwise[] = {
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
    &random_gamma_p,
    &convert_element_type_p,
    &integer_pow_p,
    &round_p,
    &reduce_precision_p,
    &complex_p,
    &real_p,
    &imag_p,
    &conj_p};
// Elementwise, and more than an instruction or three.
constexpr const Primitive* kFunctions[] = {&cbrt_p,
                                           &rem_p,
                                           &pow_p,
                                           &nextafter_p,
                                           &exp_p,
                                           &exp2_p,
                                           &expm1_p,
                                           &log_p,
                                           &log1p_p,
                                           &logistic_p,
                                           &sin_p,
                                           &cos_p,
                                           &tan_p,
                                           &asin_p,
                                           &acos_p,
                                           &atan_p,
                                           &sinh_p,
                                           &cosh_p,
                                           &tanh_p,
                                           &asinh_p,
                                           &acosh_p,
                                           &atanh_p,
                                           &atan2_p,
                                           &erf_p,
                                           &erfc_p,
                                           &erf_inv_p,
                                           &lgamma_p,
                                           &digamma_p,
                                           &polygamma_p,
                                           &zeta_p,
                                           &bessel_i0e_p,
                                           &bessel_i1e_p,
                                           &igamma_p,
                                           &igammac_p,
                                           &igamma_grad_a_p,
                                           &random_gamma_grad_p,
                                           &regularized_incomplete_beta_p,
                                           &random_gamma_p};

struct Kind {
  bool elementwise = false, view = false;
  int weight = kMuch;
};
const Kind& kind(const Primitive& p) {
  static const std::unordered_map<const Primitive*, Kind> kinds = [] {
    std::unordered_map<const Primitive*, Kind> k;
    for (auto* q : kElementwise) k[q] = {true, false, 1};
    for (auto* q : kFunctions) k[q].weight = 16;
    for (auto* q : kMoves) k[q].weight = 1;
    for (auto* q : kViews) {
      k[q].view = true;
      k[q].weight = 0;
    }
    return k;
  }();
  static const Kind other;
  const auto it = kinds.find(&p);
  return it == kinds.end() ? other : it->second;
}
}  // namespace

bool is_elementwise(const Primitive& p) { return kind(p).elementwise; }
bool is_view(const Primitive& p) { return kind(p).view; }
int weight(const Primitive& p) { return kind(p).weight; }

}  // namespace jaxpp::passes
