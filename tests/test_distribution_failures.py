"""A function of the user's fails in one process, or makes a call that the others do not: all end with a message, and can go on."""

import numpy as np
import pytest
from distribution_failures import CASES, NESTED
from test_distribution import LIBRARIES, needs_mpi, run, start


@pytest.fixture(scope="module", params=[(library, n) for library in LIBRARIES for n in (2, 3)], ids=str)
def raised(request):
    """By name what the last process sees, and what the others do; where one waits for ever, `start` ends them after a while."""
    found = start(*request.param, "raising", seconds=120)
    (last,) = [one for one in found if one["last"]]
    return last["found"], [one["found"] for one in found if not one["last"]]


def check_what_follows(last, others):
    """A step that all make then is the same in all."""
    for one in others:
        assert (one["loss"], one["weights"]) == (last["loss"], last["weights"])


@needs_mpi
@pytest.mark.parametrize("name", CASES)
def test_what_fails_in_one_process_ends_all(raised, name):
    last, others = raised
    last, others = last[name], [one[name] for one in others]
    assert last["error"] != "NoneType" and (name == "mute" or CASES[name][1] in last["message"])
    said = last["error"] if name == "mute" else f"{last['error']}: {last['message']}"
    for one in others:
        assert (one["error"], one["message"]) == ("RuntimeError", f"process {len(others)} has failed: {said}")
    check_what_follows(last, others)


@needs_mpi
@pytest.mark.parametrize("name", NESTED)
def test_a_call_of_one_process_within_another_ends_all(raised, name):
    """It met an exchange of another form."""
    last, others = raised
    last, others = last[name], [one[name] for one in others]
    for one in [last, *others]:
        assert one["error"] == "RuntimeError" and "the processes do not make the same calls, process" in one["message"], one
        assert NESTED[name][1] in one["message"]
    check_what_follows(last, others)


@needs_mpi
def test_calls_that_all_make_within_another():
    """They return the same for any number of processes, and where they fail in one, all of it ends."""
    (expected,) = start(0, 1, "nested_by_all")
    assert len(expected["found"]) == 9 and np.isfinite(expected["found"]).all()
    for library in LIBRARIES:
        for processes in (2, 3):
            for one in start(library, processes, "nested_by_all", seconds=60):
                assert {name: one[name] for name in ("found", "history", "weights")} == {
                    name: expected[name] for name in ("found", "history", "weights")
                }
                said = "in __array__" if one["last"] else f"process {processes - 1} has failed: ArithmeticError: in __array__"
                assert one["message"] == said


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_failure_that_cannot_be_told_ends_the_programs(library):
    """The others are in the middle of an exchange."""
    done = run(library, 2, "unsayable", seconds=60)
    assert done.returncode != 0 and "process 1 has failed: MemoryError: in a sum of process 1" in done.stdout + done.stderr


@needs_mpi
def test_what_cannot_be_written_to_a_file_can_be_trained_with():
    """Schedules, losses and metrics that are functions, or keep nothing that says what they were made with."""
    (expected,) = start(0, 1, "untold")
    assert len(expected["found"]) == 4 and all(len(losses) == 2 for losses, _ in expected["found"])
    for one in start(0, 2, "untold"):
        assert one["found"][:4] == expected["found"]
        assert "process 1 has optimizer=momentum=0.6, process 0 has momentum=0.5" in one["found"][4]
