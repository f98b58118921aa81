"""Points of the frontier from the table of tuning runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from ctsft.jobs.tuning_settings import common_settings, setting_text
from ctsft.plots.experiment_frontier import starts_from_checkpoint
from ctsft.plots.run_frontier import Point
from explorer.compare.filters import settings_key
from explorer.compare.table import mean_of, setting_label
from explorer.text import run_names

NamedRun = tuple[Mapping, str]  # a row, and the run's name


@dataclass(frozen=True)
class Points:
    """Points of the frontier. `targets`: the number of targets over which each is a mean;
    `left_out`: the number of runs whose seed lacks one of them.
    """

    points: list[Point]
    targets: int = 1
    left_out: int = 0


def points(rows: list[Mapping], names: list[str]) -> Points:
    """A point for each run or, with several targets, for the runs that differ only in their target.
    Runs that started from another model (direct) have no point.
    """
    named = [
        (row, name)
        for row, name in zip(rows, names, strict=True)
        if starts_from_checkpoint(row["what"])
    ]
    rows = [row for row, _ in named]
    n_targets = len({row["target"] for row in rows})
    differing = [
        name
        for name in common_settings(rows)[1]
        if name not in ("seed", "target") and not (name == "hold" and held_alike(rows))
    ]
    groups: dict[tuple, list[NamedRun]] = {}
    for row, name in named:
        key = row["run"] if n_targets == 1 else settings_key(row, ("target",))
        groups.setdefault(key, []).append((row, name))
    complete = [
        group for group in groups.values() if len({row["target"] for row, _ in group}) == n_targets
    ]
    left_out = len(rows) - sum(map(len, complete))
    return Points([point(group, differing) for group in complete], n_targets, left_out)


def held_alike(rows: list[Mapping]) -> bool:
    """Whether the names of the methods say all about holding the source: one strength in each."""
    strengths: dict[tuple, set] = {}
    for row in rows:
        key = row["what"], bool(row.get("hold"))
        strengths.setdefault(key, set()).add(row["settings"].get("hold"))
    return all(len(some) == 1 for some in strengths.values())


def point(group: list[NamedRun], differing: list[str]) -> Point:
    """`differing`: the settings that its name has to mention."""
    rows = [row for row, _ in group]
    first, name = group[0]
    settings = {key: setting_text(first["settings"].get(key)) for key in differing}
    texts = [f"{setting_label(key)} {text}" for key, text in settings.items() if text]
    accuracies = [
        f"{row[side]} {row[f'{side}_before']:.3f} → {row[f'{side}_after']:.3f}"
        for row in rows
        for side in ("source", "target")
    ]
    share = first["share"]
    trained = [f"{share:.2%} of the parameters trained"] if share is not None else []
    if len(rows) > 1:
        name = f"mean of {len(rows)} targets, seed {first['seed']}"
    return {
        "method": f"{first['what']}_held" if first.get("hold") else first["what"],
        "name": run_names.trained_text(first),
        "group": ", ".join(texts),
        "seed": first["seed"],
        "ids": [row["run"] for row in rows],
        "run": name,
        "source_change": -mean_of(rows, "forgetting"),
        "target_change": mean_of(rows, "gain"),
        "shares": first.get("shares") if len(rows) == 1 else [],
        "facts": [*trained, f"seed {first['seed']}", *dict.fromkeys(accuracies)],
    }
