"""Changes of images by formulas: held to Keras with the same random numbers, and to what is random about them."""

import json
import pathlib

import augmentation_cases
import numpy as np
import pytest
from exports import compile_model

import fastnet as fn
from fastnet import layers

TRACES = np.load(pathlib.Path(__file__).parent / "traces" / "augmentations_keras.npz")
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 7, 3)).astype(float)


def trained(layer, x, **options):
    model = fn.Sequential([fn.Input(x.shape[1:]), layer], seed=1, dtype="float64", **options)
    return model.forward(x, training=True)


def test_the_traces_are_of_this_keras():
    assert json.loads(str(TRACES["facts"]))["versions"]["keras"] == "3.15.0"


@pytest.mark.parametrize("case", list(enumerate(augmentation_cases.CASES)), ids=lambda case: f"{case[0]}-{case[1][0]}")
def test_images_are_those_of_keras(case, monkeypatch):
    i, (name, arguments, _, _, drawn) = case
    left = iter(drawn)

    def draw(x, *_, **options):
        shape, number = options.get("shape", (1, 1, 1)), next(left)
        if isinstance(number, str):
            return fn.random.normal((*x.sample_shape[:2], 1), seed=augmentation_cases.SEEDS[number])
        place = x[:, : shape[0], : shape[1]]
        return (place[..., :1] if len(shape) == 3 else place[..., 0]) * 0.0 + number  # a tensor, as what is drawn is

    layer = getattr(layers, name)(**arguments)
    monkeypatch.setattr(layer, "_drawn", draw)
    x = augmentation_cases.images(case)
    np.testing.assert_allclose(trained(layer, x), TRACES[str(i)], rtol=1e-6, atol=1e-6 * np.abs(x).max())
    assert next(left, None) is None


CHANGING = {
    "AugMix": {"num_chains": 2, "chain_depth": 2}, "Equalization": {}, "RandAugment": {}, "RandomColorDegeneration": {"factor": 0.5},
    "RandomColorJitter": {"brightness_factor": 0.1, "hue_factor": 0.3}, "RandomElasticTransform": {}, "RandomGaussianBlur": {},
    "RandomGrayscale": {}, "RandomHue": {"factor": 0.5}, "RandomInvert": {"factor": (0.5, 0.5)}, "RandomPerspective": {},
    "RandomPosterization": {"factor": 5}, "RandomSaturation": {"factor": 1.0}, "RandomSharpness": {"factor": 1.0},
    "RandomShear": {"x_factor": 0.5}, "Solarization": {"threshold_factor": 1.0},
}  # fmt: skip


def test_all_of_them_are_here():
    from fastnet.layers._changing import Changing

    own = {name for name in layers.__all__ if isinstance(cls := getattr(layers, name), type) and issubclass(cls, Changing)}
    assert own == {*CHANGING, "AutoContrast", "RandomCrop"}


@pytest.mark.parametrize("name", CHANGING)
def test_predictions_do_without_them(name):
    """Nothing of them is computed, evaluations have the loss without them, and images differ from step to step and from each other."""
    make = getattr(layers, name)
    model = fn.Sequential([fn.Input((6, 7, 3)), make(**CHANGING[name], seed=3) if name != "Equalization" else make()], seed=0)
    x = np.repeat(IMAGES[:1], 8, axis=0).astype("float32")
    np.testing.assert_array_equal(model.predict(x), x)
    assert [label for label in model._latest_plan().stage_labels() if label not in ("gather", "fetch")] == []
    model.compile("sgd", "mse")
    assert model.evaluate(x, x) == 0.0
    model.fit(x, x, verbose=0)
    first = model.forward(x, training=True)
    model.fit(x, x, verbose=0)
    assert np.ptp(first - x) > 0 and first.dtype == np.float32
    if name != "Equalization":
        assert np.ptp(first, axis=0).max() > 0 and not np.array_equal(first, model.forward(x, training=True))


def test_a_step_of_predictions_has_no_number():
    """The order of rows and batches is nothing to a model that draws numbers in training alone."""
    model = fn.Sequential([fn.Input((6, 7, 3)), layers.RandomInvert(), layers.Flatten(), layers.Dense(2)], seed=0)
    assert not model._graph.draws
    np.testing.assert_array_equal(model.predict(IMAGES[:4]), model.predict(IMAGES[:4]))


def test_a_crop_is_a_part_of_the_image():
    rows, columns = np.indices((6, 7))
    x = np.repeat((10 * rows + columns)[np.newaxis, ..., np.newaxis], 200, axis=0).astype(float)
    y = trained(layers.RandomCrop(4, 5, seed=2), x)
    corners = y[:, 0, 0, 0]
    np.testing.assert_array_equal(y, corners[:, np.newaxis, np.newaxis, np.newaxis] + x[:, :4, :5])
    assert set(corners) == {0, 1, 2, 10, 11, 12, 20, 21, 22}
    model = fn.Sequential([fn.Input((6, 7, 1)), layers.RandomCrop(4, 5)])
    np.testing.assert_array_equal(model.predict(x), x[:, 1:5, 1:6])
    np.testing.assert_array_equal(trained(layers.RandomCrop(8, 5), x), trained(layers.CenterCrop(8, 5), x))


def test_probabilities_are_met():
    """Of 400 images; the bounds are five standard deviations away."""
    x = np.repeat(IMAGES, 10, axis=0)
    for layer, share in (
        (layers.RandomInvert((0.3, 0.3)), 0.3),
        (layers.RandomInvert(0.6), 0.3),
        (layers.RandomGrayscale(0.7), 0.7),
        (layers.RandomPerspective((0.2, 0.2)), 0.2),
    ):
        changed = (np.abs(trained(layer, x) - x).max(axis=(1, 2, 3)) > 0).mean()
        assert abs(changed - share) < 5 * np.sqrt(share * (1 - share) / len(x))


def test_one_of_the_layers_is_chosen_for_each_image():
    """With factor 0 each of them is known: four change the image, and sharpness makes it soft."""
    x = np.repeat(IMAGES, 10, axis=0)
    known = [
        layers.RandomPosterization((1, 1)),
        layers.Solarization(),
        layers.AutoContrast(),
        layers.Equalization(),
        layers.RandomSharpness(0.0),
    ]
    results = [x, *(trained(one, x) for one in known)]

    expected = np.array([6, 1, 1, 1, 1, 1]) / 11
    one = trained(layers.RandAugment(num_ops=1, factor=0.0, seed=1), x)
    found = np.stack([np.isclose(one, result, atol=1e-6).all(axis=(1, 2, 3)) for result in results])
    assert found.any(axis=0).all()
    assert np.all(np.abs(found.mean(axis=1) - expected) < 5 * np.sqrt(expected * (1 - expected) / len(x)))

    mixed = trained(layers.AugMix(num_chains=1, chain_depth=1, factor=0.0), x)
    between = []
    for result in results[1:]:  # a share of the way from the image to it
        way = (result - x).reshape(len(x), -1)
        share = np.sum(way * (mixed - x).reshape(len(x), -1), axis=1) / np.sum(way**2, axis=1)
        between.append(
            np.isclose(mixed, x + share[:, None, None, None] * (result - x), atol=1e-6).all(axis=(1, 2, 3))
            & (share > 1e-6)
            & (share < 1)
        )
    shares = np.mean([np.isclose(mixed, x, atol=1e-6).all(axis=(1, 2, 3)), *between], axis=1)
    np.testing.assert_allclose(shares.sum(), 1.0)
    assert np.all(np.abs(shares - np.array([7, 1, 1, 1, 1, 1]) / 12) < 0.1)


def test_models_with_them_are_saved_exported_and_trained(tmp_path):
    """As all others: their formulas are operations that files and the engine know."""
    model = fn.Sequential([
        fn.Input((5, 6, 3)), layers.RandomInvert((0.5, 0.5), (0, 1), seed=4), layers.RandomSharpness(1.0, (0, 1)), layers.Flatten(), layers.Dense(3),
    ], seed=0)  # fmt: skip
    model.compile(fn.optimizers.SGD(0.1), "mse")
    x = np.random.default_rng(0).uniform(size=(12, 5, 6, 3)).astype("float32")
    y = np.ones((12, 3), "float32")
    model.save(tmp_path / "m.safetensors")
    other = fn.load_model(tmp_path / "m.safetensors")
    for one in (model, other):
        one.fit(x, y, batch_size=4, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.predict(x), other.predict(x))
    predicted = compile_model(model).predict(x)  # no step of them is in it
    np.testing.assert_allclose(predicted[0], model.predict(x), rtol=1e-5, atol=1e-6)
    fresh = fn.load_model(tmp_path / "m.safetensors")
    compiled = compile_model(fresh, training=True, batch_size=4)
    assert np.isclose(compiled.train([x[:4]], [y[:4]], learning_rate=0.1), fresh.train_on_batch(x[:4], y[:4]), rtol=1e-5)
