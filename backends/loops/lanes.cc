// lanes.cc -- which loops run as SIMD lanes, by exhaustive search with a rough model of cost.
//
// A loop in lanes executes its whole body, inner loops included, for `lanes` iterations at once: an index without its
// variable is one element for all lanes, coefficient 1 is a vector in memory, anything else a gather or scatter.  Locals
// owned inside hold a vector for each of their elements.  A reduction over the lanes has a vector as accumulator, which
// is combined at the end of the loop.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include "backends/loops/fusion.h"
#include "backends/loops/schedule.h"

namespace jaxpp::loops {
namespace {
// The model: cycles of an operation on a full vector, where an addition is 1.
constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kUniform = 0.5;  // load of one element for all lanes
constexpr double kGather = 0.7;   // for each lane
// The same in arrays that no cache holds, where each lane goes through lines of its own: as many streams as lanes, more
// than memory keeps up with.
constexpr double kFarGather = 2;
constexpr double kFarScatter = 4;
constexpr std::int64_t kFarBytes = 256, kFarArray = 1 << 20;  // of a step, of an array
constexpr double kMeeting =
    4;  // for each lane, where lanes may combine into one element: one after the other
constexpr double kMoving =
    3;  // reduction over the lanes to a place that inner loops move: an array of vectors,
constexpr std::int64_t kMovingBytes = 1 << 19;  // if it has no more bytes than this

double scalar_cost(const Node& n) {
  if (auto* l = n.as<Let>()) return fusion::weight(*l->op);
  if (n.as<Const>()) return 0;
  if (auto* c = n.as<Call>()) {
    double elements = 0;
    for (auto& o : c->in) elements += double(o.type->size);
    for (auto& o : c->out) elements += double(o.type->size);
    return elements;
  }
  return 1;
}
}  // namespace

Lanes::Lanes(const Program& p, const Target& t)
    : p_(p),
      target_(t),
      position_(std::size_t(p.next_sym)),
      varies_over_(position_.size(), kNone),
      cycles_(position_.size()) {
  int next = 0;
  number(p.body, next);
}

void Lanes::number(const Block& b, int& next) {
  for (const Node& n : b) {
    if (auto* l = n.as<Loop>()) {
      position_[std::size_t(l->var)].begin = next++;
      number(l->body, next);
      position_[std::size_t(l->var)].end = next;
    } else if (auto* c = n.as<Clip>()) {
      position_[std::size_t(c->sym)].begin = next++;
    } else if (auto* w = n.as<While>()) {
      number(w->cond, next);
      number(w->body, next);
    } else if (auto* i = n.as<If>()) {
      number(i->body, next);
      number(i->otherwise, next);
    }
  }
}

bool Lanes::inside(const Loop& l, Sym s) const {
  if (s == kNone) return false;
  const Position &loop = position_[std::size_t(l.var)], at = position_[std::size_t(s)];
  return loop.begin <= at.begin && at.begin < loop.end;
}

bool Lanes::varies(const Affine& at, const Loop& lanes) const {
  for (auto& t : at.terms)
    if (t.sym != lanes.var && varies_over_[std::size_t(t.sym)] == lanes.var) return true;
  return false;
}

// Lanes of one vector.  Halves are computed as f32, and bools follow what they are computed from.
int Lanes::width(const Loop& l) const {
  std::size_t widest = 4;
  auto see = [&](DType d) { widest = std::max(widest, jaxpp::width(d)); };
  each_node(l.body, [&](const Node& n) {
    if (auto* let = n.as<Let>()) see(let->dtype);
    if (auto* load = n.as<Load>()) see(p_.buffers[std::size_t(load->buffer)].dtype);
    if (auto* store = n.as<Store>()) see(p_.buffers[std::size_t(store->buffer)].dtype);
  });
  return target_.vector_bytes / int(widest);
}

namespace {
bool far(const Buffer& b, std::int64_t k) {
  const auto bytes = std::int64_t(width(b.dtype));
  return b.role != Buffer::Role::local && b.size * bytes >= kFarArray &&
         std::abs(k) * bytes >= kFarBytes;
}
}  // namespace

// An array of the loops outside that is small enough for registers: lanes would put it in memory.  That of the program is in
// memory anyway for a long parallel loop at the top, which may be work items.
bool Lanes::in_registers(const Buffer& b, const InLanes& in) const {
  return b.role == Buffer::Role::local && b.size <= target_.max_unroll &&
         !(in.repeated && b.scope == kNone);
}

double Lanes::in_lanes(const Load& l, const InLanes& in) {
  const Buffer& b = p_.buffers[std::size_t(l.buffer)];
  const bool own = b.role == Buffer::Role::local && inside(in.loop, b.scope);
  const std::int64_t k = l.at.coef(in.loop.var);
  const bool gather = varies(l.at, in.loop);
  if (own || k || gather) varies_over_[std::size_t(l.sym)] = in.loop.var;
  if (in_registers(b, in) && !own && (k || gather)) return kNever;
  if (gather) return kGather * in.width;
  if (own || k == 1) return 1;
  if (!k) return kUniform;
  // Inner loops that do not move it load the same elements again: pack() will copy them.
  double reuse = 1;
  for (const Loop* inner : in.inner)
    if (!l.at.coef(inner->var)) reuse *= double(inner->extent);
  const bool packed =
      reuse >= kPackReuse && !std::binary_search(in.stored.begin(), in.stored.end(), l.buffer);
  const double gather_all = (far(b, k) ? kFarGather : kGather) * in.width;
  return packed ? 1 + gather_all / reuse : gather_all;
}

double Lanes::in_lanes(const Store& s, InLanes& in) {
  const Buffer& b = p_.buffers[std::size_t(s.buffer)];
  const bool own = b.role == Buffer::Role::local && inside(in.loop, b.scope);
  const std::int64_t k = s.at.coef(in.loop.var);
  const bool scatter = varies(s.at, in.loop), combines = s.combine != Combine::set;
  if (in_registers(b, in) && !own && (k || scatter)) return kNever;
  if (scatter) return (combines ? kMeeting : kGather) * in.width;
  if (own || k == 1) return 1;
  if (k) return (far(b, k) ? kFarScatter : kGather) * in.width;
  if (!combines) return kNever;
  in.exits += 2 * std::log2(in.width);
  for (auto& t : s.at.terms)
    if (inside(in.loop, t.sym))
      return b.size * in.width * std::int64_t(jaxpp::width(b.dtype)) <= kMovingBytes ? kMoving
                                                                                     : 2 * in.width;
  return 1;
}

// The cost of running a block once in lanes.
double Lanes::in_lanes(const Block& b, InLanes& in) {
  double cost = 0;
  auto varying = [&](Sym s) { return varies_over_[std::size_t(s)] == in.loop.var; };
  auto mark = [&](Sym s, bool yes) {
    if (yes) varies_over_[std::size_t(s)] = in.loop.var;
  };
  for (const Node& n : b) {
    if (auto* loop = n.as<Loop>()) {
      in.inner.push_back(loop);
      cost += double(loop->extent) * in_lanes(loop->body, in);
      in.inner.pop_back();
    } else if (auto* let = n.as<Let>()) {
      const bool v = std::any_of(let->args.begin(), let->args.end(), varying);
      for (int i = 0; i < let->results; ++i) mark(let->sym + i, v);
      cost += scalar_cost(n);
    } else if (auto* index = n.as<Index>()) {
      mark(index->sym, index->at.coef(in.loop.var) || varies(index->at, in.loop));
      cost += 1;
    } else if (auto* clip = n.as<Clip>()) {
      mark(clip->sym, varying(clip->arg));
      cost += 1;
    } else if (auto* load = n.as<Load>()) {
      cost += in_lanes(*load, in);
    } else if (auto* store = n.as<Store>()) {
      cost += in_lanes(*store, in);
    } else if (auto* w = n.as<While>()) {
      const double cond = in_lanes(w->cond, in);
      cost += kWhileTrips * (cond + in_lanes(w->body, in));
    } else if (auto* i = n.as<If>()) {
      const double both = in_lanes(i->body, in) + in_lanes(i->otherwise, in);
      cost += 1 + (varying(i->pred) ? both : 0.5 * both);
    } else if (n.as<Call>()) {
      return kNever;
    }
  }
  return cost;
}

namespace {
// The most values of straight code that are wanted at a time, sums of combining stores included.
int most_live(const Block& b) {
  std::unordered_map<Sym, std::size_t> last;
  const auto uses = [](const Node& n, auto f) {
    if (auto* let = n.as<Let>())
      for (Sym s : let->args) f(s);
    if (auto* store = n.as<Store>()) f(store->value);
    if (auto* clip = n.as<Clip>()) f(clip->arg);
  };
  int sums = 0;
  for (std::size_t k = 0; k < b.size(); ++k) {
    uses(b[k], [&](Sym s) { last[s] = k; });
    if (auto* store = b[k].as<Store>()) sums += store->combine != Combine::set;
  }
  std::unordered_set<Sym> live;
  std::size_t most = 0;
  for (std::size_t k = 0; k < b.size(); ++k) {
    const auto define = [&](Sym s) {
      if (last.contains(s)) live.insert(s);
    };
    if (auto* load = b[k].as<Load>()) define(load->sym);
    if (auto* let = b[k].as<Let>())
      for (int i = 0; i < let->results; ++i) define(let->sym + i);
    most = std::max(most, live.size());
    uses(b[k], [&](Sym s) {
      if (last[s] == k) live.erase(s);
    });
  }
  return int(most) + sums;
}
}  // namespace

double Lanes::choose(Loop& l, bool in_time) {
  in_time |= l.order == Order::serial;
  const bool is_long = l.extent > target_.max_unroll;
  double& cost = cycles_[std::size_t(l.var)];
  long_loops_ += is_long;
  cost = double(l.extent) * choose(l.body, in_time);  // marks the loops inside
  long_loops_ -= is_long;
  const int w = target_.vector_bytes ? width(l) : 1;
  // A short dimension of something that goes on in time is unrolled into registers: as a vector it would go through
  // memory at every step.
  if (l.order == Order::serial || w < 2 || l.extent < (in_time ? w : 2)) return cost;
  InLanes in{l, w, (is_long || long_loops_ > 0) && !in_time};
  each_node(l.body, [&](const Node& n) {
    if (auto* s = n.as<Store>()) in.stored.push_back(s->buffer);
  });
  std::sort(in.stored.begin(), in.stored.end());
  const double body = in_lanes(l.body, in);
  const double lanes = std::ceil(double(l.extent) / w) * body + in.exits;
  if (!(lanes < cost)) return cost;

  bool leaf = true, control = false, branches = false;
  double step = 0;  // of the longest code that is repeated inside
  each_node(l.body, [&](Node& n) {
    auto* inner = n.as<Loop>();
    branches |= n.as<If>() != nullptr;
    control |= n.as<While>() || (inner && inner->order == Order::serial);
    if (!inner) return;
    leaf = false;
    inner->marks.lanes = inner->marks.interleave = 1;
    double work = 0;
    for (const Node& m : inner->body) work += m.as<Loop>() ? kNever : scalar_cost(m);
    step = std::max(step, inner->extent > target_.max_unroll ? work : kNever);
  });
  // Several vectors in flight where one chain of operations would wait for itself: a short body, or sums of short terms.
  if (leaf) step = body;
  int k = control ? 2 : step <= 8 ? 4 : step <= 16 ? 2 : 1;
  // So does a long chain, of which a processor sees one at a time; as long as registers hold what is wanted of all.
  if (leaf && !control && !branches && l.extent >= kLongRun * w) {
    const int live = most_live(l.body), registers = target_.vector_bytes >= 64 ? 32 : 16;
    k = std::max(k, 10 * live <= 3 * registers ? 4 : 4 * live <= 3 * registers ? 2 : 1);
  }
  for (const Buffer& b : p_.buffers)  // arrays of vectors would grow with k
    if (!control && b.role == Buffer::Role::local && b.size > (leaf ? target_.max_unroll : 1) &&
        inside(l, b.scope))
      k = 1;
  while (k > 1 && (l.extent < 2 * k * w || (l.extent % w == 0 && l.extent % (k * w)))) k /= 2;
  l.marks.lanes = w * k;
  l.marks.interleave = k;
  return cost = lanes;
}

double Lanes::choose(Node& n, bool in_time) {
  if (auto* l = n.as<Loop>()) return choose(*l, in_time);
  if (auto* w = n.as<While>()) {
    const double cond = choose(w->cond, true);
    return kWhileTrips * (cond + choose(w->body, true));
  }
  if (auto* i = n.as<If>()) {
    const double body = choose(i->body, in_time);
    return 1 + 0.5 * (body + choose(i->otherwise, in_time));
  }
  return scalar_cost(n);
}
double Lanes::choose(Block& b, bool in_time) {
  double cost = 0;
  for (Node& n : b) cost += choose(n, in_time);
  return cost;
}

}  // namespace jaxpp::loops
