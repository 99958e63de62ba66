"""Layers of one's own within others, whose `call` takes `training`, in files: read without their classes, they do the same in both."""

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet.saving.tensors import read_tensors, write_tensors

L = fn.layers
X = np.random.default_rng(0).normal(size=(16, 4)).astype("f")
STEPS = np.random.default_rng(1).normal(size=(16, 3, 4)).astype("f")


class Factor(L.Layer):
    def call(self, x, training=False):
        return 3 * x if training else x


class Weighted(L.Layer):
    def build(self, shape):
        self.w = self.add_weight(name="w", shape=(shape[-1],), initializer="ones")

    def call(self, x, training=False):
        return 2 * x * self.w if training else x * self.w


class Plain(L.Layer):
    """That does not take `training`, and has a layer that knows itself."""

    def call(self, x):
        return 2 * L.Dropout(0.3, seed=7)(x)


class Dropping(L.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.dropout = L.Dropout(0.5, seed=8)

    def call(self, x, training=False):
        return self.dropout(3 * x if training else x, training=training)


class Around(L.Layer):
    """Calls the layers of its class one after another."""

    makers = ()

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = [make() for make in self.makers]

    def call(self, x, training=False):
        for one in self.inner:
            x = one(x, training=training)
        return x


def around(*makers, call=Around.call, name="Outer"):
    return type(name, (Around,), {"makers": makers, "call": call})


def twice(self, x, training=False):
    return self.inner[0](self.inner[0](x, training=training) + 1, training=training)


def unsaid(self, x, training=False):
    return self.inner[0](5 * x if training else x)


def never(self, x):
    return self.inner[0](x)


def either(self, x, training=False):
    return 2 * self.inner[0](x) if training else self.inner[0](x)


def against(self, x, training=False):
    """In training by what the inner one is in inference, too."""
    kept = self.inner[0](x, training=False)
    return kept + (self.inner[0](x) if training else x)


def made_model():
    return fn.Sequential([fn.Input((4,)), Factor(), L.Dense(4)], seed=1)


CASES = {
    "one": around(Factor),
    "three deep": around(around(around(Factor, Weighted, name="Innermost"), name="Middle")),
    "twice": around(Factor, call=twice),
    "weights": around(Weighted),
    "without the argument": around(Plain, call=unsaid),
    "called without it": around(Factor, call=unsaid),
    "outer without it": around(Factor, call=never),
    "dropout": around(Dropping),
    "told otherwise": around(around(Plain, call=either, name="Middle"), call=against),
    "several": around(Factor, Dropping, Weighted),
    "a model": around(made_model),
}


class Whole(fn.Model):
    def __init__(self, make=None):
        super().__init__(seed=0)
        self.own, self.last = (make or CASES["one"])(), L.Dense(2)

    def call(self, x, training=False):
        return self.last(self.own(x, training=training))


def of_class(make):
    model = Whole(make)
    model.build((None, 4))
    return model


def of_open_sizes(make):
    x = fn.Input((None, 4))
    return fn.Model(x, L.Dense(2)(make()(x)), seed=0)


def done_with(model, x=X):
    """Predictions, what training computes, and both after training has gone on."""
    found = [model.predict(x), model.forward(x, training=True)]
    model.compile(fn.optimizers.Adam(0.01), "mse")
    model.fit(x, x[..., :2], batch_size=8, epochs=2, verbose=0)
    found += [model.predict(x), model.forward(x, training=True), *model.get_weights()]
    return [array.tobytes() for array in found]


def sequential(make):
    return fn.Sequential([fn.Input((4,)), make(), L.Dense(2)], seed=0)


FORMS = [(sequential, name) for name in CASES] + [(of_class, name) for name in CASES]
FORMS += [(of_open_sizes, name) for name in CASES if name != "a model"]


@pytest.mark.parametrize(("form", "name"), FORMS, ids=[f"{form.__name__}, {name}" for form, name in FORMS])
def test_read_without_their_classes_they_do_the_same(form, name, tmp_path):
    x = STEPS if form is of_open_sizes else X
    model = form(CASES[name])
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    loaded.save(tmp_path / "again.safetensors")
    again = fn.load_model(tmp_path / "again.safetensors")
    expected = done_with(model, x)
    assert done_with(loaded, x) == expected and done_with(again, x) == expected


def test_they_are_what_their_source_says(tmp_path):
    """Not only as before they were saved: in training three times three, elsewhere nothing; also a part alone, and on arrays."""
    model = fn.Sequential([fn.Input((4,)), around(around(Factor, Factor, name="Middle"))()])
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    for one in (loaded, fn.Sequential([fn.Input((4,)), *loaded.layers])):
        np.testing.assert_array_equal(one.predict(X), X)
        np.testing.assert_allclose(one.forward(X, training=True), 9 * X, rtol=1e-6)
    x = fn.Input((4,))
    part = fn.Model(x, loaded.layers[0].sublayers()[0].sublayers()[0](x))
    np.testing.assert_array_equal(part.predict(X), X)
    np.testing.assert_allclose(part.forward(X, training=True), 3 * X, rtol=1e-6)
    for training, factor in ((None, 1), (False, 1), (True, 9)):
        np.testing.assert_allclose(loaded.layers[0](X, training=training), factor * X, rtol=1e-6)


@pytest.mark.parametrize("form", [sequential, of_class])
def test_with_their_classes_they_do_the_same(form, tmp_path):
    model, path = form(CASES["three deep"]), tmp_path / "model.safetensors"
    model.save(path)
    outer = CASES["three deep"]
    middle = outer.makers[0]
    classes = [outer, middle, middle.makers[0], Factor, Weighted]
    loaded = fn.load_model(path, custom_objects={cls.__name__: cls for cls in classes})
    assert any(type(layer) is outer for layer in loaded.layers)
    assert done_with(loaded) == done_with(model)


def test_files_of_keras(tmp_path):
    """Which hold what a model of one's own is made of, and not what it did: the classes are given."""
    pytest.importorskip("h5py")
    path = tmp_path / "model.keras"
    model = Whole()
    model.build((None, 4))
    model.save(path)
    assert done_with(fn.load_model(path, custom_objects={"Whole": Whole})) == done_with(model)


def test_checkpoints_of_older_versions(tmp_path):
    """Which do not say with which `training` a model calls its layers."""

    def train(epochs, **more):
        model = of_class(CASES["several"])
        model.compile("adam", "mse")
        callbacks = [fn.callbacks.TrainingCheckpoint(tmp_path / f"{epochs} epochs")]
        model.fit(X, X[:, :2], batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks, **more)
        return [array.tobytes() for array in model.get_weights()]

    path = tmp_path / "2 epochs"
    train(2)
    tensors, metadata = read_tensors(path)
    description = json.loads(metadata["fastnet"])
    assert {len(call) for call in description["calls"]} == {2, 4}
    description["calls"] = [call[:2] for call in description["calls"]]
    write_tensors(path, tensors, {**metadata, "fastnet": json.dumps(description)})
    assert train(4, resume_from=path) == train(4)


@pytest.mark.parametrize("mode", [1, "true", [], {}])
def test_a_damaged_value_is_an_error(mode, tmp_path):
    model = sequential(CASES["one"])
    config = model.get_config()
    config["calls"][0] += [{}, mode]
    with pytest.raises(ValueError, match="expected true or false"):
        fn.Model.from_config(config)
    config = model.get_config()
    traced = config["layers"][0]["traced"]["calls"][0]
    next(step for step in traced["steps"] if "call" in step)["mode"] = mode
    with pytest.raises(ValueError, match="expected true or false"):
        fn.Model.from_config(config)
