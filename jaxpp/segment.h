// segment.h -- reductions of the rows of an array by groups, after jax.ops.
//
//   Array per_class = segment_sum(values, labels, 10);          // values[n, ...], labels[n] -> [10, ...]
//
// Row i belongs to the group segment_ids(i); ids outside of 0, ..., num_segments - 1 belong to none.  num_segments is a number, not
// an array: the shape of the result.  A group without rows gets the neutral element.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp {

/// The sums (products) of the rows of each group.   x: [n, ...], segment_ids: integers [n] -> [num_segments, ...]
Array segment_sum(const Array& x, const Array& segment_ids, std::int64_t num_segments,
                  Loc = Loc::current());
Array segment_prod(const Array& x, const Array& segment_ids, std::int64_t num_segments,
                   Loc = Loc::current());
/// The greatest (least) elements of each group; without rows: -inf (inf), or the least (greatest) integer.
Array segment_max(const Array& x, const Array& segment_ids, std::int64_t num_segments,
                  Loc = Loc::current());
Array segment_min(const Array& x, const Array& segment_ids, std::int64_t num_segments,
                  Loc = Loc::current());

}  // namespace jaxpp
