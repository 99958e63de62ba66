"""What stands for numbers that are not known while the graph is made: Python's operators for it, and what NumPy's functions say to it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Any

import numpy as np

__all__ = ["CURRENT_CALL", "FUNCTIONS", "ROWS", "Arithmetic", "no_attribute", "refuse_function", "refuses"]

#: The call in progress, whose layer is appending operations: a `LayerCall`.
CURRENT_CALL: ContextVar[Any] = ContextVar("CURRENT_CALL", default=None)

#: Where no call is in progress: a tensor that has as many rows as random numbers that are drawn; None: these are an array.
ROWS: ContextVar[Any] = ContextVar("ROWS", default=None)


class _Functions(dict[str, Callable[..., Any]]):
    """The functions of `fastnet.ops` by name, which enters them when the first is asked for.

    Attributes
    ----------
    public : collection of str
        The names in `fastnet.ops`, once it has been imported.
    """

    public: Collection[str] = ()

    def load(self) -> None:
        """Imports `fastnet.ops`, and `fastnet.random`, which has the rest."""
        importlib.import_module(".random", __package__)

    def __missing__(self, name: str) -> Callable[..., Any]:
        self.load()
        if name not in self:
            raise KeyError(name)
        return self[name]


#: Python's operators on symbolic tensors are some of these.
FUNCTIONS = _Functions()

#: NumPy's functions that its arrays call for operators, and their names here.
_OPERATORS = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "divide": "divide", "floor_divide": "floor_divide",
    "remainder": "mod", "power": "power", "matmul": "matmul", "less": "less", "less_equal": "less_equal", "greater": "greater",
    "greater_equal": "greater_equal", "equal": "equal", "not_equal": "not_equal", "bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor",
}  # fmt: skip
#: Those that `fastnet.ops` has under another name.
_OTHER_NAMES = {
    "amax": "max",
    "amin": "min",
    "fmod": "mod",
    "remainder": "mod",
    "invert": "logical_not",
    "cumulative_sum": "cumsum",
}


def refuse_function(name: str, what: str, module: str = "numpy") -> TypeError:
    """The error for one of NumPy's functions on what stands for numbers."""
    if not FUNCTIONS.public:
        FUNCTIONS.load()
    found = name if name in FUNCTIONS.public else _OTHER_NAMES.get(name)
    instead = f"use fn.ops.{found}" if found else f"fn.ops has no function {name!r}, compute with those that it has"
    prefix = module.replace("numpy", "np", 1) if module.split(".")[0] == "numpy" else module
    return TypeError(f"{prefix}.{name} of {what}, whose numbers are not known while the graph is made: {instead}")


def no_attribute(name: str, what: str = "a symbolic tensor") -> AttributeError:
    """The error for an attribute of a symbolic tensor that there is not; of methods of NumPy's arrays it says what to write instead."""
    text = f"{what} has no attribute {name!r}"
    if not name.startswith("_") and hasattr(np.ndarray, name):
        if not FUNCTIONS.public:
            FUNCTIONS.load()
        found = {"astype": "cast", "flatten": "reshape", "T": "transpose"}.get(name, name)
        text += f": use fn.ops.{found}" if found in FUNCTIONS.public else ", unlike NumPy's arrays"
    return AttributeError(text)


def refuses(what: str, instead: str) -> Any:
    """A method that is an error: `what` of a symbolic tensor."""

    def run(self: Any, *args: Any, **options: Any) -> Any:
        raise TypeError(f"{what} of {self._kind}, whose numbers are not known while the graph is made: {instead}")

    return run


def _operator(name: str, reverse: bool = False) -> Any:
    def run(self: Any, *other: Any) -> Any:
        return FUNCTIONS[name](*other, self) if reverse else FUNCTIONS[name](self, *other)

    return run


class Arithmetic:
    """Python's operators, and those of NumPy's arrays with it; other functions of NumPy are errors that say what to write instead."""

    __add__, __radd__ = _operator("add"), _operator("add", True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", True)
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", True)
    __floordiv__, __rfloordiv__ = _operator("floor_divide"), _operator("floor_divide", True)
    __mod__, __rmod__ = _operator("mod"), _operator("mod", True)
    __pow__, __rpow__ = _operator("power"), _operator("power", True)
    __matmul__, __rmatmul__ = _operator("matmul"), _operator("matmul", True)
    __neg__, __abs__, __invert__ = _operator("negative"), _operator("abs"), _operator("logical_not")
    __lt__, __le__, __gt__, __ge__ = _operator("less"), _operator("less_equal"), _operator("greater"), _operator("greater_equal")
    __and__, __or__, __xor__ = _operator("logical_and"), _operator("logical_or"), _operator("logical_xor")
    __rand__, __ror__, __rxor__ = _operator("logical_and", True), _operator("logical_or", True), _operator("logical_xor", True)

    #: What it is called in errors.
    _kind = "a symbolic tensor"

    @property
    def _is_known(self) -> bool:
        """Whether it has numbers now, which NumPy may compute with."""
        return False

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        unknown = next((one for one in inputs if isinstance(one, Arithmetic) and not one._is_known), None)
        if unknown is None:
            arrays = [np.asarray(one) if isinstance(one, Arithmetic) else one for one in inputs]
            return getattr(ufunc, method)(*arrays, **options)
        if method == "__call__" and not options and ufunc.__name__ in _OPERATORS:
            return FUNCTIONS[_OPERATORS[ufunc.__name__]](*inputs)
        # A ufunc does not say where it is from.
        module = "numpy" if getattr(np, ufunc.__name__, None) is ufunc else "scipy.special"
        raise refuse_function(ufunc.__name__, unknown._kind, module)


class Equality(Arithmetic):
    """With `==` and `!=`, which compare numbers where there are such on the other side; all else is another object."""

    def __eq__(self, other: object) -> Any:
        return FUNCTIONS["equal"](self, other) if _has_numbers(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return FUNCTIONS["not_equal"](self, other) if _has_numbers(other) else NotImplemented

    __hash__ = object.__hash__


def _has_numbers(value: object) -> bool:
    return isinstance(value, (Arithmetic, int, float, np.number, np.bool_, np.ndarray))
