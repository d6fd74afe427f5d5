#!/usr/bin/env python3
"""The polynomial behind erfcx in jaxpp/special.cc.

  tools/erfcx_polynomial.py

Needs mpmath.  (1 + 2 x) erfcx(x) for x >= 0 in t = (x - 4) / (x + 4), by its Chebyshev series, as powers of t, lowest first.
Terms of the series below 2^-58 are dropped.
"""
from mpmath import cos, erfc, exp, mp, mpf, pi, sqrt

mp.prec = 300
POINTS = 80


def f(t):
    if t == 1:
        return 2 / sqrt(pi)
    x = 4 * (1 + t) / (1 - t)
    if x > 300:  # the asymptotic series
        s, term, k = mpf(0), mpf(1), 0
        while abs(term) > mpf(2) ** -250 and k < 200:
            s += term
            k += 1
            term *= -(2 * k - 1) / (2 * x * x)
        return (1 + 2 * x) * s / (x * sqrt(pi))
    return (1 + 2 * x) * exp(x * x) * erfc(x)


def main():
    nodes = [cos(pi * (k + mpf(1) / 2) / POINTS) for k in range(POINTS)]
    values = [f(t) for t in nodes]
    c = [2 * sum(v * cos(n * pi * (k + mpf(1) / 2) / POINTS) for k, v in enumerate(values)) / POINTS
         for n in range(POINTS)]
    c[0] /= 2
    while abs(c[-1]) < mpf(2) ** -58:
        c.pop()
    powers = [mpf(0)] * len(c)
    before, now = [mpf(1)], [mpf(0), mpf(1)]  # T_0, T_1
    for n, cn in enumerate(c):
        for i, v in enumerate(before):
            powers[i] += cn * v
        twice = [mpf(0)] + [2 * v for v in now]
        before, now = now, [a - b for a, b in zip(twice, before + [mpf(0)] * (len(twice) - len(before)))]
    print(", ".join(repr(float(v)) for v in powers))


main()
