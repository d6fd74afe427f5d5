// object.cc -- sections, symbols and relocations of ELF; the psABI's names and formulas:
//   S  address of the symbol   A  addend   P  address of the field   G  address of the symbol's slot in the table (GOT)
//
// The mapping holds the sections, then a table of addresses that code reads through (GOT), then stubs through which it
// reaches functions further than 2 GiB away (PLT).
#include "backends/cpu/object.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "jaxpp/core/error.h"

namespace jaxpp::native {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error("machine code cannot be loaded: " + what + ".  [E62]");
}

// ---- Functions that compiled code may call without saying so

// Of LLVM's intrinsics without an instruction, and of memory.
struct Known {
  std::string_view name;
  void* address;
};
// clang-format off
#define JAXPP_ROW(RESULT, NAME, ...) \
  {#NAME, reinterpret_cast<void*>(static_cast<RESULT (*)(__VA_ARGS__)>(::NAME))},
#define JAXPP_UNARY(NAME) JAXPP_ROW(double, NAME, double) JAXPP_ROW(float, NAME##f, float)
#define JAXPP_BINARY(NAME) \
  JAXPP_ROW(double, NAME, double, double) JAXPP_ROW(float, NAME##f, float, float)
const Known kRuntime[] = {
    JAXPP_ROW(void*, memset, void*, int, std::size_t)
    JAXPP_ROW(void*, memcpy, void*, const void*, std::size_t)
    JAXPP_ROW(void*, memmove, void*, const void*, std::size_t)
    JAXPP_ROW(int, memcmp, const void*, const void*, std::size_t)
    JAXPP_ROW(double, fma, double, double, double) JAXPP_ROW(float, fmaf, float, float, float)
    JAXPP_ROW(double, ldexp, double, int) JAXPP_ROW(float, ldexpf, float, int)
    JAXPP_BINARY(fmod) JAXPP_BINARY(pow) JAXPP_BINARY(fmin) JAXPP_BINARY(fmax) JAXPP_BINARY(atan2)
    JAXPP_UNARY(sin) JAXPP_UNARY(cos) JAXPP_UNARY(tan) JAXPP_UNARY(asin) JAXPP_UNARY(acos)
    JAXPP_UNARY(atan) JAXPP_UNARY(sinh) JAXPP_UNARY(cosh) JAXPP_UNARY(tanh)
    JAXPP_UNARY(exp) JAXPP_UNARY(exp2) JAXPP_UNARY(log) JAXPP_UNARY(log2) JAXPP_UNARY(log10)
    JAXPP_UNARY(floor) JAXPP_UNARY(ceil) JAXPP_UNARY(trunc) JAXPP_UNARY(rint)
    JAXPP_UNARY(nearbyint) JAXPP_UNARY(round) JAXPP_UNARY(roundeven)};
// clang-format on
#undef JAXPP_BINARY
#undef JAXPP_UNARY
#undef JAXPP_ROW

void* runtime(std::string_view name) {
  for (const Known& k : kRuntime)
    if (k.name == name) return k.address;
  return nullptr;
}

// ---- Reading a file that may be damaged

// Bytes [offset, offset + size) of a whole; refuses what is not in it.
std::string_view part(std::string_view whole, std::uint64_t offset, std::uint64_t size,
                      const char* what) {
  if (offset > whole.size() || size > whole.size() - offset)
    refuse(std::string(what) + " is not within the file");
  return whole.substr(offset, size);
}
template <class T>
T read(std::string_view whole, std::uint64_t offset, const char* what) {
  T t;
  std::memcpy(&t, part(whole, offset, sizeof t, what).data(), sizeof t);
  return t;
}
template <class T>
std::vector<T> read_table(std::string_view bytes, const char* what) {
  if (bytes.size() % sizeof(T)) refuse(std::string(what) + " has a broken size");
  std::vector<T> table(bytes.size() / sizeof(T));
  if (!table.empty()) std::memcpy(table.data(), bytes.data(), bytes.size());
  return table;
}
std::string_view string_at(std::string_view strings, std::uint64_t offset) {
  if (offset >= strings.size()) refuse("a name is not within its table");
  const std::size_t end = strings.find('\0', offset);
  if (end == strings.npos) refuse("a name does not end");
  return strings.substr(offset, end - offset);
}

struct File {
  std::string_view bytes;
  std::vector<Elf64_Shdr> sections;
  std::vector<Elf64_Sym> symbols;
  std::string_view names;  // of symbols

  std::string_view contents(const Elf64_Shdr& s) const {
    return part(bytes, s.sh_offset, s.sh_size, "a section");
  }
};

File read_file(std::string_view bytes) {
  File f;
  f.bytes = bytes;
  const auto h = read<Elf64_Ehdr>(bytes, 0, "the header");
  if (std::memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 ||
      h.e_ident[EI_DATA] != ELFDATA2LSB || h.e_type != ET_REL)
    refuse("it is not a relocatable object file (ELF, 64 bits, little-endian)");
  if (h.e_machine != EM_X86_64)
    refuse("it is for another processor; only x86-64 is supported so far");
  if (h.e_shentsize != sizeof(Elf64_Shdr)) refuse("its section headers have an unknown size");
  f.sections = read_table<Elf64_Shdr>(
      part(bytes, h.e_shoff, std::uint64_t(h.e_shnum) * sizeof(Elf64_Shdr), "the section table"),
      "the section table");
  for (const Elf64_Shdr& s : f.sections) {
    if (s.sh_type != SHT_SYMTAB) continue;
    if (!f.symbols.empty()) refuse("it has two symbol tables");
    if (s.sh_link >= f.sections.size()) refuse("the symbols have no names");
    f.symbols = read_table<Elf64_Sym>(f.contents(s), "the symbol table");
    f.names = f.contents(f.sections[s.sh_link]);
  }
  return f;
}

// ---- Memory

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

class Mapping {
 public:
  explicit Mapping(std::size_t size) : size_(round_up(std::max<std::size_t>(size, 1), page())) {
    void* p = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) refuse("there is no memory for " + std::to_string(size_) + " bytes of it");
    data_ = static_cast<char*>(p);
  }
  Mapping(const Mapping&) = delete;
  ~Mapping() { ::munmap(data_, size_); }
  // The reason why not; 0 if the memory is executable now.
  int try_seal() { return ::mprotect(data_, size_, PROT_READ | PROT_EXEC) == 0 ? 0 : errno; }
  void seal() {
    if (const int error = try_seal())
      refuse(std::string("the system does not make memory executable: ") + std::strerror(error));
  }
  char* data() const { return data_; }
  std::size_t size() const { return size_; }
  static std::size_t page() {
    static const auto n = std::size_t(::sysconf(_SC_PAGESIZE));
    return n;
  }

 private:
  char* data_;
  std::size_t size_;
};

class LoadedObject final : public Code {
 public:
  explicit LoadedObject(std::size_t size) : memory_(size) {}
  void* find(std::string_view name) const override {
    const auto at =
        std::lower_bound(functions_.begin(), functions_.end(), name,
                         [](const Function& f, std::string_view n) { return f.name < n; });
    return at != functions_.end() && at->name == name ? at->address : nullptr;
  }
  std::size_t size() const override { return memory_.size(); }

  Mapping& memory() { return memory_; }
  void add(std::string_view name, void* address) {
    functions_.push_back({std::string(name), address});
  }
  void seal() {
    std::sort(functions_.begin(), functions_.end(),
              [](const Function& x, const Function& y) { return x.name < y.name; });
    memory_.seal();
  }

 private:
  struct Function {
    std::string name;
    void* address;
  };
  Mapping memory_;
  std::vector<Function> functions_;
};

// ---- Linking

constexpr std::uint64_t kNowhere = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kMost = 1ull << 30;  // bytes of code: every distance within it fits 32 bits
constexpr unsigned char kJump[] = {0xff, 0x25};  // jmp *[rip + distance], 4 bytes of distance
constexpr std::size_t kStub = 8;

class Linker {
 public:
  Linker(std::string_view object, Resolve resolve) : file_(read_file(object)), resolve_(resolve) {
    place_sections();
    place_table();
  }
  std::shared_ptr<const Code> link() {
    code_ = std::make_shared<LoadedObject>(size_);
    base_ = code_->memory().data();
    for (std::size_t i = 0; i < file_.sections.size(); ++i)
      if (place_[i] != kNowhere) {
        const std::string_view from = file_.contents(file_.sections[i]);
        if (!from.empty()) std::memcpy(base_ + place_[i], from.data(), from.size());
      }
    addresses_.resize(file_.symbols.size());
    for (std::size_t i = 0; i < addresses_.size(); ++i) addresses_[i] = address_of(i);
    for (std::size_t i = 0; i < slot_.size(); ++i)
      if (slot_[i] != kNowhere) write(base_ + table_ + slot_[i] * 8, addresses_[i]);
    for (std::size_t i = 0; i < stub_.size(); ++i)
      if (stub_[i] != kNowhere) {
        char* stub = base_ + stubs_ + stub_[i] * kStub;
        std::memcpy(stub, kJump, sizeof kJump);
        const char* slot = base_ + table_ + slot_[i] * 8;
        write(stub + sizeof kJump, std::int32_t(slot - (stub + sizeof kJump + 4)));
      }
    for (const Elf64_Shdr& s : file_.sections)
      for_relocations(s, [&](const Elf64_Rela& r, std::size_t section) { apply(r, section); });
    publish();
    code_->seal();
    return code_;
  }

 private:
  // What is needed at run time, one after the other.
  void place_sections() {
    place_.assign(file_.sections.size(), kNowhere);
    for (std::size_t i = 0; i < file_.sections.size(); ++i) {
      const Elf64_Shdr& s = file_.sections[i];
      if (!(s.sh_flags & SHF_ALLOC) || s.sh_type == SHT_NOTE || s.sh_type == SHT_X86_64_UNWIND ||
          s.sh_size == 0)
        continue;
      if (s.sh_type != SHT_PROGBITS) {
        if (s.sh_type == SHT_NOBITS) refuse("it has writable data");
        refuse("it has a section of an unknown type, " + std::to_string(s.sh_type));
      }
      if (unwind_table(s)) continue;
      if (s.sh_flags & SHF_TLS) refuse("it has thread-local variables");
      if (s.sh_flags & SHF_COMPRESSED) refuse("it has compressed code");
      if ((s.sh_flags & SHF_WRITE) && !section_name(s).starts_with(".data.rel.ro"))
        refuse("it has writable data");
      const std::uint64_t align = std::max<std::uint64_t>(s.sh_addralign, 1);
      if ((align & (align - 1)) || align > Mapping::page())
        refuse("a section has the impossible alignment " + std::to_string(align));
      const std::uint64_t size = file_.contents(s).size();
      place_[i] = round_up(size_, align);
      size_ = place_[i] + size;
      if (size_ > kMost) refuse("it is larger than 1 GiB");
    }
  }
  // Older versions of LLVM give .eh_frame the type of ordinary data.
  bool unwind_table(const Elf64_Shdr& s) const { return section_name(s) == ".eh_frame"; }
  std::string_view section_name(const Elf64_Shdr& s) const {
    const auto header = read<Elf64_Ehdr>(file_.bytes, 0, "the header");
    if (header.e_shstrndx >= file_.sections.size()) refuse("sections have no names");
    return string_at(file_.contents(file_.sections[header.e_shstrndx]), s.sh_name);
  }

  // Room for the addresses that code reads, and for jumps to functions elsewhere.
  void place_table() {
    slot_.assign(file_.symbols.size(), kNowhere);
    stub_.assign(file_.symbols.size(), kNowhere);
    std::uint64_t slots = 0, stubs = 0;
    for (const Elf64_Shdr& s : file_.sections)
      for_relocations(s, [&](const Elf64_Rela& r, std::size_t) {
        const std::uint64_t symbol = ELF64_R_SYM(r.r_info);
        const bool through_slot = reads_slot(ELF64_R_TYPE(r.r_info));
        const bool through_stub = ELF64_R_TYPE(r.r_info) == R_X86_64_PLT32 && undefined(symbol);
        if ((through_slot || through_stub) && slot_[symbol] == kNowhere) slot_[symbol] = slots++;
        if (through_stub && stub_[symbol] == kNowhere) stub_[symbol] = stubs++;
      });
    table_ = round_up(size_, 16);
    stubs_ = table_ + slots * 8;
    size_ = stubs_ + stubs * kStub;
    if (size_ > kMost) refuse("it is larger than 1 GiB");
  }
  static bool reads_slot(std::uint64_t type) {
    return type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX ||
           type == R_X86_64_REX_GOTPCRELX;
  }
  bool undefined(std::uint64_t symbol) const { return file_.symbols[symbol].st_shndx == SHN_UNDEF; }

  // Calls f(relocation, index of the section it is in) for those in placed sections.
  template <class F>
  void for_relocations(const Elf64_Shdr& s, F f) const {
    if (s.sh_type == SHT_REL) refuse("its relocations are of another processor's kind");
    if (s.sh_type != SHT_RELA) return;
    if (s.sh_info >= place_.size()) refuse("relocations are for a section that it does not have");
    if (place_[s.sh_info] == kNowhere) return;
    const std::string_view bytes = file_.contents(s);
    if (bytes.size() % sizeof(Elf64_Rela)) refuse("a table of relocations has a broken size");
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(Elf64_Rela)) {
      Elf64_Rela r;
      std::memcpy(&r, bytes.data() + at, sizeof r);
      if (ELF64_R_SYM(r.r_info) >= file_.symbols.size())
        refuse("a relocation has a symbol that it does not have");
      f(r, s.sh_info);
    }
  }

  std::uint64_t address_of(std::size_t index) const {
    const Elf64_Sym& s = file_.symbols[index];
    const auto type = ELF64_ST_TYPE(s.st_info);
    if (index == 0 || type == STT_FILE) return 0;
    if (type == STT_TLS || type == STT_GNU_IFUNC || type == STT_COMMON)
      refuse("symbol " + std::to_string(index) + " is of a kind that is not supported");
    if (s.st_shndx == SHN_ABS) return s.st_value;
    if (s.st_shndx == SHN_UNDEF) return external(string_at(file_.names, s.st_name));
    if (s.st_shndx >= place_.size())
      refuse("symbol " + std::to_string(index) + " is in a section that it does not have");
    if (place_[s.st_shndx] == kNowhere) return 0;  // of what is not needed at run time
    if (s.st_value > file_.sections[s.st_shndx].sh_size)
      refuse("symbol " + std::to_string(index) + " is outside of its section");
    return reinterpret_cast<std::uint64_t>(base_) + place_[s.st_shndx] + s.st_value;
  }
  std::uint64_t external(std::string_view name) const {
    void* p = resolve_ ? resolve_(name) : nullptr;
    if (!p) p = runtime(name);
    if (!p) refuse("it needs the function \"" + std::string(name) + "\", which is not known");
    return reinterpret_cast<std::uint64_t>(p);
  }

  template <class T>
  static void write(char* to, T value) {
    std::memcpy(to, &value, sizeof value);
  }
  void apply(const Elf64_Rela& r, std::size_t section) const {
    const std::uint64_t type = ELF64_R_TYPE(r.r_info), symbol = ELF64_R_SYM(r.r_info);
    const std::uint64_t size = file_.sections[section].sh_size;
    const std::uint64_t width = type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
    if (r.r_offset > size || width > size - r.r_offset)
      refuse("a relocation is outside of its section");
    char* field = base_ + place_[section] + r.r_offset;
    const std::uint64_t S = addresses_[symbol], A = std::uint64_t(r.r_addend),
                        P = reinterpret_cast<std::uint64_t>(field);
    auto narrow = [&](std::uint64_t value, bool is_signed) {
      const bool fits =
          is_signed ? std::int64_t(value) == std::int32_t(value) : value == std::uint32_t(value);
      if (!fits) refuse("an address does not fit its field of 32 bits");
      write(field, std::uint32_t(value));
    };
    switch (type) {
      case R_X86_64_NONE: return;
      case R_X86_64_64: return write(field, S + A);
      case R_X86_64_PC64: return write(field, S + A - P);
      case R_X86_64_32: return narrow(S + A, false);
      case R_X86_64_32S: return narrow(S + A, true);
      case R_X86_64_PC32: return narrow(S + A - P, true);
      case R_X86_64_PLT32: {
        const std::uint64_t callee =
            stub_[symbol] == kNowhere
                ? S
                : reinterpret_cast<std::uint64_t>(base_ + stubs_ + stub_[symbol] * kStub);
        return narrow(callee + A - P, true);
      }
      case R_X86_64_GOTPCREL:
      case R_X86_64_GOTPCRELX:
      case R_X86_64_REX_GOTPCRELX: {
        const auto G = reinterpret_cast<std::uint64_t>(base_ + table_ + slot_[symbol] * 8);
        return narrow(G + A - P, true);
      }
    }
    refuse("relocation type " + std::to_string(type) + " is not supported");
  }

  void publish() const {
    for (std::size_t i = 1; i < file_.symbols.size(); ++i) {
      const Elf64_Sym& s = file_.symbols[i];
      if (ELF64_ST_TYPE(s.st_info) == STT_FUNC && ELF64_ST_BIND(s.st_info) != STB_LOCAL &&
          s.st_shndx != SHN_UNDEF && s.st_shndx < place_.size() && place_[s.st_shndx] != kNowhere &&
          (file_.sections[s.st_shndx].sh_flags & SHF_EXECINSTR))
        code_->add(string_at(file_.names, s.st_name), reinterpret_cast<void*>(addresses_[i]));
    }
  }

  const File file_;
  const Resolve resolve_;
  std::vector<std::uint64_t> place_;        // of a section, in the mapping
  std::vector<std::uint64_t> slot_, stub_;  // of a symbol: numbers
  std::uint64_t size_ = 0, table_ = 0, stubs_ = 0;
  std::shared_ptr<LoadedObject> code_;
  char* base_ = nullptr;
  std::vector<std::uint64_t> addresses_;  // of symbols
};

}  // namespace

bool can_load_code(std::string* why) {
  std::string unused;
  std::string& reason = why ? *why : unused;
#if defined(__x86_64__)
  const int error = Mapping(1).try_seal();
  // Want of memory is not a rule of the system: a later attempt may succeed, and says so if it does not.
  if (error != EACCES && error != EPERM) return true;
  reason = "the system forbids executable memory";
#else
  reason = "there is no loader for this processor yet, only for x86-64";
#endif
  return false;
}
std::shared_ptr<const Code> load_object(std::string_view object, Resolve resolve) {
#if defined(__x86_64__)
  return Linker(object, resolve).link();
#else
  (void)object, (void)resolve;
  std::string why;
  can_load_code(&why);
  refuse(why);
#endif
}

}  // namespace jaxpp::native
