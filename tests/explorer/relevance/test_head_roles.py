"""The roles of heads on Relevance, and a learned ranking there."""

import numpy as np

from ctsft import runs
from ctsft.attribution import role_gates
from ctsft.attribution.head_roles import HeadRoles
from ctsft.cli import summaries
from ctsft.jobs import scoring
from explorer.relevance import head_roles
from support.pages import charts, receipts, shown
from support.relevance_page import opened, scored


def test_the_roles_are_those_of_their_run(view, monkeypatch):
    """A button at first; then the run's map and its heads by role."""
    monkeypatch.setattr(role_gates, "STEPS", 5)
    scored(view)
    view.panel = "Roles"
    app = opened(view, "All heads")
    assert any("role of each head" in button.label for button in app.button)
    assert "--roles" not in receipts(app)
    request = head_roles.request(view)
    with runs.record(request) as run:
        summary = scoring.score(run, request)
    shown(app.run())
    assert "--roles" in receipts(app) and run.id in receipts(app)
    roles = HeadRoles.load(run.file("roles.json"))
    assert any(
        np.shape(trace["z"]) == roles.values.shape and np.allclose(trace["z"], roles.values)
        for chart in charts(app)
        for trace in chart["data"]
        if trace["type"] == "heatmap" and trace["zmax"] == 1
    )
    assert not any("role of each head" in button.label for button in app.button)
    assert run.file("roles.csv").read_text() == roles.csv()
    text = summaries.score(summary)
    for role, heads in roles.by_role.items():
        assert f"{role:<13}{len(heads):4d}" in text
        assert any(f"**{len(heads)} {role}**" in line.value for line in app.markdown)


def test_on_a_text_a_learned_ranking_shows_the_removal_of_a_head(view):
    """It says nothing about one text; the map and the score are its own."""
    view.method = "learned"
    run = scored(view)
    app = opened(view, "On a text")
    bars = next(
        chart
        for chart in charts(app)
        if [t.get("name") for t in chart["data"]][:1] == ["relevance"]
    )
    assert "drop if ablated" in str(bars["layout"])
    assert "ranks" not in " ".join(error.value for error in app.error)
    shown(app.segmented_control(key="w_head_view").set_value("Top heads").run())
    assert any("score the heads with another method" in text.value for text in app.caption)
    assert run.file("scores.csv").is_file()
