// small_linalg.cc -- lu, cholesky and triangular_solve of small matrices, written with our own operations.
//
// A kernel works matrix by matrix, and on small ones spends its time on anything but arithmetic.  As elementwise equations
// a factorisation fuses with what is around it, and a batch of them runs in lanes: one matrix in each.  The steps of the
// elimination are unrolled here, because their extents differ; what is inside a step are operations on arrays [..., rows,
// columns].  Rows are exchanged by select: which one is the pivot's differs between lanes.  Operations and their order are
// those of the kernels (backends/eager/linalg_kernels.cc).
#include "backends/passes/small_linalg.h"
#include "jaxpp/flat.h"
#include "jaxpp/lax.h"
#include "jaxpp/math.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {
using namespace internal;
namespace {

constexpr std::int64_t kSize = 8;      // of the matrices, at most: code grows with the cube
constexpr std::int64_t kAlone = 4;     // the same, where there are few of them
constexpr std::int64_t kBatch = 16;    // what is not few
constexpr std::int64_t kColumns = 16;  // of right-hand sides

// Along the last axes of [..., rows, columns].
Array rows(const Array& x, std::int64_t from, std::int64_t to) {
  return lax::slice_in_dim(x, from, to, x.ndim() - 2);
}
Array columns(const Array& x, std::int64_t from, std::int64_t to) {
  return lax::slice_in_dim(x, from, to, x.ndim() - 1);
}
Array column(const Array& x, std::int64_t j) {  // [..., rows]
  return squeeze(columns(x, j, j + 1), {-1});
}
Array row(const Array& x, std::int64_t i) {  // [..., columns]
  return squeeze(rows(x, i, i + 1), {-2});
}
Array element(const Array& v, std::int64_t i) {  // of [..., rows]
  return squeeze(columns(v, i, i + 1), {-1});
}
Array outer_product(const Array& x, const Array& y) {
  return expand_dims(x, {-1}) * expand_dims(y, {-2});
}
// `now` where the condition, one for each matrix, holds.
Array choose(const Array& condition, const Array& now, const Array& otherwise) {
  Array c = condition;
  while (c.ndim() < now.ndim()) c = expand_dims(c, {-1});
  return where(c, now, otherwise);
}

// P A = L U; the arrays of the rows that are still to come shrink from step to step.
std::vector<Array> lu(const Array& a) {
  const std::int64_t n = a.shape().back();
  Shape batch(a.shape().begin(), a.shape().end() - 1);
  Array rest = a;                                     // [..., m, n - k]
  Array factors;                                      // [..., m, k]: of L, in those rows
  Array order = lax::iota(i32, batch, a.ndim() - 2);  // [..., m]: where they were
  std::vector<Array> done, pivots, permutation;
  for (std::int64_t k = 0; k < n; ++k) {
    const std::int64_t m = n - k;
    const Array sizes = abs(column(rest, 0));
    Array best = element(sizes, 0), at = zeros_like(element(order, 0));
    for (std::int64_t i = 1; i < m; ++i) {
      const Array greater = element(sizes, i) > best;
      best = where(greater, element(sizes, i), best);
      at = where(greater, full_like(at, Array(std::int32_t(i))), at);
    }
    // The pivot's row, and the others with the first one in its place.
    const auto split = [&](const Array& x, int axis) {
      const auto part = [&](std::int64_t from, std::int64_t to) {
        return lax::slice_in_dim(x, from, to, x.ndim() + axis);
      };
      const Array first = part(0, 1);
      Array pivot = first, others;
      for (std::int64_t i = 1; i < m; ++i) pivot = choose(at == i, part(i, i + 1), pivot);
      if (m > 1) {
        std::vector<Array> below;
        for (std::int64_t i = 1; i < m; ++i)
          below.push_back(choose(at == i, first, part(i, i + 1)));
        others = concatenate(below, x.ndim() + axis);
      }
      return std::pair(squeeze(pivot, {axis}), others);
    };
    const auto [top, below] = split(rest, -2);
    const auto [index, indices] = split(order, -1);
    Array left = top, left_below;
    if (k > 0) {
      const auto [l, l_below] = split(factors, -2);
      left = concatenate({l, top}, -1);
      left_below = l_below;
    }
    done.push_back(left);
    pivots.push_back(at + std::int32_t(k));
    permutation.push_back(index);
    if (m == 1) break;
    // A singular matrix has its zero on U's diagonal.
    const Array pivot = element(top, 0);
    const Array divisor = where(pivot == 0, ones_like(pivot), pivot);
    const Array factor = column(below, 0) / expand_dims(divisor, {-1});
    rest = columns(below, 1, m) - outer_product(factor, columns(top, 1, m));
    const Array own = expand_dims(factor, {-1});
    factors = k > 0 ? concatenate({left_below, own}, -1) : own;
    order = indices;
  }
  return {stack(done, -2), stack(pivots, -1), stack(permutation, -1)};
}

Array cholesky(const Array& a) {
  const std::int64_t n = a.shape().back();
  Array rest = a, valid;
  std::vector<Array> done;  // columns of the factor, what is above them as it was
  for (std::int64_t k = 0; k < n; ++k) {
    const Array pivot = element(column(rest, 0), 0);
    const Array good = pivot > 0;
    valid = valid.defined() ? valid & good : good;
    const Array root = sqrt(pivot);
    const Array below = columns(column(rest, 0), 1, n - k) / expand_dims(root, {-1});
    std::vector<Array> parts;
    if (k > 0) parts.push_back(columns(column(a, k), 0, k));
    parts.push_back(expand_dims(root, {-1}));
    if (k + 1 < n) parts.push_back(below);
    done.push_back(parts.size() > 1 ? concatenate(parts, -1) : parts[0]);
    if (k + 1 < n) rest = columns(rows(rest, 1, n - k), 1, n - k) - outer_product(below, below);
  }
  const Array factor = stack(done, -1);
  return choose(valid, factor, full_like(factor, Array(std::numeric_limits<double>::quiet_NaN())));
}

// Row by row, in the order in which they are known.
Array triangular_solve(const Array& a, const Array& b, const TriangularSolveParams& p) {
  const std::int64_t n = a.shape().back();
  const Array m = p.transpose_a == p.left_side ? swapaxes(a, -1, -2) : a;
  const bool lower = p.lower != (p.transpose_a == p.left_side);
  const Array right = p.left_side ? b : swapaxes(b, -1, -2);
  std::vector<Array> x(static_cast<std::size_t>(n));
  for (std::int64_t s = 0; s < n; ++s) {
    const std::int64_t i = lower ? s : n - 1 - s;
    const auto entry = [&](std::int64_t j) { return expand_dims(element(row(m, i), j), {-1}); };
    Array value = row(right, i);
    for (std::int64_t j = lower ? 0 : i + 1; j < (lower ? i : n); ++j)
      value = value - entry(j) * x[std::size_t(j)];
    x[std::size_t(i)] = p.unit_diagonal ? value : value / entry(i);
  }
  return stack(x, p.left_side ? -2 : -1);
}

bool worthwhile(Type a) {
  const std::size_t rank = a->shape.size();
  const std::int64_t n = a->shape[rank - 1];
  if ((a->dtype != DType::f32 && a->dtype != DType::f64) || n != a->shape[rank - 2] || n == 0)
    return false;
  return n <= (a->size / (n * n) >= kBatch ? kSize : kAlone);
}
}  // namespace

JaxprPtr small_linalg(const Equation& e, const JaxprBody& in) {
  if (e.prim != &lu_p && e.prim != &cholesky_p && e.prim != &triangular_solve_p) return nullptr;
  std::vector<Type> types;
  for (const Atom& a : e.in) types.push_back(in.type(a));
  if (!worthwhile(types[0])) return nullptr;
  if (e.prim == &triangular_solve_p) {
    const auto& p = e.params().as<TriangularSolveParams>();
    const Shape& b = types[1]->shape;
    if (types[1]->size == 0 || b[b.size() - (p.left_side ? 1 : 2)] > kColumns) return nullptr;
  }
  const auto body = [&](Args x, Results& y) {
    if (e.prim == &lu_p)
      for (Array& f : lu(x[0])) y.push_back(std::move(f));
    else if (e.prim == &cholesky_p)
      y.push_back(cholesky(x[0]));
    else
      y.push_back(triangular_solve(x[0], x[1], e.params().as<TriangularSolveParams>()));
  };
  return make_jaxpr_flat(flat(body), types, e.loc).body();
}

}  // namespace jaxpp::passes
