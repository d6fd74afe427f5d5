// io_test.cc -- .npy, .npz and safetensors: files of numpy and of safetensors are read, what is written is read again.
// (fuzz_test.cc: whatever is done to their bytes gives arrays or a ParseError.)
#include "jaxpp/io.h"
#include <unistd.h>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include "jaxpp/io_internal.h"
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using internal::ByteSource;

namespace {
const std::string kData = JAXPP_SOURCE_DIR "/tests/data/io/";

// A folder of this process, which goes at the end.
struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("jaxpp_io_" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator()(const std::string& name) const { return (path / name).string(); }
};
std::string contents(const std::string& path) {
  std::ifstream f(path, std::ios::binary);
  std::stringstream s;
  s << f.rdbuf();
  return s.str();
}
bool same(const Array& a, const Array& b) {
  return a.type() == b.type() &&
         std::memcmp(a.data<char>(), b.data<char>(), internal::bytes_of(a)) == 0;
}
bool same(const NamedArrays& a, const NamedArrays& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](auto& x, auto& y) {
           return x.first == y.first && same(x.second, y.second);
         });
}
constexpr DType kAll[] = {b1, i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64, c64, c128};

// What the golden files hold for a dtype.
Array expected(DType d) {
  const Array n = arange(6, i64).reshape({2, 3});
  if (is_bool(d)) return n % 2 == 1;
  return is_complex(d) ? (n.astype(c128) + std::complex<double>(0, 0.5)).astype(d) : n.astype(d);
}
NamedArrays samples() {
  NamedArrays a;
  for (DType d : kAll) a[numpy_name(d)] = expected(d);
  a["empty"] = zeros({0, 3}, f32);
  a["scalar"] = 2.5;
  a["a name with / and \u00e9"] = arange(1000, f32);
  return a;
}
ByteSource in_memory(std::string_view bytes) { return ByteSource(ByteSource::Memory{bytes}); }
Array parse_npy(std::string_view bytes) {
  ByteSource s(ByteSource::Memory{bytes});
  internal::RangeStream in(s, 0, s.size());
  return internal::read_npy(in);
}
std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string s = std::string("\x93NUMPY") + char(version) + '\0';
  if (version == 1)
    internal::append(s, std::uint16_t(header.size()));
  else
    internal::append(s, std::uint32_t(header.size()));
  return s + header + data;
}
std::string tensors(const std::string& header, const std::string& data) {
  std::string s;
  internal::append(s, std::uint64_t(header.size()));
  return s + header + data;
}
template <class F>
std::string refusal(F f) {
  try {
    f();
  } catch (const ParseError& e) {
    return e.what();
  }
  return "";
}
}  // namespace

TEST_CASE("io: archives that numpy wrote", "[io]") {
  const NamedArrays a = load_npz(kData + "numpy.npz");
  for (DType d : kAll) {
    INFO(name(d));
    CHECK(same(a.at(numpy_name(d)), expected(d)));
  }
  for (DType d : {i16, u32, i64, f16, f64, c64, c128})
    CHECK(same(a.at(std::string("swapped_") + numpy_name(d)), expected(d)));
  CHECK(same(a.at("scalar"), 2.5));
  CHECK(a.at("empty").shape() == Shape{0, 3});
  CHECK(same(a.at("fortran"), arange(24, i32).reshape({2, 3, 4})));
  CHECK(same(a.at("swapped_fortran"), arange(24, f32).reshape({2, 3, 4})));
  const NamedArrays s = load_npz(kData + "stored.npz");
  CHECK(same(s, {{"x", Array{0., 1., 2.}}, {"y", ones({2, 2}, i32)}}));
  for (const char* version : {"version1.npy", "version2.npy", "version3.npy"})
    CHECK(same(load(kData + version), Array{0.f, 0.5f, 1.f, 1.5f}));
}
TEST_CASE("io: a file that the safetensors library wrote", "[io]") {
  std::map<std::string, std::string> metadata;
  const NamedArrays a = load_safetensors(kData + "all.safetensors", &metadata);
  for (DType d : kAll)
    if (d != c128 && (d != c64 || a.count("complex64"))) {
      INFO(name(d));
      CHECK(same(a.at(numpy_name(d)), expected(d)));
    }
  CHECK(same(a.at("scalar"), 2.5));
  CHECK(a.at("empty").shape() == Shape{0, 3});
  CHECK(metadata ==
        std::map<std::string, std::string>{{"format", "np"}, {"made", "by safetensors"}});
}
TEST_CASE("io: what is written is read again", "[io]") {
  Folder folder;
  NamedArrays a = samples();
  for (auto& [name, x] : a) {
    save(folder("x.npy"), x);
    CHECK(same(load(folder("x.npy")), x));
  }
  savez(folder("a.npz"), a);
  CHECK(same(load_npz(folder("a.npz")), a));
  internal::write_npz(folder("large.npz"), a, false, 0);  // every size in 64 bits
  CHECK(same(load_npz(folder("large.npz")), a));
  internal::write_npz(folder("large.npz"), a, false, 1000);  // some
  CHECK(same(load_npz(folder("large.npz")), a));
  savez(folder("none.npz"), {});
  CHECK(load_npz(folder("none.npz")).empty());

  CHECK_THROWS_WITH(save_safetensors(folder("a.safetensors"), a),
                    Catch::Contains("no c128.  [E172]"));
  CHECK_FALSE(std::filesystem::exists(folder("a.safetensors")));
  a.erase("complex128");
  save_safetensors(folder("a.safetensors"), a, {{"k", "v"}});
  std::map<std::string, std::string> metadata;
  CHECK(same(load_safetensors(folder("a.safetensors"), &metadata), a));
  CHECK(metadata == std::map<std::string, std::string>{{"k", "v"}});
  save_safetensors(folder("a.safetensors"), {});
  CHECK(load_safetensors(folder("a.safetensors")).empty());
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) ==
        5);  // nothing is left behind
}
TEST_CASE("io: compressed archives", "[io]") {
  Folder folder;
  NamedArrays a = samples();
  a["zeros"] = zeros({300, 1000}, f64);
  savez_compressed(folder("a.npz"), a);
  CHECK(std::filesystem::file_size(folder("a.npz")) < 20000);
  CHECK(same(load_npz(folder("a.npz")), a));
}
TEST_CASE(
    "io: files are read and written beside a program that is traced, and only concrete arrays",
    "[io]") {
  Folder folder;
  const Array f = load_npz(kData + "numpy.npz").at("fortran");
  auto program = make_jaxpr([&](Array x) {
    return x + sum(load_npz(kData + "numpy.npz").at("fortran").astype(f64));
  })(1.0);
  CHECK(program.to_string({.canonical = true}).find("transpose") == std::string::npos);
  CHECK_THROWS_AS(jit([&](Array x) {
                    save(folder("x.npy"), x);
                    return x;
                  })(1.0),
                  ConcretizationError);
}
TEST_CASE("io: files that are not there, and pipes", "[io]") {
  Folder folder;
  CHECK_THROWS_WITH(load(folder("no.npy")),
                    Catch::Contains("cannot be opened: No such file") && Catch::Contains("[E170]"));
  CHECK_THROWS_WITH(load(folder.path.string()), Catch::Contains("no regular file.  [E170]"));
  CHECK_THROWS_WITH(save(folder("no/x.npy"), Array(1.0)),
                    Catch::Contains("cannot be written") && Catch::Contains("[E170]"));
  CHECK_THROWS_WITH(savez("/dev/full", {{"x", zeros({100000})}}), Catch::Contains("No space left"));
  CHECK_THROWS_WITH(load_npz(kData + "version1.npy"), Catch::Contains("version1.npy") &&
                                                          Catch::Contains("[E171]") &&
                                                          Catch::Contains("at io_test.cc:"));
}
TEST_CASE("io: what is wrong with a .npy file is said", "[io]") {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n",
                    data(8, '\0');
  CHECK(same(parse_npy(npy(good, data)), zeros({2}, f32)));
  CHECK(same(parse_npy(npy("{\"shape\":(2L,1),\"fortran_order\":True,\"descr\":\"=f4\"}", data, 2)),
             zeros({2, 1}, f32)));
  auto header = [&](const std::string& h) { return refusal([&] { parse_npy(npy(h, data)); }); };
  auto shaped = [&](const std::string& s) {
    return header("{'descr': '<f4', 'fortran_order': False, 'shape': " + s + ", }");
  };
  auto typed = [&](const std::string& s) {
    return header("{'descr': " + s + ", 'fortran_order': False, 'shape': (2,), }");
  };
  CHECK_THAT(shaped("(3,)"), Catch::Contains("does not fit into 8 bytes"));
  CHECK_THAT(shaped("(-1,)"), Catch::Contains("negative size"));
  CHECK_THAT(shaped("(9223372036854775807, 9223372036854775807)"), Catch::Contains("does not fit"));
  CHECK_THAT(shaped("(4611686018427387905, 4)"), Catch::Contains("does not fit"));  // wraps to 4
  CHECK_THAT(shaped("(99999999999999999999,)"), Catch::Contains("too large"));
  CHECK_THAT(shaped("(2"), Catch::Contains("no integer"));
  CHECK_THAT(shaped("2"), Catch::Contains("expected form"));
  std::string axes = "(";
  for (int i = 0; i < 65; ++i) axes += "1,";
  CHECK_THAT(shaped(axes + ")"), Catch::Contains("65 axes"));
  CHECK(shaped("(0, 9223372036854775807, 9223372036854775807)") == "");  // no element at all
  CHECK_THAT(typed("'|O'"), Catch::Contains("no dtype for elements of '|O'"));
  CHECK_THAT(typed("'<f16'"), Catch::Contains("'<f16'"));
  CHECK_THAT(typed("'<M8[ns]'"), Catch::Contains("no dtype"));
  CHECK_THAT(typed("[('a', '<f4')]"), Catch::Contains("structured"));
  CHECK_THAT(header("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"),
             Catch::Contains("twice"));
  CHECK_THAT(header("{'descr': '<f4', 'shape': (2,), }"), Catch::Contains("lacks one of"));
  CHECK_THAT(header("{'other': 1}"), Catch::Contains("unknown key"));
  CHECK_THAT(header(good + "x"), Catch::Contains("goes on"));
  CHECK_THAT(header(""), Catch::Contains("ends early"));
  CHECK_THAT(refusal([&] { parse_npy(npy(good, data, 4)); }), Catch::Contains("no version 4.0"));
  CHECK_THAT(refusal([&] { parse_npy("\x93NUMPY\x01"); }), Catch::Contains("ends early"));
  CHECK_THAT(refusal([&] { parse_npy(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12)); }),
             Catch::Contains("4294967295 bytes"));
  CHECK_THAT(refusal([&] { parse_npy("PK\x03\x04....................."); }),
             Catch::Contains("does not start"));
  const Array bools = parse_npy(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }",
                                    std::string("\x00\x02\xff", 3)));
  CHECK(same(bools, Array{false, true, true}));
}
TEST_CASE("io: what is wrong with a safetensors file is said", "[io]") {
  auto refused = [](const std::string& header, const std::string& data = std::string(8, '\0')) {
    return refusal([&] {
      const std::string bytes = tensors(header, data);
      internal::read_safetensors(in_memory(bytes), nullptr);
    });
  };
  const std::string w = R"("w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  CHECK(refused("{" + w + "}") == "");
  CHECK_THAT(refused("{" + w + "," + w + "}"), Catch::Contains("`w` is there twice"));
  CHECK_THAT(refused(R"({"__metadata__":{},"__metadata__":{}})", ""), Catch::Contains("twice"));
  CHECK_THAT(refused("{" + w + R"(,"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
             Catch::Contains("overlaps"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
             Catch::Contains("hole before it"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
             Catch::Contains("do not fill the file"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}})"),
             Catch::Contains("beyond the end"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})"),
             Catch::Contains("beyond the end"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})"),
             Catch::Contains("does not fill its 8 bytes"));
  CHECK_THAT(
      refused(R"({"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})"),
      Catch::Contains("does not fit"));
  CHECK_THAT(
      refused(R"({"w":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})"),
      Catch::Contains("too large"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})"),
             Catch::Contains("negative"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})"),
             Catch::Contains("no integer"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})"),
             Catch::Contains("F8_E4M3"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0]}})"),
             Catch::Contains("two members"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[2]}})"), Catch::Contains("lacks one of"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
             Catch::Contains("`dtype` twice"));
  CHECK_THAT(refused(R"({"w":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})"),
             Catch::Contains("a list stands"));
  CHECK_THAT(refused(R"({"w":{"dtype":{},"shape":[2],"data_offsets":[0,8]}})"),
             Catch::Contains("an object stands"));
  CHECK_THAT(refused(R"({"w":null})"), Catch::Contains("null"));
  CHECK_THAT(refused("{" + w), Catch::Contains("no JSON"));
  CHECK_THAT(refused("[]"), Catch::Contains("bracket"));
  CHECK_THAT(refused(""), Catch::Contains("bracket"));
  CHECK_THAT(refusal([&] {
               internal::read_safetensors(
                   in_memory(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff", 8)), nullptr);
             }),
             Catch::Contains("18446744073709551615 bytes"));
}
TEST_CASE("io: what is wrong with an archive is said", "[io]") {
  const std::string good = contents(kData + "stored.npz");
  auto refused = [](const std::string& bytes) {
    return refusal([&] { internal::read_npz(in_memory(bytes)); });
  };
  CHECK(refused(good) == "");
  CHECK(refused(std::string(1000, 'x') + good) != "");  // the positions are wrong then
  std::string damaged = good;
  damaged[good.find('\n') + 3] ^= 1;  // an element of the first array
  CHECK_THAT(refused(damaged), Catch::Contains("checksum is wrong"));
  CHECK_THAT(refused("PK"), Catch::Contains("too short"));
  CHECK_THAT(refused(std::string(100, '\0')), Catch::Contains("no end of a zip archive"));
  std::string twice = good;  // both entries of the directory say x.npy, at the same place
  const std::size_t first = good.find("PK\x01\x02"), second = good.find("PK\x01\x02", first + 1);
  twice.replace(second, second - first, good, first, second - first);
  CHECK_THAT(refused(twice), Catch::Contains("overlap"));
  std::string encrypted = good;
  encrypted[first + 8] |= 1;
  CHECK_THAT(refused(encrypted), Catch::Contains("encrypted"));
}

namespace {
struct Layer {
  Array w, b;
  int units = 0;
};
struct Model {
  Layer hidden;
  std::vector<Layer> blocks;
  std::map<std::string, Array> extra;
  std::tuple<Array, Array> pair;
  std::optional<Array> maybe;
  Array none;
};
struct Bits {
  Array x;
  unsigned flag : 3;
  Array y;
};
struct Private {
  template <class F>
  decltype(auto) visit(F&& fn) {
    return fn(first_, second_);
  }
  Array first_ = 1.0, second_ = 2.0;
};
}  // namespace
TEST_CASE("io: trees are saved by the names of their leaves", "[io][tree]") {
  Folder folder;
  const Model m{{Array{1., 2.}, 3.0, 7},
                {{4.f, 5, 1}, {6., 7., 2}},
                {{"k", 8.}, {"l", 9.}},
                {10., 11.},
                Array(12.),
                {}};
  CHECK(tree_paths(m) ==
        std::vector<std::string>{"hidden.w", "hidden.b", "blocks.0.w", "blocks.0.b", "blocks.1.w",
                                 "blocks.1.b", "extra.k", "extra.l", "pair.0", "pair.1", "maybe"});
  CHECK(tree_paths(Array(1.0)) == std::vector<std::string>{""});
  CHECK(tree_paths(Private()) == std::vector<std::string>{"0", "1"});
  CHECK(tree_paths(Bits{1.0, 2, 3.0}).size() == 2);
  struct Local {
    Array here;
  };
  CHECK(tree_paths(Local{1.0}) == std::vector<std::string>{"here"});

  for (const char* file : {"m.safetensors", "m.npz"}) {
    save_tree(folder(file), m);
    const Model like = tree_map([](Array x) { return zeros_like(x); }, m);
    const Model back = load_tree(folder(file), like);
    const auto want = tree_leaves(m), got = tree_leaves(back);
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(same(got[i], want[i]));
    CHECK(back.hidden.units == 7);
    CHECK_FALSE(back.none.defined());
  }
  save_tree(folder("x.npz"), Array{1., 2.});
  CHECK(same(load_tree(folder("x.npz"), Array{0., 0.}), Array{1., 2.}));

  Model other = m;
  other.hidden.w = zeros({3}, f64);
  other.blocks.pop_back();
  other.extra["new"] = 1.0;
  CHECK_THAT(message([&] { load_tree(folder("m.safetensors"), other); }),
             Catch::Contains(
                 "  It lacks `extra.new`.  It has `hidden.w: f64[2], not f64[3]`.  It also has "
                 "`blocks.1.b`, `blocks.1.w`.  [E173]"));
  CHECK_THROWS_WITH(save_tree(folder("m.bin"), m), Catch::Contains("[E172]"));
  const std::map<std::string, std::map<std::string, Array>> twice{{"a", {{"b.c", 1.}}},
                                                                  {"a.b", {{"c", 2.}}}};
  CHECK_THROWS_WITH(save_tree(folder("t.npz"), twice), Catch::Contains("the path `a.b.c`"));
}
