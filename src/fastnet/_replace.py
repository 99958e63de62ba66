"""Files that are replaced as a whole: whoever reads one finds the old or the new, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from typing import IO, Any

__all__ = ["replaced_file"]

Path = str | os.PathLike[str]

#: The longest name that a folder takes where the system does not say.
_LONGEST_NAME = 255


def _beginning_and_pattern(name: str, longest: int) -> tuple[str, re.Pattern[str]]:
    """How the names of files begin that stand in for a file while it is written, and what those of all times match.

    They are ``<beginning>.<process>.<16 hexadecimal digits>.tmp``; before there were several threads, the digits were
    missing. A name that would become too long is cut.
    """
    room = longest - len(f".{2**32}.{'0' * 16}.tmp")
    encoded = os.fsencode(name)
    beginning = name if len(encoded) <= room else os.fsdecode(encoded[:room]).encode("utf-8", "ignore").decode("utf-8")
    return beginning, re.compile(re.escape(beginning) + r"\.\d+(\.[0-9a-f]{16})?\.tmp")


def _lock(number: int, wait: bool) -> bool | None:
    """Locks an open file, for as long as it is open; False: another one has it, None: there are no locks here."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without
        return None
    return True


def _remove_leftovers(folder: str, pattern: re.Pattern[str]) -> None:
    """Removes what a process left behind that ended while it wrote.

    Who writes holds a lock, which ends with the process: a number of a process would say nothing of one in another
    container or on another machine, or of one that has got it since.
    """
    with contextlib.suppress(OSError):
        names = [entry.name for entry in os.scandir(folder) if pattern.fullmatch(entry.name)]
        for name in names:
            with contextlib.suppress(OSError):
                path = os.path.join(folder, name)
                number = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
                try:
                    if _lock(number, wait=False):
                        os.unlink(path)
                finally:
                    os.close(number)


def _create(folder: str, beginning: str, mode: int) -> tuple[int, str]:
    """A new file, locked, and its path."""
    while True:
        path = os.path.join(folder, f"{beginning}.{os.getpid()}.{os.urandom(8).hex()}.tmp")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            number = os.open(path, flags, mode)
        except FileExistsError:
            continue
        try:
            _lock(number, wait=True)
            # Until it was locked, another one could take it for left behind.
            if os.fstat(number).st_nlink > 0 or os.name != "posix":
                return number, path
        except BaseException:
            os.close(number)
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        os.close(number)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _writable_status(path: str) -> os.stat_result | None:
    """What the system says of the file that is there; OSError where it is none that may be replaced."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is a device, a pipe or a socket, and no file that could be replaced", path)
    if not status.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "is read-only", path)
    return status


def _take_over(number: int, old: os.stat_result) -> None:
    """Gives an open file the owner, where that is permitted, and the mode of another one."""
    new = os.fstat(number)
    for owner, group in ((old.st_uid, old.st_gid), (-1, old.st_gid)):
        if (owner not in (-1, new.st_uid)) or group != new.st_gid:
            with contextlib.suppress(OSError):
                os.fchown(number, owner, group)
                break
    os.fchmod(number, stat.S_IMODE(old.st_mode))


@contextlib.contextmanager
def replaced_file(path: Path, **options: Any) -> Iterator[IO[Any]]:
    """A file to write to that takes the place of another one, or is new, when the block has ended without an exception.

    It is written under another name in the same folder, flushed to the disk and renamed, and the folder is flushed, so
    that after a crash there is the old file or the new one, whole. Any number of threads and processes may do this to
    one path at a time. Links are followed. The mode of the old file stays and, where that is permitted, its owner; a new
    one has the mode that the umask says.

    Parameters
    ----------
    path : path
    **options
        As for `open`: ``mode="w", encoding="utf-8"``. Without, bytes are written.

    Raises
    ------
    OSError
        If there is no such folder, the path is a folder, a device or read-only, or the disk is full. The old file is
        unchanged then.
    """
    real = os.path.realpath(os.fsdecode(path))
    folder, name = os.path.split(real)
    if not _is_folder(folder):
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder!r} to write to", real)
    old = _writable_status(real)
    try:
        longest = os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        longest = _LONGEST_NAME
    if len(os.fsencode(name)) > longest:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), real)
    beginning, pattern = _beginning_and_pattern(name, longest)
    _remove_leftovers(folder, pattern)
    try:
        number, temporary = _create(folder, beginning, 0o666 if old is None else 0o600)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, real) from None
    try:
        try:
            # Who has opened it closes it: where memory is short, `open` may fail after it has taken the number over.
            with open(number, **{"mode": "wb", **options}, closefd=False) as file:
                if old is not None and os.name == "posix":
                    _take_over(number, old)
                yield file
                file.flush()
                os.fsync(number)
                if os.name == "posix":  # as long as it is locked
                    os.replace(temporary, real)
        finally:
            os.close(number)
        if os.name != "posix":
            os.replace(temporary, real)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
