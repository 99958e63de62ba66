"""Files that are not whole, hostile, of others or of another version: rejected, in little memory, and nothing in them is executed."""

import json
import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from networks import network, regression, rejects, rows, same_weights
from test_saving import assert_same, saved

import fastnet as fn
from fastnet import layers, optimizers, saving, schedules


@pytest.fixture
def written(tmp_path):
    """A model and its file."""
    model = network(5, 2, activation="relu")
    model.compile(optimizers.Adam(schedules.CosineDecay(0.1, 10)), "mse", metrics=["mae"])
    model.save(tmp_path / "m")
    return model, tmp_path / "m"


def is_rejected(path, data):
    """By load_model and load_weights, with the name of the file."""
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        fn.load_model(path)
    assert str(path) in str(caught.value), str(caught.value)


def with_description(data, change):
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    description = json.loads(header["__metadata__"]["fastnet"])
    description = change(description) or description
    header["__metadata__"]["fastnet"] = json.dumps(description)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def test_truncated(written):
    model, path = written
    data = path.read_bytes()
    for length in range(0, len(data), 13):
        is_rejected(path, data[:length])
        other = network(5, 2, seed=0)
        with rejects(other, ValueError, str(path)):
            other.load_weights(path)
    is_rejected(path, data + b"x")


def test_flipped_bits(written):
    """Give an error or a model, never a crash."""
    model, path = written
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    end = struct.unpack("<Q", data[:8])[0] + 8
    for _ in range(600):
        at = int(rng.integers(0, end))
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(flipped)
        try:
            loaded = fn.load_model(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert loaded.predict(rows(3, 4)).shape == (3, 2)


def values_in(thing, path=()):
    """Paths of everything in a description."""
    yield path
    items = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for key, value in items:
        yield from values_in(value, (*path, key))


def test_hostile_descriptions(written):
    """Whatever stands in the place of any part: a ValueError, or a model that has the weights of the file."""
    model, path = written
    data = path.read_bytes()
    description = saving.describe(model)
    deep = []
    for _ in range(500):
        deep = [deep]
    places = [place for place in values_in(description) if place]
    assert len(places) > 60
    for place in places:
        for wrong in (None, -1, 2**31, 2**70, 1e308, float("nan"), "x", "Layer", [], {}, True, [[]], deep):

            def change(given):
                inner = given
                for key in place[:-1]:
                    inner = inner[key]
                inner[place[-1]] = wrong

            path.write_bytes(with_description(data, change))
            try:
                loaded = fn.load_model(path)
            except ValueError as error:
                assert str(path) in str(error), (place, wrong)
            else:
                assert same_weights(model, loaded) or loaded.count_params() <= model.count_params(), (place, wrong)


def test_more_weights_than_the_file_holds(written):
    """A description of a huge layer takes no memory."""
    _, path = written
    data = path.read_bytes()

    def change(given):
        given["layers"][0]["config"]["units"] = 2**30

    is_rejected(path, with_description(data, change))


def model_of(layers, calls, outputs, inputs=((4,),)):
    """The description of a model; `layers` are (class, configuration), or a number of one that is shared."""
    described = [{"shared": one} if isinstance(one, int) else {"class_name": one[0], "config": one[1]} for one in layers]
    return {"fastnet": saving.description.VERSION, "class_name": "Model", "name": "m", "dtype": "float64", "seed": 0,
            "inputs": [{"shape": list(shape), "name": None} for shape in inputs], "layers": described, "calls": calls,
            "outputs": outputs, "compiled": None}  # fmt: skip


def dense(units, name="dense"):
    return ("Dense", {"units": units, "name": name})


def in_a_configuration(inner):
    """A model in the place of a value of a layer's configuration."""
    return ("Activation", {"activation": {"class_name": "Model", "config": inner}, "name": "a"})


LARGE = model_of([dense(2**14)], [[0, [0]]], [1], [(2**14,)])
#: Descriptions of some hundred bytes that stand for more memory or time than a file of that size may take.
BOMBS = {
    "a model in a layer": model_of([("Model", LARGE)], [[0, [0]]], [1], [(2**14,)]),
    "a model in a configuration": model_of([in_a_configuration(LARGE)], [[0, [0]]], [1]),
    "in a configuration within one": model_of(
        [in_a_configuration(model_of([in_a_configuration(LARGE)], [[0, [0]]], [1]))], [[0, [0]]], [1]
    ),
    "many models of the size of the file": model_of(
        [("Model", model_of([dense(7, f"dense{i}")], [[0, [0]]], [1])) for i in range(20)], [[19, [0]]], [1]
    ),
    "many in one configuration": model_of(
        [
            (
                "Activation",
                {
                    "activation": [
                        {"class_name": "Model", "config": model_of([dense(7, f"dense{i}")], [[0, [0]]], [1])} for i in range(20)
                    ],
                    "name": "a",
                },
            )
        ],
        [[0, [0]]],
        [1],
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_description_takes_more_memory_than_its_file_holds(written, monkeypatch, name):
    _, path = written
    made = []
    real = fn._weights.aligned_zeros
    monkeypatch.setattr(fn._weights, "aligned_zeros", lambda n, dtype: (made.append(n), real(min(n, 100), dtype))[1])
    data = with_description(path.read_bytes(), lambda _: BOMBS[name])
    assert len(data) < 20_000
    is_rejected(path, data)
    assert sum(made) < 200


def test_models_that_call_others_twice_stand_for_no_more_than_their_size_allows(written, monkeypatch):
    monkeypatch.setattr(saving.description, "_FREE_OPERATIONS", 500)
    _, path = written
    inner = model_of([("ReLU", {"name": "r"})], [[0, [0]], [0, [1]]], [2])
    for depth in range(40):
        inner = model_of([("Model", {**inner, "name": f"m{depth}"})], [[0, [0]], [0, [1]]], [2])
    path.write_bytes(with_description(path.read_bytes(), lambda _: inner))
    with pytest.raises(ValueError, match="more operations than its size allows"):
        fn.load_model(path)


def test_what_would_not_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(saving.description, "_FREE_OPERATIONS", 500)
    model, sizes = fn.Sequential([fn.Input((2,)), layers.ReLU()], seed=0), []
    for _ in range(10):
        x = fn.Input((2,))
        model = fn.Model(x, model(model(x)), seed=0)
        try:
            assert_same(model, saved(model, tmp_path / "m"))
            sizes.append(len(model._graph.operations))
        except ValueError as error:
            assert "a file of it would not be read again" in str(error)
    assert sizes == [2, 4, 8, 16, 32, 64, 128, 256]


def test_loading_does_not_initialise_what_the_file_replaces(tmp_path, monkeypatch):
    model = network(5, 2)
    model.save(tmp_path / "m")

    def fail(*arguments, **options):
        raise AssertionError("an initializer was called")

    monkeypatch.setattr(fn.initializers.GlorotUniform, "__call__", fail)
    assert_same(model, fn.load_model(tmp_path / "m"))
    with pytest.raises(AssertionError, match="an initializer"):
        fn.Model.from_config(model.get_config())


def test_a_newer_format(written):
    _, path = written
    data = with_description(path.read_bytes(), lambda given: given.update(fastnet=99))
    path.write_bytes(data)
    with pytest.raises(ValueError, match="newer fastnet"):
        fn.load_model(path)


def test_files_of_others(tmp_path):
    path = tmp_path / "m"
    for data in (b"", b"{}", pickle.dumps({"a": 1}), b"\x89HDF\r\n\x1a\n" + bytes(50), b"PK\3\4" + bytes(50)):
        is_rejected(path, data)
    saving.write_tensors(path, {"a": np.ones(3)}, {})
    is_rejected(path, path.read_bytes())
    with pytest.raises(FileNotFoundError):
        fn.load_model(tmp_path / "missing")
    with pytest.raises(OSError):
        fn.load_model(tmp_path)


def raw_file(path, tensors):
    """A safetensors file of tensors, each a type, a shape and bytes."""
    header, data = {}, b""
    for name, (dtype, shape, held) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(held)]}
        data += held
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_types_that_numpy_does_not_have(tmp_path):
    """bfloat16 is the upper half of float32; of others the message says which type they are."""
    kernel = np.array([[1.5, -2.0, 3.0]], "f4").T
    upper = (kernel.view(np.uint32) >> 16).astype("<u2").tobytes()
    bias = ("F32", [1], np.float32(0.25).tobytes())
    model = network(1, features=3)
    model.load_weights(raw_file(tmp_path / "w", {"dense/bias": bias, "dense/kernel": ("BF16", [3, 1], upper)}))
    assert same_weights(model, [kernel.astype("f8"), np.array([0.25])])
    for dtype, held in [("F8_E4M3", b"123"), ("F8_E5M2", b"123")]:
        with rejects(model, ValueError, "'dense/kernel'", dtype, "convert it to F32"):
            model.load_weights(raw_file(tmp_path / "w", {"dense/bias": bias, "dense/kernel": (dtype, [3, 1], held)}))


def test_nothing_is_executed(tmp_path):
    """Loading compiles no code, unpickles nothing, starts nothing."""
    regression(4, 1).save(tmp_path / "m")
    code = (
        "import sys, fastnet as fn\n"
        "first = fn.load_model(sys.argv[1])\n"  # all modules are imported now
        "seen = []\n"
        "sys.addaudithook(lambda event, arguments: seen.append(event))\n"
        "fn.load_model(sys.argv[1])\n"
        "print('open' in seen, *sorted(set(seen)))"
    )
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m")], capture_output=True, text=True, check=True)
    opened, *events = result.stdout.split()
    assert opened == "True", "the hook works"
    forbidden = (
        "exec",
        "compile",
        "import",
        "pickle.find_class",
        "marshal.loads",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
        "os.system",
        "subprocess.Popen",
        "ctypes.dlopen",
        "socket.connect",
    )
    assert not set(events) & set(forbidden)


def test_saving_over_itself_and_into_a_missing_folder(written, tmp_path):
    model, path = written
    for _ in range(2):
        model.save(path)
    assert_same(model, fn.load_model(path))
    with pytest.raises(OSError):
        model.save(tmp_path / "none" / "m")
    assert sorted(os.listdir(tmp_path)) == ["m"]
