"""Training that is interrupted and resumed ends with the same bits.

The test that kills training interrupts it 40 times; ``FASTNET_LONG=1 python -m pytest tests/test_checkpoint.py`` makes
that 200.
"""

import contextlib
import hashlib
import json
import os
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from safetensors.numpy import load_file

import fastnet as fn
from fastnet import _core, saving
from fastnet.callbacks import EarlyStopping, LambdaCallback, ReduceLROnPlateau, TrainingCheckpoint
from networks import classes, network, regression, rows, same_weights

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
    model.compile(fn.optimizers.SGD(0.05, momentum=0.9), "mse", ["mae", "r2"])
    return model, {}


def scheduled():
    model = network(6, 1)
    schedule = fn.schedules.LinearWarmup(fn.schedules.CosineDecay(0.1, 20), 5)
    model.compile(fn.optimizers.SGD(schedule, momentum=0.5), "mse")
    return model, {}


def validated():
    model = network(6, 1)
    model.compile(fn.optimizers.Adam(0.05), "mse", ["mae"])
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
    return model, {"validation_split": 0.25, "callbacks": [EarlyStopping("val_loss", restore_best_weights=True, patience=9)]}


def accumulated():
    """Twenty batches and three to a step: two are left at the end."""
    model = stacked(fn.layers.Dense(6, "tanh"), Drop(0.3))
    model.compile(fn.optimizers.Adam(0.02, gradient_accumulation_steps=3, global_clipnorm=0.5, lookahead_steps=2), "mse")
    return model, {}


def custom_loss():
    model = stacked(fn.layers.Dense(6, "tanh"), Drop(0.3))
    model.compile("rmsprop", lambda t, p: (float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size), ["mae"])
    return model, {}


def weighted():
    model = network(6, 3)
    model.compile("adamw", fn.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    return model, {"y": classes(N, 3), "class_weight": {0: 1.0, 1: 2.5, 2: 0.3}, "sample_weight": rows(N, 1)[:, 0] ** 2}


def several_outputs():
    x = fn.Input((4,))
    shared = fn.layers.Dense(4, "tanh")
    hidden = Drop(0.2)(shared(shared(x)))
    a, b = fn.layers.Dense(1, name="a")(hidden), fn.layers.Dense(3, "softmax", name="b")(hidden)
    model = fn.Model(x, [a, b], seed=4, dtype="float64")
    model.compile("nadam", {"a": "mse", "b": "sparse_categorical_crossentropy"}, {"b": ["accuracy"]}, {"a": 0.3, "b": 1.0})
    return model, {"y": {"a": rows(N, 1), "b": classes(N, 3)}}


def unshuffled():
    return regression(5, 1, optimizer="adagrad"), {"shuffle": False}


def every_batch():
    return regression(5, 1, optimizer="adam"), {"callbacks": [LambdaCallback(on_train_batch_end=lambda batch, logs: None)]}


def scheduler_callback():
    model = regression(5, 1, optimizer=fn.optimizers.SGD(0.1))
    return model, {"callbacks": [fn.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7)]}


SITUATIONS = [plain, dropout, scheduled, validated, early_stopped, averaged, accumulated, custom_loss, weighted,
              several_outputs, unshuffled, every_batch, scheduler_callback]  # fmt: skip
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
    """The history without the times; norms of gradients are summed in slices of training, so they may differ by rounding."""
    found = {name: list(values) for name, values in model.history.history.items() if name != "seconds"}
    norms = np.array(found.pop("gradient_norm", []), float)
    return model.history.epoch, found, norms


def plain_state(optimizer):
    """Its state, with arrays as bytes."""
    return {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in optimizer.get_state().items()}


def assert_same_training(resumed, whole):
    assert digest(resumed) == digest(whole)
    assert resumed.optimizer.batches == whole.optimizer.batches
    assert plain_state(resumed.optimizer) == plain_state(whole.optimizer)
    for a, b in zip(resumed._plans.slots(), whole._plans.slots()):
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
    monkeypatch.setattr(saving.checkpoint, "write_checkpoint",
                        lambda fit, path: seen.append((fit.optimizer.batches, fit.state is None)))  # fmt: skip
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
        callbacks = [EarlyStopping("val_loss", patience=99, restore_best_weights=True), TrainingCheckpoint(path, every_steps=2)]
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


# ---- files that are broken ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The bytes of a checkpoint from the middle of an epoch."""
    path = tmp_path_factory.mktemp("checkpoint") / "t.safetensors"
    interrupted_at(validated, 6, path)
    return path.read_bytes()


def everything(model):
    """Bytes of all that training changes."""
    optimizer = model.optimizer
    return (digest(model), b"".join(slot.tobytes() for slot in model._plans.slots()), plain_state(optimizer),
            model._epochs_begun, model.seed)  # fmt: skip


class Resume:
    """Resumes from bytes, and sees that a rejected file has changed nothing."""

    def __init__(self, tmp_path):
        self.path = tmp_path / "hostile.safetensors"
        self.model, given = validated()
        self.callbacks = [*given.pop("callbacks"), TrainingCheckpoint(tmp_path / "none", every_steps=1), Idle()]
        self.given = {"x": rows(N, 4), "y": rows(N, 1), "batch_size": 5, "epochs": EPOCHS, "verbose": 0, **given}
        self.before = everything(self.model)

    def resume(self, data):
        self.path.write_bytes(data)
        self.model.fit(**self.given, callbacks=self.callbacks, resume_from=self.path)

    def is_rejected(self, data, *words):
        with pytest.raises(ValueError) as caught:
            self.resume(data)
        assert str(self.path) in str(caught.value), str(caught.value)
        for word in words:
            assert word in str(caught.value), str(caught.value)
        assert everything(self.model) == self.before and self.model.history is None


@pytest.fixture
def resume(tmp_path):
    return Resume(tmp_path)


def parts(data):
    """Header and tensors of a safetensors file."""
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header, tensors):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def with_metadata(data, name, change):
    """The file with an entry of its metadata changed."""
    header, tensors = parts(data)
    value = json.loads(header["__metadata__"][name])
    value = change(value) or value
    header["__metadata__"][name] = json.dumps(value)
    return joined(header, tensors)


def test_the_file_unchanged_is_taken(resume, checkpoint):
    resume.resume(checkpoint)
    assert_same_training(resume.model, fit(validated))


def test_truncated(resume, checkpoint):
    lengths = [*range(0, 64), *np.random.default_rng(0).integers(64, len(checkpoint) - 1, 60), len(checkpoint) - 1]
    for length in lengths:
        resume.is_rejected(checkpoint[:length])
    resume.is_rejected(checkpoint + b"\0")


def test_a_bit_flipped_is_noticed_or_is_a_number(resume, checkpoint):
    """In the header, every flip gives an error or a file that is one; in the tensors, it is another number."""
    rng = np.random.default_rng(1)
    for _ in range(150):
        data = bytearray(checkpoint)
        at = int(rng.integers(0, struct.unpack("<Q", checkpoint[:8])[0] + 8))
        data[at] ^= 1 << int(rng.integers(0, 8))
        one = Resume(resume.path.parent)
        one.given["epochs"] = 2
        try:
            one.resume(bytes(data))
        except FloatingPointError:
            continue  # taken: a flipped digit may be a large number
        except ValueError as error:
            assert str(one.path) in str(error)
            assert everything(one.model) == one.before


def test_files_that_are_none(resume, checkpoint, tmp_path):
    for data in (b"", b"PK\3\4", b"\x89HDF\r\n\x1a\n" + bytes(100), b"\x80\4}q\0.", b"{}", bytes(8), bytes(1000),
                 b"\xff" * 100, struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 2**40) + b"{}"):  # fmt: skip
        resume.is_rejected(data)
    with pytest.raises(OSError):
        resume.model.fit(**resume.given, resume_from=tmp_path / "missing")
    with pytest.raises(OSError):
        resume.model.fit(**resume.given, resume_from=tmp_path)
    assert everything(resume.model) == resume.before


def test_hostile_headers(resume, checkpoint):
    header, tensors = parts(checkpoint)
    name = next(name for name in header if name.startswith("optimizer/"))
    for changed in (
        {"dtype": "F32"}, {"dtype": "I64"}, {"dtype": "BF16"}, {"dtype": "X"}, {"shape": [1, 1]}, {"shape": [-1]},
        {"shape": [2**63, 2**63]}, {"shape": [2**62]}, {"shape": 3}, {"shape": [1.5]}, {"data_offsets": [-8, 0]},
        {"data_offsets": [0, 2**62]}, {"data_offsets": [8, 0]}, {"data_offsets": None}, {"data_offsets": [0]},
    ):  # fmt: skip
        resume.is_rejected(joined({**header, name: {**header[name], **changed}}, tensors))
    resume.is_rejected(joined(b"[" * 100000, tensors))
    resume.is_rejected(joined(b'{"a":' * 100000, tensors))
    resume.is_rejected(joined({**header, "__metadata__": {}}, tensors), "no model")
    only_model = {"fastnet": header["__metadata__"]["fastnet"]}
    resume.is_rejected(joined({**header, "__metadata__": only_model}, tensors), "no training checkpoint")
    for entry in ("fastnet", "training"):
        for text in ("", "{", "[]", "null", "3", "[" * 100000, "{}", '"x"', "NaN"):
            metadata = {**header["__metadata__"], entry: text}
            resume.is_rejected(joined({**header, "__metadata__": metadata}, tensors))


WRONG = [None, -1, 1e400, float("nan"), "x", [], {}, True, 2**70, 1.5]


@pytest.mark.parametrize("name", ["optimizer", "n_rows", "batch_size", "shuffle", "epochs_begun", "epoch", "first_epoch",
                                  "stopped", "history", "callbacks", "state", "optimizer_class"])  # fmt: skip
def test_hostile_training_state(resume, checkpoint, name):
    for wrong in WRONG:
        if (name, wrong) in [("state", None), ("shuffle", True), ("stopped", True)]:
            continue  # these are what may be there
        resume.is_rejected(with_metadata(checkpoint, "training", lambda training: training.update({name: wrong})))
    resume.is_rejected(with_metadata(checkpoint, "training", lambda training: training.pop(name) and None))


@pytest.mark.parametrize("where, names", [
    ("optimizer", ["batches", "learning_rate", "learning_rate_factor"]),
    ("state", ["order", "row", "batch", "squares", "first_update", "seconds"]),
])  # fmt: skip
def test_hostile_counters(resume, checkpoint, where, names):
    for name in names:
        for wrong in WRONG:
            if isinstance(wrong, float) and name in ("squares", "seconds", "learning_rate_factor"):
                continue
            if where == "optimizer" and (name, wrong) in [("learning_rate", None), ("learning_rate", 1.5)]:
                continue
            if where == "optimizer" and wrong is True or isinstance(wrong, (int, float)) and name == "learning_rate" and wrong > 0:
                continue
            if (name, wrong) in [("batches", 1.5), ("learning_rate_factor", 2**70), ("squares", 2**70), ("seconds", 2**70),
                                 ("squares", -1), ("seconds", -1)]:  # fmt: skip
                continue
            data = with_metadata(checkpoint, "training", lambda training: training[where].update({name: wrong}))
            resume.is_rejected(data)
        resume.is_rejected(with_metadata(checkpoint, "training", lambda training: training[where].pop(name) and None))


def test_hostile_states_of_callbacks(resume, checkpoint):
    def put(number, **changes):
        return with_metadata(checkpoint, "training", lambda training: training["callbacks"][number]["state"].update(changes))

    resume.is_rejected(put(0, wait="x"), "wait")
    resume.is_rejected(put(0, best=[1]), "best")
    resume.is_rejected(put(1, cooldown_counter=None), "cooldown_counter")
    header, tensors = parts(checkpoint)
    for change in ({"callback/0/weights/0": None}, {"callback/0/weights/1": "callback/0/weights/0"}):
        changed = dict(header)
        for name, source in change.items():
            entry = changed.pop(name)
            changed["unknown" if source is None else name] = entry if source is None else {**entry, "shape": [1, 1, *entry["shape"]]}
        resume.is_rejected(joined(changed, tensors))


def test_hostile_history(resume, checkpoint):
    def put(**changes):
        return with_metadata(checkpoint, "training", lambda training: training["history"].update(changes))

    for changes in ({"epoch": [0, 1]}, {"epoch": []}, {"epoch": "0"}, {"epoch": [-1]}, {"epoch": [None]}, {"history": {"loss": [1, 2, 3]}}, {"history": []},
                    {"history": {"loss": 3}}):  # fmt: skip
        resume.is_rejected(put(**changes))


def test_another_model_or_call_is_rejected(checkpoint, tmp_path):
    def change(what):
        one = Resume(tmp_path)
        what(one)
        one.before = everything(one.model)
        return one

    def wider(one):
        one.model = network(7, 1)
        one.model.compile(fn.optimizers.Adam(0.05), "mse", ["mae"])

    def other_activation(one):
        one.model = network(6, 1, activation="relu")
        one.model.compile(fn.optimizers.Adam(0.05), "mse", ["mae"])

    def other_optimizer(one):
        one.model.compile(fn.optimizers.Adamax(0.05), "mse", ["mae"])

    def more_slots(one):
        one.model.compile(fn.optimizers.Adam(0.05, use_ema=True), "mse", ["mae"])

    def schedule(one):
        one.model.compile(fn.optimizers.Adam(fn.schedules.Constant(0.05)), "mse", ["mae"])

    def metrics(one):
        one.model.compile(fn.optimizers.Adam(0.05), "mse", ["mae", "r2"])

    for what, word in [
        (wider, "its layers differ"), (other_activation, "its layers differ"), (other_optimizer, "optimizer_class"),
        (more_slots, "average"), (schedule, "scheduled"), (metrics, "metrics"),
        (lambda one: one.given.update(batch_size=4), "batch_size=5"),
        (lambda one: one.given.update(shuffle=False), "shuffle=True"),
        (lambda one: one.given.update(x=rows(30, 4), y=rows(30, 1)), "n_rows=17"),
        (lambda one: one.callbacks.pop(0), "EarlyStopping"),
    ]:  # fmt: skip
        change(what).is_rejected(checkpoint, word)


# ---- files that are whole ------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["fsync", "replace", "write"])
def test_a_failure_while_writing_leaves_the_old_file(function, tmp_path, monkeypatch):
    path = tmp_path / "t.safetensors"
    fit(plain, TrainingCheckpoint(path), epochs=1)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    if function == "write":
        real = open

        class Full:
            def __init__(self, *arguments):
                self.file = real(*arguments)

            def __enter__(self):
                return self

            def __exit__(self, *arguments):
                self.file.close()

            def write(self, data):
                self.file.write(data[: len(data) // 2])
                fail()

        monkeypatch.setattr(saving.files, "open", Full, raising=False)
    else:
        monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left"):
        fit(plain, TrainingCheckpoint(path), epochs=2)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["t.safetensors"]
    assert_same_training(fit(plain, TrainingCheckpoint(path), resume_from=path), fit(plain))


def test_the_folder_is_flushed_after_the_file(tmp_path, monkeypatch):
    flushed = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (flushed.append(os.path.isdir(f"/proc/self/fd/{number}")), real(number)))
    saving.write_tensors(tmp_path / "x", {"a": np.ones(3)}, {})
    assert len(flushed) == (2 if os.name == "posix" else 1)
    assert list(load_file(tmp_path / "x")) == ["a"]


def test_the_isa_does_not_matter_to_the_file(tmp_path):
    """A checkpoint of one instruction set is taken by another; the bits are those of one only while it is the same."""
    path = tmp_path / "t"
    interrupted_at(plain, 7, path)
    before = _core.isa()
    try:
        _core.select_isa("baseline")
        resumed = fit(plain, TrainingCheckpoint(path), Idle(), resume_from=path)
    finally:
        _core.select_isa(before)
    for a, b in zip(resumed.get_weights(), fit(plain).get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-9)
