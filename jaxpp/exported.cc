// exported.cc -- reading what tools/export_jax.py wrote, and bringing leaves into the order of the program.
#include "jaxpp/exported.h"
#include <algorithm>
#include <cctype>
#include "jaxpp/core/json.h"
#include "jaxpp/io_internal.h"

namespace jaxpp {
using namespace internal;
namespace {

// Positions only: "", "0", "1.0".
bool nameless(const std::vector<std::string>& paths) {
  return std::all_of(paths.begin(), paths.end(), [](const std::string& p) {
    return std::all_of(p.begin(), p.end(),
                       [](unsigned char c) { return std::isdigit(c) || c == '.'; });
  });
}
std::string joined(const std::vector<std::string>& names) {
  std::string s;
  for (auto& n : names) s += (s.empty() ? "`" : ", `") + n + "`";
  return s.empty() ? "nothing" : s;
}
// order[i]: where among `have` the leaf `want[i]` is.  Empty if they do not correspond.
std::vector<std::size_t> correspondence(const std::vector<std::string>& want,
                                        const std::vector<std::string>& have) {
  std::vector<std::size_t> order;
  if (want.size() != have.size()) return order;
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < have.size(); ++i) places.emplace(have[i], i);
  for (auto& w : want)
    if (auto it = places.find(w); it != places.end()) order.push_back(it->second);
  if (order.size() == want.size()) return order;
  order.clear();
  if (nameless(want) || nameless(have))
    for (std::size_t i = 0; i < want.size(); ++i) order.push_back(i);
  return order;
}
}  // namespace

std::vector<Array> ExportedProgram::run(std::span<const std::vector<std::string>> paths,
                                        std::span<const Results> leaves, Loc loc) const {
  if (paths.size() != inputs_.size())
    fail("an exported program takes " + std::to_string(inputs_.size()) + " arguments, got " +
             std::to_string(paths.size()) + ".",
         loc, "E174");
  const std::vector<Type> types = program_.in_types();
  Results in;
  for (std::size_t k = 0; k < paths.size(); ++k) {
    const auto order = correspondence(inputs_[k], paths[k]);
    if (order.size() != inputs_[k].size() || paths[k].size() != inputs_[k].size())
      fail("argument " + std::to_string(k) + " of an exported program has the leaves " +
               joined(inputs_[k]) + "; it was given " + joined(paths[k]) + ".",
           loc, "E174");
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Array& x = leaves[k][order[i]];
      const Type want = types[in.size()];
      if (x.type() != want)
        fail("argument " + std::to_string(k) + " of an exported program" +
                 (inputs_[k][i].empty() ? "" : ", leaf `" + inputs_[k][i] + "`,") + " is " +
                 want->str() + "; it was given " + x.type()->str() + ".",
             loc, "E174", "Convert it (x.astype), or export the function for these types.");
      in.push_back(x);
    }
  }
  return eval_jaxpr(program_, args(in));
}

std::vector<Array> ExportedProgram::ordered(std::vector<Array> results,
                                            const std::vector<std::string>& paths) const {
  const auto order = correspondence(paths, outputs_);
  if (order.size() != outputs_.size())
    fail("an exported program returns the leaves " + joined(outputs_) + "; asked for were " +
             joined(paths) + ".",
         Loc(), "E174");
  std::vector<Array> out;
  for (std::size_t i : order) out.push_back(results[i]);
  return out;
}

ExportedProgram load_jaxpr(const std::string& path, Loc loc) {
  return with_file("load_jaxpr", path, loc, [&] {
    std::string text;
    {
      ByteSource source(path);
      text.resize(std::size_t(source.size()));
      source.read(0, text.data(), text.size());
    }
    ExportedText t = exported_from_json(text, [&](const std::string& file) {
      if (file.empty() || file.find('/') != file.npos)
        throw ParseError("the weights must be in a file of the same folder, not in " + file + ".");
      const std::size_t slash = path.rfind('/');
      const std::string whole = slash == path.npos ? file : path.substr(0, slash + 1) + file;
      try {
        return read_safetensors(ByteSource(whole), nullptr);
      } catch (const FileError& e) {
        throw FileError(whole + " " + e.what());
      }
    });
    return ExportedProgram(std::move(t.program), std::move(t.inputs), std::move(t.outputs));
  });
}

}  // namespace jaxpp
