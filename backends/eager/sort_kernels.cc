// sort_kernels.cc -- sort and top_k.
//
// Every key becomes an unsigned integer whose order is the order wanted (sort: NaN last, zeros
// equal; top_k: the total order of floats; a complex number is two keys), so one sort serves all
// types.  A line of one real operand is sorted as such integers, which become elements again.
// Otherwise pairs (key, position) are sorted, as one integer each, then each operand is permuted.
// Integers without equals, or whose equals are the same, have one order only: who sorts them, and in
// how many parts, cannot be seen.  Lines are divided over threads, and the parts of a long one.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include "backends/eager/fold_ops.h"
#include "backends/host/pool.h"
#include "backends/host/vqsort.h"
#include "jaxpp/core/allocator.h"

namespace jaxpp::internal {
namespace {

// A key and, below it, the position of its element.
using Item = host::Wide;
constexpr Item item(std::uint64_t key, std::int64_t position) {
  return {std::uint64_t(position), key};
}
constexpr std::int64_t position_of(const Item& i) { return std::int64_t(i.low); }
constexpr bool before(const Item& a, const Item& b) {
  return a.high != b.high ? a.high < b.high : a.low < b.low;
}
constexpr bool before(std::uint64_t a, std::uint64_t b) { return a < b; }

// ---- Keys
// Bits of a float in the total order -NaN < -inf < ... < -0.0 < 0.0 < ... < inf < NaN; canonical:
// every NaN is greatest and zeros are equal.  Without branches: signs are random.
template <class F, class U>
U float_key(F v, bool canonical) {
  constexpr int top = 8 * sizeof(U) - 1;
  const U sign = U(U(1) << top), infinity = std::bit_cast<U>(F(HUGE_VALF));
  const U bits = std::bit_cast<U>(v), negative = U(0) - U(bits >> top);
  U key = U(bits ^ (negative | sign));
  if (canonical) {
    key = U(key + (bits == sign));                           // -0.0 stands just below 0.0
    key = U(key | U(U(0) - U(U(bits & ~sign) > infinity)));  // NaN
  }
  return key;
}
template <class T>
inline constexpr bool is_float = is_half<T> || std::is_floating_point_v<T>;
template <std::size_t bytes>
using Unsigned = std::conditional_t<
    bytes <= 2, std::uint16_t,
    std::conditional_t<bytes == 4, std::uint32_t, std::uint64_t>>;  // what can be sorted
template <class T>
using Key = Unsigned<sizeof(T)>;
template <class T>
Key<T> real_key(T v, bool canonical) {
  if constexpr (is_float<T>)
    return float_key<T, Key<T>>(v, canonical);
  else if constexpr (std::is_signed_v<T>)
    return std::make_unsigned_t<T>(v) ^ std::make_unsigned_t<T>(std::numeric_limits<T>::min());
  else
    return Key<T>(v);
}
template <class T>
std::uint64_t key_of(T v, bool canonical, bool imaginary) {
  if constexpr (is_complex_type<T>)
    return real_key(imaginary ? v.imag() : v.real(), canonical);
  else
    return real_key(v, canonical);
}
// The element of a canonical key: of zeros the positive one, of NaNs one.
template <class T>
T element(Key<T> key) {
  constexpr Key<T> sign = Key<T>(Key<T>(1) << (8 * sizeof(Key<T>) - 1));
  if constexpr (is_float<T>)
    return std::bit_cast<T>(Key<T>(key & sign ? key ^ sign : ~key));
  else if constexpr (std::is_signed_v<T>)
    return T(std::make_unsigned_t<T>(key) ^ std::make_unsigned_t<T>(std::numeric_limits<T>::min()));
  else
    return T(key);
}
// Whether the key does not tell the bits.
template <class T>
bool is_ambiguous(T v) {
  if constexpr (is_float<T>) {
    constexpr Key<T> sign = Key<T>(Key<T>(1) << (8 * sizeof(T) - 1));
    const Key<T> bits = std::bit_cast<Key<T>>(v), infinity = std::bit_cast<Key<T>>(T(HUGE_VALF));
    return bits == sign || Key<T>(bits & ~sign) > infinity;
  }
  return false;
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

// ---- Sorting integers
/// Memory that keeps what it has from line to line, for types that need no construction.
template <class T>
class Room {
 public:
  Room() = default;
  Room(const Room&) = delete;
  ~Room() { free(); }
  T* of(std::size_t n) {
    if (n > size_) {
      free();
      data_ = static_cast<T*>(large_new(n * sizeof(T)));
      size_ = n;
    }
    return data_;
  }

 private:
  void free() {
    if (data_) large_delete(data_, size_ * sizeof(T));
    data_ = nullptr;
  }
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// Without a library.  By 11 bits at a time from the least significant ones, of the bits that make a difference and are not
// in order anyway (positions are); those in which all agree are skipped.  In place; `other` has room for as many.
constexpr int kDigit = 11;
// Lines that are sorted by comparisons: what the library needs to begin takes 0.2 us.
constexpr std::size_t kShort = 512, kShortForLibrary = 32;
template <class U>
std::uint64_t key_bits(const U& u, int from) {
  if constexpr (std::is_same_v<U, Item>)
    return u.high;
  else
    return std::uint64_t(u) >> from;
}
template <class U>
void radix_sort(U* keys, std::size_t n, Room<U>& room, int from) {
  const int bits = std::is_same_v<U, Item> ? 64 : int(8 * sizeof(U)) - from;
  const int passes = (bits + kDigit - 1) / kDigit;
  constexpr std::uint64_t mask = (1 << kDigit) - 1;
  std::vector<std::size_t> counts(std::size_t(passes) << kDigit);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t k = key_bits(keys[i], from);
    for (int p = 0; p < passes; ++p)
      ++counts[std::size_t(p) << kDigit | std::size_t(k >> p * kDigit & mask)];
  }
  U *now = keys, *next = room.of(n);
  for (int p = 0; p < passes; ++p) {
    std::size_t* start = counts.data() + (std::size_t(p) << kDigit);
    if (start[key_bits(now[0], from) >> p * kDigit & mask] == n) continue;
    for (std::size_t i = 0, total = 0; i <= mask; ++i) total += std::exchange(start[i], total);
    for (std::size_t i = 0; i < n; ++i)
      next[start[key_bits(now[i], from) >> p * kDigit & mask]++] = now[i];
    std::swap(now, next);
  }
  if (now != keys) std::copy_n(now, n, keys);
}
template <class U>
void sort_part(U* keys, std::size_t n, Room<U>& room, int from) {
  static const host::Vqsort<U> vqsort = host::vqsort<U>();
  if (vqsort && n >= kShortForLibrary) return vqsort(keys, n);
  if (n >= kShort) return radix_sort(keys, n, room, from);
  std::sort(keys, keys + n, [](const U& a, const U& b) { return before(a, b); });
}

// How many of the first k of two sorted lines merged are of the first line.
template <class U>
std::size_t split(const U* a, std::size_t na, const U* b, std::size_t nb, std::size_t k) {
  std::size_t low = k > nb ? k - nb : 0, high = std::min(k, na);
  while (low < high) {
    const std::size_t i = (low + high) / 2;
    if (before(b[k - i - 1], a[i]))
      high = i;
    else
      low = i + 1;
  }
  return low;
}
// Elements [begin, end) of two sorted lines merged: both halves of them at a time, since every step waits for the last.
template <class U>
struct Merge {
  const U *a, *a_end, *b, *b_end;
  U* to;
  Merge(const U* x, std::size_t nx, const U* y, std::size_t ny, std::size_t begin, std::size_t end,
        U* merged)
      : to(merged + begin) {
    const std::size_t i = split(x, nx, y, ny, begin), i_end = split(x, nx, y, ny, end);
    a = x + i, a_end = x + i_end;
    b = y + (begin - i), b_end = y + (end - i_end);
  }
  bool both() const { return a < a_end && b < b_end; }
  void step() {
    const bool second = before(*b, *a);
    *to++ = second ? *b : *a;
    a += !second;
    b += second;
  }
  void finish() {
    while (both()) step();
    std::copy(b, b_end, std::copy(a, a_end, to));
  }
};
template <class U>
void merge(const U* a, std::size_t na, const U* b, std::size_t nb, std::size_t begin,
           std::size_t end, U* to) {
  const std::size_t middle = (begin + end) / 2;
  Merge<U> low(a, na, b, nb, begin, middle, to), high(a, na, b, nb, middle, end, to);
  while (low.both() && high.both()) {
    low.step();
    high.step();
  }
  low.finish();
  high.finish();
}

constexpr std::size_t kPart = 1 << 16;  // elements of a line that are worth a thread
// Sorts integers whose `from` lowest bits are in order; returns where they are: there, or in the room.
template <class U>
U* sort_keys(U* keys, std::size_t n, Room<U>& room, int from = 0) {
  const std::size_t parts = std::bit_floor(std::min(n / kPart, std::size_t(num_threads())));
  if (parts < 2) {
    sort_part(keys, n, room, from);
    return keys;
  }
  const std::size_t size = (n + parts - 1) / parts;
  const auto each_part = [&](auto f) {
    host::parallel_for(std::int64_t(parts), [&](std::int64_t p) {
      const std::size_t begin = std::min(n, std::size_t(p) * size);
      f(begin, std::min(n, begin + size));
    });
  };
  each_part([&](std::size_t begin, std::size_t end) {
    Room<U> own;
    sort_part(keys + begin, end - begin, own, from);
  });
  U *now = keys, *next = room.of(n);
  for (std::size_t sorted = size; sorted < n; sorted *= 2) {
    each_part([&](std::size_t begin, std::size_t end) {
      const std::size_t a = begin / (2 * sorted) * (2 * sorted), b = std::min(n, a + sorted),
                        b_end = std::min(n, b + sorted);
      merge(now + a, b - a, now + b, b_end - b, begin - a, end - a, next + a);
    });
    std::swap(now, next);
  }
  return now;
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
  const double n = double(l.n), nanoseconds = n * (2 + std::log2(n + 1) / 2);
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

// One operand, one real key.
template <class T>
void sort_values(const Array& x, const Lines& l, Array& y) {
  using U = Key<T>;
  struct Scratch {
    Room<U> keys, other;
  };
  each_line<Scratch>(l, [&](std::int64_t base, Scratch& s) {
    const T* from = x.data<T>() + base;
    T* to = y.data<T>() + base;
    const auto n = std::size_t(l.n);
    U* keys = s.keys.of(n);
    std::atomic<bool> ambiguous = false;
    host::parallel_ranges(l.n, kPart, [&](std::int64_t i, std::int64_t end) {
      bool any = false;
      for (; i < end; ++i) {
        keys[i] = real_key(from[i * l.inner], true);
        any |= is_ambiguous(from[i * l.inner]);
      }
      if (any) ambiguous = true;
    });
    const U* sorted = sort_keys(keys, n, s.other);
    host::parallel_ranges(l.n, kPart, [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i) to[i * l.inner] = element<T>(sorted[i]);
    });
    if constexpr (is_float<T>)
      if (ambiguous) {  // zeros and NaNs, in the order in which they came
        const auto first = [&](U key) {
          return std::lower_bound(sorted, sorted + n, key) - sorted;
        };
        std::int64_t zero = first(real_key(T(0.f), true)), nan = first(U(~U(0)));
        for (std::int64_t i = 0; i < l.n; ++i) {
          const T v = from[i * l.inner];
          const U key = real_key(v, true);
          if (key == real_key(T(0.f), true)) to[zero++ * l.inner] = v;
          if (key == U(~U(0))) to[nan++ * l.inner] = v;
        }
      }
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
    const std::span<const std::uint64_t> order(sort_keys(items, n, s.other, 32), n);
    for (std::size_t i = 0; i < x.size(); ++i)
      permute(x[i], base, y[i], base, l.inner, order,
              [](std::uint64_t packed) { return std::int64_t(packed & 0xffffffff); });
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
    keys[0].read(base, l.inner, l.n,
                 [&](std::int64_t i, std::uint64_t key) { items[i] = item(key, i); });
    for (std::size_t m = 0; m < more; ++m)
      keys[m + 1].read(base, l.inner, l.n, [&](std::int64_t i, std::uint64_t key) {
        s.rest[m * n + std::size_t(i)] = key;
      });
    if (more == 0)
      items = sort_keys(items, n, s.other);
    else
      std::sort(items, items + n, [&](const Item& a, const Item& b) {
        if (a.high != b.high) return a.high < b.high;
        for (std::size_t m = 0; m < more; ++m) {
          auto u = s.rest[m * n + a.low], v = s.rest[m * n + b.low];
          if (u != v) return u < v;
        }
        return a.low < b.low;
      });
    for (std::size_t i = 0; i < x.size(); ++i)
      permute(x[i], base, y[i], base, l.inner, std::span<const Item>(items, n), position_of);
  });
}
void sort(Args x, Params p, Array* y) {
  const auto& q = p.as<SortParams>();
  const Lines l(x[0].shape(), q.dimension);
  if (x[0].size() == 0) return;
  if (q.num_keys > 1 || is_complex(x[0].dtype())) return sort_by_items(x, q.num_keys, l, y);
  by_dtype(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    if constexpr (!is_complex_type<T>)
      if (x.size() == 1) return sort_values<T>(x[0], l, *y);
    if constexpr (sizeof(T) <= 4)
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
      items[i] = item(~key, i);  // the greatest first
    });
    if (k < n / 8)
      std::partial_sort(items, items + k, items + n,
                        [](const Item& a, const Item& b) { return before(a, b); });
    else
      items = sort_keys(items, n, s.other);
    const std::span<const Item> order(items, k);
    permute(x[0], base, y[0], to, l.inner, order, position_of);
    std::int32_t* index = y[1].data<std::int32_t>() + to;
    for (std::size_t i = 0; i < k; ++i)
      index[std::int64_t(i) * l.inner] = std::int32_t(position_of(order[i]));
  });
}

}  // namespace

void install_sort_kernels() {
  install<sort>(sort_p);
  install<top_k>(top_k_p);
}

}  // namespace jaxpp::internal
