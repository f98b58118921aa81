"""Colours, fonts and the description for screen readers that all figures share."""

from collections.abc import Iterable

import plotly.graph_objects as go

from ctsft.utils.format import hover_text

# one meaning each; distinct on white and on dark pages, with any colour vision
COLOURS = {
    "source": "#3b82d0",
    "target": "#e0751f",
    "related": "#7d9a88",
    # what relevance picked: the hue of the diverging scale's positive pole
    "circuit": "#9a6cc4",
    "control": "#8b919c",  # everything the circuit is compared with
    "grid": "rgba(128,134,146,0.22)",
    "reference": "rgba(128,134,146,0.95)",
    "shade": "rgba(128,134,146,0.13)",
    "band": "rgba(139,145,156,0.25)",  # random circuits
    "ink": "#14161c",
    "halo": "#ffffff",
    "empty": "#e9e8ec",  # zero on every map
}

# what a run trains; anything else has the colour of controls
METHOD_COLOURS = {
    "circuit": COLOURS["circuit"],
    "circuit_held": COLOURS["circuit"],
    "advised": "#1d9a8a",
    "full_held": "#1d9a8a",
    "full": "#cf4a55",
    "near_zero": "#a8921f",
    "random": COLOURS["control"],
    "norms": "#6f9a4a",
    "least": "#a8766c",
    "lora": "#cc5f98",
    "ssu": "#5f9aa8",
    "fggm": "#8488b5",
}
# what is trained in another way, or under another name, has the colour of what it trains
SAME_COLOUR = {
    "edited": "circuit",
    "near_zero_held": "near_zero",
    "lora_circuit": "lora",
    "replay": "full",
}


def method_colour(method: str) -> str:
    return METHOD_COLOURS.get(SAME_COLOUR.get(method, method), COLOURS["control"])


# the task's labels, in task order
LABEL_COLOURS = ["#cc5f98", "#a8921f", "#8488b5", "#a8766c", "#5f9aa8", "#b58ad0"]

DIVERGING = [
    [0, "#00483f"],
    [0.25, "#3f9687"],
    [0.5, COLOURS["empty"]],
    [0.75, "#a274bd"],
    [1, "#4b1266"],
]

SEQUENTIAL = [[0, COLOURS["empty"]], [0.5, "#8d92b8"], [1, "#343a6e"]]

LEGEND = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
    "bgcolor": "rgba(0,0,0,0)",
    "traceorder": "normal",
}


def sign_colours(values: Iterable[float]) -> list[str]:
    """A colour by each value's sign, from the middle of the diverging scale's arms: it reads on a
    light and on a dark page.
    """
    return [DIVERGING[3 if value >= 0 else 1][1] for value in values]


def alt(fig: go.Figure) -> str:
    return fig.layout.meta["alt"]


def figure(title: str, alt_text: str, height: float) -> go.Figure:
    """An empty figure in the house style: no background and no font of its own, so that both
    Streamlit themes show through.
    """
    axis = {"gridcolor": COLOURS["grid"], "zeroline": False, "showline": False}
    return go.Figure(
        layout={
            "title": {
                "text": hover_text(title, 200),
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "top",
                "yref": "container",
                "pad": {"t": 10},
            },
            "height": height,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "hovermode": "closest",
            "dragmode": "pan",
            "margin": {"l": 64, "r": 16, "t": 44 if title else 12, "b": 52},
            "xaxis": axis,
            "yaxis": axis,
            "showlegend": False,
            "meta": {"alt": alt_text},
            "uirevision": title or "same",
            "bargap": 0.25,
        }
    )
