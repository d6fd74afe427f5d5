// targets.cc -- see targets.h.
#include "tests/fuzz/targets.h"
#include <cstring>
#include <stdexcept>
#include "backends/loops/tree.h"
#include "jaxpp/core/json.h"
#include "jaxpp/io_internal.h"
#include "jaxpp/jaxpr.h"

namespace jaxpp::testing {
namespace {

[[noreturn]] void differs(const std::string& what) { throw std::logic_error(what); }
// What must never fail: a second reading.
template <class F>
auto again(const char* what, F f) {
  try {
    return f();
  } catch (const Error& e) {
    differs(std::string(what) + ": " + e.what());
  }
}

void jaxpr_text(std::string_view bytes) {
  const Jaxpr j = Jaxpr::parse(std::string(bytes));
  const std::string text = j.to_string();
  if (again("its own text", [&] { return Jaxpr::parse(text); }).to_string() != text)
    differs("the text of a jaxpr changes when it is read: " + text);
}
void jaxpr_json(std::string_view bytes) {
  const auto no_weights = [](const std::string&) -> NamedArrays {
    throw ParseError("no file of weights here");
  };
  const std::string text(bytes);
  const Jaxpr j = text.find("\"program\"") != text.npos
                      ? internal::exported_from_json(text, no_weights).program
                      : Jaxpr::from_json(text);
  const std::string json = j.json();
  if (again("its own JSON", [&] { return Jaxpr::from_json(json); }).json() != json)
    differs("the JSON of a jaxpr changes when it is read: " + json);
}
void loops_text(std::string_view bytes) {
  loops::Program p = loops::parse(bytes);
  const std::string text = loops::print(p);
  if (loops::print(again("its own text", [&] { return loops::parse(text); })) != text)
    differs("the text of a loop program changes when it is read: " + text);
  loops::verify(p);
}
void arrays(std::string_view bytes) {
  const internal::ByteSource source(internal::ByteSource::Memory{bytes});
  if (bytes.starts_with("PK")) {
    internal::read_npz(source);
    return;
  }
  internal::RangeStream stream(source, 0, source.size());
  const Array a = internal::read_npy(stream);
  std::string file = internal::npy_header(a);
  file.append(a.data<char>(), internal::bytes_of(a));
  const internal::ByteSource written(internal::ByteSource::Memory{file});
  internal::RangeStream second(written, 0, written.size());
  const Array b = again("its own file", [&] { return internal::read_npy(second); });
  if (a.type() != b.type() || std::memcmp(a.data<char>(), b.data<char>(), internal::bytes_of(a)))
    differs("an array changes when it is written and read");
}
void tensors(std::string_view bytes) {
  std::map<std::string, std::string> metadata;
  internal::read_safetensors(internal::ByteSource(internal::ByteSource::Memory{bytes}), &metadata);
}

constexpr FuzzTarget kTargets[] = {
    {"jaxpr", "fuzz/seeds/jaxpr", "the text of a jaxpr", jaxpr_text},
    {"json", "fuzz/seeds/json data/exported", "a jaxpr as JSON, or a program exported from JAX",
     jaxpr_json},
    {"loops", "golden/loops", "the text of a loop program", loops_text},
    {"arrays", "fuzz/seeds/arrays data/io", ".npy and .npz", arrays},
    {"tensors", "data/io", "safetensors", tensors},
};

}  // namespace

std::span<const FuzzTarget> fuzz_targets() { return kTargets; }

}  // namespace jaxpp::testing
