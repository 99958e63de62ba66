"""What was measured, as a Markdown table, as JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fastnet._bench.driver import Measurement, median_ratio
from fastnet._bench.workloads import WORKLOADS

from .limits import Limits

LIMIT_LABEL = "limit (arithmetic at peak)"

GOALS = {
    "digits": {"jax-scan": 2.2},
    "higgs": {"torch": 1.9, "jax-scan": 1.3},
    "mnist": {"torch": 1.6, "jax-scan": 1.4},
    "cnn-digits": {"torch": 6},
    "cnn-mnist": {"torch": 2.4},
    "cnn-cifar": {"torch": 2.3},
    "residual": {"torch": 1.9},
    "separable": {"torch": 2.8},
    "conv1d": {"torch": 2.5},
    "lstm": {"torch": 1.8},
    "gru": {"torch": 3},
    "gpt": {"torch": 1.7},
    "transformer": {"torch": 1.8},
    "autoencoder": {"torch": 2.4},
    "softmax": {"torch": 2.2},
}
"""How many times as long as fastnet PyTorch and JAX are to take on one thread of a processor with AVX2."""


def limit_seconds(measurement: Measurement, limits: Limits) -> float:
    """Seconds of a step's matrix products at the measured peak."""
    return WORKLOADS[measurement.workload].flops / (1e9 * limits.gflops)


def _what(measurement: Measurement) -> str:
    return f"Microseconds {'of processor time ' * (measurement.clock == 'cpu')}for a training step"


def _threads(measurement: Measurement) -> str:
    return f"{measurement.threads} thread{'s' * (measurement.threads > 1)}"


def _time(seconds: float) -> str:
    micro = 1e6 * seconds
    return f"{micro:.3g}" if micro < 100 else f"{micro:.0f}"


def markdown(measurements: Sequence[Measurement], peers: Sequence[str], limits: Limits, machine: dict) -> str:
    """The table: microseconds per step, in brackets how many times as long as fastnet, with the spread of fastnet."""
    versions: dict[str, str] = {}
    for measurement in measurements:
        for peer in peers:
            found = measurement.versions.get(peer, {})
            versions |= {name: version for name, version in found.items() if name not in ("python", "numpy", "fastnet")}
    others = [peer for peer in peers if peer != "fastnet"]
    lines = [
        f"{machine['CPU']}, {_threads(measurements[0])}, {machine['instruction set']}, {machine['system']}; "
        f"peak {limits.gflops:.0f} GFLOP/s, {limits.gigabytes:.1f} GB/s ({limits.method}).",
        "",
        ", ".join([f"fastnet {machine['fastnet']}", f"NumPy {machine['NumPy']} ({machine['BLAS']})",
                   *(f"{name} {version}" for name, version in versions.items()), f"Python {machine['Python']}"]) + ".",
        "",
        f"{_what(measurements[0])}, whole epochs with shuffling, float32: medians over repetitions in turns. "
        "In brackets how many times as long as fastnet (median of the ratios within a repetition). "
        "Spread: the middle half of fastnet's repetitions. Limit: the matrix products at the peak.",
        "",
        "| name | network, batch, optimizer | fastnet | spread | " + " | ".join(others) + " | limit | of the limit |",
        "|---|---|" + "---:|" * (len(others) + 4),
    ]  # fmt: skip
    for found in measurements:
        limit = limit_seconds(found, limits)
        ours = "fastnet" in found.seconds
        cells = [found.workload, WORKLOADS[found.workload].description]
        cells += [_time(found.median("fastnet")), f"{found.spread('fastnet'):.0%}"] if ours else ["-", "-"]
        for peer in others:
            if peer not in found.seconds:
                cells.append("-")
            elif ours:
                cells.append(f"{_time(found.median(peer))} ({median_ratio(found, peer, 'fastnet'):.2f})")
            else:
                cells.append(_time(found.median(peer)))
        cells += [_time(limit), f"{limit / found.median('fastnet'):.0%}" if ours else "-"]
        lines.append("| " + " | ".join(cells) + " |")
    failures = [f"- {found.workload}: {text}" for found in measurements for text in found.failed.values()]
    return "\n".join(lines + ([""] + failures if failures else [])) + "\n"


def goals(measurements: Sequence[Measurement], limits: Limits) -> str:
    """The ratios that there are goals for, each beside its goal."""
    names = {"torch": "PyTorch", "jax-scan": "JAX"}
    lines = [
        "| name | fastnet / limit | " + " | ".join(f"{name} / fastnet | goal" for name in names.values()) + " |",
        "|---|" + "---:|" * (1 + 2 * len(names)),
    ]
    for found in measurements:
        ours = "fastnet" in found.seconds
        cells = [found.workload, f"{limit_seconds(found, limits) / found.median('fastnet'):.2f}" if ours else "-"]
        for peer in names:
            measured = ours and peer in found.seconds
            goal = GOALS.get(found.workload, {}).get(peer)
            ratio = median_ratio(found, peer, "fastnet") if measured else 0
            reached = " (reached)" * bool(goal and ratio >= goal)
            cells += [f"{ratio:.2f}" if measured else "-", f"{goal:g}{reached}" if goal else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return (
        "\n".join(["fastnet / limit: how much of the limit's speed; goals are those on one thread with AVX2.", "", *lines]) + "\n"
    )


def write_json(path: Path, measurements: Sequence[Measurement], limits: Limits, machine: dict) -> None:
    """Everything, each repetition of it."""
    found = [
        one.to_dict() | {"limit_microseconds": 1e6 * limit_seconds(one, limits), "flops": WORKLOADS[one.workload].flops}
        for one in measurements
    ]
    content = {"machine": machine, "limits": vars(limits), "measurements": found}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_picture(path: Path, measurements: Sequence[Measurement], peers: Sequence[str], limits: Limits, machine: dict):
    """Bars: how many times as long as fastnet each peer takes, on a logarithmic scale; the limit as a line.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        If fastnet was not measured.
    """
    from matplotlib.figure import Figure

    shown = [found for found in measurements if "fastnet" in found.seconds]
    if not shown:
        raise ValueError("there is nothing to draw: fastnet is not among what was measured")
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axis = figure.add_subplot()
    width = 0.84 / len(peers)
    for i, peer in enumerate(peers):
        places = [(j, found) for j, found in enumerate(shown) if peer in found.seconds]
        at = [j - 0.42 + (i + 0.5) * width for j, _ in places]
        ratios = [median_ratio(found, peer, "fastnet") for _, found in places]
        bars = axis.bar(at, ratios, 0.92 * width, label=peer, color=f"C{i}")
        axis.bar_label(bars, [_time(found.median(peer)) for _, found in places], fontsize=7, rotation=90, padding=3)
    for j, found in enumerate(shown):
        limit = limit_seconds(found, limits) / found.median("fastnet")
        axis.hlines(limit, j - 0.42, j + 0.42, color="black", linestyle=":", linewidth=1.2, label=LIMIT_LABEL if j == 0 else None)
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * 4)
    names = [f"{found.workload}\n" + WORKLOADS[found.workload].description.replace(", ", "\n", 1) for found in shown]
    axis.set_xticks(range(len(shown)), names, fontsize=7)
    axis.set_ylabel("time of a step, in steps of fastnet")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_title(f"{_what(measurements[0])}, {machine['CPU']}, {_threads(measurements[0])}", fontsize=10)
    handles, labels = axis.get_legend_handles_labels()
    first = labels.index(LIMIT_LABEL)
    order = [*range(first), *range(first + 1, len(labels)), first]
    axis.legend(
        [handles[i] for i in order], [labels[i] for i in order], fontsize=8, ncols=len(order), frameon=False, loc="upper center"
    )
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    figure.savefig(path, dpi=150)
