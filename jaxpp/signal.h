// signal.h -- jaxpp::signal: convolutions of arrays of any rank, and trends, after scipy.signal.
//
//   Array blurred = signal::convolve(image, kernel, "same");
//   Array long_one = signal::fftconvolve(x, impulse_response);   // in O(n log n)
//   Array level = signal::detrend(x);
//
// mode: "full" (wherever they overlap, n + m - 1 results), "same" (the middle of it, as large as the first operand) or "valid" (where
// they overlap wholly).  One operand must be at least as large as the other along every axis (fftconvolve: for "valid").  The
// numpy functions of vectors, with numpy's "same", are jaxpp::convolve and jaxpp::correlate.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp::signal {

/// Directly, or by Fourier transforms.
enum class Method { direct, fft };

/// sum over k of x[k] y[n - k].   Throws TypeError [E110] where ranks or sizes do not fit, or one is empty.
Array convolve(const Array& x, const Array& y, std::string_view mode = "full",
               Method = Method::direct, Loc = Loc::current());
/// sum over k of x[k + n] conj(y[k]).
Array correlate(const Array& x, const Array& y, std::string_view mode = "full",
                Method = Method::direct, Loc = Loc::current());
/// The same of matrices only.
Array convolve2d(const Array& x, const Array& y, std::string_view mode = "full",
                 Loc = Loc::current());
Array correlate2d(const Array& x, const Array& y, std::string_view mode = "full",
                  Loc = Loc::current());
/// convolve by Fourier transforms, along some axes; the others are batches of equal sizes.
Array fftconvolve(const Array& x, const Array& y, std::string_view mode = "full",
                  const Axes& axes = Axes::every(), Loc = Loc::current());

enum class Trend { linear, constant };
/// x less its mean, or less the line that fits best, along an axis; between the breakpoints each piece has its own line.
Array detrend(const Array& x, int axis = -1, Trend type = Trend::linear,
              const Dims& breakpoints = {}, Loc = Loc::current());

}  // namespace jaxpp::signal
