"""What several processes evaluate and predict together, and validate with; and arguments that differ."""

import numpy as np
import pytest
from distribution_errors import ARGUMENTS
from test_distribution import LIBRARIES, needs_mpi, start


@needs_mpi
def test_rows_held_out_are_divided():
    """Losses and metrics are those that each process finds alone, and of the same bits for any number of processes."""
    expected = start(0, 1, "held_out")[0]["found"]
    for processes in (2, 4):
        every = [one["found"] for one in start(0, processes, "held_out")]
        for number, alone in enumerate(expected):
            assert sum(one[number].pop("batches") for one in every) == (11 if number else 0)
            assert all(one[number] == {name: alone[name] for name in one[number]} for one in every)
    for found, whole in zip(expected, (False, True)):
        assert found["off"] < 1e-12
        assert found["validation"].keys() == found["own"].keys() == found["evaluate"].keys() and len(found["own"]) == 6
        assert found["validation"] == found["evaluate"]
        for name, value in found["own"].items():
            # Of an output with a mask the loss is one of batches, which are others where their size is not given.
            if whole or name not in ("loss", "q_loss"):
                np.testing.assert_allclose(found["evaluate"][name], value, rtol=1e-12)


@needs_mpi
def test_losses_of_arrays_and_steps_are_evaluated_together():
    """As each process does alone, and with the same bits for any number of them."""
    (expected,) = start(0, 1, "evaluated")
    for library, processes in [(0, 2), (0, 3), *((library, 3) for library in LIBRARIES[1:])]:
        assert start(library, processes, "evaluated") == [expected] * processes
    assert "has no targets" in expected.pop("message")
    for name, (together, own) in expected.items():
        assert together.keys() == own.keys() and len(own) > 0, name
        for key in own:
            np.testing.assert_allclose(together[key], own[key], rtol=1e-12, err_msg=f"{name}: {key}")


@needs_mpi
def test_batches_held_out_are_divided():
    """Losses and metrics are those that each process finds alone, of the same bits for any number of processes, and each asks for its part."""
    (expected,) = start(0, 1, "held_batches")
    for library, processes in [(0, 2), (0, 3), *((library, 2) for library in LIBRARIES[1:])]:
        every = start(library, processes, "held_batches")
        for name, alone in expected.items():
            asked = [one[name].pop("asked") for one in every]
            assert all(one[name] == {key: alone[key] for key in one[name]} for one in every), name
            if alone["asked"]:  # 7 batches in each of two epochs, and the first where the shapes are looked at
                assert any(asked) and all(len(one) < len(alone["asked"]) for one in asked), name
                assert sorted({i for one in asked for i in one}) == sorted(set(alone["asked"]))
    for name, found in expected.items():
        if found["own"]:
            assert found["history"][-1].keys() == found["own"].keys()
            np.testing.assert_allclose(list(found["history"][-1].values()), list(found["own"].values()), rtol=1e-12, err_msg=name)
    assert expected["generator"]["history"][0] != expected["generator"]["history"][1]


@needs_mpi
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("rows", "evaluate: process 1 has rows=49, process 0 has 50"),
        ("validation", "process 1 has validation_data='49 rows', process 0 has '50 rows'"),
    ],
)
def test_unequal_calls_are_refused(what, words):
    for found in start(0, 2, "unequal", what):
        assert found["error"] == "ValueError" and words in found["message"]


#: What is named where it is not called as the argument.
NAMED = {
    "value of class_weight": "class_weight",
    "train_on_batch": "sample_weight or class_weight",
    "evaluate": "sample_weight",
    "rows of a batch": "batch_size",
    "weights of batches": "sample_weight",
    "weights of later batches": "sample_weight or class_weight",
}


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES)
def test_arguments_that_differ_are_named(library):
    """In all processes, and what they do next is the same."""
    first, *others = start(library, 3, "other_arguments")
    assert len(first) == len(ARGUMENTS) + 7 and all(found == first for found in others)
    for name, (error, message, loss) in first.items():
        assert error in ("ValueError", "RuntimeError") and NAMED.get(name, name) in message and "process 2" in message, name
        assert np.isfinite(loss)


@needs_mpi
def test_an_error_in_predict_is_seen_by_all():
    a, b = sorted(start(0, 2, "unequal", "error"), key=lambda one: one["rank"])
    assert (a["error"], b["error"]) == ("RuntimeError", "ValueError")
    assert a["message"] == f"process 1 has failed: ValueError: {b['message']}"
