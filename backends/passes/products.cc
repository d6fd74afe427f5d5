// products.cc -- a loop that only sums up products of matrices leaves them to one product after the loop.
//
//   dW = scan(dW += x_t^T y_t)          dW = X^T Y,  X and Y the x_t and y_t one below the other
//
// So are the gradients of weights that every step of a recurrent network reads: many shallow products, each with a pass
// over dW, become one deep product that a library runs at full speed, on all cores.  The loop stacks what it did not:
// no more than it reads anyway.  The sum is one of cotangents (add_any), whose order is ours to choose.
#include <algorithm>
#include "backends/passes/passes.h"
#include "backends/passes/rewriter.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/ops/primitives.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::passes {
namespace {

constexpr std::int64_t kDeep = 128;  // products with that many terms are as fast as they get
constexpr std::int64_t kWide = 16;   // narrower ones are unrolled where they are

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
std::int64_t bytes(Type t) { return t->size * std::int64_t(width(t->dtype)); }

class Products {
 public:
  explicit Products(const ScanParams& p);
  /// A carry that is a sum of products over all steps, and these: the last of a step first.
  struct Sum {
    std::size_t carry;
    std::vector<const Equation*> products;
  };
  std::vector<Sum> sums;
  /// The loop without the sums: their carries stay as they are, what the products read is stacked.
  JaxprPtr rest;
  /// Among the results of that loop, the stack of a variable of the body; none for one of xs.
  std::optional<std::size_t> result(Var v) const {
    return stack_[v] ? std::optional(stack_[v] - 1) : std::nullopt;
  }

 private:
  std::optional<Sum> sum(std::size_t carry) const;
  bool worth(const Equation& product) const;

  const JaxprBody& body_;
  const std::size_t consts_, carry_;
  std::vector<const Equation*> maker_;
  std::vector<std::uint32_t> uses_;
  std::vector<std::size_t> stack_;  // of each variable: 1 + its result
};

Products::Products(const ScanParams& p)
    : body_(*p.jaxpr),
      consts_(sz(p.num_consts)),
      carry_(sz(p.num_carry)),
      maker_(body_.types.size()),
      uses_(body_.types.size()),
      stack_(body_.types.size()) {
  for (const Equation& e : body_.eqns) {
    for (Var v = e.out; v < e.out + e.n_out; ++v) maker_[v] = &e;
    for (auto& a : e.in)
      if (a.is_var()) ++uses_[a.var()];
  }
  for (std::size_t i = 0; i < body_.outs.size(); ++i) {
    const Atom& a = body_.outs[i];
    if (!a.is_var()) continue;
    ++uses_[a.var()];
    if (i >= carry_) stack_[a.var()] = i + 1;
  }
  std::int64_t room = 0;  // what the loop reads step by step
  for (std::size_t i = consts_ + carry_; i < body_.invars.size(); ++i)
    room += bytes(body_.types[body_.invars[i]]);
  std::vector<char> is_xs(body_.types.size());
  for (std::size_t i = consts_ + carry_; i < body_.invars.size(); ++i) is_xs[body_.invars[i]] = 1;
  auto body = std::make_shared<JaxprBody>(body_.copy());
  for (std::size_t i = 0; i < carry_; ++i) {
    auto s = sum(i);
    if (!s) continue;
    std::vector<Var> more;
    for (const Equation* e : s->products)
      for (auto& a : e->in)
        if (!is_xs[a.var()] && !stack_[a.var()] &&
            std::find(more.begin(), more.end(), a.var()) == more.end())
          more.push_back(a.var());
    std::int64_t needed = 0;
    for (Var v : more) needed += bytes(body_.types[v]);
    if (needed > room) continue;
    room -= needed;
    for (Var v : more) {
      body->outs.push_back(Atom::var(v));
      stack_[v] = body->outs.size();
    }
    body->outs[i] = Atom::var(body_.invars[consts_ + i]);
    sums.push_back(std::move(*s));
  }
  rest = std::move(body);
}

bool Products::worth(const Equation& e) const {
  const DotDims& d = e.params().as<DotParams>().dimension_numbers;
  if (!d.lhs_batch.empty()) return false;
  for (auto& a : e.in) {
    if (!a.is_var()) return false;
    const auto constants = body_.invars.begin() + std::ptrdiff_t(consts_ + carry_);
    if (std::find(body_.invars.begin(), constants, a.var()) != constants) return false;
  }
  const std::int64_t left = body_.type(e.in[0])->size, right = body_.type(e.in[1])->size,
                     out = body_.types[e.out]->size;
  std::int64_t depth = 1;
  for (auto i : d.lhs_contracting) depth *= body_.type(e.in[0])->shape[sz(i)];
  return depth > 0 && depth < kDeep && left / depth >= kWide && right / depth >= kWide &&
         left + right <= 2 * out;
}

// carry' = carry + product + ..., where nothing else reads the carry or a partial sum.
std::optional<Products::Sum> Products::sum(std::size_t carry) const {
  Sum s{carry, {}};
  const Var first = body_.invars[consts_ + carry];
  Atom at = body_.outs[carry];
  while (at.is_var() && at.var() != first) {
    const Equation* e = maker_[at.var()];
    if (!e || e->prim != &add_any_p || uses_[at.var()] != 1) return {};
    const Equation* product = nullptr;
    Atom next;
    for (std::size_t k : {0, 1}) {
      const Atom& x = e->in[k];
      const Equation* m = x.is_var() ? maker_[x.var()] : nullptr;
      if (product || !m || m->prim != &dot_general_p || uses_[x.var()] != 1 || !worth(*m)) continue;
      product = m;
      next = e->in[1 - k];
    }
    if (!product) return {};
    s.products.push_back(product);
    at = next;
  }
  if (!at.is_var() || uses_[first] != 1 || s.products.empty()) return {};
  return s;
}

// One more leading dimension, which is contracted.
Dims under(const Dims& d) {
  Dims r{0};
  for (auto i : d) r.push_back(i + 1);
  return r;
}

bool rewrite(Rewriter& r, const Equation& e, const ScanParams& old, std::span<const Atom> in) {
  if (old.length < 2) return false;
  const Products found(old);
  if (found.sums.empty()) return false;
  const JaxprBody& body = *old.jaxpr;
  const std::size_t given = sz(old.num_consts + old.num_carry), carry = sz(old.num_carry);
  ScanParams p = old;
  p.jaxpr = found.rest;
  std::vector<Type> types = p.jaxpr->out_types();
  for (std::size_t i = carry; i < types.size(); ++i) {
    Shape s = types[i]->shape;
    s.insert(0, p.length);
    types[i] = make_type(types[i]->dtype, s);
  }
  const Var v = r.emit(scan_p, std::make_shared<ScanParams>(std::move(p)),
                       SmallVec<Atom, 2>(in.begin(), in.end()), types, e.loc);
  for (std::uint32_t i = 0; i < e.n_out; ++i) r.set(e.out + i, Atom::var(v + i));
  const auto stack = [&](const Atom& a) {
    if (const auto k = found.result(a.var())) return Atom::var(v + Var(*k));
    const auto at =
        std::find(body.invars.begin() + std::ptrdiff_t(given), body.invars.end(), a.var());
    return in[std::size_t(at - body.invars.begin())];
  };
  for (const Products::Sum& s : found.sums) {
    Atom total = in[sz(old.num_consts) + s.carry];
    for (std::size_t k = s.products.size(); k-- > 0;) {
      const Equation& q = *s.products[k];
      const Type t = body.types[q.out];
      auto dot = std::make_shared<DotParams>(q.params().as<DotParams>());
      DotDims& d = dot->dimension_numbers;
      d.lhs_contracting = under(d.lhs_contracting);
      d.rhs_contracting = under(d.rhs_contracting);
      const Var product =
          r.emit(dot_general_p, std::move(dot), {stack(q.in[0]), stack(q.in[1])}, {&t, 1}, q.loc);
      total = Atom::var(r.emit(add_any_p, nullptr, {total, Atom::var(product)}, {&t, 1}, q.loc));
    }
    r.set(e.out + Var(s.carry), total);
  }
  return true;
}
}  // namespace

JaxprPtr products(const JaxprBody& j) {
  Rewriter r(j);
  std::vector<Atom> in;
  for (const Equation& e : j.eqns) {
    const auto params =
        nests(e) ? map_sub_jaxprs(
                       e, [](const JaxprPtr& s) { return on_nested("products", products, s); })
                 : e.params_data;
    in.clear();
    for (auto& a : e.in) in.push_back(r.get(a));
    if (e.prim != &scan_p || !rewrite(r, e, *static_cast<const ScanParams*>(params.get()), in))
      r.copy(e, params);
  }
  return dce(*r.finish());
}

}  // namespace jaxpp::passes
