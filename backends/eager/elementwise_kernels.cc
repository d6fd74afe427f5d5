// elementwise_kernels.cc -- broadcasting, and the kernels of elementwise operations.
//
// The loops of elementwise.def's rows are those of the widest instruction set that this machine has:
// chosen once, by cpuid.
//
// Broadcasting never copies: dimensions are merged where both operands advance alike, the innermost
// group is one run of a loop (each operand full or repeated), the outer groups are walked.
#include "backends/eager/elementwise_kernels.h"

#include <cstdlib>
#include <cstring>
#include <string_view>

namespace jaxpp::internal {
namespace {

// A maximal group of dimensions over which both operands advance, or one is repeated.
struct Group {
  std::int64_t size;
  bool x, y;  // advances
};
SmallVec<Group, 6> groups_of(const Shape& x, const Shape& y, const Shape& z) {
  SmallVec<Group, 6> g;  // innermost first
  for (std::size_t d = z.size(); d-- > 0;) {
    if (z[d] == 1) continue;
    const bool in_x = !x.empty() && x[d] != 1, in_y = !y.empty() && y[d] != 1;
    if (!g.empty() && g.back().x == in_x && g.back().y == in_y)
      g.back().size *= z[d];
    else
      g.push_back(Group{z[d], in_x, in_y});
  }
  return g;
}

}  // namespace

void run_unary(UnaryLoop loop, const Array& x, const Array& z) {
  const char* from = x.data<char>();
  char* to = z.data<char>();
  const auto wx = std::int64_t(width(x.dtype())), wz = std::int64_t(width(z.dtype()));
  in_pieces(z.size(), [=](std::int64_t begin, std::int64_t end) {
    loop(from + begin * wx, to + begin * wz, end - begin);
  });
}
void run_broadcast(BinaryLoop loop, const Array& x, const Array& y, const Array& z) {
  const std::int64_t n = z.size();
  if (n == 0) return;
  const bool x_full = x.size() == n, y_full = y.size() == n;
  const auto wx = std::int64_t(width(x.dtype())), wy = std::int64_t(width(y.dtype())),
             wz = std::int64_t(width(z.dtype()));
  if ((x_full || x.size() == 1) && (y_full || y.size() == 1)) [[likely]]
    return in_pieces(n, [&](std::int64_t begin, std::int64_t end) {
      loop(x.data<char>() + (x_full ? begin * wx : 0), x_full,
           y.data<char>() + (y_full ? begin * wy : 0), y_full, z.data<char>() + begin * wz,
           end - begin);
    });

  const auto g = groups_of(x.shape(), y.shape(), z.shape());
  SmallVec<std::int64_t, 6> index(g.size(), 0), x_step(g.size(), 0), y_step(g.size(), 0);
  for (std::size_t k = 0, dx = 1, dy = 1; k < g.size(); ++k) {
    if (g[k].x) x_step[k] = std::int64_t(dx) * wx, dx *= std::size_t(g[k].size);
    if (g[k].y) y_step[k] = std::int64_t(dy) * wy, dy *= std::size_t(g[k].size);
  }
  const char *px = x.data<char>(), *py = y.data<char>();
  char* pz = z.data<char>();
  for (const std::int64_t run = g[0].size;; pz += run * wz) {
    loop(px, g[0].x, py, g[0].y, pz, run);
    std::size_t k = 1;
    for (; k < g.size(); ++k) {
      px += x_step[k];
      py += y_step[k];
      if (++index[k] < g[k].size) break;
      px -= x_step[k] * g[k].size;
      py -= y_step[k] * g[k].size;
      index[k] = 0;
    }
    if (k == g.size()) return;
  }
}

namespace {

// ---- The rows of elementwise.def
enum UnaryRow {
#define UNARY(id, ...) id##_row,
#define BINARY(...)
#define COMPARE(...)
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
  kUnaryRows
};
enum BinaryRow {
#define UNARY(...)
#define BINARY(id, ...) id##_row,
#include "jaxpp/ops/elementwise.def"
#undef BINARY
#undef COMPARE
  kBinaryRows
};
enum CompareRow {
#define BINARY(...)
#define COMPARE(id, ...) id##_row,
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
  kCompareRows
};

struct Tables {
  UnaryLoops unary[kUnaryRows];
  BinaryLoops binary[kBinaryRows], compare[kCompareRows];
};
// JAXPP_CPU=generic|avx2 in the environment asks for less than there is.
enum class InstructionSet { baseline, avx2, avx512 };
[[maybe_unused]] InstructionSet instruction_set() {
  const char* asked = std::getenv("JAXPP_CPU");
  const std::string_view most = asked ? asked : "";
#if defined(__x86_64__)
  __builtin_cpu_init();
  auto has = [](auto... f) { return (f && ...); };
  const bool v3 = has(__builtin_cpu_supports("avx2"), __builtin_cpu_supports("fma"),
                      __builtin_cpu_supports("bmi"), __builtin_cpu_supports("bmi2"),
                      __builtin_cpu_supports("popcnt"));
  const bool v4 = has(v3, __builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx512bw"),
                      __builtin_cpu_supports("avx512cd"), __builtin_cpu_supports("avx512dq"),
                      __builtin_cpu_supports("avx512vl"));
  if (v4 && most != "generic" && most != "avx2") return InstructionSet::avx512;
  if (v3 && most != "generic") return InstructionSet::avx2;
#endif
  return InstructionSet::baseline;
}
template <class Loops, std::size_t n>
void take(std::span<const Loops> from, Loops (&to)[n]) {
  for (std::size_t row = 0; row < n; ++row)
    for (std::size_t d = 0; d < kNumDTypes; ++d)
      if (from[row][d]) to[row][d] = from[row][d];
}
#define JAXPP_TAKE(isa, t)                                                \
  take(isa::unary_loops(), t.unary), take(isa::binary_loops(), t.binary), \
      take(isa::compare_loops(), t.compare)
Tables chosen() {
  Tables t{};
  JAXPP_TAKE(baseline, t);
#if defined(JAXPP_INSTRUCTION_SETS)
  const InstructionSet isa = instruction_set();
  if (isa == InstructionSet::avx2) JAXPP_TAKE(avx2, t);
  if (isa == InstructionSet::avx512) JAXPP_TAKE(avx512, t);
#endif
  return t;
}
#undef JAXPP_TAKE
const Tables& tables() {
  static const Tables t = chosen();
  return t;
}

template <UnaryRow row>
void unary_kernel(Args x, Params, Array* z) {
  run_unary(tables().unary[row][std::size_t(x[0].dtype())], x[0], *z);
}
template <auto row>
BinaryLoop binary_loop_for(DType d) {
  if constexpr (std::is_same_v<decltype(row), BinaryRow>)
    return tables().binary[row][std::size_t(d)];
  else
    return tables().compare[row][std::size_t(d)];
}
template <auto row>
void binary_kernel(Args x, Params, Array* z) {
  const BinaryLoop loop = binary_loop_for<row>(x[0].dtype());
  const std::int64_t n = z->size(), nx = x[0].size(), ny = x[1].size();
  if ((nx == n || nx == 1) && (ny == n || ny == 1) && n < 2 * kPiece) [[likely]]
    loop(x[0].data<char>(), nx == n, x[1].data<char>(), ny == n, z->data<char>(), n);
  else
    run_broadcast(loop, x[0], x[1], *z);
}
template <UnaryRow row>
BlockOp unary_op(Params, std::span<const DType> x, DType) {
  return tables().unary[row][std::size_t(x[0])];
}
template <auto row>
BlockOp binary_op(Params, std::span<const DType> x, DType) {
  return binary_loop_for<row>(x[0]);
}

void install_rows() {
#define UNARY(id, ...) install<unary_kernel<UnaryRow::id##_row>, 1>(id##_p);
#define BINARY(id, ...) install<binary_kernel<BinaryRow::id##_row>, 3>(id##_p);
#define COMPARE(id, ...) install<binary_kernel<CompareRow::id##_row>, 3>(id##_p);
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
}

// ---- The others
void identity_kernel(Args x, Params, Array* y) {  // also bitcast: the elements' bytes stay
  if (y->data<char>() != x[0].data<char>())
    std::memcpy(y->data<char>(), x[0].data<char>(), std::size_t(y->size()) * width(y->dtype()));
}
void complex_kernel(Args x, Params p, Array* z) {
  const DType in[] = {x[0].dtype(), x[1].dtype()};
  run_broadcast(block_op(complex_p, p, in, z->dtype()).binary, x[0], x[1], *z);
}
// Operands are whole, or of rank 0.
template <const Primitive& P>
void block_kernel(Args x, Params p, Array* z) {
  SmallVec<DType, 4> in;
  SmallVec<bool, 8> full;
  for (const Array& a : x) {
    in.push_back(a.dtype());
    full.push_back(a.size() == z->size());
  }
  const BlockOp op = block_op(P, p, {in.data(), in.size()}, z->dtype());
  in_pieces(z->size(), [&](std::int64_t begin, std::int64_t end) {
    SmallVec<const void*, 4> from;
    for (std::size_t i = 0; i < x.size(); ++i)
      from.push_back(x[i].data<char>() + (full[i] ? begin * std::int64_t(width(x[i].dtype())) : 0));
    void* to[] = {z->data<char>() + begin * std::int64_t(width(z->dtype()))};
    op.run({{from.data(), from.size()}, full.data(), to}, end - begin);
  });
}

}  // namespace

void install_elementwise_kernels() {
  install_rows();
  install_convert_kernels();
  install<block_kernel<select_n_p>, ~std::uint32_t(0)>(select_n_p);
  install<block_kernel<clamp_p>, 7>(clamp_p);
  install<block_kernel<regularized_incomplete_beta_p>, 7>(regularized_incomplete_beta_p);
  install<block_kernel<random_gamma_p>, 4>(random_gamma_p);
  install<block_kernel<integer_pow_p>, 1>(integer_pow_p);
  install<block_kernel<round_p>, 1>(round_p);
  install<block_kernel<reduce_precision_p>, 1>(reduce_precision_p);
  install<identity_kernel, 1>(bitcast_convert_type_p);
  install<identity_kernel, 1>(stop_gradient_p);
  install<complex_kernel>(complex_p);
  install<block_kernel<real_p>>(real_p);
  install<block_kernel<imag_p>>(imag_p);
  install<block_kernel<conj_p>, 1>(conj_p);
}

std::span<const BlockRow> table_rows() {
#define UNARY(id, ...) {&id##_p, unary_op<UnaryRow::id##_row>},
#define BINARY(id, ...) {&id##_p, binary_op<BinaryRow::id##_row>},
#define COMPARE(id, ...) {&id##_p, binary_op<CompareRow::id##_row>},
  static constexpr BlockRow rows[] = {
#include "jaxpp/ops/elementwise.def"
  };
#undef UNARY
#undef BINARY
#undef COMPARE
  return rows;
}

}  // namespace jaxpp::internal
