"""The report of a training or an evaluation: one file of HTML with its pictures inside."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .._figures import new_figure
from .._replace import replaced_file

__all__ = ["write_report"]

_BLUE, _RED, _GREY = "#2a6fb0", "#c2452d", "#888888"
_MOST_POINTS = 2000
_MOST_BARS = 15
_MOST_CLASSES = 20

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } img { max-width: 100%; } p.note { color: #666; }
"""


def _image(figure: Any, words: str) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _axes(width: float = 7, height: float = 3.6, **options: Any) -> tuple[Any, Any]:
    figure = new_figure("a report", width, height)
    axes = figure.add_subplot(**options)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _plain(text: str, most: int = 24) -> str:
    """A name as matplotlib shows it: what is between dollars would be mathematics."""
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def _curves(curves: dict[str, Sequence[float]], best: int) -> str:
    figure, axes = _axes()
    epochs = np.arange(1, len(curves["loss"]) + 1)
    axes.plot(epochs, curves["loss"], color=_BLUE, label="rows to train with")
    axes.plot(epochs, curves["val_loss"], color=_RED, label="rows to stop by")
    axes.axvline(best, color=_GREY, linewidth=1, linestyle=":", label=f"the best: epoch {best}")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return _image(figure, "loss of the epochs")


def _confusion(counts: np.ndarray, classes: list[str]) -> str:
    parts = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.2 + 0.55 * len(classes)
    figure, axes = _axes(side + 1, side)
    axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            axes.text(j, i, str(count), ha="center", va="center", color="white" if parts[i, j] > 0.5 else "black", fontsize=9)
    names, ticks = [_plain(one, 16) for one in classes], np.arange(len(classes))
    axes.set_xticks(ticks, names, rotation=45, ha="right")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="what it was taken for", ylabel="the class")
    return _image(figure, "confusion of the classes")


def _calibration(bins: list[dict[str, float]]) -> str:
    figure, axes = _axes(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":", label="as it should be")
    sizes = np.array([one["rows"] for one in bins])
    x, y = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
    axes.plot(x, y, color=_BLUE, linewidth=1)
    axes.scatter(x, y, s=15 + 150 * sizes / sizes.max(), color=_BLUE, label="larger: more rows")
    axes.set(
        xlabel="probability of the class that a row is taken for", ylabel="part that is right", xlim=(0, 1.04), ylim=(0, 1.04)
    )
    axes.legend(frameon=False, loc="upper left")
    return _image(figure, "calibration")


def _scatter(y: np.ndarray, predictions: np.ndarray) -> str:
    rows = np.random.default_rng(0).permutation(len(y))[:_MOST_POINTS]
    figure, axes = _axes(4.6, 4.2)
    ends = [min(y.min(), predictions.min()), max(y.max(), predictions.max())]
    axes.plot(ends, ends, color=_GREY, linewidth=1, linestyle=":")
    axes.scatter(y[rows], predictions[rows], s=8, alpha=0.4, color=_BLUE, linewidths=0)
    axes.set(xlabel="target", ylabel="prediction")
    return _image(figure, "predictions by targets")


def _importances(falls: dict[str, float], what: str) -> str:
    shown = list(falls.items())[:_MOST_BARS][::-1]
    figure, axes = _axes(7, 0.9 + 0.27 * len(shown))
    axes.barh(np.arange(len(shown)), [fall for _, fall in shown], color=_BLUE)
    axes.set_yticks(np.arange(len(shown)), [_plain(name) for name, _ in shown])
    axes.axvline(0, color=_GREY, linewidth=1)
    axes.set(xlabel=f"how much {what} falls where the column is permuted")
    return _image(figure, "importances of the columns")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cells(row: Sequence[str], first: str, other: str) -> str:
        return "".join(f"<{first if i == 0 else other}>{html.escape(one)}</{other[:2]}>" for i, one in enumerate(row))

    body = "\n".join(f"<tr>{cells(row, 'td', 'td class=number')}</tr>" for row in rows)
    return f"<table>\n<tr>{cells(header, 'th', 'th')}</tr>\n{body}\n</table>"


def write_report(
    path: str, facts: dict[str, Any], target: str, classes: list[str] | None, y: np.ndarray, predictions: np.ndarray
) -> None:
    """Writes it.

    Parameters
    ----------
    path : str
    facts : dict
        What the command says as JSON.
    target : str
    classes : list of str, or None
    y, predictions : ndarray
        Of the rows that it was measured on.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    what = "R2" if classes is None else "accuracy"
    said = {"data": facts["data"], "model": facts["model"], "task": facts["task"], "rows measured": str(facts["rows"])}
    if "curves" in facts:
        said |= {
            "rows to train with": str(facts["train_rows"]), "rows to stop by": str(facts["validation_rows"]),
            "parameters": str(facts["parameters"]), "epochs": f"{facts['epochs']}, the best: {facts['best_epoch']}",
        }  # fmt: skip

    def number(value: float | None) -> str:
        return "none" if value is None else f"{value:.4g}"

    metrics = [
        [name, number(one["value"]), f"{number(one['low'])} to {number(one['high'])}"] for name, one in facts["metrics"].items()
    ]
    parts = [
        f"<h1>{html.escape(target)}</h1>", _table(["", ""], said.items()),
        "<h2>How good it is</h2>", _table(["metric", "value", "95 % of 200 draws of the rows"], metrics),
    ]  # fmt: skip
    if classes is not None and len(classes) <= _MOST_CLASSES:
        parts += ["<h2>Confusion</h2>", _confusion(np.array(facts["confusion"]), classes)]
    if classes is not None:
        parts += ["<h2>Calibration</h2>", _calibration(facts["calibration"])]
    else:
        parts += ["<h2>Predictions</h2>", _scatter(y, predictions)]
    parts += ["<h2>Importances</h2>", _importances(facts["importances"], what)]
    if len(facts["importances"]) > _MOST_BARS:
        parts.append(f'<p class="note">The first {_MOST_BARS} of {len(facts["importances"])} columns.</p>')
    if "curves" in facts:
        parts += ["<h2>Training</h2>", _curves(facts["curves"], facts["best_epoch"])]
        parts += ["<h2>Columns</h2>", _table(["column", "taken for"], facts["columns"].items())]
    title = html.escape(f"fastnet: {target}")
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>\n'
    )
    page += "<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    with replaced_file(path) as file:
        file.write(page.encode())
