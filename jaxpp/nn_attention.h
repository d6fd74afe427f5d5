// nn_attention.h -- scaled dot-product attention (Vaswani et al., 2017), and the layer around it.
#pragma once
#include <array>
#include "jaxpp/nn_layers.h"

namespace jaxpp::nn {

struct AttentionOptions {
  Array bias{};                   ///< added to the logits; broadcasts to [batch, heads, T, S]
  Array mask{};                   ///< bool, true where a query may see a key; broadcasts likewise
  std::optional<double> scale{};  ///< of the logits; 1 / sqrt(H) if not given
  bool is_causal = false;         ///< query t sees keys up to t
  Array query_seq_lengths{};      ///< i32 [batch]: queries from there on are padding, and give 0
  Array key_value_seq_lengths{};  ///< i32 [batch]: keys from there on are not seen
  /// Keys {left, right} of a query's own position are seen.
  std::optional<std::array<std::int64_t, 2>> local_window_size{};
};
/// softmax(query key^T * scale + bias) value, for each head.   query: [batch, T, N, H] or [T, N, H], key and value:
/// [batch, S, K, H], N a multiple of K (grouped queries share heads of keys);  result: query's shape.
/// Logits and softmax are computed in f32 if the arrays are halves.  A query that sees no key gets the mean of all values,
/// as in JAX; nothing is NaN.
Array dot_product_attention(const Array& query, const Array& key, const Array& value,
                            const AttentionOptions& = {}, Loc = Loc::current());

/// Projections to heads, attention, and the projection back.   x: [batch, T, features]
struct MultiHeadAttention {
  Dense query, key, value, out;
  std::int64_t num_heads = 1, num_kv_heads = 1;
  /// Self-attention; or to what `memory`, [batch, S, features], holds.
  Array operator()(const Array& x, const AttentionOptions& = {}, Loc = Loc::current()) const;
  Array operator()(const Array& x, const Array& memory, const AttentionOptions& = {},
                   Loc = Loc::current()) const;
};
struct MultiHeadAttentionOptions {
  std::int64_t num_kv_heads = 0;     ///< 0: as many as heads
  std::int64_t head_features = 0;    ///< 0: features / heads
  std::int64_t memory_features = 0;  ///< of what is attended to; 0: features
  bool bias = true;
  DType dtype = default_dtype();
};
MultiHeadAttention multi_head_attention(const random::Key&, std::int64_t features,
                                        std::int64_t num_heads,
                                        const MultiHeadAttentionOptions& = {},
                                        Loc = Loc::current());

}  // namespace jaxpp::nn
