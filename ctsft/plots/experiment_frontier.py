"""The frontier of an experiment: the change of target accuracy against the change of source
accuracy, for every way of tuning.

A panel for each setting and n; a small mark a seed (the mean over targets), a large one the mean
over seeds with its 95 % intervals both ways. Up and right is better; the line joins the
means that no other one beats at both. A thin line joins the shares of each way's change, where
trials measured them (means over trials, on validation rows). Tuning that starts from another model
(`direct`) is left out: its changes are from another level.
"""

from collections.abc import Iterable, Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

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
from ctsft.plots.inputs import require
from ctsft.plots.run_frontier import run_frontier, run_points
from ctsft.plots.style import COLOURS, LEGEND, figure
from ctsft.tuning.recipes import RECIPES
from ctsft.utils.errors import UserError
from ctsft.utils.format import hover_text
from ctsft.utils.statistics import average_over_targets, spread


def frontier(rows: Iterable[Mapping], *, title: str = "") -> go.Figure:
    """The change of target accuracy (y) against the change of source accuracy (x) by tuning, after
    minus before, with the line of what no other way of tuning beats at both.

    `rows`: the rows of an experiment (setting, method, target, n, seed, forgetting, plasticity),
    drawn as panels by setting and n, seeds that lack a target left out; or rows that compare runs
    (`ctsft compare --json`), drawn in one panel. UserError for other rows.
    """
    require("frontier", rows, Iterable, "rows of an experiment, or rows that compare runs")
    rows = list(rows)
    if all(isinstance(row, Mapping) and {"method", "plasticity"} <= row.keys() for row in rows):
        return experiment_frontier(rows, title=title)
    if all(isinstance(row, Mapping) and {"what", "target_after"} <= row.keys() for row in rows):
        return run_frontier(run_points(rows), title=title)
    raise UserError(
        "frontier draws rows of an experiment (method, plasticity, forgetting, ...) or rows that"
        " compare runs (what, target_before, target_after, ...), and these are neither."
    )


def experiment_frontier(rows: list[Mapping], *, title: str = "") -> go.Figure:
    """Panels by setting (down) and n (across), one scale; a legend entry a method. Seeds that lack
    a target are left out.
    """
    rows = [row for row in rows if starts_from_checkpoint(row["method"])]
    points = seed_points(rows)
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    sizes = sorted({row["n"] for row in rows})
    down, across = max(1, len(settings)), max(1, len(sizes))
    panels = [(setting, n) for setting in settings for n in sizes]
    fig = make_subplots(
        down,
        across,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.05,
        vertical_spacing=0.11,
        subplot_titles=[f"{hover_text(setting)}, n = {n}" for setting, n in panels],
    )
    fig.update_layout(figure(title, "", 140 + 330 * down).layout)
    for i, (setting, n) in enumerate(panels):
        panel = {"row": i // across + 1, "col": i % across + 1}
        by_method: dict[str, list[dict]] = {row["method"]: [] for row in rows}
        for point in points:
            if (point["setting"], point["n"]) == (setting, n):
                by_method[point["method"]].append(point)
        _add_panel(fig, by_method, panel, show_legend=i == 0)
        some = [row for row in rows if (row["setting"], row["n"]) == (setting, n)]
        for method, shares in share_means(some).items():
            fig.add_trace(share_line(method, shares, method.replace("_", " ")), **panel)
    for axis in ("x", "y"):
        titles = {"title_text": axis_title(axis)}
        fig.update_layout(dict.fromkeys(outer_axes(down, across, axis), titles))
    fig.update_xaxes(
        tickformat="+.2f", gridcolor=COLOURS["grid"], zeroline=False, showticklabels=True
    )
    fig.update_yaxes(tickformat="+.2f", gridcolor=COLOURS["grid"], zeroline=False)
    return fig.update_layout(
        showlegend=True,
        legend=LEGEND | {"y": 1.0 + 34 / (330 * down)},
        margin={"t": 110, "b": 60, "l": 70},
        meta={"alt": _frontier_alt(points, title, undominated_methods(rows))},
    )


def seed_points(rows: list[Mapping]) -> list[dict]:
    """One point for each setting, method, n and seed, means over targets: "target_change"
    (plasticity) and "source_change" (forgetting, with its sign turned).
    """
    gains = average_over_targets(rows, "plasticity")
    losses = average_over_targets(rows, "forgetting")
    return [
        gain | {"target_change": gain["plasticity"], "source_change": -loss["forgetting"]}
        for gain, loss in zip(gains, losses, strict=True)
    ]


def share_means(rows: list[Mapping]) -> dict[str, list[dict]]:
    """{method: [{"share", "source_change", "target_change"}]}: means over the trials of one setting
    and n that measured shares, on validation rows, over targets first.
    """
    measured: dict[str, list[Mapping]] = {}
    for row in rows:
        for one in row.get("shares") or []:
            measured.setdefault(row["method"], []).append(
                {name: row[name] for name in ("setting", "method", "n", "seed", "target")} | one
            )
    means = {}
    for method, points in measured.items():
        by_share: dict[float, list[Mapping]] = {}
        for point in points:
            by_share.setdefault(point["share"], []).append(point)
        means[method] = [
            {"share": share}
            | {
                key: spread(one[key] for one in average_over_targets(some, key)).mean
                for key in CHANGES
            }
            for share, some in sorted(by_share.items())
            if average_over_targets(some, CHANGES[0])
        ]
    return means


def undominated_methods(rows: list[Mapping]) -> dict[tuple[str, int], list[str]]:
    """{(setting, n): the methods whose mean no other method's mean beats at both}, best source
    first.
    """
    points = seed_points([row for row in rows if starts_from_checkpoint(row["method"])])
    panels: dict[tuple[str, int], dict[str, list[dict]]] = {}
    for point in points:
        panel = panels.setdefault((point["setting"], point["n"]), {})
        panel.setdefault(point["method"], []).append(point)
    best = {}
    for key, by_method in panels.items():
        names = list(by_method)
        centres = [
            tuple(spread(point[side] for point in some).mean for side in CHANGES)
            for some in by_method.values()
        ]
        best[key] = [names[i] for i in reversed(undominated(centres))]
    return best


def starts_from_checkpoint(method: str) -> bool:
    """Whether it tunes the checkpoint that all others tune."""
    return method not in RECIPES or not RECIPES[method].from_base


def outer_axes(rows: int, columns: int, axis: str) -> list[str]:
    """The layout's names of the axes at the left or the bottom, which carry the titles."""
    if axis == "y":
        numbers = range(1, rows * columns + 1, columns)
    else:
        numbers = range((rows - 1) * columns + 1, rows * columns + 1)
    return [f"{axis}axis{'' if number == 1 else number}" for number in numbers]


def _add_panel(
    fig: go.Figure, by_method: Mapping[str, list[dict]], panel: dict, show_legend: bool
) -> None:
    """The marks of one setting and n, and the line of the best means."""
    add_start_lines(fig, **panel)
    centres = []
    for method, points in by_method.items():
        if points:
            mean = _mean_mark(method, points, show_legend)
            centres.append((mean.x[0], mean.y[0]))
            fig.add_trace(_seed_marks(method, points), **panel)
            fig.add_trace(mean, **panel)
    if len(centres) > 1:
        fig.add_trace(best_line(centres, show_legend), **panel)


def _seed_marks(method: str, points: list[dict]) -> go.Scatter:
    return go.Scatter(
        x=[point["source_change"] for point in points],
        y=[point["target_change"] for point in points],
        mode="markers",
        marker=method_marker(method, 6, opacity=0.45),
        legendgroup=method,
        showlegend=False,
        text=[f"{hover_text(method)}, seed {point['seed']}" for point in points],
        hovertemplate="%{text}<br>source %{x:+.3f}, target %{y:+.3f}<extra></extra>",
    )


def _mean_mark(method: str, points: list[dict], show_legend: bool) -> go.Scatter:
    source, target = (spread(point[key] for point in points) for key in CHANGES)
    text = (
        f"<b>{hover_text(method)}</b>, mean of {source.count} seeds<br>source"
        f" {spread_text(source)}<br>target {spread_text(target)}"
    )
    return go.Scatter(
        x=[source.mean],
        y=[target.mean],
        mode="markers",
        name=hover_text(method.replace("_", " ")),
        legendgroup=method,
        showlegend=show_legend,
        marker=method_marker(method, 14, line={"width": 1.5, "color": COLOURS["ink"]}),
        error_x=error_bars([source], method),
        error_y=error_bars([target], method),
        text=[text],
        hovertemplate="%{text}<extra></extra>",
    )


def _frontier_alt(points: list[dict], title: str, not_dominated: Mapping) -> str:
    """For screen readers: in each panel, the largest gain and the smallest loss, and the ways that
    no other one beats at both.
    """
    if not points:
        return f"{title or 'Frontier'}: no seed is finished on every target yet."
    panels: dict[tuple, dict[str, list[dict]]] = {}
    for point in points:
        panel = panels.setdefault((point["setting"], point["n"]), {})
        panel.setdefault(point["method"], []).append(point)

    def best(by_method: dict[str, list[dict]], key: str) -> tuple[str, float]:
        means = {
            method: spread(point[key] for point in some).mean for method, some in by_method.items()
        }
        method = max(means, key=means.get)
        return method, means[method]

    parts = []
    for (setting, n), by_method in panels.items():
        target, gain = best(by_method, "target_change")
        source, loss = best(by_method, "source_change")
        parts.append(
            f"{setting}, n={n}: {target} has the largest target change ({gain:+.2f}), {source} the"
            f" best source change ({loss:+.2f}), not dominated:"
            f" {', '.join(not_dominated[setting, n])}"
        )
    return f"{title or 'Frontier'}: {'; '.join(parts)}."
