"""Steps of which each process makes a part."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._custom_losses import add_losses, rows_of, update_metrics
from .._hooks import Hooks
from ._agreement import agree, check_pieces
from ._evaluation import evaluate_batches, evaluate_pieces, merge
from ._exchanges import Exchanges, is_synchronized
from ._meetings import CALLS, differing, message_of
from ._parts import StepsInParts, can_be_together
from ._protocol import (
    CALL,
    FAILED,
    FETCHED,
    FINE,
    GRADIENT,
    INTERRUPTED,
    KIND,
    KINDS,
    ROWS,
    SAME,
    SAYS,
    STATUS,
    STEP,
    STOP,
    UNEQUAL,
)
from ._reduction import Reduction
from ._tree import Node, part
from ._update import DividedUpdate, can_be_divided

if TYPE_CHECKING:
    from .._compiled import Compiled
    from .._fit_options import Arrays
    from ..data.feed import Feed
    from ._data_parallel import DataParallel

__all__ = ["SharedSteps", "shared_steps"]

#: Bytes that one call may keep of all of its pieces: of more, one piece after another is faster, as it stays in the caches.
_ONE_CALL = 8 << 20


class SharedSteps(StepsInParts):
    """Makes steps of a model together with the other processes.

    Parameters
    ----------
    model : Model
    compiled : Compiled
    distribution : DataParallel

    Raises
    ------
    ValueError
        For models and losses that cannot be trained in pieces.
    """

    #: Whether gradients may be sent while others are computed.
    _sends_early = True

    def __init__(self, model: Any, compiled: Compiled, distribution: DataParallel) -> None:
        self.model, self.compiled, self.distribution = model, compiled, distribution
        if compiled.n_threads is None and distribution.size > 1:
            self._limit_threads(distribution.n_threads)
            model._plans.forget()
        self.over = ""  # why nothing of this call is made together any more, which all processes know
        self._step: dict[str, Any] = {}
        self._capacity = 0
        self._arenas: dict[int, int] = {}  # bytes that a piece of so many rows keeps
        self._divided = False  # whether the last step was
        self._divides, self._version = False, -1  # whether the next one is, and as of when
        self._division: DividedUpdate | None = None
        self._gradients = model._slab.gradients
        self._synchronized = is_synchronized(model)
        self._exchanges: Exchanges | None = None
        self._together = can_be_together(model, compiled, distribution)
        self._states = [weight for weight in model.weights if not weight.trainable]
        one_by_one = self._sends_early and not (self._synchronized or compiled.custom)
        offsets = list(model._slab.offsets.values()) if one_by_one else ()
        states = [slice(weight.offset, weight.offset + weight.size) for weight in self._states]
        self._reduction = Reduction(distribution, self._gradients, self._together, self._synchronized, offsets, states)
        self._kept = [np.empty_like(weight.array) for weight in self._states]
        self._first, self._end = distribution.pieces_of[distribution.rank]
        self._n_totals = 1 + len(model.outputs)
        self._said = np.zeros((distribution.pieces, SAYS + self._count_numbers()))
        row = self._said.shape[1]
        self._counts = [row * (end - first) for first, end in distribution.pieces_of]

    def _limit_threads(self, n: int) -> None:
        """Where compile was told nothing of threads: a process has its share of the processors."""
        self.compiled.n_threads = n

    def _count_numbers(self) -> int:
        """How many numbers are told of a piece: the sums of its losses and metrics."""
        return self._n_totals + len(self.compiled.new_sums())

    def fits(self, model: Any, compiled: Compiled, distribution: DataParallel) -> bool:
        """Whether these are the steps of a model that has been compiled so."""
        same = self.model is model and self.compiled is compiled and self.distribution is distribution
        same = same and self._reduction.is_current() and self._gradients is model._slab.gradients
        return same and self._together == can_be_together(model, compiled, distribution)

    def make(
        self,
        data: Arrays,
        rows: range,
        position: _core.Position,
        order: np.ndarray | None = None,
        capacity: int | None = None,
        stop: int = 0,
        **options: Any,
    ) -> int:
        """One step on the rows of a range, which begins at the position; all processes make it together.

        Afterwards each has the weights and their averages, of other arrays of the optimizer only what `complete` adds to.

        Returns
        -------
        int
            The bits of `stop` that any process has said: `PAUSE`, `LOOK` and `WATCH`.

        Raises
        ------
        Exception
            What went wrong in this process; RuntimeError where it was in another one, with what that says. No weights have been changed.
        """
        model, distribution, n = self.model, self.distribution, len(rows)
        pieces = distribution.pieces
        self._capacity = capacity or n
        inputs, targets, weights = data
        same = n + sum(1 << (32 + i) for i, array in enumerate(weights[:20]) if array is not None)
        try:
            hyper = model._plans.hyper(1)  # by a schedule, which may be the user's
            outputs = model._new_outputs(rows.stop) if self.compiled.takes_outputs or self.compiled.custom else None
        except BaseException as raised:
            self.exchange(STEP, raised)
            raise
        plans = self._plans_in_parts(n) if self._synchronized else {}
        self._settle(n, agreed=self._synchronized)
        if self._reduction.overlaps:
            self.exchange(STEP, same=same)
        self._said[self._first : self._end] = 0
        for weight, kept in zip(self._states, self._kept):
            np.copyto(kept, weight.array)
        self._step = {"outputs": outputs, "hyper": hyper, "n": n, "rows": rows, "order": order, "options": options}
        self._step["phases"] = GRADIENT if outputs is None else FETCHED
        self._step.update(inputs=inputs, targets=targets, weights=weights, step=self.compiled.optimizer.batches * pieces)
        error: BaseException | None = None
        with model._slab.gate.writing():
            try:
                if self._synchronized:
                    self._compute_parts(plans)
                else:
                    self._reduction.compute(self._compute_by_function if self.compiled.custom else self._compute)
            except BaseException as raised:
                error = raised
            finally:
                for weight, kept in zip(self._states, self._kept):
                    np.copyto(weight.array, kept)
            stop = self.exchange(STEP, error, stop, same=same)
            try:
                finite = self._reduction.add_up(1 if self._together else 1 / pieces)
                totals, sums = self._add_said(n, position)
                if not np.isfinite(totals[0]):
                    raise FloatingPointError(
                        f"the loss became {(totals[0] - position.totals[0]) / n} at step {self.compiled.optimizer.iterations}; "
                        "the weights are those from before that step"
                    )
                if not finite:
                    raise FloatingPointError(
                        f"the gradient became infinite or nan at step {self.compiled.optimizer.batches}, though the loss did not; "
                        "the weights are those from before that step"
                    )
                self._update(hyper, n, position, totals, sums)
            except Exception as raised:
                self._fail(raised)
                raise
        return stop

    def make_alone(self, data: Arrays, n: int, position: _core.Position) -> None:
        """A step on so many rows that is all of a call."""
        within = self.distribution._meetings.within
        within.append(self)
        try:
            self.make(data, range(n), position)
            self.complete()
        finally:
            within.remove(self)

    def meet(self, call: int, error: BaseException | None = None) -> None:
        """Where a function of the user's makes another call that all make together, by its number; see `Meetings`."""
        self.exchange(CALL, error, same=call)

    def _fail(self, error: Exception) -> None:
        """After an exchange, where something has failed: numbers that are not finite are seen by all, of all else none can be told."""
        if self.over:
            return
        if not isinstance(error, FloatingPointError):
            self.distribution._meetings.end_all(error)
        self.complete()
        self.over = str(error)
        self.distribution._meetings.known(error)

    def _settle(self, n: int, agreed: bool = False) -> None:
        """Before a step: takes the memory that is shared from another model; agreed: after an exchange."""
        if self._reduction.is_disturbed() and not agreed:
            self.exchange(STEP, same=n)  # nobody reads it any more
        self._reduction.settle()

    def _add_said(self, n: int, position: _core.Position) -> tuple[np.ndarray, np.ndarray]:
        """The sums of losses and metrics with those of the pieces."""
        totals, sums = position.totals.copy(), position.sums.copy()
        split = SAYS + self._n_totals
        for i, piece in enumerate(self._said):  # in the order of their numbers
            first, end = part(n, len(self._said), i)
            if end > first:
                totals += piece[SAYS:split]
                self.compiled.merge_sums(sums, piece[split:])
        if self._step["outputs"] is not None and any(self.compiled.tallies):
            self._judge(sums)
        return totals, sums

    def _update(self, hyper: np.ndarray, n: int, position: _core.Position, totals: np.ndarray, sums: np.ndarray) -> None:
        """The step of the optimizer, by the sum of the gradients."""
        model, reduction = self.model, self._reduction
        staged = model._staged(position, n, totals, sums)
        if self._version != _core.version():
            self._divides = not reduction.small and not self.compiled.custom and can_be_divided(model, self.compiled)
            self._version = _core.version()
        self._divided = self._divides
        if self._divided:
            if self._division is None:
                self._division = DividedUpdate(model, self.compiled, self.distribution, reduction, self._states)
            model._change_weights(self._division.make, hyper, n, self._capacity, **staged)
            return
        reduction.share(self._gradients)
        for weight in self._states:
            weight.array[...] += weight.view_of(self._gradients)
        custom = self.compiled.custom  # whose plans have no penalties that are functions
        plan = model._plans.get("custom" if custom else "train", self._capacity, exact=not custom)
        model._make_steps(plan, _core.UPDATE, n_rows=n, batch_size=n, hyper=hyper, penalizes=custom, **staged)

    def complete(self) -> None:
        """Gives each process all of the optimizer's arrays; all call it together."""
        if self._divided and self.distribution.size > 1:
            for array in self.model._plans.slots.arrays():
                self._reduction.share(array)
            self._divided = False

    def _judge(self, sums: np.ndarray) -> None:
        """Updates the metrics that are called with arrays: in each process by the whole batch, as where one has it."""
        now, pieces = self._step, self.distribution.pieces
        start, n = now["rows"].start, now["n"]
        mine = slice(start + part(n, pieces, self._first)[0], start + part(n, pieces, self._end)[0])
        everything = self.distribution.comm.allgather([array[mine] for array in now["outputs"]])
        outputs = [np.concatenate(arrays) for arrays in zip(*everything)]
        rows: Any = slice(start, start + n)
        error: BaseException | None = None
        try:
            update_metrics(
                self.compiled, rows_of(now["targets"], rows if now["order"] is None else now["order"][rows]), outputs, sums
            )
        except BaseException as raised:
            error = raised
        self.exchange(STEP, error, same=n)  # what follows is made together

    def _compute(self, node: Node, gradients: np.ndarray) -> bool:
        """Leaves the gradient of a piece of the batch in an array, and what states became less what they were.

        Or the sums of these over a node of several pieces, if all have as many rows: False, and nothing is done, where it cannot.
        """
        now, pieces, n_pieces = self._step, self.distribution.pieces, node[1] - node[0]
        n, start = now["n"], now["rows"].start
        first, end = part(n, pieces, node[0])[0], part(n, pieces, node[1] - 1)[1]
        if n_pieces > 1 and (n % pieces or now["options"]):
            return False
        if first == end:
            gradients.fill(0)
            return True
        plans = self.model._plans
        rows = -(-self._capacity // pieces)
        cuts = self._reduction.cuts(gradients)
        if n_pieces > 1 and not cuts and not self._fits_in_cache(rows, n_pieces, gradients):
            return False
        plan = plans.part(rows, gradients, pieces=n_pieces, cuts=cuts)
        if plan.pieces != n_pieces:
            return False
        self._run_to_cuts(
            plan,
            GRADIENT if now["outputs"] is None else FETCHED,
            outputs=now["outputs"],
            n_rows=start + end,
            first_row=start + first,
            batch_size=end - first,
            inputs=now["inputs"],
            targets=now["targets"],
            weights=now["weights"],
            order=now["order"],
            step=now["step"] + node[0],
            hyper=plans.hyper_of_part(now["hyper"], n / (end - first)),
            results=self._said[node[0] : node[1], SAYS:],
            mean_rows=n if self._together else 0,
            **now["options"],
        )
        self._end_piece(gradients, end - first)
        return True

    def _fits_in_cache(self, rows: int, n_pieces: int, gradients: np.ndarray) -> bool:
        """Whether pieces of so many rows are to be one call."""
        known = self._arenas.get(rows)
        if known is None:
            plan = self.model._plans.part(rows, self._reduction.piece(gradients))
            known = self._arenas[rows] = plan.info()["arena_bytes"]
        return known * n_pieces <= _ONE_CALL

    def _compute_by_function(self, node: Node, gradients: np.ndarray) -> bool:
        """As `_compute`, where a loss is a function of arrays: it is called with the rows of the piece, as if these were the batch."""
        now, plans, piece = self._step, self.model._plans, node[0]
        first, end = part(now["n"], self.distribution.pieces, piece)
        if first == end:
            gradients.fill(0)
            return True
        n, totals = end - first, self._said[piece, SAYS : SAYS + self._n_totals]
        rows: Any = slice(now["rows"].start + first, now["rows"].start + end)
        outputs = [array[rows] for array in now["outputs"]]
        rows = rows if now["order"] is None else now["order"][rows]
        plan = plans.part(-(-self._capacity // self.distribution.pieces), gradients, kind="custom")
        hyper = plans.hyper_of_part(now["hyper"], now["n"] / n)
        about = {"n_rows": n, "batch_size": n, "step": now["step"] + piece, "hyper": hyper}
        plan.run(
            _core.FORWARD | _core.FETCH | (_core.LOSS if plan.has_loss else 0),
            inputs=[array[rows] for array in now["inputs"]],
            targets=[None] * len(outputs),
            outputs=outputs,
            loss_sum=totals,
            **about,
        )
        seeds = add_losses(self.compiled, rows_of(now["targets"], rows), outputs, rows_of(now["weights"], rows), totals)
        plan.run(_core.OUTPUT_GRADIENT | _core.BACKWARD | _core.STATES, output_gradients=seeds, **about)
        self._end_piece(gradients, n)
        return True

    def _end_piece(self, gradients: np.ndarray, n: int) -> None:
        """Weights the gradient of a piece by its rows; with it what states became less what they were, which they are again."""
        for weight, kept in zip(self._states, self._kept):
            np.subtract(weight.array, kept, out=weight.view_of(gradients))
            np.copyto(weight.array, kept)
        share = self._share(n)
        if share != 1:
            np.multiply(gradients, share, out=gradients)

    def evaluate_arrays(
        self, arrays: Arrays, batch_size: int | None, number: int, callbacks: Any
    ) -> tuple[Hooks, Mapping[int, Any]]:
        """Looks at the pieces of this process of rows held out; number: of the step of training that it is after."""
        return evaluate_pieces(self.model, self.compiled, arrays, self.distribution, batch_size, number, callbacks)

    def evaluate_feed(self, feed: Feed, steps: int | None, number: int, callbacks: Any) -> tuple[Hooks, Mapping[int, Any]]:
        """The same of batches held out."""
        return evaluate_batches(self.model, self.compiled, feed, self.distribution, steps, number, callbacks)

    def say(self, found: Mapping[int, Any]) -> None:
        """Makes what has been found of pieces held out what an exchange tells the others."""
        self._said[self._first : self._end] = 0
        for piece, sums in found.items():
            self._said[piece, ROWS:] = sums.rows, *sums.totals, *sums.sums

    def evaluated(self, hooks: Hooks) -> dict[str, Any]:
        """After the exchange: the loss and the metrics of all pieces."""
        split = SAYS + self._n_totals
        said = ((int(piece[ROWS]), piece[SAYS:split], piece[split:]) for piece in self._said)
        return merge(self.model, self.compiled, hooks, said)

    def exchange(self, kind: int, error: BaseException | None = None, stop: int = 0, same: int = 0, begun: bool = False) -> int:
        """Tells the others how it goes, and raises where it does not, here or there; returns whether training is to stop.

        Of a step these are the bits that any process has said, of an epoch what process 0 has.

        same: what must be the same in all, of a step the rows of its batch, at the end of an epoch the sum of `checksum`.
        begun: weights have been changed by a step that goes on; Ctrl-C waits for its end.
        """
        distribution = self.distribution
        said, known = self._said, distribution._meetings.known
        if self.over:
            raise known(error or RuntimeError(self.over))
        status = FAILED if error is not None else INTERRUPTED if distribution._meetings.interrupts and not begun else FINE
        said[self._first : self._end, :ROWS] = status, kind, same, stop
        if distribution.size > 1:
            distribution.comm.Allgatherv(distribution.MPI.IN_PLACE, [said, (self._counts, None)])
        if (said[:, : SAME + 1] == (FINE, kind, same)).all():
            stops = said[:, STOP].tolist()
            return functools.reduce(operator.or_, map(int, stops)) if kind == STEP else int(stops[0])
        self.complete()  # all are here
        self._reduction.restart()
        found = self._failure(kind, error)
        self.over = message_of(found) or ""
        raise known(found)

    def _failure(self, kind: int, error: BaseException | None) -> BaseException:
        """What is wrong, after an exchange which has said that something is."""
        distribution, said = self.distribution, self._said
        failed = np.flatnonzero(said[:, STATUS] == FAILED)
        if len(failed):
            process = next(i for i, (_, end) in enumerate(distribution.pieces_of) if failed[0] < end)
            message = distribution.comm.bcast(message_of(error), process)
            return error or RuntimeError(f"process {process} has failed: {message}")
        if said[:, STATUS].any():
            distribution._meetings.interrupts.clear()
            return KeyboardInterrupt()
        first = [pieces[0] for pieces in distribution.pieces_of]
        if kind == CALL or (said[:, KIND] != kind).any():
            return RuntimeError(differing([_place(said[i]) for i in first]))
        rows, weights = np.divmod(said[first, SAME].astype(np.int64), 1 << 32)[::-1]
        if kind == STEP and len(set(rows.tolist())) == 1:
            numbers = [[k for k in range(20) if (mask >> k) & 1] for mask in weights.tolist()]
            given = ", ".join(f"process {i} has {f'some for outputs {of}' if of else 'none'}" for i, of in enumerate(numbers))
            message = f"the processes do not make the same step: sample_weight or class_weight differ, {given}"
            return RuntimeError(message)
        return RuntimeError(UNEQUAL[kind].format(*sorted(set(rows.tolist()))))


def _place(said: np.ndarray) -> str:
    """Which exchange a process takes it to be, by what it has said."""
    return CALLS[int(said[SAME])] if said[KIND] == CALL else KINDS[int(said[KIND])]


def shared_steps(
    model: Any,
    compiled: Compiled,
    distribution: DataParallel,
    what: str,
    arguments: Mapping[str, Any] | None = None,
    kind: type[SharedSteps] = SharedSteps,
) -> SharedSteps:
    """The steps of a model, which are kept for the next call.

    Before the first of them, and where arguments of the call are given, all processes make their models that of process 0.

    Raises
    ------
    ValueError
        Where models or arguments differ, or cannot be trained in pieces.
    RuntimeError
        Where that is so in another process, or one makes another call.
    """
    distribution._meetings.meet(what)
    shared = model._shared_steps
    known = shared is not None and shared.fits(model, compiled, distribution)
    if not known or arguments is not None:
        agree(model, compiled, distribution, what, arguments or {}, check_pieces)
    if not known:
        shared = model._shared_steps = kind(model, compiled, distribution)
    shared.over = ""
    return shared
