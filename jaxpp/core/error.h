// error.h -- what is thrown, and how a message is made.
//
// A message reads:  operation: what is wrong, with types.  [id]
//                     at file:line of the user's expression, while <transforms in progress>.  Remedy.
// Every id is explained in docs/errors.md.
#pragma once
#include <source_location>
#include <stdexcept>
#include <string>

namespace jaxpp {

using Loc = std::source_location;

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct TypeError : Error {  ///< shapes, dtypes, axes or arguments that do not fit an operation
  using Error::Error;
};
struct ConcretizationError : Error {  ///< the value of a traced array was asked for
  using Error::Error;
};
struct TracerLeakError : Error {  ///< a traced value outlived its transform
  using Error::Error;
};
struct DeviceError : Error {  ///< a device that is not there, or that failed
  using Error::Error;
};
struct ParseError : Error {  ///< malformed text or JSON
  using Error::Error;
};

namespace internal {
/// Thrown by shape rules and kernels, which know no location; whoever called them adds it.
struct RuleError : Error {
  using Error::Error;
};
std::string where(Loc loc);  // "file:line"
/// Throws E{what + [id] + at file:line + the trail of transforms + remedy}.
template <class E = TypeError>
[[noreturn]] void fail(const std::string& what, Loc loc, const char* id = "",
                       const std::string& remedy = "");
extern template void fail<TypeError>(const std::string&, Loc, const char*, const std::string&);
extern template void fail<ConcretizationError>(const std::string&, Loc, const char*,
                                               const std::string&);
extern template void fail<TracerLeakError>(const std::string&, Loc, const char*,
                                           const std::string&);
extern template void fail<Error>(const std::string&, Loc, const char*, const std::string&);

/// One entry of the trail "while tracing the function given to grad (mlp.cpp:57)".  Lives on the stack of a transform.
struct TrailFrame {
  const char* transform;
  Loc loc;
  TrailFrame* outer;
  TrailFrame(const char* transform, Loc loc);
  TrailFrame(const TrailFrame&) = delete;
  ~TrailFrame();
};
}  // namespace internal
}  // namespace jaxpp
