// chunks.cc -- large parallel loops become work items, where all loops around them are serial.
//
// A chunk is `grain` iterations in order.  What a chunk writes is its own, except for reductions over the loop: there
// every chunk combines into a partial result of its own, y_parts[chunk][...], and a loop behind combines the parts in the
// order of the chunks.  How many chunks there are follows from the program's sizes alone, never from the number of
// threads, so the bits of a result do not depend on that either.
#include <algorithm>
#include <cmath>
#include <map>
#include "backends/loops/schedule.h"

namespace jaxpp::loops {
namespace {
constexpr double kCycles = 20000;  // of a work item, at least: what handing it to a thread is worth
constexpr double kPartCycles = 8;  // to fill and combine a vector of one part
constexpr double kPartsShare = 0.1;  // of the work, at most, may go into parts
constexpr double kParts = 16;        // of a reduction, at most

struct Stores {  // of one buffer in one loop, which does not own it
  std::vector<Store*> combining;
  bool others = false;  // loads, sets, calls
};

bool has_effects(const Loop& l) {
  bool r = false;
  each_node(l.body, [&](const Node& n) {
    if (auto* c = n.as<Call>()) r |= c->prim->effects;
  });
  return r;
}

class Chunk {
 public:
  Chunk(Program& p, const Target& t, const Lanes& lanes)
      : p_(p), target_(t), lanes_(lanes), symbols_(intervals(p)) {}

  std::vector<Sym> added;

  // Of the top, or of what runs one after the other.  Work items do not have work items.
  void block(Block& b) {
    Block all;
    const auto add = [&](Block& loops) {
      for (Node& n : loops) {
        added.push_back(n.as<Loop>()->var);
        all.push_back(std::move(n));
      }
    };
    for (Node& n : b) {
      Block before, after;
      if (auto* l = n.as<Loop>()) {
        if (l->order == Order::serial)
          block(l->body);
        else if (!l->marks.unroll && !has_effects(*l))
          loop(*l, lanes_.cycles(*l), before, after);
      } else if (auto* w = n.as<While>()) {
        block(w->cond);
        block(w->body);
      } else if (auto* i = n.as<If>()) {
        block(i->body);
        block(i->otherwise);
      }
      add(before);
      all.push_back(std::move(n));
      add(after);
    }
    b = std::move(all);
  }

 private:
  void loop(Loop& l, double cycles, Block& before, Block& after) {
    std::map<int, Stores> stores = outside(l);
    double partials = 0;
    for (auto it = stores.begin(); it != stores.end();) {
      const auto& [buffer, s] = *it;
      std::vector<Affine> indices;
      for (const Store* store : s.combining) indices.push_back(store->at);
      if (iterations_apart(l.var, indices, symbols_)) {
        it = stores.erase(it);
        continue;
      }
      for (const Store* store : s.combining)
        if (s.others || store->combine != s.combining[0]->combine) return;
      const Buffer& b = p_.buffers[std::size_t(buffer)];
      const double lanes = double(target_.vector_bytes) / double(width(b.dtype));
      partials += double(b.size) / std::max(lanes, 1.);
      ++it;
    }
    double chunks =
        std::min({double(l.extent) / l.marks.lanes, cycles / kCycles, double(target_.max_chunks)});
    if (partials)
      chunks = std::min({chunks, kParts, kPartsShare * cycles / (kPartCycles * partials)});
    if (chunks < 2) return;
    std::int64_t grain = std::int64_t(std::ceil(double(l.extent) / std::floor(chunks)));
    grain = (grain + l.marks.lanes - 1) / l.marks.lanes * l.marks.lanes;
    const std::int64_t count = (l.extent + grain - 1) / grain;
    if (count < 2) return;
    l.marks.grain = grain;
    if (!stores.empty()) l.marks.chunk = p_.next_sym++;
    for (auto& [buffer, s] : stores) split(buffer, s, l.marks.chunk, count, before, after);
    share_locals(l);
  }

  std::vector<Sym> variables(const Loop& l) const {
    std::vector<Sym> r{l.var};
    each_node(l.body, [&](const Node& n) {
      if (auto* inner = n.as<Loop>()) r.push_back(inner->var);
    });
    return r;
  }
  // Whether a buffer belongs to none of these loops.
  bool foreign(int buffer, const std::vector<Sym>& loops) const {
    const Buffer& b = p_.buffers[std::size_t(buffer)];
    return b.role != Buffer::Role::local ||
           std::find(loops.begin(), loops.end(), b.scope) == loops.end();
  }
  // What a loop does to buffers that it does not own.
  std::map<int, Stores> outside(Loop& l) {
    std::map<int, Stores> found;
    const std::vector<Sym> inside = variables(l);
    each_node(l.body, [&](Node& n) {
      if (auto* load = n.as<Load>()) {
        if (foreign(load->buffer, inside)) found[load->buffer].others = true;
      } else if (auto* s = n.as<Store>()) {
        if (!foreign(s->buffer, inside)) return;
        if (s->combine == Combine::set)
          found[s->buffer].others = true;
        else
          found[s->buffer].combining.push_back(s);
      } else if (auto* c = n.as<Call>()) {
        for (auto& o : c->in) found[o.buffer].others = true;
        for (auto& o : c->out) found[o.buffer].others = true;
      }
    });
    return found;
  }

  void split(int buffer, Stores& s, Sym chunk, std::int64_t count, Block& before, Block& after) {
    const std::int64_t size = p_.buffers[std::size_t(buffer)].size;
    const Combine combine = s.combining[0]->combine;
    Buffer b;
    b.name = p_.buffers[std::size_t(buffer)].name + "_parts" + std::to_string(p_.buffers.size());
    b.dtype = p_.buffers[std::size_t(buffer)].dtype;
    b.size = size * count;
    const int parts = int(p_.buffers.size());
    for (Store* store : s.combining) {
      store->buffer = parts;
      store->at += Affine::of(chunk, size);
    }
    const Element none = identity(combine, b.dtype);
    p_.buffers.push_back(std::move(b));

    Loop fill = new_loop(size * count, Order::parallel);
    const Sym c = p_.next_sym++;
    fill.body.push_back(Const{c, none});
    fill.body.push_back(Store{parts, Affine::of(fill.var), Combine::set, c});
    before.push_back(std::move(fill));

    Loop all = new_loop(count, Order::serial);
    const Sym part = p_.next_sym++;
    Affine at;
    Loop each = new_loop(size, Order::parallel);
    if (size > 1) at = Affine::of(each.var);
    all.body.push_back(Load{part, parts, at + Affine::of(all.var, size)});
    all.body.push_back(Store{buffer, at, combine, part});
    if (size > 1) {
      each.body.push_back(std::move(all));
      after.push_back(std::move(each));
    } else {
      after.push_back(std::move(all));
    }
  }
  Loop new_loop(std::int64_t extent, Order order) {
    Loop l;
    l.var = p_.next_sym++;
    l.extent = extent;
    l.order = order;
    return l;
  }

  // Work items run on several threads: what they share cannot be a local of one of them.
  void share_locals(Loop& l) {
    const std::vector<Sym> inside = variables(l);
    auto see = [&](int buffer) {
      Buffer& b = p_.buffers[std::size_t(buffer)];
      if (b.role != Buffer::Role::local || !foreign(buffer, inside)) return;
      b.role = Buffer::Role::temp;
      b.scope = kNone;
    };
    each_node(l.body, [&](Node& n) {
      if (auto* load = n.as<Load>()) see(load->buffer);
      if (auto* s = n.as<Store>()) see(s->buffer);
      if (auto* c = n.as<Call>()) {
        for (auto& o : c->in) see(o.buffer);
        for (auto& o : c->out) see(o.buffer);
      }
    });
  }

  Program& p_;
  const Target& target_;
  const Lanes& lanes_;
  const std::vector<Interval> symbols_;
};

}  // namespace

std::vector<Sym> chunk(Program& p, const Target& t, const Lanes& lanes) {
  Chunk chunk(p, t, lanes);
  chunk.block(p.body);
  return std::move(chunk.added);
}

}  // namespace jaxpp::loops
