"""Runs the scripts of tests/keras_scripts under Keras, for tests/test_keras_scripts.py to compare the learning curves with.

    KERAS_BACKEND=torch python tools/record_keras_curves.py [NAME ...]       # with keras, torch and scikit-learn installed

Writes tests/traces/keras_curves.json: for each script the curves of several seeds, and its result. Those that are named are run, and
those that are not there yet.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import Any

TESTS = pathlib.Path(__file__).parents[1] / "tests"
SCRIPTS = sorted((TESTS / "keras_scripts").glob("*.py"))
TRACE = TESTS / "traces" / "keras_curves.json"
#: Of each script under Keras.
SEEDS = (0, 1, 2, 3)


def run(path: pathlib.Path, package: str, seed: int) -> dict[str, Any]:
    """The names of a script that is run with another package in the place of Keras, and another seed."""
    source = path.read_text(encoding="utf-8")
    if package != "keras":
        source = re.sub(r"^import keras$", f"import {package} as keras", source, flags=re.MULTILINE)
        source = re.sub(r"^from keras\b", f"from {package}", source, flags=re.MULTILINE)
    source, count = re.subn(r"set_random_seed\(0\)", f"set_random_seed({seed})", source)
    assert count == 1, f"{path.name} sets one seed"
    names: dict[str, Any] = {"__name__": path.stem}
    exec(compile(source, str(path), "exec"), names)
    return names


def main() -> None:
    import keras

    curves = json.loads(TRACE.read_text())["curves"] if TRACE.exists() else {}
    for path in SCRIPTS:
        if path.stem not in curves or path.stem in sys.argv[1:]:
            runs = [run(path, "keras", seed) for seed in SEEDS]
            curves[path.stem] = {
                "curves": [[float(f"{value:.5g}") for value in names["curve"]] for names in runs],
                "results": [float(f"{names['result']:.5g}") for names in runs],
            }
            print(path.stem, curves[path.stem], file=sys.stderr)
            TRACE.write_text(json.dumps({"keras": keras.__version__, "curves": dict(sorted(curves.items()))}, indent=0) + "\n")


if __name__ == "__main__":
    main()
