"""The plans of a model: which there are, which is used for a call, and what makes them stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._lowering import TRAINING, lower, lower_update
from ._order import PENALTIES
from ._slots import Slots
from ._snapshots import Snapshot
from ._sparse_rows import in_pairs
from ._weight_functions import functions_in_plan, has_functions, is_of_arrays, own
from ._weights import aligned_zeros, between_steps
from .layers.base import Layer

if TYPE_CHECKING:
    from ._network import Network
    from ._weights import Weight

__all__ = ["PlanCache", "rounded_rows"]

#: Plans kept for later calls: for other batch sizes, for training and for prediction.
_KEPT_PLANS = 8
#: Those that predict and evaluate: more than these as long as all together take so many bytes.
_KEPT_BYTES = 64 << 20
#: Of those that make parts of steps.
_KEPT_PARTS = 64
_INFERENCE = ("evaluate", "predict")
#: For larger batches, memory for up to twice as many rows is worse than another plan; in `take` they share one for each of
#: `_SIZES` sizes in an octave. Both rules look at the rows alone, so that results do not depend on what was computed before.
_ROUNDED_ROWS = 1024
_SIZES = 12


class PlanCache:
    """The plans of one model, made when they are first needed."""

    def __init__(self, model: Network) -> None:
        self._model = model
        self._plans: dict[Any, _core.Plan] = {}
        self._parts: dict[Any, _core.Plan] = {}  # that make parts of a step; see `part`
        self._known_parts: dict[Any, _core.Plan] = {}  # by what was asked for, until the version changes
        self._pools: dict[Any, _core.PlanPool] = {}  # of plans to predict and evaluate, by several threads
        self._latest: _core.Plan | None = None
        #: By the last `get`, where it would give it again.
        self._given: tuple[tuple[str, int, bool, tuple[int, ...]], _core.Plan] | None = None
        self._snapshot: Snapshot | None = None
        self._one_thread = False
        # What follows from the model's structure: until the version changes.
        #: Makes predictions of a few rows at once, where it has been told a plan for them; else returns None.
        self.predictor = _core.Predictor()
        self._version = -1
        self._structure: tuple[Any, ...] = ()
        self._keyed: list[Layer] = []  # layers to be asked each time
        self._columns: list[tuple[int, str, Callable[[int], float]]] = []
        #: The factors of sums over the rows of a batch in its loss; see `hyper_of_part`.
        self._sums: list[float] = []
        self._own_weights: list[Weight] = []
        self.slots = Slots(model)

    def clear(self, keep_slots: bool = False) -> None:
        """Forgets plans and the optimizer's slots: what compile was told, or the model, has changed."""
        self.forget()
        if not keep_slots:
            self.slots.clear()

    def forget(self) -> None:
        """Forgets plans, but not the optimizer's slots."""
        self._plans.clear()
        self._parts.clear()
        self._known_parts = {}
        self._pools.clear()
        self._latest = self._snapshot = self._given = None
        self._version = -1
        _core.note_change()

    @property
    def one_thread(self) -> bool:
        """Whether plans are to use one thread, whatever compile was told."""
        return self._one_thread

    @one_thread.setter
    def one_thread(self, value: bool) -> None:
        self._one_thread = value
        _core.note_change()

    @property
    def own_weights(self) -> list[Weight]:
        """The weights that are trained and whose regularizer or constraint is a function of the user's."""
        self._refresh()
        return self._own_weights

    @property
    def own_constraints(self) -> list[Weight]:
        """Those of them whose constraint is a function of arrays: Python has its turn after each step."""
        return [weight for weight in self.own_weights if own(weight, "constraint") and is_of_arrays(weight)]

    def _refresh(self) -> None:
        """Looks at the model anew, if any has changed."""
        version = _core.version()
        if version == self._version:
            return
        self._known_parts = {}
        model = self._model
        layers = model._graph.leaves
        if self._structure and self._structure[1] is not model._slab:
            self._pools.clear()  # of weights that have moved: no plan of them is used again
        self._keyed = [layer for layer in layers if type(layer).plan_key is not Layer.plan_key]
        self._structure = (tuple(layer.plan_state() for layer in layers), model._slab, _core.isa(), self._one_thread)
        self._columns = [
            (max(node, model._places.get(operation, 0)), name, function)
            for node, operation in enumerate(model._graph.operations)
            for name, function in operation.layer.scheduled_attributes(operation).items()
        ]
        self._own_weights = [weight for weight in model.trainable_weights if has_functions([weight])]
        self._version = version

    def latest(self) -> _core.Plan | None:
        """The plan made last."""
        return self._latest

    def _key(
        self, kind: str, capacity: int, averages: Mapping[Weight, np.ndarray], pairs: tuple[int, ...] = ()
    ) -> tuple[Any, ...]:
        """What a plan depends on."""
        self._refresh()
        averaged = frozenset((weight, array.ctypes.data) for weight, array in averages.items()) if averages else None
        compiled = self._model._compiled if kind in ("train", "evaluate") else None
        traced = tuple(compiled.formulas) if compiled is not None else ()
        return (kind, capacity, self._structure, averaged, tuple([layer.plan_key() for layer in self._keyed]), traced, pairs)

    def get(self, kind: str, rows: int, exact: bool = True, pairs: tuple[int, ...] = ()) -> _core.Plan:
        """A plan for batches of so many rows, for the thread that trains.

        Parameters
        ----------
        kind : {"train", "evaluate", "predict", "custom"}
            "custom": with a backward pass, and gradients of outputs and inputs exchanged with Python.
        rows : int
        exact : bool
            False: for calls whose batches differ; the next power of two will do, where these are no large arrays.
        pairs : tuple of int
            Of inputs that are rows of sparse matrices, see `packed_sizes`.
        """
        asked = (kind, rows, exact, pairs)
        if self._given is not None and self._given[0] == asked and self._version == _core.version():
            self._latest = self._given[1]
            return self._latest
        averages = self.slots.averages() if kind in _INFERENCE else {}
        capacity = rows if exact else rounded_rows(rows)
        key = self._key(kind, capacity, averages, pairs)
        plan = self._plans.pop(key, None)
        if plan is None:
            plan = self._make(kind, capacity, averages, pairs=pairs)
        self._plans[key] = self._latest = plan
        _forget_oldest(self._plans)
        # All that a custom plan depends on, but for layers that are asked, changes the version.
        self._given = (asked, plan) if kind == "custom" and not self._keyed else None
        return plan

    def part(
        self,
        rows: int,
        gradients: np.ndarray | None = None,
        section: tuple[int, int] | None = None,
        kind: str = "train",
        pieces: int = 1,
        replicas: int = 0,
        cuts: tuple[int, ...] = (),
        kept: int = 0,
    ) -> _core.Plan:
        """A plan for a part of a step of at most so many rows.

        Parameters
        ----------
        rows : int
            Of each piece.
        gradients : ndarray, optional
            As large as the slab: where it leaves the gradients.
        section : tuple of int, optional
            Of the slab, beginning with a line of the cache: the plan updates the weights there, and computes nothing.
        kind : {"train", "custom"}
            As of `get`.
        pieces : int
            That are made in one call, if the plan can; else its `pieces` is 1.
        replicas : int
            That each compute a part of the same batch, of which layers look at the whole.
        cuts : tuple of int
            Elements of the slab, in descending order: a step is run in parts, and the gradients from each of them on are complete after a
            part of their own.
        kept : int
            How many such plans the caller needs.
        """
        asked = (kind, rows, id(gradients), section, pieces, replicas, cuts)
        self._refresh()
        known = self._known_parts.get(asked)
        if known is not None and not self._keyed:
            return known
        capacity = rounded_rows(rows)
        key = (id(gradients), section, pieces, replicas, cuts, *map(id, self.slots.arrays()), *self._key(kind, capacity, {}))
        plan = self._parts.pop(key, None)  # which keeps the arrays alive
        if plan is None:
            shared = {"pieces": pieces, "replicas": replicas, "cuts": cuts}
            plan = self._make(kind, capacity * pieces, {}, gradients=gradients, section=section, **shared)
        self._parts[key] = self._known_parts[asked] = plan
        _forget_oldest(self._parts, max(_KEPT_PARTS, 4 * replicas, 2 * kept))
        return plan

    def hyper_of_part(self, hyper: np.ndarray, times: float) -> np.ndarray:
        """The row of hyper-parameters for a plan that `part` has given.

        Parameters
        ----------
        hyper : ndarray
            That of the whole step.
        times : float
            How many times as many rows the batch has. What is made of the part is weighted by its rows, as it should be where losses are
            means: sums over the rows are multiplied by this.
        """
        return np.append(hyper, [factor * times for factor in self._sums]) if self._sums else hyper

    def take(self, kind: str, rows: int, snapshot: Snapshot | None, pairs: tuple[int, ...] = ()) -> Any:
        """A manager that gives this thread a plan to predict or evaluate batches of so many rows, or somewhat more.

        Parameters
        ----------
        kind : {"evaluate", "predict", "penalize"}
            "penalize": as "predict", with what layers add to the loss.
        rows : int
        snapshot : Snapshot or None
            Whose weights are to be used; `bind` brings them to the plan. None: the model's.
        pairs : tuple of int
            As in `get`.
        """
        averages = self.slots.averages() if snapshot is None else {}
        capacity = _inference_rows(rows)
        key = (snapshot is None, *self._key(kind, capacity, averages, pairs))
        pool = self._pools.pop(key, None)
        if pool is None:
            self._make_room()
            own = 0 if snapshot is None else self._model._slab.values.nbytes
            apart = snapshot is not None
            pool = _core.PlanPool(lambda: self._make(kind, capacity, averages, apart, pairs=pairs), _core.cpu_count(), own)
        self._pools[key] = pool
        return pool.take()

    def _make_room(self) -> None:
        """Before another pool is added: forgets those not used for longest; other threads may do so at the same time."""
        pools = list(self._pools.items())
        held = sum([pool.memory for _, pool in pools])
        for key, pool in 2 * pools:  # twice, as the first time those that `predictor` has used are passed over
            if held <= _KEPT_BYTES or len(self._pools) < _KEPT_PLANS:
                break
            if self._pools.pop(key, None) is None:
                continue
            if pool.was_used():
                self._pools[key] = pool
            else:
                held -= pool.memory
                self.predictor.drop(key[2])  # which may have plans of this pool

    def bind(self, plan: _core.Plan, snapshot: Snapshot | None) -> None:
        """Makes a plan that was taken one of the weights of a snapshot."""
        self._latest = plan
        if snapshot is not None:
            plan.bind(snapshot.used, snapshot.number)

    def snapshot(self) -> Snapshot:
        """The weights after the last step, or one that is being made, while another thread trains; waits for it if need be."""
        slab, latest = self._model._slab, self._snapshot
        if latest is not None and latest.slab is slab and latest.step == slab.gate.steps:
            if not latest.renewed:  # who predicts will want the next one, too
                latest.renewed = slab.gate.ask(self._take_snapshot)
            return latest
        return between_steps(slab.gate, self._take_snapshot)

    def _take_snapshot(self) -> Snapshot:
        latest = self._snapshot
        if latest is None or latest.slab is not self._model._slab or latest.step != latest.slab.gate.steps:
            latest = self._snapshot = Snapshot(self._model._slab, self.slots.averages())
        return latest

    def keep_ready(self, plan: _core.Plan) -> None:
        """Gives a plan that predicted a whole array to `predictor`, where nothing else is to be done for one."""
        model = self._model
        if len(model.inputs) == len(model.outputs) == 1 and not model._labels:
            self._refresh()
            keys = [(layer.plan_key, layer.plan_key()) for layer in self._keyed]
            self.predictor.keep(
                plan,
                model.inputs[0].sample_shape,
                model.outputs[0].sample_shape,
                keys,
                model._slab.gate,
                model._graph.batch_size is not None,
                model._slab.watched,
            )

    @property
    def scheduled(self) -> bool:
        """Whether attributes of layers vary in training."""
        return bool(self._schedules())

    def hyper(self, n_batches: int) -> np.ndarray:
        """The hyper-parameters of the next batches as `Plan.run` takes them, for plans that train.

        The optimizer's, then a column for each attribute of a layer that varies: one row, or one for each batch.
        """
        compiled, columns = self._model._compiled, self._schedules()
        optimizer = compiled.optimizer if compiled is not None else None
        rows = optimizer.hyper_parameters(n_batches) if optimizer is not None else np.empty(0)
        if not columns:
            return rows
        first, every = (optimizer.batches, optimizer.gradient_accumulation_steps or 1) if optimizer is not None else (0, 1)
        steps = (first + np.arange(n_batches)) // every
        count = rows.shape[-1]
        table = np.empty((n_batches, count + len(columns)))  # row after row, as the engine reads them
        table[:, :count] = rows
        table[:, count:] = [[function(int(step)) for _, _, function in columns] for step in steps]
        return table

    def _schedules(self) -> list[tuple[int, str, Callable[[int], float]]]:
        """(node, attribute, function of the step) of the layers' attributes that vary in training."""
        self._refresh()
        return self._columns

    def _make(
        self,
        kind: str,
        rows: int,
        averages: Mapping[Weight, np.ndarray],
        apart: bool = False,
        gradients: np.ndarray | None = None,
        section: tuple[int, int] | None = None,
        pieces: int = 1,
        pairs: tuple[int, ...] = (),
        replicas: int = 0,
        cuts: tuple[int, ...] = (),
    ) -> _core.Plan:
        """A plan; apart: whose parameters are in a slab of its own; gradients, section, pieces, replicas, cuts: see `part`."""
        model, slab = self._model, self._model._slab
        training = kind in TRAINING
        compiled = model._compiled if kind in ("predict", "penalize", "custom") else model._require_compiled()
        functions = functions_in_plan(model, kind) if self.own_weights else []
        spec = lower(model, compiled, kind, averages, self._schedules() if training else [], functions)
        if pairs:
            spec = in_pairs(spec, pairs)
        if section is not None:
            spec = lower_update(spec, *section)
        elif gradients is not None:
            sums = [i for i, (op, *_, given) in enumerate(spec["nodes"]) if op in PENALTIES and given.get("summed")]
            spec["scheduled"] += [(i, "linear") for i in sums]
            self._sums = [spec["nodes"][i][-1]["linear"] for i in sums]
        if gradients is None:
            gradients = slab.gradients if training else None
        return _core.Plan(
            **spec,
            max_rows=rows,
            parameter_slab=aligned_zeros(slab.size, slab.dtype) if apart else slab.values,
            gradient_slab=gradients,
            pieces=pieces,
            slots=self.slots.arrays() if spec["optimizer"] else [],
            n_threads=1 if self._one_thread else min((compiled and compiled.n_threads) or 0, _core.cpu_count()),
            replicas=replicas,
            cuts=cuts,
        )


def rounded_rows(rows: int) -> int:
    """For how many rows a plan is made that is to serve other batches, too."""
    return rows if rows > _ROUNDED_ROWS else 1 << (rows - 1).bit_length()


def _inference_rows(rows: int) -> int:
    """For how many rows a plan is made that predicts or evaluates so many."""
    if rows <= _ROUNDED_ROWS:
        return rounded_rows(rows)
    octave = ((rows - 1) // (2 * _SIZES)).bit_length()
    return -(-rows >> octave) << octave


def _forget_oldest(plans: dict[Any, Any], kept: int = _KEPT_PLANS) -> None:
    """Leaves as many as are kept; other threads may do so at the same time."""
    for key in list(plans)[:-kept]:
        plans.pop(key, None)
