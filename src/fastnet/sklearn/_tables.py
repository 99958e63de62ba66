"""Frames with text, categories, dates, booleans and gaps, as numbers for a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..utils.table_encoder import TableEncoder

__all__ = ["Table", "is_table"]

#: Categories of a column that have a number of their own.
_MOST = 255


def is_table(X: Any) -> bool:
    """Whether this is a frame that is not numbers alone: with text, categories, dates, booleans, or gaps."""
    if not (hasattr(X, "columns") and hasattr(X, "to_numpy") and len(X.shape) == 2):
        return False
    for name in X.columns:
        values = np.asarray(X[name])
        if values.ndim != 1:
            return False  # two columns of one name
        if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and np.isnan(values).any()):
            return True
    return False


class Table:
    """What `fastnet.utils.TableEncoder` learns of a frame, all of it as numbers.

    Parameters
    ----------
    X : frame

    Attributes
    ----------
    scaled : ndarray of bool
        Which of the numbers are to be scaled: those of columns of numbers and dates, not those that are yes or no.
    """

    def __init__(self, X: Any) -> None:
        self._encoder = TableEncoder(max_one_hot=_MOST, max_categories=_MOST).fit(X)
        kinds = self._encoder.recognised
        self.scaled = np.array([kinds.get(name) in ("number", "date") for name in self._encoder.feature_names])

    def encode(self, X: Any, dtype: Any) -> np.ndarray:
        """The numbers of a frame with the same columns, (n, len(scaled)); ValueError where one is missing."""
        if not hasattr(X, "columns"):
            raise ValueError(f"expected a frame with the columns {list(self._encoder.recognised)}, got {type(X).__name__}")
        return self._encoder.transform(X)[0].astype(dtype)
