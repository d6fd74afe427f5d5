// math_apply.cc -- see math_apply.h: signatures, and axes brought to the front and back.
#include "jaxpp/math_apply.h"
#include <cctype>
#include "jaxpp/math_internal.h"

namespace jaxpp::internal {
namespace {

[[noreturn]] void bad_signature(std::string_view s, const std::string& what, Loc loc) {
  fail("vectorize: the signature \"" + std::string(s) + "\" " + what + ".", user_loc(loc), "E95",
       "Write it as \"(n,m),(m)->(n)\".");
}

}  // namespace

SmallVec<int, 8> core_ranks(std::string_view signature, std::size_t arguments, Loc loc) {
  SmallVec<int, 8> ranks;
  if (signature.empty()) {
    for (std::size_t k = 0; k < arguments; ++k) ranks.push_back(0);
    return ranks;
  }
  std::size_t at = 0;
  const auto peek = [&] {
    while (at < signature.size() && signature[at] == ' ') ++at;
    return at < signature.size() ? signature[at] : '\0';
  };
  const auto expect = [&](char c) {
    if (peek() != c)
      bad_signature(signature, std::string("has no '") + c + "' at " + std::to_string(at), loc);
    ++at;
  };
  const auto lists = [&](auto&& each) {  // "(n,m),(m)"
    while (true) {
      expect('(');
      int rank = 0;
      while (peek() != ')') {
        if (rank > 0) expect(',');
        const std::size_t start = (peek(), at);
        while (at < signature.size() &&
               (std::isalnum(static_cast<unsigned char>(signature[at])) || signature[at] == '_'))
          ++at;
        if (at == start) bad_signature(signature, "has no name at " + std::to_string(at), loc);
        ++rank;
      }
      ++at;
      each(rank);
      if (peek() != ',') return;
      ++at;
    }
  };
  lists([&](int rank) { ranks.push_back(rank); });
  expect('-');
  expect('>');
  lists([](int) {});
  if (peek()) bad_signature(signature, "goes on behind its end", loc);
  if (ranks.size() != arguments)
    bad_signature(signature,
                  "is of " + std::to_string(ranks.size()) + " arguments; there are " +
                      std::to_string(arguments),
                  loc);
  return ranks;
}

Vectorized vectorize_leading(std::span<Array> x, std::span<const int> ranks, Loc loc) {
  Vectorized v;
  std::vector<Shape> leading;
  for (std::size_t k = 0; k < x.size(); ++k) {
    need_array(x[k], "vectorize", loc);
    const Shape& s = x[k].shape();
    if (x[k].ndim() < ranks[k])
      fail("vectorize: argument " + std::to_string(k) + " is " + x[k].type()->str() +
               ", the function wants " + std::to_string(ranks[k]) + " axes.",
           user_loc(loc), "E86");
    leading.emplace_back(s.begin(), s.end() - ranks[k]);
  }
  v.leading = broadcast_shapes(leading, loc);
  UserLine line(loc);
  for (std::size_t k = 0; k < x.size(); ++k) {
    v.mapped.push_back(!leading[k].empty());
    if (leading[k].empty()) continue;
    Shape all = v.leading, flat{-1};
    for (auto it = x[k].shape().end() - ranks[k]; it != x[k].shape().end(); ++it) {
      all.push_back(*it);
      flat.push_back(*it);
    }
    flat[0] = 1;
    for (std::int64_t n : v.leading) flat[0] *= n;
    x[k] = broadcast_to(x[k], all).reshape(flat);
  }
  return v;
}
Array split_leading(const Array& y, const Shape& leading, Loc loc) {
  Shape s = leading;
  for (int k = 1; k < y.ndim(); ++k) s.push_back(y.shape()[std::size_t(k)]);
  return reshape(y, s, loc);
}

Array rows_along(const Array& x, int axis, Loc loc) {
  need_array(x, "apply_along_axis", loc);
  const auto d = axis_of(axis, x, "apply_along_axis", loc);
  UserLine line(loc);
  const std::int64_t n = x.shape()[std::size_t(d)];
  std::int64_t rows = 1;
  for (int k = 0; k < x.ndim(); ++k)
    if (k != d) rows *= x.shape()[std::size_t(k)];
  return moveaxis(x, int(d), -1).reshape({rows, n});
}
Array from_rows(const Array& y, const Array& x, int axis, Loc loc) {
  const auto d = axis_of(axis, x, "apply_along_axis", loc);
  UserLine line(loc);
  Shape s;
  for (int k = 0; k < x.ndim(); ++k)
    if (k != d) s.push_back(x.shape()[std::size_t(k)]);
  for (int k = 1; k < y.ndim(); ++k) s.push_back(y.shape()[std::size_t(k)]);
  Dims from, to;
  for (int k = 0; k < y.ndim() - 1; ++k) {
    from.push_back(x.ndim() - 1 + k);
    to.push_back(d + k);
  }
  return moveaxis(y.reshape(s), from, to);
}

Array piecewise(const Array& x, const Conditions& c, const std::vector<Array>& pieces) {
  const auto& [conditions, loc] = c;
  need_array(x, "piecewise", loc);
  if (pieces.size() != conditions.size() && pieces.size() != conditions.size() + 1)
    fail("piecewise: " + std::to_string(conditions.size()) + " conditions and " +
             std::to_string(pieces.size()) + " pieces.",
         user_loc(loc), "E91", "One for each condition, and perhaps one for the rest.");
  UserLine line(loc);
  Array y = zeros_like(x);
  if (pieces.size() > conditions.size())
    y = broadcast_to(pieces.back().astype(x.dtype()), x.shape());
  for (std::size_t k = 0; k < conditions.size(); ++k)
    y = where(truth(conditions[k], "piecewise", loc), pieces[k].astype(x.dtype()), y);
  return y;
}

}  // namespace jaxpp::internal
