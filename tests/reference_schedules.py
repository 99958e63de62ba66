"""Schedules as plain functions of one step and their arguments, in floats: no arrays, no cleverness."""

import itertools
import math


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
    if t_mul < 1 and t > first_decay_steps / (1 - t_mul) - 1e-5:
        return initial_learning_rate * alpha
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


def one_cycle(t, max_learning_rate, total_steps, pct_start, anneal_strategy, div_factor, final_div_factor, three_phase):
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
    return float(function(t))


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
