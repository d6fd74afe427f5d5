// shape_kernels.cc -- kernels of the primitives that move elements: bits are copied, whatever they
// mean.
//
// Views (reshape, squeeze, expand_dims) copy nothing: the result is another Array over the same
// elements.
#include <algorithm>
#include "backends/eager/strided.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {
namespace {

std::size_t bytes(const Array& x) { return std::size_t(x.size()) * width(x.dtype()); }
void copy_all(const Array& x, Array& y) {
  if (x.data<char>() != y.data<char>()) std::memcpy(y.data<char>(), x.data<char>(), bytes(x));
}

void broadcast(Args x, Params p, Array* y) {
  const auto& b = p.as<BroadcastParams>();
  if (x[0].size() == 1) {
    by_width(x[0].dtype(), [&](auto t) {
      using T = decltype(t);
      const T v = *x[0].data<T>();
      const T zero{};
      if (std::memcmp(&v, &zero, sizeof(T)) == 0)
        std::memset(y->data<char>(), 0, bytes(*y));
      else
        std::fill_n(y->data<T>(), y->size(), v);
    });
    return;
  }
  const Shape& s = x[0].shape();
  Dims strides(b.shape.size(), 0), own = strides_of(s);
  for (std::size_t i = 0; i < s.size(); ++i)
    if (s[i] != 1) strides[std::size_t(b.broadcast_dimensions[i])] = own[i];
  copy_strided(x[0], 0, strides, *y);
}

void transpose_into(const Array& x, const Dims& permutation, Array& y) {
  copy_strided(x, 0, pick(strides_of(x.shape()), permutation), y);
}
void transpose(Args x, Params p, Array* y) {
  transpose_into(x[0], p.as<TransposeParams>().permutation, *y);
}
void reshape(Args x, Params p, Array* y) {
  const auto& r = p.as<ReshapeParams>();
  Type type = make_type(x[0].dtype(), r.new_sizes);
  if (!r.dimensions) {
    *y = Array::alias(x[0], type);
    return;
  }
  Array t = Array::make(make_type(x[0].dtype(), pick(x[0].shape(), *r.dimensions)));
  transpose_into(x[0], *r.dimensions, t);
  *y = Array::alias(t, type);
}
template <const Primitive& P>
void view(Args x, Params p, Array* y) {
  Type in = x[0].type(), out;
  P.shape({&in, 1}, p, &out);
  *y = Array::alias(x[0], out);
}

void tile(Args x, Params p, Array* y) {
  const Dims &reps = p.as<TileParams>().reps, own = strides_of(x[0].shape()),
             out = strides_of(y->shape());
  StridedPair v;
  for (std::size_t i = 0; i < reps.size(); ++i) {
    const std::int64_t n = x[0].shape()[i];
    v.add(reps[i], out[i] * n, 0);
    v.add(n, out[i], own[i]);
  }
  by_width(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    copy_pair(y->data<T>(), x[0].data<T>(), v);
  });
}
void rev(Args x, Params p, Array* y) {
  Dims strides = strides_of(x[0].shape());
  std::int64_t offset = 0;
  if (x[0].size() == 0) return;
  for (auto d : p.as<DimensionsParams>().dimensions) {
    auto& s = strides[std::size_t(d)];
    offset += s * (x[0].shape()[std::size_t(d)] - 1);
    s = -s;
  }
  copy_strided(x[0], offset, strides, *y);
}

// ---- Slices
struct Window {  // the elements of a slice inside its operand
  Dims strides;
  std::int64_t offset = 0;
  Window(const Shape& shape, const SliceParams& p) : strides(strides_of(shape)) {
    for (std::size_t i = 0; i < strides.size(); ++i) {
      offset += strides[i] * p.start_indices[i];
      if (p.strides) strides[i] *= (*p.strides)[i];
    }
  }
};
void slice(Args x, Params p, Array* y) {
  Window w(x[0].shape(), p.as<SliceParams>());
  copy_strided(x[0], w.offset, w.strides, *y);
}
// y += update, element by element; bits of integers may be added unsigned.
template <class T>
void add_at(T* y, const T* update, std::int64_t n, std::int64_t by) {
  if constexpr (is_half<T>) {
    for (std::int64_t i = 0; i < n; ++i) y[i * by] = T(float(y[i * by]) + float(update[i]));
  } else if (by == 1) {
    for (std::int64_t i = 0; i < n; ++i) y[i] += update[i];
  } else {
    for (std::int64_t i = 0; i < n; ++i) y[i * by] += update[i];
  }
}
template <class Go>
void by_addition(DType d, Go go) {
  switch (d) {
    case DType::f16: return go(float16());
    case DType::bf16: return go(bfloat16());
    case DType::f32: return go(float());
    case DType::f64: return go(double());
    case DType::c64: return go(std::complex<float>());
    case DType::c128: return go(std::complex<double>());
    default: break;
  }
  switch (width(d)) {
    case 1: return go(std::uint8_t());
    case 2: return go(std::uint16_t());
    case 4: return go(std::uint32_t());
    default: return go(std::uint64_t());
  }
}
void add_slice(Args x, Params p, Array* y) {  // in place when y is x[0]
  copy_all(x[0], *y);
  Window w(y->shape(), p.as<SliceParams>());
  const Shape& s = x[1].shape();
  StridedPair v{s, w.strides, strides_of(s)};
  if (!v.simplify()) return;
  by_addition(y->dtype(), [&](auto t) {
    using T = decltype(t);
    T* to = y->data<T>() + w.offset;
    const T* update = x[1].data<T>();
    const std::size_t rank = v.shape.size();
    if (rank == 0) return add_at(to, update, 1, 1);
    walk_pair(v, rank - 1, [&](std::int64_t a, std::int64_t b) {
      add_at(to + a, update + b, v.shape[rank - 1], v.to[rank - 1]);
    });
  });
}

void pad(Args x, Params p, Array* y) {
  const auto& config = p.as<PadParams>().padding_config;
  const Dims own = strides_of(x[0].shape()), out = strides_of(y->shape());
  StridedPair v;
  std::int64_t from = 0, to = 0;
  bool whole = true;  // no element of y is padding
  for (std::size_t i = 0; i < config.size(); ++i) {
    // Element k of the operand lands on low + k * step, if that is inside the result.
    const std::int64_t low = config[i][0], step = config[i][2] + 1, n = x[0].shape()[i],
                       n_out = y->shape()[i];
    const std::int64_t first = low < 0 ? (-low + step - 1) / step : 0;
    const std::int64_t end = n_out > low ? std::min(n, (n_out - 1 - low) / step + 1) : 0;
    const std::int64_t count = std::max<std::int64_t>(end - first, 0);
    v.add(count, out[i] * step, own[i]);
    from += first * own[i];
    to += (low + first * step) * out[i];
    whole = whole && count == n_out;
  }
  by_width(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    if (!whole) std::fill_n(y->data<T>(), y->size(), *x[1].data<T>());
    copy_pair(y->data<T>() + to, x[0].data<T>() + from, v);
  });
}

// ---- Joins and cuts: for each index in front of the axis, one run of bytes per part
std::size_t outer_size(const Shape& s, std::int64_t axis) {
  std::size_t n = 1;
  for (std::int64_t i = 0; i < axis; ++i) n *= std::size_t(s[std::size_t(i)]);
  return n;
}
void join(Args x, std::size_t outer, Array& y) {
  char* to = y.data<char>();
  if (y.size() == 0) return;
  for (std::size_t k = 0; k < outer; ++k)
    for (const Array& a : x) {
      const std::size_t run = bytes(a) / outer;
      std::memcpy(to, a.data<char>() + k * run, run);
      to += run;
    }
}
void cut(const Array& x, std::size_t outer, std::size_t parts, Array* y) {
  const char* from = x.data<char>();
  if (x.size() == 0) return;
  for (std::size_t k = 0; k < outer; ++k)
    for (std::size_t i = 0; i < parts; ++i) {
      const std::size_t run = bytes(y[i]) / outer;
      std::memcpy(y[i].data<char>() + k * run, from, run);
      from += run;
    }
}
void concatenate(Args x, Params p, Array* y) {
  join(x, outer_size(y->shape(), p.as<ConcatenateParams>().dimension), *y);
}
void stack(Args x, Params p, Array* y) {
  join(x, outer_size(y->shape(), p.as<AxisParams>().axis), *y);
}
void split(Args x, Params p, Array* y) {
  const auto& q = p.as<SplitParams>();
  cut(x[0], outer_size(x[0].shape(), q.axis), q.sizes.size(), y);
}
void unstack(Args x, Params p, Array* y) {
  const auto& q = p.as<UnstackParams>();
  cut(x[0], outer_size(x[0].shape(), q.axis), std::size_t(q.n), y);
}

// ---- From nothing
template <class T>
T from_index(std::int64_t i) {
  if constexpr (is_half<T>)
    return T(float(i));
  else if constexpr (is_complex_type<T>)
    return T(typename T::value_type(i));
  else
    return T(i);
}
void iota(Args, Params p, Array* y) {
  const auto& q = p.as<IotaParams>();
  const std::int64_t n = y->shape()[std::size_t(q.dimension)];
  if (y->size() == 0) return;
  const std::int64_t outer = std::int64_t(outer_size(y->shape(), q.dimension)),
                     inner = y->size() / (outer * n);
  by_dtype(q.dtype, [&](auto t) {
    using T = decltype(t);
    T* to = y->data<T>();
    for (std::int64_t i = 0; i < n; ++i) std::fill_n(to + i * inner, inner, from_index<T>(i));
    for (std::int64_t k = 1; k < outer; ++k) std::copy_n(to, n * inner, to + k * n * inner);
  });
}
void iota_2x32_shape(Args, Params, Array* y) {
  std::uint32_t *high = y[0].data<std::uint32_t>(), *low = y[1].data<std::uint32_t>();
  for (std::int64_t i = 0; i < y[0].size(); ++i) {
    high[i] = std::uint32_t(std::uint64_t(i) >> 32);
    low[i] = std::uint32_t(i);
  }
}
void empty(Args, Params, Array* y) { std::memset(y->data<char>(), 0, bytes(*y)); }

}  // namespace

void install_shape_kernels() {
  install<broadcast>(broadcast_in_dim_p);
  install_allocating<reshape>(reshape_p);
  install_allocating<view<squeeze_p>>(squeeze_p);
  install_allocating<view<expand_dims_p>>(expand_dims_p);
  install<transpose>(transpose_p);
  install<tile>(tile_p);
  install<rev>(rev_p);
  install<slice>(slice_p);
  install<add_slice, 1>(add_slice_p);
  install<pad>(pad_p);
  install<concatenate>(concatenate_p);
  install<stack>(stack_p);
  install<split>(split_p);
  install<unstack>(unstack_p);
  install<iota>(iota_p);
  install<iota_2x32_shape>(iota_2x32_shape_p);
  install<empty>(empty_p);
}

}  // namespace jaxpp::internal
