"""A small GPT that learns to write, character by character.

    python examples/shakespeare_gpt.py [TEXT] [--long] [--plot FILE]

A transformer reads the characters so far and says which comes next: at every place of a sequence at once, since none of them
sees those after its own. TEXT is any file, such as the collected works of Shakespeare (tinyshakespeare, 1 MB). Without one,
a text of made-up sentences is learnt, in which the verb must agree with a noun that may stand some words before it; how many
of the sentences that the network writes are right can be counted. --long takes a larger network and more steps.
"""

import argparse
import re

import numpy as np

import fastnet as fn

NOUNS = {"king": "kings", "ghost": "ghosts", "lady": "ladies"}
VERBS = {"sleeps": "sleep", "weeps": "weep", "waits": "wait"}
SENTENCE = re.compile(
    rf"the (?:({'|'.join(NOUNS)})|({'|'.join(NOUNS.values())})) (?:near the \w+ )?"
    rf"(?:({'|'.join(VERBS)})|({'|'.join(VERBS.values())}))\."
)


def sentences(n, rng):
    """Such as "the king near the ghosts sleeps."."""
    everyone = [*NOUNS, *NOUNS.values()]
    lines = []
    for _ in range(n):
        one, number = rng.choice(list(NOUNS)), rng.integers(2)
        subject, verb = (one, NOUNS[one])[number], rng.choice([*VERBS.items()])[number]
        near = f"near the {rng.choice(everyone)} " if rng.random() < 0.5 else ""
        lines.append(f"the {subject} {near}{verb}.")
    return "\n".join(lines)


def is_right(sentence):
    """Whether a sentence is one of these, and its verb agrees with its subject."""
    found = SENTENCE.fullmatch(sentence)
    return bool(found) and (found[1] is None) == (found[3] is None)


def make_model(vocabulary, steps, width, blocks, heads):
    """Characters to the logits of the next ones."""
    x = inputs = fn.Input((steps,))
    x = fn.layers.TokenAndPositionEmbedding(vocabulary, steps, width)(x)
    for _ in range(blocks):
        x = fn.layers.TransformerBlock(4 * width, heads, use_causal_mask=True)(x)
    x = fn.layers.LayerNormalization(epsilon=1e-5)(x)
    return fn.Model(inputs, fn.layers.Dense(vocabulary)(x), seed=0)


def write(model, start, n, rng):
    """n more tokens after those of `start`, each drawn from what the model expects."""
    tokens, steps = list(start), model.inputs[0].shape[1]
    for _ in range(n):
        window = tokens[-steps:]
        logits = model.predict([window + [0] * (steps - len(window))])[0, len(window) - 1].astype(float)
        chances = np.exp(logits - logits.max())
        tokens.append(int(rng.choice(len(chances), p=chances / chances.sum())))
    return tokens[len(start) :]


def plot(losses, file):
    """Draws the loss of the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axis = figure.subplots()
    axis.plot(range(1, len(losses) + 1), losses, ".-")
    axis.set(xlabel="epoch", ylabel="cross-entropy of a character")
    axis.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", nargs="?", metavar="TEXT", help="a file to learn from; default: made-up sentences")
    parser.add_argument("--long", action="store_true", help="minutes in place of seconds")
    parser.add_argument("--plot", metavar="FILE", help="save the loss as a picture")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    text = open(arguments.text, encoding="utf-8").read() if arguments.text else sentences(2000, rng)
    characters = sorted(set(text))
    tokens = np.array([characters.index(c) for c in text])
    steps, width, blocks, heads, epochs, n = (128, 192, 6, 6, 40, 8000) if arguments.long else (48, 48, 2, 2, 6, 3000)

    starts = rng.integers(0, len(tokens) - steps, n)
    x = tokens[starts[:, None] + np.arange(steps)]
    y = tokens[starts[:, None] + np.arange(1, steps + 1)]
    model = make_model(len(characters), steps, width, blocks, heads)
    rate = fn.schedules.CosineDecay(3e-3, epochs * -(-n // 32))
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.AdamW(rate, weight_decay=0.01, global_clipnorm=1.0), loss)
    losses = model.fit(x, y, batch_size=32, epochs=epochs, verbose=2 if arguments.long else 0).history["loss"]

    begin = [characters.index("\n" if "\n" in characters else characters[0])]
    written = "".join(characters[token] for token in write(model, begin, 800 if arguments.long else 400, rng))
    print(
        f"{model.count_params():,} parameters, {len(characters)} characters, loss of one {losses[0]:.2f} and then {losses[-1]:.2f}:\n"
    )
    print(written, "\n")
    if not arguments.text:
        whole = written.split("\n")[:-1]  # the last one may be cut off
        print(f"{sum(map(is_right, whole))} of {len(whole)} sentences are right.")
    if arguments.plot:
        plot(losses, arguments.plot)


if __name__ == "__main__":
    main()
