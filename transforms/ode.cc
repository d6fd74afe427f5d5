// ode.cc -- Dormand and Prince's pair of orders 5 and 4, with the reverse mode of its adjoint equation or of its steps.
//
// The state is one vector.  For each time that is wanted, a loop takes steps until one ends at or after it, and the polynomial of
// that step gives the value there.  In mode direct this is what is differentiated, with the sizes of steps as constants.
//
// The adjoint of  y' = f(y, t, p)  with cotangents g_i of y(t_i) is, backwards in time,
//   y' = f,   a' = -a df/dy,   b' = -a df/dp,    a(t_n) = g_n;  at each t_i: a += g_i,
// and the cotangents are a(t_0) for y0, b(t_0) for p, and a . f for times: solved by the same method, with respect to -t.
#include "jaxpp/ode.h"
#include <cmath>
#include "jaxpp/core/user_functions.h"
#include "jaxpp/flat.h"
#include "transforms/calls.h"

namespace jaxpp::internal {
namespace {

// ---- Arithmetic on arrays and numbers of one dtype
Array number(DType d, double v) { return lax::full(scalar_type(d), v); }
Array spread(const Array& scalar, const Array& over) {
  return lax::broadcast_in_dim(scalar, over.shape(), {});
}
Array scaled(const Array& scalar, const Array& x) { return lax::mul(spread(scalar, x), x); }
Array times(double v, const Array& x) { return lax::mul(lax::full_like(x, v), x); }
Array plus(const Array& a, const Array& b) { return lax::add(a, b); }
Array minus(const Array& a, const Array& b) { return lax::sub(a, b); }

/// The problem as one of vectors: rate(y, t, p...) -> dy/dt.
struct Problem {
  JaxprPtr rate;  // y: [n], t: [], p...
  OdeOptions options;

  Array operator()(const Array& y, const Array& t, Args p) const {
    Borrowed in(y, t);
    in.append(p);
    Results dy;
    eval_jaxpr(*rate, in, dy);
    return dy[0];
  }
};

// ---- One step (Hairer, Norsett, Wanner: Solving Ordinary Differential Equations I, II.5)
constexpr int kStages = 7;
constexpr double kNodes[kStages] = {0, 1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1};
constexpr double kCoefficients[kStages][kStages - 1] = {
    {},
    {1. / 5},
    {3. / 40, 9. / 40},
    {44. / 45, -56. / 15, 32. / 9},
    {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
    {9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
    {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84}};  // the last: the new y
constexpr double kError[kStages] = {71. / 57600,      0,         -71. / 16695, 71. / 1920,
                                    -17253. / 339200, 22. / 525, -1. / 40};
// The fourth-order polynomial of a step, by its value in the middle.
constexpr double kMiddle[kStages] = {
    6025192743. / 30085553152 / 2,     0,
    51252292925. / 65400821598 / 2,    -2691868925. / 45128329728 / 2,
    187940372067. / 1594534317056 / 2, -1776094331. / 19743644256 / 2,
    11237099. / 235043384 / 2};

Array combination(const Results& k, const double* c, std::size_t n) {
  Array sum;
  for (std::size_t i = 0; i < n; ++i)
    if (c[i] != 0) sum = sum.defined() ? plus(sum, times(c[i], k[i])) : times(c[i], k[i]);
  return sum;
}
struct Step {
  Array y, rate, error;
  Results polynomial;  // in (t - begin) / dt, the highest power first
};
Step step(const Problem& f, const Array& y, const Array& rate, const Array& t, const Array& dt,
          Args p) {
  Results k{rate};
  Array next;
  for (std::size_t s = 1; s < kStages; ++s) {
    next = plus(y, scaled(dt, combination(k, kCoefficients[s], s)));
    k.push_back(f(next, plus(t, times(kNodes[s], dt)), p));
  }
  const Array middle = plus(y, scaled(dt, combination(k, kMiddle, kStages)));
  const Array d0 = scaled(dt, k[0]), d1 = scaled(dt, k[kStages - 1]);
  // The quartic through y, middle, next with slopes d0, d1.
  const Array c4 =
      plus(plus(times(-2, d0), times(2, d1)), plus(times(-8, plus(y, next)), times(16, middle)));
  const Array c3 = plus(minus(times(5, d0), times(3, d1)),
                        plus(plus(times(18, y), times(14, next)), times(-32, middle)));
  const Array c2 =
      plus(plus(times(-4, d0), d1), plus(plus(times(-11, y), times(-5, next)), times(16, middle)));
  return {next, k[kStages - 1], scaled(dt, combination(k, kError, kStages)), {c4, c3, c2, d0, y}};
}

// ---- The sizes of steps: constants to every derivative
Array root_mean_square(const Array& x) {
  if (x.size() == 0) return number(x.dtype(), 0);
  return lax::sqrt(times(1. / double(x.size()), lax::reduce_sum(lax::square(x), {0})));
}
Array tolerance(const OdeOptions& o, const Array& size) {
  return plus(lax::full_like(size, o.atol), times(o.rtol, size));
}
Array error_ratio(const OdeOptions& o, const Array& error, const Array& before,
                  const Array& after) {
  const Array size = lax::max(lax::abs(before), lax::abs(after));
  return root_mean_square(lax::div(error, tolerance(o, size)));
}
Array first_size(const Problem& f, const Array& y, const Array& rate, const Array& t, Args p) {
  const DType d = y.dtype();
  const Array scale = tolerance(f.options, lax::abs(y));
  const Array d0 = root_mean_square(lax::div(y, scale)),
              d1 = root_mean_square(lax::div(rate, scale)), small = number(d, 1e-5);
  const Array tiny = lax::bitwise_or(lax::lt(d0, small), lax::lt(d1, small));
  const Array h0 = lax::select(tiny, number(d, 1e-6), times(0.01, lax::div(d0, d1)));
  const Array ahead = f(plus(y, scaled(h0, rate)), plus(t, h0), p);
  const Array d2 = lax::div(root_mean_square(lax::div(minus(ahead, rate), scale)), h0),
              most = lax::max(d1, d2);
  const Array h1 =
      lax::select(lax::le(most, number(d, 1e-15)), lax::max(number(d, 1e-6), times(1e-3, h0)),
                  lax::pow(lax::div(number(d, 0.01), most), number(d, 0.2)));
  return lax::min(times(100, h0), h1);
}
// A PI controller: the size times 0.9 e^-0.14 e_before^0.08, within a fifth and ten times; after a rejected step not more.
Array next_size(const Array& dt, const Array& ratio, const Array& before, const Array& accepted) {
  const DType d = dt.dtype();
  const auto power = [&](const Array& x, double e) { return lax::pow(x, number(d, e)); };
  const Array e = lax::max(ratio, number(d, 1e-10));
  const Array grown = times(0.9, lax::mul(power(e, -0.14), power(before, 0.08)));
  const Array shrunk = times(0.9, power(e, -0.2));
  const Array factor = lax::select(accepted, lax::clamp(number(d, 0.2), grown, number(d, 10)),
                                   lax::clamp(number(d, 0.2), shrunk, number(d, 1)));
  return lax::mul(dt, lax::select(lax::ne(e, e), number(d, 0.2), factor));  // NaN: smaller
}

// ---- All steps.  The state between times: y, rate, t, dt, error ratio, begin of the last step, its polynomial.
enum At : std::size_t { kY, kRate, kT, kDt, kRatio, kBegin, kPolynomial, kState = kPolynomial + 5 };

Results advanced(const Problem& f, Args s, Args p) {
  const Array dt = lax::stop_gradient(s[kDt]), t = plus(s[kT], dt);
  const Step n = step(f, s[kY], s[kRate], s[kT], dt, p);
  const auto fixed = [](const Array& x) { return lax::stop_gradient(x); };
  const Array ratio = error_ratio(f.options, fixed(n.error), fixed(s[kY]), fixed(n.y));
  const Array accepted = lax::le(ratio, number(ratio.dtype(), 1));
  Array size = next_size(dt, ratio, fixed(s[kRatio]), accepted);
  if (std::isfinite(f.options.hmax)) size = lax::min(size, number(size.dtype(), f.options.hmax));
  const Results moved{n.y, n.rate, t, size, lax::max(ratio, number(ratio.dtype(), 1e-4)), s[kT]};
  Results out;
  for (std::size_t i = 0; i < kState; ++i) {
    const Array& now = i < kPolynomial ? moved[i] : n.polynomial[i - kPolynomial];
    if (i == kDt)
      out.push_back(now);
    else
      out.push_back(lax::select(lax::broadcast_in_dim(accepted, now.shape(), {}), now, s[i]));
  }
  return out;
}
// y at ts, from y at ts[0]; ts increase.
Array integrate(const Problem& f, const Array& y0, const Array& ts, Args p, Loc loc) {
  const DType d = y0.dtype();
  const std::int64_t n = ts.shape()[0];
  const auto row = [&](const Array& x) { return lax::expand_dims(x, {0}); };
  if (n == 0) return lax::slice_in_dim(row(y0), 0, 0, 0, loc);
  if (n == 1) return row(y0);
  const Array t0 = lax::reshape(lax::slice_in_dim(ts, 0, 1, 0, loc), {}), rate = f(y0, t0, p);
  Array dt = lax::stop_gradient(first_size(f, y0, rate, t0, p));
  if (std::isfinite(f.options.hmax)) dt = lax::min(dt, number(d, f.options.hmax));
  Results state{y0, rate, t0, dt, number(d, 1), t0};
  for (int i = 0; i < 4; ++i) state.push_back(lax::zeros_like(y0));
  state.push_back(y0);
  const std::int64_t limit = f.options.mxstep;
  const std::int64_t bound = f.options.gradient == OdeGradient::direct ? (limit ? limit : 4096) : 0;
  auto to_next = [&](Args in, Results& out) {
    const Array target = in[kState];
    auto more = [&](Args s, Results& y) {
      Array go = lax::bitwise_and(lax::lt(s[kT], target), lax::gt(plus(s[kT], s[kDt]), s[kT]));
      if (limit) go = lax::bitwise_and(go, lax::lt(s[kState], Array(std::int32_t(limit))));
      y.push_back(go);
    };
    auto body = [&](Args s, Results& y) {
      y = advanced(f, s.first(kState), p);
      if (limit) y.push_back(lax::add(s[kState], Array(1)));
    };
    Results s(in.begin(), in.begin() + kState), r;
    if (limit) s.push_back(Array(0));
    while_flat(flat(more), flat(body), args(s), r, loc, bound);
    const Array late = lax::lt(r[kT], target);
    const Array span = minus(r[kT], r[kBegin]);
    const Array none = lax::eq(span, number(d, 0));
    const Array x =
        lax::select(none, number(d, 0),
                    lax::div(minus(target, r[kBegin]), lax::select(none, number(d, 1), span)));
    Array y = r[kPolynomial];
    for (std::size_t i = 1; i < 5; ++i) y = plus(scaled(x, y), r[kPolynomial + i]);
    y = lax::select(lax::broadcast_in_dim(late, y.shape(), {}), lax::full_like(y, std::nan("")), y);
    out.append(r.begin(), r.begin() + kState);
    out.push_back(y);
  };
  auto checkpointed = [&](Args in, Results& out) {
    if (bound)
      checkpoint_flat(flat(to_next), in, nullptr, out, loc);
    else
      to_next(in, out);
  };
  const Array targets = lax::slice_in_dim(ts, 1, n, 0, loc);
  Results out;
  scan_flat(flat(checkpointed), args(state), {&targets, 1}, -1, false, 1, out, loc);
  const Array all[] = {row(y0), out[kState]};
  return lax::concatenate(all, 0, loc);
}

// ---- The adjoint
Array solve(const Problem& f, const Array& y0, const Array& ts, Args p, Loc loc);

Array raveled(const Results& x, DType d) {
  Results parts;
  for (const Array& a : x)
    parts.push_back(lax::reshape(lax::convert_element_type(a, d), {a.size()}));
  if (parts.empty()) return lax::full(make_type(d, {0}), 0);
  return parts.size() == 1 ? parts[0] : lax::concatenate(args(parts), 0);
}
Results unraveled(const Array& flat, Types types) {
  Results out;
  std::int64_t at = 0;
  for (Type t : types) {
    const Array part = lax::slice_in_dim(flat, at, at + t->size, 0);
    out.push_back(lax::convert_element_type(lax::reshape(part, t->shape), t->dtype));
    at += t->size;
  }
  return out;
}
// Cotangents of (y0, ts, p...) from those of ys.
void adjoint(const Problem& f, const Array& ys, const Array& ts, Args p, const Array& g,
             Results& cotangents, Loc loc) {
  const DType d = ys.dtype();
  const std::int64_t n = ts.shape()[0], m = ys.shape()[1];
  std::vector<Type> varying;  // parameters that have a cotangent
  for (const Array& a : p)
    if (has_tangent(a.type())) varying.push_back(a.type());
  std::int64_t n_p = 0;
  for (Type t : varying) n_p += t->size;
  // z = (y, a, b); s = -t.  dz/ds = (-f, a df/dy, a df/dp)
  std::vector<Type> in{make_type(d, {2 * m + n_p}), scalar_type(d)};
  for (const Array& a : p) in.push_back(a.type());
  auto backwards = [&](Args x, Results& out) {
    const Array y = lax::slice_in_dim(x[0], 0, m, 0), a = lax::slice_in_dim(x[0], m, 2 * m, 0);
    Results at{y};
    for (const Array& q : x.subspan(2))
      if (has_tangent(q.type())) at.push_back(q);
    auto rate = [&](Args v, Results& r) {
      Borrowed q;
      std::size_t k = 1;
      for (const Array& given : x.subspan(2)) {
        if (has_tangent(given.type()))
          q.push(v[k++]);
        else
          q.push(given);
      }
      r.push_back(f(v[0], lax::neg(x[1]), q));
    };
    Results dy, ct;
    const LinearMap map = LinearMap::of(flat(rate), args(at), dy, "odeint", loc);
    map.pull({&a, 1}, ct, loc);
    ct.insert(0, lax::neg(dy[0]));
    out.push_back(raveled(ct, d));
  };
  const Closed rate = trace_to_jaxpr(in, flat(backwards), Consts::embed);
  const Problem back{rate.jaxpr, f.options};

  const auto row = [&](const Array& x, std::int64_t i) {
    return lax::squeeze(lax::slice_in_dim(x, i, i + 1, 0), {0});
  };
  Results start{n > 0 ? row(g, n - 1) : lax::full(make_type(d, {m}), 0),
                lax::full(make_type(d, {n_p}), 0)};
  Array t_ct = lax::full(make_type(d, {n}), 0), first = number(d, 0);
  if (n > 1) {
    auto interval = [&](Args c, Results& out) {  // carry: a, b, ct of ts[0]; y, g there, t, y, g
      const Array &y = c[3], &t = c[4], &t_before = c[5], &g_here = c[6], &g_before = c[7];
      const Array moved = lax::reduce_sum(lax::mul(f(y, t, p), g_here), {0});
      const Array z0 = raveled({y, c[0], c[1]}, d);
      const Array both[] = {lax::reshape(lax::neg(t), {1}), lax::reshape(lax::neg(t_before), {1})};
      const Array z = solve(back, z0, lax::concatenate(both, 0), p, loc);
      const Array end = row(z, 1);
      out.push_back(plus(lax::slice_in_dim(end, m, 2 * m, 0), g_before));
      out.push_back(lax::slice_in_dim(end, 2 * m, 2 * m + n_p, 0));
      out.push_back(minus(c[2], moved));
      out.push_back(moved);
    };
    const auto later = [&](const Array& x) { return lax::slice_in_dim(x, 1, n, 0); };
    const auto earlier = [&](const Array& x) { return lax::slice_in_dim(x, 0, n - 1, 0); };
    const Results xs{later(ys), later(ts), earlier(ts), later(g), earlier(g)};
    start.push_back(first);
    Results out;
    scan_flat(flat(interval), args(start), args(xs), -1, true, 1, out, loc);
    const Array all[] = {lax::reshape(out[2], {1}), out[3]};
    t_ct = lax::concatenate(all, 0);
    start = Results{out[0], out[1]};
  }
  cotangents.push_back(start[0]);
  cotangents.push_back(t_ct);
  const Results of_p = unraveled(start[1], varying);
  std::size_t k = 0;
  for (const Array& a : p) cotangents.push_back(has_tangent(a.type()) ? of_p[k++] : Array());
}

Array solve(const Problem& f, const Array& y0, const Array& ts, Args p, Loc loc) {
  if (f.options.gradient == OdeGradient::direct) return integrate(f, y0, ts, p, loc);
  auto rule = std::make_shared<CustomRule>();
  rule->name = "odeint";
  rule->call = [=](Args x, Results& y) {
    y.push_back(integrate(f, x[0], x[1], x.subspan(2), loc));
  };
  rule->jvp = [=](Args x, Args dx, Results& y, Results& dy) {
    auto run = [&](Args in, Results& out) {
      out.push_back(integrate(f, in[0], in[1], in.subspan(2), loc));
    };
    jvp_flat(flat(run), x, dx, y, dy, loc);
  };
  rule->fwd = [=](Args x, Results& y, Results& residuals) {
    y.push_back(solve(f, x[0], x[1], x.subspan(2), loc));
    residuals.push_back(y[0]);
    residuals.append(x.begin() + 1, x.end());
  };
  rule->bwd = [=](Args r, Args ct, Results& x_ct) {
    adjoint(f, r[0], r[1], r.subspan(2), ct[0], x_ct, loc);
  };
  Borrowed in(y0, ts);
  in.append(p);
  Results y;
  custom_call_flat(rule, in, y, loc);
  return y[0];
}

}  // namespace

void odeint_flat(FlatFn f, Args y0, const Array& ts, Args extra, const OdeOptions& options,
                 Results& ys, Loc loc) {
  TrailFrame frame("odeint", loc);
  if (ts.ndim() != 1)
    fail("odeint: the times are " + ts.type()->str() + ".", loc, "E30", "Give an array of rank 1.");
  if (!(options.rtol >= 0) || !(options.atol >= 0) || !(options.hmax > 0) || options.mxstep < 0)
    fail("odeint: rtol, atol and mxstep must not be negative, and hmax must be positive.", loc,
         "E30");
  if (y0.empty()) return;
  DType d = y0[0].dtype();
  for (const Array& a : y0) {
    if (is_complex(a.dtype()))
      fail("odeint: the state holds " + a.type()->str() + ".", loc, "E14",
           "Integrate its real and imaginary parts.");
    d = promote_types(d, a.dtype());
  }
  if (!is_float(d)) d = is_float(ts.dtype()) ? ts.dtype() : DType::f32;
  std::vector<Type> shapes, types;
  for (const Array& a : y0) shapes.push_back(make_type(d, a.shape()));
  types = shapes;
  types.push_back(scalar_type(d));
  for (const Array& a : extra) types.push_back(a.type());
  const Closed traced = trace_to_jaxpr(types, f);
  const JaxprBody& j = *traced.jaxpr;
  bool fits = j.outs.size() == y0.size();
  for (std::size_t i = 0; fits && i < y0.size(); ++i)
    fits = j.type(j.outs[i])->shape == shapes[i]->shape && !is_complex(j.type(j.outs[i])->dtype);
  if (!fits)
    fail("odeint: the function returns other shapes than y0 has.", loc, "E31",
         "It takes (y, t, extra) and returns dy/dt, a tree like y.");
  // (vector, t, what f captured, extra) -> vector
  Borrowed p(Args{traced.consts});
  p.append(extra);
  std::int64_t size = 0;
  for (Type t : shapes) size += t->size;
  std::vector<Type> in{make_type(d, {size}), scalar_type(d)};
  for (const Array& a : Args(p)) in.push_back(a.type());
  auto on_vectors = [&](Args x, Results& out) {
    Borrowed operands(x.subspan(2, traced.consts.size()));
    const Results parts = unraveled(x[0], shapes);
    operands.append(args(parts));
    operands.push(x[1]);
    operands.append(x.subspan(2 + traced.consts.size()));
    Results r;
    eval_jaxpr(j, operands, r);
    out.push_back(raveled(r, d));
  };
  const Problem problem{trace_to_jaxpr(in, flat(on_vectors), Consts::embed).jaxpr, options};
  const Array all = solve(problem, raveled(Results(y0.begin(), y0.end()), d),
                          lax::convert_element_type(ts, d), p, loc);
  std::int64_t at = 0;
  for (Type t : shapes) {
    Shape s = t->shape;
    s.insert(0, ts.shape()[0]);
    ys.push_back(lax::reshape(lax::slice_in_dim(all, at, at + t->size, 1, loc), s));
    at += t->size;
  }
}

}  // namespace jaxpp::internal
