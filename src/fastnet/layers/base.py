"""What all layers have in common."""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import numpy as np

from .. import _core
from .._config import Configurable
from .._graph import CURRENT_CALL, FUNCTIONS, ROWS, LayerCall, Operation, SymbolicTensor, outside_calls, symbols_in
from .._names import snake_case
from .._old_spellings import given_input
from .._row_stacks import map_stacks, stacks_in
from .._step_context import STEP
from .._tensors import require_numbers
from .._types import OldLayerOptions
from .._weights import Weight, WeightSpec
from ._eager import compute, is_array, make_weights
from ._masks import masks_of, with_mask
from ._modes import FORCED, MODE, asked_mode, default_mode, in_mode, takes_training, trace_modes
from ._naming import name_layers
from ._open_sizes import other_shapes
from ._operands import outputs_of, parameter_of
from ._packing import takes_list
from ._parts import Parts
from ._penalized import Penalized
from ._registry import layers_in

__all__ = ["Layer"]

Tensors = SymbolicTensor | Sequence[SymbolicTensor]


class Layer(Penalized, Parts, Configurable):
    """Base of the layers: a description of some operations and the owner of their weights.

    A subclass has `call`, which says what is computed: with operations of the engine, by `emit`, or with other layers,
    which it holds as attributes (also in lists and dictionaries). The weights of such layers are its own, setting
    `trainable` sets theirs, and their names begin with its own: "block/first/kernel". A model may be such a layer.

    Parameters
    ----------
    trainable : bool
        False freezes the layer: its weights are not updated. May be changed later, `layer.trainable = False`.
    name : str, optional
        Default: the class's name in snake case, numbered within the model; for a layer that is an attribute of another,
        the name of the attribute. Such a name may change when the layer becomes part of another model that has it already.

    Examples
    --------
    >>> import fastnet as fn
    >>> class Residual(fn.layers.Layer):
    ...     def __init__(self, units, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.units = units
    ...         self.first = fn.layers.Dense(units, activation="relu")
    ...         self.second = fn.layers.Dense(units)
    ...
    ...     def call(self, x):
    ...         return fn.layers.Add()([x, self.second(self.first(x))])
    >>> model = fn.Sequential([fn.Input((8,)), Residual(8), Residual(8), fn.layers.Dense(1)], seed=0)
    >>> [weight.path for weight in model.layers[1].weights]
    ['residual_1/first/kernel', 'residual_1/first/bias', 'residual_1/second/kernel', 'residual_1/second/bias']
    """

    #: Whether it takes text: the input of a model that begins with it does then.
    takes_strings: ClassVar[bool] = False

    #: Whether the output has the steps of the input, so that its mask is that of the input.
    supports_masking: ClassVar[bool] = False

    #: The shape of a sample and the rows of a batch, where the constructor was told those of the input: an old spelling.
    _given_input: tuple[tuple[int | None, ...], int | None] | None = None

    #: Whether it changes images at random: on arrays, too, unless it is told that this is no training.
    _augments: ClassVar[bool] = False

    #: What it has computed with arrays by.
    _eager: Any = None

    #: Whether training and inference may differ.
    _has_modes: ClassVar[bool] = True

    #: Whether calling it repeats calls of a graph: those of models.
    _repeats_calls: ClassVar[bool] = False

    def __init__(self, *, trainable: bool = True, name: str | None = None, **kwargs: Unpack[OldLayerOptions]) -> None:
        if name is not None and not (isinstance(name, str) and name):
            raise TypeError(f"{type(self).__name__}: name must be a string, got {name!r}")
        self._trainable = bool(trainable)
        self.name = name
        if kwargs:
            self._given_input = given_input(self, kwargs)
        self._named = name is not None
        self._weights: dict[str, Weight] = {}
        self._first_call: LayerCall | None = None
        self._owner: weakref.ref[Layer] | None = None  # the layer that it is an attribute of
        self._has_built = False

    #: Names of arguments that scripts for Keras give, and that change nothing here.
    _ignored: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        _core.note_change()  # plans may depend on it

    # Two layers with equal arguments are still two layers.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The layer whose `get_config` gave `config`; layers that its constructor takes are made before it."""
        # There are an initializer and a layer named Identity.
        return cls(**{name: value if name.endswith("initializer") else layers_in(value) for name, value in config.items()})

    # ---- copies -------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: all of it, with the numbers of its weights, but for the graphs that it is in."""
        return {**vars(self), "_first_call": None, "_owner": None, "_eager": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        for part in self.sublayers():
            if vars(part).get("_owner") is None:
                part._owner = weakref.ref(self)

    def __copy__(self) -> Any:
        """As deepcopy: two layers cannot have one weight."""
        return copy.deepcopy(self)

    # ---- calling ------------------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *more: Any, **options: Any) -> Any:
        """Applies the layer to symbolic tensors, and returns those of its outputs; or to arrays, of which it computes arrays at once.

        Parameters
        ----------
        inputs : SymbolicTensor or array_like, or a sequence of them
            The first arguments of `call`. Within the `call` of another layer, arrays are constants of it, the same for all rows.
        *more, **options
            The other arguments of `call`: tensors, or what JSON can hold. Of arrays, ``training=True`` computes as in training, with
            other random numbers in each call; without it the layers that change images at random do so alone, as in Keras.

        Raises
        ------
        TypeError
            If the inputs are neither symbolic tensors nor arrays, or `call` takes no such arguments.
        ValueError
            If their shapes do not fit the layer, or its weights from an earlier call.
        """
        if STEP.get() is not None and any(stacks_in([inputs, more, options])):
            return map_stacks(self, [inputs, *more], options)
        tensors = symbols_in([inputs, more, list(options.values())])
        if (
            not tensors
            and CURRENT_CALL.get() is None
            and ROWS.get() is None
            and not isinstance(inputs, str)
            and _holds_numbers(inputs)
        ):
            training = options.pop("training", None)
            return compute(self, inputs, more, options, None if training is None else bool(training))
        if any(map(is_array, inputs if isinstance(inputs, (list, tuple)) else [inputs])):
            inputs = constants_for(inputs, tensors)
        call = self._make_call(inputs, *more, **options)
        return call.outputs if call.returns_list else call.outputs[0]

    def _make_call(self, inputs: Tensors, *more: Any, **options: Any) -> LayerCall:
        """Calls the layer; returns the record of it."""
        tensors = [inputs] if isinstance(inputs, SymbolicTensor) else inputs
        if not isinstance(tensors, Sequence) or not all(isinstance(t, SymbolicTensor) for t in tensors) or not tensors:
            raise TypeError(
                f"layer {self._label!r} must be called on the result of fn.Input or of another layer, or on arrays, "
                f"got {type(inputs).__name__}"
            )
        takes, given = takes_training(self._called), options.get("training")
        asked = None if takes else options.pop("training", None)
        tensors, options = self._arrange([*tensors, *more], options)
        asked = options.pop("training", None) if takes else asked
        if STEP.get() is not None and CURRENT_CALL.get() is None and self._has_modes:
            asked = default_mode(self.call) if given is None else given
        forced = asked_mode(asked, self._label)
        call = LayerCall(self, tensors, options if forced is None else {**options, "training": forced}, CURRENT_CALL.get())
        call.mode = MODE.get()
        call.own_mode = (call.mode, FORCED.get()) if forced is None else (forced, forced)
        tokens = CURRENT_CALL.set(call), MODE.set(call.own_mode[0]), FORCED.set(call.own_mode[1])
        try:
            if not (self._has_built or self._repeats_calls or type(self).build is Layer.build):
                shapes = [tensor.shape for tensor in tensors]
                with outside_calls():  # what is computed there are arrays
                    self.build(shapes[0] if len(shapes) == 1 else shapes)
                self._has_built = True
            run = functools.partial(self._called, *tensors, **with_mask(self._called, tensors, options))
            result = trace_modes(run, call, call.sources, self._label, self._in_training) if takes else run()
            masks = masks_of(self.compute_mask, tensors)
            call.returns_list = not isinstance(result, SymbolicTensor)
            outputs = outputs_of(self, result)
            if call.penalties:  # what reads an input that is handed on reads this layer, whose penalty counts
                given = set(map(id, tensors))
                outputs = [self._view(tensor) if id(tensor) in given else tensor for tensor in outputs]
            call.outputs = outputs
        finally:
            for variable, token in zip((CURRENT_CALL, MODE, FORCED), tokens):
                variable.reset(token)
        for output, mask in zip(call.outputs, masks):
            output.mask = output.mask if mask is None else mask
        if not self._repeats_calls:
            self._adopt([child.layer for child in call.children])
        if self._first_call is None and not call.repeats:
            self._first_call = call
        return call

    def _arrange(self, given: list[Any], options: dict[str, Any]) -> tuple[list[SymbolicTensor], dict[str, Any]]:
        """The arguments of `call` as the tensors that come first, and the others by name, without those left out."""
        signature = inspect.signature(self._called)
        parameters = signature.parameters
        count = next((i for i, value in enumerate(given) if not isinstance(value, SymbolicTensor)), len(given))
        names = list(parameters)[count:]
        try:
            signature.bind(*given, **options)
            if len(given) > count + len(names):
                raise TypeError(f"expected a symbolic tensor, got {given[count]!r}")
        except TypeError as error:
            raise TypeError(f"layer {self._label!r}: {error}; its call takes ({', '.join(parameters)})") from None
        named = {**dict(zip(names, given[count:])), **options}
        return given[:count], {k: v for k, v in named.items() if k not in parameters or v is not parameters[k].default}

    def build(self, input_shape: Any) -> None:
        """Makes weights whose shapes depend on the input, by `add_weight`: called once, before the first call.

        Parameters
        ----------
        input_shape : tuple, or list of tuple
            With the batch axis, which is None.

        Called by hand on a layer that has no method of its own for it, makes its weights as the first call would.
        """
        if type(self).build is Layer.build and not self.built and CURRENT_CALL.get() is None:
            make_weights(self, input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for inputs of a shape with the batch axis, or of a list of such; it makes no weights.

        >>> import fastnet as fn
        >>> fn.layers.Dense(3).compute_output_shape((None, 4))
        (None, 3)
        """
        several = isinstance(input_shape, (list, tuple)) and bool(input_shape) and isinstance(input_shape[0], (list, tuple))
        tensors = [SymbolicTensor(tuple(shape[1:]), None) for shape in (input_shape if several else [input_shape])]
        for tensor in tensors:
            tensor.holds_strings = self.takes_strings
        restore = self._snapshot()
        try:
            with outside_calls():
                call = self._make_call(tensors if several else tensors[0])
        finally:
            restore()
        shapes = [tensor.shape for tensor in call.outputs]
        return shapes if call.returns_list else shapes[0]

    def call(self, *inputs: Any, **options: Any) -> Any:  # any arguments, so that subclasses may have theirs
        """Appends the layer's operations; returns its output."""
        raise NotImplementedError(f"layer {self._label!r} does not say what it computes")

    @property
    def _called(self) -> Callable[..., Any]:
        """What appends the operations: of a model the calls of its graph."""
        return takes_list(self.call)

    def compute_mask(self, *inputs: SymbolicTensor) -> list[SymbolicTensor | None]:
        """The masks of the outputs; none where fewer are given. By default that of the first input, if the layer keeps steps apart."""
        return [inputs[0].mask] if self.supports_masking else []

    @property
    def _base_name(self) -> str:
        """What it is called by default, but for a number."""
        return snake_case(type(self).__name__)

    @property
    def _class_name(self) -> str:
        """What tables and pictures say it is."""
        return type(self).__name__

    @property
    def _label(self) -> str:
        """The name, before there is one: that of the class."""
        return self.name or type(self).__name__

    def emit(
        self,
        op: str,
        inputs: Sequence[SymbolicTensor],
        attributes: Mapping[str, float] | None = None,
        weights: Mapping[str, WeightSpec | SymbolicTensor] | None = None,
    ) -> SymbolicTensor:
        """Appends one operation of the engine.

        Parameters
        ----------
        op : str
            Its name in the registry.
        inputs : sequence of SymbolicTensor
        attributes : mapping of str to float, optional
        weights : mapping of str to WeightSpec, optional
            The operation's parameters in its order; their shapes are for the engine to say. A weight that the
            layer has from an earlier call is used again. A tensor without a batch may be in the place of one.

        Returns
        -------
        SymbolicTensor
            The operation's output.
        """
        require_numbers(inputs, self._label)
        attributes = in_mode(op, self, inputs, attributes or {})
        if isinstance(attributes, SymbolicTensor):
            return attributes
        outputs, shapes = _core.infer(op, self._label, [tensor.sample_shape for tensor in inputs], attributes)
        others = other_shapes(op, self._label, inputs, attributes, outputs, shapes)
        given = zip((weights or {}).items(), shapes, strict=True)
        used = [parameter_of(self, name, spec, shape, inputs) for (name, spec), shape in given]
        call = CURRENT_CALL.get()
        if call is None:
            raise RuntimeError(f"layer {self._label!r}: emit works while the layer is called")
        operation = Operation(self, op, attributes, inputs, used, outputs, call)
        for tensor, other in zip(operation.outputs, others):
            tensor.alternative = other
        return operation.outputs[0]

    def _in_training(self, inference: SymbolicTensor, training: SymbolicTensor) -> SymbolicTensor:
        """The one in predictions, the other in training."""
        return self.emit("in_training", [inference, training])

    def plan_attributes(self, operation: Operation) -> Mapping[str, float]:
        """The attributes of one of its operations for a plan that is being made.

        Overridden where they depend on more than the arguments, as on `trainable`; RuntimeError where the layer is not
        ready to compute.
        """
        return operation.attributes

    def plan_state(self) -> Any:
        """Of the attributes of the layer, those that `plan_attributes` depends on: plans are made anew where they have changed."""
        return self.trainable

    def plan_key(self) -> Any:
        """What `plan_attributes` depends on: plans are made anew where it has changed.

        Overridden where that is more than attributes of the layer: it is asked for at every use of a plan then.
        """
        return self.trainable

    def scheduled_attributes(self, operation: Operation) -> Mapping[str, Callable[[int], float]]:
        """Attributes of one of its operations that vary in training, as functions of the step."""
        return {}

    @property
    def input(self) -> Any:
        """What the layer was first called on: a symbolic tensor, or a list of several. RuntimeError before."""
        inputs = self._first().inputs
        return inputs if len(inputs) > 1 else inputs[0]

    @property
    def output(self) -> Any:
        """What the layer returned when it was first called: a symbolic tensor, or a list. RuntimeError before.

        With it a part of a network becomes a model, which shares the weights:
        ``fn.Model(model.inputs, model.layers[2].output)``.
        """
        call = self._first()
        return call.outputs if call.returns_list else call.outputs[0]

    def _first(self) -> LayerCall:
        if self._first_call is None:
            raise RuntimeError(f"layer {self._label!r} has not been called yet: it has neither input nor output")
        return self._first_call

    def _adopt(self, called: Sequence[Layer]) -> None:
        """Names the layers that this one is put together from, and freezes them if it is frozen.

        Raises
        ------
        ValueError
            If a layer that was called within it has weights and is not among its attributes.
        """
        parts = dict.fromkeys(self.sublayers())
        for layer in called:
            if layer not in parts and layer.weights:
                raise ValueError(
                    f"layer {layer._label!r} was called within layer {self._label!r} and is no attribute of it, so its "
                    f"weights would be lost: make it once, self.{layer.name or 'part'} = {type(layer).__name__}(...)"
                )
        if not parts and not called:
            return
        for layer in parts:
            if layer._repeats_calls and layer._owner is None and not layer._named:
                layer.name = None  # models have a name before they are a part of anything
        attributes = {layer: name for name, layer in reversed(list(self._named_parts()))}
        name_layers(dict.fromkeys([*parts, *called]), attributes)
        for layer in parts:
            if layer._owner is None:
                layer._owner = weakref.ref(self)
                if not self._trainable:
                    layer.trainable = False


def _holds_numbers(value: Any) -> bool:
    """Whether it is an array, or a list or dictionary of arrays, numbers or text."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_holds_numbers, value))
    return is_array(value) or (isinstance(value, (int, float, str)) and not isinstance(value, bool))


def constants_for(inputs: Any, tensors: Sequence[SymbolicTensor]) -> Any:
    """Constants, the same for all rows, in the place of the arrays that a layer is called on beside tensors, or within a call."""
    call = CURRENT_CALL.get()
    rows = tensors[0] if tensors else call.inputs[0] if call is not None else ROWS.get()
    given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    found = [FUNCTIONS["constant_rows"](rows, np.asarray(one)) if is_array(one) else one for one in given]
    return found if isinstance(inputs, (list, tuple)) else found[0]
