// checkpoint.h -- less memory for reverse mode: a checkpointed function keeps its inputs, and what
// a policy names, and recomputes the rest when the derivative is taken.
//
//   auto block = checkpoint([](Layer l, Array x) { ... },
//                           {.policy = save_dots | save_named("logits")});
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {

/// Which intermediate results are kept.  Policies are joined by |: what either keeps is kept.
enum class CheckpointSave { nothing = 0, everything = 1, dots = 2, dots_without_batch = 4 };
inline constexpr CheckpointSave save_nothing = CheckpointSave::nothing,
                                save_everything = CheckpointSave::everything,
                                save_dots =
                                    CheckpointSave::dots,  ///< results of dot_general (matmul)
    save_dots_without_batch = CheckpointSave::dots_without_batch;
struct CheckpointPolicy {
  unsigned kinds = 0;
  std::vector<std::string> names{};  ///< values marked by checkpoint_name
  CheckpointPolicy() = default;
  CheckpointPolicy(CheckpointSave kind) : kinds(unsigned(kind)) {}
};
template <std::convertible_to<std::string>... S>
CheckpointPolicy save_named(S&&... names) {
  CheckpointPolicy p;
  p.names = {std::string(std::forward<S>(names))...};
  return p;
}
CheckpointPolicy operator|(CheckpointPolicy a, const CheckpointPolicy& b);
inline CheckpointPolicy operator|(CheckpointSave a, CheckpointSave b) {
  return CheckpointPolicy(a) | CheckpointPolicy(b);
}

struct CheckpointOptions {
  CheckpointPolicy policy{};
};
namespace internal {
/// Null: nothing is kept.
std::shared_ptr<const SavePolicy> make_save_policy(const CheckpointPolicy&);
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
    internal::Results x = internal::leaves(in), y;
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
