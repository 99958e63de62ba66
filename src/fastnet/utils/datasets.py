"""Data sets from arrays: split in two, and windows of a time series."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.dataset import Dataset, PyDataset

__all__ = ["Dataset", "PyDataset", "Sequence", "split_dataset", "timeseries_dataset_from_array"]

#: The older name.
Sequence = PyDataset


def split_dataset(
    dataset: Any, left_size: float | int | None = None, right_size: float | int | None = None, shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Dataset, Dataset]:  # fmt: skip
    """Two data sets of the rows of one.

    Parameters
    ----------
    dataset : Dataset, array, or tuple or list of arrays
        Of a tuple ``(x, y)``.
    left_size, right_size : float or int, optional
        A share of the rows, or their number. At least one of them.
    shuffle : bool
        Take the rows in another order, a function of `seed`.

    Returns
    -------
    left, right : Dataset
        With the batch size of `dataset`; of arrays, row by row.

    Raises
    ------
    ValueError
        If the sizes are not such that both parts have rows.

    Examples
    --------
    >>> left, right = split_dataset((np.arange(10.0), np.arange(10)), left_size=0.8)
    >>> left.n_rows, right.y.tolist()
    (8, [8, 9])
    """
    if not isinstance(dataset, Dataset):
        given = dataset if isinstance(dataset, tuple) else (dataset,)
        dataset = Dataset(*(np.asarray(one) for one in given), batch_size=None)
    n = dataset.n_rows

    def rows(name: str, size: float | int | None) -> int | None:
        if size is None:
            return None
        count = round(size * n) if isinstance(size, float) else int(size)
        if not 0 < count < n:
            raise ValueError(f"split_dataset: {name} must leave rows in both parts of {n}, got {size!r}")
        return count

    left, right = rows("left_size", left_size), rows("right_size", right_size)
    if left is None and right is None:
        raise ValueError("split_dataset: left_size or right_size is needed")
    left = n - right if left is None and right is not None else left
    right = n - left if right is None and left is not None else right
    assert left is not None and right is not None
    if left + right > n:
        raise ValueError(f"split_dataset: left_size {left} and right_size {right} are more than the {n} rows")
    order = np.random.default_rng(seed).permutation(n) if shuffle else np.arange(n)
    return dataset.rows(order[:left]), dataset.rows(order[left : left + right])


def timeseries_dataset_from_array(
    data: Any, targets: Any, sequence_length: int, sequence_stride: int = 1, sampling_rate: int = 1, batch_size: int | None = 128,
    shuffle: bool = False, seed: int | None = None, start_index: int | None = None, end_index: int | None = None,
) -> Dataset:  # fmt: skip
    """Windows of a time series, each with its target.

    Window i holds ``data[i * sequence_stride + j * sampling_rate]`` for j from 0 to ``sequence_length - 1``; its target is
    ``targets[i * sequence_stride]``. For forecasts, targets are the series from where they are to begin:
    ``timeseries_dataset_from_array(series[:-10], series[10:], 10)`` has the number after each window of 10.

    Parameters
    ----------
    data : array_like, shape (n, ...)
    targets : array_like, shape (n, ...), or None
        Shorter than `data`, there are as many windows as have a target.
    sequence_length : int
        Steps of a window.
    sequence_stride, sampling_rate : int
        Steps between the beginnings of two windows, and between two steps of a window.
    batch_size : int or None
    shuffle, seed
        As in `Dataset`.
    start_index, end_index : int, optional
        The part of the series that windows are from.

    Returns
    -------
    Dataset
        Windows of shape (windows, sequence_length, ...): a view of the series where every step of it counts.

    Raises
    ------
    ValueError
        If an argument is out of range, or there is no window.

    Examples
    --------
    >>> windows = timeseries_dataset_from_array(np.arange(6.0), np.arange(3, 6), 3)
    >>> windows.x.tolist(), windows.y.tolist()
    ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], [3, 4, 5])
    """
    series = np.asarray(data)
    begin, end = start_index or 0, len(series) if end_index is None else end_index
    for name, value in (
        ("sequence_length", sequence_length),
        ("sequence_stride", sequence_stride),
        ("sampling_rate", sampling_rate),
    ):
        if not 0 < value <= len(series):
            raise ValueError(f"timeseries_dataset_from_array: {name} must be from 1 to the {len(series)} steps, got {value}")
    if not 0 <= begin < end <= len(series):
        raise ValueError(f"timeseries_dataset_from_array: no steps between start_index={start_index} and end_index={end_index}")
    span = (sequence_length - 1) * sampling_rate + 1
    wanted = None if targets is None else np.asarray(targets)
    last = end - span  # the last place where a window fits
    if wanted is not None:
        last = min(last, len(wanted) - 1)
    if last < begin:
        raise ValueError(f"timeseries_dataset_from_array: no window of {span} steps fits between step {begin} and step {end}")
    windows = np.lib.stride_tricks.sliding_window_view(series[: last + span], span, axis=0)
    windows = np.moveaxis(windows, -1, 1)[begin::sequence_stride, ::sampling_rate]
    y = None if wanted is None else wanted[begin : last + 1 : sequence_stride]
    return Dataset(windows, y, batch_size=batch_size, shuffle=shuffle, seed=seed)
