// jacobian.cc -- Jacobians by pushing forward, or pulling back, a whole basis at once (vmap).
#include "jaxpp/jacobian.h"

#include "jaxpp/lax.h"

namespace jaxpp::internal {

namespace {

std::vector<Type> types_of(Args x) {
  std::vector<Type> t;
  for (const Array& a : x) t.push_back(a.type());
  return t;
}
std::int64_t total_size(std::span<const Type> types) {
  std::int64_t n = 0;
  for (Type t : types) n += t->size;
  return n;
}

// map, linear in arrays of types `from`, of every element of a basis of them: results have one
// more, leading axis.
template <class Map>
Results map_basis(Types from, const Map& map, std::int64_t chunk, Loc loc) {
  Results rows, all;
  basis(from, rows);
  const std::int64_t n = total_size(from);
  if (chunk <= 0 || chunk > n) chunk = n;
  for (std::int64_t at = 0; at < n; at += chunk) {
    const std::int64_t end = std::min(n, at + chunk);
    Results part, y;
    for (const Array& r : rows)
      part.push_back(chunk == n ? r : lax::slice_in_dim(r, at, end, 0, loc));
    std::vector<int> axes(part.size(), 0);
    const int front = 0;
    vmap_flat(flat(map), args(part), axes, {&front, 1}, end - at, "", y, loc);
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (at == 0)
        all.push_back(y[i]);
      else {
        const Array both[] = {all[i], y[i]};
        all[i] = lax::concatenate(both, 0, loc);
      }
    }
  }
  return all;
}

// Rows first ... of `rows` [n, ...]: those of one leaf.
Array rows_of(const Array& rows, std::int64_t first, Type leaf, Loc loc) {
  if (rows.shape()[0] == leaf->size) return rows;
  return lax::slice_in_dim(rows, first, first + leaf->size, 0, loc);
}
Shape joined(const Shape& a, const Shape& b) {
  Shape s = a;
  s.append(b.begin(), b.end());
  return s;
}

}  // namespace

void jacobian_flat(FlatFn f, Args x, JacobianMode mode, const JacobianOptions& options,
                   Results& out, const char* who, Loc loc) {
  std::vector<Type> in = types_of(x), result;
  std::int64_t n_in = total_size(in);
  auto check = [&](const std::vector<Type>& types, const char* what) {
    for (Type t : types)
      if (options.holomorphic ? !is_complex(t->dtype) : !is_float(t->dtype))
        fail<TypeError>(std::string(who) + ": needs " +
                            (options.holomorphic ? "complex " : "real floating-point ") + what +
                            "; there is " + t->str() + ".",
                        loc, "E18", options.holomorphic ? "" : "Use jvp or vjp.");
  };
  if (mode != JacobianMode::reverse) check(in, "arguments");

  Results columns;  // forward: [n_in, result...]
  if (mode == JacobianMode::forward) {
    if (n_in == 0) {  // nothing to push: only the types of the results are needed
      Results y;
      f(x, y);
      result = types_of(args(y));
    } else {
      auto push = [&](Args dx, Results& dy) {
        Results y;
        jvp_flat(f, x, dx, y, dy, loc);
        instantiate_tangents(y, dy);
        if (result.empty()) result = types_of(args(y));
      };
      columns = map_basis(in, push, options.chunk, loc);
      // Values that do not depend on the tangents are unmapped inside vmap, so their types are
      // those of one lane.
    }
  } else {
    Results y, rows;
    LinearMap map = LinearMap::of(f, x, y, who, loc);
    result = types_of(args(y));
    check(result, "results");
    const std::int64_t n_out = total_size(result);
    if (mode == JacobianMode::automatic && n_in <= n_out) {
      auto push = [&](Args dx, Results& dy) { map.push(dx, dy, loc); };
      if (n_in > 0) columns = map_basis(in, push, options.chunk, loc);
    } else {
      auto pull = [&](Args ct, Results& g) { map.pull(ct, g, loc); };
      if (n_out > 0) rows = map_basis(result, pull, options.chunk, loc);
      std::int64_t at = 0;
      for (Type r : result) {
        for (std::size_t i = 0; i < in.size(); ++i) {
          const Shape shape = joined(r->shape, in[i]->shape);
          out.push_back(rows.empty() ? lax::full(make_type(in[i]->dtype, shape), 0, loc)
                                     : lax::reshape(rows_of(rows[i], at, r, loc), shape, loc));
        }
        at += r->size;
      }
      return;
    }
  }
  for (std::size_t o = 0; o < result.size(); ++o) {
    std::int64_t at = 0;
    for (Type t : in) {
      const Shape shape = joined(result[o]->shape, t->shape);
      if (columns.empty()) {
        out.push_back(lax::full(make_type(result[o]->dtype, shape), 0, loc));
      } else {
        Array c = rows_of(columns[o], at, t, loc);
        out.push_back(lax::reshape(lax::move_axis(c, 0, c.ndim() - 1), shape, loc));
      }
      at += t->size;
    }
  }
}

}  // namespace jaxpp::internal
