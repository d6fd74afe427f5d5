// scatter.cc -- writing windows at computed positions: scatter, scatter-add, -sub, -mul, -min,
// -max.
//
// Operands x, indices, updates.  scatter-add and -sub are linear in (x, updates); scatter-mul is
// linear in x; scatter (set) is linear, but where windows meet only the winner's tangent may pass,
// so its derivative is a scatter-add of masked tangents; scatter-min and -max share the tangent
// among the values that tie, as max(x, y) does.
#include "jaxpp/ops/indexing.h"

namespace jaxpp {
namespace {
using namespace internal;

// Sizes that do not fit name the operation, like the other checks.
void scatter_shape_of(const char* op, Types x, Params params, Type* y) {
  auto& d = params.as<ScatterParams>().dimension_numbers;
  check(x[0]->dtype == x[2]->dtype, op,
        [&] { return "element types differ: " + x[0]->str() + " and " + x[2]->str(); });
  check_windows(
      {op, d.update_window_dims, d.inserted_window_dims, d.scatter_dims_to_operand_dims,
       d.operand_batching_dims, d.scatter_indices_batching_dims, "update_window_dims",
       "inserted_window_dims", "scatter_dims_to_operand_dims", "scatter_indices_batching_dims"},
      x[0], x[1]);
  const Shape &to = x[0]->shape, &indices = x[1]->shape, &updates = x[2]->shape;
  check(updates.size() == d.update_window_dims.size() + indices.size() - 1, op, [&] {
    return "updates " + x[2]->str() + " must have rank " +
           std::to_string(d.update_window_dims.size() + indices.size() - 1);
  });
  const Dims window = without(to.size(), d.inserted_window_dims, d.operand_batching_dims);
  for (std::size_t i = 0, w = 0, b = 0; i < updates.size(); ++i) {
    if (position(d.update_window_dims, std::int64_t(i)) >= 0)
      check(updates[i] <= to[std::size_t(window[w++])], op, [&] {
        return "the window of the updates, " + x[2]->str() + ", is larger than " + x[0]->str() +
               " on axis " + std::to_string(window[w - 1]);
      });
    else
      check(updates[i] == indices[b++], op, [&] {
        return "updates " + x[2]->str() + " have " + std::to_string(updates[i]) + " on axis " +
               std::to_string(i) + ", indices " + x[1]->str() + " have " +
               std::to_string(indices[b - 1]);
      });
  }
  *y = x[0];
}
template <const Primitive* P>
void scatter_shape(Types x, Params params, Type* y) {
  scatter_shape_of(P->name, x, params, y);
}

void scatter_batch(BatchRule& r) {
  ScatterParams p = r.params.as<ScatterParams>();
  ScatterDims& d = p.dimension_numbers;
  const Array x = lax::batch_to_front(r.x[0], r.axis[0], r.size),
              updates = lax::batch_to_front(r.x[2], r.axis[2], r.size);
  Array indices = r.x[1];
  d.update_window_dims = shifted(d.update_window_dims, 0);
  d.inserted_window_dims = shifted(d.inserted_window_dims, 0);
  d.scatter_dims_to_operand_dims = shifted(d.scatter_dims_to_operand_dims, 0);
  d.operand_batching_dims = shifted(d.operand_batching_dims, 0);
  if (r.axis[1] < 0) {
    d.update_window_dims.insert(0, 0);
  } else {
    indices = lax::move_axis(indices, r.axis[1], 0);
    d.scatter_indices_batching_dims = shifted(d.scatter_indices_batching_dims, 0);
    d.operand_batching_dims.insert(0, 0);
    d.scatter_indices_batching_dims.insert(0, 0);
  }
  r.prim.bind(Borrowed(x, indices, updates), p, r.y, Loc::current());
  *r.y_axis = 0;
}

// ---- scatter-add, scatter-sub
void scatter_add_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  if (!r.dx[2].defined()) {
    *r.dy = r.dx[0];
    return;
  }
  r.prim.bind(Borrowed(instantiate(r.dx[0], r.x[0].type()), r.x[1], r.dx[2]), r.params, r.dy,
              Loc::current());
}
// The cotangent of the updates: windows that were dropped get none (unless they were promised not to be there).
Array updates_ct(const TransposeRule& r, const Array& ct) {
  auto& p = r.params.as<ScatterParams>();
  const Shape& updates = r.x_types[2]->shape;
  if (p.mode == IndexMode::CLIP || p.mode == IndexMode::PROMISE_IN_BOUNDS)
    return gather_windows(ct, r.x[1], p, updates);
  return lax::gather(ct, r.x[1],
                     {.dimension_numbers = gather_dims(p.dimension_numbers),
                      .fill_value = std::int64_t(0),
                      .indices_are_sorted = p.indices_are_sorted,
                      .mode = IndexMode::FILL_OR_DROP,
                      .slice_sizes = window_sizes(p.dimension_numbers, ct.shape(), updates),
                      .unique_indices = p.unique_indices});
}
void scatter_add_transpose(TransposeRule& r) {
  r.add(0, r.ct[0]);
  if (r.wanted(2)) r.add(2, updates_ct(r, r.ct[0]));
}
void scatter_sub_transpose(TransposeRule& r) {
  r.add(0, r.ct[0]);
  if (r.wanted(2)) r.add(2, lax::neg(updates_ct(r, r.ct[0])));
}

// ---- scatter-mul
// For each update: what it is multiplied with, the element and the other updates that meet there.  That is the result
// divided by it, or for a zero, the product of the rest if no other zero is among them.  (Second derivatives are right
// but where two zeros meet.)
Array product_of_others(const Array& x, const Array& indices, const Array& updates, const Array& y,
                        const ScatterParams& p) {
  auto at_updates = [&](const Array& v) { return gather_windows(v, indices, p, updates.shape()); };
  const Array zeros = lax::zeros_like(updates), ones = lax::full_like(updates, 1);
  const Array is_zero = lax::eq(updates, zeros), safe = lax::select(is_zero, ones, updates);
  const Array count = at_updates(
      lax::scatter_add(lax::zeros_like(x), indices, lax::select(is_zero, ones, zeros), p));
  const Array rest = at_updates(lax::scatter_mul(x, indices, safe, p));
  const Array of_zero = lax::select(lax::eq(count, ones), rest, zeros);
  return lax::select(is_zero, of_zero, lax::div(at_updates(y), safe));
}
void scatter_mul_jvp(JvpRule& r) {
  auto& p = r.params.as<ScatterParams>();
  const Array &x = r.x[0], &indices = r.x[1];
  r.prim.bind(r.x, p, r.y, Loc::current());
  if (r.dx[0].defined()) *r.dy = lax::scatter_mul(r.dx[0], indices, r.x[2], p);
  if (!r.dx[2].defined()) return;
  Array term;
  if (p.unique_indices) {
    term = lax::mul(x, lax::scatter_add(lax::zeros_like(x), indices, r.dx[2], p));
  } else {
    const Array weight = product_of_others(x, indices, r.x[2], *r.y, p);
    term = lax::scatter_add(lax::zeros_like(x), indices, lax::mul(r.dx[2], weight), p);
  }
  *r.dy = add_tangents(*r.dy, term);
}
void scatter_mul_transpose(TransposeRule& r) {
  check(!r.linear(2), "scatter-mul", [&] { return "not linear in the updates"; });
  if (r.wanted(0))
    r.add(0, lax::scatter_mul(r.ct[0], r.x[1], r.x[2], r.params.as<ScatterParams>()));
}

// ---- scatter (set)
// Tells which update stays: ids are scattered like the updates; an update whose id is found again
// at its place won, and an element without id keeps its old value.
struct Winners {
  Array kept;  // bool, like x
  Array won;   // bool, like updates
};
Winners winners(const Array& x, const Array& indices, const Array& updates,
                const ScatterParams& p) {
  Shape id_shape = updates.shape();
  for (auto d : p.dimension_numbers.update_window_dims) id_shape[std::size_t(d)] = 1;
  std::int64_t n = 1;
  for (auto s : id_shape) n *= s;
  const DType dtype = n < (std::int64_t(1) << 32) - 1 ? u32 : u64;
  const Array one = lax::full(scalar_type(dtype), 1);
  const Array ids =
      lax::broadcast_in_dim(lax::reshape(lax::add(lax::iota(dtype, {n}, 0), one), id_shape),
                            updates.shape(), iota_dims(id_shape.size()));
  const Array zeros = lax::full(make_type(dtype, x.shape()), 0);
  const Array scattered = lax::scatter(zeros, indices, ids, p);
  return {lax::eq(scattered, zeros),
          lax::eq(ids, gather_windows(scattered, indices, p, updates.shape()))};
}
void scatter_jvp(JvpRule& r) {
  auto& p = r.params.as<ScatterParams>();
  const Array &x = r.x[0], &indices = r.x[1], &updates = r.x[2];
  r.prim.bind(r.x, p, r.y, Loc::current());
  if (!r.dx[0].defined() && !r.dx[2].defined()) return;
  Array dx = instantiate(r.dx[0], x.type()), du = instantiate(r.dx[2], updates.type());
  if (p.unique_indices) {
    *r.dy = lax::scatter(dx, indices, du, p);
    return;
  }
  const Winners w = winners(x, indices, updates, p);
  if (r.dx[0].defined()) dx = lax::select(w.kept, dx, lax::zeros_like(x));
  if (r.dx[2].defined()) du = lax::select(w.won, du, lax::zeros_like(updates));
  *r.dy = lax::scatter_add(dx, indices, du, p);
}
void scatter_transpose(TransposeRule& r) {
  ScatterParams p = r.params.as<ScatterParams>();
  if (!p.unique_indices) {
    const Winners w = winners(r.ct[0], r.x[1], lax::full(r.x_types[2], 0), p);
    if (r.wanted(0)) r.add(0, lax::select(w.kept, r.ct[0], lax::zeros_like(r.ct[0])));
    if (r.wanted(2)) {
      const Array ct = updates_ct(r, r.ct[0]);
      r.add(2, lax::select(w.won, ct, lax::zeros_like(ct)));
    }
    return;
  }
  if (r.wanted(0)) r.add(0, lax::scatter(r.ct[0], r.x[1], lax::full(r.x_types[2], 0), p));
  if (r.wanted(2)) r.add(2, updates_ct(r, r.ct[0]));
}

// ---- scatter-min, scatter-max
// The tangent of an element is the mean of the tangents of the values that attain the extremum
// there: its own, if it kept its value, and those of the updates equal to the result.
void scatter_extremum_jvp(JvpRule& r) {
  auto& p = r.params.as<ScatterParams>();
  const Array &x = r.x[0], &indices = r.x[1], &updates = r.x[2];
  r.prim.bind(r.x, p, r.y, Loc::current());
  if (!r.dx[0].defined() && !r.dx[2].defined()) return;
  const Array dx = instantiate(r.dx[0], x.type()), du = instantiate(r.dx[2], updates.type());
  auto at_updates = [&](const Array& v) { return gather_windows(v, indices, p, updates.shape()); };
  auto summed = [&](const Array& v) {
    return at_updates(lax::scatter_add(lax::zeros_like(x), indices, v, p));
  };

  const Array before = at_updates(x), after = at_updates(*r.y);
  const Array attains = lax::eq(updates, after), retained = lax::eq(before, after);
  const Array zeros = lax::zeros_like(updates), ones = lax::full_like(updates, 1);
  const Array count =
      summed(lax::select(attains, ones, zeros));  // updates that attain the extremum, at each place
  const Array meeting = summed(ones);             // updates that meet there
  const Array shared = lax::div(ones, lax::add(count, ones));
  const Array du_weight =
      lax::select(attains, lax::select(retained, shared, lax::div(ones, count)), zeros);
  // Each of the meeting updates takes its part of what the element itself loses.
  const Array dx_weight = lax::div(lax::sub(lax::select(retained, shared, zeros), ones), meeting);
  const Array change = lax::add(lax::mul(at_updates(dx), dx_weight), lax::mul(du, du_weight));
  *r.dy = lax::scatter_add(dx, indices, change, p);
}
}  // namespace

const Primitive scatter_p = {.name = "scatter",
                             .operands = {3, 3},
                             .shape = scatter_shape<&scatter_p>,
                             .jvp = scatter_jvp,
                             .transpose = scatter_transpose,
                             .batch = scatter_batch,
                             .params = &params_ops<ScatterParams>};
const Primitive scatter_add_p = {.name = "scatter-add",
                                 .operands = {3, 3},
                                 .shape = scatter_shape<&scatter_add_p>,
                                 .jvp = scatter_add_jvp,
                                 .transpose = scatter_add_transpose,
                                 .batch = scatter_batch,
                                 .params = &params_ops<ScatterParams>};
const Primitive scatter_sub_p = {.name = "scatter-sub",
                                 .operands = {3, 3},
                                 .shape = scatter_shape<&scatter_sub_p>,
                                 .jvp = scatter_add_jvp,
                                 .transpose = scatter_sub_transpose,
                                 .batch = scatter_batch,
                                 .params = &params_ops<ScatterParams>};
const Primitive scatter_mul_p = {.name = "scatter-mul",
                                 .operands = {3, 3},
                                 .shape = scatter_shape<&scatter_mul_p>,
                                 .jvp = scatter_mul_jvp,
                                 .transpose = scatter_mul_transpose,
                                 .batch = scatter_batch,
                                 .params = &params_ops<ScatterParams>};
const Primitive scatter_min_p = {.name = "scatter-min",
                                 .operands = {3, 3},
                                 .shape = scatter_shape<&scatter_min_p>,
                                 .jvp = scatter_extremum_jvp,
                                 .batch = scatter_batch,
                                 .params = &params_ops<ScatterParams>};
const Primitive scatter_max_p = {.name = "scatter-max",
                                 .operands = {3, 3},
                                 .shape = scatter_shape<&scatter_max_p>,
                                 .jvp = scatter_extremum_jvp,
                                 .batch = scatter_batch,
                                 .params = &params_ops<ScatterParams>};

Array lax::scatter(const Array& x, const Array& indices, const Array& updates,
                   const ScatterParams& p, Loc loc) {
  return scatter_p.apply(p, loc, x, indices, updates);
}
Array lax::scatter_add(const Array& x, const Array& indices, const Array& updates,
                       const ScatterParams& p, Loc loc) {
  return scatter_add_p.apply(p, loc, x, indices, updates);
}
Array lax::scatter_sub(const Array& x, const Array& indices, const Array& updates,
                       const ScatterParams& p, Loc loc) {
  return scatter_sub_p.apply(p, loc, x, indices, updates);
}
Array lax::scatter_mul(const Array& x, const Array& indices, const Array& updates,
                       const ScatterParams& p, Loc loc) {
  return scatter_mul_p.apply(p, loc, x, indices, updates);
}
Array lax::scatter_min(const Array& x, const Array& indices, const Array& updates,
                       const ScatterParams& p, Loc loc) {
  return scatter_min_p.apply(p, loc, x, indices, updates);
}
Array lax::scatter_max(const Array& x, const Array& indices, const Array& updates,
                       const ScatterParams& p, Loc loc) {
  return scatter_max_p.apply(p, loc, x, indices, updates);
}

}  // namespace jaxpp
