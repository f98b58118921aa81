"""The frontier of the runs on the Compare page: what each gained on the target against what it kept
of the source, in one panel.

Same contract and looks as `frontier.py`: a small mark a seed, a large one the mean over seeds with
its 95 % bootstrap intervals both ways; what was run with one seed is a large mark alone. The line
joins the means that no other mean beats at both.
"""

from collections.abc import Mapping

import plotly.graph_objects as go

from ctsft.plots.experiment_frontier import AXES, bars, best_line, look, undominated, words
from ctsft.plots.style import COLOURS, LEGEND, figure
from ctsft.utils.format import hover_text
from ctsft.utils.statistics import spread

# "method", "name" (of the method), "group" (its settings, "" for none), "seed", "run" (its name),
# "kept", "gained", "facts"
Point = Mapping


def tradeoff(points: list[Point], *, title: str = "") -> go.Figure:
    """A legend entry a method; hovers say run, settings and figures. "facts": further lines of a
    hover.
    """
    groups = grouped(points)
    fig = figure(title, said(groups, len(points), title), 460)
    across, up = (padded([point[key] for point in points]) for key in ("kept", "gained"))
    if points:
        fig.add_shape(
            type="rect",
            x0=0,
            x1=across[1],
            y0=0,
            y1=up[1],
            fillcolor=COLOURS["shade"],
            line_width=0,
            layer="below",
            name="better at both",
        )
        fig.add_annotation(
            x=across[1],
            y=up[1],
            text="better at both",
            showarrow=False,
            xanchor="right",
            yanchor="top",
            opacity=0.7,
        )
    fig.add_vline(0, line={"color": COLOURS["source"], "width": 1.5, "dash": "dash"}, layer="below")
    fig.add_hline(0, line={"color": COLOURS["target"], "width": 1.5, "dash": "dash"}, layer="below")
    if len(groups) > 1:
        fig.add_trace(best_line([(one["kept"].mean, one["gained"].mean) for one in groups]))
    for method in dict.fromkeys(point["method"] for point in points):
        several = [one for one in groups if one["method"] == method and one["kept"].count > 1]
        alone = [one for one in groups if one["method"] == method and one["kept"].count == 1]
        fig.add_traces(
            [
                trace
                for trace in (
                    seeds(method, several),
                    large(method, several, True),
                    large(method, alone, not several),
                )
                if trace
            ]
        )
    for axis, (side, text) in AXES.items():
        fig.update_layout(
            {
                f"{axis}axis": {
                    "title_text": f'<span style="color:{COLOURS[side]}">●</span> {text}',
                    "tickformat": "+.2f",
                }
            }
        )
    fig.update_xaxes(range=across)
    fig.update_yaxes(range=up)
    return fig.update_layout(showlegend=True, legend=LEGEND, margin_t=84)


def grouped(points: list[Point]) -> list[dict]:
    """One entry a method and settings, with the spread of what was kept and gained over its
    points.
    """
    found: dict[tuple, list[Point]] = {}
    for point in points:
        found.setdefault((point["method"], point["group"]), []).append(point)
    return [
        {
            "method": method,
            "group": group,
            "name": own[0]["name"],
            "points": own,
            "best": False,
            **{key: spread(point[key] for point in own) for key in ("kept", "gained")},
        }
        for (method, group), own in found.items()
    ]


def seeds(method: str, groups: list[dict]) -> go.Scatter | None:
    own = [point for one in groups for point in one["points"]]
    return own and go.Scatter(
        x=[point["kept"] for point in own],
        y=[point["gained"] for point in own],
        mode="markers",
        marker=look(method, 7, opacity=0.5),
        legendgroup=method,
        showlegend=False,
        text=[facts(point) for point in own],
        hovertemplate="%{text}<extra></extra>",
        name=f"{method}, a seed",
    )


def large(method: str, groups: list[dict], first: bool) -> go.Scatter | None:
    """`first`: it stands in the legend for its method."""
    if not groups:
        return None
    single = groups[0]["kept"].count == 1
    text = [
        (
            facts(one["points"][0])
            if single
            else "<br>".join(
                [
                    f"<b>{hover_text(one['name'])}</b>, mean of {one['kept'].count} seeds",
                    *([hover_text(one["group"])] if one["group"] else []),
                    f"source {words(one['kept'])}",
                    f"target {words(one['gained'])}",
                    "[95 % bootstrap interval]",
                ]
            )
        )
        for one in groups
    ]
    intervals = (
        {}
        if single
        else {
            f"error_{axis}": merged([bars(one[key], method) for one in groups])
            for axis, key in (("x", "kept"), ("y", "gained"))
        }
    )
    return go.Scatter(
        x=[one["kept"].mean for one in groups],
        y=[one["gained"].mean for one in groups],
        mode="markers",
        name=hover_text(groups[0]["name"]),
        legendgroup=method,
        showlegend=first,
        marker=look(method, 14, line={"width": 1.5, "color": COLOURS["ink"]}),
        text=text,
        hovertemplate="%{text}<extra></extra>",
        **intervals,
    )


def merged(each: list[dict]) -> dict:
    """The whiskers of several marks, as one trace has them."""
    return each[0] | {
        key: [value for one in each for value in one[key]] for key in ("array", "arrayminus")
    }


def facts(point: Point) -> str:
    lines = [
        f"<b>{hover_text(point['run'])}</b>",
        hover_text(", ".join(filter(None, [point["name"], point["group"]]))),
        *map(hover_text, point["facts"]),
    ]
    return "<br>".join(
        [*lines, f"source {point['kept']:+.3f}, target {point['gained']:+.3f}".replace("-", "−")]
    )


def padded(values: list[float]) -> list[float]:
    """An axis with the start level in view."""
    low, high = min([0.0, *values]), max([0.0, *values])
    room = 0.1 * max(high - low, 0.1)
    return [low - room, high + room]


def said(groups: list[dict], count: int, title: str) -> str:
    """For screen readers: who gained most, who kept most, and what the frontier is made of."""
    start = title or "Target gained against source kept"
    if not groups:
        return f"{start}: no finished run yet."
    called = [", ".join(filter(None, [one["name"], one["group"]])) for one in groups]
    best = {
        key: max(range(len(groups)), key=lambda i, key=key: groups[i][key].mean)
        for key in ("gained", "kept")
    }
    text = (
        f"{start}, {count} runs: {called[best['gained']]} gained most on the target"
        f" ({groups[best['gained']]['gained'].mean:+.2f}), {called[best['kept']]} kept most of the"
        f" source ({groups[best['kept']]['kept'].mean:+.2f})"
    )
    front = undominated([(one["kept"].mean, one["gained"].mean) for one in groups])
    return text + (
        f"; on the frontier: {'; '.join(called[i] for i in front)}." if len(groups) > 1 else "."
    )
