"""Jobs as runs: record one, start it detached, watch, stop, resume. What a run folder holds stands in `run_folder`.

    with runs.record("score", sys.argv[1:], {"seed": 0}, run_id) as run:     # in the job's own process
        for done, row in enumerate(work):
            run.event(**row)
            run.progress(done, total, "scoring")
            if run.stop_requested():
                break                                                        # what is worth keeping goes to run.file("...")

    run = runs.start(["score", "--task", "demo"])                            # from a screen: the same job, detached
    run.status().progress, run.events(since=10)
    runs.stop(run)
    runs.resume(run)

A started job is a process of its own session with its output in a file, so it outlives the browser and the server. "keep" is a
wish the job grants at its next step; SIGTERM ends it at once but lets it say so; what ends without a word reads as lost.
"""
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

import psutil

from ctsft.places import home
from ctsft.run_folder import HOST, Process, Request, Run, RunError, State, Status, birth, lives, plain, read, write

ROOT = Path(__file__).resolve().parent.parent     # what a started job must be able to import
TICK, BEAT = 0.5, 5.0                             # seconds between looks for progress to write; between heartbeats without any
ID = re.compile(r"[a-z0-9][a-z0-9-]*")


class Writer(Run):
    """The job's own hand on its run; made by `record`. A thread does the writing, so `progress` costs a training step nothing."""

    def _begin(self) -> None:
        with open(self.file("events.jsonl"), "a+b") as events:
            events.seek(max(0, events.seek(0, os.SEEK_END) - 1))
            if events.read() not in (b"", b"\n"):
                events.write(b"\n")     # a killed writer's torn line must not swallow the next one
        now = time.time()
        self._now = Status(pid=os.getpid(), pid_started=birth(os.getpid()), started=now, advanced=now)
        self._stage, self._moved, self._seen_stop, self._over = None, False, False, threading.Event()
        self._save()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        for tick in count(1):
            if self._over.wait(TICK):
                return
            if self._moved or tick % round(BEAT / TICK) == 0:
                self._moved = False
                with suppress(OSError):    # a full disk now may not be full at the next tick
                    self._save()

    def _save(self) -> None:
        write(self.file("status.json"), self._now.model_copy(update={"heartbeat": time.time()}))

    def _finish(self, state: State, message: str = "") -> None:
        self._over.set()
        self._thread.join()
        done = {"progress": 1.0} if state == "done" else {}
        self._now = self._now.model_copy(update={"state": state, "message": message, "eta": None, "finished": time.time(), **done})
        self._save()

    def progress(self, done: float, total: float, stage: str = "") -> None:
        now = time.monotonic()
        if self._stage is None or stage != self._stage or done < self._first:
            self._stage, self._first, self._since = stage, done, now
        gained = done - self._first
        eta = (total - done) * (now - self._since) / gained if gained > 0 else None
        share = min(max(float(done / total), 0.0), 1.0) if total else 0.0
        self._now = self._now.model_copy(update={"stage": stage, "progress": share, "eta": eta, "advanced": time.time()})
        self._moved = True

    def event(self, **row: Any) -> None:
        line = json.dumps({"time": round(time.time(), 3), **row}, default=plain) + "\n"
        with open(self.file("events.jsonl"), "ab", buffering=0) as events:
            events.write(line.encode())
        self._now = self._now.model_copy(update={"advanced": time.time()})

    def add_params(self, **params: Any) -> None:
        """What only the job could find out: fingerprints of what it loaded, for instance."""
        request = self.request
        write(self.file("request.json"), request.model_copy(update={"params": {**request.params, **params}}))

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
def record(kind: str, argv: Sequence[str] = (), params: dict | None = None, run_id: str | None = None, name: str = "") -> Iterator[Writer]:
    """The body is the job. A folder `run_id` that exists is adopted: a queued one is begun, an ended one resumed."""
    path = _folder(run_id) if run_id else home() / "runs" / _new_id(kind)
    path.mkdir(parents=True, exist_ok=bool(run_id))
    run = Writer(path)
    if read(run.file("status.json"), Status).state != "queued":
        if run.status().active:
            raise RunError(f"Run {run.id!r} is running already; stop it first, or choose another id for --run")
        run.file("stop").unlink(missing_ok=True)
    old = read(run.file("request.json"), Request)
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    state, message = "failed", ""
    run._begin()
    try:
        if main:
            signal.signal(signal.SIGTERM, _interrupt(os.getpid()))
        write(run.file("request.json"), Request(
            kind=kind, argv=_without_run(argv), params={**old.params, **(params or {})}, name=name or old.name,
            created=old.created or time.time(), cwd=os.getcwd()))
        yield run
        state, message = ("stopped", "It stopped when asked to, and kept what it had.") if run._seen_stop else ("done", "")
    except KeyboardInterrupt:
        state, message = "stopped", "It was interrupted; what it had saved by then is kept."
        raise
    except SystemExit as end:
        state, message = ("failed", f"It left with exit code {end.code}") if end.code else ("done", "")
        raise
    except BaseException as error:
        message = _sentence(error)
        with suppress(OSError), open(run.file("log.txt"), "a", encoding="utf-8") as log:
            log.write(traceback.format_exc())
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)     # the last word is written whole
        run._finish(state, message)
        if main:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def shadow() -> Iterator[Writer]:
    """Where the second and further processes of one run write: a folder that goes when they end."""
    with tempfile.TemporaryDirectory(prefix="ctsft-") as folder:
        run = Writer(Path(folder))
        run._begin()
        try:
            yield run
        finally:
            run._finish("done")


def start(kind_words: Sequence[str], params: dict | None = None, name: str = "") -> Run:
    """Starts `python -m ctsft <words> --run <id>` as a detached process that outlives this one."""
    words = _without_run(kind_words)
    run = Run(home() / "runs" / _new_id(words[0]))
    run.path.mkdir(parents=True)
    write(run.file("status.json"), Status(state="queued", heartbeat=time.time()))
    write(run.file("request.json"), Request(
        kind=words[0], argv=words, params=params or {}, name=name, created=time.time(), cwd=os.getcwd()))
    return _launch(run)


def resume(run: Run) -> Run:
    """Starts the command of a run again in the same folder; the job goes on from the checkpoints it finds there."""
    if run.status().active:
        raise RunError(f"Run {run.id!r} is running already; stop it before resuming it")
    return _launch(run)


def _launch(run: Run) -> Run:
    return _spawn(run, [sys.executable, "-m", "ctsft", *run.request.argv, "--run", run.id])


def _spawn(run: Run, command: list[str]) -> Run:
    for name in ("process.json", "stop"):
        run.file(name).unlink(missing_ok=True)
    write(run.file("status.json"), Status(state="queued", heartbeat=time.time()))
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "CTSFT_HOME": str(home()), "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    detached = {"start_new_session": True}
    if os.name == "nt":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    cwd = run.request.cwd
    with open(run.file("log.txt"), "ab") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env,
                                 cwd=cwd if os.path.isdir(cwd) else None, **detached)
    write(run.file("process.json"), Process(pid=child.pid, pid_started=birth(child.pid)))
    threading.Thread(target=child.wait, daemon=True).start()    # reaps it: no zombie is left in a server that lives for weeks
    return run


def stop(run: Run, mode: Literal["keep", "discard"] = "keep", wait: float = 5.0) -> None:
    """"keep" asks the job to finish its step and save, and returns at once; "discard" ends it and removes the folder."""
    if mode not in ("keep", "discard"):
        raise RunError(f"{mode!r} is no way to stop a run; choose from 'keep', 'discard'")
    if run.status().active:
        run.file("stop").write_text(mode)
    if mode == "discard":
        kill(run, wait)
        delete(run)


def kill(run: Run, wait: float = 5.0) -> None:
    """Ends the process and its children: asked to (SIGTERM), and after `wait` seconds made to. The folder stays."""
    status = run.status()
    if not status.active:
        return
    process = run._process(status)
    if process.host != HOST:
        raise RunError(f"Run {run.id!r} runs on {process.host!r}, not on {HOST!r}; stop it there")
    if process.pid is None:
        raise RunError(f"Run {run.id!r} has no process yet; try again in a moment")
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)] if lives(process) else []     # never a stranger's
        if family:
            parent.terminate()
            _await_end(process, wait)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
    if not _await_end(process, 10.0):
        raise RunError(f"Run {run.id!r} (pid {process.pid}) did not end within {wait + 10:.0f} s; end that process by hand")
    last = read(run.file("status.json"), Status)
    if last.active:
        write(run.file("status.json"), last.model_copy(update={
            "state": "stopped", "eta": None, "finished": time.time(),
            "message": "The process was ended before it finished its step; what it had saved by then is kept."}))


def delete(run: Run) -> None:
    if run.status().active:
        raise RunError(f"Run {run.id!r} is still running; stop it before deleting it")
    grave = run.path.with_name(f".{run.id}")     # out of every list at once, then file by file
    with suppress(FileNotFoundError):
        run.path.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)


def get(run_id: str) -> Run:
    path = _folder(run_id)
    if not path.is_dir():
        raise RunError(f"There is no run {run_id!r} in {path.parent}; expected one of the ids that `python -m ctsft runs` lists")
    return Run(path)


def list_runs(kind: str | None = None) -> list[Run]:
    """Newest first; folders without any request are not runs."""
    folders = [path.parent for path in (home() / "runs").glob("*/request.json") if ID.fullmatch(path.parent.name)]
    found = [(run.request, run) for run in map(Run, folders)]
    found.sort(key=lambda pair: (pair[0].created, pair[1].id), reverse=True)
    return [run for request, run in found if kind in (None, request.kind)]


def shell_command(request: Request) -> str:
    """The command that repeats the run as a new one, from `request.cwd`."""
    return shlex.join(["python", "-m", "ctsft", *request.argv])


def _folder(run_id: str) -> Path:
    if not ID.fullmatch(run_id):
        raise RunError(f"{run_id!r} is no id of a run: expected only a-z, 0-9 and '-', as `python -m ctsft runs` lists them")
    return home() / "runs" / run_id


def _new_id(kind: str) -> str:
    tail = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(4))
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub(r'[^a-z0-9]+', '-', kind.lower())}-{tail}"


def _without_run(argv: Sequence[str]) -> list[str]:
    words = iter(argv)
    kept = []
    for word in words:
        if word == "--run":
            next(words, None)
        elif not word.startswith("--run="):
            kept.append(word)
    return kept


def _await_end(process: Process, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while lives(process) and time.monotonic() < end:
        time.sleep(0.05)
    return not lives(process)


def _interrupt(owner: int):
    def handler(number, frame):
        if os.getpid() == owner:
            raise KeyboardInterrupt
        os._exit(128 + number)     # a forked worker that inherited this handler has nothing to record
    return handler


def _sentence(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), "")[:300]
    return text if text and isinstance(error, ValueError) else f"{type(error).__name__}: {text}".removesuffix(": ")
