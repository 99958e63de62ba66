"""`fit` with data that come batch by batch: how a pass over them is divided into epochs, and how training goes on at a place in it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _data
from ._plan_cache import rounded_rows
from ._streams import begin, converter, evaluates_pairs, make_feed
from .data.feed import Feed
from .data.sources import batch_source
from .fitting import Fit

if TYPE_CHECKING:
    from ._fit_options import Arrays, FitOptions
    from ._fit_state import EpochState
    from ._progress import Progress
    from .custom import CustomLoop
    from .data.feed import Chunk
    from .data.sources import Batch, Source

__all__ = ["StreamFit", "begin_training", "open_feed", "resolved"]


def resolved(options: FitOptions) -> FitOptions:
    """The same with rows that are held out as `validation_data`, and with the weights of the classes, where the classes are to be balanced.

    Raises
    ------
    ValueError
        Where the rows of the data are not counted before they are read, or cannot be read twice.
    """
    if options.validation_split and options.validation_data is None:
        source = batch_source(options.x)
        parts = None
        if source.n_rows is not None:
            parts = source.divided(_data.rows_before(source.n_rows, options.validation_split))
        if parts is None:
            why = "its batches are its own" if source.owns_batches else "its rows are not counted before they are read"
            raise ValueError(f"validation_split holds out the last of all rows, and of {source.name} {why}: give validation_data")
        kept, held = parts
        if options.validation_batch_size:
            held.batch_size = options.validation_batch_size
            held.n_batches = -(-held.n_rows // held.batch_size)
        options = options._replace(x=kept, validation_data=held, validation_split=0.0)
    if isinstance(options.class_weight, str):
        options = options._replace(class_weight=_count_classes(batch_source(options.x), options.class_weight))
    return options


def _count_classes(source: Source, given: str) -> Any:
    """The weights that balance the classes, by one pass over the data, in their order; of another word the word, which is refused."""
    if given != "balanced":
        return given
    if source.once or source.endless:
        raise ValueError(
            f"class_weight='balanced' counts the classes before training, and {source.name} is read once: give a dictionary with the weight "
            "of each class"
        )
    counts: Counter[float] = Counter()
    for y in source.targets():
        classes, numbers = np.unique(_data.labels_of(None if y is None else np.asarray(y)), return_counts=True)
        counts.update(dict(zip(classes.tolist(), numbers.tolist())))
    if not counts:
        raise ValueError(f"{source.name} has no batches")
    return _data.balanced_weights(np.array(list(counts)), np.array(list(counts.values())))


def open_feed(model: Any, options: FitOptions, convert: Callable[[Batch], Chunk]) -> Feed:
    """The data to train with, of which none has been read yet.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not go with them.
    """
    compiled = model._compiled
    if compiled is not None and compiled.optimizer.full_batch:
        raise ValueError(f"{type(compiled.optimizer).__name__} takes all rows at once: give arrays")
    model._require_compiled()
    feed = make_feed(
        model, options.x, convert, "steps_per_epoch", options.steps_per_epoch, options.epochs - options.initial_epoch,
        seed=model.seed if options.shuffle else None, number=model._epochs_begun,
    )  # fmt: skip
    if feed.source.by_epoch:
        feed.limit = options.steps_per_epoch
    return feed


def begin_training(model: Any, options: FitOptions) -> tuple[Feed, Arrays, FitOptions]:
    """The data to train with, the first of them, and the options `resolved`; a model that does not know its shapes is built for these.

    Raises
    ------
    TypeError, ValueError
        For data that do not fit, and arguments that do not go with them.
    """
    options = resolved(options)
    feed = open_feed(model, options, converter(model, class_weight=options.class_weight, check_finite=options.check_finite))
    arrays = begin(model, feed, lambda: _takes_pairs(model, options)).arrays
    if feed.source.columns is not None:
        model._columns.known.setdefault("x", feed.source.columns)
    return feed, arrays, options


def _takes_pairs(model: Any, options: FitOptions) -> bool:
    """Whether it is trained in steps that may take rows of sparse matrices as their non-zeros."""
    if not evaluates_pairs(model) or options.mixup or options.cutmix:
        return False
    return model.distribution is None and not model._plans.own_constraints


class StreamFit(Fit):
    """One call of `fit` with data that come batch by batch.

    Without `steps_per_epoch` an epoch is a pass over the data. With it, an epoch takes up where the one before has ended; one that comes to
    the end of the data is shorter, and the next begins a new pass.
    """

    def __init__(self, model: CustomLoop, feed: Feed, validation: Any, options: FitOptions, progress: Progress) -> None:
        chunk = feed.peek()
        assert chunk is not None
        self.feed = feed
        #: The rows at hand; where those of the next epoch begin among them.
        self._chunk: Chunk | None = None
        self._row = 0
        #: Batches and rows of the pass before the epoch.
        self._start = (0, 0)
        self._shuffles = bool(options.shuffle)
        options = options._replace(batch_size=chunk.batch_size).checked_for(model, chunk.batch_size)
        # The engine visits the rows at hand as they come, or in the order that comes with them.
        super().__init__(model, chunk.arrays, validation, options._replace(shuffle=False), progress)

    # ---- rows ------------------------------------------------------------------------------------------

    def _count_rows(self, order: int) -> None:
        self.parts, self.part, self.n_rows = 1, 0, 0
        steps, per_pass = self.options.steps_per_epoch, self.feed.source.n_batches
        self.steps = steps if per_pass is None else min(steps or per_pass, per_pass)

    def _order_of(self, number: int) -> Any:
        return None if self._chunk is None else self._chunk.order

    def epochs_at_once(self) -> int:
        return 1

    def _has_rows(self, state: EpochState) -> bool:
        steps = self.options.steps_per_epoch
        if steps is not None and state.batch >= steps:
            return False
        if self._chunk is None or state.row >= self._chunk.n_rows:
            chunk = self.feed.take(None if steps is None else steps - state.batch)
            if chunk is None:
                return False
            self._put(chunk)
            # One statement: an interrupt finds all of it done or none.
            state.rows_before, state.batches_before, state.row, state.batch_size = state.rows, state.batch, 0, chunk.batch_size
        assert self._chunk is not None
        self.n_rows = self._chunk.n_rows
        if steps is not None:
            self.n_rows = min(self.n_rows, state.row + (steps - state.batch) * state.batch_size)
        return True

    def _put(self, chunk: Chunk) -> None:
        """Makes rows those at hand."""
        size = chunk.batch_size
        if size > self.capacity:
            self.capacity = rounded_rows(size)
        if size != self.options.batch_size:
            self.options = self.options._replace(batch_size=size)
        self.data, self.order, self._chunk = chunk.arrays, chunk.order, chunk

    # ---- epochs ------------------------------------------------------------------------------------------

    def _has_data(self) -> bool:
        if self.state is not None or (self._chunk is not None and self._row < self._chunk.n_rows):
            return True
        source, done = self.feed.source, self._start[0]
        goes_on = source.by_epoch and done > 0 and (source.n_batches is None or done < source.n_batches)
        if goes_on:
            source.begin_epoch()
            self.feed.go_to(self.feed.number, *self._start, self.options.steps_per_epoch)
        elif (source.by_epoch and done) or (self.feed.peek() is None and not source.once):
            self._start = (0, 0)
            self.feed.begin_pass(self.model._epochs_begun)
        if self.feed.peek() is not None:
            return True
        warnings.warn(
            f"{self.feed.source.name} has no more batches: training ends after {self.epoch} of {self.options.epochs} epochs",
            stacklevel=6,
        )
        return False

    def _next_order(self) -> int:
        self.model._epochs_begun = max(self.model._epochs_begun, self.feed.number + 1)
        return self.feed.number

    def _new_state(self) -> EpochState:
        if self._start[0] and not self.feed.source.by_epoch:
            self.feed.source.begin_epoch()
        state = super()._new_state()
        if self._chunk is not None and self._row < self._chunk.n_rows:
            state.row, state.rows_before, state.batches_before = self._row, -self._row, -(self._row // self._chunk.batch_size)
        else:
            self._chunk = None
        return state

    def _run_slices(self, state: EpochState) -> None:
        super()._run_slices(state)
        self.feed.source.end_epoch()

    def _go_on(self) -> None:
        state, source = self.state, self.feed.source
        assert state is not None
        if source.n_batches is None and self.options.steps_per_epoch is None and not self.model.stop_training:
            source.n_batches = state.batch
        start = (self._start[0] + state.batch, self._start[1] + state.rows)
        self.epoch, self._start, self._row, self.state = self.epoch + 1, start, state.row, None

    def _run(self) -> Any:
        try:
            history = super()._run()
        except BaseException:
            self._close(True)
            raise
        self._close(False)
        return history

    def _close(self, failed: bool) -> None:
        self.feed.close(failed)
        if isinstance(self.validation, Feed):
            self.validation.close(failed)

    # ---- checkpoints -------------------------------------------------------------------------------------

    def arguments(self) -> dict[str, Any]:
        return {"n_rows": None, "batch_size": None, "shuffle": self._shuffles, "steps_per_epoch": self.options.steps_per_epoch}

    def place(self) -> dict[str, Any]:
        batches, rows = self._start
        if self.state is not None:
            batches, rows = batches + self.state.batch, rows + self.state.rows
        held = self.validation.taken if isinstance(self.validation, Feed) else 0
        return {"number": self.feed.number, "batches": batches, "rows": rows, "capacity": self.capacity, "held": held}

    def go_to(self, place: Mapping[str, int]) -> None:
        steps, state, batches, rows = self.options.steps_per_epoch, self.state, place["batches"], place["rows"]
        done, source = 0 if state is None else state.batch, self.feed.source
        self.feed.replay(self.epoch - self.first_epoch, state is not None)
        self._start = (batches, rows) if state is None else (batches - state.batch, rows - state.rows)
        if state is None and steps is None and not source.once:  # the next epoch is a new pass
            self._start = (0, 0)
            self.feed.begin_pass(self.model._epochs_begun)
        elif state is None and source.by_epoch:  # it begins where this has ended
            self.feed.begin_pass(place["number"])
        else:
            epochs = 1 if source.by_epoch else self.options.epochs - self.epoch
            self.feed.go_to(place["number"], batches, rows, None if steps is None else steps * epochs - done)
        if place["held"] and isinstance(self.validation, Feed) and self.validation.source.once:
            self.validation.go_to(0, place["held"], 0, self.validation.limit)
        self.capacity, self._chunk, self._row = place["capacity"], None, 0
