"""The description of a model: symbolic tensors, the operations between them, and the uses of layers that these are in."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import _core
from ._labels import Labels, find_labels
from ._order import PENALTIES, sort_operations, without_training
from ._step_context import MOMENTS, STEP
from ._symbols import CURRENT_CALL, FUNCTIONS, ROWS
from ._tensors import SymbolicTensor, as_tensors, replace_tensors, shape_attributes, symbols_in, tensor_of
from ._weights import Owner

if TYPE_CHECKING:
    from ._weights import Weight

__all__ = [
    "CURRENT_CALL", "FUNCTIONS", "OVER_ROWS", "ROWS", "Graph", "HostOperation", "LayerCall", "LayerLike", "Operation", "SymbolicTensor", "as_tensors",
    "batch_size_of", "outside_calls", "replace_tensors", "shape_attributes", "symbols_in", "tensor_of", "with_masks",
]  # fmt: skip


class LayerLike(Owner, Protocol):
    """What a graph knows of layers; `Layer` has all of it."""

    name: str | None
    sublayers: Callable[[], Sequence[Any]]
    _weights: dict[str, Weight]
    _repeats_calls: bool
    _make_call: Callable[..., LayerCall]

    @property
    def _label(self) -> str: ...


class LayerCall:
    """One use of a layer: what it was called on and what it returned.

    Attributes
    ----------
    inputs : list of SymbolicTensor
        The first arguments of `call`.
    options : dict
        Its other arguments, by name; they may be tensors or hold some.
    outputs : list of SymbolicTensor
    parent : LayerCall or None
        The use of the layer that made this call within its own: of a layer that is put together from others, or of a
        model in the place of a layer.
    repeats : bool
        Whether it repeats a call that is a part of the graph of a model that is called.
    steps : list of Operation and LayerCall
        What it has done, in order: the operations that it has appended and the calls of other layers within it.
    mode : bool or None
        The value of `training` with which was traced what called the layer; None: nobody had asked for it.
    own_mode : tuple of bool or None
        That with which the call itself is traced, and what it or one around it was told that is not that.
    """

    mode: bool | None = None
    own_mode: tuple[bool | str | None, bool | str | None] = (None, None)

    def __init__(
        self,
        layer: LayerLike,
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
        self.steps: list[Operation | LayerCall] = []
        self.penalties: list[Operation] = []  # that add to the loss, at any depth
        self.constants = 0  # arrays that it has made weights of
        self.differentiates = False  # appends a derivative: reads what is inside other calls, which it finds by the way back
        self.repeats = parent is not None and (parent.repeats or parent.layer._repeats_calls)
        self.moment = next(MOMENTS)  # when it was made, of all calls
        if parent is not None:
            parent.steps.append(self)

    @property
    def children(self) -> list[LayerCall]:
        """The calls of other layers within it."""
        return [step for step in self.steps if isinstance(step, LayerCall)]

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


#: While a metric is traced: takes calls of functions, (name, args, options), or returns NotImplemented.
OVER_ROWS: ContextVar[Callable[..., Any] | None] = ContextVar("OVER_ROWS", default=None)


@contextlib.contextmanager
def outside_calls(rows: SymbolicTensor | None = None) -> Iterator[None]:
    """Within it, calls of layers are no parts of the call in progress: a model makes its own graph. rows: see `ROWS`."""
    tokens = CURRENT_CALL.set(None), ROWS.set(rows), STEP.set(None)
    try:
        yield
    finally:
        for variable, token in zip((CURRENT_CALL, ROWS, STEP), tokens):
            variable.reset(token)


class Operation:
    """One operation of the engine: its name, attributes, inputs, weights and outputs.

    Attributes
    ----------
    call : LayerCall
        The use of the layer that it is a part of.
    inputs : list of SymbolicTensor
        What it reads; behind the first `n_inputs` tensors without a batch that stand for parameters.
    parameters : list of Weight and SymbolicTensor
        Those of the engine's operation, in its order.
    like : Operation or None
        Another one, whose random numbers it has.
    frozen_with : Operation or None
        A batch normalisation whose derivative it is while that takes its statistics from no batch.
    """

    like: Operation | None = None
    frozen_with: Operation | None = None

    def __init__(
        self,
        layer: LayerLike,
        op: str,
        attributes: Mapping[str, float],
        inputs: Sequence[SymbolicTensor],
        parameters: Sequence[Weight | SymbolicTensor],
        output_shapes: Iterable[tuple[int, ...]],
        call: LayerCall,
    ) -> None:
        self.layer = layer
        self.op = op
        self.attributes = dict(attributes)
        self.parameters = list(parameters)
        self.n_inputs = len(inputs)
        self.inputs = [*inputs, *(one for one in parameters if isinstance(one, SymbolicTensor))]
        self.outputs = [SymbolicTensor(shape, self) for shape in output_shapes]
        if inputs and not any(tensor.has_batch for tensor in inputs):
            for tensor in self.outputs:
                tensor.has_batch = False
        self.call = call
        call.steps.append(self)
        if op in PENALTIES:
            for one in call.chain:
                one.penalties.append(self)

    #: What is done in NumPy before the plan; None: it is an operation of the engine.
    function: Callable[..., np.ndarray] | None = None

    @property
    def weights(self) -> list[Weight]:
        """The weights that it computes with."""
        read = [tensor.weight for tensor in self.inputs if tensor.weight is not None]
        return [*(one for one in self.parameters if not isinstance(one, SymbolicTensor)), *read]

    @property
    def keeps_numbers(self) -> bool:
        """Whether each number of the outputs is one of the inputs, or 0."""
        shapes = [tensor.sample_shape for tensor in self.inputs[: self.n_inputs]]
        return _core.keeps_numbers(self.op, shapes, self.attributes)


#: Counts them, so that their order is known.
_HOST_OPERATIONS = itertools.count()


class HostOperation(Operation):
    """What a layer does in NumPy before the plan: a function of the arrays of all rows. Its output is an input of the plan."""

    def __init__(
        self,
        layer: LayerLike,
        function: Callable[..., np.ndarray],
        inputs: Sequence[SymbolicTensor],
        shape: tuple[int, ...],
        call: LayerCall,
    ) -> None:
        super().__init__(layer, "host", {}, inputs, [], [shape], call)
        self.function = function
        self.number = next(_HOST_OPERATIONS)


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
    host : list of HostOperation
        What is done in NumPy before the plan, each after those it depends on. It is none of the operations above, nor is what it alone
        reads.
    feeds : list of SymbolicTensor
        The inputs of the plan: those of the model, or where there is such a stage those of them that the operations read, and what
        comes out of it.
    staged : bool
        Whether there is such a stage.
    """

    def __init__(
        self,
        inputs: Sequence[SymbolicTensor] = (),
        outputs: Sequence[SymbolicTensor] = (),
        calls: Sequence[LayerCall] | None = None,
        added: Sequence[SymbolicTensor] = (),
    ) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.leading = self.operations = self._all = sort_operations(inputs, with_masks(outputs))
        ends = [*(tensor for operation in self._unused_penalties() for tensor in operation.outputs), *added]
        if ends:
            self.operations = self._all = sort_operations(inputs, [*with_masks(outputs), *ends])
        self.host = [operation for operation in self._all if operation.function is not None]
        self.feeds = list(inputs)
        self.staged = bool(self.host) or any(tensor.holds_strings for tensor in inputs)
        if self.staged:
            self._set_apart(ends)
        self.leaves = list(dict.fromkeys(operation.layer for operation in self.operations))
        self.partial_call: LayerCall | None = None
        self.models: dict[int, Any] = {}  # of values within it that have been asked for, by their id
        if calls is not None:
            self.calls = self.naming_order = list(calls)
        else:
            operations = self._find_calls()
            self.naming_order, self.calls = list(operations), self._sort_calls(operations)

    @cached_property
    def labels(self) -> dict[int, list[Labels]]:
        """Of the inputs that are read as labels or indices, by their id."""
        return find_labels(self.operations)

    @cached_property
    def draws(self) -> bool:
        """Whether random numbers are drawn outside of training, too."""
        return any(one.op == "random" for one in without_training(self.operations, with_masks(self.outputs)))

    @cached_property
    def penalized(self) -> bool:
        """Whether layers add to the loss."""
        return any(operation.op in PENALTIES for operation in self.operations)

    @cached_property
    def batch_size(self) -> int | None:
        """The number of rows of a batch whose states the layers keep; None: they keep none."""
        sizes = [operation.attributes.get("stateful") for operation in self.operations]
        return next((int(size) for size in sizes if size), None)

    def _set_apart(self, ends: Sequence[SymbolicTensor]) -> None:
        """Divides what is computed into the stage in NumPy and the plan."""
        known = [*self.inputs, *(operation.outputs[0] for operation in self.host)]
        self.leading = sort_operations(known, with_masks(self.outputs))
        self.operations = sort_operations(known, [*with_masks(self.outputs), *ends])
        read = {id(tensor) for operation in self.operations for tensor in operation.inputs} | set(
            map(id, with_masks(self.outputs))
        )
        self.feeds = [tensor for tensor in known if id(tensor) in read]
        text = next((tensor for tensor in self.feeds if tensor.holds_strings), None)
        if text is not None:
            what = "an input" if text.operation is None else f"the result of layer {text.operation.layer._label!r}"
            raise ValueError(
                f"{what} holds text, which is no output of a model: look it up, by fn.layers.StringLookup or the like"
            )
        if not self.feeds:
            raise ValueError("the model computes nothing of what its inputs hold")

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
        for operation in self._all:
            within = set(operation.call.chain)
            producers.update((id(tensor), within) for tensor in operation.outputs)
            if not any(call.differentiates for call in within):
                readers.append((within, [tensor for tensor in operation.inputs if tensor.weight is None]))
        inputs = {call: set(map(id, with_masks(call.sources))) for within in producers.values() for call in within}
        results = {call: set(map(id, with_masks(call.outputs))) for call in inputs}
        partial: set[LayerCall] = set()
        for within, tensor in ((within, tensor) for within, tensors in readers for tensor in tensors):
            made_in = producers.get(id(tensor), set())
            ends = ((call, results if call in made_in else inputs) for call in made_in ^ within)
            partial.update(call for call, known in ends if id(tensor) not in known[call])
        return partial

    def _find_calls(self) -> dict[LayerCall, list[Operation]]:
        """The calls with their operations, in the order of the first ones."""
        partial = self._partial_calls()
        operations: dict[LayerCall, list[Operation]] = {}
        for operation in self._all:
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
    def producers(self) -> dict[int, LayerLike]:
        """By the id of a tensor: the layer whose call returned it."""
        found: dict[int, LayerLike] = {}
        for call in self.calls:
            for tensor in call.outputs:
                found.setdefault(id(tensor), call.layer)
        return found

    def weights(self) -> list[Weight]:
        """The weights that the plan computes with."""
        return list(dict.fromkeys(weight for operation in self.operations for weight in operation.weights))

    def paths(self) -> dict[Weight, str]:
        """The names by which files and optimizers know the weights: "dense/kernel", "inner/dense/kernel"."""
        paths: dict[Weight, str] = {}
        taken: set[str] = set()

        def walk(layer: LayerLike, path: str) -> None:
            for weight in layer._weights.values():
                if weight not in paths:
                    name, number = f"{path}/{weight.name}", 1
                    while name in taken:
                        name, number = f"{path}/{weight.name}_{number}", number + 1
                    paths[weight] = name
                    taken.add(name)
            graph = getattr(layer, "_graph", None)  # of a model: in the order of its calls, as one made again has them
            for part in layer.sublayers() if graph is None else dict.fromkeys(call.layer for call in graph.calls):
                walk(part, f"{path}/{part.name}")

        for call in self.calls:
            walk(call.layer, call.path)
        return paths
