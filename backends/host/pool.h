// pool.h -- the threads of this process: one pool for compiled loops, kernels and library calls.
//
//   parallel_for(chunks, [&](std::int64_t c) { ... });
//
// Work is given as numbered chunks; what a chunk computes must not depend on who runs it, so that results have the same
// bits for any number of threads.  A caller takes part, and waits for chunks, not for workers.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>
#include "jaxpp/threads.h"

namespace jaxpp::host {

/// Threads that work at a time, the caller included.
inline int threads() { return num_threads(); }

/// run(context, c) for c = 0 .. chunks - 1, on any threads, in any order, at the same time.  Returns when all are done;
/// what they wrote is then visible.  Nested calls, and calls while another thread uses the pool, run in the caller.
/// If chunks throw, the others run all the same, and the caller gets one of the exceptions.
void parallel_for(std::int64_t chunks, void (*run)(void* context, std::int64_t chunk),
                  void* context);

template <class F>
void parallel_for(std::int64_t chunks, F&& f) {
  using Body = std::remove_reference_t<F>;
  parallel_for(
      chunks, [](void* context, std::int64_t c) { (*static_cast<Body*>(context))(c); },
      const_cast<void*>(static_cast<const void*>(std::addressof(f))));
}

/// Estimated work below which it is not worth waking anybody: about 20 us.
inline constexpr double kSerialNanoseconds = 20000;

/// f(begin, end) over pieces of 0 .. n, each of `grain` elements but the last.  The pieces depend on n and grain only.
template <class F>
void parallel_ranges(std::int64_t n, std::int64_t grain, F&& f) {
  if (n <= grain) {
    if (n > 0) f(std::int64_t(0), n);
    return;
  }
  parallel_for((n + grain - 1) / grain, [&](std::int64_t c) {
    const std::int64_t begin = c * grain, end = begin + grain;
    f(begin, end < n ? end : n);
  });
}

}  // namespace jaxpp::host
