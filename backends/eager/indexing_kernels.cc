// indexing_kernels.cc -- gather, the scatters, dynamic_slice and dynamic_update_slice.
//
// All move windows: a Window is a small strided index space common to both sides, of which only the
// offsets change.  The index vectors become offsets in blocks (Starts), apart from the element
// type; runs of elements are then copied or combined by small functions of the element type (a
// Move), called once for a row or for a block of single elements.
#include <algorithm>
#include <cstring>
#include <limits>
#include "backends/eager/kernels.h"
#include "backends/eager/scalar.h"
#include "jaxpp/ops/indexing.h"

namespace jaxpp::internal {
namespace {

constexpr int kBlock = 128;  // index vectors resolved at a time

// What is done to elements.  to and from count elements.
struct Move {
  // n single elements: to[at[i]] (op)= from[from_at[i]], offsets of -1 are skipped
  void (*points)(void* to, const void* from, const std::int64_t* at, const std::int64_t* from_at,
                 std::int64_t n);
  // n elements in a row
  void (*row)(void* to, const void* from, std::int64_t n, std::int64_t to_step,
              std::int64_t from_step);
};
template <class T, class Op>
constexpr Move move_by = {
    [](void* to, const void* from, const std::int64_t* at, const std::int64_t* from_at,
       std::int64_t n) {
      T* y = static_cast<T*>(to);
      const T* x = static_cast<const T*>(from);
      for (std::int64_t i = 0; i < n; ++i)
        if (at[i] >= 0 && from_at[i] >= 0) Op::apply(y[at[i]], x[from_at[i]]);
    },
    [](void* to, const void* from, std::int64_t n, std::int64_t to_step, std::int64_t from_step) {
      T* y = static_cast<T*>(to);
      const T* x = static_cast<const T*>(from);
      if (to_step == 1 && from_step == 1) {
        for (std::int64_t i = 0; i < n; ++i) Op::apply(y[i], x[i]);
      } else {
        for (std::int64_t i = 0; i < n; ++i) Op::apply(y[i * to_step], x[i * from_step]);
      }
    }};

struct Set {
  template <class T>
  static void apply(T& y, const T& x) {
    y = x;
  }
};
Move copy_of(DType d) {
  return by_width(d, [](auto t) { return move_by<decltype(t), Set>; });
}

// The index space of a window.  Dimensions that lie together on both sides are merged, the last is
// the row.
struct Window {
  SmallVec<std::int64_t, 4> shape, to, from;
  std::int64_t row = 1, row_to = 1, row_from = 1;
  bool empty = false;

  Window(const Dims& sizes, const Dims& to_strides, const Dims& from_strides) {
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      empty |= sizes[i] == 0;
      if (sizes[i] == 1) continue;
      if (!shape.empty() && to.back() == to_strides[i] * sizes[i] &&
          from.back() == from_strides[i] * sizes[i]) {
        shape.back() *= sizes[i];
        to.back() = to_strides[i];
        from.back() = from_strides[i];
      } else {
        shape.push_back(sizes[i]);
        to.push_back(to_strides[i]);
        from.push_back(from_strides[i]);
      }
    }
    if (shape.empty()) return;
    row = shape.back();
    row_to = to.back();
    row_from = from.back();
    shape.pop_back();
    to.pop_back();
    from.pop_back();
  }
  bool single() const { return row == 1 && shape.empty(); }
  /// visit(offset on the `to` side, offset on the `from` side), once a row.
  template <class Visit>
  void rows(std::int64_t t, std::int64_t f, Visit visit) const {
    if (shape.empty()) return visit(t, f);
    SmallVec<std::int64_t, 4> index(shape.size(), 0);
    for (;;) {
      visit(t, f);
      std::size_t d = shape.size();
      while (d-- > 0) {
        t += to[d];
        f += from[d];
        if (++index[d] < shape[d]) break;
        t -= to[d] * shape[d];
        f -= from[d] * shape[d];
        index[d] = 0;
      }
      if (d == std::size_t(-1)) return;
    }
  }
};

template <class I>
std::int64_t as_index(I v) {
  if constexpr (std::is_same_v<I, std::uint64_t>)
    return v > std::uint64_t(std::numeric_limits<std::int64_t>::max())
               ? std::numeric_limits<std::int64_t>::max()
               : std::int64_t(v);
  else
    return std::int64_t(v);
}
std::int64_t read_index(const Array& a, std::int64_t i) {
  return by_dtype(a.dtype(), [&](auto t) -> std::int64_t {
    using I = decltype(t);
    if constexpr (std::is_integral_v<I>)
      return as_index(a.data<I>()[i]);
    else
      return 0;
  });
}

// Turns index vectors into offsets of windows, block by block: `at` in the indexed array (-1: out
// of bounds), `dense` in the other one, which has a window for every index vector.
class Starts {
 public:
  std::int64_t at[kBlock], dense[kBlock];

  Starts(const GatherDims& d, IndexMode mode, const Array& indices, const Shape& x,
         const Dims& window_sizes, const Shape& dense_shape, bool drop)
      : indices_(indices),
        clip_(mode == IndexMode::CLIP || (mode == IndexMode::PROMISE_IN_BOUNDS && !drop)) {
    const Dims x_strides = strides_of(x), dense_strides = strides_of(dense_shape);
    for (std::size_t i = 0; i < dense_shape.size(); ++i)
      if (position(d.offset_dims, std::int64_t(i)) < 0) {
        shape_.push_back(dense_shape[i]);
        dense_steps_.push_back(dense_strides[i]);
      }
    x_steps_.resize(shape_.size(), 0);
    for (std::size_t i = 0; i < d.operand_batching_dims.size(); ++i)
      x_steps_[std::size_t(d.start_indices_batching_dims[i])] =
          x_strides[std::size_t(d.operand_batching_dims[i])];
    for (auto dim : d.start_index_map) {
      strides_.push_back(x_strides[std::size_t(dim)]);
      bounds_.push_back(x[std::size_t(dim)] - window_sizes[std::size_t(dim)]);
    }
    index_.resize(shape_.size(), 0);
    left_ = product(shape_);
  }
  /// Fills the next block; 0 at the end.
  int next() {
    const int n = int(std::min<std::int64_t>(left_, kBlock));
    if (n == 0) return 0;
    left_ -= n;
    by_dtype(indices_.dtype(), [&](auto t) {
      using I = decltype(t);
      if constexpr (std::is_integral_v<I>)
        fill(indices_.data<I>() + done_ * std::int64_t(bounds_.size()), n);
    });
    done_ += n;
    return n;
  }

 private:
  template <class I>
  void fill(const I* v, int n) {
    const std::size_t k = bounds_.size();
    for (int i = 0; i < n; ++i, v += k) {
      std::int64_t offset = x_offset_;
      bool inside = true;
      for (std::size_t c = 0; c < k; ++c) {
        std::int64_t s = as_index(v[c]);
        if (s < 0 || s > bounds_[c]) {
          if (!clip_) inside = false;
          s = s < 0 ? 0 : bounds_[c];
        }
        offset += s * strides_[c];
      }
      at[i] = inside ? offset : -1;
      dense[i] = dense_offset_;
      for (std::size_t d = shape_.size(); d-- > 0;) {
        dense_offset_ += dense_steps_[d];
        x_offset_ += x_steps_[d];
        if (++index_[d] < shape_[d]) break;
        dense_offset_ -= dense_steps_[d] * shape_[d];
        x_offset_ -= x_steps_[d] * shape_[d];
        index_[d] = 0;
      }
    }
  }
  const Array& indices_;
  const bool clip_;
  Dims shape_, dense_steps_, x_steps_, strides_, bounds_, index_;
  std::int64_t left_ = 0, done_ = 0, dense_offset_ = 0, x_offset_ = 0;
};

// Strides of the window dimensions on the indexed side and on the dense side.
void window_strides(const GatherDims& d, const Shape& x, const Shape& dense, Dims& x_side,
                    Dims& dense_side) {
  const Dims x_strides = strides_of(x), dense_strides = strides_of(dense);
  x_side = pick(x_strides, without(x.size(), d.collapsed_slice_dims, d.operand_batching_dims));
  dense_side = pick(dense_strides, d.offset_dims);
}

template <class T>
T number_as(const std::optional<Number>& n, T missing) {
  if (!n) return missing;
  return std::visit(
      [](auto v) -> T {
        using V = decltype(v);
        if constexpr (is_half<T>) {
          if constexpr (is_complex_type<V>)
            return T(float(v.real()));
          else
            return T(float(v));
        } else if constexpr (is_complex_type<T>) {
          using R = typename T::value_type;
          if constexpr (is_complex_type<V>)
            return T(R(v.real()), R(v.imag()));
          else
            return T(R(v));
        } else if constexpr (is_complex_type<V>) {
          return T(v.real());
        } else {
          return T(v);
        }
      },
      *n);
}
// What a gather gives outside: NaN, the least or greatest integer, or true, if not said otherwise.
template <class T>
T fill_default() {
  if constexpr (std::is_same_v<T, bool>)
    return true;
  else if constexpr (std::is_integral_v<T>)
    return std::is_signed_v<T> ? std::numeric_limits<T>::min() : std::numeric_limits<T>::max();
  else if constexpr (is_half<T>)
    return T(std::numeric_limits<float>::quiet_NaN());
  else if constexpr (is_complex_type<T>)
    return T(std::numeric_limits<typename T::value_type>::quiet_NaN());
  else
    return std::numeric_limits<T>::quiet_NaN();
}

void gather_kernel(Args x, Params params, Array* y) {
  auto& p = params.as<GatherParams>();
  auto& d = p.dimension_numbers;
  if (y->size() == 0) return;
  const Shape &from = x[0].shape(), &to = y->shape();
  Dims x_side, y_side;
  window_strides(d, from, to, x_side, y_side);
  const Window window(pick(to, d.offset_dims), y_side, x_side);
  const Move copy = copy_of(y->dtype());
  const std::size_t bytes = width(y->dtype());
  Starts starts(d, p.mode, x[1], from, p.slice_sizes, to, false);
  alignas(16) unsigned char fill[16];
  by_dtype(y->dtype(), [&](auto t) {
    using T = decltype(t);
    const T v = p.mode == IndexMode::ONE_HOT ? T() : number_as<T>(p.fill_value, fill_default<T>());
    std::memcpy(fill, &v, sizeof v);
  });
  while (int n = starts.next()) {
    if (window.single())
      copy.points(y->data<void>(), x[0].data<void>(), starts.dense, starts.at, n);
    for (int i = 0; i < n; ++i) {
      char* out = y->data<char>();
      const char* in = x[0].data<char>();
      if (starts.at[i] < 0) {
        window.rows(starts.dense[i], 0, [&](std::int64_t t, std::int64_t) {
          copy.row(out + t * std::int64_t(bytes), fill, window.row, window.row_to, 0);
        });
      } else if (!window.single()) {
        window.rows(starts.dense[i], starts.at[i], [&](std::int64_t t, std::int64_t f) {
          copy.row(out + t * std::int64_t(bytes), in + f * std::int64_t(bytes), window.row,
                   window.row_to, window.row_from);
        });
      }
    }
  }
}

// y holds x, whether it shares its buffer or not.
void start_from(const Array& x, Array& y) {
  if (y.data<void>() != x.data<void>())
    std::memcpy(y.data<void>(), x.data<void>(), std::size_t(x.size()) * width(x.dtype()));
}

// The ways to combine: x is what is there, y the update, the code that of elementwise.def.
#define JAXPP_COMBINE(Name, code)                                    \
  struct Name {                                                      \
    template <class T>                                               \
    static void apply(T& to, const T& from) {                        \
      const auto x = scalar::compute(to), y = scalar::compute(from); \
      to = scalar::store<T>(code);                                   \
    }                                                                \
  };
JAXPP_COMBINE(Add, x + y)
JAXPP_COMBINE(Sub, x - y)
JAXPP_COMBINE(Mul, scalar::multiply(x, y))
JAXPP_COMBINE(Min, scalar::min(x, y))
JAXPP_COMBINE(Max, scalar::max(x, y))
#undef JAXPP_COMBINE

template <class Op>
void scatter_kernel(Args x, Params params, Array* y) {
  auto& p = params.as<ScatterParams>();
  start_from(x[0], *y);
  if (y->size() == 0 || x[2].size() == 0) return;
  const GatherDims d = gather_dims(p.dimension_numbers);
  const Shape &to = y->shape(), &updates = x[2].shape();
  Dims y_side, updates_side;
  window_strides(d, to, updates, y_side, updates_side);
  const Window window(pick(updates, d.offset_dims), y_side, updates_side);
  const Move move = [&] {
    if constexpr (std::is_same_v<Op, Set>)
      return copy_of(y->dtype());
    else
      return by_dtype(y->dtype(), [](auto t) { return move_by<decltype(t), Op>; });
  }();
  const auto bytes = std::int64_t(width(y->dtype()));
  Starts starts(d, p.mode, x[1], to, window_sizes(p.dimension_numbers, to, updates), updates, true);
  while (int n = starts.next()) {
    if (window.single()) {
      move.points(y->data<void>(), x[2].data<void>(), starts.at, starts.dense, n);
      continue;
    }
    for (int i = 0; i < n; ++i)
      if (starts.at[i] >= 0)
        window.rows(starts.at[i], starts.dense[i], [&](std::int64_t t, std::int64_t f) {
          move.row(y->data<char>() + t * bytes, x[2].data<char>() + f * bytes, window.row,
                   window.row_to, window.row_from);
        });
  }
}

// ---- Dynamic slices
std::int64_t clamped_offset(Args starts, const Shape& x, const Shape& window) {
  const Dims strides = strides_of(x);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < starts.size(); ++i)
    offset += std::clamp<std::int64_t>(read_index(starts[i], 0), 0, x[i] - window[i]) * strides[i];
  return offset;
}
void copy_window(const Window& w, DType d, char* to, const char* from) {
  if (w.empty) return;
  const auto bytes = std::int64_t(width(d));
  if (w.row_to == 1 && w.row_from == 1) {
    w.rows(0, 0, [&](std::int64_t t, std::int64_t f) {
      std::memcpy(to + t * bytes, from + f * bytes, std::size_t(w.row * bytes));
    });
    return;
  }
  const Move copy = copy_of(d);
  w.rows(0, 0, [&](std::int64_t t, std::int64_t f) {
    copy.row(to + t * bytes, from + f * bytes, w.row, w.row_to, w.row_from);
  });
}
void dynamic_slice_kernel(Args x, Params, Array* y) {
  const Shape &from = x[0].shape(), &to = y->shape();
  const std::int64_t at = clamped_offset(x.subspan(1), from, to) * std::int64_t(width(y->dtype()));
  copy_window(Window(to, strides_of(to), strides_of(from)), y->dtype(), y->data<char>(),
              x[0].data<char>() + at);
}
void dynamic_update_slice_kernel(Args x, Params, Array* y) {
  start_from(x[0], *y);
  const Shape &to = y->shape(), &from = x[1].shape();
  const std::int64_t at = clamped_offset(x.subspan(2), to, from) * std::int64_t(width(y->dtype()));
  copy_window(Window(from, strides_of(to), strides_of(from)), y->dtype(), y->data<char>() + at,
              x[1].data<char>());
}

}  // namespace

void install_indexing_kernels() {
  install<gather_kernel>(gather_p);
  install<scatter_kernel<Set>, 1>(scatter_p);
  install<scatter_kernel<Add>, 1>(scatter_add_p);
  install<scatter_kernel<Sub>, 1>(scatter_sub_p);
  install<scatter_kernel<Mul>, 1>(scatter_mul_p);
  install<scatter_kernel<Min>, 1>(scatter_min_p);
  install<scatter_kernel<Max>, 1>(scatter_max_p);
  install<dynamic_slice_kernel>(dynamic_slice_p);
  install<dynamic_update_slice_kernel, 1>(dynamic_update_slice_p);
}

}  // namespace jaxpp::internal
