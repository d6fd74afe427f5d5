// io_internal.h -- reading and writing bytes for the formats of io.h.  Not for users.
//
// Readers throw ParseError without a path or a location; the public functions add both.
#pragma once
#include <bit>
#include <cstdint>
#include <cstdio>
#include "jaxpp/io.h"

namespace jaxpp::internal {

static_assert(std::endian::native == std::endian::little,
              "elements are written as they are in memory");

/// A file that cannot be opened, read or written.
struct FileError : Error {
  using Error::Error;
};

std::uint32_t crc32(std::uint32_t crc, const void* data, std::size_t n);

/// Bytes at any position: a file, or memory.
class ByteSource {
 public:
  explicit ByteSource(const std::string& path);  // throws FileError
  struct Memory {
    std::string_view bytes;
  };
  explicit ByteSource(Memory m) : memory_(m.bytes), size_(m.bytes.size()) {}
  ByteSource(const ByteSource&) = delete;
  ~ByteSource();
  std::uint64_t size() const { return size_; }
  /// Throws ParseError where that is beyond the end.
  void read(std::uint64_t at, void* to, std::size_t n) const;

 private:
  int file_ = -1;
  std::string_view memory_;
  std::uint64_t size_ = 0;
};

/// Bytes one after the other, of a known number.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  std::uint64_t remaining() const { return remaining_; }
  std::uint32_t crc() const { return crc_; }
  /// Throws ParseError if fewer than n remain.
  void read(void* to, std::size_t n);
  /// Reads what remains, for its checksum.
  void skip();

 protected:
  explicit ByteStream(std::uint64_t size, bool checked = false)
      : remaining_(size), checked_(checked) {}

 private:
  virtual void take(void* to, std::size_t n) = 0;
  std::uint64_t remaining_;
  std::uint32_t crc_ = 0;
  bool checked_;
};
/// A part of a source; it must lie within.
class RangeStream final : public ByteStream {
 public:
  RangeStream(const ByteSource& s, std::uint64_t at, std::uint64_t size, bool checked = false);

 private:
  void take(void* to, std::size_t n) override;
  const ByteSource& source_;
  std::uint64_t at_;
};

/// A file that appears under its name when it is complete.
class FileWriter {
 public:
  explicit FileWriter(const std::string& path);  // throws FileError, as all of it does
  FileWriter(const FileWriter&) = delete;
  ~FileWriter();
  void write(const void* data, std::size_t n);
  void write(std::string_view s) { write(s.data(), s.size()); }
  std::uint64_t position() const { return position_; }
  void commit();

 private:
  [[noreturn]] void failed(const char* what);
  std::string path_, temporary_;
  std::FILE* file_ = nullptr;
  std::uint64_t position_ = 0;
};

/// Little-endian integers in a text.
template <class T>
void append(std::string& s, T v) {
  s.append(reinterpret_cast<const char*>(&v), sizeof v);
}

inline std::size_t bytes_of(const Array& a) { return std::size_t(a.size()) * width(a.dtype()); }
/// The type, if an array of that shape fits into so many bytes; ParseError otherwise, before anything is allocated.
Type checked_type(DType, std::span<const std::int64_t> shape, std::uint64_t most_bytes);
/// bools are 0 or 1 in memory, whatever a file says.
void make_bools(Array& a);

Array read_npy(ByteStream&);
std::string npy_header(const Array&);
NamedArrays read_npz(const ByteSource&);
/// zip64_from: sizes from there on are written in 64 bits; lower in tests.
void write_npz(const std::string& path, const NamedArrays&, bool compress,
               std::uint64_t zip64_from = 0xffffffff);
NamedArrays read_safetensors(const ByteSource&, std::map<std::string, std::string>* metadata);

/// f() with the path and the location in its errors.
template <class F>
auto with_file(const char* who, const std::string& path, Loc loc, F&& f) {
  try {
    return f();
  } catch (const ParseError& e) {
    fail<ParseError>(std::string(who) + ": " + path + ": " + e.what(), loc, "E171");
  } catch (const FileError& e) {
    fail<Error>(std::string(who) + ": " + path + ": " + e.what(), loc, "E170");
  }
}
/// Throws unless the elements of x can be read now.
void check_written(const char* who, const std::string& name, const Array& x, Loc loc);

}  // namespace jaxpp::internal
