// tree.cc -- what trees need that does not depend on their type.
#include "jaxpp/tree.h"
#include "jaxpp/lax.h"

namespace jaxpp::internal {

void leaf_count_error(const char* who, std::size_t expected, std::size_t got, Loc loc) {
  fail<TypeError>(std::string(who) + ": the trees differ: one has " + std::to_string(expected) +
                      " arrays, another " + std::to_string(got) + ".",
                  loc, "E70");
}

void ravel_flat(Args x, Array& flat, Loc loc) {
  if (x.empty()) {
    flat = lax::full(make_type(f32, {0}), 0, loc);
    return;
  }
  DType d = x[0].dtype();
  for (const Array& a : x) d = promote_types(d, a.dtype());
  Results parts;
  for (const Array& a : x)
    parts.push_back(lax::reshape(lax::convert_element_type(a, d, loc), {a.size()}, loc));
  flat = parts.size() == 1 ? parts[0] : lax::concatenate(args(parts), 0, loc);
}

void unravel_flat(const Array& flat, std::span<const Type> types, Results& x, Loc loc) {
  std::int64_t n = 0;
  for (Type t : types) n += t->size;
  if (!flat.defined() || flat.shape() != Shape{n})
    fail<TypeError>("unravel: needs a vector of " + std::to_string(n) + " elements, got " +
                        (flat.defined() ? flat.type()->str() : std::string("a null Array")) + ".",
                    loc, "E71");
  std::int64_t at = 0;
  for (Type t : types) {
    Array part = types.size() == 1 ? flat : lax::slice(flat, {at}, {at + t->size}, {}, loc);
    x.push_back(lax::convert_element_type(lax::reshape(part, t->shape, loc), t->dtype, loc));
    at += t->size;
  }
}

}  // namespace jaxpp::internal
