// strided.h -- copies between strided views: what every mover of elements comes down to.
#pragma once
#include <cstdlib>
#include <cstring>
#include "backends/eager/kernels.h"

namespace jaxpp::internal {

/// An index space with the strides, in elements, of a destination and of a source.
struct StridedPair {
  Dims shape, to, from;
  void add(std::int64_t size, std::int64_t to_stride, std::int64_t from_stride) {
    shape.push_back(size);
    to.push_back(to_stride);
    from.push_back(from_stride);
  }
  /// Drops dimensions of size 1 and joins neighbours that are one dimension in both views.  False
  /// if it is empty.
  bool simplify() {
    std::size_t k = 0;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == 0) return false;
      if (shape[i] == 1) continue;
      if (k && to[k - 1] == to[i] * shape[i] && from[k - 1] == from[i] * shape[i]) {
        shape[k - 1] *= shape[i];
        to[k - 1] = to[i];
        from[k - 1] = from[i];
      } else {
        shape[k] = shape[i];
        to[k] = to[i];
        from[k] = from[i];
        ++k;
      }
    }
    shape.resize(k);
    to.resize(k);
    from.resize(k);
    return true;
  }
};

/// visit(offset in the destination, offset in the source) for every index of the first `rank`
/// dimensions.
template <class Visit>
void walk_pair(const StridedPair& v, std::size_t rank, Visit visit) {
  Dims index(rank, 0);
  std::int64_t to = 0, from = 0;
  for (;;) {
    visit(to, from);
    std::size_t d = rank;
    for (; d-- > 0;) {
      to += v.to[d];
      from += v.from[d];
      if (++index[d] < v.shape[d]) break;
      to -= v.to[d] * v.shape[d];
      from -= v.from[d] * v.shape[d];
      index[d] = 0;
    }
    if (d == std::size_t(-1)) return;
  }
}

// A matrix from columns to rows: to[i, j] = from[i, j] with unit strides to over j, from over i.
// Both sides touch each cache line once: 16 x 16 blocks.
template <class T>
void copy_transposed(T* to, const T* from, std::int64_t n_i, std::int64_t n_j, std::int64_t to_i,
                     std::int64_t from_j) {
  constexpr std::int64_t B = 16;
  for (std::int64_t i0 = 0; i0 < n_i; i0 += B) {
    const std::int64_t i1 = std::min(i0 + B, n_i);
    for (std::int64_t j0 = 0; j0 < n_j; j0 += B) {
      const std::int64_t j1 = std::min(j0 + B, n_j);
      for (std::int64_t i = i0; i < i1; ++i)
        for (std::int64_t j = j0; j < j1; ++j) to[i * to_i + j] = from[i + j * from_j];
    }
  }
}

template <class T>
void copy_row(T* to, const T* from, std::int64_t n, std::int64_t to_by, std::int64_t from_by) {
  if (to_by == 1 && from_by == 1) {
    std::memcpy(to, from, std::size_t(n) * sizeof(T));
  } else if (to_by == 1 && from_by == 0) {
    std::fill_n(to, n, *from);
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i * to_by] = from[i * from_by];
  }
}
template <class T>
void copy_pair(T* to, const T* from, StridedPair v) {
  if (!v.simplify()) return;
  const std::size_t rank = v.shape.size();
  if (rank == 0) {
    *to = *from;
    return;
  }
  const std::int64_t n = v.shape[rank - 1], to_by = v.to[rank - 1], from_by = v.from[rank - 1];
  if (to_by == 1 && std::abs(from_by) > 1)
    for (std::size_t i = 0; i + 1 < rank; ++i)
      if (v.from[i] == 1) {  // another dimension is contiguous in the source
        const std::int64_t n_i = v.shape[i], to_i = v.to[i];
        v.shape[i] = 1;
        return walk_pair(v, rank - 1, [&](std::int64_t t, std::int64_t f) {
          copy_transposed(to + t, from + f, n_i, n, to_i, from_by);
        });
      }
  walk_pair(v, rank - 1,
            [&](std::int64_t t, std::int64_t f) { copy_row(to + t, from + f, n, to_by, from_by); });
}
/// The elements of a source view, in row-major order.
inline void copy_strided(const Array& x, std::int64_t offset, const Dims& strides, Array& y) {
  StridedPair v{y.shape(), strides_of(y.shape()), strides};
  by_width(x.dtype(), [&](auto t) {
    using T = decltype(t);
    copy_pair(y.data<T>(), x.data<T>() + offset, std::move(v));
  });
}

}  // namespace jaxpp::internal
