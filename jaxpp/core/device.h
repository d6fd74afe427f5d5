// device.h -- where arrays live and where jitted programs run.
//
//   Array x = device_put(linspace(0., 1., 1'000'000), gpu());   // to the first GPU
//   auto step = jit(f, {.device = gpu()});                      // compiled for it; results stay there
//   auto scope = default_device(gpu());                         // for every jit without a device of its own
//
// The CPU is the default.  A GPU is used when an argument lives there, when jit names it, or by scope.  Calls return
// before a GPU has finished; reading a value waits for it.  Reading an array of a GPU copies it to the host once.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace jaxpp {

class Array;

struct Device {
  /// cuda_emu: an emulated GPU, which runs the same generated kernels on the CPU, slowly: for tests and for learning.
  enum class Platform : std::uint8_t { cpu, cuda, cuda_emu } platform = Platform::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};
std::string to_string(Device);  ///< "cpu", "cuda:0", "cuda-emu:0"

inline Device cpu() { return {}; }
/// The GPU of that number; with JAXPP_PLATFORM=cuda-emu in the environment, the emulated one.  Throws DeviceError, which
/// says what was searched and where, if there is none.
Device gpu(int index = 0);
/// The emulated GPU.  Throws DeviceError if this machine has no C++ compiler to compile kernels with.
Device emulated_gpu();
/// The devices of a platform, possibly none.  devices(Device::Platform::cuda)
std::vector<Device> devices(Device::Platform);
/// Why a platform has no devices, or "".
std::string why_no_devices(Device::Platform);

/// Where jitted programs run when nothing else says so: the CPU, what JAXPP_PLATFORM (cpu, cuda, cuda-emu) says, or a scope.
Device default_device();
/// Restores the previous default at the end of its scope.
class [[nodiscard]] DefaultDeviceScope {
 public:
  explicit DefaultDeviceScope(Device d);
  DefaultDeviceScope(const DefaultDeviceScope&) = delete;
  ~DefaultDeviceScope();

 private:
  Device saved_;
  bool was_set_;
};
/// Makes d the default of this thread:   auto scope = default_device(gpu());
DefaultDeviceScope default_device(Device d);

/// What a compiled program takes, in bytes.
struct MemoryUse {
  std::int64_t arguments = 0, outputs = 0, constants = 0;
  std::int64_t temporaries = 0;  ///< one block while it runs
  std::int64_t peak() const { return arguments + outputs + constants + temporaries; }
};
/// What one run of a compiled program does, from its loops alone (a while loop's body counts once).
struct CostEstimate {
  double flops = 0;            ///< additions, multiplications, ..., a multiply-add as 2
  double transcendentals = 0;  ///< exp, sin, ...
  std::int64_t bytes_read = 0, bytes_written = 0;  ///< by passes over memory
  std::int64_t loops = 0;                          ///< passes over memory, each a loop nest
  std::int64_t calls = 0;              ///< library kernels: matrix products, sorts, factorizations
  std::int64_t kernels = 0;            ///< launches on a GPU
  std::vector<std::string> fallbacks;  ///< what a GPU program leaves to the CPU, and why
};

/// Milliseconds that the stages of a compilation took.
struct CompileTimes {
  double passes = 0;    ///< jaxpr to jaxpr
  double build = 0;     ///< to a loop program with its schedule and memory plan
  double generate = 0;  ///< to LLVM IR
  double parse = 0, optimize = 0, codegen = 0, link = 0;  ///< LLVM
  bool cached = false;                                    ///< machine code came from the disk
  double total() const { return passes + build + generate + parse + optimize + codegen + link; }
};

}  // namespace jaxpp
