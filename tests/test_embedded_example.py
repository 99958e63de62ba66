"""examples/embedded: built by its Makefile, it learns what it says."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import fastnet

FOLDER = pathlib.Path(__file__).parents[1] / "examples" / "embedded"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_the_sensor_learns_its_drift(tmp_path):
    for path in FOLDER.iterdir():
        shutil.copy(path, tmp_path)
    package = str(pathlib.Path(fastnet.__file__).parents[1])
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": package}
    subprocess.run(["make", "sensor"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    printed = subprocess.run([tmp_path / "sensor"], check=True, capture_output=True, text=True).stdout
    learning, fixed, steps, memory = re.findall(r"off by ([\d.]+).*learning by ([\d.]+); (\d+) steps, (\d+) bytes", printed)[0]
    assert float(learning) < 8 < 40 < float(fixed)
    assert (int(steps), int(memory) < 3000) == (1600, True)


def test_the_makefile_is_short():
    assert len((FOLDER / "Makefile").read_text().splitlines()) == 5
