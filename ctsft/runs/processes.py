"""Processes by their pid and start time: a reused pid has another start time."""

import socket
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import BaseModel, Field

HOST = socket.gethostname()


class Process(BaseModel):
    """A process, as a run's files name it."""

    pid: Annotated[int, Field(gt=0, lt=2**31)] | None = None
    pid_started: float | None = None  # of `process_start_time`, only for comparing
    host: Annotated[str, Field(max_length=10_000)] = HOST


def process_start_time(pid: int) -> float | None:
    """When a process began; None if it does not exist or is a zombie. On Linux it is counted from
    boot, so that a change of the clock does not change it.
    """
    try:
        if psutil.LINUX:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            state, *fields = text.rpartition(")")[2].split()
            return None if state in "ZX" else float(fields[18])
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return process.create_time()
    except (OSError, psutil.Error):
        return None


def is_alive(process: Process) -> bool:
    """Whether that very process exists, not another with its pid."""
    started = process_start_time(process.pid)
    return started is not None and started == process.pid_started
