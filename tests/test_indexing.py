"""fn.ops that depend on numbers: on arrays against NumPy, gradients against finite differences, in models, and what is refused."""

import numpy as np
import pytest
from exports import compile_model

import fastnet as fn
from fastnet import _core, ops

RANDOM = np.random.default_rng(0)


def shapes(n=12, lowest=1, largest=4):
    """Some shapes of one to three axes."""
    return [tuple(RANDOM.integers(lowest, largest + 1, RANDOM.integers(1, 4)).tolist()) for _ in range(n)]


def with_equal_ones(shape):
    """Whole numbers, of which many are equal, NaN and infinities among them."""
    x = RANDOM.integers(-3, 4, shape).astype(float)
    x[RANDOM.random(shape) < 0.1] = np.nan
    x[RANDOM.random(shape) < 0.1] = np.inf
    return x


def axes_of(x):
    return [None, *range(-x.ndim, x.ndim)]


# ---- on arrays, as NumPy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_extremes(name):
    for shape in shapes(6):
        x = with_equal_ones(shape)
        for axis in axes_of(x):
            for keepdims in (False, True):
                found = getattr(ops, name)(x, axis=axis, keepdims=keepdims)
                expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
                np.testing.assert_array_equal(found, expected, strict=False)
                assert np.shape(found) == np.shape(expected)


def test_orders():
    for shape in [*shapes(6), (300,), (40, 3)]:
        x = with_equal_ones(shape)
        for axis in axes_of(x):
            order = np.argsort(x, axis=axis, kind="stable")
            np.testing.assert_array_equal(ops.argsort(x, axis=axis), order)
            np.testing.assert_array_equal(ops.sort(x, axis=axis), np.sort(x, axis=axis))
        part = np.asarray(ops.argpartition(x, 0), int)
        np.testing.assert_array_equal(np.take_along_axis(x, part, -1)[..., 0], np.sort(x)[..., 0])


@pytest.mark.parametrize("size", [1, 5, 16, 17, 64, 200])
def test_top_k(size):
    x = with_equal_ones((3, size))
    order = np.argsort(np.where(np.isnan(x), -np.inf, -x) - np.isnan(x), axis=-1, kind="stable")  # NaN is the largest
    order = np.stack([np.r_[row[np.isnan(line[row])], row[~np.isnan(line[row])]] for row, line in zip(order, x)])
    for k in {1, min(2, size), min(17, size), size}:
        values, indices = ops.top_k(x, k)
        np.testing.assert_array_equal(indices, order[:, :k])
        np.testing.assert_array_equal(values, np.take_along_axis(x, order[:, :k], -1))


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scans(name, dtype):
    for shape in shapes(6):
        x = RANDOM.normal(size=shape).astype(dtype)
        x.flat[0] = np.nan
        for axis in axes_of(x):
            np.testing.assert_array_equal(getattr(ops, name)(x, axis=axis), getattr(np, name)(x, axis=axis))


def test_take():
    for shape in shapes(8):
        x = RANDOM.normal(size=shape)
        for axis in axes_of(x):
            size = x.size if axis is None else shape[axis]
            for index_shape in ((), (3,), (2, 2)):
                index = RANDOM.integers(-size, size, index_shape)
                for given in (index, index.tolist()):
                    found, expected = ops.take(x, given, axis=axis), np.take(x, index, axis=axis)
                    np.testing.assert_array_equal(found, expected)
                    assert np.shape(found) == expected.shape


def test_take_along_axis():
    for shape in shapes(8):
        x = RANDOM.normal(size=shape)
        for axis in range(-x.ndim, x.ndim):
            index_shape = [size if RANDOM.random() < 0.6 else 1 for size in shape]
            index_shape[axis] = 3
            index = RANDOM.integers(-shape[axis], shape[axis], index_shape)
            np.testing.assert_array_equal(ops.take_along_axis(x, index, axis=axis), np.take_along_axis(x, index, axis=axis))
    x, index = RANDOM.normal(size=(2, 3)), np.array([5, -1, 0])
    np.testing.assert_array_equal(ops.take_along_axis(x, index), np.take_along_axis(x, index, axis=None))


def test_one_hot():
    x = np.array([[0, 2], [1, -1], [5, 3]])
    expected = (x[..., None] == np.arange(4)) * 1.0  # -1 and 5 are no class numbers
    for axis in (-1, 0, 1, 2):
        np.testing.assert_array_equal(ops.one_hot(x, 4, axis=axis), np.moveaxis(expected, -1, axis))


def test_in_top_k():
    predictions = np.array(
        [[0.1, 0.4, 0.6, 0.9, 0.5], [0.1, 0.7, 0.9, 0.8, 0.3], [0.9, 0.6, 0.9, 0.9, 0.5], [1, 2, np.nan, 4, 5]]
    )
    assert ops.in_top_k(np.array([2, 4, 1, 2]), predictions, 3).tolist() == [1, 0, 0, 0]
    assert ops.in_top_k(np.array([3, 3, 0, 4]), predictions, 2).tolist() == [1, 1, 1, 1]


def test_counts():
    x = RANDOM.integers(0, 6, 20)
    weights = RANDOM.normal(size=20)
    np.testing.assert_array_equal(ops.bincount(x), np.bincount(x))
    np.testing.assert_array_equal(ops.bincount(x, minlength=9), np.bincount(x, minlength=9))
    np.testing.assert_allclose(ops.bincount(x, weights=weights), np.bincount(x, weights), rtol=1e-14)
    two = x.reshape(2, 10)
    np.testing.assert_array_equal(ops.bincount(two, minlength=6), [np.bincount(row, minlength=6) for row in two])
    edges, values = np.array([-1.0, 0.0, 0.0, 2.5]), np.array([[-2, -1, 0], [2.5, 9, np.nan]])
    for side in ("left", "right"):
        np.testing.assert_array_equal(ops.searchsorted(edges, values, side=side), np.searchsorted(edges, values, side))
    np.testing.assert_array_equal(ops.digitize(values, edges), np.digitize(values, edges))


def test_segments():
    """Ids out of range belong nowhere, and a NaN stays in its segment."""
    data = RANDOM.normal(size=(9, 2))
    data[4, 1] = np.nan
    ids = np.array([0, 3, 3, -1, 1, 1, 9, 0, 3])
    for name, reduce, start in (("segment_sum", np.sum, 0), ("segment_max", np.max, -np.inf)):
        expected = np.stack([reduce(data[ids == k], axis=0) if np.any(ids == k) else [start] * 2 for k in range(5)])
        np.testing.assert_allclose(getattr(ops, name)(data, ids, 5), expected, rtol=1e-14)
        assert getattr(ops, name)(data, ids).shape == (10, 2)
    grid, of_both = np.arange(6.0).reshape(2, 3), np.array([[0, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(ops.segment_sum(grid, of_both, 2), [0 + 2 + 5, 1 + 3 + 4])


@pytest.mark.parametrize("reduction", [None, "add", "max", "min", "mul"])
def test_scatter_update(reduction):
    at = {None: None, "add": np.add, "max": np.maximum, "min": np.minimum, "mul": np.multiply}[reduction]
    for shape, indices in [((5,), [[0], [4], [-1], [0], [0]]), ((3, 4), [[0, 1], [2, 3], [0, 1]]), ((3, 2, 2), [[2], [0], [2]])]:
        x, places = RANDOM.normal(size=shape), np.array(indices)
        updates = RANDOM.normal(size=(len(places), *shape[places.shape[1] :]))
        expected, columns = x.copy(), tuple(places.T)
        if at is None:
            expected[columns] = updates
        else:
            at.at(expected, columns, updates)
        np.testing.assert_allclose(ops.scatter_update(x, indices, updates, reduction), expected, rtol=1e-14)


# ---- gradients -------------------------------------------------------------------------------------------------

#: Functions of a sample of shape (3, 4).
FORMULAS = {
    "take": lambda x: ops.take(x, [[0, 2], [2, -1]], axis=1),
    "take an index": lambda x: ops.take(x, -2, axis=-1) ** 2,
    "take_along_axis": lambda x: ops.take_along_axis(x, np.array([[0, 0], [3, -1], [1, 1]]), axis=2),
    "computed indices": lambda x: x * ops.take_along_axis(x, ops.argmax(x, axis=-1, keepdims=True), axis=-1),
    "sort": lambda x: ops.sort(x, axis=1) * np.arange(1.0, 4)[:, None],
    "top_k": lambda x: ops.top_k(x, 2)[0] ** 2,
    "top_k of places": lambda x: ops.top_k(x, 2)[1] + 0 * ops.sum(x, axis=-1, keepdims=True),
    "cumsum": lambda x: ops.cumsum(x, axis=1) ** 2,
    "cumprod": lambda x: ops.cumprod(x, axis=-1),
    "one_hot": lambda x: ops.expand_dims(x, -1) * ops.expand_dims(ops.one_hot(ops.argmin(x, axis=1), 3), 1),
    "segment_sum": lambda x: ops.segment_sum(x, [0, 2, 0], 3, axis=1) ** 2,
    "segments of two axes": lambda x: ops.segment_sum(x, np.arange(12).reshape(3, 4) % 5, 5, axis=1) ** 2,
    "computed segments": lambda x: ops.segment_sum(x**2, ops.argmax(x, axis=-1), 4, axis=1),
    "segment_max": lambda x: ops.where(ops.isfinite(y := ops.segment_max(x, [1, 1, 3], 4, axis=1)), y, 0.0),
    "bincount": lambda x: ops.bincount(ops.argmax(x, axis=-1), weights=ops.sum(x, axis=-1), minlength=4),
    **{
        f"scatter_update {how}": lambda x, how=how: ops.scatter_update(
            x, [[0, 1], [2, 3], [0, 1]], ops.take(ops.reshape(x, (-1, 12)), [3, 4, 6], axis=1), how, batch_dims=1)
        for how in (None, "add", "max", "min", "mul")
    },
}  # fmt: skip


def gradient(formula, x, seed):
    inputs = fn.Input(x.shape[1:])
    model = fn.Model(inputs, fn.layers.Lambda(formula)(inputs), seed=0, dtype="float64")
    y = model.forward(x, training=True)
    return y, model.backward(seed(y.shape)), model


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients(name):
    """Against central differences, where no two numbers are near each other."""
    x = RANDOM.permutation(24).reshape(2, 3, 4) / 8 - 1.4
    weights = {}
    y, found, model = gradient(FORMULAS[name], x, lambda shape: weights.setdefault(shape, RANDOM.normal(size=shape)))
    seed, step = weights[y.shape], 1e-5
    expected = np.empty_like(x)
    for index in np.ndindex(x.shape):
        one = x.copy()
        one[index] += step
        other = x.copy()
        other[index] -= step
        expected[index] = np.sum(seed * (model.predict(one) - model.predict(other))) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8)


def test_the_gradient_of_a_product_up_to_zeros():
    """With one zero, and with two; of the products of all others, by hand."""
    x = np.array([[2.0, 0.0, 3.0, 4.0], [0.0, 5.0, 0.0, 2.0]])
    _, found, _ = gradient(lambda x: ops.cumprod(x, axis=1), x, np.ones)
    assert found.tolist() == [[1, 2 + 2 * 3 + 2 * 3 * 4, 0, 0], [1 + 5, 0, 0, 0]]


def test_the_gradients_of_equal_numbers():
    """Of sort and top_k those of the places that were taken, of segment_max in equal parts."""
    x = np.array([[1.0, 2.0, 2.0]])
    for formula, expected in [
        (lambda x: ops.top_k(x, 1)[0], [0, 1, 0]),
        (lambda x: ops.sort(x, axis=-1) * np.array([1.0, 2.0, 4.0]), [1, 2, 4]),
        (lambda x: ops.segment_max(x, [0, 0, 0], 1, axis=1), [0, 0.5, 0.5]),
    ]:
        assert gradient(formula, x, np.ones)[1].tolist() == [expected]


# ---- in models ---------------------------------------------------------------------------------------------------


class Table(fn.layers.Layer):
    """An embedding in mathematics of one's own."""

    def __init__(self, rows, width, **kwargs):
        super().__init__(**kwargs)
        self.rows, self.width = rows, width

    def build(self, input_shape):
        self.table = self.add_weight((self.rows, self.width), "uniform", name="embeddings")

    def call(self, x):
        return ops.take(self.table, x, axis=0)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("width", [1, 5, 40])
def test_a_table_of_weights_is_an_embedding(width, lazy):
    """Where the optimizer is lazy, too, which leaves out the rows that are not in a batch."""
    x, y = RANDOM.integers(0, 7, (30, 4)), RANDOM.normal(size=30)
    x[10:] = np.minimum(x[10:], 3)
    models = []
    for layer in (Table(7, width), fn.layers.Embedding(7, width)):
        model = fn.Sequential([fn.Input((4,)), layer, fn.layers.Flatten(), fn.layers.Dense(1)], seed=0)
        model.compile(fn.optimizers.Adam(lazy=lazy), "mse", n_threads=2)
        models.append(model)
    models[1].set_weights(models[0].get_weights())
    for model in models:
        model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    # Indices below 0 are from the end; what is out of range is found before anything is changed.
    np.testing.assert_array_equal(models[0].predict(x - 7), models[0].predict(x))
    for wrong in (7, -8, 0.5):
        bad = x.astype(float)
        bad[3, 1] = wrong
        with pytest.raises(
            ValueError, match=rf"'table': x holds {wrong} in row 3, column 1, expected whole numbers from -7 to 6"
        ):
            models[0].fit(bad, y, verbose=0)


def test_a_computed_index_out_of_range_takes_nan_and_stops_training():
    inputs = fn.Input((2,))
    for formula in (
        lambda x: ops.take(np.array([1.0, 2.0, 3.0]), x * 2, axis=0),
        lambda x: ops.take_along_axis(x, x * 2, axis=1),
    ):
        model = fn.Model(inputs, fn.layers.Dense(1)(fn.layers.Lambda(formula)(inputs)), seed=0)
        model.compile("sgd", "mse")
        before = model.get_weights()
        assert np.isnan(model.predict([[0.0, 9.0], [0.0, np.nan]], check_finite=False)).all()
        with pytest.raises(ArithmeticError, match="the loss became nan"):
            model.fit([[0.0, 9.0]], [1.0], verbose=0)
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


class TopPooling(fn.layers.Layer):
    """A weighted mean over the k steps of a sequence that a learnt query attends to most."""

    def __init__(self, k=3, **kwargs):
        super().__init__(**kwargs)
        self.k = k

    def build(self, input_shape):
        self.query = self.add_weight((input_shape[-1],), "glorot_uniform", name="query")

    def call(self, x):
        values, places = ops.top_k(ops.sum(x * self.query, axis=-1), self.k)
        steps = ops.take_along_axis(x, ops.expand_dims(places, -1), axis=1)
        return ops.sum(ops.expand_dims(ops.softmax(values), -1) * steps, axis=1)


def test_pooling_of_the_steps_attended_to_most(tmp_path):
    """Learns which feature marks the steps that count; the same bits for any number of threads, saved and exported."""
    random = np.random.default_rng(3)
    x = random.normal(size=(256, 12, 4))
    top = np.argsort(-x[..., 0], axis=1)[:, :3]
    y = np.take_along_axis(x[..., 1], top, axis=1).mean(axis=1)
    models = []
    for n_threads in (1, 2, 3):
        model = fn.Sequential([fn.Input((12, 4)), TopPooling(), fn.layers.Dense(1)], seed=1)
        model.compile(fn.optimizers.Adam(0.1), "mse", n_threads=n_threads)
        history = model.fit(x, y, epochs=30, batch_size=32, verbose=0).history["loss"]
        models.append(model)
    assert history[-1] < 0.4 * np.var(y)
    for model in models[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(models[0].get_weights(), model.get_weights()))
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors", custom_objects={"TopPooling": TopPooling})
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    (found,) = compile_model(model).predict(x[:5].astype(np.float32))
    np.testing.assert_allclose(found.reshape(5, 1), model.predict(x[:5]), rtol=1e-5, atol=1e-6)


def test_hard_negatives():
    """Of distances to all others, the nearest ones that are of another class: the hinge of each, as a layer."""
    classes, k = np.array([0, 0, 1, 1, 2]), 2
    positions = RANDOM.normal(size=(6, 5, 2))

    def hardest(x):
        gaps = ops.expand_dims(x, 1) - ops.expand_dims(x, 2)
        squares = ops.sum(gaps**2, axis=-1) + 1e9 * (classes[:, None] == classes)
        nearest, _ = ops.top_k(-squares, k)
        return ops.sum(ops.maximum(1 + nearest, 0), axis=-1)

    inputs = fn.Input((5, 2))
    model = fn.Model(inputs, fn.layers.Lambda(hardest)(inputs), seed=0, dtype="float64")
    squares = ((positions[:, :, None] - positions[:, None]) ** 2).sum(-1)
    expected = np.zeros((6, 5))
    for i in range(5):
        others = np.sort(squares[:, i, classes != classes[i]], axis=1)[:, :k]
        expected[:, i] = np.maximum(1 - others, 0).sum(1)
    np.testing.assert_allclose(model.predict(positions), expected, rtol=1e-12, atol=1e-12)


def test_loaded_and_exported_without_the_functions(tmp_path):
    inputs = fn.Input((3, 4))
    outputs = [fn.layers.Flatten()(fn.layers.Lambda(formula)(inputs)) for formula in FORMULAS.values()]
    model = fn.Model(inputs, fn.layers.Concatenate()(outputs), seed=0)
    model.save(tmp_path / "model.safetensors")
    x = (RANDOM.permutation(60).reshape(5, 3, 4) / 20 - 1.4).astype(np.float32)
    expected = model.predict(x)
    np.testing.assert_array_equal(fn.load_model(tmp_path / "model.safetensors").predict(x), expected)
    (found,) = compile_model(model).predict(x)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: ops.take(fn.Input((3,)), 3, axis=1), ("index 3", "size 3")),
        (lambda: ops.take(fn.Input((3,)), [0, -4], axis=1), ("index -4", "size 3")),
        (lambda: ops.take(np.ones(3), np.array([0, 5])), ("holds 5", "from -3 to 2")),
        (lambda: ops.take(fn.Input((3,)), 0, axis=0), ("axis 0", "batch")),
        (lambda: ops.take(fn.Input((3,)), 0), ("all axes", "batch")),
        (lambda: ops.take(fn.Input((3,)), fn.Input((2,)), axis=1), ("take_along_axis",)),
        (lambda: ops.take_along_axis(fn.Input((3, 2)), fn.Input((2,)), axis=1), ("(None, 3, 2)", "(None, 2)")),
        (lambda: ops.take_along_axis(fn.Input((3, 2)), fn.Input((4, 3)), axis=1), ("(4, 3)", "(3, 2)")),
        (lambda: ops.take(np.ones((3, 2)), fn.Input((2,))), ("(3, 2)", "axis")),
        (lambda: ops.top_k(fn.Input((3,)), 4), ("from 1 to 3", "got 4")),
        (lambda: ops.sort(fn.Input((3,)), axis=2), ("axis 2", "(None, 3)")),
        (lambda: ops.one_hot(fn.Input((3,)), 3, sparse=True), ("sparse",)),
        (lambda: ops.segment_sum(fn.Input((3,)), [0, 1, 1], 2), ("axis 0", "batch")),
        (lambda: ops.segment_sum(fn.Input((3,)), [0, 1], 2, axis=1), ("(2,)", "(3,)", "do not fit")),
        (lambda: ops.segment_sum(fn.Input((3,)), fn.Input((3,)), axis=1), ("num_segments",)),
        (lambda: ops.bincount(fn.Input((3,))), ("minlength",)),
        (lambda: ops.searchsorted(np.ones(3), np.ones(2), side="middle"), ("middle",)),
        (lambda: ops.scatter_update(fn.Input((3,)), [[0]], fn.Input((1,))), ("batch_dims",)),
        (lambda: ops.scatter_update(np.ones(3), [[3]], np.ones(1)), ("index 3", "size 3")),
        (lambda: ops.scatter_update(np.ones(3), [[0]], np.ones(2)), ("(1,)", "(2,)")),
        (lambda: ops.scatter_update(np.ones(3), [[0]], np.ones(1), reduction="or"), ("'or'",)),
        (lambda: _core.infer("take", "long", [(2**24 + 1,), (1,)], {}), ("16777217", "16777216")),
    ],
)  # fmt: skip
def test_what_does_not_fit(attempt, words):
    with pytest.raises(ValueError) as caught:
        attempt()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_indices_that_are_no_numbers():
    for indices in ([0.5], ["a"], []):
        with pytest.raises(TypeError, match="whole numbers"):
            ops.take(fn.Input((3,)), indices, axis=1)
