"""The scripts of tutorials in fastnet's words: each runs, and prints what it should."""

import pathlib
import re
import runpy

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "examples" / "tutorials"

#: Script -> pattern in its output, and what must hold of the groups.
CLAIMS = {
    "exponential_decay": (
        r"rate: ([\d.]+) to ([\d.]+)\nvalidation accuracy: ([\d.]+)",
        lambda first, last, right: (first, last) == ("0.1000", f"{0.1 * 0.96**8:.4f}") and float(right) > 0.9,
    ),
    "loop_with_decay": (r"epoch 40: .* rate ([\d.]+)\nlast loss: ([\d.]+)", lambda rate, loss: rate == "0.0122" and float(loss) < 0.1),
    "momentum_by_hand": (r"y = ([\d.]+) x \+ (-?[\d.]+)", lambda slope, bias: abs(float(slope) - 2) < 0.01 and abs(float(bias)) < 0.01),
    "optimizers_by_name": (r"adagrad[^$]*rmsprop[^$]*adam: loss ([\d.]+), accuracy ([\d.]+)", lambda loss, right: float(right) > 0.95),
    "standard_scaler": (r"loss: ([\d.]+) to ([\d.]+)", lambda first, last: float(last) < 0.01 < float(first)),
    "step_rate": (
        r"epoch 20: learning rate ([\d.]+)\nepoch 30: learning rate ([\d.]+)[^$]*epoch 60: learning rate ([\d.]+)",
        lambda *rates: rates == ("0.1000", "0.0100", "0.0010"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_script(name, capsys):
    runpy.run_path(str(FOLDER / f"{name}.py"))
    output = capsys.readouterr().out
    pattern, holds = CLAIMS[name]
    found = re.search(pattern, output)
    assert found and holds(*found.groups()), output
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 21


def test_every_claim_has_its_script():
    assert set(CLAIMS) == {path.stem for path in FOLDER.glob("*.py")}
