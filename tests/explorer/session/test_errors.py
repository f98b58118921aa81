"""Unforeseen errors end as one sentence with folded details; Streamlit's own stop and rerun pass
through.
"""

import pytest
from streamlit.testing.v1 import AppTest

from ctsft.attribution.cost_estimate import Estimate
from explorer.widgets import cost_estimate


@pytest.fixture(autouse=True)
def unexpected():
    """Here the page's own sentence is what counts."""


def page(kind: str):
    import streamlit as st

    from ctsft.utils.errors import UserError
    from explorer.session import errors as guard

    def part():
        raise KeyError("in a part")

    with guard.guarded():
        st.write("begun")
        if kind == "stop":
            st.stop()
        if kind == "rerun" and not st.session_state.get("again"):
            st.session_state.again = True
            st.rerun()
        if kind == "user":
            raise UserError("Three came, two were expected; give two.")
        if kind == "part":
            guard.fragment(part)()
        if kind == "surprise":
            raise ZeroDivisionError("<b>by nothing")
    st.write("after")


def shown(kind: str) -> AppTest:
    return AppTest.from_function(page, args=(kind,), default_timeout=60).run()


@pytest.mark.parametrize(
    ("kind", "detail"),
    [("surprise", "ZeroDivisionError: <b>by nothing"), ("part", "KeyError: 'in a part'")],
)
def test_a_surprise_is_a_sentence_with_folded_details(kind, detail):
    at = shown(kind)
    assert (
        not at.exception
        and len(at.error) == 1
        and "Reload the page" in at.error[0].value
        and detail not in at.error[0].value
    )
    assert (
        at.expander[0].label == "Details"
        and at.expander[0].code[0].value.startswith(detail)
        and "/" not in at.expander[0].code[0].value
    )
    assert at.markdown[-1].value == "after", "what stands below goes on"


def test_a_users_mistake_is_its_own_sentence():
    at = shown("user")
    assert [one.value for one in at.error] == [
        "Three came, two were expected; give two."
    ] and not at.expander


def test_stop_and_rerun_pass_through():
    assert [one.value for one in shown("stop").markdown] == ["begun"] and not shown("stop").error
    again = shown("rerun")
    assert again.session_state["again"] and not again.error and again.markdown[-1].value == "after"


def test_what_checking_the_scores_takes_is_the_sum_of_its_parts():
    def cost(seconds):
        return Estimate("", 10, 100, 1.0, seconds, 1, 1.0)

    # 490 s: 49 passes over 10 texts, 1 s a text
    parts = ({"cdt": cost(3.0), "atp": cost(1.0), "ablation": cost(490.0)}, 48)
    scorings = 4 * 3 + 1 + 5 + 9 + 490
    assert cost_estimate.checks_seconds(*parts, 0, 0, 0) == pytest.approx(scorings)
    assert cost_estimate.checks_seconds(*parts, 0, 9, 5) == pytest.approx(scorings + 5 * (3 + 1))
    # 1, 2, 4, 9, 16, 24, 36 and 48 heads
    sizes = 8
    assert cost_estimate.checks_seconds(*parts, 20, 3, 0) == pytest.approx(
        scorings + 20 * sizes * (3 + 8)
    )
