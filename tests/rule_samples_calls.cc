// rule_samples_calls.cc -- samples of the primitives that carry programs (jit, remat2, scan, while, cond, custom rules),
// of host callbacks and identities, and of collectives (inside the vmap that binds their axis).
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/io_callback.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/bounded.h"
#include "jaxpp/ops/host_fn.h"
#include "jaxpp/ops/primitives.h"
#include "rule_samples.h"
#include "transforms/transforms.h"

namespace jaxpp::testing {
namespace {

using namespace internal;

Array scalar_like(const Array& x, double v) { return lax::full(scalar_type(x.dtype()), v); }
std::function<Arrays(Random&)> real(std::vector<Shape> shapes) {
  return [=](Random& r) {
    Arrays x;
    for (auto& s : shapes) x.push_back(r.array(DType::f64, s, 0.25, 0.85, true));
    return x;
  };
}
JaxprPtr traced(std::vector<Type> in, const Fn& f) {
  return trace_to_jaxpr(in, flat(f), Consts::embed).jaxpr;
}
Type f64s(const Shape& s) { return make_type(DType::f64, s); }

// (a, b) -> (a sin b, b): something with more than one result
void small_body(Args x, Results& y) {
  y.push_back(lax::mul(x[0], lax::sin(x[1])));
  y.push_back(x[1]);
}
void calls(std::vector<Sample>& out) {
  const auto body = traced({f64s({3}), f64s({3})}, small_body);
  out.push_back({"jit", {&jit_p}, apply(jit_p, CallParams{body, "f"}), real({{3}, {3}}), {}});
  out.push_back(
      {"remat2", {&remat_p}, apply(remat_p, RematParams{body, {}}), real({{3}, {3}}), {}});

  // consts: w; carry: c; xs: x
  const auto step = traced({f64s({2}), f64s({2}), f64s({2})}, [](Args x, Results& y) {
    Array c = lax::sin(lax::add(lax::mul(x[0], x[1]), x[2]));
    y.push_back(c);
    y.push_back(lax::mul(c, x[2]));
  });
  for (bool reverse : {false, true})
    out.push_back({reverse ? "scan reverse" : "scan",
                   {&scan_p},
                   apply(scan_p, ScanParams{step, 4, 1, 1, reverse, 1}),
                   real({{2}, {2}, {4, 2}}),
                   {}});
  out.back().options.order = 1;
  out.push_back({"scan unrolled, no steps",
                 {&scan_p},
                 apply(scan_p, ScanParams{step, 0, 1, 1, false, 2}),
                 real({{2}, {2}, {0, 2}}),
                 {}});
  out.back().options.order = 1;

  for (bool reverse : {false, true}) {
    Sample counted{reverse ? "counted_scan reverse" : "counted_scan",
                   {&counted_scan_p},
                   apply(counted_scan_p, CountedScanParams{step, 4, 1, 1, reverse}),
                   {},
                   {}};
    counted.make = [](Random& r) {
      return Arrays{Array(std::int32_t(r.integer(0, 4))),
                    r.array(DType::f64, {2}, 0.25, 0.85, true),
                    r.array(DType::f64, {2}, 0.25, 0.85, true),
                    r.array(DType::f64, {4, 2}, 0.25, 0.85, true)};
    };
    counted.options.order = 1;
    out.push_back(counted);
  }

  // while |c| < bound: c = 1.5 c + 0.1 w.  Lanes take different numbers of steps.
  const auto below = traced({f64s({}), f64s({})},
                            [](Args x, Results& y) { y.push_back(lax::lt(lax::abs(x[1]), x[0])); });
  const auto grow = traced({f64s({}), f64s({})}, [](Args x, Results& y) {
    y.push_back(
        lax::add(lax::mul(x[1], scalar_like(x[1], 1.5)), lax::mul(x[0], scalar_like(x[0], 0.1))));
  });
  Sample loop{"while", {&while_p}, apply(while_p, WhileParams{grow, 1, below, 1}), {}, {}};
  loop.make = [](Random& r) {
    return Arrays{r.array(DType::f64, {}, 2, 9), r.array(DType::f64, {}, 0.2, 0.9),
                  r.array(DType::f64, {}, 0.3, 0.9)};
  };
  loop.options.reverse = false;
  loop.options.constant = {0};
  out.push_back(loop);
  Sample bounded = loop;
  bounded.name = "bounded_while";
  bounded.covers = {&bounded_while_p};
  bounded.f = apply(bounded_while_p, BoundedWhileParams{grow, 1, below, 1, 20});
  bounded.options.reverse = true;
  out.push_back(bounded);

  // A condition for each of three lanes, as vmap leaves it; the carries are c: [3] and a sum of its past, [3,2].
  const auto below3 = traced({f64s({3}), f64s({3}), f64s({3, 2})}, [](Args x, Results& y) {
    y.push_back(lax::lt(lax::abs(x[1]), x[0]));
  });
  const auto grow3 = traced({f64s({3}), f64s({3}), f64s({3, 2})}, [](Args x, Results& y) {
    y.push_back(
        lax::add(lax::mul(x[1], scalar_like(x[1], 1.5)), lax::mul(x[0], scalar_like(x[0], 0.1))));
    y.push_back(lax::add(x[2], lax::broadcast_in_dim(lax::sin(x[1]), {3, 2}, {0})));
  });
  Sample lanes{
      "while in lanes", {&while_p}, apply(while_p, WhileParams{grow3, 1, below3, 1}), {}, {}};
  lanes.make = [](Random& r) {
    return Arrays{r.array(DType::f64, {3}, 2, 9), r.array(DType::f64, {3}, 0.2, 0.9),
                  r.array(DType::f64, {3}, 0.3, 0.9), r.array(DType::f64, {3, 2}, 0.3, 0.9)};
  };
  lanes.options.reverse = false;
  lanes.options.constant = {0};
  out.push_back(lanes);
  lanes.name = "bounded_while in lanes";
  lanes.covers = {&bounded_while_p};
  lanes.f = apply(bounded_while_p, BoundedWhileParams{grow3, 1, below3, 1, 20});
  lanes.options.reverse = true;
  lanes.options.order = 1;
  out.push_back(lanes);

  const auto left =
      traced({f64s({3}), f64s({3})}, [](Args x, Results& y) { y.push_back(lax::mul(x[0], x[1])); });
  const auto right =
      traced({f64s({3}), f64s({3})}, [](Args x, Results& y) { y.push_back(lax::sin(x[0])); });
  Sample branch{"cond", {&cond_p}, apply(cond_p, CondParams{{left, right}}), {}, {}};
  branch.make = [](Random& r) {
    return Arrays{Array(std::int32_t(r.integer(-1, 2))), r.array(DType::f64, {3}, 0.25, 0.85, true),
                  r.array(DType::f64, {3}, 0.25, 0.85, true)};
  };
  out.push_back(branch);

  // An index for each of three lanes: a has a value for each, w is shared.
  const auto scaled = traced({f64s({3, 2}), f64s({2})}, [](Args x, Results& y) {
    y.push_back(lax::mul(x[0], lax::broadcast_in_dim(x[1], {3, 2}, {1})));
    y.push_back(lax::reduce_sum(x[0], {1}));
  });
  const auto waves = traced({f64s({3, 2}), f64s({2})}, [](Args x, Results& y) {
    y.push_back(lax::sin(x[0]));
    y.push_back(lax::broadcast_in_dim(lax::reduce_prod(x[1], {0}), {3}, {}));
  });
  Sample choice{"cond in lanes", {&cond_p}, apply(cond_p, CondParams{{scaled, waves}}), {}, {}};
  choice.make = [](Random& r) {
    Array index = Array::make(make_type(DType::i32, {3}));
    for (int i = 0; i < 3; ++i) index.data<std::int32_t>()[i] = std::int32_t(r.integer(-1, 2));
    return Arrays{index, r.array(DType::f64, {3, 2}, 0.25, 0.85, true),
                  r.array(DType::f64, {2}, 0.25, 0.85, true)};
  };
  out.push_back(choice);
  for (Sample& s : out) s.options.double_only = true;
}

// A x = b for A near the identity, by forty steps of x = b - (A - 1) x.
void linear_solves(std::vector<Sample>& out) {
  const auto times = [](bool transposed) {
    return [=](Args x, Results& y) {
      const DotDims columns{{transposed ? 0 : 1}, {0}, {}, {}};
      y.push_back(lax::dot_general(x[0], x[1], columns));
    };
  };
  const auto iterated = [&](bool transposed) {
    return [=](Args x, Results& y) {
      const auto step = traced({f64s({3, 3}), f64s({3}), f64s({3})}, [=](Args z, Results& next) {
        Results product;
        times(transposed)(Borrowed(z[0], z[2]), product);
        next.push_back(lax::sub(z[1], lax::sub(product[0], z[2])));
      });
      const ScanParams p{step, 40, 1, 2, false, 1};
      y.resize(1);
      scan_p.bind(Borrowed(x[0], x[1], x[1]), p, y.data(), Loc::current());
    };
  };
  const std::vector<Type> in = {f64s({3, 3}), f64s({3})};
  const LinearSolveParams p{{1, 1, 1, 1},
                            {traced(in, times(false)), traced(in, times(true)),
                             traced(in, iterated(false)), traced(in, iterated(true))}};
  const auto f = [p](Args x, Results& y) {
    const Array eye = lax::convert_element_type(
        lax::eq(lax::iota(DType::i32, {3, 3}, 0), lax::iota(DType::i32, {3, 3}, 1)), DType::f64);
    const Array a = lax::add(eye, lax::mul(x[0], Array(0.15)));
    y.resize(1);
    custom_linear_solve_p.bind(Borrowed(a, a, a, a, x[1]), p, y.data(), Loc::current());
  };
  out.push_back({"custom_linear_solve", {&custom_linear_solve_p}, f, real({{3, 3}, {3}}), {}});
  out.back().options.double_only = true;
}

void custom_rules(std::vector<Sample>& out) {
  auto square = [](Args x, Results& y) { y.push_back(lax::mul(x[0], lax::mul(x[1], x[1]))); };
  auto forward = std::make_shared<CustomRule>();
  forward->name = "f";
  forward->call = square;
  forward->jvp = [](Args x, Args dx, Results& y, Results& dy) {
    y.push_back(lax::mul(x[0], lax::mul(x[1], x[1])));
    Array two = scalar_like(x[0], 2);
    dy.push_back(lax::add(lax::mul(dx[0], lax::mul(x[1], x[1])),
                          lax::mul(lax::mul(two, lax::mul(x[0], x[1])), dx[1])));
  };
  auto reverse = std::make_shared<CustomRule>();
  reverse->name = "f";
  reverse->call = square;
  reverse->fwd = [](Args x, Results& y, Results& residuals) {
    y.push_back(lax::mul(x[0], lax::mul(x[1], x[1])));
    residuals.push_back(x[0]);
    residuals.push_back(x[1]);
  };
  reverse->bwd = [](Args r, Args ct, Results& x_ct) {
    x_ct.push_back(lax::mul(ct[0], lax::mul(r[1], r[1])));
    x_ct.push_back(lax::mul(lax::mul(scalar_like(r[0], 2), lax::mul(r[0], r[1])), ct[0]));
  };
  for (bool vjp : {false, true}) {
    CustomPtr rule = vjp ? reverse : forward;
    out.push_back({vjp ? "custom_vjp" : "custom_jvp",
                   {vjp ? &custom_vjp_call_p : &custom_jvp_call_p},
                   [rule](Args x, Results& y) { custom_call_flat(rule, x, y, Loc::current()); },
                   real({{3}, {3}}),
                   {}});
    // As an equation of a program, where the primitive's own rules are used.
    const Sample plain = out.back();
    out.push_back(plain);
    out.back().name += " in a program";
    out.back().options.double_only = true;
    out.back().f = apply(jit_p, CallParams{traced({f64s({3}), f64s({3})}, plain.f), "g"});
  }
}

void host(std::vector<Sample>& out) {
  // copy has no trace in a derivative: its own transpose serves linear_transpose only.
  const auto copied = traced({f64s({2, 3})}, apply(copy_p));
  out.push_back({"copy transposed",
                 {&copy_p},
                 [copied](Args x, Results& y) {
                   Array ct;
                   const Array unknown;
                   backward_pass(*copied, {&unknown, 1}, x, &ct);
                   y.push_back(ct);
                 },
                 real({{2, 3}}),
                 {},
                 [](Args x, Results& y) { y.push_back(x[0]); }});
  out.push_back({"name", {&name_p}, apply(name_p, NameParams{"a"}), real({{2, 3}}), {}});
  for (auto* p : {&optimization_barrier_p, &device_put_p})
    out.push_back({p->name, {p}, apply(*p, ArityParams{2}), real({{2, 3}, {}}), {}});
  auto sine = std::make_shared<const HostFn>(HostFn{"sine", [](Args x, Results& y) {
                                                      y.push_back(lax::sin(x[0]));
                                                      y.push_back(lax::lt(x[0], x[1]));
                                                    }});
  out.push_back({"pure_callback",
                 {&pure_callback_p},
                 [sine](Args x, Results& y) {
                   Type types[] = {x[0].type(), make_type(DType::b1, x[0].shape())};
                   pure_callback_flat(sine, types, x, y, Loc::current());
                 },
                 real({{3}, {3}}),
                 {}});
  out.back().options.derivatives = false;
  out.back().options.text = false;
  out.push_back({"io_callback",
                 {&io_callback_p},
                 [sine](Args x, Results& y) {
                   Type types[] = {x[0].type(), make_type(DType::b1, x[0].shape())};
                   io_callback_flat(sine, types, x, false, y, Loc::current());
                 },
                 real({{3}, {3}}),
                 {}});
  out.back().options.derivatives = false;
  out.back().options.text = false;
  auto ignore = std::make_shared<const HostFn>(HostFn{"ignore", [](Args, Results&) {}});
  out.push_back({"debug_callback",
                 {&debug_callback_p},
                 [ignore](Args x, Results& y) {
                   debug_callback_flat(ignore, x, Loc::current());
                   y.push_back(lax::sin(x[0]));
                 },
                 real({{3}}),
                 {}});
  out.back().options.text = false;
}

// x[size, ...] -> the results of all lanes; operands of f are lanes along axis 0.
Fn over_axis(Fn f) {
  return [=](Args x, Results& y) {
    std::vector<int> axes(x.size(), 0);
    const int out = 0;
    vmap_flat(flat(f), x, axes, {&out, 1}, -1, "i", y, Loc::current());
  };
}
void collectives(std::vector<Sample>& out) {
  auto add = [&](const std::string& name, const Primitive& p, const Fn& f,
                 std::vector<Shape> shapes) {
    auto make = real(shapes);
    out.push_back({std::string(p.name) + " " + name, {&p}, over_axis(f), make, {}});
    // The same with another vmap between the operation and its axis: batched operands of a foreign collective.
    auto inner = [f](Args x, Results& y) {
      std::vector<int> axes(x.size(), x[0].ndim() - 1);
      const int at = 0;
      vmap_flat(flat(f), x, axes, {&at, 1}, -1, "j", y, Loc::current());
    };
    for (auto& s : shapes) s.push_back(2);
    out.push_back({std::string(p.name) + " " + name + " inside another vmap",
                   {&p},
                   over_axis(inner),
                   real(shapes),
                   {}});
    out.back().options.order = 1;
    // Its own rules are used where the derivative is taken under the axis; from outside, the batching rule comes first.
    const std::size_t n = shapes.size();
    out.push_back({std::string(p.name) + " " + name + " pushed forward under its axis",
                   {&p},
                   over_axis(pushforward(f, n)),
                   [make](Random& r) { return with_tangents(r, make(r)); },
                   {},
                   pushforward(over_axis(f), n)});
    out.back().options.order = 1;
    out.push_back({std::string(p.name) + " " + name + " pulled back under its axis",
                   {&p},
                   over_axis(pullback(f, n)),
                   [make, f](Random& r) {
                     const Arrays x = make(r);
                     return with_cotangents(r, x, evaluate(over_axis(f), x));
                   },
                   {},
                   pullback(over_axis(f), n)});
    out.back().options.order = 1;
  };
  const std::string i = "i";
  const CollectiveParams axes{{i}};
  add("", psum_p, apply(psum_p, axes), {{3, 2}});
  add("", pmax_p, apply(pmax_p, axes), {{3, 2}});
  add("", pmin_p, apply(pmin_p, axes), {{3, 2}});
  add("unmapped", psum_p,
      [axes](Args x, Results& y) {
        y.push_back(lax::mul(x[0], psum_p.apply(axes, Loc::current(), scalar_like(x[0], 2))));
      },
      {{3, 2}});
  add("ring", ppermute_p, apply(ppermute_p, PermuteParams{i, {{0, 1}, {1, 2}, {2, 0}}}), {{3, 2}});
  add("shift", ppermute_p, apply(ppermute_p, PermuteParams{i, {{0, 1}, {1, 2}}}), {{3, 2, 2}});
  for (bool tiled : {false, true})
    for (std::int64_t d : {0, 1}) {
      const std::string name = std::to_string(d) + (tiled ? " tiled" : "");
      add(name, all_gather_p, apply(all_gather_p, AllGatherParams{d, i, 3, tiled}), {{3, 2, 4}});
      add(name, reduce_scatter_p, apply(reduce_scatter_p, ReduceScatterParams{i, 3, d, tiled}),
          {tiled ? Shape{3, 6, 6} : Shape{3, 3, 3}});
      for (std::int64_t to : {0, 1})
        add(name + " to " + std::to_string(to), all_to_all_p,
            apply(all_to_all_p, AllToAllParams{i, 3, to, d, tiled}), {{3, 6, 3}});
    }
  add("", axis_index_p,
      [i](Args x, Results& y) {
        Array k = axis_index_p.apply(AxisNameParams{i}, Loc::current());
        y.push_back(lax::mul(x[0], lax::convert_element_type(k, x[0].dtype())));
      },
      {{3, 2}});
}

}  // namespace

std::vector<Arrays> lanes_of(const Sample& s) {
  Random random(seed_of(s.name));
  std::vector<Arrays> lanes;
  for (int i = 0; i < 3; ++i) lanes.push_back(s.make(random));
  return lanes;
}
std::string check_same(const Sample& s, const Arrays& x) {
  return s.same ? compare("two ways", evaluate(s.f, x), evaluate(s.same, x), 1e-12) : "";
}

std::vector<Sample> call_samples() {
  std::vector<Sample> s;
  calls(s);
  linear_solves(s);
  custom_rules(s);
  host(s);
  collectives(s);
  return s;
}

}  // namespace jaxpp::testing
