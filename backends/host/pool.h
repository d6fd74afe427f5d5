// pool.h -- the threads of this process: one pool for compiled loops, kernels and library calls.
//
//   parallel_for(chunks, [&](std::int64_t c) { ... });
//
// Work is given as numbered chunks; what a chunk computes must not depend on who runs it, so that results have the same
// bits for any number of threads.  A caller takes part, and waits for chunks, not for workers.
#pragma once
#include <cstdint>
#include <type_traits>

namespace jaxpp::host {

/// Threads that work at a time, the caller included.  At first: JAXPP_NUM_THREADS, else the cores that this process may use.
int threads();
/// n >= 1; 1: everything runs in the caller.  Throws Error [E..] otherwise.  Not while a parallel_for runs.
void set_threads(int n);

/// run(context, c) for c = 0 .. chunks - 1, on any threads, in any order, at the same time.  Returns when all are done;
/// what they wrote is then visible.  Nested calls, and calls while another thread uses the pool, run in the caller.
/// `run` must not throw.
void parallel_for(std::int64_t chunks, void (*run)(void* context, std::int64_t chunk), void* context);

template <class F>
void parallel_for(std::int64_t chunks, F&& f) {
  parallel_for(
      chunks, [](void* context, std::int64_t c) { (*static_cast<std::remove_reference_t<F>*>(context))(c); },
      const_cast<void*>(static_cast<const void*>(&f)));
}

/// Estimated work below which it is not worth waking anybody: about 20 us.
inline constexpr double kSerialNanoseconds = 20000;

}  // namespace jaxpp::host
