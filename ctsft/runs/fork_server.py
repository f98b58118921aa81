"""A process that has imported torch and transformers, and starts jobs by forking itself: a job then
begins in a tenth of a second instead of seconds.

    fork_server.start(modules, environment)   # imports them in the background
    pid = fork_server.fork(job)               # None where it cannot: start a process of your own

A forked job is as detached as any other: it has its own process session, its own log, and outlives
the server and the program that requested it. Only on Linux: forking is not safe on macOS and does
not exist on Windows. The server never touches CUDA, so a job may. It ends with the program that
started it, when its end of their socket closes.
"""

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

# variables that libraries read when they are imported: a job with others cannot be forked
READ_AT_IMPORT = (
    "CUDA", "HF_", "HUGGINGFACE", "KMP_", "LD_", "MKL_", "OMP_", "OPENBLAS", "PYTHON", "PYTORCH",
    "SAFETENSORS", "TORCH", "TRANSFORMERS", "XDG_",
)  # fmt: skip
# what scikit-learn, joblib and torch set for themselves when they are imported or first use a GPU
SET_BY_LIBRARIES = (
    "CUDA_MODULE_LOADING",
    "KMP_DUPLICATE_LIB_OK",
    "KMP_INIT_AT_FORK",
    "TORCHINDUCTOR_CACHE_DIR",
)
SECONDS = 60.0  # for an answer; a server that does not give one is ended


@dataclass(frozen=True)
class Job:
    """What a forked process runs: `module:function`, which gets `arguments` and returns the exit
    code.
    """

    function: str
    arguments: tuple[str, ...]
    folder: str  # it works there
    environment: dict[str, str]
    log: str  # path; stdout and stderr are appended to it


class ForkServer:
    """The program's side: one server process and the socket to it."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]):
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in the program's terminal is not for the jobs
            )
        self._ready = False

    def is_ready(self, seconds: float = 0.0) -> bool:
        """Whether it has imported everything; waits for that at most so long."""
        if not self._ready:
            self._ready = self._receive(seconds) == b"ready"
        return self._ready

    def fork(self, job: Job) -> int | None:
        """The job's process id; None where this server cannot start it."""
        with self._lock:
            if not self.is_ready() or read_at_import(job.environment) != read_at_import(
                self._environment
            ):
                return None
            message = json.dumps(asdict(job)).encode()
            with suppress(OSError):  # it has ended, or the message is too long for the socket
                self._socket.send(message)
                answer = self._receive(SECONDS)
                if answer.isdigit():
                    return int(answer)
                # it must not start the job later, beside the process that the caller starts
                self._process.kill()
                self.close()
            return None

    def close(self) -> None:
        """End the server; jobs that it started go on."""
        self._ready = False
        self._socket.close()
        threading.Thread(target=self._process.wait, daemon=True).start()

    def _receive(self, seconds: float) -> bytes:
        try:
            self._socket.settimeout(seconds)
            return self._socket.recv(64)
        except OSError:  # nothing there, or closed
            return b""


_server: ForkServer | None = None


def start(modules: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Start this program's server if it has none; False where forking is not safe."""
    global _server
    if not sys.platform.startswith("linux"):
        return False
    if _server is None:
        _server = ForkServer(modules, environment)
    return True


def is_ready(seconds: float = 0.0) -> bool:
    """Whether a job can be forked now; waits for that at most so long."""
    return _server is not None and _server.is_ready(seconds)


def fork(job: Job) -> int | None:
    """Start a job in a process forked from the server; its process id, or None where there is no
    server or it cannot: it is not ready, or the job's environment differs in what libraries read
    when they are imported.
    """
    return _server.fork(job) if _server else None


def read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables in which a job must agree with the server. Not those that the program's
    libraries add while it runs: the job's own libraries set them too.
    """
    return {
        name: text
        for name, text in environment.items()
        if name.startswith(READ_AT_IMPORT) and name not in SET_BY_LIBRARIES
    }


def serve(line: socket.socket) -> Job | None:
    """Fork a process for each job that arrives. Returns in that process with the job, and in the
    server with None once the program has ended.
    """
    gc.freeze()  # the collector of a job never writes to pages that it shares with the others
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended jobs leave no zombies
    line.send(b"ready")
    while message := line.recv(1 << 20):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            line.close()
            fields = json.loads(message)
            return Job(**fields | {"arguments": tuple(fields["arguments"])})
        line.send(str(pid).encode())
    return None


def run(job: Job) -> int:
    """Do the job in this process as if it had been started for it; the exit code."""
    os.setsid()
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(ours, standard)
    os.environ.clear()
    os.environ.update(job.environment)
    os.chdir(job.folder)
    sys.argv = ["ctsft", *job.arguments]
    module, _, name = job.function.partition(":")
    return getattr(importlib.import_module(module), name)(list(job.arguments))


@contextmanager
def ended_by_hangup(line: socket.socket) -> Iterator[None]:
    """Meanwhile this process ends, by SIGIO, as soon as the other end of the line closes: a program
    that has ended leaves none that imports for seconds more. Nothing is sent meanwhile.
    """
    import fcntl  # not on Windows

    flags = fcntl.fcntl(line, fcntl.F_GETFL)
    fcntl.fcntl(line, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(line, fcntl.F_SETFL, flags | os.O_ASYNC)
    yield
    fcntl.fcntl(line, fcntl.F_SETFL, flags)


def main(arguments: Sequence[str]) -> int:
    line = socket.socket(fileno=int(arguments[0]))
    gc.disable()  # what is imported stays
    with ended_by_hangup(line):
        for module in arguments[1:]:
            importlib.import_module(module)
    job = serve(line)
    return 0 if job is None else run(job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
