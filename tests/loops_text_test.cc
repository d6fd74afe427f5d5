// loops_text_test.cc -- loop programs as text, there and back, and what verify() refuses.
#include <catch2/catch.hpp>
#include <limits>
#include <random>
#include <stdexcept>
#include "backends/loops/tree.h"
#include "jaxpp/core/trace.h"
#include "jaxpp/ops/primitives.h"
#include "message.h"

using namespace jaxpp;
using namespace jaxpp::loops;

namespace {
std::string trimmed(std::string_view s) {
  while (!s.empty() && s.front() == '\n') s.remove_prefix(1);
  return std::string(s);
}
// A text that is printed as it was written, of a program that is well formed.
void is_text(std::string_view text) {
  const std::string t = trimmed(text);
  INFO(t);
  const Program p = parse(t);
  CHECK(print(p) == t);
  CHECK_NOTHROW(verify(p));
}
std::string printed(std::string_view text) { return "\n" + print(parse(trimmed(text))); }
std::string refused(std::string_view text) {
  const Program p = parse(trimmed(text));
  return message([&] { verify(p); });
}
std::string refused(const Program& p) {
  return message([&] { verify(p); });
}
std::string unreadable(std::string_view text) {
  return message([&] { parse(trimmed(text)); });
}

Buffer buffer(Buffer::Role role, const char* name, std::int64_t size, int index = -1) {
  Buffer b;
  b.role = role;
  b.name = name;
  b.size = size;
  b.index = index;
  return b;
}
Let let(Sym sym, const Primitive* op, std::initializer_list<Sym> args) {
  Let l;
  l.sym = sym;
  l.op = op;
  l.args = args;
  return l;
}

const char* const kRich = R"(
in x0: f32[4096]
in x1: i32[4096]
in x2: f32[64]
out y0: f32[4096] donor x0
out y1: f32[1]
out y2: u32[4096]
const c0: i32[3] = [1, -2, 3]
const c1: f64[1000] = 0.5
const c2: f32[0] = []
temp t0: f32[64] @128
temp t1: f32[64] @384
temp t2: i64[7]
arena 640
local t3: f32[1]
%0: f32 = 0.0
y1[0] = %0
t3[0] = %0
parallel i0 < 4096 lanes 16 x2 grain 256 chunk i1
  local t4: f32[1]
  local t5: f32[3]
  %1 = x0[i0]
  %2 = x1[-i0+4095]
  %3 = clip %2 0 99
  %4: f32 = integer_pow[y=3] %1
  %5: i32 = index 2*i0+%3-7
  %6: f32 = convert_element_type %5
  %7: f32 = add %4 %6
  t4[0] = %7
  %8: f32 = 100.0
  while
    %9 = t4[0]
    %10: bool = lt %9 %8
    %11: bool = is_finite %9
    %12: bool = and %10 %11
  do %12
    %13 = t4[0]
    %14: f32 = mul %13 %13
    t4[0] = %14
  %15 = t4[0]
  %16: bool = gt %15 %1
  if %16
    y0[i0] = %15
  else
    %17: f32 = neg %15
    y0[i0] = %17
  if %16
    y1[0] += %1
  parallel i2 < 3
    t5[i2] = %1
  %18: u32 = 4294967295
  %19, %20: u32 = threefry2x32 %18 %18 %18 %18
  %21: u32 = xor %19 %20
  y2[i0] = %21
serial i3 < 7 unroll
  %22 = t2[i3]
  t2[0] max= %22
  t2[1] min= %22
  t2[2] &= %22
  t2[3] |= %22
  t2[4] ^= %22
  t2[5] *= %22
parallel i4 < 32 block
  parallel i5 < 2 thread
    %23 = x2[2*i4+i5]
    t0[2*i4+i5] = %23
parallel i6 < 64 grid
  %24: f32 = 1.0
  t1[i6] = %24
call sort[dimension=1] (t0: f32[8,8]) -> (t1: f32[8,8])
parallel i7 < 8
  call cumsum[reverse=True] (t1[8*i7]: f32[8]) -> (t0[8*i7]: f32[8])
call reduce[
  dimensions=(0,)
  jaxpr={ lambda ; c:f32[] d:f32[]. let e:f32[] = add c d in (e,) }
] (t0: f32[64], y1: f32[]) -> (y1: f32[])
call let jaxpr = { lambda ; a:f32[2]. let b:f32[2] = sin a in (b,) } in
cond[branches=(jaxpr jaxpr)] (c0[1]: i32[], x0[16]: f32[2]) -> (t0[62]: f32[2])
)";
}  // namespace

TEST_CASE("loops text: affine functions") {
  const Affine i = Affine::of(3), j = Affine::of(1);
  Affine a = i * 4 + j + 7;
  CHECK(a.coef(3) == 4);
  CHECK(a.coef(1) == 1);
  CHECK(a.coef(2) == 0);
  CHECK(a.terms.size() == 2);
  CHECK(a.terms[0].sym == 1);  // sorted, in whatever order they came
  CHECK(j + i * 4 + 7 == a);
  CHECK(a + i * -4 == j + 7);
  CHECK(a + a == a * 2);
  CHECK((a += a) == i * 8 + j * 2 + 14);
  CHECK(a * 0 == Affine());
  CHECK((a + a * -1).constant());
  CHECK(i.is(3));
  CHECK_FALSE((i + 1).is(3));
  CHECK((i * 4 + 1).subst(3, j * 2 + 5) == j * 8 + 21);
  CHECK((i * 4 + j).subst(3, j * -1) == j * -3);
  CHECK((i * 4 + j).subst(3, i + 1) == i * 4 + j + 4);
  CHECK((i + j).subst(2, i) == i + j);
  CHECK((i * 4 + j).subst(1, i * -4).constant());
  // A strict order of all functions.
  const Affine some[] = {0, 1, i, i + 1, i * 2, j, i + j, i * -1};
  for (const Affine& x : some)
    for (const Affine& y : some) CHECK((x < y) + (y < x) + (x == y) == 1);
}

TEST_CASE("loops text: elements and combining") {
  auto of = [](DType d, double v) { return Element::of(d, v); };
  const float f = 2.5f;
  CHECK(of(f32, 2.5) == Element::at(f32, &f));
  const std::complex<double> z(2.5, 0);
  CHECK(of(c128, 2.5) == Element::at(c128, &z));
  const std::int8_t most = 127, least = -128, none = 0;
  CHECK(of(i8, 1e9) == Element::at(i8, &most));
  CHECK(of(i8, -1e9) == Element::at(i8, &least));
  CHECK(of(i8, std::nan("")) == Element::at(i8, &none));
  const std::uint64_t all = ~std::uint64_t(0);
  CHECK(of(u64, 1e300) == Element::at(u64, &all));
  CHECK_FALSE(of(f32, 0) == of(f64, 0));
  CHECK(of(f32, 1) < of(f64, 0));

  const Combine every[] = {Combine::add,  Combine::mul, Combine::max, Combine::min,
                           Combine::and_, Combine::or_, Combine::xor_};
  CHECK(combiner(Combine::set) == nullptr);
  CHECK(combiner(Combine::min) == &min_p);
  CHECK(combiner(Combine::xor_) == &bitwise_xor_p);
  CHECK(identity(Combine::max, f32) == of(f32, -HUGE_VAL));
  CHECK(identity(Combine::min, bf16) == of(bf16, HUGE_VAL));
  CHECK(identity(Combine::max, i8) == of(i8, -128));
  CHECK(identity(Combine::min, u64) == of(u64, 1e300));
  CHECK(identity(Combine::max, b1) == of(b1, 0));
  CHECK(identity(Combine::and_, b1) == of(b1, 1));
  CHECK(identity(Combine::and_, u16) == of(u16, 65535));
  CHECK(identity(Combine::mul, c64) == of(c64, 1));
  CHECK_THROWS_AS(identity(Combine::set, f32), std::logic_error);
  CHECK_THROWS_AS(identity(Combine::max, c64), std::logic_error);
  CHECK_THROWS_AS(identity(Combine::or_, f32), std::logic_error);
  // combine(identity, x) = x, as the primitive computes it.
  for (Combine c : every)
    for (DType d : {b1, i8, u32, i64, f16, f32, f64, c64}) {
      Element e;
      try {
        e = identity(c, d);
      } catch (const std::logic_error&) {
        continue;
      }
      if (d == b1 && (c == Combine::add || c == Combine::mul)) continue;
      Array x[2] = {Array::make(scalar_type(d)), Array::make(scalar_type(d))};
      const Element one = Element::of(d, 1);
      std::memcpy(x[0].data<char>(), e.bits.data(), width(d));
      std::memcpy(x[1].data<char>(), one.bits.data(), width(d));
      const Array y = combiner(c)->apply({}, Loc::current(), x[0], x[1]);
      CHECK(Element::at(d, y.data<char>()) == one);
    }
}

TEST_CASE("loops text: print, parse, print is the identity") {
  is_text("");
  is_text(R"(
in x0: f32[3]
out y0: f32[3]
parallel i0 < 3
  %0 = x0[i0]
  %1: f32 = sin %0
  y0[i0] = %1
)");
  is_text(kRich);
  is_text(R"(
out y0: i32[1]
%0: i32 = 1
%1: bool = True
if %1
else
  y0[0] = %0
while
  %2: bool = False
do %2
)");
}

TEST_CASE("loops text: symbols, blanks and comments do not matter") {
  CHECK(printed(R"(
  # Indented, with names of its own.
  in x0: f32[12]

  out y0 : f32[12]
  out y1:f32[1]   # a comment
  parallel row<3 unroll lanes 2

      parallel column < 4
          # a comment
          %x = x0[column + 4 * row]
          %sq: f32 = square %x
          y0[ 4*row+column ]=%sq
          %i: i32 = index -row + 5 - column + 2 - 3*row
          %c = clip %i -9223372036854775808 9223372036854775807
)") == R"(
in x0: f32[12]
out y0: f32[12]
out y1: f32[1]
parallel i0 < 3 lanes 2 unroll
  parallel i1 < 4
    %0 = x0[4*i0+i1]
    %1: f32 = square %0
    y0[4*i0+i1] = %1
    %2: i32 = index -4*i0-i1+7
    %3 = clip %2 -9223372036854775808 9223372036854775807
)");
  // However the symbols of a tree are numbered, and its buffers ordered, the text is the same.
  Program p;
  p.inputs = p.outputs = 1;
  p.next_sym = 10;
  p.buffers.push_back(buffer(Buffer::Role::output, "y0", 12, 0));
  p.buffers.push_back(buffer(Buffer::Role::input, "x0", 12, 0));
  Loop inner, outer;
  inner.var = 2;
  inner.extent = 4;
  inner.body.push_back(Load{5, 1, Affine::of(7, 4) + Affine::of(2)});
  inner.body.push_back(Store{0, Affine::of(7, 4) + Affine::of(2), Combine::set, 5});
  outer.var = 7;
  outer.extent = 3;
  outer.body.push_back(std::move(inner));
  p.body.push_back(std::move(outer));
  CHECK("\n" + print(p) == R"(
in x0: f32[12]
out y0: f32[12]
parallel i0 < 3
  parallel i1 < 4
    %0 = x0[4*i0+i1]
    y0[4*i0+i1] = %0
)");
  CHECK_NOTHROW(verify(p));
}

TEST_CASE("loops text: every number survives") {
  const char* literals[] = {"bool = True",    "bool = False",
                            "i8 = -128",      "i16 = 32767",
                            "i32 = 7",        "i64 = -9223372036854775808",
                            "u8 = 255",       "u64 = 18446744073709551615",
                            "f16 = 0.1",      "f16 = inf",
                            "bf16 = 3.14",    "bf16 = -inf",
                            "f32 = -0.0",     "f32 = nan",
                            "f32 = 1e-45",    "f32 = nan(0xffc00001)",
                            "f64 = 1e+16",    "f64 = 1.7976931348623157e+308",
                            "f64 = 5e-324",   "f64 = nan(0x7ff0000000000001)",
                            "c64 = 1.0-2.5j", "c64 = -0.0-0.0j",
                            "c128 = nan+infj"};
  for (const char* l : literals) {
    is_text("%0: " + std::string(l) + "\n");
    std::string type(l, std::string_view(l).find(' ')), value(l + type.size() + 3);
    is_text("const c0: " + type + "[2] = " + value + "\n");
    is_text("const c0: " + type + "[0] = []\n");
  }
  is_text("const c0: c64[2] = [1.0+0.0j, nan(0xffc00001)-infj]\n");
}

TEST_CASE("loops text: every mark and parameter survives") {
  for (const char* marks :
       {"", " lanes 8", " lanes 8 x4", " unroll", " grain 2", " grain 2 chunk i1", " grid",
        " block", " thread", " lanes 16 x2 unroll grain 256 chunk i1 grid"})
    is_text("parallel i0 < 7" + std::string(marks) + "\n");
  is_text("serial i0 < 7 unroll\n");
  is_text(R"(
%0: f32 = 1.0
%1: bool = True
%2: f64 = convert_element_type[new_dtype=float64] %0
%3: f32 = round[rounding_method=TO_NEAREST_EVEN] %0
%4: f32 = reduce_precision[exponent_bits=5 mantissa_bits=10] %0
%5: i32 = bitcast_convert_type[new_dtype=int32] %0
%6: f32 = select_n %1 %0 %0
%7: f32 = clamp %0 %0 %0
%8: c64 = complex %0 %0
%9: f32 = imag %8
%10: f32 = integer_pow %0
)");
  is_text(R"(
in x0: f32[6]
in x1: i32[4]
out y0: f32[12]
call gather[dimension_numbers=GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,)) mode=FILL_OR_DROP slice_sizes=(1, 3)] (x0: f32[2,3], x1: i32[4,1]) -> (y0: f32[4,3])
call scatter-add[dimension_numbers=ScatterDimensionNumbers(inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,))] (x0: f32[6], x1[1]: i32[3,1], x0: f32[3]) -> (y0: f32[6])
call dot_general[dimension_numbers=(([1], [0]), ([], []))] (x0: f32[3,2], x0: f32[2,3]) -> (y0: f32[3,3])
)");
  // Jaxprs among the parameters are laid out as jaxprs are.
  is_text(R"(
in x0: f32[1]
in x1: i32[1]
out y0: f32[1]
serial i0 < 2
  call cond[
    branches=(
      { lambda ; c:f32[]. let  in (c,) }
      { lambda ; d:f32[]. let
          e:f32[] = sin d
          f:f32[] = mul e 2.0:f32[]
        in (f,) }
    )
  ] (x1: i32[], x0: f32[]) -> (y0: f32[])
)");
}

TEST_CASE("loops text: a malformed program has a text, too") {
  Program p;
  p.body.push_back(let(3, &add_p, {7, kNone}));
  p.body.push_back(let(4, nullptr, {}));
  p.body.push_back(Load{5, 9, Affine::of(8, -2)});
  p.body.push_back(Store{-1, {}, Combine::max, 6});
  p.body.push_back(While{});
  p.body.push_back(Call{});
  CHECK("\n" + print(p) == R"(
%0: f32 = add ?7 ?-1
%1: f32 = ?
%2 = ?9[-2*?8]
?-1[0] max= ?6
while
do ?-1
call ? () -> ()
)");
}

TEST_CASE("loops text: errors of the parser") {
  CHECK(unreadable("in x0: f32[4]\nout y0: f31[4]") == "parse: 2:9: `f31` is no element type.");
  CHECK(unreadable("in x0 f32[4]") == "parse: 1:7: expected `:`, found `f32`.");
  CHECK(unreadable("in x0: f32[4]\ntemp x0: f32[4]") ==
        "parse: 2:6: buffer `x0` is declared twice.");
  CHECK(unreadable("in while: f32[4]") == "parse: 1:4: `while` is a keyword.");
  CHECK(unreadable("out y0: f32[1] donor x0") == "parse: 1:22: there is no buffer `x0`.");
  CHECK(unreadable("out y0: f32[1] donor y0") == "parse: 1:22: there is no buffer `y0`.");
  CHECK(unreadable("temp t0: f32[1]\nout y0: f32[1] donor t0") ==
        "parse: 2:21: only an input can be a donor.");
  CHECK(unreadable("temp t0: f32[99999999999999999999]") ==
        "parse: 1:14: the number is too large.");
  CHECK(unreadable("const c0: i8[2] = [1, 200]") == "parse: 1:23: `200` is no i8.");
  CHECK(unreadable("const c0: i8[3] = [1, 2]") == "parse: 1:19: 2 elements instead of 3.");
  CHECK(unreadable("const c0: i8[9999999999] = 1") ==
        "parse: 1:28: 9999999999 elements are too many.");
  CHECK(unreadable("const c0: i8[2] = [1, 2") == "parse: 1:24: expected `]`, the text ends.");
  CHECK(unreadable("  in x0: f32[4]\n in x1: f32[4]") == "parse: 2:2: unexpected indentation.");
  CHECK(unreadable("parallel i0 < 4\n  temp t0: f32[1]") ==
        "parse: 2:3: expected a statement, found `temp`.");
  CHECK(unreadable("parallel i0 4") == "parse: 1:13: expected `<`, found `4`.");
  CHECK(unreadable("parallel i0 < 4 fast") ==
        "parse: 1:17: expected the end of the line, found `fast`.");
  CHECK(unreadable("parallel i0 < 4 lanes 9999999999") == "parse: 1:23: the number is too large.");
  CHECK(unreadable("parallel i0 < 4\nparallel i0 < 4") == "parse: 2:10: `i0` is defined twice.");
  CHECK(unreadable("parallel i0 < 4\n    %0: f32 = 1.0\n  %1: f32 = 1.0") ==
        "parse: 3:3: unexpected indentation.");
  CHECK(unreadable("%0: f32 = 1.0\n  %1: f32 = 1.0") == "parse: 2:3: unexpected indentation.");
  CHECK(unreadable("\t%0: f32 = 1.0") == "parse: 1:1: expected a statement, found `\t`.");
  CHECK(unreadable("%0: f32 = 1.0\n%0: f32 = 2.0") == "parse: 2:1: `%0` is defined twice.");
  CHECK(unreadable("%0: f32 = neg %1") == "parse: 1:15: `%1` is not defined.");
  CHECK(unreadable("%0: f32 =") == "parse: 1:10: expected a number, the text ends.");
  CHECK(unreadable("%0: i32 = 1.5") ==
        "parse: 1:11: expected a number or an operation, found `1`.");
  CHECK(unreadable("%0: i32 = frobnicate") == "parse: 1:11: there is no operation `frobnicate`.");
  CHECK(unreadable("%0, %1: f32 = 1.0") == "parse: 1:15: one number for several values.");
  CHECK(unreadable("%0, 1: f32 = 1.0") == "parse: 1:5: expected a value, found `1`.");
  CHECK(unreadable("%0, %1 = x") ==
        "parse: 1:10: expected `:` and an element type before it, found `x`.");
  CHECK(unreadable("%0 = x0[0]") == "parse: 1:6: there is no buffer `x0`.");
  CHECK(unreadable("in x0: f32[1]\n%0 = x0[i0]") == "parse: 2:9: `i0` is not defined.");
  CHECK(unreadable("in x0: f32[1]\n%0 = x0[2*]") ==
        "parse: 2:11: expected a loop variable or a value, found `]`.");
  CHECK(unreadable("in x0: f32[1]\n%0 = x0[]") == "parse: 2:9: expected an index, found `]`.");
  CHECK(unreadable("in x0: f32[1]\n%0 = x0[9223372036854775808]") ==
        "parse: 2:9: the number is too large.");
  CHECK(unreadable("in x0: f32[1]\n%0 = x0[9223372036854775807+1]") ==
        "parse: 2:29: the number is too large.");
  CHECK(unreadable("out y0: f32[1]\n%0: f32 = 1.0\ny0[0] -= %0") ==
        "parse: 3:7: expected `=`, found `-`.");
  CHECK(unreadable("out y0: f32[1]\ny0[0] = 1.0") == "parse: 2:9: expected a value, found `1`.");
  CHECK(unreadable("y0[0] = %0") == "parse: 1:1: there is no buffer `y0`.");
  CHECK(unreadable("while\n  %0: bool = True\n%1: f32 = 1.0") ==
        "parse: 3:1: expected `do`, found `%`.");
  CHECK(unreadable("else") == "parse: 1:1: expected a statement, found `else`.");
  CHECK(unreadable("%0: f32 = 1.0\n%1: f32 = integer_pow[y=3 %0") ==
        "parse: 2:22: `[` is not closed.");
  // In parameters: where they stand in the whole text.
  CHECK(unreadable("%0: f32 = 1.0\n%1: f32 = integer_pow[y=a] %0") ==
        "parse: 2:25: expected an integer, found `a`.");
  CHECK(unreadable("%0: f32 = 1.0\n%1: f32 = integer_pow[\n  y=3\n  z=4\n] %0") ==
        "parse: 4:5: integer_pow has no parameter `z`.");
  CHECK(unreadable("%0: f32 = 1.0\n%1: f64 = integer_pow[y=3] %0") ==
        "parse: 2:11: integer_pow gives f32[], not f64[].");
  CHECK(unreadable("in x0: f32[4]\ncall sort[dimension=1] (x0: f32[4]) -> ()") ==
        "parse: 2:6: sort: gives 1 result, not 0.");
  CHECK(unreadable(
            "call let f = { lambda ; a:f32. let in (a,) } in\n cond[branches=(f f)] () -> ()") ==
        "parse: 1:30: expected `[`, found `.`.");
  CHECK(unreadable("call let f = 3 in cond () -> ()") == "parse: 1:14: expected `{`, found `3`.");
  CHECK(unreadable("call frob () -> ()") == "parse: 1:6: there is no primitive `frob`.");
  CHECK(unreadable("call sort (x0: f32[4]) -> ()") == "parse: 1:12: there is no buffer `x0`.");
  CHECK(unreadable("in x0: f32[1]\ncall sort (x0: f32[-4]) -> ()").substr(0, 13) ==
        "parse: 2:16: ");
}

TEST_CASE("loops text: no text is too deep, too long or too odd for the parser") {
  std::string deep, brackets = "%0: f32 = integer_pow[y=";
  for (int i = 0; i < 100000; ++i) {
    if (i < 2000)
      deep += std::string(std::size_t(i), ' ') + "serial i" + std::to_string(i) + " < 2\n";
    brackets += "([{";
  }
  CHECK(unreadable(deep).substr(0, 55) == "parse: 201:201: blocks are nested deeper than 200.");
  CHECK(unreadable(brackets) == "parse: 1:22: `[` is not closed.");
  std::string sum = "%0: i32 = index 1", list = "const c0: i32[3] = [";
  for (int i = 0; i < 100000; ++i) {
    sum += "+1";
    list += "1, ";
  }
  CHECK(unreadable(sum) == "parse: 1:2017: an index has at most 1000 terms.");
  CHECK(unreadable(list + "1]") == "parse: 1:20: 100001 elements instead of 3.");
  CHECK(unreadable(std::string("in x\0: f32[1]", 13)).substr(0, 11) == "parse: 1:5:");
}

TEST_CASE("loops text: what is changed at random is read or refused") {
  const std::string whole = trimmed(kRich);
  std::vector<std::string> words;  // of the text, each with what follows it
  for (std::size_t at = 0; at < whole.size();) {
    std::size_t end = whole.find_first_of(" \n[](),:=%", at + 1);
    end = std::min(end, whole.size());
    words.push_back(whole.substr(at, end - at));
    at = end;
  }
  std::mt19937 random(4);
  auto below = [&](std::size_t n) { return std::size_t(random() % n); };
  int read = 0, sound = 0;
  for (int round = 0; round < 4000; ++round) {
    std::vector<std::string> w = words;
    for (std::size_t changes = 1 + below(3); changes-- > 0;) {
      std::string& s = w[below(w.size())];
      switch (below(5)) {
        case 0: s.clear(); break;
        case 1: s = w[below(w.size())]; break;
        case 2: s += w[below(w.size())]; break;
        case 3:
          s.insert(below(s.size() + 1), 1, "\0 \n\t%[]{}()*-+0179axi#,:=\"'<\xff"[below(30)]);
          break;
        case 4: w.resize(1 + below(w.size())); break;
      }
    }
    std::string text;
    for (auto& s : w) text += s;
    Program p;
    try {
      p = parse(text);
    } catch (const ParseError&) {
      continue;
    }
    ++read;
    const std::string once = print(p);
    if (print(parse(once)) != once) {
      INFO(text);
      CHECK(print(parse(once)) == once);
    }
    try {
      verify(p);
      ++sound;
    } catch (const Error&) {
    }
  }
  CHECK(read > 300);
  CHECK(sound > 100);
  CHECK(sound < read);
}

// ---- What verify() refuses.  One text for each kind of mistake.
TEST_CASE("loops verify: symbols and scopes") {
  CHECK(refused(R"(
out y0: f32[4]
parallel i0 < 4
  %0: f32 = 1.0
y0[0] = %0
)") == "verify: line 4, `y0[0] = %0`: a symbol is used where it is not in scope.");
  CHECK(refused(R"(
in x0: f32[4]
parallel i0 < 4
%0 = x0[i0]
)") == "verify: line 3, `%0 = x0[i0]`: a symbol is used where it is not in scope.");
  CHECK(refused(R"(
out y0: f32[4]
%0: f32 = 1.0
parallel i0 < 4
  y0[i0] = %0
)") == "verify: line 4, `y0[i0] = %0`: a symbol from outside is used in a parallel loop at the "
       "top; only buffers may be.");
  CHECK(refused(R"(
in x0: i32[4]
%0 = x0[0]
%1 = clip %0 0 3
parallel i0 < 4
  %2 = x0[%1]
)") == "verify: line 5, `%2 = x0[%1]`: a symbol from outside is used in a parallel loop at the "
       "top; only buffers may be.");
  CHECK(refused(R"(
serial i0 < 4
  local t0: f32[4]
%0 = t0[0]
)") == "verify: line 3, `%0 = t0[0]`: `t0` is local to another loop.");
  CHECK(refused(R"(
in x0: i32[4]
%0 = x0[0]
%1 = x0[%0]
)") == "verify: line 3, `%1 = x0[%0]`: a value is used as an index; `clip` makes an index of it.");
  CHECK(refused(R"(
%0: i32 = 1
%1 = clip %0 0 3
%2: i64 = neg %1
)") == "verify: line 3, `%2: i64 = neg %1`: an index is used as a value; `index` makes a value of "
       "it.");
  CHECK(refused(R"(
%0: f32 = 1.0
%1 = clip %0 0 3
)") == "verify: line 2, `%1 = clip %0 0 3`: `clip` takes an integer.");
  CHECK(refused(R"(
%0: i32 = 1
%1 = clip %0 0 -1
)") == "verify: line 2, `%1 = clip %0 0 -1`: `clip` into an empty range.");
  CHECK(refused(R"(
%0: bool = index 1
)") == "verify: line 1, `%0: bool = index 1`: an index is a number, not a bool.");

  Program p;
  p.next_sym = 1;
  p.body = {Const{0, Element::of(f32, 1)}, Const{0, Element::of(f32, 2)}};
  CHECK(refused(p) == "verify: line 2, `%1: f32 = 2.0`: it defines a symbol for the second time.");
  p.body = {Const{1, Element::of(f32, 1)}};
  CHECK(refused(p) == "verify: line 1, `%0: f32 = 1.0`: it defines a symbol beyond next_sym.");
  p.body = {Load{0, 7, {}}};
  CHECK(refused(p) == "verify: line 1, `%0 = ?7[0]`: there is no such buffer.");
}

TEST_CASE("loops verify: operations") {
  const std::string x = "%0: f32 = 1.0\n%1: f64 = 1.0\n%2: u32 = 1\n%3: bool = True\n";
  auto line5 = [&](const std::string& s) {
    const std::string m = refused(x + s + "\n"), start = "verify: line 5, `" + s + "`: ";
    return m.substr(0, start.size()) == start ? m.substr(start.size()) : m;
  };
  CHECK(line5("%4: f32 = add %0") == "add: takes 2 operands, has 1.");
  CHECK(line5("%4: f32 = add %0 %0 %0") == "add: takes 2 operands, has 3.");
  CHECK(line5("%4: f32 = add %0 %1").substr(0, 5) == "add: ");
  CHECK(line5("%4: bool = add %3 %3").substr(0, 5) == "add: ");
  CHECK(line5("%4: f64 = add %0 %0") == "the operation gives f32[].");
  CHECK(line5("%4: f32 = lt %0 %0") == "the operation gives bool[].");
  CHECK(line5("%4: f32 = select_n %0 %0 %0").substr(0, 10) == "select_n: ");
  CHECK(line5("%4: u32 = threefry2x32 %2 %2 %2 %2") == "threefry2x32: gives 2 results, not 1.");
  CHECK(line5("%4, %5: f32 = neg %0") == "neg: gives 1 result, not 2.");
  CHECK(line5("%4: f32 = reduce_sum %0") == "`reduce_sum` is no scalar operation.");
  CHECK(line5("%4: f32 = stop_gradient %0") == "`stop_gradient` is no scalar operation.");

  Program p;
  p.next_sym = 2;
  p.body = {Const{0, Element::of(f32, 1)}, let(1, nullptr, {})};
  CHECK(refused(p) == "verify: line 2, `%1: f32 = ?`: null is no scalar operation.");
  p.body[1] = let(1, &integer_pow_p, {0});
  CHECK(refused(p) == "verify: line 2, `%1: f32 = integer_pow %0`: the parameters are missing.");
}

TEST_CASE("loops verify: bounds") {
  auto load = [](const std::string& index) {
    const std::string m = refused(
        "in x0: i32[64]\nserial i0 < 8\n  %0 = x0[i0]\n  %1 = clip %0 -2 5\n"
        "  serial i1 < 3\n    %2 = x0[" +
        index + "]\n");
    const std::size_t at = m.find("`: ");
    return at == m.npos ? m : m.substr(at + 3);
  };
  CHECK(load("8*i0+i1") == "nothing was thrown");
  CHECK(load("-9*i0+63") == "nothing was thrown");
  CHECK(load("8*i0+%1+2") == "nothing was thrown");
  CHECK(load("8*i0+i1-1") == "index -1 to 57 of `x0`, which has 64 elements.");
  CHECK(load("8*i0+%1+4") == "index 2 to 65 of `x0`, which has 64 elements.");
  CHECK(load("-9*i0+62") == "index -1 to 62 of `x0`, which has 64 elements.");
  CHECK(load("64") == "index 64 to 64 of `x0`, which has 64 elements.");
  CHECK(load("9223372036854775807*i0-9223372036854775807*i1") ==
        "index -inf to inf of `x0`, which has 64 elements.");
  CHECK(refused(R"(
out y0: f32[7]
parallel i0 < 8
  %0: f32 = 1.0
  y0[i0] = %0
)") == "verify: line 4, `y0[i0] = %0`: index 0 to 7 of `y0`, which has 7 elements.");
  CHECK(refused(R"(
out y0: f32[7]
parallel i0 < 64 grain 8 chunk i1
  %0: f32 = 1.0
  y0[i1] += %0
)") == "verify: line 4, `y0[i1] += %0`: index 0 to 7 of `y0`, which has 7 elements.");
  CHECK(refused(R"(
in x0: f32[64]
out y0: f32[63]
call sort (x0: f32[64]) -> (y0: f32[64])
)") == "verify: line 3, `call sort (x0: f32[64]) -> (y0: f32[64])`: index 0 to 63 of "
       "`y0`, "
       "which has 63 elements.");
}

TEST_CASE("loops verify: stores") {
  auto store = [](const std::string& s) {
    const std::string m = refused(
        "in x0: f32[1]\nout y0: f32[1]\nout y1: bool[1]\nout y2: c64[1]\nconst c0: f32[1] = 1.0\n"
        "%0: f32 = 1.0\n%1: f64 = 1.0\n%2: bool = True\n%3: c64 = 1.0+0.0j\n" +
        s + "\n");
    const std::string start = "verify: line 10, `" + s + "`: ";
    return m.substr(0, start.size()) == start ? m.substr(start.size()) : m;
  };
  CHECK(store("y0[0] max= %0") == "nothing was thrown");
  CHECK(store("y1[0] |= %2") == "nothing was thrown");
  CHECK(store("y2[0] *= %3") == "nothing was thrown");
  CHECK(store("x0[0] = %0") == "`x0` cannot be stored into.");
  CHECK(store("c0[0] = %0") == "`c0` cannot be stored into.");
  CHECK(store("y0[0] = %1") == "a value of type f64 for a buffer of f32.");
  CHECK(store("y0[0] &= %0").substr(0, 5) == "and: ");
  CHECK(store("y1[0] += %2").substr(0, 5) == "add: ");
  CHECK(store("y2[0] max= %3") == "complex numbers have no max and min that combine.");
}

TEST_CASE("loops verify: loops and marks") {
  auto marked = [](const std::string& s) {
    const std::string m = refused(s + "\n");
    const std::size_t at = m.find("`: ");
    return at == m.npos ? m : m.substr(at + 3);
  };
  CHECK(marked("serial i0 < 0") == "a loop has at least one iteration.");
  CHECK(marked("parallel i0 < 9 lanes 0") ==
        "`lanes` is a positive multiple of the vectors in flight.");
  CHECK(marked("parallel i0 < 9 lanes 16 x3") ==
        "`lanes` is a positive multiple of the vectors in flight.");
  for (const char* m : {"lanes 8", "grain 3", "grid", "block", "thread"})
    CHECK(marked("serial i0 < 9 " + std::string(m)) ==
          "the iterations of a serial loop cannot be lanes, work items or threads.");
  CHECK(marked("parallel i0 < 9 lanes 8\n  serial i1 < 2\n    parallel i2 < 9 lanes 8") ==
        "lanes inside lanes.");
  CHECK(marked("parallel i0 < 9 lanes 8\nparallel i1 < 9 lanes 8") == "nothing was thrown");
  CHECK(marked("parallel i0 < 9 grain -1") == "`grain` is negative.");
  CHECK(marked("parallel i0 < 9 chunk i1") == "`chunk` without `grain`.");
  const std::string nested =
      "`grid`, `block` and `thread` are nested wrongly: only `thread` goes inside `block`.";
  CHECK(marked("parallel i0 < 9 block\n  parallel i1 < 9 thread") == "nothing was thrown");
  CHECK(marked("parallel i0 < 9 block\n  parallel i1 < 9 grid") == nested);
  CHECK(marked("parallel i0 < 9 thread\n  parallel i1 < 9 block") == nested);
  CHECK(marked("parallel i0 < 9 grid\n  parallel i1 < 9 thread") == nested);
}

TEST_CASE("loops verify: while and if") {
  CHECK(refused(R"(
while
  %0: f32 = 1.0
do %0
)") == "verify: line 1, `while`: the predicate is no bool.");
  CHECK(refused(R"(
%0: bool = True
while
do %0
)") == "verify: line 2, `while`: the condition does not define the predicate.");
  CHECK(refused(R"(
while
  parallel i0 < 2
    %0: bool = True
do %0
)") == "verify: line 1, `while`: a symbol is used where it is not in scope.");
  CHECK(refused(R"(
out y0: bool[1]
while
  %0: bool = True
do %0
  y0[0] = %0
)") == "verify: line 5, `y0[0] = %0`: a symbol is used where it is not in scope.");
  CHECK(refused(R"(
%0: i32 = 1
if %0
)") == "verify: line 2, `if %0`: the predicate is no bool.");
  CHECK(refused(R"(
out y0: bool[1]
%0: bool = True
if %0
  %1: bool = False
else
  y0[0] = %1
)") == "verify: line 6, `y0[0] = %1`: a symbol is used where it is not in scope.");
}

TEST_CASE("loops verify: calls") {
  auto call = [](const std::string& s) {
    const std::string m = refused("in x0: f32[64]\nin x1: i32[1]\nout y0: f32[64]\n" + s + "\n");
    const std::size_t at = m.find("`: ");
    return at == m.npos ? m : m.substr(at + 3);
  };
  CHECK(call("call cumsum (x0: f32[8,8]) -> (y0: f32[8,8])") == "nothing was thrown");
  CHECK(call("call cumsum (x0: i32[8,8]) -> (y0: f32[8,8])") ==
        "an operand of type i32[8,8] in a buffer of f32.");
  CHECK(call("call cumsum (x0: f32[8,8]) -> (y0: f32[64])") ==
        "result 0 is f32[8,8], not f32[64].");
  CHECK(call("call cumsum (x0: f32[]) -> (y0: f32[])").substr(0, 8) == "cumsum: ");
  CHECK(call("call cumsum (x0: f32[8]) -> (y0: f32[8], y0: f32[8])") ==
        "cumsum: gives 1 result, not 2.");
  CHECK(call("call cumsum () -> (y0: f32[8])") == "cumsum: takes 1 operand, has 0.");
  CHECK(call("call cumsum (y0: f32[8]) -> (x0: f32[8])") == "`x0` cannot be stored into.");
  CHECK(call("parallel i0 < 8 lanes 8\n  call cumsum (x0: f32[8]) -> (y0[8*i0]: f32[8])") ==
        "a call cannot run in lanes.");
  CHECK(call("call jit (x0: f32[8]) -> (y0: f32[8])") ==
        "jit: parameter jaxpr is missing or negative.");
  Program p;
  p.body.push_back(Call{});
  CHECK(refused(p) == "verify: line 1, `call ? () -> ()`: no primitive is called.");
  p.buffers.push_back(buffer(Buffer::Role::temp, "t0", 1));
  Call c;
  c.prim = &cumsum_p;
  c.in.resize(1);
  c.in[0].buffer = 0;
  p.body = {c};
  CHECK(refused(p) == "verify: line 2, `call cumsum (t0: ?) -> ()`: an operand has no type.");
}

TEST_CASE("loops verify: buffers") {
  using Role = Buffer::Role;
  auto with = [](std::vector<Buffer> b, int inputs = 0, int outputs = 0) {
    Program p;
    p.buffers = std::move(b);
    p.inputs = inputs;
    p.outputs = outputs;
    return refused(p);
  };
  CHECK(with({buffer(Role::temp, "t0", 3)}) == "nothing was thrown");
  for (const char* name : {"", "0t", "t 0", "while"})
    CHECK(with({buffer(Role::temp, name, 3)}) ==
          "verify: buffer `" + std::string(name) + "` has a name that is no word, or a keyword.");
  CHECK(with({buffer(Role::temp, "t0", 3), buffer(Role::temp, "t0", 3)}) ==
        "verify: buffer `t0` is declared twice.");
  for (std::int64_t size : {std::int64_t(-1), INT64_MAX})
    CHECK(with({buffer(Role::temp, "t0", size)}) == "verify: buffer `t0` has an impossible size.");
  CHECK(with({buffer(Role::input, "x0", 3, 0)}) ==
        "verify: buffer `x0` has the number of another buffer, or of no input.");
  CHECK(with({buffer(Role::output, "y0", 3, 0), buffer(Role::output, "y1", 3, 0)}, 0, 2) ==
        "verify: buffer `y1` has the number of another buffer, or of no output.");
  CHECK(with({buffer(Role::input, "x1", 3, 1)}, 2) == "verify: input 0 has no buffer.");
  CHECK(with({}, 0, 1) == "verify: output 0 has no buffer.");
  Buffer b = buffer(Role::constant, "c0", 2);
  CHECK(with({b}) == "verify: buffer `c0` has no value of its type and size.");
  b.value = Array(1.f);
  CHECK(with({b}) == "verify: buffer `c0` has no value of its type and size.");
  b = buffer(Role::temp, "t0", 2);
  b.offset = 4;
  CHECK(with({b}) == "verify: buffer `t0` does not lie in the arena.");
  b = buffer(Role::temp, "t0", 2);
  b.scope = 3;
  CHECK(with({b}) == "verify: buffer `t0` has a scope but is not local.");
  b.role = Role::local;
  CHECK(with({b}) == "verify: buffer `t0` is local to a loop that does not exist.");
  b = buffer(Role::output, "y0", 2, 0);
  b.donor = 0;
  const std::string donor = "verify: buffer `y0` has a donor that is no input of as many bytes.";
  CHECK(with({b}, 0, 1) == donor);
  CHECK(refused("in x0: f32[3]\nout y0: f32[4] donor x0\n") == donor);
  CHECK(refused("in x0: f32[4]\nout y0: f64[2] donor x0\n") == "nothing was thrown");
  CHECK(refused("temp t0: f32[4] @8\narena 23\n") ==
        "verify: buffer `t0` does not lie in the arena.");
  CHECK(refused("temp t0: f32[4] @6\narena 64\n") ==
        "verify: buffer `t0` does not lie in the arena.");
}

TEST_CASE("loops verify: iterations of parallel loops are independent") {
  auto body = [](const std::string& s, const std::string& declarations = "") {
    const std::string m =
        refused("in x0: f32[64]\nout y0: f32[64] donor x0\nout y1: f32[64]\n" + declarations + s);
    const std::size_t at = m.find("`: ");
    return at == m.npos ? m : m.substr(at + 3);
  };
  const std::string ok = "nothing was thrown", one = "  %0: f32 = 1.0\n";

  // Two stores.
  CHECK(body("parallel i0 < 8\n" + one + "  y1[i0] = %0\n") == ok);
  CHECK(body("parallel i0 < 1\n" + one + "  y1[0] = %0\n") == ok);
  CHECK(body("parallel i0 < 8\n" + one + "  y1[0] = %0\n") ==
        "two iterations of `parallel i0 < 8` store into one element.");
  CHECK(body("serial i0 < 8\n" + one + "  y1[0] = %0\n") == ok);
  CHECK(body("parallel i0 < 8\n" + one + "  y1[0] += %0\n") == ok);
  const std::string nest = "parallel i0 < 8\n  parallel i1 < 8\n    %0: f32 = 1.0\n    ";
  CHECK(body(nest + "y1[8*i0+i1] = %0\n") == ok);
  CHECK(body(nest + "y1[i0+8*i1] = %0\n") == ok);
  CHECK(body(nest + "y1[-8*i0-i1+63] = %0\n") == ok);
  CHECK(body(nest + "y1[i0+i1] = %0\n") ==
        "two iterations of `parallel i0 < 8` store into one element.");
  CHECK(body(nest + "y1[i1] = %0\n") ==
        "two iterations of `parallel i0 < 8` store into one element.");
  CHECK(body(nest + "y1[7*i0+i1] = %0\n") ==
        "two iterations of `parallel i0 < 8` store into one element.");
  CHECK(body("parallel i0 < 8\n" + one + "  y1[i0] = %0\n  y1[i0+8] = %0\n") == ok);
  CHECK(body("parallel i0 < 9\n" + one + "  y1[i0] = %0\n  y1[i0+8] = %0\n") ==
        "two iterations of `parallel i0 < 9` store into one element, the other in line 6.");
  CHECK(body("parallel i0 < 8\n" + one + "  y1[i0] += %0\n  y1[7] = %0\n") ==
        "two iterations of `parallel i0 < 8` store into one element.");
  CHECK(body("parallel i0 < 8\n  call cumsum (x0[8*i0]: f32[8]) -> (y1[8*i0]: f32[8])\n") == ok);
  CHECK(body("parallel i0 < 8\n  call cumsum (x0[8*i0]: f32[8]) -> (y1[7*i0]: f32[8])\n") ==
        "two iterations of `parallel i0 < 8` store into one element.");
  // A store into what belongs to the iteration; at an index from data; in a branch.
  CHECK(body("parallel i0 < 8\n  local t0: f32[1]\n" + one + "  t0[0] = %0\n") == ok);
  CHECK(body("parallel i0 < 8\n  local t0: f32[1]\n  parallel i1 < 8\n    %0: f32 = 1.0\n    t0[0] "
             "= %0\n") == "two iterations of `parallel i1 < 8` store into one element.");
  CHECK(body("parallel i0 < 8\n  %1: i32 = index i0\n  %2 = clip %1 0 9\n" + one +
             "  y1[%2] = %0\n") == ok);
  CHECK(body("parallel i0 < 8\n  %1: bool = True\n" + one + "  if %1\n    y1[0] = %0\n") == ok);

  // A store and a load.
  auto update = [&](const std::string& to, const std::string& from) {
    return body("parallel i0 < 8\n  %0 = y1[" + from + "]\n  y1[" + to + "] = %0\n");
  };
  const std::string reads =
      "one iteration of `parallel i0 < 8` loads what another stores in line 6.";
  CHECK(update("i0", "i0") == ok);
  CHECK(update("i0", "i0+8") == ok);
  CHECK(update("2*i0", "2*i0+1") == ok);
  CHECK(update("i0", "i0+7") == reads);
  CHECK(update("i0+1", "i0") == reads);
  CHECK(update("i0", "-i0+7") == reads);
  CHECK(update("i0", "3") == reads);
  CHECK(body("serial i0 < 8\n  %0 = y1[i0+1]\n  y1[i0] = %0\n") == ok);
  CHECK(body(nest + "y1[8*i0+i1] = %0\n  parallel i2 < 8\n    %1 = y1[8*i0+i2]\n") == ok);
  CHECK(body(nest + "y1[8*i0+i1] = %0\n  parallel i2 < 8\n    %1 = y1[8*i2+i0]\n") ==
        "one iteration of `parallel i0 < 8` loads what another stores in line 7.");
  CHECK(body(nest + "y1[8*i0+i1] = %0\n  parallel i2 < 8\n    %1 = y1[8*i0-i2+15]\n") ==
        "index 8 to 71 of `y1`, which has 64 elements.");
  CHECK(body("parallel i0 < 7\n  parallel i1 < 8\n    %0: f32 = 1.0\n    y1[8*i0+i1] = %0\n"
             "  parallel i2 < 8\n    %1 = y1[8*i0-i2+15]\n") ==
        "one iteration of `parallel i0 < 7` loads what another stores in line 7.");
  // A reduction is known behind its loop only.
  CHECK(body("parallel i0 < 8\n" + one + "  y1[0] += %0\n  %1 = y1[0]\n") ==
        "one iteration of `parallel i0 < 8` loads what another stores in line 6.");
  CHECK(body(nest + "y1[i0] += %0\n  %1 = y1[i0]\n") == ok);
  CHECK(
      body(
          "serial i1 < 3\n  parallel i0 < 8\n    %0: f32 = 1.0\n    y1[0] += %0\n  %1 = y1[0]\n") ==
      ok);

  // What may be one memory: an output and its donor, temporaries in the arena.
  CHECK(body("parallel i0 < 8\n  %0 = x0[i0]\n  y0[i0] = %0\n") == ok);
  CHECK(body("parallel i0 < 8\n  %0 = x0[i0+1]\n  y0[i0] = %0\n") == reads);
  CHECK(body("parallel i0 < 8\n  %0 = x0[i0+1]\n  y1[i0] = %0\n") == ok);
  const std::string temps =
      "temp t0: f32[8] @0\ntemp t1: f32[8] @0\ntemp t2: f32[8] @32\narena 64\n";
  CHECK(body("parallel i0 < 7\n  %0 = t0[i0]\n  t1[i0] = %0\n", temps) == ok);
  CHECK(body("parallel i0 < 7\n  %0 = t0[i0+1]\n  t2[i0] = %0\n", temps) == ok);
  CHECK(body("parallel i0 < 7\n  %0 = t0[i0+1]\n  t1[i0] = %0\n", temps) ==
        "one iteration of `parallel i0 < 7` loads what another stores in line 10.");
}
