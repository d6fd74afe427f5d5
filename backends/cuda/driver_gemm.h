// driver_gemm.h -- matrix products by cuBLASLt.
#pragma once
#include <array>
#include <map>
#include <memory>

#include "backends/cuda/driver.h"
#include "backends/cuda/driver_api.h"

namespace jaxpp::cuda {

class CublasLt {
 public:
  static constexpr std::size_t kWorkspace = 32 << 20;
  /// Opens the library; throws Error if it is not there.
  CublasLt();
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  /// workspace: kWorkspace bytes that only this stream uses.
  void multiply(const Gemm&, Address a, Address b, Address c, Address workspace, api::CUstream);

 private:
  struct Plan;
  const Plan& plan(const Gemm&, std::array<unsigned, 3> alignment);
  void check(int result, const char* call) const;
  const api::CublasLt& lt_;
  api::cublasLtHandle_t handle_ = nullptr;
  using Key = std::array<std::int64_t, 17>;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace jaxpp::cuda
