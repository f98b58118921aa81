"""Explorations: run folders that are read and never changed. Some come with the program (recorded),
others were opened from a bundle (`jobs.bundle`), each in a folder of its own:

    $CTSFT_HOME/explorations/<name>/exploration.json    its title, and when it was opened
    $CTSFT_HOME/explorations/<name>/runs/<id>/          a run folder, whole

A run of the same id in `$CTSFT_HOME/runs` hides the one of an exploration.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from ctsft.runs.folder import Run, RunError, Seconds, Text, read_cached
from ctsft.runs.lock import runs_lock
from ctsft.utils import atomic_files
from ctsft.utils.assets import ASSETS
from ctsft.utils.errors import quoted
from ctsft.utils.home import home, unwritable

RECORDED = ASSETS / "recorded"  # explorations that come with the program
FILE = "exploration.json"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")  # a folder's name
LABEL = "recorded"  # what lists say of the program's own


class About(BaseModel):
    """The content of an exploration's file."""

    title: Text = ""
    opened: Seconds = 0.0  # since 1970; 0: comes with the program
    files: dict[str, str] = {}  # of a bundle: the SHA-256 of each file, by its name there


@dataclass(frozen=True)
class Exploration:
    """A folder of read-only runs. origin: "recorded", or the file that it was opened from."""

    folder: Path
    recorded: bool = False

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def about(self) -> About:
        return read_cached(self.folder / FILE, About)

    @property
    def origin(self) -> str:
        return LABEL if self.recorded else self.about.title or self.name


def opened_folder() -> Path:
    return home() / "explorations"


def explorations(recorded: bool = True) -> list[Exploration]:
    """Those that were opened, by name, and then the program's own ones (`recorded`)."""
    listed = [Exploration(folder) for folder in folders(opened_folder())]
    if recorded:
        listed += [Exploration(folder, recorded=True) for folder in folders(RECORDED)]
    return listed


def folders(parent: Path) -> list[Path]:
    """UserError where the folder cannot be read."""
    try:
        with os.scandir(parent) as entries:
            names = [entry.name for entry in entries if NAME.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unwritable(parent, error.strerror or type(error).__name__) from None
    return [parent / name for name in sorted(names)]


def exploration_of(run: Run) -> Exploration | None:
    """The exploration that a run belongs to; None for a run of one's own."""
    folder = run.path.parent.parent
    if run.path.parent.name != "runs":
        return None
    if folder.parent == RECORDED:
        return Exploration(folder, recorded=True)
    return Exploration(folder) if folder.parent == opened_folder() else None


def origin_of(run: Run) -> str:
    """Where a run comes from: "recorded", the bundle's file; "" for a run of one's own."""
    exploration = exploration_of(run)
    return exploration.origin if exploration else ""


def refuse_read_only(run: Run) -> None:
    """RunError for a run of an exploration, which nobody changes."""
    exploration = exploration_of(run)
    if exploration is None:
        return
    if exploration.recorded:
        raise RunError(
            f"Run {run.id!r} comes with the program and is read only; start one of your own."
        )
    raise RunError(
        f"Run {run.id!r} belongs to the exploration {exploration.name!r} and is read only; `python"
        f" -m ctsft explorations remove {exploration.name}` removes the whole exploration."
    )


def find_exploration(name: str) -> Exploration:
    """An exploration that was opened; RunError where there is none of that name."""
    for exploration in explorations(recorded=False):
        if exploration.name == name:
            return exploration
    names = [exploration.name for exploration in explorations(recorded=False)]
    expected = f"choose from {', '.join(names)}" if names else "none was opened"
    raise RunError(f"There is no exploration {quoted(name)}; {expected}.")


def remove_exploration(name: str) -> None:
    """Remove the folder of an exploration that was opened, and nothing else. RunError where there
    is none of that name, UserError where the folder cannot be removed.
    """
    folder = find_exploration(name).folder
    hidden = folder.with_name(f".{folder.name}")
    with runs_lock():
        atomic_files.remove(hidden)
        try:
            folder.rename(hidden)  # out of every list at once, then file by file
        except OSError as error:
            raise unwritable(folder, error.strerror or type(error).__name__) from error
    with suppress(OSError):
        atomic_files.remove(hidden)
