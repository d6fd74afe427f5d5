// signal.cc -- scipy.signal's convolutions, on conv_general_dilated or on the Fourier transform, and detrend.
#include "jaxpp/signal.h"
#include <algorithm>
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

}  // namespace jaxpp::signal
