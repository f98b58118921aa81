"""The job's own hand on its run: it says how it goes, appends what it finds, and hears a wish to
stop.

with record(request, run_id) as run:
    for done, row in enumerate(work):
        run.event(**row)
        run.progress(done, total, "scoring")
        if run.stop_requested():
            break                                                        # what is worth keeping goes to run.file("...")
"""

import json
import os
import re
import secrets
import signal
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
    State,
    Status,
    json_default,
    process_start_time,
    read_json,
    write_json,
)
from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError
from ctsft.utils.home import home

# seconds between looks for progress to write; between heartbeats without any
TICK, BEAT = 0.5, 5.0
ID = re.compile(r"[a-z0-9][a-z0-9-]*")

# a file that keeps these bytes free for the run's last status
SPARE, ROOM = ".spare", 65536


class Writer(Run):
    """The job's own hand on its run; made by `record`. A thread does the writing, so `progress`
    costs a training step nothing.
    """

    def _begin(self) -> None:
        with open(self.file("events.jsonl"), "a+b") as events:
            events.seek(max(0, events.seek(0, os.SEEK_END) - 1))
            if events.read() not in (b"", b"\n"):
                # a killed writer's torn line must not swallow the next one
                events.write(b"\n")
        now = time.time()
        self._now = Status(
            pid=os.getpid(), pid_started=process_start_time(os.getpid()), started=now, advanced=now
        )
        self._stage, self._gained, self._total = None, 0, None
        self._moved, self._seen_stop, self._over = False, False, threading.Event()
        self._total = None
        with suppress(OSError):
            self.file(SPARE).write_bytes(bytes(ROOM))
        self._save()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        for tick in count(1):
            if self._over.wait(TICK):
                return
            if self._moved or tick % round(BEAT / TICK) == 0:
                self._moved = False
                with suppress(OSError):  # a full disk now may not be full at the next tick
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
        # on a full disk there is now room for the last word
        atomic_files.remove(self.file(SPARE))
        self._save()

    def waits(self, words: str) -> None:
        """Queued, and `words` say for what; "" when the wait is over."""
        if self._now.message != words:
            self._now = self._now.model_copy(
                update={
                    "state": "queued" if words else "running",
                    "message": words,
                    "advanced": time.time(),
                }
            )
            self._save()

    def progress(self, done: float, total: float, stage: str = "") -> None:
        now = time.monotonic()
        # the stage's name came first, then what there is to do
        announced = self._gained == 0 and total != self._total
        if self._stage is None or stage != self._stage or done < self._first or announced:
            self._stage, self._first, self._since, self._total = stage, done, now, total
        self._gained = gained = done - self._first
        eta = (total - done) * (now - self._since) / gained if gained > 0 else None
        share = min(max(float(done / total), 0.0), 1.0) if total else 0.0
        self._now = self._now.model_copy(
            update={"stage": stage, "progress": share, "eta": eta, "advanced": time.time()}
        )
        self._moved = True

    def time_left(self, seconds: float | None) -> None:
        """What the job knows better than the rate of its stage; after `progress`."""
        self._now = self._now.model_copy(update={"eta": seconds})

    def event(self, **row: Any) -> None:
        """A line of events.jsonl, on the disk when this returns; raises DiskFull, and leaves no
        half line, where there is no room.
        """
        atomic_files.append(
            self.file("events.jsonl"),
            (
                json.dumps({"time": round(time.time(), 3), **row}, default=json_default) + "\n"
            ).encode(),
        )
        self._now = self._now.model_copy(update={"advanced": time.time()})

    def add_facts(self, **facts: Any) -> None:
        """What only the job could find out: fingerprints of what it loaded, for instance."""
        path = self.file("request.json")
        content = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, content | {"facts": Facts(**(content.get("facts") or {}) | facts)})

    def stop_requested(self) -> Literal["keep", "discard"] | None:
        try:
            word = self.file("stop").read_text().strip()
        except OSError:
            return None
        if word not in ("keep", "discard"):
            return None
        self._seen_stop = True
        return word


@contextmanager
def record(request: Request, run_id: str | None = None) -> Iterator[Writer]:
    """The body is the job. A folder `run_id` that exists is adopted: a queued one is begun, an
    ended one resumed.
    """
    path = run_folder(run_id) if run_id else home() / "runs" / new_id(request.kind)
    path.mkdir(parents=True, exist_ok=bool(run_id))
    run = Writer(path)
    found = read_json(run.file("status.json"), Status)
    if found.state != "queued" or found.pid:
        # one that the launcher queued has no process yet
        if run.status().active:
            raise RunError(f"Run {run.id!r} is running already; stop it first")
        run.file("stop").unlink(missing_ok=True)
    old = read_json(run.file("request.json"), Request)
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    state, message = "failed", ""
    run._begin()
    try:
        if main:
            signal.signal(signal.SIGTERM, _interrupt(os.getpid()))
        write_json(
            run.file("request.json"),
            request.model_copy(
                update={
                    "name": request.name or old.name,
                    "created": old.created or time.time(),
                    "cwd": request.cwd or os.getcwd(),
                    "facts": old.facts,
                }
            ),
        )
        yield run
        state, message = (
            ("stopped", "It stopped when asked to, and kept what it had.")
            if run._seen_stop
            else ("done", "")
        )
    except KeyboardInterrupt:
        state, message = "stopped", "It was interrupted; what it had saved by then is kept."
        raise
    except SystemExit as end:
        state, message = (
            ("failed", f"It left with exit code {end.code}") if end.code else ("done", "")
        )
        raise
    except BaseException as error:
        told = (
            atomic_files.disk_full("the run's files", 0, run.path)
            if atomic_files.is_disk_full(error) and not isinstance(error, UserError)
            else error
        )
        message = _sentence(told)
        with suppress(OSError), open(run.file("log.txt"), "a", encoding="utf-8") as log:
            log.write(traceback.format_exc())
        raise told from (None if told is error else error)
    finally:
        if main:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the last word is written whole
        run._finish(state, message)
        if main:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def throwaway_run() -> Iterator[Writer]:
    """Where the second and further processes of one run write: a folder that goes when they end."""
    with tempfile.TemporaryDirectory(prefix="ctsft-") as folder:
        run = Writer(Path(folder))
        run._begin()
        try:
            yield run
        finally:
            run._finish("done")


def run_folder(run_id: str) -> Path:
    if not ID.fullmatch(run_id):
        raise RunError(
            f"{run_id!r} is no id of a run: expected only a-z, 0-9 and '-', as `python -m ctsft"
            " runs` lists them"
        )
    return home() / "runs" / run_id


def new_id(kind: str) -> str:
    tail = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(4))
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub(r'[^a-z0-9]+', '-', kind.lower())}-{tail}"


def _interrupt(owner: int):
    def handler(number, frame):
        if os.getpid() == owner:
            raise KeyboardInterrupt
        # a forked worker that inherited this handler has nothing to record
        os._exit(128 + number)

    return handler


def _sentence(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), "")[:300]
    return (
        text
        if text and isinstance(error, ValueError)
        else f"{type(error).__name__}: {text}".removesuffix(": ")
    )
