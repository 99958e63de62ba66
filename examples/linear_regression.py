"""Learns y = 2x from ten points: one weight, no bias, gradient descent with momentum 0.9.

    python examples/linear_regression.py [--plot FILE]

With momentum the weight overshoots 2, swings around it and comes to rest. Without it, it creeps up from one side.
"""

import argparse

import numpy as np

import fastnet as fn

EPOCHS = 100


def train(momentum):
    """The weight after each epoch."""
    x = np.linspace(-1, 1, 10).reshape(-1, 1)
    y = 2 * x
    model = fn.Sequential(
        [
            fn.Input((1,)),
            fn.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
        ],
        seed=0,
    )
    model.compile(fn.optimizers.SGD(learning_rate=0.05, momentum=momentum), loss="mse")
    weights = []
    note = fn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(float(model.layers[0].kernel[0, 0])))
    model.fit(x, y, batch_size=len(x), epochs=EPOCHS, verbose=0, callbacks=[note])
    return weights


def plot(paths, file):
    """Draws the weight over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.axhline(2, color="black", linewidth=0.8, linestyle=":")
    for momentum, weights in paths.items():
        axis.plot(range(1, EPOCHS + 1), weights, label=f"momentum {momentum}")
    axis.set(xlabel="epoch", ylabel="weight", title="y = 2x", xlim=(1, EPOCHS))
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    paths = {momentum: train(momentum) for momentum in (0.0, 0.9)}
    print("epoch   without momentum   momentum 0.9")
    for epoch in (1, 5, 10, 20, 50, 100):
        print(f"{epoch:5}   {paths[0.0][epoch - 1]:16.4f}   {paths[0.9][epoch - 1]:12.4f}")
    print(f"With momentum 0.9 the weight went up to {max(paths[0.9]):.2f} and ended at {paths[0.9][-1]:.4f}.")
    if arguments.plot:
        plot(paths, arguments.plot)


if __name__ == "__main__":
    main()
