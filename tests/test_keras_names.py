"""Every public name of Keras is there, or it is said why not; the same of arguments. The page of both is made of the package itself."""

import make_keras_table
import pytest

import fastnet as fn


def test_everything_that_differs_has_a_reason():
    """If not: say it in tools/keras_reasons.py."""
    assert make_keras_table.unexplained() == []


def test_the_page_has_every_name_once():
    text = make_keras_table.page()
    assert "UNEXPLAINED" not in text
    for module, names in make_keras_table.SIGNATURES.items():
        shown = [name for name in names if f"{module}.{name}".strip(".") in make_keras_table.NAMES]
        if shown:
            section = text.split(f"## `keras{'.' if module else ''}{module}`\n")[1].split("\n## ")[0]
            assert all(section.count(f"`{name}`") >= 1 for name in shown)


@pytest.mark.parametrize(("path", "found"), [
    ("Model.fit", {}),
    ("regularizers.L1L2", {}),
    ("metrics.F1Score", {}),
    ("metrics.AUC", {"from_logits": ("default", False, None)}),
])  # fmt: skip
def test_differences_are_found(path, found):
    differences = make_keras_table.differences(path)
    assert {name: differences.get(name) for name in found} == found


def test_a_missing_name_and_a_missing_argument_are_found(monkeypatch):
    monkeypatch.setitem(make_keras_table.NAMES, "layers.Nothing", "units")
    monkeypatch.setitem(make_keras_table.NAMES, "layers.Dense", "units, nothing=1")
    monkeypatch.setattr(make_keras_table.keras_reasons, "NAMES", {})
    monkeypatch.setattr(make_keras_table.keras_reasons, "ARGUMENTS", {})
    missing = make_keras_table.unexplained()
    assert "layers.Nothing" in missing and "layers.Dense(nothing)" in missing
    assert make_keras_table.find("layers.Dense") is fn.layers.Dense
