"""Two sets of scores of the same heads against each other: ways of scoring, languages or
checkpoints; no streamlit.
"""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
from scipy.stats import spearmanr

from ctsft import runs
from ctsft.attribution.scores import Head, Scores
from ctsft.jobs.requests import Scoring
from ctsft.runs import tuning_table
from explorer import bars, panels
from explorer.plots import Marks, Scale, head_map

WAYS = {  # how heads can be scored, as changes to a `Scoring`
    "cdt": ("CD-T", {"method": "cdt", "attention": "softmax", "rules": "paper"}),
    "cdt frozen": (
        "CD-T, patterns kept",
        {"method": "cdt", "attention": "frozen", "rules": "paper"},
    ),
    "cdt symmetric": (
        "CD-T, cross terms shared",
        {"method": "cdt", "attention": "softmax", "rules": "symmetric"},
    ),
    "atp": ("Attribution patching", {"method": "atp", "attention": "softmax", "rules": "paper"}),
    "ig": ("Integrated gradients", {"method": "ig", "attention": "softmax", "rules": "paper"}),
    "ablation": ("Mean ablation", {"method": "ablation", "attention": "softmax", "rules": "paper"}),
}


def way_of(scoring: Scoring) -> str:
    """Which of `WAYS` a scoring is; attention and rules are CD-T's alone."""
    if scoring.method != "cdt":
        return scoring.method
    return next(
        (
            way
            for way, (_, own) in WAYS.items()
            if own["method"] == "cdt"
            and own["attention"] == scoring.attention
            and own["rules"] == scoring.rules
        ),
        "cdt",
    )


def other_way(scoring: Scoring, way: str) -> Scoring:
    """The same pool and positions, scored in another way."""
    return replace(scoring, **WAYS[way][1])


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation over the heads both have; NaN for fewer than three, or where one ranks
    nothing.
    """
    a, b = np.ravel(a).astype(float), np.ravel(b).astype(float)
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3 or np.ptp(a[both]) == 0 or np.ptp(b[both]) == 0:
        return float("nan")
    return float(spearmanr(a[both], b[both]).statistic)


def scatter(
    mine: Scores, other: Scores, names: tuple[str, str], selected: Head | None
) -> go.Figure:
    """A point a head, the selected one ringed; a click on a point carries the head."""
    a, b = mine.values.numpy(), other.values.numpy()
    units = tuple(
        f"{name}: {panels.UNITS[scores.method]}"
        for name, scores in zip(names, (mine, other), strict=True)
    )
    fig = bars.correlation(a, b, units, spearman(a, b), title="")
    if selected and np.isfinite(a[selected]) and np.isfinite(b[selected]):
        fig.add_trace(
            go.Scatter(
                x=[float(a[selected])],
                y=[float(b[selected])],
                mode="markers",
                hoverinfo="skip",
                name="selected",
                marker={
                    "symbol": "circle-open",
                    "size": 17,
                    "color": "#e0751f",
                    "line": {"width": 3},
                },
            )
        )
    return fig


def comparable(own: runs.Run, scores: Scores) -> list[runs.Run]:
    """Other finished scorings of models of the same shape in the same way, newest first: one a
    subject.
    """

    def way(run):
        params = run.request.params.get("scoring", {})
        return tuple(params.get(name) for name in ("method", "attention", "positions", "rules"))

    found: dict[str, runs.Run] = {}
    for run in runs.list_runs("score"):
        result = (
            tuning_table.result(run)
            if run.id != own.id and run.status().state == "done" and way(run) == way(own)
            else None
        )
        if (
            result
            and (result["n_layers"], result["n_heads"]) == tuple(scores.values.shape)
            and run.file("scores.safetensors").is_file()
        ):
            found.setdefault(named(run), run)
    return [run for name, run in found.items() if name != named(own)]


def named(run: runs.Run) -> str:
    """What a scoring is of: "english rows, demo, 50 examples"."""
    subject, scoring = run.request.params["subject"], run.request.params["scoring"]
    model = str(subject["model"]).rstrip("/").split("/")[-1]
    return (
        f"{subject.get('language') or 'source'} ({subject['split']}), {model}, {scoring['size']}"
        f" examples, seed {scoring['seed']}"
    )


def titles(first: runs.Run, second: runs.Run) -> tuple[str, str]:
    """What tells two scorings apart, shortly: the language, else the model, else which is which."""
    for key in ("language", "model"):
        found = [
            str(run.request.params["subject"].get(key) or "source").rstrip("/").split("/")[-1]
            for run in (first, second)
        ]
        if found[0] != found[1]:
            return found[0], found[1]
    return "first", "second"


def side_by_side(
    mine: Scores, other: Scores, names: tuple[str, str], drawn: Marks, flip: bool
) -> list[go.Figure]:
    """Two maps on one scale, and the map of the second minus the first on its own."""
    unit = panels.UNITS[mine.method]
    pair = panels.small_maps(
        {name: scores.values.numpy() for name, scores in zip(names, (mine, other), strict=True)},
        drawn,
        Scale(unit),
        flip,
    )
    gap = other.values.numpy() - mine.values.numpy()
    third = head_map(
        gap, drawn, title=f"{names[1]} − {names[0]}", scale=Scale("difference (logits)"), flip=flip
    )
    return [*pair, panels.shrink(third, gap.shape, bar=True)]
