"""Importing the package costs little: what is not needed yet is not imported."""

import subprocess
import sys

import pytest

import fastnet as fn

#: Not imported with a model: dependencies, and modules of the package that many a program does without.
LATER = ["tqdm", "safetensors", "json", "matplotlib", "tensorboard", "pandas", "fastnet.callbacks", "fastnet.datasets", "fastnet.ops",
         "fastnet.saving", "fastnet.schedules", "fastnet.tuning", "fastnet.diagnosis"]  # fmt: skip

PROGRAM = """
import sys
import numpy
before = set(sys.modules)
import fastnet
print(*sorted(set(sys.modules) - before))
assert fastnet.Model
print(*sorted(set(sys.modules) - before))
assert fastnet.callbacks.EarlyStopping and fastnet.load_model and fastnet.schedules.CosineDecay(0.1, 10)
"""


def test_what_is_imported():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    at_first, used = (line.split() for line in run.stdout.splitlines())
    assert [name for name in at_first if name.startswith("fastnet")] == ["fastnet", "fastnet._core"]
    assert "fastnet.model" in used
    assert not [name for name in LATER if name in used]


def test_operators_and_files_find_the_functions(tmp_path):
    """Neither needs that fastnet.ops has been imported."""
    model = fn.Model(x := fn.Input((3,)), fn.ops.exp(x), seed=0)
    model.save(tmp_path / "model.safetensors")
    for use in ("fastnet.Input((3,)) + 1", f"fastnet.load_model({str(tmp_path / 'model.safetensors')!r})"):
        program = f"import sys, fastnet\nassert 'fastnet.ops' not in sys.modules\n{use}\nassert 'fastnet.ops' in sys.modules"
        subprocess.run([sys.executable, "-c", program], check=True)


def test_names():
    assert set(fn.__all__) <= set(dir(fn))
    for name in fn.__all__:
        assert getattr(fn, name) is not None
    with pytest.raises(AttributeError, match="fastnet.*nothing_such"):
        fn.nothing_such


@pytest.mark.parametrize(
    "source",
    [
        "from fastnet.layers import Dense\nassert Dense(3)(np.ones((2, 4))).shape == (2, 3)",
        "from fastnet.layers import TimeDistributed, Dense\nTimeDistributed.from_config(TimeDistributed(Dense(2)).get_config())",
    ],
)
def test_layers_alone_find_models(source):
    """In a process that has imported nothing else of the package."""
    subprocess.run([sys.executable, "-c", f"import numpy as np\n{source}"], check=True)
