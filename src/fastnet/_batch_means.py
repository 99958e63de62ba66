"""The mean over a batch, as losses written for Keras end in it: ``ops.mean(ops.square(y_true - y_pred))``.

A model computes row by row, so that such a mean is a number for each row whose mean is yet to be taken. It can be added to others and
scaled, which is the same for each row; for what is not, as a root, there is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._graph import SymbolicTensor

__all__ = ["BatchMean", "rows_of_loss"]


class BatchMean:
    """The mean over the batch of a number for each row.

    Attributes
    ----------
    rows : SymbolicTensor
        The numbers, of shape (batch,).
    """

    __array_priority__ = 1000

    def __init__(self, rows: SymbolicTensor) -> None:
        self.rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        """That of a number."""
        return ()

    def __repr__(self) -> str:
        return "<the mean over a batch>"

    def _refused(self, what: str, other: Any) -> TypeError:
        return TypeError(
            f"{self!r} can be added to another one and scaled by a number, and be a loss; it cannot be {what} {other!r}, as a model "
            "computes row by row: take the mean over the other axes, axis=-1, and leave that over the batch to the loss"
        )

    def __add__(self, other: Any) -> BatchMean:
        if isinstance(other, BatchMean):
            return BatchMean(self.rows + other.rows)
        return BatchMean(self.rows + self._number("added to", other))

    __radd__ = __add__

    def __neg__(self) -> BatchMean:
        return BatchMean(-self.rows)

    def __sub__(self, other: Any) -> BatchMean:
        return self + (-other if isinstance(other, BatchMean) else -self._number("added to", other))

    def __rsub__(self, other: Any) -> BatchMean:
        return -self + other

    def __mul__(self, other: Any) -> BatchMean:
        return BatchMean(self.rows * self._number("multiplied by", other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> BatchMean:
        return BatchMean(self.rows / self._number("divided by", other))

    def _number(self, what: str, other: Any) -> float:
        if isinstance(other, (int, float, np.number)) or (isinstance(other, np.ndarray) and other.ndim == 0):
            return float(other)
        raise self._refused(what, other)


def _unknown(what: str) -> Callable[..., Any]:
    def refuse(self: BatchMean, other: Any = "") -> Any:
        raise self._refused(what, other)

    return refuse


for _name, _what in {
    "pow": "raised to", "rpow": "an exponent of", "rtruediv": "a divisor of", "matmul": "multiplied with", "rmatmul": "multiplied with",
    "lt": "compared with", "le": "compared with", "gt": "compared with", "ge": "compared with", "getitem": "indexed by",
    "float": "made into a number", "bool": "a condition", "array": "made into an array",
}.items():  # fmt: skip
    setattr(BatchMean, f"__{_name}__", _unknown(_what))


def rows_of_loss(loss: Any) -> Any:
    """The numbers of the rows of a loss that is the mean over a batch; others as they are."""
    return loss.rows if isinstance(loss, BatchMean) else loss
