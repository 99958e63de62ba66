"""Prints the polynomial coefficients of csrc/kernels/math.h and csrc/portable.

Each polynomial c0 + c1 x + ... approximates a function on an interval, the error being weighted by
the size of the result it goes into. Coefficients are rounded to the precision of the kernels one
after another from c0 up, the rest being fitted again after each.

    python tools/minimax.py
"""

import struct

import mpmath as mp

mp.mp.dps = 60


def to_float32(value):
    return mp.mpf(struct.unpack("f", struct.pack("f", float(value)))[0])


def to_float64(value):
    return mp.mpf(float(value))


def least_squares(f, weight, lo, hi, first, last):
    """Coefficients of x^first .. x^last that make weight * (f - p) small on [lo, hi]: least squares
    over Chebyshev nodes, which comes within a fraction of a bit of the minimax polynomial."""
    n = last - first + 1
    nodes = [(lo + hi) / 2 + (hi - lo) / 2 * mp.cos(mp.pi * (i + 0.5) / (4 * n)) for i in range(4 * n)]
    normal, right = mp.matrix(n, n), mp.matrix(n, 1)
    for x in nodes:
        w = weight(x)
        row = [w * x ** (first + k) for k in range(n)]
        value = w * f(x)
        for i in range(n):
            right[i] += row[i] * value
            for k in range(n):
                normal[i, k] += row[i] * row[k]
    return list(mp.lu_solve(normal, right))


def fit(f, relative_to, lo, hi, degree, rounded, fixed=()):
    """Rounded coefficients c0 .. c_degree, of which `fixed` are given, and the largest error."""
    c = [mp.mpf(value) for value in fixed]
    while len(c) <= degree:
        known = c[::-1] or [0]
        rest = least_squares(lambda x: f(x) - mp.polyval(known, x), lambda x: 1 / relative_to(x), lo, hi, len(c), degree)
        c.append(rounded(rest[0]))
    points = [lo + (hi - lo) * i / 997 for i in range(998)]
    return c, max(abs((f(x) - mp.polyval(c[::-1], x)) / relative_to(x)) for x in points)


def exp_quotient(r):
    """(exp(r) - 1) / r"""
    return mp.expm1(r) / r if r else mp.mpf(1)


def tanh_cubic(w):
    """(tanh(x) - x) / x^3 where w = x^2"""
    x = mp.sqrt(w)
    return (mp.tanh(x) - x) / x**3


def tanh_over_cube(w):
    return mp.tanh(mp.sqrt(w)) / mp.sqrt(w) ** 3


def log_cubic(f):
    """(log(1 + f) - f + f^2 / 2) / f^3"""
    return (mp.log1p(f) - f + f * f / 2) / f**3


def log_over_cube(f):
    return mp.log1p(f) / f**3


def atanh_cubic(w):
    """(2 atanh(s) - 2 s) / s^3 where w = s^2"""
    s = mp.sqrt(w)
    return (2 * mp.atanh(s) - 2 * s) / s**3


def atanh_over_cube(w):
    return 2 * mp.atanh(mp.sqrt(w)) / mp.sqrt(w) ** 3


def erf_quotient(w):
    """erf(x) / x where w = x^2"""
    return mp.erf(mp.sqrt(w)) / mp.sqrt(w)


def erfc_scaled(q):
    """(a + 2) exp(a^2) erfc(a) where q = (a - 2) / (a + 2)"""
    a = 2 * (1 + q) / (1 - q) if q < 1 else mp.inf
    if a < 100:
        return (a + 2) * mp.exp(a * a) * mp.erfc(a)
    # Asymptotically 1 / (a sqrt(pi)) times a series in v = 1 / (2 a^2).
    v = (1 - q) ** 2 / (8 * (1 + q) ** 2)
    return 2 / (1 + q) * (1 - v + 3 * v**2 - 15 * v**3 + 105 * v**4) / mp.sqrt(mp.pi)


def erfc_exponent(a):
    """log(erfc(a)) / a"""
    return mp.log(mp.erfc(a)) / a


def sin_cubic(w):
    """(sin(x) - x) / x^3 where w = x^2"""
    x = mp.sqrt(w)
    return (mp.sin(x) - x) / x**3


def sin_over_cube(w):
    return mp.sin(mp.sqrt(w)) / mp.sqrt(w) ** 3


def cos_quartic(w):
    """(cos(x) - 1 + x^2 / 2) / x^4 where w = x^2"""
    return (mp.cos(mp.sqrt(w)) - 1 + w / 2) / w**2


def cos_over_fourth(w):
    return mp.cos(mp.sqrt(w)) / w**2


def atan_cubic(w):
    """(atan(x) - x) / x^3 where w = x^2"""
    x = mp.sqrt(w)
    return (mp.atan(x) - x) / x**3


def atan_over_cube(w):
    return mp.atan(mp.sqrt(w)) / mp.sqrt(w) ** 3


HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.0001")  # the rounding of the multiple of ln 2 is not exact
TINY = mp.mpf("1e-15")  # in place of 0, where the formulas above are 0 / 0
TANH_HI = mp.mpf("0.55") ** 2
LOG_LO, LOG_HI = mp.sqrt(0.5) - 1, mp.sqrt(2) - 1
ATANH_HI = (LOG_HI / (2 + LOG_HI)) ** 2
QUADRANT_HI = (mp.pi / 4 * mp.mpf("1.001")) ** 2
SMALL = mp.mpf("1e-6")
ATAN_HI = ((mp.sqrt(2) - 1) * mp.mpf("1.0001")) ** 2  # the square of tan(pi / 8)
ERFC_LO = mp.mpf(-5) / 11  # a = 3/4

POLYNOMIALS = [
    # name, function, relative to, interval, degree for float32 and float64, given coefficients
    ("exp", exp_quotient, exp_quotient, (-HALF_LN2, HALF_LN2), (5, 10), (1, 0.5)),
    ("tanh", tanh_cubic, tanh_over_cube, (TINY, TANH_HI), (3, 10), ()),
    ("log", log_cubic, log_over_cube, (LOG_LO, LOG_HI), (8, None), ()),
    ("atanh", atanh_cubic, atanh_over_cube, (TINY, ATANH_HI), (None, 6), ()),
    ("erf - 1", lambda w: erf_quotient(w) - 1, erf_quotient, (TINY, mp.mpf(1)), (6, 12), ()),
    ("erfc", erfc_scaled, erfc_scaled, (ERFC_LO, mp.mpf(1)), (9, 24), ()),
    ("log erfc", erfc_exponent, lambda a: 1 / (a * mp.erfc(a)), (mp.mpf("0.9"), mp.mpf("3.95")), (5, None), ()),
    ("atan", atan_cubic, atan_over_cube, (SMALL, ATAN_HI), (3, 10), ()),
    ("sin", sin_cubic, sin_over_cube, (SMALL, QUADRANT_HI), (2, 5), ()),
    ("cos", cos_quartic, cos_over_fourth, (SMALL, QUADRANT_HI), (2, 5), ()),
]

if __name__ == "__main__":
    for name, function, relative_to, (lo, hi), degrees, fixed in POLYNOMIALS:
        for degree, rounded, digits in zip(degrees, (to_float32, to_float64), (9, 17)):
            if degree is None:
                continue
            c, error = fit(function, relative_to, lo, hi, degree, rounded, fixed)
            print(f"{name}, degree {degree}, error 2^{float(mp.log(error, 2)):.1f}")
            for value in reversed(c):
                print(f"    {float(value):.{digits}g}")
