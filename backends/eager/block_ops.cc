// block_ops.cc -- the table of all elementwise primitives.
#include "backends/eager/block_ops.h"
#include <absl/container/flat_hash_map.h>

namespace jaxpp::internal {

BlockOp block_op(const Primitive& p, Params params, std::span<const DType> x, DType z) {
  using Table = absl::flat_hash_map<const Primitive*, const BlockRow*>;
  static const Table& table = *[] {
    auto* t = new Table;
    for (auto rows : {table_rows(), convert_rows(), parametric_rows(), random_rows()})
      for (const BlockRow& r : rows) t->emplace(r.primitive, &r);
    return t;
  }();
  const auto row = table.find(&p);
  return row == table.end() ? BlockOp() : row->second->choose(params, x, z);
}

}  // namespace jaxpp::internal
