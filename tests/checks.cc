// checks.cc -- see checks.h.
//
// Finite differences are central, of fourth order, along one random direction: with a step of 1e-3 both truncation and
// rounding stay near 1e-12 for the smooth functions under test.
#include "checks.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/lax.h"

namespace jaxpp::testing {

using namespace internal;
using Complex = std::complex<double>;

namespace {

std::vector<Complex> elements(const Array& a) { return a.to_vector<Complex>(); }
bool varies(const Options& o, Args x, std::size_t i) {
  return is_inexact(x[i].dtype()) &&
         std::find(o.constant.begin(), o.constant.end(), int(i)) == o.constant.end();
}
bool any_varies(const Options& o, const Arrays& x) {
  for (std::size_t i = 0; i < x.size(); ++i)
    if (varies(o, x, i)) return true;
  return false;
}
bool any_inexact(const Arrays& y) {
  return std::any_of(y.begin(), y.end(), [](const Array& a) { return is_inexact(a.dtype()); });
}
// x + h * u, computed by hand: the oracle must not use what it checks.
Array step(const Array& x, double h, const Array& u) {
  const std::size_t n = std::size_t(x.size());
  if (x.dtype() == DType::f64) {
    std::vector<double> v = x.to_vector<double>(), w = u.to_vector<double>();
    for (std::size_t i = 0; i < n; ++i) v[i] += h * w[i];
    return Array(std::span<const double>(v), x.shape());
  }
  std::vector<Complex> v = elements(x), w = elements(u);
  for (std::size_t i = 0; i < n; ++i) v[i] += h * w[i];
  return Array(std::span<const Complex>(v), x.shape()).astype(x.dtype());
}
bool single_precision(const Arrays& x) {
  return std::any_of(x.begin(), x.end(), [](const Array& a) {
    return is_inexact(a.dtype()) && real_of(a.dtype()) != DType::f64;
  });
}
Array dense(const Array& a, Type t) { return a.defined() ? a : lax::full(t, 0); }
// f at x as a linear map of the operands that vary: the others are captured.  Values go to y.
LinearMap linearized(const Fn& f, Args x, const Options& o, Results& y) {
  Borrowed moving;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (varies(o, x, i)) moving.push(x[i]);
  auto of_moving = [&](Args in, Results& out) {
    Borrowed all;
    for (std::size_t i = 0, k = 0; i < x.size(); ++i) all.push(varies(o, x, i) ? in[k++] : x[i]);
    f(all, out);
  };
  return LinearMap::of(flat(of_moving), moving, y, "linearize", Loc::current());
}
// Real part of the sum of products: the pairing under which vjp is the transpose of jvp.
double pair(const Arrays& a, const Arrays& b, double& scale) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    auto v = elements(a[k]), w = elements(b[k]);
    for (std::size_t i = 0; i < v.size(); ++i) {
      sum += (v[i] * w[i]).real();
      scale += std::abs(v[i] * w[i]);
    }
  }
  return sum;
}
std::string show(const Arrays& x) {
  std::ostringstream s;
  s << " at";
  for (auto& a : x) {
    s << " " << a.type()->str() << " ";
    if (a.size() <= 24) s << to_string(a);
  }
  return s.str();
}

}  // namespace

std::uint64_t seed_of(const std::string& name) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (unsigned char c : name) h = (h ^ c) * 0x100000001b3u;
  return h;
}
Array Random::array(DType d, const Shape& shape, double low, double high, bool signs) {
  const std::int64_t n = make_type(DType::f64, shape)->size;
  auto one = [&] {
    const double v = uniform(low, high);
    return signs && (bits_() & 1) ? -v : v;
  };
  if (is_complex(d)) {
    std::vector<Complex> v;
    for (std::int64_t i = 0; i < n; ++i) {
      const double re = one();
      v.emplace_back(re, one());
    }
    return Array(std::span<const Complex>(v), shape).astype(d);
  }
  if (is_bool(d)) {
    std::vector<std::uint8_t> v;
    for (std::int64_t i = 0; i < n; ++i) v.push_back(bits_() & 1);
    return Array(std::span<const std::uint8_t>(v), shape).astype(d);
  }
  if (is_integer(d)) {
    std::vector<std::int64_t> v;
    for (std::int64_t i = 0; i < n; ++i) v.push_back(std::int64_t(std::floor(one())));
    return Array(std::span<const std::int64_t>(v), shape).astype(d);
  }
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(one());
  return Array(std::span<const double>(v), shape).astype(d);
}

Arrays evaluate(const Fn& f, const Arrays& x) {
  Results y;
  f(x, y);
  return {y.begin(), y.end()};
}
std::vector<Type> types_of(const Arrays& x) {
  std::vector<Type> t;
  for (auto& a : x) t.push_back(a.type());
  return t;
}
std::string compare(const std::string& what, const Arrays& got, const Arrays& want,
                    double tolerance) {
  if (got.size() != want.size())
    return what + ": " + std::to_string(got.size()) + " results, expected " +
           std::to_string(want.size());
  for (std::size_t k = 0; k < got.size(); ++k) {
    if (got[k].type() != want[k].type())
      return what + ": result " + std::to_string(k) + " is " + got[k].type()->str() +
             ", expected " + want[k].type()->str();
    auto a = elements(got[k]), b = elements(want[k]);
    double scale = 1;
    for (auto& v : b)
      if (std::isfinite(std::abs(v))) scale = std::max(scale, std::abs(v));
    for (std::size_t i = 0; i < a.size(); ++i) {
      auto same = [&](double p, double q) {
        return p == q || (std::isnan(p) && std::isnan(q)) || std::abs(p - q) <= tolerance * scale;
      };
      if (same(a[i].real(), b[i].real()) && same(a[i].imag(), b[i].imag())) continue;
      std::ostringstream s;
      s.precision(17);
      s << what << ": element " << i << " of result " << k << " (" << got[k].type()->str()
        << ") is " << a[i] << ", expected " << b[i];
      return s.str();
    }
  }
  return "";
}

Fn pushforward(const Fn& f, std::size_t n, const Options& o) {
  return [=](Args in, Results& out) {
    Borrowed dx;
    for (std::size_t i = 0, k = n; i < n; ++i) dx.push(varies(o, in, i) ? in[k++].node() : nullptr);
    Results y, dy;
    jvp_flat(flat(f), in.first(n), dx, y, dy, Loc::current());
    for (std::size_t i = 0; i < y.size(); ++i)
      if (is_inexact(y[i].dtype())) out.push_back(dense(dy[i], y[i].type()));
  };
}
Fn pullback(const Fn& f, std::size_t n, const Options& o) {
  return [=](Args in, Results& out) {
    Results y, ct_in;
    LinearMap map = linearized(f, in.first(n), o, y);
    Borrowed ct;
    std::size_t k = n;
    for (const Array& a : y) ct.push(is_inexact(a.dtype()) ? in[k++].node() : nullptr);
    map.pull(ct, ct_in, Loc::current());
    for (std::size_t i = 0, m = 0; i < n; ++i)
      if (varies(o, in, i)) out.push_back(dense(ct_in[m++], in[i].type()));
  };
}
Arrays with_tangents(Random& random, const Arrays& x, const Options& o) {
  Arrays r = x;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (varies(o, x, i)) r.push_back(random.like(x[i]));
  return r;
}
Arrays with_cotangents(Random& random, const Arrays& x, const Arrays& y) {
  Arrays r = x;
  for (auto& a : y)
    if (is_inexact(a.dtype())) r.push_back(random.like(a));
  return r;
}

std::string check_jvp(const Fn& f, const Arrays& x, const Options& o) {
  Random random(seed_of("jvp"));
  Arrays u;
  Borrowed dx;
  for (std::size_t i = 0; i < x.size(); ++i) {
    u.push_back(varies(o, x, i) ? random.like(x[i]) : Array());
    dx.push(u[i]);
  }
  Results y, dy;
  jvp_flat(flat(f), x, dx, y, dy, Loc::current());
  Arrays value = evaluate(f, x), primal(y.begin(), y.end());
  if (auto e = compare("primal value of jvp", primal, value, 1e-13); !e.empty()) return e + show(x);
  Arrays got;
  for (std::size_t k = 0; k < y.size(); ++k)
    if (is_inexact(y[k].dtype()))
      got.push_back(dense(dy[k], y[k].type()));
    else if (dy[k].defined())
      return "a tangent of type " + dy[k].type()->str();
  if (!o.differences) return "";
  auto at = [&](double h) {
    Arrays z = x;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (u[i].defined()) z[i] = step(x[i], h, u[i]);
    return evaluate(f, z);
  };
  auto differences = [&](double h) {
    Arrays a = at(h), b = at(-h), c = at(2 * h), d = at(-2 * h), r;
    for (std::size_t k = 0; k < a.size(); ++k) {
      if (!is_inexact(a[k].dtype())) continue;
      auto va = elements(a[k]), vb = elements(b[k]), vc = elements(c[k]), vd = elements(d[k]);
      for (std::size_t i = 0; i < va.size(); ++i)
        va[i] = (8.0 * (va[i] - vb[i]) - (vc[i] - vd[i])) / (12 * h);
      r.push_back(Array(std::span<const Complex>(va), a[k].shape()).astype(a[k].dtype()));
    }
    return r;
  };
  const bool single = single_precision(x) || single_precision(value);
  // Any step size may agree.  Where they do not even agree with each other, a kink lies within a step of x.
  std::string error;
  Arrays last;
  bool kink = true;
  for (auto [h, slack] : {std::pair{1e-3, 1.}, {1e-4, 10.}, {1e-5, 100.}}) {
    Arrays estimate = differences(h);
    const double tolerance = single ? 2e-3 : slack * o.tolerance;
    error = compare("jvp against differences", got, estimate, tolerance);
    if (error.empty()) return "";
    if (!last.empty() && compare("", estimate, last, tolerance).empty()) kink = false;
    last = estimate;
  }
  if (kink) return "";
  return error + show(x);
}

std::string check_linearize(const Fn& f, const Arrays& x, const Options& o) {
  Random random(seed_of("linearize"));
  Arrays u, direction, cts;
  Borrowed dx, ct;
  for (std::size_t i = 0; i < x.size(); ++i) {
    u.push_back(varies(o, x, i) ? random.like(x[i]) : Array());
    dx.push(u[i]);
    if (u[i].defined()) direction.push_back(u[i]);
  }
  Results y, dy, y2, dy2, ct_in;
  jvp_flat(flat(f), x, dx, y, dy, Loc::current());
  LinearMap map = linearized(f, x, o, y2);
  map.push(direction, dy2, Loc::current());
  Arrays pushed, forward;
  for (std::size_t k = 0; k < y.size(); ++k)
    if (is_inexact(y[k].dtype())) {
      forward.push_back(dense(dy[k], y[k].type()));
      pushed.push_back(dense(dy2[k], y[k].type()));
    }
  if (auto e = compare("linearize against jvp", pushed, forward, 1e-12); !e.empty())
    return e + show(x);
  if (auto e =
          compare("primal value of linearize", {y2.begin(), y2.end()}, {y.begin(), y.end()}, 1e-13);
      !e.empty())
    return e + show(x);
  if (!o.reverse) return "";
  for (std::size_t k = 0; k < y.size(); ++k) {
    if (is_inexact(y[k].dtype())) cts.push_back(random.like(y[k]));
    ct.push(is_inexact(y[k].dtype()) ? cts.back().node() : nullptr);
  }
  map.pull(ct, ct_in, Loc::current());
  Arrays pulled;
  for (std::size_t i = 0; i < direction.size(); ++i) {
    pulled.push_back(dense(ct_in[i], direction[i].type()));
    if (pulled[i].type() != direction[i].type())
      return "cotangent of " + direction[i].type()->str() + " is " + pulled[i].type()->str();
  }
  double scale = 1, a = pair(cts, forward, scale), b = pair(pulled, direction, scale);
  const bool single = single_precision(cts) || single_precision(pulled);
  if (!(std::abs(a - b) <= (single ? 1e-5 : 1e-12) * scale)) {
    std::ostringstream s;
    s.precision(17);
    s << "dot-product test: <u, Jv> = " << a << ", <J'u, v> = " << b;
    return s.str() + show(x);
  }
  return "";
}

// A batch without lanes gives results without lanes, of the right types.
static std::string check_empty_batch(const Fn& f, const Arrays& x) {
  Arrays in, want;
  auto emptied = [](const Array& a) {
    Shape s = a.shape();
    s.insert(0, 0);
    return lax::full(make_type(a.dtype(), s), 0);
  };
  for (auto& a : x) in.push_back(emptied(a));
  if (in.empty()) return "";
  for (auto& a : evaluate(f, x)) want.push_back(emptied(a));
  const Fn batched = [f](Args lanes, Results& y) {
    const std::vector<int> axes(lanes.size(), 0);
    const int out_axis = 0;
    vmap_flat(flat(f), lanes, axes, {&out_axis, 1}, -1, "", y, Loc::current());
  };
  auto e = compare("types", evaluate(batched, in), want, 0);
  return e.empty() ? check_jit(batched, in) : e;
}

std::string check_vmap(const Fn& f, const std::vector<Arrays>& lanes, const Options& o) {
  const std::size_t n = lanes[0].size(), size = lanes.size();
  // Choice c_i in 0..rank_i + 1 for operand i: 0 is unmapped, else the axis plus one.
  std::size_t combinations = 1;
  for (auto& a : lanes[0])
    combinations = std::min<std::size_t>(combinations * std::size_t(a.ndim() + 2), 1u << 20);
  Random random(seed_of("vmap"));
  auto run = [&](const std::vector<int>& axes) -> std::string {
    Arrays in;
    std::string label = "vmap, in_axes";
    for (std::size_t i = 0; i < n; ++i) {
      label += axes[i] == kUnmapped ? " None" : " " + std::to_string(axes[i]);
      Arrays rows;
      for (auto& lane : lanes) rows.push_back(lane[i]);
      in.push_back(axes[i] == kUnmapped ? lanes[0][i] : lax::stack(rows, axes[i]));
    }
    const int out_axis = 0;
    Results y;
    vmap_flat(flat(f), in, axes, {&out_axis, 1}, std::int64_t(size), "", y, Loc::current());
    std::vector<Arrays> rows;
    for (auto& lane : lanes) {
      Arrays x;
      for (std::size_t i = 0; i < n; ++i) x.push_back(axes[i] == kUnmapped ? lanes[0][i] : lane[i]);
      rows.push_back(evaluate(f, x));
    }
    Arrays want;
    for (std::size_t k = 0; k < rows[0].size(); ++k) {
      Arrays column;
      for (auto& r : rows) column.push_back(r[k]);
      want.push_back(lax::stack(column, 0));
    }
    const bool single = single_precision(in) || single_precision(want);
    auto e = compare(label, {y.begin(), y.end()}, want, single ? 1e-5 : 1e-12);
    return e.empty() ? e : e + show(in);
  };
  if (auto e = guarded("vmap over no lanes", [&] { return check_empty_batch(f, lanes[0]); });
      !e.empty())
    return e;
  const bool all = combinations <= std::size_t(o.batches);
  for (std::size_t c = 1; c < (all ? combinations : std::size_t(o.batches)); ++c) {
    std::vector<int> axes;
    std::size_t rest = c;
    bool any = false;
    for (auto& a : lanes[0]) {
      const std::size_t m = std::size_t(a.ndim() + 2);
      const std::size_t choice =
          all ? rest % m : std::size_t(random.integer(0, std::int64_t(m) - 1));
      rest /= m;
      axes.push_back(choice ? int(choice) - 1 : kUnmapped);
      any |= choice != 0;
    }
    if (!any) continue;
    if (auto e = guarded("vmap", [&] { return run(axes); }); !e.empty()) return e;
  }
  return "";
}

bool same_bits(const Array& x, const Array& y) {
  return x.type() == y.type() &&
         !std::memcmp(x.data<char>(), y.data<char>(), std::size_t(x.size()) * width(x.dtype()));
}

std::string check_jit(const Fn& f, const Arrays& x) {
  Arrays want = evaluate(f, x);
  JitCache cache;
  const bool single = single_precision(x) || single_precision(want);
  for (const char* call : {"jit, first call", "jit, cached call"}) {
    Arrays in = x;
    std::shared_ptr<const void> tree;
    Results y;
    jit_flat(cache, "f", flat(f), in, {}, &tree, y, false, {}, Loc::current());
    if (auto e = compare(call, {y.begin(), y.end()}, want, single ? 1e-5 : 1e-12); !e.empty())
      return e + show(x);
  }
  if (cache.size() != 1) return "jit traced " + std::to_string(cache.size()) + " times";
  return "";
}

std::string check_text(const Fn& f, const Arrays& x) {
  auto types = types_of(x);
  Jaxpr j = make_jaxpr_flat(flat(f), types, Loc::current());
  j.check();
  Arrays want = evaluate(f, x);
  const std::string text = j.to_string();
  Jaxpr back = Jaxpr::parse(text);
  back.check();
  if (back.to_string() != text)
    return "print, parse, print differ:\n" + text + "\n" + back.to_string();
  if (auto e = compare("parsed program", eval_jaxpr(back, x), want, 1e-12); !e.empty())
    return e + "\n" + text;
  Jaxpr json = Jaxpr::from_json(j.json());
  json.check();
  if (auto e = compare("program from JSON", eval_jaxpr(json, x), want, 1e-12); !e.empty())
    return e + "\n" + text;
  return "";
}

bool has_derivatives(const Options& o, const Arrays& x, const Arrays& y) {
  return o.derivatives && any_varies(o, x) && any_inexact(y);
}
std::string check_derivatives(const Fn& f, const std::vector<Arrays>& lanes, const Options& o) {
  std::string e;
  if (!has_derivatives(o, lanes[0], evaluate(f, lanes[0]))) return e;
  for (std::size_t i = 0; i < lanes.size() && e.empty(); ++i) {
    e = guarded("jvp", [&] { return check_jvp(f, lanes[i], o); });
    if (e.empty()) e = guarded("linearize", [&] { return check_linearize(f, lanes[i], o); });
  }
  return e;
}

std::string check_function(const Fn& f, const std::vector<Arrays>& lanes, const Options& o) {
  const Arrays& x = lanes[0];
  const Arrays y = evaluate(f, x);
  std::string e = guarded("jit", [&] { return check_jit(f, x); });
  if (e.empty() && o.text) e = guarded("text", [&] { return check_text(f, x); });
  if (e.empty() && o.batch) e = guarded("vmap", [&] { return check_vmap(f, lanes, o); });
  if (!e.empty() || !has_derivatives(o, x, y)) return e;
  if (e = check_derivatives(f, lanes, o); !e.empty()) return e;
  Random random(seed_of("tangents"));
  Options inner = o;
  inner.order = o.order - 1;
  inner.derivatives = inner.order > 0;
  inner.batches = std::min(o.batches, 12);
  inner.tolerance = 10 * o.tolerance;
  std::vector<Arrays> forward, backward;
  for (auto& lane : lanes) {
    forward.push_back(with_tangents(random, lane, o));
    backward.push_back(with_cotangents(random, lane, y));
  }
  e = guarded("of jvp",
              [&] { return check_function(pushforward(f, x.size(), o), forward, inner); });
  if (e.empty() && o.reverse)
    e = guarded("of vjp",
                [&] { return check_function(pullback(f, x.size(), o), backward, inner); });
  return e;
}

}  // namespace jaxpp::testing
