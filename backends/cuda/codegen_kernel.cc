// codegen_kernel.cc -- one kernel as text: a frame by the unit's form, and inside it one walk over the tree.
//
// Values are constants of C++ (v0, v1, ...), loop variables are i0, i1, ..., indices from data j0, j1, ...; numbers are
// written where they are used.  All shapes and strides are literals.
#include "backends/cuda/codegen_kernel.h"
#include <algorithm>
#include <stdexcept>
#include "backends/cuda/codegen_scalar.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::cuda {

Facts::Facts(const Program& p) : program(p), types(std::size_t(p.next_sym), DType::i64), symbols(intervals(p)) {
  each_node(p.body, [&](const Node& n) {
    if (auto* l = n.as<Let>())
      for (int i = 0; i < l->results; ++i) types[std::size_t(l->sym + i)] = l->dtype;
    if (auto* c = n.as<Const>()) {
      types[std::size_t(c->sym)] = c->value.dtype;
      constants[c->sym] = &c->value;
    }
    if (auto* i = n.as<Index>()) types[std::size_t(i->sym)] = i->dtype;
    if (auto* l = n.as<Load>()) types[std::size_t(l->sym)] = buffer(l->buffer).dtype;
  });
  for (std::size_t i = 0; i < p.buffers.size(); ++i) {
    // Names like x0 and y0_parts1 are no words of C++ and none of ours; any other name gets a tail.
    const std::string& n = p.buffers[i].name;
    const bool plain = n.size() > 1 && std::string_view("xyct").find(n[0]) != std::string_view::npos && n[1] >= '0' && n[1] <= '9';
    names.push_back(plain ? n : n + "_" + std::to_string(i));
  }
}

bool Facts::may_alias(int a, int b) const {
  if (a == b) return true;
  const Buffer &x = buffer(a), &y = buffer(b);
  using Role = Buffer::Role;
  if (x.role == Role::temp && y.role == Role::temp) {
    if (x.offset < 0 || y.offset < 0) return false;
    const auto bytes = [](const Buffer& q) { return q.size * std::int64_t(width(q.dtype)); };
    return x.offset < y.offset + bytes(y) && y.offset < x.offset + bytes(x);
  }
  auto donated = [](const Buffer& out, const Buffer& in) {
    return out.role == Role::output && in.role == Role::input && out.donor == in.index;
  };
  return donated(x, y) || donated(y, x);
}

namespace {

std::string num(std::int64_t v) { return std::to_string(v); }
std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t product(const std::vector<Level>& levels) {
  std::int64_t n = 1;
  for (const Level& l : levels) n *= l.extent;
  return n;
}

class Printer {
 public:
  Printer(const Facts& f, const Loop& loop, const Unit& u) : f_(f), loop_(loop), u_(u), stored_(written(loop.body)) {
    const std::int64_t most = std::int64_t(1) << 31;
    double points = double(loop.extent);
    for (const Loop* l = &loop; l->body.size() == 1 && (l = l->body[0].as<Loop>());) points *= double(l->extent);
    wide_ = points >= double(most);
    each_access(loop.body, [&](const Access& a) { wide_ |= f.buffer(a.buffer).size >= most; });
  }

  Kernel print(int number) {
    static constexpr const char* form[] = {"loop", "transpose", "sum", "columns", "rows"};
    k_.name = "k" + num(number) + "_" + form[int(u_.form)];
    k_.block = {unsigned(u_.threads), 1, 1};
    each_access(loop_.body, [&](const Access& a) {
      if (f_.buffer(a.buffer).role != Buffer::Role::local && !u_.skips.count(a.buffer) &&
          std::find(k_.buffers.begin(), k_.buffers.end(), a.buffer) == k_.buffers.end())
        k_.buffers.push_back(a.buffer);
    });
    std::sort(k_.buffers.begin(), k_.buffers.end());
    indent_ = "  ";
    switch (u_.form) {
      case Form::loop: loop(); break;
      case Form::transpose: transpose(); break;
      case Form::sum: sum(); break;
      case Form::columns: columns(); break;
      default: rows(); break;
    }
    std::string body = std::move(out_);
    out_.clear();
    head();
    k_.text = comment_ + out_ + body + "}\n";
    return std::move(k_);
  }

 private:
  // ---- Text
  void line(const std::string& s) { out_ += indent_ + s + "\n"; }
  void open(const std::string& s) {
    line(s.empty() ? "{" : s + " {");
    indent_ += "  ";
  }
  void close() {
    indent_.resize(indent_.size() - 2);
    line("}");
  }
  const char* index_type() const { return wide_ ? "long long" : "int"; }

  void head() {
    auto type = [&](int b) {
      const bool read_only = !stored_.count(b);
      return std::string(read_only ? "const " : "") + type_name(f_.buffer(b).dtype) + "*";
    };
    std::string types, parameters;
    for (int b : k_.buffers) {
      bool alone = true;
      for (int o : k_.buffers) alone &= o == b || !f_.may_alias(o, b) || (!stored_.count(o) && !stored_.count(b));
      types += (types.empty() ? "" : ", ") + type(b);
      parameters += (parameters.empty() ? "" : ", ") + type(b) + (alone ? " __restrict__ " : " ") + f_.names[std::size_t(b)];
    }
    // Rows keep arrays in registers: as many as one block may have, rather than spills for the sake of more blocks.
    const std::string bounds = num(u_.threads) + (u_.form == Form::rows ? ", 1" : "");
    out_ = "// kernel " + k_.name + "(" + types + ")\n" + "extern \"C\" __global__ void __launch_bounds__(" +
           bounds + ") " + k_.name + "(" + parameters + ") {\n";
  }

  // ---- Names
  std::string name(Sym s) const { return names_.at(s); }
  std::string fresh(char letter) { return letter + num(counters_[letter]++); }
  std::string& define(Sym s, char letter) { return names_[s] = fresh(letter); }
  std::string value(Sym s, bool computed = false) const {
    if (auto it = f_.constants.find(s); it != f_.constants.end()) return literal(*it->second, computed);
    const DType d = f_.types[std::size_t(s)];
    return computed && (d == DType::f16 || d == DType::bf16) ? "compute(" + name(s) + ")" : name(s);
  }
  std::string affine(const Affine& at, bool wide = false) const {
    std::string s;
    const std::string suffix = wide ? "ll" : "";
    for (auto& [sym, k] : at.terms) {
      const std::string v = wide ? "(long long)(" + name(sym) + ")" : name(sym);
      const std::int64_t m = k < 0 ? -k : k;
      s += s.empty() ? (k < 0 ? "-" : "") : (k < 0 ? " - " : " + ");
      s += m == 1 ? v : num(m) + suffix + " * " + v;
    }
    if (at.c || s.empty())
      s += s.empty() ? num(at.c) + suffix : (at.c < 0 ? " - " : " + ") + num(at.c < 0 ? -at.c : at.c) + suffix;
    return s;
  }
  std::string place(int buffer, const Affine& at) const {
    const auto it = storage_.find(buffer);
    if (it != storage_.end() && it->second == Storage::registers)
      return f_.names[std::size_t(buffer)] + "[" + slot_ + "]";
    return f_.names[std::size_t(buffer)] + "[" + affine(at) + "]";
  }
  // first = the first of `vector` neighbouring iterations; the numbers of all levels from that of the whole.
  void decode(const std::vector<Level>& levels, const std::string& number, int vector) {
    std::int64_t below = product(levels) / vector;
    const std::string u = wide_ ? "ull" : "u";
    for (std::size_t i = 0; i < levels.size(); ++i) {
      const bool innermost = i + 1 == levels.size();
      const std::int64_t extent = innermost ? levels[i].extent / vector : levels[i].extent;
      below /= extent;
      std::string s = number;
      if (below > 1) s += " / " + num(below) + u;
      if (i > 0) s += " % " + num(extent) + u;
      s = std::string(wide_ ? "(long long)(" : "int(") + s + ")";
      if (innermost && vector > 1) s += " * " + num(vector);
      std::string& n = define(levels[i].var, 'i');
      line("const " + std::string(index_type()) + " " + n + " = " + s + ";");
    }
  }
  // The number of this thread, or of the block times `per` plus `within`.
  std::string global_number(std::int64_t per, const std::string& within) {
    const std::string t = fresh('g');
    line("const unsigned " + std::string(wide_ ? "long long " : "") + t + " = blockIdx.x * " + num(per) +
         (wide_ ? "ull" : "u") + " + " + within + ";");
    return t;
  }

  // ---- Nodes, as a single thread runs them
  void locals(Sym scope) {
    for (std::size_t i = 0; i < f_.program.buffers.size(); ++i) {
      const Buffer& b = f_.program.buffers[i];
      if (b.role != Buffer::Role::local || b.scope != scope || b.size == 0) continue;
      const auto it = storage_.find(int(i));
      if (it != storage_.end() && it->second != Storage::thread && it->second != Storage::copies) continue;
      line(std::string(type_name(b.dtype)) + " " + f_.names[i] + "[" + num(b.size) + "];");
    }
  }
  void block(const Block& b) {
    for (const Node& n : b)
      if (!done_.count(&n)) node(n);
  }
  void node(const Node& n) {
    if (auto* l = n.as<Let>()) {
      let(*l);
    } else if (auto* i = n.as<Index>()) {
      index(*i);
    } else if (auto* c = n.as<Clip>()) {
      const std::string s = "clip(" + value(c->arg) + ", " + num(c->lo) + "ll, " + num(c->hi) + "ll)";
      const std::string& v = define(c->sym, 'j');
      line("const " + std::string(index_type()) + " " + v + " = " + (wide_ ? s : "int(" + s + ")") + ";");
    } else if (auto* load = n.as<Load>()) {
      const std::string at = place(load->buffer, load->at);
      const std::string& v = define(load->sym, 'v');
      line("const " + std::string(type_name(f_.buffer(load->buffer).dtype)) + " " + v + " = " + at + ";");
    } else if (auto* s = n.as<Store>()) {
      store(n, *s);
    } else if (auto* inner = n.as<Loop>()) {
      serial(*inner);
    } else if (auto* w = n.as<While>()) {
      open("for (;;)");
      inside(w->cond);
      line("if (!" + value(w->pred) + ") break;");
      inside(w->body);
      close();
    } else if (auto* f = n.as<If>()) {
      open("if (" + value(f->pred) + ")");
      inside(f->body);
      close();
      if (!f->otherwise.empty()) {
        out_.pop_back();
        out_ += " else {\n";
        indent_ += "  ";
        inside(f->otherwise);
        close();
      }
    }
  }
  // The bodies of while, if and loops in rows may be shared by threads.
  void inside(const Block& b) { in_row_ ? row_block(b) : block(b); }

  void let(const Let& l) {
    std::vector<DType> types;
    for (Sym s : l.args) types.push_back(f_.types[std::size_t(s)]);
    if (l.op == &threefry2x32_p) {
      std::string k0 = value(l.args[0]), k1 = value(l.args[1]), c0 = value(l.args[2]), c1 = value(l.args[3]);
      const std::string a = define(l.sym, 'v'), b = define(l.sym + 1, 'v');
      line("unsigned int " + a + " = " + c0 + ", " + b + " = " + c1 + ";");
      line("threefry2x32(" + k0 + ", " + k1 + ", " + a + ", " + b + ");");
      return;
    }
    k_.elementary += is_elementary(*l.op) * lanes_;
    const std::string e =
        expression(l, types, [&](std::size_t i, bool computed) { return value(l.args[i], computed); });
    const std::string& v = define(l.sym, 'v');
    line("const " + std::string(type_name(l.dtype)) + " " + v + " = " + e + ";");
  }
  void index(const Index& i) {
    const Interval r = interval(i.at, f_.symbols);
    const std::int64_t most = (std::int64_t(1) << 31) - 1;
    const bool wide = r.hi > most || r.lo < -most;
    const std::string at = affine(i.at, wide), type = type_name(i.dtype);
    std::string s;
    switch (i.dtype) {
      case DType::f16:
      case DType::bf16: s = "convert<" + type + ">((long long)(" + at + "))"; break;
      case DType::c64:
      case DType::c128: s = "convert<" + type + ">((long long)(" + at + "))"; break;
      default: s = "(" + type + ")(" + at + ")"; break;
    }
    const std::string& v = define(i.sym, 'v');
    line("const " + type + " " + v + " = " + s + ";");
  }
  std::string combined(Combine c, const std::string& a, const std::string& b) const {
    return std::string(combiner_name(c)) + "::of(" + a + ", " + b + ")";
  }
  void store(const Node& n, const Store& s) {
    if (u_.skips.count(s.buffer)) return;
    if (auto it = sums_.find(&n); it != sums_.end()) {
      const std::string a = it->second.place(*this, s);
      line(a + " = " + combined(s.combine, a, value(s.value)) + ";");
      return;
    }
    if (auto it = packs_.find(&n); it != packs_.end()) {
      line(it->second + ".v[" + lane_ + "] = " + value(s.value) + ";");
      return;
    }
    write(place(s.buffer, s.at), s.combine, value(s.value));
  }
  void write(const std::string& to, Combine c, const std::string& v) {
    line(to + " = " + (c == Combine::set ? v : combined(c, to, v)) + ";");
  }
  void serial(const Loop& l) {
    const double cost = work(l.body) * double(l.extent);
    bool walks_local = false;
    each_access(l.body, [&](const Access& a) {
      walks_local |= f_.buffer(a.buffer).role == Buffer::Role::local && a.at->coef(l.var);
    });
    for (auto& [node, sum] : sums_) walks_local |= sum.at.coef(l.var) != 0;
    bool loops = false;
    each_node(l.body, [&](const Node& n) { loops |= n.as<While>() != nullptr; });
    if (walks_local && words_ > kMostWords)
      line("#pragma unroll 1");  // unrolled, the arrays would be registers, of which there are too few
    else if (walks_local && !loops && l.extent <= 32 && cost <= 1024)
      line("#pragma unroll");
    const std::string i = define(l.var, 'i');
    open("for (" + std::string(index_type()) + " " + i + " = 0; " + i + " < " + num(l.extent) + "; ++" + i + ")");
    locals(l.var);
    inside(l.body);
    close();
  }

  // ---- Neighbouring iterations of one loop at once: loads first, the lanes' code, stores last
  void neighbours(const Block& leaf, Level v, int vector) {
    if (vector == 1) {
      locals(v.var);
      block(leaf);
      return;
    }
    const Depends depends(leaf, {v});
    const std::set<int> stored = written(leaf);
    std::vector<std::pair<std::string, std::string>> puts;  // where, which
    const std::string first = name(v.var), width_text = num(vector);
    auto in_memory = [&](int b) {
      const auto it = storage_.find(b);
      return f_.buffer(b).role != Buffer::Role::local || (it != storage_.end() && it->second == Storage::shared);
    };
    auto address = [&](int b, const Affine& at) { return "&" + place(b, at); };
    std::set<const Node*> mine;
    auto skip = [&](const Node& n) {
      if (done_.insert(&n).second) mine.insert(&n);
    };
    for (const Node& n : leaf) {
      auto* load = n.as<Load>();
      if (load && load->at.coef(v.var) == 1 && in_memory(load->buffer)) {
        const std::string p = fresh('p'), type = type_name(f_.buffer(load->buffer).dtype);
        line("const Pack<" + type + ", " + width_text + "> " + p + " = take<" + width_text + ">(" +
             address(load->buffer, load->at) + ");");
        packed_[load->sym] = p;
        skip(n);
      } else if (is_pure(n, stored) && !depends.on(defined(n), v.var)) {
        node(n);
        skip(n);
      } else if (auto* s = n.as<Store>(); s && s->combine == Combine::set && !sums_.count(&n) &&
                                          !u_.skips.count(s->buffer) && s->at.coef(v.var) == 1 && in_memory(s->buffer)) {
        const std::string q = fresh('q'), type = type_name(f_.buffer(s->buffer).dtype);
        line("Pack<" + type + ", " + width_text + "> " + q + ";");
        puts.push_back({address(s->buffer, s->at), q});
        packs_[&n] = q;
      }
    }
    line("#pragma unroll");
    lane_ = "l";
    open("for (int l = 0; l < " + width_text + "; ++l)");
    lanes_ = vector;
    names_[v.var] = "(" + first + " + l)";
    const std::string slot = slot_;
    if (!slot_.empty()) slot_ = slot == "0" ? "l" : slot + " * " + width_text + " + l";
    for (auto& [sym, p] : packed_) names_[sym] = p + ".v[l]";
    locals(v.var);
    block(leaf);
    close();
    slot_ = slot;
    lanes_ = 1;
    names_[v.var] = first;
    packed_.clear();
    for (auto& [to, q] : puts) line("put(" + to + ", " + q + ");");
    for (const Node* n : mine) done_.erase(n);
  }
  // The value that a node defines, the first if there are two.
  static Sym defined(const Node& n) {
    if (auto* l = n.as<Let>()) return l->sym;
    if (auto* c = n.as<Const>()) return c->sym;
    if (auto* i = n.as<Index>()) return i->sym;
    if (auto* c = n.as<Clip>()) return c->sym;
    if (auto* l = n.as<Load>()) return l->sym;
    return kNone;
  }

  // ---- Partial results of a thread
  struct Sum {
    const Store* store;
    std::string name;
    std::int64_t size = 1;
    Affine at;          // of size > 1: where in it
    bool walked = false;  // by loops inside: an element for each of the buffer
    bool lanes = false;   // one for each lane
    std::string element(std::int64_t e) const { return size == 1 ? name : name + "[" + std::to_string(e) + "]"; }
    std::string place(const Printer& p, const Store&) const {
      if (lanes) return name + "[" + p.lane_ + "]";
      return size == 1 ? name : name + "[" + p.affine(at) + "]";
    }
  };
  std::string none(const Store& s) const { return literal(identity(s.combine, f_.buffer(s.buffer).dtype)); }
  Sum& start_sum(const Node& n, std::int64_t size, Affine at, int lanes) {
    Sum& s = sums_[&n];
    s.store = n.as<Store>();
    s.name = fresh('a');
    s.size = size;
    s.at = std::move(at);
    s.lanes = lanes > 1;
    const std::int64_t all = size * lanes;
    const std::string type = type_name(f_.buffer(s.store->buffer).dtype);
    if (all == 1) {
      line(type + " " + s.name + " = " + none(*s.store) + ";");
    } else {
      line(type + " " + s.name + "[" + num(all) + "];");
      words_ += all * words(s.store->buffer);
      line(words_ > kMostWords ? "#pragma unroll 1" : "#pragma unroll");
      line("for (int l = 0; l < " + num(all) + "; ++l) " + s.name + "[l] = " + none(*s.store) + ";");
    }
    return s;
  }
  // ---- Arrays that each thread keeps: in registers while they are small
  static constexpr std::int64_t kMostWords = 64;
  std::int64_t words(int buffer) const {
    return std::int64_t(std::max<std::size_t>(width(f_.buffer(buffer).dtype), 4) / 4);
  }
  void count_arrays() {
    std::set<Sym> scopes{loop_.var};
    each_node(loop_.body, [&](const Node& n) {
      if (auto* l = n.as<Loop>()) scopes.insert(l->var);
    });
    for (std::size_t i = 0; i < f_.program.buffers.size(); ++i) {
      const Buffer& b = f_.program.buffers[i];
      if (b.role != Buffer::Role::local || b.size < 2 || !scopes.count(b.scope)) continue;
      const auto it = storage_.find(int(i));
      if (it == storage_.end() || it->second == Storage::thread || it->second == Storage::copies)
        words_ += b.size * words(int(i));
    }
  }
  // The result of `a`, of every thread of the group, in all of them.
  std::string reduced(const Store& s, const std::string& a) {
    const std::string op = combiner_name(s.combine);
    const int group = u_.form == Form::rows ? u_.group : u_.threads;
    if (group == 1) return a;
    if (group == 32) return "warp_reduce<" + op + ">(" + a + ")";
    return "block_reduce<" + op + ", " + num(group / 32) + ">(" + a + ", " + scratch(f_.buffer(s.buffer).dtype) + ")";
  }
  std::string scratch(DType d) {
    const std::string n = "shared_" + std::string(jaxpp::name(d));
    scratch_.insert({n, d});
    return n;
  }
  void print_scratch(std::string& front) {
    for (auto& [n, d] : scratch_)
      front += "  __shared__ __align__(16) " + std::string(type_name(d)) + " " + n + "[32];\n";
  }
  std::vector<const Node*> combining(const Block& b) const {
    std::vector<const Node*> all;
    each_access(b, [&](const Access& a) {
      if (a.combines() && f_.buffer(a.buffer).role != Buffer::Role::local) all.push_back(a.node);
    });
    return all;
  }

  // The loops of the frame, with a mark.
  static std::vector<const Loop*> chain(const Loop& l, Marks::Bind b) {
    std::vector<const Loop*> all{&l};
    for (;;) {
      const Loop* next = all.back()->body.size() == 1 ? all.back()->body[0].as<Loop>() : nullptr;
      if (!next || next->marks.bind != b) return all;
      all.push_back(next);
    }
  }
  static std::vector<Level> levels_of(const std::vector<const Loop*>& loops) {
    std::vector<Level> v;
    for (const Loop* l : loops) v.push_back({l->var, l->extent});
    return v;
  }
  static std::string extents(const std::vector<Level>& levels) {
    std::string s;
    for (const Level& l : levels) s += (s.empty() ? "" : " x ") + num(l.extent);
    return s;
  }
  void grid(std::int64_t blocks) {
    if (blocks >= std::int64_t(1) << 31) throw std::logic_error("cuda: a grid of " + num(blocks) + " blocks");
    k_.grid = {unsigned(blocks), 1, 1};
  }

  // ---- Forms
  void loop() {
    const auto loops = chain(loop_, Marks::Bind::grid);
    const auto levels = levels_of(loops);
    const std::int64_t threads = product(levels) / u_.vector;
    comment_ = "// A thread for " + (u_.vector == 1 ? std::string("each") : "every " + num(u_.vector)) + " of " +
               extents(levels) + " iterations.\n";
    grid(ceil_div(threads, u_.threads));
    count_arrays();
    const std::string t = global_number(u_.threads, "threadIdx.x");
    if (threads % u_.threads) line("if (" + t + " >= " + num(threads) + ") return;");
    decode(levels, t, u_.vector);
    neighbours(loops.back()->body, levels.back(), u_.vector);
  }

  void transpose() {
    const auto loops = chain(loop_, Marks::Bind::grid);
    const auto levels = levels_of(loops);
    const Level a = levels[levels.size() - 1], b = levels[levels.size() - 2];
    const Block& leaf = loops.back()->body;
    comment_ = "// " + extents(levels) + " iterations by tiles of " + num(kTile) + " x " + num(kTile) +
               ": loads along one loop, stores along another.\n";
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
        fixed &= std::any_of(levels.begin(), levels.end(), [&](const Level& v) { return v.var == t.sym; });
      if (!fixed) continue;
      tiles.push_back({l, "tile" + num(std::int64_t(tiles.size()))});
      tiled.push_back(&n);
      line("__shared__ " + std::string(type_name(f_.buffer(l->buffer).dtype)) + " " + tiles.back().second + "[" +
           num(kTile) + "][" + num(kTile + 1) + "];");
    }
    line("const int across = threadIdx.x % 32, down = threadIdx.x / 32;");
    const std::string u = wide_ ? "ull" : "u";
    if (!around.empty()) decode(around, "blockIdx.x / " + num(across * down) + u, 1);
    const std::string type = std::string("const ") + index_type();
    line(type + " first_a = blockIdx.x % " + num(across) + " * 32, first_b = blockIdx.x / " + num(across) + u + " % " +
         num(down) + u + " * 32;");
    const std::string guard = "if (" + std::string("i_a < ") + num(a.extent) + " && i_b < " + num(b.extent) + ")";
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

  void sum() {
    const auto loops = chain(loop_, Marks::Bind::grid);
    const auto levels = levels_of(loops);
    const Block& leaf = loops.back()->body;
    const Marks& m = loop_.marks;
    const std::int64_t grain = m.grain, chunks = ceil_div(loop_.extent, grain);
    comment_ = "// Sums over " + extents(levels) + " iterations" +
               (chunks > 1 ? ", " + num(grain) + " of the first loop for each of " + num(chunks) + " blocks" : "") + ".\n";
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
                                         num(loop_.extent - (chunks - 1) * grain) + " : " + num(grain) + ")";
    const std::string i = fresh('n');
    if (levels.size() == 1) {
      const std::string v = define(loop_.var, 'i');
      open("for (" + std::string(index_type()) + " " + v + " = " + begin + "threadIdx.x" + (u_.vector > 1 ? " * " + num(u_.vector) : "") +
           ", " + i + " = " + begin + count + "; " + v + " < " + i + "; " + v + " += " + num(u_.threads * u_.vector) + ")");
    } else {
      std::vector<Level> rest(levels.begin() + 1, levels.end());
      const std::int64_t each = product(rest) / u_.vector;
      const std::string t = fresh('g'), type = wide_ ? "unsigned long long" : "unsigned";
      open("for (" + type + " " + t + " = threadIdx.x, " + i + " = " + count + " * " + num(each) + "; " + t + " < " + i +
           "; " + t + " += " + num(u_.threads) + ")");
      line("const " + std::string(index_type()) + " " + define(loop_.var, 'i') + " = " + begin + t + " / " +
           num(each) + ";");
      decode(rest, t + " % " + num(each) + (wide_ ? "ull" : "u"), u_.vector);
    }
    neighbours(leaf, levels.back(), u_.vector);
    close();
    for (const Node* n : stores) {
      const Sum& a = sums_.at(n);
      const Store& s = *a.store;
      auto result = [&](const std::string& from, const Affine& at) {
        const std::string r = fresh('r'), to = place(s.buffer, at);
        line("const " + std::string(type_name(f_.buffer(s.buffer).dtype)) + " " + r + " = " + reduced(s, from) + ";");
        line("if (threadIdx.x == 0) " + to + " = " + (u_.assigns.count(s.buffer) ? r : combined(s.combine, to, r)) + ";");
      };
      if (a.walked && a.size > 1 && words_ > kMostWords) {
        names_[kElement] = "e";
        line("#pragma unroll 1");
        open("for (int e = 0; e < " + num(a.size) + "; ++e)");
        result(a.name + "[e]", (m.chunk != kNone ? Affine::of(m.chunk, a.size) : Affine()) + Affine::of(kElement));
        close();
        continue;
      }
      for (std::int64_t e = 0; e < a.size; ++e)
        result(a.element(e), !a.walked  ? s.at
                             : m.chunk != kNone ? Affine::of(m.chunk, a.size) + Affine(e)
                                                : Affine(e));
    }
    std::string front;
    print_scratch(front);
    out_ = front + out_;
  }

  void columns() {
    const auto loops = chain(loop_, Marks::Bind::grid);
    const auto levels = levels_of(loops);
    const Loop& walk = *loops.back()->body[0].as<Loop>();
    const Marks& m = walk.marks;
    const std::int64_t count = product(levels) / u_.vector, grain = m.chunk != kNone ? m.grain : walk.extent,
                       chunks = ceil_div(walk.extent, grain);
    const int down = u_.threads / u_.across;
    const std::int64_t blocks = ceil_div(count, u_.across);
    comment_ = "// Sums along a loop of " + num(walk.extent) + ", for each of " + extents(levels) + " columns: " +
               num(u_.across) + " threads across, " + num(down) + " down" +
               (chunks > 1 ? ", " + num(chunks) + " chunks" : "") + ".\n";
    grid(blocks * chunks);
    const bool shared = down > 1;
    line("const int across = threadIdx.x % " + num(u_.across) + ", down = threadIdx.x / " + num(u_.across) + ";");
    const std::string u = wide_ ? "ull" : "u", t = fresh('g');
    line("const unsigned " + std::string(wide_ ? "long long " : "") + t + " = blockIdx.x" +
         (chunks > 1 ? " % " + num(blocks) + u : "") + " * " + num(u_.across) + u + " + across;");
    if (m.chunk != kNone) {
      define(m.chunk, 'h');
      line("const int " + name(m.chunk) + " = blockIdx.x" + (blocks > 1 ? " / " + num(blocks) + u : "") + ";");
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
                                : "(" + name(m.chunk) + " == " + num(chunks - 1) + " ? " + num(walk.extent) + " : " + begin +
                                      num(grain) + ")";
    const std::string i = define(walk.var, 'i'), stop = fresh('n');
    open((full ? "" : "if (inside) ") + std::string("for (") + index_type() + " " + i + " = " + begin + "down, " + stop +
         " = " + end + "; " + i + " < " + stop + "; " + i + " += " + num(down) + ")");
    for (std::size_t k = 1; k < walked.size(); ++k) {
      const std::string v = define(walked[k]->var, 'i');
      open("for (" + std::string(index_type()) + " " + v + " = 0; " + v + " < " + num(walked[k]->extent) + "; ++" + v + ")");
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
      const std::string own = u_.vector == 1 ? a.name : a.name + "[l]", lane = u_.vector == 1 ? "0" : "l";
      if (shared) {
        if (types.insert(d).second)
          front += "  __shared__ __align__(16) " + type + " " + part + "[" + num(u_.vector) + "][" + num(u_.threads) + "];\n";
        else
          line("__syncthreads();");
        each(part + "[" + lane + "][threadIdx.x] = " + own + ";");
        line("__syncthreads();");
        open(full ? "if (down == 0)" : "if (down == 0 && inside)");
        line("#pragma unroll");
        line("for (int k = 1; k < " + num(down) + "; ++k)");
        indent_ += "  ";
        each(own + " = " + combined(s.combine, own, part + "[" + lane + "][k * " + num(u_.across) + " + across]") + ";");
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

  // ---- Rows
  void rows() {
    facts_ = row_facts(f_.program, loop_, u_);
    storage_ = facts_.storage;
    count_arrays();
    barriers_ = barriers(f_, loop_, u_, facts_);
    const auto loops = chain(loop_, Marks::Bind::block);
    const auto levels = levels_of(loops);
    const std::int64_t count = product(levels), each = u_.threads / u_.group;
    comment_ = "// " + extents(levels) + (count == 1 ? " row, " : " rows, ") +
               (u_.group == 1    ? std::string("a thread")
                : u_.group == 32 ? std::string("a warp")
                                 : num(u_.group) + " threads") +
               " each; what is in no loop over them, all do alike.\n";
    grid(ceil_div(count, each));
    in_row_ = true;
    std::string front;
    if (u_.group > 1)
      line(each == 1 ? "const int lane = threadIdx.x;" : "const int lane = threadIdx.x % " + num(u_.group) + ";");
    if (each == 1 || u_.group == 1) {
      if (count > 1 || u_.group == 1) {
        const std::string t = u_.group == 1 ? global_number(u_.threads, "threadIdx.x") : "blockIdx.x";
        if (u_.group == 1 && count % u_.threads) line("if (" + t + " >= " + num(count) + ") return;");
        decode(levels, t, 1);
      } else {
        for (const Level& l : levels) names_[l.var] = "0";
      }
    } else {
      const std::string t = global_number(each, "threadIdx.x / " + num(u_.group));
      if (count % each) line("if (" + t + " >= " + num(count) + ") return;");
      decode(levels, t, 1);
    }
    for (auto [b, s] : storage_) {
      const Buffer& q = f_.buffer(b);
      const std::string type = type_name(q.dtype), n = f_.names[std::size_t(b)];
      if (s == Storage::shared) {
        const std::int64_t w = std::int64_t(width(q.dtype)), padded = (q.size * w + 15) / 16 * 16 / w;
        if (each == 1) {
          front += "  __shared__ __align__(16) " + type + " " + n + "[" + num(padded) + "];\n";
        } else {
          front += "  __shared__ __align__(16) " + type + " " + n + "_all[" + num(each) + "][" + num(padded) + "];\n";
          line(type + "* const " + n + " = " + n + "_all[threadIdx.x / " + num(u_.group) + "];");
        }
      }
    }
    for (const ThreadNest& t : thread_nests(loop_.body)) register_arrays(t);
    for (const Loop* l : loops) locals(l->var);
    row_block(loops.back()->body);
    print_scratch(front);
    out_ = front + out_;
  }
  int vector_of(const ThreadNest& t) const {
    auto it = u_.vectors.find(t.levels.back().var);
    return it == u_.vectors.end() ? 1 : it->second;
  }
  std::int64_t rounds(const ThreadNest& t) const { return ceil_div(t.points(), std::int64_t(u_.group) * vector_of(t)); }
  // Declares the arrays of which every thread keeps its share, where a loop first touches them.
  void register_arrays(const ThreadNest& t) {
    each_access(*t.leaf, [&](const Access& a) {
      auto it = storage_.find(a.buffer);
      if (it == storage_.end() || it->second != Storage::registers || !declared_.insert(a.buffer).second) return;
      line(std::string(type_name(f_.buffer(a.buffer).dtype)) + " " + f_.names[std::size_t(a.buffer)] + "[" +
           num(rounds(t) * vector_of(t)) + "];");
    });
  }
  void wait() { line(u_.group == 32 ? "__syncwarp();" : "__syncthreads();"); }

  // What all threads of a row do alike.
  void row_block(const Block& b) {
    for (const Node& n : b) {
      if (done_.count(&n)) continue;
      if (barriers_.before.count(&n)) wait();
      if (auto* s = n.as<Store>()) {
        row_store(n, *s);
      } else if (auto* l = n.as<Loop>()) {
        start_sums(*l);
        if (l->marks.bind == Marks::Bind::thread)
          shared_loop(*l);
        else
          serial(*l);
        end_sums(*l);
      } else {
        node(n);
      }
    }
  }
  bool everybodys(int b) const {
    auto it = storage_.find(b);
    return it != storage_.end() && (it->second == Storage::copies || it->second == Storage::thread);
  }
  void row_store(const Node& n, const Store& s) {
    if (u_.skips.count(s.buffer)) return;
    if (u_.group > 1 && !everybodys(s.buffer)) {
      const std::string to = place(s.buffer, s.at), v = value(s.value);
      line("if (lane == 0) " + to + " = " + (s.combine == Combine::set ? v : combined(s.combine, to, v)) + ";");
    } else {
      store(n, s);
    }
  }
  void start_sums(const Loop& l) {
    for (auto& [store, after] : facts_.reduced_after) {
      if (after != &l) continue;
      const Store& s = *store->as<Store>();
      bool walks = false;
      for (auto& t : s.at.terms) walks |= !names_.count(t.sym) || names_.at(t.sym).empty();
      start_sum(*store, walks ? f_.buffer(s.buffer).size : 1, s.at, 1).walked = walks;
    }
  }
  void end_sums(const Loop& l) {
    bool waited = false;
    for (auto& [store, after] : facts_.reduced_after) {
      if (after != &l) continue;
      const Sum a = sums_.at(store);
      const Store& s = *a.store;
      for (std::int64_t e = 0; e < a.size; ++e) {
        const std::string r = fresh('r');
        line("const " + std::string(type_name(f_.buffer(s.buffer).dtype)) + " " + r + " = " + reduced(s, a.element(e)) + ";");
        if (barriers_.behind.count(&l) && !waited) wait();
        waited = true;
        const std::string to = place(s.buffer, a.walked ? Affine(e) : s.at);
        const std::string v = u_.assigns.count(s.buffer) ? r : combined(s.combine, to, r);
        line((u_.group > 1 && !everybodys(s.buffer) ? "if (lane == 0) " : "") + to + " = " + v + ";");
      }
      sums_.erase(store);
    }
  }
  // A loop whose iterations the threads of a row share.
  void shared_loop(const Loop& outer) {
    ThreadNest t{&outer, levels_of(chain(outer, Marks::Bind::thread)), nullptr};
    t.leaf = &chain(outer, Marks::Bind::thread).back()->body;
    const int vector = vector_of(t);
    const std::int64_t points = t.points(), turn = std::int64_t(u_.group) * vector;
    bool registers = false;
    each_access(*t.leaf, [&](const Access& a) {
      auto it = storage_.find(a.buffer);
      registers |= it != storage_.end() && it->second == Storage::registers;
    });
    const bool single = t.levels.size() == 1;
    const std::string f = single ? define(t.levels[0].var, 'i') : fresh('g');
    const std::string type = single ? index_type() : "unsigned", times = vector > 1 ? " * " + num(vector) : "";
    // Numbers count neighbours one by one where there is one level, else by the vector.
    const std::int64_t unit = single ? 1 : vector;
    // Few rounds are unrolled: arrays become registers, and loads of all rounds can be under way at once.
    const std::int64_t turns = rounds(t);
    if (registers || points <= turn || (turns <= 8 && work(*t.leaf) * double(turns * vector) <= 320)) {
      const bool several = points > turn, masked = points % turn != 0;
      if (several) {
        line("#pragma unroll");
        open("for (int k = 0; k < " + num(turns) + "; ++k)");
      }
      slot_ = registers ? (several ? "k" : "0") : "";
      const std::string number =
          several ? "(k * " + num(u_.group) + " + lane)" + (single ? times : "") : "lane" + (single ? times : "");
      if (masked)
        open("if (const " + type + " " + f + " = " + number + "; " + f + " < " + num(points / unit) + ")");
      else {
        if (!several) open("");
        line("const " + type + " " + f + " = " + number + ";");
      }
      leaf(t, f, vector, single);
      if (masked || !several) close();
      if (several) close();
      slot_.clear();
    } else {
      open("for (" + type + " " + f + " = lane" + (single ? times : "") + "; " + f + " < " + num(points / unit) + "; " + f +
           " += " + num(turn / unit) + ")");
      leaf(t, f, vector, single);
      close();
    }
  }
  void leaf(const ThreadNest& t, const std::string& number, int vector, bool single) {
    if (!single) decode(t.levels, number, vector);
    in_row_ = false;
    for (std::size_t i = 0; i + 1 < t.levels.size(); ++i) locals(t.levels[i].var);
    neighbours(*t.leaf, t.levels.back(), vector);
    in_row_ = true;
  }

  const Facts& f_;
  const Loop& loop_;
  const Unit& u_;
  const std::set<int> stored_;
  Kernel k_;
  std::string out_, indent_, comment_;
  bool wide_ = false;
  std::int64_t words_ = 0;                 // of 4 bytes, in arrays that each thread keeps
  static constexpr Sym kElement = -2;      // in names_: the element of an array of partial results
  std::unordered_map<Sym, std::string> names_;
  std::map<char, int> counters_;
  std::map<int, Storage> storage_;
  std::set<const Node*> done_;              // nodes whose text is there already
  std::map<const Node*, Sum> sums_;         // by store
  std::map<const Node*, std::string> packs_;  // by store
  std::map<Sym, std::string> packed_;
  std::set<std::pair<std::string, DType>> scratch_;
  std::string lane_, slot_;
  int lanes_ = 1;
  // rows
  bool in_row_ = false;
  RowFacts facts_;
  Barriers barriers_;
  std::set<int> declared_;
};

}  // namespace

Kernel print_kernel(const Facts& f, const Loop& loop, const Unit& u, int number) {
  return Printer(f, loop, u).print(number);
}

}  // namespace jaxpp::cuda
