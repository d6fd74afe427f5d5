// conv_problem.cc -- sizes and strides of a convolution from its parameters and operands.
#include "backends/eager/conv_problem.h"
#include <algorithm>
#include "backends/eager/strided.h"

namespace jaxpp::internal::conv {

Problem problem_of(const ConvParams& p, const Array& lhs, const Array& rhs, const Array& y) {
  const ConvDims& d = p.dimension_numbers;
  const Dims l = strides_of(lhs.shape()), r = strides_of(rhs.shape()), o = strides_of(y.shape());
  auto size = [](const Array& x, Index axis) { return x.shape()[std::size_t(axis)]; };
  auto by = [](const Dims& strides, Index axis) { return strides[std::size_t(axis)]; };
  Problem q;
  const Index fg = p.feature_group_count, bg = p.batch_group_count;
  q.groups = std::max(fg, bg);
  q.batch = size(lhs, d.lhs_spec[0]) / bg;
  q.in = size(lhs, d.lhs_spec[1]) / fg;
  q.out = size(rhs, d.rhs_spec[0]) / q.groups;
  q.lhs_batch = by(l, d.lhs_spec[0]);
  q.lhs_in = by(l, d.lhs_spec[1]);
  q.lhs_group = fg > 1 ? q.in * q.lhs_in : q.batch * q.lhs_batch;
  q.rhs_out = by(r, d.rhs_spec[0]);
  q.rhs_in = by(r, d.rhs_spec[1]);
  q.rhs_group = q.out * q.rhs_out;
  q.out_batch = by(o, d.out_spec[0]);
  q.out_out = by(o, d.out_spec[1]);
  q.out_group = q.out * q.out_out;
  for (std::size_t i = 0; i < p.padding.size(); ++i) {
    const Index a = d.lhs_spec[i + 2], b = d.rhs_spec[i + 2], c = d.out_spec[i + 2];
    q.windows.push_back({size(lhs, a),
                         size(rhs, b),
                         size(y, c),
                         p.window_strides[i],
                         p.padding[i][0],
                         p.lhs_dilation[i],
                         p.rhs_dilation[i],
                         by(l, a),
                         by(r, b),
                         by(o, c),
                         {}});
  }
  if (q.windows.empty()) q.windows.push_back({1, 1, 1, 1, 0, 1, 1, 0, 0, 0, {}});
  for (const Window& w : q.windows) {
    q.taps *= w.size;
    q.positions *= w.out;
  }
  return q;
}

}  // namespace jaxpp::internal::conv
