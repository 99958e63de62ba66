"""What notebooks show of models, histories and profiles, and pictures of models."""

import html.parser
import sys

import numpy as np
import pytest
from networks import regression, rows

import fastnet as fn
from fastnet import _drawing
from fastnet.utils import plot_model

PNG = b"\x89PNG"


class Reader(html.parser.HTMLParser):
    """The cells of a table by row, and all text; refuses tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def graph():
    """Two inputs, a layer that is called twice, a model in the place of a layer, two outputs."""
    a, b = fn.Input((4,), name="left"), fn.Input((3,), name="right")
    shared = fn.layers.Dense(5, "relu", name="shared")
    inner = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "tanh"), fn.layers.Dense(4)], name="inner")
    both = fn.layers.Concatenate(name="both")([shared(a), shared(inner(b))])
    return fn.Model([a, b], [fn.layers.Dense(2, name="one")(both), fn.layers.Dense(1, name="other")(both)], name="graph")


def test_a_model_is_a_table():
    model = fn.Sequential(
        [fn.Input((64,)), fn.layers.Dense(128, "relu"), fn.layers.Dropout(0.1), fn.layers.Dense(10)], name="<b>"
    )
    table = Reader(model._repr_html_())
    assert table.rows == [
        ["Layer", "Type", "Output shape", "Parameters", "Memory"],
        ["input", "Input", "(None, 64)", "0", ""],
        ["dense", "Dense", "(None, 128)", "8,320", "33.3 kB"],
        ["dropout", "Dropout", "(None, 128)", "0", ""],
        ["dense_1", "Dense", "(None, 10)", "1,290", "5.2 kB"],
    ]
    assert "'<b>'" in table.text and "9,610 parameters (38,440 bytes): 9,610 trainable, 0 not" in table.text
    model.predict(np.ones((3, 64)))
    assert "bytes of activations" in Reader(model._repr_html_()).text


def test_a_graph_says_what_comes_from_where():
    table = Reader(graph()._repr_html_())
    assert table.rows[0] == ["Layer", "Type", "From", "Output shape", "Parameters", "Memory"]
    assert ["both", "Concatenate", "shared, shared", "(None, 10)", "0", ""] in table.rows


def test_a_model_without_shapes():
    assert "Sequential" in Reader(fn.Sequential([fn.layers.Dense(3)])._repr_html_()).text


def test_a_history_is_a_table():
    history = fn.History()
    for epoch, (loss, accuracy) in enumerate([(3.0, 0.25), (1.0, 0.75), (2.0, None)]):
        history.append(epoch, {"loss": loss, "val_accuracy": accuracy, "per class": np.ones(3)})
    assert Reader(history._repr_html_()).rows == [
        ["Quantity", "First", "Last", "Least", "Greatest"],
        ["loss", "3", "2", "1 (epoch 2)", "3 (epoch 1)"],
        ["val_accuracy", "0.25", "0.75", "0.25 (epoch 1)", "0.75 (epoch 2)"],
    ]
    history.diverged = "x < y"
    assert "x < y" in Reader(history._repr_html_()).text
    assert "0 epochs" in Reader(fn.History()._repr_html_()).text


def test_a_profile_is_a_table():
    profile = regression().profile(rows(8, 4), rows(8, 1), repeats=2)
    table = Reader(profile._repr_html_())
    assert table.rows[0][:3] == ["Stage", "Layer", "us"] and table.rows[-1][0] == "all"
    assert len(table.rows) == len(profile.stages) + 2
    for row in table.rows:
        assert "  ".join(row).split() in [line.split() for line in str(profile).splitlines()]


# ---- pictures ------------------------------------------------------------------------------------------------


def edges(dot):
    return sorted(line.strip() for line in dot.splitlines() if "->" in line)


def labels(dot):
    return [line.split('label="')[1].split('"')[0] for line in dot.splitlines() if "label=" in line and "cluster" not in line]


def test_the_graph_of_a_model():
    drawing = plot_model(graph(), None, show_layer_names=True)
    assert labels(drawing.dot) == ["left: Input", "right: Input", "shared: Dense", "inner: Sequential", "both: Concatenate", "one: Dense",
                                   "other: Dense"]  # fmt: skip
    assert edges(drawing.dot) == ["n0 -> n2", "n1 -> n3", "n2 -> n4", "n3 -> n2", "n4 -> n5", "n4 -> n6"]
    assert drawing._repr_png_().startswith(PNG)


def test_what_the_boxes_say():
    model = graph()
    model.get_layer("one").trainable = False
    dot = plot_model(model, None, show_shapes=True, show_dtype=True, show_layer_activations=True, show_trainable=True).dot
    assert "Dense\\nactivation relu\\n(None, 4) → (None, 5)\\nfloat32\\ntrainable" in dot
    assert "Dense\\nactivation linear\\n(None, 10) → (None, 2)\\nfloat32\\nnot trainable" in dot


def test_layers_within_layers():
    dot = plot_model(graph(), None, expand_nested=True, show_layer_names=True).dot
    assert 'subgraph "cluster inner"' in dot and "Sequential" not in dot and "dense_1: Dense" in dot
    assert len(edges(dot)) == 7  # one more: the two layers of the inner model


@pytest.fixture(params=["graphviz", "matplotlib"])
def program(request, monkeypatch):
    if request.param == "graphviz" and _drawing.shutil.which("dot") is None:
        pytest.skip("there is no Graphviz")
    if request.param == "matplotlib":
        pytest.importorskip("matplotlib")
        monkeypatch.setattr(_drawing.shutil, "which", lambda name: None)
    return request.param


@pytest.mark.parametrize("direction", ["TB", "LR", "BT", "RL"])
def test_both_programs_draw_it(program, tmp_path, direction):
    for ending, begins in (("png", PNG), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("dot", b"digraph")):
        path = tmp_path / f"model.{ending}"
        drawing = plot_model(graph(), path, rankdir=direction, dpi=50, expand_nested=True)
        assert path.read_bytes().startswith(begins) and drawing._repr_png_().startswith(PNG)


def test_without_a_program_that_draws(monkeypatch, tmp_path):
    monkeypatch.setattr(_drawing.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"Graphviz.*pip install fastnet-engine\[plot\]"):
        plot_model(graph(), tmp_path / "model.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options, said", [
    ({"rankdir": "UP"}, "TB, LR, BT, RL, got 'UP'"), ({"to_file": "model.gif"}, "got 'model.gif'"), ({"to_file": "model"}, "got 'model'"),
])  # fmt: skip
def test_pictures_that_cannot_be_made(options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        plot_model(graph(), **options)
    with pytest.raises(ValueError, match="build, fit or predict"):
        plot_model(fn.Sequential([fn.layers.Dense(3)]))
    assert not list(tmp_path.iterdir())
