// ir.h -- LLVM IR as text: values, and a writer of functions.
//
// No LLVM is needed to write it.  A value is a scalar or a vector of a fixed number of lanes; operands of different
// lanes are widened, and operations on numbers known here are not written at all.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace jaxpp::native::ir {

/// The type of one lane.
enum class Kind : std::uint8_t { i1, i8, i16, i32, i64, f32, f64, pointer, nothing };
int bits(Kind);
bool is_float(Kind);
inline bool is_integer(Kind k) { return k <= Kind::i64; }
/// The integer type as wide as k.
Kind integer_like(Kind k);

struct Type {
  Kind kind = Kind::nothing;
  int lanes = 1;
  bool operator==(const Type&) const = default;
};

/// A value: result %n of an instruction, something with a name, or a number (in every lane the same).
struct Value {
  enum class Form : std::uint8_t { none, result, named, number } form = Form::none;
  Type type{};
  std::uint64_t bits = 0;  // result: n.  named: the number of its name.  number: its bits
  bool is_number() const { return form == Form::number; }
  bool is(std::uint64_t b) const { return is_number() && bits == b; }
  explicit operator bool() const { return form != Form::none; }
  int lanes() const { return type.lanes; }
  Kind kind() const { return type.kind; }
  bool operator==(const Value&) const = default;
};

/// v as a number of kind k: floats are rounded, integers wrap.
Value number(Kind k, double v);
Value integer(Kind k, std::uint64_t bits);
inline Value i64(std::int64_t v) { return integer(Kind::i64, std::uint64_t(v)); }
inline Value i32(std::int64_t v) { return integer(Kind::i32, std::uint64_t(v)); }

/// A label of a basic block.
struct Label {
  int n = -1;
};

/// Writes the functions of one module, one after the other.
class Writer {
 public:
  /// Starts a function; parameters are %p0, %p1, ...; the first block is open.
  void begin(std::string_view name, Kind result, std::span<const Type> parameters,
             std::string_view attributes);
  Value parameter(int i) const;
  void end();
  /// The module: declarations, functions, attributes.
  std::string module(std::string_view attributes) const;
  /// Instructions written so far in this function.
  std::size_t size() const { return instructions_; }
  /// Floating-point additions and multiplications may be contracted to a fused one.
  bool contract = false;

  // ---- Arithmetic.  Operands of one kind; fewer lanes than the result are widened.
  /// op: add sub mul shl lshr ashr and or xor udiv sdiv urem srem fadd fsub fmul fdiv frem
  Value binary(const char* op, Value a, Value b);
  Value add(Value a, Value b) { return binary("add", a, b); }
  Value mul(Value a, Value b) { return binary("mul", a, b); }
  Value negate(Value a);  // fneg, or 0 - a
  /// predicate: of icmp (eq ne ult slt ...) or fcmp (oeq une olt uno ...)
  Value compare(const char* predicate, Value a, Value b);
  Value select(Value condition, Value a, Value b);
  /// op: trunc zext sext fptrunc fpext fptosi fptoui sitofp uitofp bitcast ptrtoint inttoptr
  Value cast(const char* op, Value a, Kind to);
  /// llvm.NAME, overloaded on the result's type and on those of `more`: intrinsic("fma", {a, b, c}).
  Value intrinsic(const char* name, std::initializer_list<Value> args);
  Value intrinsic(const char* name, Type result, std::span<const Value> args,
                  std::string_view suffix);

  // ---- Vectors
  Value widen(Value a, int lanes);
  Value extract(Value a, int lane);
  Value insert(Value a, Value element, int lane);
  /// lanes[i]: of a, then of b.
  Value shuffle(Value a, Value b, std::span<const int> lanes);
  /// 0, step, 2 step, ...
  Value steps(Kind, int lanes, std::int64_t step);
  Value all_true(int lanes);

  // ---- Memory.  Addresses are of Kind::pointer
  Value stack(Type t, std::int64_t count, int align);  // lives as long as the function runs
  /// base + index elements of kind k (of i1: bytes); index may have lanes.
  Value address(Value base, Value index, Type element);
  Value load(Type t, Value at, int align);
  void store(Value v, Value at, int align);
  /// Where `mask` is false: other, and nothing is read.
  Value masked_load(Type t, Value at, Value mask, int align, Value other);
  void masked_store(Value v, Value at, Value mask, int align);
  Value gather(Type t, Value addresses, Value mask, int align);
  void scatter(Value v, Value addresses, Value mask, int align);

  // ---- Control
  Label label();
  void place(Label);  // a branch to it first, if the block is still open
  void branch(Label);
  void branch(Value condition, Label yes, Label no);
  Value call(std::string_view function, Type result, std::span<const Value> args);
  Value call(Value pointer, Type result, std::span<const Value> args);
  void ret(Value v = {});
  /// A name that a value will have, for phis whose operands come later.
  Value promise(Type);
  void keep_promise(Value promised, Value v);
  Value phi(Type, std::initializer_list<std::pair<Value, Label>>);
  Label current() const { return current_; }

  /// A declaration of a function, once.
  void declare(const std::string& text);
  /// A function without parameters known by name: its address.
  Value function(std::string_view name);

  /// Code written between the two goes to the entry block, before everything else.
  void enter_entry();
  void leave_entry();

 private:
  // filled in with the implementation
  struct State;
  std::size_t instructions_ = 0;
  Label current_;
};

}  // namespace jaxpp::native::ir
