// custom_primitive.cc -- what all custom primitives share: registration, the checks that make a user's rules safe to
// trust, and two batching rules.
#include "jaxpp/custom_primitive.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {
namespace {

std::string plural(std::size_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

void no_shape(Types, Params, Type*) {
  rule_error("custom_primitive: the primitive has no shape function.");
}

}  // namespace

Primitive* new_primitive(const char* name, const ParamsOps* params, Loc loc) {
  if (!name || !*name) fail<TypeError>("custom_primitive: the name is empty.", loc, "E44");
  for (const char* c = name; *c; ++c)
    if (!std::isalnum(static_cast<unsigned char>(*c)) && *c != '_')
      fail<TypeError>("custom_primitive: \"" + std::string(name) + "\" is not an identifier.", loc,
                      "E44", "Use letters, digits and underscores: the parser must read it.");
  if (find_primitive(name))
    fail<TypeError>("custom_primitive: a primitive \"" + std::string(name) + "\" exists already.",
                    loc, "E44", "Choose another name.");
  auto* own_name = new std::string(name);
  auto* p = new Primitive{
      .name = own_name->c_str(), .shape = no_shape, .batch = lanes_batch, .params = params};
  register_primitive(*p);
  return p;
}
void function_reused(const Primitive& p, const char* rule, Loc loc) {
  fail<TypeError>("custom_primitive: the function given as " + std::string(rule) +
                      " belongs to the primitive \"" + p.name + "\" already.",
                  loc, "E44", "Write a lambda for each primitive.");
}
void wrong_arity(const Primitive& p, const char* rule, std::size_t expected, std::size_t given) {
  rule_error(std::string(p.name) + ": its " + rule + " function takes " +
             plural(expected, "array") + ", was given " + std::to_string(given) + ".");
}
void wrong_results(const Primitive& p, const char* rule, std::size_t expected, std::size_t given) {
  rule_error(std::string(p.name) + ": its " + rule + " function returned " +
             plural(given, "result") + "; it has " + std::to_string(expected) + ".");
}
void check_custom_results(const Primitive& p, Args x, Params params, const Array* y) {
  SmallVec<Type, 4> in, out(p.outputs(params), nullptr);
  for (const Array& a : x) in.push_back(a.type());
  p.shape({in.data(), in.size()}, params, out.data());
  for (std::size_t i = 0; i < out.size(); ++i)
    check(y[i].defined() && y[i].concrete() && y[i].type() == out[i], p.name, [&] {
      return "its eval function returned " +
             (y[i].defined() ? y[i].type()->str() : std::string("null")) + " as result " +
             std::to_string(i) + "; its shape function says " + out[i]->str() + ".";
    });
}
Array zeros_tangent(Type t) { return lax::full(t, 0); }
void custom_bind(const Primitive& p, Args x, Params params, Array* y, Loc loc) {
  if (p.shape == no_shape)
    fail<TypeError>(std::string(p.name) + ": the primitive has no shape function.", loc, "E44",
                    "Give one with .shape, or .elementwise().");
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!x[i].defined())
      fail<TypeError>(std::string(p.name) + ": operand " + std::to_string(i) + " is null.", loc,
                      "E44");
  p.bind(x, params, y, loc);
}

void elementwise_shape(Types x, Params, Type* y) {
  need(!x.empty(), "elementwise primitive", "needs an operand.");
  for (Type t : x)
    check(t == x[0], "elementwise primitive", [&] {
      return "operands must have one type, found " + x[0]->str() + " and " + t->str() + ".";
    });
  *y = x[0];
}
void elementwise_batch(BatchRule& r) {
  Results x;
  for (std::size_t i = 0; i < r.x.size(); ++i)
    x.push_back(lax::batch_to_front(r.x[i], r.axis[i], r.size));
  r.prim.bind(args(x), r.params, r.y, Loc::current());
  for (std::size_t i = 0; i < r.prim.outputs(r.params); ++i) r.y_axis[i] = 0;
}
void lanes_batch(BatchRule& r) {
  const std::size_t n = r.prim.outputs(r.params);
  std::vector<std::vector<Array>> rows(n);
  for (std::int64_t lane = 0; lane < r.size; ++lane) {
    Results x, y(n);
    for (std::size_t i = 0; i < r.x.size(); ++i)
      x.push_back(r.axis[i] < 0 ? r.x[i]
                                : lax::squeeze(lax::slice_in_dim(r.x[i], lane, lane + 1, r.axis[i]),
                                               {r.axis[i]}));
    r.prim.bind(args(x), r.params, y.data(), Loc::current());
    for (std::size_t k = 0; k < n; ++k) rows[k].push_back(std::move(y[k]));
  }
  SmallVec<Type, 4> types, out(n, nullptr);
  if (r.size == 0) {
    for (std::size_t i = 0; i < r.x.size(); ++i) {
      Dims s = r.x[i].shape();
      if (r.axis[i] >= 0) s.erase(std::size_t(r.axis[i]));
      types.push_back(make_type(r.x[i].dtype(), s));
    }
    r.prim.shape({types.data(), types.size()}, r.params, out.data());
  }
  for (std::size_t k = 0; k < n; ++k) {
    if (r.size)
      r.y[k] = lax::stack(rows[k], 0);
    else {
      Dims s = out[k]->shape;
      s.insert(0, 0);
      r.y[k] = lax::full(make_type(out[k]->dtype, s), 0);
    }
    r.y_axis[k] = 0;
  }
}

}  // namespace jaxpp::internal
