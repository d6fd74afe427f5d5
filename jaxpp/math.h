// math.h -- the numpy surface: functions named as in jax.numpy, found by argument-dependent lookup.
//
//   Array y = sum(sin(x) * x, 0);
//   Array c = matmul(a, transpose(b));
//   Array z = where(x > 0, x, 0);
//
// Conventions of this header, not repeated below:
//   - Operands broadcast as in numpy.  Their element types are promoted to a common one; a C++
//     number among them is weak: it takes the type of the arrays, unless it is of a higher kind
//     (bool < integer < float < complex).
//   - Functions that are not closed over the integers (sin, sqrt, mean, /) turn integers and bools
//     into f64.
//   - Axes may be negative and then count from the end.  Reductions take an axis, or {axis, ...},
//     or all axes by default; keepdims leaves the reduced axes with size 1.
//   - All functions are differentiable wherever their mathematics is, and work under every
//     transform.
#pragma once
#include <array>
#include <optional>
#include <string_view>
#include "jaxpp/operators.h"

namespace jaxpp {

// ---- Element types of new arrays

/// The element type of zeros, ones, eye, random::normal, ... when none is given: f32, or what a
/// scope says.
DType default_dtype();
/// Restores the previous default at the end of its scope.
class [[nodiscard]] DefaultDTypeScope {
 public:
  explicit DefaultDTypeScope(DType d);
  DefaultDTypeScope(const DefaultDTypeScope&) = delete;
  ~DefaultDTypeScope();

 private:
  DType saved_;
};
/// Makes d (a float or complex type) the default of this thread:   auto scope = default_dtype(f64);
DefaultDTypeScope default_dtype(DType d);

// ---- Creation

/// An array of zeros:   zeros({2, 3}),  zeros({2, 3}, f64),  zeros({}) for a rank-0 array.
Array zeros(const Shape&, DType = default_dtype(), Loc = Loc::current());
/// An array of ones.
Array ones(const Shape&, DType = default_dtype(), Loc = Loc::current());
/// An array to be written over; its elements are zero.
Array empty(const Shape&, DType = default_dtype(), Loc = Loc::current());
/// An array of one value, with the value's type unless one is given; an array value is broadcast.
///   full({2}, 7)  is i32,  full({2}, 7.)  is f64,  full({2}, 7, f32)  is f32
Array full(const Shape&, const Array& value, std::optional<DType> = {}, Loc = Loc::current());
/// Zeros, ones, or one value, with the shape and (by default) the element type of x.
Array zeros_like(const Array& x, std::optional<DType> = {}, Loc = Loc::current());
Array ones_like(const Array& x, std::optional<DType> = {}, Loc = Loc::current());
Array empty_like(const Array& x, std::optional<DType> = {}, Loc = Loc::current());
Array full_like(const Array& x, const Array& value, std::optional<DType> = {},
                Loc = Loc::current());
/// 0, 1, ..., up to but not including stop; or from start, in steps.  The arguments are numbers and
/// give the type.
///   arange(5)  is i32,  arange(1., 2., 0.25) == {1., 1.25, 1.5, 1.75},  arange(5, f32)
Array arange(const Array& stop, std::optional<DType> = {}, Loc = Loc::current());
Array arange(const Array& start, const Array& stop, std::optional<DType> = {},
             Loc = Loc::current());
Array arange(const Array& start, const Array& stop, const Array& step, std::optional<DType> = {},
             Loc = Loc::current());
/// num numbers evenly spaced from start to stop (inclusive, if endpoint), on a new first axis.
///   linspace(0., 1., 5) == {0., 0.25, 0.5, 0.75, 1.}
Array linspace(const Array& start, const Array& stop, std::int64_t num = 50, bool endpoint = true,
               std::optional<DType> = {}, Loc = Loc::current());
/// The n x n identity matrix; or n x m with ones on diagonal k (k > 0: above the main one).
Array eye(std::int64_t n, DType = default_dtype(), Loc = Loc::current());
Array eye(std::int64_t n, std::int64_t m, std::int64_t k = 0, DType = default_dtype(),
          Loc = Loc::current());
Array identity(std::int64_t n, DType = default_dtype(), Loc = Loc::current());
/// n x m: ones on and below diagonal k, zeros above.
Array tri(std::int64_t n, std::int64_t m, std::int64_t k = 0, DType = default_dtype(),
          Loc = Loc::current());
/// The matrices of x [..., n, m] with zeros above (tril) or below (triu) diagonal k.
Array tril(const Array& x, std::int64_t k = 0, Loc = Loc::current());
Array triu(const Array& x, std::int64_t k = 0, Loc = Loc::current());
/// A vector becomes a matrix with it on diagonal k; of a matrix, the diagonal k.
Array diag(const Array& x, std::int64_t k = 0, Loc = Loc::current());
/// The diagonals of the matrices in axes axis1 and axis2, as a new last axis.
Array diagonal(const Array& x, std::int64_t offset = 0, int axis1 = 0, int axis2 = 1,
               Loc = Loc::current());
/// The grids of coordinates spanned by vectors.
///   meshgrid({x[n], y[m]})  ->  two of [m, n] ("xy") or [n, m] ("ij")
std::vector<Array> meshgrid(const std::vector<Array>& x, std::string_view indexing = "xy",
                            Loc = Loc::current());

// ---- Exponentials, logarithms, powers (elementwise)

Array exp(const Array& x, Loc = Loc::current());    ///< e to the power x
Array exp2(const Array& x, Loc = Loc::current());   ///< 2 to the power x
Array expm1(const Array& x, Loc = Loc::current());  ///< exp(x) - 1, precise near 0
Array log(const Array& x, Loc = Loc::current());    ///< the natural logarithm
Array log2(const Array& x, Loc = Loc::current());   ///< the logarithm to base 2
Array log10(const Array& x, Loc = Loc::current());  ///< the logarithm to base 10
Array log1p(const Array& x, Loc = Loc::current());  ///< log(1 + x), precise near 0
Array sqrt(const Array& x, Loc = Loc::current());   ///< the square root; its derivative at 0 is inf
Array rsqrt(const Array& x, Loc = Loc::current());  ///< 1 / sqrt(x)
Array cbrt(const Array& x, Loc = Loc::current());   ///< the cube root
Array square(const Array& x, Loc = Loc::current());      ///< x * x
Array reciprocal(const Array& x, Loc = Loc::current());  ///< 1 / x
/// x to the power y.  An integer number y multiplies out:  pow(x, 3), pow(x, -2); its derivative is
/// exact at 0.
Array power(const Array& x, const Array& y, Loc = Loc::current());
Array pow(const Array& x, const Array& y, Loc = Loc::current());
/// x to the power y, in floating point also for integers.
Array float_power(const Array& x, const Array& y, Loc = Loc::current());
/// log(exp(x) + exp(y)) without overflow; logaddexp2 to base 2.
Array logaddexp(const Array& x, const Array& y, Loc = Loc::current());
Array logaddexp2(const Array& x, const Array& y, Loc = Loc::current());
/// sqrt(x * x + y * y) without overflow.
Array hypot(const Array& x, const Array& y, Loc = Loc::current());

// ---- Trigonometric and hyperbolic functions (elementwise, radians)

Array sin(const Array& x, Loc = Loc::current());      ///< sine
Array cos(const Array& x, Loc = Loc::current());      ///< cosine
Array tan(const Array& x, Loc = Loc::current());      ///< tangent
Array arcsin(const Array& x, Loc = Loc::current());   ///< inverse sine
Array arccos(const Array& x, Loc = Loc::current());   ///< inverse cosine
Array arctan(const Array& x, Loc = Loc::current());   ///< inverse tangent
Array sinh(const Array& x, Loc = Loc::current());     ///< hyperbolic sine
Array cosh(const Array& x, Loc = Loc::current());     ///< hyperbolic cosine
Array tanh(const Array& x, Loc = Loc::current());     ///< hyperbolic tangent
Array arcsinh(const Array& x, Loc = Loc::current());  ///< inverse hyperbolic sine
Array arccosh(const Array& x, Loc = Loc::current());  ///< inverse hyperbolic cosine
Array arctanh(const Array& x, Loc = Loc::current());  ///< inverse hyperbolic tangent
/// The angle of the point (x, y): the inverse tangent of y / x in the right quadrant.
Array arctan2(const Array& y, const Array& x, Loc = Loc::current());
/// The short names of the inverse functions.
Array asin(const Array& x, Loc = Loc::current());
Array acos(const Array& x, Loc = Loc::current());
Array atan(const Array& x, Loc = Loc::current());
Array asinh(const Array& x, Loc = Loc::current());
Array acosh(const Array& x, Loc = Loc::current());
Array atanh(const Array& x, Loc = Loc::current());
Array atan2(const Array& y, const Array& x, Loc = Loc::current());
Array sinc(const Array& x, Loc = Loc::current());     ///< sin(pi x) / (pi x), 1 at 0
Array deg2rad(const Array& x, Loc = Loc::current());  ///< degrees to radians
Array rad2deg(const Array& x, Loc = Loc::current());  ///< radians to degrees
Array radians(const Array& x, Loc = Loc::current());  ///< degrees to radians
Array degrees(const Array& x, Loc = Loc::current());  ///< radians to degrees

// ---- Special functions (elementwise)

Array erf(const Array& x, Loc = Loc::current());       ///< the error function
Array erfc(const Array& x, Loc = Loc::current());      ///< 1 - erf(x)
Array erf_inv(const Array& x, Loc = Loc::current());   ///< the inverse of erf
Array erfinv(const Array& x, Loc = Loc::current());    ///< the inverse of erf (scipy's name)
Array lgamma(const Array& x, Loc = Loc::current());    ///< log |gamma(x)|
Array gammaln(const Array& x, Loc = Loc::current());   ///< log |gamma(x)| (scipy's name)
Array digamma(const Array& x, Loc = Loc::current());   ///< the derivative of lgamma
Array logistic(const Array& x, Loc = Loc::current());  ///< 1 / (1 + exp(-x))
Array expit(const Array& x, Loc = Loc::current());     ///< 1 / (1 + exp(-x)) (scipy's name)
Array logit(const Array& x, Loc = Loc::current());     ///< log(x / (1 - x))
/// The derivative of order n of digamma, at x; n counts as a constant.
Array polygamma(const Array& n, const Array& x, Loc = Loc::current());
/// The Hurwitz zeta function: the sum of 1 / (q + k)^x over k >= 0.  Without a derivative.
Array zeta(const Array& x, const Array& q, Loc = Loc::current());
/// The regularized incomplete gamma functions, lower and upper: gammainc(a, x) + gammaincc(a, x) == 1.   a, x >= 0
Array gammainc(const Array& a, const Array& x, Loc = Loc::current());
Array gammaincc(const Array& a, const Array& x, Loc = Loc::current());
/// The regularized incomplete beta function I_x(a, b), 0 <= x <= 1; differentiable in x only.
Array betainc(const Array& a, const Array& b, const Array& x, Loc = Loc::current());
/// The modified Bessel functions of the first kind of orders 0 and 1; i0e, i1e: times exp(-|x|).
Array i0(const Array& x, Loc = Loc::current());
Array i1(const Array& x, Loc = Loc::current());
Array i0e(const Array& x, Loc = Loc::current());
Array i1e(const Array& x, Loc = Loc::current());
/// x * log(y), and x * log(1 + y); 0 where x is 0, also for y where the logarithm is infinite or
/// undefined.
Array xlogy(const Array& x, const Array& y, Loc = Loc::current());
Array xlog1py(const Array& x, const Array& y, Loc = Loc::current());

// ---- Arithmetic (elementwise)

Array add(const Array& x, const Array& y, Loc = Loc::current());       ///< x + y
Array subtract(const Array& x, const Array& y, Loc = Loc::current());  ///< x - y
Array multiply(const Array& x, const Array& y, Loc = Loc::current());  ///< x * y
Array divide(const Array& x, const Array& y,
             Loc = Loc::current());  ///< x / y, a float also for integers
Array true_divide(const Array& x, const Array& y,
                  Loc = Loc::current());  ///< x / y, a float also for integers
/// The greatest integer not above x / y.   floor_divide(-7, 2) == -4
Array floor_divide(const Array& x, const Array& y, Loc = Loc::current());
/// x - y * floor(x / y), with the sign of y.   remainder(-7, 2) == 1
Array remainder(const Array& x, const Array& y, Loc = Loc::current());
Array mod(const Array& x, const Array& y, Loc = Loc::current());
/// The remainder with the sign of x, as C's.   fmod(-7, 2) == -1
Array fmod(const Array& x, const Array& y, Loc = Loc::current());
/// (floor_divide(x, y), remainder(x, y))
std::pair<Array, Array> divmod(const Array& x, const Array& y, Loc = Loc::current());
Array negative(const Array& x, Loc = Loc::current());  ///< -x
Array positive(const Array& x, Loc = Loc::current());  ///< x
Array abs(const Array& x, Loc = Loc::current());       ///< |x|, real also for complex x
Array absolute(const Array& x, Loc = Loc::current());  ///< |x|
Array fabs(const Array& x, Loc = Loc::current());      ///< |x| as a float
Array sign(const Array& x, Loc = Loc::current());      ///< -1, 0 or 1; x / |x| for complex x
Array signbit(const Array& x, Loc = Loc::current());   ///< whether the sign bit is set
/// |x| with the sign of y.
Array copysign(const Array& x, const Array& y, Loc = Loc::current());
/// The float next to x in the direction of y.
Array nextafter(const Array& x, const Array& y, Loc = Loc::current());
/// The greater, the lesser.  NaN wins; where both are equal each gets half the derivative.
Array maximum(const Array& x, const Array& y, Loc = Loc::current());
Array minimum(const Array& x, const Array& y, Loc = Loc::current());
/// The same, but NaN loses.
Array fmax(const Array& x, const Array& y, Loc = Loc::current());
Array fmin(const Array& x, const Array& y, Loc = Loc::current());
/// x confined to [low, high]:  clip(x, 0, 1).
Array clip(const Array& x, const Array& low, const Array& high, Loc = Loc::current());

// ---- Rounding (elementwise; integers stay as they are)

Array floor(const Array& x, Loc = Loc::current());  ///< the greatest integer <= x
Array ceil(const Array& x, Loc = Loc::current());   ///< the least integer >= x
Array trunc(const Array& x, Loc = Loc::current());  ///< towards zero
Array rint(const Array& x, Loc = Loc::current());   ///< to the nearest integer, ties to even
/// To `decimals` digits after the point (before it, if negative), ties to even.
Array round(const Array& x, int decimals = 0, Loc = Loc::current());

// ---- Complex numbers (elementwise)

Array real(const Array& x, Loc = Loc::current());       ///< the real part
Array imag(const Array& x, Loc = Loc::current());       ///< the imaginary part, zeros for real x
Array conj(const Array& x, Loc = Loc::current());       ///< the complex conjugate
Array conjugate(const Array& x, Loc = Loc::current());  ///< the complex conjugate
/// The argument of x, in (-pi, pi]; in degrees on demand.
Array angle(const Array& x, bool deg = false, Loc = Loc::current());

// ---- Comparison, logic, bits (elementwise; comparisons also as operators)

Array equal(const Array& x, const Array& y, Loc = Loc::current());          ///< x == y
Array not_equal(const Array& x, const Array& y, Loc = Loc::current());      ///< x != y
Array less(const Array& x, const Array& y, Loc = Loc::current());           ///< x < y
Array less_equal(const Array& x, const Array& y, Loc = Loc::current());     ///< x <= y
Array greater(const Array& x, const Array& y, Loc = Loc::current());        ///< x > y
Array greater_equal(const Array& x, const Array& y, Loc = Loc::current());  ///< x >= y
Array isnan(const Array& x, Loc = Loc::current());                          ///< x is NaN
Array isfinite(const Array& x, Loc = Loc::current());  ///< neither NaN nor infinite
Array isinf(const Array& x, Loc = Loc::current());     ///< plus or minus infinity
Array isposinf(const Array& x, Loc = Loc::current());  ///< plus infinity
Array isneginf(const Array& x, Loc = Loc::current());  ///< minus infinity
/// NaN becomes `nan`, infinities the given values, by default the greatest and least finite
/// numbers.
Array nan_to_num(const Array& x, double nan = 0, std::optional<double> posinf = {},
                 std::optional<double> neginf = {}, Loc = Loc::current());
Array logical_and(const Array& x, const Array& y,
                  Loc = Loc::current());  ///< both are true (not zero)
Array logical_or(const Array& x, const Array& y, Loc = Loc::current());   ///< at least one is true
Array logical_xor(const Array& x, const Array& y, Loc = Loc::current());  ///< just one is true
Array logical_not(const Array& x, Loc = Loc::current());                  ///< x is zero
Array bitwise_and(const Array& x, const Array& y, Loc = Loc::current());  ///< bits set in both
Array bitwise_or(const Array& x, const Array& y, Loc = Loc::current());   ///< bits set in either
Array bitwise_xor(const Array& x, const Array& y,
                  Loc = Loc::current());                    ///< bits set in one of the two
Array bitwise_not(const Array& x, Loc = Loc::current());    ///< every bit flipped
Array invert(const Array& x, Loc = Loc::current());         ///< every bit flipped
Array bitwise_count(const Array& x, Loc = Loc::current());  ///< the number of bits set
Array left_shift(const Array& x, const Array& y, Loc = Loc::current());  ///< x << y
/// x >> y; copies of the sign bit are shifted in where x is signed.
Array right_shift(const Array& x, const Array& y, Loc = Loc::current());
/// |x - y| <= atol + rtol * |y|, elementwise; equal infinities are close.
Array isclose(const Array& x, const Array& y, double rtol = 1e-5, double atol = 1e-8,
              bool equal_nan = false, Loc = Loc::current());
/// Whether all elements are close; the values must be known (not traced).
bool allclose(const Array& x, const Array& y, double rtol = 1e-5, double atol = 1e-8,
              bool equal_nan = false, Loc = Loc::current());
/// Whether shapes and all elements are equal; the values must be known (not traced).
bool array_equal(const Array& x, const Array& y, bool equal_nan = false, Loc = Loc::current());
/// x where the condition holds, y elsewhere.   where(x > 0, x, 0)
/// Derivatives flow to both, multiplied by 0 where not selected: guard the operand, not the result,
/// of log and sqrt.
Array where(const Array& condition, const Array& x, const Array& y, Loc = Loc::current());

// ---- Reductions

/// Sums over `axes` (all by default).   x: T[d0, ..., dn] -> T[dims not in axes]; integers and bools
/// give i64 or u64.
///   sum({{1., 2.}, {3., 4.}}, 0)  ==  {4., 6.}
Array sum(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
          Loc = Loc::current());
/// The product; integers and bools give i64 or u64.
Array prod(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
           Loc = Loc::current());
/// The arithmetic mean, a float.
Array mean(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
           Loc = Loc::current());
/// The mean square deviation from the mean, with n - ddof in the denominator; stddev is its square
/// root (numpy's std, a name that C++ has taken).
Array var(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false, double ddof = 0,
          Loc = Loc::current());
Array stddev(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
             double ddof = 0, Loc = Loc::current());
/// The greatest, the least element.  NaN wins; equal elements share the derivative.  (Of two
/// arrays: maximum, minimum.)
Array max(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
          Loc = Loc::current());
Array min(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
          Loc = Loc::current());
Array amax(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
           Loc = Loc::current());
Array amin(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
           Loc = Loc::current());
/// Under `using namespace std` two Arrays would otherwise go to std::max: use maximum, minimum.
template <std::same_as<Array> A>
Array max(const A&, const A&) = delete;
template <std::same_as<Array> A>
Array min(const A&, const A&) = delete;
/// max - min.
Array ptp(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
          Loc = Loc::current());
/// Whether all, any elements are true (not zero).
Array all(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
          Loc = Loc::current());
Array any(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
          Loc = Loc::current());
/// The number of elements that are not zero, i64.
Array count_nonzero(const Array& x, const Axes& axes = Axes::every(), bool keepdims = false,
                    Loc = Loc::current());
/// The mean weighted by an array of x's shape (or, for one axis, of that axis' size).
Array average(const Array& x, const Array& weights, const Axes& axes = Axes::every(),
              bool keepdims = false, Loc = Loc::current());
/// The index (i64) of the first greatest or least element along an axis, or in the flattened array.
Array argmax(const Array& x, std::optional<int> axis = {}, bool keepdims = false,
             Loc = Loc::current());
Array argmin(const Array& x, std::optional<int> axis = {}, bool keepdims = false,
             Loc = Loc::current());
/// Running sums and products along an axis, or over the flattened array.   cumsum({1, 2, 3}) == {1,
/// 3, 6}
Array cumsum(const Array& x, std::optional<int> axis = {}, Loc = Loc::current());
Array cumprod(const Array& x, std::optional<int> axis = {}, Loc = Loc::current());
/// Differences of neighbours, n times.   diff({1, 4, 9}) == {3, 5}
Array diff(const Array& x, int n = 1, int axis = -1, Loc = Loc::current());

// ---- Sorting, searching, interpolation

/// Sorted along an axis, stable, NaN last.  Derivatives follow the permutation.
Array sort(const Array& x, int axis = -1, bool descending = false, Loc = Loc::current());
/// The indices (i64) that sort x along an axis.
Array argsort(const Array& x, int axis = -1, bool descending = false, Loc = Loc::current());
/// Where v would be inserted into the sorted vector a (i32): before equal elements ("left") or
/// after ("right").
Array searchsorted(const Array& a, const Array& v, std::string_view side = "left",
                   Loc = Loc::current());
/// Piecewise linear interpolation at x of the points (xp[n], fp[n]), xp increasing; constant
/// outside.
Array interp(const Array& x, const Array& xp, const Array& fp, Loc = Loc::current());

// ---- Linear algebra

/// Vectors: the inner product.  Matrices: the product.  In general: the last axis of x with the
/// last but one of y.
Array dot(const Array& x, const Array& y, Loc = Loc::current());
/// The matrix product over leading batch axes.   [..., n, k], [..., k, m] -> [..., n, m];  vectors
/// lose their axis
Array matmul(const Array& x, const Array& y, Loc = Loc::current());
/// The sum of conj(x) * y over all elements.
Array vdot(const Array& x, const Array& y, Loc = Loc::current());
/// Contracts the last axes.   [..., k], [..., k] -> [..., ...]
Array inner(const Array& x, const Array& y, Loc = Loc::current());
/// All products of the elements of x and y, flattened.   [n], [m] -> [n, m]
Array outer(const Array& x, const Array& y, Loc = Loc::current());
/// Contracts the last `axes` axes of x with the first of y; or the given axes of each, pairwise.
Array tensordot(const Array& x, const Array& y, int axes = 2, Loc = Loc::current());
Array tensordot(const Array& x, const Array& y, const Axes& x_axes, const Axes& y_axes,
                Loc = Loc::current());
/// The sum of the diagonal of the matrices in two axes.
Array trace(const Array& x, std::int64_t offset = 0, int axis1 = 0, int axis2 = 1,
            Loc = Loc::current());
/// The cross product of 3-vectors (or of 2-vectors: its third component) along an axis.
Array cross(const Array& x, const Array& y, int axis = -1, Loc = Loc::current());
/// The Kronecker product.   [n, m], [p, q] -> [n * p, m * q]
Array kron(const Array& x, const Array& y, Loc = Loc::current());

/// The text of an einsum, with the line it stands on.
struct EinsumSpec {
  std::string_view text;
  Loc loc;
  EinsumSpec(const char* t, Loc l = Loc::current()) : text(t), loc(l) {}
  EinsumSpec(const std::string& t, Loc l = Loc::current()) : text(t), loc(l) {}
};
/// The sum of products that numpy's notation says, over any number of arrays.
///   einsum("ij,jk->ik", a, b),  einsum("bij,bj->bi", a, x),  einsum("ii", a) (the trace),
///   einsum("...i,i", a, v)
Array einsum(EinsumSpec spec, const std::vector<Array>& operands);
template <std::convertible_to<Array>... A>
requires(sizeof...(A) > 0 && !(std::same_as<A, std::vector<Array>> || ...)) Array
    einsum(EinsumSpec spec, const A&... operands) {
  return einsum(spec, std::vector<Array>{operands...});
}

// ---- Shape

/// The same elements in another shape, row-major; one size may be -1.
Array reshape(const Array& x, const Shape& shape, Loc = Loc::current());
/// The elements as a vector, row-major.
Array ravel(const Array& x, Loc = Loc::current());
/// The axes in reverse order, or in a given one.   transpose(x[2,3,4], {1, 0, 2}) is [3,2,4]
Array transpose(const Array& x, Loc = Loc::current());
Array transpose(const Array& x, const Axes& permutation, Loc = Loc::current());
/// The last two axes swapped.
Array matrix_transpose(const Array& x, Loc = Loc::current());
Array swapaxes(const Array& x, int axis1, int axis2, Loc = Loc::current());
/// Moves axes to new positions; the others keep their order.   moveaxis(x[2,3,4], 0, -1) is [3,4,2]
Array moveaxis(const Array& x, const Axes& source, const Axes& destination, Loc = Loc::current());
/// New axes of size 1, at these positions of the result.   expand_dims(x[3], 0) is [1,3]
Array expand_dims(const Array& x, const Axes& axes, Loc = Loc::current());
/// Without the axes of size 1, or without these.
Array squeeze(const Array& x, const Axes& axes = Axes::every(), Loc = Loc::current());
/// x repeated along new leading axes and along axes of size 1.
Array broadcast_to(const Array& x, const Shape& shape, Loc = Loc::current());
/// The common shape of arrays, and the arrays broadcast to it.
Shape broadcast_shapes(const std::vector<Shape>& shapes, Loc = Loc::current());
std::vector<Array> broadcast_arrays(const std::vector<Array>& x, Loc = Loc::current());
/// At least rank 1, 2, 3, as numpy's.   atleast_2d(x[3]) is [1,3]
Array atleast_1d(const Array& x, Loc = Loc::current());
Array atleast_2d(const Array& x, Loc = Loc::current());
Array atleast_3d(const Array& x, Loc = Loc::current());

/// Joins arrays along an axis.   concatenate({a[2,3], b[1,3]}, 0) is [3,3]
Array concatenate(const std::vector<Array>& x, int axis = 0, Loc = Loc::current());
/// Joins arrays of equal shape along a new axis.
Array stack(const std::vector<Array>& x, int axis = 0, Loc = Loc::current());
/// Joins columnwise (axis 1; vectors: axis 0), rowwise (axis 0), along axis 2; vectors as the
/// columns of a matrix.
Array hstack(const std::vector<Array>& x, Loc = Loc::current());
Array vstack(const std::vector<Array>& x, Loc = Loc::current());
Array dstack(const std::vector<Array>& x, Loc = Loc::current());
Array column_stack(const std::vector<Array>& x, Loc = Loc::current());
/// The parts before, between and after `indices` along an axis.
///   split(x[6], {1, 4}) is [1], [3], [2]
std::vector<Array> split(const Array& x, const Dims& indices, int axis = 0, Loc = Loc::current());
/// So many equal parts.   split(x[6], 2) is [3], [3]
template <std::integral I>
std::vector<Array> split(const Array& x, I sections, int axis = 0, Loc = Loc::current());
/// So many parts, the first ones longer where the size is not divisible.
std::vector<Array> array_split(const Array& x, std::int64_t sections, int axis = 0,
                               Loc = Loc::current());
/// The slices along an axis, without it.
std::vector<Array> unstack(const Array& x, int axis = 0, Loc = Loc::current());
/// x repeated as a whole, so often along each axis.   tile({1, 2}, 2) == {1, 2, 1, 2}
Array tile(const Array& x, const Axes& reps, Loc = Loc::current());
/// Each element repeated, along an axis or in the flattened array.
///   repeat({1, 2}, 2) == {1, 1, 2, 2}
Array repeat(const Array& x, std::int64_t repeats, std::optional<int> axis = {},
             Loc = Loc::current());
/// The elements in reverse order along axes.
Array flip(const Array& x, const Axes& axes = Axes::every(), Loc = Loc::current());
Array flipud(const Array& x, Loc = Loc::current());  ///< along axis 0
Array fliplr(const Array& x, Loc = Loc::current());  ///< along axis 1
/// The elements moved along an axis (or in the flattened array), those beyond the end to the front.
Array roll(const Array& x, std::int64_t shift, std::optional<int> axis = {}, Loc = Loc::current());
Array roll(const Array& x, const Dims& shifts, const Axes& axes, Loc = Loc::current());

/// How many elements to add before and after each axis:  3,  {1, 2},  {{1, 2}, {0, 3}}.
struct PadWidths {
  std::vector<std::array<std::int64_t, 2>> pairs;  // one for all axes, or one for each
  template <std::integral I>
  PadWidths(I n) : pairs{{std::int64_t(n), std::int64_t(n)}} {}
  PadWidths(std::int64_t before, std::int64_t after) : pairs{{before, after}} {}
  PadWidths(std::initializer_list<std::array<std::int64_t, 2>> p) : pairs(p) {}
};
/// x with a margin.  mode: "constant" (of `value`), "edge", "reflect" (without the edge),
/// "symmetric" (with it), "wrap".
Array pad(const Array& x, const PadWidths& widths, std::string_view mode = "constant",
          const Array& value = 0, Loc = Loc::current());

/// The elements of x at integer indices, along an axis or in the flattened array.  Negative indices
/// count from the end.  Out of range: "fill" (NaN; the least integer), "clip" or "wrap".
Array take(const Array& x, const Array& indices, std::optional<int> axis = {},
           std::string_view mode = "fill", Loc = Loc::current());
/// Elements chosen along an axis, one index for each place.
///   take_along_axis(x, argsort(x, 0), 0) == sort(x, 0)
Array take_along_axis(const Array& x, const Array& indices, int axis, Loc = Loc::current());

// ---- Numbers among arrays

namespace internal {
template <class T>
concept ArrayArgument = !Scalar<T> && std::convertible_to<const T&, Array>;
/// Numbers and arrays, at least one of each.
template <class... T>
concept NumbersAndArrays = (Scalar<T> || ...) && (ArrayArgument<T> || ...) &&
                           ((Scalar<T> || ArrayArgument<T>)&&...);
/// Gives numbers the type they take beside these arrays (their own, where there is no array).
void weaken(std::span<Array> x, std::span<const bool> is_number);
template <class... T>
std::array<Array, sizeof...(T)> weak_operands(const T&... x) {
  std::array<Array, sizeof...(T)> a{Array(x)...};
  const bool is_number[] = {Scalar<T>...};
  weaken(a, is_number);
  return a;
}
std::vector<Array> split_sections(const Array& x, std::int64_t sections, int axis, Loc);
}  // namespace internal

// Every function of several arrays takes C++ numbers in any position: maximum(x, 0.0), logaddexp(0,
// x), clip(x, 0, 1).
#define JAXPP_NUMBERS(name)                                     \
  template <class X, class Y>                                   \
  requires internal::NumbersAndArrays<X, Y>                     \
  auto name(const X& x, const Y& y, Loc loc = Loc::current()) { \
    auto a = internal::weak_operands(x, y);                     \
    return name(a[0], a[1], loc);                               \
  }
JAXPP_NUMBERS(add)
JAXPP_NUMBERS(subtract)
JAXPP_NUMBERS(multiply)
JAXPP_NUMBERS(divide)
JAXPP_NUMBERS(true_divide)
JAXPP_NUMBERS(floor_divide)
JAXPP_NUMBERS(remainder)
JAXPP_NUMBERS(mod)
JAXPP_NUMBERS(fmod)
JAXPP_NUMBERS(divmod)
JAXPP_NUMBERS(float_power)
JAXPP_NUMBERS(logaddexp)
JAXPP_NUMBERS(logaddexp2)
JAXPP_NUMBERS(hypot)
JAXPP_NUMBERS(arctan2)
JAXPP_NUMBERS(atan2)
JAXPP_NUMBERS(xlogy)
JAXPP_NUMBERS(xlog1py)
JAXPP_NUMBERS(copysign)
JAXPP_NUMBERS(nextafter)
JAXPP_NUMBERS(maximum)
JAXPP_NUMBERS(minimum)
JAXPP_NUMBERS(fmax)
JAXPP_NUMBERS(fmin)
JAXPP_NUMBERS(equal)
JAXPP_NUMBERS(not_equal)
JAXPP_NUMBERS(less)
JAXPP_NUMBERS(less_equal)
JAXPP_NUMBERS(greater)
JAXPP_NUMBERS(greater_equal)
JAXPP_NUMBERS(logical_and)
JAXPP_NUMBERS(logical_or)
JAXPP_NUMBERS(logical_xor)
JAXPP_NUMBERS(bitwise_and)
JAXPP_NUMBERS(bitwise_or)
JAXPP_NUMBERS(bitwise_xor)
JAXPP_NUMBERS(left_shift)
JAXPP_NUMBERS(right_shift)
JAXPP_NUMBERS(dot)
JAXPP_NUMBERS(inner)
JAXPP_NUMBERS(outer)
JAXPP_NUMBERS(kron)
#undef JAXPP_NUMBERS

template <class X, class Y>
requires internal::NumbersAndArrays<X, Y> Array power(const X& x, const Y& y,
                                                      Loc loc = Loc::current()) {
  if constexpr (std::is_integral_v<Y>)
    return power(Array(x), Array(std::int64_t(y)), loc);  // an integer stays one
  auto a = internal::weak_operands(x, y);
  return power(a[0], a[1], loc);
}
template <class X, class Y>
requires internal::NumbersAndArrays<X, Y> Array pow(const X& x, const Y& y,
                                                    Loc loc = Loc::current()) {
  return power(x, y, loc);
}
template <class X, class L, class H>
requires internal::NumbersAndArrays<X, L, H> Array clip(const X& x, const L& low, const H& high,
                                                        Loc loc = Loc::current()) {
  auto a = internal::weak_operands(x, low, high);
  return clip(a[0], a[1], a[2], loc);
}
template <class X, class Y>
requires(internal::Scalar<X> || internal::Scalar<Y>) &&
    (internal::Scalar<X> || internal::ArrayArgument<X>)&&(internal::Scalar<Y> ||
                                                          internal::ArrayArgument<Y>)Array
    where(const Array& condition, const X& x, const Y& y, Loc loc = Loc::current()) {
  auto a = internal::weak_operands(x, y);
  return where(condition, a[0], a[1], loc);
}
template <class X, class Y>
requires internal::NumbersAndArrays<X, Y> Array isclose(const X& x, const Y& y, double rtol = 1e-5,
                                                        double atol = 1e-8, bool equal_nan = false,
                                                        Loc loc = Loc::current()) {
  auto a = internal::weak_operands(x, y);
  return isclose(a[0], a[1], rtol, atol, equal_nan, loc);
}
template <class X, class Y>
requires internal::NumbersAndArrays<X, Y>
bool allclose(const X& x, const Y& y, double rtol = 1e-5, double atol = 1e-8,
              bool equal_nan = false, Loc loc = Loc::current()) {
  auto a = internal::weak_operands(x, y);
  return allclose(a[0], a[1], rtol, atol, equal_nan, loc);
}
template <class A, internal::Scalar V>
requires internal::ArrayArgument<A> Array searchsorted(const A& a, V v,
                                                       std::string_view side = "left",
                                                       Loc loc = Loc::current()) {
  auto x = internal::weak_operands(a, v);
  return searchsorted(x[0], x[1], side, loc);
}
template <internal::Scalar X>
Array interp(X x, const Array& xp, const Array& fp, Loc loc = Loc::current()) {
  auto a = internal::weak_operands(x, xp);
  return interp(a[0], a[1], fp, loc);
}
template <std::integral I>
std::vector<Array> split(const Array& x, I sections, int axis, Loc loc) {
  return internal::split_sections(x, std::int64_t(sections), axis, loc);
}

}  // namespace jaxpp
