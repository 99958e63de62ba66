"""Schedules: against traces of Keras and PyTorch, against plain loops, and what holds for all of them."""

import inspect
import json
import math
import pathlib
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from reference_schedules import REFERENCES, reference

from fastnet import schedules
from fastnet.schedules import *

CLASSES = {
    name: thing
    for name, thing in vars(schedules).items()
    if name in schedules.__all__ and isinstance(thing, type) and thing is not LearningRateSchedule
}

#: Schedules to test with, and the step from which each is constant (None: it never is).
CASES = [
    (Constant(0.1), 0),
    (StepDecay(0.1, 10), None),
    (MultiStepDecay(0.1, [3, 20, 20, 50], gamma=0.5), 50),
    (MultiStepDecay(0.1, []), 0),
    (PiecewiseConstantDecay([10, 25.5], [0.1, 0.2, 0.05]), 26),
    (PiecewiseConstantDecay([], [0.1]), 0),
    (ExponentialDecay(0.1, 10, 0.5), None),
    (ExponentialDecay(0.1, 7.5, 0.9, staircase=True), None),
    (NaturalExpDecay(0.1, 1, 0.05), None),
    (NaturalExpDecay(0.1, 10, 0.5, staircase=True), None),
    (InverseTimeDecay(0.1, 3, 0.5), None),
    (InverseTimeDecay(0.1, 3, 0.5, staircase=True), None),
    (PolynomialDecay(0.1, 40, 0.01, power=0.5), 40),
    (PolynomialDecay(0.1, 12.5, power=2, cycle=True), None),
    (LinearDecay(0.1, 30), 30),
    (LinearDecay(0, 30, 0.1), 30),
    (CosineDecay(0.1, 40, alpha=0.1), 40),
    (CosineDecay(0.0, 40, warmup_target=0.1, warmup_steps=7), 47),
    (CosineDecay(0.0, 40, warmup_target=0.1), 40),
    (CosineDecayRestarts(0.1, 10, t_mul=1, m_mul=0.5), None),
    (CosineDecayRestarts(0.1, 1, t_mul=3, alpha=0.1), None),
    (CosineDecayRestarts(0.1, 10, t_mul=1.1), None),
    (CosineDecayRestarts(0.1, 10, t_mul=0.5, m_mul=0.9, alpha=0.05), 20),
    (CosineDecayRestarts(0.1, 6, t_mul=0.75), 24),
    (Cyclic(0.01, 0.1, 8), None),
    (Cyclic(0.01, 0.1, 8, 3, "triangular2"), None),
    (Cyclic(0.01, 0.1, 8, 12.5, "exp_range", 0.99), None),
    (Cyclic(0.01, 0.1, 8).momentum(), None),
    (OneCycle(0.1, 60), 59),
    (OneCycle(0.1, 60, 0.4, "linear", three_phase=True), 59),
    (OneCycle(0.1, 10, 0.1), 9),
    (OneCycle(0.1, 60).momentum(0.8, 0.99), 59),
    (Noam(64, 20), None),
    (InverseSquareRoot(0.1, 16), None),
    (InverseSquareRoot(0.1, 16, 0.1), None),
    (WarmupStableDecay(0.1, 10, 20, 30), 60),
    (WarmupStableDecay(0.1, 0, 20.5, 30, end_learning_rate=0.01, decay="cosine"), 51),
    (WarmupStableDecay(0.1, 5, 0, 30, 0.05, decay="1-sqrt"), 35),
    (LinearWarmup(0.1, 10), 10),
    (LinearWarmup(CosineDecay(0.1, 30), 10, 0.01), 40),
    (LinearWarmup(CosineDecay(0.1, 30), 0), 30),
    (Sequential([0.01, LinearDecay(0.1, 20), 0.001], [5, 40]), 40),
    (Sequential([CosineDecay(0.1, 20)], []), 20),
    (Chained([CosineDecay(0.1, 20), LinearDecay(0, 10, 1)]), 20),
    (Sum([LinearDecay(0.1, 20), 0.01, CosineDecay(0.1, 30)]), 30),
    (Lambda(lambda step: 0.1 if step < 10 else 1 / step), None),
    (Lambda(lambda steps: 1.0 / (steps + 1), vectorized=True), None),
    (Epochs(CosineDecay(0.1, 5), 10), 50),
    (Epochs(Sequential([LinearWarmup(0.1, 2), StepDecay(0.1, 2, 0.5)], [3]), 7), None),
]  # fmt: skip
IDS = [f"{type(schedule).__name__}-{i}" for i, (schedule, _) in enumerate(CASES)]
SCHEDULES = [schedule for schedule, _ in CASES]
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=IDS)


def test_every_schedule_has_reference_and_case():
    """A new schedule cannot be forgotten here."""
    assert set(REFERENCES) == set(CLASSES)
    assert {type(schedule).__name__ for schedule in SCHEDULES} == set(CLASSES)
    assert set(schedules.SCHEDULES.values()) == set(CLASSES.values())


@pytest.mark.parametrize("name", CLASSES)
def test_documented(name):
    """Every schedule has an equation, parameters and an example; where it has a source, that is named."""
    text = inspect.getdoc(CLASSES[name])
    assert ">>>" in text
    assert "Parameters\n---" in text
    assert "value" in text or name == "Lambda"
    assert name == "Sum" or "Notes\n---" in text


# ---- Against Keras and PyTorch. ----

#: What a call in tools/dump_schedule_traces.py is here, where that is not the same call.
HERE = {
    "StepLR(optimizer, 10)": StepDecay(0.1, 10),
    "StepLR(optimizer, 7, gamma=0.5)": ExponentialDecay(0.1, 7, 0.5, staircase=True),
    "MultiStepLR(optimizer, [10, 25, 40])": MultiStepDecay(0.1, [10, 25, 40]),
    "MultiStepLR(optimizer, [0, 10, 10, 40], gamma=0.5)": MultiStepDecay(0.1, [0, 10, 10, 40], 0.5),
    "ConstantLR(optimizer, factor=0.25, total_iters=10)": PiecewiseConstantDecay([9], [0.025, 0.1]),
    "LinearLR(optimizer)": LinearDecay(0.1 / 3, 5, 0.1),
    "LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=20)": LinearDecay(0.1, 20, 0.01),
    "ExponentialLR(optimizer, gamma=0.9)": ExponentialDecay(0.1, 1, 0.9),
    "PolynomialLR(optimizer, total_iters=20)": PolynomialDecay(0.1, 20, 0.0),
    "PolynomialLR(optimizer, total_iters=20, power=0.9)": PolynomialDecay(0.1, 20, 0.0, 0.9),
    "CosineAnnealingLR(optimizer, 30)": CosineDecay(0.1, 30),
    "CosineAnnealingLR(optimizer, 30, eta_min=0.01)": CosineDecay(0.1, 30, alpha=0.1),
    "CosineAnnealingWarmRestarts(optimizer, 15)": CosineDecayRestarts(0.1, 15, t_mul=1),
    "CosineAnnealingWarmRestarts(optimizer, 4, T_mult=2, eta_min=0.01)": CosineDecayRestarts(0.1, 4, alpha=0.1),
    "CosineAnnealingWarmRestarts(optimizer, 1, T_mult=3)": CosineDecayRestarts(0.1, 1, t_mul=3),
    "LambdaLR(optimizer, lambda t: 0.95 ** t)": 0.1 * Lambda(lambda step: 0.95**step),
    "SequentialLR(optimizer, [LinearLR(optimizer, 0.01, 1.0, 10), CosineAnnealingLR(optimizer, 60)], [10])":
        LinearWarmup(CosineDecay(0.1, 60), 10, 0.001),
    "SequentialLR(optimizer, [ConstantLR(optimizer, 0.1, 99), ExponentialLR(optimizer, 0.9), StepLR(optimizer, 5)],"
    " [10, 30])": Sequential([0.01, ExponentialDecay(0.1, 1, 0.9), StepDecay(0.1, 5)], [10, 30]),
    "ChainedScheduler([LinearLR(optimizer, 0.1, 1.0, 8), ExponentialLR(optimizer, 0.9)])":
        LinearDecay(0.1, 8, 1.0) * ExponentialDecay(0.1, 1, 0.9),
}  # fmt: skip


def same_call(call):
    """Ours for a call of Keras, CyclicLR or OneCycleLR, and the arguments of the momentum."""
    momentum = {}

    def cyclic_lr(_, *args, **kwargs):
        return Cyclic(*args, **kwargs)

    def one_cycle_lr(_, *args, **kwargs):
        momentum.update((name, kwargs.pop(name)) for name in list(kwargs) if "momentum" in name)
        return OneCycle(*args, **kwargs)

    names = {**vars(schedules), "optimizer": None, "CyclicLR": cyclic_lr, "OneCycleLR": one_cycle_lr}
    return eval(call, names), momentum


def load_traces():
    found = []
    for framework in ("keras", "pytorch"):
        path = pathlib.Path(__file__).parent / "traces" / f"schedules_{framework}.json"
        found += json.loads(path.read_text())["traces"].items()
    return found


TRACES = load_traces()


@pytest.mark.parametrize(("call", "trace"), TRACES, ids=[call for call, _ in TRACES])
def test_same_as_original(call, trace):
    """Keras in float64 and PyTorch give the same values, at every step that the docstrings do not except."""
    schedule, momentum = (HERE[call], {}) if call in HERE else same_call(call)
    expected = np.array(trace["learning_rate"])
    n = {"CosineAnnealingLR": 31}.get(call.partition("(")[0], len(expected))
    late = [121] if call == "CosineDecayRestarts(0.1, 1, t_mul=3.0)" else []
    steps = np.setdiff1d(np.arange(n), late)
    np.testing.assert_allclose(schedule(steps), expected[steps], rtol=1e-12, atol=1e-16)
    if "momentum" in trace:
        np.testing.assert_allclose(schedule.momentum(**momentum)(steps), trace["momentum"], rtol=1e-12)
    for step in late:  # Keras is still in the last period, at the lowest, where the next one starts
        assert expected[step] < 1e-12
        assert schedule(step) == 0.1
    if n < len(expected):  # PyTorch goes up again
        assert expected[n] > expected[n - 1]
        assert schedule(n) == schedule(n - 1) == schedule(10 * n)


def test_every_class_of_keras_is_compared():
    """All that Keras has is in the traces."""
    kept = {call.partition("(")[0] for call, _ in TRACES}
    assert kept >= {"CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay"}
    assert kept >= {"PiecewiseConstantDecay", "PolynomialDecay"}
    assert set(HERE) <= {call for call, _ in TRACES}


# ---- Against the references, and what all have in common. ----


@each_schedule
def test_same_as_reference(schedule):
    """At every step, over the ends and boundaries of all cases."""
    expected = [reference(schedule, t) for t in range(300)]
    np.testing.assert_allclose(schedule(np.arange(300)), expected, rtol=1e-12, atol=1e-17)


@each_schedule
def test_a_step_does_not_depend_on_others(schedule):
    """One step, many, pieces of any size, backwards, strided: the same bits. Resuming relies on it."""
    all_at_once = schedule(np.arange(200))
    assert [schedule(t) for t in range(200)] == all_at_once.tolist()
    for n in (1, 3, 8, 17):
        pieces = [schedule(np.arange(200)[i : i + n]) for i in range(0, 200, n)]
        np.testing.assert_array_equal(np.concatenate(pieces), all_at_once)
    np.testing.assert_array_equal(schedule(np.arange(200)[::-3]), all_at_once[::-3])
    np.testing.assert_array_equal(schedule(np.arange(200).reshape(10, 20).T), all_at_once.reshape(10, 20).T)


@each_schedule
def test_types(schedule):
    """Floats for integers of any kind, arrays of float64 of the same shape for arrays."""
    for step in (3, np.int32(3), np.uint8(3), np.array(3)):
        assert type(schedule(step)) is float
        assert schedule(step) == schedule(3)
    for dtype in ("uint8", "int32", "uint64"):
        values = schedule(np.arange(6, dtype=dtype).reshape(2, 3))
        assert values.dtype == np.float64
        assert values.shape == (2, 3)
    assert schedule([1, 2]).shape == (2,)
    assert schedule([]).shape == schedule(np.arange(0)).shape == (0,)


@pytest.mark.parametrize(("schedule", "end"), CASES, ids=IDS)
def test_stays_at_its_end(schedule, end):
    """After the last step the value is that of the last step, exactly; all are positive and finite for ever."""
    steps = np.concatenate([np.arange(1000), [10**5, 10**6, 10**9, 10**12]])
    values = schedule(steps)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    if end is not None:
        assert (values[end:] == values[end]).all()
        assert end == 0 or values[end - 1] != values[end]


@each_schedule
def test_config(schedule):
    """Written as JSON and read again it is the same; a Python function cannot be written."""
    assert schedule == schedule
    assert schedule != Constant(123.0)
    if isinstance(schedule, Lambda):
        with pytest.raises(TypeError, match=r"Lambda: the function .* cannot be saved"):
            schedules.serialize(schedule)
        return
    description = json.loads(json.dumps(schedules.serialize(schedule)))
    for again in (schedules.deserialize(description), schedules.get(description)):
        assert again == schedule
        assert hash(again) == hash(schedule)
        assert repr(again) == repr(schedule)
        np.testing.assert_array_equal(again(np.arange(100)), schedule(np.arange(100)))
    assert eval(repr(schedule), vars(schedules).copy()) == schedule


@each_schedule
def test_bad_steps(schedule):
    """Steps are integers and not negative."""
    with pytest.raises(ValueError, match=f"{type(schedule).__name__}: step must be at least 0, got -1"):
        schedule([3, -1])
    for step in (1.5, [0.0, 1.0], "3", None, True):
        with pytest.raises(TypeError, match=f"{type(schedule).__name__}: step must be an integer"):
            schedule(step)


RATES = st.floats(0.0, 10.0, allow_subnormal=False)
FACTORS = st.floats(0.01, 1.0)
LENGTHS = st.one_of(st.integers(1, 300), st.floats(0.5, 300.0))
#: What random arguments are drawn from; those not here keep their defaults.
ARGUMENTS = {
    "value": RATES, "initial_learning_rate": RATES, "end_learning_rate": RATES, "peak_learning_rate": RATES,
    "base_learning_rate": RATES, "max_learning_rate": RATES, "warmup_target": st.none() | RATES,
    "decay_steps": LENGTHS, "first_decay_steps": LENGTHS, "step_size_up": LENGTHS,
    "step_size_down": st.none() | LENGTHS, "d_model": LENGTHS, "warmup_steps": st.integers(1, 200),
    "stable_steps": st.integers(0, 200), "total_steps": st.integers(1, 300), "step_size": st.integers(1, 300),
    "steps_per_epoch": st.integers(1, 50), "milestones": st.lists(st.integers(1, 300)).map(sorted),
    "gamma": FACTORS, "decay_rate": FACTORS, "alpha": FACTORS, "m_mul": FACTORS, "factor": FACTORS,
    "t_mul": st.just(1.0) | st.integers(2, 4) | st.floats(1.001, 4.0) | st.sampled_from([0.25, 0.5, 0.75]), "power": st.floats(0.5, 4.0),
    "pct_start": st.floats(0.0, 1.0), "div_factor": st.floats(1.0, 100.0), "final_div_factor": st.floats(1.0, 1e4),
    "staircase": st.booleans(), "cycle": st.booleans(), "three_phase": st.booleans(),
    "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
    "anneal_strategy": st.sampled_from(["cos", "linear"]), "decay": st.sampled_from(["linear", "cosine", "1-sqrt"]),
    "function": st.just(lambda step: 1 / (1 + step)),
}  # fmt: skip


def build(cls, parts):
    """Random schedules of a class, made of parts where it is made of others."""
    more = {"schedule": parts, "schedules": st.lists(parts, min_size=1, max_size=3)}
    known = {**ARGUMENTS, **more}
    if cls in (PiecewiseConstantDecay, Sequential):
        rest, of_rest = ("values", RATES) if cls is PiecewiseConstantDecay else ("schedules", parts)
        increasing = st.lists(st.integers(1, 300), unique=True, max_size=4).map(sorted)
        return increasing.flatmap(
            lambda b: st.lists(of_rest, min_size=len(b) + 1, max_size=len(b) + 1).map(
                lambda items: cls(**{"boundaries": b, rest: items})
            )
        )
    names = [name for name in cls._arguments() if name in known]
    return st.builds(cls, **{name: known[name] for name in names})


PLAIN = st.sampled_from(sorted(set(CLASSES) - {"Chained", "Epochs", "LinearWarmup", "Sequential", "Sum"})).flatmap(
    lambda name: build(CLASSES[name], None)
)
ANY = st.one_of(*(build(cls, PLAIN) for cls in CLASSES.values()))


@given(ANY, st.lists(st.integers(0, 2000), min_size=1, max_size=12))
def test_any_arguments(schedule, steps):
    """With arguments and steps of all kinds: the reference, finite, positive, the same alone and together."""
    values = schedule(steps)
    expected = [reference(schedule, t) for t in steps]
    np.testing.assert_allclose(values, expected, rtol=1e-7, atol=1e-12)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert [schedule(t) for t in steps] == values.tolist()
    if "Lambda" not in repr(schedule):
        assert schedules.deserialize(json.loads(json.dumps(schedules.serialize(schedule)))) == schedule


@given(st.integers(1, 1000), st.integers(2, 10), st.integers(0, 12))
def test_restarts_are_exact(first, t_mul, i):
    """The step where a period starts has the highest rate, the one before it nearly the lowest."""
    schedule = CosineDecayRestarts(0.1, first, t_mul=t_mul, m_mul=0.5)
    start = first * (t_mul**i - 1) // (t_mul - 1)
    assert schedule(start) == 0.1 * 0.5**i
    if start > 1:
        assert schedule(start - 1) <= 0.1 * 0.5 ** (i - 1)


def test_restarts_with_fractional_growth():
    """A period that starts at a step, in exact arithmetic, starts there although 1.1 is not exact."""
    schedule = CosineDecayRestarts(0.1, 10, t_mul=1.1)
    assert schedule([0, 10, 21]).tolist() == [0.1, 0.1, 0.1]
    assert CosineDecayRestarts(0.1, 100, t_mul=1.5)([100, 250, 475]).tolist() == [0.1, 0.1, 0.1]


def test_restarts_of_shorter_periods():
    """As Keras 3.15 on PyTorch gives them, in float32, up to step 20; after that it gives NaN."""
    keras = [0.1, 0.0976752, 0.0909283, 0.0804198, 0.0671783, 0.0525, 0.0378217, 0.0245802, 0.0140717, 0.0073248, 0.0905,
             0.0823355, 0.0609605, 0.0345395, 0.0131645, 0.08195, 0.0553644, 0.0123481, 0.050328, 0.0457952]  # fmt: skip
    schedule = CosineDecayRestarts(0.1, 10, t_mul=0.5, m_mul=0.9, alpha=0.05)
    np.testing.assert_allclose(schedule(np.arange(20)), keras, rtol=0, atol=2e-7)
    assert schedule([20, 21, 1000]).tolist() == [0.1 * 0.05] * 3


# ---- Counting in epochs. ----


def test_epochs():
    """Constant within an epoch; bound once, wherever it is in the schedule."""
    per_epoch = StepDecay(0.1, 2, 0.5).in_epochs()
    assert per_epoch == Epochs(StepDecay(0.1, 2, 0.5))
    assert not per_epoch.is_bound
    with pytest.raises(RuntimeError, match=r"Epochs: steps_per_epoch is not known yet; .* bind\(steps_per_epoch\)"):
        per_epoch(0)
    bound = per_epoch.bind(10)
    assert bound == Epochs(StepDecay(0.1, 2, 0.5), 10)
    assert bound([0, 9, 10, 19, 20, 39, 40]).tolist() == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025]
    assert not per_epoch.is_bound
    assert bound.bind(99) is bound
    assert Constant(0.1).bind(10) == Constant(0.1)
    assert Constant(0.1).is_bound


def test_bind_reaches_every_part():
    """Parts deep inside are bound; the description stays as it was."""
    per_epoch = Epochs(LinearDecay(1.0, 4))
    schedule = Sequential([LinearWarmup(per_epoch, 5), 0.5 * per_epoch + Epochs(0.1, 3)], [20])
    before = repr(schedule)
    assert not schedule.is_bound
    bound = schedule.bind(10)
    assert bound.is_bound
    assert bound.schedules[1].schedules[1].steps_per_epoch == 3
    assert bound([5, 14, 15, 20, 30]).tolist() == [1.0, 1.0, 0.75, 0.6, 0.475]
    assert repr(schedule) == before
    assert schedules.deserialize(schedules.serialize(bound)) == bound


def test_epochs_of_epochs():
    """What counts epochs already has no epochs to be counted in."""
    with pytest.raises(ValueError, match="Epochs: schedule must not count epochs itself, got Chained"):
        Epochs(2 * Epochs(0.1))


# ---- Making and combining them. ----


def test_get():
    """Schedules, numbers, functions, configurations and classes are understood."""
    schedule = CosineDecay(0.1, 10)
    assert schedules.get(schedule) is schedule
    for value in (1, 0.5, np.float32(0.5), np.array(0.5), np.int64(2)):
        assert schedules.get(value) == Constant(float(value))
    assert schedules.get(math.sqrt)(4) == 2.0
    keras = {"module": "keras.optimizers.schedules", "class_name": "CosineDecay", "registered_name": None,
             "config": {"initial_learning_rate": 0.1, "decay_steps": 10, "alpha": 0.0, "name": "CosineDecay",
                        "warmup_target": None, "warmup_steps": 0}}  # fmt: skip
    assert schedules.get(keras) == schedule
    for cls in (CosineDecay, "CosineDecay", "cosine_decay"):
        with pytest.raises(TypeError, match="CosineDecay needs initial_learning_rate, decay_steps: pass a Cosine"):
            schedules.get(cls)
    with pytest.raises(ValueError, match="unknown schedule 'cosine'"):
        schedules.get("cosine")
    with pytest.raises(ValueError, match="unknown schedule 'Nothing'"):
        schedules.deserialize({"class_name": "Nothing", "config": {}})
    for nothing in (None, True, [0.1], int):
        with pytest.raises(TypeError, match=r"not a schedule: .*; expected a schedule, a number, a function of"):
            schedules.get(nothing)


def test_arithmetic():
    """Schedules and numbers, Python's and NumPy's, from both sides."""
    a, b = LinearDecay(0.1, 10), Cyclic(0.1, 0.5, 3)
    steps = np.arange(30)
    for schedule, expected in [
        (a * b, a(steps) * b(steps)),
        (2 * a, 2 * a(steps)),
        (a * np.float64(2), 2 * a(steps)),
        (np.float32(2) * a, 2 * a(steps)),
        (a / 4, a(steps) / 4),
        (a + b, a(steps) + b(steps)),
        (1 + a, 1 + a(steps)),
        (np.int64(1) + a + 0.5, 1.5 + a(steps)),
        (sum([a, b]), a(steps) + b(steps)),
    ]:
        np.testing.assert_allclose(schedule(steps), expected, rtol=1e-15)
        assert isinstance(schedule, LearningRateSchedule)
    for wrong in (lambda: a * "x", lambda: a + None, lambda: a / b, lambda: 1 / a, lambda: a * True):
        with pytest.raises(TypeError):
            wrong()


def test_own_schedules():
    """Own classes: with `evaluate`, or written for Keras with a `__call__` for one step."""

    class Harmonic(LearningRateSchedule):
        def __init__(self, initial_learning_rate):
            self.initial_learning_rate = initial_learning_rate

        def evaluate(self, steps):
            return self.initial_learning_rate / (steps + 1)

    class ForKeras(LearningRateSchedule):
        def __init__(self, initial_learning_rate):
            self.initial_learning_rate = initial_learning_rate

        def __call__(self, step):
            if step < 2:
                return self.initial_learning_rate
            return self.initial_learning_rate / (step + 1)

    class Doubled(CosineDecay):
        def __call__(self, step):
            return 2 * super().__call__(step)

    assert Harmonic(1.0)([[0, 1], [3, 9]]).tolist() == [[1.0, 0.5], [0.25, 0.1]]
    assert ForKeras(1.0)([[0, 1], [3, 9]]).tolist() == [[1.0, 1.0], [0.25, 0.1]]
    assert type(ForKeras(1)(0)) is float
    assert LinearWarmup(ForKeras(1.0), 2)([0, 1, 2, 5]).tolist() == [0.0, 0.5, 1.0, 0.25]
    assert Doubled(0.1, 10)([0, 10]).tolist() == [0.2, 0.0]
    assert ForKeras.from_config(ForKeras(0.5).get_config()) == ForKeras(0.5)
    with pytest.raises(NotImplementedError, match=r"LearningRateSchedule must override evaluate"):
        LearningRateSchedule()(0)


def test_lambda():
    """Called for each step with an int, unless it says that it takes arrays."""
    seen = []
    Lambda(lambda step: seen.append(step) or 0.1)(np.arange(3))
    assert seen == [0, 1, 2]
    assert {type(step) for step in seen} == {int}
    assert Lambda(lambda steps: 0.1, vectorized=True)([1, 2]).tolist() == [0.1, 0.1]
    with pytest.raises(ValueError, match=r"Lambda: function must return an array of shape \(3,\), got \(2,\)"):
        Lambda(lambda steps: steps[:2], vectorized=True)([0, 1, 2])
    with pytest.raises(TypeError, match="Lambda: function must return a number, got 'x' for step 4"):
        Lambda(lambda step: "x")(4)
    with pytest.raises(ZeroDivisionError):
        Lambda(lambda step: 1 / step)(0)
    with pytest.raises(TypeError, match=r"Lambda: the function .* cannot be saved"):
        schedules.serialize(LinearWarmup(lambda step: 0.1, 3))


def test_functions_stay_what_they_are():
    """Equality of Lambdas is that of their functions."""

    def one(step):
        return 1.0

    assert Lambda(one) == Lambda(one)
    assert hash(2 * Lambda(one)) == hash(2 * Lambda(one))
    assert Lambda(one) != Lambda(lambda step: 1.0)


# ---- Arguments that cannot be. ----

BAD = [
    (lambda: Constant(-0.1), ValueError, "Constant: value must be a finite number of at least 0, got -0.1"),
    (lambda: Constant("0.1"), TypeError, "Constant: value must be a finite number of at least 0, got '0.1'"),
    (lambda: Constant(math.nan), ValueError, "Constant: value must be a finite number of at least 0, got nan"),
    (lambda: StepDecay(0.1, 0), ValueError, "StepDecay: step_size must be an integer of at least 1, got 0"),
    (lambda: StepDecay(0.1, 1.5), TypeError, "StepDecay: step_size must be an integer of at least 1, got 1.5"),
    (lambda: StepDecay(0.1, 1, 0), ValueError, "StepDecay: gamma must be a finite number above 0, got 0"),
    (lambda: MultiStepDecay(0.1, 5), TypeError, "MultiStepDecay: milestones must be a sequence of integers, got 5"),
    (lambda: MultiStepDecay(0.1, [5, 3]), ValueError, "MultiStepDecay: milestones must be increasing, got [5, 3]"),
    (lambda: MultiStepDecay(0.1, [1, 2.5]), TypeError,
     "MultiStepDecay: milestones[1] must be an integer of at least 0, got 2.5"),
    (lambda: PiecewiseConstantDecay([1], [0.1]), ValueError,
     "PiecewiseConstantDecay: values must be one more than boundaries, got 1 values and 1 boundaries"),
    (lambda: PiecewiseConstantDecay([1, 1], [0.1] * 3), ValueError,
     "PiecewiseConstantDecay: boundaries must be strictly increasing, got [1, 1]"),
    (lambda: PiecewiseConstantDecay([1], [0.1, None]), TypeError,
     "PiecewiseConstantDecay: values[1] must be a finite number of at least 0, got None"),
    (lambda: ExponentialDecay(0.1, 0, 0.5), ValueError,
     "ExponentialDecay: decay_steps must be a finite number above 0, got 0"),
    (lambda: ExponentialDecay(0.1, 10, True), TypeError,
     "ExponentialDecay: decay_rate must be a finite number above 0, got True"),
    (lambda: NaturalExpDecay(0.1, 1, -1), ValueError,
     "NaturalExpDecay: decay_rate must be a finite number of at least 0, got -1"),
    (lambda: InverseTimeDecay(-1, 1, 1), ValueError,
     "InverseTimeDecay: initial_learning_rate must be a finite number of at least 0, got -1"),
    (lambda: PolynomialDecay(0.1, 10, power=0), ValueError,
     "PolynomialDecay: power must be a finite number above 0, got 0"),
    (lambda: LinearDecay(0.1, math.inf), ValueError,
     "LinearDecay: decay_steps must be a finite number above 0, got inf"),
    (lambda: CosineDecay(0.1, 10, warmup_target="x"), TypeError,
     "CosineDecay: warmup_target must be a finite number of at least 0, got 'x'"),
    (lambda: CosineDecay(0.1, 10, warmup_steps=-1), ValueError,
     "CosineDecay: warmup_steps must be a finite number of at least 0, got -1"),
    (lambda: CosineDecayRestarts(0.1, 10, t_mul=0), ValueError,
     "CosineDecayRestarts: t_mul must be a finite number above 0, got 0"),
    (lambda: Cyclic(0.1, 0.2, mode="triangle"), ValueError,
     "Cyclic: mode must be one of 'triangular', 'triangular2', 'exp_range', got 'triangle'"),
    (lambda: Cyclic(0.1, 0.2, step_size_down=0), ValueError,
     "Cyclic: step_size_down must be a finite number above 0, got 0"),
    (lambda: OneCycle(0.1, 10.0), TypeError, "OneCycle: total_steps must be an integer of at least 1, got 10.0"),
    (lambda: OneCycle(0.1, 10, 1.5), ValueError, "OneCycle: pct_start must be at most 1, got 1.5"),
    (lambda: OneCycle(0.1, 10, anneal_strategy="cosine"), ValueError,
     "OneCycle: anneal_strategy must be one of 'cos', 'linear', got 'cosine'"),
    (lambda: OneCycle(0.1, 10).momentum(0.0), ValueError,
     "OneCycle: base_momentum must be a finite number above 0, got 0.0"),
    (lambda: Noam(0), ValueError, "Noam: d_model must be a finite number above 0, got 0"),
    (lambda: InverseSquareRoot(0.1, 0), ValueError,
     "InverseSquareRoot: warmup_steps must be a finite number above 0, got 0"),
    (lambda: WarmupStableDecay(0.1, 1, 1, 1, decay="sqrt"), ValueError,
     "WarmupStableDecay: decay must be one of 'linear', 'cosine', '1-sqrt', got 'sqrt'"),
    (lambda: LinearWarmup(0.1, 2.5), TypeError, "LinearWarmup: warmup_steps must be an integer of at least 0, got 2.5"),
    (lambda: Sequential([0.1, 0.2], []), ValueError,
     "Sequential: boundaries must be one fewer than schedules, got 0 boundaries and 2 schedules"),
    (lambda: Sequential([0.1] * 3, [5, 5]), ValueError,
     "Sequential: boundaries must be strictly increasing, got [5, 5]"),
    (lambda: Chained([]), ValueError, "Chained: schedules must be at least one, got none"),
    (lambda: Sum(0.1), TypeError, "Sum: schedules must be a sequence of schedules, got 0.1"),
    (lambda: Lambda(3), TypeError, "Lambda: function must be a callable of the step, got 3"),
    (lambda: Epochs(0.1, 0), ValueError, "Epochs: steps_per_epoch must be an integer of at least 1, got 0"),
    (lambda: Epochs(0.1).bind(0.5), TypeError, "Epochs: steps_per_epoch must be an integer of at least 1, got 0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), BAD, ids=[message.split(", got")[0] for *_, message in BAD])
def test_bad_arguments(make, error, message):
    """The message says the class, the argument, what was given and what was expected."""
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


def test_bad_arguments_of_every_schedule():
    """None of them is forgotten above."""
    assert {message.partition(":")[0] for *_, message in BAD} == set(CLASSES)


# ---- Pictures. ----


def test_plot(tmp_path):
    """All values of the schedule, by steps or by epochs, in a picture."""
    pytest.importorskip("matplotlib")
    figure = OneCycle(0.1, 100).plot(120, tmp_path / "one_cycle.png")
    assert (tmp_path / "one_cycle.png").stat().st_size > 1000
    (axis,) = figure.axes
    (curve,) = axis.lines
    np.testing.assert_array_equal(curve.get_ydata(), OneCycle(0.1, 100)(np.arange(120)))
    assert axis.get_xlabel() == "step"
    (axis,) = StepDecay(0.1, 10).in_epochs().plot(30).axes
    assert axis.get_xlabel() == "epoch"
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), StepDecay(0.1, 10)(np.arange(30)))
    with pytest.raises(ValueError, match="plot: n_steps must be an integer of at least 1, got 0"):
        Constant(0.1).plot(0)


def test_matplotlib_is_imported_on_use():
    """Schedules without pictures need none of it."""
    code = "import sys, fastnet.schedules; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_matplotlib(monkeypatch):
    """The message says how to get it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"schedule.plot needs matplotlib: pip install fastnet-engine\[plot\]"):
        Constant(0.1).plot(3)
