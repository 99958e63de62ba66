"""Steps of `fit`, made together with the other processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._hooks import NO_HOOKS, Hooks
from .._stepper import SLICE_SECONDS, Stepper
from ..data.feed import Feed
from ._agreement import arguments_of, checksum
from ._protocol import CALL, END, EPOCH, LOOK, PAUSE, VALIDATION, WATCH
from ._stepper import SharedSteps, shared_steps

if TYPE_CHECKING:
    from .._fit_options import Arrays
    from .._fit_state import EpochState, FitState
    from ._data_parallel import DataParallel

__all__ = ["DataParallelStepper"]


class DataParallelStepper(Stepper):
    """Steps of `fit`, made together with the other processes."""

    #: What makes its steps.
    _steps: type[SharedSteps] = SharedSteps

    def __init__(self, distribution: DataParallel) -> None:
        self.distribution = distribution
        self._shared: SharedSteps | None = None

    @property
    def pieces(self) -> int | None:
        """Into how many a batch is divided, where results do not depend on the processes."""
        return self.distribution.pieces if self.distribution.reproducible else None

    def begin(self, fit: FitState) -> None:
        """Before the first step: makes all begin alike."""
        if fit.compiled.custom:
            self.kind, self.exact = "custom", False
        self._shared = shared_steps(fit.model, fit.compiled, self.distribution, "fit", arguments_of(fit), self._steps)
        self.distribution._meetings.within.append(self)
        if isinstance(fit.validation, Feed) and self._divides_validation(fit):
            fit.validation.source.own = self.distribution.has_batch

    def run(self, fit: FitState, state: EpochState, order: np.ndarray | None, steps: int | None) -> None:
        assert self._shared is not None
        left = fit.batches_at_hand(state)
        options = {name: value for name in ("mixup", "cutmix") if (value := getattr(fit.options, name))}
        start, left, said = time.perf_counter(), min(steps or left, left), 0
        watches = WATCH if fit.callbacks.wants_checkpoints else 0
        for i in range(left):
            rows = range(state.row, min(fit.n_rows, state.row + fit.options.batch_size))
            # All stop where one has come to its last, as other callbacks and parts of streams ask for other numbers of steps.
            late = self.distribution.rank == 0 and time.perf_counter() - start > SLICE_SECONDS
            pause = LOOK if i + 1 == left else PAUSE if late else 0
            said = self._shared.make(fit.data, rows, state, order, fit.capacity, pause | watches, **options)
            if said & (LOOK | PAUSE):
                break
        if said & (LOOK | WATCH):  # else nobody looks at all of the optimizer's arrays before a later step
            self._shared.complete()

    def _divides_validation(self, fit: FitState) -> bool:
        """Whether what is found for parts of the batches held out can be added up."""
        return not fit.compiled.calls_metrics

    def validate(self, fit: FitState, arrays: Arrays, batch_size: int | None) -> dict[str, Any]:
        if not self._divides_validation(fit):
            return super().validate(fit, arrays, batch_size)
        shared, callbacks = self._steps_made(), fit.callbacks
        return self._validate_in_pieces(lambda number: shared.evaluate_arrays(arrays, batch_size, number, callbacks))

    def validate_feed(self, fit: FitState, feed: Feed) -> dict[str, Any]:
        if not self._divides_validation(fit):
            return super().validate_feed(fit, feed)
        shared, steps, callbacks = self._steps_made(), fit.options.validation_steps, fit.callbacks
        return self._validate_in_pieces(lambda number: shared.evaluate_feed(feed, steps, number, callbacks))

    def _validate_in_pieces(self, evaluate: Callable[[int], tuple[Hooks, Mapping[int, Any]]]) -> dict[str, Any]:
        """The losses and metrics of all pieces, of which each process looks at its own; told which step of training it is after."""
        shared, hooks = self._steps_made(), NO_HOOKS
        error: BaseException | None = None
        try:
            hooks, found = evaluate(shared.compiled.optimizer.batches)
            shared.say(found)
        except BaseException as raised:
            error = raised
        shared.exchange(VALIDATION, error)
        return shared.evaluated(hooks)

    def _steps_made(self) -> SharedSteps:
        assert self._shared is not None
        return self._shared

    def agree_to_stop(self, fit: FitState) -> None:
        """After an epoch: process 0 decides whether there is to be another one."""
        assert self._shared is not None
        fit.model.stop_training = bool(self._shared.exchange(EPOCH, stop=fit.model.stop_training, same=checksum(fit.model)))

    def meet(self, call: int, error: BaseException | None = None) -> None:
        """Where a callback makes another call that all make together, by its number; see `Meetings`."""
        assert self._shared is not None
        self._shared.exchange(CALL, error, same=call)

    def end(self, error: BaseException | None = None) -> None:
        """After the last step, or when this process fails: the others are told."""
        meetings = self.distribution._meetings
        if self not in meetings.within:
            return
        assert self._shared is not None
        try:
            if not self._shared.over:
                self._shared.exchange(END, error)
        except BaseException:
            if error is None:  # else it is being raised anyway
                raise
        finally:
            meetings.within.remove(self)
            if error is not None:
                meetings.known(error)
