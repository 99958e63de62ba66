"""Float64 reference of the optimizers that look at a parameter as a whole: w, g and the slots have its shape.

Slots that hold fewer numbers than the parameter has elements are flat in the engine, the rest of them 0; so here.
"""

import numpy as np


def lamb(w, g, slots, hyper, step, weight_decay=0.0):
    t = step + 1
    m = hyper["beta_1"] * slots["momentum"] + (1 - hyper["beta_1"]) * g
    v = hyper["beta_2"] * slots["velocity"] + (1 - hyper["beta_2"]) * g**2
    r = m / (1 - hyper["beta_1"] ** t) / (np.sqrt(v / (1 - hyper["beta_2"] ** t)) + hyper["epsilon"]) + weight_decay * w
    norms = np.linalg.norm(w), np.linalg.norm(r)
    trust = norms[0] / norms[1] if min(norms) > 0 else 1.0
    return w - hyper["learning_rate"] * trust * r, {"momentum": m, "velocity": v}


def lars(w, g, slots, hyper, step, weight_decay=0.0):
    norm_w, norm_g = np.linalg.norm(w), np.linalg.norm(g)
    trust = hyper["eta"] * norm_w / (norm_g + weight_decay * norm_w + hyper["epsilon"]) if min(norm_w, norm_g) > 0 else 1.0
    change = hyper["learning_rate"] * trust * (g + weight_decay * w)
    v = hyper["momentum"] * slots["momentum"] + change
    return w - (hyper["momentum"] * v + change if hyper["nesterov"] else v), {"momentum": v}


def root_mean_square(x):
    return np.sqrt(np.mean(x**2))


def flat_slot(means, shape):
    """Means as the engine keeps them."""
    slot = np.zeros(int(np.prod(shape)))
    slot[: means.size] = means.ravel()
    return slot.reshape(shape)


def adafactor(w, g, slots, hyper, step):
    t = step + 1
    b = 1 - float(t) ** hyper["beta_2_decay"]
    u = g**2 + hyper["epsilon_1"]
    if w.ndim < 2:
        v = b * slots["rows"] + (1 - b) * u
        d, after = g / np.sqrt(v), {"rows": v, "columns": slots["columns"]}
    else:
        r_shape, c_shape = w.shape[:-1], (*w.shape[:-2], w.shape[-1])
        r = slots["rows"].ravel()[: int(np.prod(r_shape))].reshape(r_shape)
        c = slots["columns"].ravel()[: int(np.prod(c_shape))].reshape(c_shape)
        r = b * r + (1 - b) * u.mean(axis=-1)
        c = b * c + (1 - b) * u.mean(axis=-2)
        d = g / np.sqrt((r / r.mean(axis=-1, keepdims=True))[..., None] * c[..., None, :])
        after = {"rows": flat_slot(r, w.shape), "columns": flat_slot(c, w.shape)}
    d = d / max(1.0, root_mean_square(d) / hyper["clip_threshold"])
    rate = min(hyper["learning_rate"], 1 / np.sqrt(t)) if hyper["relative_step"] else hyper["learning_rate"]
    return w - max(hyper["epsilon_2"], root_mean_square(w)) * rate * d, after


def orthogonalize(u, hyper):
    x = u.T if u.shape[0] > u.shape[1] else u
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(int(hyper["ns_steps"])):
        a = x @ x.T
        x = hyper["muon_a"] * x + (hyper["muon_b"] * a + hyper["muon_c"] * a @ a) @ x
    return x.T if u.shape[0] > u.shape[1] else x


def muon(w, g, slots, hyper, step):
    rate = hyper["learning_rate"]
    if w.ndim != 2:
        t = step + 1
        m = hyper["adam_beta_1"] * slots["momentum"] + (1 - hyper["adam_beta_1"]) * g
        v = hyper["adam_beta_2"] * slots["velocity"] + (1 - hyper["adam_beta_2"]) * g**2
        alpha = rate * hyper["adam_lr_ratio"] * np.sqrt(1 - hyper["adam_beta_2"] ** t) / (1 - hyper["adam_beta_1"] ** t)
        w = w - rate * hyper["adam_weight_decay"] * w
        return w - alpha * m / (np.sqrt(v) + hyper["epsilon"]), {"momentum": m, "velocity": v}
    v = hyper["momentum"] * slots["momentum"] + g
    x = orthogonalize(g + hyper["momentum"] * v if hyper["nesterov"] else v, hyper)
    scale = hyper["rms_rate"] * np.sqrt(max(w.shape)) if hyper["rms_rate"] else 1.0
    return w - rate * scale * x, {"momentum": v, "velocity": slots["velocity"]}
