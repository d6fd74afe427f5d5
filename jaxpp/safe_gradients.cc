// safe_gradients.cc -- the setting of this thread; linearization looks at it.
#include "jaxpp/safe_gradients.h"

namespace jaxpp {
namespace {
constinit thread_local bool safe = false;
}

bool internal::gradients_are_safe() { return safe; }
SafeGradientsScope::SafeGradientsScope(bool on) : saved_(std::exchange(safe, on)) {}
SafeGradientsScope::~SafeGradientsScope() { safe = saved_; }
SafeGradientsScope safe_gradients() { return SafeGradientsScope(true); }

}  // namespace jaxpp
