"""What a job writes to its run folder while it works: its status, its events, its facts.

A thread writes the status, twice a second at most.
"""

import json
import os
import threading
import time
from contextlib import suppress
from itertools import count
from typing import Any, Literal

from ctsft.runs.folder import (
    Facts,
    Run,
    RunRemoved,
    State,
    Status,
    json_default,
    write_json,
)
from ctsft.runs.processes import process_start_time
from ctsft.utils import atomic_files

# seconds
TICK = 0.5  # between looks for progress to write
BEAT = 5.0  # between heartbeats without progress

# a file that reserves this many bytes for the run's last status
SPARE = ".spare"
SPARE_BYTES = 65536


class Writer(Run):
    """A run as its job writes it; made by `record`. A thread writes the status, so `progress` takes
    no time from a training step.
    """

    def begin(self) -> None:
        """Write the first status of the job, and write it again from now on."""
        atomic_files.remove_leftovers(self.path / "*")
        opener = atomic_files.opener_in(self.path)
        with open(self.file("events.jsonl"), "a+b", opener=opener) as events:
            events.seek(max(0, events.seek(0, os.SEEK_END) - 1))
            if events.read() not in (b"", b"\n"):
                # a killed writer's torn line must not swallow the next one
                events.write(b"\n")
        now = time.time()
        self._now = Status(
            pid=os.getpid(), pid_started=process_start_time(os.getpid()), started=now, advanced=now
        )
        self._stage = None
        self._gained = 0
        self._total = None
        self._changed = False
        self.seen_stop = False
        self._over = threading.Event()
        with suppress(OSError):
            atomic_files.write_bytes(self.file(SPARE), bytes(SPARE_BYTES))
        self._save()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        for tick in count(1):
            if self._over.wait(TICK):
                return
            if self._changed or tick % round(BEAT / TICK) == 0:
                self._changed = False
                with suppress(OSError):  # a disk that is full now may have space at the next tick
                    self._save()

    def _save(self) -> None:
        write_json(
            self.file("status.json"), self._now.model_copy(update={"heartbeat": time.time()})
        )

    def finish(self, state: State, message: str = "") -> None:
        """Write the last status, and no other one afterwards."""
        self._over.set()
        self._thread.join()
        done = {"progress": 1.0} if state == "done" else {}
        self._now = self._now.model_copy(
            update={
                "state": state,
                "message": message,
                "eta": None,
                "finished": time.time(),
                **done,
            }
        )
        # on a full disk there is now space for the last status
        atomic_files.remove(self.file(SPARE))
        if self.path.is_dir():
            self._save()

    def check_folder(self) -> None:
        """RunRemoved where the run's folder is gone."""
        if not self.path.is_dir():
            raise RunRemoved(
                f"The folder of run {self.id!r} was removed while its job ran, so the job ended;"
                " start it again."
            )

    def waits(self, message: str) -> None:
        """Queued; the message says for what. "" when the wait is over."""
        self.check_folder()
        if self._now.message != message:
            self._now = self._now.model_copy(
                update={
                    "state": "queued" if message else "running",
                    "message": message,
                    "advanced": time.time(),
                }
            )
            self._save()

    def progress(self, done: float, total: float, stage: str = "") -> None:
        """How much of a stage is done; the time left follows from its rate so far."""
        self.check_folder()
        now = time.monotonic()
        # the stage was named before its total was known
        announced = self._gained == 0 and total != self._total
        if self._stage is None or stage != self._stage or done < self._first or announced:
            self._stage, self._first, self._since, self._total = stage, done, now, total
        self._gained = gained = done - self._first
        eta = (total - done) * (now - self._since) / gained if gained > 0 else None
        share = min(max(float(done / total), 0.0), 1.0) if total else 0.0
        self._now = self._now.model_copy(
            update={"stage": stage, "progress": share, "eta": eta, "advanced": time.time()}
        )
        self._changed = True

    def time_left(self, seconds: float | None) -> None:
        """Set the time left, where the job knows it better than the rate of its stage; after
        `progress`.
        """
        self._now = self._now.model_copy(update={"eta": seconds})

    def event(self, **row: Any) -> None:
        """Append a line to events.jsonl; it is on the disk when this returns. Raises DiskFull, and
        leaves no half line, where there is no space left.
        """
        self.check_folder()
        text = json.dumps({"time": round(time.time(), 3), **row}, default=json_default)
        atomic_files.append(self.file("events.jsonl"), f"{text}\n".encode())
        self._now = self._now.model_copy(update={"advanced": time.time()})

    def add_facts(self, **facts: Any) -> None:
        """Store what only the job finds out, such as fingerprints of what it loaded."""
        path = self.file("request.json")
        # a further process of a run has a folder without a request
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        write_json(path, content | {"facts": Facts(**(content.get("facts") or {}) | facts)})

    def stop_requested(self) -> Literal["keep", "discard"] | None:
        """The mode of a requested stop; None without a request."""
        self.check_folder()
        try:
            mode = self.file("stop").read_bytes().decode(errors="replace").strip()
        except OSError:
            return None
        if mode not in ("keep", "discard"):
            return None
        self.seen_stop = True
        return mode
