"""Charts of one head on one text: which tokens it reads, what it writes, which tokens its score
comes from.

Tokens stand in the order in which the model reads them. Each one is escaped and put between
direction isolates, so that right-to-left text keeps its own order inside its cell and never turns
the axis around.
"""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ctsft.plots.style import COLOURS, LABEL_COLOURS, SEQUENTIAL, figure, sign_colours
from ctsft.utils.format import hover_text, number
from ctsft.utils.right_to_left import add_isolates

VISIBLE = {"\n": "⏎", "\t": "⇥", " ": "␣", "": "∅"}
MAX_LABEL = 22  # characters of a token's label


def label(piece: str) -> str:
    """A token as a tick's text: visible whatever it is, escaped, isolated, cut."""
    text = piece.strip(" ") or piece[:1]
    text = VISIBLE.get(text) or "".join(
        char if char.isprintable() else VISIBLE.get(char, f"U+{ord(char):04X}") for char in text
    )
    return add_isolates(
        hover_text(text[:MAX_LABEL] + ("…" if len(text) > MAX_LABEL else ""), MAX_LABEL + 2, 1)
    )


def attention_map(
    pattern: np.ndarray, pieces: list[str], readout: int, *, title: str = ""
) -> go.Figure:
    """[query pos, key pos] weights of one head: a row shows which tokens its token attends to; the
    readout's row is framed.
    """
    pattern = np.asarray(pattern, float)
    n, most = len(pieces), int(np.argmax(pattern[readout]))
    text = (
        f"{title or 'Attention pattern'}: {n} tokens; the readout, token {readout + 1}, attends"
        f" most to token {most + 1}, {pieces[most].strip()!r}, with weight"
        f" {number(pattern[readout, most])}."
    )
    size = float(np.clip(560 / n, 6, 26))
    fig = figure(title, text, size * n + 150)
    names, places = [label(piece) for piece in pieces], list(range(n))
    hover = [
        [
            f"{names[q]} (token {q + 1}) attends to {names[k]} (token {k + 1})<br>weight"
            f" {pattern[q, k]:.3f}"
            for k in places
        ]
        for q in places
    ]
    fig.add_trace(
        go.Heatmap(
            z=pattern.tolist(),
            x=places,
            y=places,
            zmin=0,
            zmax=float(max(np.nanmax(pattern), 1e-9)),
            colorscale=SEQUENTIAL,
            text=hover,
            hovertemplate="%{text}<extra></extra>",
            xgap=size > 12,
            ygap=size > 12,
            colorbar={
                "title": {
                    "text": "attention weight<br>(rows sum to 1)",
                    "side": "right",
                    "font": {"size": 11},
                },
                "thickness": 12,
                "outlinewidth": 0,
            },
        )
    )
    fig.add_shape(
        type="rect",
        x0=-0.5,
        x1=n - 0.5,
        y0=readout - 0.5,
        y1=readout + 0.5,
        line={"color": COLOURS["target"], "width": 2},
        name="readout",
    )
    step = next(step for step, smallest in ((1, 11), (2, 7), (4, 0)) if size >= smallest)
    ticks = {
        "tickvals": places[::step],
        "ticktext": names[::step],
        "showgrid": False,
        "tickfont": {"size": 11 if size >= 13 else 9},
    }
    fig.update_xaxes(
        title_text="attends to (key)",
        range=[-0.5, n - 0.5],
        tickangle=-60,
        automargin=True,
        **ticks,
    )
    fig.update_yaxes(title_text="token (query)", range=[n - 0.5, -0.5], automargin=True, **ticks)
    return fig


def token_bars(
    pieces: list[str], relevance: np.ndarray, attention: np.ndarray, unit: str, *, title: str = ""
) -> go.Figure:
    """A row a token: the head's score when it is split at this token only, and how much the
    readout attends to it.
    """
    relevance = np.asarray(relevance, float)
    attention = np.asarray(attention, float)
    n = len(pieces)
    first = int(np.argmax(np.abs(relevance)))
    text = (
        f"{title or 'By token'}: {n} tokens; largest {unit} at token {first + 1},"
        f" {pieces[first].strip()!r}, {number(relevance[first])}; the parts sum to"
        f" {number(relevance.sum())}."
    )
    base = figure(title, text, 132 + max(15, min(22, 900 / n)) * n)
    fig = make_subplots(
        rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05, column_widths=[0.62, 0.38]
    )
    fig.update_layout(base.layout, margin_b=68)
    places, names = list(range(n)), [label(piece) for piece in pieces]
    fig.add_trace(
        go.Bar(
            x=relevance.tolist(),
            y=places,
            orientation="h",
            name="relevance",
            marker={
                "color": sign_colours(relevance.tolist()),
                "line": {"color": COLOURS["grid"], "width": 1},
            },
            text=[
                f"{name}, token {i + 1}: {number(value)}"
                for i, (name, value) in enumerate(zip(names, relevance, strict=True))
            ],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        ),
        1,
        1,
    )
    fig.add_trace(
        go.Bar(
            x=attention.tolist(),
            y=places,
            orientation="h",
            name="attention",
            marker={"color": COLOURS["control"]},
            text=[
                f"{name}, token {i + 1}: {value:.3f}"
                for i, (name, value) in enumerate(zip(names, attention, strict=True))
            ],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        ),
        1,
        2,
    )
    shared = {"gridcolor": COLOURS["grid"], "zeroline": True, "zerolinecolor": COLOURS["reference"]}
    fig.update_xaxes(title_text=f"{unit},<br>split at this token only", row=1, col=1, **shared)
    fig.update_xaxes(
        title_text="attention<br>from the readout", rangemode="tozero", row=1, col=2, **shared
    )
    fig.update_yaxes(range=[n - 0.5, -0.5], tickvals=places, showgrid=False, automargin=True)
    fig.update_yaxes(ticktext=names, row=1, col=1)
    return fig


def label_effects(effects: Mapping[str, float], gold: str, *, title: str = "") -> go.Figure:
    """Direct logit effect on each label's token, the correct one marked."""
    listed = ", ".join(f"{name} {number(value)}" for name, value in effects.items())
    fig = figure(
        title,
        f"{title or 'Direct effect on the labels'}, in logits: {listed}; {gold} is correct.",
        100 + 30 * len(effects),
    )
    fig.add_trace(
        go.Bar(
            x=list(effects.values()),
            y=[label(name) + (" ✓" if name == gold else "") for name in effects],
            orientation="h",
            marker={
                "color": [LABEL_COLOURS[i % len(LABEL_COLOURS)] for i, _ in enumerate(effects)]
            },
            hovertemplate="%{y}: %{x:.3g} logits<extra></extra>",
        )
    )
    fig.add_vline(0, line={"color": COLOURS["reference"], "width": 1})
    fig.update_xaxes(title_text="direct effect (logits)")
    fig.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    return fig


def word_effects(
    promoted: list[tuple[str, float]], suppressed: list[tuple[str, float]], *, title: str = ""
) -> go.Figure:
    """The tokens of the vocabulary that a head's output raises most, then those it lowers most."""
    rows = [*promoted, *suppressed[::-1]]
    best, worst = promoted[0], suppressed[0]
    ends = (
        f"raises {best[0].strip()!r} most, by {number(best[1])}; lowers {worst[0].strip()!r} most,"
        f" by {number(worst[1])}"
    )
    fig = figure(
        title,
        f"{title or 'Direct effect on the vocabulary'}, in logits: {ends}.",
        110 + 19 * len(rows),
    )
    values, places = [value for _, value in rows], list(range(len(rows)))
    fig.add_trace(
        go.Bar(
            x=values,
            y=places,
            orientation="h",
            marker={"color": sign_colours(values)},
            text=[f"{label(text)}: {number(value)} logits" for text, value in rows],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    )
    fig.add_hline(
        len(promoted) - 0.5, line={"color": COLOURS["reference"], "width": 1, "dash": "dot"}
    )
    fig.add_vline(0, line={"color": COLOURS["reference"], "width": 1})
    fig.update_xaxes(title_text="direct effect (logits)")
    fig.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        tickvals=places,
        ticktext=[label(text) for text, _ in rows],
        showgrid=False,
        automargin=True,
        title_text="",
    )
    return fig
