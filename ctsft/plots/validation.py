"""A validation report as tables and a figure. `ctsft.circuit.validation` defines its numbers."""

from collections.abc import Mapping

import plotly.graph_objects as go

from ctsft.attribution.variants import VARIANTS
from ctsft.circuit.validation import MEASURES, Validation
from ctsft.circuit.validation_report import area_texts
from ctsft.plots.inputs import require
from ctsft.plots.style import COLOURS, LEGEND, figure
from ctsft.plots.traces import filled_band
from ctsft.utils.errors import UserError
from ctsft.utils.format import number

# colour, line style and symbol of each ranking, distinct on light and dark pages
LOOKS = (
    ("#8b919c", "solid", "diamond"),
    ("#9a6cc4", "solid", "circle"),
    ("#9a6cc4", "dash", "circle-open"),
    ("#2f9e93", "solid", "square"),
    ("#2f9e93", "dot", "square-open"),
    ("#c2703d", "solid", "triangle-up"),
    ("#4f8fd6", "solid", "cross"),
    ("#4f8fd6", "dash", "cross-open"),
)


def validation_chart(validation: Validation | Mapping, measure: str = "margin") -> go.Figure:
    """Faithfulness of each ranking's first heads (0 = no head, 1 = full model) against circuit
    size, over the 5th to 95th percentile of random circuits of the same size.

    `validation`: the report of `ctsft.validate` (each step yields one), or the result of such a
    run. `measure`: "accuracy" or "margin". UserError for another input or measure, or a report
    without faithfulness.
    """
    require("validation_chart", validation, (Validation, Mapping), "the report of ctsft.validate")
    if measure not in MEASURES:
        raise UserError(
            f"{measure!r} is not a measure of faithfulness; choose from {', '.join(MEASURES)}."
        )
    report = validation.as_json() if isinstance(validation, Validation) else validation
    if not report.get("curves"):
        raise UserError(
            "This report has no faithfulness of rankings yet; take a later one of ctsft.validate."
        )
    return ranking_curves(report, measure)


def ranking_label(name: str) -> str:
    """A ranking's name for readers; reports of other versions may have unknown ones."""
    return VARIANTS[name].label if name in VARIANTS else name


def agreement_rows(report: Mapping) -> list[dict]:
    """One row a method: rank correlation with mean ablation, CPR and CMD with their intervals, top
    heads in common with mean ablation, and what it costs.
    """
    rows = []
    for name, agreement in report["agreement"].items():
        common = {
            f"top {top['k']} in common": f"{top['common']} of {top['k']}"
            for top in agreement["overlap"]
        }
        areas = {
            title: text.replace(" to ", "–")  # "0.92 (0.90–0.95)", "undefined"
            for title, text in area_texts(report, name).items()
        }
        rows.append(
            {
                "method": ranking_label(name),
                "Spearman": agreement["spearman"],
                **areas,
                **common,
                "forward passes": round(agreement["passes"], 1),
                "seconds": round(agreement["seconds"], 2),
            }
        )
    return rows


def stability_rows(report: Mapping) -> list[dict]:
    """One row a method: how similar the top heads of different discovery sets are."""
    return [
        {
            "method": ranking_label(name),
            f"top {row['k']} in common (Jaccard)": row["jaccard"],
            "pairs with the same first head": row["top1"],
            "pools": row["pools"],
        }
        for name, row in report["stability"].items()
    ]


# the names of nine curves would stand below each other in half of a small window
IN_TWO_COLUMNS = {
    "y": 1.0,
    "yanchor": "bottom",
    "entrywidth": 0.5,
    "entrywidthmode": "fraction",
}


def ranking_curves(report: Mapping, measure: str = "margin") -> go.Figure:
    """Faithfulness of each ranking's first heads, over the 5th to 95th percentile of random
    circuits.
    """
    curves: dict[str, list[Mapping]] = {}
    for row in report["curves"]:
        curves.setdefault(row["method"], []).append(row)
    fig = figure("", _curves_alt(curves, measure), 420)
    bands = [row for row in report["random"] if row[measure]["mean"] is not None]
    if bands:
        sizes = [row["size"] for row in bands]
        low, high = ([row[measure][end] for row in bands] for end in ("low", "high"))
        name = f"{bands[0]['n']} random circuits, 5–95 %"
        fig.add_trace(filled_band(sizes, low, high, name))
    for (name, rows), (colour, dash, symbol) in zip(curves.items(), LOOKS, strict=False):
        fig.add_trace(
            go.Scatter(
                x=[row["size"] for row in rows],
                y=[row[measure] for row in rows],
                mode="lines+markers",
                name=ranking_label(name),
                line={"color": colour, "dash": dash},
                marker={"symbol": symbol, "size": 8},
                hovertemplate="%{x} heads: %{y:.2f}<extra>%{fullData.name}</extra>",
            )
        )
    for level in (0, 1):
        fig.add_hline(level, line={"color": COLOURS["reference"], "width": 1}, layer="below")
    fig.update_xaxes(title_text="heads in the circuit")
    fig.update_yaxes(title_text=f"faithfulness ({measure})")
    return fig.update_layout(showlegend=True, legend=LEGEND | IN_TWO_COLUMNS, margin_t=120)


def _curves_alt(curves: Mapping[str, list[Mapping]], measure: str) -> str:
    smallest = min((row["size"] for rows in curves.values() for row in rows), default=0)
    first = ", ".join(
        f"{ranking_label(name)} {number(rows[0][measure])}"
        for name, rows in curves.items()
        if rows[0][measure] is not None
    )
    return (
        f"Faithfulness by {measure} of each ranking's first heads, 1 = full model; with"
        f" {smallest} heads: {first}."
    )
