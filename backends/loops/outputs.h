// outputs.h -- the outputs of a jaxpr that no program has to compute: inputs handed through, constants, and one value
// given twice.  Executables of every device share this.
#pragma once
#include <optional>
#include "jaxpp/core/jaxpr.h"

namespace jaxpp::loops {

using namespace internal;

class Outputs {
 public:
  /// `program` becomes j with the outputs that have to be computed, each once.
  Outputs(const JaxprBody& j, JaxprBody& program);
  /// computed: the program's outputs.  Fills out[0 .. size()).
  void assemble(std::span<const Array> in, std::span<Array> computed, Array* out) const;
  /// Whether the outputs are the program's, in order; which of them output i is, if any.
  bool all_computed() const { return all_computed_; }
  std::optional<std::size_t> computed(std::size_t i) const;
  /// The same for elements in memory: copies what program() did not write to out.
  void copy_rest(const void* const* in, const std::vector<Type>& in_types, void* const* computed,
                 const std::vector<Type>& computed_types, void* const* out) const;
  std::size_t size() const { return from_.size(); }
  /// Input i itself is a result: it must not be overwritten.
  bool hands_through(std::size_t input) const;

 private:
  struct From {
    enum Kind { computed, input, constant } kind;
    std::size_t index = 0;
    bool last = true;  // computed: no later output shows it
    Array value{};
  };
  std::vector<From> from_;
  bool all_computed_ = true;
};

}  // namespace jaxpp::loops
