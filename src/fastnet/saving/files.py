"""Models and their weights in safetensors files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._booleans import check_booleans
from .._weights import INITIALISES, Weight
from .building import rebuild
from .compiled_description import describe_for_c
from .description import describe
from .entries import assign_tensors, check_tensors, metadata_json, naming, prefix_for, weights_of
from .optimizer_state import optimizer_state, restore_optimizer
from .tensors import TensorFile, write_tensors

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["check_name", "load_model", "load_weights", "save_model", "save_weights"]

Path = str | os.PathLike[str]


def check_name(path: Path, weights: bool = False) -> bool:
    """Whether a file of this name is one of Keras.

    Parameters
    ----------
    path : path
    weights : bool
        Whether it is to hold weights alone.

    Raises
    ------
    ImportError
        Where it is one of Keras, and h5py is not installed.
    ValueError
        Where the name promises a format that is not written.
    """
    name = os.fsdecode(path).lower()
    if weights and name.endswith(".weights.h5"):
        from .keras_writing import check_keras_path

        check_keras_path(path)
        return True
    if name.endswith((".h5", ".hdf5")) or (weights and name.endswith(".keras")):
        use = ".safetensors, or .weights.h5, which Keras loads," if weights else ".keras, which Keras loads, or .safetensors"
        raise ValueError(f"{os.fsdecode(path)}: this format is not written: give the file a name that ends with {use}")
    if name.endswith(".keras"):
        from .keras_writing import check_keras_path

        check_keras_path(path)
        return True
    return False


def _check_read(path: Path) -> None:
    """ValueError where a file is to be read by another function."""
    if not os.path.isfile(path):
        return  # others say what it is
    with open(path, "rb") as file:
        begin = file.read(8)
    if begin == b"\x89HDF\r\n\x1a\n":
        raise ValueError(
            f"{os.fsdecode(path)} is an HDF5 file, of Keras's: load it with Keras, save the model as .keras, and load that by load_model"
        )
    if begin[:2] == b"PK":
        raise ValueError(f"{os.fsdecode(path)} is a .keras file: fn.saving.from_keras(path, model) gives its weights to a model")


def _write_used(model: Model, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes what predictions compute with."""
    with model._reading() as live:
        values = model._evaluation_values(None if live else model._plans.snapshot())
        write_tensors(path, {place: values[weight] for weight, place in model._paths().items()}, metadata)


def save_model(model: Model, filepath: Path, *, include_optimizer: bool = False) -> None:
    """Writes description and weights, and what compile was told unless that is a Python function of arrays.

    The weights are those that `evaluate` and `predict` compute with: the averaged ones, where the optimizer keeps an
    average; with `include_optimizer` the trained ones.

    Raises
    ------
    OSError
        If the file cannot be written.
    RuntimeError
        If the optimizer is to be included and there is none.
    ValueError
        If it is one whose steps are made in Python, and whose state has another form.
    """
    check_booleans("save", include_optimizer=include_optimizer)
    if check_name(filepath):
        if include_optimizer:
            raise ValueError(f"{os.fsdecode(filepath)}: a .keras file is written without the optimizer; .safetensors holds it")
        from .keras_classes import described_by_class
        from .keras_writing import check_keras_path, save_keras

        check_keras_path(filepath)
        model._require_built()
        described = described_by_class(model)
        with model._reading() as live:
            save_keras(model, filepath, model._evaluation_values(None if live else model._plans.snapshot()), **described)
        return
    description = json.dumps(describe(model))
    prefix = prefix_for(model._paths().values())
    metadata = {"fastnet": description}
    if not model._variants.open:  # C computes for fixed sizes
        metadata["plan"] = json.dumps(describe_for_c(model, prefix), ensure_ascii=False, allow_nan=False)
    if not include_optimizer:
        _write_used(model, filepath, metadata)
        return
    with model._slab.gate.writing(wait=True):
        tensors, state = optimizer_state(model, prefix)
        write_tensors(filepath, weights_of(model) | tensors, metadata | {"optimizer": json.dumps(state)})


def load_model(filepath: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """The model in a file that `Model.save` wrote; of a training checkpoint, the model alone.

    Nothing in the file is executed. The model computes the same bits as the saved one. A ``.keras`` file, which Keras may have
    written, is read as by `from_keras`, and compiled as it says there; a model of a class of your own, derived from `Model`, is of that
    class again.

    Parameters
    ----------
    filepath : path
    custom_objects : mapping of str to class or function, optional
        Classes and functions of your own (layers, initializers, schedules, losses, ...), by their names. Layers, and losses and metrics in
        `fastnet.ops`, whose classes are not given compute what they did when the model was saved.
    compile : bool
        Compile the model with the optimizer, loss and metrics it was saved with. The optimizer goes on where it was, if the
        model was saved with it or trained in C, else it begins anew.

    Raises
    ------
    OSError
        If the file cannot be read.
    TypeError
        If a ``.keras`` file holds a model of a class that is neither registered nor in `custom_objects`.
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
    check_booleans("load_model", compile=compile)
    if os.fsdecode(filepath).lower().endswith(".keras"):
        from .keras_models import read_keras

        return read_keras(filepath, custom_objects, compile)
    _check_read(filepath)
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
        if "optimizer" in file.metadata and model._compiled is not None:
            state = metadata_json(filepath, file.metadata, "optimizer")
            with naming(filepath):
                restore_optimizer(model, file, state)
    return model


def save_weights(model: Model, filepath: Path) -> None:
    """Writes the weights alone, as `save_model` does; ValueError for a name that promises another format."""
    of_keras = check_name(filepath, weights=True)
    model._require_built()
    if of_keras:
        from .keras_weight_files import write_weights

        with model._reading() as live:
            write_weights(model, filepath, model._evaluation_values(None if live else model._plans.snapshot()))
        return
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
    if os.fsdecode(filepath).lower().endswith(".weights.h5"):
        from .keras_weight_files import read_weights

        read_weights(model, filepath)
        return
    _check_read(filepath)
    paths = model._paths()
    with TensorFile(filepath) as file:
        with naming(filepath):
            check_tensors(file.entries, paths, None)
        tensors = {name: file.read(name) for name in paths.values()}
    assign_tensors(tensors, paths)
