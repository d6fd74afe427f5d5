#include "backends/host/frame.h"
#include <algorithm>
#include <new>
#include <string>

#include "jaxpp/core/allocator.h"
#include "jaxpp/core/error.h"

namespace jaxpp::host {

constinit thread_local Stack stack;

namespace {
constexpr std::size_t kKept = std::size_t(256) << 20;  // bytes that a thread keeps between calls

void release(Stack::Chunk*& c) {
  Stack::Chunk* const below = c->below;
  ::operator delete(c, std::align_val_t(kAlign));
  c = below;
}
// Apart from the stack, so that reaching that costs nothing.
struct StackGuard {
  ~StackGuard() {
    while (stack.chunk) release(stack.chunk);
    stack.top = stack.end = nullptr;
  }
};
}  // namespace

void Stack::use(Chunk* c) {
  chunk = c;
  top = c ? c->begin() : nullptr;
  end = c ? c->end() : nullptr;
}
void Stack::grow(std::size_t bytes) {
  static thread_local StackGuard guard;
  (void)&guard;
  const std::size_t n = aligned(
      std::max({bytes + kAlign, std::size_t(64) << 10, chunk ? 2 * chunk->bytes : std::size_t(0)}));
  const auto system_new = [n] { return ::operator new(n, std::align_val_t(kAlign), std::nothrow); };
  void* p = system_new();
  if (!p) {
    release_memory();
    p = system_new();
  }
  if (!p)
    throw Error("temporaries of a function: there is no memory for " + std::to_string(n) +
                " bytes.  [E64]");
  auto* c = static_cast<Chunk*>(p);
  internal::use_huge_pages(c, n);
  *c = {chunk, n};
  use(c);
}
void Stack::shrink(Chunk* to, char* to_top) {
  Chunk* const largest = chunk;
  if ((to && (to->below || to_top != to->begin())) || largest->bytes > kKept) {
    while (chunk != to) release(chunk);
    use(to);
    top = to_top;
  } else {  // nothing is in use
    while (largest->below) release(largest->below);
    use(largest);
  }
}

}  // namespace jaxpp::host
