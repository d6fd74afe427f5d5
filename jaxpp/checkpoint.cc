// checkpoint.cc -- the policies of checkpoint, as predicates on equations.
#include "jaxpp/checkpoint.h"

#include "jaxpp/core/user_functions.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp {

CheckpointPolicy operator|(CheckpointPolicy a, const CheckpointPolicy& b) {
  a.kinds |= b.kinds;
  a.names.insert(a.names.end(), b.names.begin(), b.names.end());
  return a;
}

Array checkpoint_name(const Array& x, const std::string& name, Loc loc) {
  return name_p.apply(NameParams{name}, loc, x);
}

namespace internal {
namespace {
bool keeps(const CheckpointPolicy& p, CheckpointSave kind) { return p.kinds & unsigned(kind); }
std::string describe(const CheckpointPolicy& p) {
  std::string s;
  auto add = [&](const std::string& part) { s += (s.empty() ? "" : "|") + part; };
  if (keeps(p, CheckpointSave::everything)) add("save_everything");
  if (keeps(p, CheckpointSave::dots)) add("save_dots");
  if (keeps(p, CheckpointSave::dots_without_batch)) add("save_dots_without_batch");
  for (auto& n : p.names) add("save_named(" + n + ")");
  return s;
}
bool saves(const CheckpointPolicy& policy, const Primitive& p, Params params) {
  if (keeps(policy, CheckpointSave::everything)) return true;
  if (&p == &name_p) {
    auto& n = params.as<NameParams>().name;
    return std::find(policy.names.begin(), policy.names.end(), n) != policy.names.end();
  }
  if (&p != &dot_general_p) return false;
  return keeps(policy, CheckpointSave::dots) ||
         (keeps(policy, CheckpointSave::dots_without_batch) &&
          params.as<DotParams>().dimension_numbers.lhs_batch.empty());
}
}  // namespace

std::shared_ptr<const SavePolicy> make_save_policy(const CheckpointPolicy& policy) {
  std::string name = describe(policy);
  if (name.empty()) return nullptr;
  return std::make_shared<const SavePolicy>(SavePolicy{
      name,
      [policy](const Primitive& p, Types, Params params) { return saves(policy, p, params); }});
}
}  // namespace internal
}  // namespace jaxpp
