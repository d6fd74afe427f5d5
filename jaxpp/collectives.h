// collectives.h -- operations across the lanes of a vmap, named by its axis:
//
//   auto normalize = vmap([](Array x) { return x / psum(x, "i"); }, {.axis_name = "i"});
//   normalize(Array{1., 2., 5.})  ==  {0.125, 0.25, 0.625}
//
// Every function takes the value of one lane and gives the result for that lane.  Derivatives count the cotangents of all
// lanes: the transpose of psum is psum, that of all_gather is psum_scatter, that of ppermute the inverse permutation.
// The functions of one Array also take any pytree, leaf by leaf.
#pragma once
#include <utility>
#include "jaxpp/core/array.h"
#include "jaxpp/tree.h"

namespace jaxpp {

/// One named axis, "i", or several, {"i", "j"}.
struct AxisNames {
  std::vector<std::string> names;
  AxisNames(const char* name) : names{name} {}
  AxisNames(std::string name) : names{std::move(name)} {}
  AxisNames(std::initializer_list<const char*> n) : names(n.begin(), n.end()) {}
  AxisNames(std::vector<std::string> n) : names(std::move(n)) {}
};
/// The sum over the lanes.  Bools count as int32.
Array psum(const Array& x, const AxisNames& axes, Loc = Loc::current());
/// The mean over the lanes.
Array pmean(const Array& x, const AxisNames& axes, Loc = Loc::current());
/// The greatest and the least over the lanes, element by element.
Array pmax(const Array& x, const AxisNames& axes, Loc = Loc::current());
Array pmin(const Array& x, const AxisNames& axes, Loc = Loc::current());
/// Lane d gets the value of lane s for every pair {s, d}; a lane that is no destination gets zeros.
/// ppermute(x, "i", {{0, 1}, {1, 2}, {2, 0}}) shifts three lanes in a ring.
using LanePairs = std::vector<std::pair<std::int64_t, std::int64_t>>;
Array ppermute(const Array& x, const std::string& axis, const LanePairs& pairs,
               Loc = Loc::current());

/// The values of all lanes, stacked along a new dimension; tiled: concatenated along that dimension.
struct GatherOptions {
  std::int64_t dimension = 0;
  bool tiled = false;
};
Array all_gather(const Array& x, const std::string& axis, GatherOptions = {}, Loc = Loc::current());
/// The sum over the lanes, of which lane i keeps slice i along `dimension` (which must have the size of the axis and
/// goes away); tiled: part i of as many equal parts.
Array psum_scatter(const Array& x, const std::string& axis, GatherOptions = {},
                   Loc = Loc::current());
/// Lane j gets slice j along split_axis of every lane, stacked along concat_axis; tiled: equal parts, concatenated.
Array all_to_all(const Array& x, const std::string& axis, std::int64_t split_axis,
                 std::int64_t concat_axis, bool tiled = false, Loc = Loc::current());

/// The number of this lane, int32: 0 to size - 1.
Array axis_index(const std::string& axis, Loc = Loc::current());
/// The number of lanes.
std::int64_t axis_size(const std::string& axis, Loc = Loc::current());

namespace internal {
template <class T>
concept Container = !std::is_convertible_v<const T&, Array>;
}
template <internal::Container T>
T psum(const T& tree, const AxisNames& axes, Loc loc = Loc::current()) {
  return tree_map([&](const Array& x) { return psum(x, axes, loc); }, tree);
}
template <internal::Container T>
T pmean(const T& tree, const AxisNames& axes, Loc loc = Loc::current()) {
  return tree_map([&](const Array& x) { return pmean(x, axes, loc); }, tree);
}
template <internal::Container T>
T pmax(const T& tree, const AxisNames& axes, Loc loc = Loc::current()) {
  return tree_map([&](const Array& x) { return pmax(x, axes, loc); }, tree);
}
template <internal::Container T>
T pmin(const T& tree, const AxisNames& axes, Loc loc = Loc::current()) {
  return tree_map([&](const Array& x) { return pmin(x, axes, loc); }, tree);
}

}  // namespace jaxpp
