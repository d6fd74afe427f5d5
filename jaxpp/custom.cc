// custom.cc -- a function with a derivative, as the templates of custom.h hand it over, becomes a rule.
#include "jaxpp/custom.h"

#include "jaxpp/core/user_functions.h"

namespace jaxpp::internal {

void custom_call_flat(const char* name, const CustomFns& f, Args x, Results& y, Loc loc) {
  auto r = std::make_shared<CustomRule>();
  r->name = name;
  r->call = [f](Args p, Results& v) { f.call(f.self.get(), p, v); };
  if (f.jvp)
    r->jvp = [f](Args p, Args t, Results& v, Results& dv) { f.jvp(f.self.get(), p, t, v, dv); };
  if (f.fwd)
    r->fwd = [f](Args p, Results& v, Results& residuals) { f.fwd(f.self.get(), p, v, residuals); };
  if (f.bwd)
    r->bwd = [f](Args residuals, Args ct, Results& g) { f.bwd(f.self.get(), residuals, ct, g); };
  custom_call_flat(CustomPtr(std::move(r)), x, y, loc);
}

}  // namespace jaxpp::internal
