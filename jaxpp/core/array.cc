// array.cc -- interning of types, memory of nodes and buffers, and reading values out of arrays.
#include "jaxpp/core/array.h"
#include <bit>
#include <mutex>
#include <unordered_set>
#include "jaxpp/core/allocator.h"
#include "jaxpp/core/primitive.h"
#include "jaxpp/core/trace.h"
#include "jaxpp/lax.h"

namespace jaxpp {
using namespace internal;

std::string to_string(const Shape& s) {
  std::string t = "(";
  for (std::size_t i = 0; i < s.size(); ++i) t += (i ? ", " : "") + std::to_string(s[i]);
  return t + (s.size() == 1 ? ",)" : ")");
}
std::string Aval::str() const {
  std::string s = name(dtype);
  for (std::size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "[") + std::to_string(shape[i]);
  return s + (shape.empty() ? "[]" : "]");
}

// ---- Types
namespace internal {
// Before any other static object: a user's global Array needs its type.
__attribute__((init_priority(101))) const Aval scalar_types[kNumDTypes] = {
    {DType::b1, {}, 1},  {DType::i8, {}, 1},  {DType::i16, {}, 1},  {DType::i32, {}, 1},
    {DType::i64, {}, 1}, {DType::u8, {}, 1},  {DType::u16, {}, 1},  {DType::u32, {}, 1},
    {DType::u64, {}, 1}, {DType::f16, {}, 1}, {DType::bf16, {}, 1}, {DType::f32, {}, 1},
    {DType::f64, {}, 1}, {DType::c64, {}, 1}, {DType::c128, {}, 1}};

namespace {
std::size_t hash_of(DType d, const Shape& s) {
  std::size_t h = std::size_t(d) + 0x9e3779b97f4a7c15u;
  for (auto n : s) h = (h ^ std::size_t(n)) * 0x100000001b3u ^ h >> 29;
  return h;
}
struct Hash {
  std::size_t operator()(const Aval& a) const { return hash_of(a.dtype, a.shape); }
};
struct Equal {
  bool operator()(const Aval& a, const Aval& b) const {
    return a.dtype == b.dtype && a.shape == b.shape;
  }
};
constinit thread_local Type recent_types[64] = {};  // a small cache in front of the shared table
}  // namespace
}  // namespace internal

Type make_type(DType d, const Shape& shape) {
  using namespace internal;
  if (shape.empty()) return scalar_type(d);
  Type& recent = recent_types[hash_of(d, shape) % 64];
  if (recent && recent->dtype == d && recent->shape == shape) return recent;
  std::int64_t size = 1;
  bool empty = false;
  for (auto n : shape) {
    if (n < 0)
      throw TypeError("shape: sizes must not be negative, got " + to_string(shape) + ".  [E01]");
    empty |= n == 0;
  }
  if (empty)
    size = 0;
  else
    for (auto n : shape)
      if (__builtin_mul_overflow(size, n, &size) || size > (std::int64_t(1) << 58))
        throw TypeError("shape: " + to_string(shape) + " has too many elements.  [E01]");
  static std::mutex mutex;  // types are never freed: a program has few
  static auto& table = *new std::unordered_set<Aval, Hash, Equal>;
  std::lock_guard lock(mutex);
  return recent = &*table.insert(Aval{d, shape, size}).first;
}

// ---- Memory
namespace internal {
constinit thread_local Pool pool;

namespace {
constexpr std::align_val_t kAlign{64};
struct PoolGuard {  // see Pool: runs when the thread ends
  ~PoolGuard() {
    for (auto*& list : pool.free)
      while (list) ::operator delete(std::exchange(list, list->next), kAlign);
    pool.closed = true;
  }
};
int size_class(std::size_t bytes) { return bytes <= 64 ? 0 : std::bit_width(bytes - 1) - 6; }
void buffer_delete(void* p, std::size_t bytes) {
  if (guard_pages()) [[unlikely]]
    return guarded_delete(p, bytes);
  int c = size_class(bytes);
  if (c < Pool::kClasses)
    pool_give(p, c);
  else
    large_delete(p, bytes);
}
}  // namespace

void* pool_refill(int c) {
  if (!pool.closed && !pool.guarded) {
    static thread_local PoolGuard guard;
    pool.guarded = true;
    (void)&guard;
  }
  return ::operator new(std::size_t(64) << c, kAlign);
}
void* buffer_new(std::size_t bytes) {
  if (guard_pages()) [[unlikely]]
    return guarded_new(bytes);
  int c = size_class(bytes);
  return c < Pool::kClasses ? pool_take(c) : large_new(bytes);
}
void node_delete(Node* n) {
  if (n->trace) {  // recursion depth is the nesting of traces, not the length of a program
    release(n->dual.primal);
    release(n->dual.tangent);
  } else {
    switch (Storage(n->index)) {
      case Storage::own:
        if (n->data != n->slot)
          buffer_delete(n->data, std::size_t(n->type->size) * width(n->type->dtype));
        break;
      case Storage::external:
      case Storage::device:
        if (n->external.release) n->external.release(n->external.owner);
        break;
      case Storage::alias: release(n->base); break;
    }
  }
  pool_give(n, 0);
}
}  // namespace internal

Array Array::view(DType d, const Shape& shape, const void* data, void* owner,
                  void (*release)(void*)) {
  internal::Node* n = internal::node_new(make_type(d, shape), 0);
  n->index = std::uint32_t(internal::Storage::external);
  n->data = const_cast<void*>(data);
  n->external = {owner, release};
  return adopt(n);
}
Array Array::alias(const Array& of, Type t, std::size_t offset) {
  internal::Node* base = of.node();
  if (base->data == base->slot || of.on_device()) {  // the elements live in the node: copy them
    Array a = make(t);
    std::memcpy(a.data<char>(), of.data<char>() + offset, std::size_t(t->size) * width(t->dtype));
    return a;
  }
  if (internal::Storage(base->index) == internal::Storage::alias) base = base->base;
  internal::Node* n = internal::node_new(t, 0);
  n->index = std::uint32_t(internal::Storage::alias);
  n->data = static_cast<char*>(of.node()->data) + offset;
  internal::retain(base);
  n->base = base;
  return adopt(n);
}
Array Array::copy_of(DType d, const void* data, std::int64_t n, const Shape& shape, Loc loc) {
  Type t = make_type(d, shape);
  if (t->size != n)
    internal::fail("array: " + std::to_string(n) + " values do not fill the shape " +
                       jaxpp::to_string(shape) + ".",
                   loc, "E02");
  Array a = make(t);
  if (n) std::memcpy(a.data<char>(), data, std::size_t(n) * width(d));
  return a;
}

// ---- Reading
namespace {
[[noreturn]] void not_concrete(const Array& a, const char* op, Loc loc) {
  const internal::Node* n = a.node();
  const internal::Trace* t = internal::context.trace;
  while (t && t->serial != n->trace) t = t->parent;
  if (!t) internal::throw_leak(n, loc);
  internal::fail<ConcretizationError>(
      std::string(op) + ": the value of " + a.type()->str() + " is not known while it is traced.",
      loc, "E07",
      "Use where(c, a, b) or cond(c, f, g), or leave the function un-jitted: grad alone keeps "
      "values.");
}
}  // namespace

std::int64_t Array::shape(int axis, Loc loc) const {
  int i = axis < 0 ? axis + ndim() : axis;
  if (i < 0 || i >= ndim())
    internal::fail("shape: " + type()->str() + " has no axis " + std::to_string(axis) + ".", loc,
                   "E03");
  return shape()[std::size_t(i)];
}
Array::operator bool() const {
  if (!node_) throw TypeError("bool: the array is null.  [E04]");
  if (!concrete()) not_concrete(*this, "bool", node_->loc);
  if (size() != 1)
    internal::fail("bool: needs one element, the array is " + type()->str() + ".", Loc(), "E06",
                   "Use any(x) or all(x).");
  return item<bool>();
}
void Array::check_readable(DType want, Loc loc) const {
  if (!node_) internal::fail("span: the array is null.", loc, "E04");
  if (!concrete()) not_concrete(*this, "span", loc);
  if (dtype() != want)
    internal::fail(
        std::string("span: the elements are ") + name(dtype()) + ", not " + name(want) + ".", loc,
        "E05", "Convert first: x.astype(...).");
}
void Array::read_item(DType want, void* out, Loc loc) const {
  if (!node_) internal::fail("item: the array is null.", loc, "E04");
  if (!concrete()) not_concrete(*this, "item", loc);
  if (size() != 1)
    internal::fail("item: needs one element, the array is " + type()->str() + ".", loc, "E06");
  read_all(want, out, loc);
}
void Array::read_all(DType want, void* out, Loc loc) const {
  if (!node_) internal::fail("to_vector: the array is null.", loc, "E04");
  if (!concrete()) not_concrete(*this, "to_vector", loc);
  internal::Scope none(nullptr);
  Array a = dtype() == want ? *this : lax::convert_element_type(*this, want, loc);
  if (a.size()) std::memcpy(out, a.data<char>(), std::size_t(a.size()) * width(want));
}

}  // namespace jaxpp
