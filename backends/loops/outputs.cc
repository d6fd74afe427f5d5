#include "backends/loops/outputs.h"
#include <algorithm>
#include <cstring>

namespace jaxpp::loops {

Outputs::Outputs(const JaxprBody& j, JaxprBody& program) {
  program = j.copy();
  program.outs.clear();
  std::vector<std::int32_t> input_of(j.types.size(), -1), output_of(j.types.size(), -1);
  for (std::size_t i = 0; i < j.invars.size(); ++i) input_of[j.invars[i]] = std::int32_t(i);
  for (const Atom& a : j.outs) {
    if (!a.is_var()) {
      from_.push_back({From::constant, 0, true, a.value()});
    } else if (std::int32_t i = input_of[a.var()]; i >= 0) {
      from_.push_back({From::input, std::size_t(i)});
    } else {
      std::int32_t& k = output_of[a.var()];
      if (k < 0) {
        k = std::int32_t(program.outs.size());
        program.outs.push_back(a);
      } else {
        for (From& f : from_)
          if (f.kind == From::computed && f.index == std::size_t(k)) f.last = false;
      }
      from_.push_back({From::computed, std::size_t(k)});
    }
  }
  for (std::size_t i = 0; i < from_.size(); ++i)
    all_computed_ &= from_[i].kind == From::computed && from_[i].index == i;
}

void Outputs::assemble(std::span<const Array> in, std::span<Array> computed, Array* out) const {
  for (std::size_t i = 0; i < from_.size(); ++i) {
    const From& f = from_[i];
    if (f.kind == From::input)
      out[i] = in[f.index];
    else if (f.kind == From::constant)
      out[i] = f.value;
    else if (f.last)
      out[i] = std::move(computed[f.index]);
    else
      out[i] = computed[f.index];
  }
}

std::optional<std::size_t> Outputs::computed(std::size_t i) const {
  const From& f = from_[i];
  return f.kind == From::computed && f.last ? std::optional(f.index) : std::nullopt;
}
void Outputs::copy_rest(const void* const* in, const std::vector<Type>& in_types,
                        void* const* computed, const std::vector<Type>& computed_types,
                        void* const* out) const {
  const auto copy = [&](void* to, const void* from, Type t) {
    std::memcpy(to, from, std::size_t(t->size) * width(t->dtype));
  };
  for (std::size_t i = 0; i < from_.size(); ++i) {
    const From& f = from_[i];
    if (f.kind == From::input)
      copy(out[i], in[f.index], in_types[f.index]);
    else if (f.kind == From::constant)
      copy(out[i], f.value.data<char>(), f.value.type());
    else if (!f.last)
      copy(out[i], computed[f.index], computed_types[f.index]);
  }
}

bool Outputs::hands_through(std::size_t input) const {
  return std::any_of(from_.begin(), from_.end(),
                     [&](const From& f) { return f.kind == From::input && f.index == input; });
}

}  // namespace jaxpp::loops
