"""Callbacks that write: models, tables, TensorBoard's events; and the timer."""

import csv
import math
import os
import sys

import numpy as np
import pytest
from networks import regression, rows, same_weights
from test_callbacks_control import Script

import fastnet as fn
from fastnet.callbacks import CSVLogger, LambdaCallback, ModelCheckpoint, TensorBoard, Timer, TrainingCheckpoint


def fit(model, *callbacks, **options):
    options = {"batch_size": 4, "epochs": 3, "verbose": 0, **options}
    return model.fit(rows(18, 4), rows(18, 1), callbacks=list(callbacks), **options)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# ---- ModelCheckpoint ----------------------------------------------------------------------------------------


def test_the_model_is_saved_after_each_epoch(tmp_path):
    model, seen = regression(), []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
    history = fit(model, keep, ModelCheckpoint(tmp_path / "deep/er/{epoch:02d}-{loss:.4f}.safetensors"))
    losses = history.history["loss"]
    assert names(tmp_path) == [f"deep/er/{i + 1:02d}-{loss:.4f}.safetensors" for i, loss in enumerate(losses)]
    for name, weights in zip(names(tmp_path), seen):
        loaded = fn.load_model(tmp_path / name)
        assert same_weights(loaded, weights) and loaded.optimizer == model.optimizer


def test_weights_only(tmp_path):
    model = regression()
    fit(model, ModelCheckpoint(tmp_path / "w", save_weights_only=True))
    with pytest.raises(ValueError, match="holds no model"):
        fn.load_model(tmp_path / "w")
    other = regression(seed=9)
    other.load_weights(tmp_path / "w")
    assert same_weights(model, other)


@pytest.mark.parametrize("curve, options, epochs", [
    ([1.0, 2.0, 0.5, 0.6, 0.4], {}, [1, 3, 5]),
    ([1.0, 2.0, 0.5, 3.0], {"mode": "max"}, [1, 2, 4]),
    ([1.0, 2.0, 0.5, 0.6, 0.4], {"initial_value_threshold": 0.55}, [3, 5]),
    ([math.nan, 2.0, math.nan, 0.6], {}, [2, 4]),
])  # fmt: skip
def test_only_the_best(tmp_path, curve, options, epochs):
    save = ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True, **options)
    fit(regression(), Script(val_loss=curve), save, epochs=len(curve))
    assert names(tmp_path) == [str(epoch) for epoch in epochs]


def test_best_of_what_is_not_there(tmp_path):
    with pytest.warns(UserWarning, match="ModelCheckpoint monitors 'val_loss', which is not available"):
        fit(regression(), ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True))
    assert names(tmp_path) == ["1", "2", "3"]


@pytest.mark.parametrize("others", [(), (LambdaCallback(on_train_batch_end=lambda batch, logs: None),)])
def test_saved_every_so_many_batches(tmp_path, others):
    """Five batches in an epoch; counted from the beginning of each fit."""
    model = regression()
    for _ in range(2):
        fit(model, ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=4), *others)
        assert names(tmp_path) == ["1-4", "2-3", "3-2"]
        for path in tmp_path.iterdir():
            path.unlink()


def test_the_weights_saved_are_those_of_the_batch(tmp_path):
    model, seen = regression(), []
    keep = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(model.get_weights()))
    fit(model, keep, epochs=1)
    fit(regression(), ModelCheckpoint(tmp_path / "{batch}", save_freq=2), epochs=1)
    for batch in (2, 4):
        assert same_weights(fn.load_model(tmp_path / str(batch)), seen[batch - 1])


def test_paths_that_name_what_is_not_there(tmp_path):
    with pytest.raises(KeyError, match="names 'val_loss'; there are"):
        fit(regression(), ModelCheckpoint(tmp_path / "{val_loss}"))
    for freq in (0, -1, True, 2.5, "batch"):
        with pytest.raises(ValueError, match="save_freq must be"):
            ModelCheckpoint("x", save_freq=freq)
    with pytest.raises(OSError):
        fit(regression(), ModelCheckpoint(tmp_path))


def test_model_checkpoint_says_so(tmp_path, capsys):
    fit(
        regression(),
        Script(val_loss=[1.0, 2.0]),
        ModelCheckpoint(tmp_path / "m", save_best_only=True, verbose=1),
        epochs=2,
    )
    assert capsys.readouterr().out == (
        f"Epoch 1: val_loss improved from none, it is 1\nEpoch 1: the model is saved to {tmp_path / 'm'}\n"
        "Epoch 2: val_loss did not improve from 1, it is 2\n"
    )


# ---- resumed -------------------------------------------------------------------------------------------------


class Interrupt(Exception):
    pass


def interrupted_after(folder, batches, make, **options):
    """Trains until so many batches are done, then resumes with new objects; returns all callbacks of the second fit."""

    def stop(batch, logs):
        if model.optimizer.batches == batches + 1:
            raise Interrupt

    model = regression(metrics=["mae"])
    path = folder / "training"
    with pytest.raises(Interrupt):
        fit(model, *make(), LambdaCallback(on_train_batch_end=stop), TrainingCheckpoint(path, every_steps=1), **options)
    callbacks = [*make(), LambdaCallback(), TrainingCheckpoint(path, every_steps=1)]
    fit(regression(metrics=["mae"], seed=50), *callbacks, resume_from=path, **options)
    return callbacks


@pytest.mark.parametrize("batches", range(1, 14))
def test_model_checkpoint_goes_on(tmp_path, batches):
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    def make(folder):
        return [ModelCheckpoint(folder / "best-{epoch}", "loss", save_best_only=True),
                ModelCheckpoint(folder / "{epoch}-{batch}", save_freq=3)]  # fmt: skip

    fit(regression(metrics=["mae"]), *make(whole))
    interrupted_after(tmp_path, batches, lambda: make(parts))
    assert names(parts) == names(whole) and len(names(whole)) > 5
    for name in names(whole):
        assert same_weights(fn.load_model(whole / name), fn.load_model(parts / name))


def table(path, separator=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


@pytest.mark.parametrize("batches", [3, 4, 5, 8, 11])
@pytest.mark.parametrize("append", [False, True])
def test_the_table_goes_on(tmp_path, batches, append):
    logger = CSVLogger(tmp_path / "whole.csv", append=append)
    fit(regression(metrics=["mae"]), logger, validation_freq=2, validation_split=0.2)
    interrupted_after(
        tmp_path, batches, lambda: [CSVLogger(tmp_path / "parts.csv", append=append)], validation_freq=2, validation_split=0.2
    )
    whole, parts = table(tmp_path / "whole.csv"), table(tmp_path / "parts.csv")
    assert whole[0] == parts[0] and len(whole) == len(parts) == 4
    gradient = whole[0].index("gradient_norm")
    for a, b in zip(whole[1:], parts[1:]):
        assert float(a.pop(gradient)) == pytest.approx(float(b.pop(gradient)), rel=1e-12)
        assert a == b


def test_lines_of_epochs_made_again_are_dropped(tmp_path):
    """The checkpoint is older than the table."""
    path = tmp_path / "log.csv"
    model = regression()
    fit(model, CSVLogger(path), TrainingCheckpoint(tmp_path / "t"), epochs=2)
    old = (tmp_path / "t").read_bytes()
    fit(regression(), CSVLogger(path), TrainingCheckpoint(tmp_path / "t"), epochs=4)
    assert [line[0] for line in table(path)] == ["epoch", "0", "1", "2", "3"]
    (tmp_path / "t").write_bytes(old)
    fit(regression(), CSVLogger(path), TrainingCheckpoint(tmp_path / "t"), epochs=3, resume_from=tmp_path / "t")
    assert [line[0] for line in table(path)] == ["epoch", "0", "1", "2"]


def test_the_timer_goes_on(tmp_path, monkeypatch):
    from fastnet.callbacks import monitoring

    now = [0.0]
    monkeypatch.setattr(monitoring.time, "perf_counter", lambda: now[0])

    def tick():
        return [LambdaCallback(on_train_batch_end=lambda batch, logs: now.__setitem__(0, now[0] + 1.0)), Timer()]

    timer = Timer()
    fit(regression(metrics=["mae"]), tick()[0], timer)
    assert timer.seconds == [5.0, 5.0, 5.0] and timer.total == 15.0
    now[0] = 1000.0
    callbacks = interrupted_after(tmp_path, 8, tick)
    assert callbacks[1].seconds == [5.0, 5.0, 5.0] and callbacks[1].total == 15.0
    now[0] += 100
    assert callbacks[1].total == 15.0


def test_the_timer_of_a_training_that_failed():
    timer = Timer()
    with pytest.raises(Interrupt):
        fit(regression(), timer, LambdaCallback(on_epoch_end=lambda epoch, logs: raise_interrupt()))
    total = timer.total
    assert total > 0 and timer.total == total and len(timer.seconds) == 1


def raise_interrupt():
    raise Interrupt


# ---- CSVLogger -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_table_holds_the_history(tmp_path, separator):
    history = fit(regression(metrics=["mae"]), CSVLogger(tmp_path / "a/log.csv", separator), validation_split=0.2)
    header, *lines = table(tmp_path / "a/log.csv", separator)
    assert header == ["epoch", "gradient_norm", "learning_rate", "loss", "mae", "val_loss", "val_mae"]
    assert [line[0] for line in lines] == ["0", "1", "2"]
    for i, name in enumerate(header[1:], 1):
        assert [float(line[i]) for line in lines] == history.quantities[name]


def test_the_table_is_replaced_or_gone_on_with(tmp_path):
    path = tmp_path / "log.csv"
    for append, epochs in ((True, "01"), (True, "0101"), (False, "01"), (True, "0101")):
        fit(regression(), CSVLogger(path, append=append), epochs=2)
        header, *lines = table(path)
        assert header[0] == "epoch" and "".join(line[0] for line in lines) == epochs


def test_columns_that_come_later(tmp_path):
    script = Script(late=[None, None, 7.0], val_loss=[None, 2.0, None])
    fit(regression(), script, CSVLogger(tmp_path / "log.csv"))
    assert [line[:1] + line[4:] for line in table(tmp_path / "log.csv")] == [
        ["epoch", "val_loss", "late"], ["0", "", ""], ["1", "2.0", ""], ["2", "", "7.0"]
    ]  # fmt: skip


def test_arrays_in_the_table(tmp_path):
    model = regression(3, 2, metrics=[fn.metrics.R2Score(class_aggregation=None)])
    history = model.fit(rows(9, 4), rows(9, 2), verbose=0, callbacks=[CSVLogger(tmp_path / "log.csv")])
    header, line = table(tmp_path / "log.csv")
    assert line[header.index("r2_score")] == str(history.history["r2_score"][0].tolist())


# ---- TensorBoard ---------------------------------------------------------------------------------------------


def events(folder):
    """{(run, tag): [(step, value)]}"""
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
    from tensorboard.util import tensor_util

    found = {}
    for run in sorted(os.listdir(folder)):
        accumulator = EventAccumulator(str(folder / run), {TENSORS: 0})
        accumulator.Reload()
        for tag in accumulator.Tags()["tensors"]:
            found[run, tag] = [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in accumulator.Tensors(tag)]
    return found


tensorboard = pytest.mark.skipif("not __import__('importlib.util').util.find_spec('tensorboard')", reason="no tensorboard")
#: Packages that tensorboard imports are not ours to mend.
quiet = pytest.mark.filterwarnings("ignore")


@tensorboard
@quiet
def test_tensorboard_shows_the_history(tmp_path):
    model = regression(metrics=["mae"])
    history = fit(model, TensorBoard(tmp_path, histogram_freq=2), validation_split=0.2)
    found = events(tmp_path)
    for run, prefix, quantities in (
        ("train", "", ["loss", "mae", "learning_rate", "gradient_norm"]),
        ("validation", "val_", ["loss", "mae"]),
    ):
        for name in quantities:
            series = found.pop((run, f"epoch_{name}"))
            assert [step for step, _ in series] == [0, 1, 2]
            np.testing.assert_allclose([float(value) for _, value in series], history.quantities[prefix + name], rtol=1e-6)
    ((step, text),) = found.pop(("train", "model"))
    assert "37 parameters" in text.item().decode() and "dense(input): Dense(units=6" in text.item().decode()
    for weight in model.weights:
        series = found.pop(("train", f"{weight.path}/histogram"))
        assert [step for step, _ in series] == [0, 2]
        buckets = series[-1][1]
        assert buckets[:, 2].sum() == weight.size
        assert buckets[0, 0] <= weight.value.min() + 1e-6 and buckets[-1, 1] >= weight.value.max() - 1e-6
    assert not found


@tensorboard
@quiet
@pytest.mark.parametrize("freq, steps", [("batch", list(range(1, 16))), (4, [4, 8, 12])])
def test_tensorboard_by_batches(tmp_path, freq, steps):
    fit(regression(), TensorBoard(tmp_path, update_freq=freq, write_graph=False))
    found = events(tmp_path)
    assert [step for step, _ in found["train", "batch_loss"]] == steps
    assert ("train", "model") not in found


@tensorboard
@quiet
def test_tensorboard_needs_no_tensorflow_and_no_training_needs_tensorboard(tmp_path):
    fit(regression(), TensorBoard(tmp_path))
    assert "tensorflow" not in sys.modules


def test_tensorboard_that_is_not_installed(monkeypatch, tmp_path):
    from fastnet.callbacks import monitoring

    monkeypatch.setattr(monitoring, "_package", None)
    for name in ("tensorboard", "tensorboard.compat.proto.event_pb2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        fit(regression(), TensorBoard(tmp_path))
    for wrong in ("step", 0, -1, True):
        with pytest.raises(ValueError, match="update_freq must be"):
            TensorBoard(update_freq=wrong)
