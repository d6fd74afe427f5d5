// interpret.cc -- runs prepared programs.
//
// All memory of a run is one frame (backends/host/frame.h): the table of bases, loop variables, and the regions of
// interpret_code.h.
#include "backends/loops/interpret.h"
#include <cstdlib>
#include <cstring>
#include "backends/host/frame.h"
#include "backends/loops/interpret_prepare.h"

namespace jaxpp::loops {
namespace interpret {
namespace {

using host::aligned;
using host::Frame;

// ---- One run
class Run {
 public:
  Run(const Prepared& p, char** bases, std::int64_t* variables, const void** operands,
      std::int64_t* counts)
      : p_(p), bases_(bases), variables_(variables), operands_(operands), counts_(counts) {}
  [[gnu::noinline]] void go();

 private:
  template <class T = void>
  T* at(Place p) const {
    return reinterpret_cast<T*>(bases_[p.base] + p.at);
  }
  const bool* mask(const Ins& i, Place p) const { return i.masked ? at<bool>(p) : nullptr; }
  // Without its rows.
  std::int64_t sum(const Sum& s) const {
    std::int64_t v = s.c;
    const Term* t = p_.terms.data() + s.first;
    for (std::uint32_t k = 0; k < s.variables; ++k, ++t) v += t->k * variables_[t->variable];
    for (std::uint32_t k = 0; k < s.ones; ++k, ++t) v += t->k * *at<std::int64_t>(t->place);
    return v;
  }
  void start(const Ins& i) {
    variables_[i.z.base] = 0;
    const Walk* w = p_.walks.data() + i.x.base;
    for (const Walk* end = w + i.y.base; w != end; ++w)
      bases_[w->base] = bases_[w->from] + w->offset;
  }
  void step(const Ins& i) {
    const Walk* w = p_.walks.data() + i.x.base;
    for (const Walk* end = w + i.y.base; w != end; ++w) bases_[w->base] += w->step;
  }
  void general(const Ins&, std::int64_t n);
  void rows(const Ins&, std::int64_t n);
  void last(const Ins&, std::int64_t n);
  std::int64_t mask_while(const Ins&, std::int64_t n);
  void restore_order(const Reordering&);
  void call(const CallInfo&);

  const Prepared& p_;
  char** const bases_;
  std::int64_t* const variables_;
  const void** const operands_;
  std::int64_t* const counts_;  // of lanes
};

void Run::go() {
  const Ins *const code = p_.code.data(), *i = code;
  for (;; ++i) {
    const std::int64_t n = counts_[i->count];
    switch (i->code) {
      case Code::unary_one: i->unary(at(i->x), at(i->z), 1); continue;
      case Code::binary_one:  // scalar code: mostly these
        do i->binary(at(i->x), true, at(i->y), true, at(i->z), 1);
        while ((++i)->code == Code::binary_one);
        --i;
        continue;
      case Code::unary: i->unary(at(i->x), at(i->z), n); continue;
      case Code::binary: i->binary(at(i->x), i->x_full, at(i->y), i->y_full, at(i->z), n); continue;
      case Code::general: general(*i, n); continue;
      case Code::gather: i->gather(at(i->x), i->a, at(i->z), n); continue;
      case Code::gather_at:
        i->gather_at(at(i->x), at<std::int64_t>(i->y), i->a, i->b, at(i->z), n);
        continue;
      case Code::scatter:
        i->scatter(at(i->x), i->x_full, at(i->z), i->a, mask(*i, i->y), n);
        continue;
      case Code::scatter_at:
        i->scatter_at(at(i->x), i->x_full, at(i->z), at<std::int64_t>(i->y), i->a, i->b,
                      mask(*i, i->m), n);
        continue;
      case Code::last: last(*i, n); continue;
      case Code::iota: i->iota(sum(p_.sums[i->index]), i->b, at(i->z), n); continue;
      case Code::rows: rows(*i, n); continue;
      case Code::clip: i->clip(at(i->x), i->a, i->b, at<std::int64_t>(i->z), n); continue;
      case Code::address: bases_[i->z.base] = at<char>(i->x) + sum(p_.sums[i->index]); continue;
      case Code::zero: std::memset(at(i->z), 0, std::size_t(i->a)); continue;
      case Code::flush:
        if (const std::int64_t k = variables_[i->index] + 1; k % kFlush == 0 || k == i->b) {
          i->binary(at(i->z), true, at(i->x), true, at(i->z), i->a);
          std::memset(at(i->x), 0, std::size_t(i->a * i->m.at));
        }
        continue;
      case Code::chunk: *at<std::int64_t>(i->z) = variables_[i->index] / i->a; continue;

      case Code::loop: start(*i); continue;
      case Code::next:
        if (++variables_[i->z.base] == i->a) continue;
        step(*i);
        i = code + i->index - 1;
        continue;
      case Code::block_loop:
        start(*i);
        counts_[kBlock] = std::min(i->b, i->a);
        continue;
      case Code::block_next: {
        const std::int64_t left = i->a - (variables_[i->z.base] += i->b);
        if (left <= 0) continue;
        counts_[kBlock] = std::min(i->b, left);
        step(*i);
        i = code + i->index - 1;
        continue;
      }
      case Code::jump: i = code + i->index - 1; continue;
      case Code::jump_unless:
        if (!*at<std::uint8_t>(i->x)) i = code + i->index - 1;
        continue;
      case Code::mask_all:
        if (const bool* outer = mask(*i, i->y))
          std::memcpy(at(i->z), outer, std::size_t(n));
        else
          std::memset(at(i->z), 1, std::size_t(n));
        if (i->a) {
          std::int64_t* state = variables_ + p_.reorderings[std::size_t(i->a - 1)].state;
          state[0] = n, state[1] = 0;
        }
        continue;
      case Code::mask_while:
        if (!mask_while(*i, n)) i = code + i->index - 1;
        continue;
      case Code::mask_if:
        if (!mask_and(at<std::uint8_t>(i->x), true, i->a != 0, mask(*i, i->y), at<bool>(i->z), n))
          i = code + i->index - 1;
        continue;
      case Code::call: call(p_.calls[i->index]); continue;
      case Code::poison: std::memset(at(i->z), 0xff, std::size_t(i->a)); continue;
      case Code::end: return;
    }
  }
}

void Run::general(const Ins& i, std::int64_t n) {
  const Application& a = p_.applications[i.index];
  const Place* place = p_.places.data() + a.first;
  const std::uint32_t count = a.operands + a.results;
  for (std::uint32_t k = 0; k < count; ++k) operands_[k] = at(place[k]);
  const bool* full = reinterpret_cast<const bool*>(p_.full.data()) + a.first;
  a.run({{operands_, a.operands}, full, const_cast<void**>(operands_ + a.operands), a.params}, n);
}
void Run::rows(const Ins& i, std::int64_t n) {
  const Sum& s = p_.sums[i.index];
  std::int64_t* z = at<std::int64_t>(i.z);
  const std::int64_t first = sum(s);
  const Term* t = p_.terms.data() + s.first + s.variables + s.ones;
  for (std::int64_t j = 0; j < n; ++j) z[j] = first + i.b * j;
  for (std::uint32_t k = 0; k < s.rows; ++k, ++t) {
    const std::int64_t* row = at<std::int64_t>(t->place);
    for (std::int64_t j = 0; j < n; ++j) z[j] += t->k * row[j];
  }
}
void Run::last(const Ins& i, std::int64_t n) {
  const bool* m = mask(i, i.y);
  do --n;
  while (n >= 0 && m && !m[n]);
  if (n >= 0) i.unary(at<char>(i.x) + n * i.a, at(i.z), 1);
}

// ---- Lanes of a while loop
std::int64_t Run::mask_while(const Ins& i, std::int64_t n) {
  bool* m = at<bool>(i.z);
  const std::int64_t left = mask_and(at<std::uint8_t>(i.x), i.x_full, false, m, m, n);
  if (!i.a) return left;
  const Reordering& r = p_.reorderings[std::size_t(i.a - 1)];
  std::int64_t* state = variables_ + r.state;
  if (left == 0) {
    if (state[1]) restore_order(r);
    counts_[i.count] = state[0];
  } else if (2 * left <= n && n >= 32) {
    // The lanes that go on first.  `order` always says which lane each one was when the loop began.
    auto* order = at<std::int32_t>(r.order);
    std::int32_t from[kMostLanes];
    std::int64_t on = 0, off = left;
    for (std::int64_t j = 0; j < n; ++j) from[m[j] ? on++ : off++] = std::int32_t(j);
    if (!std::exchange(state[1], 1))
      for (std::int64_t j = 0; j < state[0]; ++j) order[j] = std::int32_t(j);
    reorder_row(order, sizeof *order, from, false, at(r.scratch), n);
    for (const Reordering::Row& row : r.moving)
      reorder_row(at(row.place), row.width, from, false, at(r.scratch), n);
    std::memset(m, 1, std::size_t(left));
    counts_[i.count] = left;
  }
  return left;
}
void Run::restore_order(const Reordering& r) {
  const std::int64_t n = variables_[r.state];
  for (const Reordering::Row& row : r.moving)
    reorder_row(at(row.place), row.width, at<std::int32_t>(r.order), true, at(r.scratch), n);
}

void Run::call(const CallInfo& c) {
  SmallVec<void*, 8> operands;
  for (const Place& p : c.places) operands.push_back(at(p));
  c.call.run(operands.data());
}

}  // namespace
}  // namespace interpret

struct Interpreter::Impl {
  explicit Impl(Program p) : program(std::move(p)), poison(std::getenv("JAXPP_POISON")) {
    code = interpret::prepare(program, poison);
    auto part = [&](std::size_t bytes) {
      return std::exchange(frame, frame + host::aligned(bytes));
    };
    frame = host::aligned(code.bases * sizeof(char*));
    variables = part(code.variables * sizeof(std::int64_t));
    counts = part(code.counts.size() * sizeof(std::int64_t));
    operands = part(code.most_operands * sizeof(void*));
    scalars = part(std::size_t(code.scalars));
    rows = part(std::size_t(code.rows));
    locals = part(std::size_t(code.locals));
    temps = part(std::size_t(code.temps));
    sums = part(std::size_t(code.sum_bytes));
  }
  Program program;
  bool poison;
  interpret::Prepared code;
  // Of a frame; the table of bases comes first
  std::size_t frame = 0, variables = 0, counts = 0, operands = 0, scalars = 0, rows = 0, locals = 0,
              temps = 0, sums = 0;
};

Interpreter::Interpreter(Program p) : impl_(std::make_unique<Impl>(std::move(p))) {}
Interpreter::~Interpreter() = default;
const Program& Interpreter::program() const { return impl_->program; }

void Interpreter::run(std::span<const void* const> in, std::span<void* const> out) const {
  using namespace interpret;
  const Impl& m = *impl_;
  const Prepared& p = m.code;
  Frame frame(m.frame);
  char** bases = reinterpret_cast<char**>(frame.data);
  if (m.poison) [[unlikely]] {
    std::memset(frame.data, 0xff, m.frame);
    poison_outputs(m.program, in, out);
  }
  bases[kScalars] = frame.data + m.scalars;
  bases[kRows] = frame.data + m.rows;
  bases[kLocals] = frame.data + m.locals;
  bases[kTemps] = frame.data + m.temps;
  bases[kSums] = frame.data + m.sums;
  bases[kLiterals] = reinterpret_cast<char*>(const_cast<std::byte*>(p.literals.data()));
  for (std::size_t i = 0; i < in.size(); ++i)
    bases[p.first_input + i] = static_cast<char*>(const_cast<void*>(in[i]));
  for (std::size_t i = 0; i < out.size(); ++i)
    bases[p.first_output + i] = static_cast<char*>(out[i]);
  for (const Prepared::Fixed& c : p.constants)
    bases[c.base] = static_cast<char*>(const_cast<void*>(c.data));
  for (const Walk& w : p.start) bases[w.base] = bases[w.from] + w.offset;
  auto* counts = reinterpret_cast<std::int64_t*>(frame.data + m.counts);
  std::copy(p.counts.begin(), p.counts.end(), counts);
  if (p.sum_bytes) std::memset(bases[kSums], 0, std::size_t(p.sum_bytes));
  Run(p, bases, reinterpret_cast<std::int64_t*>(frame.data + m.variables),
      reinterpret_cast<const void**>(frame.data + m.operands), counts)
      .go();
}

}  // namespace jaxpp::loops
