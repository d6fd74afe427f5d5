// driver_real.cc -- an NVIDIA GPU, by the driver API.
//
// Memory comes from the driver's stream-ordered pool and is kept in free lists: what is freed is used again for later
// work of the compute stream, at once if the copy stream has nothing under way that the compute stream has not waited
// for, else when the copy stream has passed that point.  JAXPP_CUDA_SYNC=1 waits for every kernel, so that an error names it.
#include <array>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "backends/cuda/driver.h"
#include "backends/cuda/driver_gemm.h"
#include "backends/cuda/driver_library.h"
#include "backends/cuda/driver_memory.h"
#include "jaxpp/core/error.h"

namespace jaxpp::cuda {
namespace {

struct EventHandle {
  api::CUevent event;
  Stream stream;
  std::int64_t copies;  // how many pieces of work the copy stream had been given, if it is of that
};
struct FunctionHandle {
  api::CUfunction function;
  std::string name;
  unsigned shared_bytes = 48 << 10;  // as much as it may have
};
struct ModuleHandle {
  api::CUmodule module;
  std::deque<FunctionHandle> functions;  // addresses stay
};

class Real final : public Driver {
 public:
  explicit Real(int index);
  ~Real() override;

  std::string name() const override { return name_; }
  std::string architecture() const override { return architecture_; }
  int multiprocessors() const override { return multiprocessors_; }

  std::shared_ptr<const std::string> compile(const std::string& source) override {
    std::string why;
    auto cubin = nvrtc_compile(source, architecture_, false, &why);
    if (!cubin) throw Error(why);
    return {cubin, &cubin->image};
  }
  Module load(const std::string& image) override;
  void unload(Module) override;
  Function function(Module, const char* name) override;

  Address allocate(std::size_t bytes) override;
  void free(Address) override;
  void copy_in(Address to, const void* from, std::size_t bytes, Stream s) override {
    if (!bytes) return;
    Locked lock(*this);
    counters_.bytes_in += std::int64_t(bytes);
    worked(s);
    staging_->in(to, from, bytes, s);
  }
  void copy_out(void* to, Address from, std::size_t bytes, Stream s) override {
    if (!bytes) return;
    Locked lock(*this);
    counters_.bytes_out += std::int64_t(bytes);
    worked(s);
    staging_->out(to, from, bytes, s);
  }
  void copy(Address to, Address from, std::size_t bytes, Stream s) override {
    if (!bytes) return;
    Locked lock(*this);
    worked(s);
    check(cuda_.cuMemcpyDtoDAsync(to, from, bytes, stream(s)), "cuMemcpyDtoDAsync");
  }
  void launch(Function, Dim3 grid, Dim3 block, unsigned shared_bytes, std::span<void* const> args,
              Stream) override;
  void gemm(const Gemm&, Address a, Address b, Address c, Stream) override;

  Event record(Stream) override;
  void wait(Stream, Event) override;
  void synchronize(Event) override;
  void synchronize() override;
  void release(Event) override;
  Counters counters() const override {
    std::lock_guard lock(mutex_);
    return counters_;
  }

 private:
  // One thread at a time, with the device's context.
  struct Locked {
    std::lock_guard<std::mutex> lock;
    explicit Locked(const Real& r) : lock(r.mutex_) { r.cuda_.cuCtxSetCurrent(r.context_); }
  };
  void check(int result, const char* call, const std::string& about = "") const {
    cuda::check(cuda_, result, call, about);
  }
  api::CUstream stream(Stream s) const { return streams_[std::size_t(s)]; }
  int attribute(int which) const {
    int v = 0;
    check(cuda_.cuDeviceGetAttribute(&v, which, device_), "cuDeviceGetAttribute");
    return v;
  }
  void worked(Stream s) { copies_ += s == Stream::copy; }
  api::CUevent event();
  Address block(std::size_t size);
  int device_block(Address*, std::size_t size);
  void give_back(Address);
  void reclaim(bool wait);
  void synchronize_if_asked(const char* call, const std::string& about, Stream);

  const api::CudaDriver& cuda_;
  int device_ = 0;
  api::CUcontext context_ = nullptr;
  std::array<api::CUstream, 2> streams_{};
  std::string name_, architecture_;
  int multiprocessors_ = 0;
  bool pools_ = false;  // has stream-ordered allocation
  const bool synchronous_;

  mutable std::mutex mutex_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<CublasLt> blas_;
  std::array<Address, 2> workspace_{};  // by stream
  std::vector<api::CUevent> events_;    // unused
  Counters counters_;

  struct Live {
    std::size_t size, bytes;
  };
  std::unordered_map<Address, Live> live_;
  FreeBlocks free_;  // for later work of the compute stream
  struct Waiting {
    Address address;
    std::size_t size;
    api::CUevent event;  // of the copy stream
  };
  std::deque<Waiting> waiting_;
  std::int64_t copies_ = 0;         // pieces of work that the copy stream was given
  std::int64_t copies_joined_ = 0;  // of these, known to be before the compute stream's later work
};

Real::Real(int index)
    : cuda_(cuda_library().api), synchronous_([] {
        const char* v = std::getenv("JAXPP_CUDA_SYNC");
        return v && std::string(v) == "1";
      }()) {
  check(cuda_.cuDeviceGet(&device_, index), "cuDeviceGet");
  char text[256] = {};
  check(cuda_.cuDeviceGetName(text, sizeof text, device_), "cuDeviceGetName");
  name_ = text;
  architecture_ = "sm_" +
                  std::to_string(attribute(api::kCU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)) +
                  std::to_string(attribute(api::kCU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
  multiprocessors_ = attribute(api::kCU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  pools_ = attribute(api::kCU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED);
  check(cuda_.cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain", name_);
  check(cuda_.cuCtxSetCurrent(context_), "cuCtxSetCurrent");
  for (api::CUstream& s : streams_)
    check(cuda_.cuStreamCreate(&s, api::kCU_STREAM_NON_BLOCKING), "cuStreamCreate");
  if (pools_) {  // the pool keeps what it has
    api::CUmemoryPool pool = nullptr;
    check(cuda_.cuDeviceGetDefaultMemPool(&pool, device_), "cuDeviceGetDefaultMemPool");
    std::uint64_t threshold = ~std::uint64_t(0);
    check(cuda_.cuMemPoolSetAttribute(pool, api::kCU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold),
          "cuMemPoolSetAttribute");
  }
  staging_ = std::make_unique<Staging>(cuda_, streams_);
}
Real::~Real() {
  Locked lock(*this);
  for (api::CUstream s : streams_) cuda_.cuStreamSynchronize(s);
  blas_.reset();
  staging_.reset();
  for (const Waiting& w : waiting_) {
    events_.push_back(w.event);
    free_.put(w.address, w.size);
  }
  for (auto& [address, block] : live_) free_.put(address, block.size);
  for (const FreeBlocks::Block& b : free_.take_all()) give_back(b.address);
  for (Address a : workspace_)
    if (a) give_back(a);
  for (api::CUevent e : events_) cuda_.cuEventDestroy(e);
  for (api::CUstream s : streams_) {
    cuda_.cuStreamSynchronize(s);
    cuda_.cuStreamDestroy(s);
  }
  cuda_.cuDevicePrimaryCtxRelease(device_);
}

// ---- Modules

Module Real::load(const std::string& image) {
  Locked lock(*this);
  std::string log(8192, '\0');
  int options[] = {api::kCU_JIT_ERROR_LOG_BUFFER, api::kCU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log.data(), reinterpret_cast<void*>(log.size())};
  api::CUmodule m = nullptr;
  const int result = cuda_.cuModuleLoadDataEx(&m, image.c_str(), 2, options, values);
  if (result) {
    int version = 0;
    cuda_.cuDriverGetVersion(&version);
    check(result, "cuModuleLoadDataEx",
          "kernels for " + architecture_ + ", driver for CUDA " + std::to_string(version / 1000) +
              "." + std::to_string(version % 1000 / 10) +
              (log[0] ? ", " + std::string(log.c_str()) : ""));
  }
  return reinterpret_cast<Module>(new ModuleHandle{m, {}});
}
void Real::unload(Module m) {
  Locked lock(*this);
  const std::unique_ptr<ModuleHandle> module(reinterpret_cast<ModuleHandle*>(m));
  for (api::CUstream s : streams_) cuda_.cuStreamSynchronize(s);  // it may be running
  cuda_.cuModuleUnload(module->module);
}
Function Real::function(Module m, const char* kernel) {
  Locked lock(*this);
  auto& module = *reinterpret_cast<ModuleHandle*>(m);
  api::CUfunction f = nullptr;
  check(cuda_.cuModuleGetFunction(&f, module.module, kernel), "cuModuleGetFunction", kernel);
  module.functions.push_back({f, kernel});
  return reinterpret_cast<Function>(&module.functions.back());
}
void Real::launch(Function function, Dim3 grid, Dim3 block, unsigned shared_bytes,
                  std::span<void* const> args, Stream s) {
  Locked lock(*this);
  auto& f = *reinterpret_cast<FunctionHandle*>(function);
  if (shared_bytes > f.shared_bytes) {
    check(cuda_.cuFuncSetAttribute(
              f.function, api::kCU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, int(shared_bytes)),
          "cuFuncSetAttribute", f.name);
    f.shared_bytes = shared_bytes;
  }
  ++counters_.launches;
  worked(s);
  check(cuda_.cuLaunchKernel(f.function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                             shared_bytes, stream(s), const_cast<void**>(args.data()), nullptr),
        "cuLaunchKernel", f.name);
  synchronize_if_asked("kernel", f.name, s);
}
void Real::gemm(const Gemm& g, Address a, Address b, Address c, Stream s) {
  Locked lock(*this);
  if (!blas_) blas_ = std::make_unique<CublasLt>();
  Address& workspace = workspace_[std::size_t(s)];
  if (!workspace) {
    workspace = this->block(CublasLt::kWorkspace);
    if (s == Stream::copy)
      check(cuda_.cuStreamSynchronize(stream(Stream::compute)), "cuStreamSynchronize");
  }
  ++counters_.gemms;
  worked(s);
  blas_->multiply(g, a, b, c, workspace, stream(s));
  synchronize_if_asked("gemm", "", s);
}
void Real::synchronize_if_asked(const char* call, const std::string& about, Stream s) {
  if (synchronous_) check(cuda_.cuStreamSynchronize(stream(s)), call, about);
}

// ---- Memory

Address Real::allocate(std::size_t bytes) {
  Locked lock(*this);
  const std::size_t size = size_class(bytes);
  reclaim(false);
  Address a;
  if (const auto b = free_.take(size)) {
    a = b->address;
    live_[a] = {b->size, bytes};
  } else {
    a = block(size);
    live_[a] = {size, bytes};
  }
  ++counters_.allocations;
  counters_.live_bytes += std::int64_t(bytes);
  return a;
}
void Real::free(Address a) {
  if (!a) return;
  Locked lock(*this);
  const auto at = live_.find(a);
  if (at == live_.end()) throw std::logic_error("free: this is not the address of an allocation");
  const std::size_t size = at->second.size;
  counters_.live_bytes -= std::int64_t(at->second.bytes);
  live_.erase(at);
  if (copies_joined_ == copies_) return free_.put(a, size);
  // Destructors come here: after an error of the device the memory is lost, quietly.
  try {
    const api::CUevent e = event();
    waiting_.push_back({a, size, e});
    check(cuda_.cuEventRecord(e, stream(Stream::copy)), "cuEventRecord");
  } catch (const Error&) {
  }
}
// Moves what the copy stream has passed to the free blocks.
void Real::reclaim(bool wait) {
  while (!waiting_.empty()) {
    const Waiting w = waiting_.front();
    if (wait)
      check(cuda_.cuEventSynchronize(w.event), "cuEventSynchronize");
    else if (cuda_.cuEventQuery(w.event) != 0)
      return;  // events of one stream: the others are later
    waiting_.pop_front();
    events_.push_back(w.event);
    free_.put(w.address, w.size);
  }
}
int Real::device_block(Address* a, std::size_t size) {
  api::CUdeviceptr p = 0;
  const int result = pools_ ? cuda_.cuMemAllocAsync(&p, size, stream(Stream::compute))
                            : cuda_.cuMemAlloc(&p, size);
  *a = p;
  return result;
}
void Real::give_back(Address a) {
  if (pools_)
    cuda_.cuMemFreeAsync(a, stream(Stream::compute));
  else
    cuda_.cuMemFree(a);
}
// Of the device; if that has none, after giving back all that is free.
Address Real::block(std::size_t size) {
  Address a = 0;
  int result = device_block(&a, size);
  if (result == api::kCUDA_ERROR_OUT_OF_MEMORY) {
    reclaim(true);
    for (const FreeBlocks::Block& b : free_.take_all()) give_back(b.address);
    check(cuda_.cuStreamSynchronize(stream(Stream::compute)), "cuStreamSynchronize");
    result = device_block(&a, size);
  }
  check(
      result, "cuMemAllocAsync",
      std::to_string(size) + " bytes, beside " + std::to_string(counters_.live_bytes) + " in use");
  return a;
}

// ---- Order

api::CUevent Real::event() {
  api::CUevent e = nullptr;
  if (!events_.empty()) {
    e = events_.back();
    events_.pop_back();
  } else {
    check(cuda_.cuEventCreate(&e, api::kCU_EVENT_DISABLE_TIMING), "cuEventCreate");
  }
  return e;
}
Event Real::record(Stream s) {
  Locked lock(*this);
  auto handle =
      std::make_unique<EventHandle>(EventHandle{event(), s, s == Stream::copy ? copies_ : 0});
  check(cuda_.cuEventRecord(handle->event, stream(s)), "cuEventRecord");
  return reinterpret_cast<Event>(handle.release());
}
void Real::wait(Stream s, Event e) {
  Locked lock(*this);
  const auto& handle = *reinterpret_cast<EventHandle*>(e);
  check(cuda_.cuStreamWaitEvent(stream(s), handle.event, 0), "cuStreamWaitEvent");
  if (s == Stream::compute) copies_joined_ = std::max(copies_joined_, handle.copies);
}
void Real::synchronize(Event e) {
  const EventHandle handle = *reinterpret_cast<EventHandle*>(e);
  {
    Locked lock(*this);
    ++counters_.synchronizations;
  }
  check(cuda_.cuEventSynchronize(handle.event), "cuEventSynchronize");
  Locked lock(*this);
  copies_joined_ = std::max(copies_joined_, handle.copies);
  staging_->finish();
}
void Real::synchronize() {
  Locked lock(*this);
  ++counters_.synchronizations;
  for (api::CUstream s : streams_) check(cuda_.cuStreamSynchronize(s), "cuStreamSynchronize");
  copies_joined_ = copies_;
  staging_->finish();
}
void Real::release(Event e) {
  const std::unique_ptr<EventHandle> handle(reinterpret_cast<EventHandle*>(e));
  std::lock_guard lock(mutex_);
  events_.push_back(handle->event);
}

}  // namespace

int real_device_count(std::string* why) {
  std::string none;
  int count = 0;
  const auto& library = cuda_library();
  if (!library.ok()) {
    none = library.why;
  } else if (const int result = library.api.cuDeviceGetCount(&count); result || !count) {
    count = 0;
    none = "The CUDA driver finds no device.";
  }
  if (why) *why = none;
  return count;
}
std::shared_ptr<Driver> real_driver(int device, std::string* why) {
  if (const int n = real_device_count(why); device < 0 || device >= n) {
    if (why && n) *why = "There are " + std::to_string(n) + " CUDA devices, numbered from 0.";
    return nullptr;
  }
  try {
    return std::make_shared<Real>(device);
  } catch (const Error& e) {
    if (why) *why = e.what();
    return nullptr;
  }
}

}  // namespace jaxpp::cuda
