// vmap.cc -- in_axes and out_axes, as the user writes them, become one axis for each leaf.
#include "jaxpp/vmap.h"

namespace jaxpp::internal {

std::vector<int> leaf_axes(const VmapAxes& spec, const SmallVec<ArrayRefs, 4>& elements,
                           const char* what, Loc loc) {
  std::vector<int> axes;
  std::size_t n_leaves = 0;
  for (auto& e : elements) n_leaves += e.size();
  auto add = [&](const ArrayRefs& arrays, std::size_t i, const VmapAxis& axis) {
    if (axis.per_leaf() && axis.axes().size() != arrays.size())
      fail<TypeError>("vmap: " + std::string(what) + " has axes_of " +
                          std::to_string(axis.axes().size()) + " leaves, but " +
                          (what[0] == 'i' ? "argument " : "result ") + std::to_string(i) + " has " +
                          std::to_string(arrays.size()) + ".",
                      loc, "E25");
    for (std::size_t k = 0; k < arrays.size(); ++k)
      if (arrays[k]->defined()) axes.push_back(axis.axes()[axis.per_leaf() ? k : 0]);
  };
  const std::vector<VmapAxis>& given = spec.axes();
  if (!spec.listed() && given[0].per_leaf() &&
      elements.size() != 1) {  // one tree for the whole tuple
    ArrayRefs all;
    for (auto& e : elements) all.append(e.begin(), e.end());
    add(all, 0, given[0]);
  } else if (!spec.listed() || given.size() == elements.size()) {
    for (std::size_t i = 0; i < elements.size(); ++i)
      add(elements[i], i, given[spec.listed() ? i : 0]);
  } else if (what[0] == 'o' && given.size() == n_leaves) {
    std::size_t i = 0;
    for (auto& e : elements)
      for (const Array* a : e) {
        if (a->defined()) axes.push_back(given[i].axes()[0]);
        ++i;
      }
  } else {
    fail<TypeError>("vmap: " + std::string(what) + " has " + std::to_string(given.size()) +
                        " entries for " + std::to_string(elements.size()) +
                        (what[0] == 'i' ? " arguments." : " results."),
                    loc, "E25");
  }
  return axes;
}

}  // namespace jaxpp::internal
