"""Gradients that are sent while others are computed: the same bits for any number of processes, and an end for all where one fails."""

import functools
import itertools

import numpy as np
import pytest
from plans import Graph, Model
from test_distribution import LIBRARIES, needs_mpi, start

from fastnet import _core
from fastnet.distribution._messages import find_buckets

STEP = _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.STATES


def layers(widths, shared=False):
    """A graph of dense layers; shared: the first and the last but one have the same weights."""
    random, graph = np.random.default_rng(0), Graph()
    x, known = graph.input((widths[0],)), None
    for i, (n, m) in enumerate(itertools.pairwise(widths)):
        again = shared and i == len(widths) - 3
        weights = known if again else [graph.parameter(random.normal(size=(n, m))), graph.parameter(random.normal(size=m))]
        known = known or weights
        x = graph.node("dense", [x], weights, units=m)
        x = graph.activation(x, "tanh")
    graph.output(x, "mean_squared_error")
    return graph


def run(model, x, y, part=0):
    loss = np.zeros(2)
    model.plan.run(STEP, n_rows=len(x), batch_size=len(x), inputs=[x], targets=[y], loss_sum=loss, part=part)
    return loss


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_complete_after_a_part(isa, dtype, n_threads, shared):
    """Those from each cut on, whatever the others are by then; and in the end all is what a step without cuts leaves."""
    graph, random = layers((9, 9, 30, 9, 9, 4), shared), np.random.default_rng(1)
    x, y = (random.normal(size=(7, n)).astype(dtype) for n in (9, 4))
    whole = Model(graph, dtype, max_rows=7, n_threads=n_threads)
    loss = run(whole, x, y)
    offsets = sorted(whole.offsets[::2], reverse=True)
    model = Model(graph, dtype, max_rows=7, n_threads=n_threads, cuts=[*offsets, offsets[-1]])
    assert model.plan.cuts == ([0, 1, 2, 3, 3] if shared else [0, 1, 2, 3, 4, 4])
    for _ in range(2):
        model.gradient_slab.fill(np.nan)
        for part in range(model.plan.cuts[-1] + 2):
            found = run(model, x, y, part)
            for cut, end in zip(model.plan.cuts, offsets):
                if cut == part:
                    for i, offset in enumerate(model.offsets):
                        if offset >= end:
                            np.testing.assert_array_equal(model.gradient_views[i], whole.gradient_views[i])
            if part == 0:
                assert np.isnan(model.gradient_views[0]).all()
            assert (found == (loss if part == model.plan.cuts[-1] + 1 else 0)).all()


def test_cuts_that_cannot_be():
    graph, x = layers((3, 4, 2)), np.ones((4, 3))
    for options, words in (
        ({"cuts": [0, 64]}, "descending order, got 64 after 0"),
        ({"cuts": [0], "replicas": 2}, "not one of several replicas"),
        ({"cuts": [0], "training": False}, "cut where a plan trains"),
    ):
        with pytest.raises((RuntimeError, ValueError), match=words):
            Model(graph, max_rows=4, **options)
    plan = Model(graph, max_rows=4, cuts=[64]).plan
    given = {"inputs": [x], "targets": [np.ones((4, 2))], "loss_sum": np.zeros(2), "n_rows": 4}
    with pytest.raises((RuntimeError, ValueError), match="part 1 of a step, where part 0 of 2"):
        plan.run(STEP, **given, batch_size=4, part=1)
    with pytest.raises((RuntimeError, ValueError), match="one batch in a call"):
        plan.run(STEP, **given, batch_size=2)
    assert Model(graph, max_rows=4).plan.cuts == []
    frozen = layers((3, 4, 2))
    frozen.parameters = [(array, False) for array, _ in frozen.parameters]
    assert Model(frozen, max_rows=4, cuts=[64, 0]).plan.cuts == [0, 0]


@pytest.mark.parametrize(("sizes", "expected"), [
    ([5], [[0]]),
    ([1 << 18, 1 << 18], [[1], [0]]),  # a megabyte each
    ([1 << 18, (1 << 18) - 16], [[0, 1]]),
    ([16, 1 << 20], [[0, 1]]),  # too little is left for a range of its own
    ([1 << 14, 16, 1 << 20], [[2], [0, 1]]),
    ([1 << 18] * 24, [list(range(i, i + 3)) for i in range(21, -1, -3)]),
])  # fmt: skip
def test_ranges_of_weights(sizes, expected):
    offsets = np.cumsum([0, *sizes]).tolist()
    assert find_buckets(offsets[-1], 4, offsets[:-1], 1 << 16) == [(offsets[own[0]], offsets[own[-1] + 1]) for own in expected]


@functools.cache
def bits(processes, *kinds, library=0):
    return start(library, processes, "buckets", *kinds, "bits")


@needs_mpi
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_the_same_bits_where_gradients_are_sent_early(processes):
    """And where they are read in memory, of which the sections are the same."""
    (expected,) = bits(1)
    assert len(expected) > 30
    for found in [*bits(processes, "apart"), *bits(processes)]:
        for name in expected:
            assert found[name] == expected[name], name


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES[1:])
def test_the_same_bits_by_any_library(library):
    for found in bits(3, "apart", library=library):
        assert found == bits(1)[0]


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES)
def test_sums_by_the_library_are_as_good(library):
    a, b = bits(2, "apart", "plain", library=library)
    assert a == b
    for name in ("SGD", "Adam", "wide", "double", "recurrent", "outputs"):
        np.testing.assert_allclose(a[name]["loss"], bits(1)[0][name]["loss"], rtol=2e-5, err_msg=name)


@needs_mpi
@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("kind", ["step", "single", "labels", "interrupt"])
def test_a_failure_within_a_step_ends_all(kind, processes):
    """The others have what they wait for; no weights have been changed, and the next fit is that of one process."""
    found = sorted(start(0, processes, "buckets", "apart", "failing_early", kind), key=lambda one: one["rank"])
    (alone,) = start(0, 1, "buckets", "failing_early", "single" if kind == "single" else "labels")
    assert len({one["weights"] for one in found}) == 1 and {one["batches"] for one in found} == {2}
    for one in found:
        if kind == "interrupt":
            assert one["error"] == "KeyboardInterrupt"
        elif kind != "labels":
            error, words = (
                ("ZeroDivisionError", "") if one is found[-1] else ("RuntimeError", f"process {processes - 1} has failed: ")
            )
            assert one["error"] == error and words + ("" if one is found[-1] else "ZeroDivisionError: ") in one["message"]
        else:
            assert "label 5" in one["message"]
        if kind != "labels":
            assert set(one["sent"]) > {1, 2}  # bucket by bucket
    if kind == "labels":
        assert alone["batches"] == 2
        assert all(one["weights"] == alone["weights"] and one["again"] == alone["again"] for one in found)
    else:
        assert all(one["again"] == found[0]["again"] for one in found)


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES[1:])
def test_a_failure_within_a_step_ends_all_by_any_library(library):
    a, b = sorted(start(library, 2, "buckets", "apart", "failing_early", "step"), key=lambda one: one["rank"])
    assert (a["error"], b["error"]) == ("RuntimeError", "ZeroDivisionError") and a["again"] == b["again"]
