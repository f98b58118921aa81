"""How far circuits agree: shared heads, Jaccard indices, what chance would give, and their charts.

Two random sets of a and b heads out of n share i heads with the hypergeometric probability, so the
Jaccard index that chance gives is the mean of i / (a + b - i) over that distribution: exact, no
drawing.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctsft.attribution.scores import Head
from ctsft.circuit.circuit import Circuit
from ctsft.plots import style
from ctsft.plots.head_grid import Scale, cell_size, head_grid
from ctsft.plots.head_marks import Marks
from ctsft.plots.inputs import require
from ctsft.plots.map_axes import place
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name

LETTERS = "ABCDEF"
MAX_CIRCUITS = len(LETTERS)  # compared at a time
LETTER_CELL = 26  # pixels of the smallest cell that letters fit into
Circuits = Mapping[str, frozenset[Head]]  # heads by the circuit's name


def overlap(circuits: Mapping[str, Circuit] | Iterable[Circuit]) -> go.Figure:
    """The Jaccard index of each pair of circuits, with the shared heads and what chance gives on
    hover: two random circuits of these sizes, out of all heads of the model.

    `circuits`: 2 to 6 circuits of one model, by name or as a list. UserError for another input,
    another number of circuits, or circuits of models of different or unknown shapes.
    """
    if isinstance(circuits, Mapping):
        named = dict(circuits)
    else:
        require("overlap", circuits, Iterable, "several Circuits")
        named = {str(i): circuit for i, circuit in enumerate(circuits, 1)}
    for circuit in named.values():
        require("overlap", circuit, Circuit, "Circuits (ctsft.select, ctsft.discover)")
    if not 2 <= len(named) <= MAX_CIRCUITS:
        raise UserError(
            f"overlap compares 2 to {MAX_CIRCUITS} circuits, and these are {len(named)}."
        )
    shapes = {
        (circuit.model.get("n_layers"), circuit.model.get("n_heads")) for circuit in named.values()
    }
    if len(shapes) > 1 or None in next(iter(shapes)):
        raise UserError(
            "These circuits belong to models of different or unknown shapes; compare circuits of"
            " one model."
        )
    layers, heads = shapes.pop()
    sets = {title: circuit.heads for title, circuit in named.items()}
    return jaccard_heatmap(sets, layers * heads)


def jaccard(a: frozenset, b: frozenset) -> float:
    """Shared heads as a share of all heads that either has; 1 for two empty circuits, which are
    equal.
    """
    return len(a & b) / len(a | b) if a | b else 1.0


def expected_jaccard(n: int, a: int, b: int) -> float:
    """Mean Jaccard index of random circuits of `a` and `b` heads out of `n`."""
    if a + b == 0:
        return 1.0
    from scipy.stats import hypergeom  # takes a second to import

    shared = np.arange(max(0, a + b - n), min(a, b) + 1)
    return float((hypergeom.pmf(shared, n, a, b) * shared / (a + b - shared)).sum())


def jaccard_matrix(circuits: Circuits) -> np.ndarray:
    """Jaccard indices, [circuit, circuit]."""
    return np.array([[jaccard(a, b) for b in circuits.values()] for a in circuits.values()])


def letters_of(circuits: Circuits, head: Head) -> str:
    """The letters of the circuits that contain a head."""
    return "".join(
        letter for letter, heads in zip(LETTERS, circuits.values(), strict=False) if head in heads
    )


def overlap_sentence(circuits: Circuits, n: int) -> str:
    """The overlap in words, against chance; "" for fewer than two circuits."""
    sets = list(circuits.values())
    if len(sets) < 2:
        return ""
    pairs = sorted(
        combinations(range(len(sets)), 2), key=lambda pair: -jaccard(sets[pair[0]], sets[pair[1]])
    )
    closest, farthest = pairs[0], pairs[-1]
    a, b = sets[closest[0]], sets[closest[1]]
    by_chance = chance_text(n, len(a), len(b))
    if len(sets) == 2:
        if len(a) == len(b):
            shared = f"{len(a & b)} of {len(a)} heads are shared"
        else:
            shared = f"{len(a & b)} heads are shared by circuits of {len(a)} and {len(b)}"
        return f"{shared}, Jaccard {jaccard(a, b):.2f}; {by_chance}."

    def pair_text(pair: tuple[int, int]) -> str:
        i, j = pair
        return f"{LETTERS[i]} and {LETTERS[j]} (Jaccard {jaccard(sets[i], sets[j]):.2f})"

    return (
        f"Of the {len(frozenset.union(*sets))} heads in any of them,"
        f" {len(frozenset.intersection(*sets))} are in all {len(sets)}. Closest are"
        f" {pair_text(closest)}, farthest {pair_text(farthest)}; {by_chance}."
    )


def chance_text(n: int, a: int, b: int) -> str:
    sizes = "this size" if a == b else f"{a} and {b} heads"
    return (
        f"two random circuits of {sizes} out of {n} heads reach {expected_jaccard(n, a, b):.2f} on"
        " average"
    )


def jaccard_heatmap(circuits: Circuits, n: int) -> go.Figure:
    """The Jaccard matrix with its numbers; hover shows the shared heads and what chance gives out
    of `n` heads.
    """
    values = jaccard_matrix(circuits)
    sets = list(circuits.values())
    count = len(sets)
    letters = list(LETTERS[:count])
    texts = [
        [
            f"{letters[i]} and {letters[j]}: {len(a & b)} of {len(a | b)} heads shared<br>Jaccard"
            f" {values[i, j]:.2f}<br>by chance {expected_jaccard(n, len(a), len(b)):.2f}"
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
    fig.layout.annotations = [
        {
            "x": letters[j],
            "y": letters[i],
            "text": f"{values[i, j]:.2f}",
            "showarrow": False,
            "font": {"color": text_colour(values[i, j])},
        }
        for i in range(count)
        for j in range(count)
    ]
    fig.update_xaxes(showgrid=False, side="bottom", fixedrange=True)
    fig.update_yaxes(showgrid=False, autorange="reversed", fixedrange=True)
    return fig.update_layout(
        width=max(52 * count + 80, 250), margin={"l": 40, "r": 16, "t": 44, "b": 36}
    )


def text_colour(share: float) -> str:
    """A text colour that reads on a place of the sequential scale, 0 to 1."""
    return style.COLOURS["halo" if share > 0.45 else "ink"]


def membership_map(
    circuits: Circuits, shape: tuple[int, int], selected: Head | None = None, flip: bool = False
) -> go.Figure:
    """Every head coloured by how many of the circuits contain it, with their letters; heads in all
    of them are outlined.
    """
    layers, heads = shape
    letters = {head: letters_of(circuits, head) for head in np.ndindex(layers, heads)}
    counts = [[len(letters[layer, head]) for head in range(heads)] for layer in range(layers)]
    in_all = frozenset.intersection(*circuits.values()) if circuits else frozenset()
    hover = [
        [membership_text(circuits, (layer, head)) for head in range(heads)]
        for layer in range(layers)
    ]
    fig = head_grid(
        np.array(counts, float),
        Marks(in_all, selected=selected),
        title="Circuits that contain a head",
        hover=hover,
        flip=flip,
        scale=Scale("circuits", max(len(circuits), 1), sequential=True),
    )
    ticks = list(range(len(circuits) + 1))
    bar = {
        "tickvals": ticks,
        "ticktext": list(map(str, ticks)),
        "title.text": "circuits<br>with the head",
    }
    fig.update_traces(selector={"type": "heatmap"}, colorbar=bar)
    size = cell_size(layers, heads)
    if size >= LETTER_CELL:
        at = {head: place(head, shape) for head in letters}
        _add_letters(fig, letters, len(circuits), at, per_line=int(size // 10))
    keys = (("□ in all of them", in_all), ("◎ selected", selected))
    fig.update_annotations(
        text="\u2003".join(text for text, present in keys if present), selector={"name": "key"}
    )
    return fig.update_layout(meta={"alt": membership_alt(circuits)})


def _add_letters(
    fig: go.Figure,
    letters: dict[Head, str],
    circuits: int,
    at: dict[Head, tuple[int, int]],
    per_line: int,
) -> None:
    """Each head's letters in its cell, at x and y, `per_line` of them side by side."""
    for head, row in letters.items():
        if row:
            lines = [row[start : start + per_line] for start in range(0, len(row), per_line)]
            fig.add_annotation(
                x=at[head][0],
                y=at[head][1],
                text="<br>".join(lines),
                showarrow=False,
                font={"size": 10, "color": text_colour(len(row) / circuits)},
                name="letters",
            )


def membership_text(circuits: Circuits, head: Head) -> str:
    """A head's hover text: its name, and which circuits contain it."""
    letters = letters_of(circuits, head)
    listed = f": {', '.join(letters)}" if letters else ""
    return f"<b>{head_name(head)}</b>  in {len(letters)} of {len(circuits)}{listed}"


def most_shared(circuits: Circuits) -> list[Head]:
    """Every head that some circuit contains, the most shared first."""
    return sorted(
        {head for heads in circuits.values() for head in heads},
        key=lambda head: (-len(letters_of(circuits, head)), head),
    )


def membership_alt(circuits: Circuits) -> str:
    """The membership map in words."""
    names = [f"{head_name(head)} ({letters_of(circuits, head)})" for head in most_shared(circuits)]
    listed = ", ".join(names[:24]) or "none of them contains any"
    more = " and more" if len(names) > 24 else ""
    return f"Heads of {len(circuits)} circuits, with the circuits' letters: {listed}{more}."


def membership_table(circuits: Circuits) -> pd.DataFrame:
    """A row a head that some circuit contains, the most shared first; a column a circuit."""
    rows = [
        (
            head_name(head),
            len(letters_of(circuits, head)),
            *(head in heads for heads in circuits.values()),
        )
        for head in most_shared(circuits)
    ]
    return pd.DataFrame(rows, columns=["head", "in how many", *LETTERS[: len(circuits)]])
