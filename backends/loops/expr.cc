// expr.cc -- expressions: makers, substitution of indices.
//
// An expression is immutable and shared.  Every computing equation is a statement of its own, so expressions are a few
// operations deep, however long a program is: recursion over them is safe.
#include "backends/loops/fusion.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::loops::fusion {

E make_constant(const Element& v) {
  auto e = std::make_shared<Expr>();
  e->dtype = v.dtype;
  e->value = v;
  return e;
}
E make_index(DType d, Affine number) {
  auto e = std::make_shared<Expr>();
  e->kind = Expr::Kind::index;
  e->dtype = d;
  e->number = std::move(number);
  return e;
}
E make_read(int value, DType d, Subscripts at) {
  auto e = std::make_shared<Expr>();
  e->kind = Expr::Kind::read;
  e->dtype = d;
  e->read = value;
  e->at = std::move(at);
  return e;
}
E make_apply(const Primitive& op, std::shared_ptr<const void> params, DType d, std::vector<E> args,
             int result, int results) {
  auto e = std::make_shared<Expr>();
  e->kind = Expr::Kind::apply;
  e->dtype = d;
  e->op = &op;
  e->params = std::move(params);
  e->args = std::move(args);
  e->result = std::uint8_t(result);
  e->results = std::uint8_t(results);
  return e;
}

// ---- Substitution
namespace {

// Substitution of symbols that may fail.  Parts that do not change stay shared.
struct Substitution {
  const std::map<Sym, Subscript>& by;
  bool failed = false;

  bool touches(const Affine& a) const {
    for (auto& t : a.terms)
      if (by.count(t.sym)) return true;
    return false;
  }
  // a, plus the computed part of a subscript (at most one can be added).
  Subscript sum(const Affine& a) {
    Subscript r(Affine(a.c));
    for (auto& t : a.terms) {
      auto it = by.find(t.sym);
      if (it == by.end()) {
        r.at += Affine::of(t.sym, t.k);
        continue;
      }
      const Subscript& s = it->second;
      r.at += s.at * t.k;
      if (!s.dynamic) continue;
      if (t.k != 1 || r.dynamic) failed = true;
      r.dynamic = s.dynamic;
      r.lo = s.lo;
      r.hi = s.hi;
    }
    return r;
  }
  Subscript operator()(const Subscript& s) {
    Subscript r = touches(s.at) ? sum(s.at) : Subscript(s.at);
    if (!s.dynamic) return r;
    if (r.dynamic) failed = true;
    r.dynamic = (*this)(s.dynamic);
    r.lo = s.lo;
    r.hi = s.hi;
    return r;
  }
  E operator()(const E& e) {
    switch (e->kind) {
      case Expr::Kind::constant: return e;
      case Expr::Kind::index: {
        if (!touches(e->number)) return e;
        Subscript n = sum(e->number);
        if (n.dynamic) failed = true;
        return make_index(e->dtype, std::move(n.at));
      }
      case Expr::Kind::read: {
        bool same = true;
        for (auto& s : e->at) same &= !s.dynamic && !touches(s.at);
        if (same) return e;
        Subscripts at;
        at.reserve(e->at.size());
        for (auto& s : e->at) at.push_back((*this)(s));
        return make_read(e->read, e->dtype, std::move(at));
      }
      case Expr::Kind::apply: break;
    }
    std::vector<E> args;
    args.reserve(e->args.size());
    bool same = true;
    for (auto& a : e->args) {
      args.push_back((*this)(a));
      same &= args.back() == a;
    }
    return same ? e
                : make_apply(*e->op, e->params, e->dtype, std::move(args), e->result, e->results);
  }
};

}  // namespace

E subst(const E& e, const std::map<Sym, Subscript>& m) {
  Substitution s{m};
  E r = s(e);
  return s.failed ? nullptr : r;
}
E subst(const E& e, const std::map<Sym, Affine>& m) {
  std::map<Sym, Subscript> by;
  for (auto& [s, a] : m) by.emplace(s, a);
  return Substitution{by}(e);
}

namespace {
void subst(Item& it, Substitution& replace, Sym s, const Affine& by) {
  for (E* e : {&it.rhs, &it.guard, &it.pred})
    if (*e) *e = replace(*e);
  for (Subscript& a : it.at) a = replace(a);
  for (auto* operands : {&it.in, &it.out})
    for (auto& o : *operands)
      for (Affine& a : o.at) a = a.subst(s, by);
  for (Region* r : it.regions())
    for (auto& i : r->items) subst(*i, replace, s, by);
}
}  // namespace
void subst(Item& it, Sym s, const Affine& by) {
  const std::map<Sym, Subscript> m{{s, by}};
  Substitution replace{m};
  subst(it, replace, s, by);
}

}  // namespace jaxpp::loops::fusion
