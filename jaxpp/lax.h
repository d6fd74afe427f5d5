// lax.h -- jaxpp::lax: one function per primitive.  Strict: operand types must agree (no promotion), shapes are equal, or
// rank 0, or of equal rank with sizes 1.  The friendly surface is math.h.
#pragma once
#include "jaxpp/core/primitive.h"
#include "jaxpp/ops/params.h"

namespace jaxpp::lax {

#define UNARY(name, ...) Array name(const Array& x, Loc = Loc::current());
#define BINARY(name, ...) Array name(const Array& x, const Array& y, Loc = Loc::current());
#define COMPARE(name, ...) Array name(const Array& x, const Array& y, Loc = Loc::current());
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE

// ---- Elementwise
Array select_n(const Array& which, std::span<const Array> cases, Loc = Loc::current());
Array select(const Array& pred, const Array& on_true, const Array& on_false, Loc = Loc::current());
Array clamp(const Array& low, const Array& x, const Array& high, Loc = Loc::current());
/// The regularized incomplete beta function I_x(a, b); operands of one type.
/// A sample of the gamma distribution of shape a for each key (the words k0, k1: u32), or its logarithm; all of one shape.
Array random_gamma(const Array& k0, const Array& k1, const Array& a, bool log_space = false,
                   Loc = Loc::current());
Array regularized_incomplete_beta(const Array& a, const Array& b, const Array& x,
                                  Loc = Loc::current());
Array convert_element_type(const Array& x, DType,
                           Loc = Loc::current());  // x itself if it has that type
Array integer_pow(const Array& x, std::int64_t y, Loc = Loc::current());
Array round(const Array& x, RoundingMethod = RoundingMethod::AWAY_FROM_ZERO, Loc = Loc::current());
Array reduce_precision(const Array& x, int exponent_bits, int mantissa_bits, Loc = Loc::current());
Array bitcast_convert_type(const Array& x, DType, Loc = Loc::current());
Array stop_gradient(const Array& x, Loc = Loc::current());
Array complex(const Array& re, const Array& im, Loc = Loc::current());
Array real(const Array& x, Loc = Loc::current());
Array imag(const Array& x, Loc = Loc::current());
Array conj(const Array& x, Loc = Loc::current());

// ---- Shape
Array broadcast_in_dim(const Array& x, const Shape& shape, const Dims& broadcast_dimensions,
                       Loc = Loc::current());
Array reshape(const Array& x, const Shape& new_sizes,
              Loc = Loc::current());  // x itself if it has that shape
Array transpose(const Array& x, const Dims& permutation,
                Loc = Loc::current());  // x itself for the identity
Array squeeze(const Array& x, const Dims& dimensions, Loc = Loc::current());
Array expand_dims(const Array& x, const Dims& dimensions, Loc = Loc::current());
Array concatenate(internal::Args x, std::int64_t dimension, Loc = Loc::current());
Array stack(internal::Args x, std::int64_t axis, Loc = Loc::current());
std::vector<Array> unstack(const Array& x, std::int64_t axis, Loc = Loc::current());
std::vector<Array> split(const Array& x, const Dims& sizes, std::int64_t axis,
                         Loc = Loc::current());
Array tile(const Array& x, const Dims& reps, Loc = Loc::current());
Array slice(const Array& x, const Dims& start, const Dims& limit, const Dims& strides = {},
            Loc = Loc::current());
Array slice_in_dim(const Array& x, std::int64_t start, std::int64_t limit, std::int64_t axis,
                   Loc = Loc::current());
/// x + update placed at a slice: what cotangents of slices accumulate into.  In place where possible.
Array add_slice(const Array& x, const Array& update, const Dims& start, const Dims& limit,
                const Dims& strides = {}, Loc = Loc::current());
Array pad(const Array& x, const Array& value, const std::vector<Dims>& low_high_interior,
          Loc = Loc::current());
Array rev(const Array& x, const Dims& dimensions, Loc = Loc::current());
Array iota(DType, const Shape& shape, std::int64_t dimension, Loc = Loc::current());
std::vector<Array> iota_2x32_shape(const Shape& shape, Loc = Loc::current());  // high, low words
/// An array of one value: a rank-0 constant, broadcast.
Array full(internal::Type, double value, Loc = Loc::current());
Array full_like(const Array& x, double value, Loc = Loc::current());
Array zeros_like(const Array& x, Loc = Loc::current());

// ---- Reductions, scans, sorting
Array reduce_sum(const Array& x, const Dims& axes, Loc = Loc::current());
Array reduce_max(const Array& x, const Dims& axes, Loc = Loc::current());
Array reduce_min(const Array& x, const Dims& axes, Loc = Loc::current());
Array reduce_prod(const Array& x, const Dims& axes, Loc = Loc::current());
Array reduce_and(const Array& x, const Dims& axes, Loc = Loc::current());
Array reduce_or(const Array& x, const Dims& axes, Loc = Loc::current());
Array reduce_xor(const Array& x, const Dims& axes, Loc = Loc::current());
Array argmax(const Array& x, std::int64_t axis, DType index_dtype = DType::i32,
             Loc = Loc::current());
Array argmin(const Array& x, std::int64_t axis, DType index_dtype = DType::i32,
             Loc = Loc::current());
Array cumsum(const Array& x, std::int64_t axis, bool reverse = false, Loc = Loc::current());
Array cumprod(const Array& x, std::int64_t axis, bool reverse = false, Loc = Loc::current());
Array cummax(const Array& x, std::int64_t axis, bool reverse = false, Loc = Loc::current());
Array cummin(const Array& x, std::int64_t axis, bool reverse = false, Loc = Loc::current());
Array cumlogsumexp(const Array& x, std::int64_t axis, bool reverse = false, Loc = Loc::current());
std::vector<Array> sort(internal::Args x, std::int64_t dimension, std::int64_t num_keys = 1,
                        bool is_stable = true, Loc = Loc::current());
std::pair<Array, Array> top_k(const Array& x, std::int64_t k, std::int64_t axis = -1,
                              Loc = Loc::current());
/// The k greatest (least) elements along reduction_dimension, and where they are (int32), best first.  Other devices than
/// TPUs have no use for a recall below 1, so these are exact; with aggregate_to_topk = false, more candidates than k.
std::pair<Array, Array> approx_top_k(const Array& x, const ApproxTopKParams&, Loc = Loc::current());
std::vector<Array> reduce(internal::Args x, internal::Args init, const JaxprPtr& jaxpr,
                          const Dims& dimensions, Loc = Loc::current());

// ---- Windows
/// Sum (greatest, least element) of every window.  Empty strides and dilations are 1, empty padding is none.
Array reduce_window_sum(const Array& x, const WindowParams&, Loc = Loc::current());
Array reduce_window_max(const Array& x, const WindowParams&, Loc = Loc::current());
Array reduce_window_min(const Array& x, const WindowParams&, Loc = Loc::current());
/// Any associative operation with its neutral element: jaxpr takes (acc..., x...).
std::vector<Array> reduce_window(internal::Args x, internal::Args init, const ReduceWindowParams&,
                                 Loc = Loc::current());
/// Adds each element of source to the element of x's window that select_prim picks (the first one on ties).
Array select_and_scatter_add(const Array& source, const Array& x, const SelectAndScatterParams&,
                             Loc = Loc::current());
/// The element of tangents at the place that select_prim picks in x's window.
Array select_and_gather_add(const Array& tangents, const Array& x, const SelectAndGatherParams&,
                            Loc = Loc::current());

// ---- Contraction, indexing
Array dot_general(const Array& x, const Array& y, const DotDims&,
                  std::optional<DType> preferred_element_type = {}, Loc = Loc::current());
/// Dimension numbers from letters: N batch, C feature of lhs and result; O, I output and input feature of rhs; every
/// other letter a spatial dimension, in rhs's order.  conv_dimension_numbers("NHWC", "HWIO", "NHWC")
ConvDims conv_dimension_numbers(std::string_view lhs, std::string_view rhs, std::string_view out,
                                Loc = Loc::current());
/// The cross-correlation of lhs with rhs: result[n, o, p] = sum over i, k of lhs[n, i, p stride + k dilation - low] rhs[o, i, k].
/// Empty parameters mean their usual values: strides and dilations 1, no padding, dimensions (batch, feature, spatial...)
/// and (output feature, input feature, spatial...).  lhs_dilation puts zeros between lhs's elements; with groups, features
/// (or batches) of lhs only meet the output features of their own group.
Array conv_general_dilated(const Array& lhs, const Array& rhs, const ConvParams& = {},
                           Loc = Loc::current());
/// [low, high] per spatial dimension for "VALID" (none) or "SAME" (as many results as inputs / strides).
std::vector<Dims> conv_padding(std::string_view mode, const Dims& lhs_sizes,
                               const Dims& window_sizes, const Dims& window_strides,
                               Loc = Loc::current());
/// lhs [n, i, spatial...], rhs [o, i, spatial...]; padding "SAME" or "VALID".
Array conv(const Array& lhs, const Array& rhs, const Dims& window_strides, std::string_view padding,
           std::optional<DType> preferred_element_type = {}, Loc = Loc::current());
Array conv_with_general_padding(const Array& lhs, const Array& rhs, const Dims& window_strides,
                                const std::vector<Dims>& padding, const Dims& lhs_dilation = {},
                                const Dims& rhs_dilation = {}, Loc = Loc::current());
/// The "transposed" (fractionally strided) convolution: what the gradient of a convolution with these strides computes.
/// Empty dimension numbers: lhs [n, spatial..., i], rhs [spatial..., i, o].  transpose_kernel flips rhs and swaps its features.
Array conv_transpose(const Array& lhs, const Array& rhs, const Dims& strides,
                     std::string_view padding, const Dims& rhs_dilation = {},
                     const ConvDims& dimension_numbers = {}, bool transpose_kernel = false,
                     Loc = Loc::current());
Array fft(const Array& x, FftType, const Dims& fft_lengths, Loc = Loc::current());
Array gather(const Array& x, const Array& indices, const GatherParams&, Loc = Loc::current());
Array scatter(const Array& x, const Array& indices, const Array& updates, const ScatterParams&,
              Loc = Loc::current());
Array scatter_add(const Array& x, const Array& indices, const Array& updates, const ScatterParams&,
                  Loc = Loc::current());
Array scatter_sub(const Array& x, const Array& indices, const Array& updates, const ScatterParams&,
                  Loc = Loc::current());
Array scatter_mul(const Array& x, const Array& indices, const Array& updates, const ScatterParams&,
                  Loc = Loc::current());
Array scatter_min(const Array& x, const Array& indices, const Array& updates, const ScatterParams&,
                  Loc = Loc::current());
Array scatter_max(const Array& x, const Array& indices, const Array& updates, const ScatterParams&,
                  Loc = Loc::current());
Array dynamic_slice(const Array& x, internal::Args starts, const Dims& slice_sizes,
                    Loc = Loc::current());
Array dynamic_update_slice(const Array& x, const Array& update, internal::Args starts,
                           Loc = Loc::current());

// ---- Linear algebra, random bits
Array cholesky(const Array& x,
               Loc = Loc::current());  // lower factor of the lower triangle; [..., n, n]
Array triangular_solve(const Array& a, const Array& b, const TriangularSolveParams&,
                       Loc = Loc::current());
std::vector<Array> lu(const Array& x, Loc = Loc::current());  // lu, pivots, permutation
Array lu_pivots_to_permutation(const Array& pivots, std::int64_t permutation_size,
                               Loc = Loc::current());
/// q, r; with pivoting also the permutation of columns, i32.
std::vector<Array> qr(const Array& x, const QrParams& = {}, Loc = Loc::current());
/// The product of the reflectors I - tau v v^H, first columns of it as many as x has.
Array householder_product(const Array& x, const Array& taus, Loc = Loc::current());
/// v, w: eigenvectors (columns) and ascending eigenvalues of a symmetric (Hermitian) matrix, read from one triangle.
std::pair<Array, Array> eigh(const Array& x, const EighParams& = {}, Loc = Loc::current());
/// s, or s, u, vt.
std::vector<Array> svd(const Array& x, const SvdParams& = {}, Loc = Loc::current());
/// w, then left and right eigenvectors as asked for; complex.
std::vector<Array> eig(const Array& x, const EigParams& = {}, Loc = Loc::current());
/// x with the tridiagonal T x = b.   dl, d, du: [..., n], dl[0] and du[n - 1] unused; b: [..., n, m]
Array tridiagonal_solve(const Array& dl, const Array& d, const Array& du, const Array& b,
                        Loc = Loc::current());
std::pair<Array, Array> threefry2x32(const Array& k0, const Array& k1, const Array& x0,
                                     const Array& x1, Loc = Loc::current());
/// The state behind them, and random bits of an unsigned type.   key: uint32[4] or uint64[2], the key and a counter.
/// RNG_THREE_FRY is threefry2x32, RNG_PHILOX (and RNG_DEFAULT) philox4x32: Salmon et al., Parallel random numbers: as easy as
/// 1, 2, 3 (2011).  The bits are XLA's.
std::pair<Array, Array> rng_bit_generator(const Array& key, const Shape& shape,
                                          DType dtype = DType::u32,
                                          RandomAlgorithm algorithm = RandomAlgorithm::RNG_DEFAULT,
                                          Loc = Loc::current());

// ---- Markers
Array optimization_barrier(const Array& x, Loc = Loc::current());

// ---- What rules share
Array move_axis(const Array& x, std::int64_t from, std::int64_t to);
/// The batch on axis 0; an unmapped value (axis -1) is broadcast along it.
Array batch_to_front(const Array& x, int axis, std::int64_t size);

}  // namespace jaxpp::lax
