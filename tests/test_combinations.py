"""What a model can do, for networks of every kind: described, saved, resumed, profiled, watched by callbacks, trained beside others,
by any number of threads."""

import csv

import numpy as np
import pytest
from networks import same_weights

import fastnet as fn
from fastnet import layers as L
from fastnet.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, TrainingCheckpoint

N = 40
EPOCHS = 4


def images(*shape):
    return np.random.default_rng(5).uniform(size=(N, *shape)).astype(np.float32)


def labels(*shape, n=4):
    return np.random.default_rng(6).integers(0, n, (N, *shape))


def digits():
    model = fn.Sequential(
        [
            fn.Input((8, 8, 1)),
            L.Conv2D(16, 3, activation="relu", padding="same"),
            L.MaxPooling2D(),
            L.Conv2D(32, 3, activation="relu", padding="same"),
            L.Flatten(),
            L.Dense(10),
        ],
        seed=1,
    )
    return model, images(8, 8, 1), labels(n=10), {}


def residual():
    x = fn.Input((6, 6, 3))
    h = L.Conv2D(8, 3, padding="same")(x)
    for _ in range(2):
        g = L.ReLU()(L.BatchNormalization()(h))
        g = L.Conv2D(8, 3, padding="same", use_bias=False)(g)
        g = L.Conv2D(8, 3, padding="same", use_bias=False)(L.Activation("relu")(L.BatchNormalization()(g)))
        h = L.Add()([h, g])
    return fn.Model(x, L.Dense(4)(L.GlobalAveragePooling2D()(h)), seed=2), images(6, 6, 3), labels(), {}


def masked():
    x = np.random.default_rng(1).integers(1, 20, (N, 9))
    for i, row in enumerate(x):
        row[3 + i % 6 :] = 0
    model = fn.Sequential(
        [
            fn.Input((9,)),
            L.Embedding(20, 6, mask_zero=True),
            L.LSTM(8, return_sequences=True, dropout=0.2),
            L.LSTM(7, recurrent_dropout=0.1),
            L.Dense(4),
        ],
        seed=3,
    )
    return model, x, labels(), {}


def stateful():
    model = fn.Sequential(
        [
            fn.Input((5, 3), batch_size=8),
            L.GRU(6, stateful=True, return_sequences=True),
            L.SimpleRNN(5, stateful=True),
            L.Dense(4),
        ],
        seed=4,
    )
    return model, images(5, 3), labels(), {"batch_size": 8, "shuffle": False}


def gpt():
    x = fn.Input((12,))
    h = L.Dropout(0.1)(L.TokenAndPositionEmbedding(17, 12, 16)(x))
    for _ in range(2):
        h = L.TransformerBlock(32, 2, dropout=0.1)(h)
    tokens = np.random.default_rng(3).integers(0, 17, (N, 13))
    return fn.Model(x, L.Dense(17)(L.LayerNormalization()(h)), seed=5), tokens[:, :-1], tokens[:, 1:], {}


def augmented():
    model = fn.Sequential(
        [
            fn.Input((8, 8, 3)),
            L.RandomFlip(),
            L.RandomRotation(0.1),
            L.RandomZoom(0.2),
            L.RandomTranslation(0.1, 0.1),
            L.RandomBrightness(0.2, value_range=(0, 1)),
            L.RandomContrast(0.2),
            L.RandomErasing(0.5),
            L.GaussianNoise(0.1),
            L.Conv2D(6, 3),
            L.Flatten(),
            L.Dense(4),
        ],
        seed=6,
    )
    return model, images(8, 8, 3), labels(), {}


@pytest.fixture(params=[digits, residual, masked, stateful, gpt, augmented], ids=lambda make: make.__name__)
def make(request, monkeypatch):
    """Makes (compiled model, x, y, options of fit)."""
    monkeypatch.setattr("os.fsync", lambda number: None)  # nothing here crashes the machine

    def build(n_threads=None):
        model, x, y, options = request.param()
        model.compile(
            "adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], n_threads=n_threads
        )
        return model, x, y, {"batch_size": 16, **options}

    return build


def trained(make, epochs=1, n_threads=None, **more):
    model, x, y, options = make(n_threads)
    model.fit(x, y, epochs=epochs, verbose=0, **options, **more)
    return model


def test_summary(make):
    model, *_ = make()
    lines = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert all(layer.name in text for layer in model.layers) and f"{model.count_params():,}" in text.replace("_", ",")


def test_saved(make, tmp_path):
    model = trained(make)
    _, x, y, options = make()
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(again.predict(x, batch_size=8), model.predict(x, batch_size=8))
    assert again.evaluate(x, y, batch_size=8, verbose=0) == model.evaluate(x, y, batch_size=8, verbose=0)


class Crash(Exception):
    pass


class CrashAfter(Callback):
    """Raises once so many batches are done; never, with None."""

    writes_training = True  # called after the checkpoint is written

    def __init__(self, batches=None):
        self.batches = batches or 10**9

    def steps_to_checkpoint(self, batches):
        return self.batches - batches if batches < self.batches else None

    def on_checkpoint(self, fit, epoch_ended):
        if fit.optimizer.batches >= self.batches:
            raise Crash


@pytest.mark.parametrize("batches", [2, 3, 5, 7])
def test_resumed_to_the_last_bit(make, batches, tmp_path):
    path = tmp_path / "training"
    whole = trained(make, EPOCHS, callbacks=[TrainingCheckpoint(tmp_path / "other"), CrashAfter()])
    with pytest.raises(Crash):
        trained(make, EPOCHS, callbacks=[TrainingCheckpoint(path, every_steps=batches), CrashAfter(batches)])
    resumed = trained(make, EPOCHS, callbacks=[TrainingCheckpoint(path), CrashAfter()], resume_from=path)
    assert same_weights(resumed, whole)
    assert resumed.history.history["loss"] == whole.history.history["loss"]


def test_profiled(make):
    model, x, y, options = make()
    for profile in (model.profile(x, y, batch_size=8, repeats=2), model.profile(x, batch_size=8, repeats=2)):
        assert profile.flops > 0 and len(str(profile).splitlines()) == len(profile.stages) + 5
    model.fit(x, y, verbose=0, **options)
    assert same_weights(model, trained(make))


def test_callbacks(make, tmp_path):
    """A patience of one epoch without the gain that is asked for: the weights of the first come back."""
    model, x, y, options = make()
    validation = (x[:16], y[:16])
    history = model.fit(
        x,
        y,
        epochs=6,
        verbose=0,
        validation_data=validation,
        callbacks=[
            EarlyStopping("val_loss", min_delta=100, patience=1, restore_best_weights=True),
            ModelCheckpoint(str(tmp_path / "best.safetensors"), monitor="val_loss", save_best_only=True),
            CSVLogger(str(tmp_path / "log.csv")),
        ],
        **options,
    )
    assert len(history.epoch) == 2
    assert same_weights(model, trained(make, 1, validation_data=validation))
    best = 1 + int(np.argmin(history.history["val_loss"]))
    assert same_weights(fn.load_model(tmp_path / "best.safetensors"), trained(make, best, validation_data=validation))
    with open(tmp_path / "log.csv") as file:
        found = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in found] == history.history["val_loss"]


def test_trained_beside_others(make):
    models = [make()[0] for _ in range(3)]
    _, x, y, options = make()
    fn.fit_many(models, x, y, epochs=2, n_threads=2, **options)
    alone = trained(make, 2)
    assert all(same_weights(model, alone) for model in models)


def test_any_number_of_threads(make):
    one, two, three = (trained(make, 2, n_threads) for n_threads in (1, 2, 3))
    assert same_weights(one, two) and same_weights(one, three)
