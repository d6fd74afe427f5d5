// nn.h -- jaxpp::nn: activation functions, softmax and its relatives, and initializers of weights,
// as in jax.nn.  Layers are in nn_layers.h, attention in nn_attention.h, losses in nn_losses.h.
//
// Activations are elementwise.  Integers become floats where the function is not closed over them.
#pragma once
#include "jaxpp/math.h"
#include "jaxpp/random.h"

namespace jaxpp::nn {

// ---- Activations

/// max(x, 0), with derivative 0 at 0.
Array relu(const Array& x, Loc = Loc::current());
/// x confined to [0, 6], with derivative 0 at both ends.
Array relu6(const Array& x, Loc = Loc::current());
/// x where x >= 0, negative_slope * x elsewhere.
Array leaky_relu(const Array& x, double negative_slope = 0.01, Loc = Loc::current());
/// x * P(N(0, 1) <= x): through tanh if approximate, through erfc otherwise.
Array gelu(const Array& x, bool approximate = true, Loc = Loc::current());
/// 1 / (1 + exp(-x)).
Array sigmoid(const Array& x, Loc = Loc::current());
/// log(sigmoid(x)), without underflow.
Array log_sigmoid(const Array& x, Loc = Loc::current());
/// x * sigmoid(x).
Array silu(const Array& x, Loc = Loc::current());
Array swish(const Array& x, Loc = Loc::current());
/// log(1 + exp(x)), without overflow.
Array softplus(const Array& x, Loc = Loc::current());
/// x * tanh(softplus(x)).
Array mish(const Array& x, Loc = Loc::current());
/// (x + sqrt(x^2 + b)) / 2.
Array squareplus(const Array& x, double b = 4, Loc = Loc::current());
/// x / (|x| + 1).
Array soft_sign(const Array& x, Loc = Loc::current());
/// x where x > 0, alpha * (exp(x) - 1) elsewhere.
Array elu(const Array& x, double alpha = 1, Loc = Loc::current());
/// max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0): continuously differentiable for every alpha.
Array celu(const Array& x, double alpha = 1, Loc = Loc::current());
/// elu, scaled to keep mean 0 and variance 1 through layers (Klambauer et al., 2017).
Array selu(const Array& x, Loc = Loc::current());
Array tanh(const Array& x, Loc = Loc::current());
/// x confined to [-1, 1].
Array hard_tanh(const Array& x, Loc = Loc::current());
/// relu6(x + 3) / 6.
Array hard_sigmoid(const Array& x, Loc = Loc::current());
/// x * hard_sigmoid(x).
Array hard_silu(const Array& x, Loc = Loc::current());
Array hard_swish(const Array& x, Loc = Loc::current());
/// 0 below -1, x above 1, (x + 1)^2 / 4 between: softplus with corners (Blondel et al., 2019).
Array sparse_plus(const Array& x, Loc = Loc::current());
/// Its derivative: (x + 1) / 2 confined to [0, 1].
Array sparse_sigmoid(const Array& x, Loc = Loc::current());
/// x
Array identity(const Array& x, Loc = Loc::current());
/// log(1 - exp(-x)) for x > 0, precise near 0 and far from it.
Array log1mexp(const Array& x, Loc = Loc::current());
/// The first half along an axis times the sigmoid of the second.
Array glu(const Array& x, int axis = -1, Loc = Loc::current());

// ---- Softmax and relatives: all subtract the maximum first, so nothing overflows

/// exp(x) / sum(exp(x)) along axes.
Array softmax(const Array& x, const Axes& axes = -1, Loc = Loc::current());
/// The same over the elements where `where` (bool, broadcasts) is true; 0 elsewhere, and everywhere
/// in a row that has none.
Array softmax(const Array& x, const Axes& axes, const Array& where, Loc = Loc::current());
/// log(softmax(x)), without underflow.
Array log_softmax(const Array& x, const Axes& axes = -1, Loc = Loc::current());
/// The same over the elements where `where` is true; -inf elsewhere.
Array log_softmax(const Array& x, const Axes& axes, const Array& where, Loc = Loc::current());
/// log(sum(exp(x))) over axes (all by default).   -inf for an array of -inf
Array logsumexp(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
                Loc = Loc::current());
/// The same over the elements where `where` is true; -inf if there are none.
Array logsumexp(const Array& x, const Axes& axes, bool keepdims, const Array& where,
                Loc = Loc::current());
/// log(mean(exp(x))) over axes.
Array logmeanexp(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
                 Loc = Loc::current());
/// (x - mean) / sqrt(variance + epsilon) along axes: layer normalization without the affine part.
Array standardize(const Array& x, const Axes& axes = -1, double epsilon = 1e-5,
                  Loc = Loc::current());
/// The same with the mean and the variance of the elements where `where` is true.
Array standardize(const Array& x, const Axes& axes, double epsilon, const Array& where,
                  Loc = Loc::current());
/// 1 where the new axis' index is x, 0 elsewhere; zeros for indices out of range.
///   one_hot({0, 2}, 3)  ==  {{1, 0, 0}, {0, 0, 1}}
Array one_hot(const Array& x, std::int64_t num_classes, DType = default_dtype(), int axis = -1,
              Loc = Loc::current());

// ---- Initializers: weights of a shape [..., fan-in, fan-out] (a receptive field may precede),
// from a key
namespace initializers {

Array zeros(const random::Key&, const Shape&, DType = default_dtype(), Loc = Loc::current());
Array ones(const random::Key&, const Shape&, DType = default_dtype(), Loc = Loc::current());
/// Normal with this standard deviation; uniform in [0, scale).
Array normal(const random::Key&, const Shape&, DType = default_dtype(), double stddev = 1e-2,
             Loc = Loc::current());
Array uniform(const random::Key&, const Shape&, DType = default_dtype(), double scale = 1e-2,
              Loc = Loc::current());
/// Normal, without the tails beyond 2 (before scaling).
Array truncated_normal(const random::Key&, const Shape&, DType = default_dtype(),
                       double stddev = 1e-2, Loc = Loc::current());
/// The value.
Array constant(const random::Key&, const Shape&, double value, DType = default_dtype(),
               Loc = Loc::current());
/// scale times a matrix with orthonormal columns (rows, if it has more columns), uniformly distributed;
/// the columns are along column_axis, all other axes are rows (Saxe et al., 2014).
Array orthogonal(const random::Key&, const Shape&, double scale = 1, DType = default_dtype(),
                 int column_axis = -1, Loc = Loc::current());
/// The kernel [spatial..., in, out], in <= out, of a convolution that keeps lengths: orthogonal at the
/// middle, 0 elsewhere (Xiao et al., 2018).
Array delta_orthogonal(const random::Key&, const Shape&, double scale = 1, DType = default_dtype(),
                       Loc = Loc::current());
/// Variance 2 / (fan-in + fan-out) (Glorot and Bengio, 2010): for tanh and the like.
Array glorot_normal(const random::Key&, const Shape&, DType = default_dtype(),
                    Loc = Loc::current());
Array glorot_uniform(const random::Key&, const Shape&, DType = default_dtype(),
                     Loc = Loc::current());
/// Variance 2 / fan-in (He et al., 2015): for relu.
Array he_normal(const random::Key&, const Shape&, DType = default_dtype(), Loc = Loc::current());
Array he_uniform(const random::Key&, const Shape&, DType = default_dtype(), Loc = Loc::current());
/// Variance 1 / fan-in (LeCun et al., 1998): for selu.
Array lecun_normal(const random::Key&, const Shape&, DType = default_dtype(), Loc = Loc::current());
Array lecun_uniform(const random::Key&, const Shape&, DType = default_dtype(),
                    Loc = Loc::current());

enum class Fan { in, out, average };
enum class Distribution { truncated_normal, normal, uniform };
/// Mean 0 and variance scale / fan: what the three families above are made of.
Array variance_scaling(const random::Key&, const Shape&, double scale, Fan, Distribution,
                       DType = default_dtype(), Loc = Loc::current());

}  // namespace initializers
}  // namespace jaxpp::nn
