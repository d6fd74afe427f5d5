// driver.h -- what the CUDA backend asks of a device.  Two implementations: the real one (libcuda, NVRTC and cuBLASLt,
// opened at run time; nothing of CUDA is linked) and an emulated one, which compiles the very same kernel text for the
// host and runs every CUDA thread as a fiber.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "jaxpp/core/dtype.h"

namespace jaxpp::cuda {

using Address = std::uint64_t;  // of device memory; 0: none
struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  bool operator==(const Dim3&) const = default;
};
struct Module_;
struct Function_;
struct Event_;
using Module = Module_*;
using Function = Function_*;
using Event = Event_*;
/// Work on one stream is in order; a device has one stream for computing and one for copies from and to the host.
enum class Stream : int { compute, copy };

/// C = alpha op(A) op(B) + beta C by cuBLASLt's conventions: column-major matrices with leading dimensions, a batch by
/// strides (elements).
struct Gemm {
  bool transpose_a = false, transpose_b = false;
  std::int64_t m = 0, n = 0, k = 0;  // C is m x n
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  std::int64_t batch = 1, stride_a = 0, stride_b = 0, stride_c = 0;
  DType type = DType::f32;     // of A, B and C: f16, bf16, f32, f64, c64, c128
  double alpha = 1, beta = 0;  // computed in float for halves, without TF32 for float
  bool operator==(const Gemm&) const = default;
};

/// What happened on a device so far: static performance tests look here.
struct Counters {
  std::int64_t launches = 0, gemms = 0, allocations = 0, synchronizations = 0;
  std::int64_t bytes_in = 0, bytes_out = 0;  // copied from and to the host
  std::int64_t live_bytes = 0;               // allocated and not freed
};

/// What a compiled kernel takes of the machine, as ptxas reports it (0 where unknown).
struct Usage {
  std::string kernel;
  int registers = 0, shared_bytes = 0, stack_bytes = 0, spill_bytes = 0;
};

class Driver {
 public:
  virtual ~Driver() = default;
  virtual std::string name() const = 0;          // "NVIDIA H100 ...", "emulated"
  virtual std::string architecture() const = 0;  // "sm_90"; what images are compiled for
  virtual int multiprocessors() const = 0;

  /// Source to a loadable image, through the caches (memory, disk).  Throws Error with the compiler's log and the
  /// numbered source.
  ///
  /// Source is self-contained CUDA C++: no #include.  A kernel is a function
  ///   extern "C" __global__ void [__launch_bounds__(N)] name(parameters) {
  /// Shared memory is declared inside functions; what launch() sizes, as `extern __shared__ T name[];`.  All threads of a
  /// block arrive at the same barrier, exited ones never.  Where the text is compiled for the host, JAXPP_EMULATED is
  /// defined: there is no inline PTX there.
  virtual std::shared_ptr<const std::string> compile(const std::string& source) = 0;
  virtual Module load(const std::string& image) = 0;
  virtual void unload(Module) = 0;
  virtual Function function(Module, const char* name) = 0;

  /// For work of the compute stream from now on; 256-byte aligned; never 0.
  virtual Address allocate(std::size_t bytes) = 0;
  /// After the work enqueued so far.
  virtual void free(Address) = 0;
  /// The bytes at `from` are taken before it returns.
  virtual void copy_in(Address to, const void* from, std::size_t bytes, Stream) = 0;
  /// Complete after a synchronize() that follows; `to` must live until then.
  virtual void copy_out(void* to, Address from, std::size_t bytes, Stream) = 0;
  virtual void copy(Address to, Address from, std::size_t bytes, Stream) = 0;
  /// args[i]: the address of argument i (pointers and plain numbers by value).
  virtual void launch(Function, Dim3 grid, Dim3 block, unsigned shared_bytes,
                      std::span<void* const> args, Stream) = 0;
  virtual void gemm(const Gemm&, Address a, Address b, Address c, Stream) = 0;

  virtual Event record(Stream) = 0;      // an event after the work enqueued so far
  virtual void wait(Stream, Event) = 0;  // later work of the stream comes after the event
  virtual void synchronize(Event) = 0;   // blocks the host
  virtual void synchronize() = 0;        // all streams
  virtual void release(Event) = 0;
  virtual Counters counters() const = 0;
};

/// Device i of this machine, or null: then *why says what was searched, and where.
std::shared_ptr<Driver> real_driver(int device, std::string* why);
int real_device_count(std::string* why);
/// How the emulation runs: threads of a block in what order, stream work when.
struct EmulatorOptions {
  enum class Schedule { forward, reverse, shuffled } schedule = Schedule::forward;
  std::uint32_t seed = 1;
  /// Work of streams runs as late as events allow, in a random legal order: missing waits show.
  bool defer = false;
  /// Allocations end at an inaccessible page (so are 16-byte aligned only), and start as NaNs.
  bool guard = true;
  int multiprocessors = 8;
};
/// Needs a C++ compiler at run time; null and *why if there is none.
std::shared_ptr<Driver> emulated_driver(std::string* why, const EmulatorOptions& = {});

/// NVRTC alone (no device needed): source to a cubin for an architecture.  Null and *why if NVRTC was not found.
struct Cubin {
  std::string image;
  std::vector<Usage> usage;
  std::string ptx;  // if asked for
  std::string log;
};
std::shared_ptr<const Cubin> nvrtc_compile(const std::string& source,
                                           const std::string& architecture, bool with_ptx,
                                           std::string* why);

}  // namespace jaxpp::cuda
