// codegen_scalar.h -- one element in CUDA C++: types, constants, operations.
#pragma once
#include <functional>
#include <string>
#include "backends/loops/tree.h"

namespace jaxpp::cuda {

/// As stored, in the prelude's names: "float", "float16", "Complex<double>".
const char* type_name(DType);
/// Exact, of the stored type; computed: of the type that it is computed in, which differs for
/// halves.
std::string literal(const loops::Element&, bool computed = false);
/// Whether the device has the operation for operands of these types.
bool has_device_form(const loops::Let&, const std::vector<DType>& operands);
/// A call of libm, in many instructions.
bool is_elementary(const Primitive&);
/// operand(i, computed): the text of operand i, a name or in parentheses.
using Operand = std::function<std::string(std::size_t, bool computed)>;
/// The value of a Let with one result, of its stored type.
std::string expression(const loops::Let&, const std::vector<DType>& operands, const Operand&);
/// The operation of the prelude that combines: "Add".
const char* combiner_name(loops::Combine);

}  // namespace jaxpp::cuda
