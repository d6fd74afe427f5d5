// sort_test.cc -- sort against std::stable_sort, for all types, lengths and orders of operands; to the bit, with Highway and
// without.  JAXPP_SORT=0 runs both halves without it.
#include "backends/host/sort.h"
#include <algorithm>
#include <cstring>
#include <numeric>
#include "jaxpp/jaxpp.h"
#include "jaxpp/threads.h"
#include "tests/child.h"

using namespace jaxpp;

namespace {

// Numbers with ties, zeros of both signs, infinities and NaNs of several kinds.
template <class T>
std::vector<T> values(std::size_t n) {
  std::vector<T> x(n);
  std::uint64_t state = 12345;
  for (T& v : x) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto r = std::int64_t(state >> 33);
    if constexpr (std::is_floating_point_v<T>) {
      switch (r % 11) {
        case 0: v = T(0); break;
        case 1: v = -T(0); break;
        case 2: v = std::numeric_limits<T>::quiet_NaN(); break;
        case 3: v = -std::numeric_limits<T>::quiet_NaN(); break;
        case 4: v = (r & 64 ? 1 : -1) * std::numeric_limits<T>::infinity(); break;
        case 5: v = T(r / 11 % 7 - 3); break;
        case 6: v = T(r - (1 << 30)) * std::numeric_limits<T>::denorm_min(); break;
        default: v = T(r - (1 << 30)) / T(1000);
      }
    } else {
      v = T(r % 3 ? r * 7919 : r % 5);
    }
  }
  return x;
}
template <class T>
bool before(T a, T b) {  // NaN last
  return a < b || (b != b && a == a);
}
template <class T>
std::vector<std::int32_t> order_of(const T* x, std::int64_t n, std::int64_t stride) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t i, std::int32_t j) {
    return before(x[i * stride], x[j * stride]);
  });
  return order;
}
struct Threads {
  int before = num_threads();
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
};
struct Library {
  bool before;
  explicit Library(bool on) : before(host::use_sort_library(on)) {}
  ~Library() { host::use_sort_library(before); }
};

}  // namespace

TEMPLATE_TEST_CASE("sort is stable, NaNs last", "[sort]", float, double, std::int8_t, std::uint16_t,
                   std::int32_t, std::uint32_t, std::int64_t, std::uint64_t) {
  using T = TestType;
  for (const auto& [threads, library] : {std::pair(1, true), {3, true}, {1, false}, {3, false}}) {
    const Threads scope(threads);
    const Library choice(library);
    for (const Shape& shape : {Shape{1},
                               {2},
                               {100},
                               {31},
                               {32},
                               {511},
                               {512},
                               {3000},
                               {70000},
                               {200000},
                               {40, 30},
                               {5, 600},
                               {600, 5},
                               {2, 520, 3}})
      for (std::int64_t axis = 0; axis < std::int64_t(shape.size()); ++axis) {
        std::int64_t size = 1, inner = 1;
        for (auto d : shape) size *= d;
        for (auto d = std::size_t(axis) + 1; d < shape.size(); ++d) inner *= shape[d];
        const std::int64_t n = shape[std::size_t(axis)];
        const std::vector<T> data = values<T>(std::size_t(size));
        const Array x(std::span<const T>(data), shape);
        const Array alone = sort(x, int(axis)), order = argsort(x, int(axis)).astype(i32);
        bool right = true;
        const auto sorted = alone.span<T>();
        const auto position = order.span<std::int32_t>();
        for (std::int64_t i = 0; i < size / n; ++i) {
          const std::int64_t base = i / inner * n * inner + i % inner;
          const auto want = order_of(data.data() + base, n, inner);
          for (std::int64_t k = 0; k < n; ++k) {
            const auto at = base + k * inner, from = base + want[std::size_t(k)] * inner;
            right = right &&
                    std::memcmp(&sorted[std::size_t(at)], &data[std::size_t(from)], sizeof(T)) == 0;
            right = right && position[std::size_t(at)] == want[std::size_t(k)];
          }
        }
        INFO(shape.size() << " dimensions, the first " << shape[0] << ", axis " << axis);
        CHECK(right);
      }
  }
}
TEST_CASE("sort of several operands and keys", "[sort]") {
  for (const int n : {5, 700}) {
    const Array c = arange(n).astype(i32);
    const Array operands[] = {(c * 37 % 10).astype(f32), c * 53 % 7, c};
    const std::vector<Array> one = lax::sort(operands, 0, 1), two = lax::sort(operands, 0, 2);
    for (std::size_t i = 1; i < std::size_t(n); ++i) {
      const auto key = [](const std::vector<Array>& s, std::size_t at) {
        return std::tuple(s[0].span<float>()[at], s[1].span<std::int32_t>()[at],
                          s[2].span<std::int32_t>()[at]);
      };
      const auto [a0, b0, c0] = key(one, i - 1);
      const auto [a1, b1, c1] = key(one, i);
      CHECK(std::pair(a0, c0) < std::pair(a1, c1));
      CHECK(key(two, i - 1) < key(two, i));
    }
  }
}
TEST_CASE("top_k of many lines", "[sort]") {
  Threads scope(3);
  const Array x = random::normal(random::key(1), {50, 700});
  for (const int k : {3, 40, 600}) {
    const auto [largest, where] = lax::top_k(x, k);
    const Array s = flip(sort(x, 1), 1)(All, Slice(0, k));
    CHECK(array_equal(largest, s));
    CHECK(array_equal(take_along_axis(x, where, 1), s));
  }
}

TEST_CASE("sort of half precision, signs of zero and payloads of NaN", "[sort]") {
  // All the bits there are, more than once, in no order.
  const std::size_t n = 100'003;
  std::vector<std::uint16_t> bits(n);
  for (std::size_t i = 0; i < n; ++i) bits[i] = std::uint16_t(i * 40'503);
  const Array patterns(std::span<const std::uint16_t>(bits), {std::int64_t(n)});
  for (const DType type : {f16, bf16}) {
    const Array x = lax::bitcast_convert_type(patterns, type);
    const Array values = x.astype(f32);
    const std::vector<std::int32_t> order =
        order_of(values.span<float>().data(), std::int64_t(n), 1);
    for (const auto& [threads, library] : {std::pair(1, true), {4, true}, {4, false}}) {
      const Threads scope(threads);
      const Library choice(library);
      const Array sorted = lax::bitcast_convert_type(sort(x), u16);
      bool right = true;
      for (std::size_t i = 0; i < n; ++i)
        right = right && sorted.span<std::uint16_t>()[i] == bits[std::size_t(order[i])];
      CHECK(right);
    }
  }
}
TEST_CASE("sort of booleans", "[sort]") {
  const Array x = arange(1000).astype(i32) % 3 == 0;
  for (const bool library : {true, false}) {
    const Library choice(library);
    CHECK(array_equal(sort(x), arange(1000).astype(i32) >= 666));
  }
}
TEST_CASE("long lines have the same bits on any number of threads", "[sort]") {
  for (const Shape& shape : {Shape{300'001}, {2, 150'000}}) {
    const Array x = random::normal(random::key(3), shape).astype(f32);
    const Array ties = floor(x * 8);
    const auto [greatest, where] = lax::top_k(x, int(shape.back()) - 5);
    const Array sorted = sort(x), order = argsort(ties, -1);
    for (const int threads : {1, 2, 3, 4, 8}) {
      for (const bool library : {true, false}) {
        const Threads scope(threads);
        const Library choice(library);
        const auto [values, positions] = lax::top_k(x, int(shape.back()) - 5);
        CHECK(array_equal(sort(x), sorted));
        CHECK(array_equal(argsort(ties, -1), order));
        CHECK(array_equal(values, greatest));
        CHECK(array_equal(positions, where));
      }
    }
  }
}
TEST_CASE("sort: the library sorts unsigned integers", "[sort]") {
  const std::string words = host::sort_library();
  CHECK((words.find("Highway") == 0 || words.find("radix") == 0));
  std::vector<host::Wide> wide;
  for (std::uint64_t i = 0; i < 1000; ++i) wide.push_back({i * 7919 % 1000, i * 31 % 10});
  const bool there = host::library_sort(wide.data(), wide.size());
  CHECK(there == (words.find("Highway") == 0));
  if (there) CHECK(std::is_sorted(wide.begin(), wide.end()));
  const Library none(false);
  CHECK(!host::library_sort(wide.data(), wide.size()));
}
TEST_CASE("sort: the environment chooses the library", "[sort]") {
  // The process has chosen: another one says what it does.
  const auto output = [](const std::string& named) {
    return output_of_tests("JAXPP_SORT=" + named, "sort: the library sorts*");
  };
  CHECK(output("0").find("All tests passed") != std::string::npos);
  CHECK(output("/nowhere/libhwy_contrib.so.1").find("[E58]") != std::string::npos);
  CHECK(output("libc.so.6").find("[E58]") != std::string::npos);
}
