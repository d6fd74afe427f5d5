// shrink.cc -- locals no larger than what an iteration uses of them.
//
//   parallel i < 1000                        parallel i < 1000
//     local t: f32[4000]                       local t: f32[4]
//     parallel j < 4                   ->      parallel j < 4
//       t[4*i+j] = ...                           t[j] = ...
//     y[i] = t[4*i] * t[4*i+3]                 y[i] = t[0] * t[3]
//
// A local is fresh in each iteration of its loop, where the loops around have one value each: what all its indices have
// of them is a constant.  Values that are read by flat index, as the diagonals of many matrices, are whole arrays until
// here.
#include <algorithm>
#include "backends/loops/schedule.h"

namespace jaxpp::loops {

void shrink(Program& p) {
  std::vector<int> position(std::size_t(p.next_sym));  // of definitions of indices, in the text
  int next = 0;
  each_node(p.body, [&](const Node& n) {
    if (auto* l = n.as<Loop>()) {
      position[std::size_t(l->var)] = ++next;
      if (l->marks.chunk != kNone) position[std::size_t(l->marks.chunk)] = next;
    } else if (auto* c = n.as<Clip>()) {
      position[std::size_t(c->sym)] = ++next;
    }
  });
  struct Use {
    bool candidate = false;
    std::vector<Affine*> indices;
    Affine around;    // what all indices have of symbols from outside of the iteration
    Interval within;  // the rest
  };
  std::vector<Use> uses(p.buffers.size());
  for (std::size_t b = 0; b < p.buffers.size(); ++b)
    uses[b].candidate = p.buffers[b].role == Buffer::Role::local && p.buffers[b].scope != kNone;
  const std::vector<Interval> symbols = intervals(p);
  const auto see = [&](int buffer, Affine& at) {
    Use& u = uses[std::size_t(buffer)];
    if (!u.candidate) return;
    const int owner = position[std::size_t(p.buffers[std::size_t(buffer)].scope)];
    Affine around, within = at.c;
    for (auto [s, k] : at.terms)
      (position[std::size_t(s)] <= owner ? around : within) += Affine::of(s, k);
    const Interval r = interval(within, symbols);
    if (u.indices.empty()) u.around = around, u.within = r;
    u.candidate = around == u.around;
    u.within = {std::min(u.within.lo, r.lo), std::max(u.within.hi, r.hi)};
    u.indices.push_back(&at);
  };
  each_node(p.body, [&](Node& n) {
    if (auto* l = n.as<Load>()) see(l->buffer, l->at);
    if (auto* s = n.as<Store>()) see(s->buffer, s->at);
    if (auto* c = n.as<Call>())
      for (auto* operands : {&c->in, &c->out})
        for (const Call::Operand& o : *operands) uses[std::size_t(o.buffer)].candidate = false;
  });
  for (std::size_t b = 0; b < uses.size(); ++b) {
    const Use& u = uses[b];
    if (!u.candidate || u.around.constant()) continue;
    for (Affine* at : u.indices) (*at += u.around * -1) += -u.within.lo;
    p.buffers[b].size = u.within.hi - u.within.lo + 1;
  }
}

}  // namespace jaxpp::loops
