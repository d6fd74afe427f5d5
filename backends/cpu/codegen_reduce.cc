// codegen_reduce.cc -- sums and other combinations in registers.
//
// A combining store whose place does not move in a loop goes to an accumulator while the loop runs: one vector, whose
// lanes are joined in a fixed order behind it.  Where the place moves with loops inside, lanes get an array of vectors.
// Where it moves only with a loop in lanes inside, of one step, the accumulator is the vector of its places.
#include <cstdlib>
#include <set>
#include <utility>
#include "backends/cpu/codegen_function.h"

namespace jaxpp::native {
namespace {

constexpr std::int64_t kMostArrayBytes = std::int64_t(512) << 10;
constexpr int kAlign = 64;
using ir::Kind;

using Symbols = std::unordered_set<Sym>;
bool mentions(const Affine& a, const Symbols& symbols) {
  for (const Affine::Term& t : a.terms)
    if (symbols.count(t.sym)) return true;
  return false;
}

}  // namespace

std::optional<std::pair<Affine, std::int64_t>> Generator::span(const std::vector<Affine>& moving,
                                                               const Symbols& inside) const {
  Affine fixed;
  loops::Interval all;
  for (const Affine& a : moving) {
    Affine around, within = a.c;
    for (const Affine::Term& t : a.terms)
      (inside.count(t.sym) ? within : around) += Affine::of(t.sym, t.k);
    const loops::Interval r = loops::interval(within, intervals_);
    if (&a == moving.data()) {
      fixed = around;
      all = r;
    }
    if (!(around == fixed)) return {};
    all = {std::min(all.lo, r.lo), std::max(all.hi, r.hi)};
  }
  return std::pair(fixed + Affine(all.lo), all.hi - all.lo + 1);
}

// Others run at the same time with another chunk, and so with other iterations.  What an array of vectors covers beside the
// places that are meant is written back as it was, which must not be over somebody else's sum.
bool Generator::apart(const Affine& first, std::int64_t size) const {
  if (!part_) return true;
  std::int64_t distance = 0;
  Affine rest;
  for (const Affine::Term& t : first.terms)
    if (t.sym != part_->var && t.sym != part_->marks.chunk)
      rest += Affine::of(t.sym, t.k);
    else if (std::exchange(distance, std::abs(t.k)))
      return false;
  const loops::Interval r = loops::interval(rest, intervals_);
  return r.hi - r.lo + size <= distance;
}

Element Generator::identity(Combine c, DType d) const { return constant(loops::identity(c, d)); }
Element Generator::combined(Combine c, const Element& a, const Element& b) {
  const Element x[] = {a, b};
  Element z{a.dtype, {}};
  // Sums of products may be fused; everything else is as it is.
  w_.contract = contract_;
  const bool known = emit(target_, *loops::combiner(c), {}, a.dtype, x, &z);
  w_.contract = false;
  if (!known) throw std::logic_error("no generated form of a combination");
  return z;
}
// Halves, quarters, ...: the same pairs for every run.
Element Generator::horizontal(Combine c, Element e) {
  while (e.v[0].lanes() > 1) {
    const int n = e.v[0].lanes(), half = (n + 1) / 2;
    std::vector<int> low, high;
    for (int i = 0; i < n / 2; ++i) {
      low.push_back(i);
      high.push_back(i + half);
    }
    Element a = e, b = e;
    for (int k = 0; k < 2; ++k)
      if (e.v[k]) {
        if (low.size() == 1 && n == 2) {
          a.v[k] = w_.extract(e.v[k], 0);
          b.v[k] = w_.extract(e.v[k], 1);
        } else {
          a.v[k] = w_.shuffle(e.v[k], e.v[k], low);
          b.v[k] = w_.shuffle(e.v[k], e.v[k], high);
        }
      }
    e = combined(c, a, b);
  }
  return e;
}

// l: a loop in lanes (lane_ is its variable), or any other, perhaps inside of one in lanes.
Generator::Opened Generator::open_accumulators(const loops::Loop& l) {
  Opened opened;
  const bool in_lanes = l.var == lane_;
  Symbols variables{l.var}, clips;          // defined inside
  std::map<Sym, const loops::Loop*> steps;  // loops in lanes inside, of one step
  // By buffer: how it is combined into, and whether anything else happens to it.
  struct Use {
    std::set<Combine> how;
    bool otherwise = false;
    bool moves = false;
    std::vector<Affine> places;  // all that there are, if it moves
    std::vector<std::pair<Affine, const loops::Loop*>> runs;
  };
  std::map<int, Use> uses;
  bool combines = false;
  loops::each_node(l.body, [&](const loops::Node& n) {
    if (auto* s = n.as<loops::Store>()) combines |= s->combine != Combine::set;
    if (auto* k = n.as<loops::Loop>()) {
      variables.insert({k->var, k->marks.chunk});
      if (lanes_ == 1 && k->marks.lanes > 1 && k->extent <= k->marks.lanes) steps[k->var] = k;
    }
    if (auto* c = n.as<loops::Clip>()) clips.insert(c->sym);
  });
  if (!combines) return opened;
  loops::each_node(l.body, [&](const loops::Node& n) {
    if (auto* s = n.as<loops::Store>()) {
      Use& u = uses[s->buffer];
      if (s->combine == Combine::set) {
        u.otherwise = true;
        return;
      }
      u.how.insert(s->combine);
      Affine at = s->at;
      const loops::Loop* step = nullptr;
      for (const Affine::Term& t : s->at.terms)
        if (auto k = steps.find(t.sym); k != steps.end() && t.k == 1) step = k->second;
      if (step) at = at.subst(step->var, 0);
      const bool moves = mentions(at, variables) || mentions(at, clips);
      u.moves |= moves;
      if (step && !moves)
        u.runs.push_back({s->at, step});
      else if (std::find(u.places.begin(), u.places.end(), s->at) == u.places.end())
        u.places.push_back(s->at);
      if (in_lanes && (s->at.coef(l.var) || mentions(s->at, clips))) u.otherwise = true;
    } else if (auto* o = n.as<loops::Load>()) {
      uses[o->buffer].otherwise = true;
    } else if (auto* c = n.as<loops::Call>()) {
      for (auto* operands : {&c->in, &c->out})
        for (auto& x : *operands) uses[x.buffer].otherwise = true;
    }
  });
  for (auto& [buffer, u] : uses) {
    if (u.otherwise || u.how.size() != 1 || arrays_.count(buffer)) continue;
    if (in_lanes && held(buffer) > 1) continue;
    const loops::Buffer& b = p_.buffers[std::size_t(buffer)];
    const Combine how = *u.how.begin();
    const Element nothing = identity(how, b.dtype);
    const int per = components(b.dtype);
    const Kind kind = memory_kind(b.dtype);
    if (!u.moves) {
      for (const Affine& at : u.places) {
        const Where where{buffer, at};
        const auto outer = accumulators_.find(where);
        if (outer != accumulators_.end() && outer->second.lanes == lanes_) continue;
        const Place to = place(buffer, at);
        if (to.lanes && held(buffer) == 1) continue;  // two lanes may mean one element
        Accumulator a{.slot = w_.stack({kind, lanes_}, per, kAlign),
                      .combine = how,
                      .dtype = b.dtype,
                      .lanes = lanes_,
                      .place = to};
        write(nothing, a.slot, lanes_, kAlign);
        opened.places.push_back(
            {where, outer != accumulators_.end() ? std::optional(outer->second) : std::nullopt});
        accumulators_[where] = a;
      }
      for (const auto& [at, step] : u.runs) {
        const Where where{buffer, at};
        if (per > 1 || held(buffer) > 1 || accumulators_.count(where)) continue;
        Accumulator a{.slot = w_.stack({kind, step->marks.lanes}, 1, kAlign),
                      .combine = how,
                      .dtype = b.dtype,
                      .lanes = step->marks.lanes,
                      .place = place(buffer, at.subst(step->var, 0)),
                      .run = step->extent};
        write(nothing, a.slot, a.lanes, kAlign);
        opened.places.push_back({where, std::nullopt});
        accumulators_[where] = a;
      }
    } else if (in_lanes) {
      variables.insert(clips.begin(), clips.end());
      loops::Buffer part{.role = b.role, .name = {}, .dtype = b.dtype, .size = b.size};
      const auto touched = span(u.places, variables);
      if (touched) part.size = touched->second;
      if (b.role != loops::Buffer::Role::local &&
          !apart(touched ? touched->first : Affine(), part.size))
        continue;
      if (part.size * lanes_ * std::int64_t(width(b.dtype)) > kMostArrayBytes) continue;
      Accumulator a{.slot = allocate(part, lanes_),
                    .combine = how,
                    .dtype = b.dtype,
                    .lanes = lanes_,
                    .place = {},
                    .first = touched ? touched->first : Affine(),
                    .size = part.size};
      repeat(ir::i64(0), ir::i64(a.size), 1, a.size > 1, [&](V i) {
        write(nothing, w_.address(a.slot, w_.mul(i, ir::i64(per)), {kind, lanes_}), lanes_, kAlign);
      });
      arrays_[buffer] = a;
      opened.arrays.push_back(buffer);
    }
  }
  return opened;
}

bool Generator::accumulate(const loops::Store& s, const Element& e) {
  const Accumulator* a = nullptr;
  V address;
  if (auto it = accumulators_.find({s.buffer, s.at}); it != accumulators_.end()) {
    a = &it->second;
    address = a->slot;
  } else if (auto k = arrays_.find(s.buffer); k != arrays_.end()) {
    a = &k->second;
    const int per = components(a->dtype);
    address = w_.address(a->slot, w_.mul(scalar_part(s.at + a->first * -1), ir::i64(per)),
                         {memory_kind(a->dtype), a->lanes});
  } else {
    return false;
  }
  Element x = widened(e, a->lanes);
  // An accumulator of a loop around the lanes is one element: the lanes are joined first.
  if (lanes_ > 1 && a->lanes == 1) {
    x = widened(e, lanes_);
    if (mask_) x = selected(mask_, x, widened(identity(s.combine, a->dtype), lanes_));
    x = horizontal(s.combine, x);
    write(combined(s.combine, read(a->dtype, address, 1, 8), x), address, 1, 8);
    return true;
  }
  const Element old = read(a->dtype, address, a->lanes, kAlign);
  Element sum = combined(s.combine, old, x);
  if (mask_) sum = selected(mask_, sum, old);
  write(sum, address, a->lanes, kAlign);
  return true;
}

// Elements side by side, behind the loop: as a loop in lanes would.
void Generator::store_run(int buffer, const Accumulator& a) {
  lanes_ = a.lanes;
  if (a.run < a.lanes)
    tail_ = mask_ = w_.compare("slt", w_.steps(Kind::i32, lanes_, 1),
                               w_.widen(ir::integer(Kind::i32, std::uint64_t(a.run)), lanes_));
  const Place to{.scalar = a.place.scalar, .stride = 1, .lanes = {}};
  const Element sum = read(a.dtype, a.slot, a.lanes, kAlign);
  store(buffer, to, combined(a.combine, load(buffer, to), sum), mask_);
  tail_ = mask_ = {};
  lanes_ = 1;
}
// In lanes, or behind a loop in lanes, where there is one element at a time again.
void Generator::close_accumulators(const Opened& opened) {
  for (int buffer : opened.arrays) {
    const Accumulator a = arrays_.at(buffer);
    arrays_.erase(buffer);
    const loops::Buffer& b = p_.buffers[std::size_t(buffer)];
    const int per = components(b.dtype);
    const Kind kind = memory_kind(b.dtype);
    const V first = scalar_part(a.first);
    repeat(ir::i64(0), ir::i64(a.size), 1, a.size > 1, [&](V i) {
      const V from = w_.address(a.slot, w_.mul(i, ir::i64(per)), {kind, a.lanes});
      const Element sum = horizontal(a.combine, read(b.dtype, from, a.lanes, kAlign));
      const Place at{.scalar = w_.add(first, i), .stride = 0, .lanes = {}};
      store(buffer, at, combined(a.combine, load(buffer, at), sum), {});
    });
  }
  for (const auto& [where, outer] : opened.places) {
    const Accumulator a = accumulators_.at(where);
    accumulators_.erase(where);
    if (a.run) {
      store_run(where.first, a);
      continue;
    }
    Element sum = read(a.dtype, a.slot, a.lanes, kAlign);
    const int buffer = where.first;
    const bool apart = held(buffer) > 1 || !a.place.uniform();  // each lane has a place of its own
    if (!apart) sum = horizontal(a.combine, sum);
    if (outer) {
      accumulators_[where] = *outer;
      write(combined(a.combine, read(a.dtype, outer->slot, outer->lanes, kAlign), sum), outer->slot,
            outer->lanes, kAlign);
    } else {
      store(buffer, a.place, combined(a.combine, load(buffer, a.place), sum), apart ? mask_ : V{});
    }
  }
}

}  // namespace jaxpp::native
