// schedule_tree.cc -- nests of loops: taking them apart, putting them together, who touches what.
#include "backends/cuda/schedule_tree.h"
#include <algorithm>
#include <limits>
#include "backends/loops/fusion.h"

namespace jaxpp::cuda {
namespace {

void substitute(Block& b, Sym s, const Affine& by) {
  each_affine(b, [&](Affine& at) {
    if (at.coef(s)) at = at.subst(s, by);
  });
}
// Locals of loop `from` become locals of loop `to`.
void rescope(Program& p, Sym from, Sym to) {
  for (Buffer& b : p.buffers)
    if (b.role == Buffer::Role::local && b.scope == from) b.scope = to;
}

void drop_single(Program& p, Nest& n) {
  for (std::size_t i = 0; i < n.levels.size() && n.levels.size() > 1;) {
    if (n.levels[i].extent != 1) {
      ++i;
      continue;
    }
    const Sym gone = n.levels[i].var;
    n.levels.erase(n.levels.begin() + std::ptrdiff_t(i));
    substitute(n.leaf, gone, 0);
    rescope(p, gone, n.levels.back().var);
  }
}

// Neighbouring levels that every index walks as one.
void coalesce(Program& p, Nest& n) {
  for (std::size_t i = n.levels.size(); i-- > 1;) {
    const Level outer = n.levels[i - 1], inner = n.levels[i];
    bool as_one = true;
    each_affine(n.leaf, [&](const Affine& at) {
      as_one &= at.coef(outer.var) == at.coef(inner.var) * inner.extent;
    });
    if (!as_one) continue;
    substitute(n.leaf, outer.var, 0);
    rescope(p, outer.var, inner.var);
    n.levels[i].extent *= outer.extent;
    n.levels.erase(n.levels.begin() + std::ptrdiff_t(i) - 1);
  }
}

}  // namespace

Loop make_loop(Program& p, std::int64_t extent, Order order) {
  Loop l;
  l.var = p.next_sym++;
  l.extent = extent;
  l.order = order;
  return l;
}

std::vector<Access> accesses(const Block& b) {
  std::vector<Access> all;
  each_access(b, [&](const Access& a) { all.push_back(a); });
  return all;
}

std::set<int> written(const Block& b) {
  std::set<int> w;
  each_node(b, [&](const Node& n) {
    if (auto* s = n.as<Store>()) w.insert(s->buffer);
    if (auto* c = n.as<Call>())
      for (auto& o : c->out) w.insert(o.buffer);
  });
  return w;
}

bool is_pure(const Node& n, const std::set<int>& stored) {
  if (auto* l = n.as<Load>()) return !stored.count(l->buffer);
  return n.as<Let>() || n.as<Const>() || n.as<Index>() || n.as<Clip>();
}

std::set<Sym> loops_in(const Block& b) {
  std::set<Sym> s;
  each_node(b, [&](const Node& n) {
    if (auto* l = n.as<Loop>()) s.insert(l->var);
  });
  return s;
}

bool is_inside(const Program& p, int buffer, const std::set<Sym>& loops) {
  const Buffer& b = p.buffers[std::size_t(buffer)];
  return b.role == Buffer::Role::local && loops.count(b.scope);
}

Nest peel(Program& p, Loop loop) {
  Nest n;
  const std::set<int> stored = written(loop.body);
  for (;;) {
    n.levels.push_back({loop.var, loop.extent});
    Block& b = loop.body;
    Loop* inner = b.empty() ? nullptr : b.back().as<Loop>();
    bool more = inner && inner->order == Order::parallel;
    for (std::size_t i = 0; more && i + 1 < b.size(); ++i) more = is_pure(b[i], stored);
    const std::size_t count = more ? b.size() - 1 : b.size();
    std::move(b.begin(), b.begin() + std::ptrdiff_t(count), std::back_inserter(n.leaf));
    if (!more) break;
    Loop next = std::move(*inner);
    loop = std::move(next);
  }
  drop_single(p, n);
  coalesce(p, n);
  return n;
}

Node assemble(Program& p, Nest n, const std::vector<Marks>& marks) {
  for (const Level& l : n.levels) rescope(p, l.var, n.levels.back().var);
  Block body = std::move(n.leaf);
  for (std::size_t i = n.levels.size(); i-- > 0;) {
    Loop l;
    l.var = n.levels[i].var;
    l.extent = n.levels[i].extent;
    if (i < marks.size()) l.marks = marks[i];
    l.body = std::move(body);
    body.clear();
    body.push_back(std::move(l));
  }
  return std::move(body[0]);
}

std::vector<Interval> intervals(const Program& p, const Nest& n) {
  std::vector<Interval> r(std::size_t(p.next_sym));
  for (const Level& l : n.levels) r[std::size_t(l.var)] = {0, l.extent - 1};
  each_node(n.leaf, [&](const Node& m) {
    if (auto* l = m.as<Loop>()) r[std::size_t(l->var)] = {0, l->extent - 1};
    if (auto* c = m.as<Clip>()) r[std::size_t(c->sym)] = {c->lo, c->hi};
  });
  return r;
}

Depends::Depends(const Block& b, const std::vector<Level>& levels) {
  stored_ = written(b);
  for (const Level& l : levels) define(l.var, std::uint64_t(1) << std::min(loops_++, 62));
  block(b);
}

void Depends::block(const Block& b) {
  auto of = [&](const Affine& at) {
    std::uint64_t m = 0;
    for (auto& t : at.terms) m |= mask(t.sym);
    return m;
  };
  for (const Node& n : b) {
    if (auto* l = n.as<Loop>()) {
      define(l->var, std::uint64_t(1) << std::min(loops_++, 62));
      if (l->marks.chunk != kNone) define(l->marks.chunk, mask(l->var));
      block(l->body);
    } else if (auto* let = n.as<Let>()) {
      std::uint64_t m = 0;
      for (Sym a : let->args) m |= mask(a);
      for (int i = 0; i < let->results; ++i) define(let->sym + i, m);
    } else if (auto* i = n.as<Index>()) {
      define(i->sym, of(i->at));
    } else if (auto* c = n.as<Clip>()) {
      define(c->sym, mask(c->arg));
      clips_.insert(c->sym);
    } else if (auto* load = n.as<Load>()) {
      define(load->sym, of(load->at) | (stored_.count(load->buffer) ? kAny : 0));
    } else if (auto* w = n.as<While>()) {
      block(w->cond);
      block(w->body);
    } else if (auto* f = n.as<If>()) {
      block(f->body);
      block(f->otherwise);
    }
  }
}

bool apart(const std::vector<Access>& all, Level level, const std::vector<Interval>& symbols) {
  if (all.empty()) return true;
  const std::int64_t k = all[0].at->coef(level.var), step = k < 0 ? -k : k;
  if (k == 0) return false;
  std::int64_t lo = std::numeric_limits<std::int64_t>::max(),
               hi = std::numeric_limits<std::int64_t>::min();
  for (const Access& a : all) {
    if (a.at->coef(level.var) != k) return false;
    const std::int64_t all_steps = step * level.extent;
    Affine rest = a.at->c;
    for (auto& [s, m] : a.at->terms)
      if (s != level.var && m % all_steps != 0) rest += Affine::of(s, m);
    rest.c = (rest.c % all_steps + all_steps) % all_steps;
    const Interval i = interval(rest, symbols);
    lo = std::min(lo, i.lo);
    hi = std::max(hi, i.hi);
  }
  return hi - lo < step;
}

double work(const Block& b) {
  double sum = 0;
  for (const Node& n : b) {
    if (auto* l = n.as<Loop>())
      sum += double(l->extent) * work(l->body);
    else if (auto* w = n.as<While>())
      sum += kWhileTrips * (work(w->cond) + work(w->body));
    else if (auto* i = n.as<If>())
      sum += work(i->body) + work(i->otherwise);
    else if (auto* let = n.as<Let>())
      sum += fusion::weight(*let->op);
    else if (n.as<Load>() || n.as<Store>())
      sum += 1;
  }
  return sum;
}

}  // namespace jaxpp::cuda
