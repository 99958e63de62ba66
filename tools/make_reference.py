"""Writes docs/reference.md, and pages with the whole docstrings, from the package.

    python tools/make_reference.py [--check]

reference.md has a table of everything that training can be put together from, with equations and sources. With --check
nothing is written, and the exit code says whether it is up to date. The pages below api/ to which it leads are not kept:
mkdocs calls the hooks in this file when it builds the documentation.
"""

import argparse
import functools
import inspect
import operator
import pathlib
import re
import sys

import make_keras_table

import fastnet as fn

DOCS = pathlib.Path(__file__).parents[1] / "docs"

#: Page -> (title, module, whether a class is on it). Pages of modules that do not exist are left out.
SECTIONS = {
    "optimizers": ("Optimizers", "optimizers", None),
    "optimizers_pytorch": ("Optimizers with PyTorch's equations", "optimizers.pytorch", None),
    "schedules": ("Schedules", "schedules", None),
    "layers": ("Layers", "layers", lambda cls: cls.__module__ != "fastnet.layers.activations"),
    "activations": ("Activations", "layers", lambda cls: cls.__module__ == "fastnet.layers.activations"),
    "losses": ("Losses", "losses", None),
    "metrics": ("Metrics", "metrics", None),
    "initializers": ("Initializers", "initializers", None),
    "regularizers": ("Regularizers", "regularizers", None),
    "constraints": ("Constraints", "constraints", None),
    "callbacks": ("Callbacks", "callbacks", None),
    "sklearn": ("Estimators for scikit-learn", "sklearn", None),
}

#: Bases: described on their pages, not in the tables.
BASES = {
    "Callback", "CallbackList", "Constraint", "Initializer", "Layer", "LearningRateSchedule", "Loss", "Metric",
    "MonitorCallback", "Optimizer", "Regularizer",
}  # fmt: skip

#: Where Keras 3 describes what it has of a page, and what it does not have.
KERAS = {
    "optimizers": ("optimizers/", {"AdaBelief", "Adan", "LARS", "LBFGS", "RAdam", "Rprop", "ScheduleFreeSGD", "Yogi"}),
    "schedules": ("optimizers/learning_rate_schedules/", {
        "Chained", "Constant", "Cyclic", "Epochs", "InverseSquareRoot", "Lambda", "LinearDecay", "LinearWarmup",
        "MultiStepDecay", "NaturalExpDecay", "Noam", "OneCycle", "Sequential", "StepDecay", "Sum", "WarmupStableDecay",
    }),
    "layers": ("layers/", {
        "MinMaxScaling", "PositionEmbedding", "RotaryEmbedding", "SinePositionEncoding", "TargetScaling",
        "TokenAndPositionEmbedding", "TransformerBlock",
    }),
    "activations": ("layers/activations/", set()),
    "losses": ("losses/", set()),
    "metrics": ("metrics/", {"MatthewsCorrelation"}),
    "initializers": ("layers/initializers/", set()),
    "regularizers": ("layers/regularizers/", set()),
    "constraints": ("layers/constraints/", set()),
    "callbacks": ("callbacks/", {"OptunaPruning", "Timer", "TrainingCheckpoint"}),
    "sklearn": ("", {"MLPClassifier", "MLPRegressor"}),
}  # fmt: skip

_ARXIV, _DOI = "https://arxiv.org/abs/", "https://doi.org/"
#: Papers, as the docstrings cite them.
PAPERS = {
    "Ainslie et al. 2023": _ARXIV + "2305.13245",
    "Ba, Kiros and Hinton 2016": _ARXIV + "1607.06450",
    "Bahdanau et al. 2015": _ARXIV + "1409.0473",
    "Barron 2021": _ARXIV + "2112.11687",
    "Brock et al. 2017": _ARXIV + "1609.07093",
    "Chen et al. 2023": _ARXIV + "2302.06675",
    "Chollet 2017": _ARXIV + "1610.02357",
    "Chicco and Jurman 2020": _DOI + "10.1186/s12864-019-6413-7",
    "Cho et al. 2014": _ARXIV + "1406.1078",
    "Clevert et al. 2016": _ARXIV + "1511.07289",
    "Cubuk et al. 2020": _ARXIV + "1909.13719",
    "Dao et al. 2022": _ARXIV + "2205.14135",
    "Davis and Goadrich 2006": _DOI + "10.1145/1143844.1143874",
    "Defazio et al. 2024": _ARXIV + "2405.15682",
    "DeVries and Taylor 2017": _ARXIV + "1708.04552",
    "Dozat 2016": "https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
    "Dumoulin and Visin 2016": _ARXIV + "1603.07285",
    "Duchi, Hazan and Singer 2011": "https://jmlr.org/papers/v12/duchi11a.html",
    "Elman 1990": _DOI + "10.1207/s15516709cog1402_1",
    "Gers, Schmidhuber and Cummins 2000": _DOI + "10.1162/089976600300015015",
    "Glorot and Bengio 2010": "https://proceedings.mlr.press/v9/glorot10a.html",
    "Gorishniy et al. 2022": _ARXIV + "2203.05556",
    "Goyal et al. 2017": _ARXIV + "1706.02677",
    "Graves 2013": _ARXIV + "1308.0850",
    "He et al. 2015": _ARXIV + "1502.01852",
    "Hendrycks et al. 2020": _ARXIV + "1912.02781",
    "Hendrycks and Gimpel 2016": _ARXIV + "1606.08415",
    "Hochreiter and Schmidhuber 1997": _DOI + "10.1162/neco.1997.9.8.1735",
    "Hoerl and Kennard 1970": _DOI + "10.1080/00401706.1970.10488634",
    "Hu et al. 2024": _ARXIV + "2404.06395",
    "Hägele et al. 2024": _ARXIV + "2405.18392",
    "Igel and Huesken 2003": _DOI + "10.1016/S0925-2312(01)00700-7",
    "Ioffe and Szegedy 2015": _ARXIV + "1502.03167",
    "Izmailov et al. 2018": _ARXIV + "1803.05407",
    "Jordan et al. 2024": "https://kellerjordan.github.io/posts/muon/",
    "Kingma and Ba 2015": _ARXIV + "1412.6980",
    "Klambauer et al. 2017": _ARXIV + "1706.02515",
    "LeCun et al. 1998": _DOI + "10.1007/3-540-49430-8_2",
    "Lin et al. 2017": _ARXIV + "1708.02002",
    "Liu and Nocedal 1989": _DOI + "10.1007/BF01589116",
    "Liu et al. 2020": _ARXIV + "1908.03265",
    "Loshchilov and Hutter 2017": _ARXIV + "1608.03983",
    "Loshchilov and Hutter 2019": _ARXIV + "1711.05101",
    "Luong et al. 2015": _ARXIV + "1508.04025",
    "McMahan et al. 2013": _DOI + "10.1145/2487575.2488200",
    "Milletari, Navab and Ahmadi 2016": _ARXIV + "1606.04797",
    "Misra 2019": _ARXIV + "1908.08681",
    "Nocedal and Wright 2006": _DOI + "10.1007/978-0-387-40065-5",
    "Oord et al. 2016": _ARXIV + "1609.03499",
    "Pascanu et al. 2013": _ARXIV + "1211.5063",
    "Polyak 1964": _DOI + "10.1016/0041-5553(64)90137-5",
    "Qiu et al. 2025": _ARXIV + "2505.06708",
    "Raffel et al. 2020": _ARXIV + "1910.10683",
    "Reddi et al. 2018": _ARXIV + "1904.09237",
    "Riedmiller and Braun 1993": _DOI + "10.1109/ICNN.1993.298623",
    "Salehi et al. 2017": _ARXIV + "1706.05721",
    "Sun et al. 2020": _ARXIV + "2002.10857",
    "Saxe et al. 2014": _ARXIV + "1312.6120",
    "Schuster and Paliwal 1997": _DOI + "10.1109/78.650093",
    "Shazeer and Stern 2018": _ARXIV + "1804.04235",
    "Shi et al. 2015": _ARXIV + "1506.04214",
    "Simard et al. 2003": _DOI + "10.1109/ICDAR.2003.1227801",
    "Smith 2017": _ARXIV + "1506.01186",
    "Smith and Topin 2018": _ARXIV + "1708.07120",
    "Srebro and Shraibman 2005": _DOI + "10.1007/11503415_37",
    "Srivastava et al. 2014": "https://jmlr.org/papers/v15/srivastava14a.html",
    "Su et al. 2021": _ARXIV + "2104.09864",
    "Sutskever et al. 2013": "https://proceedings.mlr.press/v28/sutskever13.html",
    "Tibshirani 1996": _DOI + "10.1111/j.2517-6161.1996.tb02080.x",
    "Tieleman and Hinton 2012": "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf",
    "Tompson et al. 2015": _ARXIV + "1411.4280",
    "Ulyanov et al. 2016": _ARXIV + "1607.08022",
    "Vaswani et al. 2017": _ARXIV + "1706.03762",
    "Wu and He 2018": _ARXIV + "1803.08494",
    "Xie et al. 2022": _ARXIV + "2208.06677",
    "Xiong et al. 2020": _ARXIV + "2002.04745",
    "You et al. 2020": _ARXIV + "1904.00962",
    "You, Gitman and Ginsburg 2017": _ARXIV + "1708.03888",
    "Yun et al. 2019": _ARXIV + "1905.04899",
    "Zaheer et al. 2018": "https://papers.nips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html",
    "Zeiler 2012": _ARXIV + "1212.5701",
    "Zhang and Sennrich 2019": _ARXIV + "1910.07467",
    "Zhang and Sabuncu 2018": _ARXIV + "1805.07836",
    "Zhang et al. 2018": _ARXIV + "1710.09412",
    "Zhang et al. 2019": _ARXIV + "1907.08610",
    "Zhong et al. 2017": _ARXIV + "1708.04896",
    "Zhuang et al. 2020": _ARXIV + "2010.07468",
    "Zou and Hastie 2005": _DOI + "10.1111/j.1467-9868.2005.00503.x",
}  # fmt: skip

_SURNAME = r"[A-Z][\w-]*[a-zä]"
_AUTHORS = rf"{_SURNAME}(?: et al\.|(?:, {_SURNAME})* and {_SURNAME})?"
_CITATION = re.compile(rf"({_AUTHORS})(?:, | \(|, \"[^\"]*\", )((?:19|20)\d\d)\b")
_UNDERLINE = re.compile(r"^-{3,}$")


def find(path):
    """The object at a dotted path below fastnet, or None."""
    try:
        return operator.attrgetter(path)(fn)
    except AttributeError:
        return None


def classes(page):
    """(name, class) of the public classes of a page, bases first, then by name."""
    _, path, belongs = SECTIONS[page]
    module = find(path)
    found = [(name, getattr(module, name)) for name in getattr(module, "__all__", [])]
    found = [(name, cls) for name, cls in found if inspect.isclass(cls) and (belongs is None or belongs(cls))]
    return sorted(found, key=lambda item: (item[0] not in BASES, item[0].lower()))


def docstring(thing):
    """Its own docstring; LookupError where there is none."""
    text = thing.__doc__ if inspect.isclass(thing) else inspect.getdoc(thing)
    if not text or not text.strip():
        raise LookupError(f"{thing!r} has no docstring")
    return inspect.cleandoc(text)


def citations(text):
    """(authors and year) of each paper that a docstring names, once."""
    joined = " ".join(text.split())
    return list(dict.fromkeys(f"{authors} {year}" for authors, year in _CITATION.findall(joined)))


# ---- from docstring to Markdown ----------------------------------------------------------------------------


def inline(text):
    """reStructuredText's literals as Markdown's."""
    return re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)


def in_cell(text):
    """Markdown with literals, for a cell of a table: a bar would end the cell."""
    escaped = {"|": "&#124;", "*": "&#42;", "_": "&#95;", "<": "&lt;", ">": "&gt;", "&": "&amp;"}

    def code(match):
        if "|" not in match.group(1):
            return match.group()
        return "<code>" + "".join(escaped.get(letter, letter) for letter in match.group(1)) + "</code>"

    return re.sub(r"`([^`]+)`", code, text)


def split_sections(text):
    """[(title, lines)] of a docstring; the first has no title."""
    sections, lines = [("", [])], text.splitlines()
    for i, line in enumerate(lines):
        if i + 1 < len(lines) and _UNDERLINE.match(lines[i + 1]) and line and not line.startswith(" "):
            sections.append((line.strip(), []))
        elif not (_UNDERLINE.match(line) and sections[-1][0]):
            sections[-1][1].append(line)
    return sections


def blocks(lines):
    """("text", lines) and ("code", lines) in turn: code is what is indented after a line that ends with "::"."""
    found, mode = [("text", [])], "text"
    for line in lines:
        if mode == "code" and line.strip() and not line.startswith("    "):
            mode = "text"
            found.append((mode, []))
        found[-1][1].append(line)
        if mode == "text" and line.endswith("::"):
            found[-1][1][-1] = line.removesuffix("::").rstrip() + ":"
            mode = "code"
            found.append((mode, []))
    return found


def prose(lines):
    """Paragraphs and equations."""
    parts = []
    for kind, content in blocks(lines):
        text = inspect.cleandoc("\n" + "\n".join(content)).strip()
        if text:
            parts.append(f"```text\n{text}\n```" if kind == "code" else inline(text))
    return "\n\n".join(parts)


def items(lines):
    """A list of "name : type" with what stands below each."""
    text, parts = "\n".join(lines).strip("\n"), []
    for entry in re.split(r"\n(?=\S)", text):
        head, _, body = entry.partition("\n")
        name, colon, kind = head.partition(" : ")
        said = inline(" ".join(body.split()))
        parts.append(f"- **`{name}`**" + (f" : {inline(kind)}" if colon else "") + (f" — {said}" if said else ""))
    return "\n".join(parts)


def render(text):
    """A docstring as Markdown."""
    parts = []
    for title, lines in split_sections(text):
        if title == "Examples":
            code = inspect.cleandoc("\n" + "\n".join(lines)).strip()
            content = f"```pycon\n{code}\n```"
        elif title in ("", "Notes"):
            content = prose(lines)
        else:
            content = items(lines)
        parts.append((f"**{title}**\n\n" if title else "") + content)
    return "\n\n".join(part for part in parts if part.strip())


# ---- the pages -----------------------------------------------------------------------------------------------


def anchor(name):
    return name.lower()


def signature(thing):
    """The arguments, without annotations: in one line, or in one each where it would be too long."""
    try:
        found = inspect.signature(thing)
    except ValueError:
        return "()"
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values() if p.name != "self"]
    text = str(found.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    if len(text) < 80:
        return text
    by_name = next((i for i, p in enumerate(plain) if p.kind is p.KEYWORD_ONLY), len(plain))
    lines = [str(p) for p in plain]
    if by_name < len(plain) and not any(p.kind is p.VAR_POSITIONAL for p in plain):
        lines.insert(by_name, "*")
    return "(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def summary(text):
    """What a cell of a table says: the first paragraph and the first equations.

    Where the first paragraph has none, the second is added if that has.
    """
    kinds = blocks(split_sections(text)[0][1])
    paragraphs = [" ".join(part.split()) for part in "\n".join(kinds[0][1]).strip().split("\n\n")]
    equations = next((content for kind, content in kinds if kind == "code"), [])
    lines = [line.strip() for line in inspect.cleandoc("\n" + "\n".join(equations)).splitlines() if line.strip()]
    lines = [re.sub(r"\s{2,}#.*", lambda match: "  " + match.group().strip(), line) for line in lines]
    said = [paragraphs[0].removesuffix(":").rstrip(",. ") + "." if not paragraphs[0].endswith("...") else paragraphs[0]]
    if not lines and "``" not in paragraphs[0] and "``" in "".join(paragraphs[1:2]):
        said.append(paragraphs[1])
    return "<br>".join(in_cell(part) for part in (*map(inline, said), *(f"`{line}`" for line in lines)))


def sources(page, name, text):
    """Links to where it comes from."""
    links = [f"[{paper}]({PAPERS[paper]})" for paper in citations(text) if paper in PAPERS]
    if page == "optimizers_pytorch":
        links.append(f"[PyTorch](https://docs.pytorch.org/docs/stable/generated/torch.optim.{name}.html)")
    elif name not in KERAS[page][1]:
        links.append(f"[Keras](https://keras.io/api/{KERAS[page][0]})")
    if page == "schedules":
        for other in dict.fromkeys(re.findall(r"PyTorch's\s+``(\w+LR)", text)):
            where = f"https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.{other}.html"
            links.append(f"[PyTorch's {other}]({where})")
    return "<br>".join(links) or "fastnet"


def reference():
    """The page of tables."""
    lines = [
        "# Reference", "",
        "Everything that training can be put together from. Names lead to the whole description with all arguments; the "
        "last column names the paper and the library whose definition it follows. In equations `w` is a weight, `g` its "
        "gradient, `t` the number of the step: from 1 in those of optimizers, from 0 in those of schedules.", "",
        "This page is written by `tools/make_reference.py` from the docstrings.",
    ]  # fmt: skip
    for page, (title, path, _) in SECTIONS.items():
        rows = [(name, cls) for name, cls in classes(page) if name not in BASES]
        if not rows:
            continue
        lines += ["", f"## {title}", "", f"`fastnet.{path}`, {len(rows)} of them.", "", "| Name | What it does | Source |",
                  "|---|---|---|"]  # fmt: skip
        for name, cls in rows:
            text = docstring(cls)
            lines.append(f"| [`{name}`](api/{page}.md#{anchor(name)}) | {summary(text)} | {sources(page, name, text)} |")
    return "\n".join(lines) + "\n"


def entry(name, thing, level=2, prefix=""):
    """Heading, call and docstring of a class or function."""
    call = f"{prefix}{name}{signature(thing)}"
    return f"{'#' * level} {name}\n\n```text\n{call}\n```\n\n{render(docstring(thing))}"


def api_page(page):
    """All classes of a page with their whole docstrings."""
    title, path, _ = SECTIONS[page]
    head = f"# {title}\n\nIn `fastnet.{path}`. Written by `tools/make_reference.py` from the docstrings."
    parts = [head, *(entry(name, cls, prefix=f"fn.{path}.") for name, cls in classes(page))]
    return "\n\n".join(parts) + "\n"


def methods(cls):
    """Public methods and properties with a docstring, of the class and its bases in the package."""
    found = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("fastnet") and base.__name__ != "Configurable":
            found.update((name, value) for name, value in vars(base).items() if not name.startswith("_"))
    return {name: value for name, value in sorted(found.items()) if (getattr(value, "__doc__", None)
            and isinstance(value, (property, functools.cached_property))) or inspect.isfunction(value)}  # fmt: skip


def model_page():
    """Models, histories and the functions of the package."""
    parts = ["# Models\n\nIn `fastnet`. Written by `tools/make_reference.py` from the docstrings."]
    for name, cls in (("Model", fn.Model), ("Sequential", fn.Sequential), ("TrainStep", fn.TrainStep), ("History", fn.History)):
        parts.append(entry(name, cls, prefix="fn."))
        inherited = (
            set(methods(fn.Model))
            if cls is fn.Sequential
            else {m for m, f in methods(fn.Model).items() if f is getattr(cls, m, None)}
        )
        for method, value in methods(cls).items():
            if method in inherited or not inspect.getdoc(value):
                continue
            heading = method if inspect.isfunction(value) else f"{method} (property)"
            call = f"```text\n{method}{signature(value)}\n```\n\n" if inspect.isfunction(value) else ""
            parts.append(f"### {name}.{heading}\n\n{call}{render(inspect.getdoc(value))}")
    for path in (
        "Input",
        "load_model",
        "datasets.load_digits",
        "datasets.load_idx",
        *(
            f"datasets.{name}.load_data"
            for name in (
                "mnist",
                "fashion_mnist",
                "cifar10",
                "cifar100",
                "imdb",
                "reuters",
                "boston_housing",
                "california_housing",
            )
        ),
        "data.Dataset",
        "data.PyDataset",
        *(
            f"utils.{name}"
            for name in (
                "to_categorical",
                "normalize",
                "pad_sequences",
                "set_random_seed",
                "split_dataset",
                "timeseries_dataset_from_array",
                "image_dataset_from_directory",
                "text_dataset_from_directory",
                "get_file",
            )
        ),
        "models.clone_model",
        "tuning.find_learning_rate",
        "tuning.LearningRates",
        "fit_many",
        "PerModel",
        "FitManyError",
        "distribution.DataParallel",
        "distribution.set_distribution",
        "distribution.distribution",
    ):
        if thing := find(path):
            parts.append(entry(path, thing, prefix="fn."))
    return "\n\n".join(parts) + "\n"


def pages():
    """The pages that are not kept: path below docs -> text."""
    found = {f"api/{page}.md": api_page(page) for page in SECTIONS if classes(page)}
    return {"api/models.md": model_page(), **found, "api/keras_names.md": make_keras_table.page()}


def on_config(config):
    """Hook of mkdocs: adds the pages to the navigation, before the last entries of mkdocs.yml."""
    titles = {
        "api/models.md": "Models",
        "api/keras_names.md": "Names of Keras",
        **{f"api/{page}.md": title for page, (title, _, _) in SECTIONS.items()},
    }
    full = {"In full": [{titles[name]: name} for name in pages()]}
    at = next(i for i, item in enumerate(config.nav) if "internals.md" in item.values())
    config.nav.insert(at, full)
    return config


def on_files(files, config):
    """Hook of mkdocs: adds the pages."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if it is out of date")
    arguments = parser.parse_args()
    path, text = DOCS / "reference.md", reference()
    if path.exists() and path.read_text(encoding="utf-8") == text:
        print("docs/reference.md is up to date")
        return 0
    if arguments.check:
        print("docs/reference.md is out of date: run python tools/make_reference.py")
        return 1
    path.write_text(text, encoding="utf-8")
    print("docs/reference.md is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
