"""Symbolic tensors: what layers return that are called on them, and what is done with those in lists and dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ._symbols import FUNCTIONS, Equality, no_attribute, refuse_function, refuses
from .config import floatx

__all__ = ["SymbolicTensor", "as_tensors", "replace_tensors", "require_numbers", "shape_attributes", "symbols_in", "tensor_of"]


class SymbolicTensor(Equality):
    """What a layer returns when it is called on symbolic tensors: a value that a model will compute.

    Attributes
    ----------
    sample_shape : tuple of int
        Without the batch axis.
    operation : Operation or None
        What computes it; None: an input of the model.
    mask : SymbolicTensor or None
        Of a sequence: a number for each step, 0 where it does not count.
    batch_size : int or None
        Of an input of the model: the number of rows in a batch, where that is fixed.
    holds_strings : bool
        Whether it is text, which only layers take that compute in NumPy.
    holds_objects : bool
        Whether it is text or anything else: values as they are given.
    """

    holds_strings: bool = False
    holds_objects: bool = False
    #: Where sizes are open: what the shape would be for other sizes of the inputs. None: it would be the same.
    alternative: tuple[int, ...] | None = None
    #: Of an input of the model: the axes of the sample whose sizes are open.
    open: tuple[int, ...] = ()
    #: False: one row, whatever the batch, as it is made of weights alone; the sample is all of it.
    has_batch = True
    #: That it is, of a tensor without a batch.
    weight: Any = None

    def __init__(self, sample_shape: tuple[int, ...], operation: Any, name: str | None = None) -> None:
        self.sample_shape = sample_shape
        self.operation = operation
        self.name = name
        self.mask: SymbolicTensor | None = None
        self.batch_size: int | None = None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """With the batch axis, whose size is None, as are those that the inputs leave open."""
        if not self.has_batch:
            return self.sample_shape
        if self.open:
            return (None, *(None if axis in self.open else size for axis, size in enumerate(self.sample_shape)))
        if self.alternative is None:
            return (None, *self.sample_shape)
        return (None, *(size if size == other else None for size, other in zip(self.sample_shape, self.alternative)))

    @property
    def dtype(self) -> str:
        """What Keras's tensors would be: "string" of text, else what `config.floatx` says, though a model may have another precision."""
        return "string" if self.holds_strings else floatx()

    def takes(self, sample_shape: tuple[int, ...]) -> bool:
        """Whether data of these sizes fit it, as an input."""
        known = self.shape[1:]
        return len(known) == len(sample_shape) and all(a in (None, b) for a, b in zip(known, sample_shape))

    __bool__ = refuses("the truth", "use fn.ops.where(condition, a, b) in place of if")
    __float__ = __int__ = refuses("a number", "compute with the tensor, by fn.ops")
    __iter__ = refuses("a loop over the rows", "operations work on all rows; for parts of a sample use fn.ops")
    __array__ = refuses("an array", "use the functions of fn.ops in place of NumPy's")

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function in (np.shape, np.ndim):
            return self.shape if function is np.shape else len(self.shape)
        raise refuse_function(function.__name__, "a symbolic tensor", function.__module__ or "numpy")

    def __getattr__(self, name: str) -> Any:
        """Asked for what there is not: methods of NumPy's arrays are told by what to write instead."""
        raise no_attribute(name)

    def __getitem__(self, key: Any) -> SymbolicTensor:
        return FUNCTIONS["get_item"](self, key if isinstance(key, tuple) else (key,))

    def __reduce__(self) -> Any:
        raise TypeError("a symbolic tensor is a part of a graph and cannot be copied or pickled: its model, or its layer, can be")

    def __repr__(self) -> str:
        source = self.operation.layer._label if self.operation else "input"
        return f"<SymbolicTensor {source} shape={self.shape}>"


def tensor_of(weight: Any) -> SymbolicTensor:
    """A weight as a tensor without a batch; always the same one."""
    if weight.tensor is None:
        weight.tensor = SymbolicTensor(weight.shape, None, weight.name)
        weight.tensor.weight, weight.tensor.has_batch = weight, False
    return weight.tensor


def shape_attributes(shape: Iterable[int]) -> dict[str, int]:
    """A shape as the attributes of operations that take one."""
    sizes = {f"size_{axis}": size for axis, size in enumerate(shape)}
    return {"rank": len(sizes), **sizes}


def replace_tensors(value: Any, replace: Callable[[SymbolicTensor], Any]) -> Any:
    """A value with something else in place of each tensor in it, at any depth of lists and dictionaries."""
    if isinstance(value, SymbolicTensor):
        return replace(value)
    if isinstance(value, (list, tuple)):
        return [replace_tensors(item, replace) for item in value]
    if isinstance(value, Mapping):
        return {key: replace_tensors(item, replace) for key, item in value.items()}
    return value


def symbols_in(value: Any) -> list[SymbolicTensor]:
    """The symbolic tensors in lists and dictionaries."""
    if isinstance(value, SymbolicTensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for item in value for tensor in symbols_in(item)] if isinstance(value, (list, tuple)) else []


def as_tensors(tensors: Any, what: str) -> list[SymbolicTensor]:
    """One or several symbolic tensors as a list; TypeError, with what they are meant for, where they are none."""
    found = [tensors] if isinstance(tensors, SymbolicTensor) else tensors
    if not isinstance(found, (list, tuple)) or not found or not all(isinstance(t, SymbolicTensor) for t in found):
        raise TypeError(f"{what} must be what fn.Input or a layer returned, or a list of such, got {tensors!r}")
    return list(found)


def require_numbers(tensors: Sequence[SymbolicTensor], layer: str) -> None:
    """TypeError where a tensor holds text, which the engine does not compute with."""
    if any(tensor.holds_strings for tensor in tensors):
        raise TypeError(f"layer {layer!r} takes numbers, and its input holds text: look it up first, by fn.layers.StringLookup")
