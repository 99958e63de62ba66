"""A network that learns a text character by character, and writes on in its manner.

    python examples/character_lstm.py [--text FILE] [--epochs N] [--units N] [--plot FILE]

An embedding, an LSTM and a dense layer predict each character from those before it. Without a file the text is made by a
small grammar, so that it can be told whether what is written afterwards is made of words of the text. With a file, such
as a megabyte of plays, more units (--units 256) and some minutes give text that looks like it.
"""

import argparse
import pathlib
import time

import numpy as np

import fastnet as fn

STEPS = 40  # characters in a row of the data


def make_text(n, rng):
    """Sentences of a small grammar."""
    nouns = ["sailor", "garden", "lantern", "river", "clockmaker", "fox", "mountain"]
    adjectives = ["quiet", "golden", "small", "curious", "old"]
    verbs = ["sees", "follows", "remembers", "paints", "forgets"]
    sentences = []
    for _ in range(n):
        subject, thing = rng.choice(nouns, 2, replace=False)
        sentences.append(f"the {rng.choice(adjectives)} {subject} {rng.choice(verbs)} the {thing}.")
    return "\n".join(sentences)


def make_rows(text, alphabet):
    """Rows of characters as numbers, and of those that follow them."""
    numbers = np.searchsorted(alphabet, list(text))
    rows = (len(numbers) - 1) // STEPS
    return numbers[: rows * STEPS].reshape(rows, STEPS), numbers[1 : rows * STEPS + 1].reshape(rows, STEPS)


def write(model, alphabet, start, length, rng, temperature=0.5):
    """Goes on from `start`, character by character: each drawn with the probability that the network gives it."""
    numbers = list(np.searchsorted(alphabet, list(start.rjust(STEPS))))
    for _ in range(length):
        logits = model.predict(np.array([numbers[-STEPS:]]))[0, -1].astype(np.float64) / temperature
        p = np.exp(logits - logits.max())
        numbers.append(int(rng.choice(len(alphabet), p=p / p.sum())))
    return "".join(alphabet[number] for number in numbers[STEPS:])


def plot(history, file):
    """Draws the loss in bits for each character."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for name, label in (("loss", "training"), ("val_loss", "validation")):
        axis.plot(range(1, len(history[name]) + 1), np.array(history[name]) / np.log(2), label=label)
    axis.set(xlabel="epoch", ylabel="bits for a character", ylim=(0, None))
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", metavar="FILE", help="learn this text")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--plot", metavar="FILE", help="save the loss as a picture")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    text = pathlib.Path(arguments.text).read_text(encoding="utf-8") if arguments.text else make_text(900, rng)
    alphabet = np.array(sorted({*text, " "}))
    x, y = make_rows(text, alphabet)
    model = fn.Sequential(
        [
            fn.Input((STEPS,)),
            fn.layers.Embedding(len(alphabet), 32),
            fn.layers.LSTM(arguments.units, return_sequences=True),
            fn.layers.Dense(len(alphabet)),
        ],
        seed=0,
    )
    model.compile(fn.optimizers.Adam(5e-3), fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    begin = time.perf_counter()
    history = model.fit(x, y, batch_size=32, epochs=arguments.epochs, validation_split=0.1, verbose=0).history
    seconds = time.perf_counter() - begin
    print(f"{len(text):,} characters, {len(alphabet)} different ones; {model.count_params():,} weights")
    print(
        f"From {np.log2(len(alphabet)):.2f} bits for each character, if all were alike, "
        f"to {history['val_loss'][-1] / np.log(2):.2f} of text that it has not seen, in {seconds:.1f} s."
    )
    written = write(model, alphabet, text[:STEPS], 400, rng)
    print(f"\n{written}\n")
    words = written.split()[1:-1]  # the first and the last may be cut
    known = set(text.split())
    print(f"{np.mean([word in known for word in words]):.0%} of these words occur in the text.")
    if arguments.plot:
        plot(history, arguments.plot)


if __name__ == "__main__":
    main()
