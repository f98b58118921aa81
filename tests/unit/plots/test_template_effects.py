"""The figure of what head maps depend on: the report's numbers, each with its interval."""

import pytest

from ctsft import UserError, plots
from ctsft.plots.style import alt

REPORT = {
    "k": 4,
    "shares": {
        "same": {"value": 0.6, "low": 0.5, "high": 0.75},
        "template": {"value": -0.01, "low": -0.02, "high": 0.01},
        "rest": {"value": None, "low": None, "high": None},
    },
    "overlap": {
        "template": {"jaccard": 0.5, "above": 0.4, "low": None, "high": None},
        "pool": {"jaccard": 0.7, "above": 0.6, "low": 0.5, "high": 0.7},
    },
}


def test_it_draws_the_report_s_numbers():
    fig = plots.template_chart(REPORT)
    shares, overlap = fig.data
    assert list(shares.y) == ["same in all maps", "template"] and list(shares.x) == [0.6, -0.01]
    assert list(shares.error_x.array) == pytest.approx([0.15, 0.02])
    assert list(shares.error_x.arrayminus) == pytest.approx([0.1, 0.01])
    assert list(overlap.x) == [0.4, 0.6] and list(overlap.error_x.array) == pytest.approx([0, 0.1])
    assert "same in all maps 60%" in alt(fig) and "first 4 heads" in fig.layout.xaxis2.title.text


@pytest.mark.parametrize(("report", "words"), [([], "'list'"), ({}, "no shares of variance")])
def test_another_input_is_refused(report, words):
    with pytest.raises(UserError, match=words):
        plots.template_chart(report)
