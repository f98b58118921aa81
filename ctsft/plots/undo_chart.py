"""What undoing heads one by one does to both accuracies (`ctsft.jobs.undo`)."""

from collections.abc import Mapping

import plotly.graph_objects as go

from ctsft.plots.style import COLOURS, figure
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name, hover_text

# path -> its name in the legend, and how its lines are drawn
PATHS = {"cheapest": ("cheapest first", "solid"), "random": ("random order", "dot")}


def undo_paths(undone: Mapping) -> go.Figure:
    """Accuracy on the source and on the target against the number of undone heads: cheapest first,
    and in random order. Dashed: before tuning. A vertical line: the chosen point.

    `undone`: the result.json of an undoing that looked for the cheapest heads. UserError for
    another.
    """
    paths = (undone or {}).get("paths", {})
    if "cheapest" not in paths:
        raise UserError(
            "There are no paths to draw; undo_paths draws those of an undoing that looked for the"
            " cheapest heads (`ctsft undo RUN` without --heads)."
        )
    fig = figure("", "", 300)
    parts = []
    for side in ("source", "target"):
        language, colour = undone[side], COLOURS[side]
        for path, (name, dash) in PATHS.items():
            points = paths[path]
            values = [point["accuracy"][language] for point in points]
            heads = [point["head"] and head_name(tuple(point["head"])) for point in points]
            fig.add_trace(
                go.Scatter(
                    x=[point["heads"] for point in points],
                    y=values,
                    mode="lines+markers",
                    name=f"{hover_text(language)}, {name}",
                    line={"color": colour, "width": 2, "dash": dash},
                    marker={"size": 6 if path == "cheapest" else 4},
                    customdata=[head or "none" for head in heads],
                    hovertemplate=(
                        "%{x} heads undone, last %{customdata}: accuracy %{y:.3f}"
                        "<extra>%{fullData.name}</extra>"
                    ),
                )
            )
            parts.append(f"{language} ({side}), {name}: {values[0]:.2f} to {values[-1]:.2f}")
        fig.add_hline(
            undone["before"][language], line={"color": colour, "width": 1.5, "dash": "dash"}
        )
    count = len(undone["heads"])
    fig.add_vline(count, line={"color": COLOURS["reference"], "width": 1.5})
    fig.update_xaxes(title_text="heads with their old weights", rangemode="tozero")
    fig.update_yaxes(title_text=f"accuracy, {undone['split']} rows", tickformat=".2f")
    alt = f"Accuracy against the number of undone heads: {'; '.join(parts)}. Chosen: {count} heads."
    return fig.update_layout(showlegend=True, meta={"alt": alt})
