"""The names of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["name_layers"]


def name_layers(layers: Iterable[Any], preferred: Mapping[Any, str] | None = None) -> None:
    """Gives a name to each layer that was given none: the class's or a preferred one, numbered where it is taken.

    A layer keeps what it was named in another model, unless two such layers meet.
    """
    layers, preferred = list(layers), preferred or {}
    owners: dict[str, Any] = {}
    for layer in layers:
        if layer._named and owners.setdefault(layer.name, layer) is not layer:
            raise ValueError(f"two layers are named {layer.name!r}")
    nameless = [layer for layer in layers if layer.name is None or owners.setdefault(layer.name, layer) is not layer]
    for layer in nameless:
        base, number = preferred.get(layer) or layer._base_name, 0
        while (name := f"{base}_{number}" if number else base) in owners:
            number += 1
        layer.name = name
        owners[name] = layer
