"""What one session has explored around some tuning runs: the model, its scores, the circuit, how
much that keeps. `narrative` tells it.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.utils.errors import UserError
from explorer.session import binding, inputs, score_runs
from explorer.session import circuit as session_circuit


@dataclass(frozen=True)
class Exploration:
    # of `ctsft.results.compare`, all of one model and task
    rows: list[Mapping]
    called: Mapping[str, str]  # run -> its name
    model: Model | None = None  # None where it cannot be loaded any more
    task: Task | None = None
    scored: runs.Run | None = None
    scores: Scores | None = None
    circuit: Circuit | None = None
    measured: runs.Run | None = None  # faithfulness of these scores' ranking
    left_out: int = 0  # rows of another model or task


def gather(rows: list[Mapping], called: Mapping[str, str]) -> Exploration:
    """Around the first row's model and task: the session's scores and circuit if they are of these,
    else the newest ones. Loads no other model.
    """
    now, of = binding.view(), subject_of(rows[0])
    same = [
        row for row in rows if (row["model"], row["task"]) == (rows[0]["model"], rows[0]["task"])
    ]
    mine = (now.model, now.task, now.data_dir, now.source) == (
        of["model"],
        of["task"],
        of.get("data_dir") or "",
        rows[0]["source"],
    )
    own = score_runs.score_run(("done",)) if mine else None
    scored = own or newest_scores(of, rows[0]["source"])
    scores = score_runs.scores_of(scored)
    circuit = session_circuit.circuit(scores) if own and scores is not None else circuit_moved(same)
    measured = score_runs.find_run("faithfulness", ("done",), scores=scored.id) if scored else None
    return Exploration(
        same,
        called,
        inputs.load_model(now.model) if mine else None,
        None,
        scored,
        scores,
        circuit,
        measured,
        len(rows) - len(same),
    )


def opened(of: Exploration) -> Exploration:
    """With its model and task, where they can still be loaded."""
    subject = subject_of(of.rows[0])
    with suppress(UserError):
        of = replace(of, task=inputs.load_task(subject["task"], subject.get("data_dir") or ""))
    with suppress(UserError):
        of = replace(of, model=of.model or inputs.load_model(subject["model"]))
    return of


def subject_of(row: Mapping) -> Mapping:
    return runs.get(row["run"]).request.params["subject"]


def newest_scores(of: Mapping, source: str) -> runs.Run | None:
    for run in runs.list_runs("score"):
        own = run.request.params.get("subject", {})
        same = all(
            (own.get(key) or None) == (of.get(key) or None) for key in ("model", "task", "data_dir")
        )
        if same and own.get("language") in (source, None) and run.status().state == "done":
            return run
    return None


def circuit_moved(rows: list[Mapping]) -> Circuit | None:
    """The circuit of the first run that moved one."""
    for row in rows:
        path = runs.get(row["run"]).file("circuit.json")
        if row["what"] in ("circuit", "edited") and path.is_file():
            return Circuit.load(path)
    return None
