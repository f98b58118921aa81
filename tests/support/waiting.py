"""Waiting for what another process or thread does: as short as it takes, and patient."""

import time
from collections.abc import Callable
from types import SimpleNamespace

# seconds after which a test gives up; a loaded machine needs many to start a process
PATIENCE = 120.0


def wait_until(condition: Callable, seconds: float = PATIENCE, every: float = 0.02):
    """What `condition()` returns once it is true; its last value if it never is."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(every)
    return value


def stopped_clock(now: float = 1000.0) -> SimpleNamespace:
    """The module `time` with a monotonic clock that stands still: `clock.now += 0.2` moves it."""
    clock = SimpleNamespace(**vars(time))
    clock.now = now
    clock.monotonic = lambda: clock.now
    return clock
