"""Checkpoints that are broken, hostile or of another training: an error, and nothing is changed. Whole files only."""

import json
import os
import struct

import numpy as np
import pytest
from networks import network, rows
from safetensors.numpy import load_file
from test_checkpoint import (  # noqa: F401
    EPOCHS,
    Idle,
    N,
    assert_same_training,
    digest,
    fast_disk,
    fit,
    interrupted_at,
    plain,
    plain_state,
    validated,
)

import fastnet as fn
from fastnet import _core, saving
from fastnet.callbacks import TrainingCheckpoint

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
    return (
        digest(model),
        b"".join(slot.tobytes() for slot in model._plans.slots.arrays()),
        plain_state(optimizer),
        model._epochs_begun,
        model.seed,
    )


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
    for data in (
        b"",
        b"PK\3\4",
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"\x80\4}q\0.",
        b"{}",
        bytes(8),
        bytes(1000),
        b"\xff" * 100,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
    ):
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
        {"dtype": "F32"},
        {"dtype": "I64"},
        {"dtype": "BF16"},
        {"dtype": "X"},
        {"shape": [1, 1]},
        {"shape": [-1]},
        {"shape": [2**63, 2**63]},
        {"shape": [2**62]},
        {"shape": 3},
        {"shape": [1.5]},
        {"data_offsets": [-8, 0]},
        {"data_offsets": [0, 2**62]},
        {"data_offsets": [8, 0]},
        {"data_offsets": None},
        {"data_offsets": [0]},
    ):
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


@pytest.mark.parametrize("name", ["optimizer", "n_rows", "batch_size", "shuffle", "epochs_begun", "epoch",
                                  "first_epoch", "stopped", "history", "callbacks", "state",
                                  "optimizer_class"])  # fmt: skip
def test_hostile_training_state(resume, checkpoint, name):
    for wrong in (None, -1, 1e400, float("nan"), "x", [], {}, True, 2**70, 1.5):
        if (name, wrong) in [("state", None), ("shuffle", True), ("stopped", True)]:
            continue  # these are what may be there
        resume.is_rejected(with_metadata(checkpoint, "training", lambda training: training.update({name: wrong})))
    resume.is_rejected(with_metadata(checkpoint, "training", lambda training: training.pop(name) and None))


#: For each kind of number, what cannot stand in its place.
NO_COUNT = [None, -1, 1e400, float("nan"), "x", [], {}, True, 2**70, 1.5]
NO_NUMBER = [None, "x", [], {}]
NO_RATE = ["x", [], {}, -1.0, float("nan"), float("inf")]


@pytest.mark.parametrize("where, name, wrong", [
    ("optimizer", "batches", [value for value in NO_COUNT if value not in (True, 1.5)]),  # these are made integers
    ("optimizer", "learning_rate", NO_RATE),
    ("optimizer", "learning_rate_factor", [None, *NO_RATE]),
    *[("state", name, NO_COUNT) for name in ("order", "row", "batch", "first_update")],
    ("state", "first_update", [2**31]),  # more steps than the optimizer has made
    *[("state", name, [*NO_NUMBER, -1.0]) for name in ("squares", "seconds")],
])  # fmt: skip
def test_hostile_counters(resume, checkpoint, where, name, wrong):
    for value in wrong:
        resume.is_rejected(with_metadata(checkpoint, "training", lambda training: training[where].update({name: value})))
    resume.is_rejected(with_metadata(checkpoint, "training", lambda training: training[where].pop(name) and None))


def test_hostile_states_of_callbacks(resume, checkpoint):
    def put(number, **changes):
        return with_metadata(checkpoint, "training", lambda training: training["callbacks"][number]["state"].update(changes))

    resume.is_rejected(put(0, wait="x"), "wait")
    resume.is_rejected(put(0, best=[1]), "best")
    resume.is_rejected(put(1, cooldown_counter=None), "cooldown_counter")
    header, tensors = parts(checkpoint)
    first, second = "callback/0/weights/0", "callback/0/weights/1"
    missing = {name: entry for name, entry in header.items() if name != first}
    resume.is_rejected(joined({**missing, "unknown": header[first]}, tensors), "best weights")
    swapped = {**header, first: header[second], second: header[first]}
    resume.is_rejected(joined(swapped, tensors), "best weights")


def test_hostile_history(resume, checkpoint):
    def put(**changes):
        return with_metadata(checkpoint, "training", lambda training: training["history"].update(changes))

    for changes in (
        {"epoch": [0, 1]},
        {"epoch": []},
        {"epoch": "0"},
        {"epoch": [-1]},
        {"epoch": [None]},
        {"history": {"loss": [1, 2, 3]}},
        {"history": []},
        {"history": {"loss": 3}},
    ):
        resume.is_rejected(put(**changes))


def test_another_model_or_call_is_rejected(checkpoint, tmp_path):
    def change(what):
        one = Resume(tmp_path)
        what(one)
        one.before = everything(one.model)
        return one

    def wider(one):
        one.model = network(7, 1)
        one.model.compile(fn.optimizers.Adam(0.05), "mse", metrics=["mae"])

    def other_activation(one):
        one.model = network(6, 1, activation="relu")
        one.model.compile(fn.optimizers.Adam(0.05), "mse", metrics=["mae"])

    def other_optimizer(one):
        one.model.compile(fn.optimizers.Adamax(0.05), "mse", metrics=["mae"])

    def more_slots(one):
        one.model.compile(fn.optimizers.Adam(0.05, use_ema=True), "mse", metrics=["mae"])

    def schedule(one):
        one.model.compile(fn.optimizers.Adam(fn.schedules.Constant(0.05)), "mse", metrics=["mae"])

    def metrics(one):
        one.model.compile(fn.optimizers.Adam(0.05), "mse", metrics=["mae", "r2"])

    for what, word in [
        (wider, "its layers differ"),
        (other_activation, "its layers differ"),
        (other_optimizer, "optimizer_class"),
        (more_slots, "average"),
        (schedule, "scheduled"),
        (metrics, "metrics"),
        (lambda one: one.given.update(batch_size=4), "batch_size=5"),
        (lambda one: one.given.update(shuffle=False), "shuffle=True"),
        (lambda one: one.given.update(x=rows(30, 4), y=rows(30, 1)), "n_rows=17"),
        (lambda one: one.callbacks.pop(0), "EarlyStopping"),
    ]:
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

        def write_half(file, array):
            file.write(array.reshape(-1).view(np.uint8).data[: array.nbytes // 2])
            fail()

        monkeypatch.setattr(saving.tensors, "_write_array", write_half)
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
