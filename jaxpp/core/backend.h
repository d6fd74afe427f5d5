// backend.h -- what the language asks of an executor.  backends/backend.cc defines backend(); nothing else above the
// backends knows who computes.
#pragma once
#include "jaxpp/core/device.h"
#include "jaxpp/core/jaxpr.h"

namespace jaxpp::internal {

/// A compiled jaxpr.  Callable from many threads at once.
struct Executable {
  virtual ~Executable() = default;
  /// donate: entries of `in` that nobody else holds may be overwritten and taken.
  virtual void run(std::span<Array> in, Array* out, bool donate) const = 0;
  /// On elements in memory: in[i], out[i] of input and output i.  False: not on this device.
  virtual bool run_raw(const void* const*, void* const*) const { return false; }
  // What users may see of it.
  virtual std::string loops() const = 0;
  virtual std::string cuda() const { return ""; }
  virtual std::string llvm() const { return ""; }      // of the CPU, if it was compiled
  virtual std::string assembly() const { return ""; }  // likewise
  virtual CompileTimes times() const { return {}; }
  virtual MemoryUse memory() const = 0;
  virtual CostEstimate cost() const = 0;
};
struct Backend {
  void (*install_kernels)();  // sets Primitive::kernel of every built-in primitive, once
  std::shared_ptr<const Executable> (*compile)(const JaxprBody&, const CompileTarget&);
  std::vector<Device> (*devices)(Device::Platform, std::string* why_none);
  /// Arrays whose storage is Storage::device.
  Array (*to_device)(const Array& host, Device);
  Device (*device_of)(const Node*);
  void (*fetch)(Node*);  // sets Node::data to a copy of the elements on the host
  void (*wait)(const Node*);
};
const Backend& backend();

}  // namespace jaxpp::internal
