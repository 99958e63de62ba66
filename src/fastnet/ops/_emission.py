"""How a function of `fastnet.ops` becomes operations of a graph, or numbers at once."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._graph import CURRENT_CALL, FUNCTIONS, OVER_ROWS, ROWS, Operation, SymbolicTensor, outside_calls
from .._row_stacks import of_stacks
from .._row_sums import Total
from .._row_sums import over_rows as reduce_rows
from .._weights import Weight, WeightFormula, WeightSpec
from ..initializers import Constant
from ..layers._operands import with_formulas, without_formulas
from ..layers.functional import HAS_BATCH, FunctionLayer

__all__ = ["axes_of", "emit", "full_shape", "function", "is_tensor", "new_axis", "normalize_axis", "over_rows", "parameters_of"]


def is_tensor(value: Any) -> bool:
    """Whether a value is computed by the model, or is a weight: not known while the graph is made."""
    return isinstance(value, (SymbolicTensor, Weight))


def _tensors_in(value: Any) -> Iterator[Any]:
    if is_tensor(value):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors_in(item)


def _of_weights(value: Any) -> bool:
    """Whether of what is computed all is weights, and there are some."""
    given = list(_tensors_in(value))
    return bool(given) and all(isinstance(one, Weight) for one in given) and not _has_totals(value)


def _has_totals(value: Any) -> bool:
    return isinstance(value, Total) or (isinstance(value, (list, tuple)) and any(map(_has_totals, value)))


def _without_batch(run: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """A function of weights alone, whose first axis is none of a batch."""

    token = HAS_BATCH.set(False)
    try:
        return with_formulas(run(*map(without_formulas, args), **{name: without_formulas(one) for name, one in options.items()}))
    finally:
        HAS_BATCH.reset(token)


def over_rows(run: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a function make sums over the rows, and take such sums: see `_row_sums`."""

    @functools.wraps(run)
    def wrapper(*args: Any, **options: Any) -> Any:
        if HAS_BATCH.get() and not _of_weights([args, list(options.values())]):
            tracing = OVER_ROWS.get()
            found = of_stacks(run.__name__, args, options)
            if found is NotImplemented and tracing is not None:
                found = tracing(run.__name__, args, options)
            if found is NotImplemented:
                found = reduce_rows(run.__name__, args, options)
            if found is not NotImplemented:
                return found
        return run(*args, **options)

    return wrapper


def function(run: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a public function of one that appends operations.

    Called on symbolic tensors within a layer it appends to that layer, outside it makes a layer of its own; called on arrays it
    computes at once, with the same kernels.
    """

    @over_rows
    @functools.wraps(run)
    def wrapper(*args: Any, **options: Any) -> Any:
        given = list(_tensors_in([args, list(options.values())]))
        if not given:
            return _evaluate(run.__name__, args, options)
        if CURRENT_CALL.get() is not None:
            return _without_batch(run, args, options) if _of_weights(given) else run(*args, **options)
        if any(isinstance(tensor, Weight) for tensor in given) and ROWS.get() is None:
            raise ValueError(f"fn.ops.{run.__name__} of a weight outside of its layer's call: write it in the call")
        return with_formulas(_call_layer(run.__name__, args, options, HAS_BATCH.get()))

    FUNCTIONS[run.__name__] = wrapper
    return wrapper


#: Parameters whose lists say how to compute, and are no operands.
_SETTINGS = {"axes", "axis", "indices_or_sections", "newshape", "pad_width", "q", "repeats", "shape", "shift", "start_indices"}


def _evaluate(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The result for arrays: of a model of the one function, with the whole arrays as one row."""
    from ..model import Model  # models are made of layers, which are made of operations

    arrays: list[np.ndarray] = []

    def place(value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            arrays.append(np.asarray(value))
            return SymbolicTensor(arrays[-1].shape, None)
        return [place(item) for item in value] if isinstance(value, (list, tuple)) else value

    numbers = [i for i, value in enumerate(args) if isinstance(value, (int, float)) and not isinstance(value, bool)]
    parameters = [*inspect.signature(FUNCTIONS[name]).parameters, *[""] * len(args)]
    given = [
        np.asarray(value) if isinstance(value, list) and parameter not in _SETTINGS and not list(_arrays_in(value)) else value
        for value, parameter in zip(args, parameters)
    ]
    if numbers and not list(_arrays_in([given, list(options.values())])):  # a formula of numbers alone
        given[numbers[0]] = np.float32(given[numbers[0]])
    tensors, named = [place(value) for value in given], {key: place(value) for key, value in options.items()}
    if not arrays:
        raise TypeError(f"fn.ops.{name} takes symbolic tensors or arrays, got {args}")
    dtype = "float64" if any(array.dtype == np.float64 for array in arrays) else "float32"
    with outside_calls():
        result = _call_layer(name, tuple(tensors), named, batch=False)
    outputs = result if isinstance(result, list) else [result]
    inputs = list(_tensors_in([tensors, list(named.values())]))
    found = Model(inputs, outputs, seed=0, dtype=dtype).predict([array[None] for array in arrays])
    results = [array[0] for array in (found if isinstance(found, list) else [found])]
    if all(array.ndim == 0 for array in arrays):
        results = [array.reshape(()) if array.size == 1 else array for array in results]
    return results if isinstance(result, list) else results[0]


def _arrays_in(value: Any) -> Iterator[Any]:
    if isinstance(value, (np.ndarray, np.generic)):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _arrays_in(item)


def _call_layer(name: str, args: tuple[Any, ...], options: dict[str, Any], batch: bool = True) -> Any:
    """Calls a layer of the function on the tensors among its arguments."""
    tensors: list[SymbolicTensor] = []

    def place(tensor: SymbolicTensor) -> dict[str, int]:
        tensors.append(tensor)
        return {"tensor": len(tensors) - 1}

    def plain(value: Any) -> Any:
        if is_tensor(value):
            return place(without_formulas(value))
        if isinstance(value, (np.ndarray, np.generic)):
            return value.tolist()
        if isinstance(value, slice):
            return {"slice": [plain(value.start), plain(value.stop), plain(value.step)]}
        if value is Ellipsis:
            return {"slice": []}
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    arguments = [plain(value) for value in args]
    named = {key: plain(value) for key, value in options.items()}
    return FunctionLayer(name, arguments, named, batch)(tensors)


# ---- within a layer's call -------------------------------------------------------------------------------


def emit(
    op: str, tensors: Sequence[SymbolicTensor], attributes: Mapping[str, Any], parameters: Sequence[Any] = ()
) -> SymbolicTensor:
    """Appends an operation to the layer whose call is in progress.

    Parameters
    ----------
    parameters : sequence of Weight, ndarray or SymbolicTensor
        Arrays become weights of the layer that are not trained. Tensors are such without a batch.
    """
    call = CURRENT_CALL.get()
    assert call is not None, "functions make a layer of their own where there is none"
    owners = [one.layer for one in parameters if isinstance(one, Weight) and not isinstance(one, WeightFormula)]
    layer: Any = owners[0] if owners else call.layer
    specs: dict[str, WeightSpec | SymbolicTensor] = {}
    for k, parameter in enumerate(parameters):
        if isinstance(parameter, SymbolicTensor):
            specs[f"operand {k}"] = parameter
        elif isinstance(parameter, WeightFormula):
            specs[f"operand {k}"] = parameter.tensor
        elif isinstance(parameter, Weight) and parameter.layer is not layer:
            specs[f"operand {k}"] = without_formulas(parameter)
        elif isinstance(parameter, Weight):
            specs[parameter.name] = parameter.spec
        else:
            call.constants += 1  # named alike in every call of the layer
            name = _constant_name(layer, f"constant_{call.constants}" if call.constants > 1 else "constant", parameter)
            specs[name] = WeightSpec(Constant(parameter), trainable=False)
    return layer.emit(op, list(tensors), {key: float(value) for key, value in attributes.items()}, specs)


def _constant_name(layer: Any, name: str, array: Any) -> str:
    """The name of a constant of a layer, another one where an earlier call, of inputs of other sizes, has other numbers under it."""
    count, found = 0, name
    while found in layer._weights:
        known = layer._weights[found].initializer
        if not isinstance(known, Constant) or np.array_equal(known.value, array, equal_nan=True):
            break
        count += 1
        found = f"{name}_other_{count}"
    return found


def parameters_of(operation: Operation) -> list[Weight]:
    """The parameters of an operation as operands of formulas."""
    return [
        one if isinstance(one, Weight) else one.weight if one.weight is not None else WeightFormula(one)
        for one in operation.parameters
    ]


def full_shape(tensor: Any) -> tuple[int | None, ...]:
    """With the batch axis, where there is one; of weights and arrays as they are."""
    if isinstance(tensor, SymbolicTensor):
        return (None, *tensor.sample_shape) if HAS_BATCH.get() else tensor.sample_shape
    return tensor.shape if isinstance(tensor, Weight) else tuple(np.shape(tensor))


def normalize_axis(name: str, tensor: SymbolicTensor, axis: Any) -> int:
    """An axis of the sample of a tensor, as the user counts its axes.

    Raises
    ------
    ValueError
        If there is no such axis, or it is the batch.
    """
    rank, batch = len(full_shape(tensor)), int(HAS_BATCH.get())
    try:
        axis = operator.index(axis)
    except TypeError:
        raise TypeError(f"fn.ops.{name}: axis must be an integer, got {axis!r}") from None
    if not -rank <= axis < rank:
        raise ValueError(f"fn.ops.{name}: axis {axis} of a tensor of shape {full_shape(tensor)}")
    axis %= rank
    if axis < batch:
        raise ValueError(
            f"fn.ops.{name}: axis {axis} of shape {full_shape(tensor)} is the batch, over which a model does not compute: its rows are "
            "predicted one by one. In a loss, return a number for each row: their mean is taken"
        )
    return axis - batch


def new_axis(name: str, tensor: SymbolicTensor, axis: int) -> int:
    """Where in a sample an axis is to be that is not there yet, as the user counts the axes with it; ValueError where it cannot."""
    rank, batch = len(full_shape(tensor)) + 1, int(HAS_BATCH.get())
    if not -rank <= axis < rank or axis % rank < batch:
        raise ValueError(f"fn.ops.{name}: axis {axis} of shape {full_shape(tensor)}")
    return axis % rank - batch


def axes_of(name: str, tensor: SymbolicTensor, axis: Any) -> list[int]:
    """The axes of the sample that `axis` says: one, several, or None for all."""
    if axis is None:
        if HAS_BATCH.get():
            raise ValueError(
                f"fn.ops.{name} over all axes of shape {full_shape(tensor)} would be over the batch, too; say axis="
                f"{tuple(range(1, len(full_shape(tensor))))}"
            )
        return list(range(len(tensor.sample_shape)))
    axes = [normalize_axis(name, tensor, one) for one in (axis if isinstance(axis, (tuple, list)) else [axis])]
    if len(set(axes)) != len(axes):
        raise ValueError(f"fn.ops.{name}: an axis is given twice in {axis}")
    return axes
