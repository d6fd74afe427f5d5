// affine.cc -- arithmetic of affine functions, and what single elements and combining stores are.
//
// Sums wrap: an index that overflows is a defect of whoever built it, and verify() finds it.
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include "backends/eager/kernels.h"
#include "backends/loops/tree.h"

namespace jaxpp::loops {

// ---- Affine functions
Affine& Affine::operator+=(const Affine& o) {
  c += o.c;
  if (o.terms.empty()) return *this;
  if (terms.empty() || terms.back().sym < o.terms.front().sym) {
    terms.append(o.terms.begin(), o.terms.end());
    return *this;
  }
  SmallVec<Term, 3> sum;
  sum.reserve(terms.size() + o.terms.size());
  const Term *a = terms.begin(), *b = o.terms.begin();
  while (a != terms.end() && b != o.terms.end()) {
    if (a->sym != b->sym) {
      sum.push_back(a->sym < b->sym ? *a++ : *b++);
    } else {
      if (const std::int64_t k = a->k + b->k) sum.push_back(Term{a->sym, k});
      ++a, ++b;
    }
  }
  sum.append(a, static_cast<const Term*>(terms.end()));
  sum.append(b, o.terms.end());
  terms = std::move(sum);
  return *this;
}

Affine& Affine::operator*=(std::int64_t k) {
  c *= k;
  std::size_t kept = 0;  // a product may also wrap to 0
  for (Term& t : terms)
    if (t.k *= k) terms[kept++] = t;
  while (terms.size() > kept) terms.pop_back();
  return *this;
}

Affine Affine::subst(Sym s, const Affine& by) const {
  const std::int64_t k = coef(s);
  Affine rest = *this;
  if (k == 0) return rest;
  for (std::size_t i = 0; i < rest.terms.size(); ++i)
    if (rest.terms[i].sym == s) {
      rest.terms.erase(i);
      break;
    }
  return rest += by * k;
}

bool Affine::operator<(const Affine& o) const {
  if (c != o.c) return c < o.c;
  return std::lexicographical_compare(terms.begin(), terms.end(), o.terms.begin(), o.terms.end());
}

// ---- Elements
namespace {
// Out of range: the nearest value; NaN: 0.
template <class T>
T converted(double v) {
  using L = std::numeric_limits<T>;
  if constexpr (std::is_same_v<T, bool>) {
    return v != 0;
  } else if constexpr (std::is_integral_v<T>) {
    if (std::isnan(v)) return 0;
    return v <= double(L::min()) ? L::min() : v >= double(L::max()) ? L::max() : T(v);
  } else if constexpr (is_complex_type<T>) {
    return T(typename T::value_type(v));
  } else if constexpr (is_half<T>) {
    return T(float(v));
  } else {
    return T(v);
  }
}
template <class T>
Element element(DType d, const T& v) {
  static_assert(sizeof(T) <= sizeof(Element::bits));
  return Element::at(d, &v);
}
}  // namespace

Element Element::of(DType d, double v) {
  return by_dtype(d, [&](auto t) { return element(d, converted<decltype(t)>(v)); });
}
Element Element::at(DType d, const void* from) {
  Element e;
  e.dtype = d;
  std::memcpy(e.bits.data(), from, width(d));
  return e;
}

// ---- Combining
const Primitive* combiner(Combine c) {
  switch (c) {
    case Combine::set: break;
    case Combine::add: return &add_p;
    case Combine::mul: return &mul_p;
    case Combine::max: return &max_p;
    case Combine::min: return &min_p;
    case Combine::and_: return &bitwise_and_p;
    case Combine::or_: return &bitwise_or_p;
    case Combine::xor_: return &bitwise_xor_p;
  }
  return nullptr;
}

const char* text(Combine c) {
  static constexpr const char* t[] = {"=", "+=", "*=", "max=", "min=", "&=", "|=", "^="};
  return t[int(c)];
}

Element identity(Combine c, DType d) {
  return by_dtype(d, [&](auto t) -> Element {
    using T = decltype(t);
    using L = std::numeric_limits<T>;
    switch (c) {
      case Combine::set: break;
      case Combine::add: return Element::of(d, 0);
      case Combine::mul: return Element::of(d, 1);
      case Combine::max:
      case Combine::min:
        if (is_complex(d)) break;
        if constexpr (std::is_integral_v<T>)
          return element(d, c == Combine::max ? L::min() : L::max());
        else
          return Element::of(d, c == Combine::max ? -HUGE_VAL : HUGE_VAL);
      case Combine::and_:
        if constexpr (std::is_same_v<T, bool>)
          return element(d, true);
        else if constexpr (std::is_integral_v<T>)
          return element(d, T(~T(0)));
        break;
      case Combine::or_:
      case Combine::xor_:
        if (is_inexact(d)) break;
        return Element::of(d, 0);
    }
    throw std::logic_error(std::string("loops: `") + text(c) + "` has no identity on " + name(d) +
                           ".");
  });
}

}  // namespace jaxpp::loops
