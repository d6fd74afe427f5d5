// debug_nans.cc -- an operation made a NaN: which one inside it, if it holds a program, and what to tell the user.
//
// A program (jit, a branch, a rule's function) is evaluated again from its jaxpr: every equation is then an operation of its
// own, whose results are looked at.  A loop is run again iteration by iteration, and only the first whose results are bad
// is evaluated operation by operation.  The search goes down as long as there is a program to look into; where the smaller
// steps make no NaN (a compiled program rounds differently), the program itself is named.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include "jaxpp/core/origin_scope.h"
#include "jaxpp/core/user_functions.h"
#include "transforms/calls.h"

namespace jaxpp::internal {
namespace {

// ---- The text
std::string number(double v) {
  char s[32];
  std::snprintf(s, sizeof s, "%.6g", v);
  return s;
}
// "f64[3] in [-1, 2], 1 NaN"
std::string described(const Array& a) {
  std::string s = a.type()->str();
  if (!a.concrete() || !a.size() || !(is_float(a.dtype()) || is_integer(a.dtype()))) return s;
  double least = INFINITY, most = -INFINITY;
  std::int64_t nans = 0, infs = 0, finite = 0;
  for (double v : a.to_vector<double>()) {
    if (std::isnan(v)) {
      ++nans;
    } else if (std::isinf(v)) {
      ++infs;
    } else {
      ++finite;
      least = std::min(least, v);
      most = std::max(most, v);
    }
  }
  if (finite == 1)
    s += " " + number(least);
  else if (finite)
    s += " in [" + number(least) + ", " + number(most) + "]";
  if (nans) s += ", " + std::to_string(nans) + " NaN";
  if (infs) s += ", " + std::to_string(infs) + " infinite";
  return s;
}
std::string index_text(std::int64_t k, const Shape& shape) {
  std::string s;
  for (std::size_t i = shape.size(); i-- > 0;) {
    s = std::to_string(k % shape[i]) + (s.empty() ? "" : ", ") + s;
    k /= shape[i];
  }
  return "[" + s + "]";
}
// The equation as a jaxpr prints it.
std::string equation_text(const Primitive& p, Args x, Params params, Loc loc) {
  std::string s = to_string(*program_of(p, x, params, loc), 0, {.max_elements = 8});
  const std::size_t from = s.find(" let"), to = s.rfind("in (");
  if (from == std::string::npos || to == std::string::npos || to < from) return p.name;
  s = s.substr(from + 4, to - from - 4);
  const auto blank = [](char c) { return c == ' ' || c == '\n'; };
  while (!s.empty() && blank(s.back())) s.pop_back();
  s.erase(s.begin(), std::find_if_not(s.begin(), s.end(), blank));
  constexpr std::size_t kMost = 1000;  // a loop prints its whole body
  return s.size() > kMost ? s.substr(0, kMost) + " ..." : s;
}
[[noreturn]] void throw_bad(const Primitive& p, Args x, Params params, const Array& y,
                            std::int64_t at, unsigned checks, Loc loc) {
  const NanCheckScope off(kNoChecks);  // reading an array may convert it
  const bool nan = first_bad(y, checks & kCheckNans) >= 0;
  const char* what = nan ? "a NaN" : "an infinity";
  std::string s =
      std::string(p.name) + ": " + what + " in the result.  [" + (nan ? "E120" : "E121") + "]";
  s += "\n  " + equation_text(p, x, params, loc);
  s += "\n  result: " + described(y) +
       (y.ndim() ? "; the first at " + index_text(at, y.shape()) : "");
  bool before = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    s += "\n  operand " + std::to_string(i) + ": " + described(x[i]);
    before |= first_bad(x[i], checks) >= 0;
  }
  if (before) s += std::string("\n  An operand held ") + what + " already.";
  if (const Origin o = OriginScope::of(p, x))
    s += std::string("\n  In the ") + (o.backward() ? "backward pass" : "forward derivative") +
         ": it belongs to the derivative of `" + o.prim()->name + "`.";
  if (std::string t = NanTrail::text(); !t.empty()) s += "\n  Found " + t + ".";
  fail<FloatingPointError>(
      s, user_loc(loc), "",
      before ? "Check the data; an operation that ran before the check began may have made it."
             : "");
}

// ---- The search
struct Unchecked : NanCheckScope {
  Unchecked() : NanCheckScope(kNoChecks) {}
};
std::string at_line(Loc loc) { return loc.line() ? " (" + where(loc) + ")" : ""; }

bool bad(Args y, unsigned checks) {
  return std::any_of(y.begin(), y.end(), [&](const Array& a) { return first_bad(a, checks) >= 0; });
}
void search_program(const JaxprBody& j, Args x, std::string what) {
  const NanTrail here(std::move(what));
  Results y;
  eval_jaxpr(j, x, y);
}
// One iteration: as a program, and again by operations if that was bad.
void search_step(const JaxprBody& body, Args x, Results& y, unsigned checks, std::string what) {
  y.resize(body.outs.size());
  {
    Unchecked off;
    run_jaxpr(body, {const_cast<Array*>(x.data()), x.size()}, y.data(), false, {.eager = true});
  }
  if (bad(args(y), checks)) search_program(body, x, std::move(what));
}
void search_scan(Args x, const ScanParams& p, unsigned checks, Loc loc) {
  const auto n_consts = std::size_t(p.num_consts), n_carry = std::size_t(p.num_carry);
  Results in;
  for (const Array& a : x) in.push_back(a);
  for (std::int64_t k = 0; k < p.length; ++k) {
    const std::int64_t i = p.reverse ? p.length - 1 - k : k;
    for (std::size_t s = n_consts + n_carry; s < x.size(); ++s) {
      Unchecked off;
      in[s] = lax::squeeze(lax::slice_in_dim(x[s], i, i + 1, 0), {0});
    }
    Results y;
    search_step(*p.jaxpr, args(in), y, checks,
                "iteration " + std::to_string(i) + " of scan" + at_line(loc));
    for (std::size_t c = 0; c < n_carry; ++c) in[n_consts + c] = y[c];
  }
}
void search_while(Args x, const WhileParams& p, unsigned checks, Loc loc) {
  const auto n_cond = std::size_t(p.cond_nconsts), n_body = std::size_t(p.body_nconsts);
  Results cond(x.begin(), x.begin() + n_cond), body(x.begin() + n_cond, x.end());
  for (const Array& a : x.subspan(n_cond + n_body)) cond.push_back(a);
  for (std::int64_t k = 0;; ++k) {
    const std::string where_now = " of while" + at_line(loc);
    Results go, y;
    search_step(*p.cond_jaxpr, args(cond), go, checks,
                "the condition before iteration " + std::to_string(k) + where_now);
    const auto flags = go[0].to_vector<std::uint8_t>();
    if (std::none_of(flags.begin(), flags.end(), [](auto f) { return f != 0; })) return;
    search_step(*p.body_jaxpr, args(body), y, checks, "iteration " + std::to_string(k) + where_now);
    for (std::size_t c = 0; c < y.size(); ++c) {
      Unchecked off;
      Array& carry = body[n_body + c];
      if (go[0].ndim())  // lanes that are done keep what they have
        y[c] =
            lax::select(lax::broadcast_in_dim(go[0], y[c].shape(), iota_dims(go[0].shape().size())),
                        y[c], carry);
      carry = cond[n_cond + c] = y[c];
    }
  }
}
void search(const Primitive& p, Args x, Params params, unsigned checks, Loc loc) {
  if (&p == &jit_p) {
    auto& q = params.as<CallParams>();
    search_program(*q.jaxpr, x, "`" + q.name + "`, compiled by jit" + at_line(loc));
  } else if (&p == &remat_p) {
    search_program(*params.as<RematParams>().jaxpr, x, "checkpoint" + at_line(loc));
  } else if (&p == &custom_jvp_call_p || &p == &custom_vjp_call_p) {
    auto& q = params.as<CustomParams>();
    search_program(*q.call_jaxpr, x,
                   "`" + q.rule->name + "`, which has a derivative of its own" + at_line(loc));
  } else if (&p == &scan_p) {
    search_scan(x, params.as<ScanParams>(), checks, loc);
  } else if (&p == &while_p) {
    search_while(x, params.as<WhileParams>(), checks, loc);
  } else if (&p == &cond_p && x[0].ndim() == 0) {
    auto& b = params.as<CondParams>().branches;
    const auto k =
        std::clamp(x[0].to_vector<std::int64_t>()[0], std::int64_t(0), std::int64_t(b.size()) - 1);
    search_program(*b[std::size_t(k)], x.subspan(1),
                   "branch " + std::to_string(k) + " of cond" + at_line(loc));
  }
}

}  // namespace

void check_results_of(const Primitive& p, Args x, Params params, Args y, Loc loc) {
  const unsigned checks = nan_checks_here();
  for (const Array& a : y) {
    if (!a.defined() || !a.concrete()) continue;
    const std::int64_t at = first_bad(a, checks);
    if (at < 0) continue;
    search(p, x, params, checks, user_loc(loc));
    throw_bad(p, x, params, a, at, checks, loc);
  }
}

}  // namespace jaxpp::internal
