"""Models: graphs of layers. `Model` is any directed acyclic graph, `Sequential` one layer after another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _data
from ._graph import Graph, LayerCall, SymbolicTensor, as_tensors, outside_calls
from ._model_calls import ModelCalls, keyed
from ._model_losses import ModelLosses
from ._names import snake_case
from ._seeds import checked_seed, new_seed
from ._summary import summarize
from ._weights import Slab, Weight, assign_all
from .config import floatx
from .layers._modes import outside_modes
from .layers._naming import name_layers
from .layers._registry import LAYERS
from .layers.base import Layer
from .layers.core import Input, input_like
from .training import Trainer

__all__ = ["Model", "Sequential"]


class Model(ModelLosses, ModelCalls, Trainer):
    """A network: any directed acyclic graph of layers, with several inputs and outputs if need be.

    Called on symbolic tensors, a model is a layer of another one, which shares its weights, and as often as it is called.

    A class of one's own makes layers in its constructor, after ``super().__init__()``, and says in ``call(self, x)`` or
    ``call(self, x, training=None)`` what it does with them. That is called once, on symbolic tensors, when the shape of the input is known
    (`build`, or the first data): what it computes is the graph of the model from then on. Files ``.safetensors`` hold that graph, and are
    loaded as a model without the class; ``.keras`` files name the class, as in Keras.

    Parameters
    ----------
    inputs : SymbolicTensor, or a list or dictionary of them
        What `fastnet.Input` returned. The keys of a dictionary are the names of the inputs.
    outputs : SymbolicTensor, or a list or dictionary of them
        What layers returned that were called on them. Of a dictionary, predictions are one of the same keys.
    seed : int, optional
        Everything random (initial weights, order of the rows, dropout) is a function of it. None: another one
        each time, or, after `utils.set_random_seed`, the next of those that follow from that.
    dtype : {"float32", "float64"}
        In which everything is computed. Default: what `config.floatx` says, float32.
    name : str, optional

    Raises
    ------
    ValueError
        If the outputs depend on an input that is not given.

    Examples
    --------
    >>> import fastnet as fn, numpy as np
    >>> a, b = fn.Input((4,)), fn.Input((3,))
    >>> joined = fn.layers.Concatenate()([fn.layers.Dense(8)(a), b])
    >>> model = fn.Model([a, b], fn.layers.Dense(1)(joined), seed=0)
    >>> model.count_params()
    52

    >>> class Twice(fn.Model):
    ...     def __init__(self):
    ...         super().__init__(seed=0)
    ...         self.dense = fn.layers.Dense(4, "relu")
    ...
    ...     def call(self, x):
    ...         return self.dense(x) * 2
    >>> Twice().predict(np.ones((3, 2))).shape
    (3, 4)
    """

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        *,
        seed: int | None = None,
        dtype: str | None = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self._describe(seed, dtype, name)
        has_call = type(self).call is not Model.call
        if inputs is None and outputs is None and (has_call or self._overrides("train_step")):
            self._trainable = bool(trainable)
            self._subclassed, self._given, self._own_slab = True, None, None
            self._common = frozenset([*vars(self), "_common", "_tracing", "_distribution", "_shared_steps"])
            return
        if inputs is None or outputs is None:
            raise TypeError(
                f"{type(self).__name__} takes inputs and outputs, or is a class that says what it computes in a method call"
            )
        if has_call:
            raise TypeError(f"{type(self).__name__} has a call, which inputs and outputs would never make: give it either")
        self._input_keys, inputs = keyed(inputs)
        self._output_keys, outputs = keyed(outputs)
        self._connect(as_tensors(inputs, "inputs"), as_tensors(outputs, "outputs"))

    def _describe(self, seed: int | None, dtype: str | None, name: str | None) -> None:
        Layer.__init__(self, name=name)
        Trainer.__init__(self)
        dtype = floatx() if dtype is None else dtype
        try:
            self.dtype = np.dtype(dtype).name
        except TypeError:
            self.dtype = str(dtype)
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        given = checked_seed(seed, largest=2**64 - 1, wanted="between 0 and 2**64 - 1")
        self.seed = new_seed() if given is None else given
        self.name = name or snake_case(type(self).__name__)
        self._graph = Graph()
        self._added, self._traced_losses = (), ()
        self._anchor: Weight | None = None

    def _connect(
        self,
        inputs: list[SymbolicTensor],
        outputs: list[SymbolicTensor],
        calls: Sequence[LayerCall] | None = None,
        added: Sequence[SymbolicTensor] = (),
    ) -> None:
        for tensor in inputs:
            if tensor.operation is not None and tensor.operation.function is None:
                raise ValueError(f"an input of a model must be what fn.Input returned, got {tensor!r}")
        if len(set(map(id, inputs))) != len(inputs):
            raise ValueError("an input of the model is given twice")
        names = [tensor.name for tensor in inputs if tensor.name is not None]
        if len(set(names)) != len(names):
            raise ValueError(f"two inputs of the model have the same name: {names}")
        graph = Graph(inputs, outputs, calls, added)
        # What is called within another layer or model has its name from there.
        roots = [call.layer for call in graph.naming_order if call.parent is None or call.layer.name is None]
        name_layers(dict.fromkeys(roots))
        weights = list(dict.fromkeys(weight for call in graph.calls for weight in call.layer.weights))
        slab = Slab.join(weights, self.dtype, self.seed, self)
        self._anchor = weights[0] if weights else None
        self._own_slab = slab
        self._graph, self._added = graph, tuple(added)
        self._variants.begin(graph.feeds)
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

    @built.setter
    def built(self, value: bool) -> None:
        """Accepted as Keras does: a model is built when it is called."""

    def _require_built(self) -> None:
        if not self.built:
            raise RuntimeError(
                f"model {self.name!r} does not know the shape of its input yet: begin it with fn.Input(shape), or call "
                "build, fit or predict"
            )

    @property
    def _labels(self) -> dict[int, Any]:
        return self._graph.labels

    def sublayers(self) -> list[Layer]:
        return self.layers

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs: those of the layers they come from, numbered where two would be the same."""
        if self._output_keys is not None:
            return list(self._output_keys)
        names: list[str] = []
        producers = self._graph.producers
        for tensor in self.outputs:
            layer = producers.get(id(tensor))
            base = layer.name if layer is not None else tensor.name or "input"
            count = sum(name == base or name.startswith(f"{base}_output_") for name in names)
            names.append(f"{base}_output_{count}" if count else base)
        return names

    def _with_outputs(self, outputs: list[SymbolicTensor], more_inputs: Sequence[SymbolicTensor] = ()) -> Model:
        """A model of the same layers that computes other values of theirs."""
        return Model([*self.inputs, *more_inputs], outputs, seed=self.seed, dtype=self.dtype)

    # ---- configuration and copies ------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What the model is made of, as a dictionary that JSON can hold, without its numbers."""
        from .saving.description import describe

        return describe(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Model:
        """The model whose `get_config` gave `config`, with new weights."""
        from .saving.building import rebuild

        return rebuild(config)

    def __reduce__(self) -> Any:
        """For pickle and copy: a model on its own, which goes on training with the same bits; see `saving.pickling`."""
        from .saving.pickling import restore_model, state_of

        return restore_model, (state_of(self),)

    def __copy__(self) -> Model:
        """As deepcopy: two models cannot have one optimizer."""
        return copy.deepcopy(self)

    # ---- weights ---------------------------------------------------------------------------------

    def _paths(self) -> dict[Weight, str]:
        """The names by which files and optimizers know the weights: "dense/kernel", "inner/dense/kernel"."""
        return self._graph.paths()

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
        for layer in self.sublayers():
            layer.trainable = bool(value)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights."""
        self._require_built()
        with self._reading() as live:
            if live:
                return [weight.array.copy() for weight in self.weights]
            snapshot = self._plans.snapshot()
            return [snapshot.trained_value(weight).copy() for weight in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all weights, in the order of `get_weights`.

        Raises
        ------
        ValueError
            If their number or shapes differ; nothing is changed then.
        """
        self._require_built()
        assign_all(self.weights, weights, f"model {self.name!r}")

    # ---- saving ------------------------------------------------------------------------------------

    def save(self, filepath: Any, *, include_optimizer: bool = False) -> None:
        """Writes the model to one safetensors file, from which `fastnet.load_model` makes it again, and which C reads (docs/c.md).

        The file holds the weights, the description of the layers, and what compile was told, unless that was a
        Python function of arrays. It replaces an older one only when it is whole. With `include_optimizer` it holds the optimizer's arrays
        and counters, too, and the trained weights where averages are evaluated with: training goes on as if it had not stopped.

        A name that ends with ``.keras`` asks for the format of Keras 3, which needs h5py: Keras loads the file and computes the same. It
        holds what compile was told where Keras has all of that; `precise` and `n_threads` it does not have.

        Raises
        ------
        ImportError
            For a ``.keras`` file, if h5py is not installed.
        ValueError
            For other names of Keras's, such as ``.h5``; if a ``.keras`` file is asked for and the model has what Keras does not have.
        """
        from . import saving

        saving.save_model(self, filepath, include_optimizer=include_optimizer)

    def save_weights(self, filepath: Any) -> None:
        """Writes the weights to a safetensors file, by their paths such as "dense/kernel"; to one of Keras's for a name in ``.weights.h5``."""
        from . import saving

        saving.save_weights(self, filepath)

    def load_weights(self, filepath: Any) -> None:
        """Sets the weights from a file that `save_weights` or `save` wrote, or Keras where it ends with ``.weights.h5``.

        Raises
        ------
        OSError, ValueError
            If it cannot be read, is broken, or a weight is missing or of another shape; nothing is changed then.
        """
        from . import saving

        saving.load_weights(self, filepath)

    # ---- summary -----------------------------------------------------------------------------------

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Prints a table of the layers with their output shapes and numbers of parameters.

        Once the model has been trained, evaluated or asked to predict, also the memory of the plan for that, for its
        batch size: the peak of the activations and scratch as they are laid out, and how many times the least possible
        that is, the largest sum of those that are alive at the same time.

        Parameters
        ----------
        line_length : int, optional
            Of the table: cells that are longer go on in the next line.
        positions : list of float, optional
            Where columns end, as parts of `line_length` or in characters; heeded where there are as many as columns.
        print_fn : callable, optional
            Called with the text in place of `print`.
        expand_nested : bool
            Also the layers of models that are layers, and of layers put together from others, set in.
        show_trainable : bool
            With a column that says whether training changes the layer.
        layer_range : list of two str, optional
            Regular expressions for the names of the first and the last layer to show.
        """
        self._require_built()
        (print_fn or print)(summarize(self, expand_nested, show_trainable, line_length, positions, layer_range))

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
        Models may take the place of layers; one that comes first says the shape of the input.
    seed, dtype, name
        As in `Model`.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(8, activation="relu"), fn.layers.Dense(1)], seed=0)
    >>> model.count_params()
    49
    """

    _is_stack = True

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        *,
        seed: int | None = None,
        dtype: str | None = None,
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
        self._graph = Graph()
        self._restructured()
        self._rebuild()

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the weights for inputs of a shape, given with the batch axis: ``(None, 64)``."""
        if not input_shape or input_shape[0] is not None:
            raise ValueError(f"input_shape begins with None, the batch axis; got {tuple(input_shape)}")
        restore = self._snapshot()
        try:
            takes_text = bool(self._stack) and self._stack[0].takes_strings
            self._input = Input(input_shape[1:], dtype="string" if takes_text else None)
            self._rebuild()
        except BaseException:
            restore()
            raise

    def _snapshot(self, *more: Any) -> Callable[[], None]:
        state = (self._input, list(self._stack), self._graph, self._anchor)
        undo = [super()._snapshot(), *(layer._snapshot() for layer in more if isinstance(layer, Layer))]

        def restore() -> None:
            self._input, self._stack, self._graph, self._anchor = state
            for one in undo:
                one()
            self._restructured()

        return restore

    def _append(self, layer: Any) -> None:
        if isinstance(layer, SymbolicTensor):
            if self._stack or self._input is not None:
                raise ValueError("fn.Input must come first in a Sequential model")
            self._input = layer
        elif isinstance(layer, Layer):
            if not isinstance(layer, Model) and any(layer is other for other in self._stack):
                raise ValueError(
                    f"layer {layer.name or type(layer).__name__!r} is in the model twice; to share weights, use fn.Model"
                )
            told = layer._given_input
            if self._input is None and not self._stack and told is not None and None not in told[0]:
                self._input = Input(told[0], told[1])
            if self._input is None and not self._stack and isinstance(layer, Model) and len(layer.inputs) == 1:
                self._input = input_like(layer.inputs[0], name=layer.inputs[0].name)
            self._stack.append(layer)
        else:
            raise TypeError(f"expected a layer, got {layer!r}")

    def _rebuild(self) -> None:
        if self._input is None or not self._stack:
            return
        for call in self._graph.calls:  # of the graph that is made anew
            if call.layer._first_call is call:
                call.layer._first_call = None
        calls: list[LayerCall] = []
        tensors = [self._input]
        with outside_calls(), outside_modes():
            for layer in self._stack:
                calls.append(layer._make_call(tensors))
                tensors = calls[-1].outputs
            self._connect([self._input], tensors, calls)

    def _make_call(self, inputs: Any, *more: Any, **options: Any) -> LayerCall:
        tensors = as_tensors(inputs, "inputs")
        if not self.built and len(tensors) == 1:
            self.build(tensors[0].shape)
        return super()._make_call(tensors, *more, **options)

    @property
    def layers(self) -> list[Layer]:
        """The layers in order."""
        return list(dict.fromkeys(self._stack))

    def _build_for(self, x: Any) -> Callable[[], None]:
        """Builds the model for data, where no shape was given."""
        if self.built or not self._stack:
            self._require_built()
            return super()._build_for(x)
        restore = self._snapshot()
        given = _data.match_names(x, ["input"], "x")[0]
        if isinstance(given, (list, tuple)) and len(given) == 1 and getattr(given[0], "ndim", 0) > 1:
            given = given[0]
        self.build((None, *(_data.shape_of(given, "x")[0] or (1,))))
        return restore


LAYERS.update(Model=Model, Sequential=Sequential)
