"""The commands for tables with files as other programs write them, and with cells that are large, long or odd."""

import csv

import numpy as np
import pytest
from test_cli_tables import as_json, refused, write

from fastnet._cli.table_files import read_table


def rows(n=60):
    return [[i % 7, "abc"[i % 3], f"{i * 37 % 11 / 3:.3f}", "xy"[i // 3 % 2]] for i in range(n)]


NAMES = ["n", "cat", "z", "y"]


@pytest.mark.parametrize("first", [0, 1])
def test_the_index_of_pandas_is_left_out(first, tmp_path, capsys):
    path = write(tmp_path / "a.csv", [[i + first, *row] for i, row in enumerate(rows())], ["", *NAMES])
    assert list(read_table(path).columns) == NAMES
    found = as_json(capsys, "train", path, "--target", "y", "--epochs", "1", "--model", str(tmp_path / "a.safetensors"))
    assert list(found["columns"]) == NAMES[:-1]
    path = write(tmp_path / "b.csv", [[i * 2, *row] for i, row in enumerate(rows())], ["", *NAMES])
    assert "line 1, column 1: the name of the column is empty" in refused(capsys, "inspect", path)


def test_separators_at_the_ends_of_lines(tmp_path, capsys):
    path = write(tmp_path / "a.csv", [[*row, "", ""] for row in rows()], [*NAMES, "", ""])
    assert list(read_table(path).columns) == NAMES
    path = write(tmp_path / "b.csv", [[*row, "", "q"] for row in rows()], [*NAMES, "", ""])
    assert "line 1, column 6: the name of the column is empty" in refused(capsys, "inspect", path)
    path = write(tmp_path / "c.csv", [["", ""]] * 3, ["", ""])
    assert "empty" in refused(capsys, "inspect", path) or "no columns" in refused(capsys, "inspect", path)


def test_long_cells(tmp_path, capsys):
    limit = csv.field_size_limit()
    path = write(tmp_path / "a.csv", [*rows(), [1, "w" * 300_000, 2, "x"]], NAMES)
    assert len(read_table(path).columns["cat"][-1]) == 300_000 and csv.field_size_limit() == limit
    path = write(tmp_path / "b.csv", [[f"{i}", "x"] for i in range(60)] + [["w" * 5000, "y"]], ["n", "y"])
    text = refused(capsys, "inspect", path)
    assert "is no number" in text and "(5000 characters)" in text and len(text) < 400


@pytest.mark.filterwarnings("error")
def test_numbers_whose_squares_are_infinite(tmp_path, capsys):
    many = [[f"{i * 1e306}", f"{1e-320 * i}", f"{10**30 + i}", "xy"[i % 2]] for i in range(60)]
    path, model = write(tmp_path / "a.csv", many, NAMES), str(tmp_path / "a.safetensors")
    found = as_json(capsys, "train", path, "--target", "y", "--epochs", "2", "--model", model)
    assert set(found["columns"].values()) == {"number"} and np.isfinite(found["curves"]["loss"]).all()
    assert as_json(capsys, "evaluate", model, path)["rows"] == 60


def test_codes_with_underscores_are_no_numbers(tmp_path, capsys):
    path = write(tmp_path / "a.csv", [[f"1_{i % 9}", "xy"[i % 2]] for i in range(60)], ["code", "y"])
    assert as_json(capsys, "inspect", path)["columns"]["code"]["kind"] == "category"
