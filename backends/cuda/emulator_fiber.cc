// emulator_fiber.cc -- a switch saves what a called function must preserve on the old stack, and takes the new one.
#include "backends/cuda/emulator_fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#ifdef __SANITIZE_ADDRESS__  // a stack that was given up in the middle of something is clean again when it is started
#include <sanitizer/asan_interface.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(address, size)
#endif

#ifdef JAXPP_EMULATOR_SWITCH
#if defined(__x86_64__)
asm(R"(
  .text
  .globl jaxpp_switch_stack
  .hidden jaxpp_switch_stack
  .type jaxpp_switch_stack, @function
jaxpp_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size jaxpp_switch_stack, .-jaxpp_switch_stack
)");
#else
asm(R"(
  .text
  .globl jaxpp_switch_stack
  .hidden jaxpp_switch_stack
  .type jaxpp_switch_stack, %function
jaxpp_switch_stack:
  stp x29, x30, [sp, #-160]!
  stp x19, x20, [sp, #16]
  stp x21, x22, [sp, #32]
  stp x23, x24, [sp, #48]
  stp x25, x26, [sp, #64]
  stp x27, x28, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #16]
  ldp x21, x22, [sp, #32]
  ldp x23, x24, [sp, #48]
  ldp x25, x26, [sp, #64]
  ldp x27, x28, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  ldp x29, x30, [sp], #160
  ret
  .size jaxpp_switch_stack, .-jaxpp_switch_stack
)");
#endif
#endif

namespace jaxpp::cuda::emulation {
namespace {
const std::size_t kPage = std::size_t(::sysconf(_SC_PAGESIZE));
}  // namespace

Stacks::Stacks(int count) : count_(count) {
  void* m = ::mmap(nullptr, std::size_t(count) * kSize, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<std::byte*>(m);
  for (int i = 0; i < count; ++i) ::mprotect(base_ + std::size_t(i) * kSize, kPage, PROT_NONE);
}
Stacks::~Stacks() { ::munmap(base_, std::size_t(count_) * kSize); }

bool Stacks::overflows(const void* address) const {
  const auto at =
      reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(base_);
  return at < std::size_t(count_) * kSize && at % kSize < kPage;
}

// The new stack looks as if `entry` had been about to begin when it was switched away from.
void Stacks::start(Context& c, int i, void (*entry)()) const {
  ASAN_UNPOISON_MEMORY_REGION(base_ + std::size_t(i) * kSize + kPage, kSize - kPage);
#ifdef __SANITIZE_THREAD__
  if (c.fiber) __tsan_destroy_fiber(c.fiber);
  c.fiber = __tsan_create_fiber(0);
#endif
#ifdef JAXPP_EMULATOR_SWITCH
  // Tops at different distances from a multiple of kSize: else all fibers would compete for the same lines of the caches.
  const std::size_t shift = std::size_t(i) * 15 * 64 % (kSize / 4);
  auto* top = reinterpret_cast<void**>(base_ + std::size_t(i + 1) * kSize - shift);
#if defined(__x86_64__)
  constexpr int kSaved = 8,
                kEntry = 6;  // six registers, the address to return to, and none for entry
#else
  constexpr int kSaved = 20, kEntry = 1;  // x29, then x30
#endif
  for (int k = 1; k <= kSaved; ++k) top[-k] = nullptr;
  top[kEntry - kSaved] = reinterpret_cast<void*>(entry);
  c.stack_pointer = top - kSaved;
#else
  ::getcontext(&c.context);
  c.context.uc_stack.ss_sp = base_ + std::size_t(i) * kSize + kPage;
  c.context.uc_stack.ss_size = kSize - kPage;
  c.context.uc_link = nullptr;
  ::makecontext(&c.context, entry, 0);
#endif
}

}  // namespace jaxpp::cuda::emulation
