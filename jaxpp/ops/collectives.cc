// collectives.cc -- operations across the lanes of a named axis: psum, pmax, pmin, ppermute, all_gather, all_to_all,
// reduce_scatter, axis_index.
//
// A collective means something only under the vmap that binds its axis; that vmap's batching rule turns it into an
// ordinary operation along the mapped dimension (psum becomes reduce_sum, all_gather a move of axes).  Any other vmap
// carries its batch dimension through.  So a rule asks first: is it my axis?  Nothing here communicates, and no kernel
// exists: one that runs means that the axis was never bound.
//
// All but pmax, pmin and axis_index are linear.  Their transposes follow the meaning under vmap: the cotangents of all
// lanes count, hence psum^T = psum, all_gather^T = reduce_scatter, ppermute^T = the inverse permutation.
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace {

using namespace internal;

bool names(const BatchRule& r, const std::string& axis) {
  return !r.axis_name.empty() && r.axis_name == axis;
}
// Is this the vmap that binds the axis?  Then the collective is about to disappear, and with it the last chance to check
// its parameters against the type of one lane.
bool mine(const BatchRule& r, const std::string& axis) {
  if (!names(r, axis)) return false;
  Dims lane = r.x[0].shape();
  if (r.axis[0] >= 0) lane.erase(std::size_t(r.axis[0]));
  Type t = make_type(r.x[0].dtype(), lane), result;
  r.prim.shape({&t, 1}, r.params, &result);
  return true;
}
// The operand with its batch on axis 0, broadcast there if it is unmapped.
Array front(const BatchRule& r) { return lax::batch_to_front(r.x[0], r.axis[0], r.size); }
Array times(const Array& x, std::int64_t n) {
  return lax::mul(x, lax::full(scalar_type(x.dtype()), double(n)));
}
template <class P>
Array bind(const Primitive& p, const P& params, const Array& x) {
  return p.apply(params, Loc::current(), x);
}
void one_operand(const char* op, Types x) {
  check(x.size() == 1, op,
        [&] { return "takes 1 operand, was given " + std::to_string(x.size()) + "."; });
}
void same_size(const BatchRule& r, std::int64_t axis_size) {
  check(axis_size == r.size, r.prim.name, [&] {
    return "was made for axis \"" + r.axis_name + "\" of size " + std::to_string(axis_size) +
           "; that axis has size " + std::to_string(r.size) + ".";
  });
}
void positive_size(const char* op, std::int64_t axis_size) {
  check(axis_size > 0, op,
        [&] { return "axis_size is " + std::to_string(axis_size) + "; it must be positive."; });
}
// Dimension d of x split in two: its major part of size n becomes dimension d.
Array split_dimension(const Array& x, std::int64_t d, std::int64_t n) {
  Dims s = x.shape();
  s[std::size_t(d)] /= n;
  s.insert(std::size_t(d), n);
  return lax::reshape(x, s);
}
Array merge_dimensions(const Array& x, std::int64_t d) {  // d and d + 1
  Dims s = x.shape();
  s[std::size_t(d)] *= s[std::size_t(d) + 1];
  s.erase(std::size_t(d) + 1);
  return lax::reshape(x, s);
}
Dims with_size(const Shape& shape, std::int64_t d, std::int64_t size) {
  Dims s = shape;
  s[std::size_t(d)] = size;
  return s;
}
template <class P>
bool uses_axis_name(Params p, const std::string& name) {
  return p.as<P>().axis_name == name;
}

// ---- psum, pmax, pmin
template <const Primitive& P>
void reduction_shape(Types x, Params, Type* y) {
  one_operand(P.name, x);
  check(!is_bool(x[0]->dtype), P.name,
        [&] { return "has no meaning on bools, operand " + x[0]->str() + "."; });
  *y = x[0];
}
bool uses_axes(Params p, const std::string& name) {
  auto& axes = p.as<CollectiveParams>().axes;
  return std::find(axes.begin(), axes.end(), name) != axes.end();
}
void psum_transpose(TransposeRule& r) {
  r.add(0, bind(r.prim, r.params.as<CollectiveParams>(), r.ct[0]));
}
// dy is the mean of dx over the lanes that attain the extremum, as for reduce_max.
void extremum_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  auto& p = r.params.as<CollectiveParams>();
  Array wins = lax::convert_element_type(lax::eq(r.x[0], *r.y), r.x[0].dtype());
  *r.dy = lax::div(bind(psum_p, p, lax::mul(r.dx[0], wins)), bind(psum_p, p, wins));
}
enum class Over { sum, max, min };
template <Over kind>
void reduction_batch(BatchRule& r) {
  CollectiveParams p = r.params.as<CollectiveParams>();
  Array x = r.x[0];
  int axis = r.axis[0];
  if (auto it = std::find(p.axes.begin(), p.axes.end(), r.axis_name);
      it != p.axes.end() && mine(r, *it)) {
    p.axes.erase(it);
    if constexpr (kind == Over::sum)
      x = axis < 0 ? times(x, r.size) : lax::reduce_sum(x, {axis});
    else if (axis >= 0)
      x = kind == Over::max ? lax::reduce_max(x, {axis}) : lax::reduce_min(x, {axis});
    axis = -1;
  }
  *r.y = p.axes.empty() ? x : bind(r.prim, p, x);
  *r.y_axis = axis;
}

// ---- ppermute: lane d receives the value of lane s for every pair [s, d], zeros if there is none
void ppermute_shape(Types x, Params params, Type* y) {
  one_operand("ppermute", x);
  auto& perm = params.as<PermuteParams>().perm;
  std::vector<std::int64_t> from, to;
  for (auto& pair : perm) {
    need(pair.size() == 2 && pair[0] >= 0 && pair[1] >= 0, "ppermute",
         "every entry of perm must be a pair of lanes [source, destination].");
    from.push_back(pair[0]);
    to.push_back(pair[1]);
  }
  for (auto* lanes : {&from, &to}) {
    std::sort(lanes->begin(), lanes->end());
    need(std::adjacent_find(lanes->begin(), lanes->end()) == lanes->end(), "ppermute",
         "sources must be unique, and so must destinations.");
  }
  *y = x[0];
}
void ppermute_transpose(TransposeRule& r) {
  PermuteParams p = r.params.as<PermuteParams>();
  for (auto& pair : p.perm) std::swap(pair[0], pair[1]);
  r.add(0, bind(ppermute_p, p, r.ct[0]));
}
void ppermute_batch(BatchRule& r) {
  auto& p = r.params.as<PermuteParams>();
  if (!mine(r, p.axis_name)) {
    *r.y = bind(ppermute_p, p, r.x[0]);
    *r.y_axis = r.axis[0];
    return;
  }
  // A gather of rows; a lane without source has an index past the end, which reads zeros.
  std::vector<std::int32_t> source(std::size_t(r.size), std::int32_t(r.size));
  for (auto& pair : p.perm) {
    check(pair[0] < r.size && pair[1] < r.size, "ppermute", [&] {
      return "perm has the pair [" + std::to_string(pair[0]) + ", " + std::to_string(pair[1]) +
             "]; axis \"" + p.axis_name + "\" has size " + std::to_string(r.size) + ".";
    });
    source[std::size_t(pair[1])] = std::int32_t(pair[0]);
  }
  Array x = front(r), indices(std::span<const std::int32_t>(source), Shape{r.size, 1});
  GatherParams g;
  for (int d = 1; d < x.ndim(); ++d) g.dimension_numbers.offset_dims.push_back(d);
  g.dimension_numbers.collapsed_slice_dims = {0};
  g.dimension_numbers.start_index_map = {0};
  if (is_complex(x.dtype()))
    g.fill_value = std::complex<double>(0);
  else if (is_float(x.dtype()))
    g.fill_value = 0.0;
  else if (is_bool(x.dtype()))
    g.fill_value = false;
  else
    g.fill_value = std::int64_t(0);
  g.mode = IndexMode::FILL_OR_DROP;
  g.slice_sizes = with_size(x.shape(), 0, 1);
  *r.y = lax::gather(x, indices, g);
  *r.y_axis = 0;
}

// ---- all_gather: every lane gets the values of all lanes, stacked, or concatenated if tiled
void all_gather_shape(Types x, Params params, Type* y) {
  one_operand("all_gather", x);
  auto& p = params.as<AllGatherParams>();
  positive_size("all_gather", p.axis_size);
  const std::int64_t d = p.all_gather_dimension, rank = std::int64_t(x[0]->shape.size());
  check(d >= 0 && (p.tiled ? d < rank : d <= rank), "all_gather", [&] {
    return "all_gather_dimension " + std::to_string(d) + " is out of range for " + x[0]->str() +
           ".";
  });
  Dims s = x[0]->shape;
  if (p.tiled)
    s[std::size_t(d)] *= p.axis_size;
  else
    s.insert(std::size_t(d), p.axis_size);
  *y = make_type(x[0]->dtype, s);
}
void all_gather_transpose(TransposeRule& r) {
  auto& p = r.params.as<AllGatherParams>();
  r.add(0, bind(reduce_scatter_p,
                ReduceScatterParams{p.axis_name, p.axis_size, p.all_gather_dimension, p.tiled},
                r.ct[0]));
}
void all_gather_batch(BatchRule& r) {
  AllGatherParams p = r.params.as<AllGatherParams>();
  Array x = front(r);
  if (!mine(r, p.axis_name)) {
    ++p.all_gather_dimension;
    *r.y = bind(all_gather_p, p, x);
    *r.y_axis = 0;
    return;
  }
  same_size(r, p.axis_size);
  x = lax::move_axis(x, 0, p.all_gather_dimension);
  *r.y = p.tiled ? merge_dimensions(x, p.all_gather_dimension) : x;  // the same in every lane
}

// ---- reduce_scatter (psum_scatter): the sum over the lanes, of which lane i keeps part i
void reduce_scatter_shape(Types x, Params params, Type* y) {
  one_operand("reduce_scatter", x);
  auto& p = params.as<ReduceScatterParams>();
  positive_size("reduce_scatter", p.axis_size);
  const std::int64_t d = p.scatter_dimension;
  check(d >= 0 && d < std::int64_t(x[0]->shape.size()), "reduce_scatter", [&] {
    return "scatter_dimension " + std::to_string(d) + " is out of range for " + x[0]->str() + ".";
  });
  Dims s = x[0]->shape;
  auto& n = s[std::size_t(d)];
  check(p.tiled ? n % p.axis_size == 0 : n == p.axis_size, "reduce_scatter", [&] {
    return "operand " + x[0]->str() + " has " + std::to_string(n) + " on axis " +
           std::to_string(d) + (p.tiled ? "; it must be a multiple of " : "; it must be ") +
           std::to_string(p.axis_size) + ", the size of axis \"" + p.axis_name + "\".";
  });
  if (p.tiled)
    n /= p.axis_size;
  else
    s.erase(std::size_t(d));
  *y = make_type(x[0]->dtype, s);
}
void reduce_scatter_transpose(TransposeRule& r) {
  auto& p = r.params.as<ReduceScatterParams>();
  r.add(0, bind(all_gather_p,
                AllGatherParams{p.scatter_dimension, p.axis_name, p.axis_size, p.tiled}, r.ct[0]));
}
void reduce_scatter_batch(BatchRule& r) {
  ReduceScatterParams p = r.params.as<ReduceScatterParams>();
  if (!mine(r, p.axis_name)) {
    ++p.scatter_dimension;
    *r.y = bind(reduce_scatter_p, p, front(r));
    *r.y_axis = 0;
    return;
  }
  same_size(r, p.axis_size);
  Array sum = r.axis[0] < 0 ? times(r.x[0], r.size) : lax::reduce_sum(r.x[0], {r.axis[0]});
  *r.y = p.tiled ? split_dimension(sum, p.scatter_dimension, r.size) : sum;
  *r.y_axis = int(p.scatter_dimension);
}

// ---- all_to_all: part j of lane i becomes part i of lane j
void all_to_all_shape(Types x, Params params, Type* y) {
  one_operand("all_to_all", x);
  auto& p = params.as<AllToAllParams>();
  positive_size("all_to_all", p.axis_size);
  Dims s = x[0]->shape;
  for (auto d : {p.split_axis, p.concat_axis})
    check(d >= 0 && d < std::int64_t(s.size()), "all_to_all", [&] {
      return "axis " + std::to_string(d) + " is out of range for " + x[0]->str() + ".";
    });
  auto& n = s[std::size_t(p.split_axis)];
  check(n % p.axis_size == 0, "all_to_all", [&] {
    return "operand " + x[0]->str() + " has " + std::to_string(n) + " on axis " +
           std::to_string(p.split_axis) + "; it must be a multiple of " +
           std::to_string(p.axis_size) + ", the size of axis \"" + p.axis_name + "\".";
  });
  n /= p.axis_size;
  s[std::size_t(p.concat_axis)] *= p.axis_size;
  *y = make_type(x[0]->dtype, s);
}
void all_to_all_transpose(TransposeRule& r) {
  AllToAllParams p = r.params.as<AllToAllParams>();
  std::swap(p.split_axis, p.concat_axis);
  r.add(0, bind(all_to_all_p, p, r.ct[0]));
}
void all_to_all_batch(BatchRule& r) {
  AllToAllParams p = r.params.as<AllToAllParams>();
  Array x = front(r);
  *r.y_axis = 0;
  if (!mine(r, p.axis_name)) {
    ++p.split_axis;
    ++p.concat_axis;
    *r.y = bind(all_to_all_p, p, x);
    return;
  }
  same_size(r, p.axis_size);
  x = split_dimension(x, p.split_axis + 1, r.size);  // [source, ..., destination, part, ...]
  x = lax::move_axis(x, p.split_axis + 1, 0);        // [destination, source, ..., part, ...]
  x = lax::move_axis(x, 1, p.concat_axis + 1);
  *r.y = merge_dimensions(x, p.concat_axis + 1);
}

// ---- axis_index
void axis_index_shape(Types x, Params, Type* y) {
  need(x.empty(), "axis_index", "takes no operands.");
  *y = scalar_type(DType::i32);
}
void axis_index_batch(BatchRule& r) {
  *r.y = lax::iota(DType::i32, {r.size}, 0);
  *r.y_axis = 0;
}

}  // namespace

const Primitive psum_p = {.name = "psum",
                          .operands = {1, 1},
                          .shape = reduction_shape<psum_p>,
                          .jvp = linear_jvp,
                          .transpose = psum_transpose,
                          .batch = reduction_batch<Over::sum>,
                          .params = &params_ops<CollectiveParams>,
                          .uses_axis = uses_axes};
const Primitive pmax_p = {.name = "pmax",
                          .operands = {1, 1},
                          .shape = reduction_shape<pmax_p>,
                          .jvp = extremum_jvp,
                          .batch = reduction_batch<Over::max>,
                          .params = &params_ops<CollectiveParams>,
                          .uses_axis = uses_axes};
const Primitive pmin_p = {.name = "pmin",
                          .operands = {1, 1},
                          .shape = reduction_shape<pmin_p>,
                          .jvp = extremum_jvp,
                          .batch = reduction_batch<Over::min>,
                          .params = &params_ops<CollectiveParams>,
                          .uses_axis = uses_axes};
const Primitive ppermute_p = {.name = "ppermute",
                              .operands = {1, 1},
                              .shape = ppermute_shape,
                              .jvp = linear_jvp,
                              .transpose = ppermute_transpose,
                              .batch = ppermute_batch,
                              .params = &params_ops<PermuteParams>,
                              .uses_axis = uses_axis_name<PermuteParams>};
const Primitive all_gather_p = {.name = "all_gather",
                                .operands = {1, 1},
                                .shape = all_gather_shape,
                                .jvp = linear_jvp,
                                .transpose = all_gather_transpose,
                                .batch = all_gather_batch,
                                .params = &params_ops<AllGatherParams>,
                                .uses_axis = uses_axis_name<AllGatherParams>};
const Primitive all_to_all_p = {.name = "all_to_all",
                                .operands = {1, 1},
                                .shape = all_to_all_shape,
                                .jvp = linear_jvp,
                                .transpose = all_to_all_transpose,
                                .batch = all_to_all_batch,
                                .params = &params_ops<AllToAllParams>,
                                .uses_axis = uses_axis_name<AllToAllParams>};
const Primitive reduce_scatter_p = {.name = "reduce_scatter",
                                    .operands = {1, 1},
                                    .shape = reduce_scatter_shape,
                                    .jvp = linear_jvp,
                                    .transpose = reduce_scatter_transpose,
                                    .batch = reduce_scatter_batch,
                                    .params = &params_ops<ReduceScatterParams>,
                                    .uses_axis = uses_axis_name<ReduceScatterParams>};
const Primitive axis_index_p = {.name = "axis_index",
                                .operands = {0, 0},
                                .shape = axis_index_shape,
                                .batch = axis_index_batch,
                                .params = &params_ops<AxisNameParams>,
                                .differentiable = false,
                                .uses_axis = uses_axis_name<AxisNameParams>};

}  // namespace jaxpp
