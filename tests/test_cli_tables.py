"""The commands for tables: train, predict, evaluate, inspect, with right and with wrong files."""

import base64
import csv
import ctypes
import datetime
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from exports import compile_text

import fastnet as fn
from fastnet.__main__ import main
from fastnet._cli.table_files import read_table
from fastnet._cli.table_metrics import calibration, confusion, importances, measure
from fastnet._scaling import SCALINGS

N = 240


def rows_of_people(seed=0, n=N):
    """Age with gaps, town, day, a name for each row, income by age and town, price by age."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        age, town = int(rng.integers(18, 80)), str(rng.choice(["Rome", "Bern, old", "Oslo"]))
        income = ">50K" if age + 20 * (town == "Rome") > 55 else "<=50K"
        price = round(3 * age + 40 * (town == "Oslo") + float(rng.normal()), 2)
        yield ["?" if i % 17 == 5 else age, town, f"2024-{1 + i % 12:02}-11", f"name {i}", income, price]


NAMES = ["age", "town", "since", "owner", "income", "price"]


def write(path, rows, names=NAMES, delimiter=","):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([names, *rows] if names else rows)
    return str(path)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "people.csv", rows_of_people())


@pytest.fixture(scope="module")
def classifier(people):
    path = people.replace("people.csv", "classifier.safetensors")
    ignored = ["--ignore", "price,owner", "--learning-rate", "0.01", "--quiet"]
    assert main(["train", people, "--target", "income", "--model", path, "--epochs", "40", *ignored]) == 0
    return path


def refused(capsys, *arguments):
    """The message of a command that fails with exit code 1."""
    assert main(list(arguments)) == 1
    output = capsys.readouterr()
    assert not output.out and output.err.startswith("fastnet: error: ") and "Traceback" not in output.err
    return output.err.removeprefix("fastnet: error: ").strip()


def metric_of(found, name):
    return found["metrics"][name]["value"]


def as_json(capsys, *arguments):
    assert main([*arguments, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_train_tells_what_it_does(people, tmp_path, capsys):
    path = str(tmp_path / "net.safetensors")
    assert main(["train", people, "--target", "income", "--model", path, "--epochs", "3", "--quiet"]) == 0
    output = capsys.readouterr()
    for text in (
        f"{people}: {N} rows, 6 columns", "classification, 2 classes", "  age: number", "  town: category", "  since: date",
        "  owner: ignored", "3 epochs", "accuracy", "confusion", "importances", f"written: {path}",
    ):  # fmt: skip
        assert text in output.out
    assert not output.err


def test_train_as_json(people, tmp_path, capsys):
    """Of numbers, with the seed's result, early stopping, and what is left out."""
    arguments = ["train", people, "--target", "price", "--ignore", "income,owner", "--learning-rate", "0.03", "--patience", "3"]
    arguments += ["--layers", "16", "--dropout", "0", "--seed", "5", "--model"]
    found = as_json(capsys, *arguments, str(tmp_path / "a.safetensors"))
    again = as_json(capsys, *arguments, str(tmp_path / "b.safetensors"))
    assert found.pop("model") != again.pop("model") and found == again
    assert found["task"] == "regression" and found["classes"] is None and list(found["columns"]) == ["age", "town", "since"]
    assert found["train_rows"] + found["validation_rows"] + found["rows"] == N
    assert found["epochs"] == len(found["curves"]["loss"]) == found["best_epoch"] + 3 < 200
    metric = found["metrics"]["r2"]
    assert metric["low"] <= metric["value"] <= metric["high"] and metric["value"] > 0.7
    assert next(iter(found["importances"])) == "age"
    assert main(["predict", str(tmp_path / "a.safetensors"), people]) == 0
    header, *values = capsys.readouterr().out.split()
    errors = np.array(values, float) - np.array([row[5] for row in rows_of_people()])
    assert header == "predicted_price" and np.sqrt(np.mean(errors**2)) < 3 * metric_of(found, "rmse")
    assert "no classes" in refused(capsys, "predict", str(tmp_path / "a.safetensors"), people, "--probabilities")


def test_scalings_are_those_of_the_estimators(people, tmp_path, capsys):
    """The network behind the columns gets the features that `Scaling` makes of the rows to train with."""
    path = str(tmp_path / "net.safetensors")
    for kind in SCALINGS:
        arguments = [
            "train",
            people,
            "--target",
            "price",
            "--ignore",
            "income,owner",
            "--model",
            path,
            "--epochs",
            "1",
            "--quiet",
        ]
        assert main(arguments + ["--scaling", kind]) == 0
        model = fn.models.load_model(path)
        encoder = next(layer for layer in model.layers if isinstance(layer, fn.utils.TableEncoder))
        first = next(layer for layer in model.layers if isinstance(layer, fn.layers.Dense))
        more = first.input.shape[-1] - len(encoder.feature_names)
        assert 16 + 8 < more <= 32 + 11 if kind == "piecewise" else more == (2 * 16 if kind == "periodic" else 0)  # age, month
        table = read_table(people)
        rows = {name: table.numbers("age")[0] if name == "age" else table.column(name) for name in ("age", "town", "since")}
        prices = model.predict(rows, verbose=0)[:5]
        capsys.readouterr()
        assert main(["predict", path, people]) == 0
        np.testing.assert_allclose([float(one) for one in capsys.readouterr().out.split()[1:6]], prices[:, 0], rtol=1e-5)


def test_predictions_are_those_of_the_saved_model(people, classifier, tmp_path, capsys):
    """`load_model` and Python's csv by themselves, on rows with other columns in another order."""
    new = list(rows_of_people(seed=1, n=50))
    path = write(tmp_path / "new.tsv", [row[::-1] for row in new], NAMES[::-1], "\t")
    output = str(tmp_path / "predicted.csv")
    assert main(["predict", classifier, path, "--probabilities", "--output", output]) == 0
    assert "50 predictions" in capsys.readouterr().err
    with open(output, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["predicted_income", "probability_<=50K", "probability_>50K"]
    table = {"age": [np.nan if row[0] == "?" else float(row[0]) for row in new], "town": [row[1] for row in new]}
    expected = fn.models.load_model(classifier).predict({**table, "since": [row[2] for row in new]})
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), expected, rtol=1e-4, atol=1e-6)
    assert [row[0] for row in rows] == [["<=50K", ">50K"][i] for i in expected.argmax(1)]
    assert main(["predict", classifier, path]) == 0
    assert capsys.readouterr().out.splitlines() == ["predicted_income", *(row[0] for row in rows)]

    found = as_json(capsys, "evaluate", classifier, path)
    right = np.mean([row[0] == given[4] for row, given in zip(rows, new)])
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(right) and right > 0.85
    assert sum(map(sum, found["confusion"])) == sum(one["rows"] for one in found["calibration"]) == found["rows"] == 50
    assert main(["evaluate", classifier, path]) == 0
    assert f"accuracy{right:20.4g}" in capsys.readouterr().out


def test_inspect(people, classifier, tmp_path, capsys):
    found = as_json(capsys, "inspect", people)
    assert found["rows"] == N and found["columns"]["age"]["gaps"] == 14 and found["columns"]["town"]["different"] == 3
    assert {name: one["kind"] for name, one in found["columns"].items()} == {
        "age": "number", "town": "category", "since": "date", "owner": "ignored", "income": "category", "price": "number"
    }  # fmt: skip
    target = tmp_path / "said.json"
    assert main(["inspect", classifier, "--json", str(target)]) == 0
    assert "classes: <=50K, >50K" in capsys.readouterr().out
    said = json.loads(target.read_text())
    assert said["target"] == "income" and list(said["columns"]) == ["age", "town", "since"]
    fn.Sequential([fn.Input((2,)), fn.layers.Dense(1)]).save(tmp_path / "other.safetensors")
    assert "no model that `fastnet train` wrote" in refused(capsys, "inspect", str(tmp_path / "other.safetensors"))


def test_parquet_and_names(people, tmp_path, capsys):
    table = pytest.importorskip("pyarrow.csv").read_csv(people)
    from pyarrow import parquet

    path = str(tmp_path / "people.parquet")
    parquet.write_table(table, path)
    columns = as_json(capsys, "inspect", path)["columns"]
    assert columns["price"]["kind"] == "number" and columns["since"]["kind"] == "date" and columns["town"]["different"] == 3
    model = str(tmp_path / "net.safetensors")
    found = as_json(capsys, "train", path, "--target", "price", "--epochs", "2", "--model", model)
    assert found["task"] == "regression"
    assert "row 6, column 'age': '?' is no number" in refused(capsys, "train", path, "--target", "age", "--task", "regression")
    assert "Parquet name their columns" in refused(capsys, "inspect", path, "--names", "a,b")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    assert "broken.parquet" in refused(capsys, "inspect", str(tmp_path / "broken.parquet"))


DAY = np.datetime64("2024-05-01T12:00", "us")


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        ([True, False] * 15, "boolean", ["False", "True"]),
        ([True, False, None] * 10, "boolean", ["False", "True"]),
        ([10.0, 9.0, np.nan] * 10, "number", ["9", "10"]),
        ([b"no", b"yes"] * 15, "category", ["no", "yes"]),
        ([[1], [2, 3]] * 15, "category", ["[1]", "[2 3]"]),
        ([datetime.timedelta(hours=1), datetime.timedelta(seconds=2)] * 15, "number", ["2", "3600"]),
        ([DAY, None, DAY + 60_000_000] * 10, "date", ["2024-05-01T12:00:00.000000", "2024-05-01T12:01:00.000000"]),
    ],
    ids=["booleans", "booleans with gaps", "numbers", "bytes", "lists", "spans", "times"],
)
def test_columns_of_parquet_as_they_are_and_as_targets(values, kind, classes, tmp_path, capsys):
    """Of every type: what a column holds is the same for `inspect`, as an input, and as a target."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path, model = str(tmp_path / "a.parquet"), str(tmp_path / "net.safetensors")
    parquet.write_table(arrow.table({"x": np.arange(30.0), "y": arrow.array(values, from_pandas=True)}), path)
    gaps = sum(one is None or (isinstance(one, float) and np.isnan(one)) for one in values)
    assert as_json(capsys, "inspect", path)["columns"]["y"] == {"kind": kind, "gaps": gaps, "different": 2}
    found = as_json(capsys, "train", path, "--target", "y", "--epochs", "1", "--model", model)
    assert found["task"] == "classification" and as_json(capsys, "inspect", model)["classes"] == classes
    assert as_json(capsys, "train", path, "--target", "x", "--epochs", "1", "--model", model)["task"] == "regression"
    assert as_json(capsys, "inspect", model)["columns"]["y"]["kind"] == kind


def test_names_separators_and_lines(tmp_path):
    """A file without names, with semicolons, an empty line, a cell with a line break: rows know their lines."""
    path = tmp_path / "a.csv"
    path.write_text('1; "x\ny"\n\n2;nan\n', encoding="utf-8-sig")
    table = read_table(path, ["number", "text"])
    assert table.columns["number"].tolist() == ["1", "2"] and table.columns["text"].tolist() == ["x\ny", ""]
    assert table.lines.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "FILE is empty"),
        (b"\n \n", "FILE is empty"),
        (b"a,y\n", "FILE has no rows"),
        (b"a,y\n1,2\n3\n", "FILE, line 3, after column 'a': the line has 1 cells, there are 2 columns"),
        (b"a,y\n1,2\n3,4,5\n", "FILE, line 3, column 3: the line has 3 cells, there are 2 columns"),
        (b'a,y\n1,2\n"3,4\n5,6\n', "FILE, line 3: unexpected end of data"),
        (b"a,a\n1,2\n", "FILE, line 1, column 2: 'a' is the name of column 1 too"),
        (b"a,\n1,2\n", "FILE, line 1, column 2: the name of the column is empty"),
        (b"a,y\n1,2\n\xff,2\n", "FILE, line 3: byte 0xff is no UTF-8"),
        (b"a,b\n1,2\n", "FILE has no column 'y'; its columns are a, b"),
        (b"y\n1\n2\n", "FILE has no columns but the target 'y'"),
        (b"a,y\n1,yes\n2,yes\n", "FILE, column 'y': the target has one class only, 'yes'"),
        (b"a,y\n1,\n2,?\n", "FILE, column 'y': the target is empty in all rows"),
        (b"a,y\n" + b"1,0.5\n" * 20 + b"oops,0.25\n", "FILE, line 22, column 'a': 'oops' is no number; if it is not meant"),
        (b"a,y\n1,2\n2,3\n", "FILE has 2 rows with a target: too few"),
        (b"a,y\n" + b"1,0.5\n1,0.25\n" * 20 + b"2,inf\n", "FILE, line 42, column 'y': the target is not finite"),
        (
            b"a,y\n" + b"1,0.5\n2,0.25\n" * 20 + b"1e400,1\n",
            "FILE, line 42, column 'a': '1e400' is not finite; if it is not meant",
        ),
        (b"a,y\n" + b"2024-01-01,0.5\n" * 300 + b"2024-13-01,0.1\n", "FILE, line 302, column 'a': '2024-13-01' is no date"),
    ],
)
def test_files_that_are_wrong(content, message, tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert refused(capsys, "train", str(path), "--target", "y").startswith(message.replace("FILE", str(path)))
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]


def test_wrong_arguments(people, classifier, tmp_path, capsys):
    train = ["train", people, "--target", "income"]
    for more, message in (
        (["--kind", "age"], "--kind age: expected COLUMN=KIND"),
        (["--kind", "aeg=number"], "has no column 'aeg'"),
        (["--kind", "age=figure"], "'figure'"),
        (["--kind", "town=number"], "people.csv, line 2, column 'town': "),
        (["--ignore", "aeg"], "has no column 'aeg'"),
        (["--ignore", "income"], "'income' is the target"),
        (["--model", "net.bin"], "ends with .safetensors"),
        (["--model", str(tmp_path / "no" / "net.safetensors")], "there is no folder"),
        (["--task", "regression"], "people.csv, line 2, column 'income': "),
        (["--test", str(tmp_path / "no.csv")], "no.csv"),
    ):
        assert message in refused(capsys, *train, *more)
    for arguments in (["--epochs", "0"], ["--layers", "8,x"], ["--dropout", "1"], ["--test-fraction", "0.7"]):
        with pytest.raises(SystemExit) as caught:
            main([*train, *arguments])
        assert caught.value.code == 2 and arguments[1] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_what_cannot_be_written_is_told_before_the_work(command, people, classifier, tmp_path, capsys, monkeypatch):
    def work(*_arguments):
        raise AssertionError("the data are read, though the result cannot be written")

    monkeypatch.setattr("fastnet._cli.tables.read_table", work)
    of = {"train": (people, "--target", "income"), "evaluate": (classifier, people), "predict": (classifier, people)}[command]
    options = {"train": ("--model", "--json", "--report"), "evaluate": ("--json", "--report"), "predict": ("--output",)}[command]
    folder = tmp_path / "a.safetensors"
    folder.mkdir()
    for option in options:
        assert f"{folder} is a folder" in refused(capsys, command, *of, option, str(folder))
        assert "there is no folder" in refused(capsys, command, *of, option, str(tmp_path / "no" / "a.safetensors"))


@pytest.mark.parametrize(
    ("option", "wrong", "message"),
    [
        ("--epochs", ["x", "1.5", ""], "is not a positive integer"),
        ("--batch-size", ["0", "x"], "is not a positive integer"),
        ("--learning-rate", ["x", "0", "inf", "nan"], "is not a positive number"),
        ("--test-fraction", ["x", "nan", "0.5"], "is not between 0 and 0.5"),
        ("--dropout", ["x", "nan", "-1"], "is not from 0 to below 1"),
        ("--seed", ["x", "-1", str(2**63)], "is not an integer from 0 to 2**63 - 1"),
    ],
)
def test_numbers_that_are_none_are_wrong_arguments_that_say_what_is_expected(option, wrong, message, people, capsys):
    for text in wrong:
        with pytest.raises(SystemExit) as caught:
            main(["train", people, "--target", "income", f"{option}={text}"])
        assert caught.value.code == 2 and f"argument {option}: {text} {message}" in capsys.readouterr().err


@pytest.mark.parametrize(("target", "place"), [("income", 4), ("price", 5)])
def test_rows_without_a_target_are_left_out_by_all_commands(target, place, tmp_path, capsys):
    """By `train`, of the rows to train with and those of --test, and by `evaluate`, whose measures are those of the other rows."""
    rows = list(rows_of_people())
    gaps = [row if i % 30 != 7 else [*row[:place], "", *row[place + 1 :]] for i, row in enumerate(rows)]
    whole, kept = write(tmp_path / "gaps.csv", gaps), write(tmp_path / "kept.csv", [row for row in gaps if row[place] != ""])
    model = str(tmp_path / "net.safetensors")
    arguments = ["--target", target, "--epochs", "3", "--ignore", "owner," + {"income": "price", "price": "income"}[target]]
    trained = as_json(capsys, "train", whole, "--test", whole, *arguments, "--model", model)
    assert trained["left_out"] == 8 and trained["rows"] == N - 8
    found, expected = as_json(capsys, "evaluate", model, whole), as_json(capsys, "evaluate", model, kept)
    assert found.pop("left_out") == 8 and expected.pop("left_out") == 0
    assert found.pop("data") != expected.pop("data") and found == expected
    assert found["metrics"] == trained["metrics"]
    assert main(["evaluate", model, whole]) == 0
    assert f"gaps.csv: {N - 8} rows; 8 rows without {target!r} are left out" in capsys.readouterr().out
    assert main(["evaluate", model, kept]) == 0
    assert "left out" not in capsys.readouterr().out
    assert main(["train", whole, "--test", whole, *arguments, "--model", model]) == 0
    assert f"{N - 8} to measure with; 8 rows without {target!r} are left out" in capsys.readouterr().out
    none = write(tmp_path / "none.csv", [[*row[:place], "", *row[place + 1 :]] for row in rows[:5]])
    assert f"none.csv, column {target!r}: the target is empty in all rows" in refused(capsys, "evaluate", model, none)


def test_files_that_do_not_fit_the_model(classifier, tmp_path, capsys):
    def file(old, new):
        lines = [
            f"age,town,since,income\n{30 + i},Rome,2024-01-01,>50K" if i == 0 else f"{30 + i},Rome,2024-01-01,>50K"
            for i in range(9)
        ]
        path = tmp_path / "b.csv"
        path.write_text("\n".join(lines).replace(old, new))
        return str(path)

    assert "b.csv has no column 'town'; its columns are age, city" in refused(capsys, "predict", classifier, file("town", "city"))
    assert "b.csv, line 5, column 'age': '33x' is no number" in refused(capsys, "predict", classifier, file("33,", "33x,"))
    wrong = file("32,Rome,2024-01-01", "32,Rome,yesterday")
    assert "b.csv, line 4, column 'since': 'yesterday' is no date" in refused(capsys, "evaluate", classifier, wrong)
    wrong = file("32,Rome,2024-01-01,>50K", "32,Rome,2024-01-01,much")
    assert "b.csv, line 4, column 'income': 'much' is none of the classes" in refused(capsys, "evaluate", classifier, wrong)
    assert "has no column 'income'" in refused(capsys, "evaluate", classifier, file("income", "wealth"))
    assert main(["predict", classifier, file("Rome", "Utopia")]) == 0  # an unknown category has a place
    capsys.readouterr()
    assert "no.safetensors" in refused(capsys, "predict", str(tmp_path / "no.safetensors"), file("", ""))
    assert "b.csv" in refused(capsys, "predict", file("", ""), file("", ""))


def test_metrics():
    """By their definitions, each pair and each row by itself."""
    rng = np.random.default_rng(3)
    y, p = rng.integers(0, 2, 60), np.round(rng.random(60), 1)
    both = np.column_stack([1 - p, p])
    found = {name: one["value"] for name, one in measure(y, both).items()}
    pairs = [(a > b) + 0.5 * (a == b) for a in p[y == 1] for b in p[y == 0]]
    assert found["auc"] == pytest.approx(np.mean(pairs))
    taken = [int(one > 0.5) for one in p]
    assert found["accuracy"] == pytest.approx(np.mean([a == b for a, b in zip(taken, y)]))
    recalls = [np.mean([a == one for a, b in zip(taken, y) if b == one]) for one in (0, 1)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert confusion(y, both).tolist() == [[sum(a == j and b == i for a, b in zip(taken, y)) for j in (0, 1)] for i in (0, 1)]
    parts = calibration(y, both)
    assert sum(one["rows"] * one["accuracy"] for one in parts) == pytest.approx(60 * found["accuracy"])
    x, z = rng.normal(size=4000), rng.normal(size=4000)
    numbers = measure(x, x + 0.5 * z)
    assert numbers["rmse"]["value"] == pytest.approx(np.sqrt(np.mean(0.25 * z**2))) and numbers["r2"]["value"] == pytest.approx(
        1 - np.sum(0.25 * z**2) / np.sum((x - x.mean()) ** 2)
    )
    # The deviation of the mean of |e| is sqrt((1 - 2 / pi) / n) * 0.5.
    width = numbers["mae"]["high"] - numbers["mae"]["low"]
    assert width == pytest.approx(2 * 1.96 * 0.5 * np.sqrt((1 - 2 / np.pi) / 4000), rel=0.25)
    falls = importances(lambda table: table["a"], {"b": z, "a": x}, x)  # R2 of a permutation is -1 where the mean is 0
    assert list(falls) == ["a", "b"] and falls["a"] == pytest.approx(2, rel=0.1) and falls["b"] == 0


class Page(HTMLParser):
    """The tags that are open, the text and the pictures of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.pictures = [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            begin, data = dict(attributes)["src"].split(",")
            assert begin == "data:image/png;base64"
            self.pictures.append(base64.b64decode(data, validate=True))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"|{data}|"


def test_report(tmp_path, capsys):
    """Is one whole page with its pictures inside, whatever columns and classes are called."""
    pytest.importorskip("matplotlib")
    names = ["<script>alert(1)</script>", "a $x_ & $", "since", "owner", "<b>income</b>", "price"]
    data = write(tmp_path / "odd.csv", rows_of_people(), names)
    model, report = str(tmp_path / "net.safetensors"), tmp_path / "report.html"
    train = ["train", data, "--model", model, "--epochs", "2", "--target"]
    found = as_json(capsys, *train, names[4], "--report", str(report))
    text = report.read_text()
    page = Page(text)
    assert not page.open and len(page.pictures) == 4 and "<script" not in text and "<b>" not in text
    assert all(one.startswith(b"\x89PNG") and one.endswith(b"IEND\xaeB`\x82") for one in page.pictures)
    for one in (*names[:4], names[4], f"{metric_of(found, 'accuracy'):.4g}", data, "Calibration", "Confusion"):
        assert f"|{one}|" in page.text
    assert not re.search(r'(src|href)=(?!"data:)', text)
    report.unlink()
    assert main(["evaluate", model, data, "--report", str(report)]) == 0
    assert len(Page(report.read_text()).pictures) == 3  # no curves
    assert main([*train, "price", "--report", str(report)]) == 0
    page = Page(report.read_text())
    assert len(page.pictures) == 3 and "|Predictions|" in page.text and "|Confusion|" not in page.text
    capsys.readouterr()
    assert "there is no folder" in refused(capsys, *train, "price", "--report", str(tmp_path / "no" / "r.html"))


@pytest.mark.parametrize("target", ["income", "price"])
def test_export(target, tmp_path, capsys):
    """What the C says of numbers and indices that the encoder makes is what `predict` writes."""
    towns = [f"town {i}" for i in range(12)]  # more than are one-hot
    rows = [[row[0], towns[i % 12], *row[2:]] for i, row in enumerate(rows_of_people())]
    data, model = write(tmp_path / "people.csv", rows), str(tmp_path / "net.safetensors")
    assert main(["train", data, "--target", target, "--model", model, "--epochs", "3", "--quiet"]) == 0
    assert main(["export", model, str(tmp_path / "people.c")]) == 0
    assert "people.h" in capsys.readouterr().out and "people_predict(" in (tmp_path / "people.h").read_text()
    said = json.loads((tmp_path / "people.json").read_text())
    encoder = next(one for one in fn.models.load_model(model).layers if isinstance(one, fn.utils.TableEncoder))
    assert said["target"] == target and said["columns"] == json.loads(json.dumps(encoder.columns))
    assert said["numbers"] == encoder.feature_names and said["indices"] == {"town": 13}
    table = {name: list(column) for name, column in zip(NAMES, zip(*rows))}
    table["age"] = [np.nan if one == "?" else one for one in table["age"]]
    numbers, indices = (
        np.ascontiguousarray(one, np.float32) for one in fn.utils.TableEncoder(columns=encoder.columns).transform(table)
    )
    predict = compile_text((tmp_path / "people.c").read_text(), flags=[f"-I{tmp_path}"]).people_predict
    y, memory = np.zeros((5, len(said["classes"] or [0])), np.float32), np.zeros(100_000, np.float32)
    for i in range(5):
        predict(*(ctypes.c_void_p(one.ctypes.data) for one in (numbers[i], indices[i], y[i], memory)))
    arguments = ["--probabilities"] if said["classes"] else []
    assert main(["predict", model, data, *arguments]) == 0
    written = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:6]]
    np.testing.assert_allclose(y, np.array([row[-y.shape[1] :] for row in written], float), rtol=1e-4, atol=1e-5)
    assert "ends with .c" in refused(capsys, "export", model, str(tmp_path / "people.txt"))
    assert "people.csv" in refused(capsys, "export", data, str(tmp_path / "b.c"))
