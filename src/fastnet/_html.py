"""Tables that notebooks show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["readable_bytes", "table"]


def readable_bytes(count: float) -> str:
    """Bytes in the unit that fits.

    >>> readable_bytes(12), readable_bytes(4096), readable_bytes(72704 * 1000)
    ('12 B', '4.1 kB', '72.7 MB')
    """
    if count < 1000:
        return f"{count:.0f} B"
    power = next((i for i in (1, 2) if count < 999.95 * 1000**i), 3)
    return f"{count / 1000**power:.1f} {' kMG'[power]}B"


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], words: int, notes: Iterable[str] = ()) -> str:
    """HTML of a table whose first columns are words and whose others are numbers, with lines of text below it.

    Colours are the notebook's, so that it can be read in a dark one.
    """

    def line(cells: Sequence[str], tag: str) -> str:
        sides = ["left" if i < words else "right" for i in range(len(cells))]
        return (
            "<tr>"
            + "".join(f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for side, cell in zip(sides, cells))
            + "</tr>"
        )

    parts = [
        "<div>", f"<strong>{escape(title)}</strong>", "<table>", f"<thead>{line(header, 'th')}</thead>",
        "<tbody>", *(line(row, "td") for row in rows), "</tbody>", "</table>",
        *(f"<div>{escape(note)}</div>" for note in notes), "</div>",
    ]  # fmt: skip
    return "\n".join(parts)
