"""Data that come batch by batch, for a model: checked and made ready, evaluated, predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._hooks import begin_stream_hooks
from ._model_data import given_inputs, inputs_of, positive, rows_at_once, targets_of, weights_of
from ._sparse_rows import takes_pairs
from .data.feed import Chunk, Feed
from .data.sources import Batch, batch_source

__all__ = [
    "begin", "converter", "converts_ahead", "evaluate_feed", "evaluate_stream", "first_of", "make_feed", "predict_stream"
]  # fmt: skip


def converter(
    network: Any, *, targets: bool = True, class_weight: Any = None, check_finite: bool = True, limits_rows: bool = True
) -> Callable[[Batch], Chunk]:
    """A function that makes what the engine reads of a batch: of a step that knows no targets all parts of it are inputs.

    Parameters
    ----------
    targets : bool
        Whether there are any to be looked at.
    limits_rows : bool
        Whether a model whose layers keep states takes batches of its size alone.
    """

    def convert(batch: Batch) -> Chunk:
        inputs = inputs_of(network, given_inputs(network, *batch[:3]), check_finite)
        n = len(inputs[0])
        size = n if batch.batch_size is None else batch.batch_size
        if limits_rows and network._graph.batch_size:
            rows_at_once(network, size, size, "a batch")
        if network._only_inputs or not targets:
            return Chunk((inputs, [], []), size, batch.order)
        wanted = targets_of(network, batch.y, n, check_finite)
        weights = weights_of(network, batch.sample_weight, class_weight, wanted, n)
        return Chunk((inputs, wanted, weights), size, batch.order)

    return convert


def make_feed(
    network: Any, data: Any, convert: Callable[[Batch], Chunk], asks_for: str, steps: int | None, epochs: int = 1, **options: Any
) -> Feed:
    """The feed of a model from what the user has given.

    Parameters
    ----------
    asks_for : str
        The argument that says how many batches there are.
    steps : int, optional
        Its value.
    epochs : int
        How often so many are taken.
    **options
        Of `Feed`.

    Raises
    ------
    ValueError
        For what may have no end, where nothing says how many batches are wanted.
    """
    source = batch_source(data)
    source.only_inputs = network._only_inputs
    if source.endless and steps is None:
        raise ValueError(
            f"{source.name} does not say where it ends: give {asks_for}, the number of batches to take"
            + (" for an epoch" if asks_for == "steps_per_epoch" else "")
        )
    return Feed(source, convert, limit=None if steps is None else steps * epochs, **options)


def first_of(feed: Feed) -> Chunk:
    """The first chunk, which `take` will give, too; ValueError if there are no batches."""
    try:
        chunk = feed.peek()
    except BaseException:
        feed.close(failed=True)
        raise
    if chunk is None:
        raise ValueError(f"{feed.source.name} has no batches")
    return chunk


def converts_ahead(network: Any) -> bool:
    """Whether batches may be converted in the thread that reads: graphs of other sizes, and formulas for targets of other shapes, are for
    the thread that computes with them."""
    compiled = network._compiled
    changes = network._variants.open or any(labels.read is not None for group in network._labels.values() for labels in group)
    return not changes and (compiled is None or not (compiled.functions or compiled.writes_formulas))


def evaluates_pairs(network: Any) -> bool:
    """Whether rows of sparse matrices may be given as their non-zeros to losses and metrics as they were compiled."""
    compiled = network._require_compiled()
    return not (compiled.functions or compiled.sequence)


def begin(network: Any, feed: Feed, pairs: Callable[[], bool] | None = None) -> Chunk:
    """The first chunk, made in this thread: a model that does not know its shapes is built for it.

    Parameters
    ----------
    pairs : callable, optional
        Says of a model that is built whether it may be given rows of a sparse matrix as their non-zeros, beside that its layers take them.

    Raises
    ------
    ValueError
        If there are no batches.
    """
    convert, row = feed.convert, feed.source.first_row()
    undo = network._build_for(row) if row is not None else None
    try:
        if row is not None and (pairs is None or pairs()):
            takes, scale = takes_pairs(network, row.shape[1])
            if takes:
                feed.source.pack(network.dtype, scale)
    except BaseException:
        assert undo is not None
        undo()
        raise

    def convert_first(batch: Batch) -> Chunk:
        undo = network._build_for(batch.x)
        try:
            if network._variants.open:
                network._variants.switch(network, inputs_of(network, batch.x, False))
            return convert(batch)
        except BaseException:
            undo()
            raise

    feed.convert = convert_first
    try:
        chunk = first_of(feed)
    except BaseException:
        if undo is not None:
            undo()
        raise
    feed.convert = convert
    feed.ahead = converts_ahead(network)
    if network._variants.open:

        def convert_any(batch: Batch) -> Chunk:
            network._variants.switch(network, inputs_of(network, batch.x, False))
            return convert(batch)

        feed.convert = convert_any
    return chunk


def evaluate_stream(network: Any, data: Any, steps: int | None, check_finite: bool, callbacks: Any) -> dict[str, Any]:
    """Loss and metrics of the batches of a stream."""
    steps = None if steps is None else positive("steps", steps)
    feed = make_feed(network, data, converter(network, check_finite=check_finite), "steps", steps)
    begin(network, feed, lambda: evaluates_pairs(network))
    return evaluate_feed(network, feed, steps, None, callbacks)


def evaluate_feed(
    network: Any, feed: Feed, steps: int | None, training_step: int | None = None, callbacks: Any = None
) -> dict[str, Any]:
    """Loss and metrics of so many batches of a feed, or of all that come."""
    hooks = begin_stream_hooks("test", callbacks, network._shown, feed.source.n_batches if steps is None else steps)
    found = None
    try:
        for chunk in feed.epoch(steps):
            found = network._evaluate_chunk(chunk.arrays, chunk.batch_size, found, training_step, hooks)
            if found.stopped:
                break
    except BaseException:
        feed.close(failed=True)
        raise
    if found is None:
        raise ValueError(f"{feed.source.name} has no batches{' left' * feed.source.once}")
    return hooks.close(found.logs())


def predict_stream(network: Any, data: Any, steps: int | None, check_finite: bool, callbacks: Any) -> Any:
    """The outputs for the inputs of a stream; targets and weights that it has are not looked at."""
    steps = None if steps is None else positive("steps", steps)
    feed = make_feed(network, data, converter(network, targets=False, check_finite=check_finite), "steps", steps)
    begin(network, feed)
    hooks = begin_stream_hooks("predict", callbacks, network, feed.source.n_batches if steps is None else steps)
    parts: list[list[np.ndarray]] = []
    try:
        for chunk in feed.epoch(steps):
            with network._reading() as live:
                snapshot = None if live else network._plans.snapshot()
                outputs, _ = network._predict_rows(chunk.arrays[0], chunk.batch_size, snapshot, hooks=hooks)
            parts.append(outputs)
            if hooks.stopped:
                break
    except BaseException:
        feed.close(failed=True)
        raise
    hooks.close({})
    found = [part[0] if len(part) == 1 else np.concatenate(part) for part in zip(*parts)]
    return found if len(found) > 1 else found[0]
