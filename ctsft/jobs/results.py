"""The scores that a job saves in its run folder, and how they are read."""

from pathlib import Path

from ctsft.attribution.scores import Scores
from ctsft.runs.launcher import get
from ctsft.runs.recorder import Writer
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError


def save_scores(run: Writer, scores: Scores, name: str):
    """Whole or not at all, so that a page never reads half a file."""
    for ending, save in (
        (".safetensors", scores.save),
        (".csv", lambda path: Path(path).write_text(scores.csv(), encoding="utf-8")),
    ):
        with atomic_path(run.file(name + ending), name) as part:
            save(part)
    run.event(kind=name, method=scores.method)


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
