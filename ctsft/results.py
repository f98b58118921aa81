"""Finished and running fine-tuning runs as rows of one table, read from their folders."""
import csv
import io
import json

from ctsft.runs import Run, list_runs

COLUMNS = ("run", "name", "state", "what", "heads", "target", "n", "learning_rate", "epochs", "seed", "trainable", "share", "source",
           "source_before", "source_after", "target_before", "target_after", "forgetting", "gain")


def result(run: Run) -> dict:
    """A run's result.json; {} while there is none or it cannot be read."""
    try:
        return json.loads(run.file("result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def evaluations(run: Run) -> list[dict]:
    """One row an evaluation, by step; a resumed run goes on from the rows that its checkpoint held."""
    rows = {}
    for row in run.events():
        if row.get("kind") == "resumed":
            rows = {old["step"]: old for old in row.get("history", ())}
        elif row.get("kind") == "evaluation" and "accuracy" in row:
            rows[row["step"]] = row
    return [rows[step] for step in sorted(rows)]


def compare_row(run: Run) -> dict | None:
    """The row of one tuning run; None before its first evaluation, and for competence tuning (source and target the same)."""
    params, rows, done = run.request.params, evaluations(run), result(run)
    tuning, config, subject = (params.get(key, {}) for key in ("tuning", "config", "subject"))
    names = list(rows[0]["accuracy"]) if rows else []
    if len(names) < 2 or tuning.get("target") not in names:
        return None
    source, target = names[0], tuning["target"]
    ends = [done["final"][when] for when in ("before", "after")] if done.get("final") else []       # where curves are of another split
    before, after = ({name: of["accuracy"] for name, of in end.items()} for end in ends) if ends else (rows[0]["accuracy"], rows[-1]["accuracy"])
    return {
        "run": run.id, "name": run.request.name, "state": run.status().state, "what": tuning.get("what"), "heads": done.get("heads"),
        "target": target, "n": tuning.get("n"), "learning_rate": config.get("learning_rate"), "epochs": config.get("epochs"),
        "seed": config.get("seed"), "trainable": done.get("trainable"),
        "share": done["trainable"] / done["total"] if done.get("total") else None, "source": source,
        "source_before": before[source], "source_after": after[source], "target_before": before[target], "target_after": after[target],
        "forgetting": before[source] - after[source], "gain": after[target] - before[target],
        "task": subject.get("task"), "model": subject.get("model"), "setting": setting(subject, tuning, config)}


def setting(subject: dict, tuning: dict, config: dict) -> str:
    """What has to be equal for two runs to be compared fairly, in a few words."""
    return (f"{subject.get('model')} on {subject.get('task')}, {tuning.get('target')}, n={tuning.get('n')}, {config.get('epochs'):g} epochs, "
            f"lr {config.get('learning_rate'):g}")


def compare(kind: str = "finetune") -> list[dict]:
    """Newest first."""
    return [row for row in map(compare_row, list_runs(kind)) if row]


def table_csv(rows: list[dict]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def table_text(rows: list[dict]) -> str:
    """For the shell: what moves, how much, and both accuracies before and after."""
    if not rows:
        return "No fine-tuning run has been evaluated yet; start one with `python -m ctsft finetune --target javanese`."
    head = ("run", "what", "heads", "moves", "target", "n", "lr", "seed", "source", "target acc.")
    lines = [head] + [(row["run"], str(row["what"]), "" if row["heads"] is None else str(row["heads"]),
                       "" if row["share"] is None else f"{row['share']:.2%}", str(row["target"]), str(row["n"]), f"{row['learning_rate']:g}",
                       str(row["seed"]), f"{row['source_before']:.3f} -> {row['source_after']:.3f}",
                       f"{row['target_before']:.3f} -> {row['target_after']:.3f}") for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
