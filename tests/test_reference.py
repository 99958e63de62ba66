"""The reference itself: gradients against finite differences, losses against known values."""

import numpy as np
import pytest
import reference

STEP = 1e-6
#: Where activations have a kink; inputs keep away from these.
KINKS = np.array([-3.0, 0.0, 3.0, 6.0])


def numerical_gradient(function, x):
    """Central differences of a function of an array, whose value is a number."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += STEP
        below[index] -= STEP
        gradient[index] = (function(above) - function(below)) / (2 * STEP)
    return gradient


def assert_gradient(actual, function, x):
    np.testing.assert_allclose(actual, numerical_gradient(function, x), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activation_derivative(name):
    activation = reference.ACTIVATIONS[name]
    x = np.linspace(-7, 7, 57) + 0.01
    assert np.abs(x[:, np.newaxis] - KINKS).min() > 2 * STEP
    numerical = (activation.forward(x + STEP, 0.3) - activation.forward(x - STEP, 0.3)) / (2 * STEP)
    np.testing.assert_allclose(activation.derivative(x, 0.3), numerical, rtol=1e-6, atol=1e-8)


def test_every_op_has_a_case():
    assert {case[0] for case in reference.OP_CASES} == set(reference.OPS)


@pytest.mark.parametrize(("name", "input_shapes", "parameter_shapes", "attributes"), reference.OP_CASES)
def test_op_gradients(name, input_shapes, parameter_shapes, attributes):
    op = reference.OPS[name]
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape) for shape in input_shapes]
    parameters = [rng.normal(size=shape) for shape in parameter_shapes]
    result = op.forward(inputs, parameters, **attributes)
    dy = [rng.normal(size=y.shape) for y in result] if isinstance(result, list) else rng.normal(size=result.shape)
    input_gradients, parameter_gradients = op.backward(inputs, parameters, dy, **attributes)
    assert len(input_gradients) == len(inputs)
    assert len(parameter_gradients) == len(parameters)
    term = reference.LOSS_TERMS.get(name, lambda inputs, parameters, **attributes: 0.0)

    for arrays, gradients in ((inputs, input_gradients), (parameters, parameter_gradients)):
        for i, gradient in enumerate(gradients):
            if gradient is None:  # a parameter that is not trained
                continue

            def function(x, arrays=arrays, i=i):
                changed = [*arrays[:i], x, *arrays[i + 1 :]]
                given = (changed, parameters) if arrays is inputs else (inputs, changed)
                y = op.forward(*given, **attributes)
                pairs = zip(dy, y) if isinstance(y, list) else [(dy, y)]
                return sum((a * b).sum() for a, b in pairs) + term(*given, **attributes)

            assert_gradient(gradient, function, arrays[i])


#: Name, attributes, and what predictions are: any numbers, probabilities or distributions.
LOSS_CASES = [
    ("mean_squared_error", {}, "numbers"),
    ("mean_absolute_error", {}, "numbers"),
    ("huber", {}, "numbers"),
    ("huber", {"delta": 0.4}, "numbers"),
    ("log_cosh", {}, "numbers"),
    ("binary_crossentropy", {}, "probabilities"),
    ("binary_crossentropy", {"label_smoothing": 0.2}, "probabilities"),
    ("binary_crossentropy", {"from_logits": 1}, "numbers"),
    ("binary_crossentropy", {"from_logits": 1, "label_smoothing": 0.2}, "numbers"),
    ("categorical_crossentropy", {}, "probabilities"),
    ("categorical_crossentropy", {"label_smoothing": 0.2}, "probabilities"),
    ("categorical_crossentropy", {"from_logits": 1}, "numbers"),
    ("categorical_crossentropy", {"from_logits": 1, "label_smoothing": 0.2}, "numbers"),
    ("sparse_categorical_crossentropy", {}, "probabilities"),
    ("sparse_categorical_crossentropy", {"label_smoothing": 0.2}, "probabilities"),
    ("sparse_categorical_crossentropy", {"from_logits": 1}, "numbers"),
    ("sparse_categorical_crossentropy", {"from_logits": 1, "label_smoothing": 0.2}, "numbers"),
    ("hinge", {}, "numbers"),
    ("kl_divergence", {}, "probabilities"),
    ("poisson", {}, "probabilities"),
    ("dice", {}, "probabilities"),
    ("dice", {"axes": 1}, "probabilities"),
    ("dice", {"axes": 2}, "probabilities"),
    ("tversky", {}, "probabilities"),
    ("tversky", {"axes": 2, "alpha": 0.3, "beta": 0.8}, "probabilities"),
    ("circle", {"gamma": 2, "margin": 0.3}, "probabilities"),
    ("circle", {"gamma": 3, "remove_diagonal": 0}, "numbers"),
]


def test_every_loss_has_a_case():
    assert {case[0] for case in LOSS_CASES} == set(reference.LOSSES)


@pytest.mark.parametrize(("name", "attributes", "kind"), LOSS_CASES)
def test_loss_gradients(name, attributes, kind):
    rng = np.random.default_rng(0)
    shape = (5, 2, 4)
    prediction = rng.uniform(0.05, 0.95, shape) if kind == "probabilities" else rng.normal(size=shape) * 2
    if reference.LOSSES[name].labels or name == "circle":
        target = rng.integers(0, 4, shape[:-1])
    elif kind == "probabilities":
        target = rng.uniform(0.05, 0.95, shape)
    else:
        target = rng.integers(0, 2, shape).astype(float)
    weight = rng.uniform(0.5, 2, len(prediction))
    _, gradient = reference.batch_loss(name, target, prediction, weight, **attributes)
    assert_gradient(gradient, lambda p: reference.batch_loss(name, target, p, weight, **attributes)[0], prediction)


@pytest.mark.parametrize(
    ("name", "attributes", "target", "prediction", "expected"),
    [
        # The examples in the documentation of Keras.
        ("mean_squared_error", {}, [[0, 1], [0, 0]], [[1, 1], [1, 0]], [0.5, 0.5]),
        ("mean_absolute_error", {}, [[0, 1], [0, 0]], [[1, 1], [1, 0]], [0.5, 0.5]),
        ("huber", {}, [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], [0.18, 0.13]),
        ("log_cosh", {}, [[0, 1], [0, 0]], [[1, 1], [0, 0]], [np.log(np.cosh(1)) / 2, 0]),
        ("binary_crossentropy", {}, [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], [0.9162907, 0.7135582]),
        ("binary_crossentropy", {"from_logits": 1}, [[0, 1, 0, 0]], [[-18.6, 0.51, 2.94, -12.8]], [0.8654580]),
        ("categorical_crossentropy", {}, [[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]], [0.0512933, 2.3025851]),
        ("sparse_categorical_crossentropy", {}, [1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]], [0.0512933, 2.3025851]),
        ("hinge", {}, [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], [(1.6 + 0.6) / 2, (1.4 + 1.6) / 2]),
        # By hand.
        ("huber", {"delta": 0.5}, [[0.0, 0.0]], [[0.2, -3.0]], [(0.02 + 1.375) / 2]),
        ("kl_divergence", {}, [[0.5, 0.5]], [[0.25, 0.75]], [0.5 * np.log(2) + 0.5 * np.log(2 / 3)]),
        ("poisson", {}, [[2.0, 1.0]], [[1.0, np.e]], [(1 + np.e - 1) / 2]),
        ("categorical_crossentropy", {"from_logits": 1}, [[0, 1]], [[0.0, np.log(3)]], [np.log(4 / 3)]),
        (
            "categorical_crossentropy",
            {"from_logits": 1, "label_smoothing": 0.5},
            [[0, 1]],
            [[0.0, np.log(3)]],
            [0.25 * np.log(4) + 0.75 * np.log(4 / 3)],
        ),
        ("binary_crossentropy", {"label_smoothing": 0.5}, [[1.0]], [[0.5]], [np.log(2)]),
        # Without the division by its sum this prediction would cost -log 0.2.
        ("sparse_categorical_crossentropy", {}, [0], [[0.2, 0.2]], [np.log(2)]),
    ],
)
def test_known_losses(name, attributes, target, prediction, expected):
    value = reference.LOSSES[name].value(np.array(target, float), np.array(prediction, float), **attributes)
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-9)


def test_losses_far_out_are_finite():
    logits = np.array([[1e4, -1e4, 0.0]])
    for name, target in (
        ("categorical_crossentropy", [[0, 1, 0]]),
        ("sparse_categorical_crossentropy", [1]),
        ("binary_crossentropy", [[0, 1, 0]]),
    ):
        value, gradient = reference.batch_loss(name, np.array(target), logits, from_logits=1)
        assert np.isfinite(value) and np.isfinite(gradient).all(), name


def test_optimizers_by_hand():
    w, g = np.array([1.0]), np.array([2.0])
    update = reference.OPTIMIZERS["sgd"].update
    hyper = {"learning_rate": 0.1, "momentum": 0.5, "nesterov": 0}
    w1, slots = update(w, g, {"momentum": np.zeros(1)}, hyper, 0)
    w2, _ = update(w1, g, slots, hyper, 1)
    np.testing.assert_allclose([w1[0], w2[0]], [0.8, 0.5])
    w1, _ = update(w, g, {"momentum": np.zeros(1)}, {**hyper, "nesterov": 1}, 0)
    np.testing.assert_allclose(w1, 0.7)
    # In its first step Adam moves by the learning rate, whatever the gradient.
    hyper = {"learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 0.0}
    w1, _ = reference.OPTIMIZERS["adam"].update(w, g, {"momentum": np.zeros(1), "velocity": np.zeros(1)}, hyper, 0)
    np.testing.assert_allclose(w1, 0.9)
