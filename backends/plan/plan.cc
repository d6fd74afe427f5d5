// plan.cc -- the flat plan: what a jitted function is, for now.
//
// Values live in numbered slots: inputs first, then results, whose slots are used again after their last use.  A kernel
// that may work in place gets the buffer of an operand that dies there, if nobody else holds it.  A call does no
// tracing, no look-ups and no type computation.  No fusion: the loop program will replace this.
#include "backends/plan/plan.h"
#include <algorithm>
#include "backends/passes/passes.h"

namespace jaxpp::internal {
namespace {

struct Step {
  const Kernel* kernel;
  Params params;
  Type type;                   // of output 0
  std::uint32_t in, n_in;      // operands_[in ..]: a slot, or ~(index of a literal)
  std::uint32_t out, n_out;    // outs_[out ..]: slots
  std::uint32_t dead, n_dead;  // dead_[dead ..]: slots whose last use this is
  std::int32_t reuse[2];       // slots whose buffer output 0 may take, or -1
};

// Nobody else can see the elements.
bool writable(Node* n) { return reinterpret_cast<const Array&>(n).unique(); }

class Plan final : public Executable {
 public:
  explicit Plan(JaxprPtr jaxpr);
  void run(std::span<Array> in, Array* out, bool donate) const override;

 private:
  void run_general(const Step& s, Args x, Node** frame) const;
  JaxprPtr jaxpr_;  // owns parameters and literals
  std::vector<Step> steps_;
  std::vector<Node*> literals_;
  std::vector<std::int32_t> operands_;
  std::vector<std::uint32_t> step_outs_, dead_;
  struct Output {
    std::int32_t from;  // as operands_
    bool moves;         // a result, and the last output that shows it
  };
  std::vector<Output> outs_;
  std::uint32_t inputs_ = 0, slots_ = 0;
  std::size_t most_operands_ = 0;
};

Plan::Plan(JaxprPtr jaxpr) : jaxpr_(std::move(jaxpr)) {
  const JaxprBody& j = *jaxpr_;
  inputs_ = slots_ = std::uint32_t(j.invars.size());
  constexpr std::uint32_t kNone = ~0u;
  // The step after which each variable is dead; outputs stay.
  std::vector<std::uint32_t> last(j.types.size(), kNone);
  for (std::uint32_t i = 0; i < j.eqns.size(); ++i) {
    for (Var v = j.eqns[i].out; v < j.eqns[i].out + j.eqns[i].n_out; ++v) last[v] = i;
    for (auto& a : j.eqns[i].in)
      if (a.is_var()) last[a.var()] = i;
  }
  for (auto& a : j.outs)
    if (a.is_var()) last[a.var()] = kNone;
  std::vector<std::uint32_t> slot(j.types.size()), free;
  for (std::uint32_t i = 0; i < inputs_; ++i) slot[j.invars[i]] = i;
  auto place = [&](const Atom& a) -> std::int32_t {
    if (a.is_var()) return std::int32_t(slot[a.var()]);
    literals_.push_back(a.node());
    return ~std::int32_t(literals_.size() - 1);
  };
  for (std::uint32_t i = 0; i < j.eqns.size(); ++i) {
    auto& e = j.eqns[i];
    Step s{&kernel_of(*e.prim, e.loc),
           e.params(),
           nullptr,
           std::uint32_t(operands_.size()),
           std::uint32_t(e.in.size()),
           std::uint32_t(step_outs_.size()),
           e.n_out,
           std::uint32_t(dead_.size()),
           0,
           {-1, -1}};
    most_operands_ = std::max(most_operands_, e.in.size());
    for (auto& a : e.in) operands_.push_back(place(a));
    int reused = 0;
    for (std::size_t k = 0; k < e.in.size(); ++k) {
      const Atom& a = e.in[k];
      auto same = [&](const Atom& b) { return b.is_var() && a.is_var() && b.var() == a.var(); };
      if (!a.is_var() || last[a.var()] != i ||
          std::find_if(e.in.begin(), e.in.begin() + k, same) != e.in.begin() + k)
        continue;
      dead_.push_back(slot[a.var()]);
      bool once = std::count_if(e.in.begin(), e.in.end(), same) == 1;
      if (once && reused < 2 && k < 32 && (s.kernel->in_place >> k & 1) && e.n_out == 1 &&
          !s.kernel->allocates && j.types[a.var()] == j.types[e.out])
        s.reuse[reused++] = std::int32_t(slot[a.var()]);
    }
    for (Var v = e.out; v < e.out + e.n_out; ++v) {
      if (free.empty())
        slot[v] = slots_++;
      else {
        slot[v] = free.back();
        free.pop_back();
      }
      step_outs_.push_back(slot[v]);
      if (last[v] == i) dead_.push_back(slot[v]);  // never used
    }
    for (std::size_t k = s.dead; k < dead_.size(); ++k)
      if (dead_[k] >= inputs_) free.push_back(dead_[k]);
    s.n_dead = std::uint32_t(dead_.size()) - s.dead;
    if (e.n_out) s.type = j.types[e.out];
    steps_.push_back(s);
  }
  for (auto& a : j.outs) outs_.push_back({place(a), false});
  std::vector<char> seen(slots_);
  for (std::size_t i = outs_.size(); i-- > 0;)
    if (std::int32_t v = outs_[i].from; v >= std::int32_t(inputs_))
      outs_[i].moves = !std::exchange(seen[std::size_t(v)], 1);
}

// Kernels with several results, or that make their results themselves.
void Plan::run_general(const Step& s, Args x, Node** frame) const {
  const Equation& e = jaxpr_->eqns[std::size_t(&s - steps_.data())];
  Results y(s.n_out);
  if (!s.kernel->allocates)
    for (std::uint32_t i = 0; i < s.n_out; ++i) y[i] = Array::make(jaxpr_->types[e.out + i]);
  s.kernel->run(x, s.params, y.data());
  for (std::uint32_t i = 0; i < s.n_out; ++i) frame[step_outs_[s.out + i]] = y[i].take();
}

void Plan::run(std::span<Array> in, Array* out, bool donate) const {
  constexpr std::size_t kOnStack = 64;
  Node* small[kOnStack];
  std::vector<Node*> large;
  Node** frame = small;
  const std::size_t words = slots_ + most_operands_;
  if (words > kOnStack) {
    large.resize(words);
    frame = large.data();
  }
  Node** const x = frame + slots_;  // operands of the current step
  std::fill(frame + inputs_, frame + slots_, nullptr);
  for (std::uint32_t i = 0; i < inputs_; ++i) frame[i] = in[i].node();
  struct Guard {  // gives back inputs that were taken, releases results; also when a kernel throws
    Node** frame;
    std::span<Array> in;
    std::uint32_t slots;
    bool donate;
    ~Guard() {
      if (donate)
        for (std::size_t i = 0; i < in.size(); ++i)
          if (!frame[i]) in[i].take();
      for (std::size_t i = in.size(); i < slots; ++i) release(frame[i]);
    }
  } guard{frame, in, slots_, donate};

  const Step* s = steps_.data();
  try {
    for (const Step* end = s + steps_.size(); s != end; ++s) {
      const std::int32_t* operand = operands_.data() + s->in;
      for (std::uint32_t i = 0; i < s->n_in; ++i)
        x[i] = operand[i] >= 0 ? frame[operand[i]] : literals_[std::size_t(~operand[i])];
      const Args operands(reinterpret_cast<const Array*>(x), s->n_in);
      if (s->kernel->allocates || s->n_out != 1) {
        run_general(*s, operands, frame);
      } else {
        Array y;
        for (std::int32_t v : s->reuse) {
          if (v < 0) break;
          if ((std::uint32_t(v) >= inputs_ || donate) && writable(frame[v])) {
            y = Array::adopt(std::exchange(frame[v], nullptr));
            break;
          }
        }
        if (!y.defined()) y = Array::make(s->type);
        s->kernel->run(operands, s->params, &y);
        frame[step_outs_[s->out]] = y.take();
      }
      for (std::uint32_t k = 0; k < s->n_dead; ++k)
        if (std::uint32_t v = dead_[s->dead + k]; v >= inputs_)
          release(std::exchange(frame[v], nullptr));
    }
  } catch (const RuleError& e) {
    fail(e.what(), jaxpr_->eqns[std::size_t(s - steps_.data())].loc, "E11");
  }
  for (std::size_t i = 0; i < outs_.size(); ++i) {
    auto [from, moves] = outs_[i];
    if (moves)
      out[i] = Array::adopt(std::exchange(frame[from], nullptr));
    else
      out[i] = Array::share(from >= 0 ? frame[from] : literals_[std::size_t(~from)]);
  }
}

}  // namespace

std::shared_ptr<const Executable> make_plan(const JaxprBody& j) {
  return std::make_shared<Plan>(passes::optimize(j));
}

}  // namespace jaxpp::internal
