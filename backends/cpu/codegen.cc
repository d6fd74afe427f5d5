#include "backends/cpu/codegen.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include "backends/cpu/codegen_function.h"
#include "backends/cpu/runtime.h"
#include "backends/host/frame.h"
#include "backends/loops/fusion.h"
#include "jaxpp/ops/params.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::native {

using ir::Kind;
using ir::Type;
using loops::kNone;

namespace {

constexpr std::size_t kApart = 1000;  // operations from which on nests are functions of their own
constexpr std::size_t kPeel = 48;  // operations of a body that is worth a second copy for its tail
constexpr int kElementary = 8;     // weight of what is long enough to be a function
constexpr std::size_t kMostInline =
    64;  // copies of them in one module: code generation takes longer and longer
constexpr std::size_t kModule =
    500;  // instructions that are worth a module: LLVM takes milliseconds for them
const Type kPointer{Kind::pointer, 1}, kNothing{Kind::nothing, 1}, kI64{Kind::i64, 1};

}  // namespace

Generator::Generator(const loops::Program& p, const Machine& m, bool contract)
    : p_(p), machine_(m), contract_(contract), intervals_(loops::intervals(p)) {
  held_.assign(p.buffers.size(), 1);
  // Locals of loops in lanes, and of loops inside of them.
  std::unordered_map<Sym, int> lanes_of;
  std::size_t operations = 0, elementary = 0;
  loops::each_node(p.body, [&](const loops::Node& n) {
    if (auto* let = n.as<loops::Let>()) {
      ++operations;
      elementary += loops::fusion::weight(*let->op) >= kElementary;
    }
    if (auto* c = n.as<loops::Const>()) numbers_[c->sym] = c;
    if (auto* l = n.as<loops::Loop>(); l && l->marks.lanes > 1) {
      lanes_of[l->var] = l->marks.lanes;
      loops::each_node(l->body, [&](const loops::Node& k) {
        if (auto* inner = k.as<loops::Loop>()) lanes_of[inner->var] = l->marks.lanes;
      });
    }
  });
  apart_ = operations > kApart;
  target_.scalef = m.avx512;
  target_.out_of_line = elementary > kMostInline;
  temps_.assign(p.buffers.size(), 0);
  constants_.assign(p.buffers.size(), 0);
  out_.arena = host::aligned(std::size_t(p.arena));
  for (std::size_t b = 0; b < p.buffers.size(); ++b) {
    const loops::Buffer& buffer = p.buffers[b];
    if (buffer.role == loops::Buffer::Role::constant) {
      constants_[b] = int(out_.constants.size());
      out_.constants.push_back(buffer.value);
    } else if (buffer.role == loops::Buffer::Role::temp) {
      temps_[b] = buffer.offset;
      if (buffer.offset < 0) {
        temps_[b] = std::int64_t(out_.arena);
        out_.arena += host::aligned(std::size_t(buffer.size) * width(buffer.dtype));
      }
    }
  }
  for (std::size_t b = 0; b < p.buffers.size(); ++b) {
    if (p.buffers[b].role != loops::Buffer::Role::local) continue;
    locals_[p.buffers[b].scope].push_back(int(b));
    if (auto it = lanes_of.find(p.buffers[b].scope); it != lanes_of.end()) held_[b] = it->second;
  }
  find_past_caches();
}

// ---- Functions
Generated Generator::run(std::size_t most_modules) {
  program();
  for (const Part& p : parts_) part(p);  // they have no parts themselves
  const std::string bits = std::to_string(8 * machine_.vector_bytes);
  const std::string attributes = "nounwind \"prefer-vector-width\"=\"" + bits +
                                 "\" \"min-legal-vector-width\"=\"" + bits + "\"";
  out_.scratch = std::size_t(program_scratch_ + part_scratch_);
  out_.modules =
      w_.modules(attributes, std::clamp(out_.instructions / kModule, std::size_t(1), most_modules));
  return std::move(out_);
}

void Generator::begin(std::string_view name, int parameters) {
  values_.resize(std::size_t(p_.next_sym));
  indices_.resize(std::size_t(p_.next_sym));
  for (Sym s : defined_) {
    values_[std::size_t(s)] = Element();
    indices_[std::size_t(s)] = V();
  }
  defined_.clear();
  bases_.assign(p_.buffers.size(), V());
  std::fill(std::begin(slots_), std::end(slots_), V());
  may_pass_.assign(p_.buffers.size(), V());
  orders_.clear();
  lanes_ = 1;
  lane_ = kNone;
  tail_ = mask_ = {};
  blend_ = false;
  const Type types[] = {kPointer, kPointer, kI64};
  w_.begin(name, Kind::nothing, {types, std::size_t(parameters)}, "");
  target_.runtime = w_.parameter(0);
}
void Generator::end() {
  if (std::any_of(may_pass_.begin(), may_pass_.end(), [](V v) { return bool(v); })) w_.fence();
  w_.ret();
  out_.instructions += w_.size();
  out_.longest = std::max(out_.longest, w_.size());
  w_.end();
}

// One function, or a row of them that leave what later ones need in the scratch memory: time and stack of code
// generation grow faster than the length of a function.
void Generator::program() {
  scratch_ = most_scratch_ = 0;
  const std::vector<std::size_t> cuts = segments();
  if (cuts.size() == 2) {
    begin("run", 2);
    for (int b : locals_[kNone]) bases_[std::size_t(b)] = allocate(p_.buffers[std::size_t(b)], 1);
    block(p_.body);
    end();
  } else {
    for (int b : locals_[kNone]) place_in_scratch(b);
    find_crossings(cuts);
    for (std::size_t k = 0; k + 1 < cuts.size(); ++k) {
      begin("segment" + std::to_string(k), 2);
      for (std::size_t i = cuts[k]; i < cuts[k + 1]; ++i) {
        std::visit([&](auto& x) { node(x); }, p_.body[i].v);
        leave_crossing(p_.body[i]);
      }
      end();
    }
    begin("run", 2);
    for (std::size_t k = 0; k + 1 < cuts.size(); ++k) {
      const V args[] = {w_.parameter(0), w_.parameter(1)};
      w_.call("segment" + std::to_string(k), kNothing, args);
    }
    end();
  }
  program_scratch_ = most_scratch_;
}

// A loop as a function of a chunk of its iterations.
void Generator::part(const Part& p) {
  const loops::Loop& l = *p.loop;
  scratch_ = most_scratch_ = 0;
  forks_ = false;
  begin(p.name, 3);
  for (const auto& [s, crossing] : p.captured) take(s, crossing);
  part_ = l.marks.grain ? &l : nullptr;
  times_ = p.times;
  if (part_)
    work_item(l, w_.parameter(2));
  else
    loop(l, ir::i64(0), ir::i64(l.extent));
  part_ = nullptr;
  end();
  part_scratch_ = std::max(part_scratch_, most_scratch_);
}
void Generator::work_item(const loops::Loop& l, V chunk) {
  if (l.marks.chunk != kNone) define_index(l.marks.chunk, chunk);
  const V from = w_.mul(chunk, ir::i64(l.marks.grain));
  V to = w_.add(from, ir::i64(l.marks.grain));
  if (l.extent % l.marks.grain) {
    const V last = ir::i64(l.extent);
    to = w_.select(w_.compare("slt", to, last), to, last);
  }
  loop(l, from, to);
}

void Generator::block(const loops::Block& b) {
  for (const loops::Node& n : b) std::visit([&](auto& x) { node(x); }, n.v);
}

// ---- Values
Element Generator::constant(const loops::Element& e) const {
  Element r{e.dtype, {}};
  const int bytes = int(width(e.dtype)) / components(e.dtype);
  const Kind k = kind_of(e.dtype);
  for (int c = 0; c < components(e.dtype); ++c) {
    std::uint64_t b = 0;
    std::memcpy(&b, e.bits.data() + c * bytes, std::size_t(bytes));
    r.v[c] = ir::integer(k, b);
  }
  return r;
}
void Generator::node(const loops::Const& c) { define(c.sym, constant(c.value)); }
void Generator::node(const loops::Let& l) {
  SmallVec<Element, 4> x;
  for (Sym s : l.args) x.push_back(value(s));
  Element z[2] = {{l.dtype, {}}, {l.dtype, {}}};
  w_.contract = contract_;
  if (!emit(target_, *l.op, l.view(), l.dtype, {x.data(), x.size()}, z) &&
      !call_block(target_, *l.op, l.view(), {x.data(), x.size()}, {z, l.results}))
    throw std::logic_error(std::string(l.op->name) + ": no way to compute an element");
  w_.contract = false;
  for (int i = 0; i < l.results; ++i) define(l.sym + i, z[i]);
}
void Generator::node(const loops::Index& n) {
  const loops::Interval range = loops::interval(n.at, intervals_);
  const bool small = range.lo >= INT32_MIN && range.hi <= INT32_MAX;
  const Kind k = small ? Kind::i32 : Kind::i64;
  V v = w_.cast("trunc", scalar_part(n.at), k);
  if (lanes_ > 1) {
    if (const std::int64_t stride = n.at.coef(lane_)) v = w_.add(v, w_.steps(k, lanes_, stride));
    for (const Affine::Term& t : n.at.terms) {
      V clip = index(t.sym);
      if (clip.lanes() == 1) continue;
      clip = w_.cast(ir::bits(k) > ir::bits(clip.kind()) ? "sext" : "trunc", clip, k);
      v = w_.add(v, w_.mul(clip, ir::integer(k, std::uint64_t(t.k))));
    }
  }
  const Element from[] = {{small ? DType::i32 : DType::i64, {v, {}}}};
  Element z{n.dtype, {}};
  if (from[0].dtype == n.dtype)
    z = from[0];
  else
    emit(target_, convert_element_type_p, ConvertParams{n.dtype}, n.dtype, from, &z);
  define(n.sym, z);
}
void Generator::node(const loops::Clip& c) {
  const Element& e = value(c.arg);
  V v = e.v[0];
  const bool plain = !is_unsigned(e.dtype);
  if (ir::bits(v.kind()) < 32) v = w_.cast(plain ? "sext" : "zext", v, Kind::i32);
  const int bits = ir::bits(v.kind());
  const bool was_unsigned = !plain && width(e.dtype) >= 4;
  // Bounds that the type does not have change nothing.
  const std::int64_t least = was_unsigned ? 0 : bits == 32 ? INT32_MIN : INT64_MIN;
  const std::int64_t most = was_unsigned && bits == 32 ? UINT32_MAX
                            : bits == 32               ? INT32_MAX
                                                       : INT64_MAX;
  const auto bound = [&](const char* op, std::int64_t b) {
    v = w_.intrinsic(op, {v, ir::integer(v.kind(), std::uint64_t(b))});
  };
  if (c.hi < most || was_unsigned) bound(was_unsigned ? "umin" : "smin", std::min(c.hi, most));
  if (c.lo > least) bound(was_unsigned ? "umax" : "smax", c.lo);
  if (v.lanes() == 1)
    v = w_.cast(was_unsigned ? "zext" : "sext", v, Kind::i64);
  else if (was_unsigned && bits == 32 && c.hi > INT32_MAX)
    v = w_.cast("zext", v, Kind::i64);
  define_index(c.sym, v);
}

// ---- Memory
void Generator::node(const loops::Load& l) {
  settle(l.buffer);
  if (const std::optional<Element> e = load_cheaply(l)) return define(l.sym, *e);
  define(l.sym, load(l.buffer, place(l.buffer, l.at)));
}
void Generator::node(const loops::Store& s) {
  const Element& e = value(s.value);
  if (s.combine == Combine::set && postpone(s, e)) return;
  settle(s.buffer);
  if (s.combine == Combine::set) return store(s.buffer, place(s.buffer, s.at), e, mask_);
  if (accumulate(s, e)) return;
  const Place at = place(s.buffer, s.at);
  if (held(s.buffer) == 1 && lanes_ > 1) {
    if (at.lanes) return combine_lane_after_lane(s.buffer, at, s.combine, e, mask_);
    if (at.uniform()) {  // a reduction over the lanes, into a place that is read meanwhile
      Element x = widened(e, lanes_);
      if (mask_) x = selected(mask_, x, widened(identity(s.combine, e.dtype), lanes_));
      x = horizontal(s.combine, x);
      return store(s.buffer, at, combined(s.combine, load(s.buffer, at), x), {});
    }
  }
  store(s.buffer, at, combined(s.combine, load(s.buffer, at), e), mask_);
}

// ---- Loops
void Generator::node(const loops::Loop& l) {
  const std::int64_t grain = l.marks.grain;
  const bool cut = grain && grain < l.extent;
  if ((cut || (apart_ && depth_ == 0)) && can_be_part(l)) return work_items(l);
  if (cut && l.marks.chunk != kNone)
    return repeat(ir::i64(0), ir::i64((l.extent + grain - 1) / grain), 1, true,
                  [&](V chunk) { work_item(l, chunk); });
  loop(l, ir::i64(0), ir::i64(l.extent));
}
// Where it runs once at a time, and all memory that it shares with what is around it can be reached from any function.
bool Generator::can_be_part(const loops::Loop& l) const {
  if (!forks_ || l.order != loops::Order::parallel) return false;
  std::unordered_set<Sym> inside{l.var};
  loops::each_node(l.body, [&](const loops::Node& n) {
    if (auto* k = n.as<loops::Loop>()) inside.insert(k->var);
  });
  bool reachable = true;
  const auto see = [&](int buffer) {
    const loops::Buffer& b = p_.buffers[std::size_t(buffer)];
    reachable &= b.role != loops::Buffer::Role::local || inside.count(b.scope);
  };
  loops::each_node(l.body, [&](const loops::Node& n) {
    if (auto* load = n.as<loops::Load>()) see(load->buffer);
    if (auto* store = n.as<loops::Store>()) see(store->buffer);
    if (auto* call = n.as<loops::Call>())
      for (auto* operands : {&call->in, &call->out})
        for (auto& o : *operands) see(o.buffer);
  });
  return reachable;
}
void Generator::work_items(const loops::Loop& l) {
  const std::int64_t chunks = l.marks.grain ? (l.extent + l.marks.grain - 1) / l.marks.grain : 1;
  parts_.push_back({"part" + std::to_string(parts_.size()), &l, leave_captured(l), times_});
  const V part = w_.function(parts_.back().name);
  if (chunks == 1) {
    const V scratch = w_.address(w_.parameter(1), ir::i64(scratch_), {Kind::i8, 1});
    const V args[] = {w_.parameter(0), scratch, ir::i64(0)};
    w_.call(part, kNothing, args);
    return;
  }
  out_.parallel = true;
  const V args[] = {w_.parameter(0), part, ir::i64(chunks)};
  w_.call(slot(kParallelSlot), kNothing, args);
}

void Generator::loop(const loops::Loop& l, V from, V to) {
  ++depth_;
  const bool forks = std::exchange(forks_, forks_ && l.order == loops::Order::serial);
  const double times = times_;
  if (!l.marks.unroll) times_ *= std::ceil(double(l.extent) / l.marks.lanes);
  const std::int64_t scratch = scratch_;
  if (auto it = locals_.find(l.var); it != locals_.end())
    for (int b : it->second) bases_[std::size_t(b)] = allocate(p_.buffers[std::size_t(b)], held(b));
  if (l.marks.lanes > 1)
    lane_loop(l, from, to);
  else
    scalar_loop(l, from, to);
  scratch_ = scratch;
  times_ = times;
  forks_ = forks;
  --depth_;
}
void Generator::scalar_loop(const loops::Loop& l, V from, V to) {
  if (l.marks.unroll && from.is_number()) {
    for (std::int64_t i = 0; i < l.extent; ++i) {
      define_index(l.var, ir::i64(i));
      block(l.body);
    }
    return;
  }
  // Where lanes run inside of a While or an If, what they combine is masked there.
  const Opened opened = l.extent > 1 ? open_accumulators(l) : Opened();
  aside([&] {
    repeat(from, to, 1, l.extent > 1, [&](V i) {
      define_index(l.var, i);
      aside([&] { block(l.body); });
    });
  });
  close_accumulators(opened);
}

namespace {
std::size_t size_of(const loops::Block& b) {
  std::size_t n = 0;
  loops::each_node(b, [&](const loops::Node& x) {
    if (auto* l = x.as<loops::Let>())
      n += std::size_t(loops::fusion::weight(*l->op));
    else
      n += 1;
    if (auto* l = x.as<loops::Loop>()) n += l->marks.unroll ? kPeel : 1;
  });
  return n;
}
}  // namespace

void Generator::lane_loop(const loops::Loop& l, V from, V to) {
  lanes_ = l.marks.lanes;
  lane_ = l.var;
  lanes_apart_ =
      from.is_number() ? from.bits % std::uint64_t(lanes_) == 0 : l.marks.grain % lanes_ == 0;
  const std::int64_t n = l.extent, lanes = lanes_;
  const Opened opened = open_accumulators(l);
  if (times_ >= double(loops::kLongRun)) find_records(l);
  const auto body = [&](V i) {
    define_index(l.var, i);
    aside([&] { block(l.body); });
  };
  const auto masked_body = [&](V i) {
    const V left = w_.cast("trunc", w_.sub(to, i), Kind::i32);
    tail_ = mask_ = w_.compare("slt", w_.steps(Kind::i32, lanes_, 1), left);
    whole_ = w_.compare("sge", left, ir::i32(lanes_));
    left_ = w_.intrinsic("smin", {left, ir::i32(lanes_)});
    body(i);
    tail_ = mask_ = whole_ = left_ = {};
  };
  if (n % lanes == 0) {
    repeat(from, to, lanes, n > lanes, body);
  } else if (n > 4 * lanes && size_of(l.body) <= kPeel) {
    // Whole vectors, then the rest under a mask.
    const V whole = w_.binary("and", w_.sub(to, from), ir::i64(-lanes));
    const bool power = (lanes & (lanes - 1)) == 0;
    const V end = power ? w_.add(from, whole) : V{};
    if (from.is_number() && to.is_number()) {
      const std::int64_t last = n / lanes * lanes;
      repeat(from, ir::i64(last), lanes, true, body);
      masked_body(ir::i64(last));
    } else {
      const ir::Label start = w_.label(), tail = w_.label(), rest = w_.label(), done = w_.label();
      w_.branch(w_.compare("sgt", end, from), start, tail);
      w_.place(start);
      repeat(from, end, lanes, true, body);
      w_.place(tail);
      w_.branch(w_.compare("slt", end, to), rest, done);
      w_.place(rest);
      masked_body(end);
      w_.place(done);
    }
  } else {
    repeat(from, to, lanes, n > lanes, masked_body);
  }
  records_.clear();
  lanes_ = 1;
  lane_ = kNone;
  // What was joined behind the loop is one element again.
  close_accumulators(opened);
}

// ---- Control
ir::Value Generator::any(V mask) {
  if (mask.lanes() == 1) return mask;
  const V args[] = {mask};
  return w_.intrinsic("llvm.vector.reduce.or.v" + std::to_string(mask.lanes()) + "i1",
                      {Kind::i1, 1}, args);
}
void Generator::node(const loops::While& n) {
  const ir::Label head = w_.label(), body = w_.label(), done = w_.label();
  const V outer = mask_;
  const bool blend = blend_;
  const double times = std::exchange(times_, times_ * loops::kWhileTrips);
  V active;
  const Type on{Kind::i1, lanes_};
  if (lanes_ > 1) {
    active = w_.stack(on, 1, 8);
    w_.store(mask_ ? mask_ : w_.all_true(lanes_), active, 8);
  }
  ++depth_;
  settle();
  w_.place(head);
  if (active) {
    mask_ = w_.load(on, active, 8);
    blend_ = true;
  }
  aside([&] { block(n.cond); });
  V go = value(n.pred).v[0];
  if (active) {
    mask_ = w_.binary("and", mask_, w_.widen(go, lanes_));
    w_.store(mask_, active, 8);
    go = any(mask_);
  }
  w_.branch(go, body, done);
  w_.place(body);
  aside([&] { block(n.body); });
  w_.branch(head);
  w_.place(done);
  mask_ = outer;
  blend_ = blend;
  times_ = times;
  --depth_;
}
void Generator::node(const loops::If& n) {
  const V pred = value(n.pred).v[0];
  settle();
  const V outer = mask_;
  const bool blend = blend_;
  ++depth_;
  const auto branch = [&](V condition, V mask, const loops::Block& b) {
    if (b.empty()) return;
    const ir::Label go = w_.label(), rest = w_.label();
    w_.branch(condition, go, rest);
    w_.place(go);
    mask_ = mask;
    aside([&] { block(b); });
    mask_ = outer;
    w_.place(rest);
  };
  if (pred.lanes() == 1) {
    if (n.otherwise.empty()) {
      branch(pred, outer, n.body);
    } else {
      const ir::Label yes = w_.label(), no = w_.label(), done = w_.label();
      w_.branch(pred, yes, no);
      w_.place(yes);
      aside([&] { block(n.body); });
      w_.branch(done);
      w_.place(no);
      aside([&] { block(n.otherwise); });
      w_.place(done);
    }
  } else {
    blend_ = true;
    const V yes = both(outer, pred),
            no = both(outer, w_.binary("xor", pred, ir::integer(Kind::i1, 1)));
    branch(any(yes), yes, n.body);
    if (!n.otherwise.empty()) branch(any(no), no, n.otherwise);
  }
  blend_ = blend;
  --depth_;
}

void Generator::node(const loops::Call& c) {
  settle();
  const std::size_t n = c.in.size() + c.out.size();
  const V operands = w_.stack({Kind::pointer, 1}, std::int64_t(std::max<std::size_t>(n, 1)), 8);
  std::int64_t k = 0;
  for (auto* list : {&c.in, &c.out})
    for (const loops::Call::Operand& o : *list) {
      const DType d = p_.buffers[std::size_t(o.buffer)].dtype;
      const V at =
          w_.address(base(o.buffer), w_.mul(scalar_part(o.at), ir::i64(std::int64_t(width(d)))),
                     {Kind::i8, 1});
      w_.store(at, w_.address(operands, ir::i64(k++), kPointer), 8);
    }
  const V args[] = {w_.parameter(0), ir::i64(std::int64_t(out_.calls.size())), operands};
  w_.call(slot(kCallSlot), kNothing, args);
  out_.calls.push_back(&c);
}

Generated generate(const loops::Program& p, const Machine& m, bool contract,
                   std::size_t most_modules) {
  return Generator(p, m, contract).run(most_modules);
}

}  // namespace jaxpp::native
