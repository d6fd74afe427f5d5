// runtime.h -- what generated code calls.  It finds functions in a table, by slot: the disk keeps code, so that code must
// not contain addresses.
#pragma once
#include <cstdint>

namespace jaxpp::native {

struct Runtime;
/// A program, or one chunk of a top-level loop.  bases: the address of every buffer.  scratch: memory of its own.
using Entry = void (*)(void** bases, const Runtime*, char* scratch);
using Part = void (*)(void** bases, const Runtime*, char* scratch, std::int64_t chunk);

struct Runtime {
  /// Runs a part for all its chunks, on the pool.
  void (*parallel)(const Runtime*, Part, void** bases, std::int64_t chunks);
  /// Call k of the program; operands: the addresses of its operands, then of its results.
  void (*call)(const Runtime*, std::int64_t k, void** operands);
  /// Operation k without a generated form, on n elements; operands: addresses of its operands, then of its results, all
  /// of them full, in the format of arrays.
  void (*block)(const Runtime*, std::int64_t k, void** operands, std::int64_t n);
};
enum Slot : int { kParallelSlot, kCallSlot, kBlockSlot };

}  // namespace jaxpp::native
