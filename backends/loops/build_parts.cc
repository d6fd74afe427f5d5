// build_parts.cc -- which dimensions are several loops, so that reshapes disappear.
//
// Where x: f32[6,4] becomes f32[24] and is added to y, a loop over 24 elements would have to divide.  If instead every
// f32[24] that meets x is walked by a loop over 6 and one over 4, nothing has to be stored on the way.  So dimensions which
// operations walk alike form classes, and a reshape cuts the classes on both its sides at the same places: f32[4,6] and
// f32[8,3] at 4 x 2 x 3.  A cut is a number of elements; those of a class divide each other.
//
// A class stays whole if some operation computes with an index of it (slice, gather, concatenate, the steps of a scan).
// This is about speed only: wherever an index cannot be written in the digits of a dimension, the builder has memory.
#include <algorithm>
#include <numeric>
#include "backends/loops/build.h"
#include "jaxpp/ops/primitives.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::loops::fusion {
namespace {

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

class Classes {
 public:
  explicit Classes(const JaxprBody& j) : j_(j), first_(j.types.size()) {
    std::size_t n = 0;
    for (std::size_t v = 0; v < j.types.size(); n += j.types[v++]->shape.size()) first_[v] = n;
    parent_.resize(n);
    std::iota(parent_.begin(), parent_.end(), 0);
    whole_.resize(n);
    cuts_.resize(n);
  }
  std::size_t of(Var v, std::size_t dim) {
    std::size_t i = first_[v] + dim;
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  std::int64_t size(const Atom& a, std::size_t dim) const { return j_.type(a)->shape[dim]; }
  /// These dimensions are walked alike.  (Of constants nothing is known, or needed.)
  void join(const Atom& a, std::size_t i, const Atom& b, std::size_t k) {
    if (!a.is_var() || !b.is_var() || size(a, i) != size(b, k)) return;
    const std::size_t x = of(a.var(), i), y = of(b.var(), k);
    if (x == y) return;
    whole_[y] |= whole_[x];
    parent_[x] = y;
  }
  void keep(const Atom& a, std::size_t i) {
    if (a.is_var()) whole_[of(a.var(), i)] = true;
  }
  void keep(const Atom& a) {
    for (std::size_t i = 0; i < j_.type(a)->shape.size(); ++i) keep(a, i);
  }
  bool whole(std::size_t c) const { return whole_[c]; }
  const std::vector<std::int64_t>& cuts(std::size_t c) const { return cuts_[c]; }
  /// False: it is cut there already, or at places that do not divide n, or are not divided by it.
  bool cut(std::size_t c, std::int64_t n) {
    auto& v = cuts_[c];
    const auto at = std::lower_bound(v.begin(), v.end(), n);
    if (at != v.end() && (*at == n || *at % n != 0)) return false;
    if (at != v.begin() && n % *std::prev(at) != 0) return false;
    v.insert(at, n);
    return true;
  }

 private:
  const JaxprBody& j_;
  std::vector<std::size_t> first_, parent_;
  std::vector<char> whole_;
  std::vector<std::vector<std::int64_t>> cuts_;
};

// Dimensions on both sides of a reshape that hold the same elements: from[i ..) and to[k ..), of n elements.
struct Block {
  std::vector<std::pair<Var, std::size_t>> from, to;
};

bool is_one_of(const Primitive& p, std::initializer_list<const Primitive*> list) {
  return std::find(list.begin(), list.end(), &p) != list.end();
}
const Dims* reduced_axes(const Equation& e) {
  if (is_one_of(*e.prim, {&argmax_p, &argmin_p})) return &e.params().as<ArgParams>().axes;
  if (is_one_of(*e.prim, {&reduce_sum_p, &reduce_prod_p, &reduce_max_p, &reduce_min_p,
                          &reduce_and_p, &reduce_or_p, &reduce_xor_p}))
    return &e.params().as<AxesParams>().axes;
  return nullptr;
}

class Chooser {
 public:
  Chooser(const JaxprBody& j, bool nested) : j_(j), c_(j) {
    if (nested) {
      for (Var v : j.invars) c_.keep(Atom::var(v));
      for (const Atom& a : j.outs) c_.keep(a);
    }
    for (const Equation& e : j.eqns) visit(e);
  }
  Parts run() {
    for (const Equation* e : tiles_)  // the number of the repetition, and the index in it
      for (std::size_t i = 0; i < j_.types[e->out]->shape.size(); ++i) {
        const std::int64_t n = c_.size(e->in[0], i), repeated = j_.types[e->out]->shape[i];
        const std::size_t c = c_.of(e->out, i);
        if (n > 1 && n < repeated && !c_.whole(c)) c_.cut(c, n);
      }
    for (bool changed = true; std::exchange(changed, false);)
      for (Block& b : blocks_) changed |= refine(b);
    Parts parts;
    for (Var v = 0; v < j_.types.size(); ++v) {
      const Shape& s = j_.types[v]->shape;
      std::vector<Dims> digits(s.size());
      bool any = false;
      for (std::size_t i = 0; i < s.size(); ++i) {
        const auto& cuts = c_.cuts(c_.of(v, i));
        std::int64_t n = s[i];
        for (std::size_t k = cuts.size(); k-- > 0; n = cuts[k]) digits[i].push_back(n / cuts[k]);
        if (cuts.empty()) continue;
        digits[i].push_back(n);
        any = true;
      }
      if (any) parts.emplace(v, std::move(digits));
    }
    return parts;
  }

 private:
  // Everything is an elementwise operation, unless it is one of these.
  void visit(const Equation& e) {
    const Primitive& p = *e.prim;
    if (e.n_out == 0 || e.in.empty()) return;
    const Atom &x = e.in[0], y = Atom::var(e.out);
    const std::size_t rank = j_.type(x)->shape.size(), to = j_.types[e.out]->shape.size();
    const auto others = [&](const Dims& gone) { return without(rank, gone); };
    // Dimension d of x, for those in `from`, is the next one of the result.
    const auto in_turn = [&](const Atom& result, const Dims& from) {
      std::size_t k = 0;
      for (auto d : from) c_.join(x, sz(d), result, k++);
    };
    const auto keep_all = [&] {
      for (const Atom& a : e.in) c_.keep(a);
      for (Var v = e.out; v < e.out + e.n_out; ++v) c_.keep(Atom::var(v));
    };
    if (&p == &reshape_p) {
      if (j_.types[e.out]->size > 0 && x.is_var()) reshape(e);
    } else if (&p == &broadcast_in_dim_p) {
      const Dims& d = e.params().as<BroadcastParams>().broadcast_dimensions;
      for (std::size_t i = 0; i < rank; ++i) c_.join(x, i, y, sz(d[i]));
    } else if (&p == &transpose_p) {
      in_turn(y, e.params().as<TransposeParams>().permutation);
    } else if (&p == &squeeze_p) {
      in_turn(y, others(e.params().as<DimensionsParams>().dimensions));
    } else if (&p == &expand_dims_p) {
      const Dims kept = without(to, e.params().as<DimensionsParams>().dimensions);
      for (std::size_t i = 0; i < rank; ++i) c_.join(x, i, y, sz(kept[i]));
    } else if (const Dims* axes = reduced_axes(e)) {
      in_turn(y, others(*axes));
    } else if (&p == &slice_p || &p == &dynamic_slice_p) {
      for (std::size_t i = 0; i < rank; ++i)
        if (c_.size(x, i) == c_.size(y, i))
          c_.join(x, i, y, i);
        else
          c_.keep(x, i);
    } else if (&p == &split_p || &p == &unstack_p) {
      const Dims axis{&p == &split_p ? e.params().as<SplitParams>().axis
                                     : e.params().as<UnstackParams>().axis};
      c_.keep(x, sz(axis[0]));
      for (Var v = e.out; v < e.out + e.n_out; ++v) {
        if (&p == &unstack_p) in_turn(Atom::var(v), others(axis));
        for (std::size_t i = 0; i < rank && &p == &split_p; ++i)
          if (i != sz(axis[0])) c_.join(x, i, Atom::var(v), i);
      }
    } else if (&p == &tile_p) {
      for (std::size_t i = 0; i < rank; ++i) c_.join(x, i, y, i);
      tiles_.push_back(&e);
    } else if (&p == &dot_general_p) {
      dot(e);
    } else if (&p == &gather_p) {
      gather(e);
    } else if (is_one_of(p, {&concatenate_p, &stack_p, &pad_p})) {
      c_.keep(y);
    } else if (is_one_of(p, {&dynamic_update_slice_p, &add_slice_p})) {
      c_.keep(x);
      c_.keep(y);
    } else if (is_one_of(p, {&scatter_p, &scatter_add_p, &scatter_sub_p, &scatter_mul_p,
                             &scatter_min_p, &scatter_max_p, &cumsum_p, &cumprod_p, &cummax_p,
                             &cummin_p, &cumlogsumexp_p, &reduce_p, &scan_p, &while_p, &cond_p})) {
      keep_all();
    } else if (is_one_of(p, {&optimization_barrier_p, &device_put_p})) {
      for (std::uint32_t i = 0; i < e.n_out; ++i)
        for (std::size_t k = 0; k < j_.type(e.in[i])->shape.size(); ++k)
          c_.join(e.in[i], k, Atom::var(e.out + i), k);
    } else if (Builder::is_elementwise(p)) {
      for (const Atom& a : e.in)
        for (Var v = e.out; v < e.out + e.n_out; ++v)
          for (std::size_t i = 0; i < to && j_.type(a)->shape.size() == to; ++i)
            c_.join(a, i, Atom::var(v), i);
    }
  }
  void dot(const Equation& e) {
    const DotDims& d = e.params().as<DotParams>().dimension_numbers;
    const Atom &l = e.in[0], &r = e.in[1], y = Atom::var(e.out);
    for (std::size_t i = 0; i < d.lhs_contracting.size(); ++i)
      c_.join(l, sz(d.lhs_contracting[i]), r, sz(d.rhs_contracting[i]));
    std::size_t k = 0;
    for (; k < d.lhs_batch.size(); ++k) {
      c_.join(l, sz(d.lhs_batch[k]), r, sz(d.rhs_batch[k]));
      c_.join(l, sz(d.lhs_batch[k]), y, k);
    }
    for (auto i : without(j_.type(l)->shape.size(), d.lhs_contracting, d.lhs_batch))
      c_.join(l, sz(i), y, k++);
    for (auto i : without(j_.type(r)->shape.size(), d.rhs_contracting, d.rhs_batch))
      c_.join(r, sz(i), y, k++);
  }
  void gather(const Equation& e) {
    const auto& p = e.params().as<GatherParams>();
    const GatherDims& d = p.dimension_numbers;
    const Atom &x = e.in[0], &indices = e.in[1], y = Atom::var(e.out);
    std::size_t window = 0, batch = 0;
    for (std::size_t i = 0; i < j_.type(x)->shape.size(); ++i) {
      if (position(d.collapsed_slice_dims, std::int64_t(i)) >= 0 ||
          position(d.operand_batching_dims, std::int64_t(i)) >= 0) {
        c_.keep(x, i);
      } else {
        const std::size_t to = sz(d.offset_dims[window++]);
        if (p.slice_sizes[i] == c_.size(x, i))
          c_.join(x, i, y, to);
        else
          c_.keep(x, i);
      }
    }
    for (std::size_t i = 0; i < j_.types[e.out]->shape.size(); ++i)
      if (position(d.offset_dims, std::int64_t(i)) < 0) c_.join(indices, batch++, y, i);
  }
  // Blocks of dimensions; one dimension on either side is the same dimension.
  void reshape(const Equation& e) {
    const auto& p = e.params().as<ReshapeParams>();
    const Shape &from = j_.type(e.in[0])->shape, &to = j_.types[e.out]->shape;
    const Dims order = p.dimensions ? *p.dimensions : iota_dims(from.size());
    std::size_t i = 0, k = 0;
    const auto skip = [&] {
      while (i < from.size() && from[sz(order[i])] == 1) ++i;
      while (k < to.size() && to[k] == 1) ++k;
    };
    for (skip(); i < from.size() && k < to.size(); skip()) {
      Block b;
      std::int64_t m = 1, n = 1;
      do {
        if (m <= n) {
          m *= from[sz(order[i])];
          b.from.push_back({e.in[0].var(), sz(order[i++])});
        } else {
          n *= to[k];
          b.to.push_back({e.out, k++});
        }
      } while (m != n || b.to.empty());
      if (b.from.size() == 1 && b.to.size() == 1)
        c_.join(e.in[0], b.from[0].second, Atom::var(e.out), b.to[0].second);
      else
        blocks_.push_back(std::move(b));
    }
  }
  // Cuts both sides alike.  False: nothing changed, or it cannot be done.
  bool refine(Block& b) {
    std::vector<std::int64_t> all;
    const auto walk = [&](const auto& dims, auto f) {
      std::int64_t base = 1;
      for (std::size_t i = dims.size(); i-- > 0;) {
        const std::int64_t n = j_.types[dims[i].first]->shape[dims[i].second];
        f(c_.of(dims[i].first, dims[i].second), base, n);
        base *= n;
      }
      return base;
    };
    const auto collect = [&](std::size_t c, std::int64_t base, std::int64_t) {
      all.push_back(base);
      for (auto cut : c_.cuts(c)) all.push_back(base * cut);
    };
    all.push_back(walk(b.from, collect));
    walk(b.to, collect);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    bool possible = true, changed = false;
    for (std::size_t i = 1; i < all.size(); ++i) possible &= all[i] % all[i - 1] == 0;
    const auto inside = [&](std::int64_t base, std::int64_t n, auto f) {
      for (auto w : all)
        if (w > base && w < base * n) f(w / base);
    };
    for (const auto* side : {&b.from, &b.to})
      walk(*side, [&](std::size_t c, std::int64_t base, std::int64_t n) {
        inside(base, n, [&](std::int64_t) { possible &= !c_.whole(c); });
      });
    if (!possible) return false;
    for (const auto* side : {&b.from, &b.to})
      walk(*side, [&](std::size_t c, std::int64_t base, std::int64_t n) {
        inside(base, n, [&](std::int64_t cut) { changed |= c_.cut(c, cut); });
      });
    return changed;
  }

  const JaxprBody& j_;
  Classes c_;
  std::vector<Block> blocks_;
  std::vector<const Equation*> tiles_;
};

}  // namespace

Parts choose_parts(const JaxprBody& j, bool nested) {
  const bool reshapes = std::any_of(j.eqns.begin(), j.eqns.end(), [](const Equation& e) {
    return e.prim == &reshape_p || e.prim == &tile_p;
  });
  return reshapes ? Chooser(j, nested).run() : Parts();
}

}  // namespace jaxpp::loops::fusion
