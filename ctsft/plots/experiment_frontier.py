"""The frontier of an experiment: what the target gained against what the source kept, for every way
of tuning.

Same contract as `plots.py`: plain rows in (those of `ctsft.tables`), one figure out, described by
`alt(fig)`. A panel a setting and n; a small mark a seed (the mean over targets), a large one the
mean over seeds with its 95 % bootstrap intervals both ways. Up and right is better; the line joins
the means that no other one beats at both. Tuning that starts from another model (`direct`) has no
place here: it had no source to keep. `tradeoff.py` draws any runs in one panel.
"""

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ctsft.plots.style import COLOURS, LEGEND, figure
from ctsft.tuning.recipes import RECIPES
from ctsft.utils.format import hover_text
from ctsft.utils.statistics import Spread, average_over_targets, spread

SYMBOLS = {
    "circuit": "circle",
    "full": "square",
    "norms": "triangle-up",
    "near_zero": "diamond",
    "random": "star",
    "least": "triangle-down",
    "advised": "hexagon",
    "edited": "octagon",
    "direct": "x",
    "lora": "cross",
    "lora_circuit": "pentagon",
}

# what is proposed; all else is what it is compared with
CHOSEN = {"circuit": COLOURS["circuit"], "advised": "#1d9a8a"}

AXES = {
    "x": ("source", "source accuracy, after − before"),
    "y": ("target", "target accuracy, after − before"),
}


def means(rows: list[Mapping]) -> list[dict]:
    """One row a setting, method, n and seed, means over targets: "gained" (plasticity) and "kept"
    (forgetting, with its sign turned).
    """
    gained, lost = (
        average_over_targets(rows, "plasticity"),
        average_over_targets(rows, "forgetting"),
    )
    return [
        one | {"gained": one["plasticity"], "kept": -other["forgetting"]}
        for one, other in zip(gained, lost, strict=True)
    ]


def frontier(rows: list[Mapping], *, title: str = "") -> go.Figure:
    """Panels by setting (down) and n (across), one scale; a legend entry a method. Seeds in which a
    target is missing are left out.
    """
    rows = [row for row in rows if same_start(row["method"])]
    points = means(rows)
    settings, sizes, methods = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("setting", "n", "method")
    )
    sizes = sorted(sizes)
    panels = [(setting, n) for setting in settings for n in sizes]
    base = figure(title, "", 140 + 330 * max(1, len(settings)))
    fig = make_subplots(
        max(1, len(settings)),
        max(1, len(sizes)),
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.05,
        vertical_spacing=0.11,
        subplot_titles=[f"{hover_text(setting)}, n = {n}" for setting, n in panels],
    )
    fig.update_layout(base.layout)
    for i, (setting, n) in enumerate(panels):
        at = {"row": i // len(sizes) + 1, "col": i % len(sizes) + 1}
        fig.add_vline(
            0, line={"color": COLOURS["source"], "width": 1.5, "dash": "dash"}, layer="below", **at
        )
        fig.add_hline(
            0, line={"color": COLOURS["target"], "width": 1.5, "dash": "dash"}, layer="below", **at
        )
        centres = []
        for method in methods:
            own = [
                row
                for row in points
                if (row["setting"], row["n"], row["method"]) == (setting, n, method)
            ]
            if own:
                centres.append(
                    tuple(spread(row[key] for row in own).mean for key in ("kept", "gained"))
                )
                fig.add_traces(
                    [seeds(method, own), mean(method, own, first=i == 0)],
                    rows=at["row"],
                    cols=at["col"],
                )
        if len(centres) > 1:
            fig.add_trace(best_line(centres, first=i == 0), **at)
    for axis, (side, words) in AXES.items():
        fig.update_layout(
            {
                key: {"title_text": f'<span style="color:{COLOURS[side]}">●</span> {words}'}
                for key in outer(max(1, len(settings)), max(1, len(sizes)), axis)
            }
        )
    fig.update_xaxes(
        tickformat="+.2f", gridcolor=COLOURS["grid"], zeroline=False, showticklabels=True
    )
    fig.update_yaxes(tickformat="+.2f", gridcolor=COLOURS["grid"], zeroline=False)
    fig.update_layout(
        showlegend=True,
        legend=LEGEND | {"y": 1.0 + 34 / (330 * max(1, len(settings)))},
        margin={"t": 110, "b": 60, "l": 70},
        meta={"alt": said(points, title)},
    )
    return fig


def same_start(method: str) -> bool:
    """Whether it tunes the checkpoint that all others tune."""
    return method not in RECIPES or not RECIPES[method].from_base


def outer(rows: int, columns: int, axis: str) -> list[str]:
    """The layout's names of the axes at the left or the bottom, which carry the titles."""
    numbers = (
        range(1, rows * columns + 1, columns)
        if axis == "y"
        else range((rows - 1) * columns + 1, rows * columns + 1)
    )
    return [f"{axis}axis{'' if number == 1 else number}" for number in numbers]


def undominated(centres: list[tuple[float, float]]) -> list[int]:
    """Which (kept, gained) no other one beats at one without losing at the other, by rising `kept`;
    of equal ones all.
    """

    def beaten(one):
        return any(other[0] >= one[0] and other[1] >= one[1] and other != one for other in centres)

    return sorted(
        (i for i, one in enumerate(centres) if not beaten(one)), key=lambda i: (centres[i], i)
    )


def best_line(centres: list[tuple[float, float]], first: bool = True) -> go.Scatter:
    """The frontier as steps: what lies below and left of it is beaten at both."""
    front = [centres[i] for i in undominated(centres)]
    return go.Scatter(
        x=[kept for kept, _ in front],
        y=[gained for _, gained in front],
        mode="lines",
        line={"color": COLOURS["reference"], "width": 1.5, "shape": "vh"},
        hoverinfo="skip",
        name="frontier",
        legendgroup="frontier",
        showlegend=first,
    )


def look(method: str, size: float, **more) -> dict:
    return {
        "symbol": SYMBOLS.get(method, "cross"),
        "size": size,
        "color": CHOSEN.get(method, COLOURS["control"]),
        **more,
    }


def seeds(method: str, own: list[dict]) -> go.Scatter:
    return go.Scatter(
        x=[row["kept"] for row in own],
        y=[row["gained"] for row in own],
        mode="markers",
        marker=look(method, 6, opacity=0.45),
        legendgroup=method,
        showlegend=False,
        text=[f"{hover_text(method)}, seed {row['seed']}" for row in own],
        hovertemplate="%{text}<br>source %{x:+.3f}, target %{y:+.3f}<extra></extra>",
    )


def mean(method: str, own: list[dict], first: bool) -> go.Scatter:
    kept, gained = (spread(row[key] for row in own) for key in ("kept", "gained"))
    return go.Scatter(
        x=[kept.mean],
        y=[gained.mean],
        mode="markers",
        name=hover_text(method.replace("_", " ")),
        legendgroup=method,
        showlegend=first,
        marker=look(method, 14, line={"width": 1.5, "color": COLOURS["ink"]}),
        error_x=bars(kept, method),
        error_y=bars(gained, method),
        text=[
            f"<b>{hover_text(method)}</b>, mean of {kept.count} seeds<br>source {words(kept)}"
            f"<br>target {words(gained)}"
        ],
        hovertemplate="%{text}<extra></extra>",
    )


def bars(one: Spread, method: str) -> dict:
    return {
        "type": "data",
        "symmetric": False,
        "array": [one.high - one.mean],
        "arrayminus": [one.mean - one.low],
        "thickness": 1.5,
        "width": 4,
        "color": CHOSEN.get(method, COLOURS["control"]),
    }


def words(one: Spread) -> str:
    return f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]".replace("-", "−")


def said(points: list[dict], title: str) -> str:
    """For screen readers: in each panel, who gained most and who kept most."""
    if not points:
        return f"{title or 'Frontier'}: no seed is finished on every target yet."
    parts = []
    for setting, n in dict.fromkeys((row["setting"], row["n"]) for row in points):
        own = [row for row in points if (row["setting"], row["n"]) == (setting, n)]
        table = {
            method: {
                key: spread(row[key] for row in own if row["method"] == method).mean
                for key in ("gained", "kept")
            }
            for method in dict.fromkeys(row["method"] for row in own)
        }
        best = {
            key: max(table, key=lambda method, key=key: table[method][key])
            for key in ("gained", "kept")
        }
        parts.append(
            f"{setting}, n={n}: {best['gained']} gained most on the target"
            f" ({table[best['gained']]['gained']:+.2f}), {best['kept']} kept most of the source"
            f" ({table[best['kept']]['kept']:+.2f})"
        )
    return f"{title or 'Frontier'}: {'; '.join(parts)}."
