"""How far circuits agree: shared heads, Jaccard indices, what chance would give, and the maps that
show it; no streamlit, no torch.

Two random sets of a and b heads out of n share i heads with the hypergeometric probability, so the
Jaccard index that chance gives is the mean of i / (a + b - i) over that distribution: exact, no
drawing.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.stats import hypergeom

from ctsft.attribution.scores import Head
from ctsft.plots import head_grid, style
from ctsft.plots.head_grid import Marks, Scale, head_map
from ctsft.utils import format

LETTERS = "ABCDEF"
MOST = len(LETTERS)  # circuits compared at a time
ROOMY = 26  # pixels of a cell that letters fit into
Circuits = Mapping[str, frozenset[Head]]  # heads by the circuit's name


def jaccard(a: frozenset, b: frozenset) -> float:
    """Shared heads as a share of all heads that either has; 1 for two empty circuits, which are
    equal.
    """
    return len(a & b) / len(a | b) if a | b else 1.0


def chance(n: int, a: int, b: int) -> float:
    """Mean Jaccard index of random circuits of `a` and `b` heads out of `n`."""
    if a + b == 0:
        return 1.0
    shared = np.arange(max(0, a + b - n), min(a, b) + 1)
    return float((hypergeom.pmf(shared, n, a, b) * shared / (a + b - shared)).sum())


def matrix(circuits: Circuits) -> np.ndarray:
    """Jaccard indices, [circuit, circuit]."""
    return np.array([[jaccard(a, b) for b in circuits.values()] for a in circuits.values()])


def holders(circuits: Circuits, head: Head) -> str:
    """The letters of the circuits that hold a head."""
    return "".join(
        letter for letter, heads in zip(LETTERS, circuits.values(), strict=False) if head in heads
    )


def sentence(circuits: Circuits, n: int) -> str:
    """What the overlap comes to, against chance."""
    sets = list(circuits.values())
    if len(sets) < 2:
        return ""
    pairs = sorted(
        combinations(range(len(sets)), 2), key=lambda pair: -jaccard(sets[pair[0]], sets[pair[1]])
    )
    near, far = pairs[0], pairs[-1]
    a, b = (sets[i] for i in near)
    if len(sets) == 2:
        of = (
            f"of {len(a)} heads are shared"
            if len(a) == len(b)
            else f"heads are shared by circuits of {len(a)} and {len(b)}"
        )
        return f"{len(a & b)} {of}, Jaccard {jaccard(a, b):.2f}; {by_chance(n, len(a), len(b))}."
    words = (
        f"Of the {len(frozenset.union(*sets))} heads that any of them holds,"
        f" {len(frozenset.intersection(*sets))} are in all {len(sets)}. "
    )
    closest, farthest = (
        f"{LETTERS[i]} and {LETTERS[j]} (Jaccard {jaccard(sets[i], sets[j]):.2f})"
        for i, j in (near, far)
    )
    return words + f"Closest are {closest}, farthest {farthest}; {by_chance(n, len(a), len(b))}."


def by_chance(n: int, a: int, b: int) -> str:
    sizes = "this size" if a == b else f"{a} and {b} heads"
    return f"two random circuits of {sizes} out of {n} heads reach {chance(n, a, b):.2f} on average"


def heatmap(circuits: Circuits, n: int) -> go.Figure:
    """The Jaccard matrix with its numbers; hover says what is shared and what chance gives."""
    values, sets, count = matrix(circuits), list(circuits.values()), len(circuits)
    letters = list(LETTERS[:count])
    texts = [
        [
            f"{letters[i]} and {letters[j]}: {len(a & b)} of {len(a | b)} heads shared<br>Jaccard"
            f" {values[i, j]:.2f}<br>by chance {chance(n, len(a), len(b)):.2f}"
            for j, b in enumerate(sets)
        ]
        for i, a in enumerate(sets)
    ]
    pairs = [
        f"{letters[i]} and {letters[j]} {values[i, j]:.2f}"
        for i, j in combinations(range(count), 2)
    ]
    fig = style.figure(
        "Jaccard index of each pair",
        f"Jaccard index of {count} circuits: {', '.join(pairs)}.",
        52 * count + 96,
    )
    fig.add_trace(
        go.Heatmap(
            z=values.tolist(),
            x=letters,
            y=letters,
            zmin=0,
            zmax=1,
            colorscale=style.SEQUENTIAL,
            showscale=False,
            xgap=2,
            ygap=2,
            text=texts,
            hovertemplate="%{text}<extra></extra>",
        )
    )
    for i in range(count):
        for j in range(count):
            fig.add_annotation(
                x=letters[j],
                y=letters[i],
                text=f"{values[i, j]:.2f}",
                showarrow=False,
                font={"color": ink(values[i, j])},
            )
    fig.update_xaxes(showgrid=False, side="bottom", fixedrange=True)
    fig.update_yaxes(showgrid=False, autorange="reversed", fixedrange=True)
    return fig.update_layout(
        width=max(52 * count + 80, 250), margin={"l": 40, "r": 16, "t": 44, "b": 36}
    )


def ink(share: float) -> str:
    """Text that reads on a place of the sequential scale."""
    return style.COLOURS["halo" if share > 0.45 else "ink"]


def membership_map(
    circuits: Circuits, shape: tuple[int, int], selected: Head | None = None, flip: bool = False
) -> go.Figure:
    """Every head coloured by how many of the circuits hold it, with their letters in it; those that
    all hold are outlined.
    """
    layers, heads = shape
    values = np.array(
        [
            [sum((layer, head) in own for own in circuits.values()) for head in range(heads)]
            for layer in range(layers)
        ],
        float,
    )
    everywhere = frozenset.intersection(*circuits.values()) if circuits else frozenset()
    hover = [
        [
            f"<b>{format.head_name((layer, head))}</b>  {told(circuits, (layer, head))}"
            for head in range(heads)
        ]
        for layer in range(layers)
    ]
    fig = head_map(
        values,
        Marks(everywhere, selected=selected),
        title="Which circuits hold a head",
        hover=hover,
        flip=flip,
        scale=Scale("circuits", max(len(circuits), 1), sequential=True),
    )
    size = head_grid.cell_size(layers, heads)
    line = int(size // 10)  # letters that fit side by side
    ticks = list(range(len(circuits) + 1))
    bar = {
        "tickvals": ticks,
        "ticktext": list(map(str, ticks)),
        "title.text": "circuits<br>that hold it",
    }
    fig.update_traces(selector={"type": "heatmap"}, colorbar=bar)
    for layer in range(layers if size >= ROOMY else 0):
        for head in range(heads):
            own = holders(circuits, (layer, head))
            if own:
                fig.add_annotation(
                    x=head,
                    y=layer,
                    text="<br>".join(own[i : i + line] for i in range(0, len(own), line)),
                    showarrow=False,
                    font={"size": 10, "color": ink(len(own) / len(circuits))},
                    name="holders",
                )
    keys = (("□ in all of them", everywhere), ("◎ selected", selected))
    fig.update_annotations(
        text="\u2003".join(text for text, present in keys if present), selector={"name": "key"}
    )
    return fig.update_layout(meta={"alt": described(circuits)})


def told(circuits: Circuits, head: Head) -> str:
    own = holders(circuits, head)
    return f"in {len(own)} of {len(circuits)}" + (f": {', '.join(own)}" if own else "")


def described(circuits: Circuits) -> str:
    """The membership map in words: every head that some circuit holds, the most shared first."""
    held = sorted(
        {head for heads in circuits.values() for head in heads},
        key=lambda head: (-len(holders(circuits, head)), head),
    )
    names = [f"{format.head_name(head)} ({holders(circuits, head)})" for head in held]
    return (
        f"Which of {len(circuits)} circuits hold a head:"
        f" {', '.join(names[:24]) or 'none is held by any'}{' and more' if len(names) > 24 else ''}."
    )


def table(circuits: Circuits) -> pd.DataFrame:
    """A row a head that some circuit holds, the most shared first; a column a circuit."""
    held = sorted(
        {head for heads in circuits.values() for head in heads},
        key=lambda head: (-len(holders(circuits, head)), head),
    )
    rows = [
        (
            format.head_name(head),
            len(holders(circuits, head)),
            *(head in heads for heads in circuits.values()),
        )
        for head in held
    ]
    return pd.DataFrame(rows, columns=["head", "in how many", *LETTERS[: len(circuits)]])
