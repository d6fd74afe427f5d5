// codegen_segments.cc -- long programs, cut into functions; what crosses from one function to the next.
#include "backends/cpu/codegen_function.h"
#include "backends/host/frame.h"
#include "backends/loops/fusion.h"

namespace jaxpp::native {
namespace {

constexpr std::size_t kSegment = 600;  // of a function, where there is more than twice as much

// How much code a node becomes.  Nests count by instructions of the machine, roughly, and twice: cutting between them costs
// nothing.  What is straight counts by nodes, since what crosses a cut there goes through memory.
std::size_t code_of(const loops::Node& n, int registers) {
  if (auto* let = n.as<loops::Let>())
    return std::size_t(loops::fusion::weight(*let->op) * registers);
  auto* const l = n.as<loops::Loop>();
  if (!l) return std::size_t(registers);
  std::size_t body = 0;
  for (const loops::Node& inner : l->body)
    body += code_of(inner, std::max(registers, l->marks.lanes / 16));
  return 8 + body * (l->marks.unroll ? std::size_t(l->extent) : 1);
}
std::size_t size_of(const loops::Node& n) {
  if (n.as<loops::Loop>()) return 2 * code_of(n, 1);
  std::size_t k = 0;
  loops::each_node(n, [&](const loops::Node&) { ++k; });
  return k;
}

// use(symbol, whether it is an index) for every symbol that a node itself mentions, not those of its blocks.
template <class F>
void each_use(const loops::Node& n, F use) {
  const auto affine = [&](const Affine& a) {
    for (const Affine::Term& t : a.terms) use(t.sym, true);
  };
  if (auto* l = n.as<loops::Let>()) {
    for (Sym s : l->args) use(s, false);
  } else if (auto* i = n.as<loops::Index>()) {
    affine(i->at);
  } else if (auto* c = n.as<loops::Clip>()) {
    use(c->arg, false);
  } else if (auto* o = n.as<loops::Load>()) {
    affine(o->at);
  } else if (auto* s = n.as<loops::Store>()) {
    affine(s->at);
    use(s->value, false);
  } else if (auto* w = n.as<loops::While>()) {
    use(w->pred, false);
  } else if (auto* f = n.as<loops::If>()) {
    use(f->pred, false);
  } else if (auto* k = n.as<loops::Call>()) {
    for (auto* operands : {&k->in, &k->out})
      for (auto& operand : *operands) affine(operand.at);
  }
}

}  // namespace

std::vector<std::size_t> Generator::segments() const {
  std::vector<std::size_t> cuts{0};
  std::size_t total = 0, current = 0;
  for (const loops::Node& n : p_.body) total += size_of(n);
  if (total > 2 * kSegment)
    for (std::size_t i = 0; i < p_.body.size(); ++i) {
      const std::size_t k = size_of(p_.body[i]);
      if (current && current + k > kSegment) {
        cuts.push_back(i);
        current = 0;
      }
      current += k;
    }
  cuts.push_back(p_.body.size());
  return cuts;
}

// What a node itself defines for the nodes behind it: define(symbol, how it would cross).
template <class F>
void Generator::each_definition(const loops::Node& n, F define) const {
  if (auto* let = n.as<loops::Let>()) {
    for (int r = 0; r < let->results; ++r) define(let->sym + r, Crossing{.dtype = let->dtype});
  } else if (auto* c = n.as<loops::Const>()) {
    define(c->sym, Crossing{.dtype = c->value.dtype, .number = c});
  } else if (auto* x = n.as<loops::Index>()) {
    define(x->sym, Crossing{.dtype = x->dtype});
  } else if (auto* clip = n.as<loops::Clip>()) {
    define(clip->sym, Crossing{.is_index = true});
  } else if (auto* o = n.as<loops::Load>()) {
    define(o->sym, Crossing{.dtype = p_.buffers[std::size_t(o->buffer)].dtype});
  }
}

void Generator::find_crossings(const std::vector<std::size_t>& cuts) {
  struct Definition {
    std::size_t segment;
    Crossing crossing;
  };
  std::unordered_map<Sym, Definition> definitions;  // at the top of the program
  for (std::size_t k = 0; k + 1 < cuts.size(); ++k)
    for (std::size_t i = cuts[k]; i < cuts[k + 1]; ++i) {
      const loops::Node& n = p_.body[i];
      const auto use = [&](Sym s, bool) {
        const auto d = definitions.find(s);
        if (d == definitions.end() || d->second.segment == k || crossings_.count(s)) return;
        Crossing c = d->second.crossing;
        if (!c.number) c.at = take_scratch(16);
        crossings_[s] = c;
      };
      loops::each_node(n, [&](const loops::Node& x) { each_use(x, use); });
      each_definition(n, [&](Sym s, const Crossing& c) { definitions[s] = {k, c}; });
    }
}
void Generator::leave_crossing(const loops::Node& n) {
  each_definition(n, [&](Sym s, const Crossing&) {
    if (const auto it = crossings_.find(s); it != crossings_.end()) leave(s, it->second);
  });
}

ir::Value Generator::crossing_place(const Crossing& c) {
  const V memory = c.in_arena ? slot(kArenaSlot) : w_.parameter(1);
  return w_.address(memory, ir::i64(c.at), {ir::Kind::i8, 1});
}
void Generator::leave(Sym s, const Crossing& c) {
  if (c.number) return;
  if (c.is_index)
    w_.store(index(s), crossing_place(c), 8);
  else
    write(value(s), crossing_place(c), 1, 8);
}
void Generator::take(Sym s, const Crossing& c) {
  if (c.number)
    define(s, constant(c.number->value));
  else if (c.is_index)
    define_index(s, w_.load({ir::Kind::i64, 1}, crossing_place(c), 8));
  else
    define(s, read(c.dtype, crossing_place(c), 1, 8));
}
// At the start of the function, so that it is there for all of it.
void Generator::bring(Sym s) {
  const bool nested = w_.in_entry();
  if (!nested) w_.enter_entry();
  take(s, crossings_.at(s));
  if (!nested) w_.leave_entry();
}

std::vector<std::pair<Sym, Generator::Crossing>> Generator::leave_captured(const loops::Loop& l) {
  std::unordered_set<Sym> known{l.var, l.marks.chunk};  // defined inside, or captured already
  loops::each_node(l.body, [&](const loops::Node& n) {
    if (auto* k = n.as<loops::Loop>()) known.insert({k->var, k->marks.chunk});
    each_definition(n, [&](Sym s, const Crossing&) { known.insert(s); });
  });
  std::vector<std::pair<Sym, Crossing>> captured;
  const auto capture = [&](Sym s, bool is_index) {
    if (!known.insert(s).second) return;
    Crossing c{.in_arena = true, .is_index = is_index};
    if (const auto it = numbers_.find(s); it != numbers_.end()) {
      c.number = it->second;
    } else {
      c.at = std::int64_t(out_.arena);
      out_.arena += 16;
      if (!is_index) c.dtype = value(s).dtype;
    }
    leave(s, c);
    captured.push_back({s, c});
  };
  loops::each_node(l.body, [&](const loops::Node& n) { each_use(n, capture); });
  out_.arena = host::aligned(out_.arena);
  return captured;
}

}  // namespace jaxpp::native
