"""Damage to bytes, for the files of `fuzz_files.py` and `fuzz_keras.py`."""

import random

EXTREMES = [b"\0", b"\xff", b"\x7f", b"\x80", b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f",
            b"{", b"}", b"[", b'"', b"9" * 30]  # fmt: skip


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """The same with one to sixteen changes: bits, bytes, sizes and pieces, here and there."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, other, piece = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1), rng.choice((1, 4, 8, 100))
        kind = rng.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 2:
            extreme = rng.choice(EXTREMES)
            data[at : at + len(extreme)] = extreme
        elif kind == 3:
            data[at:at] = rng.choice(EXTREMES)
        elif kind == 4:
            data[at : at + 8] = data[other : other + 8]
        elif kind == 5:
            data[at:at] = data[other : other + piece]
        elif kind == 6:
            del data[at : at + piece]
        elif kind == 7 and rng.random() < 0.2:
            del data[at:]
    return bytes(data)
