// handwritten.cc -- inputs, and the derivatives in plain loops.
#include "benchmarks/cpp/handwritten.h"

#include <algorithm>
#include <cmath>

namespace cpp {
using std::cos;
using std::exp;
using std::log;
using std::sin;
using std::sqrt;
using std::tanh;

namespace {
struct Generator {
  std::uint64_t state;
  explicit Generator(std::uint64_t seed) : state(seed * 2654435769u + 88172645463325252ull) {}
  double uniform() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return double(state >> 11) * 0x1p-53;
  }
  double normal() {
    double t = 0;
    for (int i = 0; i < 12; ++i) t += uniform();
    return t - 6;
  }
};
}  // namespace

Vec normals(std::size_t n, std::uint64_t seed, double scale) {
  Generator g(seed);
  Vec v(n);
  for (double& e : v) e = scale * g.normal();
  return v;
}

Gmm::Gmm(int dimensions, int components, int points) : d(dimensions), k(components), n(points) {
  parameters = normals(std::size_t(k) * std::size_t(1 + d + icf_size()), 11, 0.5);
  x = normals(std::size_t(n) * std::size_t(d), 12);
}

BundleAdjustment::BundleAdjustment(int number_of_cameras, int number_of_points, int number)
    : cameras(number_of_cameras), points(number_of_points), observations(number) {
  Generator g(21);
  for (int i = 0; i < cameras; ++i) {
    double c[11];
    for (int j = 0; j < 3; ++j) {
      c[j] = 0.3 + 0.1 * g.uniform();
      c[3 + j] = 0.1 * g.normal();
    }
    c[6] = 400 + 10 * g.uniform();
    c[7] = 0.1;
    c[8] = 0.2;
    c[9] = 1e-3 * g.uniform();
    c[10] = 1e-5 * g.uniform();
    camera.insert(camera.end(), c, c + 11);
  }
  for (int i = 0; i < points; ++i) {
    const double x = g.normal(), y = g.normal(), z = 8 + g.uniform();
    point.insert(point.end(), {x, y, z});
  }
  for (int i = 0; i < observations; ++i) {
    weight.push_back(g.uniform());
    const double u = 50 * g.normal(), v = 50 * g.normal();
    seen.insert(seen.end(), {u, v});
    camera_of.push_back(i % cameras);
    point_of.push_back(i % points);
  }
}

LstmInput::LstmInput(int number_of_layers, int number_of_steps, int cells)
    : layers(number_of_layers), steps(number_of_steps), width(cells) {
  const auto l = std::size_t(layers), b = std::size_t(width);
  parameters = normals((8 * l + 3) * b, 31, 0.3);
  state = normals(2 * l * b, 32, 0.3);
  sequence.resize(std::size_t(steps) * b);
  Generator g(33);
  for (double& e : sequence) e = g.uniform() < 0.5 ? 0 : 1;
}

namespace {

void lorenz_rhs(const double* p, const double* s, double* d) {
  d[0] = p[0] * (s[1] - s[0]);
  d[1] = s[0] * (p[1] - s[2]) - s[1];
  d[2] = s[0] * s[1] - p[2] * s[2];
}
double logsumexp(int n, const double* v) {
  double m = v[0], s = 0;
  for (int i = 1; i < n; ++i) m = std::max(m, v[i]);
  for (int i = 0; i < n; ++i) s += exp(v[i] - m);
  return m + log(s);
}
void sumexp_grad(std::size_t n, const double* x, double* g) {
  for (std::size_t i = 0; i < n; ++i)
    g[i] = exp(-x[i] * x[i]) * (cos(x[i]) - 2 * x[i] * sin(x[i])) + 0.2 * x[i];
}
void rosen_hess(std::size_t n, const double* x, double* H) {  // dense n*n
  std::fill(H, H + n * n, 0.0);
  for (std::size_t i = 0; i + 1 < n; ++i) {
    H[i * n + i] += 1200 * x[i] * x[i] - 400 * x[i + 1] + 2;
    H[(i + 1) * n + i + 1] += 200;
    H[i * n + i + 1] = H[(i + 1) * n + i] = -400 * x[i];
  }
}
void lorenz_grad(std::size_t steps, const double* p, double* g, std::vector<double>& tape) {
  const double h = 1e-3;
  tape.resize(3 * steps);
  double s[3] = {p[3], p[4], p[5]}, k1[3], k2[3], k3[3], k4[3], t2[3], t3[3], t4[3];
  auto stages = [&](const double* z) {
    lorenz_rhs(p, z, k1);
    for (int j = 0; j < 3; ++j) t2[j] = z[j] + 0.5 * h * k1[j];
    lorenz_rhs(p, t2, k2);
    for (int j = 0; j < 3; ++j) t3[j] = z[j] + 0.5 * h * k2[j];
    lorenz_rhs(p, t3, k3);
    for (int j = 0; j < 3; ++j) t4[j] = z[j] + h * k3[j];
  };
  for (std::size_t i = 0; i < steps; ++i) {
    for (int j = 0; j < 3; ++j) tape[3 * i + j] = s[j];
    stages(s);
    lorenz_rhs(p, t4, k4);
    for (int j = 0; j < 3; ++j) s[j] += (h / 6) * (k1[j] + 2 * k2[j] + 2 * k3[j] + k4[j]);
  }
  double a[3] = {2 * s[0], 2 * s[1], 2 * s[2]}, P[3] = {0, 0, 0};
  auto vjp = [&](const double* z, const double* kb, double* sb) {
    P[0] += kb[0] * (z[1] - z[0]);
    P[1] += kb[1] * z[0];
    P[2] -= kb[2] * z[2];
    sb[0] = -p[0] * kb[0] + (p[1] - z[2]) * kb[1] + z[1] * kb[2];
    sb[1] = p[0] * kb[0] - kb[1] + z[0] * kb[2];
    sb[2] = -z[0] * kb[1] - p[2] * kb[2];
  };
  for (std::size_t i = steps; i-- > 0;) {
    const double* at = &tape[3 * i];
    stages(at);
    double kb[3], b4[3], b3[3], b2[3], b1[3];
    for (int j = 0; j < 3; ++j) kb[j] = h / 6 * a[j];
    vjp(t4, kb, b4);
    for (int j = 0; j < 3; ++j) kb[j] = h / 3 * a[j] + h * b4[j];
    vjp(t3, kb, b3);
    for (int j = 0; j < 3; ++j) kb[j] = h / 3 * a[j] + 0.5 * h * b3[j];
    vjp(t2, kb, b2);
    for (int j = 0; j < 3; ++j) kb[j] = h / 6 * a[j] + 0.5 * h * b2[j];
    vjp(at, kb, b1);
    for (int j = 0; j < 3; ++j) a[j] += b1[j] + b2[j] + b3[j] + b4[j];
  }
  for (int j = 0; j < 3; ++j) {
    g[j] = P[j];
    g[3 + j] = a[j];
  }
}
void sincos2_grad(double a, double b, double* g) {
  g[0] = cos(a) * cos(b) + 0.2 * a;
  g[1] = -sin(a) * sin(b) + 0.2 * b;
}
void gmm_grad(const Gmm& in, const double* par, double* g) {
  const int d = in.d, K = in.k, N = in.n, nl = d * (d + 1) / 2;
  const double *al = par, *mu = par + K, *icf = mu + K * d;
  double *ga = g, *gm = g + K, *gi = gm + K * d;
  std::fill(g, g + in.parameters.size(), 0.0);
  std::vector<double> qd(K * d), sq(K), XC(K * d), Q(K * d), t(K), dx(d);
  for (int k = 0; k < K; ++k) {
    sq[k] = 0;
    for (int i = 0; i < d; ++i) {
      sq[k] += icf[k * nl + i];
      qd[k * d + i] = exp(icf[k * nl + i]);
    }
  }
  for (int n = 0; n < N; ++n) {
    for (int k = 0; k < K; ++k) {
      double *xc = &XC[k * d], *q = &Q[k * d];
      for (int i = 0; i < d; ++i) {
        xc[i] = in.x[n * d + i] - mu[k * d + i];
        q[i] = qd[k * d + i] * xc[i];
      }
      const double* L = icf + k * nl + d;
      for (int j = 0; j < d; ++j)
        for (int i = j + 1; i < d; ++i) q[i] += *L++ * xc[j];
      double s = 0;
      for (int i = 0; i < d; ++i) s += q[i] * q[i];
      t[k] = al[k] + sq[k] - 0.5 * s;
    }
    double m = t[0];
    for (int k = 1; k < K; ++k) m = t[k] > m ? t[k] : m;
    double s = 0;
    for (int k = 0; k < K; ++k) s += (t[k] = exp(t[k] - m));
    for (int k = 0; k < K; ++k) {
      double w = t[k] / s;
      ga[k] += w;
      const double *xc = &XC[k * d], *q = &Q[k * d];
      const double* L = icf + k * nl + d;
      double* gL = gi + k * nl + d;
      for (int i = 0; i < d; ++i) {
        gi[k * nl + i] += w * (1 - q[i] * xc[i] * qd[k * d + i]);
        dx[i] = w * q[i] * qd[k * d + i];
      }
      for (int j = 0; j < d; ++j) {
        double wx = w * xc[j], acc = 0;
        for (int i = j + 1; i < d; ++i) {
          *gL++ -= q[i] * wx;
          acc += *L++ * q[i];
        }
        dx[j] += w * acc;
      }
      for (int i = 0; i < d; ++i) gm[k * d + i] += dx[i];
    }
  }
  double lse = logsumexp(K, al), s = 0;
  for (int k = 0; k < K; ++k) s += exp(al[k] - lse);
  for (int k = 0; k < K; ++k) ga[k] -= N * exp(al[k] - lse) / s;
  for (int k = 0; k < K; ++k) {
    for (int i = 0; i < d; ++i) gi[k * nl + i] += qd[k * d + i] * qd[k * d + i];
    for (int i = d; i < nl; ++i) gi[k * nl + i] += icf[k * nl + i];
  }
}
// J: 2 rows of 15 (cam 11, X 3, w 1)
void ba_jac(const double* c, const double* X, double wt, const double* feat, double* err,
            double* J) {
  double d[3] = {X[0] - c[3], X[1] - c[4], X[2] - c[5]};
  double th = sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]), it = 1 / th, co = cos(th),
         si = sin(th), oc = 1 - co;
  double w[3] = {c[0] * it, c[1] * it, c[2] * it};
  double cr[3] = {w[1] * d[2] - w[2] * d[1], w[2] * d[0] - w[0] * d[2], w[0] * d[1] - w[1] * d[0]};
  double wd = w[0] * d[0] + w[1] * d[1] + w[2] * d[2], r[3];
  for (int i = 0; i < 3; ++i) r[i] = d[i] * co + cr[i] * si + w[i] * wd * oc;
  double R[9] = {
      co + oc * w[0] * w[0],        oc * w[0] * w[1] - si * w[2], oc * w[0] * w[2] + si * w[1],
      oc * w[1] * w[0] + si * w[2], co + oc * w[1] * w[1],        oc * w[1] * w[2] - si * w[0],
      oc * w[2] * w[0] - si * w[1], oc * w[2] * w[1] + si * w[0], co + oc * w[2] * w[2]};
  double M[9] = {
      oc * (wd + w[0] * d[0]),       si * d[2] + oc * w[0] * d[1],  -si * d[1] + oc * w[0] * d[2],
      -si * d[2] + oc * w[1] * d[0], oc * (wd + w[1] * d[1]),       si * d[0] + oc * w[1] * d[2],
      si * d[1] + oc * w[2] * d[0],  -si * d[0] + oc * w[2] * d[1], oc * (wd + w[2] * d[2])};
  double Dr[9];
  for (int i = 0; i < 3; ++i) {
    double dth = -d[i] * si + cr[i] * co + w[i] * wd * si;
    double mw = M[3 * i] * w[0] + M[3 * i + 1] * w[1] + M[3 * i + 2] * w[2];
    for (int j = 0; j < 3; ++j) Dr[3 * i + j] = dth * w[j] + (M[3 * i + j] - mw * w[j]) * it;
  }
  double iz = 1 / r[2], p[2] = {r[0] * iz, r[1] * iz}, q = p[0] * p[0] + p[1] * p[1];
  double L = 1 + c[9] * q + c[10] * q * q, e = 2 * c[9] + 4 * c[10] * q, f = c[6];
  double A[4] = {wt * f * (L + p[0] * e * p[0]), wt * f * p[0] * e * p[1], wt * f * p[1] * e * p[0],
                 wt * f * (L + p[1] * e * p[1])};
  for (int a = 0; a < 2; ++a) {
    double v[3] = {A[2 * a] * iz, A[2 * a + 1] * iz, -(A[2 * a] * p[0] + A[2 * a + 1] * p[1]) * iz};
    double* j = J + 15 * a;
    for (int k = 0; k < 3; ++k) {
      j[k] = v[0] * Dr[k] + v[1] * Dr[3 + k] + v[2] * Dr[6 + k];
      double dx = v[0] * R[k] + v[1] * R[3 + k] + v[2] * R[6 + k];
      j[11 + k] = dx;
      j[3 + k] = -dx;
    }
    j[6] = wt * p[a] * L;
    j[7] = a == 0 ? wt : 0;
    j[8] = a == 1 ? wt : 0;
    j[9] = wt * f * p[a] * q;
    j[10] = wt * f * p[a] * q * q;
    double pr = p[a] * L * f + c[7 + a] - feat[a];
    j[14] = pr;
    err[a] = wt * pr;
  }
}
void ba_jacs(const BundleAdjustment& in, double* J) {
  double e[2];
  for (int i = 0; i < in.observations; ++i)
    ba_jac(&in.camera[in.camera_of[i] * 11], &in.point[in.point_of[i] * 3], in.weight[i],
           &in.seen[2 * i], e, J + 30 * i);
}
void lstm_grad(const LstmInput& in, const double* par, double* g, std::vector<double>& tape) {
  const int l = in.layers, c = in.steps, b = in.width, T = c - 1;
  const double* ex = par + 8 * l * b;
  const std::size_t rec = std::size_t(l) * b * 7;  // f,in,o,ch,tanh(c),c_prev,h_prev
  tape.resize(T * (rec + b + b));                  // + last hidden + softmax numerators
  std::vector<double> st = in.state, x(b);
  for (int t = 0; t < T; ++t) {
    double* R = &tape[t * (rec + 2 * b)];
    for (int i = 0; i < b; ++i) x[i] = in.sequence[t * b + i] * ex[i];
    for (int k = 0; k < l; ++k) {
      const double *W = par + 8 * k * b, *B = W + 4 * b;
      double *h = &st[2 * k * b], *ce = h + b;
      double* r = R + 7 * k * b;
      for (int i = 0; i < b; ++i) {
        double f = 1 / (1 + exp(-(x[i] * W[i] + B[i]))),
               ig = 1 / (1 + exp(-(h[i] * W[b + i] + B[b + i])));
        double o = 1 / (1 + exp(-(x[i] * W[2 * b + i] + B[2 * b + i]))),
               ch = tanh(h[i] * W[3 * b + i] + B[3 * b + i]);
        r[5 * b + i] = ce[i];
        r[6 * b + i] = h[i];
        ce[i] = ce[i] * f + ig * ch;
        double tc = tanh(ce[i]);
        h[i] = o * tc;
        x[i] = h[i];
        r[i] = f;
        r[b + i] = ig;
        r[2 * b + i] = o;
        r[3 * b + i] = ch;
        r[4 * b + i] = tc;
      }
    }
    double s = 2;
    double* H = R + rec;
    double* E = H + b;
    for (int i = 0; i < b; ++i) {
      H[i] = x[i];
      E[i] = exp(x[i] * ex[b + i] + ex[2 * b + i]);
      s += E[i];
    }
    for (int i = 0; i < b; ++i) E[i] /= s;
  }
  const std::size_t np = in.parameters.size();
  std::fill(g, g + np, 0.0);
  double* gex = g + 8 * l * b;
  std::vector<double> sb(2 * l * b, 0.0), xb(b);
  const double sc = -1.0 / (double(T) * b);
  for (int t = T; t-- > 0;) {
    const double* R = &tape[t * (rec + 2 * b)];
    const double *H = R + rec, *E = H + b;
    double ys = 0;
    for (int i = 0; i < b; ++i) ys += in.sequence[(t + 1) * b + i];
    for (int i = 0; i < b; ++i) {
      double y = sc * (in.sequence[(t + 1) * b + i] - ys * E[i]);
      gex[b + i] += y * H[i];
      gex[2 * b + i] += y;
      xb[i] = y * ex[b + i];
    }
    for (int k = l; k-- > 0;) {
      const double* W = par + 8 * k * b;
      double* G = g + 8 * k * b;
      const double* r = R + 7 * k * b;
      double *hb = &sb[2 * k * b], *cb = hb + b;
      for (int i = 0; i < b; ++i) {
        double f = r[i], ig = r[b + i], o = r[2 * b + i], ch = r[3 * b + i], tc = r[4 * b + i],
               cp = r[5 * b + i], hp = r[6 * b + i];
        double xin =
            k ? (r - 7 * b)[2 * b + i] * (r - 7 * b)[4 * b + i] : in.sequence[t * b + i] * ex[i];
        double h = hb[i] + xb[i], c1 = cb[i] + h * o * (1 - tc * tc);
        double ao = h * tc * o * (1 - o), af = c1 * cp * f * (1 - f), ai = c1 * ch * ig * (1 - ig),
               ac = c1 * ig * (1 - ch * ch);
        G[i] += af * xin;
        G[b + i] += ai * hp;
        G[2 * b + i] += ao * xin;
        G[3 * b + i] += ac * hp;
        G[4 * b + i] += af;
        G[5 * b + i] += ai;
        G[6 * b + i] += ao;
        G[7 * b + i] += ac;
        cb[i] = c1 * f;
        hb[i] = ai * W[b + i] + ac * W[3 * b + i];
        xb[i] = af * W[i] + ao * W[2 * b + i];
      }
    }
    for (int i = 0; i < b; ++i) gex[i] += xb[i] * in.sequence[t * b + i];
  }
}

}  // namespace

Curves::Curves(int n) : sets(n) {
  const double a = 238.94, b = 5.5e-4;
  for (int i = 0; i < 14; ++i) x.push_back(77.6 + 52.5 * i);
  const Vec noise = normals(std::size_t(sets) * x.size(), 7, 0.1);
  for (int s = 0; s < sets; ++s)
    for (std::size_t i = 0; i < x.size(); ++i)
      y.push_back(a * (1 - exp(-b * x[i])) + noise[std::size_t(s) * x.size() + i]);
}
namespace {
/// The normal equations of one set at p: J^T J (three numbers), J^T r, and the cost.
struct Normal {
  double aa = 0, ab = 0, bb = 0, ga = 0, gb = 0, cost = 0;
  Normal(const Vec& x, const double* y, double a, double b) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double e = exp(-b * x[i]), da = 1 - e, db = a * x[i] * e, r = a * da - y[i];
      aa += da * da;
      ab += da * db;
      bb += db * db;
      ga += da * r;
      gb += db * r;
      cost += 0.5 * r * r;
    }
  }
};
/// The steps of jaxpp::optimize::least_squares, and where it stops.
void fit_curve(const Vec& x, const double* y, const double* start, double* fit) {
  double a = start[0], b = start[1], damping = 1e-3, growth = 2;
  Normal at(x, y, a, b);
  double da = at.aa, db = at.bb;
  for (int k = 0; k < 200; ++k) {
    const double maa = at.aa + damping * da, mbb = at.bb + damping * db;
    const double det = maa * mbb - at.ab * at.ab;
    const double ha = -(mbb * at.ga - at.ab * at.gb) / det,
                 hb = -(maa * at.gb - at.ab * at.ga) / det;
    const Normal next(x, y, a + ha, b + hb);
    const double promised = -(at.ga * ha + at.gb * hb) -
                            0.5 * (at.aa * ha * ha + 2 * at.ab * ha * hb + at.bb * hb * hb);
    const double fall = at.cost - next.cost, noise = 3.7e-11 * at.cost;
    const double ratio = promised <= noise && fall >= -noise ? 1 : fall / promised;
    if (promised > 0 && ratio > 1e-3) {
      a += ha;
      b += hb;
      at = next;
      da = std::max(da, at.aa);
      db = std::max(db, at.bb);
      const double t = 2 * ratio - 1;
      damping *= std::max(1. / 3, 1 - t * t * t);
      growth = 2;
    } else {
      damping *= growth;
      growth *= 2;
    }
    const double step = sqrt(da * ha * ha + db * hb * hb), size = sqrt(da * a * a + db * b * b);
    if (step <= 1e-12 * size) break;
  }
  fit[0] = a;
  fit[1] = b;
}
void fit_curves(const Curves& in, Vec& fits) {
  for (int s = 0; s < in.sets; ++s)
    fit_curve(in.x, in.y.data() + std::size_t(s) * in.x.size(), in.start, fits.data() + 2 * s);
}
}  // namespace

const Derivatives scalar = {
    .name = "scalar",
    .sumexp = [](const Vec& x, Vec& g) { sumexp_grad(x.size(), x.data(), g.data()); },
    .rosenbrock_hessian = [](const Vec& x, Vec& h) { rosen_hess(x.size(), x.data(), h.data()); },
    .lorenz =
        [](int steps, const Vec& p, Vec& g) {
          static Vec tape;
          lorenz_grad(std::size_t(steps), p.data(), g.data(), tape);
        },
    .sincos2 = sincos2_grad,
    .gmm = [](const Gmm& in, Vec& g) { gmm_grad(in, in.parameters.data(), g.data()); },
    .bundle = [](const BundleAdjustment& in, Vec& j) { ba_jacs(in, j.data()); },
    .lstm =
        [](const LstmInput& in, Vec& g) {
          static Vec tape;
          lstm_grad(in, in.parameters.data(), g.data(), tape);
        },
    .curves = fit_curves,
};

}  // namespace cpp
