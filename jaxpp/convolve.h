// convolve.h -- convolution and correlation of two signals, after numpy.
//
//   Array smooth = convolve(signal, ones({5}) / 5, "same");
//
// Convolutions of images and batches are lax::conv_general_dilated.
#pragma once
#include <string_view>
#include "jaxpp/math.h"

namespace jaxpp {

/// result[k] = sum over n of x[n] y[k - n].   [m], [n] -> [m + n - 1]; "same": the middle max(m, n) of these; "valid": those that
/// need no elements beyond the ends.  Throws TypeError [E110] unless both are vectors with elements.
Array convolve(const Array& x, const Array& y, std::string_view mode = "full",
               Loc = Loc::current());
/// result[k] = sum over n of x[n + k] conj(y[n]).   Modes as of convolve.
Array correlate(const Array& x, const Array& y, std::string_view mode = "valid",
                Loc = Loc::current());

}  // namespace jaxpp
