// rule_samples.h -- one or more samples for every primitive: what rules_test.cc runs all its checks on.
#pragma once
#include "checks.h"

namespace jaxpp::testing {

struct Sample {
  std::string name;
  std::vector<const Primitive*> covers;
  Fn f;
  std::function<Arrays(Random&)> make;  // arguments; called for each of three lanes
  Options options;
};
/// elementwise.def, in every element type of its domain and every shape of broadcasting.
std::vector<Sample> elementwise_samples();
/// Everything else, by hand.
std::vector<Sample> structural_samples();
std::vector<Sample>
analysis_samples();                  // convolutions, windows, Fourier transforms, decompositions
std::vector<Sample> call_samples();  // control flow, custom rules, callbacks, collectives

/// A primitive applied to its operands.
template <class... P>
Fn apply(const Primitive& p, const P&... params) {
  static_assert(sizeof...(P) <= 1);
  return [&p, params...](Args x, Results& y) {
    Params view{params...};
    y.resize(p.outputs(view));
    p.bind(x, view, y.data(), Loc::current());
  };
}

}  // namespace jaxpp::testing
