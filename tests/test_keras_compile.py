"""What compile was told in files of Keras: written, read, and left out where Keras has no such thing."""

import json
import zipfile

import numpy as np
import pytest
from networks import rows

import fastnet as fn
from fastnet import losses, metrics, optimizers
from fastnet.saving.keras_compile import compile_as_told

pytest.importorskip("h5py")

X = rows(16, 4).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)

#: As Keras 3.15 wrote it for SGD(0.1, momentum=0.9), MeanSquaredError() and ["mae", AUC()].
OF_KERAS = {
    "optimizer": {
        "module": "keras.src.backend.torch.optimizers.torch_sgd",
        "class_name": "SGD",
        "config": {
            "name": "sgd", "learning_rate": 0.10000000149011612, "weight_decay": None, "clipnorm": None, "global_clipnorm": None,
            "clipvalue": None, "use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None,
            "gradient_accumulation_steps": None, "momentum": 0.9, "nesterov": False,
        },
        "registered_name": "SGD",
    },
    "loss": {
        "module": "keras.losses", "class_name": "MeanSquaredError",
        "config": {"name": "mean_squared_error", "reduction": "sum_over_batch_size"}, "registered_name": None,
    },
    "loss_weights": None,
    "metrics": [
        "mae",
        {
            "module": "keras.metrics", "class_name": "AUC",
            "config": {
                "name": "auc", "dtype": "float32", "num_thresholds": 200, "curve": "ROC", "summation_method": "interpolation",
                "multi_label": False, "num_labels": None, "label_weights": None, "from_logits": False,
            },
            "registered_name": None,
        },
    ],
    "weighted_metrics": None, "run_eagerly": False, "steps_per_execution": 1, "jit_compile": False,
}  # fmt: skip


def network():
    return fn.Sequential([fn.Input((4,)), fn.layers.Dense(3, "relu"), fn.layers.Dense(1, "sigmoid")], seed=0)


@pytest.mark.parametrize(
    "optimizer, loss",
    [
        ("adam", "binary_crossentropy"),
        (optimizers.SGD(0.1, momentum=0.9, nesterov=True), losses.BinaryCrossentropy(label_smoothing=0.1)),
        (optimizers.RMSprop(0.01, clipnorm=1.0), "mse"),
        (optimizers.AdamW(0.01), "mae"),
        (optimizers.Adagrad(0.1), losses.Huber(2.0)),
        (optimizers.Lion(), "poisson"),
    ],
    ids=str,
)
def test_a_file_holds_what_compile_was_told(optimizer, loss, tmp_path):
    model = network()
    model.compile(optimizer, loss, metrics=["accuracy", metrics.AUC(name="area"), "mae", metrics.FalseNegatives(name="fn")])
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.keras")
    again = fn.load_model(tmp_path / "m.keras")
    assert again.evaluate(X, Y, return_dict=True) == model.evaluate(X, Y, return_dict=True)
    assert again.optimizer == model.optimizer
    assert not fn.load_model(tmp_path / "m.keras", compile=False).compiled


def test_a_file_of_keras_is_compiled_as_it_says():
    told, model = network(), network()
    compile_as_told(told, OF_KERAS)
    model.compile(optimizers.SGD(0.10000000149011612, momentum=0.9), "mse", metrics=["mae", metrics.AUC()])
    for one in (told, model):
        one.fit(X, Y, verbose=0)
    assert told.evaluate(X, Y, return_dict=True) == model.evaluate(X, Y, return_dict=True)
    plain = network()
    compile_as_told(plain, None)
    assert not plain.compiled
    with pytest.warns(UserWarning, match="not compiled.*there is no Own"):
        compile_as_told(plain, {**OF_KERAS, "loss": {"class_name": "Own", "config": {}}})
    assert not plain.compiled


@pytest.mark.parametrize(
    "told",
    [
        (optimizers.Adam(swa_start=3), "mse"),
        (optimizers.SGD(fn.schedules.ExponentialDecay(0.1, 10, 0.9)), "mse"),
        ("adam", lambda y_true, y_pred: fn.ops.mean((y_true - y_pred) ** 2, axis=-1)),
        ("adam", "mse", None, ["r2"]),
    ],
    ids=["a mean of the weights", "a schedule", "a function", "a metric"],
)
def test_what_keras_has_not_is_left_out(told, tmp_path):
    model = network()
    model.compile(*told)
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert "compile_config" not in json.loads(archive.read("config.json"))
    assert not fn.load_model(tmp_path / "m.keras").compiled


def test_what_keras_does_not_take_is_not_written(tmp_path):
    """Arguments of fastnet's own, for which Keras 3.15 refuses the file; and the cells of ConvLSTM, whose arrays have a place of their own."""
    x = fn.Input((3, 5, 2))
    fn.Model(x, fn.layers.ConvLSTM1D(2, 2, name="cell")(fn.layers.Normalization(mean=1.0, variance=2.0)(x))).save(
        tmp_path / "m.keras"
    )
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
        assert "fill_missing" not in layers[1]["config"]
        (tmp_path / "w.h5").write_bytes(archive.read("model.weights.h5"))
    import h5py

    with h5py.File(tmp_path / "w.h5") as file:
        assert sorted(file["layers/conv_lstm1d/cell/vars"]) == ["0", "1", "2"]
    gaps = fn.Sequential([fn.Input((3,)), fn.layers.Normalization(mean=1.0, variance=2.0, fill_missing=True)])
    with pytest.raises(ValueError, match="fill_missing"):
        gaps.save(tmp_path / "g.keras")


def test_a_tensor_tells_keras_dtype():
    assert fn.Input((3,)).dtype == "float32" and fn.Input((1,), dtype="string").dtype == "string"
    y = rows(6, 1)
    model = network()
    model.compile("sgd", lambda y_true, y_pred: fn.ops.mean((fn.ops.cast(y_true, y_pred.dtype) - y_pred) ** 2))
    assert model.evaluate(X[:6], y) == pytest.approx(np.mean((model.predict(X[:6]) - y) ** 2), rel=1e-5)
