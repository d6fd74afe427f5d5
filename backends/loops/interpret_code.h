// interpret_code.h -- a loop program made ready to run: flat instructions over places.
//
// A place is an address: an entry of the run's table of bases, plus bytes.  Bases are the regions of the run's memory, the
// buffers of the program, and addresses that move with a loop (walks).  So reading an element at a place, or a row of
// elements from there on, is no instruction at all, and one form of operand serves scalars, rows in registers, rows in
// memory and constants.
//
// One instruction computes one element, or one for each lane: lanes are iterations of a parallel loop, the block loop, that
// go through the instructions together.
#pragma once
#include "backends/loops/interpret_loops.h"
#include "backends/loops/kernel_call.h"

namespace jaxpp::loops::interpret {

inline constexpr std::int64_t kMostLanes = 1024;
inline constexpr std::int64_t kFlush = 64;  // rows added to one before that is added to its place

struct Place {
  std::uint32_t base = 0;
  std::int32_t at = 0;  // bytes
  bool operator==(const Place&) const = default;
};

/// One element; the lanes of the current block.  Further counts never change.
enum : std::uint8_t { kOne, kBlock };
/// Bases that every run has.  Then come inputs, outputs, arrays of constants, and moving addresses.
enum : std::uint32_t { kScalars, kRows, kLocals, kTemps, kSums, kLiterals, kFirstBuffer };

enum class Code : std::uint8_t {
  unary,      // unary(x, z)
  binary,     // binary(x, y, z)
  unary_one,  // the same on one element
  binary_one,
  general,     // applications[index]
  gather,      // gather(x, a, z)
  gather_at,   // gather_at(x, y, a, b, z)
  scatter,     // scatter(x, z, a, mask y)
  scatter_at,  // scatter_at(x, z, y, a, b, mask m)
  last,        // z = x of the last lane (in mask y), of a bytes
  iota,        // iota(sum index, b, z)
  rows,        // z[i] = sum index + b i + its rows, i64
  clip,        // clip(x, a, b, z)
  address,     // base z = x + sum index
  zero,        // a bytes at z
  flush,  // every kFlush of the b iterations of variable index: z += x, x = 0; a elements of m.at bytes
  chunk,       // z = variable index / a, as i64
  loop,        // variable z.base = 0; y.base walks from x.base on start
  next,        // the next of a iterations: to index, or on
  block_loop,  // the same, b at a time
  block_next,
  jump,         // to index
  jump_unless,  // if not x
  mask_all,     // z = every lane (in mask y); a: reorderings[a - 1] starts
  mask_while,   // z = z and x; to index if that is no lane; a: the lanes left move to the front
  mask_if,      // z = x (not x, if a) (in mask y); to index if that is no lane
  call,         // calls[index]
  poison,       // a bytes at z
  end,
};

struct Ins {
  Code code = Code::end;
  std::uint8_t count = 0;  // which number of lanes: counts[count]
  bool x_full = false;     // x: a row, else one element
  union {
    bool y_full = false;
    bool masked;  // there is a mask
  };
  std::uint32_t index = 0;
  union {
    UnaryLoop unary = nullptr;
    BinaryLoop binary;
    GatherLoop gather;
    GatherAtLoop gather_at;
    ScatterLoop scatter;
    ScatterAtLoop scatter_at;
    IotaLoop iota;
    ClipLoop clip;
  };
  Place z, x, y, m;
  std::int64_t a = 0, b = 0;
};
static_assert(sizeof(Ins) == 64);

/// A general loop with its operands, then its results, in `places`.
struct Application {
  GeneralLoop run;
  const void* params;
  std::uint32_t first, operands, results;
};
/// c + sum k * loop variable + sum k * i64 at a place (a row of them, for Code::rows).
struct Sum {
  std::int64_t c;
  std::uint32_t first, variables = 0, ones = 0, rows = 0;  // in `terms`, in this order
};
struct Term {
  std::int64_t k;
  std::uint32_t variable;
  Place place;
};
/// An address that a loop moves: base = from + offset on entry, and step bytes more each time.
struct Walk {
  std::uint32_t base, from;
  std::int64_t offset, step;
};
/// Of the lanes of a while loop: when few are left, their elements of `moving` move to the front.
struct Reordering {
  struct Row {
    Place place;
    std::uint32_t width;
  };
  std::vector<Row> moving;
  Place order, scratch;  // rows: of i32, of the widest elements
  std::uint32_t state;   // variables: how many lanes there were, whether any has moved
};
struct CallInfo {
  KernelCall call;
  std::vector<Place> places;  // of its operands, then of its results
};

struct Prepared {
  std::vector<Ins> code;
  std::vector<Walk> walks;
  std::vector<Walk> start;  // addresses that never move
  std::vector<Application> applications;
  std::vector<Place> places;
  std::vector<char> full;  // beside places, of operands: a row
  std::vector<Sum> sums;
  std::vector<Term> terms;
  std::vector<Reordering> reorderings;
  std::vector<CallInfo> calls;
  std::vector<std::byte> literals;

  std::vector<std::int64_t> counts{1, 1};
  std::uint32_t bases = kFirstBuffer;
  std::uint32_t variables = 0;
  std::uint32_t first_input = 0, first_output = 0;
  struct Fixed {
    std::uint32_t base;
    const void* data;
  };
  std::vector<Fixed> constants;
  // Bytes of the regions
  std::int64_t scalars = 0, rows = 0, locals = 0, temps = 0, sum_bytes = 0;
  std::uint32_t most_operands = 0;
};

}  // namespace jaxpp::loops::interpret
