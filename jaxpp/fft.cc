// fft.cc -- numpy.fft on the primitive fft: axes are moved to the end, sizes are cropped or padded, results scaled.
#include "jaxpp/fft.h"
#include <cmath>
#include "jaxpp/math_internal.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::fft {
namespace {
using namespace internal;

[[noreturn]] void fft_error(const char* op, const std::string& what, Loc loc) {
  internal::fail<TypeError>(std::string("fft::") + op + ": " + what, loc, "E111");
}
Array of_fft_type(const char* op, const Array& a, bool real_input, Loc loc) {
  const Array x = inexact(a, op, loc);
  const DType d = width(x.dtype()) == 2 ? f32 : x.dtype();
  if (real_input && is_complex(d))
    fft_error(op, "takes a real array, not " + a.type()->str() + ".", loc);
  return lax::convert_element_type(x, real_input ? d : complex_of(d), loc);
}
// Cropped or filled with zeros to these sizes along its last dimensions.
Array resized(const Array& x, const Dims& sizes, Loc loc) {
  std::vector<Dims> padding(std::size_t(x.ndim()), Dims{0, 0, 0});
  bool changed = false;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t d = std::size_t(x.ndim()) - sizes.size() + i;
    padding[d][1] = sizes[i] - x.shape()[d];
    changed |= padding[d][1] != 0;
  }
  return changed ? lax::pad(x, lax::full(scalar_type(x.dtype()), 0, loc), padding, loc) : x;
}
Array transform(const char* op, FftType type, const Array& a, const std::optional<Dims>& sizes,
                const Axes& axes, Norm norm, Loc loc) {
  const UserLine line(loc);
  const bool backwards = type == FftType::IFFT || type == FftType::IRFFT;
  Array x = of_fft_type(op, a, type == FftType::RFFT, loc);
  Dims which;
  if (!axes.all()) {
    which = axes_of(axes, x, op, loc);
  } else {
    const std::int64_t count = sizes ? std::int64_t(sizes->size()) : x.ndim();
    if (count > x.ndim())
      fft_error(op, "more sizes, " + to_string(*sizes) + ", than " + x.type()->str() + " has axes.",
                loc);
    for (std::int64_t i = x.ndim() - count; i < x.ndim(); ++i) which.push_back(i);
  }
  if (sizes && sizes->size() != which.size())
    fft_error(op, "sizes " + to_string(*sizes) + " for axes " + to_string(which) + ".", loc);
  if (which.empty()) fft_error(op, "there is no axis to transform.", loc);
  Dims lengths, input;
  double count = 1;
  for (std::size_t i = 0; i < which.size(); ++i) {
    const std::int64_t size = x.shape()[std::size_t(which[i])];
    const bool half = type == FftType::IRFFT && i + 1 == which.size();
    lengths.push_back(sizes ? (*sizes)[i] : half ? 2 * (size - 1) : size);
    if (lengths.back() < 1)
      fft_error(op,
                "a length of " + std::to_string(lengths.back()) + " along axis " +
                    std::to_string(which[i]) + " of " + a.type()->str() + ".",
                loc);
    input.push_back(half ? lengths.back() / 2 + 1 : lengths.back());
    count *= double(lengths.back());
  }
  Dims order = without(std::size_t(x.ndim()), which);
  order.append(which.begin(), which.end());
  const Array y = lax::fft(resized(lax::transpose(x, order), input, loc), type, lengths, loc);
  // The primitive scales the inverse.
  const double scale = norm == Norm::ortho     ? std::pow(count, backwards ? 0.5 : -0.5)
                       : norm == Norm::forward ? (backwards ? count : 1 / count)
                                               : 1;
  const Array z = lax::transpose(y, internal::inverse(order));
  return scale == 1 ? z : z * scale;
}
Array along(const char* op, FftType type, const Array& x, std::optional<std::int64_t> n, int axis,
            Norm norm, Loc loc) {
  return transform(op, type, x, n ? std::optional<Dims>(Dims{*n}) : std::nullopt, Axes(axis), norm,
                   loc);
}
Norm opposite(Norm n) {
  return n == Norm::backward ? Norm::forward : n == Norm::forward ? Norm::backward : n;
}
Array shifted(const char* op, const Array& x, const Axes& axes, bool back, Loc loc) {
  const UserLine line(loc);
  need_array(x, op, loc);
  Dims which = axes.all() ? iota_dims(std::size_t(x.ndim())) : axes_of(axes, x, op, loc), by;
  for (auto d : which) {
    const std::int64_t n = x.shape()[std::size_t(d)];
    by.push_back(back ? -(n / 2) : n / 2);
  }
  return which.empty() ? x : roll(x, by, Axes(which), loc);
}
void need_count(const char* op, std::int64_t n, Loc loc) {
  if (n < 1) fft_error(op, "n must be positive, not " + std::to_string(n) + ".", loc);
}
}  // namespace

Array fft(const Array& x, std::optional<std::int64_t> n, int axis, Norm norm, Loc loc) {
  return along("fft", FftType::FFT, x, n, axis, norm, loc);
}
Array ifft(const Array& x, std::optional<std::int64_t> n, int axis, Norm norm, Loc loc) {
  return along("ifft", FftType::IFFT, x, n, axis, norm, loc);
}
Array rfft(const Array& x, std::optional<std::int64_t> n, int axis, Norm norm, Loc loc) {
  return along("rfft", FftType::RFFT, x, n, axis, norm, loc);
}
Array irfft(const Array& x, std::optional<std::int64_t> n, int axis, Norm norm, Loc loc) {
  return along("irfft", FftType::IRFFT, x, n, axis, norm, loc);
}
Array hfft(const Array& x, std::optional<std::int64_t> n, int axis, Norm norm, Loc loc) {
  return along("hfft", FftType::IRFFT, conj(inexact(x, "hfft", loc), loc), n, axis, opposite(norm),
               loc);
}
Array ihfft(const Array& x, std::optional<std::int64_t> n, int axis, Norm norm, Loc loc) {
  return conj(along("ihfft", FftType::RFFT, x, n, axis, opposite(norm), loc), loc);
}

Array fftn(const Array& x, const std::optional<Dims>& sizes, const Axes& axes, Norm norm, Loc loc) {
  return transform("fftn", FftType::FFT, x, sizes, axes, norm, loc);
}
Array ifftn(const Array& x, const std::optional<Dims>& sizes, const Axes& axes, Norm norm,
            Loc loc) {
  return transform("ifftn", FftType::IFFT, x, sizes, axes, norm, loc);
}
Array rfftn(const Array& x, const std::optional<Dims>& sizes, const Axes& axes, Norm norm,
            Loc loc) {
  return transform("rfftn", FftType::RFFT, x, sizes, axes, norm, loc);
}
Array irfftn(const Array& x, const std::optional<Dims>& sizes, const Axes& axes, Norm norm,
             Loc loc) {
  return transform("irfftn", FftType::IRFFT, x, sizes, axes, norm, loc);
}
Array fft2(const Array& x, const std::optional<Dims>& sizes, const Axes& axes, Norm norm, Loc loc) {
  return transform("fft2", FftType::FFT, x, sizes, axes, norm, loc);
}
Array ifft2(const Array& x, const std::optional<Dims>& sizes, const Axes& axes, Norm norm,
            Loc loc) {
  return transform("ifft2", FftType::IFFT, x, sizes, axes, norm, loc);
}
Array rfft2(const Array& x, const std::optional<Dims>& sizes, const Axes& axes, Norm norm,
            Loc loc) {
  return transform("rfft2", FftType::RFFT, x, sizes, axes, norm, loc);
}
Array irfft2(const Array& x, const std::optional<Dims>& sizes, const Axes& axes, Norm norm,
             Loc loc) {
  return transform("irfft2", FftType::IRFFT, x, sizes, axes, norm, loc);
}

Array fftfreq(std::int64_t n, double d, DType dtype, Loc loc) {
  need_count("fftfreq", n, loc);
  const Array k = arange(n, i64, loc), half = Array((n + 1) / 2);
  return where(k < half, k, k - n, loc).astype(dtype, loc) / (double(n) * d);
}
Array rfftfreq(std::int64_t n, double d, DType dtype, Loc loc) {
  need_count("rfftfreq", n, loc);
  return arange(n / 2 + 1, i64, loc).astype(dtype, loc) / (double(n) * d);
}
Array fftshift(const Array& x, const Axes& axes, Loc loc) {
  return shifted("fftshift", x, axes, false, loc);
}
Array ifftshift(const Array& x, const Axes& axes, Loc loc) {
  return shifted("ifftshift", x, axes, true, loc);
}

}  // namespace jaxpp::fft
