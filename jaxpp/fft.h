// fft.h -- jaxpp::fft: discrete Fourier transforms, after numpy.fft.
//
//   Array spectrum = fft::rfft(signal);                       // f32[n] -> c64[n / 2 + 1]
//   Array again = fft::irfft(spectrum, n);                    // n: an odd length cannot be guessed
//   Array frequencies = fft::rfftfreq(n, 1 / rate);           // in Hertz
//   Array blurred = real(fft::ifft2(fft::fft2(image) * filter));
//
// Everything is differentiable and batched: the transforms are linear maps.  Any length is fast, prime ones too.  Integers and
// halves are computed in f32.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp::fft {

/// Which direction carries the factor 1/n: the inverse one (backward), the forward one, or both with its root (ortho).
enum class Norm { backward, ortho, forward };

/// y[k] = sum over j of x[j] exp(-2 pi i j k / n) along one axis, first cropped or filled with zeros to n elements.
/// complex[..., n, ...].   Throws TypeError [E111] if n < 1 or there is no such axis.
Array fft(const Array& x, std::optional<std::int64_t> n = {}, int axis = -1, Norm = Norm::backward,
          Loc = Loc::current());
/// The inverse of fft.
Array ifft(const Array& x, std::optional<std::int64_t> n = {}, int axis = -1, Norm = Norm::backward,
           Loc = Loc::current());
/// The first n / 2 + 1 elements of the transform of a real array; the others are their conjugates.
Array rfft(const Array& x, std::optional<std::int64_t> n = {}, int axis = -1, Norm = Norm::backward,
           Loc = Loc::current());
/// The inverse of rfft: n real elements (2 (m - 1) of m, if not given).
Array irfft(const Array& x, std::optional<std::int64_t> n = {}, int axis = -1,
            Norm = Norm::backward, Loc = Loc::current());
/// The transform of an array of which x is the first half, the others being their conjugates: real.
Array hfft(const Array& x, std::optional<std::int64_t> n = {}, int axis = -1, Norm = Norm::backward,
           Loc = Loc::current());
Array ihfft(const Array& x, std::optional<std::int64_t> n = {}, int axis = -1,
            Norm = Norm::backward, Loc = Loc::current());

/// Over several axes: the last ones if only sizes are given, all if nothing is.  rfftn halves the last of them.
Array fftn(const Array& x, const std::optional<Dims>& sizes = {}, const Axes& axes = Axes::every(),
           Norm = Norm::backward, Loc = Loc::current());
Array ifftn(const Array& x, const std::optional<Dims>& sizes = {}, const Axes& axes = Axes::every(),
            Norm = Norm::backward, Loc = Loc::current());
Array rfftn(const Array& x, const std::optional<Dims>& sizes = {}, const Axes& axes = Axes::every(),
            Norm = Norm::backward, Loc = Loc::current());
Array irfftn(const Array& x, const std::optional<Dims>& sizes = {},
             const Axes& axes = Axes::every(), Norm = Norm::backward, Loc = Loc::current());
/// Over two axes.
Array fft2(const Array& x, const std::optional<Dims>& sizes = {}, const Axes& axes = {-2, -1},
           Norm = Norm::backward, Loc = Loc::current());
Array ifft2(const Array& x, const std::optional<Dims>& sizes = {}, const Axes& axes = {-2, -1},
            Norm = Norm::backward, Loc = Loc::current());
Array rfft2(const Array& x, const std::optional<Dims>& sizes = {}, const Axes& axes = {-2, -1},
            Norm = Norm::backward, Loc = Loc::current());
Array irfft2(const Array& x, const std::optional<Dims>& sizes = {}, const Axes& axes = {-2, -1},
             Norm = Norm::backward, Loc = Loc::current());

/// Cosine transforms of real arrays (of complex ones: of both parts), cropped or filled with zeros to n elements, of type 2 or 3:
///   2: y[k] = 2 sum over j of x[j] cos(pi k (2 j + 1) / 2 n)
///   3: y[k] = x[0] + 2 sum over j > 0 of x[j] cos(pi j (2 k + 1) / 2 n)
/// Each is the other's inverse by 2 n; Norm::ortho makes them orthogonal (elements 0 of type 2's results and of type 3's operands times
/// 2^-1/2 and 2^1/2 besides), Norm::forward moves the factor 1 / 2 n from idct to dct.
Array dct(const Array& x, int type = 2, std::optional<std::int64_t> n = {}, int axis = -1,
          Norm = Norm::backward, Loc = Loc::current());
/// The inverse of dct of that type.
Array idct(const Array& x, int type = 2, std::optional<std::int64_t> n = {}, int axis = -1,
           Norm = Norm::backward, Loc = Loc::current());
/// Over several axes, chosen as fftn's.
Array dctn(const Array& x, int type = 2, const std::optional<Dims>& sizes = {},
           const Axes& axes = Axes::every(), Norm = Norm::backward, Loc = Loc::current());
Array idctn(const Array& x, int type = 2, const std::optional<Dims>& sizes = {},
            const Axes& axes = Axes::every(), Norm = Norm::backward, Loc = Loc::current());

/// The frequencies of fft's results, for samples d apart: [0, 1, ..., -2, -1] / (n d).
Array fftfreq(std::int64_t n, double d = 1, DType = default_dtype(), Loc = Loc::current());
/// Of rfft's results: [0, 1, ..., n / 2] / (n d).
Array rfftfreq(std::int64_t n, double d = 1, DType = default_dtype(), Loc = Loc::current());
/// Moves frequency 0 from the front to the middle, along these axes; ifftshift moves it back.
Array fftshift(const Array& x, const Axes& axes = Axes::every(), Loc = Loc::current());
Array ifftshift(const Array& x, const Axes& axes = Axes::every(), Loc = Loc::current());

}  // namespace jaxpp::fft
