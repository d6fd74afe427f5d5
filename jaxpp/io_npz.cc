// io_npz.cc -- numpy's .npz archives: zip files of .npy data, stored or deflated, with 64-bit sizes where needed.
//
//   <local header> <data>  for each array,  then the directory, then its end (twice, where 32 bits do not do)
//
// The directory at the end is what counts; local headers only say where data begins.  Entries that overlap, that claim
// more than deflate can give, or whose checksum is wrong are refused; there is no encryption and no second disk.
#include <algorithm>
#include <memory>
#include <set>
#ifdef JAXPP_HAVE_ZLIB
#include <zlib.h>
#endif
#include "jaxpp/io_internal.h"

namespace jaxpp {
namespace internal {
namespace {
constexpr std::uint32_t kLocal = 0x04034b50, kEntry = 0x02014b50, kEnd = 0x06054b50,
                        kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr std::uint32_t kNone32 = 0xffffffff;
constexpr std::uint16_t kNone16 = 0xffff, kExtra64 = 1, kUtf8 = 1 << 11;
enum Method : std::uint16_t { stored = 0, deflated = 8 };

struct Entry {
  std::string name;
  std::uint16_t flags = 0, method = stored;
  std::uint32_t crc = 0;
  std::uint64_t size = 0, packed = 0, at = 0;  // at: its local header
  std::string memory{};                        // what deflate gave, when writing
};

// ---- Integers out of a block whose length was checked once
class Fields {
 public:
  Fields(const ByteSource& s, std::uint64_t at, std::size_t n) : bytes_(n, '\0') {
    s.read(at, bytes_.data(), n);
  }
  explicit Fields(std::string bytes) : bytes_(std::move(bytes)) {}
  std::size_t left() const { return bytes_.size() - at_; }
  template <class T>
  T next() {
    if (left() < sizeof(T)) throw ParseError("a record of the archive ends early.");
    T v;
    std::memcpy(&v, bytes_.data() + at_, sizeof v);
    at_ += sizeof v;
    return v;
  }
  std::string text(std::size_t n) {
    if (left() < n) throw ParseError("a record of the archive ends early.");
    at_ += n;
    return bytes_.substr(at_ - n, n);
  }
  void skip(std::size_t n) { text(n); }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

struct Directory {
  std::uint64_t at, size, count;
};
Directory find_directory(const ByteSource& s) {
  constexpr std::uint64_t kEndSize = 22, kMostComment = 0xffff;
  if (s.size() < kEndSize) throw ParseError("it is too short for a zip archive.");
  const std::uint64_t tail = std::min(s.size(), kEndSize + kMostComment), from = s.size() - tail;
  std::string text(std::size_t(tail), '\0');
  s.read(from, text.data(), text.size());
  std::size_t i = text.size() - kEndSize;
  for (;; --i) {
    std::uint32_t mark;
    std::uint16_t comment;
    std::memcpy(&mark, text.data() + i, sizeof mark);
    std::memcpy(&comment, text.data() + i + 20, sizeof comment);
    if (mark == kEnd && i + kEndSize + comment == text.size()) break;
    if (i == 0) throw ParseError("it has no end of a zip archive.");
  }
  Fields f(s, from + i + 4, kEndSize - 4);
  const auto disk = f.next<std::uint16_t>(), start_disk = f.next<std::uint16_t>(),
             here = f.next<std::uint16_t>(), count = f.next<std::uint16_t>();
  const auto size = f.next<std::uint32_t>(), at = f.next<std::uint32_t>();
  Directory d{at, size, count};
  if (count == kNone16 || size == kNone32 || at == kNone32) {
    if (from + i < 20) throw ParseError("its 64-bit directory is missing.");
    Fields locator(s, from + i - 20, 20);
    if (locator.next<std::uint32_t>() != kLocator64)
      throw ParseError("its 64-bit directory is missing.");
    locator.skip(4);
    Fields end(s, locator.next<std::uint64_t>(), 56);
    if (end.next<std::uint32_t>() != kEnd64) throw ParseError("its 64-bit directory is missing.");
    end.skip(8 + 2 + 2 + 4 + 4 + 8);
    d.count = end.next<std::uint64_t>();
    d.size = end.next<std::uint64_t>();
    d.at = end.next<std::uint64_t>();
  } else if (disk || start_disk || here != count) {
    throw ParseError("it is one part of several.");
  }
  if (d.at > s.size() || d.size > s.size() - d.at)
    throw ParseError("its directory lies beyond the end of the file.");
  return d;
}

void read_extra64(Entry& e, Fields extra) {
  while (extra.left() >= 4) {
    const auto id = extra.next<std::uint16_t>(), n = extra.next<std::uint16_t>();
    Fields f(extra.text(n));
    if (id != kExtra64) continue;
    for (std::uint64_t* v : {&e.size, &e.packed, &e.at})
      if (*v == kNone32) *v = f.next<std::uint64_t>();
  }
}
std::vector<Entry> read_directory(const ByteSource& s) {
  const Directory d = find_directory(s);
  std::vector<Entry> entries;
  std::uint64_t at = d.at;
  for (std::uint64_t k = 0; k < d.count; ++k) {
    constexpr std::size_t kSize = 46;
    if (kSize > d.at + d.size - at)
      throw ParseError("its directory has fewer entries than it says.");
    Fields f(s, at, kSize);
    if (f.next<std::uint32_t>() != kEntry)
      throw ParseError("its directory has an entry that is none.");
    Entry e;
    f.skip(4);
    e.flags = f.next<std::uint16_t>();
    e.method = f.next<std::uint16_t>();
    f.skip(4);
    e.crc = f.next<std::uint32_t>();
    e.packed = f.next<std::uint32_t>();
    e.size = f.next<std::uint32_t>();
    const auto name = f.next<std::uint16_t>(), extra = f.next<std::uint16_t>(),
               comment = f.next<std::uint16_t>();
    f.skip(8);
    e.at = f.next<std::uint32_t>();
    at += kSize;
    const std::size_t rest = std::size_t(name) + extra + comment;
    if (rest > d.at + d.size - at) throw ParseError("its directory ends early.");
    Fields tail(s, at, rest);
    e.name = tail.text(name);
    read_extra64(e, Fields(tail.text(extra)));
    at += rest;
    entries.push_back(std::move(e));
  }
  return entries;
}
// Where the data of an entry begins.
std::uint64_t data_at(const ByteSource& s, const Entry& e) {
  constexpr std::size_t kSize = 30;
  Fields f(s, e.at, kSize);
  if (f.next<std::uint32_t>() != kLocal)
    throw ParseError("`" + e.name + "` does not begin where the directory says.");
  f.skip(22);
  const std::uint64_t name = f.next<std::uint16_t>(), extra = f.next<std::uint16_t>();
  return e.at + kSize + name + extra;
}

// ---- Deflate
#ifdef JAXPP_HAVE_ZLIB
class InflateStream final : public ByteStream {
 public:
  InflateStream(std::unique_ptr<ByteStream> in, std::uint64_t size)
      : ByteStream(size, true), in_(std::move(in)) {
    if (inflateInit2(&z_, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  }
  ~InflateStream() override { inflateEnd(&z_); }
  // The stream must end with the last byte that was promised.
  void finish() {
    Bytef none;
    z_.next_out = &none;
    z_.avail_out = 1;
    while (!ended_) {
      step();
      if (z_.avail_out == 0)
        throw ParseError("more data came out of deflate than the archive says.");
    }
  }

 private:
  void take(void* to, std::size_t n) override {
    auto* p = static_cast<Bytef*>(to);
    while (n) {
      const uInt room = uInt(std::min(n, std::size_t(1) << 30));
      z_.next_out = p;
      z_.avail_out = room;
      while (z_.avail_out) {
        if (ended_) throw ParseError("less data came out of deflate than the archive says.");
        step();
      }
      p += room;
      n -= room;
    }
  }
  void step() {
    if (z_.avail_in == 0 && in_->remaining()) {
      const auto n = std::size_t(std::min<std::uint64_t>(in_->remaining(), sizeof buffer_));
      in_->read(buffer_, n);
      z_.next_in = buffer_;
      z_.avail_in = uInt(n);
    }
    const int status = inflate(&z_, Z_NO_FLUSH);
    ended_ = status == Z_STREAM_END;
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status != Z_OK && !ended_) throw ParseError("the deflated data is damaged.");
  }
  std::unique_ptr<ByteStream> in_;
  z_stream z_{};
  bool ended_ = false;
  Bytef buffer_[1 << 15];
};
std::string deflate_all(std::string_view head, const Array& a) {
  z_stream z{};
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK)
    throw std::bad_alloc();
  std::string out;
  char block[1 << 15];
  auto feed = [&](const char* p, std::size_t n, bool last) {
    do {
      const std::size_t part = std::min(n, std::size_t(1) << 30);
      z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(p));
      z.avail_in = uInt(part);
      p += part;
      n -= part;
      do {
        z.next_out = reinterpret_cast<Bytef*>(block);
        z.avail_out = sizeof block;
        deflate(&z, last && n == 0 ? Z_FINISH : Z_NO_FLUSH);
        out.append(block, sizeof block - z.avail_out);
      } while (z.avail_out == 0);
    } while (n);
  };
  feed(head.data(), head.size(), false);
  feed(a.data<char>(), bytes_of(a), true);
  deflateEnd(&z);
  return out;
}
#else
std::string deflate_all(std::string_view, const Array&) { return {}; }
#endif

Array read_entry(const ByteSource& s, const Entry& e, std::uint64_t at) {
  if (e.flags & 1) throw ParseError("it is encrypted.");
  auto data = std::make_unique<RangeStream>(s, at, e.packed, e.method == stored);
  Array a;
  std::uint32_t crc = 0;
  if (e.method == stored) {
    if (e.size != e.packed) throw ParseError("it has two different sizes.");
    a = read_npy(*data);
    data->skip();
    crc = data->crc();
  } else if (e.method == deflated) {
#ifdef JAXPP_HAVE_ZLIB
    constexpr std::uint64_t kMostRatio = 1032;  // of deflate
    if (e.size / kMostRatio > e.packed)
      throw ParseError("it says that it is larger than its data can be.");
    InflateStream inflated(std::move(data), e.size);
    a = read_npy(inflated);
    inflated.skip();
    inflated.finish();
    crc = inflated.crc();
#else
    throw ParseError("it is compressed, and jaxpp was built without zlib (Debian: zlib1g-dev).");
#endif
  } else {
    throw ParseError("it is compressed by a method other than deflate.");
  }
  if (crc != e.crc) throw ParseError("its checksum is wrong.");
  return a;
}

// ---- Writing
// Sizes that 32 bits do not hold, as an extra field.
std::string extra64(std::initializer_list<std::uint64_t> values) {
  std::string s;
  if (values.size() == 0) return s;
  append(s, kExtra64);
  append(s, std::uint16_t(8 * values.size()));
  for (auto v : values) append(s, v);
  return s;
}
// What local headers and the directory have in common.
void append_common(std::string& s, const Entry& e, bool large, std::uint16_t version,
                   std::size_t extra) {
  append(s, version);
  append(s, e.flags);
  append(s, e.method);
  append(s, std::uint16_t(0));  // time and date: 1980-01-01, so that equal arrays give equal files
  append(s, std::uint16_t(1 << 5 | 1));
  append(s, e.crc);
  append(s, large ? kNone32 : std::uint32_t(e.packed));
  append(s, large ? kNone32 : std::uint32_t(e.size));
  append(s, std::uint16_t(e.name.size()));
  append(s, std::uint16_t(extra));
}
}  // namespace

NamedArrays read_npz(const ByteSource& s) {
  constexpr std::string_view kEnding = ".npy";
  std::vector<Entry> entries = read_directory(s);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;  // begin and end of each
  NamedArrays out;
  for (const Entry& e : entries) {
    try {
      const std::uint64_t at = data_at(s, e);
      if (at > s.size() || e.packed > s.size() - at)
        throw ParseError("it lies beyond the end of the file.");
      parts.emplace_back(e.at, at + e.packed);
    } catch (const ParseError& error) {
      throw ParseError("`" + e.name + "`: " + error.what());
    }
  }
  std::sort(parts.begin(), parts.end());
  for (std::size_t i = 1; i < parts.size(); ++i)
    if (parts[i].first < parts[i - 1].second) throw ParseError("entries of the archive overlap.");
  for (const Entry& e : entries) {
    if (!std::string_view(e.name).ends_with(kEnding))
      throw ParseError("`" + e.name + "` is no .npy array.");
    const std::string name = e.name.substr(0, e.name.size() - kEnding.size());
    if (out.count(name)) throw ParseError("`" + e.name + "` is there twice.");
    try {
      out.emplace(name, read_entry(s, e, data_at(s, e)));
    } catch (const ParseError& error) {
      throw ParseError("`" + e.name + "`: " + error.what());
    }
  }
  return out;
}

void write_npz(const std::string& path, const NamedArrays& arrays, bool compress,
               std::uint64_t zip64_from) {
  constexpr std::uint16_t kVersion = 20, kVersion64 = 45;
  FileWriter out(path);
  std::string directory;
  for (const auto& [name, a] : arrays) {
    const std::string head = npy_header(a);
    Entry e{.name = name + ".npy", .method = compress ? deflated : stored};
    if (std::any_of(name.begin(), name.end(), [](char c) { return c & 0x80; })) e.flags |= kUtf8;
    e.crc = crc32(crc32(0, head.data(), head.size()), a.data<char>(), bytes_of(a));
    e.size = e.packed = head.size() + bytes_of(a);
    e.at = out.position();
    if (compress) {
      e.memory = deflate_all(head, a);
      e.packed = e.memory.size();
    }
    const bool large = e.size >= zip64_from || e.packed >= zip64_from, far = e.at >= zip64_from;
    std::string local, extra = large ? extra64({e.size, e.packed}) : "";
    append(local, kLocal);
    append_common(local, e, large, large ? kVersion64 : kVersion, extra.size());
    out.write(local + e.name + extra);
    if (compress) {
      out.write(e.memory);
    } else {
      out.write(head);
      out.write(a.data<char>(), bytes_of(a));
    }

    extra = large && far ? extra64({e.size, e.packed, e.at}) : far ? extra64({e.at}) : extra;
    append(directory, kEntry);
    append(directory, std::uint16_t(3 << 8 | kVersion64));  // made by: Unix
    append_common(directory, e, large, large || far ? kVersion64 : kVersion, extra.size());
    append(directory, std::uint16_t(0));  // comment
    append(directory, std::uint16_t(0));  // disk
    append(directory, std::uint16_t(0));  // attributes
    append(directory, std::uint32_t(0600u << 16));
    append(directory, far ? kNone32 : std::uint32_t(e.at));
    directory += e.name + extra;
  }
  const std::uint64_t at = out.position(), size = directory.size(), count = arrays.size();
  const bool large = at >= zip64_from || size >= zip64_from || count >= kNone16;
  if (large) {
    append(directory, kEnd64);
    append(directory, std::uint64_t(44));  // bytes that follow
    append(directory, kVersion64);
    append(directory, kVersion64);
    append(directory, std::uint32_t(0));
    append(directory, std::uint32_t(0));
    for (std::uint64_t v : {count, count, size, at}) append(directory, v);
    append(directory, kLocator64);
    append(directory, std::uint32_t(0));
    append(directory, at + size);
    append(directory, std::uint32_t(1));
  }
  append(directory, kEnd);
  append(directory, std::uint32_t(0));  // disks
  append(directory, large ? kNone16 : std::uint16_t(count));
  append(directory, large ? kNone16 : std::uint16_t(count));
  append(directory, large ? kNone32 : std::uint32_t(size));
  append(directory, large ? kNone32 : std::uint32_t(at));
  append(directory, std::uint16_t(0));  // comment
  out.write(directory);
  out.commit();
}

namespace {
void save_archive(const char* who, const std::string& path, const NamedArrays& arrays,
                  bool compress, Loc loc) {
  constexpr std::size_t kMostName = 0xffff - 4;
  for (const auto& [name, a] : arrays) {
    check_written(who, name, a, loc);
    if (name.empty() || name.size() > kMostName)
      fail<Error>(
          std::string(who) + ": " + path + ": an array needs a name, of at most 65,531 bytes.", loc,
          "E172");
  }
  with_file(who, path, loc, [&] { write_npz(path, arrays, compress); });
}
}  // namespace
}  // namespace internal

using namespace internal;

void savez(const std::string& path, const NamedArrays& arrays, Loc loc) {
  save_archive("savez", path, arrays, false, loc);
}
void savez_compressed(const std::string& path, const NamedArrays& arrays, Loc loc) {
#ifndef JAXPP_HAVE_ZLIB
  fail<Error>("savez_compressed: jaxpp was built without zlib.", loc, "E172",
              "Use savez, or install zlib1g-dev and build again.");
#endif
  save_archive("savez_compressed", path, arrays, true, loc);
}
NamedArrays load_npz(const std::string& path, Loc loc) {
  return with_file("load_npz", path, loc, [&] { return read_npz(ByteSource(path)); });
}

}  // namespace jaxpp
