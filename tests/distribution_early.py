"""Gradients that are sent while others are computed, and steps that fail meanwhile: what several processes do."""

import signal

from distribution_networks import *

import fastnet as fn
from fastnet.distribution import _fit_stepper, _messages, _reduction
from fastnet.distribution._messages import Messages
from fastnet.distribution._stepper import SharedSteps


def have_buckets():
    """As for large networks: the gradients of a few weights are sent by themselves."""
    _messages._LEAST = _reduction._SMALL = 64


def failing_early(kind):
    """What each process sees where the last one fails in a step whose gradients are being sent; and of a fit after that."""
    distribution = fn.distribution.distribution()
    last, sent = distribution.rank == distribution.size - 1, []
    x, y = rows()
    model = fn.Sequential(
        [fn.Input((6,)), *[fn.layers.Dense(40, "relu") for _ in range(5)], fn.layers.Dense(3, "softmax")], seed=0
    )
    model.compile("adam", CROSS_ENTROPY)
    labels, send = y.copy(), Messages.send

    def send_and_fail(self, n):
        send(self, n)
        sent.append(n)
        if last and model.optimizer.batches == 2 and n == 2:
            if kind == "interrupt":
                signal.raise_signal(signal.SIGINT)
            else:
                raise ZeroDivisionError("in a step of the last process")

    class Changes(fn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if kind == "labels" and last and model.optimizer.batches == 2:
                y[:] = 5

    if kind != "labels":
        Messages.send = send_and_fail
    found = {"rank": distribution.rank}
    try:
        if kind == "single":
            for _ in range(4):
                model.train_on_batch(x[:16], y[:16])
        else:
            model.fit(x, y, epochs=2, batch_size=16, verbose=0, callbacks=[Changes()])
    except BaseException as error:
        found.update(error=type(error).__name__, message=str(error))
    Messages.send = send
    found.update(weights=digest(model), batches=model.optimizer.batches, sent=sent)
    y[:] = labels
    history = model.fit(x, y, epochs=2, batch_size=16, verbose=0).history
    return {**found, "again": [history["loss"], digest(model)]}


def looked_at(by):
    """How often all arrays of the optimizer are gathered, where slices have one step and process 0 alone has a callback that looks."""
    counts, complete, shown = [], SharedSteps.complete, []
    _fit_stepper.SLICE_SECONDS = 0

    def count(self):
        counts.append(1)
        complete(self)

    class Looks(fn.callbacks.Callback):
        if by == "batches":

            def on_train_batch_end(self, batch, logs=None):
                shown.append(slots_of(self.model))

        elif by == "checkpoints":

            def on_checkpoint(self, fit, epoch_ended):
                shown.append(slots_of(fit.model))

    SharedSteps.complete = count
    model = wide(0)
    model.compile("adam", CROSS_ENTROPY)
    callbacks = [Looks()] if fn.distribution.distribution().rank == 0 else []
    model.fit(*rows(), epochs=2, batch_size=16, verbose=0, callbacks=callbacks)
    return {"rank": fn.distribution.distribution().rank, "gathered": len(counts), "shown": shown, "weights": digest(model)}
