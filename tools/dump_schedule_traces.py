"""Writes what the schedules of Keras and PyTorch give at every step, for tests/test_schedules.py to compare with.

    python tools/dump_schedule_traces.py keras       # with keras and tensorflow-cpu installed
    python tools/dump_schedule_traces.py pytorch     # with torch installed

Each writes tests/traces/schedules_<framework>.json: the versions, and for each call the values of steps 0, 1, ...
Keras computes in float64 here, on TensorFlow: with its other backends a cosine is always of float32. PyTorch's
schedulers are stepped one by one, as in a training loop, on an optimizer with learning rate 0.1 and momentum 0.9.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import warnings

N_STEPS = 64

KERAS = [
    "ExponentialDecay(0.1, 10, 0.5)",
    "ExponentialDecay(0.1, 10, 0.5, staircase=True)",
    "ExponentialDecay(0.01, 7.5, 1.1)",
    "PiecewiseConstantDecay([10, 25, 40], [0.1, 0.05, 0.01, 0.001])",
    "PiecewiseConstantDecay([0, 2.5], [0.1, 0.3, 0.2])",
    "PolynomialDecay(0.1, 20)",
    "PolynomialDecay(0.1, 20, end_learning_rate=0.01, power=0.5)",
    "PolynomialDecay(0.1, 20, end_learning_rate=0.01, power=2.0, cycle=True)",
    "PolynomialDecay(0.1, 7, end_learning_rate=0.0, cycle=True)",
    "InverseTimeDecay(0.1, 1.0, 0.5)",
    "InverseTimeDecay(0.1, 10, 0.5, staircase=True)",
    "CosineDecay(0.1, 40)",
    "CosineDecay(0.1, 40, alpha=0.1)",
    "CosineDecay(0.0, 30, warmup_target=0.1, warmup_steps=10)",
    "CosineDecay(0.02, 30, alpha=0.05, warmup_target=0.1, warmup_steps=12)",
    "CosineDecay(0.02, 30, warmup_target=0.1)",
    "CosineDecay(0.1, 30, warmup_steps=10)",
    "CosineDecayRestarts(0.1, 4)",
    "CosineDecayRestarts(0.1, 15, t_mul=1.0)",
    "CosineDecayRestarts(0.1, 8, t_mul=1.5, m_mul=0.8, alpha=0.1)",
    "CosineDecayRestarts(0.1, 2, t_mul=2.0, m_mul=0.5)",
    "CosineDecayRestarts(0.1, 1, t_mul=3.0)",
]

PYTORCH = [
    "StepLR(optimizer, 10)",
    "StepLR(optimizer, 7, gamma=0.5)",
    "MultiStepLR(optimizer, [10, 25, 40])",
    "MultiStepLR(optimizer, [0, 10, 10, 40], gamma=0.5)",
    "ConstantLR(optimizer, factor=0.25, total_iters=10)",
    "LinearLR(optimizer)",
    "LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=20)",
    "ExponentialLR(optimizer, gamma=0.9)",
    "PolynomialLR(optimizer, total_iters=20)",
    "PolynomialLR(optimizer, total_iters=20, power=0.9)",
    "CosineAnnealingLR(optimizer, 30)",
    "CosineAnnealingLR(optimizer, 30, eta_min=0.01)",
    "CosineAnnealingWarmRestarts(optimizer, 15)",
    "CosineAnnealingWarmRestarts(optimizer, 4, T_mult=2, eta_min=0.01)",
    "CosineAnnealingWarmRestarts(optimizer, 1, T_mult=3)",
    "CyclicLR(optimizer, 0.01, 0.1, step_size_up=8)",
    "CyclicLR(optimizer, 0.01, 0.1, step_size_up=5, step_size_down=9)",
    "CyclicLR(optimizer, 0.01, 0.1, step_size_up=7, mode='triangular2')",
    "CyclicLR(optimizer, 0.01, 0.1, step_size_up=7, mode='exp_range', gamma=0.97)",
    "OneCycleLR(optimizer, 0.1, total_steps=64)",
    "OneCycleLR(optimizer, 0.1, total_steps=64, anneal_strategy='linear')",
    "OneCycleLR(optimizer, 0.1, total_steps=64, three_phase=True)",
    "OneCycleLR(optimizer, 0.1, total_steps=64, three_phase=True, anneal_strategy='linear', pct_start=0.4)",
    "OneCycleLR(optimizer, 0.1, total_steps=50, pct_start=0.25, div_factor=10.0, final_div_factor=100.0)",
    "OneCycleLR(optimizer, 0.1, total_steps=50, base_momentum=0.6, max_momentum=0.99)",
    "OneCycleLR(optimizer, 0.1, total_steps=50, pct_start=0.0)",
    "OneCycleLR(optimizer, 0.1, total_steps=50, pct_start=1.0)",
    "OneCycleLR(optimizer, 0.1, total_steps=50, three_phase=True, pct_start=0.6)",
    "OneCycleLR(optimizer, 0.1, total_steps=1)",
    "LambdaLR(optimizer, lambda t: 0.95 ** t)",
    "SequentialLR(optimizer, [LinearLR(optimizer, 0.01, 1.0, 10), CosineAnnealingLR(optimizer, 60)], [10])",
    "SequentialLR(optimizer, [ConstantLR(optimizer, 0.1, 99), ExponentialLR(optimizer, 0.9), StepLR(optimizer, 5)], [10, 30])",
    "ChainedScheduler([LinearLR(optimizer, 0.1, 1.0, 8), ExponentialLR(optimizer, 0.9)])",
]

#: Cases whose end is further away.
LONGER = {"CosineDecayRestarts(0.1, 1, t_mul=3.0)": 400, "CosineAnnealingWarmRestarts(optimizer, 1, T_mult=3)": 400}


def keras_traces() -> tuple[dict[str, str], dict[str, dict[str, list[float]]]]:
    """The versions of all that matters, and the values of each case."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import numpy as np
    import tensorflow

    traces = {}
    for call in KERAS:
        schedule = eval(call, vars(keras.optimizers.schedules).copy())
        for name, value in vars(schedule).items():  # a Python float would be rounded to float32
            if isinstance(value, float):
                setattr(schedule, name, np.array(value))
            elif isinstance(value, list):
                setattr(schedule, name, [np.array(item) for item in value])
        values = [schedule(step) for step in range(LONGER.get(call, N_STEPS))]
        assert all(value.dtype == "float64" for value in values), call
        traces[call] = {"learning_rate": [float(value) for value in values]}
    return {"keras": keras.__version__, "tensorflow": tensorflow.__version__}, traces


def pytorch_traces() -> tuple[dict[str, str], dict[str, dict[str, list[float]]]]:
    """The same for PyTorch, and the momentum where a scheduler changes it."""
    import torch

    traces = {}
    for call in PYTORCH:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
        scheduler = eval(call, {**vars(torch.optim.lr_scheduler), "optimizer": optimizer})
        group = optimizer.param_groups[0]
        rates, momenta = [float(group["lr"])], [float(group["momentum"])]
        last = scheduler.total_steps if "OneCycleLR" in call else LONGER.get(call, N_STEPS)
        for _ in range(1, last):
            optimizer.step()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # SequentialLR steps its parts in a deprecated way
                scheduler.step()
            rates.append(float(group["lr"]))
            momenta.append(float(group["momentum"]))
        traces[call] = {"learning_rate": rates}
        if set(momenta) != {0.9}:
            traces[call]["momentum"] = momenta
    return {"torch": torch.__version__.partition("+")[0]}, traces


def main(framework: str) -> None:
    """Writes the file of one framework."""
    versions, traces = {"keras": keras_traces, "pytorch": pytorch_traces}[framework]()
    lines = ",\n".join(f"{json.dumps(call)}: {json.dumps(trace)}" for call, trace in traces.items())
    path = pathlib.Path(__file__).parent.parent / "tests" / "traces" / f"schedules_{framework}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{"versions": {json.dumps(versions)},\n"traces": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    if sys.argv[1:] not in (["keras"], ["pytorch"]):
        sys.exit(__doc__)
    main(sys.argv[1])
