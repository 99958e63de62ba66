"""The commands for tables: numbers with decimal commas, and names of columns with commas."""

import numpy as np
import pytest
from test_cli_tables import as_json, metric_of, refused, rows_of_people, write

from fastnet.__main__ import main
from fastnet._cli.table_files import read_table


def comma_rows(n=120):
    """Numbers as they are written in much of Europe; the target is one of them."""
    rng = np.random.default_rng(4)
    for i in range(n):
        a, b = rng.normal(0, 3), rng.uniform(500, 90_000)
        grouped = f"{b:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
        yield [
            f"{a:.3f}".replace(".", ","),
            "?" if i % 11 == 3 else grouped,
            ["1,5", "2"][i % 2],
            f"{2 * a - 1:.4e}".replace(".", ","),
        ]


COMMA_NAMES = ["a", "price, gross", "size", "y"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_decimal_commas(delimiter, tmp_path, capsys):
    path = write(tmp_path / "rows.csv", comma_rows(), COMMA_NAMES, delimiter)
    table = read_table(path)
    for name, place in (("a", 0), ("price, gross", 1), ("y", 3)):
        numbers, wrong = table.numbers(name)
        texts = [row[place] for row in comma_rows()]
        expected = [np.nan if text == "?" else float(text.replace(".", "").replace(",", ".")) for text in texts]
        np.testing.assert_array_equal(numbers, expected)
        assert not len(wrong)
    found = as_json(capsys, "inspect", path)
    assert [one["kind"] for one in found["columns"].values()] == ["number"] * 4
    model = str(tmp_path / "net.safetensors")
    options = ["--target", "y", "--epochs", "60", "--learning-rate", "0.03", "--model", model, "--quiet"]
    trained = as_json(capsys, "train", path, *options)
    assert trained["task"] == "regression" and metric_of(trained, "r2") > 0.8
    assert main(["predict", model, path]) == 0
    of_commas = capsys.readouterr().out
    points = [[text.replace(".", "").replace(",", ".") for text in row] for row in comma_rows()]
    assert main(["predict", model, write(tmp_path / "points.csv", points, COMMA_NAMES)]) == 0
    assert capsys.readouterr().out == of_commas
    found = as_json(capsys, "inspect", path, "--decimal", ".")
    assert {found["columns"][name]["kind"] for name in ("a", "price, gross", "y")} <= {"category", "ignored"}


def test_decimal_commas_in_quotes_are_asked_for(tmp_path, capsys):
    path = write(tmp_path / "rows.csv", comma_rows(), COMMA_NAMES)
    assert as_json(capsys, "inspect", path)["columns"]["size"]["kind"] == "category"
    found = as_json(capsys, "inspect", path, "--decimal", ",")
    assert [one["kind"] for one in found["columns"].values()] == ["number"] * 4


@pytest.mark.parametrize(
    "cell, at",
    [("1.5", "'1.5' is no number"), ("12.34,5", "'12.34,5' is no number"), ("0,5,5", "no number"), ("x", "'x' is no number")],
)
def test_a_cell_among_decimal_commas_that_is_none(cell, at, tmp_path, capsys):
    path = write(tmp_path / "rows.csv", [["0,5", 1]] * 30 + [[cell, 1]], ["a", "b"], ";")
    assert at in refused(capsys, "inspect", path) and "line 32, column 'a'" in refused(capsys, "inspect", path)


def test_lists_of_numbers_are_no_numbers(tmp_path, capsys):
    """Nor are numbers with points, beside a column of others."""
    rows = [["1,2,3", "1.5", "0,5"], ["2,3", "1.234", "1,0"], ["3,4,5", "7", "3"]] * 5
    table = read_table(write(tmp_path / "rows.csv", rows, ["list", "point", "comma"], ";"))
    assert len(table.numbers("list")[1]) == 15 or np.isnan(table.numbers("list")[0]).any()
    np.testing.assert_array_equal(table.numbers("point")[0][:3], [1.5, 1.234, 7])
    np.testing.assert_array_equal(table.numbers("comma")[0][:3], [0.5, 1, 3])


def test_files_without_names_are_parted_by_what_fits_the_names(tmp_path):
    path = write(tmp_path / "rows.csv", [["0,5", "1,5", "2,5"]] * 3, None, ";")
    table = read_table(path, ["a", "b", "c"])
    assert [table.numbers(name)[0][0] for name in "abc"] == [0.5, 1.5, 2.5]
    path = write(tmp_path / "quoted.csv", [[1, 2]], ["a;b;c;d", "e"])
    assert list(read_table(path).columns) == ["a;b;c;d", "e"]
    path = write(tmp_path / "one.csv", [["0,5"]], ["a"], ";")
    assert read_table(path, decimal=",").numbers("a")[0].tolist() == [0.5]
    with pytest.raises(ValueError, match="2 cells"):  # which may be of a file whose names are broken
        read_table(path)


@pytest.mark.parametrize(
    "ignored",
    [['"last, first"', "owner"], ['owner,"last, first"'], ['"last, first" , owner'], ['"owner"', '"last, first",'[:-1]]],
)
def test_names_with_commas(ignored, tmp_path, capsys):
    path = write(tmp_path / "rows.csv", rows_of_people(), ["age", "last, first", "since", "owner", "income", "price"])
    options = ["--target", "price", "--epochs", "1", "--model", str(tmp_path / "net.safetensors")]
    options += [part for one in ignored for part in ("--ignore", one)]
    assert list(as_json(capsys, "train", path, *options)["columns"]) == ["age", "since", "income"]
    bare = write(tmp_path / "bare.csv", rows_of_people(), None)
    names = ["--names", 'age,"last, first",since', "--names", "owner,income,price"]
    assert list(as_json(capsys, "train", bare, *options, *names)["columns"]) == ["age", "since", "income"]


def test_a_name_with_a_comma_that_is_not_quoted(tmp_path, capsys):
    path = write(tmp_path / "rows.csv", rows_of_people(), ["age", "last, first", "since", "owner", "income", "price"])
    text = refused(capsys, "train", path, "--target", "price", "--ignore", "last, first")
    assert "no column 'last'" in text and "quotes" in text
