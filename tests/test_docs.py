"""The documentation: its Python runs, its tables are up to date, everything public is described, the pages build."""

import inspect
import pathlib
import re

import digits_table
import make_reference
import pytest

import fastnet as fn

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WITH_PYTHON = [path for path in PAGES if "```python" in path.read_text(encoding="utf-8")]
PUBLIC = [(page, name, cls) for page in make_reference.SECTIONS for name, cls in make_reference.classes(page)]


@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: path.stem)
def test_python_of_page_runs(path, tmp_path, monkeypatch):
    """From top to bottom, in one namespace."""
    monkeypatch.chdir(tmp_path)
    text, names = path.read_text(encoding="utf-8"), {"__name__": path.stem}
    if "import pyarrow" in text:
        pytest.importorskip("pyarrow")
    for block in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block.group(1), str(path), "exec"), names)


def test_reference_is_up_to_date():
    """If not: python tools/make_reference.py."""
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == make_reference.reference()


@pytest.mark.parametrize("name, cls", [item[1:] for item in PUBLIC], ids=[f"{page}.{name}" for page, name, _ in PUBLIC])
def test_class_is_described(name, cls):
    """It has a docstring of its own, whose papers have links."""
    text = make_reference.docstring(cls)
    assert text.splitlines()[0].strip()
    unknown = [paper for paper in make_reference.citations(text) if paper not in make_reference.PAPERS]
    assert not unknown, "add links to PAPERS in tools/make_reference.py"


def test_public_functions_are_described():
    for page in make_reference.SECTIONS:
        module = make_reference.find(make_reference.SECTIONS[page][1])
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                assert inspect.getdoc(thing), f"{page}.{name}"
    for name, method in make_reference.methods(fn.Model).items():
        assert inspect.getdoc(method), f"Model.{name}"


@pytest.mark.parametrize("name", sorted(fn.optimizers.OPTIMIZERS))
def test_optimizer_trains_the_digits(name):
    """To 95% on the test part, as docs/digits.md says; the row is there, with the same settings."""
    cls, rate, _, reached, accuracy = digits_table.train(name)
    assert reached and accuracy > digits_table.GOAL - 0.01
    class_name = cls.__name__.rpartition(".")[2]
    label = f"pytorch.{class_name}" if name.startswith("pytorch.") else class_name
    rows = [line for line in (DOCS / "digits.md").read_text(encoding="utf-8").splitlines() if f"| [`{label}`]" in line]
    assert len(rows) == 1, "run python tools/digits_table.py"
    assert rows[0].split("|")[2].split()[0] == f"{rate:g}", "run python tools/digits_table.py"


def test_links_between_pages():
    """Pages and headings that links lead to exist; so do files and folders of the repository that are named."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in PAGES} | make_reference.pages()
    anchors = {
        name: {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-")
               for heading in re.findall(r"^#+ (.*)", text, re.MULTILINE)}
        for name, text in texts.items()
    }  # fmt: skip
    for name, text in texts.items():
        prose = "" if name.startswith("api/") else re.sub(r"`[^`\n]+`", "code", text)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if target.startswith("https://"):
                continue
            page, _, anchor = target.partition("#")
            assert (page or name) in texts, f"{name}: {target}"
            assert not anchor or anchor in anchors[page or name], f"{name}: {target}"
    to_add = re.findall(r"^\*\*1\. `(\S+)`", texts["extending.md"], re.MULTILINE)  # the examples of that page
    for name in ("examples.md", "internals.md", "extending.md", "digits.md"):
        for mentioned in re.findall(r"`((?:csrc|src|tests|tools|examples)/[\w./]+)`", texts[name]):
            assert (ROOT / mentioned).exists() or mentioned in to_add, f"{name}: {mentioned}"


def test_every_example_is_listed():
    listed = re.findall(r"^\| `(\w+)\.py`", (DOCS / "examples.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def test_pages_build(tmp_path):
    """Without a warning: mkdocs.yml is strict."""
    pytest.importorskip("mkdocs")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path)))
    assert "Kingma" in (tmp_path / "reference.html").read_text(encoding="utf-8")
    page = (tmp_path / "from_keras.html").read_text(encoding="utf-8")
    assert '<span class="kn">import</span>' in page  # coloured when it was built
    assert not re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css)', page), "pages are to be read offline"
    assert "rectified" in (tmp_path / "api" / "optimizers.html").read_text(encoding="utf-8")
