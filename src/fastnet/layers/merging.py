"""Layers of several inputs."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Unpack

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from .base import Layer

__all__ = [
    "Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract",
    "add", "average", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract",
]  # fmt: skip


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


class Dot(Layer):
    """Sums of products of two inputs along an axis of either, for each row.

    The output has the other axes of the first input, and then those of the second: of two inputs of shapes (batch, a, d) and
    (batch, b, d), ``Dot(axes=2)`` makes (batch, a, b), and of two vectors (batch, 1).

    Parameters
    ----------
    axes : int or sequence of two int
        Of both inputs, or of the first and of the second, as Keras counts them: axis 0 is the batch.
    normalize : bool
        Divide by the lengths along these axes first: cosines.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> a, b = fn.Input((4, 8)), fn.Input((6, 8))
    >>> fn.layers.Dot(axes=-1)([a, b]).shape
    (None, 4, 6)
    """

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        given = [axes] * 2 if not isinstance(axes, (list, tuple)) else list(axes)
        try:
            self._pair = [operator.index(axis) for axis in given]
        except TypeError:
            raise TypeError(f"layer {self._label!r}: axes must be integers, got {axes!r}") from None
        if len(self._pair) != 2:
            raise ValueError(f"layer {self._label!r}: axes must be an integer or two of them, got {axes!r}")
        self.axes = axes
        self.normalize = bool(normalize)

    def call(self, *inputs: SymbolicTensor) -> SymbolicTensor:
        if len(inputs) != 2:
            raise ValueError(f"layer {self._label!r} must be called on a list of 2 tensors, got {len(inputs)}")
        axes = [axis + len(x.shape) if axis < 0 else axis for axis, x in zip(self._pair, inputs)]
        for axis, x in zip(axes, inputs):
            if not 1 <= axis < len(x.shape):
                raise ValueError(f"layer {self._label!r}: axes {self.axes} of inputs of shapes {[x.shape for x in inputs]}")
        sizes = [x.shape[axis] for axis, x in zip(axes, inputs)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"layer {self._label!r}: axes {axes} of inputs of shapes {[x.shape for x in inputs]} are of sizes "
                f"{sizes[0]} and {sizes[1]}"
            )
        a, b = inputs
        if self.normalize:
            a, b = (x * ops.rsqrt(ops.maximum(ops.sum(x**2, axis=axis, keepdims=True), 1e-14)) for x, axis in zip(inputs, axes))
        first = "abcdefgh"[: len(a.shape)]
        second = "a" + "ijklmnop"[: len(b.shape) - 1]
        second = second.replace(second[axes[1]], first[axes[0]])
        output = first.replace(first[axes[0]], "") + second[1:].replace(first[axes[0]], "")
        y = ops.einsum(f"{first},{second}->{output}", a, b)
        return ops.expand_dims(y, -1) if len(output) == 1 else y


def _merged(cls: type[Layer], keras: str) -> Any:
    def merge(inputs: Sequence[SymbolicTensor], **kwargs: Any) -> SymbolicTensor:
        return cls(**kwargs)(inputs)

    merge.__name__ = merge.__qualname__ = keras
    merge.__doc__ = f"""`{cls.__name__}` of a list of tensors.

    Parameters
    ----------
    inputs : list of SymbolicTensor
    **kwargs
        Arguments of the layer.
    """
    return merge


add, subtract, multiply, average = (_merged(cls, cls.__name__.lower()) for cls in (Add, Subtract, Multiply, Average))
maximum, minimum = _merged(Maximum, "maximum"), _merged(Minimum, "minimum")


def concatenate(inputs: Sequence[SymbolicTensor], axis: int = -1, **kwargs: Any) -> SymbolicTensor:
    """`Concatenate` of a list of tensors."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: Sequence[SymbolicTensor], axes: int | Sequence[int] = -1, **kwargs: Any) -> SymbolicTensor:
    """`Dot` of a list of two tensors."""
    return Dot(axes=axes, **kwargs)(inputs)
