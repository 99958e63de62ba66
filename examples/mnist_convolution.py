"""Trains a convolutional network on handwritten digits from a folder with files in the idx format.

    python examples/mnist_convolution.py FOLDER

The folder holds t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (or the same with .gz). The first 8,000 of the
10,000 images are trained on, the others tested; of these it gets more than 98.5% right.
"""

import pathlib
import sys

import fastnet as fn


def load(folder, name):
    for path in (pathlib.Path(folder, name), pathlib.Path(folder, f"{name}.gz")):
        if path.exists():
            return fn.datasets.load_idx(path)
    sys.exit(f"mnist_convolution.py: there is no {name} or {name}.gz in {folder}")


def main(folder, epochs=10, verbose="auto"):
    """Returns the accuracy on the images that were not trained on."""
    images, labels = load(folder, "t10k-images-idx3-ubyte"), load(folder, "t10k-labels-idx1-ubyte")
    images = images[..., None]
    model = fn.Sequential(
        [
            fn.Input((28, 28, 1)),
            fn.layers.Rescaling(1 / 255),
            fn.layers.Conv2D(32, 3, padding="same", activation="relu"),
            fn.layers.MaxPooling2D(),
            fn.layers.Conv2D(64, 3, padding="same", activation="relu"),
            fn.layers.MaxPooling2D(),
            fn.layers.Dropout(0.25),
            fn.layers.Flatten(),
            fn.layers.Dense(128, activation="relu"),
            fn.layers.Dropout(0.5),
            fn.layers.Dense(10),
        ],
        seed=0,
    )
    rate = fn.schedules.CosineDecay(2e-3, epochs * 125)
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(images[:8000], labels[:8000], batch_size=64, epochs=epochs, verbose=verbose)
    return model.evaluate(images[8000:], labels[8000:], return_dict=True)["accuracy"]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"accuracy on 2,000 images not trained on: {main(sys.argv[1]):.1%}")
