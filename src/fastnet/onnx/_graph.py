"""A graph of ONNX's operators while it is made, and the table of what writes each operation of the engine."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["LOWEST_OPSET", "WRITERS", "Graph", "Node", "Value", "inverse", "writes"]

#: From this one on Squeeze, Unsqueeze and ReduceSum take their axes as inputs.
LOWEST_OPSET = 13
#: The IR version that came with each opset; the next lower entry holds for those between.
IR_VERSIONS = {13: 7, 15: 8, 19: 9, 21: 10, 23: 11}
#: Of one input and one output of the same shape, and blind to the order of axes.
_ELEMENTWISE = {
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor",
    "HardSigmoid", "Identity", "LeakyRelu", "Log", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign",
    "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh",
}  # fmt: skip


class _Operator(NamedTuple):
    """An operator of ONNX: inputs and outputs by name, "" for one left out."""

    type: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class Value(NamedTuple):
    """A value of the graph: its name, and the shape of a sample."""

    name: str
    shape: tuple[int, ...]


def inverse(axes: Sequence[int]) -> list[int]:
    """The order of axes that undoes another."""
    return [int(i) for i in np.argsort(axes)]


class Graph:
    """Operators one after another, and constants.

    Attributes
    ----------
    dtype : {"float32", "float64"}
    opset : int
        The lowest one that has all operators so far.
    operators : list
    constants : dict of str to ndarray
    """

    def __init__(self, dtype: str) -> None:
        self.dtype, self.opset = dtype, LOWEST_OPSET
        self.operators: list[_Operator] = []
        self.constants: dict[str, np.ndarray] = {}
        self._known: dict[Any, str] = {}
        self._count = 0
        #: What new values are named after.
        self.prefix = "value"

    def _name(self) -> str:
        self._count += 1
        return f"{self.prefix}:{self._count}"

    def add(self, type: str, *inputs: Any, outputs: int = 1, since: int = LOWEST_OPSET, **attributes: Any) -> Any:
        """The name of what an operator computes, or a list of such names.

        inputs: names, "" for one left out; what is no string is a constant of the dtype of the graph.
        since: the opset in which the operator came to be what is meant.
        """
        self.opset = max(self.opset, since)
        names = [given if isinstance(given, str) else self.constant(given) for given in inputs]
        made = [self._name() for _ in range(outputs)]
        self.operators.append(_Operator(type, names, made, attributes))
        return made[0] if outputs == 1 else made

    def constant(self, values: Any, name: str | None = None) -> str:
        """The name of an array, numbers in the dtype of the graph."""
        return self._keep(np.asarray(values, self.dtype), name)

    def integers(self, values: Any) -> str:
        """The name of an array of integers: a shape, axes, places."""
        return self._keep(np.asarray(values, np.int64), None)

    def _keep(self, array: np.ndarray, name: str | None) -> str:
        key = (name, array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            found = name or f"constant:{len(self._known)}"
            while found in self.constants:  # a weight in two layouts
                found += "'"
            self._known[key] = found
            self.constants[found] = array
        return self._known[key]

    # ---- what several operations need

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Samples of another shape."""
        return self.add("Reshape", x, self.integers([0, *shape]))

    def transpose(self, x: str, axes: Sequence[int]) -> str:
        """The axes, the batch counted, in another order."""
        return x if list(axes) == list(range(len(axes))) else self.add("Transpose", x, perm=list(axes))

    def gather(self, x: str, places: Any, axis: int) -> str:
        """What lies at constant places along an axis."""
        return self.add("Gather", x, self.integers(places), axis=axis)

    def slice(self, x: str, axis: int, start: int, stop: int) -> str:
        return self.add("Slice", x, self.integers([start]), self.integers([stop]), self.integers([axis]))

    def with_rows(self, like: str, x: str, shape: Sequence[int]) -> str:
        """Repeated to samples of a shape, as many as the batch of another value has."""
        rows = self.slice(self.add("Shape", like), 0, 0, 1)
        return str(self.add("Expand", x, self.add("Concat", rows, self.integers(shape), axis=0)))

    def reduce(self, kind: str, x: str, axes: Sequence[int], keepdims: bool = True) -> str:
        """kind: "Sum", "Mean", "Prod", "Max", "Min"; the axes count the batch."""
        return self.add(f"Reduce{kind}", x, axes=[int(axis) for axis in axes], keepdims=int(keepdims))

    def chain(self, type: str, names: Sequence[Any]) -> str:
        """An operator of two inputs over many, from the first on."""
        result = names[0]
        for name in names[1:]:
            result = self.add(type, result, name)
        return str(result)

    def number(self, condition: str) -> str:
        """1 where a condition holds, else 0."""
        return str(self.add("Cast", condition, to=self.dtype))

    def truth(self, x: str) -> str:
        """Where a number is not 0."""
        return str(self.add("Not", self.add("Equal", x, 0.0)))

    def positive(self, x: str) -> str:
        """Where a number is above 0, as of masks."""
        return str(self.add("Greater", x, 0.0))

    # ---- the whole

    def finish(self, outputs: Mapping[str, str]) -> None:
        """Gives outputs their names, in {value: name}, and leaves out what nothing needs."""
        for value, name in outputs.items():
            self.operators.append(_Operator("Identity", [value], [name], {}))
        wanted = set(outputs.values())
        self._join_transposes(wanted)
        self._rename_outputs(wanted)
        kept: list[_Operator] = []
        needed = set(wanted)
        for operator in reversed(self.operators):
            if needed.intersection(operator.outputs):
                kept.append(operator)
                needed.update(operator.inputs)
        self.operators = kept[::-1]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}

    def _join_transposes(self, outputs: set[str]) -> None:
        """Moves changes of the order of axes behind elementwise operators, and takes out those that undo one another."""
        origin: dict[str, tuple[str, list[int]]] = {}  # (what is transposed, how) for what is known to be that
        operators, self.operators = self.operators, []
        for operator in operators:
            known = origin.get(operator.inputs[0]) if operator.inputs else None
            if operator.type == "Transpose":
                (source, before), axes = known or (operator.inputs[0], None), operator.attributes["perm"]
                axes = axes if before is None else [before[axis] for axis in axes]
                if axes == sorted(axes):
                    operator = operator._replace(type="Identity", inputs=[source], attributes={})
                else:
                    operator = operator._replace(inputs=[source], attributes={"perm": axes})
                    origin[operator.outputs[0]] = (source, axes)
            elif known is not None and operator.type in _ELEMENTWISE and not outputs.intersection(operator.outputs):
                source, axes = known
                inner = self._name()
                self.operators.append(operator._replace(inputs=[source], outputs=[inner]))
                operator = _Operator("Transpose", [inner], operator.outputs, {"perm": axes})
                origin[operator.outputs[0]] = (inner, axes)
            self.operators.append(operator)

    def _rename_outputs(self, outputs: set[str]) -> None:
        """Takes out what hands on a value, but for outputs that are inputs, or that are read twice."""
        same: dict[str, str] = {}
        kept: list[_Operator] = []
        for operator in self.operators:
            operator = operator._replace(inputs=[same.get(name, name) for name in operator.inputs])
            if operator.type == "Identity" and not outputs.intersection(operator.outputs):
                same[operator.outputs[0]] = operator.inputs[0]
            else:
                kept.append(operator)
        self.operators = kept

    def proto(self, inputs: Sequence[Value], outputs: Sequence[Value], name: str, metadata: Mapping[str, str]) -> Any:
        """The model as a protocol buffer of ONNX."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        types = {
            "float32": TensorProto.FLOAT,
            "float64": TensorProto.DOUBLE,
            "int64": TensorProto.INT64,
            "bool": TensorProto.BOOL,
        }
        operators = [self._in_opset(operator) for operator in self.operators]
        used = {name for operator in operators for name in operator.inputs}
        nodes = [
            helper.make_node(
                operator.type, operator.inputs, operator.outputs, name=operator.outputs[0],
                **{key: types[value] if key == "to" else value for key, value in operator.attributes.items()},
            )
            for operator in operators
        ]  # fmt: skip
        tensors = [numpy_helper.from_array(array, key) for key, array in self.constants.items() if key in used]
        ends = [
            [helper.make_tensor_value_info(value.name, types[self.dtype], ["batch", *value.shape]) for value in values]
            for values in (inputs, outputs)
        ]
        ir_version = max(version for opset, version in IR_VERSIONS.items() if opset <= self.opset)
        graph = helper.make_graph(nodes, name, *ends, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=ir_version)
        model.producer_name = "fastnet"
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _in_opset(self, operator: _Operator) -> _Operator:
        """Reductions take their axes as an input: sums from opset 13 on, all others from 18 on."""
        if operator.type.startswith("Reduce") and self.opset >= (13 if operator.type == "ReduceSum" else 18):
            attributes = dict(operator.attributes)
            return operator._replace(inputs=[*operator.inputs, self.integers(attributes.pop("axes"))], attributes=attributes)
        return operator


class Node:
    """An operation of the engine to be written.

    Attributes
    ----------
    op, layer : str
    inputs : list of Value
    parameters : list of (name, ndarray)
        float64.
    attributes : dict of str to float
        All of them.
    shapes : list of tuple of int
        Of samples of the outputs.
    graph : Graph
    """

    def __init__(
        self,
        op: str,
        layer: str,
        inputs: list[Value],
        parameters: list[tuple[str, np.ndarray]],
        attributes: dict[str, float],
        shapes: list[tuple[int, ...]],
        graph: Graph,
    ) -> None:
        self.op, self.layer, self.inputs, self.parameters = op, layer, inputs, parameters
        self.attributes, self.shapes, self.graph = attributes, shapes, graph

    @property
    def x(self) -> str:
        """The name of the first input."""
        return self.inputs[0].name

    def integer(self, name: str) -> int:
        """An attribute that is one."""
        return int(self.attributes[name])

    def number(self, name: str) -> float:
        """An attribute; the largest double stands for infinity."""
        value = self.attributes[name]
        return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value

    def array(self, index: int) -> np.ndarray:
        return self.parameters[index][1]

    def weight(self, index: int, change: Callable[[np.ndarray], np.ndarray] | None = None) -> str:
        """A parameter under its own name, in another layout where ONNX wants one."""
        name, array = self.parameters[index]
        return self.graph.constant(array if change is None else change(array), name)

    @property
    def size(self) -> int:
        """Numbers of a sample of the first input."""
        return math.prod(self.inputs[0].shape)


#: By operation: what writes it, and returns the names of the outputs.
WRITERS: dict[str, Callable[[Node], Any]] = {}


def writes(*operations: str) -> Callable[[Callable[[Node], Any]], Callable[[Node], Any]]:
    """Enters a function into the table."""

    def enter(function: Callable[[Node], Any]) -> Callable[[Node], Any]:
        WRITERS.update(dict.fromkeys(operations, function))
        return function

    return enter
