"""Layers that prepare data in NumPy, before the engine computes: those that take text, and those that look whole numbers up.

Called on arrays, they compute at once. Called on inputs of a model, or on what other such layers return, they are a stage before the
plan: `fit`, `predict` and the like do for all rows what the stage does (`prepare_inputs`), and what comes out is an input of the plan.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np

from .. import _data
from .._formulas import ops
from .._graph import CURRENT_CALL, HostOperation, SymbolicTensor
from .._order import sort_operations
from .._strings import as_strings
from .._types import LayerOptions
from .base import Layer

__all__ = ["HostLayer", "encode", "encode_rows", "not_sparse", "run_before", "sizes_of_stage", "whole_number"]

#: While the graph of a model is made again for other sizes: shapes of what layers return whose sizes are open, in order.
_SIZES: ContextVar[Mapping[Any, list[tuple[int, ...]]]] = ContextVar("_SIZES", default=MappingProxyType({}))


@contextmanager
def sizes_of_stage(sizes: Mapping[Any, list[tuple[int, ...]]]) -> Iterator[None]:
    """Within it, layers return tensors of these shapes where their sizes are open: by layer, in the order of its calls."""
    token = _SIZES.set(sizes)
    try:
        yield
    finally:
        _SIZES.reset(token)


class HostLayer(Layer):
    """Base of the layers whose work is done in NumPy.

    A subclass has `compute`, a function of arrays, and `call`, which says by `stage` which function of arrays is the model's.
    """

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        kwargs.pop("dtype", None)  # arrays have the dtype that their numbers need, models their own
        super().__init__(**kwargs)

    def __call__(self, inputs: Any, *more: Any, **options: Any) -> Any:
        """On symbolic tensors, the layer as a part of a model; on arrays, what it makes of them, as an array.

        Parameters
        ----------
        inputs : SymbolicTensor or array_like, or a list of them
        """
        first = inputs[0] if isinstance(inputs, (list, tuple)) and inputs else inputs
        if isinstance(first, SymbolicTensor):
            return super().__call__(inputs, *more, **options)
        options.pop("training", None)
        return self.compute(inputs, *more, **options)

    def build(self, input_shape: Any) -> None:
        """There are no weights."""

    def compute(self, inputs: Any) -> np.ndarray:
        """What the layer makes of arrays."""
        raise NotImplementedError

    def stage(
        self,
        function: Callable[..., np.ndarray],
        inputs: Sequence[SymbolicTensor],
        shape: Sequence[int | None],
        strings: bool = False,
    ) -> SymbolicTensor:
        """A tensor that holds, when the model computes, what a function makes of the arrays of others.

        Parameters
        ----------
        function : callable
            Of as many arrays, with a row for each sample.
        shape : sequence of int or None
            Of a sample of the result; None: any size.
        strings : bool
            Whether that is text.
        """
        return run_before(self, function, inputs, shape, strings)

    def strings_of(self, given: Any, encoding: str = "utf-8") -> np.ndarray:
        """Data as text."""
        return as_strings(given, f"layer {self._label!r}: its input", encoding)

    def integers_of(self, given: Any) -> np.ndarray:
        """Data as whole numbers."""
        what = f"layer {self._label!r}: its input"
        array = np.asarray(given) if np.ndim(given) == 0 and not hasattr(given, "to_numpy") else _data.as_array(given, what)
        if array.dtype.kind == "f":
            whole = np.isfinite(array) & (array == np.trunc(array))
            if not whole.all():
                row = int(np.argmin(whole.reshape(len(whole), -1).all(axis=1))) if array.ndim else 0
                raise ValueError(f"{what} holds {np.asarray(array[~whole]).flat[0]:g} in row {row}; expected whole numbers")
        elif array.dtype.kind not in "iub":
            raise TypeError(f"{what} has dtype {array.dtype}; expected whole numbers")
        return array.astype(np.int64, copy=False)

    def check_strings(self, x: SymbolicTensor, strings: bool) -> None:
        """TypeError where a tensor holds numbers and text is expected, or the other way round."""
        if x.holds_strings != strings:
            hint = "make its input by fn.Input(shape, dtype='string')" if strings else "its input holds text"
            raise TypeError(f"layer {self._label!r} takes {'text' if strings else 'numbers'}: {hint}")


def run_before(
    layer: Layer,
    function: Callable[..., np.ndarray],
    inputs: Sequence[SymbolicTensor],
    shape: Sequence[int | None],
    strings: bool = False,
) -> SymbolicTensor:
    """What `HostLayer.stage` does, of any layer that is being called."""
    call = CURRENT_CALL.get()
    if call is None:
        raise RuntimeError(f"layer {layer._label!r}: stage works while the layer is called")
    for tensor in inputs:
        for operation in sort_operations([*_ends(tensor)], [tensor]):
            weight = next((weight for weight in operation.weights if weight.trainable), None)
            if weight is not None:
                raise ValueError(
                    f"layer {layer._label!r} takes data as they are given to the model, got what layer "
                    f"{operation.layer._label!r} computes with its weights"
                )
    given_sizes = bool(_SIZES.get().get(layer))
    sizes = tuple(_SIZES.get()[layer].pop(0)) if given_sizes else tuple(67 if size is None else size for size in shape)
    result = HostOperation(layer, function, inputs, sizes, call).outputs[0]
    if None in shape:
        result.open = tuple(axis for axis, size in enumerate(shape) if size is None)
        if not given_sizes:
            result.alternative = tuple(size + 64 if axis in result.open else size for axis, size in enumerate(sizes))
    result.holds_strings = strings
    return result


def _ends(tensor: SymbolicTensor) -> Iterator[SymbolicTensor]:
    """The inputs that a tensor depends on."""
    left, seen = [tensor], set()
    while left:
        one = left.pop()
        if one.operation is None:
            yield one
        elif one.operation not in seen:
            seen.add(one.operation)
            left.extend(one.operation.inputs)


def not_sparse(layer: Layer, sparse: bool) -> bool:
    """False; ValueError for True."""
    if sparse:
        raise ValueError(f"{layer._label}: sparse must be False")
    return False


def whole_number(layer: str, argument: str, value: Any, least: int) -> int:
    """The value as an int that is not below the least."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{layer}: {argument} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{layer}: {argument} must be at least {least}, got {value!r}")
    return number


# ---- encodings of indices -----------------------------------------------------------------------------------------


def encode(
    layer: Layer, x: SymbolicTensor, output_mode: str, depth: int, weights: SymbolicTensor | None = None
) -> SymbolicTensor:
    """Indices as Keras encodes them: one-hot for each, or all of a row together, perhaps with weights; what is out of range counts for nothing."""
    if output_mode == "one_hot":
        return ops.one_hot(ops.squeeze(x, -1) if x.shape[-1] == 1 else x, depth)
    if len(x.sample_shape) != 1:
        raise ValueError(f"layer {layer._label!r}: {output_mode} takes an input of shape (batch, n), got shape {x.shape}")
    each = ops.one_hot(x, depth)
    if weights is not None:
        each = each * ops.expand_dims(weights, -1)
    return ops.max(each, axis=-2) if output_mode == "multi_hot" else ops.sum(each, axis=-2)


def encode_rows(
    indices: np.ndarray, output_mode: str, depth: int, dtype: Any = np.float32, weights: np.ndarray | None = None
) -> np.ndarray:
    """The same of arrays: of shape (..., n), (..., depth); one_hot of (..., 1) too, and of others (..., n, depth)."""
    inside = (indices >= 0) & (indices < depth)
    if output_mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices, inside = indices[..., 0], inside[..., 0]
        found = np.zeros((*indices.shape, depth), dtype)
        np.put_along_axis(found, np.where(inside, indices, 0)[..., None], inside[..., None].astype(dtype), axis=-1)
        return found
    lead = indices.shape[:-1]
    rows = int(np.prod(lead))
    places = (np.arange(rows).reshape(*lead, 1) * depth + indices)[inside]
    if output_mode == "multi_hot":
        found = np.zeros(rows * depth, dtype)
        found[places] = 1
    else:
        counted = None if weights is None else np.asarray(weights).reshape(indices.shape)[inside]
        found = np.bincount(places, counted, minlength=rows * depth).astype(dtype)
    return found.reshape(*lead, depth)
