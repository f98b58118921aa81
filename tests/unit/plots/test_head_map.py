import json

import numpy as np
import pytest

from ctsft.plots import style
from ctsft.plots.head_grid import Scale, cell_size, head_grid, hover_texts, symmetric_limit, toggle
from ctsft.plots.head_marks import Marks
from ctsft.plots.style import COLOURS, alt
from ctsft.utils.format import hover_text


def values(layers=4, heads=8):
    out = np.random.default_rng(0).normal(0, 0.1, (layers, heads))
    out[2, 3] = 1.93
    return out


def named(fig, name):
    return [trace for trace in fig.data if trace.name == name]


def corners(trace):
    """The heads around which a trace draws closed squares."""
    xs, ys, outlined, path = list(trace.x), list(trace.y), set(), []
    for x, y in zip(xs, ys, strict=True):
        if x is None:
            outlined.add(
                (round(np.mean([p[1] for p in path[:4]])), round(np.mean([p[0] for p in path[:4]])))
            )
            path = []
        else:
            path.append((x, y))
    return outlined


@pytest.mark.parametrize("flip", [False, True])
def test_clicks_carry_the_head_they_lie_on(flip):
    shown = values()
    fig = head_grid(shown, flip=flip)
    clicks = named(fig, "heads")[0]
    assert [[y, x] for x, y in zip(clicks.x, clicks.y, strict=True)] == [
        list(at) for at in clicks.customdata
    ]
    at = [list(c) for c in clicks.customdata].index([2, 3])
    assert "L2.H3" in clicks.text[at] and "1.93" in clicks.text[at] and fig.data[0].z[2][3] == 1.93
    assert len(clicks.x) == shown.size and fig.data[-1] is clicks, (
        "the click layer is complete and on top"
    )
    sent = json.loads(fig.to_json())["data"][-1]["customdata"]
    assert sent[at] == [
        2,
        3,
    ], "sent as plain lists: a packed array comes back from a click as an object"


def test_axes_are_fixed_with_layer_0_on_top_unless_flipped():
    assert list(head_grid(values()).layout.xaxis.range) == [-0.5, 7.5]
    assert list(head_grid(values()).layout.yaxis.range) == [3.5, -0.5]
    assert list(head_grid(values(), flip=True).layout.yaxis.range) == [-0.5, 3.5]
    assert (
        head_grid(values()).data[0].hoverinfo == "skip"
        and head_grid(values()).layout.dragmode == "pan"
    )


def test_scale_is_symmetric_and_clipped_at_the_99th_percentile():
    flat = np.linspace(-1, 1, 1000).reshape(20, 50)
    flat[0, 0] = -100.0
    assert 0.9 < symmetric_limit(flat) < 1.01, "one outlier does not set the scale"
    heat = head_grid(flat).data[0]
    assert heat.zmin == -heat.zmax == -symmetric_limit(flat)
    assert "99th percentile" in heat.colorbar.title.text and "≤" in "".join(heat.colorbar.ticktext)
    shared = head_grid(flat, scale=Scale("logits", 200.0)).data[0]
    assert (shared.zmin, shared.zmax) == (-200, 200) and "99th" not in shared.colorbar.title.text
    assert "≤" not in "".join(shared.colorbar.ticktext), "nothing lies beyond this scale"
    assert symmetric_limit(flat[1:], flat) == symmetric_limit(np.vstack([flat[1:], flat]))


@pytest.mark.parametrize("shown", [np.zeros((2, 3)), np.full((2, 3), np.nan)])
def test_zeros_and_nan_still_have_a_scale(shown):
    fig = head_grid(shown)
    assert (fig.data[0].zmin, fig.data[0].zmax) == (-1, 1)
    assert ("none computed yet" in alt(fig)) == bool(np.isnan(shown).all())


def test_percentile_ignores_nan_and_falls_back_to_the_maximum():
    sparse = np.zeros((20, 20))
    sparse[0, 0] = 3.0
    assert symmetric_limit(sparse) == 3.0
    sparse[1] = np.nan
    assert symmetric_limit(sparse) == 3.0


def test_outlines_are_the_circuit_and_hand_marks_are_told_apart():
    marks = Marks(
        frozenset({(0, 1), (3, 7), (2, 2)}),
        added=frozenset({(2, 2)}),
        removed=frozenset({(1, 1)}),
        selected=(3, 0),
    )
    fig = head_grid(values(), marks)
    halo, ink = named(fig, "outline")
    assert corners(ink) == corners(halo) == {(0, 1), (3, 7), (2, 2)}
    assert halo.line.width > ink.line.width and (halo.line.color, ink.line.color) == (
        COLOURS["halo"],
        COLOURS["ink"],
    )
    middles = {
        kind: {(y, x) for x, y in _middles(named(fig, kind)[1])} for kind in ("added", "removed")
    }
    assert middles == {"added": {(2, 2)}, "removed": {(1, 1)}}
    ring = named(fig, "selected")[1]
    assert np.mean(list(ring.x[:-2])) == pytest.approx(0, abs=1e-9) and np.mean(
        ring.y[:-2]
    ) == pytest.approx(3)
    assert not named(head_grid(values()), "outline") and not fig.layout.shapes, (
        "one stroke a kind, no shape per head"
    )
    assert all(
        word in fig.layout.annotations[0].text
        for word in ("circuit", "added", "removed", "selected")
    )
    assert not head_grid(values()).layout.annotations[0].text


def _middles(trace):
    parts = [(x, y) for x, y in zip(trace.x, trace.y, strict=True) if x is not None]
    return [
        (round((a[0] + b[0]) / 2, 6), round((a[1] + b[1]) / 2, 6))
        for a, b in zip(parts[::2], parts[1::2], strict=True)
    ]


def test_a_removed_head_loses_its_outline():
    marks = Marks(frozenset({(0, 1), (1, 1)}), removed=frozenset({(1, 1)}))
    assert corners(named(head_grid(values(), marks), "outline")[1]) == {(0, 1)} == marks.members


def test_a_circuit_of_another_model_is_refused():
    with pytest.raises(ValueError, match="L9.H0 is not on this map of 4 layers x 8 heads"):
        head_grid(values(), Marks(frozenset({(9, 0), (0, 0)})))


@pytest.mark.parametrize(("layers", "heads"), [(4, 8), (12, 12), (24, 14), (32, 32), (48, 32)])
def test_cells_are_square_and_the_same_size_whatever_is_marked(layers, heads):
    bare, marked = (
        head_grid(values(layers, heads)),
        head_grid(values(layers, heads), Marks(frozenset({(0, 0)})), title="T"),
    )
    margin, size = bare.layout.margin, cell_size(layers, heads)
    columns, rows = max(layers, heads), min(layers, heads)  # a tall one lies on its side
    assert bare.layout.width - margin.l - margin.r == pytest.approx(size * columns)
    assert bare.layout.height - margin.t - margin.b == pytest.approx(size * rows)
    assert (bare.layout.width, bare.layout.height, margin) == (
        marked.layout.width,
        marked.layout.height,
        marked.layout.margin,
    )
    assert bare.layout.height < 800 and len(bare.layout.xaxis.tickvals) <= 16


def test_toggle_is_pure_and_undoes_itself():
    heads = {(0, 1), (2, 3)}
    points = [
        {"customdata": [2, 3]},
        {"customdata": {"0": 1, "1": 1}},
        {"x": 4},
        {"customdata": [2, 3]},
    ]
    once = toggle(points, heads)
    assert once == {(0, 1), (1, 1)} and heads == {(0, 1), (2, 3)}
    assert toggle(points, once) == heads and toggle([], heads) == heads


def test_alt_names_the_extremes_and_the_circuit():
    text = alt(
        head_grid(
            values(), Marks(frozenset({(2, 3)}), added=frozenset({(0, 0)})), title="Relevance"
        )
    )
    assert text.startswith("Relevance") and "32 heads" in text and "highest L2.H3 1.93" in text
    assert "2 in the circuit: L0.H0, L2.H3" in text and "1 added by hand" in text
    assert "highest L0.H0 5" in alt(head_grid(np.array([[5.0, 1.0]])))


def test_hover_says_score_rank_labels_reason_and_kv_group():
    shown = values()
    texts = hover_texts(shown, {"<neg>": shown / 2}, {(2, 3): "top 6 by score"}, kv_group=4)
    for part in (
        "L2.H3",
        "1.93",
        "rank 1 of 32",
        "&lt;neg&gt;: 0.965",
        "top 6 by score",
        "H0 to H3",
    ):
        assert part in texts[2][3]
    assert "not in the circuit" in texts[0][0] and "H4 to H7" in texts[0][5]
    assert head_grid(shown, hover=texts).data[-1].text[2 * 8 + 3] == texts[2][3]


def test_a_sequential_map_starts_at_zero():
    scale = Scale("norm of z", sequential=True)
    heat = head_grid(np.abs(values()), scale=scale).data[0]
    assert heat.zmin == 0 and heat.zmax > 0 and "norm of z" in heat.colorbar.title.text


def test_the_figure_leaves_background_and_font_to_the_theme():
    layout = head_grid(values()).layout
    assert (
        layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)" and layout.font.color is None
    )


def test_foreign_text_is_escaped_and_cut():
    assert hover_text("<b>x</b>") == "&lt;b&gt;x&lt;/b&gt;" and hover_text("word " * 500).endswith(
        "…"
    )


def luminance(colour):
    rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("page", ["#ffffff", "#0e1117"])
@pytest.mark.parametrize("meaning", ["source", "target", "related", "circuit", "control"])
def test_each_meaning_shows_on_both_pages(meaning, page):
    light, dark = sorted((luminance(COLOURS[meaning]), luminance(page)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3, "WCAG's contrast for graphics"


def lightness(colour):
    """CIE L*, 0 black to 100 white."""
    return 116 * luminance(colour) ** (1 / 3) - 16


@pytest.mark.parametrize("scale", [style.DIVERGING, style.SEQUENTIAL])
def test_scales_are_read_by_lightness_with_any_colour_vision(scale):
    steps = [lightness(colour) for _, colour in scale]
    centre = len(steps) // 2 if scale is style.DIVERGING else 0
    assert min(abs(steps[end] - steps[centre]) for end in {0, len(steps) - 1} - {centre}) > 50, (
        "the poles are much darker than the centre"
    )
    for side in (steps[centre::-1], steps[centre:]):
        assert side == sorted(side, reverse=True), "and get darker all the way"


def test_the_diverging_poles_differ_by_blue_and_red_too():
    low, high = (
        tuple(int(style.DIVERGING[end][1][i : i + 2], 16) for i in (1, 3, 5)) for end in (1, -2)
    )
    assert high[2] - low[2] > 40 and high[0] - low[0] > 80 and low[1] - high[1] > 25, (
        "purple against green: not told apart by green and red alone"
    )
