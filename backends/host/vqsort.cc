// vqsort.cc -- finds Highway.  Its interface is C++: member functions of hwy::Sorter, an object that they do not look into.
#include "backends/host/vqsort.h"
#include <dlfcn.h>
#include <cstdlib>
#include <cstring>

namespace jaxpp::host {
namespace {

constexpr const char* kLibrary = "libhwy_contrib.so.1";
// Before 1.0.2 operator() needed the memory that a Sorter allocated; Fill24Bytes came with what allocates nothing.
constexpr const char* kNeedsNoMemory = "_ZN3hwy6Sorter11Fill24BytesEPKvmPv";

void* library() {
  static void* const found = []() -> void* {
    const char* asked = std::getenv("JAXPP_SORT");
    if (asked && std::strcmp(asked, "0") == 0) return nullptr;
    void* const l = dlopen(kLibrary, RTLD_LAZY | RTLD_LOCAL);
    return l && dlsym(l, kNeedsNoMemory) ? l : nullptr;
  }();
  return found;
}

// void hwy::Sorter::operator()(U* keys, size_t n, SortAscending) const.  The last argument is empty: nothing is passed.
template <class U>
constexpr const char* kName = nullptr;
template <>
constexpr const char* kName<std::uint16_t> = "_ZNK3hwy6SorterclEPtmNS_13SortAscendingE";
template <>
constexpr const char* kName<std::uint32_t> = "_ZNK3hwy6SorterclEPjmNS_13SortAscendingE";
template <>
constexpr const char* kName<std::uint64_t> = "_ZNK3hwy6SorterclEPmmNS_13SortAscendingE";
template <>
constexpr const char* kName<Wide> = "_ZNK3hwy6SorterclEPNS_9uint128_tEmNS_13SortAscendingE";

template <class U>
using Member = void (*)(const void* sorter, U* keys, std::size_t n);
template <class U>
Member<U> member() {
  static const auto found =
      library() ? reinterpret_cast<Member<U>>(dlsym(library(), kName<U>)) : nullptr;
  return found;
}

}  // namespace

template <class U>
Vqsort<U> vqsort() {
  if (!member<U>()) return nullptr;
  return [](U* keys, std::size_t n) {
    const void* const sorter = nullptr;  // the object is one pointer
    member<U>()(&sorter, keys, n);
  };
}
template Vqsort<std::uint16_t> vqsort();
template Vqsort<std::uint32_t> vqsort();
template Vqsort<std::uint64_t> vqsort();
template Vqsort<Wide> vqsort();

}  // namespace jaxpp::host
