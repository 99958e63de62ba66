"""What a layer adds to the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._batch_means import rows_of_loss
from .._graph import CURRENT_CALL, SymbolicTensor, shape_attributes
from .._weights import Weight
from ..regularizers import OrthogonalRegularizer

__all__ = ["Penalized"]


class Penalized:
    """The part of a layer that appends penalties to its operations."""

    emit: Callable[..., SymbolicTensor]
    weights: Sequence[Weight]
    _weights: dict[str, Weight]
    _label: str

    def add_loss(self, loss: SymbolicTensor) -> None:
        """Adds a tensor to the loss of the models that the layer is a part of, in `call`.

        ``loss += mean over the rows of the batch of (sum over the other axes of the tensor)``

        Predictions do without it. A model whose layers add to the loss needs no other: ``compile("adam")``, ``fit(x)``.

        Parameters
        ----------
        loss : SymbolicTensor
            Of shape (batch,) or (batch, ...): a number for each row, whose mean is taken; or that mean, as Keras has it written out.

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
        ...         self.add_loss(0.01 * fn.ops.sum(x**2, axis=-1))
        ...         return x
        """
        loss = rows_of_loss(loss)
        if not isinstance(loss, SymbolicTensor):
            raise TypeError(f"layer {self._label!r}: add_loss takes a symbolic tensor, got {loss!r}")
        call = CURRENT_CALL.get()
        if call is None:
            raise RuntimeError(f"layer {self._label!r}: add_loss works while the layer is called")
        self._emit_loss(loss)

    def _emit_loss(self, loss: SymbolicTensor) -> SymbolicTensor:
        """Appends what adds a tensor to the loss; returns the same numbers."""
        return self.emit("activity_regularization", [loss], {"linear": 1.0})

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
        if activity is not None:
            y = self.emit("activity_regularization", [y], {"l1": activity.l1, "l2": activity.l2})
        return y
