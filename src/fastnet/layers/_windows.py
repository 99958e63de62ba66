"""What the layers with a window that slides over an image or a series have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _core, activations, constraints, initializers, regularizers
from .._graph import SymbolicTensor
from .._types import ConstraintLike, InitializerLike, RegularizerLike
from .._weights import WeightSpec
from ._arguments import channels_last, one_of, positive_sizes
from .base import Layer

__all__ = ["Sizes", "Window", "paddings"]

Sizes = int | Sequence[int]

#: Under the numbers of the engine.


def paddings(axes: int) -> tuple[str, ...]:
    """What there is for a window over so many axes, in the order of the engine; causal is for one, the last of them."""
    known = _core.attribute_choices("convolution", "padding")
    return known if axes == 1 else tuple(name for name in known if name != "causal")


class Window(Layer):
    """What the layers with a sliding window have in common.

    A size is stored as an integer by layers on series, and as one for each axis by others.
    """

    #: How many axes a window has.
    axes: int
    use_bias: bool
    activation: activations.ActivationFunction

    @classmethod
    def _arguments(cls) -> dict[str, Any]:
        found = super()._arguments()
        ones = dict.fromkeys(("strides", "dilation_rate"), (1,) * cls.axes)
        return {**found, **ones} if cls.axes > 1 else found

    def _take_window(
        self, kernel_size: Sizes, strides: Sizes, padding: str, data_format: str | None, dilation_rate: Sizes
    ) -> None:
        """Checks and stores these arguments."""
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.strides = self._sizes("strides", strides)
        self.padding = one_of(self._label, "padding", padding, paddings(self.axes))
        self.data_format = channels_last(self._label, data_format)
        self.dilation_rate = self._sizes("dilation_rate", dilation_rate)

    def _sizes(self, argument: str, value: Sizes) -> Any:
        sizes = positive_sizes(self._label, argument, value, self.axes)
        return sizes if self.axes > 1 else sizes[0]

    def _window_attributes(self) -> dict[str, int]:
        """Those of the operation, for which a series is an image of height 1."""
        found: dict[str, int] = {"padding": paddings(1).index(self.padding)}
        for name, sizes in (("window", self.kernel_size), ("stride", self.strides), ("dilation", self.dilation_rate)):
            height, width = (1, sizes) if isinstance(sizes, int) else sizes
            found.update({f"{name}_height": height, f"{name}_width": width})
        return found

    def _weight(self, name: str) -> WeightSpec:
        """A weight by the layer's arguments of this name: initializer, penalty and constraint."""
        return WeightSpec(
            getattr(self, f"{name}_initializer"), getattr(self, f"{name}_regularizer"), True, getattr(self, f"{name}_constraint")
        )

    def _take_weight(
        self, name: str, initializer: InitializerLike, regularizer: RegularizerLike, constraint: ConstraintLike
    ) -> None:
        """Checks and stores these arguments."""
        setattr(self, f"{name}_initializer", initializers.get(initializer))
        setattr(self, f"{name}_regularizer", regularizers.get(regularizer))
        setattr(self, f"{name}_constraint", constraints.get(constraint))

    def _apply(self, op: str, x: SymbolicTensor, attributes: dict[str, Any], weights: dict[str, WeightSpec]) -> SymbolicTensor:
        """The operation, with the layer's bias and activation."""
        if self.use_bias:
            weights = {**weights, "bias": self._weight("bias")}
        attributes = {**attributes, "use_bias": self.use_bias}
        if self.activation.elementwise:
            attributes.update(self.activation.attributes())
        y = self.emit(op, [x], attributes, weights)
        if not self.activation.elementwise:
            y = self.activation.apply(self, y)
        return self.regularize(y)

    @property
    def bias(self) -> Any:
        """The bias, a view with one number for each channel of the output, or None."""
        return self._weights["bias"].value if self.use_bias else None
