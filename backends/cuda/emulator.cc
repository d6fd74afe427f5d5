// emulator.cc -- a device that is not there: memory of the host, streams as queues, kernels compiled for the host.
//
// With `defer`, work waits in its stream until the host asks for a result; then streams advance in a random order that
// the events allow, preferring one of them for a while.  Work that should have waited for another stream's, and does not,
// then sees what was there before: a new allocation is full of NaNs, and so is the host memory that a copy will fill.
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <stdexcept>

#include <sys/mman.h>
#include <unistd.h>

#include "backends/cuda/driver.h"
#include "backends/cuda/emulator_compile.h"
#include "backends/cuda/emulator_gemm.h"
#include "backends/cuda/emulator_launch.h"
#include "jaxpp/core/error.h"

namespace jaxpp::cuda {
namespace {

using emulation::LoadedImage;

constexpr int kStreams = 2;
constexpr unsigned char kPoison = 0xff;  // all ones are a NaN in every floating-point type

std::byte* pointer(Address a) { return reinterpret_cast<std::byte*>(a); }
std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Memory of one allocation.  Guarded: pages that cannot be touched, a gap of less than a page, the bytes, a gap of less
// than 16 bytes, pages that cannot be touched.  The gaps keep a pattern, which shows what was written there.
class Memory {
 public:
  Memory(std::size_t bytes, bool guarded) : bytes_(std::max<std::size_t>(bytes, 1)) {
    static const auto page = std::size_t(::sysconf(_SC_PAGESIZE));
    guard_ = guarded ? page : 0;
    inner_ = round_up(bytes_, guarded ? page : 256);
    void* m = ::mmap(nullptr, inner_ + 2 * guard_, guarded ? PROT_NONE : PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED)
      throw Error("the emulated device is out of memory: " + std::to_string(bytes) + " bytes.");
    base_ = static_cast<std::byte*>(m);
    if (guarded) ::mprotect(base_ + guard_, inner_, PROT_READ | PROT_WRITE);
    begin_ = guarded ? base_ + guard_ + inner_ - round_up(bytes_, 16) : base_;
    if (guarded) std::memset(base_ + guard_, kPoison, inner_);
  }
  ~Memory() { ::munmap(base_, inner_ + 2 * guard_); }
  Memory(const Memory&) = delete;

  std::byte* begin() const { return begin_; }
  std::size_t bytes() const { return bytes_; }
  bool holds(const std::byte* p, std::size_t n) const {
    return p >= begin_ && n <= bytes_ && std::size_t(p - begin_) <= bytes_ - n;
  }
  // Including the pages around it.
  bool around(const std::byte* p) const { return p >= base_ && p < base_ + inner_ + 2 * guard_; }
  void poison() {
    if (guard_) std::memset(begin_, kPoison, bytes_);
  }
  // What was written outside: "" if nothing.
  std::string damage() const {
    if (!guard_) return "";
    auto intact = [](const std::byte* from, const std::byte* to) {
      return from == to || (*from == std::byte(kPoison) &&
                            std::memcmp(from, from + 1, std::size_t(to - from) - 1) == 0);
    };
    if (!intact(base_ + guard_, begin_)) return "before";
    return intact(begin_ + bytes_, base_ + guard_ + inner_) ? "" : "after the end of";
  }

 private:
  std::size_t bytes_, guard_ = 0, inner_ = 0;
  std::byte *base_ = nullptr, *begin_ = nullptr;
};

struct Mark {  // a point in a stream
  int stream = 0;
  std::int64_t position = 0;
};
struct Operation {
  std::function<void()> run;
  bool waits = false;  // for:
  Mark until;
};
struct Queue {
  std::deque<Operation> pending;
  std::int64_t enqueued = 0, executed = 0;
};
struct FunctionHandle {
  std::shared_ptr<LoadedImage> image;
  const LoadedImage::Function* function;
};
struct ModuleHandle {
  std::shared_ptr<LoadedImage> image;
  std::deque<FunctionHandle> functions;  // addresses stay
};

class Emulated final : public Driver {
 public:
  explicit Emulated(const EmulatorOptions& o) : options_(o), random_(o.seed) {}

  std::string name() const override { return "emulated"; }
  std::string architecture() const override { return "sm_90"; }
  int multiprocessors() const override { return options_.multiprocessors; }

  std::shared_ptr<const std::string> compile(const std::string& source) override {
    return emulation::compile_for_host(source);
  }
  Module load(const std::string& image) override {
    return reinterpret_cast<Module>(new ModuleHandle{std::make_shared<LoadedImage>(image), {}});
  }
  void unload(Module m) override { delete reinterpret_cast<ModuleHandle*>(m); }
  Function function(Module m, const char* kernel) override {
    auto& module = *reinterpret_cast<ModuleHandle*>(m);
    module.functions.push_back({module.image, &module.image->function(kernel)});
    return reinterpret_cast<Function>(&module.functions.back());
  }

  Address allocate(std::size_t bytes) override {
    std::lock_guard lock(mutex_);
    auto memory = std::make_shared<Memory>(bytes, options_.guard);
    const auto address = reinterpret_cast<Address>(memory->begin());
    memory_[address] = memory;
    ++counters_.allocations;
    counters_.live_bytes += std::int64_t(memory->bytes());
    enqueue(Stream::compute, [memory] { memory->poison(); });
    return address;
  }
  void free(Address a) override {
    if (!a) return;
    std::lock_guard lock(mutex_);
    auto at = memory_.find(a);
    if (at == memory_.end())
      throw std::logic_error("free: this is not the address of an allocation");
    counters_.live_bytes -= std::int64_t(at->second->bytes());
    freed_.push_back({at->second, {queues_[0].enqueued, queues_[1].enqueued}});
    memory_.erase(at);
    release_memory();
  }

  void copy_in(Address to, const void* from, std::size_t bytes, Stream s) override {
    if (!bytes) return;
    std::lock_guard lock(mutex_);
    check_range("copy_in", to, bytes);
    counters_.bytes_in += std::int64_t(bytes);
    const auto* p = static_cast<const std::byte*>(from);
    if (!options_.defer) return enqueue(s, [&] { std::memcpy(pointer(to), from, bytes); });
    enqueue(s, [to, data = std::vector(p, p + bytes)] {
      std::memcpy(pointer(to), data.data(), data.size());
    });
  }
  void copy_out(void* to, Address from, std::size_t bytes, Stream s) override {
    if (!bytes) return;
    std::lock_guard lock(mutex_);
    check_range("copy_out", from, bytes);
    counters_.bytes_out += std::int64_t(bytes);
    if (options_.defer) std::memset(to, kPoison, bytes);
    enqueue(s, [=] { std::memcpy(to, pointer(from), bytes); });
  }
  void copy(Address to, Address from, std::size_t bytes, Stream s) override {
    if (!bytes) return;
    std::lock_guard lock(mutex_);
    check_range("copy", to, bytes);
    check_range("copy", from, bytes);
    enqueue(s, [=] { std::memmove(pointer(to), pointer(from), bytes); });
  }

  void launch(Function f, Dim3 grid, Dim3 block, unsigned shared_bytes, std::span<void* const> args,
              Stream s) override {
    std::lock_guard lock(mutex_);
    const FunctionHandle handle = *reinterpret_cast<FunctionHandle*>(f);
    const LoadedImage::Function& function = *handle.function;
    const emulation::Kernel& kernel = *function.kernel;
    emulation::Launch l{.image = &handle.image->image(),
                        .kernel = &kernel,
                        .grid = grid,
                        .block = block,
                        .shared = function.shared,
                        .static_shared = function.static_shared,
                        .dynamic_shared = shared_bytes,
                        .schedule = options_.schedule,
                        .seed = std::uint32_t(random_()),
                        .describe = [this](std::uintptr_t a) { return describe(a); }};
    if (args.size() != std::size_t(kernel.parameters))
      throw std::logic_error(std::string("launch of kernel ") + kernel.name + ": it has " +
                             std::to_string(kernel.parameters) + " parameters, not " +
                             std::to_string(args.size()));
    emulation::check_limits(l);
    ++counters_.launches;
    // The arguments' values, as they are now.
    struct alignas(16) Block {
      std::byte bytes[16];
    };
    std::vector<Block> values;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < args.size(); ++i) {
      const auto size = std::size_t(kernel.sizes[i]);
      places.push_back(values.size());
      values.resize(values.size() + (size + 15) / 16);
      std::memcpy(&values[places.back()], args[i], size);
    }
    enqueue(s, [this, handle, l, values = std::move(values), places = std::move(places)]() mutable {
      std::vector<void*> arguments;
      for (std::size_t p : places) arguments.push_back(&values[p]);
      l.arguments = arguments.data();
      emulation::run(l);
      check_guards(l.kernel->name);
    });
  }
  void gemm(const Gemm& g, Address a, Address b, Address c, Stream s) override {
    std::lock_guard lock(mutex_);
    const auto extent = emulation::check_gemm(g);
    check_range("gemm's A", a, extent.a);
    check_range("gemm's B", b, extent.b);
    check_range("gemm's C", c, extent.c);
    ++counters_.gemms;
    enqueue(s, [=] { emulation::gemm(g, pointer(a), pointer(b), pointer(c)); });
  }

  Event record(Stream s) override {
    std::lock_guard lock(mutex_);
    return reinterpret_cast<Event>(new Mark{int(s), queues_[std::size_t(s)].enqueued});
  }
  void wait(Stream s, Event e) override {
    std::lock_guard lock(mutex_);
    const Mark m = *reinterpret_cast<Mark*>(e);
    if (options_.defer) push(s, {[] {}, true, m});
  }
  void synchronize(Event e) override {
    std::lock_guard lock(mutex_);
    ++counters_.synchronizations;
    const Mark m = *reinterpret_cast<Mark*>(e);
    while (!reached(m)) advance();
  }
  void synchronize() override {
    std::lock_guard lock(mutex_);
    ++counters_.synchronizations;
    while (!queues_[0].pending.empty() || !queues_[1].pending.empty()) advance();
    check_guards("a kernel");
  }
  void release(Event e) override { delete reinterpret_cast<Mark*>(e); }
  Counters counters() const override {
    std::lock_guard lock(mutex_);
    return counters_;
  }

 private:
  void enqueue(Stream s, std::function<void()> run) {
    if (options_.defer) return push(s, {std::move(run), false, {}});
    run();
  }
  void push(Stream s, Operation o) {
    Queue& q = queues_[std::size_t(s)];
    q.pending.push_back(std::move(o));
    ++q.enqueued;
  }
  bool reached(Mark m) const { return queues_[std::size_t(m.stream)].executed >= m.position; }
  // One piece of work, of the stream that is preferred now if it can go on.
  void advance() {
    if (random_() % 4 == 0) preferred_ = int(random_() % kStreams);
    for (int k = 0; k < kStreams; ++k) {
      Queue& q = queues_[std::size_t((preferred_ + k) % kStreams)];
      if (q.pending.empty() || (q.pending.front().waits && !reached(q.pending.front().until)))
        continue;
      const Operation o = std::move(q.pending.front());
      q.pending.pop_front();
      ++q.executed;
      o.run();
      release_memory();
      return;
    }
    throw std::logic_error("streams wait for each other");
  }
  // What was freed, and is past its last use.
  void release_memory() {
    std::erase_if(freed_, [&](const Freed& f) {
      for (int s = 0; s < kStreams; ++s)
        if (!reached({s, f.after[std::size_t(s)]})) return false;
      gone_[next_gone_++ % gone_.size()] = {f.memory->begin(), f.memory->bytes()};
      return true;
    });
  }

  const Memory* find(Address a) const {
    auto at = memory_.upper_bound(a);
    return at == memory_.begin() ? nullptr : std::prev(at)->second.get();
  }
  void check_range(const char* what, Address a, std::size_t bytes) const {
    const Memory* m = find(a);
    if (!m || !m->holds(pointer(a), bytes))
      throw Error(std::string(what) + ": " + std::to_string(bytes) + " bytes " + describe(a) + ".");
  }
  // Where an address is.
  std::string describe(Address a) const {
    const std::byte* p = pointer(a);
    char hex[24];
    std::snprintf(hex, sizeof hex, "%p", static_cast<const void*>(p));
    std::string s = "at " + std::string(hex);
    auto near = [&](const std::byte* begin, std::size_t bytes, const char* of) {
      const std::string size = std::string(of) + std::to_string(bytes) + " bytes";
      if (p < begin) return s + ", " + std::to_string(begin - p) + " bytes before " + size;
      const auto at = std::size_t(p - begin);
      if (at < bytes) return s + ", byte " + std::to_string(at) + " of " + size;
      return s + ", " + std::to_string(at - bytes) + " bytes after the end of " + size;
    };
    for (const auto& [address, m] : memory_)
      if (m->around(p)) return near(m->begin(), m->bytes(), "an allocation of ");
    for (const Freed& f : freed_)
      if (f.memory->around(p))
        return near(f.memory->begin(), f.memory->bytes(), "a freed allocation of ");
    for (const auto& [begin, bytes] : gone_)
      if (begin && p >= begin && p < begin + bytes)
        return near(begin, bytes, "a freed allocation of ");
    return s + ", outside all allocations";
  }
  void check_guards(const char* kernel) const {
    for (const auto& [address, m] : memory_)
      if (const std::string where = m->damage(); !where.empty()) {
        const std::string size = std::to_string(m->bytes());
        throw Error("kernel " + std::string(kernel) + ": a write " + where + " an allocation of " +
                    size + " bytes.");
      }
  }

  const EmulatorOptions options_;
  mutable std::mutex mutex_;
  std::mt19937 random_;
  std::array<Queue, kStreams> queues_;
  int preferred_ = 0;
  std::map<Address, std::shared_ptr<Memory>> memory_;
  struct Freed {
    std::shared_ptr<Memory> memory;
    std::array<std::int64_t, kStreams> after;
  };
  std::vector<Freed> freed_;                                         // not yet past its last use
  std::array<std::pair<const std::byte*, std::size_t>, 64> gone_{};  // the last ones, for messages
  std::size_t next_gone_ = 0;
  Counters counters_;
};

}  // namespace

std::shared_ptr<Driver> emulated_driver(std::string* why, const EmulatorOptions& options) {
  if (!emulation::host_compiler(why)) return nullptr;
  return std::make_shared<Emulated>(options);
}

}  // namespace jaxpp::cuda
