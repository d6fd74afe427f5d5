// lane.cc -- the operations of lanes that are more than an instruction.
#include "backends/cpu/lane.h"
#include "backends/cpu/elementwise_internal.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::native {
namespace scalar = internal::scalar;
namespace {

using U16 = Lane<unsigned short>;
using U32 = Lane<unsigned int>;

thread_local Target* current = nullptr;

template <class T, class U>
Lane<T> scaled(Lane<T> p, Lane<U> k) {
  constexpr bool single = sizeof(T) == 4;
  if (current->scalef && p.v.lanes() == (single ? 16 : 8)) {
    const Lane<T> exponent(Lane<std::make_signed_t<U>>{k});
    const ir::Value args[] = {p.v, writer().widen(exponent.v, p.v.lanes()), p.v,
                              ir::integer(single ? ir::Kind::i16 : ir::Kind::i8, ~0ull),
                              ir::i32(4)};
    return Lane<T>(writer().intrinsic(
        single ? "llvm.x86.avx512.mask.scalef.ps.512" : "llvm.x86.avx512.mask.scalef.pd.512",
        p.v.type, args));
  }
  return scalar::scale<Lane<T>>(p, k);
}

// y where |x| is at most the bound, else what p's block kernel makes of x.
template <class T>
Lane<T> unless_huge(const Primitive& p, Lane<T> x, Lane<T> y) {
  Target& t = *current;
  ir::Writer& w = t.writer;
  const ir::Type type = x.v.type;
  ir::Value any = (fabs(x) > scalar::usual_bound<Lane<T>>()).v;
  if (type.lanes > 1)
    any = w.intrinsic("llvm.vector.reduce.or.v" + std::to_string(type.lanes) + "i1",
                      {ir::Kind::i1, 1}, {&any, 1});
  const std::string name = std::string("huge_") + p.name + name_of(type);
  if (t.functions.insert(name).second) {
    const ir::Type parameters[] = {type, {ir::Kind::pointer, 1}};
    w.begin(name, type, parameters, "internal");
    const ir::Value outer = std::exchange(t.runtime, w.parameter(1));
    const DType d = sizeof(T) == 4 ? DType::f32 : DType::f64;
    const Element in{d, {w.parameter(0)}};
    Element out{d};
    call_block(t, p, {}, {&in, 1}, {&out, 1});
    w.ret(out.v[0]);
    w.end();
    t.runtime = outer;
  }
  const ir::Label usual = w.current(), huge = w.label(), done = w.label();
  w.branch(any, huge, done);
  w.place(huge);
  const ir::Value args[] = {x.v, t.runtime};
  const ir::Value slow = w.call(name, type, args);
  w.branch(done);
  w.place(done);
  return Lane<T>(w.phi(type, {{y.v, usual}, {slow, huge}}));
}

}  // namespace

ir::Writer& writer() { return current->writer; }
Writing::Writing(Target& t) : outer_(std::exchange(current, &t)) {}
Writing::~Writing() { current = outer_; }

std::string name_of(ir::Type t) {
  static constexpr const char* names[] = {"i1", "i8", "i16", "i32", "i64", "f32", "f64", "ptr", ""};
  return std::string("_") + names[std::size_t(t.kind)] + "x" + std::to_string(t.lanes);
}

Lane<float> scale(Lane<float> p, Lane<unsigned int> k) { return scaled(p, k); }
Lane<double> scale(Lane<double> p, Lane<unsigned long long> k) { return scaled(p, k); }

Lane<float> compute(Lane<float16> x) {
  const U32 h = U32(U16(x.v));
  const U32 sign = (h & U32(0x8000)) << 16, magnitude = (h & U32(0x7fff)) << 13;
  const U32 finite = bitcast<U32>(bitcast<Lane<float>>(magnitude) * Lane<float>(0x1p112f));
  const U32 special = magnitude | U32(0x7f800000);
  return bitcast<Lane<float>>(sign | select(magnitude >= U32(0x0f800000), special, finite));
}
Lane<float16> to_float16(Lane<float> x) {
  const U32 u = bitcast<U32>(x), magnitude = u & U32(0x7fffffff);
  const U32 normal =
      (magnitude - U32(112u << 23) + U32(0xfff) + ((magnitude >> 13) & U32(1))) >> 13;
  const U32 tiny =
      bitcast<U32>(bitcast<Lane<float>>(magnitude) + Lane<float>(0.5f)) - U32(0x3f000000);
  const U32 nan = U32(0x7e00) | ((magnitude >> 13) & U32(0x3ff));
  const U32 large = select(magnitude > U32(0x7f800000), nan, U32(0x7c00));
  const U32 finite = select(magnitude >= U32(0x38800000), normal, tiny);
  const U32 bits = ((u >> 16) & U32(0x8000)) | select(magnitude >= U32(0x477ff000), large, finite);
  return Lane<float16>(U16(bits).v);
}
Lane<float> compute(Lane<bfloat16> x) { return bitcast<Lane<float>>(U32(U16(x.v)) << 16); }
Lane<bfloat16> to_bfloat16(Lane<float> x) {
  const U32 u = bitcast<U32>(x);
  const U32 nan = (u >> 16) | U32(0x40);
  const U32 rounded = (u + (U32(0x7fff) + ((u >> 16) & U32(1)))) >> 16;
  const U32 bits = select((u & U32(0x7fffffff)) > U32(0x7f800000), nan, rounded);
  return Lane<bfloat16>(U16(bits).v);
}

#define JAXPP_TRIGONOMETRIC(name)                                                               \
  Lane<float> name(Lane<float> x) { return unless_huge(name##_p, x, scalar::usual_##name(x)); } \
  Lane<double> name(Lane<double> x) { return unless_huge(name##_p, x, scalar::usual_##name(x)); }
JAXPP_TRIGONOMETRIC(sin)
JAXPP_TRIGONOMETRIC(cos)
JAXPP_TRIGONOMETRIC(tan)
#undef JAXPP_TRIGONOMETRIC

}  // namespace jaxpp::native
