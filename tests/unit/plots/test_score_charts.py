import numpy as np
import pytest

from ctsft.plots.score_charts import (
    example_points,
    label_bars,
    mean_bars,
    score_histogram,
)
from ctsft.plots.style import COLOURS, alt


def test_histogram_counts_every_head_once_and_colours_the_circuit():
    values = np.random.default_rng(0).normal(size=(6, 8))
    values[0, 0] = np.nan
    chosen = {(1, 1), (2, 5)}
    fig = score_histogram(values, 0.7, chosen)
    inside, others, ticks = fig.data
    assert sum(inside.y) == 2 and sum(others.y) == 45 and inside.marker.color == COLOURS["circuit"]
    assert list(map(tuple, ticks.customdata)) == sorted(chosen) and list(ticks.x) == [
        values[1, 1],
        values[2, 5],
    ]
    assert fig.layout.shapes[0].x0 == 0.7 and "47 heads, 2 in the circuit, threshold 0.7" in alt(
        fig
    )
    assert not score_histogram(values, None, chosen).layout.shapes


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.full((2, 2), np.nan)])
def test_histogram_of_nothing_still_draws(values):
    assert score_histogram(values, None, set()).layout.yaxis.range[1] > 0


def test_head_means_put_the_balanced_mean_first():
    fig = mean_bars(2.1, {"negative": 0.4, "positive": 0.6})
    assert list(fig.data[0].y) == ["balanced mean", "negative", "positive"] and list(
        fig.data[0].x
    ) == [2.1, 0.4, 0.6]
    assert "positive is farthest from it" in alt(fig)


def test_a_label_keeps_its_colour_across_charts():
    bars = label_bars({"negative": 0.4, "positive": -0.2}, {"negative": 0.1, "positive": 0.05})
    strip = example_points(np.array([1.0, 0.0]), ["negative", "positive"], ["a", "b"])
    means = mean_bars(1.0, {"negative": 0.1, "positive": 0.1})
    for i in (0, 1):
        assert (
            bars.data[i].marker.color[0]
            == strip.data[i].marker.color
            == means.data[0].marker.color[i + 1]
        )
    assert list(bars.data[1].error_x.array) == [0.05] and "positive −0.2 ± 0.05" in alt(bars)


def test_strip_shows_each_example_in_its_labels_row():
    scores, labels = np.array([0.1, 0.9, 0.3]), ["negative", "positive", "negative"]
    fig = example_points(scores, labels, ["<script>", "bagus", "buruk"])
    negative, positive = fig.data
    assert list(negative.x) == [0.1, 0.3] and [c[0] for c in negative.customdata] == [0, 2]
    assert max(abs(y) for y in negative.y) < 0.5 and all(0.5 < y < 1.5 for y in positive.y)
    assert "&lt;script&gt;" in negative.text[0] and "negative 0.2, positive 0.9" in alt(fig)
    assert [s.x0 for s in fig.layout.shapes[:2]] == pytest.approx([0.2, 0.9])
