"""Charts of one head on one text, and of a task's rows: what is drawn is what was given, in any
script, and foreign text is only text.
"""

import numpy as np
import pytest

from ctsft.plots.data import balance_bars, confusion_map, length_lines
from ctsft.plots.head_on_text import attention_map, label, label_effects, token_bars, word_effects
from ctsft.plots.style import alt, sign_colours
from ctsft.utils.right_to_left import ISOLATE_END, ISOLATE_START

PIECES = ["قهوة", " ممتازة", " <b>x</b>", "\n", " ", "…", " tea"]


PATTERN = np.tril(np.arange(49.0).reshape(7, 7) + 1)


PATTERN /= PATTERN.sum(1, keepdims=True)


def test_tokens_are_isolated_visible_and_escaped():
    assert [label(piece)[1:-1] for piece in PIECES] == [
        "قهوة",
        "ممتازة",
        "&lt;b&gt;x&lt;/b&gt;",
        "⏎",
        "␣",
        "…",
        "tea",
    ]
    assert all(
        label(piece)[0] == ISOLATE_START and label(piece)[-1] == ISOLATE_END for piece in PIECES
    )
    assert (
        label("\x07")[1:-1] == "U+0007"
        and label("\u202eabc")[1:-1] == "U+202Eabc"
        and label("")[1:-1] == "∅"
    )
    assert len(label("x" * 99)) < 30


def test_the_pattern_stands_with_queries_down_and_the_readout_framed():
    fig = attention_map(PATTERN, PIECES, 6)
    heat = fig.data[0]
    assert np.allclose(heat.z, PATTERN) and heat.zmin == 0 and heat.zmax == PATTERN.max()
    assert list(fig.layout.yaxis.range) == [6.5, -0.5] and list(fig.layout.xaxis.range) == [
        -0.5,
        6.5,
    ]
    assert "attends to" in heat.text[6][0] and f"{PATTERN[6, 0]:.3f}" in heat.text[6][0]
    frame = fig.layout.shapes[0]
    assert (frame.y0, frame.y1) == (5.5, 6.5) and "token 7" in alt(fig) and "'tea'" in alt(fig)


def test_a_long_text_has_fewer_ticks_and_stays_on_the_page():
    fig = attention_map(np.eye(128), ["a"] * 128, 127)
    assert len(fig.layout.xaxis.tickvals) < 128 and fig.layout.height < 1000


def test_a_row_a_token_with_score_and_attention_beside_each_other():
    values = np.linspace(-1, 2, 7)
    fig = token_bars(PIECES, values, PATTERN[6], "relevance (logits)")
    first, second = fig.data
    assert (
        np.allclose(first.x, values)
        and np.allclose(second.x, PATTERN[6])
        and list(first.y) == list(second.y) == list(range(7))
    )
    assert list(fig.layout.yaxis.ticktext) == [label(piece) for piece in PIECES] and list(
        first.marker.color
    ) == sign_colours(first.x)
    assert "sum to 3.5" in alt(fig) and "relevance (logits)" in fig.layout.xaxis.title.text


def test_effects_keep_signs_order_and_the_right_label():
    fig = label_effects({"negative": -1.0, "<i>": 2.0}, "<i>")
    assert (
        list(fig.data[0].x) == [-1.0, 2.0]
        and fig.data[0].y[1].endswith("✓")
        and "&lt;i&gt;" in fig.data[0].y[1]
    )
    words = word_effects([(" tea", 3.0), ("b", 2.0)], [("c", -4.0), ("d", -1.0)])
    assert (
        list(words.data[0].x) == [3.0, 2.0, -1.0, -4.0]
        and "raises 'tea' most" in alt(words)
        and "lowers 'c' most" in alt(words)
    )


def test_balance_and_lengths():
    fig = balance_bars({"a": {"x": 3, "<b>": 1}, "b": {"x": 0, "<b>": 2}})
    assert (
        [list(bar.x) for bar in fig.data] == [[3, 0], [1, 2]]
        and fig.data[1].name == "&lt;b&gt;"
        and "x 3" in alt(fig)
    )
    lines = length_lines({"a": [3, 3, 9], "b": []}, {"a": "source"}, 9)
    assert (
        len(lines.data) == 1
        and sum(lines.data[0].y) == pytest.approx(1)
        and "cut at 9" in lines.layout.annotations[0].text
    )
    assert "median 3, longest 9" in alt(lines)


def test_confusion_counts_and_shares():
    fig = confusion_map(np.array([[3, 1], [0, 0]]), ("x", "<b>"))
    # a label without rows is no error
    assert np.allclose(fig.data[0].z, [[0.75, 0.25], [0, 0]])
    assert [note.text for note in fig.layout.annotations] == [
        "3",
        "1",
        "0",
        "0",
    ] and "x: 3 answered x, 1 answered <b>" in alt(fig)
    assert fig.layout.yaxis.autorange == "reversed" and "&lt;b&gt;" in fig.layout.xaxis.ticktext
