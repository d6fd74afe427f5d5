// elementwise_kernels_convert.cc -- convert_element_type between any two element types.
#include "backends/eager/elementwise_kernels.h"

namespace jaxpp::internal {
namespace {

// What scalar::convert makes of a number of type To.
template <class T>
struct ConvertedTo {
  using type = T;
};
template <class R>
struct ConvertedTo<std::complex<R>> {
  using type = scalar::Complex<R>;
};
template <class T>
using Converted = typename ConvertedTo<T>::type;

template <class From, class To>
void convert_elements(const void* x_, void* z_, std::int64_t n) {
  const auto* x = static_cast<const scalar::Stored<From>*>(x_);
  To* z = static_cast<To*>(z_);
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (is_complex_type<From>)
      z[i] = scalar::store<To>(scalar::convert<Converted<To>>(scalar::own(x[i])));
    else
      z[i] = scalar::store<To>(scalar::convert<Converted<To>>(From(x[i])));
  }
}
template <class From, std::size_t... I>
constexpr UnaryLoops loops_from(std::index_sequence<I...>) {
  return {convert_elements<From, Element<DType(I)>>...};
}
constexpr auto kLoops = []<std::size_t... I>(std::index_sequence<I...> all) {
  return std::array<UnaryLoops, kNumDTypes>{loops_from<Element<DType(I)>>(all)...};
}
(std::make_index_sequence<kNumDTypes>());

void convert_kernel(Args x, Params, Array* z) {
  run_unary(convert_loop(x[0].dtype(), z->dtype()), x[0], *z);
}
BlockOp convert_op(Params, std::span<const DType> x, DType z) { return convert_loop(x[0], z); }

}  // namespace

UnaryLoop convert_loop(DType from, DType to) { return kLoops[std::size_t(from)][std::size_t(to)]; }
void install_convert_kernels() { install<convert_kernel, 1>(convert_element_type_p); }
std::span<const BlockRow> convert_rows() {
  static constexpr BlockRow rows[] = {{&convert_element_type_p, convert_op}};
  return rows;
}

}  // namespace jaxpp::internal
