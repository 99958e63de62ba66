"""Forks 1,000 children of a process in which others had threads at work, and lets each train a model with two threads.

    python tools/check_forks.py [--forks 1000] [torch] [lightgbm] [fastnet]

For each name given (all, if none): that package trains something with several threads, in the parent, before each tenth fork; then
the child trains with fastnet. Prints how many children ended with the same weights as the parent, and ends with status 1 if
any did not within a minute. Packages that are not installed are said so.
"""

import argparse
import hashlib
import importlib.util
import os
import select
import sys
import time

import numpy as np

import fastnet as fn

LIMIT = 60  # seconds for a child

random = np.random.default_rng(0)
x = random.normal(size=(256, 64)).astype(np.float32)
y = x[:, :1].copy()


def train() -> str:
    model = fn.Sequential([fn.Input((64,)), fn.layers.Dense(512, "relu"), fn.layers.Dense(64), fn.layers.Dense(1)], seed=0)
    model.compile("adam", "mse", n_threads=2)
    model.fit(x, y, epochs=2, verbose=0)
    return hashlib.md5(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()


def use_torch() -> None:
    import torch

    torch.set_num_threads(2)
    a = torch.ones(700, 700)
    for _ in range(3):
        a = torch.tanh(a @ a)


def use_lightgbm() -> None:
    import lightgbm

    lightgbm.train({"verbose": -1, "num_threads": 2}, lightgbm.Dataset(x, y[:, 0]), 3)


def child_answers() -> str:
    """What a child of this process makes of train(), or why there is nothing."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.write(writer, train().encode())
        os._exit(0)
    os.close(writer)
    answered = select.select([reader], [], [], LIMIT)[0]
    answer = os.read(reader, 100).decode() if answered else "hangs"
    os.close(reader)
    if not answered:
        os.kill(pid, 9)
    os.waitpid(pid, 0)
    return answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forks", type=int, default=1000)
    users = {"torch": use_torch, "lightgbm": use_lightgbm, "fastnet": train}
    parser.add_argument("users", nargs="*", metavar="torch | lightgbm | fastnet")
    options = parser.parse_args()
    failures = 0
    for name in options.users or users:
        if name not in users:
            parser.error(f"unknown: {name}")
        if importlib.util.find_spec(name) is None:
            print(f"{name}: not installed")
            continue
        start, answers = time.monotonic(), []
        for i in range(options.forks):
            if i % 10 == 0:
                users[name]()
            answers.append(child_answers())
        good = answers.count(train())
        failures += options.forks - good
        wrong = sorted(set(answers) - {train()})
        print(f"{name}: {good} of {options.forks} children trained alike, in {time.monotonic() - start:.0f} s", *wrong)
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
