// array.h -- the Array handle.
//
// An Array is one intrusive pointer to an immutable Node.  A node is one cache line: either a concrete value (rank 0 is
// stored inside it) or a tracer, a stand-in that some Trace (trace.h) knows how to interpret.
#pragma once
#include <atomic>
#include <cstring>
#include <iosfwd>
#include <span>
#include <vector>
#include "jaxpp/core/device.h"
#include "jaxpp/core/error.h"
#include "jaxpp/core/shape.h"

namespace jaxpp {

struct Primitive;
class Array;
class IndexedArray;

/// Customization point: how a foreign matrix type becomes an Array (jaxpp/eigen.h specializes it).
template <class T>
struct ArrayTraits;
template <class T>
concept ArrayLike = requires(const T& t) {
  {ArrayTraits<std::remove_cvref_t<T>>::to_array(t)};
};

namespace internal {
struct Index;
struct Literal;

enum class Storage : std::uint32_t { own, external, alias, device };
struct Node {
  std::atomic<std::uint32_t> refs;
  std::uint32_t
      index;  // tracer: variable of a JaxprTrace, or axis of a BatchTrace.  Concrete: its Storage
  Type type;
  std::uint64_t
      trace;  // 0: concrete.  Otherwise the serial number (never reused) of the trace it belongs to
  void*
      data;  // concrete: the elements; points into the node itself when they fit.  Storage device: null until they are
             // read on the host
  union {
    double slot[2];  // storage own, at most 16 bytes
    struct {
      void* owner;
      void (*release)(void*);
    } external;  // storage external: somebody else's memory; storage device: a buffer of the backend
    Node* base;  // storage alias: shares the elements of another node (a reshape)
    struct {
      Node *primal, *tangent;
    } dual;  // tracer: owned; which are set depends on the trace
  };
  const Primitive* maker;  // tracer: what made it and where, for error messages
  Loc loc;
};
static_assert(sizeof(Node) == 64);

// Nodes and small buffers come from per-thread free lists.  The pool is trivially destructible on purpose: static
// Arrays outlive thread_local destructors, so at thread exit a separate guard drains the lists and sends later frees to
// the heap.
struct Pool {
  static constexpr int kClasses = 6;  // blocks of 64, 128, ..., 2048 bytes
  struct Block {
    Block* next;
  };
  Block* free[kClasses] = {};
  bool closed = false, guarded = false;
};
extern constinit thread_local Pool pool;
void* pool_refill(int size_class);
#ifdef __SANITIZE_ADDRESS__
inline void* pool_take(int c) { return ::operator new(std::size_t(64) << c, std::align_val_t(64)); }
inline void pool_give(void* p, int) { ::operator delete(p, std::align_val_t(64)); }
#else
inline void* pool_take(int c) {
  if (auto* b = pool.free[c]) [[likely]] {
    pool.free[c] = b->next;
    return b;
  }
  return pool_refill(c);
}
inline void pool_give(void* p, int c) {
  if (pool.closed) [[unlikely]]
    return ::operator delete(p, std::align_val_t(64));
  pool.free[c] = new (p) Pool::Block{pool.free[c]};
}
#endif
void* buffer_new(std::size_t bytes);  // 64-byte aligned
void* fetch(Node* n);                 // storage device: a copy of the elements on the host
void node_delete(Node* n);

inline void retain(Node* n) {
  if (n) n->refs.fetch_add(1, std::memory_order_relaxed);
}
inline void release(Node* n) {
  if (n && (n->refs.load(std::memory_order_acquire) == 1 ||  // sole owner: no locked instruction
            n->refs.fetch_sub(1, std::memory_order_acq_rel) == 1))
    node_delete(n);
}
inline Node* node_new(Type t, std::uint64_t trace) {
  Node* n = static_cast<Node*>(pool_take(0));
  new (&n->refs) std::atomic<std::uint32_t>(1);
  n->index = 0;
  n->type = t;
  n->trace = trace;
  return n;
}
}  // namespace internal

/// An n-dimensional array: immutable, row-major, shared by reference counting.  Copying an Array copies one pointer.
///   Array s = 2.0;  Array v = {1., 2., 3.};  Array m = {{1.f, 2.f}, {3.f, 4.f}};
/// Elements take the C++ type of the numbers: double is f64, float f32, int i32.
class Array {
 public:
  Array() = default;  ///< null: no array at all (an empty node of a pytree)
  template <internal::Scalar T>
  Array(T v) : Array(make(scalar_type(dtype_of<T>))) {
    using E = std::conditional_t<std::is_same_v<T, long double>, double, T>;
    *static_cast<E*>(node_->data) = E(v);
  }
  Array(std::initializer_list<internal::Literal>
            v);  ///< {1, 2, 3}, {{1., 2.}, {3., 4.}}, {x * y, z}: any depth, any mix
  template <ArrayLike T>
  Array(const T& t) : Array(ArrayTraits<std::remove_cvref_t<T>>::to_array(t)) {}
  /// A copy of `values`, with shape [n], or with `shape` (row-major).
  template <internal::Scalar T>
  explicit Array(std::span<const T> values) : Array(values, Shape{std::int64_t(values.size())}) {}
  template <internal::Scalar T>
  Array(std::span<const T> values, const Shape& shape, Loc loc = Loc::current())
      : Array(copy_of(dtype_of<T>, values.data(), std::int64_t(values.size()), shape, loc)) {}
  /// From a vector, or nested vectors of equal lengths: explicit, because it copies.
  template <class T>
  requires(internal::Scalar<T> && !std::is_same_v<T, bool>) explicit Array(const std::vector<T>& v)
      : Array(std::span<const T>(v)) {}
  template <class T>
  explicit Array(const std::vector<std::vector<T>>& v, Loc loc = Loc::current())
      : Array(stack_rows(v, loc)) {}

  Array(const Array& o) : node_(o.node_) { internal::retain(node_); }
  Array(Array&& o) noexcept : node_(std::exchange(o.node_, nullptr)) {}
  Array& operator=(const Array& o) & {
    internal::retain(o.node_);
    internal::release(std::exchange(node_, o.node_));
    return *this;
  }
  Array& operator=(Array&& o) & noexcept {
    std::swap(node_, o.node_);
    return *this;
  }
  /// x(i) = v does not compile: an Array is immutable.  Write  x = x.at(i).set(v).
  template <class T>
  void operator=(T&&) && = delete;
  ~Array() { internal::release(node_); }

  /// A view of memory that somebody else keeps alive until `release(owner)` is called (never copied, never written).
  static Array view(DType, const Shape&, const void* data, void* owner = nullptr,
                    void (*release)(void*) = nullptr);

  bool defined() const { return node_; }
  explicit operator bool() const;  ///< the value of a one-element array, as in `if (x < 2)`
  const Shape& shape() const { return node_->type->shape; }
  std::int64_t shape(int axis, Loc = Loc::current()) const;  ///< negative axes count from the end
  int ndim() const { return int(node_->type->shape.size()); }
  std::int64_t size() const { return node_->type->size; }
  DType dtype() const { return node_->type->dtype; }
  Device device() const;  ///< where the elements are; of a traced array: the default device
  const Array& block_until_ready() const;  ///< waits until a GPU has computed the elements

  /// The value of a one-element array.  Throws ConcretizationError on a traced array, TypeError on more elements.
  template <internal::Scalar T = double>
  T item(Loc loc = Loc::current()) const;
  template <internal::Scalar T>
  requires(!std::is_same_v<T, bool>) explicit operator T() const { return item<T>(made_at()); }
  /// The elements, row-major, without a copy.  T must be the element type; the view lives as long as this Array.
  template <internal::Scalar T>
  std::span<const T> span(Loc loc = Loc::current()) const {
    check_readable(dtype_of<T>, loc);
    return {data<T>(), std::size_t(size())};
  }
  template <internal::Scalar T = double>
  std::vector<T> to_vector(Loc loc = Loc::current()) const;  ///< the elements, converted to T

  Array astype(DType, Loc = Loc::current()) const;
  Array reshape(const Shape&, Loc = Loc::current()) const;  ///< one size may be -1

  /// Indexing: int, Slice, All, None (new axis), Ellipsis, integer and bool Arrays; as numpy's, out of range throws.
  Array operator()(const internal::Index&) const;
  Array operator()(const internal::Index&, const internal::Index&) const;
  Array operator()(const internal::Index&, const internal::Index&, const internal::Index&) const;
  Array operator()(const internal::Index&, const internal::Index&, const internal::Index&,
                   const internal::Index&) const;
  Array operator()(const internal::Index&, const internal::Index&, const internal::Index&,
                   const internal::Index&, const internal::Index&) const;
  /// Functional updates: x.at(i).set(v), .add, .mul, .min, .max.  Updates out of range are dropped, as in JAX.
  IndexedArray at(const internal::Index&) const&;
  IndexedArray at(const internal::Index&, const internal::Index&) const&;
  IndexedArray at(const internal::Index&, const internal::Index&, const internal::Index&) const&;
  IndexedArray at(const internal::Index&, const internal::Index&, const internal::Index&,
                  const internal::Index&) const&;
  IndexedArray at(const internal::Index&) &&;  // the sole owner is updated in place
  IndexedArray at(const internal::Index&, const internal::Index&) &&;
  IndexedArray at(const internal::Index&, const internal::Index&, const internal::Index&) &&;
  IndexedArray at(const internal::Index&, const internal::Index&, const internal::Index&,
                  const internal::Index&) &&;

  Array& operator+=(const struct Operand&) &;
  Array& operator-=(const struct Operand&) &;
  Array& operator*=(const struct Operand&) &;
  Array& operator/=(const struct Operand&) &;

  // -- For the library's own layers
  static Array make(internal::Type t) {  // uninitialized
    internal::Node* n = internal::node_new(t, 0);
    std::size_t bytes = std::size_t(t->size) * width(t->dtype);
    n->data = bytes <= sizeof n->slot ? n->slot : internal::buffer_new(bytes);
    return adopt(n);
  }
  static Array adopt(internal::Node* n) {
    Array a;
    a.node_ = n;
    return a;
  }
  static Array share(internal::Node* n) {
    internal::retain(n);
    return adopt(n);
  }
  /// Elements of `of` from a byte offset on, under another type.  Shares the memory.
  static Array alias(const Array& of, internal::Type t, std::size_t offset = 0);
  internal::Node* node() const { return node_; }
  internal::Node* take() { return std::exchange(node_, nullptr); }
  internal::Type type() const { return node_->type; }
  bool concrete() const { return node_->trace == 0; }
  bool on_device() const {
    return node_->index == std::uint32_t(internal::Storage::device) && concrete();
  }
  /// Nobody else can see the elements: they may be overwritten.
  bool unique() const {
    return node_->refs.load(std::memory_order_acquire) == 1 && node_->trace == 0 &&
           node_->index == std::uint32_t(internal::Storage::own);
  }
  template <class T>
  T* data() const {
    void* p = std::atomic_ref<void*>(node_->data).load(std::memory_order_acquire);
    if (!p) [[unlikely]]
      p = internal::fetch(node_);
    return static_cast<T*>(p);
  }

 private:
  static Array copy_of(DType, const void* data, std::int64_t n, const Shape&, Loc);
  template <class T>
  static Array stack_rows(const std::vector<std::vector<T>>& v, Loc loc);
  static Array stack(std::span<const Array> rows, Loc);
  void check_readable(DType, Loc) const;
  /// A conversion has no location of its own: that of the operation which made a traced value.
  Loc made_at() const { return node_ && !concrete() ? node_->loc : Loc(); }
  void read_item(DType, void* out, Loc) const;
  void read_all(DType, void* out, Loc) const;
  internal::Node* node_ = nullptr;
};
static_assert(sizeof(Array) == sizeof(internal::Node*) && std::is_standard_layout_v<Array>);

template <internal::Scalar T>
T Array::item(Loc loc) const {
  std::conditional_t<std::is_same_v<T, long double>, double, T> v;
  read_item(dtype_of<T>, &v, loc);
  return T(v);
}
template <internal::Scalar T>
std::vector<T> Array::to_vector(Loc loc) const {
  static_assert(!std::is_same_v<T, bool>,
                "jaxpp: use to_vector<std::uint8_t>: std::vector<bool> has no elements.");
  std::vector<T> v(static_cast<std::size_t>(size()));
  read_all(dtype_of<T>, v.data(), loc);
  return v;
}
template <class T>
Array Array::stack_rows(const std::vector<std::vector<T>>& v, Loc loc) {
  std::vector<Array> rows;
  for (auto& r : v) rows.push_back(Array(r));
  return stack(rows, loc);
}

/// One element of a braced literal: a number, an Array, or a nested list.  A list of two or more Arrays stacks them; a
/// list of exactly one Array is that Array (so `Array b{a}` copies, whichever way a compiler resolves CWG 2137).
namespace internal {
struct Literal {
  DType dtype = DType::f64;
  std::complex<double> number;
  std::int64_t integer = 0;
  const Array* array = nullptr;
  std::initializer_list<Literal> list{};
  bool is_list = false;
  Loc loc;
  template <Scalar T>
  Literal(T v, Loc l = Loc::current()) : dtype(dtype_of<T>), loc(l) {
    if constexpr (is_complex_type<T>)
      number = {double(v.real()), double(v.imag())};
    else if constexpr (is_half<T>)
      number = double(float(v));
    else {
      number = double(v);
      if constexpr (std::is_integral_v<T>) integer = std::int64_t(v);
    }
  }
  Literal(const Array& a, Loc l = Loc::current()) : array(&a), loc(l) {}
  Literal(std::initializer_list<Literal> v, Loc l = Loc::current())
      : list(v), is_list(true), loc(l) {}
};

}  // namespace internal

/// Slice(start, stop, step) as numpy's start:stop:step; None leaves a bound open.  Slice() is all of an axis, Slice(n) its
/// first n elements.
struct Slice {
  struct Bound {
    std::int64_t value = 0;
    bool open = true;
    Bound(NoneType) {}
    Bound(std::int64_t v) : value(v), open(false) {}
    Bound(int v) : value(v), open(false) {}
  };
  Bound start, stop;
  std::int64_t step;
  Slice(Bound from, Bound to, std::int64_t by = 1) : start(from), stop(to), step(by) {}
  Slice() : Slice(NoneType(), NoneType()) {}
  explicit Slice(Bound to) : Slice(NoneType(), to) {}
};

/// One item of an index expression, with the line it was written on.
namespace internal {
struct Index {
  enum Kind { integer, slice, new_axis, ellipsis, array } kind;
  std::int64_t value = 0;
  Slice range{None, None};
  Array indices;  // integers or bools
  Loc loc;
  template <class I>
  requires(std::is_integral_v<I> && !std::is_same_v<I, bool>) Index(I i, Loc l = Loc::current())
      : kind(integer), value(std::int64_t(i)), loc(l) {}
  Index(const Slice& s, Loc l = Loc::current()) : kind(slice), range(s), loc(l) {}
  Index(AllType, Loc l = Loc::current()) : kind(slice), loc(l) {}
  Index(NoneType, Loc l = Loc::current()) : kind(new_axis), loc(l) {}
  Index(EllipsisType, Loc l = Loc::current()) : kind(ellipsis), loc(l) {}
  Index(const Array& a, Loc l = Loc::current()) : kind(array), indices(a), loc(l) {}
  Index(std::initializer_list<int> a, Loc l = Loc::current());
};

}  // namespace internal
namespace internal {
using Indices = std::vector<Index>;
}  // namespace internal
Array index(const Array& x, std::span<const internal::Index>, Loc);

/// x.at(index): what x(index) selects, to be updated.  All updates give a new array.
class IndexedArray {
 public:
  IndexedArray(Array x, internal::Indices i) : x_(std::move(x)), index_(std::move(i)) {}
  Array get() const { return index(x_, index_, index_[0].loc); }
  Array set(const struct Operand& v);
  Array add(const struct Operand& v);
  Array mul(const struct Operand& v);
  Array min(const struct Operand& v);
  Array max(const struct Operand& v);

 private:
  Array x_;
  internal::Indices index_;
};

/// An operand of an operator or of an update: an Array or a number, and the line it stands on.  (An operator cannot have
/// a default argument, but the conversion to its parameter type can.)  Numbers are weak by kind: x_f32 * 2.0 is f32.
struct Operand {
  internal::Node* node = nullptr;  // borrowed: it outlives the expression
  bool temporary = false;          // node is an rvalue: its buffer may be reused
  Array number;                    // owned, when made from a number or a foreign matrix
  bool weak = false;               // made from a number
  Loc loc;
  Operand(const Array& a, Loc l = Loc::current()) : node(a.node()), loc(l) {}
  Operand(Array&& a, Loc l = Loc::current()) : node(a.node()), temporary(true), loc(l) {}
  template <internal::Scalar T>
  Operand(T v, Loc l = Loc::current()) : number(v), weak(true), loc(l) {
    node = number.node();
  }
  Operand(std::initializer_list<internal::Literal> v, Loc l = Loc::current()) : number(v), loc(l) {
    node = number.node();
  }
  template <ArrayLike T>
  Operand(const T& t, Loc l = Loc::current()) : number(t), loc(l) {
    node = number.node();
  }
  Operand(const Operand&) = delete;
};

std::string to_string(const Array&);  ///< as numpy's str(): [[1. 2.]\n [3. 4.]]
std::ostream& operator<<(std::ostream&, const Array&);

}  // namespace jaxpp
