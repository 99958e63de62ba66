"""How an operation of the engine becomes calls of portable functions.

By default operation `op` is ``fnp_op``, and its derivative ``fnp_op_backward``, whose parameters are found by name:

==================  ==================================================================================================
x, dx               the first input and its gradient; x_1, dx_1 the second, and so on
y, dy               the first output and its gradient; y_1, dy_1 the second
rows                of the batch
size                numbers of a sample of x; n: of the whole of x
positions, width    width: the last axis of x; positions: what is before it, rows counted
out_width           the last axis of y
rank, size_i        of x
parameter_0, ...    parameters; gradient_0, ...: their gradients
attributes          by their names
==================  ==================================================================================================

Gradients that are not asked for are NULL. What is more than that is said by a function of the table `ADAPTERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .. import activations
from ._program import Array, Code, Program

__all__ = ["ADAPTERS", "PREDICTIONS", "Node", "Value", "adapts", "lower_node", "shape_of"]


#: How many predictions were made before, where numbers are drawn that are new in each.
PREDICTIONS = "memory->predictions"


class Value:
    """A value of the graph: its array and, in training, that of its gradient; views share both.

    Attributes
    ----------
    shape : tuple of int
        Of a sample.
    gradient : Array or None
        None: nothing needs it.
    """

    def __init__(self, shape: tuple[int, ...], array: Array, gradient: Array | None = None) -> None:
        self.shape, self.array, self.gradient = tuple(shape), array, gradient

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Node:
    """An operation to be exported.

    Attributes
    ----------
    op, layer : str
    number : int
        Among the nodes of the description, by which the engine numbers its streams of random numbers.
    rows : int
    training : bool
        False: as in predictions, which may be differentiated too.
    inputs, outputs : list of Value
    parameters, gradients : list of Array or None
    attributes : dict of str to float
        All of them.
    forward, backward, update : Program
        What it appends to; the backward programs of nodes are run in the reverse order of the nodes. update: what a step of
        training changes in the end besides what is trained.
    seed : int
        Of the model.
    total : Code or None
        Where penalties are added to, in programs that have a loss.
    descends : Code or None
        The learning rate, where the backward pass of the node is to update its parameters at once, by plain descent.
    """

    seed: int = 0
    total: Code | None = None
    descends: Code | None = None

    def __init__(
        self,
        op: str,
        layer: str,
        number: int,
        rows: int,
        training: bool,
        inputs: list[Value],
        outputs: list[Value],
        parameters: list[Array],
        gradients: list[Array | None],
        attributes: dict[str, float],
        forward: Program,
        backward: Program,
    ) -> None:
        self.op, self.layer, self.number, self.rows, self.training = op, layer, number, rows, training
        self.inputs, self.outputs, self.parameters, self.gradients = inputs, outputs, parameters, gradients
        self.attributes, self.forward, self.backward = attributes, forward, backward
        self.update = Program(forward.library)
        self._buffers = 0

    @property
    def differentiates(self) -> bool:
        """Whether there is anything to do in the backward pass."""
        wanted = [value.gradient for value in self.inputs] + list(self.gradients)
        return self.outputs[0].gradient is not None and any(one is not None for one in wanted)

    def buffer(self, size: int, name: str = "buffer", kind: str = "value") -> Array:
        """A new array of its own; kind "state": kept from call to call, zero at first."""
        self._buffers += 1
        return Array(f"{self.layer}_{name}_{self.number}_{self._buffers}", size, kind)

    def constant(self, values: Any, name: str, type: str = "fnp_real") -> Array:
        """A table in the file: numbers, "fnp_int", or the members of a structure of the library."""
        self._buffers += 1
        return Array(f"{self.layer}_{name}_{self.number}_{self._buffers}", values.size, "constant", values, type)

    def view(self, number: int = 0) -> None:
        """The output is an input under another shape."""
        source = self.inputs[number]
        self.outputs[0].array, self.outputs[0].gradient = source.array, source.gradient

    def names(self, **more: Any) -> dict[str, Any]:
        """The arguments of functions by name; see the head of this module."""
        x, y = self.inputs[0], self.outputs[0]
        names: dict[str, Any] = {
            **self.attributes,
            "rows": self.rows,
            "size": x.size,
            "n": self.rows * x.size,
            "width": x.shape[-1] if x.shape else 1,
            "positions": self.rows * math.prod(x.shape[:-1]),
            "out_width": y.shape[-1] if y.shape else 1,
        }
        for kind, values in (("x", self.inputs), ("y", self.outputs)):
            for i, value in enumerate(values):
                name = kind if i == 0 else f"{kind}_{i}"
                names[name], names[f"d{name}"] = value.array, value.gradient
        for i, (parameter, gradient) in enumerate(zip(self.parameters, self.gradients)):
            names[f"parameter_{i}"], names[f"gradient_{i}"] = parameter, gradient
        names.update(more)
        return names

    def stream(self) -> dict[str, Any]:
        """The arguments of functions that draw this node's random numbers of a step."""
        seed = self.attributes.get("seed", -1)
        key = self.seed if seed < 0 else (int(seed) + 1) * 0x9E3779B97F4A7C15
        like = int(self.attributes.get("like", -1))
        stream = (2 if self.training else 5) << 24 | (self.number if like < 0 else like) & 0xFFFFFF
        step = Code("memory->step" if self.training else PREDICTIONS)
        if self.attributes.get("fixed"):
            stream, step = 4 << 24, Code(f"{int(self.attributes['counter'])}u")
        return {"key": Code(f"{key & 0xFFFFFFFFFFFFFFFF:#x}u"), "stream": Code(f"{stream:#x}u"), "step": step}

    def pointer(self, activation: str = "activation", alpha: str = "alpha", derivative: bool = False) -> Code:
        """An activation that is an attribute, or its derivative, as an argument of a function: its name, with its own attribute
        filled in."""
        library, name = self.forward.library, f"fnp_{self.activation(activation)}{'_backward' if derivative else ''}"
        if all(parameter.name != "alpha" for parameter in library.signature(name)):
            return Code(name)
        return Code(library.bind(name, "alpha", float(self.attributes[alpha])))

    def run(self, function: str, **more: Any) -> None:
        """Appends a call to the forward pass."""
        self.forward.call(function, self.names(**more))

    def differentiate(self, function: str, **more: Any) -> None:
        """Appends a call to its backward pass, if there is anything to do there."""
        if self.differentiates:
            self.backward.call(function, self.names(**more))

    def activated(self, into: Array, size: int, activation: str = "activation", alpha: str = "alpha") -> tuple[Array, Array]:
        """Where to put what an activation is applied to, whose result is `into`; and what its derivative is a function of.

        One that is a function of its result is applied in place. `activate` then applies it.
        """
        name = self.activation(activation)
        if name != "linear" and self.differentiates and self.forward.library.blocks[f"fnp_{name}_backward"].from_input:
            before = self.buffer(size, "before")
            return before, before
        return into, into

    def activation(self, attribute: str = "activation") -> str:
        """The name of an activation that is an attribute."""
        return activations.name_of(self.attributes[attribute])

    def activate(self, x: Array, y: Array, n: int, activation: str = "activation", alpha: str = "alpha") -> None:
        """y = f(x), of n numbers."""
        name = self.activation(activation)
        if name != "linear" or x is not y:
            self.forward.call(f"fnp_{name}", self.names(x=x, y=y, n=n, alpha=self.attributes[alpha]))

    def differentiate_activation(
        self, saved: Array, dy: Array | None, n: int, activation: str = "activation", alpha: str = "alpha"
    ) -> None:
        """dy = dy f'(saved), of n numbers."""
        name = self.activation(activation)
        if name != "linear" and self.differentiates:
            self.backward.call(f"fnp_{name}_backward", self.names(saved=saved, dy=dy, n=n, alpha=self.attributes[alpha]))


#: By operation: a function that appends its calls.
ADAPTERS: dict[str, Callable[[Node], None]] = {}


def adapts(*ops: str) -> Callable[[Callable[[Node], None]], Callable[[Node], None]]:
    """Enters a function into the table."""

    def enter(function: Callable[[Node], None]) -> Callable[[Node], None]:
        for op in ops:
            ADAPTERS[op] = function
        return function

    return enter


def shape_of(attributes: Mapping[str, float]) -> list[int]:
    """The shape that attributes of an operation say; see `shape_attributes`."""
    return [int(attributes[f"size_{axis}"]) for axis in range(int(attributes["rank"]))]


def lower_node(node: Node) -> None:
    """Appends the calls of a node.

    Raises
    ------
    NotImplementedError
        If the portable library does not have the operation.
    """
    if node.op in ADAPTERS:
        ADAPTERS[node.op](node)
        return
    if f"fnp_{node.op}" not in node.forward.library:
        raise NotImplementedError(f"export: layer {node.layer!r}: the portable library has no operation {node.op!r}")
    node.run(f"fnp_{node.op}")
    node.differentiate(f"fnp_{node.op}_backward")
