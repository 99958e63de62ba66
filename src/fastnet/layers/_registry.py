"""The layers by name, for whoever makes them of configurations: filled by the package, and with the models by theirs."""

from __future__ import annotations

from typing import Any

__all__ = ["LAYERS", "layer_table", "layers_in"]

#: Every class of layers, those of models among them, by its name.
LAYERS: dict[str, type[Any]] = {}


def layer_table() -> dict[str, type]:
    """The classes of layers by name."""
    return dict(LAYERS)


def layers_in(plain: Any) -> Any:
    """What a configuration says, with layers in place of the descriptions of layers."""
    if isinstance(plain, list):
        return [layers_in(value) for value in plain]
    if not isinstance(plain, dict):
        return plain
    if plain.get("class_name") in LAYERS and isinstance(plain.get("config"), dict):
        return LAYERS[plain["class_name"]].from_config(plain["config"])
    return {key: layers_in(value) for key, value in plain.items()}
