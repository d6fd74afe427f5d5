// jit.cc -- the cache of a jit site: traces a function once for each combination of argument types, static values and
// context, then calls the backend's executable.
//
// The last entry is tried first without a lock (one pointer compare per leaf); other entries are searched under the
// cache's mutex.  A function that closes over a tracer of an enclosing transform is valid for one call only, and is not
// remembered.
#include <algorithm>
#include "jaxpp/core/backend.h"
#include "jaxpp/core/nan_check.h"
#include "jaxpp/core/profile.h"
#include "jaxpp/flat.h"
#include "jaxpp/math.h"
#include "jaxpp/ops/primitives.h"
#include "jaxpp/safe_gradients.h"

namespace jaxpp::internal {

struct JitCache::Entry {
  SmallVec<Type, 4> key;
  StaticKey statics;
  std::shared_ptr<const void> static_value;  // what statics.value points to
  std::vector<std::pair<std::string, std::int64_t>> axes;
  DType default_dtype = DType::f32;
  bool safe_gradients = false, checks_nans = false;  // then equations know their origins
  CallParams params;
  std::vector<Array> consts;
  std::shared_ptr<const void> out_tree;
  std::size_t n_out = 0;
};
struct JitCache::State {
  std::mutex mutex;
  std::vector<std::shared_ptr<const Entry>> entries;
  std::string log;  // one line per compilation
};
JitCache::JitCache() : state(std::make_unique<State>()) {}
JitCache::~JitCache() = default;
std::string JitCache::explain() const {
  std::lock_guard lock(state->mutex);
  return state->log;
}
std::size_t JitCache::size() const {
  std::lock_guard lock(state->mutex);
  return state->entries.size();
}

namespace {
using Entry = JitCache::Entry;

Type type_of(const Array& a) { return a.defined() ? a.type() : nullptr; }
bool same_axes(const Entry& e) {
  const AxisFrame* f = context.axes;
  for (auto& [name, size] : e.axes) {
    if (!f || f->size != size || f->name != name) return false;
    f = f->outer;
  }
  return !f;
}
bool matches(const Entry& e, Args x, const StaticKey& s) {
  if (e.key.size() != x.size()) return false;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (e.key[i] != type_of(x[i])) return false;
  if (e.statics.type != s.type || (s.equal && !s.equal(e.statics.value, s.value))) return false;
  return e.default_dtype == default_dtype() && e.safe_gradients == gradients_are_safe() &&
         e.checks_nans == checking_nans() && same_axes(e);
}
std::string signature(Args x) {
  std::string s;
  for (const Array& a : x)
    s += (s.empty() ? "" : ", ") + (a.defined() ? a.type()->str() : std::string("null"));
  return "(" + s + ")";
}
// What differs from the entry that is nearest: the one with the fewest different leaves.
std::string difference(std::span<const std::shared_ptr<const Entry>> entries, Args x,
                       const StaticKey& s) {
  std::string best;
  std::size_t fewest = SIZE_MAX;
  for (auto& e : entries) {
    std::string d;
    std::size_t n = 0;
    auto note = [&](const std::string& what) {
      ++n;
      d += (d.empty() ? "" : "; ") + what;
    };
    if (e->key.size() != x.size())
      note("there were " + std::to_string(e->key.size()) + " arrays, now " +
           std::to_string(x.size()));
    for (std::size_t i = 0; i < std::min(x.size(), e->key.size()); ++i)
      if (Type t = type_of(x[i]); e->key[i] != t)
        note("array " + std::to_string(i) + " was " + (e->key[i] ? e->key[i]->str() : "null") +
             ", now " + (t ? t->str() : "null"));
    if (e->statics.type != s.type || (s.equal && !s.equal(e->statics.value, s.value)))
      note("a static value or the structure of a container changed");
    if (!same_axes(*e)) note("it is called under other named axes");
    if (e->default_dtype != default_dtype()) note("the default dtype changed");
    if (e->safe_gradients != gradients_are_safe()) note("safe_gradients was switched");
    if (e->checks_nans != checking_nans()) note("debug_nans was switched");
    if (n < fewest) {
      fewest = n;
      best = d;
    }
  }
  return best;
}

std::shared_ptr<const Entry> trace_entry(const char* name, FlatFn f, Args x,
                                         const StaticKey& statics,
                                         std::shared_ptr<const void>* out_tree, Loc loc) {
  TrailFrame frame("jit", loc);
  profile::Slice slice("trace", name);
  auto e = std::make_shared<Entry>();
  std::vector<Type> types;
  for (const Array& a : x) {
    e->key.push_back(type_of(a));
    if (a.defined()) types.push_back(a.type());
  }
  // Null arrays are empty nodes of the arguments: the program does not see them.
  auto with_nulls = [&](Args in, Results& y) {
    Borrowed all;
    std::size_t k = 0;
    for (Type t : e->key) {
      if (t)
        all.push(in[k++]);
      else
        all.push(nullptr);
    }
    f(all, y);
  };
  Closed c = trace_to_jaxpr(types, flat(with_nulls));
  e->params = {c.jaxpr, name};
  e->consts = std::move(c.consts);
  e->n_out = c.jaxpr->outs.size();
  if (out_tree) e->out_tree = *out_tree;
  for (const AxisFrame* a = context.axes; a; a = a->outer) e->axes.emplace_back(a->name, a->size);
  e->default_dtype = default_dtype();
  e->safe_gradients = gradients_are_safe();
  e->checks_nans = checking_nans();
  e->statics = statics;
  if (statics.clone) {
    e->static_value = statics.clone(statics.value);
    e->statics.value = e->static_value.get();
  }
  return e;
}

// The entry for these arguments: found, or traced and remembered.  `hold` keeps an entry that is not remembered.
const Entry* entry_for(JitCache& cache, const char* name, FlatFn f, Args x,
                       const StaticKey& statics, std::shared_ptr<const void>* out_tree,
                       std::shared_ptr<const Entry>& hold, Loc loc) {
  const Entry* last = cache.last.load(std::memory_order_acquire);
  if (last && matches(*last, x, statics)) [[likely]]
    return last;
  JitCache::State& s = *cache.state;
  auto find = [&]() -> const Entry* {
    for (auto& e : s.entries)
      if (matches(*e, x, statics)) return e.get();
    return nullptr;
  };
  {
    std::lock_guard lock(s.mutex);
    if (const Entry* e = find()) {
      cache.last.store(e, std::memory_order_release);
      return e;
    }
  }
  hold = trace_entry(name, f, x, statics, out_tree, loc);
  bool closes_over_tracer = std::any_of(hold->consts.begin(), hold->consts.end(),
                                        [](const Array& a) { return !a.concrete(); });
  std::lock_guard lock(s.mutex);
  s.log += std::string(name) + ": compiled for " + signature(x);
  if (!s.entries.empty()) s.log += ": " + difference(s.entries, x, statics);
  s.log += closes_over_tracer ? "; it closes over traced values, so this call only.\n" : ".\n";
  if (closes_over_tracer) return hold.get();
  if (const Entry* e = find()) return e;  // another thread was first
  s.entries.push_back(hold);
  cache.last.store(hold.get(), std::memory_order_release);
  return hold.get();
}
}  // namespace

namespace {
// Where the arguments are, if the caller did not say.
Device place(const std::optional<Device>& wanted, Args x) {
  if (wanted) return *wanted;
  for (const Array& a : x)
    if (a.defined() && a.on_device()) return a.device();
  return default_device();
}
}  // namespace

void jit_flat(JitCache& cache, const char* name, FlatFn f, std::span<Array> x,
              const StaticKey& statics, std::shared_ptr<const void>* out_tree, Results& y,
              bool donate, const JitTarget& target, Loc loc) {
  std::shared_ptr<const Entry> hold;
  const Entry* e = entry_for(cache, name, f, x, statics, out_tree, hold, loc);
  if (out_tree && e->out_tree) *out_tree = e->out_tree;
  const std::size_t at = y.size();
  y.resize(at + e->n_out);
  bool plain = !context.trace && e->consts.empty();  // no transform around, nothing captured
  for (const Array& a : x) plain &= a.defined() && a.concrete();
  const auto run = [&](std::span<Array> in) {
    const bool checked = checking_nans();
    run_jaxpr(*e->params.jaxpr, in, y.data() + at, donate && !checked,
              {place(target.device, in), target.contract});
    if (checked) [[unlikely]]
      check_results_of(jit_p, in, e->params, args(y).subspan(at), loc);
  };
  if (plain) [[likely]]
    return run(x);
  if (context.trace) {
    Borrowed in(Args{e->consts});
    for (const Array& a : x)
      if (a.defined()) in.push(a);
    return jit_p.bind(in, e->params, y.data() + at, loc);
  }
  std::vector<Array> in(e->consts);
  for (Array& a : x) {
    if (!a.defined()) continue;
    if (!a.concrete()) throw_leak(a.node(), loc);
    if (donate)
      in.push_back(std::move(a));
    else
      in.push_back(a);
  }
  run(in);
}
CompiledProgram jit_compile_flat(JitCache& cache, const char* name, FlatFn f, Args x,
                                 const StaticKey& statics, std::shared_ptr<const void>* out_tree,
                                 const JitTarget& target, Loc loc) {
  std::shared_ptr<const Entry> hold;
  const Entry* e = entry_for(cache, name, f, x, statics, out_tree, hold, loc);
  const JaxprPtr j = e->params.jaxpr;
  return {j, &executable_of(*j, {place(target.device, x), target.contract}), e->consts};
}
std::string loops_text(const CompiledProgram& p) { return p.executable->loops(); }
std::string cuda_text(const CompiledProgram& p) { return p.executable->cuda(); }
std::string llvm_text(const CompiledProgram& p) { return p.executable->llvm(); }
std::string assembly_text(const CompiledProgram& p) { return p.executable->assembly(); }
CompileTimes compile_times(const CompiledProgram& p) { return p.executable->times(); }
void call_raw(const CompiledProgram& p, const void* const* in, void* const* out) {
  bool done;
  if (p.consts.empty()) [[likely]] {
    done = p.executable->run_raw(in, out);
  } else {
    SmallVec<const void*, 16> all;
    for (const Array& a : p.consts) all.push_back(a.data<char>());
    for (std::size_t i = p.consts.size(); i < p.jaxpr->invars.size(); ++i) all.push_back(*in++);
    done = p.executable->run_raw(all.data(), out);
  }
  if (!done)
    throw DeviceError(
        "call: raw memory is for programs compiled for the CPU; call the compiled function with "
        "Arrays, or compile with {.device = cpu()}.  [E99]");
}
MemoryUse memory_use(const CompiledProgram& p) { return p.executable->memory(); }
CostEstimate cost_estimate(const CompiledProgram& p) { return p.executable->cost(); }

}  // namespace jaxpp::internal
