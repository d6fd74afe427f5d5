// disk_cache.cc -- one file a result: magic, key, size, checksum, bytes.
//
// A file is written under a name of its own and renamed, so a reader sees all of it or nothing, whatever other processes
// do, and the last writer of a key wins with the same bytes.  Every bit of a file is checked before it is believed.
#include "backends/cache/disk_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "backends/cache/sha256.h"

namespace jaxpp::internal {
namespace {

constexpr char kMagic[9] = "jaxpp-01";  // the format of the files; part of every key
constexpr std::int64_t kMemory = 256ll << 20;
constexpr std::time_t kTouch = 3600;  // the time of a file is brought up to date this rarely

struct Header {
  char magic[8];
  char key[32];
  std::uint64_t size;
  std::uint8_t checksum[32];
};
static_assert(sizeof(Header) == 80);

class File {
 public:
  File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  bool read(void* to, std::size_t n) const {
    for (auto* p = static_cast<char*>(to); n;) {
      const ssize_t got = ::read(fd_, p, n);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      p += got, n -= std::size_t(got);
    }
    return true;
  }
  bool write(const void* from, std::size_t n) const {
    for (auto* p = static_cast<const char*>(from); n;) {
      const ssize_t put = ::write(fd_, p, n);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return false;
      p += put, n -= std::size_t(put);
    }
    return true;
  }

 private:
  int fd_;
};

// Nobody but this user (or root) can have written it.
bool trusted(const struct stat& s) {
  return (s.st_uid == ::geteuid() || s.st_uid == 0) && !(s.st_mode & (S_IWGRP | S_IWOTH));
}
// The folder, open; made if missing, with everything above it.
File open_folder(const std::string& path, bool make) {
  auto open = [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); };
  int fd = open();
  if (fd < 0 && errno == ENOENT && make) {
    for (std::size_t slash = path.find('/', 1); slash != path.npos;
         slash = path.find('/', slash + 1))
      ::mkdir(path.substr(0, slash).c_str(), 0700);
    ::mkdir(path.c_str(), 0700);
    fd = open();
  }
  struct stat s;
  if (fd >= 0 && (::fstat(fd, &s) != 0 || !trusted(s))) {
    ::close(fd);
    fd = -1;
  }
  return fd;
}
bool temporary(const char* name) { return std::strncmp(name, "new-", 4) == 0; }

}  // namespace

DiskCache::Options DiskCache::Options::from_environment(const std::string& name) {
  auto variable = [](const char* v) {
    const char* s = std::getenv(v);
    return std::string(s ? s : "");
  };
  Options o;
  if (variable("JAXPP_CACHE") == "0") return o;
  std::string root = variable("JAXPP_CACHE_DIR");
  if (root.empty()) {
    std::string caches = variable("XDG_CACHE_HOME");
    if (caches.empty() || caches[0] != '/') {  // the specification says to ignore relative paths
      std::string home = variable("HOME");
      if (home.empty())
        if (const passwd* p = ::getpwuid(::geteuid())) home = p->pw_dir;
      caches = home.empty() ? "" : home + "/.cache";
    }
    if (!caches.empty()) root = caches + "/jaxpp";
  }
  if (!root.empty()) o.folder = root + "/" + name;
  return o;
}

DiskCache::DiskCache(Options o) : options_(std::move(o)) {}

std::shared_ptr<const std::string> DiskCache::get(std::initializer_list<std::string_view> parts,
                                                  const std::function<std::string()>& make) {
  Sha256 hash;
  hash.add(kMagic);
  for (std::string_view p : parts) {
    hash.add(std::to_string(p.size()) + ":");  // {"ab", "c"} is not {"a", "bc"}
    hash.add(p);
  }
  const auto digest = hash.digest();
  const Key key(reinterpret_cast<const char*>(digest.data()), digest.size());

  std::unique_lock lock(mutex_);
  for (auto at = known_.find(key); at != known_.end(); at = known_.find(key)) {
    if (at->second) {
      ++counts_.memory;
      return at->second;
    }
    made_.wait(lock);
  }
  known_[key] = nullptr;
  lock.unlock();
  Value value;
  bool found = false;
  try {
    value = read(key);
    found = value != nullptr;
    if (!value) value = std::make_shared<const std::string>(make());
  } catch (...) {
    lock.lock();
    known_.erase(key);
    made_.notify_all();
    throw;
  }
  lock.lock();
  ++(found ? counts_.disk : counts_.made);
  if (known_bytes_ += std::int64_t(value->size()); known_bytes_ > kMemory) {
    std::erase_if(known_, [](const auto& entry) { return entry.second != nullptr; });
    known_bytes_ = std::int64_t(value->size());
  }
  known_[key] = value;
  made_.notify_all();
  lock.unlock();
  if (!found) write(key, *value);
  return value;
}

DiskCache::Counts DiskCache::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}
void DiskCache::forget() {
  std::lock_guard lock(mutex_);
  std::erase_if(known_, [](const auto& entry) { return entry.second != nullptr; });
  known_bytes_ = 0;
}

namespace {
std::string file_name(const std::string& key) {
  Sha256::Digest d;
  std::memcpy(d.data(), key.data(), d.size());
  return hex(d);
}
}  // namespace

DiskCache::Value DiskCache::read(const Key& key) const {
  if (options_.folder.empty()) return nullptr;
  const File folder = open_folder(options_.folder, false);
  if (!folder) return nullptr;
  const File file =
      ::openat(folder.fd(), file_name(key).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat s;
  if (!file || ::fstat(file.fd(), &s) != 0 || !S_ISREG(s.st_mode) || !trusted(s)) return nullptr;
  Header h;
  if (!file.read(&h, sizeof h) || std::memcmp(h.magic, kMagic, 8) != 0 ||
      std::memcmp(h.key, key.data(), 32) != 0 || h.size != std::uint64_t(s.st_size) - sizeof h)
    return nullptr;
  std::string value(std::size_t(h.size), '\0');
  if (!file.read(value.data(), value.size())) return nullptr;
  const auto checksum = sha256(value);
  if (std::memcmp(h.checksum, checksum.data(), 32) != 0) return nullptr;
  if (std::time(nullptr) - s.st_mtime > kTouch)
    ::futimens(file.fd(), nullptr);  // used: see sweep()
  return std::make_shared<const std::string>(std::move(value));
}

void DiskCache::write(const Key& key, const std::string& value) {
  if (options_.folder.empty()) return;
  const File folder = open_folder(options_.folder, true);
  if (!folder) return;
  static std::atomic<unsigned> count = 0;
  const std::string name = "new-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
  {
    const File file = ::openat(folder.fd(), name.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (!file) return;
    Header h;
    std::memcpy(h.magic, kMagic, 8);
    std::memcpy(h.key, key.data(), 32);
    h.size = value.size();
    const auto checksum = sha256(value);
    std::memcpy(h.checksum, checksum.data(), 32);
    if (!file.write(&h, sizeof h) || !file.write(value.data(), value.size()) ||
        ::renameat(folder.fd(), name.c_str(), folder.fd(), file_name(key).c_str()) != 0) {
      ::unlinkat(folder.fd(), name.c_str(), 0);
      return;
    }
  }
  std::lock_guard lock(mutex_);
  if (disk_bytes_ >= 0) disk_bytes_ += std::int64_t(sizeof(Header) + value.size());
  if (disk_bytes_ < 0 || disk_bytes_ > options_.capacity) sweep();
}

// Counts the files; above the capacity the oldest go, until a quarter of it is free.
void DiskCache::sweep() {
  DIR* d = ::opendir(options_.folder.c_str());
  if (!d) return;
  struct Entry {
    std::string name;
    std::int64_t size;
    timespec used;
  };
  std::vector<Entry> entries;
  disk_bytes_ = 0;
  const std::time_t now = std::time(nullptr);
  while (const dirent* e = ::readdir(d)) {
    struct stat s;
    if (::fstatat(::dirfd(d), e->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode))
      continue;
    if (temporary(e->d_name)) {  // an hour old: its writer died
      if (now - s.st_mtime > 3600) ::unlinkat(::dirfd(d), e->d_name, 0);
      continue;
    }
    if (std::strlen(e->d_name) != 64) continue;  // not of a cache
    entries.push_back({e->d_name, s.st_size, s.st_mtim});
    disk_bytes_ += s.st_size;
  }
  if (disk_bytes_ > options_.capacity) {
    std::sort(entries.begin(), entries.end(), [](const Entry& x, const Entry& y) {
      return std::pair(x.used.tv_sec, x.used.tv_nsec) < std::pair(y.used.tv_sec, y.used.tv_nsec);
    });
    for (const Entry& e : entries) {
      if (disk_bytes_ <= options_.capacity / 4 * 3) break;
      if (::unlinkat(::dirfd(d), e.name.c_str(), 0) == 0) disk_bytes_ -= e.size;
    }
  }
  ::closedir(d);
}

}  // namespace jaxpp::internal
