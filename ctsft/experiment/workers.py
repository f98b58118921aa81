"""An experiment's trials in this process, or in a few processes at a time."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

import torch

from ctsft.experiment.trials import TrialContext, record_trial, run_trial
from ctsft.jobs.experiment_design import Design, Trial
from ctsft.jobs.reporter import Stopped
from ctsft.jobs.requests import ExperimentRequest
from ctsft.runs.recorder import Writer


def attempt(
    context: TrialContext, trial: Trial, run_id: str, kind: str, stop: Callable[[], object]
) -> dict:
    """A trial's row, or {"error": sentence}: one trial's failure is not the others'."""
    try:
        return (
            run_trial(context, trial, stop)
            if kind == "grid"
            else record_trial(context, trial, run_id, stop)
        )
    except (Stopped, KeyboardInterrupt):
        raise
    except Exception as error:  # its own run's log.txt has the traceback
        return {
            "error": (next(iter(str(error).strip().splitlines()), "") or type(error).__name__)[:300]
        }


def in_this_process(context: TrialContext, run: Writer):
    def workers(trials: list[Trial], kind: str):
        for trial in trials:
            yield trial, attempt(context, trial, run.id, kind, run.stop_requested)

    return workers


_context: TrialContext | None = None  # of a worker process


def start_worker(design: str, data_dir: str | None, run_id: str, threads: int):
    global _context
    parent = os.getppid()

    def watch():
        # a worker whose experiment was killed has nobody to work for
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    torch.set_num_threads(threads)
    _context = TrialContext(Design.model_validate_json(design), data_dir, run_id)


def attempt_in_worker(trial: str, folder: str, kind: str) -> dict | None:
    """A trial's row; None when the experiment was asked to stop."""
    try:
        return attempt(
            _context,
            Trial.model_validate_json(trial),
            Path(folder).name,
            kind,
            Path(folder, "stop").exists,
        )
    except Stopped:
        return None


def in_worker_processes(request: ExperimentRequest, run: Writer):
    jobs = request.jobs

    def workers(trials: list[Trial], kind: str):
        threads, left = max(1, torch.get_num_threads() // jobs), list(reversed(trials))
        start = (request.design.model_dump_json(), request.data_dir, run.id, threads)
        with ProcessPoolExecutor(jobs, get_context("spawn"), start_worker, start) as pool:
            working: dict = {}
            while left or working:
                while left and len(working) < jobs:
                    trial = left.pop()
                    working[
                        pool.submit(attempt_in_worker, trial.model_dump_json(), str(run.path), kind)
                    ] = trial
                for future in wait(working, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    trial, row = working.pop(future), future.result()
                    if row is None or run.stop_requested():
                        left.clear()
                    if row is not None:
                        yield trial, row
                if run.stop_requested() and not working:
                    raise Stopped

    return workers
