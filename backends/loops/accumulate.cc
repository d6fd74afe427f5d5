// accumulate.cc -- sums of inner loops are kept in a local of one element, and stored when they are complete.
//
//   parallel i < n                       parallel i < n
//     y[i] = 0                             local sum: f32[1]
//     parallel j < m              ->       sum[0] = 0
//       y[i] += x[m*i+j]                   parallel j < m
//                                            sum[0] += x[m*i+j]
//                                          y[i] = sum[0]
//
// A local with a constant index is a register; an element of an array is loaded and stored at every step.  Loops at the
// top keep their sums in place: chunk() gives them parts.
#include <algorithm>
#include "backends/loops/schedule.h"

namespace jaxpp::loops {
namespace {

class Accumulate {
 public:
  Accumulate(Program& p, const Target& t) : p_(p), target_(t) {}

  void block(Block& b, Sym owner) {
    for (std::size_t i = 0; i < b.size(); ++i) {
      if (auto* s = b[i].as<Store>(); s && owner != kNone) complete(b, i, owner);
      if (auto* l = b[i].as<Loop>()) {
        block(l->body, l->var);
      } else if (auto* w = b[i].as<While>()) {
        block(w->cond, owner);
        block(w->body, owner);
      } else if (auto* c = b[i].as<If>()) {
        block(c->body, owner);
        block(c->otherwise, owner);
      }
    }
  }

 private:
  enum class Use { none, sum, other };

  // b[i] sets an element: is a loop behind it the sum that starts from there?
  void complete(Block& b, std::size_t i, Sym owner) {
    const Store first = *b[i].as<Store>();
    const Buffer& to = p_.buffers[std::size_t(first.buffer)];
    if (first.combine != Combine::set ||
        (to.role == Buffer::Role::local && first.at.constant() && to.size <= target_.max_unroll))
      return;
    std::vector<Store*> sums;
    std::size_t last = i;
    for (std::size_t k = i + 1; k < b.size(); ++k) {
      std::vector<Store*> own;
      const Use u = use(b[k], first, own);
      if (u == Use::none) continue;
      if (u == Use::other || !b[k].as<Loop>()) break;
      const Combine how = (sums.empty() ? own : sums)[0]->combine;
      const bool same =
          std::all_of(own.begin(), own.end(), [&](Store* s) { return s->combine == how; });
      if (!same) break;
      sums.insert(sums.end(), own.begin(), own.end());
      last = k;
    }
    if (sums.empty()) return;
    Buffer sum;
    sum.role = Buffer::Role::local;
    sum.name = to.name + "_sum" + std::to_string(p_.buffers.size());
    sum.dtype = to.dtype;
    sum.size = 1;
    sum.scope = owner;
    const int own = int(p_.buffers.size());
    p_.buffers.push_back(std::move(sum));
    for (Store* s : sums) {
      s->buffer = own;
      s->at = 0;
    }
    *b[i].as<Store>() = {own, 0, Combine::set, first.value};
    const Sym total = p_.next_sym++;
    const Node end[] = {Load{total, own, 0}, Store{first.buffer, first.at, Combine::set, total}};
    b.insert(b.begin() + std::ptrdiff_t(last) + 1, std::begin(end), std::end(end));
  }
  // What a node does to the buffer of `first`; the stores that combine into its very element.
  static Use use(Node& node, const Store& first, std::vector<Store*>& sums) {
    bool other = false;
    const auto see = [&](Node& n) {
      if (auto* load = n.as<Load>()) {
        other |= load->buffer == first.buffer;
      } else if (auto* s = n.as<Store>()) {
        if (s->buffer != first.buffer) return;
        if (s->combine != Combine::set && s->at == first.at)
          sums.push_back(s);
        else
          other = true;
      } else if (auto* c = n.as<Call>()) {
        for (auto* operands : {&c->in, &c->out})
          for (auto& o : *operands) other |= o.buffer == first.buffer;
      }
    };
    see(node);
    if (auto* l = node.as<Loop>()) each_node(l->body, see);
    if (auto* w = node.as<While>()) {
      each_node(w->cond, see);
      each_node(w->body, see);
    }
    if (auto* c = node.as<If>()) {
      each_node(c->body, see);
      each_node(c->otherwise, see);
    }
    return other ? Use::other : sums.empty() ? Use::none : Use::sum;
  }

  Program& p_;
  const Target& target_;
};
}  // namespace

void accumulate(Program& p, const Target& t) { Accumulate(p, t).block(p.body, kNone); }

}  // namespace jaxpp::loops
