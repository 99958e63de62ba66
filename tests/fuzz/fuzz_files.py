"""Damaged files of models, weights, training checkpoints and arrays (idx): an error that says so, soon, without much memory.

    python tests/fuzz/fuzz_files.py --seconds 60 --seed 0     # exit status 1 and a copy of the file where it is not so

Every file is a function of the seed and its number. A model that is loaded must predict, and one that a file was refused for
must be as it was. Limits: `SECONDS` of this process and `MEMORY` more than it has at its beginning.
"""

import argparse
import gzip
import json
import os
import pathlib
import random
import resource
import struct
import sys
import tempfile
import time

import numpy as np
from mutations import damaged_bytes

import fastnet as fn
from fastnet import layers
from fastnet.callbacks import EarlyStopping, TrainingCheckpoint
from fastnet.datasets import load_idx

SECONDS, MEMORY = 5.0, 1 << 30

VALUES = [None, True, False, 0, 1, -1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 10**30, -(2**63), 0.5, -0.5,
          1e-300, 1e300, float("nan"), float("inf"), "", "x", "Dense", "relu", "same", "\0", [], [0], [[]], [None], [1, 2, 3], {},
          {"class_name": "Dense"}, {"class_name": "Dense", "config": {}}, {"shared": 0}, {"shape": [2**40]}, {"mask": 0}, {"tensor": 0}]  # fmt: skip


# ---- what is damaged -------------------------------------------------------------------------------------------------


def image_model():
    x = fn.Input((8, 8, 2))
    y = layers.MaxPooling2D(3, 2, padding="same")(layers.Conv2D(3, 3, padding="same", activation="relu")(x))
    y = layers.AveragePooling2D(2)(layers.BatchNormalization()(y))
    return fn.Model(x, layers.Dense(2, "softmax")(layers.Flatten()(y)), seed=0)


def nested_model():
    inner = fn.Sequential([fn.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(5)], seed=2)
    x, y = fn.Input((5,)), fn.Input((3, 5))
    z = layers.MultiHeadAttention(2, 2)(layers.RepeatVector(2)(inner(inner(x))), layers.TimeDistributed(layers.Dense(4))(y))
    return fn.Model([x, y], layers.LSTM(3)(z), seed=3)


def dense_model():
    model = fn.Sequential([fn.Input((4,)), layers.Dense(5, "tanh"), layers.Dropout(0.1), layers.Dense(1)], seed=0)
    model.compile(fn.optimizers.Adam(fn.schedules.CosineDecay(0.01, 20)), "mse", metrics=["mae"])
    return model


class Own(layers.Layer):
    """Loaded as what it did: of other layers, a model, weights, operations and masks."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.LSTM(3, return_sequences=True)
        self.model = fn.Sequential([layers.Dense(3, "tanh"), layers.Dropout(0.1)], seed=1)

    def call(self, x, factor=1.0):
        gain = self.add_weight((3,), "ones", regularizer="l2", constraint="non_neg", name="gain")
        y = self.model(self.inner(x)) * gain * factor + np.arange(3.0)
        self.add_loss(fn.ops.sum(y**2, axis=(1, 2)))
        return [layers.Dropout(0.1)(y), fn.ops.cumsum(y, axis=1)]


def own_model():
    x = fn.Input((4, 2))
    y, z = Own()(layers.Masking()(x), factor=0.5)
    y = layers.Lambda(lambda a, b: fn.ops.mean(a * b, axis=1))([y, fn.ops.exp(z)[:, ::-1]])
    return fn.Model(x, layers.Dense(1)(y), seed=0)


def contents():
    """Name -> the bytes of a whole file."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "f")
        for make in (image_model, nested_model, dense_model, own_model):
            make().save(path)
            found[make.__name__] = pathlib.Path(path).read_bytes()
        dense_model().save_weights(path)
        found["weights"] = pathlib.Path(path).read_bytes()
        dense_model().fit(*data(), **options(), callbacks=callbacks(path))
        found["checkpoint"] = pathlib.Path(path).read_bytes()
    found["idx"] = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(24)
    found["idx.gz"] = gzip.compress(found["idx"], mtime=0)
    return found


def data():
    x = np.linspace(-1, 1, 44).reshape(11, 4)
    return x, x.sum(axis=1)


def options():
    return {"batch_size": 4, "epochs": 2, "verbose": 0}


def callbacks(path):
    return [EarlyStopping("loss", restore_best_weights=True), TrainingCheckpoint(path, every_steps=5)]


# ---- how -------------------------------------------------------------------------------------------------------------


def places_in(plain):
    """All (container, key) of a value, at any depth."""
    found, left = [], [plain]
    while left:
        one = left.pop()
        items = list(one.items()) if isinstance(one, dict) else list(enumerate(one)) if isinstance(one, list) else []
        found += [(one, key) for key, _ in items]
        left += [value for _, value in items]
    return found


def damage(plain, rng):
    """Changes a value of JSON in a few places, with what others of it hold or with extremes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = places_in(plain)
        if not places:
            return
        container, key = rng.choice(places)
        kind = rng.randrange(5)
        if kind == 0:
            del container[key]
        elif kind == 1:
            other, its = rng.choice(places)
            if its in (other if isinstance(other, dict) else range(len(other))):
                container[key] = json.loads(json.dumps(other[its]))
        elif kind == 2 and isinstance(container, list):
            container.insert(key, json.loads(json.dumps(container[key])))
        elif kind == 3 and type(container[key]) in (int, float):
            container[key] = rng.choice((container[key] + 1, container[key] - 1, -container[key], container[key] * 2**20))
        else:
            container[key] = json.loads(json.dumps(rng.choice(VALUES)))


def damaged(data, rng):
    """A safetensors file, damaged in its bytes, its header or the JSON within that; another one in its bytes."""
    kind = rng.randrange(4)
    if kind == 0 or data[8:9] != b"{":
        return damaged_bytes(data, rng)
    size = struct.unpack("<Q", data[:8])[0]
    header, numbers = json.loads(data[8 : 8 + size]), data[8 + size :]
    metadata = header.get("__metadata__", {})
    name = rng.choice(sorted(metadata) or [""])
    if kind == 1 or not metadata.get(name, "").startswith("{"):
        damage(header, rng)
    else:
        plain = json.loads(metadata[name])
        damage(plain, rng)
        metadata[name] = json.dumps(plain)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


# ---- what must hold --------------------------------------------------------------------------------------------------


def state(model):
    return [weight.tobytes() for weight in model.get_weights()], model.optimizer.batches


class Checks:
    """What reads each kind of file, and sees that a refusal names the file and changes nothing."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "damaged")
        self.whole = contents()
        self.names = sorted(self.whole)

    def file(self, seed, number):
        """The kind and the bytes of a file."""
        rng = random.Random(f"{seed}/{number}")
        name = rng.choice(self.names)
        return name, damaged(self.whole[name], rng)

    def check(self, name, content):
        """None, or what is wrong."""
        with open(self.path, "wb") as file:
            file.write(content)
        started = time.process_time()
        try:
            if name.startswith("idx"):
                load_idx(self.path)
            elif name == "weights":
                self.into_a_model(lambda model: model.load_weights(self.path))
            elif name == "checkpoint":
                self.into_a_model(self.resume)
            else:
                fn.load_model(self.path)
        except (ValueError, OSError) as error:
            if self.path not in str(error):
                return f"the message does not name the file: {error!r}"
        except FloatingPointError:
            if name != "checkpoint":
                raise
        except Exception as error:
            return f"{error!r}"
        seconds = time.process_time() - started
        return f"it took {seconds:.1f} s" if seconds > SECONDS else None

    def resume(self, model):
        model.fit(*data(), **options(), callbacks=callbacks(self.path + ".other"), resume_from=self.path)

    @staticmethod
    def into_a_model(read):
        model = dense_model()
        before = state(model)
        try:
            read(model)
        except ValueError:
            assert state(model) == before, "a refused file has changed the model"
            raise
        model.predict(np.ones((2, 4)))


def limit_memory():
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.RLIM_INFINITY))


def run(seed, seconds, number, findings):
    """How many files were read, and how many of them were findings."""
    ended, found = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        checks = Checks(folder)
        if sys.platform == "linux":
            limit_memory()
        first = number
        while time.monotonic() < ended:
            name, content = checks.file(seed, number)
            wrong = checks.check(name, content)
            if wrong is not None:
                found += 1
                os.makedirs(findings, exist_ok=True)
                path = os.path.join(findings, f"{name}-{seed}-{number}")
                with open(path, "wb") as file:
                    file.write(content)
                print(f"{path}: {wrong}", flush=True)
            number += 1
    return number - first, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--findings", default="findings", help="folder for files that are findings")
    options = parser.parse_args()
    files, found = run(options.seed, options.seconds, options.first, options.findings)
    print(f"{files} files, {found} findings")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
