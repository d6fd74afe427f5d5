// eval.cc -- running a jaxpr: equation by equation under the current trace, or at once by the backend's executable.
#include <list>
#include <unordered_map>
#include "jaxpp/core/backend.h"
#include "jaxpp/core/origin_scope.h"

namespace jaxpp {
using namespace internal;
namespace internal {

void eval_jaxpr(const JaxprBody& j, Args in, Results& out) {
  UserScope scope(context.trace);  // each equation brings its own line
  std::vector<Array> env(j.types.size());
  for (std::size_t i = 0; i < in.size(); ++i) env[j.invars[i]] = in[i];
  for (const auto& e : j.eqns) {
    Borrowed x;
    for (auto& a : e.in) x.push(a.is_var() ? env[a.var()].node() : a.node());
    const DebugOrigin origin([&] { return e.origin; });
    e.prim->bind(x, e.params(), e.n_out ? &env[e.out] : nullptr, e.loc);
  }
  for (auto& a : j.outs) out.push_back(a.is_var() ? env[a.var()] : a.value());
}

const Executable& executable_of(const JaxprBody& j, const CompileTarget& target) {
  using Ptr = std::shared_ptr<const Executable>;
  const bool plain = target == CompileTarget();
  if (plain)
    if (const Executable* e = j.executable.load(std::memory_order_acquire)) return *e;
  Scope none(nullptr);
  std::string key = "executable";
  if (!plain) key += " " + to_string(target.device);
  if (!target.contract) key += " uncontracted";
  if (target.eager) key += " eager";
  const Executable* e = j.memo<Ptr>(key, [&] { return backend().compile(j, target); })->get();
  if (plain) j.executable.store(e, std::memory_order_release);
  return *e;
}
void run_jaxpr(const JaxprBody& j, std::span<Array> in, Array* out, bool donate) {
  executable_of(j).run(in, out, donate);
}
void run_jaxpr(const JaxprBody& j, std::span<Array> in, Array* out, bool donate,
               const CompileTarget& target) {
  executable_of(j, target).run(in, out, donate);
}
void run_jaxpr(const JaxprBody& j, Args in, Array* out) {
  executable_of(j).run({const_cast<Array*>(in.data()), in.size()}, out, false);
}

// ---- Programs of one equation
namespace {
bool is(const JaxprBody& j, const Primitive& p, Args x, Params params) {
  const Equation& e = j.eqns[0];
  if (e.prim != &p || j.invars.size() != x.size() || !(e.params() == params)) return false;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (j.types[i] != x[i].type()) return false;
  return true;
}
std::size_t hash_of(const Primitive& p, Args x) {
  std::size_t h = std::hash<const void*>()(&p);
  for (const Array& a : x) h = (h ^ std::hash<const void*>()(a.type())) * 0x9e3779b97f4a7c15u;
  return h;
}
class Programs {
 public:
  JaxprPtr find(std::size_t hash, const Primitive& p, Args x, Params params) {
    std::lock_guard lock(mutex_);
    auto [from, to] = by_hash_.equal_range(hash);
    for (auto it = from; it != to; ++it)
      if (is(**it->second, p, x, params)) {
        recent_.splice(recent_.begin(), recent_, it->second);
        return *it->second;
      }
    return nullptr;
  }
  void insert(std::size_t hash, JaxprPtr j) {
    constexpr std::size_t kMost = 512;
    JaxprPtr oldest;  // destroyed after the lock is given back: it may hold anything
    std::lock_guard lock(mutex_);
    recent_.push_front(std::move(j));
    by_hash_.emplace(hash, recent_.begin());
    if (recent_.size() <= kMost) return;
    oldest = std::move(recent_.back());
    for (auto it = by_hash_.begin(); it != by_hash_.end(); ++it)
      if (it->second == std::prev(recent_.end())) {
        by_hash_.erase(it);
        break;
      }
    recent_.pop_back();
  }

 private:
  std::mutex mutex_;
  std::list<JaxprPtr> recent_;  // the one used last comes first
  std::unordered_multimap<std::size_t, std::list<JaxprPtr>::iterator> by_hash_;
};
}  // namespace

JaxprPtr program_of(const Primitive& p, Args x, Params params, Loc loc) {
  static auto& programs = *new Programs;
  const std::size_t hash = hash_of(p, x);
  if (JaxprPtr j = programs.find(hash, p, x, params)) return j;
  auto j = std::make_shared<JaxprBody>();
  SmallVec<Type, 8> types;
  Equation e{&p, params.ops ? params.ops->clone(params.data) : nullptr, params.ops, {}, 0, 0, loc};
  for (const Array& a : x) {
    types.push_back(a.type());
    const Var v = j->new_var(a.type());
    j->invars.push_back(v);
    e.in.push_back(Atom::var(v));
  }
  SmallVec<Type, 4> out(p.outputs(params));
  p.shape({types.data(), types.size()}, params, out.data());
  e.out = Var(j->types.size());
  e.n_out = std::uint32_t(out.size());
  for (Type t : out) j->outs.push_back(Atom::var(j->new_var(t)));
  j->eqns.push_back(std::move(e));
  programs.insert(hash, j);
  return j;
}
}  // namespace internal

std::vector<Array> eval_jaxpr(const Jaxpr& j, Args in) {
  Results out;
  internal::Borrowed all(Args{j.consts()});
  all.append(in);
  const auto& body = *j.body();
  if (all.size() != body.invars.size())
    throw TypeError("eval_jaxpr: the program takes " +
                    std::to_string(body.invars.size() - j.consts().size()) + " arguments, got " +
                    std::to_string(in.size()) + ".  [E12]");
  for (std::size_t i = 0; i < all.size(); ++i)
    if (Args(all)[i].type() != body.types[body.invars[i]])
      throw TypeError("eval_jaxpr: argument " + std::to_string(i - j.consts().size()) + " is " +
                      Args(all)[i].type()->str() + ", the program takes " +
                      body.types[body.invars[i]]->str() + ".  [E12]");
  internal::eval_jaxpr(body, all, out);
  return {out.begin(), out.end()};
}

}  // namespace jaxpp
