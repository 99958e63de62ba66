"""Intersection over union: how much predicted and true regions of classes have in common."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Metric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]


class IoU(Metric):
    """Mean over some classes of ``tp / (tp + fp + fn)``: intersection of predicted and true positions over their union.

    Parameters
    ----------
    num_classes : int
    target_class_ids : sequence of int
        The classes that the mean is of; those that are neither predicted nor there are left out.
    name : str
    dtype
        Accepted as Keras does.
    ignore_class : int, optional
        Positions of this class do not count.
    sparse_y_true, sparse_y_pred : bool
        Whether targets, and predictions, are class numbers, or have a number for each class along `axis`, of which the largest counts.
    axis : int

    Examples
    --------
    >>> round(IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str = "io_u",
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        self._take(num_classes, target_class_ids, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)

    def _take(
        self,
        num_classes: int,
        target_class_ids: Sequence[int] | None,
        name: str,
        dtype: Any,
        ignore_class: int | None,
        sparse_y_true: bool,
        sparse_y_pred: bool,
        axis: int,
    ) -> None:
        """Checks and stores the arguments; None for classes: all."""
        Metric.__init__(self, dtype, name)
        self.num_classes = operator.index(num_classes)
        if self.num_classes < 1:
            raise ValueError(f"{type(self).__name__}: num_classes must be at least 1, got {num_classes}")
        self.target_class_ids = list(range(self.num_classes)) if target_class_ids is None else list(target_class_ids)
        if any(not 0 <= one < self.num_classes for one in self.target_class_ids):
            raise ValueError(
                f"{type(self).__name__}: target_class_ids must be from 0 to {self.num_classes - 1}, got {target_class_ids}"
            )
        self.ignore_class = ignore_class
        self.sparse_y_true, self.sparse_y_pred = bool(sparse_y_true), bool(sparse_y_pred)
        self.axis = operator.index(axis)
        self.total_cm = self.add_variable((self.num_classes, self.num_classes), name="total_confusion_matrix")

    def _classes(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        true = y_true if self.sparse_y_true else y_true.argmax(axis=self.axis)
        return true, y_pred if self.sparse_y_pred else y_pred.argmax(axis=self.axis)

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Counts positions.

        Parameters
        ----------
        y_true, y_pred : array_like
            Class numbers, or a number for each class, as the arguments say.
        sample_weight : array_like, optional
            How much each row, or each position, counts.

        Raises
        ------
        ValueError
            If there are not as many predictions as targets, or a class number is out of range.
        """
        true, found = self._classes(np.asarray(y_true), np.asarray(y_pred))
        weights = np.ones(true.shape)
        if sample_weight is not None:
            given = np.asarray(sample_weight, np.float64)
            weights = np.broadcast_to(given.reshape(given.shape + (1,) * (true.ndim - given.ndim)), true.shape)
        true, found, weights = (array.reshape(-1) for array in (true, found, weights))
        if len(true) != len(found):
            raise ValueError(
                f"{self.name}: {len(true)} targets and {len(found)} predictions: see sparse_y_true and sparse_y_pred"
            )
        if self.ignore_class is not None:
            counts = true != self.ignore_class
            true, found, weights = true[counts], found[counts], weights[counts]
        pairs = []
        for what, classes in (("y_true", true), ("y_pred", found)):
            numbers = classes.astype(np.int64)
            if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self.num_classes:
                raise ValueError(f"{self.name}: {what} holds class numbers that are not from 0 to {self.num_classes - 1}")
            pairs.append(numbers)
        counted = np.bincount(pairs[0] * self.num_classes + pairs[1], weights, self.num_classes**2)
        self.total_cm.assign_add(counted.reshape(self.num_classes, self.num_classes))

    def result(self) -> float:
        matrix = np.asarray(self.total_cm)
        common = np.diagonal(matrix)[self.target_class_ids]
        union = (matrix.sum(axis=0) + matrix.sum(axis=1) - np.diagonal(matrix))[self.target_class_ids]
        there = int((union > 1e-9).sum())
        return float((common / (union + 1e-7)).sum() / there) if there else 0.0


class MeanIoU(IoU):
    """`IoU` of all classes.

    Parameters
    ----------
    num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        As in `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        name: str = "mean_io_u",
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        self._take(num_classes, None, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` of one-hot targets and, unless said otherwise, of scores of classes.

    Parameters
    ----------
    num_classes, target_class_ids, name, dtype, ignore_class, sparse_y_pred, axis
        As in `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str = "one_hot_io_u",
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        self._take(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(IoU):
    """`IoU` of all classes, of one-hot targets and, unless said otherwise, of scores of classes.

    Parameters
    ----------
    num_classes, name, dtype, ignore_class, sparse_y_pred, axis
        As in `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        name: str = "one_hot_mean_io_u",
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        self._take(num_classes, None, name, dtype, ignore_class, False, sparse_y_pred, axis)


class BinaryIoU(IoU):
    """`IoU` of yes-or-no decisions.

    Parameters
    ----------
    target_class_ids : sequence of int
        Of 0, no, and 1, yes.
    threshold : float
        A prediction from there on means yes.
    name : str
    dtype
        Accepted as Keras does.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str = "binary_io_u",
        dtype: Any = None,
    ) -> None:
        self._take(2, target_class_ids, name, dtype, None, True, True, -1)
        self.threshold = threshold

    def _classes(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return y_true, y_pred >= self.threshold
