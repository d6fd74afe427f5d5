// reduce_kernels.cc -- reductions over any axes, argmax and argmin, reduce by a jaxpr.
//
// Axes are first joined into alternating groups, kept and reduced.  Two loops do the work: along
// the last axis (fold_row), and over rows into a row (the accumulators are the row, sums in
// blocks).  So a float sum of n elements has an error of about log n roundings, not n.
#include <algorithm>
#include <cstring>
#include "backends/eager/fold_ops.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {
namespace {

// How many rows of n elements are a piece of work.
std::int64_t rows_of_piece(std::int64_t n) { return std::max<std::int64_t>(1, 2 * kPiece / n); }

// ---- A long row: as fold_row, whose subtrees are divided over threads
template <class Op, class T, class A = Accumulated<T>>
A fold_long_row(const T* x, std::int64_t n) {
  if (n < 2 * kPiece) return fold_row<Op>(x, n);
  std::vector<std::int64_t> begin;
  const auto split = [&](const auto& self, std::int64_t at, std::int64_t size) -> void {
    if (size <= kPiece) return begin.push_back(at);
    const std::int64_t half = half_of(size);
    self(self, at, half);
    self(self, at + half, size - half);
  };
  split(split, 0, n);
  begin.push_back(n);
  std::vector<A> part(begin.size() - 1);
  host::parallel_for(std::int64_t(part.size()), [&](std::int64_t c) {
    const auto i = std::size_t(c);
    part[i] = fold_row<Op>(x + begin[i], begin[i + 1] - begin[i]);
  });
  std::size_t next = 0;
  const auto join = [&](const auto& self, std::int64_t size) -> A {
    if (size <= kPiece) return part[next++];
    const std::int64_t half = half_of(size);
    const A first = self(self, half);
    return Op::step(first, self(self, size - half));
  };
  return join(join, n);
}

// ---- Rows into a row
template <class Op, class T, class A = Accumulated<T>>
void fold_rows(const T* x, std::int64_t rows, std::int64_t n, A* y) {
  constexpr std::int64_t columns = 256, height = 64;
  const auto block = [=](std::int64_t c) {
    A part[columns];
    const std::int64_t w = std::min(columns, n - c);
    for (std::int64_t r = 0; r < rows; r += height) {
      const T* from = x + r * n + c;
      for (std::int64_t i = 0; i < w; ++i) part[i] = widen(from[i]);
      for (std::int64_t k = 1; k < std::min(height, rows - r); ++k) {
        from += n;
        for (std::int64_t i = 0; i < w; ++i) part[i] = Op::step(part[i], widen(from[i]));
      }
      for (std::int64_t i = 0; i < w; ++i) y[c + i] = Op::step(y[c + i], part[i]);
    }
  };
  host::parallel_ranges(n, rows_of_piece(rows * columns) * columns,
                        [&](std::int64_t begin, std::int64_t end) {
                          for (std::int64_t c = begin; c < end; c += columns) block(c);
                        });
}

// ---- Any axes
struct Group {
  bool reduced;
  std::int64_t size, stride, to;  // strides in the operand, in the result (0 if reduced)
};
using Groups = SmallVec<Group, 4>;
Groups groups_of(const Shape& shape, const Dims& axes) {
  Groups g;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    const bool reduced = std::find(axes.begin(), axes.end(), std::int64_t(i)) != axes.end();
    if (!g.empty() && g.back().reduced == reduced)
      g.back().size *= shape[i];
    else
      g.push_back(Group{reduced, shape[i], 0, 0});
  }
  std::int64_t stride = 1, to = 1;
  for (std::size_t i = g.size(); i-- > 0;) {
    g[i].stride = stride;
    g[i].to = g[i].reduced ? 0 : to;
    stride *= g[i].size;
    if (!g[i].reduced) to *= g[i].size;
  }
  return g;
}
template <class Op, class T, class A = Accumulated<T>>
void fold_groups(const T* x, const Group* g, std::size_t n, A* y) {
  if (n == 0) {
    *y = Op::step(*y, widen(*x));
  } else if (n == 1 && g->reduced) {
    *y = Op::step(*y, fold_long_row<Op>(x, g->size));
  } else if (n == 1) {
    for (std::int64_t i = 0; i < g->size; ++i) y[i] = Op::step(y[i], widen(x[i]));
  } else if (n == 2 && g->reduced) {
    fold_rows<Op>(x, g->size, g[1].size, y);
  } else if (n == 2) {
    host::parallel_ranges(g->size, rows_of_piece(g->stride),
                          [=](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t i = begin; i < end; ++i)
                              y[i] = Op::step(y[i], fold_row<Op>(x + i * g->stride, g->stride));
                          });
  } else if (!g->reduced) {
    host::parallel_ranges(g->size, rows_of_piece(g->stride),
                          [=](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t i = begin; i < end; ++i)
                              fold_groups<Op>(x + i * g->stride, g + 1, n - 1, y + i * g->to);
                          });
  } else {
    for (std::int64_t i = 0; i < g->size; ++i)
      fold_groups<Op>(x + i * g->stride, g + 1, n - 1, y + i * g->to);
  }
}
// y = init * x[0] * x[1] * ...; init null: the identity.
template <class Op>
void fold(const Array& x, const Dims& axes, const Array* init, Array& y) {
  by_fold_type<Op>(x.dtype(), [&](auto t) {
    using T = decltype(t);
    using A = Accumulated<T>;
    A first = Op::template identity<A>();
    if (init)
      first = widen(*init->template data<T>());
    else if (is_bool(x.dtype()))
      first = A(first != A(0));
    const std::int64_t n = y.size();
    SmallVec<A, 16> wide;
    A* out;
    if constexpr (std::is_same_v<A, T>) {
      out = y.data<T>();
      std::fill_n(out, n, first);
    } else {
      wide.resize(std::size_t(n), first);
      out = wide.data();
    }
    if (x.size() > 0) {
      Groups g = groups_of(x.shape(), axes);
      fold_groups<Op>(x.data<T>(), g.data(), g.size(), out);
    }
    if constexpr (!std::is_same_v<A, T>)
      for (std::int64_t i = 0; i < n; ++i) y.data<T>()[i] = T(out[i]);
  });
}
template <class Op>
void reduce_axes(Args x, Params p, Array* y) {
  // Of one element each: that element, as compiled (and as XLA does it).  0 + -0 would be 0.
  if (x[0].size() == y->size() && x[0].size() > 0 && x[0].dtype() == y->dtype()) {
    std::memcpy(y->data<char>(), x[0].data<char>(), std::size_t(y->size()) * width(y->dtype()));
    return;
  }
  fold<Op>(x[0], p.as<AxesParams>().axes, nullptr, *y);
}

// ---- argmax, argmin: where the extreme stands first; a NaN is the extreme
template <class Op>
void arg_extreme(Args x, Params p, Array* y) {
  const auto& q = p.as<ArgParams>();
  const auto axis = std::size_t(q.axes[0]);
  const std::int64_t n = x[0].shape()[axis], inner = strides_of(x[0].shape())[axis];
  if (x[0].size() == 0) return;
  const std::int64_t outer = x[0].size() / (n * inner);
  SmallVec<std::int64_t, 16> found(std::size_t(outer * inner), 0);
  by_fold_type<Op>(x[0].dtype(), [&](auto t) {
    using T = decltype(t);
    using A = Accumulated<T>;
    const auto hit = [](const A& v, const A& extreme) { return v == extreme || v != v; };
    SmallVec<A, 16> extreme(static_cast<std::size_t>(inner), A(0));
    for (std::int64_t k = 0; k < outer; ++k) {
      const T* from = x[0].data<T>() + k * n * inner;
      std::int64_t* at = found.data() + k * inner;
      if (inner == 1) {
        const A v = fold_row<Op>(from, n);
        while (*at + 1 < n && !hit(widen(from[*at]), v)) ++*at;
        continue;
      }
      for (std::int64_t j = 0; j < inner; ++j) extreme[std::size_t(j)] = widen(from[j]);
      fold_rows<Op>(from, n, inner, extreme.data());
      for (std::int64_t i = n; i-- > 0;)
        for (std::int64_t j = 0; j < inner; ++j)
          at[j] = hit(widen(from[i * inner + j]), extreme[std::size_t(j)]) ? i : at[j];
    }
  });
  by_width(q.index_dtype, [&](auto t) {
    using T = decltype(t);
    if constexpr (!std::is_same_v<T, Bits128>)
      for (std::size_t i = 0; i < found.size(); ++i) y->data<T>()[i] = T(found[i]);
  });
}

// ---- reduce by a jaxpr
using Fold = void (*)(const Array&, const Dims&, const Array*, Array&);
// The reduction that result k of the computation is, if it is one equation of accumulator k and
// element k; else null.
Fold simple_fold(const JaxprBody& j, std::size_t k) {
  const std::size_t n = j.outs.size();
  for (const auto& e : j.eqns) {
    if (e.in.size() != 2 || !j.outs[k].is_var() || e.out != j.outs[k].var()) continue;
    if (!e.in[0].is_var() || !e.in[1].is_var()) return nullptr;
    const Var a = e.in[0].var(), b = e.in[1].var(), acc = j.invars[k], x = j.invars[n + k];
    if (!(a == acc && b == x) && !(a == x && b == acc)) return nullptr;
    return e.prim == &add_p           ? fold<Sum>
           : e.prim == &mul_p         ? fold<Product>
           : e.prim == &max_p         ? fold<Max>
           : e.prim == &min_p         ? fold<Min>
           : e.prim == &bitwise_and_p ? fold<And>
           : e.prim == &bitwise_or_p  ? fold<Or>
           : e.prim == &bitwise_xor_p ? fold<Xor>
                                      : nullptr;
  }
  return nullptr;
}
// One run of the computation for each element, in row-major order.
void reduce_by_jaxpr(const JaxprBody& j, Args x, const Dims& dimensions, Array* y) {
  const std::size_t n = x.size() / 2, rank = x[0].shape().size();
  const Dims all = strides_of(x[0].shape()), kept = without(rank, dimensions),
             axes = without(rank, kept), sizes = pick(x[0].shape(), axes),
             strides = pick(all, axes), kept_strides = pick(all, kept);
  auto element = [](const Array& from, std::int64_t i) {
    Array a = Array::make(scalar_type(from.dtype()));
    const std::size_t w = width(from.dtype());
    std::memcpy(a.data<char>(), from.data<char>() + std::size_t(i) * w, w);
    return a;
  };
  walk(y[0].shape(), kept_strides, 0, [&](std::int64_t to, std::int64_t offset) {
    SmallVec<Array, 4> in(2 * n), out(n);
    for (std::size_t i = 0; i < n; ++i) in[i] = x[n + i];
    walk(sizes, strides, offset, [&](std::int64_t, std::int64_t from) {
      for (std::size_t i = 0; i < n; ++i) in[n + i] = element(x[i], from);
      run_jaxpr(j, Args{in.data(), in.size()}, out.data());
      for (std::size_t i = 0; i < n; ++i) in[i] = std::move(out[i]);
    });
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t w = width(in[i].dtype());
      std::memcpy(y[i].data<char>() + std::size_t(to) * w, in[i].data<char>(), w);
    }
  });
}
void reduce(Args x, Params p, Array* y) {
  const auto& q = p.as<ReduceParams>();
  const std::size_t n = x.size() / 2;
  SmallVec<Fold, 4> folds;
  for (std::size_t k = 0; k < n; ++k) {
    folds.push_back(simple_fold(*q.jaxpr, k));
    if (!folds[k]) return reduce_by_jaxpr(*q.jaxpr, x, q.dimensions, y);
  }
  for (std::size_t k = 0; k < n; ++k) folds[k](x[k], q.dimensions, &x[n + k], y[k]);
}

}  // namespace

void install_reduce_kernels() {
  install<reduce_axes<Sum>>(reduce_sum_p);
  install<reduce_axes<Product>>(reduce_prod_p);
  install<reduce_axes<Max>>(reduce_max_p);
  install<reduce_axes<Min>>(reduce_min_p);
  install<reduce_axes<And>>(reduce_and_p);
  install<reduce_axes<Or>>(reduce_or_p);
  install<reduce_axes<Xor>>(reduce_xor_p);
  install<arg_extreme<Max>>(argmax_p);
  install<arg_extreme<Min>>(argmin_p);
  install<reduce>(reduce_p);
  install_cumulative_kernels();
}

}  // namespace jaxpp::internal
