// conv_problem.h -- conv_general_dilated in sizes and strides: what every kernel of it starts from.
//
//   y[n, o, p] = sum over input features i and window elements k of rhs[o, i, k] lhs[n, i, (p stride + k rhs_dilation - low) / lhs_dilation]
//
// where the quotient is whole and inside, for every group.
#pragma once
#include <vector>
#include "backends/eager/kernels.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal::conv {

using Index = std::int64_t;

struct Window {  // one spatial dimension
  Index in, size, out, stride, low, lhs_dilation, rhs_dilation;
  Index lhs_by, rhs_by, out_by;     // strides in memory
  std::vector<Index> sources = {};  // of every (o, k), where they are few

  /// Where window element k of result o lies in lhs, times its stride; -1 for zeros.
  Index source(Index o, Index k) const {
    return sources.empty() ? computed_source(o, k) : sources[std::size_t(o * size + k)];
  }
  Index computed_source(Index o, Index k) const {
    const Index x = o * stride + k * rhs_dilation - low;
    if (x < 0 || x % lhs_dilation != 0) return -1;
    return x / lhs_dilation < in ? x / lhs_dilation * lhs_by : -1;
  }
  void tabulate() {
    if (out * size > Index(1) << 14) return;
    for (Index o = 0; o < out; ++o)
      for (Index k = 0; k < size; ++k) sources.push_back(computed_source(o, k));
  }
};
struct Problem {
  Index groups, batch, in, out;  // of one group
  Index lhs_group, lhs_batch, lhs_in, rhs_group, rhs_out, rhs_in, out_group, out_batch, out_out;
  std::vector<Window> windows;    // never empty
  Index taps = 1, positions = 1;  // elements of a window; results per batch item and feature
  Index reduced() const { return in * taps; }
  double flops() const {  // additions of zeros included
    return 2. * double(groups * batch * positions) * double(out * reduced());
  }
};
Problem problem_of(const ConvParams& p, const Array& lhs, const Array& rhs, const Array& y);

/// y by oneDNN (backends/host/dnn.h).  False, and nothing done, where it is absent, has no fast code, or does not pay.
bool by_library(const Problem& q, const float* lhs, const float* rhs, float* y);

}  // namespace jaxpp::internal::conv
