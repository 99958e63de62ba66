"""Optimizers that treat every number alike; those that look at whole parameters are in layerwise.py."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference import layerwise


@dataclass
class Optimizer:
    """slots(hyper) -> {name: start value}
    update(w, g, slots, hyper, step) -> (w, slots), where slots is a dictionary of arrays and steps count from 0
    per_parameter: w is one parameter in its shape; otherwise it may be any numbers
    """

    slots: Callable
    update: Callable
    per_parameter: bool = False


def sgd(w, g, slots, hyper, step):
    rate, momentum, nesterov = hyper["learning_rate"], hyper["momentum"], hyper["nesterov"]
    if momentum == 0:
        return w - rate * g, {}
    share = 1 if step == 0 else 1 - hyper.get("dampening", 0)
    if hyper.get("pytorch"):
        v = momentum * slots["momentum"] + share * g
        return w - rate * (g + momentum * v if nesterov else v), {"momentum": v}
    v = momentum * slots["momentum"] - rate * share * g
    return w + (momentum * v - rate * g if nesterov else v), {"momentum": v}


def adagrad(w, g, slots, hyper, step):
    n = slots["squares"] + g**2
    rate = hyper["learning_rate"] / (1 + step * hyper["lr_decay"])
    root = np.sqrt(n) + hyper["epsilon"] if hyper["pytorch"] else np.sqrt(n + hyper["epsilon"])
    return w - rate * g / root, {"squares": n}


def adadelta(w, g, slots, hyper, step):
    rho, epsilon = hyper["rho"], hyper["epsilon"]
    n = rho * slots["accumulated_grad"] + (1 - rho) * g**2
    delta = np.sqrt(slots["accumulated_delta_var"] + epsilon) / np.sqrt(n + epsilon) * g
    d = rho * slots["accumulated_delta_var"] + (1 - rho) * delta**2
    return w - hyper["learning_rate"] * delta, {"accumulated_grad": n, "accumulated_delta_var": d}


def rmsprop_slots(hyper):
    names = ["velocity"] + ["average_gradient"] * bool(hyper["centered"]) + ["momentum"] * bool(hyper["momentum"])
    return dict.fromkeys(names, 0.0)


def rmsprop(w, g, slots, hyper, step):
    rho, rate, epsilon = hyper["rho"], hyper["learning_rate"], hyper["epsilon"]
    after = {"velocity": rho * slots["velocity"] + (1 - rho) * g**2}
    variance = after["velocity"]
    if hyper["centered"]:
        after["average_gradient"] = rho * slots["average_gradient"] + (1 - rho) * g
        variance = np.maximum(variance - after["average_gradient"] ** 2, 0)
    ratio = g / (np.sqrt(variance) + epsilon) if hyper["pytorch"] else g / np.sqrt(variance + epsilon)
    if not hyper["momentum"]:
        return w - rate * ratio, after
    if hyper["pytorch"]:
        after["momentum"] = hyper["momentum"] * slots["momentum"] + ratio
        return w - rate * after["momentum"], after
    after["momentum"] = hyper["momentum"] * slots["momentum"] + rate * ratio
    return w - after["momentum"], after


def moments(g, slots, hyper):
    """Averages of gradients and of their squares."""
    m = hyper["beta_1"] * slots["momentum"] + (1 - hyper["beta_1"]) * g
    v = hyper["beta_2"] * slots["velocity"] + (1 - hyper["beta_2"]) * g**2
    return m, v


def adam_slots(hyper):
    return {"momentum": 0.0, "velocity": 0.0} | ({"velocity_hat": 0.0} if hyper.get("amsgrad") else {})


def adam(w, g, slots, hyper, step):
    t = step + 1
    m, v = moments(g, slots, hyper)
    after = {"momentum": m, "velocity": v}
    if hyper.get("amsgrad"):
        v = after["velocity_hat"] = np.maximum(slots["velocity_hat"], v)
    correction_1, correction_2 = 1 - hyper["beta_1"] ** t, 1 - hyper["beta_2"] ** t
    if hyper.get("pytorch"):
        return w - hyper["learning_rate"] * (m / correction_1) / (np.sqrt(v / correction_2) + hyper["epsilon"]), after
    alpha = hyper["learning_rate"] * np.sqrt(correction_2) / correction_1
    return w - alpha * m / (np.sqrt(v) + hyper["epsilon"]), after


def yogi(w, g, slots, hyper, step):
    t = step + 1
    m = hyper["beta_1"] * slots["momentum"] + (1 - hyper["beta_1"]) * g
    v = slots["velocity"] - (1 - hyper["beta_2"]) * np.sign(slots["velocity"] - g**2) * g**2
    alpha = hyper["learning_rate"] * np.sqrt(1 - hyper["beta_2"] ** t) / (1 - hyper["beta_1"] ** t)
    return w - alpha * m / (np.sqrt(v) + hyper["epsilon"]), {"momentum": m, "velocity": v}


def adamax(w, g, slots, hyper, step):
    m = hyper["beta_1"] * slots["momentum"] + (1 - hyper["beta_1"]) * g
    size = np.abs(g) + hyper["epsilon"] if hyper["pytorch"] else np.abs(g)
    u = np.maximum(hyper["beta_2"] * slots["norm"], size)
    alpha = hyper["learning_rate"] / (1 - hyper["beta_1"] ** (step + 1))
    return w - alpha * m / (u if hyper["pytorch"] else u + hyper["epsilon"]), {"momentum": m, "norm": u}


def nadam(w, g, slots, hyper, step):
    t = step + 1
    m, v = moments(g, slots, hyper)
    mu = hyper["beta_1"] * (1 - 0.5 * 0.96 ** (np.arange(1, t + 2) * hyper["momentum_decay"]))
    nesterov = mu[-1] * m / (1 - mu.prod()) + (1 - mu[-2]) * g / (1 - mu[:-1].prod())
    root = np.sqrt(v / (1 - hyper["beta_2"] ** t))
    return w - hyper["learning_rate"] * nesterov / (root + hyper["epsilon"]), {"momentum": m, "velocity": v}


def rectification(beta_2, t):
    """Of Liu et al. (2020); None while it is not defined."""
    limit = 2 / (1 - beta_2) - 1
    rho = limit - 2 * t * beta_2**t / (1 - beta_2**t)
    return np.sqrt((rho - 4) / (limit - 4) * (rho - 2) / (limit - 2) * limit / rho) if rho > 5 else None


def radam(w, g, slots, hyper, step):
    t = step + 1
    m, v = moments(g, slots, hyper)
    r = rectification(hyper["beta_2"], t)
    descent = m / (1 - hyper["beta_1"] ** t)
    if r is not None:
        descent = r * descent * np.sqrt(1 - hyper["beta_2"] ** t) / (np.sqrt(v) + hyper["epsilon"])
    return w - hyper["learning_rate"] * descent, {"momentum": m, "velocity": v}


def adabelief(w, g, slots, hyper, step):
    t, beta_1, beta_2, epsilon = step + 1, hyper["beta_1"], hyper["beta_2"], hyper["epsilon"]
    m = beta_1 * slots["momentum"] + (1 - beta_1) * g
    s = beta_2 * slots["variance"] + (1 - beta_2) * (g - m) ** 2 + epsilon
    after = {"momentum": m, "variance": s}
    if hyper["amsgrad"]:
        s = after["variance_hat"] = np.maximum(slots["variance_hat"], s)
    correction = 1 - beta_2**t
    descent = m / (1 - beta_1**t)
    if not hyper["rectify"]:
        descent = descent / (np.sqrt(s / correction) + epsilon)
    elif (r := rectification(beta_2, t)) is not None:
        descent = r * descent * np.sqrt(correction) / (np.sqrt(s) + epsilon)
    return w - hyper["learning_rate"] * descent, after


def adan(w, g, slots, hyper, step):
    t, beta_1, beta_2, beta_3 = step + 1, hyper["beta_1"], hyper["beta_2"], hyper["beta_3"]
    first = np.isinf(slots["previous_gradient"])
    difference = g - np.where(first, g, slots["previous_gradient"])
    m = beta_1 * slots["momentum"] + (1 - beta_1) * g
    v = beta_2 * slots["difference"] + (1 - beta_2) * difference
    n = beta_3 * slots["velocity"] + (1 - beta_3) * (g + beta_2 * difference) ** 2
    descent = m / (1 - beta_1**t) + beta_2 * v / (1 - beta_2**t)
    w = w - hyper["learning_rate"] * descent / (np.sqrt(n / (1 - beta_3**t)) + hyper["epsilon"])
    return w, {"momentum": m, "difference": v, "velocity": n, "previous_gradient": g}


def ftrl(w, g, slots, hyper, step):
    rate, p = hyper["learning_rate"], -hyper["learning_rate_power"]
    n = slots["squares"] + g**2
    sigma = (n**p - slots["squares"] ** p) / rate
    z = slots["linear"] + g + 2 * hyper["l2_shrinkage_regularization_strength"] * w - sigma * w
    clipped = np.clip(z, -hyper["l1_regularization_strength"], hyper["l1_regularization_strength"])
    denominator = (n**p + hyper["beta"]) / rate + 2 * hyper["l2_regularization_strength"]
    return (clipped - z) / denominator, {"squares": n, "linear": z}


def lion(w, g, slots, hyper, step):
    beta_1, beta_2, m = hyper["beta_1"], hyper["beta_2"], slots["momentum"]
    w = w - hyper["learning_rate"] * np.sign(beta_1 * m + (1 - beta_1) * g)
    return w, {"momentum": beta_2 * m + (1 - beta_2) * g}


def rprop(w, g, slots, hyper, step):
    size = np.where(slots["step_size"] == 0, hyper["learning_rate"], slots["step_size"])
    agreement = np.sign(g * slots["previous_gradient"])
    size = size * np.where(agreement > 0, hyper["eta_plus"], np.where(agreement < 0, hyper["eta_minus"], 1))
    size = np.clip(size, hyper["step_min"], hyper["step_max"])
    g = np.where(agreement < 0, 0, g)
    return w - size * np.sign(g), {"step_size": size, "previous_gradient": g}


def schedule_free(y, slots, descent, beta, hyper, step):
    """x and y after z has moved by -descent times the learning rate."""
    k = np.arange(1, step + 2)
    warmup = np.minimum(1, k / hyper["warmup_steps"]) if hyper["warmup_steps"] else np.ones(step + 1)
    weights = k ** hyper["r"] * warmup ** hyper["weight_lr_power"]
    c = weights[-1] / weights.sum()
    z = y + slots["z_minus_y"] - hyper["learning_rate"] * warmup[-1] * descent
    x = (1 - c) * slots["x"] + c * z
    y = (1 - beta) * z + beta * x
    return y, {"x": x, "z_minus_y": z - y}


def schedule_free_sgd(w, g, slots, hyper, step):
    return schedule_free(w, slots, g, hyper["momentum"], hyper, step)


def schedule_free_adamw(w, g, slots, hyper, step):
    v = hyper["beta_2"] * slots["velocity"] + (1 - hyper["beta_2"]) * g**2
    root = np.sqrt(v / (1 - hyper["beta_2"] ** (step + 1)))
    w, after = schedule_free(w, slots, g / (root + hyper["epsilon"]), hyper["beta_1"], hyper, step)
    return w, {**after, "velocity": v}


def zeros(*names):
    return lambda hyper: dict.fromkeys(names, 0.0)


#: A slot that starts from NaN starts as a copy of the parameter.
OPTIMIZERS = {
    "sgd": Optimizer(lambda hyper: {"momentum": 0.0} if hyper["momentum"] else {}, sgd),
    "adagrad": Optimizer(lambda hyper: {"squares": hyper["initial_accumulator_value"]}, adagrad),
    "adadelta": Optimizer(zeros("accumulated_grad", "accumulated_delta_var"), adadelta),
    "rmsprop": Optimizer(rmsprop_slots, rmsprop),
    "adam": Optimizer(adam_slots, adam),
    "adamax": Optimizer(zeros("momentum", "norm"), adamax),
    "yogi": Optimizer(lambda hyper: dict.fromkeys(("momentum", "velocity"), hyper["initial_accumulator_value"]), yogi),
    "nadam": Optimizer(zeros("momentum", "velocity"), nadam),
    "radam": Optimizer(zeros("momentum", "velocity"), radam),
    "adabelief": Optimizer(
        lambda hyper: {"momentum": 0.0, "variance": 0.0} | ({"variance_hat": 0.0} if hyper["amsgrad"] else {}),
        adabelief,
    ),
    "adan": Optimizer(
        lambda hyper: {**dict.fromkeys(("momentum", "difference", "velocity"), 0.0), "previous_gradient": np.inf}, adan
    ),
    "ftrl": Optimizer(lambda hyper: {"squares": hyper["initial_accumulator_value"], "linear": 0.0}, ftrl),
    "lion": Optimizer(zeros("momentum"), lion),
    "rprop": Optimizer(zeros("step_size", "previous_gradient"), rprop),
    "schedule_free_sgd": Optimizer(lambda hyper: {"x": np.nan, "z_minus_y": 0.0}, schedule_free_sgd),
    "schedule_free_adamw": Optimizer(lambda hyper: {"x": np.nan, "z_minus_y": 0.0, "velocity": 0.0}, schedule_free_adamw),
    "lamb": Optimizer(zeros("momentum", "velocity"), layerwise.lamb, True),
    "lars": Optimizer(zeros("momentum"), layerwise.lars, True),
    "adafactor": Optimizer(zeros("rows", "columns"), layerwise.adafactor, True),
    "muon": Optimizer(zeros("momentum", "velocity"), layerwise.muon, True),
}
