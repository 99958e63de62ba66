"""The updates that a `TrainStep` consists of: the plan, the optimizer and its arrays of each, and all of them as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core
from ._graph import Graph
from ._network import Network
from ._order import PENALTIES, sort_operations
from ._plan_cache import PlanCache
from ._slots import Slots
from .layers.base import Layer

if TYPE_CHECKING:
    from ._core import Plan
    from ._graph import Operation, SymbolicTensor
    from ._weights import Slab, Weight
    from .optimizers import Optimizer

__all__ = [
    "CompiledStep",
    "CompiledUpdate",
    "MeanLoss",
    "StepOptimizers",
    "StepPlans",
    "Update",
    "hyper_rows",
    "place_operations",
]


class MeanLoss(Layer):
    """Adds the mean of a tensor over the rows to the loss of a plan."""

    def call(self, loss: SymbolicTensor) -> SymbolicTensor:
        return self._emit_loss(loss)


class Update(Network):
    """One update of a step: as much of a model as plans and optimizers' arrays are made of.

    Parameters
    ----------
    step : Network
        Whose weights, data and seed it has.
    name : str
    ends : list of SymbolicTensor
        Of operations that add to the loss.
    trained : iterable of Weight
        What its optimizer changes, as far as it is trainable.
    penalized : bool
        Whether penalties of these, and what layers add to the loss, count.
    values : list of SymbolicTensor
        What else is computed, for who asks for it.

    Raises
    ------
    ValueError
        Where the loss depends on none of these.
    """

    def __init__(
        self,
        step: Network,
        name: str,
        ends: Sequence[SymbolicTensor],
        trained: Iterable[Weight],
        penalized: bool = True,
        values: Sequence[SymbolicTensor] = (),
    ) -> None:
        self.step, self.name = step, name
        self._trained, self._penalized = frozenset(trained), penalized
        self._compiled: CompiledUpdate | None = None
        #: It is made in each so many-th batch.
        self.every = 1
        #: Updates that follow each other and have the same number compute their gradients with the same weights.
        self.group: int | None = None
        own = {end.operation for end in ends}
        whole = Graph(step.inputs, list(ends))
        penalties = [operation for operation in whole.operations if operation.op in PENALTIES and operation not in own]
        counted = [operation for operation in penalties if penalized and self._depends(step, operation)]
        leading = sort_operations(step.inputs, ends)
        counted_ends = [tensor for operation in counted for tensor in operation.outputs]
        operations = sort_operations(step.inputs, [*ends, *counted_ends, *values])
        read = {id(tensor) for operation in operations for tensor in operation.inputs}
        #: Which of the inputs of the step it reads.
        self.reads = [i for i, tensor in enumerate(step.inputs) if id(tensor) in read]
        if not any(weight in self._trained for operation in leading for weight in operation.weights):
            raise ValueError(f"update {name!r}: its loss depends on none of the weights that it is to train")
        self._graph = Graph([step.inputs[i] for i in self.reads], [*ends, *values])
        self._graph.operations = operations
        self._silent = frozenset(penalties) - frozenset(counted)
        self._plans = PlanCache(self)
        self._plans.slots.step = step

    def _depends(self, step: Network, operation: Operation) -> bool:
        """Whether what an operation adds to the loss depends on a weight that is trained here."""
        leading = sort_operations(step.inputs, operation.outputs)
        return any(weight in self._trained for one in leading for weight in one.weights)

    def order_operations(self, places: Mapping[Operation, int]) -> None:
        """Gives the nodes of its plans numbers that are those of the step."""
        self._graph.operations = sorted(self._graph.operations, key=places.__getitem__)
        self._places = {operation: places[operation] for operation in self._graph.operations}
        self._graph.leaves = list(dict.fromkeys(operation.layer for operation in self._graph.operations))

    @property
    def optimizer(self) -> Optimizer:
        return self._require_compiled().optimizer

    # ---- as a network -----------------------------------------------------------------------------------

    @property
    def input_names(self) -> list[str]:
        return [self.step.input_names[i] for i in self.reads]

    @property
    def output_names(self) -> list[str]:
        return [self.name, *(f"{self.name}, value {i}" for i in range(1, len(self.outputs)))]

    @property
    def weights(self) -> list[Weight]:
        return list(dict.fromkeys([*self._graph.weights(), *(weight for weight in self.step.weights if weight in self._trained)]))

    @property
    def trainable_weights(self) -> list[Weight]:
        return [w for w in self.weights if w in self._trained and w.trainable and w.layer.trainable]

    @property
    def seed(self) -> int:
        return self.step.seed

    @property
    def dtype(self) -> str:
        return self.step.dtype

    @property
    def _labels(self) -> dict[int, tuple[str, int]]:
        return self._graph.labels

    @property
    def _slab(self) -> Slab:
        return self.step._slab

    def _paths(self) -> dict[Weight, str]:
        return self.step._paths()

    def _require_compiled(self) -> CompiledUpdate:
        if self._compiled is None:
            raise RuntimeError(f"step {self.step.name!r} must be compiled first: step.compile({{name: optimizer, ...}})")
        return self._compiled


def place_operations(updates: Sequence[Update]) -> None:
    """Numbers the operations of all updates in one order, so that what several compute is the same in all, random numbers too."""
    inputs = updates[0].step.inputs
    ends = [tensor for update in updates for operation in update._graph.operations for tensor in operation.outputs]
    places = {operation: number for number, operation in enumerate(sort_operations(inputs, ends))}
    for update in updates:
        update.order_operations(places)


def hyper_rows(updates: Sequence[Update], steps: int) -> list[np.ndarray]:
    """The hyper-parameters of each update for so many batches; one optimizer may make several of the updates."""
    found = []
    optimizers = [update.optimizer for update in updates]
    for i, (update, optimizer) in enumerate(zip(updates, optimizers)):
        turns = sum(other is optimizer for other in optimizers)
        rows = update._plans.hyper(steps * turns)
        turn = sum(other is optimizer for other in optimizers[:i])
        found.append(rows if rows.ndim == 1 or turns == 1 else np.ascontiguousarray(rows[turn::turns]))
    return found


class CompiledUpdate:
    """What plans of an update ask of `Compiled`."""

    sequence = False
    custom = False
    functions: ClassVar[list[int]] = []
    formulas: ClassVar[list[Any]] = []
    read_targets: ClassVar[list[Any]] = []
    tallies: ClassVar[list[Any]] = []

    def __init__(self, optimizer: Optimizer, n_threads: int | None, precise: bool, outputs: int = 1) -> None:
        self.optimizer, self.n_threads, self.precise = optimizer, n_threads, precise
        self.losses: list[None] = [None] * outputs
        self.traced: list[None] = [None] * outputs
        self.loss_weights = [1.0] * outputs


class CompiledStep:
    """What `fit` and callbacks ask of `Compiled`: the losses of the updates are those of the step."""

    sequence = True
    custom = False
    functions: ClassVar[list[int]] = []
    traced: ClassVar[list[None]] = []
    resolved = True
    writes_formulas = takes_outputs = False
    logged: ClassVar[dict[str, Any]] = {}
    #: Whether there is no more than one, whose rate and gradient need no name in the history.
    one_update = False

    def __init__(self, names: Sequence[str], optimizers: Sequence[Optimizer], n_threads: int | None, precise: bool) -> None:
        self.names, self.n_threads, self.precise = list(names), n_threads, precise
        self.optimizer = StepOptimizers(self.names, optimizers)
        self.losses: list[None] = [None] * len(self.names)
        self.metrics: list[list[Any]] = [[] for _ in self.names]
        self.given = (None, None, None)

    def fitted_to(self, targets: Any, names: Any) -> CompiledStep:
        return self

    def described(self) -> list[str]:
        """What is logged besides the losses of the updates, in words."""
        return []

    def new_sums(self) -> np.ndarray:
        """Squared norms of the gradients of each update, and the rows that it was made for, at zero."""
        return np.zeros(2 * len(self.names))

    def logs(self, totals: np.ndarray, sums: np.ndarray, rows: int) -> dict[str, Any]:
        """The mean loss of each update by its name, NaN of one that has not been made."""
        n = len(self.names)
        return {
            name: float(total / count) if count else math.nan
            for name, total, count in zip(self.names, totals[1:], sums[n : 2 * n])
        }


class StepOptimizers:
    """The optimizers of all updates, where `fit` and checkpoints expect one."""

    kernel = None
    full_batch = False
    gradient_accumulation_steps = None

    def __init__(self, names: Sequence[str], optimizers: Sequence[Optimizer]) -> None:
        self.names, self.all = list(names), list(optimizers)
        #: Of the batches that all have seen.
        self.counter = _core.Counter()
        self.counter.batches = max(optimizer.batches for optimizer in optimizers)

    @property
    def class_label(self) -> str:
        return ", ".join(f"{name}: {type(optimizer).__name__}" for name, optimizer in zip(self.names, self.all))

    @property
    def has_schedule(self) -> list[bool]:
        return [optimizer.has_schedule for optimizer in self.all]

    @property
    def batches(self) -> int:
        """Batches that all have seen."""
        return self.counter.batches

    iterations = batches

    def iterations_after(self, batches: int) -> int:
        return batches

    def last_learning_rate(self, iterations: int) -> float:
        """That of the first update."""
        return self.all[0].last_learning_rate(self.all[0].iterations_after(iterations))

    def learning_rate_at(self, step: int) -> float:
        return self.learning_rate

    @property
    def learning_rate(self) -> float:
        raise AttributeError("a step has several optimizers: ask for, or set, step.optimizers[name].learning_rate")

    @property
    def steps_per_epoch(self) -> int | None:
        return self.all[0].steps_per_epoch

    @steps_per_epoch.setter
    def steps_per_epoch(self, batches: int) -> None:
        for optimizer in self.all:
            optimizer.steps_per_epoch = max(1, round(batches / (optimizer.gradient_accumulation_steps or 1)))

    def claim(self, step: Any) -> None:
        for optimizer in self.all:
            optimizer.claim(step)

    def forget_accumulated(self) -> None:
        for optimizer in self.all:
            optimizer.forget_accumulated()

    def averaged_slot(self) -> None:
        """None keeps averages of the weights."""

    def slots(self) -> list[tuple[str, float]]:
        return [(f"{n}/{slot}", start) for n, optimizer in zip(self.names, self.all) for slot, start in optimizer.slots()]

    def get_state(self) -> dict[str, Any]:
        states = [optimizer.get_state() for optimizer in self.all]
        return {"batches": self.batches, "learning_rate": None, "learning_rate_factor": 1.0, "updates": states}

    def check_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        states = [optimizer.check_state(one) for optimizer, one in zip(self.all, state["updates"], strict=True)]
        return {"batches": int(state["batches"]), "learning_rate": None, "learning_rate_factor": 1.0, "updates": states}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.counter.batches = state["batches"]
        for optimizer, one in zip(self.all, state["updates"]):
            optimizer.set_state(one)


class StepSlots(Slots):
    """The arrays of all updates' optimizers, in order."""

    def __init__(self, step: Any) -> None:
        super().__init__(step)
        self._step = step

    def _parts(self) -> list[Slots]:
        return [update._plans.slots for update in getattr(self._step, "updates", [])]

    def clear(self) -> None:
        super().clear()
        for slots in self._parts():
            slots.clear()

    def arrays(self) -> list[np.ndarray]:
        return [array for slots in self._parts() for array in slots.arrays()]

    def follow(self) -> None:
        for slots in self._parts():
            slots.follow()

    def _own_averages(self) -> Mapping[Weight, np.ndarray]:
        """None of its own: they are those of the updates."""
        return {}

    def set_averages(self, values: Mapping[Weight, np.ndarray]) -> None:
        for update, slots in zip(self._step.updates, self._parts()):
            slots.set_averages({weight: value for weight, value in values.items() if weight in update._trained})

    @property
    def followed(self) -> list[Weight]:
        return list(dict.fromkeys(weight for slots in self._parts() for weight in slots.followed))

    @followed.setter
    def followed(self, weights: Iterable[Weight]) -> None:
        weights = list(weights)
        for update, slots in zip(self._step.updates, self._parts()):
            slots.followed = [weight for weight in weights if weight in update._trained]


class StepPlans(PlanCache):
    """The plans of a step as a model, which predict its losses; what is forgotten of them is of those of its updates, too."""

    def __init__(self, step: Any) -> None:
        self._step = step
        super().__init__(step)
        self.slots = StepSlots(step)

    def clear(self, keep_slots: bool = False) -> None:
        super().clear(keep_slots)

    def forget(self) -> None:
        super().forget()
        for update in getattr(self._step, "updates", []):
            update._plans.forget()

    def latest(self) -> Plan | None:
        """The plan made last: of the first update, where there is none of the step as a whole."""
        return super().latest() or self._step.updates[0]._plans.latest()
