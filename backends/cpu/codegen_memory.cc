// codegen_memory.cc -- addresses; loads and stores of elements, in lanes and apart.
#include "backends/cpu/codegen_function.h"
#include "backends/host/frame.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::native {
namespace {

using ir::Kind;
using ir::Type;

int component_bytes(DType d) { return int(width(d)) / components(d); }
constexpr std::int64_t kOnStack = 2048;  // bytes of a local; larger ones lie in the scratch memory
constexpr std::int64_t kAlign = 64;

}  // namespace

int Generator::held(int buffer) const { return held_[std::size_t(buffer)]; }

// ---- Buffers
ir::Value Generator::allocate(const loops::Buffer& b, int lanes) {
  const Type t{memory_kind(b.dtype), lanes};
  const std::int64_t count = b.size * components(b.dtype);
  const std::int64_t bytes = count * lanes * component_bytes(b.dtype);
  if (bytes <= kOnStack) return w_.stack(t, count, int(kAlign));
  const std::int64_t at = take_scratch(bytes);
  w_.enter_entry();
  const V r = w_.address(w_.parameter(1), ir::i64(at), {Kind::i8, 1});
  w_.leave_entry();
  return r;
}
std::int64_t Generator::take_scratch(std::int64_t bytes) {
  const std::int64_t at = scratch_;
  scratch_ += std::int64_t(host::aligned(std::size_t(bytes)));
  most_scratch_ = std::max(most_scratch_, scratch_);
  return at;
}
void Generator::place_in_scratch(int buffer) {
  const loops::Buffer& b = p_.buffers[std::size_t(buffer)];
  temps_[std::size_t(buffer)] = take_scratch(b.size * std::int64_t(width(b.dtype)));
}
ir::Value Generator::base(int buffer) {
  V& v = bases_[std::size_t(buffer)];
  if (v) return v;
  const loops::Buffer& b = p_.buffers[std::size_t(buffer)];
  const bool nested = w_.in_entry();
  if (!nested) w_.enter_entry();
  const auto from_table = [&](Slot table, std::int64_t k) {
    return w_.load({Kind::pointer, 1}, w_.address(slot(table), ir::i64(k), {Kind::pointer, 1}), 8);
  };
  switch (b.role) {
    case loops::Buffer::Role::local:  // of the program, in scratch memory
      v = w_.address(w_.parameter(1), ir::i64(temps_[std::size_t(buffer)]), {Kind::i8, 1});
      break;
    case loops::Buffer::Role::input: v = from_table(kInSlot, b.index); break;
    case loops::Buffer::Role::output: v = from_table(kOutSlot, b.index); break;
    case loops::Buffer::Role::constant:
      v = from_table(kConstantsSlot, constants_[std::size_t(buffer)]);
      break;
    default: v = w_.address(slot(kArenaSlot), ir::i64(temps_[std::size_t(buffer)]), {Kind::i8, 1});
  }
  if (!nested) w_.leave_entry();
  return v;
}
ir::Value Generator::slot(Slot s) {
  V& v = slots_[s];
  if (v) return v;
  const bool nested = w_.in_entry();
  if (!nested) w_.enter_entry();
  v = w_.load({Kind::pointer, 1}, w_.address(w_.parameter(0), ir::i64(s), {Kind::pointer, 1}), 8);
  if (!nested) w_.leave_entry();
  return v;
}

// ---- Past the caches
// A store of a part of a line reads the line first, and a line that is written must leave the cache later.  What is
// larger than the cache gains nothing by its way through it.
void Generator::find_past_caches() {
  past_caches_.assign(p_.buffers.size(), false);
  if (!machine_.cache_bytes) return;
  for (std::size_t b = 0; b < p_.buffers.size(); ++b) {
    const loops::Buffer& buffer = p_.buffers[b];
    past_caches_[b] = buffer.role == loops::Buffer::Role::output &&
                      std::size_t(buffer.size) * width(buffer.dtype) >= machine_.cache_bytes;
  }
  const auto is_read = [&](int buffer) { past_caches_[std::size_t(buffer)] = false; };
  loops::each_node(p_.body, [&](const loops::Node& n) {
    if (auto* load = n.as<loops::Load>()) is_read(load->buffer);
    if (auto* store = n.as<loops::Store>())
      if (store->combine != Combine::set) is_read(store->buffer);
    if (auto* call = n.as<loops::Call>())
      for (auto* list : {&call->in, &call->out})
        for (const loops::Call::Operand& o : *list) is_read(o.buffer);
  });
}
bool Generator::past_caches(int buffer, const Affine& a) const {
  if (!past_caches_[std::size_t(buffer)] || !lanes_apart_) return false;
  const std::int64_t element = std::int64_t(width(p_.buffers[std::size_t(buffer)].dtype));
  const auto starts_register = [&](std::int64_t k) {
    return k * element % machine_.vector_bytes == 0;
  };
  for (const Affine::Term& t : a.terms)
    if (!starts_register(t.sym == lane_ ? lanes_ * t.k : t.k)) return false;
  return starts_register(a.c);
}
ir::Value Generator::may_pass_caches(int buffer) {
  V& v = may_pass_[std::size_t(buffer)];
  if (v) return v;
  w_.enter_entry();
  const V at = base(buffer);
  const V low =
      w_.binary("and", w_.cast("ptrtoint", at, Kind::i64), ir::i64(machine_.vector_bytes - 1));
  v = w_.compare("eq", low, ir::i64(0));
  // What takes over the memory of an argument is in the cache: its lines have just been read.
  const int donor = p_.buffers[std::size_t(buffer)].donor;
  for (std::size_t b = 0; b < p_.buffers.size(); ++b)
    if (p_.buffers[b].role == loops::Buffer::Role::input && p_.buffers[b].index == donor)
      v = w_.binary("and", v, w_.compare("ne", at, base(int(b))));
  w_.leave_entry();
  return v;
}

// ---- Places
ir::Value Generator::scalar_part(const Affine& a) {
  V sum = ir::i64(a.c);
  for (const Affine::Term& t : a.terms) {
    const V v = index(t.sym);
    if (v.lanes() == 1) sum = w_.add(w_.mul(v, ir::i64(t.k)), sum);
  }
  return sum;
}
Generator::Place Generator::place(int buffer, const Affine& a) {
  Place r;
  r.scalar = scalar_part(a);
  if (lanes_ == 1) return r;
  r.stride = a.coef(lane_);
  r.past_caches = past_caches(buffer, a);
  for (const Affine::Term& t : a.terms) {
    V v = index(t.sym);
    if (v.lanes() == 1) continue;
    const loops::Buffer& b = p_.buffers[std::size_t(buffer)];
    const std::int64_t reach = b.size * components(b.dtype) * held(buffer);
    const Kind k = reach < (std::int64_t(1) << 31) && v.kind() == Kind::i32 ? Kind::i32 : Kind::i64;
    v = w_.cast("sext", v, k);
    v = w_.mul(v, ir::integer(k, std::uint64_t(t.k)));
    if (r.lanes && r.lanes.kind() != v.kind()) {
      r.lanes = w_.cast("sext", r.lanes, Kind::i64);
      v = w_.cast("sext", v, Kind::i64);
    }
    r.lanes = r.lanes ? w_.add(r.lanes, v) : v;
  }
  return r;
}
ir::Value Generator::component(V address, DType d, int lanes, int c) {
  return w_.address(address, ir::i64(c), {memory_kind(d), lanes});
}
ir::Value Generator::addresses(int buffer, const Place& p, int c) {
  const loops::Buffer& b = p_.buffers[std::size_t(buffer)];
  const int per = components(b.dtype), h = held(buffer);
  const Type t{memory_kind(b.dtype), 1};
  V at = w_.address(base(buffer), w_.mul(p.scalar, ir::i64(per * h)), t);
  if (c) at = w_.address(at, ir::i64(c * h), t);
  const std::int64_t step = p.stride * per * h + (h > 1 ? 1 : 0);  // lane k is the k-th of its h
  V index;
  if (p.lanes) {
    const Kind k = p.lanes.kind();
    index = w_.mul(p.lanes, ir::integer(k, std::uint64_t(per * h)));
    if (step) index = w_.add(index, w_.steps(k, lanes_, step));
  } else {
    const bool small = b.size * per * h < (std::int64_t(1) << 31);
    index = w_.steps(small ? Kind::i32 : Kind::i64, lanes_, step);
  }
  return w_.address(at, index, t);
}

// ---- Elements
Element Generator::widened(const Element& e, int lanes) {
  Element r = e;
  for (V& v : r.v)
    if (v) v = w_.widen(v, lanes);
  return r;
}
Element Generator::selected(V condition, const Element& a, const Element& b) {
  Element r = a;
  for (int c = 0; c < components(a.dtype); ++c) r.v[c] = w_.select(condition, a.v[c], b.v[c]);
  return r;
}
Element Generator::read(DType d, V address, int lanes, int align) {
  Element e{d, {}};
  for (int c = 0; c < components(d); ++c) {
    e.v[c] = w_.load({memory_kind(d), lanes}, component(address, d, lanes, c), align);
    if (d == DType::b1) e.v[c] = w_.cast("trunc", e.v[c], Kind::i1);
  }
  return e;
}
void Generator::write(const Element& e, V address, int lanes, int align) {
  for (int c = 0; c < components(e.dtype); ++c) {
    V v = w_.widen(e.v[c], lanes);
    if (e.dtype == DType::b1) v = w_.cast("zext", v, Kind::i8);
    w_.store(v, component(address, e.dtype, lanes, c), align);
  }
}
ir::Value Generator::interleaved_mask(V mask) {
  std::vector<int> twice;
  for (int i = 0; i < mask.lanes(); ++i) twice.insert(twice.end(), {i, i});
  return w_.shuffle(mask, mask, twice);
}

Element Generator::load(int buffer, const Place& p) {
  const loops::Buffer& b = p_.buffers[std::size_t(buffer)];
  const DType d = b.dtype;
  const int h = held(buffer), per = components(d), align = component_bytes(d);
  const Type one{memory_kind(d), 1}, wide{memory_kind(d), lanes_};
  if (h > 1 && p.uniform())
    return read(d, w_.address(base(buffer), w_.mul(p.scalar, ir::i64(per)), {one.kind, h}), h,
                int(std::min<std::int64_t>(kAlign, h * align)));
  if (p.uniform())
    return read(d, w_.address(base(buffer), w_.mul(p.scalar, ir::i64(per)), one), 1, align);
  Element e{d, {}};
  if (p.contiguous() && h == 1) {
    const V at = w_.address(base(buffer), w_.mul(p.scalar, ir::i64(per)), one);
    const Type all{one.kind, lanes_ * per};
    const V mask = tail_ && per == 2 ? interleaved_mask(tail_) : tail_;
    const V v = mask ? w_.masked_load(all, at, mask, align, ir::integer(one.kind, 0))
                     : w_.load(all, at, align);
    if (per == 1) {
      e.v[0] = v;
    } else {
      for (int c = 0; c < 2; ++c) {
        std::vector<int> every;
        for (int i = 0; i < lanes_; ++i) every.push_back(2 * i + c);
        e.v[c] = w_.shuffle(v, v, every);
      }
    }
  } else {
    const V mask = tail_ ? tail_ : w_.all_true(lanes_);
    for (int c = 0; c < per; ++c) e.v[c] = w_.gather(wide, addresses(buffer, p, c), mask, align);
  }
  if (d == DType::b1) e.v[0] = w_.cast("trunc", e.v[0], Kind::i1);
  return e;
}

void Generator::store_vector(V v, V at, V mask, int align) {
  if (mask)
    w_.masked_store(v, at, mask, align);
  else
    w_.store(v, at, align);
}
void Generator::store(int buffer, const Place& p, Element e, V mask) {
  const loops::Buffer& b = p_.buffers[std::size_t(buffer)];
  const DType d = b.dtype;
  const int h = held(buffer), per = components(d), align = component_bytes(d);
  const Type one{memory_kind(d), 1};
  if (h > 1 && p.uniform()) {
    const V at = w_.address(base(buffer), w_.mul(p.scalar, ir::i64(per)), {one.kind, h});
    const int vector_align = int(std::min<std::int64_t>(kAlign, h * align));
    if (blend_ && mask) e = selected(mask, widened(e, h), read(d, at, h, vector_align));
    return write(e, at, h, vector_align);
  }
  if (p.uniform()) {
    for (V& v : e.v)
      if (v && v.lanes() > 1) v = w_.extract(v, 0);
    return write(e, w_.address(base(buffer), w_.mul(p.scalar, ir::i64(per)), one), 1, align);
  }
  e = widened(e, lanes_);
  if (d == DType::b1) e.v[0] = w_.cast("zext", e.v[0], Kind::i8);
  if (p.contiguous() && h == 1) {
    const V at = w_.address(base(buffer), w_.mul(p.scalar, ir::i64(per)), one);
    V v = e.v[0];
    const bool all_or_tail = !mask || mask == tail_;
    if (per == 2) {
      std::vector<int> zip;
      for (int i = 0; i < lanes_; ++i) zip.insert(zip.end(), {i, lanes_ + i});
      v = w_.shuffle(e.v[0], e.v[1], zip);
      if (mask) mask = interleaved_mask(mask);
    }
    if (!p.past_caches || !all_or_tail) return store_vector(v, at, mask, align);
    V pass = may_pass_caches(buffer);
    if (mask) pass = w_.binary("and", pass, whole_);
    const ir::Label past = w_.label(), through = w_.label(), done = w_.label();
    w_.branch(pass, past, through);
    w_.place(past);
    w_.store_past_caches(v, at, machine_.vector_bytes);
    w_.branch(done);
    w_.place(through);
    store_vector(v, at, mask, align);
    w_.place(done);
    return;
  }
  for (int c = 0; c < per; ++c)
    w_.scatter(e.v[c], addresses(buffer, p, c), mask ? mask : w_.all_true(lanes_), align);
}

// Two lanes may mean one element, so that lanes take turns: in order, as the iterations would.
void Generator::combine_lane_after_lane(int buffer, const Place& p, Combine how, const Element& e_,
                                        V mask) {
  const DType d = p_.buffers[std::size_t(buffer)].dtype;
  const int per = components(d), align = component_bytes(d);
  const Element e = widened(e_, lanes_);
  const Type one{memory_kind(d), 1};
  // Values, addresses and masks go to memory, from where a loop takes them.
  V values[2], where[2];
  for (int c = 0; c < per; ++c) {
    values[c] = w_.stack({one.kind, lanes_}, 1, int(kAlign));
    write({c ? real_of(d) : per == 2 ? real_of(d) : d, {e.v[c], {}}}, values[c], lanes_, align);
    where[c] = w_.stack({Kind::pointer, lanes_}, 1, int(kAlign));
    w_.store(addresses(buffer, p, c), where[c], 8);
  }
  V on;
  if (mask) {
    on = w_.stack({Kind::i8, lanes_}, 1, int(kAlign));
    w_.store(w_.cast("zext", mask, Kind::i8), on, 1);
  }
  const V keep_tail = std::exchange(tail_, {});
  repeat(ir::i64(0), ir::i64(lanes_), 1, true, [&](V lane) {
    ir::Label rest;
    if (on) {
      const ir::Label go = w_.label();
      rest = w_.label();
      const V active = w_.cast(
          "trunc", w_.load({Kind::i8, 1}, w_.address(on, lane, {Kind::i8, 1}), 1), Kind::i1);
      w_.branch(active, go, rest);
      w_.place(go);
    }
    Element add{d, {}}, old{d, {}};
    V at[2];
    for (int c = 0; c < per; ++c) {
      add.v[c] = w_.load(one, w_.address(values[c], lane, one), align);
      at[c] = w_.load({Kind::pointer, 1}, w_.address(where[c], lane, {Kind::pointer, 1}), 8);
      old.v[c] = w_.load(one, at[c], align);
      if (d == DType::b1) {
        add.v[c] = w_.cast("trunc", add.v[c], Kind::i1);
        old.v[c] = w_.cast("trunc", old.v[c], Kind::i1);
      }
    }
    const Element r = combined(how, old, add);
    for (int c = 0; c < per; ++c)
      w_.store(d == DType::b1 ? w_.cast("zext", r.v[c], Kind::i8) : r.v[c], at[c], align);
    if (on) w_.place(rest);
  });
  tail_ = keep_tail;
}

}  // namespace jaxpp::native
