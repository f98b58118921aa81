"""Circuits saved by name: one JSON file each in `circuits/kept` of the user's folder, written by
`Circuit.save`; on a shared server a visitor removes only the files of their own.

A file is never overwritten: a name that exists already gets a number, also if another session or
program used it.
"""

from contextlib import suppress
from pathlib import Path

from ctsft.circuit.circuit import Circuit
from ctsft.utils import home
from ctsft.utils.atomic_files import private_folder, write_text
from ctsft.utils.errors import UserError
from ctsft.utils.file_names import slug
from explorer.session import visitors

# letters of a name: as a file's name it fits every disk
LONGEST = 50


def folder() -> Path:
    return home.home() / "circuits" / "kept"


def valid_name(requested: str) -> str:
    """A name that is a file's name too: letters, digits, spaces and . , ( ) + - only."""
    return " ".join(slug(requested, "circuit", also=" .,()+", longest=LONGEST).split())


def file_of(name: str) -> Path:
    return folder() / f"{valid_name(name)}.json"


def names() -> list[str]:
    """The names of all circuits on disk, newest first."""
    times = {}
    for path in folder().glob("*.json"):
        with suppress(OSError):  # removed by another session just now
            times[path.stem] = path.stat().st_mtime
    return sorted(times, key=lambda name: (-times[name], name))


def read(name: str) -> Circuit:
    """Raises UserError if it does not exist any more or is not a circuit."""
    return Circuit.load(file_of(name))


def save(requested: str, circuit: Circuit, taken=()) -> str:
    """Write a circuit; returns its name, with a number if the requested name exists on disk or
    is in `taken`. Raises UserError if nothing can be written.
    """
    base = valid_name(requested)
    try:
        private_folder(folder())
        for number in range(1, 10_000):
            name = base if number == 1 else f"{base[: LONGEST - 5].rstrip()} {number}"
            with suppress(FileExistsError):
                if name not in taken:
                    # fails if the file exists: nothing is ever overwritten
                    write_text(file_of(name), circuit.text(), "the circuit", new=True)
                    visitors.claim(owner_file(name))
                    return name
    except OSError as error:
        raise UserError(
            f"The circuit cannot be saved in {folder()} ({error.strerror or type(error).__name__});"
            " check the folder's permissions and whether the disk is full."
        ) from None
    raise UserError(f"There are too many circuits named {base!r}; choose another name.")


def rename(name: str, requested: str, circuit: Circuit, taken=()) -> str:
    """Save a circuit under another name instead; returns the new name."""
    if valid_name(requested) == name:
        return name
    new = save(requested, circuit, taken)
    remove(name)
    return new


def owner_file(name: str) -> Path:
    return file_of(name).with_suffix(".owner")


def is_own(name: str) -> bool:
    return visitors.is_mine(owner_file(name))


def remove(name: str):
    """The file of another visitor stays."""
    if not is_own(name):
        return
    try:
        file_of(name).unlink(missing_ok=True)
        owner_file(name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{file_of(name)} cannot be removed ({error.strerror}); remove the file by hand."
        ) from None
