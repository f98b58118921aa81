"""Only runs that were measured alike are ranked; otherwise the sentence says what is missing."""

import re

import pytest

from ctsft.plots.run_frontier import group_points, run_frontier
from explorer.compare.points import points
from explorer.compare.summary import seed_means, sentences, unlike_marks
from explorer.text import outcomes

COUNTS = {"indonesian": 120, "javanese": 120}
RANKS = ("gained most", "forgot least", "highest", "ahead")


def no_answers(run_id: str) -> dict:
    return {}


def row(what, seed, source, **changes) -> dict:
    settings = {"target": "javanese", "n": 50, "seed": seed} | changes.pop("settings", {})
    words = {
        "run": f"{what}-{seed}-{source}-{settings}",
        "name": "",
        "given": "",
        "experiment": "",
        "state": "done",
        "what": what,
        "heads": None if what in ("norms", "full") else 6,
        "share": None,
        "seed": seed,
        "n": settings["n"],
        "learning_rate": 3e-3,
        "epochs": settings.get("epochs", 10),
        "model": "demo",
        "task": "demo",
        "source": "indonesian",
        "source_before": 0.85,
        "source_after": source,
        "target": "javanese",
        "target_before": 0.5,
        "target_after": 0.6,
        "forgetting": 0.85 - source,
        "gain": 0.1,
        "measured": COUNTS,
        "settings": settings,
        "setting": f"n={settings['n']}, {settings.get('epochs', 10)} epochs",
    }
    return words | changes


def said(rows) -> str:
    named = points(rows, [one["run"] for one in rows])
    return " ".join(sentences(rows, named)).replace("\\", "")


def test_one_way_with_a_second_seed_is_not_ranked_before_another():
    """Circuit lost .087 by two seeds, full lost .025 with one: the order is not known."""
    text = said([row("circuit", 1, 0.77), row("circuit", 2, 0.756), row("full", 1, 0.825)])
    means = text.split("Of 2 finished runs")[0]
    assert not any(words in means for words in RANKS), means
    assert "“Circuit (6 heads)” changed" in means and "−0.087" in means
    assert "“Everything” (seed 1)" in means and "run each with the seeds 1, 2" in means
    # those with seed 1 were measured alike, and are ranked among themselves
    assert "“Everything, seed 1” has the highest Indonesian accuracy" in text.replace(" #1", "")
    assert "1 other run is not ranked with them: they have different seeds" in text


def test_ways_with_the_same_seeds_are_ranked():
    rows = [
        row(what, seed, source_after)
        for what, source_after in (("circuit", 0.8), ("full", 0.7))
        for seed in "12"
    ]
    text = said(rows)
    assert "By means over 2 seeds, “Circuit (6 heads)” gained most" in text
    assert "(+0.100) and forgot least of the source (−0.050" in text
    assert "ot ranked" not in text
    more = said([*rows, row("norms", 1, 0.84), row("norms", 3, 0.85)])
    assert ") and forgot least" in more and "Not ranked" in more
    assert "(seeds 1, 3)" in more and "run each with the seeds 1, 2" in more


def test_holding_is_a_way_of_tuning_and_ranked_with_the_others():
    def seeds(what, source_after, hold):
        return [
            row(what, seed, source_after, hold=hold, settings={"hold": hold}) for seed in (1, 2)
        ]

    rows = [*seeds("circuit", 0.8, 0.0), *seeds("full", 0.84, 9.0)]
    assert "“Everything, held” forgot least of the source" in said(rows)
    # two strengths are settings of the same way
    text = said([*rows, *seeds("full", 0.83, 90.0)])
    assert "hold 9" in text and "hold 90" in text


@pytest.mark.parametrize("other", [{"n": 25}, {"epochs": 3}])
def test_other_settings_are_not_ranked(other):
    rows = [row("circuit", seed, 0.7) for seed in (1, 2)]
    rows += [row("full", seed, 0.8, settings=other) for seed in (1, 2)]
    means = said(rows).split("finished runs")[0]
    assert not any(words in means for words in RANKS)
    assert "and the same settings" in means


def test_a_second_target_of_one_way_only_is_left_out():
    rows = [row("circuit", seed, 0.7) for seed in (1, 2)]
    rows += [row("full", seed, 0.8) for seed in (1, 2)]
    other = {"target": "acehnese", "settings": {"target": "acehnese"}}
    rows += [row("full", seed, 0.85, **other) for seed in (1, 2)]
    named = points(rows, [one["run"] for one in rows])
    assert named.targets == 2 and named.left_out == 2
    (text,) = seed_means(group_points(named.points))
    assert not any(words in text for words in RANKS)


def test_single_runs_are_ranked_with_their_seed_and_settings_only():
    rows = [row("circuit", 1, 0.8), row("full", 2, 0.7)]
    (text,) = outcomes.summary(rows, no_answers)
    assert "are not ranked: they have different seeds" in text
    assert not any(words in text for words in RANKS)
    (text,) = outcomes.summary([rows[0], row("full", 1, 0.7, settings={"n": 25})], no_answers)
    assert "differ in more than what is trained" in text
    assert not any(words in text for words in RANKS)
    (text,) = outcomes.summary([rows[0], row("full", 1, 0.7)], no_answers)
    assert "highest" in text


def test_the_description_of_the_chart_ranks_alike_only():
    def description(rows) -> str:
        figure = run_frontier(points(rows, [one["run"] for one in rows]).points)
        return str(figure.layout.meta)

    two = [row("circuit", 1, 0.77), row("full", 1, 0.82)]
    assert re.search("largest target change", description(two))
    more = [*two, row("circuit", 2, 0.75)]
    assert "not ranked" in description(more)
    for rows, seen in ((two, False), (more, True)):
        named = points(rows, [one["run"] for one in rows])
        assert ("different seeds" in unlike_marks(named)) == seen


def test_three_seeds_are_compared_seed_by_seed():
    """Seeds move both ways together: their differences are far clearer than their means."""
    seeds = {1: 0.0, 2: 0.1, 3: -0.1, 4: 0.05}
    rows = [
        row(what, seed, source_after + shift + seed / 1000 * (what == "full"))
        for what, source_after in (("circuit", 0.7), ("full", 0.65))
        for seed, shift in seeds.items()
    ]
    text = said(rows)
    assert "“Circuit (6 heads)” gained most on the target" in text
    assert ") and forgot least of the source" in text
    assert re.search(
        r"\+0\.04[78], 95 % \[\+0\.045, \+0\.050\] ahead of the next, p < 0\.001", text
    )
    assert "ahead of the next" not in said([one for one in rows if one["seed"] < 3])
