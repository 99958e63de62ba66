"""TableEncoder: the columns of a table are recognised, and become numbers and indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Unpack

import numpy as np

from .. import layers
from .._config import serialize
from .._graph import SymbolicTensor
from .._scaling import embed_indices
from .._types import LayerOptions
from ..layers._registry import LAYERS
from ..layers.host import HostLayer, whole_number
from ._table_columns import KINDS, Column, given_columns, kind_of, table_columns, values_of

__all__ = ["TableEncoder"]


class TableEncoder(HostLayer):
    """Frames, dictionaries of columns and Arrow tables as what a network takes: a matrix of numbers and one of indices.

    `adapt` (or `fit`) recognises the columns and learns from them:

    - numbers get mean 0 and variance 1; of those with long tails, ``arcsinh((x - median) / spread)`` does. Text that is numbers counts as such;
    - booleans are -1 and 1;
    - dates, and text that is dates as ``2024-05-01``, become days and the sine and cosine of the day of the year, of the week and of the time;
    - categories are text, or what the frame says; they are one-hot where they are few, else an index, for an `Embedding`. What is not known at
      prediction has index 0, as have rare ones beyond `max_categories`;
    - texts of several words, most of them different, are the words that are in them;
    - what has another value in each row, as names, and what is empty, is left out.

    Gaps (None, NaN, NaT, NA, the empty text) come out as 0 and have a number that marks them, where there were some in the data that it learnt
    from; of a category they are one. Anything else in a column of numbers, booleans or dates that is none is an error, which names column, row
    and value; text is taken for numbers where at most one of twenty is none. Dates with a time zone are taken in UTC; spans of time,
    and times of the day, are numbers, in seconds.

    As a layer it is a part of a model and its file: `get_inputs` and `get_encoded_features`. By itself, `transform` gives arrays.

    Parameters
    ----------
    kinds : mapping of str to str, optional
        For columns that are to be taken for something else: "number", "boolean", "date", "category", "text" or "ignored".
    max_one_hot : int
        Categories of a column that are one-hot.
    max_categories : int
        Categories of a column that are told apart.
    max_words : int
        Words of a column of texts.
    columns : mapping, optional
        What was learnt, as `get_config` has it.
    trainable, name
        As in `Layer`.

    Attributes
    ----------
    recognised : dict of str to str
        What each column is taken for, in the order of the table.
    feature_names : list of str
        What the numbers are.
    category_names : list of str
        The columns that are indices.
    cardinalities : list of int
        How many indices each of these has, that for the unknown included.

    Examples
    --------
    >>> import fastnet as fn
    >>> table = {"age": [20.0, 40.0, None], "town": ["Rome", "Bern", "Rome"]}
    >>> encoder = fn.utils.TableEncoder().fit(table)
    >>> encoder.recognised
    {'age': 'number', 'town': 'category'}
    >>> numbers, indices = encoder.transform(table)
    >>> numbers.tolist()
    [[-1.0, 0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0, 0.0]]
    >>> model = fn.Model(list(encoder.get_inputs().values()), fn.layers.Dense(1)(encoder.get_encoded_features()), seed=0)
    >>> model.predict(table).shape
    (3, 1)
    """

    def __init__(
        self,
        kinds: Mapping[str, str] | None = None,
        max_one_hot: int = 8,
        max_categories: int = 1000,
        max_words: int = 200,
        columns: Mapping[str, Any] | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.kinds = dict(kinds or {})
        for name, kind in self.kinds.items():
            if kind not in KINDS:
                raise ValueError(f"{self._label}: kinds[{name!r}] must be one of {list(KINDS)}, got {kind!r}")
        self.max_one_hot = whole_number(self._label, "max_one_hot", max_one_hot, 0)
        self.max_categories = whole_number(self._label, "max_categories", max_categories, 1)
        self.max_words = whole_number(self._label, "max_words", max_words, 1)
        self._parts = _Parts({
            name: one if isinstance(one, Column) else _column_of(one) for name, one in (columns or {}).items()
        })  # fmt: skip
        self._inputs: dict[str, SymbolicTensor] | None = None
        self._encoded: SymbolicTensor | None = None

    # ---- learning ---------------------------------------------------------------------------------------------

    def adapt(self, table: Any) -> None:
        """Recognises the columns of a table, and learns from them.

        Parameters
        ----------
        table : mapping of str to array_like, frame of pandas or polars, Arrow table, or ndarray of two axes

        Raises
        ------
        TypeError, ValueError
            If it is no table, is empty, has no column that says anything, or a cell that is not what its column is.
        """
        columns = given_columns(table)
        given = table_columns(columns)
        unknown = [name for name in self.kinds if name not in given]
        if unknown:
            raise ValueError(f"{self._label}: kinds names {unknown}, which are no columns; there are {list(given)}")
        if not len(next(iter(given.values()))):
            raise ValueError(f"{self._label}: the table has no rows")
        options = {name: getattr(self, name) for name in ("max_one_hot", "max_categories", "max_words")}
        found = {}
        for name, values in given.items():
            with self._column(name):
                kind = self.kinds.get(name) or kind_of(values, self.max_categories, _is_categorical(columns[name]))
                found[name] = KINDS[kind].learn(values, options)
        if not any(one.width or one.cardinality for one in found.values()):
            raise ValueError(f"{self._label}: no column of the table says anything: {list(given)}")
        self._parts, self._inputs, self._encoded = _Parts(found), None, None

    def fit(self, table: Any, y: Any = None) -> TableEncoder:
        """`adapt`, and returns itself."""
        self.adapt(table)
        return self

    @property
    def columns(self) -> dict[str, Any]:
        """What was learnt of each column, as plain data."""
        return {name: {"kind": one.kind, **serialize(one)["config"]} for name, one in self._parts.of_names.items()}

    @property
    def recognised(self) -> dict[str, str]:
        return {name: one.kind for name, one in self._parts.of_names.items()}

    @property
    def feature_names(self) -> list[str]:
        return [feature for name, one in self._parts.of_names.items() for feature in one.names(name)]

    @property
    def scaled_features(self) -> np.ndarray:
        """Which of the numbers are those of columns of numbers and days since a date, and none that are yes or no, or places on a circle."""
        kinds = self.recognised
        return np.array([kinds.get(name) in ("number", "date") for name in self.feature_names], bool)

    @property
    def category_names(self) -> list[str]:
        return [name for name, one in self._parts.of_names.items() if one.cardinality]

    @property
    def cardinalities(self) -> list[int]:
        return [one.cardinality for one in self._parts.of_names.values() if one.cardinality]

    @property
    def _used(self) -> dict[str, Column]:
        """The columns that say something."""
        if not self._parts.of_names:
            raise RuntimeError(f"{self._label} does not know the table yet: call its adapt(table)")
        return {name: one for name, one in self._parts.of_names.items() if one.width or one.cardinality}

    #: How to have a column, {0!r}, taken for something else; of one that is a part of something, by what that takes.
    _hint = "another kind of column: kinds={{{0!r}: 'category'}}"

    @contextmanager
    def _column(self, name: str) -> Iterator[None]:
        """Errors within it say which column they are about, and how to take it for something else."""
        try:
            yield
        except ValueError as error:
            hint = f"gaps are None, NaN or empty; {self._hint.format(name)}"
            raise ValueError(f"{self._label}: column {name!r}, {error}; {hint}") from None

    # ---- computing --------------------------------------------------------------------------------------------

    def transform(self, table: Any) -> tuple[np.ndarray, np.ndarray]:
        """The numbers and the indices of a table's rows.

        Parameters
        ----------
        table
            As in `adapt`; other columns than those that were learnt are passed over.

        Returns
        -------
        numbers : ndarray of float32, shape (n, len(feature_names))
        indices : ndarray of int64, shape (n, len(category_names))
            Column j is from 0 to ``cardinalities[j] - 1``.

        Raises
        ------
        ValueError
            If a column is missing, or a cell is not what its column is.
        """
        used, given = self._used, table_columns(table)
        missing = [name for name in used if name not in given]
        if missing:
            raise ValueError(f"{self._label}: the table has no columns {missing}; it has {list(given)}")
        columns = [given[name] for name in used]
        return self._numbers(*columns), self._indices(*columns)

    def fit_transform(self, table: Any, y: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """`fit`, then `transform`."""
        return self.fit(table).transform(table)

    def compute(self, inputs: Any) -> Any:
        return self.transform(inputs)

    def _numbers(self, *columns: Any) -> np.ndarray:
        parts = []
        for (name, one), column in zip(self._used.items(), columns):
            with self._column(name):
                parts.append(one.numbers(values_of(column)))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _indices(self, *columns: Any) -> np.ndarray:
        parts = [one.indices(values_of(column)) for one, column in zip(self._used.values(), columns) if one.cardinality]
        return np.column_stack(parts) if parts else np.zeros((len(columns[0]), 0), np.int64)

    def call(self, *inputs: SymbolicTensor) -> list[SymbolicTensor]:
        """On an input for each column that says something: numbers and indices, as far as there are any."""
        used = self._used
        if len(inputs) != len(used):
            raise ValueError(f"layer {self._label!r} is called on {len(used)} inputs, {list(used)}, got {len(inputs)}")
        width, count = sum(one.width for one in used.values()), len(self.cardinalities)
        found = [self.stage(self._numbers, list(inputs), (width,))] if width else []
        return found + ([self.stage(self._indices, list(inputs), (count,))] if count else [])

    # ---- as a part of a model ---------------------------------------------------------------------------------

    def get_inputs(self) -> dict[str, SymbolicTensor]:
        """The inputs of a model on the table, one for each column that says something."""
        if self._inputs is None:
            self._inputs = {name: layers.Input((1,), dtype="object", name=name) for name in self._used}
        return self._inputs

    def get_encoded_features(self) -> SymbolicTensor:
        """All features of a row one after another, as what a model computes from `get_inputs`.

        Each category that is an index has an `Embedding` of ``min(50, ceil(1.6 * cardinality**0.56))`` numbers.
        """
        if self._encoded is None:
            self._encoded = self.build_features()
        return self._encoded

    def build_features(self, scale: Callable[[SymbolicTensor], SymbolicTensor] | None = None) -> SymbolicTensor:
        """As `get_encoded_features`, but new layers with each call.

        Parameters
        ----------
        scale : callable, optional
            What is to become of the numbers, of shape (None, len(feature_names)), as a layer that is called on them.
        """
        parts = list(self(list(self.get_inputs().values())))
        embedded = embed_indices(parts.pop(), self.cardinalities) if self.cardinalities else []
        if scale is not None:
            parts = [scale(part) for part in parts]
        parts += embedded
        return parts[0] if len(parts) == 1 else layers.Concatenate()(parts)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_inputs": None, "_encoded": None}


class _Parts:
    """Columns by name: no dictionary, which would be searched for layers."""

    def __init__(self, of_names: dict[str, Column]) -> None:
        self.of_names = of_names


def _column_of(plain: Mapping[str, Any]) -> Column:
    arguments = dict(plain)
    kind = arguments.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"TableEncoder: a column is one of {list(KINDS)}, got {kind!r}")
    return KINDS[kind](**arguments)


def _is_categorical(column: Any) -> bool:
    """Whether a frame says that a column of it holds categories."""
    dtype = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    return dtype.startswith(("category", "categorical", "enum", "dictionary"))


LAYERS["TableEncoder"] = TableEncoder
