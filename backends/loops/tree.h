// tree.h -- the loop program: the one form that every executor of compiled functions reads (docs/loops.md).
//
//   Program = buffers {input | output | constant | temp | local} + body
//   Loop    var < extent, {parallel | serial}, marks, body
//   Let     s.. = operation(s...)         one element of an elementwise primitive
//   Const   s = value      Index s = affine, as a number      Clip s = s' forced into [lo, hi]: an index
//   Load    s = buffer[affine]            Store buffer[affine] {= | += | *= | max= | min= | &= | |= | ^=} s
//   While   condition, body     If  predicate, body, otherwise     Call primitive(buffers)
//   affine = c + sum k * (loop variable | result of a Clip)
//
// What a program means does not depend on its marks.  The iterations of a parallel loop are independent, except for
// combining stores: one whose index lacks the loop's variable is a reduction over that loop.
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>
#include "jaxpp/core/primitive.h"

namespace jaxpp::loops {

using namespace internal;

/// A loop variable or a scalar value; unique in a program.
using Sym = std::int32_t;
inline constexpr Sym kNone = -1;

/// c + sum k * s.  Terms are sorted by symbol, and no k is 0: equal functions are equal values.
struct Affine {
  struct Term {
    Sym sym;
    std::int64_t k;
    auto operator<=>(const Term&) const = default;
  };
  std::int64_t c = 0;
  SmallVec<Term, 3> terms;

  Affine(std::int64_t constant = 0) : c(constant) {}
  static Affine of(Sym s, std::int64_t k = 1) {
    Affine a;
    if (k) a.terms.push_back(Term{s, k});
    return a;
  }
  bool constant() const { return terms.empty(); }
  std::int64_t coef(Sym s) const {
    for (const Term& t : terms)
      if (t.sym == s) return t.k;
    return 0;
  }
  bool is(Sym s) const { return c == 0 && terms.size() == 1 && terms[0] == Term{s, 1}; }
  Affine& operator+=(const Affine&);
  Affine& operator*=(std::int64_t);
  friend Affine operator+(Affine a, const Affine& b) { return a += b; }
  friend Affine operator*(Affine a, std::int64_t k) { return a *= k; }
  /// This function with `by` in place of s.
  Affine subst(Sym s, const Affine& by) const;
  bool operator==(const Affine& o) const { return c == o.c && terms == o.terms; }
  bool operator<(const Affine& o) const;
};

/// One element of any type: its bits.
struct Element {
  DType dtype = DType::f32;
  alignas(16) std::array<std::byte, 16> bits{};  // unused bytes are 0
  /// The number v, converted to d.
  static Element of(DType d, double v);
  static Element at(DType d, const void* element);
  bool operator==(const Element&) const = default;
  bool operator<(const Element& o) const {
    return dtype != o.dtype ? dtype < o.dtype : bits < o.bits;
  }
};

/// How a store changes its element.
enum class Combine : std::uint8_t { set, add, mul, max, min, and_, or_, xor_ };
/// The binary primitive that combines; null for set.
const Primitive* combiner(Combine);
/// "=", "+=", "*=", "max=", "min=", "&=", "|=", "^=".
const char* text(Combine);
/// combine(identity, x) = x.  (max of floats: -inf; of complex numbers: not defined.)
Element identity(Combine, DType);

struct Buffer {
  enum class Role : std::uint8_t { input, output, constant, temp, local };
  Role role = Role::temp;
  std::string name;
  DType dtype = DType::f32;
  std::int64_t size = 0;     // elements; of a local inside a loop run in lanes: for each lane
  int index = -1;            // input, output: which
  Sym scope = kNone;         // local: the loop whose iteration owns it; kNone: the program
  Array value{};             // constant
  std::int64_t offset = -1;  // temp: bytes into the arena        (set by plan_memory)
  int donor =
      -1;  // output: the input whose memory it may take over, if that is donated  (plan_memory)
};

enum class Order : std::uint8_t { parallel, serial };
/// How a loop is run; meaning is the same without.
struct Marks {
  // CPU
  int lanes = 1;       // > 1: so many iterations at a time, as SIMD lanes
  int interleave = 1;  // of `lanes`, vectors in flight
  bool unroll = false;
  std::int64_t grain = 0;  // > 0: chunks of so many iterations are work items
  Sym chunk = kNone;       // with grain: the number of the chunk, usable in indices
  // GPU: iterations are threads of the whole grid; or blocks; or the threads of a block, striding
  enum class Bind : std::uint8_t { none, grid, block, thread } bind = Bind::none;
  bool operator==(const Marks&) const = default;
};

struct Node;
using Block = std::vector<Node>;

struct Loop {
  Sym var = kNone;
  std::int64_t extent = 0;
  Order order = Order::parallel;
  Marks marks{};
  Block body;
};
struct Let {
  Sym sym = kNone;  // the first of `results` consecutive symbols
  const Primitive* op = nullptr;
  std::shared_ptr<const void> params{};
  DType dtype = DType::f32;  // of every result
  std::uint8_t results = 1;
  SmallVec<Sym, 3> args{};
  Params view() const { return {params.get(), op->params}; }
};
struct Const {
  Sym sym = kNone;
  Element value;
};
struct Index {
  Sym sym = kNone;
  DType dtype = DType::i32;
  Affine at;  // converted to dtype as an integer would be
};
/// An i64 usable in an Affine: arg, of any integer dtype, but at least lo and at most hi.
struct Clip {
  Sym sym = kNone, arg = kNone;
  std::int64_t lo = 0, hi = 0;
};
struct Load {
  Sym sym = kNone;
  int buffer = -1;
  Affine at;
};
struct Store {
  int buffer = -1;
  Affine at;
  Combine combine = Combine::set;
  Sym value = kNone;
};
/// Runs `cond`, which defines pred; while it is true: body, then cond again.  In lanes, each lane stops by itself.
struct While {
  Block cond;
  Sym pred = kNone;
  Block body;
};
struct If {
  Sym pred = kNone;
  Block body, otherwise;
};
/// A primitive on whole arrays, by its kernel.  An operand is a row-major array inside a buffer, from element `at` on.
struct Call {
  struct Operand {
    int buffer = -1;
    Affine at;
    Type type = nullptr;
  };
  const Primitive* prim = nullptr;
  std::shared_ptr<const void> params;
  std::vector<Operand> in, out;
  Loc loc;
  Params view() const { return {params.get(), prim->params}; }
};

struct Node {
  std::variant<Loop, Let, Const, Index, Clip, Load, Store, While, If, Call> v;
  template <class T>
  Node(T x) : v(std::move(x)) {}
  template <class T>
  T* as() {
    return std::get_if<T>(&v);
  }
  template <class T>
  const T* as() const {
    return std::get_if<T>(&v);
  }
};

struct Program {
  std::vector<Buffer> buffers;
  Block body;
  int inputs = 0, outputs = 0;
  Sym next_sym = 0;
  std::int64_t arena = 0;  // bytes of all temps  (plan_memory)
};

/// f(node) for a node and all inside of it, or for every node of a block: a loop before its body, blocks of a node in the
/// order condition, body, otherwise.
template <class N, class F>
requires std::is_same_v<std::remove_const_t<N>, Node>
void each_node(N& n, F&& f) {
  f(n);
  if (auto* l = n.template as<Loop>())
    each_node(l->body, f);
  else if (auto* w = n.template as<While>()) {
    each_node(w->cond, f);
    each_node(w->body, f);
  } else if (auto* i = n.template as<If>()) {
    each_node(i->body, f);
    each_node(i->otherwise, f);
  }
}
template <class B, class F>
requires std::is_same_v<std::remove_const_t<B>, Block>
void each_node(B& block, F&& f) {
  for (auto& n : block) each_node(n, f);
}

/// The program as text (docs/loops.md has the grammar), and back: parse(print(p)) prints the same.
std::string print(const Program&);
/// Throws Error naming the line.
Program parse(std::string_view text);
/// Scopes, types, arities, the bounds of every index, what may be stored where.  Throws Error naming the node.
void verify(const Program&);

}  // namespace jaxpp::loops
