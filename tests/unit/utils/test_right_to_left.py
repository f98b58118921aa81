"""Right-to-left text keeps to itself wherever it is shown; left-to-right text is not touched."""

import pytest

from ctsft.plots import head_on_text
from ctsft.utils.format import hover_text
from ctsft.utils.right_to_left import ISOLATE_END, ISOLATE_START, add_isolates, isolate
from explorer.text.markdown import literal

ARABIC, HEBREW = "خدمة ممتازة!", "שלום"


@pytest.mark.parametrize("text", ["", "plain", "ชอบที่นี่", "很好", "😍 👨\u200d👩\u200d👧", "1 < 2"])
def test_what_runs_from_left_to_right_stays_as_it_is(text):
    assert (
        isolate(text) == text
        and ISOLATE_START not in hover_text(text)
        and ISOLATE_START not in literal(text)
    )


@pytest.mark.parametrize("text", [ARABIC, HEBREW, f"good {ARABIC}"])
def test_what_does_not_is_fenced_once_and_whole(text):
    assert (
        isolate(text)
        == f"{ISOLATE_START}{text}{ISOLATE_END}"
        == isolate(isolate(text))
        == add_isolates(isolate(text))
    )
    assert (
        literal(text)[0] == ISOLATE_START
        and literal(text)[-1] == ISOLATE_END
        and literal(text).count(ISOLATE_START) == 1
    )
    label = head_on_text.label(text)
    assert label[0] == ISOLATE_START and label.count(ISOLATE_START) == label.count(ISOLATE_END) == 1


def test_each_line_of_a_hover_is_fenced_by_itself():
    lines = hover_text(" ".join([ARABIC] * 20), 60, 3).removesuffix("…").split("<br>")
    assert len(lines) == 3 and all(
        line[0] == ISOLATE_START and line[-1] == ISOLATE_END for line in lines
    )
    assert "<" not in hover_text(f"<b>{ARABIC}</b>") and "&lt;b&gt;" in hover_text(
        f"<b>{ARABIC}</b>"
    )
