"""Calls of several processes in which a function of the user's fails in the last process alone, or makes another call."""

import sys

import distribution_steps
import numpy as np
from distribution_networks import *

import fastnet as fn

EVENTS = (
    "on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_epoch_end", "on_test_begin",
    "on_test_batch_begin", "on_test_batch_end", "on_test_end", "on_train_end",
)  # fmt: skip


def is_last():
    distribution = fn.distribution.distribution()
    return distribution.rank == distribution.size - 1


class Mute(ArithmeticError):
    def __str__(self):
        raise LookupError("an exception that cannot say what it is")


class Fault:
    """Fails in the last process when it comes for the so many-th time."""

    def __init__(self, what, at=1, kind=ArithmeticError):
        self.what, self.at, self.kind, self.comes = what, at, kind, 0

    def __call__(self, *_):
        self.comes += 1
        if self.comes == self.at and is_last():
            raise self.kind(f"in {self.what}")


class Rate(fn.schedules.LearningRateSchedule):
    """Fails in the last process from a step on."""

    def __init__(self, step=2):
        self.step = step

    def evaluate(self, steps):
        if (steps >= self.step).any() and is_last():
            raise ArithmeticError("in schedule")
        return np.full(len(steps), 0.1)


class Judge(fn.metrics.Metric):
    """Of arrays; one of its methods fails."""

    def __init__(self, method, at=1):
        super().__init__(name="judge")
        self.value = self.add_variable((), name="value")
        self.method, self.at, self.fault = method, at, Fault(method, at)

    def reset_state(self):
        if self.method == "reset_state":
            self.fault()
        self.value.assign(0.0)

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self.method == "update_state":
            self.fault()
        self.value.assign(float(np.mean(y_pred)))

    def result(self):
        if self.method == "result":
            self.fault()
        return self.value.value


class Rows:
    """An array that cannot be read in the last process."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    def __len__(self):
        return len(self.array)

    def __array__(self, *args, **options):
        Fault("__array__")()
        return self.array


class Numbered(fn.data.PyDataset):
    def __init__(self, fault, method="__getitem__"):
        super().__init__()
        self.fault, self.method = fault, method

    def __len__(self):
        return 4

    def __getitem__(self, i):
        if self.method == "__getitem__":
            self.fault()
        x, y = rows(64)
        return x[16 * i : 16 * i + 16], y[16 * i : 16 * i + 16]

    def on_epoch_begin(self):
        if self.method == "on_epoch_begin":
            self.fault()

    def on_epoch_end(self):
        if self.method == "on_epoch_end":
            self.fault()


def batches(fault, n=12):
    x, y = rows(16)
    for _ in range(n):
        fault()
        yield x, y


class Layer(fn.layers.Layer):
    def call(self, x):
        Fault("call")()
        return x


def loss_that_fails(at):
    fault = Fault("loss", at)

    def loss(y_true, y_pred):
        fault()
        return squares(y_true, y_pred)

    return loss


def callback(event, act):
    return type("Acts", (fn.callbacks.Callback,), {event: lambda self, *args, **options: act()})()


def compiled(model=None, optimizer="sgd", loss=CROSS_ENTROPY, **options):
    model = dense(0) if model is None else model
    model.compile(optimizer, loss, **options)
    return model


def fit(model, x=None, y=None, **options):
    if x is None:
        x, y = rows()
    options = {"epochs": 2, "verbose": 0, **options}
    if isinstance(x, (np.ndarray, Rows)):
        options = {"batch_size": 16, **options}
    return model.fit(x, y, **options)


def single(model, x=None, y=None):
    """Steps by themselves."""
    data = rows() if x is None else (x,) if y is None else (x, y)
    for _ in range(4):
        model.train_on_batch(*data)


def gan(step=None, **options):
    """A `TrainStep`, whose schedule fails from a step on."""
    if step is not None:
        options["optimizers"] = {"critic": "sgd", "generator": fn.optimizers.SGD(Rate(step))}
    return distribution_steps.gan(0, **options)[0]


def synchronized_gan(step):
    return gan(step, between=(fn.layers.BatchNormalization(synchronized=True),))


GAN_ROWS = [distribution_steps.REAL, distribution_steps.NOISE]


def stream_of_step(fault):
    for batch in distribution_steps.batches_of(GAN_ROWS):
        fault()
        yield batch


def vae(metric=None, method="train_step"):
    """A model with a train_step that fails when it is traced, or whose metric fails."""
    model, _, _ = distribution_steps.vae(0, False)
    if metric is not None:
        model.total = metric
    else:
        kind = type(model)

        def fails(self, data):
            Fault(method)()
            return kind.train_step(self, data)

        model.__class__ = type("Fails", (kind,), {method: fails})
    return model


class Sum(fn.metrics.Mean):
    def __init__(self, at):
        super().__init__(name="loss")
        self.at, self.fault = at, Fault("update_state", at)

    def update_state(self, values, sample_weight=None):
        self.fault()
        super().update_state(values)


def held(model, **options):
    """fit with rows that validate, batch by batch."""
    x, y = rows()
    return fit(model, x, y, validation_data=(x, y), validation_batch_size=16, **options)


def distribution():
    return fn.distribution.distribution()


def one_hot():
    x, y = rows()
    return x, np.eye(3)[y]


def noisy():
    x, y = rows()
    return (np.nan * x if is_last() else x), y


def weights_that_fail(shape, dtype=None):
    Fault("initializer")()
    return np.zeros(shape)


def changed_by(fault):
    """A data set whose rows go through a function."""

    def change(x, y):
        fault()
        return x, y

    return fn.data.Dataset(*rows(), batch_size=16).map(change)


def unbuilt(*layers, **options):
    return fn.Sequential([*layers, fn.layers.Dense(3, "softmax", **options)], seed=0)


def wide_adam(rate=0.01, **options):
    return compiled(wide(0), fn.optimizers.Adam(rate), **options)


def rated(step):
    return compiled(optimizer=fn.optimizers.SGD(Rate(step)))


def judged(method, at):
    return compiled(metrics=[Judge(method, at)])


def lossy(at):
    return compiled(loss=loss_that_fails(at))


def read(at, **options):
    """Training by a generator."""
    return fit(options.pop("model", None) or compiled(), batches(Fault("generator", at)), steps_per_epoch=4)


def held_stream(at):
    return fit(compiled(), validation_data=batches(Fault("generator", at)), validation_steps=3)


def after(event, at, model=None, **options):
    """A callback that fails."""
    return held(model or compiled(), callbacks=[callback(event, Fault(event, at, **options))])


END, REAL = "on_epoch_end", distribution_steps.REAL
rate_by_epoch = fn.callbacks.LearningRateScheduler
synchronized_data = functools.partial(rows, shape=(6, 6, 1))
step_options = {"batch_size": 16, "epochs": 2, "verbose": 0}

#: By name: a call that fails in the last process, and what its message says.
CASES = {
    **{event: (functools.partial(after, event, 1), event) for event in EVENTS},
    "second batch": (lambda: after("on_train_batch_end", 2), "on_train_batch_end"),
    "wide": (lambda: after("on_train_batch_end", 2, wide_adam()), "on_train_batch_end"),
    "mute": (lambda: after(END, 1, kind=Mute), "Mute"),
    "exit": (lambda: after(END, 1, kind=SystemExit), "in on_epoch_end"),
    "schedule, begin": (lambda: fit(rated(0)), "schedule"),
    "schedule": (lambda: fit(rated(2)), "schedule"),
    "schedule, end": (lambda: fit(rated(4)), "schedule"),
    "schedule, wide": (lambda: fit(wide_adam(Rate())), "schedule"),
    "schedule, synchronized": (
        lambda: fit(compiled(synchronized(0), fn.optimizers.SGD(Rate())), *synchronized_data()),
        "schedule",
    ),
    "schedule, callback": (lambda: fit(compiled(), callbacks=[rate_by_epoch(lambda *_: Rate(0)(0))]), "schedule"),
    "schedule, single": (lambda: single(rated(2)), "schedule"),
    "metric": (lambda: fit(judged("update_state", 3)), "update_state"),
    "metric, result": (lambda: fit(judged("result", 2)), "result"),
    "metric, reset": (lambda: fit(judged("reset_state", 2)), "reset_state"),
    "metric, held": (lambda: held(judged("update_state", 5)), "update_state"),
    "metric, single": (lambda: single(judged("update_state", 2)), "update_state"),
    "metric, single result": (lambda: single(judged("result", 2)), "result"),
    "loss": (lambda: fit(lossy(2), *one_hot()), "loss"),
    "loss, held": (lambda: fit(lossy(9), *one_hot(), epochs=9, validation_data=one_hot()), "loss"),
    "loss, single": (lambda: single(lossy(2), *one_hot()), "loss"),
    "generator, first": (lambda: read(1), "generator"),
    "generator": (lambda: read(6), "generator"),
    "generator, wide": (lambda: read(6, model=wide_adam()), "generator"),
    "generator, held": (lambda: held_stream(4), "generator"),
    "generator, held first": (lambda: held_stream(1), "generator"),
    "numbered": (lambda: fit(compiled(), Numbered(Fault("numbered", 6)), shuffle=False), "numbered"),
    "numbered, begin": (lambda: fit(compiled(), Numbered(Fault("numbered", 2), "on_epoch_begin")), "numbered"),
    "numbered, end": (lambda: fit(compiled(), Numbered(Fault("numbered", 1), "on_epoch_end")), "numbered"),
    "function of a data set": (lambda: fit(compiled(), changed_by(Fault("change", 2))), "change"),
    "array": (lambda: fit(compiled(), Rows(rows()[0]), rows()[1]), "__array__"),
    "array, single": (lambda: single(compiled(), Rows(rows()[0]), rows()[1]), "__array__"),
    "array, evaluate": (lambda: distribution().evaluate(compiled(), Rows(rows()[0]), rows()[1]), "__array__"),
    "array, predict": (lambda: distribution().predict(compiled(), Rows(rows()[0])), "__array__"),
    "array, scatter": (lambda: distribution().scatter(Rows(rows()[0]), distribution().size - 1), "__array__"),
    "numbers": (lambda: fit(compiled(), *noisy()), "nan in row"),
    "held rows": (lambda: fit(compiled(), validation_data=rows()[: 1 if is_last() else 2]), "validation_data"),
    "resume": (lambda: fit(compiled(), resume_from="there-is-none" if is_last() else None), "there-is-none"),
    "initializer": (lambda: fit(compiled(unbuilt(kernel_initializer=weights_that_fail))), "initializer"),
    "layer": (lambda: fit(compiled(unbuilt(Layer()))), "call"),
    "step, schedule": (lambda: gan(2).fit(GAN_ROWS, **step_options), "schedule"),
    "step, synchronized": (lambda: synchronized_gan(2).fit(GAN_ROWS, **step_options), "schedule"),
    "step, schedule, end": (lambda: gan(8).fit(GAN_ROWS, **step_options), "schedule"),
    "step, schedule, single": (lambda: single(gan(2), GAN_ROWS), "schedule"),
    "step, callback": (lambda: gan().fit(GAN_ROWS, callbacks=[callback(END, Fault(END))], **step_options), END),
    "step, generator": (
        lambda: gan().fit(stream_of_step(Fault("generator", 5)), epochs=2, steps_per_epoch=3, verbose=0),
        "generator",
    ),
    "step, rows": (lambda: single(gan(), [Rows(array) for array in GAN_ROWS]), "__array__"),
    "train_step": (lambda: vae().fit(REAL, batch_size=16, verbose=0), "train_step"),
    "train_step, single": (lambda: single(vae(), REAL), "train_step"),
    "train_step, metric": (lambda: vae(Sum(4)).fit(REAL, batch_size=16, verbose=0), "update_state"),
}


def raising(*names):
    """What each process sees of each case, and what a step that all make then says."""
    found, cases = {}, {**CASES, **NESTED}
    for name in names or cases:
        print(f"{distribution().rank}: {name}", file=sys.stderr, flush=True)
        error = None
        try:
            cases[name][0]()
        except BaseException as raised:
            error = raised
        try:
            message = str(error)
        except LookupError:
            message = "mute"
        model = compiled()
        loss = model.train_on_batch(*rows())
        found[name] = {"error": type(error).__name__, "message": message, "loss": loss, "weights": digest(model)}
    return {"last": is_last(), "size": distribution().size, "found": found}


def within(act, model=None, x=None, **options):
    """Training of which a callback makes another call after the first epoch."""
    x, y = (*rows(), x)[:2] if x is None else (x, rows()[1])
    comes = []

    def once():
        comes.append(act)
        if len(comes) == 1:
            act()

    return fit(compiled() if model is None else model, x, y, callbacks=[callback(END, once)], **options)


def in_last(act):
    return lambda: act() if is_last() else None


def quietly(act):
    def call():
        try:
            act()
        except RuntimeError:
            pass

    return call


def calling(act):
    """A model whose loss makes a call."""

    def loss(y_true, y_pred):
        if isinstance(y_pred, np.ndarray):  # and not when it is looked at whether it is written in fn.ops
            act()
        return squares(y_true, y_pred)

    return compiled(loss=loss)


#: Calls that all make together.
JOINT = {
    "fit": lambda: fit(compiled()),
    "train_on_batch": lambda: compiled().train_on_batch(*rows()),
    "DataParallel.evaluate": lambda: distribution().evaluate(compiled(), *rows()),
    "DataParallel.predict": lambda: distribution().predict(compiled(), rows()[0]),
    "DataParallel.scatter": lambda: distribution().scatter(rows()[0]),
}
evaluate, predict = JOINT["DataParallel.evaluate"], JOINT["DataParallel.predict"]

#: By name: a call within which the last process makes another one alone, and what is said of where it is.
NESTED = {
    **{f"within, {name}": (lambda act=act: within(in_last(act)), name) for name, act in JOINT.items()},
    "within, wide": (lambda: within(in_last(evaluate), wide_adam()), "DataParallel.evaluate"),
    "within, quietly": (lambda: within(quietly(in_last(evaluate))), "DataParallel.evaluate"),
    "within, other": (lambda: within(lambda: evaluate() if is_last() else predict()), "DataParallel.evaluate"),
    "within, loss": (lambda: fit(calling(in_last(predict)), *one_hot()), "DataParallel.predict"),
    "within, loss, quietly": (lambda: fit(calling(quietly(in_last(predict))), *one_hot()), "DataParallel.predict"),
    "within, loss, single": (lambda: single(calling(in_last(predict)), *one_hot()), "DataParallel.predict"),
    "within, step": (lambda: gan().fit(GAN_ROWS, callbacks=[callback(END, in_last(evaluate))], **step_options), "evaluate"),
}


def unsayable():
    """A failure between two exchanges, of which none can be told."""

    def fails(*args):
        raise MemoryError("in a sum of process 1")

    if distribution().rank == 1:
        fn._core.sum_arrays = fails
    try:
        fit(compiled())
    except MemoryError:  # which the script would see to
        fit(compiled())


class Untold(fn.metrics.Metric):
    """Does not keep what it was made with."""

    def __init__(self, function):
        super().__init__(name="untold")
        self.total, self._function = self.add_variable((), name="total"), function

    def reset_state(self):
        self.total.assign(0.0)

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign(self._function(y_pred))

    def result(self):
        return self.total.value


class UntoldRate(fn.schedules.LearningRateSchedule):
    def __init__(self, function):
        self._function = function

    def __call__(self, step):
        return self._function(step)


class UntoldLoss(fn.losses.Loss):
    def __init__(self, factor):
        super().__init__()
        self._factor = factor

    def call(self, y_true, y_pred):
        return self._factor * fn.ops.mean((y_true - y_pred) ** 2, axis=-1)


def untold():
    """Training with what cannot be written to a file, and what is said where one process has another option beside it."""
    x, y = one_hot()
    rate = fn.schedules.Lambda(lambda step: 0.1 / (1 + step))
    found = []
    for optimizer, loss, metrics in (
        (fn.optimizers.SGD(rate, momentum=0.5), "mse", []),
        (fn.optimizers.SGD(UntoldRate(lambda step: 0.1), momentum=0.5), "mse", []),
        ("sgd", UntoldLoss(2.0), []),
        ("sgd", "mse", [Untold(lambda y_pred: float(np.mean(y_pred)))]),
    ):
        model = compiled(dense(0), optimizer, loss, metrics=metrics)
        found.append([fit(model, x, y).history["loss"], digest(model)])
    try:
        fit(compiled(dense(0), fn.optimizers.SGD(rate, momentum=0.5 + 0.1 * is_last())), *rows())
    except ValueError as error:
        found.append(str(error))
    return {"found": found}


def nested_by_all():
    """What becomes of calls that all make within `fit`: what they return, the weights, and what is said where they fail."""
    model, other, found = compiled(wide(0), "adam"), compiled(optimizer="adam"), []
    x, y = rows()

    def act():
        found.append(distribution().evaluate(model, x, y))
        found.append(float(distribution().predict(other, x).sum()))
        fit(other, epochs=1)
        found.append(other.train_on_batch(x, y))

    history = fit(model, callbacks=[callback(END, act)], epochs=3).history["loss"]
    try:
        within(lambda: compiled().train_on_batch(Rows(x), y))
    except (ArithmeticError, RuntimeError) as error:
        message = str(error)
    return {"found": found, "history": history, "weights": [digest(model), digest(other)], "last": is_last(), "message": message}
