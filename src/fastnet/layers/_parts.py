"""What a layer is put together from: other layers, and weights."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import constraints, initializers, regularizers
from .._graph import LayerCall
from .._types import ConstraintLike, InitializerLike, RegularizerLike
from .._weights import Weight, WeightSpec, assign_all, between_steps

__all__ = ["Parts"]

#: Attributes of these types are not searched for layers.
_NO_LAYERS = (type(None), bool, int, float, str, np.ndarray)


class Parts:
    """The part of a layer that holds other layers and weights."""

    name: str | None
    _label: str
    _trainable: bool
    _weights: dict[str, Weight]
    _first_call: LayerCall | None
    _has_built: bool
    _owner: weakref.ref[Any] | None

    # ---- sublayers ----------------------------------------------------------------------------------------

    def sublayers(self) -> list[Any]:
        """The layers that this one is put together from: those that are its attributes, in order."""
        return list(dict.fromkeys(layer for _, layer in self._named_parts()))

    def _named_parts(self) -> Iterator[tuple[str, Any]]:
        """(name of the attribute, layer), numbered within lists and with the key within dictionaries."""
        for name, value in vars(self).items():
            if not isinstance(value, _NO_LAYERS):
                yield from _layers_within(name.strip("_"), value)

    @property
    def path(self) -> str:
        """Its name, after those of the layers that it is a part of: "block/dense"."""
        owner = self._owner() if self._owner is not None else None
        return f"{owner.path}/{self.name}" if owner is not None else str(self.name)

    @property
    def trainable(self) -> bool:
        """Whether training changes its weights; setting it sets all layers that it is put together from."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self.sublayers():
            layer.trainable = bool(value)

    # ---- weights ------------------------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the layer has weights: their shapes are known from the first call on."""
        return bool(self._weights) or any(layer.built for layer in self.sublayers())

    @built.setter
    def built(self, value: bool) -> None:
        """Accepted, as methods `build` written for Keras set it."""

    @property
    def weights(self) -> list[Weight]:
        """All weights: its own, then those of the layers that it is put together from."""
        return list(dict.fromkeys([*self._weights.values(), *(w for layer in self.sublayers() for w in layer.weights)]))

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training changes: none while the layer is frozen."""
        return [weight for weight in self.weights if weight.trainable and weight.layer.trainable]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training does not change."""
        return [weight for weight in self.weights if not (weight.trainable and weight.layer.trainable)]

    #: Keras's other names.
    variables, trainable_variables, non_trainable_variables = weights, trainable_weights, non_trainable_weights

    def _snapshot(self) -> Callable[[], None]:
        """A function that undoes what calls from now on do to the layer and those it is put together from."""
        weights, first_call, built = dict(self._weights), self._first_call, self._has_built
        undo = [layer._snapshot() for layer in self.sublayers()]

        def restore() -> None:
            self._weights, self._first_call, self._has_built = weights, first_call, built
            for one in undo:
                one()

        return restore

    def add_weight(
        self,
        shape: Sequence[int] | None = None,
        initializer: InitializerLike | None = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: RegularizerLike | None = None,
        constraint: ConstraintLike | None = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Weight:
        """A weight for mathematics of the layer's own: an operand of `fastnet.ops` and of Python's operators in `call`.

        Parameters
        ----------
        shape : sequence of int, optional
            Default: one number.
        initializer : str or Initializer, optional
            Default: Glorot's uniform distribution, as in Keras.
        trainable : bool
        regularizer, constraint
            As for the weights of other layers.
        name : str, optional
        dtype, autocast, aggregation, overwrite_with_gradient
            Accepted as Keras does.

        Returns
        -------
        Weight
        """
        sizes = (1,) if shape is None or tuple(shape) == () else tuple(operator.index(size) for size in shape)
        base, number = name or "variable", 1
        while (name := base if number == 1 else f"{base}_{number - 1}") in self._weights:
            number += 1
        spec = WeightSpec(
            initializers.get("glorot_uniform" if initializer is None else initializer),
            regularizers.get(regularizer),
            bool(trainable),
            constraints.get(constraint),
        )
        weight = self._weights[name] = Weight(self, name, sizes, spec)
        return weight

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights."""
        weights = self.weights
        if not weights or weights[0].slab is None:
            return [weight.array.copy() for weight in weights]
        return between_steps(weights[0].slab.gate, lambda: [weight.array.copy() for weight in weights])

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets the weights, in the order of `get_weights`.

        Raises
        ------
        ValueError
            If their number or shapes differ; nothing is changed then.
        """
        assign_all(self.weights, weights, f"layer {self._label!r}")

    def count_params(self) -> int:
        """Number of numbers in the weights."""
        return sum(weight.size for weight in self.weights)


def _layers_within(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The layers in a value, with names: it may be one, or a list, tuple or dictionary of such, at any depth."""
    if isinstance(value, Parts):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, one in enumerate(value):
            yield from _layers_within(f"{name}_{i}", one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _layers_within(f"{name}_{key}", one)
