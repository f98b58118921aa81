"""The table of the Compare page: its columns, its lines, and the settings that all runs share."""

from collections.abc import Iterable, Mapping

import pandas as pd
import streamlit as st

from ctsft import runs
from ctsft.jobs.tuning_settings import MAIN, common_settings, setting_text
from ctsft.utils.statistics import spread
from explorer.compare.filters import Entry
from explorer.session import measured_rows
from explorer.text import run_names
from explorer.text.glossary import TERMS

_text, _number = st.column_config.TextColumn, st.column_config.NumberColumn

ACCURACY = 160  # pixels, for "0.683 → 0.550 ± 0.012"
OUTCOMES = {
    "what": _text(
        "trained",
        pinned=True,
        width=150,
        help=(
            "What was trained: the circuit, a control with as many heads, only the norms, or"
            " everything."
        ),
    ),
    "name": _text("name", width=120, help="The name that you gave the run."),
    "heads": _number("heads", width=60, help="Number of attention heads that were trained."),
    "share": _number(
        "share",
        width=65,
        format="percent",
        help="Share of the model's parameters that were trained, norms included.",
    ),
    "source accuracy": _text(
        "source accuracy",
        width=ACCURACY,
        help="Accuracy on the source language before and after tuning.",
    ),
    "target accuracy": _text(
        "target accuracy",
        width=ACCURACY,
        help="Accuracy on the target language before and after tuning.",
    ),
    "forgetting": _number(
        "forgetting",
        width=85,
        format="%+.3f",
        help="Source accuracy before minus after: above 0 is loss. " + TERMS["source change"],
    ),
    "source_lowest": _number(
        "lowest on the way",
        format="%.3f",
        help="The lowest source accuracy of the curve, on the rows that the curve was measured on.",
    ),
    "source_area_lost": _number(
        "area lost",
        format="%+.3f",
        help=(
            "What the source had lost since before tuning, mean over the steps of the curve; the"
            " last point alone hides what was lost and regained."
        ),
    ),
    "gain": _number("gain", width=70, format="%+.3f", help=TERMS["target change"]),
    "related": _text(
        "other languages and tasks",
        help="Accuracy before and after on what was measured beside source and target.",
    ),
    "perplexity": _text("perplexity", help=TERMS["perplexity"] + " Before and after tuning."),
    "seeds": _number(
        "seeds",
        width=60,
        help=(
            "Number of runs on this line, which differ only in their seed. Figures are means over"
            " them ± standard deviation."
        ),
    ),
    "seconds": _number(
        "time",
        format="%.0f s",
        help=(
            "Time of tuning and measuring, without loading the model; the mean where a line holds"
            " several runs."
        ),
    ),
    "origin": _text(
        "from",
        help=(
            "Where a run comes from that is read only: recorded (it comes with the program), or the"
            " file that was opened on Setup."
        ),
    ),
    "state": _text("state", help="A run that was stopped saved what it had learned until then."),
}

# setting -> its name on the page, and what it is; any other setting has its own name
SETTINGS = {
    "target": ("target", "Language that the run was tuned on."),
    "n": ("n", "Number of labelled target examples; 0: all."),
    "learning_rate": ("learning rate", "Peak learning rate."),
    "epochs": ("epochs", "Passes over the examples."),
    "seed": ("seed", "Draws the examples and their order."),
    "batch_size": ("batch", "Rows in each step."),
    "data_dir": ("data folder", "Folder from which the task's files were read."),
    "measured_on": ("measured on", "The split that accuracies before and after are of."),
    "curves_on": ("curves on", "The split that was measured while it was tuned."),
    "setting": ("setting", "Name of the setting in the experiment."),
}

LAST = {
    "note": _text("note", help="Your note on the run."),
    "run": _text("run", help="The run's folder, as `python -m ctsft runs` lists it."),
}

IF_DIFFERING = ("state", "heads")  # left out where all lines have the same value
# shown at first, as many as a window of 1280 pixels holds; settings in which the lines differ stand
# between the two
FIRST = ("what", "name")
SECOND = (
    *("gain", "forgetting", "source accuracy", "target accuracy"),
    *("heads", "share", "seeds", "state", "note"),
)


def setting_label(setting: str) -> str:
    return SETTINGS[setting][0] if setting in SETTINGS else setting.replace("_", " ")


def columns(names: Iterable[str]) -> dict:
    """The configuration of these columns of a frame."""
    return {name: OUTCOMES.get(name) or LAST.get(name) or setting_column(name) for name in names}


def setting_column(setting: str):
    _, explanation = SETTINGS.get(setting, ("", "A setting of the run, named as on Fine-tune."))
    return _text(setting_label(setting), help=explanation)


def frame(entries: list[Entry]) -> pd.DataFrame:
    """A line for each entry: its results, the settings in which the entries differ, its note.
    Settings that all entries share are left to `shared`.
    """
    grouped = any(len(entry) > 1 for entry in entries)
    _, differing = common_settings([row for entry in entries for row in entry])
    table = pd.DataFrame([line(entry) for entry in entries])
    shown = [name for name in OUTCOMES if is_shown(table, name, grouped)]
    for setting in differing:
        if setting == "seed" and grouped:
            continue
        table[setting] = [setting_text(entry[0]["settings"].get(setting)) for entry in entries]
        shown.append(setting)
    if (table["note"] != "").any():
        shown.append("note")
    return table[[*shown, "run"]]


def first_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a frame that are shown before all of them are requested."""
    settings = [name for name in frame if name not in OUTCOMES and name not in LAST]
    return [name for name in (*FIRST, *settings, *SECOND) if name in frame]


def is_shown(table: pd.DataFrame, name: str, grouped: bool) -> bool:
    """Whether a column of results says something about these lines."""
    if name not in table or not (table[name].notna() & (table[name] != "")).any():
        return False
    if name == "seeds":
        return grouped
    constant = table[name].nunique(dropna=False) == 1
    if name == "heads" and len(table) == 1:
        return True
    return not (constant and name in IF_DIFFERING)


def line(entry: Entry) -> dict:
    first, single = entry[0], len(entry) == 1
    times = [row["seconds"] for row in entry if row["seconds"] is not None]
    automatic_name = first["experiment"] and first["name"] == first["given"]
    return {
        "what": run_names.held_name(first),
        "name": first["name"] if single and not automatic_name else "",
        "heads": first["heads"],
        "share": first["share"],
        "source accuracy": accuracy(entry, "source"),
        "target accuracy": accuracy(entry, "target"),
        "forgetting": mean_of(entry, "forgetting"),
        "source_lowest": mean_or_none(entry, "source_lowest"),
        "source_area_lost": mean_or_none(entry, "source_area_lost"),
        "gain": mean_of(entry, "gain"),
        "related": related(entry),
        "perplexity": perplexity(entry),
        "seeds": len(entry),
        "seconds": spread(times).mean if times else None,
        "origin": first.get("origin", ""),
        "state": ", ".join(dict.fromkeys(row["state"] for row in entry)),
        "note": " ".join(first["note"].split()) if single else "",
        "run": first["run"] if single else f"{len(entry)} runs",
    }


def mean_of(rows: list[Mapping], key: str) -> float:
    return spread(row[key] for row in rows).mean


def mean_or_none(rows: list[Mapping], key: str) -> float | None:
    """The mean of what every row has; None where one lacks it."""
    values = [row.get(key) for row in rows]
    return None if None in values else spread(values).mean


def related(entry: Entry) -> str:
    """ "topic (english) 0.620 → 0.600": means over the runs, of what all of them measured."""
    measured = [row.get("related") or {} for row in entry]
    parts = []
    for name in measured[0]:
        if all(name in one for one in measured):
            before, after = (spread(one[name][i] for one in measured).mean for i in (0, 1))
            parts.append(f"{name} {before:.3f} → {after:.3f}")
    return ", ".join(parts)


def perplexity(entry: Entry) -> str:
    before, after = (mean_or_none(entry, f"perplexity_{when}") for when in ("before", "after"))
    return "" if before is None or after is None else f"{before:.2f} → {after:.2f}"


def accuracy(entry: Entry, side: str) -> str:
    before = spread(row[f"{side}_before"] for row in entry)
    after = spread(row[f"{side}_after"] for row in entry)
    deviation = f" ± {after.sd:.3f}" if after.sd is not None else ""
    return f"{before.mean:.3f} → {after.mean:.3f}{deviation}"


def shared(rows: list[Mapping]) -> tuple[str, str]:
    """The settings that are the same in all rows: the main ones, and all others."""
    same, _ = common_settings(rows)
    main = [
        f"{setting_label(name)} {setting_text(same[name])}"
        for name in MAIN
        if same.get(name) not in (None, "")
    ]
    for key, text in (("state", "{}"), ("heads", "{} heads trained")):
        value = rows[0][key]
        if value is not None and all(row[key] == value for row in rows):
            main.append(text.format(value))
    others = [
        f"{setting_label(name)} {setting_text(value)}"
        for name, value in same.items()
        if name not in MAIN and setting_text(value)
    ]
    return ", ".join(main), ", ".join(others)


def names(rows: list[Mapping]) -> list[str]:
    """A unique name for each run; the long automatic name of a trial is not used."""
    return run_names.run_names(
        [
            row | {"name": ""} if row["experiment"] and row["name"] == row["given"] else row
            for row in rows
        ]
    )


def measured(rows: list[Mapping]) -> dict[str, int]:
    """The number of rows on which each language's accuracy was measured, for the languages on which
    all runs agree.
    """
    sizes: dict[str, set[int]] = {}
    for row in rows:
        counts = row["measured"] or measured_rows.measured_on(runs.get(row["run"]))
        for language, count in counts.items():
            sizes.setdefault(language, set()).add(count)
    return {language: counts.pop() for language, counts in sizes.items() if len(counts) == 1}
