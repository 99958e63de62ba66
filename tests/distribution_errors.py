"""What several processes see that make calls that differ, or of which one fails."""

import signal
import threading

import distribution_steps
import numpy as np
from distribution_networks import *

import fastnet as fn
from fastnet import _core as fastnet_core


class Largest(fn.metrics.Metric):
    """The largest prediction so far: nothing that could be added up."""

    updates, fails_at = 0, None

    def __init__(self, name="largest"):
        super().__init__(name=name)
        self.value = self.add_variable((), name="value")

    def reset_state(self):
        self.value.assign(-1.0)

    def update_state(self, y_true, y_pred, sample_weight=None):
        Largest.updates += 1
        if Largest.updates == Largest.fails_at:
            raise ArithmeticError("in a metric of process 1")
        self.value.assign(max(float(np.asarray(self.value.value)), float(np.max(y_pred))))

    def result(self):
        return self.value.value


def unequal(what):
    """What is said in each process where process 1 calls evaluate or predict otherwise."""
    x, y = rows()
    rank, distribution, model = fn.distribution.distribution().rank, fn.distribution.distribution(), dense(0)
    model.compile("sgd", CROSS_ENTROPY)
    calls = {
        "rows": lambda: distribution.evaluate(model, x[: 50 - rank], y[: 50 - rank]),
        "error": lambda: distribution.predict(model, x[:, : 6 - rank]),
        "calls": lambda: distribution.predict(model, x) if rank else distribution.evaluate(model, x, y),
        "validation": lambda: model.fit(x, y, verbose=0, validation_data=(x[rank:], y[rank:])),
    }
    try:
        calls[what]()
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error), "rank": rank}


#: Arguments of `fit` that one process has otherwise, in place of those that all have.
ARGUMENTS = {
    "sample_weight": np.ones(50),
    "class_weight": {0: 2.0},
    "validation_data": (rows()[0], np.eye(3)[rows()[1]]),
    "validation_split": 0.2,
    "initial_epoch": 1,
    "epochs": 3,
    "batch_size": 10,
    "steps_per_epoch": 2,
    "validation_freq": 2,
    "shuffle": False,
    "mixup": 0.5,
}


def other_arguments():
    """What is said in each process where the last has another argument of a call, by name, and of a step that follows."""
    x, y = rows()
    distribution, found = fn.distribution.distribution(), {}
    last, one_hot = distribution.rank == distribution.size - 1, np.eye(3)[y]
    model = dense(0)
    model.compile("sgd", "categorical_crossentropy")

    def fit(**options):
        arguments = {"epochs": 2, "batch_size": 16, **options}
        model.fit(x, one_hot, verbose=0, **arguments)

    def give(value):
        return value if last else None

    calls = {name: lambda name=name, value=value: fit(**({name: value} if last else {})) for name, value in ARGUMENTS.items()}
    calls["value of class_weight"] = lambda: fit(class_weight={0: 1.0 + last})
    weighted = (x, one_hot, np.ones(50))
    calls["weights of validation_data"] = lambda: fit(validation_data=weighted if last else weighted[:2])
    calls["train_on_batch"] = lambda: model.train_on_batch(x, one_hot, give(np.ones(50)))
    calls["evaluate"] = lambda: distribution.evaluate(model, x, one_hot, sample_weight=give(np.ones(50)))
    calls["rows of a batch"] = lambda: distribution.predict(model, x, 8 + last)
    batches = [(x[:16], one_hot[:16], np.ones(16))[: 2 + last] for _ in range(4)]
    calls["weights of batches"] = lambda: model.fit(iter(batches), steps_per_epoch=4, verbose=0)
    later = [*[batch[:2] for batch in batches[:2]], *batches[2:]]
    calls["weights of later batches"] = lambda: model.fit(iter(later), steps_per_epoch=4, verbose=0)
    for name, call in calls.items():
        try:
            call()
        except Exception as error:
            found[name] = [type(error).__name__, str(error)]
        found[name] = [*found.get(name, ["None", ""]), model.train_on_batch(x, one_hot)]
    return found


def lonely(first, second):
    """What is said where process 0 makes another call than the others, or these come to the end."""
    x, y = rows()
    distribution, model = fn.distribution.distribution(), dense(0)
    model.compile("sgd", CROSS_ENTROPY)
    model.train_on_batch(x, y)
    calls = {
        "fit": lambda: model.fit(x, y, verbose=0),
        "train_on_batch": lambda: model.train_on_batch(x, y),
        "evaluate": lambda: distribution.evaluate(model, x, y),
        "predict": lambda: distribution.predict(model, x),
        "scatter": lambda: distribution.scatter(x),
    }
    own, found = second if distribution.rank else first, {"rank": distribution.rank}
    for what in [own, own] if second == "end" else [own]:
        try:
            calls.get(what, int)()
        except RuntimeError as error:
            found.setdefault("messages", []).append(str(error))
    if second != "end":
        found["loss"] = model.train_on_batch(x, y)
    return found


def forgotten():
    """A call that process 0 alone makes, and nothing that would see to the error."""
    if fn.distribution.distribution().rank == 0:
        train(dense(0), rows(), {"optimizer": "sgd"}, {})


def differing(what):
    """What each process sees where process 1 has another model, was told other things, or changes what the others do not."""
    x, y = rows()
    rank = fn.distribution.distribution().rank
    units = list(dense(0).layers)
    optimizer, loss, metrics, targets, callbacks = "sgd", CROSS_ENTROPY, ["accuracy"], y, []

    class Changes(fn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if rank == 1 and what == "rate":
                self.model.optimizer.learning_rate = 0.5
            elif rank == 1:
                self.model.set_weights([2 * array for array in self.model.get_weights()])

    if what in ("rate", "weights"):
        callbacks = [Changes()]
    elif rank == 1 and what == "optimizer":
        optimizer = fn.optimizers.Adam()
    elif rank == 1 and what == "option":
        optimizer = fn.optimizers.SGD(momentum=0.9)
    elif rank == 1 and what == "loss":
        loss, targets = "mse", np.eye(3)[y]
    elif rank == 1 and what == "metrics":
        metrics = []
    elif rank == 1 and what == "refused":
        optimizer = fn.optimizers.LBFGS()
    elif rank == 1 and what == "layer":
        units = fn.Sequential([fn.Input((6,)), fn.layers.Dense(9, "relu"), fn.layers.Dense(3, "softmax")], seed=0).layers
    model = fn.Sequential([fn.Input((6,)), *units], seed=rank)
    model.compile(optimizer, loss, metrics=metrics)
    found = {"rank": rank}
    try:
        if what == "rows":
            model.train_on_batch(x[rank:], y[rank:])
        elif what == "batches":
            batches = ((x[a : a + 10], y[a : a + 10]) for a in range(0, 50 - 20 * rank, 10))
            model.fit(batches, steps_per_epoch=5, verbose=0)
        else:
            model.fit(x, targets, epochs=2, batch_size=16, verbose=0, callbacks=callbacks)
    except Exception as error:
        found.update(error=type(error).__name__, message=str(error))
    again = dense(rank)
    again.compile("sgd", CROSS_ENTROPY)
    losses = [again.train_on_batch(x, y) for _ in range(2)]
    return {**found, "again": [losses, digest(again)]}


def many_fits():
    """What is said of fit_many, and of two threads that train with one distribution."""
    x, y = rows()
    models = [dense(seed) for seed in range(2)]
    found = {}
    for model in models:
        model.compile("sgd", CROSS_ENTROPY)
    try:
        fn.fit_many(models, x, y)
    except ValueError as error:
        found["many"] = str(error)

    class Within(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            thread = threading.Thread(target=self.train)
            thread.start()
            thread.join()

        def train(self):
            try:
                models[1].fit(x, y, verbose=0)
            except RuntimeError as error:
                found["thread"] = str(error)

    models[0].fit(x, y, verbose=0, callbacks=[Within()])
    models[1].fit(x, y, verbose=0)
    return {**found, "weights": [digest(model) for model in models]}


def refused():
    """What cannot be trained in pieces, with what is said."""
    x, y = rows(16, (6,))
    stateful = fn.Sequential(
        [fn.Input((6, 1), batch_size=16), fn.layers.GRU(3, stateful=True), fn.layers.Dense(3, "softmax")], seed=0
    )
    lbfgs = dense(0)
    normal = fn.layers.BatchNormalization(synchronized=True)
    function = fn.Sequential([fn.Input((6,)), normal, fn.layers.Dense(3, "softmax")], seed=0)
    found = {}
    for name, model, data, options in (
        ("function", function, x, {"optimizer": "sgd", "loss": lambda y, p: (float(np.sum(p)), np.ones_like(p))}),
        ("stateful", stateful, x[..., None], {"optimizer": "sgd"}),
        ("lbfgs", lbfgs, x, {"optimizer": fn.optimizers.LBFGS()}),
    ):
        model.compile(**{"loss": CROSS_ENTROPY, **options})
        try:
            model.fit(data, y, batch_size=16, verbose=0)
        except ValueError as error:
            found[name] = str(error)
    pair, _, data = distribution_steps.pair(0, True, (fn.layers.BatchNormalization(synchronized=True),))
    try:
        pair.fit(*data, batch_size=16, verbose=0)
    except ValueError as error:
        found["together"] = str(error)
    return found


def failing(kind):
    """What each process sees where process 1 fails, or makes other calls."""
    rank = fn.distribution.distribution().rank
    x, y = rows()
    model = dense(0)
    model.compile("sgd", CROSS_ENTROPY)
    options = {"epochs": 3, "verbose": 0, "batch_size": 16}

    class Fails(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if rank == 1 and epoch == 1:
                raise ZeroDivisionError("in a callback of process 1")

    class Stops(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = rank == 0 and epoch == 1

    class Changes(fn.callbacks.Callback):  # of labels that have been checked
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                y[:] = 5

    class FailsOnce(fn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if rank == fn.distribution.distribution().size - 1 and model.optimizer.batches == 2:
                raise ZeroDivisionError("in a callback of the last process")

    if kind == "callback":
        options["callbacks"] = [Fails()]
    elif kind == "once":
        options["callbacks"] = [FailsOnce()]
    elif kind == "stop":
        options["callbacks"] = [Stops()]
    elif kind == "loss":

        def fails(y_true, y_pred):
            if rank == 1 and model.optimizer.batches == 2:
                raise ArithmeticError("in a loss of process 1")
            return squares(y_true, y_pred)

        model.compile("sgd", fails)
        y = np.eye(3)[y]
    elif kind == "metric":
        Largest.fails_at = 5 if rank == 1 else None
        model.compile("sgd", CROSS_ENTROPY, metrics=[Largest()])
    elif kind == "labels":
        options["callbacks"] = [Changes()]
    elif kind == "rows":
        x, y = x[: 50 - rank], y[: 50 - rank]
    elif kind == "divergence":
        model.compile("sgd", "mse")
        y = np.ones((50, 3), "float32")
        y[40] = 1e30
    elif kind in ("overflow", "lost"):  # of the gradient, where the loss is finite; of the weights by a step that is too large
        model = fn.Sequential([fn.Input((6,)), fn.layers.Dense(3000, kernel_initializer="zeros")], seed=0)
        model.compile(fn.optimizers.SGD(1e38 if kind == "lost" else 0.1, momentum=0.9), "mse")
        y = np.full((50, 3000), 1e6 if kind == "lost" else 100, "float32")
        if kind == "overflow":
            model.train_on_batch(x, y)
            model.set_weights([np.zeros((6, 3000)), np.zeros(3000)])
            x[3, 1], y[3, 2000] = 1e30, 1e15
    before, slots_before = digest(model), slots_of(model)
    try:
        history = model.fit(x, y, **options)
    except Exception as error:
        found = {"error": type(error).__name__, "message": str(error), "weights": digest(model)}
        if kind == "once":
            found["again"] = [model.fit(x, y, **options).history["loss"], digest(model)]
        if kind == "overflow":
            found.update({"before": before, "slots before": slots_before, "slots": slots_of(model)})
        return found
    return {"epochs": len(history.epoch), "weights": digest(model)}


def failing_together(kind):
    """What each process sees where a step of a synchronized model fails in process 1, or is another one; and of a fit after that."""
    distribution = fn.distribution.distribution()
    rank, last = distribution.rank, distribution.rank == distribution.size - 1
    x, y = rows(shape=(6, 6, 1))
    model = synchronized(0)
    model.compile(fn.optimizers.SGD(0.01), CROSS_ENTROPY)
    labels = y.copy()

    class Once(fn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if model.optimizer.batches != 2 or not last:
                return
            if kind == "callback":
                raise ZeroDivisionError("in a callback of the last process")
            if kind == "labels":
                y[:] = 5
            elif kind == "frozen":
                model.layers[0].trainable = False
            elif kind == "all frozen":
                for layer in model.layers:
                    layer.trainable = "batch" not in layer.name
            elif kind == "interrupt":
                signal.raise_signal(signal.SIGINT)
            elif kind == "memory":  # for the plans of other pieces
                model._plans.forget()
                fastnet_core.fail_allocation(1)

    found = {"rank": rank}
    try:
        if kind == "rows":
            for n in (16, 16, 16 + last):
                model.train_on_batch(x[:n], y[:n])
        else:
            model.fit(x, y, epochs=2, batch_size=16, verbose=0, callbacks=[Once()])
    except BaseException as error:
        found.update(error=type(error).__name__, message=str(error))
    finally:
        fastnet_core.fail_allocation(0)
    found.update(weights=digest(model), batches=model.optimizer.batches)
    y[:] = labels
    for layer in model.layers:
        layer.trainable = True
    history = model.fit(x, y, epochs=2, batch_size=16, verbose=0).history
    return {**found, "again": [history["loss"], digest(model)]}
