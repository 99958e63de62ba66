"""Models on disk: one safetensors file, its description as JSON in the file's metadata.

Nothing in a file is executed: a description names classes of fastnet and their arguments, and tensors are numbers.
Files are written beside their place, flushed to the disk and then renamed, so that there is always a whole one.
"""

from typing import Any

from .._registered import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from .building import rebuild
from .description import describe
from .files import load_model, load_weights, save_model, save_weights
from .objects import deserialize_keras_object, serialize_keras_object
from .tensors import read_tensors, write_tensors

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "describe",
    "deserialize_keras_object",
    "from_keras",
    "from_onnx",
    "from_pytorch",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "read_tensors",
    "rebuild",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
    "to_onnx",
    "write_tensors",
]


def __getattr__(name: str) -> Any:
    """What is for models made elsewhere is imported when it is first used."""
    if name == "from_keras":
        from .keras_models import from_keras as found
    elif name == "from_pytorch":
        from .pytorch_weights import from_pytorch as found
    elif name == "from_onnx":
        from ..onnx.reading import from_onnx as found
    elif name == "to_onnx":
        from ..onnx.writing import to_onnx as found
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
