"""A sequence of calls of portable functions, and the memory that their arrays share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._library import Library

__all__ = ["BYTES", "Array", "Call", "Code", "Program", "join", "lay_out", "named_arguments"]

#: Of integers of C.
BYTES = {"fnp_int": 4, "int32_t": 4, "int8_t": 1}


class Code(str):
    """An argument that is C as it stands: the name of a variable."""


class Array:
    """An array of the exported file.

    Attributes
    ----------
    name : str
    size : int
        Elements.
    kind : {"value", "weight", "gradient", "slot", "state", "constant", "argument"}
        value: alive from its first use to the last; weight, gradient, slot, state: kept between calls in memory, one after another;
        constant: in the file; argument: the caller's.
    values : ndarray or None
        Of constants, and what weights and slots start from.
    type : str
        "fnp_real", a type of `BYTES`, or a structure of the library.
    members : list of Array
        Arrays that lie one after another and are this one together, where there are any.
    adds : bool
        Whether calls add to it, so that it is to be zero before the first one: a gradient of a value.
    offset : int
        Of what is kept in memory: where it is there, in bytes.
    """

    def __init__(
        self,
        name: str,
        size: int,
        kind: str = "value",
        values: np.ndarray | None = None,
        type: str = "fnp_real",
        members: Sequence[Array] = (),
        adds: bool = False,
    ) -> None:
        self.name, self.size, self.kind, self.type = name, int(size), kind, type
        self.values = None if values is None else np.asarray(values).reshape(-1)
        self.members = list(members)
        self.adds = adds
        self.offset = 0

    @classmethod
    def gradient_of(cls, name: str, size: int) -> Array:
        """That of a value."""
        return cls(f"{name}_gradient", size, adds=True)

    def bytes(self, bits: int) -> int:
        """Its size, where an fnp_real has so many bits. A structure of the library has integers."""
        return self.size * (bits // 8 if self.type == "fnp_real" else BYTES.get(self.type, 4))

    def __repr__(self) -> str:
        return f"<Array {self.name} {self.kind} {self.size}>"


class Call(NamedTuple):
    """A call of a function; arguments are arrays, numbers, None for an array that is not asked for, or Code.

    Without a function it is a statement, whose parts are the arguments.
    """

    function: str
    arguments: tuple[Any, ...]


def named_arguments(library: Library, call: Call) -> dict[str, Any]:
    """The arguments of a call of a function by the names of its parameters."""
    return {parameter.name: value for parameter, value in zip(library.signature(call.function), call.arguments)}


class Program:
    """Calls in their order.

    Parameters
    ----------
    library : Library
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.calls: list[Call] = []

    def call(self, function: str, names: Mapping[str, Any]) -> None:
        """Appends a call whose arguments are found by the names of the function's parameters.

        Raises
        ------
        NotImplementedError
            If there is no such function, or no argument of a name.
        """
        if function not in self.library:
            raise NotImplementedError(f"export: there is no {function} in the portable library")
        arguments = []
        for parameter in self.library.signature(function):
            if parameter.name not in names:
                raise NotImplementedError(f"export: {function} asks for {parameter.name!r}; there are {sorted(names)}")
            value = names[parameter.name]
            if parameter.array and not isinstance(value, (Array, Code)) and value is not None:
                raise TypeError(f"export: {function} takes an array as {parameter.name!r}, got {value!r}")
            if isinstance(value, (bool, np.bool_)) or (parameter.type != "fnp_real" and isinstance(value, (float, np.floating))):
                value = int(value)
            elif not parameter.array and parameter.type == "fnp_real" and isinstance(value, (int, np.integer)):
                value = float(value)
            arguments.append(value)
        self.calls.append(Call(function, tuple(arguments)))

    def written(self, call: Call) -> list[Array]:
        """The arrays that a call changes."""
        if not call.function:
            return []
        parameters = self.library.signature(call.function)
        return [a for p, a in zip(parameters, call.arguments) if isinstance(a, Array) and not p.constant]


def join(name: str, arrays: Sequence[Array]) -> Array:
    """Arrays of one kind as one array."""
    return arrays[0] if len(arrays) == 1 else Array(name, sum(a.size for a in arrays), arrays[0].kind, members=arrays)


def lay_out(calls: Sequence[Call], bits: int, loop: int | None = None) -> int:
    """Gives each value of a program its place, so that those that are never alive at the same call may share it.

    The largest are placed first, each at the lowest place where it does not meet one that is alive with it.

    Parameters
    ----------
    loop : int, optional
        From this call on all are repeated: what they read of those before is alive to the end.

    Returns
    -------
    int
        Bytes of the memory that they need.
    """
    first: dict[Array, int] = {}
    last: dict[Array, int] = {}
    for i, call in enumerate(calls):
        for argument in call.arguments:
            if isinstance(argument, Array) and argument.kind == "value":
                first.setdefault(argument, i)
                last[argument] = i if loop is None or not first[argument] < loop <= i else len(calls)
    placed: list[Array] = []
    sizes = {array: array.bytes(bits) for array in first}
    for array in sorted(first, key=lambda array: (-sizes[array], first[array])):
        others = sorted(
            (other for other in placed if first[other] <= last[array] and first[array] <= last[other]), key=lambda o: o.offset
        )
        array.offset = 0
        for other in others:
            if array.offset + sizes[array] <= other.offset:
                break
            item = max(sizes[array] // max(array.size, 1), 1)
            array.offset = max(array.offset, -(-(other.offset + sizes[other]) // item) * item)
        placed.append(array)
    return max((array.offset + sizes[array] for array in placed), default=0)
