"""python -m bench.embedded: exported models beside emlearn's, on an emulated Cortex-M4F (GCC -Os); in int8 on smaller ones too."""

from __future__ import annotations

import importlib.util
import pathlib
import tempfile
import warnings

import numpy as np

import fastnet as fn

from .board import BOARDS, MISSING, Board, Measured, measure

#: Layers of the networks, and how many numbers they take.
MLPS = {"64-128-64-10": (64, (128, 64), 10), "4-24-24-2": (4, (24, 24), 2)}


def make_mlp(inputs: int, hidden: tuple[int, ...], outputs: int, activation: str = "softmax") -> fn.Sequential:
    """A dense network with relu, and another activation at its end."""
    layers = [fn.layers.Dense(units, activation="relu") for units in hidden]
    return fn.Sequential([fn.Input((inputs,)), *layers, fn.layers.Dense(outputs, activation=activation)], seed=0)


def make_convolution() -> fn.Sequential:
    """Two convolutions over digits of 8 by 8."""
    layers = [
        fn.layers.Conv2D(16, 3, padding="same", activation="relu"),
        fn.layers.MaxPooling2D(2),
        fn.layers.Conv2D(32, 3, padding="same", activation="relu"),
        fn.layers.Flatten(),
        fn.layers.Dense(10, activation="softmax"),
    ]
    return fn.Sequential([fn.Input((8, 8, 1)), *layers], seed=0)


def table_of(name: str, values: np.ndarray) -> str:
    """A C array."""
    numbers = ", ".join(
        f"{value:.9g}f" if "." in f"{value:.9g}" or "e" in f"{value:.9g}" else f"{value:.0f}.0f" for value in values
    )
    return f"static const float {name}[{len(values)}] = {{{numbers}}};"


def measure_export(
    model: fn.Model, training: bool = False, board: Board = BOARDS["Cortex-M4F"], **options: object
) -> tuple[Measured, int]:
    """What an exported model takes, and how many bytes its weights are."""
    inputs = int(np.prod(model.inputs[0].sample_shape))
    outputs = int(np.prod(model.outputs[0].sample_shape))
    random = np.random.default_rng(0)
    data = table_of("x", random.normal(size=inputs))
    with tempfile.TemporaryDirectory() as folder:
        exported = model.export(pathlib.Path(folder, "net.c"), training=training, **options)
        source = exported.paths[0].read_text()
    if training:
        labels = "net_int *y_target" in source
        target = "static const int32_t t[1] = {1};" if labels else table_of("t", random.normal(size=outputs))
        head = f"{source}\n{data}\n{target}\nstatic net_memory memory;\nstatic volatile float loss;"
        call = "loss = net_train(x, t, 0, 0.01f, &memory);"
        return measure(head, call, "net_reset(&memory);", data=(4 * inputs, 4)), exported.weights
    head = f"{source}\n{data}\nstatic float y[{outputs}];\nstatic net_memory memory;"
    return measure(head, "net_predict(x, y, &memory);", data=(4 * inputs, 4 * outputs), board=board), exported.weights


def quantization_of(model: fn.Model) -> dict[str, object]:
    """Options of an export in integers."""
    shape = model.inputs[0].sample_shape
    return {"quantize": "int8", "calibration": np.random.default_rng(0).normal(size=(100, *shape))}


def measure_emlearn(inputs: int, hidden: tuple[int, ...], outputs: int) -> tuple[Measured, int]:
    """What emlearn makes of such a network of scikit-learn's."""
    import emlearn
    from sklearn.neural_network import MLPClassifier

    random = np.random.default_rng(0)
    x, y = random.normal(size=(200, inputs)).astype(np.float32), random.integers(0, outputs, 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = MLPClassifier(hidden, max_iter=2, random_state=0).fit(x, y)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "net.h")
        emlearn.convert(network, dtype="float").save(file=str(path), name="net")
        head = f"{path.read_text()}\n{table_of('x', x[0])}\nstatic volatile int label;"
    include = str(pathlib.Path(emlearn.__file__).parent)
    measured = measure(head, f"label = net_predict(x, {inputs});", includes=(include,), libraries=("m",), data=(4 * inputs, 4))
    return measured, 4 * sum(array.size for array in [*network.coefs_, *network.intercepts_])


def print_row(network: str, library: str, measured: Measured, weights: int) -> None:
    print(f"| {network} | {library} | {measured.instructions:,} | {measured.text - weights:,} | {weights:,} | {measured.ram:,} |")


def main() -> None:
    if MISSING:
        raise SystemExit(
            f"not here: {', '.join(MISSING)}. Debian has gcc-arm-none-eabi, picolibc-arm-none-eabi and qemu-system-arm"
        )
    print(
        "| network | library | instructions | bytes of code | bytes of weights | bytes of variables |\n|---|---|---|---|---|---|"
    )
    for network, sizes in MLPS.items():
        print_row(network, "fastnet", *measure_export(make_mlp(*sizes)))
        if importlib.util.find_spec("emlearn") and importlib.util.find_spec("sklearn"):
            print_row(network, "emlearn", *measure_emlearn(*sizes))
    print_row("conv net 8x8x1", "fastnet", *measure_export(make_convolution()))
    for network, model in (("64-128-64-10 softmax", make_mlp(64, (128, 64), 10)), ("conv net 8x8x1", make_convolution())):
        for name, board in BOARDS.items():
            if not board.missing:
                print_row(f"{network}, int8, {name}", "fastnet", *measure_export(model, board=board, **quantization_of(model)))
    for network, sizes in MLPS.items():
        for activation, loss in (("softmax", "sparse_categorical_crossentropy"), ("linear", "mean_squared_error")):
            model = make_mlp(*sizes, activation=activation)
            model.compile("sgd", loss)
            print_row(f"SGD step of {network}, {loss}", "fastnet", *measure_export(model, training=True))


if __name__ == "__main__":
    main()
