// nan_check.h -- debug_nans and debug_infs: an error at the first operation whose result holds a NaN, or an infinity.
//
//   auto scope = debug_nans();            // this thread, until the scope ends; JAXPP_DEBUG_NANS=1: all threads, always
//   grad(jit(loss))(params);              // throws FloatingPointError: which equation, on which operands, at which line
//
// Results are looked at after each operation that runs outside of compiled programs, and after each call of a compiled
// program; where a program's result holds a NaN, it is run again from its jaxpr, operation by operation, to find the
// first one, also in the iterations of loops.  Costs nothing while off.
#pragma once
#include <atomic>
#include "jaxpp/core/primitive.h"

namespace jaxpp {

struct FloatingPointError
    : Error {  ///< debug_nans, debug_infs: an operation made a NaN, an infinity
  using Error::Error;
};

/// Restores the previous setting at the end of its scope.
class [[nodiscard]] NanCheckScope {
 public:
  explicit NanCheckScope(unsigned checks);
  NanCheckScope(const NanCheckScope&) = delete;
  ~NanCheckScope();

 private:
  int saved_;
};
/// Makes operations of this thread throw FloatingPointError where a result holds a NaN; or, with false, stop doing so.
NanCheckScope debug_nans(bool on = true);
/// The same for infinities.
NanCheckScope debug_infs(bool on = true);

namespace internal {
extern template void fail<FloatingPointError>(const std::string&, Loc, const char*,
                                              const std::string&);

enum NanChecks : unsigned { kNoChecks = 0, kCheckNans = 1, kCheckInfs = 2 };
extern constinit std::atomic<int> nan_check_scopes;  // of all threads, and one for the environment
unsigned nan_checks_here();                          // bits of NanChecks
/// Do operations of this thread look at their results?
inline bool checking_nans() {
  return nan_check_scopes.load(std::memory_order_relaxed) != 0 && nan_checks_here() != 0;
}
/// The index of the first element that is checked for, or -1.
std::int64_t first_bad(const Array&, unsigned checks);
/// Throws if a result of an operation holds what is checked for.  Defined in transforms/.
void check_results_of(const Primitive&, Args x, Params, Args y, Loc);

/// What is being run again, for the text of the error.  Lives on the stack.
struct NanTrail {
  std::string what;  // "iteration 3 of scan"
  const NanTrail* outer;
  explicit NanTrail(std::string w);
  NanTrail(const NanTrail&) = delete;
  ~NanTrail();
  static std::string text();
};
}  // namespace internal
}  // namespace jaxpp
