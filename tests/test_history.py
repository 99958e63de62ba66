"""History: the numbers of the epochs, and their picture."""

import csv
import pickle
import subprocess
import sys

import numpy as np
import pytest
from networks import regression, rows

import fastnet as fn
from fastnet.history import History


def trained(**options):
    model = regression(6, 1, optimizer="adam", metrics=["mae"])
    return model.fit(rows(40, 4), rows(40, 1), verbose=0, **{"epochs": 3, "validation_split": 0.25, **options})


def test_append_keeps_the_lists_of_one_length():
    history = History()
    history.append(0, {"loss": 1.0})
    history.append(1, {"loss": 0.5, "val_loss": 2.0})
    history.append(2, {"val_loss": 1.0})
    assert history.epoch == [0, 1, 2]
    assert history.quantities == {"loss": [1.0, 0.5, None], "val_loss": [None, 2.0, 1.0]}
    assert history.history == {"loss": [1.0, 0.5], "val_loss": [2.0, 1.0]}


@pytest.mark.parametrize(
    "callbacks, names",
    [
        ([], []),
        ([fn.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)], ["learning_rate"]),
        ([fn.callbacks.ReduceLROnPlateau("loss")], ["learning_rate"]),
    ],
)
def test_the_history_has_the_keys_of_keras(callbacks, names):
    """As traced in Keras 3.15, whose lists of validation are as long as there were validations."""
    history = trained(epochs=5, validation_freq=2, callbacks=callbacks)
    assert set(history.history) == {"loss", "mae", "val_loss", "val_mae", *names}
    assert {name: len(values) for name, values in history.history.items()} == {
        **dict.fromkeys(["loss", "mae", *names], 5), "val_loss": 2, "val_mae": 2,
    }  # fmt: skip
    assert {len(values) for values in history.quantities.values()} == {5}
    assert set(history.quantities) - set(history.history) == {"gradient_norm", "seconds", "learning_rate"} - set(names)


def test_repr_says_how_it_ended():
    assert repr(History()) == "<History of 0 epochs: >"
    history = trained()
    loss = history.history["loss"][-1]
    assert repr(history).startswith(f"<History of 3 epochs: loss={loss:.4g}, mae=")


def test_metrics_that_are_arrays():
    model = regression(6, 2, metrics=[fn.metrics.R2Score(class_aggregation=None)])
    history = model.fit(rows(20, 4), rows(20, 2), epochs=2, verbose=2)
    assert history.history["r2_score"][1].shape == (2,)
    assert "r2_score" not in repr(history)


def test_each_fit_begins_a_new_history():
    model = regression()
    first = model.fit(rows(9, 4), rows(9, 1), epochs=2, verbose=0)
    second = model.fit(rows(9, 4), rows(9, 1), verbose=0)
    assert first.epoch == [0, 1] and second.epoch == [0] and model.history is second


@pytest.mark.parametrize("separator", [",", ";"])
def test_to_csv_holds_all_numbers_exactly(tmp_path, separator):
    history = trained(validation_freq=2, epochs=4)
    history.to_csv(tmp_path / "history.csv", separator)
    with open(tmp_path / "history.csv", newline="") as file:
        header, *lines = csv.reader(file, delimiter=separator)
    assert header == ["epoch", *history.quantities] and {"seconds", "learning_rate", "gradient_norm"} < set(header)
    columns = dict(zip(header, zip(*lines)))
    assert columns.pop("epoch") == ("0", "1", "2", "3")
    for name, values in history.quantities.items():
        assert [float(text) if text else None for text in columns[name]] == values
    assert columns["val_loss"][::2] == ("", "")


def test_to_csv_without_epochs_and_with_arrays(tmp_path):
    History().to_csv(tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text() == "epoch\n"
    history = History()
    history.append(3, {"r2_score": np.array([0.5, 0.25]), "note": 'a "b", c', "count": np.int64(3)})
    history.to_csv(tmp_path / "one.csv")
    with open(tmp_path / "one.csv", newline="") as file:
        assert list(csv.reader(file)) == [["epoch", "r2_score", "note", "count"], ["3", "[0.5, 0.25]", 'a "b", c', "3"]]


def test_the_norm_of_the_gradient_is_that_of_the_steps():
    """The root of its mean square, here of full batches, whose gradient the weights tell."""
    model = regression(6, 1, optimizer=fn.optimizers.SGD(0.5))
    before = model.get_weights()
    history = model.fit(rows(9, 4), rows(9, 1), batch_size=9, verbose=0)
    change = sum(((a - b) ** 2).sum() for a, b in zip(before, model.get_weights()))
    assert history.quantities["gradient_norm"] == [pytest.approx(np.sqrt(change) / 0.5, rel=1e-9)]


def test_seconds_are_those_of_the_epochs(monkeypatch):
    from fastnet import fitting

    now = [100.0]
    monkeypatch.setattr(fitting.time, "perf_counter", lambda: now[0])
    wait = fn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: now.__setitem__(0, now[0] + 2.0))
    assert trained(callbacks=[wait], batch_size=10).quantities["seconds"] == [6.0, 6.0, 6.0]


def test_plot_draws_the_curves(tmp_path):
    pytest.importorskip("matplotlib")
    history = trained(validation_freq=2, epochs=4)
    path = tmp_path / "curves.png"
    figure = history.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    drawn = {axis.get_title(loc="left"): axis for axis in figure.axes}
    assert {"loss", "mae", "learning rate"} <= set(drawn)
    training, validation = drawn["loss"].get_lines()
    assert training.get_xdata().tolist() == [1, 2, 3, 4]
    assert training.get_ydata().tolist() == history.history["loss"]
    assert validation.get_xdata().tolist() == [2, 4]
    assert validation.get_ydata().tolist() == history.history["val_loss"]
    assert [text.get_text() for text in drawn["loss"].get_legend().get_texts()] == ["training", "validation"]
    assert len(drawn["learning rate"].get_lines()) == 1


def test_plot_draws_what_it_can(tmp_path):
    """Epochs without a number, arrays, a single epoch."""
    pytest.importorskip("matplotlib")
    model = regression(6, 2, metrics=[fn.metrics.R2Score(class_aggregation=None)])
    history = model.fit(rows(20, 4), rows(20, 2), validation_split=0.2, verbose=0)
    figure = history.plot(tmp_path / "one.pdf")
    assert [tick for tick in figure.axes[-1].get_xticks() if 0.9 < tick < 1.1] == [1]
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
    history = History()
    for epoch in range(40):
        history.append(epoch, {"loss": 1.0 / (1 + epoch), **({"extra": 1.0} if epoch % 7 == 3 else {}), "note": "text"})
    figure = history.plot()
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["loss", "extra"]
    assert figure.axes[1].get_lines()[0].get_xdata().tolist() == [4, 11, 18, 25, 32, 39]


def panels(history):
    """By the quantity drawn: the axis."""
    return {axis.get_title(loc="left"): axis for axis in history.plot().axes}


def of(**quantities):
    history = History()
    for epoch, values in enumerate(zip(*quantities.values())):
        history.append(epoch, dict(zip(quantities, values)))
    return history


@pytest.mark.parametrize("rates, scale", [
    ([0.1, 0.01, 0.001], "log"), ([0.1, 0.1, 0.05], "log"), ([0.01, 0.1, 0.02], "log"),  # with a warm-up
    ([0.1, 0.1, 0.1], "linear"), ([0.1, 0.09, 0.08], "linear"), ([0.01, 0.05, 0.1], "linear"), ([0.1, 0.01, 0.0], "linear"),
])  # fmt: skip
def test_the_axis_of_a_learning_rate_that_decays(rates, scale):
    pytest.importorskip("matplotlib")
    drawn = panels(of(loss=[3.0, 2.0, 1.0], learning_rate=rates))
    assert drawn["learning rate"].get_yscale() == scale and drawn["loss"].get_yscale() == "linear"


def test_what_matters_is_drawn_large():
    pytest.importorskip("matplotlib")
    history = of(loss=[3.0, 2.0], val_loss=[3.0, 2.0], mae=[1.0, 2.0], mse=[1.0, 2.0], r2=[1.0, 2.0], learning_rate=[1.0, 2.0],
                 gradient_norm=[1.0, 2000.0])  # fmt: skip
    drawn = panels(history)
    drawn["loss"].figure.canvas.draw()  # where panels are is found then
    areas = {name: axis.get_position().width * axis.get_position().height for name, axis in drawn.items()}
    assert areas["loss"] > areas["mae"] > areas["learning rate"]
    assert areas["mae"] == pytest.approx(areas["r2"], rel=0.2) and areas["learning rate"] == pytest.approx(
        areas["gradient norm"], rel=0.2
    )
    assert drawn["gradient norm"].get_yscale() == "log"
    assert [name for name, axis in drawn.items() if axis.get_legend()] == ["loss"]


def test_figures_are_shown_by_notebooks():
    """These ask objects for a picture, and know figures of pyplot alone otherwise."""
    pytest.importorskip("matplotlib")
    rates = fn.tuning.LearningRates(np.array([0.1, 0.2]), np.array([1.0, 0.5]), False)
    for figure in (trained().plot(), fn.schedules.CosineDecay(0.1, 10).plot(10), rates.plot()):
        assert figure._repr_png_().startswith(b"\x89PNG")
        assert pickle.loads(pickle.dumps(figure)).axes


def test_plot_leaves_pyplot_alone():
    """It works without a display and keeps no figure alive."""
    pytest.importorskip("matplotlib")
    code = (
        "import sys; from fastnet import History; h = History(); h.append(0, {'loss': 1.0}); h.plot(); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plot_without_epochs_or_without_matplotlib(monkeypatch):
    with pytest.raises(ValueError, match="no epoch"):
        History().plot()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install fastnet-engine\[plot\]"):
        trained().plot()
