"""Whose turn it is on a device: a run that would not fit beside the ones at work waits, and runs
take their turns in order.

A device has slots (one; the CPU as many as CTSFT_SLOTS says). A slot is a lock of the operating
system, which frees it when its holder ends, however it ends. Those who wait leave a ticket with the
time and their process; the eldest living ticket is served first. A run inside another one, or
started by it, shares its turn.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ctsft.runs.folder import HOST, Process, is_alive, process_start_time, read_json, write_json
from ctsft.utils.errors import UserError
from ctsft.utils.home import home

POLL = 0.3  # seconds between tries

# the devices this process, or the one that started it, has a turn on
HELD_DEVICES = "CTSFT_HOLDS"


@contextmanager
def device_turn(
    device: str,
    run: str,
    waits: Callable[[str], None] = lambda words: None,
    stop: Callable[[], object] = lambda: None,
) -> Iterator[bool]:
    """True within once it is the turn of `run` on a device; False if `stop` came first. `waits`
    hears for whom it waits, "" at the end.
    """
    held = os.environ.get(HELD_DEVICES, "")
    if device in held.split(","):
        yield True
        return
    folder = home() / "locks" / re.sub(r"\W", "-", HOST)
    folder.mkdir(parents=True, exist_ok=True)
    slot = wait_for_slot(folder, device, run, waits, stop)
    if slot is None:
        yield False
        return
    lock, named = slot
    os.environ[HELD_DEVICES] = ",".join(filter(None, [held, device]))
    try:
        with suppress(OSError):  # the name is only for those who wait
            named.write_text(run, encoding="utf-8")
        yield True
    finally:
        os.environ[HELD_DEVICES] = held
        with suppress(OSError):
            named.unlink(missing_ok=True)
        lock.release()


def wait_for_slot(
    folder: Path, device: str, run: str, waits: Callable[[str], None], stop: Callable[[], object]
) -> tuple[FileLock, Path] | None:
    """The slot that came free for this run, and where its holder's name goes; None when it was
    asked to stop.
    """
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
    """Whether no living process waits longer; tickets of the dead are thrown away."""
    for other in sorted(folder.glob(f"{device}.*.ticket")):
        if other >= ticket:
            return True
        if is_alive(read_json(other, Process)):
            return False
        other.unlink(missing_ok=True)
    return True


def running_ids(folder: Path, device: str) -> str:
    """Ids of the runs at work there."""
    names = []
    for path in sorted(folder.glob(f"{device}-*.holder")):
        with suppress(OSError):
            names.append(path.read_text(encoding="utf-8"))
    return " or ".join(filter(None, names)) or "that came before"


def slot_count(device: str) -> int:
    """Runs that may work on a device at once. UserError for a CTSFT_SLOTS that is no number."""
    words = os.environ.get("CTSFT_SLOTS", "").strip() or "1"
    if not words.isdecimal() or not int(words):
        raise UserError(
            f"CTSFT_SLOTS is {words!r}; write how many runs may work on the CPU at once, such as 1."
        )
    return int(words) if device == "cpu" else 1


def device_key(device: str) -> str:
    """ "cpu", "mps" or "cuda-0" for what a command calls its device; one spread over all ("map")
    counts as the first.
    """
    import torch

    if device in ("auto", "map"):
        device = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    return "cuda-0" if device == "cuda" else re.sub(r"\W", "-", device)
