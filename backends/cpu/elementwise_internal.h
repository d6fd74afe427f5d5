// elementwise_internal.h -- tables of generated forms, one per file of rows.
#pragma once
#include <array>
#include <utility>
#include "backends/cpu/elementwise.h"
#include "backends/cpu/lane.h"
#include "backends/eager/elementwise_kernels.h"

namespace jaxpp::native {

/// Lanes of this thread are written with t as long as this lives.
class Writing {
 public:
  explicit Writing(Target& t);
  ~Writing();
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;

 private:
  Target* outer_;
};
/// "_f32x16"
std::string name_of(ir::Type);

// ---- Elements as what the scalar code computes in
template <DType D>
auto stored(const Element& x) {
  using T = internal::Element<D>;
  if constexpr (is_complex_type<T>)
    return internal::scalar::Complex<Lane<typename T::value_type>>{
        Lane<typename T::value_type>(x.v[0]), Lane<typename T::value_type>(x.v[1])};
  else
    return Lane<T>(x.v[0]);
}
template <class C>
inline constexpr bool is_complex_lane = false;
template <class R>
inline constexpr bool is_complex_lane<internal::scalar::Complex<R>> = true;
template <DType D, class V>
Element element(V v) {
  using T = internal::Element<D>;
  if constexpr (is_complex_lane<V>)
    return {D, {v.re.v, v.im.v}};
  else if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>)
    return {D, {store<Lane<T>>(v).v}};
  else
    return {D, {Lane<T>(v).v}};
}
template <DType D>
auto computed(const Element& x) {
  if constexpr (is_complex(D))
    return stored<D>(x);
  else
    return compute(stored<D>(x));
}

/// One element of a row from its operands.
using Form = void (*)(const Element* x, Element* z);
using Forms = std::array<Form, kNumDTypes>;
struct FormRow {
  const Primitive* primitive;
  Forms forms;            // by the dtype of the operands; null: none
  bool is_short = false;  // one operation, which may be contracted with others
  bool is_long = false;   // many: a function of its own where there are many of these
};
std::span<const FormRow> unary_forms();
std::span<const FormRow> binary_forms();
std::span<const FormRow> compare_forms();

/// Rows without a generated form: their block kernel is called.
template <class Code>
inline constexpr bool is_called = false;
template <class Code>
inline constexpr bool floats_are_called = false;
/// Rows of which complex numbers have a generated form.
template <class Code>
inline constexpr bool has_complex_form = false;
template <class Code>
inline constexpr bool is_short_code = false;
template <class Code>
inline constexpr bool is_long_code = false;

template <class Code, DType D>
constexpr bool has_form() {
  if (!internal::in_domain(Code::domain, D) || is_called<Code>) return false;
  if (is_float(D) && floats_are_called<Code>) return false;
  return !is_complex(D) || has_complex_form<Code>;
}
template <class Code, int operands>
constexpr Forms forms_of() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    auto form = []<DType D>() -> Form {
      if constexpr (has_form<Code, D>())
        return [](const Element* x, Element* z) {
          constexpr DType result = internal::result_dtype(Code::result, D);
          auto load = [](const Element& e) {
            if constexpr (Code::is_stored)
              return stored<D>(e);
            else
              return computed<D>(e);
          };
          if constexpr (operands == 1)
            *z = element<result>(Code::f(load(x[0])));
          else
            *z = element<result>(Code::f(load(x[0]), load(x[1])));
        };
      else
        return nullptr;
    };
    return Forms{form.template operator()<DType(I)>()...};
  }
  (std::make_index_sequence<kNumDTypes>());
}

}  // namespace jaxpp::native
