"""What the commands for tables are told."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

__all__ = ["TABLE_COMMANDS", "add_table_arguments", "positive_integer", "positive_number"]

TABLE_COMMANDS = {
    "train": "train a network on a table: a CSV, TSV or Parquet file",
    "predict": "predict the rows of a file by a model that train wrote",
    "evaluate": "measure a model that train wrote on a file with targets",
    "inspect": "show what the columns of a file are taken for, or what a model reads and predicts",
    "export": "write the network of a model that train wrote as C",
}

_EXAMPLES = {
    "train": """\
examples:
  fastnet train people.csv --target income
      writes people.safetensors; what the columns are, and whether income is
      a class or a number, is recognised and told
  fastnet train people.csv --target income --report people.html
      and a report with pictures
  fastnet train wine.csv --target quality --task regression --model wine.safetensors
  fastnet train adult.data --names age,work,income --target income --ignore work
      a file whose first line does not name the columns
  fastnet train people.csv --target income --test others.csv --json -
      measured on another file, and the result as JSON

Some rows are held out to stop by, and others to measure with, which training never sees. Cells that
are empty, ?, NA, N/A, NaN, null or None are gaps; the network knows what to do with them.""",
    "predict": """\
examples:
  fastnet predict people.safetensors new.csv > predicted.csv
  fastnet predict people.safetensors new.csv --probabilities --output predicted.csv

A line for each row, in their order. Columns are found by name; others than the model reads do not matter.""",
    "evaluate": """\
example:
  fastnet evaluate people.safetensors others.csv --report others.html --json others.json""",
    "inspect": """\
examples:
  fastnet inspect people.csv
  fastnet inspect people.safetensors""",
    "export": """\
example:
  fastnet export people.safetensors people.c
      writes people.c and people.h, C99 without any library, and people.json

The C predicts from numbers, and indices of categories. How these are made of the columns is no part of it: people.json
says what was learnt of each column, and the order of the numbers and indices.""",
}


def _number(convert: Callable[[str], Any], holds: Callable[[Any], bool], what: str) -> Callable[[str], Any]:
    """Reads a number for which something holds; else the error says that the text `what`."""

    def read(text: str) -> Any:
        try:
            number = convert(text)
        except ValueError:
            number = math.nan  # for which none of the following holds
        if not holds(number):
            raise argparse.ArgumentTypeError(f"{text} {what}")
        return number

    return read


positive_number = _number(float, lambda number: 0 < number < math.inf, "is not a positive number")
positive_integer = _number(int, lambda number: number >= 1, "is not a positive integer")
_fraction = _number(float, lambda number: 0 < number < 0.5, "is not between 0 and 0.5")
_rate = _number(float, lambda number: 0 <= number < 1, "is not from 0 to below 1")
_seed = _number(int, lambda number: 0 <= number < 2**63, "is not an integer from 0 to 2**63 - 1")


def _sizes(text: str) -> list[int]:
    try:
        found = [int(one) for one in text.split(",") if one.strip()]
    except ValueError:
        found = [0]
    if any(size < 1 for size in found):
        raise argparse.ArgumentTypeError(f"{text} is no list of positive integers, as 128,64")
    return found


def add_table_arguments(each: dict[str, argparse.ArgumentParser]) -> None:
    """Adds them to the parsers of the commands in `TABLE_COMMANDS`."""
    for name, text in _EXAMPLES.items():
        each[name].epilog, each[name].formatter_class = text, argparse.RawDescriptionHelpFormatter
    listed: dict[str, Any] = {"metavar": "NAME,...", "action": "append"}
    quoted = "; one with a comma in quotes, as in '\"a, b\",c'; may be given several times"
    names = {**listed, "help": f"names of the columns, of a file whose first line does not have them{quoted}"}
    decimal: dict[str, Any] = {
        "choices": [".", ","], "help": "whether numbers may be written as 0,5; default: where commas do not part the cells",
    }  # fmt: skip
    as_json: dict[str, Any] = {"metavar": "FILE", "help": "write the result as JSON; -: to the output, in place of text"}

    train = each["train"]
    train.add_argument("data", metavar="DATA", help="a file ending with .csv, .tsv, .parquet")
    train.add_argument("--target", required=True, metavar="NAME", help="the column to predict")
    train.add_argument("--task", choices=["classification", "regression"], help="default: by what the target is")
    train.add_argument("--model", metavar="FILE", help="where to write the model; default: DATA's name with .safetensors")
    train.add_argument("--names", **names)
    train.add_argument("--decimal", **decimal)
    train.add_argument("--ignore", **listed, help=f"columns to leave out{quoted}")
    train.add_argument(
        "--kind", action="append", metavar="NAME=KIND",
        help="take a column for a number, boolean, date, category, text, or as ignored; may be given several times",
    )  # fmt: skip
    train.add_argument("--test", metavar="FILE", help="measure with this file; default: with rows of DATA that are held out")
    train.add_argument(
        "--test-fraction", type=_fraction, default=0.1, metavar="F", help="held out to measure; default: %(default)s"
    )
    train.add_argument(
        "--validation-fraction", type=_fraction, default=0.1, metavar="F", help="held out to stop by; default: %(default)s"
    )
    train.add_argument("--epochs", type=positive_integer, default=200, metavar="N", help="at most; default: %(default)s")
    train.add_argument(
        "--patience", type=positive_integer, default=10, metavar="N", help="epochs without a better one; default: %(default)s"
    )
    train.add_argument("--layers", type=_sizes, default=[128, 64], metavar="N,...", help="hidden units; default: 128,64")
    train.add_argument("--dropout", type=_rate, default=0.1, metavar="F", help="default: %(default)s")
    train.add_argument(
        "--scaling", choices=["standard", "robust", "piecewise", "periodic"], default="piecewise",
        help="of numbers: by mean and deviation (standard) or median and quartiles (robust), or beside the first their places between "
        "quantiles (piecewise) or waves of them (periodic), which costs time and finds more; default: %(default)s",
    )  # fmt: skip
    train.add_argument("--batch-size", type=positive_integer, metavar="N", help="default: by the number of rows, 16 to 256")
    train.add_argument("--learning-rate", type=positive_number, default=1e-3, metavar="F", help="of Adam; default: %(default)s")
    train.add_argument("--seed", type=_seed, default=0, metavar="N", help="the same seed, the same model; default: %(default)s")
    train.add_argument("--threads", type=positive_integer, metavar="N", help="threads; default: measured")
    train.add_argument("--quiet", action="store_true", help="no bar of progress")
    report: dict[str, Any] = {"metavar": "FILE", "help": "write a report as HTML with pictures inside; needs matplotlib"}
    train.add_argument("--report", **report)
    train.add_argument("--json", **as_json)

    for name in ("predict", "evaluate"):
        each[name].add_argument("model", metavar="MODEL", help="a file that train wrote")
        each[name].add_argument("data", metavar="DATA", help="a file ending with .csv, .tsv, .parquet")
        each[name].add_argument("--names", **names)
        each[name].add_argument("--decimal", **decimal)
    each["predict"].add_argument("--output", metavar="FILE", help="write CSV there; default: to the output")
    each["predict"].add_argument("--probabilities", action="store_true", help="of each class, too")
    each["evaluate"].add_argument("--report", **report)
    each["evaluate"].add_argument("--json", **as_json)

    each["inspect"].add_argument("file", metavar="FILE", help="a table, or a .safetensors file that train wrote")
    each["inspect"].add_argument("--names", **names)
    each["inspect"].add_argument("--decimal", **decimal)
    each["inspect"].add_argument("--json", **as_json)

    each["export"].add_argument("model", metavar="MODEL", help="a file that train wrote")
    each["export"].add_argument("output", metavar="FILE", help="ends with .c")
