// bounded.h -- loops whose number of steps is known when they have run, and bounded before: what gives while_loop a
// reverse mode.
#pragma once
#include "jaxpp/ops/primitives.h"

namespace jaxpp {

struct BoundedWhileParams {  // a while of at most max_steps iterations
  JaxprPtr body_jaxpr;
  std::int64_t body_nconsts = 0;
  JaxprPtr cond_jaxpr;
  std::int64_t cond_nconsts = 0;
  std::int64_t max_steps = 0;
  JAXPP_PARAMS(BoundedWhileParams, body_jaxpr, body_nconsts, cond_jaxpr, cond_nconsts, max_steps)
};
struct CountedScanParams {  // operands: the number of steps, i32[], then those of scan
  JaxprPtr jaxpr;
  std::int64_t length = 0, num_carry = 0, num_consts = 0;
  bool reverse = false;
  JAXPP_PARAMS(CountedScanParams, jaxpr, length, num_carry, num_consts, reverse)
};
extern const Primitive bounded_while_p, counted_scan_p;

namespace internal {
/// The body of a scan with a number of steps for each lane as first constant (i32[lanes]) and the number of the step as
/// last x: lanes that are done keep their carry, and their ys are zeros.
JaxprPtr held_when_done(const JaxprPtr& body, std::size_t num_consts, std::size_t num_carry,
                        const Shape& lanes);
}  // namespace internal
}  // namespace jaxpp
