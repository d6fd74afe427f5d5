// eval.cc -- running a jaxpr: equation by equation under the current trace, or at once by the backend's executable.
#include "jaxpp/core/backend.h"

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
    e.prim->bind(x, e.params(), e.n_out ? &env[e.out] : nullptr, e.loc);
  }
  for (auto& a : j.outs) out.push_back(a.is_var() ? env[a.var()] : a.value());
}

namespace {
const Executable& executable_of(const JaxprBody& j) {
  const Executable* e = j.executable.load(std::memory_order_acquire);
  if (!e) {
    using Ptr = std::shared_ptr<const Executable>;
    Scope none(nullptr);
    e = j.memo<Ptr>("executable", [&] { return backend().compile(j); })->get();
    j.executable.store(e, std::memory_order_release);
  }
  return *e;
}
}  // namespace

void run_jaxpr(const JaxprBody& j, std::span<Array> in, Array* out, bool donate) {
  executable_of(j).run(in, out, donate);
}
void run_jaxpr(const JaxprBody& j, Args in, Array* out) {
  executable_of(j).run({const_cast<Array*>(in.data()), in.size()}, out, false);
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
