"""What a layer adds to the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._graph import CURRENT_CALL, FUNCTIONS, SymbolicTensor, shape_attributes
from .._row_sums import Total, rows_of, rows_of_mean
from .._weights import Weight
from ..regularizers import OrthogonalRegularizer

__all__ = ["Penalized"]


def terms_of(loss: Any, what: str) -> list[tuple[SymbolicTensor, float, bool]]:
    """A loss as tensors, factors, and whether their means over the rows are meant or their sums; TypeError where it is none."""
    if isinstance(loss, SymbolicTensor):
        return [(loss, 1.0, False)]
    if not isinstance(loss, Total):
        raise TypeError(f"{what} takes a symbolic tensor, got {loss!r}")
    if any(tensor is None and not mean for tensor, _, mean in loss.terms):
        raise TypeError(f"{what} got the number of rows of a batch, which is no loss")
    if any(tensor is None for tensor, _, _ in loss.terms):
        return [(rows_of_mean(loss, f"{what}: what it got"), 1.0, True)]
    return [(tensor, factor, mean) for tensor, factor, mean in loss.terms if tensor is not None]


class Penalized:
    """The part of a layer that appends penalties to its operations."""

    emit: Callable[..., SymbolicTensor]
    weights: Sequence[Weight]
    _weights: dict[str, Weight]
    _label: str

    def add_loss(self, loss: SymbolicTensor | Total) -> None:
        """Adds a term to the loss of the models that the layer is a part of, in `call`.

        Predictions do without it. A model whose layers add to the loss needs no other: ``compile("adam")``, ``fit(x)``.

        Parameters
        ----------
        loss : tensor
            As in Keras: a number, such as ``fn.ops.mean(x)`` or ``fn.ops.sum(x)`` over all axes, that of the batch as well, is a term as
            it is, and so are sums of such numbers and their products with others. Of a tensor of shape (batch, ...) all numbers are
            added up, over the rows as well: take the mean, where the term is not to depend on the size of batches. Of what is made of
            weights alone, which has no batch, all numbers are added up.

        Raises
        ------
        RuntimeError
            Outside of `call`.
        TypeError
            If it is no tensor.

        Examples
        --------
        >>> import fastnet as fn
        >>> class Small(fn.layers.Layer):
        ...     def call(self, x):
        ...         self.add_loss(0.01 * fn.ops.mean(fn.ops.sum(x**2, axis=-1)))
        ...         return x
        """
        call = CURRENT_CALL.get()
        if isinstance(loss, Weight) and call is not None and call.inputs:
            loss = Total([(rows_of(FUNCTIONS["sum"](loss), call.inputs[0], "the loss"), 1.0, True)])
        terms = terms_of(loss, f"layer {self._label!r}: add_loss")
        if call is None:
            raise RuntimeError(f"layer {self._label!r}: add_loss works while the layer is called")
        for tensor, factor, is_mean in terms:
            self._emit_loss(tensor, factor, is_mean)

    def _emit_loss(self, loss: SymbolicTensor, factor: float = 1.0, is_mean: bool = True) -> SymbolicTensor:
        """Appends what adds the mean over the rows, or the sum, of a tensor to the loss; returns the same numbers."""
        return self.emit("activity_regularization", [loss], {"linear": factor, "summed": not is_mean})

    def _view(self, tensor: SymbolicTensor) -> SymbolicTensor:
        """The same numbers, as a result of this layer."""
        view = self.emit("reshape", [tensor], shape_attributes(tensor.sample_shape))
        view.mask = tensor.mask
        return view

    def regularize(self, y: SymbolicTensor) -> SymbolicTensor:
        """Appends the penalties that are operations: on the output, and on the angles between a kernel's rows."""
        for weight in self.weights:
            penalty = weight.regularizer
            if isinstance(penalty, OrthogonalRegularizer) and not (weight.name == "kernel" and len(weight.shape) == 2):
                raise ValueError(
                    f"layer {self._label!r}: an orthogonal penalty works on kernels that are matrices, not on "
                    f"{weight.name} of shape {weight.shape}"
                )
        kernel = self._weights.get("kernel")
        penalty = kernel.regularizer if kernel is not None else None
        if isinstance(penalty, OrthogonalRegularizer):
            rows, columns = kernel.shape
            attributes = {"rows": rows, "columns": columns, "factor": penalty.factor, "by_columns": penalty.mode == "columns"}
            y = self.emit("orthogonal_regularization", [y], attributes, {"kernel": kernel.spec})
        return self.regularize_activity(y)

    def regularize_activity(self, y: SymbolicTensor) -> SymbolicTensor:
        """Appends the penalty on an output, where the layer has one: `regularize` does for the first."""
        activity = getattr(self, "activity_regularizer", None)
        if isinstance(activity, OrthogonalRegularizer):
            raise ValueError(f"layer {self._label!r}: an orthogonal penalty works on kernels, not on activities")
        if activity is not None and activity.own:
            for tensor, factor, is_mean in terms_of(
                activity(y), f"layer {self._label!r}: add_loss, of what activity_regularizer returns,"
            ):
                if is_mean:
                    raise TypeError(
                        f"layer {self._label!r}: the activity_regularizer takes a mean over the rows, by whose number it is divided as it is: "
                        "use fn.ops.sum"
                    )
                self._emit_loss(tensor, factor)
        elif activity is not None:
            y = self.emit("activity_regularization", [y], {"l1": activity.l1, "l2": activity.l2})
        return y
