"""Two sets of scores against each other: which runs may be compared, the rank correlation, shared
scales, and what was opened before.
"""

import numpy as np
import pytest
import torch

from ctsft import runs
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.jobs.reporter import finish
from ctsft.jobs.requests import ScoreRequest, Scoring, Subject
from ctsft.plots import score_agreement
from ctsft.plots.head_grid import symmetric_limit
from ctsft.plots.head_marks import Marks
from ctsft.plots.style import alt
from ctsft.utils import home, statistics
from explorer.session import recent, scoring_choices


def scores(values, method="cdt") -> Scores:
    return Scores(torch.tensor(values)[None], ["a"], ["x"], method, ScoreConfig(), {})


FIRST, SECOND = (
    scores([[1.0, 2.0, -1.0], [0.0, 0.5, 9.0]]),
    scores([[2.0, 1.0, -3.0], [0.0, 0.5, float("nan")]]),
)


def run(language: str, shape=(2, 3), state: str = "done", model: str = "m", **scoring) -> runs.Run:
    subject = Subject(model, "t", language=language)
    request = ScoreRequest(subject=subject, scoring=Scoring(**scoring))
    try:
        with runs.record(request) as writer:
            FIRST.save(writer.file("scores.safetensors"))
            about = {"model": model, "task": "t", "language": language, "heads": []}
            finish(writer, about | {"n_layers": shape[0], "n_heads": shape[1]})
            if state == "failed":
                raise ValueError("no")
    except ValueError:
        pass
    return runs.get(writer.id)


def test_only_scorings_in_the_same_way_of_the_same_shape_stand_beside():
    first = run("a")
    good, other_model = run("b", size=30), run("a", model="folder/m2")
    (
        run("c", method="atp"),
        run("d", attention="frozen"),
        run("e", rules="symmetric"),
        run("f", shape=(4, 3)),
        run("g", state="failed"),
    )
    assert {one.id for one in scoring_choices.comparable(first, FIRST)} == {good.id, other_model.id}
    newer = run("b", size=30)
    # one a subject, the newest
    comparable = {one.id for one in scoring_choices.comparable(first, FIRST)}
    assert comparable == {newer.id, other_model.id}
    assert scoring_choices.short_titles(first, good) == ("a", "b") and scoring_choices.short_titles(
        first, other_model
    ) == (
        "m",
        "m2",
    )
    assert scoring_choices.description(good) == "b (train), m, 30 examples, seed 0"


def test_rank_correlation():
    a = np.array([1.0, 2, 3, 4, np.nan])
    assert statistics.spearman(a, a**3) == pytest.approx(1) and statistics.spearman(
        a, -a
    ) == pytest.approx(-1)
    assert np.isnan(statistics.spearman(a, np.zeros(5))) and np.isnan(
        statistics.spearman(a[:2], a[:2])
    )


def test_the_scatter_leaves_out_heads_one_lacks_and_rings_the_selected_one():
    fig = score_agreement.agreement(FIRST, SECOND, ("CD-T", "Mean ablation"), (0, 1))
    points, ring = fig.data
    assert [tuple(at) for at in points.customdata] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)] and (
        ring.x[0],
        ring.y[0],
    ) == (2.0, 1.0)
    assert f"{statistics.spearman(FIRST.values.numpy(), SECOND.values.numpy()):.2f}" in alt(fig)
    assert len(score_agreement.agreement(FIRST, SECOND, ("a", "b"), (1, 2)).data) == 1


def test_maps_share_a_scale_and_the_difference_is_second_minus_first():
    first, second, gap = score_agreement.difference_maps(FIRST, SECOND, ("a", "b"), Marks(), False)
    limit = symmetric_limit(FIRST.values.numpy(), SECOND.values.numpy())
    assert (
        first.data[0].zmax == second.data[0].zmax == pytest.approx(limit)
        and first.data[0].zmin == -first.data[0].zmax
    )
    assert (
        np.allclose(gap.data[0].z, SECOND.values - FIRST.values, equal_nan=True)
        and gap.layout.title.text == "b − a"
    )


def test_ways_are_told_apart():
    assert [
        scoring_choices.way_of(scoring_choices.other_way(Scoring(size=7, seed=3), way))
        for way in scoring_choices.WAYS
    ] == list(scoring_choices.WAYS)
    assert scoring_choices.other_way(Scoring(size=7, seed=3), "atp").size == 7


def test_recent_names_come_back_newest_first_without_what_is_gone(tmp_path):
    (tmp_path / "model").mkdir()
    for name in ("demo", str(tmp_path / "model"), "Qwen/Qwen2.5-0.5B", "demo", "/nowhere/x"):
        recent.remember("models", name)
    assert (
        recent.listed("models") == ["demo", "Qwen/Qwen2.5-0.5B", str(tmp_path / "model")]
        and recent.listed("tasks") == []
    )
    for i in range(20):
        recent.remember("tasks", f"t{i}")
    assert (
        recent.listed("tasks") == [f"t{i}" for i in range(19, 11, -1)]
        and recent.listed("models")[0] == "demo"
    )
    for torn in (b"{", b"[1]", b'{"models": 3}', b'{"models": [1, "a"]}'):
        (home.home() / "recent.json").write_bytes(torn)
        assert set(recent.listed("models")) <= {"a"}


def test_correlation_pairs_the_same_heads_and_skips_uncomputed_ones():
    a, b = np.array([[1.0, np.nan], [3.0, 4.0]]), np.array([[40.0, 20.0], [30.0, 10.0]])
    fig = score_agreement.score_scatter(a, b, ("CD-T", "ablation"))
    points = fig.data[0]
    assert [list(c) for c in points.customdata] == [[0, 0], [1, 0], [1, 1]]
    assert list(points.x) == [1, 3, 4] and list(points.y) == [40, 30, 10]
    assert "ρ = −1.00" in fig.layout.annotations[0].text and "3 heads" in alt(fig)
