"""A GAN on data of 64 numbers: `fastnet.TrainStep` beside the same step in PyTorch, in turns in one run.

    python -m bench.train_step [--threads N] [--batch N] [--repetitions N]

Both networks have two hidden layers of 128; the discriminator learns from real and generated rows, then the generator through it, both by
Adam. A repetition is an epoch of 100 batches that lie in memory, shuffled by fastnet, in order in PyTorch. Without PyTorch fastnet is
measured alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable

import numpy as np

import fastnet as fn

WIDTH, NOISE, HIDDEN, BATCHES = 64, 16, 128, 100
RATE = 2e-4


def fastnet_epoch(real: np.ndarray, noise: np.ndarray, batch: int, threads: int) -> Callable[[], object]:
    ops, layers = fn.ops, fn.layers

    def network(inputs: int, outputs: int, seed: int) -> fn.Sequential:
        hidden = [layers.Dense(HIDDEN, "relu"), layers.Dense(HIDDEN, "relu")]
        return fn.Sequential([fn.Input((inputs,)), *hidden, layers.Dense(outputs)], seed=seed)

    generator, discriminator = network(NOISE, WIDTH, 0), network(WIDTH, 1, 1)

    def gan(real: object, noise: object) -> dict[str, tuple[object, fn.Model]]:
        judged = discriminator(generator(noise))
        return {
            "discriminator": (ops.softplus(judged) + ops.softplus(-discriminator(real)), discriminator),
            "generator": (ops.softplus(-judged), generator),
        }

    step = fn.TrainStep(gan, [(WIDTH,), (NOISE,)], seed=0)
    adams = {name: fn.optimizers.Adam(RATE, beta_1=0.5) for name in step.output_names}
    step.compile(adams, n_threads=threads)
    return lambda: step.fit([real, noise], batch_size=batch, verbose=0, check_finite=False)


def torch_epoch(real: np.ndarray, noise: np.ndarray, batch: int, threads: int) -> Callable[[], object]:
    import torch
    from torch import nn
    from torch.nn.functional import softplus

    torch.set_num_threads(threads)

    def network(inputs: int, outputs: int) -> nn.Module:
        hidden = [nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(HIDDEN, outputs))

    generator, discriminator = network(NOISE, WIDTH), network(WIDTH, 1)
    adams = [torch.optim.Adam(model.parameters(), RATE, (0.5, 0.999)) for model in (discriminator, generator)]
    rows = [(torch.from_numpy(real[i : i + batch]), torch.from_numpy(noise[i : i + batch])) for i in range(0, len(real), batch)]

    def update(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def epoch() -> None:
        for x, z in rows:
            fake = generator(z)
            update(adams[0], softplus(discriminator(fake.detach())).mean() + softplus(-discriminator(x)).mean())
            update(adams[1], softplus(-discriminator(fake)).mean())

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.train_step", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="rows of a batch; default: %(default)s")
    parser.add_argument("--repetitions", type=int, default=15, metavar="N", help="default: %(default)s")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    n = BATCHES * options.batch
    data = random.normal(size=(n, WIDTH)).astype("f"), random.normal(size=(n, NOISE)).astype("f")
    makers = {"fastnet": fastnet_epoch}
    if importlib.util.find_spec("torch"):
        makers["PyTorch"] = torch_epoch
    peers = {name: make(*data, options.batch, options.threads) for name, make in makers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for repetition in range(options.repetitions + 1):
        for name, epoch in peers.items():
            start = time.process_time() if options.threads == 1 else time.perf_counter()
            epoch()
            end = time.process_time() if options.threads == 1 else time.perf_counter()
            if repetition:  # the first makes the plans
                seconds[name].append((end - start) / BATCHES)
    for name, found in seconds.items():
        print(f"{name}: {1e6 * statistics.median(found):.1f} us a step")
    if len(peers) == 2:
        ratio = statistics.median(b / a for a, b in zip(*seconds.values()))
        print(f"PyTorch takes {ratio:.1f} times as long")


if __name__ == "__main__":
    main()
