"""The map of a page: two methods about the same heads, one scale or one a layer, and its axes."""

import numpy as np
import pytest
import torch

from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.circuit.selection import select
from ctsft.plots import map_axes, method_map
from ctsft.plots.head_grid import head_grid
from ctsft.plots.head_marks import Marks
from ctsft.plots.style import alt


def made(layers: int, heads: int, seed: int = 0, method: str = "cdt") -> Scores:
    about = {
        "model": "m",
        "model_type": "qwen2",
        "n_layers": layers,
        "n_heads": heads,
        "n_kv_heads": heads,
        "task": "t",
    }
    values = torch.randn(2, layers, heads, generator=torch.Generator().manual_seed(seed))
    values[:, 0] *= 100  # as in early layers
    return Scores(values, ["a", "b"], ["x", "y"], method, ScoreConfig(), about)


def named(fig, name):
    return [trace for trace in fig.data if trace.name == name]


def test_hover_says_both_numbers_and_the_cells_in_dispute_are_hatched():
    scores, other = made(3, 4), made(3, 4, 1, "atp")
    circuit = select(scores, "top", k=2)
    fig = method_map.method_map(scores, circuit, other=other, hatched=[(1, 2)])
    texts = dict(
        zip(map(tuple, named(fig, "heads")[0].customdata), named(fig, "heads")[0].text, strict=True)
    )
    for head, text in texts.items():
        assert f"{scores.values[head].item():.3g}".replace("-", "−") in text
        rank = other.ranking().index(head) + 1
        shown = f"{other.values[head].item():.3g}".replace("-", "−")
        assert f"Attribution patching: {shown}, rank {rank} of 12" in text
    ink = named(fig, "hatched")[1]
    xs, ys = ([value for value in part if value is not None] for part in (ink.x, ink.y))
    assert np.allclose([np.mean(xs), np.mean(ys)], [2, 1]), "in its cell"
    assert "hatched, as removal disagrees about them: L1.H2" in alt(fig)
    assert not named(method_map.method_map(scores, circuit), "hatched")


def test_each_layer_by_itself_shows_the_pattern_of_small_layers():
    scores = made(3, 4)
    fig = method_map.method_map(scores, select(scores, "none"), method_map.Look(by_layer=True))
    cells = np.array(fig.data[0].z)
    assert np.allclose(np.abs(cells).max(axis=1), 1) and (fig.data[0].zmin, fig.data[0].zmax) == (
        -1,
        1,
    )
    assert "each layer by itself" in fig.data[0].colorbar.title.text
    assert np.array_equal(np.sign(cells), np.sign(scores.values.numpy()))
    whole = method_map.method_map(scores, select(scores, "none"))
    assert "99th percentile" in whole.data[0].colorbar.title.text
    assert np.abs(np.array(whole.data[0].z))[1:].max() < 10
    flat = np.zeros((2, 3))
    flat[1, 1] = np.nan
    assert np.array_equal(method_map.shares_of_layer(flat), flat, equal_nan=True)


@pytest.mark.parametrize(("flip", "ends"), [(False, [-0.5, 5.5]), (True, [5.5, -0.5])])
def test_a_tall_model_lies_on_its_side(flip, ends):
    values = np.arange(18.0).reshape(6, 3)
    marks = Marks(frozenset({(4, 1)}), added=frozenset({(4, 1)}), selected=(5, 2))
    fig = head_grid(values, marks, flip=flip)
    assert np.array_equal(np.array(fig.data[0].z), values.T)
    assert list(fig.layout.xaxis.range) == ends and fig.layout.xaxis.title.text == "layer"
    assert list(fig.layout.yaxis.range) == [2.5, -0.5] and fig.layout.yaxis.title.text == "head"
    clicks = named(fig, "heads")[0]
    assert [list(at) for at in clicks.customdata] == [
        [x, y] for x, y in zip(clicks.x, clicks.y, strict=True)
    ]
    for name, (x, y) in (("outline", (4, 1)), ("added", (4, 1)), ("selected", (5, 2))):
        trace = named(fig, name)[1]
        xs, ys = ([v for v in part if v is not None] for part in (trace.x, trace.y))
        assert ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2) == pytest.approx((x, y), abs=0.02)
    assert fig.layout.width > fig.layout.height
    assert not map_axes.is_sideways(3, 3) and map_axes.place((4, 1), (6, 3)) == (4, 1)


def test_a_map_that_fills_the_width_keeps_its_axes_and_its_height():
    values = np.arange(48.0).reshape(6, 8)
    fig = map_axes.fill(head_grid(values), 6, 8)
    assert fig.layout.width is None and fig.layout.yaxis.scaleanchor is None
    assert list(fig.layout.xaxis.range) == [-0.5, 7.5] and fig.layout.hoverdistance == -1
    tall = map_axes.fill(head_grid(np.zeros((48, 32))), 48, 32)
    assert fig.layout.height < 480 and tall.layout.height < 560
