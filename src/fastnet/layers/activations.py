"""Every activation as a layer."""

from __future__ import annotations

import math
import operator
from typing import Unpack

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ..activations import ActivationFunction
from ._arguments import number_in
from .base import Layer

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Exponential",
    "HardSiLU",
    "HardSigmoid",
    "LeakyReLU",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Squareplus",
    "Tanh",
]  # fmt: skip


class _ActivationLayer(Layer):
    """A layer that applies one activation."""

    supports_masking = True
    kernel: str

    def activation_function(self) -> ActivationFunction:
        """The activation, for the `activation` argument of other layers."""
        return ActivationFunction(self.kernel)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        function = self.activation_function()
        if function.elementwise:
            return self.emit("activation", [x], function.attributes())
        return self.emit(function.kernel, [x])


class ReLU(_ActivationLayer):
    """``max(x, 0)``, or, with arguments, ``max_value`` from there on, and below `threshold` ``negative_slope * (x - threshold)``.

    Parameters
    ----------
    max_value : float, optional
        Default: there is none.
    negative_slope : float
    threshold : float
        Not negative, as the others.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else number_in(self._label, "max_value", max_value, 0.0, math.inf)
        self.negative_slope = number_in(self._label, "negative_slope", negative_slope, 0.0, math.inf)
        self.threshold = number_in(self._label, "threshold", threshold, 0.0, math.inf)

    def activation_function(self) -> ActivationFunction:
        """ValueError where it is none of the engine's."""
        if self.threshold == 0 and self.negative_slope == 0 and self.max_value in (None, 6):
            return ActivationFunction("relu" if self.max_value is None else "relu6")
        if self.threshold == 0 and self.max_value is None:
            return ActivationFunction("leaky_relu", self.negative_slope)
        raise ValueError(f"{self!r} is no activation for another layer: use it as a layer of its own, after that")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if self.threshold == 0 and (self.max_value is None or (self.max_value == 6 and self.negative_slope == 0)):
            return super().call(x)
        y = ops.where(x >= self.threshold, x, self.negative_slope * (x - self.threshold))
        return y if self.max_value is None else ops.minimum(y, self.max_value)


class ReLU6(_ActivationLayer):
    """``min(max(x, 0), 6)``"""

    kernel = "relu6"


class LeakyReLU(_ActivationLayer):
    """``x`` where positive, else ``negative_slope * x``.

    Parameters
    ----------
    negative_slope : float
        Keras's layer has 0.3 as its default, its activation "leaky_relu" 0.2; so here.
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.negative_slope = negative_slope
        self.activation_function()  # checks it

    def activation_function(self) -> ActivationFunction:
        return ActivationFunction("leaky_relu", self.negative_slope)


class ELU(_ActivationLayer):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``."""

    def __init__(self, alpha: float = 1.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.activation_function()  # checks it

    def activation_function(self) -> ActivationFunction:
        return ActivationFunction("elu", self.alpha)


class SELU(_ActivationLayer):
    """``scale * elu(x, alpha)`` with the constants of Klambauer et al. (2017), for self-normalizing networks."""

    kernel = "selu"


class GELU(_ActivationLayer):
    """``x * Phi(x)``, Phi the normal distribution function (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    approximate : bool
        Use the formula with tanh.
    """

    def __init__(self, approximate: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.approximate = approximate

    def activation_function(self) -> ActivationFunction:
        return ActivationFunction("gelu_tanh" if self.approximate else "gelu")


class SiLU(_ActivationLayer):
    """``x * sigmoid(x)``, also known as swish."""

    kernel = "silu"


class Mish(_ActivationLayer):
    """``x * tanh(softplus(x))`` (Misra, 2019)."""

    kernel = "mish"


class Tanh(_ActivationLayer):
    """``tanh(x)``"""

    kernel = "tanh"


class Sigmoid(_ActivationLayer):
    """``1 / (1 + exp(-x))``"""

    kernel = "sigmoid"


class Softplus(_ActivationLayer):
    """``log(1 + exp(x))``"""

    kernel = "softplus"


class Softsign(_ActivationLayer):
    """``x / (1 + |x|)``"""

    kernel = "softsign"


class Squareplus(_ActivationLayer):
    """``(x + sqrt(x**2 + b)) / 2`` (Barron, 2021): as smooth as softplus, without an exponential.

    Parameters
    ----------
    b : float
        How wide the bend at 0 is, where the result is ``sqrt(b) / 2``; with 0 this is `ReLU`.
    """

    def __init__(self, b: float = 4.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.b = b
        self.activation_function()  # checks it

    def activation_function(self) -> ActivationFunction:
        return ActivationFunction("squareplus", self.b)


class HardSigmoid(_ActivationLayer):
    """``relu6(x + 3) / 6``"""

    kernel = "hard_sigmoid"


class HardSiLU(_ActivationLayer):
    """``x * relu6(x + 3) / 6``"""

    kernel = "hard_silu"


class Exponential(_ActivationLayer):
    """``exp(x)``"""

    kernel = "exponential"


class Softmax(_ActivationLayer):
    """``exp(x) / sum(exp(x))`` over an axis.

    Parameters
    ----------
    axis : int
        As Keras counts it, axis 0 being the batch; -1: the last.
    trainable, name
        As in `Layer`.
    """

    kernel = "softmax"

    def __init__(self, axis: int = -1, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        try:
            self.axis = operator.index(axis)
        except TypeError:
            raise TypeError(f"{self._label}: axis must be an integer, got {axis!r}") from None

    def activation_function(self) -> ActivationFunction:
        """ValueError where it is not over the last axis."""
        if self.axis != -1:
            raise ValueError(f"{self!r} is no activation for another layer: use it as a layer of its own, after that")
        return super().activation_function()

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return super().call(x) if self.axis == -1 else ops.softmax(x, axis=self.axis)


class LogSoftmax(_ActivationLayer):
    """``x - log(sum(exp(x)))`` over the last axis."""

    kernel = "log_softmax"
