"""Functions of `fastnet.ops` as layers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Unpack

from .. import initializers
from .._graph import FUNCTIONS, SymbolicTensor, sort_operations
from .._types import LayerOptions
from .._weights import WeightSpec
from ._registry import LAYERS
from .base import Layer

__all__ = ["HAS_BATCH", "FunctionLayer", "Lambda"]

#: Whether the first axis of tensors is the batch; else they are arrays, which are computed with as a whole.
HAS_BATCH: ContextVar[bool] = ContextVar("HAS_BATCH", default=True)


class FunctionLayer(Layer):
    """A function of `fastnet.ops` that was called outside of a layer.

    Parameters
    ----------
    function : str
        Its name.
    arguments : list
        Its arguments by position; a tensor is ``{"tensor": number}``, in the order of the call, a slice
        ``{"slice": [start, stop, step]}``, an ellipsis ``{"slice": []}``.
    options : dict
        Its arguments by name.
    batch : bool
        Whether the first axis of the tensors is the batch, as the function counts them.
    """

    def __init__(
        self,
        function: str,
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
        batch: bool = True,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        try:
            self._run = FUNCTIONS[function]
        except KeyError:
            raise ValueError(f"there is no function fn.ops.{function}") from None
        self.function = function
        self.arguments = list(arguments)
        self.options = dict(options or {})
        self.batch = bool(batch)

    @property
    def _base_name(self) -> str:
        return self.function

    def call(self, *inputs: SymbolicTensor) -> Any:
        def fill(value: Any) -> Any:
            if isinstance(value, Mapping) and set(value) == {"tensor"}:
                return inputs[operator.index(value["tensor"])]
            if isinstance(value, Mapping) and set(value) == {"slice"}:
                return slice(*value["slice"]) if value["slice"] else ...
            return [fill(item) for item in value] if isinstance(value, list) else value

        token = HAS_BATCH.set(self.batch)
        try:
            return self._run(*fill(self.arguments), **{name: fill(value) for name, value in self.options.items()})
        finally:
            HAS_BATCH.reset(token)


LAYERS["FunctionLayer"] = FunctionLayer


class Lambda(Layer):
    """A function written in `fastnet.ops` and Python's operators as a layer.

    It is called once, on symbolic tensors, when the layer is: what it computes is part of the model from then on, is differentiated,
    saved as operations and loaded without the function.

    Parameters
    ----------
    function : callable
        Takes the inputs, one after another, and returns a tensor or a list of tensors.
    output_shape, mask
        Accepted as Keras does: the shape follows from the operations.
    arguments : dict, optional
        More arguments of the function, by name.
    traced : dict, optional
        What a file has in place of the function.
    trainable, name
        As in `Layer`.

    Raises
    ------
    TypeError
        If the function returns something else than tensors, or uses what is not known while the graph is made.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((2,)), fn.layers.Lambda(lambda x: x**2 + 1)], seed=0)
    >>> model.predict([[1.0, 3.0]]).tolist()
    [[2.0, 10.0]]
    """

    def __init__(
        self,
        function: Callable[..., Any] | None = None,
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        *,
        traced: Mapping[str, Any] | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if traced is None and not callable(function):
            raise TypeError(f"layer {self._label!r}: function must be callable, got {function!r}")
        self.function, self.output_shape, self.mask = function, output_shape, mask
        self.arguments = dict(arguments or {})
        self.traced = None if traced is None else dict(traced)

    def get_config(self) -> dict[str, Any]:
        """With the operations in place of the function."""
        if self.traced is None:
            raise RuntimeError(f"layer {self._label!r} has not been called yet: what it computes is not known")
        return {"trainable": self.trainable, "name": self.name, "traced": self.traced}

    def call(self, *inputs: SymbolicTensor) -> Any:
        if self.function is None:
            assert self.traced is not None
            return self._repeat(inputs, self.traced)
        result = self.function(*inputs, **self.arguments)
        is_list = isinstance(result, (list, tuple))
        outputs = list(result) if is_list else [result]
        if not outputs or not all(isinstance(tensor, SymbolicTensor) for tensor in outputs):
            raise TypeError(
                f"layer {self._label!r}: the function must return a symbolic tensor or a list of them, got {result!r}"
            )
        self.traced = _trace(inputs, outputs, is_list)
        return outputs if is_list else result

    def _repeat(self, inputs: Sequence[SymbolicTensor], traced: Mapping[str, Any]) -> Any:
        values = list(inputs)
        for op, attributes, read, names in traced["operations"]:
            weights = {name: WeightSpec(initializers.Constant(0.0), trainable=False) for name in names}
            values.append(self.emit(op, [values[i] for i in read], attributes, weights))
        outputs = [values[i] for i in traced["outputs"]]
        return outputs if traced["list"] else outputs[0]


def _trace(inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor], is_list: bool) -> dict[str, Any]:
    """The operations from the inputs to the outputs, as JSON can hold them; tensors are numbered, inputs first."""
    numbers = {id(tensor): i for i, tensor in enumerate(inputs)}
    operations = []
    for operation in sort_operations(inputs, outputs):
        read = [numbers[id(tensor)] for tensor in operation.inputs]
        operations.append([operation.op, dict(operation.attributes), read, [weight.name for weight in operation.weights]])
        numbers[id(operation.outputs[0])] = len(numbers)  # `emit` hands out the first alone
    return {"operations": operations, "outputs": [numbers[id(tensor)] for tensor in outputs], "list": is_list}
