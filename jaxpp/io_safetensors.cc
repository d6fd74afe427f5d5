// io_safetensors.cc -- the safetensors format: the length of a JSON header, the header, and the elements of all tensors.
//
//   <8 bytes: n> {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {...}} <elements>
//
// The header is read by events, so that a name that occurs twice is seen.  As the format demands, the tensors fill the
// rest of the file without holes or overlaps.
#include <algorithm>
#include <nlohmann/json.hpp>
#include "jaxpp/io_internal.h"

namespace jaxpp {
namespace internal {
namespace {
constexpr std::uint64_t kMostHeader = 100'000'000;  // the format's own limit
constexpr const char* kMetadata = "__metadata__";

struct Name {
  const char* name;
  DType dtype;
};
constexpr Name kNames[] = {
    {"BOOL", DType::b1}, {"I8", DType::i8},     {"I16", DType::i16}, {"I32", DType::i32},
    {"I64", DType::i64}, {"U8", DType::u8},     {"U16", DType::u16}, {"U32", DType::u32},
    {"U64", DType::u64}, {"F16", DType::f16},   {"F32", DType::f32}, {"F64", DType::f64},
    {"C64", DType::c64}, {"BF16", DType::bf16},
};

struct Tensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> offsets;
  unsigned seen = 0;  // bit 0: dtype, 1: shape, 2: offsets
};

// Receives the events of the JSON parser; the stack of brackets is at most three deep.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;

  bool start_object(std::size_t) override {
    if (list_ || depth_ == 2) refuse("an object stands where none is expected");
    ++depth_;
    return true;
  }
  bool end_object() override {
    if (depth_ == 2 && !in_metadata_ && tensors[name_].seen != 7)
      refuse("`" + name_ + "` lacks one of dtype, shape and data_offsets");
    if (--depth_ == 1) in_metadata_ = false;
    return true;
  }
  bool key(std::string& k) override {
    if (depth_ == 1) {
      in_metadata_ = k == kMetadata;
      name_ = k;
      if (in_metadata_ ? std::exchange(metadata_seen_, true) : !tensors.emplace(k, Tensor()).second)
        refuse("`" + k + "` is there twice");
    } else {
      key_ = k;
    }
    return true;
  }
  bool string(std::string& s) override {
    if (depth_ == 2 && in_metadata_) {
      if (!metadata.emplace(key_, s).second) refuse("the metadata `" + key_ + "` is there twice");
      return true;
    }
    if (depth_ != 2 || list_ || key_ != "dtype") refuse("a string stands where none is expected");
    once(0);
    tensors[name_].dtype = s;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || list_) refuse("a list stands where none is expected");
    Tensor& t = tensors[name_];
    if (key_ == "shape") {
      once(1);
      list_ = &t.shape;
    } else if (key_ == "data_offsets") {
      once(2);
      list_ = &t.offsets;
    } else {
      refuse("`" + name_ + "` has an unknown member `" + key_ + "`");
    }
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return true;
  }
  bool number_unsigned(std::uint64_t v) override {
    if (!list_ || v > std::uint64_t(INT64_MAX))
      refuse("a number is too large or stands where none is expected");
    list_->push_back(std::int64_t(v));
    return true;
  }
  bool number_integer(std::int64_t) override { refuse("a number is negative"); }
  bool number_float(double, const std::string&) override { refuse("a number is no integer"); }
  bool null() override { refuse("a null stands where none is expected"); }
  bool boolean(bool) override { refuse("a bool stands where none is expected"); }
  bool binary(nlohmann::json::binary_t&) override { refuse("it is no JSON"); }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::json::exception&) override {
    refuse("it is no JSON at byte " + std::to_string(at));
  }

 private:
  [[noreturn]] static void refuse(const std::string& what) {
    throw ParseError("the header of the safetensors data: " + what + ".");
  }
  void once(unsigned bit) {
    unsigned& seen = tensors[name_].seen;
    if (seen >> bit & 1) refuse("`" + name_ + "` has `" + key_ + "` twice");
    seen |= 1u << bit;
  }
  int depth_ = 0;
  bool in_metadata_ = false, metadata_seen_ = false;
  std::string name_, key_;
  std::vector<std::int64_t>* list_ = nullptr;
};

DType dtype_of_name(const std::string& name) {
  for (const Name& n : kNames)
    if (name == n.name) return n.dtype;
  throw ParseError("there is no dtype for elements of " + name + ".");
}
const char* name_of_dtype(DType d) {
  for (const Name& n : kNames)
    if (n.dtype == d) return n.name;
  return nullptr;
}
}  // namespace

NamedArrays read_safetensors(const ByteSource& s, std::map<std::string, std::string>* metadata) {
  constexpr std::uint64_t kBefore = 8;
  std::uint64_t length = 0;
  s.read(0, &length, sizeof length);
  if (length > kMostHeader || length > s.size() - kBefore)
    throw ParseError("the header of the safetensors data says that it has " +
                     std::to_string(length) + " bytes.");
  std::string text(std::size_t(length), '\0');
  s.read(kBefore, text.data(), text.size());
  if (text.empty() || text[0] != '{')
    throw ParseError("the header of the safetensors data: it does not start with a bracket.");
  HeaderReader h;
  nlohmann::json::sax_parse(text, &h);

  const std::uint64_t data = kBefore + length, size = s.size() - data;
  struct Part {
    std::uint64_t begin, end;
    const std::string* name;
    Type type;
  };
  std::vector<Part> parts;
  for (const auto& [name, t] : h.tensors) {
    try {
      if (t.offsets.size() != 2) throw ParseError("data_offsets has not two members.");
      const auto begin = std::uint64_t(t.offsets[0]), end = std::uint64_t(t.offsets[1]);
      if (begin > end || end > size) throw ParseError("it lies beyond the end of the file.");
      const Type type = checked_type(dtype_of_name(t.dtype), t.shape, end - begin);
      if (std::uint64_t(type->size) * width(type->dtype) != end - begin)
        throw ParseError(type->str() + " does not fill its " + std::to_string(end - begin) +
                         " bytes.");
      parts.push_back({begin, end, &name, type});
    } catch (const ParseError& e) {
      throw ParseError("`" + name + "`: " + e.what());
    }
  }
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (const Part& p : parts) {
    if (p.begin != at)
      throw ParseError("`" + *p.name +
                       "`: it overlaps another tensor, or there is a hole before it.");
    at = p.end;
  }
  if (at != size) throw ParseError("the tensors do not fill the file.");

  NamedArrays out;
  for (const Part& p : parts) {
    Array a = Array::make(p.type);
    s.read(data + p.begin, a.data<char>(), bytes_of(a));
    make_bools(a);
    out.emplace(*p.name, std::move(a));
  }
  if (metadata) *metadata = std::move(h.metadata);
  return out;
}
}  // namespace internal

using namespace internal;

void save_safetensors(const std::string& path, const NamedArrays& arrays,
                      const std::map<std::string, std::string>& metadata, Loc loc) {
  // Wide elements first, so that all are aligned.
  std::vector<NamedArrays::const_iterator> order;
  for (auto it = arrays.begin(); it != arrays.end(); ++it) {
    check_written("save_safetensors", it->first, it->second, loc);
    if (!name_of_dtype(it->second.dtype()))
      fail<Error>("save_safetensors: `" + it->first + "`: the format has no " +
                      name(it->second.dtype()) + ".",
                  loc, "E172", "Write real(x) and imag(x), or x.astype(c64), or use savez.");
    if (it->first == kMetadata)
      fail<Error>("save_safetensors: no array may have the name `__metadata__`.", loc, "E172");
    order.push_back(it);
  }
  std::stable_sort(order.begin(), order.end(), [](auto a, auto b) {
    return width(a->second.dtype()) > width(b->second.dtype());
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  std::uint64_t at = 0;
  for (auto it : order) {
    const Array& a = it->second;
    header[it->first] = {{"dtype", name_of_dtype(a.dtype())},
                         {"shape", std::vector<std::int64_t>(a.shape().begin(), a.shape().end())},
                         {"data_offsets", {at, at + bytes_of(a)}}};
    at += bytes_of(a);
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail<Error>("save_safetensors: a name or the metadata is not UTF-8.", loc, "E172");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string length;
  append(length, std::uint64_t(text.size()));
  with_file("save_safetensors", path, loc, [&] {
    FileWriter out(path);
    out.write(length + text);
    for (auto it : order) out.write(it->second.data<char>(), bytes_of(it->second));
    out.commit();
  });
}
NamedArrays load_safetensors(const std::string& path, std::map<std::string, std::string>* metadata,
                             Loc loc) {
  return with_file("load_safetensors", path, loc,
                   [&] { return read_safetensors(ByteSource(path), metadata); });
}

}  // namespace jaxpp
