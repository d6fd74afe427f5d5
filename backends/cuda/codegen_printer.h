// codegen_printer.h -- the printer of one kernel: a frame by the unit's form, and inside it one
// walk over the tree.
//
// Values are constants of C++ (v0, v1, ...), loop variables are i0, i1, ..., indices from data j0,
// j1, ...; numbers are written where they are used.  All shapes and strides are literals.
//
// codegen_kernel.cc: what a single thread runs; codegen_forms.cc: frames; codegen_rows.cc: threads
// that share rows.
#pragma once
#include "backends/cuda/codegen_kernel.h"
#include "backends/cuda/codegen_scalar.h"

namespace jaxpp::cuda {

inline std::string num(std::int64_t v) { return std::to_string(v); }
inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
inline std::int64_t product(const std::vector<Level>& levels) {
  std::int64_t n = 1;
  for (const Level& l : levels) n *= l.extent;
  return n;
}

class Printer {
 public:
  Printer(const Facts& f, const Loop& loop, const Unit& u)
      : f_(f), loop_(loop), u_(u), stored_(written(loop.body)) {
    const std::int64_t most = std::int64_t(1) << 31;
    double points = double(loop.extent);
    for (const Loop* l = &loop; l->body.size() == 1 && (l = l->body[0].as<Loop>());)
      points *= double(l->extent);
    wide_ = points >= double(most);
    each_access(loop.body, [&](const Access& a) { wide_ |= f.buffer(a.buffer).size >= most; });
  }

  Kernel print(int number);

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

  void head();

  // ---- Names
  std::string name(Sym s) const { return names_.at(s); }
  std::string fresh(char letter) { return letter + num(counters_[letter]++); }
  std::string& define(Sym s, char letter) { return names_[s] = fresh(letter); }
  std::string value(Sym s, bool computed = false) const {
    if (auto it = f_.constants.find(s); it != f_.constants.end())
      return literal(*it->second, computed);
    const DType d = f_.types[std::size_t(s)];
    return computed && (d == DType::f16 || d == DType::bf16) ? "compute(" + name(s) + ")" : name(s);
  }
  std::string affine(const Affine& at, bool wide = false) const;
  std::string place(int buffer, const Affine& at) const;
  // first = the first of `vector` neighbouring iterations; the numbers of all levels from that of
  // the whole.
  void decode(const std::vector<Level>& levels, const std::string& number, int vector);
  // The number of this thread, or of the block times `per` plus `within`.
  std::string global_number(std::int64_t per, const std::string& within);

  // ---- Nodes, as a single thread runs them
  void locals(Sym scope);
  void block(const Block& b) {
    for (const Node& n : b)
      if (!done_.count(&n)) node(n);
  }
  void node(const Node& n);
  // The bodies of while, if and loops in rows may be shared by threads.
  void inside(const Block& b) { in_row_ ? row_block(b) : block(b); }

  void let(const Let& l);
  void index(const Index& i);
  std::string combined(Combine c, const std::string& a, const std::string& b) const {
    return std::string(combiner_name(c)) + "::of(" + a + ", " + b + ")";
  }
  void store(const Node& n, const Store& s);
  void write(const std::string& to, Combine c, const std::string& v) {
    line(to + " = " + (c == Combine::set ? v : combined(c, to, v)) + ";");
  }
  void serial(const Loop& l);

  // ---- Neighbouring iterations of one loop at once: loads first, the lanes' code, stores last
  void neighbours(const Block& leaf, Level v, int vector);
  // The value that a node defines, the first if there are two.
  static Sym defined(const Node& n);

  // ---- Partial results of a thread
  struct Sum {
    const Store* store;
    std::string name;
    std::int64_t size = 1;
    Affine at;            // of size > 1: where in it
    bool walked = false;  // by loops inside: an element for each of the buffer
    bool lanes = false;   // one for each lane
    std::string element(std::int64_t e) const {
      return size == 1 ? name : name + "[" + std::to_string(e) + "]";
    }
    std::string place(const Printer& p, const Store&) const {
      if (lanes) return name + "[" + p.lane_ + "]";
      return size == 1 ? name : name + "[" + p.affine(at) + "]";
    }
  };
  std::string none(const Store& s) const {
    return literal(identity(s.combine, f_.buffer(s.buffer).dtype));
  }
  Sum& start_sum(const Node& n, std::int64_t size, Affine at, int lanes);
  // ---- Arrays that each thread keeps: in registers while they are small
  static constexpr std::int64_t kMostWords = 64;
  std::int64_t words(int buffer) const {
    return std::int64_t(std::max<std::size_t>(width(f_.buffer(buffer).dtype), 4) / 4);
  }
  void count_arrays();
  // The result of `a`, of every thread of the group, in all of them.
  std::string reduced(const Store& s, const std::string& a);
  std::string scratch(DType d) {
    const std::string n = "shared_" + std::string(jaxpp::name(d));
    scratch_.insert({n, d});
    return n;
  }
  void print_scratch(std::string& front) {
    for (auto& [n, d] : scratch_)
      front += "  __shared__ __align__(16) " + std::string(type_name(d)) + " " + n + "[32];\n";
  }
  std::vector<const Node*> combining(const Block& b) const;

  // The loops of the frame, with a mark.
  static std::vector<const Loop*> chain(const Loop& l, Marks::Bind b);
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
    if (blocks >= std::int64_t(1) << 31)
      throw std::logic_error("cuda: a grid of " + num(blocks) + " blocks");
    k_.grid = {unsigned(blocks), 1, 1};
  }

  // ---- Forms
  void loop();

  void transpose();

  void sum();

  void columns();

  // ---- Rows
  void rows();
  int vector_of(const ThreadNest& t) const {
    auto it = u_.vectors.find(t.levels.back().var);
    return it == u_.vectors.end() ? 1 : it->second;
  }
  std::int64_t rounds(const ThreadNest& t) const {
    return ceil_div(t.points(), std::int64_t(u_.group) * vector_of(t));
  }
  // Declares the arrays of which every thread keeps its share, where a loop first touches them.
  void register_arrays(const ThreadNest& t);
  void wait() { line(u_.group == 32 ? "__syncwarp();" : "__syncthreads();"); }

  // What all threads of a row do alike.
  void row_block(const Block& b);
  bool everybodys(int b) const {
    auto it = storage_.find(b);
    return it != storage_.end() && (it->second == Storage::copies || it->second == Storage::thread);
  }
  void row_store(const Node& n, const Store& s);
  void start_sums(const Loop& l);
  void end_sums(const Loop& l);
  // A loop whose iterations the threads of a row share.
  void shared_loop(const Loop& outer);
  void leaf(const ThreadNest& t, const std::string& number, int vector, bool single);

  const Facts& f_;
  const Loop& loop_;
  const Unit& u_;
  const std::set<int> stored_;
  Kernel k_;
  std::string out_, indent_, comment_;
  bool wide_ = false;
  std::int64_t words_ = 0;             // of 4 bytes, in arrays that each thread keeps
  static constexpr Sym kElement = -2;  // in names_: the element of an array of partial results
  std::unordered_map<Sym, std::string> names_;
  std::map<char, int> counters_;
  std::map<int, Storage> storage_;
  std::set<const Node*> done_;                // nodes whose text is there already
  std::map<const Node*, Sum> sums_;           // by store
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

}  // namespace jaxpp::cuda
