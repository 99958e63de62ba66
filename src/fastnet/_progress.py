"""What fit prints: a bar on a terminal, a line for each epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["Progress", "make_progress"]


def _format(logs: Mapping[str, Any]) -> str:
    parts = []
    for name, value in logs.items():
        if isinstance(value, float):
            parts.append(f"{name}: {value:.4g}")
    return " - ".join(parts)


class Progress:
    """Prints nothing."""

    #: Whether `update` does something.
    within_epochs = False
    #: Whether each epoch is to be told of while it is on.
    live = False

    def begin_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """An epoch, counted from 0, begins."""

    def update(self, step: int, logs: Mapping[str, Any]) -> None:
        """So many of its steps are done."""

    def end_epoch(self, logs: Mapping[str, Any], seconds: float) -> None:
        """It is over."""

    def close(self) -> None:
        """Training is over, also when it failed."""


class _Lines(Progress):
    """A line for each epoch on standard output."""

    def begin_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        self._title = f"Epoch {epoch + 1}/{epochs}"
        self._steps = steps

    def end_epoch(self, logs: Mapping[str, Any], seconds: float) -> None:
        rate = seconds / max(self._steps, 1) * 1e6
        print(f"{self._title} - {seconds:.3g} s - {rate:.3g} us/step - {_format(logs)}", flush=True)


class _Bar(Progress):
    """tqdm's bar over the steps of each epoch, on standard error."""

    within_epochs = live = True

    def __init__(self) -> None:
        self._bar: Any = None

    def begin_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=steps, desc=f"Epoch {epoch + 1}/{epochs}", unit="step", dynamic_ncols=True, leave=True)

    def update(self, step: int, logs: Mapping[str, Any]) -> None:
        self._bar.set_postfix_str(_format(logs), refresh=False)
        self._bar.update(step - self._bar.n)

    def end_epoch(self, logs: Mapping[str, Any], seconds: float) -> None:
        self._bar.set_postfix_str(_format(logs))
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def make_progress(verbose: str | int | bool) -> Progress:
    """What `verbose` asks for: 0 nothing, 1 a bar, 2 lines, "auto" a bar on a terminal, lines elsewhere.

    Raises
    ------
    ValueError
        For anything else.
    """
    if verbose == "auto":
        verbose = 1 if sys.stderr is not None and sys.stderr.isatty() else 2
    kinds = {0: Progress, 1: _Bar, 2: _Lines}
    if not isinstance(verbose, int) or verbose not in kinds:
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
    return kinds[verbose]()
