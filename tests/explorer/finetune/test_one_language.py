"""A task with one language, which is what one table gives: every page works, and Fine-tune says
what is missing and offers to hold out a part.
"""

import pytest

from ctsft.data.registry import load_task
from explorer.session.view import View
from support.finetune_page import score
from support.pages import button, press, texts, visit
from support.tasks import cued, write_task

PAGES = ("setup", "relevance", "circuit", "finetune", "compare")


@pytest.fixture
def alone(folders, tmp_path) -> View:
    rows = {("indonesian", split): cued(30, i) for i, split in enumerate(("train", "test"))}
    path = write_task(tmp_path / "alone", rows, targets=[])
    return View(
        model=str(folders["qwen2"]),
        model_kind="folder",
        folder=str(folders["qwen2"]),
        task=str(path),
        task_kind="file",
        task_file=str(path),
        target="indonesian",
        n=24,
        k=2,
    )


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("with_scores", [False, True])
def test_every_page_is_shown(alone, page, with_scores):
    if with_scores:
        score(alone)
    for changes in ({}, {"tune_tab": "Experiment"}) if page == "finetune" else ({},):
        for name, value in changes.items():
            setattr(alone, name, value)
        at = visit(alone, f"{page}/page.py")
        assert not at.exception and not at.error, at.error
        assert ("needs a second language" in texts(at)) == (page == "finetune")


def test_a_part_can_be_held_out_as_the_target(alone):
    score(alone)
    at = press(visit(alone), "Hold out half of the rows as the target")
    view = at.session_state["view"]
    assert (view.source, view.target) == ("indonesian", "indonesian-held-out")
    task = load_task(view.task)
    assert [len(task.load(name, "train")) for name in task.languages] == [15, 15]
    assert not at.error and "needs a second language" not in texts(at)
    assert button(at, "Start tuning") is not None


def test_too_few_rows_are_one_sentence(alone, tmp_path):
    alone.task = str(write_task(tmp_path, {("indonesian", "train"): cued(6)}, targets=[]))
    at = press(visit(alone), "Hold out half of the rows as the target")
    assert at.session_state["view"].task == alone.task
    assert any("at least 4 of each label" in error.value for error in at.error)
