"""An experiment's trials in this process, or in a few processes at a time."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

import torch

from ctsft.experiment.trials import Ground, recorded_cell, run_cell
from ctsft.jobs.experiment_design import Cell, Design
from ctsft.jobs.reporter import Stopped
from ctsft.runs.recorder import Writer


def attempt(ground: Ground, cell: Cell, run_id: str, kind: str, stop: Callable[[], object]) -> dict:
    """A cell's row, or {"error": sentence}: one cell's failure is not the others'."""
    try:
        return (
            run_cell(ground, cell, stop)
            if kind == "grid"
            else recorded_cell(ground, cell, run_id, stop)
        )
    except (Stopped, KeyboardInterrupt):
        raise
    except Exception as error:  # its own run's log.txt has the traceback
        return {
            "error": (next(iter(str(error).strip().splitlines()), "") or type(error).__name__)[:300]
        }


def one_by_one(ground: Ground, run: Writer):
    def workers(cells: list[Cell], kind: str):
        for cell in cells:
            yield cell, attempt(ground, cell, run.id, kind, run.stop_requested)

    return workers


_ground: Ground | None = None  # of a worker process


def begin_worker(design: str, data_dir: str | None, run_id: str, threads: int):
    global _ground
    parent = os.getppid()

    def watch():
        # a worker whose experiment was killed has nobody to work for
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    torch.set_num_threads(threads)
    _ground = Ground(Design.model_validate_json(design), data_dir, run_id)


def in_worker(cell: str, folder: str, kind: str) -> dict | None:
    """A cell's row; None when the experiment was asked to stop."""
    try:
        return attempt(
            _ground,
            Cell.model_validate_json(cell),
            Path(folder).name,
            kind,
            Path(folder, "stop").exists,
        )
    except Stopped:
        return None


def several(design: Design, data_dir: str | None, run: Writer, jobs: int):
    def workers(cells: list[Cell], kind: str):
        threads, left = max(1, torch.get_num_threads() // jobs), list(reversed(cells))
        start = (design.model_dump_json(), data_dir, run.id, threads)
        with ProcessPoolExecutor(jobs, get_context("spawn"), begin_worker, start) as pool:
            working: dict = {}
            while left or working:
                while left and len(working) < jobs:
                    cell = left.pop()
                    working[pool.submit(in_worker, cell.model_dump_json(), str(run.path), kind)] = (
                        cell
                    )
                for future in wait(working, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    cell, row = working.pop(future), future.result()
                    if row is None or run.stop_requested():
                        left.clear()
                    if row is not None:
                        yield cell, row
                if run.stop_requested() and not working:
                    raise Stopped

    return workers
