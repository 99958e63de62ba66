"""Models of Keras and weights of PyTorch: what they compute here is what they computed there (tools/dump_import_traces.py)."""

import io
import json
import pathlib
import sys
import types
import zipfile

import numpy as np
import pytest
from networks import network, rows, same_weights

import fastnet as fn
from fastnet import layers

FOLDER = pathlib.Path(__file__).parent / "traces"
KERAS, PYTORCH = np.load(FOLDER / "import_keras.npz"), np.load(FOLDER / "import_pytorch.npz")


def names_in(archive):
    return list(dict.fromkeys(key.split("/")[0] for key in archive.files))


def arrays_of(archive, prefix):
    """The arrays below a prefix, by the rest of their names."""
    return {key[len(prefix) :]: archive[key] for key in archive.files if key.startswith(prefix)}


def listed(archive, prefix):
    return [array for _, array in sorted(arrays_of(archive, prefix).items())]


def keras_model(name, above="", description=None):
    """What stands in for a model of Keras: it has the methods that are used."""
    description = description or json.loads(bytes(KERAS[f"{name}/json"]))
    parts = []
    for layer in description["config"]["layers"]:
        path = f"{above}{layer['config']['name']}"
        if "layers" in layer["config"]:
            parts.append(keras_model(name, f"{path}/", layer))
        else:
            arrays = arrays_of(KERAS, f"{name}/weights/{path}/")
            weights = [arrays[key] for key in sorted(arrays, key=int)]
            parts.append(types.SimpleNamespace(name=path.split("/")[-1], get_weights=lambda weights=weights: weights))
    return types.SimpleNamespace(
        name=description["config"]["name"], layers=parts, to_json=lambda: json.dumps(description), get_weights=lambda: None
    )


def assert_outputs(model, x, y, tolerance):
    found = model.predict(x if len(x) > 1 else x[0])
    for a, b in zip(found if isinstance(found, list) else [found], y, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# ---- Keras ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", names_in(KERAS))
def test_keras_models_compute_the_same(name, dtype, tmp_path):
    source = keras_model(name)
    model = fn.saving.from_keras(source, dtype=dtype)
    assert model.dtype == dtype and model.name == source.name
    x, y = listed(KERAS, f"{name}/x/"), listed(KERAS, f"{name}/y/")
    assert_outputs(model, x, y, 1e-5)
    model.save(tmp_path / "m")
    assert_outputs(fn.load_model(tmp_path / "m"), x, y, 1e-5)
    if name != "dense":  # whose Normalization knows the data by itself
        for weight in model.weights:
            weight.value[...] = 0
        assert fn.saving.from_keras(source, model) is model
        assert_outputs(model, x, y, 1e-5)


def test_keras_models_keep_their_structure():
    model = fn.saving.from_keras(keras_model("graph"))
    inner, nested = model.get_layer("inner"), model.get_layer("nested")
    assert isinstance(inner, fn.Sequential) and len(inner.layers) == 3
    assert [layer.name for layer in nested.layers] == ["deepest", "average"]
    assert model.input_names == ["a", "b"] and model.output_names == ["p", "q"]
    dense = fn.saving.from_keras(keras_model("dense"))
    assert [type(layer).__name__ for layer in dense.layers] == [
        "Normalization", "Dense", "BatchNormalization", "Dropout", "Dense", "LayerNormalization", "LeakyReLU", "Reshape",
        "Flatten", "Dense", "Softmax",
    ]  # fmt: skip
    assert dense.layers[1].kernel_regularizer == fn.regularizers.L2(0.01) and dense.layers[2].epsilon == 0.01
    assert dense.layers[9].kernel_constraint == fn.constraints.MaxNorm(2)
    dense.compile("adam", "mse")
    dense.fit(rows(8, 5), rows(8, 3), verbose=0)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("import_*.keras")), ids=lambda path: path.stem)
def test_keras_files(path):
    pytest.importorskip("h5py")
    name = path.stem.removeprefix("import_")
    model = fn.saving.from_keras(path)
    assert_outputs(model, listed(KERAS, f"{name}/x/"), listed(KERAS, f"{name}/y/"), 1e-5)
    other = fn.saving.from_keras(keras_model(name))
    assert same_weights(model, other)
    for weight in other.weights:
        weight.value[...] = 0
    fn.saving.from_keras(str(path), other)
    assert same_weights(model, other)


def test_keras_files_that_are_none(tmp_path):
    pytest.importorskip("h5py")
    path = tmp_path / "m.keras"
    with pytest.raises(OSError):
        fn.saving.from_keras(path)
    whole = (FOLDER / "import_graph.keras").read_bytes()
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("config.json", "{}")
    for data in (b"", b"PK\3\4", whole[: len(whole) // 2], empty.getvalue()):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"m\.keras"):
            fn.saving.from_keras(path)


def test_without_h5py_the_message_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="pip install h5py"):
        fn.saving.from_keras(FOLDER / "import_graph.keras")


def changed(name, change):
    """A model of Keras with another configuration."""
    description = json.loads(bytes(KERAS[f"{name}/json"]))
    change(description)
    return keras_model(name, description=description)


@pytest.mark.parametrize("change, words", [
    (lambda d: d.update(class_name="Mine"), ["'Mine'", "Sequential and functional"]),
    (lambda d: d["config"]["layers"][2].update(class_name="Densely"), ["unknown layer 'Densely'", "Dense"]),
    (lambda d: d["config"]["layers"][2]["config"].update(lora_rank=3), ["'dense", "lora_rank=3"]),
    (lambda d: d["config"]["layers"][2]["config"].update(activation="zelu"), ["'dense", "zelu"]),
    (lambda d: d["config"]["layers"][2]["config"].update(units=6), ["'dense", "(5, 6)", "(5, 7)"]),
    (lambda d: d["config"]["layers"][2]["config"].update(use_bias=False), ["'dense", "1 weights, got 2"]),
    (lambda d: d["config"]["layers"][0]["config"].update(batch_shape=[None, None]), ["input", "(None, None)"]),
])  # fmt: skip
def test_keras_models_that_cannot_be_had(change, words):
    with pytest.raises(ValueError) as caught:
        fn.saving.from_keras(changed("dense", change))
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_sources_of_another_kind():
    for source in (3, None, {"a": 1}, network(3)):
        with pytest.raises(TypeError, match="Keras"):
            fn.saving.from_keras(source)
    for source in (3, None, "file.pt"):
        with pytest.raises(TypeError, match="state_dict"):
            fn.saving.from_pytorch(source, network(3))


def test_keras_weights_for_another_model():
    model = network(3, 2)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"7 layers with weights, model 'sequential' has 2"):
        fn.saving.from_keras(keras_model("graph"), model)
    with pytest.raises(ValueError, match=r"'conv1d.*\(3, 3, 4\)|1 layers"):
        fn.saving.from_keras(keras_model("sequence"), network(4, features=3))
    assert same_weights(before, model)


# ---- PyTorch ---------------------------------------------------------------------------------------------------


def attention_model():
    tokens = fn.Input((6,))
    h = layers.Embedding(11, 8)(tokens)
    h = layers.Add()([h, layers.MultiHeadAttention(2, 4)(h, h)])
    return fn.Model(tokens, layers.Dense(5)(layers.LayerNormalization(epsilon=1e-5)(h)), dtype="float64")


def stack(*given):
    return lambda: fn.Sequential([fn.Input(given[0]), *(make() for make in given[1:])], dtype="float64")


def recurrent(name, *arguments, **options):
    return lambda: getattr(layers, name)(*arguments, **options)


#: Name -> the model that does what the module does.
MODELS = {
    "dense": stack((5,), lambda: layers.Dense(7, "relu"), lambda: layers.BatchNormalization(epsilon=1e-5),
                   lambda: layers.Dropout(0.5), lambda: layers.Dense(6, use_bias=False),
                   lambda: layers.LayerNormalization(epsilon=1e-5), lambda: layers.Dense(3)),
    "convolution": stack((9, 8, 2), lambda: layers.Conv2D(6, 3, activation="relu"),
                         lambda: layers.BatchNormalization(epsilon=1e-5), layers.MaxPooling2D,
                         lambda: layers.Conv2D(4, (2, 3), groups=2), lambda: layers.GroupNormalization(2, epsilon=1e-5),
                         layers.Flatten, lambda: layers.Dense(3)),
    "sequence": stack((7, 3), lambda: layers.Conv1D(4, 3, activation="tanh"), layers.Flatten, lambda: layers.Dense(2)),
    "separable": stack((8, 8, 3), lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
                       lambda: layers.SeparableConv2D(5, 3), lambda: layers.Conv2DTranspose(4, 2, strides=2)),
    "lstm": stack((5, 3), recurrent("LSTM", 4, return_sequences=True), recurrent("LSTM", 4)),
    "gru": stack((5, 3), recurrent("GRU", 4)),
    "rnn": stack((5, 3), recurrent("SimpleRNN", 4)),
    "bidirectional": stack((5, 3), lambda: layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
                           recurrent("Flatten")),
    "attention": attention_model,
}  # fmt: skip


def channels_last(array):
    return np.moveaxis(array, 1, -1) if array.ndim > 2 else array


@pytest.mark.parametrize("name", names_in(PYTORCH))
def test_pytorch_weights_compute_the_same(name):
    x, y = PYTORCH[f"{name}/x"], PYTORCH[f"{name}/y"]
    state = arrays_of(PYTORCH, f"{name}/state/")
    model = MODELS[name]()
    assert fn.saving.from_pytorch(state, model) is model
    recurrent = name in ("lstm", "gru", "rnn", "bidirectional")
    found = model.predict(x if recurrent else channels_last(x))
    if name == "bidirectional":  # at its last step, the direction that goes back has seen one step
        found = found.reshape(len(x), 5, 8)[:, -1]
    np.testing.assert_allclose(found, y if recurrent or name == "attention" else channels_last(y), rtol=1e-5, atol=1e-5)


def dense_state():
    return arrays_of(PYTORCH, "dense/state/")


def test_modules_and_tensors():
    """What has state_dict, and what is a tensor that must be detached."""

    class Tensor:
        def __init__(self, array):
            self.array = array

        def detach(self):
            return self

        cpu = detach

        def numpy(self):
            return self.array

    state = {name: Tensor(array) for name, array in dense_state().items()}
    module = types.SimpleNamespace(state_dict=lambda: state)
    one, two = MODELS["dense"](), MODELS["dense"]()
    assert same_weights(fn.saving.from_pytorch(module, one), fn.saving.from_pytorch(dense_state(), two))


def test_modules_by_name():
    state = {f"{module}.{own}": rows(*shape) if len(shape) > 1 else rows(1, *shape)[0]
             for module, units, inputs in (("second", 2, 3), ("first", 3, 4))
             for own, shape in (("weight", (units, inputs)), ("bias", (units,)))}  # fmt: skip
    inner = fn.Sequential([fn.Input((4,)), layers.Dense(3, name="one")], name="inner", dtype="float64")
    model = fn.Sequential([inner, layers.Dense(2, name="two")], dtype="float64")
    for mapping in ({"inner/one": "first"}, {"inner/one": "first", "two": "second"}, {"two": "second"}, None):
        fn.saving.from_pytorch(state, model, mapping)
        np.testing.assert_array_equal(inner.layers[0].kernel, state["first.weight"].T)
        np.testing.assert_array_equal(model.layers[1].bias, state["second.bias"])
    before = model.get_weights()
    for mapping, words in [
        (
            {"inner/one": "second"},
            r"'two'.*'first'.*\(4, 3\), expected \(3, 2\)|'inner/one'.*'second'.*\(3, 2\), expected \(4, 3\)",
        ),
        ({"one": "first"}, "no layer 'one'.*'inner/one'"),
        ({"two": "third"}, "no module 'third'.*'second'"),
        ({"inner/one": "first", "two": "first"}, "no layer is left for module 'second'"),
    ]:
        with pytest.raises(ValueError, match=words):
            fn.saving.from_pytorch(state, model, mapping)
    assert same_weights(before, model)


@pytest.mark.parametrize("change, words", [
    (lambda s: s.pop("6.bias"), ["'dense_2'", "module '6'", "'bias'"]),
    (lambda s: [s.pop("6.bias"), s.pop("6.weight")], ["no module", "'dense_2'"]),
    (lambda s: s.update({"7.weight": np.ones((2, 2))}), ["no layer", "'7'"]),
    (lambda s: s.update({"6.extra": np.ones(2), "4.bias": np.ones(6)}), ["'dense_1'", "'bias'", "'4'"]),
    (lambda s: s.update({"2.extra": np.ones(2)}), ["'batch_normalization'", "'extra'"]),
    (lambda s: s.update({"0.weight": np.ones((7, 6))}), ["'dense'", "'0'", "(6, 7)", "(5, 7)"]),
    (lambda s: s.pop("0.weight"), ["'dense'", "'weight'"]),
])  # fmt: skip
def test_pytorch_arrays_that_do_not_fit(change, words):
    state, model = dense_state(), MODELS["dense"]()
    before = model.get_weights()
    change(state)
    with pytest.raises(ValueError) as caught:
        fn.saving.from_pytorch(state, model)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert same_weights(before, model)


def test_every_layer_with_weights_is_in_the_table():
    """Those that PyTorch has, or an error tells."""
    from fastnet.saving.pytorch_weights import LAYERS

    class Own(layers.Layer):
        def call(self, x):
            return self.emit("dense", [x], {"units": 2, "use_bias": False},
                             {"w": layers.base.WeightSpec(fn.initializers.Ones())})  # fmt: skip

    with pytest.raises(ValueError, match="'own': weights of Own"):
        fn.saving.from_pytorch({}, fn.Sequential([fn.Input((3,)), Own()]))
    assert {"Dense", "Embedding", "LayerNormalization", "BatchNormalization", "GroupNormalization"} <= set(LAYERS)
