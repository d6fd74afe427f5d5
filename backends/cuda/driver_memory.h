// driver_memory.h -- memory of a real device: blocks that are used again, and copies through pinned memory.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "backends/cuda/driver.h"
#include "backends/cuda/driver_api.h"

namespace jaxpp::cuda {

/// Throws Error with call, name and text of an error.
void check(const api::CudaDriver&, int result, const char* call, const std::string& about = "");

/// The size that is allocated for so many bytes: few different ones, and no more than a quarter larger up to 1 MiB; above,
/// multiples of 2 MiB.
std::size_t size_class(std::size_t bytes);

/// Blocks that nobody uses, by size.
class FreeBlocks {
 public:
  void put(Address a, std::size_t size) { blocks_.emplace(size, a); }
  struct Block {
    Address address;
    std::size_t size;
  };
  /// One of at least `size` bytes, at most an eighth more.
  std::optional<Block> take(std::size_t size);
  /// All of them; none are left.
  std::vector<Block> take_all();

 private:
  std::multimap<std::size_t, Address> blocks_;
};

/// Copies between a device and memory that its engines cannot reach: through two pinned buffers, one of which is filled
/// or emptied by the host while the other is copied.
class Staging {
 public:
  Staging(const api::CudaDriver& cuda, std::array<api::CUstream, 2> streams)
      : cuda_(cuda), streams_(streams) {}
  ~Staging();
  Staging(const Staging&) = delete;
  /// The bytes are taken before it returns.
  void in(Address to, const void* from, std::size_t bytes, Stream);
  /// The bytes are there after a finish() that follows the end of the stream's work.
  void out(void* to, Address from, std::size_t bytes, Stream);
  /// Hands over what has arrived.
  void finish();

  static constexpr std::size_t kHalf = 4 << 20;

 private:
  struct Arriving {
    void* to;
    const std::byte* from;
    std::size_t bytes;
    api::CUevent event;
  };
  struct Half {
    std::byte* memory = nullptr;
    std::size_t used = 0;
    std::array<api::CUevent, 2> after{};  // by stream: the end of its last use
    std::array<bool, 2> touched{};
    std::deque<Arriving> arriving;
  };
  std::byte* take(std::size_t bytes, Stream);
  void empty(Half&);
  void hand_over(const Arriving&);
  api::CUevent event();

  const api::CudaDriver& cuda_;
  std::array<api::CUstream, 2> streams_;
  std::array<Half, 2> halves_;
  int current_ = 0;
  std::vector<api::CUevent> events_;  // unused
};

}  // namespace jaxpp::cuda
