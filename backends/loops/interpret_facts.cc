// interpret_facts.cc -- two walks over the program: one numbers it, one finds uses, stores and what differs between lanes.
#include "backends/loops/interpret_facts.h"
#include <algorithm>
#include <numeric>
#include "backends/eager/block_ops.h"
#include "jaxpp/ops/params.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::loops::interpret {
namespace {

constexpr std::size_t kFew = 64;  // accesses looked at before a copy is the simpler answer

// Operations whose result has the bits of their operand.
bool same_bits(const Let& l, DType arg) {
  if (l.op == &stop_gradient_p || l.op == &copy_p) return true;
  if (l.op == &bitcast_convert_type_p || l.op == &convert_element_type_p)
    return l.op == &bitcast_convert_type_p ? width(arg) == width(l.dtype) : arg == l.dtype;
  return false;
}

}  // namespace

Facts::Facts(const Program& p) : program(p) {
  const std::size_t n = p.buffers.size();
  symbols.resize(std::size_t(p.next_sym));
  owned.resize(n, 0);
  scale.resize(n, 1);
  first_local_.resize(symbols.size() + 1, -1);
  next_local_.resize(n, -1);
  for (std::size_t b = n; b-- > 0;)
    if (p.buffers[b].role == Buffer::Role::local)
      next_local_[b] = std::exchange(first_local_[std::size_t(p.buffers[b].scope + 1)], int(b));
  number(p.body);
  group_buffers();
  choose_blocks(*this);
  position_ = blocks_ = 0;
  scan(p.body);
  for (const Pending& w : pending_) write_directly(w);
}

// ---- Numbers
void Facts::define(Sym s, DType d, int block, int results) {
  for (int i = 0; i < results; ++i) {
    Symbol& y = (*this)[s + i];
    y.dtype = d;
    y.def = position_ - 1;
    y.block = block;
  }
}
void Facts::number(const Block& nodes) {
  const int block = blocks_++;
  auto step = [&] {
    ends.push_back(0);
    lanes.push_back(0);
    reorders.push_back(0);
    return std::size_t(position_++);
  };
  for (const Node& n : nodes) {
    const std::size_t at = step();
    if (auto* l = n.as<Let>()) {
      define(l->sym, l->dtype, block, l->results);
      for (int i = 0; i < l->results; ++i) (*this)[l->sym + i].computed = true;
      if (const Sym x = l->args.empty() ? kNone : root(l->args[0]);
          l->results == 1 && x != kNone && same_bits(*l, (*this)[x].dtype))
        (*this)[l->sym].same = x;
    } else if (auto* c = n.as<Const>()) {
      define(c->sym, c->value.dtype, block);
    } else if (auto* i = n.as<Index>()) {
      define(i->sym, i->dtype, block);
    } else if (auto* k = n.as<Clip>()) {
      define(k->sym, DType::i64, block);
    } else if (auto* r = n.as<Load>()) {
      define(r->sym, program.buffers[std::size_t(r->buffer)].dtype, block);
    } else if (auto* loop = n.as<Loop>()) {
      define(loop->var, DType::i64, block);
      if (loop->marks.chunk != kNone) define(loop->marks.chunk, DType::i64, block);
      number(loop->body);
      ends[at] = int(step());
    } else if (auto* w = n.as<While>()) {
      number(w->cond);
      step();
      number(w->body);
      ends[at] = int(step());
    } else if (auto* f = n.as<If>()) {
      number(f->body);
      number(f->otherwise);
      ends[at] = int(step());
    }
  }
}

// ---- Memory
bool Facts::same_memory(int a, int b) const {
  if (a == b) return true;
  const Buffer &x = program.buffers[std::size_t(a)], &y = program.buffers[std::size_t(b)];
  if (width(x.dtype) != width(y.dtype)) return false;
  using enum Buffer::Role;
  if (x.role == temp && y.role == temp) return x.offset >= 0 && x.offset == y.offset;
  auto donated = [](const Buffer& out, const Buffer& in) {
    return out.role == output && in.role == input && out.donor == in.index;
  };
  return donated(x, y) || donated(y, x);
}
void Facts::group_buffers() {
  const auto& b = program.buffers;
  group_.resize(b.size());
  std::iota(group_.begin(), group_.end(), 0);
  // Temps whose places in the arena overlap
  std::vector<int> temps;
  for (std::size_t i = 0; i < b.size(); ++i)
    if (b[i].role == Buffer::Role::temp && b[i].offset >= 0 && b[i].size) temps.push_back(int(i));
  std::sort(temps.begin(), temps.end(),
            [&](int x, int y) { return b[std::size_t(x)].offset < b[std::size_t(y)].offset; });
  std::int64_t end = -1;
  for (std::size_t k = 0; k < temps.size(); ++k) {
    const auto t = std::size_t(temps[k]);
    if (b[t].offset < end) group_[t] = group_[std::size_t(temps[k - 1])];
    end = std::max(end, b[t].offset + b[t].size * std::int64_t(width(b[t].dtype)));
  }
  // An output and the input whose memory it takes over
  std::vector<int> input(std::size_t(program.inputs), -1);
  for (std::size_t i = 0; i < b.size(); ++i)
    if (b[i].role == Buffer::Role::input) input[std::size_t(b[i].index)] = int(i);
  for (std::size_t i = 0; i < b.size(); ++i)
    if (b[i].role == Buffer::Role::output && b[i].donor >= 0)
      if (const int d = input[std::size_t(b[i].donor)]; d >= 0) group_[i] = group_[std::size_t(d)];
  accesses_.resize(b.size());
  written_.resize(b.size());
}
// May these two name the same element?  Both are in one iteration of all loops around them.
bool Facts::overlap(int a, const Affine* at_a, int b, const Affine* at_b) const {
  if (a == b) return !at_a || !at_b || at_a->terms != at_b->terms || at_a->c == at_b->c;
  const Buffer &x = program.buffers[std::size_t(a)], &y = program.buffers[std::size_t(b)];
  if (x.role != Buffer::Role::temp || y.role != Buffer::Role::temp) return true;
  return x.offset < y.offset + y.size * std::int64_t(width(y.dtype)) &&
         y.offset < x.offset + x.size * std::int64_t(width(x.dtype));
}

// ---- Uses, stores, lanes
Reach Facts::reach(int buffer, const Affine& at, Sym lane) const {
  if (lane == kNone) return Reach::one;
  if (indexed(at, lane)) return Reach::indexed;
  const std::int64_t k = at.coef(lane);
  if (owned[std::size_t(buffer)]) return k ? Reach::strided : Reach::row;
  return k == 0 ? Reach::one : k == 1 ? Reach::row : Reach::strided;
}

void Facts::use(Sym s) {
  Symbol& y = (*this)[root(s)];
  int last = position_ - 1;
  for (const Around& a : around_) {
    if (a.begin <= y.def) continue;
    last = ends[std::size_t(a.begin)];
    break;
  }
  y.last = std::max(y.last, last);
  if (!y.varying) return;
  for (const Around& a : around_) {
    if (!a.reorders || y.def >= a.begin) continue;
    y.kept = true;
    auto& moving = moved[a.begin];
    if (std::find(moving.begin(), moving.end(), root(s)) == moving.end()) moving.push_back(root(s));
  }
}
void Facts::use(const Affine& a) {
  for (const Affine::Term& t : a.terms) use(t.sym);
}
void Facts::access(int buffer, const Affine* at, bool store) {
  if (at) use(*at);
  accesses_[std::size_t(group_[std::size_t(buffer)])].push_back({position_ - 1, buffer, at, store});
}

void Facts::scan_loop(const Loop& l, int position) {
  const bool starts = lanes[std::size_t(position)] > 0;
  if (starts) lane_ = l.var;
  (*this)[l.var].varying = starts;
  if (lane_ != kNone)
    each_local(l.var, [&](int b) {
      owned[std::size_t(b)] = 1;
      scale[std::size_t(b)] = lanes[std::size_t((*this)[lane_].def)];
    });
  around_.push_back({position});
  scan(l.body);
  around_.pop_back();
  if (starts) lane_ = kNone;
}
// Lanes may be reordered where nothing depends on which lane they are: only their own locals are touched.
bool Facts::can_reorder(const While& w) const {
  std::size_t rows = 0;
  std::vector<int> seen;
  bool ok = true;
  auto see = [&](int buffer, const Affine& at) {
    const auto b = std::size_t(buffer);
    ok &= at.coef(lane_) == 0;
    if (!owned[b] || std::find(seen.begin(), seen.end(), buffer) != seen.end()) return;
    seen.push_back(buffer);
    rows += std::size_t(program.buffers[b].size);
  };
  auto visit = [&](const Node& n) {
    if (auto* l = n.as<Load>()) {
      see(l->buffer, l->at);
    } else if (auto* s = n.as<Store>()) {
      see(s->buffer, s->at);
      ok &= owned[std::size_t(s->buffer)] != 0;
    } else if (auto* i = n.as<Index>()) {
      ok &= i->at.coef(lane_) == 0;
    } else if (auto* loop = n.as<Loop>()) {
      each_local(loop->var, [&](int) { ok = false; });
    }
  };
  each_node(w.cond, visit);
  each_node(w.body, visit);
  return ok && rows <= kFew;
}
void Facts::scan_while(const While& w, int position) {
  const bool outer = masked_, reorder = lane_ != kNone && can_reorder(w);
  reorders[std::size_t(position)] = reorder;
  around_.push_back({position, reorder});
  masked_ |= lane_ != kNone;
  scan(w.cond);
  ++position_;
  use(w.pred);
  scan(w.body);
  around_.pop_back();
  masked_ = outer;
}
void Facts::scan(const Block& nodes) {
  const int block = blocks_++;
  for (const Node& n : nodes) {
    const int at = position_++;
    if (auto* l = n.as<Let>()) {
      bool varying = false;
      for (Sym a : l->args) {
        use(a);
        varying |= (*this)[root(a)].varying;
      }
      for (int i = 0; i < l->results; ++i) (*this)[l->sym + i].varying = varying;
      (*this)[l->sym].fresh = l->results == 1;
    } else if (auto* i = n.as<Index>()) {
      use(i->at);
      for (const Affine::Term& t : i->at.terms) (*this)[i->sym].varying |= (*this)[t.sym].varying;
      (*this)[i->sym].fresh = true;
    } else if (auto* c = n.as<Clip>()) {
      use(c->arg);
      (*this)[c->sym].varying = (*this)[root(c->arg)].varying;
    } else if (auto* r = n.as<Load>()) {
      access(r->buffer, &r->at, false);
      const Reach way = reach(r->buffer, r->at, lane_);
      (*this)[r->sym].varying = way != Reach::one;
      (*this)[r->sym].fresh = way == Reach::strided || way == Reach::indexed;
    } else if (auto* s = n.as<Store>()) {
      use(s->value);
      access(s->buffer, &s->at, true);
      const Reach way = reach(s->buffer, s->at, lane_);
      const Symbol& v = (*this)[root(s->value)];
      if (s->combine == Combine::set && !masked_ && v.fresh && v.block == block &&
          way == (v.varying ? Reach::row : Reach::one))
        pending_.push_back({s, at});
    } else if (auto* loop = n.as<Loop>()) {
      scan_loop(*loop, at);
      ++position_;
    } else if (auto* w = n.as<While>()) {
      scan_while(*w, at);
      ++position_;
    } else if (auto* f = n.as<If>()) {
      use(f->pred);
      const bool outer = masked_;
      masked_ |= (*this)[root(f->pred)].varying;
      scan(f->body);
      if (!f->otherwise.empty()) use(f->pred);
      scan(f->otherwise);
      masked_ = outer;
      ++position_;
    } else if (auto* call = n.as<Call>()) {
      for (const Call::Operand& o : call->in) {
        use(o.at);
        access(o.buffer, nullptr, false);
      }
      for (const Call::Operand& o : call->out) {
        use(o.at);
        access(o.buffer, nullptr, true);
      }
    }
  }
}

// The instruction of a value may do its store as well if nobody touches the element in between, and nobody overwrites it
// while the value is needed.
void Facts::write_directly(const Pending& w) {
  const Store& s = *w.store;
  Symbol& v = (*this)[root(s.value)];
  if (v.into || v.kept) return;
  for (const Affine::Term& t : s.at.terms)  // a computed index must be known by then
    if ((*this)[t.sym].def >= v.def) return;
  const auto group = std::size_t(group_[std::size_t(s.buffer)]);
  auto& list = accesses_[group];
  auto after = [&](int position) {
    return std::upper_bound(list.begin(), list.end(), position,
                            [](int p, const Access& a) { return p < a.position; });
  };
  auto it = after(v.def);
  const auto first = it;
  auto own = list.end();
  std::size_t looked_at = 0;
  for (; it != list.end() && it->position <= v.last; ++it) {
    if (++looked_at > kFew) return;
    if (it->position == w.position && it->store)
      own = it;
    else if ((it->store || it->position < w.position) &&
             overlap(it->buffer, it->at, s.buffer, &s.at))
      return;
  }
  if (own == list.end()) return;
  auto& written =
      written_[group];  // these values are in memory, and needed at least until their stores
  for (auto w2 = written.rbegin(); w2 != written.rend() && w2->position > v.def; ++w2)
    if (++looked_at > kFew || overlap(w2->store->buffer, &w2->store->at, s.buffer, &s.at)) return;
  v.into = &s;
  written.push_back(w);
  own->position = v.def;
  std::rotate(first, own, own + 1);
  if (v.last > w.position) list.insert(after(v.last), {v.last, s.buffer, &s.at, false});
}
bool Facts::stays(const Symbol& v, int buffer, const Affine& at, int position) const {
  if (v.kept) return false;
  const auto& list = accesses_[std::size_t(group_[std::size_t(buffer)])];
  auto it = std::upper_bound(list.begin(), list.end(), position,
                             [](int p, const Access& a) { return p < a.position; });
  std::size_t looked_at = 0;
  for (; it != list.end() && it->position <= v.last; ++it) {
    if (++looked_at > kFew) return false;
    if (!it->store || !overlap(it->buffer, it->at, buffer, &at)) continue;
    // An instruction reads before it writes, element by element; and iterations do not write what others read.
    if (it->position == v.last &&
        (it->buffer == buffer || (it->at && *it->at == at && same_memory(it->buffer, buffer))))
      continue;
    return false;
  }
  return true;
}

}  // namespace jaxpp::loops::interpret
