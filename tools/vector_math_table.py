#!/usr/bin/env python3
"""Writes tests/data/vector_math.txt: arguments of the elementary functions and their values to 1/1000 of an ulp.

  tools/vector_math_table.py > tests/data/vector_math.txt

Needs mpmath.  A line "# f32 exp 1" begins a function of one argument; then per line the bits of the arguments, the bits of the rounded value,
and what to add to it, in thousandths of its ulp.  Arguments are random, by magnitude and by value; for sine, cosine and
tangent also those that are nearest to multiples of pi/2, at every size.
"""
import random
import struct

import mpmath
from mpmath import mp, mpf

RANDOM = random.Random(5)
COUNT = 70


class Format:
    def __init__(self, name, digits, least, code, integer):
        self.name, self.digits, self.least, self.code, self.integer = name, digits, least, code, integer

    def bits(self, v):
        return struct.unpack(self.integer, struct.pack(self.code, v))[0]

    def round(self, v):
        """A float to one of this format."""
        return struct.unpack(self.code, struct.pack(self.code, v))[0]

    def ulp(self, v):
        return mpf(2) ** max(int(mpmath.floor(mpmath.log(abs(v), 2))) - self.digits + 1, self.least)


F32 = Format("f32", 24, -149, "<f", "<I")
F64 = Format("f64", 53, -1074, "<d", "<Q")


def linear(low, high):
    return lambda f: f.round(RANDOM.uniform(low, high))


def scaled(low, high):  # powers of 2, both signs
    return lambda f: f.round(RANDOM.choice((-1, 1)) * 2.0 ** RANDOM.uniform(low, high))


def positive(low, high):
    return lambda f: f.round(2.0 ** RANDOM.uniform(low, high))


def near_turns(f):
    """Numbers m 2^e nearest to multiples of pi/2: convergents of pi/2 / 2^e."""
    result = []
    for e in range(-f.digits + 1, 104 if f is F32 else 971, 5 if f is F32 else 29):
        x = mp.pi / 2 / mpf(2) ** e
        p0, q0, p1, q1 = 1, 0, int(mpmath.floor(x)), 1
        r = x - p1
        best = None
        while p1 < 2**f.digits and r > 0:
            if p1 > 0:
                best = p1
            a = int(mpmath.floor(1 / r))
            r = 1 / r - a
            p0, q0, p1, q1 = p1, q1, a * p1 + p0, a * q1 + q0
        if best:
            result.append(f.round(float(best) * 2.0**e))
    return result


TRIGONOMETRIC = (linear(-10, 10), scaled(-10, 20), scaled(20, 127))
FUNCTIONS = {
    "exp": (mpmath.exp, linear(-2, 2), scaled(-5, 6.4), linear(-103, 88)),
    "exp2": (lambda x: mpf(2) ** x, linear(-2, 2), linear(-149, 127)),
    "expm1": (mpmath.expm1, linear(-1, 1), scaled(-40, 6.4)),
    "log": (mpmath.log, linear(0.3, 3), positive(-149, 127)),
    "log1p": (mpmath.log1p, linear(-0.99, 2), scaled(-40, -1), positive(0, 100)),
    "sin": (mpmath.sin, near_turns, *TRIGONOMETRIC),
    "cos": (mpmath.cos, near_turns, *TRIGONOMETRIC),
    "tan": (mpmath.tan, near_turns, *TRIGONOMETRIC),
    "asin": (mpmath.asin, linear(-1, 1), scaled(-40, 0)),
    "acos": (mpmath.acos, linear(-1, 1), scaled(-40, 0)),
    "atan": (mpmath.atan, linear(-3, 3), scaled(-40, 40)),
    "sinh": (mpmath.sinh, linear(-3, 3), scaled(-40, 6.4)),
    "cosh": (mpmath.cosh, linear(-3, 3), scaled(-10, 6.4)),
    "tanh": (mpmath.tanh, linear(-1.5, 1.5), scaled(-40, 4)),
    "asinh": (mpmath.asinh, linear(-3, 3), scaled(-40, 100)),
    "acosh": (mpmath.acosh, linear(1, 3), positive(0, 100)),
    "atanh": (mpmath.atanh, linear(-1, 1), scaled(-40, 0)),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), linear(-10, 10), scaled(-149, 127)),
    "erf": (mpmath.erf, linear(-3, 3), scaled(-40, 2)),
    "erfc": (mpmath.erfc, linear(-3, 3), linear(1, 9)),
    "lgamma": (lambda x: mpmath.log(abs(mpmath.gamma(x))) if x < 1e4 else mpmath.loggamma(x), linear(-20, 20), positive(-20, 40)),
    "bessel_i0e": (lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)), linear(-20, 20), scaled(-20, 8)),
    "bessel_i1e": (lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)), linear(-20, 20), scaled(-20, 8)),
    "digamma": (mpmath.digamma, linear(-20, 20), positive(-20, 40)),
}


def line(f, y, *x, precision=1400):
    with mp.workprec(precision):
        try:
            exact = y(*[mpf(v) for v in x])
        except (ValueError, ZeroDivisionError):
            return
        if isinstance(exact, mpmath.mpc) or exact == 0 or not mpmath.isfinite(exact):
            return
        ulp = f.ulp(exact)
        rounded = mpmath.nint(exact / ulp) * ulp
        if abs(rounded) >= mpf(2) ** (128 if f is F32 else 1024):
            return
        thousandths = int(mpmath.nint((exact - rounded) / ulp * 1000))
        width = 8 if f is F32 else 16
        print(*(f"{f.bits(v):0{width}x}" for v in (*x, float(rounded))), thousandths)


def gamma_lower(a, x):
    return mpmath.gammainc(a, 0, x, regularized=True)


def slope(f, a, x):
    with mp.workprec(700):
        h = mpf(2) ** -200
        return (f(a + h, x) - f(a - h, x)) / (2 * h)


def sample_slope(a, x):
    return -slope(gamma_lower, a, x) / mpmath.exp(-x + (a - 1) * mpmath.log(x) - mpmath.loggamma(a))


def incomplete():
    """Around the middle of the distributions, a deviation or three away, and anywhere near."""
    def near(f, a):
        while True:
            x = f.round(RANDOM.choice((a + RANDOM.gauss(0, 1.5) * a**0.5, a * 2.0 ** RANDOM.uniform(-1, 1))))
            if x > 0 and abs(x - a) < 5 * a**0.5 + 1:
                return x

    gammas = {
        "igamma": (gamma_lower, 14),
        "igammac": (lambda a, x: mpmath.gammainc(a, x, mpmath.inf, regularized=True), 14),
        "igamma_grad_a": (lambda a, x: slope(gamma_lower, a, x), 9),
        "random_gamma_grad": (sample_slope, 9),
    }
    for name, (y, high) in gammas.items():
        for f in (F32, F64):
            print("#", f.name, name, 2)
            for _ in range(COUNT):
                a = positive(-8, high)(f)
                line(f, y, a, near(f, a), precision=300)
    for f in (F32, F64):
        print("#", f.name, "regularized_incomplete_beta", 3)
        for _ in range(2 * COUNT):
            a, b = positive(-6, 10)(f), positive(-6, 10)(f)
            m, s = a / (a + b), (a * b / (a + b + 1)) ** 0.5 / (a + b)
            x = f.round(RANDOM.choice((RANDOM.uniform(0.001, 0.999), m + RANDOM.gauss(0, 1.5) * s)))
            if 0 < x < 1 and abs(x - m) < 5 * s:
                line(f, lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True), a, b, x, precision=300)


def main():
    for name, (y, *arguments) in FUNCTIONS.items():
        for f in (F32, F64):
            print("#", f.name, name, 1)
            for argument in arguments:
                if argument is near_turns:
                    for x in near_turns(f):
                        line(f, y, x)
                    continue
                for _ in range(COUNT):
                    x = argument(f)
                    if name not in ("lgamma", "digamma") or x > 0 or abs(x - round(x)) > 1e-3:
                        line(f, y, x)
    for f in (F32, F64):
        print("#", f.name, "pow", 2)
        for _ in range(2 * COUNT):
            x = f.round(2.0 ** RANDOM.uniform(-20, 20))
            line(f, lambda x, y: x**y, x, f.round(RANDOM.uniform(-1, 1) * (85 if f is F32 else 700) / max(1, abs(float(mpmath.log(x))))))
        for _ in range(COUNT):
            x = f.round(1 + RANDOM.uniform(-1, 1) * 2.0 ** RANDOM.uniform(-12, -1))
            line(f, lambda x, y: x**y, x, f.round(RANDOM.uniform(-1, 1) * 60 / float(abs(mpmath.log(x)) + 1e-9)))
        print("#", f.name, "atan2", 2)
        for _ in range(2 * COUNT):
            line(f, mpmath.atan2, scaled(-20, 20)(f), scaled(-20, 20)(f))
    incomplete()


if __name__ == "__main__":
    mp.prec = 1400
    main()
