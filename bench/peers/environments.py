"""Interpreters for the peers: those given, or virtual environments made here."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from fastnet._bench import PACKAGES

REQUIREMENTS = {
    "fastnet": [],
    "numpy": ["numpy"],
    "torch": ["torch", "numpy"],
    "jax": ["jax", "numpy"],
    "sklearn": ["scikit-learn", "numpy"],
    "keras": ["keras", "tensorflow", "numpy"],
}
"""What pip installs, by the family of a peer."""


def family(peer: str) -> str:
    """Peers of one family share an environment: "jax" of "jax-scan"."""
    return peer.partition("-")[0]


def default_cache() -> Path:
    """Where the environments are kept unless told otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fastnet-bench"


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(name: str, cache: Path, pip_arguments: Iterable[str]) -> str:
    """The interpreter of an environment with a family's packages, made unless it is there.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails.
    """
    folder = cache / name
    python = _interpreter(folder)
    complete = folder / "complete"
    if not complete.exists():
        print(f"making an environment for {name}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", *pip_arguments, *REQUIREMENTS[name]]
        subprocess.run(command, check=True, stdout=sys.stderr)
        complete.touch()
    return str(python)


def choose(
    peers: Iterable[str], given: Mapping[str, str], installing: bool, cache: Path, pip_arguments: Iterable[str] = ()
) -> tuple[dict[str, str], dict[str, str]]:
    """Where each peer runs.

    Parameters
    ----------
    peers : iterable of str
    given : mapping of str to str
        Interpreters by peer or family.
    installing : bool
        Make environments for peers that were given none.
    cache : Path
        Where these are.
    pip_arguments : iterable of str

    Returns
    -------
    pythons : dict of str to str
        Interpreters of the peers that do not run in this one.
    missing : dict of str to str
        Peers that cannot run, and why.
    """
    pythons: dict[str, str] = {}
    missing: dict[str, str] = {}
    pip_arguments = list(pip_arguments)
    for peer in peers:
        name = family(peer)
        if python := given.get(peer) or given.get(name):
            pythons[peer] = python
        elif installing and name not in ("fastnet", "numpy"):
            try:
                pythons[peer] = install(name, cache, pip_arguments)
            except subprocess.CalledProcessError as error:
                missing[peer] = f"{peer}: pip failed with code {error.returncode}"
        elif absent := [package for package in PACKAGES[peer] if find_spec(package) is None]:
            missing[peer] = f"{peer}: this interpreter has no {absent[0]}; use --install or --python {name}=PATH"
    return pythons, missing
