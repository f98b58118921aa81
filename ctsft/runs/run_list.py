"""The runs of a home: one by its id, and all of them, newest first."""

import os
from pathlib import Path

from ctsft.runs.folder import Run, RunError
from ctsft.runs.recorder import ID, run_folder
from ctsft.utils.home import home, unwritable


def get(run_id: str) -> Run:
    """The run of that id; RunError when it does not exist."""
    path = run_folder(run_id)
    if not path.is_dir():
        raise RunError(
            f"There is no run {run_id!r} in {path.parent}; expected one of the ids that `python -m"
            " ctsft runs` lists"
        )
    return Run(path)


# {(folder, run, inode and time of its request): (when it was requested, its kind)}, which never
# change
_requested: dict[tuple[str, str, int, int], tuple[float, str]] = {}


def list_runs(kind: str | None = None) -> list[Run]:
    """Runs, newest first; folders without a request are not runs, and a run with a request that
    cannot be read is one (`damage` says why). UserError where the folder of runs cannot be read.
    """
    folder = home() / "runs"
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if ID.fullmatch(entry.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unwritable(folder, error.strerror or type(error).__name__) from None
    rows = [(*requested, name) for name in names if (requested := _requested_at(folder, name))]
    rows.sort(key=lambda row: (row[0], row[2]), reverse=True)
    return [Run(folder / name) for _, run_kind, name in rows if kind in (None, run_kind)]


def _requested_at(folder: Path, name: str) -> tuple[float, str] | None:
    """When a run was requested, and its kind; None for a folder that is not a run."""
    path = folder / name / "request.json"
    try:
        stat = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # no permission
        request = Run(folder / name).request
        return request.created, request.kind
    key = str(folder), name, stat.st_ino, stat.st_mtime_ns
    if key not in _requested:
        request = Run(folder / name).request
        _requested[key] = request.created, request.kind
    return _requested[key]
