"""Training that is interrupted at any moment has made as many steps as its optimizer says, and goes on as after these.

Python calls the handlers of signals where it has called a function, begins one, or goes back to the beginning of a loop. The
tests raise KeyboardInterrupt at such places of fastnet's code, one after another, so that nothing depends on the clock.
"""

import collections
import dis
import functools
import importlib
import os
import pathlib
import sys

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core

LONG = bool(os.environ.get("FASTNET_LONG"))
#: In which training is interrupted.
MODULES = (
    "_custom_losses", "_fit_state", "_sequence_stepper", "_steppers", "custom", "fitting", "history", "training", "optimizers.base",
)  # fmt: skip
FILES = {importlib.import_module(f"fastnet.{name}").__file__ for name in MODULES}
if LONG:
    FILES |= {
        module.__file__ for name, module in sys.modules.items() if name.startswith("fastnet.") and hasattr(module, "__file__")
    }
ROWS, BATCH, EPOCHS = 11, 4, 3
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(ROWS, 3)).astype("f"), RNG.normal(size=(ROWS, 2)).astype("f")
SGD = fn.optimizers.SGD


@functools.cache
def moments(code):
    """Offsets of the instructions of a function before which Python looks for signals."""
    found, before = set(), None
    for instruction in dis.get_instructions(code):
        if before is not None and before.opname.startswith(("CALL", "RESUME", "PRECALL")):
            found.add(instruction.offset)
        if instruction.opname.startswith("JUMP_BACKWARD"):
            found.add(instruction.argval)
        before = instruction
    return frozenset(found)


def traced(function, at_moment):
    """Calls a function, and another with the code and the offset at each moment within fastnet's files that make steps."""

    def watch(frame, event, argument):
        code = frame.f_code
        if event == "call":
            if code.co_filename not in FILES and code is not squares.__code__:
                return None
            frame.f_trace_opcodes = True
        elif event == "opcode" and frame.f_lasti in moments(code):
            at_moment((code, frame.f_lasti))
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        function()
    finally:
        sys.settrace(before)


def interrupted(function, place, times):
    """Calls a function that is interrupted when it comes to a place for so many times; returns whether it was."""

    def at_moment(one):
        nonlocal times
        times -= one == place
        if times == 0:
            raise KeyboardInterrupt

    try:
        traced(function, at_moment)
    except KeyboardInterrupt:
        return True
    return False


def squares(y, p):
    difference = p - y
    return float(np.mean(difference**2)), 2 * difference / difference.size


def network(optimizer, loss="mse"):
    model = fn.Sequential(
        [fn.Input((3,)), fn.layers.Dense(4, "tanh", kernel_regularizer="l2"), fn.layers.Dropout(0.2), fn.layers.Dense(2)], seed=1
    )
    model.compile(optimizer, loss, metrics=["mae"], n_threads=1)
    return model


class Record(fn.callbacks.Callback):
    """The bits after each step."""

    def __init__(self, bits):
        self.bits = bits

    def on_train_batch_end(self, batch, logs=None):
        self.bits[self.model.optimizer.iterations] = bits(self.model)


class Idle(fn.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


def fit(model, **options):
    model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, verbose=0, **options)


def fit_by_batches(model):
    fit(model, callbacks=[Idle()])


def fit_by_epochs(model):
    fit(model, callbacks=[fn.callbacks.Callback()])


def train_on_batches(model, after=lambda: None):
    for number in range(EPOCHS):
        order = _core.shuffle(model.seed, number, ROWS)
        for start in range(0, ROWS, BATCH):
            model.train_on_batch(X[order[start : start + BATCH]], Y[order[start : start + BATCH]])
            after()


def loop(model, after=lambda: None):
    """A loop of one's own, whose penalty is in the step of the optimizer."""
    for number in range(EPOCHS):
        order = _core.shuffle(model.seed, number, ROWS)
        for start in range(0, ROWS, BATCH):
            rows = order[start : start + BATCH]
            model.backward(squares(Y[rows], model.forward(X[rows]))[1])
            model.apply_gradients()
            after()


#: Optimizer, loss, how it is trained.
SITUATIONS = {
    "epochs at once": (lambda: fn.optimizers.Adam(0.01), "mse", fit),
    "by epochs": (lambda: SGD(0.1, momentum=0.9), "mse", fit_by_epochs),
    "by batches": (lambda: SGD(0.1, momentum=0.9), "mse", fit_by_batches),
    "python loss": (lambda: fn.optimizers.Adam(0.01), squares, fit),
    "average": (lambda: SGD(0.1, use_ema=True), "mse", fit_by_batches),
    "mean": (lambda: SGD(0.1, swa_start=2), squares, fit),
    "accumulation": (lambda: SGD(0.1, momentum=0.9, gradient_accumulation_steps=2), "mse", fit),
    "accumulation, python loss": (lambda: SGD(0.1, gradient_accumulation_steps=2), squares, fit_by_batches),
    "all rows": (lambda: fn.optimizers.LBFGS(), "mse", fit),
    "train_on_batch": (lambda: fn.optimizers.Adam(0.01), "mse", train_on_batches),
    "train_on_batch, python loss": (lambda: fn.optimizers.Adam(0.01), squares, train_on_batches),
    "own loop": (lambda: fn.optimizers.Adam(0.01), squares, loop),
}


def bits(model):
    """All that steps change; gradients that wait for more to make a step with are forgotten by an interrupt."""
    slots = [
        slot.tobytes() for (name, _), slot in zip(model.optimizer.slots(), model._plans.slots.arrays()) if name != "accumulator"
    ]
    memory = [array.tobytes() for arrays in getattr(model.optimizer, "memory", ()) for array in arrays]
    return [weight.tobytes() for weight in model.get_weights()], slots, memory


def recorded(make, loss, train):
    """The bits after each number of steps of a training that nobody interrupts."""
    model, found = network(make(), loss), {}
    found[0] = bits(model)
    if train in (train_on_batches, loop):
        train(model, lambda: found.update({model.optimizer.iterations: bits(model)}))
    else:
        fit(model, callbacks=[Record(found)])
        found[model.optimizer.iterations] = bits(model)  # after the step that is made with what is left
    return found


def check_history(history):
    """As many numbers of each quantity as epochs."""
    assert history is None or all(len(values) == len(history.epoch) for values in history.history.values())


def check_going_on(model, make, loss):
    """It trains as a model does that is told where this one stands."""
    twin = network(make(), loss)
    twin.set_weights(model.get_weights())
    twin._plans.slots.arrays()
    for array, values in zip(twin._plans.slots.arrays(), model._plans.slots.arrays()):
        array[...] = values
    twin._plans.slots.followed = [twin.weights[model.weights.index(weight)] for weight in model._plans.slots.followed]
    if hasattr(model.optimizer, "memory"):
        twin.optimizer.memory = model.optimizer.memory
    twin.optimizer.iterations = model.optimizer.iterations
    twin.seed, twin._epochs_begun = model.seed, model._epochs_begun
    for one in (model, twin):
        one.predict(X)
        one.fit(X, Y, batch_size=BATCH, verbose=0)
    assert bits(model) == bits(twin) and model.optimizer.iterations == twin.optimizer.iterations
    assert np.array_equal(model.predict(X), twin.predict(X))


@pytest.mark.parametrize("name", SITUATIONS)
def test_steps_are_counted_in_the_moment_in_which_they_are_made(name):
    """Interrupted at each place that a training comes to, in the midst of it; with FASTNET_LONG=1 also in other files, and each
    time that it comes there."""
    make, loss, train = SITUATIONS[name]
    found, places, model = recorded(make, loss, train), collections.Counter(), network(make(), loss)
    traced(lambda: train(model), lambda place: places.update([place]))
    assert bits(model) == found[model.optimizer.iterations]
    for number, (place, count) in enumerate(places.items()):
        for times in range(1, count + 1) if LONG else [count // 2 + 1]:
            model = network(make(), loss)
            assert interrupted(lambda model=model: train(model), place, times)
            where = f"{place[0].co_qualname}, offset {place[1]}, time {times} of {count}"
            assert bits(model) == found[model.optimizer.iterations], f"not the weights of that step: {where}"
            check_history(model.history)
            if number % 10 == 0 or LONG:
                check_going_on(model, make, loss)
    assert len(places) > 30


def test_what_makes_steps_is_traced():
    """A module that counts steps and is not among those that are interrupted would be tested by nothing. Several processes are interrupted
    together, in `test_distribution` and `test_distribution_steps`."""
    for path in pathlib.Path(fn.__file__).parent.rglob("*.py"):
        if "counter=" in path.read_text(encoding="utf-8") and path.parent.name != "distribution":
            assert str(path) in FILES, path.name
    assert any(name.endswith("custom.py") for name in FILES)
