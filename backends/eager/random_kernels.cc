// random_kernels.cc -- threefry2x32: 20 rounds of add, rotate, xor on two words, the key added every four rounds.
//
// Blocks of counters of one fixed size go through the rounds together, so that the compiler makes vector code of every
// step; the last block may be filled with anything.
#include <algorithm>
#include "backends/eager/kernels.h"

namespace jaxpp::internal {
namespace {

constexpr int kBlock = 64;
using Word = std::uint32_t;
struct Block {
  Word key[3][kBlock], x[2][kBlock];
};

template <int Rotation>
void round(Block& b) {
  for (int i = 0; i < kBlock; ++i) {
    b.x[0][i] += b.x[1][i];
    b.x[1][i] = (b.x[1][i] << Rotation | b.x[1][i] >> (32 - Rotation)) ^ b.x[0][i];
  }
}
template <Word Group>
void add_key(Block& b) {
  for (int i = 0; i < kBlock; ++i) {
    b.x[0][i] += b.key[Group % 3][i];
    b.x[1][i] += b.key[(Group + 1) % 3][i] + Group;
  }
}
void encrypt(Block& b) {
  for (int i = 0; i < kBlock; ++i) b.key[2][i] = b.key[0][i] ^ b.key[1][i] ^ 0x1BD11BDAu;
  auto even = [&] { round<13>(b), round<15>(b), round<26>(b), round<6>(b); };
  auto odd = [&] { round<17>(b), round<29>(b), round<16>(b), round<24>(b); };
  add_key<0>(b);
  even(), add_key<1>(b);
  odd(), add_key<2>(b);
  even(), add_key<3>(b);
  odd(), add_key<4>(b);
  even(), add_key<5>(b);
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
  Block b = {};
  for (std::int64_t i = 0; i < size; i += kBlock) {
    const int n = int(std::min<std::int64_t>(kBlock, size - i));
    k0.read(b.key[0], n);
    k1.read(b.key[1], n);
    x0.read(b.x[0], n);
    x1.read(b.x[1], n);
    encrypt(b);
    std::copy(b.x[0], b.x[0] + n, y0 + i);
    std::copy(b.x[1], b.x[1] + n, y1 + i);
  }
}

}  // namespace

void install_random_kernels() { install<threefry_kernel>(threefry2x32_p); }

}  // namespace jaxpp::internal
