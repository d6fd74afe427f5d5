#include "loop_programs.h"
#include <catch2/catch.hpp>
#include <cstring>
#include "backends/loops/interpret.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::testing {
using loops::Affine;
using loops::Block;
using loops::Buffer;
using loops::Combine;
using loops::kNone;
using loops::Order;
using loops::Program;
using loops::Sym;
using Role = Buffer::Role;

Program loop_program(const std::string& text) {
  Program p = loops::parse(text);
  loops::verify(p);
  return p;
}
const Buffer& buffer(const Program& p, const std::string& name) {
  for (const Buffer& b : p.buffers)
    if (b.name == name) return b;
  throw std::logic_error("no buffer " + name);
}

// ---- The machine
namespace {
std::int64_t combine(Combine c, std::int64_t a, std::int64_t b) {
  switch (c) {
    case Combine::set: return b;
    case Combine::add: return a + b;
    case Combine::mul: return a * b;
    case Combine::max: return std::max(a, b);
    case Combine::min: return std::min(a, b);
    case Combine::and_: return a & b;
    case Combine::or_: return a | b;
    case Combine::xor_: return a ^ b;
  }
  return 0;
}
std::int64_t apply(const Primitive* op, std::int64_t a, std::int64_t b) {
  if (op == &add_p) return a + b;
  if (op == &sub_p) return a - b;
  if (op == &mul_p) return a * b;
  if (op == &max_p) return std::max(a, b);
  if (op == &min_p) return std::min(a, b);
  if (op == &lt_p) return a < b;
  throw std::logic_error(std::string("the machine does not know ") + op->name);
}

template <class Lane>
std::int64_t value(const Affine& a, const Lane& lane) {
  std::int64_t r = a.c;
  for (auto& t : a.terms) r += t.k * lane.values[std::size_t(t.sym)];
  return r;
}
}  // namespace

Machine::Arrays Machine::run(const Arrays& in) {
  arena_.resize(std::size_t(p_.arena) / 8);
  for (auto& v : arena_) v = garbage();
  memory_.assign(p_.buffers.size(), nullptr);
  std::vector<std::vector<std::int64_t>> own(p_.buffers.size());
  auto place = [&](bool outputs) {
    for (std::size_t i = 0; i < p_.buffers.size(); ++i) {
      const Buffer& b = p_.buffers[i];
      if ((b.role == Role::output) != outputs || b.role == Role::local) continue;
      if (b.role == Role::temp && b.offset >= 0) {
        memory_[i] = arena_.data() + b.offset / 8;
        continue;
      }
      if (b.donor >= 0 && donate_) {
        for (std::size_t j = 0; j < p_.buffers.size(); ++j)
          if (p_.buffers[j].role == Role::input && p_.buffers[j].index == b.donor)
            memory_[i] = memory_[j];
        continue;
      }
      own[i].resize(std::size_t(b.size));
      for (auto& v : own[i]) v = garbage();
      if (b.role == Role::input) own[i] = in[std::size_t(b.index)];
      memory_[i] = own[i].data();
    }
  };
  place(false);
  place(true);
  std::vector<Lane> all(1);
  all[0].values.resize(std::size_t(p_.next_sym));
  give_locals(all[0], kNone);
  std::vector<Lane*> lanes{&all[0]};
  block(p_.body, lanes);
  Arrays out(std::size_t(p_.outputs));
  for (std::size_t i = 0; i < p_.buffers.size(); ++i)
    if (const Buffer& b = p_.buffers[i]; b.role == Role::output)
      out[std::size_t(b.index)].assign(memory_[i], memory_[i] + b.size);
  return out;
}

void Machine::give_locals(Lane& lane, Sym scope) {
  for (std::size_t i = 0; i < p_.buffers.size(); ++i) {
    const Buffer& b = p_.buffers[i];
    if (b.role != Role::local || b.scope != scope) continue;
    lane.locals[int(i)] = std::make_shared<std::vector<std::int64_t>>(std::size_t(b.size));
    for (auto& v : *lane.locals[int(i)]) v = garbage();
  }
}
std::int64_t& Machine::element(int b, std::int64_t i, Lane& lane) {
  const Buffer& q = p_.buffers[std::size_t(b)];
  if (i < 0 || i >= q.size) throw std::logic_error("out of bounds: " + q.name);
  if (q.offset >= 0) touched_ = std::max(touched_, q.offset + 8 * q.size);
  if (q.role == Role::local) return (*lane.locals.at(b))[std::size_t(i)];
  return memory_[std::size_t(b)][i];
}
void Machine::block(const Block& b, const Active& lanes) {
  for (const loops::Node& n : b)
    if (!lanes.empty()) std::visit([&](const auto& x) { node(x, lanes); }, n.v);
}
void Machine::node(const loops::Loop& l, const Active& lanes) {
  const bool together = l.order == Order::parallel && how_ == Run::together;
  const bool backwards = l.order == Order::parallel && how_ == Run::backwards;
  const std::int64_t tile = together && lanes_ == 0 ? l.extent : together ? lanes_ : 1;
  for (std::int64_t at = 0; at < l.extent; at += tile) {
    const std::int64_t n = std::min(tile, l.extent - at);
    std::vector<Lane> inner;
    inner.reserve(lanes.size() * std::size_t(n));
    Active active;
    for (Lane* lane : lanes)
      for (std::int64_t k = 0; k < n; ++k) {
        inner.push_back(*lane);
        Lane& now = inner.back();
        const std::int64_t i = backwards ? l.extent - 1 - at - k : at + k;
        now.values[std::size_t(l.var)] = i;
        if (l.marks.chunk != kNone) now.values[std::size_t(l.marks.chunk)] = i / l.marks.grain;
        give_locals(now, l.var);
        active.push_back(&now);
      }
    block(l.body, active);
  }
}
void Machine::node(const loops::Let& l, const Active& lanes) {
  for (Lane* x : lanes) {
    auto arg = [&](std::size_t i) { return x->values[std::size_t(l.args[i])]; };
    x->values[std::size_t(l.sym)] = l.op == &neg_p ? -arg(0) : apply(l.op, arg(0), arg(1));
  }
}
void Machine::node(const loops::Const& c, const Active& lanes) {
  std::int64_t v;
  std::memcpy(&v, c.value.bits.data(), 8);
  for (Lane* x : lanes) x->values[std::size_t(c.sym)] = v;
}
void Machine::node(const loops::Index& i, const Active& lanes) {
  for (Lane* x : lanes) x->values[std::size_t(i.sym)] = value(i.at, *x);
}
void Machine::node(const loops::Clip& c, const Active& lanes) {
  for (Lane* x : lanes)
    x->values[std::size_t(c.sym)] = std::min(std::max(x->values[std::size_t(c.arg)], c.lo), c.hi);
}
void Machine::node(const loops::Load& l, const Active& lanes) {
  for (Lane* x : lanes) x->values[std::size_t(l.sym)] = element(l.buffer, value(l.at, *x), *x);
}
void Machine::node(const loops::Store& s, const Active& lanes) {
  for (Lane* x : lanes) {
    std::int64_t& e = element(s.buffer, value(s.at, *x), *x);
    e = combine(s.combine, e, x->values[std::size_t(s.value)]);
  }
}
void Machine::node(const loops::While& w, const Active& lanes) {
  Active going = lanes;
  while (true) {
    block(w.cond, going);
    std::erase_if(going, [&](Lane* x) { return !x->values[std::size_t(w.pred)]; });
    if (going.empty()) return;
    block(w.body, going);
  }
}
void Machine::node(const loops::If& i, const Active& lanes) {
  Active yes, no;
  for (Lane* x : lanes) (x->values[std::size_t(i.pred)] ? yes : no).push_back(x);
  block(i.body, yes);
  block(i.otherwise, no);
}
// Some function of all operands, which reads them again for every result: nothing may be overwritten.
void Machine::node(const loops::Call& c, const Active& lanes) {
  for (Lane* x : lanes)
    for (auto& o : c.out)
      for (std::int64_t i = 0; i < o.type->size; ++i) {
        std::int64_t sum = i;
        for (auto& a : c.in)
          for (std::int64_t k = 0; k < a.type->size; ++k)
            sum += (k + 1) * element(a.buffer, value(a.at, *x) + k, *x);
        element(o.buffer, value(o.at, *x) + i, *x) = sum % 1000;
      }
}

// ---- Running
Machine::Arrays inputs(const Program& p, unsigned seed) {
  std::mt19937 rng(seed);
  Machine::Arrays in(std::size_t(p.inputs));
  for (const Buffer& b : p.buffers)
    if (b.role == Role::input)
      for (std::int64_t i = 0; i < b.size; ++i)
        in[std::size_t(b.index)].push_back(std::int64_t(rng() % 19) - 4);
  return in;
}
Machine::Arrays interpreted(const Program& p, Machine::Arrays in, bool donate) {
  Machine::Arrays out(std::size_t(p.outputs));
  std::vector<const void*> from;
  std::vector<void*> to(out.size());
  for (auto& a : in) from.push_back(a.data());
  for (const Buffer& b : p.buffers) {
    if (b.role != Role::output) continue;
    auto& o = out[std::size_t(b.index)];
    o.assign(std::size_t(b.size), -777);
    const bool taken = donate && b.donor >= 0;
    to[std::size_t(b.index)] = taken ? in[std::size_t(b.donor)].data() : o.data();
  }
  loops::Interpreter(p).run(from, to);
  for (const Buffer& b : p.buffers)
    if (b.role == Role::output) {
      const auto* y = static_cast<const std::int64_t*>(to[std::size_t(b.index)]);
      out[std::size_t(b.index)] = std::vector<std::int64_t>(y, y + b.size);
    }
  return out;
}
// Runs a program in every order.
void check_equal(const Program& plain, const Program& changed, unsigned seed) {
  const auto in = inputs(plain, seed);
  const auto want = Machine(plain, Machine::Run::forwards).run(in);
  const auto want_interpreted = interpreted(plain, in, false);
  for (const bool donate : {false, true}) {
    CHECK(interpreted(changed, in, donate) == want_interpreted);
    CHECK(Machine(changed, Machine::Run::forwards, 0, donate).run(in) == want);
    CHECK(Machine(changed, Machine::Run::backwards, 0, donate).run(in) == want);
    CHECK(Machine(changed, Machine::Run::together, 0, donate).run(in) == want);
    CHECK(Machine(changed, Machine::Run::together, 3, donate).run(in) == want);
  }
}

// ---- Random programs
namespace {
class Random {
 public:
  explicit Random(unsigned seed) : rng_(seed) {}
  std::string text() {
    arrays_ = {"x0", "x1", "x2"};
    declarations_ = "in x0: i64[12]\nin x1: i64[12]\nin x2: i64[12]\n";
    for (int i = 0; i < 2; ++i) declarations_ += "out y" + std::to_string(i) + ": i64[12]\n";
    const int items = 2 + pick(10);
    for (int i = 0; i < items; ++i) {
      item("", 2);
      if (outputs_ < 2 && pick(items) < 2) output();
    }
    while (outputs_ < 2) output();
    return declarations_ + body_;
  }

 private:
  int pick(int n) { return int(rng_() % unsigned(n)); }
  std::string v() { return "%" + std::to_string(values_++); }
  std::string i() { return "i" + std::to_string(loops_++); }
  std::string some() { return arrays_[std::size_t(pick(int(arrays_.size())))]; }
  std::string recent() {
    const int n = int(arrays_.size());
    return arrays_[std::size_t(n - 1 - pick(std::min(n, 3)))];
  }
  void line(const std::string& pad, const std::string& s) { body_ += pad + s + "\n"; }
  // A new array; inside a loop over time it may be the loop's.
  std::string fresh() {
    const std::string name = "t" + std::to_string(temps_++);
    declarations_ += "temp " + name + ": i64[12]\n";
    return name;
  }
  std::string scalar() {
    const std::string name = "s" + std::to_string(temps_++);
    declarations_ += "temp " + name + ": i64[1]\n";
    return name;
  }
  std::string load(const std::string& pad, const std::string& from, const std::string& at) {
    const std::string r = v();
    line(pad, r + " = " + from + "[" + at + "]");
    return r;
  }
  std::string let(const std::string& pad, const std::string& op, const std::string& a,
                  const std::string& b) {
    const std::string r = v();
    line(pad, r + ": i64 = " + op + " " + a + " " + b);
    return r;
  }
  std::string constant(const std::string& pad, int k) {
    const std::string r = v();
    line(pad, r + ": i64 = " + std::to_string(k));
    return r;
  }
  std::string operation() {
    static const char* ops[] = {"add", "sub", "max", "min"};
    return ops[pick(4)];
  }
  void output() {
    const std::string n = i(), y = "y" + std::to_string(outputs_++);
    const bool rows = pick(2);
    if (rows) {
      const std::string m = i();
      line("", "parallel " + n + " < 3");
      line("  ", "parallel " + m + " < 4");
      elementwise("    ", "4*" + n + "+" + m, pick(3) ? "" : "4*" + n + "-" + m + "+3", y);
    } else {
      line("", "parallel " + n + " < 12");
      elementwise("  ", n, pick(4) ? "" : "-" + n + "+11", y);
    }
    arrays_.push_back(y);
  }
  // Loads and stores to one or several arrays, in any order.
  void elementwise(const std::string& pad, const std::string& at, const std::string& other,
                   const std::string& into) {
    std::vector<std::string> made;
    std::string x = load(pad, recent(), at);
    const int steps = into.empty() ? 1 + pick(3) : 1;
    for (int s = 0; s < steps; ++s) {
      const std::string y =
          load(pad, pick(2) ? recent() : some(), !other.empty() && pick(2) ? other : at);
      x = let(pad, operation(), x, y);
      if (pick(4) == 0) {
        const std::string c = v();
        line(pad, c + " = clip " + x + " 0 11");
        x = let(pad, "add", x, load(pad, some(), c));
      }
      if (s + 1 == steps || pick(2)) {
        const std::string t = into.empty() ? fresh() : into;
        if (pick(5) == 0) {
          const std::string p = v();
          line(pad, p + ": bool = lt " + x + " " + y);
          line(pad, "if " + p);
          line(pad + "  ", t + "[" + at + "] = " + (pick(2) ? x : load(pad + "  ", some(), at)));
          line(pad, "else");
          line(pad + "  ", t + "[" + at + "] = " + y);
        } else {
          line(pad, t + "[" + at + "] = " + x);
        }
        if (into.empty()) made.push_back(t);
      }
    }
    arrays_.insert(arrays_.end(), made.begin(), made.end());
  }
  void item(const std::string& pad, int depth) {
    switch (pick(depth ? 14 : 8)) {
      case 0: {
        const std::string n = i();
        line(pad, "parallel " + n + " < 12");
        return elementwise(pad + "  ", n, pick(2) ? "" : "-" + n + "+11", "");
      }
      case 1: {
        const std::string n = i(), m = i();
        line(pad, "parallel " + n + " < 3");
        line(pad + "  ", "parallel " + m + " < 4");
        const std::string other[] = {"", n + "+3*" + m, "4*" + n, m, "4*" + n + "-" + m + "+3"};
        return elementwise(pad + "    ", "4*" + n + "+" + m, other[pick(5)], "");
      }
      case 2: {  // a kernel for each row
        const std::string n = i(), m = i(), k = i(), a = recent(),
                          s = "l" + std::to_string(temps_++);
        line(pad, "parallel " + n + " < 3");
        line(pad + "  ", "local " + s + ": i64[1]");
        line(pad + "  ", s + "[0] = " + constant(pad + "  ", pick(5)));
        line(pad + "  ", "parallel " + m + " < 4");
        const std::string row = pick(2) ? "4*" + n + "+" + m : "4*" + n + "-" + m + "+3";
        line(pad + "    ", s + "[0] += " + load(pad + "    ", a, row));
        line(pad + "  ", "parallel " + k + " < 4");
        const std::string x = load(pad + "    ", s, "0");
        const std::string y = load(pad + "    ", pick(2) ? a : recent(), "4*" + n + "+" + k);
        const std::string t = fresh();
        line(pad + "    ", t + "[4*" + n + "+" + k + "] = " + let(pad + "    ", operation(), x, y));
        arrays_.push_back(t);
        return;
      }
      case 3: {  // a reduction, and an array that uses it
        const std::string s = scalar(), n = i(), m = i(), a = recent();
        line(pad, s + "[0] = " + constant(pad, pick(5)));
        line(pad, "parallel " + n + " < 12");
        line(pad + "  ", s + "[0] " + (pick(2) ? "+=" : "max=") + " " + load(pad + "  ", a, n));
        line(pad, "parallel " + m + " < 12");
        const std::string x = load(pad + "  ", a, m), y = load(pad + "  ", s, "0"), t = fresh();
        line(pad + "  ", t + "[" + m + "] = " + let(pad + "  ", "sub", x, y));
        arrays_.push_back(t);
        return;
      }
      case 4: {
        const std::string t = fresh();
        line(pad, "call cumsum[axis=0 reverse=False] (" + recent() + ": i64[12]) -> (" + t +
                      ": i64[12])");
        arrays_.push_back(t);
        return;
      }
      case 5: {  // a strided read that is repeated
        const std::string n = i(), k = i(), m = i(), t = fresh(), a = some();
        line(pad, "parallel " + n + " < 3");
        const std::string z = constant(pad + "  ", 1);
        line(pad + "  ", "parallel " + k + " < 4");
        line(pad + "    ", t + "[4*" + n + "+" + k + "] = " + z);
        line(pad + "    ", "parallel " + m + " < 4");
        line(pad + "      ",
             t + "[4*" + n + "+" + k + "] += " + load(pad + "      ", a, "4*" + n + "+" + m));
        arrays_.push_back(t);
        return;
      }
      case 6: {  // an update of an array that is there
        const std::string n = i(), a = arrays_.back();
        if (a[0] != 't') return;
        line(pad, "parallel " + n + " < 12");
        line(pad + "  ",
             a + "[" + n + "] += " + load(pad + "  ", "x" + std::to_string(pick(3)), n));
        return;
      }
      case 7: {  // lanes with loads that are worth packing
        const std::string n = i(), k = i(), m = i(), q = i(), a = recent(), t = fresh(),
                          l = "l" + std::to_string(temps_++);
        line(pad, "parallel " + n + " < 3");
        line(pad + "  ", "local " + l + ": i64[1]");
        const std::string x = load(pad + "  ", a, "4*" + n), c = v();
        line(pad + "  ", l + "[0] = " + x);
        line(pad + "  ", c + " = clip " + x + " 0 3");
        line(pad + "  ", "serial " + k + " < 5");
        line(pad + "    ", "parallel " + m + " < 4");
        const std::string b = pick(2) ? a : some(), w = "4*" + n + "+";
        const std::string e = load(pad + "      ", b, w + (pick(2) ? m : c));
        line(pad + "      ", l + "[0] += " + let(pad + "      ", "add", x, e));
        line(pad + "  ", "parallel " + q + " < 4");
        const std::string y = load(pad + "    ", l, "0");
        line(pad + "    ", t + "[" + w + q + "] = " + y);
        arrays_.push_back(t);
        return;
      }
      case 8:
      case 9: {  // over time
        line(pad, "serial " + i() + " < 2");
        return nested(pad + "  ", depth);
      }
      case 10: {  // over time, with arrays of one step
        const std::string n = i(), m = i(), k = i(), a = "l" + std::to_string(temps_++),
                          b = "l" + std::to_string(temps_++), t = fresh();
        line(pad, "serial " + n + " < 2");
        line(pad + "  ", "local " + a + ": i64[12]");
        line(pad + "  ", "local " + b + ": i64[600]");
        const auto before = arrays_;
        const int more = 1 + pick(2);
        for (int q = 0; q < more; ++q) item(pad + "  ", 0);
        line(pad + "  ", "parallel " + m + " < 12");
        const std::string x = load(pad + "    ", recent(), m);
        line(pad + "    ", a + "[" + m + "] = " + x);
        line(pad + "    ", b + "[50*" + m + "] = " + x);
        item(pad + "  ", 0);
        line(pad + "  ", "parallel " + k + " < 12");
        const std::string y = load(pad + "    ", a, k), z = load(pad + "    ", b, "50*" + k);
        line(pad + "    ", t + "[" + k + "] = " + let(pad + "    ", "add", y, z));
        arrays_ = before;
        arrays_.push_back(t);
        return;
      }
      case 11: {
        const std::string s = scalar();
        line(pad, s + "[0] = " + constant(pad, 0));
        line(pad, "while");
        const std::string x = load(pad + "  ", s, "0"), k = constant(pad + "  ", 2), p = v();
        line(pad + "  ", p + ": bool = lt " + x + " " + k);
        line(pad, "do " + p);
        line(pad + "  ", s + "[0] += " + constant(pad + "  ", 1));
        return nested(pad + "  ", depth);
      }
      case 12: {  // over time, with an array that only the first step defines
        const std::string n = i(), m = i(), k = i(), q = i(), t = fresh(), u = fresh();
        line(pad, "serial " + n + " < 3");
        const std::string x = v(), one = constant(pad + "  ", 1), p = v();
        line(pad + "  ", x + ": i64 = index " + n);
        line(pad + "  ", p + ": bool = lt " + x + " " + one);
        line(pad + "  ", "if " + p);
        line(pad + "    ", "parallel " + m + " < 12");
        line(pad + "      ", t + "[" + m + "] = " + load(pad + "      ", recent(), m));
        const auto before = arrays_;
        item(pad + "  ", 0);
        line(pad + "  ", "parallel " + k + " < 12");
        line(pad + "    ", t + "[" + k + "] += " + load(pad + "    ", recent(), k));
        line(pad + "  ", "parallel " + q + " < 12");
        line(pad + "    ", u + "[" + q + "] = " + load(pad + "    ", t, q));
        item(pad + "  ", 0);
        arrays_ = before;
        arrays_.push_back(u);
        return;
      }
      default: {
        const std::string x = load(pad, recent(), "5"), k = constant(pad, 3), p = v();
        const std::string t = fresh(), n = i(), m = i();
        line(pad, p + ": bool = lt " + x + " " + k);
        line(pad, "if " + p);
        const auto before = arrays_;
        item(pad + "  ", 0);
        line(pad + "  ", "parallel " + n + " < 12");
        line(pad + "    ", t + "[" + n + "] = " + load(pad + "    ", recent(), n));
        arrays_ = before;
        line(pad, "else");
        item(pad + "  ", 0);
        line(pad + "  ", "parallel " + m + " < 12");
        line(pad + "    ", t + "[" + m + "] = " + load(pad + "    ", recent(), m));
        arrays_ = before;
        arrays_.push_back(t);
        return;
      }
    }
  }
  // Items, and an update of an array outside.  What they make is not defined outside if the block does not run.
  void nested(const std::string& pad, int depth) {
    const auto before = arrays_;
    std::string carried = "x0";
    for (auto& a : before)
      if (a[0] == 't') carried = a;
    const int items = 1 + pick(3);
    for (int k = 0; k < items; ++k) item(pad, depth - 1);
    if (carried != "x0") {
      const std::string n = i();
      line(pad, "parallel " + n + " < 12");
      const std::string x = load(pad + "  ", carried, n), y = load(pad + "  ", recent(), n);
      line(pad + "  ", carried + "[" + n + "] = " + let(pad + "  ", operation(), x, y));
    }
    arrays_ = before;
  }

  std::mt19937 rng_;
  std::string declarations_, body_;
  std::vector<std::string> arrays_;
  int values_ = 0, loops_ = 0, temps_ = 0, outputs_ = 0;
};
}  // namespace

std::string random_loop_program(unsigned seed) { return Random(seed).text(); }

}  // namespace jaxpp::testing
