// error.cc -- how a message is put together, and the trail of transforms in progress.
#include "jaxpp/core/error.h"
#include "jaxpp/core/nan_check.h"
#include "jaxpp/core/trace.h"

namespace jaxpp::internal {

constinit thread_local TrailFrame* trail = nullptr;

TrailFrame::TrailFrame(const char* t, Loc l) : transform(t), loc(l), outer(trail) { trail = this; }
TrailFrame::~TrailFrame() { trail = outer; }

std::string where(Loc loc) {
  std::string_view file = loc.file_name();
  if (auto slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
  return std::string(file) + ":" + std::to_string(loc.line());
}

namespace {
std::string trail_text() {
  std::string s;
  for (const TrailFrame* t = trail; t; t = t->outer)
    s += (s.empty() ? ", while tracing the function given to " : " inside ") +
         std::string(t->transform) + (t->loc.line() ? " (" + where(t->loc) + ")" : "");
  return s;
}
}  // namespace

template <class E>
void fail(const std::string& what, Loc loc, const char* id, const std::string& remedy) {
  std::string s = what;
  if (*id) s += std::string("  [") + id + "]";
  std::string at = loc.line() ? "at " + where(loc) : "", during = trail_text();  // line 0: unknown
  if (at.empty() && !during.empty()) during.erase(0, 2);
  if (!(at + during).empty()) s += "\n  " + at + during + ".";
  if (!remedy.empty()) s += "\n  " + remedy;
  throw E(s);
}
template void fail<TypeError>(const std::string&, Loc, const char*, const std::string&);
template void fail<ConcretizationError>(const std::string&, Loc, const char*, const std::string&);
template void fail<TracerLeakError>(const std::string&, Loc, const char*, const std::string&);
template void fail<ParseError>(const std::string&, Loc, const char*, const std::string&);
template void fail<Error>(const std::string&, Loc, const char*, const std::string&);
template void fail<FloatingPointError>(const std::string&, Loc, const char*, const std::string&);

}  // namespace jaxpp::internal
