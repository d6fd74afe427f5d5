// conv_dnn.cc -- convolutions of f32 by oneDNN, in parts that our own threads take.
//
// Which of its three kinds a problem is:
//   a dilated lhs        the derivative of a strided convolution with respect to its input: nothing is multiplied by zeros;
//   more window elements than results
//                        the derivative with respect to the weights, where lhs's batch plays the features and rhs is the cotangent;
//   else                 a convolution.
// Parts are batch items, or lines of one item; of derivatives with respect to weights, terms of the sum, which are added in
// order.  They follow from sizes alone, so that results do not depend on the number of threads.  Margins of zeros that are
// negative, or that nothing reads, become smaller views.
#include <algorithm>
#include <optional>
#include "backends/eager/conv_problem.h"
#include "backends/eager/strided.h"
#include "backends/host/dnn.h"
#include "backends/host/pool.h"

namespace jaxpp::internal::conv {
namespace {

using host::ConvKind;
using host::ConvProblem;
using host::ConvRole;
using host::ConvTensor;
using host::DnnConvolution;

// Below, finding the code and calling it cost more than the arithmetic.
constexpr double kLeastFlops = 1e5;
// A part is about 20 us of work.
constexpr double kPartFlops = 4e6;
constexpr Index kLongLine = 128, kLanes = 16;
constexpr Index kMostParts = 64, kMostSums = 16, kLeastLines = 4, kMostTerms = Index(1) << 22;
// Terms of a derivative with respect to weights that has more elements are dear to add; pieces of so many features are not.
constexpr Index kLargeResult = Index(1) << 16, kFeatures = 64;

std::optional<ConvKind> kind_of(const Problem& q) {
  bool dilated = false, strided = false;
  for (const Window& w : q.windows) {
    dilated |= w.lhs_dilation > 1;
    strided |= w.stride > 1;
  }
  const bool features = q.groups == 1 || q.lhs_group == q.in * q.lhs_in,
             batches = q.groups == 1 || q.lhs_group == q.batch * q.lhs_batch;
  if (dilated) return strided || !features ? std::nullopt : std::optional(ConvKind::data);
  if (q.taps > q.positions) return batches ? std::optional(ConvKind::weights) : std::nullopt;
  return features ? std::optional(ConvKind::forward) : std::nullopt;
}
// What is really computed: of a dilated lhs, only what is not a zero between its elements.
double work(const Problem& q) {
  double flops = q.flops();
  for (const Window& w : q.windows) flops /= double(w.lhs_dilation);
  return flops;
}

// Few features in long lines are products of what lies in memory; the library would spread them over 16 lanes.
bool better_by_lines(const Problem& q, ConvKind kind) {
  const Window& w = q.windows.back();
  const bool lines = q.groups == 1 && w.lhs_by == 1, one = q.windows.size() == 1;
  if (!lines || kind == ConvKind::data) return false;
  if (kind == ConvKind::weights)
    return one && w.size >= kLongLine && q.out < kLanes && q.batch >= kLanes / 2;
  if (q.taps == 1 && q.lhs_in != 1) return true;  // a product of matrices
  return w.out >= kLongLine && q.out < (one ? kLanes : kLanes / 2);
}

// ---- Views: which elements of a dimension are read, and the zeros around them
struct View {
  Index skipped, in, low, high;  // zeros: low >= 0, high > -stride
};
// Of the input of a convolution that reads x = o stride + k dilation - low.
std::optional<View> view_of_input(Index in, Index size, Index out, Index stride, Index dilation,
                                  Index low) {
  View v{std::max<Index>(-low, 0), in, std::max<Index>(low, 0), 0};
  v.in -= v.skipped;
  const Index read = (out - 1) * stride + (size - 1) * dilation + 1 - v.low;
  if (read - v.in <= -stride) v.in = read;
  v.high = read - v.in;
  return v.in > 0 ? std::optional(v) : std::nullopt;
}
// Of the cotangents of one: elements p go to p stride + k dilation - low, for 0 <= that < out.
std::optional<View> view_of_cotangent(Index in, Index size, Index out, Index stride, Index dilation,
                                      Index low) {
  const Index reach = (size - 1) * dilation;
  if (low < 0) return std::nullopt;
  View v{std::max<Index>((low - reach + stride - 1) / stride, 0), in, low, 0};
  v.in = std::min(in, (out - 1 + low) / stride + 1) - v.skipped;
  v.low -= v.skipped * stride;
  v.high = (v.in - 1) * stride + reach + 1 - v.low - out;
  return v.in > 0 && v.high > -stride ? std::optional(v) : std::nullopt;
}

// ---- A problem as the library sees it
struct Described {
  ConvProblem problem;
  Index lhs = 0;  // the first element of lhs that is read
};
void add(ConvTensor& t, Index size, Index by) {
  t.dims.push_back(size);
  t.strides.push_back(by);
}
// Weights [group,] [o, i, spatial...]: what convolutions call so.
void add_group(ConvTensor& t, const Problem& q, Index by) {
  if (q.groups > 1) add(t, q.groups, by);
}
// The kernel of a derivative with respect to the input is read backwards: it is a copy, in this order.
ConvTensor mirrored(const Problem& q) {
  ConvTensor t;
  Index by = q.groups * q.in * q.out * q.taps;
  auto next = [&](Index size) { add(t, size, by /= size); };
  if (q.groups > 1) next(q.groups);
  next(q.in);
  next(q.out);
  for (const Window& w : q.windows) next(w.size);
  return t;
}
std::optional<Described> describe(const Problem& q, ConvKind kind) {
  Described d{{kind, {}, {}, {}, {}, {}}};
  ConvProblem& p = d.problem;
  // The roles of lhs, rhs and y.
  const bool data = kind == ConvKind::data, sums = kind == ConvKind::weights;
  ConvTensor &lhs = p[data ? ConvRole::dst : ConvRole::src],
             &rhs = p[sums ? ConvRole::dst : ConvRole::weights],
             &y = p[data   ? ConvRole::src
                    : sums ? ConvRole::weights
                           : ConvRole::dst];
  if (sums) {
    add(lhs, q.in, q.lhs_in);
    add(lhs, q.groups * q.batch, q.lhs_batch);
    add(rhs, q.in, q.rhs_in);
    add(rhs, q.groups * q.out, q.rhs_out);
    add_group(y, q, q.out_group);
    add(y, q.out, q.out_out);
    add(y, q.batch, q.out_batch);
  } else {
    add(lhs, q.batch, q.lhs_batch);
    add(lhs, q.groups * q.in, q.lhs_in);
    add(y, q.batch, q.out_batch);
    add(y, q.groups * q.out, q.out_out);
    if (data) {
      rhs = mirrored(q);
    } else {
      add_group(rhs, q, q.rhs_group);
      add(rhs, q.out, q.rhs_out);
      add(rhs, q.in, q.rhs_in);
    }
  }
  for (const Window& w : q.windows) {
    const std::optional<View> v =
        data ? view_of_cotangent(w.in, w.size, w.out, w.lhs_dilation, w.rhs_dilation,
                                 (w.size - 1) * w.rhs_dilation - w.low)
             : view_of_input(w.in, w.size, w.out, w.stride, w.rhs_dilation, w.low);
    if (!v) return std::nullopt;
    // The window of a derivative with respect to weights is its cotangent, and steps by what dilates it.
    Index stride = data ? w.lhs_dilation : w.stride, dilation = w.rhs_dilation;
    if (sums) std::swap(stride, dilation);
    if (v->high <= -stride) return std::nullopt;
    d.lhs += v->skipped * w.lhs_by;
    add(lhs, v->in, w.lhs_by);
    if (!data) add(rhs, w.size, w.rhs_by);
    add(y, w.out, w.out_by);
    p.stride.push_back(stride);
    p.dilation.push_back(dilation);
    p.low.push_back(v->low);
    p.high.push_back(v->high);
  }
  return d;
}

// ---- Parts
struct Part {
  std::shared_ptr<const DnnConvolution> code;
  Index lhs, rhs, y;  // where they begin
};
bool add_part(std::vector<Part>& parts, const Problem& q, ConvKind kind, Index lhs, Index rhs,
              Index y) {
  const std::optional<Described> d = describe(q, kind);
  if (!d) return false;
  parts.push_back({DnnConvolution::find(d->problem), lhs + d->lhs, rhs, y});
  return parts.back().code != nullptr;
}
// Where piece i of n pieces of `size` begins.
Index cut(Index size, Index n, Index i) { return size * i / n; }

// Elements in memory of their own, or those that are there.
struct Elements {
  Array own = {};
  float* data = nullptr;
};
Elements elements(std::size_t bytes, float* there) {
  if (!bytes) return {{}, there};
  Elements e{Array::make(make_type(DType::f32, {Index(bytes / sizeof(float) + 1)}))};
  e.data = e.own.data<float>();
  return e;
}
Elements packed(const DnnConvolution& c, ConvRole role, const float* from) {
  Elements e = elements(c.packed_bytes(role), const_cast<float*>(from));
  if (e.data != from) c.pack(role, from, e.data);
  return e;
}

class ByLibrary {
 public:
  ByLibrary(const Problem& q, ConvKind kind, const float* lhs, const float* rhs, float* y)
      : q_(q), kind_(kind), lhs_(lhs), rhs_(rhs), y_(y) {}
  bool run() {
    if (!(kind_ == ConvKind::weights ? cut_sum() : cut_results())) return false;
    kind_ == ConvKind::weights ? sum() : results();
    return true;
  }

 private:
  bool cut_results() {
    const Index wanted = std::clamp(Index(work(q_) / kPartFlops), Index(1), kMostParts);
    if (q_.batch >= wanted) {
      for (Index i = 0; i < wanted; ++i)
        if (!add_block(cut(q_.batch, wanted, i), cut(q_.batch, wanted, i + 1), 0,
                       q_.windows[0].out))
          return false;
      return true;
    }
    // Lines of one item; all blocks but the first and the last are one problem.
    const Window& w = q_.windows[0];
    const Index blocks = (wanted + q_.batch - 1) / q_.batch,
                lines = std::max((w.out + blocks - 1) / blocks, kLeastLines),
                step = (lines + w.lhs_dilation - 1) / w.lhs_dilation * w.lhs_dilation;
    for (Index n = 0; n < q_.batch; ++n)
      for (Index line = 0; line < w.out; line += step)
        if (!add_block(n, n + 1, line, std::min(line + step, w.out))) return false;
    return true;
  }
  bool add_block(Index n0, Index n1, Index line0, Index line1) {
    Problem part = q_;
    Window& w = part.windows[0];
    part.batch = n1 - n0;
    w.low -= line0 * w.stride;
    w.out = line1 - line0;
    return add_part(parts_, part, kind_, n0 * q_.lhs_batch, 0,
                    n0 * q_.out_batch + line0 * w.out_by);
  }
  void results() {
    std::vector<float> mirror;
    const float* weights = rhs_;
    if (kind_ == ConvKind::data) {
      mirror.resize(std::size_t(q_.groups * q_.in * q_.out * q_.taps));
      copy_mirrored(mirror.data());
      weights = mirror.data();
    }
    // Parts of different sizes may want different formats.
    std::vector<std::pair<const DnnConvolution*, Elements>> formats;
    std::vector<const float*> of_part;
    for (const Part& part : parts_) {
      auto same = std::find_if(formats.begin(), formats.end(), [&](const auto& f) {
        return f.first == part.code.get() || f.first->same_format(ConvRole::weights, *part.code);
      });
      if (same == formats.end())
        same =
            formats.insert(same, {part.code.get(), packed(*part.code, ConvRole::weights, weights)});
      of_part.push_back(same->second.data);
    }
    host::parallel_for(Index(parts_.size()), [&](Index i) {
      const Part& part = parts_[std::size_t(i)];
      const DnnConvolution& c = *part.code;
      const bool data = kind_ == ConvKind::data;
      const ConvRole in = data ? ConvRole::dst : ConvRole::src,
                     out = data ? ConvRole::src : ConvRole::dst;
      const Elements x = packed(c, in, lhs_ + part.lhs),
                     y = elements(c.packed_bytes(out), y_ + part.y),
                     scratch = elements(c.scratch_bytes(), nullptr);
      c.run(data ? y.data : x.data, of_part[std::size_t(i)], data ? x.data : y.data, scratch.data);
      if (c.packed_bytes(out)) c.unpack(out, y.data, y_ + part.y);
    });
  }
  void copy_mirrored(float* to) const {
    const ConvTensor t = mirrored(q_);
    const std::size_t first = q_.groups > 1;
    const float* from = rhs_;
    StridedPair pair;
    if (first) pair.add(q_.groups, t.strides[0], q_.rhs_group);
    pair.add(q_.in, t.strides[first], q_.rhs_in);
    pair.add(q_.out, t.strides[first + 1], q_.rhs_out);
    for (std::size_t d = 0; d < q_.windows.size(); ++d) {
      const Window& w = q_.windows[d];
      from += (w.size - 1) * w.rhs_by;
      pair.add(w.size, t.strides[first + 2 + d], -w.rhs_by);
    }
    copy_pair(to, from, std::move(pair));
  }

  // Terms of the sum: items (lhs's features), and lines of the cotangent if those are few.  A large result is cut instead.
  bool cut_sum() {
    const Index results = q_.groups * q_.batch * q_.out * q_.positions;
    if (results > kLargeResult && q_.groups == 1 && q_.out >= 2 * kFeatures) {
      pieces_ = true;
      for (Index o = 0; o < q_.out; o += kFeatures) {
        Problem part = q_;
        part.out = std::min(kFeatures, q_.out - o);
        if (!add_part(parts_, part, kind_, 0, o * q_.rhs_out, o * q_.out_out)) return false;
      }
      return true;
    }
    const Index most = std::clamp(kMostTerms / results, Index(1), kMostSums),
                wanted = std::clamp(Index(work(q_) / kPartFlops), Index(1), most),
                items = std::min(q_.in, wanted);
    const Window& w = q_.windows[0];
    const Index blocks =
        std::clamp(wanted / items, Index(1), (w.size + kLeastLines - 1) / kLeastLines);
    for (Index i = 0; i < items; ++i)
      for (Index k = 0; k < blocks; ++k)
        if (!add_term(cut(q_.in, items, i), cut(q_.in, items, i + 1), cut(w.size, blocks, k),
                      cut(w.size, blocks, k + 1)))
          return false;
    return true;
  }
  bool add_term(Index i0, Index i1, Index line0, Index line1) {
    Problem part = q_;
    Window& w = part.windows[0];
    part.in = i1 - i0;
    w.size = line1 - line0;
    w.low -= line0 * w.rhs_dilation;
    return add_part(parts_, part, kind_, i0 * q_.lhs_in, i0 * q_.rhs_in + line0 * w.rhs_by, 0) &&
           parts_.back().code->same_format(ConvRole::weights, *parts_.front().code);
  }
  void sum() {
    const Index n = Index(parts_.size());
    if (pieces_ || n == 1)
      return host::parallel_for(n, [&](Index i) {
        const Part& part = parts_[std::size_t(i)];
        const Elements y = elements(part.code->packed_bytes(ConvRole::weights), y_ + part.y);
        term(part, y.data);
        if (y.data != y_ + part.y) part.code->unpack(ConvRole::weights, y.data, y_ + part.y);
      });
    const DnnConvolution& first = *parts_[0].code;
    const bool packed = first.packed_bytes(ConvRole::weights) > 0;
    const Index size = packed ? Index(first.packed_bytes(ConvRole::weights) / sizeof(float))
                              : q_.groups * q_.batch * q_.out * q_.positions;
    const Elements terms = elements(std::size_t(n * size) * sizeof(float), nullptr);
    host::parallel_for(n, [&](Index i) { term(parts_[std::size_t(i)], terms.data + i * size); });
    float* const total = packed ? terms.data : y_;
    host::parallel_ranges(size, Index(1) << 14, [&](Index begin, Index end) {
      for (Index j = begin; j < end; ++j) {
        float s = terms.data[j];
        for (Index i = 1; i < n; ++i) s += terms.data[i * size + j];
        total[j] = s;
      }
    });
    if (packed) first.unpack(ConvRole::weights, total, y_);
  }
  void term(const Part& part, float* y) const {
    const DnnConvolution& c = *part.code;
    const Elements x = packed(c, ConvRole::src, lhs_ + part.lhs),
                   ct = packed(c, ConvRole::dst, rhs_ + part.rhs),
                   scratch = elements(c.scratch_bytes(), nullptr);
    c.run(x.data, y, ct.data, scratch.data);
  }

  const Problem& q_;
  const ConvKind kind_;
  const float *lhs_, *rhs_;
  float* const y_;
  std::vector<Part> parts_;
  bool pieces_ = false;  // of a derivative with respect to weights: not its terms
};

}  // namespace

bool by_library(const Problem& q, const float* lhs, const float* rhs, float* y) {
  if (q.windows.size() > 3 || work(q) < kLeastFlops) return false;
  const std::optional<ConvKind> kind = kind_of(q);
  return kind && !better_by_lines(q, *kind) && ByLibrary(q, *kind, lhs, rhs, y).run();
}

}  // namespace jaxpp::internal::conv
