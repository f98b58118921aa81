"""The frontier of single runs: the change of target accuracy against the change of source accuracy,
in one panel.

A small mark is a seed, a large one the mean over seeds with its 95 % intervals both ways (Student's
t, from three seeds on); what was run with one seed is a large mark alone. The line joins the means
that no other mean beats at both.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from ctsft.plots.frontier_marks import (
    CHANGES,
    add_start_lines,
    axis_title,
    best_line,
    error_bars,
    method_marker,
    share_line,
    spread_text,
    undominated,
)
from ctsft.plots.mark_labels import Label, add_labels, at_top, place
from ctsft.plots.style import COLOURS, LEGEND, figure, method_colour
from ctsft.utils.format import hover_text
from ctsft.utils.statistics import FEWEST, Spread, spread

MOST_LABELS = 8  # marks with their names beside them
IN_A_ROW = 3  # names of the legend, in a small window
FAINT = 0.2  # opacity of marks that are not selected
BETTER = "better at both"
NARROW = 0.2  # of the width: less than the name needs

# "method", "name" (of the method), "group" (its settings, "" for none), "seed", "run" (its name),
# "source_change", "target_change", "facts" (further lines of a hover); "shares" where they were
# measured: the changes of each share of the run's change, on validation rows; "ids" of its runs
# where some can be selected
Point = Mapping


@dataclass(frozen=True)
class Group:
    """The points of a method with the same settings, and the spread of their changes."""

    method: str
    settings: str
    points: list[Point]
    source_change: Spread
    target_change: Spread

    @property
    def name(self) -> str:
        """Of the method, for readers."""
        return self.points[0]["name"]

    @property
    def title(self) -> str:
        """The method's name and the settings."""
        return ", ".join(filter(None, [self.name, self.settings]))

    @property
    def centre(self) -> tuple[float, float]:
        return self.source_change.mean, self.target_change.mean

    @property
    def seeds(self) -> int:
        return len(self.points)


def run_points(rows: list[Mapping]) -> list[Point]:
    """Points of the rows that compare fine-tuning runs (`ctsft compare --json`)."""
    return [
        {
            "method": row["what"],
            "name": row["what"].replace("_", " "),
            "group": "",
            "seed": row["seed"],
            "run": row["name"] or row["run"],
            "source_change": row["source_after"] - row["source_before"],
            "target_change": row["target_after"] - row["target_before"],
            "shares": row.get("shares") or [],
            "facts": [f"{row['target']}, n = {row['n']}"],
        }
        for row in rows
    ]


def run_frontier(
    points: list[Point],
    *,
    title: str = "",
    selected: Collection[str] = (),
    labels: bool = False,
) -> go.Figure:
    """A legend entry a method; hovering shows run, settings and figures. selected: ids of the runs
    whose marks stand out; all if there are none. labels: names at the marks instead of a legend,
    where the marks are few.
    """
    groups = group_points(points)
    fig = figure(title, _frontier_alt(groups, len(points), title), 460)
    marks = [*points, *(share for point in points for share in point.get("shares") or [])]
    x_range, y_range = (_padded_range([mark[key] for mark in marks]) for key in CHANGES)
    if points:
        _add_better_area(fig, x_range, y_range[1])
    add_start_lines(fig)
    if len(groups) > 1:
        fig.add_trace(best_line([group.centre for group in groups]))
    for point in points:
        if point.get("shares"):
            fig.add_trace(share_line(point["method"], point["shares"], point["run"]))
    for method in dict.fromkeys(point["method"] for point in points):
        _add_marks(fig, [group for group in groups if group.method == method], {*selected})
    fig.update_xaxes(title_text=axis_title("x"), tickformat="+.2f", range=x_range)
    fig.update_yaxes(title_text=axis_title("y"), tickformat="+.2f", range=y_range)
    if labels and len(groups) <= MOST_LABELS:
        _add_labels(fig, groups)
        return fig.update_layout(margin_t=24)
    names = len({point["method"] for point in points}) + (len(groups) > 1)
    lines = -(-names // IN_A_ROW)
    return fig.update_layout(showlegend=True, legend=LEGEND, margin_t=24 + 20 * lines)


def _add_marks(fig: go.Figure, groups: list[Group], selected: set[str]) -> None:
    """The marks of one method; those that are not selected are faint."""
    in_legend = False
    for is_faint in (False, True):
        some = [group for group in groups if _is_faint(group, selected) == is_faint]
        look = {"opacity": FAINT} if is_faint else {}
        repeated = [group for group in some if group.seeds > 1]
        single = [group for group in some if group.seeds == 1]
        if repeated:
            fig.add_trace(_seed_marks(repeated).update(look))
        for marked in filter(None, (repeated, single)):
            fig.add_trace(_group_marks(marked, show_legend=not in_legend).update(look))
            in_legend = True


def _add_labels(fig: go.Figure, groups: list[Group]) -> None:
    """The names beside the marks."""
    labels = [
        Label(*group.centre, hover_text(group.title, 30), method_colour(group.method))
        for group in groups
    ]
    seeds = [
        tuple(point[key] for key in CHANGES)
        for group in groups
        if group.seeds > 1
        for point in group.points
    ]
    text = next(note for note in fig.layout.annotations if note.name == BETTER)
    taken = [at_top(text.text, place(fig, text.x, 0)[0])]
    add_labels(fig, labels, seeds, taken)


def _is_faint(group: Group, selected: set[str]) -> bool:
    ids = {run for point in group.points for run in point.get("ids", ())}
    return bool(selected) and not ids & selected


def group_points(points: list[Point]) -> list[Group]:
    """One group for each method and settings."""
    members: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        members.setdefault((point["method"], point["group"]), []).append(point)
    return [
        Group(method, settings, some, *(spread(point[key] for point in some) for key in CHANGES))
        for (method, settings), some in members.items()
    ]


def _add_better_area(fig: go.Figure, across: list[float], top: float) -> None:
    """Its name stands beside it where it is narrow."""
    left, right = across
    narrow = right < NARROW * (right - left)
    fig.add_shape(
        type="rect",
        x0=0,
        x1=right,
        y0=0,
        y1=top,
        fillcolor=COLOURS["shade"],
        line_width=0,
        layer="below",
        name=BETTER,
    )
    fig.add_annotation(
        x=0 if narrow else right,
        y=top,
        text=f"{BETTER} →" if narrow else BETTER,
        name=BETTER,
        showarrow=False,
        xshift=-6 if narrow else 0,
        xanchor="right",
        yanchor="top",
        opacity=0.7,
    )


def _seed_marks(groups: list[Group]) -> go.Scatter:
    """Small marks: every seed of a method."""
    method = groups[0].method
    points = [point for group in groups for point in group.points]
    return go.Scatter(
        x=[point["source_change"] for point in points],
        y=[point["target_change"] for point in points],
        mode="markers",
        marker=method_marker(method, 7, opacity=0.5),
        legendgroup=method,
        showlegend=False,
        text=[_point_text(point) for point in points],
        hovertemplate="%{text}<extra></extra>",
        name=f"{method}, a seed",
    )


def _group_marks(groups: list[Group], show_legend: bool) -> go.Scatter:
    """Large marks: the means of a method's groups, with intervals where there are several seeds."""
    method = groups[0].method
    intervals = {}
    if groups[0].seeds > 1:
        intervals["error_x"] = error_bars([group.source_change for group in groups], method)
        intervals["error_y"] = error_bars([group.target_change for group in groups], method)
    return go.Scatter(
        x=[group.source_change.mean for group in groups],
        y=[group.target_change.mean for group in groups],
        mode="markers",
        name=hover_text(groups[0].name),
        legendgroup=method,
        showlegend=show_legend,
        marker=method_marker(method, 14, line={"width": 1.5, "color": COLOURS["ink"]}),
        text=[_group_text(group) for group in groups],
        hovertemplate="%{text}<extra></extra>",
        **intervals,
    )


def _group_text(group: Group) -> str:
    if group.seeds == 1:
        return _point_text(group.points[0])
    lines = [f"<b>{hover_text(group.name)}</b>, mean of {group.seeds} seeds"]
    if group.settings:
        lines.append(hover_text(group.settings))
    lines.append(f"source {spread_text(group.source_change)}")
    lines.append(f"target {spread_text(group.target_change)}")
    if group.seeds >= FEWEST:
        lines.append("[95 % interval by Student's t]")
    return "<br>".join(lines)


def _point_text(point: Point) -> str:
    changes = f"source {point['source_change']:+.3f}, target {point['target_change']:+.3f}"
    lines = [
        f"<b>{hover_text(point['run'])}</b>",
        hover_text(", ".join(filter(None, [point["name"], point["group"]]))),
        *map(hover_text, point["facts"]),
        changes.replace("-", "−"),
    ]
    return "<br>".join(lines)


def _padded_range(values: list[float]) -> list[float]:
    """An axis that shows the level before tuning."""
    low, high = min([0.0, *values]), max([0.0, *values])
    padding = 0.1 * max(high - low, 0.1)
    return [low - padding, high + padding]


def _frontier_alt(groups: list[Group], count: int, title: str) -> str:
    """For screen readers: the largest gain, the smallest loss, and the frontier; only the number of
    runs where the groups have different seeds.
    """
    start = title or "Change of target accuracy against change of source accuracy"
    if not groups:
        return f"{start}: no finished run yet."
    if len({tuple(sorted(point["seed"] for point in group.points)) for group in groups}) > 1:
        return f"{start}, {count} runs with different seeds, which are not ranked."
    target = max(groups, key=lambda group: group.target_change.mean)
    source = max(groups, key=lambda group: group.source_change.mean)
    text = (
        f"{start}, {count} runs: {target.title} has the largest target change"
        f" ({target.target_change.mean:+.2f}), {source.title} the best source change"
        f" ({source.source_change.mean:+.2f})"
    )
    if len(groups) == 1:
        return f"{text}."
    best = [groups[i].title for i in undominated([group.centre for group in groups])]
    return f"{text}; on the frontier: {'; '.join(best)}."
