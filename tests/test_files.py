"""What is written to the disk: always a whole file, whatever other threads, the disk or the file there do to it."""

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from networks import network, same_weights

import fastnet as fn
from fastnet import _figures, _replace, saving
from fastnet._replace import replaced_file
from fastnet.history import read_csv, write_csv

# ---- the format, against the package of its authors ------------------------------------------------------------------

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(2.5), "none": np.zeros((0, 3)),
    "flags": np.array([True, False, True]), "half": np.arange(3, dtype=np.float16), "turned": np.arange(6.0).reshape(2, 3).T,
    "swapped": np.arange(3, dtype=">f8"), "bytes": np.arange(5, dtype=np.uint8), "wide": np.array([2**63], np.uint64),
    "Zuerst ä/β": np.arange(4, dtype=np.int16), "complex": np.array([1 + 2j], np.complex64),
}  # fmt: skip


def test_written_as_the_package_of_the_format_reads_it(tmp_path):
    saving.write_tensors(tmp_path / "x", ARRAYS, {"name": 'a "quoted" ü\n'})
    found = safetensors.numpy.load_file(tmp_path / "x")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype.newbyteorder("=") and np.array_equal(found[name], array), name
    with safetensors.safe_open(tmp_path / "x", framework="numpy") as file:
        assert file.metadata() == {"name": 'a "quoted" ü\n'}
    plain = {name: np.ascontiguousarray(array) for name, array in ARRAYS.items() if name != "swapped"}
    saving.write_tensors(tmp_path / "y", plain, {})
    assert (tmp_path / "y").read_bytes() == safetensors.numpy.save(plain)


def test_read_as_the_package_of_the_format_writes_it(tmp_path):
    plain = {name: np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))) for name, array in ARRAYS.items()}
    (tmp_path / "x").write_bytes(safetensors.numpy.save(plain, {"k": "ü"}))
    found, metadata = saving.read_tensors(tmp_path / "x")
    assert metadata == {"k": "ü"} and found.keys() == plain.keys()
    assert all(found[name].dtype == array.dtype and np.array_equal(found[name], array) for name, array in plain.items())


def test_pieces_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(saving.tensors, "_PIECE", 24)
    tensors = {"a": np.arange(50.0), "b": np.arange(40, dtype=np.uint8), "c": np.arange(33, dtype=">i4")}
    saving.write_tensors(tmp_path / "x", tensors, {})
    found, _ = saving.read_tensors(tmp_path / "x")
    assert all(np.array_equal(found[name], array) for name, array in tensors.items())
    assert all(np.array_equal(array, tensors[name]) for name, array in safetensors.numpy.load_file(tmp_path / "x").items())


def test_what_the_format_does_not_hold(tmp_path):
    for wrong in (np.array(["text"]), np.array([object()]), np.zeros(2, np.complex128), np.zeros(2, np.longdouble)):
        with pytest.raises(TypeError, match="tensor 'x' has dtype"):
            saving.write_tensors(tmp_path / "x", {"x": wrong}, {})
    with pytest.raises(ValueError, match="__metadata__"):
        saving.write_tensors(tmp_path / "x", {"__metadata__": np.zeros(2)}, {})
    assert not list(tmp_path.iterdir())


def file_of(header, size=24):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def entry(shape=(6,), dtype="F32", begin=0, end=24, **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


HALF = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
#: Files of 24 bytes of numbers that are none, with a word of why.
BROKEN = {
    "nothing": (b"", "0 bytes"), "no length": (b"\1\0\0\0", "4 bytes"),
    "length beyond the end": (struct.pack("<Q", 3) + b"{}", "3 bytes"),
    "length of no file": (struct.pack("<Q", 2**64 - 1) + b"{}", "bytes"),
    "a list": (file_of(b"[]"), "JSON object"), "spaces first": (file_of(b" {}", 0), "JSON object"), "text": (file_of(b"hello"), "JSON object"),
    "no UTF-8": (file_of(b'{"\xff":1}'), "utf-8"), "cut": (file_of(b'{"a":'), "Expecting"),
    "half a character": (file_of({"\ud800": entry()}), "surrogates"), "deep": (file_of(b'{"a":' * 100_000), "recursion"),
    "a tensor twice": (file_of(b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2)), "twice"),
    "a field twice": (file_of(b'{"a":{"dtype":"F32","dtype":"F32","shape":[6],"data_offsets":[0,24]}}'), "twice"),
    "NaN": (file_of(b'{"a":NaN}'), "NaN"), "many digits": (file_of(b'{"a":%s}' % (b"9" * 5000)), "digits"),
    "metadata of numbers": (file_of({"__metadata__": {"a": 1}, "a": entry()}), "strings"),
    "metadata as a list": (file_of({"__metadata__": [], "a": entry()}), "strings"),
    "no object": (file_of({"a": 3}), "JSON object"), "no dtype": (file_of({"a": {"shape": [6], "data_offsets": [0, 24]}}), "dtype"),
    "unknown dtype": (file_of({"a": entry(dtype="F33")}), "F33"), "a list as dtype": (file_of({"a": entry(dtype=[])}), "dtype"),
    "negative size": (file_of({"a": entry([-6])}), "shape"), "fraction": (file_of({"a": entry([6.0])}), "shape"),
    "truth value": (file_of({"a": entry([True, 6])}), "shape"), "too many axes": (file_of({"a": entry([1] * 65 + [6])}), "shape"),
    "huge size": (file_of({"a": entry([2**64])}), "shape"), "sizes that overflow": (file_of({"a": entry([2**62, 2**62, 96])}), "cannot be"),
    "sizes that overflow to the right number": (file_of({"a": entry([2**32, 2**30, 16], end=0)}, 0), "cannot be"),
    "no shape": (file_of({"a": {"dtype": "F32", "data_offsets": [0, 24]}}), "shape"), "other size": (file_of({"a": entry([5])}), "cannot be"),
    "backwards": (file_of({"a": entry([0], begin=24, end=0)}), "cannot be"), "beyond the end": (file_of({"a": entry([7], end=28)}), "cannot be"),
    "three offsets": (file_of({"a": {**entry(), "data_offsets": [0, 24, 24]}}), "place"),
    "negative offset": (file_of({"a": entry([7], begin=-4)}), "place"),
    "overlapping": (file_of({"a": entry(), "b": HALF}), "begins at"), "the same": (file_of({"a": entry(), "b": entry()}), "begins at"),
    "a hole": (file_of({"a": HALF, "b": entry([2], begin=16)}), "begins at"), "a hole at the beginning": (file_of({"b": entry([5], begin=4)}), "begins at"),
    "more at the end": (file_of({"a": HALF}), "end at"), "an empty one in another": (file_of({"a": entry(), "b": entry([0], begin=4, end=4)}), "begins at"),
    "no tensors": (file_of({}), "end at"), "odd number of halves of bytes": (file_of({"a": entry([49], dtype="F4")}), "cannot be"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_are_none(tmp_path, name):
    data, word = BROKEN[name]
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ValueError, match=word) as caught:
        saving.read_tensors(tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value)
    with pytest.raises(safetensors.SafetensorError):
        if name in ("spaces first", "too many axes", "a tensor twice"):  # the package takes these
            raise safetensors.SafetensorError
        safetensors.safe_open(tmp_path / "x", framework="numpy")


def test_a_header_longer_than_any_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(file_of({"a": entry()}))
    monkeypatch.setattr(saving.tensors, "_LONGEST_HEADER", 40)
    with pytest.raises(ValueError, match="header would be of"):
        saving.read_tensors(tmp_path / "x")
    with pytest.raises(ValueError, match="more than 40"):
        saving.write_tensors(tmp_path / "y", {"a": np.zeros(3)}, {})


def test_numbers_that_numpy_does_not_have(tmp_path):
    (tmp_path / "x").write_bytes(file_of({"a": entry([24], "F8_E4M3")}))
    with pytest.raises(ValueError, match="'a' is of type F8_E4M3"):
        saving.read_tensors(tmp_path / "x")
    with saving.tensors.TensorFile(tmp_path / "x") as file:
        assert file.entries["a"].shape == (24,)
    halves = (np.array([1.5, -2.0, 3.0], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    (tmp_path / "x").write_bytes(file_of({"a": entry([3, 1], "BF16", end=6)}, 0) + halves)
    found = saving.read_tensors(tmp_path / "x")[0]["a"]
    assert found.dtype == np.float32 and found.tolist() == [[1.5], [-2.0], [3.0]]
    (tmp_path / "x").write_bytes(file_of({"a": entry([24], "BOOL")})[:-1] + b"\2")
    with pytest.raises(ValueError, match="truth values"):
        saving.read_tensors(tmp_path / "x")
    (tmp_path / "x").write_bytes(file_of({"a": entry([0, 2**62], end=0)}, 0))
    with pytest.raises(ValueError, match="'a' of shape"):
        saving.read_tensors(tmp_path / "x")


def test_a_file_that_becomes_shorter_while_it_is_read(tmp_path):
    """A mapped one would end the process."""
    path = tmp_path / "m"
    model = network(200, 200, 1)
    model.save(path)
    with saving.tensors.TensorFile(path) as file:
        os.truncate(path, 60_000)
        with pytest.raises(ValueError, match="ends within tensor"):
            for name in file.entries:
                file.read(name)
    before = model.get_weights()
    size = saving.tensors.TensorFile.read

    def truncate_and_read(file, name):
        os.truncate(path, 9_000)
        return size(file, name)

    model.save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving.tensors.TensorFile, "read", truncate_and_read)
        with pytest.raises(ValueError, match="ends within tensor"):
            model.load_weights(path)
        model.save_weights(path)
        with pytest.raises(ValueError, match="ends within tensor"):
            model.load_weights(path)
    assert same_weights(model, before)


MEMORY = """
import resource, sys, numpy as np, fastnet as fn
path = sys.argv[1]
model = fn.Sequential([fn.Input((2048,)), fn.layers.Dense(2048), fn.layers.Dense(2048)], seed=0)  # 32 MB
model.save_weights(path)
with open("/proc/self/statm") as file:
    mapped = int(file.read().split()[0]) * resource.getpagesize()
for limit in (12, 4):
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (limit << 20), -1))
    model.save_weights(path)
    try:
        model.load_weights(path)
    except MemoryError:
        print("MemoryError", end=" ")
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
model.load_weights(path)
print(model.predict(np.ones((1, 2048))).shape)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are those of Linux")
def test_saving_takes_no_memory_and_loading_fails_without_harm(tmp_path):
    found = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path / "w")], capture_output=True, text=True)
    assert (found.stdout.split(), found.returncode) == (["MemoryError", "MemoryError", "(1,", "2048)"], 0), found.stderr


# ---- files are replaced as a whole -----------------------------------------------------------------------------------


def test_three_threads_saving_to_one_path(tmp_path):
    path = tmp_path / "m"
    models = [network(40, 40, 1, seed=seed) for seed in range(3)]
    models[0].save(path)
    broken, ended = [], threading.Event()

    def save(model):
        for _ in range(25):
            model.save(path)

    def read():
        while not ended.is_set():
            try:
                loaded = fn.load_model(path)
                assert any(same_weights(loaded, model) for model in models)
            except Exception as error:
                broken.append(error)

    threads = [threading.Thread(target=save, args=(model,)) for model in models]
    reader = threading.Thread(target=read)
    for thread in [*threads, reader]:
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    reader.join()
    assert not broken
    assert [one.name for one in tmp_path.iterdir()] == ["m"]


def test_names_as_long_as_there_are(tmp_path):
    model = network(3, 1)
    for name in ("m" * 250, "m" * 255, "ü" * 127, "x" * 240 + "ü" * 7):
        model.save(tmp_path / name)
        assert same_weights(fn.load_model(tmp_path / name), model)
    with pytest.raises(OSError, match="too long"):
        model.save(tmp_path / ("m" * 256))
    assert len(list(tmp_path.iterdir())) == 4


def test_mode_and_links_of_the_old_file_stay(tmp_path):
    model = network(3, 1)
    before = os.umask(0o027)
    try:
        model.save(tmp_path / "new")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        (tmp_path / "folder").mkdir()
        os.chmod(tmp_path / "new", 0o604)
        os.symlink("../new", tmp_path / "folder" / "link")
        os.symlink(tmp_path / "folder" / "link", tmp_path / "second")
        model.layers[0].kernel[:] = 7
        model.save(tmp_path / "second")
    finally:
        os.umask(before)
    assert (tmp_path / "second").is_symlink() and (tmp_path / "folder" / "link").is_symlink()
    assert not (tmp_path / "new").is_symlink()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604
    assert same_weights(fn.load_model(tmp_path / "new"), model)
    os.symlink(tmp_path / "later", tmp_path / "dangling")
    model.save(tmp_path / "dangling")
    assert (tmp_path / "dangling").is_symlink() and (tmp_path / "later").is_file()


def test_the_owner_of_the_old_file_stays_where_that_is_permitted(tmp_path, monkeypatch):
    changed = []
    monkeypatch.setattr(os, "fchown", lambda number, user, group: changed.append((user, group)))
    (tmp_path / "m").write_bytes(b"old")
    real = os.stat

    def of_another(path, *arguments, **options):
        status = real(path, *arguments, **options)
        if os.fspath(path) == str(tmp_path / "m"):
            status = os.stat_result([*status[:4], status.st_uid + 1, status.st_gid + 2, *status[6:]])
        return status

    monkeypatch.setattr(os, "stat", of_another)
    network(3, 1).save(tmp_path / "m")
    assert changed == [(os.getuid() + 1, real(tmp_path / "m").st_gid + 2)]

    def refuse(number, user, group):
        changed.append((user, group))
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    network(3, 1).save(tmp_path / "m")
    assert [user for user, _ in changed[1:]] == [os.getuid() + 1, -1]


@pytest.mark.parametrize("write", [lambda path: network(3, 1).save(path), lambda path: network(3, 1).save_weights(path)],
                         ids=["model", "weights"])  # fmt: skip
def test_what_is_no_file_that_may_be_replaced(tmp_path, monkeypatch, write):
    # Nothing in /dev: run by root, code that replaces devices would replace those of the machine.
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as end:
        monkeypatch.chdir(tmp_path)  # paths of sockets must be short
        end.bind("socket")
    for path in (tmp_path / "socket", tmp_path / "pipe"):
        with pytest.raises(OSError, match=r"is a device, a pipe or a socket"):
            write(path)
        with pytest.raises(OSError, match=r"is a device, a pipe or a socket"):
            fn.load_model(path)
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    with pytest.raises(IsADirectoryError):
        write(tmp_path)
    (tmp_path / "mine").write_bytes(b"precious")
    os.chmod(tmp_path / "mine", 0o444)
    with pytest.raises(PermissionError, match="read-only"):
        write(tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == b"precious"
    os.symlink(tmp_path / "round", tmp_path / "round")
    with pytest.raises(OSError):
        write(tmp_path / "round")
    with pytest.raises(FileNotFoundError, match=r"none/m'"):
        write(tmp_path / "none" / "m")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mine", "pipe", "round", "socket"]


KILLED = """
import sys, time, fastnet._replace as r
with r.replaced_file(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_is_removed_and_what_others_write_is_not(tmp_path):
    path = tmp_path / ("m" * 250)
    writers = [subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        assert writer.stdout.readline() == b"writing\n"
    left = {one.name for one in tmp_path.iterdir()}
    assert len(left) == 2
    (tmp_path / "m.4711.tmp").write_bytes(b"of a process of an older fastnet")
    (tmp_path / "n.4711.tmp").write_bytes(b"of another file")
    (tmp_path / "m.tmp").write_bytes(b"no such file at all")
    network(3, 1).save(path)
    assert left <= {one.name for one in tmp_path.iterdir()}, "they are being written"
    writers[0].send_signal(signal.SIGKILL)
    writers[0].wait()
    network(3, 1).save(path)
    network(3, 1).save(tmp_path / "m")
    names = {one.name for one in tmp_path.iterdir()}
    assert len(left & names) == 1
    assert names - left == {path.name, "m", "n.4711.tmp", "m.tmp"}
    writers[1].kill()
    writers[1].wait()
    for writer in writers:
        writer.stdout.close()


def test_an_exception_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    for error in (KeyboardInterrupt, MemoryError, OSError):
        with pytest.raises(error), replaced_file(tmp_path / "x") as file:
            file.write(b"new")
            raise error
    assert [one.name for one in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_bytes() == b"old"


def test_a_writer_notices_that_its_file_was_taken_for_left_behind(tmp_path, monkeypatch):
    """Between making it and locking it."""
    lock, taken = _replace._lock, []

    def lock_after_another(number, wait):
        if wait and not taken:
            taken.append([one.name for one in tmp_path.iterdir()])
            _replace._remove_leftovers(str(tmp_path), _replace._beginning_and_pattern("x", 255)[1])
        return lock(number, wait)

    monkeypatch.setattr(_replace, "_lock", lock_after_another)
    with replaced_file(tmp_path / "x") as file:
        file.write(b"whole")
    assert len(taken[0]) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_bytes() == b"whole"


# ---- tables and pictures ---------------------------------------------------------------------------------------------

FULL = """
import resource, sys, fastnet as fn
path = sys.argv[1]
logger = fn.callbacks.CSVLogger(path)
model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
model.compile("sgd", "mse")
class Limit(fn.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 3:
            size = len(open(path, "rb").read())
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, -1))
try:
    model.fit([0, 1, 2], [1, 3, 5], epochs=9, verbose=0, callbacks=[logger, Limit()])
except OSError as error:
    print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="such a limit stands in for a full disk on Linux")
def test_a_table_loses_nothing_on_a_full_disk(tmp_path):
    path = tmp_path / "log.csv"
    found = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True)
    assert found.stdout.split() == ["27"], found.stderr
    columns, lines = read_csv(path)
    assert [line["epoch"] for line in lines] == ["0", "1", "2"] and all(len(line) == len(columns) for line in lines)
    assert path.read_bytes().endswith(b"\n")


def test_a_new_column_that_cannot_be_written_leaves_the_table(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    write_csv(path, ["a"], [{"a": 1}])
    os.symlink("log.csv", tmp_path / "link")

    def fail(number):
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            write_csv(tmp_path / "link", ["a", "b"], [{"a": 1}, {"a": 2, "b": 3}])
    assert path.read_text() == "a\n1\n" and len(list(tmp_path.iterdir())) == 2
    path.write_text("a\n1\n2")  # a process was killed while it wrote
    write_csv(tmp_path / "link", ["a"], [{"a": 3}], append=True)
    assert path.read_text() == "a\n1\n2\n3\n" and (tmp_path / "link").is_symlink()


def test_a_table_may_go_to_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for append, expected in ((False, b"a\n1\n"), (True, b"1\n")):
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        write_csv(tmp_path / "pipe", ["a"], [{"a": 1}], append=append)
        assert os.read(reader, 100) == expected
        os.close(reader)


def test_pictures_are_replaced_as_a_whole(tmp_path):
    class Figure:
        def savefig(self, file, **options):
            file.write(b"half a picture")
            raise OSError(28, "No space left on device")

    (tmp_path / "curves.png").write_bytes(b"old")
    with pytest.raises(OSError, match="No space"):
        _figures.save_figure(Figure(), tmp_path / "curves.png")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("curves.png", b"old")]
