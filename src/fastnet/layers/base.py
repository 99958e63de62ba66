"""What all layers have in common."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _core
from .._config import Configurable
from .._graph import LayerCall, Operation, SymbolicTensor, Weight, WeightSpec
from ..regularizers import OrthogonalRegularizer

__all__ = ["Layer"]

Tensors = SymbolicTensor | Sequence[SymbolicTensor]


class Layer(Configurable):
    """Base of the layers: a description of some operations and the owner of their weights.

    A subclass has `call`, which appends operations with `emit`.

    Parameters
    ----------
    trainable : bool
        False freezes the layer: its weights are not updated. May be changed later, `layer.trainable = False`.
    name : str, optional
        Default: the class's name in snake case, numbered within the model. Such a name may change when the layer
        becomes part of another model that has it already.
    """

    def __init__(self, *, trainable: bool = True, name: str | None = None) -> None:
        if name is not None and not (isinstance(name, str) and name):
            raise TypeError(f"{type(self).__name__}: name must be a string, got {name!r}")
        self.trainable = bool(trainable)
        self.name = name
        self._named = name is not None
        self._weights: dict[str, Weight] = {}
        self._operations: list[Operation] = []  # of the call in progress

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        _core.note_change()  # plans may depend on it

    # Two layers with equal arguments are still two layers.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __call__(self, inputs: Tensors, *more: Any, **options: Any) -> Any:
        """Applies the layer to symbolic tensors: returns those of its outputs.

        Parameters
        ----------
        inputs : SymbolicTensor or sequence of SymbolicTensor
            The first arguments of `call`.
        *more, **options
            The other arguments of `call`: tensors, or what JSON can hold.

        Raises
        ------
        TypeError
            If the inputs are not symbolic tensors, or `call` takes no such arguments.
        ValueError
            If their shapes do not fit the layer, or its weights from an earlier call.
        """
        tensors = [inputs] if isinstance(inputs, SymbolicTensor) else inputs
        if not isinstance(tensors, Sequence) or not all(isinstance(t, SymbolicTensor) for t in tensors) or not tensors:
            raise TypeError(
                f"layer {self._label!r} must be called on the result of fn.Input or of another layer, "
                f"got {type(inputs).__name__}; to compute with arrays, make a model and call predict"
            )
        tensors, options = self._arrange([*tensors, *more], options)
        call = LayerCall(self, tensors, options)
        self._operations = []
        result = self.call(*tensors, **options)
        call.outputs = [result] if isinstance(result, SymbolicTensor) else list(result)
        for operation in self._operations:
            operation.call = call
        return result

    def _arrange(self, given: list[Any], options: dict[str, Any]) -> tuple[list[SymbolicTensor], dict[str, Any]]:
        """The arguments of `call` as the tensors that come first, and the others by name, without those left out."""
        signature = inspect.signature(self.call)
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
        kept = {name: value for name, value in named.items() if name not in parameters or value is not parameters[name].default}
        return given[:count], kept

    def call(self, *inputs: SymbolicTensor) -> Any:
        """Appends the layer's operations; returns its output."""
        raise NotImplementedError(f"layer {self._label!r} does not say what it computes")

    @property
    def _label(self) -> str:
        """The name, before there is one: that of the class."""
        return self.name or type(self).__name__

    def emit(
        self,
        op: str,
        inputs: Sequence[SymbolicTensor],
        attributes: Mapping[str, float] | None = None,
        weights: Mapping[str, WeightSpec] | None = None,
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
            layer has from an earlier call is used again.

        Returns
        -------
        SymbolicTensor
            The operation's output.
        """
        attributes = attributes or {}
        outputs, shapes = _core.infer(op, self._label, [tensor.sample_shape for tensor in inputs], attributes)
        used = []
        for (name, spec), shape in zip((weights or {}).items(), shapes, strict=True):
            weight = self._weights.setdefault(name, Weight(self, name, shape, spec))
            if weight.engine_shape != shape:
                raise ValueError(
                    f"layer {self._label!r}: {name} has shape {weight.engine_shape} from an earlier call, these inputs of "
                    f"shape {[tensor.shape for tensor in inputs]} need {shape}"
                )
            used.append(weight)
        operation = Operation(self, op, attributes, inputs, used, outputs)
        self._operations.append(operation)
        return operation.outputs[0]

    def plan_attributes(self, operation: Operation) -> Mapping[str, float]:
        """The attributes of one of its operations for a plan that is being made.

        Overridden where they depend on more than the arguments, as on `trainable`; RuntimeError where the layer is not
        ready to compute.
        """
        return operation.attributes

    def plan_key(self) -> Any:
        """What `plan_attributes` depends on: plans are made anew where it has changed.

        Overridden where that is more than attributes of the layer: it is asked for at every use of a plan then.
        """
        return self.trainable

    def scheduled_attributes(self, operation: Operation) -> Mapping[str, Callable[[int], float]]:
        """Attributes of one of its operations that vary in training, as functions of the step."""
        return {}

    def label_count(self, operation: Operation) -> int | None:
        """Where an operation takes labels, class numbers from 0 up: how many classes there are. None: it takes any numbers."""
        return None

    def regularize(self, y: SymbolicTensor) -> SymbolicTensor:
        """Appends the penalties that are operations: on the output, and on the angles between a kernel's rows."""
        for weight in self.weights:
            penalty = weight.regularizer
            if isinstance(penalty, OrthogonalRegularizer) and not (weight.name == "kernel" and len(weight.shape) == 2):
                raise ValueError(f"layer {self._label!r}: an orthogonal penalty works on kernels that are matrices, not on "
                                 f"{weight.name} of shape {weight.shape}")  # fmt: skip
        kernel = self._weights.get("kernel")
        penalty = kernel.regularizer if kernel is not None else None
        if isinstance(penalty, OrthogonalRegularizer):
            rows, columns = kernel.shape
            attributes = {"rows": rows, "columns": columns, "factor": penalty.factor,
                          "by_columns": penalty.mode == "columns"}  # fmt: skip
            y = self.emit("orthogonal_regularization", [y], attributes, {"kernel": kernel.spec})
        activity = getattr(self, "activity_regularizer", None)
        if isinstance(activity, OrthogonalRegularizer):
            raise ValueError(f"layer {self._label!r}: an orthogonal penalty works on kernels, not on activities")
        if activity is not None:
            y = self.emit("activity_regularization", [y], {"l1": activity.l1, "l2": activity.l2})
        return y

    @property
    def built(self) -> bool:
        """Whether the layer has weights: their shapes are known from the first call on."""
        return bool(self._weights)

    @property
    def weights(self) -> list[Weight]:
        """All weights."""
        return list(self._weights.values())

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training changes: none while the layer is frozen."""
        return [weight for weight in self.weights if weight.trainable and self.trainable]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training does not change."""
        return [weight for weight in self.weights if not (weight.trainable and self.trainable)]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights."""
        return [weight.value.copy() for weight in self.weights]

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


def assign_all(weights: Sequence[Weight], values: Sequence[Any], owner: str) -> None:
    """Sets weights to values; checks all of them before it changes any."""
    values = list(values)
    if len(values) != len(weights):
        raise ValueError(f"{owner} has {len(weights)} weights, got {len(values)}")
    arrays = []
    for weight, value in zip(weights, values):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{owner}: weight {weight.path!r}: {error}") from None
        arrays.append(array)
        if array.shape != weight.shape:
            raise ValueError(f"{owner}: weight {weight.path!r} has shape {weight.shape}, got {array.shape}")
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{owner}: weight {weight.path!r} must be numbers, got {array.dtype}")
    for weight, array in zip(weights, arrays):
        weight.assign(array)
