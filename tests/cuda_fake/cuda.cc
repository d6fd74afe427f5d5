// cuda.cc -- libcuda and libcublasLt for tests of the real driver's host side on machines without a GPU.
//
// Streams are queues that advance as late as possible and in random order, one at a time, so that a missing wait or a
// buffer that is used again too early shows.  Memory is the host's, and starts as garbage.  A module is any text; its one
// kernel "add" adds two arrays.  Compiled by cuda_driver_test.cc.
#include <complex>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "jaxpp/core/half.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

std::mt19937 random_bits(7);
struct Stream {
  struct Work {
    std::function<void()> run;
    Stream* until = nullptr;  // waits for this stream
    long position = 0;        // to be here
  };
  std::deque<Work> work;
  long enqueued = 0, executed = 0;
};
struct Event {
  Stream* stream = nullptr;
  long position = 0;
};
std::vector<Stream*> streams;
std::map<std::uintptr_t, std::size_t> memory;
std::size_t in_use = 0;
constexpr std::size_t kCapacity = 256 << 20;

void enqueue(Stream* s, std::function<void()> f) {
  s->work.push_back({std::move(f)});
  ++s->enqueued;
}
void advance() {
  const std::size_t first = random_bits() % streams.size();
  for (std::size_t k = 0; k < streams.size(); ++k) {
    Stream* s = streams[(first + k) % streams.size()];
    if (s->work.empty()) continue;
    auto& w = s->work.front();
    if (w.until && w.until->executed < w.position) continue;
    auto run = std::move(w.run);
    s->work.pop_front();
    ++s->executed;
    if (run) run();
    return;
  }
  std::abort();  // streams wait for each other
}
bool inside(std::uintptr_t p, std::size_t n) {
  auto at = memory.upper_bound(p);
  return at != memory.begin() && p + n <= std::prev(at)->first + std::prev(at)->second;
}
int allocate(unsigned long long* p, std::size_t n) {
  if (in_use + n > kCapacity) return 2;
  void* m = std::aligned_alloc(256, (n + 255) / 256 * 256);
  std::memset(m, 0xff, n);
  *p = reinterpret_cast<unsigned long long>(m);
  memory[*p] = n;
  in_use += n;
  return 0;
}
void* at(unsigned long long p) { return reinterpret_cast<void*>(p); }

}  // namespace

EXPORT int cuInit(unsigned) { return 0; }
EXPORT int cuDriverGetVersion(int* v) { return *v = 13000, 0; }
EXPORT int cuGetErrorName(int e, const char** s) {
  return *s = e == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_FAKE", 0;
}
EXPORT int cuGetErrorString(int, const char** s) { return *s = "as tests want it", 0; }
EXPORT int cuDeviceGetCount(int* n) { return *n = 1, 0; }
EXPORT int cuDeviceGet(int* d, int i) { return *d = i, 0; }
EXPORT int cuDeviceGetName(char* s, int n, int) {
  return std::snprintf(s, std::size_t(n), "fake"), 0;
}
EXPORT int cuDeviceGetAttribute(int* v, int a, int) {
  return *v = a == 16 ? 132 : a == 75 ? 9 : a == 76 ? 0 : 1, 0;
}
EXPORT int cuDeviceGetDefaultMemPool(void** p, int) { return *p = nullptr, 0; }
EXPORT int cuMemPoolSetAttribute(void*, int, void*) { return 0; }
EXPORT int cuDevicePrimaryCtxRetain(void** c, int) { return *c = nullptr, 0; }
EXPORT int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
EXPORT int cuCtxSetCurrent(void*) { return 0; }
EXPORT int cuStreamCreate(Stream** s, unsigned) { return streams.push_back(*s = new Stream), 0; }
EXPORT int cuStreamDestroy_v2(Stream*) { return 0; }
EXPORT int cuStreamSynchronize(Stream* s) {
  while (!s->work.empty()) advance();
  return 0;
}
EXPORT int cuStreamWaitEvent(Stream* s, Event* e, unsigned) {
  if (e->stream) {
    s->work.push_back({nullptr, e->stream, e->position});
    ++s->enqueued;
  }
  return 0;
}
EXPORT int cuEventCreate(Event** e, unsigned) { return *e = new Event, 0; }
EXPORT int cuEventDestroy_v2(Event* e) { return delete e, 0; }
EXPORT int cuEventRecord(Event* e, Stream* s) { return *e = {s, s->enqueued}, 0; }
EXPORT int cuEventQuery(Event* e) {
  return e->stream && e->stream->executed < e->position ? 600 : 0;
}
EXPORT int cuEventSynchronize(Event* e) {
  while (cuEventQuery(e)) advance();
  return 0;
}
EXPORT int cuMemAllocAsync(unsigned long long* p, std::size_t n, Stream*) { return allocate(p, n); }
EXPORT int cuMemFreeAsync(unsigned long long p, Stream* s) {
  enqueue(s, [p] {
    in_use -= memory.at(p);
    memory.erase(p);
    std::free(at(p));
  });
  return 0;
}
EXPORT int cuMemAlloc_v2(unsigned long long* p, std::size_t n) { return allocate(p, n); }
EXPORT int cuMemFree_v2(unsigned long long) { return 1; }
EXPORT int cuMemHostAlloc(void** p, std::size_t n, unsigned) {
  *p = std::malloc(n);
  std::memset(*p, 0xee, n);
  return 0;
}
EXPORT int cuMemFreeHost(void* p) { return std::free(p), 0; }
EXPORT int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, std::size_t n, Stream* s) {
  if (!inside(to, n)) return 1;
  enqueue(s, [=] { std::memcpy(at(to), from, n); });
  return 0;
}
EXPORT int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, std::size_t n, Stream* s) {
  if (!inside(from, n)) return 1;
  enqueue(s, [=] { std::memcpy(to, at(from), n); });
  return 0;
}
EXPORT int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, std::size_t n,
                                Stream* s) {
  if (!inside(to, n) || !inside(from, n)) return 1;
  enqueue(s, [=] { std::memmove(at(to), at(from), n); });
  return 0;
}
EXPORT int cuModuleLoadDataEx(void** m, const void* image, unsigned, int*, void** values) {
  if (std::strcmp(static_cast<const char*>(image), "bad") == 0) {
    std::strcpy(static_cast<char*>(values[0]), "the reason");
    return 1;
  }
  return *m = new int, 0;
}
EXPORT int cuModuleUnload(void* m) { return delete static_cast<int*>(m), 0; }
EXPORT int cuModuleGetFunction(void** f, void*, const char* name) {
  return *f = nullptr, std::strcmp(name, "add") ? 500 : 0;
}
EXPORT int cuFuncSetAttribute(void*, int a, int v) { return a == 8 && v <= 227 << 10 ? 0 : 1; }
EXPORT int cuLaunchKernel(void*, unsigned gx, unsigned, unsigned, unsigned bx, unsigned, unsigned,
                          unsigned, Stream* s, void** args, void**) {
  const auto *a = *static_cast<const float**>(args[0]), *b = *static_cast<const float**>(args[1]);
  auto* c = *static_cast<float**>(args[2]);
  const int n = *static_cast<int*>(args[3]);
  if (std::size_t(n) > std::size_t(gx) * bx) return 1;
  enqueue(s, [=] {
    for (int i = 0; i < n; ++i) c[i] = a[i] + b[i];
  });
  return 0;
}

// ---- cuBLASLt
namespace {
struct Product {
  int compute, scale;
  std::int32_t transposed[2] = {0, 0};
};
struct Layout {
  int type;
  std::uint64_t rows, columns;
  std::int64_t leading;
  std::int32_t batch = 1;
  std::int64_t stride = 0;
};
struct Preference {
  std::map<int, std::uint64_t> values;
};
struct Chosen {
  std::uint64_t algorithm[8];
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
std::complex<double> get(int type, const void* p, std::int64_t i) {
  switch (type) {
    case 0: return static_cast<const float*>(p)[i];
    case 1: return static_cast<const double*>(p)[i];
    case 2: return jaxpp::internal::half_to_float(static_cast<const std::uint16_t*>(p)[i]);
    case 4: return static_cast<const std::complex<float>*>(p)[i];
    case 5: return static_cast<const std::complex<double>*>(p)[i];
    default: {
      const std::uint32_t u = std::uint32_t(static_cast<const std::uint16_t*>(p)[i]) << 16;
      return reinterpret_cast<const float&>(u);
    }
  }
}
void put(int type, void* p, std::int64_t i, std::complex<double> v) {
  switch (type) {
    case 0: static_cast<float*>(p)[i] = float(v.real()); break;
    case 1: static_cast<double*>(p)[i] = v.real(); break;
    case 2:
      static_cast<std::uint16_t*>(p)[i] = jaxpp::internal::float_to_half(float(v.real()));
      break;
    case 4: static_cast<std::complex<float>*>(p)[i] = std::complex<float>(v); break;
    case 5: static_cast<std::complex<double>*>(p)[i] = v; break;
    default: {
      const float f = float(v.real());
      static_cast<std::uint16_t*>(p)[i] =
          std::uint16_t((reinterpret_cast<const std::uint32_t&>(f) + 0x8000u) >> 16);
    }
  }
}
}  // namespace
EXPORT std::size_t cublasLtGetVersion() { return 130000; }
EXPORT const char* cublasLtGetStatusName(int) { return "CUBLAS_STATUS_FAKE"; }
EXPORT const char* cublasLtGetStatusString(int) { return "as tests want it"; }
EXPORT int cublasLtCreate(void** h) { return *h = nullptr, 0; }
EXPORT int cublasLtDestroy(void*) { return 0; }
EXPORT int cublasLtMatmulDescCreate(Product** p, int compute, int scale) {
  return *p = new Product{compute, scale}, 0;
}
EXPORT int cublasLtMatmulDescDestroy(Product* p) { return delete p, 0; }
EXPORT int cublasLtMatmulDescSetAttribute(Product* p, int a, const void* v, std::size_t n) {
  if ((a != 3 && a != 4) || n != 4) return 1;
  std::memcpy(&p->transposed[a - 3], v, n);
  return 0;
}
EXPORT int cublasLtMatrixLayoutCreate(Layout** l, int type, std::uint64_t rows,
                                      std::uint64_t columns, std::int64_t leading) {
  if (leading < std::int64_t(rows)) return 1;
  return *l = new Layout{type, rows, columns, leading}, 0;
}
EXPORT int cublasLtMatrixLayoutDestroy(Layout* l) { return delete l, 0; }
EXPORT int cublasLtMatrixLayoutSetAttribute(Layout* l, int a, const void* v, std::size_t n) {
  if (a == 5 && n == 4) return std::memcpy(&l->batch, v, n), 0;
  if (a == 6 && n == 8) return std::memcpy(&l->stride, v, n), 0;
  return 1;
}
EXPORT int cublasLtMatmulPreferenceCreate(Preference** p) { return *p = new Preference, 0; }
EXPORT int cublasLtMatmulPreferenceDestroy(Preference* p) { return delete p, 0; }
EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference* p, int a, const void* v,
                                                std::size_t n) {
  if (n != (a == 1 ? 8 : 4)) return 1;
  std::uint64_t value = 0;
  std::memcpy(&value, v, n);
  p->values[a] = value;
  return 0;
}
EXPORT int cublasLtMatmulAlgoGetHeuristic(void*, Product* p, Layout* a, Layout* b, Layout* c,
                                          Layout*, Preference* preference, int, Chosen* chosen,
                                          int* found) {
  const bool t = p->transposed[0], u = p->transposed[1];
  const bool fits =
      (t ? a->columns : a->rows) == c->rows && (u ? b->rows : b->columns) == c->columns &&
      (t ? a->rows : a->columns) == (u ? b->columns : b->rows) && preference->values.size() == 5;
  const int type = c->type;
  const int scale = type == 2 || type == 14 ? 0 : type;
  const int compute = type == 1 || type == 5 ? 70 : 68;
  if (!fits || p->scale != scale || p->compute != compute) return 7;
  chosen->algorithm[0] = preference->values[5] << 32 | preference->values[7];
  return *found = c->rows == 999 ? 0 : 1, 0;
}
EXPORT int cublasLtMatmul(void*, Product* p, const void* alpha, const void* a, Layout* la,
                          const void* b, Layout* lb, const void* beta, const void* c, Layout* lc,
                          void* d, Layout*, const std::uint64_t* algorithm, void* workspace,
                          std::size_t bytes, Stream* s) {
  if (c != d || !inside(reinterpret_cast<std::uintptr_t>(workspace), bytes) ||
      reinterpret_cast<std::uintptr_t>(a) % (algorithm[0] >> 32) ||
      reinterpret_cast<std::uintptr_t>(d) % std::uint32_t(algorithm[0]))
    return 7;
  const auto al = get(p->scale, alpha, 0), be = get(p->scale, beta, 0);
  enqueue(s, [=, p = *p, la = *la, lb = *lb, lc = *lc] {
    const auto k = p.transposed[0] ? la.rows : la.columns;
    for (std::int64_t t = 0; t < lc.batch; ++t)
      for (std::uint64_t i = 0; i < lc.rows; ++i)
        for (std::uint64_t j = 0; j < lc.columns; ++j) {
          std::complex<double> sum = 0;
          for (std::uint64_t x = 0; x < k; ++x)
            sum += get(la.type, a,
                       t * la.stride + std::int64_t(p.transposed[0] ? x + i * la.leading
                                                                    : i + x * la.leading)) *
                   get(lb.type, b,
                       t * lb.stride +
                           std::int64_t(p.transposed[1] ? j + x * lb.leading : x + j * lb.leading));
          const std::int64_t to = t * lc.stride + std::int64_t(i + j * lc.leading);
          sum *= al;
          if (be != 0.0) sum += be * get(lc.type, c, to);
          put(lc.type, d, to, sum);
        }
  });
  return 0;
}
