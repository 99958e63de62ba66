"""A small residual network on the digits, beside the same network without its shortcuts.

    python examples/residual_network.py [--blocks N] [--epochs N] [--plot FILE]

A block is x + f(x), f being two convolutions with normalization (He et al. 2015): a layer put together from others, which
the model treats as one. Without the shortcut, f(x) alone, a network so deep is harder to train. Both have the same
weights to begin with, and see the same batches.
"""

import argparse

import fastnet as fn


class Block(fn.layers.Layer):
    """relu(x + f(x)) with a shortcut, relu(f(x)) without."""

    def __init__(self, filters, shortcut=True, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.shortcut = filters, shortcut
        self.convolutions = [fn.layers.Conv2D(filters, 3, padding="same", use_bias=False,
                                              kernel_initializer="he_normal") for _ in range(2)]  # fmt: skip
        self.normalizations = [fn.layers.BatchNormalization(momentum=0.9) for _ in range(2)]

    def call(self, x):
        first, second = zip(self.convolutions, self.normalizations)
        y = fn.layers.ReLU()(first[1](first[0](x)))
        y = second[1](second[0](y))
        if self.shortcut:
            y = fn.layers.Add()([x, y])
        return fn.layers.ReLU()(y)


def make_model(n_blocks, shortcut, steps):
    model = fn.Sequential(
        [
            fn.Input((8, 8, 1)),
            fn.layers.Rescaling(1 / 16),
            fn.layers.Conv2D(8, 3, padding="same", activation="relu"),
            *(Block(8, shortcut) for _ in range(n_blocks)),
            fn.layers.GlobalAveragePooling2D(),
            fn.layers.Dense(10),
        ],
        seed=0,
    )
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.Adam(fn.schedules.CosineDecay(0.005, steps)), loss, metrics=["accuracy"])
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=10, help="of two convolutions each")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = fn.datasets.load_digits()
    x, x_test = x.reshape(-1, 8, 8, 1), x_test.reshape(-1, 8, 8, 1)
    curves, scores = {}, {}
    steps = arguments.epochs * -(-len(x) // 32)
    for name, shortcut in (("with shortcuts", True), ("without", False)):
        model = make_model(arguments.blocks, shortcut, steps)
        if shortcut:
            model.summary()
        history = model.fit(x, y, epochs=arguments.epochs, validation_data=(x_test, y_test), verbose=0)
        curves[name] = history.history["loss"]
        scores[name] = history.history["val_accuracy"][-1]
        print(
            f"{name}: loss {curves[name][0]:.3f} after one epoch, {curves[name][-1]:.3f} after {arguments.epochs}, "
            f"{scores[name]:.1%} of the test images are right"
        )
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axis = figure.subplots()
        for name, curve in curves.items():
            axis.plot(range(1, len(curve) + 1), curve, marker="o", markersize=3, label=name)
        axis.set(xlabel="epoch", ylabel="training loss", yscale="log", title=f"{2 * arguments.blocks + 1} convolutions")
        axis.legend(frameon=False)
        axis.grid(alpha=0.3)
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
