"""Arrays of the user, made into what the engine reads: checked once, converted only where they must be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _core
from ._labels import Labels
from ._strings import as_strings, as_values, holds_strings

__all__ = [
    "Balanced",
    "as_array",
    "as_rows",
    "as_targets",
    "as_text",
    "as_weights",
    "check_probabilities",
    "check_tokens",
    "match_names",
    "match_weights",
    "place_in",
    "reads_in_place",
    "shape_of",
    "split_validation",
    "unwrap",
]

# What the engine reads as it is, and where other kinds of numbers go without loss.
_READ = ("float32", "float64", "uint8", "int32", "int64")
_CONVERTED = {
    "bool": "uint8", "int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64", "uint64": "float64",
    "float16": "float32", "longdouble": "float64", "float128": "float64", "float96": "float64",
}  # fmt: skip


def as_array(given: Any, name: str) -> np.ndarray:
    """The data as an array of numbers, C-ordered within each row, of a dtype the engine reads.

    Views of what was given wherever possible: memory maps stay mapped, read-only arrays stay as they are.

    Raises
    ------
    TypeError
        If these are no real numbers.
    ValueError
        If it is ragged or has no axis.
    """
    if _core.is_readable(given):
        return given
    if given is None:
        raise TypeError(f"{name} is missing")
    if isinstance(given, np.ndarray) and np.any(getattr(given, "mask", False)):  # numpy.ma is not to be imported
        raise TypeError(f"{name} has masked elements; fill or remove them")
    if not isinstance(given, (list, tuple, range)) and not _is_array_like(given):
        raise TypeError(
            f"{name} is no array but an object of type {type(given).__name__}; expected an array, or a list of rows: "
            "what gives its rows or batches one by one has to be read into arrays first"
        )
    try:
        array = _from_pandas(given) if hasattr(given, "to_numpy") else np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} cannot be made into an array: {error}") from None
    kind = array.dtype.name
    if kind not in _READ and kind not in _CONVERTED:
        raise TypeError(f"{name} has dtype {array.dtype}; expected numbers (float, int, uint8 or bool){_other_columns(given)}")
    if array.ndim == 0:
        raise ValueError(f"{name} is a single number; expected an array with one row for each sample")
    wanted = np.dtype(_CONVERTED.get(kind, kind))
    array = array.astype(wanted, copy=False)
    if array.dtype.num != wanted.num:  # C's long and long long, which are one type under two names
        array = array.view(wanted)
    return array if _has_contiguous_rows(array) else np.ascontiguousarray(array)


def _other_columns(given: Any) -> str:
    """Of a frame, which columns are no numbers, and what makes some of them."""
    if not hasattr(given, "columns") or not hasattr(given, "dtypes"):
        return ""
    found = []
    for name in given.columns:
        dtype = getattr(given[name], "dtype", None)
        if (getattr(dtype, "kind", None) or np.asarray(given[name]).dtype.kind) not in "fiub":
            found.append(f"{name!r} ({dtype})" if dtype is not None else repr(name))
    few = ", ".join(found[:5]) + ", ..." * (len(found) > 5)
    return f": other things are in {few}; fastnet.utils.TableEncoder makes numbers of text, categories and dates"


def reads_in_place(array: np.ndarray) -> bool:
    """Whether `as_array` gives a view of an array, of one axis or more, rather than a copy."""
    return array.dtype.isnative and array.dtype.name in _READ and _has_contiguous_rows(array)


def shape_of(given: Any, name: str) -> tuple[tuple[int, ...], bool]:
    """The shape of a row of data, and whether they are text."""
    strings = holds_strings(given)
    return (as_strings(given, name) if strings else as_array(given, name)).shape[1:], strings


def _is_array_like(given: Any) -> bool:
    """Whether NumPy takes it for an array; of other objects it asks for one item after another, for ever if there is no end."""
    if any(hasattr(given, name) for name in ("to_numpy", "__array__", "__array_interface__", "__array_struct__")):
        return True
    try:
        memoryview(given)
    except TypeError:
        return isinstance(given, (int, float, complex, np.generic, str, bytes))
    return True


def _from_pandas(given: Any) -> np.ndarray:
    """The array of a frame or series; columns of several types, or that may lack numbers, become float64 and NaN."""
    array = given.to_numpy()
    if array.dtype.kind == "O" and hasattr(given, "dtypes"):
        dtypes = list(given.dtypes) if np.ndim(given.dtypes) else [given.dtypes]
        if all(getattr(dtype, "kind", "O") in "fiub" for dtype in dtypes):
            array = given.to_numpy(dtype=np.float64, na_value=np.nan)
    return array


def _has_contiguous_rows(array: np.ndarray) -> bool:
    if not array.flags.aligned:
        return False
    stride = array.itemsize
    for size, step in zip(array.shape[:0:-1], array.strides[:0:-1]):
        if size != 1 and step != stride:
            return False
        stride *= size
    return array.ndim > 1 or array.strides[0] % array.itemsize == 0


def place_in(row: int, wrong: np.ndarray, columns: Any = None) -> str:
    """In words: a row, and the first place in it where something is wrong.

    >>> place_in(7, np.array([False, True])), place_in(7, np.array([False, True]), ["size", "age"])
    ('row 7, column 1', "row 7, column 1 ('age')")
    >>> place_in(7, np.array([[False], [True]])), place_in(7, np.array(True))
    ('row 7 at (1, 0)', 'row 7')
    """
    if wrong.ndim > 1:
        return f"row {row} at {tuple(map(int, np.argwhere(wrong)[0]))}"
    if wrong.size == 1 and columns is None:
        return f"row {row}"
    column = int(np.argmax(wrong.reshape(-1)))
    named = columns is not None and len(columns) == wrong.size
    return f"row {row}, column {column}" + (f" ({columns[column]!r})" if named else "")


def _check_finite(array: np.ndarray, name: str, columns: Any = None) -> None:
    row = _core.first_not_finite(array)
    if row >= 0:
        wrong = ~np.isfinite(array[row])
        value, place = np.asarray(array[row])[wrong].flat[0], place_in(row, wrong, columns)
        raise ValueError(f"{name} holds {value} in {place}; clean the data, or pass check_finite=False")


def check_probabilities(array: np.ndarray, name: str, columns: Any = None) -> None:
    """ValueError for a target of yes-or-no decisions that is not from 0 to 1, but for rounding: their cross-entropy has no least value."""
    low, high = -1e-5, 1 + 1e-5
    if array.size and not (array.min() >= low and array.max() <= high):
        wrong = ~((array >= low) & (array <= high))
        row = int(np.argmax(wrong.reshape(len(array), -1).any(axis=1)))
        value, place = array[row][wrong[row]].flat[0], place_in(row, wrong[row], columns)
        raise ValueError(f"{name} holds {value} in {place}, expected 0 for no, 1 for yes, or a probability")


def unwrap(given: Any, row_shape: tuple[int, ...] | None) -> Any:
    """The array of a list of one array, as Keras takes them; a list of one row stays what it is."""
    if not isinstance(given, (list, tuple)) or len(given) != 1:
        return given
    shape = getattr(given[0], "shape", ())
    return given[0] if shape and shape != row_shape else given


def as_rows(given: Any, shape: tuple[int, ...], name: str, check_finite: bool = True) -> np.ndarray:
    """Samples of a shape: an array (n, *shape), n at least 1.

    A single feature may be given without its axis: (n,) for samples of shape (1,).

    Raises
    ------
    TypeError, ValueError
        With what was given and what was expected; for NaN and infinity, with the row.
    """
    given = unwrap(given, shape)
    return _as_shape(as_array(given, name), given, shape, name, check_finite)


def as_text(given: Any, shape: tuple[int, ...], name: str, objects: bool = False) -> np.ndarray:
    """Samples of a shape that are text, as an array of str, or any objects, as they are; see `as_rows`."""
    given = unwrap(given, shape)
    return _as_shape(as_values(given) if objects else as_strings(given, name), given, shape, name, False)


def _as_shape(array: np.ndarray, given: Any, shape: tuple[int, ...], name: str, check_finite: bool) -> np.ndarray:
    if array.ndim == 0:
        raise ValueError(f"{name} is a single value; expected an array with one row for each sample")
    if array.shape[0] == 0:
        raise ValueError(f"{name} is empty; expected at least one row")
    if array.shape[1:] != shape:
        if shape == (1,) and array.ndim == 1:
            array = array.reshape(-1, 1)
        else:
            expected = ", ".join(map(str, ("n", *shape)))
            hint = ""
            if array.shape == shape:
                hint = "; one sample is x[None]"
            elif array.shape[1:] and np.prod(array.shape[1:]) == np.prod(shape):
                hint = f"; x.reshape(len(x), {', '.join(map(str, shape))}) has that shape"
            raise ValueError(f"{name} has shape {array.shape}, expected ({expected}{',' * (not shape)}){hint}")
    if check_finite:
        _check_finite(array, name, getattr(given, "columns", None))
    return array


def check_tokens(array: np.ndarray, labels: Labels, name: str) -> None:
    """ValueError for the first number of an input that is not one of the labels, or indices, that a layer takes."""
    bad = _core.first_bad_label(array, labels.count)
    if bad is not None and labels.negative:
        wrong = (array < -labels.count) | (array >= labels.count) | (array != np.trunc(array))
        row = int(np.argmax(wrong.reshape(len(array), -1).any(axis=1)))
        bad = (row, array[row][wrong[row]].flat[0]) if wrong.any() else None
    if bad is not None:
        row, value = bad
        lowest, place = -labels.count if labels.negative else 0, place_in(row, np.asarray(array[row] == value))
        raise ValueError(
            f"layer {labels.layer!r}: {name} holds {value:g} in {place}, expected whole numbers from {lowest} to {labels.count - 1}"
        )


def as_targets(
    given: Any, loss: Any, shape: tuple[int, ...] | None, output_shape: tuple[int, ...], name: str, check_finite: bool = True
) -> np.ndarray:
    """Targets of a loss for predictions of a shape.

    Parameters
    ----------
    given : array_like
    loss : Loss or callable
    shape : tuple of int or None
        Of one target, as `_core.infer_target` has it; None where the loss is a function.
    output_shape : tuple of int
        Of one prediction.
    name : str
    check_finite : bool

    Raises
    ------
    TypeError, ValueError
        As `as_rows`, and for labels out of range.
    """
    if shape is None:  # a function: its targets are its own business
        array = as_array(unwrap(given, None), name)
        if len(array) == 0:
            raise ValueError(f"{name} is empty; expected at least one row")
        if check_finite and getattr(loss, "probabilities", False):
            check_probabilities(array, name)
        return array
    given = unwrap(given, shape)
    array, columns = as_array(given, name), getattr(given, "columns", None)
    if array.shape[1:] == (*shape, 1):  # labels as a column
        array, columns = array.reshape(array.shape[:-1]), None
    elif len(output_shape) > 1 and _has_fewer_positions(array, shape):
        hints = {2: "Flatten, GlobalAveragePooling1D or return_sequences=False", 3: "Flatten or GlobalAveragePooling2D"}
        raise ValueError(
            f"{name} has shape {array.shape}, one target for each row, but the model ends with an output of shape "
            f"{('n', *output_shape)}: did you mean {hints.get(len(output_shape), 'Flatten')} before the last layer?"
        )
    elif array.shape[1:] != shape and loss.kernel == "categorical_crossentropy" and array.shape[1:] in ((), (1,)):
        raise ValueError(
            f"{name} has shape {array.shape}, expected one-hot rows (n, {', '.join(map(str, shape))}); "
            "for class numbers use SparseCategoricalCrossentropy"
        )
    elif loss.labels and array.shape[1:] == output_shape and array.shape[1:] != shape:
        raise ValueError(
            f"{name} has shape {array.shape}, expected one class number for each prediction; for one-hot rows use "
            "CategoricalCrossentropy"
        )
    array = as_rows(array, shape, name, False)
    if check_finite:
        _check_finite(array, name, columns)
        if loss.probabilities:
            check_probabilities(array, name, columns)
    if loss.labels:
        _core.check_labels(array, output_shape[-1], name)
    return array


def _has_fewer_positions(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether these are targets of whole rows where each of several positions of a row needs one."""
    return math.prod(array.shape[1:]) < math.prod(shape) and (array.ndim < 1 + len(shape) or math.prod(array.shape[1:]) == 1)


def are_labels(targets: np.ndarray, output_shape: tuple[int, ...], name: str) -> bool:
    """Whether targets are class numbers, one for each prediction, rather than arrays like the predictions.

    Raises
    ------
    ValueError
        If they are neither, or a class number is out of range.
    """
    shape, width = targets.shape[1:], output_shape[-1] if output_shape else 1
    if shape == output_shape or (width == 1 and shape == output_shape[:-1]):
        return False
    if shape not in (output_shape[:-1], (*output_shape[:-1], 1)):
        raise ValueError(
            f"{name} has shape {targets.shape}; the metrics of a loss that is a function need targets like the predictions, "
            f"{('n', *output_shape)}, or one class number for each, {('n', *output_shape[:-1])}"
        )
    _core.check_labels(targets, width, name)
    return True


def match_weights(weights: np.ndarray, n: int, positions: tuple[int, ...], name: str = "sample_weight") -> np.ndarray:
    """Weights of the losses of n rows, which have one for each of their positions, as the engine takes them.

    Parameters
    ----------
    weights : ndarray, shape (n,) or (n, *positions)
        One for each row, or for each position of it; of the latter, axes that say nothing may be of length 1, and one more such
        axis may follow, for that of the predictions.
    n : int
    positions : tuple of int
        The shape of an output without its last axis.
    name : str

    Returns
    -------
    ndarray, shape (n,) or (n, k)
        Each for as many positions, which lie together.

    Raises
    ------
    ValueError
        With the shape that was given and those that were expected.
    """
    if weights.shape == (n,):
        return weights
    shape = weights.shape[:-1] if weights.ndim == len(positions) + 2 and weights.shape[-1] == 1 else weights.shape
    if (
        len(shape) != 1 + len(positions)
        or shape[0] != n
        or any(size not in (1, full) for size, full in zip(shape[1:], positions))
    ):
        each = f" or {(n, *positions)}" if positions else ""
        raise ValueError(f"{name} has shape {weights.shape}, expected {(n,)}{each}")
    last = max((axis + 1 for axis, size in enumerate(shape[1:]) if size > 1), default=0)  # axes that follow say nothing
    return np.broadcast_to(weights.reshape(shape[: 1 + last]), (n, *positions[:last])).reshape(n, *([-1] if last else []))


def as_weights(
    sample_weight: Any,
    class_weight: Mapping[int, float] | Balanced | str | None,
    y: np.ndarray | None,
    n: int,
    positions: tuple[int, ...] = (),
    name: str = "sample_weight",
) -> np.ndarray | None:
    """Weights of rows, or of their positions: the sample's times its class's; None where there are neither.

    Raises
    ------
    ValueError
        If the shape differs (see `match_weights`), a weight is not finite, or a class has no weight.
    """
    weights = None
    if sample_weight is not None:
        weights = match_weights(as_array(sample_weight, name), n, positions, name).astype(np.float64)
        if not np.isfinite(weights).all():
            place = tuple(np.argwhere(~np.isfinite(weights))[0])
            where = place_in(int(place[0]), ~np.isfinite(weights[place[0]]))
            raise ValueError(f"{name} is {weights[place]} in {where}; it must be finite")
    if class_weight is not None:
        if positions and math.prod(positions) > 1:
            raise ValueError(
                f"class_weight needs targets that are one class for each row, not one for each of {positions} positions; "
                "give sample_weight one weight for each"
            )
        by_class = _weights_by_class(class_weight, y)
        weights = by_class if weights is None else weights.reshape(n) * by_class
    return weights


class Balanced(NamedTuple):
    """Weights with which all classes count as much: ``n / (classes * n of the class)``, as in scikit-learn.

    Attributes
    ----------
    held : float
        Part of the rows, at the end, that are not trained with and not counted.
    """

    held: float = 0.0

    def weights(self, labels: np.ndarray) -> dict[int, float]:
        """By class number."""
        fraction = self.held if isinstance(self.held, (int, float)) and 0 <= self.held < 1 else 0.0
        return balanced_weights(*np.unique(labels[: max(1, math.floor(len(labels) * (1 - fraction)))], return_counts=True))


def balanced_weights(classes: np.ndarray, counts: np.ndarray) -> dict[int, float]:
    """The weights of `Balanced` by class number, of classes with so many rows; ValueError where they are no class numbers."""
    if (classes != np.trunc(classes)).any():
        raise ValueError(
            f"class_weight='balanced' needs targets that are class numbers, got {classes[classes != np.trunc(classes)][0]}"
        )
    return {int(label): counts.sum() / (len(classes) * count) for label, count in zip(classes, counts)}


def labels_of(y: np.ndarray | None) -> np.ndarray:
    """The class of each row, of targets that are class numbers or one-hot; ValueError for others."""
    if y is None or y.ndim > 2 or not y.ndim:
        raise ValueError("class_weight needs targets that are one class for each row")
    return y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(len(y))


def _weights_by_class(class_weight: Mapping[int, float] | Balanced | str, y: np.ndarray | None) -> np.ndarray:
    if isinstance(class_weight, str) and class_weight == "balanced":
        class_weight = Balanced()
    if not isinstance(class_weight, Mapping | Balanced):
        raise TypeError(f"class_weight must be a dictionary of class number to weight, or 'balanced', got {class_weight!r}")
    labels = labels_of(y)
    if isinstance(class_weight, Balanced):
        class_weight = class_weight.weights(labels)
    for label in class_weight:
        if not isinstance(label, (int, np.integer)):
            raise TypeError(f"class_weight must have class numbers as its keys, got {label!r}")
    try:
        given = {int(label): float(weight) for label, weight in class_weight.items()}
    except (TypeError, ValueError):
        raise TypeError(f"class_weight must hold numbers, got {dict(class_weight)}") from None
    if not all(np.isfinite(weight) and weight >= 0 for weight in given.values()):
        raise ValueError(f"class_weight must be finite and not negative, got {dict(class_weight)}")
    classes, positions = np.unique(labels, return_inverse=True)
    weights = np.array([given.get(label, 1.0) for label in classes])
    return weights[positions.reshape(-1)]


def match_names(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """One thing for each name, from a list in their order, a dictionary by name, or the thing itself."""
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in names]
        if unknown or len(given) != len(names):
            raise ValueError(f"{what} has the keys {list(given)}, expected {list(names)}")
        return [given[name] for name in names]
    if len(names) > 1 and hasattr(given, "columns") and hasattr(given, "to_numpy"):  # a frame: its columns by name
        return [column_of(given, name, what) for name in names]
    if len(names) == 1:
        return [given]
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        count = len(given) if isinstance(given, (list, tuple)) else type(given).__name__
        raise ValueError(f"{what}: expected a list of {len(names)} arrays ({', '.join(names)}), got {count}")
    return list(given)


def column_of(frame: Any, name: str, what: str) -> Any:
    """The column of a frame whose name is this text, or something else that is this as text; ValueError where there is none."""
    found = [i for i, one in enumerate(frame.columns) if str(one) == name]
    if len(found) != 1:
        columns = list(frame.columns)
        raise ValueError(f"{what} has {'several columns' if found else 'no column'} {name!r}; its columns are {columns}")
    return frame.iloc[:, found[0]] if hasattr(frame, "iloc") else frame[frame.columns[found[0]]]


def rows_before(n: int, fraction: float) -> int:
    """How many of n rows are trained with where the last of them, that fraction, are held out; ValueError as of `split_validation`."""
    if not isinstance(fraction, (int, float, np.number)) or not 0 <= fraction < 1:
        raise ValueError(f"validation_split must be at least 0 and below 1, got {fraction!r}")
    at = math.floor(n * (1 - fraction))  # as Keras rounds
    if not 0 < at < n:
        raise ValueError(f"validation_split={fraction} of {n} rows leaves none to train on, or none to validate with")
    return at


def split_validation(arrays: Sequence[Any], fraction: float) -> tuple[list[Any], list[Any]]:
    """Arrays without, and of, their last rows; None stays None.

    Raises
    ------
    ValueError
        If the fraction is not in [0, 1) or one part has no rows.
    """
    at = rows_before(len(next(array for array in arrays if array is not None)), fraction)
    parts = [(None, None) if array is None else (array[:at], array[at:]) for array in arrays]
    return [part[0] for part in parts], [part[1] for part in parts]
