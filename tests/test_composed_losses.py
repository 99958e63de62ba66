"""All losses against values of Keras, of tools/dump_keras_values.py, as classes, as functions, in calls and in training."""

import json
import pathlib

import keras_cases
import numpy as np
import pytest

import fastnet as fn
from fastnet._names import snake_case

#: Predictions of any kind come out of a layer without activation here.
pytestmark = pytest.mark.filterwarnings("ignore:loss that does not fit the output")

TRACES = np.load(pathlib.Path(__file__).parent / "traces" / "values_keras.npz")
CASES = list(enumerate(keras_cases.LOSSES))
#: Keras on PyTorch takes means of float64 in float32.
TOLERANCE = {"rtol": 6e-7, "atol": 3e-8}
#: Keras takes exponents, here of up to 100, of float64 in float32 as well.
TOLERANCE_OF_CHANGE = {"Circle": {"rtol": 5e-6, "atol": 2e-7}}
IDS = [f"{i}-{name}" for i, (name, *_) in CASES]
CLASSES = sorted(set(fn.losses.LOSSES.values()), key=lambda cls: cls.__name__)


def expected(i, what):
    return TRACES[f"loss/{i}/{what}"]


def test_every_loss_has_a_case():
    assert {cls.__name__ for cls in CLASSES} == {name for name, *_ in keras_cases.LOSSES}


@pytest.mark.parametrize(("i", "case"), CASES, ids=IDS)
def test_calls_are_those_of_keras(i, case, dtype):
    name, arguments, kind, shape = case
    target, prediction, weights = keras_cases.loss_data(kind, shape, i)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else TOLERANCE
    cls, given = getattr(fn.losses, name), prediction.astype(dtype)
    loss = cls(**arguments)
    np.testing.assert_allclose(loss(target, given), expected(i, "value"), **tolerance)
    losses = expected(i, "losses")
    np.testing.assert_allclose(cls(**arguments, reduction="none")(target, given), losses, **tolerance)
    np.testing.assert_allclose(cls(**arguments, reduction="sum")(target, given), losses.sum(), **tolerance)
    function = getattr(fn.losses, snake_case(name).replace("crossentropy", "crossentropy"))
    options = {option: value for option, value in arguments.items() if option != "delta" or name == "Huber"}
    if name == "CategoricalGeneralizedCrossEntropy":
        options.setdefault("q", 0.5)
    found = function(target, given, **options)
    np.testing.assert_allclose(found, losses, **tolerance)
    assert found.dtype == dtype
    if losses.ndim:
        np.testing.assert_allclose(loss(target, given, weights), expected(i, "weighted"), **tolerance)
        if name == "Circle":  # whose mean is over other rows
            with pytest.raises(ValueError, match="Circle: .* must not be 'mean_with_sample_weight'"):
                cls(**arguments, reduction="mean_with_sample_weight")
            return
        divided = cls(**arguments, reduction="mean_with_sample_weight")(target, given, weights)
        np.testing.assert_allclose(divided, expected(i, "weighted") / weights.mean(), **tolerance)


def identity_model(shape, dtype="float64"):
    """Predicts its inputs, by a kernel whose gradient is that of the predictions, times the inputs."""
    dense = fn.layers.Dense(shape[-1], use_bias=False, kernel_initializer="identity")
    return fn.Sequential([fn.Input(shape[1:]), dense], seed=0, dtype=dtype)


@pytest.mark.filterwarnings("ignore:loss that does not fit")
@pytest.mark.parametrize(("i", "case"), CASES, ids=IDS)
def test_training_takes_the_gradient_of_keras(i, case):
    """By a step of gradient descent, with the loss as an object, and as a function of the package where it has no arguments."""
    name, arguments, kind, shape = case
    target, prediction, weights = keras_cases.loss_data(kind, shape, i)
    losses = [getattr(fn.losses, name)(**arguments)]
    if not arguments and name != "CategoricalGeneralizedCrossEntropy":
        losses += [getattr(fn.losses, snake_case(name)), name, snake_case(name)]
    for loss in losses:
        model = identity_model(shape)
        model.compile(fn.optimizers.SGD(0.1), loss)
        before = model.get_weights()[0]
        value = model.train_on_batch(prediction, target)
        np.testing.assert_allclose(value, expected(i, "value"), **TOLERANCE)
        change = np.tensordot(prediction, expected(i, "gradient"), (range(len(shape) - 1),) * 2)
        np.testing.assert_allclose(
            before - model.get_weights()[0], 0.1 * change, **TOLERANCE_OF_CHANGE.get(name, {"rtol": 2e-6, "atol": 1e-8})
        )
        model.set_weights([before])
        if expected(i, "losses").ndim:
            found = model.evaluate(prediction, target, sample_weight=weights)
            np.testing.assert_allclose(found, expected(i, "weighted"), **TOLERANCE)


@pytest.mark.filterwarnings("ignore:loss that does not fit")
@pytest.mark.parametrize(("i", "case"), CASES, ids=IDS)
def test_a_saved_model_keeps_its_loss(i, case, tmp_path):
    name, arguments, kind, shape = case
    target, prediction, _ = keras_cases.loss_data(kind, shape, i)
    model = identity_model(shape)
    model.compile("sgd", getattr(fn.losses, name)(**arguments))
    value = model.evaluate(prediction, target)
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors")
    assert again._compiled.losses == model._compiled.losses
    assert again.evaluate(prediction, target) == value


@pytest.mark.parametrize("cls", CLASSES)
def test_classes_survive_json(cls):
    loss = cls(reduction="sum", name="mine")
    again = fn.losses.get(json.loads(json.dumps(fn._config.serialize(loss))))
    assert again == loss and again.name == "mine" and again.reduction == "sum"
    assert fn.losses.get(cls.__name__) == fn.losses.get(snake_case(cls.__name__)) == cls()


def test_reductions_that_there_are():
    for cls in CLASSES:
        with pytest.raises(ValueError, match=f"{cls.__name__}: reduction must be .*got 'total'"):
            cls(reduction="total")


@pytest.mark.parametrize("reduction", ["sum", "none", None])
def test_models_are_trained_with_means(reduction):
    model = identity_model((6, 4))
    for loss in (fn.losses.MeanSquaredError(reduction=reduction), fn.losses.SquaredHinge(reduction=reduction)):
        with pytest.raises(ValueError, match="a model is trained with the mean over the batch"):
            model.compile("sgd", loss)


def test_weights_are_no_divisor_in_training():
    model, x = identity_model((6, 4)), np.ones((6, 4))
    model.compile("sgd", fn.losses.MeanSquaredError(reduction="mean_with_sample_weight"))
    model.train_on_batch(x, x)
    with pytest.raises(ValueError, match="divide these by their mean"):
        model.train_on_batch(x, x, sample_weight=np.ones(6))


@pytest.mark.parametrize("name", ["BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy",
                                  "BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"])  # fmt: skip
def test_classes_are_along_the_last_axis(name):
    with pytest.raises(ValueError, match=f"{name}: axis must be -1.*Permute"):
        getattr(fn.losses, name)(axis=1)


def test_targets_may_be_a_column_or_not():
    """As in Keras, an axis of length 1 is added or left out."""
    y = np.array([1.0, 0.0, 1.0])
    p = np.array([[0.9], [0.2], [0.4]])
    for function in (fn.losses.mean_squared_error, fn.losses.binary_crossentropy, fn.losses.hinge, fn.losses.huber):
        np.testing.assert_array_equal(function(y, p), function(y[:, None], p))
    labels = np.array([[1.0], [0.0]])
    p = np.array([[0.3, 0.7], [0.6, 0.4]])
    expected = fn.losses.sparse_categorical_crossentropy(labels[:, 0], p)
    np.testing.assert_array_equal(fn.losses.sparse_categorical_crossentropy(labels, p), expected)
    # Keras: one of the classes is left out.
    found = fn.losses.sparse_categorical_crossentropy(labels, p, ignore_class=0)
    np.testing.assert_allclose(found, [-np.log(0.7), 0])


def test_losses_of_symbolic_tensors():
    """In a loss of one's own, in add_loss and in a TrainStep they are formulas; their mean over the batch is taken there."""
    mse = fn.losses.MeanSquaredError()
    x, y = np.random.default_rng(0).normal(size=(2, 20, 4))
    values = []
    for loss in (lambda t, p: mse(t, p) + 0.5 * fn.losses.mean_absolute_error(t, p), None):
        model = identity_model((20, 4))
        model.compile("sgd", loss or (lambda t, p: fn.ops.mean((t - p) ** 2 + 0.5 * abs(t - p), axis=-1)))
        values.append([model.train_on_batch(x, y) for _ in range(2)])
    np.testing.assert_allclose(*values, rtol=1e-12)
    assert mse(fn.Input((3, 4)), fn.Input((3, 4))).shape == (None, 3)
    with pytest.raises(ValueError, match="a model is trained with the mean"):
        fn.losses.MeanSquaredError(reduction="sum")(fn.Input((3,)), fn.Input((3,)))
