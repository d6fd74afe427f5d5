// rule_samples_elementwise.cc -- samples made from the rows of elementwise.def.
#include <map>
#include "jaxpp/ops/elementwise.h"
#include "jaxpp/ops/primitives.h"
#include "rule_samples.h"

namespace jaxpp::testing {
namespace {

using internal::Domain;

// Where an operation is smooth, and its values moderate.  Default: 0.25 to 0.85, both signs, which keeps away from the
// kinks at 0 and at the integers.
struct Range {
  double low = 0.25, high = 0.85;
  bool signs = true;
};
const std::map<std::string, std::vector<Range>> kRanges = {
    {"sqrt", {{0.4, 2, false}}},
    {"rsqrt", {{0.5, 2, false}}},
    {"cbrt", {{0.5, 2, true}}},
    {"log", {{0.5, 2, false}}},
    {"log1p", {{-0.5, 1, false}}},
    {"acosh", {{1.5, 3, false}}},
    {"asin", {{0.1, 0.7, true}}},
    {"acos", {{0.1, 0.7, true}}},
    {"atanh", {{0.1, 0.7, true}}},
    {"erf_inv", {{0.1, 0.7, true}}},
    {"lgamma", {{0.8, 3, false}}},
    {"digamma", {{0.8, 3, false}}},
    {"pow", {{0.5, 2, false}, {0.3, 1.5, true}}},
    {"rem", {{3.3, 3.5, true}, {1.2, 1.6, true}}},
    {"div", {{0.3, 1, true}, {0.6, 1.5, true}}},
    {"zeta", {{1.5, 3, false}, {0.8, 2, false}}},
    {"igamma", {{0.8, 3, false}, {0.5, 3, false}}},
    {"igammac", {{0.8, 3, false}, {0.5, 3, false}}},
    {"igamma_grad_a", {{0.8, 3, false}, {0.5, 3, false}}},
    {"random_gamma_grad", {{0.8, 3, false}, {0.5, 3, false}}},
    {"bessel_i0e", {{0.5, 3, true}}},
    {"bessel_i1e", {{0.5, 3, true}}},
    {"polygamma", {{1, 1, false}, {0.8, 2, false}}},
};
// No derivative at all; no derivative in the first operand; one that differences do not see.
bool no_derivative(const std::string& name) {
  return name == "zeta" || name == "nextafter" || name == "igamma_grad_a" ||
         name == "random_gamma_grad";
}
// The derivative has none of its own.
bool once_differentiable(const std::string& name) { return name == "igamma" || name == "igammac"; }
bool constant_in_x(const std::string& name) { return name == "polygamma"; }
bool defined_otherwise(const std::string& name, DType d) {
  return name == "sign" && is_complex(d);  // JAX: zero, also for complex x / |x|
}

Arrays operands(const std::string& name, DType d, const std::vector<Shape>& shapes,
                Random& random) {
  auto ranges = kRanges.count(name) ? kRanges.at(name) : std::vector<Range>{Range{}};
  Arrays x;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    Range r = ranges[std::min(i, ranges.size() - 1)];
    if (is_integer(d)) r = {0, 7, is_signed(d) && name.find("shift") == std::string::npos};
    x.push_back(random.array(d, shapes[i], r.low, r.high, r.signs));
  }
  return x;
}
void add(std::vector<Sample>& out, const Primitive& p, Domain domain, bool binary) {
  std::vector<std::vector<Shape>> shapes;
  if (binary)
    shapes = {{{2, 3}, {2, 3}}, {{}, {2, 3}}, {{2, 3}, {}}, {{1, 3}, {2, 1}}, {{}, {}}};
  else
    shapes = {{{2, 3}}, {{}}, {{0, 2}}};
  const std::string name = p.name;
  for (DType d : {DType::f64, DType::c128, DType::i32, DType::u8, DType::b1})
    if (in_domain(domain, d))
      for (auto& s : shapes) {
        Sample sample{name + " " + jaxpp::name(d), {&p}, apply(p), {}, {}};
        for (auto& shape : s) sample.name += " " + to_string(shape);
        sample.make = [=](Random& random) { return operands(name, d, s, random); };
        sample.options.derivatives = !no_derivative(name);
        sample.options.differences = !defined_otherwise(name, d);
        if (constant_in_x(name)) sample.options.constant = {0};
        if (&s != &shapes[0] || once_differentiable(name))
          sample.options.order = 1;  // the rest depends on shapes only
        out.push_back(std::move(sample));
      }
}

}  // namespace

std::vector<Sample> elementwise_samples() {
  std::vector<Sample> s;
#define UNARY(id, name, doc, linear, domain, ...) add(s, id##_p, Domain::domain, false);
#define BINARY(id, name, doc, linear, domain, ...) add(s, id##_p, Domain::domain, true);
#define COMPARE(id, name, doc, domain, ...) add(s, id##_p, Domain::domain, true);
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
  return s;
}

}  // namespace jaxpp::testing
