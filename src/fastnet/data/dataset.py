"""Rows in memory that are given batch by batch, as `fit` takes them in place of arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["Dataset", "PyDataset", "is_dataset", "own_data", "unpack"]


class Dataset:
    """Arrays that know their batch size: what the functions of `fastnet.utils` return that make data ready.

    `fit`, `evaluate` and `predict` take it in place of x and y, with its batch size; a loop over it gives the batches.

    Parameters
    ----------
    x : ndarray, or a tuple, list or dictionary of them
    y, sample_weight : the same, optional
    batch_size : int or None
        None: a batch is one row, without the axis of the rows.
    shuffle : bool
        Another order of the rows in each loop. `fit` shuffles by itself.
    seed : int, optional
        Of that order.
    class_names : list of str, optional
        What the class numbers in y stand for.

    Examples
    --------
    >>> import numpy as np
    >>> data = Dataset(np.arange(5.0), np.arange(5), batch_size=2)
    >>> len(data), [y.tolist() for x, y in data]
    (3, [[0, 1], [2, 3], [4]])
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = 32,
        shuffle: bool = False,
        seed: int | None = None,
        class_names: list[str] | None = None,
    ) -> None:
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.batch_size, self.shuffle, self.seed, self.class_names = batch_size, shuffle, seed, class_names
        self.n_rows = len(_first(x))
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return self.n_rows if self.batch_size is None else math.ceil(self.n_rows / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        order = self._rng.permutation(self.n_rows) if self.shuffle else None
        for i in range(len(self)):
            rows: Any = i if self.batch_size is None else slice(i * self.batch_size, (i + 1) * self.batch_size)
            if order is not None:
                rows = order[rows]
            yield self._packed(rows)

    def _packed(self, rows: Any) -> Any:
        parts = [_rows_of(part, rows) for part in (self.x, self.y, self.sample_weight)]
        while len(parts) > 1 and parts[-1] is None:
            parts.pop()
        return parts[0] if len(parts) == 1 else tuple(parts)

    def rows(self, rows: Any) -> Dataset:
        """A data set of some of the rows: a slice, or an array of their numbers."""
        x, y, weight = (_rows_of(part, rows) for part in (self.x, self.y, self.sample_weight))
        return Dataset(
            x, y, weight, batch_size=self.batch_size, shuffle=self.shuffle, seed=self.seed, class_names=self.class_names
        )

    def batch(self, batch_size: int) -> Dataset:
        """The same rows in batches of another size."""
        return Dataset(
            self.x, self.y, self.sample_weight, batch_size=batch_size, shuffle=self.shuffle, seed=self.seed, class_names=self.class_names
        )  # fmt: skip


def _first(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = list(value.values())
    return value[0] if isinstance(value, (tuple, list)) else value


def _rows_of(value: Any, rows: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {name: one[rows] for name, one in value.items()}
    return type(value)(one[rows] for one in value) if isinstance(value, (tuple, list)) else value[rows]


class PyDataset:
    """Base of data whose batches are made by Python, as `keras.utils.PyDataset`: a subclass has ``__len__`` and ``__getitem__``.

    `fit`, `evaluate` and `predict` take it in place of x and y. Each epoch its batches are asked for anew, one after another, in a thread
    that is some batches ahead of the engine. `fit` visits them in another order in each epoch, unless it is told ``shuffle=False``.

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size
        Accepted as Keras does.

    Examples
    --------
    >>> import fastnet as fn, numpy as np
    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...
    ...     def __getitem__(self, index):
    ...         x = np.arange(3.0) + 3 * index
    ...         return x, x**2
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> model.fit(Squares(), epochs=2, verbose=0).epoch
    [0, 1]
    >>> model.predict(Squares()).shape
    (6, 1)
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not say how many batches there are: __len__")

    def __getitem__(self, index: int) -> Any:
        """A batch: ``(x, y)``, ``(x, y, sample_weight)``, or x alone."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a batch is: __getitem__")

    @property
    def num_batches(self) -> int | None:
        """As many as ``len`` says; None: there is no end, and `fit` is to be given steps_per_epoch."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before the first batch of an epoch is asked for."""

    def on_epoch_end(self) -> None:
        """Called after the last batch of an epoch has been trained on."""


def is_dataset(x: Any) -> bool:
    """Whether x is arrays with their own targets and batch size."""
    return isinstance(x, Dataset)


def unpack(x: Any, y: Any, sample_weight: Any, batch_size: int | None) -> tuple[Any, Any, Any, int | None]:
    """The arrays and the batch size of a `Dataset` that was given as x, and what was given with other data as it is.

    Raises
    ------
    ValueError
        If y, weights or a batch size are given with a data set, which has its own.
    """
    if not isinstance(x, Dataset):
        return x, y, sample_weight, batch_size
    x = own_data(x, y, sample_weight, batch_size)
    return x.x, x.y, x.sample_weight, x.batch_size


def own_data(x: Any, y: Any, sample_weight: Any, batch_size: int | None) -> Any:
    """Data that have their own targets, weights and batches; ValueError if any are given besides."""
    for name, given in (("y", y), ("sample_weight", sample_weight), ("batch_size", batch_size)):
        if given is not None:
            raise ValueError(
                f"x is {'a data set' if isinstance(x, Dataset) else f'a {type(x).__name__}'}, which has its own {name}"
            )
    return x
