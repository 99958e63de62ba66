"""The layers by name, for whoever makes them of configurations: filled by the package, and with the models by theirs."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["LAYERS", "layer_table", "layers_in"]

#: Classes of modules that import this package, which are imported when they are asked for.
_ELSEWHERE = {"Model": "model", "Sequential": "model", "TableEncoder": "utils.table_encoder"}


class _Layers(dict[str, type[Any]]):
    """A table that knows classes of modules that have not been imported."""

    def __missing__(self, name: str) -> type[Any]:
        if name not in _ELSEWHERE:
            raise KeyError(name)
        importlib.import_module(f"fastnet.{_ELSEWHERE[name]}")
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in _ELSEWHERE

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


#: Every class of layers, those of models among them, by its name.
LAYERS: dict[str, type[Any]] = _Layers()


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
