"""Files and folders that appear whole or not at all, and a full disk told in one sentence.

What is written goes to a hidden name beside the target, is flushed to the disk, and takes the
target's name in one step. A process killed, or a machine switched off, in between leaves the old
file, or none, and a leftover that the next writer removes.
"""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from ctsft.utils.errors import UserError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# C++'s, Rust's
WORDS = (
    "no space left",
    "os error 28",
    "os error 27",
    "os error 122",
    "file write failed",
    "iostream error",
    "unexpected pos",
)


class DiskFull(UserError):
    """Something could not be kept for want of room; its text says what, how much, and where."""


def is_full(error: BaseException) -> bool:
    """Whether an error, of Python's own or of a library's writer, says that there is no room."""
    return (isinstance(error, OSError) and error.errno in FULL) or any(
        word in str(error).lower() for word in WORDS
    )


def no_room(what: str, need: int, folder: Path) -> DiskFull:
    """need: bytes."""
    needs = f"it needs {megabytes(need)}, and " if need else ""
    return DiskFull(
        f"There is no room for {what}: {needs}{folder} has {megabytes(free(folder))} free; what was"
        " saved before is intact: free some space and resume the run."
    )


def free(folder: Path) -> int:
    """Bytes; of the nearest folder above that exists."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


@contextmanager
def whole(path: Path, what: str, need: int = 0) -> Iterator[Path]:
    """A name to write a file or a folder under; it becomes `path` when the body ends well, and goes
    when it does not.

    need: bytes it will take, for the sentence of the `DiskFull` it raises where there is no room.
    """
    part = path.with_name(f".{path.name}.part")
    remove(part)
    try:
        if need and free(path.parent) < need:
            raise no_room(what, need, path.parent)
        yield part
        written = [part, *part.rglob("*")] if part.is_dir() else [part]
        for one in written:
            sync(one)
        remove(path) if path.is_dir() else None  # a folder cannot be replaced by another
        replace(part, path)
        sync(path.parent)
    except BaseException as error:
        size = need or sum(
            one.stat().st_size
            for one in (part.rglob("*") if part.is_dir() else [part])
            if one.is_file()
        )
        remove(part)  # before the free space is told
        if not isinstance(error, UserError) and is_full(error):
            raise no_room(what, size, path.parent) from error
        raise


def sync(path: Path):
    """On the disk itself, not only in the machine's memory."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder
        return
    number = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def replace(part: Path, path: Path):
    for attempt in count():
        try:
            os.replace(part, path)
            return
        except PermissionError:  # Windows, while a reader has the file open
            if attempt == 20:
                raise
            time.sleep(0.02)


def remove(path: Path):
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()


def append(path: Path, line: bytes):
    """A whole line at the end of a file, or nothing; raises `DiskFull`."""
    with open(path, "ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                file.truncate(size)
            if is_full(error):
                raise no_room("a line of the run's record", len(line), path.parent) from error
            raise
