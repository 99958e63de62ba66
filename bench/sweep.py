"""Networks of many shapes in fastnet and in PyTorch, to find those where fastnet is not the faster.

    python -m bench.sweep --torch PYTHON [dense] [convolution] [recurrent]

PYTHON is an interpreter that has PyTorch. Both libraries measure a network in turn, in processes of their own, with all threads:
the median of training steps. PyTorch gets the same batch each time, fastnet gathers shuffled rows as `fit` does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

#: Arguments of each kind of network, by name; all combinations are measured.
NETWORKS = {
    "dense": {"width": (64, 300, 1000, 1024, 2048, 4096), "batch": (1, 8, 32, 64, 128, 256), "optimizer": ("sgd", "adam")},
    "convolution": {
        "image": ((8, 16), (28, 1), (32, 3), (32, 32), (64, 16), (14, 128)), "filters": (16, 64), "kernel": (1, 3, 5),
        "strides": (1, 2), "batch": (8, 64),
    },
    "recurrent": {"cell": ("LSTM", "GRU"), "units": (32, 128, 256, 512), "steps": (10, 64), "batch": (1, 8, 32, 128)},
}  # fmt: skip
CLASSES, FEATURES, SECONDS = 10, 32, 0.25


def shape_of(kind: str, network: dict[str, Any]) -> tuple[int, ...]:
    """The shape of a sample, channels last."""
    if kind == "dense":
        return (network["width"],)
    if kind == "recurrent":
        return (network["steps"], FEATURES)
    side, channels = network["image"]
    return (side, side, channels)


def fastnet_step(kind: str, network: dict[str, Any]) -> tuple[Callable[[], Any], int]:
    """A function that trains, and the number of its steps."""
    import numpy as np

    import fastnet as fn

    layers: list[Any] = [fn.Input(shape_of(kind, network))]
    if kind == "dense":
        layers += [fn.layers.Dense(network["width"], activation="relu") for _ in range(2)]
    elif kind == "recurrent":
        layers.append(getattr(fn.layers, network["cell"])(network["units"]))
    else:
        same = {"padding": "same", "activation": "relu"}
        layers += [fn.layers.Conv2D(network["filters"], network["kernel"], **same),
                   fn.layers.Conv2D(network["filters"], network["kernel"], strides=network["strides"], **same),
                   fn.layers.MaxPooling2D(2), fn.layers.Flatten()]  # fmt: skip
    model = fn.Sequential([*layers, fn.layers.Dense(CLASSES)], seed=0)
    model.compile(network.get("optimizer", "sgd"), fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    batch, steps = network["batch"], 8
    x = np.random.default_rng(0).normal(size=(steps * batch, *shape_of(kind, network))).astype(np.float32)
    y = np.zeros(len(x), np.int64)
    return lambda: model.fit(x, y, batch_size=batch, epochs=1, verbose=0), steps


def torch_step(kind: str, network: dict[str, Any]) -> tuple[Callable[[], Any], int]:
    """The same for PyTorch, whose images have channels first."""
    import torch
    from torch import nn

    batch, shape = network["batch"], shape_of(kind, network)
    if kind == "dense":
        width = network["width"]
        model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES))
    elif kind == "recurrent":

        class Recurrent(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.cell = getattr(nn, network["cell"])(FEATURES, network["units"], batch_first=True)
                self.dense = nn.Linear(network["units"], CLASSES)

            def forward(self, x: Any) -> Any:
                return self.dense(self.cell(x)[0][:, -1])

        model = Recurrent()
    else:
        (side, channels), filters, kernel, strides = (network[name] for name in ("image", "filters", "kernel", "strides"))
        shape, left = (channels, side, side), -(-side // strides) // 2
        model = nn.Sequential(nn.Conv2d(channels, filters, kernel, padding=kernel // 2), nn.ReLU(),
                              nn.Conv2d(filters, filters, kernel, stride=strides, padding=kernel // 2), nn.ReLU(),
                              nn.MaxPool2d(2), nn.Flatten(), nn.Linear(left * left * filters, CLASSES))  # fmt: skip
    make = torch.optim.Adam if network.get("optimizer") == "adam" else torch.optim.SGD
    optimizer, loss_of = make(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    x, y = torch.randn(batch, *shape), torch.zeros(batch, dtype=torch.long)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, 1


def seconds_of(step: Callable[[], Any], steps: int) -> float:
    """The median of a step's times, for some time, after two calls that are not counted."""
    times: list[float] = []
    end = math.inf
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) / steps)
        if len(times) == 2:
            end = time.perf_counter() + SECONDS
    return statistics.median(times[2:])


def measure(library: str) -> None:
    """What a process of one library does: a network for each line of its input, seconds for each line of its output."""
    make = {"fastnet": fastnet_step, "torch": torch_step}[library]
    for line in sys.stdin:
        print(seconds_of(*make(*json.loads(line))), flush=True)


def main() -> None:
    """Prints the slowest networks in comparison, and the mean of all."""
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(NETWORKS)}; default: all")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch")
    parser.add_argument("--measure", choices=["fastnet", "torch"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    unknown = set(arguments.kinds) - set(NETWORKS)
    if unknown:
        parser.error(f"unknown kind {unknown.pop()!r}; known: {', '.join(NETWORKS)}")
    if not arguments.torch:
        parser.error("--torch PYTHON is needed")
    workers = [subprocess.Popen([python, __file__, "--measure", library], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for library, python in (("fastnet", sys.executable), ("torch", arguments.torch))]  # fmt: skip
    found = []
    for kind in arguments.kinds or NETWORKS:
        names = NETWORKS[kind]
        for values in itertools.product(*names.values()):
            network = dict(zip(names, values))
            times = []
            for worker in workers:
                print(json.dumps([kind, network]), file=worker.stdin, flush=True)
                times.append(float(worker.stdout.readline()))
            found.append((times[1] / times[0], times, kind, network))
    for worker in workers:
        worker.stdin.close()
        worker.wait()
    found.sort(key=lambda one: one[0])
    for ratio, (ours, theirs), kind, network in found:
        text = ", ".join(f"{name} {value}" for name, value in network.items())
        print(f"{ratio:6.2f} times as long in PyTorch: {theirs * 1e6:9.0f} us, fastnet {ours * 1e6:9.0f} us   {kind}: {text}")
    mean = math.exp(statistics.fmean(math.log(one[0]) for one in found))
    print(f"{len(found)} networks, {sum(one[0] < 1 for one in found)} of them faster in PyTorch; geometric mean {mean:.2f}")


if __name__ == "__main__":
    main()
