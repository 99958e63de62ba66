"""Activations, by the names of Keras 3.

Layers take them by name, ``Dense(8, activation="relu")``, or as layers where they have a parameter,
``Dense(8, activation=fn.layers.LeakyReLU(0.1))``.

>>> import fastnet as fn
>>> fn.activations.get("swish")
silu
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

from . import _config, _core
from ._config import Configurable, own_function
from ._graph import FUNCTIONS, SymbolicTensor
from ._names import lookup

__all__ = ["ACTIVATIONS", "ActivationFunction", "deserialize", "get", "name_of", "serialize"]


class ActivationFunction(Configurable):
    """An activation with its parameter.

    Parameters
    ----------
    kernel : str
        Name in the engine: an elementwise activation, or "softmax" or "log_softmax".
    alpha : float, optional
        The parameter of an activation that has one, which the layer of its name describes, such as the slope of leaky_relu for
        negative numbers. Default: that of Keras's activation.
    """

    def __init__(self, kernel: str, alpha: float | None = None) -> None:
        self.kernel = lookup("activation", kernel, ACTIVATIONS)
        self.alpha = alpha
        if alpha is None:
            return
        if not _core.registry("activations").get(self.kernel):
            raise ValueError(f"activation {self.kernel!r} has no parameter, got {alpha}")
        if not isinstance(alpha, numbers.Real):
            raise TypeError(f"activation {self.kernel!r}: the parameter must be a number, got {alpha!r}")
        if not math.isfinite(alpha):
            raise ValueError(f"activation {self.kernel!r}: the parameter must be finite, got {alpha}")

    @property
    def elementwise(self) -> bool:
        """Whether the engine can apply it within another operation."""
        return self.kernel in _core.registry("activations")

    def attributes(self) -> dict[str, float]:
        """The attributes "activation" and "alpha" of the operation that applies it."""
        defaults = _core.registry("activations")[self.kernel]
        alpha = self.alpha if self.alpha is not None else next(iter(defaults.values()), 0.0)
        return {"activation": _core.activation_index(self.kernel), "alpha": alpha}

    def __call__(self, x: Any) -> Any:
        """Of an array or a symbolic tensor."""
        from . import _activation_functions

        run = getattr(_activation_functions, "gelu" if self.kernel == "gelu_tanh" else self.kernel)
        if self.kernel == "gelu_tanh":
            return run(x, True)
        return run(x) if self.alpha is None else run(x, self.alpha)

    def apply(self, layer: Any, x: Any) -> Any:
        """Appends it to a layer, as an operation of its own."""
        if self.elementwise:
            return layer.emit("activation", [x], self.attributes())
        return layer.emit(self.kernel, [x])

    def _is_meant_by(self, identifier: Any) -> bool:
        return (identifier is None or isinstance(identifier, str)) and self == get(identifier)

    def __repr__(self) -> str:
        return self.kernel if self.alpha is None else f"{self.kernel}({self.alpha})"


class TracedActivation(ActivationFunction):
    """A function of the user's, in `fastnet.ops`: what ``activation=function`` becomes.

    Parameters
    ----------
    function : callable
        Takes a tensor and returns one.
    """

    elementwise = False

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, x: Any) -> Any:
        return self.function(x)

    def apply(self, layer: Any, x: Any) -> Any:
        y = self.function(x)
        if not isinstance(y, SymbolicTensor):
            raise TypeError(
                f"layer {layer._label!r}: activation {self!r} returned {y!r}, expected what fastnet.ops make of its input"
            )
        return y

    def _is_meant_by(self, identifier: Any) -> bool:
        return identifier is self.function

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


#: Functions of `fastnet.ops` whose defaults are those of the activation of the same name.
_SAME = frozenset(
    ("hard_sigmoid", "hard_silu", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh")
)  # fmt: skip


def _table() -> dict[str, str]:
    """Names users may write, and the engine's."""
    own = [*_core.registry("activations"), "softmax", "log_softmax"]
    return {**{name: name for name in own}, "swish": "silu", "hard_swish": "hard_silu"}


def name_of(number: float) -> str:
    """The elementwise activation that is this number in the attributes of operations: the inverse of `_core.activation_index`."""
    return list(_core.registry("activations"))[int(number)]


#: Names that `get` takes.
ACTIVATIONS = _table()


def get(identifier: Any) -> ActivationFunction:
    """The activation that `identifier` names; None stands for "linear", a function in `fastnet.ops` for itself.

    Raises
    ------
    ValueError
        If no activation has this name; says which is nearest.
    TypeError
        If the identifier is neither a name nor an activation.
    """
    if identifier is None:
        return ActivationFunction("linear")
    if isinstance(identifier, ActivationFunction):
        return identifier
    if isinstance(identifier, str):
        return ActivationFunction(identifier)
    name = own_function(identifier, "activations")
    if name in ACTIVATIONS:
        return ActivationFunction(name)
    if hasattr(identifier, "activation_function"):  # a layer that applies one
        return identifier.activation_function()
    if isinstance(identifier, dict) and identifier.get("class_name") == "ActivationFunction":
        return ActivationFunction.from_config(identifier["config"])
    name = getattr(identifier, "__name__", "")
    if name in _SAME and FUNCTIONS[name] is identifier:
        return ActivationFunction(name)
    if callable(identifier) and not isinstance(identifier, (type, Configurable)):
        return TracedActivation(identifier)
    raise TypeError(f"activation must be a name, a function, or an object of fastnet.activations, got {identifier!r}")


def serialize(activation: Any) -> Any:
    """The activation as what JSON can hold: its name, or with a parameter a dictionary."""
    function = get(activation)
    if isinstance(function, TracedActivation):
        raise TypeError(f"activation {function!r} is a function, which cannot be written down")
    return function.kernel if function.alpha is None else _config.serialize(function)


def deserialize(config: Any, custom_objects: Any = None) -> ActivationFunction:
    """The activation that `serialize` described."""
    return get(config)


def __getattr__(name: str) -> Any:
    """The functions of Keras, such as `relu`, are imported when one is first used."""
    if not name.startswith("_"):
        from . import _activation_functions

        if name in _activation_functions.__all__:
            return getattr(_activation_functions, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
