"""``python -m fastnet demo``."""

from __future__ import annotations

import statistics
import time
from argparse import Namespace

import numpy as np

import fastnet as fn

from .. import _core
from .._bench.numpy_peer import NumpyNetwork
from .._bench.workloads import SPARSE, Workload

__all__ = ["run"]

SIZES = (64, 128, 64, 10)
BATCH = 32

AGREEMENT = 1e-3
"""Largest relative difference between the losses of the first epoch: in later ones float32 lets them drift apart."""


class _Bar(fn.callbacks.Callback):
    """One bar over all epochs, on a terminal."""

    def __init__(self, epochs: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=epochs, desc="fastnet", unit="epoch", disable=None)

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", accuracy=f"{logs['accuracy']:.4f}", refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        self.bar.close()


def _train_numpy(network: NumpyNetwork, x, y, orders) -> tuple[list[float], list[float]]:
    """Losses and seconds of the epochs."""
    from tqdm import tqdm

    losses, seconds = [], []
    for order in tqdm(orders, desc="NumPy", unit="epoch", disable=None):
        start = time.perf_counter()
        total = 0.0
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            total += network.train_on_batch(x, y, rows) * len(rows)
        losses.append(total / len(order))
        seconds.append(time.perf_counter() - start)
    return losses, seconds


def run(options: Namespace) -> int:
    """Trains on the digits in fastnet and in NumPy, and compares."""
    (x, y), (x_test, y_test) = fn.datasets.load_digits()
    x, x_test = x / 16, x_test / 16
    model = fn.Sequential(
        [
            fn.Input((SIZES[0],)),
            fn.layers.Dense(SIZES[1], activation="relu"),
            fn.layers.Dense(SIZES[2], activation="relu"),
            fn.layers.Dense(SIZES[3]),
        ],
        seed=0,
    )
    model.compile(
        fn.optimizers.Adam(1e-3),
        fn.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        n_threads=options.threads,
    )
    initial = model.get_weights()
    print(
        f"Handwritten digits, {len(x)} to train on, {len(x_test)} to test with. "
        f"Network {'-'.join(map(str, SIZES))}, {model.count_params():,} parameters, batches of {BATCH}, Adam."
    )

    history = model.fit(x, y, batch_size=BATCH, epochs=options.epochs, verbose=0, callbacks=[_Bar(options.epochs)])
    seconds = sum(history.quantities["seconds"])
    accuracy = model.evaluate(x_test, y_test, return_dict=True)["accuracy"]
    epoch = statistics.median(history.quantities["seconds"])
    steps = -(-len(x) // BATCH)
    print(
        f"fastnet  test accuracy {accuracy:.2%} after {options.epochs} epochs in {seconds:.3f} s: "
        f"{1e3 * epoch:.2f} ms for an epoch, {1e6 * epoch / steps:.1f} us for a step"
    )

    network = NumpyNetwork(Workload("demo", SIZES, "relu", SPARSE, BATCH, "adam", 1e-3, rows=len(x)))
    network.set_weights(initial)
    orders = [_core.shuffle(model.seed, epoch, len(x)) for epoch in range(options.epochs)]
    losses, numpy_seconds = _train_numpy(network, x, y, orders)
    numpy_accuracy = np.mean(network.predict(x_test).argmax(1) == y_test)
    numpy_epoch = statistics.median(numpy_seconds)
    print(
        f"NumPy    test accuracy {numpy_accuracy:.2%} after {options.epochs} epochs in {sum(numpy_seconds):.3f} s: "
        f"{1e3 * numpy_epoch:.2f} ms for an epoch, {1e6 * numpy_epoch / steps:.1f} us for a step"
    )

    differences = [abs(ours - theirs) / theirs for ours, theirs in zip(history.history["loss"], losses)]
    weights = max(float(np.abs(ours - theirs).max()) for ours, theirs in zip(model.get_weights(), network.parameters))
    print(
        f"fastnet is {numpy_epoch / epoch:.1f} times as fast by the median epoch, {sum(numpy_seconds) / seconds:.1f} times by the sum of "
        f"all. Same initial weights, same batches: the losses of the "
        f"epochs differ by at most {max(differences):.1e} (relative), the final weights by {weights:.1e}."
    )
    if not differences[0] <= AGREEMENT:
        raise RuntimeError(
            f"fastnet and NumPy disagree: losses of the first epoch {history.history['loss'][0]:.6g} and {losses[0]:.6g}"
        )
    return 0
