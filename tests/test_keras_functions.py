"""Metrics and activations as functions, against Keras's results (tools/dump_function_traces.py), on arrays and in models."""

import json
import pathlib

import dump_function_traces
import numpy as np
import pytest

import fastnet as fn
from fastnet import _activation_functions, _metric_functions

RESULTS = json.loads((pathlib.Path(__file__).parent / "traces" / "keras_functions.json").read_text())["results"]
CASES = [(*case, result) for case, result in zip(dump_function_traces.CASES, RESULTS, strict=True)]
NAMES = [f"{path}-{'-'.join(arguments)}" for path, _, arguments, _ in CASES]


def find(path):
    module, name = path.split(".")
    return getattr(getattr(fn, module), name)


def test_every_function_has_a_case():
    written = {path for path, *_ in CASES}
    for module, names in (("activations", _activation_functions), ("metrics", _metric_functions)):
        assert {f"{module}.{name}" for name in names.__all__} <= written
        for name in names.__all__:
            assert find(f"{module}.{name}").__doc__


@pytest.mark.parametrize(("path", "names", "arguments", "expected"), CASES, ids=NAMES)
def test_on_arrays(path, names, arguments, expected):
    result = find(path)(*(dump_function_traces.INPUTS[name] for name in names), **arguments)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=3e-7)


@pytest.mark.parametrize(("path", "names", "arguments", "expected"), [
    case for case in CASES
    if not case[0].startswith("metrics.") and case[2] != {"axis": 0}
])  # fmt: skip
def test_in_models(path, names, arguments, expected):
    """The same formula on symbolic tensors."""
    arrays = [dump_function_traces.INPUTS[name].reshape(4, -1).astype(np.float32) for name in names]
    inputs = [fn.Input(array.shape[1:]) for array in arrays]
    model = fn.Model(inputs, find(path)(*inputs, **arguments), seed=0)
    np.testing.assert_allclose(model.predict(arrays).reshape(np.shape(expected)), expected, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted({*fn.losses.functions.__all__, *_metric_functions.__all__} & set(fn.metrics.METRICS)))
def test_a_function_stands_for_its_metric(name):
    assert fn.metrics.get(getattr(fn.metrics, name)) == fn.metrics.get(name)


def test_a_function_that_is_no_metric_by_name_is_one_of_its_own():
    metric = fn.metrics.get(fn.losses.categorical_generalized_cross_entropy)
    assert isinstance(metric, fn.metrics.MeanMetricWrapper)


@pytest.mark.parametrize("name", sorted(set(_activation_functions.__all__) & set(fn.activations.ACTIVATIONS)))
def test_a_function_stands_for_its_activation(name):
    assert fn.layers.Dense(2, activation=getattr(fn.activations, name)).activation == fn.activations.get(name)
    assert fn.activations.deserialize(fn.activations.serialize(name)) == fn.activations.get(name)


def test_training_with_functions_is_training_with_names():
    x, y = np.arange(8.0).reshape(4, 2), np.arange(4.0)

    def weights(loss, metric, activation):
        model = fn.Sequential([fn.Input((2,)), fn.layers.Dense(3, activation), fn.layers.Dense(1)], seed=0)
        model.compile("sgd", loss, metrics=[metric])
        history = model.fit(x, y, epochs=2, verbose=0)
        return [*model.get_weights(), *(history.history[name] for name in sorted(history.history) if name != "seconds")]

    found = weights(fn.losses.mean_absolute_error, fn.metrics.mean_squared_error, fn.activations.relu)
    for one, other in zip(found, weights("mean_absolute_error", "mean_squared_error", "relu"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("module", ["activations", "metrics"])
def test_what_is_none_of_them(module):
    with pytest.raises(AttributeError, match=f"fastnet.{module}.*nothing_such"):
        getattr(fn, module).nothing_such


@pytest.mark.parametrize("module", ["constraints", "initializers", "losses", "metrics", "optimizers", "regularizers"])
def test_serialize_and_deserialize(module):
    module = getattr(fn, module)
    table = next(value for name, value in vars(module).items() if name.isupper() and isinstance(value, dict))
    for cls in (cls for cls in dict.fromkeys(table.values()) if ... not in cls._arguments().values()):
        assert module.deserialize(module.serialize(cls())) == cls()
    with pytest.raises(ValueError, match="NothingSuch"):
        module.deserialize({"class_name": "NothingSuch", "config": {}})


def test_metrics_take_arrays():
    x = fn.Input((3,))
    with pytest.raises(TypeError, match="binary_accuracy takes arrays"):
        fn.metrics.binary_accuracy(x, x)
