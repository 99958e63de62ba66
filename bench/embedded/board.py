"""Compiles for a microcontroller and counts instructions: GCC and picolibc, boards of qemu with an instruction a nanosecond."""

from __future__ import annotations

import functools
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["BOARDS", "MISSING", "Board", "Measured", "measure"]

HERE = pathlib.Path(__file__).parent


class Board(NamedTuple):
    """A processor: the prefix of its compiler's name, flags, the programs that emulate it, and what a program on it begins with."""

    compiler: str
    flags: tuple[str, ...]
    emulator: tuple[str, ...]
    startup: str
    script: str

    @property
    def missing(self) -> list[str]:
        """Of the programs that it needs, those that are not there."""
        return [name for name in (f"{self.compiler}gcc", self.emulator[0]) if shutil.which(name) is None]


_ARM = ("qemu-system-arm", "-M", "mps2-an386", "-semihosting")
#: The code for a Cortex-M0 is run on the emulated Cortex-M4, which has all its instructions.
BOARDS = {
    "Cortex-M4F": Board(
        "arm-none-eabi-", ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"), _ARM, "startup.c", "board.ld"
    ),
    "Cortex-M0": Board("arm-none-eabi-", ("-mcpu=cortex-m0", "-mthumb"), _ARM, "startup.c", "board.ld"),
    "rv32imac": Board(
        "riscv64-unknown-elf-", ("-march=rv32imac", "-mabi=ilp32"), ("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
        "startup_riscv.c", "board_riscv.ld",
    ),
}  # fmt: skip
#: Of the programs that the first needs, those that are not there.
MISSING = BOARDS["Cortex-M4F"].missing
#: A call is repeated so often, since a tick of a timer may be so many instructions.
REPEATS = 40

_MAIN = """
#include <stdint.h>
#include <string.h>
{head}
uint32_t count_instructions(void);
void write_number(const char *name, uint32_t number);
int main(void)
{{
    int i;
    uint32_t begin;
{before}
    begin = count_instructions();
    for (i = 0; i < {repeats}; i++) {{
        {call}
    }}
    write_number("instructions", (count_instructions() - begin) / {repeats});
    return 0;
}}
"""


class Measured(NamedTuple):
    """What a program takes: instructions of a call; bytes of code and constants (text), and of variables (ram)."""

    instructions: int
    text: int
    ram: int


def _size(path: pathlib.Path, board: Board) -> tuple[int, int]:
    """Bytes of code and constants, and of variables, of an object or a program."""
    printed = subprocess.run([f"{board.compiler}size", str(path)], check=True, capture_output=True, text=True).stdout
    text, data, bss = map(int, printed.splitlines()[1].split()[:3])
    return text, data + bss


def _write_main(path: pathlib.Path, head: str = "", call: str = "", before: str = "") -> None:
    path.write_text(_MAIN.format(head=head, call=call, before=before, repeats=REPEATS), encoding="utf-8")


def _compile(board: Board, source: pathlib.Path, program: pathlib.Path, flags: Sequence[str] = ()) -> None:
    compiler = [f"{board.compiler}gcc", "--specs=picolibc.specs", *board.flags, "-Os", "-ffunction-sections", "-fdata-sections"]
    link = ["-nostartfiles", "-Wl,--gc-sections", f"-T{HERE / board.script}"]
    sources = [str(path) for path in (HERE / board.startup, HERE / "console.c", source)]
    subprocess.run([*compiler, *sources, *link, *flags, "-o", str(program)], check=True, capture_output=True, text=True)


@functools.cache
def _size_of_nothing(board: Board) -> tuple[int, int]:
    """Of a program that measures nothing."""
    with tempfile.TemporaryDirectory() as name:
        source, program = pathlib.Path(name, "main.c"), pathlib.Path(name, "main.elf")
        _write_main(source)
        _compile(board, source, program)
        return _size(program, board)


def measure(
    head: str,
    call: str,
    before: str = "",
    includes: tuple[str, ...] = (),
    libraries: tuple[str, ...] = (),
    data: tuple[int, int] = (0, 0),
    board: Board = BOARDS["Cortex-M4F"],
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
    board : Board
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        _write_main(folder / "main.c", head, call, before)
        program = folder / "main.elf"
        flags = [f"-I{path}" for path in includes]
        _compile(board, folder / "main.c", program, [*flags, *(f"-l{one}" for one in libraries)])
        command = [*board.emulator, "-icount", "shift=0", "-nographic", "-kernel", str(program)]
        printed = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        found = re.search(r"instructions (\d+)", printed.stdout + printed.stderr)
        if found is None:
            raise RuntimeError(f"the board said {printed.stdout!r} {printed.stderr!r}")
        text, ram = _size(program, board)
        text_of_board, ram_of_board = _size_of_nothing(board)
        return Measured(int(found[1]), text - text_of_board - data[0], ram - ram_of_board - data[1])
