"""An experiment's trials in this process, or in a few processes at a time."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path

import torch

from ctsft.experiment.trial_context import TrialContext
from ctsft.experiment.trials import record_trial, run_trial
from ctsft.jobs.experiment_design import Design, Trial
from ctsft.jobs.reporter import Stopped
from ctsft.jobs.requests import ExperimentRequest
from ctsft.runs.writer import Writer

# runs trials of one kind; yields each with its result
Workers = Callable[[list[Trial], str], Iterator[tuple[Trial, dict]]]


def attempt(
    context: TrialContext, trial: Trial, run_id: str, kind: str, stop: Callable[[], object]
) -> dict:
    """A trial's result, or {"error": one sentence}, so that one failure does not end the others.
    kind: "grid" for a trial that only chooses a learning rate.
    """
    try:
        if kind == "grid":
            return run_trial(context, trial, stop)
        return record_trial(context, trial, run_id, stop)
    except (Stopped, KeyboardInterrupt):
        raise
    except Exception as error:  # the traceback is in the log.txt of the trial's run
        lines = str(error).strip().splitlines() or [""]
        return {"error": (lines[0] or type(error).__name__)[:300]}


def in_this_process(context: TrialContext, run: Writer) -> Workers:
    def workers(trials: list[Trial], kind: str):
        for trial in trials:
            yield trial, attempt(context, trial, run.id, kind, run.stop_requested)

    return workers


_context: TrialContext | None = None  # of a worker process


def start_worker(design: str, data_dir: str | None, run_id: str, threads: int):
    """Open the design in a worker process, which ends when the experiment's process has ended."""
    global _context
    parent = os.getppid()

    def end_with_parent():
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _context = TrialContext(Design.model_validate_json(design), data_dir, run_id)


def attempt_in_worker(trial: str, folder: str, kind: str) -> dict | None:
    """A trial's result (`attempt`); None when a stop was requested."""
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


def worker_context() -> BaseContext:
    """How workers are started. On Linux all of them are forked from one process that has imported
    torch and never used a device; elsewhere forking is not safe, and each imports it again.
    """
    if not sys.platform.startswith("linux"):
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def in_worker_processes(request: ExperimentRequest, run: Writer) -> Workers:
    """Raises `Stopped` once the running trials have ended after a stop was requested."""
    jobs = request.jobs

    def workers(trials: list[Trial], kind: str):
        threads = max(1, torch.get_num_threads() // jobs)
        start = (request.design.model_dump_json(), request.data_dir, run.id, threads)
        remaining = list(reversed(trials))
        running: dict[Future, Trial] = {}
        with ProcessPoolExecutor(jobs, worker_context(), start_worker, start) as pool:
            while remaining or running:
                while remaining and len(running) < jobs:
                    trial = remaining.pop()
                    arguments = (trial.model_dump_json(), str(run.path), kind)
                    running[pool.submit(attempt_in_worker, *arguments)] = trial
                for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    trial, row = running.pop(future), future.result()
                    if row is None or run.stop_requested():
                        remaining.clear()
                    if row is not None:
                        yield trial, row
                if run.stop_requested() and not running:
                    raise Stopped

    return workers
