// fuzz_test.cc -- readers of texts and files: the seeds of the fuzzer, and bytes that are nearly these, are read or refused.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include "jaxpp/core/error.h"
#include "tests/fuzz/targets.h"

namespace {

std::vector<std::string> seeds_of(const jaxpp::testing::FuzzTarget& t) {
  std::vector<std::filesystem::path> files;
  std::istringstream folders(t.seeds);
  for (std::string folder; folders >> folder;)
    for (auto& e : std::filesystem::directory_iterator(JAXPP_SOURCE_DIR "/tests/" + folder))
      files.push_back(e.path());
  std::sort(files.begin(), files.end());
  std::vector<std::string> seeds;
  for (auto& path : files) {
    std::ifstream f(path, std::ios::binary);
    std::stringstream s;
    s << f.rdbuf();
    seeds.push_back(s.str());
  }
  return seeds;
}

// One to three changes: a bit, a byte, some bytes less, some twice, a number that is too large.
std::string changed(std::string bytes, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return std::size_t(random() % n); };
  for (std::size_t change = 1 + below(3); change-- > 0 && !bytes.empty();) {
    const std::size_t at = below(bytes.size());
    switch (below(7)) {
      case 0: bytes[at] ^= char(1 << below(8)); break;
      case 1: bytes[at] = char(below(256)); break;
      case 2: bytes[at] = char(below(2) ? 0xff : 0); break;
      case 3: bytes.erase(at, 1 + below(8)); break;
      case 4: bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(32))); break;
      case 5: {
        const std::uint32_t large[] = {0xffffffff, 0x7fffffff, 0x80000000, 0xfffffffe};
        bytes.replace(at, std::min<std::size_t>(4, bytes.size() - at),
                      reinterpret_cast<const char*>(&large[below(4)]), 4);
        break;
      }
      default: bytes.resize(at);
    }
  }
  return bytes;
}

}  // namespace

TEST_CASE("readers: bytes are read or refused", "[fuzz]") {
  std::mt19937 random(20);
  for (auto& t : jaxpp::testing::fuzz_targets()) {
    int read = 0, refused = 0;
    const auto attempt = [&](const std::string& bytes) {
      INFO(t.name << ":\n" << bytes.substr(0, 2000));
      try {
        t.run(bytes);
        ++read;
      } catch (const jaxpp::Error&) {
        ++refused;
      } catch (const std::exception& e) {
        FAIL(e.what());
      }
    };
    const auto seeds = seeds_of(t);
    for (auto& s : seeds) attempt(s);
    INFO(t.name << ": " << read << " of " << seeds.size() << " seeds are read");
    CHECK(read >= 1);
    const int each = std::max<int>(1, 6000 / int(seeds.size()));
    for (auto& s : seeds)
      for (int round = 0; round < each; ++round) attempt(changed(s, random));
    CHECK(refused > 1000);
  }
}
