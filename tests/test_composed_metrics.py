"""Metrics against values of Keras, of tools/dump_keras_values.py, standing alone and in models."""

import json
import pathlib

import keras_cases
import numpy as np
import pytest

import fastnet as fn

#: Predictions of any kind come out of a layer without activation here.
pytestmark = pytest.mark.filterwarnings("ignore:loss that does not fit the output")

TRACES = np.load(pathlib.Path(__file__).parent / "traces" / "values_keras.npz")
CASES = list(enumerate(keras_cases.METRICS))
each = pytest.mark.parametrize(("i", "case"), CASES, ids=[f"{i}-{name}" for i, (name, *_) in CASES])
TOLERANCE = {"rtol": 2e-6, "atol": 2e-7}  # Keras keeps its sums in float32

#: Of which Keras takes the whole part of the weights.
UNWEIGHTED = {"BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"}


def expected(i, what):
    return TRACES[f"metric/{i}/{what}"]


@each
def test_alone(i, case):
    """Of batches, with weights or without; after reset_state anew."""
    name, arguments, kind, shape = case
    target, prediction, weights = keras_cases.loss_data(kind, shape, 2000 + i)
    metric = getattr(fn.metrics, name)(**arguments)
    for _ in range(2):
        for rows in (slice(0, 3), slice(3, None)):
            metric.update_state(target[rows], prediction[rows])
        np.testing.assert_allclose(metric.result(), expected(i, "value"), **TOLERANCE)
        metric.reset_state()
    if name not in UNWEIGHTED:
        for rows in (slice(0, 3), slice(3, None)):
            metric.update_state(target[rows], prediction[rows], sample_weight=weights[rows])
        np.testing.assert_allclose(metric.result(), expected(i, "weighted"), **TOLERANCE)


@each
def test_in_a_model(i, case):
    """By evaluate, of several threads and batches, and in validation, under the name that it has alone."""
    name, arguments, kind, shape = case
    target, prediction, _ = keras_cases.loss_data(kind, shape, 2000 + i)
    metric = getattr(fn.metrics, name)(**arguments)
    found = []
    for threads in (1, 2):
        dense = fn.layers.Dense(shape[-1], use_bias=False, kernel_initializer="identity")
        model = fn.Sequential([fn.Input(shape[1:]), dense], seed=0, dtype="float64")
        loss = "sparse_categorical_crossentropy" if kind.startswith("label") else "mse"
        model.compile(fn.optimizers.SGD(0.0), loss, metrics=[metric], n_threads=threads)
        found.append(model.evaluate(prediction, target, batch_size=3, return_dict=True)[metric.name])
        history = model.fit(prediction, target, batch_size=5, validation_data=(prediction, target), verbose=0).history
        found += [history[metric.name][0], history[f"val_{metric.name}"][0]]
    for value in found:
        np.testing.assert_allclose(value, expected(i, "value"), **TOLERANCE)


@each
def test_a_saved_model_has_its_metrics(i, case, tmp_path):
    name, arguments, kind, shape = case
    target, prediction, _ = keras_cases.loss_data(kind, shape, 2000 + i)
    dense = fn.layers.Dense(shape[-1], use_bias=False, kernel_initializer="identity")
    model = fn.Sequential([fn.Input(shape[1:]), dense], seed=0, dtype="float64")
    loss = "sparse_categorical_crossentropy" if kind.startswith("label") else "mse"
    metric = getattr(fn.metrics, name)(**arguments)
    model.compile("sgd", loss, metrics=[metric])
    value = model.evaluate(prediction, target, return_dict=True)
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors").evaluate(prediction, target, return_dict=True)
    assert list(again) == list(value)
    for key in value:
        np.testing.assert_array_equal(again[key], value[key])
    description = json.loads(json.dumps(fn._config.serialize(metric)))
    assert fn.metrics.get(description) == metric


@pytest.mark.parametrize(("make", "message"), [
    (lambda: fn.metrics.TruePositives(thresholds=[0.5, 2]), "thresholds must be between 0 and 1"),
    (lambda: fn.metrics.PrecisionAtRecall(1.5), "recall must be between 0 and 1"),
    (lambda: fn.metrics.RecallAtPrecision(0.5, num_thresholds=1), "num_thresholds must be at least 2"),
    (lambda: fn.metrics.SensitivityAtSpecificity(0.5, class_id=1), "class_id must be None"),
    (lambda: fn.metrics.FBetaScore(beta=0.0), "beta must be positive"),
    (lambda: fn.metrics.IoU(2, [2]), "target_class_ids must be from 0 to 1"),
    (lambda: fn.metrics.MeanIoU(0), "num_classes must be at least 1"),
    (lambda: fn.metrics.MeanIoU(2)([0, 2], [0, 1]), "y_true holds class numbers"),
    (lambda: fn.metrics.MeanIoU(2)([0, 1], [[0, 1], [1, 0]]), "2 targets and 4 predictions"),
    (lambda: fn.metrics.TruePositives()([0, 1], [[0, 1], [1, 0]]), "y_true has shape"),
])  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
