"""What a model adds to its loss beside what compile was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._graph import CURRENT_CALL, Graph, SymbolicTensor, outside_calls
from ._row_sums import Total
from ._step_context import STEP
from ._weight_functions import penalty_of
from ._weights import Weight
from .layers._penalized import Penalized, terms_of
from .layers.functional import AddLoss

__all__ = ["ModelLosses"]


class ModelLosses(Penalized):
    """The part of a model that adds to its loss."""

    # What `Model` has.
    name: str
    inputs: list[SymbolicTensor]
    outputs: list[SymbolicTensor]
    trainable_weights: list[Weight]
    _graph: Graph
    _connect: Callable[..., None]
    _require_built: Callable[[], None]
    _tracing: bool
    #: What `add_loss` adds in the `call` that is being traced.
    _traced_losses: tuple[SymbolicTensor, ...] = ()
    #: What `add_loss` has added.
    _added: tuple[SymbolicTensor, ...] = ()
    #: Whether the layers are a list, which has no place for what is added.
    _is_stack = False

    def add_loss(self, loss: SymbolicTensor | Total) -> None:
        """Adds a term to the loss: of a model of layers, made of tensors of its graph, or within `call` of a class of one's own.

        A model that is a layer of another one adds its losses to that one's. Files of the model hold them.

        Parameters
        ----------
        loss : tensor
            A number, such as ``fn.ops.mean(x)`` over all axes, is a term as it is; of a tensor of shape (batch, ...) all numbers are
            added up, over the rows as well, as by `Layer.add_loss`.

        Raises
        ------
        TypeError
            If it is no tensor.
        ValueError
            If it depends on something else than the inputs of the model; and of a `Sequential`, whose layers are a list.

        Examples
        --------
        >>> import fastnet as fn
        >>> x = fn.Input((4,))
        >>> hidden = fn.layers.Dense(8, "tanh")(x)
        >>> model = fn.Model(x, fn.layers.Dense(1)(hidden), seed=0)
        >>> model.add_loss(0.01 * fn.ops.mean(hidden**2))
        >>> len(model.losses)
        1
        """
        if CURRENT_CALL.get() is not None:
            super().add_loss(loss)
            return
        if not self._tracing:
            self._require_built()
        if self._is_stack:
            raise ValueError(f"model {self.name!r} is a Sequential: give add_loss to fn.Model(model.inputs, model.outputs)")
        with outside_calls():
            terms = terms_of(loss, f"model {self.name!r}: add_loss")
            added = tuple(AddLoss(factor, is_mean)(tensor) for tensor, factor, is_mean in terms)
            if self._tracing:  # by the `call` of a class of the user's: the graph is made afterwards
                self._traced_losses += added
            else:
                self._connect(self.inputs, self.outputs, None, (*self._added, *added))

    @property
    def losses(self) -> list[Any]:
        """What is added to the loss: the penalties of weights that are trained, as numbers, and the tensors that layers add."""
        trace = STEP.get()
        if trace is not None:
            return trace.losses_of(self)
        penalized = [weight for weight in self.trainable_weights if weight.penalized]
        found: list[Any] = [penalty_of(weight, weight.array) for weight in penalized]
        return found + [one.inputs[0] for one in self._graph.operations if one.op == "activity_regularization"]
