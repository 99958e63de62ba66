"""Writes tests/traces/recurrent_keras.npz: outputs and gradients of Keras's recurrent layers.

    KERAS_BACKEND=jax python tools/dump_recurrent_traces.py      # needs Keras 3 and JAX

Each case is {"layers", "shape"}: layers one after another, each [class name, arguments], where an argument may be another
such pair under "layer"; the shape with the batch. The layers are called in inference on x, or on tokens where the first is
an Embedding; the gradients are those of the sum of dy * y over the outputs. The file holds for case i: x, dy, y (one for each
output), dx, and for each weight its value and gradient. All in float32.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np

FOLDER = Path(__file__).parent.parent / "tests" / "traces"
SHAPE = (3, 5, 4)
CASES = [
    ([["LSTM", {"units": 6}]], SHAPE),
    ([["LSTM", {"units": 6, "return_sequences": True, "return_state": True}]], SHAPE),
    ([["LSTM", {"units": 6, "go_backwards": True, "return_sequences": True, "use_bias": False}]], SHAPE),
    ([["LSTM", {"units": 6, "activation": "relu", "recurrent_activation": "hard_sigmoid"}]], SHAPE),
    ([["GRU", {"units": 6}]], SHAPE),
    ([["GRU", {"units": 6, "return_sequences": True, "return_state": True}]], SHAPE),
    ([["GRU", {"units": 6, "reset_after": False, "return_sequences": True}]], SHAPE),
    ([["GRU", {"units": 6, "reset_after": False, "activation": "softsign", "use_bias": False}]], SHAPE),
    ([["SimpleRNN", {"units": 6, "return_sequences": True, "return_state": True}]], SHAPE),
    ([["SimpleRNN", {"units": 6, "go_backwards": True}]], (1, 1, 4)),
    ([["Masking", {}], ["LSTM", {"units": 6, "return_sequences": True}], ["LSTM", {"units": 3}]], SHAPE),
    ([["Masking", {}], ["GRU", {"units": 6, "return_sequences": True, "go_backwards": True}]], SHAPE),
    ([["Masking", {}], ["SimpleRNN", {"units": 6}]], SHAPE),
    ([["Embedding", {"input_dim": 4, "output_dim": 3, "mask_zero": True}], ["GRU", {"units": 5, "reset_after": False}]], (4, 6)),
    *(([["Bidirectional", {"layer": ["LSTM", {"units": 3, "return_sequences": sequences}], "merge_mode": mode}]], SHAPE)
      for mode, sequences in (("concat", True), ("sum", False), ("mul", True), ("ave", True), (None, True))),
    ([["Masking", {}], ["Bidirectional", {"layer": ["GRU", {"units": 3, "return_sequences": True}]}]], SHAPE),
    ([["Bidirectional", {"layer": ["LSTM", {"units": 3, "return_state": True}]}]], SHAPE),
    ([["TimeDistributed", {"layer": ["Dense", {"units": 2, "activation": "tanh"}]}]], SHAPE),
]  # fmt: skip


def make(class_name, arguments):
    arguments = {name: make(*value) if name == "layer" else value for name, value in arguments.items()}
    return getattr(keras.layers, class_name)(**arguments)


def run(number, layers, shape):
    """Arrays of a case by name."""
    random = np.random.default_rng(number)
    tokens = layers[0][0] == "Embedding"
    inputs = keras.Input(shape[1:])
    tensor = inputs
    for class_name, arguments in layers:
        tensor = make(class_name, arguments)(tensor)
    model = keras.Model(inputs, tensor)
    for variable in model.trainable_variables:
        variable.assign(random.uniform(-0.8, 0.8, variable.shape))
    x = random.integers(0, 4, shape) if tokens else random.normal(size=shape)
    if layers[0][0] == "Masking":
        x[0, 3:] = x[1, 1] = x[2, 0] = 0
    x = x.astype(np.float32)
    trained = [variable.value for variable in model.trainable_variables]
    state = [variable.value for variable in model.non_trainable_variables]
    outputs, _ = model.stateless_call(trained, state, x)
    several = isinstance(outputs, (list, tuple))
    dy = [random.normal(size=y.shape).astype(np.float32) for y in (outputs if several else [outputs])]

    def total(trained, x):
        y, _ = model.stateless_call(trained, state, x)
        return sum((a * b).sum() for a, b in zip(y if several else [y], dy))

    gradients, dx = jax.grad(total, argnums=(0, 1))(trained, x)
    arrays = {f"{number}/x": x, f"{number}/dx": dx}
    for i, (y, seed) in enumerate(zip(outputs if several else [outputs], dy)):
        arrays.update({f"{number}/y/{i}": y, f"{number}/dy/{i}": seed})
    for i, (value, gradient) in enumerate(zip(trained, gradients)):
        arrays.update({f"{number}/w/{i}": value, f"{number}/dw/{i}": gradient})
    return {name: np.asarray(value, np.float32) for name, value in arrays.items()}


def main():
    arrays = {}
    for number, case in enumerate(CASES):
        arrays.update(run(number, *case))
    facts = {"versions": {"keras": keras.__version__, "jax": jax.__version__},
             "cases": [{"layers": layers, "shape": shape} for layers, shape in CASES]}  # fmt: skip
    np.savez_compressed(FOLDER / "recurrent_keras.npz", facts=json.dumps(facts), **arrays)


if __name__ == "__main__":
    main()
