"""Sums and means over the rows of a batch, which are known to a loss and to a metric alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._graph import FUNCTIONS, SymbolicTensor
from ._step_context import STEP
from ._weights import Weight

__all__ = ["Increment", "Total", "over_rows", "rows_of", "rows_of_mean"]

Term = tuple[SymbolicTensor | None, float, bool]


class Total:
    """Sums and means over the rows of a batch, times numbers: what `fastnet.ops.sum` and `mean` over the batch are.

    Attributes
    ----------
    terms : list of (SymbolicTensor or None, factor, is_mean)
        Whose sums or means over the rows are added; None: 1 for each row, whose mean is a number.
    """

    #: Variables and arrays leave operators to it.
    __array_ufunc__ = None

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = list(terms)
        shapes = {tensor.sample_shape for tensor, _, _ in terms if tensor is not None}
        if len(shapes) > 1:
            raise _refusal(f"of different shapes, {sorted(shapes)}, added")

    def __mul__(self, factor: Any) -> Total:
        if isinstance(factor, (int, float, np.number)):
            return Total([(tensor, number * float(factor), mean) for tensor, number, mean in self.terms])
        if isinstance(factor, Weight):
            return _with_weights("multiply", [self, factor])
        raise _refusal("multiplied by what is no number")

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Total:
        if isinstance(divisor, (int, float, np.number)):
            return self * (1.0 / float(divisor))
        if isinstance(divisor, Weight):
            return _with_weights("divide", [self, divisor])
        raise _refusal("divided by what is no number")

    def __neg__(self) -> Total:
        return self * -1.0

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Total):
            return Total([*self.terms, *other.terms])
        if isinstance(other, Weight):
            return _with_weights("add", [self, other])
        if hasattr(other, "assign_add"):  # a variable of a metric
            return Increment(other, self)
        if isinstance(other, (int, float, np.number)) and all(mean for _, _, mean in self.terms):
            return Total([*self.terms, (None, float(other), True)])
        raise _refusal("added to what is none")

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self + (-other if isinstance(other, (Total, Weight, int, float, np.number)) else other)

    def __rsub__(self, other: Any) -> Any:
        return (-self) + other

    @property
    def shape(self) -> tuple[int, ...]:
        """That of a number."""
        return ()

    def backward(self, gradient: Any = None, retain_graph: bool = True, create_graph: bool = False) -> None:
        """In a `train_step`: PyTorch's way to ask for the derivative by all weights, which ``weight.value.grad`` is then."""
        trace = STEP.get()
        if trace is None:
            raise _refusal("asked for 'backward'")
        trace.backward(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _refusal(f"asked for {name!r}")

    def __repr__(self) -> str:
        return "<sum or mean over the rows of a batch, for losses and metrics alone; of each row: axis=(1, ...)>"


def _unknown(what: str) -> Any:
    def refuse(self: Total, *other: Any) -> Any:
        raise _refusal(what)

    return refuse


for _name, _what in {
    "pow": "raised to a power", "rpow": "an exponent", "rtruediv": "a divisor", "matmul": "multiplied with a matrix",
    "rmatmul": "multiplied with a matrix", "lt": "compared", "le": "compared", "gt": "compared", "ge": "compared", "getitem": "indexed",
    "float": "made into a number", "int": "made into a number", "bool": "a condition", "array": "made into an array",
}.items():  # fmt: skip
    setattr(Total, f"__{_name}__", _unknown(_what))


def rows_of_mean(total: Total, what: str) -> SymbolicTensor:
    """A mean over the rows of a batch as a number for each row; ValueError where it is something else."""
    known = [(tensor, factor) for tensor, factor, _ in total.terms if tensor is not None]
    if not known or not all(is_mean for *_, is_mean in total.terms) or any(tensor.sample_shape != () for tensor, _ in known):
        raise ValueError(
            f"{what} is a sum over the rows of the batch: return a number for each row, by axis=(1,) or more, or a mean over all axes"
        )
    result = sum(factor for tensor, factor, _ in total.terms if tensor is None)
    for tensor, factor in known:
        scaled = tensor if factor == 1 else tensor * factor
        result = scaled if isinstance(result, (int, float)) and result == 0 else result + scaled
    return result


def rows_of(weight: Weight, like: SymbolicTensor, what: str) -> SymbolicTensor:
    """A number that is made of weights alone as one of each row of a tensor; ValueError where it is no number."""
    if math.prod(weight.shape) != 1:
        raise ValueError(
            f"{what} is made of weights alone and has shape {weight.shape}, expected a number: sum over it, by fn.ops.sum"
        )
    row = FUNCTIONS["get_item"](like, (slice(None), *[0] * len(like.sample_shape))) if like.sample_shape else like
    return FUNCTIONS["where"](0.0, row, weight)


def _with_weights(name: str, given: Sequence[Any]) -> Any:
    """A sum over rows and what is made of weights, added, subtracted or multiplied."""
    total = next(one for one in given if isinstance(one, Total))
    weight = next(one for one in given if isinstance(one, Weight))
    like = next((tensor for tensor, _, _ in total.terms if tensor is not None), None)
    if like is None:
        raise _refusal("of a number of rows, computed with weights")
    if name == "multiply" or (name == "divide" and given[0] is total):
        ones = FUNCTIONS["where"](0.0, rows_of(weight, like, "a factor"), 1.0)
        terms = [(ones if tensor is None else tensor, factor, mean) for tensor, factor, mean in total.terms]
        return Total([(FUNCTIONS[name](tensor, weight), factor, mean) for tensor, factor, mean in terms])
    rows = Total([(rows_of(weight, like, "what is added to a sum over rows"), 1.0, True)])
    a, b = (rows if one is weight else one for one in given)
    return a + b if name == "add" else a - b


class Increment:
    """A variable and what is added to it, on the way to `assign`."""

    __array_ufunc__ = None

    def __init__(self, variable: Any, total: Total) -> None:
        self.variable, self.total = variable, total


def _refusal(what: str) -> ValueError:
    return ValueError(
        f"a sum or mean over the rows of a batch is {what}: a model does not compute over the batch, whose rows are predicted one by one. "
        "Such sums can be added, multiplied by numbers, given to add_loss, and added to the variables of a metric; a mean can be a loss. "
        "For the numbers of each row say axis=(1,) or more"
    )


def over_rows(name: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """A function of `fastnet.ops` whose result is over the rows; NotImplemented for all others."""
    given = [*args, *options.values()]
    if any(isinstance(value, (Total, Increment)) for value in given):
        if name in ("cast", "convert_to_tensor") and isinstance(args[0], Total):
            return args[0]
        if name == "negative":
            return -args[0]
        if name in ("add", "subtract", "multiply", "divide") and any(isinstance(value, Weight) for value in given):
            return _with_weights(name, given)
        if name in ("add", "subtract", "multiply", "divide") and not any(isinstance(value, SymbolicTensor) for value in given):
            a, b = given
            return {"add": lambda: a + b, "subtract": lambda: a - b, "multiply": lambda: a * b, "divide": lambda: a / b}[name]()
        raise _refusal(f"given to fn.ops.{name}")
    if name not in ("sum", "mean", "count_nonzero") or not args or not isinstance(args[0], SymbolicTensor):
        return NotImplemented
    x = args[0]
    axis = args[1] if len(args) > 1 else options.get("axis")
    rank = 1 + len(x.sample_shape)
    try:
        axes = (
            range(rank)
            if axis is None
            else [one + rank * (one < 0) for one in (axis if isinstance(axis, (tuple, list)) else [axis])]
        )
    except TypeError:
        return NotImplemented
    if 0 not in axes or options.get("keepdims") or len(args) > 2:
        return NotImplemented
    rest = tuple(one for one in axes if one > 0)
    values = FUNCTIONS["not_equal"](x, 0.0) if name == "count_nonzero" else x
    is_mean = name == "mean"
    return Total([(FUNCTIONS["mean" if is_mean else "sum"](values, axis=rest) if rest else values, 1.0, is_mean)])
