"""Bytes and seconds as people write them, and back."""

import re

from ctsft.utils.errors import UserError


def time_words(seconds: float) -> str:
    """ "42 s", "3.1 min", "2.5 h"."""
    return next(
        f"{seconds / size:.{0 if size == 1 and seconds >= 10 else 1}f} {unit}"
        for size, unit in ((3600, "h"), (60, "min"), (1, "s"))
        if seconds >= size or size == 1
    )


UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}


def as_bytes(size: int | str | None) -> int | None:
    """Bytes from a number or words such as "4GB"; UserError for anything else."""
    if size is None or (isinstance(size, int) and size > 0):
        return size
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B)?\s*", str(size), re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise UserError(
            f"{size!r} is not a size of memory; write bytes, or a number and a unit such as 4GB or"
            " 512MiB."
        )
    return int(float(found[1]) * UNITS[(found[2] or "").upper()])


def words(size: float) -> str:
    """Bytes for people: "1.2 GB"."""
    for unit in ("GB", "MB", "kB"):
        if size >= UNITS[unit.upper()]:
            return f"{size / UNITS[unit.upper()]:.3g} {unit}"
    return f"{size:.0f} bytes"
