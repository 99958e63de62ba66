"""Writes tests/traces/layers_keras.npz: a few steps of training with Keras's normalisation layers.

    KERAS_BACKEND=jax python tools/dump_layer_traces.py      # needs Keras 3 and JAX

Each case is {"class_name", "arguments", "shape"}, the shape with the batch. In each of STEPS steps the layer is called in
training on other inputs x, its gradients are those of sum(dy * y), and w = w - RATE * dw; the last step has one row. The
file holds for case i and step j: x, dy, y, dx; the weights at first and after each step, in Keras's order; and the output
of inference on the first inputs after the last step. All in float32, which is what Keras normalises in.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np

FOLDER = Path(__file__).parent.parent / "tests" / "traces"
STEPS = 3
RATE = 0.1
CASES = [
    ("BatchNormalization", {}, (6, 5)),
    ("BatchNormalization", {"momentum": 0.9, "epsilon": 1e-5}, (3, 4, 2, 3)),
    ("BatchNormalization", {"center": False, "scale": False}, (6, 5)),
    ("LayerNormalization", {}, (4, 3, 6)),
    ("LayerNormalization", {"epsilon": 1e-5, "center": False}, (4, 7)),
    ("RMSNormalization", {}, (4, 3, 6)),
    ("GroupNormalization", {"groups": 2}, (3, 4, 2, 6)),
    ("GroupNormalization", {"groups": -1, "scale": False}, (3, 5, 4)),
]


def run(number, class_name, arguments, shape):
    """Arrays of a case by name."""
    random = np.random.default_rng(number)
    modes = class_name == "BatchNormalization"  # the others do not ask whether they are in training
    layer = getattr(keras.layers, class_name)(**arguments)
    layer.build((None, *shape[1:]))
    start = [random.uniform(0.5, 1.5, weight.shape).astype(np.float32) for weight in layer.weights]
    layer.set_weights(start)
    arrays = {f"{number}/weights/{k}/0": value for k, value in enumerate(start)}
    trained = [np.asarray(weight.value) for weight in layer.trainable_variables]
    state = [np.asarray(weight.value) for weight in layer.non_trainable_variables]
    paths = [weight.path for weight in layer.weights]
    trained_paths = [weight.path for weight in layer.trainable_variables]
    state_paths = [weight.path for weight in layer.non_trainable_variables]
    for step in range(STEPS):
        rows = 1 if step == STEPS - 1 else shape[0]
        x = (3 * random.normal(size=(rows, *shape[1:])) + 1).astype(np.float32)
        dy = random.normal(size=x.shape).astype(np.float32)

        def total(trained, x):
            y, new_state = layer.stateless_call(trained, state, x, **({"training": True} if modes else {}))
            return (y * dy).sum(), (y, new_state)

        (_, (y, new_state)), (gradients, dx) = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(trained, x)
        state = [np.asarray(value) for value in new_state]
        trained = [value - RATE * np.asarray(gradient) for value, gradient in zip(trained, gradients)]
        arrays.update({f"{number}/{name}/{step}": value for name, value in (("x", x), ("dy", dy), ("y", y), ("dx", dx))})
        values = dict(zip(trained_paths + state_paths, trained + state))
        arrays.update({f"{number}/weights/{k}/{step + 1}": values[path] for k, path in enumerate(paths)})
    x = arrays[f"{number}/x/0"]
    arrays[f"{number}/inference"], _ = layer.stateless_call(trained, state, x, **({"training": False} if modes else {}))
    return {name: np.asarray(value, np.float32) for name, value in arrays.items()}


def main():
    arrays = {}
    for number, case in enumerate(CASES):
        arrays.update(run(number, *case))
    cases = [{"class_name": name, "arguments": arguments, "shape": shape} for name, arguments, shape in CASES]
    facts = {"versions": {"keras": keras.__version__, "jax": jax.__version__}, "rate": RATE, "steps": STEPS, "cases": cases}
    np.savez_compressed(FOLDER / "layers_keras.npz", facts=json.dumps(facts), **arrays)


if __name__ == "__main__":
    main()
