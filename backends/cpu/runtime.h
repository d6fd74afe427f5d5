// runtime.h -- what generated code gets from whoever calls it: where arrays are, and functions, in a table: the disk keeps
// code, so that code must not contain addresses.
#pragma once
#include <cstdint>

namespace jaxpp::native {

struct Runtime;
/// A program.  scratch: memory of its own, 64-byte aligned.
using Entry = void (*)(const Runtime*, char* scratch);
/// One chunk of a loop.
using Part = void (*)(const Runtime*, char* scratch, std::int64_t chunk);

struct Runtime {
  const void* const* in;         // elements of the inputs
  void* const* out;              // of the outputs
  char* arena;                   // of the temps
  const void* const* constants;  // elements of the constants
  /// Runs a part for all its chunks, on the pool.
  void (*parallel)(const Runtime*, Part, std::int64_t chunks);
  /// Call k of the program; operands: the addresses of its operands, then of its results.
  void (*call)(const Runtime*, std::int64_t k, void** operands);
  /// Operation k without a generated form, on n elements; operands: addresses of its operands, then of its results, all
  /// of them full, in the format of arrays.
  void (*block)(const Runtime*, std::int64_t k, void** operands, std::int64_t n);
};
/// The members of Runtime, by number: all are pointers.
enum Slot : int {
  kInSlot,
  kOutSlot,
  kArenaSlot,
  kConstantsSlot,
  kParallelSlot,
  kCallSlot,
  kBlockSlot
};

}  // namespace jaxpp::native
