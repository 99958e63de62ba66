"""Schedules: against traces of Keras and PyTorch, against plain loops, and what holds for all of them."""

import inspect
import itertools
import json
import math
import pathlib
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fastnet import schedules
from fastnet.schedules import *  # noqa: F403

CLASSES = {
    name: thing
    for name, thing in vars(schedules).items()
    if name in schedules.__all__ and isinstance(thing, type) and thing is not LearningRateSchedule
}


# ---- References: each schedule as a plain function of one step and its arguments. ----


def reference(schedule, t):
    """The value of a schedule at step t, by the function below that has its name."""
    arguments = {name: getattr(schedule, name) for name in type(schedule)._arguments() if name != "name"}
    return REFERENCES[type(schedule).__name__](t, **arguments)


def cosine(start, end, p):
    return end + (start - end) * (1 + math.cos(math.pi * p)) / 2


def line(start, end, p):
    return start + (end - start) * p


def constant(t, value):
    return value


def step_decay(t, initial_learning_rate, step_size, gamma):
    rate = initial_learning_rate
    for step in range(1, t + 1):
        if step % step_size == 0:
            rate *= gamma
    return rate


def multi_step_decay(t, initial_learning_rate, milestones, gamma):
    rate = initial_learning_rate
    for milestone in milestones:
        if t >= milestone:
            rate *= gamma
    return rate


def piecewise_constant_decay(t, boundaries, values):
    for boundary, value in zip(boundaries, values):
        if t <= boundary:
            return value
    return values[-1]


def exponential_decay(t, initial_learning_rate, decay_steps, decay_rate, staircase):
    periods = math.floor(t / decay_steps) if staircase else t / decay_steps
    return initial_learning_rate * decay_rate**periods


def natural_exp_decay(t, initial_learning_rate, decay_steps, decay_rate, staircase):
    periods = math.floor(t / decay_steps) if staircase else t / decay_steps
    return initial_learning_rate * math.exp(-decay_rate * periods)


def inverse_time_decay(t, initial_learning_rate, decay_steps, decay_rate, staircase):
    periods = math.floor(t / decay_steps) if staircase else t / decay_steps
    return initial_learning_rate / (1 + decay_rate * periods)


def polynomial_decay(t, initial_learning_rate, decay_steps, end_learning_rate, power, cycle):
    if cycle:
        decay_steps *= max(1, math.ceil(t / decay_steps))
    t = min(t, decay_steps)
    return (initial_learning_rate - end_learning_rate) * (1 - t / decay_steps) ** power + end_learning_rate


def linear_decay(t, initial_learning_rate, decay_steps, end_learning_rate):
    return line(initial_learning_rate, end_learning_rate, min(t, decay_steps) / decay_steps)


def cosine_decay(t, initial_learning_rate, decay_steps, alpha, warmup_target, warmup_steps):
    if warmup_target is not None:
        if t < warmup_steps:
            return line(initial_learning_rate, warmup_target, t / warmup_steps)
        t -= warmup_steps
        initial_learning_rate = warmup_target
    return cosine(initial_learning_rate, alpha * initial_learning_rate, min(t, decay_steps) / decay_steps)


def cosine_decay_restarts(t, initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha):
    height, begin, length = 1.0, 0.0, first_decay_steps
    while t - (begin + length) > -1e-6:
        begin += length
        length *= t_mul
        height *= m_mul
    p = max(t - begin, 0.0) / length
    return initial_learning_rate * ((1 - alpha) * height * (1 + math.cos(math.pi * p)) / 2 + alpha)


def cyclic(t, base_learning_rate, max_learning_rate, step_size_up, step_size_down, mode, gamma):
    step_size_down = step_size_down or step_size_up
    number, position = divmod(t, step_size_up + step_size_down)
    if position <= step_size_up:
        height = position / step_size_up
    else:
        height = (step_size_up + step_size_down - position) / step_size_down
    scale = {"triangular": 1.0, "triangular2": 2.0**-number, "exp_range": gamma**t}[mode]
    return line(base_learning_rate, max_learning_rate, height * scale)


def one_cycle(
    t, max_learning_rate, total_steps, pct_start, anneal_strategy, div_factor, final_div_factor, three_phase
):
    anneal = {"cos": cosine, "linear": line}[anneal_strategy]
    initial = max_learning_rate / div_factor
    minimum = initial / final_div_factor
    begin, rate = 0.0, initial
    phases = [(pct_start * total_steps - 1, max_learning_rate)]
    if three_phase:
        phases.append((2 * pct_start * total_steps - 2, initial))
    phases.append((total_steps - 1, minimum))
    t = min(t, total_steps - 1)
    for i, (end, next_rate) in enumerate(phases):
        if t <= end or i == len(phases) - 1:
            return anneal(rate, next_rate, (t - begin) / (end - begin) if end != begin else 1.0)
        begin, rate = end, next_rate
    raise AssertionError


def noam(t, d_model, warmup_steps, factor):
    return factor * d_model**-0.5 * min((t + 1) ** -0.5, (t + 1) * warmup_steps**-1.5)


def inverse_square_root(t, peak_learning_rate, warmup_steps, initial_learning_rate):
    if t < warmup_steps:
        return line(initial_learning_rate, peak_learning_rate, t / warmup_steps)
    return peak_learning_rate * math.sqrt(warmup_steps / t)


def warmup_stable_decay(
    t, peak_learning_rate, warmup_steps, stable_steps, decay_steps, initial_learning_rate, end_learning_rate, decay
):
    if t < warmup_steps:
        return line(initial_learning_rate, peak_learning_rate, t / warmup_steps)
    if t < warmup_steps + stable_steps:
        return peak_learning_rate
    p = min((t - warmup_steps - stable_steps) / decay_steps, 1.0)
    if decay == "cosine":
        return cosine(peak_learning_rate, end_learning_rate, p)
    return line(peak_learning_rate, end_learning_rate, {"linear": p, "1-sqrt": math.sqrt(p)}[decay])


def linear_warmup(t, schedule, warmup_steps, initial_learning_rate):
    if t < warmup_steps:
        return line(initial_learning_rate, reference(schedule, 0), t / warmup_steps)
    return reference(schedule, t - warmup_steps)


def sequential(t, schedules, boundaries):
    begin = 0
    for schedule, end in itertools.zip_longest(schedules, boundaries, fillvalue=math.inf):
        if t < end:
            return reference(schedule, t - begin)
        begin = end
    raise AssertionError


def chained(t, schedules):
    return math.prod(reference(schedule, t) for schedule in schedules)


def sum_(t, schedules):
    return math.fsum(reference(schedule, t) for schedule in schedules)


def lambda_(t, function, vectorized):
    return float(function(np.array([t]))[0]) if vectorized else function(t)


def epochs(t, schedule, steps_per_epoch):
    return reference(schedule, t // steps_per_epoch)


REFERENCES = {
    "Chained": chained,
    "Constant": constant,
    "CosineDecay": cosine_decay,
    "CosineDecayRestarts": cosine_decay_restarts,
    "Cyclic": cyclic,
    "Epochs": epochs,
    "ExponentialDecay": exponential_decay,
    "InverseSquareRoot": inverse_square_root,
    "InverseTimeDecay": inverse_time_decay,
    "Lambda": lambda_,
    "LinearDecay": linear_decay,
    "LinearWarmup": linear_warmup,
    "MultiStepDecay": multi_step_decay,
    "NaturalExpDecay": natural_exp_decay,
    "Noam": noam,
    "OneCycle": one_cycle,
    "PiecewiseConstantDecay": piecewise_constant_decay,
    "PolynomialDecay": polynomial_decay,
    "Sequential": sequential,
    "StepDecay": step_decay,
    "Sum": sum_,
    "WarmupStableDecay": warmup_stable_decay,
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
    "MultiStepLR(optimizer, [10, 10, 40], gamma=0.5)": MultiStepDecay(0.1, [10, 10, 40], 0.5),
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
        with pytest.raises(TypeError, match="Lambda: the function .* cannot be saved"):
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
    "t_mul": st.just(1.0) | st.integers(2, 4) | st.floats(1.001, 4.0), "power": st.floats(0.5, 4.0),
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
    assert (values >= -1e-15).all()
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
