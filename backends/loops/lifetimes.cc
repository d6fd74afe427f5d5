// lifetimes.cc -- one walk over the tree collects the touches of every buffer; all questions are about these.
#include "backends/loops/lifetimes.h"
#include <algorithm>
#include <map>

namespace jaxpp::loops {

Lifetimes::Lifetimes(const Program& p)
    : p_(p),
      symbols_(intervals(p)),
      loaded_(std::size_t(p.next_sym)),
      body_of_(std::size_t(p.next_sym), -1),
      life_(p.buffers.size()) {
  blocks_.push_back({});
  walk(p.body, 0);
  for (std::size_t b = 0; b < life_.size(); ++b) {
    Life& l = life_[b];
    if (l.touches.empty()) continue;
    find_home(l, p.buffers[b]);
    l.first = item(l.touches.front(), l.home);
    l.last = item(l.touches.back(), l.home);
    l.end = end_[std::size_t(l.last)];
  }
}

void Lifetimes::walk(const Block& b, int block) {
  auto touch = [&](int buffer, Touch t) { life_[std::size_t(buffer)].touches.push_back(t); };
  for (const Node& n : b) {
    const int id = int(end_.size());
    end_.push_back(id);
    auto inner = [&](const Block& body, Execution::Kind kind, const Loop* loop = nullptr) {
      blocks_.push_back(
          {kind, block, id, loop,
           blocks_[std::size_t(block)].sole && !(loop && loop->order == Order::parallel)});
      if (loop) body_of_[std::size_t(loop->var)] = int(blocks_.size()) - 1;
      walk(body, int(blocks_.size()) - 1);
    };
    if (auto* l = n.as<Loop>()) {
      inner(l->body, Execution::Kind::loop, l);
    } else if (auto* w = n.as<While>()) {
      inner(w->cond, Execution::Kind::repeated);
      inner(w->body, Execution::Kind::repeated);
    } else if (auto* i = n.as<If>()) {
      inner(i->body, Execution::Kind::branch);
      inner(i->otherwise, Execution::Kind::branch);
    } else if (auto* load = n.as<Load>()) {
      loaded_[std::size_t(load->sym)] = load;
      touch(load->buffer, {id, block, &load->at});
    } else if (auto* s = n.as<Store>()) {
      touch(s->buffer, {id, block, &s->at, s->combine == Combine::set ? s->value : kNone});
    } else if (auto* c = n.as<Call>()) {
      for (auto& o : c->in) touch(o.buffer, {id, block, nullptr});
      for (auto& o : c->out)
        touch(o.buffer,
              {id, block, nullptr, kNone, o.type->size == p_.buffers[std::size_t(o.buffer)].size});
    }
    end_[std::size_t(id)] = int(end_.size()) - 1;
  }
}

// The node of a block in which a touch happens.
int Lifetimes::item(const Touch& t, int block) const {
  int n = t.node;
  for (int b = t.block; b != block; b = blocks_[std::size_t(b)].parent)
    n = blocks_[std::size_t(b)].node;
  return n;
}
// The block right inside `block` in which a touch happens; -1: it is a node of the block itself.
int Lifetimes::block_inside(const Touch& t, int block) const {
  int inner = -1;
  for (int b = t.block; b != block; b = blocks_[std::size_t(b)].parent) inner = b;
  return inner;
}

// ---- Homes
void Lifetimes::find_home(Life& l, const Buffer& b) const {
  if (b.role != Buffer::Role::local && b.role != Buffer::Role::temp) return;
  if (b.scope != kNone) l.home = body_of_[std::size_t(b.scope)];
  while (true) {
    const int inner = block_inside(l.touches.front(), l.home);
    if (inner < 0) return;
    for (const Touch& t : l.touches)
      if (block_inside(t, l.home) != inner) return;
    const Execution& e = blocks_[std::size_t(inner)];
    if (e.loop && e.loop->order == Order::parallel) return;
    if (e.kind != Execution::Kind::branch && !defined_first(l, inner, b.size)) return;
    l.home = inner;
  }
}

// Whether every execution of a block, in which all touches are, first writes every element: by a call, or by a store in
// plain loops whose index goes through all of them, where others in the same node look at the same element only.
bool Lifetimes::defined_first(const Life& l, int block, std::int64_t size) const {
  const Touch& t = l.touches.front();
  if (t.whole && t.block == block) return true;
  if (t.value == kNone) return false;
  for (int b = t.block; b != block; b = blocks_[std::size_t(b)].parent)
    if (blocks_[std::size_t(b)].kind != Execution::Kind::loop) return false;
  for (const Touch& o : l.touches)
    if (item(o, block) == item(t, block) && !(o.at && *o.at == *t.at)) return false;
  SmallVec<Affine::Term, 3> terms = t.at->terms;
  std::sort(terms.begin(), terms.end(),
            [](auto& a, auto& b) { return std::abs(a.k) < std::abs(b.k); });
  std::int64_t elements = 1;
  for (auto [s, k] : terms) {
    bool around = false;  // and not a constant of the block
    for (int b = t.block; b != block; b = blocks_[std::size_t(b)].parent)
      around |= blocks_[std::size_t(b)].var() == s;
    if (!around || std::abs(k) != elements) return false;
    elements *= symbols_[std::size_t(s)].hi + 1;
  }
  return elements == size && interval(*t.at, symbols_).lo == 0;
}

// ---- Reuse in place
bool Lifetimes::hands_over(const Life& old, const Life& now) const {
  Touches o, n;
  for (const Touch& t : old.touches) o.push_back(&t);
  for (const Touch& t : now.touches) n.push_back(&t);
  return hands_over(std::move(o), std::move(n), old.home);
}

// Whether the last touch of every element by `old` comes before the first by `now`.  All stand inside `block`, where
// `old` dies in the node in which `now` is born, or before.
bool Lifetimes::hands_over(Touches old, Touches now, int block) const {
  const int last = item(*old.back(), block), first = item(*now.front(), block);
  if (last != first) return last < first;
  std::erase_if(old, [&](auto* t) { return item(*t, block) != first; });
  std::erase_if(now, [&](auto* t) { return item(*t, block) != first; });
  const int inner = block_inside(*old.front(), block);
  if (inner < 0) return false;  // a call reads and writes in an order of its own
  switch (blocks_[std::size_t(inner)].kind) {
    case Execution::Kind::loop:
      return apart(old, now, inner) && hands_over(std::move(old), std::move(now), inner);
    case Execution::Kind::branch: {  // only one of the two blocks runs
      std::map<int, std::pair<Touches, Touches>> branches;
      for (auto* t : old) branches[block_inside(*t, block)].first.push_back(t);
      for (auto* t : now) branches[block_inside(*t, block)].second.push_back(t);
      for (auto& [b, t] : branches)
        if (!t.first.empty() && !t.second.empty() && !hands_over(t.first, t.second, b))
          return false;
      return true;
    }
    default: return false;  // elements come again with every repetition
  }
}

// Whether an iteration of a loop touches elements that no other iteration touches.  Around it everything stands still.
bool Lifetimes::apart(const Touches& old, const Touches& now, int body) const {
  std::vector<Affine> indices;
  const Affine* like = old.front()->at;
  for (const Touches* touches : {&old, &now})
    for (const Touch* t : *touches) {
      if (!t->at) return false;
      indices.push_back(*t->at);
      for (int b = blocks_[std::size_t(body)].parent; b >= 0; b = blocks_[std::size_t(b)].parent) {
        const Sym var = blocks_[std::size_t(b)].var();
        if (var == kNone) continue;
        if (t->at->coef(var) != like->coef(var)) return false;
        indices.back() = indices.back().subst(var, 0);
      }
    }
  return iterations_apart(blocks_[std::size_t(body)].var(), indices, symbols_);
}

bool Lifetimes::copies(int to, int from) const {
  for (const Touch& t : life_[std::size_t(to)].touches) {
    if (t.value == kNone) continue;
    const Load* l = loaded_[std::size_t(t.value)];
    if (l && l->buffer == from && l->at == *t.at) return true;
  }
  return false;
}

}  // namespace jaxpp::loops
