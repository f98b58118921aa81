"""CPR and CMD: what a ranking of heads is worth over all circuit sizes, in one number each
(MIB, arXiv 2504.13151; its track for circuits).

f(k) is the faithfulness by margin of the circuit of the ranking's first heads, k their share of all
heads. CPR (circuit performance ratio) is the area under f from k = 0 to 1: higher is better. CMD
(circuit-model distance) is the area under |1 - f|: lower is better, 0 is best. Both by trapezoids
with linear weights in k, over sizes that are spaced about logarithmically, as MIB's program does.

What differs from MIB: here

- heads are the components, and MLPs and embeddings always work; MIB ranks edges, nodes or neurons;
- other heads give their label-balanced mean; MIB's give their value on a counterfactual text;
- the margin is the correct label's logit minus the mean of the others;
- sizes are `CURVE_SHARES` of the heads and 0, where f = 0; MIB's go from 0.001 to 1;
- one ranking by signed score is measured by both; MIB ranks by absolute score for CMD.

Intervals: a percentile bootstrap over rows. The same rows are drawn for every ranking, so that
rankings are compared by paired differences; rankings and means stay as they are.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ctsft.attribution.scores import Scores
from ctsft.circuit.faithfulness import CircuitMeter
from ctsft.utils.statistics import CONFIDENCE_LEVEL, holm

DRAWS = 2000
# name -> (of f, whether higher is better)
AREAS = {
    "cpr": (lambda f: f, True),
    "cmd": (lambda f: np.abs(1 - f), False),
}


def areas(curve: np.ndarray, shares: np.ndarray) -> dict[str, np.ndarray]:
    """{"cpr", "cmd"}: the areas of curves of faithfulness [..., size] over `shares` [size]."""
    return {name: np.trapezoid(of(curve), shares, axis=-1) for name, (of, _) in AREAS.items()}


def circuit_areas(
    meter: CircuitMeter, scores: Mapping[str, Scores], sizes: Sequence[int], bands: Sequence[dict]
) -> dict:
    """CPR and CMD of each ranking with intervals, those of random circuits (from the bands of their
    faithfulness), and the best ranking by each measure with those that are not distinguished from
    it. The sets of heads were measured for the curves before.

    {"sizes", "draws", "level", "methods": {method: {area: {value, low, high}}}, "random": {area:
    value} or None, "best": {area: {method, value, ties}} or None}
    """
    n_heads = len(meter.model.heads)
    sizes = [0, *(size for size in sizes if size > 0)]
    shares = np.array(sizes) / n_heads
    margins = {
        name: np.stack(
            [meter.row_results(one.ranking()[:size]).margin for size in sizes]
        )  # [size, row]
        for name, one in scores.items()
    }
    full = meter.row_results(meter.model.heads).margin
    counts = row_draws(len(full))  # [draw, row]
    measured, drawn = {}, {}
    for name, rows in margins.items():
        measured[name] = areas(ratios(rows.mean(1), full.mean()), shares)
        draws = ratios(counts @ rows.T, counts @ full)  # [draw, size]
        drawn[name] = areas(draws, shares)
    return {
        "sizes": sizes,
        "draws": DRAWS,
        "level": CONFIDENCE_LEVEL,
        "methods": {
            name: {area: interval(measured[name][area], drawn[name][area]) for area in AREAS}
            for name in scores
        },
        "random": random_areas(bands, n_heads),
        "best": {area: best(area, measured, drawn) for area in AREAS},
    }


def row_draws(n: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """[draw, row]: how often each row is drawn, as a share of n, in draws with replacement."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws) / n


def ratios(margins: np.ndarray, full: np.ndarray | float) -> np.ndarray:
    """Faithfulness [..., size] of mean margins, the first of which is that of no head."""
    empty = margins[..., :1]
    span = np.asarray(full)[..., None] - empty
    return np.divide(margins - empty, span, out=np.full_like(margins, np.nan), where=span != 0)


def interval(value: float, drawn: np.ndarray) -> dict[str, float]:
    """A value with the percentile interval of its draws; NaN where no draw is defined."""
    defined = drawn[np.isfinite(drawn)]
    low = high = float("nan")
    if len(defined):
        low, high = np.quantile(defined, [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    return {"value": float(value), "low": float(low), "high": float(high)}


def best(area: str, measured: Mapping[str, dict], drawn: Mapping[str, dict]) -> dict | None:
    """The best ranking by an area, and the rankings whose paired difference from it is within
    chance (bootstrap over rows, two-sided, adjusted over the rankings by Holm); None where the area
    is undefined.
    """
    values = {name: float(one[area]) for name, one in measured.items()}
    if not np.isfinite(list(values.values())).all():
        return None
    sign = 1 if AREAS[area][1] else -1
    first = max(values, key=lambda name: sign * values[name])
    others = [name for name in values if name != first]
    p = holm([p_of(drawn[first][area] - drawn[name][area]) for name in others]) if others else []
    ties = [name for name, one in zip(others, p, strict=True) if one >= 1 - CONFIDENCE_LEVEL]
    return {"method": first, "value": values[first], "ties": ties}


def p_of(differences: np.ndarray) -> float:
    """Two-sided p that a difference is 0, from its bootstrap draws; ties count for both sides."""
    differences = differences[np.isfinite(differences)]
    below, above = (differences <= 0).sum(), (differences >= 0).sum()
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(differences)))


def random_areas(bands: Sequence[dict], n_heads: int) -> dict[str, float] | None:
    """CPR and CMD of random circuits, means over their draws; None without bands. f is 0 without
    heads, and 1 with all.
    """
    if not bands:
        return None
    shares = np.array([0, *(row["size"] for row in bands), n_heads]) / n_heads
    faithful = np.array([0, *(row["margin"]["mean"] for row in bands), 1], dtype=float)
    distance = np.array([1, *(row["distance"] for row in bands), 0], dtype=float)
    curves = {"cpr": faithful, "cmd": distance}
    return {name: float(np.trapezoid(curve, shares)) for name, curve in curves.items()}


def verdict(areas: Mapping, label=lambda name: name) -> str:
    """Which ranking to trust, and where its lead is within chance, in plain words computed from the
    numbers; "" where the areas are undefined. `label`: a ranking's name for readers.
    """
    return " ".join(filter(None, [ranking_to_trust(areas, label), leads_by_chance(areas, label)]))


def is_defined(areas: Mapping) -> bool:
    best = areas.get("best") or {}
    return all(best.get(area) for area in AREAS)


def ranking_to_trust(areas: Mapping, label=lambda name: name) -> str:
    """The first part of `verdict`."""
    if not is_defined(areas):
        return ""
    cpr, cmd = (areas["best"][area] for area in ("cpr", "cmd"))
    if cpr["method"] == cmd["method"]:
        text = (
            f"{label(cpr['method'])} is the ranking to trust by both measures (best CPR"
            f" {cpr['value']:.2f}, best CMD {cmd['value']:.2f})"
        )
    else:
        text = (
            f"CPR and CMD disagree: trust {label(cpr['method'])} where the question is which heads"
            f" have the largest effect (best CPR, {cpr['value']:.2f}), and {label(cmd['method'])}"
            " where the circuit should do what the model does (best CMD,"
            f" {cmd['value']:.2f})"
        )
    return f"{text}."


def leads_by_chance(areas: Mapping, label=lambda name: name) -> str:
    """The second part of `verdict`; "" where no lead is within chance."""
    if not is_defined(areas):
        return ""
    leads = [
        f"by {area.upper()} over {' and '.join(map(label, one['ties']))}"
        for area, one in areas["best"].items()
        if one["ties"]
    ]
    return f"Within chance on these rows: the lead {', and '.join(leads)}." if leads else ""
