// segment.cc -- see segment.h: one scatter of all rows into an array of neutral elements.
#include "jaxpp/segment.h"
#include <cmath>
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {
using Scatter = Array(const Array&, const Array&, const Array&, const ScatterParams&, Loc);
Array segments(const char* op, Scatter* combine, double neutral, const Array& x, const Array& ids,
               std::int64_t n, Loc loc) {
  need_array(x, op, loc);
  need_array(ids, op, loc);
  if (!is_integer(ids.dtype()))
    fail(std::string(op) + ": segment_ids must be integers, not " + ids.type()->str() + ".",
         user_loc(loc), "E93");
  if (ids.ndim() != 1 || x.ndim() == 0 || x.shape()[0] != ids.size())
    fail(std::string(op) + ": segment_ids are " + ids.type()->str() + " for " + x.type()->str() +
             ": needs one for each row.",
         user_loc(loc), "E86");
  if (n < 0)
    fail(std::string(op) + ": num_segments " + std::to_string(n) + " is negative.", user_loc(loc),
         "E82");
  ScatterParams p;
  p.mode = IndexMode::FILL_OR_DROP;
  ScatterDims& d = p.dimension_numbers;
  d.inserted_window_dims = d.scatter_dims_to_operand_dims = Dims{0};
  for (std::int64_t a = 1; a < x.ndim(); ++a) d.update_window_dims.push_back(a);
  Shape shape = x.shape();
  shape[0] = n;
  return combine(lax::full(make_type(x.dtype(), shape), neutral, loc),
                 lax::expand_dims(ids, Dims{1}, loc), x, p, loc);
}
}  // namespace

Array segment_sum(const Array& x, const Array& ids, std::int64_t n, Loc loc) {
  return segments("segment_sum", lax::scatter_add, 0, x, ids, n, loc);
}
Array segment_prod(const Array& x, const Array& ids, std::int64_t n, Loc loc) {
  return segments("segment_prod", lax::scatter_mul, 1, x, ids, n, loc);
}
Array segment_max(const Array& x, const Array& ids, std::int64_t n, Loc loc) {
  return segments("segment_max", lax::scatter_max, -INFINITY, x, ids, n, loc);
}
Array segment_min(const Array& x, const Array& ids, std::int64_t n, Loc loc) {
  return segments("segment_min", lax::scatter_min, INFINITY, x, ids, n, loc);
}

}  // namespace jaxpp
