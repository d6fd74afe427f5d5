// exported.h -- programs that tools/export_jax.py took over from JAX, as functions.
//
//   struct Params { Array w, b; };                        // export(loss, params, x, y, path="loss.json"), where
//                                                         // params = {"w": ..., "b": ...}
//   auto loss = load_jaxpr<Array(Params, Array, Array)>("loss.json");
//   Params d = grad(loss)(params, x, y);                  // under any transform, as any other function
//   auto fast = jit(vmap(loss, {.in_axes = {None, 0, 0}}));
//
// The leaves of an argument find their places by name: JAX sorts the keys of a dictionary, a struct has its own order.
// An argument without names (an Array, a tuple, a vector where JAX has a tuple or a list) is taken in order.  Types must be
// those that the program was exported for.
#pragma once
#include "jaxpp/jaxpr.h"
#include "jaxpp/tree_paths.h"

namespace jaxpp {

template <class Signature>
class ExportedFunction;

/// A program with the names of its inputs and outputs.
class ExportedProgram {
 public:
  /// inputs: the paths of the leaves of each argument;  outputs: of the result.
  ExportedProgram(Jaxpr program, std::vector<std::vector<std::string>> inputs,
                  std::vector<std::string> outputs)
      : program_(std::move(program)), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}
  const Jaxpr& jaxpr() const { return program_; }
  const std::vector<std::vector<std::string>>& inputs() const { return inputs_; }
  const std::vector<std::string>& outputs() const { return outputs_; }
  /// The results, in the order of outputs().  Throws TypeError [E174] if the arguments do not fit.
  template <class... A>
  std::vector<Array> operator()(const A&... a) const {
    std::vector<std::vector<std::string>> paths{tree_paths(a)...};
    std::vector<internal::Results> leaves{internal::leaves(a)...};
    return run(paths, leaves, Loc());
  }
  /// The same with types:  program.as<Array(Params, Array)>()
  template <class Signature>
  ExportedFunction<Signature> as() const {
    return ExportedFunction<Signature>(*this);
  }

 private:
  template <class>
  friend class ExportedFunction;
  std::vector<Array> run(std::span<const std::vector<std::string>> paths,
                         std::span<const internal::Results> leaves, Loc) const;
  /// The results in the order of these paths.
  std::vector<Array> ordered(std::vector<Array> results,
                             const std::vector<std::string>& paths) const;
  Jaxpr program_;
  std::vector<std::vector<std::string>> inputs_;
  std::vector<std::string> outputs_;
};

/// An exported program as a C++ function.  The result R: an Array, a tree of nothing but Arrays (tuples, structs), or
/// std::vector<Array>.
template <class R, class... A>
class ExportedFunction<R(A...)> {
  static_assert(
      is_plain_tree<R> || std::is_same_v<R, std::vector<Array>>,
      "jaxpp: the result of an exported function is an Array, std::vector<Array>, or a tree of "
      "nothing but Arrays: a tuple, a pair, a struct.");

 public:
  explicit ExportedFunction(ExportedProgram p) : program_(std::move(p)) {}
  const ExportedProgram& program() const { return program_; }
  R operator()(const A&... a) const {
    std::vector<Array> y = program_(a...);
    if constexpr (std::is_same_v<R, std::vector<Array>>) {
      return y;
    } else {
      R r{};
      std::vector<std::string> paths;
      internal::visit_paths(r, "",
                            [&](const std::string& path, const Array&) { paths.push_back(path); });
      y = program_.ordered(std::move(y), paths);
      std::size_t k = 0;
      internal::visit_arrays(r, [&](Array& leaf) { leaf = std::move(y[k++]); });
      return r;
    }
  }

 private:
  ExportedProgram program_;
};

/// Reads a program that tools/export_jax.py wrote, with the weights beside it.  Throws ParseError [E171], Error [E170].
ExportedProgram load_jaxpr(const std::string& path, Loc loc = Loc::current());
/// load_jaxpr<Array(Params, Array)>("predict.json")(params, x)
template <class Signature>
ExportedFunction<Signature> load_jaxpr(const std::string& path, Loc loc = Loc::current()) {
  return ExportedFunction<Signature>(load_jaxpr(path, loc));
}

}  // namespace jaxpp
