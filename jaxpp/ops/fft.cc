// fft.cc -- discrete Fourier transforms over the last dimensions: complex, of real arrays (half the spectrum), and back.
//
//   FFT: y[k] = sum over j of x[j] exp(-2 pi i j k / n);   IFFT: its inverse, scaled by 1/n
//   RFFT: the first n/2 + 1 elements of the FFT of a real array along the last dimension;   IRFFT: its inverse
//
// Linear.  FFT and IFFT are symmetric matrices, hence their own transposes; those of RFFT and IRFFT follow from the rows
// they keep, and from the pairs k and n - k that IRFFT takes its missing half from.
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace {
using namespace internal;
using std::to_string;

bool of_real(FftType t) { return t == FftType::RFFT; }
bool to_real(FftType t) { return t == FftType::IRFFT; }
const char* name_of(FftType t) { return enum_names(t)[std::size_t(t)]; }

void fft_shape(Types x, Params params, Type* y) {
  const auto& p = params.as<FftParams>();
  const char* op = "fft";
  const std::size_t rank = x[0]->shape.size(), n = p.fft_lengths.size();
  const DType d = x[0]->dtype;
  const bool fits = of_real(p.fft_type) ? d == DType::f32 || d == DType::f64 : is_complex(d);
  check(fits, op, [&] {
    return std::string(name_of(p.fft_type)) + " needs elements of " +
           (of_real(p.fft_type) ? "f32 or f64" : "c64 or c128") + ", not " + x[0]->str() + ".";
  });
  check(n >= 1 && n <= rank, op, [&] {
    return to_string(n) + " lengths for " + x[0]->str() + ": one for each of its last dimensions.";
  });
  Shape s = x[0]->shape;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t length = p.fft_lengths[i];
    std::int64_t& size = s[rank - n + i];
    const bool last = i + 1 == n;
    const std::int64_t want = last && to_real(p.fft_type) ? length / 2 + 1 : length;
    check(length >= (last && (of_real(p.fft_type) || to_real(p.fft_type)) ? 1 : 0) && size == want,
          op, [&] {
            return std::string(name_of(p.fft_type)) + " of lengths " + to_string(p.fft_lengths) +
                   " does not fit " + x[0]->str() + ".";
          });
    if (last && of_real(p.fft_type)) size = length / 2 + 1;
    if (last && to_real(p.fft_type)) size = length;
  }
  *y = make_type(of_real(p.fft_type) ? complex_of(d) : to_real(p.fft_type) ? real_of(d) : d, s);
}
void fft_transpose(TransposeRule& r) {
  const auto& p = r.params.as<FftParams>();
  const Array& ct = r.ct[0];
  const std::int64_t n = p.fft_lengths.back(), last = ct.ndim() - 1;
  switch (p.fft_type) {
    case FftType::FFT:
    case FftType::IFFT: return r.add(0, lax::fft(ct, p.fft_type, p.fft_lengths));
    case FftType::RFFT: {  // zeros for the rows left out, FFT, and the real inputs' part
      std::vector<Dims> padding(std::size_t(last + 1), Dims{0, 0, 0});
      padding.back() = {0, n - ct.shape().back(), 0};
      const Array whole = lax::pad(ct, lax::full(scalar_type(ct.dtype()), 0), padding);
      return r.add(0, lax::real(lax::fft(whole, FftType::FFT, p.fft_lengths)));
    }
    case FftType::IRFFT: {  // elements that also stand for their mirror image count twice
      const Array x = lax::fft(ct, FftType::RFFT, p.fft_lengths);
      const Array k = lax::iota(i32, x.shape(), last);
      const Array twice = lax::select(
          lax::ne(lax::rem(lax::mul(k, lax::full_like(k, 2)), lax::full_like(k, double(n))),
                  lax::zeros_like(k)),
          lax::full_like(x, 2), lax::full_like(x, 1));
      double count = 1;
      for (auto length : p.fft_lengths) count *= double(length);
      return r.add(0, lax::conj(lax::mul(lax::mul(x, twice), lax::full_like(x, 1 / count))));
    }
  }
}
void fft_batch(BatchRule& r) {
  *r.y = r.prim.apply(r.params, Loc::current(), lax::move_axis(r.x[0], r.axis[0], 0));
  *r.y_axis = 0;
}
}  // namespace

const Primitive fft_p = {.name = "fft",
                         .operands = {1, 1},
                         .shape = fft_shape,
                         .jvp = linear_jvp,
                         .transpose = fft_transpose,
                         .batch = fft_batch,
                         .params = &params_ops<FftParams>};

Array lax::fft(const Array& x, FftType type, const Dims& fft_lengths, Loc loc) {
  return fft_p.apply(FftParams{fft_lengths, type}, loc, x);
}

}  // namespace jaxpp
