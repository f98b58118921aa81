"""What Circuit and Fine-tune say where something is missing or belongs to other settings: one
sentence, and where to go.
"""

import shutil
from dataclasses import replace

import pytest

import ctsft
from ctsft import runs
from explorer.session import score_runs
from explorer.session.requests import score_request
from support.finetune_page import score, tuned
from support.pages import texts, visit

NEEDS = ("circuit/page.py", "finetune/page.py")


def links(at) -> list[str]:
    return [link.proto.label for link in at.get("page_link")]


@pytest.mark.parametrize("page", NEEDS)
def test_without_scores_of_these_settings_it_says_which_and_where(view, page, monkeypatch):
    at = visit(view, page)
    assert (
        not at.exception
        and "There are no scores for these settings yet" in texts(at)
        and "Score the heads" in links(at)
    )
    run = score(view)
    with monkeypatch.context() as patch:
        patch.setattr(score_runs, "origin_of", lambda run: "recorded")
        at = visit(replace(view, pool_seed=5), page)
        assert "There are no scores for these settings yet" in texts(at)
    at = visit(replace(view, pool_seed=5), page)
    assert not at.exception and "Out of date" in texts(at) and "Score the heads" in links(at)
    run.file("scores.safetensors").unlink()
    at = visit(view, page)
    assert not at.exception and any(
        "were removed from their run folder" in one.value for one in at.warning
    )


@pytest.mark.parametrize("page", NEEDS)
def test_a_scoring_that_failed_is_told(view, page):

    with (
        pytest.raises(ValueError),
        runs.record(score_request(view)),
    ):
        raise ValueError("only 3 examples are right")
    at = visit(view, page)
    assert (
        not at.exception
        and "only 3 examples are right" in texts(at)
        and "Score the heads" in links(at)
    )


@pytest.mark.parametrize("page", ["setup/page.py", "relevance/page.py", *NEEDS, "compare/page.py"])
def test_run_folders_deleted_by_hand_leave_the_page_whole(view, page):
    one, other = score(view), tuned(view)
    at = visit(view, page)
    for run in (one, other):
        shutil.rmtree(run.file("status.json").parent)
    at.run()
    assert not at.exception and not [error for error in at.error if "did not expect" in error.value]


@pytest.mark.parametrize("page", ["setup/page.py", "relevance/page.py", *NEEDS])
@pytest.mark.parametrize("gone", ["data_dir", "model"])
def test_a_missing_folder_is_one_sentence(view, page, gone):
    at = visit(replace(view, **{gone: "/nowhere/at/all"}), page)
    assert not at.exception and any("/nowhere/at/all" in error.value for error in at.error)
    assert "setup" in page or "Fix it on Setup" in links(at)
    assert not [error for error in at.error if "did not expect" in error.value]


def test_a_run_of_another_circuit_says_so(view):
    scored, run = score(view), tuned(view)
    ctsft.select(score_runs.scores_of(scored), "top", k=2).save(run.file("circuit.json"))
    at = visit(view)
    assert "Out of date" not in texts(at)
    at = visit(replace(view, k=3))
    assert "trained a circuit of 2 heads that is not the current one (3 heads)" in texts(
        at
    ) and "Go to the circuit" in links(at)


def test_without_runs_it_says_how_to_get_one(view):
    score(view)
    at = visit(view)
    assert "No run with this model and task yet" in texts(at)
    at = visit(replace(view, rule="none"))
    assert "The circuit has no heads" in texts(at) and "Choose heads" in links(at)
