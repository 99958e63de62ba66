"""``python -m fastnet``: train, predict, evaluate, inspect, export, demo, bench, info."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ._cli.table_arguments import TABLE_COMMANDS, add_table_arguments, positive_integer, positive_number

__all__ = ["main"]

_COMMANDS = {
    **TABLE_COMMANDS,
    "demo": "train a small network on handwritten digits, and the same in plain NumPy",
    "bench": "time training steps of several networks, beside NumPy and other libraries",
    "info": "print version, instruction set, threads and what else a report should name",
}


def _make_parser() -> argparse.ArgumentParser:
    from . import __version__

    parser = argparse.ArgumentParser(prog="fastnet", description="Trains neural networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastnet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    each = {
        name: commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        for name, text in _COMMANDS.items()
    }

    add_table_arguments(each)
    each["demo"].add_argument("--epochs", type=positive_integer, default=30, metavar="N", help="default: %(default)s")
    each["demo"].add_argument("--threads", type=positive_integer, metavar="N", help="threads; default: measured")

    bench = each["bench"]
    bench.add_argument("names", nargs="*", metavar="NAME", help="tiny, digits, higgs, mnist, wide; default: all")
    bench.add_argument("--peers", metavar="NAME,...", help="libraries to compare with; default: those installed here")
    bench.add_argument(
        "--seconds",
        type=positive_number,
        default=0.3,
        metavar="S",
        help="length of each repetition of each library; default: %(default)s",
    )
    bench.add_argument("--repetitions", type=positive_integer, default=7, metavar="N", help="default: %(default)s")
    bench.add_argument("--threads", type=positive_integer, metavar="N", help="threads of all; default: all CPUs")
    bench.add_argument("--json", metavar="FILE", help="write what was measured, each repetition of it")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the process.

    Returns
    -------
    int
        Exit code: 0 success, 1 failure, 130 interrupted. Wrong usage exits with 2.
    """
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        if options.command in TABLE_COMMANDS:
            from ._cli import tables

            run = getattr(tables, f"run_{options.command}")
        elif options.command == "demo":
            from ._cli.demo import run
        elif options.command == "bench":
            from ._cli.bench import run
        else:
            from ._cli.info import run
        code = run(options)
        sys.stdout.flush()
        return code
    except argparse.ArgumentError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output has left; at exit Python would try to write to it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ArithmeticError, ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"fastnet: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
