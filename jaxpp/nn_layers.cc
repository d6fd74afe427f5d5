// nn_layers.cc -- layers as compositions of the numpy surface, convolutions and windows.
//
// Layers see x as [batch, spatial..., features]: leading axes are gathered into one batch first, and given back at the end.
#include "jaxpp/nn_layers.h"
#include <algorithm>
#include "jaxpp/collectives.h"
#include "jaxpp/math_internal.h"

namespace jaxpp::nn {

using internal::inexact;
using internal::UserLine;

namespace {
[[noreturn]] void bad_layer(const std::string& what, Loc loc) {
  internal::fail(what, internal::user_loc(loc), "E122");
}
void need_features(const Array& x, std::int64_t features, const char* op, Loc loc) {
  internal::need_array(x, op, loc);
  if (x.ndim() == 0 || x.shape().back() != features)
    bad_layer(std::string(op) + ": x is " + x.type()->str() + "; its last axis should have " +
                  std::to_string(features) + " features.",
              loc);
}
Array plus(const Array& x, const Array& bias) { return bias.defined() ? x + bias : x; }
Array times(const Array& x, const Array& scale) { return scale.defined() ? x * scale : x; }

// x as [batch, spatial..., features], and the axes that `batch` stands for.
struct Flat {
  Array x;
  Shape batch;
};
Flat flatten(const Array& x, std::size_t spatial, const char* op, Loc loc) {
  internal::need_array(x, op, loc);
  const Shape& s = x.shape();
  if (s.size() < spatial + 1)
    bad_layer(std::string(op) + ": x is " + x.type()->str() + "; it needs " +
                  std::to_string(spatial) + " spatial axes and one of features.",
              loc);
  Flat f{x, Shape(s.begin(), s.end() - std::ptrdiff_t(spatial + 1))};
  if (f.batch.size() == 1) return f;
  Shape flat{1};
  for (auto n : f.batch) flat[0] *= n;
  flat.append(s.end() - std::ptrdiff_t(spatial + 1), s.end());
  f.x = reshape(x, flat);
  return f;
}
Array unflatten(const Array& y, const Shape& batch) {
  if (batch.size() == 1) return y;
  Shape s = batch;
  s.append(y.shape().begin() + 1, y.shape().end());
  return reshape(y, s);
}
Dims ones_unless(const Dims& v, std::size_t n, const char* op, const char* what, Loc loc) {
  if (v.empty()) return Dims(n, 1);
  if (v.size() != n)
    bad_layer(std::string(op) + ": " + std::to_string(v.size()) + " " + what + " for " +
                  std::to_string(n) + " spatial axes.",
              loc);
  return v;
}
Shape spatial_of(const Array& x) { return Shape(x.shape().begin() + 1, x.shape().end() - 1); }
std::vector<Dims> padding_of(std::string_view mode, const Shape& sizes, const Dims& window,
                             const Dims& strides, const char* op, Loc loc) {
  if (mode != "CAUSAL") return lax::conv_padding(mode, sizes, window, strides, loc);
  if (sizes.size() != 1)
    bad_layer(std::string(op) + ": CAUSAL padding is for one spatial axis, there are " +
                  std::to_string(sizes.size()) + ".",
              loc);
  return {{window[0] - 1, 0}};
}
// (batch, spatial..., feature) and (spatial..., in, out)
ConvDims features_last(std::size_t spatial) {
  const auto n = std::int64_t(spatial);
  ConvDims d;
  d.lhs_spec = {0, n + 1};
  d.rhs_spec = {n + 1, n};
  for (std::int64_t i = 0; i < n; ++i) {
    d.lhs_spec.push_back(i + 1);
    d.rhs_spec.push_back(i);
  }
  d.out_spec = d.lhs_spec;
  return d;
}
Shape kernel_shape(const Shape& window, std::int64_t in, std::int64_t out) {
  Shape s = window;
  s.push_back(in);
  s.push_back(out);
  return s;
}
Array zero_bias(bool wanted, std::int64_t n, DType d) { return wanted ? zeros({n}, d) : Array(); }
}  // namespace

// ---- Dense and embedding
Array Dense::operator()(const Array& x, Loc loc) const {
  need_features(x, kernel.shape()[0], "dense", loc);
  UserLine line(loc);
  return plus(matmul(x, kernel), bias);
}
Dense dense(const random::Key& key, std::int64_t in, std::int64_t out, const DenseOptions& o,
            Loc loc) {
  UserLine line(loc);
  return {initializers::lecun_normal(key, {in, out}, o.dtype), zero_bias(o.bias, out, o.dtype)};
}
Array Embedding::operator()(const Array& ids, Loc loc) const {
  return take(table, ids, 0, "fill", loc);
}
Array Embedding::attend(const Array& x, Loc loc) const {
  need_features(x, table.shape()[1], "embedding", loc);
  UserLine line(loc);
  return matmul(x, transpose(table));
}
Embedding embedding(const random::Key& key, std::int64_t n, std::int64_t features, DType d,
                    Loc loc) {
  UserLine line(loc);
  return {initializers::variance_scaling(key, {n, features}, 1, initializers::Fan::out,
                                         initializers::Distribution::normal, d)};
}

// ---- Convolutions
Array Conv::operator()(const Array& x, Loc loc) const {
  const std::size_t n = kernel.shape().size() - 2;
  need_features(x, kernel.shape()[n] * groups, "conv", loc);
  UserLine line(loc);
  const Flat f = flatten(x, n, "conv", loc);
  ConvParams p;
  p.window_strides = ones_unless(strides, n, "conv", "strides", loc);
  p.rhs_dilation = ones_unless(dilation, n, "conv", "dilations", loc);
  Dims window;  // with the gaps that dilation makes
  for (std::size_t i = 0; i < n; ++i)
    window.push_back((kernel.shape()[i] - 1) * p.rhs_dilation[i] + 1);
  p.padding = padding_of(padding, spatial_of(f.x), window, p.window_strides, "conv", loc);
  p.feature_group_count = groups;
  p.dimension_numbers = features_last(n);
  return unflatten(plus(lax::conv_general_dilated(f.x, kernel, p), bias), f.batch);
}
Conv conv(const random::Key& key, std::int64_t in, std::int64_t out, const Shape& window,
          const ConvOptions& o, Loc loc) {
  if (o.groups < 1 || in % o.groups || out % o.groups)
    bad_layer("conv: " + std::to_string(o.groups) + " groups do not divide " + std::to_string(in) +
                  " and " + std::to_string(out) + " features.",
              loc);
  UserLine line(loc);
  const Shape s = kernel_shape(window, in / o.groups, out);
  return {initializers::lecun_normal(key, s, o.dtype),
          zero_bias(o.bias, out, o.dtype),
          o.strides,
          o.dilation,
          o.groups,
          o.padding};
}
Conv depthwise_conv(const random::Key& key, std::int64_t in, const Shape& window,
                    std::int64_t multiplier, ConvOptions o, Loc loc) {
  o.groups = in;
  return conv(key, in, in * multiplier, window, o, loc);
}
Array ConvTranspose::operator()(const Array& x, Loc loc) const {
  const std::size_t n = kernel.shape().size() - 2;
  need_features(x, kernel.shape()[n], "conv_transpose", loc);
  UserLine line(loc);
  const Flat f = flatten(x, n, "conv_transpose", loc);
  const Array y =
      lax::conv_transpose(f.x, kernel, ones_unless(strides, n, "conv_transpose", "strides", loc),
                          padding, ones_unless(dilation, n, "conv_transpose", "dilations", loc));
  return unflatten(plus(y, bias), f.batch);
}
ConvTranspose conv_transpose(const random::Key& key, std::int64_t in, std::int64_t out,
                             const Shape& window, const ConvOptions& o, Loc loc) {
  if (o.groups != 1) bad_layer("conv_transpose: groups are not supported.", loc);
  UserLine line(loc);
  return {initializers::lecun_normal(key, kernel_shape(window, in, out), o.dtype),
          zero_bias(o.bias, out, o.dtype), o.strides, o.dilation, o.padding};
}

// ---- Pooling
namespace {
using Window = Array (*)(const Array&, const WindowParams&, Loc);
Array pool(const char* op, Window reduce, const Array& x, const Shape& window, const Dims& strides,
           std::string_view padding, Loc loc) {
  const Flat f = flatten(x, window.size(), op, loc);
  const Dims steps =
      strides.empty() ? Dims(window) : ones_unless(strides, window.size(), op, "strides", loc);
  const auto around = padding_of(padding, spatial_of(f.x), window, steps, op, loc);
  WindowParams p;
  const auto at_both_ends = [](const Dims& v) {
    Dims d{1};
    d.append(v.begin(), v.end());
    d.push_back(1);
    return d;
  };
  p.window_dimensions = at_both_ends(window);
  p.window_strides = at_both_ends(steps);
  p.padding.push_back({0, 0});
  p.padding.insert(p.padding.end(), around.begin(), around.end());
  p.padding.push_back({0, 0});
  return unflatten(reduce(f.x, p, loc), f.batch);
}
}  // namespace
Array max_pool(const Array& x, const Shape& window, const Dims& strides, std::string_view padding,
               Loc loc) {
  UserLine line(loc);
  return pool("max_pool", lax::reduce_window_max, x, window, strides, padding, loc);
}
Array min_pool(const Array& x, const Shape& window, const Dims& strides, std::string_view padding,
               Loc loc) {
  UserLine line(loc);
  return pool("min_pool", lax::reduce_window_min, x, window, strides, padding, loc);
}
Array avg_pool(const Array& x0, const Shape& window, const Dims& strides, std::string_view padding,
               bool count_padding, Loc loc) {
  const Array x = inexact(x0, "avg_pool", loc);
  UserLine line(loc);
  const Array total = pool("avg_pool", lax::reduce_window_sum, x, window, strides, padding, loc);
  if (!count_padding && padding != "VALID") {
    const Array one = ones(
        Shape(x.shape().end() - std::ptrdiff_t(window.size() + 1), x.shape().end()), x.dtype());
    return total / pool("avg_pool", lax::reduce_window_sum, one, window, strides, padding, loc);
  }
  double n = 1;
  for (auto k : window) n *= double(k);
  return total / n;
}

// ---- Normalization
namespace {
// Halves are too short for sums of squares: statistics are f32's.
Array wide(const Array& x) {
  return internal::inexact(x, "norm", Loc::current()).dtype() == x.dtype() && width(x.dtype()) == 2
             ? x.astype(f32)
             : x;
}
Array mean_of_squares(const Array& x, const Axes& axes) {
  return mean(is_complex(x.dtype()) ? square(abs(x)) : square(x), axes, true);
}
Array normalized(const Array& x, const Axes& axes, double epsilon) {
  const Array w = wide(x), centered = w - mean(w, axes, true);
  return (centered * rsqrt(mean_of_squares(centered, axes) + epsilon)).astype(x.dtype());
}
Axes all_but_last(const Array& x) {
  Dims d;
  for (std::int64_t i = 0; i + 1 < x.ndim(); ++i) d.push_back(i);
  return d;
}
}  // namespace
Array layer_norm(const Array& x0, const Array& scale, const Array& bias, const Axes& axes,
                 double epsilon, Loc loc) {
  const Array x = inexact(x0, "layer_norm", loc);
  UserLine line(loc);
  return plus(times(normalized(x, axes, epsilon), scale), bias);
}
Array rms_norm(const Array& x0, const Array& scale, const Axes& axes, double epsilon, Loc loc) {
  const Array x = inexact(x0, "rms_norm", loc);
  UserLine line(loc);
  const Array w = wide(x);
  return times((w * rsqrt(mean_of_squares(w, axes) + epsilon)).astype(x.dtype()), scale);
}
Array group_norm(const Array& x0, std::int64_t groups, const Array& scale, const Array& bias,
                 double epsilon, Loc loc) {
  const Array x = inexact(x0, "group_norm", loc);
  if (x.ndim() < 2 || groups < 1 || x.shape().back() % groups)
    bad_layer("group_norm: the features of " + x.type()->str() + " do not divide into " +
                  std::to_string(groups) + " groups.",
              loc);
  UserLine line(loc);
  Shape grouped(x.shape().begin(),
                x.shape().end() - 1);  // [batch, spatial..., groups, features of one]
  grouped.push_back(groups);
  grouped.push_back(x.shape().back() / groups);
  Dims axes;
  for (std::size_t i = 1; i < grouped.size(); ++i)
    if (i + 2 != grouped.size()) axes.push_back(std::int64_t(i));
  const Array y = reshape(normalized(reshape(x, grouped), axes, epsilon), x.shape());
  return plus(times(y, scale), bias);
}
Array instance_norm(const Array& x, const Array& scale, const Array& bias, double epsilon,
                    Loc loc) {
  internal::need_array(x, "instance_norm", loc);
  return group_norm(x, x.ndim() ? x.shape().back() : 1, scale, bias, epsilon, loc);
}
Array LayerNorm::operator()(const Array& x, Loc loc) const {
  return layer_norm(x, scale, bias, -1, epsilon, loc);
}
Array RmsNorm::operator()(const Array& x, Loc loc) const {
  return rms_norm(x, scale, -1, epsilon, loc);
}
Array GroupNorm::operator()(const Array& x, Loc loc) const {
  return group_norm(x, groups, scale, bias, epsilon, loc);
}
LayerNorm layer_norm(std::int64_t n, DType d) { return {ones({n}, d), zeros({n}, d)}; }
RmsNorm rms_norm(std::int64_t n, DType d) { return {ones({n}, d)}; }
GroupNorm group_norm(std::int64_t n, std::int64_t groups, DType d) {
  return {ones({n}, d), zeros({n}, d), groups};
}

BatchNormState BatchNorm::init_state() const {
  const Array like = wide(scale);
  return {zeros_like(like), ones_like(like)};
}
BatchNorm batch_norm(std::int64_t n, DType d) { return {ones({n}, d), zeros({n}, d)}; }
std::pair<Array, BatchNormState> BatchNorm::operator()(const Array& x0, const BatchNormState& state,
                                                       bool training, const std::string& axis_name,
                                                       Loc loc) const {
  const Array x = inexact(x0, "batch_norm", loc);
  need_features(x, scale.shape()[0], "batch_norm", loc);
  UserLine line(loc);
  Array center = state.mean, spread = state.var;
  BatchNormState next = state;
  if (training) {
    const Array w = wide(x);
    const auto over_all = [&](const Array& v) {
      const Array m = mean(v, all_but_last(v));
      return axis_name.empty() ? m : pmean(m, axis_name);
    };
    center = over_all(w);
    spread = over_all(square(w - center));
    const auto moved = [&](const Array& old, const Array& now) {
      return momentum * old + (1 - momentum) * lax::stop_gradient(now).astype(old.dtype());
    };
    next = {moved(state.mean, center), moved(state.var, spread)};
  }
  const Array y = (wide(x) - center) * rsqrt(spread + epsilon);
  return {plus(times(y.astype(x.dtype()), scale), bias), next};
}

// ---- Dropout
Array dropout(const random::Key& key, const Array& x0, double rate, bool training,
              const Shape& shape, Loc loc) {
  if (!(rate >= 0 && rate <= 1))
    bad_layer("dropout: the rate " + std::to_string(rate) + " is no probability.", loc);
  const Array x = inexact(x0, "dropout", loc);
  if (!training || rate == 0) return x;
  UserLine line(loc);
  if (rate == 1) return zeros_like(x);
  const Array kept = random::bernoulli(key, 1 - rate, shape.empty() ? x.shape() : shape);
  return where(kept, x / (1 - rate), 0);
}

}  // namespace jaxpp::nn
