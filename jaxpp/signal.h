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

// ---- Spectra

struct SpectrumOptions {
  double fs = 1;  ///< samples per unit of time
  Array window =
      {};  ///< of one segment; Hann's periodic window of nperseg samples, if none is given
  std::int64_t nperseg = 256;  ///< samples of a segment; no more than there are
  std::optional<std::int64_t> noverlap =
      {};  ///< samples that neighbours share; half of a segment by default
  std::optional<std::int64_t> nfft =
      {};                ///< length of the transforms, zeros added; nperseg by default
  bool onesided = true;  ///< of real signals: without negative frequencies
  bool density = true;   ///< power per frequency; otherwise power
  std::optional<Trend> detrend = Trend::constant;  ///< taken from each segment (not by stft)
  int axis = -1;                                   ///< of time
};
/// The short-time Fourier transform: of windows along the signal, which gets half of one of zeros at both ends.
///   x[..., n]  ->  frequencies [f], times [t], values [..., f, t], complex
struct Stft {
  Array frequencies, times, values;
};
Stft stft(const Array& x, const SpectrumOptions& = {}, Loc = Loc::current());
/// The signal again, where windows overlap enough: istft(stft(x).values) starts with x.  nperseg, if it is not that of
/// `options`, follows from the number of frequencies.
Array istft(const Array& values, const SpectrumOptions& = {}, Loc = Loc::current());
/// Power by frequency, after Welch: the mean over segments.
struct Spectrum {
  Array frequencies, power;
};
Spectrum welch(const Array& x, const SpectrumOptions& = {}, Loc = Loc::current());
/// The cross spectrum of two signals of one shape: of conj(x) y.
Spectrum csd(const Array& x, const Array& y, const SpectrumOptions& = {}, Loc = Loc::current());

}  // namespace jaxpp::signal

namespace jaxpp {

// ---- Windows of n samples, symmetric, after numpy
Array bartlett(std::int64_t n, DType = default_dtype(), Loc = Loc::current());
Array blackman(std::int64_t n, DType = default_dtype(), Loc = Loc::current());
Array hamming(std::int64_t n, DType = default_dtype(), Loc = Loc::current());
Array hanning(std::int64_t n, DType = default_dtype(), Loc = Loc::current());
/// beta: 0 is a rectangle, 5 about hamming, 14 suits most purposes.
Array kaiser(std::int64_t n, const Array& beta, DType = default_dtype(), Loc = Loc::current());

}  // namespace jaxpp
