"""Charts of a task's rows and a model's answers: label balance, lengths, confusion."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from ctsft.plots.style import COLOURS, LABEL_COLOURS, LEGEND, SEQUENTIAL, figure
from ctsft.utils.format import hover_text

WHITE_FROM = 0.55  # share of a row from which its number is white


def balance_bars(
    counts: Mapping[str, Mapping[str, int]], *, title: str = "Rows of each label"
) -> go.Figure:
    """{language: {label: rows}} as one bar a language, divided by label; the counts stand in
    the parts.
    """
    listed = "; ".join(
        f"{language}: " + ", ".join(f"{label} {n}" for label, n in by_label.items())
        for language, by_label in counts.items()
    )
    fig = figure(title, f"{title}: {listed}.", 150 + 32 * len(counts))
    labels = list(dict.fromkeys(label for by_label in counts.values() for label in by_label))
    for i, label in enumerate(labels):
        rows = [by_label.get(label, 0) for by_label in counts.values()]
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
    | "target" | "related"}; `limit`: the length at which they are cut.
    """
    listed = "; ".join(
        f"{language}: median {np.median(tokens):.0f}, longest {max(tokens)}"
        for language, tokens in lengths.items()
        if tokens
    )
    fig = figure(title, f"{title} in tokens: {listed}; texts are cut at {limit}.", 150 + 32 * 3)
    longest = max((max(tokens) for tokens in lengths.values() if tokens), default=1)
    edges = np.linspace(0, longest + 1, min(longest + 2, 25))
    for i, (language, tokens) in enumerate(lengths.items()):
        if not tokens:
            continue
        share = np.histogram(tokens, edges)[0] / len(tokens)
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
    """Counts, [correct label, answered label]; the colour is the share of the row, the number the
    count.
    """
    matrix = np.asarray(matrix, int)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    listed = "; ".join(
        f"{label}: "
        + ", ".join(f"{n} answered {other}" for other, n in zip(labels, row, strict=True))
        for label, row in zip(labels, matrix, strict=True)
    )
    fig = figure(
        title, f"{title or 'Answers'}, by correct label. {listed}.", 150 + 40 * len(labels)
    )
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
                    f"correct: {names[i]}<br>answered: {names[j]}<br>{matrix[i, j]} rows,"
                    f" {share[i, j]:.0%} of {names[i]}"
                    for j in places
                ]
                for i in places
            ],
            hovertemplate="%{text}<extra></extra>",
            showscale=False,
        )
    )
    # all at once: one by one, each of them makes plotly check the others again
    fig.layout.annotations = [
        {
            "x": j,
            "y": i,
            "text": str(matrix[i, j]),
            "showarrow": False,
            "font": {"color": "white" if share[i, j] > WHITE_FROM else COLOURS["ink"]},
        }
        for i in places
        for j in places
    ]
    shared = {"showgrid": False, "tickvals": places, "ticktext": names}
    fig.update_xaxes(title_text="answered", side="bottom", **shared)
    fig.update_yaxes(title_text="correct label", autorange="reversed", automargin=True, **shared)
    return fig
