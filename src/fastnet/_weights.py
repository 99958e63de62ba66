"""The numbers of a model: its weights, and the slab that they lie in."""

from __future__ import annotations

import contextlib
import copy
import gc
import math
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from . import _core
from ._step_context import STEP
from ._symbols import CURRENT_CALL, FUNCTIONS, ROWS, Arithmetic, no_attribute, refuses
from .initializers import Zeros, initialize

if TYPE_CHECKING:
    from .constraints import Constraint
    from .initializers import Initializer
    from .regularizers import Regularizer

__all__ = [
    "INITIALISES",
    "Owner",
    "Slab",
    "Weight",
    "WeightFormula",
    "WeightSpec",
    "aligned_zeros",
    "assign_all",
    "between_steps",
]


class Owner(Protocol):
    """What a weight knows of its layer."""

    @property
    def path(self) -> str: ...

    @property
    def trainable(self) -> bool: ...


def between_steps(gate: _core.Gate, function: Callable[[], Any]) -> Any:
    """What a function returns that is called while nobody changes the weights, if need be by the thread that does, after its step."""
    while True:
        with gate.reading(between=True) as free:
            if free:
                return function()
        done, results = threading.Event(), []

        def call(done: threading.Event = done, results: list[Any] = results) -> None:
            try:
                results.append(function())
            finally:
                done.set()

        if gate.ask(call):
            # Without memory `call` is not reached, and nobody sets `done`.
            while not done.wait(0.05) and gate.busy and gate.awaits(call):
                pass
            if results:
                return results[0]


def aligned_zeros(n: int, dtype: str | np.dtype) -> np.ndarray:
    """A one-dimensional array of zeros that begins where the engine wants its slabs to begin."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros(max(n, 1) * item + _core.ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _core.ALIGNMENT
    return memory[start : start + max(n, 1) * item].view(dtype)


class WeightSpec(NamedTuple):
    """What a layer says of one of its weights; the shape is for the engine to say.

    A layer may have the same numbers under another `shape`, as a matrix whose columns belong to several heads.
    """

    initializer: Initializer
    regularizer: Regularizer | None = None
    trainable: bool = True
    constraint: Constraint | None = None
    shape: tuple[int, ...] | None = None


class Values(np.ndarray):
    """The numbers of a weight, an array that is a view of them, with the methods of Keras's variables; what is computed is a plain array."""

    _weight: Any = None

    def __array_wrap__(self, array: np.ndarray, *more: Any) -> Any:
        return np.ndarray.__array_wrap__(np.asarray(self), array.view(np.ndarray), *more)

    @property
    def name(self) -> str:
        """That of the weight."""
        return "" if self._weight is None else self._weight.name

    @property
    def path(self) -> str:
        """That of the weight."""
        return "" if self._weight is None else self._weight.path

    def numpy(self) -> np.ndarray:
        """A copy of the numbers."""
        return np.array(self)

    def assign(self, value: Any) -> None:
        """Sets the numbers; ValueError where the shape differs."""
        if self._weight is None or self.shape != self._weight.shape:
            raise ValueError(f"this is a part of a weight, or made of one: write part[...] = value, got {np.shape(value)}")
        self._weight.assign(value)

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()

    def __deepcopy__(self, memo: Any) -> np.ndarray:
        return np.array(self)


class Weight(Arithmetic):
    """One array of parameters of a layer.

    Attributes
    ----------
    layer : Layer
    name : str
        Within the layer: "kernel", "bias".
    shape : tuple of int
    engine_shape : tuple of int
        That of the operation's parameter: the same numbers in the same order.
    trainable : bool
        Whether it is a parameter at all, and not a statistic; the layer may still be frozen.
    slab : Slab or None
        Where its numbers are, once a model has been made.
    changes : int
        How often it has been set to something else than training made of it.
    """

    def __init__(self, layer: Owner, name: str, shape: tuple[int, ...], spec: WeightSpec) -> None:
        self.layer = layer
        self.name = name
        self.engine_shape = shape
        self.spec = spec
        self.initializer, self.regularizer, self.trainable, self.constraint, own_shape = spec
        self.shape = shape if own_shape is None else own_shape
        self.slab: Slab | None = None
        self.functions: dict[Any, Any] = {}  # its regularizer and constraint as plans, where they are functions
        self.tensor: Any = None  # that stands for it in formulas of weights alone
        self.offset = 0
        self.changes = 0
        if self.constraint is not None:
            self.constraint.values(self.shape)  # raises where it has no such axes

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def path(self) -> str:
        """Names of the layer, of the layers that it is a part of, and of the weight: "block/dense/kernel"."""
        return f"{self.layer.path}/{self.name}"

    @property
    def penalized(self) -> bool:
        """Whether a function of its numbers, as L1, is a part of the loss; an orthogonal penalty is an operation of its layer."""
        return self.regularizer is not None and bool(self.regularizer.l1 or self.regularizer.l2 or self.regularizer.own)

    def view_of(self, array: np.ndarray) -> np.ndarray:
        """The part of an array as large as the slab that belongs to this weight."""
        return array[self.offset : self.offset + self.size].reshape(self.shape)

    @property
    def array(self) -> np.ndarray:
        """As `value`, for readers, and for those who say themselves what they have written, by `note_change`."""
        if self.slab is None:
            raise RuntimeError(f"weight {self.path!r} has no values yet: make a model of its layer first")
        return self.view_of(self.slab.values)

    @property
    def value(self) -> Any:
        """The numbers: a view, so that writing to it changes the model; in formulas, while the graph is made, the weight itself.

        An average that the optimizer keeps of the weight begins anew with what was written, as it does after `assign`.
        """
        trace = STEP.get()
        if trace is not None:
            return trace.value_of(self)
        if not self._is_known:  # what a graph computes of it follows its numbers
            return self
        array = self.array
        found = (self.slab.hand_out(self, array) if self.trainable else array).view(Values)
        found._weight = self
        return found

    @property
    def gradient(self) -> np.ndarray:
        """The gradient that the last backward pass left: a view."""
        if self.slab is None:
            raise RuntimeError(f"weight {self.path!r} has no gradient yet: make a model of its layer first")
        return self.view_of(self.slab.gradients)

    def assign(self, value: Any) -> None:
        """Sets the numbers; ValueError where the shape differs."""
        value = np.asarray(value)
        if value.shape != self.shape:
            raise ValueError(f"weight {self.path!r} has shape {self.shape}, got {value.shape}")
        array = self.array
        with self.slab.gate.writing(wait=True):
            array[...] = value
            self.note_change()

    def note_change(self) -> None:
        """Says that its numbers have been set: averages of what it was before are at an end."""
        self.changes += 1
        _core.note_change()

    def __getstate__(self) -> dict[str, Any]:
        """For copies: with the numbers, as they are after a step, in place of the slab, which is that of a model."""
        values = None
        if self.slab is not None:
            values = self.slab.dtype, between_steps(self.slab.gate, lambda: self.array.copy())
        return {**vars(self), "slab": values, "tensor": None, "functions": {}, "offset": 0, "changes": 0}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        if self.slab is not None:
            dtype, array = state["slab"]
            self.slab = Slab([self], dtype)  # of its own, until a model is made of its layer
            self.array[...] = array

    def __copy__(self) -> Weight:
        return copy.deepcopy(self)

    _kind = "a weight"

    def __getitem__(self, key: Any) -> Any:
        """A part of it: of the numbers, or in a formula of what they will be."""
        return (
            self.array[key].copy() if self._is_known else FUNCTIONS["get_item"](self, key if isinstance(key, tuple) else (key,))
        )

    def __getattr__(self, name: str) -> Any:
        """Asked for what there is not: methods of NumPy's arrays are told by what to write instead."""
        if name in ("sample_shape", "operation", "holds_strings"):
            raise TypeError(
                f"{self._kind} of shape {vars(self).get('shape')} has no batch, and what it is computed with has: "
                "fn.ops.broadcast_to(w, (fn.ops.shape(x)[0], *w.shape)) has it in each row"
            )
        raise no_attribute(name, self._kind)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self.shape[0])) if self.shape else iter(())

    @property
    def _is_known(self) -> bool:
        return CURRENT_CALL.get() is None and ROWS.get() is None

    def __float__(self) -> float:
        return float(self.__array__())

    def numpy(self) -> np.ndarray:
        """A copy of the numbers; TypeError while the graph is made."""
        return self.__array__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """A copy of the numbers; while the graph is made TypeError, as they are to be those of each step."""
        if not self._is_known:
            raise TypeError(
                f"an array of weight {self.name!r}, whose numbers vary from step to step: use the functions of fn.ops in place of NumPy's"
            )
        return np.array(self.array, dtype)

    def __repr__(self) -> str:
        return f"<Weight {self.path} {self.shape}>"


class WeightFormula(Weight):
    """What is computed of weights alone, which formulas take where they take a weight.

    Attributes
    ----------
    tensor : SymbolicTensor
        Without a batch.
    """

    def __init__(self, tensor: Any) -> None:
        super().__init__(tensor.operation.layer, "formula", tensor.sample_shape, WeightSpec(Zeros(), trainable=False))
        self.tensor = tensor

    _kind = "a formula of weights"
    _is_known = False

    __bool__ = refuses("the truth", "use fn.ops.where(condition, a, b) in place of if")
    __float__ = __int__ = refuses("a number", "compute with it, by fn.ops")

    @property
    def array(self) -> np.ndarray:
        raise TypeError("a formula of weights has numbers in each step only; compute with it by fn.ops")

    def __repr__(self) -> str:
        return f"<formula of weights {self.shape}>"


class _View:
    """A part of a slab that somebody outside can write to: the base of all arrays that are made of it, alive as long as one is."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.__array_interface__ = array.__array_interface__


class Slab:
    """The weights of a model in one array, each aligned, in the order of the layers.

    Models that share a layer share the slab; see `join`.

    Attributes
    ----------
    gate : Gate
        Who reads and who writes the weights, and what optimizers keep of them.
    averaged : bool
        Whether an optimizer keeps averages of the weights. Only then is it looked for what was written to them by way of views:
        weights for which there are any are compared with copies, before each step and prediction.
    """

    def __init__(self, weights: Sequence[Weight], dtype: str) -> None:
        self.dtype = dtype
        self.weights = list(weights)
        quantum = _core.ALIGNMENT // np.dtype(dtype).itemsize
        self.offsets: dict[Weight, int] = {}
        self.size = 0
        for weight in self.weights:
            self.offsets[weight] = self.size
            self.size += -(-weight.size // quantum) * quantum
        self.values = aligned_zeros(self.size, dtype)
        self._gradients: np.ndarray | None = None
        self.gate = _core.Gate()
        self.averaged = False
        #: The arrays of those updates of steps whose optimizers average weights.
        self.of_steps: dict[Any, None] = {}
        #: Those whose weights lie here, and perhaps some that have moved.
        self.models: weakref.WeakSet[Any] = weakref.WeakSet()
        self._views: dict[Weight, weakref.ref[_View]] = {}  # that may be alive
        self._copies: dict[Weight, np.ndarray] = {}  # of what may have been written to since

    def hand_out(self, weight: Weight, array: np.ndarray) -> np.ndarray:
        """A view of a weight for somebody who may write to it."""
        known = self._views.get(weight)
        view = known() if known is not None else None
        if view is None:
            view = _View(array)
            self._views[weight] = weakref.ref(view)
        if self.averaged and weight not in self._copies:
            self._copies[weight] = array.copy()
            _core.note_change()  # predictions have to look at it
        return np.asarray(view)

    @property
    def watched(self) -> list[tuple[Any, np.ndarray, np.ndarray]]:
        """What may be written to before the next prediction: a reference to the view, the numbers, and a copy."""
        return [(self._views[weight], weight.view_of(self.values), seen) for weight, seen in self._copies.items()]

    def note_writes(self) -> None:
        """Notes for the weights that were written to by way of views that they have changed."""
        for weight, seen in list(self._copies.items()):
            array = weight.view_of(self.values)
            if not _core.same_bytes(array, seen):
                weight.note_change()
                seen[...] = array
            view = self._views.get(weight)
            if view is None or view() is None:
                self._copies.pop(weight, None)

    def stop_watching(self) -> None:
        """Before a step, which writes to the weights."""
        self._copies.clear()

    def watch(self) -> None:
        """After a step: looks at what becomes of the views there are."""
        if self.averaged and self._views:
            self._views = {weight: view for weight, view in self._views.items() if view() is not None}
            self._copies = {weight: weight.view_of(self.values).copy() for weight in self._views}

    @property
    def gradients(self) -> np.ndarray:
        """An array like `values`, made when first asked for."""
        if self._gradients is None:
            self._gradients = aligned_zeros(self.size, self.dtype)
        return self._gradients

    @staticmethod
    def join(weights: Sequence[Weight], dtype: str, seed: int, model: Any) -> Slab:
        """The slab that holds all weights of a model, initialised where they had no values.

        If they lie in one slab already, and are most of it, it is that. Otherwise a new one is made of them and of those of the
        models that share some, which keep their values. What no model uses any more stays behind, in the memory that views of it
        are of, and goes with them.
        """
        slabs = [slab for slab in dict.fromkeys(weight.slab for weight in weights) if slab is not None]
        for slab in slabs:
            if slab.dtype != dtype:
                raise ValueError(f"a layer has weights of {slab.dtype}, the model is to be {dtype}")
        kept, models = _weights_with(weights, slabs, model)
        if len(slabs) == 1 and all(weight.slab is slabs[0] for weight in weights):
            if slabs[0].size <= 2 * _padded_size(kept, dtype):
                slabs[0].models.add(model)
                return slabs[0]
        if _padded_size(kept, dtype) > 2 * _padded_size(weights, dtype):  # models that nobody has any more may be among them
            del kept, models
            gc.collect()
            kept, models = _weights_with(weights, slabs, model)
        joined = Slab(list(kept), dtype)
        joined.models.update([*models, model])
        numbers = {weight: number for number, weight in enumerate(weights)}
        with contextlib.ExitStack() as stack:
            for slab in slabs:
                stack.enter_context(slab.gate.writing(wait=True))
                slab.note_writes()
                joined.averaged = joined.averaged or slab.averaged
                joined.of_steps.update(slab.of_steps)
            joined._fill(seed, numbers)
            for weight in joined.weights:
                weight.slab, weight.offset = joined, joined.offsets[weight]
        _core.note_change()
        return joined

    def _fill(self, seed: int, numbers: Mapping[Weight, int]) -> None:
        """Takes over the numbers of the weights that have any, and initialises the others, which are numbered for that."""
        for weight in self.weights:
            offset = self.offsets[weight]
            values = self.values[offset : offset + weight.size].reshape(weight.shape)
            if weight.slab is not None:
                values[...] = weight.array
            elif INITIALISES.get():
                rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, numbers[weight]])))
                try:
                    values[...] = initialize(weight.initializer, weight.shape, self.dtype, rng)
                except ValueError as error:
                    raise ValueError(f"weight {weight.path!r}: {error}") from None


#: Whether weights get the numbers of their initializers; not where those of a file are about to take their place.
INITIALISES: ContextVar[bool] = ContextVar("INITIALISES", default=True)


def _padded_size(weights: Iterable[Weight], dtype: str) -> int:
    """Elements of a slab of these weights."""
    quantum = _core.ALIGNMENT // np.dtype(dtype).itemsize
    return sum(-(-weight.size // quantum) * quantum for weight in weights)


def _weights_with(weights: Sequence[Weight], slabs: Sequence[Slab], model: Any) -> tuple[dict[Weight, None], list[Any]]:
    """The weights and those that must lie in one slab with them, in the order in which they lie; and the other models of these."""
    kept = dict.fromkeys(weights)
    left = [other for slab in slabs for other in list(slab.models) if other is not model]
    models: list[Any] = []
    found = True
    while found:
        found = False
        for other in list(left):
            of_other = other.weights
            if any(weight in kept for weight in of_other):
                kept.update(dict.fromkeys(of_other))
                models.append(other)
                left.remove(other)
                found = True
    order = [weight for slab in slabs for weight in slab.weights if weight in kept and weight.slab is slab]
    return dict.fromkeys([*order, *kept]), models


def assign_all(weights: Sequence[Weight], values: Sequence[Any], owner: str) -> None:
    """Sets weights to values; checks all of them before it changes any."""
    values = list(values)
    if len(values) != len(weights):
        raise ValueError(f"{owner} has {len(weights)} weights, got {len(values)}")
    arrays = []
    for weight, value in zip(weights, values):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{owner}: weight {weight.path!r}: {error}") from None
        arrays.append(array)
        if array.shape != weight.shape:
            raise ValueError(f"{owner}: weight {weight.path!r} has shape {weight.shape}, got {array.shape}")
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{owner}: weight {weight.path!r} must be numbers, got {array.dtype}")
    if arrays:
        _ = weights[0].array  # raises where there is none yet
        with weights[0].slab.gate.writing(wait=True):
            for weight, array in zip(weights, arrays):
                weight.assign(array)
