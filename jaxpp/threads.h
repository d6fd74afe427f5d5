// threads.h -- how many threads compute.
//
//   set_num_threads(4);      // from now on; 1: everything runs in the caller
//   int n = num_threads();   // at first JAXPP_NUM_THREADS, else the cores this process may use
//
// One pool of threads serves kernels, compiled programs and library calls.  Results have the same
// bits for any number of threads.  Threads are started when there is work for them.
#pragma once
#include <source_location>

namespace jaxpp {

/// Threads that compute at a time, the calling one included.
/// Throws Error if JAXPP_NUM_THREADS is set to something else than a whole number from 1 to 1024.
int num_threads();

/// Takes effect with the next operation; may be called at any time, from any thread.
/// Throws Error unless 1 <= n <= 1024.
void set_num_threads(int n, std::source_location = std::source_location::current());

}  // namespace jaxpp
