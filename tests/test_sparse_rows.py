"""Models of sparse matrices: dense layers compute with the non-zeros, and give what they give of arrays."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from networks import rejects

import fastnet as fn
from fastnet import layers

COLUMNS = 90


def matrix(n=70, columns=COLUMNS, density=0.06, kind="csr", dtype=np.float64, seed=0):
    """With a row of zeros, and rows of different lengths."""
    random = np.random.default_rng(seed)
    found = scipy.sparse.random(n, columns, density, "lil", random_state=seed, dtype=np.float64)
    found[3] = 0
    found[5, :9] = random.normal(size=9)
    return found.astype(dtype).asformat(kind)


def targets(n=70, classes=3):
    return np.random.default_rng(1).integers(0, classes, n)


def classifier(first=None, optimizer="adam", dtype="float64", n_threads=None, **options):
    first = layers.Dense(11, "tanh") if first is None else first
    model = fn.Sequential([fn.Input((COLUMNS,)), *np.ravel(first), layers.Dense(3)], seed=0, dtype=dtype)
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], n_threads=n_threads, **options)
    return model


def is_sparse(model):
    """Whether the plan that was used last computes with non-zeros."""
    return any(label.startswith("sparse dense") for label in model._latest_plan().stage_labels())


def assert_alike(found, expected, rtol=1e-9):
    for a, b in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
def test_all_is_as_of_arrays(kind, dtype):
    x, y, held = matrix(kind=kind, dtype=dtype), targets(), matrix(30, seed=4, dtype=dtype)
    weights = np.random.default_rng(2).uniform(0.5, 2, 70)
    options = {"batch_size": 16, "epochs": 3, "verbose": 0, "sample_weight": weights, "class_weight": {0: 2.0, 2: 0.5}}
    found, expected = classifier(), classifier()
    logs = found.fit(x, y, validation_data=(held, targets(30)), **options)
    assert is_sparse(found)
    arrays = expected.fit(x.toarray(), y, validation_data=(held.toarray(), targets(30)), **options)
    assert not is_sparse(expected)
    assert_alike(found, expected)
    for name, values in arrays.history.items():
        if name != "seconds":
            np.testing.assert_allclose(logs.history[name], values, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(found.evaluate(x, y), expected.evaluate(x.toarray(), y), rtol=1e-9)
    assert is_sparse(found)
    np.testing.assert_allclose(found.predict(x), expected.predict(x.toarray()), rtol=1e-7, atol=1e-9)
    assert is_sparse(found)


def test_one_step_in_numpy(isa, dtype):
    """Of plain descent: w - rate * gradient, of a mean of squares."""
    x, y = matrix(), np.random.default_rng(1).normal(size=(70, 3))
    model = fn.Sequential([fn.Input((COLUMNS,)), layers.Dense(5, "relu"), layers.Dense(3)], seed=0, dtype=dtype)
    model.compile(fn.optimizers.SGD(0.1), "mse")
    kernel, bias, last, offset = (array.astype(np.float64) for array in model.get_weights())
    rows = x.toarray()
    z = rows @ kernel + bias
    h = np.maximum(z, 0)
    d_y = 2 * (h @ last + offset - y) / y.size
    d_z = d_y @ last.T * (z > 0)
    expected = [kernel - 0.1 * rows.T @ d_z, bias - 0.1 * d_z.sum(0), last - 0.1 * h.T @ d_y, offset - 0.1 * d_y.sum(0)]
    model.fit(x, y, batch_size=70, verbose=0)
    assert is_sparse(model)
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    for found, array in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, array, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("activation", ["linear", "relu", "gelu", "softmax"])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adamw", "lamb"])
def test_activations_and_optimizers(activation, optimizer):
    x, y = matrix(), targets()
    first = lambda: layers.Dense(
        7, activation, kernel_regularizer="l2", activity_regularizer=fn.regularizers.L1(1e-3), kernel_constraint="max_norm"
    )
    found, expected = classifier(first(), optimizer), classifier(first(), optimizer)
    found.fit(x, y, batch_size=16, epochs=2, verbose=0)
    expected.fit(x.toarray(), y, batch_size=16, epochs=2, verbose=0)
    assert is_sparse(found)
    assert_alike(found, expected, 1e-8)


def test_the_same_bits_for_any_number_of_threads(dtype):
    x, y = matrix(500, seed=3), targets(500)
    trained = []
    for n_threads in (1, 2, 3):
        model = classifier(layers.Dense(130, "relu"), dtype=dtype, n_threads=n_threads)
        model.fit(x, y, batch_size=100, epochs=2, verbose=0)
        trained.append([*model.get_weights(), model.predict(x), model.evaluate(x, y)])
    for others in trained[1:]:
        for a, b in zip(trained[0], others, strict=True):
            assert np.array_equal(a, b)


def test_accumulated_gradients_and_averages():
    x, y = matrix(), targets()
    make = lambda: classifier(optimizer=fn.optimizers.Adam(0.01, gradient_accumulation_steps=2, use_ema=True))
    found, expected = make(), make()
    found.fit(x, y, batch_size=16, epochs=2, verbose=0)  # five batches: one waits for another
    expected.fit(x.toarray(), y, batch_size=16, epochs=2, verbose=0)
    assert_alike(found, expected)
    np.testing.assert_allclose(found.predict(x), expected.predict(x.toarray()), rtol=1e-9)


def test_lazily_only_rows_of_the_batch_are_updated():
    x, y = matrix(), targets()
    model = classifier(optimizer=fn.optimizers.Adam(0.01, lazy=True))
    model.fit(x, y, batch_size=16, verbose=0)  # moments of all that is used
    before = model.layers[0].kernel.copy()
    part = x[:4]
    model.fit(part, y[:4], batch_size=4, verbose=0)
    used = np.asarray((part != 0).sum(axis=0)).ravel() > 0
    assert 0 < used.sum() < COLUMNS
    assert np.array_equal((model.layers[0].kernel != before).any(axis=1), used)


def wide_and_deep(rows):
    return layers.Add()([layers.Dense(1)(rows), layers.Dense(1)(layers.Dense(6, "relu")(rows))])


def one_layer_twice(rows):
    layer = layers.Dense(4)
    return layers.Multiply()([layer(rows), layers.Activation("tanh")(layer(rows))])


@pytest.mark.parametrize(("branches", "outputs"), [(wide_and_deep, 1), (one_layer_twice, 4)])
def test_rows_are_read_more_than_once(branches, outputs):
    x, y = matrix(), np.random.default_rng(1).normal(size=(70, outputs))

    def model():
        rows = fn.Input((COLUMNS,))
        made = fn.Model(rows, branches(rows), seed=0, dtype="float64")
        made.compile("adam", "mse")
        return made

    found, expected = model(), model()
    found.fit(x, y, batch_size=16, epochs=2, verbose=0)
    expected.fit(x.toarray(), y, batch_size=16, epochs=2, verbose=0)
    assert is_sparse(found)
    assert_alike(found, expected)


def _scalings():
    sizes = np.random.default_rng(5).uniform(0.5, 3, COLUMNS)
    adapted = layers.MinMaxScaling()
    adapted.adapt(np.stack([np.zeros(COLUMNS), sizes]))
    return {
        "deviation": [layers.Normalization(mean=0.0, variance=4.0)],
        "deviations": [layers.Normalization(mean=np.zeros(COLUMNS), variance=sizes**2)],
        "inverted": [layers.Normalization(mean=0.0, variance=sizes, invert=True)],
        "factor": [layers.Rescaling(1 / 255)],
        "largest": [adapted],
        "two": [layers.Rescaling(2.0), layers.Normalization(mean=np.zeros(COLUMNS), variance=sizes)],
    }


@pytest.mark.parametrize("name", _scalings())
def test_scalings_that_keep_zeros(name, dtype):
    x, y = matrix(), targets()
    make = lambda: classifier([*_scalings()[name], layers.Dense(11, "tanh")], dtype=dtype)
    found, expected = make(), make()
    found.fit(x, y, batch_size=16, epochs=2, verbose=0, validation_data=(x, y))
    assert is_sparse(found)
    expected.fit(x.toarray(), y, batch_size=16, epochs=2, verbose=0)
    assert_alike(found, expected, 1e-9 if dtype == "float64" else 2e-5)
    assert found.evaluate(x, y) == pytest.approx(expected.evaluate(x.toarray(), y), rel=1e-5)
    assert is_sparse(found)
    np.testing.assert_allclose(found.predict(x[:5]), found.predict(x[:5].toarray()), rtol=1e-5, atol=1e-6)


def test_what_is_scaled_is_read_twice():
    x, y = matrix(), np.random.default_rng(1).normal(size=(70, 1))

    def model():
        rows = fn.Input((COLUMNS,))
        scaled = layers.Normalization(mean=0.0, variance=4.0)(rows)
        made = fn.Model(rows, layers.Add()([layers.Dense(1)(scaled), layers.Dense(1)(layers.Dense(6, "relu")(scaled))]), seed=0)
        made.compile("adam", "mse")
        return made

    found, expected = model(), model()
    found.fit(x, y, batch_size=16, verbose=0)
    assert is_sparse(found)
    expected.fit(x.toarray(), y, batch_size=16, verbose=0)
    assert_alike(found, expected, 2e-5)


def test_a_scaling_that_knows_nothing_yet():
    model = fn.Sequential([layers.Normalization(), layers.Dense(3)], seed=0)
    model.compile("adam", "mse")
    with pytest.raises(RuntimeError, match="adapt"):
        model.fit(matrix(), np.zeros((70, 3)), verbose=0)
    assert not model.built


def test_zeros_that_begin_to_move():
    class Adapts(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.layers[0].adapt(matrix().toarray())

    model = classifier([layers.Normalization(mean=np.zeros(COLUMNS), variance=np.ones(COLUMNS)), layers.Dense(4)])
    with pytest.raises(RuntimeError, match="moves its zeros"):
        model.fit(matrix(), targets(), verbose=0, epochs=2, callbacks=[Adapts()])
    before = model.get_weights()
    model.fit(matrix(), targets(), verbose=0)
    assert not is_sparse(model)
    assert not all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def _reads_otherwise():
    return {
        "normalization": [layers.Normalization(mean=0.1, variance=2.0), layers.Dense(4)],
        "dropout": [layers.Dropout(0.5), layers.Dense(4)],
        "reshape": [layers.Reshape((COLUMNS, 1)), layers.Conv1D(2, 3), layers.Flatten()],
        "dense of steps": [layers.Reshape((COLUMNS // 2, 2)), layers.Dense(4), layers.Flatten()],
        "add": [layers.Activation("relu"), layers.Dense(4)],
    }


@pytest.mark.parametrize("name", _reads_otherwise())
def test_what_no_dense_layer_reads_is_made_dense(name):
    x, y = matrix(), targets()
    found, expected = classifier(_reads_otherwise()[name]), classifier(_reads_otherwise()[name])
    found.fit(x, y, batch_size=16, verbose=0)
    expected.fit(x.toarray(), y, batch_size=16, verbose=0)
    assert not is_sparse(found)
    assert all(np.array_equal(a, b) for a, b in zip(found.get_weights(), expected.get_weights(), strict=True))
    assert np.array_equal(found.predict(x), expected.predict(x.toarray()))


def test_mixed_rows_and_losses_in_python_are_dense():
    x, y = matrix(), np.eye(3)[targets()]

    def fitted(rows, loss, **options):
        model = fn.Sequential([fn.Input((COLUMNS,)), layers.Dense(4), layers.Dense(3, "softmax")], seed=0, dtype="float64")
        model.compile("adam", loss)
        model.fit(rows, y, batch_size=16, verbose=0, **options)
        return model

    def arrays(y_true, y_pred):
        return float(np.mean((y_true - y_pred) ** 2)), 2 * (y_pred - y_true) / y_pred.size

    for loss, options in (("categorical_crossentropy", {"mixup": 0.4}), (arrays, {})):
        found, expected = fitted(x, loss, **options), fitted(x.toarray(), loss, **options)
        assert not is_sparse(found)
        assert_alike(found, expected)
        found.predict(x)
        assert is_sparse(found)


def test_full_matrices_are_made_dense():
    x, y = matrix(density=0.4), targets()
    found, expected = classifier(), classifier()
    found.fit(x, y, batch_size=16, verbose=0)
    expected.fit(x.toarray(), y, batch_size=16, verbose=0)
    assert not is_sparse(found)
    assert all(np.array_equal(a, b) for a, b in zip(found.get_weights(), expected.get_weights(), strict=True))


def test_matrices_that_are_not_canonical():
    """Numbers of the same place are added up, columns come in any order, and zeros may be written down."""
    x = scipy.sparse.csr_array(
        (np.array([1.0, 2.0, 0.5, 0.0, 3.0]), np.array([7, 2, 7, 5, 89]), np.array([0, 3, 3, 5])), shape=(3, COLUMNS)
    )
    model = classifier()
    np.testing.assert_allclose(model.predict(x), model.predict(x.toarray()), rtol=1e-12)
    assert x.toarray()[0, 7] == 1.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none(bad):
    x, y = matrix(), targets()
    x.data[x.indptr[40] : x.indptr[41]] = bad
    model = classifier()
    with pytest.raises(ValueError) as of_arrays:
        model.fit(x.toarray(), y, verbose=0, shuffle=False)
    with rejects(model, ValueError, str(of_arrays.value).split(";")[0]):
        model.fit(x, y, verbose=0, shuffle=False, batch_size=70)
    with pytest.raises(FloatingPointError):
        model.fit(x, y, verbose=0, check_finite=False)


def test_a_gradient_that_overflows_changes_nothing():
    """Where the loss, and all that is passed back to the layer, are finite."""
    x, y = matrix(dtype=np.float32) * np.float32(1e30), np.ones((70, 3))
    model = fn.Sequential([fn.Input((COLUMNS,)), layers.Dense(300, kernel_initializer="zeros"), layers.Dense(3)], seed=0)
    model.compile("sgd", "mae")
    model.layers[1].kernel[...] = 1e20
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match="gradient"):
        model.fit(x, y, batch_size=70, verbose=0)
    assert is_sparse(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_another_number_of_columns():
    model = classifier()
    with rejects(model, ValueError, "(70, 91)", "(n, 90)"):
        model.fit(matrix(columns=91), targets(), batch_size=70, verbose=0)


def test_a_model_learns_its_shape_of_a_matrix():
    model = fn.Sequential([layers.Dense(4, "relu"), layers.Dense(1)], seed=0)
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="rows"):
        model.fit(matrix(), np.zeros(69), verbose=0)
    with pytest.raises(ValueError, match="finite|nan|inf"):
        model.fit(matrix(), np.full(70, np.nan), verbose=0)
    assert not model.built
    model.fit(matrix(), np.zeros(70), verbose=0)
    assert is_sparse(model) and model.input_shape == (None, COLUMNS)


@pytest.mark.parametrize("units", [2, 40])
def test_memory_does_not_grow_with_the_columns(units):
    columns, n = 200_000 // units, 512
    x = scipy.sparse.random(n, columns, 10 / columns, "csr", random_state=0, dtype=np.float32)
    model = fn.Sequential([fn.Input((columns,)), layers.Dense(units), layers.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(x, np.zeros(n), batch_size=256, verbose=0)
    tracemalloc.start()
    try:
        model.fit(x, np.zeros(n), batch_size=256, verbose=0)
        model.predict(x)
        model.evaluate(x, np.zeros(n))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert is_sparse(model)
    assert peak < 2e6 < 256 * columns * 4  # of one dense batch


def test_it_goes_on_at_a_checkpoint(tmp_path):
    x, y, path = matrix(), targets(), tmp_path / "state.safetensors"
    whole, first, rest = classifier(), classifier(), classifier()
    whole.fit(x, y, batch_size=16, epochs=4, verbose=0)
    first.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[fn.callbacks.TrainingCheckpoint(path)])
    rest.fit(x, y, batch_size=16, epochs=4, verbose=0, resume_from=path, callbacks=[fn.callbacks.TrainingCheckpoint(path)])
    assert is_sparse(rest)
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), rest.get_weights(), strict=True))


def test_predictions_of_one_row_and_of_many():
    model, x = classifier(), matrix()
    expected = model.predict(x.toarray())
    np.testing.assert_allclose(model.predict(x[:1]), expected[:1], rtol=1e-9)
    np.testing.assert_allclose(model.predict(x, batch_size=13), expected, rtol=1e-9)
    np.testing.assert_allclose(model.predict(x, batch_size=13, steps=2), expected[:26], rtol=1e-9)
    np.testing.assert_allclose(model.predict(x[3:4]), expected[3:4], rtol=1e-9)  # of zeros alone


def test_steps_of_several_updates_make_the_rows_dense():
    fitted = []
    for rows in (matrix(), matrix().toarray()):
        model = fn.Sequential([fn.Input((COLUMNS,)), layers.Dense(4, "tanh")], seed=0, dtype="float64")
        step = fn.TrainStep(
            lambda x, model=model: {"size": (fn.ops.sum((model(x) - 1) ** 2, axis=1), model)},
            [(COLUMNS,)],
            seed=0,
            dtype="float64",
        )
        step.compile("adam")
        step.fit(rows, epochs=2, batch_size=16, verbose=0)
        fitted.append((model, step.evaluate(rows)))
    (found, value), (expected, of_arrays) = fitted
    assert all(np.array_equal(a, b) for a, b in zip(found.get_weights(), expected.get_weights(), strict=True))
    np.testing.assert_allclose(value, of_arrays, rtol=1e-12)
