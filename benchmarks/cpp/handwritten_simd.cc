// handwritten_simd.cc -- the same derivatives with eight samples in the lanes of one register.  The limit for a compiler
// that maps vmap to lanes and has vector mathematics.  Needs AVX-512, and glibc's libmvec (2.35).
#include <algorithm>
#include <cmath>

#include "benchmarks/cpp/handwritten.h"

#if defined(__AVX512F__) && defined(__GLIBC__) && defined(JAXPP_HAVE_LIBMVEC)
typedef double V __attribute__((vector_size(64)));
extern "C" {
V _ZGVeN8v_exp(V);
V _ZGVeN8v_sin(V);
V _ZGVeN8v_cos(V);
V _ZGVeN8v_log(V);
V _ZGVeN8v_tanh(V);
}

namespace cpp {
namespace {
inline V vexp(V a) { return _ZGVeN8v_exp(a); }
inline V vsin(V a) { return _ZGVeN8v_sin(a); }
inline V vcos(V a) { return _ZGVeN8v_cos(a); }
inline V vlog(V a) { return _ZGVeN8v_log(a); }
inline V vtanh(V a) { return _ZGVeN8v_tanh(a); }
inline V ld(const double* p) {
  V v;
  __builtin_memcpy(&v, p, 64);
  return v;
}
inline void st(double* p, V v) { __builtin_memcpy(p, &v, 64); }
inline V vsqrt(V a) {
  V r;
  for (int i = 0; i < 8; ++i) r[i] = __builtin_sqrt(a[i]);
  return r;
}
inline double hsum(V a) {
  double s = 0;
  for (int i = 0; i < 8; ++i) s += a[i];
  return s;
}
void sumexp(const Vec& x, Vec& g) {
  std::size_t n = x.size(), i = 0;
  for (; i + 8 <= n; i += 8) {
    V a = ld(&x[i]);
    st(&g[i], vexp(-a * a) * (vcos(a) - 2 * a * vsin(a)) + 0.2 * a);
  }
  for (; i < n; ++i)
    g[i] = std::exp(-x[i] * x[i]) * (std::cos(x[i]) - 2 * x[i] * std::sin(x[i])) + 0.2 * x[i];
}
double logsumexp(int n, const double* v) {
  double m = v[0], s = 0;
  for (int i = 1; i < n; ++i) m = std::max(m, v[i]);
  for (int i = 0; i < n; ++i) s += std::exp(v[i] - m);
  return m + std::log(s);
}
void gmm(const Gmm& in, Vec& g) {  // N divisible by 8
  const int d = in.d, K = in.k, N = in.n, nl = d * (d + 1) / 2;
  const double *al = in.parameters.data(), *mu = al + K, *icf = mu + K * d;
  std::vector<V> G(in.parameters.size(), V{}), XC(K * d), Q(K * d), t(K), dx(d), x(d);
  std::vector<double> qd(K * d), sq(K);
  V *ga = G.data(), *gm = ga + K, *gi = gm + K * d;
  for (int k = 0; k < K; ++k) {
    sq[k] = 0;
    for (int i = 0; i < d; ++i) {
      sq[k] += icf[k * nl + i];
      qd[k * d + i] = std::exp(icf[k * nl + i]);
    }
  }
  for (int n = 0; n < N; n += 8) {
    for (int j = 0; j < d; ++j)
      for (int l = 0; l < 8; ++l) x[j][l] = in.x[(n + l) * d + j];
    V m = V{} - 1e300;
    for (int k = 0; k < K; ++k) {
      V *xc = &XC[k * d], *q = &Q[k * d];
      const double* L = icf + k * nl + d;
      for (int i = 0; i < d; ++i) {
        xc[i] = x[i] - mu[k * d + i];
        q[i] = qd[k * d + i] * xc[i];
      }
      for (int j = 0; j < d; ++j)
        for (int i = j + 1; i < d; ++i) q[i] += *L++ * xc[j];
      V s = {};
      for (int i = 0; i < d; ++i) s += q[i] * q[i];
      t[k] = al[k] + sq[k] - 0.5 * s;
      m = t[k] > m ? t[k] : m;
    }
    V s = {};
    for (int k = 0; k < K; ++k) s += (t[k] = vexp(t[k] - m));
    V is = 1.0 / s;
    for (int k = 0; k < K; ++k) {
      V w = t[k] * is;
      ga[k] += w;
      const V *xc = &XC[k * d], *q = &Q[k * d];
      const double* L = icf + k * nl + d;
      V* gL = gi + k * nl + d;
      for (int i = 0; i < d; ++i) {
        dx[i] = w * q[i] * qd[k * d + i];
        gi[k * nl + i] += w - dx[i] * xc[i];
      }
      for (int j = 0; j < d; ++j) {
        V wx = w * xc[j], a = {};
        for (int i = j + 1; i < d; ++i) {
          *gL++ -= q[i] * wx;
          a += *L++ * q[i];
        }
        dx[j] += w * a;
      }
      for (int i = 0; i < d; ++i) gm[k * d + i] += dx[i];
    }
  }
  for (std::size_t i = 0; i < in.parameters.size(); ++i) g[i] = hsum(G[i]);
  double lse = logsumexp(K, al), s = 0;
  for (int k = 0; k < K; ++k) s += std::exp(al[k] - lse);
  for (int k = 0; k < K; ++k) g[k] -= N * std::exp(al[k] - lse) / s;
  double* r = g.data() + K + K * d;
  for (int k = 0; k < K; ++k) {
    for (int i = 0; i < d; ++i) r[k * nl + i] += qd[k * d + i] * qd[k * d + i];
    for (int i = d; i < nl; ++i) r[k * nl + i] += icf[k * nl + i];
  }
}
void ba8(const V* c, const V* X, V wt, const V* ft, V* J) {
  V d[3] = {X[0] - c[3], X[1] - c[4], X[2] - c[5]},
    th = vsqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]), it = 1.0 / th, co = vcos(th),
    si = vsin(th), oc = 1.0 - co;
  V w[3] = {c[0] * it, c[1] * it, c[2] * it},
    cr[3] = {w[1] * d[2] - w[2] * d[1], w[2] * d[0] - w[0] * d[2], w[0] * d[1] - w[1] * d[0]};
  V wd = w[0] * d[0] + w[1] * d[1] + w[2] * d[2], r[3];
  for (int i = 0; i < 3; ++i) r[i] = d[i] * co + cr[i] * si + w[i] * wd * oc;
  V R[9] = {
      co + oc * w[0] * w[0],        oc * w[0] * w[1] - si * w[2], oc * w[0] * w[2] + si * w[1],
      oc * w[1] * w[0] + si * w[2], co + oc * w[1] * w[1],        oc * w[1] * w[2] - si * w[0],
      oc * w[2] * w[0] - si * w[1], oc * w[2] * w[1] + si * w[0], co + oc * w[2] * w[2]};
  V M[9] = {oc * (wd + w[0] * d[0]),       si * d[2] + oc * w[0] * d[1],
            -si * d[1] + oc * w[0] * d[2], -si * d[2] + oc * w[1] * d[0],
            oc * (wd + w[1] * d[1]),       si * d[0] + oc * w[1] * d[2],
            si * d[1] + oc * w[2] * d[0],  -si * d[0] + oc * w[2] * d[1],
            oc * (wd + w[2] * d[2])},
    D[9];
  for (int i = 0; i < 3; ++i) {
    V dt = -d[i] * si + cr[i] * co + w[i] * wd * si,
      mw = M[3 * i] * w[0] + M[3 * i + 1] * w[1] + M[3 * i + 2] * w[2];
    for (int j = 0; j < 3; ++j) D[3 * i + j] = dt * w[j] + (M[3 * i + j] - mw * w[j]) * it;
  }
  V iz = 1.0 / r[2], p[2] = {r[0] * iz, r[1] * iz}, q = p[0] * p[0] + p[1] * p[1],
    L = 1.0 + c[9] * q + c[10] * q * q, e = 2.0 * c[9] + 4.0 * c[10] * q, f = c[6], wf = wt * f;
  for (int a = 0; a < 2; ++a) {
    V A0 = wf * (p[a] * e * p[0] + (a == 0 ? L : V{})),
      A1 = wf * (p[a] * e * p[1] + (a == 1 ? L : V{})),
      v[3] = {A0 * iz, A1 * iz, -(A0 * p[0] + A1 * p[1]) * iz};
    V* j = J + 15 * a;
    for (int k = 0; k < 3; ++k) {
      j[k] = v[0] * D[k] + v[1] * D[3 + k] + v[2] * D[6 + k];
      V x = v[0] * R[k] + v[1] * R[3 + k] + v[2] * R[6 + k];
      j[11 + k] = x;
      j[3 + k] = -x;
    }
    j[6] = wt * p[a] * L;
    j[7] = a == 0 ? wt : V{};
    j[8] = a == 1 ? wt : V{};
    j[9] = wf * p[a] * q;
    j[10] = j[9] * q;
    j[14] = p[a] * L * f + c[7 + a] - ft[a];
  }
}
void ba(const BundleAdjustment& in, Vec& J) {
  V c[11], X[3], w = {}, ft[2], j[30];
  for (int o = 0; o < in.observations; o += 8) {
    int m = std::min(8, in.observations - o);
    for (int l = 0; l < 8; ++l) {
      int s = o + std::min(l, m - 1);
      const double *pc = &in.camera[in.camera_of[s] * 11], *px = &in.point[in.point_of[s] * 3];
      for (int i = 0; i < 11; ++i) c[i][l] = pc[i];
      for (int i = 0; i < 3; ++i) X[i][l] = px[i];
      w[l] = in.weight[s];
      ft[0][l] = in.seen[2 * s];
      ft[1][l] = in.seen[2 * s + 1];
    }
    ba8(c, X, w, ft, j);
    for (int l = 0; l < m; ++l) {
      double* r = &J[30 * std::size_t(o + l)];
      for (int i = 0; i < 30; ++i) r[i] = j[i][l];
    }
  }
}
// LSTM: b = 14 padded to two registers
void lstm(const LstmInput& in, Vec& g) {
  const int l = in.layers, c = in.steps, b = in.width, T = c - 1;
  static std::vector<V> tape;
  tape.resize(std::size_t(T) * (l * 14 + 2));
  auto load = [&](const double* p, int h) {
    V v = {};
    for (int i = 0; i < 8 && 8 * h + i < b; ++i) v[i] = p[8 * h + i];
    return v;
  };
  std::vector<V> W(l * 16), S(l * 4), E(6), gW(l * 16, V{}), gE(6, V{}), sb(l * 4, V{}),
      sq(std::size_t(c) * 2);
  for (int k = 0; k < l; ++k)
    for (int q = 0; q < 8; ++q)
      for (int h = 0; h < 2; ++h) W[(k * 8 + q) * 2 + h] = load(&in.parameters[(8 * k + q) * b], h);
  for (int k = 0; k < 2 * l; ++k)
    for (int h = 0; h < 2; ++h) S[2 * k + h] = load(&in.state[k * b], h);
  for (int k = 0; k < 3; ++k)
    for (int h = 0; h < 2; ++h) E[2 * k + h] = load(&in.parameters[8 * l * b + k * b], h);
  for (int t = 0; t < c; ++t)
    for (int h = 0; h < 2; ++h) sq[2 * t + h] = load(&in.sequence[t * b], h);
  V mask[2] = {V{} + 1, load(Vec(b, 1.0).data(), 1)};
  auto sg = [](V a) { return 1.0 / (1.0 + vexp(-a)); };
  for (int t = 0; t < T; ++t) {
    V* R = &tape[std::size_t(t) * (l * 14 + 2)];
    V e[2];
    double s = 2;
    for (int h = 0; h < 2; ++h) {
      V x = sq[2 * t + h] * E[h];
      for (int k = 0; k < l; ++k) {
        V *w = &W[k * 16 + h], *r = R + k * 14 + h, &hh = S[4 * k + h], &ce = S[4 * k + 2 + h];
        V f = sg(x * w[0] + w[8]), ig = sg(hh * w[2] + w[10]), o = sg(x * w[4] + w[12]),
          ch = vtanh(hh * w[6] + w[14]);
        r[10] = ce;
        r[12] = hh;
        ce = ce * f + ig * ch;
        V tc = vtanh(ce);
        hh = o * tc;
        x = hh;
        r[0] = f;
        r[2] = ig;
        r[4] = o;
        r[6] = ch;
        r[8] = tc;
      }
      e[h] = vexp(x * E[2 + h] + E[4 + h]) * mask[h];
      s += hsum(e[h]);
    }
    for (int h = 0; h < 2; ++h) R[l * 14 + h] = e[h] / s;
  }
  const double sc = -1.0 / (double(T) * b);
  for (int t = T; t-- > 0;) {
    const V* R = &tape[std::size_t(t) * (l * 14 + 2)];
    double ys = 0;
    for (int i = 0; i < b; ++i) ys += in.sequence[(t + 1) * b + i];
    for (int h = 0; h < 2; ++h) {
      const V* r1 = R + (l - 1) * 14 + h;
      V y = sc * (sq[2 * (t + 1) + h] - ys * R[l * 14 + h]);
      gE[2 + h] += y * r1[4] * r1[8];
      gE[4 + h] += y;
      V xb = y * E[2 + h];
      for (int k = l; k-- > 0;) {
        const V *w = &W[k * 16 + h], *r = R + k * 14 + h;
        V *G = &gW[k * 16 + h], &hb = sb[4 * k + h], &cb = sb[4 * k + 2 + h];
        V f = r[0], ig = r[2], o = r[4], ch = r[6], tc = r[8], cp = r[10], hp = r[12],
          xin = k ? r[-14 + 4] * r[-14 + 8] : sq[2 * t + h] * E[h];
        V H = hb + xb, c1 = cb + H * o * (1.0 - tc * tc), ao = H * tc * o * (1.0 - o),
          af = c1 * cp * f * (1.0 - f), ai = c1 * ch * ig * (1.0 - ig),
          ac = c1 * ig * (1.0 - ch * ch);
        G[0] += af * xin;
        G[2] += ai * hp;
        G[4] += ao * xin;
        G[6] += ac * hp;
        G[8] += af;
        G[10] += ai;
        G[12] += ao;
        G[14] += ac;
        cb = c1 * f;
        hb = ai * w[2] + ac * w[6];
        xb = af * w[0] + ao * w[4];
      }
      gE[h] += xb * sq[2 * t + h];
    }
  }
  for (int k = 0; k < l * 8; ++k)
    for (int i = 0; i < b; ++i) g[k * b + i] = gW[2 * k + i / 8][i % 8];
  for (int k = 0; k < 3; ++k)
    for (int i = 0; i < b; ++i) g[8 * l * b + k * b + i] = gE[2 * k + i / 8][i % 8];
}

const Derivatives eight_lanes = {.name = "simd",
                                 .sumexp = sumexp,
                                 .rosenbrock_hessian = nullptr,
                                 .lorenz = nullptr,
                                 .sincos2 = nullptr,
                                 .gmm = gmm,
                                 .bundle = ba,
                                 .lstm = lstm,
                                 .curves = nullptr};
}  // namespace
const Derivatives* simd() { return &eight_lanes; }
}  // namespace cpp
#else
const cpp::Derivatives* cpp::simd() { return nullptr; }
#endif
