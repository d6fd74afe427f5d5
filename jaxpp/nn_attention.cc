// nn_attention.cc -- attention as two products of matrices and a softmax between them.
//
// Heads of queries that share a head of keys are one more axis of the rows: with queries as [B, T, K, G, H] and keys as
// [B, S, K, H], logits are the product over H with B and K as batch, [B, K, T, G, S], and the result that with values over S.
#include "jaxpp/nn_attention.h"
#include <cmath>
#include <limits>
#include "jaxpp/math_internal.h"

namespace jaxpp::nn {

using internal::UserLine;

namespace {
[[noreturn]] void bad_attention(const std::string& what, Loc loc) {
  internal::fail("dot_product_attention: " + what, internal::user_loc(loc), "E123");
}
Array with_batch(const Array& x, const char* what, std::int64_t rank, Loc loc) {
  internal::need_array(x, "dot_product_attention", loc);
  if (x.ndim() > rank || (x.ndim() < rank - 1 && rank - x.ndim() > 1 &&
                          std::string_view(what) != "mask" && std::string_view(what) != "bias"))
    bad_attention(std::string(what) + " is " + x.type()->str() + "; it should have " +
                      std::to_string(rank - 1) + " or " + std::to_string(rank) + " axes.",
                  loc);
  Shape s(std::size_t(rank - x.ndim()), 1);
  s.append(x.shape().begin(), x.shape().end());
  return reshape(x, s);
}
// [b, n, t, s] as [b, k, t, g, s], sizes of 1 staying 1.
Array grouped(const Array& x0, const char* what, std::int64_t heads, std::int64_t kv_heads,
              Loc loc) {
  const Array x = with_batch(x0, what, 4, loc);
  const Shape& s = x.shape();
  if (s[1] == 1) return reshape(x, {s[0], 1, s[2], 1, s[3]});
  if (s[1] != heads)
    bad_attention(
        std::string(what) + " is " + x.type()->str() + " for " + std::to_string(heads) + " heads.",
        loc);
  return transpose(reshape(x, {s[0], kv_heads, heads / kv_heads, s[2], s[3]}), {0, 1, 3, 2, 4});
}
// Positions 0, 1, ... along one of the axes T (2) and S (4) of the logits.
Array positions(std::int64_t n, std::size_t axis) {
  Shape s(5, 1);
  s[axis] = n;
  return lax::iota(i32, s, std::int64_t(axis));
}
Array lengths(const Array& x, std::int64_t batch, const char* what, Loc loc) {
  if (x.ndim() != 1 || x.shape()[0] != batch || !is_integer(x.dtype()))
    bad_attention(std::string(what) + " is " + x.type()->str() + "; it should be i32[" +
                      std::to_string(batch) + "].",
                  loc);
  return reshape(x, {batch, 1, 1, 1, 1});
}
// Which keys each query sees; null: all.
Array visible(const AttentionOptions& o, std::int64_t batch, std::int64_t heads,
              std::int64_t kv_heads, std::int64_t t, std::int64_t s, Loc loc) {
  Array seen;
  const auto narrow = [&](const Array& m) { seen = seen.defined() ? logical_and(seen, m) : m; };
  if (o.mask.defined()) {
    if (!is_bool(o.mask.dtype()))
      bad_attention("the mask is " + o.mask.type()->str() +
                        ", not bool; numbers to add to the logits are a bias.",
                    loc);
    narrow(grouped(o.mask, "mask", heads, kv_heads, loc));
  }
  const Array query = positions(t, 2), key = positions(s, 4);
  if (o.is_causal) narrow(query >= key);
  if (o.local_window_size) {
    const auto [left, right] = *o.local_window_size;
    narrow(logical_and(query <= key + left, query >= key - right));
  }
  if (o.query_seq_lengths.defined())
    narrow(query < lengths(o.query_seq_lengths, batch, "query_seq_lengths", loc));
  if (o.key_value_seq_lengths.defined())
    narrow(key < lengths(o.key_value_seq_lengths, batch, "key_value_seq_lengths", loc));
  return seen;
}
}  // namespace

Array dot_product_attention(const Array& query0, const Array& key0, const Array& value0,
                            const AttentionOptions& o, Loc loc) {
  UserLine line(loc);
  const Array query = with_batch(query0, "query", 4, loc), key = with_batch(key0, "key", 4, loc),
              value = with_batch(value0, "value", 4, loc);
  const Shape &q = query.shape(), &k = key.shape();
  const DType d = query.dtype();
  if (!is_float(d) || key.dtype() != d || value.dtype() != d)
    bad_attention("query, key and value are " + query.type()->str() + ", " + key.type()->str() +
                      " and " + value.type()->str() + "; they should be floats of one type.",
                  loc);
  if (value.shape() != k || q[0] != k[0] || q[3] != k[3] || k[2] == 0 || q[2] % k[2])
    bad_attention("query " + query.type()->str() + ", key " + key.type()->str() + " and value " +
                      value.type()->str() +
                      " do not fit: [batch, T, heads, H] and [batch, S, heads of keys, H], "
                      "the first heads a multiple of the second.",
                  loc);
  const std::int64_t batch = q[0], t = q[1], heads = q[2], h = q[3], s = k[1], kv_heads = k[2];
  const DType wide = width(d) == 2 ? f32 : d;
  Array logits = lax::dot_general(reshape(query, {batch, t, kv_heads, heads / kv_heads, h}), key,
                                  DotDims{{4}, {3}, {0, 2}, {0, 2}}, wide);
  logits = logits * o.scale.value_or(1 / std::sqrt(double(h)));
  if (o.bias.defined())
    logits = (logits + grouped(o.bias, "bias", heads, kv_heads, loc)).astype(wide);
  const Array seen = visible(o, batch, heads, kv_heads, t, s, loc);
  if (seen.defined())
    logits = where(seen, logits, -0.7 * double(std::numeric_limits<float>::max()));
  const Array y =
      lax::dot_general(softmax(logits).astype(d), value, DotDims{{4}, {1}, {0, 1}, {0, 2}});
  Array out = reshape(transpose(y, {0, 2, 1, 3, 4}), {batch, t, heads, h});
  if (o.query_seq_lengths.defined()) {
    const Array there = lax::iota(i32, {1, t}, 1) < expand_dims(o.query_seq_lengths, 1);
    out = where(reshape(there, {batch, t, 1, 1}), out, 0);
  }
  return reshape(out, query0.shape());
}

namespace {
Array split_heads(const Array& x, std::int64_t heads) {
  Shape s(x.shape().begin(), x.shape().end() - 1);
  s.push_back(heads);
  s.push_back(x.shape().back() / heads);
  return reshape(x, s);
}
}  // namespace
Array MultiHeadAttention::operator()(const Array& x, const Array& memory, const AttentionOptions& o,
                                     Loc loc) const {
  UserLine line(loc);
  const Array y = dot_product_attention(split_heads(query(x, loc), num_heads),
                                        split_heads(key(memory, loc), num_kv_heads),
                                        split_heads(value(memory, loc), num_kv_heads), o, loc);
  Shape s(y.shape().begin(), y.shape().end() - 2);
  s.push_back(y.shape()[y.shape().size() - 2] * y.shape().back());
  return out(reshape(y, s), loc);
}
Array MultiHeadAttention::operator()(const Array& x, const AttentionOptions& o, Loc loc) const {
  return (*this)(x, x, o, loc);
}
MultiHeadAttention multi_head_attention(const random::Key& k, std::int64_t features,
                                        std::int64_t num_heads, const MultiHeadAttentionOptions& o,
                                        Loc loc) {
  const std::int64_t kv_heads = o.num_kv_heads ? o.num_kv_heads : num_heads;
  if (num_heads < 1 || kv_heads < 1 || num_heads % kv_heads ||
      (!o.head_features && features % num_heads))
    internal::fail("multi_head_attention: " + std::to_string(features) + " features, " +
                       std::to_string(num_heads) + " heads and " + std::to_string(kv_heads) +
                       " heads of keys do not divide.",
                   loc, "E123");
  UserLine line(loc);
  const std::int64_t h = o.head_features ? o.head_features : features / num_heads;
  const std::int64_t memory = o.memory_features ? o.memory_features : features;
  const auto keys = random::split<4>(k);
  const DenseOptions d{o.bias, o.dtype};
  return {dense(keys[0], features, num_heads * h, d),
          dense(keys[1], memory, kv_heads * h, d),
          dense(keys[2], memory, kv_heads * h, d),
          dense(keys[3], num_heads * h, features, d),
          num_heads,
          kv_heads};
}

}  // namespace jaxpp::nn
