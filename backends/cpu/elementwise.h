// elementwise.h -- elementwise primitives as LLVM IR: the rows of elementwise.def and their relatives, on values of any
// number of lanes.
//
//   native::Target t{.writer = w, .runtime = w.parameter(1), .blocks = blocks};
//   native::Element x{DType::f32, {w.load({Kind::f32, 16}, address, 4)}}, z;
//   if (!native::emit(t, exp_p, {}, DType::f32, {&x, 1}, &z)) native::call_block(t, exp_p, {}, {&x, 1}, {&z, 1});
#pragma once
#include <set>
#include <span>
#include <string>
#include <vector>
#include "backends/cpu/ir.h"
#include "backends/cpu/llvm.h"
#include "backends/eager/block_ops.h"
#include "jaxpp/core/dtype.h"

namespace jaxpp::native {

/// Elements in registers: one value; complex: re and im.  bool: i1.  Halves: their bits, i16.
struct Element {
  DType dtype = DType::f32;
  ir::Value v[2]{};
};
/// The kind of v[0] and v[1].
ir::Kind kind_of(DType);
/// The same in memory, where bools are bytes.
inline ir::Kind memory_kind(DType d) { return is_bool(d) ? ir::Kind::i8 : kind_of(d); }
/// Values of an element: 2 of a complex number.
inline int components(DType d) { return is_complex(d) ? 2 : 1; }

/// What Runtime::block does: a loop over elements, with so many operands.
struct BlockCall {
  internal::BlockOp op;
  int operands = 0;
  void run(void** operands_then_results, std::int64_t n) const;
};

/// What the elements of one module are written with.
struct Target {
  ir::Writer& writer;
  ir::Value runtime;  // a pointer to the Runtime, in the function that is being written
  std::vector<BlockCall>& blocks;        // what Runtime::block is called for, by number
  bool scalef = machine().avx512;        // its instruction of this name
  bool out_of_line = false;              // long functions are called: shorter code, a little slower
  std::set<std::string> functions = {};  // of this module: those that are called
};

/// The results of an elementwise primitive for operands of one number of lanes (or of one lane): a row of
/// elementwise.def, convert_element_type, integer_pow, round, reduce_precision, select_n, clamp, bitcast_convert_type,
/// stop_gradient, complex, real, imag, conj, threefry2x32.  z: one element, threefry2x32: two.  False, and nothing is
/// written, if there is no generated form.
/// Contraction is off but for sums, differences, products, quotients and powers, where it is as the writer has it.
bool emit(Target& t, const Primitive& p, internal::Params params, DType result,
          std::span<const Element> x, Element* z);
/// The same by the block kernel of any primitive that block_op() knows; z: their dtypes are given.  False if it does not
/// know it.  The parameters must live as long as t.blocks.
bool call_block(Target& t, const Primitive& p, internal::Params params, std::span<const Element> x,
                std::span<Element> z);

}  // namespace jaxpp::native
