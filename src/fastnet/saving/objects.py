"""Layers, losses, optimizers and all else that is described by arguments, as what JSON can hold, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import _config, constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules

__all__ = ["deserialize_keras_object", "serialize_keras_object"]

#: The classes by module; a name that several have is the first's, unless the module is said.
_TABLES: dict[str, Mapping[str, Any]] = {
    "layers": layers.LAYERS,
    "losses": losses.LOSSES,
    "metrics": metrics.METRICS,
    "optimizers": optimizers.OPTIMIZERS,
    "schedules": schedules.SCHEDULES,
    "regularizers": regularizers.REGULARIZERS,
    "constraints": constraints.CONSTRAINTS,
    "initializers": initializers.INITIALIZERS,
}


def serialize_keras_object(obj: Any) -> Any:
    """What JSON can hold, of anything described by arguments, and of lists and dictionaries of such.

    Returns
    -------
    dict, list, str or number
        Of an object ``{"module": ..., "class_name": ..., "config": ...}``.
    """
    if isinstance(obj, Mapping):
        return {name: serialize_keras_object(value) for name, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [serialize_keras_object(value) for value in obj]
    if not isinstance(obj, _config.Configurable):
        return _config.to_plain(obj)
    bases = {cls.__module__.split(".")[1] for cls in type(obj).__mro__ if cls.__module__.startswith("fastnet.")} & set(_TABLES)
    module = {"module": next(iter(bases))} if len(bases) == 1 else {}
    return {**module, **_config.to_plain(_config.serialize(obj))}


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, type] | None = None, safe_mode: bool = True, **kwargs: Any
) -> Any:
    """What `serialize_keras_object` described.

    Parameters
    ----------
    config : dict, list, str or number
    custom_objects : mapping of str to type, optional
        Classes of your own by name.
    safe_mode
        Accepted as Keras does: descriptions hold no code.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    if isinstance(config, (list, tuple)):
        return [deserialize_keras_object(value, custom_objects) for value in config]
    if not isinstance(config, Mapping):
        return config
    if "class_name" not in config:
        return {name: deserialize_keras_object(value, custom_objects) for name, value in config.items()}
    module = str(config.get("module") or "").rpartition(".")[2]
    tables = [_TABLES[module]] if module in _TABLES else list(_TABLES.values())
    known = {name: cls for table in reversed(tables) for name, cls in table.items()}
    return _config.deserialize(config, {**known, **(custom_objects or {})})
