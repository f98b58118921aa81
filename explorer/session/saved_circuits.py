"""Circuits kept by name: one JSON file each under `circuits/kept` of the user's folder, written by
`Circuit.save`; no streamlit.

A file is never overwritten: a name that is taken gets a number, whichever session or program took
it.
"""

from contextlib import suppress
from pathlib import Path

from ctsft.circuit.circuit import Circuit
from ctsft.utils import home
from ctsft.utils.errors import UserError
from ctsft.utils.file_names import slug

# letters of a name: as a file's name it fits every disk
LONGEST = 50


def folder() -> Path:
    return home.home() / "circuits" / "kept"


def proper(words: str) -> str:
    """A name that is a file's name too: letters, digits, spaces and . , ( ) + - only."""
    return " ".join(slug(words, "circuit", also=" .,()+", longest=LONGEST).split())


def file_of(name: str) -> Path:
    return folder() / f"{proper(name)}.json"


def names() -> list[str]:
    """Of every circuit on disk, the last kept first."""
    times = {}
    for path in folder().glob("*.json"):
        with suppress(OSError):
            # removed by another session just now
            times[path.stem] = path.stat().st_mtime
    return sorted(times, key=lambda name: (-times[name], name))


def read(name: str) -> Circuit:
    """UserError when it is gone or is no circuit."""
    return Circuit.load(file_of(name))


def keep(words: str, circuit: Circuit, taken=()) -> str:
    """Write a circuit; its name, with a number where `words` is taken on disk or among `taken`.
    UserError when nothing can be written.
    """
    base = proper(words)
    try:
        folder().mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            name = base if number == 1 else f"{base[: LONGEST - 5].rstrip()} {number}"
            with suppress(FileExistsError):
                if name not in taken:
                    # fails where the name is taken: nothing is ever overwritten
                    file_of(name).open("x").close()
                    circuit.save(file_of(name))
                    return name
    except OSError as error:
        raise UserError(
            f"The circuit cannot be kept in {folder()} ({error.strerror or type(error).__name__});"
            " check who may write there and whether the disk is full."
        ) from None
    raise UserError(f"There are too many circuits named {base!r} already; choose another name.")


def rename(name: str, words: str, circuit: Circuit, taken=()) -> str:
    """Keep a circuit under another name instead; the name it got."""
    if proper(words) == name:
        return name
    new = keep(words, circuit, taken)
    remove(name)
    return new


def remove(name: str):
    try:
        file_of(name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{file_of(name)} cannot be removed ({error.strerror}); remove that file by hand."
        ) from None
