// signal.cc -- scipy.signal's convolutions, on conv_general_dilated or on the Fourier transform, and detrend.
#include "jaxpp/signal.h"
#include <algorithm>
#include <numbers>
#include "jaxpp/fft.h"
#include "jaxpp/math_internal.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::signal {
namespace {
using namespace internal;

[[noreturn]] void signal_error(const std::string& what, Loc loc, const char* remedy = "") {
  internal::fail<TypeError>("signal::" + what, loc, "E110", remedy);
}
void need_mode(const char* op, std::string_view mode, Loc loc) {
  if (mode != "full" && mode != "same" && mode != "valid")
    signal_error(std::string(op) + ": no mode \"" + std::string(mode) + "\".", loc,
                 "It is \"full\", \"same\" or \"valid\".");
}
// Of one inexact type and of one rank.
void signals(const char* op, Array& x, Array& y, Loc loc) {
  Array both[] = {inexact(x, op, loc), inexact(y, op, loc)};
  promote_types_of(op, both, loc);
  x = both[0];
  y = both[1];
  if (x.ndim() != y.ndim() || x.ndim() == 0)
    signal_error(std::string(op) + ": needs arrays of one rank, not " + x.type()->str() + " and " +
                     y.type()->str() + ".",
                 loc);
}
bool covers(const Array& x, const Array& y, const Dims& axes) {
  return std::all_of(axes.begin(), axes.end(), [&](std::int64_t d) {
    return x.shape()[std::size_t(d)] >= y.shape()[std::size_t(d)];
  });
}

Array convolve_directly(const char* op, Array x, Array y, std::string_view mode, Loc loc) {
  need_mode(op, mode, loc);
  signals(op, x, y, loc);
  if (x.size() == 0 || y.size() == 0)
    signal_error(std::string(op) + ": " + x.type()->str() + " and " + y.type()->str() +
                     " must have elements.",
                 loc);
  const Dims axes = iota_dims(std::size_t(x.ndim()));
  const Shape wanted = x.shape();  // by mode "same"
  const bool swap = !covers(x, y, axes);
  if (swap && !covers(y, x, axes))
    signal_error(std::string(op) + ": one of " + x.type()->str() + " and " + y.type()->str() +
                     " must be at least as large as the other along every axis.",
                 loc, "Pad one of them, or take fftconvolve.");
  if (swap) std::swap(x, y);
  std::vector<Dims> padding;
  for (auto d : axes) {
    const std::int64_t longer = x.shape()[std::size_t(d)], m = y.shape()[std::size_t(d)];
    if (mode == "valid") {
      padding.push_back({0, 0});
    } else if (mode == "full") {
      padding.push_back({m - 1, m - 1});
    } else {  // the middle of the full result
      const std::int64_t full = longer + m - 1, size = wanted[std::size_t(d)],
                         begin = (full - size) / 2;
      padding.push_back({m - 1 - begin, m - 1 - (full - size - begin)});
    }
  }
  const Array result =
      lax::conv_with_general_padding(lax::expand_dims(x, {0, 1}), lax::expand_dims(flip(y), {0, 1}),
                                     Dims(axes.size(), 1), padding, {}, {}, loc);
  return lax::squeeze(result, {0, 1}, loc);
}
Array convolve_by_fft(const char* op, Array x, Array y, std::string_view mode, const Axes& axes,
                      Loc loc) {
  need_mode(op, mode, loc);
  signals(op, x, y, loc);
  const Dims which = axes.all() ? iota_dims(std::size_t(x.ndim())) : axes_of(axes, x, op, loc);
  const Dims others = without(std::size_t(x.ndim()), which);
  for (auto d : others)
    if (x.shape()[std::size_t(d)] != y.shape()[std::size_t(d)])
      signal_error(std::string(op) + ": " + x.type()->str() + " and " + y.type()->str() +
                       " differ along axis " + std::to_string(d) + ", which is a batch.",
                   loc);
  if (mode == "valid" && !covers(x, y, which)) {
    if (!covers(y, x, which))
      signal_error(std::string(op) + ": one of " + x.type()->str() + " and " + y.type()->str() +
                       " must be at least as large as the other along every axis.",
                   loc);
    std::swap(x, y);
  }
  Dims full, begin(std::size_t(x.ndim()), 0), end = x.shape();
  for (auto d : which) {
    const std::size_t i = std::size_t(d);
    const std::int64_t n = x.shape()[i], m = y.shape()[i];
    if (n == 0 || m == 0)
      signal_error(std::string(op) + ": " + x.type()->str() + " and " + y.type()->str() +
                       " must have elements.",
                   loc);
    full.push_back(n + m - 1);
    const std::int64_t size = mode == "full" ? n + m - 1 : mode == "same" ? n : n - m + 1;
    begin[i] = (n + m - 1 - size) / 2;
    end[i] = begin[i] + size;
  }
  Array z;
  if (which.empty())
    z = x * y;
  else if (is_complex(x.dtype()))
    z = fft::ifftn(fft::fftn(x, full, which) * fft::fftn(y, full, which), full, which);
  else
    z = fft::irfftn(fft::rfftn(x, full, which) * fft::rfftn(y, full, which), full, which);
  return lax::slice(z, begin, end, {}, loc);
}
void need_matrices(const char* op, const Array& x, const Array& y, Loc loc) {
  for (const Array* a : {&x, &y}) {
    need_array(*a, op, loc);
    if (a->ndim() != 2)
      signal_error(std::string(op) + ": needs matrices, not " + a->type()->str() + ".", loc);
  }
}
}  // namespace

Array convolve(const Array& x, const Array& y, std::string_view mode, Method method, Loc loc) {
  const UserLine line(loc);
  return method == Method::fft ? convolve_by_fft("convolve", x, y, mode, Axes::every(), loc)
                               : convolve_directly("convolve", x, y, mode, loc);
}
Array correlate(const Array& x, const Array& y, std::string_view mode, Method method, Loc loc) {
  const UserLine line(loc);
  need_array(y, "signal::correlate", loc);
  return convolve(x, flip(conj(y)), mode, method, loc);
}
Array convolve2d(const Array& x, const Array& y, std::string_view mode, Loc loc) {
  const UserLine line(loc);
  need_matrices("convolve2d", x, y, loc);
  return convolve_directly("convolve2d", x, y, mode, loc);
}
Array correlate2d(const Array& x, const Array& y, std::string_view mode, Loc loc) {
  const UserLine line(loc);
  need_matrices("correlate2d", x, y, loc);
  // scipy's conventions: of operands in exchanged places the conjugate.
  const bool swapped = mode == "valid" && x.shape() != y.shape() && covers(y, x, {0, 1});
  if (swapped) return conj(convolve_directly("correlate2d", x, flip(conj(y)), mode, loc));
  if (mode == "same")  // its middle, where there are two, is the later one
    return flip(convolve_directly("correlate2d", flip(x), conj(y), mode, loc));
  return convolve_directly("correlate2d", x, flip(conj(y)), mode, loc);
}
Array fftconvolve(const Array& x, const Array& y, std::string_view mode, const Axes& axes,
                  Loc loc) {
  const UserLine line(loc);
  return convolve_by_fft("fftconvolve", x, y, mode, axes, loc);
}

Array detrend(const Array& x0, int axis, Trend type, const Dims& breakpoints, Loc loc) {
  const UserLine line(loc);
  const Array x = inexact(x0, "detrend", loc);
  const int at = int(axis_of(axis, x, "detrend", loc));
  if (type == Trend::constant) return x - mean(x, at, true);
  const std::int64_t n = x.shape()[std::size_t(at)];
  std::vector<std::int64_t> bounds(breakpoints.begin(), breakpoints.end());
  bounds.push_back(0);
  bounds.push_back(n);
  std::sort(bounds.begin(), bounds.end());
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
  if (bounds.front() < 0 || bounds.back() > n)
    signal_error("detrend: breakpoints must be from 0 to " + std::to_string(n) + ", not " +
                     to_string(breakpoints) + ".",
                 loc);
  const Array moved = moveaxis(x, at, -1);
  std::vector<Array> pieces;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    const std::int64_t count = bounds[i + 1] - bounds[i];
    const Array piece = moved(Ellipsis, Slice(bounds[i], bounds[i + 1]));
    const Array level = piece - mean(piece, -1, true);
    if (count == 1) {
      pieces.push_back(level);
      continue;
    }
    // The line through the mean with the slope of the best fit.
    const Array t = (lax::iota(f64, {count}, 0) - double(count - 1) / 2).astype(real_of(x.dtype()));
    const double square = double(count) * (double(count) * double(count) - 1) / 12;
    const Array slope = sum(level * t, -1, true) / square;
    pieces.push_back(level - slope * t);
  }
  return pieces.empty() ? x : moveaxis(concatenate(pieces, -1), -1, at);
}

namespace {
// What every spectrum starts from, in a signal whose time is its last axis.
struct Segments {
  std::int64_t nperseg, step, nfft;
  Array window;
};
Segments segments(const char* op, std::int64_t samples, DType d, const SpectrumOptions& o,
                  Loc loc) {
  Segments s;
  s.nperseg = o.window.defined() ? o.window.size() : std::min(o.nperseg, samples);
  s.nfft = o.nfft.value_or(s.nperseg);
  const std::int64_t overlap = o.noverlap.value_or(s.nperseg / 2);
  s.step = s.nperseg - overlap;
  if (o.window.defined() && o.window.ndim() != 1)
    signal_error(std::string(op) + ": the window is a vector, not " + o.window.type()->str() + ".",
                 loc);
  if (s.nperseg < 1 || s.nperseg > samples)
    signal_error(std::string(op) + ": segments of " + std::to_string(s.nperseg) +
                     " samples of a signal of " + std::to_string(samples) + ".",
                 loc);
  if (overlap < 0 || s.step < 1)
    signal_error(std::string(op) + ": segments of " + std::to_string(s.nperseg) +
                     " samples cannot share " + std::to_string(overlap) + ".",
                 loc);
  if (s.nfft < s.nperseg)
    signal_error(std::string(op) + ": a transform of " + std::to_string(s.nfft) +
                     " samples is shorter than segments of " + std::to_string(s.nperseg) + ".",
                 loc);
  s.window = o.window.defined()
                 ? o.window.astype(d)
                 : (s.nperseg == 1 ? ones({1}, d) : hanning(s.nperseg + 1, d)(Slice(s.nperseg)));
  return s;
}
// [..., n] -> [..., segments, nperseg]
Array framed(const Array& x, const Segments& s) {
  const std::int64_t count = (x.shape().back() - s.nperseg) / s.step + 1;
  return take(x, arange(count)(All, None) * s.step + arange(s.nperseg), -1, "clip");
}
bool one_side(const Array& x, const SpectrumOptions& o) {
  return o.onesided && !is_complex(x.dtype());
}
Array transformed(const Array& frames, const Segments& s, bool onesided) {
  const Array v = frames * s.window;
  return onesided ? fft::rfft(v, s.nfft) : fft::fft(v, s.nfft);
}
Array frequencies(const Segments& s, bool onesided, double fs, DType d) {
  return onesided ? fft::rfftfreq(s.nfft, 1 / fs, d) : fft::fftfreq(s.nfft, 1 / fs, d);
}
Array time_last(const char* op, const Array& x0, int axis, Loc loc) {
  const Array x = inexact(x0, op, loc);
  return moveaxis(x, int(axis_of(axis, x, op, loc)), -1);
}
Spectrum spectrum(const char* op, const Array& x0, const Array& y0, const SpectrumOptions& o,
                  Loc loc) {
  UserLine line(loc);
  const Array x = time_last(op, x0, o.axis, loc), y = time_last(op, y0, o.axis, loc);
  if (x.shape() != y.shape())
    signal_error(std::string(op) + ": the signals " + x0.type()->str() + " and " +
                     y0.type()->str() + " differ.",
                 loc);
  const DType real = is_complex(x.dtype()) ? real_of(x.dtype()) : x.dtype();
  const Segments s = segments(op, x.shape().back(), real, o, loc);
  const bool onesided = one_side(x, o) && one_side(y, o);
  const auto transform = [&](const Array& v) {
    Array frames = framed(v, s);
    if (o.detrend) frames = detrend(frames, -1, *o.detrend);
    return transformed(frames, s, onesided);
  };
  const bool same = x0.type() == y0.type() && &x0 == &y0;
  const Array fx = transform(x);
  Array power = same ? square(jaxpp::real(fx)) + square(imag(fx)) : conj(fx) * transform(y);
  power = power * (o.density ? 1 / (o.fs * sum(square(s.window))) : 1 / square(sum(s.window)));
  if (onesided) {  // each but 0 and the highest of an even number stands for two
    const std::int64_t n = power.shape().back();
    const Array k = arange(n);
    const bool even = s.nfft % 2 == 0;
    power = power * where(logical_and(k > 0, k < (even ? n - 1 : n)), 2, 1).astype(real);
  }
  const int axis = int(axis_of(o.axis, x0, op, loc));
  return {frequencies(s, onesided, o.fs, real), moveaxis(mean(power, -2), -1, axis)};
}
}  // namespace

Stft stft(const Array& x0, const SpectrumOptions& o, Loc loc) {
  UserLine line(loc);
  const Array x = time_last("stft", x0, o.axis, loc);
  const DType real = is_complex(x.dtype()) ? real_of(x.dtype()) : x.dtype();
  const Segments s = segments("stft", x.shape().back(), real, o, loc);
  const std::int64_t half = s.nperseg / 2, n = x.shape().back() + 2 * half;
  const std::int64_t more = ((s.nperseg - n) % s.step + s.step) % s.step;  // up to a whole segment
  Shape front = x.shape(), back = x.shape();
  front.back() = half;
  back.back() = half + more;
  const Array wide = concatenate({zeros(front, x.dtype()), x, zeros(back, x.dtype())}, -1);
  const bool onesided = one_side(x, o);
  const Array frames = framed(wide, s);
  const Array values = transformed(frames, s, onesided) / sum(s.window);
  const int axis = int(axis_of(o.axis, x0, "stft", loc));
  const std::int64_t count = frames.shape()[std::size_t(frames.ndim() - 2)];
  return {frequencies(s, onesided, o.fs, real), (arange(count, real) * double(s.step)) / o.fs,
          moveaxis(swapaxes(values, -1, -2), -2, axis)};
}
Array istft(const Array& values, const SpectrumOptions& o, Loc loc) {
  need_array(values, "istft", loc);
  if (!is_complex(values.dtype()) || values.ndim() < 2)
    signal_error(
        "istft: values are complex [..., frequencies, times], not " + values.type()->str() + ".",
        loc);
  UserLine line(loc);
  const int frequency = o.axis < 0 ? o.axis - 1 : o.axis;
  const Array z = swapaxes(moveaxis(values, frequency, -2), -1, -2);  // [..., times, frequencies]
  const std::int64_t bins = z.shape().back(), count = z.shape()[std::size_t(z.ndim() - 2)];
  SpectrumOptions known = o;
  const std::int64_t nfft = o.nfft.value_or(o.onesided ? 2 * (bins - 1) : bins);
  if (!o.window.defined() && !o.nfft) known.nperseg = nfft;
  known.nfft = nfft;
  const Segments s =
      segments("istft", std::max<std::int64_t>(nfft, 1), real_of(z.dtype()), known, loc);
  if (bins != (o.onesided ? nfft / 2 + 1 : nfft))
    signal_error("istft: " + std::to_string(bins) + " frequencies of transforms of length " +
                     std::to_string(nfft) + ".",
                 loc);
  const Array frames =
      (o.onesided ? fft::irfft(z, nfft) : fft::ifft(z, nfft))(Ellipsis, Slice(s.nperseg)) *
      s.window * sum(s.window);
  const std::int64_t n = (count - 1) * s.step + s.nperseg;
  const Array at = (arange(count)(All, None) * s.step + arange(s.nperseg)).reshape({-1});
  Shape flat(frames.shape().begin(), frames.shape().end() - 1), signal;
  flat.back() = count * s.nperseg;
  signal = flat;
  signal.back() = n;
  const Array x = zeros(signal, frames.dtype()).at(Ellipsis, at).add(frames.reshape(flat));
  const Array norm = zeros({n}, s.window.dtype()).at(at).add(tile(square(s.window), count));
  const Array whole = x / where(norm > 1e-10, norm, 1);
  const std::int64_t half = s.nperseg / 2;
  return moveaxis(whole(Ellipsis, Slice(half, n - half)), -1, o.axis);
}
Spectrum welch(const Array& x, const SpectrumOptions& o, Loc loc) {
  return spectrum("welch", x, x, o, loc);
}
Spectrum csd(const Array& x, const Array& y, const SpectrumOptions& o, Loc loc) {
  return spectrum("csd", x, y, o, loc);
}

}  // namespace jaxpp::signal

namespace jaxpp {
namespace {
// f(k / (n - 1)) of k = 0, 1, ..., n - 1; a window of one sample is 1.
template <class F>
Array window(const char* op, std::int64_t n, DType d, Loc loc, F f) {
  if (n < 0)
    internal::fail(std::string(op) + ": a window of " + std::to_string(n) + " samples.",
                   internal::user_loc(loc), "E82");
  internal::UserLine line(loc);
  if (n < 2) return ones({n}, d);
  return f(arange(n, d) / double(n - 1));
}
constexpr double kTurn = 2 * std::numbers::pi;
}  // namespace

Array bartlett(std::int64_t n, DType d, Loc loc) {
  return window("bartlett", n, d, loc, [](Array t) { return 1 - abs(2 * t - 1); });
}
Array blackman(std::int64_t n, DType d, Loc loc) {
  return window("blackman", n, d, loc,
                [](Array t) { return 0.42 - 0.5 * cos(kTurn * t) + 0.08 * cos(2 * kTurn * t); });
}
Array hamming(std::int64_t n, DType d, Loc loc) {
  return window("hamming", n, d, loc, [](Array t) { return 0.54 - 0.46 * cos(kTurn * t); });
}
Array hanning(std::int64_t n, DType d, Loc loc) {
  return window("hanning", n, d, loc, [](Array t) { return 0.5 - 0.5 * cos(kTurn * t); });
}
Array kaiser(std::int64_t n, const Array& beta, DType d, Loc loc) {
  internal::need_array(beta, "kaiser", loc);
  return window("kaiser", n, d, loc, [&](Array t) {
    const Array b = beta.astype(d);
    return i0(b * sqrt(1 - square(2 * t - 1))) / i0(b);
  });
}

}  // namespace jaxpp
