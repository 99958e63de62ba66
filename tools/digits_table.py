"""Trains the handwritten digits with every optimizer and writes the table of docs/digits.md.

    python tools/digits_table.py

Each trains a 64-64-10 network from the same initial weights, on pixels divided by 16, with the learning rate that is its
default, unless `SETTINGS` says another.
"""

import pathlib

import fastnet as fn

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "digits.md"
BEGIN, END = "<!-- written by tools/digits_table.py: begin -->", "<!-- end -->"
GOAL, EPOCHS, BATCH = 0.95, 40, 32

#: Optimizer -> what it is given beside its defaults.
SETTINGS = {
    "adadelta": {"learning_rate": 1.0},
    "adafactor": {"learning_rate": 0.01},
    "adagrad": {"learning_rate": 0.05},
    "ftrl": {"learning_rate": 0.1},
    "lamb": {"learning_rate": 0.003},
    "lars": {"learning_rate": 1.0},
    "sgd": {"learning_rate": 0.1},
    "pytorch.sgd": {"lr": 0.1},
}
#: Those that are meant for all the data in one batch, and how many epochs they get.
FULL_BATCH = {"lbfgs": 60, "rprop": 60, "pytorch.rprop": 60}


def train(name):
    """(class, learning rate, batch size, epochs until the goal or None, accuracy at the end)."""
    (x, y), test = fn.datasets.load_digits()
    cls = fn.optimizers.OPTIMIZERS[name]
    optimizer = cls(**SETTINGS.get(name, {}))
    model = fn.Sequential(
        [
            fn.Input((64,)),
            fn.layers.Rescaling(1 / 16),
            fn.layers.Dense(64, activation="relu"),
            fn.layers.Dense(10),
        ],
        seed=0,
    )
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    batch_size = len(x) if name in FULL_BATCH else BATCH
    history = model.fit(x, y, batch_size=batch_size, epochs=FULL_BATCH.get(name, EPOCHS), validation_data=test, verbose=0)
    accuracies = history.history["val_accuracy"]
    reached = next((epoch for epoch, accuracy in enumerate(accuracies, 1) if accuracy >= GOAL), None)
    return cls, optimizer.learning_rate, batch_size, reached, accuracies[-1]


def row(name):
    cls, rate, batch_size, reached, accuracy = train(name)
    class_name = cls.__name__.rpartition(".")[2]
    label, page = class_name, "optimizers"
    if name.startswith("pytorch."):
        label, page = f"pytorch.{class_name}", "optimizers_pytorch"
    said = f"{rate:g}" if name in SETTINGS else f"{rate:g} (default)"
    return (
        f"| [`{label}`](api/{page}.md#{class_name.lower()}) | {said} | "
        f"{'all' if name in FULL_BATCH else batch_size} | {reached or 'not reached'} | {accuracy:.1%} |"
    )


def table():
    """The table in Markdown."""
    lines = [
        "| Optimizer | Learning rate | Batch | Epochs to 95% | Test accuracy at the end |",
        "|---|---|---|---|---|",
    ]
    return "\n".join(lines + [row(name) for name in sorted(fn.optimizers.OPTIMIZERS, key=lambda n: ("." in n, n))])


def main():
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    text = table()
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
