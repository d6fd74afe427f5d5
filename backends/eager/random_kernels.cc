// random_kernels.cc -- threefry2x32 over runs of keys and counters, and random_gamma (scalar.h has the code of one element).
#include <algorithm>
#include "backends/eager/elementwise_kernels.h"
#include "backends/eager/scalar.h"
#include "backends/eager/strided.h"

namespace jaxpp::internal {
namespace {

// Operands k0, k1, x0, x1.  Blocks of one fixed size, so that the compiler makes vector code of them; the last may be
// filled with anything.
void threefry_loop(const BlockArgs& a, std::int64_t n) {
  using Word = std::uint32_t;
  constexpr std::int64_t block = 64;
  const Word* x[4];
  for (std::size_t k = 0; k < 4; ++k) x[k] = static_cast<const Word*>(a.x[k]);
  Word *y0 = static_cast<Word*>(a.z[0]), *y1 = static_cast<Word*>(a.z[1]);
  if (n == 1) {
    Word c0 = *x[2], c1 = *x[3];
    scalar::threefry2x32(*x[0], *x[1], c0, c1);
    *y0 = c0, *y1 = c1;
    return;
  }
  Word b[4][block] = {};
  for (std::size_t k = 0; k < 4; ++k)
    if (!a.full[k]) std::fill_n(b[k], block, *x[k]);
  for (std::int64_t i = 0; i < n; i += block) {
    const std::int64_t m = std::min(block, n - i);
    for (std::size_t k = 0; k < 4; ++k)
      if (a.full[k]) std::copy_n(x[k] + i, m, b[k]);
    Word c0[block], c1[block];
    for (std::int64_t j = 0; j < block; ++j) {
      Word u = b[2][j], v = b[3][j];
      scalar::threefry2x32(b[0][j], b[1][j], u, v);
      c0[j] = u, c1[j] = v;
    }
    std::copy_n(c0, m, y0 + i);
    std::copy_n(c1, m, y1 + i);
  }
}

void threefry_kernel(Args x, Params, Array* y) {
  const Shape& shape = y[0].shape();
  Array whole[4];
  const void* from[4];
  bool full[4];
  for (std::size_t k = 0; k < 4; ++k) {
    whole[k] = x[k];
    full[k] = x[k].size() == y[0].size();
    if (!full[k] && x[k].size() != 1) {  // dimensions of size 1 are repeated
      Dims strides = strides_of(x[k].shape());
      for (std::size_t d = 0; d < shape.size(); ++d)
        if (x[k].shape()[d] == 1) strides[d] = 0;
      whole[k] = Array::make(y[0].type());
      copy_strided(x[k], 0, strides, whole[k]);
      full[k] = true;
    }
    from[k] = whole[k].data<char>();
  }
  void* to[] = {y[0].data<char>(), y[1].data<char>()};
  threefry_loop({from, full, to}, y[0].size());
}
template <class T, bool log_space>
void gamma_loop(const BlockArgs& args, std::int64_t n) {
  const auto *first = static_cast<const std::uint32_t*>(args.x[0]),
             *second = static_cast<const std::uint32_t*>(args.x[1]);
  const T* a = static_cast<const T*>(args.x[2]);
  T* z = static_cast<T*>(args.z[0]);
  auto at = [&](std::size_t k, std::int64_t i) { return args.full[k] ? i : 0; };
  for (std::int64_t i = 0; i < n; ++i) {
    const auto shape = scalar::compute(a[at(2, i)]);
    const std::uint32_t k0 = first[at(0, i)], k1 = second[at(1, i)];
    z[i] = scalar::store<T>(log_space ? scalar::random_loggamma(k0, k1, shape)
                                      : scalar::random_gamma(k0, k1, shape));
  }
}
BlockOp gamma_op(Params p, std::span<const DType>, DType z) {
  const bool log_space = p.as<RandomGammaParams>().log_space;
  return by_dtype(z, [&](auto t) -> BlockOp {
    using T = decltype(t);
    if constexpr (in_domain(Domain::Float, dtype_of<T>))
      return log_space ? gamma_loop<T, true> : gamma_loop<T, false>;
    return {};
  });
}
BlockOp threefry_op(Params, std::span<const DType>, DType) { return threefry_loop; }

}  // namespace

void install_random_kernels() { install<threefry_kernel>(threefry2x32_p); }
std::span<const BlockRow> random_rows() {
  static constexpr BlockRow rows[] = {{&threefry2x32_p, threefry_op}, {&random_gamma_p, gamma_op}};
  return rows;
}

}  // namespace jaxpp::internal
