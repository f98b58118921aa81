"""A run folder and how it is read: one job, one folder, and everything a page shows can be rebuilt
from it.

    request.json    what was requested, and everything else that determines the result
    status.json     state and progress, replaced as a whole
    events.jsonl    a row for each evaluation or step, only ever appended
    log.txt         what a detached job prints
    process.json    the process that the launcher started, until the job writes its status itself
    stop            a request to stop, written by anyone
    note.json       the name and the note that the user gave it (`notes`)

Every file has one writer at a time: the launcher writes the first status and then only
`process.json`; from `runs.record` on, the job writes the rest. Readers never trust a half-written
file, and write nothing. The state that they report is computed. A job that says "running" is alive
if a process with its pid and its start time exists (a reused pid has another start time, and a
zombie is dead); otherwise it is "lost". Alive with a `stop` file, it is "stopping". Runs of another
machine, seen through a shared folder, are judged by their heartbeat, which a thread updates;
`advanced` is when the work itself last made progress.
"""

import json
import os
import re
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ctsft.runs.processes import HOST, Process, is_alive
from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError
from ctsft.utils.json_files import open_regular, parse_json, read_regular

# seconds
STALE = 120.0  # without a heartbeat, after which a run on another machine counts as lost
SETTLED = 2.0  # after a change, until a file's stamp shows the next one
GRACE = 60.0  # that a queued run may be without a known process

LOG_TAIL = 65536  # bytes that are read from the end of a log

EARLIER = "made by an earlier version of this program; its settings cannot be read"
UNREADABLE = "stored with a request.json that is damaged or not of this version"
State = Literal["queued", "running", "stopping", "done", "stopped", "failed", "lost"]
Model = TypeVar("Model", bound=BaseModel)

# seconds since 1970 (until the year 9999), or of a duration
Seconds = Annotated[float, Field(ge=0, lt=253402300800, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=10_000)]


class RunError(UserError):
    """A request about runs that cannot be fulfilled; its text says what came, what was expected and
    what to do.
    """


class RunRemoved(RunError):
    """The folder of a run is gone while its job runs: the job ends, and has failed."""


class Facts(BaseModel):
    """What a job finds out that determines its result, besides its request."""

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
    kind: Text = ""
    name: Text = ""
    cwd: Text = ""  # where relative paths begin
    created: Seconds = 0.0  # since 1970, like every time here
    facts: Facts = Facts()


class _Form(BaseModel):
    """Tells a request of an earlier version, which held the shell's arguments."""

    argv: list | None = None  # elements of any kind


class Status(Process):
    state: State = "running"
    stage: Text = ""
    progress: Annotated[float, Field(ge=0, le=1)] = 0.0  # within the stage
    eta: Seconds | None = None  # seconds left in the stage, at its rate so far
    message: Text = ""  # one sentence: why it failed, stopped or was lost
    heartbeat: Seconds = 0.0  # when the process last showed life
    advanced: Seconds | None = None  # when the work last made progress
    started: Seconds | None = None
    finished: Seconds | None = None

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

    @property
    def note(self) -> str:
        """What a list says of the run beside its state; "" where nothing is to say."""
        return EARLIER if read_cached(self.file("request.json"), _Form).argv is not None else ""

    def status(self) -> Status:
        status = read_cached(self.file("status.json"), Status)
        if not status.active:
            return status
        if self._alive(status):
            stopping = self.file("stop").exists()
            return status.model_copy(update={"state": "stopping"}) if stopping else status
        again = read_json(self.file("status.json"), Status)
        if (again.state, again.pid) != (status.state, status.pid):
            # it changed between the two readings
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
        """Rows from number `since` on. A line that a killed writer left torn is skipped, and so is
        an unfinished last line.
        """
        try:
            lines = read_regular(self.file("events.jsonl")).split(b"\n")[:-1]
        except OSError:
            return []
        rows = []
        for line in lines:
            with suppress(ValueError):
                rows.append(parse_json(line))
        return [row for row in rows if isinstance(row, dict)][since:]

    def log_tail(self, n: int = 20) -> str:
        """The last `n` lines of the log; of a redrawn progress bar only its last state."""
        try:
            with open_regular(self.file("log.txt")) as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
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


def json_default(value: Any) -> Any:
    """JSON for arrays and their scalars, sets, paths and models. TypeError for other types."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(
        f"{type(value).__name__} cannot be written to a run's files; expected numbers, text, lists,"
        " dictionaries or arrays"
    )


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole: a reader sees the old one or the new one. `DiskFull` when
    there is no space left.
    """
    atomic_files.write_text(path, json.dumps(value, default=json_default, indent=1))


def read_json(path: Path, kind: type[Model]) -> Model:
    """What can be read of a file: fields that are missing or wrong have their defaults."""
    try:
        content = parse_json(read_regular(path))
    except (OSError, ValueError):
        content = {}
    if not isinstance(content, dict):
        content = {}
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors()}
        valid = {key: value for key, value in content.items() if key not in wrong}
        return kind.model_validate(valid)


def file_stamp(path: Path | str) -> tuple[int, int, int] | None:
    """Values that change whenever a file that has settled (`is_settled`) is replaced or grows; None
    while it does not exist.
    """
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def is_settled(stamped: tuple[int, int, int] | None) -> bool:
    """Whether the next change would give another stamp. Clocks of file systems are coarse, so a
    change right after another may leave the stamp as it is.
    """
    return stamped is not None and time.time() - stamped[0] / 1e9 > SETTLED


def read_cached(path: Path, kind: type[Model]) -> Model:
    """`read_json`, once for as long as the file stays the same. The result is shared: copy it,
    never change it.
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
