"""Losses written in `fastnet.ops`: traced once for targets of one shape, then operations of the plans that train and evaluate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._graph import SymbolicTensor, outside_calls, sort_operations
from .losses import Loss

if TYPE_CHECKING:
    from ._graph import Graph
    from ._weights import Weight

__all__ = ["NotTraced", "TracedLoss", "arrange_targets"]


class NotTraced(TypeError):
    """A function that computes with arrays: it cannot be traced, or returns its own derivative."""


class TracedLoss:
    """What a loss computes from the targets and the predictions of one output.

    Parameters
    ----------
    loss : Loss or callable
        Takes targets and predictions, as symbolic tensors.
    graph : Graph
        Of the model: its tensors may be used too.
    y_pred : SymbolicTensor
        The output.
    shape : tuple of int
        Of one target.
    name : str
        Of the output, for messages.

    Attributes
    ----------
    target : SymbolicTensor
        An input of the plan.
    result : SymbolicTensor
        The losses of the positions.
    operations : list of Operation
        Those that are not of the model.
    constants : list of Weight
        Arrays that these compute with.

    Raises
    ------
    NotTraced
        If the function does not compute with symbolic tensors, or returns a value and a gradient.
    ValueError
        If it has weights of its own, or its result does not fit the mask of the output.
    """

    def __init__(self, loss: Callable[..., Any], graph: Graph, y_pred: SymbolicTensor, shape: tuple[int, ...], name: str) -> None:
        self.shape = shape
        self.target = SymbolicTensor(shape, None, "y_true")
        run = loss.call if isinstance(loss, Loss) else loss
        with outside_calls(rows=self.target):
            try:
                result = run(self.target, y_pred)
            except (TypeError, AttributeError, IndexError) as error:  # of NumPy's functions and methods, of a condition, of rows
                raise NotTraced(str(error)) from error
        if not isinstance(result, SymbolicTensor):
            raise NotTraced(f"it returns {result!r} for symbolic tensors")
        known = set(graph.operations)
        inputs = [*graph.inputs, self.target]
        self.operations = [one for one in sort_operations(inputs, [result]) if one not in known]
        if y_pred.mask is not None and result.sample_shape != y_pred.mask.sample_shape:
            raise ValueError(
                f"output {name!r} has a mask of shape {y_pred.mask.shape}, its loss has shape {result.shape}: return a number for each "
                "step"
            )
        self.result = result
        self.constants: list[Weight] = list(dict.fromkeys(weight for one in self.operations for weight in one.weights))
        own = next((weight for weight in self.constants if weight.trainable), None)
        if own is not None:
            raise ValueError(f"output {name!r}: the loss has a weight of its own, {own.name!r}, that is of no layer of the model")


def arrange_targets(targets: np.ndarray, sample_shape: Sequence[int]) -> np.ndarray:
    """Targets as a loss is given them: one number for each row is a column where predictions are one."""
    return targets.reshape(-1, 1) if targets.ndim == 1 and tuple(sample_shape) == (1,) else targets
