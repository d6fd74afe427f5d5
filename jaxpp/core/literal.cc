// literal.cc -- braced lists as arrays: Array v = {1., 2., 3.}, m = {{1, 2}, {3, 4}}, s = {x, y * z}.
//
// A list of numbers only is written straight into a buffer, in the promotion of the numbers' types.
// A list that holds Arrays is stacked, level by level, as an operation of the current trace; numbers
// among Arrays are weak.
#include <algorithm>
#include "jaxpp/core/trace.h"
#include "jaxpp/lax.h"
#include "jaxpp/operators.h"

namespace jaxpp {
using namespace internal;

using internal::fail;
using internal::user_loc;

namespace {
using List = std::initializer_list<Literal>;

bool holds_array(List list) {
  return std::any_of(list.begin(), list.end(),
                     [](const Literal& v) { return v.array || holds_array(v.list); });
}
[[noreturn]] void ragged(const Literal& at, const std::string& what) {
  fail("array: the rows of a nested list differ: " + what + ".", user_loc(at.loc), "E45");
}

// ---- Numbers only
void add_type(List list, std::optional<DType>& d) {
  for (const Literal& v : list) {
    if (v.is_list)
      add_type(v.list, d);
    else
      d = d ? promote_types(*d, v.dtype) : v.dtype;
  }
}
Shape shape_of(List list) {
  Shape s{std::int64_t(list.size())};
  if (list.size() && list.begin()->is_list) {
    Shape inner = shape_of(list.begin()->list);
    s.append(inner.begin(), inner.end());
  }
  return s;
}
void check_shape(List list, const Shape& s, std::size_t depth) {
  for (const Literal& v : list) {
    const bool want_list = depth + 1 < s.size();
    if (v.is_list != want_list) ragged(v, "a number stands beside a list");
    if (!want_list) continue;
    const auto n = std::int64_t(v.list.size());
    if (n != s[depth + 1])
      ragged(v,
             "one has " + std::to_string(s[depth + 1]) + " elements, another " + std::to_string(n));
    check_shape(v.list, s, depth + 1);
  }
}
template <class T>
T element(const Literal& v) {
  if constexpr (is_complex_type<T>)
    return T(typename T::value_type(v.number.real()), typename T::value_type(v.number.imag()));
  else if constexpr (is_half<T>)
    return T(float(v.number.real()));
  else if constexpr (std::is_integral_v<T>)
    return T(v.integer);  // an integer type: every number is an integer
  else
    return T(v.number.real());
}
using Numbers = std::span<const Literal>;
template <class T>
T* fill(Numbers list, T* out) {
  for (const Literal& v : list)
    if (v.is_list)
      out = fill(Numbers(v.list.begin(), v.list.size()), out);
    else
      *out++ = element<T>(v);
  return out;
}
void fill(Numbers list, const Array& a) {
  switch (a.dtype()) {
#define JAXPP_CASE(d, T) \
  case DType::d: fill(list, a.data<T>()); break;
    JAXPP_CASE(b1, bool)
    JAXPP_CASE(i8, std::int8_t)
    JAXPP_CASE(i16, std::int16_t)
    JAXPP_CASE(i32, std::int32_t)
    JAXPP_CASE(i64, std::int64_t)
    JAXPP_CASE(u8, std::uint8_t)
    JAXPP_CASE(u16, std::uint16_t)
    JAXPP_CASE(u32, std::uint32_t)
    JAXPP_CASE(u64, std::uint64_t)
    JAXPP_CASE(f16, float16)
    JAXPP_CASE(bf16, bfloat16)
    JAXPP_CASE(f32, float)
    JAXPP_CASE(f64, double)
    JAXPP_CASE(c64, std::complex<float>)
    JAXPP_CASE(c128, std::complex<double>)
#undef JAXPP_CASE
  }
}
Array of_numbers(List list) {
  std::optional<DType> d;
  add_type(list, d);
  const Shape s = shape_of(list);
  check_shape(list, s, 0);
  Array a = Array::make(make_type(d.value_or(DType::f64), s));
  fill(Numbers(list.begin(), list.size()), a);
  return a;
}

// ---- Arrays among them
void add_array_type(List list, std::optional<DType>& d) {
  for (const Literal& v : list) {
    if (v.is_list) add_array_type(v.list, d);
    if (!v.array) continue;
    if (!v.array->defined())
      fail("array: an element of the list is a null array.", user_loc(v.loc), "E04");
    d = d ? promote_types(*d, v.array->dtype()) : v.array->dtype();
  }
}
Array number(const Literal& v) {
  Array a = Array::make(scalar_type(v.dtype));
  fill(Numbers(&v, 1), a);
  return a;
}
/// The common type: that of the Arrays, raised by numbers of a higher kind.
void raise_type(List list, DType arrays, DType& d) {
  for (const Literal& v : list) {
    if (v.is_list)
      raise_type(v.list, arrays, d);
    else if (!v.array)
      d = promote_types(d, internal::weak_number(number(v), arrays).dtype());
  }
}
Array stacked(List list, DType d) {
  std::vector<Array> rows;
  for (const Literal& v : list) {
    Array row = v.is_list ? stacked(v.list, d) : v.array ? *v.array : number(v);
    rows.push_back(lax::convert_element_type(row, d, v.loc));
    if (rows.back().shape() != rows[0].shape())
      ragged(v, "one is " + rows[0].type()->str() + ", another " + rows.back().type()->str());
  }
  if (list.size() == 0) return Array::make(make_type(d, {0}));
  return list.size() == 1 && list.begin()->array ? rows[0] : lax::stack(rows, 0, list.begin()->loc);
}
}  // namespace

Array::Array(std::initializer_list<Literal> v) {
  if (!holds_array(v)) {
    *this = of_numbers(v);
    return;
  }
  std::optional<DType> arrays;
  add_array_type(v, arrays);
  DType d = *arrays;
  raise_type(v, *arrays, d);
  *this = stacked(v, d);
}

Array Array::stack(std::span<const Array> rows, Loc loc) {
  if (rows.empty()) return make(make_type(DType::f64, {0, 0}));
  for (const Array& r : rows)
    if (r.shape() != rows[0].shape())
      fail("array: the rows of a nested vector differ: one is " + rows[0].type()->str() +
               ", another " + r.type()->str() + ".",
           loc, "E45");
  return lax::stack(rows, 0, loc);
}

}  // namespace jaxpp
