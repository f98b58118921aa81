"""Accuracies against the share of a change that is applied (`ctsft.tuning.shares`)."""

from collections.abc import Mapping

import plotly.graph_objects as go

from ctsft.plots.style import COLOURS, figure
from ctsft.utils.errors import UserError
from ctsft.utils.format import hover_text


def share_curves(shares: Mapping, source: str, target: str) -> go.Figure:
    """A curve for each language; colours show the source, the target and related languages.

    shares: what a run measured, {"split", "points": [{"share": 0 to 1, "accuracy": {language: 0 to
    1}}]} (`shares` in its result.json). UserError without a point.
    """
    points = (shares or {}).get("points")
    if not points:
        raise UserError(
            "There are no shares to draw; share_curves draws those that a finished tuning run"
            " measured on validation rows (`shares` in its result.json)."
        )
    parts = []
    fig = figure("", "", 260)
    for language in points[0]["accuracy"]:
        role = {source: "source", target: "target"}.get(language, "related")
        values = [point["accuracy"][language] for point in points]
        parts.append(f"{language} ({role}) {values[0]:.2f} at 0 to {values[-1]:.2f} at 1")
        fig.add_trace(
            go.Scatter(
                x=[point["share"] for point in points],
                y=values,
                mode="lines+markers",
                name=hover_text(language),
                line={"color": COLOURS[role], "width": 2},
                marker={"size": 7},
                cliponaxis=False,
                hovertemplate=("share %{x:.1f}: accuracy %{y:.3f}<extra>%{fullData.name}</extra>"),
            )
        )
    fig.update_xaxes(title_text="share of the change that is applied", range=[-0.02, 1.02])
    fig.update_yaxes(title_text=f"accuracy, {shares['split']} rows", tickformat=".2f")
    alt = f"Accuracy against the share of the change: {'; '.join(parts)}."
    return fig.update_layout(showlegend=True, meta={"alt": alt})
