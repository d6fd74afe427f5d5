// jaxpp.h -- everything, in one header.  A tour:
//
//   using namespace jaxpp;
//   Array x = {1.0, 2.0, 3.0};               // f64; {1.f} is f32, {1} is i32.  Immutable, shared
//   Array y = sin(x) * 2 + sum(x, 0);        // numpy's functions, on any type          math.h
//   quantile(x, 0.9), polyfit(x, y, 2), segment_sum(x, ids, n)  // statistics.h, polynomial.h, segment.h
//   log_ndtr(x), betaln(a, b), expi(x)       // more special functions               special.h
//   x(0), x(Slice(1, None)), x.at(0).set(5)  // indexing; functional updates         array.h
//
//   auto f = [](Array v) { return sum(sin(v) * v); };
//   Array g = grad(f)(x);                    // the gradient; nests to any order     grad.h
//   auto [dx, dy] = grad<0, 1>(h)(a, b);     // argnums choose the return type
//   auto [v, dv] = jvp(f, x, dx);            // forward mode; linearize              jvp.h
//   auto [w, pullback] = vjp(f, x);          // reverse mode, reusable
//   Array H = hessian(f)(x);                 // jacfwd, jacrev, jacobian, hvp        jacobian.h
//   auto c = taylor(f, 10)(x, dx);           // Taylor coefficients along a line     taylor.h
//   auto S = sparse_hessian(f, x);  S.values(x)    // few products, by colours        sparse.h
//   Array ys = vmap(f)(batch);               // adds an axis; {.in_axes = {0, None}} vmap.h
//   auto fast = jit(f);   fast(x);           // traced once per type, then compiled  jit.h
//
//   struct Layer { Array w, b; };            // any aggregate is a tree              tree.h
//   struct Mlp { Layer hidden, out; int width; };      // Arrays are traced, the rest is static
//   auto step = jit([](Mlp m, Array in, Array out) {
//     auto [loss, d] = value_and_grad(mse)(m, in, out);
//     return std::pair(tree_map([](Array p, Array dp) { return p - 0.1 * dp; }, m, d), loss);
//   });
//   std::tie(m, loss) = step(std::move(m), in, out);   // what is moved in gives its buffers up
//
//   cond, switch_, while_loop, fori_loop, scan, associative_scan, map                control.h
//   Array path = odeint(rate, y0, ts, k);    // differential equations               ode.h
//   custom_jvp, custom_vjp, checkpoint       // own derivatives; recomputation       custom.h
//   std::cout << make_jaxpr(grad(f))(x);     // the program behind a function        make_jaxpr.h
//   optimize::least_squares(misfit, p0).x    // minimize, root, brentq               optimize.h
//   check_grads(f, x);                       // against finite differences           check_grads.h
//   linalg::cg(a, b), linalg::lu_solve(f, b), signal::fftconvolve(x, y)  // iterative.h, linalg_factors.h, signal.h
//   auto scope = debug_nans();               // an error at what makes the first NaN core/nan_check.h
//   grad(safe_gradients(f))(x);              // unselected branches do not poison    safe_gradients.h
//   save("x.npy", x), savez, save_safetensors, save_tree("model.safetensors", m)       io.h
//   to_dlpack(x), from_dlpack(tensor)        // memory shared with other libraries   dlpack.h
//   load_jaxpr<Array(Mlp, Array)>("predict.json")   // a program of JAX, by tools/export_jax.py  exported.h
//   set_num_threads(4)                       // one pool; the same bits for any number  threads.h
//   nn::Dense layer = nn::dense(key, 4, 8);  // nn_layers.h, nn_attention.h, nn_recurrent.h, nn_losses.h
//   random::normal(random::key(0), {3})      // and linalg::, fft::, nn::, optim::, debug::, lax::
//
// Errors are exceptions derived from jaxpp::Error and name the line of the user's expression.
// For Eigen's matrices include jaxpp/eigen.h, for its sparse ones jaxpp/sparse_eigen.h.
#pragma once
#include "jaxpp/check_grads.h"
#include "jaxpp/checkpoint.h"
#include "jaxpp/collectives.h"
#include "jaxpp/control.h"
#include "jaxpp/convolve.h"
#include "jaxpp/core/allocator.h"
#include "jaxpp/custom.h"
#include "jaxpp/custom_primitive.h"
#include "jaxpp/debug.h"
#include "jaxpp/dlpack.h"
#include "jaxpp/exported.h"
#include "jaxpp/fft.h"
#include "jaxpp/grad.h"
#include "jaxpp/image.h"
#include "jaxpp/implicit.h"
#include "jaxpp/io.h"
#include "jaxpp/io_callback.h"
#include "jaxpp/iterative.h"
#include "jaxpp/jacobian.h"
#include "jaxpp/jit.h"
#include "jaxpp/jvp.h"
#include "jaxpp/lax.h"
#include "jaxpp/lax_composed.h"
#include "jaxpp/linalg.h"
#include "jaxpp/linalg_factors.h"
#include "jaxpp/make_jaxpr.h"
#include "jaxpp/math.h"
#include "jaxpp/math_apply.h"
#include "jaxpp/math_edit.h"
#include "jaxpp/math_sets.h"
#include "jaxpp/nested.h"
#include "jaxpp/nn.h"
#include "jaxpp/nn_attention.h"
#include "jaxpp/nn_layers.h"
#include "jaxpp/nn_losses.h"
#include "jaxpp/nn_recurrent.h"
#include "jaxpp/ode.h"
#include "jaxpp/optim.h"
#include "jaxpp/optimize.h"
#include "jaxpp/polynomial.h"
#include "jaxpp/random.h"
#include "jaxpp/safe_gradients.h"
#include "jaxpp/segment.h"
#include "jaxpp/signal.h"
#include "jaxpp/sparse.h"
#include "jaxpp/special.h"
#include "jaxpp/special_matrices.h"
#include "jaxpp/statistics.h"
#include "jaxpp/taylor.h"
#include "jaxpp/threads.h"
#include "jaxpp/tree.h"
#include "jaxpp/vmap.h"
