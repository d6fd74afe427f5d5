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
#include <unordered_set>
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

/// A value: the result of an instruction, a parameter, a function's address, or a number (in every lane the same).
struct Value {
  enum class Form : std::uint8_t { none, result, parameter, function, number } form = Form::none;
  Type type{};
  std::uint64_t bits = 0;  // number: its bits.  Otherwise: which
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
  /// Starts a function; its first block is open.  Another one that is being written goes on behind end().
  void begin(std::string_view name, Type result, std::span<const Type> parameters,
             std::string_view attributes);
  void begin(std::string_view name, Kind result, std::span<const Type> parameters,
             std::string_view attributes) {
    begin(name, Type{result, 1}, parameters, attributes);
  }
  Value parameter(int i) const;
  void end();
  /// The module: declarations, functions, attributes.
  std::string module(std::string_view attributes) const;
  /// The same functions in at most so many modules, of about equal length, to be compiled at the same time.  Functions with
  /// the attribute "internal" are in all that use them.  One that uses others which are not is in the last module: what it
  /// uses and does not find there is in those before.
  std::vector<std::string> modules(std::string_view attributes, std::size_t most) const;
  /// Instructions written so far in this function.
  std::size_t size() const { return f_.instructions; }
  /// Floating-point additions and multiplications may be contracted to a fused one.
  bool contract = false;

  // ---- Arithmetic.  Operands of one kind; fewer lanes than the result are widened.
  /// op: add sub mul shl lshr ashr and or xor udiv sdiv urem srem fadd fsub fmul fdiv frem
  Value binary(const char* op, Value a, Value b);
  Value add(Value a, Value b) { return binary("add", a, b); }
  Value sub(Value a, Value b) { return binary("sub", a, b); }
  Value mul(Value a, Value b) { return binary("mul", a, b); }
  Value negate(Value a);  // fneg, or 0 - a
  /// predicate: of icmp (eq ne ult slt ...) or fcmp (oeq une olt uno ...)
  Value compare(const char* predicate, Value a, Value b);
  Value select(Value condition, Value a, Value b);
  /// op: trunc zext sext fptrunc fpext fptosi fptoui sitofp uitofp bitcast ptrtoint inttoptr
  Value cast(const char* op, Value a, Kind to);
  /// llvm.NAME of operands and a result of one type: intrinsic("fma", {a, b, c}), intrinsic("sqrt", {a}).
  Value intrinsic(const char* name, std::initializer_list<Value> args);
  /// Any intrinsic, by its whole name, and declared as needed.
  Value intrinsic(std::string_view whole_name, Type result, std::span<const Value> args);

  // ---- Vectors
  Value widen(Value a, int lanes);
  Value extract(Value a, int lane);
  Value insert(Value a, Value element, int lane);
  /// lanes[i]: of a, then of b.
  Value shuffle(Value a, Value b, std::span<const int> lanes);
  /// 0, step, 2 step, ...
  Value steps(Kind, int lanes, std::int64_t step);
  /// Numbers that LLVM does not see: what it would do to code that depends on them takes it longer than all the rest.
  Value hidden(Kind, std::span<const int> numbers);
  Value all_true(int lanes);

  // ---- Memory.  Addresses are of Kind::pointer
  Value stack(Type t, std::int64_t count, int align);  // lives as long as the function runs
  /// base + index elements of kind k (of i1: bytes); index may have lanes.
  Value address(Value base, Value index, Type element);
  Value load(Type t, Value at, int align);
  void store(Value v, Value at, int align);
  /// To memory, without a place in the caches.  `align` is that of a register; fence() before others read it.
  void store_past_caches(Value v, Value at, int align);
  void fence();
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
  /// A result that is defined later, by define_sum: what a phi reads from the end of its loop.
  Value promise(Type);
  void define_sum(Value promised, Value a, Value b);
  struct Incoming {
    Value value;
    Label from;
  };
  Value phi(Type, std::initializer_list<Incoming>);
  Label current() const { return f_.current; }

  /// A declaration of a function, once.
  void declare(const std::string& text);
  /// The address of a function of this module.
  Value function(std::string_view name);

  /// Code written between the two goes to the entry block, before everything else.
  void enter_entry();
  void leave_entry();
  bool in_entry() const { return f_.in_entry; }

 private:
  std::string& text() { return f_.in_entry ? f_.entry : f_.body; }
  Value fresh(Type);
  /// "  %v7 = ", and counts.
  std::string& define(Value);
  std::string& instruction();
  void operand(Value);        // with its type
  void bare(Value, Type as);  // without; a number is repeated for every lane
  void operands(std::span<const Value>);
  void store(Value v, Value at, int align, const char* how);
  /// r = op how type a, b
  void pair(Value r, const char* op, const char* how, Value a, Value b);
  bool meet(Value& a, Value& b);

  struct Function {
    std::string name, declaration, head, entry, body;
    bool internal = false;
    std::vector<Type> parameters;
    std::uint64_t next = 0;
    std::size_t instructions = 0;
    Label current;
    bool open = false;      // the current block has no terminator yet
    bool in_entry = false;  // enter_entry()
  };
  Function f_;
  std::vector<Function> outer_;  // functions that are interrupted by others
  struct Finished {
    std::string name, declaration, text;
    std::size_t instructions = 0;
    bool internal = false;
  };
  std::vector<Finished> finished_;
  std::vector<std::string> functions_, declarations_;
  std::unordered_set<std::string> declared_;
  int next_label_ = 0;
};

}  // namespace jaxpp::native::ir
