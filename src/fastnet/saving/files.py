"""Models and their weights in safetensors files."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._weights import INITIALISES, Weight
from .description import describe, rebuild
from .tensors import TensorFile, write_tensors

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]

Path = str | os.PathLike[str]


def _weights_of(model: Model) -> dict[str, np.ndarray]:
    return {path: weight.array for weight, path in model._paths().items()}


def _write_used(model: Model, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes what predictions compute with."""
    with model._reading() as live:
        values = model._evaluation_values(None if live else model._plans.snapshot())
        write_tensors(path, {place: values[weight] for weight, place in model._paths().items()}, metadata)


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


def save_model(model: Model, filepath: Path) -> None:
    """Writes description and weights, and what compile was told unless that is a Python function.

    The weights are those that `evaluate` and `predict` compute with: the averaged ones, where the optimizer keeps an
    average.
    """
    _write_used(model, filepath, {"fastnet": json.dumps(describe(model))})


def load_model(filepath: Path, custom_objects: Mapping[str, type] | None = None, compile: bool = True) -> Model:
    """The model in a file that `Model.save` wrote; of a training checkpoint, the model alone.

    Nothing in the file is executed. The model computes the same bits as the saved one.

    Parameters
    ----------
    filepath : path
    custom_objects : mapping of str to type, optional
        Classes of your own (layers, initializers, schedules, losses, ...), by their names.
    compile : bool
        Compile the model with the optimizer, loss and metrics it was saved with. The optimizer begins anew; to go on
        with training, use `fastnet.callbacks.TrainingCheckpoint`.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is truncated, corrupted, or does not hold a model.

    Examples
    --------
    >>> import fastnet as fn, os, tempfile
    >>> model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(8, "relu"), fn.layers.Dense(2, "softmax")], seed=0)
    >>> x = [[1.0, 2.0, 3.0, 4.0]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     model.save(path)
    ...     loaded = fn.load_model(path)
    >>> (loaded.predict(x) == model.predict(x)).all()
    np.True_
    """
    with TensorFile(filepath) as file:
        description = metadata_json(filepath, file.metadata, "fastnet")
        dtype = description.get("dtype") if isinstance(description, dict) else None
        held = sum(entry.size for entry in file.entries.values())

        def check(weights: list[Weight]) -> None:
            """Before memory is taken for the weights, whose names are not known yet: there are as many numbers."""
            claimed = sum(weight.size for weight in weights)
            if claimed > held:
                raise ValueError(f"it describes {claimed} numbers in the weights, and holds {held}")

        initialises = INITIALISES.set(False)
        try:
            with naming(filepath):
                model = rebuild(description, custom_objects, compile, check)
        finally:
            INITIALISES.reset(initialises)
        with naming(filepath):
            paths = model._paths()
            check_tensors(file.entries, paths, dtype)
        for weight, name in paths.items():
            weight.assign(file.read(name))
    return model


def save_weights(model: Model, filepath: Path) -> None:
    """Writes the weights alone, as `save_model` does."""
    model._require_built()
    _write_used(model, filepath, {"format": "fastnet weights"})


def load_weights(model: Model, filepath: Path) -> None:
    """Sets the weights of a model from a file; they are found by their path, "dense/kernel".

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is broken, or a weight is missing or of another shape; nothing is changed then.
    """
    model._require_built()
    paths = model._paths()
    with TensorFile(filepath) as file:
        with naming(filepath):
            check_tensors(file.entries, paths, None)
        tensors = {name: file.read(name) for name in paths.values()}
    assign_tensors(tensors, paths)
