"""Memory that is not to be had: MemoryError, and everything is as it was. See `out_of_memory.py`, which tries all allocations."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "out_of_memory.py"


def test_any_allocation_may_fail():
    pytest.importorskip("_testcapi", reason="a module of CPython's own tests makes allocations fail")
    step = "1" if os.environ.get("FASTNET_LONG") else "41"
    found = subprocess.run(
        [sys.executable, str(PROGRAM), "--step", step], capture_output=True, text=True, check=False, timeout=600
    )
    assert found.returncode == 0, found.stdout + found.stderr
