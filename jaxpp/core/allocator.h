// allocator.h -- memory of arrays, kept for the next ones: fresh pages of the system cost more than most arithmetic.
#pragma once
#include <cstddef>
#include <cstdint>

namespace jaxpp {

/// Bytes of arrays on the host, of more than 2 KiB each; sizes are rounded up by at most an eighth.
struct AllocatorStats {
  std::int64_t in_use = 0;
  std::int64_t cached = 0;  ///< freed, and kept
};
AllocatorStats allocator_stats();

/// Gives the memory that is kept back to the system: all of large arrays (more than 64 KiB), and of small ones what this
/// thread keeps.
void release_memory();

/// At most this much is kept of large arrays; 0: nothing is kept at all.  At first JAXPP_CACHE_BYTES, else an eighth of
/// the machine's memory, at most a GiB.  However large it is, memory in use and kept together stays within an eighth of the
/// most that was in use at once, and 4 MiB.
void set_cache_bytes(std::int64_t bytes);

namespace internal {
/// 64-byte aligned.  Throws Error [E64] if there is no memory, also after what is kept was given back.
void* large_new(std::size_t bytes);
void large_delete(void* p, std::size_t bytes) noexcept;

/// JAXPP_GUARD=1 in the environment, to find what touches memory beside its own: every array (of more than 16 bytes) and
/// all working memory of a call ends where a page begins that must not be touched, and starts filled with ones (NaN).
/// JAXPP_GUARD=begin: the page before must not be touched.
bool guard_pages();
void* guarded_new(std::size_t bytes);  // aligned for elements only.  Throws as large_new
void guarded_delete(void* p, std::size_t bytes) noexcept;

inline constexpr std::size_t kHugePage = 2 << 20;
/// Asks for huge pages, which are touched first 10 to 16 times faster, where whole ones fit.
void use_huge_pages(void* p, std::size_t bytes) noexcept;
}  // namespace internal
}  // namespace jaxpp
