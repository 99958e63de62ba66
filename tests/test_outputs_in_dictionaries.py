"""Whatever computes with a model takes one whose outputs are a dictionary as it takes the same model with a list of them."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import layers

rng = np.random.default_rng(0)
X, V, W = rng.normal(size=(6, 4)), [rng.normal(size=(6, 2)), rng.normal(size=(6, 3))], rng.normal(size=(6, 4))
TARGETS = [np.zeros((6, 2)), np.ones((6, 3))]


def models():
    """The same model with a dictionary and with a list; names of its layers are the keys, so that files of both are equal."""
    found = []
    for kind in (dict, lambda ends: list(ends.values())):
        x = fn.Input((4,), name="x")
        ends = {"right": layers.Dense(2, "tanh", name="right")(x), "left": layers.Dense(3, name="left")(x)}
        found.append(fn.Model(x, kind(ends), seed=0, name="m"))
    return found


def exported(path, model, **options):
    if options.get("training"):
        model.compile(fn.optimizers.SGD(0.1), "mse")
    model.export(path, **options)
    return path.read_bytes()


def written_as_onnx(path, model):
    pytest.importorskip("onnx")
    return fn.saving.to_onnx(model, path.with_suffix(".onnx")).verified_by and path.with_suffix(".onnx").read_bytes()


def of_tensors(path, model):
    x = fn.Input((4,))
    ys, gradient = fn.vjp(
        model, x, [layers.Dense(2, kernel_initializer="ones")(x), layers.Dense(3, kernel_initializer="ones")(x)]
    )
    return fn.Model(x, [*(ys.values() if isinstance(ys, dict) else ys), gradient], seed=0).predict(X)


USES = {
    "export": exported,
    "export in integers": lambda path, model: exported(path, model, quantize="int8", calibration=X),
    "export of a gradient": lambda path, model: exported(path, model, gradient=True),
    "export of training": lambda path, model: exported(path, model, training=True),
    "onnx": written_as_onnx,
    "vjp": lambda path, model: [*fn.vjp(model, X, V)[0], fn.vjp(model, X, V)[1]],
    "jvp": lambda path, model: [*fn.jvp(model, X, W)[0], *fn.jvp(model, X, W)[1]],
    "vjp of tensors": of_tensors,
    "fit": lambda path, model: (model.compile("sgd", "mse"), model.fit(X, TARGETS, verbose=0), model.get_weights())[2],
    "training by hand": lambda path, model: (
        model.compile("sgd", "mse"), model.forward(X, training=True), model.backward(V), model.apply_gradients(), model.get_weights()
    )[4],
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_they_count_as_their_list_does(use, tmp_path):
    for i in range(2):
        (tmp_path / str(i)).mkdir()
    found, expected = (USES[use](tmp_path / str(i) / "m.c", model) for i, model in enumerate(models()))
    if isinstance(expected, bytes):
        assert found == expected
    else:
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("number", [0, 1])
def test_what_takes_one_output_says_how_many_there_are(number):
    model = models()[number]
    with pytest.raises(ValueError, match=r"fn\.jacobian .* got 1 and 2"):
        fn.jacobian(model, X)
    with pytest.raises(ValueError, match="one array for each of the 2 outputs, got 1"):
        fn.vjp(model, X, V[0])
