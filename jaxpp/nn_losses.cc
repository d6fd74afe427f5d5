// nn_losses.cc -- losses: compositions that do not overflow.
//
// The connectionist temporal classification is a loop over time that carries log probabilities of having emitted the first
// k labels, ending in a blank (phi) or in the k-th label (emit).
#include "jaxpp/nn_losses.h"
#include "jaxpp/control.h"
#include "jaxpp/math_internal.h"

namespace jaxpp::nn {

using internal::inexact;
using internal::UserLine;

Array softmax_cross_entropy_with_integer_labels(const Array& logits0, const Array& labels, int axis,
                                                Loc loc) {
  const Array logits = inexact(logits0, "softmax_cross_entropy_with_integer_labels", loc);
  internal::need_array(labels, "softmax_cross_entropy_with_integer_labels", loc);
  if (!is_integer(labels.dtype()))
    internal::fail("softmax_cross_entropy_with_integer_labels: labels are " + labels.type()->str() +
                       ", not integers.",
                   internal::user_loc(loc), "E93", "For probabilities: softmax_cross_entropy.");
  UserLine line(loc);
  const Array at = expand_dims(labels, axis);
  const Array chosen = squeeze(take_along_axis(logits, at, axis), axis);
  return logsumexp(logits, axis) - chosen;
}
Array softmax_cross_entropy(const Array& logits, const Array& labels, int axis, Loc loc) {
  UserLine line(loc);
  return -sum(labels * log_softmax(logits, axis), axis);
}
Array sigmoid_binary_cross_entropy(const Array& logits, const Array& labels, Loc loc) {
  UserLine line(loc);
  return -labels * log_sigmoid(logits) - (1 - labels) * log_sigmoid(-logits);
}
Array squared_error(const Array& predictions, const Array& targets, Loc loc) {
  UserLine line(loc);
  return square(predictions - targets);
}
Array l2_loss(const Array& predictions, const Array& targets, Loc loc) {
  UserLine line(loc);
  return 0.5 * square(predictions - targets);
}
Array huber_loss(const Array& predictions, const Array& targets, double delta, Loc loc) {
  UserLine line(loc);
  const Array distance = abs(predictions - targets), near = minimum(distance, delta);
  return 0.5 * square(near) + delta * (distance - near);
}
Array log_cosh(const Array& predictions, const Array& targets, Loc loc) {
  UserLine line(loc);
  const Array d = predictions - targets;
  return logaddexp(d, -d) - std::log(2.);
}
Array hinge_loss(const Array& predictions, const Array& targets, Loc loc) {
  UserLine line(loc);
  return relu(1 - predictions * targets);
}
Array kl_divergence(const Array& log_predictions, const Array& targets, int axis, Loc loc) {
  UserLine line(loc);
  return sum(xlogy(targets, targets) - targets * log_predictions, axis);
}
Array smooth_labels(const Array& labels, double alpha, Loc loc) {
  const Array x = inexact(labels, "smooth_labels", loc);
  UserLine line(loc);
  if (x.ndim() == 0) return x;
  return (1 - alpha) * x + alpha / double(x.shape().back());
}
Array cosine_similarity(const Array& predictions, const Array& targets, double epsilon, int axis,
                        Loc loc) {
  UserLine line(loc);
  const auto unit = [&](const Array& v) {
    const Array squares = sum(square(v), axis, true);
    const Array positive = squares > epsilon * epsilon;
    const Array least = zeros_like(squares) + (epsilon > 0 ? epsilon * epsilon : 1.);
    return v / sqrt(where(positive, squares, least));  // no root of 0, whose slope is infinite
  };
  return sum(unit(predictions) * unit(targets), axis);
}

namespace {
struct Alignments {
  Array phi, emit;  // [batch, n + 1], [batch, n]
};
}  // namespace
Array ctc_loss(const Array& logits0, const Array& logit_paddings, const Array& labels,
               const Array& label_paddings, std::int64_t blank_id, double log_epsilon, Loc loc) {
  const Array logits = inexact(logits0, "ctc_loss", loc);
  if (logits.ndim() != 3 || labels.ndim() != 2 || logit_paddings.ndim() != 2 ||
      label_paddings.ndim() != 2)
    internal::fail("ctc_loss: logits are " + logits.type()->str() + ", labels " +
                       labels.type()->str() +
                       "; they should be [batch, time, classes] and [batch, n].",
                   internal::user_loc(loc), "E122");
  UserLine line(loc);
  const DType d = logits.dtype();
  const auto batch = logits.shape()[0], n = labels.shape()[1];
  const Array log_p = log_softmax(logits);
  const Array blank =
      moveaxis(log_p(All, All, Slice(blank_id, blank_id + 1)), 1, 0);  // [time, batch, 1]
  const Array emitted =
      moveaxis(einsum("btk,bnk->btn", log_p, one_hot(labels, logits.shape()[2], d)), 1, 0);
  const Array repeated =  // label k + 1 is label k: a blank must stand between
      pad((labels(All, Slice(0, -1)) == labels(All, Slice(1, None))).astype(d), {{0, 0}, {0, 1}});
  const Array nothing = full({batch, n}, log_epsilon, d);
  const Array phi0 = concatenate({zeros({batch, 1}, d), nothing}, 1);
  const auto into_phi = [&](const Array& phi, const Array& added) {
    return concatenate({phi(All, Slice(0, 1)), logaddexp(phi(All, Slice(1, None)), added)}, 1);
  };
  using Step = std::tuple<Array, Array, Array>;
  const auto step = [&](Alignments s, Step x) {
    const auto& [p_blank, p_label, padding] = x;
    const Array last = into_phi(s.phi, s.emit + log_epsilon * repeated);
    const Array emit = logaddexp(last(All, Slice(0, -1)) + p_label, s.emit + p_label);
    Array phi = into_phi(last + p_blank, s.emit + p_blank + log_epsilon * (1 - repeated));
    const Array over = expand_dims(padding, 1) > 0;
    Alignments next{where(over, s.phi, phi), where(over, s.emit, emit)};
    return std::pair(next, std::tuple<>());
  };
  const Step xs{blank, emitted, transpose(logit_paddings.astype(d))};
  const Alignments end = scan(step, Alignments{phi0, nothing}, xs).first;
  const Array done = into_phi(end.phi, end.emit);
  const Array length = sum(1 - label_paddings.astype(d), 1);
  return -sum(done * one_hot(length.astype(i32), n + 1, d), 1);
}

}  // namespace jaxpp::nn
