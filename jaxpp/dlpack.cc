// dlpack.cc -- tensors of DLPack: a context that owns a share of the array's memory on the way out, a view that owns the
// tensor on the way in.
#include "jaxpp/dlpack.h"
#include <memory>
#include "jaxpp/dlpack_abi.h"
#include "jaxpp/io_internal.h"

namespace jaxpp {
using namespace internal;
namespace {

DLDataType dlpack_type(DType d) {
  const int code = is_bool(d)       ? kDLBool
                   : is_signed(d)   ? kDLInt
                   : is_unsigned(d) ? kDLUInt
                   : is_complex(d)  ? kDLComplex
                   : d == bf16      ? kDLBfloat
                                    : kDLFloat;
  return {std::uint8_t(code), std::uint8_t(8 * width(d)), 1};
}

// ---- Out
template <class Managed>
struct Export {
  Managed tensor{};
  Array array;  // keeps the elements
  std::vector<std::int64_t> shape, strides;
};
template <class Managed>
Managed* exported(const Array& x, Loc loc) {
  check_written("to_dlpack", "", x, loc);
  auto e = std::make_unique<Export<Managed>>();
  e->array = x;
  e->shape.assign(x.shape().begin(), x.shape().end());
  e->strides.assign(e->shape.size(), 1);  // never null: 1.2 wants them
  for (std::size_t i = e->shape.size(); i-- > 1;) e->strides[i - 1] = e->strides[i] * e->shape[i];
  e->tensor.dl_tensor = {.data = x.data<void>(),
                         .device = {kDLCPU, 0},
                         .ndim = x.ndim(),
                         .dtype = dlpack_type(x.dtype()),
                         .shape = e->shape.data(),
                         .strides = e->strides.data(),
                         .byte_offset = 0};
  e->tensor.manager_ctx = e.get();
  e->tensor.deleter = [](Managed* t) { delete static_cast<Export<Managed>*>(t->manager_ctx); };
  return &e.release()->tensor;
}

// ---- In
DType dtype_of_tensor(DLDataType t, Loc loc) {
  if (t.lanes != 1)
    fail("from_dlpack: elements of " + std::to_string(t.lanes) + " lanes; an array has one.", loc,
         "E175");
  for (int i = 0; i < kNumDTypes; ++i) {
    const DLDataType d = dlpack_type(DType(i));
    if (d.code == t.code && d.bits == t.bits) return DType(i);
  }
  fail("from_dlpack: there is no dtype for elements of code " + std::to_string(t.code) + " with " +
           std::to_string(t.bits) + " bits.",
       loc, "E175");
}
bool row_major(const DLTensor& t) {
  if (!t.strides) return true;
  std::int64_t expected = 1;
  for (std::int32_t i = t.ndim; i-- > 0;) {
    if (t.shape[i] == 0) return true;
    if (t.shape[i] != 1 && t.strides[i] != expected) return false;
    expected *= t.shape[i];
  }
  return true;
}
// Copies elements of any strides: the last axis by a loop, the others by an index that counts.
void gather(char* to, const char* from, const DLTensor& t, std::size_t element) {
  std::vector<std::int64_t> at(std::size_t(t.ndim), 0);
  const std::int32_t last = t.ndim - 1;
  const auto step = [&](std::int32_t i) { return t.strides[i] * std::int64_t(element); };
  for (;;) {
    const char* p = from;
    for (std::int32_t i = 0; i < last; ++i) p += at[std::size_t(i)] * step(i);
    for (std::int64_t k = 0; k < t.shape[last]; ++k, to += element)
      std::memcpy(to, p + k * step(last), element);
    std::int32_t i = last;
    while (i-- > 0) {
      if (++at[std::size_t(i)] < t.shape[i]) break;
      at[std::size_t(i)] = 0;
    }
    if (i < 0) return;
  }
}

// Calls the deleter, unless an array took the tensor over.
template <class Managed>
struct Release {
  void operator()(Managed* t) const {
    if (t->deleter) t->deleter(t);
  }
};
template <class Managed>
Array imported(std::unique_ptr<Managed, Release<Managed>> owner, bool copy, Loc loc) {
  const DLTensor& t = owner->dl_tensor;
  if (t.device.device_type != kDLCPU && t.device.device_type != kDLCUDAHost &&
      t.device.device_type != kDLCUDAManaged)
    fail("from_dlpack: the tensor is on a device of type " +
             std::to_string(int(t.device.device_type)) + ", not in memory of the CPU.",
         loc, "E175", "Copy it to the CPU first.");
  const DType d = dtype_of_tensor(t.dtype, loc);
  if (t.ndim < 0 || (t.ndim > 0 && !t.shape))
    fail("from_dlpack: the tensor has " + std::to_string(t.ndim) + " axes and no shape.", loc,
         "E175");
  Shape shape;
  for (std::int32_t i = 0; i < t.ndim; ++i) {
    if (t.shape[i] < 0) fail("from_dlpack: the tensor has a negative size.", loc, "E175");
    shape.push_back(t.shape[i]);
  }
  const Type type = make_type(d, shape);
  if (type->size == 0) return Array::make(type);
  if (!t.data) fail("from_dlpack: the tensor " + type->str() + " has no elements.", loc, "E175");
  const std::size_t align = width(d) / (is_complex(d) ? 2 : 1);
  const char* data = static_cast<const char*>(t.data) + t.byte_offset;
  const bool contiguous = row_major(t);
  if (contiguous && !copy && !is_bool(d) && reinterpret_cast<std::uintptr_t>(data) % align == 0)
    return Array::view(d, shape, data, owner.release(),
                       [](void* m) { Release<Managed>()(static_cast<Managed*>(m)); });
  Array a = Array::make(type);
  if (contiguous)
    std::memcpy(a.data<char>(), data, bytes_of(a));
  else
    gather(a.data<char>(), data, t, width(d));
  make_bools(a);
  return a;
}
}  // namespace

DLManagedTensorVersioned* to_dlpack(const Array& x, Loc loc) {
  auto* t = exported<DLManagedTensorVersioned>(x, loc);
  t->version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
  t->flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  return t;
}
DLManagedTensor* to_dlpack_legacy(const Array& x, Loc loc) {
  return exported<DLManagedTensor>(x, loc);
}

Array from_dlpack(DLManagedTensorVersioned* tensor, bool copy, Loc loc) {
  if (!tensor) fail("from_dlpack: the tensor is null.", loc, "E175");
  std::unique_ptr<DLManagedTensorVersioned, Release<DLManagedTensorVersioned>> owner(tensor);
  if (tensor->version.major != DLPACK_MAJOR_VERSION)  // nothing beyond the deleter is known
    fail("from_dlpack: the tensor is of DLPack " + std::to_string(tensor->version.major) + "." +
             std::to_string(tensor->version.minor) + ", which is not read.",
         loc, "E175");
  return imported(std::move(owner), copy, loc);
}
Array from_dlpack(DLManagedTensor* tensor, bool copy, Loc loc) {
  if (!tensor) fail("from_dlpack: the tensor is null.", loc, "E175");
  return imported(std::unique_ptr<DLManagedTensor, Release<DLManagedTensor>>(tensor), copy, loc);
}

}  // namespace jaxpp
