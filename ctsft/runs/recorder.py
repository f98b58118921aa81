"""What a job writes to its run: its progress, its events and its end; and how it learns of a
request to stop.

    with record(request, run_id) as run:
        for done, row in enumerate(work):
            run.event(**row)
            run.progress(done, total, "scoring")
            if run.stop_requested():
                break

A run folder that is removed meanwhile ends the job: each of these calls raises `RunRemoved` then.
"""

import os
import re
import secrets
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ctsft.runs.folder import (
    Request,
    RunError,
    RunRemoved,
    Status,
    read_json,
    write_json,
)
from ctsft.runs.interrupts import interrupts
from ctsft.runs.lock import runs_lock
from ctsft.runs.writer import Writer
from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.home import home, home_folder, unwritable

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,199}")  # a folder's name


@contextmanager
def record(request: Request, run_id: str | None = None) -> Iterator[Writer]:
    """The body of the `with` is the job. A folder `run_id` that exists is used: a queued run is
    begun, an ended one resumed. RunError for one that is running, UserError where nothing can be
    written.

    An exception that is recorded in the run's log has the attribute `log_file`.
    """
    with interrupts() as signals:
        run = _open(request, run_id)
        state, message = "failed", ""
        try:
            signals.release()
            yield run
            run.check_folder()
            state, message = "done", ""
            if run.seen_stop:
                state, message = "stopped", "It stopped on request, and saved what it had."
        except KeyboardInterrupt:
            state, message = "stopped", "It was interrupted; what it had saved by then remains."
            raise
        except SystemExit as end:
            if end.code:
                message = f"It left with exit code {end.code}"
            else:
                state = "done"
            raise
        except BaseException as error:
            reported = _reported(error, run)
            message = _sentence(reported)
            _log_traceback(run, reported)
            raise reported from (None if reported is error else error)
        finally:
            signals.hold()  # while the last status is written
            run.finish(state, message)


def _open(request: Request, run_id: str | None) -> Writer:
    """The writer of a new run, or of one that is begun or resumed; the status says that it runs.
    Where that fails, a new folder is removed again.
    """
    path = run_folder(run_id) if run_id else home() / "runs" / new_id(request.kind)
    home_folder("runs")
    run, begun = Writer(path), False
    with runs_lock():
        new = not path.is_dir()
        try:
            path.mkdir(atomic_files.PRIVATE_FOLDER, exist_ok=bool(run_id))
            with suppress(OSError):  # a folder of another user stays as it is
                path.chmod(atomic_files.PRIVATE_FOLDER)
            _refuse_active(run)
            _store_request(run, request)
            run.begin()
            begun = True
        except OSError as error:
            if atomic_files.is_disk_full(error):
                raise atomic_files.disk_full("the run's files", 0, path) from error
            raise unwritable(path, error.strerror or type(error).__name__) from error
        finally:
            if new and not begun:
                atomic_files.remove(path)
    return run


def _reported(error: BaseException, run: Writer) -> BaseException:
    """The error that a job ends with: what happened, where the error itself does not say it."""
    if not run.path.is_dir() and not isinstance(error, RunRemoved):
        try:
            run.check_folder()
        except RunRemoved as removed:
            return removed
    if atomic_files.is_disk_full(error) and not isinstance(error, UserError):
        return atomic_files.disk_full("the run's files", 0, run.path)
    return error


def _log_traceback(run: Writer, error: BaseException) -> None:
    path = run.file("log.txt")
    opener = atomic_files.opener_in(run.path)
    with suppress(OSError), open(path, "a", encoding="utf-8", opener=opener) as log:
        log.write(traceback.format_exc())
        error.log_file = path


def _refuse_active(run: Writer) -> None:
    """RunError for a run that another process works on; an old request to stop is removed."""
    status = read_json(run.file("status.json"), Status)
    if status.state == "queued" and not status.pid:
        return  # the launcher queued it for this process
    if run.status().active:
        raise RunError(f"Run {run.id!r} is running already; stop it first")
    run.file("stop").unlink(missing_ok=True)


def _store_request(run: Writer, request: Request) -> None:
    """Write the request; what the folder's request says already about its start remains."""
    stored = read_json(run.file("request.json"), Request)
    changes = {
        "name": request.name or stored.name,
        "created": stored.created or time.time(),
        "cwd": request.cwd or os.getcwd(),
        "facts": stored.facts,
    }
    write_json(run.file("request.json"), request.model_copy(update=changes))


@contextmanager
def throwaway_run() -> Iterator[Writer]:
    """Where the second and further processes of one run write: a folder that is removed when
    they end.
    """
    with tempfile.TemporaryDirectory(prefix="ctsft-") as folder:
        run = Writer(Path(folder))
        run.begin()
        try:
            yield run
        finally:
            run.finish("done")


def run_folder(run_id: str) -> Path:
    """Where a run of that id is or would be; RunError for an impossible id."""
    if not ID.fullmatch(run_id):
        raise RunError(
            f"{quoted(run_id)} is not the id of a run: expected only a-z, 0-9 and '-', as"
            " `python -m ctsft runs` lists them"
        )
    return home() / "runs" / run_id


def new_id(kind: str) -> str:
    """Time, kind and four random characters."""
    tail = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(4))
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub(r'[^a-z0-9]+', '-', kind.lower())}-{tail}"


def _sentence(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    text = lines[0][:300]
    if text and isinstance(error, ValueError):
        return text
    return f"{type(error).__name__}: {text}".removesuffix(": ")
