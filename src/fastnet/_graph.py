"""The description of a model: weights, operations and the symbolic tensors between them."""

from __future__ import annotations

import contextlib
import gc
import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _core

if TYPE_CHECKING:
    from .constraints import Constraint
    from .initializers import Initializer
    from .layers.base import Layer
    from .regularizers import Regularizer

__all__ = [
    "CURRENT_CALL", "INITIALISES", "Graph", "LayerCall", "Operation", "Slab", "SymbolicTensor", "Weight", "WeightSpec",
    "aligned_zeros", "batch_size_of", "label_sources", "replace_tensors", "with_masks",
]  # fmt: skip


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


class Weight:
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

    def __init__(self, layer: Layer, name: str, shape: tuple[int, ...], spec: WeightSpec) -> None:
        self.layer = layer
        self.name = name
        self.engine_shape = shape
        self.spec = spec
        self.initializer, self.regularizer, self.trainable, self.constraint, own_shape = spec
        self.shape = shape if own_shape is None else own_shape
        self.slab: Slab | None = None
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
        """Whether L1 or L2 of its numbers is a part of the loss; an orthogonal penalty is an operation of its layer."""
        return self.regularizer is not None and bool(self.regularizer.l1 or self.regularizer.l2)

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
    def value(self) -> np.ndarray:
        """The numbers: a view, so that writing to it changes the model.

        An average that the optimizer keeps of the weight begins anew with what was written, as it does after `assign`.
        """
        array = self.array
        return self.slab.hand_out(self, array) if self.trainable else array

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

    def __repr__(self) -> str:
        return f"<Weight {self.path} {self.shape}>"


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
    def watched(self) -> bool:
        """Whether it is to be looked, before the next prediction, for what may have been written."""
        return bool(self._copies)

    def note_writes(self) -> None:
        """Notes for the weights that were written to by way of views that they have changed."""
        for weight, copy in list(self._copies.items()):
            array = weight.view_of(self.values)
            if array.tobytes() != copy.tobytes():
                weight.note_change()
                copy[...] = array
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
                    values[...] = weight.initializer(weight.shape, self.dtype, rng=rng)
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


class SymbolicTensor:
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
    """

    def __init__(self, sample_shape: tuple[int, ...], operation: Operation | None, name: str | None = None) -> None:
        self.sample_shape = sample_shape
        self.operation = operation
        self.name = name
        self.mask: SymbolicTensor | None = None
        self.batch_size: int | None = None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """With the batch axis, whose size is None."""
        return (None, *self.sample_shape)

    def __repr__(self) -> str:
        source = self.operation.layer._label if self.operation else "input"
        return f"<SymbolicTensor {source} shape={self.shape}>"


def replace_tensors(value: Any, replace: Callable[[SymbolicTensor], Any]) -> Any:
    """A value with something else in place of each tensor in it, at any depth of lists and dictionaries."""
    if isinstance(value, SymbolicTensor):
        return replace(value)
    if isinstance(value, (list, tuple)):
        return [replace_tensors(item, replace) for item in value]
    if isinstance(value, Mapping):
        return {key: replace_tensors(item, replace) for key, item in value.items()}
    return value


class LayerCall:
    """One use of a layer: what it was called on and what it returned.

    Attributes
    ----------
    inputs : list of SymbolicTensor
        The first arguments of the layer's `call`.
    options : dict
        Its other arguments, by name; they may be tensors or hold some.
    outputs : list of SymbolicTensor
    parent : LayerCall or None
        The use of the layer that made this call within its own: of a layer that is put together from others, or of a
        model in the place of a layer.
    repeats : bool
        Whether it repeats a call that is a part of the graph of a model that is called.
    """

    def __init__(
        self,
        layer: Layer,
        inputs: Sequence[SymbolicTensor],
        options: Mapping[str, Any] | None = None,
        parent: LayerCall | None = None,
    ) -> None:
        self.layer = layer
        self.inputs = list(inputs)
        self.options = dict(options or {})
        self.outputs: list[SymbolicTensor] = []
        self.returns_list = False
        self.parent = parent
        self.children: list[LayerCall] = []
        self.penalties: list[Operation] = []  # that add to the loss, at any depth
        self.repeats = parent is not None and (parent.repeats or parent.layer._repeats_calls)
        if parent is not None:
            parent.children.append(self)

    @property
    def chain(self) -> Iterator[LayerCall]:
        """Itself, the call that it is a part of, and so on."""
        call: LayerCall | None = self
        while call is not None:
            yield call
            call = call.parent

    @property
    def path(self) -> str:
        """The name of its layer, after those of the layers within whose calls it is."""
        return "/".join(reversed([str(call.layer.name) for call in self.chain]))

    @property
    def sources(self) -> list[SymbolicTensor]:
        """All tensors that the layer was called on, each once."""
        found = {id(tensor): tensor for tensor in self.inputs}
        replace_tensors(self.options, lambda tensor: found.setdefault(id(tensor), tensor))
        return list(found.values())

    def repeat(self, replace: Callable[[SymbolicTensor], SymbolicTensor]) -> list[SymbolicTensor]:
        """The outputs of the same use of the layer, on other tensors."""
        options = replace_tensors(self.options, replace)
        return self.layer._make_call([replace(tensor) for tensor in self.inputs], **options).outputs


#: The call in progress, whose layer is appending operations.
CURRENT_CALL: ContextVar[LayerCall | None] = ContextVar("CURRENT_CALL", default=None)


class Operation:
    """One operation of the engine: its name, attributes, inputs, weights and outputs.

    Attributes
    ----------
    call : LayerCall
        The use of the layer that it is a part of.
    """

    def __init__(
        self,
        layer: Layer,
        op: str,
        attributes: Mapping[str, float],
        inputs: Sequence[SymbolicTensor],
        weights: Sequence[Weight],
        output_shapes: Iterable[tuple[int, ...]],
        call: LayerCall,
    ) -> None:
        self.layer = layer
        self.op = op
        self.attributes = dict(attributes)
        self.inputs = list(inputs)
        self.weights = list(weights)
        self.outputs = [SymbolicTensor(shape, self) for shape in output_shapes]
        self.call = call
        if op in PENALTIES:
            for one in call.chain:
                one.penalties.append(self)


def with_masks(tensors: Iterable[SymbolicTensor]) -> list[SymbolicTensor]:
    """Tensors, and the masks that go with them unsaid."""
    tensors = list(tensors)
    return tensors + [tensor.mask for tensor in tensors if tensor.mask is not None]


def batch_size_of(tensor: SymbolicTensor) -> int | None:
    """The fixed number of rows of one of the inputs that a tensor depends on; None: there is none."""
    left, seen = [tensor], set()
    while left:
        tensor = left.pop()
        if tensor.batch_size is not None:
            return tensor.batch_size
        if tensor.operation is not None and tensor.operation not in seen:
            seen.add(tensor.operation)
            left.extend(tensor.operation.inputs)
    return None


#: Operations that add to the loss.
PENALTIES = frozenset({"activity_regularization", "orthogonal_regularization"})

#: Operations that change no numbers, only where they are.
MOVES = frozenset({"concatenate", "reshape"})


def label_sources(tensor: SymbolicTensor, reader: str) -> list[SymbolicTensor]:
    """The inputs of the model whose numbers a layer reads as labels.

    Raises
    ------
    ValueError
        If an operation lies between that computes with the numbers.
    """
    found: dict[int, SymbolicTensor] = {}
    left = [tensor]
    while left:
        tensor = left.pop()
        if tensor.operation is None:
            found[id(tensor)] = tensor
        elif tensor.operation.op in MOVES:
            left.extend(tensor.operation.inputs)
        else:
            raise ValueError(
                f"layer {reader!r} takes whole numbers as they are given to the model, got what layer "
                f"{tensor.operation.layer._label!r} computes"
            )
    return list(found.values())


def find_labels(operations: Iterable[Operation]) -> dict[int, tuple[str, int]]:
    """For the inputs that are read as labels, by their id: the layer that allows the fewest classes, and how many."""
    found: dict[int, tuple[str, int]] = {}
    for operation in operations:
        count = operation.layer.label_count(operation)
        if count is None:
            continue
        for tensor in label_sources(operation.inputs[0], operation.layer._label):
            if id(tensor) not in found or count < found[id(tensor)][1]:
                found[id(tensor)] = (operation.layer.name, count)
    return found


def sort_operations(inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> list[Operation]:
    """The operations that lead from the inputs to the outputs, each after those it depends on.

    Raises
    ------
    ValueError
        If an output depends on an input that is not among the given ones.
    """
    known = set(map(id, inputs))
    order: dict[Operation, None] = {}
    # Depth first, without recursion: networks may be deeper than Python's stack.
    stack: list[tuple[SymbolicTensor, bool]] = [(tensor, False) for tensor in reversed(outputs)]
    while stack:
        tensor, expanded = stack.pop()
        operation = tensor.operation
        if id(tensor) in known or operation in order:
            continue
        if operation is None:
            raise ValueError(f"the outputs depend on an input of shape {tensor.shape} that is not among the inputs of the model")
        if expanded:
            order[operation] = None
        else:
            stack.append((tensor, True))
            stack.extend((source, False) for source in reversed(operation.inputs))
    return list(order)


class Graph:
    """What a model computes: operations in order, and the uses of layers that they are in.

    Attributes
    ----------
    inputs, outputs : list of SymbolicTensor
    leading : list of Operation
        Those that lead from the inputs to the outputs, each after those it depends on.
    operations : list of Operation
        These, and those that add to the loss in the calls that they are parts of, with what leads to them: as in Keras, a layer
        between the inputs and the outputs is a part of the model as a whole, whatever of its results is used.
    calls : list of LayerCall
        The uses of layers, each as large as possible, and each after those whose results it reads. A call within another one (of a layer put together from others, of
        a model in the place of a layer) is within that, unless the model holds only a portion of it: where something
        outside, or an output of the model, reads a value that is not an output of the larger call, or where it reads one
        that is not among its inputs.
    naming_order : list of LayerCall
        The same in the order of their first operations, in which layers without a name get one: files of weights that
        were written before calls were sorted know them by these names.
    partial_call : LayerCall or None
        A call of which the graph holds a portion only, and that has operations of its own there.
    leaves : list of Layer
        The layers that have operations of their own, at any depth.
    """

    def __init__(
        self,
        inputs: Sequence[SymbolicTensor] = (),
        outputs: Sequence[SymbolicTensor] = (),
        calls: Sequence[LayerCall] | None = None,
    ) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.leading = self.operations = sort_operations(inputs, with_masks(outputs))
        penalties = self._unused_penalties()
        if penalties:
            ends = [tensor for operation in penalties for tensor in operation.outputs]
            self.operations = sort_operations(inputs, [*with_masks(outputs), *ends])
        self.leaves = list(dict.fromkeys(operation.layer for operation in self.operations))
        self.partial_call: LayerCall | None = None
        if calls is not None:
            self.calls = self.naming_order = list(calls)
        else:
            operations = self._find_calls()
            self.naming_order, self.calls = list(operations), self._sort_calls(operations)

    @cached_property
    def labels(self) -> dict[int, tuple[str, int]]:
        """For the inputs that are read as labels, by their id: the layer that allows the fewest classes, and how many."""
        return find_labels(self.operations)

    @cached_property
    def batch_size(self) -> int | None:
        """The number of rows of a batch whose states the layers keep; None: they keep none."""
        sizes = [operation.attributes.get("stateful") for operation in self.operations]
        return next((int(size) for size in sizes if size), None)

    def _unused_penalties(self) -> list[Operation]:
        """Operations that add to the loss but do not lead to the outputs."""
        known, leading = set(map(id, self.inputs)), set(self.leading)
        partial: set[LayerCall] | None = None
        found: dict[Operation, None] = {}
        seen: set[LayerCall] = set()
        left = list(reversed(self.leading))
        while left:
            call: LayerCall | None = left.pop().call
            if call.parent is not None:  # the largest of which there is more than a piece
                partial = self._partial_calls() if partial is None else partial
                call = next((one for one in reversed(list(call.chain)) if one not in partial), None)
            if call is None or call in seen:
                continue
            seen.add(call)
            found.update((one, None) for one in call.penalties if one not in leading)
            left += [tensor.operation for tensor in call.sources if tensor.operation is not None and id(tensor) not in known]
        return [one for one in found if self._is_given(one)]

    def _is_given(self, operation: Operation) -> bool:
        """Whether an operation depends on the inputs of the model alone."""
        try:
            sort_operations(self.inputs, operation.outputs)
        except ValueError:
            return False
        return True

    def _partial_calls(self) -> set[LayerCall]:
        """The calls of which the graph holds a portion only."""
        producers: dict[int, set[LayerCall]] = {}  # by tensor: the calls in which it is made
        readers: list[tuple[set[LayerCall], list[SymbolicTensor]]] = [(set(), self.outputs)]
        for operation in self.operations:
            within = set(operation.call.chain)
            producers.update((id(tensor), within) for tensor in operation.outputs)
            readers.append((within, operation.inputs))
        inputs = {call: set(map(id, with_masks(call.sources))) for within, _ in readers for call in within}
        results = {call: set(map(id, with_masks(call.outputs))) for call in inputs}
        partial: set[LayerCall] = set()
        for within, tensors in readers:
            for tensor in tensors:
                made_in = producers.get(id(tensor), set())
                partial.update(call for call in made_in - within if id(tensor) not in results[call])
                partial.update(call for call in within - made_in if id(tensor) not in inputs[call])
        return partial

    def _find_calls(self) -> dict[LayerCall, list[Operation]]:
        """The calls with their operations, in the order of the first ones."""
        partial = self._partial_calls()
        operations: dict[LayerCall, list[Operation]] = {}
        for operation in self.operations:
            whole = [call for call in operation.call.chain if call not in partial]
            operations.setdefault(whole[-1] if whole else operation.call, []).append(operation)
            self.partial_call = self.partial_call if whole else operation.call
        return operations

    @staticmethod
    def _sort_calls(operations: Mapping[LayerCall, Sequence[Operation]]) -> list[LayerCall]:
        """The calls, each after those whose results its operations read, and otherwise in the order given.

        A call has operations that come early and others that wait for another input, so that the order of the first
        ones alone would put a layer before what it is called on.
        """
        made_in = {id(tensor): call for call, made in operations.items() for one in made for tensor in one.outputs}
        order: dict[LayerCall, None] = {}
        begun: set[LayerCall] = set()  # of a partial call and what is within it, each may wait for the other
        stack = [(call, False) for call in reversed(operations)]
        while stack:
            call, expanded = stack.pop()
            if expanded:
                order[call] = None
            elif call not in begun:
                begun.add(call)
                stack.append((call, True))
                read = [made_in.get(id(tensor)) for one in operations[call] for tensor in one.inputs]
                stack.extend((source, False) for source in reversed(read) if source is not None)
        return list(order)

    @cached_property
    def producers(self) -> dict[int, Layer]:
        """By the id of a tensor: the layer whose call returned it."""
        found: dict[int, Layer] = {}
        for call in self.calls:
            for tensor in call.outputs:
                found.setdefault(id(tensor), call.layer)
        return found

    def weights(self) -> list[Weight]:
        """The weights that are computed with."""
        return list(dict.fromkeys(weight for operation in self.operations for weight in operation.weights))
