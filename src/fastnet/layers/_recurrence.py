"""What recurrent layers and their cells are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .. import activations, constraints, initializers, regularizers
from .._graph import SymbolicTensor, batch_size_of
from .._weights import WeightSpec
from ..initializers import Initializer
from ._arguments import checked_seed
from .base import Layer
from .core import positive_integer
from .normalization import number_in

__all__ = ["ForgetBias", "Recurrence"]


class ForgetBias(Initializer):
    """Ones for the forget gate, and for the others what another initializer says."""

    def __init__(self, others: Initializer) -> None:
        self.others = others

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        units = shape[0] // 4
        first, last = (initializers.initialize(self.others, part, "float64", rng) for part in ((units,), (2 * units,)))
        return np.concatenate([first, np.ones(units), last])


class Recurrence(Layer):
    """What recurrent layers and their cells have in common."""

    #: The operation, and the names of its states.
    kernel: ClassVar[str]
    states: ClassVar[tuple[str, ...]]
    supports_masking = True

    def _take(self, given: Mapping[str, Any], return_state: bool = False) -> None:
        """Checks and stores the arguments of a constructor, by their names; some have only one of the others."""
        self.units = positive_integer(self._label, "units", given["units"])
        self.activation = self._elementwise("activation", given["activation"])
        self.recurrent_activation = self._elementwise("recurrent_activation", given.get("recurrent_activation", "linear"))
        self.use_bias = bool(given["use_bias"])
        self.kernel_initializer = initializers.get(given["kernel_initializer"])
        self.recurrent_initializer = initializers.get(given["recurrent_initializer"])
        self.bias_initializer = initializers.get(given["bias_initializer"])
        self.kernel_regularizer = regularizers.get(given["kernel_regularizer"])
        self.recurrent_regularizer = regularizers.get(given["recurrent_regularizer"])
        self.bias_regularizer = regularizers.get(given["bias_regularizer"])
        self.activity_regularizer = regularizers.get(given.get("activity_regularizer"))
        self.kernel_constraint = constraints.get(given["kernel_constraint"])
        self.recurrent_constraint = constraints.get(given["recurrent_constraint"])
        self.bias_constraint = constraints.get(given["bias_constraint"])
        self.dropout, self.recurrent_dropout = (
            number_in(self, name, given[name], 0.0, np.nextafter(1.0, 0.0)) for name in ("dropout", "recurrent_dropout")
        )
        self.seed = checked_seed(self._label, given["seed"])
        self.return_sequences = bool(given.get("return_sequences", False))
        self.return_state = bool(given.get("return_state", return_state))
        self.go_backwards, self.stateful = bool(given.get("go_backwards", False)), bool(given.get("stateful", False))

    def _elementwise(self, name: str, value: Any) -> Any:
        function = activations.get(value)
        if not function.elementwise:
            raise ValueError(
                f"{self._label}: {name} must be one of the engine's activations that work element by element, got {value!r}"
            )
        return function

    def _specs(self) -> dict[str, WeightSpec]:
        bias = self.bias_initializer
        if getattr(self, "unit_forget_bias", False):
            bias = ForgetBias(bias)
        specs = {
            "kernel": WeightSpec(self.kernel_initializer, self.kernel_regularizer, True, self.kernel_constraint),
            "recurrent_kernel": WeightSpec(
                self.recurrent_initializer, self.recurrent_regularizer, True, self.recurrent_constraint
            ),
        }
        if self.use_bias:
            specs["bias"] = WeightSpec(bias, self.bias_regularizer, True, self.bias_constraint)
        if self.stateful:
            specs.update((f"state_{name}", WeightSpec(initializers.Zeros(), trainable=False)) for name in self.states)
        return specs

    def run_sequence(self, x: SymbolicTensor, initial_state: Any, options: Mapping[str, Any], return_state: bool) -> Any:
        """The output for a sequence, or a list of it and the states.

        Parameters
        ----------
        options : mapping
            Attributes of the operation: return_sequences, go_backwards and so on.
        """
        given = (
            [] if initial_state is None else [initial_state] if isinstance(initial_state, SymbolicTensor) else list(initial_state)
        )
        if given and len(given) != len(self.states):
            raise ValueError(f"layer {self._label!r}: initial_state must be {len(self.states)} tensors, got {len(given)}")
        functions = {"activation": self.activation, "recurrent_activation": self.recurrent_activation}
        attributes: dict[str, Any] = {
            "units": self.units, "use_bias": self.use_bias, "return_state": return_state, "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout, "masked": x.mask is not None, **options,
        }  # fmt: skip
        for prefix, function in zip(("", "recurrent_"), functions.values()):
            attributes.update((prefix + name, value) for name, value in function.attributes().items())
        if self.seed is not None:
            attributes["seed"] = self.seed
        if hasattr(self, "reset_after"):
            attributes["reset_after"] = self.reset_after
        if self.stateful:
            size = batch_size_of(x)
            if size is None:
                raise ValueError(
                    f"layer {self._label!r}: stateful needs the number of rows of a batch: fn.Input(shape, batch_size=...)"
                )
            attributes["stateful"] = size
        masks = [] if x.mask is None else [x.mask]
        y = self.emit(self.kernel, [x, *masks, *given], attributes, self._specs())
        outputs = y.operation.outputs
        y = self.regularize(y)
        return [y, *map(self.regularize_activity, outputs[1:])] if return_state else y
