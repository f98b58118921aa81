"""The scores that a job saves in its run folder, and how they are read."""

import json
from pathlib import Path

from ctsft.attribution.head_roles import HeadRoles
from ctsft.attribution.position_scores import PositionScores
from ctsft.attribution.scores import Scores
from ctsft.runs.run_list import get
from ctsft.runs.writer import Writer
from ctsft.utils.atomic_files import write_text
from ctsft.utils.errors import UserError


def save_scores(run: Writer, scores: Scores, name: str):
    """As safetensors and as CSV."""
    scores.save(run.file(f"{name}.safetensors"))
    write_text(run.file(f"{name}.csv"), scores.csv(), "the scores")
    run.event(kind=name, method=scores.method)


def save_by_position(run: Writer, scores: PositionScores):
    """As JSON and as CSV."""
    text = json.dumps(scores.row(), ensure_ascii=False)
    write_text(run.file("positions.json"), text, "the scores by position")
    write_text(run.file("positions.csv"), scores.csv(), "the scores by position")
    run.event(kind="positions", method=scores.method)


def save_roles(run: Writer, roles: HeadRoles):
    """As JSON and as CSV."""
    roles.save(run.file("roles.json"))
    write_text(run.file("roles.csv"), roles.csv(), "the roles")
    run.event(kind="roles")


def scores_file(name: str) -> Path:
    """A scores file by its path, or by the id of the run that made it."""
    return Path(name) if name.endswith(".safetensors") else get(name).file("scores.safetensors")


def read_scores(name: str) -> Scores:
    path = scores_file(name)
    if not path.is_file():
        raise UserError(
            f"There are no scores at {path}; name a finished scoring run (see `python -m ctsft"
            " runs`) or a scores.safetensors."
        )
    return Scores.load(path)
