// executable.cc -- compiled programs on a CUDA device, and the arrays that live there.
//
// Everything is enqueued on the device's compute stream and returns before it has run; copies from and to the host go
// through the copy stream, ordered by events.  What the device has no form for runs on the host between two copies.
#include <cstring>
#include <mutex>
#include "backends/cuda/codegen.h"
#include "backends/cuda/cuda.h"
#include "backends/loops/interpret.h"
#include "backends/loops/loops.h"
#include "backends/loops/outputs.h"
#include "backends/passes/passes.h"
#include "jaxpp/core/profile.h"

namespace jaxpp::cuda {
namespace {

using namespace internal;
using profile::Slice;

// ---- Devices: found once, kept until the end of the process
struct Runtime {
  Device device;
  std::shared_ptr<Driver> driver;
  std::recursive_mutex
      mutex;  // of one program's enqueuing; a host callback in it may run another program
};

struct Found {
  std::vector<std::unique_ptr<Runtime>> runtimes;
  std::string why_none;
  std::vector<Device> devices() const {
    std::vector<Device> d;
    for (auto& r : runtimes) d.push_back(r->device);
    return d;
  }
  void add(Device d, std::shared_ptr<Driver> driver) {
    if (!driver) return;
    runtimes.push_back(std::make_unique<Runtime>());
    runtimes.back()->device = d;
    runtimes.back()->driver = std::move(driver);
  }
};
const Found& real_devices() {
  static const Found& f = *[] {
    auto* all = new Found;
    for (int i = 0, n = real_device_count(&all->why_none); i < n; ++i)
      all->add({Device::Platform::cuda, i}, real_driver(i, &all->why_none));
    return all;
  }();
  return f;
}
const Found& emulated_devices() {
  static const Found& f = *[] {
    auto* all = new Found;
    all->add({Device::Platform::cuda_emu, 0}, emulated_driver(&all->why_none));
    return all;
  }();
  return f;
}
const Found& found(Device::Platform p) {
  return p == Device::Platform::cuda ? real_devices() : emulated_devices();
}
Runtime& runtime(Device d) {
  const Found& f = found(d.platform);
  if (d.index < 0 || std::size_t(d.index) >= f.runtimes.size())
    throw DeviceError(to_string(d) + ": there is no such device.  " + f.why_none + "  [E98]");
  return *f.runtimes[std::size_t(d.index)];
}

// ---- Memory
std::size_t bytes(Type t) { return std::size_t(t->size) * width(t->dtype); }
std::size_t bytes(const loops::Buffer& b) { return std::size_t(b.size) * width(b.dtype); }

// What an Array of Storage::device owns.
struct DeviceBuffer {
  Runtime& runtime;
  Address address;
  std::mutex mutex;  // of the mirror
  std::vector<std::byte> mirror;
  explicit DeviceBuffer(Runtime& r, std::size_t n)
      : runtime(r), address(r.driver->allocate(n ? n : 1)) {}
  ~DeviceBuffer() { runtime.driver->free(address); }
};
DeviceBuffer& buffer_of(const Node* n) { return *static_cast<DeviceBuffer*>(n->external.owner); }

Array make_on(Runtime& r, Type t) {
  auto buffer = std::make_unique<DeviceBuffer>(r, bytes(t));
  Node* n = node_new(t, 0);
  n->index = std::uint32_t(Storage::device);
  n->data = nullptr;
  n->external = {buffer.release(), [](void* b) { delete static_cast<DeviceBuffer*>(b); }};
  return Array::adopt(n);
}

// Later work of `second` comes after what `first` was given so far.
void order(Driver& d, Stream first, Stream second) {
  const Event e = d.record(first);
  d.wait(second, e);
  d.release(e);
}
void upload(Runtime& r, Address to, const void* from, std::size_t n) {
  if (!n) return;
  order(*r.driver, Stream::compute, Stream::copy);  // whose memory this was until now
  r.driver->copy_in(to, from, n, Stream::copy);
  order(*r.driver, Stream::copy, Stream::compute);
}
void download(Runtime& r, void* to, Address from, std::size_t n) {
  if (!n) return;
  Driver& d = *r.driver;
  order(d, Stream::compute, Stream::copy);
  d.copy_out(to, from, n, Stream::copy);
  const Event done = d.record(Stream::copy);
  d.synchronize(done);
  d.release(done);
}

// ---- Programs
class CudaExecutable final : public Executable {
 public:
  CudaExecutable(JaxprPtr j, Runtime& r);
  ~CudaExecutable() override {
    for (Address a : constants_) runtime_.driver->free(a);
    if (module_) runtime_.driver->unload(module_);
  }
  void run(std::span<Array> in, Array* out, bool donate) const override;
  std::string loops() const override { return print(code_.program); }
  std::string cuda() const override { return code_.source; }
  MemoryUse memory() const override {
    const loops::Memory m = loops::memory(code_.program);
    return {m.arguments, m.outputs, m.constants, m.arena};
  }
  CostEstimate cost() const override;

 private:
  struct Frame;  // of one run: where every buffer is
  void run_on_host(const Step&, const Frame&) const;
  loops::Program on_host(std::size_t node) const;

  Runtime& runtime_;
  JaxprPtr jaxpr_;
  JaxprBody body_;
  loops::Outputs outputs_;
  Code code_;
  Module module_ = nullptr;
  std::vector<Function> functions_;                        // by step; null for other steps
  std::vector<std::unique_ptr<loops::Interpreter>> host_;  // by step
  std::vector<std::vector<int>>
      host_buffers_;                // by step: what the node touches, in its program's order
  std::vector<Address> constants_;  // owned
  std::vector<Type> types_;
};

CudaExecutable::CudaExecutable(JaxprPtr j, Runtime& r)
    : runtime_(r), jaxpr_(std::move(j)), outputs_(*jaxpr_, body_) {
  Slice slice("compile", "compile for " + to_string(r.device));
  std::lock_guard lock(r.mutex);
  types_ = body_.out_types();
  {
    Slice build("build", "build");
    code_ = generate(loops::build(body_), r.driver->multiprocessors());
  }
  if (!code_.source.empty()) {
    Slice compile("compile", "CUDA C++");
    module_ = r.driver->load(*r.driver->compile(code_.source));
  }
  functions_.resize(code_.steps.size());
  host_.resize(code_.steps.size());
  host_buffers_.resize(code_.steps.size());
  for (std::size_t i = 0; i < code_.steps.size(); ++i) {
    const Step& s = code_.steps[i];
    if (s.kind == Step::Kind::kernel) functions_[i] = r.driver->function(module_, s.name.c_str());
    if (s.kind == Step::Kind::host) {
      loops::Program p = on_host(s.node);
      for (const loops::Buffer& b : p.buffers)
        if (b.role == loops::Buffer::Role::output) host_buffers_[i].push_back(b.donor);
      for (loops::Buffer& b : p.buffers) b.donor = -1;
      host_[i] = std::make_unique<loops::Interpreter>(std::move(p));
    }
  }
  for (const loops::Buffer& b : code_.program.buffers)
    if (b.role == loops::Buffer::Role::constant) {
      constants_.push_back(r.driver->allocate(std::max<std::size_t>(bytes(b), 1)));
      upload(r, constants_.back(), b.value.data<char>(), bytes(b));
    }
}

// One top-level node as a program whose outputs are the buffers it touches; donor: which buffer of the whole that is.
loops::Program CudaExecutable::on_host(std::size_t node) const {
  loops::Program p;
  p.next_sym = code_.program.next_sym;
  p.buffers = code_.program.buffers;
  p.body.push_back(code_.program.body[node]);
  std::vector<char> touched(p.buffers.size());
  loops::each_node(p.body, [&](const loops::Node& n) {
    if (auto* l = n.as<loops::Load>()) touched[std::size_t(l->buffer)] = 1;
    if (auto* s = n.as<loops::Store>()) touched[std::size_t(s->buffer)] = 1;
    if (auto* c = n.as<loops::Call>()) {
      for (auto& o : c->in) touched[std::size_t(o.buffer)] = 1;
      for (auto& o : c->out) touched[std::size_t(o.buffer)] = 1;
    }
  });
  for (std::size_t b = 0; b < p.buffers.size(); ++b) {
    loops::Buffer& q = p.buffers[b];
    if (q.role == loops::Buffer::Role::local && q.scope != loops::kNone) continue;
    if (q.role == loops::Buffer::Role::constant) continue;  // the interpreter has its value
    if (!touched[b]) {
      q = {};
      q.role = loops::Buffer::Role::temp;  // of size 0
      continue;
    }
    q.role = loops::Buffer::Role::output;
    q.index = p.outputs++;
    q.offset = -1;
    q.donor = int(b);
  }
  p.inputs = p.outputs;  // what it touches may hold something already: the same memory goes in
  return p;
}

struct CudaExecutable::Frame {
  std::vector<Address> address;  // of every buffer that has memory
  std::vector<Array> uploaded;   // inputs that were on the host
  Array arena;
};

void CudaExecutable::run_on_host(const Step& s, const Frame& f) const {
  const std::size_t step = std::size_t(&s - code_.steps.data());
  const auto& touched = host_buffers_[step];
  Slice slice("run", "host: " + s.why);
  std::vector<std::vector<std::byte>> memory;
  std::vector<void*> to;
  for (int b : touched) {
    auto& q = code_.program.buffers[std::size_t(b)];
    memory.emplace_back(bytes(q) + 64);
    void* at = memory.back().data();
    std::size_t room = memory.back().size();
    to.push_back(std::align(64, bytes(q), at, room));
    download(runtime_, to.back(), f.address[std::size_t(b)], bytes(q));
  }
  const std::vector<const void*> from(to.begin(), to.end());
  host_[step]->run(from, {to.data(), to.size()});
  for (std::size_t i = 0; i < touched.size(); ++i) {
    auto& q = code_.program.buffers[std::size_t(touched[i])];
    if (q.role == loops::Buffer::Role::input) continue;
    upload(runtime_, f.address[std::size_t(touched[i])], to[i], bytes(q));
  }
}

void CudaExecutable::run(std::span<Array> in, Array* out, bool donate) const {
  Slice slice("run", to_string(runtime_.device));
  std::lock_guard lock(runtime_.mutex);
  Driver& driver = *runtime_.driver;
  Frame f;
  f.address.resize(code_.program.buffers.size());
  Results computed(types_.size());
  if (code_.program.arena) f.arena = make_on(runtime_, make_type(DType::u8, {code_.program.arena}));
  // Inputs: where they are, or copied.
  std::vector<Address> input(in.size());
  std::vector<char> mine(in.size());  // nobody else can see this memory
  for (std::size_t i = 0; i < in.size(); ++i) {
    const Array& a = in[i];
    if (a.on_device() && &buffer_of(a.node()).runtime == &runtime_) {
      mine[i] = donate && a.node()->refs.load(std::memory_order_acquire) == 1;
    } else {
      f.uploaded.push_back(make_on(runtime_, a.type()));
      upload(runtime_, buffer_of(f.uploaded.back().node()).address, a.data<char>(),
             bytes(a.type()));
      input[i] = buffer_of(f.uploaded.back().node()).address;
      continue;
    }
    input[i] = buffer_of(a.node()).address;
  }
  std::size_t constant = 0;
  for (std::size_t b = 0; b < code_.program.buffers.size(); ++b) {
    const loops::Buffer& q = code_.program.buffers[b];
    switch (q.role) {
      case loops::Buffer::Role::input: f.address[b] = input[std::size_t(q.index)]; break;
      case loops::Buffer::Role::constant: f.address[b] = constants_[constant++]; break;
      case loops::Buffer::Role::temp:
        if (q.offset >= 0) f.address[b] = buffer_of(f.arena.node()).address + Address(q.offset);
        break;
      case loops::Buffer::Role::output: {
        Array& y = computed[std::size_t(q.index)];
        const Type t = types_[std::size_t(q.index)];
        const auto donor = std::size_t(q.donor);
        if (q.donor >= 0 && mine[donor] && in[donor].type() == t &&
            !outputs_.hands_through(donor)) {
          y = std::move(in[donor]);
          std::lock_guard mirror(buffer_of(y.node()).mutex);
          buffer_of(y.node()).mirror.clear();  // of the old elements
          std::atomic_ref<void*>(y.node()->data).store(nullptr);
        } else {
          y = make_on(runtime_, t);
        }
        f.address[b] = buffer_of(y.node()).address;
        break;
      }
      case loops::Buffer::Role::local: break;
    }
  }
  for (std::size_t i = 0; i < code_.steps.size(); ++i) {
    const Step& s = code_.steps[i];
    auto at = [&](const Step::Place& p) {
      return f.address[std::size_t(p.buffer)] +
             Address(p.at) * width(code_.program.buffers[std::size_t(p.buffer)].dtype);
    };
    switch (s.kind) {
      case Step::Kind::kernel: {
        SmallVec<void*, 16> args;
        for (int b : s.buffers) args.push_back(&f.address[std::size_t(b)]);
        driver.launch(functions_[i], s.grid, s.block, s.shared_bytes, {args.data(), args.size()},
                      Stream::compute);
        break;
      }
      case Step::Kind::gemm: driver.gemm(s.gemm, at(s.a), at(s.b), at(s.c), Stream::compute); break;
      case Step::Kind::host: run_on_host(s, f); break;
    }
  }
  outputs_.assemble(in, {computed.data(), computed.size()}, out);
}

CostEstimate CudaExecutable::cost() const {
  const loops::Cost c = loops::cost(code_.program);
  CostEstimate e{.flops = c.flops,
                 .transcendentals = c.transcendentals,
                 .bytes_read = c.bytes_read,
                 .bytes_written = c.bytes_written,
                 .loops = c.loops,
                 .calls = c.calls,
                 .kernels = 0,
                 .fallbacks = {}};
  for (const Step& s : code_.steps) {
    e.kernels += s.kind != Step::Kind::host;
    if (s.kind == Step::Kind::host) e.fallbacks.push_back(s.why);
  }
  return e;
}

}  // namespace

std::vector<Device> devices(Device::Platform p, std::string* why_none) {
  const Found& f = found(p);
  if (why_none) *why_none = f.why_none;
  return f.devices();
}
std::shared_ptr<const Executable> compile(const JaxprBody& j, Device d) {
  JaxprPtr better = [&] {
    Slice slice("passes", "optimize");
    return passes::optimize(j);
  }();
  return std::make_shared<CudaExecutable>(std::move(better), runtime(d));
}
Array to_device(const Array& host, Device d) {
  Runtime& r = runtime(d);
  Array y = make_on(r, host.type());
  upload(r, buffer_of(y.node()).address, host.data<char>(), bytes(host.type()));
  return y;
}
Device device_of(const Node* n) { return buffer_of(n).runtime.device; }
void fetch(Node* n) {
  DeviceBuffer& b = buffer_of(n);
  std::lock_guard lock(b.mutex);
  std::atomic_ref<void*> data(n->data);
  if (data.load(std::memory_order_relaxed)) return;
  b.mirror.resize(std::max<std::size_t>(bytes(n->type), 1));
  download(b.runtime, b.mirror.data(), b.address, bytes(n->type));
  data.store(b.mirror.data(), std::memory_order_release);
}
void wait(const Node* n) {
  Driver& d = *buffer_of(n).runtime.driver;
  const Event e = d.record(Stream::compute);
  d.synchronize(e);
  d.release(e);
}

}  // namespace jaxpp::cuda
