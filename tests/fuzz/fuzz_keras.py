"""Damaged .keras files: `from_keras` raises ValueError that names the file, soon, without much memory, and leaves models whole.

    python tests/fuzz/fuzz_keras.py --seconds 60 --seed 0     # exit status 1 and a copy of the file where it does not

Every file is a function of the seed and its number. The files are read by another process, whose death or silence is a finding too.
"""

import argparse
import copy
import io
import itertools
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

from mutations import damaged_bytes

TRACES = pathlib.Path(__file__).parent.parent / "traces"

#: What a load may take: seconds of this process, and bytes more than the process has at its beginning.
SECONDS, MEMORY = 5.0, 1 << 30

VALUES = [None, True, False, 0, 1, -1, 2, 3, 7, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 10**30, -(2**63), 0.0, -0.5, 0.5, 1e-300,
          1e300, float("nan"), float("inf"), "", "x", "dense", "Dense", "relu", "Sequential", "keras.src.ops", "\ud800", "\0", [], [0], [[]],
          [None], [None, 4], [None, None], [1, 2, 3], {}, {"class_name": "Dense"}, {"class_name": "Dense", "config": None},
          {"class_name": "__keras_tensor__", "config": {}}, {"class_name": "__numpy__", "config": {"value": [[1], [2, 3]]}},
          {"class_name": "__tuple__"}, {"name": "dense"}]  # fmt: skip
KEYS = ["axis", "class_name", "dtype", "kwargs", "layers", "mask", "name", "shared_object_id", "stateful", "units"]


def parts_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts):
    """An archive of entries, whole in itself."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return file.getvalue()


def containers(plain):
    """All lists and dictionaries in a configuration."""
    found, left = [], [plain]
    while left:
        one = left.pop()
        if isinstance(one, (dict, list)):
            found.append(one)
            left.extend(one.values() if isinstance(one, dict) else one)
    return found


def layer_arguments():
    """All layers that there are, with the names of their arguments."""
    from fastnet.layers._registry import layer_table

    return {name: sorted(cls._arguments()) for name, cls in sorted(layer_table().items())}


def damaged_config(text, rng, layers):
    config = json.loads(text)
    if rng.random() < 0.2:  # another layer, with arguments of its own
        layer = rng.choice(config["config"]["layers"])
        layer["class_name"] = rng.choice(list(layers))
        if rng.random() < 0.5:
            layer["config"] = {"name": layer["config"]["name"]}
        for name in rng.choices(layers[layer["class_name"]], k=rng.choice((0, 1, 2, 4))):
            layer["config"][name] = copy.deepcopy(rng.choice(VALUES))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = [one for one in containers(config) if one]
        if not found:
            break
        one = rng.choice(found)
        key = rng.choice(list(one)) if isinstance(one, dict) else rng.randrange(len(one))
        kind = rng.randrange(8)
        if kind < 3:
            one[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind == 3:
            del one[key]
        elif kind == 4:
            one[key] = json.loads(json.dumps(rng.choice(found)))
        elif kind == 5 and isinstance(one, list):
            one.insert(key, json.loads(json.dumps(one[key])))
        elif kind == 6 and isinstance(one, dict):
            one[rng.choice(KEYS)] = copy.deepcopy(rng.choice(VALUES))
        elif kind == 7 and isinstance(one[key], (int, float)) and not isinstance(one[key], bool):
            one[key] = rng.choice((one[key] + 1, -one[key], one[key] * 2, one[key] * 10**9, float(one[key])))
    return json.dumps(config).encode("utf-8", "surrogatepass")


def damaged(parts, rng, layers):
    """A damaged archive of these entries."""
    parts = dict(parts)
    kind = rng.randrange(10)
    if kind < 2:
        return damaged_bytes(packed(parts), rng)
    if kind < 6:
        parts["config.json"] = damaged_config(parts["config.json"], rng, layers)
    elif kind < 9:
        parts["model.weights.h5"] = damaged_bytes(parts["model.weights.h5"], rng)
    else:
        parts["config.json"] = damaged_bytes(parts["config.json"], rng)
    if rng.random() < 0.02:
        del parts[rng.choice(list(parts))]
    return packed(parts)


class Target:
    """Loads damaged files and says what is wrong with how that goes."""

    def __init__(self, folder):
        import fastnet as fn

        self.load = fn.saving.from_keras
        self.corpus = [(path.name, parts_of(path), path) for path in sorted(TRACES.glob("*.keras"))]
        self.layers = layer_arguments()
        self.models = {}
        for name, _, path in self.corpus:
            if "quantized" not in name:
                self.models[name] = self.load(path)
        self.path = pathlib.Path(folder) / "damaged.keras"

    def run(self, seed, number):
        """What is wrong, or None."""
        rng = random.Random(f"{seed}/{number}")
        name, parts, _ = rng.choice(self.corpus)
        self.path.write_bytes(damaged(parts, rng, self.layers))
        model = self.models.get(name) if rng.random() < 0.25 else None
        before = model.get_weights() if model is not None else []
        began = time.process_time()
        try:
            self.load(self.path, model)
        except ValueError as error:
            if str(self.path) not in str(error):
                return f"a message that does not name the file: {error}"
            if model is not None and any((a != b).any() for a, b in zip(before, model.get_weights())):
                return f"a changed model, after: {error}"
        except Exception as error:  # whatever else there is, is a finding
            return f"{type(error).__name__}: {error}"
        else:
            if model is not None:
                model.set_weights(before)
        seconds = time.process_time() - began
        return f"{seconds:.1f} seconds" if seconds > SECONDS else None


def work(seed, first, last, folder):
    """Loads files until one shows a fault; the number of the one at hand is in a file."""
    import resource

    target = Target(folder)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    with open(pathlib.Path(folder) / "at", "r+") as at:
        for number in range(first, last) if last else itertools.count(first):
            at.seek(0)
            at.write(f"{number:12}")
            at.flush()
            wrong = target.run(seed, number)
            if wrong:
                print(wrong, flush=True)
                sys.exit(3)
        at.seek(0)
        at.write(f"{'end':12}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--last", type=int, help="number after that of the last file")
    parser.add_argument("--findings", default="findings", help="folder for copies of the files")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.seed, given.first, given.last, given.worker)
        return 0
    end, number, findings = time.monotonic() + given.seconds, given.first, 0
    memory = "/dev/shm"  # where there is one, files cost nothing
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        at = pathlib.Path(folder) / "at"
        while time.monotonic() < end and findings < 20:
            at.write_text(f"{number:12}")
            command = [sys.executable, __file__, "--worker", folder, "--seed", str(given.seed), "--first", str(number)]
            if given.last is not None:
                command += ["--last", str(given.last)]
            worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            seen, since = at.read_text(), time.monotonic()
            while worker.poll() is None and time.monotonic() < end:
                time.sleep(0.2)
                now = at.read_text()
                if now != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > 10 * SECONDS:
                    break
            ended = worker.poll() is not None
            worker.kill()
            told = worker.communicate()[0].strip()
            if at.read_text().strip() == "end":
                number = given.last
                break
            number = int(at.read_text())
            if ended or time.monotonic() < end:
                findings += 1
                wrong = (
                    told.splitlines()[-1] if told else f"the process ended with status {worker.returncode}" if ended else "no end"
                )
                copy = pathlib.Path(given.findings) / f"keras-{given.seed}-{number}.keras"
                copy.parent.mkdir(parents=True, exist_ok=True)
                if (pathlib.Path(folder) / "damaged.keras").exists():
                    shutil.copy(pathlib.Path(folder) / "damaged.keras", copy)
                print(f"{copy}: {wrong}", flush=True)
                number += 1
    print(f"seed {given.seed}: {number - given.first} files, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
