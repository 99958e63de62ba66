"""Models: graphs of layers. `Model` is any directed acyclic graph, `Sequential` one layer after another."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from . import _data
from ._graph import LayerCall, Operation, Slab, SymbolicTensor, Weight, find_labels, sort_operations
from ._names import snake_case
from .layers.base import Layer, assign_all
from .layers.core import Input
from .training import Trainer

__all__ = ["Model", "Sequential"]


def _as_list(tensors: Any, what: str) -> list[SymbolicTensor]:
    found = [tensors] if isinstance(tensors, SymbolicTensor) else tensors
    if not isinstance(found, (list, tuple)) or not found or not all(isinstance(t, SymbolicTensor) for t in found):
        raise TypeError(f"{what} must be what fn.Input or a layer returned, or a list of such, got {tensors!r}")
    return list(found)


def _name_layers(layers: Iterable[Layer]) -> None:
    """Gives a name to each layer that was given none: the class's, numbered where it is taken.

    A layer keeps what it was named in another model, unless two such layers meet.
    """
    layers = list(layers)
    owners: dict[str, Layer] = {}
    for layer in layers:
        if layer._named and owners.setdefault(layer.name, layer) is not layer:
            raise ValueError(f"two layers of the model are named {layer.name!r}")
    nameless = [layer for layer in layers if layer.name is None or owners.setdefault(layer.name, layer) is not layer]
    for layer in nameless:
        base, number = snake_case(type(layer).__name__), 0
        while (name := f"{base}_{number}" if number else base) in owners:
            number += 1
        layer.name = name
        owners[name] = layer


def _layers_of(operations: Iterable[Operation]) -> list[Layer]:
    return list(dict.fromkeys(operation.layer for operation in operations))


class Model(Trainer):
    """A network: any directed acyclic graph of layers, with several inputs and outputs if need be.

    Parameters
    ----------
    inputs : SymbolicTensor or list of SymbolicTensor
        What `fastnet.Input` returned.
    outputs : SymbolicTensor or list of SymbolicTensor
        What layers returned that were called on them.
    seed : int, optional
        Everything random (initial weights, order of the rows, dropout) is a function of it. None: another one
        each time.
    dtype : {"float32", "float64"}
        In which everything is computed.
    name : str, optional

    Raises
    ------
    ValueError
        If the outputs depend on an input that is not given.

    Examples
    --------
    >>> import fastnet as fn
    >>> a, b = fn.Input((4,)), fn.Input((3,))
    >>> joined = fn.layers.Concatenate()([fn.layers.Dense(8)(a), b])
    >>> model = fn.Model([a, b], fn.layers.Dense(1)(joined), seed=0)
    >>> model.count_params()
    52
    """

    def __init__(
        self, inputs: Any, outputs: Any, *, seed: int | None = None, dtype: str = "float32", name: str | None = None
    ) -> None:
        self._describe(seed, dtype, name)
        self._connect(_as_list(inputs, "inputs"), _as_list(outputs, "outputs"))

    def _describe(self, seed: int | None, dtype: str, name: str | None) -> None:
        super().__init__()
        try:
            self.dtype = np.dtype(dtype).name
        except TypeError:
            self.dtype = str(dtype)
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "little") >> 1
        try:
            self.seed = operator.index(seed)
        except TypeError:
            raise TypeError(f"seed must be an integer or None, got {seed!r}") from None
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must be between 0 and 2**64 - 1, got {seed}")
        self.name = name or snake_case(type(self).__name__)
        self.inputs: list[SymbolicTensor] = []
        self.outputs: list[SymbolicTensor] = []
        self._operations: list[Operation] = []
        self._labels: dict[int, tuple[str, int]] = {}
        self._anchor: Weight | None = None

    def _connect(self, inputs: list[SymbolicTensor], outputs: list[SymbolicTensor]) -> None:
        for tensor in inputs:
            if tensor.operation is not None:
                raise ValueError(f"an input of a model must be what fn.Input returned, got {tensor!r}")
        if len(set(map(id, inputs))) != len(inputs):
            raise ValueError("an input of the model is given twice")
        names = [tensor.name for tensor in inputs if tensor.name is not None]
        if len(set(names)) != len(names):
            raise ValueError(f"two inputs of the model have the same name: {names}")
        operations = sort_operations(inputs, outputs)
        layers = _layers_of(operations)
        _name_layers(layers)
        weights = [weight for layer in layers for weight in layer.weights]
        slab = Slab.join(weights, self.dtype, self.seed)
        self._anchor = weights[0] if weights else None
        self._own_slab = slab
        self.inputs, self.outputs, self._operations = inputs, outputs, operations
        self._labels = find_labels(operations)
        self._restructured()

    @property
    def _slab(self) -> Slab:
        """Where the weights are. Another model that shares some of them may move them all to another slab."""
        return self._anchor.slab if self._anchor else self._own_slab

    # ---- structure -----------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the shapes are known and the weights exist."""
        return bool(self.outputs)

    def _require_built(self) -> None:
        if not self.built:
            raise RuntimeError(
                f"model {self.name!r} does not know the shape of its input yet: begin it with fn.Input(shape), or call "
                "build, fit or predict"
            )

    @property
    def _calls(self) -> list[LayerCall]:
        """The uses of the layers, in the order of computation."""
        return list(dict.fromkeys(operation.call for operation in self._operations))

    @property
    def layers(self) -> list[Layer]:
        """The layers, each once, in the order of computation."""
        return _layers_of(self._operations)

    def get_layer(self, name: str) -> Layer:
        """The layer of that name; ValueError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"no layer is named {name!r}; there are {[layer.name for layer in self.layers]}")

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, for dictionaries of arrays."""
        return [tensor.name or f"input_{i}" if len(self.inputs) > 1 else tensor.name or "input"
                for i, tensor in enumerate(self.inputs)]  # fmt: skip

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs: those of the layers they come from, numbered where two would be the same."""
        names: list[str] = []
        for tensor in self.outputs:
            base = tensor.operation.layer.name if tensor.operation else tensor.name or "input"
            count = sum(name == base or name.startswith(f"{base}_output_") for name in names)
            names.append(f"{base}_output_{count}" if count else base)
        return names

    def __call__(self, inputs: Any) -> Any:
        """On symbolic tensors, the model as a layer: the same operations and weights once more. On arrays, predict."""
        given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if not any(isinstance(tensor, SymbolicTensor) for tensor in given):
            return self.predict(inputs)
        tensors = _as_list(inputs, "inputs")
        if not self.built and isinstance(self, Sequential) and len(tensors) == 1:
            self.build(tensors[0].shape)
        self._require_built()
        if len(tensors) != len(self.inputs):
            raise ValueError(f"model {self.name!r} has {len(self.inputs)} inputs, got {len(tensors)}")
        replaced: dict[int, SymbolicTensor] = {}
        for old, new in zip(self.inputs, tensors):
            if old.sample_shape != new.sample_shape:
                raise ValueError(f"model {self.name!r} takes inputs of shape {old.shape}, got {new.shape}")
            replaced[id(old)] = new
        for call in self._calls:
            results = call.repeat(lambda tensor: replaced[id(tensor)])
            replaced.update((id(old), new) for old, new in zip(call.outputs, results))
        outputs = [replaced[id(tensor)] for tensor in self.outputs]
        return outputs if len(outputs) > 1 else outputs[0]

    # ---- weights ---------------------------------------------------------------------------------

    @property
    def weights(self) -> list[Weight]:
        """All weights, in the order of the layers."""
        return [weight for layer in self.layers for weight in layer.weights]

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training changes."""
        return [weight for layer in self.layers for weight in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training does not change."""
        return [weight for layer in self.layers for weight in layer.non_trainable_weights]

    @property
    def gradients(self) -> list[np.ndarray]:
        """The gradients of `trainable_weights` that the last backward pass left: views."""
        return [weight.gradient for weight in self.trainable_weights]

    @property
    def trainable(self) -> bool:
        """Whether any layer is trained; setting it sets all layers."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = bool(value)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights."""
        self._require_built()
        return [weight.value.copy() for weight in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all weights, in the order of `get_weights`.

        Raises
        ------
        ValueError
            If their number or shapes differ; nothing is changed then.
        """
        self._require_built()
        assign_all(self.weights, weights, f"model {self.name!r}")

    def count_params(self) -> int:
        """Number of numbers in all weights."""
        return sum(weight.size for weight in self.weights)

    # ---- saving ------------------------------------------------------------------------------------

    def save(self, path: Any) -> None:
        """Writes the model to one safetensors file, from which `fastnet.load_model` makes it again.

        The file holds the weights, the description of the layers, and what compile was told, unless that was a
        Python function. It replaces an older one only when it is whole.
        """
        from . import saving

        saving.save_model(self, path)

    def save_weights(self, path: Any) -> None:
        """Writes the weights to a safetensors file, by their paths such as "dense/kernel"."""
        from . import saving

        saving.save_weights(self, path)

    def load_weights(self, path: Any) -> None:
        """Sets the weights from a file that `save_weights` or `save` wrote.

        Raises
        ------
        OSError, ValueError
            If it cannot be read, is broken, or a weight is missing or of another shape; nothing is changed then.
        """
        from . import saving

        saving.load_weights(self, path)

    # ---- summary -----------------------------------------------------------------------------------

    def summary(self, print_fn: Any = print) -> None:
        """Prints a table of the layers with their output shapes and numbers of parameters.

        Parameters
        ----------
        print_fn : callable
            Called with the text.
        """
        self._require_built()
        names = {id(tensor): name for tensor, name in zip(self.inputs, self.input_names)}
        rows = [(name, "Input", str(tensor.shape), "0", "") for name, tensor in zip(self.input_names, self.inputs)]
        last = {operation.layer: operation for operation in self._operations}
        first = {operation.layer: operation for operation in reversed(self._operations)}
        linear = len(self.inputs) == 1 and all(len(call.sources) == 1 for call in self._calls)
        for layer in self.layers:
            sources = (names.get(id(t)) or t.operation.layer.name for t in first[layer].call.sources)
            shape = str(last[layer].outputs[0].shape)
            rows.append((layer.name, type(layer).__name__, shape, f"{layer.count_params():,}", ", ".join(sources)))
        header = ("Layer", "Type", "Output shape", "Parameters", "From")
        columns = 4 if linear else 5
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(columns)]

        def line(row: Sequence[str]) -> str:
            cells = [cell.rjust(width) if i == 3 else cell.ljust(width)
                     for i, (cell, width) in enumerate(zip(row, widths))]  # fmt: skip
            return "  ".join(cells).rstrip()

        trained = sum(weight.size for weight in self.trainable_weights)
        total = self.count_params()
        text = [f"Model {self.name!r} ({self.dtype})", line(header), line(["-" * width for width in widths])]
        text += [line(row) for row in rows]
        text += [line(["-" * width for width in widths])]
        text += [f"{total:,} parameters ({total * np.dtype(self.dtype).itemsize:,} bytes): "
                 f"{trained:,} trainable, {total - trained:,} not"]  # fmt: skip
        plan = self._latest_plan()
        if plan is not None:
            info = plan.info()
            text.append(f"{info['arena_bytes']:,} bytes of activations and scratch for batches of {plan.max_rows} "
                        f"({info['live_bytes']:,} alive at once), kernels for {info['isa']}")  # fmt: skip
        print_fn("\n".join(text))

    def __repr__(self) -> str:
        if not self.built:
            return f"<{type(self).__name__} {self.name!r}, not built>"
        return f"<{type(self).__name__} {self.name!r}, {len(self.layers)} layers, {self.count_params():,} parameters>"


class Sequential(Model):
    """A network of layers one after another.

    Parameters
    ----------
    layers : list of Layer, optional
        The first may be what `fastnet.Input` returned; without it, the model is built when it first sees data.
        Models may take the place of layers.
    seed, dtype, name
        As in `Model`.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(8, activation="relu"), fn.layers.Dense(1)], seed=0)
    >>> model.count_params()
    49
    """

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        *,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ) -> None:
        self._describe(seed, dtype, name)
        self._input: SymbolicTensor | None = None
        self._stack: list[Any] = []
        if layers is not None and not isinstance(layers, Iterable):
            raise TypeError(f"Sequential takes a list of layers, got {layers!r}")
        for layer in layers or []:
            self._append(layer)
        self._rebuild()

    def add(self, layer: Any) -> None:
        """Appends a layer.

        Raises
        ------
        TypeError
            If it is none.
        ValueError
            If it does not fit the layers there are; the model is unchanged then.
        """
        restore = self._snapshot(layer)
        try:
            self._append(layer)
            self._rebuild()
        except BaseException:
            restore()
            raise

    def pop(self) -> None:
        """Removes the last layer; ValueError if there is none."""
        if not self._stack:
            raise ValueError(f"model {self.name!r} has no layers")
        self._stack.pop()
        self.inputs, self.outputs, self._operations, self._labels = [], [], [], {}
        self._restructured()
        self._rebuild()

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the weights for inputs of a shape, given with the batch axis: ``(None, 64)``."""
        if not input_shape or input_shape[0] is not None:
            raise ValueError(f"input_shape begins with None, the batch axis; got {tuple(input_shape)}")
        restore = self._snapshot()
        try:
            self._input = Input(input_shape[1:])
            self._rebuild()
        except BaseException:
            restore()
            raise

    def _snapshot(self, *more: Any) -> Callable[[], None]:
        """A function that undoes what is done to the model, its layers and some more layers from now on."""
        state = (self._input, list(self._stack), self.inputs, self.outputs, self._operations, self._labels,
                 self._anchor)  # fmt: skip
        undo = []
        for layer in (*self._stack, *more):
            if isinstance(layer, Sequential):
                undo.append(layer._snapshot())
            elif isinstance(layer, Layer) and not layer.built:
                undo.append(layer._weights.clear)

        def restore() -> None:
            (self._input, self._stack, self.inputs, self.outputs, self._operations, self._labels,
             self._anchor) = state  # fmt: skip
            for one in undo:
                one()
            self._restructured()

        return restore

    def _append(self, layer: Any) -> None:
        if isinstance(layer, SymbolicTensor):
            if self._stack or self._input is not None:
                raise ValueError("fn.Input must come first in a Sequential model")
            self._input = layer
        elif isinstance(layer, (Layer, Model)):
            if isinstance(layer, Layer) and any(layer is other for other in self._stack):
                raise ValueError(f"layer {layer.name or type(layer).__name__!r} is in the model twice; "
                                 "to share weights, use fn.Model")  # fmt: skip
            self._stack.append(layer)
        else:
            raise TypeError(f"expected a layer, got {layer!r}")

    def _rebuild(self) -> None:
        if self._input is None or not self._stack:
            return
        tensor = self._input
        for layer in self._stack:
            tensor = layer(tensor)
        self._connect([self._input], [tensor])

    @property
    def layers(self) -> list[Layer]:
        """The layers in order; before the model is built, as they were given."""
        if not self.built:
            return list(self._stack)
        return super().layers

    def _build_for(self, x: Any) -> Callable[[], None]:
        """Builds the model for data, where no shape was given."""
        if self.built or not self._stack:
            self._require_built()
            return super()._build_for(x)
        restore = self._snapshot()
        given = _data.match_names(x, ["input"], "x")[0]
        if isinstance(given, (list, tuple)) and len(given) == 1 and getattr(given[0], "ndim", 0) > 1:
            given = given[0]
        array = _data.as_array(given, "x")
        self.build((None, *(array.shape[1:] or (1,))))
        return restore
