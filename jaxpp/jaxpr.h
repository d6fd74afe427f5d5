// jaxpr.h -- Jaxpr: a traced program with the arrays it closed over.  Text, JSON and Graphviz, both ways where it makes
// sense; a Jaxpr can be called under any transform through eval_jaxpr.
#pragma once
#include "jaxpp/core/primitive.h"

namespace jaxpp {

struct PrintOptions {
  bool jax = false;  ///< JAX's own text: no rule jaxprs, no constants, shortened literals
  bool canonical =
      false;  ///< equations in the order of need, whatever order the compiler evaluated operands in
  std::int64_t max_elements =
      -1;  ///< array constants beyond that are printed as [...] and do not parse; -1: none are
};

class Jaxpr {
 public:
  Jaxpr() = default;
  Jaxpr(JaxprPtr body, std::vector<Array> consts)
      : body_(std::move(body)), consts_(std::move(consts)) {}
  /// JAX's text form.  parse(to_string()) gives the same program back.
  std::string to_string(const PrintOptions& = {}) const;
  static Jaxpr parse(const std::string& text);  ///< throws ParseError with line and column
  std::string json() const;                     ///< the JSON form of the conformance corpus
  static Jaxpr from_json(const std::string& text);
  std::string dot() const;                       ///< a Graphviz drawing
  std::vector<internal::Type> in_types() const;  // constants not included
  std::vector<internal::Type> out_types() const;
  std::size_t size() const;  ///< number of equations, nested ones included
  /// Re-types every equation; throws Error naming the first that is wrong.
  void check() const;
  const JaxprPtr& body() const { return body_; }  // constants are its leading inputs
  const std::vector<Array>& consts() const { return consts_; }

 private:
  JaxprPtr body_;
  std::vector<Array> consts_;
};
std::ostream& operator<<(std::ostream&, const Jaxpr&);
/// Runs a program: under a transform this is traced like any other code.
std::vector<Array> eval_jaxpr(const Jaxpr&, internal::Args args);

}  // namespace jaxpp
