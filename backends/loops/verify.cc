// verify.cc -- is a loop program well formed?  Every executor relies on what is checked here.
//
// One walk.  It knows the range of every index, so the bounds of an affine function are interval arithmetic; types are
// what the shape rules of the primitives say, for a Let on arrays of rank 0.
//
// Iterations of a parallel loop must be independent.  That cannot be decided in general; what is reported here is
// certain: two different iterations, found by trying corners, of which one stores an element that the other stores or
// loads.  What runs under an If, or at an index from data, is not looked at.
#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include "backends/loops/text.h"
#include "jaxpp/core/check.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::loops {
namespace {
__extension__ using Wide = __int128;  // for sums of products of 64-bit numbers

std::string text(Wide v) {
  return v == std::int64_t(v) ? std::to_string(std::int64_t(v)) : v < 0 ? "-inf" : "inf";
}

// What a Let may be.
bool is_scalar_operation(const Primitive* p) {
  static const auto& all = *new std::unordered_set<const Primitive*>{
#define UNARY(id, ...) &id##_p,
#define BINARY(id, ...) &id##_p,
#define COMPARE(id, ...) &id##_p,
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
      &select_n_p,
      &clamp_p,
      &regularized_incomplete_beta_p,
      &random_gamma_p,
      &convert_element_type_p,
      &integer_pow_p,
      &round_p,
      &reduce_precision_p,
      &bitcast_convert_type_p,
      &complex_p,
      &real_p,
      &imag_p,
      &conj_p,
      &threefry2x32_p};
  return all.count(p);
}
bool is_name(std::string_view s) {
  return !s.empty() && is_letter(s[0]) && !is_keyword(s) &&
         std::all_of(s.begin(), s.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

class Verifier {
 public:
  explicit Verifier(const Program& p) : p_(p), symbols_(std::size_t(std::max(p.next_sym, 0))) {}

  void program() {
    buffers();
    block(p_.body);
    for (const Buffer& b : p_.buffers)
      if (b.scope != kNone && symbol(b.scope).kind != Kind::loop)
        bad(b, "is local to a loop that does not exist.");
  }

 private:
  enum class Kind : std::uint8_t { none, value, loop, chunk, clip };
  struct Symbol {
    Kind kind = Kind::none;
    bool live = false;
    DType dtype = DType::i64;
    int order = 0;                // of definitions, over the whole program
    std::int64_t lo = 0, hi = 0;  // of an index
  };
  // An enclosing parallel loop of more than one iteration.
  struct Frame {
    const Node* node;
    Sym var;
    std::int64_t extent;
    int order, ifs;
  };
  struct Access {
    enum class Kind : std::uint8_t { load, set, combine } kind;
    const Node* node;
    int buffer;
    const Affine* at;
    std::int64_t size;  // elements from there on
    int ifs;
  };

  [[noreturn]] void fail(const Node& n, const std::string& what) const {
    const Place place = place_of(p_, n);
    throw Error("verify: line " + std::to_string(place.line) + ", `" + place.text + "`: " + what);
  }
  [[noreturn]] void fail(const std::string& what) const { fail(*node_, what); }
  [[noreturn]] static void bad(const Buffer& b, const std::string& what) {
    throw Error("verify: buffer `" + b.name + "` " + what);
  }

  // ---- Buffers
  void buffers() {
    using Role = Buffer::Role;
    std::unordered_set<std::string_view> names;
    std::vector<char> in(std::size_t(std::max(p_.inputs, 0))),
        out(std::size_t(std::max(p_.outputs, 0)));
    for (const Buffer& b : p_.buffers) {
      const auto w = std::int64_t(width(b.dtype));
      if (!is_name(b.name)) bad(b, "has a name that is no word, or a keyword.");
      if (!names.insert(b.name).second) bad(b, "is declared twice.");
      if (b.size < 0 || b.size > INT64_MAX / w) bad(b, "has an impossible size.");
      if (b.role == Role::input || b.role == Role::output) {
        auto& seen = b.role == Role::input ? in : out;
        const bool exists = b.index >= 0 && std::size_t(b.index) < seen.size();
        if (!exists || seen[std::size_t(b.index)]++)
          bad(b, "has the number of another buffer, or of no " +
                     std::string(b.role == Role::input ? "input." : "output."));
      }
      if (b.role == Role::constant && (!b.value.defined() || !b.value.concrete() ||
                                       b.value.dtype() != b.dtype || b.value.size() != b.size))
        bad(b, "has no value of its type and size.");
      if (b.offset >= 0 && (b.role != Role::temp || b.offset % w || b.offset > p_.arena - bytes(b)))
        bad(b, "does not lie in the arena.");
      if (b.scope != kNone && b.role != Role::local) bad(b, "has a scope but is not local.");
    }
    auto complete = [](const std::vector<char>& seen, const char* what) {
      if (auto it = std::find(seen.begin(), seen.end(), 0); it != seen.end())
        throw Error("verify: " + (what + std::to_string(it - seen.begin())) + " has no buffer.");
    };
    complete(in, "input ");
    complete(out, "output ");
    addresses();
  }
  // Where a buffer is, in elements.  What may be the same memory has one space.
  struct Address {
    int space;
    std::int64_t shift;
  };
  void addresses() {
    std::vector<int> inputs(std::size_t(p_.inputs), 0);
    for (std::size_t i = 0; i < p_.buffers.size(); ++i) {
      const Buffer& b = p_.buffers[i];
      if (b.role == Buffer::Role::input) inputs[std::size_t(b.index)] = int(i);
      const int w = int(width(b.dtype));
      address_.push_back(b.offset >= 0 ? Address{-w, b.offset / w} : Address{int(i), 0});
    }
    for (std::size_t i = 0; i < p_.buffers.size(); ++i) {
      const Buffer& b = p_.buffers[i];
      if (b.donor < 0) continue;
      const int d = b.donor < p_.inputs ? inputs[std::size_t(b.donor)] : -1;
      if (b.role != Buffer::Role::output || d < 0 || bytes(p_.buffers[std::size_t(d)]) != bytes(b))
        bad(b, "has a donor that is no input of as many bytes.");
      if (width(p_.buffers[std::size_t(d)].dtype) == width(b.dtype)) address_[i].space = d;
    }
  }
  static std::int64_t bytes(const Buffer& b) { return b.size * std::int64_t(width(b.dtype)); }
  const Buffer& buffer(int b) const {
    if (b < 0 || std::size_t(b) >= p_.buffers.size()) fail("there is no such buffer.");
    const Buffer& r = p_.buffers[std::size_t(b)];
    if (r.scope != kNone && !symbol(r.scope).live)
      fail("`" + r.name + "` is local to another loop.");
    return r;
  }
  void writable(const Buffer& b) const {
    if (b.role == Buffer::Role::input || b.role == Buffer::Role::constant)
      fail("`" + b.name + "` cannot be stored into.");
  }

  // ---- Symbols
  const Symbol& symbol(Sym s) const {
    static const Symbol none;
    return s >= 0 && std::size_t(s) < symbols_.size() ? symbols_[std::size_t(s)] : none;
  }
  void define(Sym s, Kind kind, DType d, std::int64_t lo = 0, std::int64_t hi = 0) {
    if (s < 0 || std::size_t(s) >= symbols_.size()) fail("it defines a symbol beyond next_sym.");
    Symbol& x = symbols_[std::size_t(s)];
    if (x.kind != Kind::none) fail("it defines a symbol for the second time.");
    x = {kind, true, d, ++order_, lo, hi};
    live_.push_back(s);
  }
  const Symbol& use(Sym s) const {
    const Symbol& x = symbol(s);
    if (!x.live) fail("a symbol is used where it is not in scope.");
    if (x.order < kernel_)
      fail("a symbol from outside is used in a parallel loop at the top; only buffers may be.");
    return x;
  }
  DType value(Sym s) const {
    const Symbol& x = use(s);
    if (x.kind != Kind::value) fail("an index is used as a value; `index` makes a value of it.");
    return x.dtype;
  }
  // `size` elements from `at` on must be elements of b.
  void bounds(const Buffer& b, const Affine& at, std::int64_t size) const {
    const auto [lo, hi] = range(at);
    if (lo < 0 || hi + size > b.size)
      fail("index " + text(lo) + " to " + text(hi + size - 1) + " of `" + b.name + "`, which has " +
           std::to_string(b.size) + " elements.");
  }
  std::pair<Wide, Wide> range(const Affine& at) const {
    Wide lo = at.c, hi = at.c;
    for (const auto& [s, k] : at.terms) {
      const Symbol& x = use(s);
      if (x.kind == Kind::value) fail("a value is used as an index; `clip` makes an index of it.");
      lo += Wide(k) * (k > 0 ? x.lo : x.hi);
      hi += Wide(k) * (k > 0 ? x.hi : x.lo);
    }
    return {lo, hi};
  }

  // ---- Nodes
  // f(), and the end of all that it defined.
  template <class F>
  void scope(F f) {
    const std::size_t mark = live_.size();
    f();
    for (; live_.size() > mark; live_.pop_back()) symbols_[std::size_t(live_.back())].live = false;
  }
  void block(const Block& b) {
    scope([&] { nodes(b); });
  }
  void nodes(const Block& b) {
    ++depth_;
    for (const Node& n : b) {
      node_ = &n;
      std::visit([&](const auto& x) { node(x); }, n.v);
    }
    --depth_;
  }
  void node(const Loop& l) {
    const bool parallel = l.order == Order::parallel;
    if (l.extent < 1) fail("a loop has at least one iteration.");
    marks(l);
    const auto outer = std::tuple(kernel_, in_lanes_, bind_);
    if (depth_ == 1 && parallel) kernel_ = order_ + 1;
    in_lanes_ |= l.marks.lanes > 1;
    if (l.marks.bind != Marks::Bind::none) bind_ = l.marks.bind;
    scope([&] {
      define(l.var, Kind::loop, DType::i64, 0, l.extent - 1);
      const std::size_t first = accesses_.size();
      const bool several = parallel && l.extent > 1;
      if (several) frames_.push_back({node_, l.var, l.extent, order_, ifs_});
      if (l.marks.chunk != kNone)
        define(l.marks.chunk, Kind::chunk, DType::i64, 0, (l.extent - 1) / l.marks.grain);
      nodes(l.body);
      if (!several) return;
      independent(frames_.back(), first);
      frames_.pop_back();
      if (frames_.empty()) accesses_.clear();
    });
    std::tie(kernel_, in_lanes_, bind_) = outer;
  }
  void marks(const Loop& l) const {
    using Bind = Marks::Bind;
    const Marks& m = l.marks;
    if (m.lanes < 1 || m.interleave < 1 || m.lanes % m.interleave)
      fail("`lanes` is a positive multiple of the vectors in flight.");
    if (l.order == Order::serial && (m.lanes > 1 || m.grain || m.bind != Bind::none))
      fail("the iterations of a serial loop cannot be lanes, work items or threads.");
    if (m.lanes > 1 && in_lanes_) fail("lanes inside lanes.");
    if (m.grain < 0) fail("`grain` is negative.");
    if (m.chunk != kNone && m.grain == 0) fail("`chunk` without `grain`.");
    if ((m.bind == Bind::grid && bind_ != Bind::none && bind_ != Bind::grid) ||
        (m.bind == Bind::block && bind_ != Bind::none && bind_ != Bind::block) ||
        (m.bind == Bind::thread && bind_ == Bind::grid))
      fail("`grid`, `block` and `thread` are nested wrongly: only `thread` goes inside `block`.");
  }

  void node(const Let& l) {
    if (!is_scalar_operation(l.op))
      fail((l.op ? "`" + std::string(l.op->name) + "`" : "null") + " is no scalar operation.");
    types_.clear();
    for (Sym a : l.args) types_.push_back(scalar_type(value(a)));
    const std::vector<Type> y = infer(*l.op, l.params, types_, l.results);
    for (Type t : y)
      if (t != scalar_type(l.dtype)) fail("the operation gives " + t->str() + ".");
    for (int i = 0; i < l.results; ++i) define(l.sym + i, Kind::value, l.dtype);
  }
  std::vector<Type> infer(const Primitive& p, const std::shared_ptr<const void>& params, Types x,
                          std::size_t results) const {
    if (p.params && !params) fail("the parameters are missing.");
    try {
      return infer_types(p, {params.get(), p.params}, x, results);
    } catch (const Error& e) {
      fail(e.what());
    }
  }
  void node(const Const& c) { define(c.sym, Kind::value, c.value.dtype); }
  void node(const Index& i) {
    range(i.at);
    if (is_bool(i.dtype)) fail("an index is a number, not a bool.");
    define(i.sym, Kind::value, i.dtype);
  }
  void node(const Clip& c) {
    if (!is_integer(value(c.arg))) fail("`clip` takes an integer.");
    if (c.lo > c.hi) fail("`clip` into an empty range.");
    define(c.sym, Kind::clip, DType::i64, c.lo, c.hi);
  }
  void node(const Load& l) {
    const Buffer& b = buffer(l.buffer);
    bounds(b, l.at, 1);
    access(Access::Kind::load, l.buffer, l.at, 1);
    define(l.sym, Kind::value, b.dtype);
  }
  void node(const Store& s) {
    const Buffer& b = buffer(s.buffer);
    writable(b);
    bounds(b, s.at, 1);
    const DType d = value(s.value);
    if (d != b.dtype)
      fail("a value of type " + std::string(name(d)) + " for a buffer of " + name(b.dtype) + ".");
    if (s.combine != Combine::set) {
      const Type x[] = {scalar_type(d), scalar_type(d)};
      if (is_complex(d) && (s.combine == Combine::max || s.combine == Combine::min))
        fail("complex numbers have no max and min that combine.");
      infer(*combiner(s.combine), nullptr, x, 1);
    }
    access(s.combine == Combine::set ? Access::Kind::set : Access::Kind::combine, s.buffer, s.at,
           1);
  }
  void node(const While& w) {
    const Node* self = node_;
    const int before = order_;
    scope([&] {
      nodes(w.cond);
      node_ = self;
      if (value(w.pred) != DType::b1) fail("the predicate is no bool.");
      if (symbol(w.pred).order <= before) fail("the condition does not define the predicate.");
    });
    block(w.body);
  }
  void node(const If& i) {
    if (value(i.pred) != DType::b1) fail("the predicate is no bool.");
    ++ifs_;
    block(i.body);
    block(i.otherwise);
    --ifs_;
  }
  void node(const Call& c) {
    if (!c.prim) fail("no primitive is called.");
    if (in_lanes_) fail("a call cannot run in lanes.");
    types_.clear();
    for (const auto& o : c.in) {
      operand(o);
      types_.push_back(o.type);
      access(Access::Kind::load, o.buffer, o.at, o.type->size);
    }
    const std::vector<Type> y = infer(*c.prim, c.params, types_, c.out.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto& o = c.out[i];
      writable(operand(o));
      if (o.type != y[i])
        fail("result " + std::to_string(i) + " is " + y[i]->str() + ", not " + o.type->str() + ".");
      access(Access::Kind::set, o.buffer, o.at, o.type->size);
    }
  }
  const Buffer& operand(const Call::Operand& o) const {
    const Buffer& b = buffer(o.buffer);
    if (!o.type) fail("an operand has no type.");
    if (o.type->dtype != b.dtype)
      fail("an operand of type " + o.type->str() + " in a buffer of " + name(b.dtype) + ".");
    bounds(b, o.at, o.type->size);
    return b;
  }

  // ---- Independence of iterations
  void access(Access::Kind kind, int buffer, const Affine& at, std::int64_t size) {
    if (!frames_.empty() && size > 0) accesses_.push_back({kind, node_, buffer, &at, size, ifs_});
  }
  // An index as it depends on the loop in question.
  struct Form {
    const Access* access;
    SmallVec<Affine::Term, 3> outer;  // constant in the loop
    struct Term {
      std::int64_t k, extent;  // k > 0
      bool own;                // the loop's variable, not one of a loop inside
    };
    SmallVec<Term, 4> inner;  // by k, the greatest first
    std::int64_t base;        // the smallest value, but for the outer terms
    bool flipped = false;     // own: counts backwards
  };
  // False: not known well enough, or not looked at.
  bool form(const Frame& f, const Access& a, Form& out) const {
    const Buffer& b = p_.buffers[std::size_t(a.buffer)];
    if (a.ifs > f.ifs) return false;
    if (b.scope != kNone && symbol(b.scope).order >= f.order) return false;  // of one iteration
    out.access = &a;
    out.base = a.at->c + address_[std::size_t(a.buffer)].shift;
    for (const auto& [s, k] : a.at->terms) {
      const Symbol& x = symbol(s);
      if (x.order < f.order) {
        out.outer.push_back(Affine::Term{s, k});
        continue;
      }
      if (x.kind != Kind::loop) return false;
      if (x.hi == 0) continue;
      if (k < 0) out.base += k * x.hi;
      if (s == f.var) out.flipped = k < 0;
      out.inner.push_back(Form::Term{k < 0 ? -k : k, x.hi + 1, s == f.var});
    }
    if (a.size > 1) out.inner.push_back(Form::Term{1, a.size, false});
    std::sort(out.inner.begin(), out.inner.end(),
              [](const auto& x, const auto& y) { return x.k != y.k ? x.k > y.k : x.own < y.own; });
    return true;
  }
  void independent(const Frame& f, std::size_t first) const {
    constexpr std::size_t kMost = 16;  // stores of one buffer with which an access is compared
    std::unordered_map<int, std::vector<Form>> stores;
    Form x;
    for (std::size_t i = first; i < accesses_.size(); ++i) {
      const Access& a = accesses_[i];
      if (a.kind == Access::Kind::load || !form(f, a, x = {})) continue;
      if (a.kind == Access::Kind::set && meet(f, x, x)) conflict(f, a, a);
      auto& v = stores[address_[std::size_t(a.buffer)].space];
      if (v.size() < kMost) v.push_back(x);
    }
    if (stores.empty()) return;
    for (std::size_t i = first; i < accesses_.size(); ++i) {
      const Access& a = accesses_[i];
      auto it = stores.find(address_[std::size_t(a.buffer)].space);
      if (it == stores.end() || !form(f, a, x = {})) continue;
      for (const Form& s : it->second)
        if (a.kind != Access::Kind::combine || s.access->kind != Access::Kind::combine)
          if (meet(f, s, x) || meet(f, x, s)) conflict(f, *s.access, a);
    }
  }
  [[noreturn]] void conflict(const Frame& f, const Access& store, const Access& a) const {
    if (a.kind != Access::Kind::load && &a < &store) conflict(f, a, store);
    const std::string loop = "`" + place_of(p_, *f.node).text + "`",
                      line = std::to_string(place_of(p_, *store.node).line);
    if (a.kind == Access::Kind::load)
      fail(*a.node,
           "one iteration of " + loop + " loads what another stores in line " + line + ".");
    fail(*a.node, "two iterations of " + loop + " store into one element" +
                      (&a == &store ? "." : ", the other in line " + line + "."));
  }
  // Whether an iteration of f touches, by s, an element that another iteration touches by r.
  static bool meet(const Frame& f, const Form& s, const Form& r) {
    if (!(s.outer == r.outer)) return false;
    const std::int64_t last = f.extent - 1;
    for (std::int64_t i : {std::int64_t(0), std::int64_t(1), last})
      for (std::int64_t corner : {std::int64_t(0), std::int64_t(1), INT64_MAX}) {
        std::int64_t at = r.base;
        for (const auto& t : r.inner)
          at += t.k * (t.own ? (r.flipped ? last - i : i) : std::min(corner, t.extent - 1));
        // Which iteration of s is that?  Greedily: exact for indices of row-major arrays.
        std::int64_t rest = at - s.base, other = -1;
        if (rest < 0) continue;
        for (const auto& t : s.inner) {
          const std::int64_t q = std::min(rest / t.k, t.extent - 1);
          rest -= q * t.k;
          if (t.own) other = s.flipped ? last - q : q;
        }
        if (rest == 0 && other != i) return true;  // -1: any iteration
      }
    return false;
  }

  const Program& p_;
  const Node* node_ = nullptr;  // being visited
  std::vector<Symbol> symbols_;
  std::vector<Sym> live_;
  std::vector<Type> types_;
  std::vector<Address> address_;
  int order_ = 0, depth_ = 0, ifs_ = 0;
  int kernel_ = 0;  // inside a parallel loop of the top level: the first symbol defined in it
  bool in_lanes_ = false;
  Marks::Bind bind_ = Marks::Bind::none;
  std::vector<Frame> frames_;
  std::vector<Access> accesses_;
};
}  // namespace

void verify(const Program& p) { Verifier(p).program(); }

}  // namespace jaxpp::loops
