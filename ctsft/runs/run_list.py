"""The runs of a home: one by its id, and all of them, newest first; and the read-only runs of
explorations.
"""

import os
from pathlib import Path

from ctsft.runs.explorations import explorations
from ctsft.runs.folder import Run, RunError, is_settled
from ctsft.runs.recorder import ID, run_folder
from ctsft.utils.home import home, unwritable


def get(run_id: str) -> Run:
    """The run of that id, one's own or one of an exploration; RunError when it does not exist."""
    path = run_folder(run_id)
    if path.is_dir():
        return Run(path)
    for exploration in explorations():
        if (exploration.runs / run_id).is_dir():
            return Run(exploration.runs / run_id)
    raise RunError(
        f"There is no run {run_id!r} in {path.parent}; expected one of the ids that `python -m"
        " ctsft runs` lists"
    )


# {(folder, run, inode and time of its request): (when it was requested, its kind)}, which never
# change
_requested: dict[tuple[str, str, int, int], tuple[float, str]] = {}

# {folder of runs: (its time of change, its rows)}: pages list a thousand runs several times in each
# answer
_listed: dict[str, tuple[int, list[tuple[float, str, str]]]] = {}


def list_runs(kind: str | None = None) -> list[Run]:
    """Runs, newest first; folders without a request are not runs, and a run with a request that
    cannot be read is one (`damage` says why). UserError where the folder of runs cannot be read.
    """
    return _of_kind(home() / "runs", kind)


def list_read_only(kind: str | None = None, recorded: bool = True) -> list[Run]:
    """The runs of explorations, those with an id that is listed already left out. recorded:
    whether the program's own ones are among them.
    """
    runs: dict[str, Run] = {}
    listed = {name for _, name, _ in _rows(home() / "runs")}
    for exploration in explorations(recorded):
        for run in _of_kind(exploration.runs, kind):
            if run.id not in listed:
                runs.setdefault(run.id, run)
    return list(runs.values())


def _of_kind(folder: Path, kind: str | None) -> list[Run]:
    return [Run(folder / name) for _, name, run_kind in _rows(folder) if kind in (None, run_kind)]


def _rows(folder: Path) -> list[tuple[float, str, str]]:
    """When each run was requested, its id and its kind, newest first. Read again when a run was
    added or removed, or while a folder is there that is no run yet.
    """
    place = os.fspath(folder)
    try:
        changed = os.stat(place).st_mtime_ns
        listed = _listed.get(place)
        if listed and listed[0] == changed:
            return listed[1]
        with os.scandir(place) as entries:
            names = [entry.name for entry in entries if ID.fullmatch(entry.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unwritable(folder, error.strerror or type(error).__name__) from None
    entries = [(name, _requested_at(place, name)) for name in names]
    rows = sorted(((at[0], name, at[1]) for name, at in entries if at), reverse=True)
    if len(rows) == len(names) and is_settled((changed, 0, 0)):
        _listed[place] = changed, rows
    return rows


def _requested_at(folder: str, name: str) -> tuple[float, str] | None:
    """When a run was requested, and its kind; None for a folder that is not a run."""
    try:
        stat = os.lstat(f"{folder}/{name}/request.json")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # no permission
        request = Run(Path(folder, name)).request
        return request.created, request.kind
    key = folder, name, stat.st_ino, stat.st_mtime_ns
    if key not in _requested:
        request = Run(Path(folder, name)).request
        _requested[key] = request.created, request.kind
    return _requested[key]
