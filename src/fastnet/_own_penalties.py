"""Regularizers that are functions of the user's, as operations of the plans that train and evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._graph import Operation, SymbolicTensor, outside_calls, sort_operations
from ._weights import Weight
from .layers.base import Layer

if TYPE_CHECKING:
    from ._network import Network

__all__ = ["penalty_operations"]


class _Penalty(Layer):
    """Adds the penalty of a weight to the loss."""

    def __init__(self, weight: Weight) -> None:
        super().__init__(name=f"regularizer of {weight.path}")
        self._weight = weight

    def call(self, rows: SymbolicTensor) -> SymbolicTensor:
        weight = self._weight
        what = f"the regularizer of weight {weight.path!r}"
        try:
            value = weight.regularizer(weight)  # type: ignore[misc]
        except (TypeError, AttributeError, IndexError) as error:
            raise TypeError(
                f"{what} cannot be traced: {error}; write it in fastnet.ops, which takes the weight as an array"
            ) from error
        if not isinstance(value, Weight):
            raise TypeError(f"{what} returns {value!r}, expected what fastnet.ops make of the weight")
        if value.shape != ():
            raise ValueError(f"{what} returns an array of shape {value.shape}, expected ()")
        self.add_loss(value)
        return rows


def penalty_operations(network: Network, weights: Sequence[Weight]) -> tuple[list[Operation], list[Weight]]:
    """What adds the penalties of weights to the loss of a plan, and the arrays that it computes with.

    Raises
    ------
    TypeError
        If a regularizer cannot be traced.
    ValueError
        If its result is no number.
    """
    graph = network._graph
    scaled = {id(tensor) for one in graph.operations if one.op == "affine" for tensor in one.inputs}
    # What is scaled as it is gathered has no other readers.
    rows = next((tensor for tensor in graph.feeds if id(tensor) not in scaled), graph.outputs[0])
    with outside_calls(rows=rows):
        calls: list[Any] = [_Penalty(weight)._make_call(rows) for weight in weights]
    ends = [tensor for call in calls for operation in call.penalties for tensor in operation.outputs]
    known = set(graph.operations)
    found = [one for one in sort_operations([*graph.feeds, rows], ends) if one not in known]
    used = dict.fromkeys(weight for one in found for weight in one.weights)
    constants = [weight for weight in used if weight not in set(network.weights)]
    return found, constants
