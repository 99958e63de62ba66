"""Files of Keras: what they hold is read whole or refused, and what is damaged is told before anything is made of it."""

import io
import json
import sys
import tracemalloc
import types
import zipfile

import numpy as np
import pytest
from fuzz_keras import TRACES, Target, parts_of
from networks import same_weights

import fastnet as fn
from fastnet import layers

h5py = pytest.importorskip("h5py")
FILES = np.load(TRACES / "keras_files.npz")
NAMES = list(dict.fromkeys(key.split("/")[0] for key in FILES.files))


def trace(name):
    return TRACES / f"keras_{name}.keras"


def listed(prefix):
    return [FILES[key] for key in sorted(key for key in FILES.files if key.startswith(prefix))]


def stand_in(name, description, above="", known=None):
    """What stands in for a model of Keras, whose layers are objects: one that two models share is the same."""
    known = {} if known is None else known
    parts = []
    for layer in description["config"]["layers"]:
        own = layer["config"]["name"]
        if "layers" in layer["config"]:
            parts.append(stand_in(name, layer, f"{above}{own}/", known))
            continue
        weights = listed(f"{name}/weights/{above}{own}/")
        part = types.SimpleNamespace(name=own, get_weights=lambda weights=weights: weights)
        parts.append(known.setdefault(own if layer["class_name"] != "InputLayer" else above + own, part))
    return types.SimpleNamespace(
        name=description["config"]["name"], layers=parts, to_json=lambda: json.dumps(description), get_weights=lambda: None
    )


def source_of(name, kind, folder):
    path = trace(name)
    if kind == "folder":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder / name)
        return folder / name
    return path if kind == "file" else stand_in(name, json.loads(parts_of(path)["config.json"]))


def assert_outputs(model, name):
    tolerance = 0.05 if name == "bfloat16" else 1e-5  # Keras computes in the precision of the weights
    found = model.predict(FILES[f"{name}/x/0"])
    for a, b in zip(found if isinstance(found, list) else [found], listed(f"{name}/y/"), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["file", "folder", "model"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "quantized"])
def test_what_keras_keeps_in_a_way_of_its_own(name, kind, tmp_path):
    source = source_of(name, kind, tmp_path)
    model = fn.saving.from_keras(source)
    assert_outputs(model, name)
    for weight in model.weights:
        if not isinstance(weight.layer, layers.Rescaling):  # whose numbers are arguments
            weight.value[...] = 0
    assert fn.saving.from_keras(source, model) is model
    if name == "stateful":
        model.layers[0].reset_states()
    model.save(tmp_path / "m.safetensors")
    assert_outputs(model, name)
    assert_outputs(fn.load_model(tmp_path / "m.safetensors"), name)


def test_weights_in_halves_are_exact():
    model = fn.saving.from_keras(trace("bfloat16"))
    assert len(model.weights) == 4 and same_weights(model, listed("bfloat16/weights/"))


def test_names_that_were_given_count_before_the_order():
    x = fn.Input((4,))
    one, dense_1 = layers.Dense(4, "tanh", name="one"), layers.Dense(4, name="dense_1")
    b = fn.Sequential([fn.Input((4,)), dense_1, one], name="b")
    a = fn.Sequential([fn.Input((4,)), one, layers.Dense(2, name="dense")], name="a")
    model = fn.Model(x, [b(x), a(x), one(x)])
    fn.saving.from_keras(trace("shared"), model)
    found = model.predict(FILES["shared/x/0"])
    for i, y in zip((1, 0, 2), found, strict=True):
        np.testing.assert_allclose(y, FILES[f"shared/y/{i}"], rtol=1e-5, atol=1e-5)
    dense_1.name, dense_1._named = "dense_2", False
    with pytest.raises(ValueError, match=r"has shape"):
        fn.saving.from_keras(trace("shared"), model)


def test_no_attribute_of_an_array_is_read(tmp_path, monkeypatch):
    """HDF5 does not return from reading a string where its heap is damaged."""

    def read(self, name):
        raise AssertionError(name)

    monkeypatch.setattr(h5py.AttributeManager, "__getitem__", read)
    assert len(fn.saving.from_keras(trace("bfloat16")).weights) == 4


@pytest.mark.parametrize("kind", ["file", "model"])
def test_a_layer_that_models_share_is_shared(kind, tmp_path):
    model = fn.saving.from_keras(source_of("shared", kind, tmp_path))
    one = model.get_layer("one")
    assert model.get_layer("a").get_layer("one") is one and model.get_layer("b").get_layer("one") is one
    assert model.count_params() == 20 + 20 + 10


@pytest.mark.parametrize("kind", ["file", "model"])
def test_quantized_models_are_named(kind, tmp_path):
    with pytest.raises(ValueError, match=r"'dense.*quantized \(int8\)"):
        fn.saving.from_keras(source_of("quantized", kind, tmp_path))


def test_arrays_of_other_precisions_are_named():
    description = json.loads(parts_of(trace("gated"))["config.json"])
    source = stand_in("gated", description)
    source.layers[1].get_weights = lambda: [np.zeros(2, "V1")]
    with pytest.raises(ValueError, match=r"'multi_head_attention.*holds \|V1: fastnet takes"):
        fn.saving.from_keras(source)


# ---- files that are none -----------------------------------------------------------------------------------------


def test_other_formats_are_named(tmp_path):
    for name in ("m.h5", "m.weights.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["a"] = 1
        with pytest.raises(ValueError, match=rf"{name} is an HDF5 file.*legacy"):
            fn.saving.from_keras(tmp_path / name)
    for path, words in [(tmp_path, "no config.json in it"), (tmp_path / "saved", "SavedModel of TensorFlow")]:
        path.mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=words):
            (tmp_path / "saved").mkdir(exist_ok=True)
            (tmp_path / "saved" / "saved_model.pb").touch()
            fn.saving.from_keras(path)
    parts = parts_of(trace("timed"))
    parts["model.weights.npz"] = parts.pop("model.weights.h5")
    with pytest.raises(ValueError, match=r"model\.weights\.h5: .*npz"):
        fn.saving.from_keras(written(tmp_path, parts))


def written(folder, parts, compression=zipfile.ZIP_STORED):
    path = folder / "m.keras"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def with_config(folder, name, change):
    parts = parts_of(trace(name))
    config = json.loads(parts["config.json"])
    change(config["config"]["layers"])
    return written(folder, {**parts, "config.json": json.dumps(config)})


def with_weights(folder, name, change):
    parts = parts_of(trace(name))
    file = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(file, "r+") as weights:
        change(weights)
    return written(folder, {**parts, "model.weights.h5": file.getvalue()})


ATTENTION = "layers/multi_head_attention"


@pytest.mark.parametrize("change, words", [
    (lambda f: f.create_dataset(f"{ATTENTION}/more/vars/0", data=[1.0]), "no layer reads: 'layers/multi_head_attention/more/vars/0'"),
    (lambda f: f.create_dataset("layers/dense/vars/0", data=[1.0]), "no layer reads: 'layers/dense/vars/0'"),
    (lambda f: f.create_dataset(f"{ATTENTION}/query_dense/vars/x", data=[1.0]), "query_dense/vars'.*'x'"),
    (lambda f: f.__delitem__(f"{ATTENTION}/_gate_dense"), "'multi_head_attention.*10 weights, got 8.*'gate/kernel'"),
    (lambda f: f.__delitem__("layers/grouped_query_attention"), "'grouped_query_attention.*5 weights, got 0"),
    (lambda f: f.__setitem__("layers/multi_head_attention/soft", h5py.SoftLink("/layers")), "'layers/multi_head_attention/soft' is a link"),
    (lambda f: f.__setitem__("layers/out", h5py.ExternalLink("/etc/passwd", "/")), "'layers/out' is a link"),
    (lambda f: f.__setitem__("layers/again", f["layers"]), "is there twice"),
])  # fmt: skip
def test_weights_that_are_too_many_or_missing(change, words, tmp_path):
    path = with_weights(tmp_path, "gated", change)
    with pytest.raises(ValueError, match=rf"m\.keras.*{words}"):
        fn.saving.from_keras(path)
    model = fn.saving.from_keras(trace("gated"))
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"m\.keras"):
        fn.saving.from_keras(path, model)
    assert same_weights(before, model)


def test_what_is_no_weight_may_be_there(tmp_path):
    def change(file):
        file["optimizer/vars/0"] = 3
        file[f"{ATTENTION}/_dropout_layer/seed_generator/vars/0"] = np.zeros(2, "uint32")

    assert_outputs(fn.saving.from_keras(with_weights(tmp_path, "gated", change)), "gated")


@pytest.mark.parametrize("kind", ["virtual", "external", "complex", "shape", "large"])
def test_arrays_that_are_none(kind, tmp_path):
    place = "layers/time_distributed/layer/vars/1"

    def change(file):
        del file[place]
        if kind == "external":
            file.create_dataset(place, (5,), "f4", external=[("/etc/passwd", 0, 20)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((5,), "f4")
            layout[:] = h5py.VirtualSource("other.h5", "a", (5,))
            file.create_virtual_dataset(place, layout)
        elif kind == "complex":
            file[place] = np.zeros(5, "c8")
        elif kind == "shape":
            file[place] = np.zeros(6, "f4")
        else:
            file.create_dataset(place, (5,), "f4", chunks=(2**28,), maxshape=(None,))

    words = {"virtual": "not in the file", "external": "not in the file", "complex": "complex64", "shape": r"\(5,\), got \(6,\)",
             "large": "more than"}  # fmt: skip
    with pytest.raises(ValueError, match=rf"m\.keras.*{place}|{words[kind]}") as caught:
        fn.saving.from_keras(with_weights(tmp_path, "timed", change))
    assert place in str(caught.value) and caught.match(words[kind])


@pytest.mark.parametrize("change, words", [
    (lambda v: v[2]["config"]["layer"].pop("class_name"), "class_name"),
    (lambda v: v[1].pop("inbound_nodes"), "'time_distributed.*inbound_nodes"),
    (lambda v: v[1].update(inbound_nodes=[[["input", 0, 0, {}]]]), "'time_distributed.*args"),
    (lambda v: v[1].update(config=3), "config"),
    (lambda v: v[1].update(module="mine"), "'time_distributed.*'mine'"),
    (lambda v: v[1]["config"].update(name=None) or v[1].update(name=None), "has no name"),
    (lambda v: v[1]["inbound_nodes"][0]["args"][0]["config"].update(keras_history=["a", 0]), "'time_distributed.*'a', 0"),
    (lambda v: v[1]["inbound_nodes"][0]["args"][0]["config"].update(keras_history=["a", 0, 0]), "no other layer computes"),
    (lambda v: v[1]["inbound_nodes"][0]["args"].append(1.5), "'time_distributed.*1.5"),
    (lambda v: v.append(v[1]), "two layers named 'time_distributed"),
    (lambda v: v[0]["config"].update(batch_shape=[None, 2**70, 3]), "input_layer"),
    (lambda v: v[0]["config"].update(batch_shape=[None, 4, 10**9]), r"\(1000000000, 5\), got \(3, 5\)"),
    (lambda v: v[1]["config"]["layer"]["config"].update(units=10**9), r"\(3, 1000000000\), got \(3, 5\)"),
])  # fmt: skip
def test_configurations_that_are_damaged(change, words, tmp_path):
    with pytest.raises(ValueError, match=rf"m\.keras.*{words}"):
        fn.saving.from_keras(with_config(tmp_path, "timed", change))


# ---- what they cost ----------------------------------------------------------------------------------------------


def memory_of(load):
    """The most bytes that Python and NumPy take while it raises ValueError; its message."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:
            load()
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


def test_entries_that_unpack_to_much_more(tmp_path):
    parts = parts_of(trace("timed"))
    for name in ("config.json", "model.weights.h5"):
        path = written(tmp_path, {**parts, name: parts[name] + b" " * (50 << 20)}, zipfile.ZIP_DEFLATED)
        size, told = memory_of(lambda path=path: fn.saving.from_keras(path))
        assert size < 4 << 20 and f"m.keras is no whole .keras file: {name}: it would unpack to 52" in told
        whole = path.read_bytes()  # a directory that does not tell
        actual = (len(parts[name]) + (50 << 20)).to_bytes(4, "little")
        assert whole.count(actual) == 2
        path.write_bytes(whole.replace(actual, (9000).to_bytes(4, "little")))
        size, told = memory_of(lambda path=path: fn.saving.from_keras(path))
        assert size < 4 << 20 and "m.keras" in told and name in told
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = written(tmp_path, parts, compression)
        with pytest.raises(ValueError, match="config.json: it is compressed in another way"):
            fn.saving.from_keras(path)


def test_no_numbers_are_made_before_shapes_are_compared(tmp_path, monkeypatch):
    """Nor are any drawn that the file's replace."""

    def sample(self, shape, rng):
        raise AssertionError(f"{type(self).__name__} of {shape}")

    for cls in (fn.initializers.VarianceScaling, fn.initializers.Orthogonal, fn.initializers.RandomUniform):
        monkeypatch.setattr(cls, "sample", sample)
    for name in ("gated", "shared", "timed", "stateful"):
        assert_outputs(fn.saving.from_keras(trace(name)), name)

    def widen(found):
        for layer in found[1:]:
            layer["config"]["layers"][1]["config"]["units"] = 10**8

    path = with_config(tmp_path, "shared", lambda found: widen(found[:2]))
    size, told = memory_of(lambda: fn.saving.from_keras(path))
    assert size < 4 << 20 and "100000000" in told

    def widen_input(found):
        del found[2:]
        found[0]["config"]["batch_shape"] = [None, 10**8]

    path = with_config(tmp_path, "scaled", widen_input)
    size, told = memory_of(lambda: fn.saving.from_keras(path))
    assert size < 4 << 20 and "m.keras" in told


def nested(depth, calls):
    """A configuration of models within models, each of which is called several times; its own layer as well."""

    def tensor(name, i=0):
        return {
            "class_name": "__keras_tensor__",
            "config": {"shape": [None, 2], "dtype": "float32", "keras_history": [name, i, 0]},
        }

    def node(name, i=0):
        return {"args": [tensor(name, i)], "kwargs": {}}

    inner = {"class_name": "Activation", "config": {"name": "f", "activation": "relu"}, "name": "f"}
    for level in range(depth):
        name = inner["name"]
        inner["inbound_nodes"] = [node("x"), *(node(name, i) for i in range(calls - 1))]
        config = {"name": f"m{level}", "layers": [
            {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 2]}, "name": "x", "inbound_nodes": []}, inner,
        ], "input_layers": [["x", 0, 0]], "output_layers": [[name, calls - 1, 0]]}  # fmt: skip
        inner = {"class_name": "Functional", "config": config, "name": f"m{level}"}
    return inner


def test_models_that_call_models_often(tmp_path):
    parts = parts_of(trace("bfloat16"))
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.create_group("layers")
    parts["model.weights.h5"] = (tmp_path / "empty.h5").read_bytes()
    model = fn.saving.from_keras(written(tmp_path, {**parts, "config.json": json.dumps(nested(3, 3))}))
    np.testing.assert_array_equal(model.predict([[-1.0, 2.0]]), [[0.0, 2.0]])
    path = written(tmp_path, {**parts, "config.json": json.dumps(nested(12, 10))})
    with pytest.raises(ValueError, match=r"m\.keras.*1000000000000 calls of layers"):
        fn.saving.from_keras(path)
    limit = sys.getrecursionlimit()
    deep = '{"class_name": "Sequential", "config": {"name": "a", "layers": [' * limit + "]}}" * limit
    path = written(tmp_path, {**parts, "config.json": deep})
    with pytest.raises(ValueError, match=r"m\.keras.*nested too deeply"):
        fn.saving.from_keras(path)


def test_what_waits_for_others_is_called_in_time(tmp_path, monkeypatch):
    """Layers that are listed last first: each is looked at as often as it reads something."""
    looked = []
    from fastnet.saving import keras_models

    histories = keras_models.histories
    monkeypatch.setattr(keras_models, "histories", lambda plain: looked.append(1) or histories(plain))
    found = nested(1, 1)
    chain = [dict(found["config"]["layers"][1], name=f"f{i}", config={"name": f"f{i}", "activation": "relu"}) for i in range(300)]
    for i, layer in enumerate(chain):
        node = json.loads(json.dumps(layer["inbound_nodes"][0]))
        node["args"][0]["config"]["keras_history"] = [f"f{i - 1}" if i else "x", 0, 0]
        layer["inbound_nodes"] = [node]
    found["config"].update(layers=[found["config"]["layers"][0], *chain[::-1]], output_layers=[["f299", 0, 0]])
    source = types.SimpleNamespace(layers=[], to_json=lambda: json.dumps(found), get_weights=list)
    model = fn.saving.from_keras(source)
    assert [layer.name for layer in model.layers] == [f"f{i}" for i in range(300)] and len(looked) < 5 * 300


# ---- any damage --------------------------------------------------------------------------------------------------


def test_files_that_are_damaged_anyhow(tmp_path):
    """More of them are made by tests/fuzz/fuzz_keras.py."""
    target = Target(tmp_path)
    wrong = {number: told for number in range(300) if (told := target.run(0, number))}
    assert not wrong


def test_scaling_by_arrays_of_other_axes_is_refused():
    with pytest.raises(ValueError, match="one finite number for each feature"):
        layers.Rescaling([[1.0], [2.0], [3.0]])
    assert layers.Rescaling([[1.0, 2.0, 3.0]]).scale.shape == (3,)
    for axis in ((), [], None):
        assert layers.Normalization(axis=axis).axis is None


def test_what_is_left_out_of_masked_steps_is_refused_where_it_matters():
    """Bidirectional sets it, here as there; a layer of its own would repeat what it returned last."""
    source = json.loads(parts_of(trace("stateful"))["config.json"])
    source["config"]["layers"][1]["config"]["zero_output_for_mask"] = True
    with pytest.raises(ValueError, match="'lstm.*zero_output_for_mask=True"):
        fn.saving.from_keras(stand_in("stateful", source))


def test_inputs_in_a_dictionary_are_in_the_order_of_its_keys(tmp_path):
    parts = parts_of(TRACES / "import_graph.keras")
    config = json.loads(parts["config.json"])
    config["config"]["input_layers"] = {"z": ["a", 0, 0], "c": ["b", 0, 0]}
    config["config"]["output_layers"] = {"q": ["q", 0, 0], "p": ["p", 0, 0]}
    model = fn.saving.from_keras(written(tmp_path, {**parts, "config.json": json.dumps(config)}))
    assert model.input_names == ["c", "z"] and model.output_names == ["p", "q"]
