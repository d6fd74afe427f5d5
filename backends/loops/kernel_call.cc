#include "backends/loops/kernel_call.h"
#include <algorithm>
#include <cstring>
#include "backends/eager/kernels.h"

namespace jaxpp::loops {
namespace {

std::size_t bytes_of(Type t) { return std::size_t(t->size) * width(t->dtype); }

// An array over memory that the run owns.  A kernel must neither keep it nor write to it: an operand that a kernel may
// keep is a copy.
Array view(Type t, void* data) {
  internal::Node* n = node_new(t, 0);
  n->index = std::uint32_t(Storage::external);
  n->data = data;
  n->external = {nullptr, nullptr};
  return Array::adopt(n);
}

}  // namespace

KernelCall::KernelCall(const Call& c) : call_(&c), kernel_(&kernel_of(*c.prim, c.loc)) {}

void KernelCall::run(void* const* operands) const {
  const Call& c = *call_;
  void* const* const results = operands + c.in.size();
  SmallVec<Array, 4> x, y;
  for (const Call::Operand& o : c.in) {
    void* const at = *operands++;
    if (kernel_->allocates) {
      x.push_back(Array::make(o.type));
      if (o.type->size) std::memcpy(x.back().data<char>(), at, bytes_of(o.type));
    } else {
      x.push_back(view(o.type, at));
    }
  }
  for (std::size_t k = 0; k < c.out.size(); ++k)
    y.push_back(kernel_->allocates ? Array() : view(c.out[k].type, results[k]));
  try {
    kernel_->run({x.data(), x.size()}, c.view(), y.data());
  } catch (const RuleError& e) {
    fail(e.what(), c.loc, "E11");
  }
  if (!kernel_->allocates) return;
  for (std::size_t k = 0; k < c.out.size(); ++k)
    if (const std::size_t n = bytes_of(c.out[k].type))
      std::memcpy(results[k], y[k].data<char>(), n);
}

void poison_outputs(const Program& p, std::span<const void* const> in, std::span<void* const> out) {
  for (const Buffer& b : p.buffers)
    if (b.role == Buffer::Role::output && b.size)
      if (void* to = out[std::size_t(b.index)]; std::find(in.begin(), in.end(), to) == in.end())
        std::memset(to, 0xff, std::size_t(b.size) * width(b.dtype));
}

}  // namespace jaxpp::loops
