"""Advice on which heads to train, as maps, a scatter and sentences.

Three quantities of a head: the target gradient (norm of the target loss's gradient), the source
loss (root of the Fisher information, which is the root mean square of the source's gradient norms,
so that both have one unit), and whether it is worth training: the gain that both predict at the
same source loss.
"""

import numpy as np
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.circuit.advice_ranking import Ranking
from ctsft.circuit.circuit import Circuit
from ctsft.plots import score_maps
from ctsft.plots.head_grid import Scale, head_grid, symmetric_limit
from ctsft.plots.inputs import require, require_circuit
from ctsft.plots.style import COLOURS, LEGEND, METHOD_COLOURS, figure
from ctsft.plots.traces import selected_ring
from ctsft.tuning.head_advice import Advice
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name, hover_text, number
from ctsft.utils.statistics import spearman

MAPS = {"worth": "Worth training", "asks": "Target gradient", "costs": "Source loss"}
UNITS = {"worth": "gain at equal loss", "asks": "gradient norm", "costs": "√ Fisher information"}
WHITE_FROM = 0.55  # share of a scale from which a number on a cell is white
ADVISED = METHOD_COLOURS["advised"]


def advice_map(
    advice: Advice | Ranking,
    quantity: str = "worth",
    circuit: Circuit | None = None,
    *,
    k: int = 6,
    selected: Head | None = None,
    flip: bool = False,
) -> go.Figure:
    """One quantity of every head, from 0 up; the first `k` heads carry their rank in the advice.

    `advice`: what `ctsft.advise_heads` returns. `quantity`: "worth" (predicted target gain at equal
    source loss, as a share of the best head's), "asks" (norm of the target loss's gradient) or
    "costs" (root of the source's Fisher information). `circuit`: its heads are outlined.
    `selected`: a head (layer, head) with a ring. UserError for another input, quantity or k, or a
    circuit of a model of another shape.
    """
    require("advice_map", advice, (Advice, Ranking), "Advice (from ctsft.advise_heads)")
    ranking = advice.ranking() if isinstance(advice, Advice) else advice
    circuit = require_circuit("advice_map", circuit, ranking.shape, selected)
    if quantity not in MAPS:
        raise UserError(f"{quantity!r} is not a quantity of advice; choose from {', '.join(MAPS)}.")
    if not 0 <= k <= len(ranking.rows):
        raise UserError(f"k is {k}, and the advice ranks {len(ranking.rows)} heads; choose fewer.")
    values = head_values(ranking, quantity)
    fig = head_grid(
        values,
        score_maps.circuit_marks(circuit, selected),
        title=MAPS[quantity],
        scale=Scale(UNITS[quantity], sequential=True),
        flip=flip,
        hover=advice_hover(ranking, circuit),
    )
    advised = ranking.order[:k]
    limit = symmetric_limit(values)
    for rank, (layer, head) in enumerate(advised, 1):
        colour = "white" if values[layer, head] > WHITE_FROM * limit else COLOURS["ink"]
        fig.add_annotation(
            x=head,
            y=layer,
            text=f"<b>{rank}</b>",
            showarrow=False,
            name="rank",
            font={"size": 11, "color": colour},
        )
    if advised:
        key = next(note for note in fig.layout.annotations if note.name == "key")
        key.text = "\u2003".join(filter(None, [key.text, f"1 to {k}: advised, in this order"]))
        fig.layout.meta["alt"] += f" Advised, in order: {', '.join(map(head_name, advised))}."
    return fig


def head_values(ranking: Ranking, quantity: str) -> np.ndarray:
    """One of `MAPS`, [layer, head]; "worth" as a share of the best head's predicted gain."""
    if quantity == "asks":
        return ranking.table("gradient").numpy()
    if quantity == "costs":
        return ranking.table("fisher").sqrt().numpy()
    gain = ranking.table("value").sqrt()
    return (gain / gain.max().clamp_min(1e-300)).numpy()


def advice_hover(ranking: Ranking, circuit: Circuit) -> list[list[str]]:
    """[layer][head] -> rank in the advice, the three quantities, in or out of the circuit."""
    worth = head_values(ranking, "worth")
    layers, heads = ranking.shape
    texts = [[""] * heads for _ in range(layers)]
    for row in ranking.rows:
        head = row["layer"], row["head"]
        lines = [
            f"<b>{head_name(head)}</b>  rank {row['rank']} of {len(ranking.rows)} in the advice",
            f"gain at equal source loss: {worth[head]:.2f} of the best head's",
            f"target gradient: {number(row['gradient'])} (norm)",
            f"source loss: {number(row['fisher'] ** 0.5)} (√ Fisher information)",
            hover_text(score_maps.membership_reason(circuit, head)),
        ]
        texts[head[0]][head[1]] = "<br>".join(lines)
    return texts


def advice_scatter(
    ranking: Ranking, circuit: Circuit, k: int, selected: Head | None, roles: tuple[str, str]
) -> go.Figure:
    """A point a head, both axes logarithmic; the circuit by a ring, advised heads by shape and
    colour. `roles`: names of source and target.
    """
    y, x = head_values(ranking, "asks"), head_values(ranking, "costs")
    source, target = roles
    advised = set(ranking.order[:k])
    both = advised & circuit.heads
    rest = set(ranking.order) - advised - circuit.heads
    groups = (
        ("others", rest, "circle", COLOURS["control"], None),
        ("circuit", circuit.heads - advised, "circle-open", COLOURS["circuit"], COLOURS["circuit"]),
        ("advised", advised - both, "hexagon", ADVISED, None),
        ("both", both, "hexagon", ADVISED, COLOURS["circuit"]),
    )
    listed = ", ".join(
        f"{label}: {' '.join(map(head_name, sorted(heads)))}"
        for label, heads, *_ in groups[1:]
        if heads
    )
    fig = figure(
        "",
        f"Gradient of {target} against loss of {source}, {len(ranking.rows)} heads. {listed}.",
        420,
    )
    texts = advice_hover(ranking, circuit)
    for label, heads, symbol, colour, ring in groups:
        members = sorted(heads)
        fig.add_trace(
            go.Scatter(
                x=[float(x[head]) for head in members],
                y=[float(y[head]) for head in members],
                customdata=[list(head) for head in members],
                name=label,
                mode="markers",
                text=[texts[layer][head] for layer, head in members],
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
    if selected and np.isfinite(y[selected]):
        ring = selected_ring(float(x[selected]), float(y[selected]), 20)
        fig.add_trace(ring.update(showlegend=False))
    is_log = min(y.min(), x.min()) > 0
    fig.update_xaxes(
        title_text=f"loss of {hover_text(source)} (√ Fisher information)", **axis_of(x, is_log)
    )
    fig.update_yaxes(title_text=f"gradient of {hover_text(target)} (norm)", **axis_of(y, is_log))
    return fig.update_layout(showlegend=True, legend=LEGEND, margin_t=70)


def axis_of(values: np.ndarray, is_log: bool) -> dict:
    """Plotly's settings; of a logarithmic axis with whole numbers: 0.5, 1, 2, 5, 10."""
    if not is_log:
        return {"type": "linear"}
    decades = range(*(int(np.floor(np.log10(end))) for end in (values.min(), values.max() * 10)))
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def advice_sentences(
    ranking: Ranking, relevance: np.ndarray, circuit: Circuit, k: int, roles: tuple[str, str]
) -> tuple[str, str]:
    """The finding, and what to do next. `roles`: names of source and target, ready to be shown."""
    source, target = roles
    advised = ranking.order[:k]
    inside = [head for head in advised if head in circuit]
    rho = spearman(head_values(ranking, "worth"), relevance)
    if not inside:
        shared = "none of them is"
    elif len(inside) == k:
        shared = "all of them are"
    else:
        verb = "is" if len(inside) == 1 else "are"
        shared = f"{', '.join(map(head_name, inside))} {verb}"
    finding = (
        f"At equal loss of {source}, {target} gains most from training"
        f" {', '.join(map(head_name, advised))}; {shared} in the circuit, and over all"
        f" {len(ranking.rows)} heads the rank correlation of advice and relevance is {number(rho)}."
    )
    if circuit.heads == set(advised):
        return finding, (
            "The current circuit is what is advised: train it, and compare it with the most"
            " relevant and the near-zero heads, because the advice holds for small changes only."
        )
    return finding, (
        f"Next: take the {k} advised heads as the circuit and train them on the same rows as the"
        " most relevant and the near-zero heads; the advice holds for small changes only, so the"
        " comparison decides, not the map."
    )


def advice_table(ranking: Ranking, relevance: np.ndarray, circuit: Circuit) -> list[dict]:
    """A row a head, in the order of the advice."""
    values = {quantity: head_values(ranking, quantity) for quantity in MAPS}
    return [
        {
            "place": rank,
            "head": head_name(head),
            **{quantity: float(of[head]) for quantity, of in values.items()},
            "relevance": float(relevance[head]),
            "in circuit": head in circuit,
        }
        for rank, head in enumerate(ranking.order, 1)
    ]
