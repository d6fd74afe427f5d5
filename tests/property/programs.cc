// programs.cc -- see programs.h.
//
// Every operation squashes what could grow (tanh, small factors) and keeps divisors and arguments of log away from 0, so
// that finite differences stay accurate however long the program is.  Shapes have at most 3 dimensions of size at most 4.
#include "programs.h"
#include "jaxpp/control.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/jacobian.h"
#include "jaxpp/lax.h"
#include "jaxpp/linalg.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::testing {

using namespace internal;

Fn vmapped(Fn f) {
  return [=](Args x, Results& y) {
    const std::vector<int> axes(x.size(), 0);
    const int out = 0;
    vmap_flat(flat(f), x, axes, {&out, 1}, -1, "", y, Loc::current());
  };
}
Fn gradient(Fn f, std::size_t n) {  // of the sum of all results
  return [=](Args x, Results& g) {
    Results y, ct;
    LinearMap map = LinearMap::of(flat(f), x.first(n), y, "vjp", Loc::current());
    for (const Array& a : y) ct.push_back(lax::full(a.type(), 1));
    map.pull(args(ct), g, Loc::current());
  };
}

namespace {

constexpr int kMaxSize = 48;

Array number(double v) { return Array(v); }
Array ones_plus_square(const Array& x) { return lax::add(lax::mul(x, x), number(1)); }

// The values made so far, and the digits of one gene.
class Run {
 public:
  explicit Run(Args x) : pool_(x.begin(), x.end()) {}
  void step(std::uint64_t gene);
  const Arrays& values() const { return pool_; }

 private:
  std::size_t draw(std::size_t n) {  // 0..n-1, from the gene
    const std::size_t d = std::size_t(gene_ % n);
    gene_ = gene_ / n * 0x9e3779b97f4a7c15u + d + 1;
    gene_ ^= gene_ >> 29;
    return d;
  }
  Array any() {  // recent values are likelier: programs become deep, not wide
    const std::size_t n = pool_.size();
    return draw(2) ? pool_[n - 1 - draw(std::min<std::size_t>(n, 4))] : pool_[draw(n)];
  }
  std::int64_t axis_of(const Array& x) { return std::int64_t(draw(std::size_t(x.ndim()))); }
  Array same_type(const Array& x) {  // another operand of the type of x
    Arrays fit;
    for (auto& a : pool_)
      if (a.type() == x.type()) fit.push_back(a);
    return fit.empty() ? lax::cos(x) : fit[draw(fit.size())];
  }
  Array partner(const Array& x) {  // of the same type, or a scalar
    if (draw(3)) return same_type(x);
    Array s = any();
    return s.ndim() == 0
               ? s
               : lax::mul(lax::reduce_sum(s, Dims{iota(s)}), number(1. / double(s.size())));
  }
  static Dims iota(const Array& x) {
    Dims d;
    for (int i = 0; i < x.ndim(); ++i) d.push_back(i);
    return d;
  }
  void push(Array a) {
    if (a.size() <= kMaxSize) pool_.push_back(std::move(a));
  }
  void unary(), binary(), reshape(), reduce(), contract(), index(), select(), call(), loop(),
      order(), steps(), transform(), numeric();
  Fn transformed(std::size_t depth, int rank);

  Arrays pool_;
  std::uint64_t gene_ = 0;
};

void Run::step(std::uint64_t gene) {
  gene_ = gene;
  switch (draw(18)) {
    case 0:
    case 1: return unary();
    case 2:
    case 3:
    case 4: return binary();
    case 5:
    case 6: return reshape();
    case 7: return reduce();
    case 8: return contract();
    case 9: return index();
    case 10: return select();
    case 11: return call();
    case 12: return loop();
    case 13: return steps();
    case 14:
    case 15: return transform();
    case 16: return numeric();
    default: return order();
  }
}
void Run::unary() {
  Array x = any();
  switch (draw(12)) {
    case 0: return push(lax::sin(x));
    case 1: return push(lax::cos(x));
    case 2: return push(lax::tanh(x));
    case 3: return push(lax::logistic(x));
    case 4: return push(lax::exp(lax::tanh(x)));
    case 5: return push(lax::log(ones_plus_square(x)));
    case 6: return push(lax::sqrt(ones_plus_square(x)));
    case 7: return push(lax::neg(x));
    case 8: return push(lax::tanh(lax::square(x)));
    case 9: return push(lax::integer_pow(lax::tanh(x), std::int64_t(draw(4)) + 1));
    case 10: return push(lax::erf(x));
    default: return push(lax::atan2(x, ones_plus_square(same_type(x))));
  }
}
void Run::binary() {
  Array x = any(), y = partner(x);
  switch (draw(7)) {
    case 0: return push(lax::mul(lax::add(x, y), number(0.5)));
    case 1: return push(lax::sub(x, lax::tanh(y)));
    case 2: return push(lax::mul(lax::tanh(x), y));
    case 3: return push(lax::div(x, ones_plus_square(y)));
    case 4: return push(lax::max(x, y));
    case 5: return push(lax::min(y, x));
    default: return push(lax::pow(lax::add(lax::logistic(x), number(0.5)), lax::tanh(y)));
  }
}
void Run::reshape() {
  Array x = any();
  const std::size_t rank = std::size_t(x.ndim());
  switch (draw(9)) {
    case 0: {  // a new leading dimension
      Shape s = x.shape();
      s.insert(0, std::int64_t(draw(3)) + 1);
      Dims d;
      for (std::size_t i = 0; i < rank; ++i) d.push_back(std::int64_t(i) + 1);
      if (rank < 3) push(lax::broadcast_in_dim(x, s, d));
      return;
    }
    case 1: return push(lax::reshape(x, Shape{x.size()}));
    case 2: {
      Dims p = iota(x);
      for (std::size_t i = rank; i-- > 1;) std::swap(p[i], p[draw(i + 1)]);
      return push(lax::transpose(x, p));
    }
    case 3: {
      if (!rank) return;
      Dims start(rank, 0), limit = x.shape(), strides(rank, 1);
      const std::size_t d = draw(rank), n = std::size_t(limit[d]);
      if (n < 2) return;
      start[d] = std::int64_t(draw(n));
      strides[d] = std::int64_t(draw(2)) + 1;
      return push(lax::slice(x, start, limit, strides));
    }
    case 4: {
      if (!rank) return;
      std::vector<Dims> config(rank, Dims{0, 0, 0});
      config[draw(rank)] = Dims{std::int64_t(draw(3)) - 1, 1, std::int64_t(draw(2))};
      return push(lax::pad(x, number(0.25), config));
    }
    case 5: return rank ? push(lax::rev(x, Dims{axis_of(x)})) : void();
    case 6: {
      if (!rank) return;
      Array in[] = {x, same_type(x)};
      return push(lax::concatenate(in, axis_of(x)));
    }
    case 7: {
      if (rank > 2) return;
      Array in[] = {x, same_type(x)};
      return push(lax::stack(in, std::int64_t(draw(rank + 1))));
    }
    default:
      if (rank)
        for (auto& part : lax::unstack(x, axis_of(x))) push(part);
  }
}
void Run::reduce() {
  Array x = any();
  if (!x.ndim()) return;
  const Dims axis{axis_of(x)};
  if (x.shape()[std::size_t(axis[0])] == 0) return;
  switch (draw(6)) {
    case 0: return push(lax::mul(lax::reduce_sum(x, axis), number(0.5)));
    case 1: return push(lax::reduce_max(x, axis));
    case 2: return push(lax::reduce_prod(lax::tanh(x), axis));
    case 3: return push(lax::mul(lax::cumsum(x, axis[0], draw(2)), number(0.4)));
    case 4: return push(lax::cumprod(lax::tanh(x), axis[0], draw(2)));
    default: return push(lax::cumlogsumexp(x, axis[0], draw(2)));
  }
}
void Run::contract() {
  Array x = any();
  if (x.ndim() == 0) return;
  Array y = same_type(x);
  const std::int64_t d = axis_of(x);
  if (x.ndim() == 1 || draw(2))
    return push(lax::tanh(lax::dot_general(x, y, DotDims{{d}, {d}, {}, {}})));
  const std::int64_t b = d == 0 ? 1 : 0;
  push(lax::tanh(lax::dot_general(x, y, DotDims{{d}, {d}, {b}, {b}})));
}
void Run::index() {
  Array x = any();
  if (!x.ndim() || x.size() == 0) return;
  const std::int64_t rows = x.shape()[0];
  Dims window = x.shape();
  window[0] = 1;
  GatherDims g{{}, {0}, {0}, {}, {}};
  ScatterDims s{{}, {0}, {0}, {}, {}};
  for (int i = 1; i < x.ndim(); ++i) {
    g.offset_dims.push_back(i);
    s.update_window_dims.push_back(i);
  }
  std::vector<std::int32_t> at{std::int32_t(draw(std::size_t(rows))),
                               std::int32_t(draw(std::size_t(rows)))};
  Array indices(std::span<const std::int32_t>(at), Shape{2, 1});
  switch (draw(4)) {
    case 0:
      return push(
          lax::gather(x, indices, GatherParams{g, {}, false, IndexMode::CLIP, window, false}));
    case 1: {
      Shape u = x.shape();
      u[0] = 2;
      Array updates = lax::broadcast_in_dim(lax::sin(lax::reduce_sum(x, iota(x))), u, {});
      return push(lax::scatter_add(x, indices, updates,
                                   ScatterParams{s, false, IndexMode::FILL_OR_DROP, false}));
    }
    default: {  // starts that depend on values: a mapped start makes a gather or scatter
      Array start =
          lax::convert_element_type(lax::mul(lax::reduce_max(x, iota(x)), number(2.3)), DType::i32);
      Arrays starts(std::size_t(x.ndim()), Array(0));
      starts[0] = start;
      if (draw(2)) return push(lax::dynamic_slice(x, starts, window));
      Array row = lax::slice_in_dim(lax::cos(x), 0, 1, 0);
      return push(lax::dynamic_update_slice(x, row, starts));
    }
  }
}
void Run::select() {
  Array x = any(), y = same_type(x), z = same_type(x);
  if (draw(2)) return push(lax::select(lax::gt(y, number(0.31)), lax::sin(x), z));
  push(lax::clamp(number(-0.73), x, number(0.81)));
}
void Run::call() {
  Array x = any(), y = same_type(x);
  auto body = [](Args in, Results& out) {
    Array a = lax::sin(lax::mul(in[0], in[1]));
    out.push_back(lax::add(a, in[1]));
    out.push_back(a);
  };
  Array in[] = {x, y};
  Results out;
  switch (draw(4)) {
    case 0: {
      Type types[] = {x.type(), y.type()};
      const CallParams p{trace_to_jaxpr(types, flat(body), Consts::embed).jaxpr, "f"};
      out.resize(2);
      jit_p.bind(in, p, out.data(), Loc::current());
      break;
    }
    case 1: checkpoint_flat(flat(body), in, nullptr, out, Loc::current()); break;
    case 2: {
      auto other = [](Args v, Results& r) {
        r.push_back(v[1]);
        r.push_back(lax::tanh(v[0]));
      };
      const FlatFn branches[] = {flat(body), flat(other)};
      Array scalar = lax::reduce_sum(x, iota(x));
      cond_flat(lax::gt(scalar, number(0.17)), branches, in, "cond", out, Loc::current());
      break;
    }
    default: {
      auto rule = std::make_shared<CustomRule>();
      rule->name = "f";
      rule->call = [](Args v, Results& r) { r.push_back(lax::mul(lax::tanh(v[0]), v[1])); };
      rule->jvp = [](Args v, Args dv, Results& r, Results& dr) {
        Array t = lax::tanh(v[0]);
        r.push_back(lax::mul(t, v[1]));
        Array slope = lax::sub(number(1), lax::mul(t, t));
        dr.push_back(lax::add(lax::mul(lax::mul(slope, dv[0]), v[1]), lax::mul(t, dv[1])));
      };
      custom_call_flat(rule, in, out, Loc::current());
    }
  }
  for (auto& a : out) push(a);
}
void Run::loop() {
  Array x = any(), init = any();
  if (!x.ndim() || x.size() == 0) return;
  Array captured = partner(init);  // closed over: a constant of the loop
  auto body = [&](Args in, Results& out) {
    Array mean = lax::mul(lax::reduce_sum(in[1], iota(in[1])), number(0.3));
    Array c = lax::sin(lax::add(lax::mul(in[0], captured), mean));
    out.push_back(c);
    out.push_back(lax::mul(lax::reduce_sum(c, iota(c)), lax::cos(in[1])));
  };
  Results out;
  scan_flat(flat(body), {&init, 1}, {&x, 1}, -1, draw(2), 1, out, Loc::current());
  push(out[0]);
  push(lax::tanh(out[1]));
}
void Run::steps() {  // as many as the values say
  Array x = any(), y = same_type(x);
  if (x.size() == 0) return;
  using Carry = std::tuple<Array, Array>;
  const Array mean = lax::mul(lax::reduce_sum(x, iota(x)), number(1. / double(x.size())));
  const Array last = lax::add(lax::mul(lax::sin(mean), number(1.7)), number(2.1));
  auto more = [&](Carry c) { return lax::lt(std::get<0>(c), last); };
  auto body = [&](Carry c) {
    auto [i, v] = c;
    return Carry(lax::add(i, number(1)), lax::sin(lax::add(lax::mul(v, y), i)));
  };
  push(std::get<1>(while_loop(more, body, Carry(number(0), x), {.max_steps = 4})));
}
// Derivatives and batches inside of what the laws transform once more.
Fn Run::transformed(std::size_t depth, int rank) {
  if (depth == 0)
    return [](Args in, Results& y) {
      y.push_back(lax::sin(lax::mul(in[0], in[1])));
      if (in[0].ndim()) y.push_back(lax::cumsum(lax::mul(lax::tanh(in[0]), in[1]), 0, false));
    };
  switch (draw(3)) {
    case 0: return gradient(transformed(depth - 1, rank), 2);
    case 1: {
      const Fn push = pushforward(transformed(depth - 1, rank), 2);
      return [push](Args in, Results& y) {
        const Array with[] = {in[0], in[1], lax::cos(in[1]), in[0]};
        push(with, y);
      };
    }
    default: return rank ? vmapped(transformed(depth - 1, rank - 1)) : transformed(depth - 1, rank);
  }
}
void Run::transform() {
  const Array x = any(), y = same_type(x), in[] = {x, y};
  Results out;
  const std::size_t depth = draw(2) + 1;
  transformed(depth, x.ndim())(in, out);
  for (std::size_t i = 0; i < std::min<std::size_t>(out.size(), 2); ++i)
    push(lax::tanh(lax::mul(out[i], number(0.5))));
}
void Run::numeric() {
  Array x = any(), y = same_type(x);
  const std::int64_t n = x.size(), rank = x.ndim();
  if (n == 0 || rank == 0) return;
  const std::int64_t last = x.shape()[std::size_t(rank - 1)];
  switch (draw(5)) {
    case 0: {  // a convolution along a line
      const Array line = lax::reshape(x, Shape{1, 1, n});
      const Array window =
          lax::slice_in_dim(lax::reshape(y, Shape{1, 1, n}), 0, std::min<std::int64_t>(n, 3), 2);
      return push(lax::reshape(lax::tanh(lax::conv(line, window, {1}, "SAME")), x.shape()));
    }
    case 1: {  // one by the Fourier transform
      const Array p = lax::fft(lax::complex(x, lax::cos(y)), FftType::FFT, Dims{last}),
                  q = lax::fft(lax::complex(lax::sin(y), x), FftType::FFT, Dims{last});
      return push(lax::tanh(lax::real(lax::fft(lax::mul(p, q), FftType::IFFT, Dims{last}))));
    }
    case 2: {
      const Array z = lax::exp(lax::complex(lax::tanh(x), y));
      return push(lax::mul(lax::add(lax::abs(z), lax::imag(lax::mul(z, z))), number(0.2)));
    }
    case 3: {
      WindowParams w;
      w.window_dimensions = Dims(std::size_t(rank), 1);
      w.window_dimensions[std::size_t(rank - 1)] = std::min<std::int64_t>(last, 2);
      w.window_strides = w.base_dilation = w.window_dilation = Dims(std::size_t(rank), 1);
      w.padding.assign(std::size_t(rank), Dims{0, 0});
      w.padding.back() = Dims{1, 0};
      return push(lax::mul(lax::reduce_window_sum(x, w), number(0.5)));
    }
    default: {  // a small system
      if (n > 4) return;
      const Array u = lax::tanh(lax::reshape(x, Shape{n})), v = lax::reshape(y, Shape{n});
      const Array outer = lax::mul(lax::broadcast_in_dim(u, {n, n}, {0}),
                                   lax::broadcast_in_dim(lax::cos(v), {n, n}, {1}));
      const Array three = lax::mul(eye(n, DType::f64), number(3));
      return push(linalg::solve(lax::add(lax::mul(outer, number(0.4)), three), v));
    }
  }
}
void Run::order() {
  Array x = any();
  if (!x.ndim()) return;
  Array in[] = {x, lax::cos(same_type(x))};
  auto sorted = lax::sort(in, axis_of(x));
  push(sorted[0]);
  push(sorted[1]);
}

}  // namespace

void Program::operator()(Args x, Results& y) const {
  Run run(x);
  for (auto g : genes) run.step(g);
  const Arrays& v = run.values();
  for (std::size_t i = v.size() - std::min<std::size_t>(v.size(), 3); i < v.size(); ++i)
    y.push_back(v[i]);
}
Fn Program::scalar() const {
  return [p = *this](Args x, Results& y) {
    Results all;
    p(x, all);
    Array sum = number(0);
    double weight = 0.7;
    for (const Array& a : all) {
      Dims d;
      for (int i = 0; i < a.ndim(); ++i) d.push_back(i);
      sum = lax::add(sum, lax::mul(lax::reduce_sum(lax::sin(a), d), number(weight)));
      weight = -0.8 * weight;
    }
    y.push_back(sum);
  };
}
Arrays Program::arguments(Random& random) const {
  Arrays x;
  for (auto& s : inputs) x.push_back(random.array(DType::f64, s, 0.1, 1.1, true));
  return x;
}
std::string Program::text() const {
  Random random(1);
  Arrays x = arguments(random);
  return guarded(
      "\n", [&] { return make_jaxpr_flat(flat(*this), types_of(x), Loc::current()).to_string(); });
}
Program random_program(std::uint64_t seed, int operations) {
  Random random(seed);
  Program p;
  const std::vector<Shape> shapes = {{}, {3}, {2, 3}, {3, 2}, {1, 3}, {2, 2, 2}, {4}};
  const auto n = random.integer(1, 3);
  for (std::int64_t i = 0; i < n; ++i)
    p.inputs.push_back(shapes[std::size_t(random.integer(0, std::int64_t(shapes.size()) - 1))]);
  for (int i = 0; i < operations; ++i) p.genes.push_back(random.bits());
  return p;
}
Program shrink(Program p, const std::function<std::string(const Program&)>& fails) {
  for (std::size_t chunk = std::max<std::size_t>(p.genes.size() / 2, 1);; chunk /= 2) {
    for (std::size_t at = 0; at + chunk <= p.genes.size();) {
      Program smaller = p;
      smaller.genes.erase(smaller.genes.begin() + std::ptrdiff_t(at),
                          smaller.genes.begin() + std::ptrdiff_t(at + chunk));
      if (fails(smaller).empty())
        at += chunk;
      else
        p = smaller;
    }
    if (chunk <= 1) return p;
  }
}

}  // namespace jaxpp::testing
