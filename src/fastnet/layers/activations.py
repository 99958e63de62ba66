"""Every activation as a layer."""

from __future__ import annotations

from typing import Unpack

from .._graph import SymbolicTensor
from .._types import LayerOptions
from ..activations import ActivationFunction
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
    """``max(x, 0)``"""

    kernel = "relu"


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
    """``exp(x) / sum(exp(x))`` over the last axis."""

    kernel = "softmax"


class LogSoftmax(_ActivationLayer):
    """``x - log(sum(exp(x)))`` over the last axis."""

    kernel = "log_softmax"
