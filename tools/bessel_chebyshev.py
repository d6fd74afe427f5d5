#!/usr/bin/env python3
"""Chebyshev coefficients of the scaled modified Bessel functions, for backends/eager/special_code.inc.

  tools/bessel_chebyshev.py

Needs mpmath.  e^-x I0(x) and e^-x I1(x) / x on [0, 8] in t = x / 4 - 1; sqrt(x) e^-x I0(x) and sqrt(x) e^-x I1(x) beyond 8 in
t = 16 / x - 1.  Highest first; the last one is already halved.  Coefficients below 2^-58 are dropped.
"""
from mpmath import besseli, cos, exp, mp, mpf, pi, sqrt

mp.prec = 200
POINTS = 60


def coefficients(f):
    nodes = [cos(pi * (k + mpf(1) / 2) / POINTS) for k in range(POINTS)]
    values = [f(t) for t in nodes]
    c = [2 * sum(v * cos(n * pi * (k + mpf(1) / 2) / POINTS) for k, v in enumerate(values)) / POINTS
         for n in range(POINTS)]
    c[0] /= 2
    while abs(c[-1]) < mpf(2) ** -58:
        c.pop()
    return c[::-1]


def far(n):
    def f(t):
        x = 16 / (t + 1) if t > -1 else mp.inf
        return sqrt(x) * exp(-x) * besseli(n, x)
    return f


def main():
    near = lambda t: 4 * (t + 1)
    for name, f in (("i0_near", lambda t: exp(-near(t)) * besseli(0, near(t))), ("i0_far", far(0)),
                    ("i1_near", lambda t: exp(-near(t)) * besseli(1, near(t)) / near(t)), ("i1_far", far(1))):
        c = coefficients(f)
        print(f"  static constexpr double {name}[] = {{{', '.join(float(v).hex() for v in c)}}};")


if __name__ == "__main__":
    main()
