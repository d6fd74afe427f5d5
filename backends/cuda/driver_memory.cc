// driver_memory.cc -- size classes, free blocks, staging.
#include "backends/cuda/driver_memory.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "jaxpp/core/error.h"

namespace jaxpp::cuda {

void check(const api::CudaDriver& cuda, int result, const char* call, const std::string& about) {
  if (result == 0) return;
  const char *name = nullptr, *text = nullptr;
  cuda.cuGetErrorName(result, &name);
  cuda.cuGetErrorString(result, &text);
  throw Error(std::string(call) + (about.empty() ? "" : " (" + about + ")") + ": " +
              (name ? name : "error " + std::to_string(result)) +
              (text ? std::string(": ") + text : "") + ".");
}

std::size_t size_class(std::size_t bytes) {
  if (bytes > 1 << 20) return (bytes + (2 << 20) - 1) / (2 << 20) * (2 << 20);
  const std::size_t step = std::max<std::size_t>(std::bit_floor(bytes) / 4, 128);
  return std::max<std::size_t>((bytes + step - 1) / step * step, 512);
}
std::optional<FreeBlocks::Block> FreeBlocks::take(std::size_t size) {
  const auto at = blocks_.lower_bound(size);
  if (at == blocks_.end() || at->first > size + size / 8) return std::nullopt;
  const Block b{at->second, at->first};
  blocks_.erase(at);
  return b;
}
std::vector<FreeBlocks::Block> FreeBlocks::take_all() {
  std::vector<Block> all;
  for (const auto& [size, address] : blocks_) all.push_back({address, size});
  blocks_.clear();
  return all;
}

Staging::~Staging() {
  for (Half& h : halves_) {
    for (const Arriving& a : h.arriving) events_.push_back(a.event);
    for (api::CUevent e : h.after)
      if (e) cuda_.cuEventDestroy(e);
    if (h.memory) cuda_.cuMemFreeHost(h.memory);
  }
  for (api::CUevent e : events_) cuda_.cuEventDestroy(e);
}

api::CUevent Staging::event() {
  api::CUevent e;
  if (!events_.empty()) {
    e = events_.back();
    events_.pop_back();
  } else {
    check(cuda_, cuda_.cuEventCreate(&e, api::kCU_EVENT_DISABLE_TIMING), "cuEventCreate");
  }
  return e;
}

std::byte* Staging::take(std::size_t bytes, Stream s) {
  Half* h = &halves_[std::size_t(current_)];
  if (h->memory && h->used + bytes > kHalf) {
    for (std::size_t k = 0; k < 2; ++k) {
      if (!h->touched[k]) continue;
      if (!h->after[k]) h->after[k] = event();
      check(cuda_, cuda_.cuEventRecord(h->after[k], streams_[k]), "cuEventRecord");
    }
    current_ = 1 - current_;
    h = &halves_[std::size_t(current_)];
    empty(*h);
  }
  if (!h->memory) {
    void* m = nullptr;
    check(cuda_, cuda_.cuMemHostAlloc(&m, kHalf, api::kCU_MEMHOSTALLOC_PORTABLE), "cuMemHostAlloc");
    h->memory = static_cast<std::byte*>(m);
  }
  std::byte* p = h->memory + h->used;
  h->used += (bytes + 63) / 64 * 64;
  h->touched[std::size_t(s)] = true;
  return p;
}
// Waits until its last uses are over.
void Staging::empty(Half& h) {
  for (std::size_t k = 0; k < 2; ++k)
    if (h.touched[k]) check(cuda_, cuda_.cuEventSynchronize(h.after[k]), "cuEventSynchronize");
  for (const Arriving& a : h.arriving) hand_over(a);
  h.arriving.clear();
  h.touched = {};
  h.used = 0;
}
void Staging::hand_over(const Arriving& a) {
  std::memcpy(a.to, a.from, a.bytes);
  events_.push_back(a.event);
}

void Staging::in(Address to, const void* from, std::size_t bytes, Stream s) {
  for (std::size_t at = 0; at < bytes;) {
    const std::size_t n = std::min(bytes - at, kHalf);
    std::byte* p = take(n, s);
    std::memcpy(p, static_cast<const std::byte*>(from) + at, n);
    check(cuda_, cuda_.cuMemcpyHtoDAsync(to + at, p, n, streams_[std::size_t(s)]),
          "cuMemcpyHtoDAsync");
    at += n;
  }
}
void Staging::out(void* to, Address from, std::size_t bytes, Stream s) {
  for (std::size_t at = 0; at < bytes;) {
    const std::size_t n = std::min(bytes - at, kHalf);
    std::byte* p = take(n, s);
    check(cuda_, cuda_.cuMemcpyDtoHAsync(p, from + at, n, streams_[std::size_t(s)]),
          "cuMemcpyDtoHAsync");
    const api::CUevent arrived = event();
    check(cuda_, cuda_.cuEventRecord(arrived, streams_[std::size_t(s)]), "cuEventRecord");
    halves_[std::size_t(current_)].arriving.push_back(
        {static_cast<std::byte*>(to) + at, p, n, arrived});
    at += n;
  }
}
void Staging::finish() {
  for (Half& h : halves_)
    std::erase_if(h.arriving, [&](const Arriving& a) {
      const int state = cuda_.cuEventQuery(a.event);
      if (state == api::kCUDA_ERROR_NOT_READY) return false;
      check(cuda_, state, "cuEventQuery");
      hand_over(a);
      return true;
    });
}

}  // namespace jaxpp::cuda
