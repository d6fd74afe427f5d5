// interpret_prepare.cc -- from the tree to instructions: one walk, with the facts of interpret_facts.h at hand.
//
// A value is a place.  Where nothing overwrites a buffer too early, a load is no instruction; where nobody looks, the
// instruction of a value writes it where the store wants it.  All others get registers, which are used again after the
// last use.  Addresses are affine in loop variables: one base for each part that a loop moves, stepped by the loop.
//
// Sums are what order and rounding matter for.  A fold of lanes goes into an Accumulator, added to its element after the
// outermost loop of which it is a reduction.  Rows that are added to one row, iteration after iteration, are first added
// to a partial sum, kFlush of them at a time.
#include "backends/loops/interpret_prepare.h"
#include <absl/container/flat_hash_map.h>
#include <algorithm>
#include <stdexcept>
#include "backends/loops/interpret_facts.h"
#include "jaxpp/core/trace.h"

namespace jaxpp::loops::interpret {
namespace {

constexpr std::int64_t kAlign = 64;
constexpr std::int64_t kLongestPartial = 1 << 16;  // elements
std::int64_t aligned(std::int64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }
std::int64_t bytes_of(const Buffer& b) { return b.size * std::int64_t(width(b.dtype)); }
bool fits(std::int64_t at) { return at == std::int32_t(at); }

// Registers of one region, of 1, 2, 4, 8 or 16 bytes an element.
class Registers {
 public:
  void start(std::int64_t lanes) {
    lanes_ = lanes;
    top_ = 0;
    for (auto& f : free_) f.clear();
  }
  std::int64_t take(std::size_t bytes) {
    auto& f = free_[index(bytes)];
    if (!f.empty()) {
      const std::int64_t at = f.back();
      f.pop_back();
      return at;
    }
    const std::int64_t at = top_;
    top_ += lanes_ == 1 ? std::max<std::int64_t>(std::int64_t(bytes), 8)
                        : aligned(lanes_ * std::int64_t(bytes));
    peak_ = std::max(peak_, top_);
    if (!fits(top_)) throw std::length_error("interpret: the values of a program need over 2 GB.");
    return at;
  }
  void give(std::size_t bytes, std::int64_t at) { free_[index(bytes)].push_back(std::int32_t(at)); }
  std::int64_t peak() const { return peak_; }

 private:
  static std::size_t index(std::size_t bytes) { return std::size_t(std::bit_width(bytes) - 1); }
  std::int64_t lanes_ = 1, top_ = 0, peak_ = 0;
  std::vector<std::int32_t> free_[5];
};

class Preparation {
 public:
  Preparation(const Program& p, bool poison) : f_(p), p_(p), poison_(poison) {}
  Prepared run();

 private:
  struct Value {
    Place place;
    bool row = false;
  };
  struct Memory {
    std::uint32_t base;
    std::int64_t at;
  };
  struct Flush {  // an accumulator, to be added to an element after the loop
    Place from;
    int buffer;
    const Affine* at;
  };
  struct Partial {  // stands for the row of a store
    const Store* store;
    Memory memory;
    Sym lane;
    std::int64_t extent;
  };
  struct Around {
    const Loop* loop;
    std::uint32_t variable;
    // Iterations that a step of the loop is.  0: all of them are one block, and nothing loops.
    std::int64_t block;
    std::vector<Walk> walks;
    std::vector<Flush> flushes;
  };

  // ---- Instructions
  Ins& emit(Code c) {
    Ins& i = out_.code.emplace_back();
    i.code = c;
    return i;
  }
  std::uint8_t count(bool wide) const { return wide ? count_ : 0; }
  std::uint32_t here() const { return std::uint32_t(out_.code.size()); }
  void emit_unary(UnaryLoop f, Place x, Place z, bool wide) {
    Ins& i = emit(wide ? Code::unary : Code::unary_one);
    i.unary = f, i.x = x, i.z = z, i.count = count(wide);
  }
  void emit_binary(BinaryLoop f, Value x, Value y, Place z, bool wide) {
    Ins& i = emit(wide ? Code::binary : Code::binary_one);
    i.binary = f, i.x = x.place, i.x_full = x.row, i.y = y.place, i.y_full = y.row;
    i.z = z, i.count = count(wide);
  }
  void emit_scatter(DType d, Value x, Place z, std::int64_t stride) {
    Ins& i = emit(Code::scatter);
    i.scatter = scatter_loop(d), i.x = x.place, i.x_full = x.row, i.z = z, i.a = stride;
    i.count = count_, i.masked = mask_.row, i.y = mask_.place;
  }
  void emit_iota(DType d, const Affine& at, std::int64_t step, Place z, bool wide) {
    const std::uint32_t first = sum(at.c, at, kLoops | kOnes);
    Ins& i = emit(Code::iota);
    i.iota = iota_loop(d), i.index = first, i.b = step, i.z = z, i.count = count(wide);
  }
  std::uint32_t emit_jump(Code c, Place x = {}) {
    emit(c).x = x;
    return here() - 1;
  }
  void land(std::uint32_t jump) { out_.code[jump].index = here(); }

  // ---- Places
  // Bytes from an element to the next.
  std::int64_t scale(int buffer) const {
    const auto b = std::size_t(buffer);
    return f_.scale[b] * std::int64_t(width(p_.buffers[b].dtype));
  }
  // Elements in memory, from lane to lane.
  std::int64_t stride(int buffer, const Affine& at) const {
    const auto b = std::size_t(buffer);
    return (f_.owned[b] ? 1 : 0) + at.coef(lane_) * f_.scale[b];
  }
  Place fixed(Memory m);
  std::uint32_t walk(Memory from, std::size_t loop, std::int64_t step);
  Place place(Memory m, std::int64_t bytes, const Affine& at);
  Place place(int buffer, const Affine& at) {
    return place(memory_[std::size_t(buffer)], scale(buffer), at);
  }
  enum : unsigned { kLoops = 1, kOnes = 2, kRowTerms = 4 };
  std::uint32_t sum(std::int64_t c, const Affine& at, unsigned which, std::int64_t k = 1);
  Place constant(const Element&);

  // ---- Registers
  Registers& registers(bool row) { return row ? rows_ : scalars_; }
  Place take(DType d, bool row, int last) {
    const std::int64_t at = registers(row).take(width(d));
    int& first = first_expiring_[std::size_t(last)];
    expiring_.push_back({row, std::uint8_t(width(d)), std::int32_t(at), first});
    first = int(expiring_.size()) - 1;
    return {row ? kRows : kScalars, std::int32_t(at)};
  }
  Place temporary(DType d) { return take(d, true, now()); }
  // Registers that are not needed after that position are free.
  void release(int up_to) {
    for (; released_ <= up_to; ++released_)
      for (int e = first_expiring_[std::size_t(released_)]; e >= 0;) {
        const Expiring& x = expiring_[std::size_t(e)];
        registers(x.row).give(x.bytes, x.at);
        e = x.next;
      }
  }
  int now() const { return position_ - 1; }
  Value value(Sym s) const {
    s = f_.root(s);
    return {places_[std::size_t(s)], f_[s].varying};
  }
  Place& result(Sym s, Place p) { return places_[std::size_t(s)] = p; }
  Place target(Sym s);
  bool used(Sym s) const { return f_[s].last >= 0; }

  // ---- Nodes
  void block(const Block&);
  void node(const Let&);
  void node(const Const&);
  void node(const Index&);
  void node(const Clip&);
  void node(const Load&);
  void node(const Store&);
  void node(const Loop&);
  void node(const While&);
  void node(const If&);
  void node(const Call&);
  void locals(Sym scope);
  bool count_of(std::int64_t n);
  void find_partials(const Loop&);
  void flush_partials(std::size_t first, const Loop&);
  struct RowIndex {
    Place row;
    std::int64_t k;
  };
  RowIndex row_index(int buffer, const Affine& at);
  void store_one(const Store&, Value);
  void store_row(const Store&, Value);
  void fold(const Store&, Value);
  BinaryLoop combining(Combine, DType) const;
  std::int64_t reordering(const While&, int position);

  Facts f_;
  const Program& p_;
  const bool poison_;
  Prepared out_;
  std::vector<Place> places_;   // by symbol
  std::vector<Memory> memory_;  // by buffer
  std::vector<int> loop_of_;    // by symbol: index into around_, of loop variables
  std::vector<Around> around_;
  std::vector<Partial> partials_;
  struct WalkKey {
    std::uint32_t base, loop;
    std::int64_t at, step;
    bool operator==(const WalkKey&) const = default;
    template <class H>
    friend H AbslHashValue(H h, const WalkKey& k) {
      return H::combine(std::move(h), k.base, k.loop, k.at, k.step);
    }
  };
  absl::flat_hash_map<WalkKey, std::uint32_t> walks_;
  Registers scalars_, rows_;
  struct Expiring {
    bool row;
    std::uint8_t bytes;
    std::int32_t at;
    int next;
  };
  std::vector<Expiring> expiring_;
  std::vector<int> first_expiring_;  // by position
  int position_ = 0, released_ = 0;
  std::int64_t locals_top_ = 0;
  std::uint32_t states_ = 0;
  Sym lane_ = kNone;
  std::uint8_t count_ = kBlock;
  int whiles_ = 0;  // around the current node, inside the block
  Value mask_;      // row: there is one
};

// ---- Places
Place Preparation::fixed(Memory m) {
  if (fits(m.at)) return {m.base, std::int32_t(m.at)};
  auto [it, fresh] = walks_.try_emplace({m.base, ~0u, m.at, 0}, out_.bases);
  if (fresh) out_.start.push_back({out_.bases++, m.base, m.at, 0});
  return {it->second, 0};
}
std::uint32_t Preparation::walk(Memory from, std::size_t loop, std::int64_t step) {
  Around& a = around_[loop];
  auto [it, fresh] = walks_.try_emplace({from.base, a.variable, from.at, step}, out_.bases);
  if (fresh) a.walks.push_back({out_.bases++, from.base, from.at, step});
  return it->second;
}
// The address of an element, so many bytes from the next one; of the first lane's where they differ.  Rows of indices are
// left out.
Place Preparation::place(Memory m, std::int64_t bytes, const Affine& at) {
  std::int64_t offset = at.c * bytes;
  SmallVec<std::pair<int, std::int64_t>, 8> loops;
  bool ones = false;
  for (const Affine::Term& t : at.terms)
    if (const int l = loop_of_[std::size_t(t.sym)]; l < 0)
      ones |= !f_[t.sym].varying;
    else if (around_[std::size_t(l)].block)
      loops.push_back(std::pair(l, t.k));
  if (!fits(offset) || loops.empty()) m.at += std::exchange(offset, 0);
  std::sort(loops.begin(), loops.end());
  for (auto [l, k] : loops)
    m = {walk(m, std::size_t(l), k * bytes * around_[std::size_t(l)].block), 0};
  m.at += offset;
  if (!ones) return fixed(m);
  const Place from = fixed(m);
  const std::uint32_t computed = sum(0, at, kOnes, bytes);
  Ins& i = emit(Code::address);
  i.x = from, i.index = computed, i.z = {out_.bases++, 0};
  return i.z;
}
std::uint32_t Preparation::sum(std::int64_t c, const Affine& at, unsigned which, std::int64_t k) {
  Sum s{c, std::uint32_t(out_.terms.size()), 0, 0, 0};
  for (const Affine::Term& t : at.terms)
    if (const int l = loop_of_[std::size_t(t.sym)];
        l >= 0 && (which & kLoops) && around_[std::size_t(l)].block) {
      out_.terms.push_back({t.k * k, around_[std::size_t(l)].variable, {}});
      ++s.variables;
    }
  auto others = [&](bool rows, std::uint32_t& count) {
    for (const Affine::Term& t : at.terms)
      if (loop_of_[std::size_t(t.sym)] < 0 && f_[t.sym].varying == rows) {
        out_.terms.push_back({t.k * k, 0, places_[std::size_t(t.sym)]});
        ++count;
      }
  };
  if (which & kOnes) others(false, s.ones);
  if (which & kRowTerms) others(true, s.rows);
  out_.sums.push_back(s);
  return std::uint32_t(out_.sums.size()) - 1;
}
Place Preparation::constant(const Element& e) {
  const Place p{kLiterals, std::int32_t(out_.literals.size())};
  out_.literals.insert(out_.literals.end(), e.bits.begin(), e.bits.end());
  return p;
}
Place Preparation::target(Sym s) {
  const Symbol& y = f_[s];
  if (y.into) return result(s, place(y.into->buffer, y.into->at));
  return result(s, take(y.dtype, y.varying, std::max(y.last, now())));
}

// ---- Nodes
void Preparation::block(const Block& nodes) {
  for (const Node& n : nodes) {
    release(position_++ - 1);
    std::visit([&](const auto& x) { node(x); }, n.v);
  }
}
void Preparation::node(const Const& c) {
  if (used(c.sym)) result(c.sym, constant(c.value));
}
void Preparation::node(const Let& l) {
  if (f_[l.sym].same != kNone) return;
  bool needed = false, wide = false;
  SmallVec<DType, 4> types;
  for (int i = 0; i < l.results; ++i) needed |= used(l.sym + i);
  if (!needed) return;
  for (Sym a : l.args) {
    types.push_back(f_[a].dtype);
    wide |= f_[f_.root(a)].varying;
  }
  const BlockOp op = block_op(*l.op, l.view(), {types.data(), types.size()}, l.dtype);
  if (!op)
    throw std::logic_error(std::string("interpret: `") + l.op->name + "` is no operation on " +
                           (types.empty() ? "nothing" : name(types[0])) + ".");
  if (l.results == 1) release(now());  // in place
  SmallVec<Place, 2> to;
  for (int i = 0; i < l.results; ++i) to.push_back(target(l.sym + i));
  switch (op.kind) {
    case BlockOp::Kind::none: break;
    case BlockOp::Kind::unary: emit_unary(op.unary, value(l.args[0]).place, to[0], wide); break;
    case BlockOp::Kind::binary:
      emit_binary(op.binary, value(l.args[0]), value(l.args[1]), to[0], wide);
      break;
    case BlockOp::Kind::general: {
      const std::uint32_t first = std::uint32_t(out_.places.size());
      for (Sym a : l.args) {
        out_.places.push_back(value(a).place);
        out_.full.push_back(value(a).row);
      }
      for (Place z : to) {
        out_.places.push_back(z);
        out_.full.push_back(true);
      }
      const std::uint32_t operands = std::uint32_t(l.args.size()), results = l.results;
      out_.most_operands = std::max(out_.most_operands, operands + results);
      Ins& i = emit(Code::general);
      i.index = std::uint32_t(out_.applications.size()), i.count = count(wide);
      out_.applications.push_back({op.general, op.params, first, operands, results});
    }
  }
}
void Preparation::node(const Index& x) {
  if (!used(x.sym)) return;
  const bool wide = f_[x.sym].varying;
  const std::int64_t step = x.at.coef(lane_);
  if (!f_.indexed(x.at, lane_)) {
    const Place z = target(x.sym);
    return emit_iota(x.dtype, x.at, wide ? step : 0, z, wide);
  }
  const bool convert = x.dtype != DType::i64;
  const Place z = convert ? temporary(DType::i64) : target(x.sym);
  const std::uint32_t terms = sum(x.at.c, x.at, kLoops | kOnes | kRowTerms);
  Ins& i = emit(Code::rows);
  i.index = terms, i.b = step, i.z = z, i.count = count_;
  if (convert) emit_unary(convert_loop(DType::i64, x.dtype), z, target(x.sym), true);
}
void Preparation::node(const Clip& c) {
  if (!used(c.sym)) return;
  const Value x = value(c.arg);
  const ClipLoop f = clip_loop(f_[c.arg].dtype);
  if (!f) throw std::logic_error("interpret: the argument of a clip is no integer.");
  release(now());
  const Place z = target(c.sym);
  Ins& i = emit(Code::clip);
  i.clip = f, i.x = x.place, i.z = z, i.a = c.lo, i.b = c.hi, i.count = count(x.row);
}
Preparation::RowIndex Preparation::row_index(int buffer, const Affine& at) {
  const std::int64_t k = f_.scale[std::size_t(buffer)];
  const Affine::Term* only = nullptr;
  int count = 0;
  for (const Affine::Term& t : at.terms)
    if (loop_of_[std::size_t(t.sym)] < 0 && f_[t.sym].varying) only = &t, ++count;
  if (count == 1) return {places_[std::size_t(only->sym)], only->k * k};
  const Place row = temporary(DType::i64);
  const std::uint32_t terms = sum(0, at, kRowTerms);
  Ins& i = emit(Code::rows);
  i.index = terms, i.z = row, i.count = count_;
  return {row, k};
}
void Preparation::node(const Load& l) {
  if (!used(l.sym)) return;
  const Symbol& y = f_[l.sym];
  const Reach reach = f_.reach(l.buffer, l.at, lane_);
  const Place x = place(l.buffer, l.at);
  const std::int64_t step = lane_ == kNone ? 0 : stride(l.buffer, l.at);
  switch (reach) {
    case Reach::one:
    case Reach::row:
      if (f_.stays(y, l.buffer, l.at, now()))
        result(l.sym, x);
      else
        emit_unary(copy_loop(y.dtype), x, target(l.sym), y.varying);
      break;
    case Reach::strided: {
      const Place z = target(l.sym);
      Ins& i = emit(Code::gather);
      i.gather = gather_loop(y.dtype), i.x = x, i.a = step, i.z = z, i.count = count_;
      break;
    }
    case Reach::indexed: {
      const RowIndex at = row_index(l.buffer, l.at);
      const Place z = target(l.sym);
      Ins& i = emit(Code::gather_at);
      i.gather_at = gather_at_loop(y.dtype), i.x = x, i.y = at.row, i.a = at.k, i.b = step;
      i.z = z, i.count = count_;
    }
  }
}

// ---- Stores
BinaryLoop Preparation::combining(Combine c, DType d) const {
  const DType types[] = {d, d};
  const BlockOp op = block_op(*combiner(c), {}, types, d);
  if (op.kind != BlockOp::Kind::binary)
    throw std::logic_error(std::string("interpret: `") + text(c) + "` is not defined on " +
                           name(d) + ".");
  return op.binary;
}
void Preparation::node(const Store& s) {
  if (f_[f_.root(s.value)].into == &s) return;
  const DType d = p_.buffers[std::size_t(s.buffer)].dtype;
  Value v = value(s.value);
  switch (f_.reach(s.buffer, s.at, lane_)) {
    case Reach::one: return store_one(s, v);
    case Reach::row: return store_row(s, v);
    case Reach::strided: {
      const Place z = place(s.buffer, s.at);
      const std::int64_t step = stride(s.buffer, s.at);
      if (s.combine != Combine::set) {
        const Place old = temporary(d);
        Ins& i = emit(Code::gather);
        i.gather = gather_loop(d), i.x = z, i.a = step, i.z = old, i.count = count_;
        emit_binary(combining(s.combine, d), {old, true}, v, old, true);
        v = {old, true};
      }
      return emit_scatter(d, v, z, step);
    }
    case Reach::indexed: {
      const Place z = place(s.buffer, s.at);
      const RowIndex at = row_index(s.buffer, s.at);
      Ins& i = emit(Code::scatter_at);
      i.scatter_at = scatter_at_loop(s.combine, d);
      i.x = v.place, i.x_full = v.row, i.z = z, i.y = at.row, i.a = at.k;
      i.b = stride(s.buffer, s.at), i.count = count_, i.masked = mask_.row, i.m = mask_.place;
    }
  }
}
// All lanes, or the only one, store to one element.
void Preparation::store_one(const Store& s, Value v) {
  const DType d = p_.buffers[std::size_t(s.buffer)].dtype;
  if (lane_ != kNone && s.combine != Combine::set) return fold(s, v);
  const Place z = place(s.buffer, s.at);
  if (s.combine != Combine::set) {
    emit_binary(combining(s.combine, d), {z, false}, v, z, false);
  } else if (!v.row) {
    emit_unary(copy_loop(d), v.place, z, false);
  } else {
    Ins& i = emit(Code::last);
    i.unary = copy_loop(d), i.x = v.place, i.z = z, i.count = count_;
    i.masked = mask_.row, i.y = mask_.place, i.a = std::int64_t(width(d));
  }
}
void Preparation::store_row(const Store& s, Value v) {
  const DType d = p_.buffers[std::size_t(s.buffer)].dtype;
  const auto partial = std::find_if(partials_.begin(), partials_.end(),
                                    [&](const Partial& x) { return x.store == &s; });
  const Place z = partial == partials_.end()
                      ? place(s.buffer, s.at)
                      : place(partial->memory, scale(s.buffer), Affine::of(lane_));
  if (s.combine == Combine::set) {
    if (mask_.row) return emit_scatter(d, v, z, 1);
    return emit_unary(v.row ? copy_loop(d) : fill_loop(d), v.place, z, true);
  }
  const Place to = mask_.row ? temporary(d) : z;
  emit_binary(combining(s.combine, d), {z, true}, v, to, true);
  if (mask_.row) emit_scatter(d, {to, true}, z, 1);
}
void Preparation::fold(const Store& s, Value v) {
  const DType d = p_.buffers[std::size_t(s.buffer)].dtype;
  if (!v.row) {
    const Place row = temporary(d);
    emit_unary(fill_loop(d), v.place, row, true);
    v = {row, true};
  }
  if (mask_.row) {
    const Place row = temporary(d);
    emit_unary(fill_loop(d), constant(identity(s.combine, d)), row, true);
    emit_scatter(d, v, row, 1);
    v = {row, true};
  }
  // A sum is added to its element after the outermost loop of which it is a reduction: nobody reads it before.
  std::size_t outermost = around_.size();
  bool computed = false;
  for (const Affine::Term& t : s.at.terms) computed |= loop_of_[std::size_t(t.sym)] < 0;
  if (accumulates(s.combine, d) && !computed)
    for (std::size_t i = around_.size(); i-- > 0;) {
      const Loop& l = *around_[i].loop;
      if (s.at.coef(l.var) || p_.buffers[std::size_t(s.buffer)].scope == l.var) break;
      if (l.order == Order::parallel && l.extent > 1) outermost = i;
    }
  const bool once = outermost + 1 == around_.size() && around_.back().block == 0 && !whiles_;
  if (outermost < around_.size() && !once) {
    const Place to{kSums, std::int32_t(out_.sum_bytes)};
    out_.sum_bytes += std::int64_t(sizeof(Accumulator));
    emit_unary(accumulate_loop(d), v.place, to, true);
    around_[outermost].flushes.push_back({to, s.buffer, &s.at});
  } else {
    const Place z = place(s.buffer, s.at);
    emit_unary(fold_loop(s.combine, d), v.place, z, true);
  }
}

// ---- Control
void Preparation::locals(Sym scope) {
  f_.each_local(scope, [&](int b) {
    const std::int64_t bytes = bytes_of(p_.buffers[std::size_t(b)]) * f_.scale[std::size_t(b)];
    memory_[std::size_t(b)] = {kLocals, locals_top_};
    if (poison_) {
      const Place z = fixed(memory_[std::size_t(b)]);
      Ins& i = emit(Code::poison);
      i.z = z, i.a = bytes;
    }
    locals_top_ += aligned(bytes);
  });
  out_.locals = std::max(out_.locals, locals_top_);
}
// Instructions that follow run for n lanes, always.  False: there are too many such numbers.
bool Preparation::count_of(std::int64_t n) {
  auto& counts = out_.counts;
  std::size_t k = kBlock + 1;
  while (k < counts.size() && counts[k] != n) ++k;
  if (k > 255) return false;
  if (k == counts.size()) counts.push_back(n);
  count_ = std::uint8_t(k);
  return true;
}
// The rows that the loops inside add to one row, iteration after iteration of l.
void Preparation::find_partials(const Loop& l) {
  if (lane_ != kNone || l.order != Order::parallel || l.extent < 2 * kFlush) return;
  for (const Node& n : l.body) {
    const Loop* row = n.as<Loop>();
    if (!row || row->extent > kLongestPartial || !f_.lanes[std::size_t(f_[row->var].def)]) continue;
    each_node(row->body, [&](const Node& inside) {
      const Store* s = inside.as<Store>();
      if (!s) return;
      const Buffer& b = p_.buffers[std::size_t(s->buffer)];
      if (!accumulates(s->combine, b.dtype) || s->at.coef(row->var) != 1) return;
      for (const Affine::Term& t : s->at.terms)
        if (t.sym != row->var && f_[t.sym].def >= f_[l.var].def) return;
      if (b.role == Buffer::Role::local && b.scope != kNone && f_[b.scope].def >= f_[l.var].def)
        return;
      const std::int64_t bytes = row->extent * std::int64_t(width(b.dtype));
      partials_.push_back({s, {kLocals, locals_top_}, row->var, row->extent});
      const Place z = fixed(partials_.back().memory);
      Ins& i = emit(Code::zero);
      i.z = z, i.a = bytes;
      locals_top_ += aligned(bytes);
    });
  }
  out_.locals = std::max(out_.locals, locals_top_);
}
void Preparation::flush_partials(std::size_t first, const Loop& l) {
  for (; partials_.size() > first; partials_.pop_back()) {
    const Partial p = partials_.back();
    const Store& s = *p.store;
    const DType d = p_.buffers[std::size_t(s.buffer)].dtype;
    const Place z = place(s.buffer, s.at + Affine::of(p.lane, -1)), x = fixed(p.memory);
    Ins& i = emit(Code::flush);
    i.binary = combining(s.combine, d), i.z = z, i.x = x, i.a = p.extent, i.b = l.extent;
    i.index = around_.back().variable, i.m.at = std::int32_t(width(d));
  }
}
void Preparation::node(const Loop& l) {
  const int position = now();
  if (l.extent == 0) {
    position_ = f_.ends[std::size_t(position)] + 1;
    return;
  }
  const std::int64_t lanes = f_.lanes[std::size_t(position)], top = locals_top_;
  const std::uint32_t variable = out_.variables++;
  const Sym chunk = l.marks.chunk != kNone && used(l.marks.chunk) ? l.marks.chunk : kNone;
  bool single = false;
  if (lanes) {
    lane_ = l.var;
    rows_.start(lanes);
    single = l.extent <= lanes && chunk == kNone && count_of(l.extent);
  }
  const std::size_t first_partial = partials_.size();
  find_partials(l);
  loop_of_[std::size_t(l.var)] = int(around_.size());
  around_.push_back({&l, variable, single ? 0 : std::max<std::int64_t>(lanes, 1), {}, {}});
  if (!single) emit(lanes ? Code::block_loop : Code::loop);
  const std::uint32_t body = here();
  if (chunk != kNone) {
    const Place z = target(chunk);
    Ins& i = emit(Code::chunk);
    i.index = variable, i.a = l.marks.grain, i.z = z;
  }
  locals(l.var);
  block(l.body);
  ++position_;
  flush_partials(first_partial, l);
  const Around done = std::move(around_.back());
  around_.pop_back();
  if (!single) {
    emit(lanes ? Code::block_next : Code::next);
    for (Ins* i : {&out_.code[body - 1], &out_.code.back()}) {
      i->index = body, i->a = l.extent, i->b = lanes, i->z.base = variable;
      i->x.base = std::uint32_t(out_.walks.size()), i->y.base = std::uint32_t(done.walks.size());
    }
    out_.walks.insert(out_.walks.end(), done.walks.begin(), done.walks.end());
  }
  locals_top_ = top;
  if (lanes) {
    lane_ = kNone;
    count_ = kBlock;
  }
  for (const Flush& w : done.flushes) {
    const Place z = place(w.buffer, *w.at);
    emit_unary(flush_loop(p_.buffers[std::size_t(w.buffer)].dtype), w.from, z, false);
  }
}
// What moves with the lanes of a while loop that reorders them.
std::int64_t Preparation::reordering(const While& w, int position) {
  if (!f_.reorders[std::size_t(position)]) return 0;
  Reordering r;
  for (Sym s : f_.moved[position])
    r.moving.push_back({places_[std::size_t(s)], std::uint32_t(width(f_[s].dtype))});
  std::vector<int> seen;
  auto see = [&](int buffer) {
    const auto b = std::size_t(buffer);
    if (!f_.owned[b] || std::find(seen.begin(), seen.end(), buffer) != seen.end()) return;
    seen.push_back(buffer);
    Memory m = memory_[b];
    for (std::int64_t i = 0; i < p_.buffers[b].size; ++i, m.at += scale(buffer))
      r.moving.push_back({fixed(m), std::uint32_t(width(p_.buffers[b].dtype))});
  };
  auto visit = [&](const Node& n) {
    if (auto* l = n.as<Load>()) see(l->buffer);
    if (auto* s = n.as<Store>()) see(s->buffer);
  };
  each_node(w.cond, visit);
  each_node(w.body, visit);
  const int end = f_.ends[std::size_t(position)];
  r.order = take(DType::i32, true, end);
  r.scratch = take(DType::c128, true, end);
  r.state = states_;
  states_ += 2;
  out_.reorderings.push_back(std::move(r));
  return std::int64_t(out_.reorderings.size());
}
void Preparation::node(const While& w) {
  const int position = now(), end = f_.ends[std::size_t(position)];
  const Value outer = mask_;
  const bool lanes = f_[f_.root(w.pred)].varying;
  std::int64_t reorder = 0;
  if (lanes) {
    const Place mask = take(DType::b1, true, end);
    reorder = reordering(w, position);
    Ins& i = emit(Code::mask_all);
    i.z = mask, i.masked = mask_.row, i.y = mask_.place, i.count = count_, i.a = reorder;
    mask_ = {mask, true};
  }
  const std::uint32_t top = here();
  ++whiles_;
  block(w.cond);
  ++position_;
  const std::uint32_t test =
      emit_jump(lanes ? Code::mask_while : Code::jump_unless, value(w.pred).place);
  out_.code[test].count = count(lanes);
  out_.code[test].x_full = lanes;
  out_.code[test].z = mask_.place;
  out_.code[test].a = reorder;
  block(w.body);
  out_.code[emit_jump(Code::jump)].index = top;
  land(test);
  mask_ = outer;
  --whiles_;
  ++position_;
}
void Preparation::node(const If& f) {
  const int end = f_.ends[std::size_t(now())];
  const Value outer = mask_, pred = value(f.pred);
  auto branch = [&](const Block& nodes, bool inverted) {
    const Place mask = take(DType::b1, true, end);
    const std::uint32_t test = emit_jump(Code::mask_if, pred.place);
    Ins& i = out_.code[test];
    i.z = mask, i.masked = outer.row, i.y = outer.place, i.a = inverted, i.count = count_;
    mask_ = {mask, true};
    block(nodes);
    land(test);
    mask_ = outer;
  };
  if (pred.row) {
    branch(f.body, false);
    if (!f.otherwise.empty()) branch(f.otherwise, true);
  } else {
    const std::uint32_t test = emit_jump(Code::jump_unless, pred.place);
    block(f.body);
    if (f.otherwise.empty()) {
      land(test);
    } else {
      const std::uint32_t over = emit_jump(Code::jump);
      land(test);
      block(f.otherwise);
      land(over);
    }
  }
  ++position_;
}
void Preparation::node(const Call& c) {
  if (lane_ != kNone) throw std::logic_error("interpret: a call inside a block of iterations.");
  CallInfo call{KernelCall(c), {}};
  for (auto* operands : {&c.in, &c.out})
    for (const Call::Operand& o : *operands) call.places.push_back(place(o.buffer, o.at));
  emit(Code::call).index = std::uint32_t(out_.calls.size());
  out_.calls.push_back(std::move(call));
}

Prepared Preparation::run() {
  places_.resize(f_.symbols.size());
  loop_of_.resize(f_.symbols.size(), -1);
  first_expiring_.resize(f_.ends.size() + 1, -1);
  memory_.resize(p_.buffers.size());
  scalars_.start(1);
  out_.first_input = out_.bases;
  out_.first_output = out_.first_input + std::uint32_t(p_.inputs);
  out_.bases = out_.first_output + std::uint32_t(p_.outputs);
  out_.temps = p_.arena;
  for (std::size_t i = 0; i < p_.buffers.size(); ++i) {
    const Buffer& b = p_.buffers[i];
    switch (b.role) {
      case Buffer::Role::input: memory_[i] = {out_.first_input + std::uint32_t(b.index), 0}; break;
      case Buffer::Role::output:
        memory_[i] = {out_.first_output + std::uint32_t(b.index), 0};
        break;
      case Buffer::Role::constant:
        memory_[i] = {out_.bases, 0};
        out_.constants.push_back({out_.bases++, b.value.data<char>()});
        break;
      case Buffer::Role::temp:
        if (b.offset >= 0) {
          memory_[i] = {kTemps, b.offset};
          out_.temps = std::max(out_.temps, b.offset + bytes_of(b));
        }
        break;
      case Buffer::Role::local: break;
    }
  }
  for (std::size_t i = 0; i < p_.buffers.size(); ++i)  // temps without a place get one of their own
    if (const Buffer& b = p_.buffers[i]; b.role == Buffer::Role::temp && b.offset < 0) {
      out_.temps = aligned(out_.temps);
      memory_[i] = {kTemps, out_.temps};
      out_.temps += bytes_of(b);
    }
  locals(kNone);
  block(p_.body);
  emit(Code::end);
  for (Reordering& r : out_.reorderings) r.state += out_.variables;
  out_.variables += states_;
  out_.scalars = scalars_.peak();
  out_.rows = rows_.peak();
  return std::move(out_);
}

}  // namespace

Prepared prepare(const Program& p, bool poison) { return Preparation(p, poison).run(); }

}  // namespace jaxpp::loops::interpret
