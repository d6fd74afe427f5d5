// custom_text.h -- rules of custom derivatives as jaxprs: how text and JSON write a user's functions, and read them.
#pragma once
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/core/user_functions.h"

namespace jaxpp::internal {

/// How deep rules nest in text: a rule may call its own function, so second derivatives need two levels.
inline constexpr int kRuleDepth = 2;

struct RuleJaxprs {
  JaxprPtr jvp;  // (x..., dx of diff_inputs) -> (y..., dy of diff_outputs)
  JaxprPtr fwd;  // x... -> (y..., residuals...)
  JaxprPtr bwd;  // (residuals..., ct of diff_outputs) -> ct of diff_inputs
  Dims diff_inputs, diff_outputs;
  std::int64_t num_residuals = 0;
  std::string dropped;  // why there is no rule
};
/// Traces the functions of a rule called on operands of types x (closed-over constants not among them) with results of
/// types y.  All inexact operands and results are differentiated.  What cannot be traced is reported in `dropped`.
RuleJaxprs trace_rule(const CustomRule&, Types x, Types y);
/// custom_lin has only a backward function: (residuals, ct of y) -> ct of dx.
JaxprPtr trace_bwd(const CustomRule&, Types residuals, Types y, Types dx);
/// The rule that evaluates these jaxprs; call takes num_consts more inputs, first.  Throws Error if their numbers of
/// inputs and outputs do not fit.
CustomPtr rule_from_jaxprs(const std::string& name, const JaxprPtr& call, std::int64_t num_consts,
                           RuleJaxprs);
Dims inexact_positions(Types);

/// Rules that a reader is in the middle of.  A rule may call its own function; text stops at kRuleDepth, so that below
/// it the rule is that of the enclosing call of the same function, if there is one.
class OpenRules {
 public:
  struct Entry {
    JaxprPtr call;
    std::shared_ptr<CustomRule> rule;
  };
  std::vector<Entry> entries;
  /// Completes a rule that was dropped for its depth; other rules stay as they are.
  void complete(CustomRule& rule, const JaxprPtr& call, bool forward) const;
};

}  // namespace jaxpp::internal
