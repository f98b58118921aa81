"""What a run left behind: its summary, and its evaluations."""

import json

from ctsft.runs.folder import Run


def result(run: Run) -> dict:
    """A run's result.json; {} while there is none or it cannot be read."""
    try:
        return json.loads(run.file("result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def evaluations(run: Run) -> list[dict]:
    """One row an evaluation, by step; a resumed run goes on from the rows that its checkpoint
    held, and one that went back to its last good state has the rows up to there.
    """
    rows = {}
    for row in run.events():
        if row.get("kind") in ("resumed", "restored"):
            rows = {old["step"]: old for old in row.get("history", ())}
        elif row.get("kind") == "evaluation" and "accuracy" in row:
            rows[row["step"]] = row
    return [rows[step] for step in sorted(rows)]
