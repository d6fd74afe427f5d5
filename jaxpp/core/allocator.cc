// allocator.cc -- blocks by size class: eight classes to a doubling.
//
//   more than 2 KiB     lists of each thread, without a lock
//   more than 64 KiB    lists shared by all threads; the block not used for longest goes first when too much is kept
//   2 MiB and more      from the system on addresses that huge pages begin at: touched 10 to 16 times faster
//
// A free block holds its own place in the lists.  (Nodes and arrays up to 2 KiB: array.h, Pool.)
#include "jaxpp/core/allocator.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string>

#include "jaxpp/core/error.h"

namespace jaxpp {
namespace internal {
namespace {

constexpr std::size_t kAlign = 64;
constexpr int kLeastBits = 11, kThreadBits = 16, kMostBits = 47;
constexpr int kThreadClasses = (kThreadBits - kLeastBits) * 8,
              kClasses = (kMostBits - kLeastBits) * 8;
constexpr std::int64_t kThreadKeeps = 1 << 20;  // bytes
constexpr std::int64_t kSlack = 4 << 20;

struct SizeClass {
  int index;
  std::size_t bytes;  // of every block in it
};
// bytes in (2^k, 2^(k+1)] are rounded up to a multiple of 2^k / 8.
SizeClass size_class(std::size_t bytes) {
  const std::size_t n = std::max(bytes, (std::size_t(1) << kLeastBits) + 1);
  const int k = int(std::bit_width(n - 1)) - 1;
  const std::size_t step = (std::size_t(1) << k) / 8, base = std::size_t(1) << k;
  const std::size_t steps = (n - base + step - 1) / step;
  return {(k - kLeastBits) * 8 + int(steps) - 1, base + steps * step};
}

// ---- The system

void* system_new(std::size_t bytes) {
  if (bytes < kHugePage) return ::operator new(bytes, std::align_val_t(kAlign), std::nothrow);
  // More, and the ends given back.
  const std::size_t all = bytes + kHugePage;
  void* const p = ::mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<std::uintptr_t>(p);
  const auto at = (begin + kHugePage - 1) / kHugePage * kHugePage;
  if (at > begin) ::munmap(p, at - begin);
  if (at + bytes < begin + all)
    ::munmap(reinterpret_cast<void*>(at + bytes), begin + all - at - bytes);
  use_huge_pages(reinterpret_cast<void*>(at), bytes);
  return reinterpret_cast<void*>(at);
}
void system_delete(void* p, std::size_t bytes) noexcept {
  if (bytes < kHugePage)
    ::operator delete(p, std::align_val_t(kAlign));
  else
    ::munmap(p, bytes);
}

// ---- Shared by all threads

struct Links {
  Links *before, *after;
};
// A ring with a head that is no block.
struct Ring : Links {
  Ring() : Links{this, this} {}
  Ring(const Ring&) = delete;
  bool empty() const { return after == this; }
};
void insert_after(Links& at, Links& l) {
  l.before = &at;
  l.after = at.after;
  at.after->before = &l;
  at.after = &l;
}
void remove(Links& l) {
  l.before->after = l.after;
  l.after->before = l.before;
}

struct FreeBlock {
  Links of_class;  // first: a FreeBlock* is a pointer to it
  Links of_age;
  std::size_t bytes;
  static FreeBlock* by_class(Links* l) { return reinterpret_cast<FreeBlock*>(l); }
  static FreeBlock* by_age(Links* l) {
    return reinterpret_cast<FreeBlock*>(reinterpret_cast<char*>(l) - offsetof(FreeBlock, of_age));
  }
};

std::int64_t default_limit() {
  const char* v = std::getenv("JAXPP_CACHE_BYTES");
  std::int64_t asked = 0;
  if (v && std::from_chars(v, v + std::strlen(v), asked).ec == std::errc() && asked >= 0)
    return asked;
  const auto memory = std::int64_t(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  return std::min(memory / 8, std::int64_t(1) << 30);
}

class Shared {
 public:
  void* take(SizeClass c) {
    void* found = nullptr;
    FreeBlock* surplus;
    {
      std::lock_guard lock(mutex_);
      in_use_ += std::int64_t(c.bytes);
      most_ = std::max(most_, in_use_);
      if (Ring& ring = rings_[c.index]; !ring.empty()) {
        FreeBlock* b = FreeBlock::by_class(ring.after);
        unlink(*b);
        found = b;
      }
      surplus = evict();
    }
    free_all(surplus);
    return found;
  }
  // What take() counted does not exist.
  void failed(SizeClass c) {
    std::lock_guard lock(mutex_);
    in_use_ -= std::int64_t(c.bytes);
  }
  void give(void* p, SizeClass c) {
    FreeBlock* surplus;
    {
      std::lock_guard lock(mutex_);
      in_use_ -= std::int64_t(c.bytes);
      auto* b = new (p) FreeBlock{{}, {}, c.bytes};
      insert_after(rings_[c.index], b->of_class);
      insert_after(ages_, b->of_age);
      cached_ += std::int64_t(c.bytes);
      surplus = evict();
    }
    free_all(surplus);
  }
  void release() {
    FreeBlock* all;
    {
      std::lock_guard lock(mutex_);
      most_ = in_use_;
      all = evict_to(0);
    }
    free_all(all);
  }
  void set_limit(std::int64_t bytes) {
    limit.store(bytes, std::memory_order_relaxed);
    FreeBlock* surplus;
    {
      std::lock_guard lock(mutex_);
      surplus = evict();
    }
    free_all(surplus);
  }
  AllocatorStats stats() const {
    std::lock_guard lock(mutex_);
    return {in_use_, cached_};
  }

  std::atomic<std::int64_t> limit = default_limit();
  mutable std::mutex mutex_;  // public: a fork must not come between

 private:
  void unlink(FreeBlock& b) {
    remove(b.of_class);
    remove(b.of_age);
    cached_ -= std::int64_t(b.bytes);
  }
  // Blocks to be freed, outside of the lock, as a list through of_class.after.
  FreeBlock* evict() {
    return evict_to(
        std::min(limit.load(std::memory_order_relaxed), most_ + most_ / 8 + kSlack - in_use_));
  }
  FreeBlock* evict_to(std::int64_t bytes) {
    FreeBlock* list = nullptr;
    while (cached_ > bytes) {
      FreeBlock* b = FreeBlock::by_age(ages_.before);  // the oldest
      unlink(*b);
      b->of_class.after = list ? &list->of_class : nullptr;
      list = b;
    }
    return list;
  }
  static void free_all(FreeBlock* b) {
    while (b) {
      Links* next = b->of_class.after;
      system_delete(b, b->bytes);
      b = next ? FreeBlock::by_class(next) : nullptr;
    }
  }

  Ring rings_[kClasses], ages_;  // newest first
  std::int64_t in_use_ = 0, most_ = 0, cached_ = 0;
};
// Never destroyed: static Arrays are.
Shared& shared() {
  static Shared& s = *[] {
    auto* made = new Shared;
    static Shared* const forked = made;
    ::pthread_atfork([] { forked->mutex_.lock(); }, [] { forked->mutex_.unlock(); },
                     [] { forked->mutex_.unlock(); });
    return made;
  }();
  return s;
}

// ---- Of each thread

struct Front {
  struct Block {
    Block* next;
  };
  Block* free[kThreadClasses] = {};
  // Written by this thread only; read by all that ask.  Of what another thread allocated, the difference.
  std::atomic<std::int64_t> in_use{0}, cached{0};
  Front *before = nullptr, *after = nullptr;  // all fronts
  bool open = false, closed = false;

  void count(std::atomic<std::int64_t>& c, std::int64_t bytes) {
    c.store(c.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  }
  void drain() {
    for (int i = 0; i < kThreadClasses; ++i)
      while (Block* b = free[i]) {
        free[i] = b->next;
        ::operator delete(b, std::align_val_t(kAlign));
      }
    cached.store(0, std::memory_order_relaxed);
  }
};
// Trivially destructible, as Pool is, and for its reason: arrays may be freed after the destructors of a thread.
constinit thread_local Front front;

struct Fronts {
  std::mutex mutex;
  Front* first = nullptr;
  std::atomic<std::int64_t> in_use_of_ended{0};
};
Fronts& fronts() {
  static Fronts& f = *new Fronts;
  return f;
}
struct FrontGuard {  // runs when the thread ends
  ~FrontGuard() {
    front.drain();
    Fronts& all = fronts();
    std::lock_guard lock(all.mutex);
    all.in_use_of_ended += front.in_use.load(std::memory_order_relaxed);
    (front.before ? front.before->after : all.first) = front.after;
    if (front.after) front.after->before = front.before;
    front.closed = true;
  }
};
void open_front() {
  static thread_local FrontGuard guard;
  (void)&guard;
  Fronts& all = fronts();
  std::lock_guard lock(all.mutex);
  front.after = all.first;
  if (all.first) all.first->before = &front;
  all.first = &front;
  front.open = true;
}

void count_in_use(std::int64_t bytes) {
  if (!front.open) open_front();
  if (front.closed) [[unlikely]]
    fronts().in_use_of_ended += bytes;
  else
    front.count(front.in_use, bytes);
}

[[noreturn]] void no_memory(std::size_t bytes) {
  throw Error("array: there is no memory for " + std::to_string(bytes) + " bytes.  [E64]");
}
void* system_new_or_release(SizeClass c) {
  void* p = system_new(c.bytes);
  if (!p) {
    release_memory();
    p = system_new(c.bytes);
  }
  return p;
}

}  // namespace

// ---- Pages that must not be touched
namespace {
enum class Guard { none, begin, end };
Guard guard() {
  static const Guard asked = [] {
    const char* v = std::getenv("JAXPP_GUARD");
    if (!v || !*v || std::strcmp(v, "0") == 0) return Guard::none;
    return std::strcmp(v, "begin") == 0 ? Guard::begin : Guard::end;
  }();
  return asked;
}
std::size_t page_size() {
  static const auto size = std::size_t(::sysconf(_SC_PAGESIZE));
  return size;
}
std::size_t whole_pages(std::size_t bytes) {
  return (bytes + page_size() - 1) / page_size() * page_size();
}
}  // namespace

bool guard_pages() { return guard() != Guard::none; }
void* guarded_new(std::size_t bytes) {
  const std::size_t page = page_size(), size = whole_pages(bytes);
  if (bytes > std::size_t(1) << kMostBits) no_memory(bytes);
  void* const all = ::mmap(nullptr, size + 2 * page, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) no_memory(bytes);
  char* const usable = static_cast<char*>(all) + page;
  if (size > 0 && ::mprotect(usable, size, PROT_READ | PROT_WRITE) != 0) {
    ::munmap(all, size + 2 * page);
    no_memory(bytes);
  }
  std::memset(usable, 0xff, size);
  return guard() == Guard::begin ? usable : usable + size - bytes;
}
void guarded_delete(void* p, std::size_t bytes) noexcept {
  const std::size_t page = page_size(), size = whole_pages(bytes);
  char* const usable = static_cast<char*>(p) - (guard() == Guard::begin ? 0 : size - bytes);
  ::munmap(usable - page, size + 2 * page);
}

void use_huge_pages(void* p, std::size_t bytes) noexcept {
  const auto begin = (reinterpret_cast<std::uintptr_t>(p) + kHugePage - 1) / kHugePage * kHugePage;
  const auto end = (reinterpret_cast<std::uintptr_t>(p) + bytes) / kHugePage * kHugePage;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

#ifdef __SANITIZE_ADDRESS__  // which wants to see every array end
void* large_new(std::size_t bytes) {
  if (bytes > std::size_t(1) << kMostBits) no_memory(bytes);
  count_in_use(std::int64_t(size_class(bytes).bytes));
  return ::operator new(bytes, std::align_val_t(kAlign));
}
void large_delete(void* p, std::size_t bytes) noexcept {
  count_in_use(-std::int64_t(size_class(bytes).bytes));
  ::operator delete(p, std::align_val_t(kAlign));
}
#else
void* large_new(std::size_t bytes) {
  if (bytes > std::size_t(1) << kMostBits) no_memory(bytes);
  const SizeClass c = size_class(bytes);
  if (c.index >= kThreadClasses) {
    void* p = shared().take(c);
    if (!p && !(p = system_new_or_release(c))) {
      shared().failed(c);
      no_memory(bytes);
    }
    return p;
  }
  if (Front::Block* b = front.free[c.index]) {
    front.free[c.index] = b->next;
    front.count(front.cached, -std::int64_t(c.bytes));
    count_in_use(std::int64_t(c.bytes));
    return b;
  }
  void* p = system_new_or_release(c);
  if (!p) no_memory(bytes);
  count_in_use(std::int64_t(c.bytes));
  return p;
}
void large_delete(void* p, std::size_t bytes) noexcept {
  const SizeClass c = size_class(bytes);
  if (c.index >= kThreadClasses) return shared().give(p, c);
  count_in_use(-std::int64_t(c.bytes));
  const std::int64_t kept = front.cached.load(std::memory_order_relaxed) + std::int64_t(c.bytes);
  if (front.closed || kept > std::min(kThreadKeeps, shared().limit.load(std::memory_order_relaxed)))
    return ::operator delete(p, std::align_val_t(kAlign));
  front.free[c.index] = new (p) Front::Block{front.free[c.index]};
  front.cached.store(kept, std::memory_order_relaxed);
}
#endif

}  // namespace internal

using namespace internal;

AllocatorStats allocator_stats() {
  AllocatorStats s = shared().stats();
  Fronts& all = fronts();
  std::lock_guard lock(all.mutex);
  s.in_use += all.in_use_of_ended.load(std::memory_order_relaxed);
  for (const Front* f = all.first; f; f = f->after) {
    s.in_use += f->in_use.load(std::memory_order_relaxed);
    s.cached += f->cached.load(std::memory_order_relaxed);
  }
  return s;
}
void release_memory() {
  shared().release();
  front.drain();
}
void set_cache_bytes(std::int64_t bytes) {
  shared().set_limit(std::max<std::int64_t>(bytes, 0));
  if (bytes <= 0) release_memory();
}

}  // namespace jaxpp
