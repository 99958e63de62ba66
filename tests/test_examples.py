"""Every script in examples/ runs, and what it prints supports what it says.

A new example is run as soon as it is there. What it should print is said in `CLAIMS`: a pattern whose groups are
handed to a condition.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import fastnet

FOLDER = pathlib.Path(__file__).parents[1] / "examples"
OWN_TESTS = {
    "mnist",
    "mnist_convolution",
    "optuna_adult",
    "adult",  # take data that must be fetched: test_mnist.py, test_sklearn_use.py
    "optuna_workers",
    "search_workers",  # started in two ways: test_examples_on_workers.py
}
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in OWN_TESTS)

#: Example -> pattern in its output, and what must hold of the groups.
CLAIMS = {
    "batch_sizes": (r"([\d.]+) above that of the curve with full batches, ([-\d.]+) with mini-batches",
                    lambda full, mini: float(mini) < float(full) / 3),
    "character_lstm": (r"From ([\d.]+) bits [^$]*to ([\d.]+) of text[^$]*?(\d+)% of these words",
                       lambda first, last, known: float(last) < float(first) / 8 and int(known) > 90),
    "custom_loop": (r"([\d.]+) with fit and the squared error, ([\d.]+) with the loop",
                    lambda plain, own: float(own) < 0.1 < float(plain)),
    "digits_convolution": (r"dense layers: .*accuracy ([\d.]+)%\nconvolutions: .*accuracy ([\d.]+)%",
                           lambda dense, convolutions: float(convolutions) >= max(98.5, float(dense))),
    "feature_scaling": (r"off by (\d+) kcal without scaling, (\d+) with",
                        lambda without, scaled: float(scaled) < float(without) / 2),
    "few_labels": (r"1 of.*convolutions, ([\d.]+)% [^$]*?, ([\d.]+)% with a new[^$]*\n5 of.*convolutions, ([\d.]+)% .*, ([\d.]+)% with",
                   lambda one, one_new, five, five_new: float(one) > float(one_new)
                   and float(one) + float(five) > float(one_new) + float(five_new) + 1),
    "gan": (r"At the end ([\d.]+)% sure, (\d+) of 10 digits; at the start ([\d.]+)%",
            lambda end, digits, start: float(end) > 80 > 55 > float(start) and int(digits) >= 9),
    "grid_search": (r"from ([\d.]+)% to ([\d.]+)%[^$]*test digits: ([\d.]+)%[^$]*on \[120, 360, 1080\] rows, ([\d.]+)%",
                    lambda least, most, grid, halving: float(least) < float(most) - 2 and float(grid) > 96 < float(halving)),
    "heat_equation": (r"off by ([\d.]+)%", lambda error: float(error) < 0.2),
    "learning_rate_finder": (r"what it was\? (\w+), (\d+) steps[^$]*best of these is (\S+) times",
                             lambda same, steps, best: (same, steps) == ("yes", "0") and best in ("0.1", "1")),
    "learning_rate_schedules": (r"lowest loss: ([\d.]+) times below the fixed rate", lambda ratio: float(ratio) > 1.5),
    "linear_regression": (r"went up to ([\d.]+) and ended at (\d+\.\d+)",
                          lambda top, end: float(top) > 2.5 and abs(float(end) - 2) < 0.02),
    "optimizers": (r"slowest to 95%: (\w+)", lambda slowest: slowest == "yes"),
    "overfitting": (r"best with (.+): ([\d.]+)% against ([\d.]+)%",
                    lambda name, best, plain: float(best) > float(plain) + 3),
    "shakespeare_gpt": (r"(\d+) of (\d+) sentences are right",
                        lambda right, whole: int(whole) >= 10 and int(right) >= 0.8 * int(whole)),
    "parquet": (r"([\d.]+)% right", lambda right: float(right) > 93),
    "pseudo_labels": (r"From ([\d.]+)% to ([\d.]+)%, better in (\d) of 5",
                      lambda alone, last, better: float(last) > float(alone) + 4 and int(better) >= 4),
    "reinforce": (r"At first ([\d.]+) steps.*: mean ([\d.]+), shortest (\d+) of 500",
                  lambda first, mean, shortest: float(first) < 60 and float(mean) >= 475),
    "residual_network": (r"with shortcuts: .* ([\d.]+) after 5, ([\d.]+)% of[^$]*without: .* ([\d.]+) after 5, ([\d.]+)% of",
                         lambda loss, right, plain_loss, plain: float(loss) < 0.5 * float(plain_loss)
                         and float(right) > max(90, float(plain))),
    "step_decay": (r"same losses: (\w+)", lambda same: same == "yes"),
    "sunspots_gru": (r"held out: ([\d.]+) if the number stays as it is, ([\d.]+) by linear regression, ([\d.]+) by the GRU",
                     lambda stays, linear, gru: float(gru) < 0.75 * float(stays) and float(gru) < float(linear)),
    "transfer_learning": (r"([\d,]+) of ([\d,]+) numbers are trained\n +([\d.]+)%[^$]*the same\? (\w+)[^$]* ([\d.]+)% of",
                          lambda few, all_, frozen, same, unfrozen: (few, all_, same) == ("325", "16,901", "yes")
                          and 70 < float(frozen) < float(unfrozen)),
    "vae": (r"Test images: ([\d.]+) nats.*Always the mean image: ([\d.]+)",
            lambda loss, mean_image: float(loss) < 25 < 27 < float(mean_image)),
}  # fmt: skip


def run(name, *arguments):
    source = str(pathlib.Path(fastnet.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, tmp_path):
    """It runs, draws its plot where matplotlib is installed, and its numbers say what it says."""
    if name == "parquet":
        pytest.importorskip("pyarrow")
    picture = tmp_path / "plot.png"
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        output = run(name)
    else:
        output = run(name, "--plot", str(picture))
        assert picture.stat().st_size > 5000
    assert name in CLAIMS, f"say in CLAIMS what {name}.py should print"
    pattern, holds = CLAIMS[name]
    found = re.search(pattern, output)
    assert found, output
    assert holds(*found.groups()), output


def test_every_claim_has_its_example():
    assert set(CLAIMS) <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_says_what_it_shows(name):
    """--help gives the first line of the docstring; there is little else in the file than what it shows."""
    text = (FOLDER / f"{name}.py").read_text()
    assert re.match(r'"""[A-Z0-9].*[.:]\n', text)
    assert f"python examples/{name}.py [" in text
    assert len(text.splitlines()) <= 120
