"""Feature scaling: what adapt learns, that it costs nothing in front, that it is saved, and what it refuses."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import layers


def heights_and_weights(n=500, dtype=np.float64):
    random = np.random.default_rng(0)
    return np.column_stack([170 + 10 * random.normal(size=n), 70 + 15 * random.normal(size=n)]).astype(dtype)


def apply(layer, x, dtype="float64", kind="predict"):
    model = fn.Sequential([fn.Input(x.shape[1:]), layer], dtype=dtype)
    return getattr(model, kind)(x)


def standardized(x):
    return (x - x.mean(0)) / x.std(0)


# ---- what they compute ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["predict", "forward"])
def test_normalization(kind):
    """Folded into the gather, and as an operation in a loop of one's own."""
    x = heights_and_weights()
    layer = layers.Normalization()
    layer.adapt(x)
    y = apply(layer, x, kind=kind)
    np.testing.assert_allclose(y, standardized(x), rtol=1e-11, atol=1e-12)
    inverse = layers.Normalization(mean=layer.mean, variance=layer.variance, invert=True)
    np.testing.assert_allclose(apply(inverse, y, kind=kind), x, rtol=1e-12)


def test_normalization_of_all_numbers_alike():
    x = heights_and_weights()
    layer = layers.Normalization(axis=None)
    layer.adapt(x)
    np.testing.assert_allclose(apply(layer, x), (x - x.mean()) / x.std(), rtol=1e-11, atol=1e-12)


def test_normalization_with_known_numbers():
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(apply(layers.Normalization(mean=3.0, variance=4.0), x), (x - 3) / 2)
    np.testing.assert_allclose(apply(layers.Normalization(mean=[1, 2, 3], variance=[1, 4, 9]), x),
                               (x - [1, 2, 3]) / [1, 2, 3])  # fmt: skip


def test_inputs_of_higher_rank_are_scaled_along_their_last_axis():
    x = np.random.default_rng(0).normal(5, 3, size=(40, 4, 3))
    layer = layers.Normalization()
    layer.adapt(x)
    for kind in ("predict", "forward"):
        expected = (x - x.mean((0, 1))) / x.std((0, 1))
        np.testing.assert_allclose(
            apply(layers.Normalization.from_config(layer.get_config()), x, kind=kind), expected, rtol=1e-11, atol=1e-12
        )


def test_a_constant_feature_comes_out_as_zero(dtype):
    x = heights_and_weights(dtype=dtype)
    x = np.column_stack([x, np.full(len(x), 0.1, dtype), np.zeros(len(x), dtype), np.full(len(x), 1e30, dtype)])
    layer = layers.Normalization()
    layer.adapt(x)
    for kind in ("predict", "forward"):
        y = apply(layers.Normalization.from_config(layer.get_config()), x, dtype, kind)
        assert np.isfinite(y).all() and not y[:, 2:4].any()
    assert not apply(layer, x, dtype)[:, 4].any()


def test_min_max_scaling():
    x = heights_and_weights()
    for low, high in ((0.0, 1.0), (-1.0, 3.0)):
        layer = layers.MinMaxScaling((low, high))
        layer.adapt(x)
        for kind in ("predict", "forward"):
            y = apply(layers.MinMaxScaling.from_config(layer.get_config()), x, kind=kind)
            np.testing.assert_allclose(y.min(0), low, atol=1e-12)
            np.testing.assert_allclose(y.max(0), high, rtol=1e-12, atol=1e-12)
    constant = layers.MinMaxScaling((2, 3))
    constant.adapt(np.full((5, 1), 7.0))
    assert np.array_equal(apply(constant, np.full((5, 1), 7.0)), np.full((5, 1), 2.0))


def test_rescaling():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    for kind in ("predict", "forward"):
        np.testing.assert_allclose(
            apply(layers.Rescaling(1 / 127.5, -1), pixels, kind=kind), pixels / 127.5 - 1, rtol=1e-12, atol=1e-15
        )
        x = heights_and_weights(7)
        y = apply(layers.Rescaling([0.1, 2], offset=3), x, kind=kind)
        np.testing.assert_allclose(y, x * [0.1, 2] + 3, rtol=1e-12)
    assert layers.Rescaling(0.5).count_params() == 0


def test_target_scaling_gives_the_units_of_the_target():
    x = heights_and_weights()
    y = 1e5 * standardized(x) @ [[1.0], [2.0]] + 3e6
    targets = layers.TargetScaling()
    targets.adapt(y)
    features = layers.Normalization()
    features.adapt(x)
    model = fn.Sequential([fn.Input((2,)), features, layers.Dense(1), targets], seed=0)
    model.compile(fn.optimizers.Adam(0.05), "mae")
    model.fit(x, y, epochs=60, verbose=0)
    assert np.abs(model.predict(x) - y).mean() < 0.02 * y.std()


# ---- adapt ---------------------------------------------------------------------------------------------------


def test_adapt_is_numerically_stable():
    """Deviations far below the mean, where sums of squares would be noise, and more rows than it looks at at once."""
    x = 1e9 + np.random.default_rng(0).normal(size=(300_000, 3))
    layer = layers.Normalization()
    layer.adapt(x)
    np.testing.assert_allclose(layer.mean - 1e9, (x - 1e9).mean(0), atol=3e-7)
    np.testing.assert_allclose(layer.variance, (x - 1e9).var(0), rtol=1e-9)
    y = apply(layer, x[:1000], "float32")  # in front, it is computed in float64
    np.testing.assert_allclose(y, standardized(x)[:1000], atol=1e-3)


def test_adapt_keeps_a_memory_map_mapped(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(100_000, 8))
    x[:] = np.random.default_rng(0).normal(3, 2, size=x.shape)
    layer = layers.Normalization()
    layer.adapt(x)
    np.testing.assert_allclose(layer.mean, np.asarray(x, float).mean(0), rtol=1e-12)
    np.testing.assert_allclose(layer.variance, np.asarray(x, float).var(0), rtol=1e-12)


@pytest.mark.parametrize("make", [lambda x: x.tolist(), lambda x: x.astype(np.float32), lambda x: x[:, 0],
                                  lambda x: np.asfortranarray(x), lambda x: x.round().astype(np.uint8)])  # fmt: skip
def test_adapt_takes_what_fit_takes(make):
    given = make(heights_and_weights())
    layer = layers.Normalization()
    layer.adapt(given)
    x = np.asarray(given, float)
    np.testing.assert_allclose(layer.mean, x.mean(0).reshape(-1), rtol=1e-12)


def test_adapting_again_takes_effect_in_a_model_that_exists():
    x = heights_and_weights()
    layer = layers.Normalization()
    layer.adapt(x * 2)
    front = fn.Sequential([fn.Input((2,)), layer, layers.Dense(1)], seed=0, dtype="float64")
    front.predict(x)
    behind = fn.Sequential([fn.Input((2,)), layers.ReLU(), layer], dtype="float64")
    behind.predict(x)
    layer.adapt(x)
    kernel, bias = front.layers[1].get_weights()
    np.testing.assert_allclose(front.predict(x), standardized(x) @ kernel + bias, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(behind.predict(x), standardized(x), rtol=1e-10, atol=1e-12)


def test_a_layer_that_was_not_adapted_says_so():
    x = heights_and_weights(20)
    for layer in (layers.Normalization(name="heights"), layers.MinMaxScaling(name="heights")):
        model = fn.Sequential([fn.Input((2,)), layer, layers.Dense(1)])
        model.compile("sgd", "mse")
        for use in (lambda: model.predict(x), lambda: model.fit(x, x[:, :1], verbose=0), lambda: model.forward(x)):
            with pytest.raises(RuntimeError, match="'heights' does not know the data yet.*adapt"):
                use()
        layer.adapt(x)
        model.fit(x, x[:, :1], verbose=0)


# ---- in front ----------------------------------------------------------------------------------------------------


def stages_of(*stack, shape=(2,)):
    model = fn.Sequential([fn.Input(shape), *stack])
    model.predict(np.zeros((1, *shape)))
    return model._latest_plan().stage_labels()


def test_scaling_in_front_costs_nothing():
    plain = stages_of(layers.Dense(3))
    scaled = stages_of(
        layers.Normalization(mean=1.0, variance=2.0),
        layers.MinMaxScaling(data_min=0, data_max=[1, 2]),
        layers.Rescaling(3.0),
        layers.Dense(3),
    )
    assert scaled == plain
    assert len(stages_of(layers.Dense(3), layers.Rescaling(2.0))) == len(plain) + 1


def test_several_in_a_row_are_applied_in_order():
    x = heights_and_weights(9)
    model = fn.Sequential(
        [
            fn.Input((2,)),
            layers.Rescaling(2.0, 1.0),
            layers.Normalization(mean=[3, 4], variance=4.0),
            layers.Rescaling([5.0, 7.0], 11),
        ],
        dtype="float64",
    )
    expected = ((2 * x + 1) - [3, 4]) / 2 * [5, 7] + 11
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-12)
    np.testing.assert_allclose(model.forward(x, training=True), expected, rtol=1e-12)


def test_an_input_that_others_read_too_is_not_touched():
    x = fn.Input((2,))
    scaled = layers.Rescaling(2.0)(x)
    data = heights_and_weights(5)
    for outputs, expected in (
        ([scaled, x], [2 * data, data]),
        ([layers.Add()([scaled, x])], [3 * data]),
        ([layers.Add()([scaled, layers.Rescaling(3.0)(x)])], [5 * data]),
    ):
        found = fn.Model(x, outputs, dtype="float64").predict(data)
        for a, b in zip(found if len(outputs) > 1 else [found], expected):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_gradients_are_those_of_the_input_as_it_was_given():
    x = heights_and_weights(5)
    model = fn.Sequential([fn.Input((2,)), layers.Rescaling([2.0, 3.0])], dtype="float64")
    model.forward(x, training=True)
    assert np.array_equal(model.backward(np.ones((5, 2))), np.tile([2.0, 3.0], (5, 1)))


def test_fit_is_that_on_scaled_data(dtype):
    x = heights_and_weights()
    y = standardized(x) @ [[1.0], [-1.0]]
    layer = layers.Normalization()
    layer.adapt(x)
    inside = fn.Sequential([fn.Input((2,)), layer, layers.Dense(8, "tanh"), layers.Dense(1)], seed=1, dtype=dtype)
    outside = fn.Sequential([fn.Input((2,)), layers.Dense(8, "tanh"), layers.Dense(1)], seed=1, dtype=dtype)
    outside.set_weights(inside.get_weights()[2:])
    for model, data in ((inside, x), (outside, standardized(x))):
        model.compile("adam", "mse")
        model.fit(data, y, epochs=3, verbose=0)
    tolerance = {"rtol": 1e-8, "atol": 1e-9} if dtype == "float64" else {"rtol": 1e-3, "atol": 1e-4}
    for a, b in zip(inside.get_weights()[2:], outside.get_weights()):
        np.testing.assert_allclose(a, b, **tolerance)
    assert [np.array_equal(a, b) for a, b in zip(inside.get_weights()[:2], layer.get_weights())] == [True, True]
    assert all(not weight.trainable for weight in layer.weights)


# ---- saving -----------------------------------------------------------------------------------------------------------


def test_scaling_is_saved_with_the_model(tmp_path, dtype):
    x = heights_and_weights() + 1e6
    features, targets = layers.Normalization(), layers.TargetScaling()
    features.adapt(x)
    targets.adapt(x[:, :1])
    model = fn.Sequential(
        [fn.Input((2,)), features, layers.MinMaxScaling(data_min=-1, data_max=[2, 3]), layers.Dense(1), targets], dtype=dtype
    )
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict(x), model.predict(x))
    assert np.array_equal(loaded.layers[0].mean, features.mean)


def test_weights_that_are_set_are_obeyed(tmp_path):
    x = heights_and_weights()
    adapted = layers.Normalization()
    adapted.adapt(x)
    source = fn.Sequential([fn.Input((2,)), adapted, layers.Dense(1, name="last")], seed=0, dtype="float64")
    source.save_weights(tmp_path / "weights.safetensors")
    fresh = layers.Normalization()
    other = layers.Normalization(mean=5.0, variance=1.0)
    for layer in (fresh, other):
        model = fn.Sequential([fn.Input((2,)), layer, layers.Dense(1, name="last")], seed=1, dtype="float64")
        if layer is other:
            model.predict(x)
        model.load_weights(tmp_path / "weights.safetensors")
        np.testing.assert_allclose(model.predict(x), source.predict(x), rtol=1e-10, atol=1e-10)


# ---- scikit-learn -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"with_mean": False}, {"with_std": False}])
def test_a_standard_scaler_can_be_handed_over(options):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.column_stack([heights_and_weights(), np.full(500, 3.0)])
    scaler = preprocessing.StandardScaler(**options).fit(x)
    layer = layers.Normalization.from_sklearn(scaler)
    np.testing.assert_allclose(apply(layer, x), scaler.transform(x), rtol=1e-10, atol=1e-10)
    targets = layers.TargetScaling.from_sklearn(scaler)
    np.testing.assert_allclose(apply(targets, scaler.transform(x)), x, rtol=1e-10)


def test_a_min_max_scaler_can_be_handed_over():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.column_stack([heights_and_weights(), np.full(500, 3.0)])
    scaler = preprocessing.MinMaxScaler((-1, 2)).fit(x)
    layer = layers.MinMaxScaling.from_sklearn(scaler, name="handed_over")
    np.testing.assert_allclose(apply(layer, x), scaler.transform(x), rtol=1e-10, atol=1e-10)
    assert layer.name == "handed_over"


class Fitted:
    """What from_sklearn asks for, without scikit-learn."""

    n_features_in_ = 2
    mean_, scale_ = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    feature_range, data_min_, data_max_ = (0, 1), np.array([0.0, 1.0]), np.array([2.0, 5.0])


def test_handing_over_goes_by_attributes():
    x = heights_and_weights(5)
    np.testing.assert_allclose(apply(layers.Normalization.from_sklearn(Fitted()), x), (x - [1, 2]) / [3, 4], rtol=1e-12)
    np.testing.assert_allclose(apply(layers.MinMaxScaling.from_sklearn(Fitted()), x), (x - [0, 1]) / [2, 4], rtol=1e-12)
    for cls in (layers.Normalization, layers.MinMaxScaling):
        with pytest.raises(TypeError, match="takes a fitted"):
            cls.from_sklearn(object())


# ---- what makes no sense ----------------------------------------------------------------------------------------------------


def adapted(layer, data):
    layer.adapt(data)
    return layer


@pytest.mark.parametrize("make, error, words", [
    (lambda: layers.Normalization(mean=1.0), ValueError, ["mean", "variance", "together"]),
    (lambda: layers.Normalization(mean=1.0, variance=-1.0), ValueError, ["variance", "-1.0"]),
    (lambda: layers.Normalization(mean="x", variance=1.0), TypeError, ["mean", "'x'"]),
    (lambda: layers.Normalization(mean=np.nan, variance=1.0), ValueError, ["mean", "nan"]),
    (lambda: layers.Normalization(axis=1)(fn.Input((3, 2))), ValueError, ["axis 1"]),
    (lambda: layers.Normalization(axis="last"), TypeError, ["axis"]),
    (lambda: layers.Normalization(mean=[1, 2, 3], variance=1.0)(fn.Input((2,))), ValueError, ["3 features", "2"]),
    (lambda: adapted(layers.Normalization(), np.ones((4, 3)))(fn.Input((2,))), ValueError, ["3 features", "2"]),
    (lambda: adapted(layers.Normalization(), np.ones((0, 3))), ValueError, ["empty"]),
    (lambda: adapted(layers.Normalization(), [[1.0], [np.nan]]), ValueError, ["NaN", "row 1"]),
    (lambda: adapted(layers.MinMaxScaling(), [[1.0], [2.0], [np.inf]]), ValueError, ["infinity", "row 2"]),
    (lambda: adapted(layers.Normalization(), [["a"]]), TypeError, ["numbers"]),
    (lambda: adapted(layers.Normalization(), None), TypeError, ["missing"]),
    (lambda: layers.MinMaxScaling((1, 0)), ValueError, ["feature_range", "increasing"]),
    (lambda: layers.MinMaxScaling(3), TypeError, ["feature_range"]),
    (lambda: layers.MinMaxScaling(data_min=1.0), ValueError, ["together"]),
    (lambda: layers.MinMaxScaling(data_min=1.0, data_max=0.0), ValueError, ["above"]),
    (lambda: layers.Rescaling("x"), TypeError, ["scale"]),
    (lambda: layers.Rescaling(None), TypeError, ["scale"]),
    (lambda: layers.Rescaling([1.0, 2.0])(fn.Input((3,))), ValueError, ["2 features", "3"]),
    (lambda: layers.Normalization(mean=0.0, variance=1.0)(fn.Input(())), ValueError, ["axis"]),
])  # fmt: skip
def test_bad_arguments(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_data_of_other_features_leave_the_layer_as_it_was():
    layer = layers.Normalization()
    model = fn.Sequential([fn.Input((2,)), layer], dtype="float64")
    x = heights_and_weights(9)
    layer.adapt(x)
    with pytest.raises(ValueError, match="scales 2 features, the data have 3"):
        layer.adapt(np.ones((4, 3)))
    np.testing.assert_allclose(model.predict(x), standardized(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("axis", [-1, None])
def test_gaps_are_left_out_and_filled_with_the_mean(axis, tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(5, 3, (40, 3)) * [1, 10, 1000]
    x[random.random(x.shape) < 0.3] = np.nan
    layer = fn.layers.Normalization(axis, fill_missing=True)
    layer.adapt(x)
    mean, deviation = (np.nanmean(x, axis=0), np.nanstd(x, axis=0)) if axis else (np.nanmean(x), np.nanstd(x))
    np.testing.assert_allclose([layer.mean, np.sqrt(layer.variance)], [mean, deviation], rtol=1e-12)
    model = fn.Sequential([fn.Input((3,)), layer], seed=0)
    expected = np.nan_to_num((x - mean) / deviation)
    for found in (model.predict(x), layer(x)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    assert np.isfinite(model.evaluate(x, np.zeros((40, 3))))
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(fn.load_model(tmp_path / "model.safetensors").predict(x), model.predict(x))
    with pytest.raises(ValueError, match="holds an infinity in row 3, column 1"):
        layer.adapt(np.where(np.arange(120).reshape(40, 3) == 10, np.inf, x))
    with pytest.raises(ValueError, match="its input holds an infinity"):
        model.predict([[1.0, np.inf, 2.0]])
    with pytest.raises(ValueError, match="one may be True"):
        fn.layers.Normalization(invert=True, fill_missing=True)


def test_a_column_of_gaps_comes_out_as_nothing():
    layer = fn.layers.Normalization(fill_missing=True)
    layer.adapt([[np.nan, 1.0], [np.nan, 3.0]])
    np.testing.assert_array_equal(layer([[np.nan, 1.0], [np.nan, np.nan]]), [[0, -1], [0, 0]])
