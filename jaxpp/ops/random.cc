// random.cc -- threefry2x32: the counter-based generator that all of random.h is made of.
//
// Operands k0, k1, x0, x1 (u32; equal shapes, or rank 0): the two words of a key and of a counter.
// Results: the two words of the counter, encrypted.  No state, so equal keys and counters give
// equal bits anywhere.
#include "jaxpp/ops/indexing.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace {
using namespace internal;

// The common shape of operands that are equal, of rank 0, or of equal rank with sizes 1.
void threefry_shape(Types x, Params, Type* y) {
  Shape s;
  for (Type t : x) {
    check(t->dtype == u32, "threefry2x32", [&] { return "operands must be u32, not " + t->str(); });
    if (t->shape.empty()) continue;
    if (s.empty()) s = t->shape;
    bool fits = s.size() == t->shape.size();
    for (std::size_t i = 0; fits && i < s.size(); ++i) {
      if (s[i] == 1) s[i] = t->shape[i];
      fits = t->shape[i] == 1 || t->shape[i] == s[i];
    }
    check(fits, "threefry2x32",
          [&] { return "shapes differ: " + to_string(s) + " and " + to_string(t->shape); });
  }
  y[0] = y[1] = make_type(u32, s);
}
void threefry_batch(BatchRule& r) {
  std::size_t rank = 0;
  for (std::size_t i = 0; i < 4; ++i)
    rank = std::max(rank, std::size_t(r.x[i].ndim()) - (r.axis[i] >= 0 ? 1 : 0));
  Results x;
  for (std::size_t i = 0; i < 4; ++i) {  // batch in front, then sizes 1 up to the common rank
    if (r.axis[i] < 0 && r.x[i].ndim() == 0) {
      x.push_back(r.x[i]);
      continue;
    }
    Array a = r.axis[i] < 0 ? lax::expand_dims(r.x[i], {0}) : lax::move_axis(r.x[i], r.axis[i], 0);
    Shape s = a.shape();
    while (s.size() < rank + 1) s.push_back(1);
    x.push_back(lax::reshape(a, s));
  }
  r.prim.bind(args(x), {}, r.y, Loc::current());
  r.y_axis[0] = r.y_axis[1] = 0;
}
std::size_t two(Params) { return 2; }
}  // namespace

const Primitive threefry2x32_p = {.name = "threefry2x32",
                                  .shape = threefry_shape,
                                  .batch = threefry_batch,
                                  .num_outputs = two,
                                  .differentiable = false};

std::pair<Array, Array> lax::threefry2x32(const Array& k0, const Array& k1, const Array& x0,
                                          const Array& x1, Loc loc) {
  Array y[2];
  threefry2x32_p.bind(Borrowed(k0, k1, x0, x1), {}, y, loc);
  return {std::move(y[0]), std::move(y[1])};
}

}  // namespace jaxpp
