// loops_interpret_test.cc -- the interpreter of loop programs against a slow one that looks at one element at a time.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <thread>
#include "backends/eager/block_ops.h"
#include "backends/loops/interpret.h"
#include "checks.h"
#include "environment.h"
#include "jaxpp/jaxpp.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/elementwise.h"
#include "jaxpp/ops/host_fn.h"
#include "jaxpp/ops/primitives.h"
#include "message.h"

using namespace jaxpp;
using namespace jaxpp::internal;
using Catch::Matchers::Contains;
using jaxpp::testing::Arrays;
using jaxpp::testing::compare;
using loops::Affine;
using loops::Block;
using loops::Buffer;
using loops::Combine;
using loops::Element;
using loops::Interpreter;
using loops::Program;
using loops::Sym;

namespace {

std::size_t bytes_of(const Array& a) { return std::size_t(a.size()) * width(a.dtype()); }
Array of_bytes(DType d, std::int64_t n, int byte) {
  Array a = Array::make(make_type(d, {n}));
  std::memset(a.data<char>(), byte, bytes_of(a));
  return a;
}
Arrays outputs_of(const Program& p) {
  Arrays out(std::size_t(p.outputs));
  for (const Buffer& b : p.buffers)
    if (b.role == Buffer::Role::output) out[std::size_t(b.index)] = of_bytes(b.dtype, b.size, 0xff);
  return out;
}
Arrays run(const Interpreter& i, const Arrays& in) {
  Arrays out = outputs_of(i.program());
  std::vector<const void*> from;
  std::vector<void*> to;
  for (const Array& a : in) from.push_back(a.data<char>());
  for (const Array& a : out) to.push_back(a.data<char>());
  i.run(from, to);
  return out;
}

// What a program means, as its grammar says: one iteration after the other, one element at a time.
class Reference {
 public:
  explicit Reference(const Program& p) : p_(p), values_(std::size_t(p.next_sym)) {}
  Arrays run(const Arrays& in) {
    Arrays out = outputs_of(p_);
    for (const Buffer& b : p_.buffers) {
      if (b.role == Buffer::Role::input)
        memory_.push_back(in[std::size_t(b.index)]);
      else if (b.role == Buffer::Role::output)
        memory_.push_back(out[std::size_t(b.index)]);
      else if (b.role == Buffer::Role::constant)
        memory_.push_back(b.value);
      else
        memory_.push_back(of_bytes(b.dtype, b.size, 0xff));
    }
    block(p_.body);
    return out;
  }

 private:
  struct Value {
    alignas(16) char bits[16] = {};
    DType dtype = DType::i64;
    std::int64_t index = 0;  // loops and clips
  };
  Value& at(Sym s) { return values_[std::size_t(s)]; }
  std::int64_t at(const Affine& a) {
    std::int64_t v = a.c;
    for (auto& t : a.terms) v += t.k * at(t.sym).index;
    return v;
  }
  char* element(int buffer, std::int64_t i) {
    const Array& a = memory_[std::size_t(buffer)];
    if (i < 0 || i >= a.size()) throw std::logic_error("index out of bounds");
    return a.data<char>() + std::size_t(i) * width(a.dtype());
  }
  void apply(const Primitive& p, Params params, std::vector<Value*> x, std::vector<void*> z,
             DType d) {
    std::vector<DType> types;
    std::vector<const void*> from;
    for (Value* v : x) {
      types.push_back(v->dtype);
      from.push_back(v->bits);
    }
    const std::vector<char> full(x.size(), 1);
    const BlockOp op = block_op(p, params, types, d);
    if (!op) throw std::logic_error(std::string("no operation ") + p.name);
    op.run({from, reinterpret_cast<const bool*>(full.data()), z.data()}, 1);
  }
  std::int64_t number(const Value& v) {
    std::int64_t n = 0;
    convert_loop(v.dtype, DType::i64)(v.bits, &n, 1);
    return v.dtype == DType::u64 && n < 0 ? std::numeric_limits<std::int64_t>::max() : n;
  }
  void block(const Block& b) {
    for (auto& n : b) std::visit([&](auto& x) { node(x); }, n.v);
  }
  void node(const loops::Loop& l) {
    for (std::int64_t i = 0; i < l.extent; ++i) {
      at(l.var).index = i;
      if (l.marks.chunk != loops::kNone) at(l.marks.chunk).index = i / l.marks.grain;
      block(l.body);
    }
  }
  void node(const loops::Let& l) {
    std::vector<Value*> x;
    std::vector<void*> z;
    for (Sym a : l.args) x.push_back(&at(a));
    for (int i = 0; i < l.results; ++i) {
      at(l.sym + i).dtype = l.dtype;
      z.push_back(at(l.sym + i).bits);
    }
    apply(*l.op, l.view(), x, z, l.dtype);
  }
  void node(const loops::Const& c) {
    at(c.sym).dtype = c.value.dtype;
    std::memcpy(at(c.sym).bits, c.value.bits.data(), 16);
  }
  void node(const loops::Index& i) {
    const std::int64_t v = at(i.at);
    at(i.sym).dtype = i.dtype;
    convert_loop(DType::i64, i.dtype)(&v, at(i.sym).bits, 1);
  }
  void node(const loops::Clip& c) { at(c.sym).index = std::clamp(number(at(c.arg)), c.lo, c.hi); }
  void node(const loops::Load& l) {
    at(l.sym).dtype = p_.buffers[std::size_t(l.buffer)].dtype;
    std::memcpy(at(l.sym).bits, element(l.buffer, at(l.at)), width(at(l.sym).dtype));
  }
  void node(const loops::Store& s) {
    Value old, &v = at(s.value);
    char* to = element(s.buffer, at(s.at));
    old.dtype = v.dtype;
    std::memcpy(old.bits, to, width(v.dtype));
    if (s.combine == Combine::set)
      std::memcpy(to, v.bits, width(v.dtype));
    else
      apply(*combiner(s.combine), {}, {&old, &v}, {to}, v.dtype);
  }
  void node(const loops::While& w) {
    for (block(w.cond); at(w.pred).bits[0]; block(w.cond)) block(w.body);
  }
  void node(const loops::If& i) { block(at(i.pred).bits[0] ? i.body : i.otherwise); }
  void node(const loops::Call& c) {
    std::vector<Array> x, y(c.out.size());
    for (auto& o : c.in) {
      x.push_back(Array::make(o.type));
      if (o.type->size)
        std::memcpy(x.back().data<char>(), element(o.buffer, at(o.at)), bytes_of(x.back()));
    }
    c.prim->bind(x, c.view(), y.data(), c.loc);
    for (std::size_t k = 0; k < y.size(); ++k)
      if (y[k].size())
        std::memcpy(element(c.out[k].buffer, at(c.out[k].at)), y[k].data<char>(), bytes_of(y[k]));
  }

  const Program& p_;
  std::vector<Value> values_;
  std::vector<Array> memory_;
};

Arrays random_inputs(const Program& p, std::uint64_t seed = 1) {
  jaxpp::testing::Random random(seed);
  Arrays in(std::size_t(p.inputs));
  for (const Buffer& b : p.buffers)
    if (b.role == Buffer::Role::input)
      in[std::size_t(b.index)] =
          random.array(b.dtype, {b.size}, 0.1, is_integer(b.dtype) ? 9 : 2, true);
  return in;
}
Program read(const std::string& text) {
  Program p = loops::parse(text);
  loops::verify(p);
  return p;
}
// "" if the interpreter and the reference agree.  tolerance 0: bit by bit.
std::string check(const std::string& text, Arrays in = {}, double tolerance = 0) {
  const Program p = read(text);
  if (in.empty()) in = random_inputs(p);
  const Arrays want = Reference(p).run(in), got = run(Interpreter(p), in);
  if (tolerance > 0) return compare("output", got, want, tolerance);
  for (std::size_t i = 0; i < got.size(); ++i)
    if (std::memcmp(got[i].data<char>(), want[i].data<char>(), bytes_of(got[i])))
      return compare("output " + std::to_string(i), {got[i]}, {want[i]}, 0) + " (bits differ)";
  return "";
}
std::string replaced(std::string s, const std::string& what, const std::string& by) {
  for (std::size_t i = 0; (i = s.find(what, i)) != std::string::npos; i += by.size())
    s.replace(i, what.size(), by);
  return s;
}
// NaN in all memory that a program has not written yet: for as long as this lives.
struct Poison {
  jaxpp::testing::Variable variable{"JAXPP_POISON", "1"};
};

const char* const kSizes[] = {"1", "2", "3", "31", "64", "100", "1023", "1024", "1025", "4000"};

}  // namespace

// ---- Elementwise
namespace {

// y = op(x...) over n elements, by a program.
Array apply_in_program(const Primitive& p, const std::shared_ptr<const void>& params,
                       const Arrays& x, DType result, int number) {
  Program q;
  const Sym i = q.next_sym++;
  loops::Loop loop;
  loop.var = i;
  loop.extent = x[0].size();
  loops::Let let;
  let.op = &p;
  let.params = params;
  let.dtype = result;
  let.results = std::uint8_t(p.outputs(let.view()));
  for (const Array& a : x) {
    Buffer b{.role = Buffer::Role::input,
             .name = "x" + std::to_string(q.inputs),
             .dtype = a.dtype(),
             .size = a.size(),
             .index = q.inputs};
    let.args.push_back(q.next_sym++);
    loop.body.push_back(
        loops::Load{let.args.back(), q.inputs++, a.size() == 1 ? Affine(0) : Affine::of(i)});
    q.buffers.push_back(b);
  }
  let.sym = q.next_sym;
  q.next_sym += let.results;
  loop.body.push_back(let);
  q.buffers.push_back({.role = Buffer::Role::output,
                       .name = "y0",
                       .dtype = result,
                       .size = loop.extent,
                       .index = 0});
  loop.body.push_back(loops::Store{q.inputs, Affine::of(i), Combine::set, let.sym + number});
  q.outputs = 1;
  q.body.push_back(loop);
  loops::verify(q);
  return run(Interpreter(q), x)[0];
}
// The same eagerly.
Array apply_eagerly(const Primitive& p, Params params, const Arrays& x, int number) {
  Arrays y(p.outputs(params)), in;
  for (const Array& a : x) in.push_back(a.size() == 1 && x[0].size() != 1 ? a.reshape({}) : a);
  p.bind(in, params, y.data(), Loc::current());
  return y[std::size_t(number)];
}
constexpr std::int64_t kSome[] = {1, 7, 1030};

// Every type the operation takes, whole operands and repeated ones.
void check_rows(const Primitive& p, std::size_t operands, Domain domain, Result result) {
  for (int d = 0; d < kNumDTypes; ++d) {
    const DType t = DType(d);
    if (!in_domain(domain, t)) continue;
    for (std::int64_t n : kSome)
      for (std::size_t repeated = 0; repeated < operands; ++repeated) {  // 0: none
        jaxpp::testing::Random random(jaxpp::testing::seed_of(p.name));
        Arrays x;
        for (std::size_t k = 0; k < operands; ++k)
          x.push_back(random.array(t, {k && k == repeated ? 1 : n}, 0.1, 3, !is_unsigned(t)));
        const Array got = apply_in_program(p, nullptr, x, result_dtype(result, t), 0),
                    want = apply_eagerly(p, {}, x, 0);
        INFO(p.name << " " << name(t) << " " << n);
        CHECK(std::memcmp(got.data<char>(), want.data<char>(), bytes_of(got)) == 0);
      }
  }
}
template <class P>
std::shared_ptr<const void> shared(P p) {
  return std::make_shared<P>(p);
}

}  // namespace

TEST_CASE("interpreter: rows of elementwise.def are the eager kernels", "[loops]") {
#define UNARY(id, text, doc, linear, domain, result, ...) \
  check_rows(id##_p, 1, Domain::domain, Result::result);
#define BINARY(id, text, doc, linear, domain, ...) \
  check_rows(id##_p, 2, Domain::domain, Result::Same);
#define COMPARE(id, text, doc, domain, ...) check_rows(id##_p, 2, Domain::domain, Result::Bool);
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
}

TEST_CASE("interpreter: other elementwise operations", "[loops]") {
  auto same = [](const Primitive& p, std::shared_ptr<const void> params, const Arrays& x,
                 DType result, int number = 0) {
    const Array got = apply_in_program(p, params, x, result, number),
                want = apply_eagerly(p, {params.get(), p.params}, x, number);
    INFO(p.name << " " << x[0].type()->str() << " -> " << name(result));
    CHECK(got.size() == want.size());
    CHECK(std::memcmp(got.data<char>(), want.data<char>(), bytes_of(want)) == 0);
  };
  jaxpp::testing::Random random(5);
  for (std::int64_t n : kSome) {
    for (int d = 0; d < kNumDTypes; ++d) {
      const DType t = DType(d);
      const Array x = random.array(t, {n}, 0, 300, !is_unsigned(t)),
                  y = random.array(t, {n}, 0, 3, !is_unsigned(t)),
                  one = random.array(t, {1}, 0, 3, !is_unsigned(t)),
                  other = random.array(t, {1}, 100, 200);
      for (int to = 0; to < kNumDTypes; ++to)
        same(convert_element_type_p, shared(ConvertParams{DType(to)}), {x}, DType(to));
      const Array which = random.array(b1, {n}, 0, 1), index = random.array(i32, {n}, 0, 4, true);
      same(select_n_p, nullptr, {which, x, y}, t);
      same(select_n_p, nullptr, {index, x, y, x}, t);
      if (!is_complex(t)) {
        same(clamp_p, nullptr, {y, x, x}, t);
        if (n > 1)
          CHECK(Array(apply_in_program(clamp_p, nullptr, {x, one, other}, t, 0)).size() == n);
      }
      if (!is_bool(t))
        for (std::int64_t power : {-5, -2, -1, 0, 1, 2, 3, 4, 13})
          if (power >= 0 || is_inexact(t)) same(integer_pow_p, shared(PowParams{power}), {y}, t);
      if (is_float(t)) {
        same(round_p, shared(RoundParams{RoundingMethod::AWAY_FROM_ZERO}), {x}, t);
        same(round_p, shared(RoundParams{RoundingMethod::TO_NEAREST_EVEN}), {x}, t);
        same(reduce_precision_p, shared(PrecisionParams{4, 3}), {x}, t);
      }
      if (t == f32 || t == f64) {
        same(complex_p, nullptr, {x, y}, complex_of(t));
        same(conj_p, nullptr, {x}, complex_of(t));
      }
      if (is_complex(t)) {
        same(real_p, nullptr, {x}, real_of(t));
        same(imag_p, nullptr, {x}, real_of(t));
        same(conj_p, nullptr, {x}, t);
      }
    }
    same(bitcast_convert_type_p, shared(ConvertParams{u32}), {random.array(f32, {n}, 0, 9, true)},
         u32);
    for (int number : {0, 1}) {
      Arrays words;
      for (int k = 0; k < 4; ++k) words.push_back(random.array(u32, {n}, 0, 4e9));
      same(threefry2x32_p, nullptr, words, u32, number);
    }
  }
}

// Lanes that are switched off have whatever was in the register before, and are computed with the others.
TEST_CASE("interpreter: a bool is true by any byte but 0", "[loops]") {
  Array odd = of_bytes(b1, 70, 2);
  for (int i = 0; i < 70; i += 3) odd.data<unsigned char>()[i] = i % 2 ? 0 : 0xff;
  Array even = of_bytes(b1, 70, 0);
  for (int i = 0; i < 70; ++i) even.data<unsigned char>()[i] = odd.data<unsigned char>()[i] != 0;
  auto same = [](const Primitive& p, const Arrays& x, const Arrays& y, DType result,
                 std::shared_ptr<const void> params = nullptr) {
    INFO(p.name << " -> " << name(result));
    const Array got = apply_in_program(p, params, x, result, 0),
                want = apply_in_program(p, params, y, result, 0);
    CHECK(std::memcmp(got.data<char>(), want.data<char>(), bytes_of(want)) == 0);
  };
  same(bitwise_not_p, {odd}, {even}, b1);
  const Array one = full({1}, true);
  for (const Primitive* p : {&bitwise_and_p, &bitwise_or_p, &bitwise_xor_p, &max_p, &min_p, &eq_p,
                             &ne_p, &lt_p, &ge_p}) {
    same(*p, {odd, even}, {even, even}, b1);
    same(*p, {even, odd}, {even, even}, b1);
    same(*p, {odd, one}, {even, one}, b1);
    same(*p, {one, odd}, {one, even}, b1);
  }
  for (int to = 0; to < kNumDTypes; ++to)
    if (DType(to) != b1)  // a copy of the bytes
      same(convert_element_type_p, {odd}, {even}, DType(to), shared(ConvertParams{DType(to)}));
  const Array a = arange(70, f32), b = -a;
  same(select_n_p, {odd, a, b}, {even, a, b}, f32);
  same(clamp_p, {odd, odd, odd}, {even, even, even}, b1);
}

TEST_CASE("interpreter: select_n, clamp and threefry2x32 with operands that repeat", "[loops]") {
  for (const char* n : kSizes)
    for (const char* program : {R"(
in x0: bool[N]
in x1: f32[N]
in x2: f32[N]
out y0: f32[N]
out y1: f32[N]
out y2: f32[N]
out y3: f32[N]
out y4: f32[N]
out y5: f32[N]
parallel i0 < N
  %0 = x0[i0]
  %1 = x1[i0]
  %2 = x2[i0]
  %3 = x1[0]
  %4 = x2[0]
  %5 = x0[0]
  %6: f32 = select_n %0 %1 %4
  y0[i0] = %6
  %7: f32 = select_n %0 %3 %2
  y1[i0] = %7
  %8: f32 = select_n %0 %3 %4
  y2[i0] = %8
  %9: f32 = select_n %5 %1 %2
  y3[i0] = %9
  %10: f32 = select_n %5 %3 %4
  %11: f32 = clamp %10 %1 %2
  y4[i0] = %11
  %12: f32 = clamp %3 %1 %4
  y5[i0] = %12
)",
                                R"(
in x0: u32[N]
out y0: u32[N]
out y1: u32[N]
out y2: u32[2]
parallel i0 < N
  %0 = x0[0]
  %1: u32 = 7
  %2: u32 = index i0
  %3 = x0[i0]
  %4, %5: u32 = threefry2x32 %0 %1 %2 %3
  y0[i0] = %4
  y1[i0] = %5
%6 = x0[0]
%7, %8: u32 = threefry2x32 %6 %6 %6 %6
y2[0] = %8
y2[1] = %7
)"}) {
      INFO(n);
      CHECK(check(replaced(program, "N", n)) == "");
    }
}

// ---- Loads and stores
TEST_CASE("interpreter: contiguous, strided, transposed, repeated, reversed, gathered", "[loops]") {
  const Poison poison;
  for (const char* type : {"bool", "i16", "f32", "f64", "c128"})
    for (const char* n : kSizes) {
      const std::string m = std::to_string(std::atoi(n) - 1), program = R"(
in x0: T[4*N]
in x1: i32[N]
out y0: T[N]
out y1: T[3*N]
out y2: T[N]
out y3: T[3*N]
out y4: T[4*N]
out y5: T[N]
parallel i0 < N
  %0 = x0[i0]
  y0[i0] = %0
  %1 = x0[4*i0+1]
  y1[3*i0] = %1
  %2 = x0[-1*i0+M]
  y2[i0] = %2
  %3 = x0[2]
  y3[i0+N] = %3
  y1[3*i0+1] = %3
  %4 = x1[i0]
  %5 = clip %4 0 M
  %6 = x0[%5]
  y3[i0] = %6
  %7 = x0[3*%5+i0]
  y3[i0+N2] = %7
  y1[-3*i0+L] = %0
  %8 = x1[-1*i0+M]
  %9 = clip %8 0 M
  %10 = x0[2*%5+%9]
  y5[i0] = %10
parallel i1 < 4
  parallel i2 < N
    %20 = x0[4*i2+i1]
    y4[N*i1+i2] = %20
)";
      const std::int64_t k = std::atoi(n);
      std::string t = replaced(program, "4*N]", std::to_string(4 * k) + "]");
      t = replaced(t, "3*N]", std::to_string(3 * k) + "]");
      t = replaced(t, "N2", std::to_string(2 * k));
      t = replaced(t, "L", std::to_string(3 * k - 1));
      t = replaced(replaced(replaced(t, "N", n), "M", m), "T[", std::string(type) + "[");
      INFO(type << " " << n);
      CHECK(check(t) == "");
    }
}

TEST_CASE("interpreter: indices as numbers", "[loops]") {
  for (int d = 1; d < kNumDTypes; ++d) {
    INFO(name(DType(d)));
    CHECK(check(replaced(R"(
in x0: i32[1500]
in x1: u64[1500]
out y0: T[4500]
out y1: T[4500]
out y2: T[3]
out y3: i64[1500]
parallel i0 < 3
  parallel i1 < 1500
    %0: T = index 1500*i0-2*i1+7
    y0[1500*i0+i1] = %0
    %1 = x0[i1]
    %2 = clip %1 -5 5
    %3: T = index 3*%2-2*i1+i0
    y1[1500*i0+i1] = %3
  %4: T = index 2*i0+1
  y2[i0] = %4
parallel i2 < 1500
  %5 = x1[i2]
  %6 = clip %5 -5 100
  %7: i64 = index %6
  y3[i2] = %7
)",
                         "T", name(DType(d)))) == "");
  }
}

// ---- Reductions
TEST_CASE("interpreter: every way to combine, to one element and to several", "[loops]") {
  const Poison poison;
  for (int d = 0; d < kNumDTypes; ++d)
    for (const char* op : {"+=", "*=", "max=", "min=", "&=", "|=", "^="}) {
      const DType t = DType(d);
      const bool bits = std::string("&=|=^=").find(op) != std::string::npos;
      const bool order = op[0] == 'm';
      if (bits ? is_inexact(t) : is_bool(t) && !order) continue;
      if (order && is_complex(t)) continue;
      for (const char* n : kSizes) {
        if (width(t) == 2 && is_float(t) && !order && std::atoi(n) > 64)
          continue;  // the reference drifts
        INFO(name(t) << " " << op << " " << n);
        const double tolerance = !is_inexact(t) || order ? 0
                                 : t == f16 || t == bf16 ? 0.05
                                 : t == f32 || t == c64  ? 1e-4
                                                         : 1e-12;
        const std::string text = replaced(replaced(replaced(R"(
in x0: T[M]
in x1: i32[N]
in x2: bool[N]
in x3: T[1]
out y0: T[3]
out y1: T[N]
out y2: T[7]
out y3: T[M]
parallel i0 < 3
  %10 = x3[0]
  y0[i0] = %10
parallel i1 < N
  %11 = x3[0]
  y1[i1] = %11
parallel i2 < 7
  %12 = x3[0]
  y2[i2] = %12
parallel i3 < N
  %0 = x3[0]
  %1 = x0[3*i3]
  y0[0] OP %1
  y1[i3] OP %1
  %2 = x1[i3]
  %3 = clip %2 0 6
  y2[%3] OP %1
  %4 = x2[i3]
  %5 = x0[3*i3+2]
  y3[3*i3] = %0
  y3[3*i3+1] = %0
  y3[3*i3+2] = %0
  y3[3*i3+1] OP %5
  if %4
    y0[1] OP %5
    y0[2] OP %0
    y1[i3] OP %5
    y2[%3] OP %5
    y3[3*i3] OP %5
  else
    y0[1] OP %1
)",
                                                            "T", name(t)),
                                                   "OP", op),
                                          "M]", std::to_string(3 * std::atoi(n)) + "]");
        const Program p = read(replaced(text, "N", n));
        Arrays in = random_inputs(p);
        jaxpp::testing::Random random(3);
        if (*op == '*')  // products stay near 1
          for (std::size_t k : {0, 3})
            in[k] = random.array(t, {in[k].size()}, is_inexact(t) ? 0.999 : 1,
                                 is_inexact(t) ? 1.001 : 3);
        in[1] = random.array(i32, {in[1].size()}, 0, 8, true);
        in[2] = random.array(b1, {in[2].size()}, 0, 1);
        CHECK(check(replaced(text, "N", n), in, tolerance) == "");
      }
    }
}

TEST_CASE("interpreter: long sums are accurate", "[loops]") {
  const std::int64_t n = 1000000;
  auto sum_of = [&](DType t, const char* extra) {
    const Program p = read(replaced(replaced(std::string(R"(
in x0: T[1000000]
out y0: T[1]
%0: T = 0
y0[0] = %0
)") + extra,
                                             "T", name(t)),
                                    "N", "1000000"));
    jaxpp::testing::Random random(2);
    const Array x = random.array(t, {n}, 0, 1);
    long double exact = 0;
    for (double v : x.to_vector<double>()) exact += v;
    const long double got = run(Interpreter(p), {x})[0].to_vector<double>()[0];
    return double(std::abs(got / exact - 1));
  };
  const char* flat = R"(
parallel i0 < N
  %1 = x0[i0]
  y0[0] += %1
)";
  const char* rows = R"(
parallel i0 < 5000
  parallel i1 < 200
    %1 = x0[200*i0+i1]
    y0[0] += %1
)";
  for (const char* body : {flat, rows}) {
    CHECK(sum_of(f32, body) < 1e-7);
    CHECK(sum_of(f64, body) < 1e-15);
  }
}
TEST_CASE("interpreter: sums of many rows are accurate", "[loops]") {
  const Interpreter interpreter(read(R"(
in x0: f32[2000000]
out y0: f32[200]
parallel i0 < 200
  %0: f32 = 1
  y0[i0] = %0
parallel i1 < 10000
  parallel i2 < 200
    %1 = x0[200*i1+i2]
    y0[i2] += %1
)"));
  jaxpp::testing::Random random(2);
  const Array x = random.array(f32, {2000000}, 0, 1);
  const auto v = x.to_vector<double>(), sum = run(interpreter, {x})[0].to_vector<double>();
  for (std::size_t k = 0; k < 200; ++k) {
    double exact = 1;
    for (std::size_t i = k; i < v.size(); i += 200) exact += v[i];
    CHECK(std::abs(sum[k] / exact - 1) < 2e-6);
  }
}

TEST_CASE("interpreter: infinities and NaN in sums", "[loops]") {
  const Program p = read(R"(
in x0: f32[3000]
out y0: f32[1]
%0: f32 = 0
y0[0] = %0
parallel i0 < 3000
  %1 = x0[i0]
  y0[0] += %1
)");
  std::vector<float> x(3000, 1);
  auto sum = [&] { return run(Interpreter(p), {Array(x)})[0].item<float>(); };
  CHECK(sum() == 3000);
  x[100] = INFINITY;
  CHECK(sum() == INFINITY);
  x[2500] = -INFINITY;
  CHECK(std::isnan(sum()));
}

// ---- Programs
namespace {

// value_and_grad of sum(sin(x) exp(-x^2) + tanh(x)).
const char* const kValueAndGrad = R"(
in x0: f32[N]
out y0: f32[1]
out y1: f32[N]
%0: f32 = 0
y0[0] = %0
parallel i0 < N
  %1 = x0[i0]
  %2: f32 = sin %1
  %3: f32 = cos %1
  %4: f32 = neg %1
  %5: f32 = mul %4 %1
  %6: f32 = exp %5
  %7: f32 = mul %2 %6
  %8: f32 = tanh %1
  %9: f32 = 1
  %10: f32 = sub %9 %8
  %11: f32 = add %7 %8
  y0[0] += %11
  %12: f32 = mul %10 %8
  %13: f32 = add %10 %12
  %14: f32 = mul %4 %7
  %15: f32 = add %13 %14
  %16: f32 = mul %7 %1
  %17: f32 = neg %16
  %18: f32 = add %15 %17
  %19: f32 = mul %6 %3
  %20: f32 = add %18 %19
  y1[i0] = %20
)";
const char* const kSoftmax = R"(
in x0: f64[NN]
out y0: f64[NN]
parallel i0 < R
  local t0: f64[1]
  local t1: f64[C]
  local t2: f64[1]
  %0: f64 = -inf
  t0[0] = %0
  parallel i1 < C
    %1 = x0[C*i0+i1]
    t0[0] max= %1
  %2 = t0[0]
  %3: f64 = 0
  t2[0] = %3
  parallel i2 < C
    %4 = x0[C*i0+i2]
    %5: f64 = sub %4 %2
    %6: f64 = exp %5
    t1[i2] = %6
    t2[0] += %6
  parallel i3 < C
    %7 = t1[i3]
    %8 = t2[0]
    %9: f64 = div %7 %8
    y0[C*i0+i3] = %9
)";
// Iterations z -> z^2 + c until |z| > 2: lanes that end at different times.
const char* const kMandel = R"(
in x0: f32[N]
in x1: f32[N]
out y0: i32[N]
parallel i0 < N
  local t0: f32[1]
  local t1: f32[1]
  local t2: i32[1]
  %0: i32 = 0
  t2[0] = %0
  %1: f32 = 0
  t1[0] = %1
  t0[0] = %1
  %2 = x1[i0]
  %3 = x0[i0]
  while
    %4 = t1[0]
    %5: f32 = mul %4 %4
    %6 = t0[0]
    %7: f32 = mul %6 %6
    %8: f32 = add %7 %5
    %9 = t2[0]
    %10: i32 = 100
    %11: bool = lt %9 %10
    %12: f32 = 4
    %13: bool = le %8 %12
    %14: bool = and %13 %11
  do %14
    %15 = t2[0]
    %16: i32 = 1
    %17: i32 = add %15 %16
    t2[0] = %17
    %18: f32 = 2
    %19 = t0[0]
    %20: f32 = mul %18 %19
    %21 = t1[0]
    %22: f32 = mul %20 %21
    %23: f32 = add %22 %2
    %24: f32 = mul %21 %21
    %25: f32 = mul %19 %19
    %26: f32 = sub %25 %24
    %27: f32 = add %26 %3
    t0[0] = %27
    t1[0] = %23
  %28 = t2[0]
  y0[i0] = %28
)";
// A scan of 20 steps over lanes, each with a state of three numbers and a tape.
const char* const kScan = R"(
in x0: f64[N3]
out y0: f64[N20]
out y1: f64[N3]
parallel i0 < N
  local t0: f64[3]
  local t1: f64[20]
  parallel i1 < 3
    %0 = x0[3*i0+i1]
    t0[i1] = %0
  serial i2 < 20
    local t2: f64[3]
    %1 = t0[0]
    %2 = t0[1]
    %3 = t0[2]
    %4: f64 = 0.01
    %5: f64 = sub %2 %1
    t2[0] = %5
    %6: f64 = mul %1 %3
    %7: f64 = sub %2 %6
    t2[1] = %7
    %8: f64 = mul %1 %2
    t2[2] = %8
    t1[i2] = %1
    parallel i3 < 3
      %9 = t2[i3]
      %10: f64 = mul %9 %4
      t0[i3] += %10
  parallel i4 < 20
    %11 = t1[i4]
    y0[20*i0+i4] = %11
  parallel i5 < 3
    %12 = t0[i5]
    y1[3*i0+i5] = %12
)";

}  // namespace

TEST_CASE("interpreter: value and gradient in one loop", "[loops]") {
  for (const char* n : kSizes) {
    INFO(n);
    CHECK(check(replaced(kValueAndGrad, "N", n), {}, 1e-6) == "");
  }
}

TEST_CASE("interpreter: row kernels", "[loops]") {
  const Poison poison;
  for (auto [r, c] :
       {std::pair(1, 1), {1, 1000}, {3, 1025}, {100, 100}, {2000, 4}, {1025, 2}, {50, 1}}) {
    std::string t = replaced(kSoftmax, "NN", std::to_string(r * c));
    t = replaced(replaced(t, "R\n", std::to_string(r) + "\n"), "C", std::to_string(c));
    INFO(r << " x " << c);
    CHECK(check(t, {}, 1e-14) == "");
  }
}

TEST_CASE("interpreter: scans and whiles with lanes outside", "[loops]") {
  const Poison poison;
  for (const char* n : kSizes) {
    INFO(n);
    const int k = std::atoi(n);
    std::string t = replaced(kScan, "N3", std::to_string(3 * k));
    CHECK(check(replaced(replaced(t, "N20", std::to_string(20 * k)), "N", n)) == "");
    CHECK(check(replaced(kMandel, "N", n)) == "");
  }
}

TEST_CASE("interpreter: nested ifs and whiles", "[loops]") {
  const Poison poison;
  // A while in a while in an if, with state of several widths, with and without stores to memory that lanes share.
  for (const char* shared : {"y2[0] += %21", "t0[0] += %20"})
    for (const char* n : kSizes) {
      INFO(n);
      CHECK(check(replaced(replaced(R"(
in x0: f64[N]
in x1: i32[N]
in x2: bool[3]
out y0: f64[N]
out y1: i16[N]
out y2: i64[2]
%0: i64 = 0
y2[0] = %0
y2[1] = %0
parallel i0 < N
  local t0: f64[1]
  local t1: i32[1]
  local t2: i16[2]
  %1 = x0[i0]
  t0[0] = %1
  %2: i16 = 1
  t2[0] = %2
  t2[1] = %2
  %3 = x1[i0]
  %4: i32 = 0
  %5: bool = gt %3 %4
  if %5
    t1[0] = %4
    while
      %6 = t1[0]
      %7 = x1[i0]
      %8: bool = lt %6 %7
    do %8
      %9 = t1[0]
      %10: i32 = 1
      %11: i32 = add %9 %10
      t1[0] = %11
      %12 = t0[0]
      while
        %13 = t0[0]
        %14: f64 = 3
        %15: bool = lt %13 %14
      do %15
        %16 = t0[0]
        %17: f64 = 1.25
        %18: f64 = add %16 %17
        t0[0] = %18
        %19 = clip %11 0 1
        t2[%19] += %2
      %31: f64 = 3
      %20: f64 = sub %12 %31
      t0[0] = %20
      %21: i64 = 1
      SHARED
  else
    %22: f64 = 0
    %23: bool = gt %1 %22
    if %23
      %24: f64 = 7
      t0[0] = %24
      %25: i64 = 1
      y2[1] += %25
      %26 = x2[1]
      if %26
        t2[1] = %2
      else
        t2[0] = %2
    t0[0] += %1
  %27 = t0[0]
  y0[i0] = %27
  %28 = t2[0]
  %29 = t2[1]
  %30: i16 = sub %28 %29
  y1[i0] = %30
)",
                                    "N", n),
                           "SHARED", shared)) == "");
    }
}

TEST_CASE("interpreter: a state that is not memory of the lanes' own", "[loops]") {
  const Poison poison;
  for (const char* n : kSizes) {
    INFO(n);
    CHECK(check(replaced(R"(
in x0: f32[N]
out y0: f32[N]
out y1: i32[N]
parallel i0 < N
  %0 = x0[i0]
  y0[i0] = %0
  %1: i32 = index i0
  y1[i0] = %1
  while
    %2 = y0[i0]
    %3: f32 = 1
    %4: bool = lt %2 %3
  do %4
    %5 = y0[i0]
    %6: f32 = 0.37
    %7: f32 = add %5 %6
    y0[i0] = %7
    %8: i32 = index 2*i0
    y1[i0] += %8
)",
                         "N", n)) == "");
  }
}

TEST_CASE("interpreter: values outlive what is stored over them", "[loops]") {
  const Poison poison;
  for (const char* n : kSizes) {
    INFO(n);
    CHECK(check(replaced(R"(
in x0: f32[N]
out y0: f32[N]
out y1: f32[N]
out y2: f32[3]
temp t9: f32[N]
local t1: f32[2]
parallel i9 < N
  %90 = x0[i9]
  t9[i9] = %90
parallel i0 < N
  local t0: f32[2]
  %0 = x0[i0]
  t0[0] = %0
  %1: f32 = neg %0
  t0[1] = %1
  serial i1 < 5
    %2 = t0[0]
    %3 = t0[1]
    t0[0] = %3
    t0[1] = %2
    %4: f32 = add %2 %3
    t0[0] += %4
    %5: f32 = sub %2 %3
    t0[1] = %5
    %6: f32 = mul %5 %5
    t0[0] = %6
    %7: f32 = sub %5 %2
    t0[1] = %7
  %8 = t0[0]
  y0[i0] = %8
  %9 = t9[i0]
  %10 = t0[1]
  %11: f32 = mul %9 %10
  t9[i0] = %11
  %12: f32 = sub %11 %9
  y1[i0] = %12
  %13 = y1[i0]
  y1[i0] = %11
  %14: f32 = mul %13 %8
  y0[i0] += %14
%20 = x0[0]
t1[0] = %20
t1[1] = %20
serial i2 < 7
  %21 = t1[0]
  %22 = t1[1]
  %23: f32 = add %21 %22
  t1[0] = %22
  t1[1] = %23
  %24: f32 = sub %21 %23
  serial i3 < 2
    %25: f32 = tanh %24
    %26: f32 = add %25 %22
    t1[i3] = %26
%27 = t1[0]
y2[0] = %27
y2[1] = %27
y2[2] = %20
)",
                         "N", n)) == "");
  }
}

TEST_CASE("interpreter: temps that share memory, and donated inputs", "[loops]") {
  for (const char* n : kSizes) {
    const std::string k = n;
    const Program p = read(replaced(R"(
in x0: f32[N]
out y0: f32[N] donor x0
temp t0: f32[N] @64
temp t1: f32[N] @64
parallel i0 < N
  %0 = x0[i0]
  %1: f32 = mul %0 %0
  t0[i0] = %1
parallel i1 < N
  %2 = t0[i1]
  %3: f32 = neg %2
  t1[i1] = %3
  %4: f32 = add %2 %3
  %5 = x0[i1]
  %6: f32 = add %4 %5
  y0[i1] = %6
  %7: f32 = mul %5 %5
  y0[i1] += %7
  %8 = t1[i1]
  y0[i1] += %8
)",
                                    "N", n));
    const Interpreter interpreter(p);
    Arrays in = random_inputs(p);
    const Arrays want = Reference(p).run(in);
    INFO(n);
    CHECK(compare("apart", run(interpreter, in), want, 1e-6) == "");
    const void* from[] = {in[0].data<char>()};
    void* to[] = {in[0].data<char>()};
    interpreter.run(from, to);
    CHECK(compare("donated", in, want, 1e-6) == "");
  }
}

TEST_CASE("interpreter: serial loops that only scatter keep their order", "[loops]") {
  const Poison poison;
  for (const char* n : kSizes) {
    INFO(n);
    CHECK(check(replaced(R"(
in x0: i32[N]
in x1: f32[N]
out y0: f32[8]
out y1: f32[1]
out y2: i32[N]
out y3: f32[8]
parallel i0 < 8
  %0: f32 = 0
  y0[i0] = %0
  y3[i0] = %0
serial i1 < N
  %1 = x0[i1]
  %2 = clip %1 0 7
  %3 = x1[i1]
  %4: f32 = mul %3 %3
  y0[%2] = %4
  y1[0] = %3
  %5: i32 = index i1
  %6: bool = lt %1 %5
  if %6
    y2[i1] = %1
    y3[%2] += %3
serial i2 < N
  %7 = x0[i2]
  %8 = clip %7 1 7
  %9 = y0[%8-1]
  y0[%8] = %9
serial i3 < N
  serial i4 < 3
    %10 = x0[i3]
    %11 = clip %10 0 5
    %12: f32 = index i3+i4
    y3[%11+i4] = %12
)",
                         "N", n)) == "");
  }
}

TEST_CASE("interpreter: loops of one iteration", "[loops]") {
  const Poison poison;
  CHECK(check(R"(
in x0: f32[100]
out y0: f32[1]
out y1: f32[100]
parallel i0 < 1
  %0: f32 = 0
  y0[0] = %0
  parallel i1 < 100
    %1 = x0[i1]
    y0[0] += %1
  %2 = y0[0]
  parallel i2 < 100
    %3 = x0[i2]
    %4: f32 = div %3 %2
    y1[i2] = %4
parallel i3 < 1
  %5 = x0[i3]
  y0[0] += %5
  %6 = y0[i3]
  y0[i3] += %6
)",
              {}, 1e-5) == "");
}

TEST_CASE("interpreter: chunks", "[loops]") {
  const std::string t = R"(
in x0: f32[N]
out y0: f32[K]
parallel i0 < K
  %0: f32 = 0
  y0[i0] = %0
parallel i1 < N grain G chunk i2
  %1 = x0[i1]
  y0[i2] += %1
)";
  for (auto [n, grain] : {std::pair(1000, 256), {1024, 1024}, {5000, 2048}, {7, 3}, {3000, 1300}}) {
    INFO(n << " by " << grain);
    CHECK(check(replaced(replaced(replaced(t, "N", std::to_string(n)), "G", std::to_string(grain)),
                         "K", std::to_string((n + grain - 1) / grain)),
                {}, 1e-5) == "");
  }
}

// ---- Calls
TEST_CASE("interpreter: calls of kernels", "[loops]") {
  const Poison poison;
  CHECK(check(R"(
in x0: f32[64]
in x1: f32[24]
out y0: f32[64]
out y1: f32[48]
out y2: f32[3]
temp t0: f32[64] @128
parallel i0 < 64
  %0 = x0[i0]
  %1: f32 = neg %0
  t0[i0] = %1
serial i1 < 4
  call sort[dimension=1 is_stable=True num_keys=1] (t0[16*i1]: f32[2,8]) -> (y0[16*i1]: f32[2,8])
call dot_general[dimension_numbers=(([1], [0]), ([], [])) preferred_element_type=None] (x0[0]: f32[16,4], x1[12]: f32[4,3]) -> (y1: f32[16,3])
call transpose[permutation=(1, 0)] (x1: f32[3,1]) -> (t0: f32[1,3])
call squeeze[dimensions=(0,)] (t0: f32[1,3]) -> (y2: f32[3])
)",
              {}, 1e-6) == "");
}

namespace {

// A program that calls f between two loops.
Program calling(const CallbackParams& params) {
  Program p = read(R"(
in x0: f64[2]
out y0: f64[2]
temp t0: f64[2]
parallel i0 < 2
  %0 = x0[i0]
  %1: f64 = add %0 %0
  t0[i0] = %1
call name[name=f] (t0: f64[2]) -> (y0: f64[2])
parallel i1 < 2
  %2 = y0[i1]
  %3: f64 = neg %2
  y0[i1] = %3
)");
  loops::Call& call = *p.body[1].as<loops::Call>();
  call.prim = &pure_callback_p;
  call.params = std::make_shared<CallbackParams>(params);
  return p;
}
CallbackParams host(std::function<void(Args, Results&)> f) {
  auto fn = std::make_shared<HostFn>(HostFn{"f", std::move(f)});
  return {{"f", fn}, {make_type(f64, {2})}};
}

}  // namespace

TEST_CASE("interpreter: a callback may throw, keep its operand, and run programs", "[loops]") {
  Array kept;
  int calls = 0;
  std::unique_ptr<Interpreter> inner;
  const Program p = calling(host([&](Args x, Results& y) {
    kept = x[0];
    y.push_back(x[0] * 10.);
    if (++calls == 2) throw std::runtime_error("not today");
    if (inner && calls < 6)
      CHECK(run(*inner, {x[0]})[0].to_vector() == std::vector{-20 * x[0].item<double>(), -20.});
  }));
  const Interpreter interpreter(p);
  const Array x(std::vector<double>{1, 2});
  CHECK(run(interpreter, {x})[0].to_vector() == std::vector<double>{-20, -40});
  CHECK(kept.to_vector() == std::vector<double>{2, 4});
  CHECK_THROWS_WITH(run(interpreter, {x}), "not today");
  CHECK(run(interpreter, {x})[0].to_vector() == std::vector<double>{-20, -40});
  CHECK(kept.to_vector() == std::vector<double>{2, 4});

  const Interpreter wrong(calling(host([](Args, Results& y) { y.push_back(Array(1.f)); })));
  CHECK_THAT(message([&] { run(wrong, {x}); }), Contains("pure_callback") && Contains("[E11]"));
}

TEST_CASE("interpreter: programs inside programs, deeper than the thread's memory is long",
          "[loops]") {
  // Every level needs a frame of its own while those below are still in use.
  const Interpreter* self = nullptr;
  int depth = 0;
  Program p = calling(host([&](Args x, Results& y) {
    if (++depth < 40)
      y.push_back(run(*self, {x[0]})[0]);
    else
      y.push_back(x[0]);
  }));
  p.buffers[2].size = 5000;  // the temp
  const Interpreter interpreter(p);
  self = &interpreter;
  for (int k = 0; k < 3; ++k) {
    depth = 0;
    const double v = std::ldexp(1, 40);  // doubled and negated 40 times
    CHECK(run(interpreter, {Array(std::vector<double>{1, -2})})[0].to_vector() ==
          std::vector<double>{v, -2 * v});
  }
}

TEST_CASE("interpreter: errors", "[loops]") {
  // Found when the program is made ready: verify() would have told as well.
  Program p = loops::parse(R"(
in x0: f32[2]
out y0: f32[2]
parallel i0 < 2
  %0 = x0[i0]
  y0[i0] &= %0
)");
  CHECK_THROWS_WITH(Interpreter(p), Contains("`&=` is not defined on f32"));
}

TEST_CASE("interpreter: nothing to do", "[loops]") {
  CHECK(check("out y0: f32[0]\n") == "");
  CHECK(check("in x0: f32[0]\nout y0: f32[1]\n%0: f32 = 3\ny0[0] = %0\n") == "");
  Program p = read("in x0: f32[0]\nout y0: f32[0]\nparallel i0 < 1\n  %0: f32 = 1\n");
  p.body[0].as<loops::Loop>()->extent = 0;
  CHECK(run(Interpreter(p), {of_bytes(f32, 0, 0)})[0].size() == 0);
  CHECK(check(R"(
in x0: f32[0]
out y0: f32[0]
call sort[dimension=0 is_stable=True num_keys=1] (x0: f32[0]) -> (y0: f32[0])
)") == "");
}

TEST_CASE("interpreter: constants", "[loops]") {
  CHECK(check(R"(
const c0: i32[3] = [5, -2, 7]
out y0: i32[6]
parallel i0 < 3
  %0 = c0[i0]
  %1 = c0[-1*i0+2]
  y0[i0] = %0
  y0[i0+3] = %1
)") == "");
}

TEST_CASE("interpreter: many threads at once", "[loops]") {
  const Interpreter softmax(
      read(replaced(replaced(replaced(kSoftmax, "NN", "3000"), "R\n", "30\n"), "C", "100"))),
      scalar(read(R"(
in x0: f64[1]
out y0: f64[1]
%0 = x0[0]
%1: f64 = mul %0 %0
y0[0] = %1
)"));
  const Arrays in = random_inputs(softmax.program());
  const Array want = run(softmax, in)[0];
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int k = 0; k < 50; ++k) {
        const Array y = run(softmax, in)[0];
        wrong += std::memcmp(y.data<char>(), want.data<char>(), bytes_of(y)) != 0;
        const double v = t + k;
        wrong += run(scalar, {Array(std::vector<double>{v})})[0].item<double>() != v * v;
      }
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
}

// ---- Random programs
namespace {

// A parallel loop of N iterations with everything inside, in one of two orders of nesting.
class RandomProgram {
 public:
  RandomProgram(std::uint64_t seed) : random_(seed) {
    static constexpr std::int64_t sizes[] = {1, 3, 40, 65, 1024, 1500};
    n_ = sizes[pick(6)];
    if (pick(4) == 0) n_ = std::min<std::int64_t>(n_, 40);
  }
  std::string text() {
    const std::string n = std::to_string(n_), n4 = std::to_string(4 * n_),
                      n8 = std::to_string(8 * n_);
    std::string t = "in x0: f64[" + n4 + "]\nin x1: i32[" + n4 + "]\nin x2: f64[16]\nout y0: f64[" +
                    n8 + "]\nout y1: i32[8]\nout y2: f64[8]\nout y3: i32[8]\n";
    t += "parallel i9 < 8\n  %902: i32 = 0\n  %903: f64 = 0\n  y1[i9] = %902\n  y2[i9] = %903\n  "
         "y3[i9] = %902\n";
    lane_ = "i0";
    Scope scope;
    scope.d = {"%901"};
    scope.i = {"%900"};
    const std::string body = loop_body(scope, 1, 0, 6 + pick(8)),
                      zeros = "  %900: i32 = 0\n  %901: f64 = 0\n";
    const std::size_t after = body.find("  t0[");  // behind the declarations
    return t + (pick(4) ? "parallel" : "serial") + " i0 < " + n + "\n" + body.substr(0, after) +
           zeros + body.substr(after);
  }

 private:
  struct Local {
    std::string name;
    char type;  // d, i
    int size;
  };
  struct Scope {
    std::vector<std::string> d, i, b, clip;          // values in scope; indices below 8
    std::vector<Local> own, readable;                // own: may be stored to
    std::vector<std::pair<std::string, int>> loops;  // variables of inner loops
    bool parallel = false;                           // one of these is parallel
  };
  int pick(int n) { return int(random_.bits() % std::uint64_t(n)); }
  template <class V>
  const auto& any(const V& v) {
    return v[std::size_t(pick(int(v.size())))];
  }
  std::string fresh() { return "%" + std::to_string(next_++); }
  std::string pad(int depth) { return std::string(std::size_t(2 * depth), ' '); }

  // Locals of the loop, then what they are first set to, then statements.
  std::string loop_body(Scope s, int depth, int nesting, int statements) {
    std::string declared, t;
    const std::size_t whiles = counters_.size();
    for (int k = pick(2) + 1; k-- > 0;) {
      const Local l{"t" + std::to_string(locals_++), pick(2) ? 'd' : 'i', 1 + pick(3)};
      declared += pad(depth) + "local " + l.name + (l.type == 'd' ? ": f64[" : ": i32[") +
                  std::to_string(l.size) + "]\n";
      for (int e = 0; e < l.size; ++e)
        t += pad(depth) + l.name + "[" + std::to_string(e) +
             "] = " + any(l.type == 'd' ? s.d : s.i) + "\n";
      s.own.push_back(l);
      s.readable.push_back(l);
    }
    t += block(s, depth, nesting, statements);
    for (; counters_.size() > whiles; counters_.pop_back())
      declared += pad(depth) + "local " + counters_.back() + ": i32[1]\n";
    return declared + t;
  }
  std::string block(Scope s, int depth, int nesting, int statements) {
    std::string t;
    while (statements-- > 0) t += statement(s, depth, nesting);
    return t;
  }
  std::string element(const Local& l, const Scope& s) {
    if (l.size >= 3 && !s.loops.empty() && pick(2)) {
      const auto& [var, extent] = any(s.loops);
      if (extent <= l.size) return l.name + "[" + var + "]";
    }
    if (l.size >= 2 && !s.clip.empty() && pick(4) == 0) {
      const std::string at = fresh();
      before_ = at + " = clip " + any(s.i) + " 0 " + std::to_string(l.size - 1);
      return l.name + "[" + at + "]";
    }
    return l.name + "[" + std::to_string(pick(l.size)) + "]";
  }
  std::string line(int depth, const std::string& s) {
    std::string t;
    if (!before_.empty()) t = pad(depth) + std::exchange(before_, "") + "\n";
    return t + pad(depth) + s + "\n";
  }
  std::string statement(Scope& s, int depth, int nesting) {
    const std::string v = fresh();
    const std::string n = std::to_string(n_);
    switch (pick(nesting < 3 ? 20 : 14)) {
      case 0: {
        static const char* const at[] = {"4*i0+2", "i0+N", "-1*i0+M", "4*i0", "3", "i0"};
        std::string a = replaced(replaced(at[pick(6)], "N", n), "M", std::to_string(n_ - 1));
        if (pick(2)) {
          s.d.push_back(v);
          return line(depth, v + " = x0[" + a + "]");
        }
        s.i.push_back(v);
        return line(depth, v + " = x1[" + a + "]");
      }
      case 1: {
        const std::string at = fresh();
        std::string t = line(depth, at + " = clip " + any(s.i) + " 0 7");
        t += line(depth, v + " = x2[2*" + at + "]");
        s.clip.push_back(at);
        s.d.push_back(v);
        return t;
      }
      case 2: {
        const std::string f = line(depth, v + ": i32 = index 2*i0+" + std::to_string(pick(5)));
        s.i.push_back(v);
        return f;
      }
      case 3:
      case 4: {
        static const char* const ops[] = {"add", "sub", "max", "min", "mul"};
        const std::string t =
            line(depth, v + ": f64 = " + ops[pick(5)] + " " + any(s.d) + " " + any(s.d));
        s.d.push_back(v);
        return t;
      }
      case 5: {
        static const char* const ops[] = {"add", "sub", "max", "min", "and", "xor"};
        const std::string t =
            line(depth, v + ": i32 = " + ops[pick(6)] + " " + any(s.i) + " " + any(s.i));
        s.i.push_back(v);
        return t;
      }
      case 6: {
        const std::string c =
            line(depth, v + ": bool = lt " +
                            (pick(2) ? any(s.d) + " " + any(s.d) : any(s.i) + " " + any(s.i)));
        s.b.push_back(v);
        return c;
      }
      case 7: {
        if (s.b.empty()) return "";
        const std::string t =
            line(depth, v + ": f64 = select_n " + any(s.b) + " " + any(s.d) + " " + any(s.d));
        s.d.push_back(v);
        return t;
      }
      case 8:
      case 9: {
        if (s.readable.empty()) return "";
        const Local& l = any(s.readable);
        const std::string t = line(depth, v + " = " + element(l, s));
        (l.type == 'd' ? s.d : s.i).push_back(v);
        return t;
      }
      case 10:
      case 11: {
        if (s.own.empty()) return "";
        const Local& l = any(s.own);
        if (l.type == 'i')
          return line(depth, element(l, s) + (pick(2) ? " = " : " ^= ") + any(s.i));
        std::string t = line(depth, v + ": f64 = tanh " + any(s.d));
        s.d.push_back(v);
        return t + line(depth, element(l, s) + (pick(3) ? " = " : " max= ") + v);
      }
      case 12: {
        if (slots_ == 8 || s.parallel) return "";
        const std::string k = std::to_string(slots_++);
        return line(depth, "y0[i0+" + std::to_string(std::stoll(k) * n_) + "] = " + any(s.d));
      }
      case 13: {
        std::string at = std::to_string(pick(8));
        if (!s.clip.empty() && pick(2)) at = any(s.clip);
        switch (pick(3)) {
          case 0: return line(depth, "y1[" + at + "] += " + any(s.i));
          case 1: {
            std::string t = line(depth, v + ": f64 = tanh " + any(s.d));
            return t + line(depth, "y2[" + at + "] += " + v);
          }
          default: return line(depth, "y3[" + at + "] max= " + any(s.i));
        }
      }
      case 14:
      case 15: {
        if (s.b.empty()) return "";
        std::string t =
            line(depth, "if " + any(s.b)) + block(s, depth + 1, nesting + 1, 1 + pick(4));
        t += pad(depth + 1) + fresh() + ": f64 = 1\n";  // never empty
        if (pick(2))
          t += line(depth, "else") + block(s, depth + 1, nesting + 1, 1 + pick(4)) +
               pad(depth + 1) + fresh() + ": f64 = 1\n";
        return t;
      }
      case 16:
      case 17: {
        const std::string c = "c" + std::to_string(locals_++), k = fresh(), one = fresh(),
                          limit = fresh();
        counters_.push_back(c);
        std::string t = line(depth, c + "[0] = %900") + line(depth, one + ": i32 = 1") +
                        line(depth, limit + ": i32 = 11");
        t += line(depth, "while") + line(depth + 1, k + " = " + c + "[0]");
        const std::string to = fresh();
        t += line(depth + 1, to + ": i32 = min " + limit + " " + any(s.i)) +
             line(depth + 1, v + ": bool = lt " + k + " " + to);
        t += line(depth, "do " + v) + line(depth + 1, c + "[0] += " + one);
        return t + block(s, depth + 1, nesting + 1, 1 + pick(5));
      }
      case 18: {
        const std::string i = "i" + std::to_string(10 + locals_++);
        const int extent = 1 + pick(3);
        Scope inner = s;
        inner.loops.push_back({i, extent});
        return line(depth, "serial " + i + " < " + std::to_string(extent)) +
               loop_body(inner, depth + 1, nesting + 1, 1 + pick(5));
      }
      default: {  // parallel: what it writes outside is combined, or at its own index
        const std::string i = "i" + std::to_string(10 + locals_++);
        const int extent = pick(2) ? 3 : 70;
        Scope inner = s;
        inner.own.clear();
        inner.parallel = true;
        return line(depth, "parallel " + i + " < " + std::to_string(extent)) +
               loop_body(inner, depth + 1, nesting + 1, 1 + pick(5));
      }
    }
  }

  jaxpp::testing::Random random_;
  std::int64_t n_;
  std::string lane_, before_;
  std::vector<std::string> counters_;
  int next_ = 1, locals_ = 0, slots_ = 0;
};

}  // namespace

TEST_CASE("interpreter: random programs", "[loops]") {
  const Poison poison;
  const int count = std::getenv("JAXPP_FUZZ") ? std::atoi(std::getenv("JAXPP_FUZZ")) : 100;
  for (int seed = 0; seed < count; ++seed) {
    const std::string text = RandomProgram(std::uint64_t(seed)).text();
    INFO("seed " << seed << text);
    std::string wrong;
    try {
      wrong = check(text, {}, 1e-8);
    } catch (const std::exception& e) {
      wrong = e.what();
    }
    CHECK(wrong == "");
  }
}
