// nn_recurrent.h -- cells of recurrent networks: one step from (state, x) to (state, output).
//
//   nn::LstmCell cell = nn::lstm_cell(key, 10, 20);
//   auto [end, ys] = nn::unroll(cell, cell.init_state({batch}), xs);       // xs: [time, batch, 10], ys: [time, batch, 20]
//
// Gates are blocks of the last axis of the kernels, in PyTorch's order.
#pragma once
#include "jaxpp/control.h"
#include "jaxpp/nn_layers.h"

namespace jaxpp::nn {

/// h' = tanh(x input + h recurrent + bias) (Elman, 1990).   input: [in, n], recurrent: [n, n]
struct RnnCell {
  Array input, recurrent, bias;
  std::pair<Array, Array> operator()(const Array& h, const Array& x, Loc = Loc::current()) const;
  Array init_state(const Shape& batch = {}) const;  ///< zeros [batch..., n]
};
struct LstmState {
  Array h, c;
};
/// i, f, o = sigmoid, g = tanh of the four blocks of x input + h recurrent + bias, in the order i, f, g, o;
/// c' = f c + i g,  h' = o tanh(c') (Hochreiter and Schmidhuber, 1997).   input: [in, 4 n], recurrent: [n, 4 n]
struct LstmCell {
  Array input, recurrent, bias;
  std::pair<LstmState, Array> operator()(const LstmState&, const Array& x,
                                         Loc = Loc::current()) const;
  LstmState init_state(const Shape& batch = {}) const;
};
/// r, z = sigmoid of the first two blocks of a + b, a = x input + bias, b = h recurrent + recurrent_bias;
/// n = tanh(a_n + r b_n),  h' = (1 - z) n + z h (Cho et al., 2014).   input: [in, 3 n], recurrent: [n, 3 n]
struct GruCell {
  Array input, recurrent, bias, recurrent_bias;
  std::pair<Array, Array> operator()(const Array& h, const Array& x, Loc = Loc::current()) const;
  Array init_state(const Shape& batch = {}) const;
};
/// Kernels on x are lecun_normal, those on h orthogonal, biases 0 (the forget gate's 1).
RnnCell rnn_cell(const random::Key&, std::int64_t in, std::int64_t n, DType = default_dtype(),
                 Loc = Loc::current());
LstmCell lstm_cell(const random::Key&, std::int64_t in, std::int64_t n, DType = default_dtype(),
                   Loc = Loc::current());
GruCell gru_cell(const random::Key&, std::int64_t in, std::int64_t n, DType = default_dtype(),
                 Loc = Loc::current());

/// The cell along the leading axis of xs:  pair(state at the end, outputs).
template <class Cell, class State>
std::pair<State, Array> unroll(const Cell& cell, const State& state, const Array& xs,
                               ScanOptions options = {}, Loc loc = Loc::current()) {
  auto step = [&](State s, Array x) { return cell(s, x, loc); };
  return scan(step, state, xs, options, loc);
}

}  // namespace jaxpp::nn
