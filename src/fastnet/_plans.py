"""From a model's description to the engine's plans, and what compile was told."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _data
from . import losses as _losses
from . import metrics as _metrics
from ._graph import PENALTIES, aligned_zeros, sort_operations
from ._slots import Slots
from ._snapshots import Snapshot, between_steps
from .layers.base import Layer
from .metrics.base import GivenTargets

if TYPE_CHECKING:
    from ._graph import Operation, Weight
    from .optimizers import Optimizer
    from .training import Trainer

__all__ = ["Compiled", "PlanCache"]

#: Plans kept for later calls: for other batch sizes, for training and for prediction.
_KEPT_PLANS = 8
_INFERENCE = ("evaluate", "predict")
#: For larger batches, memory for up to twice as many rows is worse than another plan.
_ROUNDED_ROWS = 1024


def _by_output(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """One of something for each output, from a list in order, a dictionary by name, or one for all."""
    if isinstance(given, Mapping) and "class_name" not in given:
        unknown = [key for key in given if key not in names]
        if unknown:
            raise ValueError(f"{what}: there is no output {unknown[0]!r}; there are {list(names)}")
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise ValueError(f"{what}: got {len(given)}, expected one for each of the {len(names)} outputs {list(names)}")
        return list(given)
    return [given] * len(names)


def _leaves(given: Any) -> list[Any]:
    """What lists and dictionaries of things hold, at any depth."""
    if isinstance(given, Mapping) and "class_name" not in given:
        given = list(given.values())
    if isinstance(given, (list, tuple)):
        return [leaf for one in given for leaf in _leaves(one)]
    return [] if given is None else [given]


def _loss_weight(value: Any) -> float:
    if isinstance(value, (str, bytes)) or not np.isscalar(value):
        raise TypeError(f"loss_weights must be numbers, got {value!r}")
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"loss_weights must be finite and not negative, got {value}")
    return float(value)


class Compiled:
    """What compile was told, made definite once the model's outputs are known.

    Attributes
    ----------
    losses : list of Loss, callable or None
        One for each output; None where it has none, and so no targets.
    target_shapes : list of (tuple of int) or None
        The shape of one target; None where the loss is a Python function, or there is none.
    metrics : list of list of Metric
        For each output.
    custom : bool
        Whether a loss is a Python function, so that each step passes through Python.
    """

    def __init__(self, optimizer: Optimizer, loss: Any, metrics: Any, loss_weights: Any, n_threads: int | None) -> None:
        self.optimizer = optimizer
        self.n_threads = n_threads
        self.resolved = False
        self.custom = False
        self.losses: list[Any] = []
        self.target_shapes: list[tuple[int, ...] | None] = []
        self.metrics: list[list[_metrics.Metric]] = []
        self.loss_weights: list[float] = []
        self.names: list[str] = []
        self.given = (loss, metrics, loss_weights)
        self._sizes: list[list[int]] = []
        self._shapes: list[tuple[int, ...]] = []
        self._given_metrics: list[list[Any]] = []
        for one in _leaves(loss_weights):
            if isinstance(one, (str, _metrics.Metric)):
                raise TypeError(f"loss_weights must be numbers, got {one!r}; metrics come after them, or by name: metrics=[...]")

    def check_names(self) -> None:
        """ValueError or TypeError for losses and metrics that do not exist, while there are no outputs to ask."""
        loss, metrics, _ = self.given
        for one in _leaves(loss):
            _losses.get(one)
        for one in _leaves(metrics):
            _metrics.get(one)

    def resolve(self, names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> None:
        """Chooses losses and metrics for outputs of these names and shapes; ValueError where they do not fit."""
        loss, metrics, loss_weights = self.given
        given_losses = _by_output(loss, names, "loss")
        missing = [name for name in names if name not in loss] if isinstance(loss, Mapping) and "class_name" not in loss else []
        if missing or all(one is None for one in given_losses):
            raise ValueError(
                f"output {(missing or names)[0]!r} has no loss; one that is to have none has None, and another has one"
            )
        self.losses = [None if one is None else _losses.get(one) for one in given_losses]
        self.custom = not all(one is None or hasattr(one, "kernel") for one in self.losses)
        self.target_shapes = []
        for one, name, shape in zip(self.losses, names, shapes):
            try:
                has_kernel = hasattr(one, "kernel")
                self.target_shapes.append(_core.infer_target(one.kernel, one.attributes(), shape) if has_kernel else None)
            except ValueError as error:
                raise ValueError(f"output {name!r} of shape {(None, *shape)}: {error}") from None
        weights = _by_output(1.0 if loss_weights is None else loss_weights, names, "loss_weights")
        self.loss_weights = [_loss_weight(1.0 if weight is None else weight) for weight in weights]
        flat = isinstance(metrics, (list, tuple)) and not any(isinstance(one, (list, tuple)) for one in metrics)
        if metrics is None or (flat and len(names) == 1):
            of_output: list[Any] = [list(metrics or [])] * len(names)
        else:
            of_output = [
                [] if one is None else one if isinstance(one, (list, tuple)) else [one]
                for one in _by_output(metrics, names, "metrics")
            ]
        for name, one, group in zip(names, self.losses, of_output):
            if group and one is None:
                raise ValueError(f"metrics: output {name!r} has no loss, and so no targets to compare with")
        self.names, self._shapes, self._given_metrics = list(names), list(shapes), of_output
        self._choose_metrics(self.losses)
        self.resolved = True

    def _choose_metrics(self, losses: Sequence[Any]) -> None:
        self.metrics = [
            [_metrics.resolve(one, loss, shape) for one in group]
            for group, loss, shape in zip(self._given_metrics, losses, self._shapes)
        ]
        self._sizes = [
            [_core.metric_size(one.kernel, one.attributes(), shape) for one in group]
            for group, shape in zip(self.metrics, self._shapes)
        ]

    def fitted_to(self, targets: Sequence[np.ndarray], names: Sequence[str]) -> Compiled:
        """This, with the metrics that suit these targets: those of a loss that is a function are known by their shape alone.

        Parameters
        ----------
        targets : sequence of ndarray
        names : sequence of str
            What they are called in messages.

        Raises
        ------
        ValueError
            If the targets of a function that is watched by metrics are neither like its predictions nor class numbers, if a
            class number is out of range, or a metric has no meaning for them.
        """
        if not self.custom:
            return self
        losses = list(self.losses)
        for i, (loss, group, shape) in enumerate(zip(self.losses, self._given_metrics, self._shapes)):
            if group and not hasattr(loss, "kernel"):
                losses[i] = GivenTargets(loss, _data.are_labels(targets[i], shape, names[i]))
        fitted = copy.copy(self)
        fitted._choose_metrics(losses)
        return fitted

    def new_sums(self) -> np.ndarray:
        """Accumulators of all metrics, at zero."""
        return np.zeros(sum(map(sum, self._sizes)))

    def sums_of(self, sums: np.ndarray) -> list[list[np.ndarray]]:
        """The accumulators of each output's metrics: views."""
        parts: list[list[np.ndarray]] = []
        at = 0
        for sizes in self._sizes:
            parts.append([])
            for size in sizes:
                parts[-1].append(sums[at : at + size])
                at += size
        return parts

    def logs(self, totals: np.ndarray, sums: np.ndarray, rows: int) -> dict[str, Any]:
        """Loss and metrics by name, from their sums over a number of rows."""
        means = (totals / max(rows, 1)).tolist()
        logs = {"loss": means[0]}
        if not len(sums) and len(means) == 2:
            return logs
        several = len(self.names) > 1
        named = [(f"{name}_loss", mean) for name, mean, loss in zip(self.names, means[1:], self.losses) if loss is not None]
        if len(named) > 1:
            logs.update(named)
        for name, group, parts in zip(self.names, self.metrics, self.sums_of(sums)):
            for metric, part in zip(group, parts):
                key = base = f"{name}_{metric.name}" if several else metric.name
                number = 1
                while key in logs:
                    key, number = f"{base}_{number}", number + 1
                logs[key] = metric.result(part)
        return logs


class PlanCache:
    """The plans of one model, made when they are first needed."""

    def __init__(self, model: Trainer) -> None:
        self._model = model
        self._plans: dict[Any, _core.Plan] = {}
        self._pools: dict[Any, _core.PlanPool] = {}  # of plans to predict and evaluate, by several threads
        self._latest: _core.Plan | None = None
        self._snapshot: Snapshot | None = None
        self._one_thread = False
        # What follows from the model's structure: until the version changes.
        #: Makes predictions of a few rows at once, where it has been told a plan for them; else returns None.
        self.predictor = _core.Predictor()
        self._version = -1
        self._structure: tuple[Any, ...] = ()
        self._keyed: list[Layer] = []  # layers to be asked each time
        self._columns: list[tuple[int, str, Callable[[int], float]]] = []
        self.slots = Slots(model)

    def clear(self, keep_slots: bool = False) -> None:
        """Forgets plans and the optimizer's slots: what compile was told, or the model, has changed."""
        self.forget()
        if not keep_slots:
            self.slots.clear()

    def forget(self) -> None:
        """Forgets plans, but not the optimizer's slots."""
        self._plans.clear()
        self._pools.clear()
        self._latest = self._snapshot = None
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

    def _refresh(self) -> None:
        """Looks at the model anew, if any has changed."""
        version = _core.version()
        if version == self._version:
            return
        model = self._model
        layers = model._graph.leaves
        self._keyed = [layer for layer in layers if type(layer).plan_key is not Layer.plan_key]
        self._structure = (tuple(layer.trainable for layer in layers), model._slab, _core.isa(), self._one_thread)
        self._columns = [
            (node, name, function)
            for node, operation in enumerate(model._graph.operations)
            for name, function in operation.layer.scheduled_attributes(operation).items()
        ]
        self._version = version

    def latest(self) -> _core.Plan | None:
        """The plan made last."""
        return self._latest

    def _key(self, kind: str, capacity: int, averages: Mapping[Weight, np.ndarray]) -> tuple[Any, ...]:
        """What a plan depends on."""
        self._refresh()
        averaged = (self._model._require_compiled().optimizer.averaged_slot(), frozenset(averages)) if averages else None
        return (kind, capacity, self._structure, averaged, tuple([layer.plan_key() for layer in self._keyed]))

    def get(self, kind: str, rows: int, exact: bool = True) -> _core.Plan:
        """A plan for batches of so many rows, for the thread that trains.

        Parameters
        ----------
        kind : {"train", "evaluate", "predict", "custom"}
            "custom": with a backward pass, and gradients of outputs and inputs exchanged with Python.
        rows : int
        exact : bool
            False: for calls whose batches differ; the next power of two will do, where these are no large arrays.
        """
        averages = self.slots.averages() if kind in _INFERENCE else {}
        capacity = rows if exact else _rounded(rows)
        key = self._key(kind, capacity, averages)
        plan = self._plans.pop(key, None)
        if plan is None:
            plan = self._make(kind, capacity, averages)
        self._plans[key] = self._latest = plan
        _forget_oldest(self._plans)
        return plan

    def take(self, kind: str, rows: int, snapshot: Snapshot | None) -> Any:
        """A manager that gives this thread a plan to predict or evaluate batches of so many rows, or somewhat more.

        Parameters
        ----------
        kind : {"evaluate", "predict", "penalize"}
            "penalize": as "predict", with what layers add to the loss.
        rows : int
        snapshot : Snapshot or None
            Whose weights are to be used; `bind` brings them to the plan. None: the model's.
        """
        averages = self.slots.averages() if snapshot is None else {}
        capacity = _rounded(rows)
        key = (snapshot is None, *self._key(kind, capacity, averages))
        pool = self._pools.pop(key, None)
        if pool is None:
            pool = _core.PlanPool(lambda: self._make(kind, capacity, averages, snapshot is not None), _core.cpu_count())
        self._pools[key] = pool
        _forget_oldest(self._pools)
        return pool.take()

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
            latest = self._snapshot = Snapshot(self._model)
        return latest

    def keep_ready(self, plan: _core.Plan) -> None:
        """Gives a plan that predicted a whole array to `predictor`, where nothing else is to be done for one."""
        model = self._model
        if len(model.inputs) == len(model.outputs) == 1 and not model._labels and not model._slab.watched:
            self._refresh()
            keys = [(layer.plan_key, layer.plan_key()) for layer in self._keyed]
            self.predictor.keep(
                plan,
                model.inputs[0].sample_shape,
                model.outputs[0].sample_shape,
                keys,
                model._slab.gate,
                model._graph.batch_size is not None,
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
        varying = [[function(int(step)) for _, _, function in columns] for step in steps]
        return np.hstack([np.broadcast_to(rows, (n_batches, rows.shape[-1])), varying])

    def _schedules(self) -> list[tuple[int, str, Callable[[int], float]]]:
        """(node, attribute, function of the step) of the layers' attributes that vary in training."""
        self._refresh()
        return self._columns

    def _fold_scaling(self) -> tuple[list[tuple[Any, Any, Any]], set[Operation]]:
        """The model's inputs, with the affine maps that they alone go through, and the operations that these replace."""
        model = self._model
        readers: dict[int, list[Operation]] = {}
        for operation in model._graph.operations:
            for tensor in operation.inputs:
                readers.setdefault(id(tensor), []).append(operation)
        outputs = set(map(id, model.outputs))
        inputs, folded = [], set()
        for tensor in model.inputs:
            shape, scale, shift = tensor.sample_shape, None, None
            while id(tensor) not in outputs and [operation.op for operation in readers.get(id(tensor), [])] == ["affine"]:
                (operation,) = readers[id(tensor)]
                if not hasattr(operation.layer, "affine_map"):
                    break
                factor, term = (np.broadcast_to(numbers, shape).ravel() for numbers in operation.layer.affine_map())
                scale, shift = (factor, term) if scale is None else (scale * factor, shift * factor + term)
                folded.add(operation)
                tensor = operation.outputs[0]
            inputs.append((shape, scale, shift))
        return inputs, folded

    def _idle_weights(self) -> set[Weight]:
        """Weights that no loss depends on, where an output has none: as in Keras, an optimizer leaves them as they are."""
        model, losses = self._model, self._model._require_compiled().losses
        if None not in losses:
            return set()
        ends = [tensor for tensor, loss in zip(model.outputs, losses) if loss is not None]
        ends += [tensor for operation in model._graph.operations if operation.op in PENALTIES for tensor in operation.outputs]
        needed = {weight for operation in sort_operations(model.inputs, ends) for weight in operation.weights}
        return {weight for weight in model.weights if weight not in needed and not weight.penalized}

    def _describe(
        self, weight: Weight, path: str, optimizer: Optimizer | None, average: np.ndarray | None, idle: bool
    ) -> tuple[Any, ...]:
        """A weight as the engine's parameter.

        Parameters
        ----------
        average : ndarray or None
            The numbers to compute with, where these are not the trained ones.
        idle : bool
            Whether the optimizer is to leave it as it is.
        """
        trainable = weight.trainable and weight.layer.trainable and not idle
        penalty = weight.regularizer if trainable else None  # as in Keras
        return (
            weight.engine_shape,
            self._model._slab.offsets[weight],
            trainable,
            optimizer is None or optimizer.decays(path),
            optimizer.rate_of(path) if optimizer is not None else 1.0,
            penalty.l1 if penalty is not None else 0.0,
            penalty.l2 if penalty is not None else 0.0,
            weight.constraint.values(weight.shape) if weight.constraint is not None else None,
            average,
            weight.shape if optimizer is None else optimizer.shape_of(path, weight.shape),
        )

    def _make(self, kind: str, rows: int, averages: Mapping[Weight, np.ndarray], apart: bool = False) -> _core.Plan:
        """A plan; apart: whose parameters are in a slab of its own."""
        model, slab = self._model, self._model._slab
        training = kind in ("train", "custom")
        used, paths = {*model._graph.weights(), *(weight for weight in model.weights if weight.penalized)}, model._paths()
        weights = [weight for weight in slab.weights if weight in used]
        numbers = {weight: i for i, weight in enumerate(weights)}
        values = {id(tensor): i for i, tensor in enumerate(model.inputs)}
        nodes: list[tuple[Any, ...]] = []
        penalized: set[Weight] = set()
        n_values = len(values)
        # Gradients of the inputs are asked of a custom plan: those of the inputs as they are given.
        inputs, folded = (
            self._fold_scaling() if kind != "custom" else ([(t.sample_shape, None, None) for t in model.inputs], set())
        )
        # Predictions do without what only adds to the loss.
        for operation in model._graph.leading if kind == "predict" else model._graph.operations:
            read = [values[id(tensor)] for tensor in operation.inputs]
            attributes = operation.layer.plan_attributes(operation)
            again = False
            if operation.op == "orthogonal_regularization":  # as other penalties of weights: once for each that is trained
                (kernel,) = operation.weights
                again = kernel in penalized or not (kernel.trainable and kernel.layer.trainable)
                penalized.add(kernel)
            if operation in folded or again:  # a view in its place, so that the nodes keep their numbers
                shape = operation.outputs[0].sample_shape
                sizes = {f"size_{axis}": size for axis, size in enumerate(shape)}
                nodes.append(("reshape", operation.layer.name, read, [], {"rank": len(shape), **sizes}))
            else:
                nodes.append((operation.op, operation.layer.name, read, [numbers[w] for w in operation.weights], attributes))
            for tensor in operation.outputs:
                values[id(tensor)] = n_values
                n_values += 1
        idle = self._idle_weights() if kind == "train" else set()
        compiled = model._require_compiled() if kind in ("train", "evaluate") else model._compiled
        with_loss = kind in ("train", "evaluate")
        outputs = []
        for i, (tensor, name) in enumerate(zip(model.outputs, model.output_names)):
            loss = compiled.losses[i] if with_loss else None
            outputs.append(
                (
                    values[id(tensor)],
                    loss.kernel if loss else None,
                    loss.attributes() if loss else None,
                    compiled.loss_weights[i] if with_loss else 1.0,
                    name,
                    values[id(tensor.mask)] if loss and tensor.mask is not None else None,
                )
            )
        metrics = []
        if with_loss:
            metrics = [(metric.kernel, metric.attributes(), i) for i, group in enumerate(compiled.metrics) for metric in group]
        optimizer = compiled.optimizer if training and compiled is not None and compiled.optimizer.kernel else None
        return _core.Plan(
            dtype=model.dtype,
            max_rows=rows,
            training=training,
            inputs=inputs,
            nodes=nodes,
            scheduled=[(node, name) for node, name, _ in self._schedules()] if training else [],
            parameters=[
                self._describe(weight, paths[weight], optimizer, averages.get(weight), weight in idle) for weight in weights
            ],
            outputs=outputs,
            metrics=metrics,
            optimizer=optimizer.kernel if optimizer else None,
            hyper=optimizer._fixed() if optimizer else None,
            parameter_slab=aligned_zeros(slab.size, slab.dtype) if apart else slab.values,
            gradient_slab=slab.gradients if training else None,
            slots=self.slots.arrays() if optimizer else [],
            seed=model.seed,
            n_threads=1 if self._one_thread else min((compiled and compiled.n_threads) or 0, _core.cpu_count()),
            input_gradients=kind == "custom",
        )


def _rounded(rows: int) -> int:
    """For how many rows a plan is made that is to serve other batches, too."""
    return rows if rows > _ROUNDED_ROWS else 1 << (rows - 1).bit_length()


def _forget_oldest(plans: dict[Any, Any]) -> None:
    """Leaves as many as are kept; other threads may do so at the same time."""
    for key in list(plans)[:-_KEPT_PLANS]:
        plans.pop(key, None)
