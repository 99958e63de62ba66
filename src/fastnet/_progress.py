"""What fit prints: a bar on a terminal or in a notebook, lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Progress", "make_progress"]

#: Least seconds between two lines in a file, where nobody has asked for one of each epoch.
SECONDS_BETWEEN_LINES = 5.0

_UNKNOWN_WIDTH = 80
_SHORTEST_BAR, _LONGEST_BAR = 10, 30


class Piece(NamedTuple):
    """A part of a line, with what stands before it; the greater the number, the sooner it is left out, 0 never."""

    order: float
    text: str


def pieces_of(logs: Mapping[str, Any]) -> Iterator[Piece]:
    """The figures: those of validation always, the loss before the other metrics, the state of the optimizer last."""
    last = {"learning_rate": 8.0, "gradient_norm": 9.0}
    for i, (name, value) in enumerate(logs.items()):
        if isinstance(value, float):
            order = 0 if name.startswith("val_") else 1 if name == "loss" else last.get(name, 3 + i / (i + 1))
            yield Piece(order, f" - {name}: {value:.4g}")


def fitted(pieces: Sequence[Piece], width: int) -> list[Piece]:
    """Those that there is room for."""
    kept = list(pieces)
    while sum(len(piece.text) for piece in kept) > width:
        i = max(range(len(kept)), key=lambda i: (kept[i].order, i))
        if kept[i].order == 0:
            break
        del kept[i]
    return kept


def lines_of(pieces: Sequence[Piece], width: int) -> list[str]:
    """As lines: several where one does not hold what is never left out."""
    lines: list[str] = []
    for piece in fitted(pieces, width):
        if lines and len(lines[-1]) + len(piece.text) <= width:
            lines[-1] += piece.text
        else:
            lines.append(f"  {piece.text.removeprefix(' - ')}" if lines else piece.text)
    return lines


def timing(seconds: float, steps: int) -> list[Piece]:
    """How long so many steps have taken."""
    rate = seconds / max(steps, 1) * 1e6
    return [Piece(6, f" - {seconds:.3g} s"), Piece(7, f" - {rate:.3g} us/step")]


def width_of(stream: Any) -> int:
    """Columns of a terminal; where it does not know, as in many a container, what the environment says, or 80."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (AttributeError, OSError, ValueError):
        columns = 0
    if columns <= 0:
        said = os.environ.get("COLUMNS", "")
        columns = int(said) if said.isdecimal() else 0
    return columns or _UNKNOWN_WIDTH


def _place(step: int, steps: int | None) -> str:
    return f"{step}/{'?' if steps is None else steps}"


class Progress:
    """Prints nothing."""

    #: Whether `update` does something.
    within_epochs = False
    #: Whether each epoch is to be told of while it is on.
    live = False

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """An epoch, counted from 0, begins; None: nobody knows how many steps it has."""

    def update(self, step: int, logs: Mapping[str, Any]) -> None:
        """So many of its steps are done."""

    def end_epoch(self, logs: Mapping[str, Any], seconds: float, steps: int) -> None:
        """It is over, after so many steps."""

    def close(self) -> None:
        """Training is over, also when it failed."""


class _Lines(Progress):
    """A line for each epoch on standard output."""

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        self._title = f"Epoch {epoch + 1}/{epochs}"
        self._steps = steps

    def end_epoch(self, logs: Mapping[str, Any], seconds: float, steps: int) -> None:
        print(self._line(logs, seconds, steps), flush=True)

    def _line(self, logs: Mapping[str, Any], seconds: float, steps: int) -> str:
        pieces = [*timing(seconds, steps), *pieces_of(logs)]
        return self._title + "".join(piece.text for piece in pieces)


class _Log(_Lines):
    """Of these lines one in some seconds, and the last; also within an epoch that takes longer."""

    within_epochs = True

    def __init__(self) -> None:
        self._printed: float | None = None  # when
        self._waiting = ""  # the line of the last epoch, if it has not been printed
        self._begun = time.monotonic()

    def update(self, step: int, logs: Mapping[str, Any]) -> None:
        if self._is_time(self._begun if self._printed is None else self._printed):
            self._print(f"{self._title} - {_place(step, self._steps)}" + "".join(piece.text for piece in pieces_of(logs)))

    def end_epoch(self, logs: Mapping[str, Any], seconds: float, steps: int) -> None:
        self._waiting = self._line(logs, seconds, steps)
        if self._printed is None or self._is_time(self._printed):
            self._print(self._waiting)

    def close(self) -> None:
        if self._waiting:
            self._print(self._waiting)

    @staticmethod
    def _is_time(last: float) -> bool:
        return time.monotonic() - last >= SECONDS_BETWEEN_LINES

    def _print(self, line: str) -> None:
        print(line, flush=True)
        self._printed, self._waiting = time.monotonic(), ""


class _Bar(Progress):
    """tqdm's bar over the steps of each epoch, on standard error; when it is over, a line."""

    within_epochs = live = True

    def __init__(self) -> None:
        self._bar: Any = None

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        from tqdm import tqdm

        self._title, self._steps, self._began = Piece(0, f"Epoch {epoch + 1}/{epochs}"), steps, time.perf_counter()
        form = self._form(0, {})
        size: dict[str, Any] = {"ncols": width_of(sys.stderr), "nrows": 24}  # it draws nothing where a terminal has 0 of them
        self._bar = tqdm(total=steps, file=sys.stderr, leave=False, bar_format=form, **size)

    def _form(self, step: int, logs: Mapping[str, Any]) -> str:
        """The line as tqdm takes it, which fills the bar."""
        room = width_of(sys.stderr) - 1  # a line of the whole width would end in the next
        bar, place = Piece(5, f" |{'':{_SHORTEST_BAR}}|"), Piece(2, f" {_place(step, self._steps)}")
        spent = timing(time.perf_counter() - self._began, step) if step else []
        kept = fitted([self._title, bar, place, *spent, *pieces_of(logs)], room)
        spare = room - sum(len(piece.text) for piece in kept)
        if bar not in kept and spare >= len(bar.text):  # what was left out before it was longer
            kept.insert(1, bar)
            spare -= len(bar.text)
        text = "".join(f" |\0{min(_SHORTEST_BAR + spare, _LONGEST_BAR)}\0|" if piece is bar else piece.text for piece in kept)
        before, *rest = text.replace("{", "{{").replace("}", "}}").split("\0")
        return f"{before}{{bar:{rest[0]}}}{rest[1]}" if rest else before[:room]

    def update(self, step: int, logs: Mapping[str, Any]) -> None:
        self._bar.ncols = width_of(sys.stderr)
        self._bar.bar_format = self._form(step, logs)
        self._bar.update(step - self._bar.n)

    def end_epoch(self, logs: Mapping[str, Any], seconds: float, steps: int) -> None:
        lines = lines_of([self._title, *timing(seconds, steps), *pieces_of(logs)], width_of(sys.stderr) - 1)
        self._clear()
        for line in lines:
            self._write(line)

    def _write(self, line: str) -> None:
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)

    def _clear(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def close(self) -> None:
        if self._bar is not None:  # within an epoch: what there was of it stays
            form = self._bar.format_meter(**{**self._bar.format_dict, "ncols": width_of(sys.stderr)})
            self._clear()
            self._write(form)


class _NotebookBar(Progress):
    """One bar over the steps of all epochs, drawn by the notebook, with the figures beside it."""

    within_epochs = live = True

    def __init__(self, make_bar: Any) -> None:
        self._make_bar = make_bar
        self._bar: Any = None
        self._validation: dict[str, Any] = {}

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        if self._bar is None:
            self._first, self._ended = epoch, False
            self._before, total = 0, None if steps is None else (epochs - epoch) * steps
            self._bar = self._make_bar(total=total, unit="step", leave=True)
        self._steps = steps
        self._bar.set_description_str(f"Epoch {epoch + 1}/{epochs}", refresh=False)

    def update(self, step: int, logs: Mapping[str, Any]) -> None:
        self._show({**logs, **self._validation}, self._before + step)

    def end_epoch(self, logs: Mapping[str, Any], seconds: float, steps: int) -> None:
        self._validation = {name: value for name, value in logs.items() if name.startswith("val_")} or self._validation
        self._before += steps
        self._show({**logs, **self._validation}, self._before)

    def _show(self, logs: Mapping[str, Any], steps: int) -> None:
        text = "".join(piece.text for piece in pieces_of(logs) if piece.order < 9)
        self._bar.set_postfix_str(text.removeprefix(" - "), refresh=False)
        self._bar.update(steps - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None


def _bar_of_notebook() -> Any:
    """tqdm's for notebooks, where this is one that can draw it; else None."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if "IPKernelApp" not in getattr(shell, "config", {}):
        return None
    try:
        import ipywidgets  # noqa: F401
        from tqdm.notebook import tqdm
    except ImportError:
        return None
    return tqdm


def make_progress(verbose: str | int | bool) -> Progress:
    """What `verbose` asks for: 0 nothing, 1 or "auto" a bar, 2 a line for each epoch.

    Where there is neither a terminal nor a notebook, a line in some seconds takes the place of the bar.

    Raises
    ------
    ValueError
        For anything else.
    """
    if verbose == "auto":
        verbose = 1
    if not isinstance(verbose, int) or verbose not in (0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
    if verbose != 1:
        return _Lines() if verbose else Progress()
    if make_bar := _bar_of_notebook():
        return _NotebookBar(make_bar)
    return _Bar() if sys.stderr is not None and sys.stderr.isatty() else _Log()
