// driver_gemm.cc -- the library's descriptors for a product, and the algorithm its heuristics choose, kept by shape.
//
// float is computed in float, never in TF32; halves in float; what is stored is rounded once.
#include "backends/cuda/driver_gemm.h"

#include <algorithm>
#include <bit>
#include <complex>

#include "backends/cuda/driver_library.h"
#include "jaxpp/core/error.h"

namespace jaxpp::cuda {
namespace {

struct Types {
  int element, compute, scale;
};
Types types_of(DType d) {
  switch (d) {
    case DType::f16: return {api::kCUDA_R_16F, api::kCUBLAS_COMPUTE_32F, api::kCUDA_R_32F};
    case DType::bf16: return {api::kCUDA_R_16BF, api::kCUBLAS_COMPUTE_32F, api::kCUDA_R_32F};
    case DType::f32: return {api::kCUDA_R_32F, api::kCUBLAS_COMPUTE_32F, api::kCUDA_R_32F};
    case DType::f64: return {api::kCUDA_R_64F, api::kCUBLAS_COMPUTE_64F, api::kCUDA_R_64F};
    case DType::c64: return {api::kCUDA_C_32F, api::kCUBLAS_COMPUTE_32F, api::kCUDA_C_32F};
    case DType::c128: return {api::kCUDA_C_64F, api::kCUBLAS_COMPUTE_64F, api::kCUDA_C_64F};
    default: throw Error("gemm: there is none for the type of these elements.");
  }
}

// A number as cuBLASLt reads it: in the type of the scale.
struct Scalar {
  alignas(16) std::complex<double> storage;
  Scalar(double v, DType d) {
    switch (d) {
      case DType::f64: new (&storage) double(v); break;
      case DType::c64: new (&storage) std::complex<float>(float(v)); break;
      case DType::c128: storage = v; break;
      default: new (&storage) float(float(v));
    }
  }
};

// The largest power of two, up to 256, that divides an address.
unsigned alignment(Address a) {
  return a ? std::min(256u, unsigned(a & -a & 511 ? a & -a : 256)) : 256;
}

}  // namespace

struct CublasLt::Plan {
  const api::CublasLt& lt;
  api::cublasLtMatmulDesc_t operation = nullptr;
  std::array<api::cublasLtMatrixLayout_t, 3> layout{};
  api::cublasLtMatmulPreference_t preference = nullptr;
  api::cublasLtMatmulHeuristicResult_t chosen{};
  explicit Plan(const api::CublasLt& l) : lt(l) {}
  ~Plan() {
    if (preference) lt.cublasLtMatmulPreferenceDestroy(preference);
    for (auto l : layout)
      if (l) lt.cublasLtMatrixLayoutDestroy(l);
    if (operation) lt.cublasLtMatmulDescDestroy(operation);
  }
};

CublasLt::CublasLt() : lt_(cublaslt_library().api) {
  if (!cublaslt_library().ok()) throw Error(cublaslt_library().why);
  check(lt_.cublasLtCreate(&handle_), "cublasLtCreate");
}
CublasLt::~CublasLt() {
  plans_.clear();
  lt_.cublasLtDestroy(handle_);
}
void CublasLt::check(int result, const char* call) const {
  if (result)
    throw Error(std::string(call) + ": " + lt_.cublasLtGetStatusName(result) + ": " +
                lt_.cublasLtGetStatusString(result) + ".");
}

const CublasLt::Plan& CublasLt::plan(const Gemm& g, std::array<unsigned, 3> aligned) {
  const Key key{g.transpose_a,
                g.transpose_b,
                g.m,
                g.n,
                g.k,
                g.lda,
                g.ldb,
                g.ldc,
                g.batch,
                g.stride_a,
                g.stride_b,
                g.stride_c,
                std::int64_t(g.type),
                g.beta != 0,
                aligned[0],
                aligned[1],
                aligned[2]};
  if (const auto known = plans_.find(key); known != plans_.end()) return *known->second;

  const Types types = types_of(g.type);
  auto p = std::make_unique<Plan>(lt_);
  check(lt_.cublasLtMatmulDescCreate(&p->operation, types.compute, types.scale),
        "cublasLtMatmulDescCreate");
  auto set = [&](int attribute, auto v) {
    check(lt_.cublasLtMatmulDescSetAttribute(p->operation, attribute, &v, sizeof v),
          "cublasLtMatmulDescSetAttribute");
  };
  set(api::kCUBLASLT_MATMUL_DESC_TRANSA,
      std::int32_t(g.transpose_a ? api::kCUBLAS_OP_T : api::kCUBLAS_OP_N));
  set(api::kCUBLASLT_MATMUL_DESC_TRANSB,
      std::int32_t(g.transpose_b ? api::kCUBLAS_OP_T : api::kCUBLAS_OP_N));
  // Layouts are of the matrices as stored, before a transposition.
  struct Stored {
    std::int64_t rows, columns, leading, stride;
    bool transposed;
  };
  const Stored stored[3] = {{g.m, g.k, g.lda, g.stride_a, g.transpose_a},
                            {g.k, g.n, g.ldb, g.stride_b, g.transpose_b},
                            {g.m, g.n, g.ldc, g.stride_c, false}};
  for (std::size_t i = 0; i < 3; ++i) {
    const Stored& s = stored[i];
    check(lt_.cublasLtMatrixLayoutCreate(
              &p->layout[i], types.element, std::uint64_t(s.transposed ? s.columns : s.rows),
              std::uint64_t(s.transposed ? s.rows : s.columns), s.leading),
          "cublasLtMatrixLayoutCreate");
    if (g.batch == 1) continue;
    const auto count = std::int32_t(g.batch);
    for (auto [attribute, value, size] :
         {std::tuple(api::kCUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<const void*>(&count),
                     sizeof count),
          std::tuple(api::kCUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                     static_cast<const void*>(&s.stride), sizeof s.stride)})
      check(lt_.cublasLtMatrixLayoutSetAttribute(p->layout[i], attribute, value, size),
            "cublasLtMatrixLayoutSetAttribute");
  }
  check(lt_.cublasLtMatmulPreferenceCreate(&p->preference), "cublasLtMatmulPreferenceCreate");
  auto prefer = [&](int attribute, auto v) {
    check(lt_.cublasLtMatmulPreferenceSetAttribute(p->preference, attribute, &v, sizeof v),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(api::kCUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(kWorkspace));
  prefer(api::kCUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t(aligned[0]));
  prefer(api::kCUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t(aligned[1]));
  prefer(api::kCUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t(aligned[2]));
  prefer(api::kCUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t(aligned[2]));
  int found = 0;
  check(lt_.cublasLtMatmulAlgoGetHeuristic(handle_, p->operation, p->layout[0], p->layout[1],
                                           p->layout[2], p->layout[2], p->preference, 1, &p->chosen,
                                           &found),
        "cublasLtMatmulAlgoGetHeuristic");
  if (!found)
    throw Error("cuBLASLt has no algorithm for the product of " + std::to_string(g.m) + " x " +
                std::to_string(g.k) + " by " + std::to_string(g.k) + " x " + std::to_string(g.n) +
                " of " + jaxpp::name(g.type) + ".");
  return *(plans_[key] = std::move(p));
}

void CublasLt::multiply(const Gemm& g, Address a, Address b, Address c, Address workspace,
                        api::CUstream stream) {
  const Plan& p = plan(g, {alignment(a), alignment(b), alignment(c)});
  const Scalar alpha(g.alpha, g.type), beta(g.beta, g.type);
  auto pointer = [](Address x) { return reinterpret_cast<void*>(x); };
  check(
      lt_.cublasLtMatmul(handle_, p.operation, &alpha.storage, pointer(a), p.layout[0], pointer(b),
                         p.layout[1], &beta.storage, pointer(c), p.layout[2], pointer(c),
                         p.layout[2], &p.chosen.algo, pointer(workspace), kWorkspace, stream),
      "cublasLtMatmul");
}

}  // namespace jaxpp::cuda
