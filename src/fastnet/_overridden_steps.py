"""`train_step` and `test_step` of classes of the user's: traced once, then steps of the engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _core, _data
from ._fit_options import FitOptions
from ._graph import Operation, SymbolicTensor, outside_calls
from ._model_data import inputs_of, positive, rows_at_once
from ._progress import Progress
from ._resuming import resume
from ._row_sums import Total
from ._step_data import StepData, TracedBatches, trace_step, weights_of_rows
from ._step_trace import Applied, Penalties, StepTrace, ancestors
from ._step_values import Batches, States, is_penalized, tensors_in
from ._stream_fitting import StreamFit, open_feed, resolved
from ._streams import converts_ahead, evaluate_feed, first_of, make_feed
from ._tested_steps import TestedStep
from ._updates import CompiledStep, CompiledUpdate, StepPlans, Update, place_operations
from .data.sources import is_stream
from .fitting import Fit
from .inference import as_asked
from .layers.functional import AddLoss
from .metrics import Mean
from .train_step import TrainStep

__all__ = ["evaluate", "make_fit", "train_on_batch"]


def _terms(losses: Sequence[Total]) -> list[tuple[SymbolicTensor, float, bool]]:
    return [
        (tensor, factor, mean) for loss in losses for tensor, factor, mean in loss.terms if isinstance(tensor, SymbolicTensor)
    ]


class OverriddenStep(TrainStep):
    """The step that `train_step` of a model says, for data of one structure and shape.

    Parameters
    ----------
    model : Model
    data : StepData
    """

    #: What validates, where batches of data are and the model has a `test_step`.
    tester: TestedStep | None = None

    def __init__(self, model: Any, data: StepData) -> None:
        self.updates, self._names = [], []
        self.owner = model
        tensors, trace = trace_step(model, data, True)
        self._check(trace)
        self._names = _names_of(model, trace.updates)
        self._used = tensors_in([[one.args, one.options] for one in trace.used]) + tensors_in(trace.logs)
        self._used = list({id(tensor): tensor for tensor in self._used}.values())
        with outside_calls(rows=tensors[0]):
            ends = [[AddLoss(factor, mean)(tensor) for tensor, factor, mean in _terms(one.losses)] for one in trace.updates]
            slabs = [weight.slab for one in trace.updates for weight in one.weights]
            self._describe(model.seed, next((slab.dtype for slab in slabs if slab is not None), model.dtype), model.name)
            self._plans = StepPlans(self)
            computed = [tensor for tensor in self._used if tensor.operation is not None]
            self._connect(tensors, [end for group in ends for end in group] + computed)
            if self._graph.staged:
                raise NotImplementedError("a train_step computes in the engine alone: look text or numbers up before")
            places = [_update_of(tensor, trace.updates) for tensor in computed]
            updates, together = [], _groups_of(trace.updates)
            for i, (one, group, name) in enumerate(zip(trace.updates, ends, self._names)):
                own = [tensor for tensor, place in zip(computed, places) if place == i]
                counted = any(is_penalized(loss) for loss in one.losses)
                updates.append(Update(self, name, group, one.weights, counted, own))
                updates[-1].group = together[id(one)]
        self._values = {
            id(tensor): (i, len(ends[i]) + number)
            for i, update in enumerate(updates)
            for number, tensor in enumerate(update.outputs[len(ends[i]) :])
        }
        self._read = {id(tensor): i for i, tensor in enumerate(tensors)}
        place_operations(updates)
        self.updates = updates
        self._losses = [one.losses for one in trace.updates]
        self._arrays: list[list[np.ndarray | None]] = []
        reset = [metric for metric in model.metrics if metric in {one.metric for one in trace.used}]
        self._compile([one.optimizer for one in trace.updates], States(trace.used, trace.logs, reset))

    def _check(self, trace: StepTrace) -> None:
        """Refuses what the updates of a step do not do one after another as the script would."""
        name = f"{type(self.owner).__name__}.train_step"
        groups = _groups_of(trace.updates)
        for i, one in enumerate(trace.updates):
            if one.optimizer.full_batch or one.optimizer.keeps_average:
                raise NotImplementedError(
                    f"{name}: {type(one.optimizer).__name__} takes all rows at once, or keeps an average of the weights"
                )
            own = next((weight for weight in one.weights if weight.constraint is not None and weight.constraint.own), None)
            if own is not None:
                raise NotImplementedError(f"{name}: the constraint of weight {own.path!r} is a function")
            operations = ancestors(tensor for tensor, _, _ in _terms(one.losses))
            others = [other for other in trace.updates[:i] if groups[id(one)] is None or groups[id(other)] != groups[id(one)]]
            stale = _stale(operations, others)
            if stale is not None:
                raise NotImplementedError(
                    f"{name}: the loss of an update was computed with weight {stale.path!r} as it was before another update of the step: "
                    "call the layers again after that update, as updates are made one after another, or take all gradients before the first"
                )
            first, end = one.span
            depends = _dependent(operations, set(one.weights))
            unseen = next((op for op in depends if not first <= op.call.moment < (end or math.inf)), None)
            if unseen is not None:
                raise ValueError(
                    f"{name}: layer {unseen.layer._label!r} was called outside of the GradientTape, which has no derivatives through it"
                )
            if any(
                is_penalized(loss) and any(f != 1 for t, f, _ in loss.terms if isinstance(t, Penalties)) for loss in one.losses
            ):
                raise NotImplementedError(f"{name}: model.losses count as they are, and not times a number")
        known = {id(loss) for one in trace.updates if len(one.losses) == 1 for loss in one.losses}
        for metric, args, options in trace.used:
            for value in [*args, *options.values()]:
                if is_penalized(value) and (id(value) not in known or type(metric) is not Mean):
                    raise NotImplementedError(
                        f"{name}: metric {metric.name!r} is given model.losses: what is known of these is the loss of an update, for metrics.Mean"
                    )
        for key, value in trace.logs.items():
            if is_penalized(value) and id(value) not in known:
                raise NotImplementedError(
                    f"{name} returns {key!r} with model.losses, which are known as a part of the loss of an update"
                )

    def _compile(self, optimizers: Sequence[Any], states: States) -> None:
        n_threads, precise = self.owner._compiled.n_threads, self.owner._compiled.precise
        self._compiled = CompiledOverride(self._names, optimizers, n_threads, precise, states)  # type: ignore[assignment]
        for update, optimizer in zip(self.updates, optimizers):
            update._compiled = CompiledUpdate(optimizer, n_threads, precise, len(update.outputs))
            slots = self.owner._step_slots.get(optimizer)
            if slots is not None:  # of the same step for data of another shape
                slots._model, update._plans.slots = update, slots
            self.owner._step_slots[optimizer] = update._plans.slots

    @property
    def output_names(self) -> list[str]:
        """The names of the updates, and of what else is computed."""
        return [*self._names, *(f"value_{i}" for i in range(len(self._names), len(self.outputs)))]

    # What callbacks and the user see of a training is the model.

    @property
    def _shown(self) -> Any:
        return self.owner

    def _run_updates(self, inputs: Sequence[np.ndarray], steps: int, **options: Any) -> None:
        """As of `TrainStep`; the last batch of the rows is made alone, as it may be a smaller one and its values are logged."""
        batch_size, first, n_rows = options["batch_size"], options["first_row"], options["n_rows"]
        left = -(-(n_rows - first) // batch_size)
        steps = min(steps, max(1, left - 1))
        position = options.pop("position", None)
        position = _core.Position() if position is None else position
        position.row = first
        totals, squares = options.pop("totals"), options.pop("squares")
        before, n = totals.copy(), len(self.updates)
        arrays = self._new_arrays(n_rows)
        try:
            super()._run_updates(
                inputs, steps, totals=totals, squares=squares[: 2 * n], position=position, outputs=arrays, **options
            )
        finally:
            rows = slice(first, position.row)
            if rows.stop > rows.start:
                mean_losses = (totals - before)[1:] / (rows.stop - rows.start)
                self._add_values(inputs, options.get("order"), arrays, rows, batch_size, mean_losses, squares)

    def _add_values(
        self,
        inputs: Sequence[np.ndarray],
        order: np.ndarray | None,
        arrays: list[list[Any]],
        rows: slice,
        batch_size: int,
        losses: np.ndarray,
        sums: np.ndarray,
    ) -> None:
        """Adds what metrics are told of batches that have been made."""
        batches = self._batches(inputs, order, arrays, rows, batch_size, losses)
        self._compiled.states.add(sums[2 * len(self.updates) :], batches)  # type: ignore[union-attr]

    def _batches(
        self,
        inputs: Sequence[np.ndarray],
        order: np.ndarray | None,
        arrays: list[list[Any]],
        rows: slice,
        batch_size: int,
        losses: np.ndarray,
    ) -> Batches:
        """The batches that have been made, or the one smaller one."""
        size = min(batch_size, rows.stop - rows.start)
        count = (rows.stop - rows.start) // size

        def fetch(tensor: SymbolicTensor) -> np.ndarray:
            if id(tensor) in self._read:
                return inputs[self._read[id(tensor)]][rows if order is None else order[rows]]
            update, number = self._values[id(tensor)]
            return arrays[update][number][rows]

        def whole(total: Total) -> np.ndarray:
            number = next(i for i, known in enumerate(self._losses) if len(known) == 1 and known[0] is total)
            return np.full(count, losses[number])

        return Batches(count, size, fetch, whole)

    def _new_arrays(self, rows: int) -> list[list[Any]]:
        """An array for each value of each update that is asked for."""
        known = next((array for group in self._arrays for array in group if array is not None), None)
        if not self._arrays or (known is not None and len(known) < rows):
            asked = set(self._values.values())
            self._arrays = [
                [
                    np.empty((rows, *tensor.sample_shape), self.dtype) if (i, number) in asked else None
                    for number, tensor in enumerate(update.outputs)
                ]
                for i, update in enumerate(self.updates)
            ]
        return [[None if array is None else array[:rows] for array in group] for group in self._arrays]

    def _evaluate(
        self,
        inputs: Any,
        targets: Any,
        weights: Any,
        batch_size: int | None,
        training_step: int | None = None,
        callbacks: Any = None,
    ) -> dict[str, Any]:
        """Of the rows to validate with, by the model."""
        if isinstance(inputs, StepData):
            return _tester(self.owner, inputs).evaluate_data(inputs, batch_size, training_step, callbacks)
        return self.owner._evaluate(inputs, targets, weights, batch_size, training_step, callbacks)

    def _evaluate_chunk(self, *args: Any) -> Any:
        """Of batches to validate with, by the `test_step` of the model or as without."""
        return (self.owner if self.tester is None else self.tester)._evaluate_chunk(*args)


def _delegated(name: str) -> Any:
    """An attribute that is the model's."""

    def get(self: OverriddenStep) -> Any:
        return getattr(self.owner, name)

    def put(self: OverriddenStep, value: Any) -> None:
        if self.updates:  # the constructor of every model sets them, too
            setattr(self.owner, name, value)

    return property(get, put)


for _name in ("history", "stop_training", "_epochs_begun", "_distribution"):
    setattr(OverriddenStep, _name, _delegated(_name))


class CompiledOverride(CompiledStep):
    """As `CompiledStep`, with the metrics that the step updates."""

    def __init__(
        self, names: Sequence[str], optimizers: Sequence[Any], n_threads: int | None, precise: bool, states: States
    ) -> None:
        super().__init__(names, optimizers, n_threads, precise)
        self.states, self.one_update = states, len(self.names) == 1

    def new_sums(self) -> np.ndarray:
        """Squared norms of the gradients, and what metrics begin with."""
        return np.concatenate([super().new_sums(), self.states.start()])

    def described(self) -> list[str]:
        """What is logged besides the losses of the updates, in words."""
        return [type(metric).__qualname__ for metric in self.states.metrics] + list(self.states.logs)

    def logs(self, totals: np.ndarray, sums: np.ndarray, rows: int) -> dict[str, Any]:
        """What the step returns."""
        return self.states.results(sums[2 * len(self.names) :])


def _names_of(model: Any, updates: Sequence[Applied]) -> list[str]:
    """What the updates are called: as the attributes of the model that their optimizers are."""
    found: list[str] = []
    for one in updates:
        name = next((key for key, value in vars(model).items() if value is one.optimizer), "optimizer")
        number, base = 2, name
        while name in found:
            name, number = f"{base}_{number}", number + 1
        found.append(name)
    return found


def _groups_of(updates: Sequence[Applied]) -> dict[int, int | None]:
    """The number of the group that each update is in: of those whose gradients a script takes before it makes the first of them.

    Where what one computes depends on no weights that others before it change, there is no need of a group.
    """
    found: dict[int, int | None] = {id(one): None for one in updates}
    group: list[Applied] = []
    for one in [*updates, None]:
        if one is not None and group and one.differentiated < group[0].moment:
            group.append(one)
            continue
        losses = [ancestors(tensor for tensor, _, _ in _terms(member.losses)) for member in group]
        if any(_stale(operations, group[:i]) is not None for i, operations in enumerate(losses)):
            weights = [weight for member in group for weight in member.weights]
            if len(set(weights)) < len(weights):
                raise NotImplementedError("train_step: two updates of the same weights are made with gradients taken before both")
            found.update((id(member), id(group[0])) for member in group)
        group = [] if one is None else [one]
    return found


def _stale(operations: Sequence[Operation], updates: Sequence[Applied]) -> Any:
    """A weight that one of the operations has read before one of the updates changed it."""
    for update in updates:
        changed = set(update.weights)
        for operation in operations:
            if operation.call.moment < update.moment:
                found = next((weight for weight in operation.weights if weight in changed), None)
                if found is not None:
                    return found
    return None


def _dependent(operations: Sequence[Operation], weights: set[Any]) -> list[Operation]:
    """The operations that have some of the weights, or depend on one that has."""
    found: dict[int, Operation] = {}
    for operation in sorted(operations, key=lambda one: one.call.moment):
        read = any(tensor.operation is not None and id(tensor.operation) in found for tensor in operation.inputs)
        if read or any(weight in weights for weight in operation.weights):
            found[id(operation)] = operation
    return list(found.values())


def _update_of(tensor: SymbolicTensor, updates: Sequence[Applied]) -> int:
    """Within which update a value is computed: with the weights that the script has computed it with."""
    operations = ancestors([tensor])
    groups = _groups_of(updates)
    for i, update in enumerate(updates):
        # Values are computed with the gradients: of a group before its first update.
        begin = next(
            j for j, other in enumerate(updates) if other is update or groups[id(other)] == groups[id(update)] is not None
        )
        early = any(
            op.call.moment > later.moment and any(weight in set(later.weights) for weight in op.weights)
            for later in updates[begin:]
            for op in operations
        )
        if not early and _stale(operations, updates[:begin]) is None:
            return i
    raise NotImplementedError(
        "train_step: a value that a metric is given, or that is returned, is computed with weights as they are after the last update, or before and "
        "after one: compute it before"
    )


# ---- calls of the model --------------------------------------------------------------------------------------


def _step(model: Any, data: StepData) -> OverriddenStep:
    """The step for data, kept."""
    key = "train", data.key
    if key not in model._traced_steps:
        model._traced_steps[key] = OverriddenStep(model, data)
    return model._traced_steps[key]


def _tester(model: Any, data: StepData) -> TestedStep:
    key = "test", data.key
    if key not in model._traced_steps:
        model._traced_steps[key] = TestedStep(model, data)
    return model._traced_steps[key]


def make_fit(model: Any, progress: Progress, given: FitOptions) -> Fit:
    """The training that a call of `fit` would do."""
    options = given.unpacked(model._known_columns())
    for name in ("mixup", "cutmix"):
        if getattr(options, name):
            raise ValueError(f"{name} is for steps of the engine: {type(model).__name__}.train_step can mix rows itself")
    if is_stream(options.x):
        return _make_stream_fit(model, progress, options.checked(model))
    weights = weights_of_rows(model, options.y, options.sample_weight, options.class_weight)
    data = StepData(options.x, options.y, weights)
    arrays, held = data.arrays, None
    if options.validation_data is None and options.validation_split:
        arrays, rest = _data.split_validation(arrays, options.validation_split)
        held = StepData(*data.parts(rest))
    step = _step(model, data)
    options = options.checked(step)
    inputs = inputs_of(step, arrays, options.check_finite)
    options = _with_rows(model, options, min(options.batch_size or 1, len(inputs[0])))
    step._require_compiled().optimizer.claim(model)
    fit = Fit(step, (inputs, [], []), _validation(model, step, options, held), options, progress)
    resume(fit)
    return fit


def _make_stream_fit(model: Any, progress: Progress, options: FitOptions) -> Fit:
    """As `make_fit`, with data that come batch by batch."""
    options = resolved(options)
    convert = TracedBatches(model, _step, options.class_weight, options.check_finite)
    feed = open_feed(model, options, convert)
    options = _with_rows(model, options, first_of(feed).batch_size)
    step = convert.step
    feed.ahead = converts_ahead(step)
    try:
        step._require_compiled().optimizer.claim(model)
        fit = StreamFit(step, feed, _validation(model, step, options, None), options, progress)
        resume(fit)
    except BaseException:
        feed.close(failed=True)
        raise
    return fit


def _with_rows(model: Any, options: FitOptions, rows: int) -> FitOptions:
    """With so many rows of a batch, which those of a `test_step` have, too."""
    held = options.validation_batch_size or (rows if model._overrides("test_step") else None)
    return options._replace(batch_size=rows, validation_batch_size=held)


def _validation(model: Any, step: OverriddenStep, options: FitOptions, held: StepData | None) -> Any:
    """What to validate with, of the options or what has been held out: arrays, a feed, or None."""
    own, given = model._overrides("test_step"), options.validation_data
    step.tester = None
    if is_stream(given):
        if not own:
            return options.validation(model, ([], [], []))[1]
        convert = TracedBatches(model, _tester, None, options.check_finite)
        feed = options.validation_feed(model, convert)
        first_of(feed)
        step.tester, feed.ahead = convert.step, converts_ahead(convert.step)
        return feed
    if given is not None:
        held = StepData(*given) if isinstance(given, tuple) else StepData(given)
    if held is None:
        return None
    if options.validation_steps is not None:
        n = options.validation_steps * (options.validation_batch_size or options.batch_size or 1)
        held = StepData(*held.parts([array[:n] for array in held.arrays]))
    if own:
        _tester(model, held)
        return held, [], []
    x, y, sample_weight = held.parts(held.arrays)
    return model._data_for(x, y, sample_weight, None, options.check_finite)


def train_on_batch(
    model: Any, x: Any, y: Any, sample_weight: Any, class_weight: Any, return_dict: bool, check_finite: bool
) -> Any:
    """`Model.train_on_batch`; as in Keras, metrics go on from batch to batch."""
    data = StepData(x, y, weights_of_rows(model, y, sample_weight, class_weight))
    step = _step(model, data)
    inputs, compiled = inputs_of(step, data.arrays, check_finite), step._require_compiled()
    n = len(inputs[0])
    rows_at_once(step, n, n)
    compiled.optimizer.claim(model)
    totals, numbers = np.zeros(1 + len(step.outputs)), np.zeros(compiled.states.size)
    compiled.states.store(numbers)
    sums = np.concatenate([np.zeros(2 * len(step.updates)), numbers])
    totals, sums = step._make_step(inputs, totals, sums)
    return as_asked(compiled.logs(totals, sums, n), return_dict)


def evaluate(
    model: Any, x: Any, y: Any, batch_size: int | None, sample_weight: Any, steps: int | None, callbacks: Any
) -> dict[str, Any]:
    """`Model.evaluate`, by `test_step`."""
    if is_stream(x):
        steps = None if steps is None else positive("steps", steps)
        convert = TracedBatches(model, _tester)
        feed = make_feed(model, x, convert, "steps", steps)
        first_of(feed)
        feed.ahead = converts_ahead(convert.step)
        return evaluate_feed(convert.step, feed, steps, None, callbacks)
    data = StepData(x, y, sample_weight)
    if steps is not None:
        data = StepData(*data.parts([array[: steps * (batch_size or 32)] for array in data.arrays]))
    return _tester(model, data).evaluate_data(data, batch_size, None, callbacks)
