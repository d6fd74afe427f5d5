// sort.cc -- finds Highway, and calls its class Sorter by the names that the Itanium ABI gives to its members.
//
// The object is one pointer, which its constructor sets and, in version 1.0.3, nobody else reads; each call has its own, in
// case another version keeps scratch memory there.
#include "backends/host/sort.h"
#include <dlfcn.h>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include "jaxpp/core/error.h"

namespace jaxpp::host {
namespace {

struct Object {
  void* pointer = nullptr;
};
struct Ascending {
};  // an empty class, passed by value: its place in the calling convention is as in hwy
template <class U>
using Sort = void (*)(const Object*, U*, std::size_t, Ascending);

struct Library {
  void (*construct)(Object*) = nullptr;
  void (*destroy)(Object*) = nullptr;
  Sort<std::uint16_t> sort16 = nullptr;
  Sort<std::uint32_t> sort32 = nullptr;
  Sort<std::uint64_t> sort64 = nullptr;
  Sort<Wide> sort128 = nullptr;

  bool usable = false;
  std::string words;

  Library() {
    const char* named = std::getenv("JAXPP_SORT");
    if (named && !*named) named = nullptr;
    if (named && std::strcmp(named, "0") == 0) {
      words = "radix: JAXPP_SORT=0";
      return;
    }
    const char* path = named ? named : "libhwy_contrib.so.1";
    std::string wrong = open(path);
    if (!wrong.empty() && named)
      throw Error("JAXPP_SORT: " + wrong +
                  ".  [E58]  Name Highway's libhwy_contrib, of version 1, or 0 for none.");
    if (wrong.empty() && !has_vectors()) wrong = "this processor has no AVX2";
    usable = wrong.empty();
    words = usable ? "Highway (" + std::string(path) + ")"
                   : "radix: " + wrong + ".  Sorts are slower; Debian's package is libhwy1";
  }
  // Measured with vectors of 256 bits and more; with less, radix is the safe choice.
  static bool has_vectors() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
#else
    return true;
#endif
  }
  // What is wrong with it, if anything.
  std::string open(const char* path) {
    void* file =
        dlopen(path, RTLD_LAZY | RTLD_LOCAL);  // never closed: threads may be in it at exit
    if (!file) {
      const char* why = dlerror();
      return why ? why : path;
    }
    bool found = true;
    const auto find = [&](auto& f, const char* name) {
      f = reinterpret_cast<std::remove_reference_t<decltype(f)>>(dlsym(file, name));
      found = found && f;
    };
    find(construct, "_ZN3hwy6SorterC1Ev");
    find(destroy, "_ZN3hwy6Sorter6DeleteEv");
    find(sort16, "_ZNK3hwy6SorterclEPtmNS_13SortAscendingE");
    find(sort32, "_ZNK3hwy6SorterclEPjmNS_13SortAscendingE");
    find(sort64, "_ZNK3hwy6SorterclEPmmNS_13SortAscendingE");
    find(sort128, "_ZNK3hwy6SorterclEPNS_9uint128_tEmNS_13SortAscendingE");
    return found ? "" : std::string(path) + " has no sorts of Highway 1";
  }
  template <class U>
  Sort<U> sort() const {
    if constexpr (sizeof(U) == 2) return sort16;
    if constexpr (sizeof(U) == 4) return sort32;
    if constexpr (sizeof(U) == 8) return sort64;
    if constexpr (sizeof(U) == 16) return sort128;
  }
};
const Library& library() {
  static const Library& found = *new Library;
  return found;
}
std::atomic<bool> wanted{true};

}  // namespace

template <class U>
bool library_sort(U* keys, std::size_t n) {
  if (!wanted.load(std::memory_order_relaxed) || !library().usable) return false;
  Object object;
  library().construct(&object);
  library().sort<U>()(&object, keys, n, {});
  library().destroy(&object);
  return true;
}
template bool library_sort(std::uint16_t*, std::size_t);
template bool library_sort(std::uint32_t*, std::size_t);
template bool library_sort(std::uint64_t*, std::size_t);
template bool library_sort(Wide*, std::size_t);

std::string sort_library() { return library().words; }
bool use_sort_library(bool on) { return wanted.exchange(on); }

}  // namespace jaxpp::host
