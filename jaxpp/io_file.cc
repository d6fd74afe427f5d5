// io_file.cc -- bytes of files: positioned reads that never pass the end, and files that appear when they are complete.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include "jaxpp/io_internal.h"

namespace jaxpp::internal {

// ---- Checksums of zip, eight bytes at a time
namespace {
constexpr auto kCrc = [] {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
    t[0][i] = c;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t i = 0; i < 256; ++i) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 255];
  return t;
}();
}  // namespace
std::uint32_t crc32(std::uint32_t crc, const void* data, std::size_t n) {
  const auto* p = static_cast<const unsigned char*>(data);
  std::uint64_t c = ~crc;
  for (; n >= 8; n -= 8, p += 8) {
    std::uint64_t v;
    std::memcpy(&v, p, 8);
    v ^= c;
    c = 0;
    for (std::size_t k = 0; k < 8; ++k) c ^= kCrc[7 - k][v >> 8 * k & 255];
  }
  for (; n; --n, ++p) c = kCrc[0][(c ^ *p) & 255] ^ c >> 8;
  return ~std::uint32_t(c);
}

// ---- Reading
ByteSource::ByteSource(const std::string& path)
    : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  struct stat s;
  if (file_ < 0 || ::fstat(file_, &s) != 0) {
    const int why = errno;
    if (file_ >= 0) ::close(file_);
    throw FileError(std::string("cannot be opened: ") + std::strerror(why) + ".");
  }
  if (!S_ISREG(s.st_mode)) {
    ::close(file_);
    throw FileError("is no regular file.");
  }
  size_ = std::uint64_t(s.st_size);
}
ByteSource::~ByteSource() {
  if (file_ >= 0) ::close(file_);
}
void ByteSource::read(std::uint64_t at, void* to, std::size_t n) const {
  if (at > size_ || n > size_ - at)
    throw ParseError("the file ends early: " + std::to_string(n) + " bytes were expected at " +
                     std::to_string(at) + " of " + std::to_string(size_) + ".");
  if (file_ < 0) {
    if (n) std::memcpy(to, memory_.data() + at, n);
    return;
  }
  for (auto* p = static_cast<char*>(to); n;) {
    const ssize_t got = ::pread(file_, p, std::min(n, std::size_t(1) << 30), off_t(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw FileError(got ? std::string("cannot be read: ") + std::strerror(errno) + "."
                          : "the file became shorter while it was read.");
    p += got;
    at += std::uint64_t(got);
    n -= std::size_t(got);
  }
}

void ByteStream::read(void* to, std::size_t n) {
  if (n > remaining_)
    throw ParseError("the data ends early: " + std::to_string(n) + " bytes were expected, " +
                     std::to_string(remaining_) + " are left.");
  if (n == 0) return;
  take(to, n);
  remaining_ -= n;
  if (checked_) crc_ = crc32(crc_, to, n);
}
void ByteStream::skip() {
  char block[4096];
  while (remaining_) read(block, std::size_t(std::min<std::uint64_t>(remaining_, sizeof block)));
}
RangeStream::RangeStream(const ByteSource& s, std::uint64_t at, std::uint64_t size, bool checked)
    : ByteStream(size, checked), source_(s), at_(at) {
  if (at > s.size() || size > s.size() - at)
    throw ParseError("a part of the file lies beyond its end.");
}
void RangeStream::take(void* to, std::size_t n) {
  source_.read(at_, to, n);
  at_ += n;
}

// ---- Arrays
Type checked_type(DType d, std::span<const std::int64_t> sizes, std::uint64_t most_bytes) {
  constexpr std::size_t kMostAxes = 64;  // numpy's limit
  if (sizes.size() > kMostAxes)
    throw ParseError("an array has " + std::to_string(sizes.size()) + " axes, more than " +
                     std::to_string(kMostAxes) + ".");
  Shape shape;
  bool empty = false;
  for (auto n : sizes) {
    if (n < 0)
      throw ParseError("an array has an axis of the negative size " + std::to_string(n) + ".");
    empty |= n == 0;
    shape.push_back(n);
  }
  std::uint64_t bytes = empty ? 0 : width(d);
  for (auto n : sizes)
    if (__builtin_mul_overflow(bytes, std::uint64_t(n), &bytes) || bytes > most_bytes)
      throw ParseError("an array of " + std::string(name(d)) + " and shape " + to_string(shape) +
                       " does not fit into " + std::to_string(most_bytes) + " bytes.");
  if (bytes > most_bytes)
    throw ParseError("an array of " + std::string(name(d)) + " and shape " + to_string(shape) +
                     " does not fit into " + std::to_string(most_bytes) + " bytes.");
  return make_type(d, shape);
}
void make_bools(Array& a) {
  if (a.dtype() != DType::b1) return;
  auto* p = a.data<unsigned char>();
  for (std::int64_t i = 0; i < a.size(); ++i) p[i] = p[i] != 0;
}
void check_written(const char* who, const std::string& name, const Array& x, Loc loc) {
  const std::string what = std::string(who) + (name.empty() ? "" : ": `" + name + "`");
  if (!x.defined()) fail(what + ": the array is null.", loc, "E04");
  if (!x.concrete())
    fail<ConcretizationError>(
        what + ": the value of " + x.type()->str() + " is not known while it is traced.", loc,
        "E07",
        "Return it from the transformed function and write it there, or use debug::callback.");
}

// ---- Writing
FileWriter::FileWriter(const std::string& path) : path_(path), temporary_(path) {
  struct stat s;
  const bool exists = ::stat(path.c_str(), &s) == 0;
  // A device or a pipe is written as it is; a link keeps pointing to what is written.
  if (!exists || S_ISREG(s.st_mode)) {
    if (char* real = exists ? ::realpath(path.c_str(), nullptr) : nullptr) {
      path_ = real;
      std::free(real);
    }
    temporary_ = path_ + ".tmp" + std::to_string(::getpid());
  }
  file_ = std::fopen(temporary_.c_str(), "wbe");
  if (!file_) failed("cannot be written");
  if (exists && temporary_ != path_) ::fchmod(::fileno(file_), s.st_mode & 07777);
}
FileWriter::~FileWriter() {
  if (!file_) return;
  std::fclose(file_);
  if (temporary_ != path_) ::unlink(temporary_.c_str());
}
void FileWriter::failed(const char* what) {
  throw FileError(std::string(what) + ": " + std::strerror(errno) + ".");
}
void FileWriter::write(const void* data, std::size_t n) {
  if (n && std::fwrite(data, 1, n, file_) != n) failed("cannot be written");
  position_ += n;
}
void FileWriter::commit() {
  if (std::fflush(file_) != 0) failed("cannot be written");
  if (temporary_ != path_ && std::rename(temporary_.c_str(), path_.c_str()) != 0)
    failed("cannot be renamed");
  std::fclose(std::exchange(file_, nullptr));
}

}  // namespace jaxpp::internal
