"""Files of weights alone as Keras has them, ``.weights.h5``: those of the files that Keras 3 has written, and those written here."""

import pathlib
import zipfile

import numpy as np
import pytest
from networks import rows

import fastnet as fn
from fastnet import layers

h5py = pytest.importorskip("h5py")

TRACES = pathlib.Path(__file__).parent / "traces"
#: Written by Keras 3.15, by tools/dump_import_traces.py.
FILES = ["import_attention", "import_bidirectional", "import_graph", "import_masked", "import_separable", "keras_shared"]


def places(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, held: found.update({name: held[()]}) if isinstance(held, h5py.Dataset) else None)
    return {name: array for name, array in found.items() if not name.startswith("optimizer/") and "seed_generator" not in name}


@pytest.mark.parametrize("name", FILES)
def test_files_of_keras_are_read_and_written_alike(name, tmp_path):
    model = fn.saving.from_keras(TRACES / f"{name}.keras")
    expected = model.get_weights()
    (tmp_path / "k.weights.h5").write_bytes(zipfile.ZipFile(TRACES / f"{name}.keras").read("model.weights.h5"))
    model.set_weights([np.zeros_like(weight) for weight in expected])
    model.load_weights(tmp_path / "k.weights.h5")
    for a, b in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    model.save_weights(tmp_path / "f.weights.h5")
    ours, theirs = places(tmp_path / "f.weights.h5"), places(tmp_path / "k.weights.h5")
    assert set(ours) == set(theirs)
    for place, array in ours.items():
        if array.dtype.kind == "f":
            np.testing.assert_array_equal(array, theirs[place])


class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.a = layers.Dense(4, "relu")
        self.b = [layers.Dense(3), layers.Dense(4)]

    def build(self, input_shape):
        self.w = self.add_weight(shape=(4,), initializer="ones", name="w")

    def call(self, x):
        return self.b[1](self.b[0](self.a(x))) * self.w


class Network(fn.Model):
    def __init__(self):
        super().__init__()
        self.one, self.out = Block(), layers.Dense(2)
        self.blocks = [layers.Dense(4), layers.Dense(4)]

    def call(self, x):
        return self.out(self.one(self.blocks[1](self.blocks[0](x))))


#: As Keras 3.15 names them: attributes in the order of their names, of which `layers` is one.
OF_CLASSES = [
    *(f"blocks/dense{number}/vars/{i}" for number in ("", "_1") for i in (0, 1)),
    *(f"layers/block/{part}/vars/{i}" for part in ("a", "b/dense", "b/dense_1") for i in (0, 1)),
    *(f"layers/dense/vars/{i}" for i in (0, 1)),
    "layers/block/vars/0",
]


def test_classes_of_ones_own_go_by_their_attributes(tmp_path):
    x, path = rows(5, 4).astype(np.float32), tmp_path / "n.weights.h5"
    model, other = Network(), Network()
    expected, before = model.predict(x), other.predict(x)
    model.save_weights(path)
    assert sorted(places(path)) == sorted(OF_CLASSES)
    other.load_weights(path)
    np.testing.assert_array_equal(other.predict(x), expected)
    assert not np.array_equal(before, expected)


def test_a_normalization_has_its_statistics(tmp_path):
    x = rows(9, 3) * [1, 2, 3] + 5
    models = []
    for data in (x, x[:2]):
        layer = layers.Normalization()
        layer.adapt(data)
        models.append(fn.Sequential([fn.Input((3,)), layer, layers.Dense(2)], seed=0))
    models[0].save_weights(tmp_path / "n.weights.h5")
    assert {name: array.shape for name, array in places(tmp_path / "n.weights.h5").items() if "normal" in name} == {
        "layers/normalization/vars/0": (3,), "layers/normalization/vars/1": (3,), "layers/normalization/vars/2": (),
    }  # fmt: skip
    models[1].load_weights(tmp_path / "n.weights.h5")
    np.testing.assert_allclose(models[1].predict(x), models[0].predict(x), rtol=1e-5)


def test_a_file_that_does_not_fit_changes_nothing(tmp_path):
    def model(*units):
        return fn.Sequential([fn.Input((4,)), *map(layers.Dense, units)], seed=0)

    path, given = tmp_path / "m.weights.h5", model(3, 2)
    given.save_weights(path)
    for other, words in (
        (model(4, 2), r"'layers/dense/vars/0' has shape \(4, 3\)"),
        (model(3, 2, 1), "there is no 'layers/dense_2/vars/0'"),
        (model(3), "no weights for .*dense_1"),
    ):
        before = other.get_weights()
        with pytest.raises(ValueError, match=words):
            other.load_weights(path)
        assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights()))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="m.weights.h5"):
        given.load_weights(path)
    with pytest.raises(OSError):
        given.load_weights(tmp_path / "none.weights.h5")
