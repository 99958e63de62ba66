"""Safetensors files: written whole or not at all, read with suspicion."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._graph import Weight
from .description import describe, rebuild

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["load_model", "load_weights", "read_tensors", "save_model", "save_weights", "write_tensors"]

Path = str | os.PathLike[str]

#: Types of tensors that NumPy has, too.
_DTYPES = {"BOOL", "C64", "F16", "F32", "F64", "I16", "I32", "I64", "I8", "U16", "U32", "U64", "U8"}


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file so that after a crash there is the old file or the new one, whole.

    It is written under another name in the same folder, flushed to the disk, renamed, and the folder is flushed.
    """
    from safetensors.numpy import save

    path = os.fspath(path)
    data = save({name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}, dict(metadata))
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the metadata of a safetensors file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is truncated, corrupted, or no safetensors file, or holds numbers that NumPy has no type for. Those of bfloat16
        are widened to float32.
    """
    from safetensors import SafetensorError, safe_open

    path = os.fspath(path)
    with open(path, "rb"):  # a clear OSError where there is no such file
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name, dtype in types.items() if dtype in _DTYPES}
            metadata = dict(file.metadata() or {})
        halves = [name for name, dtype in types.items() if dtype == "BF16"]
        tensors.update(_widened(path, halves) if halves else {})
    except (SafetensorError, TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
    for name, dtype in types.items():
        if name not in tensors:
            raise ValueError(f"{path}: tensor {name!r} is of type {dtype}, which fastnet does not read: convert it to F32")
    return tensors, metadata


def _widened(path: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Tensors of bfloat16, the upper half of float32, from a file that has been found to be whole."""
    found = {}
    with open(path, "rb") as file:
        start = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start))
        for name in names:
            begin, end = header[name]["data_offsets"]
            file.seek(8 + start + begin)
            upper = np.frombuffer(file.read(end - begin), "<u2").astype(np.uint32)
            found[name] = (upper << 16).view(np.float32).reshape(header[name]["shape"])
    return found


def _weights_of(model: Model) -> dict[str, np.ndarray]:
    return {path: weight.array for weight, path in model._paths().items()}


def _averages_of(model: Model) -> dict[str, np.ndarray]:
    values = model._evaluation_values()
    return {path: values[weight] for weight, path in model._paths().items()}


def check_tensors(tensors: Mapping[str, np.ndarray], paths: Mapping[Weight, str], dtype: str | None) -> None:
    """Raises ValueError unless there is a tensor for each weight, of its shape and of that dtype (None: any)."""
    for weight, path in paths.items():
        tensor = tensors.get(path)
        if tensor is None:
            raise ValueError(f"there is no weight {path!r}")
        if tensor.shape != weight.shape:
            raise ValueError(f"weight {path!r} has shape {tensor.shape}, expected {weight.shape}")
        if tensor.dtype.kind != "f" or (dtype is not None and tensor.dtype != dtype):
            raise ValueError(f"weight {path!r} has dtype {tensor.dtype}, expected {dtype or 'floating point'}")


def assign_tensors(tensors: Mapping[str, np.ndarray], paths: Mapping[Weight, str]) -> None:
    """Sets the weights to the tensors of their names."""
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
    write_tensors(filepath, _averages_of(model), {"fastnet": json.dumps(describe(model))})


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
    tensors, metadata = read_tensors(filepath)
    description = metadata_json(filepath, metadata, "fastnet")
    dtype = description.get("dtype") if isinstance(description, dict) else None

    def check(weights: list[Weight]) -> None:
        """Before memory is taken for the weights, whose names are not known yet: there are as many numbers."""
        claimed, held = sum(weight.size for weight in weights), sum(tensor.size for tensor in tensors.values())
        if claimed > held:
            raise ValueError(f"it describes {claimed} numbers in the weights, and holds {held}")

    with naming(filepath):
        model = rebuild(description, custom_objects, compile, check)
        check_tensors(tensors, model._paths(), dtype)
    assign_tensors(tensors, model._paths())
    return model


def save_weights(model: Model, filepath: Path) -> None:
    """Writes the weights alone, as `save_model` does."""
    model._require_built()
    write_tensors(filepath, _averages_of(model), {"format": "fastnet weights"})


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
    tensors, _ = read_tensors(filepath)
    with naming(filepath):
        check_tensors(tensors, model._paths(), None)
    assign_tensors(tensors, model._paths())
