// guarded.h -- memory at the edge of what may be touched.
#pragma once
#include <sys/mman.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <cstring>

namespace jaxpp::testing {

enum class Side { begin, end };
/// Memory whose first or last byte is that of a page; the pages before and behind must not be touched.
class Guarded {
 public:
  Guarded(std::size_t size, Side side) : bytes(size) {
    const auto page = std::size_t(sysconf(_SC_PAGESIZE));
    size_ = (size + page - 1) / page * page + 2 * page;
    base_ = static_cast<char*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(static_cast<void*>(base_) != MAP_FAILED);
    mprotect(base_, page, PROT_NONE);
    mprotect(base_ + size_ - page, page, PROT_NONE);
    data = side == Side::begin ? base_ + page : base_ + size_ - page - size;
    std::memset(data, 0xff, size);
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() { munmap(base_, size_); }
  char* data;
  std::size_t bytes;

 private:
  char* base_;
  std::size_t size_;
};

}  // namespace jaxpp::testing
