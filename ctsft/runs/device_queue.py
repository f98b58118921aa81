"""The queue for a device: a run that would not fit beside those at work waits, and runs are served
in order.

A device has slots (one; the CPU as many as CTSFT_SLOTS says). A slot is a lock of the operating
system, which is released when its holder ends, in whatever way. Waiting runs leave a ticket with
the time and their process; the oldest ticket whose process is alive is served first. A run inside
another one, or started by it, shares its slot.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ctsft.runs.folder import read_json, write_json
from ctsft.runs.processes import HOST, Process, is_alive, process_start_time
from ctsft.utils.atomic_files import write_text
from ctsft.utils.errors import UserError
from ctsft.utils.home import home_folder

POLL = 0.3  # seconds between tries

DEVICE_FILES = Path("/dev")
# NVIDIA, also on Jetson and on Linux in Windows; AMD
GPU_FILES = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")

# environment variable: devices of which this process, or the one that started it, holds a slot
HELD_DEVICES = "CTSFT_HOLDS"


@contextmanager
def device_turn(
    device: str,
    run: str,
    waits: Callable[[str], None] = lambda message: None,
    stop: Callable[[], object] = lambda: None,
) -> Iterator[bool]:
    """Within, `run` holds a slot of the device; False if `stop()` was true before it got one.
    `waits(message)` is called with the runs it waits for, and with "" at the end. UserError for a
    wrong CTSFT_SLOTS.
    """
    held = os.environ.get(HELD_DEVICES, "")
    if device in held.split(","):
        yield True
        return
    folder = home_folder("locks", re.sub(r"\W", "-", HOST))
    slot = wait_for_slot(folder, device, run, waits, stop)
    if slot is None:
        yield False
        return
    lock, named = slot
    os.environ[HELD_DEVICES] = ",".join(filter(None, [held, device]))
    try:
        with suppress(OSError):  # the name is only shown to waiting runs
            write_text(named, run)
        yield True
    finally:
        os.environ[HELD_DEVICES] = held
        with suppress(OSError):
            named.unlink(missing_ok=True)
        lock.release()


def wait_for_slot(
    folder: Path, device: str, run: str, waits: Callable[[str], None], stop: Callable[[], object]
) -> tuple[FileLock, Path] | None:
    """The slot's lock, and the file for its holder's name; None when a stop was requested."""
    ticket = folder / f"{device}.{time.time_ns():020d}.{run}.ticket"
    write_json(ticket, Process(pid=os.getpid(), pid_started=process_start_time(os.getpid())))
    waited = False
    try:
        while True:
            if is_next(folder, device, ticket):
                for slot in range(slot_count(device)):
                    lock = FileLock(folder / f"{device}-{slot}.lock", thread_local=False)
                    with suppress(Timeout):
                        lock.acquire(timeout=0)
                        if waited:
                            waits("")
                        return lock, folder / f"{device}-{slot}.holder"
            if stop():
                return None
            waits(f"waiting for run {running_ids(folder, device)}")
            waited = True
            time.sleep(POLL)
    finally:
        ticket.unlink(missing_ok=True)


def is_next(folder: Path, device: str, ticket: Path) -> bool:
    """Whether no living process waits longer; tickets of ended processes are removed."""
    for other in sorted(folder.glob(f"{device}.*.ticket")):
        if other >= ticket:
            return True
        if is_alive(read_json(other, Process)):
            return False
        other.unlink(missing_ok=True)
    return True


def running_ids(folder: Path, device: str) -> str:
    """Ids of the runs that hold the device's slots, as text."""
    names = []
    for path in sorted(folder.glob(f"{device}-*.holder")):
        with suppress(OSError):
            names.append(path.read_text(encoding="utf-8"))
    return " or ".join(filter(None, names)) or "that came before"


def slot_count(device: str) -> int:
    """Runs that may use a device at once. UserError for a CTSFT_SLOTS that is not a number."""
    text = os.environ.get("CTSFT_SLOTS", "").strip() or "1"
    if not text.isdecimal() or not int(text):
        raise UserError(
            f"CTSFT_SLOTS is {text!r}; write how many runs may work on the CPU at once, such as 1."
        )
    return int(text) if device == "cpu" else 1


def device_key(device: str) -> str:
    """ "cpu", "mps" or "cuda-0" for the device of a request; a model spread over all GPUs ("map")
    counts as using the first.
    """
    if device in ("auto", "map"):
        device = torch_device() if may_have_gpu() else "cpu"
    return "cuda-0" if device == "cuda" else re.sub(r"\W", "-", device)


def may_have_gpu() -> bool:
    """Whether torch could find a GPU here. Without a GPU's device file a waiting process is spared
    the import of torch (several hundred MB).
    """
    if sys.platform != "linux":
        return True
    return any(list(DEVICE_FILES.glob(pattern)) for pattern in GPU_FILES)


def torch_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
