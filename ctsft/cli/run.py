"""How a request becomes a run: its folder, its turn on the device, its job, its summary.

`execute` serves every command that starts a long job, and `ctsft run RUN`, which is what a detached
process does with the request in a run folder.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer
from pydantic import ConfigDict

from ctsft import runs
from ctsft.cli import summaries
from ctsft.cli.app import AsJson, Halt, app
from ctsft.runs import device_queue
from ctsft.runs.explorations import refuse_read_only
from ctsft.runs.folder import read_json
from ctsft.utils import distributed

# kind of request -> the job, imported when one begins: torch and transformers take seconds
JOBS = {
    "score": "ctsft.jobs.scoring:score",
    "discover": "ctsft.jobs.scoring:discover",
    "faithfulness": "ctsft.jobs.faithfulness:measure_faithfulness",
    "surrogate": "ctsft.jobs.surrogate:fit_surrogate",
    "validate": "ctsft.jobs.faithfulness:validate",
    "advise": "ctsft.jobs.advice:advise",
    "finetune": "ctsft.jobs.tuning:tune",
    "rescore": "ctsft.jobs.rescoring:rescore",
    "experiment": "ctsft.experiment.runner:run_experiment",
    "undo": "ctsft.jobs.undo:undo",
    "export": "ctsft.jobs.export:export_run",
}


@app.command("run", hidden=True)
def run_folder(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run.")],
    as_json: AsJson = False,
):
    """Do what a run folder's request asks for; the job goes on from what it finds there.

    Example: python -m ctsft run 20260131-101500-score-ab2c
    """
    run = runs.get(run_id)
    refuse_read_only(run)
    stored = read_json(run.file("request.json"), StoredRequest)
    if stored.kind not in JOBS or run.note:
        from ctsft.jobs.requests import needed_request

        needed_request(run)  # says what is wrong with it
    execute(stored, as_json, run_id)


class StoredRequest(runs.Request):
    """A request as its file has it, before its kind's own module is imported."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def device(self) -> str:
        """The device whose turn the job waits for, as the typed request says it."""
        for part in ("subject", "design"):
            settings = (self.model_extra or {}).get(part)
            if isinstance(settings, dict):
                return str(settings.get("device", "auto"))
        return "auto"


def job_of(kind: str) -> Callable:
    """The function that does the work of a kind of request."""
    module, _, name = JOBS[kind].partition(":")
    return getattr(import_module(module), name)


def execute(request: runs.Request, as_json: bool = False, run_id: str | None = None) -> None:
    """Run a request's job in a run folder when it is its turn on the device, and print its summary.
    Raises Halt when it was stopped before it had a result.
    """
    with contextlib.ExitStack() as stack:
        if distributed.RANK:
            # the first process writes the run folder and prints
            silent = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stderr(silent))
            run = stack.enter_context(runs.throwaway_run())
        else:
            run = stack.enter_context(runs.record(request, run_id))
        summary = None  # stopped while it waited
        if not distributed.is_single_process() or take_turn(stack, run, request.device):
            summary = work(run, request)
    if distributed.RANK:
        return
    if summary is None:
        raise Halt(
            f"Run {run.id} was stopped before it had a result; start it again with `python -m ctsft"
            f" runs resume {run.id}`."
        )
    if as_json:
        print(json.dumps(summary, indent=1))
    else:
        print(f"{summaries.TEXTS[request.kind](summary)}\nrun {run.id}: {run.path}")


def work(run: runs.Writer, request: runs.Request) -> dict | None:
    """Do a request's job; its summary, or None when it was stopped before it had a result. Only now
    torch and the model are loaded: a process that waits for its turn holds neither.
    """
    from ctsft.jobs.reporter import Stopped
    from ctsft.jobs.requests import needed_request

    if isinstance(request, StoredRequest):
        request = needed_request(run)
    try:
        return job_of(request.kind)(run, request)
    except Stopped:  # no failure: the run is recorded as stopped
        return None


def take_turn(stack: contextlib.ExitStack, run: runs.Writer, device: str) -> bool:
    """Wait for the device; False when a stop was requested meanwhile. Several processes on one job
    were given their devices by whoever started them, and take no turn.
    """
    shown = set()

    def waiting(reason: str):
        run.waits(reason)
        if reason and reason not in shown:
            print(f"{reason} ...", file=sys.stderr, flush=True)
            shown.add(reason)

    key = device_queue.device_key(device)
    return stack.enter_context(device_queue.device_turn(key, run.id, waiting, run.stop_requested))
