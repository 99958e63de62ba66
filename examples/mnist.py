"""Trains a network on handwritten digits from a folder with files in the idx format.

    python examples/mnist.py FOLDER

The folder holds t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (or the same with .gz). The first 8,000 of the
10,000 images are trained on, the others tested.
"""

import pathlib
import sys

import fastnet as fn


def load(folder, name):
    for path in (pathlib.Path(folder, name), pathlib.Path(folder, f"{name}.gz")):
        if path.exists():
            return fn.datasets.load_idx(path)
    sys.exit(f"mnist.py: there is no {name} or {name}.gz in {folder}")


def main(folder, epochs=10, verbose="auto"):
    """Returns the accuracy on the images that were not trained on."""
    images, labels = load(folder, "t10k-images-idx3-ubyte"), load(folder, "t10k-labels-idx1-ubyte")
    x = images / 255.0
    model = fn.Sequential(
        [
            fn.Input((28, 28)),
            fn.layers.Flatten(),
            fn.layers.Dense(128, activation="relu"),
            fn.layers.Dense(10),
        ],
        seed=0,
    )
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    model.fit(x[:8000], labels[:8000], batch_size=32, epochs=epochs, verbose=verbose)
    return model.evaluate(x[8000:], labels[8000:], return_dict=True)["accuracy"]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"accuracy on 2,000 images not trained on: {main(sys.argv[1]):.1%}")
