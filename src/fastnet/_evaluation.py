"""Losses and metrics of data that a model is not trained with, summed over what comes one part after another."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._custom_losses import add_losses, judge_rows, rows_of, update_metrics
from ._sparse_rows import as_numbers, packed_sizes
from ._weight_functions import penalty_of

if TYPE_CHECKING:
    from ._compiled import Compiled
    from ._hooks import Hooks
    from ._snapshots import Snapshot
    from ._weights import Weight

__all__ = ["Evaluation", "LossMeans"]

_EVALUATE = _core.FORWARD | _core.LOSS
#: Python gets control back this often while the engine works: for Ctrl-C.
_SLICE_SECONDS = 0.05


class Evaluation:
    """Sums of the losses and metrics of a model so far.

    Parameters
    ----------
    network : Inference
    compiled : Compiled
        With the metrics that suit the targets.
    hooks : Hooks

    Attributes
    ----------
    rows, batches : int
        How many have been looked at.
    totals, sums : ndarray
        Sums of the losses, and accumulators of the metrics.
    stopped : bool
        Whether a callback wants no more.
    judges : bool
        Whether there are metrics that are functions of arrays.
    kept : list of list of ndarray, or None
        Where it is a list, the outputs of each batch are put there, for `judge`, and these metrics are left out.
    """

    kept: list[list[np.ndarray]] | None = None

    def __init__(self, network: Any, compiled: Compiled, hooks: Hooks) -> None:
        self._network, self._compiled, self._hooks = network, compiled, hooks
        self.totals, self.sums = np.zeros(1 + len(network.outputs)), compiled.new_sums()
        self.rows, self.batches, self.stopped = 0, 0, False
        self.judges = compiled.calls_metrics

    def logs(self) -> dict[str, Any]:
        """The means."""
        return self._logs(self.rows)

    def _logs(self, rows: int) -> dict[str, Any]:
        return self._compiled.logs(self.totals, self.sums, rows)

    def add(
        self,
        inputs: list[np.ndarray],
        targets: list[Any],
        weights: list[Any],
        batch_size: int,
        snapshot: Snapshot | None,
        first: int,
    ) -> None:
        """Looks at more rows.

        Parameters
        ----------
        inputs, targets, weights
        batch_size : int
            Rows at once.
        snapshot : Snapshot or None
            Whose weights are to be used; None: the model's.
        first : int
            The number of the first batch.
        """
        run = self._run_custom if self._compiled.custom else self._run
        self.rows += run(inputs, targets, weights, batch_size, snapshot, first)
        self.batches += -(-len(inputs[0]) // batch_size)

    def add_sums(self, rows: int, totals: np.ndarray, sums: np.ndarray) -> None:
        """Adds what has been found elsewhere for other rows."""
        self.rows += rows
        self.totals += totals
        self._compiled.merge_sums(self.sums, sums)

    def judge(self, targets: list[Any], batches: list[list[np.ndarray]]) -> None:
        """Updates the metrics that are functions of arrays, from the outputs of batches that are those of the first rows."""
        fresh, row = self._compiled.new_sums(), 0
        for group, parts, begun in zip(self._compiled.tallies, self._compiled.sums_of(self.sums), self._compiled.sums_of(fresh)):
            for tally, part, start in zip(group, parts, begun):
                if self._compiled.custom or not tally.entries:
                    part[...] = start
        for outputs in batches:
            rows = slice(row, row + len(outputs[0]))
            update_metrics(self._compiled, rows_of(targets, rows), outputs, self.sums)
            row = rows.stop

    def _keep(self, outputs: list[np.ndarray], rows: range) -> None:
        """Puts the outputs of batches aside, which begin at these rows."""
        assert self.kept is not None
        for first in rows:
            self.kept.append([array[first : min(rows.stop, first + rows.step)] for array in outputs])

    def _run(
        self, inputs: Any, targets: list[Any], weights: list[Any], batch_size: int, snapshot: Snapshot | None, first: int
    ) -> int:
        network, n, row = self._network, len(inputs[0]), 0
        outputs = network._new_outputs(n) if self._compiled.takes_outputs else None
        with network._plans.take("evaluate", batch_size, snapshot, packed_sizes(inputs)) as plan:
            network._plans.bind(plan, snapshot)
            inputs = as_numbers(inputs)
            while row < n and not self.stopped:
                before = row
                row, _ = plan.run(
                    _EVALUATE if outputs is None else _EVALUATE | _core.FETCH,
                    n_rows=self._hooks.limit(row, batch_size, n),
                    first_row=row,
                    batch_size=batch_size,
                    inputs=inputs,
                    outputs=outputs,
                    targets=targets,
                    weights=weights,
                    step=first + row // batch_size,
                    seconds=_SLICE_SECONDS,
                    loss_sum=self.totals,
                    metrics=self.sums,
                )
                if outputs is not None and self.kept is not None:
                    self._keep(outputs, range(before, row, batch_size))
                elif outputs is not None:
                    judge_rows(self._compiled, targets, outputs, self.sums, range(before, row, batch_size))
                self.stopped = self._hooks.stops(functools.partial(self._logs, self.rows + row))
        return row

    def _run_custom(
        self, inputs: Any, targets: list[Any], weights: list[Any], batch_size: int, snapshot: Snapshot | None, first: int
    ) -> int:
        """With losses that are Python functions."""
        network, n, row = self._network, len(inputs[0]), 0
        while row < n and not self.stopped:
            rows = slice(row, min(n, row + batch_size))
            self._hooks.limit(row, batch_size, n)
            given = [array[rows] for array in inputs]
            outputs, _ = network._predict_rows(given, rows.stop - row, snapshot, self.totals, first + row // batch_size)
            batch = rows_of(targets, rows)
            add_losses(self._compiled, batch, outputs, rows_of(weights, rows), self.totals)
            if self.kept is None:
                update_metrics(self._compiled, batch, outputs, self.sums)
            else:
                self.kept.append(outputs)
            row = rows.stop
            self.stopped = self._hooks.stops(functools.partial(self._logs, self.rows + row))
        self.totals[0] += row * self._penalties([weight for weight in network.trainable_weights if weight.penalized], snapshot)
        return row

    def _penalties(self, weights: list[Weight], snapshot: Snapshot | None) -> float:
        """The penalties of weights, of the numbers that are evaluated with."""
        values = self._network._evaluation_values(snapshot) if weights else {}
        return sum(penalty_of(weight, values[weight]) for weight in weights)


class LossMeans:
    """Means of the losses that a step computes of each row, over batches so far.

    Parameters
    ----------
    step : Inference
        Whose outputs are the losses of the rows.
    hooks : Hooks

    Attributes
    ----------
    rows, batches : int
        How many have been looked at.
    totals : ndarray
        Sums of the losses.
    sums : ndarray
        Of metrics there are none.
    stopped : bool
        Whether a callback wants no more.
    """

    sums, judges, kept = np.zeros(0), False, None

    def __init__(self, step: Any, hooks: Hooks) -> None:
        self._step, self._hooks, self.totals = step, hooks, np.zeros(len(step.outputs))
        self.rows, self.batches, self.stopped = 0, 0, False

    def add_sums(self, rows: int, totals: np.ndarray, _: np.ndarray) -> None:
        """Adds what has been found elsewhere for other rows."""
        self.rows += rows
        self.totals += totals

    def logs(self) -> dict[str, Any]:
        """The means."""
        return dict(zip(self._step.output_names, (self.totals / self.rows).tolist()))

    def add(self, inputs: list[np.ndarray], _: Any, __: Any, batch_size: int, snapshot: Snapshot | None, first: int) -> None:
        """Looks at more rows; see `Evaluation.add`."""
        done = 0

        def logs(outputs: list[np.ndarray], before: int, end: int) -> dict[str, Any]:
            nonlocal done
            for row in range(done, end, batch_size):  # one by one: the same bits however many come at once
                rows = slice(row, min(end, row + batch_size))
                self.totals += [output[rows].sum(dtype=np.float64) for output in outputs]
            self.rows, done = self.rows + end - done, end
            return self.logs()

        outputs, _ = self._step._predict_rows(inputs, batch_size, snapshot, first=first, hooks=self._hooks, logs=logs)
        logs(outputs, 0, len(outputs[0]))
        self.batches += -(-len(inputs[0]) // batch_size)
        self.stopped = self._hooks.stopped
