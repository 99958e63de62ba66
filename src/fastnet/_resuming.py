"""Training that goes on from a checkpoint, as it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fitting import Fit

__all__ = ["resume"]


def resume(fit: Fit) -> None:
    """Puts back what `resume_from` or a callback has kept, if there is anything; what reads it is imported only then."""
    path = fit.resume_path()
    if path is not None:
        from .saving.checkpoint import restore

        restore(fit, path)
