"""The number of sunspots half a year from now, from the five years before: a GRU on a time series.

    python examples/sunspots_gru.py [--data FILE] [--epochs N] [--plot FILE]

FILE is a table of months and sunspot numbers, such as that of the Royal Observatory of Belgium (WDC-SILSO) since 1749.
Without it a series is made that resembles them: cycles of about eleven years that differ in height and length, and noise
that grows with the number. The last fifth of the series is held out; the network is compared with two forecasts that cost
nothing: that the number stays what it is, and a linear regression on the same five years.
"""

import argparse

import numpy as np

import fastnet as fn

WINDOW, AHEAD = 60, 6  # months


def make_series(rng, months=3000):
    """Cycles whose rise is steeper than their fall."""
    series = []
    while len(series) < months:
        length, height = int(rng.normal(132, 10)), rng.uniform(60, 200)
        phase = np.arange(length) / length
        series.extend(height * np.sin(np.pi * phase**0.75) ** 2)
    series = np.array(series[:months])
    return np.maximum(series + rng.normal(size=months) * (4 + 0.12 * series), 0)


def read_series(file):
    """The last column of a table with a header."""
    return np.loadtxt(file, delimiter=",", skiprows=1, usecols=1, converters=lambda text: float(text.strip('"')))


def make_rows(series):
    """Windows of the series, (rows, WINDOW, 1), and what comes AHEAD months after each."""
    windows = np.lib.stride_tricks.sliding_window_view(series, WINDOW)[:-AHEAD]
    return windows[..., np.newaxis], series[WINDOW + AHEAD - 1 :, np.newaxis]


def error(prediction, y):
    """Root of the mean square, in sunspots."""
    return 100 * np.sqrt(np.mean((prediction - y) ** 2))


def plot(y, prediction, file):
    """Draws the held out part and its forecast."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axis = figure.subplots()
    years = np.arange(len(y)) / 12
    axis.plot(years, 100 * y, color="0.7", label="sunspots")
    axis.plot(years, 100 * prediction, label="forecast")
    axis.set(xlabel="years after the end of training", ylabel="number", ylim=(0, None))
    axis.legend(frameon=False)
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="FILE", help="months and sunspot numbers, comma-separated")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--plot", metavar="FILE", help="save the forecast as a picture")
    arguments = parser.parse_args()

    series = read_series(arguments.data) if arguments.data else make_series(np.random.default_rng(0))
    x, y = make_rows(series / 100)
    train = int(0.8 * len(x)) - AHEAD  # so that no target of training lies in the part held out
    held = slice(int(0.8 * len(x)), None)

    model = fn.Sequential(
        [
            fn.Input((WINDOW, 1)),
            fn.layers.GRU(24),
            fn.layers.Dense(1),
        ],
        seed=0,
    )
    steps = arguments.epochs * (train // 32)
    model.compile(fn.optimizers.Adam(fn.schedules.CosineDecay(5e-3, steps), global_clipnorm=1.0), "mse")
    history = model.fit(x[:train], y[:train], batch_size=32, epochs=arguments.epochs, verbose=0).history
    prediction = model.predict(x[held])

    columns = np.hstack([x[..., 0], np.ones((len(x), 1))])
    coefficients, *_ = np.linalg.lstsq(columns[:train], y[:train], rcond=None)
    stays, linear, gru = error(x[held, -1], y[held]), error(columns[held] @ coefficients, y[held]), error(prediction, y[held])
    print(f"{len(series):,} months; {AHEAD} months ahead from {WINDOW}; trained on {train:,}, tested on {len(y[held]):,}")
    print(
        f"Root mean square error of training: {100 * history['loss'][0] ** 0.5:.1f} in the first epoch, "
        f"{100 * history['loss'][-1] ** 0.5:.1f} in the last."
    )
    print(
        f"Of the months held out: {stays:.1f} if the number stays as it is, {linear:.1f} by linear regression, "
        f"{gru:.1f} by the GRU."
    )
    if arguments.plot:
        plot(y[held], prediction, arguments.plot)


if __name__ == "__main__":
    main()
