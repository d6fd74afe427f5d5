// codegen_records.cc -- elements that lie side by side in memory, a few for each lane, in whole vectors.
//
// In lanes over i, x[3*i], x[3*i+1] and x[3*i+2] are three gathers, each of which goes through memory lane after lane.
// There are two ways to do better, and estimates of what they cost:
//
//   together   The records of all lanes are contiguous: three loads of whole vectors, and two shuffles for each
//              component.  Records of p*q elements are taken apart in steps: every p-th element, of which every q-th.
//   rows       Each lane's elements are a row of a matrix, which is transposed in registers: 8 rows of 8 elements by
//              3 shuffles each.  For any stride, and for parts of records.
//
// Stores are the same in reverse; they wait for each other as long as the code goes straight on and nothing else touches
// the buffer.  A vector that is loaded may cover elements that the program does not ask for.  They are inside of the
// array: the ranges of symbols prove it, where lanes that do not exist are left out.
#include <algorithm>
#include <bit>
#include "backends/cpu/codegen_function.h"

namespace jaxpp::native {
namespace {

using ir::Kind;
using ir::Type;
using loops::kNone;

constexpr std::int64_t kWidest = 32;  // components of records that are taken together
constexpr std::size_t kMost = 64;     // loads, or stores that wait, of one record
constexpr std::int64_t kChoices = 4;  // elements that an index from data chooses from, by selects
// What the parts cost, where a shuffle is 1.
constexpr double kLoad = 0.5, kGatherLane = 1.2;

int smallest_factor(std::size_t n) {
  int p = 2;
  while (n % std::size_t(p)) ++p;
  return p;
}
using Wanted = std::vector<bool>;  // by component
Wanted every(const Wanted& wanted, int p, int r) {
  Wanted some;
  for (std::size_t c = std::size_t(r); c < wanted.size(); c += std::size_t(p))
    some.push_back(wanted[c]);
  return some;
}
bool none(const Wanted& w) { return std::find(w.begin(), w.end(), true) == w.end(); }
// Shuffles that deinterleaved() needs.
double shuffles(const Wanted& wanted, bool two_sources) {
  if (wanted.size() == 1) return 0;
  const int p = smallest_factor(wanted.size());
  double sum = 0;
  for (int r = 0; r < p; ++r) {
    const Wanted some = every(wanted, p, r);
    if (none(some)) continue;
    sum += double(some.size()) * (two_sources ? p - 1 : p) + shuffles(some, two_sources);
  }
  return sum;
}

double together(const Wanted& wanted, bool two_sources) {
  return kLoad * double(wanted.size()) + shuffles(wanted, two_sources);
}
// n rows of c elements.
double rows(int n, int c) { return kLoad * n + (n - c) + c * std::bit_width(unsigned(c) - 1); }

}  // namespace

// ---- Vectors taken apart and put together
// lanes[i]: of a, then of b; or, if negative, anything.  With AVX-512 that is one instruction, whatever the lanes: LLVM
// need not look for it.
ir::Value Generator::merged(V a, V b, std::vector<int> lanes) {
  const int n = a.lanes(), element = ir::bits(a.kind());
  if (!machine_.avx512 || element < 16 || element * n < 128) return w_.shuffle(a, b, lanes);
  for (int& lane : lanes) lane = std::max(lane, 0);
  V& order = orders_[{element, lanes}];
  if (!order) {
    w_.enter_entry();
    order = w_.hidden(ir::integer_like(a.kind()), lanes);
    w_.leave_entry();
  }
  const char* kind = a.kind() == Kind::f32   ? "ps"
                     : a.kind() == Kind::f64 ? "pd"
                     : element == 16         ? "hi"
                     : element == 32         ? "d"
                                             : "q";
  const V args[] = {a, order, b};
  return w_.intrinsic(
      "llvm.x86.avx512.vpermi2var." + std::string(kind) + "." + std::to_string(element * n), a.type,
      args);
}
// Without AVX-512, what stays in its lane is cheap.  The lanes of every p-th element differ if p is odd: they are put
// together where they are, and moved once.
ir::Value Generator::every(std::span<const V> x, int r) {
  const int p = int(x.size()), n = x[0].lanes();
  const bool blend = p % 2 && !machine_.avx512;
  std::vector<int> where(std::size_t(n), -1);  // of the p n elements, by lane
  for (int k = 0; k < n; ++k) where[std::size_t(blend ? (p * k + r) % n : k)] = p * k + r;
  V all = x[0];
  for (int j = 1; j < p; ++j) {
    std::vector<int> from;
    for (int lane = 0; lane < n; ++lane) {
      const int at = where[std::size_t(lane)], vector = at / n;
      from.push_back(vector == j ? n + at % n : vector > j ? -1 : j == 1 ? at : lane);
    }
    all = merged(all, x[std::size_t(j)], std::move(from));
  }
  if (!blend) return all;
  std::vector<int> order;
  for (int k = 0; k < n; ++k) order.push_back((p * k + r) % n);
  return w_.shuffle(all, all, order);
}
std::vector<ir::Value> Generator::deinterleaved(const std::vector<V>& x, const Wanted& wanted) {
  if (x.size() == 1) return x;
  const int p = smallest_factor(x.size());
  std::vector<V> components(x.size());
  for (int r = 0; r < p; ++r) {
    const Wanted some = native::every(wanted, p, r);
    if (none(some)) continue;
    std::vector<V> part;
    for (std::size_t q = 0; q < x.size(); q += std::size_t(p))
      part.push_back(every({&x[q], std::size_t(p)}, r));
    part = deinterleaved(part, some);
    for (std::size_t k = 0; k < part.size(); ++k)
      components[k * std::size_t(p) + std::size_t(r)] = part[k];
  }
  return components;
}
// x[0][0], x[1][0], ... x[0][1], ...: p vectors.
std::vector<ir::Value> Generator::in_turn(std::vector<V> x) {
  const int p = int(x.size()), n = x[0].lanes();
  const bool blend = p % 2 && !machine_.avx512;
  if (blend)
    for (int r = 0; r < p; ++r) {
      std::vector<int> order(std::size_t(n), 0);
      for (int k = 0; k < n; ++k) order[std::size_t((p * k + r) % n)] = k;
      x[std::size_t(r)] = w_.shuffle(x[std::size_t(r)], x[std::size_t(r)], order);
    }
  std::vector<V> vectors;
  for (int j = 0; j < p; ++j) {
    V all = x[0];
    for (int r = 1; r < p; ++r) {
      std::vector<int> from;
      for (int lane = 0; lane < n; ++lane) {
        const int at = j * n + lane, source = at % p, k = blend ? lane : at / p;
        from.push_back(source == r ? n + k : source > r ? -1 : r == 1 ? k : lane);
      }
      all = merged(all, x[std::size_t(r)], std::move(from));
    }
    vectors.push_back(all);
  }
  return vectors;
}
std::vector<ir::Value> Generator::interleaved(const std::vector<V>& components) {
  if (components.size() == 1) return components;
  const std::size_t p = std::size_t(smallest_factor(components.size()));
  std::vector<std::vector<V>> parts;
  for (std::size_t r = 0; r < p; ++r) {
    std::vector<V> part;
    for (std::size_t c = r; c < components.size(); c += p) part.push_back(components[c]);
    parts.push_back(interleaved(part));
  }
  std::vector<V> vectors;
  for (std::size_t q = 0; q < components.size() / p; ++q) {
    std::vector<V> x;
    for (const std::vector<V>& part : parts) x.push_back(part[q]);
    for (V v : in_turn(std::move(x))) vectors.push_back(v);
  }
  return vectors;
}

// Of c vectors the blocks of c x c: element l of vector k for element k of vector l.
std::vector<ir::Value> Generator::transposed(std::vector<V> x) {
  const int c = int(x.size()), n = x[0].lanes();
  for (int d = 1; d < c; d *= 2) {
    std::vector<int> low, high;
    for (int l = 0; l < n; ++l) {
      low.push_back(l & d ? n + l - d : l);
      high.push_back(l & d ? n + l : l + d);
    }
    for (int k = 0; k < c; ++k) {
      if (k & d) continue;
      V &a = x[std::size_t(k)], &b = x[std::size_t(k + d)];
      const V first = merged(a, b, low);
      b = merged(a, b, high);
      a = first;
    }
  }
  return x;
}
ir::Value Generator::joined(std::vector<V> parts) {
  while (parts.size() > 1) {
    std::vector<int> all;
    for (int i = 0; i < 2 * parts[0].lanes(); ++i) all.push_back(i);
    std::vector<V> pairs;
    for (std::size_t i = 0; i < parts.size(); i += 2)
      pairs.push_back(w_.shuffle(parts[i], parts[i + 1], all));
    parts = std::move(pairs);
  }
  return parts[0];
}
ir::Value Generator::part_of(V v, int from, int n) {
  if (n == v.lanes()) return v;
  std::vector<int> some;
  for (int i = 0; i < n; ++i) some.push_back(from + i);
  return w_.shuffle(v, v, some);
}
ir::Value Generator::reversed(V v) {
  std::vector<int> order;
  for (int i = v.lanes(); i-- > 0;) order.push_back(i);
  return w_.shuffle(v, v, order);
}

// ---- Memory
// Elements of one register in lanes; 0: there is no way in whole vectors.
int Generator::record_lanes(DType d) const {
  const int bytes = int(width(d)) / components(d);
  const int n = std::min(lanes_, machine_.vector_bytes / bytes);
  if (n < 2 || (n & (n - 1)) || lanes_ % n) return 0;
  const bool masks = machine_.avx512 || (machine_.avx2 && bytes >= 4);
  return !tail_ || masks ? n : 0;
}
ir::Value Generator::record_address(int buffer, const Affine& at) {
  const DType d = p_.buffers[std::size_t(buffer)].dtype;
  return w_.address(base(buffer), w_.mul(scalar_part(at), ir::i64(components(d))),
                    {memory_kind(d), 1});
}
// Of the k-th of the vectors that hold all lanes' records: the elements of lanes that exist.
ir::Value Generator::record_mask(std::int64_t stride, int components, int n, int k) {
  if (!tail_) return {};
  const V exist = w_.mul(left_, ir::i32(components)), steps = w_.steps(Kind::i32, n, 1);
  const std::int64_t before = std::int64_t(k) * n, all = std::int64_t(lanes_) * components;
  // Backwards, the last lane comes first.
  if (stride < 0)
    return w_.compare("sge", steps, w_.widen(w_.sub(ir::i32(all - before), exist), n));
  return w_.compare("slt", steps, w_.widen(w_.sub(exist, ir::i32(before)), n));
}

// ---- Loads
void Generator::find_records(const loops::Loop& l) {
  std::map<Where, std::vector<std::int64_t>>
      found;  // constants, by buffer and the rest of the index
  std::unordered_set<int> stored;
  // Symbols of a few values known here: of unrolled loops, and indices from data.
  std::unordered_map<Sym, loops::Interval> values;
  loops::each_node(l.body, [&](const loops::Node& n) {
    if (auto* s = n.as<loops::Store>()) stored.insert(s->buffer);
    if (auto* c = n.as<loops::Clip>(); c && c->hi - c->lo < kChoices)
      values[c->sym] = {c->lo, c->hi};
    if (auto* k = n.as<loops::Loop>(); k && (k->marks.unroll || k->extent == 1))
      values[k->var] = {0, k->extent - 1};
  });
  loops::each_node(l.body, [&](const loops::Node& n) {
    auto* load = n.as<loops::Load>();
    if (!load || held(load->buffer) > 1 || stored.count(load->buffer)) return;
    const std::int64_t stride = load->at.coef(l.var);
    if (!stride || stride == 1) return;
    Affine at = load->at;
    std::vector<std::int64_t> constants{0};
    for (const Affine::Term& t : load->at.terms) {
      const auto it = values.find(t.sym);
      if (it == values.end()) continue;
      at = at.subst(t.sym, 0);
      std::vector<std::int64_t> more;
      for (std::int64_t c : constants)
        for (std::int64_t v = it->second.lo; v <= it->second.hi; ++v) more.push_back(c + t.k * v);
      constants = std::move(more);
      if (constants.size() > kMost) return;
    }
    at = without_numbers(at);
    const std::int64_t c = std::exchange(at.c, 0);
    for (std::int64_t k : constants) found[{load->buffer, at}].push_back(c + k);
  });
  for (auto& [where, constants] : found) {
    std::sort(constants.begin(), constants.end());
    constants.erase(std::unique(constants.begin(), constants.end()), constants.end());
    const std::int64_t stride = where.second.coef(l.var);
    for (auto c = constants.begin(); c != constants.end();) {
      const auto end = std::lower_bound(c, constants.end(), *c + std::abs(stride));
      add_records(where, stride, {c, end});
      c = end;
    }
  }
}
// The elements of a record that are loaded: the cheapest way.
void Generator::add_records(const Where& where, std::int64_t stride,
                            const std::vector<std::int64_t>& loaded) {
  const loops::Buffer& b = p_.buffers[std::size_t(where.first)];
  const int per = components(b.dtype), n = record_lanes(b.dtype);
  if (!n) return;
  const loops::Interval range = loops::interval(where.second, intervals_);
  const double gather = kGatherLane * n * per;
  // Where so many elements lie that include this one, and are all in the array.
  const auto start = [&](std::int64_t element,
                         std::int64_t elements) -> std::optional<std::int64_t> {
    const std::int64_t first = std::min(element, b.size - elements - range.hi);
    if (first + elements <= element || range.lo + first < 0) return {};
    return first;
  };
  double cost = 0;
  std::vector<Record> found;
  const auto record = [&](std::int64_t first, std::int64_t elements, bool in_rows) {
    Record r{.first = first, .stride = stride, .in_rows = in_rows};
    r.wanted.resize(std::size_t(elements * per));
    for (std::int64_t c : loaded)
      for (int k = 0; k < per && c >= first && c < first + elements; ++k)
        r.wanted[std::size_t((c - first) * per + k)] = true;
    return r;
  };
  for (std::size_t i = 0; i < loaded.size();) {
    double best = 0, its_cost = gather;
    std::size_t next = i + 1;
    std::optional<Record> row;
    for (int c = n; c >= 2; c /= 2) {
      const auto first = start(loaded[i], c / per);
      if (!first) continue;
      const auto end = std::lower_bound(loaded.begin(), loaded.end(), *first + c / per);
      const std::size_t count = std::size_t(end - loaded.begin()) - i;
      const double gain = double(count) * gather - rows(n, c);
      if (gain <= best) continue;
      best = gain;
      its_cost = rows(n, c);
      next = i + count;
      row = record(*first, c / per, true);
    }
    if (row) found.push_back(std::move(*row));
    cost += its_cost;
    i = next;
  }
  const std::int64_t elements = std::abs(stride);
  if (elements * per <= kWidest)
    if (const auto first = start(loaded.front(), elements);
        first && *first + elements > loaded.back()) {
      Record all = record(*first, elements, false);
      if (together(all.wanted, machine_.avx512) < cost) found = {std::move(all)};
    }
  for (Record& r : found) records_[where].push_back(std::move(r));
}

void Generator::read_record(int buffer, const Affine& base, Record& r) {
  const DType d = p_.buffers[std::size_t(buffer)].dtype;
  const int n = record_lanes(d), components = int(r.wanted.size());
  const int align = int(width(d)) / native::components(d);
  const Kind kind = memory_kind(d);
  const auto read = [&](V at, int lanes, V mask) {
    return mask ? w_.masked_load({kind, lanes}, at, mask, align, ir::integer(kind, 0))
                : w_.load({kind, lanes}, at, align);
  };
  const bool backwards = r.stride < 0 && !r.in_rows;
  const V at = record_address(buffer, base + (r.first + (backwards ? r.stride * (lanes_ - 1) : 0)));
  std::vector<std::vector<V>> parts;  // of each register of the lanes: components
  for (int from = 0; from < lanes_; from += n) {
    std::vector<V> part;
    for (int k = 0; k < components; ++k) {
      if (!r.in_rows) {
        const int vector = from / n * components + k;
        part.push_back(read(w_.address(at, ir::i64(std::int64_t(vector) * n), {kind, 1}), n,
                            record_mask(r.stride, components, n, vector)));
        continue;
      }
      std::vector<V> pieces;
      for (int row = from + k; row < from + n; row += components) {
        const std::int64_t step = row * r.stride * native::components(d);
        const V exists = tail_ ? w_.compare("sgt", w_.widen(left_, components), ir::i32(row)) : V();
        pieces.push_back(read(w_.address(at, ir::i64(step), {kind, 1}), components, exists));
      }
      part.push_back(joined(std::move(pieces)));
    }
    parts.push_back(r.in_rows ? transposed(std::move(part)) : deinterleaved(part, r.wanted));
  }
  r.components.resize(r.wanted.size());
  for (std::size_t c = 0; c < r.wanted.size(); ++c) {
    if (!r.wanted[c]) continue;
    std::vector<V> all;
    for (auto& part : parts) all.push_back(part[c]);
    V v = joined(std::move(all));
    if (backwards) v = reversed(v);
    r.components[c] = d == DType::b1 ? w_.cast("trunc", v, Kind::i1) : v;
  }
  read_.push_back(&r);
}

std::optional<Element> Generator::element_of_record(int buffer, const Affine& base,
                                                    std::int64_t c) {
  const auto it = records_.find({buffer, base});
  if (it == records_.end()) return {};
  for (Record& r : it->second) {
    const int per = components(p_.buffers[std::size_t(buffer)].dtype);
    const std::int64_t k = (c - r.first) * per;
    if (k < 0 || k >= std::int64_t(r.wanted.size()) || !r.wanted[std::size_t(k)]) continue;
    if (r.components.empty()) read_record(buffer, base, r);
    Element e{p_.buffers[std::size_t(buffer)].dtype, {}};
    for (int i = 0; i < per; ++i) e.v[i] = r.components[std::size_t(k + i)];
    return e;
  }
  return {};
}
// An index, with the numbers that some of its symbols are here.
Affine Generator::without_numbers(const Affine& a) {
  Affine r = a;
  for (const Affine::Term& t : a.terms)
    if (const V v = indices_[std::size_t(t.sym)]; v.is_number() && t.sym != lane_)
      r = r.subst(t.sym, std::int64_t(v.bits));
  return r;
}
// What an index from data means of a few elements is selected, where each of them is cheap.
std::optional<Element> Generator::load_cheaply(const loops::Load& l) {
  if (lanes_ == 1) return {};
  Affine at = without_numbers(l.at);
  const Affine::Term* chosen = nullptr;
  for (const Affine::Term& t : at.terms)
    if (index(t.sym).lanes() > 1) {
      if (chosen) return {};
      chosen = &t;
    }
  const auto element = [&](Affine from) -> std::optional<Element> {
    const std::int64_t stride = from.coef(lane_);
    if (stride == 0 || stride == 1) return load(l.buffer, place(l.buffer, from));
    if (records_.empty() || !record_lanes(p_.buffers[std::size_t(l.buffer)].dtype)) return {};
    const std::int64_t c = std::exchange(from.c, 0);
    return element_of_record(l.buffer, from, c);
  };
  if (!chosen) return element(at);
  const loops::Interval range = intervals_[std::size_t(chosen->sym)];
  if (range.hi - range.lo >= kChoices) return {};
  const V which = index(chosen->sym);
  std::optional<Element> e = element(at.subst(chosen->sym, range.lo));
  for (std::int64_t v = range.lo + 1; e && v <= range.hi; ++v) {
    const std::optional<Element> other = element(at.subst(chosen->sym, v));
    if (!other) return {};
    const V is = w_.compare("eq", which, ir::integer(which.kind(), std::uint64_t(v)));
    e = selected(is, *other, *e);
  }
  return e;
}

// ---- Stores
bool Generator::postpone(const loops::Store& s, const Element& e) {
  const DType d = p_.buffers[std::size_t(s.buffer)].dtype;
  const std::int64_t stride = s.at.coef(lane_);
  if (lanes_ == 1 || times_ < double(loops::kLongRun) || !stride || stride == 1 ||
      held(s.buffer) > 1 || !(mask_ == tail_) || !record_lanes(d))
    return false;
  const Place to = place(s.buffer, s.at);
  if (to.lanes) return false;
  Affine at = without_numbers(s.at);
  const std::int64_t c = std::exchange(at.c, 0);
  const Where where{s.buffer, at};
  const auto it = waiting_.find(s.buffer);
  if (it != waiting_.end() && (!(it->second.where == where) || it->second.stores.count(c)))
    settle(s.buffer);
  Waiting& waiting = waiting_.try_emplace(s.buffer, Waiting{where, stride, {}}).first->second;
  waiting.stores[c] = {to, widened(e, lanes_)};
  const std::size_t all = waiting.stores.size();
  if (std::int64_t(all) == std::abs(stride) || all == kMost) settle(s.buffer);
  return true;
}
void Generator::settle(int buffer) {
  if (waiting_.empty()) return;
  if (buffer < 0) {
    while (!waiting_.empty()) settle(waiting_.begin()->first);
  } else if (const auto it = waiting_.find(buffer); it != waiting_.end()) {
    const Waiting w = std::move(it->second);
    waiting_.erase(it);
    write_records(w);
  }
}
// Of what waits: whole records together, runs of elements in rows, the rest element after element.
void Generator::write_records(const Waiting& w) {
  const auto& stores = w.stores;
  const DType d = p_.buffers[std::size_t(w.where.first)].dtype;
  const std::int64_t front = stores.begin()->first, size = std::int64_t(stores.size());
  const int n = record_lanes(d), per = components(d);
  if (size == std::abs(w.stride) && stores.rbegin()->first - front + 1 == size &&
      size * per <= kWidest &&
      shuffles(Wanted(std::size_t(size * per), true), machine_.avx512) <=
          double(size * per) / n * rows(n, n))
    return write_together(w);
  const auto scattered = [&] {
    for (auto& [c, s] : stores) store(w.where.first, s.first, s.second, mask_);
  };
  const auto in_rows = [&] {
    for (auto it = stores.begin(); it != stores.end();) {
      auto end = std::next(it);
      while (end != stores.end() && end->first == std::prev(end)->first + 1) ++end;
      const std::int64_t run = std::distance(it, end);
      if (run * per < 2)
        store(w.where.first, it->second.first, it->second.second, {});
      else
        write_rows(w, it->first, run);
      it = end;
    }
  };
  if (!tail_) return in_rows();
  if (size == 1) return scattered();
  const ir::Label whole = w_.label(), some = w_.label(), done = w_.label();
  w_.branch(whole_, whole, some);
  w_.place(whole);
  in_rows();
  w_.branch(done);
  w_.place(some);
  scattered();
  w_.place(done);
}
// The components in memory's kind, in lanes.
std::vector<ir::Value> Generator::stored_components(const Waiting& w, std::int64_t first,
                                                    std::int64_t elements) {
  std::vector<V> all;
  for (std::int64_t c = first; c < first + elements; ++c) {
    const Element& e = w.stores.at(c).second;
    for (int k = 0; k < components(e.dtype); ++k)
      all.push_back(e.dtype == DType::b1 ? w_.cast("zext", e.v[k], Kind::i8) : e.v[k]);
  }
  return all;
}
void Generator::write_rows(const Waiting& w, std::int64_t first, std::int64_t run) {
  const DType d = p_.buffers[std::size_t(w.where.first)].dtype;
  const int n = record_lanes(d), per = components(d), align = int(width(d)) / per;
  const std::vector<V> all = stored_components(w, first, run);
  const int size = int(all.size()), c = std::min(n, int(std::bit_floor(unsigned(size))));
  const V at = record_address(w.where.first, w.where.second + first);
  // The last block covers elements of the one before it again, if there are any left.
  for (int done = 0; done < size; done += c) {
    const int block = std::min(done, size - c);
    for (int from = 0; from < lanes_; from += n) {
      std::vector<V> x;
      for (int k = 0; k < c; ++k) x.push_back(part_of(all[std::size_t(block + k)], from, n));
      x = transposed(std::move(x));
      for (int row = 0; row < n; ++row) {
        const std::int64_t to = (from + row) * w.stride * per + block;
        w_.store(part_of(x[std::size_t(row % c)], row / c * c, c),
                 w_.address(at, ir::i64(to), {memory_kind(d), 1}), align);
      }
    }
  }
}
void Generator::write_together(const Waiting& w) {
  const int buffer = w.where.first;
  const DType d = p_.buffers[std::size_t(buffer)].dtype;
  const int n = record_lanes(d), per = components(d), align = int(width(d)) / per;
  const Affine first = w.where.second + w.stores.begin()->first;
  std::vector<V> all = stored_components(w, w.stores.begin()->first, std::int64_t(w.stores.size()));
  const bool backwards = w.stride < 0;
  if (backwards)
    for (V& v : all) v = reversed(v);
  std::vector<V> vectors;
  for (int from = 0; from < lanes_; from += n) {
    std::vector<V> part;
    for (V v : all) part.push_back(part_of(v, from, n));
    for (V v : interleaved(part)) vectors.push_back(v);
  }
  const V at = record_address(buffer, first + (backwards ? w.stride * (lanes_ - 1) : 0));
  const auto address = [&](std::size_t k) {
    return w_.address(at, ir::i64(std::int64_t(k) * n), {memory_kind(d), 1});
  };
  const auto through_caches = [&] {
    for (std::size_t k = 0; k < vectors.size(); ++k)
      store_vector(vectors[k], address(k), record_mask(w.stride, int(all.size()), n, int(k)),
                   align);
  };
  if (backwards || n * align != machine_.vector_bytes || !past_caches(buffer, first))
    return through_caches();
  V pass = may_pass_caches(buffer);
  if (tail_) pass = w_.binary("and", pass, whole_);
  const ir::Label past = w_.label(), through = w_.label(), done = w_.label();
  w_.branch(pass, past, through);
  w_.place(past);
  for (std::size_t k = 0; k < vectors.size(); ++k)
    w_.store_past_caches(vectors[k], address(k), machine_.vector_bytes);
  w_.branch(done);
  w_.place(through);
  through_caches();
  w_.place(done);
}
void Generator::forget_records(std::size_t known) {
  for (; read_.size() > known; read_.pop_back()) read_.back()->components.clear();
}

}  // namespace jaxpp::native
