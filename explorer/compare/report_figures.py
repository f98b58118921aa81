"""The figures (`ctsft.utils.figures`) that a report shows: the rows of the table of tuning runs,
and the points of each chart, with how each is derived from the run folders.
"""

from collections.abc import Iterable, Mapping

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.plots.faithfulness import curve_series
from ctsft.plots.frontier_marks import CHANGES
from ctsft.plots.run_frontier import Point, group_points
from ctsft.runs import results
from ctsft.utils.errors import UserError
from ctsft.utils.figures import Figure
from ctsft.utils.statistics import Spread
from explorer.compare.filters import settings_key

# fields of a row that `ctsft.receipts.operations` can compute again
FIELDS = (
    "source_before",
    "source_after",
    "target_before",
    "target_after",
    "forgetting",
    "gain",
    "source_lowest",
    "source_area_lost",
    "perplexity_before",
    "perplexity_after",
    "seconds",
    "share",
    "heads",
    "trainable",
)
BAND = ("random_lowest", "random_median", "random_highest")


def traced(rows: Iterable[Mapping]) -> list[dict]:
    """The rows with figures for numbers."""
    return [traced_row(row) for row in rows]


def traced_row(row: Mapping) -> dict:
    run = row["run"]
    figures = {name: Figure(row[name], name, run) for name in FIELDS if row.get(name) is not None}
    related = {
        language: tuple(
            Figure(value, "accuracy", run, when, language)
            for when, value in zip(("before", "after"), ends, strict=True)
        )
        for language, ends in (row.get("related") or {}).items()
    }
    return {**row, **figures, "related": related}


def of_frontier(points: list[Point]) -> list[Figure]:
    """The changes of each point, and the means and intervals of the groups. points: of traced
    rows.
    """
    figures = [point[side] for point in points for side in CHANGES]
    for group in group_points(points):
        for side in CHANGES:
            figures += of_spread(getattr(group, side))
    return figures


def of_spread(of: Spread) -> list[Figure]:
    if of.low is None:
        return [of.mean]
    return [of.mean, of.low, of.high, of.high - of.mean, of.mean - of.low]


def of_curves(rows: list[Mapping]) -> list[Figure]:
    """The points of the runs' curves; means, lowest and highest of runs that differ in their seed
    only.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(settings_key(row, ("seed",)), []).append(curve_points(row))
    figures = []
    for group in groups.values():
        figures += [figure for curve in group for figure in curve.values()]
        if len(group) == 1:
            continue
        for key in group[0]:
            values = [curve[key] for curve in group if key in curve]
            if len(values) == len(group):
                figures.append(Figure(sum(values) / len(values), "mean", *values))
                figures.append(Figure(min(values), "lowest", *values))
                figures.append(Figure(max(values), "highest", *values))
    return figures


def curve_points(row: Mapping) -> dict[tuple[str, int], Figure]:
    """{(side, step): accuracy}"""
    try:
        evaluations = results.evaluations(runs.get(row["run"]))
    except UserError:  # deleted meanwhile
        return {}
    return {
        (side, of["step"]): Figure(
            of["accuracy"][row[side]], "at", row["run"], of["step"], row[side]
        )
        for of in evaluations
        for side in ("source", "target")
        if of["accuracy"].get(row[side]) is not None
    }


def of_scores(run: str, scores: Scores) -> list[Figure]:
    """The mean score of every head, by falling size."""
    return [Figure(scores.values[head].item(), "score", run, *head) for head in scores.ranking()]


def of_faithfulness(run: str, rows: list[Mapping], measure: str, n_heads: int) -> list[Figure]:
    """The faithfulness of each size: of the ranking, and of the random circuits."""
    series = curve_series(rows, measure, n_heads)
    figures = []
    for operation, values in zip(
        ("faithfulness", *BAND), (series.ranked, *series.band), strict=True
    ):
        figures += [
            Figure(value, operation, run, measure, size, n_heads)
            for size, value in zip(series.sizes, values, strict=True)
        ]
    return figures


def at_nearest_size(figures: list[Figure], size: int) -> list[Figure]:
    """Those of `of_faithfulness` at the measured size that is nearest."""
    sizes = [figure.how[3] for figure in figures]
    nearest = min(dict.fromkeys(sizes), key=lambda one: abs(one - size), default=None)
    return [figure for figure, one in zip(figures, sizes, strict=True) if one == nearest]
