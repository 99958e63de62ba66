"""The names of the columns of frames: a model that was trained with some takes them in any order, and no others."""

from __future__ import annotations

from typing import Any

__all__ = ["CellsOf", "Columns", "names_of"]


class CellsOf(str):
    """The name of a column whose cells are wanted as they are, gaps among them, not as numbers of one type."""


def names_of(frame: Any) -> list[Any] | None:
    """The names of the columns of a frame of pandas or polars, or of what is like one; None: it has none that tell columns apart."""
    columns = getattr(frame, "columns", None)
    if columns is None or not hasattr(frame, "to_numpy"):
        return None
    names = [name.item() if hasattr(name, "item") else name for name in columns]
    if (
        not all(isinstance(name, (str, int)) for name in names)
        or len(set(names)) != len(names)
        or names == list(range(len(names)))
    ):
        return None
    return names


class Columns:
    """Names of the columns of a model's data.

    Attributes
    ----------
    known : dict of str to list
        By what the data are called in messages: "x", "x['left']", "y".
    """

    def __init__(self, known: dict[str, list[Any]] | None = None) -> None:
        self.known = dict(known or {})

    def learn(self, frame: Any, name: str) -> None:
        """Takes note of the names of data that a model is trained with, where they have some."""
        names = names_of(frame)
        if names is not None:
            self.known.setdefault(name, names)

    def arrange(self, frame: Any, name: str) -> Any:
        """Data with the columns in the order in which the model knows them; as they are where they have no names, or it knows none.

        Raises
        ------
        ValueError
            If columns are missing; the message names them.
        """
        known = self.known.get(name)
        names = names_of(frame) if known is not None else None
        if names is None or names == known:
            return frame
        missing = [column for column in known if column not in names]  # type: ignore[union-attr]
        if missing:
            more = [column for column in names if column not in known]  # type: ignore[operator]
            raise ValueError(
                f"{name} has no column {_listed(missing)}, which the model was trained with"
                f"{f'; it has {_listed(more)} beside those that it knows' if more else ''}. Data without names are taken as they are: "
                f"{name}.to_numpy()"
            )
        return frame[known]


def _listed(names: list[Any]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
