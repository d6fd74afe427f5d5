// sort_kernels.cc -- sort and top_k.
//
// Every key becomes an unsigned integer whose order is the order wanted (sort: NaN last, zeros
// equal; top_k: the total order of floats; a complex number is two keys), so one sort serves all
// types.  A long line of one real operand is sorted as it is, by radix, which is stable.  Otherwise
// pairs (key, position) are sorted, then each operand is permuted.  Lines are divided over threads, and the parts of a
// long one.
#include <algorithm>
#include <limits>
#include <memory>
#include "backends/eager/fold_ops.h"
#include "backends/host/pool.h"

namespace jaxpp::internal {
namespace {

struct Item {
  std::uint64_t key;
  std::int64_t index;
  bool operator<(const Item& o) const { return key != o.key ? key < o.key : index < o.index; }
};

// ---- Keys
// Bits of a float in the total order -NaN < -inf < ... < -0.0 < 0.0 < ... < inf < NaN; canonical:
// every NaN is greatest and zeros are equal.  Without branches: signs are random.
template <class F, class U>
U float_key(F v, bool canonical) {
  constexpr int top = 8 * sizeof(U) - 1;
  constexpr U sign = U(1) << top, infinity = std::bit_cast<U>(std::numeric_limits<F>::infinity());
  const U bits = std::bit_cast<U>(v), negative = U(0) - (bits >> top);
  U key = bits ^ (negative | sign);
  if (canonical) {
    key += bits == sign;                         // -0.0 stands just below 0.0
    key |= U(0) - U((bits & ~sign) > infinity);  // NaN
  }
  return key;
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
    return std::make_unsigned_t<T>(v) ^ std::make_unsigned_t<T>(std::numeric_limits<T>::min());
  else
    return std::uint64_t(v);
}
template <class T>
inline constexpr int key_bits = 8 * (is_half<T> ? 4 : int(sizeof(T)));
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

// ---- Sorting
constexpr std::size_t kShort = 512;  // lines that are sorted by comparisons

// By 11 bits at a time from the least significant ones; those in which all keys agree are skipped.
// Items move from `from` to a, from a to b, from b to a, ... (b may be `from`); returns where they are in the end.
constexpr int kDigit = 11;
constexpr int passes_of(int bits) { return (bits + kDigit - 1) / kDigit; }
template <int kBits, class T, class Key>
const T* radix_sort(const T* from, T* a, T* b, std::size_t n, Key key) {
  constexpr int passes = passes_of(kBits);
  constexpr std::uint64_t mask = (1 << kDigit) - 1;
  std::vector<std::size_t> counts(passes << kDigit);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t k = key(from[i]);
    for (int p = 0; p < passes; ++p)
      ++counts[std::size_t(p) << kDigit | std::size_t(k >> p * kDigit & mask)];
  }
  for (int p = 0; p < passes; ++p) {
    std::size_t* start = counts.data() + (std::size_t(p) << kDigit);
    if (start[key(from[0]) >> p * kDigit & mask] == n) continue;
    for (std::size_t i = 0, total = 0; i <= mask; ++i) total += std::exchange(start[i], total);
    for (std::size_t i = 0; i < n; ++i) a[start[key(from[i]) >> p * kDigit & mask]++] = from[i];
    from = a;
    std::swap(a, b);
  }
  return from;
}

// The same of a line in parts, a thread for each: a part's items with a digit go behind all with lesser digits and behind
// those of the parts before it.  The order is the stable one, for any number of parts.
constexpr std::size_t kPart = 1 << 16, kMostParts = 16;
template <int kBits, class T, class Key>
const T* radix_sort_in_parts(const T* from, T* a, T* b, std::size_t n, Key key) {
  constexpr std::size_t digits = 1 << kDigit;
  constexpr std::size_t row = digits + 16;  // rows of a power of two share few lines of the cache
  const std::size_t parts = std::min(kMostParts, n / kPart), size = (n + parts - 1) / parts;
  std::vector<std::size_t> starts(parts * row);
  for (int p = 0; p < passes_of(kBits); ++p) {
    const auto each_item = [&](auto f) {
      host::parallel_for(std::int64_t(parts), [&](std::int64_t part) {
        std::size_t* own = starts.data() + std::size_t(part) * row;
        const std::size_t begin = std::size_t(part) * size, end = std::min(n, begin + size);
        f(own, begin, end, [=](const T& item) { return key(item) >> p * kDigit & (digits - 1); });
      });
    };
    each_item([&](std::size_t* own, std::size_t begin, std::size_t end, auto digit) {
      std::fill_n(own, digits, 0);
      for (std::size_t i = begin; i < end; ++i) ++own[digit(from[i])];
    });
    std::size_t total = 0, most = 0;
    for (std::size_t d = 0; d < digits; ++d) {
      const std::size_t before = total;
      for (std::size_t part = 0; part < parts; ++part)
        total += std::exchange(starts[part * row + d], total);
      most = std::max(most, total - before);
    }
    if (most == n) continue;
    each_item([&](std::size_t* own, std::size_t begin, std::size_t end, auto digit) {
      for (std::size_t i = begin; i < end; ++i) a[own[digit(from[i])]++] = from[i];
    });
    from = a;
    std::swap(a, b);
  }
  return from;
}
template <int kBits, class T, class Key>
const T* sort_by_digits(const T* from, T* a, T* b, std::size_t n, Key key) {
  return n < 2 * kPart ? radix_sort<kBits>(from, a, b, n, key)
                       : radix_sort_in_parts<kBits>(from, a, b, n, key);
}
/// Memory that keeps what it has from line to line, for types that need no construction.
template <class T>
struct Room {
  std::unique_ptr<T[]> data;
  std::size_t size = 0;
  T* of(std::size_t n) {
    if (n > size) data = std::make_unique_for_overwrite<T[]>(size = n);
    return data.get();
  }
};
template <int kBits, class T, class Key>
std::span<const T> sort_pairs(T* items, std::size_t n, Room<T>& other, Key key) {
  if (n >= kShort) return {sort_by_digits<kBits>(items, other.of(n), items, n, key), n};
  std::sort(items, items + n);
  return {items, n};
}
std::span<const Item> sort_items(Item* items, std::size_t n, Room<Item>& other) {
  return sort_pairs<64>(items, n, other, [](const Item& i) { return i.key; });
}

struct Lines {  // an array as outer x n x inner, sorted along n
  std::int64_t outer, n, inner;
  Lines(const Shape& s, std::int64_t axis)
      : n(s[std::size_t(axis)]), inner(strides_of(s)[std::size_t(axis)]) {
    outer = 1;
    for (std::int64_t i = 0; i < axis; ++i) outer *= s[std::size_t(i)];
  }
};
// f(base, scratch) for the first element of every line; the lines of a thread share scratch.
template <class Scratch, class F>
void each_line(const Lines& l, F f) {
  const double n = double(l.n), nanoseconds = n * (4 + 2 * std::log2(n + 1));
  host::parallel_ranges(l.outer * l.inner,
                        std::int64_t(std::max(1., 2 * host::kSerialNanoseconds / nanoseconds)),
                        [&](std::int64_t begin, std::int64_t end) {
                          Scratch scratch;
                          for (std::int64_t i = begin; i < end; ++i)
                            f(i / l.inner * l.n * l.inner + i % l.inner, scratch);
                        });
}
// y[i] = x[position of order[i]] for each of a line's `order`.
template <class I, class Position>
void permute(const Array& x, std::int64_t from, Array& y, std::int64_t to, std::int64_t stride,
             std::span<const I> order, Position position) {
  by_width(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* a = x.data<T>() + from;
    T* b = y.data<T>() + to;
    host::parallel_ranges(std::int64_t(order.size()), kPart, [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i) b[i * stride] = a[position(order[std::size_t(i)]) * stride];
    });
  });
}
std::int64_t position_of(const Item& i) { return i.index; }

// One operand, one real key.
template <class T>
void sort_values(const Array& x, const Lines& l, Array& y) {
  struct Scratch {
    Room<T> line, sorted, other;
  };
  const auto n = std::size_t(l.n);
  each_line<Scratch>(l, [&](std::int64_t base, Scratch& s) {
    const T* from = x.data<T>() + base;
    T* to = y.data<T>() + base;
    T* sorted = l.inner == 1 ? to : s.sorted.of(n);
    if (l.inner > 1) {
      T* line = s.line.of(n);
      for (std::size_t i = 0; i < n; ++i) line[i] = from[std::int64_t(i) * l.inner];
      from = line;
    }
    // So that the last pass, if none is skipped, ends in `sorted`.
    T *a = sorted, *b = s.other.of(n);
    if (passes_of(key_bits<T>) % 2 == 0) std::swap(a, b);
    const T* found =
        sort_by_digits<key_bits<T>>(from, a, b, n, [](T v) { return key_of(v, true, false); });
    if (l.inner > 1)
      for (std::size_t i = 0; i < n; ++i) to[std::int64_t(i) * l.inner] = found[i];
    else if (found != to)
      std::copy_n(found, n, to);
  });
}
// Any number of operands, one real key of at most 32 bits: with its position it is one integer.
template <class T>
void sort_by_packed(Args x, const Lines& l, Array* y) {
  struct Scratch {
    Room<std::uint64_t> items, other;
  };
  const auto n = std::size_t(l.n);
  each_line<Scratch>(l, [&](std::int64_t base, Scratch& s) {
    std::uint64_t* items = s.items.of(n);
    const T* from = x[0].data<T>() + base;
    host::parallel_ranges(l.n, kPart, [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i)
        items[i] = key_of(from[i * l.inner], true, false) << 32 | std::uint64_t(i);
    });
    const auto order = sort_pairs<32>(items, n, s.other, [](std::uint64_t i) { return i >> 32; });
    for (std::size_t i = 0; i < x.size(); ++i)
      permute(x[i], base, y[i], base, l.inner, order,
              [](std::uint64_t item) { return std::int64_t(item & 0xffffffff); });
  });
}
// Anything.
void sort_by_items(Args x, std::int64_t num_keys, const Lines& l, Array* y) {
  SmallVec<KeySource, 4> keys;
  for (std::size_t k = 0; k < std::size_t(num_keys); ++k) {
    keys.push_back(KeySource{&x[k], true, false});
    if (is_complex(x[k].dtype())) keys.push_back(KeySource{&x[k], true, true});
  }
  const std::size_t n = std::size_t(l.n), more = keys.size() - 1;
  struct Scratch {
    Room<Item> items, other;
    std::vector<std::uint64_t> rest;  // keys but the first
  };
  each_line<Scratch>(l, [&](std::int64_t base, Scratch& s) {
    Item* items = s.items.of(n);
    s.rest.resize(more * n);
    keys[0].read(base, l.inner, l.n, [&](std::int64_t i, std::uint64_t key) {
      items[i] = {key, i};
    });
    for (std::size_t m = 0; m < more; ++m)
      keys[m + 1].read(base, l.inner, l.n, [&](std::int64_t i, std::uint64_t key) {
        s.rest[m * n + std::size_t(i)] = key;
      });
    std::span<const Item> order(items, n);
    if (more == 0)
      order = sort_items(items, n, s.other);
    else
      std::sort(items, items + n, [&](const Item& a, const Item& b) {
        if (a.key != b.key) return a.key < b.key;
        for (std::size_t m = 0; m < more; ++m) {
          auto u = s.rest[m * n + std::size_t(a.index)], v = s.rest[m * n + std::size_t(b.index)];
          if (u != v) return u < v;
        }
        return a.index < b.index;
      });
    for (std::size_t i = 0; i < x.size(); ++i)
      permute(x[i], base, y[i], base, l.inner, order, position_of);
  });
}
void sort(Args x, Params p, Array* y) {
  const auto& q = p.as<SortParams>();
  const Lines l(x[0].shape(), q.dimension);
  if (x[0].size() == 0) return;
  if (q.num_keys > 1 || is_complex(x[0].dtype())) return sort_by_items(x, q.num_keys, l, y);
  by_dtype(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    if constexpr (!is_complex_type<T> && !std::is_same_v<T, bool>)
      if (x.size() == 1 && std::size_t(l.n) >= kShort) return sort_values<T>(x[0], l, *y);
    if constexpr (key_bits<T> <= 32)
      if (l.n <= std::int64_t(0xffffffff)) return sort_by_packed<T>(x, l, y);
    sort_by_items(x, 1, l, y);
  });
}

void top_k(Args x, Params p, Array* y) {
  const auto& q = p.as<TopKParams>();
  const Lines l(x[0].shape(), q.axis);
  if (x[0].size() == 0 || q.k == 0) return;
  const KeySource source{&x[0], false, false};
  struct Scratch {
    Room<Item> items, other;
  };
  const auto n = std::size_t(l.n), k = std::size_t(q.k);
  each_line<Scratch>(l, [&](std::int64_t base, Scratch& s) {
    const std::int64_t to = base / (l.n * l.inner) * q.k * l.inner + base % l.inner;
    Item* items = s.items.of(n);
    source.read(base, l.inner, l.n, [&](std::int64_t i, std::uint64_t key) {
      items[i] = {~key, i};  // the greatest first
    });
    std::span<const Item> order(items, n);
    if (k < n / 8)
      std::partial_sort(items, items + k, items + n);
    else
      order = sort_items(items, n, s.other);
    order = order.first(k);
    permute(x[0], base, y[0], to, l.inner, order, position_of);
    std::int32_t* index = y[1].data<std::int32_t>() + to;
    for (std::size_t i = 0; i < k; ++i)
      index[std::int64_t(i) * l.inner] = std::int32_t(order[i].index);
  });
}

}  // namespace

void install_sort_kernels() {
  install<sort>(sort_p);
  install<top_k>(top_k_p);
}

}  // namespace jaxpp::internal
