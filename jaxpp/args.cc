// args.cc -- what the templates of the transforms share: tangents of trees.
#include "jaxpp/args.h"

#include "jaxpp/lax.h"

namespace jaxpp::internal {

void collect_tangents(const ArrayRefs& x, const ArrayRefs& dx, bool keep_integers, Results& t,
                      const char* who, Loc loc) {
  if (x.size() != dx.size()) leaf_count_error(who, x.size(), dx.size(), loc);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!x[i]->defined()) continue;
    Type type = x[i]->type();
    if (!is_inexact(type->dtype)) {
      if (keep_integers) t.push_back(Array());
      continue;
    }
    if (dx[i]->defined() && dx[i]->type() != type) {
      const bool tangent = std::string_view(who).find("vjp") == std::string_view::npos &&
                           std::string_view(who) != "linear_transpose";
      fail<TypeError>(std::string(who) + (tangent ? ": tangent " : ": cotangent ") +
                          std::to_string(i) + " is " + dx[i]->type()->str() +
                          ", the value it belongs to is " + type->str() + ".",
                      loc, "E16", "Both need the same shape and dtype.");
    }
    t.push_back(*dx[i]);
  }
}

Array weak_tangent(const Array& number, const Array& primal) {
  if (!primal.defined() || !is_inexact(primal.dtype())) return number;
  return lax::convert_element_type(number, primal.dtype());
}

Array zeros_of(Type t) { return lax::full(t, 0); }

}  // namespace jaxpp::internal
