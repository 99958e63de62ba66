"""Steps that consist of several updates, of each of which every process makes a part: of a `TrainStep`, or of a `train_step`."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._lowering import idle_weights
from .._sequence_stepper import SequenceStepper
from .._updates import Update, hyper_rows
from ._evaluation import merge
from ._exchanges import Exchanges, is_synchronized
from ._fit_stepper import DataParallelStepper
from ._protocol import FETCHED, GRADIENT, ROWS, SAYS, STEP
from ._stepper import SharedSteps, shared_steps
from ._tree import Node, part
from ._update import DividedUpdate, can_be_divided

if TYPE_CHECKING:
    from .._fit_options import Arrays
    from .._fit_state import FitState
    from .._hooks import Hooks
    from .._weights import Slab
    from ._data_parallel import DataParallel

__all__ = ["DataParallelSequenceStepper", "SharedUpdates", "train_together"]


class _Turn:
    """Updates whose gradients are computed with the same weights: one, but where a script takes the gradients of several first.

    Parameters
    ----------
    members : list of (int, Update)
        With their numbers in the step.

    Attributes
    ----------
    states : list of Weight
        What their operations keep from batch to batch.
    gaps : list of slice
        The parts of the slab of which they compute no gradient.
    """

    def __init__(self, members: Sequence[tuple[int, Update]]) -> None:
        self.members = list(members)
        weights = dict.fromkeys(weight for _, update in members for weight in update.weights)
        self.states = [weight for weight in weights if not weight.trainable]
        self.kept = [np.empty_like(weight.array) for weight in self.states]
        self.divisions: list[DividedUpdate | None] = [None for _ in members]
        self.gaps: list[slice] = []
        self.synchronized = any(is_synchronized(update) for _, update in members)
        self.exchanges: Exchanges | None = None
        self._version = -1

    @property
    def every(self) -> int:
        """It comes in each so many-th batch."""
        return self.members[0][1].every

    @property
    def name(self) -> str:
        return " and ".join(f"update {update.name!r}" for _, update in self.members)

    def look_at(self, slab: Slab, distribution: DataParallel, reduction: Any) -> None:
        """Finds what depends on which weights are trained, if any of that has changed."""
        if self._version == _core.version():
            return
        found = set(self.states)
        for i, (_, update) in enumerate(self.members):
            compiled: Any = update._require_compiled()
            found.update(set(update.trainable_weights) - idle_weights(update, compiled))
            self.divisions[i] = None
            if not reduction.small and can_be_divided(update, compiled):
                states = [] if i else self.states
                self.divisions[i] = DividedUpdate(update, compiled, distribution, reduction, states)
        self.gaps, end = [], 0
        for weight in sorted(found, key=lambda one: one.offset):
            if weight.offset > end:
                self.gaps.append(slice(end, weight.offset))
            end = weight.offset + weight.size
        if end < slab.size:
            self.gaps.append(slice(end, slab.size))
        self._version = _core.version()

    def keep(self) -> None:
        for weight, kept in zip(self.states, self.kept):
            np.copyto(kept, weight.array)

    def restore(self) -> None:
        for weight, kept in zip(self.states, self.kept):
            np.copyto(weight.array, kept)


class SharedUpdates(SharedSteps):
    """Makes the steps of a `TrainStep` together with the other processes, one update after another."""

    _sends_early = False

    def __init__(self, model: Any, compiled: Any, distribution: DataParallel) -> None:
        super().__init__(model, compiled, distribution)
        self._turns: list[_Turn] = []
        last = None
        for i, update in enumerate(model.updates):
            if update.group is not None and update.group == last:
                self._turns[-1] = _Turn([*self._turns[-1].members, (i, update)])
            else:
                self._turns.append(_Turn([(i, update)]))
            last = update.group

    def _limit_threads(self, n: int) -> None:
        super()._limit_threads(n)
        for update in self.model.updates:
            update._require_compiled().n_threads = n

    def _count_numbers(self) -> int:
        """Of each update the losses of its plan."""
        self._losses, end = [], SAYS
        for update in self.model.updates:
            self._losses.append(slice(end, end + 1 + len(update.outputs)))
            end = self._losses[-1].stop
        return end - SAYS

    def make(
        self,
        data: Arrays,
        rows: range,
        position: _core.Position,
        order: np.ndarray | None = None,
        capacity: int | None = None,
        stop: int = 0,
        **_: Any,
    ) -> int:
        """As of `SharedSteps`; where an update fails, those before it have been made."""
        model, compiled, n, inputs = self.model, self.compiled, len(rows), data[0]
        self._capacity = capacity or n
        try:
            hyper = hyper_rows(model.updates, 1)  # by schedules, which may be the user's
            number, arrays = compiled.optimizer.batches, model._new_arrays(max(len(inputs[0]), rows.stop))
        except BaseException as raised:
            self.exchange(STEP, raised)
            raise
        self._settle(n)
        totals, sums = position.totals.copy(), position.sums.copy()
        self._said[self._first : self._end] = 0
        self._step = {
            "inputs": [[inputs[i] for i in update.reads] for update in model.updates],
            "outputs": arrays,
            "hyper": hyper,
            "n": n,
            "rows": rows,
            "order": order,
            "step": number * self.distribution.pieces,
        }
        due = [turn for turn in self._turns if (number + 1) % turn.every == 0]
        with model._slab.gate.writing():
            if not due:
                stop = self.exchange(STEP, None, stop, same=n)
            for i, turn in enumerate(due):
                stop = self._make_turn(turn, stop, i > 0, totals, sums)
            done = totals - position.totals
            position.totals, position.sums = totals, sums
            compiled.optimizer.counter.count(1, position, position.row + n, position.squared_norm)
            if arrays:
                self._add_values(inputs, done[1:] / n, sums)
        return stop

    def _make_turn(self, turn: _Turn, stop: int, begun: bool, totals: np.ndarray, sums: np.ndarray) -> int:
        """Updates by gradients at the same weights."""
        distribution, reduction, n = self.distribution, self._reduction, self._step["n"]
        error: BaseException | None = None
        plans = self._plans_of(turn, begun) if turn.synchronized else {}
        try:
            turn.look_at(self.model._slab, distribution, reduction)
            turn.keep()
            try:
                if turn.synchronized:
                    self._compute_in_parts(turn, plans)
                else:
                    reduction.compute(functools.partial(self._compute_turn, turn))
            finally:
                turn.restore()
        except BaseException as raised:
            error = raised
        stop = self.exchange(STEP, error, stop, same=n, begun=begun)
        try:
            finite = reduction.add_up(1 / distribution.pieces)
            for i, update in turn.members:
                at = self._losses[i].start
                loss = sum(said[at] for said in self._said)
                if not np.isfinite(loss):
                    raise FloatingPointError(
                        f"update {update.name!r}: the loss became {loss / n} at step {update.optimizer.batches}; its weights are those "
                        "from before that step"
                    )
            if not finite:
                raise FloatingPointError(
                    f"{turn.name}: the gradient became infinite or nan at step {turn.members[0][1].optimizer.batches}, though the loss did "
                    "not; its weights are those from before that step"
                )
            if None in turn.divisions:
                reduction.share(self._gradients)
            for k in range(len(turn.members)):
                self.model._change_weights(self._update_one, turn, k, totals, sums)
        except Exception as raised:
            self._fail(raised)
            raise
        return stop

    def _compute_turn(self, turn: _Turn, node: Node, gradients: np.ndarray) -> bool:
        """Leaves the gradients of a piece of the batch in an array, and what states became less what they were."""
        piece = node[0]
        first, end = part(self._step["n"], self.distribution.pieces, piece)
        if first == end:
            gradients.fill(0)
            return True
        for i, update in turn.members:
            update._plans.part(self._rows_of_piece(), gradients).run(**self._arguments_of(i, update, piece))
        self._end_turn(turn, gradients, end - first)
        return True

    def _rows_of_piece(self) -> int:
        return -(-self._capacity // self.distribution.pieces)

    def _arguments_of(self, i: int, update: Update, piece: int) -> dict[str, Any]:
        """What the plan of an update is told of a piece."""
        now = self._step
        first, end = part(now["n"], self.distribution.pieces, piece)
        start, outputs = now["rows"].start, now["outputs"][i] if now["outputs"] else None
        return {
            "phases": GRADIENT if outputs is None else FETCHED,
            "outputs": outputs,
            "n_rows": start + end,
            "first_row": start + first,
            "batch_size": end - first,
            "inputs": now["inputs"][i],
            "targets": [None] * len(update.outputs),
            "order": now["order"],
            "step": now["step"] + piece,
            "hyper": update._plans.hyper_of_part(now["hyper"][i], now["n"] / (end - first)),
            "loss_sum": self._said[piece, self._losses[i]],
        }

    def _end_turn(self, turn: _Turn, gradients: np.ndarray, n: int) -> None:
        """Weights the gradients of a piece by its rows; with them what states became less what they were, which they are again."""
        for gap in turn.gaps:
            gradients[gap] = 0
        for weight, kept in zip(turn.states, turn.kept):
            np.subtract(weight.array, kept, out=weight.view_of(gradients))
        turn.restore()
        share = n * self.distribution.pieces / self._step["n"]
        if share != 1:
            np.multiply(gradients, share, out=gradients)

    def _plans_of(self, turn: _Turn, begun: bool) -> dict[int, tuple[_core.Plan, np.ndarray]]:
        """As `_plans_in_parts`, of the update of a turn that looks at whole batches: all agree to make it."""
        ((_, update),), pieces, n = turn.members, self.distribution.pieces, self._step["n"]
        error, found = None, {}
        try:
            for piece, gradients in self._reduction.begin().items():
                found[piece] = update._plans.part(self._rows_of_piece(), gradients, replicas=pieces), gradients
            turn.exchanges = Exchanges.of(turn.exchanges, self.distribution, found[self._first][0].exchanges)
            self._said[self._first : self._end, ROWS] = turn.exchanges.checksum
        except BaseException as raised:
            error = raised
        self.exchange(STEP, error, same=n, begun=begun)
        if len(set(self._said[:, ROWS])) > 1:
            self._reduction.restart()
            raise RuntimeError("the processes do not make the same step: other layers are trained in some of them")
        return found

    def _compute_in_parts(self, turn: _Turn, plans: Mapping[int, tuple[_core.Plan, np.ndarray]]) -> None:
        """`_compute_turn` of all pieces of this process, among exchanges with the others."""
        ((i, update),) = turn.members
        assert turn.exchanges is not None

        def arguments(piece: int) -> dict[str, Any]:
            return {name: value for name, value in self._arguments_of(i, update, piece).items() if name != "phases"}

        phases = FETCHED if self._step["outputs"] and self._step["outputs"][i] is not None else GRADIENT
        turn.exchanges.run(plans, self._step["n"], phases, arguments, functools.partial(self._end_turn, turn))
        self._reduction.end()

    def _update_one(self, turn: _Turn, k: int, totals: np.ndarray, sums: np.ndarray) -> None:
        """The step of the optimizer of an update, by the sum of the gradients."""
        i, update = turn.members[k]
        n, hyper, division = self._step["n"], self._step["hyper"][i], turn.divisions[k]
        at, counter = self._losses[i], update.optimizer.counter
        losses = np.zeros(at.stop - at.start)
        for said in self._said:
            losses += said[at]
        try:
            if division is not None:
                self._divided = True
                position = _core.Position()
                position.squared_norm = sums[i]
                division.make(hyper, n, self._capacity, position=position, staged=(0, losses, sums))
                sums[i] = position.squared_norm
            else:
                for weight in [] if k else turn.states:
                    weight.array[...] += weight.view_of(self._gradients)
                plan = update._plans.get("train", self._capacity)
                plan.run(
                    _core.UPDATE,
                    n_rows=n,
                    batch_size=n,
                    step=counter.batches,
                    counter=counter,
                    hyper=hyper,
                    loss_sum=losses,
                    gradient_squares=sums[i],
                )
                sums[i] = plan.gradient_squares
        except FloatingPointError as error:
            raise FloatingPointError(f"update {update.name!r}: {error}") from None
        totals[1 + i] += losses[0]
        sums[len(self.model.updates) + i] += n

    def say(self, found: Mapping[int, Any]) -> None:
        """As of `SharedSteps`: there are no metrics, and losses in the place of the first number."""
        self._said[self._first : self._end] = 0
        for piece, sums in found.items():
            self._said[piece, SAYS - 1 : SAYS + len(sums.totals)] = sums.rows, *sums.totals

    def evaluated(self, hooks: Hooks) -> dict[str, Any]:
        """After the exchange: the losses of all pieces."""
        end = SAYS + len(self.model.outputs)
        said = ((int(piece[SAYS - 1]), piece[SAYS:end], piece[:0]) for piece in self._said)
        return merge(self.model, self.compiled, hooks, said)

    def _add_values(self, inputs: list[np.ndarray], losses: np.ndarray, sums: np.ndarray) -> None:
        """Adds what metrics are told of the batch, in each process of all of it."""
        now, pieces = self._step, self.distribution.pieces
        start, n, arrays = now["rows"].start, now["n"], now["outputs"]
        mine = slice(start + part(n, pieces, self._first)[0], start + part(n, pieces, self._end)[0])
        own = [None if array is None else array[mine] for group in arrays for array in group]
        everything = self.distribution.comm.allgather(own)
        asked = (array for group in arrays for array in group)
        for array, *parts in zip(asked, *everything):
            if array is not None:
                np.concatenate(parts, out=array[start : start + n])
        error: BaseException | None = None
        try:
            self.model._add_values(inputs, now["order"], arrays, slice(start, start + n), n, losses, sums)
        except BaseException as raised:
            error = raised
        self.exchange(STEP, error, same=n, begun=True)


class DataParallelSequenceStepper(DataParallelStepper, SequenceStepper):
    """Steps of several updates, made together with the other processes."""

    _steps = SharedUpdates

    def _divides_validation(self, fit: FitState) -> bool:
        """Where the model has a `train_step`, each process looks at all that it is validated with."""
        return fit.model._shown is fit.model


def train_together(step: Any, inputs: list[np.ndarray], totals: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step of a `TrainStep` on rows as one batch; returns the sums of the losses, and all else that is added up."""
    position = _core.Position()
    position.totals, position.sums = totals, sums
    shared = shared_steps(step, step._require_compiled(), step.distribution, "train_on_batch", kind=SharedUpdates)
    shared.make_alone((inputs, [], []), len(inputs[0]), position)
    return position.totals, position.sums
