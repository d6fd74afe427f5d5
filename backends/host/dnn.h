// dnn.h -- convolutions of oneDNN, found when first wanted.
//
// oneDNN 2 or 3 (Debian: libdnnl2), or the library that JAXPP_DNN names by path; JAXPP_DNN=0: none.  Nothing is linked.  It
// computes on the thread that calls it, for work is divided over our own (pool.h); a build of it that has threads other than
// OpenMP's cannot be told so, and is not used.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace jaxpp::host {

/// What is computed of  dst[n, o, p] = sum over i and k of weights[o, i, k] src[n, i, p stride + k dilation - low].
enum class ConvKind {
  forward,  // dst
  data,     // the derivative with respect to src: src from weights and dst
  weights   // with respect to weights: weights from src and dst
};
enum class ConvRole { src, weights, dst };

/// Sizes and strides in elements of f32: src [n, i, spatial...], weights [group,] [o, i, spatial...], dst [n, o, spatial...].
struct ConvTensor {
  std::vector<std::int64_t> dims, strides;
  bool operator<(const ConvTensor& x) const {
    return dims != x.dims ? dims < x.dims : strides < x.strides;
  }
};
struct ConvProblem {
  ConvKind kind;
  std::array<ConvTensor, 3> tensors;                      // by role
  std::vector<std::int64_t> stride, dilation, low, high;  // dilation 1: none; high > -stride
  const ConvTensor& operator[](ConvRole r) const { return tensors[std::size_t(r)]; }
  ConvTensor& operator[](ConvRole r) { return tensors[std::size_t(r)]; }
};

/// Code for one problem, with the formats that the library prefers.  Threads may run it at the same time.
class DnnConvolution {
 public:
  /// Null if there is no library, or it has no vector code for the problem.  The last few hundred are remembered.
  static std::shared_ptr<const DnnConvolution> find(const ConvProblem& problem);
  ~DnnConvolution();

  /// Bytes of a tensor in the library's format; 0 if that is how it lies.
  std::size_t packed_bytes(ConvRole role) const;
  /// Whether a tensor that was packed for `other` may be used here.
  bool same_format(ConvRole role, const DnnConvolution& other) const;
  void pack(ConvRole role, const float* from, float* to) const;
  void unpack(ConvRole role, const float* from, float* to) const;

  std::size_t scratch_bytes() const;
  /// The operands as the library wants them.  One of them is the result.
  void run(const float* src, const float* weights, const float* dst, void* scratch) const;

 private:
  struct Impl;
  explicit DnnConvolution(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Who computes convolutions here: "oneDNN 2.6.3 (libdnnl.so.2)", "im2col: ...".  Throws Error [E58] if JAXPP_DNN names a
/// file that is no oneDNN.
std::string dnn_library();

/// Off: as if there were no library.  For tests; returns what it was.
bool use_dnn(bool on);

}  // namespace jaxpp::host
