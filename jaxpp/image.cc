// image.cc -- see image.h.  Resampling is separable: a matrix of weights for each axis.
#include "jaxpp/image.h"
#include <limits>
#include <numbers>
#include "jaxpp/math_internal.h"

namespace jaxpp::image {
namespace {
using namespace internal;

// The weight of an element at a distance, in elements.
Array kernel(Method m, const Array& x) {
  const double pi = std::numbers::pi;
  const auto lanczos = [&](double r) {
    const Array near = r * sin(pi * x) * sin(pi * x / r);
    const Array y = where(x > 1e-3, near / where(x != 0, square(pi * x), 1), 1);
    return where(x > r, 0, y);
  };
  switch (m) {
    case Method::
        cubic: {  // R. Keys, Cubic convolution interpolation for digital image processing, 1981; a = -1/2
      const Array inner = (1.5 * x - 2.5) * x * x + 1, outer = ((-0.5 * x + 2.5) * x - 4) * x + 2;
      return where(x >= 2, 0, where(x >= 1, outer, inner));
    }
    case Method::lanczos3: return lanczos(3);
    case Method::lanczos5: return lanczos(5);
    default: return maximum(1 - x, 0);
  }
}
// [from, to]: how much each element of an axis counts in each new one.
Array weights(std::int64_t from, std::int64_t to, const Array& scale, const Array& translation,
              Method m, bool antialias) {
  const DType d = scale.dtype();
  const Array inverse = 1 / scale, width = antialias ? maximum(inverse, 1) : ones({}, d);
  const Array place = (arange(to, d) + 0.5) * inverse - translation * inverse - 0.5;
  const Array w = kernel(m, abs(place - arange(from, d)(All, None)) / width);
  const Array total = sum(w, 0, true);
  const double tiny = 1000 * double(std::numeric_limits<float>::epsilon());
  const Array normal = where(abs(total) > tiny, w / where(total != 0, total, 1), 0);
  return where(logical_and(place >= -0.5, place <= double(from) - 0.5), normal, 0);
}
Array along(const Array& x, const Array& w, std::int64_t axis) {
  return moveaxis(tensordot(x, w.astype(x.dtype()), Dims{axis}, Dims{0}), -1, int(axis));
}
void need_rank(const char* op, const Array& x, const Shape& shape, Loc loc) {
  if (std::int64_t(shape.size()) != x.ndim())
    fail("image::" + std::string(op) + ": a shape of " + std::to_string(shape.size()) +
             " sizes for " + x.type()->str() + ".",
         user_loc(loc), "E86");
  for (std::int64_t n : shape)
    if (n < 0)
      fail("image::" + std::string(op) + ": a size is " + std::to_string(n) + ".", user_loc(loc),
           "E01");
}

}  // namespace

Array resize(const Array& x0, const Shape& shape, Method m, bool antialias, Loc loc) {
  Array x = inexact(x0, "image::resize", loc);
  need_rank("resize", x, shape, loc);
  UserLine line(loc);
  for (std::int64_t d = 0; d < x.ndim(); ++d) {
    const std::int64_t from = x.shape()[std::size_t(d)], to = shape[std::size_t(d)];
    if (from == to) continue;
    if (from == 0)
      fail("image::resize: an axis of " + x0.type()->str() + " has no elements.", user_loc(loc),
           "E80");
    if (m == Method::nearest) {
      const Array at = floor((arange(to, f64) + 0.5) * (double(from) / double(to)));
      x = take(x, at.astype(i64), int(d), "clip");
    } else {
      const DType real = is_complex(x.dtype()) ? real_of(x.dtype()) : x.dtype();
      const Array scale = full({}, double(to) / double(from), width(real) < 4 ? f32 : real);
      x = along(x, weights(from, to, scale, zeros_like(scale), m, antialias), d);
    }
  }
  return x;
}
Array scale_and_translate(const Array& x0, const Shape& shape, const Axes& axes, const Array& scale,
                          const Array& translation, Method m, bool antialias, Loc loc) {
  Array x = inexact(x0, "image::scale_and_translate", loc);
  need_rank("scale_and_translate", x, shape, loc);
  if (m == Method::nearest)
    fail("image::scale_and_translate: not by the nearest element, which has no derivative.",
         user_loc(loc), "E85");
  Array both[] = {inexact(scale, "image::scale_and_translate", loc),
                  inexact(translation, "image::scale_and_translate", loc)};
  promote_types_of("image::scale_and_translate", both, loc);
  const Dims at = internal::axes_of(axes, x, "image::scale_and_translate", loc);
  const Shape wanted{std::int64_t(at.size())};
  for (const Array& v : both)
    if (v.shape() != wanted)
      fail("image::scale_and_translate: scale and translation have one number for each of " +
               std::to_string(at.size()) + " axes, not " + v.type()->str() + ".",
           user_loc(loc), "E88");
  for (std::int64_t d = 0; d < x.ndim(); ++d)
    if (std::find(at.begin(), at.end(), d) == at.end() &&
        x.shape()[std::size_t(d)] != shape[std::size_t(d)])
      fail("image::scale_and_translate: axis " + std::to_string(d) + " of " + x0.type()->str() +
               " is to have " + std::to_string(shape[std::size_t(d)]) +
               " elements, but is not among the axes.",
           user_loc(loc), "E91");
  UserLine line(loc);
  for (std::size_t k = 0; k < at.size(); ++k) {
    const std::int64_t d = at[k];
    x = along(x,
              weights(x.shape()[std::size_t(d)], shape[std::size_t(d)], both[0](std::int64_t(k)),
                      both[1](std::int64_t(k)), m, antialias),
              d);
  }
  return x;
}

namespace {
// Where an index comes from, and whether from within.
std::pair<Array, Array> within(const Array& i, std::int64_t n, Beyond b) {
  const Array always = ones(i.shape(), b1);
  const auto triangle = [&](const Array& k, std::int64_t period) {  // 0, 1, ..., up and down again
    return period == 0 ? zeros_like(k) : abs(remainder(k + period / 2, period) - period / 2);
  };
  switch (b) {
    case Beyond::nearest: return {clip(i, 0, n - 1), always};
    case Beyond::wrap: return {remainder(i, n), always};
    case Beyond::mirror: return {triangle(i, 2 * (n - 1)), always};
    case Beyond::reflect: {
      const Array k = remainder(i, 2 * n);
      return {minimum(k, 2 * n - 1 - k), always};
    }
    default: return {clip(i, 0, n - 1), logical_and(i >= 0, i < n)};
  }
}
}  // namespace

Array map_coordinates(const Array& x, const std::vector<Array>& coordinates, int order, Beyond b,
                      double fill, Loc loc) {
  need_array(x, "image::map_coordinates", loc);
  if (std::int64_t(coordinates.size()) != x.ndim())
    fail("image::map_coordinates: " + std::to_string(coordinates.size()) + " coordinates for " +
             x.type()->str() + ".",
         user_loc(loc), "E88");
  if (order != 0 && order != 1)
    fail("image::map_coordinates: order " + std::to_string(order) + ".", user_loc(loc), "E85",
         "It is 0 (nearest) or 1 (linear).");
  if (x.size() == 0)
    fail("image::map_coordinates: " + x.type()->str() + " has no elements.", user_loc(loc), "E80");
  UserLine line(loc);
  const Array values = order == 1 ? inexact(x, "image::map_coordinates", loc) : x;
  // The elements around a place along each dimension, and what they count.
  struct Side {
    Array index, inside, weight;
  };
  std::vector<std::vector<Side>> sides;
  for (std::size_t d = 0; d < coordinates.size(); ++d) {
    const Array c = inexact(coordinates[d], "image::map_coordinates", loc);
    const std::int64_t n = x.shape()[d];
    auto& s = sides.emplace_back();
    const auto add = [&](const Array& at, const Array& weight) {
      const auto [index, inside] = within(at.astype(i64), n, b);
      s.push_back({index, inside, weight});
    };
    if (order == 0) {
      add(lax::round(c, RoundingMethod::AWAY_FROM_ZERO), {});
    } else {
      const Array low = floor(c), share = c - low;
      add(low, 1 - share);
      add(low + 1, share);
    }
  }
  Array y;
  for (std::size_t corner = 0; corner < std::size_t(1) << (order * sides.size()); ++corner) {
    Indices at;
    Array weight, inside;
    for (std::size_t d = 0; d < sides.size(); ++d) {
      const Side& s = sides[d][order == 0 ? 0 : corner >> d & 1];
      at.push_back(s.index);
      inside = inside.defined() ? logical_and(inside, s.inside) : s.inside;
      if (order == 1) weight = weight.defined() ? weight * s.weight : s.weight;
    }
    Array v = at.empty() ? values : IndexedArray(values, at).get();
    if (b == Beyond::constant && inside.defined())
      v = where(inside, v, Array(fill).astype(v.dtype()));
    if (weight.defined()) v = v * weight;
    y = y.defined() ? y + v : v;
  }
  return y;
}

}  // namespace jaxpp::image
