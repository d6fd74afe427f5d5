// disk_cache.h -- results of compilers, kept: in memory for this process, on disk for later ones.
//
//   DiskCache cache("cuda");
//   auto image = cache.get({source, options, compiler_version}, [&] { return compile(source); });
//
// Files are in $JAXPP_CACHE_DIR, else $XDG_CACHE_HOME/jaxpp, else ~/.cache/jaxpp, in a folder of the cache's name.  The
// disk can only save time, never fail or change a result: what is damaged, written for another key, or could have been
// written by another user is not read, and what cannot be written stays in memory.  JAXPP_CACHE=0 leaves the disk alone.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace jaxpp::internal {

class DiskCache {
 public:
  struct Options {
    std::string folder;                   // where the files are; "": no disk
    std::int64_t capacity = 512ll << 20;  // bytes on disk; above, the files not used for longest go
    static Options from_environment(const std::string& name);
  };
  struct Counts {
    std::int64_t memory = 0, disk = 0, made = 0;  // where results came from
  };
  explicit DiskCache(const char* name) : DiskCache(Options::from_environment(name)) {}
  explicit DiskCache(Options);

  /// The result for a key (of several parts, whose order matters): known, read, or made by `make`.  Threads that ask for
  /// the same key at the same time wait for one of them to make it; what `make` throws is thrown, and not remembered.
  std::shared_ptr<const std::string> get(std::initializer_list<std::string_view> key,
                                         const std::function<std::string()>& make);
  Counts counts() const;
  /// Forgets what is in memory; for tests.
  void forget();

 private:
  using Key = std::string;  // 32 bytes
  using Value = std::shared_ptr<const std::string>;
  Value read(const Key&) const;
  void write(const Key&, const std::string& value);
  void sweep();

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable made_;
  std::map<Key, Value> known_;  // null: being made
  std::int64_t known_bytes_ = 0;
  std::int64_t disk_bytes_ = -1;  // at least so many; -1: not counted yet
  Counts counts_;
};

}  // namespace jaxpp::internal
