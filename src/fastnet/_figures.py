"""Figures of matplotlib, which is imported when the first is drawn."""

from __future__ import annotations

import os
from typing import Any

from ._replace import replaced_file

__all__ = ["new_figure", "save_figure"]


def new_figure(what: str, width: float, height: float, **options: Any) -> Any:
    """A figure of some inches, which pyplot does not know, so that it is gone with the last who holds it.

    Raises
    ------
    ImportError
        If matplotlib is not installed; says which function needs it.
    """
    try:
        import matplotlib.figure  # noqa: F401  # so that it is looked for each time
    except ImportError:
        raise ImportError(f"{what} needs matplotlib: pip install fastnet-engine[plot]") from None
    from ._shown_figure import ShownFigure

    return ShownFigure(figsize=(width, height), **{"layout": "constrained", **options})


def save_figure(figure: Any, path: Any) -> None:
    """Saves a figure of matplotlib, in the format that the end of the path says; a file that is open may be given, too."""
    if hasattr(path, "write"):
        figure.savefig(path)
        return
    from matplotlib import rcParams

    path = os.fsdecode(path)
    ending = os.path.splitext(path)[1].removeprefix(".") or rcParams["savefig.format"]
    with replaced_file(path if path.endswith(f".{ending}") else f"{path}.{ending}") as file:
        figure.savefig(file, format=ending.lower())
