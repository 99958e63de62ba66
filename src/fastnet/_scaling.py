"""What estimators and the command line learn of numbers before training, and the layers that scale them by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import layers, ops
from .initializers import TruncatedNormal

__all__ = ["SCALINGS", "Scaling", "as_counts", "embed_indices", "mean_and_deviation"]

SCALINGS = ("standard", "robust", "piecewise", "periodic")

#: The distance between the quartiles of a normal distribution of deviation 1.
_NORMAL_QUARTILES = 1.3489795003921634
#: Numbers beyond it are not scaled: a million of their squares add up to the largest number there is.
_LARGEST = 1e150
#: Parts of a feature with "piecewise".
_PARTS = 32
#: How many times larger or smaller than those of the others the numbers of a sparse column are, if it has another unit.
_OTHER_UNIT = 10.0
#: Waves of a feature with "periodic", their deviation in turns per deviation of the feature, and numbers that they become.
_WAVES, _FREQUENCY, _EMBEDDED = 32, 0.1, 16


def mean_and_deviation(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Of each column, in float64; the deviation of a column that is constant is 1.

    Raises
    ------
    ValueError
        For numbers whose squares are infinite.
    """
    _check_squares(np.abs(values).max(axis=0, initial=0.0))
    origin = values[:1].astype(np.float64)
    apart = values - origin
    mean = np.average(apart, axis=0, weights=weights)
    variance = np.average((apart - mean) ** 2, axis=0, weights=weights)
    mean = mean + origin[0]
    deviation = np.sqrt(variance)
    constant = deviation <= 10 * np.finfo(values.dtype).eps * np.abs(mean)
    return mean, np.where(constant, 1.0, deviation)


def _check_squares(largest: np.ndarray) -> None:
    """ValueError where the squares of numbers as large as these, and sums of them, may be infinite."""
    if largest.size and float(largest.max()) > _LARGEST:
        raise ValueError(
            f"column {int(largest.argmax())} has numbers as large as {largest.max():.3g}, whose squares are infinite: divide them before they "
            "are scaled"
        )


def _sparse_mean_and_deviation(x: Any, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """As `mean_and_deviation`, of a matrix in CSR format, from its non-zeros: what is left of a column are as many zeros."""
    n, columns = x.shape
    of_rows = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    part = of_rows / of_rows.sum()
    of_numbers, values = np.repeat(part, np.diff(x.indptr)), x.data.astype(np.float64)
    _check_squares(_largest(x))
    mean = np.bincount(x.indices, of_numbers * values, columns)
    zeros = 1.0 - np.bincount(x.indices, of_numbers, columns)
    variance = np.bincount(x.indices, of_numbers * (values - mean[x.indices]) ** 2, columns) + np.maximum(zeros, 0.0) * mean**2
    deviation = np.sqrt(variance)
    constant = deviation <= 10 * np.finfo(x.dtype).eps * np.abs(mean)
    return mean, np.where(constant, 1.0, deviation)


def _common_size(x: Any, weights: np.ndarray | None) -> np.ndarray:
    """What the columns of a matrix in CSR format are divided by, so that numbers are about 1: by one number for all, the median of their
    sizes, but for those of another unit, which have their own. The size of a column is the root of the mean square of its non-zeros.

    What rare and frequent words say beside each other, or tf-idf, is kept, where a factor for each column would undo it.
    """
    _check_squares(_largest(x))
    n, columns = x.shape
    used = x.data != 0
    of_numbers = np.repeat(np.ones(n) if weights is None else weights, np.diff(x.indptr))[used]
    places, values = x.indices[used], x.data[used].astype(np.float64)
    count = np.bincount(places, of_numbers, columns)
    sizes = np.sqrt(np.bincount(places, of_numbers * values**2, columns) / np.where(count > 0, count, 1.0))
    there = sizes > 0
    if not there.any():
        return np.ones(columns)
    middle = np.median(sizes[there])
    other = there & ((sizes > _OTHER_UNIT * middle) | (sizes < middle / _OTHER_UNIT))
    return np.where(other, sizes, middle)


def _largest(x: Any) -> np.ndarray:
    """The largest absolute value of each column, of an array or a sparse matrix; 1 where that is 0."""
    if not issparse(x):
        found = np.abs(x).max(axis=0, initial=0.0).astype(np.float64)
    else:
        found = np.zeros(x.shape[1])
        np.maximum.at(found, x.indices, np.abs(x.data.astype(np.float64)))
    return np.where(found > 0, found, 1.0)


def issparse(x: Any) -> bool:
    """Whether this is a matrix or array of scipy.sparse."""
    return hasattr(x, "tocsr")


def as_counts(weights: np.ndarray | None) -> np.ndarray | None:
    """How many rows each row stands for: weights that are whole numbers, and others divided by their mean, as their unit says nothing."""
    if weights is None or np.array_equal(weights, np.floor(weights)):
        return weights
    return weights / weights.mean()


def _quantiles(column: np.ndarray, places: Any, counts: np.ndarray | None, method: str) -> np.ndarray:
    """Those of a column in which each row is as often as `counts` says, by `method` "nearest" or "linear"."""
    if counts is None:
        return np.quantile(column, places, method=method)
    order = np.argsort(column, kind="stable")
    ends = np.cumsum(counts[order])  # of the ranks that a value has
    ranks = np.asarray(places) * max(ends[-1] - 1, 0.0)

    def at(rank: np.ndarray) -> np.ndarray:
        return column[order[np.minimum(np.searchsorted(ends, rank, side="right"), len(order) - 1)]]

    if method == "nearest":
        return at(np.round(ranks))
    low = np.floor(ranks)
    below, above = at(low), at(low + 1)
    return below + (ranks - low) * (above - below)


def _edges(column: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """Bounds of parts of a feature: quantiles of its rows, and where many rows are alike, of its different values, too."""
    found = np.unique(_quantiles(column, np.linspace(0, 1, _PARTS + 1), counts, "nearest"))
    if len(found) > _PARTS // 2:
        return found
    return np.unique([*found, *np.quantile(np.unique(column), np.linspace(0, 1, _PARTS + 1 - len(found)), method="nearest")])


def embed_indices(indices: Any, cardinalities: Sequence[int]) -> list[Any]:
    """An `Embedding` of ``min(50, ceil(1.6 * cardinality**0.56))`` numbers for each column of indices: tensors (None, numbers)."""
    found = []
    for i, count in enumerate(cardinalities):
        embedding = layers.Embedding(count, min(50, math.ceil(1.6 * count**0.56)))
        found.append(layers.Flatten()(embedding(indices[:, i : i + 1])))
    return found


class Scaling:
    """How a network scales its inputs.

    Parameters
    ----------
    kind : {"standard", "max_abs", "common", "robust", "piecewise", "periodic", None}
        By mean and deviation, where x is sparse by the deviation alone, which leaves zeros where they are; by the largest absolute value,
        which does so too; of sparse x all columns by one number, see `_common_size`; by median and the distance between the quartiles, where that is not 0; the first, and beside it each
        feature as its place within each of up to 32 parts of equal counts, 0 before and 1 after it; the first, and beside it sines and
        cosines of each feature, of frequencies that are learnt, behind a dense layer of its own (Gorishniy et al., 2022); not at all.
    scaled : ndarray of bool, shape (features,)
        The features that are scaled; the others stay as they are.
    x : ndarray or sparse matrix in CSR format, shape (n, features)
        A sparse one goes with the first three, and None.
    weights : ndarray, optional
        Of the rows, none of them 0: a row of weight 2 counts as two, by `as_counts`.
    cardinalities : sequence of int
        The last features are indices, of so many values each, and get an `Embedding`.
    """

    def __init__(
        self,
        kind: str | None,
        scaled: np.ndarray,
        x: np.ndarray,
        weights: np.ndarray | None = None,
        cardinalities: Sequence[int] = (),
    ) -> None:
        self.cardinalities = list(cardinalities)
        x, scaled = x[:, : x.shape[1] - len(self.cardinalities)], scaled[: x.shape[1] - len(self.cardinalities)]
        self.kind = kind if x.shape[1] else None
        if self.kind is None:
            return
        counts = as_counts(weights)
        if kind == "max_abs":
            self.mean, self.deviation = np.zeros(x.shape[1]), _largest(x)
            _check_squares(self.deviation)
        elif kind == "common":
            self.mean, self.deviation = np.zeros(x.shape[1]), _common_size(x, weights)
        elif issparse(x):
            self.mean, self.deviation = np.zeros(x.shape[1]), _sparse_mean_and_deviation(x, weights)[1]
        else:
            self.mean, self.deviation = mean_and_deviation(x, weights)
        self.mean, self.deviation = np.where(scaled, self.mean, 0.0), np.where(scaled, self.deviation, 1.0)
        if kind == "robust":
            columns = x.astype(np.float64).T
            low, middle, high = np.transpose([_quantiles(column, [0.25, 0.5, 0.75], counts, "linear") for column in columns])
            spread = (high - low) / _NORMAL_QUARTILES
            robust = scaled & (spread > 0)
            self.mean, self.deviation = np.where(robust, middle, self.mean), np.where(robust, spread, self.deviation)
        elif kind in ("piecewise", "periodic"):
            edges = [_edges(column, counts) if flag else column[:1] for column, flag in zip(x.T, scaled)]
            # A feature of two values is as good as it is.
            used = [i for i, one in enumerate(edges) if len(one) > 2]
            if kind == "periodic":
                self.features = np.array(used, int)
                return
            self.features = np.concatenate([np.full(len(edges[i]) - 1, i) for i in used] or [[]]).astype(int)
            self.lows = np.concatenate([edges[i][:-1] for i in used] or [[]])
            self.widths = np.concatenate([np.diff(edges[i]) for i in used] or [[]])

    def apply(self, x: Any) -> Any:
        """The scaled inputs, by layers that are made for them.

        Parameters
        ----------
        x : SymbolicTensor, shape (None, features)

        Returns
        -------
        SymbolicTensor, shape (None, numbers)
        """
        if not self.cardinalities:
            return self._scaled(x)
        numbers = x.shape[-1] - len(self.cardinalities)
        parts = [self._scaled(x[:, :numbers])] if numbers else []
        parts += embed_indices(x[:, numbers:], self.cardinalities)
        return parts[0] if len(parts) == 1 else layers.Concatenate()(parts)

    def _scaled(self, x: Any) -> Any:
        if self.kind is None:
            return x
        scaled = layers.Normalization(mean=self.mean, variance=self.deviation**2)(x)
        if self.kind not in ("piecewise", "periodic") or not len(self.features):
            return scaled
        more = self._places(x) if self.kind == "piecewise" else self._waves(scaled)
        return layers.Concatenate()([scaled, more])

    def _places(self, x: Any) -> Any:
        return ops.clip((ops.take(x, self.features, axis=-1) - self.lows) / self.widths, 0.0, 1.0)

    def _waves(self, scaled: Any) -> Any:
        count = len(self.features)
        frequencies = TruncatedNormal(0.0, 2 * np.pi * _FREQUENCY)
        turns = layers.EinsumDense("bf,fk->bfk", (count, _WAVES), kernel_initializer=frequencies)(
            ops.take(scaled, self.features, axis=-1)
        )
        waves = ops.concatenate([ops.sin(turns), ops.cos(turns)], axis=-1)
        embedded = layers.EinsumDense("bfk,fkd->bfd", (count, _EMBEDDED), "relu", bias_axes="fd")(waves)
        return layers.Flatten()(embedded)
