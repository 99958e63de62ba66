"""A graph of ONNX while it becomes layers: values, and the table of what reads each operator.

A value is a constant, an array of NumPy, or computed: a tensor whose first axis is the batch, and the order of axes in which ONNX has
it, of which some may be joined. A change of that order costs nothing until something needs the numbers in it, so that a convolution in a row of such finds
its channels last. Among constants `BATCH` stands for the number of rows, which only shapes contain.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._formulas import ops
from .._graph import SymbolicTensor

__all__ = [
    "BATCH",
    "READERS",
    "NotExpressible",
    "Operator",
    "Reader",
    "Tensor",
    "describe",
    "in_each_row",
    "ops",
    "reads",
    "without",
]


#: The number of rows, as an element of a shape.
BATCH = -(2**40)


class NotExpressible(Exception):
    """What a graph asks for that fastnet does not have."""


class Tensor:
    """A computed value.

    Attributes
    ----------
    tensor : SymbolicTensor
        Its axes in the order in which fastnet has them, the batch first.
    groups : tuple of tuple of int
        Axis i of the value goes through these axes of the tensor, the last one fastest; none: its size is 1.
    """

    def __init__(self, tensor: SymbolicTensor, axes: Sequence[int | tuple[int, ...]]) -> None:
        self.tensor = tensor
        self.groups = tuple((one,) if isinstance(one, int) else one for one in axes)

    @classmethod
    def of(cls, tensor: SymbolicTensor) -> Tensor:
        return cls(tensor, range(len(tensor.shape)))

    @property
    def sizes(self) -> list[int]:
        """Of the axes of the tensor."""
        return [BATCH, *self.tensor.sample_shape]

    @property
    def shape(self) -> list[int]:
        """Of the value; what counts the rows is a multiple of `BATCH`."""
        return [math.prod(self.sizes[axis] for axis in group) for group in self.groups]

    @property
    def rank(self) -> int:
        return len(self.groups)

    @property
    def axes(self) -> tuple[int, ...]:
        """Axis i of the value is axis axes[i] of the tensor, of a simple value."""
        return tuple(group[0] for group in self.groups)

    def apply(self, function: Callable[..., Any], **options: Any) -> Tensor:
        """The value of a function of each number."""
        return Tensor(function(self.tensor, **options), self.groups)

    def simple(self) -> Tensor:
        """The value with one axis of the tensor for each of its own.

        Raises
        ------
        NotExpressible
            If an axis counts more than the rows, or none does.
        """
        if all(len(group) == 1 for group in self.groups) and len(self.groups) == len(self.sizes):
            return self
        if (0,) not in self.groups:
            raise NotExpressible(f"a value of shape {describe(self.shape)}, whose rows are joined with another axis")
        order = [axis for group in self.groups for axis in group if axis]
        tensor = _transposed(self.tensor, [0, *order])
        tensor = ops.reshape(tensor, (-1, *(size for size in self.shape if size != BATCH)))
        others = iter(range(1, self.rank))
        return Tensor(tensor, [0 if group == (0,) else next(others) for group in self.groups])

    def plain(self) -> SymbolicTensor:
        """The tensor with its axes as ONNX has them."""
        return self.in_order(range(self.rank))

    def in_order(self, order: Sequence[int]) -> SymbolicTensor:
        """The tensor whose axis i is axis order[i] of the value; the batch is to be the first."""
        value = self.simple()
        axes = [value.axes[i] for i in order]
        if axes[0] != 0:
            raise NotExpressible(f"a value of shape {describe(self.shape)} whose rows are not the first axis")
        return _transposed(value.tensor, axes)

    def with_last(self, n: int) -> tuple[SymbolicTensor, tuple[tuple[int, ...], ...]]:
        """The tensor with the last n axes of the value at its end, whatever is before them, and the groups of the others."""
        leading = [axis for group in self.groups[: self.rank - n] for axis in group]
        if 0 not in leading:
            raise NotExpressible(f"a value of shape {describe(self.shape)} along its rows")
        last = self.groups[self.rank - n :]
        order = [0, *(axis for axis in leading if axis), *(axis for group in last for axis in group)]
        tensor = _transposed(self.tensor, order)
        middle = [self.sizes[axis] for axis in leading if axis]
        wanted = (*middle, *self.shape[self.rank - n :])
        tensor = tensor if tensor.sample_shape == wanted else ops.reshape(tensor, (-1, *wanted))
        places = {axis: i for i, axis in enumerate(order)}
        return tensor, tuple(tuple(places[axis] for axis in group) for group in self.groups[: self.rank - n])


def in_each_row(array: np.ndarray, like: SymbolicTensor) -> SymbolicTensor:
    """A constant of one row as a tensor with as many rows as another."""
    # A zero for each row, whatever the numbers: none is below minus infinity.
    zeros = ops.less(ops.sum(like, axis=tuple(range(1, len(like.shape)))), -math.inf)
    return ops.add(ops.reshape(zeros, (-1, *[1] * (array.ndim - 1))), array[0])


def _transposed(tensor: SymbolicTensor, axes: Sequence[int]) -> SymbolicTensor:
    return tensor if list(axes) == sorted(axes) else ops.transpose(tensor, list(axes))


def without(value: Tensor, tensor: Any, axes: Sequence[int], keepdims: bool) -> Tensor:
    """A tensor of which axes, as the value has them, are of size 1 or gone."""
    if keepdims:
        return Tensor(tensor, value.groups)
    gone = {value.axes[axis] for axis in axes}
    left = [axis for axis in value.axes if axis not in gone]
    return Tensor(tensor, tuple(int(i) for i in np.argsort(np.argsort(left))))


def describe(shape: Sequence[int]) -> tuple[Any, ...]:
    """A shape for people."""
    return tuple("batch" if size == BATCH else f"{size // BATCH} batch" if size < BATCH else int(size) for size in shape)


class Operator:
    """A node of the graph, its inputs known.

    Attributes
    ----------
    type, name : str
    inputs : list
        Each an array, a `Tensor`, or None where it is left out.
    outputs : list of str
    attributes : dict
        What is given, as Python's numbers, strings, lists and arrays.
    opset : int
        Of the operator's domain.
    reader : Reader
    """

    def __init__(
        self, type: str, name: str, inputs: list[Any], outputs: list[str], attributes: dict[str, Any], opset: int, reader: Reader
    ) -> None:
        self.type, self.name, self.inputs, self.outputs = type, name, inputs, outputs
        self.attributes, self.opset, self.reader = attributes, opset, reader

    @property
    def n_outputs(self) -> int:
        return len(self.outputs)

    def given(self, index: int) -> Any:
        """An input, None where there is none."""
        return self.inputs[index] if index < len(self.inputs) else None

    def value(self, index: int = 0) -> Tensor:
        """An input that is computed."""
        value = self.given(index)
        if not isinstance(value, Tensor):
            raise NotExpressible(f"input {index} is a constant, where fastnet computes from rows")
        return value

    def tensor(self, index: int = 0) -> Tensor:
        """One that is computed, in its simple form."""
        return self.value(index).simple()

    def constant(self, index: int, default: Any = None) -> Any:
        """An input that must be a constant."""
        value = self.given(index)
        if isinstance(value, Tensor):
            raise NotExpressible(f"input {index} depends on the data, where fastnet needs a constant")
        return default if value is None else value

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def parameter(self, index: int, name: str, default: Any = None) -> Any:
        """What newer opsets have as an input and older ones as an attribute."""
        found = self.constant(index)
        return found if found is not None else self.get(name, default)

    def forbid(self, **allowed: Any) -> None:
        """NotExpressible where an attribute is given and not what is allowed."""
        for name, value in allowed.items():
            if self.get(name, value) != value:
                raise NotExpressible(f"{name}={self.get(name)!r}")

    def axis(self, name: str = "axis", default: int = -1, rank: int | None = None) -> int:
        """An attribute that is an axis, from 0 on."""
        rank = self.value().rank if rank is None else rank
        axis = int(self.get(name, default))
        if not -rank <= axis < rank:
            raise NotExpressible(f"{name}={axis} of a value with {rank} axes")
        return axis % rank

    def layer(self, make: Callable[..., Any], *arrays: np.ndarray | None, **options: Any) -> Any:
        """A new layer named after the node, which gets these arrays as its weights."""
        layer = make(name=self.reader.unique(self.name or self.type), **options)
        self.reader.weights.append((layer, [np.asarray(array) for array in arrays if array is not None]))
        return layer


#: By operator: what reads it and returns a value, or a list of values.
READERS: dict[str, Callable[[Operator], Any]] = {}


def reads(*operators: str) -> Callable[[Callable[[Operator], Any]], Callable[[Operator], Any]]:
    """Enters a function into the table."""

    def enter(function: Callable[[Operator], Any]) -> Callable[[Operator], Any]:
        READERS.update(dict.fromkeys(operators, function))
        return function

    return enter


class Reader:
    """The values of a graph by name, and the layers that it has become.

    Attributes
    ----------
    ends : set of str
        The names of the outputs.
    rows : int or None
        The number of rows that the inputs have in the file, where it is fixed.
    values : dict of str
    weights : list of (Layer, list of ndarray)
        In the order in which a layer has its weights.
    uses : dict of str to list of NodeProto
        What reads each value.
    absorbed : dict of str to str
        Values that are others already: by the name of the one, that of the other.
    """

    def __init__(self, ends: Sequence[str] = ()) -> None:
        self.ends = set(ends)
        self.rows: int | None = None
        self.values: dict[str, Any] = {"": None}
        self.weights: list[tuple[Any, list[np.ndarray]]] = []
        self.uses: dict[str, list[Any]] = {}
        self.absorbed: dict[str, str] = {}
        self._names: set[str] = set()

    def with_rows(self, shape: Sequence[int]) -> list[int]:
        """A shape that is to begin with the rows: a fixed number of these stands for any."""
        sizes = [int(size) for size in shape]
        return [BATCH, *sizes[1:]] if sizes and sizes[0] == self.rows and BATCH not in sizes else sizes

    def unique(self, name: str) -> str:
        """A name for a layer, of letters, digits and underscores."""
        base = re.sub(r"\W+", "_", name).strip("_").lower() or "layer"
        found, count = base, 1
        while found in self._names:
            found, count = f"{base}_{count}", count + 1
        self._names.add(found)
        return found

    def read(self, node: Any, opset: int, ml_opset: int) -> None:
        """Enters the outputs of a node."""
        from onnx import helper

        if node.output[0] in self.absorbed:
            self.values[node.output[0]] = self.values[self.absorbed[node.output[0]]]
            return
        type = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        try:
            inputs = [self.values[name] for name in node.input]
            if all(not isinstance(value, Tensor) for value in inputs) and type != "Constant" and type not in _OF_SHAPES:
                outputs = _fold(node, inputs, opset)
            else:
                if type not in READERS:
                    raise NotExpressible("fastnet has no such operator")
                attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
                attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()}
                operator = Operator(
                    type, node.name, inputs, list(node.output), attributes, opset if not node.domain else ml_opset, self
                )
                made = READERS[type](operator)
                outputs = made if isinstance(made, list) else [made]
        except (NotExpressible, NotImplementedError, ValueError, TypeError, KeyError) as error:
            where = f"node {node.name!r}" if node.name else f"the node of {node.output[0]!r}"
            raise NotImplementedError(f"from_onnx: {where}, {type}: {error}") from error
        for name, value in zip(node.output, outputs):
            if name:
                self.values[name] = Tensor.of(value) if isinstance(value, SymbolicTensor) else value


#: Operators on constants that shapes go through with `BATCH` in them, or that no evaluator is asked for.
_OF_SHAPES = {"ConstantOfShape", "Expand", "Reshape"}


def _fold(node: Any, inputs: Sequence[Any], opset: int) -> list[np.ndarray]:
    """The outputs of a node of constants, by the reference evaluator of onnx."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    names = {name: value for name, value in zip(node.input, inputs) if name}
    graph = helper.make_graph(
        [node], "constants",
        [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape) for name, value in names.items()],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )  # fmt: skip
    imports = [helper.make_opsetid("", opset)]
    return [
        np.asarray(array) for array in ReferenceEvaluator(helper.make_model(graph, opset_imports=imports)).run(None, dict(names))
    ]
