"""A figure of matplotlib that notebooks show. Nobody imports this before a figure is drawn."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

__all__ = ["ShownFigure"]


class ShownFigure(Figure):
    """Shown where it is the result of a cell, which notebooks do with figures of pyplot only."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=self.dpi)
        return file.getvalue()
