// library.cc -- finds and opens the library of matrices.
#include "backends/host/library.h"
#include <dlfcn.h>
#include <unistd.h>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <vector>
#include "jaxpp/core/error.h"

namespace jaxpp::host {
namespace {

// For its scope the environment has more variables, those that the user has not set.  Others may read it meanwhile: the
// new list is never freed.
class MoreEnvironment {
 public:
  explicit MoreEnvironment(std::initializer_list<const char*> settings) : old_(environ) {
    auto& list = *new std::vector<char*>;
    for (const char* s : settings)
      if (!std::getenv(std::string(s, std::strchr(s, '=')).c_str()))
        list.push_back(const_cast<char*>(s));
    for (char** e = old_; e && *e; ++e) list.push_back(*e);
    list.push_back(nullptr);
    environ = new_ = list.data();
  }
  MoreEnvironment(const MoreEnvironment&) = delete;
  ~MoreEnvironment() {
    if (environ == new_) environ = old_;
  }

 private:
  char **old_, **new_;
};

// OpenBLAS knows processors by their numbers, and takes AVX2 code for an AMD processor that is newer than itself.
bool newer_than_openblas() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
#else
  return false;
#endif
}
void* open(const char* path) {
  // Its own threads would spin for a while although they never get work.
  const char* one_thread = "OPENBLAS_NUM_THREADS=1";
  if (newer_than_openblas()) {
    MoreEnvironment e{one_thread, "OPENBLAS_CORETYPE=SkylakeX"};
    return dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  }
  MoreEnvironment e{one_thread};
  return dlopen(path, RTLD_LAZY | RTLD_LOCAL);
}

struct Library {
  void* handle = nullptr;
  std::string words;

  Library() {
    const char* named = std::getenv("JAXPP_BLAS");
    if (named && !*named) named = nullptr;
    if (named && std::strcmp(named, "0") == 0) {
      words = "Eigen: JAXPP_BLAS=0";
      return;
    }
    const char* path = named ? named : "libopenblas.so.0";
    handle = open(path);
    if (handle && !dlsym(handle, "sgemm_")) {
      if (named)
        throw Error("JAXPP_BLAS: " + std::string(path) + " has no function sgemm_.  [E58]");
      handle = nullptr;
    }
    if (!handle) {
      const char* why = dlerror();
      if (named)
        throw Error("JAXPP_BLAS: " + std::string(why ? why : path) +
                    ".  [E58]  Name a shared library with the Fortran functions of BLAS and "
                    "LAPACK, or 0 for none.");
      words =
          "Eigen: libopenblas.so.0 was not found.  Large products are about half as fast; "
          "Debian's package is libopenblas0-pthread";
      return;
    }
    if (auto set = symbol<void (*)(int)>("openblas_set_num_threads")) set(1);
    if (auto config = symbol<const char* (*)()>("openblas_get_config"))
      words = first_words(config());
    if (auto core = symbol<const char* (*)()>("openblas_get_corename"))
      words += std::string(words.empty() ? "" : " ") + core();
    words += std::string(words.empty() ? "" : " ") + "(" + path + ")";
  }
  template <class F>
  F symbol(const std::string& name) const {
    return handle ? reinterpret_cast<F>(dlsym(handle, name.c_str())) : nullptr;
  }
  static std::string first_words(const std::string& text) {  // the name and its version
    const auto second = text.find(' ', text.find(' ') + 1);
    return text.substr(0, second);
  }
};
const Library& library() {
  static const Library& found = *new Library;  // never closed: threads may be in it at exit
  return found;
}

template <class T>
std::string name(const char* routine) {
  const char prefix =
      is_complex_v<T> ? (sizeof(Real<T>) == 4 ? 'c' : 'z') : (sizeof(T) == 4 ? 's' : 'd');
  return prefix + std::string(routine) + "_";
}
template <class F>
void find(F& f, const std::string& name) {
  f = library().symbol<F>(name);
}

}  // namespace

template <class T>
const Blas<T>* blas() {
  static const Blas<T> found = [] {
    Blas<T> b;
    find(b.gemm, name<T>("gemm"));
    find(b.gemv, name<T>("gemv"));
    find(b.trsm, name<T>("trsm"));
    return b;
  }();
  return found.gemm && found.gemv && found.trsm ? &found : nullptr;
}
template <class T>
const Lapack<T>* lapack() {
  static const Lapack<T> found = [] {
    Lapack<T> l;
    const bool c = is_complex_v<T>;
    find(l.potrf, name<T>("potrf"));
    find(l.getrf, name<T>("getrf"));
    find(l.geqrf, name<T>("geqrf"));
    find(l.orgqr, name<T>(c ? "ungqr" : "orgqr"));
    find(l.hetrd, name<T>(c ? "hetrd" : "sytrd"));
    find(l.stedc, name<Real<T>>("stedc"));
    find(l.laed1, name<Real<T>>("laed1"));
    find(l.unmtr, name<T>(c ? "unmtr" : "ormtr"));
    find(l.syevd, name<T>(c ? "heevd" : "syevd"));
    find(l.gesdd, name<T>("gesdd"));
    find(l.gees, name<T>("gees"));
    return l;
  }();
  const bool whole = blas<T>() && found.potrf && found.getrf && found.geqrf && found.orgqr &&
                     found.hetrd && found.stedc && found.unmtr && found.syevd && found.gesdd;
  return whole ? &found : nullptr;
}
template const Blas<float>* blas<float>();
template const Blas<double>* blas<double>();
template const Blas<std::complex<float>>* blas<std::complex<float>>();
template const Blas<std::complex<double>>* blas<std::complex<double>>();
template const Lapack<float>* lapack<float>();
template const Lapack<double>* lapack<double>();
template const Lapack<std::complex<float>>* lapack<std::complex<float>>();
template const Lapack<std::complex<double>>* lapack<std::complex<double>>();

std::string libraries() { return library().words; }

}  // namespace jaxpp::host
