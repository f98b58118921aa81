"""Advice on which heads should move as figures and sentences; no streamlit. Same contract as
`plots.py`.

Three maps: what the target asks of a head (gradient norm of its loss), what the source would lose
(root of the Fisher information, which is the root mean square of its gradient norms, so both have
one unit), and the gain that both foresee at the same source loss.
"""

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.circuit.advice_ranking import Ranking
from ctsft.circuit.circuit import Circuit
from ctsft.plots import score_maps
from ctsft.plots.experiment_frontier import CHOSEN
from ctsft.plots.head_grid import Scale, head_grid, symmetric_limit
from ctsft.plots.style import COLOURS, LEGEND, figure
from ctsft.utils.format import head_name, hover_text, number
from ctsft.utils.statistics import spearman

MAPS = {"worth": "Worth moving", "asks": "Target asks", "costs": "Source would lose"}
UNITS = {"worth": "gain at equal loss", "asks": "gradient norm", "costs": "√ Fisher information"}
DARK = 0.55  # share of a scale from which a number on a cell is white
ADVISED = CHOSEN["advised"]


def values(kept: Ranking, what: str) -> np.ndarray:
    """One of `MAPS`, [layer, head]; "worth" in units of the best head's foreseen gain."""
    if what == "asks":
        return kept.table("gradient").numpy()
    if what == "costs":
        return kept.table("fisher").sqrt().numpy()
    gain = kept.table("value").sqrt()
    return (gain / gain.max().clamp_min(1e-300)).numpy()


def advice_map(
    kept: Ranking, what: str, circuit: Circuit, k: int, selected: Head | None, flip: bool
) -> go.Figure:
    """The head map of one quantity; the numbers on the first k heads are their places in the
    advice.
    """
    shown = values(kept, what)
    limit = symmetric_limit(shown)
    fig = head_grid(
        shown,
        score_maps.circuit_marks(circuit, selected),
        title=MAPS[what],
        scale=Scale(UNITS[what], sequential=True),
        flip=flip,
        hover=hover(kept, circuit),
    )
    for place, (layer, head) in enumerate(kept.order[:k], 1):
        fig.add_annotation(
            x=head,
            y=layer,
            text=f"<b>{place}</b>",
            showarrow=False,
            name="place",
            font={
                "size": 11,
                "color": "white" if shown[layer, head] > DARK * limit else COLOURS["ink"],
            },
        )
    key = next(note for note in fig.layout.annotations if note.name == "key")
    key.text = "\u2003".join(
        filter(None, [key.text, f"1 to {k}: advised, in this order" if k else ""])
    )
    fig.layout.meta["alt"] = fig.layout.meta["alt"] + (
        f" Advised, in order: {', '.join(map(head_name, kept.order[:k]))}." if k else ""
    )
    return fig


def hover(kept: Ranking, circuit: Circuit) -> list[list[str]]:
    """[layer][head] -> place in the advice, the three quantities, in or out of the circuit."""
    worth = values(kept, "worth")
    texts = {
        (row["layer"], row["head"]): "<br>".join(
            [
                (
                    f"<b>{head_name((row['layer'], row['head']))}</b>  place {row['rank']} of"
                    f" {len(kept.rows)} in the advice"
                ),
                (
                    f"gain at equal source loss: {worth[row['layer'], row['head']]:.2f} of the best"
                    " head's"
                ),
                f"target asks: {number(row['gradient'])} (gradient norm)",
                f"source would lose: {number(row['fisher'] ** 0.5)} (√ Fisher information)",
                hover_text(score_maps.membership_reason(circuit, (row["layer"], row["head"]))),
            ]
        )
        for row in kept.rows
    }
    layers, heads = kept.shape
    return [[texts[layer, head] for head in range(heads)] for layer in range(layers)]


def advice_scatter(
    kept: Ranking, circuit: Circuit, k: int, selected: Head | None, roles: tuple[str, str]
) -> go.Figure:
    """A point a head, both ways logarithmic; the circuit by a ring, advised heads by shape and
    colour. `roles`: names of source and target.
    """
    asks, costs, advised = values(kept, "asks"), values(kept, "costs"), set(kept.order[:k])
    source, target = roles
    both = advised & circuit.heads
    kinds = (
        ("others", set(kept.order) - advised - circuit.heads, "circle", COLOURS["control"], None),
        ("circuit", circuit.heads - advised, "circle-open", COLOURS["circuit"], COLOURS["circuit"]),
        ("advised", advised - both, "hexagon", ADVISED, None),
        ("both", both, "hexagon", ADVISED, COLOURS["circuit"]),
    )
    spoken = ", ".join(
        f"{label}: {' '.join(map(head_name, sorted(heads)))}"
        for label, heads, *_ in kinds[1:]
        if heads
    )
    fig = figure(
        "",
        f"What {target} asks of each head against what {source} would lose, {len(kept.rows)} heads."
        f" {spoken}.",
        420,
    )
    texts = hover(kept, circuit)
    for label, heads, symbol, colour, ring in kinds:
        at = sorted(heads)
        fig.add_trace(
            go.Scatter(
                x=[float(costs[head]) for head in at],
                y=[float(asks[head]) for head in at],
                customdata=[list(head) for head in at],
                name=label,
                mode="markers",
                text=[texts[layer][head] for layer, head in at],
                hovertemplate="%{text}<extra></extra>",
                marker={
                    "symbol": symbol,
                    "size": 9 if symbol == "circle" else 14,
                    "color": colour,
                    "opacity": 0.85,
                    "line": {"width": 3 if ring else 0, "color": ring or colour},
                },
            )
        )
    if selected and np.isfinite(asks[selected]):
        fig.add_trace(
            go.Scatter(
                x=[float(costs[selected])],
                y=[float(asks[selected])],
                mode="markers",
                hoverinfo="skip",
                name="selected",
                showlegend=False,
                marker={
                    "symbol": "circle-open",
                    "size": 20,
                    "color": COLOURS["target"],
                    "line": {"width": 3},
                },
            )
        )
    kind = "log" if min(asks.min(), costs.min()) > 0 else "linear"
    fig.update_xaxes(
        title_text=f"{hover_text(source)} would lose (√ Fisher information)", type=kind
    )
    fig.update_yaxes(title_text=f"{hover_text(target)} asks (gradient norm)", type=kind)
    return fig.update_layout(showlegend=True, legend=LEGEND, margin_t=70)


def sentences(
    kept: Ranking, relevance: np.ndarray, circuit: Circuit, k: int, roles: tuple[str, str]
) -> tuple[str, str]:
    """What it shows, and what to do next. Names of `roles` are used as they are given."""
    source, target = roles
    advised = kept.order[:k]
    inside = [head for head in advised if head in circuit]
    rho = spearman(values(kept, "worth"), relevance)
    shared = (
        "none of them is"
        if not inside
        else (
            "all of them are"
            if len(inside) == k
            else f"{', '.join(map(head_name, inside))} {'is' if len(inside) == 1 else 'are'}"
        )
    )
    names = ", ".join(map(head_name, advised))
    shows = (
        f"For what {source} would lose, {target} has most to win from {names}; {shared} in the"
        f" circuit, and over all {len(kept.rows)} heads the rank correlation of"
        f" advice and relevance is {number(rho)}."
    )
    if circuit.heads == set(advised):
        return (
            shows,
            (
                "The circuit in force is what is advised: tune it, and tune the most relevant and"
                " the near-zero heads beside it, because advice foresees small moves only."
            ),
        )
    return (
        shows,
        (
            f"Next: take the {k} advised heads as the circuit and tune them on the same rows as the"
            " most relevant and the near-zero heads; advice foresees small moves only, so the"
            " comparison decides, not the map."
        ),
    )


def table(kept: Ranking, relevance: np.ndarray, circuit: Circuit) -> list[dict]:
    """A row a head, in the order of the advice."""
    columns = {what: values(kept, what) for what in MAPS}
    return [
        {
            "place": place,
            "head": head_name(at),
            **{what: float(shown[at]) for what, shown in columns.items()},
            "relevance": float(relevance[at]),
            "in circuit": at in circuit,
        }
        for place, at in enumerate(kept.order, 1)
    ]
