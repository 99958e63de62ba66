"""Data that are evaluated or predicted by several processes, each of which looks at a part of the batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._custom_losses import rows_of
from .._evaluation import Evaluation, LossMeans
from .._hooks import Hooks, begin_hooks
from .._model_data import INFERENCE_ROWS
from ..data.dataset import unpack
from ..data.sources import is_stream
from ..inference import as_asked
from ._meetings import message_of
from ._tree import part

if TYPE_CHECKING:
    from .._compiled import Compiled
    from .._fit_options import Arrays

__all__ = ["Pieces", "evaluate_pieces", "evaluate_together", "merge", "predict_together"]


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


def _new_sums(model: Any, compiled: Compiled, hooks: Hooks) -> Any:
    """What sums up losses and metrics; of a `TrainStep` it is what each of its updates computes."""
    return LossMeans(model, hooks) if compiled.sequence else Evaluation(model, compiled, hooks)


def merge(model: Any, compiled: Compiled, hooks: Hooks, sums: Iterable[tuple[int, np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """The means of all pieces, from the rows, the sums of the losses and those of the metrics of each, in the order of their numbers."""
    total = _new_sums(model, compiled, hooks)
    for rows, *of_piece in sums:
        if rows:
            total.add_sums(rows, *of_piece)
    return hooks.close(total.logs())


def evaluate_together(
    distribution: Any, model: Any, x: Any, y: Any, batch_size: int | None, sample_weight: Any, return_dict: bool
) -> Any:
    """See `DataParallel.evaluate`."""
    n, error, found, state = 0, None, {}, None
    distribution._meetings.meet("DataParallel.evaluate")
    try:
        _check(model)
        x, y, sample_weight, batch_size = unpack(x, y, sample_weight, batch_size, INFERENCE_ROWS, model._known_columns())
        if is_stream(x):
            raise ValueError("evaluate: processes divide arrays, and no data that come batch by batch")
        arrays = model._data_for(x, y, sample_weight, None, True)
        n = len(arrays[0][0])
        compiled = model._require_compiled().fitted_to(arrays[1], model.output_names)
        if compiled.takes_outputs or compiled.custom:
            raise ValueError(
                "evaluate: losses and metrics that are functions of arrays are not divided (write them in fastnet.ops)"
            )
        hooks, found = evaluate_pieces(model, compiled, arrays, distribution, batch_size, None, None)
        state = compiled, hooks
    except BaseException as raised:
        error = raised
    mine = [(piece, (one.rows, one.totals, one.sums)) for piece, one in found.items()]
    pieces = dict(_gather(distribution, "evaluate", (n, batch_size), mine, error))
    assert state is not None
    return as_asked(merge(model, *state, (pieces[piece] for piece in sorted(pieces))), return_dict)


def predict_together(distribution: Any, model: Any, x: Any, batch_size: int | None) -> Any:
    """See `DataParallel.predict`."""
    n, error, mine = 0, None, []
    distribution._meetings.meet("DataParallel.predict")
    try:
        _check(model)
        x, _, _, batch_size = unpack(x, None, None, batch_size, INFERENCE_ROWS, model._known_columns())
        if is_stream(x):
            raise ValueError("predict: processes divide arrays, and no data that come batch by batch")
        inputs = model._rows_for(x, False)
        n = len(inputs[0])
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
    parts = [outputs for _, outputs in sorted(_gather(distribution, "predict", (n, batch_size), mine, error))]
    found = [np.concatenate(arrays) for arrays in zip(*parts)]
    return model._arranged(found if len(found) > 1 else found[0])


def _check(model: Any) -> None:
    """ValueError for models whose batches depend on each other."""
    if model._overrides("test_step"):
        raise ValueError(f"model {model.name!r}: a test_step of its own is not divided among processes")
    if model._graph.batch_size is not None:
        raise ValueError(f"model {model.name!r}: the batches of a stateful layer are not divided among processes")


def _gather(distribution: Any, what: str, about: Any, mine: list[Any], error: BaseException | None) -> list[Any]:
    """What all processes have found, in no order; an exception in all where one has failed, or has other data."""
    everything, known = distribution.comm.allgather((what, message_of(error), about, mine)), distribution._meetings.known
    if error is not None:
        raise known(error)
    for rank, (their, message, theirs, _) in enumerate(everything):
        if message is not None:
            raise known(RuntimeError(f"process {rank} has failed: {message}"))
        if (their, theirs) != everything[0][:1] + everything[0][2:3]:
            raise known(
                ValueError(
                    f"{what}: process {rank} is at {their} with {theirs[0]} rows, batch_size {theirs[1]}, process 0 at "
                    f"{everything[0][0]} with {everything[0][2][0]}, {everything[0][2][1]}"
                )
            )
    return [one for *_, found in everything for one in found]
