"""Asks mypy and pyright about scripts of users: nothing in one, each wrong argument in the other. .ci/run calls it.

They check what is installed in the environment of the Python that runs this, as a user's editor does.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

SCRIPTS = pathlib.Path(__file__).parents[1] / "tests" / "typing"


def ask_mypy(path):
    """Lines in which it finds an error, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            "--hide-error-context",
            "--cache-dir",
            folder,
            path,
        ]
        said = subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout
    return {int(line): text for line, text in re.findall(rf"{re.escape(path.name)}:(\d+): error: (.*)", said)}, said


def ask_pyright(path):
    """The same."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, path]
    said = subprocess.run(command, capture_output=True, text=True, cwd=path.parent).stdout
    errors = [error for error in json.loads(said)["generalDiagnostics"] if error["severity"] == "error"]
    return {error["range"]["start"]["line"] + 1: error["message"] for error in errors}, said


def main():
    good, wrong = SCRIPTS / "users_script.py", SCRIPTS / "wrong_arguments.py"
    lines = wrong.read_text(encoding="utf-8").splitlines()
    expected = {i + 1 for i, line in enumerate(lines) if re.match(r"(fn|model)\.|model = ", line)}
    failed = False
    for name, ask in (("mypy", ask_mypy), ("pyright", ask_pyright)):
        errors, said = ask(good)
        for line, text in errors.items():
            print(f"{name}: {good.name}:{line}: {text}")
        if "fastnet" in said and "import" in said and not errors and ("missing" in said or "could not be resolved" in said):
            print(f"{name}: {said}")
            failed = True
        found = ask(wrong)[0]
        for line in sorted(expected ^ set(found)):
            print(f"{name}: {wrong.name}:{line}: {'nothing said of ' + lines[line - 1] if line in expected else found[line]}")
        failed |= bool(errors) or set(found) != expected
        print(f"{name}: {len(found)} of {len(expected)} wrong arguments found, {len(errors)} false errors")
    return failed


if __name__ == "__main__":
    sys.exit(main())
