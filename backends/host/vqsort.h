// vqsort.h -- sorting of integers in vectors, by Highway's vqsort where it is found at run time (libhwy_contrib.so.1).
//
// JAXPP_SORT=0 in the environment: not even looked for.
#pragma once
#include <cstddef>
#include <cstdint>

namespace jaxpp::host {

/// A number of 128 bits.
struct alignas(16) Wide {
  std::uint64_t low, high;
};

/// Sorts n unsigned integers, the least first; null without the library.  They need no alignment beyond their own.
/// U: uint16_t, uint32_t, uint64_t or Wide.
template <class U>
using Vqsort = void (*)(U* keys, std::size_t n);
template <class U>
Vqsort<U> vqsort();

}  // namespace jaxpp::host
