"""``python -m fastnet train``, ``predict``, ``evaluate``, ``inspect`` and ``export``: tables of files."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from argparse import Namespace
from typing import Any

import numpy as np

import fastnet as fn

from .._figures import new_figure
from .._replace import replaced_file
from .report import write_report
from .table_files import Table, read_table
from .table_metrics import calibration, confusion, importances, measure
from .table_model import TableModel, build, encode_target, learn_target, rows_with_target, split

__all__ = ["run_evaluate", "run_export", "run_inspect", "run_predict", "run_train"]

_MODEL_ENDING = ".safetensors"


class _Bar(fn.callbacks.Callback):
    """One bar over the epochs, on a terminal."""

    def __init__(self, epochs: int, quiet: bool) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=epochs, desc="training", unit="epoch", disable=True if quiet else None)

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in logs.items()}, refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        self.bar.close()


class _Output:
    """What a command says: text, or an object of JSON."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def say(self, *lines: str) -> None:
        if self.path != "-":
            print(*lines, sep="\n", flush=True)

    def finish(self, facts: dict[str, Any]) -> None:
        if self.path == "-":
            print(json.dumps(facts, indent=1, allow_nan=False))
        elif self.path:
            with replaced_file(self.path) as file:
                file.write((json.dumps(facts, indent=1, allow_nan=False) + "\n").encode())


def _names(given: list[str] | None) -> list[str]:
    """The names of an option that may be given several times, parted by commas; those with a comma in quotes, as in CSV."""
    return [one.strip() for text in given or [] if text.strip() for one in next(csv.reader([text], skipinitialspace=True))]


def _read(path: str, options: Namespace) -> Table:
    return read_table(path, _names(options.names) or None, options.decimal)


def _kinds(given: list[str] | None) -> dict[str, str]:
    found = {}
    for one in given or []:
        name, equals, kind = one.rpartition("=")
        if not equals:
            raise ValueError(f"--kind {one}: expected COLUMN=KIND")
        found[name] = kind
    return found


def _check_writable(path: str | None) -> None:
    """Before the work, not after it."""
    folder = os.path.dirname(os.path.abspath(path)) if path else os.curdir
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path}: there is no folder {folder}")
    if path and os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder")


def _check_results(options: Namespace) -> None:
    """OSError, ImportError where what is asked for cannot be written."""
    _check_writable(None if options.json == "-" else options.json)
    _check_report(options.report)


def _check_report(path: str | None) -> None:
    """ImportError, OSError if no report can be written."""
    _check_writable(path)
    if path:
        new_figure("--report", 1, 1)


def _metric_lines(metrics: dict[str, dict[str, float | None]]) -> list[str]:
    def text(number: float | None) -> str:
        return "none" if number is None else f"{number:.4g}"

    return [
        f"  {name:18}{text(one['value']):>10}   95 % of draws: {text(one['low'])} to {text(one['high'])}"
        for name, one in metrics.items()
    ]


def _measured(model: TableModel, columns: dict[str, np.ndarray], y: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """What there is to say of predictions for rows with targets."""
    predictions = model.predict(columns)
    facts: dict[str, Any] = {"rows": len(y), "metrics": measure(y, predictions)}
    if model.classes is not None:
        facts |= {"confusion": confusion(y, predictions).tolist(), "calibration": calibration(y, predictions)}
    facts["importances"] = importances(model.predict, {name: columns[name] for name in model.used}, y)
    return facts, predictions


def _left_out(whole: Table, table: Table, target: str) -> str:
    """How many rows have no target, where there are any."""
    return f"; {len(whole) - len(table)} rows without {target!r} are left out" if len(whole) > len(table) else ""


def _confusion_lines(facts: dict[str, Any], classes: list[str] | None) -> list[str]:
    if classes is None or len(classes) > 12:
        return []
    width = max(8, *(len(one) + 2 for one in classes))
    lines = ["confusion (a row: the class; a column: what it was taken for)"]
    lines.append("  " + " " * width + "".join(f"{one:>{width}}" for one in classes))
    return lines + [
        f"  {name:{width}}" + "".join(f"{count:>{width}}" for count in row) for name, row in zip(classes, facts["confusion"])
    ]


def _facts_lines(facts: dict[str, Any], classes: list[str] | None) -> list[str]:
    lines = [*_metric_lines(facts["metrics"]), *_confusion_lines(facts, classes)]
    what = "R2" if classes is None else "accuracy"
    lines.append(f"importances: how much {what} falls where a column is permuted")
    return lines + [f"  {fall:+.4f}  {name}" for name, fall in list(facts["importances"].items())[:10]]


def run_train(options: Namespace) -> int:
    """Trains on a file, says how good the network is on rows that it has not seen, and writes it."""
    output = _Output(options.json)
    path = options.model or os.path.splitext(options.data)[0] + _MODEL_ENDING
    if not path.endswith(_MODEL_ENDING):
        raise ValueError(f"--model {path}: the name ends with {_MODEL_ENDING}")
    _check_writable(path)
    _check_results(options)
    whole = _read(options.data, options)
    kinds = _kinds(options.kind)
    ignored = _names(options.ignore)
    for name in kinds:
        whole.column(name)
    if options.target in ignored:
        raise ValueError(f"--ignore: {options.target!r} is the target")
    table, y, classes, why = learn_target(whole, options.target, options.task)
    inputs = table.without([options.target, *ignored])
    if not inputs.columns:
        raise ValueError(f"{options.data} has no columns but the target {options.target!r} and those that are ignored")
    inputs = inputs.convert(kinds)
    rng = np.random.default_rng(options.seed)
    test = _read(options.test, options) if options.test else None
    rest = np.arange(len(y))
    if test is None:
        rest, tested = split(y, classes is not None, options.test_fraction, rng)
    train, held = split(y[rest], classes is not None, options.validation_fraction, rng)
    train, held = rest[train], rest[held]
    if not len(train) or not len(held) or (test is None and not len(tested)):
        raise ValueError(f"{options.data} has {len(y)} rows with a target: too few to hold some out; give more, or --test FILE")
    encoder = fn.utils.TableEncoder(kinds).fit(inputs.rows(train).columns)
    inputs = inputs.convert(encoder.recognised)  # cells of dates that are none
    network = build(
        encoder, inputs.rows(train).columns, y[train], classes, options.layers, options.dropout, options.scaling, options.seed
    )
    model = TableModel(network, options.target, classes)
    if test is not None:
        measured = rows_with_target(test, options.target)
        test_columns, test_y = model.prepare(measured).columns, encode_target(measured, options.target, classes)
    else:
        test_columns, test_y = inputs.rows(tested).columns, y[tested]
    output.say(
        f"{options.data}: {len(whole)} rows, {len(whole.columns)} columns" + _left_out(whole, table, options.target),
        f"target {options.target!r}: {model.task}" + (f", {len(classes)} classes" if classes else "") + f" ({why})",
        *(f"  {name}: {kind}" for name, kind in encoder.recognised.items()),
        f"{len(train)} rows to train with, {len(held)} to stop by, {len(test_y)} to measure with"
        + (_left_out(test, measured, options.target) if test is not None else ""),
    )
    net, batch = model.model, options.batch_size or int(min(256, max(16, len(train) // 100)))
    loss = "mse" if classes is None else "sparse_categorical_crossentropy"
    net.compile(fn.optimizers.Adam(options.learning_rate), loss, n_threads=options.threads)
    used = Table(options.data, {name: inputs.columns[name] for name in model.used})
    quiet = options.quiet or options.json == "-"
    stop = fn.callbacks.EarlyStopping(monitor="val_loss", patience=options.patience, restore_best_weights=True)
    history: Any = net.fit(
        used.rows(train).columns, y[train], batch, epochs=options.epochs, verbose=0,
        validation_data=(used.rows(held).columns, y[held]), callbacks=[stop, _Bar(options.epochs, quiet)],
    )  # fmt: skip
    curves = {name: [float(value) for value in values] for name, values in history.history.items()}
    epochs = len(curves["loss"])
    facts, predictions = _measured(model, test_columns, test_y)
    facts = {
        "command": "train", "data": options.data, "model": path, "target": options.target, "task": model.task, "classes": classes,
        "columns": encoder.recognised, "parameters": net.count_params(), "epochs": epochs,
        "best_epoch": int(np.argmin(curves["val_loss"])) + 1, "train_rows": len(train), "validation_rows": len(held), **facts,
        "left_out": len(whole) - len(table), "curves": curves,
    }  # fmt: skip
    model.save(path)
    if options.report:
        write_report(options.report, facts, options.target, classes, test_y, predictions)
    output.say(
        f"{facts['parameters']} parameters, {epochs} epochs, the best was epoch {facts['best_epoch']}; on the rows to measure with:",
        *_facts_lines(facts, classes),
        f"written: {path}" + (f", {options.report}" if options.report else ""),
    )
    output.finish(facts)
    return 0


def run_predict(options: Namespace) -> int:
    """Writes the file with what the model predicts beside it."""
    _check_writable(options.output)
    model = TableModel.load(options.model)
    table = _read(options.data, options)
    if options.probabilities and model.classes is None:
        raise ValueError(f"--probabilities: {options.model} predicts the number {model.target!r}, no classes")
    predictions = model.predict(model.prepare(table).columns)
    header = [f"predicted_{model.target}"]
    if model.classes is None:
        rows = [[f"{value:.7g}"] for value in predictions]
    else:
        rows = [[model.classes[i]] for i in predictions.argmax(1)]
        if options.probabilities:
            header += [f"probability_{one}" for one in model.classes]
            rows = [row + [f"{value:.6g}" for value in values] for row, values in zip(rows, predictions)]
    if options.output:
        with open(options.output, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
        print(f"{len(rows)} predictions written: {options.output}", file=sys.stderr)
    else:
        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *rows])
    return 0


def run_evaluate(options: Namespace) -> int:
    """Says how good the predictions for a file with targets are."""
    output = _Output(options.json)
    _check_results(options)
    model = TableModel.load(options.model)
    table = _read(options.data, options)
    whole, table = table, rows_with_target(table, model.target)
    y = encode_target(table, model.target, model.classes)
    facts, predictions = _measured(model, model.prepare(table).columns, y)
    facts = {"command": "evaluate", "data": options.data, "model": options.model, "task": model.task} | facts
    facts["left_out"] = len(whole) - len(table)
    if options.report:
        write_report(options.report, facts, model.target, model.classes, y, predictions)
    output.say(f"{options.data}: {len(y)} rows" + _left_out(whole, table, model.target), *_facts_lines(facts, model.classes))
    output.finish(facts)
    return 0


def run_inspect(options: Namespace) -> int:
    """Says what is in a file: the columns of data, or what a model reads and predicts."""
    output = _Output(options.json)
    if options.file.endswith(_MODEL_ENDING):
        model = TableModel.load(options.file)
        columns: dict[str, Any] = {name: {"kind": kind} for name, kind in model.encoder.recognised.items()}
        facts = {
            "file": options.file, "target": model.target, "task": model.task, "classes": model.classes,
            "parameters": model.model.count_params(), "columns": columns,
        }  # fmt: skip
        output.say(
            f"{options.file}: {model.task} of {model.target!r}, {facts['parameters']} parameters",
            *([f"classes: {', '.join(model.classes)}"] if model.classes else []),
            *(f"  {name}: {one['kind']}" for name, one in columns.items()),
        )
    else:
        table = _read(options.file, options)
        recognised = fn.utils.TableEncoder().fit(table.convert({}).columns).recognised
        columns = {}
        for name in table.columns:
            there = [text for text in table.texts(name) if text]
            columns[name] = {"kind": recognised[name], "gaps": len(table) - len(there), "different": len(set(there))}
        facts = {"file": options.file, "rows": len(table), "columns": columns}
        width = max(len(name) for name in columns)
        output.say(
            f"{options.file}: {len(table)} rows, {len(columns)} columns",
            *(
                f"  {name:{width}}  {one['kind']:8}  {one['different']} different values, {one['gaps']} gaps"
                for name, one in columns.items()
            ),
        )
    output.finish(facts)
    return 0


def run_export(options: Namespace) -> int:
    """Writes the network behind the columns as C, and what makes numbers of the columns as JSON."""
    if not options.output.endswith(".c"):
        raise ValueError(f"{options.output}: the name ends with .c")
    _check_writable(options.output)
    model = TableModel.load(options.model)
    encoder = model.encoder
    behind = fn.Model(encoder.output, model.model.output)
    with contextlib.redirect_stdout(sys.stderr):
        behind.export(options.output, header=True)
    said = f"{options.output.removesuffix('.c')}.json"
    facts = {
        "target": model.target, "task": model.task, "classes": model.classes, "numbers": encoder.feature_names,
        "indices": dict(zip(encoder.category_names, encoder.cardinalities)), "columns": encoder.columns,
    }  # fmt: skip
    _Output(said).finish(facts)
    print(f"written: {options.output}, {options.output.removesuffix('.c')}.h, {said}")
    return 0
