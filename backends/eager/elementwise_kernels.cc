// elementwise_kernels.cc -- broadcasting, and the kernels of elementwise operations that are no rows
// of elementwise.def.
//
// Broadcasting never copies: dimensions are merged where both operands advance alike, the innermost
// group is one run of a loop (each operand full or repeated), the outer groups are walked.
#include "backends/eager/elementwise_kernels.h"

#include <cstring>

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

void run_broadcast(BinaryLoop loop, const Array& x, const Array& y, const Array& z) {
  const std::int64_t n = z.size();
  if (n == 0) return;
  const bool x_full = x.size() == n, y_full = y.size() == n;
  if ((x_full || x.size() == 1) && (y_full || y.size() == 1)) [[likely]]
    return loop(x.data<char>(), x_full, y.data<char>(), y_full, z.data<char>(), n);

  const auto g = groups_of(x.shape(), y.shape(), z.shape());
  const auto wx = std::int64_t(width(x.dtype())), wy = std::int64_t(width(y.dtype())),
             wz = std::int64_t(width(z.dtype()));
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
  SmallVec<const void*, 4> from;
  SmallVec<bool, 8> full;
  for (const Array& a : x) {
    in.push_back(a.dtype());
    from.push_back(a.data<char>());
    full.push_back(a.size() == z->size());
  }
  void* to[] = {z->data<char>()};
  block_op(P, p, {in.data(), in.size()}, z->dtype())
      .run({{from.data(), from.size()}, full.data(), to}, z->size());
}

}  // namespace

void install_elementwise_kernels() {
  install_unary_kernels();
  install_binary_kernels();
  install_compare_kernels();
  install_convert_kernels();
  install<block_kernel<select_n_p>, ~std::uint32_t(0)>(select_n_p);
  install<block_kernel<clamp_p>, 7>(clamp_p);
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

}  // namespace jaxpp::internal
