"""What does not fit is rejected before anything changes, by an exception that says what was given and expected."""

import numpy as np
import pandas as pd
import pytest
from networks import classes, network, regression, rejects, rows, same_weights, state

import fastnet as fn

N = 12


def regressor():
    model = regression(5, 1, optimizer="adam")
    model.fit(rows(N, 4), rows(N, 1), verbose=0)
    return model


def classifier(loss="sparse_categorical_crossentropy", n=3):
    model = network(n, last="softmax")
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def names(cases):
    return [" ".join(words) for _, _, words in cases]


def replaced(array, row, value):
    array = array.copy()
    array[row] = value
    return array


def all_calls(model):
    """Everything that takes x and y."""
    return [
        lambda x, y: model.fit(x, y, verbose=0),
        lambda x, y: model.fit(x, y, verbose=0, batch_size=5, shuffle=False),
        model.evaluate,
        model.train_on_batch,
        model.test_on_batch,
        lambda x, y: model.fit(rows(N, 4), np.zeros(N), validation_data=(x, y), verbose=0),
    ]


# ---- x ---------------------------------------------------------------------------------------------


X = rows(N, 4)
BAD_X = [
    (rows(N, 5), ValueError, ["x has shape (12, 5)", "(n, 4)"]),
    (rows(N, 3), ValueError, ["x has shape (12, 3)", "(n, 4)"]),
    (np.ones((N, 2, 2)), ValueError, ["x has shape (12, 2, 2)", "(n, 4)", "x.reshape(len(x), 4)"]),
    (np.ones(4), ValueError, ["x has shape (4,)", "(n, 4)", "x[None]"]),
    (np.ones(N), ValueError, ["x has shape (12,)", "(n, 4)"]),
    (3.0, ValueError, ["x is a single number"]),
    (np.array(3), ValueError, ["x is a single number"]),
    (None, TypeError, ["x is missing"]),
    (np.ones((0, 4)), ValueError, ["x is empty"]),
    ([], ValueError, ["x is empty"]),
    ([[1, 2, 3, 4], [1, 2, 3]], ValueError, ["x cannot be made into an array"]),
    (np.full((N, 4), "a"), TypeError, ["x has dtype <U1", "numbers"]),
    ([["1", "2", "3", "4"]] * N, TypeError, ["x has dtype <U1"]),
    (np.full((N, 4), 1.0, object), TypeError, ["x has dtype object"]),
    ([[None] * 4] * N, TypeError, ["x has dtype object"]),
    (X * 1j, TypeError, ["x has dtype complex128"]),
    (np.full((N, 4), "2020-01-01", "datetime64[D]"), TypeError, ["x has dtype datetime64[D]"]),
    (np.zeros((N, 4), [("a", "f4")]), TypeError, ["x has dtype"]),
    (
        pd.DataFrame({"a": [1.0] * N, "b": ["x"] * N, "c": pd.array([1] * N, "Int64"), "d": pd.Timestamp("2024-01-01")}),
        TypeError,
        ["x has dtype object", "other things are in 'b' (", "), 'd' (datetime64", "TableEncoder"],
    ),
    (pd.DataFrame({name: ["x"] * N for name in "abcd"}).set_axis(["a", "b", "b", "b"], axis=1), TypeError, ["in 'a' (", "'b', 'b'"]),
    (pd.DataFrame(X).astype("category").astype(str), TypeError, ["x has dtype"]),
    ({"x": X}, ValueError, ["x has the keys ['x']", "['input']"]),
    ({}, ValueError, ["x has the keys []"]),
    ([X, X], ValueError, ["x has shape (2, 12, 4)"]),
    (np.ma.masked_greater(X, 0), TypeError, ["x has masked elements"]),
]  # fmt: skip


@pytest.mark.parametrize("x, error, words", BAD_X, ids=names(BAD_X))
def test_bad_x(x, error, words):
    model = regressor()
    for call in [*all_calls(model), lambda x, y: model.predict(x), lambda x, y: model.forward(x)]:
        with rejects(model, error, *words):
            call(x, np.zeros(N))


def test_an_iterator_has_its_own_y():
    model, y = regressor(), np.zeros(N)
    fit, fit_in_order, evaluate, train_on_batch, test_on_batch, validate = all_calls(model)
    for call in (fit, fit_in_order, evaluate, test_on_batch, validate):
        with rejects(model, ValueError, "x is an iterator, which has its own y"):
            call(iter(X), y)
    with rejects(model, ValueError, "x is a generator, which has its own y"):
        fit((row for row in X), y)
    for call in (train_on_batch, lambda x, y: model.forward(x)):  # these take one batch
        with rejects(model, TypeError, "x is no array but an object of type", "expected an array, or a list of rows"):
            call(iter(X), y)
    with rejects(model, ValueError, "iterator does not say where it ends", "steps"):
        model.predict(iter(X))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 7, N - 1])
def test_x_that_is_not_finite(value, row, dtype):
    model = regressor()
    x = X.astype(dtype)
    x[row, 2] = x[N - 1, 1] = value
    for call in all_calls(model):
        with rejects(model, ValueError, f"x holds {value} in row {row}", "check_finite=False"):
            call(x, np.zeros(N))
    with rejects(model, ValueError, f"in row {row}"):
        model.predict(x, check_finite=True)
    others = np.delete(np.arange(N), [row, N - 1])
    assert np.array_equal(model.predict(x)[others], model.predict(x[others])), "rows do not touch each other"


def test_the_search_for_nan_can_be_switched_off():
    model = regressor()
    x = replaced(X, 3, np.nan)
    with rejects(model, FloatingPointError, "nan", "step 1"):
        model.fit(x, np.zeros(N), check_finite=False, verbose=0)
    with rejects(model, FloatingPointError, "nan", "step 1"):
        model.train_on_batch(x, np.zeros(N), check_finite=False)
    assert np.isnan(model.evaluate(x, np.zeros(N), check_finite=False))
    assert np.isnan(model.evaluate(X, replaced(np.zeros(N), 3, np.nan), check_finite=False))


# ---- y ---------------------------------------------------------------------------------------------


BAD_Y = [
    (np.zeros(N - 1), ValueError, ["x has 12 rows, y has 11"]),
    (np.zeros((N + 1, 1)), ValueError, ["x has 12 rows, y has 13"]),
    (np.zeros((N, 2)), ValueError, ["y has shape (12, 2)", "(n, 1)"]),
    (np.zeros((N, 1, 2)), ValueError, ["y has shape (12, 1, 2)"]),
    (5.0, ValueError, ["y is a single number"]),
    (np.zeros(0), ValueError, ["y is empty"]),
    (None, ValueError, ["y is missing"]),
    (["a"] * N, TypeError, ["y has dtype <U1"]),
    ([None] * N, TypeError, ["y has dtype object"]),
    ([[1], [2, 3]] * 6, ValueError, ["y cannot be made into an array"]),
    (pd.Series(["a"] * N), TypeError, ["y has dtype"]),
    ({"output": np.zeros(N)}, ValueError, ["y has the keys ['output']", "['dense_1']"]),
    (replaced(np.zeros(N), 5, np.nan), ValueError, ["y holds nan in row 5", "check_finite=False"]),
    (replaced(np.zeros((N, 1)), 11, -np.inf), ValueError, ["y holds -inf in row 11"]),
]  # fmt: skip


@pytest.mark.parametrize("y, error, words", BAD_Y, ids=names(BAD_Y))
def test_bad_y(y, error, words):
    model = regressor()
    for call in all_calls(model):
        with rejects(model, error, *words):
            call(X, y)


LABELS = classes(N, 3)
BAD_LABELS = [
    (replaced(LABELS, 4, 3), ValueError, ["y: label 3 in row 4", "from 0 to 2"]),
    (replaced(LABELS, 0, -1), ValueError, ["y: label -1 in row 0", "from 0 to 2"]),
    (replaced(LABELS.astype(np.uint8), 9, 255), ValueError, ["y: label 255 in row 9"]),
    (replaced(LABELS.astype(np.int32), 9, -(2**31)), ValueError, ["y: label -2.14748e+09 in row 9"]),
    (replaced(LABELS, 9, 2**62), ValueError, ["y: label", "row 9"]),
    (replaced(LABELS * 1.0, 2, 0.5), ValueError, ["y: label 0.5 in row 2"]),
    (replaced(LABELS * 1.0, 2, np.nan), ValueError, ["y holds nan in row 2"]),
    (replaced(LABELS[:, None], 2, 7), ValueError, ["y: label 7 in row 2"]),
    (np.eye(3)[LABELS], ValueError, ["y has shape (12, 3)", "class number", "CategoricalCrossentropy"]),
    (np.zeros((N, 2)), ValueError, ["y has shape (12, 2)"]),
    (LABELS[:-2], ValueError, ["x has 12 rows, y has 10"]),
]  # fmt: skip


@pytest.mark.parametrize("y, error, words", BAD_LABELS, ids=names(BAD_LABELS))
def test_bad_labels(y, error, words):
    model = classifier()
    for call in all_calls(model)[:-1]:
        with rejects(model, error, *words):
            call(X, y)
    with rejects(model, error, *words):
        model.fit(X, LABELS, validation_data=(X, y), verbose=0)


def test_labels_are_checked_even_without_the_search_for_nan():
    model = classifier()
    for value in (np.nan, 3, -1):
        with rejects(model, ValueError, "y: label", "row 2"):
            model.fit(X, replaced(LABELS * 1.0, 2, value), check_finite=False, verbose=0)


def test_one_hot_targets_that_are_labels():
    model = classifier("categorical_crossentropy")
    for y in (LABELS, LABELS[:, None]):
        with rejects(model, ValueError, "one-hot rows (n, 3)", "SparseCategoricalCrossentropy"):
            model.fit(X, y, verbose=0)


# ---- weights ----------------------------------------------------------------------------------------


BAD_WEIGHTS = [
    ({"sample_weight": np.ones(N - 1)}, ValueError, ["sample_weight has shape (11,)", "(12,)"]),
    ({"sample_weight": np.ones((N, 2))}, ValueError, ["sample_weight has shape (12, 2)"]),
    ({"sample_weight": 2.0}, ValueError, ["sample_weight is a single number"]),
    ({"sample_weight": replaced(np.ones(N), 3, np.inf)}, ValueError, ["sample_weight is inf in row 3", "must be finite"]),
    ({"sample_weight": replaced(np.ones(N), 4, np.nan)}, ValueError, ["sample_weight is nan in row 4"]),
    ({"sample_weight": replaced(np.ones(N), 4, np.inf)}, ValueError, ["sample_weight is inf in row 4"]),
    ({"sample_weight": ["a"] * N}, TypeError, ["sample_weight has dtype"]),
    ({"sample_weight": [[1], [1, 2]]}, ValueError, ["sample_weight cannot be made"]),
    ({"class_weight": {"0": 1.0, "1": 1.0}}, TypeError, ["class_weight must have class numbers as its keys", "'0'"]),
    ({"class_weight": [1, 1, 1]}, TypeError, ["class_weight must be a dictionary"]),
    ({"class_weight": {0: 1, 1: -1, 2: 1}}, ValueError, ["class_weight must be finite and not negative"]),
    ({"class_weight": {0: 1, 1: np.nan, 2: 1}}, ValueError, ["class_weight must be finite"]),
    ({"class_weight": {0: 1, 1: "a", 2: 1}}, TypeError, ["class_weight", "'a'"]),
]  # fmt: skip


@pytest.mark.parametrize("weights, error, words", BAD_WEIGHTS, ids=names(BAD_WEIGHTS))
def test_bad_weights(weights, error, words):
    model = classifier()
    for call in (model.fit, model.train_on_batch):
        with rejects(model, error, *words):
            call(X, LABELS, **weights)
    if "sample_weight" in weights:
        with rejects(model, error, *words):
            model.evaluate(X, LABELS, **weights)


def test_class_weight_needs_classes():
    model = fn.Sequential([fn.Input((4,)), fn.layers.Reshape((2, 2)), fn.layers.Dense(3)], dtype="float64")
    model.compile("sgd", "mse")
    with rejects(model, ValueError, "class_weight needs targets that are one class for each row"):
        model.fit(X, np.zeros((N, 2, 3)), class_weight={0: 1}, verbose=0)


# ---- arguments ----------------------------------------------------------------------------------------


BAD_ARGUMENTS = [
    ({"batch_size": 0}, ValueError, ["batch_size must be a positive integer, got 0"]),
    ({"batch_size": -5}, ValueError, ["batch_size", "-5"]),
    ({"batch_size": 2.5}, TypeError, ["batch_size", "2.5"]),
    ({"batch_size": "32"}, TypeError, ["batch_size", "'32'"]),
    ({"batch_size": True}, TypeError, ["batch_size", "True"]),
    ({"epochs": 0}, ValueError, ["epochs", "0"]),
    ({"epochs": -1}, ValueError, ["epochs", "-1"]),
    ({"epochs": 1.5}, TypeError, ["epochs", "1.5"]),
    ({"initial_epoch": -1}, ValueError, ["initial_epoch", "-1"]),
    ({"initial_epoch": 2}, ValueError, ["initial_epoch", "epochs=1"]),
    ({"initial_epoch": 0.5}, ValueError, ["initial_epoch", "0.5"]),
    ({"validation_split": 1.0}, ValueError, ["validation_split", "1.0"]),
    ({"validation_split": -0.1}, ValueError, ["validation_split", "-0.1"]),
    ({"validation_split": np.nan}, ValueError, ["validation_split", "nan"]),
    ({"validation_split": "0.1"}, ValueError, ["validation_split", "'0.1'"]),
    ({"validation_split": 0.99}, ValueError, ["validation_split=0.99 of 12 rows"]),
    ({"validation_data": X}, ValueError, ["validation_data must be (x, y)"]),
    ({"validation_data": (X,)}, ValueError, ["validation_data must be (x, y)"]),
    ({"validation_data": (X, np.zeros(N), None, None)}, ValueError, ["validation_data must be (x, y)"]),
    ({"validation_data": (X, np.zeros(N), np.full(N, np.inf))}, ValueError, ["sample_weight is inf in row 0"]),
    ({"validation_data": (X, np.zeros(3))}, ValueError, ["x has 12 rows, y has 3"]),
    ({"validation_batch_size": 0, "validation_split": 0.5}, ValueError, ["validation_batch_size", "0"]),
    ({"validation_freq": 0, "validation_split": 0.5}, ValueError, ["validation_freq", "0"]),
    ({"callbacks": "stop"}, TypeError, ["callbacks"]),
    ({"verbose": 7}, ValueError, ["verbose", "7"]),
    ({"frobnicate": 1}, TypeError, ["frobnicate"]),
]  # fmt: skip


@pytest.mark.parametrize("arguments, error, words", BAD_ARGUMENTS, ids=names(BAD_ARGUMENTS))
def test_bad_arguments_of_fit(arguments, error, words):
    model = regressor()
    history = model.history
    with rejects(model, error, *words):
        model.fit(X, np.zeros(N), **{"verbose": 0, **arguments})
    assert model.history is history


@pytest.mark.parametrize("size", [0, -1, 1.5, "a"])
def test_bad_batch_size_of_evaluate_and_predict(size):
    model = regressor()
    for call in (lambda: model.evaluate(X, np.zeros(N), batch_size=size), lambda: model.predict(X, batch_size=size)):
        with rejects(model, (TypeError, ValueError), "batch_size", repr(size)):
            call()


# ---- compile --------------------------------------------------------------------------------------------


BAD_COMPILE = [
    ({"optimizer": "adm"}, ValueError, ["unknown optimizer 'adm'", "did you mean 'adam'"]),
    ({"optimizer": "sdg"}, ValueError, ["unknown optimizer 'sdg'", "'sgd'"]),
    ({"optimizer": 0.01}, TypeError, ["optimizer", "0.01"]),
    ({"optimizer": None}, TypeError, ["optimizer", "None"]),
    ({"loss": "mean_square_error"}, ValueError, ["unknown loss", "'mean_squared_error'"]),
    ({"loss": "cross_entropy"}, ValueError, ["unknown loss 'cross_entropy'", "Known: "]),
    ({"loss": 3}, TypeError, ["loss", "3"]),
    ({"loss": []}, ValueError, ["loss", "got 0"]),
    ({"loss": "sparse_categorical_crossentropy"}, ValueError, ["'dense_1'", "(None, 1)", "binary_crossentropy"]),
    ({"loss": "categorical_crossentropy"}, ValueError, ["'dense_1'", "(None, 1)", "at least 2"]),
    ({"loss": fn.losses.Huber(delta=-1)}, ValueError, ["delta", "-1"]),
    ({"metrics": ["acuracy"]}, ValueError, ["unknown metric 'acuracy'", "'accuracy'"]),
    ({"metrics": "auk"}, ValueError, ["unknown metric 'auk'"]),
    ({"metrics": [3]}, TypeError, ["metric", "3"]),
    ({"metrics": {"other": "mse"}}, ValueError, ["metrics", "'other'", "'dense_1'"]),
    ({"loss_weights": "a"}, TypeError, ["loss_weights", "'a'"]),
    ({"loss_weights": [-1]}, ValueError, ["loss_weights", "-1"]),
    ({"n_threads": 0}, ValueError, ["n_threads", "0"]),
    ({"n_threads": -2}, ValueError, ["n_threads", "-2"]),
    ({"n_threads": 10**12}, ValueError, ["n_threads", "1024"]),
    ({"n_threads": 1.5}, TypeError, ["n_threads", "1.5"]),
]  # fmt: skip


@pytest.mark.parametrize("arguments, error, words", BAD_COMPILE, ids=names(BAD_COMPILE))
def test_bad_arguments_of_compile(arguments, error, words):
    model = regressor()
    optimizer = model.optimizer
    with rejects(model, error, *words):
        model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    assert model.optimizer is optimizer
    model.fit(X, np.zeros(N), verbose=0)  # as it was compiled before


def test_names_are_checked_before_the_shapes_are_known():
    model = fn.Sequential([fn.layers.Dense(1)])
    for options, word in [
        ({"loss": "mes"}, "loss"),
        ({"loss": ["mes"]}, "loss"),
        ({"loss": {"a": "mes"}}, "loss"),
        ({"loss": "mse", "metrics": ["acuracy"]}, "metric"),
        ({"loss": "mse", "metrics": {"a": [["acuracy"]]}}, "metric"),
    ]:
        with pytest.raises(ValueError, match=f"unknown {word}"):
            model.compile("sgd", **options)


@pytest.mark.parametrize("make, error, words", [
    (lambda: fn.optimizers.SGD(-0.1), ValueError, ["SGD", "learning_rate", "-0.1"]),
    (lambda: fn.optimizers.SGD(np.nan), ValueError, ["SGD", "learning_rate", "nan"]),
    (lambda: fn.optimizers.Adam(np.inf), ValueError, ["Adam", "learning_rate", "inf"]),
    (lambda: fn.optimizers.Adam("fast"), TypeError, ["Adam", "learning_rate", "'fast'"]),
    (lambda: fn.optimizers.Adam(None), TypeError, ["Adam", "learning_rate", "None"]),
    (lambda: fn.optimizers.SGD(momentum=1.0), ValueError, ["SGD", "momentum", "1.0"]),
    (lambda: fn.optimizers.SGD(momentum=-0.1), ValueError, ["SGD", "momentum"]),
    (lambda: fn.optimizers.Adam(beta_1=1), ValueError, ["Adam", "beta_1", "1"]),
    (lambda: fn.optimizers.Adam(beta_2=-1), ValueError, ["Adam", "beta_2", "-1"]),
    (lambda: fn.optimizers.Adam(epsilon=-1e-9), ValueError, ["Adam", "epsilon"]),
    (lambda: fn.optimizers.Adam(frobnicate=1), TypeError, ["frobnicate"]),
])  # fmt: skip
def test_bad_arguments_of_optimizers(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize("rate, error, words", [
    (lambda step: -1.0, ValueError, ["learning_rate of step 0 is -1.0"]),
    (lambda step: np.nan, ValueError, ["learning_rate of step 0 is nan"]),
    (lambda step: "a", TypeError, ["learning_rate of step 0", "'a'"]),
    (lambda step: None, TypeError, ["learning_rate of step 0", "None"]),
    (lambda step: 0.1 if step < 2 else np.inf, ValueError, ["learning_rate of step 2 is inf"]),
    (lambda: 0.1, TypeError, []),
    (lambda step: 1 / step, ZeroDivisionError, []),
])  # fmt: skip
def test_learning_rates_that_are_none(rate, error, words):
    model = regression(5, 1, optimizer=fn.optimizers.SGD(rate))
    with rejects(model, error, *words):
        model.fit(X, np.zeros(N), batch_size=4, verbose=0)


def test_learning_rates_set_later_are_checked_too():
    model = regressor()
    model.train_on_batch(X, np.zeros(N))
    before = model.optimizer.learning_rate
    for rate in (-1.0, np.nan, "a"):
        for call in (model.fit, model.train_on_batch):
            model.optimizer.learning_rate = rate
            with rejects(model, (ValueError, TypeError), "learning_rate"):
                call(X, np.zeros(N))
    model.optimizer.learning_rate = before
    model.fit(X, np.zeros(N), verbose=0)


# ---- order ------------------------------------------------------------------------------------------------


def test_use_before_compile():
    model = network(5, 1)
    before = model.get_weights()
    for call in (
        lambda: model.fit(X, np.zeros(N)),
        lambda: model.evaluate(X, np.zeros(N)),
        lambda: model.train_on_batch(X, np.zeros(N)),
        lambda: model.test_on_batch(X, np.zeros(N)),
        lambda: model.optimizer,
    ):
        with pytest.raises(RuntimeError, match="model 'sequential' must be compiled first: model.compile"):
            call()
    assert same_weights(before, model) and model.predict(X).shape == (N, 1)


# ---- divergence ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, rate", [("float32", 1e6), ("float64", 1e40)])
@pytest.mark.parametrize("optimizer", [lambda rate: fn.optimizers.SGD(rate), lambda rate: fn.optimizers.SGD(rate, 0.9)])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_loss_that_diverges_stops_before_the_step(dtype, rate, optimizer, n_threads):
    """The weights are, bit by bit, those of a run that ended one step earlier."""
    x, y = rows(40, 4), rows(40, 1)
    model, shorter = (
        regression(6, 1, activation=None, optimizer=optimizer(rate), dtype=dtype, n_threads=n_threads) for _ in range(2)
    )
    with pytest.raises(FloatingPointError, match="the loss became (nan|inf|-inf) at step") as caught:
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, epochs=100)
    step = model.optimizer.iterations
    assert f"at step {step};" in str(caught.value) and step > 0
    for start in range(step):
        at = start * 4 % 40
        shorter.train_on_batch(x[at : at + 4], y[at : at + 4])
    assert same_weights(model, shorter)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.filterwarnings("ignore:targets too large")
def test_targets_that_overflow_float32():
    model = regression(5, 1, dtype="float32")
    with rejects(model, FloatingPointError, "the loss became inf at step 0"):
        model.fit(X, np.full(N, 1e30), verbose=0)
    model.fit(X, np.zeros(N), verbose=0)


def test_after_a_divergence_training_goes_on_with_a_smaller_rate():
    model = regression(6, 1, activation=None, optimizer=fn.optimizers.SGD(1e10))
    with pytest.raises(FloatingPointError):
        model.fit(X, np.ones(N), epochs=100, verbose=0)
    model.set_weights(network(6, 1).get_weights())
    model.optimizer.learning_rate = 0.01
    before = state(model)
    history = model.fit(X, np.ones(N), epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and state(model) != before
