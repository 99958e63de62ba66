"""Rows of sparse matrices as the engine reads them, and the description of a model that computes with their non-zeros only.

A row is as many pairs of a column and the number there as the row of the matrix that has most, filled up with pairs of column -1. Such
rows are arrays of a dtype of two fields, so that they are taken, cut and put together as all rows are. A `Dense` that reads them
becomes the engine's `sparse_dense`. A layer before it that scales, and leaves zeros where they are, is a factor of the numbers as they
are put into pairs; nothing else of the description changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._graph import shape_attributes
from ._lowering import fold_scaling

if TYPE_CHECKING:
    from ._network import Network

__all__ = ["as_numbers", "count_pairs", "in_pairs", "is_packed", "pack", "packed_sizes", "takes_pairs", "unpack"]

#: Names that no array of a user's has.
_COLUMN, _VALUE = "fastnet_column", "fastnet_value"
#: Columns are numbers of the model's precision: float32 has whole numbers up to it.
_MOST_COLUMNS = 1 << 24
#: Part of a row up to which the pairs are faster than the dense product, on the average, and that they may take in memory at most.
_DENSITY, _LONGEST = 1 / 8, 1 / 4


def count_pairs(matrix: Any) -> int | None:
    """Pairs of each row of a matrix in CSR format; None: its rows are better made dense.

    They are rounded up, so that matrices of about the same rows share a plan.
    """
    if getattr(matrix, "format", None) != "csr" or len(matrix.shape) != 2 or matrix.dtype.kind not in "biuf":
        return None
    n, columns = matrix.shape
    if not n or not 0 < columns <= _MOST_COLUMNS:
        return None
    most = max(1, int(np.diff(matrix.indptr).max()))
    octave = ((most - 1) // 16).bit_length()
    pairs = -(-most >> octave) << octave
    return pairs if matrix.nnz <= _DENSITY * n * columns and pairs <= _LONGEST * columns else None


def pack(matrix: Any, pairs: int, dtype: str, scale: np.ndarray | None = None) -> np.ndarray:
    """The rows of a matrix in CSR format, none of which has more numbers than that: an array (n, pairs).

    Parameters
    ----------
    scale : ndarray, shape (columns,), optional
        Factors of the columns.
    """
    counts = np.diff(matrix.indptr)
    found = np.zeros((len(counts), pairs), [(_COLUMN, dtype), (_VALUE, dtype)])
    numbers = found.view(dtype).reshape(-1, 2)
    numbers[:, 0] = -1
    first = np.arange(len(counts), dtype=np.int64) * pairs - matrix.indptr[:-1]
    places = np.arange(matrix.indptr[-1]) + np.repeat(first, counts)
    numbers[places, 0] = matrix.indices
    numbers[places, 1] = matrix.data if scale is None else matrix.data * scale[matrix.indices]
    return found


def is_packed(array: Any) -> bool:
    """Whether these are rows of pairs."""
    return isinstance(array, np.ndarray) and array.dtype.names == (_COLUMN, _VALUE)


def values_of(rows: np.ndarray) -> np.ndarray:
    """The numbers of pairs, (n, pairs)."""
    return rows[_VALUE]


def unpack(rows: np.ndarray, columns: int) -> np.ndarray:
    """The same rows as an array (n, columns)."""
    found = np.zeros((len(rows), columns), rows.dtype[_VALUE])
    row, pair = np.nonzero(rows[_COLUMN] >= 0)
    np.add.at(found, (row, rows[_COLUMN][row, pair].astype(np.int64)), rows[_VALUE][row, pair])
    return found


def packed_sizes(inputs: Sequence[np.ndarray]) -> tuple[int, ...]:
    """The pairs of each input, 0 where it is dense; () where all are."""
    sizes = tuple(array.shape[1] if is_packed(array) else 0 for array in inputs)
    return sizes if any(sizes) else ()


def as_numbers(inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """What the engine is given: of pairs, rows of a column and a number by turns."""
    return [array.view(array.dtype[_VALUE]) if is_packed(array) else array for array in inputs]


def takes_pairs(network: Network, columns: int) -> tuple[bool, np.ndarray | None]:
    """Whether all that a model does with its input is that dense layers read it, so that it may be pairs of so many columns; and what
    layers before them, which leave zeros where they are, multiply the columns by, or None.

    Raises
    ------
    RuntimeError
        Where a layer that scales does not know the data yet.
    """
    graph = network._graph
    if len(network.inputs) != 1 or graph.staged or network._labels or network._variants.open:
        return False, None
    (tensor,) = network.inputs
    if tensor.sample_shape != (columns,) or tensor.mask is not None:
        return False, None
    ((_, scale, shift),), folded = fold_scaling(graph)
    read = {id(tensor), *(id(operation.outputs[0]) for operation in folded)}
    if (shift is not None and shift.any()) or any(id(one) in read for one in graph.outputs):
        return False, None
    readers = [one for one in graph.operations if one not in folded and any(id(given) in read for given in one.inputs)]
    return bool(readers) and all(operation.op == "dense" for operation in readers), scale


def in_pairs(description: Mapping[str, Any], sizes: Sequence[int]) -> dict[str, Any]:
    """A description whose inputs are rows of so many pairs, of which 0 leaves an input as it is.

    Parameters
    ----------
    description : mapping
        As of `lower`, of a network that `takes_pairs`.
    sizes : sequence of int
    """
    inputs, nodes = list(description["inputs"]), []
    columns = {}
    pairs_of = {}
    for i, pairs in enumerate(sizes):
        if pairs:
            (columns[i],), _, shift = inputs[i]
            if shift is not None and np.any(shift):  # learnt anew by a callback
                raise RuntimeError(
                    "a layer that scales the input moves its zeros, which it did not when the sparse matrix was given"
                )
            inputs[i], pairs_of[i] = ((2 * pairs,), None, None), pairs
    for value, (op, label, read, used, attributes) in enumerate(description["nodes"], len(inputs)):
        source = read[0] if read else None
        if source in columns and op == "dense":
            op, attributes = "sparse_dense", {**attributes, "columns": columns[source]}
        elif (
            source in columns
        ):  # in the place of a layer that scales, which is a factor of the numbers, or what is not computed here
            assert op == "reshape", op
            columns[value], pairs_of[value] = columns[source], pairs_of[source]
            attributes = shape_attributes((2 * pairs_of[source],))
        nodes.append((op, label, read, used, attributes))
    return {**description, "inputs": inputs, "nodes": nodes}
