"""Signals that end a job: Ctrl-C, a closed terminal, a request to end. Each becomes a
KeyboardInterrupt, except while the run's record is being written.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Interrupts:
    """`held`: a signal waits until `release`. A job begins and ends with signals held."""

    def __init__(self):
        self.owner = os.getpid()
        self.held = True
        self.pending: int | None = None

    def __call__(self, number: int, frame: object) -> None:
        if os.getpid() != self.owner:
            # a forked worker that inherited this handler has nothing to record
            os._exit(128 + number)
        if self.held:
            self.pending = number
        else:
            raise KeyboardInterrupt

    def release(self) -> None:
        """Let signals through, one that came meanwhile first."""
        self.held = False
        if self.pending is not None:
            self.pending = None
            raise KeyboardInterrupt

    def hold(self) -> None:
        self.held = True


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handles the signals within; the handlers from before are restored. Only in the main thread;
    a signal that is ignored (as `nohup` does) stays ignored.
    """
    handler = Interrupts()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            earlier = signal.getsignal(number)
            if earlier is not signal.SIG_IGN:
                before[number] = earlier or signal.SIG_DFL
                signal.signal(number, handler)
    try:
        yield handler
    finally:
        handler.hold()
        for number, earlier in before.items():
            signal.signal(number, earlier)
        if isinstance(before.get(handler.pending), Interrupts):
            # the job around this one was meant too
            signal.raise_signal(handler.pending)
