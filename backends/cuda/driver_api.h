// driver_api.h -- the functions and constants of libcuda, NVRTC and cuBLASLt that are used, declared here: neither their
// headers nor the libraries are needed to build.
//
// A row: result type, name, exported symbol (with its version: the plain name is a macro in NVIDIA's headers), arguments.
// Enumerations are int, handles pointers to types without definition.  tests/cuda_headers_test.cc compares every row and
// number with NVIDIA's headers where they are installed.
#pragma once
#include <cstddef>
#include <cstdint>

namespace jaxpp::cuda::api {

using CUdeviceptr = unsigned long long;
using CUcontext = struct Context*;
using CUmodule = struct ModuleHandle*;
using CUfunction = struct FunctionHandle*;
using CUstream = struct StreamHandle*;
using CUevent = struct EventHandle*;
using CUmemoryPool = struct PoolHandle*;
using nvrtcProgram = struct NvrtcProgram*;
using cublasLtHandle_t = struct LtHandle*;
using cublasLtMatmulDesc_t = struct LtMatmul*;
using cublasLtMatrixLayout_t = struct LtLayout*;
using cublasLtMatmulPreference_t = struct LtPreference*;

struct cublasLtMatmulAlgo_t {
  std::uint64_t data[8];
};
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  std::size_t workspaceSize;
  int state;
  float wavesCount;
  int reserved[4];
};

// clang-format off
#define JAXPP_CUDA_DRIVER(X) \
  X(int, cuInit, "cuInit", (unsigned)) \
  X(int, cuDriverGetVersion, "cuDriverGetVersion", (int*)) \
  X(int, cuGetErrorName, "cuGetErrorName", (int, const char**)) \
  X(int, cuGetErrorString, "cuGetErrorString", (int, const char**)) \
  X(int, cuDeviceGetCount, "cuDeviceGetCount", (int*)) \
  X(int, cuDeviceGet, "cuDeviceGet", (int*, int)) \
  X(int, cuDeviceGetName, "cuDeviceGetName", (char*, int, int)) \
  X(int, cuDeviceGetAttribute, "cuDeviceGetAttribute", (int*, int, int)) \
  X(int, cuDeviceGetDefaultMemPool, "cuDeviceGetDefaultMemPool", (CUmemoryPool*, int)) \
  X(int, cuMemPoolSetAttribute, "cuMemPoolSetAttribute", (CUmemoryPool, int, void*)) \
  X(int, cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (CUcontext*, int)) \
  X(int, cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (int)) \
  X(int, cuCtxSetCurrent, "cuCtxSetCurrent", (CUcontext)) \
  X(int, cuStreamCreate, "cuStreamCreate", (CUstream*, unsigned)) \
  X(int, cuStreamDestroy, "cuStreamDestroy_v2", (CUstream)) \
  X(int, cuStreamSynchronize, "cuStreamSynchronize", (CUstream)) \
  X(int, cuStreamWaitEvent, "cuStreamWaitEvent", (CUstream, CUevent, unsigned)) \
  X(int, cuEventCreate, "cuEventCreate", (CUevent*, unsigned)) \
  X(int, cuEventDestroy, "cuEventDestroy_v2", (CUevent)) \
  X(int, cuEventRecord, "cuEventRecord", (CUevent, CUstream)) \
  X(int, cuEventQuery, "cuEventQuery", (CUevent)) \
  X(int, cuEventSynchronize, "cuEventSynchronize", (CUevent)) \
  X(int, cuMemAllocAsync, "cuMemAllocAsync", (CUdeviceptr*, std::size_t, CUstream)) \
  X(int, cuMemFreeAsync, "cuMemFreeAsync", (CUdeviceptr, CUstream)) \
  X(int, cuMemAlloc, "cuMemAlloc_v2", (CUdeviceptr*, std::size_t)) \
  X(int, cuMemFree, "cuMemFree_v2", (CUdeviceptr)) \
  X(int, cuMemHostAlloc, "cuMemHostAlloc", (void**, std::size_t, unsigned)) \
  X(int, cuMemFreeHost, "cuMemFreeHost", (void*)) \
  X(int, cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", (CUdeviceptr, const void*, std::size_t, CUstream)) \
  X(int, cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void*, CUdeviceptr, std::size_t, CUstream)) \
  X(int, cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", (CUdeviceptr, CUdeviceptr, std::size_t, CUstream)) \
  X(int, cuModuleLoadDataEx, "cuModuleLoadDataEx", (CUmodule*, const void*, unsigned, int*, void**)) \
  X(int, cuModuleUnload, "cuModuleUnload", (CUmodule)) \
  X(int, cuModuleGetFunction, "cuModuleGetFunction", (CUfunction*, CUmodule, const char*)) \
  X(int, cuFuncSetAttribute, "cuFuncSetAttribute", (CUfunction, int, int)) \
  X(int, cuLaunchKernel, "cuLaunchKernel", (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void**, void**))

#define JAXPP_NVRTC(X) \
  X(int, nvrtcVersion, "nvrtcVersion", (int*, int*)) \
  X(const char*, nvrtcGetErrorString, "nvrtcGetErrorString", (int)) \
  X(int, nvrtcGetNumSupportedArchs, "nvrtcGetNumSupportedArchs", (int*)) \
  X(int, nvrtcGetSupportedArchs, "nvrtcGetSupportedArchs", (int*)) \
  X(int, nvrtcCreateProgram, "nvrtcCreateProgram", (nvrtcProgram*, const char*, const char*, int, const char* const*, const char* const*)) \
  X(int, nvrtcDestroyProgram, "nvrtcDestroyProgram", (nvrtcProgram*)) \
  X(int, nvrtcCompileProgram, "nvrtcCompileProgram", (nvrtcProgram, int, const char* const*)) \
  X(int, nvrtcGetProgramLogSize, "nvrtcGetProgramLogSize", (nvrtcProgram, std::size_t*)) \
  X(int, nvrtcGetProgramLog, "nvrtcGetProgramLog", (nvrtcProgram, char*)) \
  X(int, nvrtcGetCUBINSize, "nvrtcGetCUBINSize", (nvrtcProgram, std::size_t*)) \
  X(int, nvrtcGetCUBIN, "nvrtcGetCUBIN", (nvrtcProgram, char*)) \
  X(int, nvrtcGetPTXSize, "nvrtcGetPTXSize", (nvrtcProgram, std::size_t*)) \
  X(int, nvrtcGetPTX, "nvrtcGetPTX", (nvrtcProgram, char*))

#define JAXPP_CUBLASLT(X) \
  X(std::size_t, cublasLtGetVersion, "cublasLtGetVersion", ()) \
  X(const char*, cublasLtGetStatusName, "cublasLtGetStatusName", (int)) \
  X(const char*, cublasLtGetStatusString, "cublasLtGetStatusString", (int)) \
  X(int, cublasLtCreate, "cublasLtCreate", (cublasLtHandle_t*)) \
  X(int, cublasLtDestroy, "cublasLtDestroy", (cublasLtHandle_t)) \
  X(int, cublasLtMatmulDescCreate, "cublasLtMatmulDescCreate", (cublasLtMatmulDesc_t*, int, int)) \
  X(int, cublasLtMatmulDescDestroy, "cublasLtMatmulDescDestroy", (cublasLtMatmulDesc_t)) \
  X(int, cublasLtMatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute", (cublasLtMatmulDesc_t, int, const void*, std::size_t)) \
  X(int, cublasLtMatrixLayoutCreate, "cublasLtMatrixLayoutCreate", (cublasLtMatrixLayout_t*, int, std::uint64_t, std::uint64_t, std::int64_t)) \
  X(int, cublasLtMatrixLayoutDestroy, "cublasLtMatrixLayoutDestroy", (cublasLtMatrixLayout_t)) \
  X(int, cublasLtMatrixLayoutSetAttribute, "cublasLtMatrixLayoutSetAttribute", (cublasLtMatrixLayout_t, int, const void*, std::size_t)) \
  X(int, cublasLtMatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate", (cublasLtMatmulPreference_t*)) \
  X(int, cublasLtMatmulPreferenceDestroy, "cublasLtMatmulPreferenceDestroy", (cublasLtMatmulPreference_t)) \
  X(int, cublasLtMatmulPreferenceSetAttribute, "cublasLtMatmulPreferenceSetAttribute", (cublasLtMatmulPreference_t, int, const void*, std::size_t)) \
  X(int, cublasLtMatmulAlgoGetHeuristic, "cublasLtMatmulAlgoGetHeuristic", (cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int, cublasLtMatmulHeuristicResult_t*, int*)) \
  X(int, cublasLtMatmul, "cublasLtMatmul", (cublasLtHandle_t, cublasLtMatmulDesc_t, const void*, const void*, cublasLtMatrixLayout_t, const void*, cublasLtMatrixLayout_t, const void*, const void*, cublasLtMatrixLayout_t, void*, cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t*, void*, std::size_t, CUstream))

// Enumerators and macros, under their own names and a k.
#define JAXPP_CUDA_CONSTANTS(X) \
  X(CUDA_ERROR_OUT_OF_MEMORY, 2) \
  X(CUDA_ERROR_NO_DEVICE, 100) \
  X(CUDA_ERROR_NOT_READY, 600) \
  X(CU_STREAM_NON_BLOCKING, 1) \
  X(CU_EVENT_DISABLE_TIMING, 2) \
  X(CU_MEMHOSTALLOC_PORTABLE, 1) \
  X(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16) \
  X(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75) \
  X(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 76) \
  X(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 115) \
  X(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, 4) \
  X(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 8) \
  X(CU_JIT_ERROR_LOG_BUFFER, 5) \
  X(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, 6) \
  X(NVRTC_SUCCESS, 0) \
  X(NVRTC_ERROR_INVALID_OPTION, 5) \
  X(NVRTC_ERROR_COMPILATION, 6) \
  X(CUDA_R_32F, 0) \
  X(CUDA_R_64F, 1) \
  X(CUDA_R_16F, 2) \
  X(CUDA_C_32F, 4) \
  X(CUDA_C_64F, 5) \
  X(CUDA_R_16BF, 14) \
  X(CUBLAS_OP_N, 0) \
  X(CUBLAS_OP_T, 1) \
  X(CUBLAS_COMPUTE_32F, 68) \
  X(CUBLAS_COMPUTE_64F, 70) \
  X(CUBLASLT_MATMUL_DESC_TRANSA, 3) \
  X(CUBLASLT_MATMUL_DESC_TRANSB, 4) \
  X(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 5) \
  X(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 6) \
  X(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1) \
  X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5) \
  X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 6) \
  X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 7) \
  X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8)
// clang-format on

enum Constant : int {
#define JAXPP_ROW(NAME, VALUE) k##NAME = VALUE,
  JAXPP_CUDA_CONSTANTS(JAXPP_ROW)
#undef JAXPP_ROW
};

#define JAXPP_ROW(RESULT, NAME, SYMBOL, ARGUMENTS) RESULT(*NAME) ARGUMENTS = nullptr;
struct CudaDriver {
  JAXPP_CUDA_DRIVER(JAXPP_ROW)
};
struct Nvrtc {
  JAXPP_NVRTC(JAXPP_ROW)
};
struct CublasLt {
  JAXPP_CUBLASLT(JAXPP_ROW)
};
#undef JAXPP_ROW

}  // namespace jaxpp::cuda::api
