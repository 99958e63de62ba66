"""Training that is interrupted and resumed ends with the same bits.

The test that kills training interrupts it 40 times; ``FASTNET_LONG=1 python -m pytest tests/test_checkpoint.py`` makes
that 200.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from networks import classes, network, regression, rows, same_weights

import fastnet as fn
from fastnet import saving
from fastnet.callbacks import EarlyStopping, LambdaCallback, ReduceLROnPlateau, TrainingCheckpoint

N = 23
INTERRUPTIONS = 200 if os.environ.get("FASTNET_LONG") else 40


class Drop(fn.layers.Layer):
    """Random numbers in the forward pass, straight from the engine."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, x):
        return self.emit("dropout", [x], {"rate": self.rate})


@pytest.fixture(autouse=True)
def fast_disk(request, monkeypatch):
    """Nothing here crashes the machine: the many checkpoints need not reach the disk."""
    if "flush" not in request.node.name and "while_writing" not in request.node.name:
        monkeypatch.setattr(os, "fsync", lambda number: None)


class Interrupt(Exception):
    """What stands for the crash in tests within one process."""


class InterruptAt(fn.callbacks.Callback):
    """Raises once so many batches are done, in the middle of an epoch or at its end."""

    def __init__(self, batches):
        self.batches = batches

    def steps_to_checkpoint(self, batches):
        return self.batches - batches if batches < self.batches else None

    def on_checkpoint(self, fit, epoch_ended):
        if fit.optimizer.batches >= self.batches:
            raise Interrupt

    writes_training = True  # called last, after the checkpoint is written


class Idle(InterruptAt):
    """In the place of InterruptAt where training is not to be interrupted."""

    def __init__(self):
        super().__init__(10**9)


Idle.__name__ = "InterruptAt"


def digest(model):
    return hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()


def stacked(*layers, **options):
    return fn.Sequential([fn.Input((4,)), *layers, fn.layers.Dense(1)], **{"seed": 5, "dtype": "float64", **options})


def plain():
    return regression(5, 1, optimizer="adam"), {}


def dropout():
    model = stacked(fn.layers.Dense(6, "tanh"), Drop(0.4))
    model.compile(fn.optimizers.SGD(0.05, momentum=0.9), "mse", metrics=["mae", "r2"])
    return model, {}


def scheduled():
    model = network(6, 1)
    schedule = fn.schedules.LinearWarmup(fn.schedules.CosineDecay(0.1, 20), 5)
    model.compile(fn.optimizers.SGD(schedule, momentum=0.5), "mse")
    return model, {}


def counted_in_epochs():
    model = network(6, 1)
    schedule = fn.schedules.ExponentialDecay(0.1, 1, 0.7).in_epochs()
    model.compile(fn.optimizers.SGD(schedule, momentum=0.9 * schedule), "mse")
    return model, {}


def validated():
    model = network(6, 1)
    model.compile(fn.optimizers.Adam(0.05), "mse", metrics=["mae"])
    stop = EarlyStopping("val_mae", patience=2, restore_best_weights=True)
    reduce = ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=0.05)
    return model, {"validation_split": 0.25, "callbacks": [stop, reduce], "validation_freq": 1}


def early_stopped():
    """Stops before the last epoch and goes back to the best weights."""
    model = network(6, 1)
    model.compile(fn.optimizers.SGD(0.5), "mse")
    return model, {"callbacks": [EarlyStopping("loss", min_delta=10.0, patience=1, restore_best_weights=True)]}


def averaged():
    model = network(6, 1)
    model.compile(fn.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=7), "mse")
    return model, {
        "validation_split": 0.25,
        "callbacks": [EarlyStopping("val_loss", restore_best_weights=True, patience=9)],
    }


def accumulated():
    """Twenty batches and three to a step: two are left at the end."""
    model = stacked(fn.layers.Dense(6, "tanh"), Drop(0.3))
    model.compile(fn.optimizers.Adam(0.02, gradient_accumulation_steps=3, global_clipnorm=0.5, lookahead_steps=2), "mse")
    return model, {}


def custom_loss():
    model = stacked(fn.layers.Dense(6, "tanh"), Drop(0.3))
    model.compile("rmsprop", lambda t, p: (float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size), metrics=["mae"])
    return model, {}


def weighted():
    model = network(6, 3)
    model.compile("adamw", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model, {"y": classes(N, 3), "class_weight": {0: 1.0, 1: 2.5, 2: 0.3}, "sample_weight": rows(N, 1)[:, 0] ** 2}


def several_outputs():
    x = fn.Input((4,))
    shared = fn.layers.Dense(4, "tanh")
    hidden = Drop(0.2)(shared(shared(x)))
    a, b = fn.layers.Dense(1, name="a")(hidden), fn.layers.Dense(3, "softmax", name="b")(hidden)
    model = fn.Model(x, [a, b], seed=4, dtype="float64")
    model.compile(
        "nadam",
        {"a": "mse", "b": "sparse_categorical_crossentropy"},
        metrics={"b": ["accuracy"]},
        loss_weights={"a": 0.3, "b": 1.0},
    )
    return model, {"y": {"a": rows(N, 1), "b": classes(N, 3)}}


def unshuffled():
    return regression(5, 1, optimizer="adagrad"), {"shuffle": False}


def every_batch():
    return regression(5, 1, optimizer="adam"), {"callbacks": [LambdaCallback(on_train_batch_end=lambda batch, logs: None)]}


def scheduler_callback():
    model = regression(5, 1, optimizer=fn.optimizers.SGD(0.1))
    return model, {"callbacks": [fn.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7)]}


SITUATIONS = [plain, dropout, scheduled, counted_in_epochs, validated, early_stopped, averaged, accumulated,
              custom_loss, weighted, several_outputs, unshuffled, every_batch, scheduler_callback]  # fmt: skip
EPOCHS = 4


def fit(situation, *more, n_threads=None, **options):
    """Trains; more callbacks come after those of the situation."""
    model, given = situation() if callable(situation) else situation
    if n_threads is not None:
        model._compiled.n_threads = n_threads
    given = {"x": rows(N, 4), "y": rows(N, 1), "batch_size": 5, "epochs": EPOCHS, "verbose": 0, **given, **options}
    given["callbacks"] = [*given.get("callbacks", []), *more]
    model.fit(**given)
    return model


def curves(model):
    """The history without the times; norms of gradients, summed in slices of training, may differ by rounding."""
    found = {name: list(values) for name, values in model.history.quantities.items() if name != "seconds"}
    norms = np.array(found.pop("gradient_norm", []), float)
    return model.history.epoch, found, norms


def plain_state(optimizer):
    """Its state, with arrays as bytes."""
    return {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in optimizer.get_state().items()}


def assert_same_training(resumed, whole):
    assert digest(resumed) == digest(whole)
    assert resumed.optimizer.batches == whole.optimizer.batches
    assert plain_state(resumed.optimizer) == plain_state(whole.optimizer)
    for a, b in zip(resumed._plans.slots.arrays(), whole._plans.slots.arrays()):
        for weight in resumed.weights:
            part = slice(weight.offset, weight.offset + weight.size)
            assert a[part].tobytes() == b[part].tobytes()
    (epochs, numbers, norms), (other_epochs, other_numbers, other_norms) = curves(resumed), curves(whole)
    assert epochs == other_epochs and numbers == other_numbers
    np.testing.assert_allclose(norms, other_norms, rtol=1e-13)
    x = rows(7, 4, seed=9)
    predictions = [one if isinstance(one, list) else [one] for one in (resumed.predict(x), whole.predict(x))]
    assert all(np.array_equal(a, b) for a, b in zip(*predictions, strict=True))


def interrupted_at(situation, batches, path, **options):
    with pytest.raises(Interrupt):
        fit(situation, TrainingCheckpoint(path, every_steps=batches), InterruptAt(batches), **options)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_resumed_after_any_batch(situation, tmp_path):
    path = tmp_path / "training.safetensors"
    whole = fit(situation, TrainingCheckpoint(tmp_path / "other"), Idle())
    n_batches = whole.history.epoch[-1] * (4 if "val_loss" in whole.history.history else 5) + 4
    for batches in range(1, n_batches + 1):
        interrupted_at(situation, batches, path)
        resumed = fit(situation, TrainingCheckpoint(path), Idle(), resume_from=path)
        assert_same_training(resumed, whole)


@pytest.mark.parametrize("situation", [dropout, validated, accumulated], ids=lambda situation: situation.__name__)
def test_resumed_again_and_again(situation, tmp_path):
    path = tmp_path / "training.safetensors"
    whole = fit(situation, TrainingCheckpoint(tmp_path / "other"), Idle())
    interrupted_at(situation, 1, path)
    for batches in range(2, whole.optimizer.batches):
        with contextlib.suppress(Interrupt):
            resumed = fit(situation, TrainingCheckpoint(path, every_steps=1), InterruptAt(batches), resume_from=path)
    resumed = fit(situation, TrainingCheckpoint(path), Idle(), resume_from=path)
    assert_same_training(resumed, whole)


@pytest.mark.parametrize("name", fn.optimizers.OPTIMIZERS)
def test_resumed_with_every_optimizer(name, tmp_path):
    def situation():
        return regression(5, 1, optimizer=name), {}

    path = tmp_path / "training.safetensors"
    whole = fit(situation, TrainingCheckpoint(tmp_path / "other"), Idle())
    for batches in (3, 10) if whole.optimizer.batches == 20 else (2,):  # L-BFGS makes a step in each epoch
        interrupted_at(situation, batches, path)
        assert_same_training(fit(situation, TrainingCheckpoint(path), Idle(), resume_from=path), whole)


def test_resumed_with_another_number_of_threads(tmp_path):
    path = tmp_path / "training.safetensors"
    whole = fit(dropout, TrainingCheckpoint(tmp_path / "other"), Idle(), n_threads=1)
    for before, after in ((1, 2), (2, 1), (2, 3)):
        interrupted_at(dropout, 8, path, n_threads=before)
        resumed = fit(dropout, TrainingCheckpoint(path), Idle(), resume_from=path, n_threads=after)
        assert_same_training(resumed, whole)


def test_checkpoints_change_nothing(tmp_path):
    for situation in SITUATIONS:
        watched = fit(situation, TrainingCheckpoint(tmp_path / "training.safetensors", every_steps=1))
        assert_same_training(watched, fit(situation))


def test_more_epochs_may_follow(tmp_path):
    """Of a training that has ended, with gradients that were left over."""
    path = tmp_path / "training.safetensors"
    fit(accumulated, TrainingCheckpoint(path), epochs=2)
    assert_same_training(fit(accumulated, TrainingCheckpoint(path), resume_from=path), fit(accumulated))
    assert_same_training(fit(accumulated, TrainingCheckpoint(path), resume_from=path), fit(accumulated))


def test_the_seed_of_the_checkpoint_counts(tmp_path):
    """Also where each process has drawn one of its own."""

    def situation():
        model = stacked(fn.layers.Dense(6, "tanh"), Drop(0.4), seed=None)
        model.compile("sgd", "mse")
        return model, {}

    path = tmp_path / "training.safetensors"
    first = situation()
    seed = first[0].seed
    weights = first[0].get_weights()
    with pytest.raises(Interrupt):
        fit(first, TrainingCheckpoint(path, every_steps=7), InterruptAt(7))
    resumed = fit(situation, TrainingCheckpoint(path), Idle(), resume_from=path)
    whole = stacked(fn.layers.Dense(6, "tanh"), Drop(0.4), seed=seed)
    whole.compile("sgd", "mse")
    whole.set_weights(weights)
    assert resumed.seed == seed
    assert_same_training(resumed, fit((whole, {})))


def test_model_built_by_the_data(tmp_path):
    def situation():
        model = fn.Sequential([fn.layers.Dense(6, "tanh"), fn.layers.Dense(1)], seed=1)
        model.compile("adam", "mse")
        return model, {}

    path = tmp_path / "training.safetensors"
    interrupted_at(situation, 7, path)
    resumed = fit(situation, TrainingCheckpoint(path), Idle(), resume_from=path)
    assert_same_training(resumed, fit(situation))


# ---- when it is written -----------------------------------------------------------------------------------


def written_at(monkeypatch, situation=plain, **options):
    """(batches, epoch ended) of each checkpoint of a training of four epochs of five batches."""
    seen = []
    monkeypatch.setattr(
        saving.checkpoint, "write_checkpoint", lambda fit, path: seen.append((fit.optimizer.batches, fit.state is None))
    )
    fit(situation, TrainingCheckpoint("not written", **options))
    return seen


def test_written_after_each_epoch_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert written_at(monkeypatch) == [(5, True), (10, True), (15, True), (20, True)]
    assert written_at(monkeypatch, every_steps=3) == [(3, False), (6, False), (9, False), (12, False), (15, True),
                                                      (18, False)]  # fmt: skip
    assert [at for at, _ in written_at(monkeypatch, every_batch, every_steps=7)] == [7, 14]
    assert [at for at, _ in written_at(monkeypatch, every_steps=1)] == list(range(1, 21))
    assert written_at(monkeypatch, every_seconds=1e6) == []


def test_written_when_time_has_passed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    from fastnet.callbacks import files

    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr(files.time, "monotonic", lambda: next(clock))
    assert len(written_at(monkeypatch, every_batch, every_seconds=5)) == 20


def test_arguments_of_the_callback():
    for wrong in (0, -1):
        for name in ("every_steps", "every_seconds"):
            with pytest.raises(ValueError, match=f"{name} must be a positive number"):
                TrainingCheckpoint("x", **{name: wrong})
    with pytest.raises(TypeError, match="every_steps must be a positive number"):
        TrainingCheckpoint("x", every_steps=1.5)


def test_what_a_killed_process_left_behind_is_removed(tmp_path):
    (tmp_path / "t.safetensors.4711.tmp").write_bytes(b"half")
    (tmp_path / "u.safetensors.4711.tmp").write_bytes(b"of another training")
    fit(plain, TrainingCheckpoint(tmp_path / "t.safetensors"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.safetensors", "u.safetensors.4711.tmp"]


@pytest.mark.parametrize("own", ["", "training/"])
def test_layers_named_as_parts_of_a_checkpoint(tmp_path, own):
    def situation():
        model = stacked(
            fn.layers.Dense(4, "tanh", name="dense"),
            fn.layers.Dense(4, "tanh", name="middle"),
            fn.layers.Dense(4, "tanh", name=f"{own}optimizer/velocity/dense"),
            fn.layers.Dense(4, "tanh", name="optimizer/velocity/middle"),
            fn.layers.Dense(4, name=f"{own}callback/0/weights"),
            fn.layers.Dense(4, name="epoch"),
            fn.layers.Dense(4, name="optimizer_state"),
        )
        model.compile(fn.optimizers.SGD(0.05, momentum=0.9), "mse")
        return model, {"callbacks": [fn.callbacks.EarlyStopping("loss", restore_best_weights=True)]}

    path = tmp_path / "t"
    whole = fit(situation, TrainingCheckpoint(tmp_path / "other"), Idle())
    interrupted_at(situation, 3, path)
    assert_same_training(fit(situation, TrainingCheckpoint(path), Idle(), resume_from=path), whole)
    saved = fit(situation, TrainingCheckpoint(path, every_steps=1), epochs=1)
    assert same_weights(fn.load_model(path), saved)
    with saving.tensors.TensorFile(path) as file:
        weights = set(saved._paths().values())
        rest = set(file.entries) - weights
        (prefix,) = {os.path.commonprefix([name for name in rest if name.endswith("dense/kernel")]).split("optimizer/")[0]}
        assert prefix and not any(name.startswith(prefix) for name in weights)
        assert all(name.startswith(prefix) for name in rest)


def test_checkpoints_written_before_there_were_prefixes(tmp_path):
    path = tmp_path / "t"
    whole = fit(plain)
    interrupted_at(plain, 3, path)
    tensors, metadata = saving.read_tensors(path)
    training = json.loads(metadata["training"])
    assert training.pop("prefix") == ""
    assert "optimizer/velocity/dense/kernel" in tensors or "optimizer/momentum/dense/kernel" in tensors
    saving.write_tensors(path, tensors, {**metadata, "training": json.dumps(training)})
    assert_same_training(fit(plain, TrainingCheckpoint(path), Idle(), resume_from=path), whole)


def lowered():
    """After every epoch but the first the rate is half of what it was."""
    return regression(5, 1, optimizer=fn.optimizers.Adam(0.05)), {
        "callbacks": [ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9)]
    }


def test_checkpoints_written_when_every_rate_was_lowered_by_a_factor(tmp_path):
    """Such files have the rate that training began with, and `learning_rate_factor`: they go on at the product, and down from there."""
    path = tmp_path / "t"
    whole = fit(lowered)
    interrupted_at(lowered, 12, path)
    tensors, metadata = saving.read_tensors(path)
    training = json.loads(metadata["training"])
    assert (training["optimizer"]["learning_rate"], training["optimizer"]["learning_rate_factor"]) == (0.025, 1.0)
    training["optimizer"].update(learning_rate=0.05, learning_rate_factor=0.5)
    saving.write_tensors(path, tensors, {**metadata, "training": json.dumps(training)})
    resumed = fit(lowered, TrainingCheckpoint(path), Idle(), resume_from=path)
    assert digest(resumed) == digest(whole)
    rates = [model.optimizer.learning_rate_at(model.optimizer.iterations) for model in (resumed, whole)]
    assert rates == [0.00625, 0.00625]


def test_a_checkpoint_holds_a_model(tmp_path):
    model = fit(validated, TrainingCheckpoint(tmp_path / "t"), epochs=2)
    assert same_weights(fn.load_model(tmp_path / "t"), model) or model.history.epoch[-1] == 1


# ---- SIGKILL ----------------------------------------------------------------------------------------------

KILLED = """
    import hashlib, os, signal, sys, time
    import numpy as np
    import fastnet as fn
    from fastnet.callbacks import EarlyStopping, TrainingCheckpoint

    path, interruptions = sys.argv[1], int(sys.argv[2])

    class Drop(fn.layers.Layer):
        def call(self, x):
            return self.emit("dropout", [x], {"rate": 0.3})

    def train(path, resume):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(90, 4)), rng.normal(size=(90, 1))
        model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(16, "tanh"), Drop(), fn.layers.Dense(1)], seed=1)
        schedule = fn.schedules.CosineDecay(0.02, 400)
        model.compile(fn.optimizers.Adam(schedule, use_ema=True, gradient_accumulation_steps=2), "mse", n_threads=1)
        best = EarlyStopping("val_loss", patience=99, restore_best_weights=True)
        callbacks = [best, TrainingCheckpoint(path, every_steps=2)]
        model.fit(x, y, batch_size=5, epochs=10, validation_split=0.2, verbose=0, callbacks=callbacks,
                  resume_from=path if resume else None)
        return hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()

    def in_child(function):
        # The parent never trains: the engine makes its threads in children only.
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(write, function().encode())
            finally:
                os._exit(0)
        os.close(write)
        return pid, read

    def result(child):
        pid, read = child
        with os.fdopen(read) as file:
            text = file.read()
        return os.waitpid(pid, 0)[1], text

    start = time.perf_counter()
    status, expected = result(in_child(lambda: train(path + ".whole", False)))
    assert status == 0 and len(expected) == 64, (status, expected)
    whole = time.perf_counter() - start
    rng = np.random.default_rng(7)
    killed, done, writing = 0, 0, 0
    while killed < interruptions:
        if os.path.exists(path):
            os.unlink(path)
        while True:
            child = in_child(lambda: train(path, os.path.exists(path)))
            # Wherever that is: the time is random, and a slow machine only makes it come earlier.
            time.sleep(float(rng.uniform(0.0, 0.4)) * whole)
            if killed < interruptions:
                os.kill(child[0], signal.SIGKILL)
            status, digest = result(child)
            if os.WIFSIGNALED(status):
                assert os.WTERMSIG(status) == signal.SIGKILL, status
                killed += 1
                writing += os.path.exists(f"{path}.{child[0]}.tmp")
                continue
            assert status == 0 and digest == expected, (status, digest, expected, killed)
            done += 1
            break
    print(killed, writing, done)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_points(tmp_path):
    """Children are killed, while they write checkpoints too, and resumed until they end: with the same SHA-256."""
    arguments = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "t.safetensors"), str(INTERRUPTIONS)]
    result = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr[-3000:]
    killed, writing, done = map(int, result.stdout.split())
    assert killed == INTERRUPTIONS and done >= 1
    if killed >= 200:
        assert writing > 0, "none was killed while it wrote a checkpoint"
