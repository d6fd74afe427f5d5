// host_fn.h -- a function of the host, as the callback primitives carry it.
#pragma once
#include <functional>
#include "jaxpp/core/primitive.h"
#include "jaxpp/ops/params.h"

namespace jaxpp {

struct IoCallbackParams {
  internal::Opaque callback;
  bool ordered = false;
  std::vector<internal::Type> out_types;
  JAXPP_PARAMS(IoCallbackParams, callback, ordered, out_types)
};
/// A callback with effects and results: runs once each time, in the order of the program.
extern const Primitive io_callback_p;

namespace internal {

/// Called on concrete values while a program runs.  Held, type-erased, by the Opaque of CallbackParams.
struct HostFn {
  std::string name;
  std::function<void(Args, Results&)> fn;
};
/// The host function of an equation; throws if there is none (a program read from text has no host functions).
const HostFn& host_fn(const Opaque& callback, const char* op);
/// Results against the types that were declared: kernels must not trust the host's word.
void check_results(const char* op, std::span<const Type> declared, const Results& y);

}  // namespace internal
}  // namespace jaxpp
