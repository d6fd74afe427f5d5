// nn_layers.h -- layers: functions with parameters, and plain structs that hold those parameters.
//
//   struct Net { nn::Conv conv; nn::BatchNorm norm; nn::Dense out; };      // a tree: grad, jit, optim take it as it is
//   auto [k1, k2] = random::split(random::key(0));
//   Net net{nn::conv(k1, 1, 8, {3, 3}), nn::batch_norm(8), nn::dense(k2, 8, 10)};
//   auto [h, next] = net.norm(net.conv(x), state, true);                   // running statistics are a state of their own
//
// Features are the last axis.  A layer is an aggregate: its Arrays are traced, its numbers are static; a null bias is no
// bias.  Factories take the key first and the sizes next; kernels are lecun_normal, biases 0, scales 1.
#pragma once
#include "jaxpp/nn.h"

namespace jaxpp::nn {

// ---- Dense and embedding

/// x kernel + bias.   x: [..., in], kernel: [in, out], bias: [out] or null
struct Dense {
  Array kernel, bias;
  Array operator()(const Array& x, Loc = Loc::current()) const;
};
struct DenseOptions {
  bool bias = true;
  DType dtype = default_dtype();
};
Dense dense(const random::Key&, std::int64_t in, std::int64_t out, const DenseOptions& = {},
            Loc = Loc::current());

/// Rows of a table.   table: [n, features], ids: integers of any shape;  result: [ids..., features].
/// Out of range: NaN.
struct Embedding {
  Array table;
  Array operator()(const Array& ids, Loc = Loc::current()) const;
  /// The products of x with all rows: logits from tied weights.   x: [..., features];  result: [..., n]
  Array attend(const Array& x, Loc = Loc::current()) const;
};
Embedding embedding(const random::Key&, std::int64_t n, std::int64_t features,
                    DType = default_dtype(), Loc = Loc::current());

// ---- Convolutions, of any number of dimensions

/// The cross-correlation with a kernel.   x: [batch..., spatial..., in], kernel: [spatial..., in / groups, out]
/// padding: "SAME" (as many results as inputs / strides), "VALID" (windows that fit) or "CAUSAL" (one dimension: what
/// comes later is not seen).
struct Conv {
  Array kernel, bias;
  Dims strides{}, dilation{};
  std::int64_t groups = 1;
  std::string padding = "SAME";
  Array operator()(const Array& x, Loc = Loc::current()) const;
};
struct ConvOptions {
  Dims strides{}, dilation{};  ///< empty: all 1; dilation is the kernel's
  std::int64_t groups = 1;     ///< features meet only those of their group
  std::string padding = "SAME";
  bool bias = true;
  DType dtype = default_dtype();
};
/// window: the sizes of the kernel's spatial dimensions.   conv(key, 3, 16, {3, 3}, {.strides = {2, 2}})
Conv conv(const random::Key&, std::int64_t in, std::int64_t out, const Shape& window,
          const ConvOptions& = {}, Loc = Loc::current());
/// Every feature is convolved by itself, with `multiplier` kernels.   kernel: [spatial..., 1, in * multiplier]
Conv depthwise_conv(const random::Key&, std::int64_t in, const Shape& window,
                    std::int64_t multiplier = 1, ConvOptions = {}, Loc = Loc::current());

/// The transpose of a convolution: strides spread the input apart.   kernel: [spatial..., in, out]
struct ConvTranspose {
  Array kernel, bias;
  Dims strides{}, dilation{};
  std::string padding = "SAME";
  Array operator()(const Array& x, Loc = Loc::current()) const;
};
ConvTranspose conv_transpose(const random::Key&, std::int64_t in, std::int64_t out,
                             const Shape& window, const ConvOptions& = {}, Loc = Loc::current());

// ---- Pooling

/// The greatest element (mean) of windows.   x: [batch..., spatial..., features], window: sizes, strides: the window's by
/// default, padding: "VALID" or "SAME".
Array max_pool(const Array& x, const Shape& window, const Dims& strides = {},
               std::string_view padding = "VALID", Loc = Loc::current());
Array min_pool(const Array& x, const Shape& window, const Dims& strides = {},
               std::string_view padding = "VALID", Loc = Loc::current());
/// count_padding: whether what is padded counts, as zeros, in the mean.
Array avg_pool(const Array& x, const Shape& window, const Dims& strides = {},
               std::string_view padding = "VALID", bool count_padding = true, Loc = Loc::current());

// ---- Normalization.  scale and bias are broadcast against the last axes, and may be null.  Means of halves are computed in f32.

/// (x - mean) / sqrt(variance + epsilon) over axes, times scale, plus bias (Ba et al., 2016).
Array layer_norm(const Array& x, const Array& scale = {}, const Array& bias = {},
                 const Axes& axes = -1, double epsilon = 1e-5, Loc = Loc::current());
/// x / sqrt(mean of squares + epsilon) over axes, times scale (Zhang and Sennrich, 2019).
Array rms_norm(const Array& x, const Array& scale = {}, const Axes& axes = -1,
               double epsilon = 1e-6, Loc = Loc::current());
/// Each of `groups` groups of features is normalized over itself and all positions (Wu and He, 2018).
///   x: [batch, spatial..., features]
Array group_norm(const Array& x, std::int64_t groups, const Array& scale = {},
                 const Array& bias = {}, double epsilon = 1e-5, Loc = Loc::current());
/// Each feature is normalized over all positions (Ulyanov et al., 2016).   x: [batch, spatial..., features]
Array instance_norm(const Array& x, const Array& scale = {}, const Array& bias = {},
                    double epsilon = 1e-5, Loc = Loc::current());

struct LayerNorm {
  Array scale, bias;
  double epsilon = 1e-5;
  Array operator()(const Array& x, Loc = Loc::current()) const;
};
struct RmsNorm {
  Array scale;
  double epsilon = 1e-6;
  Array operator()(const Array& x, Loc = Loc::current()) const;
};
struct GroupNorm {
  Array scale, bias;
  std::int64_t groups = 1;
  double epsilon = 1e-5;
  Array operator()(const Array& x, Loc = Loc::current()) const;
};
LayerNorm layer_norm(std::int64_t features, DType = default_dtype());
RmsNorm rms_norm(std::int64_t features, DType = default_dtype());
GroupNorm group_norm(std::int64_t features, std::int64_t groups, DType = default_dtype());

/// What BatchNorm remembers of the batches it has seen.
struct BatchNormState {
  Array mean, var;
};
/// Each feature is normalized over the batch and all positions (Ioffe and Szegedy, 2015): in training by the batch's own
/// mean and variance, which also move the running ones; otherwise by the running ones.   x: [batch, spatial..., features]
struct BatchNorm {
  Array scale, bias;
  double momentum = 0.9, epsilon = 1e-5;
  /// axis_name: an axis of vmap over which the batch is continued.
  std::pair<Array, BatchNormState> operator()(const Array& x, const BatchNormState&, bool training,
                                              const std::string& axis_name = "",
                                              Loc = Loc::current()) const;
  BatchNormState init_state() const;
};
BatchNorm batch_norm(std::int64_t features, DType = default_dtype());

// ---- Dropout

/// x with elements set to 0 with probability `rate`, and the others divided by 1 - rate; x itself if not training.
/// shape: of the mask, which broadcasts to x (empty: x's).
Array dropout(const random::Key&, const Array& x, double rate, bool training = true,
              const Shape& shape = {}, Loc = Loc::current());

}  // namespace jaxpp::nn
