// object_loader_test.cc -- objects that are damaged, in every way that chance finds.  What good ones compute: llvm_test.cc.
#include <elf.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/llvm.h"
#include "backends/cpu/llvm_codegen.h"
#include "backends/cpu/object.h"
#include "jaxpp/core/error.h"
#include "tests/message.h"

using namespace jaxpp;

namespace {

// With calls, a table of jumps, constants, addresses of functions, relocated data: every section and relocation there is.
std::string sample() {
  std::string why;
  if (!native::llvm_available(&why)) {
    WARN("skipped: " + why);
    return "";
  }
  native::Stages stages;
  return native::generate(R"(
@pointers = private unnamed_addr constant [2 x ptr] [ptr @work, ptr @unknown]
declare double @unknown(double)
define ptr @address() {
  ret ptr @unknown
}
define double @work(double %x, i32 %n) {
  switch i32 %n, label %other [ i32 0, label %a
    i32 1, label %b
    i32 2, label %c
    i32 3, label %d
    i32 4, label %e ]
a:
  %r0 = frem double %x, 3.0
  ret double %r0
b:
  %r1 = call double @unknown(double %x)
  ret double %r1
c:
  %p = getelementptr ptr, ptr @pointers, i32 %n
  %f = load ptr, ptr %p
  %r2 = call double %f(double %x)
  ret double %r2
d:
  ret double 4.25
e:
  %v = insertelement <8 x double> <double 1.0, double 2.0, double 3.0, double 4.0, double 5.0, double 6.0, double 7.0, double 8.0>, double %x, i32 %n
  %r4 = call double @llvm.vector.reduce.fadd.v8f64(double 0.0, <8 x double> %v)
  ret double %r4
other:
  ret double %x
}
declare double @llvm.vector.reduce.fadd.v8f64(double, <8 x double>)
)",
                          false, native::Output::object, stages);
}
void* known(std::string_view name) {
  return name == "unknown" ? reinterpret_cast<void*>(+[](double x) { return -x; }) : nullptr;
}

template <class T>
T at(const std::string& s, std::size_t offset) {
  T t;
  std::memcpy(&t, s.data() + offset, sizeof t);
  return t;
}
template <class T>
void put(std::string& s, std::size_t offset, T t) {
  std::memcpy(s.data() + offset, &t, sizeof t);
}
std::string loading(const std::string& object) {
  return message([&] { native::load_object(object, known); });
}

}  // namespace

TEST_CASE("object loader: a good one", "[llvm]") {
  const std::string object = sample();
  if (object.empty()) return;
  auto code = native::load_object(object, known);
  auto work = reinterpret_cast<double (*)(double, int)>(code->find("work"));
  const double expected[] = {1.5, -7.5, 0, 4.25, 38.5, 7.5};
  for (int n : {0, 1, 3, 4, 5}) CHECK(work(7.5, n) == expected[n]);
  auto address = reinterpret_cast<double (*(*)())(double)>(code->find("address"));
  CHECK(address()(2) == -2);
  CHECK(code->find("unknown") == nullptr);
  CHECK(code->find("pointers") == nullptr);
  CHECK_THAT(message([&] { native::load_object(object); }),
             Catch::Contains("\"unknown\"") && Catch::Contains("[E62]"));
}

TEST_CASE("object loader: code cannot be written, data cannot be executed", "[llvm]") {
  const std::string object = sample();
  if (object.empty()) return;
  auto code = native::load_object(object, known);
  const auto address = reinterpret_cast<std::uintptr_t>(code->find("work"));
  std::ifstream maps("/proc/self/maps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    char rights[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, rights) == 3 && address >= begin &&
        address < end) {
      found = true;
      CHECK(std::string(rights) == "r-xp");
    }
  }
  CHECK(found);
}

TEST_CASE("object loader: what is not an object", "[llvm]") {
  CHECK_THAT(loading(""), Catch::Contains("[E62]"));
  CHECK_THAT(loading("\x7f"
                     "ELF"),
             Catch::Contains("[E62]"));
  CHECK_THAT(loading(std::string(1000, '\0')), Catch::Contains("not a relocatable object"));
  const std::string object = sample();
  if (object.empty()) return;
  std::string other = object;
  put<Elf64_Half>(other, offsetof(Elf64_Ehdr, e_machine), EM_AARCH64);
  CHECK_THAT(loading(other), Catch::Contains("another processor"));
  other = object;
  put<Elf64_Half>(other, offsetof(Elf64_Ehdr, e_type), ET_DYN);
  CHECK_THAT(loading(other), Catch::Contains("not a relocatable object"));
  for (std::size_t n = 0; n < object.size(); n += 3) {
    INFO(n);
    REQUIRE_THAT(loading(object.substr(0, n)), Catch::Contains("[E62]"));
  }
}

TEST_CASE("object loader: relocations and symbols that point elsewhere", "[llvm]") {
  const std::string object = sample();
  if (object.empty()) return;
  const auto header = at<Elf64_Ehdr>(object, 0);
  int relocations = 0;
  for (int i = 0; i < header.e_shnum; ++i) {
    const std::size_t place = header.e_shoff + std::size_t(i) * sizeof(Elf64_Shdr);
    const auto s = at<Elf64_Shdr>(object, place);
    if (s.sh_type != SHT_RELA) continue;
    // Those of .eh_frame are not needed, and not looked at.
    if (!(at<Elf64_Shdr>(object, header.e_shoff + s.sh_info * sizeof(Elf64_Shdr)).sh_flags &
          (SHF_EXECINSTR | SHF_WRITE)))
      continue;
    for (std::size_t r = s.sh_offset; r < s.sh_offset + s.sh_size; r += sizeof(Elf64_Rela)) {
      ++relocations;
      auto changed = [&](auto change) {
        auto rela = at<Elf64_Rela>(object, r);
        change(rela);
        std::string bad = object;
        put(bad, r, rela);
        return loading(bad);
      };
      for (auto offset : {1ull << 20, ~0ull, ~3ull, 1ull << 63})
        CHECK_THAT(changed([&](auto& x) { x.r_offset = offset; }), Catch::Contains("[E62]"));
      CHECK_THAT(changed([](auto& x) { x.r_info = ELF64_R_INFO(100000, R_X86_64_PC32); }),
                 Catch::Contains("symbol that it does not have"));
      CHECK_THAT(
          changed([](auto& x) { x.r_info = ELF64_R_INFO(ELF64_R_SYM(x.r_info), R_X86_64_TLSGD); }),
          Catch::Contains("type 19 is not supported"));
      CHECK_THAT(
          changed([](auto& x) { x.r_info = ELF64_R_INFO(ELF64_R_SYM(x.r_info), R_X86_64_32); }),
          Catch::Contains("[E62]"));
      if (ELF64_R_TYPE(at<Elf64_Rela>(object, r).r_info) == R_X86_64_PC32)
        CHECK_THAT(changed([](auto& x) { x.r_addend = std::int64_t(1) << 40; }),
                   Catch::Contains("does not fit"));
    }
    std::string bad = object;
    auto changed = s;
    changed.sh_info = 5000;
    put(bad, place, changed);
    CHECK_THAT(loading(bad), Catch::Contains("[E62]"));
  }
  CHECK(relocations >= 6);
}

// Loads, or says why not: nothing else.  Under AddressSanitizer also: nothing outside of the object is read.
TEST_CASE("object loader: thousands of damaged objects", "[llvm]") {
  const std::string object = sample();
  if (object.empty()) return;
  const auto header = at<Elf64_Ehdr>(object, 0);
  std::mt19937_64 random(7);
  auto below = [&](std::size_t n) { return std::size_t(random() % n); };
  // Where structure is, damage is more interesting than in code.
  std::vector<std::pair<std::size_t, std::size_t>> places = {
      {0, sizeof header},
      {header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr)},
      {0, object.size()}};
  for (int i = 0; i < header.e_shnum; ++i) {
    const auto s = at<Elf64_Shdr>(object, header.e_shoff + std::size_t(i) * sizeof(Elf64_Shdr));
    if ((s.sh_type == SHT_RELA || s.sh_type == SHT_SYMTAB || s.sh_type == SHT_STRTAB) && s.sh_size)
      places.push_back({s.sh_offset, s.sh_size});
  }
  const std::uint64_t extremes[] = {
      0,          1,          2,          7,          8,     0xff,          0xffff,
      0x7fffffff, 0x80000000, 0xffffffff, 1ull << 62, ~0ull, object.size(), object.size() - 1};
  int loaded = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string bad = object;
    for (std::size_t changes = 1 + below(3); changes--;) {
      const auto [begin, size] = places[below(places.size())];
      const std::size_t offset = begin + below(size);
      switch (below(4)) {
        case 0: bad[offset] = char(bad[offset] ^ 1 << below(8)); break;
        case 1: bad[offset] = char(random()); break;
        case 2: {
          const std::uint64_t value = extremes[below(std::size(extremes))];
          const std::size_t width = std::size_t(1) << below(4);
          const std::size_t aligned = offset / width * width;
          if (aligned + width <= bad.size()) std::memcpy(bad.data() + aligned, &value, width);
          break;
        }
        case 3: {  // a piece of it elsewhere
          const std::size_t n = std::min({std::size_t(24), bad.size() - offset});
          const std::size_t from = below(bad.size() - n);
          std::memmove(bad.data() + offset, bad.data() + from, n);
        }
      }
    }
    // In memory of exactly its size, so that a sanitizer sees what is read behind it.
    const std::vector<char> exact(bad.begin(), bad.end());
    try {
      native::load_object({exact.data(), exact.size()}, known);
      ++loaded;
    } catch (const Error& e) {
      ++refused;
      REQUIRE(std::strstr(e.what(), "[E62]"));
    }
  }
  CHECK(loaded > 100);
  CHECK(refused > 1000);
}
