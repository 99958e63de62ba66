"""What all tests share: every instruction set of the machine, both precisions, reproducible property tests."""

import gc
import signal

import hypothesis
import pytest
import round_trips

from fastnet import _core

# The same examples on every run and no limit on their time: a shared machine must not turn a test red.
hypothesis.settings.register_profile("stable", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("stable")

# Shells let what they start in the background ignore Ctrl-C, and so do the processes that this one starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """The tests themselves stay: some millions of objects that the garbage collector would look at again in each of its runs."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=_core.available_isas())
def isa(request):
    """Plans made in the test run on this instruction set."""
    before = _core.isa()
    _core.select_isa(request.param)
    yield request.param
    _core.select_isa(before)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Precision of the plans made in the test."""
    return request.param


round_trips.watch()


@pytest.fixture(autouse=True)
def every_model_can_be_saved(request):
    """What is made in any test is saved and loaded after it, and computes the same bits."""
    round_trips.made.clear()
    yield
    round_trips.check_all(request.module.__name__)
