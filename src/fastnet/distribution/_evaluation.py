"""Data that are evaluated or predicted by several processes, each of which looks at a part of the batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._custom_losses import rows_of
from .._evaluation import Evaluation, LossMeans
from .._hooks import Hooks, begin_hooks, begin_stream_hooks
from .._model_data import INFERENCE_ROWS, inputs_of
from ..data.dataset import unpack
from ..data.feed import SKIPPED
from ..data.sources import is_stream
from ..inference import as_asked
from ._meetings import message_of, weights_in
from ._tree import part

if TYPE_CHECKING:
    from .._compiled import Compiled
    from .._fit_options import Arrays
    from ..data.feed import Feed

__all__ = ["Pieces", "evaluate_batches", "evaluate_pieces", "evaluate_together", "merge", "predict_together"]


class Pieces:
    """Which rows this process has of those that all go through together.

    Parameters
    ----------
    distribution : DataParallel
    n : int
        Rows.
    given : int, optional
        Rows of a batch that the user has asked for. Otherwise there are as many as one process would take at once, or fewer where
        pieces would be left without.
    default : int
        How many one process would take.

    Attributes
    ----------
    batch_size : int
    own : dict of int to (int, slice)
        By the number of each piece of this process that has rows: the number of its first batch, and its rows.
    """

    def __init__(self, distribution: Any, n: int, given: int | None, default: int) -> None:
        pieces = distribution.pieces
        self.batch_size = default if given is not None else min(default, -(-n // pieces))
        batches = -(-n // self.batch_size)
        self.own = {}
        for piece in distribution.own_pieces:
            first, end = part(batches, pieces, piece)
            if end > first:
                self.own[piece] = first, slice(first * self.batch_size, min(n, end * self.batch_size))


def evaluate_pieces(
    model: Any,
    compiled: Compiled,
    arrays: Arrays,
    distribution: Any,
    batch_size: int | None,
    training_step: int | None,
    callbacks: Any,
) -> tuple[Hooks, dict[int, Evaluation]]:
    """The sums of the losses and metrics of the pieces of this process, by their numbers; and the hooks, whose end has not been told."""
    inputs, targets, weights = arrays
    n = len(inputs[0])
    hooks, rows = begin_hooks("test", callbacks, model, n, batch_size, (INFERENCE_ROWS, 32))
    pieces = Pieces(distribution, n, batch_size, rows)
    model._variants.switch(model, inputs)
    number = model._count_batches(-(-n // pieces.batch_size), training_step)
    found = {}
    with model._reading() as live:
        snapshot = None if live else model._plans.snapshot()
        for piece, (first, of) in pieces.own.items():
            found[piece] = _new_sums(model, compiled, hooks)
            data = [rows_of(given, of) for given in (inputs, targets, weights)]
            found[piece].add(*data, pieces.batch_size, snapshot, number + first)
            if found[piece].stopped:
                break
    return hooks, found


def evaluate_batches(
    model: Any,
    compiled: Compiled,
    feed: Feed,
    distribution: Any,
    steps: int | None,
    training_step: int,
    callbacks: Any,
) -> tuple[Hooks, dict[int, Evaluation]]:
    """As `evaluate_pieces`, of so many batches of a feed, or of all: each is a part of the piece of its number, modulo that of the pieces.

    Raises
    ------
    ValueError
        Where there are no batches.
    """
    hooks = begin_stream_hooks("test", callbacks, model._shown, feed.source.n_batches if steps is None else steps)
    begin = number = feed.taken if feed.source.once else 0
    found: dict[int, Evaluation] = {}
    try:
        for chunk in feed.epoch(steps):
            for first in range(0, chunk.n_rows, chunk.batch_size):
                piece, at = number % distribution.pieces, number - begin
                number += 1
                if chunk is SKIPPED or not distribution.has_batch(piece) or hooks.stopped:
                    continue
                of: Any = slice(first, min(chunk.n_rows, first + chunk.batch_size))
                data = [rows_of(given, of if chunk.order is None else chunk.order[of]) for given in chunk.arrays]
                model._variants.switch(model, data[0])
                if piece not in found:
                    found[piece] = _new_sums(model, compiled, hooks)
                with model._reading() as live:
                    snapshot = None if live else model._plans.snapshot()
                    found[piece].add(*data, chunk.batch_size, snapshot, model._count_batches(1, training_step) + at)
            if hooks.stopped:
                break
    except BaseException:
        feed.close(failed=True)
        raise
    if number == begin:
        raise ValueError(f"{feed.source.name} has no batches{' left' * feed.source.once}")
    return hooks, found


def _new_sums(model: Any, compiled: Compiled, hooks: Hooks) -> Any:
    """What sums up losses and metrics; of a `TrainStep` it is what each of its updates computes.

    Metrics that are functions of arrays are left to `judge`, as they see whole batches one after another.
    """
    if compiled.sequence:
        return LossMeans(model, hooks)
    found = Evaluation(model, compiled, hooks)
    found.kept = [] if found.judges else None
    return found


def merge(
    model: Any,
    compiled: Compiled,
    hooks: Hooks,
    sums: Iterable[tuple[int, np.ndarray, np.ndarray]],
    judged: tuple[list[Any], Sequence[list[list[np.ndarray]]]] | None = None,
) -> dict[str, Any]:
    """The means of all pieces, from the rows, the sums of the losses and those of the metrics of each, in the order of their numbers.

    judged: the targets of all rows, and for each piece the outputs of each of its batches, where there are metrics that are functions of arrays.
    """
    total = _new_sums(model, compiled, hooks)
    for rows, *of_piece in sums:
        if rows:
            total.add_sums(rows, *of_piece)
    if judged is not None and total.judges:
        total.judge(judged[0], [batch for piece in judged[1] for batch in piece])
    return hooks.close(total.logs())


def evaluate_together(
    distribution: Any, model: Any, x: Any, y: Any, batch_size: int | None, sample_weight: Any, return_dict: bool
) -> Any:
    """See `DataParallel.evaluate`."""
    about, error, found, state = {}, None, {}, None
    distribution._meetings.meet("DataParallel.evaluate")
    try:
        with distribution._meetings.interruptible():
            _check(model)
            if model._only_inputs and (y is not None or sample_weight is not None):
                raise TypeError(f"evaluate: step {model.name!r} has no targets and no weights of rows: all that it reads is x")
            if model._only_inputs:
                x, batch_size = model._given(x, batch_size, INFERENCE_ROWS)
            else:
                x, y, sample_weight, batch_size = unpack(x, y, sample_weight, batch_size, INFERENCE_ROWS, model._known_columns())
            if is_stream(x):
                raise ValueError("evaluate: processes divide arrays, and no data that come batch by batch")
            arrays = (
                (inputs_of(model, x, True), [], []) if model._only_inputs else model._data_for(x, y, sample_weight, None, True)
            )
            about = {"rows": len(arrays[0][0]), "batch_size": batch_size, "sample_weight": weights_in(arrays[2])}
            compiled = model._require_compiled().fitted_to(arrays[1], model.output_names)
            hooks, found = evaluate_pieces(model, compiled, arrays, distribution, batch_size, None, None)
            state = compiled, hooks
    except BaseException as raised:
        error = raised
    mine = [(piece, (one.rows, one.totals, one.sums, one.kept)) for piece, one in found.items()]
    pieces = dict(_gather(distribution, "evaluate", about, mine, error))
    assert state is not None
    pieces = [pieces[piece] for piece in sorted(pieces)]
    return as_asked(merge(model, *state, (one[:3] for one in pieces), (arrays[1], [one[3] for one in pieces])), return_dict)


def predict_together(distribution: Any, model: Any, x: Any, batch_size: int | None) -> Any:
    """See `DataParallel.predict`."""
    about, error, mine = {}, None, []
    distribution._meetings.meet("DataParallel.predict")
    try:
        with distribution._meetings.interruptible():
            _check(model)
            x, _, _, batch_size = unpack(x, None, None, batch_size, INFERENCE_ROWS, model._known_columns())
            if is_stream(x):
                raise ValueError("predict: processes divide arrays, and no data that come batch by batch")
            inputs = model._rows_for(x, False)
            n = len(inputs[0])
            about = {"rows": n, "batch_size": batch_size}
            _, rows = begin_hooks("predict", None, model, n, batch_size, (INFERENCE_ROWS, 32))
            pieces = Pieces(distribution, n, batch_size, rows)
            number = model._count_batches(-(-n // pieces.batch_size))
            with model._reading() as live:
                snapshot = None if live else model._plans.snapshot()
                for piece, (first, of) in pieces.own.items():
                    outputs, _ = model._predict_rows(
                        rows_of(inputs, of), min(pieces.batch_size, of.stop - of.start), snapshot, first=number + first
                    )
                    mine.append((piece, outputs))
    except BaseException as raised:
        error = raised
    parts = [outputs for _, outputs in sorted(_gather(distribution, "predict", about, mine, error))]
    found = [np.concatenate(arrays) for arrays in zip(*parts)]
    return model._arranged(found if len(found) > 1 else found[0])


def _check(model: Any) -> None:
    """ValueError for models whose batches depend on each other."""
    if model._overrides("test_step"):
        raise ValueError(f"model {model.name!r}: a test_step of its own is not divided among processes")
    if model._graph.batch_size is not None:
        raise ValueError(f"model {model.name!r}: the batches of a stateful layer are not divided among processes")


def _gather(distribution: Any, what: str, about: Mapping[str, Any], mine: list[Any], error: BaseException | None) -> list[Any]:
    """What all processes have found, in no order; an exception in all where one has failed, or has other data."""
    everything, known = distribution.comm.allgather((message_of(error), about, mine)), distribution._meetings.known
    if error is not None:
        raise known(error)
    for rank, (message, _, _) in enumerate(everything):
        if message is not None:
            raise known(RuntimeError(f"process {rank} has failed: {message}"))
    for rank, (_, theirs, _) in enumerate(everything):
        for name, value in theirs.items():
            first = everything[0][1][name]
            if value != first:
                raise known(ValueError(f"{what}: process {rank} has {name}={value!r}, process 0 has {first!r}"))
    return [one for *_, found in everything for one in found]
