// emulator_launch.h -- runs a kernel that was compiled for the host: its blocks one after another, the threads of a block
// as fibers, in an order of choice.
//
// What a device would answer with a hang, garbage or a fault becomes an Error that names kernel, block, thread and line:
// barriers that not all threads reach, shuffles that not all lanes execute, accesses outside memory or not aligned.
// Shared memory is full of NaNs when a block starts.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "backends/cuda/driver.h"

namespace jaxpp::cuda::emulation {

// Shared with compiled kernels: see emulator_shim.inc.
struct State {
  unsigned thread[3], block[3], block_dim[3], grid_dim[3];
  void* dynamic;
};
struct Calls {
  std::uint64_t (*warp)(int operation, std::uint32_t mask, std::uint64_t value, int lane, int line);
  int (*block)(int operation, int predicate, int line);
  void (*fail)(const char* what, const void* address, int line);
};
struct Kernel {
  const char* name;
  void (*run)(void* const* arguments);
  int parameters;
  const int* sizes;  // of the parameters, in bytes
  int bound;         // of __launch_bounds__; 0: none
};
struct Image {
  const Kernel* kernels;
  int count;
  State* state;
  const Calls** calls;
  char *shared_begin, *shared_end;
};

inline constexpr int kMaxThreads = 1024;
inline constexpr int kMaxStaticShared = 48 << 10, kMaxShared = 227 << 10, kMaxParameters = 4096;

struct Launch {
  const Image* image = nullptr;
  const Kernel* kernel = nullptr;
  Dim3 grid, block;
  struct Range {
    char* begin;
    std::size_t size;
  };
  std::span<const Range> shared;  // static shared memory that it may use
  int static_shared = 0;          // bytes of it that are certainly its own
  unsigned dynamic_shared = 0;
  void* const* arguments = nullptr;
  EmulatorOptions::Schedule schedule = EmulatorOptions::Schedule::forward;
  std::uint32_t seed = 1;
  std::function<std::string(std::uintptr_t)> describe;  // where an address is, for messages
};
/// Throws Error if the launch is beyond a device's limits.
void check_limits(const Launch&);
/// Runs it to its end.  One at a time in a process.
void run(const Launch&);

}  // namespace jaxpp::cuda::emulation
