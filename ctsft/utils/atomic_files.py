"""Files and folders that appear complete or not at all, and full disks as an error of one sentence.

Content is written under a hidden name beside the target, flushed to the disk, and renamed to the
target in one step. If the process is killed or the machine is switched off in between, the old file
remains, or none, and a leftover that the next writer removes.
"""

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from ctsft.utils.errors import UserError
from ctsft.utils.units import bytes_text

DISK_FULL_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# in the messages of writers in C++ and Rust, which raise no OSError
DISK_FULL_MESSAGES = (
    "no space left",
    "os error 28",
    "os error 27",
    "os error 122",
    "file write failed",
    "iostream error",
    "unexpected pos",
)

# Windows cannot replace a file while a reader has it open
REPLACE_ATTEMPTS = 20
REPLACE_PAUSE = 0.02  # seconds


class DiskFull(UserError):
    """No space left for a file; the text says for which, how much it needs, and where."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of Python or of a library's writer means that the disk is full."""
    if isinstance(error, OSError) and error.errno in DISK_FULL_NUMBERS:
        return True
    return any(message in str(error).lower() for message in DISK_FULL_MESSAGES)


def disk_full(what: str, need: int, folder: Path) -> DiskFull:
    """The error for `what`, which needs `need` bytes (0: unknown) in `folder`."""
    needs = f"it needs {bytes_text(need)}, and " if need else ""
    return DiskFull(
        f"There is no space left for {what}: {needs}{folder} has {bytes_text(free_bytes(folder))}"
        " free. What was saved before is intact. Free some space and resume the run."
    )


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, or of its nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@contextmanager
def atomic_path(path: Path, what: str, need: int = 0) -> Iterator[Path]:
    """A temporary name to write a file or a folder under. It becomes `path` when the body ends
    normally, and is removed when the body raises.

    `what` names the content in the error; `need`: the bytes it will take, 0 if unknown. Raises
    `DiskFull` where there is no space left. One writer at a time: for several, see `write_bytes`.
    """
    part = path.with_name(f".{path.name}.part")
    remove(part)
    try:
        if need and free_bytes(path.parent) < need:
            raise disk_full(what, need, path.parent)
        yield part
        for written in paths_of(part):
            flush_to_disk(written)
        if path.is_dir():  # a folder cannot be replaced by another
            remove(path)
        replace(part, path)
        flush_to_disk(path.parent)
    except BaseException as error:
        size = need or sum(file.stat().st_size for file in paths_of(part) if file.is_file())
        remove(part)  # first, so that the error states the space that is free afterwards
        if not isinstance(error, UserError) and is_disk_full(error):
            raise disk_full(what, size, path.parent) from error
        raise


def paths_of(path: Path) -> list[Path]:
    """A file itself, or a folder and everything in it."""
    return [path, *path.rglob("*")] if path.is_dir() else [path]


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a small file in one step; readers see the old content or the new one. Several
    processes and threads may do so at once: the last one wins.

    Raises OSError where the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def flush_to_disk(path: Path) -> None:
    """Wait until a file or folder is on the disk itself, not only in the machine's memory."""
    windows = os.name == "nt"
    if windows and path.is_dir():  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(part: Path, path: Path) -> None:
    """Rename `part` to `path`; tries again while another process on Windows has `path` open."""
    for attempt in count():
        try:
            os.replace(part, path)
            return
        except PermissionError:
            if attempt == REPLACE_ATTEMPTS:
                raise
            time.sleep(REPLACE_PAUSE)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()


def append(path: Path, line: bytes) -> None:
    """Append a complete line to a file, or nothing. Raises `DiskFull`."""
    with open(path, "ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                file.truncate(size)
            if is_disk_full(error):
                raise disk_full("a line of the run's record", len(line), path.parent) from error
            raise
