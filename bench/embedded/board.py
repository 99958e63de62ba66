"""Compiles for a Cortex-M4F and counts instructions: GCC for ARM and picolibc, qemu's board mps2-an386 with an instruction a nanosecond."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import tempfile
from typing import NamedTuple

__all__ = ["MISSING", "Measured", "measure"]

HERE = pathlib.Path(__file__).parent
CPU = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
COMPILE = ["arm-none-eabi-gcc", "--specs=picolibc.specs", *CPU, "-Os", "-ffunction-sections", "-fdata-sections"]
#: Of the programs that this needs, those that are not there.
MISSING = [name for name in ("arm-none-eabi-gcc", "qemu-system-arm") if shutil.which(name) is None]
#: A call is repeated so often, since a tick of the timer is so many instructions.
REPEATS = 40

_MAIN = """
#include <stdint.h>
#include <string.h>
{head}
uint32_t count_ticks(void);
void write_number(const char *name, uint32_t number);
int main(void)
{{
    int i;
    uint32_t begin;
{before}
    begin = count_ticks();
    for (i = 0; i < {repeats}; i++) {{
        {call}
    }}
    write_number("instructions", (count_ticks() - begin) * 40 / {repeats});
    return 0;
}}
"""


class Measured(NamedTuple):
    """What a program takes: instructions of a call; bytes of code and constants (text), and of variables (ram)."""

    instructions: int
    text: int
    ram: int


def _size(path: pathlib.Path) -> tuple[int, int]:
    """Bytes of code and constants, and of variables, of an object or a program."""
    printed = subprocess.run(["arm-none-eabi-size", str(path)], check=True, capture_output=True, text=True).stdout
    text, data, bss = map(int, printed.splitlines()[1].split()[:3])
    return text, data + bss


def measure(
    head: str,
    call: str,
    before: str = "",
    includes: tuple[str, ...] = (),
    libraries: tuple[str, ...] = (),
    data: tuple[int, int] = (0, 0),
) -> Measured:
    """Runs a call on the board.

    Parameters
    ----------
    head : str
        C at file level: the code that is measured and its data.
    call, before : str
        Statements that are measured, and that are not.
    includes, libraries : tuple of str
        Folders of headers; libraries such as "m".
    data : (int, int)
        Bytes of constants and of variables that are the caller's, and not counted.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "main.c").write_text(_MAIN.format(head=head, call=call, before=before, repeats=REPEATS), encoding="utf-8")
        program = folder / "main.elf"
        flags = [f"-I{path}" for path in includes]
        link = ["-nostartfiles", "-Wl,--gc-sections", f"-T{HERE / 'board.ld'}", *(f"-l{one}" for one in libraries)]
        sources = [str(HERE / "startup.c"), str(folder / "main.c")]
        subprocess.run([*COMPILE, *flags, *sources, *link, "-o", str(program)], check=True, capture_output=True, text=True)
        board = [
            "qemu-system-arm",
            "-M",
            "mps2-an386",
            "-icount",
            "shift=0",
            "-nographic",
            "-semihosting",
            "-kernel",
            str(program),
        ]
        printed = subprocess.run(board, check=False, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        found = re.search(r"instructions (\d+)", printed.stdout + printed.stderr)
        if found is None:
            raise RuntimeError(f"the board said {printed.stdout!r} {printed.stderr!r}")
        empty = folder / "empty.elf"
        (folder / "main.c").write_text(_MAIN.format(head="", call="", before="", repeats=REPEATS), encoding="utf-8")
        subprocess.run([*COMPILE, *sources, *link, "-o", str(empty)], check=True, capture_output=True, text=True)
        text, ram = _size(program)
        text_of_board, ram_of_board = _size(empty)
        return Measured(int(found[1]), text - text_of_board - data[0], ram - ram_of_board - data[1])
