"""Models of fastnet written as .keras files and loaded by Keras: the predictions must agree.

    KERAS_BACKEND=torch python tools/check_keras_writing.py    # needs Keras 3 and h5py

Every layer of the tests with every argument, and graphs whose layers come in another order in Keras. Prints what fastnet refuses, by
message, and what differs; exit status 1 if something does.
"""

import collections
import os
import pathlib
import re
import sys
import tempfile

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))


def graphs(fn):
    """Models put together in several ways."""
    layers = fn.layers
    a, b = fn.Input((4,), name="a"), fn.Input((3,))
    shared = layers.Dense(5, "tanh")
    left, right = layers.Dense(4, "relu")(b), shared(a)
    deep = layers.Dense(5)(layers.Dense(6, "elu")(left))
    yield "branches", fn.Model([a, b], layers.Add()([deep, layers.Dense(5)(right), shared(left)]), seed=0)
    yield "two ends", fn.Model([b, a], [layers.Dense(2)(deep), layers.Dense(3)(right)], seed=0)
    inner = fn.Sequential([fn.Input((4,)), layers.Dense(4, "relu"), layers.Dense(4)], seed=0, name="inner")
    yield "model twice", fn.Model(a, layers.Concatenate()([inner(layers.Dense(4)(inner(a))), inner(a)]), seed=0)
    yield "model last", fn.Model(a, [inner(inner(a)), inner(a)], seed=0)
    yield "in order", fn.Sequential([fn.Input((4,)), inner, layers.Dropout(0.5), layers.Dense(2, "softmax")], seed=0)
    tokens = fn.Input((6,), name="tokens")
    masked = layers.Embedding(9, 4, mask_zero=True)(tokens)
    back = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(masked)
    yield "masks", fn.Model(tokens, layers.Dense(2)(layers.GRU(4)(layers.TimeDistributed(layers.Dense(3))(back))), seed=0)
    cells = [layers.LSTMCell(4, dropout=0.5), layers.GRUCell(3), layers.LSTMCell(2, use_bias=False)]
    last = layers.RNN(layers.SimpleRNNCell(3), go_backwards=True)(layers.RNN(cells, return_sequences=True)(masked))
    yield "cells", fn.Model(tokens, layers.Dense(2)(last), seed=0)
    image = fn.Input((9, 8, 2))
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255, -0.5)(image))
    x = layers.BatchNormalization()(layers.MaxPooling2D()(x))
    x = layers.Add()([x, layers.SeparableConv2D(4, 3, padding="same")(x)])
    yield "images", fn.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)), seed=0, dtype="float64")


def each_layer(fn, configs):
    """Models of one layer, with every argument changed."""
    for cls in configs.classes_of("layer"):
        for arguments, changed in configs.variants(cls):
            tensor = configs.input_for(cls, changed)
            if arguments.get("stateful"):
                continue
            layer = cls(**arguments)
            try:
                model = fn.Model(tensor, layer([tensor, tensor] if configs.is_merge(cls) else tensor), seed=3)
            except (TypeError, ValueError):
                continue
            yield f"{cls.__name__} {changed or ''}", model, configs.samples_for(cls, tensor.sample_shape)


def main():
    import keras
    import test_configs

    import fastnet as fn

    random = np.random.default_rng(0)
    cases = [(name, model, None) for name, model in graphs(fn)] + list(each_layer(fn, test_configs))
    refused, wrong, right = collections.Counter(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        for name, model, x in cases:
            if x is None:
                x = [random.uniform(0, 8, (4, *tensor.sample_shape)) for tensor in model.inputs]
                x = [np.floor(array) if tensor.name == "tokens" else array for array, tensor in zip(x, model.inputs)]
            x = x if isinstance(x, list) else [x]
            for weight in model.weights:
                if not hasattr(weight.layer, "affine_map"):
                    weight.assign(weight.array + 0.1 * random.normal(size=weight.shape) ** 2)
            try:
                model.save(path)
            except ValueError as error:
                refused[re.sub(r"'[^']*'|\d+(_\d+)?", "*", str(error))] += 1
                continue
            try:
                loaded = keras.models.load_model(path, compile=False)
                found = loaded.predict([array.astype(model.dtype) for array in x], verbose=0, batch_size=4)
                again = fn.load_model(path)
                expected, ours = model.predict(x), again.predict(x)
                pairs = zip(*(one if isinstance(one, list) else [one] for one in (expected, found, ours)))
                fine = all(np.allclose(e, f, atol=1e-4, rtol=1e-4) and np.allclose(e, o, atol=1e-5) for e, f, o in pairs)
                what = "" if fine else "the predictions differ"
            except Exception as error:
                what = f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}"
            right += not what
            wrong += bool(what)
            if what:
                print(f"{name}: {what}", flush=True)
    for message, count in refused.most_common():
        print(f"refused {count} times: {message}")
    print(f"{right} agree, {wrong} do not")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
