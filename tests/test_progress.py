"""What fit prints as it goes: on terminals of several widths, in files, in notebooks."""

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
import threading
import time
import types

import pytest
from networks import regression, rejects, rows

import fastnet as fn
from fastnet import _progress
from fastnet.callbacks import Callback, LambdaCallback

METRICS = ["mae", "mse", "root_mean_squared_error"]
VALIDATION = [f"val_{name}" for name in ("loss", *METRICS)]


def fit(model, *callbacks, epochs=2, rows_of=48, **options):
    x, y = rows(rows_of, 4), rows(rows_of, 1)
    return model.fit(x, y, batch_size=16, epochs=epochs, callbacks=list(callbacks), **options)


class Terminal:
    """A pseudo-terminal of some width in the place of standard error; 0: one that does not know its size."""

    def __init__(self, width, monkeypatch):
        self.main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if width else 0, width, 0, 0))
        self.stream, self.parts = os.fdopen(side, "w"), []
        monkeypatch.setattr(sys, "stderr", self.stream)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        try:
            while data := os.read(self.main, 65536):
                self.parts.append(data)
        except OSError:
            pass  # how Linux says that the other side is closed

    def lines(self):
        """All that was drawn, also what was drawn over."""
        self.stream.close()
        self.reader.join()
        os.close(self.main)
        return [line for line in re.split(r"[\r\n]+", b"".join(self.parts).decode()) if line.strip()]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    return lambda width: Terminal(width, monkeypatch)


SLOW = LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.11))  # the bar is drawn each 0.1 s
BY_IMPORTANCE = ["loss", *METRICS, "learning_rate", "gradient_norm"]


@pytest.mark.parametrize("width", [40, 80, 200, 250, 0])
def test_a_bar_fits_the_terminal(terminal, width):
    screen = terminal(width)
    history = fit(regression(metrics=METRICS), SLOW, epochs=1, validation_split=0.3)
    lines = screen.lines()
    assert max(map(len, lines)) < (width or 80)
    running = [line for line in lines if " 2/3" in line]
    assert running and all("loss: " in line for line in running)
    assert all(re.match(r"Epoch 1/1 \|[^|]+\| 2/3 - ", line) for line in running) or width == 40
    for name in VALIDATION:  # they are never left out: there are more lines then
        assert f"{name}: {history.history[name][0]:.4g}" in "\n".join(lines)
    assert ("gradient_norm" in lines[-1]) == ("learning_rate" in lines[-1]) == (width == 250)


@pytest.mark.parametrize("width", range(20, 260, 7))
def test_the_least_important_is_left_out_first(width):
    logs = dict.fromkeys([*BY_IMPORTANCE[:4], *VALIDATION, *BY_IMPORTANCE[4:]], 1 / 3)
    pieces = [_progress.Piece(0, "Epoch 1/9"), *_progress.timing(0.25, 3), *_progress.pieces_of(logs)]
    lines = _progress.lines_of(pieces, width)
    shown = re.findall(r"(\w+): 0.3333", "\n".join(lines))
    assert [name for name in shown if name in VALIDATION] == VALIDATION
    trained = [name for name in shown if name not in VALIDATION]
    assert trained == BY_IMPORTANCE[: len(trained)]
    assert max(map(len, lines)) <= max(width, len("  val_root_mean_squared_error: 0.3333"))
    if trained:
        assert len(lines) == 1
    if len(lines) > 1:
        assert len("".join(lines)) > width


@pytest.mark.parametrize("verbose", [1, True, "auto"])
def test_a_bar_on_a_terminal(terminal, verbose):
    screen = terminal(100)
    fit(regression(), verbose=verbose)
    lines = screen.lines()
    assert lines[0].startswith("Epoch 1/2 |") and "| 0/3" in lines[0]
    assert lines[-1].startswith("Epoch 2/2 - ") and "loss: " in lines[-1]


def test_the_bar_shows_the_learning_rate_while_it_runs(terminal):
    screen = terminal(120)
    fit(regression(optimizer=fn.optimizers.SGD(lambda step: 0.125)), SLOW, epochs=1)
    running = [line for line in screen.lines() if " 2/3 " in line]
    assert running and all("loss: " in line and "learning_rate: 0.125" in line for line in running)


def test_a_name_that_tqdm_would_read(terminal):
    screen = terminal(120)
    model = regression()
    model.compile("sgd", "mse", metrics=[fn.metrics.MeanAbsoluteError(name="{odd}")])
    fit(model, SLOW, epochs=1)
    assert any("{odd}: " in line for line in screen.lines())


def test_the_bar_stays_when_training_fails(terminal):
    screen = terminal(80)
    with pytest.raises(FloatingPointError):
        fit(regression(optimizer=fn.optimizers.SGD(1e200)), epochs=50)
    assert re.match(r"Epoch \d+/50 \|", screen.lines()[-1])


def test_the_environment_says_how_wide(monkeypatch):
    for said, width in (("50", 50), ("wide", 80), ("", 80), ("0", 80)):
        monkeypatch.setenv("COLUMNS", said)
        assert _progress.width_of(io.StringIO()) == width


# ---- files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass where the test says so."""
    now = [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def passes(clock, seconds):
    """In each epoch."""

    def wait(epoch, logs):
        clock[0] += seconds

    return LambdaCallback(on_epoch_end=wait)


@pytest.mark.parametrize("verbose", [1, "auto"])
@pytest.mark.parametrize(
    "seconds, epochs", [(0.01, [1, 40]), (1.0, [1, 6, 11, 16, 21, 26, 31, 36, 40]), (7.0, list(range(1, 41)))]
)
def test_a_file_has_a_line_in_some_seconds(capfd, clock, verbose, seconds, epochs):
    """And the first and the last."""
    fit(regression(), passes(clock, seconds), epochs=40, verbose=verbose)
    out, err = capfd.readouterr()
    assert err == "" and [int(number) for number in re.findall(r"^Epoch (\d+)/40 - .*loss: ", out, re.MULTILINE)] == epochs


def test_a_file_is_told_of_long_epochs(capfd, clock):
    def wait(batch, logs):
        clock[0] += 3

    fit(regression(), LambdaCallback(on_train_batch_begin=wait), epochs=1, rows_of=160)
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(" - ")[1] for line in lines[:-1]] == ["2/10", "4/10", "6/10", "8/10", "10/10"]
    assert "us/step" in lines[-1]


def test_the_last_line_is_that_of_the_epoch_where_training_stopped(capfd, clock):
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 6

    fit(regression(), Stop(), epochs=40)
    assert [line.split(" - ")[0] for line in capfd.readouterr().out.splitlines()] == ["Epoch 1/40", "Epoch 7/40"]


def test_a_line_for_each_epoch(capfd):
    history = fit(regression(metrics=["mae"]), verbose=2, validation_split=0.2)
    out, err = capfd.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert len(lines) == 2
    for i, line in enumerate(lines):
        assert line.startswith(f"Epoch {i + 1}/2 - ") and " us/step - " in line
        for name in ("loss", "mae", "val_loss", "val_mae", "learning_rate"):
            assert f" {name}: {history.quantities[name][i]:.4g}" in line


def test_verbose_0_is_silent(capfd):
    fit(regression(), verbose=0)
    assert capfd.readouterr() == ("", "")


def test_without_standard_streams(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    fit(regression(), verbose="auto")


@pytest.mark.parametrize("verbose", [3, -1, "quiet", None, [1]])
def test_verbose_that_makes_no_sense(verbose):
    model = regression()
    with rejects(model, ValueError, "verbose", "'auto', 0, 1 or 2"):
        fit(model, verbose=verbose)


# ---- notebooks -------------------------------------------------------------------------------------------------


class Widget:
    """What tqdm.notebook.tqdm is asked to do."""

    made = []

    def __init__(self, total, unit, leave):
        self.total, self.n, self.closed, self.shown = total, 0, 0, []
        Widget.made.append(self)

    def set_description_str(self, text, refresh):
        self.description = text

    def set_postfix_str(self, text, refresh):
        self.shown.append(f"{self.description}: {text}")

    def update(self, n):
        self.n += n

    def refresh(self):
        pass

    def close(self):
        self.closed += 1


@pytest.fixture
def notebook(monkeypatch):
    """Within a kernel of Jupyter, with the widgets."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "ipywidgets", types.ModuleType("ipywidgets"))
    monkeypatch.setitem(sys.modules, "tqdm.notebook", types.SimpleNamespace(tqdm=Widget))
    Widget.made = []
    return shell


def test_one_bar_for_all_epochs_in_a_notebook(notebook, capfd):
    history = fit(regression(metrics=["mae"]), epochs=4, validation_split=0.2, initial_epoch=1)
    (bar,) = Widget.made
    assert (bar.total, bar.n, bar.closed) == (9, 9, 1)
    last = bar.shown[-1]
    assert last.startswith("Epoch 4/4: loss: ") and f"val_mae: {history.history['val_mae'][-1]:.4g}" in last
    assert capfd.readouterr() == ("", "")


def test_validation_figures_stay_in_sight(notebook):
    fit(regression(), epochs=2, validation_split=0.2)
    (bar,) = Widget.made
    second = [text for text in bar.shown if text.startswith("Epoch 2/2")]
    assert len(second) > 1 and all("val_loss: " in text for text in second)


@pytest.mark.parametrize("missing", ["kernel", "widgets"])
def test_where_the_notebook_cannot_draw_it(notebook, monkeypatch, capfd, missing):
    if missing == "kernel":
        notebook.config = {}
    else:
        monkeypatch.setitem(sys.modules, "ipywidgets", None)
    fit(regression())
    assert not Widget.made and "Epoch 2/2" in capfd.readouterr().out
