// nn_recurrent.cc -- cells: one product with x, one with the state, and gates.
#include "jaxpp/nn_recurrent.h"
#include "jaxpp/math_internal.h"

namespace jaxpp::nn {

using internal::UserLine;

namespace {
Array state_of(const Shape& batch, const Array& recurrent) {
  Shape s = batch;
  s.push_back(recurrent.shape()[0]);
  return zeros(s, recurrent.dtype());
}
struct Kernels {
  Array input, recurrent;
};
// Blocks of the recurrent kernel are orthogonal each.
Kernels kernels(const random::Key& key, std::int64_t in, std::int64_t n, std::int64_t blocks,
                DType d) {
  const auto [k1, k2] = random::split(key);
  const auto each = random::split(k2, blocks);
  std::vector<Array> r;
  for (std::int64_t i = 0; i < blocks; ++i)
    r.push_back(initializers::orthogonal(each[i], {n, n}, 1, d));
  return {initializers::lecun_normal(k1, {in, blocks * n}, d), concatenate(r, 1)};
}
}  // namespace

std::pair<Array, Array> RnnCell::operator()(const Array& h, const Array& x, Loc loc) const {
  UserLine line(loc);
  const Array next = jaxpp::tanh(matmul(x, input) + matmul(h, recurrent) + bias);
  return {next, next};
}
Array RnnCell::init_state(const Shape& batch) const { return state_of(batch, recurrent); }
std::pair<LstmState, Array> LstmCell::operator()(const LstmState& s, const Array& x,
                                                 Loc loc) const {
  UserLine line(loc);
  const auto gates = split(matmul(x, input) + matmul(s.h, recurrent) + bias, 4, -1);
  const Array c = logistic(gates[1]) * s.c + logistic(gates[0]) * jaxpp::tanh(gates[2]);
  const Array h = logistic(gates[3]) * jaxpp::tanh(c);
  return {LstmState{h, c}, h};
}
LstmState LstmCell::init_state(const Shape& batch) const {
  return {state_of(batch, recurrent), state_of(batch, recurrent)};
}
std::pair<Array, Array> GruCell::operator()(const Array& h, const Array& x, Loc loc) const {
  UserLine line(loc);
  const auto a = split(matmul(x, input) + bias, 3, -1);
  const auto b = split(matmul(h, recurrent) + recurrent_bias, 3, -1);
  const Array r = logistic(a[0] + b[0]), z = logistic(a[1] + b[1]);
  const Array next = (1 - z) * jaxpp::tanh(a[2] + r * b[2]) + z * h;
  return {next, next};
}
Array GruCell::init_state(const Shape& batch) const { return state_of(batch, recurrent); }

RnnCell rnn_cell(const random::Key& key, std::int64_t in, std::int64_t n, DType d, Loc loc) {
  UserLine line(loc);
  auto [input, recurrent] = kernels(key, in, n, 1, d);
  return {input, recurrent, zeros({n}, d)};
}
LstmCell lstm_cell(const random::Key& key, std::int64_t in, std::int64_t n, DType d, Loc loc) {
  UserLine line(loc);
  auto [input, recurrent] = kernels(key, in, n, 4, d);
  return {input, recurrent, concatenate({zeros({n}, d), ones({n}, d), zeros({2 * n}, d)})};
}
GruCell gru_cell(const random::Key& key, std::int64_t in, std::int64_t n, DType d, Loc loc) {
  UserLine line(loc);
  auto [input, recurrent] = kernels(key, in, n, 3, d);
  return {input, recurrent, zeros({3 * n}, d), zeros({3 * n}, d)};
}

}  // namespace jaxpp::nn
