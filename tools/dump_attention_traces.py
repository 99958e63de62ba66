"""Writes tests/traces/attention_keras.npz: what Keras's attention layers compute, and their gradients, in float64, but
for the softmax, which Keras computes in float32.

    KERAS_BACKEND=tensorflow python tools/dump_attention_traces.py      # needs Keras 3 and TensorFlow

Each case is {"class_name", "arguments", "shapes", "mask", "options"}: shapes of query, value and key, that of a mask of keys
that count (of Attention: those of the masks of query and value), and other arguments of the call. The file holds for case i the
inputs x/k, the mask or masks mask/k, the weights w/k in Keras's order, the output y, a gradient dy of it, and the gradients dx/k
and dw/k; where the scores are returned, these and their gradient as scores and dscores.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf

PATH = Path(__file__).parent.parent / "tests" / "traces" / "attention_keras.npz"
MULTI, GROUP = "MultiHeadAttention", "GroupQueryAttention"
CASES = [
    (MULTI, {"num_heads": 2, "key_dim": 3}, [(4, 5), (4, 5)], None, {}),
    (MULTI, {"num_heads": 2, "key_dim": 3}, [(7, 5), (7, 5)], None, {"use_causal_mask": True}),
    (MULTI, {"num_heads": 3, "key_dim": 2, "value_dim": 4, "use_bias": False}, [(4, 5), (6, 3), (6, 7)], None, {}),
    (MULTI, {"num_heads": 2, "key_dim": 3, "output_shape": 4}, [(4, 5), (6, 3)], (4, 6), {}),
    (MULTI, {"num_heads": 2, "key_dim": 3, "output_shape": (2, 3)}, [(4, 5), (6, 3)], (1, 6), {}),
    (MULTI, {"num_heads": 1, "key_dim": 4}, [(5, 3), (5, 3)], (5, 5), {"use_causal_mask": True}),
    (MULTI, {"num_heads": 2, "key_dim": 3, "sliding_window": 2}, [(6, 4), (6, 4)], None, {}),
    (MULTI, {"num_heads": 2, "key_dim": 3, "sliding_window": 3}, [(6, 4), (6, 4)], None, {"use_causal_mask": True}),
    (MULTI, {"num_heads": 2, "key_dim": 3, "value_dim": 2, "use_gate": True}, [(4, 5), (6, 3)], None, {}),
    (GROUP, {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}, [(4, 5), (4, 5)], None, {}),
    (GROUP, {"head_dim": 2, "num_query_heads": 3, "num_key_value_heads": 1, "use_bias": False}, [(4, 5), (6, 5)], (4, 6), {}),
    (GROUP, {"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2, "use_gate": True}, [(5, 4), (5, 4)], None,
     {"use_causal_mask": True}),
    (MULTI, {"num_heads": 2, "key_dim": 3}, [(4, 5), (6, 3)], (4, 6), {"return_attention_scores": True}),
    (GROUP, {"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2}, [(5, 4), (5, 4)], None,
     {"return_attention_scores": True, "use_causal_mask": True}),
    ("Attention", {}, [(4, 3), (6, 3)], None, {}),
    ("Attention", {"use_scale": True}, [(4, 3), (6, 5), (6, 3)], None, {"return_attention_scores": True}),
    ("Attention", {"use_scale": True}, [(4, 3), (6, 3)], [(4,), (6,)], {}),
    ("Attention", {}, [(5, 3), (5, 3)], [None, (5,)], {"use_causal_mask": True, "return_attention_scores": True}),
]  # fmt: skip


def run(number, class_name, arguments, shapes, mask_shape, options):
    """Arrays of a case by name."""
    random = np.random.default_rng(number)
    rows = 2
    layer = getattr(keras.layers, class_name)(**arguments)
    inputs = [tf.Variable(random.normal(size=(rows, *shape))) for shape in shapes]
    alone = class_name == "Attention"
    layer.build([x.shape for x in inputs]) if alone else layer.build(*[x.shape for x in inputs])
    weights = [
        random.normal(size=weight.shape) / (weight.shape[0] if len(weight.shape) else 1) ** 0.5 for weight in layer.weights
    ]
    layer.set_weights(weights)
    options = dict(options)
    arrays = {f"{number}/x/{k}": x.numpy() for k, x in enumerate(inputs)}
    arrays |= {f"{number}/w/{k}": w for k, w in enumerate(weights)}
    if alone and mask_shape is not None:
        masks = [shape and random.random((rows, *shape)) < 0.6 for shape in mask_shape]
        for k, mask in enumerate(masks):
            if mask is not None:
                mask[..., 0] = True
                arrays[f"{number}/mask/{k}"] = mask
        options["mask"] = [mask if mask is None else tf.constant(mask) for mask in masks]
    elif mask_shape is not None:
        mask = random.random((rows, *mask_shape)) < 0.6
        mask[..., 0] = True  # every query sees a key
        arrays[f"{number}/mask"] = mask
        options["attention_mask"] = tf.constant(mask)
    with tf.GradientTape() as tape:
        y = layer([x.value() for x in inputs], **options) if alone else layer(*inputs, **options)
        y, scores = y if options.get("return_attention_scores") else (y, None)
        dy = random.normal(size=y.shape)
        total = tf.reduce_sum(y * dy)
        if scores is not None:
            dscores = random.normal(size=scores.shape)
            total += tf.reduce_sum(scores * dscores)
            arrays |= {f"{number}/scores": scores.numpy(), f"{number}/dscores": dscores}
    gradients = tape.gradient(total, [*inputs, *[weight.value for weight in layer.weights]])
    arrays |= {f"{number}/y": y.numpy(), f"{number}/dy": dy}
    arrays |= {f"{number}/dx/{k}": g.numpy() for k, g in enumerate(gradients[: len(inputs)])}
    return arrays | {f"{number}/dw/{k}": g.numpy() for k, g in enumerate(gradients[len(inputs) :])}


def main():
    keras.config.set_floatx("float64")
    arrays = {}
    for number, case in enumerate(CASES):
        arrays |= run(number, *case)
    names = ("class_name", "arguments", "shapes", "mask", "options")
    meta = {"keras": keras.__version__, "tensorflow": tf.__version__, "cases": [dict(zip(names, case)) for case in CASES]}
    np.savez_compressed(PATH, meta=json.dumps(meta), **arrays)
    print(f"{PATH.name}: {PATH.stat().st_size} bytes, {len(CASES)} cases")


if __name__ == "__main__":
    main()
