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
  Fn same = {};  // another way to the same values, where there is one worth a comparison
};
/// elementwise.def, in every element type of its domain and every shape of broadcasting.
std::vector<Sample> elementwise_samples();
/// Everything else, by hand.
std::vector<Sample> structural_samples();
std::vector<Sample>
analysis_samples();                  // convolutions, windows, Fourier transforms, decompositions
std::vector<Sample> call_samples();  // control flow, custom rules, callbacks, collectives
inline std::vector<Sample> all_samples() {
  std::vector<Sample> all = elementwise_samples();
  for (auto* more : {&structural_samples, &analysis_samples, &call_samples})
    for (auto& s : more()) all.push_back(std::move(s));
  return all;
}

/// A test's own primitive.
inline bool of_a_test(const Primitive& p) { return std::string_view(p.name).starts_with("test_"); }
/// The arguments of three lanes.
std::vector<Arrays> lanes_of(const Sample&);
/// f gives what `same` gives.
std::string check_same(const Sample&, const Arrays& x);

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
