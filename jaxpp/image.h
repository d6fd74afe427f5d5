// image.h -- jaxpp::image: arrays resampled at other sizes and places, after jax.image and scipy.ndimage.
//
//   Array small = image::resize(photo, {224, 224, 3});                     // photo: [h,w,3]
//   Array at = image::map_coordinates(x, {rows, columns});                 // x between its elements
#pragma once
#include "jaxpp/math.h"

namespace jaxpp::image {

/// nearest: the element there.  linear: of the two (in an image four) around.  cubic: Keys' cubic convolution, which passes
/// through the elements.  lanczos3, lanczos5: Lanczos' windows of 3 and 5 elements to each side.
enum class Method { nearest, linear, cubic, lanczos3, lanczos5 };

/// x in another shape of the same rank, each axis stretched to its new size.  Shrinking averages over what goes into one
/// element (antialias), for all methods but nearest.  Integers become floats.
Array resize(const Array& x, const Shape& shape, Method = Method::linear, bool antialias = true,
             Loc = Loc::current());
/// Along the given axes, element i of x (its middle at i + 0.5) comes to scale * (i + 0.5) + translation in an array of another
/// shape; 0 where x has nothing.  scale, translation: [axes]; differentiable in both.  Throws TypeError [E85] for nearest.
Array scale_and_translate(const Array& x, const Shape& shape, const Axes& axes, const Array& scale,
                          const Array& translation, Method = Method::linear, bool antialias = true,
                          Loc = Loc::current());

/// What lies beyond the ends: a constant; the last element; the elements again from the other end; reflected about the last
/// element (mirror), or about its edge (reflect).
enum class Beyond { constant, nearest, wrap, mirror, reflect };
/// x at places between its elements: coordinates[d], of any common shape, along dimension d.  order 0: the nearest element;
/// 1: linear interpolation.
Array map_coordinates(const Array& x, const std::vector<Array>& coordinates, int order = 1,
                      Beyond = Beyond::constant, double fill = 0, Loc = Loc::current());

}  // namespace jaxpp::image
