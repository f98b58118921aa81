"""The folder of stored results, which may be deleted at any time.

    <home>/cache/<kind>/<hash>.safetensors     one result; its metadata describe it
    <home>/cache/fingerprints.json             hashes of the models in folders, until they change

Files appear complete or not at all, and a file's name is a hash of what determines its content, so
any number of processes may read and write at once. When all results together exceed
`CTSFT_CACHE_BYTES` (default 2 GB), those that were not used for the longest time are deleted; 0
turns the cache off.
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

KINDS = ("pools", "means", "scores", "fisher", "circuits")
DEFAULT_SIZE_LIMIT = 2 * 10**9  # bytes

# seconds after which an unfinished file is taken to belong to a process that was killed
STALE_AFTER = 3600.0


def cache_folder() -> Path:
    return home() / "cache"


def size_limit() -> int:
    """Bytes that all results together may take. UserError for an environment variable that is not
    a number.
    """
    text = os.environ.get("CTSFT_CACHE_BYTES", "").strip() or str(DEFAULT_SIZE_LIMIT)
    if not text.isdecimal():
        raise UserError(
            f"CTSFT_CACHE_BYTES is {text!r}; write a number of bytes, such as"
            f" {DEFAULT_SIZE_LIMIT}, or 0 for no cache."
        )
    return int(text)


# ---- files -----------------------------------------------------------------


def write_file(path: Path, data: bytes) -> bool:
    """Write a file below `cache_folder()`, completely or not at all; False, with one warning, when
    it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write_bytes(path, data)
    except OSError as error:
        warn_not_stored(cache_folder(), error.strerror or type(error).__name__)
        return False
    return True


@lru_cache
def warn_not_stored(folder: Path, reason: str):
    """Warn once for each folder and reason."""
    warnings.warn(
        f"Nothing can be stored in the cache {folder} ({reason}); results are the same, but will be"
        " computed again.",
        stacklevel=2,
    )


def mark_used(path: Path):
    """Record that a result was used now."""
    with suppress(OSError):
        os.utime(path)


def answer_paths() -> Iterator[tuple[str, Path]]:
    """(kind, path) of every result."""
    folder = cache_folder()
    return ((kind, path) for kind in KINDS for path in (folder / kind).glob("*.safetensors"))


# ---- list and delete -------------------------------------------------------


@dataclass(frozen=True)
class StoredAnswer:
    """One result on disk. Times are seconds since 1970."""

    kind: str
    path: Path
    bytes: int
    used: float
    made: float
    about: dict  # "model", "task", "what"


def stored_answers() -> list[StoredAnswer]:
    """Every result, the last used first; damaged and foreign files are left out."""
    answers = []
    for kind, path in answer_paths():
        with suppress(OSError):
            stat = path.stat()
            about = read_description(path)
            if about:
                answers.append(
                    StoredAnswer(kind, path, stat.st_size, stat.st_mtime, about["made"], about)
                )
    return sorted(answers, key=lambda answer: -answer.used)


def read_description(path: Path) -> dict:
    """A result's metadata; {} for a damaged or foreign file."""
    try:
        with safe_open(path, "np") as file:
            about = json.loads((file.metadata() or {})["ctsft"])
        return about if about["key"] == path.stem else {}
    except Exception:  # a damaged or foreign file makes its reader raise almost anything
        return {}


def delete_least_recent():
    """Delete results that were not used for the longest time, until the others are within
    `size_limit()`, and unfinished files of processes that were killed.
    """
    stats = {}
    for _, path in answer_paths():
        with suppress(OSError):
            stats[path] = path.stat()
    excess = sum(stat.st_size for stat in stats.values()) - size_limit()
    for path in sorted(stats, key=lambda path: stats[path].st_mtime_ns):
        if excess <= 0:
            break
        with suppress(OSError):  # another process may have deleted it
            path.unlink()
        excess -= stats[path].st_size
    now = time.time()
    for part in cache_folder().glob("*/.*.part"):
        with suppress(OSError):
            if now - part.stat().st_mtime > STALE_AFTER:
                part.unlink()


def clear(kind: str = "") -> tuple[int, int]:
    """Delete the results of one kind, or the whole cache: (number of results, bytes freed).

    Raises UserError for an unknown kind, and when some files could not be deleted.
    """
    if kind and kind not in KINDS:
        raise UserError(
            f"{kind!r} is not a kind of result; choose from {', '.join(KINDS)}, or none to clear"
            " all."
        )
    results = [path for own_kind, path in answer_paths() if kind in ("", own_kind)]
    others = [] if kind else [cache_folder() / "fingerprints.json"]
    count, freed, refused = 0, 0, None
    for path in [*results, *others]:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            refused = error
            continue
        count += path in results
        freed += size
    if refused:
        raise UserError(
            f"Some results in {cache_folder()} could not be deleted ({refused.strerror}); check who"
            f" may write there. {count} were deleted, {freed} bytes."
        )
    return count, freed
