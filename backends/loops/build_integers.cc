// build_integers.cc -- arithmetic of indices.
//
// An integer that is affine in the symbols of an index (iota + 3, 2 * iota, the position counted from the end) stays an
// index: it is no statement, and where it selects an element the subscript is affine, not data.  Only where the number is
// in the range of its type whatever the index: there the arithmetic of machine integers is that of integers.
#include <algorithm>
#include "backends/loops/build.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::loops::fusion {

// The least and the greatest number that a can be; none if that is not known.
std::optional<Builder::Range> Builder::range(const Affine& a) const {
  Range r{a.c, a.c};
  bool overflow = false;
  for (const Affine::Term& t : a.terms) {
    const auto sym = std::size_t(t.sym);
    if (sym >= extents_.size() || extents_[sym] < 1) return {};
    std::int64_t most;
    overflow |= __builtin_mul_overflow(t.k, extents_[sym] - 1, &most);
    std::int64_t& end = t.k < 0 ? r.lo : r.hi;
    overflow |= __builtin_add_overflow(end, most, &end);
  }
  return overflow ? std::nullopt : std::optional(r);
}
// The integer e as a function of indices.
std::optional<Affine> Builder::number(const E& e) const {
  if (!is_integer(e->dtype)) return {};
  if (is_constant(e)) {
    const Affine a(integer(e));
    return same(nearest(e->dtype, a.c), e) ? std::optional(a) : std::nullopt;
  }
  if (e->kind != Expr::Kind::index || !fits(e->number, e->dtype)) return {};
  return e->number;
}
bool Builder::fits(const Affine& a, DType d) const {
  const auto r = range(a);
  return r && integer(nearest(d, r->lo)) == r->lo && integer(nearest(d, r->hi)) == r->hi;
}

namespace {
// One of two numbers is known: the product is affine.
std::optional<Affine> product(const Affine& a, const Affine& b) {
  const bool first = a.constant();
  const Affine& x = first ? b : a;
  const std::int64_t k = first ? a.c : b.c;
  if (!first && !b.constant()) return {};
  constexpr std::int64_t most = std::int64_t(1) << 31;
  if (std::abs(k) > most || std::abs(x.c) > most) return {};
  for (const Affine::Term& t : x.terms)
    if (std::abs(t.k) > most) return {};
  return k ? x * k : Affine();
}
}  // namespace

// The operation on integers that are indices, and what it decides: null if it has to be computed.
E Builder::of_indices(const Primitive& p, DType d, const std::vector<E>& args) const {
  if (&p == &select_n_p && is_constant(args[0]) && is_bool(args[0]->dtype))
    return args[args[0]->value.bits[0] != std::byte{} ? 2 : 1];
  if (args.empty() || args.size() > 2) return nullptr;
  const auto x = number(args[0]), y = args.size() == 2 ? number(args[1]) : Affine();
  if (!x || !y) return nullptr;
  if (is_integer(d)) {
    std::optional<Affine> a;
    if (&p == &convert_element_type_p) a = x;
    if (&p == &neg_p) a = product(*x, -1);
    if (&p == &add_p) a = *x + *y;
    if (&p == &sub_p) a = *x + *y * -1;
    if (&p == &mul_p) a = product(*x, *y);
    if (!a || !fits(*a, d)) return nullptr;
    return a->constant() ? nearest(d, a->c) : make_index(d, std::move(*a));
  }
  if (!is_bool(d) || args.size() != 2) return nullptr;
  const auto r = range(*x + *y * -1);
  if (!r) return nullptr;
  const auto decided = [&](bool yes, bool no) { return yes || no ? constant(b1, yes) : nullptr; };
  if (&p == &lt_p) return decided(r->hi < 0, r->lo >= 0);
  if (&p == &le_p) return decided(r->hi <= 0, r->lo > 0);
  if (&p == &gt_p) return decided(r->lo > 0, r->hi <= 0);
  if (&p == &ge_p) return decided(r->lo >= 0, r->hi < 0);
  return nullptr;
}

// at + the number e, which is forced into [lo, hi].
Subscript Builder::offset(Affine at, const E& e, std::int64_t lo, std::int64_t hi) const {
  if (lo == hi) return at += lo;
  if (is_constant(e)) return at += std::clamp(integer(e), lo, hi);
  if (inside(e, lo, hi)) return at += e->number;
  return {std::move(at), e, lo, hi};
}
bool Builder::inside(const E& e, std::int64_t lo, std::int64_t hi) const {
  const auto a = number(e);
  const auto r = a ? range(*a) : std::nullopt;
  return r && lo <= r->lo && r->hi <= hi;
}

}  // namespace jaxpp::loops::fusion
