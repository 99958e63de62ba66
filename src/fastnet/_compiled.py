"""What compile was told, made definite once the outputs of the model are known."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _data
from . import losses as _losses
from . import metrics as _metrics
from ._graph import SymbolicTensor
from ._tallies import FormulaTally, Tally, check_own, make_tally
from ._traced_losses import Formula, NotTraced, TracedLoss
from .metrics.base import GivenTargets, has_labels, is_of_engine

if TYPE_CHECKING:
    from ._graph import Graph
    from .optimizers import Optimizer

__all__ = ["Compiled"]


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


#: What logs and histories have besides: a metric of such a name has a number behind it, as one of the name of another has.
_TAKEN = ("learning_rate", "gradient_norm", "seconds", "val_loss")


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
    functions : list of int
        The outputs whose loss is a function or a class of the user's, of arrays or in `fastnet.ops`.
    traced : list of TracedLoss or None
        For each output: its loss as operations, for the targets seen last, where it is written in `fastnet.ops`.
    labels : list of bool
        For each output with a traced loss: whether its metrics take targets for class numbers.
    own : list of (int, int)
        Output and number of the metrics that are functions or classes of the user's.
    tallies : list of list of Tally
        What is added up for the metrics of each output.
    custom : bool
        Whether a loss is a Python function of arrays, so that each step passes through Python.
    sequence : bool
        Whether a step consists of several updates: of a `TrainStep`.
    """

    sequence = False

    def __init__(
        self, optimizer: Optimizer, loss: Any, metrics: Any, loss_weights: Any, n_threads: int | None, precise: bool = False
    ) -> None:
        self.optimizer = optimizer
        self.n_threads, self.precise = n_threads, precise
        self.resolved = False
        self.custom = False
        self.error: NotTraced | None = None  # why a loss could not be traced
        self.losses: list[Any] = []
        self.functions: list[int] = []
        self.traced: list[TracedLoss | None] = []
        self.labels: list[bool] = []
        self.own: list[tuple[int, int]] = []
        self.tallies: list[list[Tally]] = []
        #: The metrics by the names that they have in logs, as far as there were any.
        self.logged: dict[str, _metrics.Metric] = {}
        self._traces: dict[Any, Any] = {}  # by what is traced, and for which targets
        self._traced_metrics: dict[tuple[int, int], Any] = {}
        self._targets: dict[tuple[int, tuple[int, ...]], SymbolicTensor] = {}
        self.target_shapes: list[tuple[int, ...] | None] = []
        self.metrics: list[list[_metrics.Metric]] = []
        self.loss_weights: list[float] = []
        self.names: list[str] = []
        self.given = (loss, metrics, loss_weights)
        self._slices: list[list[slice]] = []
        self._shapes: list[tuple[int, ...]] = []
        self._given_metrics: list[list[Any]] = []
        for one in _leaves(loss_weights):
            if isinstance(one, (str, _metrics.Metric)):
                raise TypeError(f"loss_weights must be numbers, got {one!r}; metrics come after them, or by name: metrics=[...]")

    def renewed(self) -> Compiled:
        """The same for other outputs, which are not known yet."""
        found = Compiled(self.optimizer, *self.given, self.n_threads, self.precise)
        found.given = self.given
        return found

    def check_names(self) -> None:
        """ValueError or TypeError for losses and metrics that do not exist, while there are no outputs to ask."""
        loss, metrics, _ = self.given
        for one in _leaves(loss):
            _losses.get(one)
        for one in _leaves(metrics):
            _metrics.get(one)

    def resolve(self, outputs: Sequence[SymbolicTensor], names: Sequence[str], penalized: bool = False) -> None:
        """Chooses losses and metrics for these outputs; ValueError where they do not fit.

        Parameters
        ----------
        penalized : bool
            Whether layers add to the loss, so that none is needed here.
        """
        loss, metrics, loss_weights = self.given
        shapes = [tensor.sample_shape for tensor in outputs]
        given_losses = _by_output(loss, names, "loss")
        missing = [name for name in names if name not in loss] if isinstance(loss, Mapping) and "class_name" not in loss else []
        if loss is None and not penalized:
            raise ValueError(
                "compile needs a loss: a name such as 'mse', an object of fastnet.losses, or a function; or layers that add_loss"
            )
        if missing or (all(one is None for one in given_losses) and not penalized):
            raise ValueError(
                f"output {(missing or names)[0]!r} has no loss; one that is to have none has None, and another has one"
            )
        self.losses = [None if one is None else _losses.get(one) for one in given_losses]
        for one in self.losses:
            if isinstance(one, _losses.Loss):
                one.check_training()
        self.traced, self.labels = [None] * len(names), [False] * len(names)
        self._traces, self._traced_metrics, self._targets = {}, {}, {}
        self.functions = [i for i, one in enumerate(self.losses) if one is not None and not hasattr(one, "kernel")]
        self.custom = bool(self.functions)
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

    @property
    def writes_formulas(self) -> bool:
        """Whether a loss or a metric is a function or a class of the user's."""
        return bool(self.functions or self.own)

    @property
    def formulas(self) -> list[Formula]:
        """What the plans that train and evaluate compute beside the model."""
        tallies = [tally for group in self.tallies for tally in group if isinstance(tally, FormulaTally)]
        return [trace for trace in self.traced if trace is not None] + tallies

    @property
    def read_targets(self) -> list[tuple[int, SymbolicTensor]]:
        """The outputs whose targets formulas read, with these."""
        found = {i: trace.target for i, trace in enumerate(self.traced) if trace is not None}
        for i, group in enumerate(self.tallies):
            found.update((i, tally.target) for tally in group if isinstance(tally, FormulaTally))
        return sorted(found.items())

    def trace(
        self, targets: Sequence[np.ndarray | None], graph: Graph, outputs: Sequence[SymbolicTensor], names: Sequence[str]
    ) -> None:
        """Traces the losses and metrics that are written in `fastnet.ops`, for targets of these shapes.

        Raises
        ------
        TypeError, ValueError
            As `TracedLoss`; if only some of the losses can be traced, or a mask does not fit their results.
        """
        for i in self.functions:
            loss, target = self.losses[i], targets[i]
            assert target is not None
            key = (i, target.shape[1:])
            if key not in self._traces:
                try:
                    self._traces[key] = TracedLoss(loss, graph, self._target(*key), outputs[i], names[i])
                except NotTraced as error:
                    if isinstance(loss, _losses.Loss):
                        raise TypeError(f"output {names[i]!r}: {type(loss).__name__}.call: {error}") from error
                    self._traces[key], self.error = None, error
            self.traced[i] = self._traces[key]
        self.custom = any(self.traced[i] is None for i in self.functions)
        self._traced_metrics = {
            (i, j): self._trace_metric(i, j, targets[i], graph, outputs[i], names[i]) for i, j in self.own if not self.custom
        }
        if self.custom:
            self._check_custom(outputs, names)
            return
        seen = self._seen(targets, names) if self.functions else self.losses
        self.labels = [has_labels(loss) for loss in seen]
        self._choose_metrics(seen)

    def for_export(self, graph: Graph, outputs: Sequence[SymbolicTensor], names: Sequence[str]) -> Compiled:
        """This without metrics, and with losses traced for the targets seen last, or else for such as predictions or class numbers.

        Raises
        ------
        NotTraced
            If a loss is a function of arrays.
        """
        found = copy.copy(self)
        found.traced, found.tallies = list(self.traced), [[] for _ in self.tallies]
        for i in self.functions:
            shape, error = outputs[i].sample_shape, None
            for target in [] if found.traced[i] is not None else [shape, shape[:-1]]:
                try:
                    found.traced[i] = TracedLoss(
                        self.losses[i], graph, SymbolicTensor(target, None, "y_true"), outputs[i], names[i]
                    )
                    break
                except (TypeError, ValueError) as reason:
                    error = error or reason
            if found.traced[i] is None:
                raise NotTraced(f"that of output {names[i]!r} fails so: {error}")
        return found

    def seen_targets(self, i: int) -> list[tuple[int, ...]]:
        """The shapes of targets for which formulas of an output have been traced."""
        return [shape for output, shape in self._targets if output == i]

    def _target(self, i: int, shape: tuple[int, ...]) -> SymbolicTensor:
        """The targets of an output: one input of the plan for its loss and its metrics."""
        return self._targets.setdefault((i, shape), SymbolicTensor(shape, None, "y_true"))

    def _trace_metric(self, i: int, j: int, target: Any, graph: Graph, y_pred: SymbolicTensor, name: str) -> Any:
        """A metric of the user's as operations, or why it is none."""
        key = (i, j, target.shape[1:])
        if key not in self._traces:
            metric = self.metrics[i][j]
            try:
                self._traces[key] = FormulaTally(metric, graph, self._target(i, key[2]), y_pred, name)
            except NotTraced as error:
                if y_pred.mask is not None and isinstance(metric, _metrics.MeanMetricWrapper):
                    raise TypeError(
                        f"metric {metric.name!r}: output {name!r} has a mask, which a function of arrays would not heed; written in "
                        f"fastnet.ops it does, as which it fails: {error}"
                    ) from error
                self._traces[key] = error
        return self._traces[key]

    def _check_custom(self, outputs: Sequence[SymbolicTensor], names: Sequence[str]) -> None:
        """ValueError for what does not go with losses that are functions of arrays."""
        if any(self.traced):
            name = next(name for name, trace in zip(names, self.traced) if trace is not None)
            raise ValueError(
                f"output {name!r} has a loss in fastnet.ops beside another one that is a function of arrays: write both in fastnet.ops"
            ) from self.error
        for one, tensor, name in zip(self.losses, outputs, names):
            if hasattr(one, "kernel") and tensor.mask is not None:
                raise ValueError(
                    f"output {name!r} has a mask, which its loss would not heed: beside a loss that is a Python function losses are "
                    "computed without masks. Give it a Python function too, or none of the outputs one"
                )

    def _seen(self, targets: Sequence[np.ndarray | None], names: Sequence[str]) -> list[Any]:
        """The losses, of which those that are functions know whether their targets are class numbers, where metrics ask."""
        losses = list(self.losses)
        for i in self.functions:
            if self._given_metrics[i]:
                losses[i] = GivenTargets(losses[i], _data.are_labels(targets[i], self._shapes[i], names[i]))
        return losses

    def _choose_metrics(self, losses: Sequence[Any]) -> None:
        self.metrics = [
            [_metrics.resolve(one, loss, shape) for one in group]
            for group, loss, shape in zip(self._given_metrics, losses, self._shapes)
        ]
        self.own = [(i, j) for i, group in enumerate(self.metrics) for j, metric in enumerate(group) if not is_of_engine(metric)]
        for i, j in self.own:
            check_own(self.metrics[i][j])
        self.tallies = [
            [make_tally(metric, shape, self._traced_metrics.get((i, j))) for j, metric in enumerate(group)]
            for i, (group, shape) in enumerate(zip(self.metrics, self._shapes))
        ]
        at = 0
        self._slices = [[slice(0)] * len(group) for group in self.tallies]
        for by_engine in (True, False):  # whose accumulators come first
            for i, group in enumerate(self.tallies):
                for j, tally in enumerate(group):
                    if bool(tally.entries) == by_engine:
                        self._slices[i][j] = slice(at, at + tally.size)
                        at += tally.size

    @property
    def takes_outputs(self) -> bool:
        """Whether a metric is called with the arrays of each batch, in plans whose losses are the engine's."""
        return not self.custom and any(not tally.entries for group in self.tallies for tally in group)

    @property
    def calls_metrics(self) -> bool:
        """Whether a metric is called with the arrays of each batch."""
        return self.takes_outputs or (self.custom and any(self.tallies))

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
        fitted = copy.copy(self)
        fitted._choose_metrics(self._seen(targets, names))
        return fitted

    def new_sums(self) -> np.ndarray:
        """Accumulators of all metrics, as before the first row."""
        sums = np.zeros(max((part.stop for group in self._slices for part in group), default=0))
        for tally, part in self._parts(sums):
            tally.start(part)
        return sums

    def merge_sums(self, sums: np.ndarray, other: np.ndarray) -> None:
        """Adds the accumulators of all metrics for other rows, in place."""
        if not len(sums):
            return
        for (tally, part), (_, more) in zip(self._parts(sums), self._parts(other)):
            tally.merge(part, more)

    def _parts(self, sums: np.ndarray) -> list[tuple[Tally, np.ndarray]]:
        return [(tally, part) for group, parts in zip(self.tallies, self.sums_of(sums)) for tally, part in zip(group, parts)]

    def sums_of(self, sums: np.ndarray) -> list[list[np.ndarray]]:
        """The accumulators of each output's metrics: views."""
        return [[sums[part] for part in group] for group in self._slices]

    def logs(self, totals: np.ndarray, sums: np.ndarray, rows: int) -> dict[str, Any]:
        """Loss and metrics by name, from their sums over a number of rows."""
        means = (totals / max(rows, 1)).tolist()
        logs = {"loss": means[0]}
        if not len(sums) and len(means) == 2 and not self.own:
            return logs
        several = len(self.names) > 1
        named = [(f"{name}_loss", mean) for name, mean, loss in zip(self.names, means[1:], self.losses) if loss is not None]
        if len(named) > 1:
            logs.update(named)
        found: dict[str, Any] = {}
        for name, group, parts in zip(self.names, self.tallies, self.sums_of(sums)):
            for tally, part in zip(group, parts):
                value = tally.result(part)
                for key, one in value.items() if isinstance(value, dict) else [(tally.metric.name, value)]:
                    key = base = f"{name}_{key}" if several else key
                    number = 1
                    while key in logs or key in found or key in _TAKEN:
                        key, number = f"{base}_{number}", number + 1
                    found[key], self.logged[key] = one, tally.metric
        return {**logs, **({key: found[key] for key in sorted(found)} if several else found)}  # in Keras's order
