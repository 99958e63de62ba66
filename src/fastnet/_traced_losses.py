"""Losses written in `fastnet.ops`: traced once for targets of one shape, then operations of the plans that train and evaluate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._graph import SymbolicTensor, outside_calls
from ._order import sort_operations
from ._row_sums import Total, rows_of_mean
from .losses import Loss

if TYPE_CHECKING:
    from ._graph import Graph
    from ._weights import Weight

__all__ = ["Formula", "NotTraced", "TracedLoss", "arrange_targets", "trace_positions"]


class NotTraced(TypeError):
    """A function that computes with arrays: it cannot be traced, or returns its own derivative."""


class Formula:
    """Operations of targets and predictions that are added to those of a model.

    Parameters
    ----------
    graph : Graph
        Of the model: its tensors may be used too.
    target : SymbolicTensor
        The targets: an input of the plan.
    results : list of SymbolicTensor
    what : str
        What computes them, for messages.

    Attributes
    ----------
    operations : list of Operation
        Those that are not of the model.
    constants : list of Weight
        Arrays that these compute with, beside the weights of the model.

    Raises
    ------
    ValueError
        If they have weights of their own.
    """

    def __init__(self, graph: Graph, target: SymbolicTensor, results: list[SymbolicTensor], what: str) -> None:
        self.target = target
        known = set(graph.operations)
        self.operations = [one for one in sort_operations([*graph.inputs, *graph.feeds, target], results) if one not in known]
        of_model = set(graph.weights())
        used = dict.fromkeys(weight for one in self.operations for weight in one.weights)
        self.constants: list[Weight] = [weight for weight in used if weight not in of_model]
        own = next((weight for weight in self.constants if weight.trainable), None)
        if own is not None:
            raise ValueError(f"{what} has a weight of its own, {own.name!r}, that is of no layer of the model")


class TracedLoss(Formula):
    """What a loss computes from the targets and the predictions of one output.

    Parameters
    ----------
    loss : Loss or callable
        Takes targets and predictions, as symbolic tensors.
    graph : Graph
        Of the model: its tensors may be used too.
    target : SymbolicTensor
        The targets.
    y_pred : SymbolicTensor
        The output.
    name : str
        Of the output, for messages.

    Attributes
    ----------
    shape : tuple of int
        Of one target.
    result : SymbolicTensor
        The losses of the positions.

    Raises
    ------
    NotTraced
        If the function does not compute with symbolic tensors, or returns a value and a gradient.
    ValueError
        If it has weights of its own, or its result does not fit the mask of the output.
    """

    def __init__(self, loss: Callable[..., Any], graph: Graph, target: SymbolicTensor, y_pred: SymbolicTensor, name: str) -> None:
        self.shape = target.sample_shape
        # `__call__` of a class of the user's may do more than `call`.
        run = loss.call if isinstance(loss, Loss) and type(loss).__call__ is Loss.__call__ else loss
        self.result = trace_positions(run, target, y_pred, f"output {name!r}", "loss")
        super().__init__(graph, target, [self.result], f"output {name!r}: the loss")


def trace_positions(
    run: Callable[..., Any], target: SymbolicTensor, y_pred: SymbolicTensor, label: str, what: str
) -> SymbolicTensor:
    """What a function of targets and predictions returns: a number for each row or position.

    Raises
    ------
    NotTraced
        If it does not compute with symbolic tensors.
    ValueError
        If its result does not fit the mask of the predictions.
    """
    with outside_calls(rows=target):
        try:
            result = run(target, y_pred)
        except (TypeError, AttributeError, IndexError) as error:  # of NumPy's functions and methods, of a condition, of rows
            raise NotTraced(str(error)) from error
        if isinstance(result, Total):
            result = rows_of_mean(result, f"{label}: the {what}")
    if not isinstance(result, SymbolicTensor):
        raise NotTraced(f"it returns {result!r} for symbolic tensors")
    if y_pred.mask is not None and result.sample_shape != y_pred.mask.sample_shape:
        raise ValueError(
            f"{label} has a mask of shape {y_pred.mask.shape}, its {what} has shape {result.shape}: return a number for each step"
        )
    return result


def arrange_targets(targets: np.ndarray, sample_shape: Sequence[int]) -> np.ndarray:
    """Targets as a loss is given them: one number for each row is a column where predictions are one."""
    return targets.reshape(-1, 1) if targets.ndim == 1 and tuple(sample_shape) == (1,) else targets
