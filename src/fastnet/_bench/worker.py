"""The process of one peer: runs what the driver asks for, under the interpreter of the peer.

Run as a file, so that it needs no installation, with two arguments: the peer and the number of threads. Reads a JSON
object from each line of standard input and answers with one on standard output. Requests: {"do": "open", "workload",
"threads"}, {"do": "check", "epochs"}, {"do": "time", "seconds", "clock"}. Answers hold "error" where it could not be
done, and "unable" where this peer has no such network.
"""

import importlib
import importlib.util
import json
import os
import platform
import sys
import time as clocks
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def keep_to(threads: int) -> None:
    """Leaves this process so many of its CPUs: some libraries take their number of threads from that alone."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        if threads < len(allowed):
            os.sched_setaffinity(0, allowed[:threads])


def load_package():
    """This folder as a package of its own, with nothing of fastnet around it."""
    spec = importlib.util.spec_from_file_location(
        "fastnet_bench", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["fastnet_bench"] = package
    spec.loader.exec_module(package)
    return package


class Session:
    """One peer and the workload it has open."""

    def __init__(self, name: str) -> None:
        self.name = name
        package = load_package()
        self.workloads = importlib.import_module("fastnet_bench.workloads")
        self.shapes = importlib.import_module("fastnet_bench.shapes")
        self.interface = importlib.import_module("fastnet_bench.peer")
        self.module = importlib.import_module(f"fastnet_bench.{package.PEERS[name]}")
        self.peer = None

    def versions(self) -> dict[str, str]:
        from importlib import metadata

        found = {"python": platform.python_version()}
        for name in self.module.Peer.packages:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = "not installed as a distribution"
        return found

    def open(self, workload: str, threads: int) -> dict:
        self.peer = None
        network = (self.workloads.WORKLOADS | self.shapes.SHAPES)[workload]
        self.peer = self.find_peer(network)(network, threads)
        return {}

    def is_layered(self, network) -> bool:
        """Whether it is one layer after another, and no transformer."""
        return isinstance(network, self.workloads.Workload)

    def find_peer(self, network):
        """The class that trains a network of this kind."""
        if self.is_layered(network):
            return self.module.Peer
        peers = importlib.import_module("fastnet_bench.gpt_peers").PEERS
        if self.name not in peers:
            raise self.interface.Unable(f"{self.name} does not train transformers here")
        return peers[self.name]

    def check(self, epochs: int) -> dict:
        """Trains from the initial weights without shuffling, for comparison with the others."""
        self.peer.reset()
        training = self.peer.train(epochs, shuffle=False)
        network, weights = self.peer.workload, self.peer.weights()
        equations = importlib.import_module("fastnet_bench.equations")
        loss = equations.loss_of(network, weights) if self.is_layered(network) else network.loss_of(weights)
        return {"loss": loss, "training_loss": training, "steps": epochs * self.peer.workload.steps}

    def time(self, seconds: float, clock: str) -> dict:
        """Trains from the initial weights for about this long. The first epoch warms up and is not counted."""
        peer = self.peer
        now = {"elapsed": clocks.perf_counter, "cpu": clocks.process_time}[clock]
        peer.reset()
        start = now()
        peer.train(1, shuffle=True)
        first = now() - start
        epochs, spent, done = max(1, min(10, int(seconds / max(first, 1e-6) / 4))), 0.0, 0
        while spent < seconds:
            start = now()
            peer.train(epochs, shuffle=True)
            spent += now() - start
            done += epochs
            epochs = max(1, round(done * (seconds - spent) / spent)) if spent < seconds else 0
        return {"seconds_per_step": spent / (done * peer.workload.steps), "steps": done * peer.workload.steps}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers

    def answer(**fields) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    try:
        keep_to(int(sys.argv[2]))
        session = Session(sys.argv[1])
        answer(versions=session.versions())
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(**getattr(session, request.pop("do"))(**request))
        except session.interface.Unable as error:
            answer(error=str(error), unable=True)
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
