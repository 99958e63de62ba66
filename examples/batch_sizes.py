"""Batch, mini-batch and stochastic gradient descent: the same network and data, only batch_size differs.

    python examples/batch_sizes.py [--epochs N] [--plot FILE]

A batch of everything makes one smooth step in each epoch. A batch of one makes as many steps as there are rows, each
in a direction of its own. Between them lies what is used in practice.
"""

import argparse

import numpy as np

import fastnet as fn

N = 512


def make_data():
    """A curve with noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (N, 1))
    return x, np.sin(2 * x) + rng.normal(scale=0.3, size=(N, 1))


def train(batch_size, rate, data, epochs):
    """Losses and seconds of the epochs, and the distance to the curve without noise."""
    model = fn.Sequential(
        [
            fn.Input((1,)),
            fn.layers.Dense(32, activation="tanh"),
            fn.layers.Dense(32, activation="tanh"),
            fn.layers.Dense(1),
        ],
        seed=0,
    )
    model.compile(fn.optimizers.SGD(rate), "mse")
    history = model.fit(*data, batch_size=batch_size, epochs=epochs, verbose=0).quantities
    line = np.linspace(-2, 2, 200).reshape(-1, 1)
    return history["loss"], sum(history["seconds"]), np.abs(model.predict(line) - np.sin(2 * line)).mean()


def plot(runs, file):
    """Draws the loss after so many passes over the data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = figure.subplots()
    for name, (losses, _, _) in runs.items():
        axis.semilogy(range(1, len(losses) + 1), losses, label=name, linewidth=1.2)
    axis.set(xlabel="epoch", ylabel="training loss", title="The same data in batches of different size")
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    data = make_data()
    kinds = {"batch": (N, 0.1), "mini-batch": (32, 0.05), "stochastic": (1, 0.01)}
    runs = {f"{name} ({size})": train(size, rate, data, arguments.epochs) for name, (size, rate) in kinds.items()}
    print("batch size         steps   seconds   final loss   distance to the curve")
    for (name, (losses, seconds, distance)), (size, _) in zip(runs.items(), kinds.values()):
        steps = arguments.epochs * -(-N // size)
        print(f"{name:17}{steps:7,}{seconds:10.3f}{losses[-1]:13.4f}{distance:24.3f}")
    noise = 0.3**2  # the loss of the curve itself
    batch, mini, _ = (losses[-1] - noise for losses, _, _ in runs.values())
    print(
        f"After the same {arguments.epochs} passes over the data, the loss is {batch:.3f} above that of the curve with "
        f"full batches, {mini:.3f} with mini-batches."
    )
    if arguments.plot:
        plot(runs, arguments.plot)


if __name__ == "__main__":
    main()
