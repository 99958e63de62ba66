"""The functions of `fastnet.ops` for what the package itself is written in them: losses, metrics, layers, on which ops depend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._graph import FUNCTIONS

__all__ = ["ops"]


class _Ops:
    """Finds a function when it is called, so that nothing is imported before."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        try:
            return FUNCTIONS[name]
        except KeyError:
            raise AttributeError(f"there is no function fn.ops.{name}") from None


ops = _Ops()
