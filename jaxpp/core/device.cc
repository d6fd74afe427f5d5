// device.cc -- devices by name and by scope, arrays that live on one, and eager operations on those.
#include "jaxpp/core/device.h"
#include <cstdlib>
#include "jaxpp/core/backend.h"
#include "jaxpp/jit.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp {
using namespace internal;
using Platform = Device::Platform;

namespace {
const char* name_of(Platform p) {
  return p == Platform::cpu ? "cpu" : p == Platform::cuda ? "cuda" : "cuda-emu";
}
// What the environment says, read once.
Platform chosen_platform() {
  static const Platform p = [] {
    const char* s = std::getenv("JAXPP_PLATFORM");
    if (!s || !*s) return Platform::cpu;
    for (Platform q : {Platform::cpu, Platform::cuda, Platform::cuda_emu})
      if (std::string_view(s) == name_of(q)) return q;
    throw DeviceError(std::string("JAXPP_PLATFORM: \"") + s +
                      "\" is not one of cpu, cuda, cuda-emu.  [E99]");
  }();
  return p;
}
Device find(Platform p, int index) {
  std::string why;
  std::vector<Device> all = backend().devices(p, &why);
  if (index >= 0 && std::size_t(index) < all.size()) return all[std::size_t(index)];
  std::string what = p == Platform::cuda_emu ? "emulated_gpu" : "gpu";
  if (all.empty()) throw DeviceError(what + ": there is no device.  " + why + "  [E98]");
  throw DeviceError(what + ": there is no device " + std::to_string(index) + "; this machine has " +
                    std::to_string(all.size()) + ".  [E98]");
}
struct ThreadDefault {
  Device device;
  bool set = false;
};
constinit thread_local ThreadDefault thread_default;
}  // namespace

std::string to_string(Device d) {
  if (d.platform == Platform::cpu) return "cpu";
  return std::string(name_of(d.platform)) + ":" + std::to_string(d.index);
}
Device gpu(int index) {
  return find(chosen_platform() == Platform::cuda_emu ? Platform::cuda_emu : Platform::cuda, index);
}
Device emulated_gpu() { return find(Platform::cuda_emu, 0); }
std::vector<Device> devices(Platform p) { return backend().devices(p, nullptr); }
std::string why_no_devices(Platform p) {
  std::string why;
  return backend().devices(p, &why).empty() ? why : std::string();
}
Device default_device() {
  if (thread_default.set) return thread_default.device;
  static const Device of_process =
      chosen_platform() == Platform::cpu ? cpu() : find(chosen_platform(), 0);
  return of_process;
}
DefaultDeviceScope::DefaultDeviceScope(Device d)
    : saved_(thread_default.device), was_set_(thread_default.set) {
  thread_default = {d, true};
}
DefaultDeviceScope::~DefaultDeviceScope() { thread_default = {saved_, was_set_}; }
DefaultDeviceScope default_device(Device d) { return DefaultDeviceScope(d); }

// ---- Arrays
Device Array::device() const {
  if (on_device()) return backend().device_of(node_);
  return concrete() ? cpu() : default_device();
}
const Array& Array::block_until_ready() const {
  if (node_ && on_device()) backend().wait(node_);
  return *this;
}
Array device_put(const Array& x, Device device, Loc loc) {
  if (!x.defined()) return x;
  if (!x.concrete()) {  // the program decides where it runs
    Array y;
    device_put_p.bind({&x, 1}, ArityParams{1}, &y, loc);
    return y;
  }
  if (x.device() == device) return x;
  Array host = x;
  if (x.on_device()) {
    host = Array::make(x.type());
    std::memcpy(host.data<char>(), x.data<char>(), std::size_t(x.size()) * width(x.dtype()));
  }
  return device == cpu() ? host : backend().to_device(host, device);
}
namespace internal {
void* fetch(Node* n) {
  if (Storage(n->index) != Storage::device || n->trace) return nullptr;  // an empty view
  backend().fetch(n);
  return std::atomic_ref<void*>(n->data).load(std::memory_order_acquire);
}

// ---- Eager operations: a program of one equation each
void eval_on_device(const Primitive& p, Args x, Params params, Array* y, Loc loc) {
  Device device;
  for (const Array& a : x) {
    if (!a.defined()) fail(std::string(p.name) + ": an operand is null.", user_loc(loc), "E04");
    if (!a.concrete()) throw_leak(a.node(), user_loc(loc));
    if (a.on_device() && device == Device()) device = a.device();
  }
  try {
    JaxprPtr j = program_of(p, x, params, user_loc(loc));
    Results out(j->outs.size());
    run_jaxpr(*j, {const_cast<Array*>(x.data()), x.size()}, out.data(), false, {.device = device});
    for (std::size_t i = 0; i < out.size(); ++i) y[i] = std::move(out[i]);
  } catch (const RuleError& e) {
    fail(e.what(), user_loc(loc), "E11");
  }
}
}  // namespace internal
}  // namespace jaxpp
