"""FeatureSpace: how each column of a table becomes numbers, by Keras's layers for that."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .. import layers
from .._config import Configurable, serialize
from .._graph import SymbolicTensor
from .._replace import replaced_file
from ..layers._arguments import one_of
from ..layers._registry import layers_in
from ..layers.host import whole_number

__all__ = ["Cross", "Feature", "FeatureSpace"]


class Feature(Configurable):
    """What becomes of one column.

    Parameters
    ----------
    dtype : str
        "string" for text; "float32", "int32", ... for numbers.
    preprocessor : Layer
    output_mode : {"one_hot", "int", "float"}
        "one_hot": the indices that come out of the layer, one-hot. Otherwise, what comes out is used as it is.
    """

    def __init__(self, dtype: str, preprocessor: Any, output_mode: str) -> None:
        self.dtype = dtype
        self.preprocessor = layers_in(preprocessor)
        self.output_mode = one_of("Feature", "output_mode", output_mode, ("one_hot", "int", "float"))


class Cross(Configurable):
    """Several columns together, by a hash.

    Parameters
    ----------
    feature_names : sequence of str
    crossing_dim : int
        Number of bins.
    output_mode : {"one_hot", "int"}
    """

    def __init__(self, feature_names: Sequence[str], crossing_dim: int, output_mode: str = "one_hot") -> None:
        self.feature_names = tuple(feature_names)
        self.crossing_dim = whole_number("Cross", "crossing_dim", crossing_dim, 1)
        self.output_mode = one_of("Cross", "output_mode", output_mode, ("one_hot", "int"))

    @property
    def name(self) -> str:
        """The names of the columns, joined by "_X_"."""
        return "_X_".join(self.feature_names)


class FeatureSpace(Configurable):
    """A table's columns as features for a model.

    Parameters
    ----------
    features : mapping of str to (str or Feature)
        By the name of the column: "float", "float_normalized", "float_rescaled", "float_discretized", "integer_categorical",
        "string_categorical", "integer_hashed", "string_hashed"; what the methods of these names return, with arguments; or `feature`.
    output_mode : {"concat", "dict"}
        All features of a row one after another, those of columns in the order of their names and then those of crosses; or each by its
        name.
    crosses : list of (sequence of str or Cross), optional
        Columns that become features together.
    crossing_dim, hashing_dim, num_discretization_bins : int
        Bins of crosses, of hashed columns and of discretized ones, where these are given by name.
    name : str, optional

    Examples
    --------
    >>> import fastnet as fn
    >>> space = fn.utils.FeatureSpace({"age": "float_normalized", "town": "string_categorical"})
    >>> data = {"age": [20.0, 40.0], "town": ["Rome", "Bern"]}
    >>> space.adapt(data)
    >>> space(data).tolist()
    [[-1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]]
    >>> inputs, features = space.get_inputs(), space.get_encoded_features()
    >>> model = fn.Model(list(inputs.values()), fn.layers.Dense(1)(features), seed=0)
    >>> model.predict(data).shape
    (2, 1)
    """

    #: By name: dtype, class of the layer, and which arguments of the space it takes.
    _KINDS: ClassVar[Mapping[str, str]] = {
        "float": "", "float_normalized": "", "float_rescaled": "", "float_discretized": "num_discretization_bins",
        "integer_categorical": "", "string_categorical": "", "integer_hashed": "hashing_dim", "string_hashed": "hashing_dim",
    }  # fmt: skip

    def __init__(
        self,
        features: Mapping[str, Any],
        output_mode: str = "concat",
        crosses: Any = None,
        crossing_dim: int = 32,
        hashing_dim: int = 32,
        num_discretization_bins: int = 32,
        name: str | None = None,
    ) -> None:
        if not isinstance(features, Mapping) or not features:
            raise ValueError(f"FeatureSpace: features must be a dictionary of at least one column, got {features!r}")
        self.name = name
        self.crossing_dim, self.hashing_dim, self.num_discretization_bins = crossing_dim, hashing_dim, num_discretization_bins
        self.output_mode = one_of("FeatureSpace", "output_mode", output_mode, ("concat", "dict"))
        self.features = {name: self._feature(name, given) for name, given in features.items()}
        self.crosses = [self._cross(given) for given in crosses or []]
        self.preprocessors = {name: feature.preprocessor for name, feature in self.features.items()}
        self.crossers = {cross.name: layers.HashedCrossing(cross.crossing_dim, name=cross.name) for cross in self.crosses}
        self.one_hot_encoders: dict[str, Any] = {}
        self._given = {name for name, layer in self.preprocessors.items() if not hasattr(layer, "adapt") or _knows(layer)}
        self._inputs = {name: layers.Input((1,), dtype=feature.dtype, name=name) for name, feature in self.features.items()}
        self._encoded: Any = None

    # ---- kinds of features --------------------------------------------------------------------------------------

    @classmethod
    def cross(cls, feature_names: Sequence[str], crossing_dim: int, output_mode: str = "one_hot") -> Cross:
        """Several columns together, by a hash; see `Cross`."""
        return Cross(feature_names, crossing_dim, output_mode)

    @classmethod
    def feature(cls, dtype: str, preprocessor: Any, output_mode: str) -> Feature:
        """A column for which there is a layer; see `Feature`."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name: str | None = None) -> Feature:
        """Numbers as they are."""
        return Feature("float32", layers.Identity(), "float")

    @classmethod
    def float_rescaled(cls, scale: Any = 1.0, offset: Any = 0.0, name: str | None = None) -> Feature:
        """``x * scale + offset``, by `Rescaling`."""
        return Feature("float32", layers.Rescaling(scale, offset), "float")

    @classmethod
    def float_normalized(cls, name: str | None = None) -> Feature:
        """Mean 0 and variance 1, by `Normalization`."""
        return Feature("float32", layers.Normalization(), "float")

    @classmethod
    def float_discretized(
        cls, num_bins: int | None = None, bin_boundaries: Any = None, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """The range that a number is in, by `Discretization`."""
        return Feature("float32", layers.Discretization(bin_boundaries, num_bins), output_mode)

    @classmethod
    def integer_categorical(
        cls, max_tokens: int | None = None, num_oov_indices: int = 1, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """Indices of whole numbers, by `IntegerLookup`."""
        return Feature("int32", layers.IntegerLookup(max_tokens, num_oov_indices), output_mode)

    @classmethod
    def string_categorical(
        cls, max_tokens: int | None = None, num_oov_indices: int = 1, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """Indices of text, by `StringLookup`."""
        return Feature("string", layers.StringLookup(max_tokens, num_oov_indices), output_mode)

    @classmethod
    def string_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Bins of text, by `Hashing`."""
        return Feature("string", layers.Hashing(num_bins), output_mode)

    @classmethod
    def integer_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Bins of whole numbers, by `Hashing`."""
        return Feature("int32", layers.Hashing(num_bins), output_mode)

    def _feature(self, name: str, given: Any) -> Feature:
        if isinstance(given, Feature):
            return given
        if isinstance(given, Mapping):
            return Feature(**given["config"])
        if given not in self._KINDS:
            raise ValueError(f"FeatureSpace: column {name!r} must be a Feature or one of {list(self._KINDS)}, got {given!r}")
        argument = self._KINDS[given]
        found: Feature = getattr(self, given)(*([getattr(self, argument)] if argument else []))
        return found

    def _cross(self, given: Any) -> Cross:
        if isinstance(given, Mapping):
            given = Cross(**given["config"])
        found = given if isinstance(given, Cross) else Cross(given, self.crossing_dim)
        unknown = [name for name in found.feature_names if name not in self.features]
        if unknown:
            raise ValueError(f"FeatureSpace: crosses name {unknown}, which are no features; there are {list(self.features)}")
        return found

    # ---- learning ---------------------------------------------------------------------------------------------

    def adapt(self, dataset: Any) -> None:
        """Learns what its layers need to know of the data: vocabularies, means, boundaries.

        Parameters
        ----------
        dataset : mapping of str to array_like, frame, or iterable of such
            Columns by name, or batches of them.

        Raises
        ------
        ValueError
            If a column is missing.
        """
        wanted = [name for name in self.features if name not in self._given]
        parts: dict[str, list[Any]] = {name: [] for name in wanted}
        for batch in [dataset] if _is_table(dataset) else dataset:
            columns = _columns_of(batch[0] if isinstance(batch, tuple) else batch, wanted)
            for name in wanted:
                parts[name].append(np.asarray(columns[name]).reshape(-1, 1))
        for name in wanted:
            self.preprocessors[name].adapt(np.concatenate(parts[name]) if parts[name] else [])
        self._encoded = None
        self.get_encoded_features()

    def _require_adapted(self) -> None:
        left = [name for name in self.features if name not in self._given and not _knows(self.preprocessors[name])]
        if left:
            raise RuntimeError(f"FeatureSpace does not know the columns {left} yet: call its adapt(data)")

    # ---- computing --------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> dict[str, SymbolicTensor]:
        """What `fastnet.Input` returned for each column."""
        return self._inputs

    def get_inputs(self) -> dict[str, SymbolicTensor]:
        """The inputs of a model on the features, by the names of the columns."""
        self._require_adapted()
        return self._inputs

    def get_encoded_features(self) -> Any:
        """The features as what a model computes from `get_inputs`: a symbolic tensor, or a dictionary of them."""
        self._require_adapted()
        if self._encoded is None:
            self._encoded = self._encode(self._inputs)
        return self._encoded

    def __call__(self, data: Any) -> Any:
        """The features of columns.

        Parameters
        ----------
        data : mapping of str to array_like, or frame
            Columns of the same length, or single values of one row.

        Returns
        -------
        ndarray, shape (n, features), or dictionary of ndarray
            Of a row of single values without the first axis.
        """
        self._require_adapted()
        columns = {name: np.asarray(column) for name, column in _columns_of(data, list(self.features)).items()}
        if any(isinstance(value, SymbolicTensor) for value in data.values()) if isinstance(data, Mapping) else False:
            return self._encode({name: data[name] for name in self.features})
        single = all(column.ndim == 0 for column in columns.values())
        found = self._encode({name: column.reshape(-1, 1) for name, column in columns.items()})
        if not single:
            return found
        return found[0] if isinstance(found, np.ndarray) else {name: array[0] for name, array in found.items()}

    def _encode(self, columns: Mapping[str, Any]) -> Any:
        made = {name: self.preprocessors[name](columns[name]) for name in sorted(self.features)}
        crossed = {
            cross.name: self.crossers[cross.name]([made[name] for name in cross.feature_names])
            for cross in sorted(self.crosses, key=lambda cross: cross.name)
        }
        wanted: dict[str, Any] = {**self.features, **{cross.name: cross for cross in self.crosses}}
        encoded = {name: self._encoded_one(name, value, wanted[name]) for name, value in {**made, **crossed}.items()}
        if self.output_mode == "dict":
            return encoded
        for name in encoded:
            layer = self.preprocessors.get(name) or self.crossers.get(name)
            if wanted[name].output_mode == "int" or (wanted[name].output_mode != "one_hot" and _gives_indices(layer)):
                raise ValueError(
                    f"FeatureSpace: column {name!r} is indices, which are not joined with others: use output_mode='dict'"
                )
        parts = list(encoded.values())
        if isinstance(parts[0], SymbolicTensor):
            return parts[0] if len(parts) == 1 else layers.Concatenate()(parts)
        return np.concatenate([np.asarray(part, np.float32) for part in parts], axis=-1)

    def _encoded_one(self, name: str, value: Any, wanted: Any) -> Any:
        if wanted.output_mode != "one_hot":
            return value
        if name not in self.one_hot_encoders:
            layer = self.preprocessors.get(name) or self.crossers[name]
            if not _gives_indices(layer):
                raise ValueError(
                    f"FeatureSpace: column {name!r} has output_mode='one_hot', and its layer {type(layer).__name__} gives no indices"
                )
            self.one_hot_encoders[name] = layers.CategoryEncoding(_size_of(layer), "multi_hot")
        return self.one_hot_encoders[name](value)

    # ---- files --------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What it is made of and what it has learnt, as a dictionary that JSON can hold."""
        return {
            "features": {name: serialize(feature) for name, feature in self.features.items()},
            "output_mode": self.output_mode,
            "crosses": [serialize(cross) for cross in self.crosses],
            "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim,
            "num_discretization_bins": self.num_discretization_bins,
            "name": self.name,
        }

    def save(self, filepath: str | os.PathLike[str]) -> None:
        """Writes it to a file, as JSON; a model on its features holds all of it without that."""
        with replaced_file(filepath) as file:
            file.write(json.dumps(self.get_config()).encode())

    @classmethod
    def load(cls, filepath: str | os.PathLike[str]) -> FeatureSpace:
        """The one that `save` wrote."""
        with open(filepath, encoding="utf-8") as file:
            found = cls.from_config(json.load(file))
        assert isinstance(found, FeatureSpace)
        return found

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def _knows(layer: Any) -> bool:
    """Whether a layer knows what `adapt` would teach it."""
    for name in ("mean", "bin_boundaries", "vocabulary", "data_min"):
        if hasattr(layer, name):
            return getattr(layer, name) is not None
    return not hasattr(layer, "adapt")


def _gives_indices(layer: Any) -> bool:
    return getattr(layer, "output_mode", None) == "int"


def _size_of(layer: Any) -> int:
    """How many indices there are."""
    if hasattr(layer, "vocabulary_size"):
        return int(layer.vocabulary_size())
    if isinstance(layer, layers.Discretization):
        return len(layer.bin_boundaries or []) + 1
    return int(layer.num_bins)


def _is_table(data: Any) -> bool:
    return isinstance(data, Mapping) or (hasattr(data, "columns") and hasattr(data, "to_numpy"))


def _columns_of(data: Any, wanted: Iterable[str]) -> dict[str, Any]:
    """The columns of a table that are wanted; ValueError where one is missing."""
    if not _is_table(data):
        raise TypeError(f"FeatureSpace takes a dictionary of columns or a frame, got {type(data).__name__}")
    known = list(data) if isinstance(data, Mapping) else list(data.columns)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ValueError(f"FeatureSpace: there are no columns {missing}; there are {known}")
    return {name: data[name] for name in wanted}
