// compare.h -- is a result what the corpus expects?  (docs/jaxpr-json.md, "Compare")
#pragma once
#include <string>
#include "jaxpp/core/array.h"

namespace conformance {

struct Tolerance {
  double rtol = 0, atol = 0;
  bool normwise = false;   // relative to the largest element of the array
  bool subnormal = false;  // the reference flushed subnormal numbers to zero
};
/// Empty if equal; otherwise what differs most.
std::string difference(const jaxpp::Array& got, const jaxpp::Array& want, const Tolerance&);

}  // namespace conformance
