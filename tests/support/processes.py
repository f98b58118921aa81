"""Shell commands in processes of their own, forked from one that has imported torch: starting an
interpreter for each would take most of a test's time.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ctsft.runs import fork_server
from ctsft.runs.launcher import job_environment
from ctsft.runs.processes import Process, is_alive, process_start_time

SECONDS = 300


@dataclass
class Shell:
    """A command that runs; its output and exit code are files of `folder`."""

    process: Process
    folder: Path

    def is_running(self) -> bool:
        return is_alive(self.process)

    def kill(self, signal: int = 9) -> None:
        if self.is_running():
            os.kill(self.process.pid, signal)

    def wait(self, seconds: float = SECONDS) -> tuple[int, str, str]:
        """Exit code (-9 for one that was killed), stdout and stderr."""
        end = time.monotonic() + seconds
        while self.is_running():
            assert time.monotonic() < end, (self.folder / "err").read_text()
            time.sleep(0.01)
        code = self.folder / "code"
        out, err = ((self.folder / name).read_text() for name in ("out", "err"))
        return int(code.read_text()) if code.exists() else -9, out, err


def start_shell(words, folder: Path, cwd: Path | None = None, **environment: str) -> Shell:
    """Start `python -m ctsft WORDS`; at once under the fixture `fork_server`."""
    return start("call", [*map(str, words)], folder, cwd or folder, environment)


def start_code(code: str, folder: Path) -> Shell:
    """Start `python -c CODE`, in the same way."""
    return start("execute", [code], folder, folder, {})


def start(function: str, arguments: list[str], folder: Path, cwd: Path, more: dict) -> Shell:
    folder.mkdir(parents=True)
    for name in ("out", "err"):
        (folder / name).touch()
    arguments, environment = (str(folder), *arguments), job_environment() | more
    job = fork_server.Job(
        f"{__name__}:{function}", arguments, str(cwd), environment, str(folder / "log")
    )
    pid = fork_server.fork(job)
    if pid is None:
        alone = f"import sys; from {__name__} import *; sys.exit({function}(sys.argv[1:]))"
        command = [sys.executable, "-c", alone, *arguments]
        pid = subprocess.Popen(command, cwd=cwd, env=environment).pid
    return Shell(Process(pid=pid, pid_started=process_start_time(pid)), folder)


def run_processes(count: int, words, folder: Path, **environment: str) -> tuple[int, str, str]:
    """A command in `count` processes that work together, as torchrun starts them: the exit code of
    the first one, everything that they printed.
    """
    if count == 1:
        return start_shell(words, folder, **environment).wait()
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = str(trial.getsockname()[1])
    together = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shells = [
        start_shell(
            words,
            folder / str(rank),
            **environment | together | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]
    codes, outs, errs = zip(*(shell.wait() for shell in shells), strict=True)
    return codes[0], "".join(outs), "".join(errs)


def call(arguments: list[str]) -> int:
    """What the forked process of a shell command does."""
    from ctsft.cli.main import main
    from ctsft.utils import distributed

    # read from the environment when it was imported
    distributed.PROCESSES = int(os.environ.get("WORLD_SIZE", 1))
    distributed.RANK = int(os.environ.get("RANK", 0))
    return recorded(arguments[0], lambda: main(arguments[1:]))


def execute(arguments: list[str]) -> int:
    """What the forked process of some code does."""
    return recorded(arguments[0], lambda: exec(arguments[1], {"__name__": "__main__"}) or 0)


def recorded(folder: str, work: Callable[[], int]) -> int:
    """Do it with its output in files of the folder; the exit code is the last of them."""
    for name, standard in (("out", 1), ("err", 2)):
        os.dup2(os.open(Path(folder, name), os.O_WRONLY), standard)
    code = work()
    sys.stdout.flush()
    Path(folder, "code").write_text(str(code))
    return code
