"""Writes tests/traces/import_* and keras_*: models of Keras and PyTorch, inputs, and what they compute.

    KERAS_BACKEND=tensorflow python tools/dump_import_traces.py keras     # needs Keras 3, TensorFlow and h5py
    KERAS_BACKEND=torch python tools/dump_import_traces.py files          # needs Keras 3, PyTorch and h5py
    python tools/dump_import_traces.py pytorch                            # needs PyTorch

import_keras.npz holds for each model its to_json() as bytes, "name/json", the arrays of each of its layers in the order of
get_weights(), "name/weights/layer/0", the inputs "name/x/0" and outputs "name/y/0"; some are also there as files, import_name.keras.
keras_name.keras are files of models that Keras keeps in a way of its own; keras_files.npz holds their weights, inputs and outputs,
by the same names.
import_pytorch.npz holds the state_dict, "name/state/key", and inputs and outputs as the modules have them, channels first.
All weights are random numbers, also those that begin at 0 or 1.
"""

import os
import sys
import zipfile
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FOLDER = Path(__file__).parent.parent / "tests" / "traces"
RNG = np.random.default_rng(0)
#: Models that are also written as .keras files, with the compression that Keras leaves out.
IN_FILES = ("graph", "separable", "attention", "bidirectional", "masked")


def keras_models():
    """name -> model"""
    import keras
    from keras import layers

    def dense():
        normalization = layers.Normalization()
        normalization.adapt(RNG.normal(3, 2, (50, 5)).astype("float32"))
        return keras.Sequential(
            [
                keras.Input((5,)),
                normalization,
                layers.Dense(7, activation="relu", kernel_regularizer="l2"),
                layers.BatchNormalization(epsilon=0.01),
                layers.Dropout(0.3),
                layers.Dense(6, activation="gelu", use_bias=False),
                layers.LayerNormalization(epsilon=1e-5),
                layers.LeakyReLU(negative_slope=0.2),
                layers.Reshape((2, 3)),
                layers.Flatten(),
                layers.Dense(3, kernel_constraint=keras.constraints.MaxNorm(2)),
                layers.Softmax(),
            ],
            name="dense_stack",
        )

    def graph():
        inner = keras.Sequential(
            [keras.Input((4,)), layers.Dense(5, activation="tanh"), layers.BatchNormalization(), layers.Dense(4)], name="inner"
        )
        a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
        shared = layers.Dense(4, name="shared")
        h = layers.Concatenate()([shared(inner(a)), shared(inner(inner(a))), b])
        h = layers.Dense(4, activation="elu")(h) + a
        nested_input = keras.Input((4,))
        deepest = keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="softplus")], name="deepest")
        nested = keras.Model(nested_input, layers.Average()([nested_input, deepest(nested_input)]), name="nested")
        p = layers.Dense(2, name="p")(layers.Multiply()([h, nested(a)]))
        return keras.Model([a, b], [p, layers.Maximum(name="q")([h, a])], name="graph")

    def convolution():
        return keras.Sequential([
            keras.Input((9, 8, 2)), layers.Rescaling(1 / 2, offset=-0.5), layers.Conv2D(6, 3, activation="relu"),
            layers.BatchNormalization(), layers.MaxPooling2D(), layers.Conv2D(4, (2, 3), padding="same", groups=2),
            layers.AveragePooling2D(2, strides=1), layers.GroupNormalization(2), layers.Flatten(), layers.Dense(3),
        ])  # fmt: skip

    def separable():
        x = keras.Input((8, 8, 3))
        h = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu")(x)
        h = layers.SeparableConv2D(5, 3, strides=2, padding="same")(h)
        h = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(h)
        return keras.Model(x, layers.GlobalAveragePooling2D()(h))

    def sequence():
        x = keras.Input((7, 3))
        h = layers.Conv1D(4, 3, padding="causal", dilation_rate=2)(x)
        return keras.Model(x, [layers.GlobalMaxPooling1D()(h), layers.MaxPooling1D(2)(h)])

    def attention():
        x = keras.Input((6,), name="tokens")
        h = layers.Embedding(11, 8)(x)
        h = h + layers.MultiHeadAttention(2, 3)(h, h, use_causal_mask=True)
        h = layers.LayerNormalization()(h)
        h = h + layers.GroupQueryAttention(4, 4, 2)(h, h)
        return keras.Model(x, layers.Dense(5)(h))

    def recurrent():
        x = keras.Input((5, 3))
        h = layers.LSTM(4, return_sequences=True)(x)
        h = layers.GRU(5, return_sequences=True)(h)
        h = layers.GRU(3, return_sequences=True, reset_after=False)(h)
        return keras.Model(x, layers.SimpleRNN(4)(h))

    def bidirectional():
        x = keras.Input((5, 3))
        h = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
        return keras.Model(x, layers.Bidirectional(layers.GRU(3), merge_mode="sum")(h))

    def masked():
        x, z = keras.Input((6,), name="tokens"), keras.Input((6, 3))
        h = layers.GRU(4, return_sequences=True)(layers.Embedding(4, 5, mask_zero=True)(x))
        pooled = layers.GlobalAveragePooling1D()(layers.TimeDistributed(layers.Dense(3, activation="tanh"))(h))
        joined = layers.Concatenate()([layers.Masking()(layers.Rescaling(2.0)(z)), layers.Dropout(0.5)(h)])
        return keras.Model([x, z], [pooled, layers.GlobalAveragePooling1D(keepdims=True)(joined), layers.LSTM(4)(joined)])

    makers = [dense, graph, convolution, separable, sequence, attention, recurrent, bidirectional, masked]
    return {make.__name__: make() for make in makers}


def randomize(shape, positive):
    return RNG.uniform(0.2, 1.5, shape) if positive else RNG.normal(0, 0.5, shape)


def keep_weights(arrays, layers, above, dtype=None):
    """Puts the weights of all layers, at any depth, among the arrays."""
    for layer in layers:
        if hasattr(layer, "layers"):
            keep_weights(arrays, layer.layers, f"{above}{layer.name}/", dtype)
            continue
        for i, weight in enumerate(layer.get_weights()):
            arrays[f"{above}{layer.name}/{i}"] = np.asarray(weight, dtype)


def save(model, path):
    """Writes a .keras file with the compression that Keras leaves out."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, data in parts.items():
            archive.writestr(part, data)


def dump_keras():
    arrays = {}
    for name, model in keras_models().items():
        for variable in model.weights:
            if variable.path.split("/")[-1] not in ("mean", "variance", "count"):
                positive = "variance" in variable.path or "gamma" in variable.path
                variable.assign(randomize(variable.shape, positive).astype("float32"))
        arrays[f"{name}/json"] = np.frombuffer(model.to_json().encode(), np.uint8)
        keep_weights(arrays, model.layers, f"{name}/weights/")
        shapes = [(4, *tensor.shape[1:]) for tensor in model.inputs]
        x = [RNG.integers(0, 4 if name == "masked" else 11, shape) if tensor.name == "tokens" else
             RNG.normal(size=shape).astype("float32") for tensor, shape in zip(model.inputs, shapes)]  # fmt: skip
        if name == "masked":
            x[0][:, 0], x[1][1, 2:] = 1, 0  # of every sequence some steps count
        y = model.predict(x if len(x) > 1 else x[0], verbose=0)
        arrays.update((f"{name}/x/{i}", array) for i, array in enumerate(x))
        arrays.update((f"{name}/y/{i}", array) for i, array in enumerate(y if isinstance(y, list) else [y]))
        if name in IN_FILES:
            save(model, FOLDER / f"import_{name}.keras")
    np.savez_compressed(FOLDER / "import_keras.npz", **arrays)


def file_models():
    """name -> (model, shape of the input)"""
    import keras
    from keras import layers

    def gated():
        x = keras.Input((5, 6))
        h = layers.MultiHeadAttention(2, 3, use_gate=True)(x, x)
        return keras.Model(x, layers.GroupQueryAttention(3, 2, 1, use_gate=True, use_bias=False)(h, h))

    def shared():
        x, one = keras.Input((4,)), layers.Dense(4, activation="tanh", name="one")
        a = keras.Sequential([keras.Input((4,)), one, layers.Dense(2)], name="a")
        b = keras.Sequential([keras.Input((4,)), layers.Dense(4), one], name="b")
        return keras.Model(x, [a(x), b(x), one(x)])

    def scaled():
        x = keras.Input((4, 3))
        whole, known = layers.Normalization(axis=None), layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 1.0, 9.0])
        whole.adapt(RNG.normal(3, 2, (50, 4, 3)).astype("float32"))
        h = layers.Rescaling(np.array([1.0, 2.0, 3.0]), [4.0, 5.0, 6.0])(known(whole(x)))
        return keras.Model(x, layers.Rescaling([[0.5, 2.0, 1.5]], 0.25)(h))

    def timed():
        x = keras.Input((4, 3))
        h = layers.TimeDistributed(layers.Dense(5, activation="tanh"))(x)
        return keras.Model(x, layers.TimeDistributed(layers.LayerNormalization())(h))

    def stateful():
        return keras.Sequential([keras.Input(batch_shape=(4, 5, 3)), layers.LSTM(3, stateful=True)])

    def bfloat16():
        return keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="bfloat16"), layers.Dense(2, dtype="float16")])

    def quantized():
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
        model.quantize("int8")
        return model

    def operators():
        x = keras.Input((5,))
        h = layers.Embedding(4, 3, mask_zero=True)(x)
        # what an operator returns has no mask, what the layer returns has that of its inputs
        product, sum_ = h * layers.Dense(3)(h), layers.Add()([h, layers.Dense(3)(h)])
        return keras.Model(x, [layers.GRU(2)(product), layers.GRU(2)(sum_), 1.0 - product * 2.0 + 0.5, -product / 4.0])

    def counted():
        x, a, b = keras.Input((4,)), keras.Input((4,)), keras.Input((4,))
        inner = keras.Model(a, layers.Dense(4, activation="tanh")(a))
        once = keras.Model(b, layers.ReLU(negative_slope=0.5)(layers.Dense(4)(b)))
        first = inner(x)
        return keras.Model(x, [inner(first), first, once(x), layers.ReLU(6.0)(layers.Rescaling(20.0)(x))])

    def cells():
        x = keras.Input((5, 3))
        stack = [layers.LSTMCell(4), layers.GRUCell(3, reset_after=False), layers.LSTMCell(2, use_bias=False)]
        return keras.Model(x, layers.RNN(layers.SimpleRNNCell(3))(layers.RNN(stack, return_sequences=True)(x)))

    makers = [gated, shared, scaled, timed, stateful, bfloat16, quantized, operators, counted, cells]
    return {make.__name__: make() for make in makers}


def dump_files():
    arrays = {}
    for name, model in file_models().items():
        for variable in model.weights if name != "quantized" else ():
            if variable.path.split("/")[-1] not in ("mean", "variance", "count"):
                variable.assign(randomize(variable.shape, "gamma" in variable.path).astype("float32"))
        keep_weights(arrays, model.layers, f"{name}/weights/", "float32")
        x = RNG.normal(size=(4, *model.inputs[0].shape[1:])).astype("float32")
        if name == "operators":
            x = np.array([[1, 2, 0, 3, 0], [3, 0, 0, 1, 2], [2, 2, 2, 2, 2], [1, 0, 0, 0, 0]], "float32")
        y = model.predict(x, verbose=0)
        arrays[f"{name}/x/0"] = x
        arrays.update((f"{name}/y/{i}", array) for i, array in enumerate(y if isinstance(y, list) else [y]))
        save(model, FOLDER / f"keras_{name}.keras")
    np.savez_compressed(FOLDER / "keras_files.npz", **arrays)


def pytorch_modules():
    """name -> (module, inputs)"""
    import torch
    from torch import nn

    class Last(nn.Module):
        """The outputs of a recurrent module at the last step, or of an attention."""

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)[0][:, -1]

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(11, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.norm = nn.LayerNorm(8)
            self.head = nn.Linear(8, 5)

        def forward(self, x):
            h = self.embedding(x)
            return self.head(self.norm(h + self.attention(h, h, h, need_weights=False)[0]))

    def image(*shape):
        return torch.tensor(RNG.normal(size=shape).astype("float32"))

    return {
        "dense": (nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.BatchNorm1d(7), nn.Dropout(), nn.Linear(7, 6, bias=False),
                                nn.LayerNorm(6), nn.Linear(6, 3)), image(4, 5)),
        "convolution": (nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.MaxPool2d(2),
                                      nn.Conv2d(6, 4, (2, 3), groups=2), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(8, 3)),
                        image(4, 2, 9, 8)),
        "sequence": (nn.Sequential(nn.Conv1d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(20, 2)), image(4, 3, 7)),
        "separable": (nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6, bias=False),
                                    nn.Conv2d(6, 5, 1), nn.ConvTranspose2d(5, 4, 2, stride=2)), image(4, 3, 8, 8)),
        "lstm": (Last(nn.LSTM(3, 4, num_layers=2, batch_first=True)), image(4, 5, 3)),
        "gru": (Last(nn.GRU(3, 4, batch_first=True)), image(4, 5, 3)),
        "rnn": (Last(nn.RNN(3, 4, batch_first=True)), image(4, 5, 3)),
        "bidirectional": (Last(nn.LSTM(3, 4, bidirectional=True, batch_first=True)), image(4, 5, 3)),
        "attention": (Attention(), torch.tensor(RNG.integers(0, 11, (4, 6)))),
    }  # fmt: skip


def dump_pytorch():
    import torch

    arrays = {}
    for name, (module, x) in pytorch_modules().items():
        with torch.no_grad():
            for key, tensor in module.state_dict().items():
                if tensor.is_floating_point():
                    tensor[...] = torch.tensor(randomize(tuple(tensor.shape), key.endswith("running_var")))
                arrays[f"{name}/state/{key}"] = tensor.numpy().copy()
            arrays[f"{name}/x"], arrays[f"{name}/y"] = x.numpy(), module.eval()(x).numpy()
    np.savez_compressed(FOLDER / "import_pytorch.npz", **arrays)


if __name__ == "__main__":
    {"files": dump_files, "keras": dump_keras, "pytorch": dump_pytorch}[sys.argv[1]]()
