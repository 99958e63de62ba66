"""Every public name of Keras is there, or it is said why not; the same of arguments. The page of both is made of the package itself."""

import make_keras_table
import pytest

import fastnet as fn


def test_everything_that_differs_has_a_reason():
    """If not: say it in tools/keras_reasons.py."""
    assert make_keras_table.unexplained() == []


#: What there is nothing of, whatever its names are.
WHOLE = {
    "applications",
    "distillation",
    "distribution",
    "dtype_policies",
    "legacy",
    "legacy.saving",
    "mixed_precision",
    "optimizers.legacy",
    "quantizers",
    "tree",
    "utils.legacy",
    "visualization",
    "wrappers",
}


def test_no_reason_stands_for_what_nobody_has_looked_at():
    """A name or an argument that Keras will have tomorrow is explained by no pattern, but where a whole module is refused."""
    reasons = make_keras_table.keras_reasons
    modules = {module for module in make_keras_table.SIGNATURES if module.split(".")[0] not in WHOLE and module not in WHOLE}
    owners = [
        *modules,
        "layers.Layer",
        "layers.Dense",
        "Model",
        "Sequential",
        "metrics.Metric",
        "callbacks.Callback",
        "optimizers.Optimizer",
    ]
    names = [f"{owner}.invented".strip(".") for owner in owners]
    assert [name for name in names if make_keras_table.reason_for(name, reasons.NAMES) is not None] == [
        "utils.bounding_boxes.invented"
    ]
    assert [name for name in names if make_keras_table.reason_for(f"{name}(invented)", reasons.ARGUMENTS) is not None] == []
    texts = [why for _, why in reasons.NAMES.values()] + list(reasons.ARGUMENTS.values())
    assert not [text for text in texts if "yet" in text]


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
