"""Random numbers with the names, arguments and results of `keras.random`: arrays, or tensors that are drawn anew in each step.

Outside of a model a function returns an array. While a model is made, in `call` of a layer, a `Lambda`, a loss or the function of a
`TrainStep`, it adds to the graph: the numbers are new in each step of training and in each batch that is predicted or evaluated. None in
the place of the first axis stands for the batch, as `fastnet.ops.shape` and ``x.shape`` have it; each row has numbers of its own then.
Without it all rows have the same.

`seed` is as in Keras. An integer stands for the same numbers each time, in each step, too. None, and a `SeedGenerator`, give others each
time: of a tensor they are a function of the model's seed, or the generator's, of the number of the batch and of the place in the model.
There is no other state, NumPy's generator is left alone, and the numbers are the same for any number of threads and on any processor.

Numbers of float32 have 23 random bits, those of float64 32. A tensor has the precision of the model, whatever `dtype` says.

>>> import fastnet as fn
>>> fn.random.normal((3,), seed=1).tolist()
[0.2807124853134155, 0.2870292067527771, -1.8611871004104614]
>>> class Sampling(fn.layers.Layer):
...     def call(self, mean, log_var):
...         batch, width = fn.ops.shape(mean)
...         return mean + fn.ops.exp(0.5 * log_var) * fn.random.normal((batch, width))
>>> mean, log_var = fn.Input((2,)), fn.Input((2,))
>>> Sampling()(mean, log_var).shape
(None, 2)
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _core
from ._graph import CURRENT_CALL, FUNCTIONS, ROWS, SymbolicTensor, shape_attributes
from ._row_stacks import RowStack, StackSize
from ._seeds import new_seed
from .layers._arguments import checked_seed
from .layers.functional import HAS_BATCH
from .ops._emission import emit, full_shape, function, is_tensor, normalize_axis
from .ops.elementwise import apply

__all__ = [
    "SeedGenerator", "bernoulli", "beta", "categorical", "dropout", "gamma", "normal", "randint", "shuffle", "truncated_normal", "uniform",
]  # fmt: skip


class SeedGenerator:
    """A seed, and how often numbers were drawn with it: others each time, unlike those of an integer.

    In a layer, it stands in the place of the model's seed. Not to be used by several threads at once.

    Parameters
    ----------
    seed : int, optional
        Default: one that differs each time.
    name : str, optional
        Accepted as Keras does.

    Examples
    --------
    >>> import fastnet as fn
    >>> seeds = fn.random.SeedGenerator(1)
    >>> fn.random.randint((4,), 0, 10, seed=seeds).tolist(), fn.random.randint((4,), 0, 10, seed=seeds).tolist()
    ([6, 6, 0, 8], [0, 5, 4, 7])
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self._given = checked_seed("SeedGenerator", seed)
        self.name = name
        self.seed = new_seed() >> 15 if self._given is None else self._given
        self.count = 0

    def next(self, ordered: bool = True) -> np.ndarray:
        """The seed and the number of this draw, counted from 0, as integers."""
        self.count += 1
        return np.array([self.seed, self.count - 1])

    def get_config(self) -> dict[str, Any]:
        """Its arguments."""
        return {"seed": self._given, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SeedGenerator:
        """One with these arguments."""
        return cls(**config)


#: For arrays drawn without a seed.
_OTHERS = SeedGenerator()

_KINDS = {name: i for i, name in enumerate(_core.attribute_choices("random", "distribution"))}


def _attributes(name: str, seed: Any, at_once: bool) -> dict[str, int]:
    """A seed as attributes of the operation."""
    if isinstance(seed, Mapping):  # they were made of it before
        return dict(seed)
    if seed is None and not at_once:
        return {}
    if seed is None or isinstance(seed, SeedGenerator):
        source = seed or _OTHERS
        if not at_once:
            return {"seed": source.seed}
        number, count = source.next()
        return {"seed": int(number), "fixed": 1, "counter": int(count)}
    return {"seed": checked_seed(f"fn.random.{name}", seed) or 0, "fixed": 1}


def _sizes(name: str, shape: Any) -> tuple[int | None, ...]:
    """A shape, None for the batch."""
    if not isinstance(shape, (Sequence, np.ndarray)) or isinstance(shape, str):
        shape = [shape]
    try:
        sizes = tuple(None if size is None and axis == 0 else operator.index(size) for axis, size in enumerate(shape))
    except TypeError:
        raise TypeError(
            f"fn.random.{name}: shape must be of integers, and None for the batch as its first, got {shape!r}"
        ) from None
    if any(size is not None and size < 0 for size in sizes):
        raise ValueError(f"fn.random.{name}: no size of a shape is below 0, got {shape!r}")
    return sizes


def _emit(rows: SymbolicTensor, kind: str, sizes: Sequence[int | None], a: float, b: float, seed: Mapping[str, int]) -> Any:
    """The operation, within a call."""
    each = HAS_BATCH.get() and sizes[:1] == (None,)
    sample = tuple(sizes[1:] if each else sizes)
    if 0 in sample:
        raise ValueError(f"fn.random: a tensor of shape {sizes} has no numbers")
    attributes = {"distribution": _KINDS[kind], "a": a, "b": b, "shared": HAS_BATCH.get() and not each, **seed}
    return emit("random", [rows], {**attributes, **shape_attributes(sample)})  # type: ignore[arg-type]


def _number(name: str, what: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"fn.random.{name}: {what} must be a number, got {value!r}") from None
    if not np.isfinite(number):
        raise ValueError(f"fn.random.{name}: {what} must be finite, got {value!r}")
    return number


@function
def random_numbers(rows: Any, kind: str, shape: Sequence[int | None], a: float, b: float, seed: Mapping[str, int]) -> Any:
    """Numbers of a distribution, for as many rows as a tensor has."""
    return _emit(rows, kind, tuple(shape), a, b, seed)


@function
def random_gammas(rows: Any, shape: Sequence[int | None], alpha: Any, seed: Mapping[str, int]) -> Any:
    """Numbers of gamma distributions, for as many rows as a tensor has.

    One of ``alpha + 1`` times ``u**(1 / alpha)``, as one of alpha is; of the former six candidates are made (Marsaglia and Tsang, 2000), each
    of which is right with a probability of at least 0.95, and the first that is right is taken.
    """
    draws = itertools.count(1)

    def drawn(kind: str) -> Any:
        others = {**seed, "counter": seed.get("counter", 0) + next(draws) * 2**40} if seed.get("fixed") else seed
        return _emit(rows, kind, tuple(shape), 0.0, 1.0, others)

    d = apply("add", alpha, 2 / 3) if is_tensor(alpha) else np.asarray(alpha) + 2 / 3
    d = d if is_tensor(d) or d.ndim else float(d)
    c = apply("divide", 1.0, apply("sqrt", apply("multiply", d, 9.0))) if is_tensor(d) else 1 / np.sqrt(9 * d)
    found: Any = 1.0
    for _ in range(6):
        z = drawn("normal")
        root = apply("add", apply("multiply", z, c), 1.0)
        v = apply("maximum", apply("multiply", root, apply("square", root)), 1e-30)
        bound = apply("subtract", apply("add", apply("log", v), 1.0), v)
        right = apply(
            "less",
            apply("log", drawn("uniform")),
            apply("add", apply("multiply", bound, d), apply("multiply", apply("square", z), 0.5)),
        )
        found = apply("where", apply("logical_and", right, apply("greater", root, 0.0)), v, found)
    power = apply("divide", 1.0, alpha) if is_tensor(alpha) else 1 / np.asarray(alpha)
    power = power if is_tensor(power) or power.ndim else float(power)
    return apply("multiply", apply("multiply", found, d), apply("exp", apply("multiply", apply("log", drawn("uniform")), power)))


def _draw(name: str, kind: str, shape: Any, a: float, b: float, dtype: Any, seed: Any, wide: bool = False) -> Any:
    """Numbers of one of the distributions of the engine."""

    def run(rows: Any, sizes: Sequence[int | None], attributes: Mapping[str, int]) -> Any:
        return FUNCTIONS["random_numbers"](rows, kind, sizes, a, b, attributes)

    return _make(name, run, shape, dtype, seed, wide)


def _make(name: str, run: Callable[..., Any], shape: Any, dtype: Any, seed: Any, wide: bool = False) -> Any:
    """An array or, within a model, a tensor, of what a function draws. wide: arrays are computed in double precision."""
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], StackSize):
        each = (None, *shape[1:])
        return RowStack([_make(name, run, each, dtype, seed, wide) for _ in range(shape[0].count)])
    sizes, call = _sizes(name, shape), CURRENT_CALL.get()
    rows = call.inputs[0] if call is not None else ROWS.get()
    if rows is not None:
        return run(rows, sizes, _attributes(name, seed, at_once=False))
    if None in sizes:
        raise ValueError(
            f"fn.random.{name} of shape {sizes}: the batch is known in call of a layer, in a loss and in the function of a TrainStep. To "
            "draw numbers between two layers of a model, write fn.layers.Lambda(lambda x: ...)(x)"
        )
    total = np.dtype(dtype or np.float32)
    if total.kind not in "fiu":
        raise TypeError(f"fn.random.{name}: dtype must be one of numbers, got {dtype!r}")
    attributes, n = _attributes(name, seed, at_once=True), int(np.prod(sizes, dtype=np.int64))
    if n == 0:
        return np.empty(sizes, total)  # type: ignore[arg-type]
    one = np.zeros((), np.float64 if wide or total == np.float64 else np.float32)
    found = np.asarray(run(one, [n], attributes))
    return found.reshape(sizes).astype(total, copy=False)  # type: ignore[arg-type]


def _floating(name: str, dtype: Any) -> Any:
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise ValueError(f"fn.random.{name}: dtype must be floating, got {dtype!r}")
    return dtype


def _scaled(name: str, kind: str, shape: Any, mean: Any, stddev: Any, dtype: Any, seed: Any) -> Any:
    """``mean + stddev z``; either may be a tensor."""
    numbers = []
    for what, value in (("mean", mean), ("stddev", stddev)):
        numbers.append(value if is_tensor(value) or np.ndim(value) else _number(name, what, value))
    if all(isinstance(one, float) for one in numbers):
        return _draw(name, kind, shape, *numbers, _floating(name, dtype), seed)
    return numbers[0] + numbers[1] * _draw(name, kind, shape, 0.0, 1.0, _floating(name, dtype), seed)


def normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Normally distributed numbers.

    Parameters
    ----------
    shape : sequence of int
        None as the first of it stands for the batch.
    mean, stddev : float, array or tensor
    dtype : str, optional
        Of an array; default: float32.
    seed : int or SeedGenerator, optional
        An integer: the same numbers each time.

    Returns
    -------
    ndarray or SymbolicTensor

    Examples
    --------
    >>> import fastnet as fn
    >>> noisy = fn.layers.Lambda(lambda x: x + fn.random.normal(x.shape, stddev=0.1))
    """
    return _scaled("normal", "normal", shape, mean, stddev, dtype, seed)


def truncated_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Normally distributed numbers no more than two standard deviations from the mean; see `normal`."""
    return _scaled("truncated_normal", "truncated_normal", shape, mean, stddev, dtype, seed)


def uniform(shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers that are equally likely between minval and maxval, which is not reached.

    Parameters
    ----------
    shape : sequence of int
        None as the first of it stands for the batch.
    minval, maxval : float, array or tensor
    dtype : str, optional
        Of an array; default: float32.
    seed : int or SeedGenerator, optional
        An integer: the same numbers each time.

    Returns
    -------
    ndarray or SymbolicTensor

    Raises
    ------
    ValueError
        If minval is above maxval.
    """
    dtype = _floating("uniform", dtype)
    if any(is_tensor(one) or np.ndim(one) for one in (minval, maxval)):
        return minval + (maxval - minval) * _draw("uniform", "uniform", shape, 0.0, 1.0, dtype, seed)
    low, high = _number("uniform", "minval", minval), _number("uniform", "maxval", maxval)
    if low > high:
        raise ValueError(f"fn.random.uniform: minval {minval} is above maxval {maxval}")
    return _draw("uniform", "uniform", shape, low, high, dtype, seed)


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Whole numbers from minval to below maxval, at most 2**32 of them; for the rest see `uniform`. In a tensor float32 has those up to 2**24."""
    low, high = _number("randint", "minval", minval), _number("randint", "maxval", maxval)
    low, high = float(np.ceil(low)), float(np.ceil(high))
    if np.dtype(dtype).kind not in "iu":
        raise ValueError(f"fn.random.randint: dtype must be one of integers, got {dtype!r}")
    if not 1 <= high - low <= 2**32:
        raise ValueError(
            f"fn.random.randint: from minval to below maxval there must be 1 to 2**32 numbers, got {minval}, {maxval}"
        )
    return _draw("randint", "integer", shape, low, high, dtype, seed, wide=True)


def _of_shapes(name: str, shape: Any, given: Mapping[str, Any]) -> list[Any]:
    """Parameters above 0 of a distribution: numbers, tensors, or arrays as they are repeated to the shape of what is drawn."""
    found = []
    for what, value in given.items():
        if is_tensor(value):
            found.append(value)
            continue
        array = np.asarray(value, np.float64)
        if not (np.all(array > 0) and np.all(np.isfinite(array))):
            raise ValueError(f"fn.random.{name}: {what} must be above 0, got {value!r}")
        found.append(array)
    return found


def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the gamma distribution of shape alpha, a number, array or tensor above 0, and scale 1; for the rest see `uniform`.

    Examples
    --------
    >>> import fastnet as fn
    >>> bool(abs(fn.random.gamma((10000,), 3.0, seed=0).mean() - 3.0) < 0.05)
    True
    """
    (alpha,) = _of_shapes("gamma", shape, {"alpha": alpha})

    def run(rows: Any, sizes: Sequence[int | None], attributes: Mapping[str, int]) -> Any:
        wanted = alpha
        if not is_tensor(alpha):
            wide = np.broadcast_to(alpha, _sizes("gamma", shape)).reshape(-1) if alpha.ndim and not is_tensor(rows) else alpha
            wanted = wide.astype(np.float32 if is_tensor(rows) else rows.dtype) if wide.ndim else float(wide)
        return FUNCTIONS["random_gammas"](rows, sizes, wanted, attributes)

    return _make("gamma", run, shape, _floating("gamma", dtype), seed)


def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the beta distribution of alpha and beta, numbers, arrays or tensors above 0; for the rest see `uniform`."""
    alpha, beta = _of_shapes("beta", shape, {"alpha": alpha, "beta": beta})
    seed = _attributes("beta", seed, at_once=CURRENT_CALL.get() is None and ROWS.get() is None)
    others = {**seed, "counter": seed.get("counter", 0) + 2**44} if seed.get("fixed") else seed
    x, y = gamma(shape, alpha, dtype, seed), gamma(shape, beta, dtype, others)
    return x / (x + y)


def bernoulli(shape: Any, p: Any = 0.5, dtype: Any = None, seed: Any = None) -> Any:
    """1 with probability p, a number, array or tensor, else 0; for the rest see `uniform`."""
    if not is_tensor(p) and not (np.all(np.asarray(p) >= 0) and np.all(np.asarray(p) <= 1)):
        raise ValueError(f"fn.random.bernoulli: p must be between 0 and 1, got {p!r}")
    drawn = _draw("bernoulli", "uniform", shape, 0.0, 1.0, None, seed)
    if isinstance(drawn, np.ndarray) and not is_tensor(p):
        return (drawn < p).astype(dtype or np.float32)
    return FUNCTIONS["less"](drawn, p)


@function
def random_dropout(inputs: Any, rate: float, shape: Sequence[int | None], seed: Mapping[str, int]) -> Any:
    """inputs times factors of this shape."""
    drawn = _emit(inputs, "uniform", tuple(shape), 0.0, 1.0, seed)
    return apply("multiply", inputs, apply("where", apply("greater_equal", drawn, rate), 1 / (1 - rate), 0.0))


def dropout(inputs: Any, rate: float, noise_shape: Sequence[int | None] | None = None, seed: Any = None) -> Any:
    """inputs with elements set to 0 with probability `rate`, the others divided by ``1 - rate``; always, also in inference.

    Parameters
    ----------
    inputs : array_like or SymbolicTensor
    rate : float
        From 0 up to but not 1.
    noise_shape : sequence of int, optional
        A shape that broadcasts to that of the inputs: along axes of size 1 elements are dropped together.
    seed : int or SeedGenerator, optional
        An integer: the same elements each time.

    Returns
    -------
    ndarray or SymbolicTensor
    """
    rate = _number("dropout", "rate", rate)
    if not 0 <= rate < 1:
        raise ValueError(f"fn.random.dropout: rate must be at least 0 and below 1, got {rate}")
    inputs = inputs if is_tensor(inputs) else np.asarray(inputs, None if np.asarray(inputs).dtype.kind == "f" else np.float32)
    given = full_shape(inputs) if noise_shape is None else tuple(noise_shape)
    if noise_shape is not None:
        given = tuple(size if one is None else one for one, size in zip(given, full_shape(inputs)))
        if len(given) != len(full_shape(inputs)) or any(one not in (1, size) for one, size in zip(given, full_shape(inputs))):
            raise ValueError(f"fn.random.dropout: noise_shape {noise_shape} does not fit inputs of shape {full_shape(inputs)}")
        if isinstance(inputs, SymbolicTensor) and HAS_BATCH.get() and given[0] == 1:
            given = given[1:]  # all rows alike
    if not rate:
        return inputs
    attributes = _attributes("dropout", seed, at_once=not is_tensor(inputs))
    return FUNCTIONS["random_dropout"](inputs, rate, given, attributes)


@function
def random_categorical(logits: Any, num_samples: int, seed: Mapping[str, int]) -> Any:
    """The place of the largest of ``logits - log(-log(u))`` (Gumbel, 1954), for each sample."""
    shape = full_shape(logits)
    drawn = _emit(logits, "uniform", (shape[0], num_samples, shape[1]), 0.0, 1.0, seed)
    noise = apply("negative", apply("log", apply("negative", apply("log", drawn))))
    return FUNCTIONS["argmax"](apply("add", FUNCTIONS["expand_dims"](logits, 1), noise), axis=-1)


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Class numbers with the probabilities ``softmax(logits)``.

    Parameters
    ----------
    logits : array_like or SymbolicTensor, shape (batch, classes)
    num_samples : int
        How many for each row.
    dtype : str
        Of an array.
    seed : int or SeedGenerator, optional
        An integer: the same numbers each time.

    Returns
    -------
    ndarray or SymbolicTensor, shape (batch, num_samples)
    """
    logits = logits if is_tensor(logits) else np.asarray(logits, None if np.asarray(logits).dtype.kind == "f" else np.float32)
    if len(full_shape(logits)) != 2:
        raise ValueError(f"fn.random.categorical: logits must have shape (batch, classes), got {full_shape(logits)}")
    if operator.index(num_samples) < 1:
        raise ValueError(f"fn.random.categorical: num_samples must be at least 1, got {num_samples}")
    at_once = not is_tensor(logits)
    found = FUNCTIONS["random_categorical"](logits, operator.index(num_samples), _attributes("categorical", seed, at_once))
    return found.astype(dtype) if at_once else found


@function
def random_order(x: Any, place: int, seed: Mapping[str, int]) -> Any:
    """x in the order of random numbers along an axis of the sample, which all rows share."""
    sizes = [1] * len(x.sample_shape)
    sizes[place] = x.sample_shape[place]
    keys = _emit(x, "uniform", tuple(sizes), 0.0, 1.0, seed)
    axis = place + int(HAS_BATCH.get())
    return FUNCTIONS["take_along_axis"](x, FUNCTIONS["argsort"](keys, axis=axis), axis=axis)


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """x in another order along an axis; of a tensor along another one than the batch, in the same order in all rows.

    Parameters
    ----------
    x : array_like or SymbolicTensor
    axis : int
    seed : int or SeedGenerator, optional
        An integer: the same order each time.
    """
    if is_tensor(x):
        return FUNCTIONS["random_order"](x, normalize_axis("shuffle", x, axis), _attributes("shuffle", seed, at_once=False))
    x = np.asarray(x)
    keys = _draw("shuffle", "uniform", (x.shape[axis],), 0.0, 1.0, "float64", _attributes("shuffle", seed, at_once=True))
    return np.take(x, np.argsort(keys, kind="stable"), axis)
