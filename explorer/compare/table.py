"""Tuning runs side by side: the table's frame, what all of it shares, points of the frontier, and
curves that may share a chart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from ctsft import runs
from ctsft.jobs.tuning_table import MAIN, parted, value_text
from ctsft.plots import accuracy_curves
from ctsft.plots.experiment_frontier import same_start
from ctsft.plots.run_frontier import Point
from ctsft.runs import results
from ctsft.utils.statistics import Spread, spread
from explorer.compare import filters
from explorer.session import inputs, measured_rows
from explorer.text import outcomes
from explorer.text.glossary import TERMS

DRAWN = len(accuracy_curves.SYMBOLS)  # curves that can be told apart


# rows of one line of the table: one run, or the seeds of one
Entry = list[Mapping]


_text, _number = st.column_config.TextColumn, st.column_config.NumberColumn


OUTCOMES = {
    "what": _text(
        "moved",
        pinned=True,
        help=(
            "What moved: the circuit, a control with as many heads, only the norms, or everything."
        ),
    ),
    "name": _text("name", help="As you named it."),
    "heads": _number("heads", help="Attention heads that moved."),
    "share": _number(
        "share moved",
        format="percent",
        help="Share of the model's numbers that moved, norms included.",
    ),
    "source accuracy": _text(
        "source accuracy", help="Accuracy on the source language before and after."
    ),
    "target accuracy": _text(
        "target accuracy", help="Accuracy on the target language before and after."
    ),
    "forgetting": _number(
        "forgetting",
        format="%+.3f",
        help="Source accuracy before minus after: above 0 is loss. " + TERMS["kept"],
    ),
    "gain": _number("gain", format="%+.3f", help=TERMS["gained"]),
    "seeds": _number(
        "seeds",
        help=(
            "Runs on this line, which differ in their seed only; figures are means over them ±"
            " standard deviation."
        ),
    ),
    "seconds": _number(
        "time",
        format="%.0f s",
        help=(
            "Tuning and measuring, without loading the model; the mean where a line holds several"
            " runs."
        ),
    ),
    "state": _text("state", help="A stopped run kept what it had learned by then."),
}


SETTINGS = {  # name on the page, and what it is; any other setting stands under its own name
    "target": ("target", "Language tuned on."),
    "n": ("n", "Labelled target examples; 0: all there are."),
    "learning_rate": ("learning rate", "Peak learning rate."),
    "epochs": ("epochs", "Passes over the examples."),
    "seed": ("seed", "Draws the examples and their order."),
    "batch_size": ("batch", "Rows a step."),
    "data_dir": ("data folder", "Where the task's files were read."),
    "eval_split": ("measured on", "The split that accuracies are measured on."),
    "setting": ("setting", "Of the experiment."),
}


AFTER = {
    "note": _text("note", help="What you noted of it."),
    "run": _text("run", help="The run's folder, as `python -m ctsft runs` lists it."),
}


def label(setting: str) -> str:
    return SETTINGS.get(setting, (setting.replace("_", " "), ""))[0]


def columns(names: Iterable[str]) -> dict:
    """How the table shows these columns of a frame."""
    other = ("", "A setting of the run, as Fine-tune has it.")
    return {
        name: (
            OUTCOMES.get(name)
            or AFTER.get(name)
            or _text(label(name), help=SETTINGS.get(name, other)[1])
        )
        for name in names
    }


def frame(entries: list[Entry]) -> pd.DataFrame:
    """A line an entry: what came of it, the settings in which the entries differ, its note. What is
    the same in all of them is left to `shared`.
    """
    rows = [row for entry in entries for row in entry]
    several, differing = any(len(entry) > 1 for entry in entries), parted(rows)[1]
    table = pd.DataFrame([line(entry) for entry in entries])
    found = [
        name
        for name in OUTCOMES
        if name in table and (table[name].notna() & (table[name] != "")).any()
    ]
    constant = ("state", *(["heads"] if len(entries) > 1 else []))
    found = [
        name
        for name in found
        if not (name in constant and table[name].nunique(dropna=False) == 1)
        and (name != "seeds" or several)
    ]
    for name in differing:
        if name != "seed" or not several:
            table[name] = [value_text(entry[0]["settings"].get(name)) for entry in entries]
            found.append(name)
    return table[[*found, *(["note"] if (table["note"] != "").any() else []), "run"]]


def line(entry: Entry) -> dict:
    first = entry[0]
    mean = {key: spread(row[key] for row in entry).mean for key in ("forgetting", "gain")}
    times = [row["seconds"] for row in entry if row["seconds"] is not None]
    states = list(dict.fromkeys(row["state"] for row in entry))
    own = "" if first["experiment"] and first["name"] == first["given"] else first["name"]
    return {
        "what": outcomes.WHAT.get(first["what"], (str(first["what"]).replace("_", " "),))[0],
        "name": own if len(entry) == 1 else "",
        "heads": first["heads"],
        "share": first["share"],
        **{f"{side} accuracy": accuracy(entry, side) for side in ("source", "target")},
        **mean,
        "seeds": len(entry),
        "seconds": spread(times).mean if times else None,
        "state": ", ".join(states),
        "note": " ".join(first["note"].split()) if len(entry) == 1 else "",
        "run": first["run"] if len(entry) == 1 else f"{len(entry)} runs",
    }


def accuracy(entry: Entry, side: str) -> str:
    before, after = (spread(row[f"{side}_{when}"] for row in entry) for when in ("before", "after"))
    return f"{before.mean:.3f} → {after.mean:.3f}" + (
        f" ± {after.sd:.3f}" if after.sd is not None else ""
    )


def shared(rows: list[Mapping]) -> tuple[str, str]:
    """What is the same in all rows, once: the main settings in a sentence, and all others."""
    same, _ = parted(rows)
    told = [
        f"{label(name)} {value_text(same[name])}"
        for name in MAIN
        if same.get(name) not in (None, "")
    ]
    for key, form in (("state", "{}"), ("heads", "{} heads moved")):
        if len({row[key] for row in rows}) == 1 and rows[0][key] is not None:
            told.append(form.format(rows[0][key]))
    rest = [
        f"{label(name)} {value_text(value)}"
        for name, value in same.items()
        if name not in MAIN and value_text(value)
    ]
    return ", ".join(told), ", ".join(rest)


def called(rows: list[Mapping]) -> list[str]:
    """A name for each run; a cell's long one only where somebody gave it another."""
    return outcomes.names(
        [
            row | {"name": ""} if row["experiment"] and row["name"] == row["given"] else row
            for row in rows
        ]
    )


@dataclass(frozen=True)
class Points:
    """Points of the frontier; `targets` over which each is a mean; `left_out`: runs whose seed
    lacks one of them.
    """

    points: list[Point]
    targets: int = 1
    left_out: int = 0


def points(rows: list[Mapping], names: list[str]) -> Points:
    """A point a run; where there are several targets, one for the runs that differ in their target
    only. Runs from another start have none.
    """
    pairs = [(row, name) for row, name in zip(rows, names, strict=True) if same_start(row["what"])]
    rows = [row for row, _ in pairs]
    targets, differing = len({row["target"] for row in rows}), parted(rows)[1]
    told = [name for name in differing if name not in ("seed", "target")]
    found: dict[tuple, list[tuple[Mapping, str]]] = {}
    for row, name in pairs:
        found.setdefault(
            (filters.kind(row, ("target",)), *([row["run"]] if targets == 1 else [])), []
        ).append((row, name))
    whole = [own for own in found.values() if len({row["target"] for row, _ in own}) == targets]
    return Points([point(own, told) for own in whole], targets, len(rows) - sum(map(len, whole)))


def point(own: list[tuple[Mapping, str]], told: list[str]) -> Point:
    rows, (first, name) = [row for row, _ in own], own[0]
    group = ", ".join(
        f"{label(key)} {value_text(first['settings'].get(key))}"
        for key in told
        if value_text(first["settings"].get(key))
    )
    facts = [
        f"{row[side]} {row[f'{side}_before']:.3f} → {row[f'{side}_after']:.3f}"
        for row in rows
        for side in ("source", "target")
    ]
    moved = outcomes.WHAT.get(first["what"], (str(first["what"]).replace("_", " "),))[0]
    heads = f" ({first['heads']} heads)" if first["heads"] is not None else ""
    share = [f"{first['share']:.2%} of the model moved"] if first["share"] is not None else []
    return {
        "method": first["what"],
        "name": moved.removesuffix(" heads") + heads if heads else moved,
        "group": group,
        "seed": first["seed"],
        "run": name if len(rows) == 1 else f"mean of {len(rows)} targets, seed {first['seed']}",
        "kept": -mean_of(rows, "forgetting"),
        "gained": mean_of(rows, "gain"),
        "facts": [*share, f"seed {first['seed']}", *dict.fromkeys(facts)],
    }


def mean_of(rows: list[Mapping], key: str) -> float:
    return spread(row[key] for row in rows).mean


def measured(rows: list[Mapping]) -> dict[str, int]:
    """How many rows each language's accuracy was measured on; languages on which the runs disagree
    are left out.
    """
    found: dict[str, set[int]] = {}
    for row in rows:
        for language, count in (
            row["measured"] or measured_rows.measured_on(runs.get(row["run"]))
        ).items():
            found.setdefault(language, set()).add(count)
    return {language: counts.pop() for language, counts in found.items() if len(counts) == 1}


def reading(groups: list[Mapping]) -> str:
    """What means over seeds say; "" while nothing was run with two seeds. `groups` of
    `tradeoff.grouped`.
    """
    several = [one for one in groups if one["kept"].count > 1]
    if not several:
        return ""

    def words(one: Mapping, key: str, of: Spread) -> str:
        return (
            f"“{outcomes.said(', '.join(filter(None, [one['name'], one['group']])))}” {key}"
            f" ({of.mean:+.3f}, 95 % [{of.low:+.3f}, {of.high:+.3f}])"
        )

    gained, kept = (
        max(several, key=lambda one, key=key: one[key].mean) for key in ("gained", "kept")
    )
    counts = sorted({one["kept"].count for one in several})
    text = (
        f"By means over {' or '.join(map(str, counts))} seeds,"
        f" {words(gained, 'gained most on the target', gained['gained'])} and"
        f" {words(kept, 'kept most of the source', kept['kept'])}. "
    ).replace("-", "−")
    return (
        text
        + "Intervals are bootstrapped over seeds, which are few and share their test rows: where"
        " they overlap, the order is not known."
    )


def start_of(row: Mapping) -> tuple:
    """What has to be equal for two runs' curves to share one level before tuning."""
    return row["model"], row["task"], row["source"], round(row["source_before"], 6)


def overlay(rows: list[Mapping], names: list[str]) -> tuple[go.Figure, int]:
    """The curves of the runs that began where the first one did, at most `DRAWN`, and how many are
    left out.
    """
    kept = [
        (row, name)
        for row, name in zip(rows, names, strict=True)
        if start_of(row) == start_of(rows[0])
    ][:DRAWN]
    history = {name: results.evaluations(runs.get(row["run"])) for row, name in kept}
    levels = {
        language: share for of in history.values() for language, share in of[0]["accuracy"].items()
    }
    roles = {rows[0]["source"]: "source", **{row["target"]: "target" for row, _ in kept}}
    steps = max(of[0].get("steps", of[-1]["step"]) for of in history.values())
    subject = runs.get(rows[0]["run"]).request.params["subject"]
    labels = inputs.load_task(subject["task"], subject.get("data_dir") or "").labels
    return accuracy_curves.overlay_curves(
        {name: accuracy_curves.accuracy_rows(of) for name, of in history.items()},
        roles,
        levels,
        total_steps=steps,
        chance=1 / len(labels),
    ), len(rows) - len(kept)
