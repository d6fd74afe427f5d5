// elementwise_kernels_convert.cc -- convert_element_type between any two element types.
//
// Floats become integers by truncation; what does not fit saturates, NaN gives 0.  Integers wrap.
// Complex numbers lose their imaginary part.  To bool: x != 0.  Halves are rounded once.
#include "backends/eager/elementwise_kernels.h"

namespace jaxpp::internal {
namespace {

// v as a float such that rounding it again, to a half, gives what rounding v once would: inexact
// results end in an odd bit.
float round_to_odd(double v) {
  const float f = float(v);
  const double back = f;
  if (back == v || v != v || std::isinf(f)) return f;
  auto bits = std::bit_cast<std::uint32_t>(f);
  if (std::fabs(back) > std::fabs(v)) --bits;
  return std::bit_cast<float>(bits | 1u);
}

template <class To, class From>
To converted(From v) {
  if constexpr (is_half<From>) {
    return converted<To>(float(v));
  } else if constexpr (std::is_same_v<To, bool>) {
    return v != From(0);
  } else if constexpr (is_complex_type<From>) {
    if constexpr (is_complex_type<To>)
      return To(v);
    else
      return converted<To>(v.real());
  } else if constexpr (is_complex_type<To>) {
    return To(typename To::value_type(v));
  } else if constexpr (is_half<To>) {
    if constexpr (sizeof(From) >= 4 && !std::is_same_v<From, float>)
      return To(round_to_odd(double(v)));
    else
      return To(float(v));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr To least = std::numeric_limits<To>::min(), greatest = std::numeric_limits<To>::max();
    if (v != v) return To(0);
    if (v <= From(least)) return least;
    return v >= From(greatest) ? greatest : To(v);
  } else {
    return To(v);
  }
}

template <class From, class To>
void convert_loop(const void* x_, void* z_, std::int64_t n) {
  const From* x = static_cast<const From*>(x_);
  To* z = static_cast<To*>(z_);
  for (std::int64_t i = 0; i < n; ++i) z[i] = converted<To>(x[i]);
}
template <class From, std::size_t... I>
constexpr UnaryLoops loops_from(std::index_sequence<I...>) {
  return {convert_loop<From, Element<DType(I)>>...};
}
constexpr auto kLoops = []<std::size_t... I>(std::index_sequence<I...> all) {
  return std::array<UnaryLoops, kNumDTypes>{loops_from<Element<DType(I)>>(all)...};
}
(std::make_index_sequence<kNumDTypes>());

void convert_kernel(Args x, Params, Array* z) {
  kLoops[std::size_t(x[0].dtype())][std::size_t(z->dtype())](x[0].data<char>(), z->data<char>(),
                                                             z->size());
}

}  // namespace

void install_convert_kernels() { install<convert_kernel, 1>(convert_element_type_p); }

}  // namespace jaxpp::internal
