"""Cases of test_every_function for the functions that are formulas in others: by name what draws a `Case`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import special
from scipy.spatial import distance

ROWS = 4


class Case(NamedTuple):
    """A call on arrays whose first axis is the batch.

    Attributes
    ----------
    call : callable
        Takes a module and the arrays.
    shapes : list of tuple of int
        Of samples.
    low, high : float
        Numbers are drawn between these.
    expected : callable, optional
        In place of the call on NumPy.
    stops : bool
        There is no derivative.
    whole : bool
        Whole numbers.
    gaps : bool
        NaN in some places of the first array.
    """

    call: Callable[..., Any]
    shapes: list[tuple[int, ...]]
    low: float = -2.0
    high: float = 2.0
    expected: Callable[..., Any] | None = None
    stops: bool = False
    whole: bool = False
    gaps: bool = False

    def arrays(self, random, dtype="float64"):
        drawn = [random.uniform(self.low, self.high, (ROWS, *shape)) for shape in self.shapes]
        if self.gaps:
            drawn[0][:, [0, 0, 2], [1, 3, 0]] = np.nan
        return [(np.floor(x) if self.whole else x).astype(dtype) for x in drawn]

    def reference(self, arrays):
        return self.expected(*arrays) if self.expected else self.call(np, *arrays)


def fixed(call, *shapes, **options):
    return lambda random: Case(call, list(shapes), **options)


def of(name, *shapes, expected=None, given=(), **options):
    """The function of all tensors, and what is given besides."""
    return fixed(lambda m, *x: getattr(m, name)(*x, *given), *shapes, expected=expected, **options)


def over_gaps(name, axis=-1, **options):
    return fixed(lambda m, x: getattr(m, name)(x, axis=axis, **options), (3, 5), gaps=True)


def segments(reduce, start):
    def run(x):
        y = np.full((ROWS, 3, *x.shape[2:]), start)
        for i, k in enumerate([0, 2, 0, 1]):
            y[:, k] = reduce(y[:, k], x[:, i])
        return y

    return run


def sparsemax(x):
    """By bisection: the number that is subtracted from all, so that those that are left have the sum 1."""
    low, high = x.max(-1, keepdims=True) - 1, x.max(-1, keepdims=True)
    for _ in range(80):
        middle = (low + high) / 2
        above = np.maximum(x - middle, 0).sum(-1, keepdims=True) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.maximum(x - low, 0)


def blocks_of_pixels(x, n):
    rows, height, width, channels = x.shape
    y = np.empty((rows, height // n, width // n, n * n * channels))
    for i, j in np.ndindex(n, n):
        y[..., (i * n + j) * channels : (i * n + j + 1) * channels] = x[:, i::n, j::n]
    return y


def pixels_of_blocks(x, n):
    rows, height, width, channels = x.shape
    left = channels // (n * n)
    y = np.empty((rows, height * n, width * n, left))
    for i, j in np.ndindex(n, n):
        y[:, i::n, j::n] = x[..., (i * n + j) * left : (i * n + j + 1) * left]
    return y


def attention(q, k, v):
    logits = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
    logits = np.where(np.tri(q.shape[1], k.shape[1]), logits, -np.inf)
    return np.einsum("bhts,bshd->bthd", special.softmax(logits, axis=-1), v)


def standardized(x, epsilon, axis=-1):
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + epsilon)


def shares(x):
    """Positive, as probabilities that have no sum of 1."""
    return np.clip(x / x.sum(-1, keepdims=True), 1e-7, 1 - 1e-7)


PLAIN = {
    "exp2": (-2, 2), "cbrt": (-2, 2), "deg2rad": (-180, 180), "rad2deg": (-3, 3), "sinc": (-2, 2), "fabs": (-2, 2),
    "real": (-2, 2), "conj": (-2, 2), "conjugate": (-2, 2),
}  # fmt: skip
STEPS = ("trunc", "signbit", "isposinf", "isneginf", "isreal", "imag", "angle")
COLUMN = np.array([0.5, 2.0, 1.0])

CASES = {
    **{name: of(name, (3, 5), low=low, high=high) for name, (low, high) in PLAIN.items()},
    **{name: of(name, (3, 5), stops=True) for name in STEPS},
    "erfc": of("erfc", (7,), expected=special.erfc), "erfinv": of("erfinv", (9,), expected=special.erfinv, low=-0.95, high=0.95),
    "isclose": fixed(lambda m, x, y: m.isclose(x, x + 1e-3 * y, rtol=1e-3, atol=1e-4), (9,), (9,), stops=True),
    "nan_to_num": fixed(lambda m, x: m.nan_to_num(x * 3.0, nan=0.5), (3, 5), gaps=True),
    "saturate_cast": fixed(lambda m, x: m.saturate_cast(x * 300.0, "int8"), (9,), stops=True,
                           expected=lambda x: np.clip(np.trunc(x * 300), -128, 127)),
    "ldexp": fixed(lambda m, x: m.ldexp(x, 3 if m is np else 3.0), (5,)), "logaddexp2": of("logaddexp2", (3, 5), (1, 5)),
    "hypot": of("hypot", (3, 5), (1, 5)), "fmod": of("fmod", (3, 5), (3, 1), low=0.3),
    "fmax": fixed(lambda m, x, y: m.fmax(x, y), (3, 5), (3, 5), gaps=True), "fmin": fixed(lambda m, x, y: m.fmin(y, x), (3, 5), (3, 5), gaps=True),
    "heaviside": of("heaviside", (3, 5), given=(0.5,), stops=True),
    "divide_no_nan": fixed(lambda m, x, y: m.divide_no_nan(x, m.maximum(y, 0.0)), (9,), (9,), low=-1, high=1,
                           expected=lambda x, y: np.where(y > 0, x / np.where(y > 0, y, 1), 0)),
    "log_sigmoid": of("log_sigmoid", (7,), expected=special.log_expit),
    "celu": of("celu", (7,), given=(0.7,), expected=lambda x: np.where(x > 0, x, 0.7 * np.expm1(x / 0.7))),
    "hard_tanh": of("hard_tanh", (7,), expected=lambda x: np.clip(x, -1, 1)),
    "hard_shrink": of("hard_shrink", (7,), expected=lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    "soft_shrink": of("soft_shrink", (7,), expected=lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    "tanh_shrink": of("tanh_shrink", (7,), expected=lambda x: x - np.tanh(x)),
    "threshold": of("threshold", (7,), given=(0.3, -1.0), expected=lambda x: np.where(x > 0.3, x, -1)),
    "sparse_plus": of("sparse_plus", (9,), expected=lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x))),
    "sparse_sigmoid": of("sparse_sigmoid", (9,), expected=lambda x: np.clip((x + 1) / 2, 0, 1)),
    "glu": of("glu", (3, 8), expected=lambda x: x[..., :4] * special.expit(x[..., 4:])),
    "sparsemax": of("sparsemax", (3, 5), expected=sparsemax),
    # ---- statistics
    "amax": fixed(lambda m, x: m.amax(x, axis=(1, 2)), (3, 5)), "amin": fixed(lambda m, x: m.amin(x, axis=1, keepdims=True), (3, 5)),
    "ptp": fixed(lambda m, x: m.ptp(x, axis=-1), (3, 5)),
    "moments": fixed(lambda m, x: m.concatenate(m.moments(x, axes=[1, 2], keepdims=True), axis=1), (3, 5),
                     expected=lambda x: np.stack([x.mean((1, 2)), x.var((1, 2))], 1)[..., None]),
    "average": fixed(lambda m, x: m.average(x, axis=1, weights=COLUMN), (3, 5)),
    "median": fixed(lambda m, x: m.median(x, axis=(1, 2)), (3, 5)),
    "quantile": lambda random: Case(lambda m, x: m.quantile(x, 0.3, axis=-1, keepdims=True, method=method), [(3, 5)])
                if (method := str(random.choice(["linear", "lower", "higher", "midpoint", "nearest"]))) else None,
    "percentile": fixed(lambda m, x: m.percentile(x, 72.0, axis=1), (5, 3)),
    **{name: over_gaps(name) for name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "nanmedian", "nancumsum",
                                           "nancumprod")},
    "nanquantile": over_gaps("nanquantile", q=0.3), "nanpercentile": over_gaps("nanpercentile", q=81.0, keepdims=True),
    **{name: fixed(lambda m, x, name=name: getattr(m, name)(x, axis=1), (3, 5), stops=True, gaps=True) for name in ("nanargmax", "nanargmin")},
    "diff": fixed(lambda m, x: m.diff(x, 2, axis=1), (5, 3)),
    "trapezoid": fixed(lambda m, x: m.trapezoid(x, np.array([0.0, 1.0, 3.0]), axis=1), (3, 5)),
    "normalize": fixed(lambda m, x: m.normalize(x, axis=1), (3, 5), expected=lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)),
    "cdist": of("cdist", (3, 5), (2, 5), expected=lambda x, y: np.stack([distance.cdist(a, b) for a, b in zip(x, y)])),
    "isin": fixed(lambda m, x: m.isin(x, [1, 3]), (9,), low=0, high=5, whole=True, stops=True),
    # ---- assembly
    "append": fixed(lambda m, x, y: m.append(x, y, axis=2), (3, 2), (3, 4)), "dstack": fixed(lambda m, x, y: m.dstack([x, y]), (3,), (3,)),
    "vsplit": fixed(lambda m, x: m.split(x, 2, axis=1)[1], (6, 3)), "hsplit": fixed(lambda m, x: m.hsplit(x, 3)[1], (6, 3)),
    "dsplit": fixed(lambda m, x: m.dsplit(x, [1])[1], (6, 3)),
    "diag": fixed(lambda m, x: m.expand_dims(x, -1) * m.eye(5), (5,), expected=lambda x: np.stack([np.diag(row) for row in x])),
    "diagflat": fixed(lambda m, x: x * m.eye(5), (5, 5)),
    "vander": fixed(lambda m, x: m.vander(x, 4), ()),
    "cross": fixed(lambda m, x, y: m.cross(x, y, axisa=1, axisb=-1, axisc=1), (3, 5), (5, 3)),
    "kron": fixed(lambda m, x: m.kron(x, np.arange(6.0).reshape(1, 2, 3)), (3, 2)),
    "select": fixed(lambda m, x: m.select([x > 1.0, x > 0.0], [x**2, 3.0 * x], 0.5), (9,)),
    "slice_update": fixed(lambda m, x, y: m.slice_update(x, (0, 1, 2), y), (3, 5), (2, 2), expected=lambda x, y: put(x, y)),
    "scatter": fixed(lambda m, x: m.scatter_update(0 * x, [[1], [1]], x[:, :2], reduction="add", batch_dims=1), (3, 2),
                     expected=lambda x: np.stack([0 * x[:, 0], x[:, 0] + x[:, 1], 0 * x[:, 0]], 1)),
    "multi_hot": fixed(lambda m, x: m.multi_hot(x, 5), (3,), low=0, high=5, whole=True, stops=True,
                       expected=lambda x: (x[..., None] == np.arange(5)).max(1) * 1.0),
    "unravel_index": fixed(lambda m, x: m.unravel_index(x, (2, 3, 4))[1], (5,), low=0, high=24, whole=True, stops=True,
                           expected=lambda x: np.unravel_index(x.astype(int), (2, 3, 4))[1]),
    "extract_sequences": fixed(lambda m, x: m.extract_sequences(x, 3, 2), (3, 8),
                               expected=lambda x: np.stack([x[..., i : i + 3] for i in range(0, 6, 2)], 2)),
    "depth_to_space": fixed(lambda m, x: m.depth_to_space(x, 2), (3, 2, 8), expected=lambda x: pixels_of_blocks(x, 2)),
    "space_to_depth": fixed(lambda m, x: m.space_to_depth(x, 2), (4, 6, 3), expected=lambda x: blocks_of_pixels(x, 2)),
    "segment_min": fixed(lambda m, x: m.segment_min(x, [0, 2, 0, 1], 3, axis=1), (4, 5), expected=segments(np.minimum, np.inf)),
    "segment_prod": fixed(lambda m, x: m.segment_prod(x, [0, 2, 0, 1], 4, axis=1), (4, 5),
                          expected=lambda x: np.concatenate([segments(np.multiply, 1.0)(x), np.ones((ROWS, 1, 5))], 1)),
    "fori_loop": fixed(lambda m, x: m.fori_loop(0, 3, lambda i, y: y * x + float(i), x), (5,), expected=lambda x: ((x * x) * x + 1) * x + 2),
    # ---- networks
    "layer_normalization": fixed(lambda m, x: m.layer_normalization(x, np.arange(5.0), np.ones(5)), (3, 5),
                                 expected=lambda x: standardized(x, 1e-7) * np.arange(5) + 1),
    "rms_normalization": fixed(lambda m, x: m.rms_normalization(x, np.arange(5.0)), (3, 5),
                               expected=lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-7) * np.arange(5)),
    "batch_normalization": fixed(lambda m, x: m.batch_normalization(x, COLUMN, COLUMN, 1, COLUMN, COLUMN), (3, 5),
                                 expected=lambda x: ((x - COLUMN[:, None]) / np.sqrt(COLUMN[:, None] + 1e-3)) * COLUMN[:, None] + COLUMN[:, None]),
    "dot_product_attention": fixed(lambda m, q, k, v: m.dot_product_attention(q, k, v, is_causal=True), (3, 2, 4), (3, 2, 4), (3, 2, 5),
                                   expected=attention),
    "binary_crossentropy": of("binary_crossentropy", (5,), (5,), low=0.1, high=0.9,
                              expected=lambda t, p: -t * np.log(p) - (1 - t) * np.log(1 - p)),
    "categorical_crossentropy": of("categorical_crossentropy", (3, 5), (3, 5), low=0.1, expected=lambda t, p: -(t * np.log(shares(p))).sum(-1)),
    "sparse_categorical_crossentropy": fixed(
        lambda m, p: m.sparse_categorical_crossentropy(np.array([0, 2, 1]), p, from_logits=True), (3, 4),
        expected=lambda p: -special.log_softmax(p, axis=-1)[:, [0, 1, 2], [0, 2, 1]]),
    # ---- arrays
    "array": fixed(lambda m, x: x * m.array([1.0, 2.0]), (2,)), "copy": fixed(lambda m, x: m.copy(x), (3,)),
    "convert_to_numpy": fixed(lambda m, x: x * (m.convert_to_numpy([2.0]) if m is not np else 2.0), (3,)),
    "empty": fixed(lambda m, x: x + 0 * m.empty((3,)), (3,), expected=lambda x: x),
    "empty_like": fixed(lambda m, x: 0.0 * m.empty_like(x), (3,), stops=True, expected=lambda x: 0 * x),
    "is_tensor": fixed(lambda m, x: x * float(m.is_tensor(x)), (3,), expected=lambda x: x),
    "ndim": fixed(lambda m, x: x * float(m.ndim(x)), (3, 2)), "size": fixed(lambda m, x: x * float(m.size(np.ones((2, 3)))), (3,)),
    "logspace": fixed(lambda m, x: x * m.logspace(0.0, 1.0, 5, dtype="float64"), (5,)),
    "geomspace": fixed(lambda m, x: x * m.geomspace(1.0, 8.0, 4, dtype="float64"), (4,)),
    **{name: fixed(lambda m, x, name=name: x * getattr(m, name)(5), (5,), expected=lambda x, name=name: x * getattr(np, name)(5).astype("f"))
       for name in ("bartlett", "blackman", "hamming", "hanning")},
    "kaiser": fixed(lambda m, x: x * m.kaiser(5, 4.0), (5,), expected=lambda x: x * np.kaiser(5, 4.0).astype("f")),
    "meshgrid": fixed(lambda m, x: x * m.meshgrid(np.arange(3.0), np.arange(2.0))[0], (2, 3)),
}  # fmt: skip


def put(x, y):
    found = x.copy()
    found[:, 1:3, 2:4] = y
    return found


#: On arrays as a whole, where the first axis is none of the batch.
ON_ARRAYS = {
    "diag": (lambda m, x: m.diag(x, 1), (4,)),
    "diagflat": (lambda m, x: m.diagflat(x, -1), (2, 3)),
    "kron": (lambda m, x, y: m.kron(x, y), (2, 3), (2, 2)),
    "vander": (lambda m, x: m.vander(x), (4,)),
    "append": (lambda m, x, y: m.append(x, y), (2, 3), (2, 2)),
    "vsplit": (lambda m, x: m.vsplit(x, 2)[1], (4, 3)),
    "dstack": (lambda m, x, y: m.dstack([x, y]), (4,), (4,)),
    "quantile": (lambda m, x: m.quantile(x, [0.1, 0.5], axis=1), (4, 3)),
    "median": (lambda m, x: m.median(x), (4, 3)),
    "percentile": (lambda m, x: m.percentile(x, [10.0, 90.0]), (4, 3)),
    "average": (lambda m, x, y: m.average(x, axis=0, weights=y), (4, 3), (4,)),
    "nanargmax": (lambda m, x: m.nanargmax(x), (4, 3)),
    "trapezoid": (lambda m, y, x: m.trapezoid(y, x, axis=0) if m is not np else np.trapezoid(y, x, axis=0), (4, 3), (4,)),
    "cross": (lambda m, x, y: m.cross(x, y), (4, 3), (4, 3)),
    "scatter": (lambda m, x: np.array([0, x[1], x[0] + x[2]]) if m is np else m.scatter([[2], [1], [2]], x, (3,)), (3,)),
    "isin": (lambda m, x: m.isin(np.arange(5.0), np.array([1.0, 3.0])) * 1.0 + 0 * x[0], (1,)),
    "hsplit": (lambda m, x: m.hsplit(x, 2)[1], (4,)),
}
