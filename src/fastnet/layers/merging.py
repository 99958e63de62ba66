"""Layers of several inputs."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Unpack

from .._graph import SymbolicTensor
from .._types import LayerOptions
from .base import Layer

__all__ = ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"]


def _any_mask(layer: Layer, tensors: Sequence[SymbolicTensor]) -> list[SymbolicTensor | None]:
    """The steps that any of the tensors counts, if all have a mask; else none, as in Keras."""
    if any(tensor.mask is None for tensor in tensors):
        return []
    masks = list({id(tensor.mask): tensor.mask for tensor in tensors}.values())
    return [masks[0] if len(masks) == 1 else layer.emit("maximum", masks)]


class _Merge(Layer):
    """A layer that combines inputs of one shape elementwise; called on a list of tensors."""

    kernel: str

    def call(self, *inputs: SymbolicTensor) -> SymbolicTensor:
        if len(inputs) < 2:
            raise ValueError(f"layer {self._label!r} must be called on a list of at least 2 tensors, got {len(inputs)}")
        return self.emit(self.kernel, inputs)

    def compute_mask(self, *inputs: SymbolicTensor) -> list[SymbolicTensor | None]:
        """The steps that any of the inputs counts, if all have a mask."""
        return _any_mask(self, inputs)


class Add(_Merge):
    """``x_0 + x_1 + ...``"""

    kernel = "add"


class Subtract(_Merge):
    """``x_0 - x_1``"""

    kernel = "subtract"


class Multiply(_Merge):
    """``x_0 * x_1 * ...``; at steps that the mask of an input leaves out, without it. 0 where all masks do, as in Keras."""

    kernel = "multiply"

    def call(self, *inputs: SymbolicTensor) -> SymbolicTensor:
        y = super().call(*[x if x.mask is None else self.emit("select", [x.mask, x], {"value": 1.0}) for x in inputs])
        mask = _any_mask(self, inputs)
        return self.emit("select", [*mask, y]) if mask else y


class Average(_Merge):
    """``(x_0 + x_1 + ...) / n``"""

    kernel = "average"


class _Extremum(_Merge):
    """One of the inputs; what a mask leaves out is compared with nothing, unless all masks do, as in Keras."""

    def call(self, *inputs: SymbolicTensor) -> SymbolicTensor:
        if all(x.mask is None for x in inputs):
            return super().call(*inputs)
        y, counted = inputs[0], [inputs[0]]
        for x in inputs[1:]:
            other = x if x.mask is None else self.emit("select", [x.mask, x, y])
            mask = _any_mask(self, counted)
            y = super().call(self.emit("select", [*mask, y, other]) if mask else y, other)
            counted.append(x)
        return y


class Maximum(_Extremum):
    """``max(x_0, x_1, ...)``; where several are largest the gradient goes to the first.

    At steps that the mask of an input leaves out, without it; where all masks do, the first input, as in Keras.
    """

    kernel = "maximum"


class Minimum(_Extremum):
    """``min(x_0, x_1, ...)``; where several are smallest the gradient goes to the first. Masks: as for `Maximum`."""

    kernel = "minimum"


class Concatenate(Layer):
    """Inputs one after another along an axis.

    Parameters
    ----------
    axis : int
        As Keras counts it, axis 0 being the batch, which cannot be joined along; -1: the last.
    """

    def __init__(self, axis: int = -1, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        try:
            self.axis = operator.index(axis)
        except TypeError:
            raise TypeError(f"layer {self._label!r}: axis must be an integer, got {axis!r}") from None
        if axis == 0:
            raise ValueError(f"layer {self._label!r}: axis 0 is the batch, which cannot be concatenated along")

    def call(self, *inputs: SymbolicTensor) -> SymbolicTensor:
        if len(inputs) < 2:
            raise ValueError(f"layer {self._label!r} must be called on a list of at least 2 tensors, got {len(inputs)}")
        return self.emit("concatenate", inputs, {"axis": self.axis - 1 if self.axis > 0 else self.axis})

    def compute_mask(self, *inputs: SymbolicTensor) -> list[SymbolicTensor | None]:
        """Along the steps, the masks one after another; else the steps that any of them counts, if all have a mask."""
        axis = self.axis - 1 if self.axis > 0 else self.axis + len(inputs[0].sample_shape)
        ranks = [len(tensor.mask.sample_shape) for tensor in inputs if tensor.mask is not None]
        if not ranks or axis >= ranks[0]:
            return _any_mask(self, inputs)
        if len(ranks) < len(inputs):
            raise ValueError(f"layer {self._label!r}: of inputs that are joined along the steps all must have a mask, or none")
        return [self.emit("concatenate", [tensor.mask for tensor in inputs], {"axis": axis})]
