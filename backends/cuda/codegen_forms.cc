// codegen_forms.cc -- the frames of kernels whose threads go their own ways: loop, transpose, sum,
// columns.
#include <algorithm>
#include "backends/cuda/codegen_printer.h"

namespace jaxpp::cuda {

void Printer::loop() {
  const auto loops = chain(loop_, Marks::Bind::grid);
  const auto levels = levels_of(loops);
  const std::int64_t threads = product(levels) / u_.vector;
  comment_ = "// A thread for " +
             (u_.vector == 1 ? std::string("each") : "every " + num(u_.vector)) + " of " +
             extents(levels) + " iterations.\n";
  grid(ceil_div(threads, u_.threads));
  count_arrays();
  const std::string t = global_number(u_.threads, "threadIdx.x");
  if (threads % u_.threads) line("if (" + t + " >= " + num(threads) + ") return;");
  decode(levels, t, u_.vector);
  neighbours(loops.back()->body, levels.back(), u_.vector);
}

void Printer::transpose() {
  const auto loops = chain(loop_, Marks::Bind::grid);
  const auto levels = levels_of(loops);
  const Level a = levels[levels.size() - 1], b = levels[levels.size() - 2];
  const Block& leaf = loops.back()->body;
  comment_ = "// " + extents(levels) + " iterations by tiles of " + num(kTile) + " x " +
             num(kTile) + ": loads along one loop, stores along another.\n";
  const std::int64_t across = ceil_div(a.extent, kTile), down = ceil_div(b.extent, kTile);
  std::vector<Level> around(levels.begin(), levels.end() - 2);
  grid(across * down * product(around));
  std::string front;
  std::vector<std::pair<const Load*, std::string>> tiles;
  std::vector<const Node*> tiled;
  for (const Node& n : leaf) {
    auto* l = n.as<Load>();
    if (!l || stored_.count(l->buffer) || l->at.coef(b.var) != 1) continue;
    if (const std::int64_t k = l->at.coef(a.var); k > -16 && k < 16) continue;
    bool fixed = true;
    for (auto& t : l->at.terms)
      fixed &=
          std::any_of(levels.begin(), levels.end(), [&](const Level& v) { return v.var == t.sym; });
    if (!fixed) continue;
    tiles.push_back({l, "tile" + num(std::int64_t(tiles.size()))});
    tiled.push_back(&n);
    line("__shared__ " + std::string(type_name(f_.buffer(l->buffer).dtype)) + " " +
         tiles.back().second + "[" + num(kTile) + "][" + num(kTile + 1) + "];");
  }
  line("const int across = threadIdx.x % 32, down = threadIdx.x / 32;");
  const std::string u = wide_ ? "ull" : "u";
  if (!around.empty()) decode(around, "blockIdx.x / " + num(across * down) + u, 1);
  const std::string type = std::string("const ") + index_type();
  line(type + " first_a = blockIdx.x % " + num(across) + " * 32, first_b = blockIdx.x / " +
       num(across) + u + " % " + num(down) + u + " * 32;");
  const std::string guard =
      "if (" + std::string("i_a < ") + num(a.extent) + " && i_b < " + num(b.extent) + ")";
  auto phase = [&](const std::string& ia, const std::string& ib) {
    line("#pragma unroll");
    open("for (int k = down; k < 32; k += " + num(u_.threads / 32) + ")");
    line(type + " i_a = first_a + " + ia + ", i_b = first_b + " + ib + ";");
    names_[a.var] = "i_a";
    names_[b.var] = "i_b";
    open(guard);
  };
  phase("k", "across");
  for (auto& [l, tile] : tiles) line(tile + "[k][across] = " + place(l->buffer, l->at) + ";");
  close();
  close();
  line("__syncthreads();");
  phase("across", "k");
  for (auto& [l, tile] : tiles) names_[l->sym] = tile + "[across][k]";
  done_.insert(tiled.begin(), tiled.end());
  locals(a.var);
  block(leaf);
  close();
  close();
}

void Printer::sum() {
  const auto loops = chain(loop_, Marks::Bind::grid);
  const auto levels = levels_of(loops);
  const Block& leaf = loops.back()->body;
  const Marks& m = loop_.marks;
  const std::int64_t grain = m.grain, chunks = ceil_div(loop_.extent, grain);
  comment_ =
      "// Sums over " + extents(levels) + " iterations" +
      (chunks > 1 ? ", " + num(grain) + " of the first loop for each of " + num(chunks) + " blocks"
                  : "") +
      ".\n";
  grid(chunks);
  count_arrays();
  if (m.chunk != kNone) {
    define(m.chunk, 'h');
    line("const int " + name(m.chunk) + " = blockIdx.x;");
  }
  std::vector<const Node*> stores = combining(leaf);
  const std::set<Sym> inner = loops_in(leaf);
  for (const Node* n : stores) {
    const Store& s = *n->as<Store>();
    Affine at = s.at;
    if (m.chunk != kNone) at = at.subst(m.chunk, 0);
    bool walks = false;
    for (auto& t : at.terms) walks |= inner.count(t.sym) > 0;
    start_sum(*n, walks ? f_.buffer(s.buffer).size / chunks : 1, at, 1).walked = walks;
  }
  const std::string begin = chunks > 1 ? name(m.chunk) + " * " + num(grain) + " + " : "";
  const bool even = grain * chunks == loop_.extent;
  const std::string count = even ? num(grain)
                                 : "(" + name(m.chunk) + " == " + num(chunks - 1) + " ? " +
                                       num(loop_.extent - (chunks - 1) * grain) + " : " +
                                       num(grain) + ")";
  const std::string i = fresh('n');
  if (levels.size() == 1) {
    const std::string v = define(loop_.var, 'i');
    open("for (" + std::string(index_type()) + " " + v + " = " + begin + "threadIdx.x" +
         (u_.vector > 1 ? " * " + num(u_.vector) : "") + ", " + i + " = " + begin + count + "; " +
         v + " < " + i + "; " + v + " += " + num(u_.threads * u_.vector) + ")");
  } else {
    std::vector<Level> rest(levels.begin() + 1, levels.end());
    const std::int64_t each = product(rest) / u_.vector;
    const std::string t = fresh('g'), type = wide_ ? "unsigned long long" : "unsigned";
    open("for (" + type + " " + t + " = threadIdx.x, " + i + " = " + count + " * " + num(each) +
         "; " + t + " < " + i + "; " + t + " += " + num(u_.threads) + ")");
    line("const " + std::string(index_type()) + " " + define(loop_.var, 'i') + " = " + begin + t +
         " / " + num(each) + ";");
    decode(rest, t + " % " + num(each) + (wide_ ? "ull" : "u"), u_.vector);
  }
  neighbours(leaf, levels.back(), u_.vector);
  close();
  for (const Node* n : stores) {
    const Sum& a = sums_.at(n);
    const Store& s = *a.store;
    auto result = [&](const std::string& from, const Affine& at) {
      const std::string r = fresh('r'), to = place(s.buffer, at);
      line("const " + std::string(type_name(f_.buffer(s.buffer).dtype)) + " " + r + " = " +
           reduced(s, from) + ";");
      line("if (threadIdx.x == 0) " + to + " = " +
           (u_.assigns.count(s.buffer) ? r : combined(s.combine, to, r)) + ";");
    };
    if (a.walked && a.size > 1 && words_ > kMostWords) {
      names_[kElement] = "e";
      line("#pragma unroll 1");
      open("for (int e = 0; e < " + num(a.size) + "; ++e)");
      result(a.name + "[e]",
             (m.chunk != kNone ? Affine::of(m.chunk, a.size) : Affine()) + Affine::of(kElement));
      close();
      continue;
    }
    for (std::int64_t e = 0; e < a.size; ++e)
      result(a.element(e), !a.walked          ? s.at
                           : m.chunk != kNone ? Affine::of(m.chunk, a.size) + Affine(e)
                                              : Affine(e));
  }
  std::string front;
  print_scratch(front);
  out_ = front + out_;
}

void Printer::columns() {
  const auto loops = chain(loop_, Marks::Bind::grid);
  const auto levels = levels_of(loops);
  const Loop& walk = *loops.back()->body[0].as<Loop>();
  const Marks& m = walk.marks;
  const std::int64_t count = product(levels) / u_.vector,
                     grain = m.chunk != kNone ? m.grain : walk.extent,
                     chunks = ceil_div(walk.extent, grain);
  const int down = u_.threads / u_.across;
  const std::int64_t blocks = ceil_div(count, u_.across);
  comment_ = "// Sums along a loop of " + num(walk.extent) + ", for each of " + extents(levels) +
             " columns: " + num(u_.across) + " threads across, " + num(down) + " down" +
             (chunks > 1 ? ", " + num(chunks) + " chunks" : "") + ".\n";
  grid(blocks * chunks);
  const bool shared = down > 1;
  line("const int across = threadIdx.x % " + num(u_.across) + ", down = threadIdx.x / " +
       num(u_.across) + ";");
  const std::string u = wide_ ? "ull" : "u", t = fresh('g');
  line("const unsigned " + std::string(wide_ ? "long long " : "") + t + " = blockIdx.x" +
       (chunks > 1 ? " % " + num(blocks) + u : "") + " * " + num(u_.across) + u + " + across;");
  if (m.chunk != kNone) {
    define(m.chunk, 'h');
    line("const int " + name(m.chunk) + " = blockIdx.x" +
         (blocks > 1 ? " / " + num(blocks) + u : "") + ";");
  }
  const bool full = count % u_.across == 0;
  if (!full) line("const bool inside = " + t + " < " + num(count) + ";");
  decode(levels, t, u_.vector);
  // The loops that are walked, down to the leaf.
  std::vector<const Loop*> walked{&walk};
  const Level innermost = levels.back();
  const Loop* last = &walk;
  std::vector<const Node*> stores = combining(walk.body);
  for (;;) {
    const Loop* next = last->body.size() == 1 ? last->body[0].as<Loop>() : nullptr;
    bool reduced = next && next->order == Order::parallel;
    for (const Node* n : stores) reduced = reduced && n->as<Store>()->at.coef(next->var) == 0;
    if (!reduced) break;
    last = next;
    walked.push_back(last);
  }
  for (const Node* n : stores) start_sum(*n, 1, {}, u_.vector);
  const std::string begin = chunks > 1 ? name(m.chunk) + " * " + num(grain) + " + " : "";
  const std::string end = chunks == 1 ? num(walk.extent)
                          : grain * chunks == walk.extent
                              ? begin + num(grain)
                              : "(" + name(m.chunk) + " == " + num(chunks - 1) + " ? " +
                                    num(walk.extent) + " : " + begin + num(grain) + ")";
  const std::string i = define(walk.var, 'i'), stop = fresh('n');
  open((full ? "" : "if (inside) ") + std::string("for (") + index_type() + " " + i + " = " +
       begin + "down, " + stop + " = " + end + "; " + i + " < " + stop + "; " + i +
       " += " + num(down) + ")");
  for (std::size_t k = 1; k < walked.size(); ++k) {
    const std::string v = define(walked[k]->var, 'i');
    open("for (" + std::string(index_type()) + " " + v + " = 0; " + v + " < " +
         num(walked[k]->extent) + "; ++" + v + ")");
  }
  for (const Loop* w : walked) locals(w->var);
  neighbours(last->body, innermost, u_.vector);
  for (std::size_t k = 0; k < walked.size(); ++k) close();
  // Down the threads of a column, in order.
  std::string front;
  std::set<DType> types;
  for (const Node* n : stores) {
    const Sum& a = sums_.at(n);
    const Store& s = *a.store;
    const DType d = f_.buffer(s.buffer).dtype;
    const std::string type = type_name(d), part = "part_" + std::string(jaxpp::name(d));
    auto each = [&](const std::string& what) {
      if (u_.vector == 1) return line(what);
      line("#pragma unroll");
      line("for (int l = 0; l < " + num(u_.vector) + "; ++l) " + what);
    };
    lane_ = "l";
    const std::string own = u_.vector == 1 ? a.name : a.name + "[l]",
                      lane = u_.vector == 1 ? "0" : "l";
    if (shared) {
      if (types.insert(d).second)
        front += "  __shared__ __align__(16) " + type + " " + part + "[" + num(u_.vector) + "][" +
                 num(u_.threads) + "];\n";
      else
        line("__syncthreads();");
      each(part + "[" + lane + "][threadIdx.x] = " + own + ";");
      line("__syncthreads();");
      open(full ? "if (down == 0)" : "if (down == 0 && inside)");
      line("#pragma unroll");
      line("for (int k = 1; k < " + num(down) + "; ++k)");
      indent_ += "  ";
      each(own + " = " +
           combined(s.combine, own, part + "[" + lane + "][k * " + num(u_.across) + " + across]") +
           ";");
      indent_.resize(indent_.size() - 2);
    } else if (!full) {
      open("if (inside)");
    }
    const bool neighbours_in_memory = s.at.coef(innermost.var) == 1;
    if (u_.vector > 1 && neighbours_in_memory && u_.assigns.count(s.buffer)) {
      line("Pack<" + type + ", " + num(u_.vector) + "> p_" + a.name + ";");
      each("p_" + a.name + ".v[l] = " + own + ";");
      line("put(&" + place(s.buffer, s.at) + ", p_" + a.name + ");");
    } else {
      const std::string first = name(innermost.var);
      if (u_.vector > 1) names_[innermost.var] = "(" + first + " + l)";
      const std::string to = place(s.buffer, s.at);
      names_[innermost.var] = first;
      each(to + " = " + (u_.assigns.count(s.buffer) ? own : combined(s.combine, to, own)) + ";");
    }
    if (shared || !full) close();
  }
  out_ = front + out_;
}

}  // namespace jaxpp::cuda
