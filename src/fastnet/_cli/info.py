"""``python -m fastnet info``."""

from __future__ import annotations

from argparse import Namespace

from .machine import facts

__all__ = ["run"]


def _to_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={setting}" for name, setting in value.items()) or "nothing set"
    if isinstance(value, list):
        return ", ".join(value) or "unknown"
    return "none" if value is None else str(value)


def run(options: Namespace) -> int:
    """Prints the facts, one in a line."""
    found = facts()
    width = max(map(len, found))
    for name, value in found.items():
        print(f"{name:{width}}  {_to_text(value)}")
    return 0
