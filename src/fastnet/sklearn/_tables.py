"""Frames with text, categories, dates, booleans and gaps, as numbers for a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..utils.table_encoder import TableEncoder

__all__ = ["Table", "is_table"]


def is_table(X: Any) -> bool:
    """Whether this is a table of Arrow, or a frame that is not numbers alone: with text, categories, dates, booleans, or gaps."""
    if hasattr(X, "column_names") and hasattr(X, "num_rows"):
        return True
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
    """What `fastnet.utils.TableEncoder` learns of a frame, as one matrix: its numbers, then its indices.

    Parameters
    ----------
    X : frame
    max_one_hot : int
        Categories of a column that have a number each; of larger ones an index is left.

    Attributes
    ----------
    scaled : ndarray of bool
        Which of the columns of the matrix are to be scaled.
    cardinalities : list of int
        Of the indices.
    """

    def __init__(self, X: Any, max_one_hot: int) -> None:
        self._encoder = TableEncoder(max_one_hot=max_one_hot)
        self._encoder._hint = (
            "another kind of column: fit with one that the frame says is a category, as astype('category') makes of {0!r}"
        )
        self._encoder.adapt(X)
        self.cardinalities = self._encoder.cardinalities
        self.scaled = np.concatenate([self._encoder.scaled_features, np.zeros(len(self.cardinalities), bool)])

    def encode(self, X: Any, dtype: Any) -> np.ndarray:
        """The matrix of a frame with the same columns, (n, len(scaled)); ValueError where one is missing."""
        if not hasattr(X, "columns"):
            raise ValueError(f"expected a frame with the columns {list(self._encoder.recognised)}, got {type(X).__name__}")
        return np.concatenate(self._encoder.transform(X), axis=1, dtype=dtype, casting="unsafe")
