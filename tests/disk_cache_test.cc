// disk_cache_test.cc -- what is kept, what is believed, and who else may write at the same time.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "backends/cache/disk_cache.h"
#include "backends/cache/sha256.h"
#include "environment.h"

using namespace jaxpp::internal;
using jaxpp::testing::Variable;
namespace fs = std::filesystem;

namespace {

struct Folder {
  std::string path = "/tmp/jaxpp-test-XXXXXX";
  Folder() { REQUIRE(::mkdtemp(path.data())); }
  ~Folder() { fs::remove_all(path); }
  std::string cache() const { return path + "/a/cache"; }
};
std::string get(DiskCache& c, const std::string& key, const std::string& value) {
  return *c.get({key}, [&] { return value; });
}
std::vector<std::string> files(const std::string& folder) {
  std::vector<std::string> all;
  for (const auto& e : fs::directory_iterator(folder)) all.push_back(e.path());
  return all;
}
std::string read(const std::string& file) {
  std::ostringstream s;
  s << std::ifstream(file, std::ios::binary).rdbuf();
  return s.str();
}
void write(const std::string& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("SHA-256: the examples of FIPS 180-4") {
  CHECK(hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hex(sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnop"
                   "qklmnopqrlmnopqrsmno"
                   "pqrstnopqrstu")) ==
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(hex(sha256(std::string(1000000, 'a'))) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  // With and without the processor's instructions.
  std::string growing;
  for (int i = 0; i < 300; ++i) {
    Sha256 words(Sha256::With::words);
    words.add(growing);
    REQUIRE(words.digest() == sha256(growing));
    growing += char(i * 37);
  }
  // In pieces of any size.
  std::string text;
  for (int i = 0; i < 300; ++i) text += char(i * 7);
  for (std::size_t step : {1u, 3u, 55u, 56u, 63u, 64u, 65u, 128u}) {
    Sha256 s;
    for (std::size_t at = 0; at < text.size(); at += step)
      s.add(std::string_view(text).substr(at, step));
    CHECK(s.digest() == sha256(text));
  }
}

TEST_CASE("disk cache: memory, then disk, then made") {
  Folder f;
  DiskCache a({.folder = f.cache()});
  CHECK(get(a, "k", "value") == "value");
  CHECK(get(a, "k", "other") == "value");
  CHECK(get(a, "k2", "") == "");
  a.forget();
  CHECK(get(a, "k", "other") == "value");
  CHECK(get(a, "k2", "other") == "");
  DiskCache b({.folder = f.cache()});
  CHECK(get(b, "k", "other") == "value");
  const auto n = a.counts();
  CHECK((n.memory == 1 && n.disk == 2 && n.made == 2));
  CHECK((fs::status(f.cache()).permissions() & fs::perms(0777)) == fs::perms(0700));
  for (const std::string& file : files(f.cache()))
    CHECK((fs::status(file).permissions() & fs::perms(0777)) == fs::perms(0600));
  // Parts of keys keep their borders.
  CHECK(*a.get({"ab", "c"}, [] { return "1"; }) == "1");
  CHECK(*a.get({"a", "bc"}, [] { return "2"; }) == "2");
  CHECK(*a.get({"abc"}, [] { return "3"; }) == "3");
}
TEST_CASE("disk cache: a failure is thrown, and not remembered") {
  Folder f;
  DiskCache c({.folder = f.cache()});
  CHECK_THROWS_AS(c.get({"k"}, []() -> std::string { throw std::runtime_error("no"); }),
                  std::runtime_error);
  CHECK(get(c, "k", "value") == "value");
}
TEST_CASE("disk cache: a damaged file is not believed") {
  Folder f;
  const std::string value =
      "the bytes of a compiled kernel, some of them zero" + std::string(3, '\0');
  {
    DiskCache c({.folder = f.cache()});
    get(c, "k", value);
  }
  const std::string file = files(f.cache()).at(0), good = read(file);
  auto remade = [&](const std::string& bytes) {
    write(file, bytes);
    DiskCache c({.folder = f.cache()});
    const bool right = get(c, "k", value) == value;
    CHECK(read(file) == good);  // and it is whole again
    return right && c.counts().made == 1;
  };
  for (std::size_t n = 0; n < good.size(); n += 5) REQUIRE(remade(good.substr(0, n)));
  CHECK(remade(good + "x"));
  for (std::size_t bit = 0; bit < good.size() * 8; bit += 7) {
    std::string bad = good;
    bad[bit / 8] = char(bad[bit / 8] ^ 1 << bit % 8);
    REQUIRE(remade(bad));
  }
  // Another key's file under this name.
  {
    DiskCache c({.folder = f.cache()});
    get(c, "k2", "of another key");
  }
  for (const std::string& other : files(f.cache()))
    if (other != file) CHECK(remade(read(other)));
}
TEST_CASE("disk cache: what others could have written is not read") {
  Folder f;
  {
    DiskCache c({.folder = f.cache()});
    get(c, "k", "value");
  }
  const std::string file = files(f.cache()).at(0), good = read(file);
  auto made = [&] {
    DiskCache c({.folder = f.cache()});
    CHECK(get(c, "k", "value") == "value");
    return c.counts().made;
  };
  CHECK(made() == 0);
  ::chmod(file.c_str(), 0620);
  CHECK(made() == 1);
  CHECK(made() == 0);  // replaced by one of our own
  ::chmod(file.c_str(), 0602);
  CHECK(made() == 1);
  ::chmod(f.cache().c_str(), 0770);
  CHECK(made() == 1);
  CHECK(made() == 1);  // nor written
  ::chmod(f.cache().c_str(), 0707);
  CHECK(made() == 1);
  ::chmod(f.cache().c_str(), 0755);
  CHECK(made() == 0);
  // A link, whoever it belongs to.
  fs::rename(file, f.path + "/elsewhere");
  fs::create_symlink(f.path + "/elsewhere", file);
  CHECK(made() == 1);
  fs::remove(file);
  ::mkfifo(file.c_str(), 0600);
  CHECK(made() == 1);
  if (::geteuid() == 0) {
    REQUIRE(::chown(file.c_str(), 12345, 0) == 0);
    CHECK(made() == 1);
    REQUIRE(::chown(f.cache().c_str(), 12345, 0) == 0);
    CHECK(made() == 1);
    CHECK(made() == 1);
  } else {
    WARN("not root: files of other users are not tested");
  }
}
TEST_CASE("disk cache: no place to write") {
  Folder f;
  write(f.path + "/a", "a file, where a folder should be");
  DiskCache c({.folder = f.cache()});
  CHECK(get(c, "k", "value") == "value");
  CHECK(get(c, "k", "other") == "value");
  DiskCache none(DiskCache::Options{});
  CHECK(get(none, "k", "value") == "value");
  none.forget();
  CHECK(get(none, "k", "other") == "other");
}
TEST_CASE("disk cache: a full disk") {
  Folder f;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);  // writing fails then, as it does on a full disk
    const rlimit small{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &small);
    const std::string large(100'000, 'x');
    DiskCache c({.folder = f.cache()});
    bool right = get(c, "large", large) == large && files(f.cache()).empty();  // no half of a file
    right = right && get(c, "small", "value") == "value" && files(f.cache()).size() == 1;
    right = right && get(c, "large", "not made again") == large;  // it is in memory
    ::_exit(right ? 0 : 1);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
}
TEST_CASE("disk cache: threads make a value once") {
  Folder f;
  DiskCache c({.folder = f.cache()});
  std::atomic<int> made = 0, wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string key = std::to_string((i + t * 7) % 50);
        if (*c.get({key}, [&] { return ++made, std::string(5000, key[0]); }) !=
            std::string(5000, key[0]))
          ++wrong;
      }
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(made == 50);
}
TEST_CASE("disk cache: processes write at the same time") {
  Folder f;
  std::vector<pid_t> children;
  for (int p = 0; p < 6; ++p) {
    const pid_t child = ::fork();
    if (child == 0) {
      int wrong = 0;
      for (int round = 0; round < 20; ++round) {
        DiskCache c({.folder = f.cache(), .capacity = 200000});  // small enough for sweeps
        for (int i = 0; i < 30; ++i) {
          const std::string key = std::to_string((i * 11 + p) % 30), value(9000, key[0]);
          wrong += get(c, key, value) != value;
        }
      }
      ::_exit(wrong ? 1 : 0);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  for (const std::string& file : files(f.cache()))
    CHECK(fs::path(file).filename().string().size() == 64);
}
TEST_CASE("disk cache: the files not used for longest go first") {
  Folder f;
  const std::string value(10000, 'x');
  auto age = [&](int hours) {  // of all files
    for (const std::string& file : files(f.cache())) {
      struct stat s;
      ::stat(file.c_str(), &s);
      const timespec times[2] = {{s.st_atim.tv_sec, 0}, {s.st_mtim.tv_sec - 3600 * hours, 0}};
      ::utimensat(AT_FDCWD, file.c_str(), times, 0);
    }
  };
  for (int i = 0; i < 9; ++i) {
    DiskCache c({.folder = f.cache(), .capacity = 100000});
    get(c, std::to_string(i), value);
    age(2);
  }
  {
    DiskCache c({.folder = f.cache(), .capacity = 100000});
    get(c, "0", value);  // used again, now
    CHECK(c.counts().disk == 1);
    get(c, "9", value);
  }
  write(f.cache() + "/new-1-1", "of a writer that died");
  age(2);
  write(f.cache() + "/new-1-2", "of one that writes just now");
  write(f.cache() + "/README", "of somebody else");
  DiskCache c({.folder = f.cache(), .capacity = 100000});
  get(c, "10", value);
  std::int64_t bytes = 0;
  for (const std::string& file : files(f.cache())) bytes += std::int64_t(fs::file_size(file));
  CHECK(bytes <= 75000 + 10080 + 100);  // a quarter was made free, then one more came
  CHECK(!fs::exists(f.cache() + "/new-1-1"));
  CHECK(fs::exists(f.cache() + "/new-1-2"));
  CHECK(fs::exists(f.cache() + "/README"));
  c.forget();
  get(c, "0", value);
  get(c, "10", value);
  CHECK(c.counts().made == 1);
  get(c, "1", value);
  CHECK(c.counts().made == 2);
}
TEST_CASE("disk cache: where it is") {
  auto folder = [](const char* cache, const char* own, const char* xdg, const char* home) {
    Variable a("JAXPP_CACHE", cache), b("JAXPP_CACHE_DIR", own), c("XDG_CACHE_HOME", xdg),
        d("HOME", home);
    return DiskCache::Options::from_environment("cuda").folder;
  };
  CHECK(folder(nullptr, "/own", "/xdg", "/home/me") == "/own/cuda");
  CHECK(folder("1", nullptr, "/xdg", "/home/me") == "/xdg/jaxpp/cuda");
  CHECK(folder(nullptr, nullptr, "relative", "/home/me") == "/home/me/.cache/jaxpp/cuda");
  CHECK(folder(nullptr, nullptr, nullptr, "/home/me") == "/home/me/.cache/jaxpp/cuda");
  CHECK(folder("0", "/own", "/xdg", "/home/me") == "");
}
