"""A server of the explorer that answers nothing for a moment, as under heavy load."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit


def process_of(address: str) -> int:
    """The id of the process that serves an address of `benchmarks.browser.server`."""
    wanted = f"--server.port\0{urlsplit(address).port}\0".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted in path.read_bytes():
                return int(path.parent.name)
        except OSError:
            continue  # it has just ended
    raise LookupError(f"no process serves {address}")


@contextmanager
def stalled(address: str) -> Iterator[None]:
    server = process_of(address)
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)
