"""Every public name of Keras, whether fastnet has it, and which arguments are different: a page of the documentation.

    python tools/make_keras_table.py        # prints it

What Keras has is in tests/traces/keras_signatures.json, which tools/dump_keras_signatures.py writes; why a name or an argument is not
there is in tools/keras_reasons.py. The page is not kept: make_reference.py adds it where mkdocs builds the documentation.
"""

from __future__ import annotations

import ast
import fnmatch
import inspect
import json
import pathlib
import sys
from typing import Any

import keras_reasons

import fastnet as fn
from fastnet._config import Configurable

ROOT = pathlib.Path(__file__).parents[1]
KERAS = json.loads((ROOT / "tests" / "traces" / "keras_signatures.json").read_text())
VERSION = KERAS["versions"]["keras"]
SIGNATURES: dict[str, dict[str, str | None]] = {
    module: names for module, names in KERAS["signatures"].items() if module != "optimizers.pytorch"
}


def find(path: str) -> Any:
    """What fastnet has under a path, `...` where it has nothing."""
    thing = fn
    for name in path.split("."):
        try:
            thing = getattr(thing, name)
        except AttributeError:
            return ...
    return thing


def _is_shown(module: str, name: str) -> bool:
    """Methods are shown of classes that fastnet has, and those of Sequential with those of Model."""
    owner, _, method = name.rpartition(".")
    return not owner or (
        find(f"{module}.{owner}".strip(".")) is not ... and not (owner == "Sequential" and f"Model.{method}" in SIGNATURES[""])
    )


#: Path -> arguments as text, "=path" for another name of something, None for an attribute.
NAMES: dict[str, str | None] = {
    f"{module}.{name}".strip("."): text
    for module, names in SIGNATURES.items()
    for name, text in names.items()
    if _is_shown(module, name)
}


def reason_for(path: str, reasons: dict[str, Any]) -> Any:
    """The first entry whose pattern fits, or None."""
    return next((value for pattern, value in reasons.items() if fnmatch.fnmatchcase(path, pattern)), None)


def keras_parameters(text: str) -> dict[str, Any]:
    """name -> default, `...` where there is none, or none that can be compared; starred parameters are left out."""
    arguments = ast.parse(f"def f({text}): ...").body[0].args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(positional, defaults), *zip(arguments.kwonlyargs, arguments.kw_defaults)]
    return {argument.arg: ... if default is None else ast.literal_eval(default) for argument, default in pairs}


def our_parameters(thing: Any) -> tuple[dict[str, Any], bool]:
    """The same of fastnet, and whether any other name is taken, too."""
    parameters = list(inspect.signature(thing).parameters.values())
    if parameters and parameters[0].name == "self":
        del parameters[0]
    found = {
        p.name: ... if p.default is p.empty else p.default for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if isinstance(thing, type) and issubclass(thing, Configurable):
        return {**thing._arguments(), **found}, False
    return found, takes_any


def _same(theirs: Any, ours: Any) -> bool:
    if theirs is ... or ours is ...:
        return theirs is ours or theirs is ...
    return ours == theirs or (isinstance(theirs, tuple) and set(theirs) == {ours})


def differences(path: str) -> dict[str, tuple[str, Any, Any]]:
    """argument -> ("missing" or "default", Keras's default, fastnet's) of what has the same name in both."""
    text, thing = NAMES[path], find(path)
    if text is None or text.startswith("=") or thing is ... or not callable(thing):
        return {}
    if path.endswith(".call"):  # the first is the input, which is never given by name
        text = ", ".join(text.split(", ")[1:])
    theirs, (ours, takes_any) = keras_parameters(text), our_parameters(thing)
    found: dict[str, tuple[str, Any, Any]] = {}
    for name, default in theirs.items():
        if name not in ours:
            if not takes_any:
                found[name] = ("missing", default, None)
        elif not _same(default, ours[name]) and not (name == "name" and default is None):
            found[name] = ("default", default, ours[name])
    return found


def unexplained() -> list[str]:
    """Names, and arguments as "layers.Dense(dtype)", that are not as in Keras and have no reason."""
    names = [path for path in NAMES if find(path) is ... and reason_for(path, keras_reasons.NAMES) is None]
    arguments = [
        f"{path}({argument})"
        for path in NAMES
        for argument in differences(path)
        if reason_for(f"{path}({argument})", keras_reasons.ARGUMENTS) is None
    ]
    return names + arguments


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _names_table() -> list[str]:
    counts = {"yes": 0, "another way": 0, "no": 0}
    lines = []
    for module, names in SIGNATURES.items():
        rows: dict[tuple[str, str], list[str]] = {}
        for name in names:
            path = f"{module}.{name}".strip(".")
            if path not in NAMES:
                continue
            status = ("yes", "") if find(path) is not ... else reason_for(path, keras_reasons.NAMES) or ("no", "UNEXPLAINED")
            rows.setdefault(status, []).append(name)
            counts[status[0]] += 1
        if not rows:
            continue
        lines += ["", f"## `keras{'.' if module else ''}{module}`", "", "| In fastnet | Names | Why, or how |", "|---|---|---|"]
        for (status, why), found in sorted(rows.items(), key=lambda row: (list(counts).index(row[0][0]), row[1])):
            lines.append(f"| {status} | {_listed(found)} | {why} |")
    total = sum(counts.values())
    summary = f"Of {total} names (aliases, methods and attributes of the base classes included) fastnet has {counts['yes']}, " + (
        f"{counts['another way']} in another way, {counts['no']} not."
    )
    return [summary, *lines]


def _arguments_table() -> list[str]:
    rows: dict[tuple[str, str, str], list[str]] = {}
    for path in NAMES:
        for argument, (kind, theirs, ours) in differences(path).items():
            what = f"`{argument}` is not taken" if kind == "missing" else f"`{argument}={ours!r}`, in Keras `{theirs!r}`"
            why = reason_for(f"{path}({argument})", keras_reasons.ARGUMENTS) or "UNEXPLAINED"
            rows.setdefault((what, why, argument), []).append(path)
    lines = ["| What | Where | Why |", "|---|---|---|"]
    return lines + [f"| {what} | {_listed(paths)} | {why} |" for (what, why, _), paths in rows.items()]


def page() -> str:
    """The text of docs/api/keras_names.md."""
    return "\n".join([
        f"# Names of Keras {VERSION}", "", "Written by `tools/make_keras_table.py`.", "",
        *_names_table(), "", "## Arguments that differ", "",
        "Of names that both have. Beyond these fastnet has arguments of its own, by name alone.", "",
        *_arguments_table(), "",
    ])  # fmt: skip


def main() -> int:
    print(page())
    missing = unexplained()
    if missing:
        print("without a reason in tools/keras_reasons.py:", *missing, sep="\n  ", file=sys.stderr)
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
