"""The accuracy curves of tuning runs in two panels, source and target: one line for each run, or
for all seeds of the same settings.
"""

from collections.abc import Collection, Mapping

import plotly.graph_objects as go

from ctsft import runs
from ctsft.jobs.requests import needed_request
from ctsft.plots.curve_panels import TuningLine, curve_panels
from ctsft.runs import results
from ctsft.utils.errors import UserError
from explorer.compare import filters
from explorer.session import inputs
from explorer.text import run_names

MAX_LINES = 8  # more cannot be told apart


def start_of(row: Mapping) -> tuple:
    """What has to be equal for the curves of two runs to share one level before tuning."""
    return row["model"], row["task"], row["source"], round(row["source_before"], 6)


def overlay(
    rows: list[Mapping], names: Mapping[str, str], selected: Collection[str] = ()
) -> tuple[go.Figure, int]:
    """The curves of the runs with the same start as the first one, at most `MAX_LINES` lines, and
    the number of runs that are left out. names: of the runs, by their ids; selected: the runs whose
    lines stand out, all if there are none.
    """
    comparable = [row for row in rows if start_of(row) == start_of(rows[0])]
    shown = named_groups(comparable, names)
    histories = {
        row["run"]: results.evaluations(runs.get(row["run"])) for of in shown.values() for row in of
    }
    lines = [
        line(of, name, histories, bool(selected) and not {row["run"] for row in of} & {*selected})
        for name, of in shown.items()
    ]
    fig = curve_panels(
        lines,
        titles([row for of in shown.values() for row in of]),
        total_steps=max(map(planned_steps, histories.values())),
        chance=chance(rows[0]),
    )
    return fig, len(rows) - len(histories)


def line_names(rows: list[Mapping], names: Mapping[str, str]) -> dict[str, str]:
    """{run: the name of its line} of the runs that `overlay` draws."""
    comparable = [row for row in rows if start_of(row) == start_of(rows[0])]
    groups = named_groups(comparable, names)
    return {row["run"]: name for name, of in groups.items() for row in of}


def named_groups(rows: list[Mapping], names: Mapping[str, str]) -> dict[str, list[Mapping]]:
    """{unique name: a run, or the seeds of the same settings}, at most `MAX_LINES`."""
    members: dict[tuple, list[Mapping]] = {}
    for row in rows:
        members.setdefault(filters.settings_key(row, ("seed",)), []).append(row)
    groups = list(members.values())[:MAX_LINES]
    # a run has its own name, several seeds what they have in common
    common = run_names.run_names([of[0] | {"name": "", "seed": None} for of in groups])
    named: dict[str, list[Mapping]] = {}
    for of, shared in zip(groups, common, strict=True):
        name = names[of[0]["run"]] if len(of) == 1 else shared
        named[name if name not in named else f"{name} ({len(named)})"] = of
    return named


def line(of: list[Mapping], name: str, histories: Mapping, faint: bool) -> TuningLine:
    """`of`: a run, or the seeds of the same settings."""
    first = of[0]
    curves = {
        side: [
            {
                evaluation["step"]: evaluation["accuracy"][row[side]]
                for evaluation in histories[row["run"]]
                if row[side] in evaluation["accuracy"]
            }
            for row in of
        ]
        for side in ("source", "target")
    }
    method = f"{first['what']}_held" if first.get("hold") else first["what"]
    return TuningLine(method, name, curves, faint=faint)


def titles(rows: list[Mapping]) -> dict[str, str]:
    return {
        side: f"{' / '.join(filters.distinct(rows, side))} ({side})"
        for side in ("source", "target")
    }


def planned_steps(evaluations: list[dict]) -> int:
    return evaluations[0].get("steps", evaluations[-1]["step"])


def chance(row: Mapping) -> float | None:
    """What guessing reaches; None where the task's file is not on this machine."""
    subject = needed_request(runs.get(row["run"])).subject
    try:
        return 1 / len(inputs.load_task(subject.task, subject.data_dir or "").labels)
    except UserError:
        return None
