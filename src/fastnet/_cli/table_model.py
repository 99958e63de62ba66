"""A network of a table and what its file says beside it: the target, its classes, what the columns are."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

import fastnet as fn

from .._scaling import Scaling
from ..saving.tensors import TensorFile, read_tensors, write_tensors
from .table_files import Table

__all__ = ["MOST_CLASSES", "TableModel", "build", "encode_target", "learn_target", "rows_with_target", "split"]

MOST_CLASSES = 10
"""Whole numbers of more different values are no classes, unless --task says so."""

_ENTRY = "table"


class TableModel:
    """A model whose inputs are the columns of a table.

    Parameters
    ----------
    model : Model
    target : str
        The column that it predicts.
    classes : list of str, or None
        In the order of the outputs; None: it predicts a number.
    """

    def __init__(self, model: Any, target: str, classes: list[str] | None) -> None:
        self.model, self.target, self.classes = model, target, classes
        self.encoder = next(layer for layer in model.layers if isinstance(layer, fn.utils.TableEncoder))

    @property
    def task(self) -> str:
        return "regression" if self.classes is None else "classification"

    @property
    def used(self) -> list[str]:
        """The columns that it reads."""
        return [one.name for one in self.model.inputs]

    def prepare(self, table: Table) -> Table:
        """The columns that the model reads, as it does; ValueError for a column that is missing or a cell that does not fit."""
        found = {name: table.column(name) for name in self.used}
        return Table(table.path, found, table.lines, table.commas).convert(self.encoder.recognised)

    def predict(self, columns: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities (n, classes), or numbers (n,)."""
        found = self.model.predict({name: columns[name] for name in self.used}, verbose=0)
        return found[:, 0] if self.classes is None else found

    def save(self, path: str) -> None:
        """One safetensors file, which `load_model` reads too."""
        self.model.save(path)
        tensors, metadata = read_tensors(path)
        said = {"target": self.target, "classes": self.classes}
        write_tensors(path, tensors, metadata | {_ENTRY: json.dumps(said)})

    @classmethod
    def load(cls, path: str) -> TableModel:
        """OSError, ValueError if there is no such file, or it is of another model."""
        with TensorFile(path) as file:
            text = file.metadata.get(_ENTRY)
        if text is None:
            raise ValueError(f"{os.fsdecode(path)} is no model that `fastnet train` wrote")
        try:
            said = json.loads(text)
            return cls(fn.models.load_model(path), said["target"], said["classes"])
        except (KeyError, StopIteration, TypeError):
            raise ValueError(f"{os.fsdecode(path)}: what it says of its table is broken: {text!r:.200}") from None


def learn_target(table: Table, name: str, task: str | None) -> tuple[Table, np.ndarray, list[str] | None, str]:
    """The rows that have a target, the target as the network takes it, its classes or None, and why it was taken for that.

    Raises
    ------
    ValueError
        If there is no such column, it has one value only, or is not what `task` says.
    """
    table = rows_with_target(table, name)
    numbers, wrong = table.numbers(name)
    texts = table.texts(name)
    different = len(set(texts))
    whole = not len(wrong) and bool((numbers == np.floor(numbers)).all())
    why = "as --task says"
    if task is None:
        task = "classification" if len(wrong) or (whole and different <= MOST_CLASSES) else "regression"
        kind = "text" if len(wrong) else "whole numbers" if whole else "numbers"
        why = f"{name!r} has {different} different values that are {kind}; --task says otherwise"
    if different < 2:
        raise ValueError(f"{table.path}, column {name!r}: the target has one class only, {texts[0]!r}: nothing to learn")
    if task == "regression":
        if len(wrong):
            raise ValueError(f"{table.place(int(wrong[0]), name)}: {table.column(name)[wrong[0]]!r} is no number")
        if not np.isfinite(numbers).all():
            raise ValueError(f"{table.place(int(np.flatnonzero(~np.isfinite(numbers))[0]), name)}: the target is not finite")
        return table, numbers, None, why
    order = dict(zip(texts, np.zeros(len(texts)) if len(wrong) else numbers))
    classes = sorted(order, key=lambda text: (order[text], text))
    return table, encode_target(table, name, classes), classes, why


def rows_with_target(table: Table, name: str) -> Table:
    """The rows that have a target; ValueError where none has, or there is no such column."""
    there = np.array([text != "" for text in table.texts(name)], bool)
    if not there.any():
        raise ValueError(f"{table.path}, column {name!r}: the target is empty in all rows")
    return table.rows(there)


def encode_target(table: Table, name: str, classes: list[str] | None) -> np.ndarray:
    """A target as the network takes it; ValueError for a cell that is no class, or no number."""
    if classes is None:
        numbers, wrong = table.numbers(name)
        bad = np.union1d(wrong, np.flatnonzero(~np.isfinite(numbers))).astype(int)
        if len(bad):
            raise ValueError(f"{table.place(int(bad[0]), name)}: {table.column(name)[bad[0]]!r} is no number")
        return numbers
    index = {text: i for i, text in enumerate(classes)}
    found = np.zeros(len(table), np.int64)
    for i, text in enumerate(table.texts(name)):
        if text not in index:
            raise ValueError(f"{table.place(i, name)}: {text!r} is none of the classes {', '.join(classes)}")
        found[i] = index[text]
    return found


def split(y: np.ndarray, classes: bool, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train with and rows to hold out, of each class in proportion; of a class with one row none is held out."""
    groups = [np.flatnonzero(y == one) for one in np.unique(y)] if classes else [np.arange(len(y))]
    held = []
    for rows in groups:
        count = min(int(fraction * len(rows) + rng.random()), len(rows) - 1)
        held.append(rng.permutation(rows)[:count])
    out = np.sort(np.concatenate(held)).astype(int)
    if not len(out) and len(y) > 1 and fraction:
        out = rng.integers(0, len(y), 1)
    return np.setdiff1d(np.arange(len(y)), out), out


def build(
    encoder: Any,
    columns: dict[str, np.ndarray],
    y: np.ndarray,
    classes: list[str] | None,
    units: list[int],
    dropout: float,
    scaling: str | None,
    seed: int,
) -> Any:
    """The network behind the encoder, not compiled.

    Parameters
    ----------
    columns, y
        The rows to train with: numbers are scaled by them.
    scaling : str, optional
        One of `fastnet._scaling.SCALINGS`.
    """
    scale = Scaling(scaling, encoder.scaled_features, encoder.transform(columns)[0])
    x = encoder.build_features(scale.apply)
    for size in units:
        x = fn.layers.Dense(size, "relu")(x)
        if dropout:
            x = fn.layers.Dropout(dropout)(x)
    if classes is not None:
        x = fn.layers.Dense(len(classes), "softmax")(x)
    else:
        unscaling = fn.layers.TargetScaling()
        unscaling.adapt(y)
        x = unscaling(fn.layers.Dense(1)(x))
    return fn.Model(list(encoder.get_inputs().values()), x, seed=seed)
