"""Models of classes of the user's in .keras files: of the class again where that is known, else TypeError, as in Keras 3.15."""

import json
import pickle
import zipfile

import numpy as np
import pytest

import fastnet as fn

pytest.importorskip("h5py")

X = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


class Told(fn.Model):
    """One that says what makes it."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.body = units, [fn.layers.Dense(units, "relu"), fn.layers.Dense(2)]

    def call(self, x):
        return self.body[1](self.body[0](x))

    def get_config(self):
        return {"units": self.units}


class Required(fn.Model):
    """One whose constructor is given what no attribute has, which Keras notes by itself."""

    def __init__(self, units, scale=1.0):
        super().__init__()
        self.dense, self.factor = fn.layers.Dense(units), 2 * scale

    def call(self, x):
        return self.dense(x) * self.factor


class Made(Told):
    @classmethod
    def from_config(cls, config):
        made = cls(**config)
        made.mark = "from_config"
        return made


class OfLayers(fn.Model):
    def score(self):
        return "own"


class Stack(fn.Sequential):
    pass


class OfItsOwn(fn.Model):
    """A functional model that its constructor connects."""

    def __init__(self, units=4):
        x = fn.Input((3,))
        super().__init__(x, fn.layers.Dense(units)(x))


def of_layers():
    x = fn.Input((3,))
    return OfLayers(x, fn.layers.Dense(2)(fn.layers.Dense(5, "relu")(x)))


MODELS = {
    "get_config": lambda: Told(5),
    "constructor": lambda: Required(4, scale=0.25),
    "from_config": lambda: Made(4),
    "functional": of_layers,
    "stack": lambda: Stack([fn.Input((3,)), fn.layers.Dense(5, "relu"), fn.layers.Dense(2)]),
    "connected": lambda: OfItsOwn(6),
    "restored": lambda: pickle.loads(pickle.dumps(Required(4, scale=0.25))),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_class_that_is_known_comes_back_and_one_that_is_not_is_an_error(tmp_path, kind):
    model, path = MODELS[kind](), tmp_path / "m.keras"
    cls, expected = type(model), model.predict(X)
    model.save(path)
    with pytest.raises(TypeError, match=f"could not locate class '{cls.__name__}'"):
        fn.load_model(path)
    with pytest.raises(TypeError, match="no class of models"):
        fn.load_model(path, custom_objects={cls.__name__: fn.layers.Dense})
    loaded = fn.load_model(path, custom_objects={cls.__name__: cls})
    assert type(loaded) is cls and loaded.name
    np.testing.assert_array_equal(loaded.predict(X), expected)
    with fn.saving.custom_object_scope({cls.__name__: cls}):
        assert type(fn.load_model(path)) is cls
    assert getattr(loaded, "mark", None) == ("from_config" if cls is Made else None)


def test_a_registered_class_is_found_and_trains_on(tmp_path):
    @fn.saving.register_keras_serializable("classes")
    class Known(Told):
        pass

    model, path = Known(4), tmp_path / "m.keras"
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(X, X[:, :2], verbose=0)
    model.save(path)
    loaded = fn.load_model(path)
    assert type(loaded) is Known and loaded.units == 4
    assert loaded.evaluate(X, X[:, :2], verbose=0) == model.evaluate(X, X[:, :2], verbose=0)


def test_the_file_is_what_keras_writes_for_such_a_class(tmp_path):
    model = Told(4)
    model.predict(X)
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        config = json.loads(archive.read("config.json"))
    # What Keras 3.15 says of the same class, which was called on an array.
    assert config == {
        "module": None, "class_name": "Told", "config": {"units": 4}, "registered_name": "Told", "build_config": {"input_shape": [None, 3]},
    }  # fmt: skip


def test_what_a_file_cannot_tell_is_said(tmp_path):
    class Opaque(fn.Model):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def call(self, x):
            return self.layer(x)

    model = Opaque(fn.layers.Dense(2))
    expected = model.predict(X)
    with pytest.warns(UserWarning, match="class Opaque is given"):
        model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(fn.load_model(tmp_path / "m.keras").predict(X), expected)
