// programs.h -- programs that several groups of workloads.md share.
#pragma once
#include "benchmarks/inputs.h"

namespace bench {

/// (x - mean) / sqrt(variance + 1e-5) * gain + bias, along the last axis.
inline jaxpp::Array layer_norm(jaxpp::Array x, jaxpp::Array gain, jaxpp::Array bias) {
  return jaxpp::nn::standardize(x, -1, 1e-5) * gain + bias;
}

// ---- N1: a multi-layer perceptron
struct Layer {
  jaxpp::Array w, b;
};
using Mlp = std::vector<Layer>;

/// The mean of -log(softmax(logits)) at the right classes.   logits: [batch, classes];  y: [batch]
jaxpp::Array cross_entropy(jaxpp::Array logits, jaxpp::Array y);
jaxpp::Array mlp_loss(Mlp m, jaxpp::Array x, jaxpp::Array y);
struct Digits {
  Mlp m;
  jaxpp::Array x, y;
};
Digits mlp_inputs();

// ---- N4: an LSTM over a sequence
struct Lstm {
  jaxpp::Array wx, wh, b;
};
/// The mean square of the hidden states.   xs: [steps, batch, in]
jaxpp::Array lstm_loss(Lstm p, jaxpp::Array xs);
struct Sequence {
  Lstm p;
  jaxpp::Array xs;
};
Sequence lstm_inputs();

}  // namespace bench
