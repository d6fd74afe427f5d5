// loops_schedule_test.cc -- schedule() and cost(): loop programs in, loop programs out.
#include <catch2/catch.hpp>
#include "backends/loops/fusion.h"
#include "backends/loops/interpret.h"
#include "backends/loops/schedule.h"
#include "jaxpp/ops/primitives.h"
#include "loop_programs.h"

using namespace jaxpp;
using namespace jaxpp::loops;
using namespace jaxpp::testing;
using Role = Buffer::Role;

namespace {
// The loops of a program, one a line, with their marks.
std::string loops_of(const Program& p) {
  std::string text = print(p), r = "\n";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    const std::size_t word = line.find_first_not_of(' ');
    if (word != line.npos &&
        (line.compare(word, 9, "parallel ") == 0 || line.compare(word, 7, "serial ") == 0))
      r += line + "\n";
    at = end + 1;
  }
  return r;
}
int count_loops(const Program& p) {
  const std::string text = loops_of(p);
  return int(std::count(text.begin(), text.end(), '\n'));
}
std::string scheduled(const std::string& text, const Target& t = {}) {
  Program p = loop_program(text);
  schedule(p, t);
  verify(p);
  return "\n" + print(p);
}
std::string marks(const std::string& text, const Target& t = {}) {
  Program p = loop_program(text);
  schedule(p, t);
  verify(p);
  return loops_of(p);
}
std::string coalesced(const std::string& text) {
  Program p = loop_program(text);
  coalesce(p);
  verify(p);
  return "\n" + print(p);
}
bool stays(const std::string& text) { return coalesced(text) == "\n" + print(loop_program(text)); }
}  // namespace

TEST_CASE("shrink: locals hold what an iteration uses of them") {
  const auto shrunk = [](const std::string& text) {
    Program p = loop_program(text);
    shrink(p);
    verify(p);
    return "\n" + print(p);
  };
  CHECK(shrunk(R"(
in x0: f32[8000]
in x1: i32[1000]
out y0: f32[1000]
parallel i0 < 1000
  local t0: f32[8000]
  parallel i1 < 4
    %0 = x0[8*i0+i1]
    t0[8*i0+i1+3] = %0
  %1 = x1[i0]
  %2 = clip %1 3 6
  %3 = t0[8*i0+%2]
  y0[i0] = %3
)") == R"(
in x0: f32[8000]
in x1: i32[1000]
out y0: f32[1000]
parallel i0 < 1000
  local t0: f32[4]
  parallel i1 < 4
    %0 = x0[8*i0+i1]
    t0[i1] = %0
  %1 = x1[i0]
  %2 = clip %1 3 6
  %3 = t0[%2-3]
  y0[i0] = %3
)");
  // Different places of an iteration in different indices; loops inside; an array of the loop around.
  for (const char* stays : {R"(
out y0: f32[10]
parallel i0 < 10
  local t0: f32[20]
  %0: f32 = 1.0
  t0[i0] = %0
  t0[2*i0] = %0
  %1 = t0[i0]
  y0[i0] = %1
)",
                            R"(
out y0: f32[10]
parallel i0 < 10
  local t0: f32[20]
  parallel i1 < 10
    %0: f32 = 1.0
    t0[2*i1] = %0
  %1 = t0[4]
  y0[i0] = %1
)"})
    CHECK(shrunk(stays) == stays);
  CHECK(shrunk(R"(
out y0: f32[100]
parallel i0 < 10
  parallel i1 < 10
    local t0: f32[200]
    parallel i2 < 2
      %0: f32 = 1.0
      t0[20*i0+2*i1+i2] = %0
    %1 = t0[20*i0+2*i1+1]
    y0[10*i0+i1] = %1
)") == R"(
out y0: f32[100]
parallel i0 < 10
  parallel i1 < 10
    local t0: f32[2]
    parallel i2 < 2
      %0: f32 = 1.0
      t0[i2] = %0
    %1 = t0[1]
    y0[10*i0+i1] = %1
)");
}

TEST_CASE("coalesce: loops that every index walks as one") {
  CHECK(coalesced(R"(
out y0: f64[2500]
parallel i0 < 25
  parallel i1 < 10
    parallel i2 < 10
      %0: f64 = 0.0
      y0[100*i0+10*i1+i2] = %0
)") == R"(
out y0: f64[2500]
parallel i0 < 2500
  %0: f64 = 0.0
  y0[i0] = %0
)");
  // Steps, offsets and reductions over both loops are walked as one; constants move inside.
  CHECK(coalesced(R"(
in x0: f32[100]
out y0: f32[1]
out y1: i32[24]
parallel i0 < 4
  %0: f32 = 2.0
  parallel i1 < 6
    %1 = x0[18*i0+3*i1+5]
    %2: f32 = mul %1 %0
    y0[0] += %2
    %3: i32 = index 6*i0+i1+7
    y1[6*i0+i1] = %3
)") == R"(
in x0: f32[100]
out y0: f32[1]
out y1: i32[24]
parallel i0 < 24
  %0: f32 = 2.0
  %1 = x0[3*i0+5]
  %2: f32 = mul %1 %0
  y0[0] += %2
  %3: i32 = index i0+7
  y1[i0] = %3
)");
  // The two inner loops join, and not the outer one.
  CHECK(coalesced(R"(
in x0: f32[4]
out y0: f32[120]
parallel i0 < 4
  parallel i1 < 5
    parallel i2 < 6
      %0 = x0[i0]
      y0[30*i0+6*i1+i2] = %0
)") == R"(
in x0: f32[4]
out y0: f32[120]
parallel i0 < 4
  parallel i1 < 30
    %0 = x0[i0]
    y0[30*i0+i1] = %0
)");
  // Loops over time keep their order.
  CHECK(coalesced(R"(
in x0: f32[6]
out y0: f32[6]
local t0: f32[1]
%0: f32 = 0.0
t0[0] = %0
serial i0 < 2
  serial i1 < 3
    %1 = x0[3*i0+i1]
    t0[0] += %1
    %2 = t0[0]
    y0[3*i0+i1] = %2
)") == R"(
in x0: f32[6]
out y0: f32[6]
local t0: f32[1]
%0: f32 = 0.0
t0[0] = %0
serial i0 < 6
  %1 = x0[i0]
  t0[0] += %1
  %2 = t0[0]
  y0[i0] = %2
)");
  // Bodies of If and While are inside; indices from data may be anywhere.
  CHECK(coalesced(R"(
in x0: i64[24]
in x1: i64[50]
out y0: i64[24]
parallel i0 < 4
  parallel i1 < 6
    local t0: i64[1]
    %0 = x0[6*i0+i1]
    t0[0] = %0
    while
      %1 = t0[0]
      %2: i64 = 9
      %3: bool = lt %1 %2
    do %3
      %4 = x0[6*i0+i1]
      t0[0] += %4
    %5 = t0[0]
    %6: i64 = 12
    %7: bool = lt %5 %6
    if %7
      %8 = clip %5 0 49
      %9 = x1[%8]
      y0[6*i0+i1] = %9
    else
      y0[6*i0+i1] = %5
)")
            .find("parallel i0 < 24\n  local t0: i64[1]\n  %0 = x0[i0]\n") != std::string::npos);
  CHECK(coalesced(R"(
in x0: i64[1]
in x1: f32[1000]
out y0: f32[24]
serial i0 < 1
  %0 = x0[0]
  %1 = clip %0 0 40
  parallel i1 < 4
    parallel i2 < 6
      %2 = x1[%1+12*i1+2*i2]
      y0[6*i1+i2] = %2
)")
            .find("  parallel i1 < 24\n    %2 = x1[2*i1+%1]\n") != std::string::npos);
  // Calls on whole rows.
  CHECK(coalesced(R"(
in x0: f32[96]
out y0: f32[96]
parallel i0 < 2
  parallel i1 < 3
    call cumsum[axis=0 reverse=False] (x0[48*i0+16*i1]: f32[16]) -> (y0[48*i0+16*i1]: f32[16])
)")
            .find("parallel i0 < 6\n  call cumsum (x0[16*i0]: f32[16])") != std::string::npos);
}

TEST_CASE("coalesce: what keeps loops apart") {
  // One side is transposed.
  CHECK(stays(R"(
in x0: f32[24]
out y0: f32[24]
parallel i0 < 4
  parallel i1 < 6
    %0 = x0[i0+4*i1]
    y0[6*i0+i1] = %0
)"));
  // A broadcast operand.
  CHECK(stays(R"(
in x0: f32[6]
out y0: f32[24]
parallel i0 < 4
  parallel i1 < 6
    %0 = x0[i1]
    y0[6*i0+i1] = %0
)"));
  // A window of a larger array.
  CHECK(stays(R"(
in x0: f32[100]
out y0: f32[24]
parallel i0 < 4
  parallel i1 < 6
    %0 = x0[10*i0+i1]
    y0[6*i0+i1] = %0
)"));
  // A reduction over the inner loop alone.
  CHECK(stays(R"(
in x0: f32[24]
out y0: f32[4]
parallel i0 < 4
  parallel i1 < 6
    %0 = x0[6*i0+i1]
    y0[i0] += %0
)"));
  // The position along one axis is a value.
  CHECK(stays(R"(
out y0: i32[24]
parallel i0 < 4
  parallel i1 < 6
    %0: i32 = index i1
    y0[6*i0+i1] = %0
)"));
  // A place inside an If, a While, the operand of a Call.
  CHECK(stays(R"(
in x0: i64[24]
out y0: i64[24]
parallel i0 < 4
  parallel i1 < 6
    %0 = x0[6*i0+i1]
    %1: i64 = 3
    %2: bool = lt %0 %1
    if %2
      y0[6*i0-i1+5] = %0
    else
      y0[6*i0-i1+5] = %1
)"));
  CHECK(stays(R"(
in x0: i64[6]
out y0: i64[24]
parallel i0 < 4
  parallel i1 < 6
    while
      %0 = x0[i1]
      %1: i64 = 3
      %2: bool = lt %0 %1
    do %2
      %3 = x0[i1]
      y0[6*i0+i1] = %3
)"));
  CHECK(stays(R"(
in x0: f32[96]
out y0: f32[96]
parallel i0 < 2
  parallel i1 < 3
    call cumsum[axis=0 reverse=False] (x0[16*i0+32*i1]: f32[16]) -> (y0[48*i0+16*i1]: f32[16])
)"));
  // The outer loop does something else, or owns memory.
  CHECK(stays(R"(
in x0: f32[4]
out y0: f32[24]
parallel i0 < 4
  %0 = x0[i0]
  parallel i1 < 6
    y0[6*i0+i1] = %0
)"));
  CHECK(stays(R"(
in x0: f32[24]
out y0: f32[24]
parallel i0 < 4
  local t0: f32[6]
  parallel i1 < 6
    %0 = x0[6*i0+i1]
    t0[i1] = %0
    y0[6*i0+i1] = %0
)"));
  CHECK(stays(R"(
in x0: f32[24]
out y0: f32[24]
serial i0 < 4
  local t0: f32[1]
  serial i1 < 6
    %0 = x0[6*i0+i1]
    t0[0] = %0
    %1 = t0[0]
    y0[6*i0+i1] = %1
)"));
  // Loops over time and loops over space.
  CHECK(stays(R"(
out y0: f32[24]
parallel i0 < 4
  serial i1 < 6
    %0: f32 = 1.0
    y0[6*i0+i1] = %0
)"));
}

TEST_CASE("lanes: row kernels run their inner loops as vectors") {
  const char* softmax = R"(
in x0: f32[4194304]
out y0: f32[4194304]
parallel i0 < 4096
  local t0: f32[1]
  local t1: f32[1024]
  local t2: f32[1]
  %0: f32 = -inf
  t0[0] = %0
  parallel i1 < 1024
    %1 = x0[1024*i0+i1]
    t0[0] max= %1
  %2 = t0[0]
  %3: f32 = 0.0
  t2[0] = %3
  parallel i2 < 1024
    %4 = x0[1024*i0+i2]
    %5: f32 = sub %4 %2
    %6: f32 = exp %5
    t1[i2] = %6
    t2[0] += %6
  %7 = t2[0]
  parallel i3 < 1024
    %8 = t1[i3]
    %9: f32 = div %8 %7
    y0[1024*i0+i3] = %9
)";
  CHECK(marks(softmax) == R"(
parallel i0 < 4096
  parallel i1 < 1024 lanes 64 x4
  parallel i2 < 1024 lanes 64 x4
  parallel i3 < 1024 lanes 64 x4
)");
  CHECK(marks(softmax, {.vector_bytes = 16}) == R"(
parallel i0 < 4096
  parallel i1 < 1024 lanes 16 x4
  parallel i2 < 1024 lanes 16 x4
  parallel i3 < 1024 lanes 16 x4
)");
  CHECK(marks(softmax, {.vector_bytes = 0}) == R"(
parallel i0 < 4096
  parallel i1 < 1024
  parallel i2 < 1024
  parallel i3 < 1024
)");
  // A row of layernorm with the gradients of scale and shift, which are reductions over rows.
  CHECK(marks(R"(
in x0: f32[65536]
in x1: f32[256]
in x2: f32[65536]
out y0: f32[65536]
out y1: f32[256]
parallel i0 < 256
  %0: f32 = 0.0
  y1[i0] = %0
parallel i1 < 256
  local t0: f32[1]
  %1: f32 = 0.0
  t0[0] = %1
  parallel i2 < 256
    %2 = x0[256*i1+i2]
    t0[0] += %2
  %3 = t0[0]
  parallel i3 < 256
    %4 = x0[256*i1+i3]
    %5: f32 = sub %4 %3
    %6 = x1[i3]
    %7: f32 = mul %5 %6
    y0[256*i1+i3] = %7
    %8 = x2[256*i1+i3]
    %9: f32 = mul %5 %8
    y1[i3] += %9
)") == R"(
parallel i0 < 256 lanes 64 x4
parallel i1 < 256
  parallel i2 < 256 lanes 64 x4
  parallel i3 < 256 lanes 64 x4
)");
}

TEST_CASE("lanes: products of a matrix and a vector") {
  // Rows: a reduction over the lanes.  Columns: contiguous lanes outside, no reduction over them.
  CHECK(marks(R"(
in x0: f32[1048576]
in x1: f32[1024]
out y0: f32[1024]
parallel i0 < 1024
  local t0: f32[1]
  %0: f32 = 0.0
  t0[0] = %0
  parallel i1 < 1024
    %1 = x0[1024*i0+i1]
    %2 = x1[i1]
    %3: f32 = mul %1 %2
    t0[0] += %3
  %4 = t0[0]
  y0[i0] = %4
)") == R"(
parallel i0 < 1024
  parallel i1 < 1024 lanes 64 x4
)");
  CHECK(marks(R"(
in x0: f64[1048576]
in x1: f64[1024]
out y0: f64[1024]
parallel i0 < 1024
  local t0: f64[1]
  %0: f64 = 0.0
  t0[0] = %0
  parallel i1 < 1024
    %1 = x0[i0+1024*i1]
    %2 = x1[i1]
    %3: f64 = mul %1 %2
    t0[0] += %3
  %4 = t0[0]
  y0[i0] = %4
)") == R"(
parallel i0 < 1024 lanes 32 x4
  parallel i1 < 1024
)");
}

TEST_CASE("lanes: long chains in long loops have several vectors in flight") {
  const auto chain = [](int extent, int values) {
    const std::string n = std::to_string(extent);
    std::string in, loads, sums;
    for (int i = 0; i < values; ++i) {
      const std::string k = std::to_string(i);
      in += "in x" + k + ": f32[" + n + "]\n";
      loads += "  %a" + k + " = x" + k + "[i0]\n";
      sums += "  %b" + k + ": f32 = exp %a" + k + "\n  y0[i0] += %b" + k + "\n";
    }
    return marks((in + "out y0: f32[" + n + "]\nparallel i0 < " + n + "\n" + loads + sums).c_str());
  };
  CHECK(chain(4096, 2) == "\nparallel i0 < 4096 lanes 64 x4\n");
  CHECK(chain(4096, 8) ==
        "\nparallel i0 < 4096 lanes 32 x2\n");  // 16 values are wanted of a vector
  CHECK(chain(4096, 20) == "\nparallel i0 < 4096 lanes 16\n");
  CHECK(chain(512, 2) == "\nparallel i0 < 512 lanes 16\n");
}

TEST_CASE("lanes: loops over time go inside") {
  // vmap of a scan over three numbers: the lanes run the whole loop in registers, two vectors in flight.
  const char* lorenz = R"(
in x0: f32[3072]
out y0: f32[3072]
parallel i0 < 1024
  local t0: f32[3]
  parallel i1 < 3
    %0 = x0[i0+1024*i1]
    t0[i1] = %0
  serial i2 < 1000
    %1 = t0[0]
    %2 = t0[1]
    %3: f32 = sub %2 %1
    %4: f32 = add %1 %3
    %5 = t0[2]
    %6: f32 = mul %1 %5
    t0[0] = %4
    t0[1] = %6
    %7: f32 = mul %1 %2
    t0[2] = %7
  parallel i3 < 3
    %8 = t0[i3]
    y0[i0+1024*i3] = %8
)";
  CHECK(marks(lorenz) == R"(
parallel i0 < 1024 lanes 32 x2
  parallel i1 < 3 unroll
  serial i2 < 1000
  parallel i3 < 3 unroll
)");
  // Without lanes outside, its three numbers are registers, not a vector of three.
  CHECK(marks(R"(
in x0: f32[3]
out y0: f32[3]
local t0: f32[3]
parallel i0 < 3
  %0 = x0[i0]
  t0[i0] = %0
serial i1 < 1000
  parallel i2 < 3
    %1 = t0[i2]
    %2: f32 = sin %1
    t0[i2] = %2
parallel i3 < 3
  %3 = t0[i3]
  y0[i3] = %3
)") == R"(
parallel i0 < 3 unroll
serial i1 < 1000
  parallel i2 < 3 unroll
parallel i3 < 3 unroll
)");
  // A state of 200 numbers is run in vectors, at every step.
  CHECK(marks(R"(
out y0: f32[200]
serial i0 < 1000
  parallel i1 < 200
    %0 = y0[i1]
    %1: f32 = sin %0
    y0[i1] = %1
)") == R"(
serial i0 < 1000
  parallel i1 < 200 lanes 16
)");
  // Lanes around a while loop: each stops by itself.
  CHECK(marks(R"(
in x0: f32[4096]
out y0: f32[4096]
parallel i0 < 4096
  local t0: f32[1]
  %0 = x0[i0]
  t0[0] = %0
  while
    %1 = t0[0]
    %2: f32 = 100.0
    %3: bool = lt %1 %2
  do %3
    %4 = t0[0]
    t0[0] += %4
  %5 = t0[0]
  y0[i0] = %5
)") == R"(
parallel i0 < 4096 lanes 32 x2
)");
}

TEST_CASE("lanes: what speaks against them") {
  // A call on rows.
  CHECK(marks(R"(
in x0: f32[4096]
out y0: f32[4096]
parallel i0 < 64
  call cumsum[axis=0 reverse=False] (x0[64*i0]: f32[64]) -> (y0[64*i0]: f32[64])
)") == "\nparallel i0 < 64\n");
  // A transpose: one side is strided in any order, so it is the loads that are contiguous (a tie goes inside).
  CHECK(marks(R"(
in x0: f32[10000]
out y0: f32[10000]
parallel i0 < 100
  parallel i1 < 100
    %0 = x0[i0+100*i1]
    y0[100*i0+i1] = %0
)") == R"(
parallel i0 < 100
  parallel i1 < 100 lanes 32 x2
)");
  // Indices from data are gathers, and stores through them may meet: here scalar code is cheaper.
  CHECK(marks(R"(
in x0: i64[4096]
in x1: f32[100]
out y0: f32[100]
parallel i0 < 4096
  %0 = x0[i0]
  %1 = clip %0 0 99
  %2 = x1[%1]
  y0[%1] += %2
)") == "\nparallel i0 < 4096\n");
  // With enough arithmetic they are worth it.
  CHECK(marks(R"(
in x0: i64[4096]
in x1: f32[100]
out y0: f32[4096]
parallel i0 < 4096
  %0 = x0[i0]
  %1 = clip %0 0 99
  %2 = x1[%1]
  %3: f32 = sin %2
  y0[i0] = %3
)") == "\nparallel i0 < 4096 lanes 32 x4\n");
  // A pass of three cannot wait for itself.
  CHECK(marks(R"(
out y0: f32[3]
parallel i0 < 3
  %0 = y0[i0]
  %1: f32 = neg %0
  y0[i0] = %1
)") == "\nparallel i0 < 3 lanes 16\n");
}

TEST_CASE("lanes: a long loop that looks up a small table") {
  CHECK_THAT(marks(R"(
in x0: i32[1000]
in x1: f32[9]
out y0: f32[1000]
local t0: f32[9]
parallel i0 < 9
  %0 = x1[i0]
  %1: f32 = sqrt %0
  t0[i0] = %1
parallel i1 < 1000
  %2 = x0[i1]
  %3 = clip %2 0 8
  %4 = t0[%3]
  %5: f32 = exp %4
  y0[i1] = %5
)"),
             Catch::Contains("parallel i1 < 1000 lanes 64 x4"));
}

TEST_CASE("lanes: both branches of an If") {
  const std::string text = R"(
in x0: f32[4096]
out y0: f32[4096]
parallel i0 < 4096
  %0 = x0[i0]
  %1: f32 = 0.0
  %2: bool = lt %0 %1
  if %2
    %3: f32 = neg %0
    y0[i0] = %3
  else
    %4: f32 = exp %0
    y0[i0] = %4
)";
  CHECK(marks(text) == "\nparallel i0 < 4096 lanes 16\n");
}

TEST_CASE("tiles: loops in the order of memory") {
  // Contiguous along the outer variable: the loops change places, and what the inner one does not change moves out.
  CHECK(scheduled(R"(
in x0: f32[10000]
in x1: f32[100]
in x2: f32[100]
out y0: f32[10000]
parallel i0 < 100
  %0 = x1[i0]
  parallel i1 < 100
    %1 = x0[i0+100*i1]
    %2 = x2[i1]
    %3: f32 = mul %1 %2
    %4: f32 = mul %3 %0
    y0[i0+100*i1] = %4
)") == R"(
in x0: f32[10000]
in x1: f32[100]
in x2: f32[100]
out y0: f32[10000]
parallel i0 < 100
  %0 = x2[i0]
  parallel i1 < 100 lanes 32 x2
    %1 = x1[i1]
    %2 = x0[100*i0+i1]
    %3: f32 = mul %2 %0
    %4: f32 = mul %3 %1
    y0[100*i0+i1] = %4
)");
  // A transpose, and what its tiles leave over.
  const std::string transpose = R"(
in x0: i64[19200]
in x1: i64[160]
out y0: i64[19200]
parallel i0 < 160
  %0 = x1[i0]
  parallel i1 < 120
    %1 = x0[i0+160*i1]
    %2: i64 = add %0 %1
    %3: i64 = index 3*i0+i1
    %4: i64 = add %2 %3
    y0[120*i0+i1] = %4
)";
  CHECK(marks(transpose) == R"(
parallel i0 < 5
  parallel i1 < 3
    parallel i2 < 32
      parallel i3 < 32 lanes 16 x2
    parallel i4 < 32
      parallel i5 < 32 lanes 16 x2
parallel i6 < 160
  parallel i7 < 24 lanes 8
)");
  const Program plain = loop_program(transpose);
  Program p = plain;
  schedule(p, {.max_chunks = 4});
  plan_memory(p);
  verify(p);
  check_equal(plain, p, 7);
}

TEST_CASE("sums of inner loops are kept in locals") {
  // One element, set and then added to by loops: a local of the loop around.  The order of additions is the same.
  CHECK(scheduled(R"(
in x0: f32[1000]
in x1: f32[2000]
out y0: f32[10]
parallel i0 < 10
  %0: f32 = 1.0
  y0[i0] = %0
  serial i1 < 100
    %1 = x0[100*i0+i1]
    y0[i0] += %1
  serial i2 < 200
    %2 = x1[200*i0+i2]
    y0[i0] += %2
)",
                  {.vector_bytes = 0}) == R"(
in x0: f32[1000]
in x1: f32[2000]
out y0: f32[10]
parallel i0 < 10
  local y0_sum3: f32[1]
  %0: f32 = 1.0
  y0_sum3[0] = %0
  serial i1 < 100
    %1 = x0[100*i0+i1]
    y0_sum3[0] += %1
  serial i2 < 200
    %2 = x1[200*i0+i2]
    y0_sum3[0] += %2
  %3 = y0_sum3[0]
  y0[i0] = %3
)");
  // Not at the top, where chunks need them; not what the loop reads, or combines in another way, or elsewhere.
  const auto kept = [](const std::string& body) {
    return scheduled("\nin x0: f32[1000]\nout y0: f32[11]\n" + body, {.vector_bytes = 0})
               .find("_sum") == std::string::npos;
  };
  CHECK(kept(R"(%0: f32 = 0.0
y0[0] = %0
parallel i0 < 1000
  %1 = x0[i0]
  y0[0] += %1
)"));
  CHECK(!kept(R"(serial i0 < 10
  %0: f32 = 0.0
  y0[i0] = %0
  serial i1 < 100
    %1 = x0[100*i0+i1]
    y0[i0] max= %1
)"));
  CHECK(kept(R"(serial i0 < 10
  %0: f32 = 0.0
  y0[i0] = %0
  serial i1 < 100
    %1 = x0[100*i0+i1]
    y0[i0] += %1
    y0[i0+1] += %1
)"));
  CHECK(kept(R"(serial i0 < 10
  %0: f32 = 0.0
  y0[i0] = %0
  serial i1 < 100
    %1 = y0[i0]
    y0[i0] += %1
)"));
  CHECK(kept(R"(serial i0 < 10
  %0: f32 = 0.0
  y0[i0] = %0
  %2 = y0[i0]
  serial i1 < 100
    %1 = x0[100*i0+i1]
    y0[i0] += %2
)"));
  CHECK(kept(R"(serial i0 < 10
  %0: f32 = 0.0
  y0[i0] = %0
  serial i1 < 100
    %1 = x0[100*i0+i1]
    y0[i0] += %1
    y0[i0] max= %1
)"));
}

TEST_CASE("sums of short rows are kept in locals") {
  const auto sums = [](const std::string& start, const std::string& store) {
    const std::string text = "in x0: f32[3000]\nout y0: f32[33]\nserial i0 < 10\n" + start +
                             "  serial i2 < 100\n    parallel i3 < 3\n"
                             "      %1 = x0[300*i0+3*i2+i3]\n      " +
                             store + "\n";
    const Program plain = loop_program(text);
    Program p = plain;
    schedule(p, {.vector_bytes = 0});
    plan_memory(p);
    verify(p);
    check_equal(plain, p, 5);
    return print(p);
  };
  const std::string start = "  parallel i1 < 3\n    %0: f32 = 0.0\n    y0[3*i0+i1] = %0\n";
  const std::string local = sums(start, "y0[3*i0+i3] += %1");
  INFO(local);
  CHECK(local.find("  local y0_sum2: f32[3]\n") != std::string::npos);
  CHECK(local.find("      y0_sum2[i3] += ") != std::string::npos);
  CHECK(local.find("    y0[3*i0+i4] = ") != std::string::npos);
  // Not other elements, nor what is read meanwhile.
  CHECK(sums(start, "y0[3*i0+i3+1] += %1").find("_sum") == std::string::npos);
  CHECK(sums(start, "y0[3*i0-i3+2] += %1").find("_sum") == std::string::npos);
  CHECK(sums(start, "%2 = y0[3*i0+i3]\n      y0[3*i0+i3] += %2").find("_sum") == std::string::npos);
}

TEST_CASE("pack: strided loads that inner loops repeat") {
  // Both loops over j read the same elements of x0: one copy.  x1 is read once by each lane, so it stays where it is.
  const std::string text = R"(
in x0: f64[10000]
in x1: f64[3000]
in x2: f64[250]
out y0: f64[1000]
out y1: f64[1000]
parallel i0 < 1000
  %0: f64 = 0.0
  y0[i0] = %0
  y1[i0] = %0
  parallel i1 < 25
    parallel i2 < 10
      %1 = x0[10*i0+i2]
      %2 = x2[10*i1+i2]
      %3: f64 = mul %1 %2
      y0[i0] += %3
    parallel i3 < 10
      %4 = x0[10*i0+i3]
      %5 = x2[10*i1+i3]
      %6: f64 = div %4 %5
      y1[i0] += %6
  parallel i4 < 3
    %7 = x1[3*i0+i4]
    y0[i0] += %7
)";
  const std::string got = scheduled(text);
  INFO(got);
  CHECK(got.find(R"(
  local x0_pack7: f64[10]
  parallel i1 < 10 unroll
    %0 = x0[10*i0+i1]
    x0_pack7[i1] = %0
)") != std::string::npos);
  CHECK(got.find("%5 = x0_pack7[i4]") != std::string::npos);
  CHECK(got.find("x1[3*i0+i5]") != std::string::npos);
  CHECK(got.find("x0[", got.find("x0_pack7[i1] =")) == std::string::npos);
  // What the loop writes, or reads by computed indices, stays where it is.
  auto time = [](const std::string& load) {
    return scheduled(R"(
in x0: i64[8000]
out y0: i64[1000]
out y1: i64[8000]
parallel i0 < 1000
  local t0: i64[1]
  %0 = x0[i0]
  t0[0] = %0
  %1 = clip %0 0 3
  y1[8*i0] = %0
  serial i1 < 5
    parallel i2 < 4
      %2 = )" + load +
                     R"(
      t0[0] += %2
  %3 = t0[0]
  y0[i0] = %3
)");
  };
  CHECK(time("x0[8*i0+i2]").find("_pack") != std::string::npos);
  for (const char* load : {"y1[8*i0+i2]", "x0[8*i0+%1]"}) {
    const std::string kept = time(load);
    INFO(kept);
    CHECK(kept.find("i0 < 1000 lanes") != std::string::npos);
    CHECK(kept.find("_pack") == std::string::npos);
  }
}

TEST_CASE("unroll: short loops over arrays in registers") {
  const std::string text = R"(
in x0: f32[64]
out y0: f32[8]
local t0: f32[8]
parallel i0 < 8
  %0: f32 = 0.0
  t0[i0] = %0
serial i1 < 8
  parallel i2 < 8
    %1 = x0[8*i1+i2]
    t0[i2] += %1
parallel i3 < 8
  %2 = t0[i3]
  y0[i3] = %2
)";
  CHECK(marks(text) == R"(
parallel i0 < 8 unroll
serial i1 < 8
  parallel i2 < 8 unroll
parallel i3 < 8 unroll
)");
  CHECK(marks(text, {.vector_bytes = 0, .max_unroll = 4}) == R"(
parallel i0 < 8
serial i1 < 8
  parallel i2 < 8
parallel i3 < 8
)");
  // Not if the code would be long: 16 x 16 x 10 powers.
  CHECK(marks(R"(
out y0: f32[10]
local t0: f32[16]
parallel i0 < 16
  parallel i1 < 16
    parallel i2 < 10
      %0 = y0[i2]
      %1: f32 = pow %0 %0
      t0[i0] += %1
)",
              {.vector_bytes = 0}) == R"(
parallel i0 < 16
  parallel i1 < 16
    parallel i2 < 10
)");
}

TEST_CASE("chunks: work items, and the parts of reductions") {
  CHECK(scheduled(R"(
in x0: f32[10000000]
out y0: f32[1]
%0: f32 = 0.0
y0[0] = %0
parallel i0 < 10000000
  %1 = x0[i0]
  y0[0] += %1
)",
                  {.max_chunks = 16}) == R"(
in x0: f32[10000000]
out y0: f32[1]
temp y0_parts2: f32[16]
%0: f32 = 0.0
y0[0] = %0
parallel i0 < 16 lanes 16
  %1: f32 = 0.0
  y0_parts2[i0] = %1
parallel i1 < 10000000 lanes 64 x4 grain 625024 chunk i2
  %2 = x0[i1]
  y0_parts2[i2] += %2
serial i3 < 16
  %3 = y0_parts2[i3]
  y0[0] += %3
)");
  // Column sums: the parts are rows.  What the items share is no local.
  const std::string columns = scheduled(R"(
in x0: f32[4194304]
out y0: f32[1024]
local t0: f32[1024]
local t1: f32[1]
%0: f32 = 3.0
t1[0] = %0
parallel i0 < 1024
  %1: f32 = 0.0
  t0[i0] = %1
parallel i1 < 4096
  %2 = t1[0]
  parallel i2 < 1024
    %3 = x0[1024*i1+i2]
    %4: f32 = div %3 %2
    t0[i2] += %4
parallel i3 < 1024
  %5 = t0[i3]
  y0[i3] = %5
)",
                                        {.max_chunks = 8});
  INFO(columns);
  CHECK(columns.find("temp t1: f32[1]") != std::string::npos);
  CHECK(columns.find("local t0: f32[1024]") != std::string::npos);
  CHECK(columns.find("temp t0_parts4: f32[8192]") != std::string::npos);
  CHECK(columns.find("< 4096 grain 512 chunk i3\n") != std::string::npos);
  CHECK(columns.find("t0_parts4[1024*i3+i4] += ") != std::string::npos);
  CHECK(columns.find("    t0[i5] += ") != std::string::npos);
  // Small work is one item; so is what has effects.
  const std::string small = R"(
in x0: f32[10000]
out y0: f32[10000]
parallel i0 < 10000
  %0 = x0[i0]
  %1: f32 = sin %0
  y0[i0] = %1
)";
  CHECK(marks(small, {.max_chunks = 64}) == "\nparallel i0 < 10000 lanes 16\n");
  // Without a reduction there are no parts.
  CHECK(marks(R"(
in x0: f32[1000000]
out y0: f32[1000000]
parallel i0 < 1000000
  %0 = x0[i0]
  %1: f32 = sin %0
  y0[i0] = %1
)",
              {.max_chunks = 64}) == "\nparallel i0 < 1000000 lanes 64 x4 grain 16192\n");
}

TEST_CASE("chunks: loops inside of what runs one after the other") {
  const std::string text = R"(
in x0: i64[1000000]
out y0: i64[1000000]
out y1: i64[10]
serial i0 < 10
  local t0: i64[1]
  %0: i64 = 0
  t0[0] = %0
  %1: i64 = index i0
  parallel i1 < 1000000
    %2 = x0[i1]
    %3: i64 = mul %2 %1
    t0[0] += %3
    %4: i64 = div %3 %2
    y0[i1] = %4
  %5 = t0[0]
  y1[i0] = %5
)";
  const Target t{.max_chunks = 4};
  const std::string loops = marks(text, t);
  INFO(loops);
  CHECK(loops.find(" < 1000000 lanes 32 x4 grain 250016 chunk i3\n") != std::string::npos);
  Program plain = loop_program(text), p = plain;
  schedule(p, t);
  plan_memory(p);
  verify(p);
  INFO(print(p));
  CHECK(buffer(p, "t0_parts4").size == 4);
  // Under a While and an If as well, but nowhere inside of a parallel loop.
  const auto cut = [&](const std::string& head, const std::string& inner) {
    std::string body = "in x0: f32[1000000]\nout y0: f32[1000000]\n" + head;
    const std::string indent(head.size() - head.find_last_of('\n') - 1, ' ');
    body = body.substr(0, body.find_last_of('\n') + 1);
    for (const char* line : {"parallel i1 < 1000000", "  %2 = x0[i1]", "  %3: f32 = sin %2"})
      body += indent + line + "\n";
    return scheduled(body + indent + "  " + inner + "\n", t).find("grain") != std::string::npos;
  };
  CHECK(cut("%0: bool = True\nif %0\n  ", "y0[i1] = %3"));
  CHECK(cut("while\n  %0: bool = False\ndo %0\n  ", "y0[i1] = %3"));
  CHECK(cut("serial i0 < 3\n  serial i7 < 3\n    ", "y0[i1] = %3"));
  CHECK_FALSE(cut("serial i0 < 3\n  parallel i7 < 1\n    ", "y0[i1] = %3"));
}

TEST_CASE("chunks: combining stores that meet have parts") {
  const Target t{.max_chunks = 4};
  auto loops = [&](const std::string& store) {
    return scheduled(
        "in x0: i64[1000000]\nout y0: i64[4000000]\nout y1: i64[3]\nparallel i0 < 1000000\n"
        "  %0 = x0[i0]\n  %1 = clip %0 0 2\n  %2: i64 = div %0 %0\n  " +
            store + "\n",
        t);
  };
  auto chunks = [&](const std::string& store) {
    return loops(store).find("grain") != std::string::npos;
  };
  CHECK(chunks("y0[i0] += %2"));
  CHECK(chunks("y0[3*i0+%1] += %2"));  // windows of 3 in steps of 3
  CHECK_FALSE(chunks(
      "y0[2*i0+%1] += %2"));  // they overlap: parts of 4 million elements cost more than they bring
  CHECK_FALSE(chunks("y0[%1] += %2"));
  CHECK_FALSE(chunks("y0[i0] += %2\n  y0[i0+1] += %0"));
  CHECK(chunks("y0[2*i0] += %2\n  y0[2*i0+1] += %0"));
  // Other elements of a buffer with reductions are written or read: it cannot have parts.
  CHECK(chunks("y1[0] += %2"));
  CHECK(chunks("y1[0] += %2\n  y1[%1] += %2"));
  CHECK_FALSE(chunks("y1[0] += %2\n  %3 = y1[2]\n  y0[i0] = %3"));
  CHECK_FALSE(chunks("y1[0] += %2\n  y1[1] max= %0"));
  // A histogram of few bins has parts.
  const std::string histogram = R"(
in x0: i64[1000000]
out y0: i64[8]
parallel i0 < 8
  %0: i64 = 0
  y0[i0] = %0
parallel i1 < 1000000
  %1 = x0[i1]
  %2 = clip %1 0 7
  %3: i64 = 1
  y0[%2] += %3
)";
  const std::string parts = scheduled(histogram, t);
  INFO(parts);
  CHECK(parts.find("  y0_parts2[8*i3+%3] += %4\n") != std::string::npos);
}

TEST_CASE("chunks: parts give what one loop gives") {
  const std::string text = R"(
in x0: i64[40000]
out y0: i64[1]
out y1: i64[4]
out y2: i64[40000]
out y3: i64[3]
%0: i64 = 5
y0[0] = %0
parallel i0 < 4
  %1: i64 = 6
  y1[i0] = %1
parallel i1 < 3
  %2: i64 = 7
  y3[i1] = %2
parallel i2 < 10000
  parallel i3 < 4
    %3 = x0[4*i2+i3]
    y0[0] += %3
    y1[i3] max= %3
    %4 = clip %3 0 2
    y3[%4] += %3
    y2[4*i2+i3] = %3
)";
  Program plain = loop_program(text), p = plain;
  schedule(p, {.max_chunks = 5});
  plan_memory(p);
  verify(p);
  INFO(print(p));
  CHECK(buffer(p, "y0_parts5").size == 5);
  CHECK(buffer(p, "y1_parts6").size == 20);
  CHECK(buffer(p, "y3_parts7").size == 15);
  const auto in = inputs(plain, 3);
  const auto want = Machine(plain, Machine::Run::forwards).run(in);
  CHECK(Machine(p, Machine::Run::forwards).run(in) == want);
  CHECK(interpreted(p, in, true) == want);
}

TEST_CASE("schedule: random programs mean what they meant") {
  int packed = 0, joined = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    const std::string text = random_loop_program(seed + 1000);
    INFO("seed " << seed << "\n" << text);
    const Program plain = loop_program(text);
    for (const Target& t :
         {Target{}, Target{.vector_bytes = 16, .max_unroll = 4, .max_chunks = 3}}) {
      Program p = plain;
      schedule(p, t);
      plan_memory(p);
      verify(p);
      INFO(print(p));
      check_equal(plain, p, seed);
      packed += p.buffers.size() > plain.buffers.size();
      Program q = plain;
      coalesce(q);
      joined += count_loops(q) < count_loops(plain);
    }
  }
  CHECK(packed > 50);
  CHECK(joined > 50);
}

// ---- Cost
TEST_CASE("schedule: floats, in the interpreter") {
  // Softmax of rows, and sums over everything, rows and columns, cut into chunks.
  const std::string text = R"(
in x0: f32[262144]
out y0: f32[262144]
out y1: f32[1]
out y2: f32[256]
out y3: f32[1024]
%0: f32 = 0.0
y1[0] = %0
parallel i0 < 256
  %1: f32 = 0.0
  y2[i0] = %1
parallel i1 < 1024
  local t0: f32[1]
  local t1: f32[256]
  local t2: f32[1]
  %2: f32 = -inf
  t0[0] = %2
  parallel i2 < 256
    %3 = x0[256*i1+i2]
    t0[0] max= %3
  %4 = t0[0]
  %5: f32 = 0.0
  t2[0] = %5
  y3[i1] = %5
  parallel i3 < 256
    %6 = x0[256*i1+i3]
    %7: f32 = sub %6 %4
    %8: f32 = exp %7
    t1[i3] = %8
    t2[0] += %8
  %9 = t2[0]
  parallel i4 < 256
    %10 = t1[i4]
    %11: f32 = div %10 %9
    y0[256*i1+i4] = %11
    %12: f32 = mul %11 %10
    y1[0] += %12
    y2[i4] += %12
    y3[i1] += %12
)";
  const Program plain = loop_program(text);
  Program p = plain;
  schedule(p, {.max_chunks = 7});
  plan_memory(p);
  verify(p);
  INFO(print(p));
  CHECK(print(p).find("grain 147 chunk") != std::string::npos);
  CHECK(buffer(p, "y0").donor == 0);
  std::vector<float> x(262144);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(std::sin(double(i) * 0.37));
  auto run = [&](const Program& q, bool donate) {
    std::vector<float> in = x;
    std::vector<std::vector<float>> y;
    for (std::size_t n : {262144, 1, 256, 1024}) y.emplace_back(n);
    if (donate) y[0].clear();
    Interpreter(q).run(std::vector<const void*>{in.data()},
                       std::vector<void*>{donate ? in.data() : y[0].data(), y[1].data(),
                                          y[2].data(), y[3].data()});
    if (donate) y[0] = in;
    return y;
  };
  const auto want = run(plain, false);
  for (const bool donate : {false, true}) {
    const auto got = run(p, donate);
    CHECK(got[0] == want[0]);
    CHECK(got[3] == want[3]);
    CHECK(got[1][0] == Approx(want[1][0]).epsilon(1e-4));
    for (std::size_t i = 0; i < 256; ++i) CHECK(got[2][i] == Approx(want[2][i]).epsilon(1e-4));
    CHECK(got == run(p, !donate));
  }
}

TEST_CASE("cost: arithmetic, passes over memory, bytes") {
  // The value and the gradient of a sum: x is read once.
  const Cost c = cost(loop_program(R"(
in x0: f32[1000]
out y0: f32[1]
out y1: f32[1000]
%0: f32 = 0.0
y0[0] = %0
parallel i0 < 1000
  %1 = x0[i0]
  %2: f32 = sin %1
  %3: f32 = cos %1
  y0[0] += %2
  %4: f32 = mul %3 %1
  y1[i0] = %4
)"));
  CHECK(c.loops == 1);
  CHECK(c.calls == 0);
  CHECK(c.flops == 2000);
  CHECK(c.transcendentals == 2000);
  CHECK(c.bytes_read == 4000);
  CHECK(c.bytes_written == 4000 + 4 + 4);
  // A row kernel reads its row three times, from the cache; x1 is read by every row; t0 is a local.
  const Cost rows = cost(loop_program(R"(
in x0: f64[4096]
in x1: f64[64]
out y0: f64[4096]
parallel i0 < 64
  local t0: f64[64]
  parallel i1 < 64
    %0 = x0[64*i0+i1]
    %1 = x1[i1]
    %2: f64 = sub %0 %1
    t0[i1] = %2
  parallel i2 < 64
    %3 = x0[64*i0+i2]
    %4 = t0[i2]
    %5: f64 = add %3 %4
    y0[64*i0+i2] = %5
)"));
  CHECK(rows.flops == 2 * 4096);
  CHECK(rows.bytes_read == 8 * (4096 + 64));
  CHECK(rows.bytes_written == 8 * 4096);
  // Strides, overlapping windows, gathers; conversions are no arithmetic.
  const Cost parts = cost(loop_program(R"(
in x0: i64[1000]
in x1: f32[100000]
out y0: f64[10]
out y1: f64[1]
parallel i0 < 10
  %0 = x0[100*i0]
  %1 = clip %0 0 99999
  %2 = x1[%1]
  %3: f64 = convert_element_type[new_dtype=float64 weak_type=False] %2
  y0[i0] = %3
parallel i1 < 9
  %4 = y0[i1]
  %5 = y0[i1+1]
  y1[0] += %4
)"));
  CHECK(parts.flops == 9);
  CHECK(parts.bytes_read == 10 * 8 + 10 * 4 + 10 * 8);
  CHECK(parts.bytes_written == 10 * 8 + 8);
  // Loops over time multiply, while loops count once, of branches the longer one.
  const Cost control = cost(loop_program(R"(
in x0: f32[1]
out y0: f32[1]
serial i0 < 10
  while
    %0 = x0[0]
    %1: f32 = 2.0
    %2: bool = lt %0 %1
  do %2
    %3 = x0[0]
    %4: f32 = 5.0
    %5: bool = lt %3 %4
    if %5
      %6: f32 = add %3 %3
      %7: f32 = exp %6
      y0[0] = %7
    else
      y0[0] = %3
)"));
  CHECK(control.loops == 1);
  CHECK(control.flops == 30);
  CHECK(control.transcendentals == 10);
  CHECK(control.bytes_read == 4);
  // Kernels.
  const Cost calls = cost(loop_program(R"(
in x0: f32[200]
in x1: f32[600]
out y0: f32[300]
out y1: f32[300]
call dot_general[dimension_numbers=(([1], [0]), ([], []))] (x0: f32[10,20], x1: f32[20,30]) -> (y0: f32[10,30])
call cumsum (y0: f32[300]) -> (y1: f32[300])
)"));
  CHECK(calls.loops == 0);
  CHECK(calls.calls == 2);
  CHECK(calls.flops == 2 * 10 * 20 * 30 + 300);
  CHECK(calls.bytes_read == 4 * (200 + 600 + 300));
  CHECK(calls.bytes_written == 4 * (300 + 300));
  CHECK(fusion::weight(add_p) == 1);
  CHECK(fusion::weight(exp_p) > 5);
  CHECK(fusion::weight(pow_p) > fusion::weight(exp_p));
}
