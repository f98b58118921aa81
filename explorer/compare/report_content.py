"""What a session has explored around some tuning runs: the model, its scores, the circuit, and how
much of the task that keeps. `report_sections` writes it as a report.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Task
from ctsft.jobs.requests import Subject, needed_request, typed_runs
from ctsft.model.model import Model
from ctsft.utils.errors import UserError
from explorer.session import binding, inputs, score_runs
from explorer.session import circuit as session_circuit


@dataclass(frozen=True)
class Exploration:
    rows: list[Mapping]  # of the table of tuning runs, all with one model and task
    names: Mapping[str, str]  # of the runs, by their ids
    model: Model | None = None  # None if it cannot be loaded any more
    task: Task | None = None
    score_run: runs.Run | None = None
    scores: Scores | None = None
    circuit: Circuit | None = None
    faithfulness_run: runs.Run | None = None  # of the ranking by these scores
    left_out: int = 0  # number of rows with another model or task


def gather(rows: list[Mapping], names: Mapping[str, str]) -> Exploration:
    """What belongs to the first row's model and task: the session's scores and circuit if they do,
    otherwise the newest ones. Loads no other model.
    """
    first, subject = rows[0], subject_of(rows[0])
    same = [row for row in rows if (row["model"], row["task"]) == (first["model"], first["task"])]
    current = is_current(subject, first["source"])
    current_run = score_runs.score_run(("done",)) if current else None
    score_run = current_run or newest_score_run(subject, first["source"])
    scores = score_runs.scores_of(score_run)
    if current_run and scores is not None:
        circuit = session_circuit.current(scores)
    else:
        circuit = trained_circuit(same)
    faithfulness_run = None
    if score_run:
        faithfulness_run = score_runs.curve_of(score_run, ("done",))
    return Exploration(
        same,
        names,
        model=inputs.load_model(binding.view().model) if current else None,
        score_run=score_run,
        scores=scores,
        circuit=circuit,
        faithfulness_run=faithfulness_run,
        left_out=len(rows) - len(same),
    )


def is_current(subject: Subject, source: str) -> bool:
    """Whether the session's model, data and source language are these."""
    view = binding.view()
    return (view.model, view.task, view.data_dir, view.source) == (
        subject.model,
        subject.task,
        subject.data_dir or "",
        source,
    )


def with_model_and_task(of: Exploration) -> Exploration:
    """The exploration with its model and task loaded, if they can be."""
    subject = subject_of(of.rows[0])
    with suppress(UserError):
        of = replace(of, task=inputs.load_task(subject.task, subject.data_dir or ""))
    with suppress(UserError):
        of = replace(of, model=of.model or inputs.load_model(subject.model))
    return of


def subject_of(row: Mapping) -> Subject:
    return needed_request(runs.get(row["run"])).subject


def newest_score_run(subject: Subject, source: str) -> runs.Run | None:
    for run, request in typed_runs("score"):
        scored = request.subject
        same = all(
            (getattr(scored, key) or None) == (getattr(subject, key) or None)
            for key in ("model", "task", "data_dir")
        )
        if same and scored.language in (source, None) and run.status().state == "done":
            return run
    return None


def trained_circuit(rows: list[Mapping]) -> Circuit | None:
    """The circuit of the first run that trained one."""
    for row in rows:
        path = runs.get(row["run"]).file("circuit.json")
        if row["what"] in ("circuit", "edited") and path.is_file():
            return Circuit.load(path)
    return None
