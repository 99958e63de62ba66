"""Command line of ``python -m bench.peers``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from fastnet import _core
from fastnet._bench import PEERS
from fastnet._bench.driver import measure
from fastnet._bench.workloads import WORKLOADS
from fastnet._cli.machine import facts

from . import environments, limits, report

DEFAULT_PEERS = ("fastnet", "numpy", "torch", "jax-scan", "sklearn", "keras")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description="Times fastnet and other libraries on the same training, each in a process of its own, in turns.",
    )
    parser.add_argument(
        "--networks", default=",".join(WORKLOADS), metavar="NAME,...", help="which; default: all, that is %(default)s"
    )
    parser.add_argument(
        "--peers", default=",".join(DEFAULT_PEERS), metavar="NAME,...", help=f"of {', '.join(PEERS)}; default: %(default)s"
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PEER=PATH",
        help="interpreter of a peer, or of a family such as jax; may be repeated",
    )
    parser.add_argument("--install", action="store_true", help="make virtual environments for the others")
    parser.add_argument(
        "--cache",
        type=Path,
        default=environments.default_cache(),
        metavar="FOLDER",
        help="where these are kept; default: %(default)s",
    )
    parser.add_argument("--pip-arguments", default="", metavar="TEXT", help='such as "--index-url URL"')
    parser.add_argument(
        "--threads", type=int, default=_core.default_threads(), metavar="N", help="of each peer; default: %(default)s"
    )
    parser.add_argument(
        "--seconds", type=float, default=0.3, metavar="S", help="of one repetition of one peer; default: %(default)s"
    )
    parser.add_argument("--repetitions", type=int, default=9, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--limit", type=float, default=10, metavar="S",
        help="a library whose turns on a network have taken so many seconds has no more of it; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time instead of elapsed time: for --threads 1 on a busy machine"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw bars (needs matplotlib)")
    options = parser.parse_args()
    options.names, options.peers = (
        list(dict.fromkeys(filter(None, text.split(",")))) for text in (options.networks, options.peers)
    )
    for given, known in ((options.names, WORKLOADS), (options.peers, PEERS)):
        for name in given:
            if name not in known:
                parser.error(f"unknown name {name!r}; known: {', '.join(known)}")
    for text in options.python:
        if "=" not in text:
            parser.error(f"--python {text}: expected PEER=PATH")
    if options.threads < 1 or options.repetitions < 1 or not options.seconds > 0:
        parser.error("threads, repetitions and seconds must be positive")
    return options


def show(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> int:
    options = parse()
    given = dict(text.split("=", 1) for text in options.python)
    pythons, missing = environments.choose(
        options.peers, given, options.install, options.cache, shlex.split(options.pip_arguments)
    )
    for text in missing.values():
        show(f"left out: {text}")
    peers = [peer for peer in options.peers if peer not in missing]
    show("measuring the limits of this machine")
    peak = limits.measure(options.threads)
    machine = facts()
    measurements = [
        measure(WORKLOADS[name], peers, threads=options.threads, seconds=options.seconds,
                repetitions=options.repetitions, limit=options.limit, clock="cpu" if options.cpu_time else "elapsed", pythons=pythons,
                report=show)
        for name in options.names
    ]  # fmt: skip
    table = report.markdown(measurements, peers, peak, machine) + "\n" + report.goals(measurements, peak)
    print(table, end="")
    if options.markdown:
        options.markdown.write_text(table, encoding="utf-8")
    if options.json:
        report.write_json(options.json, measurements, peak, machine)
    if options.png:
        try:
            report.write_picture(options.png, measurements, peers, peak, machine)
        except (ImportError, ValueError) as error:
            show(f"no picture: {error}")
            return 1
    return 1 if any(found.failed for found in measurements) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
