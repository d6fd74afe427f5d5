// nn_losses.h -- losses, one for each example: take the mean over the batch.  Formulas and names are optax's.
//
//   Array loss = mean(nn::softmax_cross_entropy_with_integer_labels(logits, labels));
#pragma once
#include "jaxpp/nn.h"

namespace jaxpp::nn {

/// -log softmax(logits)[label].   logits: [..., classes], labels: integers [...];  result [...]
/// A label out of range gives NaN.
Array softmax_cross_entropy_with_integer_labels(const Array& logits, const Array& labels,
                                                int axis = -1, Loc = Loc::current());
/// -sum(labels * log softmax(logits)) along an axis, for labels that are probabilities.
Array softmax_cross_entropy(const Array& logits, const Array& labels, int axis = -1,
                            Loc = Loc::current());
/// -labels * log sigmoid(logits) - (1 - labels) * log(1 - sigmoid(logits)), elementwise.
Array sigmoid_binary_cross_entropy(const Array& logits, const Array& labels, Loc = Loc::current());
/// (predictions - targets)^2
Array squared_error(const Array& predictions, const Array& targets, Loc = Loc::current());
/// (predictions - targets)^2 / 2
Array l2_loss(const Array& predictions, const Array& targets = 0., Loc = Loc::current());
/// l2_loss up to a difference of delta, linear beyond (Huber, 1964).
Array huber_loss(const Array& predictions, const Array& targets = 0., double delta = 1,
                 Loc = Loc::current());
/// log cosh(predictions - targets), without overflow.
Array log_cosh(const Array& predictions, const Array& targets = 0., Loc = Loc::current());
/// max(1 - predictions * targets, 0), for targets -1 and 1.
Array hinge_loss(const Array& predictions, const Array& targets, Loc = Loc::current());
/// sum(targets * (log targets - log_predictions)) along an axis; 0 log 0 = 0.
Array kl_divergence(const Array& log_predictions, const Array& targets, int axis = -1,
                    Loc = Loc::current());
/// Labels moved to the uniform distribution: (1 - alpha) * labels + alpha / classes.
Array smooth_labels(const Array& labels, double alpha, Loc = Loc::current());
/// The cosine of the angle between rows; norms are at least epsilon.
Array cosine_similarity(const Array& predictions, const Array& targets, double epsilon = 0,
                        int axis = -1, Loc = Loc::current());
/// -log of the probability of a sequence of labels, summed over all alignments with blanks and repetitions (Graves et al.,
/// 2006).   logits: [batch, time, classes], logit_paddings: [batch, time], labels: integers [batch, n],
/// label_paddings: [batch, n], 1 where padded; result [batch].  Paddings stand at the end.
Array ctc_loss(const Array& logits, const Array& logit_paddings, const Array& labels,
               const Array& label_paddings, std::int64_t blank_id = 0, double log_epsilon = -1e5,
               Loc = Loc::current());

}  // namespace jaxpp::nn
