// elementwise.cc -- the table of generated forms, those with parameters, and the call of a block kernel for the rest.
#include <absl/container/flat_hash_map.h>
#include <algorithm>
#include "backends/cpu/elementwise_internal.h"
#include "backends/cpu/runtime.h"
#include "jaxpp/ops/params.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::native {
namespace {

namespace scalar = internal::scalar;
using internal::Params;
using ir::Kind, ir::Value;
using Elements = std::span<const Element>;

int lanes_of(Elements x) {
  int n = 1;
  for (const Element& e : x) n = std::max({n, e.v[0].lanes(), e.v[1] ? e.v[1].lanes() : 1});
  return n;
}
// The value of F for an element type: f(T()).  Complex types and types outside of the domain: false.
template <class F>
bool by_dtype(DType d, internal::Domain domain, F f) {
  return internal::by_dtype(d, [&](auto t) -> bool {
    constexpr DType D = dtype_of<decltype(t)>;
    return in_domain(domain, D) && f.template operator()<D>();
  });
}

// ---- Operations with parameters
template <DType From, DType To>
void convert_form(const Element* x, Element* z) {
  const auto v = stored<From>(*x);
  using V = decltype(stored<To>(*x));
  const V y = scalar::convert<V>(v);
  if constexpr (is_complex(To))
    *z = {To, {y.re.v, y.im.v}};
  else
    *z = {To, {y.v}};
}
constexpr auto kConversions = []<std::size_t... I>(std::index_sequence<I...>) {
  auto row = []<DType From>() { return Forms{convert_form<From, DType(I)>...}; };
  return std::array<Forms, kNumDTypes>{row.template operator()<DType(I)>()...};
}
(std::make_index_sequence<kNumDTypes>());

bool emit_convert(Params, DType to, Elements x, Element* z) {
  kConversions[std::size_t(x[0].dtype)][std::size_t(to)](x.data(), z);
  return true;
}
bool emit_integer_pow(Params p, DType d, Elements x, Element* z) {
  const std::int64_t y = p.as<PowParams>().y;
  return by_dtype(d, internal::Domain::Numeric, [&]<DType D>() {
    *z = element<D>(scalar::integer_pow(computed<D>(x[0]), y));
    return true;
  });
}
bool emit_round(Params p, DType d, Elements x, Element* z) {
  const bool to_even = p.as<RoundParams>().rounding_method == RoundingMethod::TO_NEAREST_EVEN;
  return by_dtype(d, internal::Domain::Float, [&]<DType D>() {
    if constexpr (is_float(D)) {
      const auto v = computed<D>(x[0]);
      *z = element<D>(to_even ? scalar::round_even(v) : scalar::round_away(v));
    }
    return true;
  });
}
bool emit_reduce_precision(Params p, DType d, Elements x, Element* z) {
  const auto& to = p.as<PrecisionParams>();
  return by_dtype(d, internal::Domain::Float, [&]<DType D>() {
    if constexpr (is_float(D))
      *z = {D, {scalar::reduce_precision(stored<D>(x[0]), to.exponent_bits, to.mantissa_bits).v}};
    return true;
  });
}
bool emit_clamp(Params, DType d, Elements x, Element* z) {
  return by_dtype(d, internal::Domain::Ordered, [&]<DType D>() {
    if constexpr (!is_complex(D))
      *z = element<D>(scalar::clamp(computed<D>(x[0]), computed<D>(x[1]), computed<D>(x[2])));
    return true;
  });
}
bool emit_select(Params, DType d, Elements x, Element* z) {
  ir::Writer& w = writer();
  Element chosen = x[1];
  for (std::size_t k = 2; k < x.size(); ++k) {
    const Value which = x[0].v[0];  // clamped: below 1 the first, above the last the last
    const Value c = which.kind() == Kind::i1
                        ? which
                        : w.compare("sge", which, ir::integer(which.kind(), k - 1));
    for (int part = 0; part < components(d); ++part)
      chosen.v[part] = w.select(c, x[k].v[part], chosen.v[part]);
  }
  *z = chosen;
  return true;
}
bool emit_same_bits(Params, DType d, Elements x, Element* z) {
  if (d == x[0].dtype) {
    *z = x[0];
    return true;
  }
  const Kind from = kind_of(x[0].dtype), to = kind_of(d);
  if (is_complex(d) || is_complex(x[0].dtype) || ir::bits(from) != ir::bits(to)) return false;
  *z = {d, {writer().cast("bitcast", x[0].v[0], to)}};
  return true;
}
bool emit_complex(Params, DType d, Elements x, Element* z) {
  *z = {d, {x[0].v[0], x[1].v[0]}};
  return true;
}
bool emit_real(Params, DType d, Elements x, Element* z) {
  *z = {d, {x[0].v[0]}};
  return true;
}
bool emit_imag(Params, DType d, Elements x, Element* z) {
  *z = {d, {x[0].v[1]}};
  return true;
}
bool emit_conj(Params, DType d, Elements x, Element* z) {
  *z = {d,
        {x[0].v[0],
         is_complex(x[0].dtype) ? writer().negate(x[0].v[1]) : ir::number(x[0].v[0].kind(), 0)}};
  return true;
}
bool emit_threefry(Params, DType d, Elements x, Element* z) {
  Lane<unsigned int> k[4];
  for (std::size_t i = 0; i < 4; ++i) k[i].v = x[i].v[0];
  scalar::threefry2x32(k[0], k[1], k[2], k[3]);
  z[0] = {d, {k[2].v}};
  z[1] = {d, {k[3].v}};
  return true;
}

// ---- The table
using Emit = bool (*)(Params, DType result, Elements x, Element* z);
struct Row {
  const FormRow* form = nullptr;
  Emit emit = nullptr;
  bool is_short = false;
};
using Table = absl::flat_hash_map<const Primitive*, Row>;
const Table& table() {
  static const Table& t = *[] {
    auto* rows = new Table{{&convert_element_type_p, {.emit = emit_convert}},
                           {&integer_pow_p, {.emit = emit_integer_pow, .is_short = true}},
                           {&round_p, {.emit = emit_round}},
                           {&reduce_precision_p, {.emit = emit_reduce_precision}},
                           {&clamp_p, {.emit = emit_clamp}},
                           {&select_n_p, {.emit = emit_select}},
                           {&bitcast_convert_type_p, {.emit = emit_same_bits}},
                           {&stop_gradient_p, {.emit = emit_same_bits}},
                           {&complex_p, {.emit = emit_complex}},
                           {&real_p, {.emit = emit_real}},
                           {&imag_p, {.emit = emit_imag}},
                           {&conj_p, {.emit = emit_conj}},
                           {&threefry2x32_p, {.emit = emit_threefry}}};
    for (auto forms : {unary_forms(), binary_forms(), compare_forms()})
      for (const FormRow& f : forms) rows->emplace(f.primitive, Row{&f, nullptr, f.is_short});
    return rows;
  }();
  return t;
}

// A form as a function of its own, once per module, and a call of it.
void call_form(Target& t, const FormRow& row, Form form, DType result, Elements x, Element* z) {
  ir::Writer& w = t.writer;
  const int lanes = lanes_of(x);
  ir::Type types[3];
  Value args[3];
  for (std::size_t k = 0; k < x.size(); ++k) {
    args[k] = w.widen(x[k].v[0], lanes);
    types[k] = args[k].type;
  }
  types[x.size()] = {Kind::pointer, 1};
  args[x.size()] = t.runtime;
  const ir::Type type{kind_of(result), lanes};
  const std::string name = std::string(row.primitive->name) + name_of(types[0]) +
                           (x[0].dtype == DType::bf16 ? "_bf16" : "");
  if (t.functions.insert(name).second) {
    w.begin(name, type, {types, x.size() + 1}, "internal");
    const Value outer = std::exchange(t.runtime, w.parameter(int(x.size())));
    Element in[2], out;
    for (std::size_t k = 0; k < x.size(); ++k) in[k] = {x[k].dtype, {w.parameter(int(k))}};
    form(in, &out);
    w.ret(w.widen(out.v[0], lanes));
    w.end();
    t.runtime = outer;
  }
  *z = {result, {w.call(name, type, {args, x.size() + 1})}};
}

}  // namespace

Kind kind_of(DType d) {
  return internal::by_dtype(d, [](auto t) {
    using T = decltype(t);
    if constexpr (is_complex_type<T>)
      return kind_of<typename T::value_type>();
    else
      return kind_of<T>();
  });
}

void BlockCall::run(void** x, std::int64_t n) const {
  SmallVec<bool, 8> full;
  for (int k = 0; k < operands; ++k) full.push_back(true);
  op.run({{x, std::size_t(operands)}, full.data(), x + operands}, n);
}

bool emit(Target& t, const Primitive& p, Params params, DType result, Elements x, Element* z) {
  const auto found = table().find(&p);
  if (found == table().end()) return false;
  const Row& row = found->second;
  const Form form = row.form ? row.form->forms[std::size_t(x[0].dtype)] : nullptr;
  if (!row.emit && !form) return false;
  const Writing writing(t);
  const bool contract = t.writer.contract;
  t.writer.contract = contract && row.is_short;
  bool done = true;
  if (row.emit)
    done = row.emit(params, result, x, z);
  else if (t.out_of_line && row.form->is_long && !is_complex(x[0].dtype))
    call_form(t, *row.form, form, result, x, z);
  else
    form(x.data(), z);
  t.writer.contract = contract;
  return done;
}

bool call_block(Target& t, const Primitive& p, Params params, Elements x, std::span<Element> z) {
  SmallVec<DType, 4> dtypes;
  for (const Element& e : x) dtypes.push_back(e.dtype);
  const internal::BlockOp op =
      internal::block_op(p, params, {dtypes.data(), dtypes.size()}, z[0].dtype);
  if (!op) return false;
  ir::Writer& w = t.writer;
  const int lanes = lanes_of(x);
  const ir::Type pointer{Kind::pointer, 1};
  const Value operands = w.stack(pointer, std::int64_t(x.size() + z.size()), 8);
  auto operand = [&](std::size_t k) {
    return w.address(operands, ir::i64(std::int64_t(k)), pointer);
  };
  // In memory as arrays are: bools are bytes, the parts of complex numbers are neighbours.
  auto in_memory = [&](DType d) { return ir::Type{memory_kind(d), components(d) * lanes}; };
  auto room = [&](const Element& e, std::size_t k) {
    const ir::Type type = in_memory(e.dtype);
    const Value at = w.stack(type, 1, 64);
    w.store(at, operand(k), 8);
    return at;
  };
  for (std::size_t k = 0; k < x.size(); ++k) {
    const Value at = room(x[k], k);
    const Value v = w.widen(x[k].v[0], lanes);
    if (is_bool(x[k].dtype)) {
      w.store(w.cast("zext", v, Kind::i8), at, 1);
    } else if (!is_complex(x[k].dtype)) {
      w.store(v, at, 1);
    } else if (lanes == 1) {
      w.store(v, at, 4);
      w.store(x[k].v[1], w.address(at, ir::i64(1), v.type), 4);
    } else {
      SmallVec<int, 32> order;
      for (int i = 0; i < lanes; ++i) order.push_back(i), order.push_back(lanes + i);
      w.store(w.shuffle(v, w.widen(x[k].v[1], lanes), {order.data(), order.size()}), at, 4);
    }
  }
  SmallVec<Value, 2> results;
  for (std::size_t k = 0; k < z.size(); ++k) results.push_back(room(z[k], x.size() + k));
  const Value f = w.load(pointer, w.address(t.runtime, ir::i64(kBlockSlot), pointer), 8);
  const Value args[] = {t.runtime, ir::i64(std::int64_t(t.blocks.size())), operands,
                        ir::i64(lanes)};
  t.blocks.push_back({op, int(x.size())});
  w.call(f, {Kind::nothing, 1}, args);
  for (std::size_t k = 0; k < z.size(); ++k) {
    const DType d = z[k].dtype;
    const ir::Type type = in_memory(d), part{type.kind, lanes};
    if (is_complex(d) && lanes == 1) {
      z[k].v[0] = w.load(part, results[k], 4);
      z[k].v[1] = w.load(part, w.address(results[k], ir::i64(1), part), 4);
      continue;
    }
    const Value v = w.load(type, results[k], 1);
    if (is_bool(d)) {
      z[k].v[0] = w.compare("ne", v, ir::integer(Kind::i8, 0));
    } else if (!is_complex(d)) {
      z[k].v[0] = v;
    } else {
      SmallVec<int, 16> even, odd;
      for (int i = 0; i < lanes; ++i) even.push_back(2 * i), odd.push_back(2 * i + 1);
      z[k].v[0] = w.shuffle(v, v, {even.data(), even.size()});
      z[k].v[1] = w.shuffle(v, v, {odd.data(), odd.size()});
    }
  }
  return true;
}

}  // namespace jaxpp::native
