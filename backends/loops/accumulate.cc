// accumulate.cc -- sums of inner loops are kept in a local of one element, and stored when they are complete.
//
//   parallel i < n                       parallel i < n
//     y[i] = 0                             local sum: f32[1]
//     parallel j < m              ->       sum[0] = 0
//       y[i] += x[m*i+j]                   parallel j < m
//                                            sum[0] += x[m*i+j]
//                                          y[i] = sum[0]
//
// A local with a constant index is a register; an element of an array is loaded and stored at every step.  A short loop in
// front that sets the elements of a row starts so many sums.  Loops at the top keep their sums in place: chunk() gives
// them parts.
#include <algorithm>
#include <optional>
#include "backends/loops/schedule.h"

namespace jaxpp::loops {
namespace {

class Accumulate {
 public:
  Accumulate(Program& p, const Target& t) : p_(p), target_(t) {}

  void block(Block& b, Sym owner) {
    for (std::size_t i = 0; i < b.size(); ++i) {
      if (owner != kNone) complete(b, i, owner);
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
  // What sums start from: the store that sets them, alone or for every iteration of a short loop.
  struct Start {
    Store store;
    const Loop* loop = nullptr;
    std::int64_t step() const { return loop ? store.at.coef(loop->var) : 0; }
    Affine first() const { return loop ? store.at.subst(loop->var, 0) : store.at; }
  };

  std::optional<Start> start(const Node& n) const {
    if (auto* s = n.as<Store>()) return of(Start{*s});
    auto* l = n.as<Loop>();
    if (!l || l->order != Order::parallel || l->extent > target_.max_unroll) return {};
    for (std::size_t k = 0; k + 1 < l->body.size(); ++k)
      if (!l->body[k].as<Const>()) return {};
    auto* s = l->body.empty() ? nullptr : l->body.back().as<Store>();
    return s && s->at.coef(l->var) ? of(Start{*s, l}) : std::nullopt;
  }
  std::optional<Start> of(const Start& s) const {
    const Buffer& to = p_.buffers[std::size_t(s.store.buffer)];
    const bool in_registers =
        to.role == Buffer::Role::local && s.first().constant() && to.size <= target_.max_unroll;
    if (s.store.combine != Combine::set || in_registers) return {};
    return s;
  }

  // Sums start in b[i]: are loops behind it all that adds to them?
  void complete(Block& b, std::size_t i, Sym owner) {
    const auto from = start(b[i]);
    if (!from) return;
    std::vector<Sum> sums;
    std::size_t last = i;
    for (std::size_t k = i + 1; k < b.size(); ++k) {
      std::vector<Sum> own;
      const Use u = use(b[k], *from, own);
      if (u == Use::none) continue;
      if (u == Use::other || !b[k].as<Loop>()) break;
      const Combine how = (sums.empty() ? own : sums)[0].store->combine;
      const bool same = std::all_of(own.begin(), own.end(),
                                    [&](const Sum& s) { return s.store->combine == how; });
      if (!same) break;
      sums.insert(sums.end(), own.begin(), own.end());
      last = k;
    }
    if (sums.empty()) return;
    const Store first = from->store;
    const std::int64_t extent = from->loop ? from->loop->extent : 1;
    const Buffer& to = p_.buffers[std::size_t(first.buffer)];
    Buffer sum;
    sum.role = Buffer::Role::local;
    sum.name = to.name + "_sum" + std::to_string(p_.buffers.size());
    sum.dtype = to.dtype;
    sum.size = extent;
    sum.scope = owner;
    const int own = int(p_.buffers.size());
    p_.buffers.push_back(std::move(sum));
    for (const Sum& s : sums) {
      s.store->buffer = own;
      s.store->at = s.which == kNone ? Affine() : Affine::of(s.which);
    }
    const Sym total = p_.next_sym++;
    Block end;
    if (auto* loop = b[i].as<Loop>()) {
      Loop all;
      all.var = p_.next_sym++;
      all.extent = extent;
      all.body.push_back(Load{total, own, Affine::of(all.var)});
      const Affine at = first.at.subst(loop->var, Affine::of(all.var));
      all.body.push_back(Store{first.buffer, at, Combine::set, total});
      end.push_back(std::move(all));
      *loop->body.back().as<Store>() = {own, Affine::of(loop->var), Combine::set, first.value};
    } else {
      end.push_back(Load{total, own, 0});
      end.push_back(Store{first.buffer, first.at, Combine::set, total});
      *b[i].as<Store>() = {own, 0, Combine::set, first.value};
    }
    b.insert(b.begin() + std::ptrdiff_t(last) + 1, std::make_move_iterator(end.begin()),
             std::make_move_iterator(end.end()));
  }

  struct Sum {
    Store* store;
    Sym which;  // the variable that says which of them; kNone: there is one
  };
  // What a node does to the buffer of the sums; the stores that combine into them.
  static Use use(Node& node, const Start& from, std::vector<Sum>& sums) {
    bool other = false;
    std::vector<Sym> variables;  // of loops over all of the sums
    const auto add = [&](Store& s) {
      if (!from.loop && s.at == from.store.at) return sums.push_back({&s, kNone});
      for (Sym v : variables)
        if (s.at.coef(v) == from.step() && s.at.subst(v, 0) == from.first())
          return sums.push_back({&s, v});
      other = true;
    };
    each_node(node, [&](Node& n) {
      if (auto* l = n.as<Loop>()) {
        if (from.loop && l->extent == from.loop->extent) variables.push_back(l->var);
      } else if (auto* load = n.as<Load>()) {
        other |= load->buffer == from.store.buffer;
      } else if (auto* s = n.as<Store>()) {
        if (s->buffer != from.store.buffer) return;
        if (s->combine == Combine::set)
          other = true;
        else
          add(*s);
      } else if (auto* c = n.as<Call>()) {
        for (auto* operands : {&c->in, &c->out})
          for (auto& o : *operands) other |= o.buffer == from.store.buffer;
      }
    });
    return other ? Use::other : sums.empty() ? Use::none : Use::sum;
  }

  Program& p_;
  const Target& target_;
};
}  // namespace

void accumulate(Program& p, const Target& t) { Accumulate(p, t).block(p.body, kNone); }

}  // namespace jaxpp::loops
