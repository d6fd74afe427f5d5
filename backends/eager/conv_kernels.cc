// conv_kernels.cc -- conv_general_dilated: by oneDNN where it can (conv_dnn.cc), else as matrix products over strips of the
// result.
//
//   C[o, p] = sum over r of W[o, r] X[r, p]      o: output features, r: (input feature, window element), p: (batch, position)
//
// X, which repeats every input as often as a window covers it, only ever exists for one strip of p and one block of r, small
// enough for the cache.  What lies side by side in lhs's memory is copied together: elements of the last spatial dimension,
// of the batch, or of the input features (and the window's last dimension with them).  Dilation and padding, low and high
// and negative, are in the index arithmetic of the copy.  W and C are used where they lie if that is a matrix.  Strips do
// not depend on the number of threads, so that results do not.
#include <Eigen/Core>
#include <algorithm>
#include <limits>
#include <numeric>
#include "backends/eager/conv_problem.h"
#include "backends/eager/strided.h"
#include "backends/host/library.h"
#include "backends/host/pool.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {
namespace {

using conv::Index;
using conv::Problem;
using conv::Window;

// The digits of a row-major index of the first n windows (of their sizes, or of their results).
template <Index Window::*Size>
void digits(Index at, const Problem& q, std::size_t n, Index* digit) {
  while (n-- > 0) {
    digit[n] = at % (q.windows[n].*Size);
    at /= q.windows[n].*Size;
  }
}
// The digits of the next index.
template <Index Window::*Size>
void advance(const Problem& q, std::size_t n, Index* digit) {
  while (n-- > 0) {
    if (++digit[n] < q.windows[n].*Size) return;
    digit[n] = 0;
  }
}
constexpr std::size_t kMaxRank = 64;

// ---- Strips of X
// Copies lhs[from + x by], where x runs over the sources of results [begin, end) of one window element.
template <class T>
void copy_run(T* to, const T* from, const Window& w, Index tap, Index begin, Index end) {
  // o stride + shift = x lhs_dilation: solutions are every `step` results, `advance` sources apart.
  const Index shift = tap * w.rhs_dilation - w.low, common = std::gcd(w.stride, w.lhs_dilation),
              step = w.lhs_dilation / common, advance = w.stride / common;
  Index first = begin;
  while (first < end && first < begin + step && (first * w.stride + shift) % w.lhs_dilation != 0)
    ++first;
  if (first >= end || (first * w.stride + shift) % w.lhs_dilation != 0)
    return (void)std::fill(to, to + (end - begin), T(0));
  // x of the t-th solution is x0 + t advance; those inside [0, in) are t0 <= t < t1.
  const Index x0 = (first * w.stride + shift) / w.lhs_dilation,
              count = (end - first + step - 1) / step,
              t0 = x0 >= 0 ? 0 : std::min(count, (-x0 + advance - 1) / advance),
              t1 = x0 >= w.in ? t0 : std::clamp((w.in - x0 + advance - 1) / advance, t0, count);
  if (step == 1) {
    T* const dense = to + (first - begin);
    std::fill(to, dense + t0, T(0));
    std::fill(dense + t1, to + (end - begin), T(0));
    const T* source = from + x0 * w.lhs_by;
    const Index by = advance * w.lhs_by;
    if (by == 1)
      std::copy(source + t0, source + t1, dense + t0);
    else
      for (Index t = t0; t < t1; ++t) dense[t] = source[t * by];
    return;
  }
  std::fill(to, to + (end - begin), T(0));
  for (Index t = t0; t < t1; ++t)
    to[first - begin + t * step] = from[(x0 + t * advance) * w.lhs_by];
}
template <class T>
void copy_line(T* to, const T* from, Index by, Index n) {
  if (by == 1)
    std::copy(from, from + n, to);
  else
    for (Index i = 0; i < n; ++i) to[i] = from[i * by];
}

/// What X's rows and columns are, and which of its dimensions is contiguous.
enum class Layout {
  runs,     // X[(i, k), (n, o)]: elements of the last spatial dimension side by side
  batches,  // X[(i, k), (o, n)]: batch items
  features  // X'[(n, o), (k, i)]: input features
};
Layout layout_of(const Problem& q) {
  const Window& w = q.windows.back();
  if (q.lhs_in == 1 && q.in > 1) return Layout::features;
  if (q.lhs_batch == 1 && q.batch > 1 && w.lhs_by != 1) return Layout::batches;
  return Layout::runs;
}
// X[r0..r1, p0..p1], row-major.
template <class T>
void fill_columns(const Problem& q, Layout layout, const T* lhs, Index r0, Index r1, Index p0,
                  Index p1, T* x) {
  const std::size_t last = q.windows.size() - 1, outer = layout == Layout::runs ? last : last + 1;
  const Window& w = q.windows[last];
  const Index line = layout == Layout::runs ? w.out : q.batch, rows = q.positions / w.out;
  Index tap[kMaxRank], at[kMaxRank];
  for (Index r = r0; r < r1; ++r) {
    digits<&Window::size>(r % q.taps, q, last + 1, tap);
    const T* feature = lhs + r / q.taps * q.lhs_in;
    Index row = p0 / line, begin = p0 % line;
    digits<&Window::out>(layout == Layout::runs ? row % rows : row, q, outer, at);
    for (Index p = p0; p < p1; ++row, begin = 0, advance<&Window::out>(q, outer, at)) {
      const Index n = std::min(line - begin, p1 - p);
      const T* from = feature;
      if (layout == Layout::runs) from += row / rows * q.lhs_batch;
      bool inside = true;
      for (std::size_t d = 0; inside && d < outer; ++d) {
        const Index s = q.windows[d].source(at[d], tap[d]);
        inside = s >= 0;
        from += s;
      }
      if (!inside)
        std::fill(x, x + n, T(0));
      else if (layout == Layout::runs)
        copy_run(x, from, w, tap[last], begin, begin + n);
      else
        copy_line(x, from + begin * q.lhs_batch, q.lhs_batch, n);
      x += n;
      p += n;
    }
  }
}
// X'[p0..p1, r0..r1], row-major; r0 and r1 are multiples of what the window's last dimension and the features have.
template <class T>
void fill_rows(const Problem& q, const T* lhs, Index r0, Index r1, Index p0, Index p1, T* x) {
  const std::size_t last = q.windows.size() - 1;
  const Window& w = q.windows[last];
  const Index unit = w.size * q.in;
  const bool together = w.lhs_dilation == 1 && w.rhs_dilation == 1 && w.lhs_by == q.in;
  Index at[kMaxRank], tap[kMaxRank];
  digits<&Window::out>(p0 % q.positions, q, last + 1, at);
  for (Index p = p0; p < p1; ++p, advance<&Window::out>(q, last + 1, at)) {
    const T* item = lhs + p / q.positions * q.lhs_batch;
    digits<&Window::size>(r0 / unit, q, last, tap);
    for (Index r = r0; r < r1; r += unit, x += unit, advance<&Window::size>(q, last, tap)) {
      const T* from = item;
      bool inside = true;
      for (std::size_t d = 0; inside && d < last; ++d) {
        const Index s = q.windows[d].source(at[d], tap[d]);
        inside = s >= 0;
        from += s;
      }
      if (!inside) {
        std::fill(x, x + unit, T(0));
      } else if (together) {
        const Index start = at[last] * w.stride - w.low, k0 = std::clamp<Index>(-start, 0, w.size),
                    k1 = std::clamp<Index>(w.in - start, k0, w.size);
        std::fill(x, x + k0 * q.in, T(0));
        std::copy(from + (start + k0) * q.in, from + (start + k1) * q.in, x + k0 * q.in);
        std::fill(x + k1 * q.in, x + unit, T(0));
      } else {
        for (Index k = 0; k < w.size; ++k) {
          const Index s = w.source(at[last], k);
          if (s < 0)
            std::fill(x + k * q.in, x + (k + 1) * q.in, T(0));
          else
            std::copy(from + s, from + s + q.in, x + k * q.in);
        }
      }
    }
  }
}

// ---- Matrices
template <class T>
struct Matrix {
  T* data;
  Index row, col;  // strides; one of them is 1
  Matrix transposed() const { return {data, col, row}; }
};
// The distance of rows (of columns, if those are contiguous); a library checks it even where there is only one of them.
template <class T>
int stride_of(const Matrix<T>& x, Index rows, Index cols) {
  return int(x.col == 1 ? std::max({x.row, cols, Index(1)}) : std::max({x.col, rows, Index(1)}));
}
template <class... M>
bool fits(Index m, Index n, Index k, const M&... x) {
  return std::max({m, n, k, x.row..., x.col...}) <= std::numeric_limits<int>::max();
}
// c = a b, or c += a b, for m x k times k x n.
template <class T>
void multiply(Matrix<T> c, Matrix<const T> a, Matrix<const T> b, Index m, Index n, Index k,
              bool add) {
  if (c.col != 1) return multiply<T>(c.transposed(), b.transposed(), a.transposed(), n, m, k, add);
  if constexpr (std::is_integral_v<T>) {
    for (Index i = 0; i < m; ++i) {
      T* row = c.data + i * c.row;
      if (!add) std::fill(row, row + n, T(0));
      for (Index l = 0; l < k; ++l) {
        const T v = a.data[i * a.row + l * a.col];
        const T* from = b.data + l * b.row;
        for (Index j = 0; j < n; ++j) row[j] = T(row[j] + v * from[j * b.col]);
      }
    }
  } else if (const host::Blas<T>* library = host::blas<T>(); library && fits(m, n, k, a, b, c)) {
    // In columns, as the library wants them, these are c^T = b^T a^T.
    const int rows = int(n), cols = int(m), inner = int(k), c_by = stride_of(c, m, n),
              a_by = stride_of(a, m, k), b_by = stride_of(b, k, n);
    const T one(1), before(add ? 1 : 0);
    library->gemm(b.col == 1 ? "N" : "T", a.col == 1 ? "N" : "T", &rows, &cols, &inner, &one,
                  b.data, &b_by, a.data, &a_by, &before, c.data, &c_by, 1, 1);
  } else {
    using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using Cols = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
    using Stride = Eigen::OuterStride<>;
    Eigen::Map<Rows, 0, Stride> out(c.data, m, n, Stride(c.row));
    auto by_b = [&](const auto& left) {
      auto go = [&](const auto& right) {
        if (add)
          out.noalias() += left * right;
        else
          out.noalias() = left * right;
      };
      if (b.col == 1)
        go(Eigen::Map<const Rows, 0, Stride>(b.data, k, n, Stride(b.row)));
      else
        go(Eigen::Map<const Cols, 0, Stride>(b.data, k, n, Stride(b.col)));
    };
    if (a.col == 1)
      by_b(Eigen::Map<const Rows, 0, Stride>(a.data, m, k, Stride(a.row)));
    else
      by_b(Eigen::Map<const Cols, 0, Stride>(a.data, m, k, Stride(a.col)));
  }
}

struct Axis {
  Index size, by;
};
// The stride of the row-major index over all axes, or -1 if there is none.
Index joined(std::initializer_list<std::span<const Axis>> lists) {
  Index stride = 0, next = 0;
  for (auto list = std::rbegin(lists); list != std::rend(lists); ++list)
    for (std::size_t i = list->size(); i-- > 0;) {
      const Axis& a = (*list)[i];
      if (a.size == 1) continue;
      if (next && a.by != next) return -1;
      if (!next) stride = a.by;
      next = a.by * a.size;
    }
  return next ? stride : 1;
}
std::vector<Axis> taps_of(const Problem& q) {
  std::vector<Axis> v;
  for (auto& w : q.windows) v.push_back({w.size, w.rhs_by});
  return v;
}
std::vector<Axis> positions_of(const Problem& q) {
  std::vector<Axis> v;
  for (auto& w : q.windows) v.push_back({w.out, w.out_by});
  return v;
}

// ---- The whole
template <class Task>
void for_each_task(const Problem& q, Index tasks, Task task) {
  if (q.flops() / 4 < host::kSerialNanoseconds)
    for (Index t = 0; t < tasks; ++t) task(t);
  else
    host::parallel_for(tasks, task);
}
constexpr Index kStripElements = Index(1) << 17, kMostReduced = 512, kLeastStrip = 64;

template <class T>
class Convolution {
 public:
  Convolution(const Problem& q, const T* lhs, const T* rhs, T* y)
      : q_(q), layout_(layout_of(q)), lhs_(lhs), y_(y) {
    const Index r = q.reduced(), p = q.batch * q.positions;
    const Index unit = layout_ == Layout::features ? q.windows.back().size * q.in : 1;
    block_ = std::min(r, (std::max(kMostReduced, unit) / unit) * unit);
    if (r <= 2 * kMostReduced) block_ = r;
    strip_ = std::clamp<Index>(kStripElements / std::max<Index>(block_, 1), kLeastStrip, 2048);
    // Strips of about equal size; of one batch item each, if that is long enough, so that C can be written in place.
    const std::vector<Axis> spatial = positions_of(q);
    const Axis batch[] = {{q.batch, q.out_batch}};
    const std::span<const Axis> s(spatial.data(), spatial.size());
    by_position_ = layout_ == Layout::batches ? joined({s, batch}) : joined({batch, s});
    run_ = p;
    if (by_position_ < 0 && layout_ != Layout::batches && q.positions >= kLeastStrip) {
      by_position_ = joined({s});
      run_ = q.positions;
    }
    const Index pieces = (run_ + strip_ - 1) / strip_;
    strip_ = (run_ + pieces - 1) / pieces;
    pieces_ = (run_ + strip_ - 1) / strip_;
    direct_ = by_position_ >= 0 && (by_position_ == 1 || q.out_out == 1);
    weights(rhs);
  }
  void run() {
    const Index runs = q_.batch * q_.positions / run_, tasks = q_.groups * runs * pieces_;
    auto task = [&](Index t) {
      const Index piece = t % pieces_, in_run = t / pieces_ % runs;
      const Index begin = in_run * run_ + piece * strip_;
      strip(t / pieces_ / runs, in_run, begin, std::min(begin + strip_, (in_run + 1) * run_));
    };
    for_each_task(q_, tasks, task);
  }

 private:
  // W[o, r] of group 0; the others lie w_group_ apart.
  void weights(const T* rhs) {
    const std::vector<Axis> taps = taps_of(q_);
    const Axis in[] = {{q_.in, q_.rhs_in}};
    const std::span<const Axis> k(taps.data(), taps.size());
    const Index by = layout_ == Layout::features ? joined({k, in}) : joined({in, k});
    if (by >= 0 && (by == 1 || q_.rhs_out == 1)) {
      w_ = {rhs, q_.rhs_out, by};
      w_group_ = q_.rhs_group;
      return;
    }
    const Index r = q_.reduced(), all = q_.groups * q_.out;
    copy_.resize(std::size_t(all * r));
    StridedPair pair;
    std::vector<Axis> order = {{all, q_.rhs_out}};
    if (layout_ != Layout::features) order.push_back(in[0]);
    for (const Axis& a : k) order.push_back(a);
    if (layout_ == Layout::features) order.push_back(in[0]);
    Shape shape;
    for (const Axis& a : order) shape.push_back(a.size);
    const Dims dense = strides_of(shape);
    for (std::size_t i = 0; i < order.size(); ++i) pair.add(order[i].size, dense[i], order[i].by);
    copy_pair(copy_.data(), rhs, std::move(pair));
    w_ = {copy_.data(), r, 1};
    w_group_ = q_.out * r;
  }
  // Results p0..p1 of one group.
  void strip(Index group, Index run, Index p0, Index p1) {
    thread_local std::vector<T> buffer;
    const Index n = p1 - p0, m = q_.out;
    const std::size_t x_size = std::size_t(block_ * n);
    buffer.resize(std::max(buffer.size(), x_size + (direct_ ? 0 : std::size_t(m * n))));
    T* x = buffer.data();
    Matrix<T> c{x + x_size, n, 1};
    if (direct_) {
      const Index start = run_ == q_.batch * q_.positions
                              ? p0 * by_position_
                              : run * q_.out_batch + (p0 - run * run_) * by_position_;
      c = {y_ + group * q_.out_group + start, q_.out_out, by_position_};
    }
    const T* lhs = lhs_ + group * q_.lhs_group;
    for (Index r0 = 0; r0 < q_.reduced(); r0 += block_) {
      const Index r1 = std::min(q_.reduced(), r0 + block_), k = r1 - r0;
      Matrix<const T> columns{x, n, 1};
      if (layout_ == Layout::features) {
        fill_rows(q_, lhs, r0, r1, p0, p1, x);
        columns = {x, 1, k};
      } else {
        fill_columns(q_, layout_, lhs, r0, r1, p0, p1, x);
      }
      const Matrix<const T> w{w_.data + group * w_group_ + r0 * w_.col, w_.row, w_.col};
      multiply<T>(c, w, columns, m, n, k, r0 > 0);
    }
    if (!direct_) scatter(group, p0, p1, c.data);
  }
  // C, row-major in memory of its own, to where its elements belong.
  void scatter(Index group, Index p0, Index p1, const T* c) {
    Index at[kMaxRank];
    const std::size_t rank = q_.windows.size();
    for (Index p = p0; p < p1; ++p) {
      const bool batch_last = layout_ == Layout::batches;
      const Index item = batch_last ? p % q_.batch : p / q_.positions;
      digits<&Window::out>(batch_last ? p / q_.batch : p % q_.positions, q_, rank, at);
      T* to = y_ + group * q_.out_group + item * q_.out_batch;
      for (std::size_t d = 0; d < rank; ++d) to += at[d] * q_.windows[d].out_by;
      for (Index o = 0; o < q_.out; ++o) to[o * q_.out_out] = c[o * (p1 - p0) + p - p0];
    }
  }

  const Problem& q_;
  const Layout layout_;
  const T* lhs_;
  T* y_;
  Index block_, strip_, run_, pieces_,
      by_position_;  // of r, of p; positions that are one matrix in y
  bool direct_;
  Matrix<const T> w_;
  Index w_group_;
  std::vector<T> copy_;
};

// ---- Without X, where the last spatial dimension is contiguous and long
constexpr Index kLongLine = 128;
// Many results in a line: X[., p] of one window element is lhs itself, shifted.  C += W[., ., k] lhs[., p + k] for every k.
template <class T>
bool by_shifts(const Problem& q, const T* lhs, const T* rhs, T* y) {
  const std::size_t last = q.windows.size() - 1;
  const Window& w = q.windows[last];
  if (w.stride != 1 || w.lhs_dilation != 1 || w.lhs_by != 1 || w.out_by != 1 || w.out < kLongLine ||
      q.in < 16)
    return false;
  const Index all = q.groups * q.out;
  std::vector<T> weights(std::size_t(q.taps * all * q.in));  // [k][o][i]
  Index next[kMaxRank] = {};
  for (Index k = 0; k < q.taps; ++k, advance<&Window::size>(q, last + 1, next)) {
    const T* from = rhs;
    for (std::size_t d = 0; d <= last; ++d) from += next[d] * q.windows[d].rhs_by;
    T* to = weights.data() + k * all * q.in;
    for (Index o = 0; o < all; ++o) copy_line(to + o * q.in, from + o * q.rhs_out, q.rhs_in, q.in);
  }
  const Index pieces = (w.out + 511) / 512, strip = (w.out + pieces - 1) / pieces,
              lines = q.positions / w.out;
  auto task = [&](Index t) {
    Index at[kMaxRank], k[kMaxRank] = {};
    const Index begin = t % pieces * strip, end = std::min(w.out, begin + strip),
                line = t / pieces % lines, item = t / pieces / lines % q.batch,
                group = t / pieces / lines / q.batch;
    digits<&Window::out>(line, q, last, at);
    T* c = y + group * q.out_group + item * q.out_batch;
    for (std::size_t d = 0; d < last; ++d) c += at[d] * q.windows[d].out_by;
    for (Index o = 0; o < q.out; ++o)
      std::fill(c + o * q.out_out + begin, c + o * q.out_out + end, T(0));
    for (Index i = 0; i < q.taps; ++i, advance<&Window::size>(q, last + 1, k)) {
      const T* from = lhs + group * q.lhs_group + item * q.lhs_batch;
      bool inside = true;
      for (std::size_t d = 0; inside && d < last; ++d) {
        const Index s = q.windows[d].source(at[d], k[d]);
        inside = s >= 0;
        from += s;
      }
      const Index shift = k[last] * w.rhs_dilation - w.low, p0 = std::max(begin, -shift),
                  p1 = std::min(end, w.in - shift);
      if (!inside || p1 <= p0) continue;
      multiply<T>({c + p0, q.out_out, 1},
                  {weights.data() + (i * all + group * q.out) * q.in, q.in, 1},
                  {from + p0 + shift, q.lhs_in, 1}, q.out, p1 - p0, q.in, true);
    }
  };
  for_each_task(q, q.groups * q.batch * lines * pieces, task);
  return true;
}
// Few results of long windows, as in the derivative of a kernel: C[o, n] of one position is a product of rows of rhs with
// rows of lhs as they lie, summed over input features and the lines of the window.
template <class T>
bool by_positions(const Problem& q, const T* lhs, const T* rhs, T* y) {
  const std::size_t last = q.windows.size() - 1;
  const Window& w = q.windows[last];
  if (w.rhs_dilation != 1 || w.lhs_dilation != 1 || w.lhs_by != 1 || w.rhs_by != 1 ||
      w.size < kLongLine || w.out > w.size || q.batch < 8)
    return false;
  const Index lines = q.taps / w.size;
  auto task = [&](Index t) {
    Index at[kMaxRank], tap[kMaxRank];
    const Index group = t / q.positions;
    digits<&Window::out>(t % q.positions, q, last + 1, at);
    std::vector<T> c(std::size_t(q.out * q.batch));
    const Index start = at[last] * w.stride - w.low, k0 = std::clamp<Index>(-start, 0, w.size),
                k1 = std::clamp<Index>(w.in - start, k0, w.size);
    for (Index i = 0; i < q.in; ++i)
      for (Index line = 0; line < lines && k1 > k0; ++line) {
        digits<&Window::size>(line, q, last, tap);
        const T *x = lhs + group * q.lhs_group + i * q.lhs_in + start + k0,
                *v = rhs + group * q.rhs_group + i * q.rhs_in + k0;
        bool inside = true;
        for (std::size_t d = 0; inside && d < last; ++d) {
          const Index s = q.windows[d].source(at[d], tap[d]);
          inside = s >= 0;
          x += s;
          v += tap[d] * q.windows[d].rhs_by;
        }
        if (inside)
          multiply<T>({c.data(), q.batch, 1}, {v, q.rhs_out, 1}, {x, 1, q.lhs_batch}, q.out,
                      q.batch, k1 - k0, true);
      }
    T* to = y + group * q.out_group;
    for (std::size_t d = 0; d <= last; ++d) to += at[d] * q.windows[d].out_by;
    for (Index o = 0; o < q.out; ++o)
      for (Index n = 0; n < q.batch; ++n)
        to[o * q.out_out + n * q.out_batch] = c[std::size_t(o * q.batch + n)];
  };
  for_each_task(q, q.groups * q.positions, task);
  return true;
}

// ---- Types: halves are computed in float, narrow integers in 4 bytes, bool not at all
DType computing(DType d) {
  if (is_inexact(d)) return width(d) == 2 ? DType::f32 : d;
  return width(d) == 8 ? DType::i64 : DType::i32;
}
Array converted(const Array& x, DType d) {
  if (x.dtype() == d) return x;
  Array y = Array::make(make_type(d, x.shape()));
  convert_element_type_p.kernel.load(std::memory_order_acquire)
      ->run(Args{&x, 1}, ConvertParams{d}, &y);
  return y;
}
template <class T>
void convolve(const ConvParams& p, const Array& lhs, const Array& rhs, Array& y) {
  if (y.size() == 0) return;
  Problem q = conv::problem_of(p, lhs, rhs, y);
  if (q.reduced() == 0) return (void)std::fill_n(y.data<T>(), y.size(), T(0));
  if constexpr (std::is_same_v<T, float>)
    if (conv::by_library(q, lhs.data<T>(), rhs.data<T>(), y.data<T>())) return;
  for (Window& w : q.windows) w.tabulate();
  if (by_shifts(q, lhs.data<T>(), rhs.data<T>(), y.data<T>()) ||
      by_positions(q, lhs.data<T>(), rhs.data<T>(), y.data<T>()))
    return;
  Convolution<T>(q, lhs.data<T>(), rhs.data<T>(), y.data<T>()).run();
}
void compute(const ConvParams& p, const Array& lhs, const Array& rhs, Array& y) {
  switch (y.dtype()) {
    case DType::i32: return convolve<std::int32_t>(p, lhs, rhs, y);
    case DType::i64: return convolve<std::int64_t>(p, lhs, rhs, y);
    case DType::f32: return convolve<float>(p, lhs, rhs, y);
    case DType::f64: return convolve<double>(p, lhs, rhs, y);
    case DType::c64: return convolve<std::complex<float>>(p, lhs, rhs, y);
    default: return convolve<std::complex<double>>(p, lhs, rhs, y);
  }
}
void conv_kernel(Args x, Params params, Array* y) {
  const auto& p = params.as<ConvParams>();
  const DType out = y->dtype();
  const DType in = computing(promote_types(x[0].dtype(), out));
  if (in == out) return compute(p, converted(x[0], in), converted(x[1], in), *y);
  Array wide = Array::make(make_type(in, y->shape()));
  compute(p, converted(x[0], in), converted(x[1], in), wide);
  const Array narrow = converted(wide, out);
  std::memcpy(y->data<char>(), narrow.data<char>(), std::size_t(y->size()) * width(out));
}

}  // namespace

void install_conv_kernels() { install<conv_kernel>(conv_general_dilated_p); }

}  // namespace jaxpp::internal
