// vmap.h -- vectorization: a function of single examples becomes one of batches.
//
//   auto f  = [](Array x, Array a) { return sin(a * x); };
//   auto ys = vmap(f, {.in_axes = {0, None}})(xs, a);        // over axis 0 of xs; a is shared
//   auto gs = vmap(grad(loss), {.in_axes = {None, 0, 0}})(params, xs, ys);   // per example
//   auto zs = vmap([](Array x) { return x / psum(x, "i"); }, {.axis_name = "i"})(xs);
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {

/// One axis for each leaf of an argument; made by axes_of.
struct LeafAxes {
  std::vector<int> axes;
};
/// The mapped axis of an argument or result: an int (negative: from the end), None, or
/// axes_of(tree).
class VmapAxis {
 public:
  VmapAxis(int axis) : axes_{axis} {}
  VmapAxis(NoneType) : axes_{internal::kUnmapped} {}
  VmapAxis(LeafAxes t) : axes_(std::move(t.axes)), per_leaf_(true) {}
  bool per_leaf() const { return per_leaf_; }
  const std::vector<int>& axes() const { return axes_; }

 private:
  std::vector<int> axes_;
  bool per_leaf_ = false;
};
/// One axis for all (.in_axes = 1), or one for each argument or result (.in_axes = {0, None}).
class VmapAxes {
 public:
  VmapAxes(int axis) : axes_{axis} {}
  VmapAxes(NoneType) : axes_{None} {}
  VmapAxes(LeafAxes t) : axes_{std::move(t)} {}
  VmapAxes(std::initializer_list<VmapAxis> axes) : axes_(axes), listed_(true) {}
  bool listed() const { return listed_; }
  const std::vector<VmapAxis>& axes() const { return axes_; }

 private:
  std::vector<VmapAxis> axes_;
  bool listed_ = false;
};

struct VmapOptions {
  VmapAxes in_axes = 0;         ///< for each argument; the leaves of a struct share it (or axes_of)
  VmapAxes out_axes = 0;        ///< for each element of a returned tuple, or for each leaf
  std::string axis_name{};      ///< makes psum, axis_index, ... available inside
  std::int64_t axis_size = -1;  ///< needed only where no argument is mapped
};

/// The axes of an argument's leaves, given by a tree.  In a tree of ints and None, each stands for
/// one leaf; in a tree of Arrays (of the argument's own type, say), a leaf's value is its axis and
/// a null Array is unmapped.
///   vmap(f, {.in_axes = {axes_of(Layer{0, Array()})}})(layer)   // layer.w is mapped, .b is not
template <class T>
LeafAxes axes_of(const T& tree) {
  LeafAxes out;
  auto walk = [&](auto& self, const auto& t) -> void {
    using U = std::remove_cvref_t<decltype(t)>;
    if constexpr (std::is_same_v<U, NoneType>)
      out.axes.push_back(internal::kUnmapped);
    else if constexpr (std::is_integral_v<U>)
      out.axes.push_back(int(t));
    else if constexpr (internal::is_tuple<U> || internal::is_pair<U>)
      std::apply([&](auto&... e) { (self(self, e), ...); }, t);
    else if constexpr (internal::RangeLike<U>) {
      for (auto& e : t) self(self, e);
    } else
      internal::with_fields(t, [&](auto&... m) { (self(self, m), ...); });
  };
  if constexpr (internal::is_static_tree<T>)
    walk(walk, tree);
  else
    internal::visit_arrays(tree, [&](const Array& a) {
      out.axes.push_back(a.defined() ? a.item<int>() : internal::kUnmapped);
    });
  return out;
}

namespace internal {
/// The Arrays (null ones too) of each element of a tuple, or of the whole.
template <class T>
SmallVec<ArrayRefs, 4> element_arrays(const T& t) {
  SmallVec<ArrayRefs, 4> r;
  if constexpr (is_tuple<T> || is_pair<T>)
    std::apply([&](auto&... e) { (r.push_back(array_refs(e)), ...); }, t);
  else
    r.push_back(array_refs(t));
  return r;
}
/// One axis for each defined Array.  what: "in_axes" or "out_axes"; results may also be listed
/// leaf by leaf.
std::vector<int> leaf_axes(const VmapAxes& spec, const SmallVec<ArrayRefs, 4>& elements,
                           const char* what, Loc loc);
}  // namespace internal

template <class F>
struct Vmap {
  using Traced = F;
  F f;
  VmapOptions options;
  Loc loc;
  template <class... A>
  auto operator()(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    internal::Results x = internal::leaves(in), y;
    auto in_axes =
        internal::leaf_axes(options.in_axes, internal::element_arrays(in), "in_axes", loc);
    auto lane = internal::flattened(f, in);
    std::vector<int> out_axes;
    std::span<const int> out_span;  // known when f has run, looked at after that
    auto run = [&](internal::Args lanes, internal::Results& out) {
      lane(lanes, out);
      out_axes = internal::leaf_axes(options.out_axes, internal::element_arrays(*lane.result),
                                     "out_axes", loc);
      out_span = out_axes;
    };
    internal::vmap_flat(internal::flat(run), args(x), in_axes, out_span, options.axis_size,
                        options.axis_name, y, loc);
    return lane.with(args(y));
  }
};

/// f over a batch: every mapped argument has one more axis than f's parameter, every result one
/// more than f returns.
template <class F>
auto vmap(F f, VmapOptions options = {}, Loc loc = Loc::current()) {
  return Vmap<F>{std::move(f), std::move(options), loc};
}

}  // namespace jaxpp
