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

import json
import os
import re
import secrets
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

from ctsft.runs.folder import (
    Facts,
    Request,
    Run,
    RunError,
    RunRemoved,
    State,
    Status,
    json_default,
    process_start_time,
    read_json,
    write_json,
)
from ctsft.runs.interrupts import interrupts
from ctsft.runs.lock import runs_lock
from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.home import home, home_folder, unwritable

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,199}")  # a folder's name

# seconds
TICK = 0.5  # between looks for progress to write
BEAT = 5.0  # between heartbeats without progress

# a file that reserves this many bytes for the run's last status
SPARE = ".spare"
SPARE_BYTES = 65536


class Writer(Run):
    """A run as its job writes it; made by `record`. A thread writes the status, so `progress` takes
    no time from a training step.
    """

    def _begin(self) -> None:
        atomic_files.remove_leftovers(self.path / "*")
        opener = atomic_files.opener_in(self.path)
        with open(self.file("events.jsonl"), "a+b", opener=opener) as events:
            events.seek(max(0, events.seek(0, os.SEEK_END) - 1))
            if events.read() not in (b"", b"\n"):
                # a killed writer's torn line must not swallow the next one
                events.write(b"\n")
        now = time.time()
        self._now = Status(
            pid=os.getpid(), pid_started=process_start_time(os.getpid()), started=now, advanced=now
        )
        self._stage = None
        self._gained = 0
        self._total = None
        self._changed = False
        self._seen_stop = False
        self._over = threading.Event()
        with suppress(OSError):
            atomic_files.write_bytes(self.file(SPARE), bytes(SPARE_BYTES))
        self._save()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        for tick in count(1):
            if self._over.wait(TICK):
                return
            if self._changed or tick % round(BEAT / TICK) == 0:
                self._changed = False
                with suppress(OSError):  # a disk that is full now may have space at the next tick
                    self._save()

    def _save(self) -> None:
        write_json(
            self.file("status.json"), self._now.model_copy(update={"heartbeat": time.time()})
        )

    def _finish(self, state: State, message: str = "") -> None:
        self._over.set()
        self._thread.join()
        done = {"progress": 1.0} if state == "done" else {}
        self._now = self._now.model_copy(
            update={
                "state": state,
                "message": message,
                "eta": None,
                "finished": time.time(),
                **done,
            }
        )
        # on a full disk there is now space for the last status
        atomic_files.remove(self.file(SPARE))
        if self.path.is_dir():
            self._save()

    def _check_folder(self) -> None:
        if not self.path.is_dir():
            raise RunRemoved(
                f"The folder of run {self.id!r} was removed while its job ran, so the job ended;"
                " start it again."
            )

    def waits(self, message: str) -> None:
        """Queued; the message says for what. "" when the wait is over."""
        self._check_folder()
        if self._now.message != message:
            self._now = self._now.model_copy(
                update={
                    "state": "queued" if message else "running",
                    "message": message,
                    "advanced": time.time(),
                }
            )
            self._save()

    def progress(self, done: float, total: float, stage: str = "") -> None:
        """How much of a stage is done; the time left follows from its rate so far."""
        self._check_folder()
        now = time.monotonic()
        # the stage was named before its total was known
        announced = self._gained == 0 and total != self._total
        if self._stage is None or stage != self._stage or done < self._first or announced:
            self._stage, self._first, self._since, self._total = stage, done, now, total
        self._gained = gained = done - self._first
        eta = (total - done) * (now - self._since) / gained if gained > 0 else None
        share = min(max(float(done / total), 0.0), 1.0) if total else 0.0
        self._now = self._now.model_copy(
            update={"stage": stage, "progress": share, "eta": eta, "advanced": time.time()}
        )
        self._changed = True

    def time_left(self, seconds: float | None) -> None:
        """Set the time left, where the job knows it better than the rate of its stage; after
        `progress`.
        """
        self._now = self._now.model_copy(update={"eta": seconds})

    def event(self, **row: Any) -> None:
        """Append a line to events.jsonl; it is on the disk when this returns. Raises DiskFull, and
        leaves no half line, where there is no space left.
        """
        self._check_folder()
        text = json.dumps({"time": round(time.time(), 3), **row}, default=json_default)
        atomic_files.append(self.file("events.jsonl"), f"{text}\n".encode())
        self._now = self._now.model_copy(update={"advanced": time.time()})

    def add_facts(self, **facts: Any) -> None:
        """Store what only the job finds out, such as fingerprints of what it loaded."""
        path = self.file("request.json")
        # a further process of a run has a folder without a request
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        write_json(path, content | {"facts": Facts(**(content.get("facts") or {}) | facts)})

    def stop_requested(self) -> Literal["keep", "discard"] | None:
        """The mode of a requested stop; None without a request."""
        self._check_folder()
        try:
            mode = self.file("stop").read_bytes().decode(errors="replace").strip()
        except OSError:
            return None
        if mode not in ("keep", "discard"):
            return None
        self._seen_stop = True
        return mode


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
            run._check_folder()
            state, message = "done", ""
            if run._seen_stop:
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
            run._finish(state, message)


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
            run._begin()
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
            run._check_folder()
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
        run._begin()
        try:
            yield run
        finally:
            run._finish("done")


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
