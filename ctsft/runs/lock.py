"""The lock of looking at a run and then starting, resuming or removing it: one for all runs of a
user's folder, held for milliseconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from ctsft.utils.atomic_files import PRIVATE_FILE
from ctsft.utils.errors import UserError
from ctsft.utils.home import home_folder, unwritable

PATIENCE = 30.0  # seconds


@contextmanager
def runs_lock() -> Iterator[None]:
    """Within, no other process or thread starts, resumes or removes a run. UserError where the
    lock cannot be made, or is not released.
    """
    folder = home_folder("locks")
    # an object of its own for each caller: threads exclude each other too
    lock = FileLock(folder / "runs.lock", PATIENCE, PRIVATE_FILE, is_singleton=False)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"Another process has been starting or removing a run for {PATIENCE:.0f} s; try again,"
            f" or end the process that holds {folder / 'runs.lock'}."
        ) from None
    except OSError as error:
        raise unwritable(folder, error.strerror or type(error).__name__) from None
    try:
        yield
    finally:
        lock.release()
