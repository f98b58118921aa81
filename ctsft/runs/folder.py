"""A run folder and how it is read: one job, one folder, and everything a page shows can be rebuilt
from it.

    request.json   what was asked and everything that determines the result     status.json    how it goes, replaced whole
    events.jsonl   a row per evaluation or step, only ever appended              log.txt        what a detached job prints
    process.json   whom the launcher started, until the job says so itself      stop           a request to stop, by anyone
    note.json      the name and the note that its user gave it (`notes`)

Every file has one writer at a time: the launcher writes the first status and then only
`process.json`; from `runs.record` on the job owns the rest. Readers trust nothing they find
half-written, and write nothing. The state they give is computed: a job that says "running" is alive
if a process with its pid and its start time exists (a recycled pid has another start time, a zombie
is dead), else it is "lost"; alive with a `stop` file, it is "stopping". Runs of another machine,
seen through a shared folder, are judged by their heartbeat, which a thread keeps up; `advanced` is
when the work itself last moved.
"""

import json
import os
import re
import socket
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar

import psutil
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError

HOST = socket.gethostname()

# seconds without a heartbeat after which a run on another machine reads as lost
STALE = 120.0
SETTLED = 2.0  # seconds after a change until a file's stamp tells the next one
GRACE = 60.0  # seconds a queued run may be without a known process
State = Literal["queued", "running", "stopping", "done", "stopped", "failed", "lost"]
Model = TypeVar("Model", bound=BaseModel)


class RunError(UserError):
    """A request about runs that cannot be met; its text says what came, what was expected and what
    to do.
    """


class Facts(BaseModel):
    """What a job finds out that determines its result beside what was asked."""

    model_config = ConfigDict(frozen=True)
    version: str = ""  # of this program
    torch: str = ""
    model: str = ""  # the model that was used, where it is another than the requested one
    model_fingerprint: str | None = None
    data_fingerprints: dict[str, str] = {}
    source: str = ""  # the source language


class Request(BaseModel):
    """What every request says, whatever its kind; `jobs.requests` has one class for each kind."""

    model_config = ConfigDict(frozen=True)
    kind: str = ""
    name: str = ""
    cwd: str = ""  # where relative paths begin
    created: float = 0.0  # seconds since 1970, like every time here
    facts: Facts = Facts()


class Process(BaseModel):
    pid: PositiveInt | None = None
    pid_started: float | None = None  # as `process_start_time` tells it: only good for comparing
    host: str = HOST


class Status(Process):
    state: State = "running"
    stage: str = ""
    progress: float = 0.0  # 0..1 within the stage
    eta: float | None = None  # seconds left in the stage, at the rate since it began
    message: str = ""  # one sentence: why it failed, stopped or was lost
    heartbeat: float = 0.0  # when the process last showed life
    advanced: float | None = None  # when the work last moved
    started: float | None = None
    finished: float | None = None

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running", "stopping")


class Run:
    """A run folder, read only. Nothing here fails on files that are missing, torn or
    half-written.
    """

    def __init__(self, path: Path):
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def request(self) -> Request:
        """What all requests say; `jobs.requests.request_of` reads the rest."""
        request = read_cached(self.file("request.json"), Request)
        kind = request.kind or re.sub(r"^\d{8}-\d{6}-|-[a-z0-9]{4}$", "", self.id)
        return request.model_copy(
            update={"kind": kind, "created": request.created or _modified(self.path)}
        )

    def status(self) -> Status:
        status = read_cached(self.file("status.json"), Status)
        if not status.active:
            return status
        if self._alive(status):
            return (
                status.model_copy(update={"state": "stopping"})
                if self.file("stop").exists()
                else status
            )
        again = read_json(self.file("status.json"), Status)
        if (again.state, again.pid) != (status.state, status.pid):
            # it moved on between the two looks
            return self.status()
        where = f"in stage {status.stage!r}" if status.stage else f"while {status.state}"
        log = self.log_tail(1)[:200]
        why = f"its log ends with: {log}" if log else "its log is empty"
        return status.model_copy(
            update={
                "state": "lost",
                "eta": None,
                "message": f"The process ended {where} without saying why; {why}",
            }
        )

    def events(self, since: int = 0) -> list[dict]:
        """Rows from number `since` on. A line a killed writer left torn is skipped, an unfinished
        last line is not there yet.
        """
        try:
            lines = self.file("events.jsonl").read_bytes().split(b"\n")[:-1]
        except OSError:
            return []
        rows = []
        for line in lines:
            with suppress(ValueError):
                rows.append(json.loads(line))
        return [row for row in rows if isinstance(row, dict)][since:]

    def log_tail(self, n: int = 20) -> str:
        """The last `n` lines of the log, of a redrawn progress bar only what stands at last."""
        try:
            with open(self.file("log.txt"), "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 65536))
                text = log.read().decode(errors="replace").replace("\r\n", "\n")
        except OSError:
            return ""
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip().split("\n")]
        return "\n".join(lines[-n:])

    def file(self, name: str) -> Path:
        return self.path / name

    def _process(self, status: Status) -> Process:
        return status if status.pid else read_json(self.file("process.json"), Process)

    def _alive(self, status: Status) -> bool:
        process = self._process(status)
        if process.host != HOST:
            return time.time() - status.heartbeat < STALE
        if process.pid is None:
            return time.time() - status.heartbeat < GRACE
        return is_alive(process)


def process_start_time(pid: int) -> float | None:
    """When a process began; None if there is none or it is a zombie. On Linux counted from boot,
    which no clock change moves.
    """
    try:
        if psutil.LINUX:
            state, *fields = (
                Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            )
            return None if state in "ZX" else float(fields[18])
        process = psutil.Process(pid)
        return (
            None
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            else process.create_time()
        )
    except (OSError, psutil.Error):
        return None


def is_alive(process: Process) -> bool:
    born = process_start_time(process.pid)
    return born is not None and born == process.pid_started


def json_default(value: Any) -> Any:
    """JSON for what JSON does not know: arrays and their scalars, sets, paths, models."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(
        f"{type(value).__name__} cannot stand in a run's files; expected numbers, text, lists,"
        " dictionaries or arrays"
    )


def write_json(path: Path, value: Any) -> None:
    """All or nothing: a reader sees the old file or the new one."""
    data = json.dumps(value, default=json_default, indent=1).encode()
    try:
        atomic_files.write_bytes(path, data)
    except OSError as error:
        if atomic_files.is_disk_full(error):
            raise atomic_files.disk_full(path.name, len(data), path.parent) from error
        raise


def read_json(path: Path, kind: type[Model]) -> Model:
    """What can be read of a file: fields that are missing or wrong take their defaults."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        found = None
    found = found if isinstance(found, dict) else {}
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors()}
        return kind.model_validate({key: value for key, value in found.items() if key not in wrong})


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes whenever a file is replaced or grows, once it has settled (`is_settled`);
    None while it does not exist.
    """
    with suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino
    return None


def is_settled(stamped: tuple[int, int, int] | None) -> bool:
    """Whether a next change would give another stamp: clocks of file systems are coarse, so a file
    just written may change unseen.
    """
    return stamped is not None and time.time() - stamped[0] / 1e9 > SETTLED


def read_cached(path: Path, kind: type[Model]) -> Model:
    """`read_json`, once for as long as the file stays the same. The value is shared: copy
    it, never change it.
    """
    now = file_stamp(path)
    return _read_cached(path, kind, now) if is_settled(now) else read_json(path, kind)


@lru_cache(maxsize=20_000)
def _read_cached(path: Path, kind: type[Model], stamped: tuple) -> Model:
    return read_json(path, kind)


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
