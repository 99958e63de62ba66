"""Writes tests/traces/onnx_*.onnx and onnx_outputs.npz: models that other tools have made, and what they compute.

KERAS_BACKEND=torch python tools/make_onnx_files.py     # needs scikit-learn, skl2onnx, PyTorch, Keras 3, onnx and onnxscript
"""

import os
import pathlib
import warnings

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")
FOLDER = pathlib.Path(__file__).parents[1] / "tests" / "traces"


def of_scikit_learn(x):
    """A pipeline, of which the probabilities are one output."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), MLPClassifier((9, 5), random_state=0, max_iter=200)).fit(rows, labels)
    proto = to_onnx(model, rows[:1].astype(np.float32), options={"zipmap": False})
    (FOLDER / "onnx_scikit_learn.onnx").write_bytes(proto.SerializeToString())
    rows = rows[::10].astype(np.float32)
    return rows, model.predict_proba(rows)


def export_torch(name, model, x, dynamo):
    import torch

    model.eval()
    path = FOLDER / f"onnx_{name}.onnx"
    rows = torch.tensor(x)
    if dynamo:
        program = torch.onnx.export(model, (rows,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False)
        program.save(str(path))
    else:
        torch.onnx.export(
            model,
            (rows,),
            str(path),
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
        )
    with torch.no_grad():
        return x, model(rows).numpy()


def convolutional(x):
    """A residual network with groups, a transposed convolution, resizing and an average over all."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
            self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.pointwise = nn.Conv2d(8, 8, 1)
            self.up = nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1)
            self.norm = nn.GroupNorm(2, 6)
            self.last = nn.Linear(6, 4)

        def forward(self, x):
            x = self.first(x)
            x = x + nn.functional.gelu(self.pointwise(self.depthwise(x)))
            x = nn.functional.silu(self.norm(self.up(x)))
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            return nn.functional.softmax(self.last(x.mean(dim=(2, 3))), dim=1)

    torch.manual_seed(0)
    return export_torch("pytorch_images", Network(), x.normal(size=(3, 3, 8, 8)).astype(np.float32), dynamo=False)


def recurrent(x):
    """An LSTM in both directions, then a GRU, of which the last step is used."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
            self.gru = nn.GRU(10, 6, batch_first=True)
            self.last = nn.Linear(6, 2)

        def forward(self, x):
            return self.last(self.gru(self.lstm(x)[0])[0][:, -1])

    torch.manual_seed(1)
    return export_torch("pytorch_series", Network(), x.normal(size=(3, 7, 4)).astype(np.float32), dynamo=False)


def transformer(x):
    """A block of attention, by the exporter of newer versions."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 8)
            self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True)
            self.last = nn.Linear(8, 3)

        def forward(self, x):
            return self.last(self.block(self.inner(x)).mean(dim=1))

    torch.manual_seed(2)
    return export_torch("pytorch_attention", Network(), x.normal(size=(3, 6, 4)).astype(np.float32), dynamo=True)


def of_keras(x):
    """Images with channels last, which the exporter turns."""
    import keras

    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        keras.layers.Input((8, 8, 2)),
        keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.SeparableConv2D(5, 3, padding="same", activation="elu"),
        keras.layers.Flatten(),
        keras.layers.Dense(7, activation="tanh"),
        keras.layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    rows = x.normal(size=(3, 8, 8, 2)).astype(np.float32)
    expected = np.asarray(model.predict(rows, verbose=0))
    model.export(str(FOLDER / "onnx_keras.onnx"), format="onnx", verbose=False)
    return rows, expected


def strip(path):
    """Takes out where in which file of whose machine each node came from."""
    import onnx

    proto = onnx.load(path)
    for one in [proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output]:
        one.doc_string = ""
        one.ClearField("metadata_props")
    path.write_bytes(proto.SerializeToString())


def main():
    warnings.simplefilter("ignore")
    found = {}
    for make in (of_scikit_learn, convolutional, recurrent, transformer, of_keras):
        rows, outputs = make(np.random.default_rng(5))
        name = {"of_scikit_learn": "scikit_learn", "of_keras": "keras", "convolutional": "pytorch_images", "recurrent": "pytorch_series",
                "transformer": "pytorch_attention"}[make.__name__]  # fmt: skip
        found |= {f"{name}_x": rows, f"{name}_y": outputs}
        strip(FOLDER / f"onnx_{name}.onnx")
    np.savez_compressed(FOLDER / "onnx_outputs.npz", **found)


if __name__ == "__main__":
    main()
