"""Models that are called: as layers of others; and classes of the user's, whose graph is what their `call` does."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from . import _data
from ._graph import Graph, LayerCall, SymbolicTensor, as_tensors, outside_calls, symbols_in
from ._row_stacks import map_stacks, stacks_in
from ._step_context import STEP
from .initializers import Constant
from .layers._eager import compute
from .layers._modes import outside_modes, takes_training, trace_modes
from .layers._naming import name_layers
from .layers.base import Layer
from .layers.core import Input, input_like
from .layers.functional import FunctionLayer, InTraining
from .layers.host import sizes_of_stage

__all__ = ["ModelCalls", "keyed"]


class ModelCalls(Layer):
    """The part of a model that is called."""

    # What `Model` has.
    inputs: list[SymbolicTensor]
    outputs: list[SymbolicTensor]
    name: str
    _graph: Graph
    _connect: Callable[..., None]
    _require_built: Callable[[], None]
    _restructured: Callable[[], None]

    _repeats_calls = True
    #: Whether the graph is made by the `call` of a class of the user's.
    _subclassed = False
    _traced_losses: tuple[SymbolicTensor, ...] = ()
    #: Names of the inputs and outputs, where these were given as dictionaries.
    _input_keys: tuple[str, ...] | None = None
    _output_keys: tuple[str, ...] | None = None
    #: Whether that is being made.
    _tracing = False
    #: What it was made for: inputs in lists and dictionaries.
    _given: Any = None
    #: The attributes that every model has.
    _common: frozenset[str] = frozenset()

    #: Unlike those of other layers, its attributes change with every step; what plans depend on is noted where it changes.
    __setattr__ = object.__setattr__

    #: What the constructor of a class of the user's was given, by position and by name.
    _constructed: tuple[tuple[Any, ...], dict[str, Any]] = (), {}

    def __new__(cls, *given: Any, **named: Any) -> Self:  # a type of its own, or checkers would ask nothing of `__init__`
        model = super().__new__(cls)
        if cls.call is not ModelCalls.call or not cls.__init__.__module__.startswith("fastnet."):
            vars(model)["_constructed"] = given, named
        return model

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.call is ModelCalls.call:
            return
        if any(base.__name__ == "Sequential" for base in cls.__mro__[1:]):
            raise TypeError(
                f"{cls.__name__}.call would never be called, as Sequential calls its layers one after another: derive from fn.Model"
            )
        if "__setattr__" not in vars(cls):
            cls.__setattr__ = _set_attribute  # type: ignore[assignment, method-assign]

    if not TYPE_CHECKING:  # type checkers would take it for a sign that there is any attribute

        def __getattr__(self, name: str) -> Any:
            if name in ("_graph", "_compiled", "_plans"):
                raise RuntimeError(f"the constructor of {type(self).__name__} must call super().__init__() before all else")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __call__(self, inputs: Any, *more: Any, training: bool | None = None, **options: Any) -> Any:
        """On symbolic tensors, the model as a layer of another model, which shares its weights; on arrays, their prediction.

        Parameters
        ----------
        inputs : SymbolicTensor or array_like, or a list or dictionary of them
        training : bool, optional
            On arrays: True computes as in training, as `forward` does.
        """
        if STEP.get() is not None and any(stacks_in([inputs, more, options])):
            return map_stacks(self, [inputs, *more], {"training": training, **options})
        if not symbols_in([inputs, more]):
            if more or options:
                raise TypeError(f"model {self.name!r} takes arrays as one argument: a list, or a dictionary by name")
            return self._compute(inputs, training)
        if more:
            inputs = [inputs, *more]
        if isinstance(inputs, Mapping):
            if self._subclassed and not self._graph.outputs:
                self._trace(_map(inputs, lambda tensor, name: input_like(tensor, name=name)))
            inputs = _data.match_names(inputs, self.input_names, "inputs")
        return self._arranged(Layer.__call__(self, as_tensors(inputs, "inputs"), training=training, **options))

    def _arranged(self, outputs: Any) -> Any:
        """The outputs, one or a list of them, as a dictionary where the model was given such."""
        if self._output_keys is None:
            return outputs
        return dict(zip(self._output_keys, outputs if isinstance(outputs, list) else [outputs], strict=True))

    def _compute(self, x: Any, training: bool | None) -> Any:
        """Of arrays: what is predicted, or as in training; layers that change images at random do so unless it is said that this is none."""
        model: Any = self
        if training is None and self._subclassed:
            parameter = inspect.signature(self.call).parameters.get("training")
            training = None if parameter is None or not isinstance(parameter.default, bool) else parameter.default
        if training:
            outputs = model._draw(x)
            return self._arranged(outputs if len(outputs) > 1 else outputs[0])
        predicted = model.predict(x)
        if training is None and any(one.layer._augments for one in self._graph.operations):
            return self._arranged(compute(self, _data.match_names(x, self.input_names, "x"), (), {}, None))
        return predicted

    def _make_call(self, inputs: Any, *more: Any, **options: Any) -> LayerCall:
        if self._subclassed and not self._graph.outputs:
            given = as_tensors(inputs, "inputs")
            copies = [input_like(tensor) for tensor in given]
            self._trace(copies if isinstance(inputs, (list, tuple)) and len(copies) > 1 else copies[0])
        return Layer._make_call(self, inputs, *more, **options)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, for dictionaries of arrays."""
        if self._input_keys is not None:
            return list(self._input_keys)
        return [
            tensor.name or f"input_{i}" if len(self.inputs) > 1 else tensor.name or "input"
            for i, tensor in enumerate(self.inputs)
        ]

    def call(self, *inputs: SymbolicTensor) -> Any:
        """Repeats the calls of the graph on other tensors."""
        self._require_built()
        if len(inputs) != len(self.inputs):
            raise ValueError(f"model {self.name!r} has {len(self.inputs)} inputs, got {len(inputs)}")
        if self._graph.partial_call is not None:
            raise ValueError(
                f"model {self.name!r} holds a part of layer {self._graph.partial_call.layer._label!r} only: it cannot "
                "be a layer of another model"
            )
        replaced: dict[int, SymbolicTensor] = {}
        for old, new in zip(self.inputs, inputs):
            if old.holds_strings != new.holds_strings:
                kinds = "text" if old.holds_strings else "numbers", "text" if new.holds_strings else "numbers"
                raise TypeError(f"model {self.name!r} takes {kinds[0]}, got {kinds[1]}")
            if not old.takes(new.sample_shape):
                raise ValueError(f"model {self.name!r} takes inputs of shape {old.shape}, got {new.shape}")
            replaced[id(old)] = new

        def replace(tensor: SymbolicTensor) -> SymbolicTensor:
            # What a call is given and nothing depends on is not a part of the graph.
            known = replaced.get(id(tensor))
            return input_like(tensor) if known is None else known

        for call in self._graph.calls:
            for old, new in zip(call.outputs, call.repeat(replace)):
                replaced[id(old)] = new
                if old.mask is not None and new.mask is not None:
                    replaced.setdefault(id(old.mask), new.mask)
        outputs = [replaced[id(tensor)] for tensor in self.outputs]
        return outputs if len(outputs) > 1 else outputs[0]

    def _graph_for(self, shapes: Any) -> Graph:
        """What is computed for a plan whose inputs have other sizes than in the graph there is, which leaves them open."""
        inputs = []
        known = {id(tensor): shape for tensor, shape in zip(self._graph.feeds, shapes)}
        for old in self.inputs:
            new = input_like(old, known.get(id(old), old.sample_shape), old.name)
            inputs.append(new)
        before = set(map(id, self.weights))
        outside = outside_calls(inputs[0] if self._subclassed else None)
        with outside_modes(), outside, sizes_of_stage(self._sizes_of_stage(known)):
            if self._subclassed:
                named = dict(zip(map(id, self.inputs), inputs))
                given = _map(self._given, lambda tensor, _: named[id(tensor)])
                run = functools.partial(self._checked_call, inputs, given)
                outputs = trace_modes(run, None, inputs, self.name, InTraining.choose) if takes_training(self.call) else run()
                self._given = given
            else:
                outputs = as_tensors(ModelCalls.call(self, *inputs), "outputs")
        for old, new in zip(self.inputs, inputs):
            new.open = old.open  # from here on: what the sizes are is known while it is traced
        graph = Graph(inputs, outputs)
        name_layers(dict.fromkeys(call.layer for call in graph.naming_order if call.parent is None or call.layer.name is None))
        for weight in graph.weights():  # constants of formulas that depend on the sizes are the graph's alone
            if id(weight) not in before and isinstance(weight.initializer, Constant) and not weight.trainable:
                weight.layer._weights.pop(weight.name, None)
        return graph

    def _sizes_of_stage(self, known: Mapping[int, Any]) -> dict[Any, list[Any]]:
        """The shapes of what layers return that compute before the plan, by layer, in the order in which the graph is made again."""
        places = {call: i for i, call in enumerate(self._graph.calls)}

        def order(operation: Any) -> tuple[int, int]:
            within = 0 if self._subclassed else next((places[call] for call in operation.call.chain if call in places), 0)
            return within, operation.number

        found: dict[Any, list[Any]] = {}
        for operation in sorted(self._graph.host, key=order):
            tensor = operation.outputs[0]
            found.setdefault(operation.layer, []).append(known.get(id(tensor), tensor.sample_shape))
        return found

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of a name, or of a place among `layers`; ValueError if there is none."""
        if (name is None) == (index is None):
            raise ValueError(f"get_layer takes a name or an index, got {name!r} and {index!r}")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"there is no layer {index}; model {self.name!r} has {len(self.layers)}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"no layer is named {name!r}; there are {[layer.name for layer in self.layers]}")

    @property
    def input(self) -> Any:
        """The input, or the list of inputs."""
        self._require_built()
        if self._input_keys is not None:
            return dict(zip(self._input_keys, self.inputs))
        return self.inputs if len(self.inputs) > 1 else self.inputs[0]

    @property
    def output(self) -> Any:
        """The output, or the list of outputs."""
        self._require_built()
        return self._arranged(self.outputs if len(self.outputs) > 1 else self.outputs[0])

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or the list of those of the inputs, with the batch axis."""
        self._require_built()
        shapes = [tensor.shape for tensor in self.inputs]
        return shapes if len(shapes) > 1 else shapes[0]

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or the list of those of the outputs, with the batch axis."""
        self._require_built()
        shapes = [tensor.shape for tensor in self.outputs]
        return shapes if len(shapes) > 1 else shapes[0]

    @property
    def _called(self) -> Callable[..., Any]:
        return functools.partial(ModelCalls.call, self)

    # ---- classes of the user's ---------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers, each once, in the order of computation; a model that is called as a layer is one of them.

        Those of a class of one's own that are its attributes come first, in the order in which they were set, as in Keras.
        """
        called = list(dict.fromkeys(call.layer for call in self._graph.calls))
        if not self._subclassed:
            return called
        attributes = Layer.sublayers(self)
        return attributes if not called else [*(layer for layer in attributes if layer in called), *_others(called, attributes)]

    def build(self, input_shape: Any) -> None:
        """Makes the weights of a class with a `call` of its own for inputs of a shape, with the batch axis: ``(None, 64)``.

        Parameters
        ----------
        input_shape : tuple of int or None, or a list or dictionary of such
        """
        if self._subclassed and not self._tracing and not self._graph.outputs:
            self._trace(_shapes(input_shape))

    def _trace(self, given: Any) -> None:
        """Makes the graph of what `call` does with inputs, which are in lists and dictionaries as data are."""
        inputs = symbols_in(given)
        try:
            with outside_modes(), outside_calls(inputs[0]):
                object.__setattr__(self, "_tracing", True)
                if type(self).build is not ModelCalls.build and not self._has_built:
                    with outside_calls():
                        self.build(_map(given, lambda tensor, _: tensor.shape))
                    self._has_built = True
                run = functools.partial(self._checked_call, inputs, given)
                outputs = trace_modes(run, None, inputs, self.name, InTraining.choose) if takes_training(self.call) else run()
            self._connect(inputs, outputs, None, self._traced_losses)
            self._given = given
            if not self._trainable:
                self.trainable = False
        finally:
            object.__setattr__(self, "_tracing", False)

    @property
    def _input_shapes(self) -> Any:
        """What `build` made the graph for; None: there is none yet."""
        return None if self._given is None else _map(self._given, lambda tensor, _: tensor.shape)

    def _own_attributes(self) -> dict[str, Any]:
        """What a class of the user's has beside what every model has."""
        return {name: value for name, value in vars(self).items() if name not in self._common}

    def _checked_call(self, inputs: list[SymbolicTensor], given: Any, **options: Any) -> list[SymbolicTensor]:
        """What `call` returns, after the layers have been named that are attributes; ValueError for one that has weights and is none."""
        object.__setattr__(self, "_traced_losses", ())  # of the last mode that it is traced for: that of training
        self._output_keys, found = keyed(self.call(given, **options))
        outputs = as_tensors(found, f"what the call of model {self.name!r} returns")
        calls, attributes = Graph(inputs, outputs).calls, Layer.sublayers(self)
        for layer in dict.fromkeys(call.layer for call in calls):
            if layer.weights and layer not in attributes and not isinstance(layer, FunctionLayer):  # which has constants
                raise ValueError(
                    f"layer {layer._label!r} was called within the call of model {self.name!r} and is no attribute of it, so its weights "
                    f"would be made anew each time: make it once, self.{layer.name or 'part'} = {type(layer).__name__}(...)"
                )
        called = {call.layer for call in calls}
        name_layers([layer for layer in attributes if layer in called])
        return outputs

    def _forget_graph(self) -> None:
        """It is traced anew when data come."""
        self._graph, self._given = Graph(), None
        self._restructured()

    def _build_for(self, x: Any) -> Callable[[], None]:
        """Builds a class with a `call` of its own for data; returns what undoes it."""
        if not self._subclassed or self._graph.outputs:
            return super()._build_for(x)  # type: ignore[misc]
        restore = Layer._snapshot(self)

        def undo() -> None:
            restore()
            self._forget_graph()

        try:
            self._trace(_map(x, _input_for))
        except BaseException:
            undo()
            raise
        return undo


def _input_for(array: Any, name: str | None) -> SymbolicTensor:
    """An input for rows of data."""
    shape, strings = _data.shape_of(array, "x")
    return Input(shape or (1,), dtype="string" if strings else None, name=name)


def _set_attribute(model: ModelCalls, name: str, value: Any) -> None:
    """As usual; but a model with another layer is traced anew."""
    is_layer = isinstance(value, Layer) or isinstance(vars(model).get(name), Layer)
    if is_layer and model._subclassed and not model._tracing and vars(model).get(name) is not value:
        model._forget_graph()
    object.__setattr__(model, name, value)


def keyed(given: Any) -> tuple[tuple[str, ...] | None, Any]:
    """The keys and the values of a dictionary of tensors; None and the thing itself of what is none."""
    if not isinstance(given, Mapping):
        return None, given
    if not all(isinstance(key, str) for key in given):
        raise TypeError(f"the keys of a dictionary of inputs or outputs must be strings, got {list(given)}")
    return tuple(given), list(given.values())


def _others(called: Sequence[Layer], known: Sequence[Layer]) -> list[Layer]:
    return [layer for layer in called if layer not in known]


def _map(given: Any, function: Callable[[Any, str | None], Any], name: str | None = None) -> Any:
    """The same lists and dictionaries of what a function makes of arrays or tensors and their names."""
    if isinstance(given, Mapping):
        return {key: _map(value, function, key) for key, value in given.items()}
    if isinstance(given, (list, tuple)) and given and all(hasattr(one, "shape") and one.shape for one in given):
        return [_map(value, function) for value in given]
    return function(given, name)


def _shapes(given: Any, name: str | None = None) -> Any:
    """Inputs of shapes."""
    if isinstance(given, Mapping):
        return {key: _shapes(value, key) for key, value in given.items()}
    if isinstance(given, (list, tuple)) and given and all(isinstance(one, (list, tuple)) for one in given):
        return [_shapes(one) for one in given]
    if not isinstance(given, (list, tuple)) or not given:
        raise ValueError(f"input_shape begins with None, the batch axis; got {given!r}")
    return Input(given[1:], name=name)
