"""Where the program keeps things: the user's folder, and in it a cache of answers that may be
deleted at any time.

    <home>/cache/<kind>/<hash>.safetensors     one answer; its metadata say what it is of
    <home>/cache/fingerprints.json             hashes of model folders whose files have not changed
                                               since

Files appear whole or not at all and are found by their content's hash, so any number of processes
may read and write at once. The least recently used answers go when all together exceed
`CTSFT_CACHE_BYTES` (2 GB; 0 keeps and finds nothing).
"""

import json
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from safetensors import safe_open

from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError
from ctsft.utils.home import home

KINDS = ("pools", "means", "scores")
DEFAULT_SIZE_LIMIT = 2 * 10**9

# seconds after which another process's unfinished file is nobody's
STALE_SECONDS = 3600.0


def cache_folder() -> Path:
    return home() / "cache"


def size_limit() -> int:
    """Bytes that all answers together may take. UserError for an environment variable that is no
    number.
    """
    words = os.environ.get("CTSFT_CACHE_BYTES", "").strip() or str(DEFAULT_SIZE_LIMIT)
    if not words.isdecimal():
        raise UserError(
            f"CTSFT_CACHE_BYTES is {words!r}; write a number of bytes, such as"
            f" {DEFAULT_SIZE_LIMIT}, or 0 for no cache."
        )
    return int(words)


@dataclass(frozen=True)
class StoredAnswer:
    """One answer on disk; times are seconds since 1970."""

    kind: str
    path: Path
    bytes: int
    used: float
    made: float
    about: dict  # model, task, what


def stored_answers() -> list[StoredAnswer]:
    """Every answer, the last used first; files that are none are left out."""
    found = []
    for kind, path in answer_paths():
        with suppress(OSError):
            stat, about = path.stat(), read_description(path)
            if about:
                found.append(
                    StoredAnswer(kind, path, stat.st_size, stat.st_mtime, about["made"], about)
                )
    return sorted(found, key=lambda kept: -kept.used)


def answer_paths() -> Iterator[tuple[str, Path]]:
    return (
        (kind, path) for kind in KINDS for path in (cache_folder() / kind).glob("*.safetensors")
    )


def read_description(path: Path) -> dict:
    """What an answer says of itself; {} for a torn or foreign file."""
    try:
        with safe_open(path, "np") as file:
            words = json.loads((file.metadata() or {})["ctsft"])
        return words if words["key"] == path.stem else {}
    except Exception:  # whatever a file that is not ours makes its readers raise
        return {}


def write_file(path: Path, data: bytes) -> bool:
    """Keep a file below `cache_folder()`, whole or not at all. What cannot be written is not kept,
    and costs one warning.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write_bytes(path, data)
    except OSError as error:
        warn_not_stored(cache_folder(), error.strerror or type(error).__name__)
        return False
    return True


def mark_used(path: Path):
    """This answer was used just now."""
    with suppress(OSError):
        os.utime(path)


@lru_cache
def warn_not_stored(folder: Path, reason: str):
    warnings.warn(
        f"Nothing can be kept in the cache {folder} ({reason}); results are the same, only not"
        " remembered.",
        stacklevel=2,
    )


def delete_least_recent():
    """Delete what was used least recently until the rest is within `limit()`, and what killed
    writers left behind.
    """
    sizes, now = {}, time.time()
    for _, path in answer_paths():
        with suppress(OSError):
            stat = path.stat()
            sizes[path] = stat.st_mtime_ns, stat.st_size
    over = sum(size for _, size in sizes.values()) - size_limit()
    for path in sorted(sizes, key=sizes.get):
        if over <= 0:
            break
        with suppress(OSError):  # another process was here before
            path.unlink()
        over -= sizes[path][1]
    for part in cache_folder().glob("*/.*.part"):
        with suppress(OSError):
            if now - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()


def clear(kind: str = "") -> tuple[int, int]:
    """Delete the answers of one kind, or everything; how many, and their bytes. UserError when some
    could not be deleted.
    """
    if kind and kind not in KINDS:
        raise UserError(
            f"{kind!r} is not a kind of answer; choose from {', '.join(KINDS)}, or none to clear"
            " all."
        )
    count, freed, refused = 0, 0, None
    doomed = [path for own, path in answer_paths() if kind in ("", own)]
    for path in doomed if kind else [*doomed, cache_folder() / "fingerprints.json"]:
        try:
            size = path.stat().st_size
            path.unlink()
            count, freed = count + (path in doomed), freed + size
        except FileNotFoundError:
            continue
        except OSError as error:
            refused = error
    if refused:
        raise UserError(
            f"Some answers in {cache_folder()} could not be deleted ({refused.strerror}); check who"
            f" may write there. {count} were, {freed} bytes."
        )
    return count, freed
