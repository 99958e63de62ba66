"""Functions of `fastnet.ops` as layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Unpack

from .._graph import FUNCTIONS, SymbolicTensor
from .._types import LayerOptions
from ._operands import with_formulas, without_formulas
from ._registry import LAYERS
from .base import Layer

__all__ = ["HAS_BATCH", "AddLoss", "FunctionLayer", "InTraining", "Lambda"]

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

    _has_modes = False

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
                number = value["tensor"]
                if type(number) is not int or not 0 <= number < len(inputs):
                    raise ValueError(
                        f"layer {self._label!r}: an argument of fn.ops.{self.function} is tensor {number!r} of {len(inputs)}"
                    )
                return inputs[number]
            if isinstance(value, Mapping) and set(value) == {"slice"}:
                return slice(*value["slice"]) if value["slice"] else ...
            return [fill(item) for item in value] if isinstance(value, list) else value

        if self.batch:
            inputs = with_formulas(inputs)
        token = HAS_BATCH.set(self.batch)
        try:
            return without_formulas(
                self._run(*fill(self.arguments), **{name: fill(value) for name, value in self.options.items()})
            )
        finally:
            HAS_BATCH.reset(token)


LAYERS["FunctionLayer"] = FunctionLayer


class AddLoss(Layer):
    """Adds the sum of a tensor, or the mean over the rows of its sums, times a factor to the loss: what `Model.add_loss` makes.

    Parameters
    ----------
    factor : float
    mean : bool
    """

    def __init__(self, factor: float = 1.0, mean: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor, self.mean = float(factor), bool(mean)

    def call(self, loss: SymbolicTensor) -> SymbolicTensor:
        return self._emit_loss(loss, self.factor, self.mean)


LAYERS["AddLoss"] = AddLoss


class InTraining(Layer):
    """The second of two tensors in training, the first in predictions: what the `call` of a model means that computes both."""

    def call(self, inference: SymbolicTensor, trained: SymbolicTensor) -> SymbolicTensor:
        return self._in_training(inference, trained)

    @staticmethod
    def choose(inference: SymbolicTensor, trained: SymbolicTensor) -> SymbolicTensor:
        """What a new layer makes of both."""
        result: SymbolicTensor = InTraining()([inference, trained])
        return result


LAYERS["InTraining"] = InTraining


class Lambda(Layer):
    """A function written in `fastnet.ops` and Python's operators as a layer.

    It is called once, on symbolic tensors, when the layer is: what it computes is part of the model from then on, is differentiated,
    saved as operations and loaded without the function.

    Parameters
    ----------
    function : callable
        Takes the inputs, one after another, or, where it takes one argument, several as a list; returns a tensor or a list of them.
    output_shape, mask
        Accepted as Keras does: the shape follows from the operations.
    arguments : dict, optional
        More arguments of the function, by name.
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
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"layer {self._label!r}: function must be callable, got {function!r}")
        self.function, self.output_shape, self.mask = function, output_shape, mask
        self.arguments = dict(arguments or {})

    def get_config(self) -> dict[str, Any]:
        """Without the function: a file has what it did in its place."""
        return {"trainable": self.trainable, "name": self.name}

    def call(self, *inputs: SymbolicTensor) -> Any:
        given = [list(inputs)] if len(inputs) > 1 and _takes_one(self.function, self.arguments) else inputs
        result = self.function(*given, **self.arguments)
        is_list = isinstance(result, (list, tuple))
        outputs = list(result) if is_list else [result]
        if not outputs or not all(isinstance(tensor, SymbolicTensor) for tensor in outputs):
            raise TypeError(
                f"layer {self._label!r}: the function must return a symbolic tensor or a list of them, got {result!r}"
            )
        return outputs if is_list else result


def _takes_one(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bool:
    """Whether a function of several inputs takes them as one list, as in Keras, rather than one after another."""
    try:
        signature = inspect.signature(function)
        signature.bind([], **arguments)
    except (TypeError, ValueError):
        return False
    return all(parameter.kind is not parameter.VAR_POSITIONAL for parameter in signature.parameters.values())
