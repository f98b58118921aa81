"""Shell commands in processes of their own, forked from one that has imported torch: starting an
interpreter for each would take most of a test's time.
"""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ctsft.runs import fork_server
from ctsft.runs.folder import Process, is_alive, process_start_time
from ctsft.runs.launcher import job_environment

SECONDS = 300
CALL = "import sys; from support.processes import call; sys.exit(call(sys.argv[1:]))"


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
    folder.mkdir(parents=True)
    for name in ("out", "err"):
        (folder / name).touch()
    arguments = (str(folder), *map(str, words))
    environment = job_environment() | environment
    cwd, log = str(cwd or folder), str(folder / "log")
    pid = fork_server.fork(
        fork_server.Job("support.processes:call", arguments, cwd, environment, log)
    )
    if pid is None:
        command = [sys.executable, "-c", CALL, *arguments]
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
    """What a forked process does."""
    from ctsft.cli.main import main
    from ctsft.utils import distributed

    folder = Path(arguments[0])
    for name, standard in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY), standard)
    # read from the environment when it was imported
    distributed.PROCESSES = int(os.environ.get("WORLD_SIZE", 1))
    distributed.RANK = int(os.environ.get("RANK", 0))
    code = main(arguments[1:])
    sys.stdout.flush()
    (folder / "code").write_text(str(code))
    return code
