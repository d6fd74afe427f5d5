// schedule.cc -- every top-level node becomes a unit of some form; see schedule.h.
#include "backends/cuda/schedule.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include "backends/cuda/schedule_fills.h"
#include "backends/cuda/schedule_top.h"

namespace jaxpp::cuda {
namespace {

// From extents only, never from a device: results must not depend on it.
constexpr std::int64_t kBlocks = 528;         // enough to fill a large device
constexpr std::int64_t kBlockPoints = 16384;  // of a sum: fewer are not worth a second kernel
constexpr double kVectorWork = 160;           // operations of a thread, times elements at once
constexpr double kMostSequential = 1e6;       // steps of one thread; the host is faster beyond
constexpr std::int64_t kRow = 32;             // iterations worth a warp

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t product(const std::vector<Level>& levels) {
  std::int64_t n = 1;
  for (const Level& l : levels) n *= l.extent;
  return n;
}
bool has(const std::vector<Level>& levels, Sym s) {
  return std::any_of(levels.begin(), levels.end(), [&](const Level& l) { return l.var == s; });
}
Marks bound(Marks::Bind b) {
  Marks m;
  m.bind = b;
  return m;
}
// Row-major position among the levels.
Affine position(const std::vector<Level>& levels) {
  Affine a;
  for (const Level& l : levels) (a *= l.extent) += Affine::of(l.var);
  return a;
}
bool straight(const Block& b) {
  return std::none_of(b.begin(), b.end(),
                      [](const Node& n) { return n.as<Loop>() || n.as<While>() || n.as<If>(); });
}

class Scheduler {
 public:
  explicit Scheduler(Program p) : p_(std::move(p)) {}

  Scheduled run() {
    for (Group& g : split_top(p_)) {
      if (g.run) {
        single(std::move(g.nodes), g.locals);
      } else if (auto* c = g.nodes[0].as<Call>()) {
        call(std::move(*c));
      } else {
        nest(std::move(*g.nodes[0].as<Loop>()));
      }
    }
    Scheduled s;
    p_.body = std::move(out_);
    s.program = std::move(p_);
    s.units = std::move(units_);
    return s;
  }

 private:
  // ---- Units
  void finish(Node n, Unit u) {
    out_.push_back(std::move(n));
    units_.push_back(std::move(u));
    fills_.see(out_.back(), units_);
  }
  void host(Node n, std::string why) {
    Unit u;
    u.form = Form::host;
    u.why = std::move(why);
    each_node(n_block(n), [](Node& m) {
      if (auto* l = m.as<Loop>()) l->marks = {};
    });
    finish(std::move(n), std::move(u));
  }
  static Block& n_block(Node& n) {
    static thread_local Block empty;
    auto* l = n.as<Loop>();
    if (!l) return empty = {};
    l->marks = {};
    return l->body;
  }

  void call(Call c) {
    Product product = as_gemm(c);
    Unit u;
    u.form = product.why.empty() ? Form::gemm : Form::host;
    u.why = product.why;
    u.gemm = product.gemm;
    u.a = product.a;
    u.b = product.b;
    u.c = product.c;
    finish(std::move(c), std::move(u));
  }

  // What is no nest: one row.
  void single(Block nodes, const std::vector<int>& locals = {}) {
    Loop l = make_loop(p_, 1);
    l.body = std::move(nodes);
    for (int b : locals) p_.buffers[std::size_t(b)].scope = l.var;
    if (std::string why = obstacle(p_, l.body); !why.empty())
      return host(std::move(l), std::move(why));
    l.marks = bound(Marks::Bind::block);
    bind_threads(p_, l.body);
    row(std::move(l), 1);
  }

  struct Combined {  // a store into something outside of a nest
    Access access;
    std::set<Sym> missing;  // levels over which it combines
  };

  void nest(Loop l) {
    if (std::string why = obstacle(p_, l.body); !why.empty())
      return host(std::move(l), std::move(why));
    Nest n = peel(p_, std::move(l));
    std::vector<Combined> combined;
    if (!combinations(n, combined)) {
      const double steps = double(n.points()) * work(n.leaf);
      Node whole = assemble(p_, std::move(n));
      if (steps > kMostSequential)
        return host(std::move(whole), "scatter: several updates may meet in one element");
      Loop one = make_loop(p_, 1);
      each_node(one_block(whole), [](Node& m) {
        if (auto* inner = m.as<Loop>()) inner->order = Order::serial;
      });
      one.body.push_back(std::move(whole));
      one.marks = bound(Marks::Bind::block);
      return row(std::move(one), 1);
    }
    std::set<Sym> all, common;
    for (std::size_t i = 0; i < combined.size(); ++i) {
      all.insert(combined[i].missing.begin(), combined[i].missing.end());
      if (i == 0)
        common = combined[i].missing;
      else
        std::erase_if(common, [&](Sym s) { return !combined[i].missing.count(s); });
    }
    if (rowish(n)) return rows(std::move(n), std::move(combined));
    if (all.empty()) return loop(std::move(n));
    if (common.size() == n.levels.size() && small_results(n, combined, kMaxRegisters))
      return sum(std::move(n), std::move(combined));
    const Sym along = contiguous(n);
    std::vector<Level> kept, reduced;
    for (const Level& v : n.levels) (common.count(v.var) ? reduced : kept).push_back(v);
    const bool few = product(reduced) < kRow && product(kept) >= 1024;
    if (!common.empty() && !kept.empty() && small_results(n, combined, 1) &&
        (!common.count(along) || few))
      return columns(std::move(n), std::move(combined), kept, reduced);
    // The contiguous loop runs in the threads of a row.
    Nest row, inner;
    inner.leaf = std::move(n.leaf);
    inner_scope(n.levels, along);
    Marks thread = bound(Marks::Bind::thread);
    for (const Level& v : n.levels)
      if (v.var == along) inner.levels.push_back(v);
    std::vector<Level> outer;
    for (const Level& v : n.levels)
      if (v.var != along) outer.push_back(v);
    if (outer.empty()) outer.push_back({p_.next_sym++, 1});
    // Reduced levels other than the contiguous one run in the row, one after another.
    std::vector<Level> blocks, serial;
    for (const Level& v : outer)
      (common.count(v.var) && common.count(along) ? serial : blocks).push_back(v);
    if (blocks.empty()) std::swap(blocks, serial);
    row.leaf.push_back(assemble(p_, std::move(inner), {thread}));
    for (std::size_t i = serial.size(); i-- > 0;) {
      Loop u;
      u.var = serial[i].var;
      u.extent = serial[i].extent;
      u.body = std::move(row.leaf);
      row.leaf.clear();
      row.leaf.push_back(std::move(u));
    }
    row.levels = blocks;
    for (Combined& c : combined) std::erase_if(c.missing, [&](Sym s) { return !has(blocks, s); });
    rows(std::move(row), std::move(combined));
  }
  static Block& one_block(Node& n) {
    Loop& l = *n.as<Loop>();
    l.order = Order::serial;
    return l.body;
  }

  // The stores that combine into something outside.  Levels on which the place depends by data run
  // one after another, inside of the others.  False: the nest must run as one thread would.
  bool combinations(Nest& n, std::vector<Combined>& all) {
    std::set<Sym> inside = loops_in(n.leaf);
    for (const Level& l : n.levels) inside.insert(l.var);
    const Depends depends(n.leaf, n.levels);
    const auto symbols = intervals(p_, n);
    std::map<int, std::vector<Access>> outside;
    each_access(n.leaf, [&](const Access& a) {
      if (!is_inside(p_, a.buffer, inside)) outside[a.buffer].push_back(a);
    });
    std::set<Sym> in_order;
    for (auto& [b, list] : outside)
      for (const Access& a : list) {
        if (!a.combines()) continue;
        Combined c{a, {}};
        for (const Level& l : n.levels) {
          if (depends.on_data(*a.at, l.var))
            in_order.insert(l.var);
          else if (a.at->coef(l.var) == 0)
            c.missing.insert(l.var);
          else if (!apart(list, l, symbols))
            in_order.insert(l.var);
        }
        all.push_back(std::move(c));
      }
    if (in_order.empty()) return true;
    if (in_order.size() == n.levels.size()) return false;
    for (Combined& c : all) {
      if (!std::all_of(c.missing.begin(), c.missing.end(),
                       [&](Sym s) { return in_order.count(s); }))
        return false;
      c.missing.clear();
    }
    Nest inner;
    std::vector<Level> outer;
    for (const Level& l : n.levels) (in_order.count(l.var) ? inner.levels : outer).push_back(l);
    inner.leaf = std::move(n.leaf);
    Node serial = assemble(p_, std::move(inner));
    for (Node* m = &serial; m && m->as<Loop>() && in_order.count(m->as<Loop>()->var);) {
      Loop& l = *m->as<Loop>();
      l.order = Order::serial;
      m = l.body.size() == 1 ? &l.body[0] : nullptr;
    }
    n.leaf.clear();
    n.leaf.push_back(std::move(serial));
    n.levels = std::move(outer);
    all.clear();  // pointers into the old leaf
    return true;
  }

  // How often memory is walked contiguously along a loop; stores count double.
  int contiguity(const Block& b, Sym var) const {
    int n = 0;
    each_access(b, [&](const Access& a) {
      const std::int64_t k = a.at->coef(var);
      if (p_.buffers[std::size_t(a.buffer)].role != Buffer::Role::local && (k == 1 || k == -1))
        n += a.load ? 1 : 2;
    });
    return n;
  }
  Sym contiguous(const Nest& n) const {
    Sym best = n.levels.back().var;
    for (const Level& l : n.levels)
      if (contiguity(n.leaf, l.var) > contiguity(n.leaf, best)) best = l.var;
    return best;
  }
  // Whether a thread can keep its part of every result.
  bool small_results(const Nest& n, const std::vector<Combined>& combined,
                     std::int64_t most) const {
    const std::set<Sym> inner = loops_in(n.leaf);
    for (const Combined& c : combined) {
      bool walks = false;
      for (auto& t : c.access.at->terms) {
        if (!inner.count(t.sym) && !has(n.levels, t.sym)) return false;  // a place from data
        walks |= inner.count(t.sym) > 0;
      }
      if (walks && p_.buffers[std::size_t(c.access.buffer)].size > most) return false;
    }
    return true;
  }
  // Whether there is a warp's work, or more, inside of one iteration, along memory.
  bool rowish(const Nest& n) const {
    std::int64_t most = 1;  // iterations of parallel loops with nothing between
    int inner = 0, outer = 0;
    auto walk = [&](auto&& self, const Block& b) -> void {
      for (const Node& m : b) {
        if (auto* l = m.as<Loop>()) {
          if (l->order == Order::parallel) {
            std::int64_t points = l->extent;
            const Loop* k = l;
            while (k->body.size() == 1 && k->body[0].as<Loop>() &&
                   k->body[0].as<Loop>()->order == Order::parallel) {
              k = k->body[0].as<Loop>();
              points *= k->extent;
            }
            most = std::max(most, points);
            inner = std::max(inner, contiguity(l->body, l->var));
          }
          self(self, l->body);
        } else if (auto* w = m.as<While>()) {
          self(self, w->cond);
          self(self, w->body);
        } else if (auto* i = m.as<If>()) {
          self(self, i->body);
          self(self, i->otherwise);
        }
      }
    };
    walk(walk, n.leaf);
    for (const Level& l : n.levels) outer = std::max(outer, contiguity(n.leaf, l.var));
    const bool few = n.points() < 4096;
    return (most >= kRow && inner >= outer) || (few && inner >= outer && most >= kRow / 2) ||
           (few && most >= 8 * kRow);
  }

  // ---- Forms
  void loop(Nest n) {
    // Stores decide what is contiguous; other loads then go through tiles, if there are any.
    auto stores = [&](Sym var) {
      int k = 0;
      each_access(n.leaf, [&](const Access& a) {
        if (!a.load && p_.buffers[std::size_t(a.buffer)].role != Buffer::Role::local &&
            a.at->coef(var) == 1)
          ++k;
      });
      return k;
    };
    auto better = [&](const Level& a, const Level& b) {
      return std::pair(stores(a.var), contiguity(n.leaf, a.var)) <
             std::pair(stores(b.var), contiguity(n.leaf, b.var));
    };
    auto best = n.levels.end() - 1;
    for (auto it = n.levels.begin(); it != n.levels.end(); ++it)
      if (better(*best, *it)) best = it;
    std::rotate(best, best + 1, n.levels.end());
    Unit u;
    u.vector = vector_width(p_, n.levels, n.leaf);
    if (const Sym other = transposed(n); other != kNone) {
      u.form = Form::transpose;
      u.vector = 1;
      const auto it = std::find_if(n.levels.begin(), n.levels.end(),
                                   [&](const Level& l) { return l.var == other; });
      std::rotate(it, it + 1, n.levels.end() - 1);  // next to the innermost
    }
    const std::int64_t threads = ceil_div(n.points(), u.vector);
    u.threads = int(std::min<std::int64_t>(256, ceil_div(threads, 32) * 32));
    if (u.form == Form::transpose) u.threads = 256;
    const std::vector<Marks> marks(n.levels.size(), bound(Marks::Bind::grid));
    finish(assemble(p_, std::move(n), marks), std::move(u));
  }
  // The loop along which loads are contiguous where the innermost one is not.
  Sym transposed(const Nest& n) const {
    const Level a = n.levels.back();
    if (!straight(n.leaf) || a.extent < 16) return kNone;
    std::map<Sym, std::int64_t> bytes;
    const std::set<int> stored = written(n.leaf);
    for (const Node& m : n.leaf) {
      auto* l = m.as<Load>();
      if (!l || stored.count(l->buffer)) continue;
      const std::int64_t k = l->at.coef(a.var);
      if (k > -16 && k < 16) continue;
      for (auto& t : l->at.terms)
        if (t.k == 1 && has(n.levels, t.sym))
          bytes[t.sym] += std::int64_t(width(p_.buffers[std::size_t(l->buffer)].dtype));
    }
    for (const Level& l : n.levels)
      if (auto it = bytes.find(l.var); it != bytes.end() && l.var != a.var && l.extent >= 16 &&
                                       it->second * kTile * (kTile + 1) <= kSharedBytes)
        return l.var;
    return kNone;
  }

  // Partial results: parts[(chunk, position among the kept levels)], and the nest that combines
  // them.
  //
  //   parallel i ... chunk c { y[at] += v }   ->   parallel i ... chunk c { parts[n c + position] += v }
  //                                                parallel k < chunks { parallel kept { y[at] += parts[n k + position] } }
  Node split_store(Store& s, Sym chunk, std::int64_t chunks, const std::vector<Level>& kept,
                   std::set<int>& parts) {
    const Buffer target = p_.buffers[std::size_t(s.buffer)];
    std::int64_t n = product(kept);
    const Affine inside = s.at;
    const bool walks = kept.empty() && !s.at.constant();  // loops of the leaf walk a small array
    if (walks) n = target.size;
    const int part = new_temp(p_, target.name + "_parts", target.dtype, n * chunks);
    parts.insert(part);
    Nest combine;
    Level k{p_.next_sym++, chunks};
    combine.levels.push_back(k);
    Affine at = s.at;
    std::vector<Level> fresh;
    for (const Level& l : kept) {
      fresh.push_back({p_.next_sym++, l.extent});
      at = at.subst(l.var, Affine::of(fresh.back().var));
    }
    if (walks) {
      fresh.push_back({p_.next_sym++, n});
      at = Affine::of(fresh.back().var);
    }
    combine.levels.insert(combine.levels.end(), fresh.begin(), fresh.end());
    const Sym v = p_.next_sym++;
    combine.leaf.push_back(Load{v, part, Affine::of(k.var, n) + position(fresh)});
    combine.leaf.push_back(Store{s.buffer, at, s.combine, v});
    s.buffer = part;
    s.at = Affine::of(chunk, n) + (walks ? inside : position(kept));
    return assemble(p_, std::move(combine));
  }
  // Nests that combine partial results: several small ones share a block.
  void combine_parts(Block nests) {
    double all = 0;
    for (const Node& n : nests) all += double(n.as<Loop>()->extent) * work(n.as<Loop>()->body);
    if (nests.size() <= 1 || all > 1 << 16) {
      for (Node& n : nests) nest(std::move(*n.as<Loop>()));
      return;
    }
    Block together;
    for (Node& n : nests) {
      const Store* s = nullptr;
      each_node(n.as<Loop>()->body, [&](const Node& m) {
        if (m.as<Store>()) s = m.as<Store>();
      });
      if (fills_.is_nothing(s->buffer, s->combine)) {  // filled here instead
        fills_.drop(s->buffer, units_);
        together.push_back(filled(s->buffer, s->combine));
      }
      together.push_back(std::move(n));
    }
    single(std::move(together));
  }
  Loop filled(int buffer, Combine c) {
    Loop l = make_loop(p_, p_.buffers[std::size_t(buffer)].size);
    const Sym v = p_.next_sym++;
    l.body.push_back(Const{v, identity(c, p_.buffers[std::size_t(buffer)].dtype)});
    l.body.push_back(Store{buffer, Affine::of(l.var), Combine::set, v});
    return l;
  }
  void fill(int buffer, Combine c) {
    Loop l = filled(buffer, c);
    l.marks = bound(Marks::Bind::grid);
    Unit u;
    u.skips.insert(buffer);
    finish(std::move(l), std::move(u));
  }

  void sum(Nest n, std::vector<Combined> combined) {
    const Sym along = contiguous(n);
    auto it = std::find_if(n.levels.begin(), n.levels.end(),
                           [&](const Level& l) { return l.var == along; });
    std::rotate(it, it + 1, n.levels.end());
    auto longest = std::max_element(n.levels.begin(), n.levels.end(),
                                    [](auto& a, auto& b) { return a.extent < b.extent; });
    if (n.levels[0].extent < 64) std::rotate(n.levels.begin(), longest, longest + 1);
    Unit u;
    u.form = Form::sum;
    const std::int64_t per_block =
        std::max<std::int64_t>(256, std::int64_t(double(kBlockPoints) * 4 / (4 + work(n.leaf))));
    std::int64_t chunks = std::clamp<std::int64_t>(ceil_div(n.points(), per_block), 1, 1024);
    Level& outer = n.levels[0];
    chunks = std::min(chunks, outer.extent);
    std::int64_t grain = ceil_div(outer.extent, chunks);
    if (n.levels.size() == 1 && chunks > 1)
      grain = ceil_div(grain, 16) * 16;  // chunks start at vectors
    chunks = ceil_div(outer.extent, grain);
    std::vector<Marks> marks(n.levels.size(), bound(Marks::Bind::grid));
    Block after;
    marks[0].grain = grain;
    if (chunks > 1) {
      marks[0].chunk = p_.next_sym++;
      for (Combined& c : combined)
        after.push_back(split_store(store_of(c), marks[0].chunk, chunks, {}, u.assigns));
      for (Combined& c : combined) fill(store_of(c).buffer, store_of(c).combine);
    }
    u.vector = vector_width(p_, n.levels, n.leaf);
    if (grain % u.vector && n.levels.size() == 1) u.vector = 1;
    const std::int64_t block_points = n.points() / outer.extent * grain;
    u.threads = int(std::clamp<std::int64_t>(
        std::int64_t(std::bit_ceil(std::uint64_t(ceil_div(block_points, u.vector)))), 32,
        chunks > 1 ? 256 : 1024));
    finish(assemble(p_, std::move(n), marks), std::move(u));
    combine_parts(std::move(after));
  }
  static Store& store_of(Combined& c) { return *const_cast<Node*>(c.access.node)->as<Store>(); }

  void columns(Nest n, std::vector<Combined> combined, std::vector<Level> kept,
               std::vector<Level> reduced) {
    // Contiguous columns innermost; the longest of the others is walked by several threads, and in
    // chunks.
    Nest order = std::move(n);
    std::vector<Level>::iterator best = kept.end() - 1;
    for (auto it = kept.begin(); it != kept.end(); ++it)
      if (contiguity(order.leaf, it->var) > contiguity(order.leaf, best->var)) best = it;
    std::rotate(best, best + 1, kept.end());
    const auto longest = std::max_element(reduced.begin(), reduced.end(),
                                          [](auto& a, auto& b) { return a.extent < b.extent; });
    std::rotate(reduced.begin(), longest, longest + 1);
    Unit u;
    u.form = Form::columns;
    u.vector = vector_width(p_, kept, order.leaf);
    const std::int64_t rows = reduced[0].extent, columns = product(kept) / u.vector;
    u.across = int(std::min<std::int64_t>(32, std::int64_t(std::bit_ceil(std::uint64_t(columns)))));
    const std::int64_t blocks = ceil_div(columns, u.across);
    const bool few = rows <= 1024 && blocks < kBlocks / 2;  // not worth chunks, and a second unit
    int down = (few ? 1024 : 256) / u.across;
    while (down > 1 && down * 4 > rows) down /= 2;
    if (u.across * down < 32) u.across = 32 / down;
    u.threads = u.across * down;
    std::int64_t chunks =
        few ? 1
            : std::clamp<std::int64_t>(ceil_div(kBlocks, blocks), 1,
                                       std::clamp<std::int64_t>(rows / (8 * down), 1, 1024));
    const std::int64_t grain = ceil_div(rows, chunks);
    chunks = ceil_div(rows, grain);
    bool wider = false;  // a store that combines over columns too needs a second unit anyway
    for (Combined& c : combined) wider |= c.missing.size() > reduced.size();
    Marks walk;
    Block after;
    if (chunks > 1 || wider) {
      walk.grain = grain;
      walk.chunk = p_.next_sym++;
      for (Combined& c : combined)
        after.push_back(split_store(store_of(c), walk.chunk, chunks, kept, u.assigns));
      for (Combined& c : combined) fill(store_of(c).buffer, store_of(c).combine);
    }
    std::vector<Marks> marks(kept.size(), bound(Marks::Bind::grid));
    marks.push_back(walk);
    order.levels = kept;
    order.levels.insert(order.levels.end(), reduced.begin(), reduced.end());
    finish(assemble(p_, std::move(order), marks), std::move(u));
    combine_parts(std::move(after));
  }

  // A block or a warp for every iteration of the levels.  If stores combine over some of them,
  // those are walked by a block in chunks, into an array of its own:
  //
  //   parallel r { y[at] += v }  ->  parallel c < chunks { local sum = 0; serial q { r = grain c + q: sum[at] += v }
  //                                                        parts[c] = sum }
  //                                  parallel k < chunks { y[at] += parts[k] }
  void rows(Nest n, std::vector<Combined> combined) {
    std::erase_if(combined, [](const Combined& c) { return c.missing.empty(); });
    if (combined.empty()) {
      const std::int64_t count = n.points();
      const std::vector<Marks> marks(n.levels.size(), bound(Marks::Bind::block));
      bind_unbound(n.leaf);
      return row(std::move(*assemble(p_, std::move(n), marks).as<Loop>()), count);
    }
    std::set<Sym> all, common = combined[0].missing;
    for (Combined& c : combined) {
      all.insert(c.missing.begin(), c.missing.end());
      std::erase_if(common, [&](Sym s) { return !c.missing.count(s); });
      for (auto& t : c.access.at->terms)
        if (!has(n.levels, t.sym) && !loops_in(n.leaf).count(t.sym))
          common.clear();  // a place from data
    }
    if (common.empty())
      return host(assemble(p_, std::move(n)), "reductions over different loops around rows");
    std::vector<Level> blocks, serial;
    Level walked;
    for (const Level& l : n.levels) {
      if (!all.count(l.var)) {
        blocks.push_back(l);
      } else if (common.count(l.var) && l.extent > walked.extent) {
        if (walked.var != kNone) serial.push_back(walked);
        walked = l;
      } else {
        serial.push_back(l);
      }
    }
    if (walked.var == kNone) {  // all of extent 1
      walked = {*common.begin(), 1};
      std::erase_if(serial, [&](const Level& l) { return l.var == walked.var; });
    }
    // Results, each with the part of its index that varies inside.
    struct Result {
      int buffer, local;
      Combine combine;
      Affine outer;  // of the levels that are blocks
      Interval range;
      std::vector<Store*> stores;
    };
    std::vector<Result> results;
    const auto symbols = intervals(p_, n);
    std::int64_t elements = 0;
    for (Combined& c : combined) {
      Affine outer, inner = c.access.at->c;
      for (auto& t : c.access.at->terms)
        (has(blocks, t.sym) ? outer : inner) += Affine::of(t.sym, t.k);
      const Interval range = interval(inner, symbols);
      auto it = std::find_if(results.begin(), results.end(),
                             [&](Result& r) { return r.buffer == c.access.buffer; });
      if (it == results.end()) {
        results.push_back({c.access.buffer, -1, c.access.combine, outer, range, {&store_of(c)}});
        continue;
      }
      if (!(it->outer == outer) || it->combine != c.access.combine)
        return host(assemble(p_, std::move(n)), "reductions of several kinds into one array");
      it->range = {std::min(it->range.lo, range.lo), std::max(it->range.hi, range.hi)};
      it->stores.push_back(&store_of(c));
    }
    for (Result& r : results) elements += r.range.hi - r.range.lo + 1;
    const double all_work = double(walked.extent * product(serial)) * (work(n.leaf) + 1);
    std::int64_t chunks =
        std::clamp<std::int64_t>(ceil_div(2 * kBlocks, product(blocks)), 1, walked.extent);
    chunks = std::clamp<std::int64_t>(std::int64_t(all_work / (64 * double(elements))), 1, chunks);
    const std::int64_t grain = ceil_div(walked.extent, chunks);
    chunks = ceil_div(walked.extent, grain);
    const Level chunk{p_.next_sym++, chunks};

    // The inside of a chunk.
    Block body, last;
    Block after;
    for (Result& r : results) {
      const std::int64_t size = r.range.hi - r.range.lo + 1;
      const Buffer target = p_.buffers[std::size_t(r.buffer)];
      Buffer local;
      local.role = Buffer::Role::local;
      local.name = target.name + "_sum" + std::to_string(p_.buffers.size());
      local.dtype = target.dtype;
      local.size = size;
      local.scope = chunk.var;
      r.local = int(p_.buffers.size());
      p_.buffers.push_back(std::move(local));
      for (Store* s : r.stores) {
        Affine at = s->at + Affine(-r.range.lo) + r.outer * -1;
        s->buffer = r.local;
        s->at = at;
      }
      // For every element; without a loop if there is one.
      Loop start = make_loop(p_, size), end = make_loop(p_, size);
      const Affine at_start = size > 1 ? Affine::of(start.var) : Affine(),
                   at_end = size > 1 ? Affine::of(end.var) : Affine();
      const Sym none = p_.next_sym++;
      start.body.push_back(Const{none, identity(r.combine, target.dtype)});
      start.body.push_back(Store{r.local, at_start, Combine::set, none});
      const Sym v = p_.next_sym++;
      end.body.push_back(Load{v, r.local, at_end});
      if (chunks == 1) {
        end.body.push_back(Store{r.buffer, r.outer + at_end + Affine(r.range.lo), r.combine, v});
      } else {
        const int part =
            new_temp(p_, target.name + "_parts", target.dtype, product(blocks) * chunks * size);
        std::vector<Level> fresh;
        Affine outer = r.outer;
        for (const Level& l : blocks) {
          fresh.push_back({p_.next_sym++, l.extent});
          outer = outer.subst(l.var, Affine::of(fresh.back().var));
        }
        auto place = [&](const std::vector<Level>& around, Sym c, const Affine& e) {
          return (position(around) * chunks + Affine::of(c)) * size + e;
        };
        end.body.push_back(Store{part, place(blocks, chunk.var, at_end), Combine::set, v});
        Nest combine;
        const Level k{p_.next_sym++, chunks}, e{p_.next_sym++, size};
        combine.levels = fresh;
        combine.levels.push_back(k);
        combine.levels.push_back(e);
        const Sym w = p_.next_sym++;
        combine.leaf.push_back(Load{w, part, place(fresh, k.var, Affine::of(e.var))});
        combine.leaf.push_back(
            Store{r.buffer, outer + Affine::of(e.var) + Affine(r.range.lo), r.combine, w});
        after.push_back(assemble(p_, std::move(combine)));
      }
      auto add = [&](Block& to, Loop& l) {
        if (size > 1)
          to.push_back(std::move(l));
        else
          std::move(l.body.begin(), l.body.end(), std::back_inserter(to));
      };
      add(body, start);
      add(last, end);
    }
    // Its rows, one after another.
    Loop q = make_loop(p_, grain, Order::serial);
    const Sym innermost = serial.empty() ? (grain > 1 ? q.var : chunk.var) : serial.back().var;
    inner_scope(n.levels, innermost);
    bind_unbound(n.leaf);
    Block leaf = std::move(n.leaf);
    for (std::size_t i = serial.size(); i-- > 0;) {
      Loop l;
      l.var = serial[i].var;
      l.extent = serial[i].extent;
      l.order = Order::serial;
      l.body = std::move(leaf);
      leaf.clear();
      leaf.push_back(std::move(l));
    }
    const Affine row_number =
        Affine::of(chunk.var, grain) + (grain > 1 ? Affine::of(q.var) : Affine());
    if (grain * chunks == walked.extent) {
      each_affine(leaf, [&](Affine& at) { at = at.subst(walked.var, row_number); });
      q.body = std::move(leaf);
    } else {  // the last chunk is shorter
      const Sym number = p_.next_sym++, end = p_.next_sym++, inside = p_.next_sym++,
                clipped = p_.next_sym++;
      q.body.push_back(Index{number, DType::i64, row_number});
      q.body.push_back(Const{end, Element::of(DType::i64, double(walked.extent))});
      Let less;
      less.sym = inside;
      less.op = less_than();
      less.dtype = DType::b1;
      less.args = {number, end};
      q.body.push_back(std::move(less));
      If some;
      some.pred = inside;
      some.body.push_back(Clip{clipped, number, 0, walked.extent - 1});
      each_affine(leaf, [&](Affine& at) { at = at.subst(walked.var, Affine::of(clipped)); });
      for (Node& m : leaf) some.body.push_back(std::move(m));
      q.body.push_back(std::move(some));
    }
    if (grain == 1) std::move(q.body.begin(), q.body.end(), std::back_inserter(body));
    if (grain > 1) body.push_back(std::move(q));
    for (Node& m : last) body.push_back(std::move(m));
    Nest outer;
    outer.levels = blocks;
    outer.levels.push_back(chunk);
    outer.leaf = std::move(body);
    if (has_bound(outer.leaf)) bind_unbound(outer.leaf);  // else a thread does all of it
    const std::int64_t count = outer.points();
    const std::vector<Marks> marks(outer.levels.size(), bound(Marks::Bind::block));
    row(std::move(*assemble(p_, std::move(outer), marks).as<Loop>()), count);
    combine_parts(std::move(after));
  }
  static const Primitive* less_than();
  // Locals of the levels become locals of `to`.
  void inner_scope(const std::vector<Level>& levels, Sym to) {
    for (Buffer& b : p_.buffers)
      if (b.role == Buffer::Role::local && has(levels, b.scope)) b.scope = to;
  }
  static bool has_bound(const Block& b) {
    bool r = false;
    each_node(b, [&](const Node& n) {
      if (auto* l = n.as<Loop>()) r |= l->marks.bind == Marks::Bind::thread;
    });
    return r;
  }
  // Loops that threads share, where none are marked yet.
  void bind_unbound(Block& b) {
    if (!has_bound(b)) return bind_threads(p_, b);
    for (Node& n : b)  // parts of it were bound when it was made
      if (auto* l = n.as<Loop>(); l && l->marks.bind == Marks::Bind::none) {
        Block one;
        if (has_bound(l->body)) continue;
        one.push_back(std::move(n));
        bind_threads(p_, one);
        n = std::move(one[0]);
      }
  }

  // The last of it: how many threads, and what does not fit into shared memory goes to global
  // memory.
  void row(Loop l, std::int64_t count) {
    Unit u;
    u.form = Form::rows;
    std::int64_t most = 1;
    for (const ThreadNest& t : thread_nests(l.body)) {
      const int v = vector_width(p_, t.levels, *t.leaf);
      u.vectors[t.levels.back().var] = v;
      most = std::max(most, t.points() / v);
    }
    auto round = [](std::int64_t n) {
      return std::clamp<std::int64_t>(ceil_div(n, 32) * 32, 32, 1024);
    };
    if (most == 1)
      u.group = 1;
    else if (count >= 1024 && most <= 256)
      u.group = 32;
    else
      u.group = int(count >= kBlocks ? round(ceil_div(most, 4)) : round(most));
    for (const ThreadNest& t :
         thread_nests(l.body))  // rather one element for every thread than four for some
      for (int& v = u.vectors[t.levels.back().var]; v > 1 && t.points() / v < u.group;) v /= 2;
    settle_vectors(l, u);
    u.threads = u.group == 32 ? int(32 * std::clamp<std::int64_t>(count / kBlocks, 1, 8)) : u.group;
    if (u.group == 1) u.threads = int(std::min<std::int64_t>(256, count));
    const std::int64_t room = kSharedBytes - 2048;
    for (;;) {
      const RowFacts facts = row_facts(p_, l, u);
      const std::int64_t each = shared_bytes(p_, facts), rows_of_block = u.threads / u.group;
      if (each * rows_of_block <= room) break;
      if (rows_of_block > 1) {
        u.threads =
            int(std::max<std::int64_t>(1, room / std::max<std::int64_t>(each, 1))) * u.group;
        continue;
      }
      int largest = -1;
      for (auto [b, s] : facts.storage)
        if (s == Storage::shared && (largest < 0 || p_.buffers[std::size_t(b)].size >
                                                        p_.buffers[std::size_t(largest)].size))
          largest = b;
      to_global(l, largest);
    }
    if (count == 1)
      if (const double steps = sequential_work(l.body, u.group); steps > kMostSequential)
        return host(std::move(l), "a long loop over time: " + std::to_string(std::int64_t(steps)) +
                                      " steps of one block");
    finish(std::move(l), std::move(u));
  }
  // Loops that walk one local do so by equal vectors: then an element stays with one thread.
  void settle_vectors(const Loop& l, Unit& u) {
    std::map<int, std::set<Sym>> walkers;
    for (const ThreadNest& t : thread_nests(l.body))
      each_access(*t.leaf, [&](const Access& a) {
        if (p_.buffers[std::size_t(a.buffer)].role == Buffer::Role::local &&
            a.at->coef(t.levels.back().var))
          walkers[a.buffer].insert(t.levels.back().var);
      });
    for (bool again = true; again;) {
      again = false;
      for (auto& [b, loops] : walkers) {
        int least = 16;
        for (Sym s : loops) least = std::min(least, u.vectors[s]);
        for (Sym s : loops)
          if (u.vectors[s] != least) {
            u.vectors[s] = least;
            again = true;
          }
      }
    }
  }
  // A local of a row becomes its part of an array in memory.
  void to_global(Loop& l, int buffer) {
    std::vector<Level> around;
    Loop* at = &l;
    for (;;) {
      around.push_back({at->var, at->extent});
      Loop* next = at->body.size() == 1 ? at->body[0].as<Loop>() : nullptr;
      if (!next || next->marks.bind != Marks::Bind::block) break;
      at = next;
    }
    Buffer& b = p_.buffers[std::size_t(buffer)];
    const Affine shift = position(around) * b.size;
    each_node(l.body, [&](Node& n) {
      if (auto* load = n.as<Load>(); load && load->buffer == buffer) load->at += shift;
      if (auto* s = n.as<Store>(); s && s->buffer == buffer) s->at += shift;
    });
    b.role = Buffer::Role::temp;
    b.scope = kNone;
    b.size *= product(around);
  }

  Program p_;
  Block out_;
  std::vector<Unit> units_;
  Fills fills_{p_};
};

const Primitive* Scheduler::less_than() {
  static const Primitive* p = find_primitive("lt");
  return p;
}

}  // namespace

int vector_width(const Program& p, const std::vector<Level>& levels, const Block& leaf) {
  const Level v = levels.back();
  if (!straight(leaf)) return 1;
  const Depends depends(leaf, levels);
  std::size_t widest = 1;
  bool vectors = true, any = false;
  const std::set<int> stored = written(leaf);
  std::vector<const Affine*> places;
  std::set<int> seen;
  each_access(leaf, [&](const Access& a) {
    const Buffer& b = p.buffers[std::size_t(a.buffer)];
    if (b.role == Buffer::Role::local && b.scope == v.var) return;
    if (a.at->coef(v.var) == 0 && !depends.on_data(*a.at, v.var)) {
      vectors &= !a.load || !stored.count(a.buffer);
      return;
    }
    if (a.at->coef(v.var) != 1 || depends.on_data(*a.at, v.var)) vectors = false;
    if (a.load && stored.count(a.buffer)) vectors = false;
    if (a.combines()) return;  // element by element
    widest = std::max(widest, width(b.dtype));
    places.push_back(a.at);
    any = true;
  });
  if (!vectors || !any) return 1;
  std::int64_t n = std::max<std::int64_t>(1, 16 / std::int64_t(widest));
  n = std::min<std::int64_t>(n, 8);
  const double cost = std::max(1.0, work(leaf));
  while (n > 1) {
    bool fits = v.extent % n == 0 && cost * double(n) <= kVectorWork;
    for (const Affine* at : places) {
      fits &= at->c % n == 0;
      for (auto& t : at->terms) fits &= t.sym == v.var || t.k % n == 0;
    }
    if (fits) break;
    n /= 2;
  }
  return int(n);
}

Scheduled schedule_for_device(Program p) { return Scheduler(std::move(p)).run(); }

}  // namespace jaxpp::cuda
