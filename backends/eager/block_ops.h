// block_ops.h -- an elementwise primitive as a loop over n elements, chosen once by its parameters and element types.
//
// Eager kernels and the interpreter of loop programs both run these loops: no operation has a second implementation.  A
// loop may run in place: element i of a result depends on element i of the operands only.
#pragma once
#include <span>
#include "jaxpp/core/primitive.h"

namespace jaxpp::internal {

using UnaryLoop = void (*)(const void* x, void* z, std::int64_t n);
/// An operand that is not full is one element, repeated.
using BinaryLoop = void (*)(const void* x, bool x_full, const void* y, bool y_full, void* z,
                            std::int64_t n);
/// Any number of operands and results, and parameters.
struct BlockArgs {
  std::span<const void* const> x;
  const bool* full;
  void* const* z;
  const void* params = nullptr;
};
using GeneralLoop = void (*)(const BlockArgs&, std::int64_t n);

/// One of them, or (kind none) nothing: the operation is not defined for these element types.
struct BlockOp {
  enum class Kind : std::uint8_t { none, unary, binary, general } kind = Kind::none;
  union {
    UnaryLoop unary = nullptr;
    BinaryLoop binary;
    GeneralLoop general;
  };
  const void* params = nullptr;  // of a general loop: as given, it must outlive this

  BlockOp() = default;
  BlockOp(UnaryLoop f) : kind(f ? Kind::unary : Kind::none), unary(f) {}
  BlockOp(BinaryLoop f) : kind(f ? Kind::binary : Kind::none), binary(f) {}
  BlockOp(GeneralLoop f, Params p = {}) : kind(f ? Kind::general : Kind::none), params(p.data) {
    general = f;
  }
  explicit operator bool() const { return kind != Kind::none; }
  /// The parameters of `a` are not looked at.
  void run(const BlockArgs& a, std::int64_t n) const {
    switch (kind) {
      case Kind::none: return;
      case Kind::unary: return unary(a.x[0], a.z[0], n);
      case Kind::binary: return binary(a.x[0], a.full[0], a.x[1], a.full[1], a.z[0], n);
      case Kind::general: return general({a.x, a.full, a.z, params}, n);
    }
  }
};

/// The operation on operands of element types x, with results of type z.  Kind none if `p` is not an elementwise
/// primitive.
BlockOp block_op(const Primitive& p, Params params, std::span<const DType> x, DType z);

/// How a file of kernels tells what it has: a primitive, and what chooses among its loops.
struct BlockRow {
  const Primitive* primitive;
  BlockOp (*choose)(Params, std::span<const DType> x, DType z);
};
std::span<const BlockRow> table_rows();  // elementwise.def
std::span<const BlockRow> convert_rows();
std::span<const BlockRow> parametric_rows();  // select_n, clamp, integer_pow, ..., complex numbers
std::span<const BlockRow> random_rows();

/// The loop that converts elements.
UnaryLoop convert_loop(DType from, DType to);

}  // namespace jaxpp::internal
