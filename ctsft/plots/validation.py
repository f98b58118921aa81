"""A validation report as a table and a figure; no streamlit. See `ctsft.validation` for what its
numbers are.
"""

from collections.abc import Mapping

import plotly.graph_objects as go

from ctsft.attribution.methods import VARIANTS
from ctsft.plots.style import COLOURS, LEGEND, figure
from ctsft.utils.format import number

LOOKS = (
    ("#8b919c", "solid"),
    ("#9a6cc4", "solid"),
    ("#9a6cc4", "dash"),
    ("#2f9e93", "solid"),
    ("#2f9e93", "dot"),
    ("#c2703d", "solid"),
    # told apart on light and dark pages; symbols differ too
    ("#4f8fd6", "solid"),
    ("#4f8fd6", "dash"),
)

SYMBOLS = (
    "diamond",
    "circle",
    "circle-open",
    "square",
    "square-open",
    "triangle-up",
    "cross",
    "cross-open",
)


def label(name: str) -> str:
    """A ranking's name for readers; reports of other versions may hold unknown ones."""
    return VARIANTS[name].label if name in VARIANTS else name


def agreement_rows(report: Mapping) -> list[dict]:
    """One row a method: rank correlation and top heads in common with mean ablation, and what it
    costs.
    """
    rows = []
    for name, found in report["agreement"].items():
        tops = {
            f"top {top['k']} in common": f"{top['common']} of {top['k']}"
            for top in found["overlap"]
        }
        rows.append(
            {
                "method": label(name),
                "Spearman": found["spearman"],
                **tops,
                "forward passes": round(found["passes"], 1),
                "seconds": round(found["seconds"], 2),
            }
        )
    return rows


def stability_rows(report: Mapping) -> list[dict]:
    return [
        {
            "method": label(name),
            f"top {row['k']} in common (Jaccard)": row["jaccard"],
            "pairs with the same first head": row["top1"],
            "pools": row["pools"],
        }
        for name, row in report["stability"].items()
    ]


def ranking_curves(report: Mapping, measure: str = "margin") -> go.Figure:
    """What each ranking's first heads keep of the task, over the 5th to 95th percentile of random
    circuits.
    """
    bands = [row for row in report["random"] if row[measure]["mean"] is not None]
    methods = list(dict.fromkeys(row["method"] for row in report["curves"]))
    best = {
        name: next((row[measure] for row in report["curves"] if row["method"] == name), None)
        for name in methods
    }
    spoken = ", ".join(
        f"{label(name)} {number(value)}" for name, value in best.items() if value is not None
    )
    size = min((row["size"] for row in report["curves"]), default=0)
    fig = figure(
        "",
        f"Faithfulness by {measure} of each ranking's first heads, 1 = full model; with {size}"
        f" heads: {spoken}.",
        420,
    )
    if bands:
        sizes = [row["size"] for row in bands]
        fig.add_trace(
            go.Scatter(
                x=sizes + sizes[::-1],
                y=[row[measure]["high"] for row in bands]
                + [row[measure]["low"] for row in bands][::-1],
                fill="toself",
                fillcolor="rgba(139,145,156,0.25)",
                mode="lines",
                line={"width": 0},
                hoverinfo="skip",
                name=f"{bands[0]['n']} random circuits, 5th to 95th percentile",
            )
        )
    for name, (colour, dash), symbol in zip(methods, LOOKS, SYMBOLS, strict=False):
        points = [row for row in report["curves"] if row["method"] == name]
        fig.add_trace(
            go.Scatter(
                x=[row["size"] for row in points],
                y=[row[measure] for row in points],
                mode="lines+markers",
                name=label(name),
                line={"color": colour, "dash": dash},
                marker={"symbol": symbol, "size": 8},
                hovertemplate="%{x} heads: %{y:.2f}<extra>%{fullData.name}</extra>",
            )
        )
    for level in (0, 1):
        fig.add_hline(level, line={"color": COLOURS["reference"], "width": 1}, layer="below")
    fig.update_xaxes(title_text="heads kept")
    fig.update_yaxes(title_text=f"faithfulness ({measure})")
    fig.update_layout(
        showlegend=True, legend=LEGEND | {"y": 1.0, "yanchor": "bottom"}, margin_t=120
    )
    return fig
