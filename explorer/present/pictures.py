"""The pictures of a presentation: the session's head map and circuit, and the curves and the
frontier of the runs that Compare shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ctsft import runs
from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.jobs import tuning_table
from ctsft.plots import run_frontier, score_maps
from ctsft.plots.map_axes import fill
from ctsft.utils.format import head_name
from explorer.compare import curves, filters, table
from explorer.compare.points import points
from explorer.compare.summary import first_ranking
from explorer.session import binding, inputs, score_runs
from explorer.session import circuit as session_circuit
from explorer.text import outcomes
from explorer.text.run_names import display_name


@dataclass(frozen=True)
class Picture:
    """`sentence`: Markdown; `rests_on`: the runs that its figures come from."""

    title: str
    sentence: str
    figure: go.Figure
    rests_on: Sequence[runs.Run | str | None]


def available() -> dict[str, Callable[[], Picture]]:
    """{name: what draws it} of the pictures that there is something to draw for, in order."""
    drawn_by: dict[str, Callable[[], Picture]] = {}
    scores, _ = score_runs.scores()
    if scores is not None:
        drawn_by |= {"map": lambda: head_map(scores), "circuit": lambda: circuit(scores)}
    rows = [row for row in shown_rows() if row["state"] in outcomes.ENDED]
    if rows:
        drawn_by |= {"curves": lambda: tuning_curves(rows), "frontier": lambda: frontier(rows)}
    return drawn_by


def shown_rows() -> list[dict]:
    """The rows that Compare shows with the session's filters."""
    rows = tuning_table.table_rows(recorded=True)
    return filters.shown(rows, binding.view()) if rows else []


def head_map(scores: Scores) -> Picture:
    strongest = scores.ranking()[0]
    layer, head = strongest
    sentence = (
        f"{METHODS[scores.method].label} on {len(scores.examples)}"
        f" {display_name(binding.view().source)} texts. Purple heads support the correct label,"
        f" green ones work against it; {head_name(strongest)} counts most"
        f" ({scores.values[layer, head].item():+.2f} logits)."
    )
    return Picture("What each head contributes", sentence, large_map(scores, None), [scored()])


def circuit(scores: Scores) -> Picture:
    heads = session_circuit.current(scores)
    counts = session_circuit.trainable_counts(binding.view().model, tuple(sorted(heads.heads)))
    sentence = (
        f"{len(heads)} of {scores.values.numel()} heads, outlined. With the norms they are"
        f" {counts['group'] / counts['total']:.1%} of the parameters: only these are trained."
    )
    return Picture("The circuit", sentence, large_map(scores, heads), [scored()])


def scored() -> runs.Run | None:
    """The run of the session's scores, or of their preview."""
    return score_runs.score_run(("done",)) or score_runs.score_run(score_runs.ACTIVE)


def large_map(scores: Scores, heads: Circuit | None) -> go.Figure:
    fig = score_maps.head_map(scores, heads, model=inputs.model(), flip=binding.view().flip)
    return fill(fig, *scores.values.shape)


def tuning_curves(rows: list[dict]) -> Picture:
    fig, _ = curves.overlay(rows, names(rows), binding.view().compare_chosen)
    sentence = (
        "Accuracy while the model is tuned on the target: what it knew (left) and what it learns"
        " (right). Dashed: before tuning."
    )
    return Picture("Learning and forgetting", sentence, fig, [row["run"] for row in rows])


def frontier(rows: list[dict]) -> Picture:
    named = names(rows)
    of = points(rows, [named[row["run"]] for row in rows])
    fig = run_frontier.run_frontier(of.points, selected=binding.view().compare_chosen, labels=True)
    neutral = "What tuning gained on the target against what it cost on the source."
    sentence = first_ranking(of) or f"{neutral} Up and right is better."
    return Picture("The trade-off", sentence, fig, [row["run"] for row in rows])


def names(rows: list[dict]) -> dict[str, str]:
    return dict(zip((row["run"] for row in rows), table.names(rows), strict=True))
