// operators.cc -- operators on Arrays: promotion and numpy's broadcasting happen here, above the
// primitives.
//
// Equal types, the common case, go straight to the primitive.  Operands are borrowed nodes; only
// what has to be converted is owned.  While nothing traces, a temporary that nobody else holds
// lends its buffer to the result:  a * x + b  over arrays allocates once.
#include "jaxpp/operators.h"
#include "jaxpp/core/nan_check.h"

#include "jaxpp/core/trace.h"
#include "jaxpp/lax.h"
#include "jaxpp/math.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp {
namespace internal {
namespace {

// An operand on its way into a primitive.
struct Side {
  Node* node;
  bool free;    // nobody needs its value afterwards
  Array owned;  // what it was converted to
  explicit Side(const Operand& x) : node(x.node), free(x.temporary || x.number.defined()) {}
  Type type() const { return node->type; }
  void become(Array a) {
    if (a.node() == node) return;
    owned = std::move(a);
    node = owned.node();
    free = true;
  }
};

// Unique, and its own storage: may be overwritten.
bool reusable(const Node* n) {
  return n->refs.load(std::memory_order_acquire) == 1 && n->trace == 0 &&
         n->index == std::uint32_t(Storage::own);
}
// Evaluates at once, into the buffer of operand i if bit i of `free` allows.  False where this
// shortcut does not apply; bind then does what is needed, or reports the error with its location.
bool evaluate(const Primitive& p, Args x, unsigned free, Array* y) {
  const Kernel* k = p.kernel.load(std::memory_order_acquire);
  if (!k || k->allocates) return false;
  Type types[2], t;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!x[i].concrete() || x[i].on_device()) return false;
    types[i] = x[i].type();
  }
  try {
    p.shape({types, x.size()}, {}, &t);
  } catch (const RuleError&) {
    return false;
  }
  Array out;
  for (std::size_t i = 0; free && i < x.size(); ++i)
    if ((k->in_place & free) >> i & 1 && types[i] == t && reusable(x[i].node())) {
      out = Array::share(x[i].node());
      break;
    }
  if (!out.defined()) out = Array::make(t);
  k->run(x, {}, &out);
  *y = std::move(out);
  return true;
}
Array bind_free(const Primitive& p, Args x, unsigned free, Loc loc) {
  Array y;
  if (context.trace || checking_nans() || !evaluate(p, x, free, &y)) p.bind(x, {}, &y, loc);
  return y;
}
Array bind_two(const Primitive& p, Node* x, Node* y, unsigned free, Loc loc) {
  Node* in[] = {x, y};
  return bind_free(p, {reinterpret_cast<const Array*>(in), 2}, free, loc);
}
unsigned free_mask(const Operand& x, const Operand& y) {
  return unsigned(x.temporary || x.number.defined()) | unsigned(y.temporary || y.number.defined())
                                                           << 1;
}

[[noreturn, gnu::cold]] void null_operand(const char* op, Loc loc) {
  fail(std::string(op) + ": an operand is null.", user_loc(loc), "E04");
}
inline void need_arrays(const char* op, const Operand& x, const Operand& y) {
  if (!x.node || !y.node) [[unlikely]]
    null_operand(op, x.loc);
}

// ---- Numbers
int kind(DType d) { return is_bool(d) ? 0 : is_integer(d) ? 1 : is_float(d) ? 2 : 3; }
DType weak_type(DType number, DType other) {
  if (kind(number) <= kind(other)) return other;
  return is_complex(number) && is_float(other) ? complex_of(other) : number;
}
template <class V>
Array number_of(V v, DType d) {
  switch (d) {
    case DType::b1: return Array(v != V(0));
    case DType::i8: return Array(std::int8_t(v));
    case DType::i16: return Array(std::int16_t(v));
    case DType::i32: return Array(std::int32_t(v));
    case DType::i64: return Array(std::int64_t(v));
    case DType::u8: return Array(std::uint8_t(v));
    case DType::u16: return Array(std::uint16_t(v));
    case DType::u32: return Array(std::uint32_t(v));
    case DType::u64: return Array(std::uint64_t(v));
    case DType::f16: return Array(float16(float(v)));
    case DType::bf16: return Array(bfloat16(float(v)));
    case DType::f32: return Array(float(v));
    case DType::f64: return Array(double(v));
    case DType::c64: return Array(std::complex<float>(float(v)));
    case DType::c128: break;
  }
  return Array(std::complex<double>(double(v)));
}

void promote_sides(Side& x, bool x_weak, Side& y, bool y_weak, Loc loc) {
  if (x_weak && !y_weak) x.become(weak_number(Array::share(x.node), y.type()->dtype));
  if (y_weak && !x_weak) y.become(weak_number(Array::share(y.node), x.type()->dtype));
  const DType d = x.type()->dtype, e = y.type()->dtype;
  if (d == e) return;
  const DType common = promote_types(d, e);
  if (d != common) x.become(lax::convert_element_type(Array::share(x.node), common, loc));
  if (e != common) y.become(lax::convert_element_type(Array::share(y.node), common, loc));
}
// ---- Shapes
// common: the broadcast of itself and s, aligned at the last axis.
template <class Describe>
void merge_shape(Shape& common, const Shape& s, const char* op, Describe operands, Loc loc) {
  const bool ranks_differ = common.size() != s.size();
  if (s.size() > common.size()) {
    Shape longer(s.size() - common.size(), 1);
    longer.append(common.begin(), common.end());
    common = std::move(longer);
  }
  const std::size_t lead = common.size() - s.size();
  for (std::size_t i = 0; i < s.size(); ++i) {
    std::int64_t& n = common[lead + i];
    if (n != s[i] && n != 1 && s[i] != 1) {
      const auto axis = std::int64_t(i) - (ranks_differ ? std::int64_t(s.size()) : 0);
      fail(std::string(op) + ": shapes " + operands() + " do not broadcast: axis " +
               std::to_string(axis) + " has sizes " + std::to_string(n) + " and " +
               std::to_string(s[i]) + ".",
           user_loc(loc), "E75");
    }
    if (n == 1) n = s[i];
  }
}
Array with_rank(const Array& x, std::size_t rank, Loc loc) {
  Dims leading;
  for (std::size_t i = x.shape().size(); i < rank; ++i)
    leading.push_back(std::int64_t(leading.size()));
  return leading.empty() ? x : lax::expand_dims(x, leading, loc);
}
void broadcast_sides(Side& x, Side& y, const char* op, Loc loc) {
  const Shape &s = x.type()->shape, &t = y.type()->shape;
  if (s == t || s.empty() || t.empty()) return;
  Shape common = s;
  merge_shape(
      common, t, op, [&] { return x.type()->str() + " and " + y.type()->str(); }, loc);
  if (s.size() < common.size()) x.become(with_rank(Array::share(x.node), common.size(), loc));
  if (t.size() < common.size()) y.become(with_rank(Array::share(y.node), common.size(), loc));
}
Array binary_slow(const Primitive& p, const Operand& x, const Operand& y) {
  Side a(x), b(y);
  promote_sides(a, x.weak, b, y.weak, x.loc);
  broadcast_sides(a, b, p.name, x.loc);
  return bind_two(p, a.node, b.node, unsigned(a.free) | unsigned(b.free) << 1, x.loc);
}
Array unary(const Primitive& p, const Operand& x) {
  need_arrays(p.name, x, x);
  const Args operand(reinterpret_cast<const Array*>(&x.node), 1);
  return bind_free(p, operand, x.temporary || x.number.defined(), x.loc);
}
bool bools(const Operand& x, const Operand& y) {
  return x.node && y.node && x.node->type->dtype == DType::b1 && y.node->type->dtype == DType::b1;
}

}  // namespace

Array binary(const Primitive& p, const Operand& x, const Operand& y) {
  need_arrays(p.name, x, y);
  if (x.node->type == y.node->type) [[likely]]
    return bind_two(p, x.node, y.node, free_mask(x, y), x.loc);
  return binary_slow(p, x, y);
}

Array weak_number(const Array& number, DType other) {
  const DType from = number.dtype(), to = weak_type(from, other);
  if (from == to) return number;
  if (!number.concrete() || number.ndim() != 0) return lax::convert_element_type(number, to);
  switch (from) {
    case DType::b1: return number_of(int(*number.data<bool>()), to);
    case DType::i8: return number_of(*number.data<std::int8_t>(), to);
    case DType::i16: return number_of(*number.data<std::int16_t>(), to);
    case DType::i32: return number_of(*number.data<std::int32_t>(), to);
    case DType::i64: return number_of(*number.data<std::int64_t>(), to);
    case DType::u8: return number_of(*number.data<std::uint8_t>(), to);
    case DType::u16: return number_of(*number.data<std::uint16_t>(), to);
    case DType::u32: return number_of(*number.data<std::uint32_t>(), to);
    case DType::u64: return number_of(*number.data<std::uint64_t>(), to);
    case DType::f16: return number_of(float(*number.data<float16>()), to);
    case DType::bf16: return number_of(float(*number.data<bfloat16>()), to);
    case DType::f32: return number_of(*number.data<float>(), to);
    case DType::f64: return number_of(*number.data<double>(), to);
    case DType::c64: return Array(std::complex<double>(*number.data<std::complex<float>>()));
    case DType::c128: break;
  }
  return Array(std::complex<float>(*number.data<std::complex<double>>()));
}

std::pair<Array, Array> promote(const Operand& x, const Operand& y) {
  need_arrays("promote", x, y);
  Side a(x), b(y);
  promote_sides(a, x.weak, b, y.weak, x.loc);
  return {Array::share(a.node), Array::share(b.node)};
}
std::pair<Array, Array> promote(const Array& x, const Array& y, Loc loc) {
  return promote(Operand(x, loc), Operand(y, loc));
}
DType to_inexact(DType d) { return is_inexact(d) ? d : DType::f64; }

Shape broadcast_shapes(std::span<const Shape> shapes, const char* op, Loc loc) {
  auto list = [&] {
    std::string text;
    for (const Shape& s : shapes) text += (text.empty() ? "" : " and ") + to_string(s);
    return text;
  };
  Shape common;
  for (const Shape& s : shapes) merge_shape(common, s, op, list, loc);
  return common;
}
std::pair<Array, Array> broadcast_pair(const Array& x, const Array& y, const char* op, Loc loc) {
  need_arrays(op, Operand(x, loc), Operand(y, loc));
  Side a{Operand(x, loc)}, b{Operand(y, loc)};
  broadcast_sides(a, b, op, loc);
  return {Array::share(a.node), Array::share(b.node)};
}
Array broadcast_to_shape(const Array& x, const Shape& shape, Loc loc, const char* op) {
  need_arrays(op, Operand(x, loc), Operand(x, loc));
  if (x.shape() == shape) return x;
  const Shape both[] = {x.shape(), shape};
  if (broadcast_shapes(both, op, loc) != shape)
    fail(std::string(op) + ": " + x.type()->str() + " does not broadcast to " + to_string(shape) +
             ".",
         user_loc(loc), "E75");
  Dims trailing;
  for (std::size_t i = shape.size() - x.shape().size(); i < shape.size(); ++i)
    trailing.push_back(std::int64_t(i));
  return lax::broadcast_in_dim(x, shape, trailing, loc);
}

}  // namespace internal

using namespace internal;

// ---- Arithmetic
Array operator+(const Operand& x, const Operand& y) {
  return binary(bools(x, y) ? bitwise_or_p : add_p, x, y);
}
Array operator-(const Operand& x, const Operand& y) { return binary(sub_p, x, y); }
Array operator*(const Operand& x, const Operand& y) {
  return binary(bools(x, y) ? bitwise_and_p : mul_p, x, y);
}
Array operator/(const Operand& x, const Operand& y) {
  need_arrays("div", x, y);
  if (is_inexact(x.node->type->dtype) || is_inexact(y.node->type->dtype)) [[likely]]
    return binary(div_p, x, y);
  auto [a, b] = promote(x, y);
  const DType d = to_inexact(a.dtype());
  return binary(div_p, Operand(lax::convert_element_type(a, d, x.loc), x.loc),
                Operand(lax::convert_element_type(b, d, x.loc), x.loc));
}
Array operator%(const Operand& x, const Operand& y) {
  auto [a, b] = promote(x, y);
  return remainder(a, b, x.loc);
}
Array operator-(const Operand& x) { return unary(neg_p, x); }
Array operator~(const Operand& x) { return unary(bitwise_not_p, x); }
Array operator!(const Array& x) {
  const Operand operand(x, x.defined() && !x.concrete() ? x.node()->loc : Loc());
  need_arrays("not", operand, operand);
  if (is_bool(x.dtype())) return unary(bitwise_not_p, operand);
  return binary(eq_p, operand, Operand(0, operand.loc));
}

// ---- Comparisons
Array operator==(const Operand& x, const Operand& y) { return binary(eq_p, x, y); }
Array operator!=(const Operand& x, const Operand& y) { return binary(ne_p, x, y); }
Array operator<(const Operand& x, const Operand& y) { return binary(lt_p, x, y); }
Array operator<=(const Operand& x, const Operand& y) { return binary(le_p, x, y); }
Array operator>(const Operand& x, const Operand& y) { return binary(gt_p, x, y); }
Array operator>=(const Operand& x, const Operand& y) { return binary(ge_p, x, y); }

// ---- Bits
Array operator&(const Operand& x, const Operand& y) { return binary(bitwise_and_p, x, y); }
Array operator|(const Operand& x, const Operand& y) { return binary(bitwise_or_p, x, y); }
Array operator^(const Operand& x, const Operand& y) { return binary(bitwise_xor_p, x, y); }
Array operator<<(const Operand& x, const Operand& y) { return binary(shift_left_p, x, y); }
Array operator>>(const Operand& x, const Operand& y) {
  need_arrays("right_shift", x, y);
  const DType d = x.weak ? y.node->type->dtype : x.node->type->dtype;
  return binary(is_unsigned(d) ? shift_right_logical_p : shift_right_arithmetic_p, x, y);
}

// ---- Assignment: the left side gives up its buffer if it is the only owner
Array& Array::operator+=(const Operand& y) & {
  return *this = Operand(std::move(*this), y.loc) + y;
}
Array& Array::operator-=(const Operand& y) & {
  return *this = Operand(std::move(*this), y.loc) - y;
}
Array& Array::operator*=(const Operand& y) & {
  return *this = Operand(std::move(*this), y.loc) * y;
}
Array& Array::operator/=(const Operand& y) & {
  return *this = Operand(std::move(*this), y.loc) / y;
}

}  // namespace jaxpp
