"""Starts the peers, checks that they learn the same, and times them in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .workloads import Workload

__all__ = ["Measurement", "PeerError", "PeerProcess", "PeerUnable", "measure", "median_ratio"]

TOLERANCE = 2e-3
"""Largest relative difference between the losses of two peers: their sums round in different orders, and the losses
are compared after training."""

CHECK_STEPS = 64
"""Steps, about, after which the losses are compared; of large networks, one epoch."""

LARGE_FLOPS = 1e9

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_HELD_TO_AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2 --xla_cpu_experimental_ynn_fusion_type=",  # YNNPACK heeds no limit
}


def peer_environment(threads: int) -> dict[str, str]:
    """The environment of a peer: its number of threads, and where FASTNET_ISA is avx2 no better instructions for the others either."""
    environment = dict(os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    if environment.get("FASTNET_ISA") == "avx2":
        flags = f"{environment.get('XLA_FLAGS', '')} {_HELD_TO_AVX2['XLA_FLAGS']}".strip()
        environment |= _HELD_TO_AVX2 | {"XLA_FLAGS": flags}
    return environment


class PeerError(Exception):
    """A peer could not be started, or could not do what was asked."""


class PeerUnable(PeerError):
    """A library that cannot train such a network."""


class PeerProcess:
    """A peer in a process of its own; see worker.py.

    Parameters
    ----------
    name : str
        One of `PEERS`; "fastnet@FOLDER" is the fastnet in that folder.
    threads : int
    python : str, optional
        The interpreter, if not this one.

    Raises
    ------
    PeerError
        If the peer's packages cannot be imported there.
    """

    def __init__(self, name: str, threads: int, python: str | None = None) -> None:
        self.name = name
        self.threads = threads
        environment = peer_environment(threads)
        name, _, place = name.partition("@")
        folder = Path(place, "fastnet", "_bench") if place else Path(__file__).absolute().parent
        if name == "fastnet":
            paths = [place or str(folder.parent.parent), *filter(None, [environment.get("PYTHONPATH")])]
            environment["PYTHONPATH"] = os.pathsep.join(paths)
        if name.startswith("jax"):
            environment.setdefault("JAX_PLATFORMS", "cpu")
        self._log = tempfile.TemporaryFile()
        try:
            self.process = subprocess.Popen(
                [python or sys.executable, str(folder / "worker.py"), name, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=environment,
                text=True,
            )
        except OSError as error:
            self._log.close()
            raise PeerError(f"{name}: {error}") from error
        try:
            self.versions = self._answer()["versions"]
        except PeerError:
            self.close()
            raise

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"{self.name}: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise (PeerUnable if answer.get("unable") else PeerError)(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        code = self.process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"the process ended with code {code}{': ' + lines[-1] if lines else ''}"

    def ask(self, request: str, **fields) -> dict:
        """Sends a request and waits for its answer; PeerError where that is an error."""
        try:
            self.process.stdin.write(json.dumps({"do": request, **fields}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerError(f"{self.name}: {self._last_words()}") from error
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()
        self._log.close()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, *_) -> None:
        self.close()


@dataclass
class Measurement:
    """What was found for one workload.

    `seconds` has the seconds per step of each repetition, by peer; repetition i of all peers was taken one after the
    other. `losses` are those after `steps` steps without shuffling; `failed` has the messages of peers left out, and
    `versions` those of the packages of each peer.
    """

    workload: str
    threads: int
    clock: str = "elapsed"
    steps: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)

    def median(self, peer: str) -> float:
        """Median of the seconds per step."""
        return statistics.median(self.seconds[peer])

    def spread(self, peer: str) -> float:
        """Range of the middle half of the repetitions, as a part of the median."""
        ordered = sorted(self.seconds[peer])
        quarter = len(ordered) // 4
        return (ordered[-1 - quarter] - ordered[quarter]) / self.median(peer)

    def disagreement(self) -> dict[str, float]:
        """Relative differences of the losses from NumPy's, or else their median: those beyond the tolerance."""
        if not self.losses:
            return {}
        right = self.losses.get("numpy", statistics.median(self.losses.values()))
        differences = {peer: abs(loss - right) / abs(right) for peer, loss in self.losses.items()}
        return {peer: found for peer, found in differences.items() if not found <= TOLERANCE}

    def to_dict(self) -> dict:
        """Everything, with medians, for JSON."""
        return asdict(self) | {"microseconds_per_step": {peer: 1e6 * self.median(peer) for peer in self.seconds}}


def median_ratio(measurement: Measurement, peer: str, other: str) -> float:
    """How many times as long `peer` takes as `other`: the median over the repetitions, each taken in one go."""
    pairs = zip(measurement.seconds[peer], measurement.seconds[other])
    return statistics.median(mine / theirs for mine, theirs in pairs)


def measure(
    workload: Workload,
    peers: Iterable[str],
    *,
    threads: int,
    seconds: float = 0.3,
    repetitions: int = 7,
    limit: float = float("inf"),
    clock: str = "elapsed",
    pythons: Mapping[str, str] | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> Measurement:
    """Checks and times peers on one workload.

    Parameters
    ----------
    workload : Workload
    peers : iterable of str
        Names from `PEERS`.
    threads : int
    seconds : float
        Length of one repetition of one peer, about.
    repetitions : int
        Rounds, in each of which every peer has its turn.
    limit : float
        A peer whose turns have taken so many seconds has no more.
    clock : {"elapsed", "cpu"}
        What is measured: "cpu" is the processor time of all threads, for one thread on a machine that is busy.
    pythons : mapping of str to str, optional
        Interpreters of peers that are not in this one.
    report : callable, optional
        Told what is being done.

    Returns
    -------
    Measurement
        A peer that cannot be run, or reaches another loss, is in `failed` and not in `seconds`; one that has no such
        network is in neither.
    """
    result = Measurement(workload.name, threads, clock)
    epochs = 1 if workload.flops > LARGE_FLOPS else max(1, round(CHECK_STEPS / workload.steps))
    result.steps = epochs * workload.steps
    running: dict[str, PeerProcess] = {}
    try:
        for name in peers:
            report(f"{workload.name}: starting {name}")
            try:
                running[name] = PeerProcess(name, threads, (pythons or {}).get(name))
                result.versions[name] = running[name].versions
                running[name].ask("open", workload=workload.name, threads=threads)
                result.losses[name] = running[name].ask("check", epochs=epochs)["loss"]
            except PeerError as error:
                if not isinstance(error, PeerUnable):
                    result.failed[name] = str(error)
                if name in running:
                    running.pop(name).close()
        for name, difference in result.disagreement().items():
            result.failed[name] = f"{name}: the loss {result.losses[name]:.6g} differs by {difference:.1e}"
            running.pop(name).close()
        result.seconds = {name: [] for name in running}
        spent = dict.fromkeys(running, 0.0)
        for repetition in range(repetitions):
            report(f"{workload.name}: repetition {repetition + 1} of {repetitions}")
            for name, process in running.items():
                if spent[name] > limit:
                    continue
                start = time.monotonic()
                answer = process.ask("time", seconds=seconds, clock=clock)
                spent[name] += time.monotonic() - start
                result.seconds[name].append(answer["seconds_per_step"])
                time.sleep(0.02)  # threads of this peer may spin for a moment after their last work
    finally:
        for process in running.values():
            process.close()
    return result
