// dlpack_test.cc -- DLPack out, to a consumer, and in, from a producer, who both count what is alive.
#include "jaxpp/dlpack.h"
#include <catch2/catch.hpp>
#include <type_traits>
#include "jaxpp/dlpack_abi.h"
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {
// Somebody else's tensor.
template <class Managed>
struct Producer {
  Managed tensor{};
  std::vector<std::int64_t> shape, strides;
  int deleted = 0;
  Producer(void* data, DLDataType type, std::vector<std::int64_t> sizes,
           std::vector<std::int64_t> steps = {})
      : shape(std::move(sizes)), strides(std::move(steps)) {
    tensor.dl_tensor = {data, {kDLCPU, 0},  int(shape.size()),
                        type, shape.data(), strides.empty() ? nullptr : strides.data(),
                        0};
    tensor.manager_ctx = this;
    tensor.deleter = [](Managed* t) { ++static_cast<Producer*>(t->manager_ctx)->deleted; };
    if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>) tensor.version = {1, 7};
  }
  Producer(const Producer&) = delete;
};
using Versioned = Producer<DLManagedTensorVersioned>;
using Legacy = Producer<DLManagedTensor>;
constexpr DLDataType kF32{kDLFloat, 32, 1}, kF64{kDLFloat, 64, 1};
}  // namespace

TEST_CASE("dlpack: out, for every dtype", "[dlpack]") {
  for (DType d : {b1, i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64, c64, c128}) {
    INFO(name(d));
    Array x = arange(6, i32).astype(d).reshape({2, 3});
    DLManagedTensorVersioned* t = to_dlpack(x);
    const void* data = x.data<void>();
    CHECK(t->version.major == 1);
    CHECK(t->flags == DLPACK_FLAG_BITMASK_READ_ONLY);
    const DLTensor& e = t->dl_tensor;
    CHECK(e.data == data);
    CHECK((e.device.device_type == kDLCPU && e.ndim == 2 && e.byte_offset == 0));
    CHECK((e.shape[0] == 2 && e.shape[1] == 3 && e.strides[0] == 3 && e.strides[1] == 1));
    CHECK((e.dtype.bits == 8 * width(d) && e.dtype.lanes == 1));
    const Array back = from_dlpack(t);
    CHECK(back.type() == x.type());
    if (d != b1) CHECK(back.data<void>() == data);
    CHECK(bool(all(back == x)));
  }
  CHECK(from_dlpack(to_dlpack(Array(2.5))).item() == 2.5);
}
TEST_CASE("dlpack: the elements live as long as anybody needs them", "[dlpack]") {
  DLManagedTensorVersioned* t;
  {
    const Array x = arange(1000, f64) * 2.0;
    t = to_dlpack(x);
    CHECK_FALSE(x.unique());  // so that nobody writes to it
  }
  CHECK(static_cast<const double*>(t->dl_tensor.data)[999] == 1998);
  t->deleter(t);
  DLManagedTensor* old = to_dlpack_legacy(arange(10, f32));
  CHECK(static_cast<const float*>(old->dl_tensor.data)[9] == 9);
  old->deleter(old);
  CHECK_THROWS_AS(jit([](Array x) {
                    to_dlpack(x);
                    return x;
                  })(1.0),
                  ConcretizationError);
}
TEST_CASE("dlpack: in, shared, and given back once", "[dlpack]") {
  double data[] = {1, 2, 3, 4, 5, 6};
  Versioned p(data, kF64, {2, 3});
  {
    Array x = from_dlpack(&p.tensor);
    const Array view = x.reshape({6});
    CHECK(x.data<void>() == data);
    CHECK_FALSE(x.unique());
    x = x + 1.0;  // must not write into the producer's memory
    CHECK(double(sum(x)) == 27);
    x = Array();
    CHECK(p.deleted == 0);
    CHECK(double(sum(view)) == 21);
  }
  CHECK(p.deleted == 1);
  CHECK(data[0] == 1);

  auto fast = jit([](Array v) { return v * 2.0; });
  Legacy q(data, kF64, {6}, {1});
  {
    Array x = from_dlpack(&q.tensor);
    CHECK(double(sum(fast(std::move(x)))) == 42);  // donated, but nobody's to give away
  }
  CHECK((q.deleted == 1 && data[0] == 1));

  Versioned copied(data, kF64, {6});
  const Array y = from_dlpack(&copied.tensor, true);
  CHECK((copied.deleted == 1 && y.data<void>() != data));

  Versioned without(data, kF64, {6});
  without.tensor.deleter = nullptr;
  CHECK(double(sum(from_dlpack(&without.tensor))) == 21);
}
TEST_CASE("dlpack: strides, offsets and alignment", "[dlpack]") {
  alignas(8) float data[24];
  for (int i = 0; i < 24; ++i) data[i] = float(i);
  auto values = [](Versioned& p) { return from_dlpack(&p.tensor).to_vector<float>(); };
  Versioned columns(data, kF32, {2, 3}, {1, 2});  // the transpose of 3 x 2
  CHECK(values(columns) == std::vector<float>{0, 2, 4, 1, 3, 5});
  CHECK(columns.deleted == 1);
  Versioned backwards(data + 5, kF32, {6}, {-1});
  CHECK(values(backwards) == std::vector<float>{5, 4, 3, 2, 1, 0});
  Versioned broadcast(data + 7, kF32, {2, 2, 2}, {0, 1, 0});
  CHECK(values(broadcast) == std::vector<float>{7, 7, 8, 8, 7, 7, 8, 8});
  Versioned part(data, kF32, {3, 2}, {8, 3});
  CHECK(values(part) == std::vector<float>{0, 3, 8, 11, 16, 19});
  Versioned ones(data, kF32, {1, 4, 1}, {77, 1, -9});  // strides of axes of one element say nothing
  const Array shared = from_dlpack(&ones.tensor);
  CHECK(shared.data<void>() == data);
  Versioned offset(data, kF32, {2});
  offset.tensor.dl_tensor.byte_offset = 40;
  CHECK(values(offset) == std::vector<float>{10, 11});
  alignas(8) char bytes[9] = {};
  const float one = 1;
  std::memcpy(bytes + 1, &one, 4);
  std::memcpy(bytes + 5, &one, 4);
  Versioned odd(bytes + 1, kF32, {2});
  const Array aligned = from_dlpack(&odd.tensor);
  CHECK((odd.deleted == 1 && double(sum(aligned)) == 2));
  Versioned scalar(data + 3, kF32, {});
  CHECK(values(scalar) == std::vector<float>{3});
  Versioned empty(nullptr, kF32, {0, 5});
  CHECK(from_dlpack(&empty.tensor).shape() == Shape{0, 5});
  CHECK(empty.deleted == 1);
  unsigned char bits[] = {0, 2, 255};
  Versioned bools(bits, {kDLBool, 8, 1}, {3});
  CHECK(bool(all(from_dlpack(&bools.tensor) == Array{false, true, true})));
}
TEST_CASE("dlpack: what is refused is given back", "[dlpack]") {
  double data[4] = {};
  auto refused = [&](auto change, const char* what) {
    Versioned p(data, kF64, {4});
    change(p.tensor);
    CHECK_THROWS_WITH(from_dlpack(&p.tensor), Catch::Contains(what) && Catch::Contains("[E175]"));
    CHECK(p.deleted == 1);
  };
  using T = DLManagedTensorVersioned;
  refused([](T& t) { t.dl_tensor.dtype.lanes = 2; }, "2 lanes");
  refused([](T& t) { t.dl_tensor.dtype = {kDLOpaqueHandle, 64, 1}; }, "code 3 with 64 bits");
  refused([](T& t) { t.dl_tensor.dtype.bits = 128; }, "code 2 with 128 bits");
  refused([](T& t) { t.dl_tensor.device.device_type = kDLCUDA; }, "device of type 2");
  refused([](T& t) { t.version.major = 2; }, "DLPack 2.7");
  refused([](T& t) { t.dl_tensor.shape[0] = -4; }, "negative");
  refused([](T& t) { t.dl_tensor.data = nullptr; }, "no elements");
  refused([](T& t) { t.dl_tensor.shape = nullptr; }, "no shape");
  CHECK_THROWS_WITH(from_dlpack(static_cast<DLManagedTensor*>(nullptr)), Catch::Contains("null"));
}
