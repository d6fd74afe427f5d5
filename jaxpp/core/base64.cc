// base64.cc -- the elements of arrays in JSON: little-endian bytes, row-major, in base 64.
#include "jaxpp/core/json.h"

namespace jaxpp::internal {
namespace {
constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
int digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}
}  // namespace

std::string encode_base64(const void* data, std::size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(data);
  std::string s;
  s.reserve((bytes + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes; i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes - i);
    unsigned v = unsigned(p[i]) << 16;
    if (n > 1) v |= unsigned(p[i + 1]) << 8;
    if (n > 2) v |= p[i + 2];
    s += kDigits[v >> 18];
    s += kDigits[v >> 12 & 63];
    s += n > 1 ? kDigits[v >> 6 & 63] : '=';
    s += n > 2 ? kDigits[v & 63] : '=';
  }
  return s;
}

void decode_base64(const std::string& s, void* data, std::size_t bytes) {
  if (s.size() != (bytes + 2) / 3 * 4)
    throw ParseError("json: array data of " + std::to_string(s.size()) + " characters, " +
                     std::to_string(bytes) + " bytes need " + std::to_string((bytes + 2) / 3 * 4) +
                     ".");
  auto* out = static_cast<unsigned char*>(data);
  for (std::size_t i = 0, k = 0; i < s.size(); i += 4) {
    unsigned v = 0;
    const std::size_t n = std::min<std::size_t>(3, bytes - k);
    for (std::size_t c = 0; c < 4; ++c) {
      const bool padding = c > n;
      const int d = padding ? 0 : digit(s[i + c]);
      if (d < 0 || (padding && s[i + c] != '='))
        throw ParseError("json: array data are not base 64.");
      v = v << 6 | unsigned(d);
    }
    for (std::size_t c = 0; c < n; ++c) out[k++] = static_cast<unsigned char>(v >> (16 - 8 * c));
  }
}

DType dtype_from_name(const std::string& s) {
  for (int d = 0; d < kNumDTypes; ++d)
    if (s == numpy_name(DType(d))) return DType(d);
  throw ParseError("json: `" + s + "` is no element type.");
}

Array array_from_json(const std::string& dtype, const Shape& shape, const std::string& base64) {
  const DType d = dtype_from_name(dtype);
  Type t = nullptr;
  try {
    t = make_type(d, shape);
  } catch (const Error& e) {
    throw ParseError(std::string("json: ") + e.what());
  }
  if (t->size > std::int64_t(base64.size()))
    throw ParseError("json: the data of " + t->str() + " are too short.");
  Array a = Array::make(t);
  const std::size_t bytes = std::size_t(t->size) * width(d);
  decode_base64(base64, a.data<char>(), bytes);
  if (d == DType::b1)
    for (std::size_t i = 0; i < bytes; ++i)
      a.data<std::uint8_t>()[i] = a.data<std::uint8_t>()[i] != 0;
  return a;
}

}  // namespace jaxpp::internal
