// window.h -- windows that slide over an array: what the rules and the kernels of ops/window.cc share.
#pragma once
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {

/// The parameters of any primitive of the family; what a primitive lacks is 1 everywhere.
struct Windows {
  Dims base_dilation;
  std::vector<Dims> padding;
  Dims window_dilation, window_dimensions, window_strides;

  explicit Windows(const WindowParams& p)
      : base_dilation(p.base_dilation),
        padding(p.padding),
        window_dilation(p.window_dilation),
        window_dimensions(p.window_dimensions),
        window_strides(p.window_strides) {}
  explicit Windows(const ReduceWindowParams& p)
      : Windows(WindowParams{p.base_dilation, p.padding, p.window_dilation, p.window_dimensions,
                             p.window_strides}) {}
  explicit Windows(const SelectAndGatherParams& p)
      : Windows(WindowParams{p.base_dilation, p.padding, p.window_dilation, p.window_dimensions,
                             p.window_strides}) {}
  explicit Windows(const SelectAndScatterParams& p)
      : Windows(WindowParams{Dims(p.window_dimensions.size(), 1), p.padding,
                             Dims(p.window_dimensions.size(), 1), p.window_dimensions,
                             p.window_strides}) {}

  std::size_t rank() const { return window_dimensions.size(); }
  /// How far a window reaches along dimension d, its holes included.
  std::int64_t reach(std::size_t d) const {
    return window_dimensions[d] == 0 ? 0 : (window_dimensions[d] - 1) * window_dilation[d] + 1;
  }
  std::int64_t elements() const {
    std::int64_t n = 1;
    for (auto v : window_dimensions) n *= v;
    return n;
  }
  /// The number of windows along each dimension of an operand of this shape.
  Shape results(const Shape& operand) const;
};

}  // namespace jaxpp::internal
