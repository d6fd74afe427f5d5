// emulator_fiber.h -- stacks of their own to run on, and how to change from one to another.
#pragma once
#include <cstddef>

#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(JAXPP_EMULATOR_UCONTEXT)
#define JAXPP_EMULATOR_SWITCH 1  // our own; elsewhere libc's, which costs system calls
#else
#include <ucontext.h>
#endif

#ifdef __SANITIZE_THREAD__  // wants to be told
#include <sanitizer/tsan_interface.h>
#endif

namespace jaxpp::cuda::emulation {

/// Where a suspended flow of control goes on.
struct Context {
#ifdef JAXPP_EMULATOR_SWITCH
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
#ifdef __SANITIZE_THREAD__
  void* fiber = nullptr;
#endif
};
/// Suspends the caller into `from` and goes on with `to`.
#ifdef JAXPP_EMULATOR_SWITCH
extern "C" void jaxpp_switch_stack(void** from, void* to);
#endif
inline void switch_context(Context& from, const Context& to) {
#ifdef __SANITIZE_THREAD__
  from.fiber = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.fiber, 0);
#endif
#ifdef JAXPP_EMULATOR_SWITCH
  jaxpp_switch_stack(&from.stack_pointer, to.stack_pointer);
#else
  ::swapcontext(&from.context, &to.context);
#endif
}

/// Stacks for `count` fibers, each above a page that cannot be touched.  Memory is used once it is touched.
class Stacks {
 public:
  static constexpr std::size_t kSize = 256 << 10;
  explicit Stacks(int count);
  ~Stacks();
  Stacks(const Stacks&) = delete;
  /// Makes c start `entry` on stack i.  entry never returns.
  void start(Context& c, int i, void (*entry)()) const;
  /// Whether an address is on the page below a stack.
  bool overflows(const void* address) const;

 private:
  std::byte* base_;
  int count_;
};

}  // namespace jaxpp::cuda::emulation
