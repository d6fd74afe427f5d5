// sort.h -- the vectorized quicksort of Highway, found when first wanted.
//
// Highway 1 (Debian: libhwy1), or its library of contributions that JAXPP_SORT names by path; JAXPP_SORT=0: none.  Nothing
// is linked.  It sorts in place, on the thread that calls it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace jaxpp::host {

/// A number of 128 bits, as the library has it.
struct alignas(16) Wide {
  std::uint64_t low, high;
  bool operator<(const Wide& o) const { return high != o.high ? high < o.high : low < o.low; }
};

/// Sorts keys[0] .. keys[n - 1] in ascending order, for U of std::uint16_t, std::uint32_t, std::uint64_t and Wide.  False,
/// and nothing is done, if there is no library.
template <class U>
bool library_sort(U* keys, std::size_t n);

/// Who sorts long lines here: "Highway (libhwy_contrib.so.1)", "radix: ...".  Throws Error [E58] if JAXPP_SORT names a file
/// that has no functions of Highway.
std::string sort_library();

/// Off: as if there were no library.  For tests; returns what it was.
bool use_sort_library(bool on);

}  // namespace jaxpp::host
