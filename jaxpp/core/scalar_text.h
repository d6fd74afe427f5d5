// scalar_text.h -- one element of an array as text, exactly, and back.
#pragma once
#include <string>
#include <string_view>
#include "jaxpp/core/dtype.h"

namespace jaxpp::internal {

/// The shortest text that reads back as the same bits: 1.0, 1e-20, -0.0, inf, nan, nan(0xffc00000), 1.0-2.0j, True, 7.
std::string scalar_text(DType, const void* element);
/// As Python prints it: a float32 is widened first, a complex number has no needless zeros.
std::string python_text(DType, const void* element);
std::string double_text(double);
/// False: not a number of that type, or out of its range.
bool parse_scalar(std::string_view text, DType, void* element);

}  // namespace jaxpp::internal
