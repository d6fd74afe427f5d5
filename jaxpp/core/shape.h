// shape.h -- sizes, dimension lists, and interned array types.
#pragma once
#include <string>
#include "jaxpp/core/dtype.h"
#include "jaxpp/core/small_vec.h"

namespace jaxpp {

/// Sizes of an array's dimensions: zeros({3, 4}); x.shape()[0]; for (auto n : x.shape()); x.shape() == Shape{3, 4}.
using Shape = SmallVec<std::int64_t, 4>;
/// A list of dimension numbers or of per-dimension values (strides, limits).
using Dims = Shape;

std::string to_string(const Shape&);  // "(3, 4)", "(3,)", "()"

/// The abstract value of an array: its dtype and shape.  Interned: equal types are one pointer.
struct Aval {
  DType dtype;
  Shape shape;
  std::int64_t size;
  std::string str() const;  // "f32[3,4]"
};
namespace internal {
using Type = const Aval*;
}  // namespace internal
internal::Type make_type(
    DType, const Shape&);  // throws TypeError on a negative size or a product beyond int64
namespace internal {
extern const Aval scalar_types[kNumDTypes];
}
inline internal::Type scalar_type(DType d) { return &internal::scalar_types[int(d)]; }

/// Axes of a reduction: sum(x), sum(x, 0), sum(x, {0, 1}), sum(x, {0}).  Integers only.
class Axes {
 public:
  template <class I>
  requires(std::is_integral_v<I> && !std::is_same_v<I, bool>) Axes(I axis)
      : values_{std::int64_t(axis)} {}
  Axes(std::initializer_list<int> a) {
    for (int v : a) values_.push_back(v);
  }
  Axes(const Dims& d) : values_(d) {}
  static Axes every() {
    Axes a(0);
    a.all_ = true;
    return a;
  }
  bool all() const { return all_; }
  const Dims& values() const { return values_; }

 private:
  Dims values_;
  bool all_ = false;
};

/// Tags of the indexing and vmap interfaces.
struct NoneType {};
inline constexpr NoneType None{};  ///< a new axis; an unmapped argument; an open slice bound
struct AllType {};
inline constexpr AllType All{};  ///< x(All, 0): the whole axis
struct EllipsisType {};
inline constexpr EllipsisType Ellipsis{};  ///< x(Ellipsis, 0): as many whole axes as fit

}  // namespace jaxpp
