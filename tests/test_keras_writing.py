"""Models written as .keras files: laid out as Keras lays out the same models, and names that promise another format.

`tools/check_keras_writing.py` has Keras load every layer and compares the predictions.
"""

import builtins
import io
import json
import pathlib
import zipfile

import check_keras_writing
import h5py
import numpy as np
import pytest

import fastnet as fn
from fastnet import layers

TRACES = pathlib.Path(__file__).parent / "traces"
#: Files that Keras has written, of models within which are no others: those are all functional models in files written here.
FILES = (
    "import_attention",
    "import_bidirectional",
    "import_masked",
    "import_separable",
    "keras_gated",
    "keras_timed",
    "keras_cells",
    "keras_bfloat16",
)
GRAPHS = dict(check_keras_writing.graphs(fn))


def opened(path):
    """Configuration and arrays of a file."""
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) >= {"metadata.json", "config.json", "model.weights.h5"}
        config, data = json.loads(archive.read("config.json")), archive.read("model.weights.h5")
    arrays = {}
    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(lambda name, held: arrays.update({name: held[()]}) if isinstance(held, h5py.Dataset) else None)
    return config, arrays


def weights_in(arrays):
    return {
        name: array
        for name, array in arrays.items()
        if not name.startswith(("optimizer", "metrics", "loss", "vars", "compile")) and "seed_generator" not in name
    }


def calls_of(config):
    """By the name of each layer, what it is called on; models within included."""
    found = {}
    for layer in config["config"]["layers"]:
        name = layer.get("name") or layer["config"]["name"]
        found[name] = layer["class_name"] if "layers" not in layer["config"] else calls_of(layer)
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_model_of_keras_is_written_as_keras_wrote_it(name, tmp_path):
    """The same arrays in the same places, by which Keras finds them; the same layers in the same order."""
    source = TRACES / f"{name}.keras"
    fn.saving.from_keras(source).save(tmp_path / "again.keras")
    (theirs, wanted), (ours, found) = opened(source), opened(tmp_path / "again.keras")
    wanted, found = weights_in(wanted), weights_in(found)
    assert sorted(found) == sorted(wanted)
    for place, array in wanted.items():
        if array.dtype.kind == "f":
            assert np.allclose(found[place], array, atol=1e-7), place
    assert {k: v for k, v in calls_of(ours).items() if v != "InputLayer"} == {
        k: v for k, v in calls_of(theirs).items() if v != "InputLayer" and k in calls_of(ours)
    }


@pytest.mark.parametrize("name", GRAPHS)
def test_written_and_loaded_it_computes_the_same(name, tmp_path):
    model = GRAPHS[name]
    model.save(tmp_path / "model.keras")
    again = fn.load_model(tmp_path / "model.keras")
    random = np.random.default_rng(0)
    x = [np.floor(random.uniform(0, 8, (4, *tensor.sample_shape))) for tensor in model.inputs]
    expected, found = (one.predict(x) for one in (model, again))
    for a, b in zip(*(one if isinstance(one, list) else [one] for one in (expected, found)), strict=True):
        assert np.allclose(a, b, atol=1e-6) and a.dtype == b.dtype
    assert again.count_params() == model.count_params()


def test_dictionaries_of_inputs_and_outputs_keep_their_keys(tmp_path):
    """Keras flattens a dictionary in the order of its keys, so it numbers the layers in that order, too."""
    a, b = fn.Input((3,), name="a"), fn.Input((2,), name="b")
    ends = {"z": layers.Dense(4)(layers.Concatenate()([a, b])), "c": layers.Dense(1)(a)}
    model = fn.Model({"second": a, "first": b}, ends, seed=0)
    model.compile("sgd", {"z": "mse", "c": "mae"})
    model.save(tmp_path / "model.keras")
    config, arrays = opened(tmp_path / "model.keras")
    assert config["config"]["input_layers"] == {"second": ["a", 0, 0], "first": ["b", 0, 0]}
    assert set(config["config"]["output_layers"]) == {"z", "c"}
    assert arrays["layers/dense/vars/0"].shape == (3, 1)
    again = fn.load_model(tmp_path / "model.keras")
    x = {"second": np.ones((4, 3)), "first": np.zeros((4, 2))}
    expected, found = model.predict(x), again.predict(x)
    assert set(found) == {"z", "c"} and all(np.array_equal(found[key], expected[key]) for key in expected)
    assert again.evaluate(x, expected, verbose=0) == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="expected .*first.*second"):
        again.predict({"a": np.ones((4, 3)), "b": np.zeros((4, 2))})


def test_averages_are_written_where_the_model_predicts_with_them(tmp_path):
    model = fn.Sequential([fn.Input((3,)), layers.Dense(1)], seed=0)
    model.compile(fn.optimizers.SGD(0.1, use_ema=True), "mse")
    model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    assert np.allclose(fn.load_model(tmp_path / "model.keras").predict(np.ones((1, 3))), model.predict(np.ones((1, 3))))


class OwnOfFiles(layers.Layer):
    def call(self, x):
        return x + 1


class OwnCell(layers.Layer):
    state_size = 3

    def call(self, x, states):
        return x + states[0], [x]


REFUSED = {
    "own": (lambda: [OwnOfFiles(name="mine")], ["'mine'", "OwnOfFiles"]),
    "formula": (lambda: [layers.Lambda(lambda x: x**2, name="square")], ["'square'", "Lambda"]),
    "cell": (lambda: [layers.RNN(OwnCell(), name="steps")], ["'steps'", "OwnCell"]),
    "cells": (lambda: [layers.RNN([layers.LSTMCell(3), OwnCell()], name="steps")], ["'steps'", "OwnCell"]),
    "positions": (lambda: [layers.SinePositionEncoding(name="places")], ["'places'", "SinePositionEncoding"]),
    "activation": (lambda: [layers.Dense(2, layers.LeakyReLU(0.1), name="steep")], ["'steep'", "leaky_relu(0.1)"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_keras_does_not_have_is_named(case, tmp_path):
    stack, words = REFUSED[case]
    model = fn.Sequential([fn.Input((4, 3)), *stack()], seed=0)
    with pytest.raises(ValueError) as caught:
        model.save(tmp_path / "model.keras")
    assert all(word in str(caught.value) for word in words) and not list(tmp_path.iterdir())


def test_scaling_that_was_learnt(tmp_path):
    x = np.random.default_rng(0).normal(3, 2, (50, 3))
    for layer in (layers.Normalization(), layers.MinMaxScaling()):
        layer.adapt(x)
        model = fn.Sequential([fn.Input((3,)), layer, layers.Dense(2)], seed=0)
        model.save(tmp_path / "model.keras")
        assert np.allclose(fn.load_model(tmp_path / "model.keras").predict(x), model.predict(x), atol=1e-5)


def test_no_other_format_is_written_under_a_name_of_keras(tmp_path, monkeypatch):
    model = fn.Sequential([fn.Input((3,)), layers.Dense(1)], seed=0)
    model.compile("adam", "mse")
    for name in ("m.h5", "m.HDF5"):
        with pytest.raises(ValueError, match=r"not written.*\.keras.*\.safetensors"):
            model.save(tmp_path / name)
    for name in ("m.keras", "w.h5"):
        with pytest.raises(ValueError, match=r"not written.*\.safetensors"):
            model.save_weights(tmp_path / name)
        with pytest.raises(ValueError, match="not written"):
            fn.callbacks.ModelCheckpoint(tmp_path / name, save_weights_only=True)
    with pytest.raises(ValueError, match="without the optimizer"):
        model.save(tmp_path / "m.keras", include_optimizer=True)
    callback = fn.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"), "loss")
    model.fit(np.ones((4, 3)), np.ones(4), epochs=2, verbose=0, callbacks=[callback])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.keras", "2.keras"]
    with h5py.File(tmp_path / "a.bin", "w"):
        pass
    for load in (fn.load_model, model.load_weights):
        with pytest.raises(ValueError, match="HDF5 file"):
            load(tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"from_keras\(path, model\)"):
        model.load_weights(tmp_path / "1.keras")
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    for save in (model.save, fn.callbacks.ModelCheckpoint):
        with pytest.raises(ImportError, match="pip install h5py"):
            save(tmp_path / "m.keras")
