#include "backends/cpu/ir.h"
#include <algorithm>
#include <bit>
#include <cassert>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <unordered_map>
#include <utility>

namespace jaxpp::native::ir {
namespace {

constexpr const char* kNames[] = {"i1",    "i8",     "i16", "i32", "i64",
                                  "float", "double", "ptr", "void"};
constexpr const char* kSuffixes[] = {"i1", "i8", "i16", "i32", "i64", "f32", "f64", "p0", ""};
const char* name(Kind k) { return kNames[std::size_t(k)]; }

void put(std::string& s, std::uint64_t n) {
  char digits[20], *p = digits + sizeof digits;
  do *--p = char('0' + n % 10);
  while (n /= 10);
  s.append(p, digits + sizeof digits);
}
void put(std::string& s, Type t) {
  if (t.lanes > 1) {
    s += '<';
    put(s, std::uint64_t(t.lanes));
    s += " x ";
    s += name(t.kind);
    s += '>';
  } else {
    s += name(t.kind);
  }
}
std::string suffix(Type t) {
  return (t.lanes > 1 ? "v" + std::to_string(t.lanes) : "") + kSuffixes[std::size_t(t.kind)];
}
std::string text(Type t) {
  std::string s;
  put(s, t);
  return s;
}
void put_number(std::string& s, Kind k, std::uint64_t b) {
  switch (k) {
    case Kind::i1: s += b ? "true" : "false"; return;
    case Kind::pointer: s += "null"; return;
    case Kind::f32:
      b = std::bit_cast<std::uint64_t>(double(std::bit_cast<float>(std::uint32_t(b))));
      [[fallthrough]];
    case Kind::f64: {
      char hex[20];
      std::snprintf(hex, sizeof hex, "0x%016llX", static_cast<unsigned long long>(b));
      s += hex;
      return;
    }
    default: {
      const int unused = 64 - bits(k);
      const auto v = std::int64_t(b << unused) >> unused;
      if (v < 0) s += '-';
      put(s, v < 0 ? 0 - std::uint64_t(v) : std::uint64_t(v));
    }
  }
}
std::uint64_t masked(Kind k, std::uint64_t b) {
  return bits(k) < 64 ? b & ((std::uint64_t(1) << bits(k)) - 1) : b;
}
bool is(const char* op, const char* what) { return std::strcmp(op, what) == 0; }

}  // namespace

int bits(Kind k) {
  switch (k) {
    case Kind::i1: return 1;
    case Kind::i8: return 8;
    case Kind::i16: return 16;
    case Kind::i32:
    case Kind::f32: return 32;
    case Kind::nothing: return 0;
    default: return 64;
  }
}
bool is_float(Kind k) { return k == Kind::f32 || k == Kind::f64; }
Kind integer_like(Kind k) {
  return k == Kind::f32 ? Kind::i32 : k == Kind::f64 || k == Kind::pointer ? Kind::i64 : k;
}

Value number(Kind k, double v) {
  if (k == Kind::f32) return integer(k, std::bit_cast<std::uint32_t>(float(v)));
  if (k == Kind::f64) return integer(k, std::bit_cast<std::uint64_t>(v));
  return integer(k, std::uint64_t(std::int64_t(v)));
}
Value integer(Kind k, std::uint64_t b) { return {Value::Form::number, {k, 1}, masked(k, b)}; }

// ---- Functions
void Writer::begin(std::string_view function, Type result, std::span<const Type> parameters,
                   std::string_view attributes) {
  outer_.push_back(std::move(f_));
  f_ = {};
  f_.name = function;
  f_.internal = attributes == "internal";
  const auto start = [&](const char* how, std::string_view more, bool names) {
    std::string s = how;
    s += more;
    s += more.empty() ? "" : " ";
    put(s, result);
    s += " @";
    s += function;
    s += '(';
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (i) s += ", ";
      put(s, parameters[i]);
      if (names) s += " %p" + std::to_string(i);
    }
    return s;
  };
  f_.declaration = start("declare ", "", false) + ")";
  std::string& s = f_.head = start("define ", attributes, true);
  f_.current = label();
  s += ") #0 {\nb" + std::to_string(f_.current.n) + ":\n";
  f_.parameters.assign(parameters.begin(), parameters.end());
  f_.open = true;
}
Value Writer::parameter(int i) const {
  return {Value::Form::parameter, f_.parameters[std::size_t(i)], std::uint64_t(i)};
}
void Writer::end() {
  assert(!f_.open && !f_.in_entry);
  finished_.push_back({std::move(f_.name), std::move(f_.declaration),
                       f_.head + f_.entry + f_.body + "}\n\n", f_.instructions, f_.internal});
  f_ = std::move(outer_.back());
  outer_.pop_back();
}

// ---- Modules
namespace {
// What a text mentions: the names behind each @.
std::unordered_set<std::string_view> mentioned(std::string_view text) {
  std::unordered_set<std::string_view> names;
  const auto of_name = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
  };
  for (std::size_t at = text.find('@'); at != text.npos; at = text.find('@', at)) {
    const std::size_t begin = ++at;
    while (at < text.size() && of_name(text[at])) ++at;
    names.insert(text.substr(begin, at - begin));
  }
  return names;
}
}  // namespace

std::string Writer::module(std::string_view attributes) const { return modules(attributes, 1)[0]; }
std::vector<std::string> Writer::modules(std::string_view attributes, std::size_t most) const {
  const std::size_t n = finished_.size();
  std::unordered_map<std::string_view, std::size_t> by_name;
  for (std::size_t i = 0; i < n; ++i) by_name[finished_[i].name] = i;
  std::vector<std::unordered_set<std::string_view>> uses(n);
  for (std::size_t i = 0; i < n; ++i) uses[i] = mentioned(finished_[i].text);

  // The longest first, each to the module that is shortest so far.
  std::vector<std::size_t> length(most), module_of(n, most - 1), order;
  for (std::size_t i = 0; i < n; ++i) {
    if (finished_[i].internal) continue;
    const bool last = std::any_of(uses[i].begin(), uses[i].end(), [&](std::string_view used) {
      const auto it = by_name.find(used);
      return it != by_name.end() && it->second != i && !finished_[it->second].internal;
    });
    if (last)
      length[most - 1] += finished_[i].instructions;
    else
      order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return finished_[a].instructions > finished_[b].instructions;
  });
  for (std::size_t i : order) {
    const auto shortest = std::min_element(length.begin(), length.end());
    *shortest += finished_[i].instructions;
    module_of[i] = std::size_t(shortest - length.begin());
  }

  std::vector<std::string> all;
  for (std::size_t m = 0; m < most; ++m) {
    std::unordered_set<std::string_view> used;
    std::vector<char> here(n);
    const auto add = [&](auto& self, std::size_t i) -> void {
      if (std::exchange(here[i], 1)) return;
      for (std::string_view name : uses[i]) {
        used.insert(name);
        if (const auto it = by_name.find(name);
            it != by_name.end() && finished_[it->second].internal)
          self(self, it->second);
      }
    };
    for (std::size_t i = 0; i < n; ++i)
      if (!finished_[i].internal && module_of[i] == m) add(add, i);
    std::string functions;
    for (std::size_t i = 0; i < n; ++i)
      if (here[i]) functions += finished_[i].text;
    if (functions.empty() && m + 1 < most) continue;
    std::string s;
    for (const std::string& d : declarations_) {
      const std::size_t at = d.find('@') + 1;
      if (used.count(std::string_view(d).substr(at, d.find('(', at) - at))) s += d + "\n";
    }
    for (std::size_t i = 0; i < n; ++i)
      if (!here[i] && used.count(finished_[i].name)) s += finished_[i].declaration + "\n";
    s += "\n" + functions;
    s += "attributes #0 = { ";
    s += attributes;
    s += " }\n";
    all.push_back(std::move(s));
  }
  return all;
}
void Writer::declare(const std::string& text) {
  if (declared_.insert(text).second) declarations_.push_back(text);
}
Value Writer::function(std::string_view f) {
  for (std::size_t i = 0; i < functions_.size(); ++i)
    if (functions_[i] == f) return {Value::Form::function, {Kind::pointer, 1}, i};
  functions_.emplace_back(f);
  return {Value::Form::function, {Kind::pointer, 1}, functions_.size() - 1};
}
void Writer::enter_entry() {
  assert(!f_.in_entry);
  f_.in_entry = true;
}
void Writer::leave_entry() { f_.in_entry = false; }

// ---- Writing
Value Writer::fresh(Type t) { return {Value::Form::result, t, f_.next++}; }
std::string& Writer::instruction() {
  assert(f_.open || f_.in_entry);
  ++f_.instructions;
  return text() += "  ";
}
std::string& Writer::define(Value v) {
  std::string& s = instruction();
  s += "%v";
  put(s, v.bits);
  return s += " = ";
}
void Writer::bare(Value v, Type as) {
  std::string& s = text();
  switch (v.form) {
    case Value::Form::none: assert(false); return;
    case Value::Form::result: s += "%v", put(s, v.bits); return;
    case Value::Form::parameter: s += "%p", put(s, v.bits); return;
    case Value::Form::function: s += '@', s += functions_[v.bits]; return;
    case Value::Form::number:
      if (as.lanes > 1) {
        if (v.bits == 0) {
          s += "zeroinitializer";
          return;
        }
        s += "splat (";
        s += name(as.kind);
        s += ' ';
        put_number(s, as.kind, v.bits);
        s += ')';
      } else {
        put_number(s, as.kind, v.bits);
      }
  }
}
void Writer::operand(Value v) {
  put(text(), v.type);
  text() += ' ';
  bare(v, v.type);
}
void Writer::operands(std::span<const Value> values) {
  bool first = true;
  for (const Value& v : values) {
    if (!first) text() += ", ";
    first = false;
    operand(v);
  }
}
bool Writer::meet(Value& a, Value& b) {
  const int lanes = std::max(a.lanes(), b.lanes());
  a = widen(a, lanes);
  b = widen(b, lanes);
  return lanes > 1;
}

// ---- Arithmetic
Value Writer::binary(const char* op, Value a, Value b) {
  assert(a.kind() == b.kind());
  const Kind k = a.kind();
  if (is_integer(k)) {
    if (a.is_number() && b.is_number() && a.lanes() == b.lanes()) {
      std::uint64_t r = 0;
      bool known = true;
      if (is(op, "add"))
        r = a.bits + b.bits;
      else if (is(op, "sub"))
        r = a.bits - b.bits;
      else if (is(op, "mul"))
        r = a.bits * b.bits;
      else if (is(op, "and"))
        r = a.bits & b.bits;
      else if (is(op, "or"))
        r = a.bits | b.bits;
      else if (is(op, "xor"))
        r = a.bits ^ b.bits;
      else
        known = false;
      if (known) return {Value::Form::number, a.type, masked(k, r)};
    }
    const auto lanes_of = [&](const Value& v, const Value& o) { return v.lanes() >= o.lanes(); };
    if ((is(op, "add") || is(op, "or") || is(op, "xor")) && a.is(0) && lanes_of(b, a)) return b;
    if ((is(op, "add") || is(op, "sub") || is(op, "or") || is(op, "xor")) && b.is(0) &&
        lanes_of(a, b))
      return a;
    if (is(op, "mul") && a.is(1) && lanes_of(b, a)) return b;
    if (is(op, "mul") && b.is(1) && lanes_of(a, b)) return a;
    if (k == Kind::i1 && is(op, "and")) {
      if (a.is(1) && lanes_of(b, a)) return b;
      if (b.is(1) && lanes_of(a, b)) return a;
    }
  }
  meet(a, b);
  const Value r = fresh(a.type);
  pair(r, op, contract && is_float(k) ? " contract " : " ", a, b);
  return r;
}
void Writer::pair(Value r, const char* op, const char* how, Value a, Value b) {
  std::string& s = define(r);
  s += op;
  s += how;
  operand(a);
  s += ", ";
  bare(b, a.type);
  s += '\n';
}
Value Writer::negate(Value a) {
  if (!is_float(a.kind())) return binary("sub", {Value::Form::number, a.type, 0}, a);
  const Value r = fresh(a.type);
  define(r) += contract ? "fneg contract " : "fneg ";
  operand(a);
  text() += '\n';
  return r;
}
Value Writer::compare(const char* predicate, Value a, Value b) {
  assert(a.kind() == b.kind());
  meet(a, b);
  const Value r = fresh({Kind::i1, a.lanes()});
  pair(r, is_float(a.kind()) ? "fcmp " : "icmp ", (std::string(predicate) + ' ').c_str(), a, b);
  return r;
}
Value Writer::select(Value c, Value a, Value b) {
  assert(a.kind() == b.kind());
  if (c.is_number()) {
    meet(a, b);
    return widen(c.bits ? a : b, std::max(a.lanes(), c.lanes()));
  }
  meet(a, b);
  if (c.lanes() > a.lanes()) {
    a = widen(a, c.lanes());
    b = widen(b, c.lanes());
  }  // a scalar condition chooses a whole vector
  if (a == b) return a;
  const Value r = fresh(a.type);
  define(r) += "select ";
  const Value all[] = {c, a, b};
  operands(all);
  text() += '\n';
  return r;
}
Value Writer::cast(const char* op, Value a, Kind to) {
  if (a.kind() == to) return a;
  if (a.is_number() && is_integer(a.kind()) && is_integer(to)) {
    const int unused = 64 - bits(a.kind());
    const std::uint64_t b =
        is(op, "sext") ? std::uint64_t(std::int64_t(a.bits << unused) >> unused) : a.bits;
    return {Value::Form::number, {to, a.lanes()}, masked(to, b)};
  }
  const Value r = fresh({to, a.lanes()});
  std::string& s = define(r);
  s += op;
  s += ' ';
  operand(a);
  s += " to ";
  put(s, r.type);
  s += '\n';
  return r;
}
Value Writer::intrinsic(const char* op, std::initializer_list<Value> args) {
  int lanes = 1;
  for (const Value& v : args) lanes = std::max(lanes, v.lanes());
  Value wide[4];
  std::size_t n = 0;
  for (const Value& v : args) wide[n++] = widen(v, lanes);
  const Type t = wide[0].type;
  return intrinsic("llvm." + std::string(op) + "." + suffix(t), t, {wide, n});
}
Value Writer::intrinsic(std::string_view whole_name, Type result, std::span<const Value> args) {
  std::string d = "declare " + ir::text(result) + " @" + std::string(whole_name) + "(";
  for (std::size_t i = 0; i < args.size(); ++i) d += (i ? ", " : "") + ir::text(args[i].type);
  declare(d + ")");
  return call(whole_name, result, args);
}

// ---- Vectors
Value Writer::widen(Value a, int lanes) {
  if (a.lanes() == lanes) return a;
  assert(a.lanes() == 1);
  if (a.is_number()) {
    a.type.lanes = lanes;
    return a;
  }
  const Type t{a.kind(), lanes};
  const Value one = fresh(t);
  {
    std::string& s = define(one);
    s += "insertelement ";
    put(s, t);
    s += " poison, ";
    operand(a);
    s += ", i64 0\n";
  }
  const Value r = fresh(t);
  std::string& s = define(r);
  s += "shufflevector ";
  operand(one);
  s += ", ";
  put(s, t);
  s += " poison, ";
  put(s, Type{Kind::i32, lanes});
  s += " zeroinitializer\n";
  return r;
}
Value Writer::extract(Value a, int lane) {
  if (a.lanes() == 1) return a;
  if (a.is_number()) {
    a.type.lanes = 1;
    return a;
  }
  const Value r = fresh({a.kind(), 1});
  std::string& s = define(r);
  s += "extractelement ";
  operand(a);
  s += ", i64 ";
  put(s, std::uint64_t(lane));
  s += '\n';
  return r;
}
Value Writer::insert(Value a, Value element, int lane) {
  const Value r = fresh(a.type);
  std::string& s = define(r);
  s += "insertelement ";
  operand(a);
  s += ", ";
  operand(element);
  s += ", i64 ";
  put(s, std::uint64_t(lane));
  s += '\n';
  return r;
}
Value Writer::shuffle(Value a, Value b, std::span<const int> lanes) {
  const Value r = fresh({a.kind(), int(lanes.size())});
  std::string& s = define(r);
  s += "shufflevector ";
  operand(a);
  s += ", ";
  operand(b);
  s += ", ";
  put(s, Type{Kind::i32, int(lanes.size())});
  s += " <";
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    s += i ? ", i32 " : "i32 ";
    if (lanes[i] < 0)
      s += "poison";
    else
      put(s, std::uint64_t(lanes[i]));
  }
  s += ">\n";
  return r;
}
// A vector of different numbers has no form of a Value: it is the sum of one with zero, which folds.
Value Writer::steps(Kind k, int lanes, std::int64_t step) {
  if (lanes == 1) return integer(k, 0);
  const Value r = fresh({k, lanes});
  std::string& s = define(r);
  s += "add ";
  put(s, r.type);
  s += " <";
  for (int i = 0; i < lanes; ++i) {
    if (i) s += ", ";
    s += name(k);
    s += ' ';
    put_number(s, k, masked(k, std::uint64_t(i * step)));
  }
  s += ">, zeroinitializer\n";
  return r;
}
Value Writer::hidden(Kind k, std::span<const int> numbers) {
  const Value r = fresh({k, int(numbers.size())});
  std::string& s = define(r);
  s += "call ";
  put(s, r.type);
  s += " asm \"\", \"=v,0\"(";
  put(s, r.type);
  s += " <";
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i) s += ", ";
    s += name(k);
    s += ' ';
    put_number(s, k, masked(k, std::uint64_t(numbers[i])));
  }
  s += ">)\n";
  return r;
}
Value Writer::all_true(int lanes) { return {Value::Form::number, {Kind::i1, lanes}, 1}; }

// ---- Memory
Value Writer::stack(Type t, std::int64_t count, int align) {
  const bool nested = f_.in_entry;
  if (!nested) enter_entry();
  const Value r = fresh({Kind::pointer, 1});
  std::string& s = define(r);
  s += "alloca ";
  if (count != 1) {
    s += '[';
    put(s, std::uint64_t(count));
    s += " x ";
    put(s, t);
    s += ']';
  } else {
    put(s, t);
  }
  s += ", align ";
  put(s, std::uint64_t(align));
  s += '\n';
  if (!nested) leave_entry();
  return r;
}
Value Writer::address(Value base, Value index, Type element) {
  if (index.is(0)) return base;
  const Value r = fresh({Kind::pointer, std::max(base.lanes(), index.lanes())});
  std::string& s = define(r);
  s += "getelementptr ";
  put(s, element.kind == Kind::i1 ? Type{Kind::i8, element.lanes} : element);
  s += ", ";
  operand(base);
  s += ", ";
  operand(index);
  s += '\n';
  return r;
}
Value Writer::load(Type t, Value at, int align) {
  const Value r = fresh(t);
  std::string& s = define(r);
  s += "load ";
  put(s, t);
  s += ", ";
  operand(at);
  s += ", align ";
  put(s, std::uint64_t(align));
  s += '\n';
  return r;
}
void Writer::store(Value v, Value at, int align) { store(v, at, align, ""); }
void Writer::store_past_caches(Value v, Value at, int align) {
  store(v, at, align, ", !nontemporal !{i32 1}");
}
// Such stores are not ordered by what orders others (x86).
void Writer::fence() { intrinsic("llvm.x86.sse.sfence", {Kind::nothing, 1}, {}); }
void Writer::store(Value v, Value at, int align, const char* how) {
  std::string& s = instruction();
  s += "store ";
  operand(v);
  s += ", ";
  operand(at);
  s += ", align ";
  put(s, std::uint64_t(align));
  s += how;
  s += '\n';
}
Value Writer::masked_load(Type t, Value at, Value mask, int align, Value other) {
  const Value args[] = {at, i32(align), mask, widen(other, t.lanes)};
  return intrinsic("llvm.masked.load." + suffix(t) + ".p0", t, args);
}
void Writer::masked_store(Value v, Value at, Value mask, int align) {
  const Value args[] = {v, at, i32(align), mask};
  intrinsic("llvm.masked.store." + suffix(v.type) + ".p0", {Kind::nothing, 1}, args);
}
Value Writer::gather(Type t, Value addresses, Value mask, int align) {
  const Value args[] = {addresses, i32(align), mask, {Value::Form::number, t, 0}};
  return intrinsic("llvm.masked.gather." + suffix(t) + "." + suffix(addresses.type), t, args);
}
void Writer::scatter(Value v, Value addresses, Value mask, int align) {
  const Value args[] = {v, addresses, i32(align), mask};
  intrinsic("llvm.masked.scatter." + suffix(v.type) + "." + suffix(addresses.type),
            {Kind::nothing, 1}, args);
}

// ---- Control
Label Writer::label() { return {next_label_++}; }
void Writer::place(Label l) {
  if (f_.open) branch(l);
  f_.body += 'b';
  put(f_.body, std::uint64_t(l.n));
  f_.body += ":\n";
  f_.current = l;
  f_.open = true;
}
void Writer::branch(Label l) {
  std::string& s = instruction();
  s += "br label %b";
  put(s, std::uint64_t(l.n));
  s += '\n';
  f_.open = false;
}
void Writer::branch(Value condition, Label yes, Label no) {
  std::string& s = instruction();
  s += "br ";
  operand(condition);
  s += ", label %b";
  put(s, std::uint64_t(yes.n));
  s += ", label %b";
  put(s, std::uint64_t(no.n));
  s += '\n';
  f_.open = false;
}
Value Writer::call(std::string_view f, Type result, std::span<const Value> args) {
  return call(function(f), result, args);
}
Value Writer::call(Value f, Type result, std::span<const Value> args) {
  const bool none = result.kind == Kind::nothing;
  const Value r = none ? Value{} : fresh(result);
  std::string& s = none ? instruction() : define(r);
  s += "call ";
  put(s, result);
  s += ' ';
  bare(f, f.type);
  s += '(';
  operands(args);
  s += ")\n";
  return r;
}
void Writer::ret(Value v) {
  std::string& s = instruction();
  s += "ret ";
  if (v)
    operand(v);
  else
    s += "void";
  s += '\n';
  f_.open = false;
}
Value Writer::promise(Type t) { return fresh(t); }
void Writer::define_sum(Value promised, Value a, Value b) {
  pair(promised, "add", " nuw nsw ", a, b);
}
Value Writer::phi(Type t, std::initializer_list<Incoming> incoming) {
  const Value r = fresh(t);
  std::string& s = define(r);
  s += "phi ";
  put(s, t);
  bool first = true;
  for (const Incoming& i : incoming) {
    s += first ? " [ " : ", [ ";
    first = false;
    bare(i.value, t);
    s += ", %b";
    put(s, std::uint64_t(i.from.n));
    s += " ]";
  }
  s += '\n';
  return r;
}

}  // namespace jaxpp::native::ir
