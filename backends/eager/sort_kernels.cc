// sort_kernels.cc -- sort and top_k.
//
// Every key becomes an unsigned integer whose order is the order wanted (sort: NaN last, zeros
// equal; top_k: the total order of floats; a complex number is two keys), so one sort serves all
// types.  Keys of a single real operand are sorted and turned back into values.  Otherwise a key and its position are one
// integer, and each operand is permuted.  Either way equal integers are the same, so that any method gives the same bits:
// Highway's quicksort (backends/host/sort.h), or by radix, of parts that threads take and that are merged.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <limits>
#include <utility>
#include "backends/eager/fold_ops.h"
#include "backends/host/pool.h"
#include "backends/host/sort.h"
#include "jaxpp/core/allocator.h"

namespace jaxpp::internal {
namespace {

// ---- Keys
template <std::size_t kBytes>
using Unsigned = std::conditional_t<kBytes == 8, std::uint64_t,
                                    std::conditional_t<kBytes == 4, std::uint32_t, std::uint16_t>>;
template <class T>
using KeyOf = Unsigned<sizeof(T)>;  // of a real number

// Bits of a float in the total order -NaN < -inf < ... < -0.0 < 0.0 < ... < inf < NaN; canonical:
// every NaN is greatest and zeros are equal.  Without branches: signs are random.
template <class F>
inline constexpr KeyOf<F> infinity_bits =
    std::bit_cast<KeyOf<F>>(std::numeric_limits<F>::infinity());
template <>
inline constexpr std::uint16_t infinity_bits<float16> = 0x7c00;
template <>
inline constexpr std::uint16_t infinity_bits<bfloat16> = 0x7f80;

template <class F>
inline constexpr KeyOf<F> sign_bit = KeyOf<F>(1) << (8 * sizeof(F) - 1);
template <class F>
KeyOf<F> float_key(F v, bool canonical) {
  using U = KeyOf<F>;
  constexpr U sign = sign_bit<F>;
  const U bits = std::bit_cast<U>(v), negative = U(0 - (bits >> (8 * sizeof(U) - 1)));
  U key = U(bits ^ (negative | sign));
  if (canonical) {
    key = U(key + (bits == sign));                           // -0.0 stands just below 0.0
    key |= U(0 - U(U(bits & U(~sign)) > infinity_bits<F>));  // NaN
  }
  return key;
}
template <class T>
inline constexpr bool is_float_type = std::is_floating_point_v<T> || is_half<T>;

template <class T>
KeyOf<T> key_of(T v, bool canonical) {
  if constexpr (is_float_type<T>)
    return float_key(v, canonical);
  else if constexpr (std::is_signed_v<T>)
    return KeyOf<T>(KeyOf<T>(v) - KeyOf<T>(std::numeric_limits<T>::min()));
  else
    return KeyOf<T>(v);
}
// The value with a key, but for what canonical keys do not tell.
template <class T>
T value_of(KeyOf<T> key) {
  if constexpr (is_float_type<T>) {
    const auto positive = KeyOf<T>(0 - (key >> (8 * sizeof(T) - 1)));
    return std::bit_cast<T>(KeyOf<T>(key ^ (KeyOf<T>(~positive) | sign_bit<T>)));
  } else if constexpr (std::is_signed_v<T>) {
    return T(key + KeyOf<T>(std::numeric_limits<T>::min()));
  } else {
    return T(key);
  }
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
      for (std::int64_t i = 0; i < n; ++i) {
        const T v = from[i * stride];
        if constexpr (is_complex_type<T>)
          put(i, std::uint64_t(key_of(imaginary ? v.imag() : v.real(), canonical)));
        else
          put(i, std::uint64_t(key_of(v, canonical)));
      }
    });
  }
};

// A key above a position.
using host::Wide;
template <class T>
using Item = std::conditional_t<sizeof(KeyOf<T>) <= 4, std::uint64_t, Wide>;
template <class I>
I item(std::uint64_t key, std::int64_t position) {
  if constexpr (std::is_same_v<I, Wide>)
    return {std::uint64_t(position), key};
  else
    return key << 32 | std::uint64_t(position);
}
std::int64_t position_of(std::uint64_t i) { return std::int64_t(i & 0xffffffff); }
std::int64_t position_of(const Wide& i) { return std::int64_t(i.low); }

// ---- Sorting
/// Memory that keeps what it has from line to line, for types that need no construction.
template <class T>
class Room {
 public:
  Room() = default;
  Room(const Room&) = delete;
  ~Room() { clear(); }
  T* of(std::size_t n) {
    if (n > size_) {
      clear();
      data_ = static_cast<T*>(large_new(n * sizeof(T)));
      size_ = n;
    }
    return data_;
  }

 private:
  void clear() {
    if (data_) large_delete(data_, std::exchange(size_, 0) * sizeof(T));
    data_ = nullptr;
  }
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// Some bits of what is sorted are its key; the rest, below, are positions, which ascend already.
template <class T>
struct ValueKeys {
  static constexpr int kBits = 8 * sizeof(T);
  static std::uint64_t of(KeyOf<T> u) { return u; }
};
struct ItemKeys {
  static constexpr int kBits = 32;
  static std::uint64_t of(std::uint64_t i) { return i >> 32; }
};
struct WideKeys {
  static constexpr int kBits = 64;
  static std::uint64_t of(const Wide& i) { return i.high; }
};

// By 11 bits at a time from the least significant ones; those in which all keys agree are skipped.
constexpr int kDigit = 11;
template <class K, class U>
void radix_sort(U* keys, U* room, std::size_t n) {
  constexpr int passes = (K::kBits + kDigit - 1) / kDigit;
  constexpr std::uint64_t mask = (1 << kDigit) - 1;
  std::vector<std::size_t> counts(passes << kDigit);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t k = K::of(keys[i]);
    for (int p = 0; p < passes; ++p)
      ++counts[std::size_t(p) << kDigit | std::size_t(k >> p * kDigit & mask)];
  }
  U *from = keys, *to = room;
  for (int p = 0; p < passes; ++p) {
    std::size_t* start = counts.data() + (std::size_t(p) << kDigit);
    if (start[K::of(from[0]) >> p * kDigit & mask] == n) continue;
    for (std::size_t i = 0, total = 0; i <= mask; ++i) total += std::exchange(start[i], total);
    for (std::size_t i = 0; i < n; ++i) to[start[K::of(from[i]) >> p * kDigit & mask]++] = from[i];
    std::swap(from, to);
  }
  if (from != keys) std::copy_n(from, n, keys);
}

// Shorter lines are sorted by comparisons.  A call of the library takes 0.4 us, whatever it sorts.
constexpr std::size_t kVector = 32, kRadix = 512;
template <class K, class U>
void sort_part(U* keys, U* room, std::size_t n) {
  if (n >= kVector && host::library_sort(keys, n)) return;
  if (n >= kRadix) return radix_sort<K>(keys, room, n);
  std::sort(keys, keys + n);
}

// Merges a and b, each in order.  Four stretches of the result advance by turns: one alone would wait for its own loads.
template <class U>
struct Merge {
  const U *a, *a_end, *b, *b_end;
  U* to;
  std::size_t size() const { return std::size_t(a_end - a + b_end - b); }
  // The stretch of the result that begins with element i and ends before j.
  Merge part(std::size_t i, std::size_t j) const {
    const std::size_t first = from_a(i), last = from_a(j);
    return {a + first, a + last, b + (i - first), b + (j - last), to + i};
  }
  void run() const {
    constexpr std::size_t stretches = 4;
    const std::size_t n = size();
    Merge s[stretches];
    for (std::size_t k = 0; k < stretches; ++k)
      s[k] = part(n * k / stretches, n * (k + 1) / stretches);
    for (;;) {
      std::ptrdiff_t steps = std::numeric_limits<std::ptrdiff_t>::max();
      for (const Merge& m : s) steps = std::min({steps, m.a_end - m.a, m.b_end - m.b});
      if (steps == 0) break;
      for (; steps > 0; --steps)
        for (Merge& m : s) m.step();
    }
    for (const Merge& m : s) std::merge(m.a, m.a_end, m.b, m.b_end, m.to);
  }

 private:
  void step() {
    const U x = *a, y = *b;
    const bool second = y < x;
    *to++ = second ? y : x;
    b += second;
    a += !second;
  }
  // How many of the first n elements of the result are a's.
  std::size_t from_a(std::size_t n) const {
    const auto in_b = std::size_t(b_end - b);
    std::size_t low = n > in_b ? n - in_b : 0, high = std::min(n, std::size_t(a_end - a));
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (b[n - 1 - middle] < a[middle])
        high = middle;
      else
        low = middle + 1;
    }
    return low;
  }
};

// Sorts in parts, of which there are a power of two, and merges neighbours; `keys` or `room` has the result.
constexpr std::size_t kPart = 1 << 15;
template <class K, class U>
const U* sort_keys(U* keys, U* room, std::size_t n, std::size_t parts) {
  const auto start = [&](std::size_t p) { return n * p / parts; };
  if (parts == 1) {
    sort_part<K>(keys, room, n);
    return keys;
  }
  host::parallel_for(std::int64_t(parts), [&](std::int64_t p) {
    const std::size_t begin = start(std::size_t(p));
    sort_part<K>(keys + begin, room + begin, start(std::size_t(p) + 1) - begin);
  });
  for (std::size_t width = 1; width < parts; width *= 2) {
    const std::size_t pieces = 2 * width;  // of each merge
    host::parallel_for(std::int64_t(parts), [&](std::int64_t c) {
      const std::size_t p = std::size_t(c) / pieces * pieces, piece = std::size_t(c) % pieces;
      const std::size_t begin = start(p), middle = start(p + width), end = start(p + pieces);
      const Merge<U> all{keys + begin, keys + middle, keys + middle, keys + end, room + begin};
      all.part((end - begin) * piece / pieces, (end - begin) * (piece + 1) / pieces).run();
    });
    std::swap(keys, room);
  }
  return keys;
}

struct Lines {  // an array as outer x n x inner, sorted along n
  std::int64_t outer, n, inner;
  Lines(const Shape& s, std::int64_t axis)
      : n(s[std::size_t(axis)]), inner(strides_of(s)[std::size_t(axis)]) {
    outer = 1;
    for (std::int64_t i = 0; i < axis; ++i) outer *= s[std::size_t(i)];
  }
};
// f(base, scratch, parts) for the first element of every line; the lines of a thread share scratch.  Few long lines are
// sorted one after the other, in parts: bits of a result do not depend on how many.
template <class Scratch, class F>
void each_line(const Lines& l, F f) {
  const double n = double(l.n), nanoseconds = n * (4 + std::log2(n + 1));
  const auto threads = std::size_t(host::threads());
  const std::int64_t lines = l.outer * l.inner;
  const bool cut = std::size_t(lines) < threads && std::size_t(l.n) >= 2 * kPart;
  const std::size_t parts =
      cut ? std::min(std::bit_ceil(threads), std::bit_floor(std::size_t(l.n) / kPart)) : 1;
  const std::int64_t grain =
      cut ? lines : std::int64_t(std::max(1., 2 * host::kSerialNanoseconds / nanoseconds));
  host::parallel_ranges(lines, grain, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch;
    for (std::int64_t i = begin; i < end; ++i)
      f(i / l.inner * l.n * l.inner + i % l.inner, scratch, parts);
  });
}
template <class U>
struct Scratch {
  Room<U> keys, room;
};
// f(begin, end) over a line's elements, on several threads if it is long.
template <class F>
void over_line(std::int64_t n, F f) {
  host::parallel_ranges(n, std::int64_t(kPart), f);
}
// y[i] = x[position of order[i]] for each of a line's `order`.
template <class I>
void permute(const Array& x, std::int64_t from, Array& y, std::int64_t to, std::int64_t stride,
             std::span<const I> order) {
  by_width(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* a = x.data<T>() + from;
    T* b = y.data<T>() + to;
    over_line(std::int64_t(order.size()), [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i) b[i * stride] = a[position_of(order[std::size_t(i)]) * stride];
    });
  });
}

// Zeros of both signs have one key, and all NaNs: they take their values from x, in its order, as a stable sort has them.
template <class T>
void restore_values(const T* x, T* y, const Lines& l, const KeyOf<T>* sorted) {
  const KeyOf<T> zero = key_of(T(0), true), nan = KeyOf<T>(~KeyOf<T>(0));
  std::int64_t zeros = std::lower_bound(sorted, sorted + l.n, zero) - sorted;
  std::int64_t nans = std::lower_bound(sorted, sorted + l.n, nan) - sorted;
  for (std::int64_t i = 0; i < l.n; ++i) {
    const T v = x[i * l.inner];
    const KeyOf<T> key = key_of(v, true);
    if (key == zero)
      y[zeros++ * l.inner] = v;
    else if (key == nan)
      y[nans++ * l.inner] = v;
  }
}
// A line of one operand of 8 bits: how often each value occurs says all.
template <class T>
void sort_bytes(const Array& x, const Lines& l, Array& y) {
  struct NoScratch {};
  each_line<NoScratch>(l, [&](std::int64_t base, NoScratch, std::size_t) {
    const T* from = x.data<T>() + base;
    T* to = y.data<T>() + base;
    std::array<std::array<std::int64_t, 256>, 4> counts{};  // four, since ties are near each other
    for (std::int64_t i = 0; i < l.n; ++i)
      ++counts[std::size_t(i % 4)][key_of(from[i * l.inner], true)];
    for (std::size_t key = 0; key < 256; ++key) {
      const T value = value_of<T>(KeyOf<T>(key));
      std::int64_t count = 0;
      for (const auto& c : counts) count += c[key];
      for (; count > 0; --count, to += l.inner) *to = value;
    }
  });
}
// One operand, one real key.
template <class T>
void sort_values(const Array& x, const Lines& l, Array& y) {
  using U = KeyOf<T>;
  const auto n = std::size_t(l.n);
  each_line<Scratch<U>>(l, [&](std::int64_t base, Scratch<U>& s, std::size_t parts) {
    const T* from = x.data<T>() + base;
    T* to = y.data<T>() + base;
    U* keys = s.keys.of(n);
    std::atomic<bool> ambiguous = false;
    over_line(l.n, [&](std::int64_t i, std::int64_t end) {
      U other = 0;
      for (; i < end; ++i) {
        const T v = from[i * l.inner];
        keys[i] = key_of(v, true);
        if constexpr (is_float_type<T>)
          other |= std::bit_cast<U>(value_of<T>(keys[i])) ^ std::bit_cast<U>(v);
      }
      if (other) ambiguous.store(true, std::memory_order_relaxed);
    });
    const U* sorted = sort_keys<ValueKeys<T>>(keys, s.room.of(n), n, parts);
    over_line(l.n, [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i) to[i * l.inner] = value_of<T>(sorted[i]);
    });
    if constexpr (is_float_type<T>)
      if (ambiguous) restore_values(from, to, l, sorted);
  });
}
// Keys and positions of a line of x.  For top_k: of the total order, the greatest first.
template <class T, bool kTopK, class I>
I* items_of_line(const Array& x, std::int64_t base, const Lines& l, Scratch<I>& s) {
  I* items = s.keys.of(std::size_t(l.n));
  const T* from = x.data<T>() + base;
  constexpr auto flip = KeyOf<T>(kTopK ? ~KeyOf<T>(0) : 0);
  over_line(l.n, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) items[i] = item<I>(KeyOf<T>(key_of(from[i * l.inner], !kTopK) ^ flip), i);
  });
  return items;
}
template <class I>
std::span<const I> sort_items(I* items, std::size_t n, Scratch<I>& s, std::size_t parts) {
  using K = std::conditional_t<std::is_same_v<I, Wide>, WideKeys, ItemKeys>;
  return {sort_keys<K>(items, s.room.of(n), n, parts), n};
}
// f(type of an element, type of an item) for one real key.
template <class F>
void by_item(const Array& x, std::int64_t n, F f) {
  by_dtype(x.dtype(), [&](auto t) {
    using T = decltype(t);
    if constexpr (!is_complex_type<T>) {
      if (n <= std::int64_t(0xffffffff))
        f(t, Item<T>());
      else
        f(t, Wide());
    }
  });
}
// Any number of operands, one real key.
void sort_by_items(Args x, const Lines& l, Array* y) {
  by_item(x[0], l.n, [&](auto t, auto zero) {
    using T = decltype(t);
    using I = decltype(zero);
    each_line<Scratch<I>>(l, [&](std::int64_t base, Scratch<I>& s, std::size_t parts) {
      I* items = items_of_line<T, false>(x[0], base, l, s);
      const auto order = sort_items(items, std::size_t(l.n), s, parts);
      for (std::size_t k = 0; k < x.size(); ++k) permute(x[k], base, y[k], base, l.inner, order);
    });
  });
}
// Several keys.
void sort_by_keys(Args x, std::int64_t num_keys, const Lines& l, Array* y) {
  SmallVec<KeySource, 4> sources;
  for (std::size_t k = 0; k < std::size_t(num_keys); ++k) {
    sources.push_back(KeySource{&x[k], true, false});
    if (is_complex(x[k].dtype())) sources.push_back(KeySource{&x[k], true, true});
  }
  const std::size_t n = std::size_t(l.n), more = sources.size() - 1;
  struct Keys {
    Room<Wide> items;
    std::vector<std::uint64_t> rest;  // keys but the first
  };
  each_line<Keys>(l, [&](std::int64_t base, Keys& s, std::size_t) {
    Wide* items = s.items.of(n);
    s.rest.resize(more * n);
    sources[0].read(base, l.inner, l.n,
                    [&](std::int64_t i, std::uint64_t key) { items[i] = item<Wide>(key, i); });
    for (std::size_t m = 0; m < more; ++m)
      sources[m + 1].read(base, l.inner, l.n, [&](std::int64_t i, std::uint64_t key) {
        s.rest[m * n + std::size_t(i)] = key;
      });
    std::sort(items, items + n, [&](const Wide& a, const Wide& b) {
      if (a.high != b.high) return a.high < b.high;
      for (std::size_t m = 0; m < more; ++m) {
        auto u = s.rest[m * n + std::size_t(a.low)], v = s.rest[m * n + std::size_t(b.low)];
        if (u != v) return u < v;
      }
      return a.low < b.low;
    });
    for (std::size_t i = 0; i < x.size(); ++i)
      permute(x[i], base, y[i], base, l.inner, std::span<const Wide>(items, n));
  });
}
void sort(Args x, Params p, Array* y) {
  const auto& q = p.as<SortParams>();
  const Lines l(x[0].shape(), q.dimension);
  if (x[0].size() == 0) return;
  if (q.num_keys > 1 || is_complex(x[0].dtype())) return sort_by_keys(x, q.num_keys, l, y);
  if (x.size() > 1) return sort_by_items(x, l, y);
  by_dtype(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    if constexpr (sizeof(T) == 1)
      if (l.n >= std::int64_t(kVector)) return sort_bytes<T>(x[0], l, *y);
    if constexpr (!is_complex_type<T>) sort_values<T>(x[0], l, *y);
  });
}

// About k (1 + ln(n / k)) elements enter a heap of the k greatest, where each descends log2 k levels.  Measured, a level
// costs 6 ns, a sort 3 ns an element.
bool heap_is_cheaper(std::size_t k, std::size_t n) {
  const double entries = double(k) * (1 + std::log(double(n) / double(k)));
  return 2 * entries * std::log2(double(k) + 1) < double(n);
}
void top_k(Args x, Params p, Array* y) {
  const auto& q = p.as<TopKParams>();
  const Lines l(x[0].shape(), q.axis);
  if (x[0].size() == 0 || q.k == 0) return;
  const auto n = std::size_t(l.n), k = std::size_t(q.k);
  by_item(x[0], l.n, [&](auto t, auto zero) {
    using T = decltype(t);
    using I = decltype(zero);
    each_line<Scratch<I>>(l, [&](std::int64_t base, Scratch<I>& s, std::size_t parts) {
      const std::int64_t to = base / (l.n * l.inner) * q.k * l.inner + base % l.inner;
      I* items = items_of_line<T, true>(x[0], base, l, s);
      std::span<const I> order(items, n);
      if (heap_is_cheaper(k, n))
        std::partial_sort(items, items + k, items + n);
      else
        order = sort_items(items, n, s, parts);
      order = order.first(k);
      permute(x[0], base, y[0], to, l.inner, order);
      std::int32_t* index = y[1].data<std::int32_t>() + to;
      for (std::size_t i = 0; i < k; ++i)
        index[std::int64_t(i) * l.inner] = std::int32_t(position_of(order[i]));
    });
  });
}

}  // namespace

void install_sort_kernels() {
  install<sort>(sort_p);
  install<top_k>(top_k_p);
}

}  // namespace jaxpp::internal
