"""Reads handwritten digits with convolutions, and with dense layers of as many weights.

    python examples/digits_convolution.py [--epochs N] [--plot FILE]

A filter of a convolution looks for the same stroke everywhere in the image; a dense layer has to learn it anew for every
place. The difference is in the errors on images that were not trained on.
"""

import argparse
import time

import fastnet as fn
from fastnet.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Rescaling, Reshape

CONVOLUTIONS = [
    Reshape((8, 8, 1)),
    Conv2D(32, 3, padding="same", activation="relu"),
    Conv2D(32, 3, padding="same", activation="relu"),
    MaxPooling2D(),
    Dropout(0.25),
    Conv2D(64, 3, padding="same", activation="relu"),
    MaxPooling2D(),
    Dropout(0.25),
    Flatten(),
    Dense(10),
]
DENSE = [Dense(256, activation="relu"), Dropout(0.25), Dense(54, activation="relu"), Dropout(0.25), Dense(10)]


def train(layers, epochs):
    """The model, its history and the seconds that it took."""
    (x, y), test = fn.datasets.load_digits()
    model = fn.Sequential([fn.Input((64,)), Rescaling(1 / 16), *layers], seed=1)
    rate = fn.schedules.CosineDecay(3e-3, epochs * -(-len(x) // 32))
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.Adam(rate), loss, metrics=["accuracy"])
    start = time.perf_counter()
    history = model.fit(x, y, batch_size=32, epochs=epochs, validation_data=test, verbose=0)
    return model, history, time.perf_counter() - start


def draw(histories, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.add_subplot(xlabel="epoch", ylabel="errors on the 360 test images", yscale="symlog")
    for name, history in histories.items():
        axis.plot([360 * (1 - accuracy) for accuracy in history.history["val_accuracy"]], label=name)
    axis.legend()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--plot", metavar="FILE", help="save the errors of each epoch as a picture")
    arguments = parser.parse_args()

    histories = {}
    for name, layers in {"dense layers": DENSE, "convolutions": CONVOLUTIONS}.items():
        model, histories[name], seconds = train(layers, arguments.epochs)
        weights = sum(weight.size for weight in model.weights)
        accuracy = histories[name].history["val_accuracy"][-1]
        print(f"{name}: {weights:,} weights, {seconds:.1f} s, test accuracy {accuracy:.1%}")
    if arguments.plot:
        draw(histories, arguments.plot)


if __name__ == "__main__":
    main()
