"""What layers that scale learn from data: mean, variance and range of each feature."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _data
from ..data.dataset import inputs_in
from .base import Layer

__all__ = ["statistics_of"]

#: Numbers that are looked at at once.
_CHUNK = 1 << 18


def _rows_of(layer: Layer, data: Any) -> np.ndarray:
    """The data as an array [n][...][features]: a view wherever possible."""
    array = _data.as_array(data, f"layer {layer._label!r}: data")
    if array.size == 0:
        raise ValueError(f"layer {layer._label!r}: data is empty")
    return array if array.ndim > 1 else array[:, np.newaxis]


def statistics_of(layer: Layer, data: Any, steps: int | None, gaps: bool = False) -> Statistics:
    """Those of an array, or of the inputs of what gives batches."""
    found: Statistics | None = None
    for part in inputs_in(data, steps):
        one = Statistics(_rows_of(layer, part), layer, getattr(part, "columns", None), gaps)
        if found is None:
            found = one
        elif one.mean.shape != found.mean.shape:
            raise ValueError(f"layer {layer._label!r}: data have {found.mean.size} features, and then {one.mean.size}")
        else:
            found.merge(one)
    if found is None:
        raise ValueError(f"layer {layer._label!r}: data is empty")
    return found


class Statistics:
    """Mean, variance, least and largest of each feature, in one pass over the data, part by part in float64.

    The parts are combined by the formula of Chan, Golub and LeVeque (1979), and all is counted from the first sample, so
    that a mean that is large beside the deviation does no harm.
    """

    def __init__(self, array: np.ndarray, layer: Layer, columns: Any = None, gaps: bool = False) -> None:
        features = array.shape[-1]
        if gaps and array.dtype.kind == "f" and np.isnan(array).any():
            self._count_columns(array.reshape(-1, features), layer, columns)
            return
        rows = max(1, _CHUNK // max(1, array[:1].size))
        self.count: Any = 0
        self.mean, squares = np.zeros(features), np.zeros(features)
        origin = np.array(array[:1], np.float64).reshape(-1, features)[0]
        self.least, self.largest = np.full(features, np.inf), np.full(features, -np.inf)
        for first in range(0, len(array), rows):
            part = np.asarray(array[first : first + rows], np.float64).reshape(-1, features)
            least, largest = part.min(axis=0), part.max(axis=0)
            if not np.isfinite(least + largest).all():
                finite = np.isfinite(array[first : first + rows])
                row = int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
                place = _data.place_in(first + row, ~finite[row], columns)
                raise ValueError(f"layer {layer._label!r}: data holds a NaN or an infinity in {place}")
            part = part - origin
            mean = part.mean(axis=0)
            part -= mean
            delta, total = mean - self.mean, self.count + len(part)
            squares += (part * part).sum(axis=0) + delta * delta * (self.count * len(part) / total)
            self.mean += delta * (len(part) / total)
            self.count = total
            self.least, self.largest = np.minimum(self.least, least), np.maximum(self.largest, largest)
        constant = self.least == self.largest
        self.mean = np.where(constant, self.least, self.mean + origin)
        self.variance = np.where(constant, 0.0, squares / self.count)

    def _count_columns(self, array: np.ndarray, layer: Layer, columns: Any) -> None:
        """The same of each column on its own, of what is there in it; a column of gaps alone has mean 0 and variance 1."""
        wrong = np.isinf(array)
        if wrong.any():
            row = int(np.argmax(wrong.any(axis=1)))
            raise ValueError(f"layer {layer._label!r}: data holds an infinity in {_data.place_in(row, wrong[row], columns)}")
        parts = [column[~np.isnan(column)].reshape(-1, 1) for column in array.T]
        found = [Statistics(part, layer, columns) if len(part) else None for part in parts]
        self.count = np.array([len(part) for part in parts])
        numbers = [(0.0, 1.0, 0.0, 0.0) if one is None else (one.mean, one.variance, one.least, one.largest) for one in found]
        self.mean, self.variance, self.least, self.largest = (np.hstack(part) for part in zip(*numbers))

    def merge(self, other: Statistics) -> None:
        """Adds those of more data."""
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros(self.mean.shape), where=np.broadcast_to(count > 0, self.mean.shape))
        delta = other.mean - self.mean
        squares = self.variance * self.count + other.variance * other.count + delta * delta * (self.count * share)
        none = np.broadcast_to(np.equal(self.count, 0), share.shape)
        self.least = np.where(none, other.least, np.where(share > 0, np.minimum(self.least, other.least), self.least))
        self.largest = np.where(none, other.largest, np.where(share > 0, np.maximum(self.largest, other.largest), self.largest))
        self.mean, self.count = self.mean + delta * share, count
        self.variance = np.where(count > 0, squares / np.maximum(count, 1), 1.0)
        constant = (self.least == self.largest) & (count > 0)
        self.mean, self.variance = np.where(constant, self.least, self.mean), np.where(constant, 0.0, self.variance)

    def over_all(self) -> tuple[float, float]:
        """Mean and variance of all features together."""
        shares = np.broadcast_to(self.count, self.mean.shape) / max(1, np.broadcast_to(self.count, self.mean.shape).sum())
        mean = (shares * self.mean).sum()
        return float(mean), float((shares * (self.variance + (self.mean - mean) ** 2)).sum())
