"""What the optimisation toolbox costs: a step of the digits network, plain and with everything on.

    python -m bench.toolbox

Both are trained in turns in one run, whole epochs by `fit`, and compared by the median of the ratios.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

import fastnet as fn

ROUNDS = 31
ROWS, BATCH = 4096, 32


def make_model(everything: bool) -> fn.Sequential:
    """64-128-64-10, relu; with penalties, weight decay, clipping, an average, lookahead and a schedule if `everything`."""
    penalty = fn.regularizers.L1L2(1e-6, 1e-5) if everything else None
    hidden = [fn.layers.Dense(n, activation="relu", kernel_regularizer=penalty) for n in (128, 64)]
    model = fn.Sequential([fn.Input((64,)), *hidden, fn.layers.Dense(10, kernel_regularizer=penalty)], seed=0)
    optimizer = fn.optimizers.Adam()
    if everything:
        optimizer = fn.optimizers.AdamW(
            fn.schedules.CosineDecay(1e-3, 100_000, warmup_target=2e-3, warmup_steps=100),
            weight_decay=1e-3,
            global_clipnorm=1.0,
            use_ema=True,
            lookahead_steps=5,
        )
    model.compile(optimizer, fn.losses.SparseCategoricalCrossentropy(from_logits=True), n_threads=1)
    return model


def main() -> None:
    """Prints microseconds for a step of each, and the ratio."""
    random = np.random.default_rng(0)
    x = random.standard_normal((ROWS, 64), np.float32)
    y = random.integers(0, 10, ROWS)
    models = [make_model(everything) for everything in (False, True)]
    for model in models:
        model.fit(x, y, batch_size=BATCH, epochs=3, verbose=0)
    seconds: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for model, times in zip(models, seconds):
            start = time.perf_counter()
            model.fit(x, y, batch_size=BATCH, verbose=0)
            times.append(time.perf_counter() - start)
    plain, full = (statistics.median(times) / (ROWS // BATCH) * 1e6 for times in seconds)
    ratio = statistics.median(b / a for a, b in zip(*seconds))
    print(
        f"plain {plain:.1f} us, with penalties, decay, clipping, average, lookahead and schedule {full:.1f} us: {ratio:.2f} times"
    )


if __name__ == "__main__":
    main()
