"""Losses: the engine against the reference, on every instruction set and in both precisions; the Python classes."""

import json

import numpy as np
import pytest
import reference
from plans import assert_close

import fastnet as fn
from fastnet import _core
from fastnet._config import serialize

#: Around the ends of vectors, blocks and pieces.
WIDTHS = [1, 2, 3, 6, 7, 10, 16, 17, 31, 33, 48, 49, 64, 65, 96, 97, 100, 256, 257, 600]
ROWS = [1, 3, 32, 45]
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}

#: Attributes to test with, where there are any.
ATTRIBUTES = {
    "huber": [{}, {"delta": 0.3}],
    "dice": [{}, {"axes": 1}],
    "tversky": [{}, {"axes": 1, "alpha": 0.3, "beta": 0.8}],
    "circle": [{"gamma": 2}, {"gamma": 3, "margin": 0.25, "remove_diagonal": 0}],
    "binary_crossentropy": [{"from_logits": logits, "label_smoothing": smoothing} for logits in (0, 1) for smoothing in (0, 0.2)],
}
ATTRIBUTES["categorical_crossentropy"] = ATTRIBUTES["binary_crossentropy"]
ATTRIBUTES["sparse_categorical_crossentropy"] = ATTRIBUTES["binary_crossentropy"]

CASES = [(name, attributes) for name in _core.registry("losses") for attributes in ATTRIBUTES.get(name, [{}])]
#: Those of which each position has its own loss.
OF_POSITIONS = [case for case in CASES if case not in (("dice", {}), ("tversky", {})) and case[0] != "circle"]
CLASSES = [
    cls
    for cls in vars(fn.losses).values()
    if isinstance(cls, type) and issubclass(cls, fn.losses.Loss) and hasattr(cls, "kernel")
]


def make_data(name, attributes, shape, dtype, seed=0):
    """Targets and predictions that suit the loss, rounded to the dtype."""
    rng = np.random.default_rng(seed)
    probabilities = name in ("dice", "kl_divergence", "poisson", "tversky") or not attributes.get("from_logits", 1)
    prediction = rng.uniform(0.02, 0.98, shape) if probabilities else rng.normal(scale=2, size=shape)
    if name == "circle":
        target = rng.integers(70, 74, shape[:-1])
        prediction /= np.linalg.norm(prediction, axis=-1, keepdims=True)
    elif reference.LOSSES[name].labels:
        target = rng.integers(0, shape[-1], shape[:-1])
    elif name in ("kl_divergence", "categorical_crossentropy"):
        target = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    elif name in ("hinge", "binary_crossentropy", "dice", "tversky"):
        target = rng.integers(0, 2, shape)
    elif name == "poisson":
        target = rng.poisson(2.0, shape)
    else:
        target = rng.normal(scale=2, size=shape)
    return target.astype(dtype), prediction.astype(dtype)


def assert_matches_reference(name, attributes, target, prediction, weight=None):
    value, gradient = _core.evaluate_loss(name, attributes, target, prediction, weight)
    wide = prediction.astype(np.float64)
    expected, expected_gradient = reference.batch_loss(name, target.astype(np.float64), wide, weight, **attributes)
    tolerance = TOLERANCE[prediction.dtype.name]
    case = f"{name} {attributes} {prediction.shape}"
    assert_close(value, expected, 4 * tolerance, case)
    assert_close(gradient, expected_gradient, 4 * tolerance, f"{case}: gradient")
    assert gradient.dtype == prediction.dtype


def test_every_loss_has_reference_and_class():
    names = set(_core.registry("losses"))
    assert names == set(reference.LOSSES)
    assert names == {cls.kernel for cls in CLASSES}


@pytest.mark.parametrize(("name", "attributes"), CASES)
def test_against_reference(name, attributes, isa, dtype):
    for width in WIDTHS:
        if width == 1 and "categorical" in name:
            continue
        for rows in ROWS:
            target, prediction = make_data(name, attributes, (rows, width), dtype)
            weight = np.random.default_rng(1).uniform(0, 2, rows)
            assert_matches_reference(name, attributes, target, prediction, weight)


@pytest.mark.parametrize(("name", "attributes"), CASES)
def test_inner_axes_are_positions(name, attributes, isa, dtype):
    target, prediction = make_data(name, attributes, (5, 3, 7, 4), dtype)
    assert_matches_reference(name, attributes, target, prediction, np.array([1.0, 0.0, 2.0, 0.5, 3.0]))


@pytest.mark.parametrize(("name", "attributes"), OF_POSITIONS)
def test_position_does_not_depend_on_its_company(name, attributes, isa, dtype):
    rows = 64  # a power of two, so that scaling by weights rounds nothing
    for width in (2, 7, 33, 64, 65, 96, 97, 300):
        target, prediction = make_data(name, attributes, (rows, width), dtype)
        _, together = _core.evaluate_loss(name, attributes, target, prediction)
        for lo, hi in ((0, 1), (17, 18), (3, 35), (40, 64)):
            alone = [
                _core.evaluate_loss(name, attributes, target[i : i + 1], prediction[i : i + 1], [1 / rows])[1]
                for i in range(lo, hi)
            ]
            np.testing.assert_array_equal(np.concatenate(alone), together[lo:hi], f"{name} width {width}")


@pytest.mark.parametrize(("name", "attributes"), OF_POSITIONS)
def test_nan_gives_nan(name, attributes, isa, dtype):
    for width in (2, 10, 60, 96, 300):
        target, prediction = make_data(name, attributes, (4, width), dtype)
        for column in (0, width - 1):
            bad = prediction.copy()
            bad[2, column] = np.nan
            value, gradient = _core.evaluate_loss(name, attributes, target, bad)
            assert np.isnan(value), f"{name} {attributes} width {width} column {column}"
            assert np.isfinite(gradient[[0, 1, 3]]).all()


@pytest.mark.parametrize("name", ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_large_logits_neither_overflow_nor_lose_the_gradient(name, smoothing, isa, dtype):
    for width in (2, 10, 60, 120):
        prediction = np.zeros((3, width), dtype)
        prediction[0, 0], prediction[1, 1], prediction[2, :2] = 1e4, -1e4, [1e4, -1e4]
        target = np.array([1, 1, 1], dtype)
        if name != "sparse_categorical_crossentropy":
            target = reference.one_hot(target, width).astype(dtype)
        assert_matches_reference(name, {"from_logits": 1, "label_smoothing": smoothing}, target, prediction)


def test_a_class_ruled_out_by_its_logit(isa, dtype):
    """-inf is a probability of 0: harmless in a class that is not the target."""
    for width in (3, 60, 120):
        prediction = np.zeros((2, width), dtype)
        prediction[:, 2] = -np.inf
        value, gradient = _core.evaluate_loss("sparse_categorical_crossentropy", {"from_logits": 1}, np.array([0, 1]), prediction)
        assert_close(value, np.log(width - 1), 1e-6)
        assert (gradient[:, 2] == 0).all() and np.isfinite(gradient).all()


def test_probabilities_at_their_ends_are_clipped(isa, dtype):
    tolerance = {"float32": 0.02, "float64": 1e-9}[dtype]  # 1 - (1 - 1e-7) is not quite 1e-7
    for target, prediction in ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1.0, 1.0), (1.0, -0.5), (0.0, 1.5)):
        wrong = target != np.clip(prediction, 0, 1)
        value, gradient = _core.evaluate_loss("binary_crossentropy", {}, np.array([[target]]), np.array([[prediction]], dtype))
        assert_close(value, -np.log(1e-7) if wrong else 1e-7, tolerance if wrong else 0.2)
        assert gradient == 0
    for name, target in (("categorical_crossentropy", [[0.0, 1.0]]), ("sparse_categorical_crossentropy", [1])):
        value, gradient = _core.evaluate_loss(name, {}, np.array(target), np.array([[1.0, 0.0]], dtype))
        assert_close(value, -np.log(1e-7), 1e-6)
        assert (gradient == 0).all()


def test_log_cosh_of_small_and_large_errors(isa, dtype):
    errors = np.array([[1e-3, 0.0, -1e-2, 0.4999, 0.5001, 30.0, -1e4]], dtype).T
    target = np.zeros_like(errors)
    _, gradient = _core.evaluate_loss("log_cosh", {}, target, errors)
    np.testing.assert_allclose(gradient * len(errors), np.tanh(errors.astype(np.float64)), rtol=1e-6)
    for error in errors:
        value, _ = _core.evaluate_loss("log_cosh", {}, [[0.0]], error[np.newaxis])
        expected = reference.losses.log_cosh(0.0, error.astype(np.float64))
        np.testing.assert_allclose(value, expected, rtol={"float32": 2e-6, "float64": 1e-12}[dtype])


def test_hinge_takes_0_for_minus_1(isa, dtype):
    prediction = np.array([[0.5, -2.0, 0.3]], dtype)
    with_zeros = _core.evaluate_loss("hinge", {}, [[0, 0, 1]], prediction)
    with_signs = _core.evaluate_loss("hinge", {}, [[-1, -1, 1]], prediction)
    assert with_zeros[0] == with_signs[0]
    np.testing.assert_array_equal(with_zeros[1], with_signs[1])


# ---- losses of positions together: Dice ----------------------------------------------------------

#: Targets and predictions of 3 rows of 2 positions of 4 numbers.
MASKS = np.array(
    [[[1, 0, 0, 0], [0, 1, 1, 1]], [[0, 0, 0, 0], [1, 0, 0, 0]], [[1, 1, 0, 0], [0, 0, 1, 1]]], float
)  # fmt: skip
PROBABILITIES = np.array([
    [[0.438, 0.578, 0.714, 0.911], [0.306, 0.634, 0.677, 0.313]],
    [[0.051, 0.926, 0.319, 0.333], [0.853, 0.577, 0.474, 0.746]],
    [[0.077, 0.686, 0.387, 0.132], [0.644, 0.888, 0.236, 0.617]],
])  # fmt: skip
WEIGHTS = [1.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("axis", "weight", "expected", "gradient"),
    [
        # keras.losses.Dice of Keras 3.15: the loss, and its derivatives of the numbers of row 2, position 1.
        (None, None, 0.5788446364323807, [0.019573145029990458, -0.07337661519239295]),
        ((0, 1, 2), WEIGHTS, 0.5788446068763733, [0.019573145613315638, -0.07337661737918649]),
        ((1, 2), None, 0.5913761258125305, [0.018327328847978917, -0.06862541379446367]),
        ((1, 2), WEIGHTS, 0.5585829615592957, [0.03665465769595783, -0.13725082758892734]),
        ((-2, -1), WEIGHTS, 0.5585829615592957, [0.03665465769595783, -0.13725082758892734]),
        (2, None, 0.6298620104789734, [0.014787289458006342, -0.0612294347531153]),
        (-1, WEIGHTS, 0.5654258728027344, [0.029574578916012683, -0.1224588695062306]),
    ],
)
def test_dice_as_in_keras(axis, weight, expected, gradient, isa, dtype):
    loss, prediction = fn.losses.Dice(axis=axis), PROBABILITIES.astype(dtype)
    assert loss(MASKS, prediction, weight) == pytest.approx(expected, rel=3e-7)
    _, found = _core.evaluate_loss("dice", loss.attributes(), MASKS, prediction, weight)
    np.testing.assert_allclose(found[2, 1], np.repeat(gradient, 2), rtol=1e-6)


@pytest.mark.parametrize("attributes", [{}, {"axes": 1}, {"axes": 2}, {"axes": 3}])
def test_dice_with_a_weight_for_each_position(attributes, isa, dtype):
    """The gradient of a number has the weights of all the positions that its loss is one of."""
    for shape in ((5, 3, 7, 4), (1, 2, 3, 33)):
        target, prediction = make_data("dice", attributes, shape, dtype)
        weight = np.random.default_rng(1).uniform(0, 2, shape[:-1])
        value, gradient = _core.evaluate_loss("dice", attributes, target, prediction, weight)
        wide = target.astype(np.float64), prediction.astype(np.float64)
        expected, expected_gradient = reference.batch_loss("dice", *wide, weight, **attributes)
        assert_close(value, expected, 4 * TOLERANCE[dtype])
        assert_close(gradient, expected_gradient, 4 * TOLERANCE[dtype])


def test_dice_of_nothing_and_of_nan(dtype):
    """As in Keras, two empty sets do not overlap."""
    nothing = np.zeros((2, 3), dtype)
    assert fn.losses.Dice()(nothing, nothing) == fn.losses.Dice(axis=1)(nothing, nothing) == 1
    prediction = np.full((4, 3), 0.5, dtype)
    prediction[2, 1] = np.nan
    value, gradient = _core.evaluate_loss("dice", {}, np.ones((4, 3)), prediction)
    assert np.isnan(value) and np.isnan(gradient).all()


@pytest.mark.parametrize("axis", [None, (1, 2), -1])
def test_training_with_dice(axis):
    """`fit` takes the steps of a loop with the reference's gradient, with any number of threads, to the bit."""
    random = np.random.default_rng(0)
    x, y, w = random.normal(size=(50, 4, 3)), random.integers(0, 2, (50, 4, 2)), random.uniform(0, 2, (50, 4))

    def network(n_threads):
        dense = fn.layers.Dense(2, "sigmoid")
        model = fn.Sequential([fn.Input((4, 3)), fn.layers.Dense(5, "tanh"), dense], seed=0, dtype="float64")
        model.compile(fn.optimizers.SGD(0.5), fn.losses.Dice(axis=axis), n_threads=n_threads)
        return model

    loop, attributes = network(1), fn.losses.Dice(axis=axis).attributes()
    losses = []
    for first in range(0, 50, 16):
        rows = slice(first, first + 16)
        prediction = loop.forward(x[rows], training=True)
        value, gradient = reference.batch_loss("dice", y[rows], prediction, w[rows], **attributes)
        loop.backward(gradient)
        loop.apply_gradients()
        losses.append(value)
    weights = []
    for n_threads in (1, 2, 3):
        model = network(n_threads)
        history = model.fit(x, y, batch_size=16, sample_weight=w, shuffle=False, verbose=0)
        np.testing.assert_allclose(history.history["loss"], np.average(losses, weights=[16, 16, 16, 2]), rtol=1e-12)
        np.testing.assert_allclose(np.concatenate([a.ravel() for a in model.get_weights()]),
                                   np.concatenate([a.ravel() for a in loop.get_weights()]), rtol=1e-10)  # fmt: skip
        weights.append([array.tobytes() for array in model.get_weights()])
    assert weights[0] == weights[1] == weights[2]


@pytest.mark.parametrize("given", [3, 2**23])
def test_circle_brings_embeddings_of_a_label_together(given):
    """Labels are no classes of the embeddings, of which there are fewer numbers; targets may be a column; rows are trained alike by threads."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 16) + given
    x = random.normal(size=(4, 6))[labels - given] + 0.8 * random.normal(size=(64, 6))
    weights = []
    for n_threads, y in ((1, labels), (2, labels[:, None])):
        model = fn.Sequential([fn.Input((6,)), fn.layers.Dense(3), fn.layers.UnitNormalization()], seed=0)
        model.compile(fn.optimizers.Adam(0.02), fn.losses.Circle(gamma=8), n_threads=n_threads)
        losses = model.fit(x, y, batch_size=32, epochs=15, verbose=0, shuffle=False).history["loss"]
        assert losses[-1] < 0.6 * losses[0]
        weights.append([array.tobytes() for array in model.get_weights()])
    assert weights[0] == weights[1]


def test_circle_of_a_batch_of_one_label_is_nothing():
    loss, prediction = fn.losses.Circle(), np.eye(3)
    value, gradient = _core.evaluate_loss("circle", loss.attributes(), [7, 7, 7], prediction)
    assert value == 0 and not gradient.any() and loss([7, 7, 7], prediction) == 0
    bad = np.array([[np.nan, 0], [0, 1], [1, 0]])
    assert np.isnan(_core.evaluate_loss("circle", {}, [1, 1, 2], bad)[0])
    with pytest.raises(ValueError, match="circle: a formula has no other rows"):
        fn.losses.circle(np.zeros(2), fn.Input((2,)))


@pytest.mark.parametrize("axis", [(), 0, (1, 3), (0, 2), -2, (-3, -2), (-1, 0, 1), (1, 1)])
def test_axes_that_are_not_the_last(axis):
    with pytest.raises(ValueError, match="Dice: axis must be the last axes of predictions.*got"):
        fn.losses.Dice(axis=axis)


@pytest.mark.parametrize("axis", [1, (1, 2), (0, 1, 2), (-4, -3, -2, -1), (3, 4)])
def test_axes_that_predictions_of_this_shape_do_not_end_in(axis):
    loss = fn.losses.Dice(axis=axis)
    model = fn.Sequential([fn.Input((4, 3, 2)), fn.layers.Dense(5)], seed=0)
    for call in (lambda: loss(np.ones((2, 4, 3, 5)), np.ones((2, 4, 3, 5))), lambda: model.compile("sgd", loss)):
        with pytest.raises(ValueError, match=r"dice: axis must be the last axes of predictions of shape \(4, 3, 5\)"):
            call()


@pytest.mark.parametrize("axis", ["last", 1.5, (1.5,)])
def test_axes_of_the_wrong_type(axis):
    with pytest.raises(TypeError):
        fn.losses.Dice(axis=axis)


@pytest.mark.parametrize(
    ("name", "attributes", "width", "message"),
    [
        ("binary_crossentropy", {"label_smoothing": 1.5}, 3, r"label_smoothing must be in \[0, 1\), got 1.5"),
        ("binary_crossentropy", {"label_smoothing": -0.1}, 3, r"label_smoothing must be in \[0, 1\), got -0.1"),
        ("categorical_crossentropy", {"label_smoothing": 1.0}, 3, r"label_smoothing must be in \[0, 1\), got 1"),
        ("sparse_categorical_crossentropy", {"label_smoothing": np.nan}, 3, "label_smoothing must be in"),
        ("categorical_crossentropy", {}, 1, "at least 2, got 1.*binary_crossentropy"),
        ("sparse_categorical_crossentropy", {}, 1, "at least 2, got 1.*binary_crossentropy"),
        ("huber", {"delta": 0.0}, 3, "delta must be a positive number, got 0"),
        ("huber", {"delta": np.inf}, 3, "delta must be a positive number, got inf"),
    ],
)
def test_bad_attributes(name, attributes, width, message):
    with pytest.raises(ValueError, match=message):
        _core.infer_target(name, attributes, (width,))


# ---- the Python classes ------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_class_and_engine_agree(cls):
    loss = cls()
    assert loss.attributes() == _core.registry("losses")[loss.kernel]
    shape = _core.infer_target(loss.kernel, loss.attributes(), (4, 3))
    assert shape == ((4,) if loss.labels or loss.identities else (4, 3))
    assert fn.losses.get(loss.kernel) == loss
    assert fn.losses.get(cls.__name__) == loss
    assert fn.losses.get(cls) == loss


@pytest.mark.parametrize(
    "loss",
    [
        *[cls() for cls in CLASSES],
        fn.losses.Huber(delta=0.5),
        fn.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1, name="mine"),
    ],
)
def test_loss_survives_json(loss):
    description = json.loads(json.dumps(serialize(loss)))
    again = fn.losses.get(description)
    assert again == loss and type(again) is type(loss) and again.name == loss.name
    assert repr(again) == repr(loss)


def test_call_evaluates():
    loss = fn.losses.SparseCategoricalCrossentropy()
    assert loss([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]) == pytest.approx(1.1769392)
    assert loss([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]], sample_weight=[0.3, 0.7]) == pytest.approx(0.8135988)


def test_get_takes_what_users_write():
    get = fn.losses.get
    assert get("mse") == get("MSE") == get("mean_squared_error") == fn.losses.MeanSquaredError()
    assert get("mae") == fn.losses.MeanAbsoluteError()
    assert get("kld") == fn.losses.KLDivergence()
    loss = fn.losses.Huber(2.0)
    assert get(loss) is loss
    assert get(len) is len

    with pytest.raises(ValueError, match="unknown loss 'mse_loss'; did you mean 'mse'"):
        get("mse_loss")
    with pytest.raises(ValueError, match="unknown loss 'sparse_crossentropy'; did you mean '"):
        get("sparse_crossentropy")
    with pytest.raises(TypeError, match="3 is no loss"):
        get(3)
    with pytest.raises(ValueError, match="class_name"):
        get({"name": "mse"})
