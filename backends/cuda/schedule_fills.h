// schedule_fills.h -- fills that need not be.
#pragma once
#include <unordered_map>
#include "backends/cuda/schedule.h"

namespace jaxpp::cuda {

/// Follows the units in order.  A unit that combines one partial result into every element of a
/// buffer, right after the buffer was filled with what changes nothing, may as well store it: the
/// fill is left out.
class Fills {
 public:
  explicit Fills(const Program& p) : p_(p) {}
  /// The last unit.
  void see(const Node&, std::vector<Unit>&);
  /// Whether a buffer holds only what `c` combines to nothing.  Then whoever starts it anew may
  /// call drop().
  bool is_nothing(int buffer, Combine c) const;
  void drop(int buffer, std::vector<Unit>&);

 private:
  struct Fill {
    std::size_t unit = 0;
    Element value;
  };
  void note(const Loop&, const Access&, std::size_t unit);
  bool combines_once(const Loop&, const Unit&, const Access&) const;
  const Program& p_;
  std::unordered_map<int, Fill> filled_;
};

}  // namespace jaxpp::cuda
