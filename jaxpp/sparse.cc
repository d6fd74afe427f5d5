// sparse.cc -- sparse derivatives from a pattern: colours, products with the derivative for all colours at once (vmap), and
// the place of every entry among them.
//
// Forward: the sum of the columns of a colour is a product J s; no two of them have an entry in one row, so entry (i, j) is
// element i of the product of j's colour.  Reverse: the same of the transpose.  Hessian: H s, where colours are those of a
// star colouring: of any two entries (i, j) and (j, i) one stands alone in its row and colour.
//
// Not done: bidirectional colourings (rows and columns at once), which an arrow-shaped Jacobian would want.
#include "jaxpp/sparse.h"
#include <algorithm>
#include <limits>
#include "jaxpp/lax.h"
#include "jaxpp/math.h"

namespace jaxpp {

namespace {

std::string size_of(const SparsityPattern& p) {
  return "[" + std::to_string(p.rows) + ", " + std::to_string(p.cols) + "]";
}
void need_equal_sizes(const SparsityPattern& a, const SparsityPattern& b) {
  if (a.rows == b.rows && a.cols == b.cols) return;
  internal::fail("SparsityPattern: sizes differ: " + size_of(a) + " and " + size_of(b) + ".",
                 Loc::current(), "E181", "");
}
template <class Merge>
SparsityPattern merged(const SparsityPattern& a, const SparsityPattern& b, Merge merge) {
  need_equal_sizes(a, b);
  SparsityPattern p;
  p.rows = a.rows;
  p.cols = a.cols;
  for (std::int64_t j = 0; j < p.cols; ++j) {
    const auto x = a.column(j), y = b.column(j);
    merge(x.begin(), x.end(), y.begin(), y.end(), std::back_inserter(p.row));
    p.start.push_back(p.nnz());
  }
  return p;
}

}  // namespace

bool SparsityPattern::contains(std::int64_t r, std::int64_t c) const {
  const auto rows_of = column(c);
  return std::ranges::binary_search(rows_of, std::int32_t(r));
}
SparsityPattern SparsityPattern::transpose() const {
  SparsityPattern t;
  t.rows = cols;
  t.cols = rows;
  t.start.assign(std::size_t(rows) + 1, 0);
  for (auto r : row) ++t.start[std::size_t(r) + 1];
  for (std::size_t i = 0; i < std::size_t(rows); ++i) t.start[i + 1] += t.start[i];
  t.row.resize(row.size());
  std::vector<std::int64_t> next(t.start.begin(), t.start.end() - 1);
  for (std::int64_t j = 0; j < cols; ++j)
    for (auto r : column(j)) t.row[std::size_t(next[std::size_t(r)]++)] = std::int32_t(j);
  return t;
}
std::pair<Array, Array> SparsityPattern::coordinates() const {
  std::vector<std::int32_t> col;
  col.reserve(row.size());
  for (std::int64_t j = 0; j < cols; ++j) col.insert(col.end(), column(j).size(), std::int32_t(j));
  return {Array(row), Array(col)};
}
Array SparsityPattern::to_dense(const Array& values, Loc loc) const {
  if (values.ndim() != 1 || values.size() != nnz())
    internal::fail("to_dense: needs the values of " + std::to_string(nnz()) +
                       " entries; there is " + values.type()->str() + ".",
                   loc, "E181", "");
  std::vector<std::int64_t> at;
  at.reserve(row.size());
  for (std::int64_t j = 0; j < cols; ++j)
    for (auto r : column(j)) at.push_back(r * cols + j);
  const Array zero = zeros({rows * cols}, values.dtype(), loc);
  if (at.empty()) return lax::reshape(zero, {rows, cols}, loc);
  return lax::reshape(zero.at(Array(at)).set(values), {rows, cols}, loc);
}
Array SparsityPattern::to_dense() const {
  return to_dense(lax::full(make_type(DType::b1, {nnz()}), 1));
}
SparsityPattern SparsityPattern::of(std::int64_t rows, std::int64_t cols,
                                    std::span<const std::int64_t> row,
                                    std::span<const std::int64_t> col, Loc loc) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (row.size() != col.size() || rows < 0 || cols < 0 || rows > most || cols > most)
    internal::fail("SparsityPattern: " + std::to_string(row.size()) + " rows and " +
                       std::to_string(col.size()) + " columns of entries, in a matrix [" +
                       std::to_string(rows) + ", " + std::to_string(cols) + "].",
                   loc, "E181", "");
  std::vector<std::pair<std::int32_t, std::int32_t>> entries;
  for (std::size_t k = 0; k < row.size(); ++k) {
    if (row[k] < 0 || row[k] >= rows || col[k] < 0 || col[k] >= cols)
      internal::fail("SparsityPattern: the entry (" + std::to_string(row[k]) + ", " +
                         std::to_string(col[k]) + ") is outside of the matrix [" +
                         std::to_string(rows) + ", " + std::to_string(cols) + "].",
                     loc, "E181", "");
    entries.emplace_back(std::int32_t(col[k]), std::int32_t(row[k]));
  }
  std::ranges::sort(entries);
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  SparsityPattern p;
  p.rows = rows;
  p.cols = cols;
  p.start.assign(std::size_t(cols) + 1, 0);
  for (auto [c, r] : entries) {
    ++p.start[std::size_t(c) + 1];
    p.row.push_back(r);
  }
  for (std::size_t j = 0; j < std::size_t(cols); ++j) p.start[j + 1] += p.start[j];
  return p;
}
SparsityPattern SparsityPattern::operator|(const SparsityPattern& o) const {
  return merged(*this, o, [](auto... range) { std::set_union(range...); });
}
SparsityPattern SparsityPattern::operator&(const SparsityPattern& o) const {
  return merged(*this, o, [](auto... range) { std::set_intersection(range...); });
}

namespace internal {

namespace {

std::int64_t total_size(Types types) {
  std::int64_t n = 0;
  for (Type t : types) n += t->size;
  return n;
}
std::vector<Type> picked(Types types, std::span<const int> which) {
  std::vector<Type> r;
  for (int i : which) r.push_back(types[std::size_t(i)]);
  return r;
}
void need_real(Types types, const char* what, const char* who, Loc loc) {
  for (Type t : types)
    if (!is_float(t->dtype))
      fail<TypeError>(
          std::string(who) + ": needs real floating-point " + what + "; there is " + t->str() + ".",
          loc, "E18", "Use jvp or vjp.");
}
/// Fewer columns or rows; where rows cannot be fewer they are not coloured.
void choose_products(SparsePlan& plan, SparseMode mode) {
  const SparsityPattern& p = *plan.pattern;
  if (mode != SparseMode::reverse) plan.coloring = color_columns(p);
  plan.forward = true;
  if (mode == SparseMode::forward) return;
  std::int64_t longest = 0;  // column: so many colours of rows are needed at least
  for (std::int64_t j = 0; j < p.cols; ++j)
    longest = std::max(longest, std::int64_t(p.column(j).size()));
  if (mode == SparseMode::automatic && plan.coloring.count <= longest) return;
  Coloring rows = color_rows(p);
  if (mode == SparseMode::automatic && plan.coloring.count <= rows.count) return;
  plan.coloring = std::move(rows);
  plan.forward = false;
}
/// Of a symmetric matrix: whether entry (i, j) stands alone in row i and the colour of j, for all entries.
std::vector<char> alone(const SparsityPattern& p, const Coloring& c) {
  std::vector<char> result(p.row.size());
  std::vector<std::int32_t> times(std::size_t(c.count), 0);
  for (std::int64_t i = 0; i < p.cols; ++i) {  // row i is column i
    auto count = [&](std::int32_t j) -> std::int32_t& {
      return times[std::size_t(c.color[std::size_t(j)])];
    };
    for (auto j : p.column(i)) ++count(j);
    for (std::size_t k = 0; k < p.column(i).size(); ++k)
      result[std::size_t(p.start[std::size_t(i)]) + k] = count(p.column(i)[k]) == 1;
    for (auto j : p.column(i)) count(j) = 0;
  }
  return result;
}
Array source_of(const SparsePlan& plan, bool symmetric) {
  const SparsityPattern& p = *plan.pattern;
  const std::vector<char> direct =
      symmetric ? alone(p, plan.coloring) : std::vector<char>(p.row.size(), 1);
  const std::int64_t width = plan.forward ? p.rows : p.cols;
  auto color = [&](std::int64_t k) { return plan.coloring.color[std::size_t(k)]; };
  std::vector<std::int64_t> source;
  source.reserve(p.row.size());
  for (std::int64_t j = 0; j < p.cols; ++j)
    for (std::int64_t i : p.column(j)) {
      // symmetric: entry k of column j is (i, j), and H(j, i) in row j if that is alone there
      const bool by_column = symmetric ? !direct[source.size()] : plan.forward;
      source.push_back(by_column ? color(j) * width + i : color(i) * width + j);
    }
  const Array all(source);
  const bool small = plan.coloring.count * width <= std::numeric_limits<std::int32_t>::max();
  return small ? all.astype(DType::i32) : all;
}

/// For every leaf, [count, its shape...]: 1 where an element has the colour of the row.
Results seeds(Types leaves, const SparsePlan& plan, Loc loc) {
  Results s;
  std::int64_t first = 0;
  for (Type t : leaves) {
    const Array colors = lax::slice_in_dim(plan.colors, first, first + t->size, 0, loc);
    first += t->size;
    const Type type = make_type(DType::i32, {plan.coloring.count, t->size});
    const Array is_of = lax::eq(lax::broadcast_in_dim(colors, type->shape, {1}, loc),
                                lax::iota(DType::i32, type->shape, 0, loc), loc);
    Shape shape = {plan.coloring.count};
    shape.append(t->shape.begin(), t->shape.end());
    s.push_back(lax::reshape(lax::convert_element_type(is_of, t->dtype, loc), shape, loc));
  }
  return s;
}
/// The products of all colours, [count, elements of all leaves].
template <class Map>
Array products(Types from, const SparsePlan& plan, const Map& map, DType dtype, Loc loc) {
  Results y, flat_rows;
  const Results s = seeds(from, plan, loc);
  const std::vector<int> axes(s.size(), 0);
  const int front = 0;
  vmap_flat(flat(map), args(s), axes, {&front, 1}, plan.coloring.count, "", y, loc);
  for (const Array& a : y) {
    const std::int64_t n = a.size() / plan.coloring.count;
    flat_rows.push_back(
        lax::reshape(lax::convert_element_type(a, dtype, loc), {plan.coloring.count, n}, loc));
  }
  return flat_rows.size() == 1 ? flat_rows[0] : lax::concatenate(args(flat_rows), 1, loc);
}

}  // namespace

std::shared_ptr<const SparsePlan> sparse_plan(FlatFn f, Args x, std::vector<int> wrt,
                                              bool symmetric, const SparseOptions& options,
                                              const char* who, Loc loc) {
  auto plan = std::make_shared<SparsePlan>();
  for (const Array& a : x) plan->types.push_back(a.type());
  plan->results = make_jaxpr_flat(f, plan->types, loc).out_types();
  plan->wrt = std::move(wrt);
  const std::vector<Type> by = picked(plan->types, plan->wrt);
  need_real(by, "arguments", who, loc);
  need_real(plan->results, "results", who, loc);
  SparsityPattern p =
      options.pattern ? *options.pattern : sparsity_flat(f, plan->types, plan->wrt, who, loc);
  if (p.rows != total_size(plan->results) || p.cols != total_size(by))
    fail(std::string(who) + ": the pattern is " + size_of(p) + ", the derivative [" +
             std::to_string(total_size(plan->results)) + ", " + std::to_string(total_size(by)) +
             "].",
         loc, "E181", "A row for each element of the results, a column for each of the arguments.");
  // Second derivatives are symmetric: an entry whose mirror image is 0 is 0.
  if (symmetric && !options.pattern) p = p & p.transpose();
  plan->pattern = std::make_shared<const SparsityPattern>(std::move(p));
  if (symmetric)
    plan->coloring = color_star(*plan->pattern, loc);
  else
    choose_products(*plan, options.mode);
  Scope none(nullptr);  // these are constants, whatever is being traced
  plan->colors = Array(plan->coloring.color);
  plan->source = source_of(*plan, symmetric);
  return plan;
}

Array sparse_values(FlatFn f, Args x, const SparsePlan& plan, const char* who, Loc loc) {
  for (std::size_t i = 0; i < std::max(x.size(), plan.types.size()); ++i)
    if (x.size() != plan.types.size() || x[i].type() != plan.types[i])
      fail<TypeError>(std::string(who) + ": the structure was found for " +
                          (i < plan.types.size() ? plan.types[i]->str() : "fewer arrays") +
                          ", these arguments have " +
                          (i < x.size() ? x[i].type()->str() : "fewer arrays") + ".",
                      loc, "E182", "Call it again for arguments of these types.");
  const std::vector<Type> by = picked(plan.types, plan.wrt);
  const std::vector<Type>& outer = plan.forward ? plan.results : by;
  DType dtype = outer.empty() ? DType::f32 : outer[0]->dtype;
  for (Type t : outer) dtype = promote_types(dtype, t->dtype);
  if (plan.pattern->nnz() == 0) return lax::full(make_type(dtype, {0}), 0, loc);

  Array rows;
  if (plan.forward) {
    auto push = [&](Args dx, Results& dy) {
      std::vector<Array> all(x.size());
      for (std::size_t k = 0; k < plan.wrt.size(); ++k) all[std::size_t(plan.wrt[k])] = dx[k];
      Results y;
      jvp_flat(f, x, all, y, dy, loc);
      instantiate_tangents(y, dy);
    };
    rows = products(by, plan, push, dtype, loc);
  } else {
    auto of_some = [&](Args some, Results& y) {
      std::vector<Array> all(x.begin(), x.end());
      for (std::size_t k = 0; k < some.size(); ++k) all[std::size_t(plan.wrt[k])] = some[k];
      f(all, y);
    };
    std::vector<Array> some;
    for (int i : plan.wrt) some.push_back(x[std::size_t(i)]);
    Results y;
    const LinearMap map = LinearMap::of(flat(of_some), some, y, who, loc);
    auto pull = [&](Args ct, Results& g) { map.pull(ct, g, loc); };
    rows = products(plan.results, plan, pull, dtype, loc);
  }
  GatherParams at;
  at.dimension_numbers.collapsed_slice_dims = at.dimension_numbers.start_index_map = Dims{0};
  at.slice_sizes = Dims{1};
  at.mode = IndexMode::PROMISE_IN_BOUNDS;
  return lax::gather(lax::reshape(rows, {rows.size()}, loc),
                     lax::expand_dims(plan.source, Dims{1}, loc), at, loc);
}

}  // namespace internal
}  // namespace jaxpp
