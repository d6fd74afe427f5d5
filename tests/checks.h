// checks.h -- what the rule tests and the property tests ask of a flat function: derivatives against finite differences
// and against each other, vmap against a loop, jit against eager, text and JSON there and back.
//
// Every check returns what is wrong, or "": the caller adds which function, and may try a smaller one.
#pragma once
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>
#include "jaxpp/flat.h"

namespace jaxpp::testing {
using namespace internal;

using Fn = std::function<void(Args, Results&)>;
using Arrays = std::vector<Array>;

/// The same numbers on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}
  std::uint64_t bits() { return bits_(); }
  double uniform(double low, double high) {
    return low + (high - low) * (double(bits_() >> 11) * 0x1p-53);
  }
  std::int64_t integer(std::int64_t low, std::int64_t high) {  // both included
    return low + std::int64_t(bits_() % std::uint64_t(high - low + 1));
  }
  /// Elements in [low, high]; with either sign if `signs`; complex: both parts.
  Array array(DType, const Shape&, double low, double high, bool signs = false);
  Array like(const Array& x) { return array(x.dtype(), x.shape(), 0.1, 1, true); }

 private:
  std::mt19937_64 bits_;
};
/// A seed that depends on a name only: adding a test does not change the others.
std::uint64_t seed_of(const std::string& name);

Arrays evaluate(const Fn& f, const Arrays& x);
std::vector<Type> types_of(const Arrays& x);
/// Same types, and |got - want| <= tolerance * max(1, largest |want|); NaN equals NaN.
std::string compare(const std::string& what, const Arrays& got, const Arrays& want,
                    double tolerance);

struct Options {
  bool derivatives = true;  // the function has some
  bool differences = true;  // and finite differences see them
  bool reverse = true;      // transposes exist
  bool batch = true;
  bool double_only =
      false;         // it closes over doubles, or what rounding changes are more than errors
  bool text = true;  // false: host functions do not survive text
  int order = 2;
  double tolerance = 1e-7;    // of finite differences
  std::vector<int> constant;  // operands never differentiated
  int batches = 40;           // most combinations of batch axes
};
/// All checks that apply.  lanes: three sets of arguments of the same types.
std::string check_function(const Fn& f, const std::vector<Arrays>& lanes, const Options& = {});

// The parts.
bool has_derivatives(const Options&, const Arrays& x, const Arrays& y);
/// jvp against finite differences, linearize and vjp against jvp; "" where there is no derivative.
std::string check_derivatives(const Fn& f, const std::vector<Arrays>& lanes, const Options& = {});
std::string check_jvp(const Fn& f, const Arrays& x, const Options& = {});
std::string check_linearize(const Fn& f, const Arrays& x, const Options& = {});
std::string check_vmap(const Fn& f, const std::vector<Arrays>& lanes, const Options& = {});
std::string check_jit(const Fn& f, const Arrays& x);
std::string check_text(const Fn& f, const Arrays& x);

/// (x..., dx of inexact operands...) -> dy of inexact results; and (x..., ct of inexact results...) -> cotangents of
/// inexact operands.
Fn pushforward(const Fn& f, std::size_t operands, const Options& = {});
Fn pullback(const Fn& f, std::size_t operands, const Options& = {});
Arrays with_tangents(Random&, const Arrays& x, const Options& = {});
Arrays with_cotangents(Random&, const Arrays& x, const Arrays& y);

bool same_bits(const Array& x, const Array& y);
/// Runs a check and turns an exception into its text.
template <class Check>
std::string guarded(const std::string& what, Check check) {
  try {
    std::string r = check();
    return r.empty() ? r : what + ": " + r;
  } catch (const std::exception& e) {
    return what + " threw: " + e.what();
  }
}

}  // namespace jaxpp::testing
