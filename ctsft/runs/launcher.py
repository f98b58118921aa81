"""Starting and ending jobs as detached processes.

    run = runs.start(request)
    run.status().progress, run.events(since=10)
    runs.stop(run)
    runs.resume(run)

A started job has its own process session and writes its output to a file, so it outlives the
browser and the server. A stop with "keep" lets the job finish its step and save; SIGTERM ends it at
once but lets it record that. A job that ends without a record counts as lost. `folder` describes
the files of a run, `recorder` what a job writes to them.
"""

import os
import site
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil

from ctsft.runs import fork_server
from ctsft.runs.damage import wrong_file
from ctsft.runs.explorations import refuse_read_only
from ctsft.runs.folder import Request, Run, RunError, Status, read_json, write_json
from ctsft.runs.lock import runs_lock
from ctsft.runs.processes import HOST, Process, is_alive, process_start_time
from ctsft.runs.recorder import new_id
from ctsft.runs.run_list import list_runs
from ctsft.utils.atomic_files import PRIVATE_FOLDER, opener_in, remove, write_text
from ctsft.utils.home import home, home_folder, unwritable

MAX_WAITING = 20  # jobs that may wait for their turn at once

ROOT = Path(__file__).resolve().parents[2]  # the folder of the packages: a started job imports them


def start(request: Request) -> Run:
    """Start the request's job as a detached process that outlives this one. RunError where
    MAX_WAITING jobs wait already; UserError where its folder cannot be written.
    """
    run = Run(home_folder("runs") / new_id(request.kind))
    stored = request.model_copy(update={"created": time.time(), "cwd": request.cwd or os.getcwd()})
    started = False
    with runs_lock():
        refuse_too_many()
        try:
            run.path.mkdir(PRIVATE_FOLDER)
            write_json(run.file("status.json"), Status(state="queued", heartbeat=time.time()))
            write_json(run.file("request.json"), stored)
            _launch(run)
            started = True
        except OSError as error:
            raise unwritable(run.path, error.strerror or type(error).__name__) from error
        finally:
            if not started:  # such as on a full disk: no folder is left that never ran
                remove(run.path)
    return run


def resume(run: Run) -> Run:
    """Start a run's job again in the same folder; it goes on from the checkpoints there. RunError
    while it is running, or where MAX_WAITING jobs wait already.
    """
    refuse_read_only(run)
    with runs_lock():
        if not run.path.is_dir():
            raise RunError(f"Run {run.id!r} no longer exists, so it cannot be resumed; start a new")
        if run.status().active:
            raise RunError(f"Run {run.id!r} is running already; stop it before resuming it")
        if run.note:
            raise RunError(
                f"Run {run.id!r} was {run.note}, so it cannot be continued; start it again"
            )
        unreadable = wrong_file(run.file("request.json"), Request)
        if unreadable:
            raise RunError(
                f"Run {run.id!r} has a damaged request.json ({unreadable}), so it cannot be"
                " continued; start a new one"
            )
        refuse_too_many()
        try:
            return _launch(run)
        except OSError as error:
            raise unwritable(run.path, error.strerror or type(error).__name__) from error


def refuse_too_many() -> None:
    """RunError where MAX_WAITING jobs wait: each is a process, and all would run one by one."""
    waiting = sum(run.status().state == "queued" for run in list_runs())
    if waiting >= MAX_WAITING:
        raise RunError(
            f"{waiting} jobs are waiting already, and at most {MAX_WAITING} may; stop some of them,"
            " or start this one when they are done"
        )


# a job's function, for `fork_server`, and the modules that jobs import
MAIN = "ctsft.__main__:entry"
JOB_MODULES = (
    "ctsft.cli.main",
    "ctsft.jobs.advice",
    "ctsft.jobs.faithfulness",
    "ctsft.jobs.rescoring",
    "ctsft.jobs.scoring",
    "ctsft.jobs.tuning",
    "ctsft.experiment.runner",
    "transformers.models.auto.modeling_auto",
    "transformers.trainer",
)


def prepare() -> bool:
    """Import what jobs need in a process of its own, so that the next ones start at once; returns
    before that is done. False where jobs cannot be forked (not on Linux): they start all the same.
    """
    return fork_server.start(JOB_MODULES, job_environment())


def is_prepared(seconds: float = 0.0) -> bool:
    """Whether the next job starts at once; waits for that at most so long."""
    return fork_server.is_ready(seconds)


def _launch(run: Run) -> Run:
    arguments = ("run", run.id)
    return _spawn(run, [sys.executable, "-m", "ctsft", *arguments], arguments)


def job_environment() -> dict[str, str]:
    """The environment variables of a started job."""
    return {
        **os.environ,
        "CTSFT_HOME": str(home()),
        "PYTHONPATH": os.pathsep.join(search_path(ROOT)),
        # the folder a job starts in never replaces the program's modules
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }


def search_path(root: Path) -> list[str]:
    """The folders of a started job's PYTHONPATH: the present ones, and before them the one of the
    packages unless they are installed, for then every Python process finds them by itself.
    """
    installed = map(Path, (*site.getsitepackages(), site.getusersitepackages()))
    inherited = list(filter(None, [os.environ.get("PYTHONPATH")]))
    if root in {folder.resolve() for folder in installed}:
        return inherited
    return [str(root), *inherited]


def _spawn(run: Run, command: list[str], arguments: tuple[str, ...] | None = None) -> Run:
    """Start a job's process: forked, where a fork server is ready for `arguments`, or by
    `command`.
    """
    for name in ("process.json", "stop"):
        run.file(name).unlink(missing_ok=True)
    write_json(run.file("status.json"), Status(state="queued", heartbeat=time.time()))
    environment, cwd = job_environment(), run.request.cwd
    folder = cwd if os.path.isdir(cwd) else os.getcwd()
    pid = None
    if arguments is not None:
        log = str(run.file("log.txt").absolute())
        pid = fork_server.fork(fork_server.Job(MAIN, arguments, folder, environment, log))
    if pid is None:
        pid = _start_process(run, command, folder, environment)
    write_json(run.file("process.json"), Process(pid=pid, pid_started=process_start_time(pid)))
    return run


def _start_process(run: Run, command: list[str], folder: str, environment: dict[str, str]) -> int:
    detached = {"start_new_session": True}
    if os.name == "nt":
        detached = {
            "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        }
    with open(run.file("log.txt"), "ab", opener=opener_in(run.path)) as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            **detached,
        )
    # waits for its end, so that no zombie is left in a server that runs for weeks
    threading.Thread(target=child.wait, daemon=True).start()
    return child.pid


def stop(run: Run, mode: Literal["keep", "discard"] = "keep", wait: float = 5.0) -> None:
    """Stop a run. mode: "keep" lets the job finish its step and save, and returns at once;
    "discard" ends it and removes the folder. wait: seconds, as in `kill`. RunError for another
    mode, or a job that cannot be ended.
    """
    if mode not in ("keep", "discard"):
        raise RunError(f"{mode!r} is not a way to stop a run; choose from 'keep', 'discard'")
    refuse_read_only(run)
    if run.status().active:
        write_text(run.file("stop"), mode)
    if mode == "discard":
        kill(run, wait)
        delete(run)


def kill(run: Run, wait: float = 5.0) -> None:
    """End the process and its children, by SIGTERM and after `wait` seconds by SIGKILL. The folder
    stays. RunError for a run of another machine, or a process that does not end.
    """
    refuse_read_only(run)
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
        # never another process that was given this pid
        family = [parent, *parent.children(recursive=True)] if is_alive(process) else []
        if family:
            parent.terminate()
            _await_end(process, wait)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
    if not _await_end(process, 10.0):
        raise RunError(
            f"Run {run.id!r} (pid {process.pid}) did not end within {wait + 10:.0f} s; end that"
            " process by hand"
        )
    last = read_json(run.file("status.json"), Status)
    if last.active:
        write_json(
            run.file("status.json"),
            last.model_copy(
                update={
                    "state": "stopped",
                    "eta": None,
                    "finished": time.time(),
                    "message": (
                        "The process was ended before it finished its step; what it had saved by"
                        " then remains."
                    ),
                }
            ),
        )


def delete(run: Run) -> None:
    """Remove a run's folder; RunError while it is running, or where it is read only."""
    refuse_read_only(run)
    hidden = run.path.with_name(f".{run.id}")
    with runs_lock():
        if run.status().active:
            raise RunError(f"Run {run.id!r} is still running; stop it before deleting it")
        # out of every list at once, then file by file
        remove(hidden)
        try:
            run.path.rename(hidden)
        except FileNotFoundError:
            return
        except OSError as error:
            raise unwritable(run.path, error.strerror or type(error).__name__) from error
    remove(hidden)


def _await_end(process: Process, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_alive(process)
