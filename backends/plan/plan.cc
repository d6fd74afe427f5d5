// plan.cc -- the flat plan: what a jitted function is, for now.
//
// Slots hold borrowed inputs, borrowed literals, then results, each released after its last use.  A kernel that may
// work in place gets the buffer of an operand that dies there, if nobody else holds it.  A call does no tracing, no
// look-ups, no type computation.  No fusion: the loop program will replace this.
#include "backends/plan/plan.h"
#include <algorithm>

namespace jaxpp::internal {
namespace {

struct Step {
  const Primitive* prim;
  const Kernel* kernel;
  Params params;
  Loc loc;
  SmallVec<std::uint32_t, 3> in;
  std::uint32_t out, n_out;
  SmallVec<Type, 1> types;            // of the outputs
  SmallVec<std::uint32_t, 3> dead;    // slots whose last use this is
  SmallVec<std::uint8_t, 2> reuse;    // operands whose buffer output 0 may take
};

class Plan final : public Executable {
 public:
  explicit Plan(const JaxprBody& j);
  void run(std::span<Array> in, Array* out, bool donate) const override;

 private:
  void execute(const Step& s, Array* slots, bool donate) const;
  std::vector<Step> steps_;
  std::vector<Array> literals_;
  std::vector<std::shared_ptr<const void>> params_;  // keeps what the steps point to
  std::vector<std::uint32_t> outs_;
  std::uint32_t inputs_, first_, slots_;  // slots: inputs, literals, results from first_ on
};

Plan::Plan(const JaxprBody& j) : inputs_(std::uint32_t(j.invars.size())) {
  auto count = [&](const Atom& a) {
    if (!a.is_var()) literals_.push_back(a.value());
  };
  for (auto& e : j.eqns)
    for (auto& a : e.in) count(a);
  for (auto& a : j.outs) count(a);
  std::vector<std::uint32_t> slot(j.types.size());
  for (std::size_t i = 0; i < j.invars.size(); ++i) slot[j.invars[i]] = std::uint32_t(i);
  std::uint32_t literal = inputs_;
  first_ = inputs_ + std::uint32_t(literals_.size());
  std::uint32_t next = first_;
  auto place = [&](const Atom& a) { return a.is_var() ? slot[a.var()] : literal++; };
  for (auto& e : j.eqns) {
    Step s{e.prim, &kernel_of(*e.prim, e.loc), e.params(), e.loc, {}, next, e.n_out, {}, {}, {}};
    params_.push_back(e.params_data);
    for (auto& a : e.in) s.in.push_back(place(a));
    for (std::uint32_t i = 0; i < e.n_out; ++i) {
      slot[e.out + i] = next++;
      s.types.push_back(j.types[e.out + i]);
    }
    steps_.push_back(std::move(s));
  }
  for (auto& a : j.outs) outs_.push_back(place(a));
  slots_ = next;
  std::vector<char> seen(next);
  for (auto s : outs_) seen[s] = 1;
  for (std::size_t i = steps_.size(); i-- > 0;) {
    Step& s = steps_[i];
    auto& e = j.eqns[i];
    for (std::size_t k = 0; k < s.in.size(); ++k) {
      std::uint32_t v = s.in[k];
      if (v >= inputs_ && v < first_) continue;  // a literal
      if (!seen[v]) s.dead.push_back(v);
      bool dies = !std::exchange(seen[v], 1);
      bool once = std::count(s.in.begin(), s.in.end(), v) == 1;
      if (dies && once && k < 32 && (s.kernel->in_place >> k & 1) && s.n_out == 1 && j.type(e.in[k]) == s.types[0])
        s.reuse.push_back(std::uint8_t(k));
    }
    for (auto v = s.out; v < s.out + s.n_out; ++v)
      if (!seen[v]) s.dead.push_back(v);
  }
}

void Plan::execute(const Step& s, Array* slots, bool donate) const {
  Borrowed x;
  for (auto i : s.in) x.push(slots[i]);
  if (s.kernel->allocates) {
    s.kernel->run(x, s.params, slots + s.out);
    return;
  }
  for (auto k : s.reuse) {
    std::uint32_t v = s.in[k];
    if ((v >= first_ || donate) && slots[v].unique()) {
      Array y = std::move(slots[v]);
      s.kernel->run(x, s.params, &y);
      slots[s.out] = std::move(y);
      return;
    }
  }
  for (std::uint32_t i = 0; i < s.n_out; ++i) slots[s.out + i] = Array::make(s.types[i]);
  s.kernel->run(x, s.params, slots + s.out);
}

void Plan::run(std::span<Array> in, Array* out, bool donate) const {
  SmallVec<Node*, 32> frame;
  frame.resize(slots_, nullptr);
  // Slots are Arrays in memory of their own: borrowed entries are never destroyed as Arrays.
  Array* slots = reinterpret_cast<Array*>(frame.data());
  struct Guard {  // returns borrowed inputs, releases results; also when a kernel throws
    SmallVec<Node*, 32>& f;
    std::span<Array> in;
    std::uint32_t first;
    bool donate;
    ~Guard() {
      if (donate)
        for (std::uint32_t i = 0; i < in.size(); ++i)
          if (!f[i]) in[i].take();  // taken by a step
      for (std::uint32_t i = first; i < f.size(); ++i) release(f[i]);
    }
  } guard{frame, in, first_, donate};
  for (std::uint32_t i = 0; i < inputs_; ++i) frame[i] = in[i].node();
  for (std::size_t i = 0; i < literals_.size(); ++i) frame[inputs_ + i] = literals_[i].node();
  const Step* s = steps_.data();
  try {
    for (const Step* end = s + steps_.size(); s != end; ++s) {
      execute(*s, slots, donate);
      for (auto v : s->dead)
        if (v >= first_) release(std::exchange(frame[v], nullptr));
    }
  } catch (const RuleError& e) { fail(e.what(), s->loc, "E11"); }
  for (std::size_t i = 0; i < outs_.size(); ++i) out[i] = slots[outs_[i]];
}

}  // namespace

std::shared_ptr<const Executable> make_plan(const JaxprBody& j) { return std::make_shared<Plan>(j); }

}  // namespace jaxpp::internal
