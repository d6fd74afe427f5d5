// cse.cc -- common subexpressions: of equations with the same primitive, parameters and operands only the first is kept.
// Equations with effects are not merged.  A nested body is a world of its own, so what checkpoint recomputes inside its
// body is never replaced by the value computed outside.
#include "backends/passes/local.h"
#include "backends/passes/passes.h"

namespace jaxpp::passes {
namespace {
std::size_t mixed(std::size_t h, std::size_t v) {  // every bit of v changes every bit of the result
  h = (h ^ v) * 0xff51afd7ed558ccdu;
  h = (h ^ (h >> 32)) * 0xc4ceb9fe1a85ec53u;
  return h ^ (h >> 29);
}
// x + y = y + x for every value, complex ones too.
bool commutes(const Primitive* p) {
  static constexpr const Primitive* kCommutative[] = {
      &add_p, &mul_p, &add_any_p,     &max_p,        &min_p,
      &eq_p,  &ne_p,  &bitwise_and_p, &bitwise_or_p, &bitwise_xor_p};
  return std::find(std::begin(kCommutative), std::end(kCommutative), p) != std::end(kCommutative);
}
}  // namespace

// Large constants are compared by identity, rank-0 ones by value.
std::size_t hash_value(const Atom& a) {
  if (a.is_var()) return mixed(1, a.var());
  if (a.is_zero()) return 0;
  const Node* n = a.node();
  const std::size_t h = std::hash<const void*>()(n->type);
  if (!n->type->shape.empty() || n->trace != 0) return mixed(h, std::hash<const void*>()(n));
  std::uint64_t bits[2] = {};
  std::memcpy(bits, a.value().data<char>(), width(n->type->dtype));
  return mixed(mixed(h, bits[0]), bits[1]);
}

bool same_value(const Atom& a, const Atom& b) {
  if (a.is_var() || b.is_var()) return a.is_var() && b.is_var() && a.var() == b.var();
  if (a.is_zero() || b.is_zero() || a.node() == b.node()) return a.node() == b.node();
  const Node *m = a.node(), *n = b.node();
  return m->type == n->type && m->type->shape.empty() && m->trace == 0 && n->trace == 0 &&
         !std::memcmp(a.value().data<char>(), b.value().data<char>(), width(m->type->dtype));
}

Merger::Merger(const std::vector<Equation>& eqns, std::size_t expected)
    : seen_(expected, Hash{&eqns}, Equal{&eqns}) {}
// Parameters are compared only among equations with equal operands, so that they need no hash.  The dtype of the result
// tells conversions apart.
std::size_t Merger::Hash::operator()(std::uint32_t i) const {
  const Equation& e = (*eqns)[i];
  std::size_t h = std::hash<const void*>()(e.prim);
  if (commutes(e.prim)) return mixed(h, hash_value(e.in[0]) + hash_value(e.in[1]));
  for (auto& a : e.in) h = mixed(h, hash_value(a));
  return h;
}
bool Merger::Equal::operator()(std::uint32_t i, std::uint32_t k) const {
  const Equation &a = (*eqns)[i], &b = (*eqns)[k];
  if (a.prim != b.prim || a.n_out != b.n_out || a.in.size() != b.in.size()) return false;
  const bool same = std::equal(a.in.begin(), a.in.end(), b.in.begin(), same_value);
  if (!same && !(commutes(a.prim) && same_value(a.in[0], b.in[1]) && same_value(a.in[1], b.in[0])))
    return false;
  return a.params() == b.params();
}

JaxprPtr cse(const JaxprBody& j) { return Local(j, kMerge).run(); }

}  // namespace jaxpp::passes
