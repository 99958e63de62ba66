"""Attributes of operations for files, where whatever is a number of a table of the engine goes by its name.

The tables grow, and their numbers change with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from . import _core

__all__ = ["attribute_name", "attribute_names", "attribute_numbers"]


@cache
def _choices(op: str, attribute: str) -> tuple[str, ...]:
    """What the numbers 0, 1, ... of an attribute stand for; nothing where they are numbers."""
    if attribute == "activation" or attribute.endswith("_activation"):
        return tuple(_core.registry("activations"))
    if op == "elementwise" and attribute == "function":
        return tuple(_core.registry("functions"))
    try:
        return _core.attribute_choices(op, attribute)
    except ValueError:
        return ()


def attribute_name(op: str, name: str, value: Any) -> str | None:
    """The name of what the value of an attribute stands for; None where it is a number."""
    choices = _choices(op, name)
    return choices[int(value)] if choices else None


def attribute_names(op: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of an operation as numbers and names."""
    return {name: attribute_name(op, name, value) or float(value) for name, value in attributes.items()}


def attribute_numbers(op: Any, attributes: Any) -> dict[str, float]:
    """What `attribute_names` has made of attributes, as numbers again.

    Raises
    ------
    ValueError
        If there is no such operation, or a value is neither a number nor a name that it may have.
    """
    known = _core.registry("ops")
    if not isinstance(op, str) or op not in known:
        raise ValueError(f"there is no operation {str(op)[:100]!r}")
    if not isinstance(attributes, Mapping):
        raise ValueError(f"the attributes of operation {op!r} are no dictionary")
    found: dict[str, float] = {}
    for name, value in attributes.items():
        choices = _choices(op, name) if name in known[op] else ()
        if isinstance(value, str) and value in choices:
            found[name] = float(choices.index(value))
        elif name in known[op] and isinstance(value, (int, float)) and not isinstance(value, bool) and not choices:
            found[name] = float(value)
        else:
            raise ValueError(f"operation {op!r} has no {str(name)[:100]} {str(value)[:100]!r}")
    return found
