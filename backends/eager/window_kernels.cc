// window_kernels.cc -- reductions of windows, and selections in them.
//
// A reduction goes through the elements of the window in order, and for each of them along the last dimension of the result:
// the accumulators are a row of results, so the inner loop has no branches.  Filling (padding, holes) takes no part.
#include <algorithm>
#include <numeric>
#include "backends/eager/fold_ops.h"
#include "backends/host/pool.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/ops/window.h"

namespace jaxpp::internal {
namespace {

using Index = std::int64_t;

/// The windows of an operand, with its strides.
struct Geometry {
  Windows w;
  Shape in, out;
  Dims strides;
  Geometry(Windows windows, const Shape& operand)
      : w(std::move(windows)), in(operand), out(w.results(operand)), strides(strides_of(operand)) {}
  /// Where element k of window o lies along dimension d, or -1.
  Index source(std::size_t d, Index o, Index k) const {
    const Index x = o * w.window_strides[d] + k * w.window_dilation[d] - w.padding[d][0];
    if (x < 0 || x % w.base_dilation[d] != 0) return -1;
    return x / w.base_dilation[d] < in[d] ? x / w.base_dilation[d] : -1;
  }
  /// Offset of element `tap` of the window `at`, over the first n dimensions; -1 if it is filling.
  Index offset(const Dims& at, const Dims& tap, std::size_t n) const {
    Index sum = 0;
    for (std::size_t d = 0; d < n; ++d) {
      const Index s = source(d, at[d], tap[d]);
      if (s < 0) return -1;
      sum += s * strides[d];
    }
    return sum;
  }
};
// The row-major successor of an index; false after the last one.
bool next(Dims& index, const Dims& sizes, std::size_t rank) {
  while (rank-- > 0) {
    if (++index[rank] < sizes[rank]) return true;
    index[rank] = 0;
  }
  return false;
}
Dims digits(Index i, const Shape& sizes, std::size_t rank) {
  Dims d(sizes.size(), 0);
  while (rank-- > 0) {
    d[rank] = i % sizes[rank];
    i /= sizes[rank];
  }
  return d;
}

// ---- Reductions by one step
// total[o] = step(total[o], x[source of (o, tap)]) along the last dimension.
template <class Op, class T>
void fold_line(const Geometry& g, std::size_t d, Index tap, const T* x, Accumulated<T>* total) {
  const Windows& w = g.w;
  const Index stride = w.window_strides[d], dilation = w.base_dilation[d],
              shift = tap * w.window_dilation[d] - w.padding[d][0],
              common = std::gcd(stride, dilation), step = dilation / common,
              advance = stride / common;
  Index first = 0;  // every `step` results have a source, `advance` apart
  while (first < std::min(step, g.out[d]) && (first * stride + shift) % dilation != 0) ++first;
  if (first >= std::min(step, g.out[d])) return;
  const Index x0 = (first * stride + shift) / dilation,
              count = (g.out[d] - first + step - 1) / step,
              t0 = x0 >= 0 ? 0 : std::min(count, (-x0 + advance - 1) / advance),
              t1 = x0 >= g.in[d] ? t0
                                 : std::clamp((g.in[d] - x0 + advance - 1) / advance, t0, count);
  Accumulated<T>* to = total + first;
  if (step == 1 && advance == 1) {
    const T* from = x + x0;
    for (Index t = t0; t < t1; ++t) to[t] = Op::step(to[t], widen(from[t]));
  } else {
    for (Index t = t0; t < t1; ++t)
      to[t * step] = Op::step(to[t * step], widen(x[x0 + t * advance]));
  }
}
template <class Op, class T>
void fold_windows(const Geometry& g, const T* x, Accumulated<T> init, T* y) {
  const std::size_t rank = g.out.size();
  if (rank == 0) return (void)(*y = T(Op::step(init, widen(*x))));
  const std::size_t last = rank - 1;
  const Index n = g.out[last], lines = n ? product(g.out) / n : 0;
  auto line = [&](Index i) {
    thread_local std::vector<Accumulated<T>> total;
    total.assign(static_cast<std::size_t>(n), init);
    const Dims at = digits(i, g.out, last);
    Dims tap(rank, 0);
    do {
      const Index from = g.offset(at, tap, last);
      if (from < 0) continue;
      for (Index k = 0; k < g.w.window_dimensions[last]; ++k)
        fold_line<Op>(g, last, k, x + from, total.data());
    } while (next(tap, g.w.window_dimensions, last));
    std::transform(total.begin(), total.end(), y + i * n, [](Accumulated<T> v) { return T(v); });
  };
  if (double(product(g.out)) * double(g.w.elements()) < host::kSerialNanoseconds)
    for (Index i = 0; i < lines; ++i) line(i);
  else
    host::parallel_for(lines, line);
}
// init: null for the neutral element.
template <class Op>
void fold(const Windows& w, const Array& x, const Array* init, Array& y) {
  if (y.size() == 0) return;
  const Geometry g(w, x.shape());
  by_fold_type<Op>(x.dtype(), [&](auto t) {
    using T = decltype(t);
    using A = Accumulated<T>;
    fold_windows<Op>(g, x.data<T>(), init ? widen(*init->data<T>()) : Op::template identity<A>(),
                     y.data<T>());
  });
}
template <class Op>
void window_kernel(Args x, Params p, Array* y) {
  fold<Op>(Windows(p.as<WindowParams>()), x[0], nullptr, *y);
}

// ---- Reductions by a jaxpr
using Fold = void (*)(const Windows&, const Array&, const Array*, Array&);
// The reduction that a computation of one equation is; else null.
Fold simple_fold(const JaxprBody& j) {
  if (j.outs.size() != 1 || j.eqns.size() != 1 || !j.outs[0].is_var()) return nullptr;
  const auto& e = j.eqns[0];
  if (e.in.size() != 2 || e.out != j.outs[0].var() || !e.in[0].is_var() || !e.in[1].is_var())
    return nullptr;
  const Var a = e.in[0].var(), b = e.in[1].var(), acc = j.invars[0], x = j.invars[1];
  if (!(a == acc && b == x) && !(a == x && b == acc)) return nullptr;
  return e.prim == &add_p           ? fold<Sum>
         : e.prim == &mul_p         ? fold<Product>
         : e.prim == &max_p         ? fold<Max>
         : e.prim == &min_p         ? fold<Min>
         : e.prim == &bitwise_and_p ? fold<And>
         : e.prim == &bitwise_or_p  ? fold<Or>
                                    : nullptr;
}
void reduce_window_kernel(Args x, Params params, Array* y) {
  const auto& p = params.as<ReduceWindowParams>();
  const Windows w(p);
  if (const Fold f = simple_fold(*p.jaxpr)) return f(w, x[0], &x[1], y[0]);
  const Geometry g(w, x[0].shape());
  const std::size_t n = x.size() / 2, rank = g.out.size();
  auto element = [](const Array& from, Index i) {
    Array a = Array::make(scalar_type(from.dtype()));
    const std::size_t size = width(from.dtype());
    std::memcpy(a.data<char>(), from.data<char>() + std::size_t(i) * size, size);
    return a;
  };
  for (Index i = 0; i < y[0].size(); ++i) {
    SmallVec<Array, 4> in(2 * n), out(n);
    for (std::size_t k = 0; k < n; ++k) in[k] = x[n + k];
    const Dims at = digits(i, g.out, rank);
    Dims tap(rank, 0);
    do {
      const Index from = g.offset(at, tap, rank);
      if (from < 0) continue;
      for (std::size_t k = 0; k < n; ++k) in[n + k] = element(x[k], from);
      run_jaxpr(*p.jaxpr, Args{in.data(), in.size()}, out.data());
      for (std::size_t k = 0; k < n; ++k) in[k] = std::move(out[k]);
    } while (next(tap, w.window_dimensions, rank));
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t size = width(y[k].dtype());
      std::memcpy(y[k].data<char>() + std::size_t(i) * size, in[k].data<char>(), size);
    }
  }
}

// ---- Selections
// visit(window, offset of the element it selects), for windows that have one.
template <class T, class Visit>
void select(const Geometry& g, SelectPrim select_prim, const T* x, Visit visit) {
  const std::size_t rank = g.out.size();
  const Index windows = product(g.out);
  Dims at(rank, 0), tap(rank, 0);
  for (Index i = 0; i < windows; ++i, next(at, g.out, rank)) {
    Index best = -1;
    do {
      const Index from = g.offset(at, tap, rank);
      if (from < 0) continue;
      if (best >= 0) {
        const auto a = widen(x[best]), b = widen(x[from]);
        const bool keep = select_prim == SelectPrim::ge ? !before(a, b) && a == a && b == b
                                                        : !before(b, a) && a == a && b == b;
        if (keep) continue;
      }
      best = from;
    } while (next(tap, g.w.window_dimensions, rank));
    if (best >= 0) visit(i, best);
  }
}
void scatter_kernel(Args x, Params params, Array* y) {
  const auto& p = params.as<SelectAndScatterParams>();
  const Geometry g(Windows(p), x[1].shape());
  by_dtype(y->dtype(), [&](auto t) {
    using T = decltype(t);
    std::vector<std::conditional_t<std::is_same_v<T, bool>, char, Accumulated<T>>> sum(
        static_cast<std::size_t>(y->size()));
    select(g, p.select_prim, x[1].data<T>(), [&](Index window, Index at) {
      auto& s = sum[std::size_t(at)];
      const auto v = widen(x[0].data<T>()[window]);
      if constexpr (std::is_same_v<T, bool>)
        s = s || v;
      else
        s = decltype(v)(s + v);
    });
    for (std::size_t i = 0; i < sum.size(); ++i) y->data<T>()[i] = T(sum[i]);
  });
}
void gather_kernel(Args x, Params params, Array* y) {
  const auto& p = params.as<SelectAndGatherParams>();
  const Geometry g(Windows(p), x[1].shape());
  by_dtype(y->dtype(), [&](auto t) {
    using T = decltype(t);
    T* to = y->data<T>();
    std::fill_n(to, y->size(), T(0));
    select(g, p.select_prim, x[1].data<T>(),
           [&](Index window, Index at) { to[window] = x[0].data<T>()[at]; });
  });
}

}  // namespace

void install_window_kernels() {
  install<window_kernel<Sum>>(reduce_window_sum_p);
  install<window_kernel<Max>>(reduce_window_max_p);
  install<window_kernel<Min>>(reduce_window_min_p);
  install<reduce_window_kernel>(reduce_window_p);
  install<scatter_kernel>(select_and_scatter_add_p);
  install<gather_kernel>(select_and_gather_add_p);
}

}  // namespace jaxpp::internal
