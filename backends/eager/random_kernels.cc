// random_kernels.cc -- threefry2x32: 20 rounds of add, rotate, xor on two words, the key added
// every four rounds.
//
// Blocks of counters go through the rounds together, so that the compiler makes vector code of
// every step.
#include "backends/eager/kernels.h"

namespace jaxpp::internal {
namespace {

constexpr int kBlock = 64;
using Word = std::uint32_t;

// k and x: blocks of n words; the result replaces x.
void encrypt(const Word* k0, const Word* k1, Word* x0, Word* x1, int n) {
  constexpr int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  Word k2[kBlock];
  for (int i = 0; i < n; ++i) {
    k2[i] = k0[i] ^ k1[i] ^ 0x1BD11BDAu;
    x0[i] += k0[i];
    x1[i] += k1[i];
  }
  const Word* key[3] = {k0, k1, k2};
  for (Word group = 0; group < 5; ++group) {
    for (int r : rotations[group % 2])
      for (int i = 0; i < n; ++i) {
        x0[i] += x1[i];
        x1[i] = (x1[i] << r | x1[i] >> (32 - r)) ^ x0[i];
      }
    const Word *a = key[(group + 1) % 3], *b = key[(group + 2) % 3];
    for (int i = 0; i < n; ++i) {
      x0[i] += a[i];
      x1[i] += b[i] + group + 1;
    }
  }
}

// Reads an operand at consecutive positions of the result; dimensions of size 1 are repeated.
class Reader {
 public:
  Reader(const Array& x, const Shape& shape)
      : x_(x.data<Word>()), dense_(x.shape() == shape), shape_(shape) {
    steps_.resize(shape.size(), 0);
    if (!x.shape().empty()) {
      const Dims strides = strides_of(x.shape());
      for (std::size_t i = 0; i < shape.size(); ++i) steps_[i] = x.shape()[i] == 1 ? 0 : strides[i];
    }
    constant_ = std::all_of(steps_.begin(), steps_.end(), [](auto s) { return s == 0; });
    index_.resize(shape.size(), 0);
  }
  void read(Word* to, int n) {
    if (dense_) {
      std::copy(x_, x_ + n, to);
      x_ += n;
    } else if (constant_) {
      std::fill(to, to + n, *x_);
    } else {
      for (int i = 0; i < n; ++i) {
        to[i] = x_[at_];
        for (std::size_t d = shape_.size(); d-- > 0;) {
          at_ += steps_[d];
          if (++index_[d] < shape_[d]) break;
          at_ -= steps_[d] * shape_[d];
          index_[d] = 0;
        }
      }
    }
  }

 private:
  const Word* x_;
  bool dense_, constant_ = false;
  const Shape& shape_;
  Dims steps_, index_;
  std::int64_t at_ = 0;
};

void threefry_kernel(Args x, Params, Array* y) {
  const Shape& shape = y[0].shape();
  const std::int64_t size = y[0].size();
  Reader k0(x[0], shape), k1(x[1], shape), x0(x[2], shape), x1(x[3], shape);
  Word *y0 = y[0].data<Word>(), *y1 = y[1].data<Word>();
  for (std::int64_t i = 0; i < size; i += kBlock) {
    const int n = int(std::min<std::int64_t>(kBlock, size - i));
    Word key0[kBlock], key1[kBlock], word0[kBlock], word1[kBlock];
    k0.read(key0, n);
    k1.read(key1, n);
    x0.read(word0, n);
    x1.read(word1, n);
    encrypt(key0, key1, word0, word1, n);
    std::copy(word0, word0 + n, y0 + i);
    std::copy(word1, word1 + n, y1 + i);
  }
}

}  // namespace

void install_random_kernels() { install<threefry_kernel>(threefry2x32_p); }

}  // namespace jaxpp::internal
