// conv_dnn_test.cc -- convolutions of f32 by oneDNN: the same numbers as without it, the same bits on any number of threads.
// JAXPP_DNN=0 runs both halves of each test without it.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <random>
#include "backends/host/dnn.h"
#include "jaxpp/jaxpp.h"
#include "jaxpp/threads.h"
#include "tests/checks.h"
#include "tests/child.h"

using namespace jaxpp;
using host::ConvKind;
using host::ConvRole;
using jaxpp::testing::same_bits;

namespace {

using Index = std::int64_t;

struct Without {
  bool before = host::use_dnn(false);
  ~Without() { host::use_dnn(before); }
};
struct Threads {
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before = num_threads();
};
Array samples(int seed, const Shape& shape) {
  return random::normal(random::key(std::uint64_t(seed)), shape, f32);
}
// Against the kernels of f64, which are always our own, and against those of f32 without the library.
void check(const Array& x, const Array& w, const ConvParams& p) {
  INFO(x.type()->str() << " " << w.type()->str());
  const Array y = lax::conv_general_dilated(x, w, p),
              want = lax::conv_general_dilated(x.astype(f64), w.astype(f64), p),
              sums = lax::conv_general_dilated(abs(x).astype(f64), abs(w).astype(f64), p);
  const double scale = y.size() ? double(max(sums)) : 0;
  auto distance = [&](const Array& a) {
    return a.size() ? double(max(abs(a.astype(f64) - want))) : 0;
  };
  CHECK(distance(y) <= 1e-6 * scale);
  {
    const Without library;
    CHECK(distance(lax::conv_general_dilated(x, w, p)) <= 1e-6 * scale);
  }
  for (int n : {1, 2, 3}) {
    const Threads threads(n);
    CHECK(same_bits(lax::conv_general_dilated(x, w, p), y));
  }
}
struct Case {
  Index batch, in, out;
  Dims size, window, stride;
  std::vector<Dims> padding;
  Dims lhs_dilation, rhs_dilation;
  Index features = 1, batches = 1;  // groups
};
// The case in three layouts.
void check(const Case& c) {
  const std::size_t rank = c.size.size();
  const std::string spatial = std::string("DHW").substr(3 - rank);
  const std::vector<std::array<std::string, 3>> layouts = {
      {"NC" + spatial, "OI" + spatial, "NC" + spatial},
      {"N" + spatial + "C", spatial + "IO", "N" + spatial + "C"},
      {"C" + spatial + "N", "I" + spatial + "O", spatial + "NC"}};
  for (const auto& l : layouts) {
    auto shape = [&](const std::string& names, Index n, Index i, const Dims& sizes) {
      Shape s;
      for (char a : names) {
        if (a == 'N' || a == 'O')
          s.push_back(n);
        else if (a == 'C' || a == 'I')
          s.push_back(i);
        else
          s.push_back(sizes[spatial.find(a)]);
      }
      return s;
    };
    ConvParams p;
    p.window_strides = c.stride;
    p.padding = c.padding;
    p.lhs_dilation = c.lhs_dilation;
    p.rhs_dilation = c.rhs_dilation;
    p.feature_group_count = c.features;
    p.batch_group_count = c.batches;
    p.dimension_numbers = lax::conv_dimension_numbers(l[0], l[1], l[2]);
    check(samples(1, shape(l[0], c.batch, c.in, c.size)),
          samples(2, shape(l[1], c.out, c.in / c.features, c.window)), p);
  }
}

}  // namespace

TEST_CASE("conv: the library and our kernels agree", "[conv]") {
  const std::vector<Dims> same = {{1, 1}, {1, 1}};
  for (const Case& c : {
           Case{6, 3, 16, {13, 15}, {3, 3}, {1, 1}, same, {1, 1}, {1, 1}},
           Case{5, 16, 24, {12, 11}, {3, 3}, {2, 2}, same, {1, 1}, {1, 1}},
           Case{1, 16, 32, {40, 41}, {3, 3}, {1, 1}, same, {1, 1}, {1, 1}},  // lines of one item
           Case{1, 16, 32, {81, 40}, {5, 3}, {2, 1}, {{2, 1}, {0, 3}}, {1, 1}, {1, 2}},
           Case{2, 16, 32, {20, 20}, {3, 3}, {2, 3}, {{-1, 4}, {-2, -3}}, {1, 1}, {2, 1}},
           Case{2, 32, 32, {20, 20}, {1, 1}, {2, 2}, {{0, 0}, {0, 0}}, {1, 1}, {1, 1}},
           Case{2, 32, 64, {14, 14}, {3, 3}, {1, 1}, same, {1, 1}, {1, 1}, 2},
           Case{2, 64, 64, {20, 20}, {3, 3}, {1, 1}, same, {1, 1}, {1, 1}, 64},  // depthwise
           Case{4, 16, 32, {14, 14}, {3, 3}, {1, 1}, same, {1, 1}, {1, 1}, 1, 2},
           Case{3, 16, 16, {300}, {9}, {1}, {{0, 0}}, {1}, {1}},
           Case{2,
                16,
                16,
                {6, 10, 9},
                {3, 2, 3},
                {1, 2, 1},
                {{1, 1}, {0, 0}, {1, 0}},
                {1, 1, 1},
                {1, 1, 1}},
           // derivatives with respect to the input
           Case{4, 32, 16, {16, 16}, {3, 3}, {1, 1}, {{1, 2}, {1, 2}}, {2, 2}, {1, 1}},
           Case{1, 32, 16, {33, 20}, {3, 3}, {1, 1}, {{1, 2}, {0, -3}}, {2, 3}, {1, 2}},
           Case{2, 32, 32, {16, 16}, {4, 3}, {1, 1}, {{-2, 2}, {2, -1}}, {2, 2}, {1, 1}, 2},
           Case{2, 32, 16, {16, 16}, {3, 3}, {1, 1}, {{5, 9}, {1, 2}}, {2, 2}, {1, 1}},
           Case{2, 32, 16, {16, 16}, {3, 3}, {2, 1}, {{1, 2}, {1, 2}}, {2, 2}, {1, 1}},
           // with respect to the weights
           Case{16, 20, 32, {16, 16}, {16, 16}, {1, 1}, same, {1, 1}, {1, 1}},
           Case{3, 50, 16, {32, 32}, {16, 16}, {1, 1}, {{1, 0}, {1, 0}}, {1, 1}, {2, 2}},
           Case{16, 8, 16, {16, 16}, {7, 7}, {2, 2}, {{-2, 1}, {1, -3}}, {1, 1}, {2, 1}},
           Case{32, 8, 32, {16, 16}, {16, 16}, {1, 1}, same, {1, 1}, {1, 1}, 1, 2},
           Case{16, 16, 32, {16, 16}, {16, 16}, {1, 1}, same, {1, 1}, {1, 1}, 2},
           // nothing
           Case{0, 16, 16, {16, 16}, {3, 3}, {1, 1}, same, {1, 1}, {1, 1}},
           Case{4, 0, 16, {16, 16}, {3, 3}, {1, 1}, same, {1, 1}, {1, 1}},
           Case{4, 16, 16, {0, 16}, {3, 3}, {1, 1}, {{200, 1}, {1, 1}}, {1, 1}, {1, 1}},
       })
    check(c);
}
TEST_CASE("conv: random problems by the library", "[conv]") {
  std::mt19937 generator(7);
  auto draw = [&](int low, int high) {
    return Index(std::uniform_int_distribution<int>(low, high)(generator));
  };
  const int count = std::getenv("JAXPP_FUZZ") ? std::atoi(std::getenv("JAXPP_FUZZ")) : 25;
  for (int done = 0; done < count;) {
    Case c{draw(1, 7), 4 * draw(1, 6), 4 * draw(1, 6), {}, {}, {}, {}, {}, {}};
    if (draw(0, 3) == 0) c.features = 2 * draw(1, 2);
    if (c.features == 1 && draw(0, 3) == 0) c.batch *= c.batches = draw(2, 2);
    const bool dilated = draw(0, 2) == 0, wide = draw(0, 2) == 0;
    bool some = true;
    double flops = 2. * double(c.batch * c.in / c.features * c.out);
    for (Index rank = draw(1, 3), d = 0; d < rank; ++d) {
      const Index size = draw(4, rank == 1 ? 200 : rank == 2 ? 24 : 9);
      c.size.push_back(size);
      c.window.push_back(wide ? draw(int(size / 2), int(size)) : draw(1, 4));
      c.stride.push_back(dilated ? 1 : draw(1, 3));
      c.padding.push_back({draw(-2, 4), draw(-2, 4)});
      c.lhs_dilation.push_back(dilated ? draw(1, 3) : 1);
      c.rhs_dilation.push_back(draw(1, 2));
      const Index reach = (size - 1) * c.lhs_dilation.back() + 1 + c.padding.back()[0] +
                          c.padding.back()[1] - (c.window.back() - 1) * c.rhs_dilation.back() - 1;
      some = some && reach >= 0;
      flops *= double((reach / c.stride.back() + 1) * c.window.back());
    }
    if (!some || flops < 2e5 || flops > 2e8) continue;
    ++done;
    check(c);
  }
}
TEST_CASE("conv: a layer's derivatives by the library", "[conv]") {
  const auto layout = lax::conv_dimension_numbers("NHWC", "HWIO", "NHWC");
  const Array x = samples(1, {8, 16, 16, 8}), w = samples(2, {3, 3, 8, 16});
  for (Index stride : {1, 2}) {
    ConvParams p;
    p.dimension_numbers = layout;
    p.window_strides = {stride, stride};
    p.padding = {{1, 1}, {1, 1}};
    auto loss = [p](Array a, Array b) { return sum(square(lax::conv_general_dilated(a, b, p))); };
    auto [dx, dw] = jit(grad<0, 1>(loss))(x, w);
    auto [ex, ew] = grad<0, 1>(loss)(x.astype(f64), w.astype(f64));
    CHECK(double(max(abs(dx.astype(f64) - ex))) < 1e-5 * double(max(abs(ex))));
    CHECK(double(max(abs(dw.astype(f64) - ew))) < 1e-5 * double(max(abs(ew))));
  }
}
TEST_CASE("conv: the library has code for layers and their derivatives", "[conv]") {
  const std::string words = host::dnn_library();
  CHECK((words.find("oneDNN") == 0 || words.find("im2col") == 0));
  if (words.find("oneDNN") != 0) return;
  for (ConvKind kind : {ConvKind::forward, ConvKind::data, ConvKind::weights}) {
    host::ConvProblem p{kind, {}, {2, 2}, {1, 1}, {1, 1}, {0, 0}};
    p[ConvRole::src] = {{4, 16, 16, 16}, {4096, 1, 256, 16}};
    p[ConvRole::weights] = {{32, 16, 3, 3}, {1, 32, 1536, 512}};
    p[ConvRole::dst] = {{4, 32, 8, 8}, {2048, 1, 256, 32}};
    const auto code = host::DnnConvolution::find(p);
    REQUIRE(code);
    CHECK(host::DnnConvolution::find(p) == code);
    // Activations with channels side by side are used where they lie.
    CHECK(code->packed_bytes(ConvRole::src) == 0);
    CHECK(code->packed_bytes(ConvRole::dst) == 0);
    const Without library;
    CHECK(!host::DnnConvolution::find(p));
  }
}
TEST_CASE("conv: the environment chooses the library", "[conv]") {
  // The process has chosen: another one says what it does.
  const auto output = [](const std::string& named) {
    return output_of_tests("JAXPP_DNN=" + named, "conv: the library has code*");
  };
  CHECK(output("0").find("All tests passed") != std::string::npos);
  CHECK(output("/nowhere/libdnnl.so.2").find("[E58]") != std::string::npos);
  CHECK(output("libc.so.6").find("[E58]") != std::string::npos);
}
