"""Charts of a task's rows and a model's answers: label balance, lengths, confusion. Same contract
as `plots.py`.
"""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from ctsft.plots.style import COLOURS, LABEL_COLOURS, LEGEND, SEQUENTIAL, figure
from ctsft.utils.format import hover_text


def balance_bars(
    counts: Mapping[str, Mapping[str, int]], *, title: str = "Rows of each label"
) -> go.Figure:
    """{language: {label: rows}} as one bar a language, parted by label; the counts stand in the
    parts.
    """
    spoken = "; ".join(
        f"{language}: " + ", ".join(f"{label} {n}" for label, n in of.items())
        for language, of in counts.items()
    )
    fig = figure(title, f"{title}: {spoken}.", 150 + 32 * len(counts))
    labels = list(dict.fromkeys(label for of in counts.values() for label in of))
    for i, label in enumerate(labels):
        rows = [of.get(label, 0) for of in counts.values()]
        fig.add_trace(
            go.Bar(
                x=rows,
                y=[hover_text(language) for language in counts],
                orientation="h",
                name=hover_text(label),
                text=rows,
                textposition="inside",
                textangle=0,
                insidetextanchor="middle",
                textfont={"color": COLOURS["ink"]},
                marker={"color": LABEL_COLOURS[i % len(LABEL_COLOURS)]},
                hovertemplate="%{y}: %{x} rows<extra>%{fullData.name}</extra>",
            )
        )
    fig.update_xaxes(title_text="rows")
    fig.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    fig.update_layout(barmode="stack", showlegend=True, legend=LEGEND, margin_t=78)
    return fig


def length_lines(
    lengths: Mapping[str, list[int]],
    roles: Mapping[str, str],
    limit: int,
    *,
    title: str = "Length of the prompts",
) -> go.Figure:
    """{language: tokens of each prompt} as the share of rows by length; `roles` {language: "source"
    | "target" | "related"}; `limit`: where cut.
    """
    spoken = "; ".join(
        f"{language}: median {np.median(of):.0f}, longest {max(of)}"
        for language, of in lengths.items()
        if of
    )
    fig = figure(title, f"{title} in tokens: {spoken}; texts are cut at {limit}.", 150 + 32 * 3)
    longest = max((max(of) for of in lengths.values() if of), default=1)
    edges = np.linspace(0, longest + 1, min(longest + 2, 25))
    for i, (language, of) in enumerate(lengths.items()):
        if not of:
            continue
        share = np.histogram(of, edges)[0] / len(of)
        fig.add_trace(
            go.Scatter(
                x=((edges[:-1] + edges[1:]) / 2).tolist(),
                y=share.tolist(),
                mode="lines",
                name=hover_text(language),
                line_shape="hvh",
                line={
                    "color": COLOURS[roles.get(language, "related")],
                    "width": 2,
                    "dash": ["solid", "dot", "dash", "dashdot"][i % 4],
                },
                hovertemplate=(
                    "about %{x:.0f} tokens: %{y:.0%} of the rows<extra>%{fullData.name}</extra>"
                ),
            )
        )
    if longest >= limit:
        fig.add_vline(
            limit,
            line={"color": COLOURS["reference"], "width": 2},
            annotation_text=f"cut at {limit}",
        )
    fig.update_xaxes(title_text="tokens of the prompt", range=[0, longest + 1])
    fig.update_yaxes(title_text="share of rows", tickformat=".0%", rangemode="tozero")
    fig.update_layout(showlegend=True, legend=LEGEND, margin_t=78)
    return fig


def confusion_map(matrix: np.ndarray, labels: tuple[str, ...], *, title: str = "") -> go.Figure:
    """[right label, answered label] counts; the colour is the share of the row, the number the
    rows.
    """
    matrix = np.asarray(matrix, int)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    spoken = "; ".join(
        f"{label}: "
        + ", ".join(f"{n} answered {other}" for other, n in zip(labels, row, strict=True))
        for label, row in zip(labels, matrix, strict=True)
    )
    fig = figure(title, f"{title or 'Answers'}, by right label. {spoken}.", 150 + 40 * len(labels))
    names = [hover_text(label) for label in labels]
    places = list(range(len(labels)))
    fig.add_trace(
        go.Heatmap(
            z=share.tolist(),
            x=places,
            y=places,
            zmin=0,
            zmax=1,
            colorscale=SEQUENTIAL,
            xgap=2,
            ygap=2,
            customdata=matrix.tolist(),
            hoverongaps=False,
            text=[
                [
                    f"right: {names[i]}<br>answered: {names[j]}<br>{matrix[i, j]} rows,"
                    f" {share[i, j]:.0%} of {names[i]}"
                    for j in places
                ]
                for i in places
            ],
            hovertemplate="%{text}<extra></extra>",
            showscale=False,
        )
    )
    for i in places:
        for j in places:
            fig.add_annotation(
                x=j,
                y=i,
                text=str(matrix[i, j]),
                showarrow=False,
                font={"color": "white" if share[i, j] > 0.55 else COLOURS["ink"]},
            )
    shared = {"showgrid": False, "tickvals": places, "ticktext": names}
    fig.update_xaxes(title_text="answered", side="bottom", **shared)
    fig.update_yaxes(title_text="right label", autorange="reversed", automargin=True, **shared)
    return fig
