"""What head maps depend on, as one figure: shares of variance above, overlap of circuits below.
`ctsft.circuit.variance_shares` defines the numbers.
"""

from collections.abc import Mapping

import plotly.graph_objects as go

from ctsft.circuit.template_effects import TemplateEffects
from ctsft.circuit.template_report import NAMES
from ctsft.plots.inputs import require
from ctsft.plots.style import COLOURS, figure
from ctsft.utils.errors import UserError

HEIGHT = 430  # pixels
UPPER, LOWER = [0.53, 1.0], [0.0, 0.31]  # of the height


def template_chart(report: TemplateEffects | Mapping) -> go.Figure:
    """Shares of the variance of head scores, and how far circuits agree beyond chance, with their
    intervals.

    `report`: of `ctsft.compare_templates`, or `templates` in the result of `ctsft validate
    --templates`. UserError for another input, or one without shares.
    """
    require(
        "template_chart",
        report,
        (TemplateEffects, Mapping),
        "the report of ctsft.compare_templates",
    )
    content = report.as_json() if isinstance(report, TemplateEffects) else report
    if not content.get("shares"):
        raise UserError(
            "This report has no shares of variance; take that of ctsft.compare_templates."
        )
    shares = {
        NAMES.get(name, name): (of["value"], of["low"], of["high"])
        for name, of in content["shares"].items()
        if of["value"] is not None
    }
    overlap = {
        f"other {NAMES.get(name, name)}": (of["above"], of["low"], of["high"])
        for name, of in content["overlap"].items()
    }
    fig = figure("", alt_text(shares, overlap), HEIGHT)
    fig.add_trace(bars(shares, COLOURS["circuit"], ".1%", "x", "y"))
    fig.add_trace(bars(overlap, COLOURS["related"], ".2f", "x2", "y2"))
    axis = {"gridcolor": COLOURS["grid"], "zerolinecolor": COLOURS["reference"], "zeroline": True}
    names = {"autorange": "reversed", "automargin": True, "gridcolor": COLOURS["grid"]}
    fig.update_layout(
        xaxis={**axis, "title": "share of the variance of head scores", "tickformat": ".0%"},
        yaxis={**names, "domain": UPPER},
        xaxis2={
            **axis,
            "title": f"overlap of the first {content['k']} heads (Jaccard) minus chance",
            "anchor": "y2",
        },
        yaxis2={**names, "domain": LOWER, "anchor": "x2"},
    )
    return fig


def bars(values: Mapping[str, tuple], colour: str, shown: str, xaxis: str, yaxis: str) -> go.Bar:
    """A bar for each value, with its interval where there is one."""
    ends = [
        (high - value, value - low) if None not in (low, high) else (0, 0)
        for value, low, high in values.values()
    ]
    return go.Bar(
        x=[value for value, _, _ in values.values()],
        y=list(values),
        orientation="h",
        marker={"color": colour},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [up for up, _ in ends],
            "arrayminus": [down for _, down in ends],
            "color": COLOURS["reference"],
            "thickness": 1.5,
        },
        xaxis=xaxis,
        yaxis=yaxis,
        hovertemplate=f"%{{y}}: %{{x:{shown}}}<extra></extra>",
    )


def alt_text(shares: Mapping[str, tuple], overlap: Mapping[str, tuple]) -> str:
    first = ", ".join(f"{name} {value:.0%}" for name, (value, _, _) in shares.items())
    second = ", ".join(f"{name} {value:.2f}" for name, (value, _, _) in overlap.items())
    return (
        f"Shares of the variance of head scores: {first}. Overlap of circuits minus chance:"
        f" {second}."
    )
