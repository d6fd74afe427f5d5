// sort_kernels.cc -- sort and top_k.
//
// Every key becomes an unsigned integer whose order is the order wanted (sort: NaN last, zeros
// equal; top_k: the total order of floats; a complex number is two keys), so one sort serves all
// types: of (key, position) pairs, which also makes it stable.  Long lines are sorted by radix.
// Then each operand is permuted.
#include <algorithm>
#include "backends/eager/fold_ops.h"

namespace jaxpp::internal {
namespace {

struct Item {
  std::uint64_t key;
  std::int64_t index;
  bool operator<(const Item& o) const { return key != o.key ? key < o.key : index < o.index; }
};

// ---- Keys
// Bits of a float in the total order -NaN < -inf < ... < -0.0 < 0.0 < ... < inf < NaN; canonical:
// every NaN is greatest and zeros are equal.
template <class F, class U>
U float_key(F v, bool canonical) {
  constexpr U sign = U(1) << (8 * sizeof(U) - 1);
  if (canonical && v != v) return ~U(0);
  if (canonical && v == 0) return sign;
  const U bits = std::bit_cast<U>(v);
  return bits & sign ? U(~bits) : U(bits | sign);
}
template <class T>
std::uint64_t key_of(T v, bool canonical, bool imaginary) {
  if constexpr (is_complex_type<T>)
    return key_of(imaginary ? v.imag() : v.real(), canonical, false);
  else if constexpr (std::is_same_v<T, double>)
    return float_key<double, std::uint64_t>(v, canonical);
  else if constexpr (is_half<T> || std::is_same_v<T, float>)
    return float_key<float, std::uint32_t>(float(v), canonical);
  else if constexpr (std::is_signed_v<T>)
    return std::uint64_t(std::int64_t(v)) ^ std::uint64_t(1) << 63;
  else
    return std::uint64_t(v);
}
// Where the keys of an operand come from: one line of it at a time.
struct KeySource {
  const Array* x;
  bool canonical, imaginary;
  template <class Put>
  void read(std::int64_t base, std::int64_t stride, std::int64_t n, Put put) const {
    by_dtype(x->dtype(), [&](auto t) {
      using T = decltype(t);
      const T* from = x->data<T>() + base;
      for (std::int64_t i = 0; i < n; ++i) put(i, key_of(from[i * stride], canonical, imaginary));
    });
  }
};

// ---- Sorting pairs
// Byte by byte from the least significant one, skipping the bytes in which all keys agree.
void radix_sort(std::vector<Item>& items, std::vector<Item>& scratch) {
  std::uint64_t same = ~std::uint64_t(0), any = 0;
  for (const Item& i : items) {
    same &= i.key;
    any |= i.key;
  }
  scratch.resize(items.size());
  for (int shift = 0; shift < 64; shift += 8) {
    if (((same ^ any) >> shift & 255) == 0) continue;
    std::size_t start[256] = {}, total = 0;
    for (const Item& i : items) ++start[i.key >> shift & 255];
    for (std::size_t& s : start) total += std::exchange(s, total);
    for (const Item& i : items) scratch[start[i.key >> shift & 255]++] = i;
    items.swap(scratch);
  }
}
void sort_items(std::vector<Item>& items, std::vector<Item>& scratch) {
  if (items.size() >= 1024)
    radix_sort(items, scratch);
  else
    std::sort(items.begin(), items.end());
}

struct Lines {  // an array as outer x n x inner, sorted along n
  std::int64_t outer, n, inner;
  Lines(const Shape& s, std::int64_t axis)
      : n(s[std::size_t(axis)]), inner(strides_of(s)[std::size_t(axis)]) {
    outer = 1;
    for (std::int64_t i = 0; i < axis; ++i) outer *= s[std::size_t(i)];
  }
};
// y[i] = x[order[i]] for the first `count` of a line.
void permute(const Array& x, std::int64_t from, Array& y, std::int64_t to, std::int64_t stride,
             std::span<const Item> order) {
  by_width(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* a = x.data<T>() + from;
    T* b = y.data<T>() + to;
    for (const Item& i : order) {
      *b = a[i.index * stride];
      b += stride;
    }
  });
}

void sort(Args x, Params p, Array* y) {
  const auto& q = p.as<SortParams>();
  const Lines l(x[0].shape(), q.dimension);
  if (x[0].size() == 0) return;
  SmallVec<KeySource, 4> keys;
  for (std::size_t k = 0; k < std::size_t(q.num_keys); ++k) {
    keys.push_back(KeySource{&x[k], true, false});
    if (is_complex(x[k].dtype())) keys.push_back(KeySource{&x[k], true, true});
  }
  std::vector<Item> items(static_cast<std::size_t>(l.n)), scratch;
  std::vector<std::uint64_t> rest((keys.size() - 1) * std::size_t(l.n));  // keys but the first
  const std::size_t n = std::size_t(l.n), more = keys.size() - 1;
  for (std::int64_t k = 0; k < l.outer; ++k)
    for (std::int64_t j = 0; j < l.inner; ++j) {
      const std::int64_t base = k * l.n * l.inner + j;
      keys[0].read(base, l.inner, l.n, [&](std::int64_t i, std::uint64_t key) {
        items[std::size_t(i)] = {key, i};
      });
      for (std::size_t m = 0; m < more; ++m)
        keys[m + 1].read(base, l.inner, l.n, [&](std::int64_t i, std::uint64_t key) {
          rest[m * n + std::size_t(i)] = key;
        });
      if (more == 0)
        sort_items(items, scratch);
      else
        std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
          if (a.key != b.key) return a.key < b.key;
          for (std::size_t m = 0; m < more; ++m) {
            auto u = rest[m * n + std::size_t(a.index)], v = rest[m * n + std::size_t(b.index)];
            if (u != v) return u < v;
          }
          return a.index < b.index;
        });
      for (std::size_t i = 0; i < x.size(); ++i) permute(x[i], base, y[i], base, l.inner, items);
    }
}

void top_k(Args x, Params p, Array* y) {
  const auto& q = p.as<TopKParams>();
  const Lines l(x[0].shape(), q.axis);
  if (x[0].size() == 0 || q.k == 0) return;
  const KeySource source{&x[0], false, false};
  std::vector<Item> items(static_cast<std::size_t>(l.n)), scratch;
  for (std::int64_t k = 0; k < l.outer; ++k)
    for (std::int64_t j = 0; j < l.inner; ++j) {
      const std::int64_t base = k * l.n * l.inner + j, to = k * q.k * l.inner + j;
      source.read(base, l.inner, l.n, [&](std::int64_t i, std::uint64_t key) {
        items[std::size_t(i)] = {~key, i};  // the greatest first
      });
      if (q.k < l.n / 8)
        std::partial_sort(items.begin(), items.begin() + q.k, items.end());
      else
        sort_items(items, scratch);
      permute(x[0], base, y[0], to, l.inner, {items.data(), std::size_t(q.k)});
      std::int32_t* index = y[1].data<std::int32_t>() + to;
      for (std::int64_t i = 0; i < q.k; ++i)
        index[i * l.inner] = std::int32_t(items[std::size_t(i)].index);
    }
}

}  // namespace

void install_sort_kernels() {
  install<sort>(sort_p);
  install<top_k>(top_k_p);
}

}  // namespace jaxpp::internal
