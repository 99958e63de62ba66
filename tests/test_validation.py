"""The validation loss: of the rows held out, without what is for training alone."""

import numpy as np
import pytest

import fastnet as fn

X = np.random.default_rng(0).normal(size=(100, 3))
LABELS = (np.random.default_rng(1).random(100) < 0.3).astype(int)
CLASS_WEIGHT = {0: 1.0, 1: 10.0}
SAMPLE_WEIGHT = np.random.default_rng(2).random(100)
HELD = slice(80, 100)
LOSSES = {
    "class numbers": (2, LABELS, fn.losses.SparseCategoricalCrossentropy(from_logits=True)),
    "one-hot rows": (2, np.eye(2)[LABELS], fn.losses.CategoricalCrossentropy(from_logits=True)),
    "yes or no": (1, LABELS[:, None], fn.losses.BinaryCrossentropy(from_logits=True)),
    "numbers": (1, LABELS[:, None], fn.losses.MeanSquaredError()),
}


def make(outputs, loss, seed=0):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(outputs)], seed=seed)
    model.compile(fn.optimizers.SGD(0.5), loss)
    return model


def mean_loss(model, loss, y, weights=1.0):
    """Of the rows held out, one by one."""
    prediction = model.predict(X[HELD])
    each = np.array([loss(y[HELD][i : i + 1], prediction[i : i + 1]) for i in range(20)])
    return np.mean(each * np.broadcast_to(weights, 100)[HELD])


@pytest.mark.parametrize("many", [False, True], ids=["fit", "fit_many"])
@pytest.mark.parametrize("kind", LOSSES)
def test_class_weight_is_for_training_and_sample_weight_for_both(kind, many):
    outputs, y, loss = LOSSES[kind]
    for sample_weight in (None, SAMPLE_WEIGHT):
        options = {"epochs": 2, "validation_split": 0.2, "sample_weight": sample_weight}
        plain, model = make(outputs, loss), make(outputs, loss)
        plain.fit(X, y, verbose=0, **options)
        if many:
            fn.fit_many([model, make(outputs, loss, 1)], X, y, class_weight=CLASS_WEIGHT, **options)
        else:
            model.fit(X, y, verbose=0, class_weight=CLASS_WEIGHT, **options)
        expected = mean_loss(model, loss, y, 1.0 if sample_weight is None else sample_weight)
        assert model.history.history["val_loss"][-1] == pytest.approx(expected, rel=1e-5)
        assert abs(model.history.history["loss"][0] / plain.history.history["loss"][0] - 1) > 0.1  # it is there in training


def test_rows_are_validated_alike_however_they_are_held_out():
    outputs, y, loss = LOSSES["class numbers"]
    split, given = make(outputs, loss), make(outputs, loss)
    options = {"epochs": 4, "verbose": 0, "class_weight": CLASS_WEIGHT, "shuffle": False}
    split.fit(X, y, validation_split=0.2, sample_weight=SAMPLE_WEIGHT, **options)
    given.fit(
        X[:80], y[:80], sample_weight=SAMPLE_WEIGHT[:80], validation_data=(X[HELD], y[HELD], SAMPLE_WEIGHT[HELD]), **options
    )
    assert split.history.history["val_loss"] == given.history.history["val_loss"]
    assert split.history.history["loss"] == given.history.history["loss"]
