// frame.h -- working memory of a call: frames of a stack that each thread keeps.
//
//   Frame frame(bytes);   frame.data      // until the end of the scope; 64-byte aligned, not initialized
//
// A function called meanwhile may open frames of its own: they lie on top.
#pragma once
#include <cstddef>

namespace jaxpp::host {

inline constexpr std::size_t kAlign = 64;
constexpr std::size_t aligned(std::size_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

/// A thread's stack of frames: chunks of memory, the largest of which it keeps.
struct Stack {
  struct Chunk {
    Chunk* below;
    std::size_t bytes;
    char* end() { return reinterpret_cast<char*>(this) + bytes; }
    char* begin() { return reinterpret_cast<char*>(this) + kAlign; }
  };
  Chunk* chunk = nullptr;
  char *top = nullptr, *end = nullptr;  // of the free part of the chunk

  /// A chunk of at least so many bytes, twice as large as the one below.
  void grow(std::size_t bytes);
  /// Back to a lower chunk.  At the bottom the largest one stays, unless it is huge.
  void shrink(Chunk* to, char* to_top);
  void use(Chunk*);
};
extern constinit thread_local Stack stack;

class Frame {
 public:
  /// bytes: a multiple of 64.
  explicit Frame(std::size_t bytes) : stack_(stack), chunk_(stack_.chunk), top_(stack_.top) {
    if (std::size_t(stack_.end - top_) < bytes) [[unlikely]]
      stack_.grow(bytes);
    data = stack_.top;
    stack_.top += bytes;
  }
  Frame(const Frame&) = delete;
  ~Frame() {
    if (stack_.chunk != chunk_) [[unlikely]]
      stack_.shrink(chunk_, top_);
    else
      stack_.top = top_;
  }
  char* data;

 private:
  Stack& stack_;
  Stack::Chunk* chunk_;
  char* top_;
};

}  // namespace jaxpp::host
