"""Clicks on a head map: each is applied once and in order, however often the browser sends it."""

from types import SimpleNamespace

import pytest

from explorer.widgets import head_clicks


@pytest.fixture
def send(monkeypatch):
    """send(clicks) -> the heads that were heard, and the number that the browser is answered."""
    state, drawn = {}, {}
    monkeypatch.setattr(head_clicks.st, "session_state", state)

    def component(*_, **__):
        return lambda **given: drawn.update(given)

    monkeypatch.setattr(head_clicks.st.components.v2, "component", component)
    heard = []

    def clicks(*sent: tuple[int, list[int]]) -> tuple[list, int]:
        head_clicks.draw("map", [(0, 0), (0, 1), (1, 0)], heard.append)
        state[drawn["key"]] = SimpleNamespace(
            clicks=[{"seq": seq, "head": head} for seq, head in sent]
        )
        drawn["on_clicks_change"]()
        head_clicks.draw("map", [(0, 0), (0, 1), (1, 0)], heard.append)
        return heard, drawn["data"]["seq"]

    return clicks


def test_a_click_that_is_sent_again_counts_once(send):
    assert send((1, [0, 1])) == ([(0, 1)], 1)
    assert send((1, [0, 1]), (2, [1, 0]), (3, [0, 1])) == ([(0, 1), (1, 0), (0, 1)], 3)
    assert send() == ([(0, 1), (1, 0), (0, 1)], 3)


def test_a_head_that_is_not_on_offer_is_left_out(send):
    assert send((1, [7, 0]), (2, [0, 0])) == ([(0, 0)], 2)
