// dnn.cc -- finds oneDNN, and calls it through its C interface and declarations of our own.
//
// Versions 2 and 3 differ in how descriptions are made: version 2 fills structures that the caller owns, version 3 returns
// pointers.  Here they are bytes that nobody looks into, or those pointers.
//
// Activations whose channels lie side by side are used where they lie; of others, and of weights, the library chooses the
// format.  Making a primitive costs about 0.2 ms (it compiles), so they are kept.
#include "backends/host/dnn.h"
#include <dlfcn.h>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <new>
#include <tuple>
#include <type_traits>
#include "jaxpp/core/error.h"

namespace jaxpp::host {
namespace {

// ---- What is used of dnnl_types.h; the numbers are the same in versions 2 and 3
using Status = int;
using Dim = std::int64_t;
using Handle = void*;             // of an engine, a primitive and so on
using Description = const void*;  // of memory
struct Argument {
  int role;
  Handle memory;
};
struct Version {
  int major, minor, patch;
  const char* hash;
  unsigned cpu_runtime, gpu_runtime;
};
enum : int {
  kOutOfMemory = 1,
  kCpu = 1,
  kF32 = 3,
  kAnyFormat = 1,
  kForward = 64,  // forward_training
  kDirect = 1,    // convolution_direct
  kInOrder = 1,   // stream_default_flags
  kUserScratchpad = 1,
  kQueryImplementation = 8,
  kQuerySrc = 129,
  kQueryWeights = 131,
  kQueryDst = 133,
  kQueryScratchpad = 136,
  kArgSrc = 1,
  kArgDst = 17,
  kArgWeights = 33,
  kArgScratchpad = 80
};
enum : unsigned { kSequential = 1, kOpenMp = 2 };
constexpr std::size_t kMemoryDescriptionBytes = 696, kConvolutionDescriptionBytes = 5976;  // of 2
constexpr int kMostDims = 12;

// The functions: F(name of dnnl_..., its type).
#define JAXPP_DNN_BOTH(F)                                                  \
  F(version, const Version* (*)())                                         \
  F(engine_create, Status (*)(Handle*, int, std::size_t))                  \
  F(stream_create, Status (*)(Handle*, Handle, unsigned))                  \
  F(stream_destroy, Status (*)(Handle))                                    \
  F(memory_create, Status (*)(Handle*, Description, Handle, void*))        \
  F(memory_destroy, Status (*)(Handle))                                    \
  F(memory_desc_equal, int (*)(Description, Description))                  \
  F(memory_desc_get_size, std::size_t (*)(Description))                    \
  F(primitive_attr_create, Status (*)(Handle*))                            \
  F(primitive_attr_set_scratchpad_mode, Status (*)(Handle, int))           \
  F(primitive_desc_query, Status (*)(Handle, int, int, void*))             \
  F(primitive_desc_query_md, Description (*)(Handle, int, int))            \
  F(primitive_desc_destroy, Status (*)(Handle))                            \
  F(reorder_primitive_desc_create,                                         \
    Status (*)(Handle*, Description, Handle, Description, Handle, Handle)) \
  F(primitive_create, Status (*)(Handle*, Handle))                         \
  F(primitive_destroy, Status (*)(Handle))                                 \
  F(primitive_execute, Status (*)(Handle, Handle, int, const Argument*))
#define JAXPP_DNN_2(F)                                                                          \
  F(memory_desc_init_by_strides, Status (*)(void*, int, const Dim*, int, const Dim*))           \
  F(memory_desc_init_by_tag, Status (*)(void*, int, const Dim*, int, int))                      \
  F(dilated_convolution_forward_desc_init,                                                      \
    Status (*)(void*, int, int, Description, Description, Description, Description, const Dim*, \
               const Dim*, const Dim*, const Dim*))                                             \
  F(dilated_convolution_backward_data_desc_init,                                                \
    Status (*)(void*, int, Description, Description, Description, const Dim*, const Dim*,       \
               const Dim*, const Dim*))                                                         \
  F(dilated_convolution_backward_weights_desc_init,                                             \
    Status (*)(void*, int, Description, Description, Description, Description, const Dim*,      \
               const Dim*, const Dim*, const Dim*))                                             \
  F(primitive_desc_create, Status (*)(Handle*, const void*, Handle, Handle, Handle))
#define JAXPP_DNN_3(F)                                                                        \
  F(memory_desc_create_with_strides, Status (*)(void**, int, const Dim*, int, const Dim*))    \
  F(memory_desc_create_with_tag, Status (*)(void**, int, const Dim*, int, int))               \
  F(memory_desc_destroy, Status (*)(void*))                                                   \
  F(convolution_forward_primitive_desc_create,                                                \
    Status (*)(Handle*, Handle, int, int, Description, Description, Description, Description, \
               const Dim*, const Dim*, const Dim*, const Dim*, Handle))                       \
  F(convolution_backward_data_primitive_desc_create,                                          \
    Status (*)(Handle*, Handle, int, Description, Description, Description, const Dim*,       \
               const Dim*, const Dim*, const Dim*, Handle, Handle))                           \
  F(convolution_backward_weights_primitive_desc_create,                                       \
    Status (*)(Handle*, Handle, int, Description, Description, Description, Description,      \
               const Dim*, const Dim*, const Dim*, const Dim*, Handle, Handle))
struct Library {
#define JAXPP_DNN_MEMBER(name, ...) std::type_identity_t<__VA_ARGS__> name = nullptr;
  JAXPP_DNN_BOTH(JAXPP_DNN_MEMBER)
  JAXPP_DNN_2(JAXPP_DNN_MEMBER)
  JAXPP_DNN_3(JAXPP_DNN_MEMBER)
#undef JAXPP_DNN_MEMBER
  int (*omp_get_max_threads)() = nullptr;
  void (*omp_set_num_threads)(int) = nullptr;

  void* file = nullptr;
  bool usable = false;
  int major = 0;
  std::string words;
  Handle engine = nullptr, attributes = nullptr;

  Library() {
    const char* named = std::getenv("JAXPP_DNN");
    if (named && !*named) named = nullptr;
    if (named && std::strcmp(named, "0") == 0) {
      words = "im2col: JAXPP_DNN=0";
      return;
    }
    std::string wrong;
    for (const char* path : {"libdnnl.so.3", "libdnnl.so.2"}) {
      if (named) path = named;
      wrong = open(path);
      usable = wrong.empty();
      if (usable || named) break;
    }
    if (!usable && named)
      throw Error("JAXPP_DNN: " + wrong +
                  ".  [E58]  Name a shared library of oneDNN 2 or 3 that runs on OpenMP or on one "
                  "thread, or 0 for none.");
    if (!usable)
      words =
          "im2col: " + wrong + ".  Convolutions of f32 are slower; Debian's package is libdnnl2";
  }
  // What is wrong with it, if anything.
  std::string open(const char* path) {
    file = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!file) {
      const char* why = dlerror();
      return why ? why : path;
    }
    bool both = true, second = true, third = true;
#define JAXPP_DNN_FIND(name, ...) found &= symbol(name, "dnnl_" #name);
    {
      bool& found = both;
      JAXPP_DNN_BOTH(JAXPP_DNN_FIND)
    }
    {
      bool& found = second;
      JAXPP_DNN_2(JAXPP_DNN_FIND)
    }
    {
      bool& found = third;
      JAXPP_DNN_3(JAXPP_DNN_FIND)
    }
#undef JAXPP_DNN_FIND
    if (!both) return std::string(path) + " is no oneDNN";
    const Version& v = *version();
    major = v.major;
    if (!(major == 2 && second) && !(major == 3 && third))
      return std::string(path) + " is neither oneDNN 2 nor 3";
    const bool openmp =
        v.cpu_runtime == kOpenMp && symbol(omp_get_max_threads, "omp_get_max_threads") &
                                        symbol(omp_set_num_threads, "omp_set_num_threads");
    if (!openmp && v.cpu_runtime != kSequential)
      return std::string(path) + " cannot be told to use one thread";
    if (engine_create(&engine, kCpu, 0) || primitive_attr_create(&attributes) ||
        primitive_attr_set_scratchpad_mode(attributes, kUserScratchpad))
      return std::string(path) + " does not start";
    words = "oneDNN " + std::to_string(v.major) + "." + std::to_string(v.minor) + "." +
            std::to_string(v.patch) + " (" + path + ")";
    return "";
  }
  // Of the file, or of a library that it needs.
  template <class F>
  bool symbol(F& f, const char* name) {
    return (f = reinterpret_cast<F>(dlsym(file, name))) != nullptr;
  }
};
#undef JAXPP_DNN_BOTH
#undef JAXPP_DNN_2
#undef JAXPP_DNN_3

const Library& library() {
  static const Library& found = *new Library;  // never closed: threads may be in it at exit
  return found;
}
std::atomic<bool> wanted{true};

// For its scope this thread, and no other, has no workers of OpenMP.
class OneThread {
 public:
  OneThread() {
    if (!library().omp_set_num_threads) return;
    before_ = library().omp_get_max_threads();
    library().omp_set_num_threads(1);
  }
  OneThread(const OneThread&) = delete;
  ~OneThread() {
    if (library().omp_set_num_threads) library().omp_set_num_threads(before_);
  }

 private:
  int before_ = 1;
};
void check(Status s) {
  if (s == kOutOfMemory) throw std::bad_alloc();
  if (s)
    throw Error("conv_general_dilated: oneDNN failed with status " + std::to_string(s) +
                ".  [E58]");
}

// Zeros, as aligned as anything of C.
std::unique_ptr<std::max_align_t[]> bytes(std::size_t n) {
  return std::unique_ptr<std::max_align_t[]>(
      new std::max_align_t[n / sizeof(std::max_align_t) + 1]());
}

/// A description of memory; one without strides leaves the format to the library.
class Memory {
 public:
  Memory(const std::vector<Dim>& dims, const std::vector<Dim>* strides) {
    const Library& l = library();
    const int rank = int(dims.size());
    Status s;
    if (l.major == 2) {
      bytes_ = bytes(kMemoryDescriptionBytes);
      s = strides ? l.memory_desc_init_by_strides(bytes_.get(), rank, dims.data(), kF32,
                                                  strides->data())
                  : l.memory_desc_init_by_tag(bytes_.get(), rank, dims.data(), kF32, kAnyFormat);
    } else {
      s = strides ? l.memory_desc_create_with_strides(&pointer_, rank, dims.data(), kF32,
                                                      strides->data())
                  : l.memory_desc_create_with_tag(&pointer_, rank, dims.data(), kF32, kAnyFormat);
    }
    check(s);
  }
  Memory(const Memory&) = delete;
  ~Memory() {
    if (pointer_) library().memory_desc_destroy(pointer_);
  }
  Description get() const { return pointer_ ? pointer_ : bytes_.get(); }

 private:
  std::unique_ptr<std::max_align_t[]> bytes_;
  void* pointer_ = nullptr;
};

/// A primitive and its description.
struct Primitive {
  Handle description = nullptr, primitive = nullptr;

  Primitive() = default;
  Primitive(const Primitive&) = delete;
  ~Primitive() {
    if (primitive) library().primitive_destroy(primitive);
    if (description) library().primitive_desc_destroy(description);
  }
  void create() { check(library().primitive_create(&primitive, description)); }
  Description format(int query) const {
    return library().primitive_desc_query_md(description, query, 0);
  }
  std::size_t scratch() const {
    const Description d = format(kQueryScratchpad);
    return d ? library().memory_desc_get_size(d) : 0;
  }
  // Matrix products over im2col, and the loops of the reference, are no better than ours.
  bool is_vector_code() const {
    const char* name = nullptr;
    if (library().primitive_desc_query(description, kQueryImplementation, 0, &name) || !name)
      return false;
    return !std::strstr(name, "gemm") && !std::strstr(name, "ref");
  }
};

/// Runs a primitive: roles, descriptions and elements of its operands.
class Run {
 public:
  Run() { check(library().stream_create(&stream_, library().engine, kInOrder)); }
  Run(const Run&) = delete;
  ~Run() {
    for (int i = 0; i < count_; ++i) library().memory_destroy(arguments_[i].memory);
    library().stream_destroy(stream_);
  }
  void add(int role, Description d, const void* elements) {
    if (!d || !library().memory_desc_get_size(d)) return;
    Argument& a = arguments_[count_];
    a.role = role;
    check(library().memory_create(&a.memory, d, library().engine, const_cast<void*>(elements)));
    ++count_;
  }
  void operator()(const Primitive& p) {
    check(library().primitive_execute(p.primitive, stream_, count_, arguments_));
  }

 private:
  Handle stream_ = nullptr;
  Argument arguments_[4] = {};
  int count_ = 0;
};

ConvRole result_of(ConvKind k) {
  return k == ConvKind::forward ? ConvRole::dst
         : k == ConvKind::data  ? ConvRole::src
                                : ConvRole::weights;
}
bool channels_last(const ConvTensor& t) {
  Dim next = 1;
  auto follows = [&](std::size_t d) {
    const bool yes = t.dims[d] == 1 || t.strides[d] == next;
    next *= t.dims[d];
    return yes;
  };
  bool yes = follows(1);
  for (std::size_t d = t.dims.size(); yes && d-- > 2;) yes = follows(d);
  return yes && follows(0);
}
// With strides as the library expects them of dimensions of size 1.
std::vector<Dim> channels_last_strides(const std::vector<Dim>& dims) {
  std::vector<Dim> strides(dims.size(), 1);
  Dim next = dims[1];
  for (std::size_t d = dims.size(); d-- > 2; next *= dims[d]) strides[d] = next;
  strides[0] = next;
  return strides;
}
ConvTensor normal(ConvTensor t, ConvRole role) {
  if (role != ConvRole::weights && channels_last(t)) t.strides = channels_last_strides(t.dims);
  return t;
}

}  // namespace

struct DnnConvolution::Impl {
  struct Tensor {
    int role = 0;   // DNN_ARG_...
    int query = 0;  // what asks for its format
    std::unique_ptr<Memory> user;
    Primitive to, from;  // changes of format, if they differ
    bool packed = false;
  };
  Tensor tensors[3];
  // The library chooses derivatives with the forward convolution in view.
  Primitive hint, convolution;

  // False if the library has nothing good.
  bool make(const ConvProblem& p) {
    Formats f;
    choose_formats(p, f);
    if (!(library().major == 2 ? create_2(p, f) : create_3(p, f)) || !convolution.is_vector_code())
      return false;
    convolution.create();
    create_changes(result_of(p.kind));
    return true;
  }
  // What the library is asked for.
  struct Formats {
    std::unique_ptr<Memory> own[3];
    Description get(ConvRole r) const { return own[int(r)]->get(); }
  };
  void choose_formats(const ConvProblem& p, Formats& f) {
    // One with channels side by side: the other as well.
    const bool last = channels_last(p[ConvRole::src]) || channels_last(p[ConvRole::dst]);
    for (ConvRole r : {ConvRole::src, ConvRole::weights, ConvRole::dst}) {
      Tensor& mine = tensors[int(r)];
      const ConvTensor t = normal(p[r], r);
      const std::vector<Dim> strides = channels_last_strides(t.dims);
      mine.user = std::make_unique<Memory>(t.dims, &t.strides);
      f.own[int(r)] =
          std::make_unique<Memory>(t.dims, last && r != ConvRole::weights ? &strides : nullptr);
      // Numbers of a derivative: 128 more as an argument, one more as a query.
      constexpr int roles[] = {kArgSrc, kArgWeights, kArgDst},
                    queries[] = {kQuerySrc, kQueryWeights, kQueryDst};
      const bool derivative =
          p.kind != ConvKind::forward && (r == ConvRole::dst || r == result_of(p.kind));
      mine.role = roles[int(r)] + (derivative ? 128 : 0);
      mine.query = queries[int(r)] + (derivative ? 1 : 0);
    }
  }
  // The library counts what a dilation leaves out.
  static std::vector<Dim> left_out(std::vector<Dim> dilation) {
    for (Dim& d : dilation) --d;
    return dilation;
  }
  bool create_2(const ConvProblem& p, const Formats& f) {
    const Library& l = library();
    const std::vector<Dim> dilation = left_out(p.dilation);
    const Dim *by = p.stride.data(), *apart = dilation.data(), *low = p.low.data(),
              *high = p.high.data();
    const Description src = f.get(ConvRole::src), weights = f.get(ConvRole::weights),
                      dst = f.get(ConvRole::dst);
    const auto d = bytes(kConvolutionDescriptionBytes);
    const auto create = [&](Status described, Primitive& to, Handle forward) {
      return !described &&
             !l.primitive_desc_create(&to.description, d.get(), l.attributes, l.engine, forward);
    };
    if (!create(l.dilated_convolution_forward_desc_init(d.get(), kForward, kDirect, src, weights,
                                                        nullptr, dst, by, apart, low, high),
                p.kind == ConvKind::forward ? convolution : hint, nullptr))
      return false;
    if (p.kind == ConvKind::data)
      return create(l.dilated_convolution_backward_data_desc_init(d.get(), kDirect, src, weights,
                                                                  dst, by, apart, low, high),
                    convolution, hint.description);
    return p.kind == ConvKind::forward ||
           create(l.dilated_convolution_backward_weights_desc_init(
                      d.get(), kDirect, src, weights, nullptr, dst, by, apart, low, high),
                  convolution, hint.description);
  }
  bool create_3(const ConvProblem& p, const Formats& f) {
    const Library& l = library();
    const std::vector<Dim> dilation = left_out(p.dilation);
    const Dim *by = p.stride.data(), *apart = dilation.data(), *low = p.low.data(),
              *high = p.high.data();
    const Description src = f.get(ConvRole::src), weights = f.get(ConvRole::weights),
                      dst = f.get(ConvRole::dst);
    Primitive& forward = p.kind == ConvKind::forward ? convolution : hint;
    if (l.convolution_forward_primitive_desc_create(&forward.description, l.engine, kForward,
                                                    kDirect, src, weights, nullptr, dst, by, apart,
                                                    low, high, l.attributes))
      return false;
    if (p.kind == ConvKind::data)
      return !l.convolution_backward_data_primitive_desc_create(
          &convolution.description, l.engine, kDirect, src, weights, dst, by, apart, low, high,
          hint.description, l.attributes);
    return p.kind == ConvKind::forward ||
           !l.convolution_backward_weights_primitive_desc_create(
               &convolution.description, l.engine, kDirect, src, weights, nullptr, dst, by, apart,
               low, high, hint.description, l.attributes);
  }
  // Between the formats of the library and those of the user.
  void create_changes(ConvRole result) {
    const Library& l = library();
    for (int i = 0; i < 3; ++i) {
      Tensor& t = tensors[i];
      const Description own = convolution.format(t.query), user = t.user->get();
      t.packed = !l.memory_desc_equal(own, user);
      if (!t.packed) continue;
      const bool back = ConvRole(i) == result;
      Primitive& change = back ? t.from : t.to;
      check(l.reorder_primitive_desc_create(&change.description, back ? own : user, l.engine,
                                            back ? user : own, l.engine, l.attributes));
      change.create();
    }
  }
  void change(const Primitive& p, Description from, const float* x, Description to,
              float* y) const {
    const OneThread one;
    const auto scratch = bytes(p.scratch());
    Run run;
    run.add(kArgSrc, from, x);
    run.add(kArgDst, to, y);
    run.add(kArgScratchpad, p.format(kQueryScratchpad), scratch.get());
    run(p);
  }
};

DnnConvolution::DnnConvolution(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DnnConvolution::~DnnConvolution() = default;

std::size_t DnnConvolution::packed_bytes(ConvRole role) const {
  const Impl::Tensor& t = impl_->tensors[int(role)];
  return t.packed ? library().memory_desc_get_size(impl_->convolution.format(t.query)) : 0;
}
bool DnnConvolution::same_format(ConvRole role, const DnnConvolution& other) const {
  auto format = [role](const Impl& x) { return x.convolution.format(x.tensors[int(role)].query); };
  return library().memory_desc_equal(format(*impl_), format(*other.impl_));
}
void DnnConvolution::pack(ConvRole role, const float* from, float* to) const {
  const Impl::Tensor& t = impl_->tensors[int(role)];
  impl_->change(t.to, t.user->get(), from, impl_->convolution.format(t.query), to);
}
void DnnConvolution::unpack(ConvRole role, const float* from, float* to) const {
  const Impl::Tensor& t = impl_->tensors[int(role)];
  impl_->change(t.from, impl_->convolution.format(t.query), from, t.user->get(), to);
}
std::size_t DnnConvolution::scratch_bytes() const { return impl_->convolution.scratch(); }
void DnnConvolution::run(const float* src, const float* weights, const float* dst,
                         void* scratch) const {
  const OneThread one;
  Run run;
  const float* elements[] = {src, weights, dst};
  for (int i = 0; i < 3; ++i)
    run.add(impl_->tensors[i].role, impl_->convolution.format(impl_->tensors[i].query),
            elements[i]);
  run.add(kArgScratchpad, impl_->convolution.format(kQueryScratchpad), scratch);
  run(impl_->convolution);
}

// ---- Those that were made, the last used first
namespace {
using Key = std::tuple<ConvKind, std::array<ConvTensor, 3>, std::vector<Dim>, std::vector<Dim>,
                       std::vector<Dim>, std::vector<Dim>>;
struct Made {
  Key key;
  std::shared_ptr<const DnnConvolution> convolution;
};
constexpr std::size_t kMostMade = 512;
}  // namespace

std::shared_ptr<const DnnConvolution> DnnConvolution::find(const ConvProblem& p) {
  static std::mutex& mutex = *new std::mutex;
  static std::list<Made>& made = *new std::list<Made>;
  static std::map<Key, std::list<Made>::iterator>& index =
      *new std::map<Key, std::list<Made>::iterator>;
  if (!wanted.load(std::memory_order_relaxed) || !library().usable) return nullptr;
  if (p[ConvRole::src].dims.size() > 5 || p[ConvRole::weights].dims.size() > kMostDims)
    return nullptr;
  Key key{p.kind, p.tensors, p.stride, p.dilation, p.low, p.high};
  for (std::size_t i = 0; i < 3; ++i) std::get<1>(key)[i] = normal(p.tensors[i], ConvRole(i));
  const std::lock_guard lock(mutex);
  if (auto at = index.find(key); at != index.end()) {
    made.splice(made.begin(), made, at->second);
    return made.front().convolution;
  }
  const OneThread one;
  auto impl = std::make_unique<Impl>();
  std::shared_ptr<const DnnConvolution> c;
  try {
    if (impl->make(p)) c.reset(new DnnConvolution(std::move(impl)));
  } catch (const Error&) {
    // What it refuses to prepare is computed without it.
  }
  made.push_front({key, c});
  index[key] = made.begin();
  if (made.size() > kMostMade) {
    index.erase(made.back().key);
    made.pop_back();
  }
  return c;
}

std::string dnn_library() { return library().words; }
bool use_dnn(bool on) { return wanted.exchange(on); }

}  // namespace jaxpp::host
