"""A model as a picture of its layers: drawn by Graphviz where that is installed, else by matplotlib."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ._figures import new_figure
from ._replace import replaced_file

if TYPE_CHECKING:
    from ._graph import LayerCall
    from ._network import Network

__all__ = ["Drawing", "plot_model"]

_DIRECTIONS = ("TB", "LR", "BT", "RL")

#: Of the boxes that matplotlib draws, in inches.
_LETTER, _LINE, _MARGIN, _GAP = 0.082, 0.17, 0.16, 0.42


class Drawing:
    """What `plot_model` returns: shown where it is the result of a notebook's cell.

    Attributes
    ----------
    dot : str
        The graph in the language of Graphviz.
    """

    def __init__(self, dot: str, png: bytes) -> None:
        self.dot, self._png = dot, png

    def _repr_png_(self) -> bytes:
        return self._png


class _Node(NamedTuple):
    """A layer or an input."""

    lines: tuple[str, ...]
    group: str  # the layer or model that it is a part of; "": none
    shaded: bool


class _Picture(NamedTuple):
    nodes: list[_Node]
    edges: list[tuple[int, int]]  # numbers of nodes, each pair once


def plot_model(
    model: Network,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> Drawing:
    """Draws the layers of a model and what goes from one to another.

    Parameters
    ----------
    model : Model
    to_file : path, optional
        Where to write the picture; its ending says the format: png, svg, pdf, or dot for the text that Graphviz reads. None: nowhere.
    show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable : bool
        What the boxes say beside the class.
    rankdir : {"TB", "LR", "BT", "RL"}
        Where it goes from the inputs: down, to the right, up, to the left.
    expand_nested : bool
        Draw the layers within layers.
    dpi : int
        Dots per inch, of png.

    Returns
    -------
    Drawing
        Notebooks show it where it is the result of a cell.

    Raises
    ------
    ImportError
        If neither Graphviz's program ``dot`` nor matplotlib is installed.
    ValueError
        If the model has no shapes yet, for another direction or another format.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(2)])
    >>> print(plot_model(model, None, show_shapes=True).dot)
    digraph model {
      rankdir=TB; node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica", fontsize=10]
      n0 [label="Input\\n(None, 4)", fillcolor="#eeeeee"]
      n1 [label="Dense\\n(None, 4) → (None, 2)"]
      n0 -> n1
    }
    """
    if rankdir not in _DIRECTIONS:
        raise ValueError(f"plot_model: rankdir must be one of {', '.join(_DIRECTIONS)}, got {rankdir!r}")
    if not model.outputs:
        raise ValueError(f"plot_model: model {model.name!r} does not know the shape of its input yet: call build, fit or predict")
    shown = {"shapes": show_shapes, "dtype": show_dtype, "names": show_layer_names,
             "activations": show_layer_activations, "trainable": show_trainable}  # fmt: skip
    picture = _picture_of(model, shown, expand_nested)
    dot = _dot_of(picture, rankdir)
    ending = "png" if to_file is None else os.path.splitext(os.fsdecode(to_file))[1].removeprefix(".").lower()
    if ending not in ("png", "svg", "pdf", "dot"):
        raise ValueError(f"plot_model: to_file must end with .png, .svg, .pdf or .dot, got {to_file!r}")
    program = shutil.which("dot")
    figure = None if program else _figure_of(picture, rankdir)

    def drawn(form: str) -> bytes:
        if figure is None:
            command = [str(program), f"-T{form}", *([f"-Gdpi={dpi}"] if form == "png" else [])]
            return subprocess.run(command, input=dot.encode(), capture_output=True, check=True).stdout
        import io

        file = io.BytesIO()
        figure.savefig(file, format=form, dpi=dpi)
        return file.getvalue()

    if to_file is not None:
        data = dot.encode() if ending == "dot" else drawn(ending)
        with replaced_file(to_file) as file:
            file.write(data)
    return Drawing(dot, drawn("png"))


# ---- what there is to draw ------------------------------------------------------------------------------------


def _picture_of(model: Network, shown: Mapping[str, bool], expand: bool) -> _Picture:
    nodes: list[_Node] = []
    edges: dict[tuple[int, int], None] = {}
    made_by: dict[int, int] = {}  # by a tensor's identity: the node that makes it
    numbers: dict[Any, int] = {}  # by layer, which may be called several times
    for name, tensor in zip(model.input_names, model.inputs):
        made_by[id(tensor)] = len(nodes)
        nodes.append(_Node(tuple(_lines("Input", name, [], [tensor], model.dtype, None, shown)), "", True))
    for call, group in _calls(model._graph.calls, expand, ""):
        layer = call.layer
        if layer not in numbers:
            numbers[layer] = len(nodes)
            lines = _lines(layer._class_name, layer.name, call.sources, call.outputs, model.dtype, layer, shown)
            nodes.append(_Node(tuple(lines), group, False))
        for tensor in call.sources:
            if id(tensor) in made_by:
                edges.setdefault((made_by[id(tensor)], numbers[layer]))
        for tensor in call.outputs:
            made_by[id(tensor)] = numbers[layer]
    return _Picture(nodes, list(edges))


def _calls(calls: Iterable[LayerCall], expand: bool, group: str) -> Iterator[tuple[LayerCall, str]]:
    """The calls to draw, and of which layer each is a part."""
    for call in calls:
        if expand and call.children:
            yield from _calls(call.children, expand, str(call.layer.name))
        else:
            yield call, group


def _lines(kind: str, name: Any, sources: Any, outputs: Any, dtype: str, layer: Any, shown: Mapping[str, bool]) -> Iterator[str]:
    yield f"{name}: {kind}" if shown["names"] else kind
    activation = getattr(layer, "activation", None)
    if shown["activations"] and activation is not None:
        yield f"activation {activation!r}"
    if shown["shapes"]:
        given, made = (", ".join(str(tensor.shape) for tensor in tensors) for tensors in (sources, outputs))
        yield f"{given} → {made}" if given else made
    if shown["dtype"]:
        yield dtype
    if shown["trainable"] and layer is not None and layer.weights:
        yield "trainable" if layer.trainable else "not trainable"


# ---- Graphviz ----------------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _dot_of(picture: _Picture, rankdir: str) -> str:
    style = 'node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica", fontsize=10]'
    lines = ["digraph model {", f"  rankdir={rankdir}; {style}"]
    for group in dict.fromkeys(node.group for node in picture.nodes):
        if group:
            lines.append(f"  subgraph {_quoted(f'cluster {group}')} {{ label={_quoted(group)}; fontsize=10; color=grey")
        for i, node in enumerate(picture.nodes):
            if node.group == group:
                shade = ', fillcolor="#eeeeee"' if node.shaded else ""
                lines.append(f"  n{i} [label={_quoted(chr(10).join(node.lines))}{shade}]")
        if group:
            lines.append("  }")
    lines += [f"  n{start} -> n{end}" for start, end in picture.edges]
    return "\n".join([*lines, "}"])


# ---- matplotlib --------------------------------------------------------------------------------------------------


def _rows_of(picture: _Picture) -> tuple[list[list[int]], list[list[int]]]:
    """Nodes in rows, each below all that it reads and in its row beneath the middle of these; and the ways of the edges.

    An edge that skips rows has a number of its own in each of them, from ``len(picture.nodes)`` on, so that it has a place there.
    """
    rank = [0] * len(picture.nodes)
    for _ in picture.nodes:  # a layer that is called twice may read what comes later: no longer than this
        for start, end in picture.edges:
            if start < end:
                rank[end] = max(rank[end], rank[start] + 1)
    before: dict[int, list[int]] = {i: [] for i in range(len(rank))}
    ways = []
    for start, end in picture.edges:
        way = [start]
        for row in range(rank[start] + 1, rank[end]):
            way.append(len(rank))
            rank.append(row)
        way.append(end)
        ways.append(way)
        for one, other in itertools.pairwise(way):
            before.setdefault(other, []).append(one)
    rows: list[list[int]] = [[] for _ in range(max(rank) + 1)]
    place = [0.0] * len(rank)
    for row, nodes in enumerate(rows):
        nodes += [i for i in range(len(rank)) if rank[i] == row]
        nodes.sort(key=lambda i: sum(place[k] for k in before[i]) / len(before[i]) if before[i] else i)
        for at, i in enumerate(nodes):
            place[i] = at - (len(nodes) - 1) / 2
    return rows, ways


def _figure_of(picture: _Picture, rankdir: str) -> Any:
    rows, ways = _rows_of(picture)
    sizes = [(max(map(len, node.lines)) * _LETTER + 2 * _MARGIN, len(node.lines) * _LINE + 2 * _MARGIN) for node in picture.nodes]
    sizes += [(0.1, 0.1)] * (sum(map(len, rows)) - len(sizes))
    along = 0 if rankdir in ("LR", "RL") else 1  # the axis that ranks follow each other on
    places: dict[int, tuple[float, float]] = {}
    widest = max(sum(sizes[i][1 - along] + _GAP for i in row) for row in rows)
    at = _GAP / 2
    for row in rows:
        depth = max(sizes[i][along] for i in row)
        across = (widest - sum(sizes[i][1 - along] + _GAP for i in row)) / 2
        for i in row:
            middle = across + (sizes[i][1 - along] + _GAP) / 2
            places[i] = (at + depth / 2, middle) if along == 0 else (middle, at + depth / 2)
            across += sizes[i][1 - along] + _GAP
        at += depth + _GAP
    width, height = (at, widest) if along == 0 else (widest, at)
    figure = new_figure("plot_model without Graphviz", width, height, layout=None)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.set(
        xlim=(0, width) if rankdir != "RL" else (width, 0), ylim=(0, height) if rankdir in ("BT", "LR", "RL") else (height, 0)
    )
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    boxes = []
    for i, node in enumerate(picture.nodes):
        (x, y), (w, h) = places[i], sizes[i]
        box = FancyBboxPatch((x - w / 2 + 0.06, y - h / 2 + 0.06), w - 0.12, h - 0.12, boxstyle="round,pad=0.06",
                             facecolor="#eeeeee" if node.shaded else "white", edgecolor="black", linewidth=0.8, zorder=2)  # fmt: skip
        boxes.append(axis.add_patch(box))
        axis.text(x, y, "\n".join(node.lines), ha="center", va="center", fontsize=9, zorder=3)
    for way in ways:
        axis.plot(*zip(*(places[i] for i in way[:-1])), color="black", linewidth=0.8, zorder=1)
        first = {"patchA": boxes[way[0]]} if len(way) == 2 else {"shrinkA": 0}
        arrow = FancyArrowPatch(places[way[-2]], places[way[-1]], patchB=boxes[way[-1]], arrowstyle="-|>", mutation_scale=9,
                                linewidth=0.8, color="black", zorder=1, **first)  # fmt: skip
        axis.add_patch(arrow)
    return figure
