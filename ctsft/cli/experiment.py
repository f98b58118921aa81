"""The shell's commands that ask a larger question: experiment and its tables, and advise (which
heads should be trained).
"""

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from ctsft import runs
from ctsft.cli.app import (
    AsJson,
    DataDir,
    Device,
    Dtype,
    ModelName,
    RunName,
    TaskName,
    app,
)
from ctsft.cli.run import execute
from ctsft.utils.errors import UserError


@app.command()
def experiment(
    file: Annotated[
        str,
        typer.Argument(
            help="The design, JSON (see docs/results/experiment.md and examples/nusax.json)."
        ),
    ],
    data_dir: DataDir = None,
    jobs: Annotated[int, typer.Option(help="Cells at a time, each in a process of its own.")] = 1,
    device: Device = "auto",
    name: RunName = "",
    as_json: AsJson = False,
):
    """Methods x n x seeds x targets from one checkpoint, each trial once; then the tables. Goes on
    where it was stopped (`runs resume ID`).

    Example: python -m ctsft experiment examples/nusax.json --data-dir FOLDER
    """

    from ctsft.jobs.experiment_design import read_design
    from ctsft.jobs.request_parts import discovery_scoring
    from ctsft.jobs.requests import ExperimentRequest

    design = read_design(file)
    discovery_scoring(design)  # refused before anything is loaded
    if device != "auto":
        design = design.model_copy(update={"device": device})
    request = ExperimentRequest(
        name=name or Path(file).stem, design=design, file=file, data_dir=data_dir, jobs=jobs
    )
    execute(request, as_json)


@app.command()
def tables(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="An experiment, finished or not.")],
    as_json: AsJson = False,
):
    """Write and print the tables of an experiment's trials that are finished so far.

    Example: python -m ctsft tables 20260131-101500-experiment-ab2c
    """
    run = runs.get(run_id)
    if not run.file("design.json").is_file():
        raise UserError(
            f"Run {run_id!r} is no experiment; name one that `python -m ctsft runs` lists as"
            " experiment."
        )
    from ctsft.experiment.results import finished_rows, source_language, write_tables
    from ctsft.jobs.experiment_design import read_design

    design = read_design(run.file("design.json"))
    rows, _ = finished_rows(run, design)
    if not rows:
        raise UserError(f"Experiment {run_id!r} has no finished trial yet; wait for the first one.")
    text = write_tables(run, rows, source_language(run), design)
    print(
        json.dumps(rows, indent=1)
        if as_json
        else f"{text}\n{len(rows)} trials; files in {run.path}"
    )


@app.command()
def advise(
    target: Annotated[str, typer.Option(help="Language that is to be tuned on.")],
    n: Annotated[int, typer.Option(help="Labelled target rows; 0: all.")] = 50,
    k: Annotated[int, typer.Option(help="Heads to advise.")] = 6,
    damping: Annotated[float, typer.Option(help="In units of the mean Fisher information.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Draws the target rows.")] = 31,
    pool: Annotated[
        str, typer.Option(help="Target rows: all, or pool B (rows whose ids discovery never saw).")
    ] = "all",
    model: ModelName = "demo",
    task: TaskName = "demo",
    data_dir: DataDir = None,
    language: Annotated[
        Optional[str], typer.Option("--language", help="The source language, which should stay.")
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            "--split", help="Split of the rows of both languages: train or valid; never test."
        ),
    ] = "train",
    device: Device = "auto",
    dtype: Dtype = "auto",
    name: RunName = "",
    as_json: AsJson = False,
):
    """For each head what the target asks of it and what the source would lose by it, and the
    circuit that both advise.

    Example: python -m ctsft advise --target javanese --k 6
    """

    from ctsft.jobs.requests import AdviseRequest, Subject

    request = AdviseRequest(
        name=name,
        subject=Subject(model, task, data_dir, language, split, device, dtype),
        target=target,
        k=k,
        n=n,
        pool=pool,
        damping=damping,
        seed=seed,
    )
    execute(request, as_json)
