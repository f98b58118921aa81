"""Files and folders that appear complete or not at all, and full disks as an error of one sentence.
Every file that the program writes is written here, or under a name that `atomic_path` gives.

Content is written under a hidden name beside the target, which no other writer has, flushed to the
disk, and renamed to the target in one step. If the process is killed or the machine is switched off
in between, the old file remains, or none, and a leftover that a later writer removes.

A file is as private as its folder: in a folder that only its owner may read (`private_folder`), so
are the files and folders that are written here.
"""

import errno
import os
import shutil
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psutil

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
def atomic_path(
    path: Path, what: str, need: int = 0, part: Path | None = None, new: bool = False
) -> Iterator[Path]:
    """A temporary name to write a file or a folder under. It becomes `path` when the body ends
    normally, and is removed when the body raises. Any number of writers may do so at once.

    `what` names the content in the error; `need`: the bytes it will take, 0 if unknown; `part`: the
    temporary name, where several processes write into one folder. With `new` nothing is replaced:
    FileExistsError where `path` exists. Raises `DiskFull` where there is no space left.
    """
    path = Path(path)
    remove_leftovers(path)
    part = part or part_of(path)
    remove(part)
    try:
        if need and free_bytes(path.parent) < need:
            raise disk_full(what, need, path.parent)
        yield part
        for written in paths_of(part):
            set_mode(written, path.parent)
            flush_to_disk(written)
        if new and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if path.is_dir() and not new:  # a folder cannot be replaced by another
            remove(path)
        replace(part, path)
        flush_to_disk(path.parent)
    except BaseException as error:
        size = need or size_of(part)
        remove(part)  # first, so that the error states the space that is free afterwards
        if not isinstance(error, UserError) and is_disk_full(error):
            raise disk_full(what, size, path.parent) from error
        raise


def paths_of(path: Path) -> list[Path]:
    """A file itself, or a folder and everything in it."""
    return [path, *path.rglob("*")] if path.is_dir() else [path]


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 for what does not exist."""
    size = 0
    for file in paths_of(path):
        with suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size


# tells the leftovers of this machine's processes from those of others that share the folder
MACHINE = f"{zlib.crc32(socket.gethostname().encode()):08x}"

# seconds after which a leftover of another machine counts as left by a writer that was killed
ABANDONED = 86400.0


def part_of(path: Path) -> Path:
    """A hidden name beside `path` that no other process and no other thread uses."""
    writer = f"{MACHINE}-{os.getpid()}-{threading.get_ident()}"
    return path.with_name(f".{path.name}.{writer}.part")


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left; of a folder's files, with `path / "*"`."""
    prefix = "." if path.name == "*" else f".{path.name}."
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in list(entries):
            name = entry.name
            if name.startswith(prefix) and name.endswith(".part") and is_abandoned(entry):
                remove(Path(entry.path))


def is_abandoned(entry: os.DirEntry) -> bool:
    """Whether the writer of a temporary name has ended."""
    machine, _, rest = entry.name.removesuffix(".part").rpartition(".")[2].partition("-")
    pid = rest.partition("-")[0]
    if machine == MACHINE and pid.isdecimal():
        return not psutil.pid_exists(int(pid))
    with suppress(OSError):
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED
    return False


def write_bytes(path: Path, data: bytes, new: bool = False) -> None:
    """Replace a small file in one step; readers see the old content or the new one. Several
    processes and threads may do so at once: the last one wins.

    With `new` nothing is replaced: FileExistsError where `path` exists. Raises OSError where the
    file cannot be written.
    """
    part = part_of(path)
    try:
        # what a killed writer with the same pid left
        part.unlink(missing_ok=True)
        with open(part, "xb", opener=opener_in(path.parent)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if new:
            link_new(part, path)
        else:
            replace(part, path)
        flush_to_disk(path.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_text(path: Path, text: str, what: str = "", new: bool = False) -> None:
    """`write_bytes` of text as UTF-8; `DiskFull`, which names `what`, where there is no space."""
    data = text.encode("utf-8")
    try:
        write_bytes(path, data, new)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(what or path.name, len(data), path.parent) from error
        raise


def link_new(part: Path, path: Path) -> None:
    """Rename `part` to `path`; FileExistsError where `path` exists."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links: reserve the name, then replace
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        replace(part, path)
    else:
        part.unlink()


PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
OTHERS = 0o077  # the bits of everybody but the owner


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may open, and its parents; one that exists stays as it is.
    Returns it. Raises OSError.
    """
    for folder in reversed([path, *path.parents]):
        with suppress(FileExistsError):
            if not folder.is_dir():
                folder.mkdir(PRIVATE_FOLDER)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    return path


def is_private(folder: Path) -> bool:
    """Whether only its owner may open a folder."""
    with suppress(OSError):
        return os.name != "nt" and not folder.stat().st_mode & OTHERS
    return False


def set_mode(path: Path, folder: Path) -> None:
    """Make what was written for a private folder private."""
    if is_private(folder) and not path.is_symlink():
        path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)


def opener_in(folder: Path):
    """The opener of files of a folder: they are as private as it is."""
    mode = PRIVATE_FILE if is_private(folder) else 0o666
    return lambda name, flags: os.open(name, flags, mode)


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
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def append(path: Path, line: bytes) -> None:
    """Append a complete line to a file, or nothing. Raises `DiskFull`."""
    with open(path, "ab", buffering=0, opener=opener_in(path.parent)) as file:
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
