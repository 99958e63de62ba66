"""Masks: where they come from, which layers pass them on, what loss and metrics make of them."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import layers


def padded(n=12, steps=6, features=3, seed=0):
    """Sequences of 1 to `steps` steps, zeros behind them, and their lengths."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, steps, features))
    lengths = random.integers(1, steps + 1, n)
    x[np.arange(steps) >= lengths[:, None]] = 0
    return x, lengths


def tagger(*stack, loss="mse", dtype="float64", seed=0, metrics=None, n_threads=None, shape=(6, 3)):
    model = fn.Sequential([fn.Input(shape), *stack], seed=seed, dtype=dtype)
    model.compile(fn.optimizers.SGD(0.1), loss, metrics=metrics, n_threads=n_threads)
    return model


def test_masking_marks_and_clears(isa, dtype):
    x = np.zeros((2, 3, 37))
    x[0, 1, 36] = 2.0
    x[1, :2] = 5.0
    inputs = fn.Input((3, 37))
    y = layers.Masking(5.0)(inputs)
    model = fn.Model(inputs, [y, y.mask], dtype=dtype)
    values, mask = model.predict(x)
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    expected = x.copy()
    expected[1, :2] = 0
    assert np.array_equal(values, expected)
    model.forward(x, training=True)
    dx = model.backward([np.ones((2, 3, 37)), None])
    assert np.array_equal(dx[:, :, 0], mask)


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.GRU, layers.LSTM])
@pytest.mark.parametrize("backwards", [False, True])
def test_masked_steps_are_as_if_they_were_not_there(kind, backwards, dtype):
    x, lengths = padded()
    model = tagger(layers.Masking(), kind(5, go_backwards=backwards), dtype=dtype)
    for row, length in zip(x, lengths):
        alone = fn.Input((int(length), 3))
        same = fn.Model(alone, kind(5, go_backwards=backwards)(alone), dtype=dtype)
        same.set_weights(model.get_weights())
        np.testing.assert_allclose(model.predict(row[None]), same.predict(row[None, :length]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_loss_gradients_and_metrics_leave_out_what_is_masked(loss, dtype):
    """As those of the steps that count, taken as rows of their own; in one batch."""
    x, lengths = padded()
    y = np.random.default_rng(1).normal(size=(12, 6, 2))
    counted = np.arange(6) < lengths[:, None]
    for n_threads in (1, 2, 3):
        model = tagger(
            layers.Masking(),
            layers.Dense(4, "tanh"),
            layers.Dense(2),
            loss=loss,
            metrics=["mae"],
            dtype=dtype,
            n_threads=n_threads,
        )
        flat = tagger(layers.Dense(4, "tanh"), layers.Dense(2), loss=loss, metrics=["mae"], dtype=dtype, shape=(3,))
        flat.set_weights(model.get_weights())
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(model.evaluate(x, y), flat.evaluate(x[counted], y[counted]), rtol=tolerance)
        history = model.fit(x, y, batch_size=12, verbose=0, shuffle=False).history
        other = flat.fit(x[counted], y[counted], batch_size=counted.sum(), verbose=0, shuffle=False).history
        np.testing.assert_allclose(history["loss"], other["loss"], rtol=tolerance)
        np.testing.assert_allclose(history["mae"], other["mae"], rtol=tolerance)
        for a, b in zip(model.get_weights(), flat.get_weights()):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_what_is_masked_does_not_matter():
    x, lengths = padded()
    y = np.random.default_rng(1).normal(size=(12, 6, 2))
    results = []
    for filling in (0.0, 1e6):
        target = np.where((np.arange(6) < lengths[:, None])[..., None], y, filling)
        model = tagger(layers.Masking(), layers.GRU(4, return_sequences=True), layers.Dropout(0.2), layers.Dense(2))
        model.fit(x, target, batch_size=5, epochs=2, verbose=0)
        results.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*results))


def test_a_batch_in_which_nothing_counts_changes_nothing():
    model = tagger(layers.Masking(), layers.Dense(2), metrics=["mae"])
    before = model.get_weights()
    loss, metric = model.train_on_batch(np.zeros((3, 6, 3)), np.ones((3, 6, 2)))
    assert loss == 0 and all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_sample_weights_and_masks():
    x, lengths = padded()
    y = np.random.default_rng(1).normal(size=(12, 6, 2))
    weight = np.random.default_rng(2).uniform(0, 2, 12)
    model = tagger(layers.Masking(), layers.Dense(2))
    error = ((model.predict(x) - y) ** 2).mean(axis=-1) * weight[:, None]
    counted = np.arange(6) < lengths[:, None]
    np.testing.assert_allclose(model.evaluate(x, y, sample_weight=weight), error[counted].mean(), rtol=1e-12)


def test_tokens_of_padding():
    tokens = np.array([[1, 2, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]])
    inputs = fn.Input((4,))
    embedded = layers.Embedding(5, 3, mask_zero=True)(inputs)
    model = fn.Model(inputs, [embedded.mask, layers.LSTM(2)(embedded)], seed=0)
    mask, y = model.predict(tokens)
    assert np.array_equal(mask, tokens != 0)
    assert not y[2].any() and y[0].any()
    assert layers.Embedding(5, 3)(inputs).mask is None


def test_accuracy_of_tags():
    tokens = np.array([[1, 2, 0, 0], [3, 4, 1, 0]])
    tags = np.array([[0, 1, 1, 1], [1, 0, 0, 1]])
    model = tagger(
        layers.Embedding(5, 4, mask_zero=True),
        layers.LSTM(3, return_sequences=True),
        layers.Dense(2),
        loss=fn.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        shape=(4,),
    )
    right = (model.predict(tokens).argmax(-1) == tags)[tokens != 0].mean()
    np.testing.assert_allclose(model.evaluate(tokens, tags)[1], right)


def test_the_mean_of_what_is_not_masked():
    x = np.random.default_rng(0).normal(size=(3, 6, 2))
    x[0, 2:4] = x[1, 1:] = x[2] = 0
    inputs = fn.Input((6, 2))
    h = layers.Masking()(inputs)
    means = [layers.GlobalAveragePooling1D(keepdims=keepdims)(h) for keepdims in (False, True)]
    found = fn.Model(inputs, means, dtype="float64").predict(x)
    expected = np.array([x[0, [0, 1, 4, 5]].mean(axis=0), x[1, 0], [0, 0]])
    np.testing.assert_allclose(found[0], expected, rtol=1e-14)
    np.testing.assert_allclose(found[1], expected[:, np.newaxis], rtol=1e-14)


def test_which_layers_pass_a_mask_on():
    inputs, other = fn.Input((6, 3)), fn.Input((6, 3))
    x, z = layers.Masking()(inputs), layers.Masking(1.0)(other)
    for layer in (
        layers.Dense(2),
        layers.Activation("relu"),
        layers.ReLU(),
        layers.Dropout(0.5),
        layers.LayerNormalization(),
        layers.GRU(2, return_sequences=True),
        layers.TimeDistributed(layers.Dense(2)),
        layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
        layers.Rescaling(2.0),
        layers.Normalization(),
        layers.MinMaxScaling(),
    ):
        assert layer(x).mask is x.mask, layer
    for layer in (layers.Flatten(), layers.LSTM(2), layers.Reshape((3, 6)), layers.Bidirectional(layers.LSTM(2))):
        assert layer(x).mask is None, layer
    assert layers.Add()([x, x]).mask is x.mask
    assert layers.Add()([x, other]).mask is None
    assert layers.Concatenate()([x, other]).mask is None and layers.Concatenate()([x, x]).mask is x.mask
    a, b = np.random.default_rng(0).normal(size=(2, 4, 6, 3))
    a[:, 3:], b[:, 2:5] = 0, 1
    first, second = (a != 0).any(-1), (b != 1).any(-1)
    either, joined = layers.Maximum()([x, z]).mask, layers.Concatenate()([x, z]).mask
    longer = layers.Concatenate(axis=1)([x, z]).mask
    found = fn.Model([inputs, other], [either, joined, longer]).predict([a, b])
    assert np.array_equal(found[0], first | second) and np.array_equal(found[1], first | second)
    assert np.array_equal(found[2], np.hstack([first, second]))
    with pytest.raises(ValueError, match="must have a mask"):
        layers.Concatenate(axis=1)([x, other])


def test_models_with_masks_are_saved_and_nested(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 5, (6, 4))
    inner = fn.Sequential(
        [
            fn.Input((4,)),
            layers.Embedding(5, 3, mask_zero=True),
            layers.GRU(4, return_sequences=True),
            layers.TimeDistributed(layers.Dense(2)),
        ],
        seed=0,
    )
    inner.compile("adam", "mse")
    targets = np.random.default_rng(1).normal(size=(6, 4, 2))
    inner.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors")
    assert again.evaluate(tokens, targets) == inner.evaluate(tokens, targets)
    outer = fn.Input((4,))
    nested = fn.Model(outer, layers.LSTM(3)(inner(outer)), seed=1)
    last = fn.Model(inner.inputs, layers.LSTM(3)(inner.outputs[0]), seed=1)
    last.set_weights(nested.get_weights())
    assert np.array_equal(nested.predict(tokens), last.predict(tokens))
    nested.save(tmp_path / "nested.safetensors")
    assert np.array_equal(fn.load_model(tmp_path / "nested.safetensors").predict(tokens), nested.predict(tokens))


def test_time_distributed():
    x = np.random.default_rng(0).normal(size=(3, 5, 2, 4))
    inputs = fn.Input((5, 2, 4))
    flat = layers.TimeDistributed(layers.Flatten())(inputs)
    shaped = layers.TimeDistributed(layers.Reshape((4, -1)))(inputs)
    model = fn.Model(inputs, [flat, shaped])
    assert np.array_equal(model.predict(x)[0], x.reshape(3, 5, 8).astype("float32"))
    assert model.predict(x)[1].shape == (3, 5, 4, 2)
    with pytest.raises(TypeError, match="dense"):
        layers.TimeDistributed("dense")
    with pytest.raises(ValueError, match="sequences"):
        layers.TimeDistributed(layers.Dense(2))(fn.Input((4,)))


def test_bad_arguments():
    with pytest.raises(ValueError, match="steps, features"):
        layers.Masking()(fn.Input((4,)))
    with pytest.raises(TypeError, match="mask_value"):
        layers.Masking("zero")


# ---- masks as values of their own --------------------------------------------------------------------------------------


def mask_as_output():
    x = fn.Input((6, 3))
    y = layers.Masking(name="masking")(x)
    return fn.Model(x, [layers.Dense(2)(y), y.mask], seed=0)


def mask_as_input():
    x = fn.Input((6, 3))
    y = layers.Masking(name="masking")(x)
    return fn.Model(x, layers.Multiply()([layers.Dense(1)(layers.Dense(4)(x)), layers.Reshape((6, 1))(y.mask)]), seed=0)


def mask_within():
    inner = mask_as_input()
    x = fn.Input((6, 3))
    return fn.Model(x, layers.Dense(2)(inner(x)), seed=0)


@pytest.mark.parametrize("make", [mask_as_output, mask_as_input, mask_within])
def test_a_mask_that_a_layer_or_the_model_is_given_is_saved(tmp_path, make):
    model = make()
    x, _ = padded(4)
    expected = model.predict(x)
    model.save(tmp_path / "m")
    for one in (fn.load_model(tmp_path / "m"), fn.Model.from_config(model.get_config())):
        one.set_weights(model.get_weights())
        found = one.predict(x)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    config = model.get_config()
    config["outputs"] = [{"mask": 0}]
    with pytest.raises(ValueError, match="mask of number 0, which has none"):
        fn.Model.from_config(config)


@pytest.mark.parametrize("masked", [(1, 1, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1)])
@pytest.mark.parametrize("kind", [layers.Multiply, layers.Maximum, layers.Minimum])
def test_masked_steps_take_no_part_in_products_and_extrema(kind, masked, dtype):
    """Step by step in NumPy, of the inputs that count; as Keras 3.15 gives it for all of these."""
    arrays = [padded(5, 4, 2, seed)[0] for seed in range(3)]
    counts = [(x != 0).any(axis=-1) if is_masked else np.ones((5, 4), bool) for x, is_masked in zip(arrays, masked)]
    inputs = [fn.Input((4, 2)) for _ in arrays]
    shifted = [layers.Rescaling(1.0, 0.5)(layers.Masking()(x) if is_masked else x) for x, is_masked in zip(inputs, masked)]
    y = kind()(shifted)
    model = fn.Model(inputs, [y, y.mask] if all(masked) else y, dtype=dtype)
    found = model.predict(arrays)
    function = {layers.Multiply: np.prod, layers.Maximum: np.max, layers.Minimum: np.min}[kind]
    for row in range(5):
        for step in range(4):
            counted = [x[row, step] + 0.5 for x, count in zip(arrays, counts) if count[row, step]]
            nothing = np.zeros(2) if kind is layers.Multiply else arrays[0][row, step] + 0.5
            expected = function(counted, axis=0) if counted else nothing
            np.testing.assert_allclose((found[0] if all(masked) else found)[row, step], expected, rtol=1e-5, atol=1e-6)
            if all(masked):
                assert found[1][row, step] == bool(counted)


def test_what_a_merged_mask_leaves_out_has_no_gradient():
    x, _ = padded()
    a, b = fn.Input((6, 3)), fn.Input((6, 3))
    masked = layers.Masking()(b)
    model = fn.Model([a, b], layers.Multiply()([a, masked]), dtype="float64")
    model.forward([x + 1, x], training=True)
    da, db = model.backward(np.ones((12, 6, 3)))
    counted = (x != 0).any(axis=-1, keepdims=True)
    np.testing.assert_allclose(da, np.where(counted, x, 1))
    np.testing.assert_allclose(db, np.where(counted, x + 1, 0))


@pytest.mark.parametrize("batch_size", [2, 5, 12])
def test_the_loss_of_masked_batches(batch_size):
    """The mean over the positions of a batch that count, batches by their rows: as Keras 3.15 does (a metric is the mean over all)."""
    x, lengths = padded()
    y = np.random.default_rng(1).normal(size=(12, 6, 2))
    model = tagger(layers.Masking(), layers.Dense(2), metrics=["mae"])
    difference = model.predict(x) - y
    counted = np.arange(6) < lengths[:, None]
    means = [(difference[rows] ** 2)[counted[rows]].mean() for rows in np.split(np.arange(12), range(batch_size, 12, batch_size))]
    rows = [min(batch_size, 12 - first) for first in range(0, 12, batch_size)]
    loss, mae = model.evaluate(x, y, batch_size=batch_size)
    np.testing.assert_allclose(loss, np.average(means, weights=rows), rtol=1e-12)
    np.testing.assert_allclose(mae, np.abs(difference)[counted].mean(), rtol=1e-12)


def test_a_mask_beside_a_python_loss_is_refused():
    """There the masked steps would count, where Keras leaves them out."""
    x = fn.Input((4,))
    h = layers.Embedding(5, 3, mask_zero=True)(x)
    model = fn.Model(x, [layers.LSTM(2, return_sequences=True, name="steps")(h), layers.LSTM(2, name="last")(h)])

    def squares(y, p):
        return float(((p - y) ** 2).mean()), 2 * (p - y) / p.size

    data = np.ones((4, 4), int), [np.zeros((4, 4, 2)), np.zeros((4, 2))]
    model.compile("adam", ["mse", squares])
    with pytest.raises(ValueError, match="output 'steps' has a mask"):  # known when the function cannot be traced
        model.fit(*data, verbose=0)
    model.compile("adam", [squares, "mse"])
    model.fit(*data, verbose=0)
