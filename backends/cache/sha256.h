// sha256.h -- SHA-256 (FIPS 180-4), for names and checksums of cached files.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace jaxpp::internal {

class Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;
  enum class With { instructions, words };  ///< this processor's, if it has them; on any processor
  explicit Sha256(With with = With::instructions) : with_(with) {}
  void add(std::string_view bytes);
  /// Of everything added; nothing may be added afterwards.
  Digest digest();

 private:
  void block(const std::uint8_t* bytes);
  void block_words(const std::uint8_t* bytes);
  const With with_;
  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> pending_{};
  std::uint64_t size_ = 0;
};
Sha256::Digest sha256(std::string_view bytes);
std::string hex(const Sha256::Digest&);

}  // namespace jaxpp::internal
