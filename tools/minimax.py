#!/usr/bin/env python3
"""Derives the polynomials of backends/eager/math_code.inc: minimax approximations by the exchange algorithm of Remez.

  tools/minimax.py [NAME...]      prints coefficients, highest power first, and the weighted error in bits

Needs mpmath.  A polynomial p of degree n is fitted to f on [a, b] such that max |(f - p) w| is least; w makes the error
relative to the function that p is a part of.
"""
import struct
import sys

from mpmath import (acos, asin, asinh, atan, cos, erf, erfc, exp, expm1, log, log1p, lu_solve, matrix, mp, mpf, pi, sin,
                    sinh, sqrt, tanh)

mp.dps = 40


def remez(f, w, a, b, n, rounds=12, points=600):
    a, b = mpf(a), mpf(b)
    grid = [(a + b) / 2 - (b - a) / 2 * cos(pi * (i + mpf("0.5")) / points) for i in range(points)]
    fg, wg = [f(x) for x in grid], [w(x) for x in grid]
    index = [round((1 - float(cos(pi * i / (n + 1)))) / 2 * (points - 1)) for i in range(n + 2)]
    for _ in range(rounds):
        A, B = matrix(n + 2, n + 2), matrix(n + 2, 1)
        for row, i in enumerate(index):
            for j in range(n + 1):
                A[row, j] = grid[i] ** j
            A[row, n + 1] = (-1) ** row / wg[i]
            B[row] = fg[i]
        c = list(lu_solve(A, B))[: n + 1]
        e = []
        for x, y, v in zip(grid, fg, wg):
            r = mpf(0)
            for k in reversed(c):
                r = r * x + k
            e.append((y - r) * v)
        extrema, i = [], 0
        while i < points:
            best, j = i, i
            while j < points and (e[j] > 0) == (e[i] > 0):
                if abs(e[j]) > abs(e[best]):
                    best = j
                j += 1
            extrema.append(best)
            i = j
        worst = max(abs(v) for v in e)
        if len(extrema) < n + 2:
            break
        while len(extrema) > n + 2:
            extrema.pop(0 if abs(e[extrema[0]]) < abs(e[extrema[-1]]) else -1)
        if extrema == index:
            break
        index = extrema
    return c, worst


def hexadecimal(v, bits):
    if bits == 32:
        v = struct.unpack("f", struct.pack("f", float(v)))[0]
    return float(v).hex().replace("0000000p", "p")


T = mpf(10) ** -12
ln2, quarter = log(2) / 2 * mpf("1.002"), (pi / 4) ** 2 * mpf("1.002")
low, high = sqrt(mpf(1) / 2) - 1, sqrt(mpf(2)) - 1
S2 = (3 - 2 * sqrt(mpf(2))) ** 2 * mpf("1.001")
root = lambda f: (lambda z: (f(sqrt(z)) / sqrt(z) - 1) / z)
odd = lambda f: (lambda z: z * sqrt(z) / f(sqrt(z)))
atanh2 = lambda s: log((1 + s) / (1 - s))
erfcx = lambda a: exp(a * a) * erfc(a)
K32, K64 = mpf(2), mpf("3.75")
of_t = lambda k: (lambda t: (1 + 2 * (k * (1 + t) / (1 - t))) * erfcx(k * (1 + t) / (1 - t)))
top = lambda k, a: (mpf(a) - k) / (mpf(a) + k)

POLYNOMIALS = {
    # name: (f, w, a, b, degree for float, degree for double)
    "exp": (lambda r: (exp(r) - 1 - r) / r**2, lambda r: abs(r), -ln2, ln2, 4, 9),
    "log": (lambda f: (log1p(f) - f + f * f / 2) / f**3, lambda f: abs(f**3 / log1p(f)), low, high, 7, None),
    "log_s": (lambda z: (atanh2(sqrt(z)) - 2 * sqrt(z)) / sqrt(z) / z, lambda z: z, T, S2, None, 6),
    "log_dd": (lambda z: (atanh2(sqrt(z)) / (2 * sqrt(z)) - 1 - z / 3) / z**2, lambda z: z**2, mpf(10) ** -5, S2, 2, 6),
    "sin": (root(sin), lambda z: z, T, quarter, 2, 5),
    "cos": (lambda s: (cos(sqrt(s)) - 1 + s / 2) / s**2, lambda s: s * s, mpf(10) ** -6, quarter, 2, 5),
    "tanh": (root(tanh), odd(tanh), T, mpf("0.303"), 4, 10),
    "sinh": (root(sinh), odd(sinh), T, 1, 3, 6),
    "asin": (root(asin), odd(asin), T, mpf("0.2501"), 4, 11),
    "atan": (root(atan), odd(atan), T, mpf("0.172"), 4, 10),
    "asinh": (root(asinh), odd(asinh), T, mpf("0.2501"), 5, 11),
    "erf": (lambda z: erf(sqrt(z)) / sqrt(z) - 1, lambda z: sqrt(z) / erf(sqrt(z)), T, 1, 6, 11),
    "cbrt": (lambda m: m ** (mpf(-1) / 3), lambda m: m ** (mpf(1) / 3), 1, 2, 3, 4),
}


def main():
    for name, (f, w, a, b, *degrees) in POLYNOMIALS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        for degree, bits in zip(degrees, (32, 64)):
            if degree is not None:
                c, worst = remez(f, w, a, b, degree)
                print(f"// {name} f{bits}: 2^{float(log(worst, 2)):.1f}")
                print(", ".join(hexadecimal(v, bits) for v in reversed(c)))
    for bits, k, end, degree in ((32, K32, "10.2", 10), (64, K64, "27.5", 22)):
        if not sys.argv[1:] or "erfcx" in sys.argv[1:]:
            c, worst = remez(of_t(k), lambda t: 1 / of_t(k)(t), -1, top(k, end), degree)
            print(f"// erfcx f{bits}, k = {k}: 2^{float(log(worst, 2)):.1f}")
            print(", ".join(hexadecimal(v, bits) for v in reversed(c)))


if __name__ == "__main__":
    main()
