"""Losses and metrics of a batch whose outputs are in Python: where one of the losses is a Python function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core

if TYPE_CHECKING:
    from ._compiled import Compiled

__all__ = ["add_losses", "judge_rows", "rows_of", "update_metrics"]


def add_losses(
    compiled: Compiled, targets: list[Any], outputs: list[np.ndarray], weights: list[Any], totals: np.ndarray
) -> list[np.ndarray | None]:
    """Adds the losses of a batch to `totals`, times its rows; returns their gradients, None where there is no loss."""
    n = len(outputs[0])
    gradients: list[np.ndarray | None] = []
    for i, (loss, target, output, weight) in enumerate(zip(compiled.losses, targets, outputs, weights)):
        if loss is None:
            gradients.append(None)
            continue
        if hasattr(loss, "kernel"):
            value, gradient = _core.evaluate_loss(loss.kernel, loss.attributes(), target, output, weight)
        else:
            value, gradient = _call_loss(loss, target, output, compiled.error)
        factor = compiled.loss_weights[i]
        totals[1 + i] += value * n
        totals[0] += factor * value * n
        gradients.append(np.ascontiguousarray(factor * gradient, output.dtype))
    return gradients


def _call_loss(
    loss: Callable[..., Any], target: np.ndarray, output: np.ndarray, why_not_traced: Exception | None
) -> tuple[float, np.ndarray]:
    hint = f"; or a tensor of a number for each row, written in fastnet.ops, as which it fails: {why_not_traced}"
    try:
        result = loss(target, output)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}. A loss function takes arrays and returns (value, gradient){hint}") from why_not_traced
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"a loss function must return (value, gradient), got {type(result).__name__}{hint}") from why_not_traced
    try:
        value, gradient = float(result[0]), np.asarray(result[1], output.dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"a loss function must return (value, gradient), a number and an array: {error}") from None
    if gradient.shape != output.shape:
        raise ValueError(f"the gradient of a loss function has shape {gradient.shape}, expected {output.shape}")
    return value, gradient


def update_metrics(compiled: Compiled, targets: list[Any], outputs: list[np.ndarray], sums: np.ndarray) -> None:
    """Adds the metrics of a batch that are computed in Python to their accumulators: all of them where a loss is a function of arrays."""
    for group, parts, target, output in zip(compiled.tallies, compiled.sums_of(sums), targets, outputs):
        for tally, part in zip(group, parts):
            if compiled.custom or not tally.entries:
                tally.update(target, output, part)


def judge_rows(
    compiled: Compiled,
    targets: list[Any],
    outputs: list[np.ndarray],
    sums: np.ndarray,
    rows: range,
    order: np.ndarray | None = None,
) -> None:
    """Updates the metrics that are called with arrays, batch after batch.

    Parameters
    ----------
    outputs : list of ndarray
        What was computed, in the order of computation.
    rows : range
        Where batches begin, up to the first row that has not been computed.
    order : ndarray, optional
        The rows of the targets in that order.
    """
    for first in rows:
        computed = slice(first, min(rows.stop, first + rows.step))
        batch = rows_of(targets, computed if order is None else order[computed])
        update_metrics(compiled, batch, rows_of(outputs, computed), sums)


def rows_of(arrays: list[Any], rows: Any) -> list[Any]:
    """Some rows of arrays, some of which may be None."""
    return [None if array is None else array[rows] for array in arrays]
