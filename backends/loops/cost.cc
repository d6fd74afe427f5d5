// cost.cc -- what a program costs, from its tree alone: arithmetic, and bytes that pass between memory and each nest.
//
// Elementary functions (exp, sin, pow, ...) are counted apart from arithmetic, as XLA does; conversions and copies of
// elements count nothing, and a complex number is one number.  Of an If the branch with more work counts, the bodies of a
// While once.
#include <algorithm>
#include <cmath>
#include <unordered_map>
#include "backends/loops/fusion.h"
#include "backends/loops/schedule.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::loops {
namespace {

enum class Class { move, arithmetic, elementary };
struct Row {
  int weight = 1;
  Class kind = Class::arithmetic;
};
// About the time of a vector operation, in additions.
const Row& row(const Primitive& p) {
  using enum Class;
  static const std::unordered_map<const Primitive*, Row> rows = {
      {&copy_p, {1, move}},
      {&convert_element_type_p, {1, move}},
      {&bitcast_convert_type_p, {1, move}},
      {&stop_gradient_p, {1, move}},
      {&real_p, {1, move}},
      {&imag_p, {1, move}},
      {&complex_p, {1, move}},
      {&sign_p, {2, arithmetic}},
      {&round_p, {2, arithmetic}},
      {&reduce_precision_p, {4, arithmetic}},
      {&clamp_p, {2, arithmetic}},
      {&integer_pow_p, {3, arithmetic}},
      {&nextafter_p, {4, arithmetic}},
      {&mulhi_p, {4, arithmetic}},
      {&population_count_p, {4, arithmetic}},
      {&clz_p, {4, arithmetic}},
      {&div_p, {8, arithmetic}},
      {&rem_p, {12, arithmetic}},
      {&threefry2x32_p, {80, arithmetic}},
      {&sqrt_p, {8, elementary}},
      {&rsqrt_p, {10, elementary}},
      {&cbrt_p, {20, elementary}},
      {&exp_p, {12, elementary}},
      {&exp2_p, {10, elementary}},
      {&expm1_p, {16, elementary}},
      {&log_p, {16, elementary}},
      {&log1p_p, {18, elementary}},
      {&logistic_p, {20, elementary}},
      {&sin_p, {18, elementary}},
      {&cos_p, {18, elementary}},
      {&tan_p, {26, elementary}},
      {&asin_p, {24, elementary}},
      {&acos_p, {24, elementary}},
      {&atan_p, {20, elementary}},
      {&sinh_p, {24, elementary}},
      {&cosh_p, {24, elementary}},
      {&tanh_p, {22, elementary}},
      {&asinh_p, {30, elementary}},
      {&acosh_p, {30, elementary}},
      {&atanh_p, {30, elementary}},
      {&atan2_p, {30, elementary}},
      {&pow_p, {40, elementary}},
      {&erf_p, {30, elementary}},
      {&erfc_p, {40, elementary}},
      {&erf_inv_p, {60, elementary}},
      {&lgamma_p, {60, elementary}},
      {&digamma_p, {60, elementary}},
      {&polygamma_p, {150, elementary}},
      {&zeta_p, {150, elementary}},
      {&bessel_i0e_p, {60, elementary}},
      {&bessel_i1e_p, {60, elementary}},
      {&igamma_p, {400, elementary}},
      {&igammac_p, {400, elementary}},
      {&igamma_grad_a_p, {800, elementary}},
      {&random_gamma_grad_p, {800, elementary}},
      {&regularized_incomplete_beta_p, {400, elementary}},
      {&random_gamma_p, {800, elementary}},
  };
  static constexpr Row other;
  const auto it = rows.find(&p);
  return it == rows.end() ? other : it->second;
}

struct Work {
  double flops = 0, elementary = 0;
  Work& operator+=(const Work& o) {
    flops += o.flops;
    elementary += o.elementary;
    return *this;
  }
  Work operator*(double k) const { return {flops * k, elementary * k}; }
  double all() const { return flops + elementary; }
};

// Of a kernel: products and factorizations by their formulas, comparisons of a sort, else one for each result.
double flops(const Call& c) {
  double results = 0;
  for (auto& o : c.out) results += double(o.type->size);
  auto size = [](const Call::Operand& o, std::int64_t axis) {
    const Shape& s = o.type->shape;
    return double(s[std::size_t(axis < 0 ? std::int64_t(s.size()) + axis : axis)]);
  };
  if (c.prim == &dot_general_p) {
    double contracted = 1;
    for (auto axis : c.view().as<DotParams>().dimension_numbers.lhs_contracting)
      contracted *= size(c.in[0], axis);
    return 2 * results * contracted;
  }
  if (c.prim == &cholesky_p) return results * size(c.in[0], -1) / 3;
  if (c.prim == &triangular_solve_p) return results * size(c.in[0], -1);
  if (c.prim == &lu_p)
    return double(c.in[0].type->size) * std::min(size(c.in[0], -1), size(c.in[0], -2)) * 2 / 3;
  if (c.prim == &sort_p) {
    const double n = size(c.in[0], c.view().as<SortParams>().dimension);
    return double(c.in[0].type->size) * std::log2(std::max(n, 1.0));
  }
  return results;
}

Work work(const Block& b) {
  Work sum;
  for (const Node& n : b) {
    if (auto* l = n.as<Loop>()) {
      sum += work(l->body) * double(l->extent);
    } else if (auto* w = n.as<While>()) {
      sum += work(w->cond);
      sum += work(w->body);
    } else if (auto* i = n.as<If>()) {
      const Work x = work(i->body), y = work(i->otherwise);
      sum += x.all() < y.all() ? y : x;
    } else if (auto* let = n.as<Let>()) {
      switch (row(*let->op).kind) {
        case Class::move: break;
        case Class::arithmetic: sum.flops += let->results; break;
        case Class::elementary: sum.elementary += let->results; break;
      }
    } else if (auto* s = n.as<Store>()) {
      sum.flops += s->combine != Combine::set;
    } else if (auto* c = n.as<Call>()) {
      sum.flops += flops(*c);
    }
  }
  return sum;
}

// Distinct elements of buffers that one top-level node touches.  An index touches at most as many as its values span, as
// its symbols have values together, and as the loops around it have iterations.
class Traffic {
 public:
  explicit Traffic(const Program& p) : p_(p), symbols_(intervals(p)), uses_(p.buffers.size()) {}

  void node(const Node& n, Cost& c) {
    see(n, 1);
    for (int b : touched_) {
      auto& u = uses_[std::size_t(b)];
      c.bytes_read += bytes(b, u.read);
      c.bytes_written += bytes(b, u.written);
      u = {};
    }
    touched_.clear();
  }

 private:
  struct Span {
    std::int64_t lo = 0, hi = -1;
    double elements = 0;
  };
  struct Use {
    Span read, written;
    bool seen = false;
  };

  void see(const Node& n, double times) {
    auto all = [&](const Block& b, double t) {
      for (const Node& m : b) see(m, t);
    };
    if (auto* l = n.as<Loop>()) {
      all(l->body, times * double(l->extent));
    } else if (auto* w = n.as<While>()) {
      all(w->cond, times);
      all(w->body, times);
    } else if (auto* i = n.as<If>()) {
      all(i->body, times);
      all(i->otherwise, times);
    } else if (auto* load = n.as<Load>()) {
      add(load->buffer, &Use::read, load->at, 1, times);
    } else if (auto* s = n.as<Store>()) {
      add(s->buffer, &Use::written, s->at, 1, times);
    } else if (auto* c = n.as<Call>()) {
      for (auto& o : c->in) add(o.buffer, &Use::read, o.at, o.type->size, times);
      for (auto& o : c->out) add(o.buffer, &Use::written, o.at, o.type->size, times);
    }
  }
  void add(int buffer, Span Use::*which, const Affine& at, std::int64_t size, double times) {
    if (p_.buffers[std::size_t(buffer)].role == Buffer::Role::local || times == 0) return;
    Use& u = uses_[std::size_t(buffer)];
    if (!u.seen) touched_.push_back(buffer);
    u.seen = true;
    double values = 1;
    for (auto& t : at.terms) {
      const Interval s = symbols_[std::size_t(t.sym)];
      values *= double(s.hi - s.lo + 1);
    }
    const Interval r = interval(at, symbols_);
    Span& span = u.*which;
    const bool first = span.hi < span.lo;
    span.lo = first ? r.lo : std::min(span.lo, r.lo);
    span.hi = first ? r.hi + size - 1 : std::max(span.hi, r.hi + size - 1);
    span.elements += std::min(values, times) * double(size);
  }
  std::int64_t bytes(int b, const Span& s) const {
    return std::int64_t(std::min(s.elements, double(s.hi - s.lo + 1))) *
           std::int64_t(width(p_.buffers[std::size_t(b)].dtype));
  }

  const Program& p_;
  const std::vector<Interval> symbols_;
  std::vector<Use> uses_;
  std::vector<int> touched_;
};
}  // namespace

int fusion::weight(const Primitive& p) { return row(p).weight; }

Cost cost(const Program& p) {
  Cost c;
  const Work w = work(p.body);
  c.flops = w.flops;
  c.transcendentals = w.elementary;
  Traffic traffic(p);
  for (const Node& n : p.body) {
    c.loops += n.as<Loop>() || n.as<While>();
    traffic.node(n, c);
  }
  each_node(p.body, [&](const Node& n) { c.calls += n.as<Call>() != nullptr; });
  return c;
}

}  // namespace jaxpp::loops
