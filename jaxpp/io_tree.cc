// io_tree.cc -- whole models in files: the leaves of a tree under their paths.
#include "jaxpp/io_internal.h"

namespace jaxpp::internal {
namespace {
enum class Format { npz, safetensors };
Format format_of(const char* who, const std::string& path, Loc loc) {
  if (path.ends_with(".safetensors")) return Format::safetensors;
  if (path.ends_with(".npz")) return Format::npz;
  fail<Error>(std::string(who) + ": " + path + ": the ending says neither .safetensors nor .npz.",
              loc, "E172");
}
// The first few of a list, for a message.
std::string some(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 5;
  std::string s;
  for (std::size_t i = 0; i < std::min(names.size(), kMost); ++i)
    s += (i ? ", `" : "`") + names[i] + "`";
  return s + (names.size() > kMost ? " and " + std::to_string(names.size() - kMost) + " more" : "");
}
}  // namespace

void save_leaves(const std::string& path, const std::vector<std::string>& names, Args leaves,
                 Loc loc) {
  const Format format = format_of("save_tree", path, loc);
  NamedArrays arrays;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (!arrays.emplace(names[i].empty() ? "value" : names[i], leaves[i]).second)
      fail<Error>("save_tree: two leaves of the tree have the path `" + names[i] + "`.", loc,
                  "E172", "Keys of a map should not contain dots.");
  format == Format::npz ? savez(path, arrays, loc) : save_safetensors(path, arrays, {}, loc);
}

void load_leaves(const std::string& path, const std::vector<std::string>& names, Args like,
                 Results& out, Loc loc) {
  const Format format = format_of("load_tree", path, loc);
  NamedArrays arrays =
      format == Format::npz ? load_npz(path, loc) : load_safetensors(path, nullptr, loc);
  std::vector<std::string> missing, different, unused;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string name = names[i].empty() ? "value" : names[i];
    auto found = arrays.extract(name);
    if (found.empty())
      missing.push_back(name);
    else if (found.mapped().type() != like[i].type())
      different.push_back(name + ": " + found.mapped().type()->str() + ", not " +
                          like[i].type()->str());
    else
      out.push_back(std::move(found.mapped()));
  }
  for (const auto& rest : arrays) unused.push_back(rest.first);
  std::string what;
  if (!missing.empty()) what += "  It lacks " + some(missing) + ".";
  if (!different.empty()) what += "  It has " + some(different) + ".";
  if (!unused.empty()) what += "  It also has " + some(unused) + ".";
  if (!what.empty())
    fail("load_tree: " + path + " is not of this tree." + what, loc, "E173",
         "Compare with tree_paths(like); load_npz and load_safetensors read whatever is there.");
}

}  // namespace jaxpp::internal
