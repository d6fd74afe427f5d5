// json.h -- programs as JSON (docs/jaxpr-json.md): what the reader throws, and the encoding of arrays.
#pragma once
#include <functional>
#include <map>
#include "jaxpp/core/jaxpr.h"

namespace jaxpp::internal {

/// A program is well formed but uses an operation that jaxpp does not have.
struct UnknownPrimitive : ParseError {
  std::string primitive;
  explicit UnknownPrimitive(const std::string& name)
      : ParseError("json: there is no primitive `" + name + "`."), primitive(name) {}
};

/// The element type of that name ("float32"), or ParseError.
DType dtype_from_name(const std::string& numpy_name);
std::string encode_base64(const void* data, std::size_t bytes);
/// Exactly `bytes` bytes, or ParseError.
void decode_base64(const std::string& text, void* data, std::size_t bytes);
/// {"dtype", "shape", "data"}
Array array_from_json(const std::string& dtype, const Shape&, const std::string& base64);

/// What tools/export_jax.py writes: a program, the paths of the leaves of every argument, those of the results.
struct ExportedText {
  Jaxpr program;
  std::vector<std::vector<std::string>> inputs;
  std::vector<std::string> outputs;
};
/// The arrays of the file that a text names.
using WeightsReader = std::function<std::map<std::string, Array>(const std::string& file)>;
ExportedText exported_from_json(const std::string& text, const WeightsReader&);

}  // namespace jaxpp::internal
