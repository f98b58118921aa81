"""A model that was recorded without its weights: every page shows what was recorded, and nothing
can be started.
"""

from dataclasses import replace

import pytest

from ctsft import runs
from ctsft.runs.recorded_models import recorded_models
from ctsft.tuning.trainable import trainable_count
from ctsft.utils.errors import UserError
from explorer.session import inputs, own_runs
from explorer.session.requests import score_request
from explorer.session.view import View
from support.finetune_page import score, tuned
from support.pages import button, charts, followed, press, receipts, shown, texts, visit
from support.recordings import NAME, recorded

STARTS = (
    *("Score heads", "Run discovery", "Start tuning", "Validate the scores", "Compute advice"),
    *("Measure faithfulness against size", "Inspect heads", "Estimate the cost"),
)


@pytest.fixture
def view(finetune_view, loaded) -> View:
    """The weights are moved away, the scores and a tuning run are there."""
    finetune_view.size = 6
    run = score(finetune_view)
    with_run = [run, tuned(finetune_view, "full")]
    recorded(
        loaded["qwen2"],
        with_run,
        task=finetune_view.task,
        source="indonesian",
        target="javanese",
        size=6,
    )
    finetune_view.model, finetune_view.model_kind = NAME, "recorded"
    return finetune_view


def test_the_shape_and_the_counts_are_those_of_the_model(view, loaded):
    model, whole = inputs.load_model(NAME), loaded["qwen2"]
    assert model.fingerprint == whole.fingerprint and model.heads == whole.heads
    heads = [(0, 1), (2, 3)]
    assert trainable_count(model, heads) == trainable_count(whole, heads)
    assert model.device.type == "meta"


@pytest.mark.parametrize("page", ["relevance", "circuit", "finetune", "compare"])
def test_every_page_shows_the_recording_and_starts_nothing(view, page):
    at = shown(visit(view, f"{page}/page.py"))
    assert charts(at)
    pressable = {one.label for one in at.button if not one.disabled}
    assert not pressable & set(STARTS)


@pytest.mark.parametrize(
    "section, comparison",
    [("On a text", ""), ("Advice", ""), ("Compare", "Validation"), ("Compare", "Templates")],
)
def test_a_section_that_needs_weights_says_what_to_do(view, section, comparison):
    view.section, view.comparison = section, comparison or view.comparison
    at = shown(visit(view, "relevance/page.py"))
    assert "enter someone/tiny as a hub name on Setup" in texts(at).replace("\\", "")


def test_other_settings_lead_back_to_the_recorded_ones(view):
    view.size = 30
    at = shown(visit(view, "relevance/page.py"))
    assert not charts(at) and button(at, "Score heads") is None
    assert charts(press(at, "Show the recorded scores"))


@pytest.mark.parametrize("page", ["relevance", "circuit"])
@pytest.mark.parametrize("named", [{}, {"head": "1.2", "k": "3"}, {"source": "indonesian"}])
def test_a_link_that_names_the_model_alone_shows_its_scores(view, page, named):
    at = followed(page, {"model": NAME} | named)
    assert charts(at) and not at.warning
    opened = at.session_state["view"]
    assert (opened.source, opened.target, opened.size) == ("indonesian", "javanese", 6)
    assert opened.task == view.task and (opened.k == 3) is ("k" in named)
    assert (opened.compare_scope == "from recorded") is ("source" not in named)


def test_a_link_to_other_settings_of_the_model_leads_back(view):
    at = followed("relevance", {"model": NAME, "n": "30"})
    assert not charts(at) and at.session_state["view"].source == "indonesian"
    assert charts(press(at, "Show the recorded scores"))


def test_setup_offers_the_scores(view):
    at = shown(visit(view, "setup/page.py"))
    assert recorded_models()[NAME].fingerprint in receipts(at)
    at = press(at, "Explore the recorded scores")
    assert charts(at) and "Tiny" in recorded_models()[NAME].title


def test_compare_shows_the_recorded_runs_of_the_model(view):
    view.compare_scope, view.compare_model = "single", "demo"  # what was looked at before
    press(shown(visit(view, "setup/page.py")), "Explore the recorded scores")
    assert (view.compare_scope, view.compare_model) == ("from recorded", NAME)


def test_no_request_starts_a_job_without_weights(view):
    with pytest.raises(UserError, match="recorded without its weights"):
        own_runs.start(score_request(view))
    assert not runs.list_runs()


def test_recorded_runs_are_called_so_until_there_are_own_ones(view):
    def called_recorded() -> bool:
        at = shown(visit(replace(view), "compare/page.py"))  # a new session
        return any("badge[" in one.value and "recorded" in one.value for one in at.markdown)

    assert called_recorded()
    tuned(view, "norms")
    assert not called_recorded()
