// convolve.cc -- numpy's convolve and correlate: one feature, one batch item of conv_general_dilated.
#include "jaxpp/convolve.h"
#include "jaxpp/math_internal.h"

namespace jaxpp {
namespace {
using namespace internal;

// x, the longer one, slides along y as it lies.
Array slide(const char* op, Array x, Array y, std::string_view mode, Loc loc) {
  const std::int64_t n = y.size();
  Dims padding;
  if (mode == "full")
    padding = {n - 1, n - 1};
  else if (mode == "same")
    padding = {n / 2, n - n / 2 - 1};
  else if (mode == "valid")
    padding = {0, 0};
  else
    internal::fail<TypeError>(std::string(op) + ": no mode \"" + std::string(mode) + "\".", loc,
                              "E110", "It is \"full\", \"same\" or \"valid\".");
  const Array result = lax::conv_with_general_padding(
      lax::expand_dims(x, {0, 1}), lax::expand_dims(y, {0, 1}), {1}, {padding}, {}, {}, loc);
  return lax::squeeze(result, {0, 1}, loc);
}
void need_signals(const char* op, Array& x, Array& y, Loc loc) {
  promote_inexact(op, x, y, loc);
  for (const Array* a : {&x, &y})
    if (a->ndim() != 1 || a->size() == 0)
      internal::fail<TypeError>(
          std::string(op) + ": needs two vectors with elements, not " + a->type()->str() + ".", loc,
          "E110", "Convolutions of more dimensions are lax::conv_general_dilated.");
}
}  // namespace

Array convolve(const Array& a, const Array& b, std::string_view mode, Loc loc) {
  const UserLine line(loc);
  Array x = a, y = b;
  need_signals("convolve", x, y, loc);
  if (x.size() < y.size()) std::swap(x, y);
  return slide("convolve", x, lax::rev(y, {0}), mode, loc);
}
Array correlate(const Array& a, const Array& b, std::string_view mode, Loc loc) {
  const UserLine line(loc);
  Array x = a, y = b;
  need_signals("correlate", x, y, loc);
  if (is_complex(y.dtype())) y = lax::conj(y);
  if (x.size() >= y.size()) return slide("correlate", x, y, mode, loc);
  return lax::rev(slide("correlate", y, x, mode, loc), {0});
}

}  // namespace jaxpp
