"""What `test_distribution.py` has several processes do: python distribution_worker.py SCENARIO ARGUMENTS, started by mpiexec.

Each process prints one line of JSON, of what the test compares.
"""

import hashlib
import json
import os
import sys
import time

import distribution_steps
import numpy as np
from distribution_early import *
from distribution_errors import *
from distribution_failures import *
from distribution_networks import *

import fastnet as fn


def tell(found):
    """One line at once: those of several processes come through one pipe."""
    os.write(1, (json.dumps(found, default=np.ndarray.tolist) + "\n").encode())


def bits(*names):
    """Weights and histories of all networks."""
    return {name: train(*rest) for name, *rest in networks() if not names or name in names}


def sequences(*names):
    """Weights and histories of steps of several updates, by `fit` and then by single steps."""
    found, rank = {}, fn.distribution.distribution().rank if fn.distribution.distribution() else 0
    for name in names or distribution_steps.CASES:
        step, models, data = distribution_steps.CASES[name][0](rank)
        held = data[0] if isinstance(step, fn.TrainStep) else data if len(data) > 1 else None
        options = {"batch_size": 16} if held is None else {"batch_size": 16, "validation_data": held, "validation_batch_size": 16}
        given = data
        if "stream" in name:
            given, options = (distribution_steps.batches_of(data[0]),), {"steps_per_epoch": 3}
        history = step.fit(*given, epochs=2, verbose=0, **options).history
        own = {key: values for key, values in history.items() if key != "seconds"}
        parts = [[array[:7] for array in one] if isinstance(one, list) else one[:7] for one in data]
        single = [step.train_on_batch(*parts, return_dict=True) for _ in range(2)]
        arrays = [array for model in models for array in model.get_weights()]
        found[name] = {
            "weights": digest_arrays(arrays),
            "sizes": [float(np.abs(one).sum()) for one in arrays],
            "single": single,
            **own,
        }
    return found


def held_out_of_step():
    """Validation of a step in batches of 5 rows, and in those that are taken, beside what each process finds alone; and batches that were seen."""

    class Counts(fn.callbacks.Callback):
        batches = 0

        def on_test_batch_end(self, batch, logs=None):
            self.batches += 1

    found, counts = [], Counts()
    for size in (None, 5):
        step, _, data = distribution_steps.rare_gan(0)
        held = [array[:23] for array in data[0]]
        callbacks = [counts] if size else []
        options = {"validation_data": held, "validation_batch_size": size, "callbacks": callbacks}
        history = step.fit(*data, batch_size=16, verbose=0, **options).history
        own = step.evaluate(held, return_dict=True)
        found.append([{name: history[f"val_{name}"][0] for name in own}, own])
    return {"found": found, "batches": counts.batches}


def moved_by_two():
    """Statistics of a layer that two updates with gradients at the same weights move, after two batches of 16 and 3 rows."""
    model = distribution_steps.pair_of_one_layer()
    model.fit(distribution_steps.NOISE[:19], batch_size=16, shuffle=False, verbose=0)
    return {"found": [array.tolist() for array in (model.normal.moving_mean, model.normal.moving_variance)]}


def failing_steps(what):
    """Where the second of two updates fails: what is said, what has become of both, and how it goes on."""
    step, models, good, bad = distribution_steps.two_updates(what)
    step.train_on_batch(good)
    found = {"before": [digest(model) for model in models], "slots": slots_of(step)}
    try:
        step.fit(bad, batch_size=16, verbose=0, shuffle=False)
    except Exception as error:
        found.update(error=type(error).__name__, message=str(error), batches=[one.batches for one in step.optimizers.values()])
    found.update(after=[digest(model) for model in models])
    losses = [step.train_on_batch(good) for _ in range(2)]
    return {**found, "losses": losses, "weights": [digest(model) for model in models]}


def differing_steps(what):
    """What is said in each process where process 1 has another step, or one of its metrics or callbacks fails."""
    rank = fn.distribution.distribution().rank
    try:
        distribution_steps.differ(what, rank)
    except Exception as error:
        return {"rank": rank, "error": type(error).__name__, "message": str(error)}


def resumed_step(path, stop):
    """Training of a step that is stopped after its fifth batch, or goes on to its end."""
    step, models, data = distribution_steps.rare_gan(fn.distribution.distribution().rank)
    keep = fn.callbacks.TrainingCheckpoint(path, every_steps=1)

    class Stops(fn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if stop == "stop" and self.model.optimizer.batches == 6:
                raise InterruptedError

    resume = {"resume_from": path} if stop == "go on" else {}
    try:
        history = step.fit(*data, epochs=4, batch_size=16, verbose=0, callbacks=[keep, Stops()], **resume).history
    except InterruptedError:
        return {"batches": step.optimizer.batches}
    weights = [digest(model) for model in models]
    return {"weights": weights, **{name: values for name, values in history.items() if name != "seconds"}}


def steps():
    """Weights and losses of single steps."""
    x, y = rows()
    model = dense(3)
    model.compile("adam", CROSS_ENTROPY)
    losses = [model.train_on_batch(x[:n], y[:n]) for n in (50, 7, 2)]
    return {"losses": losses, "weights": digest(model)}


def moving(what="pieces"):
    """Moving statistics of the data themselves after three batches, the last of two rows, by steps of `fit` and by single ones."""
    x, y = rows(34)
    found = {}
    for name in ("fit", "train_on_batch"):
        normal = fn.layers.BatchNormalization(momentum=0.7, synchronized=what == "batches")
        model = fn.Sequential([fn.Input((6,)), normal, fn.layers.Dense(3, "softmax")], seed=0)
        model.compile("sgd", CROSS_ENTROPY)
        if name == "fit":
            model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
        else:
            for i in (0, 16, 32):
                model.train_on_batch(x[i : i + 16], y[i : i + 16])
        found[name] = [array.tolist() for array in (model.layers[0].moving_mean, model.layers[0].moving_variance)]
    return found


def held_out():
    """Validation, evaluate and predict of 53 rows by all, beside what each process finds alone."""
    x, y = rows(103)
    distribution = fn.distribution.distribution()
    a = fn.Input((6,))
    tokens = fn.layers.Masking()(fn.layers.Reshape((3, 2))(a))
    outputs = [fn.layers.Dense(3, "softmax", name="p", kernel_regularizer="l2")(a), fn.layers.Dense(1, name="q")(tokens)]
    data = (x[:53], {"p": y[:53], "q": x[:53, :3, None]}, {"p": np.linspace(0, 1, 53), "q": np.ones(53)})
    data[0][::7, :2] = 0

    class Counts(fn.callbacks.Callback):
        batches = 0

        def on_test_batch_end(self, batch, logs=None):
            self.batches += 1

    found = []
    for size in (None, 5):
        model = fn.Model(a, outputs, seed=2, dtype="float64")
        model.compile(
            fn.optimizers.Adam(0.01, use_ema=True),
            {"p": CROSS_ENTROPY, "q": "mse"},
            metrics={"p": ["accuracy"], "q": ["mae", "R2Score"]},
        )
        counts = Counts()
        history = model.fit(
            x[53:], {"p": y[53:], "q": x[53:, :3, None]}, batch_size=25, epochs=2, verbose=0, validation_data=data,
            validation_batch_size=size, callbacks=[counts] if size else [],
        ).history  # fmt: skip
        own = model.evaluate(data[0], data[1], batch_size=size, sample_weight=data[2], return_dict=True)
        one = {
            "validation": {name[4:]: values[-1] for name, values in history.items() if name.startswith("val_")},
            "batches": counts.batches // 2,
            "own": own,
        }
        if distribution is not None:
            one["evaluate"] = distribution.evaluate(model, data[0], data[1], size, data[2], return_dict=True)
            predicted = distribution.predict(model, data[0], size)
            one["predict"] = hashlib.sha256(b"".join(array.tobytes() for array in predicted)).hexdigest()
            one["off"] = max(float(np.abs(a - b).max()) for a, b in zip(predicted, model.predict(data[0])))
        found.append(one)
    return {"found": found}


def in_turns():
    """Steps of two models in turn, where process 1 is late to read what the others have computed."""
    x, y = rows()
    add = fn._core.sum_arrays

    def add_late(*args):
        time.sleep(0.01)
        return add(*args)

    if fn.distribution.distribution().rank == 1:
        fn._core.sum_arrays = add_late
    models = [dense(1), fn.Sequential([fn.Input((6,)), fn.layers.Dense(3, "softmax")], seed=2)]
    for model in models:
        model.compile("adam", CROSS_ENTROPY)
    for _ in range(4):
        for model in models:
            model.train_on_batch(x, y)
    return {"weights": [digest(model) for model in models]}


def by_arrays():
    """Metrics that are functions of arrays."""

    def spread(y_true, y_pred):
        return float(np.max(y_pred) - np.min(y_pred[:, 0]) + np.mean(y_true))

    x, y = rows(53)
    model = dense(2, dtype="float64")
    model.compile("sgd", CROSS_ENTROPY, metrics=["accuracy", spread, Largest()])
    history = model.fit(x, y, epochs=2, batch_size=16, verbose=0, validation_split=0.2).history
    single = model.train_on_batch(x[:7], y[:7])
    return {"weights": digest(model), "single": single, **{name: history[name] for name in history if name != "seconds"}}


def slots():
    """What the optimizer keeps, as callbacks see it after each step, and after training; and a step by itself."""
    x, y = rows()
    model = wide(3)
    model.compile(fn.optimizers.Adam(0.01, use_ema=True), CROSS_ENTROPY)
    found = []

    class Looks(fn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.append(slots_of(model))

    model.fit(x, y, batch_size=16, epochs=1, verbose=0, callbacks=[Looks()])
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    found.append(slots_of(model))
    for _ in range(2):
        model.train_on_batch(x, y)
        found.append(slots_of(model))
    model.compile(fn.optimizers.SGD(0.01, momentum=0.9), CROSS_ENTROPY)
    for n in (50, 3):
        model.train_on_batch(x[:n], y[:n])
        found.append(slots_of(model))
    return {"slots": found, "weights": digest(model)}


def resumed(path, stop):
    """Training that is stopped in its fifth step, or goes on to its end."""
    x, y = rows()
    model = dense(fn.distribution.distribution().rank)
    model.compile(fn.optimizers.Adam(0.01), CROSS_ENTROPY, metrics=["accuracy"])
    keep = fn.callbacks.TrainingCheckpoint(path, every_steps=1)

    class Stops(fn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if stop == "stop" and self.model.optimizer.batches == 6:
                raise InterruptedError

    resume = {"resume_from": path} if stop == "go on" else {}
    try:
        history = model.fit(x, y, epochs=4, batch_size=16, verbose=0, callbacks=[keep, Stops()], **resume).history
    except InterruptedError:
        return {"batches": model.optimizer.batches}
    return {"weights": digest(model), **{name: values for name, values in history.items() if name != "seconds"}}


def scattered():
    """An array that only process 0 has, and what the others get."""
    distribution = fn.distribution.distribution()
    x = np.arange(24.0).reshape(4, 6) if distribution.rank == 0 else None
    found = distribution.scatter(x)
    try:
        distribution.scatter(np.array(["a"]) if distribution.rank == 0 else None)
    except TypeError as error:
        message = str(error)
    return {"sum": float(found.sum()), "shape": found.shape, "writeable": found.flags.writeable, "message": message}


def files(folder):
    """Files that callbacks write, with who wrote them."""
    rank = fn.distribution.distribution().rank
    own = os.path.join(folder, str(rank))
    model = dense(0)
    callbacks = [
        fn.callbacks.ModelCheckpoint(own + "-model.safetensors"),
        fn.callbacks.CSVLogger(own + "-log.csv"),
        fn.callbacks.TrainingCheckpoint(own + "-training.safetensors"),
    ]
    train(model, rows(), {"optimizer": "sgd"}, {"callbacks": callbacks})
    return {"files": sorted(name for name in os.listdir(folder) if name.startswith(str(rank)))}


def endless(kind="model"):
    """Trains until it is ended from outside."""
    data, model = rows(), dense(0)
    if kind == "step":
        model, models, data = distribution_steps.gan(0)
    else:
        model.compile("sgd", CROSS_ENTROPY)

    class Tells(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 20:
                tell({"process": os.getpid()})
            time.sleep(0.002)

    try:
        for number in range(100_000 if kind == "single" else 0):
            model.train_on_batch(*data)
            if number == 20:
                tell({"process": os.getpid()})
        model.fit(*data, epochs=100_000, batch_size=16, verbose=0, callbacks=[Tells()])
    except KeyboardInterrupt:
        counts = [one.batches for one in model.optimizers.values()] if kind == "step" else []
        batches = model.optimizer.batches
        return {"interrupted": True, "batches": batches, "same": set(counts) <= {batches}, "weights": digest(model)}


def evaluated():
    """What the processes find together beside what each finds alone: by losses and metrics of arrays, and of a `TrainStep`."""

    def spread(y_true, y_pred):
        return float(np.max(y_pred) - np.min(y_pred[:, 0]) + np.mean(y_true))

    x, y = rows(53)
    distribution, one_hot, found = fn.distribution.distribution(), np.eye(3)[y], {}
    cases = {
        "loss": ("sgd", squares, [], one_hot),
        "loss and metrics": ("sgd", squares, ["mae", spread, Largest()], one_hot),
        "metrics": ("sgd", CROSS_ENTROPY, ["accuracy", spread, Largest()], y),
    }
    for name, (optimizer, loss, metrics, targets) in cases.items():
        model = fn.Sequential([fn.Input((6,)), fn.layers.Dense(3, "softmax", kernel_regularizer="l2")], seed=2, dtype="float64")
        model.compile(optimizer, loss, metrics=metrics)
        for size in (5, None):
            together = distribution.evaluate(model, x, targets, size, return_dict=True)
            # Batches are smaller where their size is not given, so that each piece has one.
            own = model.evaluate(x, targets, batch_size=size or 14, return_dict=True)
            found[f"{name}, {size}"] = [together, own]
        history = model.fit(x, targets, batch_size=16, verbose=0, validation_data=(x, targets), validation_batch_size=5).history
        own = model.evaluate(x, targets, batch_size=5, return_dict=True)
        found[f"{name}, fit"] = [{key: history[f"val_{key}"][0] for key in own}, own]
    step, _, data = distribution_steps.rare_gan(0)
    found["step"] = [
        distribution.evaluate(step, *data, batch_size=5, return_dict=True),
        step.evaluate(*data, 5, return_dict=True),
    ]
    found["step, list"] = [dict(zip("ab", distribution.evaluate(step, *data))), dict(zip("ab", step.evaluate(*data)))]
    predicted = distribution.predict(step, *data, 5), step.predict(*data, 5)
    found["predict"] = [{str(i): array for i, array in enumerate(arrays)} for arrays in predicted]
    try:
        distribution.evaluate(step, *data, data[0][0])
    except TypeError as error:
        found["message"] = str(error)
    return found


class Asked(fn.data.PyDataset):
    """Seven batches, of which it counts those that it is asked for; as they come in a loop where it has no numbers."""

    def __init__(self, data, workers=1):
        super().__init__(workers)
        self.data, self.asked = data, []

    def __len__(self):
        return 7

    def __getitem__(self, i):
        self.asked.append(i)
        return tuple(array[8 * i : 8 * i + 8] for array in self.data)


class Loop:
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        return iter([Asked(self.data)[i] for i in range(7)])


def held_batches():
    """Validation by batches that come one after another, beside what each process finds alone; and which of them it has asked for."""
    x, y = rows(103)
    held, found = (x[:53], y[:53]), {}
    for name, make, steps in (
        ("numbered", lambda: Asked(held), None),
        ("workers", lambda: Asked(held, 2), None),
        ("steps", lambda: Asked(held), 3),
        ("loop", lambda: Loop(held), None),
        ("generator", lambda: (Asked(held)[i % 7] for i in range(12)), 4),
        ("rows", lambda: fn.data.Dataset(*held, batch_size=8), None),
        ("map", lambda: fn.data.Dataset(*held, batch_size=8).map(lambda x, y: (2 * x, y)), None),
        ("arrays", lambda: held, None),
    ):
        model, given = dense(3, dtype="float64"), make()
        model.compile(fn.optimizers.Adam(0.01), CROSS_ENTROPY, metrics=["accuracy", fn.metrics.SparseTopKCategoricalAccuracy(2)])
        options = {"validation_batch_size": 8} if name == "arrays" else {}
        history = model.fit(
            x[53:], y[53:], batch_size=25, epochs=2, verbose=0, validation_data=given, validation_steps=steps, **options
        ).history
        asked = given.asked if isinstance(given, Asked) else []
        own = None
        if name != "generator":
            own = (
                model.evaluate(make(), steps=steps, return_dict=True)
                if name != "arrays"
                else model.evaluate(*held, return_dict=True)
            )
        found[name] = {"history": [{key: history[f"val_{key}"][i] for key in model.metrics_names} for i in range(2)]}
        found[name].update(own=own, asked=sorted(asked), weights=digest(model))
    step, _, data = distribution_steps.rare_gan(0)
    batches = [tuple(array[8 * i : 8 * i + 8] for array in data[0]) for i in range(4)]
    history = step.fit(*data, batch_size=16, verbose=0, validation_data=iter(batches), validation_steps=4).history
    own = step.evaluate([array[:32] for array in data[0]], return_dict=True)
    found["step"] = {"history": [{key: history[f"val_{key}"][0] for key in own}], "own": own, "asked": []}
    return found


def main():
    scenario, options = sys.argv[1], sys.argv[2:]
    kinds = set()
    while scenario in ("alone", "plain", "apart", "buckets"):
        kinds.add(scenario)
        scenario, *options = options
    if "buckets" in kinds:
        have_buckets()
    if "alone" not in kinds:
        distribution = fn.distribution.DataParallel(reproducible="plain" not in kinds)
        if "apart" in kinds:  # each on a machine of its own
            distribution._memory._host = distribution.comm.Split(distribution.rank)
        fn.distribution.set_distribution(distribution)
    tell(globals()[scenario](*options))


main()
