// loops_memory_test.cc -- plan_memory(): places in the arena, reuse in place, donation.
#include <catch2/catch.hpp>
#include <set>
#include "backends/loops/schedule.h"
#include "loop_programs.h"

using namespace jaxpp;
using namespace jaxpp::loops;
using namespace jaxpp::testing;
using Role = Buffer::Role;

namespace {
Program planned(const std::string& text) {
  Program p = loop_program(text);
  plan_memory(p);
  verify(p);
  return p;
}
std::int64_t at(const Program& p, const std::string& name) { return buffer(p, name).offset; }
int donor(const std::string& text, const std::string& out = "y0") {
  return buffer(planned(text), out).donor;
}

// n layers: an elementwise pass between what keeps nests apart.
std::string chain(int n, bool calls) {
  std::string text = "in x0: f32[1000]\nout y0: f32[1000]\n", body;
  std::string from = "x0";
  for (int k = 0; k < n; ++k) {
    const std::string i = std::to_string(k), t = k + 1 == n ? "y0" : "t" + i, s = "s" + i;
    if (k + 1 < n) text += "temp " + t + ": f32[1000]\n";
    if (calls) {
      body += "call cumsum (" + from + ": f32[1000]) -> (" + t + ": f32[1000])\n";
    } else {
      text += "temp " + s + ": f32[1]\n";
      body += "%c" + i + ": f32 = 0.0\n" + s + "[0] = %c" + i + "\n";
      body += "parallel a" + i + " < 1000\n  %a" + i + " = " + from + "[a" + i + "]\n  " + s +
              "[0] += %a" + i + "\n";
      body += "parallel b" + i + " < 1000\n  %b" + i + " = " + from + "[b" + i + "]\n  %d" + i +
              " = " + s + "[0]\n  %e" + i + ": f32 = sub %b" + i + " %d" + i + "\n  " + t + "[b" +
              i + "] = %e" + i + "\n";
    }
    from = t;
  }
  return text + body;
}
// A program with one nest that reads t0 and writes t1.
std::string handover(const std::string& nest) {
  return R"(
in x0: f32[64]
in x1: i64[64]
out y0: f32[64]
temp t0: f32[64]
temp t1: f32[64]
parallel i < 64
  %0 = x0[i]
  t0[i] = %0
)" + nest +
         R"(
parallel j < 64
  %1 = t1[j]
  y0[j] = %1
)";
}
bool in_place(const std::string& nest) {
  const Program p = planned(handover(nest));
  CHECK(p.arena == (at(p, "t0") == at(p, "t1") ? 256 : 512));
  return at(p, "t0") == at(p, "t1");
}
}  // namespace

TEST_CASE("memory plan: a chain of 1,000 layers") {
  // In place, with a sum between any two passes: one array, and one number at a time.
  Program p = planned(chain(1000, false));
  CHECK(p.arena == 4032 + 64);
  CHECK(memory(p).arena == 4096);
  CHECK(memory(p).arguments == 4000);
  CHECK(memory(p).outputs == 4000);
  CHECK(memory(p).peak() == 4000 + 4000 + 4096);
  std::set<std::int64_t> arrays, numbers;
  for (const Buffer& b : p.buffers)
    if (b.role == Role::temp) (b.size == 1 ? numbers : arrays).insert(b.offset);
  CHECK(arrays.size() == 1);
  CHECK(numbers.size() <= 2);
  // Kernels read all before they write: two arrays.
  p = planned(chain(1000, true));
  CHECK(p.arena == 2 * 4032);
}

TEST_CASE("memory plan: time and space for 100,000 nodes") {
  // A quadratic plan would take minutes.
  const Program p = planned(chain(30000, false));
  CHECK(p.body.size() == 120000);
  CHECK(p.arena == 4096);
  Program q = loop_program(chain(30000, false));
  schedule(q, {.max_chunks = 8});
  CHECK(cost(q).loops == 60000);
}

TEST_CASE("memory plan: reuse in place") {
  CHECK(in_place(R"(
parallel a < 64
  %a = t0[a]
  t1[a] = %a
)"));
  CHECK(in_place(R"(
parallel a < 8
  parallel b < 8
    %a = t0[a+8*b]
    %b = t0[a+8*b]
    %c: f32 = add %a %b
    t1[a+8*b] = %c
)"));
  // Another element.
  CHECK_FALSE(in_place(R"(
parallel a < 63
  %a = t0[a+1]
  t1[a] = %a
)"));
  CHECK_FALSE(in_place(R"(
parallel a < 64
  %a = t0[-a+63]
  t1[a] = %a
)"));
  CHECK_FALSE(in_place(R"(
parallel a < 8
  parallel b < 8
    %a = t0[a+8*b]
    t1[8*a+b] = %a
)"));
  // An index without an enclosing loop: elements come again.
  CHECK_FALSE(in_place(R"(
serial a < 2
  parallel b < 64
    %a = t0[b]
    t1[b] = %a
)"));
  // An index with every loop, of which the values repeat.
  CHECK_FALSE(in_place(R"(
serial a < 8
  parallel b < 8
    %a = t0[a+b]
    t1[a+b] = %a
)"));
  // The old one is read after the new one is written.
  CHECK_FALSE(in_place(R"(
parallel a < 64
  %a = t0[a]
  t1[a] = %a
  %b = t0[a]
  t1[a] = %b
)"));
  // A read of some other place before the write, of the same place after it.
  CHECK_FALSE(in_place(R"(
parallel a < 64
  %a = t0[a]
  %b = t0[0]
  %c: f32 = add %a %b
  t1[a] = %c
)"));
  // Within a while loop.
  CHECK_FALSE(in_place(R"(
while
  %p = t0[3]
  %q: bool = lt %p %p
do %q
  parallel a < 64
    %a = t0[a]
    t1[a] = %a
)"));
  // A call, of all or of rows.
  CHECK_FALSE(in_place("call cumsum (t0: f32[64]) -> (t1: f32[64])"));
  CHECK_FALSE(in_place(R"(
parallel a < 8
  call cumsum (t0[8*a]: f32[8]) -> (t1[8*a]: f32[8])
)"));
  // Branches: each for itself.
  CHECK(in_place(R"(
parallel a < 64
  %a = t0[a]
  %b: f32 = 1.0
  %c: bool = lt %a %b
  if %c
    t1[a] = %a
  else
    %d = t0[a]
    %e: f32 = neg %d
    t1[a] = %e
)"));
  CHECK_FALSE(in_place(R"(
parallel a < 64
  %a = t0[a]
  %b: f32 = 1.0
  %c: bool = lt %a %b
  if %c
    t1[a] = %a
    %d = t0[a]
    t1[a] = %d
  else
    t1[a] = %b
)"));
  // Rows, first read and then written: the iterations keep to their own, whatever is inside.
  CHECK(in_place(R"(
parallel a < 8
  local s: f32[1]
  %z: f32 = 0.0
  s[0] = %z
  parallel b < 8
    %a = t0[8*a-b+7]
    s[0] += %a
  parallel c < 8
    %b = t0[8*a+c]
    %c = s[0]
    %d: f32 = div %b %c
    t1[8*a+c] = %d
)"));
  CHECK(in_place(R"(
parallel a < 8
  local s: f32[8]
  parallel b < 8
    %i = x1[8*a+b]
    %k = clip %i 0 7
    %a = t0[8*a+%k]
    s[b] = %a
  parallel c < 8
    %b = s[c]
    t1[8*a+c] = %b
)"));
  // Columns likewise; here the row that is read is not the one that is written.
  CHECK(in_place(R"(
parallel a < 8
  local s: f32[1]
  %z: f32 = 0.0
  s[0] = %z
  parallel b < 7
    %a = t0[a+8*b+8]
    s[0] += %a
  parallel c < 8
    %b = s[0]
    t1[a+8*c] = %b
)"));
  CHECK_FALSE(in_place(R"(
parallel a < 8
  parallel c < 7
    %b = t0[a+8*c+8]
    t1[a+8*c] = %b
)"));
  CHECK_FALSE(in_place(R"(
parallel a < 8
  local s: f32[1]
  %z: f32 = 0.0
  s[0] = %z
  parallel b < 8
    %a = t0[a+7*b]
    s[0] += %a
  parallel c < 7
    %b = s[0]
    t1[a+8*c] = %b
)"));
  // The row of another iteration may be meant.
  CHECK_FALSE(in_place(R"(
parallel a < 8
  local s: f32[8]
  parallel b < 8
    %i = x1[8*a+b]
    %k = clip %i 0 63
    %a = t0[%k]
    s[b] = %a
  parallel c < 8
    %b = s[c]
    t1[8*a+c] = %b
)"));
  CHECK_FALSE(in_place(R"(
parallel a < 8
  local s: f32[8]
  parallel b < 8
    %a = t0[7*a+b]
    s[b] = %a
  parallel c < 8
    %b = s[c]
    t1[8*a+c] = %b
)"));
  // Another type, another size.
  const Program p = planned(R"(
in x0: f32[64]
out y0: i32[64]
temp t0: f32[64]
temp t1: i32[64]
temp t2: i32[60]
parallel i < 64
  %0 = x0[i]
  t0[i] = %0
parallel j < 64
  %1 = t0[j]
  %2: i32 = convert_element_type[new_dtype=int32 weak_type=False] %1
  t1[j] = %2
parallel k < 60
  %3 = t1[k]
  t2[k] = %3
parallel l < 60
  %4 = t2[l]
  y0[l] = %4
)");
  CHECK(at(p, "t0") == 0);
  CHECK(at(p, "t1") == 256);
  CHECK(at(p, "t2") == 0);
  CHECK(p.arena == 512);
}

TEST_CASE("memory plan: one place for several values of one nest") {
  // t1 takes over from t0, and t2 from t1, all in the second nest.
  CHECK(planned(R"(
in x0: f32[64]
out y0: f32[64]
temp t0: f32[64]
temp t1: f32[64]
temp t2: f32[64]
parallel a < 64
  %0 = x0[a]
  t0[a] = %0
parallel b < 64
  %1 = t0[b]
  %2: f32 = sin %1
  t1[b] = %2
  %3 = t1[b]
  %4: f32 = cos %3
  t2[b] = %4
parallel c < 64
  %5 = t2[c]
  y0[c] = %5
)")
            .arena == 256);
  // t1 and t2 agree, and t0 and t1, but t0 and t2 do not: the windows of the rows are 7, 11 and 15 of 16.
  const Program p = planned(R"(
in x0: f32[64]
out y0: f32[64]
temp t0: f32[64]
temp t1: f32[64]
temp t2: f32[64]
parallel a < 64
  %0 = x0[a]
  t0[a] = %0
parallel b < 4
  local l0: f32[8]
  local l1: f32[4]
  parallel c < 8
    %1 = t0[12*b+c]
    l0[c] = %1
  parallel d < 4
    %2 = l0[d]
    t1[12*b+d+8] = %2
  parallel e < 4
    %3 = t1[12*b+e+8]
    l1[e] = %3
  parallel f < 4
    %4 = l1[f]
    t2[12*b+f+14] = %4
parallel g < 64
  %5 = t2[g]
  y0[g] = %5
)");
  CHECK(at(p, "t0") == at(p, "t1"));
  CHECK(at(p, "t2") != at(p, "t1"));
}

TEST_CASE("memory plan: lifetimes") {
  // What a loop over time touches lives as long as the loop does.
  const Program p = planned(R"(
in x0: f32[16]
out y0: f32[16]
temp t0: f32[16]
temp t1: f32[16]
temp t2: f32[16]
temp t3: f32[16]
parallel a < 16
  %0 = x0[a]
  t0[a] = %0
serial b < 5
  parallel c < 16
    %1 = t0[c]
    t1[c] = %1
  parallel d < 16
    %2 = t1[d]
    t0[d] = %2
parallel e < 16
  %3 = t0[e]
  t2[e] = %3
parallel f < 16
  %4 = t2[f]
  t3[f] = %4
parallel g < 16
  %5 = t3[g]
  y0[g] = %5
)");
  CHECK(at(p, "t0") != at(p, "t1"));
  CHECK(at(p, "t2") == at(p, "t0"));
  CHECK(at(p, "t3") == at(p, "t0"));
  CHECK(p.arena == 128);
  // Gaps are used, the smallest that fits, and joined: 64 + 128 + 64 are free for 256.
  const Program q = planned(R"(
in x0: f32[64]
out y0: f32[64]
temp t0: f32[16]
temp t1: f32[32]
temp t2: f32[16]
temp t3: f32[8]
temp t4: f32[64]
temp t5: f32[16]
parallel a < 16
  %0 = x0[a]
  t0[a] = %0
  t1[2*a] = %0
  t2[a] = %0
parallel b < 8
  %1 = x0[b]
  t3[b] = %1
parallel c < 16
  %2 = t0[c]
  %3 = t1[c+1]
  %4 = t2[-c+15]
  y0[c] = %2
  y0[c+16] = %3
  y0[c+32] = %4
parallel d < 64
  %5 = x0[d]
  t4[d] = %5
parallel e < 16
  %6 = x0[e]
  t5[e] = %6
parallel f < 8
  %7 = t3[f]
  %8 = t4[f]
  %9 = t5[f]
  y0[f+48] = %7
  y0[f+56] = %8
)");
  CHECK(at(q, "t3") == 256);
  CHECK(at(q, "t4") == 0);
  CHECK(at(q, "t5") == 320);
  CHECK(q.arena == 384);
  // Temps that nobody touches have no place; empty ones need none.
  const Program r = planned(R"(
out y0: f32[1]
temp t0: f32[10]
%0: f32 = 1.0
y0[0] = %0
)");
  CHECK(at(r, "t0") == -1);
  CHECK(r.arena == 0);
}

TEST_CASE("memory plan: what one step of a loop defines anew lasts for the step") {
  // Three arrays of a body, two at a time; t0 is the state.
  auto body = [](const std::string& head, const std::string& define) {
    return planned(R"(
in x0: f32[64]
out y0: f32[64]
temp t0: f32[64]
temp t1: f32[64]
temp t2: f32[64]
temp t3: f32[64]
parallel a < 64
  %0 = x0[a]
  t0[a] = %0
)" + head + define +
                   R"(
  parallel c < 64
    %4 = t1[-c+63]
    t2[c] = %4
  parallel d < 64
    %5 = t2[-d+63]
    t3[d] = %5
  parallel e < 64
    %6 = t3[e]
    t0[e] += %6
parallel f < 64
  %7 = t0[f]
  y0[f] = %7
)");
  };
  const std::string serial = "serial s < 9\n", loop = R"(
while
  %1 = t0[0]
  %2: f32 = 9.0
  %3: bool = lt %1 %2
do %3
)";
  const std::string branch = R"(
%1 = x0[0]
%2: f32 = 9.0
%3: bool = lt %1 %2
if %3
)";
  const std::string all =
      "  parallel b < 8\n    parallel g < 8\n      %8 = t0[g+8*b]\n      t1[8*b-g+7] = %8\n";
  for (auto& head : {serial, loop, branch}) {
    const Program p = body(head, all);
    CHECK(p.arena == 3 * 256);
    CHECK(at(p, "t1") == at(p, "t3"));
  }
  // t1 keeps elements from the step before: too few are written, or only sometimes, or too late.
  const std::string some[] = {
      "  parallel b < 63\n    %8 = t0[b]\n    t1[b] = %8\n",
      "  parallel b < 32\n    %8 = t0[b]\n    t1[2*b] = %8\n",
      "  parallel b < 64\n    %8 = t0[b]\n    %9: bool = lt %8 %8\n    if %9\n      t1[b] = %8\n",
      "  parallel b < 64\n    %8 = t0[b]\n    t1[b] += %8\n",
      "  parallel b < 64\n    %8 = t1[b]\n    t1[b] = %8\n",
      "  serial b < 8\n    parallel g < 8\n      %8 = t0[b]\n      t1[8*b+g] = %8\n"
      "    parallel h < 4\n      %9 = t1[4*b+h]\n      t0[8*b] += %9\n"};
  for (auto& define : some)
    for (auto& head : {serial, loop}) {
      INFO(define);
      CHECK(body(head, define).arena == 4 * 256);
    }
  for (auto& define : some) CHECK(body(branch, define).arena == 3 * 256);
  const std::string call = "  call cumsum (t0: f32[64]) -> (t1: f32[64])\n";
  CHECK(body(serial, call).arena == 3 * 256);
  const std::string rows =
      "  parallel b < 8\n    call cumsum (t0[8*b]: f32[8]) -> (t1[8*b]: f32[8])\n";
  CHECK(body(serial, rows).arena == 4 * 256);
}

TEST_CASE("memory plan: large locals of which there is one at a time") {
  // l0 and l1 last one step, and not at the same time; l2 is small, and l3 exists once a row.
  const Program p = planned(R"(
in x0: f32[4096]
out y0: f32[4096]
serial a < 5
  local l0: f32[4096]
  local l1: f32[4096]
  local l2: f32[4]
  parallel b < 4096
    %0 = x0[b]
    l0[b] = %0
  parallel c < 4096
    %1 = l0[-c+4095]
    y0[c] = %1
  parallel d < 4096
    %2 = y0[d]
    l1[d] = %2
  parallel e < 4
    %3 = l1[-e+4095]
    l2[e] = %3
  parallel f < 4
    %4 = l2[f]
    y0[f] += %4
parallel g < 2
  local l3: f32[2048]
  parallel h < 2048
    %5 = x0[2048*g+h]
    l3[h] = %5
  parallel k < 2048
    %6 = l3[-k+2047]
    y0[2048*g+k] = %6
)");
  CHECK(buffer(p, "l0").role == Role::temp);
  CHECK(buffer(p, "l1").role == Role::temp);
  CHECK(buffer(p, "l2").role == Role::local);
  CHECK(buffer(p, "l3").role == Role::local);
  CHECK(at(p, "l0") == 0);
  CHECK(at(p, "l1") == 0);
  CHECK(p.arena == 4 * 4096);
  // Their loop stands still while one takes over from the other, if it does so for both.
  auto handed_over = [](const std::string& from) {
    const Program q = planned(R"(
in x0: f32[4096]
out y0: f32[4096]
serial a < 5
  local l0: f32[4096]
  local l1: f32[4096]
  parallel b < 100
    %0 = x0[b]
    l0[)" + from + R"(b] = %0
  parallel c < 100
    %1 = l0[)" + from + R"(c]
    l1[100*a+c] = %1
  parallel d < 100
    %2 = l1[100*a+d]
    y0[d] = %2
)");
    return at(q, "l0") == at(q, "l1");
  };
  CHECK(handed_over("100*a+"));
  CHECK_FALSE(handed_over("50*a+"));
}

TEST_CASE("memory plan: donation") {
  auto nest = [](const std::string& n) { return "\nin x0: f32[64]\nout y0: f32[64]\n" + n; };
  CHECK(donor(nest(R"(
parallel a < 64
  %0 = x0[a]
  %1: f32 = sin %0
  y0[a] = %1
)")) == 0);
  // Used for the last time before the output is begun.
  CHECK(donor(nest(R"(
temp t0: f32[64]
parallel a < 64
  %0 = x0[-a+63]
  t0[a] = %0
parallel b < 64
  %1 = t0[b]
  y0[b] = %1
)")) == 0);
  CHECK(donor(nest(R"(
temp t0: f32[64]
call cumsum (x0: f32[64]) -> (t0: f32[64])
call cumsum (t0: f32[64]) -> (y0: f32[64])
)")) == 0);
  // Not used at all.
  CHECK(donor(nest(R"(
parallel a < 64
  %0: f32 = 1.0
  y0[a] = %0
)")) == 0);
  // A row kernel.
  CHECK(donor(nest(R"(
parallel a < 8
  local s: f32[1]
  %z: f32 = 0.0
  s[0] = %z
  parallel b < 8
    %0 = x0[8*a+b]
    s[0] += %0
  parallel c < 8
    %1 = x0[8*a+c]
    %2 = s[0]
    %3: f32 = div %1 %2
    y0[8*a+c] = %3
)")) == 0);

  // Each rule broken once.
  CHECK(donor(nest(R"(
parallel a < 63
  %0 = x0[a+1]
  y0[a] = %0
)")) == -1);  // another element
  CHECK(donor(nest(R"(
serial a < 2
  parallel b < 64
    %0 = x0[b]
    y0[b] = %0
)")) == -1);  // an index without an enclosing loop
  CHECK(donor(nest(R"(
parallel a < 64
  %0 = x0[a]
  y0[a] = %0
  %1 = x0[a]
  y0[a] += %1
)")) == -1);  // read after the first write, in the nest
  CHECK(donor(nest(R"(
out y1: f32[1]
parallel a < 64
  %0 = x0[a]
  y0[a] = %0
%1 = x0[5]
y1[0] = %1
)")) == -1);  // and behind it
  CHECK(donor(nest("call cumsum (x0: f32[64]) -> (y0: f32[64])\n")) == -1);
  CHECK(donor(R"(
in x0: i32[64]
out y0: f32[64]
parallel a < 64
  %0 = x0[a]
  %1: f32 = convert_element_type[new_dtype=float32 weak_type=False] %0
  y0[a] = %1
)") == -1);  // another type
  CHECK(donor(R"(
in x0: f32[128]
out y0: f32[64]
parallel a < 64
  %0 = x0[a]
  y0[a] = %0
)") == -1);  // another size

  // An input goes to one output; the copy that is then updated comes first.
  const Program p = planned(R"(
in x0: f32[64]
in x1: f32[64]
in x2: i64[1]
out y0: f32[64]
out y1: f32[64]
out y2: f32[64]
parallel a < 64
  %0 = x0[a]
  %1: f32 = sin %0
  y0[a] = %1
  %2 = x1[a]
  y1[a] = %2
parallel b < 1
  %3 = x2[0]
  %4 = clip %3 0 63
  %5: f32 = 1.0
  y1[%4] = %5
parallel c < 64
  %6: f32 = 2.0
  y2[c] = %6
)");
  CHECK(buffer(p, "y0").donor == 0);
  CHECK(buffer(p, "y1").donor == 1);
  CHECK(buffer(p, "y2").donor == -1);
  // dynamic_update_slice takes x1, though x0 would be legal and is first.
  CHECK(donor(R"(
in x0: f32[64]
in x1: f32[64]
out y0: f32[64]
parallel a < 64
  %0 = x0[a]
  %1 = x1[a]
  %2: f32 = add %0 %1
  y0[a] = %1
)") == 1);
}

TEST_CASE("memory plan: random programs, by a machine that honours the plan") {
  int reused = 0, donated = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    const std::string text = random_loop_program(seed);
    INFO("seed " << seed << "\n" << text);
    const Program plain = loop_program(text);
    Program p = plain;
    plan_memory(p);
    verify(p);
    INFO(print(p));
    check_equal(plain, p, seed);
    std::int64_t sum = 0;
    for (const Buffer& b : p.buffers) {
      if (b.offset >= 0) sum += (8 * b.size + 63) / 64 * 64;
      donated += b.donor >= 0;
    }
    CHECK(p.arena <= sum);
    reused += p.arena < sum;
    Machine m(p, Machine::Run::forwards);
    m.run(inputs(p, seed));
    CHECK(m.touched() <= p.arena);
  }
  CHECK(reused > 300);
  CHECK(donated > 200);
}
