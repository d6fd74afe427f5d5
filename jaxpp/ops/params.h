// params.h -- the parameters of every built-in primitive.  Names are JAX's.
#pragma once
#include "jaxpp/core/params.h"

namespace jaxpp {

// ---- Elementwise
struct ConvertParams {
  DType new_dtype = DType::f32;
  JAXPP_PARAMS(ConvertParams, new_dtype)
};
struct PowParams {  // integer_pow
  std::int64_t y = 0;
  JAXPP_PARAMS(PowParams, y)
};
enum class RoundingMethod { AWAY_FROM_ZERO, TO_NEAREST_EVEN };
inline std::span<const char* const> enum_names(RoundingMethod) {
  static constexpr const char* n[] = {"AWAY_FROM_ZERO", "TO_NEAREST_EVEN"};
  return n;
}
struct RoundParams {
  RoundingMethod rounding_method = RoundingMethod::AWAY_FROM_ZERO;
  JAXPP_PARAMS(RoundParams, rounding_method)
};
struct PrecisionParams {  // reduce_precision
  std::int64_t exponent_bits = 8, mantissa_bits = 23;
  JAXPP_PARAMS(PrecisionParams, exponent_bits, mantissa_bits)
};

// ---- Shape
struct BroadcastParams {
  Dims broadcast_dimensions, shape;
  JAXPP_PARAMS(BroadcastParams, broadcast_dimensions, shape)
};
struct ReshapeParams {
  std::optional<Dims> dimensions;  // a permutation applied first
  Dims new_sizes;
  JAXPP_PARAMS(ReshapeParams, dimensions, new_sizes)
};
struct TransposeParams {
  Dims permutation;
  JAXPP_PARAMS(TransposeParams, permutation)
};
struct DimensionsParams {  // squeeze, expand_dims, rev
  Dims dimensions;
  JAXPP_PARAMS(DimensionsParams, dimensions)
};
struct ConcatenateParams {
  std::int64_t dimension = 0;
  JAXPP_PARAMS(ConcatenateParams, dimension)
};
struct AxisParams {  // stack
  std::int64_t axis = 0;
  JAXPP_PARAMS(AxisParams, axis)
};
struct UnstackParams {  // n: the size of the axis, which is the number of results
  std::int64_t axis = 0, n = 1;
  JAXPP_PARAMS(UnstackParams, axis, n)
};
struct SplitParams {
  std::int64_t axis = 0;
  Dims sizes;
  JAXPP_PARAMS(SplitParams, axis, sizes)
};
struct TileParams {
  Dims reps;
  JAXPP_PARAMS(TileParams, reps)
};
struct SliceParams {
  Dims limit_indices, start_indices;
  std::optional<Dims> strides;  // absent: all 1
  JAXPP_PARAMS(SliceParams, limit_indices, start_indices, strides)
};
struct PadParams {
  std::vector<Dims>
      padding_config;  // [low, high, interior] per dimension; low and high may be negative
  JAXPP_PARAMS(PadParams, padding_config)
};
struct IotaParams {
  std::int64_t dimension = 0;
  DType dtype = DType::i32;
  Dims shape;
  JAXPP_PARAMS(IotaParams, dimension, dtype, shape)
};
struct ShapeParams {  // iota_2x32_shape, empty
  Dims shape;
  JAXPP_PARAMS(ShapeParams, shape)
};
struct EmptyParams {
  DType dtype = DType::f32;
  Dims shape;
  JAXPP_PARAMS(EmptyParams, dtype, shape)
};

// ---- Reductions, scans, sorting
struct AxesParams {
  Dims axes;
  JAXPP_PARAMS(AxesParams, axes)
};
struct ArgParams {  // argmax, argmin
  Dims axes;
  DType index_dtype = DType::i32;
  JAXPP_PARAMS(ArgParams, axes, index_dtype)
};
struct CumParams {
  std::int64_t axis = 0;
  bool reverse = false;
  JAXPP_PARAMS(CumParams, axis, reverse)
};
struct SortParams {  // n: the number of operands, and of results
  std::int64_t dimension = 0;
  bool is_stable = true;
  std::int64_t num_keys = 1, n = 1;
  JAXPP_PARAMS(SortParams, dimension, is_stable, num_keys, n)
};
struct TopKParams {
  std::int64_t axis = 0, k = 1;
  JAXPP_PARAMS(TopKParams, axis, k)
};
struct ApproxTopKParams {
  bool aggregate_to_topk = true, is_max_k = true;
  std::int64_t k = 1;
  double recall_target = 0.95;
  std::int64_t reduction_dimension = -1, reduction_input_size_override = -1;
  JAXPP_PARAMS(ApproxTopKParams, aggregate_to_topk, is_max_k, k, recall_target, reduction_dimension,
               reduction_input_size_override)
};
struct ReduceParams {  // operands: N arrays, N inits; jaxpr takes (acc..., x...)
  Dims dimensions;
  JaxprPtr jaxpr;
  JAXPP_PARAMS(ReduceParams, dimensions, jaxpr)
};

// ---- Contraction
struct DotDims {
  Dims lhs_contracting, rhs_contracting, lhs_batch, rhs_batch;
  JAXPP_PARAMS(DotDims, lhs_contracting, rhs_contracting, lhs_batch, rhs_batch)
};
struct DotParams {
  DotDims dimension_numbers;
  std::optional<DType> preferred_element_type;
  JAXPP_PARAMS(DotParams, dimension_numbers, preferred_element_type)
};

/// Which dimensions of the operands and of the result mean what.  lhs_spec: (batch, feature, spatial...); rhs_spec: (output
/// feature, input feature, spatial...); out_spec as lhs_spec.
struct ConvDims {
  Dims lhs_spec = {}, rhs_spec = {}, out_spec = {};
  JAXPP_PARAMS(ConvDims, lhs_spec, rhs_spec, out_spec)
};
struct ConvParams {  // conv_general_dilated
  std::int64_t batch_group_count = 1;
  ConvDims dimension_numbers = {};
  std::int64_t feature_group_count = 1;
  Dims lhs_dilation = {};
  std::vector<Dims> padding = {};  // [low, high] per spatial dimension; may be negative
  std::optional<DType> preferred_element_type = {};
  Dims rhs_dilation = {}, window_strides = {};
  JAXPP_PARAMS(ConvParams, batch_group_count, dimension_numbers, feature_group_count, lhs_dilation,
               padding, preferred_element_type, rhs_dilation, window_strides)
};

// ---- Windows
struct WindowParams {  // reduce_window_sum, reduce_window_max, reduce_window_min
  Dims base_dilation = {};
  std::vector<Dims> padding = {};  // [low, high] per dimension
  Dims window_dilation = {}, window_dimensions = {}, window_strides = {};
  JAXPP_PARAMS(WindowParams, base_dilation, padding, window_dilation, window_dimensions,
               window_strides)
};
struct ReduceWindowParams {  // operands: N arrays, N inits; jaxpr takes (acc..., x...)
  Dims base_dilation = {};
  JaxprPtr jaxpr = {};
  std::vector<Dims> padding = {};
  Dims window_dilation = {}, window_dimensions = {}, window_strides = {};
  JAXPP_PARAMS(ReduceWindowParams, base_dilation, jaxpr, padding, window_dilation,
               window_dimensions, window_strides)
};
enum class SelectPrim { ge, le };
inline std::span<const char* const> enum_names(SelectPrim) {
  static constexpr const char* n[] = {"ge", "le"};
  return n;
}
struct SelectAndScatterParams {  // select_and_scatter_add
  std::vector<Dims> padding = {};
  SelectPrim select_prim = SelectPrim::ge;
  Dims window_dimensions = {}, window_strides = {};
  JAXPP_PARAMS(SelectAndScatterParams, padding, select_prim, window_dimensions, window_strides)
};
struct SelectAndGatherParams {  // select_and_gather_add
  Dims base_dilation = {};
  std::vector<Dims> padding = {};
  SelectPrim select_prim = SelectPrim::ge;
  Dims window_dilation = {}, window_dimensions = {}, window_strides = {};
  JAXPP_PARAMS(SelectAndGatherParams, base_dilation, padding, select_prim, window_dilation,
               window_dimensions, window_strides)
};

// ---- Fourier transforms
enum class FftType { FFT, IFFT, RFFT, IRFFT };
inline std::span<const char* const> enum_names(FftType) {
  static constexpr const char* n[] = {"FFT", "IFFT", "RFFT", "IRFFT"};
  return n;
}
struct FftParams {  // over the last dimensions, as many as there are lengths
  Dims fft_lengths = {};
  FftType fft_type = FftType::FFT;
  JAXPP_PARAMS(FftParams, fft_lengths, fft_type)
};

// ---- Indexing
enum class IndexMode { CLIP, FILL_OR_DROP, PROMISE_IN_BOUNDS, ONE_HOT };
inline std::span<const char* const> enum_names(IndexMode) {
  static constexpr const char* n[] = {"CLIP", "FILL_OR_DROP", "PROMISE_IN_BOUNDS", "ONE_HOT"};
  return n;
}
struct GatherDims {
  Dims offset_dims, collapsed_slice_dims, start_index_map, operand_batching_dims,
      start_indices_batching_dims;
  JAXPP_PARAMS(GatherDims, offset_dims, collapsed_slice_dims, start_index_map,
               operand_batching_dims, start_indices_batching_dims)
};
struct GatherParams {
  GatherDims dimension_numbers;
  std::optional<internal::Number> fill_value;
  bool indices_are_sorted = false;
  IndexMode mode = IndexMode::CLIP;
  Dims slice_sizes;
  bool unique_indices = false;
  JAXPP_PARAMS(GatherParams, dimension_numbers, fill_value, indices_are_sorted, mode, slice_sizes,
               unique_indices)
};
struct ScatterDims {
  Dims update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims,
      operand_batching_dims, scatter_indices_batching_dims;
  JAXPP_PARAMS(ScatterDims, update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims,
               operand_batching_dims, scatter_indices_batching_dims)
};
struct ScatterParams {  // scatter, scatter-add, scatter-sub, scatter-mul, scatter-min, scatter-max
  ScatterDims dimension_numbers;
  bool indices_are_sorted = false;
  IndexMode mode = IndexMode::FILL_OR_DROP;
  bool unique_indices = false;
  JAXPP_PARAMS(ScatterParams, dimension_numbers, indices_are_sorted, mode, unique_indices)
};
struct DynamicSliceParams {
  Dims slice_sizes;
  JAXPP_PARAMS(DynamicSliceParams, slice_sizes)
};

// ---- Linear algebra
struct TriangularSolveParams {
  bool conjugate_a = false, left_side = false, lower = false, transpose_a = false,
       unit_diagonal = false;
  JAXPP_PARAMS(TriangularSolveParams, conjugate_a, left_side, lower, transpose_a, unit_diagonal)
};

struct PermutationParams {  // lu_pivots_to_permutation
  std::int64_t permutation_size = 0;
  JAXPP_PARAMS(PermutationParams, permutation_size)
};

struct QrParams {
  bool full_matrices = true, pivoting = false;
  JAXPP_PARAMS(QrParams, full_matrices, pivoting)
};
struct EighParams {
  bool lower = true, sort_eigenvalues = true;
  std::optional<Dims> subset_by_index = {};  // [first, last)
  JAXPP_PARAMS(EighParams, lower, sort_eigenvalues, subset_by_index)
};
struct SvdParams {
  bool compute_uv = true, full_matrices = true;
  std::optional<Dims> subset_by_index = {};  // [first, last)
  JAXPP_PARAMS(SvdParams, compute_uv, full_matrices, subset_by_index)
};
struct EigParams {
  bool compute_left_eigenvectors = true, compute_right_eigenvectors = true,
       enable_eigvec_derivs = false;
  JAXPP_PARAMS(EigParams, compute_left_eigenvectors, compute_right_eigenvectors,
               enable_eigvec_derivs)
};
struct TridiagonalSolveParams {
  bool perturb_singular = false;
  JAXPP_PARAMS(TridiagonalSolveParams, perturb_singular)
};

// ---- Random bits
enum class RandomAlgorithm { RNG_DEFAULT, RNG_THREE_FRY, RNG_PHILOX };
inline std::span<const char* const> enum_names(RandomAlgorithm) {
  static constexpr const char* n[] = {"RNG_DEFAULT", "RNG_THREE_FRY", "RNG_PHILOX"};
  return n;
}
struct RandomBitsParams {  // rng_bit_generator
  RandomAlgorithm algorithm = RandomAlgorithm::RNG_DEFAULT;
  DType dtype = DType::u32;
  Dims shape;
  JAXPP_PARAMS(RandomBitsParams, algorithm, dtype, shape)
};

// ---- Calls and control flow
struct CallParams {  // jit, remat2
  JaxprPtr jaxpr;
  std::string name;
  JAXPP_PARAMS(CallParams, jaxpr, name)
};
struct RematParams {
  JaxprPtr jaxpr;
  internal::Opaque policy;  // which results the backward pass keeps; empty: none
  JAXPP_PARAMS(RematParams, jaxpr, policy)
};
struct ScanParams {  // operands and body: consts, carry, xs -> carry, ys
  JaxprPtr jaxpr;
  std::int64_t length = 0, num_carry = 0, num_consts = 0;
  bool reverse = false;
  std::int64_t unroll = 1;
  JAXPP_PARAMS(ScanParams, jaxpr, length, num_carry, num_consts, reverse, unroll)
};
struct WhileParams {  // operands: cond consts, body consts, carry
  JaxprPtr body_jaxpr;
  std::int64_t body_nconsts = 0;
  JaxprPtr cond_jaxpr;
  std::int64_t cond_nconsts = 0;
  JAXPP_PARAMS(WhileParams, body_jaxpr, body_nconsts, cond_jaxpr, cond_nconsts)
};
struct CondParams {  // operands: int32 index (clamped), operands of every branch
  std::vector<JaxprPtr> branches;
  JAXPP_PARAMS(CondParams, branches)
};
struct CustomParams {  // custom_jvp_call, custom_vjp_call
  JaxprPtr call_jaxpr;
  std::int64_t num_consts = 0;
  CustomPtr rule;
  JAXPP_PARAMS(CustomParams, call_jaxpr, num_consts, rule)
};
struct CustomLinParams {
  std::int64_t num_res = 0;
  std::vector<internal::Type> out_types;
  CustomPtr rule;
  JAXPP_PARAMS(CustomLinParams, num_res, out_types, rule)
};
struct LinearSolveParams {  // custom_linear_solve; operands: what each function closed over, then b
  Dims const_lengths;       // of matvec, vecmat, solve, transpose_solve
  std::vector<JaxprPtr>
      jaxprs;  // matvec and solve; or all four, in that order, where reverse mode works
  JAXPP_PARAMS(LinearSolveParams, const_lengths, jaxprs)
};
struct RandomGammaParams {  // random_gamma: the sample, or its logarithm
  bool log_space = false;
  JAXPP_PARAMS(RandomGammaParams, log_space)
};
struct NameParams {  // name (checkpoint_name)
  std::string name;
  JAXPP_PARAMS(NameParams, name)
};
struct ArityParams {  // optimization_barrier, device_put: the number of operands, and of results
  std::int64_t n = 1;
  JAXPP_PARAMS(ArityParams, n)
};
struct CallbackParams {  // debug_callback, pure_callback
  internal::Opaque callback;
  std::vector<internal::Type> out_types;
  JAXPP_PARAMS(CallbackParams, callback, out_types)
};

// ---- Collectives over a named axis
struct CollectiveParams {  // psum, pmax, pmin: axes are names
  std::vector<std::string> axes;
  JAXPP_PARAMS(CollectiveParams, axes)
};
struct AxisNameParams {  // axis_index
  std::string axis_name;
  JAXPP_PARAMS(AxisNameParams, axis_name)
};
struct AllGatherParams {
  std::int64_t all_gather_dimension = 0;
  std::string axis_name;
  std::int64_t axis_size = 0;
  bool tiled = false;
  JAXPP_PARAMS(AllGatherParams, all_gather_dimension, axis_name, axis_size, tiled)
};
struct PermuteParams {
  std::string axis_name;
  std::vector<Dims> perm;  // [source, destination]
  JAXPP_PARAMS(PermuteParams, axis_name, perm)
};
struct
    AllToAllParams {  // the size of split_axis is divided by axis_size, that of concat_axis multiplied
  std::string axis_name;
  std::int64_t axis_size = 0, concat_axis = 0, split_axis = 0;
  bool tiled = false;
  JAXPP_PARAMS(AllToAllParams, axis_name, axis_size, concat_axis, split_axis, tiled)
};
struct ReduceScatterParams {
  std::string axis_name;
  std::int64_t axis_size = 0, scatter_dimension = 0;
  bool tiled = false;
  JAXPP_PARAMS(ReduceScatterParams, axis_name, axis_size, scatter_dimension, tiled)
};

}  // namespace jaxpp
