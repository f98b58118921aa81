"""Undoing single heads of a finished tuning run, without training again.

Named heads are given back their old weights, and both accuracies are measured on validation rows.
Without names the job undoes the cheapest damage: it orders the trained heads by what they regain of
the source for what they cost on the target (`ctsft.tuning.head_undo`), undoes them one by one, and
draws the same number of heads at random for comparison. Order and stop are chosen on validation
rows. Test rows are read once, for the model before tuning, the tuned one and the chosen one.
"""

import random
from dataclasses import asdict, dataclass, replace

from ctsft import runs
from ctsft.attribution.scores import Head
from ctsft.data.task import Example
from ctsft.jobs.export import base_path, exportable
from ctsft.jobs.measured_change import checkpoint_of, share_rows
from ctsft.jobs.reporter import Reporter, finish
from ctsft.jobs.requests import UndoRequest, needed_request
from ctsft.model.evaluation import evaluate
from ctsft.runs import results
from ctsft.runs.writer import Writer
from ctsft.tuning.delta import Delta, scale_delta
from ctsft.tuning.head_undo import Undoing, undone
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_of

EFFECT_ROWS = 100  # validation rows of each language whose losses order the heads
MEASURED = 8  # heads of the order that are measured one by one
DELTA = "delta.safetensors"


def undo(run: Writer, request: UndoRequest) -> dict:
    """delta.safetensors (the change without the undone heads) and a summary: the points of each
    path, the chosen heads, and the accuracies on test rows. UserError for a run without a delta, a
    head that it did not train, or a language without validation rows.
    """
    tuned = exportable(request.tuned)
    reporter = Reporter(run)
    reporter.stage("loading the model")
    undoing, rows, names = open_undoing(tuned)
    run.add_facts(model=undoing.model.name, source=names["source"])
    before = accuracies(undoing, rows, None)
    if request.heads:
        chosen = list(dict.fromkeys(map(head_of, request.heads)))
        progress = reporter.stage("measuring")
        summary = {
            "effects": [],
            "paths": {"named": path(undoing, rows, chosen, progress, len(chosen))},
        }
    else:
        summary = cheapest(undoing, rows, names, request, reporter)
        limits = Limits(
            lost=request.most_lost * max(0, gain_of(summary, before, names["target"])),
            undone=request.most_undone * undoing.delta.size,
        )
        order = [one["head"] for one in summary["effects"]]
        chosen = chosen_heads(summary["paths"]["cheapest"], order, names, limits)
    scale_delta(tuned.file(DELTA), undone(chosen) if chosen else 1.0, run.file(DELTA))
    summary |= {
        "tuned": tuned.id,
        **names,
        "split": "valid",
        "rows": {language: len(some) for language, some in rows.items()},
        "trained": undoing.delta.size,
        "heads": chosen,
        "undone": undoing.size(chosen),
        "before": before,
    }
    if request.final_split:
        final = {name: undoing.task.load(name, request.final_split) for name in rows}
        summary["final"] = {
            "split": request.final_split,
            "before": accuracies(undoing, final, None),
            "tuned": accuracies(undoing, final, []),
            "undone": accuracies(undoing, final, chosen),
        }
    return finish(run, summary)


def open_undoing(tuned: runs.Run) -> tuple[Undoing, dict[str, list[Example]], dict]:
    """A run's checkpoint and change, the validation rows of its source and target by language, and
    {"source", "target": their names}. UserError where one of them is not there.
    """
    done = results.result(tuned)
    names = {side: done[side] for side in ("source", "target")}
    subject = replace(needed_request(tuned).subject, model=base_path(tuned))
    model, task, _ = subject.open()
    delta = Delta.load(tuned.file(DELTA))
    checkpoint = checkpoint_of(model, delta)
    if checkpoint is None:
        raise UserError(f"The model that run {tuned.id!r} tuned has changed since; tune again.")
    rows = share_rows(task, list(dict.fromkeys(names.values())))
    if not rows:
        raise UserError(
            f"{task.name} lacks validation rows of {' or '.join(names.values())}, which undoing"
            " chooses by; add some."
        )
    return Undoing(checkpoint, delta, task), rows, names


def accuracies(
    undoing: Undoing, rows: dict[str, list[Example]], heads: list[Head] | None
) -> dict[str, float]:
    """{language: accuracy} of the tuned model without these heads' change; None: of the model
    before tuning.
    """
    model = undoing.model
    if heads is None:
        undoing.start.write(model)
        model.mark_changed()
    else:
        undoing.write(heads)
    return {name: evaluate(model, undoing.task, some)["accuracy"] for name, some in rows.items()}


def path(
    undoing: Undoing, rows: dict[str, list[Example]], order: list[Head], progress, step: int
) -> list[dict]:
    """[{"heads": how many are undone, "head": the last of them, "undone": numbers given back,
    "accuracy": {language: 0 to 1}}], from none on after each `step` heads of the order.
    """
    points = []
    counts = [*range(0, len(order), step), len(order)]
    for count in counts:
        points.append(
            {
                "heads": count,
                "head": order[count - 1] if count else None,
                "undone": undoing.size(order[:count]),
                "accuracy": accuracies(undoing, rows, order[:count]),
            }
        )
        progress(len(points), len(counts))
    return points


def cheapest(
    undoing: Undoing,
    rows: dict[str, list[Example]],
    names: dict,
    request: UndoRequest,
    reporter: Reporter,
) -> dict:
    """{"effects": of each trained head, "paths": {"cheapest", "random"}}."""
    source, target = (rows[names[side]][:EFFECT_ROWS] for side in ("source", "target"))
    progress = reporter.stage("gradients of both losses")
    effects = undoing.effects(source, target)
    progress(1, 1)
    first = [one for one in effects if one.regained > 0][:MEASURED]
    rest = [one for one in effects if one not in first]
    progress = reporter.stage("undoing the first heads one by one")
    effects = undoing.measured(first, source, target, progress) + rest
    order = [one.head for one in effects][: request.most or None]
    drawn = random.Random(request.seed).sample(undoing.trained, len(order))
    paths = {}
    for name, heads in (("cheapest", order), ("random", drawn)):
        progress = reporter.stage(f"undoing heads, {name} order")
        paths[name] = path(undoing, rows, heads, progress, request.step)
    return {"effects": [asdict(one) for one in effects], "paths": paths}


@dataclass(frozen=True)
class Limits:
    """lost: accuracy that the target may lose. undone: trained numbers that may be given back."""

    lost: float
    undone: float


def gain_of(summary: dict, before: dict[str, float], target: str) -> float:
    """What tuning gained on the target, on validation rows."""
    return summary["paths"]["cheapest"][0]["accuracy"][target] - before[target]


def chosen_heads(points: list[dict], order: list[Head], names: dict, limits: Limits) -> list[Head]:
    """The heads of a path's order up to the point with the best source accuracy, among the points
    within the limits; of equal ones up to the first. None where undoing regains nothing.
    """
    tuned, rounding = points[0]["accuracy"], 1e-9
    allowed = [
        point
        for point in points
        if tuned[names["target"]] - point["accuracy"][names["target"]] <= limits.lost + rounding
        and point["undone"] <= limits.undone
    ]
    best = max(allowed, key=lambda point: point["accuracy"][names["source"]])
    return order[: best["heads"]]
