"""What the shell's commands share: the words of their options, and how a long job is run and its
summary printed.
"""

import contextlib
import json
import os
import sys
from types import SimpleNamespace
from typing import Annotated, Optional

import typer

import ctsft
from ctsft import runs
from ctsft.runs import device_queue
from ctsft.utils import distributed

app = typer.Typer(
    help="Find the attention heads that carry a task, and tune only those.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def print_version(wanted: bool):
    if wanted:
        print(f"ctsft {ctsft.__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=print_version
        ),
    ] = False,
):
    """What stands before a command: its own options only."""


ModelName = Annotated[
    str, typer.Option("--model", help='Hub name, local folder, or "demo" (bundled).')
]

TaskName = Annotated[
    str, typer.Option("--task", help="demo, nusax, xnli, or the path of a task file (.json).")
]

DataDir = Annotated[
    Optional[str],
    typer.Option("--data-dir", help="Folder of the task's files; without it they are fetched."),
]

Language = Annotated[
    Optional[str], typer.Option("--language", help="Default: the task's source language.")
]

Split = Annotated[
    str, typer.Option("--split", help="Split the pool is drawn from: train, valid or test.")
]

Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, mps, or map (spread over all).")
]

Dtype = Annotated[
    str,
    typer.Option("--dtype", help="auto (float32), float32, tf32, float64, bfloat16 or float16."),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RunId = Annotated[Optional[str], typer.Option("--run", hidden=True)]
RunName = Annotated[str, typer.Option("--name", help="A name for the run, shown in tables.")]
Size = Annotated[int, typer.Option("--size", help="Examples of the discovery set.")]

Seed = Annotated[
    int,
    typer.Option("--pool-seed", help="Seed that draws the discovery set (and random circuits)."),
]

Attention = Annotated[str, typer.Option("--attention", help="softmax (decomposed) or frozen.")]

BatchTokens = Annotated[
    Optional[int],
    typer.Option("--batch-tokens", help="Token streams in flight; default: what is fast and fits."),
]

NoCache = Annotated[
    bool,
    typer.Option(
        "--no-cache", help="Compute everything anew, and keep nothing of it in the cache."
    ),
]

Method = Annotated[str, typer.Option("--method", help="cdt, atp, ig or ablation.")]

Rules = Annotated[
    str, typer.Option("--rules", help="paper, or symmetric (cross terms shared evenly); cdt only.")
]

MaxMemory = Annotated[
    Optional[str],
    typer.Option(
        "--max-memory",
        help="What the process may use at its peak, such as 4GB; default: what is free.",
    ),
]

Adaptive = Annotated[
    bool,
    typer.Option(
        "--adaptive", help="Only as many examples a head as finding the top heads takes; cdt only."
    ),
]


def job(
    kind: str, run_id: str | None, as_json: bool, work, say, name: str = "", device: str = "auto"
):
    """Run `work(run)` inside a run folder, when it is its turn on the device, and print its
    summary.
    """
    jobs = job_modules()  # torch and transformers: not for --help and `runs`

    with contextlib.ExitStack() as stack:
        if distributed.RANK:
            # the first process keeps the run folder and does the talking
            stack.enter_context(
                contextlib.redirect_stderr(stack.enter_context(open(os.devnull, "w")))
            )
            run = stack.enter_context(runs.throwaway_run())
        else:
            run = stack.enter_context(runs.record(kind, sys.argv[1:], run_id=run_id, name=name))
        try:
            if distributed.is_single_process():
                # several processes on one job were given their devices by whoever started them
                take_turn(stack, jobs, run, device)
            summary = work(jobs, run)
        except jobs.Stopped:  # no failure: the run is recorded as stopped
            summary = None
    if distributed.RANK:
        return
    if summary is None:
        raise Halt(
            f"Run {run.id} was stopped before it had a result; start it again with `python -m ctsft"
            f" runs resume {run.id}`."
        )
    print(json.dumps(summary, indent=1) if as_json else f"{say(summary)}\nrun {run.id}: {run.path}")


def job_modules() -> SimpleNamespace:
    """The jobs by name; imported when one begins."""
    from ctsft.circuit.validation import Checks
    from ctsft.jobs import faithfulness, reporter, requests, scoring

    modules = (requests, reporter, scoring, faithfulness)
    names = {name: value for module in modules for name, value in vars(module).items()}
    return SimpleNamespace(**names | {"Checks": Checks})


def take_turn(stack: contextlib.ExitStack, jobs, run: runs.Writer, device: str):
    def waits(words: str):
        run.waits(words)
        if words and words not in told:
            print(f"{words} ...", file=sys.stderr, flush=True)
            told.add(words)

    told = set()
    if not stack.enter_context(
        device_queue.device_turn(device_queue.device_key(device), run.id, waits, run.stop_requested)
    ):
        raise jobs.Stopped


class Halt(Exception):
    """A stop that was asked for: not an error of anybody's, and not a result either."""
