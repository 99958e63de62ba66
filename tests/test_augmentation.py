"""Random changes of images: only in training, the same for any number of threads, each step and layer its own; how often;
what is left as it is; and arguments that make no sense. See test_images.py for Keras's."""

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet import layers

LAYERS = [
    layers.RandomFlip(), layers.RandomTranslation(0.3, 0.4), layers.RandomRotation(0.2), layers.RandomZoom(0.3, 0.2),
    layers.RandomContrast(0.5, (-2, 2)), layers.RandomBrightness(0.4, (-2, 2)), layers.RandomErasing(value_range=(-2, 2)),
]  # fmt: skip
each = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)


def images(n=64, height=6, width=5, channels=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, height, width, channels))


def again(layer, **changed):
    return type(layer).from_config(json.loads(json.dumps({**layer.get_config(), "name": None, **changed})))


def trained(*stack, x, dtype="float64", **options):
    return fn.Sequential([fn.Input(x.shape[1:]), *stack], dtype=dtype, **options).forward(x, training=True)


@each
def test_only_in_training(layer, isa, dtype):
    x = images().astype(dtype)
    model = fn.Sequential([fn.Input(x.shape[1:]), again(layer)], dtype=dtype, seed=1)
    assert np.array_equal(model.predict(x), x)
    y = model.forward(x, training=True)
    changed = (y != x).any(axis=(1, 2, 3))
    assert changed.mean() > 0.3 and len(np.unique(y.reshape(len(y), -1), axis=0)) == len(y)


@each
def test_what_it_depends_on(layer):
    """The seed, the layer's own or the model's; the step; the place of the layer."""
    x = images()
    y = trained(again(layer), x=x, seed=1)
    assert np.array_equal(y, trained(again(layer), x=x, seed=1))
    assert not np.array_equal(y, trained(again(layer), x=x, seed=2))
    assert not np.array_equal(y, trained(again(layer, seed=5), x=x, seed=1))
    assert np.array_equal(trained(again(layer, seed=5), x=x, seed=1), trained(again(layer, seed=5), x=x, seed=2))
    identity = layers.Rescaling(1.0)
    assert not np.array_equal(y, trained(identity, again(layer), x=x, seed=1))
    model = fn.Sequential([fn.Input(x.shape[1:]), again(layer), layers.Flatten(), layers.Dense(1)], seed=1)
    model.compile("sgd", "mse")
    model.train_on_batch(x, np.zeros(len(x)))
    twin = fn.Sequential([fn.Input(x.shape[1:]), again(layer), layers.Flatten(), layers.Dense(1)], seed=1)
    twin.set_weights(model.get_weights())
    assert not np.array_equal(model.forward(x, training=True), twin.forward(x, training=True))


def test_training_with_any_number_of_threads(tmp_path):
    x, labels = images(40), np.arange(40) % 2
    states = []
    for n_threads in (1, 2, 3):
        stack = [again(layer) for layer in LAYERS] + [layers.Dense(4, "relu")] + [again(layer) for layer in LAYERS]
        model = fn.Sequential([fn.Input(x.shape[1:]), *stack, layers.Flatten(), layers.Dense(2)], seed=0)
        model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), n_threads=n_threads)
        model.fit(x, labels, batch_size=16, epochs=3, verbose=0)
        states.append(b"".join(weight.tobytes() for weight in model.get_weights()))
    assert states[0] == states[1] == states[2]
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict(x), model.predict(x))
    for one in (model, loaded):
        one.fit(x, labels, batch_size=16, epochs=1, shuffle=False, verbose=0)


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_flips_are_exact_and_half_of_the_images(mode, isa, dtype):
    x = images(400).astype(dtype)
    y = trained(layers.RandomFlip(mode), x=x, dtype=dtype, seed=3)
    forms = {"as it is": x, "horizontal": x[:, :, ::-1], "vertical": x[:, ::-1], "both": x[:, ::-1, ::-1]}
    found = {name: np.mean([np.array_equal(a, b) for a, b in zip(y, form)]) for name, form in forms.items()}
    assert sum(found.values()) == pytest.approx(1)
    if mode == "horizontal_and_vertical":
        assert min(found.values()) > 0.18
    else:
        assert found["as it is"] > 0.4 and found[mode] > 0.4


@pytest.mark.parametrize("fill_mode, expected", [
    ("constant", [9, 9, 9, 0, 1, 2, 3]), ("nearest", [0, 0, 0, 0, 1, 2, 3]), ("reflect", [2, 1, 0, 0, 1, 2, 3]),
    ("wrap", [4, 5, 6, 0, 1, 2, 3]),
])  # fmt: skip
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_whole_shifts_are_exact(fill_mode, expected, interpolation):
    x = np.arange(7.0).reshape(1, 1, 7, 1)
    layer = layers.RandomTranslation(0.0, (3 / 7, 3 / 7), fill_mode, interpolation, fill_value=9.0)
    assert trained(layer, x=x).ravel().tolist() == expected
    back = layers.RandomTranslation(0.0, (-3 / 7, -3 / 7), fill_mode, interpolation, fill_value=9.0)
    mirrored = [9 if value == 9 else 6 - value for value in expected]
    assert trained(back, x=x).ravel().tolist() == mirrored[::-1]


def test_a_quarter_turn():
    x = images(1, 5, 5, 3)
    np.testing.assert_allclose(trained(layers.RandomRotation((0.25, 0.25)), x=x), np.rot90(x, axes=(1, 2)), atol=1e-12)


def test_factors_are_spread_evenly():
    x = np.zeros((2000, 1, 1, 1))
    shift = trained(layers.RandomBrightness((-0.2, 0.4), (-1, 1)), x=x).ravel() / 2
    assert -0.2 <= shift.min() < -0.19 and 0.39 < shift.max() <= 0.4
    assert shift.mean() == pytest.approx(0.1, abs=0.02) and shift.std() == pytest.approx(0.6 / np.sqrt(12), rel=0.05)


def test_contrast_keeps_the_mean_of_each_channel():
    x = images(20) + np.array([3.0, -2.0])
    y = trained(layers.RandomContrast((0.4, 0.9), (-100, 100)), x=x)
    np.testing.assert_allclose(y.mean((1, 2)), x.mean((1, 2)), atol=1e-12)
    ratio = y.std((1, 2)) / x.std((1, 2))
    np.testing.assert_allclose(ratio[:, 0], ratio[:, 1])
    assert 0.6 <= ratio.min() < 0.9 and 1.4 < ratio.max() <= 1.9


def test_how_much_and_how_often_is_erased():
    x = np.ones((600, 20, 30, 1))
    y = trained(layers.RandomErasing((1, 1), (0.25, 0.25), fill_value=0.5), x=x)
    assert ((y == 0.5).sum((1, 2, 3)) == 10 * 15).all()
    rectangles = [image[..., 0] == 0.5 for image in y]
    assert all(r.any(0).sum() * r.any(1).sum() == r.sum() for r in rectangles)
    assert len({r.tobytes() for r in rectangles}) > 100
    y = trained(layers.RandomErasing((0.3, 0.3), fill_value=0.5), x=x)
    assert (y != x).any((1, 2, 3)).mean() == pytest.approx(0.3, abs=0.05)
    noise = trained(layers.RandomErasing((1, 1), (1, 1), value_range=(-1, 1)), x=x)
    assert abs(noise.mean()) < 0.01 and noise.min() == -1 and noise.max() == 1 and np.unique(noise).size > 1e5


BAD = [
    (lambda: layers.RandomFlip("left"), ValueError, ["RandomFlip", "mode", "'vertical'", "'left'"]),
    (lambda: layers.RandomFlip(seed=-1), ValueError, ["RandomFlip", "seed", "-1"]),
    (lambda: layers.RandomFlip(seed="a"), TypeError, ["RandomFlip", "seed", "'a'"]),
    (lambda: layers.RandomFlip(name="f")(fn.Input((4, 4))), ValueError, ["layer 'f'", "(batch, height, width, channels)"]),
    (lambda: layers.RandomTranslation(1.5, 0), ValueError, ["height_factor", "between -1 and 1", "1.5"]),
    (lambda: layers.RandomTranslation(0.5, "a"), TypeError, ["width_factor", "number", "'a'"]),
    (lambda: layers.RandomTranslation(0.5, (1, 2, 3)), TypeError, ["width_factor", "(1, 2, 3)"]),
    (lambda: layers.RandomTranslation(0.5, 0.5, "mirror"), ValueError, ["fill_mode", "'reflect'", "'mirror'"]),
    (lambda: layers.RandomRotation(0.5, interpolation="cubic"), ValueError, ["interpolation", "'bilinear'", "'cubic'"]),
    (lambda: layers.RandomRotation(float("nan")), ValueError, ["RandomRotation", "factor", "nan"]),
    (lambda: layers.RandomRotation(0.5, fill_value=None), TypeError, ["fill_value", "None"]),
    (lambda: layers.RandomZoom((-1, 0.5)), ValueError, ["RandomZoom", "above -1"]),
    (lambda: layers.RandomContrast(-0.5), ValueError, ["RandomContrast", "factor", "between 0 and 1"]),
    (lambda: layers.RandomContrast(0.5, (1, 1)), ValueError, ["value_range", "(1, 1)"]),
    (lambda: layers.RandomBrightness(2), ValueError, ["RandomBrightness", "factor", "2"]),
    (lambda: layers.RandomErasing(1.5), ValueError, ["RandomErasing", "factor", "between 0 and 1"]),
    (lambda: layers.RandomErasing(scale=(0.5, 2)), ValueError, ["scale", "between 0 and 1"]),
    (lambda: layers.RandomErasing(data_format="channels_first"), ValueError, ["data_format", "channels_first"]),
]  # fmt: skip


@pytest.mark.parametrize("call, error, words", BAD, ids=[" ".join(words) for _, _, words in BAD])
def test_arguments_that_make_no_sense(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value
