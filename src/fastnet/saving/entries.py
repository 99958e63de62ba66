"""What files of models hold beside the description: weights by their paths, and entries of the metadata."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._weights import Weight

if TYPE_CHECKING:
    from .._network import Network

__all__ = ["assign_tensors", "check_tensors", "metadata_json", "naming", "prefix_for", "weights_of"]

Path = str | os.PathLike[str]

#: How the names of what is no weight begin.
_OWN_NAMES = ("optimizer/", "optimizer_state/", "callback/", "epoch/")


def weights_of(model: Network) -> dict[str, np.ndarray]:
    """The weights by their paths: views."""
    return {path: weight.array for weight, path in model._paths().items()}


def check_tensors(tensors: Mapping[str, Any], paths: Mapping[Weight, str], dtype: str | None) -> None:
    """Raises ValueError unless there is a tensor for each weight, of its shape and of that dtype (None: any).

    Of the tensors, which may be arrays or entries of a file, shape and dtype are looked at.
    """
    for weight, path in paths.items():
        tensor = tensors.get(path)
        if tensor is None:
            raise ValueError(f"there is no weight {path!r}")
        if tensor.shape != weight.shape:
            raise ValueError(f"weight {path!r} has shape {tensor.shape}, expected {weight.shape}")
        if tensor.dtype is None:
            raise ValueError(f"tensor {path!r} is of type {tensor.kind}, which fastnet does not read: convert it to F32")
        if tensor.dtype.kind != "f" or (dtype is not None and tensor.dtype != dtype):
            raise ValueError(f"weight {path!r} has dtype {tensor.dtype}, expected {dtype or 'floating point'}")


def assign_tensors(tensors: Mapping[str, np.ndarray], paths: Mapping[Weight, str]) -> None:
    """Sets the weights to the tensors of their names."""
    for weight in list(paths)[:1]:
        with weight.slab.gate.writing(wait=True):
            for weight, path in paths.items():
                weight.assign(tensors[path])


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within it, a ValueError is told with the name of the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error.__cause__


def metadata_json(path: Path, metadata: Mapping[str, str], name: str) -> Any:
    """An entry of the metadata, parsed; ValueError where it is missing or broken."""
    try:
        return json.loads(metadata[name])
    except KeyError:
        wanted = "training checkpoint" if name == "training" else "model"
        raise ValueError(f"{os.fspath(path)} holds no {wanted}: there is no {name!r} in its metadata") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)}: the metadata {name!r} is broken: {error}") from None


def prefix_for(weights: Iterable[str]) -> str:
    """What the names of all tensors that are no weights begin with, and that of no weight does.

    Nothing, unless layers have names such as "optimizer/velocity/dense".
    """
    weights, prefix = list(weights), ""
    while any(name.startswith(tuple(f"{prefix}{own}" for own in _OWN_NAMES)) for name in weights):
        prefix += "training/"
    return prefix
