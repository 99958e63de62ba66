"""Writes what functions of Keras make of small arrays, for tests/test_keras_functions.py and test_published_data.py.

    KERAS_BACKEND=torch python tools/dump_function_traces.py       # with keras and torch installed

Writes tests/traces/keras_functions.json: for each of CASES the result as nested lists, and for each of DATA what `load_data` reads
from the file that `write_data` writes.
"""

from __future__ import annotations

import importlib
import json
import pathlib
import tempfile
from typing import Any

import numpy as np


def _inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    logits = np.vstack([rng.normal(0, 2, (3, 4)), [[-1.0, 1.0, 0.0, 0.5]]]).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([2, 0, 3, 1])
    return {
        "logits": logits,
        "probabilities": probabilities.astype(np.float32),
        "labels": labels,
        "one_hot": np.eye(4, dtype=np.float32)[labels],
        "decisions": rng.integers(0, 2, (4, 4)).astype(np.float32),
        "numbers": rng.uniform(0.1, 1.0, (4, 4)).astype(np.float32),
    }


#: Arrays by name.
INPUTS = _inputs()


_WITH_ARGUMENTS = {
    "celu": {"alpha": 1.5}, "elu": {"alpha": 1.5}, "gelu": {"approximate": True}, "hard_shrink": {"threshold": 0.8},
    "leaky_relu": {"negative_slope": 0.3}, "relu": {"negative_slope": 0.1, "max_value": 1.5, "threshold": 0.3},
    "soft_shrink": {"threshold": 0.8}, "softmax": {"axis": 0}, "squareplus": {"b": 2},
    "threshold": {"threshold": 0.2, "default_value": 0.7},
}  # fmt: skip
_ACTIVATIONS = [
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu",
    "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus",
    "softsign", "sparse_plus", "sparse_sigmoid", "squareplus", "swish", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip

#: What is called: its path, the arrays it is given by position, and the other arguments.
CASES: list[tuple[str, list[str], dict[str, Any]]] = [
    *((f"activations.{name}", ["logits"], {}) for name in _ACTIVATIONS if name != "threshold"),
    *((f"activations.{name}", ["logits"], arguments) for name, arguments in _WITH_ARGUMENTS.items()),
    ("metrics.binary_accuracy", ["decisions", "probabilities"], {"threshold": 0.3}),
    ("metrics.categorical_accuracy", ["one_hot", "logits"], {}),
    ("metrics.sparse_categorical_accuracy", ["labels", "logits"], {}),
    ("metrics.top_k_categorical_accuracy", ["one_hot", "logits"], {"k": 2}),
    ("metrics.sparse_top_k_categorical_accuracy", ["labels", "logits"], {"k": 2}),
]


#: A data set and the arguments of its `load_data`.
DATA: list[tuple[str, dict[str, Any]]] = [
    *(("imdb", options) for options in (
        {}, {"num_words": 8}, {"num_words": 8, "oov_char": None}, {"skip_top": 6, "seed": 1}, {"maxlen": 4},
        {"start_char": None, "index_from": 0},
    )),
    *(("reuters", options) for options in ({}, {"num_words": 8, "maxlen": 5}, {"test_split": 0.4, "seed": 1})),
    *(("boston_housing", options) for options in ({}, {"test_split": 0.35, "seed": 7})),
    *(("california_housing", options) for options in ({}, {"version": "small", "test_split": 0.5})),
]  # fmt: skip


def write_data(name: str, path: pathlib.Path) -> None:
    """A small file in the format of a data set."""
    if "housing" in name:
        np.savez(path, x=np.arange(1210.0).reshape(605, 2), y=np.arange(605.0))
        return
    texts = np.empty(6, object)
    texts[:] = [[3, 1], [7, 2, 9], [4], [5, 5, 5, 5], [1, 8], [2, 6]]
    np.savez(
        path, **{one: texts if one[0] == "x" else np.arange(6) for one in ("x_train", "y_train", "x_test", "y_test", "x", "y")}
    )


def read_data(module: Any, path: pathlib.Path, options: dict[str, Any]) -> list[Any]:
    """What `load_data` returns, as lists: all of short data, the first and the number of rows of others."""
    arrays = [array for part in module.load_data(path=str(path), **options) for array in part]
    return [
        [len(array), [value if isinstance(value, list) else np.asarray(value).tolist() for value in array[:6]]]
        for array in arrays
    ]


def main() -> None:
    import keras

    results = []
    for path, names, arguments in CASES:
        module, name = path.split(".")
        function = getattr(getattr(keras, module), name)
        tensors = [keras.ops.convert_to_tensor(INPUTS[one].astype(np.float32)) for one in names]
        result = keras.ops.convert_to_numpy(function(*tensors, **arguments)).astype(np.float64)
        results.append(np.vectorize(lambda number: float(f"{number:.7g}"))(result).tolist())
    data = []
    with tempfile.TemporaryDirectory() as folder:
        for name, options in DATA:
            file, module = pathlib.Path(folder) / f"{name}.npz", importlib.import_module(f"keras.src.datasets.{name}")
            write_data(name, file)
            module.get_file = lambda *_, **__: str(file)  # which would look for the published one
            data.append(read_data(module, file, options))
    path = pathlib.Path(__file__).parents[1] / "tests" / "traces" / "keras_functions.json"
    path.write_text(json.dumps({"keras": keras.__version__, "results": results, "data": data}) + "\n")
    print(f"{path.name}: {len(results)} results, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
