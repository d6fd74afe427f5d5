// collectives.cc -- the user's side of collectives: names are looked up, axes made canonical, and the primitive is bound.
// What a collective means is in ops/collectives.cc.
#include "jaxpp/collectives.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp {
using namespace internal;
namespace {

std::int64_t size_of(const char* op, const std::string& axis, Loc loc) {
  if (auto* frame = internal::find_axis(axis)) return frame->size;
  internal::fail<TypeError>(
      std::string(op) + ": axis name \"" + axis + "\" is not bound.", loc, "E40",
      "Call it inside the function given to vmap(f, {.axis_name = \"" + axis + "\"}).");
}
std::int64_t lanes_of(const char* op, const AxisNames& axes, Loc loc) {
  std::int64_t n = 1;
  for (auto it = axes.names.begin(); it != axes.names.end(); ++it) {
    if (std::find(axes.names.begin(), it, *it) != it)
      internal::fail<TypeError>(std::string(op) + ": axis name \"" + *it + "\" is given twice.",
                                loc, "E41");
    n *= size_of(op, *it, loc);
  }
  return n;
}
Array over(const Primitive& p, const Array& x, const AxisNames& axes, Loc loc) {
  return axes.names.empty() ? x : p.apply(CollectiveParams{axes.names}, loc, x);
}
std::int64_t dimension(const char* op, std::int64_t d, std::int64_t rank, Type t, Loc loc) {
  if (d < -rank || d >= rank)
    internal::fail<TypeError>(
        std::string(op) + ": axis " + std::to_string(d) + " is out of range for " + t->str() + ".",
        loc, "E41");
  return d < 0 ? d + rank : d;
}

}  // namespace

Array psum(const Array& x, const AxisNames& axes, Loc loc) {
  lanes_of("psum", axes, loc);
  return over(psum_p, is_bool(x.dtype()) ? lax::convert_element_type(x, DType::i32, loc) : x, axes,
              loc);
}
Array pmean(const Array& x, const AxisNames& axes, Loc loc) {
  const double n = double(lanes_of("pmean", axes, loc));
  Array sum = psum(x, axes, loc);
  if (!is_inexact(sum.dtype()))
    sum = lax::convert_element_type(sum, width(sum.dtype()) > 4 ? DType::f64 : DType::f32, loc);
  return lax::div(sum, lax::full(scalar_type(sum.dtype()), n, loc), loc);
}
Array pmax(const Array& x, const AxisNames& axes, Loc loc) {
  lanes_of("pmax", axes, loc);
  return over(pmax_p, x, axes, loc);
}
Array pmin(const Array& x, const AxisNames& axes, Loc loc) {
  lanes_of("pmin", axes, loc);
  return over(pmin_p, x, axes, loc);
}
Array ppermute(const Array& x, const std::string& axis, const LanePairs& pairs, Loc loc) {
  const std::int64_t n = size_of("ppermute", axis, loc);
  PermuteParams p{axis, {}};
  for (auto [from, to] : pairs) {
    if (from < 0 || from >= n || to < 0 || to >= n)
      internal::fail<TypeError>("ppermute: the pair {" + std::to_string(from) + ", " +
                                    std::to_string(to) + "} is out of range: axis \"" + axis +
                                    "\" has size " + std::to_string(n) + ".",
                                loc, "E41");
    p.perm.push_back({from, to});
  }
  return ppermute_p.apply(p, loc, x);
}
Array all_gather(const Array& x, const std::string& axis, GatherOptions o, Loc loc) {
  const std::int64_t n = size_of("all_gather", axis, loc);
  const std::int64_t d =
      dimension("all_gather", o.dimension, x.ndim() + (o.tiled ? 0 : 1), x.type(), loc);
  return all_gather_p.apply(AllGatherParams{d, axis, n, o.tiled}, loc, x);
}
Array psum_scatter(const Array& x, const std::string& axis, GatherOptions o, Loc loc) {
  const std::int64_t n = size_of("psum_scatter", axis, loc);
  const std::int64_t d = dimension("psum_scatter", o.dimension, x.ndim(), x.type(), loc);
  return reduce_scatter_p.apply(ReduceScatterParams{axis, n, d, o.tiled}, loc, x);
}
Array all_to_all(const Array& x, const std::string& axis, std::int64_t split_axis,
                 std::int64_t concat_axis, bool tiled, Loc loc) {
  const std::int64_t n = size_of("all_to_all", axis, loc);
  std::int64_t from = dimension("all_to_all", split_axis, x.ndim(), x.type(), loc);
  std::int64_t to = dimension("all_to_all", concat_axis, x.ndim(), x.type(), loc);
  if (tiled) return all_to_all_p.apply(AllToAllParams{axis, n, to, from, true}, loc, x);
  if (x.shape()[std::size_t(from)] != n)
    internal::fail<TypeError>("all_to_all: " + x.type()->str() + " has " +
                                  std::to_string(x.shape()[std::size_t(from)]) + " on axis " +
                                  std::to_string(from) + "; axis \"" + axis + "\" has size " +
                                  std::to_string(n) + ".",
                              loc, "E42", "Use tiled = true to send larger parts.");
  if (from == to) return all_to_all_p.apply(AllToAllParams{axis, n, to, from, false}, loc, x);
  // concat_axis counts dimensions of the result, which lacks split_axis: stack along a new dimension there.
  if (from < to) ++to;
  Array wide = lax::expand_dims(x, {to}, loc);
  if (to <= from) ++from;
  Array y = all_to_all_p.apply(AllToAllParams{axis, n, to, from, false}, loc, wide);
  return lax::squeeze(y, {from}, loc);
}
Array axis_index(const std::string& axis, Loc loc) {
  size_of("axis_index", axis, loc);
  return axis_index_p.apply(AxisNameParams{axis}, loc);
}
std::int64_t axis_size(const std::string& axis, Loc loc) { return size_of("axis_size", axis, loc); }

}  // namespace jaxpp
