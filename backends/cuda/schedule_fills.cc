// schedule_fills.cc -- which fill is the last touch of a buffer before it is combined into, and by
// whom.
#include "backends/cuda/schedule_fills.h"
#include <algorithm>

namespace jaxpp::cuda {
namespace {

// How many different elements an index names, if it is row-major in some order of the levels; else
// 0.
std::int64_t covered(const std::vector<Level>& levels, const Affine& at) {
  std::vector<std::pair<std::int64_t, std::int64_t>> steps;  // coefficient, extent
  std::int64_t n = 1;
  for (auto& t : at.terms) {
    auto it =
        std::find_if(levels.begin(), levels.end(), [&](const Level& l) { return l.var == t.sym; });
    if (it == levels.end() || t.k < 0) return 0;
    steps.push_back({t.k, it->extent});
  }
  std::sort(steps.begin(), steps.end());
  for (auto [k, extent] : steps) {
    if (k != n) return 0;
    n *= extent;
  }
  return at.c == 0 ? n : 0;
}

}  // namespace

void Fills::see(const Node& n, std::vector<Unit>& units) {
  Unit& u = units.back();
  auto* l = n.as<Loop>();
  if (!l) {
    auto* c = n.as<Call>();
    for (auto& o : c->in) filled_.erase(o.buffer);
    for (auto& o : c->out) filled_.erase(o.buffer);
    return;
  }
  std::map<int, std::vector<Access>> by_buffer;
  each_access(l->body, [&](const Access& a) { by_buffer[a.buffer].push_back(a); });
  each_node(l->body, [&](const Node& m) {
    auto* c = m.as<Call>();
    if (!c) return;
    for (auto& o : c->in) filled_.erase(o.buffer);
    for (auto& o : c->out) filled_.erase(o.buffer);
  });
  for (auto& [b, all] : by_buffer) {
    if (p_.buffers[std::size_t(b)].role == Buffer::Role::local) continue;
    const Access& a = all[0];
    if (all.size() == 1 && a.combines() && is_nothing(b, a.combine) && combines_once(*l, u, a)) {
      u.assigns.insert(b);
      drop(b, units);
    }
    filled_.erase(b);
    if (all.size() == 1 && u.form != Form::host) note(*l, a, units.size() - 1);
  }
}

bool Fills::is_nothing(int buffer, Combine c) const {
  auto it = filled_.find(buffer);
  return it != filled_.end() &&
         it->second.value == identity(c, p_.buffers[std::size_t(buffer)].dtype);
}
void Fills::drop(int buffer, std::vector<Unit>& units) {
  units[filled_.at(buffer).unit].skips.insert(buffer);
  filled_.erase(buffer);
}

void Fills::note(const Loop& l, const Access& a, std::size_t unit) {
  if (a.load || a.combines()) return;
  // Directly in the unit, under no condition, of a constant.
  const Store& s = *a.node->as<Store>();
  const Block* body = &l.body;
  std::vector<Level> levels{{l.var, l.extent}};
  for (;;) {
    const bool here =
        std::any_of(body->begin(), body->end(), [&](const Node& n) { return &n == a.node; });
    if (here) break;
    const Loop* next = nullptr;
    for (const Node& n : *body)
      if (auto* inner = n.as<Loop>()) {
        bool contains = false;
        each_node(inner->body, [&](const Node& m) { contains |= &m == a.node; });
        if (contains) next = inner;
      }
    if (!next) return;
    levels.push_back({next->var, next->extent});
    body = &next->body;
  }
  for (const Node& n : *body)
    if (auto* c = n.as<Const>(); c && c->sym == s.value)
      if (covered(levels, s.at) == p_.buffers[std::size_t(a.buffer)].size)
        filled_[a.buffer] = {unit, c->value};
}

// Whether a unit combines one partial result into every element of a buffer, the last thing it does
// with it.
bool Fills::combines_once(const Loop& l, const Unit& u, const Access& a) const {
  std::vector<Level> levels;
  const Loop* at = &l;
  for (;;) {
    levels.push_back({at->var, at->extent});
    const Loop* next = at->body.size() == 1 ? at->body[0].as<Loop>() : nullptr;
    if (!next || (u.form == Form::rows && next->marks.bind != Marks::Bind::block)) break;
    at = next;
  }
  if (covered(levels, *a.at) != p_.buffers[std::size_t(a.buffer)].size) return false;
  if (u.form == Form::sum || u.form == Form::columns) return true;
  if (u.form != Form::rows) return false;
  const RowFacts facts = row_facts(p_, l, u);
  auto after = facts.reduced_after.find(a.node);
  return after != facts.reduced_after.end() &&
         std::any_of(at->body.begin(), at->body.end(),
                     [&](const Node& n) { return n.as<Loop>() == after->second; });
}

}  // namespace jaxpp::cuda
