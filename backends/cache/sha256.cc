// sha256.cc -- the compression function of FIPS 180-4, section 6.2, word for word; and with the instructions that
// processors have for it, ten times faster: the key of cached code is the hash of its whole text.
#include "backends/cache/sha256.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cstring>

namespace jaxpp::internal {
namespace {
constexpr std::uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
}  // namespace

#if defined(__x86_64__)
namespace {
bool has_instructions() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29) &&
         __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && (c & bit_SSSE3);
}

// Rounds are done four at a time; a vector holds four words.  The state is kept as the instructions want it: (a b e f) and
// (c d g h), highest word first.
__attribute__((target("sha,sse4.1,ssse3"))) void block_instructions(std::uint32_t* state,
                                                                    const std::uint8_t* bytes) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  auto load = [](const void* p) __attribute__((target("sha,sse4.1,ssse3"))) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  };
  const __m128i dcba = load(state), hgfe = load(state + 4);
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  const __m128i abef_before = _mm_alignr_epi8(cdab, efgh, 8),
                cdgh_before = _mm_blend_epi16(efgh, cdab, 0xf0);
  __m128i abef = abef_before, cdgh = cdgh_before;
  __m128i w[4];
  for (int i = 0; i < 16; ++i) {
    __m128i& now = w[i % 4];
    if (i < 4) {
      now = _mm_shuffle_epi8(load(bytes + 16 * i), big_endian);
    } else {  // w[t] = w[t-16] + s0(w[t-15]) + w[t-7] + s1(w[t-2])
      const __m128i &ago12 = w[(i + 1) % 4], &ago8 = w[(i + 2) % 4], &ago4 = w[(i + 3) % 4];
      const __m128i sum =
          _mm_add_epi32(_mm_sha256msg1_epu32(now, ago12), _mm_alignr_epi8(ago4, ago8, 4));
      now = _mm_sha256msg2_epu32(sum, ago4);
    }
    const __m128i k = _mm_add_epi32(now, load(kRound + 4 * i));
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
  }
  abef = _mm_add_epi32(abef, abef_before);
  cdgh = _mm_add_epi32(cdgh, cdgh_before);
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
}  // namespace
#endif

void Sha256::block(const std::uint8_t* bytes) {
#if defined(__x86_64__)
  static const bool fast = has_instructions();
  if (fast && with_ == With::instructions) return block_instructions(state_.data(), bytes);
#endif
  block_words(bytes);
}
void Sha256::block_words(const std::uint8_t* bytes) {
  std::uint32_t w[64];
  for (int i = 0; i < 16; ++i)
    w[i] = std::uint32_t(bytes[4 * i]) << 24 | std::uint32_t(bytes[4 * i + 1]) << 16 |
           std::uint32_t(bytes[4 * i + 2]) << 8 | bytes[4 * i + 3];
  for (int i = 16; i < 64; ++i) {
    const std::uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[i - 7] +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (int i = 0; i < 64; ++i) {
    const std::uint32_t t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                             ((e & f) ^ (~e & g)) + kRound[i] + w[i];
    const std::uint32_t t2 =
        (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const std::uint32_t sums[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state_[std::size_t(i)] += sums[i];
}

void Sha256::add(std::string_view bytes) {
  auto* p = reinterpret_cast<const std::uint8_t*>(bytes.data());
  std::size_t n = bytes.size(), held = size_ % 64;
  size_ += n;
  if (held) {
    const std::size_t k = std::min(n, 64 - held);
    std::memcpy(pending_.data() + held, p, k);
    p += k, n -= k, held += k;
    if (held < 64) return;
    block(pending_.data());
  }
  for (; n >= 64; p += 64, n -= 64) block(p);
  if (n) std::memcpy(pending_.data(), p, n);
}

Sha256::Digest Sha256::digest() {
  const std::uint64_t bits = size_ * 8;
  const std::size_t held = size_ % 64;
  std::string end((held < 56 ? 56 : 120) - held, '\0');
  end[0] = '\x80';
  for (int i = 7; i >= 0; --i) end += char(bits >> 8 * i);
  add(end);
  Digest d;
  for (std::size_t i = 0; i < 32; ++i) d[i] = std::uint8_t(state_[i / 4] >> (24 - 8 * (i % 4)));
  return d;
}

Sha256::Digest sha256(std::string_view bytes) {
  Sha256 s;
  s.add(bytes);
  return s.digest();
}
std::string hex(const Sha256::Digest& d) {
  std::string s;
  for (std::uint8_t b : d) {
    s += "0123456789abcdef"[b >> 4];
    s += "0123456789abcdef"[b & 15];
  }
  return s;
}

}  // namespace jaxpp::internal
