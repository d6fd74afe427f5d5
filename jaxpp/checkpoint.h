// checkpoint.h -- less memory for reverse mode: a checkpointed function keeps its inputs, and what
// a policy names, and recomputes the rest when the derivative is taken.
//
//   auto block = checkpoint([](Layer l, Array x) { ... },
//                           {.policy = save_dots | save_named("logits")});
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {

/// Which intermediate results are kept.  Policies are joined by |: what either keeps is kept.
enum class Save { nothing = 0, everything = 1, dots = 2, dots_without_batch = 4 };
inline constexpr Save save_nothing = Save::nothing, save_everything = Save::everything,
                      save_dots = Save::dots,  ///< results of dot_general (matmul)
    save_dots_without_batch = Save::dots_without_batch;
struct Policy {
  unsigned kinds = 0;
  std::vector<std::string> names{};  ///< values marked by checkpoint_name
  Policy() = default;
  Policy(Save kind) : kinds(unsigned(kind)) {}
};
template <std::convertible_to<std::string>... S>
Policy save_named(S&&... names) {
  Policy p;
  p.names = {std::string(std::forward<S>(names))...};
  return p;
}
Policy operator|(Policy a, const Policy& b);

struct CheckpointOptions {
  Policy policy{};
};
namespace internal {
/// Null: nothing is kept.
std::shared_ptr<const SavePolicy> make_save_policy(const Policy&);
}  // namespace internal

template <class F>
struct Checkpoint {
  using Traced = F;
  F f;
  std::shared_ptr<const internal::SavePolicy> policy;
  Loc loc;
  template <class... A>
  auto operator()(A&&... a) const {
    auto in = internal::as_args<F>(std::forward<A>(a)...);
    auto run = internal::flattened(f, in);
    Results x = internal::leaves(in), y;
    internal::checkpoint_flat(internal::flat(run), args(x), policy, y, loc);
    return run.with(args(y));
  }
};
/// f with the same values and derivatives; reverse mode recomputes what it does not keep.
template <class F>
auto checkpoint(F f, CheckpointOptions options = {}, Loc loc = Loc::current()) {
  return Checkpoint<F>{std::move(f), internal::make_save_policy(options.policy), loc};
}
/// x, under a name that save_named can refer to.
Array checkpoint_name(const Array& x, const std::string& name, Loc = Loc::current());

}  // namespace jaxpp
